#pragma once
/*
 * waitq.h - queues of sleeping threads. Works like a condition variable: the predicate is guarded by a
 * spinlock of the caller, and going to sleep and dropping that lock are one step, so no wake-up is lost.
 */
#include "kern/spinlock.h"
#include "lib/err.h"
#include "lib/list.h"

struct thread;

struct waitq {
	struct spinlock lock; /* rank RANK_WAITQ */
	struct list sleepers; /* guarded by lock; threads by their wait_link, oldest first */
};

enum wait_flags {
	WAIT_KILLABLE = 1 << 0,      /* -EINTR when the thread is being killed */
	WAIT_INTERRUPTIBLE = 1 << 1, /* -EINTR when a signal is pending as well */
};

void waitq_init(struct waitq *q);
/* Sleep until woken. `held`, a spinlock taken with spin_lock (interrupts enabled), is released while asleep
 * and held again on return. `deadline` is monotonic, NSEC_NEVER for none. 0 = woken (check the predicate
 * again), -ETIMEDOUT, -EINTR. */
err_t waitq_sleep(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags);
/* The same where the predicate's lock was taken with spin_lock_irqsave; interrupts are disabled again on
 * return. */
err_t waitq_sleep_irq(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags);
/* Wake the longest sleeper / all. From any context, interrupts included. Return the number woken. */
unsigned waitq_wake_one(struct waitq *q);
unsigned waitq_wake_all(struct waitq *q);
bool waitq_is_empty(struct waitq *q);

/*
 * Sleeping without a queue, for a predicate that one thread alone waits for, and whose lock guards who that
 * is. thread_park is waitq_sleep_irq otherwise, but may also return 0 for nothing, and an error though it was
 * woken: look at the predicate first. With `to`, NULL or a parked thread of the same lock, it wakes that one
 * as well, and the CPU goes straight to it, unless others are too far behind in their share. thread_unpark:
 * `held` is locked; nothing happens if t does not sleep.
 */
err_t thread_park(struct spinlock *held, nsec_t deadline, unsigned flags, struct thread *to);
void thread_unpark(struct thread *t);

/*
 * The two halves of sleeping, for the locks of kern/ whose predicate is guarded by q->lock itself: with
 * q->lock held (irqsave, nothing else), enqueue the current thread, then block, which releases the lock and
 * returns with it held again. True: woken by waitq_wake_first_locked, and no longer on the queue.
 */
void waitq_enqueue_locked(struct waitq *q, unsigned flags, bool front);
bool waitq_block_locked(struct waitq *q);
/* The thread that has waited longest, NULL if there is none; and wake it. q->lock held. */
struct thread *waitq_first_locked(struct waitq *q);
void waitq_wake_first_locked(struct waitq *q);
