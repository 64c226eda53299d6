/* ufork.c - what memory that a fork shares costs in faults, on each side and after one side has gone. The
 * same binary passes on Linux, but for what tests/oracle.differences says. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>

#include "utap.h"

enum {
	PAGE = 4096,
	PAGES = 2048,
	LEAF = 64,   /* pages that one fault can give back */
	SPARSE = 97, /* from one page that is written to the next: never two in a leaf */
	WRITES = PAGES / SPARSE,
	CHILDS =
	    13, /* the first page that the child writes: none that the parent has copied and so left to it alone */
	OTHERS =
	    12, /* faults that the program may take elsewhere meanwhile: stack, data, tables of libraries */
};

static char *memory;

static long faults(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) ? -1 : u.ru_minflt;
}

static void fill(char value)
{
	for (int i = 0; i < PAGES; i++)
		memory[i * PAGE] = value;
}

static bool all_are(char value)
{
	for (int i = 0; i < PAGES; i++)
		if (memory[i * PAGE] != value)
			return false;
	return true;
}

/* Write one page in SPARSE, from page `first` on; faults taken. */
static long write_sparse(int first, char value)
{
	long before = faults();
	for (int i = 0; i < WRITES; i++)
		memory[(first + i * SPARSE) * PAGE] = value;
	return faults() - before;
}

static bool costs_one_each(long n)
{
	return n >= WRITES && n <= WRITES + OTHERS;
}

struct pipes {
	int to_child[2], to_parent[2];
};

/* Wait for a byte, or the end. */
static bool await(int fd)
{
	char c;
	ssize_t n;
	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

/* Each side sees its own pages only, and its first write to one costs one fault. */
static int child_side(const struct pipes *p)
{
	UCHECK(await(p->to_child[0])); /* the parent has written */
	UCHECK(all_are(1));
	UCHECK(costs_one_each(write_sparse(CHILDS, 3)));
	UCHECK(write_sparse(CHILDS, 4) <= OTHERS);
	UCHECK(write(p->to_parent[1], "w", 1) == 1);
	UCHECK(await(p->to_child[0])); /* the parent has looked */
	return 0;
}

static pid_t fork_child(struct pipes *p)
{
	if (pipe(p->to_child) || pipe(p->to_parent))
		return -1;
	fill(1);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child_side(p));
	return pid;
}

static bool exits_well(pid_t pid)
{
	int status = -1;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void close_all(struct pipes *p)
{
	close(p->to_child[0]), close(p->to_child[1]), close(p->to_parent[0]), close(p->to_parent[1]);
}

static bool first_write_copies_that_page(void)
{
	struct pipes p;
	pid_t pid = fork_child(&p);
	CHECK(pid > 0);
	CHECK(costs_one_each(write_sparse(0, 2)));
	CHECK(write_sparse(0, 2) <= OTHERS);
	CHECK(write(p.to_child[1], "w", 1) == 1);
	CHECK(await(p.to_parent[0]));
	for (int i = 0; i < PAGES; i++)
		CHECK(memory[i * PAGE] == (i % SPARSE || i / SPARSE >= WRITES ? 1 : 2));
	CHECK(write(p.to_child[1], "l", 1) == 1);
	CHECK(exits_well(pid));
	close_all(&p);
	return true;
}

/* All that was the child's comes back, also where it had copies of its own. */
static bool after_the_child_one_fault_a_leaf(void)
{
	struct pipes p;
	pid_t pid = fork_child(&p);
	CHECK(pid > 0 && write(p.to_child[1], "wl", 2) == 2);
	CHECK(exits_well(pid));
	close_all(&p);
	long before = faults();
	fill(5);
	long taken = faults() - before;
	CHECK(all_are(5));
	CHECK(taken <= PAGES / LEAF + 1 + OTHERS);
	before = faults();
	fill(6);
	CHECK(faults() - before <= OTHERS);
	return true;
}

/* What a fork must not touch for long: a shared window beside private memory. */
static bool shared_windows_stay_one(void)
{
	char *shared = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	for (int i = 0; i < PAGES; i++)
		shared[i * PAGE] = 1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < PAGES; i++)
			shared[i * PAGE + 1] = 2;
		_exit(0);
	}
	CHECK(pid > 0);
	long before = faults();
	for (int i = 0; i < PAGES; i++)
		shared[i * PAGE] = 3;
	CHECK(faults() - before <= PAGES / LEAF + 1 + OTHERS);
	CHECK(exits_well(pid));
	for (int i = 0; i < PAGES; i++)
		CHECK(shared[i * PAGE] == 3 && shared[i * PAGE + 1] == 2);
	munmap(shared, PAGES * PAGE);
	return true;
}

static const struct utest tests[] = {
    {"while both live, a first write costs one fault and one page", first_write_copies_that_page},
    {"after the child, one fault gives a leaf of pages back", after_the_child_one_fault_a_leaf},
    {"shared windows stay shared, and cheap", shared_windows_stay_one},
};

int main(void)
{
	memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	madvise(memory, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE);
	return UTEST_RUN(tests);
}
