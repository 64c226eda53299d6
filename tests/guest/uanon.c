/*
 * uanon.c - what files without names are: numbers, devices, owners, modes and times of pipes, sockets,
 * memfds, eventfds and their kin, and how these can be changed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <time.h>
#include "utap.h"

static bool same_file(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static bool same_device(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev;
}

static bool identities(void)
{
	int p[2], q[2], s[2], e = eventfd(0, 0), ep = epoll_create1(0);
	struct statfs fs;
	CHECK(pipe(p) == 0 && pipe(q) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(same_file(p[0], p[1]) && !same_file(p[0], q[0]) && same_device(p[0], q[0]));
	CHECK(!same_file(s[0], s[1]) && same_device(s[0], s[1]) && !same_device(p[0], s[0]));
	CHECK(same_file(e, ep) && !same_device(e, p[0]) && !same_device(e, s[0]));
	CHECK(fstatfs(s[0], &fs) == 0 && fs.f_type == 0x534f434b && fstatfs(e, &fs) == 0 &&
	      fs.f_type == 0x09041934);
	for (int i = 0; i < 2; i++)
		close(p[i]), close(q[i]), close(s[i]);
	close(e);
	close(ep);
	return true;
}

static bool is_recent(const struct timespec *t)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return t->tv_sec <= now.tv_sec && t->tv_sec >= now.tv_sec - 5;
}

static int as_user(void *arg)
{
	struct stat st;
	int p[2], s[2], e = eventfd(0, 0), m = memfd_create("m", 0);
	(void)arg;
	if (setgid(1001) || setuid(1002))
		return 99;
	UCHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	UCHECK(fstat(p[0], &st) == 0 && st.st_uid == 1002 && st.st_gid == 1001 &&
	       st.st_mode == (S_IFIFO | 0600));
	UCHECK(st.st_nlink == 1 && st.st_size == 0 && st.st_blocks == 0 && st.st_blksize == 4096);
	UCHECK(is_recent(&st.st_mtim) && is_recent(&st.st_ctim) && is_recent(&st.st_atim));
	UCHECK(fstat(s[0], &st) == 0 && st.st_uid == 1002 && st.st_gid == 1001 &&
	       st.st_mode == (S_IFSOCK | 0777));
	UCHECK(st.st_nlink == 1); /* Linux gives a socket whatever times its memory held before */
	UCHECK(fchmod(p[1], 0640) == 0 && fstat(p[0], &st) == 0 && st.st_mode == (S_IFIFO | 0640));
	UCHECK(fchmod(s[1], 0700) == 0 && fstat(s[1], &st) == 0 && st.st_mode == (S_IFSOCK | 0700));
	UCHECK(FAILS_WITH(fchown(p[0], 0, -1), EPERM) && fchown(p[0], -1, 1001) == 0);
	UCHECK(fstat(m, &st) == 0 && st.st_uid == 0 && FAILS_WITH(fchmod(m, 0600), EPERM));
	UCHECK(fstat(e, &st) == 0 && st.st_uid == 0 && st.st_gid == 0 && (st.st_mode & 07777) == 0600);
	int other = eventfd(0, 0);
	UCHECK(fstat(other, &st) == 0 && st.st_uid == 0 && st.st_gid == 0);
	int mine = memfd_create("m", 0);
	UCHECK(fstat(mine, &st) == 0 && st.st_uid == 1002 && st.st_gid == 1001 && fchmod(mine, 0600) == 0);
	return 0;
}

static bool owners(void)
{
	CHECK(child_exits(as_user, NULL, 0));
	return true;
}

static bool changes(void)
{
	struct timespec times[2] = {{1000, 1}, {2000, 2}};
	struct stat st;
	int p[2], s[2];
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(fchown(p[0], 7, 8) == 0 && fstat(p[1], &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
	CHECK(fchown(s[0], 7, 8) == 0 && fstat(s[0], &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
	CHECK(fstat(s[1], &st) == 0 && st.st_uid == 0);
	CHECK(futimens(p[0], times) == 0 && fstat(p[1], &st) == 0);
	CHECK(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 2);
	CHECK(futimens(s[0], times) == 0 && fstat(s[0], &st) == 0 && st.st_atim.tv_sec == 1000);
	CHECK(FAILS_WITH(fchdir(p[0]), ENOTDIR) && FAILS_WITH(ftruncate(p[1], 0), EINVAL));
	CHECK(fstatat(p[0], "", &st, AT_EMPTY_PATH) == 0 && S_ISFIFO(st.st_mode) && st.st_uid == 7);
	CHECK(fchownat(p[0], "", 9, -1, AT_EMPTY_PATH) == 0 && fstat(p[0], &st) == 0 && st.st_uid == 9);
	CHECK(FAILS_WITH(fstatat(p[0], "x", &st, 0), ENOTDIR));
	for (int i = 0; i < 2; i++)
		close(p[i]), close(s[i]);
	return true;
}

static bool others_stay(void)
{
	struct timespec times[2] = {{1000, 1}, {2000, 2}};
	int fds[4] = {eventfd(0, 0), epoll_create1(0), timerfd_create(CLOCK_MONOTONIC, 0), inotify_init1(0)};
	struct stat st;
	for (int i = 0; i < 4; i++) {
		CHECK(FAILS_WITH(fchmod(fds[i], 0777), EOPNOTSUPP) &&
		      FAILS_WITH(fchown(fds[i], 1, 1), EOPNOTSUPP));
		CHECK(FAILS_WITH(futimens(fds[i], times), EOPNOTSUPP));
		CHECK(fstat(fds[i], &st) == 0 && st.st_uid == 0 && (st.st_mode & 07777) == 0600);
		close(fds[i]);
	}
	return true;
}

/* Through /proc: a pipe can be opened again, if its mode allows it. */
static int reopen_as_user(void *arg)
{
	(void)arg;
	if (setgid(1001) || setuid(1001))
		return 99;
	UCHECK(FAILS_WITH(open("/proc/self/fd/100", O_RDONLY), EACCES));
	int fd = open("/proc/self/fd/101", O_RDONLY);
	char c;
	UCHECK(fd >= 0 && read(fd, &c, 1) == 1 && c == 'y');
	return 0;
}

static bool opening_again(void)
{
	int p[2], q[2], s[2], e = eventfd(0, 0);
	char path[64], text[64], c;
	CHECK(pipe(p) == 0 && pipe(q) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	int w = open(path, O_WRONLY), r = open(path, O_RDONLY | O_NONBLOCK);
	CHECK(w >= 0 && r >= 0 && same_file(w, p[0]) && write(w, "x", 1) == 1 && read(r, &c, 1) == 1 &&
	      c == 'x');
	ssize_t n = readlink(path, text, sizeof(text) - 1);
	CHECK(n > 6 && !memcmp(text, "pipe:[", 6));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w);
	char again[64];
	CHECK(readlink(path, again, sizeof(again)) == n && !memcmp(again, text, (size_t)n));
	close(w);
	close(p[1]);
	CHECK(read(r, &c, 1) == 0);
	close(r);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s[0]);
	CHECK(FAILS_WITH(open(path, O_RDWR), ENXIO));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", e);
	CHECK(FAILS_WITH(open(path, O_RDWR), ENXIO));
	CHECK(write(q[1], "y", 1) == 1 && fchmod(q[0], 0604) == 0 && dup2(p[0], 100) == 100 &&
	      dup2(q[0], 101) == 101);
	CHECK(child_exits(reopen_as_user, NULL, 0));
	for (int i = 0; i < 2; i++)
		close(q[i]), close(s[i]), close(100 + i);
	close(p[0]);
	close(e);
	return true;
}

/* A watch on a pipe keeps it no more open than it is. */
static bool watched(void)
{
	int p[2], in = inotify_init1(IN_NONBLOCK);
	char path[64], c;
	CHECK(pipe(p) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
	CHECK(inotify_add_watch(in, path, IN_ALL_EVENTS) == 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
	CHECK(inotify_add_watch(in, path, IN_ALL_EVENTS) == 2); /* itself */
	close(p[1]);
	CHECK(read(p[0], &c, 1) == 0);
	close(p[0]);
	close(in);
	return true;
}

static bool locked(void)
{
	int p[2];
	CHECK(pipe(p) == 0 && flock(p[0], LOCK_EX) == 0);
	CHECK(FAILS_WITH(flock(p[1], LOCK_EX | LOCK_NB), EWOULDBLOCK)); /* one file, two openings */
	close(p[0]);
	CHECK(flock(p[1], LOCK_EX | LOCK_NB) == 0);
	close(p[1]);
	return true;
}

static const struct utest tests[] = {{"numbers and devices", identities}, {"owners", owners},
    {"pipes and sockets change", changes}, {"the others do not", others_stay},
    {"opening again", opening_again}, {"watching", watched}, {"locking", locked}};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
