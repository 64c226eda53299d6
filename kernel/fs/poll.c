/*
 * poll.c - poll and select: one thread waits for the first of many files.
 *
 * A look at the signals of every file comes first; only if none has what is asked for does the thread observe
 * them all, and sleep. An observer is told at once of what is set already, so nothing is missed between the
 * look and the sleep; then it looks at all again. Whoever sets a signal only raises a flag and wakes.
 */
#include "fs/poll.h"
#include "lib/bits.h"
#include "object/bell.h"

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
	bell_ring(container_of(ob, struct poll_item, observer)->bell);
}

static void poll_observe(struct bell *bell, struct poll_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct poll_item *it = &items[i];
		if (!it->file)
			continue;
		it->bell = bell;
		it->observer = (struct observer){.notify = poll_notify};
		kobject_observe(&it->file->object, &it->observer, poll_signals_of(it->events));
		if (it->file->ops->refresh) /* kept true from now on, for as long as it is observed */
			it->file->ops->refresh(it->file);
	}
}

static void poll_unobserve(struct poll_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (items[i].file)
			kobject_unobserve(&items[i].observer);
}

int64_t poll_wait(struct poll_item *items, unsigned n, nsec_t deadline)
{
	struct bell bell;
	unsigned found = poll_look(items, n);
	err_t err = 0;
	if (found || deadline == 0)
		return found;
	bell_init(&bell, "poll");
	poll_observe(&bell, items, n);
	while (!found && !err) {
		err = bell_wait(&bell, deadline);
		found = poll_look(items, n);
	}
	poll_unobserve(items, n);
	return found ? (int64_t)found : err == -ETIMEDOUT ? 0 : err;
}
