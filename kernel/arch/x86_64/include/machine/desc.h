#pragma once
/*
 * desc.h - segment selectors, in an order that syscall/sysret demand: SYSCALL loads CS = STAR[47:32], SS =
 * that + 8; SYSRET loads SS = STAR[63:48] + 8, CS = STAR[63:48] + 16. Included by assembly.
 */
#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_DATA   0x23 /* 0x20 | 3; 0x18 is the base that STAR names */
#define SEL_USER_CODE   0x2b /* 0x28 | 3 */
#define SEL_TSS         0x30 /* two slots */
#define GDT_ENTRIES     8

/* Interrupt stack table slots; 0 means: stay on the current stack. */
#define IST_NMI           1
#define IST_DOUBLE_FAULT  2
#define IST_MACHINE_CHECK 3
#define IST_DEBUG         4
#define IST_COUNT         4
#define IST_STACK_SIZE    0x2000

#define KERNEL_BASE 0xffffffff80000000

#define IDT_SIZE 256

#ifndef __ASSEMBLER__
#include "lib/types.h"

/* 64-bit gate descriptor: AMD64 manual volume 2, 4.8.4. */
struct idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
extern struct idt_gate idt[IDT_SIZE]; /* filled by trap_init, shared by all CPUs */
#endif
