/*
 * ufiletime.c - what changes a file and is told of it afterwards: times of files that are written to through
 * shared windows, times that are set, what statx and requests know of files, room that is asked for. Works in
 * a directory of its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "utap.h"

enum { PAGE = 4096, OLD = 1000 };
enum { KEEP_SIZE = 1, PUNCH_HOLE = 2, COLLAPSE_RANGE = 8, ZERO_RANGE = 0x10, INSERT_RANGE = 0x20 };
enum { IMMUTABLE = 0x10, APPEND = 0x20, NODUMP = 0x40, XFLAG_APPEND = 0x10, XFLAG_NODUMP = 0x80 };
enum { BASIC = 0x7ff, BIRTH = 0x800, MOUNT_ID = 0x1000, EVERYTHING = 0xfff };
enum { HINT_SHORT = 2, HINT_EXTREME = 5, GET_HINT = 1035, SET_HINT = 1036 };
#define SETFLAGS   0x40086602UL
#define GETXFLAGS  0x801c581fUL
#define CLONE      0x40049409UL
#define CLONERANGE 0x4020940dUL
#define DEDUPE     0xc0189436UL
#define FIEMAP     0xc020660bUL

struct told { /* struct statx */
	uint32_t mask, block_size;
	uint64_t attributes;
	uint32_t ids[4];
	uint64_t sizes[3], attributes_mask;
	struct {
		int64_t sec, nsec;
	} atime, btime, ctime, mtime;
	uint64_t rest[16];
};
_Static_assert(sizeof(struct told) == 256, "the ABI's size");

static void reset(int fd)
{
	struct timespec old[2] = {{OLD, 0}, {OLD, 0}};
	futimens(fd, old);
}

static bool moved(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_mtim.tv_sec != OLD;
}

/* A file of two pages, which write(2) has just made. */
static int make(const char *name)
{
	static char page[2 * PAGE] = "contents";
	int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);
	return fd >= 0 && write(fd, page, sizeof(page)) == sizeof(page) ? fd : -1;
}

static volatile char *window(int fd)
{
	void *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

static bool times_of_windows(int fd)
{
	volatile char *m = window(fd);
	CHECK(fd >= 0 && m);
	reset(fd);
	CHECK(!moved(fd));
	m[0] = 1; /* the page is dirty already: the window was not written to yet */
	CHECK(moved(fd));
	reset(fd);
	m[1] = 1; /* nobody learns of this one */
	CHECK(!moved(fd) && munmap((void *)(uintptr_t)m, 2 * PAGE) == 0);
	m = window(fd);
	reset(fd);
	m[0] = 2;
	CHECK(munmap((void *)(uintptr_t)m, 2 * PAGE) == 0 && moved(fd));
	reset(fd);
	m = window(fd);
	void *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(m[0] == 2 && private != MAP_FAILED);
	*(char *)private = 3;
	CHECK(munmap(private, PAGE) == 0 && munmap((void *)(uintptr_t)m, 2 * PAGE) == 0 && !moved(fd));
	return true;
}

static bool mapped_writes(void)
{
	int fd = make("f");
	CHECK(times_of_windows(fd) && close(fd) == 0 && unlink("f") == 0);
	fd = memfd_create("f", 0);
	CHECK(ftruncate(fd, 2 * PAGE) == 0 && pwrite(fd, "x", 1, 0) == 1 && times_of_windows(fd));
	close(fd);
	return true;
}

/* --- statx --- */

static bool knows(const char *name, unsigned wanted, unsigned given, uint64_t attributes)
{
	struct told s;
	enum { CHATTR = IMMUTABLE | APPEND | NODUMP, OTHERS = 0x3000 };
	return sc(statx, AT_FDCWD, name, 0, wanted, &s) == 0 &&
	       (s.mask & (BASIC | BIRTH | MOUNT_ID)) == given && (s.attributes & CHATTR) == attributes &&
	       (s.attributes_mask & (CHATTR | OTHERS)) == (CHATTR | OTHERS) &&
	       (s.btime.sec != 0) == !!(given & BIRTH);
}

static bool statx_tells(void)
{
	unsigned always = BASIC | MOUNT_ID, all = always | BIRTH;
	int flags = NODUMP, fd = make("f");
	struct told s;
	CHECK(fd >= 0 && knows("f", EVERYTHING, all, 0) && knows("f", BASIC, always, 0));
	CHECK(ioctl(fd, SETFLAGS, &flags) == 0 && knows("f", EVERYTHING, all, NODUMP));
	flags = IMMUTABLE;
	CHECK(ioctl(fd, SETFLAGS, &flags) == 0 && knows("f", EVERYTHING, all, IMMUTABLE));
	flags = APPEND | NODUMP;
	CHECK(ioctl(fd, SETFLAGS, &flags) == 0 && knows("f", EVERYTHING, all, APPEND | NODUMP));
	uint32_t x[7] = {1, 1, 1, 1};
	CHECK(ioctl(fd, GETXFLAGS, x) == 0 && x[0] == (XFLAG_APPEND | XFLAG_NODUMP) && x[3] == 0);
	flags = 0;
	CHECK(ioctl(fd, SETFLAGS, &flags) == 0 && knows("f", EVERYTHING, all, 0));
	CHECK(FAILS_WITH(sc(statx, AT_FDCWD, "f", 0, 0x80000000, &s), EINVAL) &&
	      FAILS_WITH(sc(statx, AT_FDCWD, "f", 0x6000, 0, &s), EINVAL));
	close(fd);
	CHECK(unlink("f") == 0);
	return true;
}

/* --- times that are set --- */

static bool times_are(const char *name, int64_t atime, int64_t mtime)
{
	struct stat st;
	return stat(name, &st) == 0 && st.st_atim.tv_sec == atime && st.st_mtim.tv_sec == mtime;
}

static bool times_set(void)
{
	struct timespec t[2] = {{-5, 7}, {2000, 999999999}}, omit[2] = {{0, UTIME_OMIT}, {3000, 0}},
			bad[2] = {{0, UTIME_OMIT}, {0, 1000000000}},
			none[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	int fd = make("f"), path = open("f", O_PATH), p[2];
	CHECK(fd >= 0 && utimensat(AT_FDCWD, "f", t, 0) == 0 && times_are("f", -5, 2000));
	CHECK(utimensat(fd, "", omit, AT_EMPTY_PATH) == 0 && times_are("f", -5, 3000));
	CHECK(FAILS_WITH(utimensat(AT_FDCWD, "f", bad, 0), EINVAL) && times_are("f", -5, 3000));
	CHECK(FAILS_WITH(sc(utimensat, fd, NULL, t, AT_SYMLINK_NOFOLLOW), EINVAL) &&
	      FAILS_WITH(sc(utimensat, path, NULL, t, 0), EBADF) &&
	      FAILS_WITH(sc(utimensat, AT_FDCWD, NULL, t, 0), EFAULT));
	CHECK(
	    sc(utimensat, -1, "none", none, 0) == 0 && FAILS_WITH(utimensat(AT_FDCWD, "f", t, 0x40), EINVAL));
	CHECK(symlink("none", "l") == 0 && FAILS_WITH(utimensat(AT_FDCWD, "l", t, 0), ENOENT) &&
	      utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(pipe(p) == 0 && futimens(p[0], t) == 0);
	close(p[0]), close(p[1]), close(fd), close(path);
	CHECK(unlink("f") == 0 && unlink("l") == 0);
	return true;
}

/* --- room --- */

static bool room_modes(void)
{
	struct stat st;
	int fd = memfd_create("f", 0), ro = open("/", O_RDONLY), p[2];
	static const int not_known[] = {PUNCH_HOLE, 4, 8 | 1, 0x20 | 1, 0x10 | 2 | 1, 8 | 0x20, 0x100, 0x99};
	CHECK(fd >= 0 && pipe(p) == 0 && fallocate(fd, 0, 0, 3 * PAGE) == 0);
	for (unsigned i = 0; i < sizeof(not_known) / sizeof(not_known[0]); i++)
		CHECK(FAILS_WITH(fallocate(fd, not_known[i], 0, PAGE), EOPNOTSUPP) &&
		      FAILS_WITH(fallocate(ro, not_known[i], 0, PAGE), EOPNOTSUPP));
	CHECK(FAILS_WITH(fallocate(fd, COLLAPSE_RANGE, 0, PAGE), EOPNOTSUPP) &&
	      FAILS_WITH(fallocate(fd, INSERT_RANGE, 0, PAGE), EOPNOTSUPP) &&
	      FAILS_WITH(fallocate(fd, ZERO_RANGE, 0, PAGE), EOPNOTSUPP));
	CHECK(
	    FAILS_WITH(fallocate(fd, 0x99, -1, PAGE), EINVAL) && FAILS_WITH(fallocate(fd, 2, 0, 0), EINVAL));
	CHECK(
	    FAILS_WITH(fallocate(ro, 0, 0, PAGE), EBADF) && FAILS_WITH(fallocate(p[1], 0, 0, PAGE), ESPIPE));
	CHECK(FAILS_WITH(fallocate(fd, 0, LONG_MAX - 5, 10), EFBIG));
	CHECK(fstat(fd, &st) == 0 && st.st_size == 3 * PAGE && st.st_blocks == 24);
	CHECK(fallocate(fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 3 * PAGE && st.st_blocks == 16);
	close(fd), close(ro), close(p[0]), close(p[1]);
	return true;
}

static int make_room_as_user(void *arg)
{
	struct stat st;
	int fd = *(int *)arg;
	if (setuid(1001))
		return 99;
	UCHECK(fallocate(fd, 0, 0, PAGE) == 0 && fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | 0755));
	return 0;
}

static bool room_takes_rights(void)
{
	int fd = memfd_create("f", 0);
	CHECK(fd >= 0 && fchmod(fd, 06755) == 0 && child_exits(make_room_as_user, &fd, 0));
	close(fd);
	return true;
}

/* --- requests --- */

static bool sharing_blocks(void)
{
	int fd = memfd_create("f", 0), other = memfd_create("g", 0), p[2];
	uint64_t range[4] = {(uint64_t)fd},
		 same[3] = {0, PAGE, 0}; /* the third: a count, and what is reserved */
	CHECK(pipe(p) == 0 && ftruncate(fd, PAGE) == 0);
	int append = memfd_create("h", 0), dir = open(".", O_RDONLY);
	CHECK(fcntl(append, F_SETFL, O_APPEND) == 0);
	CHECK(FAILS_WITH(ioctl(other, CLONE, fd), EOPNOTSUPP) && FAILS_WITH(ioctl(other, CLONE, -1), EBADF));
	CHECK(FAILS_WITH(ioctl(other, CLONE, p[0]), EXDEV) && FAILS_WITH(ioctl(append, CLONE, fd), EBADF));
	CHECK(
	    FAILS_WITH(ioctl(dir, CLONE, dir), EISDIR) && FAILS_WITH(ioctl(other, CLONERANGE, BAD), EFAULT));
	CHECK(FAILS_WITH(ioctl(other, CLONERANGE, range), EOPNOTSUPP));
	CHECK(FAILS_WITH(ioctl(fd, DEDUPE, same), EOPNOTSUPP) && FAILS_WITH(ioctl(fd, DEDUPE, BAD), EFAULT));
	same[2] = 1 << 16;
	CHECK(FAILS_WITH(ioctl(fd, DEDUPE, same), EINVAL));
	CHECK(FAILS_WITH(ioctl(fd, FIEMAP, same), EOPNOTSUPP));
	close(fd), close(other), close(p[0]), close(p[1]), close(append), close(dir);
	return true;
}

static bool write_hints(void)
{
	uint64_t hint = 7;
	int fd = make("f"), again = open("f", O_RDONLY);
	CHECK(fcntl(fd, GET_HINT, &hint) == 0 && hint == 0);
	hint = HINT_SHORT;
	CHECK(fcntl(fd, SET_HINT, &hint) == 0 && (hint = 7) == 7);
	CHECK(fcntl(again, GET_HINT, &hint) == 0 && hint == HINT_SHORT);
	hint = HINT_EXTREME + 1;
	CHECK(FAILS_WITH(fcntl(fd, SET_HINT, &hint), EINVAL) && FAILS_WITH(fcntl(fd, GET_HINT, BAD), EFAULT));
	close(fd), close(again);
	CHECK(unlink("f") == 0);
	return true;
}

static const struct utest tests[] = {{"mapped writes", mapped_writes}, {"what statx tells", statx_tells},
    {"times that are set", times_set}, {"kinds of room", room_modes},
    {"room takes rights away", room_takes_rights}, {"sharing blocks", sharing_blocks},
    {"write hints", write_hints}};

int main(void)
{
	return UTEST_RUN_INSIDE(0777, tests);
}
