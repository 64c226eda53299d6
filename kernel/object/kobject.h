#pragma once
/*
 * kobject.h - the base of everything that a descriptor can name.
 *
 * Two counters: `refs` keeps the memory, `descs` counts descriptors (and messages that carry one). When the
 * last descriptor goes, the object is told (on_no_descriptors: a pipe end closes, a file is flushed); when
 * the last reference goes, it is destroyed.
 *
 * Object signals are level state, 64 bits: 0-15 common, 16-47 by type, 48-63 for users. Everything that waits
 * - object_wait, poll, select, epoll, blocking reads - observes them. An observer is told, under the object's
 * lock, whenever a signal of its mask is set, also when it was set already (more data in a readable pipe: an
 * edge-triggered poll wants to know).
 *
 * Letters: (K) the object's lock; (C) constant after creation; (A) atomic
 */
#include "kern/mutex.h"
#include "kern/waitq.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/refcount.h"

enum kobject_type {
	KO_FILE,
	KO_CHANNEL,
	KO_VMO,
	KO_PROCESS,
	KO_THREAD,
	KO_ENDPOINT,
	KO_IRQ,
	KO_SYSTEM,
	KO_EVENT,
	KO_REPLY,
	KO_TTYPORT,
	KO_TYPES
};

enum object_signals {
	SIGNAL_READABLE = 1 << 0,
	SIGNAL_WRITABLE = 1 << 1,
	SIGNAL_PEER_CLOSED = 1 << 2, /* no writer (reader) is left on the other side: POLLHUP, POLLERR */
	SIGNAL_ERROR = 1 << 3,
	SIGNAL_PRIORITY = 1 << 4,    /* POLLPRI */
	SIGNAL_READ_CLOSED = 1 << 5, /* POLLRDHUP */
	SIGNAL_DEAD = 1 << 15,       /* the object is gone for good: nobody stays blocked on it */
};
#define SIGNALS_USER 0xffff000000000000ULL

enum kobject_rights { /* of a descriptor; they only shrink */
	RIGHT_READ = 1 << 0,
	RIGHT_WRITE = 1 << 1,
	RIGHT_EXEC = 1 << 2,
	RIGHT_MAP = 1 << 3,
	RIGHT_WAIT = 1 << 4,
	RIGHT_SIGNAL = 1 << 5,
	RIGHT_DUPLICATE = 1 << 6,
	RIGHT_TRANSFER = 1 << 7,
	RIGHT_INSPECT = 1 << 8,
	RIGHT_MANAGE = 1 << 9, /* kill, resize, set attributes: what changes the object itself */
	RIGHTS_ALL = (1 << 10) - 1,
};

struct kobject;
struct desc_table;

struct kobject_ops {
	enum kobject_type type;
	const char *name;
	/* One descriptor of this table was closed, or replaced. The object is still referenced. May sleep.
	 * NULL: nothing to do. */
	void (*on_desc_closed)(struct kobject *o, struct desc_table *t);
	/* The last descriptor was closed; what it returns, close(2) does. May sleep. NULL: nothing to do. */
	err_t (*on_no_descriptors)(struct kobject *o);
	/* The last reference is gone: free it. May sleep. */
	void (*destroy)(struct kobject *o);
};

struct kobject {
	const struct kobject_ops *ops; /* (C) */
	struct refcount refs;          /* (A) */
	_Atomic uint32_t descs;        /* (A) */
	uint64_t koid;                 /* (C) never reused; see kobject_renew */
	struct spinlock lock;          /* rank RANK_KOBJECT, taken with interrupts disabled */
	_Atomic uint64_t signals;      /* (K) to change; read without */
	struct list observers;         /* (K) */
};

struct observer {
	struct list link; /* (K) of the object */
	struct kobject *object;
	uint64_t mask;
	/* Signals of the mask are set (`now`: all signals). Object locked, interrupts disabled: may wake and
	 * lock, nested, what watches the object; may not sleep. */
	void (*notify)(struct observer *ob, uint64_t now);
	/* The object's last reference is gone: unobserve, and forget it. May sleep. NULL: the observer holds
	 * a reference, so this never happens. */
	void (*gone)(struct observer *ob);
	/* Descriptor fd of table t, which named the object, was closed. As notify. NULL: it does not care. */
	void (*closed)(struct observer *ob, const struct desc_table *t, int fd);
};

/* Once at boot. */
void kobject_start(void);
/* Held while observers without a reference learn that their object is gone; they hold it when they go
 * themselves. RANK_EPOLLS. */
extern struct mutex kobject_ends;
void kobject_init(struct kobject *o, const struct kobject_ops *ops, uint64_t signals);
static inline void kobject_get(struct kobject *o)
{
	ref_get(&o->refs);
}
/* The last reference is gone. */
void kobject_end(struct kobject *o);
static inline void kobject_put(struct kobject *o)
{
	if (unlikely(ref_put(&o->refs)))
		kobject_end(o);
}
/* One more / one fewer descriptor names it. The put returns what on_no_descriptors did, or 0. */
static inline void kobject_desc_get(struct kobject *o)
{
	kobject_get(o);
	fetch_add_relaxed(&o->descs, 1);
}
err_t kobject_desc_put(struct kobject *o);
/* A descriptor of o was closed: tell the observers that care. */
void kobject_tell_closed(struct kobject *o, const struct desc_table *t, int fd);
/* Who observes while a descriptor is being closed adds itself before it looks at the slot; here the slot is
 * empty before observers are looked at. */
static inline void kobject_desc_closed(struct kobject *o, const struct desc_table *t, int fd)
{
	fence_seq_cst();
	if (unlikely(!list_is_empty(&o->observers)))
		kobject_tell_closed(o, t, fd);
}
/* Change signals: clear, then set. Any context that may take RANK_KOBJECT. */
void kobject_signal(struct kobject *o, uint64_t set, uint64_t clear);
/* Has nobody but the caller a way to o? */
static inline bool kobject_is_alone(const struct kobject *o)
{
	return ref_count(&o->refs) == 1 && load_acquire(&o->descs) == 0 && list_is_empty(&o->observers);
}
/* o, which nobody else has, is another object from now on. */
void kobject_renew(struct kobject *o, uint64_t signals);
static inline uint64_t kobject_signals(const struct kobject *o)
{
	return load_acquire(&o->signals);
}
/* The same for who holds o's lock. */
void kobject_signal_locked(struct kobject *o, uint64_t set, uint64_t clear);
/* Add an observer; notify is called at once if a signal of the mask is set. Remove: when it returns, notify
 * neither runs nor will. */
void kobject_observe(struct kobject *o, struct observer *ob, uint64_t mask);
void kobject_unobserve(struct observer *ob);
/* Sleep until any signal of the mask is set or the monotonic deadline passes. *seen gets all signals. 0,
 * -ETIMEDOUT, -EINTR. */
MUST_CHECK err_t kobject_wait(
    struct kobject *o, uint64_t mask, nsec_t deadline, unsigned wait_flags, uint64_t *seen);
