/* uio.c - moving bytes between a kernel buffer and where a read or write wants them. */
#include "arch/usercopy.h"
#include "fs/uio.h"
#include "lib/string.h"

static void init(struct uio *u, const struct uio_segment *segs, unsigned n, bool user)
{
	*u = (struct uio){.segments = segs, .nsegments = n, .user = user, .limit = UINT64_MAX};
	for (unsigned i = 0; i < n; i++)
		u->left += MIN(segs[i].len, UIO_MAX_BYTES - u->left);
}

void uio_init_kernel(struct uio *u, struct uio_segment *seg, void *buf, size_t len)
{
	*seg = (struct uio_segment){(uintptr_t)buf, len};
	init(u, seg, 1, false);
}

void uio_init_user(struct uio *u, const struct uio_segment *segs, unsigned n)
{
	init(u, segs, n, true);
}

enum direction { FROM_UIO, TO_UIO, ZERO_UIO };

/* Move n bytes at one address; returns how many were not moved. */
static size_t move(const struct uio *u, uint64_t at, void *buf, size_t n, enum direction d)
{
	if (u->user)
		return d == FROM_UIO ? copy_from_user_partial(buf, at, n)
		       : d == TO_UIO ? copy_to_user_partial(at, buf, n)
				     : zero_user_partial(at, n);
	void *p = (void *)(uintptr_t)at;
	if (d == FROM_UIO)
		memcpy(buf, p, n);
	else if (d == TO_UIO)
		memcpy(p, buf, n);
	else
		memset(p, 0, n);
	return 0;
}

static void advance(struct uio *u, size_t n)
{
	u->offset += n;
	u->left -= n;
	while (u->index < u->nsegments && u->offset == u->segments[u->index].len) {
		u->index++;
		u->offset = 0;
	}
}

static err_t transfer(struct uio *u, uint8_t *buf, size_t n, size_t *done, enum direction d)
{
	ASSERT(n <= u->left);
	*done = 0;
	if (n)
		advance(u, 0); /* over empty segments */
	while (*done < n) {
		const struct uio_segment *s = &u->segments[u->index];
		size_t part = MIN(n - *done, s->len - u->offset);
		size_t missed = move(u, s->base + u->offset, buf ? buf + *done : NULL, part, d);
		*done += part - missed;
		advance(u, part - missed);
		if (missed)
			return -EFAULT;
	}
	return 0;
}

err_t uio_read(struct uio *u, void *buf, size_t n, size_t *done)
{
	return transfer(u, buf, n, done, FROM_UIO);
}

err_t uio_write(struct uio *u, const void *buf, size_t n, size_t *done)
{
	return transfer(u, (void *)(uintptr_t)buf, n, done, TO_UIO);
}

err_t uio_zero(struct uio *u, size_t n, size_t *done)
{
	return transfer(u, NULL, n, done, ZERO_UIO);
}

void uio_skip(struct uio *u, size_t n)
{
	ASSERT(n <= u->left);
	while (n) {
		size_t part = MIN(n, u->segments[u->index].len - u->offset);
		advance(u, part);
		n -= part;
	}
}
