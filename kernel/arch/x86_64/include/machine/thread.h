#pragma once
/*
 * thread.h (x86-64) - saved context of a thread, and how threads get to user mode.
 *
 * A thread that is not running has its callee-saved registers on its kernel stack, under arch.rsp. User registers lie in the trap frame at the end of the kernel
 * stack. The FPU state and the FS and GS bases are switched with the thread, eagerly, if it has an FPU area: only user threads have one, the kernel itself
 * never uses the FPU.
 */
#include "lib/err.h"
#include "machine/trap.h"

struct thread;
struct fpu_area;

struct arch_thread {
	uint64_t rsp;                 /* while it does not run */
	uint64_t fs_base, gs_base;    /* of user mode; while it does not run */
	struct fpu_area *fpu;         /* NULL: kernel thread */
};

/* Where the user registers of a thread whose kernel stack ends at stack_end are kept while it is in the kernel. */
static inline struct trap_frame *arch_user_frame(vaddr_t stack_end)
{
	return (struct trap_frame *)(stack_end - TRAP_SIZE);
}
