#pragma once
/*
 * dump.h - the processor's part of a panic: registers, descriptors, stopping the other CPUs. See dump.c and
 * debug/panic.c.
 */
#include "machine/trap.h"

typedef void dump_print(const char *fmt, ...) PRINTF(1, 2);

/* Panic in the context of an exception: its registers are printed and the backtrace starts there. Defined in
 * debug/panic.c. */
NORETURN void trap_panic(struct trap_frame *f, const char *fmt, ...) PRINTF(2, 3);
/* Write text to the serial port at once. */
void dump_write(void *ctx, const char *s, size_t n);
/* General registers of *f, decoded. */
void dump_frame(dump_print *print, const struct trap_frame *f);
/* Control, descriptor-table and segment registers of this CPU, decoded. */
void dump_machine(dump_print *print);
/* Stop all other CPUs by NMI and wait for a bounded time until each has left its registers. */
void dump_stop_others(void);
/* The registers that CPU `cpu` left; NULL: it did not answer. */
const struct trap_frame *dump_frame_of(unsigned cpu);
/* An NMI arrived: another CPU panics and wants our state, or somebody pressed the button. */
void dump_nmi(struct trap_frame *f);
/* Leave this CPU's registers to the one that panics, and stop. */
NORETURN void dump_answer(struct trap_frame *f);
/* End QEMU with `status`; returns where there is no isa-debug-exit. */
void dump_tell_emulator(uint8_t status);
/* End QEMU with `status`, or stop for ever where there is no isa-debug-exit. Interrupts disabled. */
NORETURN void dump_exit(uint8_t status);

enum {
	DUMP_EXIT_CLEAN = 0x10,
	DUMP_EXIT_FAILED = 0x11,
	DUMP_EXIT_PANIC = 0x2f
}; /* QEMU ends with twice that plus 1 */
