/*
 * uvmo.c - VM objects by descriptor: their kinds, what is mapped of them with which rights, here and in other
 * processes, and that nothing is left of a call that fails. Quire's own, so not for Linux.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <quire/calls.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "quire.h"
#include "uself.h"
#include "utap.h"
#include "uusage.h"

enum { PAGE = 4096, USER = 1000 };
#define RW         (QUIRE_MAP_READ | QUIRE_MAP_WRITE)
#define FIXED_AT   ((char *)0x600000000000UL) /* where nothing is unless it is put there */
#define EXACTLY    (QUIRE_MAP_FIXED | QUIRE_MAP_NOREPLACE)
#define FAILED(at) ((long)(intptr_t)(at) == -1)

static int vmo(unsigned kind, unsigned pages)
{
	return (int)quire_vmo_create(kind, 0, (uint64_t)pages * PAGE);
}

/* Map the first pages of an object, here. NULL: errno says why not. */
static char *map(int fd, unsigned pages, unsigned how)
{
	long at = quire_vma_map(-1, fd, NULL, 0, (uint64_t)pages * PAGE, how);
	return at == -1 ? NULL : (char *)at;
}

static long refused(int process, int fd, void *at, uint64_t offset, uint64_t len, unsigned how)
{
	errno = 0;
	return quire_vma_map(process, fd, at, offset, len, how) == -1 ? errno : 0;
}

/* --- accesses that may fail --- */

static sigjmp_buf after_fault;

static void on_fault(int signal)
{
	siglongjmp(after_fault, signal);
}

/* 0, or the signal that an access to *at raises. */
static int touch(volatile char *at, bool write)
{
	struct sigaction sa = {.sa_handler = on_fault}, old[2];
	sigaction(SIGSEGV, &sa, &old[0]);
	sigaction(SIGBUS, &sa, &old[1]);
	int signal = sigsetjmp(after_fault, 1);
	if (!signal) {
		char c = *at;
		if (write)
			*at = c;
	}
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGBUS, &old[1], NULL);
	return signal;
}

/* --- what /proc tells --- */

/* The sum of a field of all windows in [start, end), in KiB. */
static long smaps_sum(const char *start, const char *end, const char *field)
{
	long sum = 0;
	bool inside = false;
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from >= (unsigned long)start && to <= (unsigned long)end;
		else if (inside && !strncmp(line, field, strlen(field)))
			sum += atol(line + strlen(field));
	}
	if (f)
		fclose(f);
	return sum;
}

static unsigned count_windows(void)
{
	unsigned n = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	return n;
}

static long meminfo(const char *field)
{
	long value = -1;
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			value = atol(line + strlen(field));
	if (f)
		fclose(f);
	return value;
}

/* --- kinds --- */

static bool makes_what_is_asked_for(void)
{
	struct quire_object_info info;
	struct stat st;
	for (unsigned kind = QUIRE_VMO_OPEN; kind <= QUIRE_VMO_CONTIGUOUS; kind++) {
		int fd = vmo(kind, 3);
		CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
		CHECK(quire_rights_get(fd) == QUIRE_RIGHTS_ALL);
		CHECK(quire_object_info(fd, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_VMO);
		CHECK(!fstat(fd, &st) && st.st_size == 3 * PAGE);
		close(fd);
	}
	CHECK(FAILS_WITH(quire_vmo_create(QUIRE_VMO_CONTIGUOUS + 1, 0, PAGE), EINVAL));
	CHECK(FAILS_WITH(quire_vmo_create(QUIRE_VMO_CONTIGUOUS, 2, PAGE), EINVAL));
	CHECK(FAILS_WITH(quire_vmo_create(QUIRE_VMO_FIXED, QUIRE_VMO_WRITE_COMBINING, PAGE), EINVAL));
	CHECK(FAILS_WITH(quire_vmo_create(QUIRE_VMO_OPEN, 0, PAGE + 1), EINVAL));
	CHECK(FAILS_WITH(vmo(QUIRE_VMO_RING, 0), EINVAL) && FAILS_WITH(vmo(QUIRE_VMO_FIXED, 0), EINVAL));
	CHECK(FAILS_WITH(quire_vmo_create(QUIRE_VMO_OPEN, 0, 1ULL << 63), EFBIG));
	int fd = vmo(QUIRE_VMO_OPEN, 0);
	CHECK(fd >= 0 && !close(fd));
	return true;
}

/* A memfd is one too, and one of these is a memfd. */
static bool is_a_memfd(void)
{
	struct quire_object_info info;
	char path[64], word[8] = "";
	int fd = (int)sc(memfd_create, "mine", MFD_CLOEXEC);
	CHECK(quire_object_info(fd, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_VMO);
	CHECK(!ftruncate(fd, PAGE));
	char *at = map(fd, 1, RW);
	CHECK(at);
	strcpy(at, "native");
	CHECK(pread(fd, word, 7, 0) == 7 && !strcmp(word, "native"));
	munmap(at, PAGE);
	close(fd);
	fd = vmo(QUIRE_VMO_OPEN, 1);
	CHECK(write(fd, "linux", 6) == 6);
	at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(at != MAP_FAILED && !strcmp(at, "linux"));
	munmap(at, PAGE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY);
	CHECK(quire_object_info(again, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_VMO);
	close(again);
	close(fd);
	return true;
}

static bool changes_its_size(void)
{
	int fd = vmo(QUIRE_VMO_OPEN, 4);
	char *at = map(fd, 4, RW);
	long before = meminfo("Shmem:");
	memset(at, 'x', 4 * PAGE);
	CHECK(meminfo("Shmem:") == before + 16);
	CHECK(!ftruncate(fd, PAGE) && meminfo("Shmem:") == before + 4); /* freed, though they are mapped */
	CHECK(touch(at, true) == 0 && touch(at + PAGE, false) == SIGBUS);
	CHECK(!ftruncate(fd, 4 * PAGE) && touch(at + PAGE, false) == 0 && at[PAGE] == 0 && at[0] == 'x');
	CHECK(!quire_vma_unmap(-1, at, 4 * PAGE) && touch(at, false) == SIGSEGV);
	close(fd);
	CHECK(meminfo("Shmem:") == before);
	return true;
}

static bool keeps_its_size(void)
{
	static const unsigned fixed[] = {QUIRE_VMO_FIXED, QUIRE_VMO_RING, QUIRE_VMO_CONTIGUOUS};
	for (unsigned i = 0; i < 3; i++) {
		int fd = vmo(fixed[i], 2);
		CHECK(FAILS_WITH(ftruncate(fd, PAGE), EPERM) && FAILS_WITH(ftruncate(fd, 3 * PAGE), EPERM));
		CHECK(FAILS_WITH(pwrite(fd, "x", 1, 2 * PAGE), EPERM) && pwrite(fd, "x", 1, 0) == 1);
		CHECK(FAILS_WITH(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM));
		close(fd);
	}
	return true;
}

/* A copy is of the same kind, and has what the object had. */
static bool is_copied(void)
{
	static const unsigned kinds[] = {QUIRE_VMO_OPEN, QUIRE_VMO_GUARDED, QUIRE_VMO_RING};
	for (unsigned i = 0; i < 3; i++) {
		int fd = vmo(kinds[i], 2);
		char *at = map(fd, 2, RW);
		at[0] = 'a';
		int copy = fcntl(fd, F_SNAPSHOT, O_CLOEXEC);
		CHECK(copy >= 0);
		at[0] = 'b';
		char *old = map(copy, 2, RW);
		CHECK(old && old[0] == 'a' && old[PAGE] == 0);
		CHECK(kinds[i] != QUIRE_VMO_RING || old[2 * PAGE] == 'a');
		unsigned windows = kinds[i] == QUIRE_VMO_RING ? 2 : 1;
		munmap(at, windows * 2 * PAGE);
		munmap(old, windows * 2 * PAGE);
		close(copy);
		close(fd);
	}
	int fd = vmo(QUIRE_VMO_CONTIGUOUS, 1);
	CHECK(FAILS_WITH(fcntl(fd, F_SNAPSHOT, 0), EINVAL)); /* a write would move its page */
	close(fd);
	return true;
}

/* --- ring --- */

static bool ring_never_wraps(void)
{
	int fd = vmo(QUIRE_VMO_RING, 2);
	char *at = map(fd, 2, RW), word[16] = "";
	CHECK(at);
	memcpy(at + 2 * PAGE - 4, "over the end", 13);
	CHECK(!strcmp(at, " the end") && pread(fd, word, 4, 2 * PAGE - 4) == 4 && !strcmp(word, "over"));
	memset(at + 2 * PAGE, 'y', 2 * PAGE);
	CHECK(at[0] == 'y' && at[2 * PAGE - 1] == 'y');
	CHECK(smaps_sum(at, at + 4 * PAGE, "Pss:") == 8 && smaps_sum(at, at + 4 * PAGE, "Rss:") == 16);
	CHECK(
	    refused(-1, fd, NULL, 0, PAGE, RW) == EINVAL && refused(-1, fd, NULL, PAGE, PAGE, RW) == EINVAL);
	CHECK(refused(-1, fd, NULL, 0, 2 * PAGE, RW | QUIRE_MAP_PRIVATE) == EINVAL);
	CHECK(!munmap(at, 3 * PAGE) && touch(at + 3 * PAGE, true) == 0); /* they are windows like any */
	CHECK(!munmap(at + 3 * PAGE, PAGE));
	char *once = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(once != MAP_FAILED && once[0] == 'y' && !munmap(once, 2 * PAGE));
	CHECK((char *)quire_vma_map(-1, fd, FIXED_AT, 0, 2 * PAGE, RW | EXACTLY) == FIXED_AT);
	CHECK(
	    refused(-1, fd, FIXED_AT - 3 * PAGE, 0, 2 * PAGE, RW | EXACTLY) == EEXIST); /* the second half */
	CHECK(!munmap(FIXED_AT, 4 * PAGE));
	close(fd);
	return true;
}

static int ring_limit(void *arg)
{
	struct rlimit all;
	int fd = vmo(QUIRE_VMO_RING, 256);
	(void)arg;
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	UCHECK(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	all.rlim_cur = all.rlim_max = (pages + 300) * PAGE; /* room for one half */
	UCHECK(!setrlimit(RLIMIT_AS, &all));
	UCHECK(refused(-1, fd, NULL, 0, 256 * PAGE, RW) == ENOMEM);
	close(fd);
	fd = vmo(QUIRE_VMO_OPEN, 256);
	UCHECK(map(fd, 256, RW));
	return 0;
}

static bool ring_counts_twice(void)
{
	CHECK(child_exits(ring_limit, NULL, 0));
	return true;
}

/* --- guarded --- */

static bool guards_stay_free(void)
{
	int fd = vmo(QUIRE_VMO_GUARDED, 2), plain = vmo(QUIRE_VMO_OPEN, 1);
	char *at = map(fd, 2, RW), *others[64];
	CHECK(at && touch(at, true) == 0 && touch(at + 2 * PAGE - 1, true) == 0);
	CHECK(touch(at - 1, false) == SIGSEGV && touch(at + 2 * PAGE, false) == SIGSEGV);
	/* Nobody is placed there, asked to or not. */
	for (unsigned i = 0; i < 64; i++) {
		char *hint = i % 3 == 0 ? NULL : i % 3 == 1 ? at - PAGE : at + 2 * PAGE;
		others[i] = i % 2 ? mmap(hint, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
				  : (char *)quire_vma_map(-1, plain, hint, 0, PAGE, RW);
		CHECK(!FAILED(others[i]) && others[i] != at - PAGE && others[i] != at + 2 * PAGE);
	}
	CHECK(touch(at - 1, false) == SIGSEGV && touch(at + 2 * PAGE, false) == SIGSEGV);
	for (unsigned i = 0; i < 64; i++)
		CHECK(!munmap(others[i], PAGE));
	CHECK(mremap(at, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	CHECK(!munmap(at, 2 * PAGE));
	CHECK(mmap(at - PAGE, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	      at - PAGE); /* free again */
	CHECK(!munmap(at - PAGE, 4 * PAGE));
	close(plain);
	close(fd);
	return true;
}

static bool guards_find_room(void)
{
	int fd = vmo(QUIRE_VMO_GUARDED, 1);
	char *at = FIXED_AT, *wall;
	/* A hole of two pages is not enough for one with its guards; one of three is. */
	wall = mmap(at, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(wall == at && !munmap(at + PAGE, 2 * PAGE) && !munmap(at + 4 * PAGE, 3 * PAGE));
	CHECK(refused(-1, fd, at + PAGE, 0, PAGE, RW | EXACTLY) == EEXIST);
	CHECK(refused(-1, fd, at + 2 * PAGE, 0, PAGE, RW | QUIRE_MAP_FIXED) == EEXIST);
	char *got = (char *)quire_vma_map(-1, fd, at + PAGE, 0, PAGE, RW); /* a hint */
	CHECK(!FAILED(got) && (got < at || got >= at + 8 * PAGE) && !munmap(got, PAGE));
	CHECK((char *)quire_vma_map(-1, fd, at + 5 * PAGE, 0, PAGE, RW) == at + 5 * PAGE);
	/* What grows stops before it. */
	CHECK(mremap(at + 3 * PAGE, PAGE, 2 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(touch(at + 5 * PAGE, true) == 0 && touch(at + 4 * PAGE, false) == SIGSEGV);
	CHECK(!munmap(at, 8 * PAGE));
	close(fd);
	return true;
}

/* --- contiguous --- */

static int unprivileged_has_none(void *arg)
{
	int fd = *(int *)arg;
	UCHECK(!setgroups(0, NULL) && !setresgid(USER, USER, USER) && !setresuid(USER, USER, USER));
	UCHECK(FAILS_WITH(vmo(QUIRE_VMO_CONTIGUOUS, 1), EPERM) && FAILS_WITH(quire_vmo_physical(fd), EPERM));
	UCHECK(vmo(QUIRE_VMO_RING, 1) >= 0);
	return 0;
}

/* The frame of a page that is there. */
static uint64_t frame_of(const void *at)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	ssize_t n = pread(fd, &entry, 8, (off_t)((uintptr_t)at / PAGE * 8));
	close(fd);
	return n == 8 && entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static bool lies_in_a_row(void)
{
	enum { PAGES = 65 };
	long before = meminfo("Shmem:"), committed = meminfo("Committed_AS:");
	int fd = vmo(QUIRE_VMO_CONTIGUOUS, PAGES);
	CHECK(fd >= 0 && meminfo("Shmem:") == before + PAGES * 4);
	CHECK(meminfo("Committed_AS:") == committed + PAGES * 4);
	long physical = quire_vmo_physical(fd);
	char *at = map(fd, PAGES, RW);
	CHECK(at && physical > 0 && physical % PAGE == 0);
	for (unsigned i = 0; i < PAGES; i++) {
		CHECK(at[i * PAGE] == 0 && (at[i * PAGE] = (char)i) == (char)i);
		CHECK(frame_of(at + i * PAGE) == (uint64_t)physical / PAGE + i);
	}
	CHECK(FAILS_WITH(sc(fallocate, fd, 3, 0, PAGE), EPERM)); /* a hole would lose its frame */
	CHECK(FAILS_WITH(madvise(at, PAGE, MADV_REMOVE), EPERM));
	char *copy = map(fd, 2, RW | QUIRE_MAP_PRIVATE);
	CHECK(copy && copy[PAGE] == 1 && (copy[PAGE] = 9) && at[PAGE] == 1);
	CHECK(frame_of(at + PAGE) == (uint64_t)physical / PAGE + 1);
	munmap(copy, 2 * PAGE);
	munmap(at, PAGES * PAGE);
	CHECK(child_exits(unprivileged_has_none, &fd, 0));
	close(fd);
	CHECK(meminfo("Shmem:") == before && meminfo("Committed_AS:") == committed);
	CHECK(FAILS_WITH(quire_vmo_create(QUIRE_VMO_CONTIGUOUS, 0, QUIRE_CONTIGUOUS_MAX + PAGE), ENOMEM));
	CHECK(meminfo("Shmem:") == before && meminfo("Committed_AS:") == committed);
	fd = vmo(QUIRE_VMO_FIXED, 1);
	CHECK(FAILS_WITH(quire_vmo_physical(fd), EINVAL));
	close(fd);
	return true;
}

static bool combines_writes(void)
{
	int fd = (int)quire_vmo_create(QUIRE_VMO_CONTIGUOUS, QUIRE_VMO_WRITE_COMBINING, 2 * PAGE);
	char c = 0, *at = map(fd, 2, RW);
	CHECK(at && at[PAGE] == 0);
	at[PAGE] = 'w';
	char *again = map(fd, 2, QUIRE_MAP_READ);
	CHECK(again && again[PAGE] == 'w');
	/* Nobody reads or writes it through the cache. */
	CHECK(FAILS_WITH(pread(fd, &c, 1, 0), EINVAL) && FAILS_WITH(pwrite(fd, &c, 1, 0), EINVAL));
	CHECK(refused(-1, fd, NULL, 0, PAGE, RW | QUIRE_MAP_PRIVATE) == EINVAL);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
	int mem = open("/proc/self/mem", O_RDWR);
	CHECK(pread(mem, &c, 1, (off_t)(intptr_t)at) == -1);
	close(mem);
	CHECK(!mprotect(at, PAGE, PROT_READ) && touch(at, true) == SIGSEGV);
	munmap(at, 2 * PAGE);
	munmap(again, 2 * PAGE);
	close(fd);
	return true;
}

/* --- rights --- */

static int less(int fd, unsigned without)
{
	int copy = dup(fd);
	return quire_rights_limit(copy, (unsigned)quire_rights_get(copy) & ~without) ? -1 : copy;
}

/* With one right less, just what needs it is refused, and nothing has been mapped. */
static bool needs_each_right(void)
{
	static const unsigned hows[] = {QUIRE_MAP_READ, RW, QUIRE_MAP_READ | QUIRE_MAP_EXEC, QUIRE_MAP_WRITE,
	    QUIRE_MAP_READ | QUIRE_MAP_PRIVATE, RW | QUIRE_MAP_PRIVATE, RW | QUIRE_MAP_EXEC};
	int fd = vmo(QUIRE_VMO_OPEN, 1);
	for (unsigned right = 1; right <= QUIRE_RIGHT_MANAGE; right <<= 1) {
		if (right == QUIRE_RIGHT_DUPLICATE)
			continue; /* `less` needs it */
		int poor = less(fd, right);
		for (unsigned i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
			bool stores = (hows[i] & QUIRE_MAP_WRITE) && !(hows[i] & QUIRE_MAP_PRIVATE);
			unsigned need = QUIRE_RIGHT_READ | QUIRE_RIGHT_MAP |
					(stores ? QUIRE_RIGHT_WRITE : 0) |
					(hows[i] & QUIRE_MAP_EXEC ? QUIRE_RIGHT_EXEC : 0);
			unsigned before = count_windows();
			long at = quire_vma_map(-1, poor, NULL, 0, PAGE, hows[i]);
			CHECK(need & right ? at == -1 && errno == EACCES : at != -1);
			CHECK(at == -1 || !quire_vma_unmap(-1, (void *)at, PAGE));
			CHECK(count_windows() == before);
		}
		close(poor);
	}
	close(fd);
	return true;
}

static bool never_gets_more(void)
{
	int fd = vmo(QUIRE_VMO_OPEN, 1), reads = less(fd, QUIRE_RIGHT_WRITE | QUIRE_RIGHT_EXEC);
	char *at = map(reads, 1, QUIRE_MAP_READ);
	CHECK(at && FAILS_WITH(mprotect(at, PAGE, PROT_READ | PROT_WRITE), EACCES));
	CHECK(FAILS_WITH(mprotect(at, PAGE, PROT_READ | PROT_EXEC), EACCES) && touch(at, true) == SIGSEGV);
	close(fd);
	close(reads);
	CHECK(FAILS_WITH(mprotect(at, PAGE, PROT_READ | PROT_WRITE), EACCES)); /* whatever became of them */
	munmap(at, PAGE);
	fd = vmo(QUIRE_VMO_OPEN, 1);
	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	CHECK(refused(-1, fd, NULL, 0, PAGE, RW) == EPERM && (at = map(fd, 1, QUIRE_MAP_READ)));
	CHECK(FAILS_WITH(mprotect(at, PAGE, PROT_READ | PROT_WRITE), EACCES));
	munmap(at, PAGE);
	close(fd);
	return true;
}

static bool checks_arguments(void)
{
	int fd = vmo(QUIRE_VMO_OPEN, 4);
	unsigned before = count_windows();
	CHECK(refused(-1, fd, NULL, 0, 0, RW) == EINVAL && refused(-1, fd, NULL, 1, PAGE, RW) == EINVAL);
	CHECK(refused(-1, fd, NULL, 0, PAGE + 1, RW) == EINVAL);
	CHECK(refused(-1, fd, NULL, 0, PAGE, 8) == EINVAL && refused(-1, fd, NULL, 0, PAGE, 0x80) == EINVAL);
	CHECK(refused(-1, fd, FIXED_AT, 0, PAGE, RW | QUIRE_MAP_NOREPLACE) == EINVAL);
	CHECK(refused(-1, fd, FIXED_AT + 1, 0, PAGE, RW | QUIRE_MAP_FIXED) == EINVAL);
	CHECK(refused(-1, fd, NULL, 0, PAGE, RW | QUIRE_MAP_FIXED) == EPERM);
	CHECK(refused(-1, fd, (void *)0x7ffffffff000UL, 0, 2 * PAGE, RW | QUIRE_MAP_FIXED) == ENOMEM);
	CHECK(refused(-1, fd, (void *)0xffff800000000000UL, 0, PAGE, RW | QUIRE_MAP_FIXED) == ENOMEM);
	CHECK(refused(-1, fd, NULL, 1ULL << 63, PAGE, RW) == EOVERFLOW);
	CHECK(refused(-1, fd, NULL, (1ULL << 63) - PAGE, PAGE, RW) == EOVERFLOW);
	CHECK(refused(-1, fd, NULL, 0, 1ULL << 48, RW) == ENOMEM);
	CHECK(FAILS_WITH(quire_vma_unmap(-1, FIXED_AT + 1, PAGE), EINVAL));
	CHECK(FAILS_WITH(quire_vma_unmap(-1, FIXED_AT, 0), EINVAL));
	CHECK(FAILS_WITH(quire_vma_unmap(-1, (void *)0xffff800000000000UL, PAGE), EINVAL));
	CHECK(count_windows() == before);
	/* A part of it; in the place of what was there; not where anything is. */
	CHECK(pwrite(fd, "part", 5, 3 * PAGE) == 5);
	CHECK((char *)quire_vma_map(-1, fd, FIXED_AT, 3 * PAGE, PAGE, RW | EXACTLY) == FIXED_AT);
	CHECK(!strcmp(FIXED_AT, "part"));
	CHECK(refused(-1, fd, FIXED_AT, 0, PAGE, RW | EXACTLY) == EEXIST && !strcmp(FIXED_AT, "part"));
	CHECK((char *)quire_vma_map(-1, fd, FIXED_AT, 0, PAGE, RW | QUIRE_MAP_FIXED) == FIXED_AT);
	CHECK(FIXED_AT[0] == 0 && !munmap(FIXED_AT, PAGE));
	close(fd);
	return true;
}

/* --- other processes --- */

/* A child that does what it is told, one byte at a time: 'w' stores at FIXED_AT, 'r' says what is there, 'p'
 * its Pss in KiB; 'l': whatever it will map is locked, of which it may have two pages. */
struct puppet {
	pid_t pid;
	int pidfd, to, from;
};

static bool puppet_locks(void)
{
	struct rlimit two = {2 * PAGE, 2 * PAGE};
	return !mlockall(MCL_FUTURE) && !setrlimit(RLIMIT_MEMLOCK, &two) && !setresuid(USER, USER, USER);
}

static int puppet_main(int from, int to)
{
	char command;
	while (read(from, &command, 1) == 1) {
		char answer = '.';
		int signal = command == 'w' || command == 'r' ? touch(FIXED_AT, command == 'w') : 0;
		if (signal || (command == 'l' && !puppet_locks()))
			answer = '!';
		else if (command == 'w')
			*FIXED_AT = 'W';
		else if (command == 'r')
			answer = *FIXED_AT;
		else if (command == 'p')
			answer = (char)smaps_sum(FIXED_AT, FIXED_AT + 4 * PAGE, "Pss:");
		if (write(to, &answer, 1) != 1)
			return 1;
	}
	return 0;
}

static bool puppet_start(struct puppet *p)
{
	int to[2], from[2];
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return false;
	fflush(stdout);
	p->pid = fork();
	if (p->pid == 0) {
		close(to[1]);
		_exit(puppet_main(to[0], from[1]));
	}
	close(to[0]);
	close(from[1]);
	p->to = to[1];
	p->from = from[0];
	p->pidfd = (int)sc(pidfd_open, p->pid, 0);
	return p->pid > 0 && p->pidfd >= 0;
}

static char puppet_does(const struct puppet *p, char command)
{
	char answer = 0;
	return write(p->to, &command, 1) == 1 && read(p->from, &answer, 1) == 1 ? answer : 0;
}

static bool puppet_ends(struct puppet *p)
{
	int status = 0;
	close(p->to);
	bool ended = waitpid(p->pid, &status, 0) == p->pid && status == 0;
	close(p->from);
	return ended;
}

static bool maps_into_others(void)
{
	struct puppet p;
	int fd = vmo(QUIRE_VMO_OPEN, 2);
	char *at = map(fd, 2, RW);
	CHECK(puppet_start(&p) && quire_rights_get(p.pidfd) == QUIRE_RIGHTS_ALL);
	CHECK(puppet_does(&p, 'r') == '!');
	CHECK(
	    (char *)quire_vma_map(p.pidfd, fd, FIXED_AT, 0, 2 * PAGE, QUIRE_MAP_READ | EXACTLY) == FIXED_AT);
	at[0] = 'h', at[PAGE] = 'i';
	CHECK(puppet_does(&p, 'r') == 'h' && puppet_does(&p, 'w') == '!');
	CHECK(refused(p.pidfd, fd, FIXED_AT, 0, PAGE, RW | EXACTLY) == EEXIST);
	CHECK((char *)quire_vma_map(p.pidfd, fd, FIXED_AT, 0, 2 * PAGE, RW | QUIRE_MAP_FIXED) == FIXED_AT);
	CHECK(puppet_does(&p, 'w') == '.' && at[0] == 'W');
	/* Each has its part: here two pages in two windows, there as many as were touched. */
	CHECK(smaps_sum(at, at + 2 * PAGE, "Pss:") + puppet_does(&p, 'p') == 8);
	CHECK(!quire_vma_unmap(p.pidfd, FIXED_AT, 2 * PAGE) && puppet_does(&p, 'r') == '!' && at[0] == 'W');
	CHECK(smaps_sum(at, at + 2 * PAGE, "Pss:") == 8);
	CHECK(puppet_ends(&p));
	CHECK(refused(p.pidfd, fd, FIXED_AT, 0, PAGE, RW) == ESRCH);
	CHECK(FAILS_WITH(quire_vma_unmap(p.pidfd, FIXED_AT, PAGE), ESRCH));
	close(p.pidfd);
	munmap(at, 2 * PAGE);
	close(fd);
	return true;
}

/* What may be locked is what the process may, not what the caller may, who is privileged. */
static bool obeys_its_limits(void)
{
	struct puppet p;
	int fd = vmo(QUIRE_VMO_OPEN, 3);
	CHECK(puppet_start(&p) && puppet_does(&p, 'l') == '.');
	CHECK(refused(p.pidfd, fd, FIXED_AT, 0, 3 * PAGE, RW | EXACTLY) == EAGAIN);
	CHECK((char *)quire_vma_map(p.pidfd, fd, FIXED_AT, 0, 2 * PAGE, RW | EXACTLY) == FIXED_AT);
	CHECK(refused(p.pidfd, fd, FIXED_AT + 2 * PAGE, 0, PAGE, RW | EXACTLY) == EAGAIN);
	CHECK(puppet_ends(&p));
	close(p.pidfd);
	close(fd);
	return true;
}

/* The object lives as long as somebody shows it. */
static bool outlives_its_maker(void)
{
	struct puppet p;
	int fd = vmo(QUIRE_VMO_OPEN, 1);
	CHECK(puppet_start(&p) && pwrite(fd, "k", 1, 0) == 1);
	CHECK((char *)quire_vma_map(p.pidfd, fd, FIXED_AT, 0, PAGE, RW | EXACTLY) == FIXED_AT);
	close(fd);
	CHECK(puppet_does(&p, 'r') == 'k' && puppet_does(&p, 'w') == '.' && puppet_does(&p, 'r') == 'W');
	CHECK(puppet_ends(&p));
	close(p.pidfd);
	return true;
}

static bool needs_the_process_right(void)
{
	struct puppet p;
	int fd = vmo(QUIRE_VMO_OPEN, 1);
	CHECK(puppet_start(&p));
	int poor = less(p.pidfd, QUIRE_RIGHT_MAP),
	    rich = less(p.pidfd, QUIRE_RIGHTS_ALL & ~(QUIRE_RIGHT_MAP));
	CHECK(refused(poor, fd, FIXED_AT, 0, PAGE, RW | EXACTLY) == EACCES);
	CHECK(FAILS_WITH(quire_vma_unmap(poor, FIXED_AT, PAGE), EACCES) && puppet_does(&p, 'r') == '!');
	CHECK((char *)quire_vma_map(rich, fd, FIXED_AT, 0, PAGE, RW | EXACTLY) == FIXED_AT);
	CHECK(FAILS_WITH(quire_vma_unmap(poor, FIXED_AT, PAGE), EACCES) && puppet_does(&p, 'w') == '.');
	CHECK(!quire_vma_unmap(rich, FIXED_AT, PAGE));
	close(poor);
	close(rich);
	CHECK(puppet_ends(&p));
	close(p.pidfd);
	close(fd);
	return true;
}

static int other_user(void *arg)
{
	const struct puppet *p = arg;
	UCHECK(!setgroups(0, NULL) && !setresgid(USER, USER, USER) && !setresuid(USER, USER, USER));
	int fd = (int)sc(pidfd_open, p->pid, 0), mine = vmo(QUIRE_VMO_OPEN, 1);
	UCHECK(fd >= 0 && quire_rights_get(fd) == (QUIRE_RIGHTS_ALL & ~QUIRE_RIGHT_MAP));
	UCHECK(refused(fd, mine, FIXED_AT, 0, PAGE, RW | EXACTLY) == EACCES);
	/* Who was given the right has it. */
	UCHECK((char *)quire_vma_map(p->pidfd, mine, FIXED_AT, 0, PAGE, RW | EXACTLY) == FIXED_AT);
	UCHECK(puppet_does(p, 'w') == '.');
	return 0;
}

static bool others_get_no_right(void)
{
	struct puppet p;
	CHECK(puppet_start(&p) && child_exits(other_user, &p, 0));
	CHECK(puppet_does(&p, 'r') == 'W' && puppet_ends(&p));
	close(p.pidfd);
	return true;
}

/* Run as another program, by a child: says a byte, and waits to be let go. */
enum { TO_PARENT = 100, FROM_PARENT = 101 };

static int wait_as_program(void)
{
	char c = 'x';
	return write(TO_PARENT, &c, 1) != 1 || read(FROM_PARENT, &c, 1) != 0;
}

/* May a user still map into his child when that runs the program at `path`? 0 or the errno. */
static int map_into_program(const char *path)
{
	char c = 0;
	int to[2], from[2], fd = vmo(QUIRE_VMO_OPEN, 1), status, error = -1;
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t) "wait", NULL};
		read(to[0], &c, 1); /* until the descriptor has been made */
		dup2(from[1], TO_PARENT);
		dup2(to[0], FROM_PARENT);
		execv(path, argv);
		_exit(127);
	}
	int pidfd = (int)sc(pidfd_open, pid, 0);
	close(to[0]);
	close(from[1]);
	if (quire_rights_get(pidfd) == QUIRE_RIGHTS_ALL && write(to[1], "", 1) == 1 &&
	    read(from[0], &c, 1) == 1)
		error = refused(pidfd, fd, FIXED_AT, 0, PAGE, RW | EXACTLY);
	close(to[1]);
	return waitpid(pid, &status, 0) == pid && status == 0 ? error : -1;
}

static int user_with_programs(void *arg)
{
	char path[64];
	(void)arg;
	UCHECK(!setgroups(0, NULL) && !setresgid(USER, USER, USER) && !setresuid(USER, USER, USER));
	UCHECK(!prctl(PR_SET_DUMPABLE, 1)); /* what a login does by running a shell */
	UCHECK(map_into_program(utest_file(path, "plain")) == 0);
	UCHECK(map_into_program(utest_file(path, "setuid")) == EACCES);
	return 0;
}

static bool ends_at_other_rights(void)
{
	char path[64];
	CHECK(copy_self(utest_file(path, "plain"), 0755));
	CHECK(copy_self(utest_file(path, "setuid"), 04755));
	CHECK(child_exits(user_with_programs, NULL, 0));
	return true;
}

/* --- nothing stays --- */

static bool leaves_nothing(void)
{
	struct usage before;
	CHECK(usage_take(&before) || true);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned kind = QUIRE_VMO_OPEN; kind <= QUIRE_VMO_CONTIGUOUS; kind++) {
			struct puppet p;
			int fd = vmo(kind, 4);
			char *at = map(fd, 4, RW);
			CHECK(at && round % 4 == 0 ? puppet_start(&p) : true);
			memset(at, 1, 4 * PAGE);
			if (round % 4 == 0) {
				long there = quire_vma_map(p.pidfd, fd, FIXED_AT, 0, 4 * PAGE, RW);
				CHECK(there == (long)FIXED_AT && puppet_does(&p, 'w') == '.');
			}
			close(fd);
			munmap(at, (kind == QUIRE_VMO_RING ? 8 : 4) * PAGE);
			CHECK(round % 4 || puppet_ends(&p));
			if (round % 4 == 0)
				close(p.pidfd);
		}
	}
	CHECK(nothing_is_left(&before));
	return true;
}

static const struct utest tests[] = {
    {"objects of each kind, and what none is made of", makes_what_is_asked_for},
    {"a memfd is a VM object, and the other way round", is_a_memfd},
    {"cut, its pages are free; grown, they are zeros", changes_its_size},
    {"fixed ones are neither cut nor grown", keeps_its_size},
    {"a snapshot is of the same kind", is_copied},
    {"a ring goes on where it ends", ring_never_wraps},
    {"a ring counts twice against the limit", ring_counts_twice},
    {"nothing is placed beside a guarded mapping", guards_stay_free},
    {"a guarded mapping is placed where its guards fit", guards_find_room},
    {"contiguous memory lies in a row and stays there", lies_in_a_row},
    {"memory that combines writes is not read through the cache", combines_writes},
    {"mapping needs each right, one at a time", needs_each_right},
    {"no more than the descriptor allowed is had later", never_gets_more},
    {"arguments of vma_map and vma_unmap", checks_arguments},
    {"mapping into another process", maps_into_others},
    {"what it may lock counts, not what the caller may", obeys_its_limits},
    {"what a process shows lives without its maker", outlives_its_maker},
    {"it needs the right to map of the process", needs_the_process_right},
    {"pidfd_open gives that to who may look into it", others_get_no_right},
    {"the right ends when the process runs what has other rights", ends_at_other_rights},
    {"nothing is left behind", leaves_nothing},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "wait"))
		return wait_as_program();
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
