/*
 * timer.c - one-shot timers.
 *
 * Each CPU has a queue of armed timers, a red-black tree by deadline, and one hardware timer that goes off at
 * the earlier of the first deadline and the end of the running thread's time slice. There is no tick: a CPU
 * with nothing to wait for and nobody to preempt gets no timer interrupts.
 *
 * A timer is armed on the CPU that asks, so only a CPU itself ever programs its hardware. Another CPU may
 * cancel: it takes the timer out of the tree and leaves the hardware alone, which costs at most one interrupt
 * that finds nothing to do. For the same reason the hardware is only reprogrammed for an earlier deadline,
 * not for a later one.
 *
 * A callback runs without the queue lock. `running` names the timer whose callback runs, and timer_cancel
 * waits until it is another one. The timer is not touched after its callback has been called: the callback
 * may free it, or arm it again.
 *
 * (L) guarded by lock; (O) touched by the owner CPU only, interrupts disabled
 */
#include "arch/clock.h"
#include "arch/upcall.h"
#include "kern/sched.h"
#include "kern/timer.h"

struct timer_queue {
	struct spinlock lock;
	struct rb_tree tree;           /* (L) */
	struct timer *_Atomic running; /* written under (L) by the owner CPU */
	nsec_t slice_end;              /* (O) */
	nsec_t programmed;             /* (O) when the hardware goes off */
} ALIGNED(CACHE_LINE);

static struct timer_queue queues[MAX_CPUS];

void timer_init_cpu(void)
{
	struct timer_queue *q = &queues[cpu_id()];

	spin_init(&q->lock, "timer queue", RANK_TIMER);
	rb_init(&q->tree, NULL);
	q->slice_end = q->programmed = NSEC_NEVER;
}

void timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
	*t = (struct timer){.fn = fn, .arg = arg};
	store_relaxed(&t->cpu, cpu_id());
}

/* Lock the queue that t is on or was on last. */
static struct timer_queue *queue_lock_of(struct timer *t, uint64_t *state)
{
	for (;;) {
		uint32_t cpu = load_relaxed(&t->cpu);
		*state = spin_lock_irqsave(&queues[cpu].lock);
		if (load_relaxed(&t->cpu) == cpu)
			return &queues[cpu];
		spin_unlock_irqrestore(&queues[cpu].lock, *state);
	}
}

static void queue_insert_locked(struct timer_queue *q, struct timer *t)
{
	struct rb_node **link = &q->tree.root, *parent = NULL;

	ASSERT_HELD(&q->lock);
	while (*link) {
		parent = *link;
		/* Equal deadlines go off in the order in which they were set. */
		link = t->deadline < rb_entry(parent, struct timer, node)->deadline ? &parent->left
										    : &parent->right;
	}
	rb_insert(&q->tree, &t->node, parent, link);
	t->armed = true;
}

static bool queue_remove_locked(struct timer_queue *q, struct timer *t)
{
	ASSERT_HELD(&q->lock);
	if (!t->armed)
		return false;
	rb_remove(&q->tree, &t->node);
	t->armed = false;
	return true;
}

static struct timer *queue_first_locked(struct timer_queue *q)
{
	struct rb_node *first = rb_first(&q->tree);

	return first ? rb_entry(first, struct timer, node) : NULL;
}

/* This CPU, interrupts disabled: make the hardware go off at `deadline` at the latest. */
static void program_before(struct timer_queue *q, nsec_t deadline)
{
	if (deadline >= q->programmed)
		return;
	q->programmed = deadline;
	clock_set_deadline(deadline);
}

/* Wait until t's callback does not run on the CPU of q. On that CPU itself it cannot be running but around
 * the caller. */
static void wait_callback(struct timer_queue *q, struct timer *t)
{
	while (load_acquire(&q->running) == t) {
		cpu_poll_requests();
		cpu_relax();
	}
}

/* Disarm, and wait for a callback that runs on another CPU. */
static bool disarm(struct timer *t, bool may_be_callback)
{
	bool was_armed = false;

	for (;;) {
		uint64_t state;
		struct timer_queue *q = queue_lock_of(t, &state);
		was_armed |= queue_remove_locked(q, t);
		bool is_running = load_relaxed(&q->running) == t;
		bool here = q == &queues[cpu_id()];
		spin_unlock_irqrestore(&q->lock, state);

		ASSERT(may_be_callback || !(is_running && here)); /* else it would wait for itself */
		if (!is_running || here)
			return was_armed;
		wait_callback(q, t); /* and look again: the callback may have armed it once more */
	}
}

void timer_set(struct timer *t, nsec_t deadline)
{
	disarm(t, true);

	uint64_t state = irq_save();
	struct timer_queue *q = &queues[cpu_id()];
	/* Nobody looks for t on a queue now: it is not armed, and callers take turns. */
	store_relaxed(&t->cpu, cpu_id());
	t->deadline = deadline;
	uint64_t inner = spin_lock_irqsave(&q->lock);
	if (deadline != NSEC_NEVER)
		queue_insert_locked(q, t);
	spin_unlock_irqrestore(&q->lock, inner);
	program_before(q, deadline);
	irq_restore(state);
}

bool timer_cancel(struct timer *t)
{
	return disarm(t, false);
}

void timer_set_slice(nsec_t deadline)
{
	struct timer_queue *q = &queues[cpu_id()];

	q->slice_end = deadline;
	program_before(q, deadline);
}

/* Take the first timer that is due out of the queue and make it the running one. Returns NULL if there is
 * none, and then *next is the first deadline. */
static struct timer *queue_pop_due(struct timer_queue *q, nsec_t now, nsec_t *next)
{
	uint64_t state = spin_lock_irqsave(&q->lock);
	struct timer *t = queue_first_locked(q);

	*next = t ? t->deadline : NSEC_NEVER;
	if (t && t->deadline <= now)
		queue_remove_locked(q, t);
	else
		t = NULL;
	store_release(&q->running, t);
	spin_unlock_irqrestore(&q->lock, state);
	return t;
}

void upcall_timer(void)
{
	struct timer_queue *q = &queues[cpu_id()];
	nsec_t now = clock_now(), next;
	struct timer *t;

	q->programmed = NSEC_NEVER;
	while ((t = queue_pop_due(q, now, &next)))
		t->fn(t->arg);
	if (q->slice_end <= now) {
		q->slice_end = NSEC_NEVER;
		sched_tick(now);
	}
	program_before(q, MIN(next, q->slice_end));
}
