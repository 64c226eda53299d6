/* umlock.c - mlock and its kin by the Linux ABI. The same binary passes on Linux. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>

#include "utap.h"

enum { PAGE = 4096, ONFAULT = 1, CURRENT = 1, FUTURE = 2, ALL_ONFAULT = 4 };

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int resident(char *p, int n)
{
	unsigned char vec[16] = {0};
	int count = 0;
	if (mincore(p, (size_t)n * PAGE, vec))
		return -1;
	for (int i = 0; i < n; i++)
		count += vec[i] & 1;
	return count;
}

static bool brings_in(void)
{
	char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED && resident(p, 8) == 0);
	CHECK(mlock(p + PAGE + 5, PAGE) == 0 && resident(p, 8) == 2); /* rounded outwards */
	CHECK(syscall(SYS_mlock2, p + 4 * PAGE, 2 * PAGE, ONFAULT) == 0 && resident(p, 8) == 2);
	p[4 * PAGE] = 1;
	CHECK(resident(p, 8) == 3);
	CHECK(munlock(p, 8 * PAGE) == 0 && munlock(p, 8 * PAGE) == 0 && resident(p, 8) == 3);
	char *q = mmap(NULL, 2 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);
	CHECK(q != MAP_FAILED && resident(q, 2) == 2);
	CHECK(munmap(p, 8 * PAGE) == 0 && munmap(q, 2 * PAGE) == 0);
	return true;
}

static bool errors(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0), *n = mmap(NULL, PAGE, PROT_NONE, ANON, -1, 0);
	CHECK(p != MAP_FAILED && n != MAP_FAILED && munmap(p + 2 * PAGE, PAGE) == 0);
	CHECK(FAILS_WITH(mlock(p, 4 * PAGE), ENOMEM));
	CHECK(FAILS_WITH(msync(p, PAGE, MS_INVALIDATE), EBUSY)); /* what came before the hole is locked */
	CHECK(msync(p + 3 * PAGE, PAGE, MS_INVALIDATE) == 0);
	CHECK(FAILS_WITH(munlock(p, 4 * PAGE), ENOMEM) && msync(p, PAGE, MS_INVALIDATE) == 0);
	CHECK(FAILS_WITH(mlock(n, PAGE), ENOMEM));
	CHECK(FAILS_WITH(syscall(SYS_mlock2, p, PAGE, 2), EINVAL));
	CHECK(FAILS_WITH(munlock((void *)-(long)PAGE, 2 * PAGE), EINVAL));
	CHECK(FAILS_WITH(mlockall(0), EINVAL) && FAILS_WITH(mlockall(ALL_ONFAULT), EINVAL) &&
	      FAILS_WITH(mlockall(8), EINVAL));
	CHECK(mlock(p, 0) == 0);
	CHECK(munmap(p, 4 * PAGE) == 0 && munmap(n, PAGE) == 0);
	return true;
}

static int everything(void *arg)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	(void)arg;
	if (mlockall(CURRENT | FUTURE) || resident(p, 4) != 4)
		return 1;
	char *q = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	if (q == MAP_FAILED || resident(q, 2) != 2)
		return 2;
	if (!FAILS_WITH(madvise(q, PAGE, MADV_DONTNEED), EINVAL))
		return 3;
	q = mremap(q, 2 * PAGE, 6 * PAGE, 1);
	if (q == MAP_FAILED || resident(q, 6) != 6)
		return 4;
	if (munlockall() || madvise(q, PAGE, MADV_DONTNEED))
		return 5;
	q = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	if (q == MAP_FAILED || resident(q, 2) != 0)
		return 6;
	if (mlockall(FUTURE | ALL_ONFAULT))
		return 7;
	q = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	if (resident(q, 2) != 0 || !FAILS_WITH(madvise(q, PAGE, MADV_DONTNEED), EINVAL))
		return 8;
	return 0;
}

static int in_child(void *arg)
{
	return madvise(arg, PAGE, MADV_DONTNEED); /* locks are not inherited */
}

static bool all(void)
{
	char *p = mmap(NULL, PAGE, RW, ANON | MAP_LOCKED, -1, 0);
	CHECK(p != MAP_FAILED && child_exits(in_child, p, 0));
	CHECK(munmap(p, PAGE) == 0);
	CHECK(child_exits(everything, NULL, 0));
	return true;
}

static int limited(void *arg)
{
	struct rlimit r = {4 * PAGE, 4 * PAGE};
	char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
	(void)arg;
	if (setrlimit(RLIMIT_MEMLOCK, &r) || setresuid(1000, 1000, 1000))
		return 1;
	if (!FAILS_WITH(mlock(p, 5 * PAGE), ENOMEM) || mlock(p, 3 * PAGE))
		return 2;
	if (mlock(p, 4 * PAGE) ||
	    !FAILS_WITH(mlock(p + 4 * PAGE, PAGE), ENOMEM)) /* what is locked already counts once */
		return 3;
	errno = 0;
	if (mmap(NULL, PAGE, RW, ANON | MAP_LOCKED, -1, 0) != MAP_FAILED || errno != EAGAIN)
		return 4;
	if (!FAILS_WITH(mlockall(CURRENT), ENOMEM) || munlock(p, 8 * PAGE) || mlock(p + 4 * PAGE, 4 * PAGE))
		return 5;
	if (!FAILS_WITH(syscall(SYS_mremap, p + 4 * PAGE, 4 * PAGE, 5 * PAGE, 1, 0), EAGAIN))
		return 6;
	r = (struct rlimit){0, 0};
	if (setrlimit(RLIMIT_MEMLOCK, &r) || !FAILS_WITH(mlock(p, PAGE), EPERM))
		return 7;
	if (!FAILS_WITH(mlockall(CURRENT), EPERM) || munlock(p, 8 * PAGE) || munlockall())
		return 8;
	return FAILS_WITH(syscall(SYS_mmap, NULL, PAGE, RW, ANON | MAP_LOCKED, -1, 0), EPERM) ? 0 : 9;
}

static bool limits(void)
{
	return child_exits(limited, NULL, 0);
}

int main(void)
{
	static const struct utest tests[] = {
	    {"locking brings in", brings_in},
	    {"what is refused", errors},
	    {"mlockall, now and for what comes", all},
	    {"RLIMIT_MEMLOCK", limits},
	};
	return UTEST_RUN(tests);
}
