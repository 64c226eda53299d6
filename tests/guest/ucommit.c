/*
 * ucommit.c - what memory is promised: Committed_AS counts what programs may still write to, once, and in
 * mode 2 (vm.overcommit_memory) what was promised can be touched and nobody is ended for it.
 *
 * On the host's Linux the settings are left alone: there it only looks at what private mappings do to a
 * process's own accounts, which is the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "utap.h"
#include "uusage.h"

enum { PAGE = 4096, KIB = 1024, PIECE = 4 << 20, PIECE_KIB = PIECE / KIB, SLACK_KIB = 512 };

static bool may_set(void)
{
	return !access("/proc/mm", F_OK); /* Quire, in a machine of its own */
}

static long meminfo(const char *name)
{
	long value = -1;
	char *at = slurp("/proc/meminfo") ? strstr(text, name) : NULL;
	if (at)
		(void)sscanf(at + strlen(name), "%ld", &value);
	return value;
}

static long committed(void)
{
	return meminfo("Committed_AS:");
}

static bool set(const char *name, long value)
{
	char path[64], s[24];
	int n = snprintf(s, sizeof(s), "%ld\n", value);
	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, s, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	return ok;
}

static long get(const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	return slurp(path) ? atol(text) : -1;
}

static void *map(size_t len, int prot, int flags)
{
	return mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);
}

enum { RW = PROT_READ | PROT_WRITE };

/* Did the sum change by n KiB, since it was `before`? What this program itself uses meanwhile may come on
 * top. */
static bool changed_by(long before, long n)
{
	long now = committed();
	bool is = now >= before + n - SLACK_KIB && now <= before + n + SLACK_KIB;
	if (!is)
		printf(
		    "# Committed_AS was %ld kB, is %ld kB, and should have changed by %ld\n", before, now, n);
	return is;
}

/* On Linux others use the machine as well: nothing can be said there. */
#define ONLY_ALONE                                                                                           \
	do {                                                                                                 \
		if (!may_set())                                                                              \
			return true;                                                                         \
	} while (0)

static bool test_mappings(void)
{
	ONLY_ALONE;
	long before = committed();
	char *rw = map(PIECE, RW, MAP_PRIVATE);
	CHECK(rw != MAP_FAILED && changed_by(before, PIECE_KIB));
	char *ro = map(PIECE, PROT_READ, MAP_PRIVATE), *none = map(PIECE, RW, MAP_PRIVATE | MAP_NORESERVE);
	CHECK(ro != MAP_FAILED && none != MAP_FAILED && changed_by(before, PIECE_KIB));
	CHECK(!mprotect(ro, PIECE, RW) && changed_by(before, 2 * PIECE_KIB));
	CHECK(!mprotect(ro, PIECE, PROT_READ) && changed_by(before, 2 * PIECE_KIB));
	CHECK(!mprotect(ro, PIECE, RW) && changed_by(before, 2 * PIECE_KIB));
	CHECK(!munmap(ro, PIECE / 2) && changed_by(before, PIECE_KIB * 3 / 2));
	CHECK(!munmap(ro + PIECE / 2, PIECE / 2) && !munmap(none, PIECE) && changed_by(before, PIECE_KIB));
	CHECK(mmap(rw, PIECE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == rw &&
	      changed_by(before, PIECE_KIB));
	CHECK(!munmap(rw, PIECE) && changed_by(before, 0));
	char *shared = map(PIECE, RW, MAP_SHARED);
	CHECK(shared != MAP_FAILED && changed_by(before, PIECE_KIB));
	CHECK(!munmap(shared, PIECE) && changed_by(before, 0));
	return true;
}

static bool test_remap_and_heap(void)
{
	ONLY_ALONE;
	long before = committed();
	char *p = map(PIECE, RW, MAP_PRIVATE);
	CHECK(p != MAP_FAILED);
	p = mremap(p, PIECE, 2 * PIECE, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && changed_by(before, 2 * PIECE_KIB));
	char *half = mremap(p, PIECE, 3 * PIECE, MREMAP_MAYMOVE);
	CHECK(half != MAP_FAILED && changed_by(before, 4 * PIECE_KIB));
	CHECK(!munmap(p + PIECE, PIECE) && !munmap(half, 3 * PIECE) && changed_by(before, 0));
	long end = sc(brk, 0);
	CHECK(sc(brk, end + PIECE) == end + PIECE && changed_by(before, PIECE_KIB));
	CHECK(sc(brk, end) == end && changed_by(before, 0));
	return true;
}

static int check_forked(void *before)
{
	long was = *(long *)before;
	return changed_by(was, PIECE_KIB) ? 0 : 1; /* once more, for the child */
}

static int check_in_shared_memory(void *before)
{
	_exit(changed_by(*(long *)before, 0) ? 0 : 1);
}

static bool test_processes(void)
{
	static char stack[65536];
	int status = -1;
	ONLY_ALONE;
	char *p = map(PIECE, RW, MAP_PRIVATE);
	CHECK(p != MAP_FAILED);
	long before = committed();
	CHECK(child_exits(check_forked, &before, 0));
	before = committed();
	/* Another process, the same memory: it is there once. */
	pid_t pid =
	    clone(check_in_shared_memory, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &before);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(!munmap(p, PIECE));
	return true;
}

static bool test_files_in_memory(void)
{
	ONLY_ALONE;
	long before = committed();
	int fd = memfd_create("x", 0);
	CHECK(fd >= 0 && !ftruncate(fd, PIECE) && changed_by(before, 0));
	char *p = mmap(NULL, PIECE, RW, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && changed_by(before, 0));
	memset(p, 1, PIECE);
	CHECK(changed_by(before, PIECE_KIB));
	CHECK(!munmap(p, PIECE) && !close(fd) && changed_by(before, 0));
	return true;
}

/* Mode 0 refuses what cannot be, mode 1 nothing. */
static bool test_modes(void)
{
	size_t huge = (size_t)meminfo("MemTotal:") * KIB + PIECE;
	ONLY_ALONE;
	CHECK(
	    get("overcommit_memory") == 0 && get("overcommit_ratio") == 50 && get("overcommit_kbytes") == 0);
	CHECK(map(huge, RW, MAP_PRIVATE) == MAP_FAILED && errno == ENOMEM);
	char *p = map(huge, RW, MAP_PRIVATE | MAP_NORESERVE), *q = map(huge, PROT_READ, MAP_PRIVATE);
	CHECK(p != MAP_FAILED && q != MAP_FAILED && FAILS_WITH(mprotect(q, huge, RW), ENOMEM));
	CHECK(!munmap(p, huge) && !munmap(q, huge));
	CHECK(!set("overcommit_memory", 3) && !set("overcommit_memory", -1) && set("overcommit_memory", 1));
	p = map(huge, RW, MAP_PRIVATE);
	CHECK(p != MAP_FAILED && !munmap(p, huge));
	CHECK(set("overcommit_memory", 0));
	CHECK(set("overcommit_kbytes", 4096) && get("overcommit_ratio") == 0 &&
	      meminfo("CommitLimit:") == 4096);
	CHECK(set("overcommit_ratio", 50) && get("overcommit_kbytes") == 0);
	long total = meminfo("MemTotal:");
	CHECK(labs(meminfo("CommitLimit:") - total / 2) <= 4);
	return true;
}

/* All that mode 2 grants, in pieces. Touches it, too. */
static int take_all(void *arg)
{
	(void)arg;
	long n = 0;
	for (size_t len = PIECE; len >= PAGE;) {
		char *p = map(len, RW, MAP_PRIVATE | MAP_NORESERVE); /* which is ignored here */
		if (p == MAP_FAILED) {
			UCHECK(errno == ENOMEM);
			len /= 2;
			continue;
		}
		n++;
		for (size_t i = 0; i < len; i += PAGE)
			p[i] = 1;
	}
	UCHECK(FAILS_WITH(fork(), ENOMEM)); /* the child might write to all of it */
	long limit = meminfo("CommitLimit:"), is = committed();
	UCHECK(n > 2 && is <= limit && is > limit - limit / 8);
	return 0;
}

static bool test_never_more_than_there_is(void)
{
	ONLY_ALONE;
	/* Half of memory, or what is promised already and a little more. */
	long want = meminfo("MemTotal:") / 2, least = committed() + 4 * PIECE_KIB;
	CHECK(set("overcommit_kbytes", want > least ? want : least) && set("overcommit_memory", 2));
	bool ok = child_exits(take_all, NULL, 0);
	CHECK(set("overcommit_memory", 0) && set("overcommit_ratio", 50));
	CHECK(ok);
	return true;
}

static const struct utest tests[] = {
    {"mappings", test_mappings},
    {"remapping, and the heap", test_remap_and_heap},
    {"processes", test_processes},
    {"files in memory", test_files_in_memory},
    {"modes", test_modes},
    {"what was promised can be touched", test_never_more_than_there_is},
};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
