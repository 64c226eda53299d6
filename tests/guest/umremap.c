/* umremap.c - mremap by the Linux ABI: in place, elsewhere, onto something, leaving the old window behind.
 * The same binary passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "utap.h"

enum { PAGE = 4096, MAYMOVE = 1, FIXED = 2, DONTUNMAP = 4 };

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static long remap(void *p, size_t old, size_t new, int flags, void *to)
{
	return syscall(SYS_mremap, p, old, new, flags, to);
}

/* n pages, each marked with its number; nothing directly above or below. */
static char *marked(int n, int flags)
{
	char *room = mmap(NULL, (size_t)(n + 40) * PAGE, PROT_NONE, ANON, -1, 0);
	munmap(room, (size_t)(n + 40) * PAGE);
	char *p = mmap(room + 20 * PAGE, (size_t)n * PAGE, RW, MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
	for (int i = 0; i < n; i++)
		p[i * PAGE] = (char)(i + 1);
	return p;
}

static bool holds(const char *p, int first, int n)
{
	for (int i = 0; i < n; i++)
		if (p[i * PAGE] != (char)(first + i + 1))
			return false;
	return true;
}

static bool is_mapped(char *p)
{
	unsigned char vec;
	return mincore(p, PAGE, &vec) == 0;
}

static bool errors(void)
{
	char *p = marked(8, MAP_PRIVATE), *s = marked(2, MAP_SHARED);
	CHECK(FAILS_WITH(remap(p, PAGE, PAGE, 8, 0), EINVAL));
	CHECK(FAILS_WITH(remap(p, PAGE, PAGE, FIXED, 0), EINVAL));
	CHECK(FAILS_WITH(remap(p, PAGE, PAGE, DONTUNMAP, 0), EINVAL));
	CHECK(FAILS_WITH(remap(p, PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP, 0), EINVAL));
	CHECK(FAILS_WITH(remap(p + 1, PAGE, PAGE, 0, 0), EINVAL));
	CHECK(FAILS_WITH(remap(p, PAGE, 0, 0, 0), EINVAL));
	CHECK(
	    FAILS_WITH(remap(p, 0, PAGE, MAYMOVE, 0), EINVAL)); /* nothing of private memory to show twice */
	CHECK(FAILS_WITH(remap(p - 2 * PAGE, PAGE, 2 * PAGE, MAYMOVE, 0), EFAULT));
	CHECK(FAILS_WITH(remap(p, 9 * PAGE, 10 * PAGE, MAYMOVE, 0), EFAULT));
	CHECK(FAILS_WITH(remap(p, PAGE, 2 * PAGE, 0, 0), ENOMEM));
	CHECK(FAILS_WITH(remap(p, 8 * PAGE, (1UL << 47) - 8 * PAGE, MAYMOVE, 0), ENOMEM));
	CHECK(FAILS_WITH(remap(p, 2 * PAGE, 2 * PAGE, MAYMOVE | FIXED, p + PAGE), EINVAL)); /* overlap */
	CHECK(FAILS_WITH(remap(p, PAGE, PAGE, MAYMOVE | FIXED, p + 99), EINVAL));
	CHECK(FAILS_WITH(remap(p, PAGE, PAGE, MAYMOVE | FIXED, (void *)(1UL << 62)), EINVAL));
	CHECK(FAILS_WITH(remap(s, 0, PAGE, 0, 0), ENOMEM));
	CHECK(remap(p, PAGE, PAGE, 0, 0) == (long)p && holds(p, 0, 8));
	munmap(p, 8 * PAGE), munmap(s, 2 * PAGE);
	return true;
}

static bool in_place(void)
{
	char *p = marked(6, MAP_PRIVATE);
	CHECK(remap(p, 6 * PAGE, 3 * PAGE, 0, 0) == (long)p && holds(p, 0, 3) && !is_mapped(p + 3 * PAGE));
	CHECK(remap(p, 3 * PAGE, 5 * PAGE + 1, 0, 0) == (long)p && holds(p, 0, 3) && p[3 * PAGE] == 0);
	p[5 * PAGE] = 7;
	CHECK(is_mapped(p + 5 * PAGE) && !is_mapped(p + 6 * PAGE));
	CHECK(remap(p + 4 * PAGE, 2 * PAGE, 4 * PAGE, 0, 0) == (long)(p + 4 * PAGE) &&
	      p[5 * PAGE] == 7);                                       /* the last part of a region */
	CHECK(FAILS_WITH(remap(p, 2 * PAGE, 3 * PAGE, 0, 0), ENOMEM)); /* not the last */
	munmap(p, 8 * PAGE);
	return true;
}

static bool moves(void)
{
	char *p = marked(8, MAP_PRIVATE);
	char *q = (char *)remap(p + 2 * PAGE, 3 * PAGE, 10 * PAGE, MAYMOVE, 0);
	CHECK((long)q != -1 && q != p + 2 * PAGE && holds(q, 2, 3) && q[3 * PAGE] == 0 && q[9 * PAGE] == 0);
	CHECK(holds(p, 0, 2) && !is_mapped(p + 2 * PAGE) && !is_mapped(p + 4 * PAGE) &&
	      holds(p + 5 * PAGE, 5, 3));
	CHECK(mmap(p + 2 * PAGE, 3 * PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + 2 * PAGE);
	CHECK(p[2 * PAGE] == 0 && p[4 * PAGE] == 0); /* fresh memory at the old place */
	p[2 * PAGE] = 99;
	CHECK(holds(q, 2, 3));
	char *back = (char *)remap(q, 3 * PAGE, 3 * PAGE, MAYMOVE | FIXED, p + 2 * PAGE);
	CHECK(back == p + 2 * PAGE && holds(p, 0, 8) && !is_mapped(q) && is_mapped(q + 3 * PAGE));
	munmap(p, 8 * PAGE), munmap(q, 10 * PAGE);
	return true;
}

static bool cut_and_moved(void)
{
	char *p = marked(8, MAP_PRIVATE), *to = marked(4, MAP_PRIVATE);
	CHECK(remap(p, 6 * PAGE, 2 * PAGE, MAYMOVE | FIXED, to + PAGE) == (long)(to + PAGE));
	CHECK(holds(to + PAGE, 0, 2) && to[0] == 1 && to[3 * PAGE] == 4);
	CHECK(!is_mapped(p) && !is_mapped(p + 5 * PAGE) && holds(p + 6 * PAGE, 6, 2));
	munmap(p, 8 * PAGE), munmap(to, 4 * PAGE);
	return true;
}

static bool left_behind(void)
{
	char *p = marked(4, MAP_PRIVATE), *s = marked(4, MAP_SHARED);
	char *q = (char *)remap(p + PAGE, 2 * PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP, 0);
	CHECK((long)q != -1 && holds(q, 1, 2) && p[0] == 1 && p[PAGE] == 0 && p[2 * PAGE] == 0 &&
	      p[3 * PAGE] == 4);
	p[PAGE] = 50;
	CHECK(q[0] == 2);
	char *t = (char *)remap(s, 4 * PAGE, 4 * PAGE, MAYMOVE | DONTUNMAP, 0);
	CHECK((long)t != -1 && holds(t, 0, 4) && holds(s, 0, 4));
	s[0] = 33;
	CHECK(t[0] == 33);
	munmap(p, 4 * PAGE), munmap(q, 2 * PAGE), munmap(s, 4 * PAGE), munmap(t, 4 * PAGE);
	return true;
}

static bool shown_twice(void)
{
	char *s = marked(4, MAP_SHARED);
	char *t = (char *)remap(s + PAGE, 0, 2 * PAGE, MAYMOVE, 0);
	CHECK((long)t != -1 && holds(t, 1, 2));
	t[0] = 77;
	CHECK(s[PAGE] == 77);
	munmap(s, 4 * PAGE);
	CHECK(t[0] == 77 && t[PAGE] == 3);
	munmap(t, 2 * PAGE);
	return true;
}

static int look(void *arg)
{
	char *p = arg;
	bool same = holds(p, 2, 3);
	p[0] = 100;
	return same ? 0 : 1;
}

static bool forked(void)
{
	char *p = marked(8, MAP_PRIVATE);
	char *q = (char *)remap(p + 2 * PAGE, 3 * PAGE, 3 * PAGE, MAYMOVE | FIXED, p + 12 * PAGE);
	CHECK(q == p + 12 * PAGE && child_exits(look, q, 0) && holds(q, 2, 3));
	CHECK(holds(p, 0, 2) && holds(p + 5 * PAGE, 5, 3));
	munmap(p, 8 * PAGE), munmap(q, 3 * PAGE);
	return true;
}

static bool private_file(void)
{
	char path[64];
	int fd = open(utest_file(path, "file"), O_CREAT | O_TRUNC | O_RDWR, 0600);
	CHECK(fd >= 0);
	for (int i = 0; i < 6; i++)
		CHECK(pwrite(fd, &(char){(char)(i + 1)}, 1, i * PAGE) == 1);
	CHECK(ftruncate(fd, 6 * PAGE) == 0);
	char *p = mmap(NULL, 6 * PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	p[2 * PAGE] = 42;
	char *q = (char *)remap(p + PAGE, 3 * PAGE, 3 * PAGE, MAYMOVE | DONTUNMAP, 0);
	CHECK((long)q != -1 && q[0] == 2 && q[PAGE] == 42 && q[2 * PAGE] == 4);
	CHECK(p[2 * PAGE] == 3); /* the file again */
	p[PAGE] = 43;
	CHECK(q[0] == 2 && munmap(q, PAGE) == 0);
	q = (char *)remap(q + PAGE, 2 * PAGE, 4 * PAGE, MAYMOVE, 0);
	CHECK((long)q != -1 && q[0] == 42 && q[PAGE] == 4 && q[2 * PAGE] == 5 && q[3 * PAGE] == 6);
	CHECK(ftruncate(fd, 3 * PAGE) == 0 && ftruncate(fd, 6 * PAGE) == 0);
	CHECK(q[0] == 42 && q[PAGE] == 0 && q[3 * PAGE] == 0);
	munmap(p, 6 * PAGE), munmap(q, 4 * PAGE);
	close(fd);
	unlink(path);
	return true;
}

static long reorder(void *p, size_t len, size_t page, int flags)
{
	return syscall(SYS_remap_file_pages, p, len, 0L, page, flags);
}

static bool other_order(void)
{
	char *s = marked(8, MAP_SHARED), *p = marked(2, MAP_PRIVATE);
	CHECK(FAILS_WITH(reorder(p, PAGE, 0, 0), EINVAL)); /* private */
	CHECK(FAILS_WITH(syscall(SYS_remap_file_pages, s, PAGE, (long)PROT_READ, 0L, 0), EINVAL));
	CHECK(
	    FAILS_WITH(reorder(s, PAGE - 1, 0, 0), EINVAL) && FAILS_WITH(reorder(s, PAGE, -1UL, 0), EINVAL));
	CHECK(FAILS_WITH(reorder(s - 2 * PAGE, PAGE, 0, 0), EINVAL));
	CHECK(FAILS_WITH(reorder(s + 7 * PAGE, 2 * PAGE, 0, 0), EINVAL) && holds(s, 0, 8));
	CHECK(reorder(s + 1, PAGE + 99, 5, 0) == 0 && s[0] == 6 && holds(s + PAGE, 1, 7));
	CHECK(reorder(s + 3 * PAGE, 2 * PAGE, 0, MAP_NONBLOCK) == 0 && s[3 * PAGE] == 1 && s[4 * PAGE] == 2);
	*(volatile char *)s = 77; /* which is also elsewhere */
	CHECK(((volatile char *)s)[5 * PAGE] == 77);
	CHECK(reorder(s + 2 * PAGE, 4 * PAGE, 2, 0) == 0); /* several windows of one memory */
	CHECK(reorder(s, PAGE, 0, 0) == 0);
	((volatile char *)s)[5 * PAGE] = 6;
	CHECK(holds(s, 0, 8));
	CHECK(mprotect(s + PAGE, PAGE, PROT_READ) == 0);
	CHECK(FAILS_WITH(reorder(s, 3 * PAGE, 0, 0), EINVAL)); /* of unequal rights */
	munmap(s, 8 * PAGE), munmap(p, 2 * PAGE);
	return true;
}

static bool other_order_of_a_file(void)
{
	char path[64];
	int fd = open(utest_file(path, "ordered"), O_CREAT | O_TRUNC | O_RDWR, 0600);
	CHECK(fd >= 0);
	for (int i = 0; i < 4; i++)
		CHECK(pwrite(fd, &(char){(char)(i + 1)}, 1, i * PAGE) == 1);
	char *p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0), c = 0;
	CHECK(p != MAP_FAILED && reorder(p, PAGE, 3, 0) == 0 && p[0] == 4 && p[PAGE] == 2);
	*(volatile char *)p = 9;
	CHECK(msync(p, PAGE, MS_SYNC) == 0 && pread(fd, &c, 1, 3 * PAGE) == 1 && c == 9);
	munmap(p, 4 * PAGE);
	close(fd);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"what is refused", errors},
	    {"shorter and longer in place", in_place},
	    {"elsewhere and back", moves},
	    {"a longer window is cut", cut_and_moved},
	    {"DONTUNMAP", left_behind},
	    {"old length 0: a second window", shown_twice},
	    {"what moved is copied by fork", forked},
	    {"private windows on files", private_file},
	    {"remap_file_pages: shared memory in another order", other_order},
	    {"remap_file_pages: a file", other_order_of_a_file},
	};
	return UTEST_RUN(tests);
}
