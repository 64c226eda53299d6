#pragma once
/* tty_port.h - terminals whose device is driven by a process. See tty_port.c. */
#include "fs/tty.h"
#include "quire/ttyport.h"

enum {
	PORT_OUT_SIZE = 4096, /* bytes of output that wait, as on Linux */
	PORT_NOTHING = -1,    /* value of `urgent` */
};

/* What happened on the line since the port was made. */
struct port_counts {
	uint32_t cts, dsr, rng, dcd; /* changes */
	uint32_t rx, tx, frame, overrun, parity, brk, lost;
};

/* (L) the line's lock; (C) constant after creation; (W) wait_lock; (F) lock of the port's file */
struct tty_port {
	struct tty_line line;       /* first */
	struct tty tty;             /* what programs open */
	unsigned number;            /* (C) N of ttySN */
	struct file *file;          /* (L) the driver's; NULL: it has gone */
	bool closed;                /* (L) the last descriptor of it has been closed */
	uint8_t out[PORT_OUT_SIZE]; /* (L) */
	size_t out_head, out_tail;  /* (L) free-running */
	int urgent;                 /* (L) a character that passes all others, or PORT_NOTHING */
	bool idle;                  /* (L) what was read has been sent */
	bool in_break;              /* (L) */
	uint32_t wish, followed; /* (L) number of the newest wish, and of the one that the driver follows */
	uint32_t set;            /* (L) lines that are to be set: LINES_OUT */
	struct quire_ttyport device; /* (L) as the driver said last */
	struct port_counts counts;   /* (L) */
	struct spinlock wait_lock;   /* RANK_WAIT */
	struct waitq wait;           /* (W) for `events` to change */
	uint64_t events;             /* (L, W) something happened that calls wait for */
};

static inline struct tty_port *tty_port_of(const struct tty *t)
{
	return container_of(t->line, struct tty_port, line);
}
/* Sleep until something happens; (L) is dropped meanwhile. -EINTR. */
MUST_CHECK err_t tty_port_wait_locked(struct tty_port *p);
/* The driver is to see to something; tty_settle is due. */
void tty_port_wish_locked(struct tty_port *p);

/* --- for native calls; all may sleep --- */

/* Make a terminal ttyS`number` and the driver's side of it, with one reference. -EINVAL: no such number;
 * -EBUSY: there is one; -ENOMEM. */
MUST_CHECK err_t tty_port_create(unsigned number, struct file **out);
/* Take in what the driver says and fill in what the terminal wishes. */
void tty_port_exchange(struct file *port, struct quire_ttyport *x);
/* Something else than a good byte came. -EINVAL: no such fault. */
MUST_CHECK err_t tty_port_fault(struct file *port, enum quire_tty_fault fault, uint8_t byte);

/* --- tty_port_ioctl.c --- */
int64_t tty_port_ioctl(struct file *f, struct tty *t, uint32_t request, uint64_t arg);
