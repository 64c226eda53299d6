/* upurge.c - purgeable memory for programs: every row of the table in docs/vm.md, through mmap, madvise,
 * memfd_create and fcntl. Quire's own, so not for Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "quire.h"
#include "utap.h"

enum { PAGE = 4096, PAGES = 80 };
#define LEN ((size_t)PAGES * PAGE)
#define RW  (PROT_READ | PROT_WRITE)

static int advise(void *p, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, p, len, advice);
}
static int make_volatile(char *p)
{
	return advise(p, LEN, MADV_SET_VOLATILE);
}
static int keep(char *p)
{
	return advise(p, LEN, MADV_SET_NONVOLATILE);
}

static char *purgeable(void)
{
	char *p = mmap(NULL, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_PURGEABLE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void fill(char *p, char value)
{
	for (int i = 0; i < PAGES; i++)
		p[i * PAGE] = value;
}

static bool all_are(const char *p, char value)
{
	for (int i = 0; i < PAGES; i++)
		if (p[i * PAGE] != value)
			return false;
	return true;
}

/* What /proc/sys/vm/purge says on its line `line`: volatile objects, pages in them, frames purged since boot.
 */
static long purge_figure(int line)
{
	char text[200];
	int fd = open("/proc/sys/vm/purge", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	const char *at = text;
	while (line-- && at)
		at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
	return at ? atol(at) : -1;
}
enum { OBJECTS, VOLATILE_PAGES, FREED };

/* Ask for frames; how many came. */
static long purge(const char *frames)
{
	long before = purge_figure(FREED);
	int fd = open("/proc/sys/vm/purge", O_WRONLY);
	ssize_t n = write(fd, frames, strlen(frames));
	close(fd);
	return n == (ssize_t)strlen(frames) ? purge_figure(FREED) - before : -1;
}
static long purge_all(void)
{
	return purge("100000000");
}

static bool volatile_and_back(void)
{
	char *p = purgeable();
	CHECK(p);
	fill(p, 1);
	CHECK(keep(p) == 0);
	CHECK(make_volatile(p) == 0 && make_volatile(p) == 0);
	CHECK(all_are(p, 1)); /* what is volatile can be used */
	CHECK(keep(p) == 0 && all_are(p, 1));
	CHECK(purge_all() == 0 && all_are(p, 1));
	munmap(p, LEN);
	return true;
}

static bool purged_reads_zeros_and_is_told_once(void)
{
	char *p = purgeable();
	CHECK(p);
	fill(p, 1);
	CHECK(make_volatile(p) == 0);
	CHECK(purge_figure(OBJECTS) == 1 && purge_figure(VOLATILE_PAGES) == PAGES);
	CHECK(purge_all() == PAGES);
	CHECK(purge_figure(OBJECTS) == 0);
	CHECK(all_are(p, 0));
	CHECK(keep(p) == 1 && keep(p) == 0);
	fill(p, 2);
	CHECK(purge_all() == 0 && all_are(p, 2));
	munmap(p, LEN);
	return true;
}

static bool written_while_volatile_is_taken_again(void)
{
	char *p = purgeable();
	CHECK(p);
	CHECK(make_volatile(p) == 0);
	CHECK(purge_all() == 0); /* no pages: nothing is taken */
	CHECK(keep(p) == 0);
	CHECK(make_volatile(p) == 0);
	fill(p, 1);
	CHECK(purge_all() == PAGES && all_are(p, 0));
	p[0] = 7;
	CHECK(p[0] == 7);
	CHECK(purge_all() == 1 && p[0] == 0);
	p[PAGE] = 8;
	CHECK(keep(p) == 1 && p[PAGE] == 8); /* taken before, but this page is there */
	munmap(p, LEN);
	return true;
}

static bool least_recently_volatile_first(void)
{
	char *a = purgeable(), *b = purgeable(), *c = purgeable();
	CHECK(a && b && c);
	fill(a, 1), fill(b, 2), fill(c, 3);
	CHECK(make_volatile(a) == 0 && make_volatile(b) == 0 && make_volatile(c) == 0);
	CHECK(make_volatile(a) == 0); /* to the young end */
	CHECK(purge("1") == PAGES);   /* one object at a time, in whole */
	CHECK(all_are(a, 1) && all_are(b, 0) && all_are(c, 3));
	CHECK(purge("1") == PAGES);
	CHECK(all_are(a, 1) && all_are(c, 0));
	CHECK(keep(a) == 0 && keep(b) == 1 && keep(c) == 1);
	munmap(a, LEN), munmap(b, LEN), munmap(c, LEN);
	return true;
}

static bool ranges_are_whole(void)
{
	char *p = purgeable(), *plain = mmap(NULL, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p && plain != MAP_FAILED);
	fill(p, 1);
	CHECK(FAILS_WITH(advise(p, LEN - PAGE, MADV_SET_VOLATILE), EINVAL));
	CHECK(FAILS_WITH(advise(p + PAGE, LEN - PAGE, MADV_SET_VOLATILE), EINVAL));
	CHECK(FAILS_WITH(advise(p, LEN + PAGE, MADV_SET_VOLATILE), EINVAL));
	CHECK(FAILS_WITH(advise(p + 1, LEN - 1, MADV_SET_VOLATILE), EINVAL));
	CHECK(FAILS_WITH(make_volatile(plain), EINVAL) && FAILS_WITH(keep(plain), EINVAL));
	CHECK(purge_all() == 0 && all_are(p, 1));
	/* Cut in two by rights it has no whole; joined again it has. */
	CHECK(mprotect(p, PAGE, PROT_READ) == 0);
	CHECK(FAILS_WITH(make_volatile(p), EINVAL) && FAILS_WITH(advise(p, PAGE, MADV_SET_VOLATILE), EINVAL));
	CHECK(mprotect(p, PAGE, RW) == 0 && make_volatile(p) == 0 && keep(p) == 0);
	/* What is locked is not for letting go. */
	CHECK(mlock(p, LEN) == 0 && FAILS_WITH(make_volatile(p), EINVAL));
	CHECK(munlock(p, LEN) == 0 && make_volatile(p) == 0);
	munmap(p, LEN), munmap(plain, LEN);
	CHECK(mmap(NULL, LEN, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_PURGEABLE, -1, 0) == MAP_FAILED &&
	      errno == EINVAL);
	return true;
}

/* In a child: its copy of what was forked is what the state says, and is purged on its own. */
static int child_keeps(void *arg)
{
	char *p = arg;
	UCHECK(keep(p) == 0 && all_are(p, 1));
	UCHECK(purge_all() == 0 && all_are(p, 1)); /* the parent's may go, but the frames are ours too */
	fill(p, 2);
	UCHECK(purge_all() == 0 && all_are(p, 2));
	return 0;
}
static int child_is_told(void *arg)
{
	char *p = arg;
	UCHECK(all_are(p, 0) && keep(p) == 1 && keep(p) == 0);
	return 0;
}

static bool fork_in_each_state(void)
{
	char *p = purgeable();
	CHECK(p);
	fill(p, 1);
	CHECK(child_exits(child_keeps, p, 0)); /* nonvolatile */
	CHECK(all_are(p, 1));
	CHECK(make_volatile(p) == 0);
	CHECK(child_exits(
	    child_keeps, p, 0)); /* volatile: the parent's is purged meanwhile, the child's shares stay */
	CHECK(all_are(p, 0));
	CHECK(child_exits(child_is_told, p, 0)); /* purged */
	CHECK(keep(p) == 1);
	munmap(p, LEN);
	return true;
}

/* --- files --- */

static int purgeable_file(char **p)
{
	int fd = (int)syscall(SYS_memfd_create, "cache", MFD_PURGEABLE | MFD_CLOEXEC | MFD_ALLOW_SEALING);
	*p = fd < 0 || ftruncate(fd, LEN) ? MAP_FAILED : mmap(NULL, LEN, RW, MAP_SHARED, fd, 0);
	return *p == MAP_FAILED ? -1 : fd;
}

static int reopen(int fd)
{
	char name[40];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return open(name, O_RDWR | O_CLOEXEC);
}

static bool a_file_by_descriptor(void)
{
	char *p;
	int fd = purgeable_file(&p);
	CHECK(fd >= 0);
	fill(p, 1);
	CHECK(purge_all() == 0);
	CHECK(fcntl(fd, F_SET_VOLATILE, 0) == 0 && purge_all() == PAGES && all_are(p, 0));
	CHECK(fcntl(fd, F_SET_NONVOLATILE, 0) == 1 && fcntl(fd, F_SET_NONVOLATILE, 0) == 0);
	fill(p, 2);
	/* The same by its mapping: the open file is one. */
	CHECK(make_volatile(p) == 0 && fcntl(fd, F_SET_NONVOLATILE, 0) == 0 && all_are(p, 2));
	CHECK(FAILS_WITH(advise(p, PAGE, MADV_SET_VOLATILE), EINVAL));
	CHECK(FAILS_WITH(fcntl(fd, F_SET_VOLATILE, 1), EINVAL) &&
	      FAILS_WITH(fcntl(0, F_SET_VOLATILE, 0), EINVAL));
	/* What may be taken cannot be promised to stay. */
	CHECK(FAILS_WITH(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM) &&
	      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	munmap(p, LEN), close(fd);
	return true;
}

static bool volatile_when_nobody_holds_it(void)
{
	char *p;
	int fd = purgeable_file(&p), copy = dup(fd), other = reopen(fd);
	CHECK(fd >= 0 && copy >= 0 && other >= 0);
	fill(p, 1);
	CHECK(fcntl(other, F_SET_NONVOLATILE, 0) == 0); /* two hold it */
	CHECK(fcntl(fd, F_SET_VOLATILE, 0) == 0 && purge_all() == 0 && all_are(p, 1));
	CHECK(fcntl(copy, F_SET_NONVOLATILE, 0) == 0); /* a copied descriptor has the same hold */
	CHECK(fcntl(other, F_SET_VOLATILE, 0) == 0 && purge_all() == 0);
	CHECK(fcntl(fd, F_SET_VOLATILE, 0) == 0 && purge_all() == PAGES && all_are(p, 0));
	CHECK(fcntl(fd, F_SET_NONVOLATILE, 0) == 1 &&
	      fcntl(other, F_SET_NONVOLATILE, 0) == 1); /* each is told */
	CHECK(fcntl(fd, F_SET_VOLATILE, 0) == 0);
	fill(p, 3);
	CHECK(purge_all() == 0);
	close(other); /* its hold goes with it */
	CHECK(purge_all() == PAGES && all_are(p, 0));
	CHECK(fcntl(copy, F_SET_NONVOLATILE, 0) == 1);
	fill(p, 4);
	close(fd), close(copy);
	CHECK(purge_all() == 0 && all_are(p, 4)); /* the mapping keeps the open file, and so its hold */
	CHECK(make_volatile(p) == 0 && purge_all() == PAGES && all_are(p, 0));
	munmap(p, LEN);
	return true;
}

static bool views_of_a_purged_file(void)
{
	char *p, buf[PAGE];
	int fd = purgeable_file(&p);
	char *mine = mmap(NULL, LEN, RW, MAP_PRIVATE, fd, 0);
	CHECK(fd >= 0 && mine != MAP_FAILED);
	fill(p, 1);
	mine[PAGE] = 9; /* a page of its own */
	CHECK(mine[2 * PAGE] == 1);
	CHECK(fcntl(fd, F_SET_VOLATILE, 0) == 0 && purge_all() == PAGES);
	CHECK(pread(fd, buf, PAGE, 0) == PAGE && buf[0] == 0);
	CHECK(lseek(fd, 0, SEEK_DATA) == -1 && errno == ENXIO);
	CHECK(mine[PAGE] == 9 && mine[2 * PAGE] == 0);
	CHECK(pwrite(fd, "x", 1, 5 * PAGE) == 1 && mine[5 * PAGE] == 'x' && p[5 * PAGE] == 'x');
	munmap(p, LEN), munmap(mine, LEN), close(fd);
	return true;
}

static bool snapshots_have_their_own_state(void)
{
	char *p, *q;
	int fd = purgeable_file(&p);
	CHECK(fd >= 0);
	fill(p, 1);
	int kept = fcntl(fd, F_SNAPSHOT, O_CLOEXEC);
	CHECK(kept >= 0);
	CHECK(fcntl(fd, F_SET_VOLATILE, 0) == 0);
	int loose = fcntl(fd, F_SNAPSHOT, O_CLOEXEC);
	CHECK(loose >= 0 && purge_all() == 0); /* both volatile ones go, but the third has the frames */
	CHECK(fcntl(kept, F_SET_NONVOLATILE, 0) == 0 && fcntl(loose, F_SET_NONVOLATILE, 0) == 1);
	q = mmap(NULL, LEN, RW, MAP_SHARED, kept, 0);
	CHECK(q != MAP_FAILED && all_are(q, 1) && all_are(p, 0));
	munmap(q, LEN), munmap(p, LEN), close(fd), close(kept), close(loose);
	return true;
}

static const struct utest tests[] = {
    {"volatile and back keeps what is there", volatile_and_back},
    {"what was purged reads as zeros, and that is told once", purged_reads_zeros_and_is_told_once},
    {"what is written while volatile may be taken again", written_while_volatile_is_taken_again},
    {"the least recently volatile goes first, in whole", least_recently_volatile_first},
    {"ranges are exactly one purgeable mapping", ranges_are_whole},
    {"fork copies each state, and purges apart", fork_in_each_state},
    {"a file is made volatile by its descriptor, or by its mapping", a_file_by_descriptor},
    {"a file is volatile when no open file holds it", volatile_when_nobody_holds_it},
    {"what all views of a purged file show", views_of_a_purged_file},
    {"snapshots of a purgeable file have their own state", snapshots_have_their_own_state},
};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
