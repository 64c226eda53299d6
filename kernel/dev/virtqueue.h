#pragma once
/*
 * virtqueue.h - the split ring by which a driver hands buffers to a virtio device: Virtual I/O Device 1.1,
 * 2.6.
 *
 * Only arithmetic on memory: no registers, no locks (the driver serialises all calls on a queue), so that it
 * runs on the host against a model of a device. What the device writes is not trusted: an index that runs
 * ahead of what was handed out, or an entry that names no chain in flight, makes the queue `broken`, and a
 * broken queue accepts and returns nothing more. The driver's own books (which descriptors are free, how long
 * a chain is) are outside the memory that the device knows.
 */
#include "lib/atomic.h"
#include "lib/err.h"

enum {
	VIRTQUEUE_MAX = 256,       /* descriptors; a power of two */
	VIRTQUEUE_BYTES = 8192,    /* memory of a queue of any size, physically contiguous, zeroed */
	VIRTQUEUE_AVAIL_AT = 4096, /* where the parts lie in there */
	VIRTQUEUE_USED_AT = 4096 + 1024,
};

enum virtq_desc_flags {
	VIRTQ_NEXT = 1 << 0,
	VIRTQ_WRITE = 1 << 1, /* the device writes here */
	VIRTQ_INDIRECT = 1 << 2,
};

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct virtq_avail {
	uint16_t flags; /* 1: no interrupts, please */
	_Atomic uint16_t idx;
	uint16_t ring[]; /* [size] is used_event */
};
struct virtq_used_entry {
	uint32_t id, len;
};
struct virtq_used {
	uint16_t flags; /* 1: no notifications, please */
	_Atomic uint16_t idx;
	struct virtq_used_entry ring[]; /* [size] begins with avail_event */
};

/* What the driver knows of a chain that begins at this descriptor, or of a free descriptor. */
struct virtq_book {
	void *cookie;   /* NULL: no chain in flight begins here */
	uint16_t next;  /* of a chain, or of the free list */
	uint16_t count; /* descriptors of the chain */
};

struct virtqueue {
	uint16_t size, nfree, free_head;
	uint16_t avail_idx;  /* chains handed out so far */
	uint16_t kicked_idx; /* avail_idx when the device was last asked whether it wants to be told */
	uint16_t used_idx;   /* chains taken back so far */
	bool event_idx;      /* VIRTIO_F_EVENT_IDX was negotiated */
	bool broken;         /* the device wrote nonsense */
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	struct virtq_book book[VIRTQUEUE_MAX];
};

/* Begin with an empty ring of `size` (a power of two, at most VIRTQUEUE_MAX) in `memory`. */
void virtqueue_init(struct virtqueue *q, void *memory, uint16_t size, bool event_idx);
/* Hand out a chain of n >= 1 buffers (addr, len, VIRTQ_WRITE), those that the device reads first; with
 * VIRTQ_INDIRECT, one buffer that is a table. The cookie comes back with the chain and is not NULL. -ENOSPC:
 * too few free descriptors; -EIO: broken. */
MUST_CHECK err_t virtqueue_add(
    struct virtqueue *q, const struct virtq_desc *buffers, unsigned n, void *cookie);
/* After some virtqueue_add: does the device want to be notified? */
MUST_CHECK bool virtqueue_wants_notify(struct virtqueue *q);
/* The next chain that the device is done with; NULL: none, or broken. *len: bytes that it says it wrote. */
void *virtqueue_get(struct virtqueue *q, uint32_t *len);
/* Ask for an interrupt when the next chain is done. True: one is done already, and there may be no interrupt
 * for it. */
MUST_CHECK bool virtqueue_arm(struct virtqueue *q);
/* Chains that the device has. */
static inline unsigned virtqueue_in_flight(const struct virtqueue *q)
{
	return (uint16_t)(q->avail_idx - q->used_idx);
}
/* Take back the cookie of some chain in flight whatever the device thinks; NULL: none is left. Only after the
 * device was reset. */
void *virtqueue_revoke(struct virtqueue *q);
