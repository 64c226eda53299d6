#pragma once
/*
 * upcall.h - what a port calls in the kernel above it. Declared here, defined above: the only calls that go
 * up.
 */
#include "lib/err.h"

enum fault_access {
	FAULT_READ = 1 << 0,
	FAULT_WRITE = 1 << 1,
	FAULT_EXEC = 1 << 2,
	FAULT_USER = 1 << 3,    /* the access was made in user mode */
	FAULT_PRESENT = 1 << 4, /* a translation was there, rights were missing */
	FAULT_FORCE =
	    1 << 5, /* by a debugger: what the program could give itself the right to counts as allowed */
};

/* A page fault on a user address, in user mode or inside usercopy. Called with interrupts enabled, no
 * spinlock held; may sleep. Returns 0 if the access may be tried again, FAULT_TO_BE_GUARDED if in addition
 * the thread has THREAD_GUARDED: call upcall_guarded_fault then, of an access in user mode; else -EFAULT (no
 * region), -EACCES (rights), -EIO (beyond end of file or I/O error), -ENOMEM. The port turns an error of a
 * kernel access into the fixup, and one of a user access into upcall_user_trap. Defined in vm/fault.c. */
enum { FAULT_TO_BE_GUARDED = 1 };
err_t upcall_page_fault(uaddr_t addr, unsigned access);

/* An exception in user mode that is not resolved: a processor exception vector (14 with err from
 * upcall_page_fault for page faults), the hardware error code, and the address concerned. Interrupts enabled,
 * may sleep; may return, and then the exit work follows. Defined in proc/. */
void upcall_user_trap(unsigned vector, uint64_t error_code, uaddr_t addr, err_t why);

/* A page fault of a thread with THREAD_GUARDED was resolved: is its stack pointer where it may be? Interrupts
 * enabled, may sleep. Defined in proc/. */
void upcall_guarded_fault(void);

/* The timer of this CPU went off. Interrupts disabled. Defined in kern/timer.c. */
void upcall_timer(void);
/* A reschedule request arrived. Interrupts disabled. Defined in kern/sched.c. */
void upcall_resched(void);
/* The handler of an interrupt of kernel code that ran with interrupts enabled is done (preemption count as
 * before it), and cpu_need_resched(): run others. Interrupts disabled on entry and exit. Not preempt_check,
 * which does nothing while interrupts are disabled. Defined in kern/sched.c. */
void upcall_preempt(void);
/* About to return to user mode with interrupts disabled and need_resched or other exit work pending: do it,
 * in a loop. Defined in proc/. */
void upcall_exit_work(void);
/* The portable kernel begins: boot CPU, on the boot stack; interrupts disabled, exceptions handled, memory
 * described by `bootinfo`, no allocator. Defined in init/main.c. */
NORETURN void kernel_main(void);
/* Called by an application processor once it runs on its own stack and can take interrupts; never returns.
 * Defined in init/main.c. */
NORETURN void upcall_cpu_main(void);
