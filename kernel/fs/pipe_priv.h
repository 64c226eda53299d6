#pragma once
/*
 * pipe_priv.h - what pipe.c and splice.c share.
 */
#include "fs/pipe.h"
#include "mm/frame.h"

struct pipe_slot {
	struct page *page;
	uint16_t offset, len;
	bool packet; /* a read stops at its end */
	bool closed; /* nothing is written behind its bytes */
};

/* (M) lock; (H) hold_lock to change, with (M), either to read; (A) atomic */
struct pipe {
	struct mutex lock;          /* RANK_CHANNEL */
	struct pipe_slot *ring;     /* (M) nslots, a power of two */
	unsigned nslots;            /* (M) */
	unsigned tail, used;        /* (M) */
	unsigned reserved;          /* (M) free slots that who holds the write side counts on */
	unsigned readers, writers;  /* (M) ends */
	uint64_t writer_opens;      /* (M) so far */
	struct list ends;           /* (M) */
	unsigned nends;             /* (M); of a fifo guarded by the vnode's lock as well */
	struct page *spare;         /* (M) a page that was read empty, for the next write */
	struct spinlock hold_lock;  /* RANK_SERVICE */
	bool read_held, write_held; /* (H) a splice has this side for itself */
	struct waitq unheld;        /* predicate: read_held, write_held */
	_Atomic uint64_t read_at,
	    written_at; /* (A) when the times of its file were set last, in TIME_GRAIN */
};

struct pipe_end {
	struct list link; /* (M) */
	struct pipe *pipe;
	struct file *file;
	bool reads, writes;
	uint64_t
	    opens_seen; /* (M) writer_opens when a reader opened with no writer: no hang-up before one came */
};

extern const struct file_ops pipe_file_ops;

static inline struct pipe *pipe_of(struct file *f)
{
	return ((struct pipe_end *)f->priv)->pipe;
}
/* The i-th slot from the tail on. */
static inline struct pipe_slot *pipe_slot(struct pipe *p, unsigned i)
{
	return &p->ring[(p->tail + i) & (p->nslots - 1)];
}
static inline void *pipe_slot_bytes(const struct pipe_slot *s)
{
	return (uint8_t *)page_to_virt(s->page) + s->offset;
}

enum pipe_side { PIPE_READ_SIDE, PIPE_WRITE_SIDE };

/* Take (M) while nobody holds this side. -EINTR: not taken. May sleep. */
MUST_CHECK err_t pipe_lock_side(struct pipe *p, enum pipe_side side);
/* Hold a side that pipe_lock_side found free, or let it go. (M) is held. */
void pipe_hold(struct pipe *p, enum pipe_side side, bool hold);
/* Tell the ends of one side or both how things are, (M) held. */
void pipe_tell(struct pipe *p, bool readers, bool writers);
/* The first slot's page goes. (M) held. */
void pipe_pop(struct pipe *p);
/* A page for a slot. NULL: no memory. */
struct page *pipe_page_alloc(void);
