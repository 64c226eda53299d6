/*
 * ummap.c - mmap, munmap, mprotect, msync, mincore, brk by the Linux ABI: what is shared, what is refused and
 * with which error. The same binary passes on Linux.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "utap.h"

enum { PAGE = 4096 };

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf caught;
static volatile int caught_signal, caught_code;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	caught_signal = sig;
	caught_code = info->si_code;
	siglongjmp(caught, 1);
}

/* The signal that touching p gives; 0: none. */
static int touch(volatile char *p, bool writing)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, segv, bus;
	sigaction(SIGSEGV, &sa, &segv);
	sigaction(SIGBUS, &sa, &bus);
	caught_signal = 0;
	if (!sigsetjmp(caught, 1)) {
		char c = *p;
		if (writing)
			*p = c;
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return caught_signal;
}

static long raw_mmap(unsigned long addr, size_t len, int prot, int flags, int fd, long offset)
{
	return syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static int temp_file(size_t size)
{
	char name[64];
	int fd = open(utest_file(name, "file"), O_CREAT | O_EXCL | O_RDWR, 0600);
	unlink(name);
	return fd >= 0 && ftruncate(fd, (off_t)size) ? -1 : fd;
}

static bool anonymous_errors(void)
{
	CHECK(FAILS_WITH(raw_mmap(0, 0, RW, ANON, -1, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, ANON, -1, 1), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, (size_t)-1, RW, ANON, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(raw_mmap(0, 1UL << 62, RW, ANON, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, MAP_ANONYMOUS | MAP_SHARED_VALIDATE, -1, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(123, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(-(unsigned long)PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(raw_mmap(0x7ffffffff000, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_GROWSDOWN, -1, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, ANON | MAP_HUGETLB | 5 << 26, -1, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, MAP_PRIVATE, 1000, 0), EBADF));
	return true;
}

static bool hints(void)
{
	char *p = mmap(NULL, 16 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(munmap(p + PAGE, 4 * PAGE) == 0);
	char *q = mmap(p + PAGE + 77, PAGE, RW, ANON, -1, 0); /* rounded down, free: taken */
	CHECK(q == p + PAGE);
	char *other = mmap(p + PAGE, PAGE, RW, ANON, -1, 0); /* in use: elsewhere */
	CHECK(other != MAP_FAILED && other != p + PAGE);
	CHECK(FAILS_WITH(raw_mmap((unsigned long)p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST));
	CHECK(mmap(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + 2 * PAGE);
	char *low = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
	CHECK(low != MAP_FAILED && (unsigned long)low < 1UL << 31);
	CHECK(munmap(low, PAGE) == 0 && munmap(other, PAGE) == 0 && munmap(p, 16 * PAGE) == 0);
	CHECK(touch(p, false) == SIGSEGV && caught_code == 1);
	return true;
}

static bool file_private_and_shared(void)
{
	int fd = temp_file(3 * PAGE + 100);
	char back[4];
	CHECK(fd >= 0);
	char *s = mmap(NULL, 5 * PAGE, RW, MAP_SHARED, fd, 0),
	     *p = mmap(NULL, 5 * PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(s != MAP_FAILED && p != MAP_FAILED);
	memcpy(s, "one", 4);
	CHECK(pread(fd, back, 4, 0) == 4 && !memcmp(back, "one", 4) && !memcmp(p, "one", 4));
	memcpy(p, "two", 4);
	CHECK(!memcmp(s, "one", 4) && pwrite(fd, "six", 4, 0) == 4 && !memcmp(s, "six", 4) &&
	      !memcmp(p, "two", 4));
	CHECK(touch(s + 3 * PAGE + 4000, true) == 0); /* the rest of the last page */
	CHECK(touch(s + 4 * PAGE, false) == SIGBUS && caught_code == 2);
	CHECK(touch(p + 4 * PAGE, true) == SIGBUS);
	CHECK(ftruncate(fd, PAGE) == 0);
	CHECK(touch(s + PAGE, false) == SIGBUS && touch(s, true) == 0);
	CHECK(ftruncate(fd, 5 * PAGE) == 0);
	CHECK(touch(s + 4 * PAGE, true) == 0 && s[PAGE] == 0);
	close(fd);
	s[1] = 'x'; /* the mapping keeps the file */
	CHECK(s[1] == 'x' && msync(s, 5 * PAGE, MS_SYNC) == 0);
	CHECK(munmap(s, 5 * PAGE) == 0 && munmap(p, 5 * PAGE) == 0);
	return true;
}

static bool file_rights(void)
{
	int fd = temp_file(PAGE);
	char name[64];
	CHECK(fd >= 0);
	int wr = open(utest_file(name, "rights"), O_CREAT | O_TRUNC | O_RDWR, 0600);
	CHECK(wr >= 0 && ftruncate(wr, PAGE) == 0);
	int ro = open(name, O_RDONLY), wo = open(name, O_WRONLY), path = open(name, O_PATH),
	    dir = open("/", O_RDONLY);
	CHECK(ro >= 0 && wo >= 0 && path >= 0 && dir >= 0);
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, RW, MAP_SHARED, ro, 0), EACCES));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_SHARED, wo, 0), EACCES));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_PRIVATE, wo, 0), EACCES));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_PRIVATE, path, 0), EBADF));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_PRIVATE, dir, 0), ENODEV));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, wr, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_HUGETLB, wr, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, 0, wr, 0), EINVAL));
	CHECK(FAILS_WITH(raw_mmap(0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x80000, wr, 0), EOPNOTSUPP));
	CHECK(FAILS_WITH(raw_mmap(0, 2 * PAGE, PROT_READ, MAP_PRIVATE, wr, 0x7ffffffffffff000), EOVERFLOW));
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
	CHECK(p != MAP_FAILED && FAILS_WITH(mprotect(p, PAGE, RW), EACCES) &&
	      mprotect(p, PAGE, PROT_NONE) == 0);
	char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE, ro, 0);
	CHECK(q != MAP_FAILED && touch(q, true) == 0);
	char *v = mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE, wr, 0);
	CHECK(v != MAP_FAILED && touch(v, true) == 0);
	CHECK(munmap(p, PAGE) == 0 && munmap(q, PAGE) == 0 && munmap(v, PAGE) == 0);
	close(fd), close(wr), close(ro), close(wo), close(path), close(dir);
	unlink(name);
	return true;
}

static bool partial_protect(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED && munmap(p + 2 * PAGE, PAGE) == 0);
	CHECK(FAILS_WITH(mprotect(p, 4 * PAGE, PROT_READ), ENOMEM));
	CHECK(touch(p, true) == SIGSEGV && caught_code == 2); /* what came before the hole was done */
	CHECK(touch(p + PAGE, true) == SIGSEGV && touch(p + 3 * PAGE, true) == 0);
	CHECK(FAILS_WITH(syscall(SYS_mprotect, p + 1, PAGE, RW), EINVAL));
	CHECK(FAILS_WITH(mprotect(p, PAGE, 0x40), EINVAL));
	CHECK(mprotect(p, 0, RW) == 0);
	CHECK(FAILS_WITH(mprotect(p, PAGE, PROT_READ | 0x1000000), EINVAL)); /* PROT_GROWSDOWN */
	CHECK(FAILS_WITH(mprotect(p, PAGE, PROT_READ | 0x3000000), EINVAL));
	CHECK(FAILS_WITH(munmap(p + 1, PAGE), EINVAL) && FAILS_WITH(munmap(p, 0), EINVAL));
	CHECK(munmap(p, 4 * PAGE) == 0 && munmap(p, 4 * PAGE) == 0);
	return true;
}

static bool grows_down(void)
{
	enum { ROOM = 600 };
	char *area = mmap(NULL, ROOM * PAGE, PROT_NONE, ANON, -1, 0);
	CHECK(area != MAP_FAILED && munmap(area, ROOM * PAGE) == 0);
	char *top = area + ROOM * PAGE, *low = area + PAGE * 10;
	char *p = mmap(top - PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	CHECK(p == top - PAGE);
	CHECK(mmap(area, 10 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == area);
	CHECK(touch(p - 100 * PAGE, true) == 0 && touch(p - 50 * PAGE, true) == 0);
	CHECK(touch(low + 255 * PAGE, true) == SIGSEGV); /* the gap to what is below stays */
	CHECK(touch(low + 256 * PAGE, true) == 0);
	CHECK(mprotect(top - PAGE, PAGE, PROT_READ | 0x1000000) == 0); /* from where it begins */
	CHECK(touch(low + 256 * PAGE, true) == SIGSEGV && touch(p, false) == 0);
	CHECK(munmap(area, ROOM * PAGE) == 0);
	return true;
}

static bool sync_errors(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED && munmap(p + PAGE, PAGE) == 0);
	CHECK(FAILS_WITH(msync(p, PAGE, 8), EINVAL) && FAILS_WITH(msync(p + 1, PAGE, MS_SYNC), EINVAL));
	CHECK(FAILS_WITH(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL));
	CHECK(msync(p, PAGE, MS_SYNC) == 0 && msync(p, 0, MS_SYNC) == 0 && msync(p, PAGE, 0) == 0);
	CHECK(FAILS_WITH(msync(p, 4 * PAGE, MS_SYNC), ENOMEM));
	CHECK(FAILS_WITH(msync(p, 4 * PAGE, MS_ASYNC), ENOMEM));
	CHECK(
	    mlock(p, PAGE) == 0 && FAILS_WITH(msync(p, PAGE, MS_INVALIDATE), EBUSY) && munlock(p, PAGE) == 0);
	CHECK(msync(p, PAGE, MS_INVALIDATE) == 0);
	CHECK(munmap(p, 4 * PAGE) == 0);
	return true;
}

static bool residency(void)
{
	unsigned char vec[4] = {9, 9, 9, 9};
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	p[PAGE] = 1;
	CHECK(mincore(p, 3 * PAGE + 1, vec) == 0);
	CHECK(!(vec[0] & 1) && (vec[1] & 1) && !(vec[2] & 1) && !(vec[3] & 1));
	CHECK(FAILS_WITH(mincore(p + 1, PAGE, vec), EINVAL));
	CHECK(FAILS_WITH(mincore(p, PAGE, (unsigned char *)-4096L), EFAULT));
	CHECK(munmap(p + 2 * PAGE, PAGE) == 0 && FAILS_WITH(mincore(p, 4 * PAGE, vec), ENOMEM));
	char *q = mmap(NULL, PAGE, RW, ANON | MAP_POPULATE, -1, 0);
	CHECK(q != MAP_FAILED && mincore(q, PAGE, vec) == 0 && (vec[0] & 1));
	CHECK(munmap(p, 4 * PAGE) == 0 && munmap(q, PAGE) == 0);
	int fd = temp_file(2 * PAGE);
	CHECK(fd >= 0 && pwrite(fd, "x", 1, PAGE) == 1);
	p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && mincore(p, 2 * PAGE, vec) == 0 &&
	      (vec[1] & 1)); /* in the cache, though nobody looked */
	CHECK(munmap(p, 2 * PAGE) == 0);
	close(fd);
	return true;
}

static int limited(void *arg)
{
	struct rlimit r = {64 << 20, 64 << 20};
	(void)arg;
	if (setrlimit(RLIMIT_AS, &r))
		return 1;
	if (!FAILS_WITH(raw_mmap(0, 65 << 20, RW, ANON, -1, 0), ENOMEM))
		return 2;
	char *p = mmap(NULL, 8 << 20, RW, ANON, -1, 0);
	if (p == MAP_FAILED)
		return 3;
	for (int i = 0; i < 20; i++) /* replacing does not count twice */
		if (mmap(p, 8 << 20, RW, ANON | MAP_FIXED, -1, 0) != p)
			return 4;
	if (!FAILS_WITH(syscall(SYS_mremap, p, 8 << 20, 80 << 20, 1, 0), ENOMEM))
		return 5;
	r = (struct rlimit){1 << 20, 1 << 20};
	if (setrlimit(RLIMIT_DATA, &r) || !FAILS_WITH(raw_mmap(0, 2 << 20, RW, ANON, -1, 0), ENOMEM))
		return 6;
	if (raw_mmap(0, 2 << 20, PROT_READ, ANON, -1, 0) == -1)
		return 7;
	long now = syscall(SYS_brk, 0);
	return syscall(SYS_brk, now + (2 << 20)) == now ? 0 : 8;
}

static bool limits(void)
{
	return child_exits(limited, NULL, 0);
}

static bool heap(void)
{
	unsigned long now = (unsigned long)syscall(SYS_brk, 0);
	CHECK((unsigned long)syscall(SYS_brk, 1) == now);
	CHECK((unsigned long)syscall(SYS_brk, now + 3 * PAGE + 5) == now + 3 * PAGE + 5);
	*(volatile char *)(now + 3 * PAGE) = 1;
	CHECK((unsigned long)syscall(SYS_brk, now) == now);
	CHECK((unsigned long)syscall(SYS_brk, 1UL << 62) == now);
	return true;
}

static bool many_regions(void)
{
	enum { N = 66000 };
	char *p = mmap(NULL, (size_t)N * PAGE, PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	long i;
	for (i = 0; i < N; i += 2)
		if (mprotect(p + i * PAGE, PAGE, RW))
			break;
	CHECK(i < N && errno == ENOMEM && i > 65000);
	CHECK(munmap(p, (size_t)N * PAGE) == 0);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"anonymous memory: what is refused", anonymous_errors},
	    {"hints, fixed places, the low 2 GiB", hints},
	    {"files, private and shared", file_private_and_shared},
	    {"rights of the descriptor", file_rights},
	    {"mprotect goes up to the hole", partial_protect},
	    {"memory that grows down", grows_down},
	    {"msync", sync_errors},
	    {"mincore", residency},
	    {"RLIMIT_AS, RLIMIT_DATA", limits},
	    {"brk", heap},
	    {"number of regions", many_regions},
	};
	return UTEST_RUN(tests);
}
