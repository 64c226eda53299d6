/*
 * rttime.c - RLIMIT_RTTIME: how long a real-time thread may run without sleeping, in microseconds.
 *
 * The scheduler counts and marks a thread that has reached its process's limit; the thread then looks itself,
 * on its way to user mode. As on Linux: SIGXCPU to the process at the soft limit, which then grows by a
 * second, SIGKILL at the hard one; without a soft limit there is none.
 */
#include "proc/process.h"

enum { NSEC_PER_USEC = 1000, USEC_PER_SEC = 1000000 };

/* When to look, and 1 ns at least, so that 0 is a limit. */
static nsec_t limit_of(struct process *p)
{
	spin_lock(&p->lock);
	struct rlimit64 l = p->limits[RLIMIT_RTTIME];
	spin_unlock(&p->lock);
	uint64_t first = MIN(l.soft, l.hard);
	if (l.soft == RLIMIT_INFINITY || first > NSEC_NEVER / NSEC_PER_USEC)
		return NSEC_NEVER;
	return MAX(first * NSEC_PER_USEC, (uint64_t)1);
}

void rt_time_inherit_locked(struct user_thread *ut)
{
	ASSERT_HELD(&process_tree_lock);
	thread_set_rt_limit(&ut->thread, limit_of(ut->thread.process));
}

static void watch_locked(struct process *p)
{
	nsec_t limit = limit_of(p);
	list_for_each (it, &p->threads)
		thread_set_rt_limit(&list_entry(it, struct user_thread, link)->thread, limit);
}

void process_watch_rt_time(struct process *p)
{
	spin_lock(&process_tree_lock);
	watch_locked(p);
	spin_unlock(&process_tree_lock);
}

/* The signal for a thread that ran for so long; the soft limit grows. 0: none yet. */
static int overstep(struct process *p, uint64_t usec)
{
	struct rlimit64 *l = &p->limits[RLIMIT_RTTIME];
	int signal = 0;
	spin_lock(&p->lock);
	if (l->soft == RLIMIT_INFINITY) {
		signal = 0;
	} else if (l->hard != RLIMIT_INFINITY && usec >= l->hard) {
		signal = SIGNAL_KILL;
	} else if (usec >= l->soft) {
		signal = SIGNAL_XCPU;
		l->soft += USEC_PER_SEC;
	}
	spin_unlock(&p->lock);
	return signal;
}

void rt_time_check(void)
{
	struct process *p = current_process();
	atomic_fetch_and_explicit(&current_thread()->flags, ~(uint32_t)THREAD_OVERRUN, memory_order_relaxed);
	spin_lock(&process_tree_lock);
	int signal = overstep(p, thread_rt_time(current_thread()) / NSEC_PER_USEC);
	if (signal)
		signal_notify_locked(p, &(struct signal_info){.signo = signal, .code = SI_KERNEL});
	watch_locked(p);
	spin_unlock(&process_tree_lock);
}
