#pragma once
/*
 * block.h - disks: arrays of 512-byte sectors that are read and written by requests.
 *
 * A request is given to block_submit and comes back exactly once, with its own result in `error`: by a call
 * of `done`, or, if that is NULL, through block_wait. Any number may be under way; they end in any order, and
 * two that touch the same sectors at the same time have no order at all. Data is durable when a FLUSH that
 * was submitted after the write's end, or a write with BLOCK_FUA, has ended without error.
 *
 * Until it has come back the request, its segments and the pages that they name belong to the disk. The owner
 * keeps them alive.
 */
#include "kern/spinlock.h"
#include "kern/waitq.h"
#include "mm/page.h"

enum {
	SECTOR_SHIFT = 9,
	SECTOR_SIZE = 1 << SECTOR_SHIFT,
	BLOCK_NAME_MAX = 16,
};

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };
enum block_flags {
	BLOCK_FUA = 1 << 0, /* WRITE, WRITE_ZEROES: ends when the data is durable */
};

/* A piece of a page. Pieces may begin and end at any byte; their sum is what the disk's blocks ask for. */
struct block_segment {
	struct page *page;
	uint32_t offset, len; /* len > 0, offset + len <= PAGE_SIZE */
};

struct block_device;

struct block_request {
	/* Set by the submitter. */
	enum block_op op;
	unsigned flags;
	uint64_t sector;
	uint64_t nsectors; /* DISCARD, WRITE_ZEROES; READ and WRITE go by their segments */
	const struct block_segment *segments;
	unsigned nsegments;
	/* Called when it has ended, often in an interrupt handler: no sleeping, no allocation, spinlocks of
	 * RANK_IRQ and above only. May free the request, and may submit others. NULL: somebody calls
	 * block_wait. */
	void (*done)(struct block_request *r);
	void *arg; /* for `done` */
	/* The result; valid once it has ended. */
	err_t error;
	/* The disk's. */
	struct block_device *device;
	struct list link;
	nsec_t started;
	nsec_t submitted;     /* for the statistics */
	bool flushing;        /* the write is done, its flush is under way */
	struct spinlock lock; /* guards `ended` */
	bool ended;
	struct waitq waiters;
};

/* What a driver does. */
struct block_driver {
	/* Take a request that was checked; from any context, interrupts disabled or not. It calls block_end,
	 * perhaps before it returns. */
	void (*submit)(struct block_device *b, struct block_request *r);
};

enum { BLOCK_OPS = BLOCK_WRITE_ZEROES + 1 };

/* What a disk has done since boot; each of it (A). */
struct block_stats {
	_Atomic uint64_t ended[BLOCK_OPS];   /* requests */
	_Atomic uint64_t sectors[BLOCK_OPS]; /* in them */
	_Atomic uint64_t time[BLOCK_OPS];    /* ns between submission and end, summed up */
	_Atomic uint64_t under_way;          /* requests */
	_Atomic uint64_t busy_since;         /* when the first of those was submitted */
	_Atomic uint64_t busy; /* ns with a request under way, until the last time there was none */
};

/* Constant after block_register, but the counters. */
struct block_device {
	const struct block_driver *driver;
	void *data;                /* the driver's */
	char name[BLOCK_NAME_MAX]; /* vda */
	uint64_t nsectors;         /* of 512 bytes */
	uint32_t block_size;       /* bytes; requests begin and end at multiples of it */
	bool read_only;
	bool has_cache;          /* what was written is durable only after a flush */
	unsigned max_segments;   /* of a request */
	uint32_t max_sectors;    /* of a READ or WRITE */
	uint32_t max_discard;    /* sectors of a DISCARD; 0: not supported */
	uint32_t max_zeroes;     /* the same of WRITE_ZEROES */
	_Atomic uint64_t errors; /* requests that ended with one */
	struct block_stats stats;
	struct list link; /* guarded by the registry's lock */
};

/* Make a disk known; its driver has filled in the rest. Disks stay. */
void block_register(struct block_device *b);
/* The disk of this name, NULL if there is none; and the index-th one in order of registration. */
struct block_device *block_find(const char *name);
struct block_device *block_at(unsigned index);

/* Prepare a request: everything but op, place and segments has its default. */
void block_request_init(struct block_request *r, enum block_op op, uint64_t sector);
/* Start a request. Never fails by itself: a request that makes no sense ends at once with -EINVAL (not a
 * multiple of the block size, too long, too many segments), -EIO (beyond the end), -EROFS, or -ENOTSUP
 * (DISCARD or WRITE_ZEROES where there is none). From any context, with no lock held that `done` takes, nor
 * one of RANK_IRQ or above. */
void block_submit(struct block_device *b, struct block_request *r);
/* Sleep until a request without `done` has ended; its result. */
MUST_CHECK err_t block_wait(struct block_request *r);
/* For drivers: r has ended. No lock of the driver held. From any context. */
void block_end(struct block_request *r, err_t error);

/* Read or write len bytes (a multiple of the block size) between the kernel's directly mapped memory (frames,
 * slab objects; not stacks) and the disk, in as many requests as it takes. After an error an unknown part was
 * transferred. They sleep. */
MUST_CHECK err_t block_read(struct block_device *b, uint64_t sector, void *buffer, size_t len);
MUST_CHECK err_t block_write(struct block_device *b, uint64_t sector, const void *buffer, size_t len);
/* All that was written before is durable. */
MUST_CHECK err_t block_flush(struct block_device *b);
/* Tell the disk that nobody needs these sectors; any number. */
MUST_CHECK err_t block_discard(struct block_device *b, uint64_t sector, uint64_t nsectors);
