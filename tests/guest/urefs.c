/*
 * urefs.c - which pages were used: "Referenced" of smaps, and clear_refs, which forgets it. The same binary
 * passes on Linux.
 *
 * Linux forgets it by itself when memory is short, so what was used is used again until it shows.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "usmaps.h"
#include "utap.h"

enum { PAGE = 4096, PAGES = 64, LEN = PAGES * PAGE, KIB = LEN / 1024 };
enum { CLEAR_ALL = 1, CLEAR_ANON, CLEAR_MAPPED, CLEAR_SOFT_DIRTY, CLEAR_PEAK };
#define RW (PROT_READ | PROT_WRITE)

enum { ANON, PRIVATE_FILE, SHARED_FILE, SHARED_ANON, WINDOWS };
static char *window[WINDOWS];

static long referenced(int w)
{
	return smaps_field(getpid(), window[w], "Referenced:");
}

/* -1, or bytes taken. */
static ssize_t clear(const char *what)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	ssize_t n = write(fd, what, strlen(what));
	int error = errno;
	close(fd);
	errno = error;
	return n;
}

static bool forget(int what)
{
	char text[8];
	snprintf(text, sizeof(text), "%d\n", what);
	return clear(text) == (ssize_t)strlen(text);
}

/* Use the first n pages of a window, by a translation that no CPU has cached. */
static void use(int w, int n)
{
	mprotect(window[w], LEN, PROT_NONE);
	mprotect(window[w], LEN, RW);
	for (int i = 0; i < n; i++)
		window[w][i * PAGE] = 1;
}

/* Do what is needed again until the condition holds. */
#define COMES(act, cond)                                                                                     \
	({                                                                                                   \
		time_t end_ = time(NULL) + 10;                                                               \
		bool holds_;                                                                                 \
		do {                                                                                         \
			act;                                                                                 \
			holds_ = (cond);                                                                     \
		} while (!holds_ && time(NULL) < end_);                                                      \
		holds_;                                                                                      \
	})

static void use_all(void)
{
	for (int w = 0; w < WINDOWS; w++)
		use(w, PAGES);
}

static bool map_windows(void)
{
	char path[64];
	int fd = open(utest_file(path, "file"), O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, LEN) == 0);
	for (int w = 0; w < WINDOWS; w++) {
		bool of_file = w == PRIVATE_FILE || w == SHARED_FILE;
		int flags = w == ANON || w == PRIVATE_FILE ? MAP_PRIVATE : MAP_SHARED;
		char *room = mmap(NULL, LEN + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(room != MAP_FAILED);
		window[w] = mmap(room + PAGE, LEN, RW, MAP_FIXED | flags | (of_file ? 0 : MAP_ANONYMOUS),
		    of_file ? fd : -1, 0);
		CHECK(window[w] == room + PAGE);
	}
	close(fd);
	return true;
}

static bool all(void)
{
	CHECK(map_windows());
	for (int w = 0; w < WINDOWS; w++)
		CHECK(COMES(use(w, PAGES), referenced(w) == KIB) &&
		      smaps_field(getpid(), window[w], "Rss:") == KIB);
	CHECK(forget(CLEAR_ALL));
	for (int w = 0; w < WINDOWS; w++)
		CHECK(referenced(w) == 0 && smaps_field(getpid(), window[w], "Rss:") == KIB);
	for (int w = 0; w < WINDOWS; w++)
		CHECK(COMES((forget(CLEAR_ALL), use(w, PAGES / 4)), referenced(w) == KIB / 4));
	return true;
}

/* Which windows are forgotten: those without a file, or those with one, as shared memory is. */
static bool some(void)
{
	CHECK(
	    COMES((use_all(), forget(CLEAR_ANON)), referenced(PRIVATE_FILE) == KIB) && referenced(ANON) == 0);
	CHECK(
	    COMES((use_all(), forget(CLEAR_ANON)), referenced(SHARED_FILE) == KIB) && referenced(ANON) == 0);
	CHECK(
	    COMES((use_all(), forget(CLEAR_ANON)), referenced(SHARED_ANON) == KIB) && referenced(ANON) == 0);
	CHECK(COMES((use_all(), forget(CLEAR_MAPPED)), referenced(ANON) == KIB));
	CHECK(!referenced(PRIVATE_FILE) && !referenced(SHARED_FILE) && !referenced(SHARED_ANON));
	return true;
}

/* What does not concern this. */
static bool others(void)
{
	CHECK(COMES((use_all(), forget(CLEAR_SOFT_DIRTY), forget(CLEAR_PEAK)), referenced(ANON) == KIB));
	CHECK(
	    COMES((use_all(), forget(CLEAR_SOFT_DIRTY), forget(CLEAR_PEAK)), referenced(SHARED_FILE) == KIB));
	CHECK(FAILS_WITH(clear("0"), EINVAL) && FAILS_WITH(clear("6"), EINVAL) &&
	      FAILS_WITH(clear("-1"), EINVAL));
	CHECK(FAILS_WITH(clear("x"), EINVAL) && FAILS_WITH(clear("1 1"), EINVAL) && clear(" 1 ") == 3);
	return true;
}

/* Nobody has used what a child got by fork, nor zeros that were only read. */
static int in_child(void *arg)
{
	(void)arg;
	UCHECK(referenced(ANON) == 0 && smaps_field(getpid(), window[ANON], "Rss:") == KIB);
	UCHECK(COMES(use(ANON, 3), referenced(ANON) == 12));
	return 0;
}

static bool forked(void)
{
	use(ANON, PAGES);
	return child_exits(in_child, NULL, 0);
}

static bool zeros(void)
{
	char *p = mmap(NULL, LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED && madvise(p, LEN, MADV_NOHUGEPAGE) == 0);
	for (int i = 0; i < PAGES; i++)
		CHECK(*(volatile char *)(p + i * PAGE) == 0);
	CHECK(smaps_field(getpid(), p, "Rss:") == 0 && smaps_field(getpid(), p, "Referenced:") == 0);
	return munmap(p, LEN) == 0;
}

static const struct utest tests[] = {
    {"all that was used is forgotten", all},
    {"that of some windows is", some},
    {"that of none is", others},
    {"a child has used nothing yet", forked},
    {"zeros are no pages", zeros},
};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
