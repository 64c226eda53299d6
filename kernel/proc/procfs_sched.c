/* procfs_sched.c - see procfs_sched.h; names and forms as in Linux's sched-rt-group.txt. */
#include "proc/procfs_sched.h"
#include "kern/sched.h"

enum { NSEC_PER_USEC = 1000, NSEC_PER_MSEC = 1000000, QUANTUM_MS = 100, RUNTIME_UNLIMITED = -1 };

void sched_show_sched_rr_timeslice_ms(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%llu\n", (unsigned long long)(load_relaxed(&rt_settings.quantum) / NSEC_PER_MSEC));
}

/* What is not positive is the usual. */
int64_t sched_store_sched_rr_timeslice_ms(UNUSED struct vnode *v, char *s, size_t n)
{
	int64_t ms;
	if (proc_parse_number(s, &ms) || ms > INT32_MAX || ms < INT32_MIN)
		return -EINVAL;
	store_relaxed(&rt_settings.quantum, (nsec_t)(ms > 0 ? ms : QUANTUM_MS) * NSEC_PER_MSEC);
	return (int64_t)n;
}

void sched_show_sched_rt_period_us(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%llu\n", (unsigned long long)(load_relaxed(&rt_settings.period) / NSEC_PER_USEC));
}

/* Two writers at once may leave a runtime above the period: then real-time threads have all of it. */
int64_t sched_store_sched_rt_period_us(UNUSED struct vnode *v, char *s, size_t n)
{
	int64_t us;
	if (proc_parse_number(s, &us) || us <= 0 || us > INT32_MAX)
		return -EINVAL;
	nsec_t period = (nsec_t)us * NSEC_PER_USEC, runtime = load_relaxed(&rt_settings.runtime);
	if (runtime != NSEC_NEVER && runtime > period)
		return -EINVAL;
	store_relaxed(&rt_settings.period, period);
	return (int64_t)n;
}

void sched_show_sched_rt_runtime_us(struct text *t, UNUSED struct vnode *v)
{
	nsec_t runtime = load_relaxed(&rt_settings.runtime);
	text_printf(t, "%lld\n", runtime == NSEC_NEVER ? -1LL : (long long)(runtime / NSEC_PER_USEC));
}

int64_t sched_store_sched_rt_runtime_us(UNUSED struct vnode *v, char *s, size_t n)
{
	int64_t us;
	if (proc_parse_number(s, &us) || us < RUNTIME_UNLIMITED ||
	    us > (int64_t)(load_relaxed(&rt_settings.period) / NSEC_PER_USEC))
		return -EINVAL;
	store_relaxed(
	    &rt_settings.runtime, us == RUNTIME_UNLIMITED ? NSEC_NEVER : (nsec_t)us * NSEC_PER_USEC);
	return (int64_t)n;
}
