/*
 * trap.c - what happens to a thread that trapped in user mode, and what it does before it goes back there.
 */
#include "arch/upcall.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "proc/process.h"

enum { VECTORS = 32 };

/* Which signal a processor exception stands for: the AMD64 ABI and what Linux sends. Others are SIGSEGV. */
static int signal_of_vector(unsigned vector)
{
	static const uint8_t signals[VECTORS] = {
	    [0] = SIGNAL_FPE,  /* divide */
	    [1] = SIGNAL_TRAP, /* debug */
	    [3] = SIGNAL_TRAP, /* breakpoint */
	    [6] = SIGNAL_ILL,  /* invalid opcode */
	    [11] = SIGNAL_BUS, /* segment not present */
	    [12] = SIGNAL_BUS, /* stack segment */
	    [16] = SIGNAL_FPE, /* x87 */
	    [17] = SIGNAL_BUS, /* alignment check */
	    [19] = SIGNAL_FPE, /* SIMD */
	};
	return vector < VECTORS && signals[vector] ? signals[vector] : SIGNAL_SEGV;
}

static int signal_of_fault(err_t why)
{
	switch (why) {
	case -ENOMEM:
	case -EINTR: /* killed while it waited for the page: decided already */
		return SIGNAL_KILL;
	case -EFAULT:
	case -EACCES:
		return SIGNAL_SEGV;
	default:
		return SIGNAL_BUS;
	}
}

static const char *fault_reason(err_t why)
{
	switch (why) {
	case -ENOMEM:
		return "out of memory";
	case -EFAULT:
		return "nothing is mapped there";
	case -EACCES:
		return "access not permitted";
	default:
		return "no data behind the mapping";
	}
}

void upcall_user_trap(unsigned vector, uint64_t error_code, uaddr_t addr, err_t why)
{
	struct thread *t = current_thread();
	const struct trap_frame *f = user_frame(t);
	bool page_fault = vector == VECTOR_PAGE_FAULT;
	int signal = page_fault ? signal_of_fault(why) : signal_of_vector(vector);
	if (!page_fault || why != -EINTR)
		log_warn("proc", "%s[%u] gets %s: %s (error %#lx) at address %#lx, pc %#lx, sp %#lx: %s",
		    t->process->name, t->process->pid, signal_name(signal), trap_name(vector),
		    (unsigned long)error_code, (unsigned long)addr, (unsigned long)user_frame_pc(f),
		    (unsigned long)user_frame_sp(f), page_fault ? fault_reason(why) : "processor exception");
	process_exit(wait_status_killed(signal));
}

void upcall_exit_work(void)
{
	struct thread *t = current_thread();
	while (cpu_need_resched() || (load_relaxed(&t->flags) & THREAD_KILLED)) {
		irq_enable();
		if (load_relaxed(&t->flags) & THREAD_KILLED)
			user_thread_exit(wait_status_killed(SIGNAL_KILL));
		preempt_check();
		irq_disable();
	}
}
