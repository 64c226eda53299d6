#pragma once
/*
 * poll.h - waiting for the first of many files: poll and select, and what they share with epoll. See poll.c,
 * epoll.c.
 */
#include "fs/file.h"

enum poll_events { /* the ABI's */
	POLL_IN = 0x001,
	POLL_PRI = 0x002,
	POLL_OUT = 0x004,
	POLL_ERR = 0x008,
	POLL_HUP = 0x010,
	POLL_NVAL = 0x020,
	POLL_RDNORM = 0x040,
	POLL_RDBAND = 0x080,
	POLL_WRNORM = 0x100,
	POLL_WRBAND = 0x200,
	POLL_RDHUP = 0x2000,
	POLL_ALWAYS = POLL_ERR | POLL_HUP, /* told whether asked for or not */
};

/* What these object signals are as events, and the signals that may mean one of these events. */
unsigned poll_events_of(uint64_t signals);
uint64_t poll_signals_of(unsigned events);

/* One file that is waited for. */
struct poll_item {
	struct file *file; /* counted by the caller; NULL: left out */
	unsigned events;   /* that are to be told; POLL_ALWAYS is for the caller to add */
	unsigned result;   /* what is so, of that */
	struct bell *bell;
	struct observer observer;
};

/* Fill in the results of n items. Sleep until at least one is not 0, the monotonic deadline (0: do not sleep)
 * passes or a signal comes. Returns the number of items with results, 0 at the deadline, -EINTR. Items with a
 * result that is set already count as found. */
MUST_CHECK int64_t poll_wait(struct poll_item *items, unsigned n, nsec_t deadline);
