#pragma once
/* uio.h - where the bytes of a read or write come from or go to: kernel memory or the user's iovec, so that
 * file systems never see a user pointer. */
#include "lib/assert.h"
#include "lib/err.h"

enum { UIO_MAX_SEGMENTS = 1024, UIO_MAX_BYTES = 0x7ffff000 }; /* Linux's IOV_MAX and MAX_RW_COUNT */

struct uio_segment {
	uint64_t base; /* kernel address or user address */
	size_t len;
};

struct uio {
	const struct uio_segment *segments;
	unsigned nsegments;
	bool user;      /* bases are user addresses */
	unsigned index; /* position: segment and byte in it */
	size_t offset;
	size_t left; /* bytes from the position on */
	uint64_t
	    limit; /* regular files: nothing is written at or beyond this byte (RLIMIT_FSIZE); UINT64_MAX: no limit */
	bool limit_hit; /* result of a write: -EFBIG came from `limit`, so SIGXFSZ is due */
	bool keep_suid; /* the writer may leave set-user-id bits as they are (CAP_FSETID) */
	bool append;    /* this one write appends, whatever the file's flags say (RWF_APPEND) */
	uint32_t sync;  /* FILE_DSYNC, FILE_SYNC: this one write is durable when it returns */
	bool
	    nonblock; /* this one call does not wait (RWF_NOWAIT, MSG_DONTWAIT), whatever the file's flags say */
};

/* limit: none; keep_suid, nonblock: false. n segments whose lengths add up to at most SSIZE_MAX were checked
 * by the caller; what is beyond UIO_MAX_BYTES is not moved. */
void uio_init_kernel(struct uio *u, struct uio_segment *seg, void *buf, size_t len);
void uio_init_user(struct uio *u, const struct uio_segment *segs, unsigned n);
/* Move n bytes (<= left) between buf and the position, and advance by what was moved; *done gets that. 0 or
 * -EFAULT. May sleep: no spinlock held, and no lock that a page fault needs. */
MUST_CHECK err_t uio_read(struct uio *u, void *buf, size_t n, size_t *done); /* from the uio into buf */
MUST_CHECK err_t uio_write(
    struct uio *u, const void *buf, size_t n, size_t *done); /* from buf into the uio */
MUST_CHECK err_t uio_zero(struct uio *u, size_t n, size_t *done);
/* Leave out n bytes (<= left) without looking at them. */
void uio_skip(struct uio *u, size_t n);
