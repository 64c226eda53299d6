/*
 * uown.c - what only Quire tells of processes and memory, or tells exactly: stacks with names, the log of a
 * crash, /proc/PID/vm and /proc/mm, and sums that are right while others work. Only in the guest, as
 * init=/bin/uown.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "utap.h"

enum { PAGE = 4096, USER = 1000, TEXT_SIZE = 1 << 18, LOOKS = 40, WORKERS = 3 };

static char text[TEXT_SIZE];

static bool slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t used = 0, n;
	while (fd >= 0 && (n = read(fd, text + used, sizeof(text) - 1 - (size_t)used)) > 0)
		used += n;
	text[used] = 0;
	return fd >= 0 && close(fd) == 0;
}

static bool slurp_of(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return slurp(path);
}

/* The number behind the first `key`; -1: there is none. */
static long long number_after(const char *from, const char *key)
{
	const char *at = strstr(from, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

/* The sum of the numbers behind each `key`. */
static long long sum_after(const char *key)
{
	long long sum = 0;
	for (const char *at = text; (at = strstr(at, key)); at += strlen(key))
		sum += strtoll(at + strlen(key), NULL, 10);
	return sum;
}

static void reap(pid_t pid)
{
	int status;
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) != pid)
		;
}

/* --- stacks --- */

#define FRAMED __attribute__((noipa, optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")))

FRAMED static long stack_inner(int fd)
{
	char c;
	long number = SYS_read;
	__asm__ volatile("syscall" : "+a"(number) : "D"((long)fd), "S"(&c), "d"(1L) : "rcx", "r11", "memory");
	return number;
}

FRAMED static long stack_outer(int fd)
{
	return stack_inner(fd) + 1;
}

FRAMED static long spin_inner(volatile int *forever)
{
	while (*forever)
		;
	return 0;
}

static bool wait_for_state(pid_t pid, char state)
{
	for (unsigned i = 0; i < 10000; i++) {
		const char *paren;
		if (slurp_of(pid, "stat") && (paren = strrchr(text, ')')) && paren[2] == state)
			return true;
		usleep(1000);
	}
	return false;
}

static bool stacks(void)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit((int)stack_outer(ends[0]));
	CHECK(wait_for_state(pid, 'S'));
	CHECK(slurp_of(pid, "stack"));
	const char *kernel = strstr(text, "pipe_read+"), *inner = strstr(text, "] stack_inner+"),
		   *outer = strstr(text, "] stack_outer+");
	CHECK(kernel && inner > kernel && outer > inner && strstr(inner, " in /bin/uown\n"));
	CHECK(slurp_of(pid, "syscall") && number_after(text, "0 0x") >= 0 && text[0] == '0');
	reap(pid);
	CHECK(slurp("/proc/self/stack") && strstr(text, "stack_show+"));
	CHECK(slurp("/proc/self/syscall") && !strncmp(text, "0 0x", 4));
	close(ends[0]);
	return close(ends[1]) == 0;
}

/* One that never waits: where it was at the last tick. */
static bool stack_of_runner(void)
{
	static volatile int forever = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit((int)spin_inner(&forever));
	bool found = false;
	for (unsigned i = 0; !found && i < 10000; i++) {
		CHECK(slurp_of(pid, "stack"));
		found = strstr(text, "] spin_inner+");
		usleep(1000);
	}
	reap(pid);
	CHECK(found);
	return true;
}

static int look_as_user(void *arg)
{
	char path[64];
	UCHECK(setuid(USER) == 0);
	snprintf(path, sizeof(path), "/proc/%d/stack", *(int *)arg);
	UCHECK(FAILS_WITH(open(path, O_RDONLY), EACCES));
	snprintf(path, sizeof(path), "/proc/%d/pagemap", *(int *)arg);
	UCHECK(FAILS_WITH(open(path, O_RDONLY), EACCES));
	return 0;
}

static bool permissions(void)
{
	int pid = getpid();
	return child_exits(look_as_user, &pid, 0);
}

/* --- the log --- */

FRAMED static int crash_inner(volatile int *where)
{
	volatile int one = 1; /* the frame comes first */
	*where = one;
	return one;
}

FRAMED static int crash_outer(void *arg)
{
	return crash_inner(arg) + 1;
}

static bool crash_log(void)
{
	static char record[1024], expected[64];
	const char *const wanted[] = {
	    " gets SIGSEGV: page fault", "#0 0x", "crash_inner+0x", "#1 0x", "crash_outer+0x"};
	unsigned seen = 0;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK), status;
	CHECK(fd >= 0 && lseek(fd, 0, SEEK_END) >= 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(crash_outer((void *)24));
	CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGSEGV);
	snprintf(expected, sizeof(expected), "uown[%d]", pid);
	for (ssize_t n; (n = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE;) {
		record[n > 0 ? n : 0] = 0;
		if (!strstr(record, expected))
			continue;
		for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			seen |= strstr(record, wanted[i]) ? 1U << i : 0;
		CHECK(strstr(record, "thread")
			  ? strstr(record, "at address 0x18, pc 0x") && strstr(record, ", sp 0x")
			  : strstr(record, "in /bin/uown") || strstr(record, "#"));
	}
	close(fd);
	CHECK(seen == 31);
	return true;
}

/* --- memory --- */

/* Processes that allocate, free, copy and write files until they are killed. */
static void work(void)
{
	for (unsigned i = 0;; i++) {
		size_t size = (size_t)(1 + i % 50) * PAGE;
		char path[32],
		    *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		int status;
		for (size_t at = 0; p != MAP_FAILED && at < size; at += PAGE)
			p[at] = 1;
		pid_t pid = i % 4 ? -1 : fork();
		if (pid == 0) {
			memset(p, 2, size / 2);
			_exit(0);
		}
		snprintf(path, sizeof(path), "/tmp/work-%d", getpid());
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (write(fd, p, size) > 0 && i % 3)
			unlink(path);
		close(fd);
		munmap(p, size);
		if (pid > 0)
			waitpid(pid, &status, 0);
	}
}

static void start_work(pid_t workers[WORKERS])
{
	mkdir("/tmp", 01777);
	fflush(stdout);
	for (unsigned i = 0; i < WORKERS; i++)
		if ((workers[i] = fork()) == 0)
			work();
}

static void end_work(const pid_t workers[WORKERS])
{
	for (unsigned i = 0; i < WORKERS; i++)
		reap(workers[i]);
}

/* Every frame is of one kind, and in one zone. */
static bool frames_add_up(void)
{
	CHECK(slurp("/proc/mm"));
	long long total = number_after(text, "\n{\"frames\":"), kinds = 0, zones = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		CHECK(line[0] == '{' && line[strlen(line) - 1] == '}');
		if (!strncmp(line, "{\"kind\":", 8))
			kinds += number_after(line, "\"frames\":");
		if (strncmp(line, "{\"zone\":", 8))
			continue;
		long long free = number_after(line, "\"free\":"), cached = number_after(line, "\"cached\":");
		zones += number_after(line, "\"frames\":");
		const char *at = strstr(line, "\"free_by_order\":[") + 17;
		for (unsigned order = 0; *at; order++, at += *at == ',')
			cached += strtoll(at, (char **)&at, 10) << order, at += *at == ']' ? strlen(at) : 0;
		CHECK(cached == free);
	}
	CHECK(total > 1000 && kinds == total && zones == total);
	return true;
}

static bool frames_under_load(void)
{
	pid_t workers[WORKERS];
	bool good = true;
	start_work(workers);
	for (unsigned i = 0; good && i < LOOKS; i++)
		good = frames_add_up();
	end_work(workers);
	return good;
}

static pid_t start_stopped(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		char *p = mmap(NULL, 40 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(p, 1, 30 * PAGE);
		char *q = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		memset(q, 1, 5 * PAGE);
		raise(SIGSTOP);
		_exit(0);
	}
	return wait_for_state(pid, 'T') ? pid : -1;
}

static long long present_pages(pid_t pid)
{
	char path[64];
	unsigned long long start, end;
	long long count = 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	int fd = open(path, O_RDONLY);
	slurp_of(pid, "maps");
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (sscanf(line, "%llx-%llx", &start, &end) != 2 || strstr(line, "[v"))
			continue; /* the vDSO is no memory of the process */
		for (unsigned long long at = start; at < end; at += PAGE) {
			uint64_t e = 0;
			if (pread(fd, &e, sizeof(e), (off_t)(at / PAGE * 8)) != sizeof(e))
				return -1;
			count += e >> 63;
		}
	}
	close(fd);
	return count;
}

/* All that tells what a process has in memory tells the same. */
static bool process_adds_up(pid_t pid)
{
	CHECK(slurp_of(pid, "statm"));
	long long size = strtoll(text, NULL, 10), rss = strtoll(strchr(text, ' '), NULL, 10);
	CHECK(rss > 35 && size > rss);
	CHECK(slurp_of(pid, "smaps") && sum_after("\nRss:") == rss * 4 && sum_after("\nSize:") == size * 4);
	long long parts = sum_after("\nShared_Clean:") + sum_after("\nShared_Dirty:") +
			  sum_after("\nPrivate_Clean:") + sum_after("\nPrivate_Dirty:");
	CHECK(parts == rss * 4);
	CHECK(slurp_of(pid, "smaps_rollup") && number_after(text, "\nRss:") == rss * 4);
	CHECK(number_after(text, "\nPss:") <= rss * 4);
	CHECK(slurp_of(pid, "status") && number_after(text, "\nVmRSS:") == rss * 4 &&
	      number_after(text, "\nVmSize:") == size * 4);
	CHECK(number_after(text, "\nRssAnon:") + number_after(text, "\nRssFile:") +
		  number_after(text, "\nRssShmem:") ==
	      rss * 4);
	CHECK(slurp_of(pid, "vm") && sum_after("\"resident\":") == rss && sum_after("\"pages\":") == size);
	CHECK(present_pages(pid) == rss);
	return true;
}

static bool process_under_load(void)
{
	pid_t workers[WORKERS], pid = start_stopped();
	bool good = pid > 0;
	start_work(workers);
	for (unsigned i = 0; good && i < LOOKS / 8; i++)
		good = process_adds_up(pid);
	end_work(workers);
	reap(pid);
	return good;
}

/* --- pagemap --- */

#define PRESENT (1ULL << 63)
#define OF_FILE (1ULL << 61)
#define ALONE   (1ULL << 56)
#define FRAME   ((1ULL << 55) - 1)

static uint64_t entry_of(const void *p)
{
	uint64_t e = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	if (pread(fd, &e, sizeof(e), (off_t)((uintptr_t)p / PAGE * 8)) != sizeof(e))
		e = 0;
	close(fd);
	return e;
}

static int see_shared_page(void *arg)
{
	uint64_t *p = arg;
	UCHECK((entry_of(p) & (PRESENT | ALONE)) == PRESENT && (entry_of(p) & FRAME) == (p[0] & FRAME));
	p[1] = 1;
	UCHECK((entry_of(p) & ALONE) && (entry_of(p) & FRAME) != (p[0] & FRAME));
	UCHECK(setuid(USER) == 0);
	UCHECK((entry_of(p) & PRESENT) == 0); /* not his any more to look into: its rights have changed */
	return 0;
}

static bool pagemap(void)
{
	uint64_t e;
	uint64_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(!(entry_of(p) & PRESENT));
	p[0] = 1;
	p[0] = e = entry_of(p);
	CHECK((e & (PRESENT | ALONE | OF_FILE)) == (PRESENT | ALONE) && (e & FRAME));
	CHECK(child_exits(see_shared_page, p, 0));
	e = entry_of((void *)&pagemap);
	CHECK((e & (PRESENT | ALONE | OF_FILE)) == (PRESENT | OF_FILE) && (e & FRAME));
	CHECK(munmap(p, 2 * PAGE) == 0 && entry_of(p) == 0);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	CHECK(FAILS_WITH(pread(fd, &e, 4, 0), EINVAL) && FAILS_WITH(pread(fd, &e, 8, 4), EINVAL));
	CHECK(pread(fd, &e, 8, (off_t)(0x7ffffffff000 / PAGE * 8)) == 0);
	return close(fd) == 0;
}

static bool linux_forms(void)
{
	unsigned node;
	char zone[16];
	long long free = 0;
	CHECK(slurp("/proc/buddyinfo") && sscanf(text, "Node %u, zone %15s", &node, zone) == 2 && node == 0);
	CHECK(slurp("/proc/zoneinfo") &&
	      sscanf(text, "Node %u, zone %15s\n  pages free %lld", &node, zone, &free) == 3);
	CHECK(free > 100 && number_after(text, "managed ") > free && number_after(text, "min ") > 0);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"the stack of one that waits", stacks},
	    {"the stack of one that runs", stack_of_runner},
	    {"who may see them", permissions},
	    {"the log of a crash", crash_log},
	    {"frames add up under load", frames_under_load},
	    {"what a process has adds up under load", process_under_load},
	    {"a word for each page", pagemap},
	    {"zones as Linux tells them", linux_forms},
	};
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
