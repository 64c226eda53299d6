#pragma once
/*
 * thread.h - the processor side of a thread: its saved context. struct arch_thread comes from
 * "machine/thread.h".
 */
#include "lib/types.h"
#include "machine/thread.h"

struct thread;

/* Prepare t so that the first switch to it calls entry() on a fresh stack ending at stack_top (16-byte
 * aligned), interrupts disabled, with the scheduler's lock held as after any switch. */
void arch_thread_init(struct thread *t, vaddr_t stack_top, void (*entry)(void));
/* Save prev, resume next; returns in the context of whoever switches back to prev. Interrupts disabled.
 * Switches stack, FPU and user state, TLS base; not the address space (mmu_switch does). */
void arch_thread_switch(struct thread *prev, struct thread *next);
/* The frame pointer with which t, which does not run, went off its CPU. */
vaddr_t arch_thread_frame(const struct thread *t);
/* Free what the port keeps for t (the FPU area). */
void arch_thread_fini(struct thread *t);
