#pragma once
/*
 * thread.h (x86-64) - saved context of a thread, and how threads get to user mode.
 *
 * A thread that is not running has its callee-saved registers on its kernel stack, under arch.rsp. User
 * registers lie in the trap frame at the end of the kernel stack. The FPU state and the FS and GS bases are
 * switched with the thread, eagerly, if it has an FPU area: only user threads have one, the kernel itself
 * never uses the FPU.
 */
#include "machine/trap.h"

#define THREAD_FLAGS          32   /* offset of struct thread.flags: asserted in thread.c */
#define THREAD_USER_CYCLES    40   /* ... .user_cycles */
#define THREAD_SYSTEM_CALL    48   /* ... .system_call */
#define THREAD_EXIT_WORK_BITS 0x1f /* THREAD_EXIT_WORK */

#ifndef __ASSEMBLER__
struct fpu_area;

struct arch_thread {
	uint64_t rsp;              /* while it does not run */
	uint64_t fs_base, gs_base; /* of user mode; while it does not run */
	struct fpu_area *fpu;      /* NULL: kernel thread */
};
#endif
