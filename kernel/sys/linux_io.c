/*
 * linux_io.c - reading and writing, as far as there is something to read and write: descriptors 1 and 2 of
 * every process are the console, descriptor 0 is at its end.
 */
#include "dev/console.h"
#include "kern/mutex.h"
#include "sys/sys.h"

enum { FD_IN = 0, FD_OUT = 1, FD_ERR = 2, IOV_COUNT_MAX = 1024, CHUNK = 512 };
#define IO_MAX 0x7ffff000ULL /* bytes that one call moves at most, as on Linux */

struct sys_iovec {
	uaddr_t base;
	uint64_t len;
};

/* Held over a whole call, so that what two processes write does not mix within a line. */
static struct mutex write_lock;

void sys_io_init(void)
{
	mutex_init(&write_lock, "console write", RANK_PROC);
}

static bool fd_is_open(int32_t fd)
{
	return fd >= FD_IN && fd <= FD_ERR;
}
static bool fd_is_writable(int32_t fd)
{
	return fd == FD_OUT || fd == FD_ERR;
}

/* Write n bytes; *done counts on. -EFAULT after what could be read was written. */
static err_t console_write_user(uaddr_t from, uint64_t n, uint64_t *done)
{
	char chunk[CHUNK];
	while (n) {
		size_t part = MIN(n, sizeof(chunk));
		size_t got = part - copy_from_user_partial(chunk, from, part);
		console_write(chunk, got);
		*done += got;
		if (got < part)
			return -EFAULT;
		from += part;
		n -= part;
	}
	return 0;
}

int64_t sys_read(int32_t fd, UNUSED uaddr_t buf, uint64_t count)
{
	if (fd != FD_IN)
		return -EBADF;
	return (int64_t)count < 0 ? -EINVAL : 0;
}

int64_t sys_write(int32_t fd, uaddr_t buf, uint64_t count)
{
	uint64_t done = 0;
	if (!fd_is_writable(fd))
		return -EBADF;
	if ((int64_t)count < 0)
		return -EINVAL;
	mutex_lock(&write_lock);
	err_t err = console_write_user(buf, MIN(count, IO_MAX), &done);
	mutex_unlock(&write_lock);
	return done ? (int64_t)done : err;
}

/* Fetch entry i; the sum of lengths must stay a positive number. */
static err_t get_iovec(uaddr_t iov, int32_t i, uint64_t *total, struct sys_iovec *out)
{
	err_t err = copy_from_user(out, iov + (uint64_t)i * sizeof(*out), sizeof(*out));
	if (err)
		return err;
	if (out->len > INT64_MAX - *total)
		return -EINVAL;
	*total += out->len;
	return 0;
}

/* The whole array is checked before the first byte moves. */
static err_t check_iovecs(uaddr_t iov, int32_t count)
{
	struct sys_iovec v;
	uint64_t total = 0;
	if (count < 0 || count > IOV_COUNT_MAX)
		return -EINVAL;
	for (int32_t i = 0; i < count; i++) {
		err_t err = get_iovec(iov, i, &total, &v);
		if (err)
			return err;
	}
	return 0;
}

int64_t sys_readv(int32_t fd, uaddr_t iov, int32_t count)
{
	return fd == FD_IN ? check_iovecs(iov, count) : -EBADF;
}

int64_t sys_writev(int32_t fd, uaddr_t iov, int32_t count)
{
	struct sys_iovec v;
	uint64_t total = 0, done = 0;
	if (!fd_is_writable(fd))
		return -EBADF;
	err_t err = check_iovecs(iov, count);
	if (err)
		return err;
	mutex_lock(&write_lock);
	for (int32_t i = 0; !err && i < count && done < IO_MAX; i++) {
		err = get_iovec(iov, i, &total, &v); /* another thread may have changed it: checked again */
		if (!err)
			err = console_write_user(v.base, MIN(v.len, IO_MAX - done), &done);
	}
	mutex_unlock(&write_lock);
	return done ? (int64_t)done : err;
}

/* No descriptor is a terminal or another device that takes requests. */
int64_t sys_ioctl(int32_t fd, UNUSED uint32_t request, UNUSED uaddr_t arg)
{
	return fd_is_open(fd) ? -ENOTTY : -EBADF;
}
