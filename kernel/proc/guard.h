#pragma once
/*
 * guard.h - rules that a process may put itself and what it runs under, beyond what the ABI asks. See guard.c
 * and docs/guard.md.
 */
#include "lib/err.h"
#include "lib/types.h"

struct trap_frame;
struct user_thread;

/* What a thread remembers of the regions that its last look found in order: (O) its own. Valid while the
 * space's serial is the same. */
struct thread_guard {
	uint64_t serial;
	uaddr_t stack_low, stack_size; /* sp - stack_low <= stack_size: on a stack */
	uaddr_t code_low, code_size;   /* pc - code_low <= code_size: in code that may make system calls */
};

/* The current process's rules are these as well, from the next program that it runs on. Returns what they
 * were. */
uint32_t guard_add(uint32_t guards);
/* Have ut, which is current or not running yet, obey the rules of the memory that it is about to run in. Tree
 * locked, or only its own process knows it. */
void guard_attach(struct user_thread *ut);
/* Is it hardly worth a look at all? The slow half of what the entries of system calls check. False: a rule is
 * broken, and the thread will not go back to user mode. */
bool guard_check_call(const struct trap_frame *f);
/* The current thread is about to have `sp` as its stack, or [low, sp): may it? False: as above. */
bool guard_check_stack(uaddr_t low, uaddr_t sp);
/* The current thread has broken a rule: it ends with SIGSEGV, whatever its actions are. */
void guard_break(const char *rule);
/* Do these rules hold in the current thread's memory? */
bool guard_is_on(uint32_t guards);
