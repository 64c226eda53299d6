#pragma once
/* stack.h - what a thread is doing in the kernel. Defined in debug/. */
#include "lib/types.h"

struct thread;

enum { STACK_DEPTH_MAX = 32 };

/* Return addresses on t's kernel stack, innermost first; returns how many. t is the current thread or one
 * that does not run; if it starts to run meanwhile the answer is of no use, but harmless. t stays while this
 * runs. */
unsigned thread_backtrace(const struct thread *t, vaddr_t *pcs, unsigned max);
/* The function that pc, a return address, goes back to: its name, how far in pc is, and how long it is. NULL:
 * no code of the kernel. */
const char *kernel_function(vaddr_t pc, uint64_t *offset, uint64_t *size);
