/*
 * sched_balance.c - moving threads from busy CPUs to those that have less to do.
 *
 * A CPU that goes idle steals from the fullest queue. A CPU whose slice ends gives a thread to an idle CPU,
 * or now and then to one that is much less loaded. What is moved is in transit for a moment, on no queue: see
 * sched.c. Real-time threads find their CPUs by priority (sched_rt.c); here their great weight makes room for
 * them, and one of them is moved only to a CPU that is idle.
 */
#include "kern/sched_priv.h"

enum {
	BALANCE_PERIOD =
	    50 * 1000 * 1000, /* ns, divided by the number of CPUs: the whole machine makes one move in it */
	DETACH_SCAN = 16,     /* threads looked at in search of one that may move */
};

static _Atomic nsec_t next_balance; /* when busy CPUs compare their loads again */

/* Take a READY thread off q that may run on `cpu` and weighs at most `most`. The last in the order are the
 * best to move: they would run last here. The caller makes it ready there. */
static struct thread *take_last_locked(struct run_queue *q, uint32_t cpu, uint64_t most)
{
	struct rb_node *n = rb_last(&q->tree);

	for (int i = 0; n && i < DETACH_SCAN; i++, n = rb_prev(n)) {
		struct thread *t = rb_entry(n, struct thread, run_node);
		if (!may_run_on(t, cpu) || t->weight > most)
			continue;
		detach_locked(q, t);
		return t;
	}
	return NULL;
}

/* Does this queue have somebody whom its own CPU will not run at once? */
static bool has_surplus(struct run_queue *q)
{
	bool is_idle = load_relaxed(&sched_idle_cpus) & BIT(q->cpu);

	return load_relaxed(&q->nready) > (is_idle ? 1 : 0) && load_relaxed(&cpus[q->cpu].need_resched) == 0;
}

/* This CPU is idle: get a thread from the CPU with the most. */
void balance_steal(void)
{
	uint32_t here = cpu_id();

	for (uint64_t left = load_acquire(&sched_active_cpus) & ~BIT(here); left;) {
		uint32_t victim = bit_lowest(left);
		for (uint64_t rest = left; rest; rest &= rest - 1)
			if (load_relaxed(&sched_queues[bit_lowest(rest)].nready) >
			    load_relaxed(&sched_queues[victim].nready))
				victim = bit_lowest(rest);
		left &= ~BIT(victim);
		struct run_queue *q = &sched_queues[victim];
		if (!has_surplus(q))
			continue;
		uint64_t state = spin_lock_irqsave(&q->lock);
		struct thread *t = take_last_locked(q, here, UINT64_MAX);
		spin_unlock_irqrestore(&q->lock, state);
		if (t) {
			make_ready(t, 0, here);
			return;
		}
	}
}

/* Is it time for busy CPUs to compare their loads? Says yes to one CPU. */
static bool balance_is_due(nsec_t now)
{
	nsec_t due = load_relaxed(&next_balance);

	return now >= due && cas_acq_rel(&next_balance, &due, now + BALANCE_PERIOD / cpus_count());
}

/*
 * Choose a CPU that should get a thread from q, and which: an idle one at any time, a busy one when that is
 * due. Moving a weight of up to the difference in load makes the difference smaller, or as large the other
 * way: three threads on two CPUs take turns in having one for themselves.
 */
struct thread *balance_locked(struct run_queue *q, nsec_t now, uint32_t *target)
{
	uint64_t left = load_acquire(&sched_active_cpus) & ~BIT(q->cpu), load = load_relaxed(&q->load);
	bool is_due = false;

	for (; left; left &= ~BIT(*target)) {
		*target = least_loaded(left);
		uint64_t least = load_relaxed(&sched_queues[*target].load);
		is_due = is_due || least == 0 || balance_is_due(now);
		if (least >= load || !is_due)
			return NULL;
		struct thread *t = take_last_locked(q, *target, load - least);
		if (t)
			return t;
		is_due = is_due && least > 0; /* what an idle CPU allowed was for it alone */
	}
	return NULL;
}
