/*
 * poll.c - poll and select: one thread waits for the first of many files.
 *
 * A look at the signals of every file comes first; only if none has what is asked for does the thread observe
 * them all, and sleep. An observer is told at once of what is set already, so nothing is missed between the
 * look and the sleep; then it looks at all again. Whoever sets a signal only raises a flag and wakes.
 */
#include "fs/poll.h"
#include "lib/bits.h"

struct poll_set {
	struct spinlock
	    lock; /* of rank RANK_KOBJECT, taken under the lock of the object that has news: nothing is locked under it but the queue */
	bool fired;         /* lock */
	struct waitq queue; /* predicate `fired` */
};

/* What each signal means. */
static const uint16_t events_of_bit[] = {
    [0] = POLL_IN | POLL_RDNORM,  /* SIGNAL_READABLE */
    [1] = POLL_OUT | POLL_WRNORM, /* SIGNAL_WRITABLE */
    [2] = POLL_HUP,               /* SIGNAL_PEER_CLOSED */
    [3] = POLL_ERR,               /* SIGNAL_ERROR */
    [4] = POLL_PRI,               /* SIGNAL_PRIORITY */
    [5] = POLL_RDHUP,             /* SIGNAL_READ_CLOSED */
};
#define SIGNALS_POLLED 0x3fULL
_Static_assert(SIGNAL_READABLE == 1 << 0 && SIGNAL_WRITABLE == 1 << 1 && SIGNAL_PEER_CLOSED == 1 << 2 &&
		   SIGNAL_ERROR == 1 << 3 && SIGNAL_PRIORITY == 1 << 4 && SIGNAL_READ_CLOSED == 1 << 5,
    "the table's order");

unsigned poll_events_of(uint64_t signals)
{
	unsigned events = 0;
	for (uint64_t rest = signals & SIGNALS_POLLED; rest; rest &= rest - 1)
		events |= events_of_bit[bit_lowest(rest)];
	return events;
}

uint64_t poll_signals_of(unsigned events)
{
	uint64_t signals = 0;
	for (uint64_t rest = SIGNALS_POLLED; rest; rest &= rest - 1)
		if (events & events_of_bit[bit_lowest(rest)])
			signals |= rest & -rest;
	return signals;
}

/* Look at every file; returns how many items have a result. */
static unsigned poll_look(struct poll_item *items, unsigned n)
{
	unsigned found = 0;
	for (unsigned i = 0; i < n; i++) {
		struct poll_item *it = &items[i];
		if (it->file)
			it->result = poll_events_of(file_signals(it->file)) & it->events;
		found += it->result != 0;
	}
	return found;
}

static void poll_notify(struct observer *ob, UNUSED uint64_t now)
{
	struct poll_set *set = container_of(ob, struct poll_item, observer)->set;
	spin_lock_nested(&set->lock); /* nobody locks an object under it */
	set->fired = true;
	waitq_wake_all(&set->queue);
	spin_unlock(&set->lock);
}

static void poll_observe(struct poll_set *set, struct poll_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct poll_item *it = &items[i];
		if (!it->file)
			continue;
		it->set = set;
		it->observer = (struct observer){.notify = poll_notify};
		kobject_observe(&it->file->object, &it->observer, poll_signals_of(it->events));
	}
}

static void poll_unobserve(struct poll_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (items[i].file)
			kobject_unobserve(&items[i].observer);
}

/* Sleep until something happened since the last call, or the deadline has passed. */
static err_t poll_sleep(struct poll_set *set, nsec_t deadline)
{
	err_t err = 0;
	uint64_t state = spin_lock_irqsave(&set->lock);
	while (!set->fired && !err)
		err = waitq_sleep_irq(&set->queue, &set->lock, deadline, WAIT_INTERRUPTIBLE);
	if (set->fired)
		err = 0;
	set->fired = false;
	spin_unlock_irqrestore(&set->lock, state);
	return err;
}

int64_t poll_wait(struct poll_item *items, unsigned n, nsec_t deadline)
{
	struct poll_set set = {.fired = false};
	unsigned found = poll_look(items, n);
	err_t err = 0;
	if (found || deadline == 0)
		return found;
	spin_init(&set.lock, "poll", RANK_KOBJECT);
	waitq_init(&set.queue);
	poll_observe(&set, items, n);
	while (!found && !err) {
		err = poll_sleep(&set, deadline);
		found = poll_look(items, n);
	}
	poll_unobserve(items, n);
	return found ? (int64_t)found : err == -ETIMEDOUT ? 0 : err;
}
