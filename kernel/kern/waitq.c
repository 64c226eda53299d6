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
 * Where one thread alone waits, under a lock that says who it is, there need be no queue: whoever changes the
 * predicate makes the thread ready under that lock. It cannot go away meanwhile, because it does not return
 * from thread_park without the lock.
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
static bool is_interrupted(const struct thread *t, unsigned wait_flags)
{
	return load_seq_cst(&t->flags) & thread_flags_of_wait(wait_flags);
}

/* Mark t, the current thread, BLOCKED; false: it is not to sleep. */
static ALWAYS_INLINE bool mark_blocked(struct thread *t, unsigned flags)
{
	store_seq_cst(&t->state, THREAD_BLOCKED);
	if (likely(!is_interrupted(t, flags)))
		return true;
	store_relaxed(&t->state, THREAD_RUNNING);
	return false;
}

bool waitq_block_locked(struct waitq *q)
{
	struct thread *t = current_thread();

	ASSERT(preempt_count() == 1); /* q->lock and no other */
	if (!mark_blocked(t, t->wait_flags))
		return false;
	spin_release(&q->lock); /* its share of the preemption count stays: sched_switch wants it */
	sched_switch();
	spin_acquire(&q->lock, false);
	return !t->waiting_on;
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

static void deadline_reached(void *thread)
{
	sched_make_ready(thread);
}

/* The result of a sleep that no waker ended. */
static err_t sleep_verdict(struct thread *t, nsec_t deadline, unsigned flags)
{
	if (is_interrupted(t, flags))
		return -EINTR;
	return deadline != NSEC_NEVER && clock_now() >= deadline ? -ETIMEDOUT : 0;
}

/*
 * Interrupts disabled, preemption count 1, which belongs to the spinlock that the caller holds and that is
 * released here. On return it is not held, the count is 1 and interrupts are disabled.
 */
static err_t sleep_releasing(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	struct thread *t = current_thread();
	struct timer timer;

	spin_acquire(&q->lock, false);
	waitq_enqueue_locked(q, flags, false);
	if (held)
		spin_release(held);
	if (deadline != NSEC_NEVER) {
		timer_init(&timer, deadline_reached, t);
		timer_set(&timer, deadline);
	}
	bool woken = waitq_block_locked(q);
	if (!woken)
		waitq_dequeue_locked(q, t);
	spin_release(&q->lock);
	if (deadline != NSEC_NEVER)
		timer_cancel(&timer);
	return woken ? 0 : sleep_verdict(t, deadline, flags);
}

err_t waitq_sleep_irq(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	ASSERT(preempt_count() == 1 && !irq_is_enabled());
	err_t err = sleep_releasing(q, held, deadline, flags);
	spin_acquire(held, false);
	return err;
}

err_t waitq_sleep(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	ASSERT(preempt_count() == 1 && irq_is_enabled());
	irq_disable();
	err_t err = sleep_releasing(q, held, deadline, flags);
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
		err = sleep_releasing(&q, NULL, deadline, WAIT_INTERRUPTIBLE);
	while (!err);
	preempt_count_add(-1);
	irq_enable();
	preempt_check();
	return err == -ETIMEDOUT ? 0 : err;
}

/* ---------------------------------------------------------------- without a queue */

err_t thread_park(struct spinlock *held, nsec_t deadline, unsigned flags, struct thread *to)
{
	struct thread *t = current_thread();
	struct timer timer;

	ASSERT(preempt_count() == 1); /* `held` and no other */
	DEBUG_ASSERT(!irq_is_enabled());
	if (unlikely(deadline != NSEC_NEVER)) {
		timer_init(&timer, deadline_reached, t);
		timer_set(&timer, deadline);
	}
	t->wait_flags = flags;
	if (mark_blocked(t, flags)) {
		sched_switch_from(held, to);
	} else {
		if (to)
			thread_unpark(to);
		spin_release(held);
	}
	if (unlikely(deadline != NSEC_NEVER))
		timer_cancel(&timer);
	spin_acquire(held, false);
	return sleep_verdict(t, deadline, flags);
}

void thread_unpark(struct thread *t)
{
	sched_make_ready(t);
}
