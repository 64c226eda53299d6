/* linux_misc.c - calls of the Linux ABI that belong nowhere else, and what several of them share. */
#include "kern/random.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "sys/sys.h"

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };
#define GETRANDOM_MAX 0x1ffffffULL /* bytes that one call gives at most, as on Linux */

int64_t sys_getrandom(uaddr_t buf, uint64_t count, uint32_t flags)
{
	uint8_t chunk[256];
	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if ((flags & GRND_RANDOM) && (flags & GRND_INSECURE))
		return -EINVAL;
	uint64_t done = 0;
	count = MIN(count, GETRANDOM_MAX);
	while (done < count && !thread_is_killed()) {
		size_t part = MIN(count - done, sizeof(chunk));
		random_bytes(chunk, part);
		size_t left = copy_to_user_partial(buf + done, chunk, part);
		done += part - left;
		if (left)
			return done ? (int64_t)done : -EFAULT;
	}
	return (int64_t)done;
}

static err_t check_zero(uaddr_t at, uint64_t n)
{
	uint8_t chunk[64];
	while (n) {
		uint64_t part = MIN(n, sizeof(chunk));
		if (copy_from_user(chunk, at, part))
			return -EFAULT;
		for (uint64_t i = 0; i < part; i++)
			if (chunk[i])
				return -E2BIG;
		at += part;
		n -= part;
	}
	return 0;
}

err_t struct_fetch(void *to, size_t ours, uaddr_t from, uint64_t size)
{
	err_t err = size > ours ? check_zero(from + ours, size - ours) : 0;
	memset(to, 0, ours);
	return err ? err : copy_from_user(to, from, MIN(size, (uint64_t)ours));
}
