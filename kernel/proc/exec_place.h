#pragma once
/*
 * exec_place.h - where the parts of a new program's memory go: Linux's places, each moved by a random amount
 * unless the process asked for none.
 *
 *	USER_END
 *	  | random: up to 16 GiB
 *	stack_top
 *	  | the stack's window: its limit
 *	  | guard, and room for what the other random numbers may have been
 *	mmap_top      mappings, downwards: the interpreter first
 *	  | random: up to 1 TiB
 *	  :
 *	program       PIE_BASE + random, up to 1 TiB, for programs with an interpreter
 */
#include "lib/types.h"

enum {
	STACK_GUARD = 1 << 20,
	SECURE_STACK_MAX = 8 << 20, /* what a program with further rights believes of the limit at most */
};
#define PIE_BASE 0x555555554000ULL /* two thirds of user space */

struct exec_place {
	bool randomize;
	uaddr_t stack_top, mmap_top;
	uint64_t sp_offset; /* bytes to leave free below the strings */
};

/* stack_limit: RLIMIT_STACK. */
void exec_place_choose(struct exec_place *place, bool randomize, uint64_t stack_limit);
/* Where a program's first byte shall be; align: a power of two. */
uaddr_t exec_place_pie(const struct exec_place *place, uint64_t align);
/* Where the heap starts, given the end of the program. */
uaddr_t exec_place_brk(const struct exec_place *place, uaddr_t program_end);
