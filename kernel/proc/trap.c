/*
 * trap.c - what happens to a thread that trapped in user mode, and what it does before it goes back there.
 */
#include "arch/upcall.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "proc/process.h"
#include "proc/sigio.h"
#include "proc/user_stack.h"

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
		return "no memory, and nobody to be ended for it";
	case -EFAULT:
		return "nothing is mapped there";
	case -EACCES:
		return "access not permitted";
	default:
		return "no data behind the mapping";
	}
}

/* What the thread learns of a page fault. */
static struct signal_info page_fault_info(err_t why, uaddr_t addr)
{
	enum { SEGV_MAPERR = 1, SEGV_ACCERR = 2, BUS_ADRERR = 2 };
	struct signal_info info = {.signo = signal_of_fault(why), .code = BUS_ADRERR, .addr = addr};
	if (info.signo == SIGNAL_SEGV)
		info.code = why == -EACCES ? SEGV_ACCERR : SEGV_MAPERR;
	return info;
}

/* And of an exception: code and address as Linux tells them. */
static struct signal_info exception_info(unsigned vector, uaddr_t pc)
{
	enum { FPE_INTDIV = 1, TRAP_TRACE = 2, ILL_ILLOPN = 2, BUS_ADRALN = 1 };
	enum { DIVIDE = 0, X87 = 16, ALIGNMENT = 17, SIMD = 19 };
	struct signal_info info = {.signo = signal_of_vector(vector), .code = SI_KERNEL};
	switch (vector) {
	case DIVIDE:
		info.code = FPE_INTDIV;
		break;
	case VECTOR_DEBUG:
		info.code = TRAP_TRACE;
		break;
	case VECTOR_INVALID:
		info.code = ILL_ILLOPN;
		break;
	case X87:
	case SIMD:
		info.code = user_fpu_fault_code(vector == SIMD);
		break;
	case ALIGNMENT:
		info.code = BUS_ADRALN;
		return info;
	default:
		return info;
	}
	info.addr = pc;
	return info;
}

static bool is_handled(int signal)
{
	struct process *p = current_process();
	spin_lock(&process_tree_lock);
	uaddr_t handler = p->signals.table->actions[signal - 1].handler;
	bool blocked = signal_in(signal, current_user_thread()->signals.mask);
	spin_unlock(&process_tree_lock);
	return handler != SIGNAL_DEFAULT && handler != SIGNAL_IGNORE && !blocked;
}

/* The calls that led there, a line each. */
static void log_calls(struct thread *t, const struct trap_frame *f)
{
	enum { CALLS = 8 };
	uaddr_t pcs[CALLS];
	char place[USER_PLACE_MAX];
	unsigned n = user_backtrace(t->space, user_position_of(f), pcs, CALLS);
	for (unsigned i = 0; i < n; i++)
		log_warn("proc", "%s[%u]   #%u %#lx %s", t->process->name, t->process->pid, i,
		    (unsigned long)pcs[i], user_describe_pc(t->space, pcs[i], i > 0, place));
}

static void log_death(int signal, unsigned vector, uint64_t error_code, uaddr_t addr, const char *reason)
{
	struct thread *t = current_thread();
	const struct trap_frame *f = user_frame(t);
	log_warn("proc", "%s[%u] thread %u gets %s: %s (error %#lx) at address %#lx, pc %#lx, sp %#lx: %s",
	    t->process->name, t->process->pid, t->tid, signal_name(signal), trap_name(vector),
	    (unsigned long)error_code, (unsigned long)addr, (unsigned long)user_frame_pc(f),
	    (unsigned long)user_frame_sp(f), reason);
	log_calls(t, f);
}

void upcall_user_trap(unsigned vector, uint64_t error_code, uaddr_t addr, err_t why)
{
	bool page_fault = vector == VECTOR_PAGE_FAULT;
	struct signal_info info = page_fault
				      ? page_fault_info(why, addr)
				      : exception_info(vector, user_frame_pc(user_frame(current_thread())));
	if (page_fault && why == -EINTR)
		return; /* to the exit work: killed while it waited for the page */
	if (!is_handled(info.signo))
		log_death(info.signo, vector, error_code, addr,
		    page_fault ? fault_reason(why) : "processor exception");
	current_user_thread()->signals.fault = (struct user_fault){vector, error_code, page_fault ? addr : 0};
	if (info.code)
		signal_force(&info);
}

void upcall_exit_work(void)
{
	struct thread *t = current_thread();
	while (cpu_need_resched() || (load_relaxed(&t->flags) & THREAD_EXIT_WORK)) {
		irq_enable();
		if (thread_is_killed())
			user_thread_exit(wait_status_killed(SIGNAL_KILL));
		if (load_relaxed(&t->flags) & THREAD_OVERRUN)
			rt_time_check();
		if (load_relaxed(&t->flags) & THREAD_ASYNC)
			sigio_flush();
		if (load_relaxed(&t->flags) & THREAD_SIGNALLED)
			signal_deliver(user_frame(t));
		if (load_relaxed(&t->flags) & THREAD_RSEQ_WORK)
			rseq_return(user_frame(t));
		preempt_check();
		irq_disable();
	}
}
