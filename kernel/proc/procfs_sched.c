/* procfs_sched.c - see procfs_sched.h; names and forms as in Linux's sched-rt-group.txt and sched-stats.txt.
 */
#include "proc/procfs_sched.h"
#include "kern/sched.h"
#include "lib/string.h"
#include "proc/proc_priv.h"

/* --- one thread --- */

struct thread_view {
	char name[THREAD_NAME_MAX];
	uint32_t pid, nthreads;
	struct sched_view times;
	struct thread_policy policy;
};

/* False: it is gone. */
static bool take_thread(const struct proc_node *n, struct thread_view *out)
{
	spin_lock(&process_tree_lock);
	struct user_thread *ut = proc_thread_locked(n);
	if (ut) {
		(void)str_copy(out->name, ut->thread.name, sizeof(out->name));
		out->pid = ut->thread.tid;
		out->nthreads = n->process->nthreads;
		out->policy = thread_policy(&ut->thread);
		sched_view_take(&ut->thread, &out->times);
	}
	spin_unlock(&process_tree_lock);
	return ut;
}

static void show_number(struct text *t, const char *name, uint64_t value)
{
	text_printf(t, "%-45s:%21lld\n", name, (long long)value);
}

/* In ms. */
static void show_time(struct text *t, const char *name, nsec_t time)
{
	text_printf(t, "%-45s:%14lld.%06llu\n", name, (long long)(time / 1000000),
	    (unsigned long long)(time % 1000000));
}

/* Of Linux's lines, those of which something is known here. Linux counts weights and priorities otherwise:
 * 2^10 finer the first, from 0 to 139 the second. */
void sched_show_thread(struct text *t, struct vnode *v)
{
	enum { WEIGHT_FINE = 1024, PRIORITY_USUAL = 120, PRIORITY_REAL_TIME = 99 };
	struct thread_view s;
	if (!take_thread(proc_node_of(v), &s))
		return;
	text_printf(t, "%s (%u, #threads: %u)\n%s\n", s.name, s.pid, s.nthreads,
	    "-------------------------------------------------------------------");
	show_time(t, "se.vruntime", s.times.vruntime);
	show_time(t, "se.sum_exec_runtime", s.times.ran);
	show_number(t, "nr_switches", s.times.switches[0] + s.times.switches[1]);
	show_number(t, "nr_voluntary_switches", s.times.switches[0]);
	show_number(t, "nr_involuntary_switches", s.times.switches[1]);
	show_number(t, "se.load.weight", s.times.weight * WEIGHT_FINE);
	show_number(t, "policy", s.policy.policy);
	show_number(t, "prio",
	    s.policy.rt_priority ? PRIORITY_REAL_TIME - s.policy.rt_priority
				 : (uint64_t)(PRIORITY_USUAL + s.policy.nice));
}

int64_t sched_store_thread(UNUSED struct vnode *v, UNUSED char *s, size_t n)
{
	return (int64_t)n;
}

void sched_show_stat(struct text *t, struct vnode *v)
{
	struct thread_view s;
	if (take_thread(proc_node_of(v), &s))
		text_printf(t, "%llu %llu %llu\n", (unsigned long long)s.times.ran,
		    (unsigned long long)s.times.waited, (unsigned long long)s.times.turns);
}

/* --- /proc/sys/kernel --- */

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
