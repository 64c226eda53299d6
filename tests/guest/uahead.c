/* uahead.c - first touches of anonymous memory in several orders: what they cost in faults, and which pages
 * are there then. The same binary passes on Linux, but for what tests/oracle.differences says. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "utap.h"

enum {
	PAGE = 4096,
	PAGES = 400, /* too few for a large page of Linux */
	OTHERS = 12, /* faults that the program may take elsewhere meanwhile */
	THREADS = 4,
	WORD = 64, /* bytes from one thread's mark in a page to the next one's */
};
#define RW (PROT_READ | PROT_WRITE)

static unsigned char there[PAGES + 1];

static char *fresh(int n)
{
	char *p = mmap(NULL, (size_t)n * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static long faults(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) ? -1 : u.ru_minflt;
}

/* Pages of [p, p + n) that are in memory. */
static int count_there(char *p, int n)
{
	int count = 0;
	if (mincore(p, (size_t)n * PAGE, there))
		return -1;
	for (int i = 0; i < n; i++)
		count += there[i] & 1;
	return count;
}

static bool costs(long n, long pages)
{
	return n >= pages && n <= pages + OTHERS;
}

/* Write to n pages, each `step` behind the last, round about; faults taken. */
static long touch(char *p, int n, int step)
{
	long before = faults();
	for (int i = 0; i < n; i++)
		p[(long)(i * (long)step % PAGES) * PAGE] = (char)(i | 1);
	return faults() - before;
}

static bool in_order(void)
{
	char *p = fresh(PAGES);
	CHECK(p && touch(p, PAGES, 1) <= 20 + OTHERS);
	munmap(p, (size_t)PAGES * PAGE);
	return true;
}

static bool in_order_again(void)
{
	char *p = fresh(PAGES);
	for (int round = 0; round < 3; round++) {
		CHECK(p && touch(p, PAGES, 1) <= 20 + OTHERS);
		CHECK(madvise(p, (size_t)PAGES * PAGE, MADV_DONTNEED) == 0 && count_there(p, PAGES) == 0);
	}
	munmap(p, (size_t)PAGES * PAGE);
	return true;
}

static bool no_more_than_as_many_again(void)
{
	for (int n = 1; n < PAGES / 2; n += 7) {
		char *p = fresh(PAGES);
		touch(p, n, 1);
		int count = count_there(p, PAGES);
		CHECK(count >= n && count <= 2 * n);
		for (int i = n; i < PAGES; i++)
			CHECK(p[(long)i * PAGE] == 0);
		munmap(p, (size_t)PAGES * PAGE);
	}
	return true;
}

/* Each of n touches is a fault, and brings its own page only. */
static bool alone(int n, int step)
{
	char *p = fresh(PAGES);
	CHECK(p && count_there(p, PAGES) == 0);
	CHECK(costs(touch(p, n, step), n));
	CHECK(count_there(p, PAGES) == n);
	munmap(p, (size_t)PAGES * PAGE);
	return true;
}

static bool backward(void)
{
	return alone(PAGES, PAGES - 1);
}

static bool strided(void)
{
	return alone(PAGES / 2, 2) && alone(PAGES / 3, 3) && alone(PAGES / 97, 97);
}

static bool at_random(void)
{
	return alone(PAGES / 2, 157) && alone(PAGES / 4, 39);
}

static bool advice(void)
{
	char *p = fresh(PAGES);
	CHECK(madvise(p, (size_t)PAGES * PAGE, MADV_RANDOM) == 0);
	CHECK(costs(touch(p, PAGES / 2, 1), PAGES / 2) && count_there(p, PAGES) == PAGES / 2);
	CHECK(madvise(p, (size_t)PAGES * PAGE, MADV_NORMAL) == 0);
	touch(p, PAGES, 1);
	CHECK(count_there(p, PAGES) == PAGES);
	munmap(p, (size_t)PAGES * PAGE);
	return true;
}

/* A child goes on where its parent ended, and so does the parent. */
static int go_on(void *arg)
{
	char *p = arg;
	for (int i = PAGES / 2; i < PAGES; i++)
		p[(long)i * PAGE] = 2;
	for (int i = 0; i < PAGES; i++)
		UCHECK(p[(long)i * PAGE] == (i < PAGES / 2 ? 1 : 2));
	return 0;
}

static bool across_a_fork(void)
{
	char *p = fresh(PAGES);
	for (int i = 0; i < PAGES / 2; i++)
		p[(long)i * PAGE] = 1;
	CHECK(child_exits(go_on, p, 0));
	for (int i = PAGES / 2; i < PAGES; i++)
		CHECK(p[(long)i * PAGE] == 0);
	CHECK(go_on(p) == 0);
	munmap(p, (size_t)PAGES * PAGE);
	return true;
}

/* Pages of a file that lie behind those that are written to in order are still seen. */
static bool holes_of_a_file(void)
{
	int fd = (int)syscall(SYS_memfd_create, "holes", 0);
	CHECK(fd >= 0 && ftruncate(fd, 64 * PAGE) == 0);
	for (int i = 3; i < 64; i += 10)
		CHECK(pwrite(fd, "file", 4, (long)i * PAGE) == 4);
	char *p = mmap(NULL, 64 * PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	for (int i = 0; i < 64; i++)
		if (i % 10 != 3)
			p[(long)i * PAGE] = 1;
	for (int i = 3; i < 64; i += 10)
		CHECK(!memcmp(p + (long)i * PAGE, "file", 4));
	munmap(p, 64 * PAGE);
	close(fd);
	return true;
}

/* The kernel writes on behalf of the program. */
static bool calls(void)
{
	int fds[2];
	char *p = fresh(PAGES), chunk[PAGE];
	CHECK(pipe(fds) == 0);
	for (int i = 0; i < PAGES; i++) {
		memset(chunk, i % 250 + 1, PAGE);
		CHECK(write(fds[1], chunk, PAGE) == PAGE && read(fds[0], p + (long)i * PAGE, PAGE) == PAGE);
	}
	for (long i = 0; i < (long)PAGES * PAGE; i += 512)
		CHECK(p[i] == (char)(i / PAGE % 250 + 1));
	close(fds[0]), close(fds[1]);
	munmap(p, (size_t)PAGES * PAGE);
	return true;
}

static char *shared_by_threads;

static void *mark_all(void *arg)
{
	long me = (long)arg;
	for (int i = 0; i < PAGES; i++)
		shared_by_threads[(long)i * PAGE + me * WORD] = (char)(i % 100 + me + 1);
	return NULL;
}

/* All write to the same pages in the same order, and nobody's mark is lost. */
static bool threads(void)
{
	for (int round = 0; round < 20; round++) {
		pthread_t t[THREADS];
		shared_by_threads = fresh(PAGES);
		for (long i = 0; i < THREADS; i++)
			CHECK(pthread_create(&t[i], NULL, mark_all, (void *)i) == 0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
		for (int i = 0; i < PAGES; i++)
			for (int k = 0; k < THREADS; k++)
				CHECK(
				    shared_by_threads[(long)i * PAGE + k * WORD] == (char)(i % 100 + k + 1));
		munmap(shared_by_threads, (size_t)PAGES * PAGE);
	}
	return true;
}

static const struct utest tests[] = {
    {"in order, a fault serves many pages", in_order},
    {"and again after they were thrown away", in_order_again},
    {"never more than as many again are there, all zero", no_more_than_as_many_again},
    {"backward, each page is a fault", backward},
    {"with a stride, each page is a fault, and there is no other", strided},
    {"at random, each page is a fault, and there is no other", at_random},
    {"MADV_RANDOM, each page is a fault, and there is no other", advice},
    {"parent and child go on apart", across_a_fork},
    {"what a file has is seen behind its holes", holes_of_a_file},
    {"read goes on as well", calls},
    {"threads that write to the same pages", threads},
};

int main(void)
{
	touch(fresh(PAGES), PAGES, 1); /* what a first call needs is there */
	(void)count_there(fresh(PAGES), PAGES);
	return UTEST_RUN(tests);
}
