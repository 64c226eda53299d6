/*
 * waitq.c - wait queues.
 *
 * A sleeper puts itself on the queue and marks itself BLOCKED under the queue's lock, then drops the lock of
 * its predicate, and only then switches away. Whoever changes the predicate does so under the predicate's
 * lock and wakes afterwards, so it either comes before the sleeper looked at the predicate, or finds it on
 * the queue. A wake-up that comes before the sleeper has left its CPU turns it back into a running thread
 * (sched_make_ready), and its switch is then an ordinary one.
 *
 * Three parties end a sleep:
 *	a waker     takes the thread off the queue and makes it ready, under the queue's lock;
 *	a deadline  makes it ready and nothing else, from a timer on the sleeper's own stack;
 *	an interrupt (thread_interrupt) sets thread flags, then makes it ready if the sleep allows it.
 * The last two do not touch the queue: they could not know whether it still exists. The sleeper itself does,
 * since it is in waitq_sleep: when it runs again it takes the queue's lock, and learns from `waiting_on`
 * whether a waker has chosen it. If so the result is 0, whatever else happened, for that wake-up was spent on
 * it. Taking the lock also keeps the sleeper from returning, and its caller from freeing the queue, before
 * the waker has let go of it.
 *
 * No interrupt is lost: the sleeper marks itself BLOCKED and then looks at its flags; the interrupter sets
 * the flags and then looks at the state; both in sequentially consistent order.
 */
#include "arch/clock.h"
#include "kern/sched.h"
#include "kern/timer.h"
#include "kern/waitq.h"

void waitq_init(struct waitq *q)
{
	spin_init(&q->lock, "wait queue", RANK_WAITQ);
	list_init(&q->sleepers);
}

bool waitq_is_empty(struct waitq *q)
{
	uint64_t state = spin_lock_irqsave(&q->lock);
	bool empty = list_is_empty(&q->sleepers);
	spin_unlock_irqrestore(&q->lock, state);
	return empty;
}

void waitq_enqueue_locked(struct waitq *q, unsigned flags, bool front)
{
	struct thread *t = current_thread();

	ASSERT_HELD(&q->lock);
	ASSERT(!t->waiting_on);
	t->waiting_on = q;
	t->wait_flags = flags;
	if (front)
		list_push_front(&q->sleepers, &t->wait_link);
	else
		list_push_back(&q->sleepers, &t->wait_link);
}

static void waitq_dequeue_locked(struct waitq *q, struct thread *t)
{
	ASSERT_HELD(&q->lock);
	list_remove(&t->wait_link);
	t->waiting_on = NULL;
}

/* Is t in the middle of what its wait gives up for? */
static bool is_interrupted(struct thread *t, unsigned wait_flags)
{
	uint32_t flags = load_seq_cst(&t->flags);

	return ((wait_flags & (WAIT_KILLABLE | WAIT_INTERRUPTIBLE)) && (flags & THREAD_KILLED)) ||
	       ((wait_flags & WAIT_INTERRUPTIBLE) && (flags & THREAD_SIGNALLED));
}

/* next: a thread that waits for this CPU, or NULL. */
static bool block_locked(struct waitq *q, struct thread *next)
{
	struct thread *t = current_thread();

	ASSERT(preempt_count() == 1); /* q->lock and no other */
	store_seq_cst(&t->state, THREAD_BLOCKED);
	if (is_interrupted(t, t->wait_flags)) {
		store_relaxed(&t->state, THREAD_RUNNING);
		if (next)
			sched_take_back(next);
		return false;
	}
	spin_release(&q->lock); /* its share of the preemption count stays: sched_switch wants it */
	if (next)
		sched_switch_to(next);
	else
		sched_switch();
	spin_acquire(&q->lock, false);
	return !t->waiting_on;
}

bool waitq_block_locked(struct waitq *q)
{
	return block_locked(q, NULL);
}

struct thread *waitq_first_locked(struct waitq *q)
{
	ASSERT_HELD(&q->lock);
	return list_is_empty(&q->sleepers) ? NULL : list_first(&q->sleepers, struct thread, wait_link);
}

void waitq_wake_first_locked(struct waitq *q)
{
	struct thread *t = waitq_first_locked(q);

	waitq_dequeue_locked(q, t);
	sched_make_ready(t);
}

static unsigned wake(struct waitq *q, unsigned max)
{
	uint64_t state = spin_lock_irqsave(&q->lock);
	unsigned n = 0;

	for (; n < max && waitq_first_locked(q); n++)
		waitq_wake_first_locked(q);
	spin_unlock_irqrestore(&q->lock, state);
	return n;
}

unsigned waitq_wake_one(struct waitq *q)
{
	return wake(q, 1);
}

unsigned waitq_wake_all(struct waitq *q)
{
	return wake(q, UINT32_MAX);
}

/* Wake the longest sleeper of q. Interrupts are disabled. It is returned if it waits for this CPU; NULL:
 * it is on its way by itself, or there is none. */
static struct thread *hand_over_to(struct waitq *q)
{
	struct thread *t;

	spin_acquire(&q->lock, false);
	t = waitq_first_locked(q);
	if (t) {
		waitq_dequeue_locked(q, t);
		if (!sched_hand_over(t))
			t = NULL;
	}
	spin_release(&q->lock);
	return t;
}

static void deadline_reached(void *thread)
{
	sched_make_ready(thread);
}

/* The result of a sleep that no waker ended. */
static err_t sleep_verdict(struct thread *t, nsec_t deadline, unsigned flags)
{
	if (is_interrupted(t, flags))
		return -EINTR;
	return clock_now() >= deadline ? -ETIMEDOUT : 0;
}

/*
 * Interrupts disabled, preemption count 1, which belongs to the spinlock that the caller holds and that is
 * released here. On return it is not held, the count is 1 and interrupts are disabled. to: NULL, or a queue
 * whose first sleeper gets the CPU.
 */
static err_t sleep_releasing(
    struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags, struct waitq *to)
{
	struct thread *t = current_thread(), *next = to ? hand_over_to(to) : NULL;
	struct timer timer;

	spin_acquire(&q->lock, false);
	waitq_enqueue_locked(q, flags, false);
	if (held)
		spin_release(held);
	if (deadline != NSEC_NEVER) {
		timer_init(&timer, deadline_reached, t);
		timer_set(&timer, deadline);
	}
	bool woken = block_locked(q, next);
	if (!woken)
		waitq_dequeue_locked(q, t);
	spin_release(&q->lock);
	if (deadline != NSEC_NEVER)
		timer_cancel(&timer);
	return woken ? 0 : sleep_verdict(t, deadline, flags);
}

err_t waitq_switch_irq(
    struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags, struct waitq *to)
{
	ASSERT(preempt_count() == 1 && !irq_is_enabled());
	err_t err = sleep_releasing(q, held, deadline, flags, to);
	spin_acquire(held, false);
	return err;
}

err_t waitq_sleep_irq(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	return waitq_switch_irq(q, held, deadline, flags, NULL);
}

err_t waitq_sleep(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	ASSERT(preempt_count() == 1 && irq_is_enabled());
	irq_disable();
	err_t err = sleep_releasing(q, held, deadline, flags, NULL);
	irq_enable();
	spin_acquire(held, false);
	return err;
}

err_t thread_sleep_until(nsec_t deadline)
{
	struct waitq q;
	err_t err;

	ASSERT(preempt_count() == 0);
	waitq_init(&q);
	irq_disable();
	preempt_disable();
	do
		err = sleep_releasing(&q, NULL, deadline, WAIT_INTERRUPTIBLE, NULL);
	while (!err);
	preempt_count_add(-1);
	irq_enable();
	preempt_check();
	return err == -ETIMEDOUT ? 0 : err;
}
