/*
 * ubench.c - what the ways into the kernel cost, from user mode and back. Under the emulator's instruction
 * counting a tick of the time-stamp counter is an instruction.
 *
 * Prints lines "bench NAME VALUE": ticks for one operation, the loop's own cost taken off; the least of
 * several rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <quire/calls.h>
#include <quire/ring.h>
#include <quire/spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, CALLS = 1000, PAGES = 512, STEP = 37, ROUNDS = 5 };

static inline uint64_t ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static void report(const char *name, uint64_t total, uint64_t loop, unsigned n)
{
	printf("bench %s %llu\n", name, (unsigned long long)((total > loop ? total - loop : 0) / n));
}

static uint64_t null_calls(void)
{
	uint64_t start = ticks();
	for (unsigned i = 0; i < CALLS; i++) {
		long result = SYS_getppid;
		__asm__ volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
	}
	return ticks() - start;
}

static uint64_t empty_calls(void)
{
	uint64_t start = ticks();
	for (unsigned i = 0; i < CALLS; i++) {
		long result = SYS_getppid;
		__asm__ volatile("" : "+a"(result) : : "rcx", "r11", "memory");
	}
	return ticks() - start;
}

/* Touch one byte of each page; stride in pages. */
static uint64_t touch(volatile char *p, unsigned n, unsigned stride, int write)
{
	uint64_t start = ticks();
	for (unsigned i = 0; i < n; i++) {
		if (write)
			p[(size_t)i * stride * PAGE] = 1;
		else
			(void)p[(size_t)i * stride * PAGE];
	}
	return ticks() - start;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Among the other mappings, but where tables and nodes begin: how many of them a random place needs would be
 * seen in the figures. */
static char *map(size_t pages)
{
	enum { TABLE = 2 << 20 };
	char *room = mmap(NULL, pages * PAGE + TABLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return NULL;
	munmap(room, pages * PAGE + TABLE);
	char *place = room + TABLE - (uintptr_t)room % TABLE;
	char *p = mmap(place, pages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* First touches of fresh memory, and what the same loop costs without faults. Stride 1 lets the kernel serve
 * ahead; 97 does not: every touch is a fault that needs a tree node, every fifth a page table. */
static int bench_touch(const char *name, unsigned stride, int write)
{
	uint64_t best = UINT64_MAX, loop = UINT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		char *p = map((size_t)PAGES * stride);
		if (!p)
			return 1;
		uint64_t t = touch(p, PAGES, stride, write);
		best = t < best ? t : best;
		t = touch(p, PAGES, stride, write);
		loop = t < loop ? t : loop;
		munmap(p, (size_t)PAGES * stride * PAGE);
	}
	report(name, best, loop, PAGES);
	return 0;
}

/* The cheapest first touch of a page, in an order that no serving ahead profits from: the fault itself, with
 * page tables and tree nodes in place. */
static int bench_fault(const char *name, int write)
{
	uint64_t best = UINT64_MAX, empty = UINT64_MAX;
	char *p = map(PAGES);
	if (!p)
		return 1;
	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t start = ticks();
		empty = least(empty, ticks() - start);
		volatile char *page = p + (size_t)(i * STEP % PAGES) * PAGE;
		start = ticks();
		if (write)
			*page = 1;
		else
			(void)*page;
		best = least(best, ticks() - start);
	}
	report(name, best, empty, 1);
	return munmap(p, (size_t)PAGES * PAGE);
}

/* fork, exit and wait, with this many pages resident. */
static int bench_fork(const char *name, unsigned pages)
{
	uint64_t best = UINT64_MAX;
	char *p = pages ? map(pages) : NULL;
	if (pages && !p)
		return 1;
	touch(p, pages, 1, 1);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = ticks();
		long pid = syscall(SYS_fork);
		if (pid == 0)
			syscall(SYS_exit_group, 0);
		if (pid < 0 || waitpid((pid_t)pid, NULL, 0) != pid)
			return 1;
		uint64_t t = ticks() - start;
		best = t < best ? t : best;
	}
	if (pages)
		munmap(p, (size_t)pages * PAGE);
	report(name, best, 0, 1);
	return 0;
}

/* This program is started in a new process, and ends at once: with this many pages resident in the one that
 * starts it. */
static int bench_spawn(const char *name, const char *self, unsigned pages)
{
	char *argv[] = {(char *)(uintptr_t)self, (char *)(uintptr_t) "exit", NULL};
	uint64_t best = UINT64_MAX;
	int program = open(self, O_RDONLY | O_CLOEXEC), failed = 0;
	char *p = map(pages);
	if (program < 0 || !p)
		return 1;
	touch(p, pages, 1, 1);
	for (int round = 0; round < ROUNDS; round++) {
		int status = -1;
		pid_t pid;
		uint64_t start = ticks();
		int process = quire_spawn("spawned", program, argv, argv + 2, NULL, 0, &pid);
		failed |= process < 0 || waitpid(pid, &status, 0) != pid || status;
		best = least(best, ticks() - start);
		close(process);
	}
	close(program);
	report(name, best, 0, 1);
	return munmap(p, (size_t)pages * PAGE) | failed;
}

/* System calls without the library, as compare.c makes them. */
static inline long call(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return nr;
}

/* A child answers calls until nobody can ask any more. */
static int serve(int from)
{
	struct quire_message m;
	int reply = QUIRE_NO_REPLY;
	while (!call(SYS_quire_endpoint_reply_receive, reply, from, (long)&m, (long)QUIRE_NEVER))
		reply = m.reply;
	return 0;
}

/* A message of 8 bytes to another process, and its answer. */
static int bench_call(const char *name)
{
	struct quire_message m = {.len = 8};
	uint64_t best = UINT64_MAX;
	int ends[2], failed = 0;
	if (quire_endpoint_create(ends, 0))
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		_exit(serve(ends[0]));
	}
	close(ends[0]);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = ticks();
		for (unsigned i = 0; i < CALLS; i++)
			failed |= call(SYS_quire_endpoint_call, ends[1], (long)&m, (long)QUIRE_NEVER, 0) != 0;
		best = least(best, ticks() - start);
	}
	close(ends[1]);
	failed |= waitpid(pid, NULL, 0) != pid;
	report(name, best, empty_calls(), CALLS);
	return failed;
}

/* A stream of bytes to a child, which says when it has had them all. */
enum { STREAM = 4 << 20, PIECE = 4096, ROOM = 64 << 10 };
struct stream {
	int bytes[2], had[2]; /* pipes */
	bool is_ring;
	struct quire_ring in, out;
	char piece[PIECE];
};

static bool stream_open(struct stream *s, bool is_ring)
{
	int in[QUIRE_RING_FDS], out[QUIRE_RING_FDS];
	s->is_ring = is_ring;
	if (pipe(s->bytes) || pipe(s->had))
		return false;
	return !is_ring || (!quire_ring_create(ROOM, in, out) && !quire_ring_open(&s->in, in, false) &&
			       !quire_ring_open(&s->out, out, true));
}

static void stream_close(struct stream *s)
{
	for (unsigned i = 0; i < 2; i++) {
		close(s->bytes[i]);
		close(s->had[i]);
	}
	if (s->is_ring) {
		quire_ring_close(&s->in);
		quire_ring_close(&s->out);
	}
}

/* By pipe a piece is copied twice; in a ring it is made where it lies, and read there. */
static bool stream_in(struct stream *s)
{
	void *at;
	for (unsigned done = 0; done < STREAM; done += PIECE) {
		if (!s->is_ring && write(s->bytes[1], s->piece, PIECE) != PIECE)
			return false;
		if (s->is_ring && quire_ring_wait(&s->in, PIECE - 1, &at, QUIRE_NEVER) < 0)
			return false;
		if (s->is_ring)
			quire_ring_pass(&s->in, PIECE);
	}
	return read(s->had[0], s->piece, 1) == 1;
}

static bool stream_out(struct stream *s)
{
	void *at;
	for (unsigned done = 0; done < STREAM; done += PIECE) {
		if (!s->is_ring && read(s->bytes[0], s->piece, PIECE) != PIECE)
			return false;
		if (s->is_ring && quire_ring_wait(&s->out, PIECE - 1, &at, QUIRE_NEVER) < 0)
			return false;
		if (s->is_ring)
			quire_ring_pass(&s->out, PIECE);
	}
	return write(s->had[1], "", 1) == 1;
}

/* 64 KiB of it. */
static int bench_stream(const char *name, bool is_ring)
{
	static struct stream s;
	uint64_t best = UINT64_MAX;
	bool good = stream_open(&s, is_ring);
	pid_t pid = good ? fork() : -1;
	if (pid == 0) {
		for (int round = 0; round < ROUNDS; round++)
			good = good && stream_out(&s);
		_exit(!good);
	}
	for (int round = 0; good && round < ROUNDS; round++) {
		uint64_t start = ticks();
		good = stream_in(&s);
		best = least(best, ticks() - start);
	}
	report(name, best, 0, STREAM / ROOM);
	stream_close(&s);
	return !good || waitpid(pid, NULL, 0) != pid;
}

/* A piece into a ring and out of it, by one thread, while it is neither empty nor full. */
static int bench_ring(const char *name)
{
	static struct stream s;
	uint64_t best = UINT64_MAX;
	void *at;
	ssize_t sum = 0;
	if (!stream_open(&s, true))
		return 1;
	quire_ring_pass(&s.in, PIECE);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = ticks();
		for (unsigned i = 0; i < CALLS; i++) {
			sum += quire_ring_wait(&s.in, PIECE - 1, &at, QUIRE_NEVER);
			quire_ring_pass(&s.in, PIECE);
			sum += quire_ring_wait(&s.out, PIECE - 1, &at, QUIRE_NEVER);
			quire_ring_pass(&s.out, PIECE);
		}
		best = least(best, ticks() - start);
	}
	stream_close(&s);
	report(name, best, 0, CALLS);
	return sum != (ssize_t)ROUNDS * CALLS * (ROOM + PIECE);
}

/* Write faults on memory that a child shares. */
static int bench_cow(void)
{
	char *p = map(PAGES);
	if (!p)
		return 1;
	touch(p, PAGES, 1, 1);
	long pid = syscall(SYS_fork);
	if (pid == 0)
		for (;;)
			syscall(SYS_sched_yield);
	if (pid < 0)
		return 1;
	uint64_t t = touch(p, PAGES, 1, 1), loop = touch(p, PAGES, 1, 1);
	syscall(SYS_kill, pid, 9);
	waitpid((pid_t)pid, NULL, 0);
	report("fault_cow_write", t, loop, PAGES);
	return munmap(p, (size_t)PAGES * PAGE);
}

/* Read smaps once, as long as it takes. 0: it cannot be read. */
static uint64_t read_smaps(char *buf, size_t size)
{
	ssize_t n = -1;
	uint64_t start = ticks();
	int fd = open("/proc/self/smaps", O_RDONLY);
	while (fd >= 0 && (n = read(fd, buf, size)) > 0)
		;
	close(fd);
	return n ? 0 : ticks() - start;
}

/* What a window costs in smaps: one of n on one file, which show `pages` pages each, `step` pages apart. The
 * last comes first, so that no two are joined. */
static int bench_smaps(const char *name, unsigned n, size_t pages, size_t step)
{
	enum { BUFFER = 16 }; /* pages; no static one, which forks would have to copy */
	size_t len = pages * PAGE;
	char *buf = map(BUFFER);
	int fd = memfd_create("windows", MFD_CLOEXEC);
	char *room = mmap(NULL, n * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!buf || fd < 0 || room == MAP_FAILED || ftruncate(fd, (off_t)((n - 1) * step * PAGE + len)))
		return 1;
	uint64_t before = read_smaps(buf, BUFFER * PAGE);
	for (unsigned i = 0; i < n; i++) {
		char *p = mmap(room + i * len, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		    (off_t)((n - 1 - i) * step * PAGE));
		if (p == MAP_FAILED)
			return 1;
		touch(p, (unsigned)pages, 1, 1);
	}
	uint64_t all = read_smaps(buf, BUFFER * PAGE);
	report(name, all, before, n);
	close(fd);
	return munmap(room, n * len) || munmap(buf, BUFFER * PAGE) || !before || !all;
}

/* The cheapest call, by itself. */
static void bench_null(const char *name)
{
	uint64_t best = UINT64_MAX, loop = UINT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t t = null_calls();
		best = t < best ? t : best;
		t = empty_calls();
		loop = t < loop ? t : loop;
	}
	report(name, best, loop, CALLS);
}

/* Once more, where the mappings of every run have the same places: how deep a region lies in the tree of
 * regions is seen in the figures. */
static bool is_placed(char **argv)
{
	int persona = personality(0xffffffff);
	if (persona & ADDR_NO_RANDOMIZE)
		return true;
	report("boot_to_user", ticks(), 0, 1);
	if (personality((unsigned)persona | ADDR_NO_RANDOMIZE) >= 0)
		execv(argv[0], argv);
	return false;
}

/* With a name: only system calls, under that name; or nothing. */
int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	if (!is_placed(argv))
		return 1;
	bench_null(argc > 1 ? argv[1] : "null_syscall");
	if (argc > 1)
		return 0;
	int failed = bench_fault("fault_anon_write", 1);
	failed |= bench_fault("fault_zero_read", 0);
	failed |= bench_touch("touch_anon_write_sparse", 97, 1);
	failed |= bench_touch("touch_zero_read_sparse", 97, 0);
	failed |= bench_touch("touch_anon_write_sequential", 1, 1);
	failed |= bench_touch("touch_zero_read_sequential", 1, 0);
	failed |= bench_cow();
	failed |= bench_call("call_and_reply");
	failed |= bench_stream("stream_pipe", false);
	failed |= bench_stream("stream_ring", true);
	failed |= bench_ring("ring_steady");
	failed |= bench_fork("fork_exit_wait_small", 0);
	failed |= bench_fork("fork_exit_wait_4MiB", 1024);
	failed |= bench_fork("fork_exit_wait_16MiB", 4096);
	failed |= bench_spawn("spawn_exit_wait_1MiB", argv[0], 256);
	failed |= bench_spawn("spawn_exit_wait_256MiB", argv[0], 65536);
	mkdir("/proc", 0555);
	if (mount("proc", "/proc", "proc", 0, NULL))
		return 1;
	failed |= bench_smaps("smaps_beside_100", 100, 1, 1);
	failed |= bench_smaps("smaps_beside_400", 400, 1, 1);
	failed |= bench_smaps("smaps_same_100", 100, 256, 0);
	failed |= bench_smaps("smaps_same_400", 400, 256, 0);
	return failed;
}
