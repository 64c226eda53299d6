/*
 * uchattr.c - files that nobody may change and files that only grow, as chattr(1) makes them: what is
 * refused, to the superuser as well. Works in a directory of its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include "utap.h"

#define GETFLAGS 0x80086601UL
#define SETFLAGS 0x40086602UL
enum { IMMUTABLE = 0x10, APPEND = 0x20, NODUMP = 0x40, NOATIME = 0x80, OURS = 0xf0 };

/* The flags that every file system here knows; -1: errno. */
static int get(const char *name)
{
	int flags = 0, fd = open(name, O_RDONLY), got = ioctl(fd, GETFLAGS, &flags), why = errno;
	close(fd);
	errno = why;
	return got ? -1 : flags & OURS;
}

static int set(const char *name, int flags)
{
	int old = 0, fd = open(name, O_RDONLY), got = ioctl(fd, GETFLAGS, &old);
	old = (old & ~OURS) | flags;
	got = got ? got : ioctl(fd, SETFLAGS, &old);
	int why = errno;
	close(fd);
	errno = why;
	return got;
}

static bool make(const char *name)
{
	int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);
	return fd >= 0 && write(fd, "0123456789", 10) == 10 && close(fd) == 0;
}

static int as_user(void *arg)
{
	(void)arg;
	if (setgid(1001) || setuid(1001))
		return 99;
	UCHECK(get("f") == 0 && FAILS_WITH(set("f", NODUMP), EPERM)); /* another's */
	UCHECK(make("mine") && set("mine", NODUMP) == 0 && get("mine") == NODUMP);
	UCHECK(FAILS_WITH(set("mine", IMMUTABLE), EPERM) && FAILS_WITH(set("mine", NODUMP | APPEND), EPERM));
	UCHECK(get("mine") == NODUMP && unlink("mine") == 0);
	return 0;
}

static bool setting(void)
{
	struct stat before, after;
	CHECK(make("f") && get("f") == 0 && stat("f", &before) == 0);
	CHECK(set("f", NODUMP | NOATIME) == 0 && get("f") == (NODUMP | NOATIME) && stat("f", &after) == 0);
	CHECK(after.st_ctim.tv_sec > before.st_ctim.tv_sec ||
	      (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
		  after.st_ctim.tv_nsec >= before.st_ctim.tv_nsec));
	CHECK(set("f", 0) == 0 && get("f") == 0 && set(".", NODUMP) == 0 && get(".") == NODUMP &&
	      set(".", 0) == 0);
	int fd = open("f", O_RDONLY), p[2], path = open("f", O_PATH);
	CHECK(FAILS_WITH(ioctl(fd, GETFLAGS, BAD), EFAULT) && FAILS_WITH(ioctl(fd, SETFLAGS, BAD), EFAULT));
	CHECK(FAILS_WITH(ioctl(path, GETFLAGS, &p), EBADF));
	CHECK(pipe(p) == 0 && FAILS_WITH(ioctl(p[0], GETFLAGS, &fd), ENOTTY));
	close(p[0]), close(p[1]), close(fd), close(path);
	CHECK(child_exits(as_user, NULL, 0) && unlink("f") == 0);
	return true;
}

static bool immutable(void)
{
	struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}}, some[2] = {{1, 0}, {1, 0}};
	char c;
	CHECK(make("f") && make("g") && set("f", IMMUTABLE) == 0);
	CHECK(FAILS_WITH(open("f", O_WRONLY), EPERM) && FAILS_WITH(open("f", O_RDWR | O_APPEND), EPERM));
	CHECK(FAILS_WITH(open("f", O_RDONLY | O_TRUNC), EPERM) && FAILS_WITH(access("f", W_OK), EPERM));
	CHECK(FAILS_WITH(unlink("f"), EPERM) && FAILS_WITH(rename("f", "h"), EPERM));
	CHECK(FAILS_WITH(rename("g", "f"), EPERM) && FAILS_WITH(link("f", "h"), EPERM));
	CHECK(FAILS_WITH(truncate("f", 0), EPERM) && FAILS_WITH(chmod("f", 0600), EPERM));
	CHECK(FAILS_WITH(chown("f", 1, -1), EPERM));
	CHECK(FAILS_WITH(utimensat(AT_FDCWD, "f", NULL, 0), EPERM));
	CHECK(FAILS_WITH(utimensat(AT_FDCWD, "f", some, 0), EPERM) && utimensat(AT_FDCWD, "f", omit, 0) == 0);
	int fd = open("f", O_RDONLY);
	CHECK(fd >= 0 && read(fd, &c, 1) == 1 && FAILS_WITH(fchmod(fd, 0600), EPERM) && close(fd) == 0);
	CHECK(set("f", 0) == 0 && chmod("f", 0600) == 0 && rename("g", "f") == 0 && unlink("f") == 0);
	return true;
}

static bool immutable_directory(void)
{
	CHECK(mkdir("d", 0755) == 0 && make("d/f") && make("g") && set("d", IMMUTABLE) == 0);
	CHECK(FAILS_WITH(open("d/new", O_CREAT | O_RDWR, 0600), EPERM) &&
	      FAILS_WITH(mkdir("d/new", 0700), EPERM));
	CHECK(FAILS_WITH(unlink("d/f"), EPERM) && FAILS_WITH(rename("d/f", "h"), EPERM));
	CHECK(FAILS_WITH(rename("g", "d/g"), EPERM) && FAILS_WITH(link("g", "d/g"), EPERM));
	CHECK(FAILS_WITH(symlink("x", "d/s"), EPERM) && FAILS_WITH(rmdir("d"), EPERM) &&
	      FAILS_WITH(rename("d", "e"), EPERM));
	int fd = open("d/f", O_WRONLY); /* what is inside may change */
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	CHECK(set("d", 0) == 0 && unlink("d/f") == 0 && rmdir("d") == 0 && unlink("g") == 0);
	return true;
}

static bool only_growing(void)
{
	struct timespec some[2] = {{1, 0}, {1, 0}};
	struct stat st;
	CHECK(make("f") && make("g") && set("f", APPEND) == 0);
	CHECK(FAILS_WITH(open("f", O_WRONLY), EPERM) && FAILS_WITH(open("f", O_RDWR), EPERM));
	CHECK(FAILS_WITH(open("f", O_WRONLY | O_APPEND | O_TRUNC), EPERM) &&
	      FAILS_WITH(truncate("f", 3), EPERM));
	int fd = open("f", O_RDWR | O_APPEND);
	CHECK(fd >= 0 && write(fd, "more", 4) == 4 && fstat(fd, &st) == 0 && st.st_size == 14);
	CHECK(FAILS_WITH(ftruncate(fd, 3), EPERM) && FAILS_WITH(fcntl(fd, F_SETFL, 0), EPERM));
	CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(at != MAP_FAILED && munmap(at, 4096) == 0);
	CHECK(FAILS_WITH(fallocate(fd, 2 | 1, 0, 4096), EPERM)); /* a hole */
	close(fd);
	CHECK(FAILS_WITH(unlink("f"), EPERM) && FAILS_WITH(rename("f", "h"), EPERM) &&
	      FAILS_WITH(rename("g", "f"), EPERM));
	CHECK(FAILS_WITH(link("f", "h"), EPERM) && FAILS_WITH(chmod("f", 0600), EPERM));
	CHECK(FAILS_WITH(utimensat(AT_FDCWD, "f", some, 0), EPERM) && utimensat(AT_FDCWD, "f", NULL, 0) == 0);
	CHECK(set("f", 0) == 0 && unlink("f") == 0 && unlink("g") == 0);
	CHECK(mkdir("d", 0755) == 0 && make("d/f") && set("d", APPEND) == 0);
	CHECK(make("d/new") && FAILS_WITH(unlink("d/f"), EPERM) && FAILS_WITH(rename("d/f", "d/h"), EPERM));
	CHECK(set("d", 0) == 0 && unlink("d/f") == 0 && unlink("d/new") == 0 && rmdir("d") == 0);
	return true;
}

static bool access_times(void)
{
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	struct stat st;
	char c;
	CHECK(make("f") && set("f", NOATIME) == 0 && utimensat(AT_FDCWD, "f", old, 0) == 0);
	int fd = open("f", O_RDONLY);
	CHECK(read(fd, &c, 1) == 1 && fstat(fd, &st) == 0 && st.st_atime == 1000);
	close(fd);
	CHECK(unlink("f") == 0);
	return true;
}

#define GETVERSION 0x80087601UL
#define SETVERSION 0x40087602UL

/* What ext2 has, a file in memory has not: tests/host/test_ext2_xattr.c looks at that. */
static bool generation(void)
{
	int p[2], number = 5, fd = (int)sc(memfd_create, "f", 0);
	CHECK(FAILS_WITH(ioctl(fd, GETVERSION, &number), ENOTTY) &&
	      FAILS_WITH(ioctl(fd, SETVERSION, BAD), ENOTTY));
	CHECK(close(fd) == 0 && pipe(p) == 0 && FAILS_WITH(ioctl(p[0], GETVERSION, &number), ENOTTY));
	return close(p[0]) == 0 && close(p[1]) == 0;
}

static const struct utest tests[] = {{"setting flags", setting}, {"files that nobody changes", immutable},
    {"directories that nobody changes", immutable_directory}, {"what only grows", only_growing},
    {"access times", access_times}, {"generation", generation}};

int main(void)
{
	return UTEST_RUN_INSIDE(0777, tests);
}
