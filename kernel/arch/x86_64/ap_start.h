#pragma once
/* ap_start.h - what smp.c fills in for the code of ap_start.S. Offsets are from the start of the page that
 * the code is copied to. */
#define AP_DATA       0x800 /* where the data begins; the code is shorter: asserted in smp.c */
#define AP_TICKET     (AP_DATA + 0)
#define AP_LIMIT      (AP_DATA + 4)
#define AP_GDTR       (AP_DATA + 8)
#define AP_JUMP32     (AP_DATA + 16)
#define AP_JUMP64     (AP_DATA + 24)
#define AP_CR3        (AP_DATA + 32)
#define AP_EFER       (AP_DATA + 36)
#define AP_STACKS     (AP_DATA + 40)
#define AP_ENTRY      (AP_DATA + 48)
#define AP_GDT        (AP_DATA + 56)
#define AP_SEL_CODE64 0x08
#define AP_SEL_DATA   0x10
#define AP_SEL_CODE32 0x18

#ifndef __ASSEMBLER__
#include "lib/atomic.h"

struct ap_far_pointer {
	uint32_t offset;
	uint16_t selector;
	uint16_t unused;
};

struct ap_data {
	_Atomic uint32_t ticket; /* next CPU's number, from 0 */
	uint32_t limit;          /* CPUs with a number from here on are not wanted */
	uint16_t gdt_limit;
	uint32_t gdt_base PACKED;
	uint16_t unused;
	struct ap_far_pointer jump32, jump64;
	uint32_t cr3, efer;
	const vaddr_t *stacks; /* ends of stacks, by number */
	void (*entry)(uint32_t ticket);
	uint64_t gdt[4];
};
_Static_assert(offsetof(struct ap_data, gdt_limit) == AP_GDTR - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, gdt_base) == AP_GDTR + 2 - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, jump32) == AP_JUMP32 - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, jump64) == AP_JUMP64 - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, cr3) == AP_CR3 - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, stacks) == AP_STACKS - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, entry) == AP_ENTRY - AP_DATA, "ap_start.S");
_Static_assert(offsetof(struct ap_data, gdt) == AP_GDT - AP_DATA, "ap_start.S");

/* The code: [ap_code, ap_code_end); offsets in it of where 32-bit and 64-bit code begin. */
extern const char ap_code[], ap_code32[], ap_code64[], ap_code_end[];
#endif
