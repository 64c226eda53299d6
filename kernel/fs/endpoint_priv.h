#pragma once
/* endpoint_priv.h - what endpoint.c, endpoint_reply.c and endpoint_circle.c share. */
#include "fs/endpoint.h"
#include "quire/object.h"

/*
 * A message on its way lies on the kernel stack of who sends it, who sleeps until it is done.
 *
 *	QUEUED ──▶ TAKEN ──▶ DONE                       a send
 *	   ▲       ▲ │  └──▶ WAITING ──▶ ANSWERED ──▶ DONE       a call
 *	   └───────│─┘          ▲           │
 *	GIVEN ─────┘            └───────────┘
 *
 * GIVEN: to a receiver that slept and has been woken, but does not run yet. In TAKEN and ANSWERED somebody
 * copies, without the lock; he alone ends that state, and the sender sleeps through signals and its deadline
 * until he has. Letters: (E) endpoint_lock; (A) atomic; (C)
 * constant; (S) the sender, or who has TAKEN or ANSWERED it.
 */
enum transfer_state {
	TRANSFER_QUEUED,
	TRANSFER_GIVEN,
	TRANSFER_TAKEN,
	TRANSFER_WAITING,
	TRANSFER_ANSWERED,
	TRANSFER_DONE
};

struct transfer {
	enum transfer_state state; /* (E) */
	err_t result;              /* (E) with DONE */
	err_t cancelled;           /* (E) not 0: while it was being copied, the sender wanted to give up */
	bool received;             /* (E) its descriptors have left the sender */
	bool brief;                /* (C) not to be waited with for a receiver */
	nsec_t deadline;           /* (C) */
	struct list link;          /* (E) QUEUED: in endpoint.senders */
	struct receiver *receiver; /* (E) GIVEN: to whom */
	struct list blocked_link;  /* (E) endpoint_circle.c */
	struct endpoint *endpoint; /* (C) its end is held by the sender */
	struct file *from;         /* (C) that end */
	struct reply *reply;       /* (C) of a call; else NULL */
	struct thread *thread;     /* (C) the sender, parked under (E) until DONE */
	struct desc_table *table;  /* (C) the sender's, counted if there are parcels */
	struct quire_message m;    /* (S) as the sender gave it, then the answer */
	struct parcel parcels[QUIRE_MESSAGE_FDS]; /* (S) m.nfds of them */
};

struct endpoint {
	struct refcount refs;        /* of its two files */
	struct list senders;         /* (E) QUEUED transfers, oldest first */
	struct list receivers;       /* (E) struct receiver that sleep, oldest first: there are no news */
	uint64_t notified;           /* (E) */
	struct file *receive, *send; /* (E) the ends; NULL: gone */
	bool watched;                /* (E) the signals of the ends are kept true; never cleared */
	struct reply *_Atomic spare; /* (A) for the next call; NULL: none */
	bool receive_closed, send_closed; /* (E) no descriptor is left of that end */
	uint64_t server; /* (E) serial of the only thread that has received from it; 0: none, or several */
	bool many;       /* (E) several */
	const struct desc_table *server_table; /* (E) its descriptors; only compared */
};

/* What a receiver has for bytes that do not fit the message. */
struct room {
	uaddr_t data;
	uint32_t capacity;
};

struct receiver {
	struct list link;       /* (E) in endpoint.receivers, while it has got nothing */
	struct thread *thread;  /* (C) parked under (E) until it has */
	struct transfer *given; /* (E) GIVEN; NULL: none, or its sender has given up */
	uint64_t bits;          /* (E) that were notified; or 0 */
};

struct reply {
	struct file *file; /* (C) */
	/* (A) changed under (E), but by who has it ANSWERED; NULL: nobody waits for it, nor ever will */
	struct transfer *_Atomic caller;
	bool dropped;    /* (E) no descriptor is left of it */
	uint64_t holder; /* (E) serial of the thread that received it and has it still; 0: not known */
	const struct desc_table *holder_table; /* (E) its descriptors; only compared */
};

extern struct spinlock endpoint_lock; /* (E) RANK_WAIT */

/* It is used once, so there is nothing to duplicate. */
enum { REPLY_RIGHTS = RIGHT_WRITE | RIGHT_TRANSFER | RIGHT_INSPECT | RIGHT_WAIT | RIGHT_SIGNAL };

/* Read the message and its descriptors. -EFAULT, -EMSGSIZE, -EINVAL, -EBADF, -EACCES. */
MUST_CHECK err_t message_fetch(
    const struct endpoint_user *u, uaddr_t at, struct quire_message *m, struct parcel *parcels);
void parcels_drop(struct parcel *parcels, unsigned n);
/* Make descriptors of m's parcels in u's table; m->fds gets them. All or nothing. -EMFILE, -ENOMEM. */
MUST_CHECK err_t parcels_install(
    const struct endpoint_user *u, struct quire_message *m, const struct parcel *parcels);
void parcels_uninstall(
    const struct endpoint_user *u, const struct quire_message *m, const struct parcel *parcels);
/* The sender's descriptors go. */
void parcels_leave(struct desc_table *t, const int32_t *fds, const struct parcel *parcels, unsigned n);
/* Tell m to the current thread's memory. */
MUST_CHECK err_t message_tell(uaddr_t at, const struct quire_message *m);
/* t is done: its sender is woken. Locked. */
void transfer_finish_locked(struct transfer *t, err_t result);

/* endpoint_reply.c */
MUST_CHECK err_t reply_create(struct reply **out);
/* The reply of a call to e: the one of an earlier call, if nobody has it any more, or a new one. -ENOMEM. */
static inline MUST_CHECK err_t reply_get(struct endpoint *e, struct reply **out)
{
	struct reply *r = exchange_acq_rel(&e->spare, NULL);
	if (unlikely(!r))
		return reply_create(out);
	kobject_renew(&r->file->object, SIGNAL_WRITABLE);
	r->dropped = false;
	r->holder = 0;
	*out = r;
	return 0;
}
/* The call is over. May sleep. */
static inline void reply_put(struct endpoint *e, struct reply *r)
{
	struct reply *none = NULL;
	if (unlikely(!kobject_is_alone(&r->file->object) || !cas_acq_rel(&e->spare, &none, r)))
		file_put(r->file);
}
/* e ends. */
void reply_forget(struct endpoint *e);
/* Answer, but for waking the caller: *out, ANSWERED, with its result. *room: what the message says of it, for
 * the next one. Errors as endpoint_reply; *room is set with -EPIPE too. */
MUST_CHECK err_t reply_prepare(struct file *f, int fd, const struct endpoint_user *u, uaddr_t message,
    struct room *room, struct transfer **out);

/* endpoint_circle.c */
void circle_init(bool (*is_alone)(const struct thread *t));
/* t's sender is about to sleep, or has slept. Locked. */
void circle_enter_locked(struct transfer *t);
static inline void circle_leave_locked(struct transfer *t)
{
	list_remove(&t->blocked_link);
}
/* Would nobody ever receive t but its sender, directly or through others that wait? Locked. */
bool circle_is_closed_locked(const struct transfer *t);
