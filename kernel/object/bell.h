#pragma once
/*
 * bell.h - one thread sleeps until any of the objects that it observes has something new (fs/poll.c,
 * fs/object_wait.c). It looks at all of them, sleeps, and looks again; whoever sets a signal only rings.
 * What happens between a look and the sleep is not missed, as the bell stays rung until somebody has waited
 * for it.
 */
#include "kern/waitq.h"

struct bell {
	struct spinlock
	    lock;           /* of rank RANK_KOBJECT, taken under the lock of the object that has news: nothing
				 is locked under it but the queue */
	struct waitq queue; /* predicate `rung` */
	bool rung;          /* lock: something happened since the last wait */
};

static inline void bell_init(struct bell *b, const char *name)
{
	spin_init(&b->lock, name, RANK_KOBJECT);
	waitq_init(&b->queue);
	b->rung = false;
}

/* By an observer: an object is locked, interrupts are disabled. */
static inline void bell_ring(struct bell *b)
{
	spin_lock_nested(&b->lock);
	b->rung = true;
	waitq_wake_all(&b->queue);
	spin_unlock(&b->lock);
}

/* Sleep until something happened since the last call: 0. -ETIMEDOUT: not until the deadline (monotonic);
 * -EINTR. No lock is held. */
static inline err_t bell_wait(struct bell *b, nsec_t deadline)
{
	err_t err = 0;
	uint64_t state = spin_lock_irqsave(&b->lock);
	while (!b->rung && !err)
		err = waitq_sleep_irq(&b->queue, &b->lock, deadline, WAIT_INTERRUPTIBLE);
	if (b->rung)
		err = 0;
	b->rung = false;
	spin_unlock_irqrestore(&b->lock, state);
	return err;
}
