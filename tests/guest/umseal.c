/* umseal.c - memory that is sealed for ever: mseal(2). The same binary passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "utap.h"

enum { PAGE = 4096, SYS_MSEAL = 462, DONTUNMAP = 4, MADV_LOCKED_TOO = 24 };

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static long seal(void *p, size_t len, unsigned long flags)
{
	return syscall(SYS_MSEAL, p, len, flags);
}

static char *map(size_t npages, int prot)
{
	return mmap(NULL, npages * PAGE, prot, ANON, -1, 0);
}

/* Six pages, of which the third and fourth are sealed. These never go, so nobody gives them back. */
static char *map_sealed(int prot)
{
	char *p = map(6, RW);
	if (p == MAP_FAILED)
		return NULL;
	memset(p, 7, 6 * PAGE);
	if (mprotect(p + 2 * PAGE, 2 * PAGE, prot) || seal(p + 2 * PAGE, 2 * PAGE, 0))
		return NULL;
	return p;
}

static bool errors(void)
{
	char *p = map(5, RW);
	CHECK(p != MAP_FAILED && munmap(p + 2 * PAGE, PAGE) == 0 && munmap(p + 4 * PAGE, PAGE) == 0);
	CHECK(FAILS_WITH(seal(p, PAGE, 1), EINVAL) && FAILS_WITH(seal(p, PAGE, -1UL), EINVAL));
	CHECK(FAILS_WITH(seal(p + 1, PAGE, 0), EINVAL));
	CHECK(FAILS_WITH(seal(p, -1UL, 0), EINVAL) && FAILS_WITH(seal(p, -(size_t)PAGE, 0), EINVAL));
	CHECK(FAILS_WITH(seal(p, 4 * PAGE, 0), ENOMEM) && FAILS_WITH(seal(p + 2 * PAGE, PAGE, 0), ENOMEM) &&
	      FAILS_WITH(seal(p + 3 * PAGE, 2 * PAGE, 0), ENOMEM));
	CHECK(seal(p + 2 * PAGE, 0, 0) == 0); /* nothing at all */
	CHECK(munmap(p, 4 * PAGE) == 0);      /* nothing of it was sealed */
	return true;
}

static bool neither_unmapped_nor_replaced(void)
{
	char *p = map_sealed(RW);
	CHECK(p);
	CHECK(FAILS_WITH(munmap(p + 2 * PAGE, PAGE), EPERM));
	CHECK(FAILS_WITH(munmap(p, 6 * PAGE), EPERM) && p[0] == 7 && p[5 * PAGE] == 7);
	CHECK(FAILS_WITH(munmap(p + PAGE, 2 * PAGE), EPERM) && p[PAGE] == 7);
	CHECK(mmap(p, 6 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EPERM);
	CHECK(mmap(p + 3 * PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EPERM);
	CHECK(p[0] == 7 && p[2 * PAGE] == 7 && p[3 * PAGE] == 7);
	CHECK(
	    mmap(p + 3 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	CHECK(seal(p + 2 * PAGE, 2 * PAGE, 0) == 0); /* again is no change */
	CHECK(munmap(p, 2 * PAGE) == 0 && munmap(p + 4 * PAGE, 2 * PAGE) == 0);
	return true;
}

static bool rights_stay(void)
{
	char *p = map_sealed(RW);
	CHECK(p);
	CHECK(FAILS_WITH(mprotect(p + 2 * PAGE, PAGE, PROT_READ), EPERM));
	CHECK(FAILS_WITH(mprotect(p + 2 * PAGE, PAGE, RW), EPERM)); /* those that it has, even */
	CHECK(FAILS_WITH(mprotect(p + 3 * PAGE, 2 * PAGE, PROT_NONE), EPERM));
	CHECK(FAILS_WITH(syscall(SYS_pkey_mprotect, p + 2 * PAGE, PAGE, PROT_NONE, -1), EPERM));
	p[2 * PAGE] = 8; /* what is in it may change */
	CHECK(p[2 * PAGE] == 8 && p[4 * PAGE] == 7);
	CHECK(mprotect(p, 2 * PAGE, PROT_READ) == 0);
	return true;
}

static bool does_not_move(void)
{
	char *p = map_sealed(RW), *free = map(2, RW);
	CHECK(p && free != MAP_FAILED && munmap(free, 2 * PAGE) == 0);
	CHECK(mremap(p + 2 * PAGE, 2 * PAGE, PAGE, 0) == MAP_FAILED && errno == EPERM);
	CHECK(mremap(p + 2 * PAGE, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EPERM);
	CHECK(mremap(p + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, free) == MAP_FAILED &&
	      errno == EPERM);
	CHECK(mremap(p + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | DONTUNMAP) == MAP_FAILED &&
	      errno == EPERM);
	CHECK(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 3 * PAGE) == MAP_FAILED &&
	      errno == EPERM); /* onto it */
	CHECK(p[0] == 7 && p[3 * PAGE] == 7);
	return true;
}

/* What cannot be written cannot be thrown away either; what can be, can. */
static bool discards(void)
{
	static const int advice[] = {
	    MADV_DONTNEED, MADV_FREE, MADV_LOCKED_TOO, MADV_DONTFORK, MADV_WIPEONFORK, MADV_REMOVE};
	char *w = map_sealed(RW), *r = map_sealed(PROT_READ);
	CHECK(w && r);
	for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		CHECK(FAILS_WITH(madvise(r + 3 * PAGE, PAGE, advice[i]), EPERM));
	CHECK(r[2 * PAGE] == 7 && r[3 * PAGE] == 7);
	CHECK(
	    madvise(r + 2 * PAGE, PAGE, MADV_DONTDUMP) == 0 && madvise(r + 2 * PAGE, PAGE, MADV_RANDOM) == 0);
	CHECK(madvise(r, 2 * PAGE, MADV_DONTNEED) == 0 && r[0] == 0);
	CHECK(madvise(w + 2 * PAGE, PAGE, MADV_DONTNEED) == 0 && w[2 * PAGE] == 0 && w[3 * PAGE] == 7);
	CHECK(madvise(w + 2 * PAGE, PAGE, MADV_DONTFORK) == 0);
	return true;
}

/* A shared window on a file is not what keeps the file's contents. */
static bool files(void)
{
	char path[64];
	int fd = open(utest_file(path, "sealed"), O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0 && pwrite(fd, "file", 4, 0) == 4);
	char *s = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(s != MAP_FAILED && p != MAP_FAILED && seal(s, PAGE, 0) == 0 && seal(p, PAGE, 0) == 0);
	CHECK(madvise(s, PAGE, MADV_DONTNEED) == 0 && !memcmp(s, "file", 4));
	CHECK(FAILS_WITH(mprotect(p, PAGE, RW), EPERM) && FAILS_WITH(munmap(s, PAGE), EPERM));
	CHECK(mlock(p, PAGE) == 0 && munlock(p, PAGE) == 0 && msync(s, PAGE, MS_SYNC) == 0);
	CHECK(pwrite(fd, "FILE", 4, 0) == 4 && !memcmp(s, "FILE", 4));
	close(fd);
	return true;
}

static int tries_in_child(void *arg)
{
	char *p = arg;
	UCHECK(FAILS_WITH(munmap(p + 2 * PAGE, PAGE), EPERM) && p[2 * PAGE] == 7);
	p[2 * PAGE] = 1;
	UCHECK(FAILS_WITH(mprotect(p + 3 * PAGE, PAGE, PROT_NONE), EPERM));
	return 0;
}

static bool inherited(void)
{
	char *p = map_sealed(RW);
	CHECK(p && child_exits(tries_in_child, p, 0) && p[2 * PAGE] == 7);
	return true;
}

/* brk never fails: it says where the end is. */
static int heap(void *arg)
{
	(void)arg;
	char *old = (char *)syscall(SYS_brk, 0);
	char *start = (char *)(((unsigned long)old + PAGE - 1) & -(unsigned long)PAGE);
	UCHECK((char *)syscall(SYS_brk, start + 4 * PAGE) == start + 4 * PAGE);
	UCHECK(seal(start + 2 * PAGE, PAGE, 0) == 0);
	UCHECK((char *)syscall(SYS_brk, start + 3 * PAGE) == start + 3 * PAGE);
	UCHECK((char *)syscall(SYS_brk, start) == start + 3 * PAGE);
	start[2 * PAGE] = 1;
	return 0;
}

static bool heap_does_not_shrink(void)
{
	CHECK(child_exits(heap, NULL, 0));
	return true;
}

static bool shown(void)
{
	char *p = map_sealed(RW), line[512], want[48];
	bool at = false, found = false;
	CHECK(p);
	snprintf(
	    want, sizeof(want), "%lx-%lx ", (unsigned long)(p + 2 * PAGE), (unsigned long)(p + 4 * PAGE));
	if (access("/proc/self/smaps", F_OK)) /* as the only program of a machine */
		CHECK((mkdir("/proc", 0755) == 0 || errno == EEXIST) &&
		      mount("proc", "/proc", "proc", 0, NULL) == 0);
	FILE *f = fopen("/proc/self/smaps", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && !strchr(line, ':'))
			at = false;
		if (!strncmp(line, want, strlen(want)))
			at = true;
		else if (at && !strncmp(line, "VmFlags:", 8)) {
			found = strstr(line, " sl") != NULL;
			at = false;
		}
	}
	fclose(f);
	CHECK(found);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"errors change nothing", errors},
	    {"what is sealed is neither unmapped nor replaced", neither_unmapped_nor_replaced},
	    {"its rights stay", rights_stay},
	    {"it does not move", does_not_move},
	    {"contents that cannot be written cannot be discarded", discards},
	    {"windows on files", files},
	    {"children inherit it", inherited},
	    {"the heap does not shrink below it", heap_does_not_shrink},
	    {"smaps tells", shown},
	};
	return utest_run(tests, sizeof(tests) / sizeof(tests[0]));
}
