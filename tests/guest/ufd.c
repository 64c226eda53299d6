/*
 * ufd.c - calls on descriptors: dup, fcntl, lseek, stat, close_range.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "utap.h"

#define SETLEASE 1024
#define GETLEASE 1025
#define GETPIPE  1032
#define SETPIPE  1031

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A descriptor of a file in memory with `size` zero bytes. */
static int memory_file(off_t size)
{
	int fd = (int)syscall(SYS_memfd_create, "test", 3);
	if (fd >= 0 && size && lseek(fd, size - 1, SEEK_SET) == size - 1 && write(fd, "", 1) != 1)
		return -1;
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool dup_takes_lowest(void)
{
	int a = dup(1), b = dup(1), c;
	CHECK(a >= 0 && b > a);
	close(a);
	c = dup(b);
	CHECK(c == a);
	CHECK(fcntl(c, F_GETFD) == 0);
	close(b);
	close(c);
	CHECK(FAILS_WITH(dup(b), EBADF));
	CHECK(FAILS_WITH(dup(-1), EBADF));
	return true;
}

static bool dup2_replaces(void)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	CHECK(dup2(fds[0], 100) == 100);
	CHECK(dup2(fds[1], 100) == 100);
	CHECK(write(100, "x", 1) == 1);
	CHECK(dup2(100, 100) == 100);
	CHECK(FAILS_WITH(dup2(99, 99), EBADF));
	CHECK(FAILS_WITH(dup2(99, 100), EBADF));
	CHECK(is_open(100));
	CHECK(FAILS_WITH(dup2(100, -1), EBADF));
	CHECK(FAILS_WITH(dup2(100, INT_MAX), EBADF));
	CHECK(FAILS_WITH(syscall(SYS_dup3, 100, 100, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_dup3, 99, 99, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_dup3, 100, 101, O_NONBLOCK), EINVAL));
	CHECK(syscall(SYS_dup3, 100, 101, O_CLOEXEC) == 101);
	CHECK(fcntl(101, F_GETFD) == FD_CLOEXEC);
	close(100);
	close(101);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool limit_is_respected(void)
{
	struct rlimit low = {20, 1024}, old;
	int limit = 20;
	if (getrlimit(RLIMIT_NOFILE, &old) == 0) {
		low.rlim_max = old.rlim_max;
		CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	} else {
		limit = 1024; /* what a process starts with */
	}
	CHECK(FAILS_WITH(dup2(1, limit), EBADF));
	CHECK(FAILS_WITH(fcntl(1, F_DUPFD, limit), EINVAL));
	CHECK(dup2(1, limit - 1) == limit - 1);
	CHECK(FAILS_WITH(fcntl(1, F_DUPFD, limit - 1), EMFILE));
	if (limit == 20)
		CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	close(limit - 1);
	return true;
}

static bool dupfd_commands(void)
{
	int fd = fcntl(1, F_DUPFD, 50), other;
	CHECK(fd == 50);
	other = fcntl(1, F_DUPFD_CLOEXEC, 50);
	CHECK(other == 51);
	CHECK(fcntl(51, F_GETFD) == FD_CLOEXEC);
	CHECK(fcntl(51, F_SETFD, 0) == 0 && fcntl(51, F_GETFD) == 0);
	CHECK(fcntl(51, F_SETFD, 0xff) == 0 && fcntl(51, F_GETFD) == FD_CLOEXEC);
	CHECK(FAILS_WITH(fcntl(1, F_DUPFD, -1), EINVAL));
	CHECK(FAILS_WITH(fcntl(200, F_DUPFD, 0), EBADF));
	CHECK(FAILS_WITH(fcntl(50, 12345, 0), EINVAL));
	close(50);
	close(51);
	return true;
}

static bool status_flags(void)
{
	int fds[2], fd = memory_file(0);
	CHECK(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK(fcntl(fds[0], F_GETFL) == (O_RDONLY | O_NONBLOCK));
	CHECK(fcntl(fds[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
	CHECK(fcntl(fds[0], F_SETFL, O_RDWR | O_CREAT) == 0);
	CHECK(fcntl(fds[0], F_GETFL) == O_RDONLY);
	CHECK(fcntl(fds[1], F_SETFL, O_DIRECT) == 0);
	CHECK(fcntl(fds[1], F_GETFL) == (O_WRONLY | O_DIRECT));
	CHECK(fcntl(fd, F_GETFL) == (O_RDWR | 0100000));
	CHECK(fcntl(fd, F_SETFL, O_APPEND | O_SYNC) == 0);
	CHECK(fcntl(fd, F_GETFL) == (O_RDWR | O_APPEND | 0100000));
	close(fd);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK((fcntl(fd, F_GETFL) & ~O_DIRECTORY) == (O_RDONLY | 0100000));
	close(fd);
	fd = open("/", O_PATH | O_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) == O_PATH);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(FAILS_WITH(fcntl(fd, F_SETFL, 0), EBADF));
	CHECK(FAILS_WITH(lseek(fd, 0, SEEK_SET), EBADF));
	CHECK(FAILS_WITH(read(fd, &fds, 1), EBADF));
	close(fd);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool owners_are_noted(void)
{
	struct {
		int type, pid;
	} ex = {7, 0};
	int fds[2];
	CHECK(pipe(fds) == 0);
	CHECK(fcntl(fds[0], F_GETOWN) == 0);
	CHECK(fcntl(fds[0], F_SETOWN, getpid()) == 0);
	CHECK(fcntl(fds[0], F_GETOWN) == getpid());
	CHECK(syscall(SYS_fcntl, fds[0], 16, &ex) == 0);
	CHECK(ex.type == 1 && ex.pid == getpid());
	CHECK(fcntl(fds[0], F_SETOWN, -getpgrp()) == 0);
	CHECK(syscall(SYS_fcntl, fds[0], 16, &ex) == 0);
	CHECK(ex.type == 2 && ex.pid == getpgrp());
	CHECK(FAILS_WITH(fcntl(fds[0], F_SETOWN, INT_MIN), EINVAL));
	CHECK(FAILS_WITH(fcntl(fds[0], F_SETOWN, 99999999), ESRCH));
	ex.type = 3;
	CHECK(FAILS_WITH(syscall(SYS_fcntl, fds[0], 15, &ex), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_fcntl, fds[0], 15, 8), EFAULT));
	ex.type = 0;
	ex.pid = 0;
	CHECK(syscall(SYS_fcntl, fds[0], 15, &ex) == 0);
	CHECK(fcntl(fds[0], F_GETOWN) == 0);
	CHECK(fcntl(fds[0], 11) == 0);
	CHECK(fcntl(fds[0], 10, SIGUSR1) == 0 && fcntl(fds[0], 11) == SIGUSR1);
	CHECK(FAILS_WITH(fcntl(fds[0], 10, 65), EINVAL));
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool pipe_sizes_and_leases(void)
{
	int fds[2], fd = memory_file(0), event = eventfd(0, 0);
	CHECK(pipe(fds) == 0);
	CHECK(fcntl(fds[0], GETPIPE) == 65536);
	CHECK(fcntl(fds[1], SETPIPE, 4097) == 8192);
	CHECK(fcntl(fds[0], GETPIPE) == 8192);
	CHECK(fcntl(fds[0], SETPIPE, 0) == 4096);
	CHECK(FAILS_WITH(fcntl(fd, GETPIPE), EBADF));
	CHECK(FAILS_WITH(fcntl(event, SETPIPE, 4096), EBADF));
	CHECK(fcntl(fd, GETLEASE) == F_UNLCK);
	CHECK(FAILS_WITH(fcntl(fd, SETLEASE, F_UNLCK), EAGAIN));
	CHECK(FAILS_WITH(fcntl(fds[0], F_GET_SEALS), EINVAL));
	close(fd);
	close(event);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool seals_hold(void)
{
	int fd = memory_file(4096), plain = (int)syscall(SYS_memfd_create, "plain", 0);
	CHECK(fcntl(fd, F_GET_SEALS) == 0);
	CHECK(fcntl(plain, F_GET_SEALS) == F_SEAL_SEAL);
	CHECK(FAILS_WITH(fcntl(plain, F_ADD_SEALS, F_SEAL_GROW), EPERM));
	CHECK(FAILS_WITH(fcntl(fd, F_ADD_SEALS, 0x100), EINVAL));
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
	CHECK(fcntl(fd, F_GET_SEALS) == F_SEAL_GROW);
	CHECK(lseek(fd, 0, SEEK_END) == 4096);
	CHECK(FAILS_WITH(write(fd, "x", 1), EPERM));
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(FAILS_WITH(write(fd, "x", 1), EPERM));
	CHECK(FAILS_WITH(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM));
	close(fd);
	close(plain);
	return true;
}

static bool memfd_arguments(void)
{
	char name[300];
	int fd;
	memset(name, 'n', sizeof(name));
	name[250] = 0;
	CHECK(FAILS_WITH(syscall(SYS_memfd_create, name, 0), EINVAL));
	name[249] = 0;
	fd = (int)syscall(SYS_memfd_create, name, 1);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	close(fd);
	CHECK(FAILS_WITH(syscall(SYS_memfd_create, "x", 0x100), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_memfd_create, 8, 0), EFAULT));
	return true;
}

static bool seek_goes_everywhere(void)
{
	int fds[2], fd = memory_file(3 * 4096), again;
	char byte;
	CHECK(lseek(fd, 100, SEEK_SET) == 100);
	CHECK(lseek(fd, -1, SEEK_CUR) == 99);
	CHECK(lseek(fd, 5, SEEK_END) == 3 * 4096 + 5);
	CHECK(read(fd, &byte, 1) == 0);
	CHECK(FAILS_WITH(lseek(fd, -1, SEEK_SET), EINVAL));
	CHECK(FAILS_WITH(lseek(fd, -4 * 4096, SEEK_END), EINVAL));
	CHECK(FAILS_WITH(lseek(fd, LLONG_MAX, SEEK_END), EINVAL));
	CHECK(FAILS_WITH(lseek(fd, 0, 5), EINVAL));
	CHECK(FAILS_WITH(lseek(fd, 0, -1), EINVAL));
	CHECK(lseek(fd, 0, SEEK_CUR) == 3 * 4096 + 5);
	CHECK(lseek(fd, 0, SEEK_HOLE) == 0);
	CHECK(lseek(fd, 0, SEEK_DATA) == 2 * 4096);
	CHECK(lseek(fd, 2 * 4096 + 7, SEEK_DATA) == 2 * 4096 + 7);
	CHECK(lseek(fd, 2 * 4096, SEEK_HOLE) == 3 * 4096);
	CHECK(FAILS_WITH(lseek(fd, 3 * 4096, SEEK_DATA), ENXIO));
	CHECK(FAILS_WITH(lseek(fd, 3 * 4096, SEEK_HOLE), ENXIO));
	CHECK(FAILS_WITH(lseek(fd, -1, SEEK_DATA), ENXIO));
	again = dup(fd);
	CHECK(lseek(fd, 42, SEEK_SET) == 42 && lseek(again, 0, SEEK_CUR) == 42);
	close(fd);
	close(again);
	CHECK(FAILS_WITH(lseek(fd, 0, SEEK_SET), EBADF));
	CHECK(pipe(fds) == 0);
	CHECK(FAILS_WITH(lseek(fds[0], 0, SEEK_SET), ESPIPE));
	CHECK(FAILS_WITH(lseek(fds[0], 0, 9), EINVAL));
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool stat_tells_types(void)
{
	struct stat st, other;
	int fds[2], fd = memory_file(5000);
	CHECK(pipe(fds) == 0);
	CHECK(fstat(fds[0], &st) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0600);
	CHECK(st.st_nlink == 1 && st.st_size == 0 && st.st_blksize == 4096);
	CHECK(fstat(fds[1], &other) == 0 && other.st_ino == st.st_ino);
	CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0777);
	CHECK(st.st_size == 5000 && st.st_nlink == 0 && st.st_uid == geteuid() && st.st_gid == getegid());
	CHECK(st.st_blocks == 8);
	CHECK(FAILS_WITH(syscall(SYS_fstat, 99, &st), EBADF));
	CHECK(FAILS_WITH(syscall(SYS_fstat, fd, 8), EFAULT));
	CHECK(stat("/", &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(major(st.st_rdev) == 1 && minor(st.st_rdev) == 3);
	CHECK(FAILS_WITH(stat("/no-such-file", &st), ENOENT));
	CHECK(FAILS_WITH(stat("/dev/null/x", &st), ENOTDIR));
	CHECK(FAILS_WITH(stat("", &st), ENOENT));
	CHECK(FAILS_WITH(syscall(SYS_stat, 8, &st), EFAULT));
	close(fd);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool stat_of_descriptors(void)
{
	struct stat st, other;
	int fds[2], root = open("/", O_PATH);
	CHECK(pipe(fds) == 0);
	CHECK(fstat(root, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(fstatat(root, "", &other, AT_EMPTY_PATH) == 0 && other.st_ino == st.st_ino);
	CHECK(fstatat(root, "dev/null", &other, 0) == 0 && S_ISCHR(other.st_mode));
	CHECK(fstatat(fds[0], "", &st, AT_EMPTY_PATH) == 0 && S_ISFIFO(st.st_mode));
	CHECK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode));
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, fds[0], "", &st, 0), ENOENT));
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, fds[0], "x", &st, 0), ENOTDIR));
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, 99, "x", &st, 0), EBADF));
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, 99, "", &st, AT_EMPTY_PATH), EBADF));
	CHECK(syscall(SYS_newfstatat, 99, "/", &st, 0) == 0);
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, 99, "x", &st, 0x10000), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, 99, 8, &st, 0x10000), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_newfstatat, 99, 8, &st, 0), EFAULT));
	close(root);
	close(fds[0]);
	close(fds[1]);
	return true;
}

struct statx_head {
	uint32_t mask, block_size;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	uint64_t times[8];
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t rest[14];
};

static bool statx_tells_more(void)
{
	struct statx_head x;
	int fds[2];
	CHECK(sizeof(x) == 256);
	CHECK(syscall(SYS_statx, AT_FDCWD, "/dev/null", 0, 0x7ff, &x) == 0);
	CHECK((x.mask & 0x7ff) == 0x7ff && S_ISCHR(x.mode) && x.rdev_major == 1 && x.rdev_minor == 3);
	CHECK(syscall(SYS_statx, AT_FDCWD, "/", 0, 0, &x) == 0 && S_ISDIR(x.mode));
	CHECK((x.attributes_mask & 0x2000) && (x.attributes & 0x2000));
	CHECK(pipe(fds) == 0);
	CHECK(syscall(SYS_statx, fds[0], "", AT_EMPTY_PATH, 0, &x) == 0 && S_ISFIFO(x.mode));
	CHECK(FAILS_WITH(syscall(SYS_statx, AT_FDCWD, "/", 0x6000, 0, &x), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_statx, AT_FDCWD, "/", 0, 0x80000000u, &x), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_statx, AT_FDCWD, "/", 0x200, 0, &x), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_statx, AT_FDCWD, "/", 0, 0, 8), EFAULT));
	close(fds[0]);
	close(fds[1]);
	return true;
}

static int close_all_but_stdio(void *arg)
{
	(void)arg;
	for (int fd = 60; fd < 70; fd++)
		if (dup2(1, fd) != fd)
			return 1;
	if (syscall(SYS_close_range, 62, 64, 0) != 0)
		return 2;
	for (int fd = 60; fd < 70; fd++)
		if (is_open(fd) != (fd < 62 || fd > 64))
			return 3;
	if (syscall(SYS_close_range, 60, 61, 4) != 0 || fcntl(60, F_GETFD) != FD_CLOEXEC ||
	    fcntl(65, F_GETFD) != 0)
		return 4;
	if (syscall(SYS_close_range, 66, ~0u, 2) != 0 || is_open(66) || is_open(69) || !is_open(65))
		return 5;
	return 0;
}

static bool ranges_are_closed(void)
{
	CHECK(FAILS_WITH(syscall(SYS_close_range, 5, 4, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_close_range, 5, 6, 1), EINVAL));
	CHECK(syscall(SYS_close_range, 5000, 6000, 0) == 0);
	CHECK(child_exits(close_all_but_stdio, NULL, 0));
	return true;
}

static bool eventfd_counts(void)
{
	int fd = eventfd(3, EFD_NONBLOCK), one = eventfd(2, EFD_SEMAPHORE | EFD_CLOEXEC);
	uint64_t n = 0;
	CHECK(fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(fcntl(one, F_GETFD) == FD_CLOEXEC);
	CHECK(read(fd, &n, 8) == 8 && n == 3);
	CHECK(FAILS_WITH(read(fd, &n, 8), EAGAIN));
	CHECK(FAILS_WITH(read(fd, &n, 7), EINVAL));
	CHECK(read(one, &n, 8) == 8 && n == 1);
	n = 5;
	CHECK(write(fd, &n, 8) == 8 && write(fd, &n, 8) == 8);
	CHECK(read(fd, &n, 8) == 8 && n == 10);
	CHECK(FAILS_WITH(lseek(fd, 0, SEEK_SET), ESPIPE) || errno == 0);
	CHECK(FAILS_WITH(syscall(SYS_eventfd2, 0, 0x100), EINVAL));
	close(fd);
	close(one);
	return true;
}

static bool is_later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* Reads and writes are seen in the times of a fifo, as soon as its clock goes on. */
static bool times_of(int in, int out)
{
	struct stat old, now;
	char byte;
	struct timespec pause = {0, 2000000};
	CHECK(fstat(in, &old) == 0);
	for (int i = 0; i < 5000; i++) {
		CHECK(write(out, "a", 1) == 1 && fstat(in, &now) == 0);
		if (is_later(now.st_mtim, old.st_mtim))
			break;
		nanosleep(&pause, NULL);
	}
	CHECK(is_later(now.st_mtim, old.st_mtim) && !memcmp(&now.st_ctim, &now.st_mtim, sizeof(now.st_mtim)));
	CHECK(now.st_atim.tv_sec == old.st_atim.tv_sec && now.st_atim.tv_nsec == old.st_atim.tv_nsec);
	old = now;
	for (int i = 0; i < 5000; i++) {
		CHECK(read(in, &byte, 1) == 1 && write(out, "a", 1) == 1 && fstat(in, &now) == 0);
		if (is_later(now.st_atim, old.st_atim))
			break;
		nanosleep(&pause, NULL);
	}
	CHECK(is_later(now.st_atim, old.st_atim));
	return close(in) == 0 && close(out) == 0;
}

static bool fifos_have_times(void)
{
	char path[64];
	int p[2];
	CHECK(mkfifo(utest_file(path, "fifo"), 0644) == 0);
	p[0] = open(path, O_RDONLY | O_NONBLOCK);
	p[1] = open(path, O_WRONLY);
	CHECK(p[0] >= 0 && p[1] >= 0 && times_of(p[0], p[1]));
	return true;
}

static const struct utest tests[] = {
    {"dup takes the lowest number", dup_takes_lowest},
    {"dup2 and dup3 replace", dup2_replaces},
    {"the limit of descriptors", limit_is_respected},
    {"F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD", dupfd_commands},
    {"F_GETFL and F_SETFL", status_flags},
    {"F_SETOWN and its kin", owners_are_noted},
    {"times of fifos", fifos_have_times},
    {"sizes of pipes, leases", pipe_sizes_and_leases},
    {"seals", seals_hold},
    {"memfd_create", memfd_arguments},
    {"lseek", seek_goes_everywhere},
    {"stat by type", stat_tells_types},
    {"stat of descriptors", stat_of_descriptors},
    {"statx", statx_tells_more},
    {"close_range", ranges_are_closed},
    {"eventfd", eventfd_counts},
};

int main(void)
{
	return UTEST_RUN(tests);
}
