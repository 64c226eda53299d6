/*
 * sched_rt.c - real-time threads: SCHED_FIFO and SCHED_RR.
 *
 * A thread with a priority (1 ... 99) runs before all that have a lower one, and those before all that have
 * none. Among equals the order is that of arrival, so each thread has a *turn*, a number that grows: it gets
 * a new one when it wakes, when it yields, and, of SCHED_RR, when it has used its quantum; a thread that is
 * preempted keeps its turn and so stays the first of its equals. Priority and turn are the key by which these
 * threads stand at the head of the queue's tree (goes_before in sched.c).
 *
 * The share. A thread that never sleeps would keep out all others of its CPU for ever, the kernel's own
 * threads among them. So of each period (1 s) of a CPU, real-time threads have the first `runtime` (0.95 s)
 * that they use; for the rest of it they come behind the others, and they run only if there is nobody else.
 *
 * Where. As many CPUs as there are should run the threads of highest priority. A CPU's *claim* is the highest
 * priority that runs or waits there. A thread wakes on an idle CPU, or else on that of the least claim. A
 * thread waits in vain only if a CPU turned to a lower priority since: that is a switch, so after each switch
 * the CPU takes a thread from elsewhere that is above what it runs now, and gives away what it left waiting
 * (rt_spread). Claims are read without locks; a choice by an old one is put right by the switch that follows.
 */
#include "kern/sched_priv.h"

enum { MS = 1000000 };

struct rt_settings rt_settings = {
    .period = 1000 * MS,
    .runtime = 950 * MS,
    .quantum = 100 * MS,
};
_Atomic uint32_t rt_waiting_threads;

/* ---------------------------------------------------------------- one queue */

void rt_take_turn_locked(struct run_queue *q, struct thread *t, bool first)
{
	ASSERT_HELD(&q->lock);
	t->rt_turn = first ? q->rt.turn_first-- : q->rt.turn_last++;
}

static void waiting_update_locked(struct run_queue *q)
{
	struct rb_node *first = q->rt.nready ? rb_first(&q->tree) : NULL;
	store_relaxed(&q->rt.waiting, first ? rb_entry(first, struct thread, run_node)->rt_priority : 0u);
}

void rt_enqueued_locked(struct run_queue *q)
{
	q->rt.nready++;
	fetch_add_relaxed(&rt_waiting_threads, 1);
	waiting_update_locked(q);
}

void rt_dequeued_locked(struct run_queue *q)
{
	q->rt.nready--;
	fetch_sub_relaxed(&rt_waiting_threads, 1);
	waiting_update_locked(q);
}

/* ---------------------------------------------------------------- shares of time */

/* Periods follow each other without gaps, so that what was used in an old one is not charged to the new. */
static void period_advance_locked(struct run_queue *q, nsec_t now)
{
	nsec_t period = load_relaxed(&rt_settings.period);

	if (now < q->rt.period_start + period) /* or another CPU looked at its clock before it got the lock */
		return;
	q->rt.period_start = now - (now - q->rt.period_start) % period;
	q->rt.used = 0;
}

void rt_charge_locked(struct run_queue *q, struct thread *t, nsec_t ran, nsec_t now)
{
	ASSERT_HELD(&q->lock);
	period_advance_locked(q, now);
	q->rt.used += MIN(ran, now - q->rt.period_start);
	t->rr_used += ran;
	t->rt_time += ran;
	if (unlikely(t->rt_time >= t->rt_limit))
		fetch_or_acq_rel(&t->flags, THREAD_OVERRUN);
	if (t->policy != POLICY_RR || t->rr_used < load_relaxed(&rt_settings.quantum))
		return;
	t->rr_used = 0;
	rt_take_turn_locked(q, t, false);
}

bool rt_is_throttled_locked(struct run_queue *q, nsec_t now)
{
	ASSERT_HELD(&q->lock);
	period_advance_locked(q, now);
	return q->rt.used >= load_relaxed(&rt_settings.runtime);
}

nsec_t rt_slice_locked(struct run_queue *q, const struct thread *t, nsec_t now, nsec_t slice)
{
	nsec_t runtime = load_relaxed(&rt_settings.runtime), quantum = load_relaxed(&rt_settings.quantum);

	if (slice != NSEC_NEVER && !rt_is_throttled_locked(q, now))
		slice = MIN(slice, runtime - q->rt.used);
	if (slice != NSEC_NEVER && t->policy == POLICY_RR && t->rr_used < quantum)
		slice = MIN(slice, quantum - t->rr_used);
	if (t->rt_time < t->rt_limit)
		slice = MIN(slice, t->rt_limit - t->rt_time);
	return slice == NSEC_NEVER ? 0 : slice;
}

/* ---------------------------------------------------------------- where */

static uint32_t claim_of(uint32_t cpu)
{
	const struct rt_queue *rt = &sched_queues[cpu].rt;

	return MAX(load_relaxed(&rt->running), load_relaxed(&rt->waiting));
}

uint32_t rt_choose_cpu(const struct thread *t, uint64_t allowed, uint32_t last)
{
	uint32_t best = allowed & BIT(last) ? last : bit_lowest(allowed);

	for (uint64_t rest = allowed; rest; rest &= rest - 1)
		if (claim_of(bit_lowest(rest)) < MIN(claim_of(best), t->rt_priority))
			best = bit_lowest(rest);
	return best;
}

/* The first thread that waits on q, is above `priority` and may run on the CPUs of `mask`, taken off. */
static struct thread *take_locked(struct run_queue *q, uint32_t priority, uint64_t mask)
{
	ASSERT_HELD(&q->lock);
	for (struct rb_node *n = rb_first(&q->tree); n; n = rb_next(n)) {
		struct thread *t = rb_entry(n, struct thread, run_node);
		if (t->rt_priority <= priority)
			return NULL;
		if (!(t->affinity & mask))
			continue;
		detach_locked(q, t);
		return t;
	}
	return NULL;
}

/* Get a thread that waits on another CPU and is above what this one runs. */
static void pull(struct run_queue *here)
{
	uint64_t others = load_acquire(&sched_active_cpus) & ~BIT(here->cpu);

	for (; others; others &= others - 1) {
		struct run_queue *q = &sched_queues[bit_lowest(others)];
		uint32_t claim = claim_of(here->cpu);
		if (load_relaxed(&q->rt.waiting) <= claim)
			continue;
		uint64_t state = spin_lock_irqsave(&q->lock);
		struct thread *t = take_locked(q, claim, BIT(here->cpu));
		spin_unlock_irqrestore(&q->lock, state);
		if (t)
			make_ready(t, 0, here->cpu);
	}
}

/* Give the threads that wait here to CPUs that run what is below them: at most one to each. */
static void push(struct run_queue *here)
{
	uint64_t others = load_acquire(&sched_active_cpus) & ~BIT(here->cpu);

	for (; others && load_relaxed(&here->rt.waiting); others &= others - 1) {
		uint32_t cpu = bit_lowest(others), claim = claim_of(cpu);
		if (load_relaxed(&here->rt.waiting) <= claim)
			continue;
		uint64_t state = spin_lock_irqsave(&here->lock);
		struct thread *t = take_locked(here, claim, BIT(cpu));
		spin_unlock_irqrestore(&here->lock, state);
		if (t)
			make_ready(t, 0, cpu);
	}
}

void rt_spread(void)
{
	struct run_queue *here = this_queue();

	pull(here);
	push(here);
}
