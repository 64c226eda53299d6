/*
 * uioprio.c - priorities of input and output, advice about another process's memory, file handles.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "utap.h"

enum { PROCESS = 1, PGRP, USER, NONE = 0, RT = 1 << 13, BE = 2 << 13, IDLE = 3 << 13 };

static long set(int which, int who, int priority)
{
	return syscall(SYS_ioprio_set, which, who, priority);
}

static long get(int which, int who)
{
	return syscall(SYS_ioprio_get, which, who);
}

static int inherits(void *arg)
{
	(void)arg;
	return get(PROCESS, 0) == (BE | 6) ? 0 : 1;
}

static int lone_group(void *arg)
{
	(void)arg;
	setpgid(0, 0);
	if (set(PROCESS, 0, NONE) || setpriority(PRIO_PROCESS, 0, 10) || get(PGRP, 0) != (BE | 6))
		return 1;
	if (set(PGRP, 0, BE | 2) || get(PGRP, 0) != (BE | 2) || get(PROCESS, 0) != (BE | 2))
		return 2;
	return 0;
}

static int unprivileged(void *arg)
{
	int parent = *(int *)arg;
	if (setresuid(4242, 4242, 4242))
		return 1;
	if (!FAILS_WITH(set(PROCESS, 0, RT | 1), EPERM) || !FAILS_WITH(set(PROCESS, parent, BE | 1), EPERM))
		return 2;
	if (set(USER, 4242, BE | 7) || get(USER, 4242) != (BE | 7))
		return 3;
	return get(PROCESS, parent) == IDLE ? 0 : 4;
}

static bool priorities(void)
{
	CHECK(get(PROCESS, 0) == NONE && get(PROCESS, getpid()) == NONE);
	CHECK(set(PROCESS, 0, BE | 6) == 0 && get(PROCESS, 0) == (BE | 6));
	CHECK(child_exits(inherits, NULL, 0) && child_exits(lone_group, NULL, 0));
	CHECK(FAILS_WITH(set(PROCESS, 0, 1), EINVAL) && FAILS_WITH(set(PROCESS, 0, 4 << 13), EINVAL));
	CHECK(FAILS_WITH(set(0, 0, BE), EINVAL) && FAILS_WITH(set(4, 0, BE), EINVAL) &&
	      FAILS_WITH(get(9, 0), EINVAL));
	CHECK(FAILS_WITH(set(PROCESS, 1 << 30, BE), ESRCH) && FAILS_WITH(get(PROCESS, 1 << 30), ESRCH));
	CHECK(FAILS_WITH(get(PGRP, 1 << 30), ESRCH) && FAILS_WITH(get(USER, 1 << 30), ESRCH));
	CHECK(set(PROCESS, 0, IDLE) == 0 && get(PROCESS, 0) == IDLE);
	int self = getpid();
	CHECK(geteuid() != 0 || child_exits(unprivileged, &self, 0));
	CHECK(set(PROCESS, 0, NONE) == 0);
	return true;
}

static long advise(int fd, struct iovec *v, long n, int advice, unsigned flags)
{
	return syscall(SYS_process_madvise, fd, v, n, advice, flags);
}

static bool advice_to_others(void)
{
	char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0), null = open("/dev/null", O_RDONLY);
	struct iovec v[2] = {{p, 4096}, {p + 8192, 8192}}, odd = {p + 1, 4096},
		     gone = {(char *)0x10000, 4096};
	CHECK(p != MAP_FAILED && fd >= 0 && null >= 0);
	memset(p, 7, 4 * 4096);
	CHECK(advise(fd, v, 2, MADV_COLD, 0) == 12288 && p[0] == 7 && p[8192] == 7);
	CHECK(advise(fd, v, 1, MADV_WILLNEED, 0) == 4096 && advise(fd, v, 0, MADV_COLD, 0) == 0);
	CHECK(FAILS_WITH(advise(fd, v, 2, MADV_COLD, 1), EINVAL) &&
	      FAILS_WITH(advise(99, v, 2, MADV_COLD, 0), EBADF));
	CHECK(FAILS_WITH(advise(null, v, 2, MADV_COLD, 0), EBADF) &&
	      FAILS_WITH(advise(fd, NULL, 1, MADV_COLD, 0), EFAULT));
	CHECK(FAILS_WITH(advise(fd, &odd, 1, MADV_COLD, 0), EINVAL) &&
	      FAILS_WITH(advise(fd, &gone, 1, MADV_COLD, 0), ENOMEM));
	CHECK(FAILS_WITH(advise(fd, v, 5000, MADV_COLD, 0), EINVAL));
	munmap(p, 4 * 4096);
	close(fd);
	close(null);
	return true;
}

static bool handles(void)
{
	struct {
		unsigned bytes;
		int type;
		char data[128];
	} h = {.bytes = 0}, big = {.bytes = 129};
	int mount_id;
	CHECK(FAILS_WITH(syscall(SYS_name_to_handle_at, AT_FDCWD, "/", &h, &mount_id, 0x100), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_name_to_handle_at, AT_FDCWD, "/nowhere", &h, &mount_id, 0), ENOENT));
	CHECK(FAILS_WITH(syscall(SYS_name_to_handle_at, 99, "x", &h, &mount_id, 0), EBADF));
	if (geteuid() != 0)
		return true;
	CHECK(FAILS_WITH(syscall(SYS_open_by_handle_at, AT_FDCWD, &h, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_open_by_handle_at, AT_FDCWD, &big, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0), EFAULT));
	h.bytes = 8;
	CHECK(FAILS_WITH(syscall(SYS_open_by_handle_at, 99, &h, 0), EBADF));
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"priorities of input and output", priorities},
	    {"advice about a process's memory", advice_to_others},
	    {"file handles", handles},
	};
	return UTEST_RUN(tests);
}
