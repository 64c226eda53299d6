#pragma once
/*
 * extable.h - instructions that may touch user memory, and where execution goes on if they cannot. Entries
 * are relative to themselves, made by EXTABLE in machine/asm.h, sorted by address at boot and read-only from
 * then on.
 */
#include "lib/types.h"

struct extable_entry {
	int32_t insn;  /* address of the instruction minus the address of this field */
	int32_t fixup; /* the same */
};

/* The fixup for the instruction at exactly pc; 0: it has none. */
vaddr_t extable_find(vaddr_t pc);
