#pragma once
/*
 * user_stack.h - where a program is: the calls that led there, and the names of functions.
 *
 * Calls are found by frame pointers: code that is compiled without them hides its callers, as it hides them
 * from every tool that knows no more. Names come from the files that are mapped, read as files: nothing that
 * a process can reach is kept for them, and nothing that it changes in its memory changes them.
 */
#include "lib/err.h"
#include "lib/types.h"

struct vm_space;
struct trap_frame;
struct text;

enum { USER_STACK_MAX = 32, USER_PLACE_MAX = 200 };

/* The registers that a walk starts from. */
struct user_position {
	uaddr_t pc, sp, fp;
};
struct user_position user_position_of(const struct trap_frame *f);
/* p.pc, and return addresses, innermost first; returns how many, at most `max` (>= 1). May sleep. */
unsigned user_backtrace(struct vm_space *s, struct user_position p, uaddr_t *pcs, unsigned max);
/* "function+0x12 in /bin/program", or as much as is known; returns buf. `is_return`: pc comes after a call.
 * May sleep. */
const char *user_describe_pc(struct vm_space *s, uaddr_t pc, bool is_return, char buf[USER_PLACE_MAX]);
