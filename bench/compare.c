/*
 * compare.c - what the operations of a Unix cost, counted in instructions, on any kernel that runs Linux
 * programs.
 *
 * It is the first program and the only file of an archive that is booted on Quire and on Linux, on one CPU in
 * the emulator's instruction-count mode: a tick of the time-stamp counter is an instruction. Prints lines
 * "compare NAME = COUNT" and restarts the machine. Each count is the least of several rounds, each the mean
 * of many operations: so the first round warms up what is made once, and the timer's interrupts hit some
 * rounds and not the others. The calls are made without a library around them. With the argument "exit" it is
 * the program that the tests of execve run.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_PRIVATE = 128, /* operations of futex */
	WAKE_PRIVATE = 129,
	PAGE = 4096,
	PAGES = 512,
	SPARSE = 97,
	ROUNDS = 5,
	BIG = 64 << 20,
	RESIDENT = 16 << 20,
	CHUNK = 64 << 10
};

static char self[] = "/init";
static char data_path[] = "/data/dir/file";
static char exit_word[] = "exit";
static char buffer[CHUNK] __attribute__((aligned(PAGE)));
static int data_fd;

static inline uint64_t ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline long call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "+a"(nr)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return nr;
}

static inline long call3(long nr, long a, long b, long c)
{
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return nr;
}

static void need(int good, const char *what)
{
	if (good)
		return;
	printf("compare failed: %s\n", what);
	fflush(stdout);
	_exit(1);
}

/* The ticks that n repetitions of a statement take. */
#define TIMED(n, statement)                                                                                  \
	({                                                                                                   \
		uint64_t start_ = ticks();                                                                   \
		for (unsigned i_ = 0; i_ < (n); i_++) {                                                      \
			statement;                                                                           \
		}                                                                                            \
		ticks() - start_;                                                                            \
	})

/* System calls, clocks ----------------------------------------------------------------------------------- */

static uint64_t null_call(unsigned n)
{
	return TIMED(n, call3(SYS_getppid, 0, 0, 0));
}

static uint64_t read_clock(unsigned n)
{
	struct timespec now;
	return TIMED(n, clock_gettime(CLOCK_MONOTONIC, &now));
}

static uint64_t yield_alone(unsigned n)
{
	return TIMED(n, call3(SYS_sched_yield, 0, 0, 0));
}

/* Faults ------------------------------------------------------------------------------------------------- */

/* Private memory that gets no huge pages: faults are of one page on both kernels. */
static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(p != MAP_FAILED, "mmap");
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static char *map_file(int prot, int flags)
{
	char *p = mmap(NULL, PAGES * PAGE, prot, flags, data_fd, 0);
	need(p != MAP_FAILED, "mmap of a file");
	return p;
}

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

static uint64_t touch_fresh(unsigned n, unsigned stride, int write)
{
	char *p = map((size_t)n * stride * PAGE);
	uint64_t t = touch(p, n, stride, write);
	munmap(p, (size_t)n * stride * PAGE);
	return t;
}

static uint64_t write_sequential(unsigned n)
{
	return touch_fresh(n, 1, 1);
}

/* With the huge pages that the kernel has. */
static uint64_t write_big(unsigned n)
{
	char *p = mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(p != MAP_FAILED, "mmap");
	uint64_t t = touch(p, n, 1, 1);
	munmap(p, (size_t)n * PAGE);
	return t;
}

static uint64_t write_sparse(unsigned n)
{
	return touch_fresh(n, SPARSE, 1);
}

static uint64_t read_sequential(unsigned n)
{
	return touch_fresh(n, 1, 0);
}

static uint64_t write_after_read(unsigned n)
{
	char *p = map((size_t)n * PAGE);
	touch(p, n, 1, 0);
	uint64_t t = touch(p, n, 1, 1);
	munmap(p, (size_t)n * PAGE);
	return t;
}

/* A child that shares all memory until it is ended. */
static pid_t sharer(void)
{
	int fds[2];
	need(!pipe(fds), "pipe");
	pid_t pid = (pid_t)call3(SYS_fork, 0, 0, 0);
	if (!pid) {
		char c;
		close(fds[1]);
		(void)!read(fds[0], &c, 1);
		_exit(0);
	}
	close(fds[0]);
	need(pid > 0 && dup2(fds[1], 99) == 99, "fork");
	close(fds[1]);
	return pid;
}

static void end_sharer(pid_t pid)
{
	close(99);
	need(waitpid(pid, NULL, 0) == pid, "wait");
}

static uint64_t write_shared(unsigned n)
{
	char *p = map((size_t)n * PAGE);
	touch(p, n, 1, 1);
	pid_t pid = sharer();
	uint64_t t = touch(p, n, 1, 1);
	end_sharer(pid);
	munmap(p, (size_t)n * PAGE);
	return t;
}

static uint64_t write_after_sharing(unsigned n)
{
	char *p = map((size_t)n * PAGE);
	touch(p, n, 1, 1);
	end_sharer(sharer());
	uint64_t t = touch(p, n, 1, 1);
	munmap(p, (size_t)n * PAGE);
	return t;
}

static uint64_t touch_file(unsigned n, int prot, int flags, int write)
{
	char *p = map_file(prot, flags);
	uint64_t t = touch(p, n, 1, write);
	munmap(p, PAGES * PAGE);
	return t;
}

static uint64_t file_read(unsigned n)
{
	return touch_file(n, PROT_READ, MAP_PRIVATE, 0);
}

static uint64_t file_write_private(unsigned n)
{
	return touch_file(n, PROT_READ | PROT_WRITE, MAP_PRIVATE, 1);
}

static uint64_t file_write_shared(unsigned n)
{
	return touch_file(n, PROT_READ | PROT_WRITE, MAP_SHARED, 1);
}

/* The address space -------------------------------------------------------------------------------------- */

static uint64_t unmap_touched(unsigned n)
{
	char *p = map((size_t)n * PAGE);
	touch(p, n, 1, 1);
	return TIMED(1, call3(SYS_munmap, (long)p, (long)n * PAGE, 0));
}

static uint64_t dontneed_touched(unsigned n)
{
	char *p = map((size_t)n * PAGE);
	touch(p, n, 1, 1);
	uint64_t t = TIMED(1, call3(SYS_madvise, (long)p, (long)n * PAGE, MADV_DONTNEED));
	munmap(p, (size_t)n * PAGE);
	return t;
}

static inline char *quick_map(size_t size)
{
	return (char *)call6(
	    SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static uint64_t map_unmap(unsigned n)
{
	return TIMED(n, call3(SYS_munmap, (long)quick_map(PAGE), PAGE, 0));
}

static uint64_t map_touch_unmap(unsigned n)
{
	return TIMED(n, char *p = quick_map(PAGE); *(volatile char *)p = 1;
		     call3(SYS_munmap, (long)p, PAGE, 0));
}

static uint64_t map_unmap_big(unsigned n)
{
	return TIMED(n, call3(SYS_munmap, (long)quick_map(BIG), BIG, 0));
}

static uint64_t protect_all(unsigned n)
{
	char *p = map(16 * PAGE);
	touch(p, 16, 1, 1);
	uint64_t t =
	    TIMED(n, call3(SYS_mprotect, (long)p, 16 * PAGE, i_ & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
	munmap(p, 16 * PAGE);
	return t;
}

static uint64_t protect_middle(unsigned n)
{
	char *p = map(16 * PAGE);
	touch(p, 16, 1, 1);
	uint64_t t = TIMED(
	    n, call3(SYS_mprotect, (long)p + 8 * PAGE, PAGE, i_ & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
	munmap(p, 16 * PAGE);
	return t;
}

static uint64_t grow_shrink(unsigned n)
{
	char *p = map(16 * PAGE);
	uint64_t t =
	    TIMED(n, p = (char *)call6(SYS_mremap, (long)p, 16 * PAGE, 32 * PAGE, MREMAP_MAYMOVE, 0, 0);
		  call6(SYS_mremap, (long)p, 32 * PAGE, 16 * PAGE, 0, 0, 0));
	munmap(p, 16 * PAGE);
	return t;
}

static uint64_t move_break(unsigned n)
{
	long end = call3(SYS_brk, 0, 0, 0);
	return TIMED(n, call3(SYS_brk, end + CHUNK, 0, 0); call3(SYS_brk, end, 0, 0));
}

static uint64_t move_break_touch(unsigned n)
{
	long end = call3(SYS_brk, 0, 0, 0);
	return TIMED(n, call3(SYS_brk, end + CHUNK, 0, 0); touch((char *)end, CHUNK / PAGE, 1, 1);
		     call3(SYS_brk, end, 0, 0));
}

/* Processes ---------------------------------------------------------------------------------------------- */

static inline void reap(long pid)
{
	need(pid > 0 && call6(SYS_wait4, pid, 0, 0, 0, 0, 0) == pid, "wait4");
}

static uint64_t fork_wait(unsigned n)
{
	return TIMED(n, long pid = call3(SYS_fork, 0, 0, 0); if (!pid) call3(SYS_exit_group, 0, 0, 0);
		     reap(pid));
}

static uint64_t fork_wait_resident(unsigned n)
{
	char *p = map(RESIDENT);
	touch(p, RESIDENT / PAGE, 1, 1);
	uint64_t t = fork_wait(n);
	munmap(p, RESIDENT);
	return t;
}

/* The child returns from the call on the stack that it shares: nothing between the two calls may use it. */
static inline long vfork_exit(void)
{
	long pid = SYS_vfork;
	__asm__ volatile(
	    "syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov %1, %%eax\n\txor %%edi, %%edi\n\tsyscall\n1:"
	    : "+a"(pid)
	    : "i"(SYS_exit_group)
	    : "rcx", "r11", "rdi", "memory");
	return pid;
}

static uint64_t vfork_wait(unsigned n)
{
	return TIMED(n, reap(vfork_exit()));
}

static long run_self(long nr)
{
	static char *const arguments[] = {self, exit_word, NULL};
	static char *const environment[] = {NULL};
	long pid = call3(nr, 0, 0, 0);
	if (!pid) {
		call3(SYS_execve, (long)self, (long)arguments, (long)environment);
		call3(SYS_exit_group, 1, 0, 0);
	}
	return pid;
}

static uint64_t fork_exec_wait(unsigned n)
{
	return TIMED(n, reap(run_self(SYS_fork)));
}

static long vfork_exec(char *const *arguments, char *const *environment)
{
	long pid = SYS_vfork;
	__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov %1, %%eax\n\tsyscall\n\tud2\n1:"
			 : "+a"(pid)
			 : "i"(SYS_execve), "D"(self), "S"(arguments), "d"(environment)
			 : "rcx", "r11", "memory");
	return pid;
}

static uint64_t vfork_exec_wait(unsigned n)
{
	char *const arguments[] = {self, exit_word, NULL};
	char *const environment[] = {NULL};
	return TIMED(n, reap(vfork_exec(arguments, environment)));
}

static void *thread_body(void *argument)
{
	return argument;
}

static uint64_t thread_join(unsigned n)
{
	return TIMED(n, pthread_t thread; need(!pthread_create(&thread, NULL, thread_body, NULL), "thread");
		     pthread_join(thread, NULL));
}

/* Signals ------------------------------------------------------------------------------------------------ */

static sigjmp_buf after_fault;

static void on_signal(int signal)
{
	(void)signal;
}

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(after_fault, 1);
}

static uint64_t signal_install(unsigned n)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} action = {.handler = SIG_IGN};
	return TIMED(n, call6(SYS_rt_sigaction, SIGUSR2, (long)&action, 0, 8, 0, 0));
}

static uint64_t signal_mask(unsigned n)
{
	uint64_t set = 0;
	return TIMED(n, call6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 8, 0, 0));
}

static uint64_t signal_deliver(unsigned n)
{
	signal(SIGUSR1, on_signal);
	long pid = getpid();
	return TIMED(n, call3(SYS_kill, pid, SIGUSR1, 0));
}

static uint64_t signal_accept(unsigned n)
{
	uint64_t set = 1ULL << (SIGUSR1 - 1), old;
	long pid = getpid();
	call6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, (long)&old, 8, 0, 0);
	uint64_t t =
	    TIMED(n, call3(SYS_kill, pid, SIGUSR1, 0); call6(SYS_rt_sigtimedwait, (long)&set, 0, 0, 8, 0, 0));
	call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, 8, 0, 0);
	return t;
}

static uint64_t signal_fault(unsigned n)
{
	volatile uint64_t t = 0;
	volatile unsigned left = n;
	volatile char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	sigaction(SIGSEGV, &action, NULL);
	uint64_t start = ticks();
	sigsetjmp(after_fault, 0);
	if (left-- > 0)
		*p = 1;
	t = ticks() - start;
	signal(SIGSEGV, SIG_DFL);
	munmap((char *)p, PAGE);
	return t;
}

/* Pipes, futexes, switches ------------------------------------------------------------------------------- */

static uint64_t pipe_self(unsigned n)
{
	int fds[2];
	need(!pipe(fds), "pipe");
	uint64_t t =
	    TIMED(n, call3(SYS_write, fds[1], (long)buffer, 1); call3(SYS_read, fds[0], (long)buffer, 1));
	close(fds[0]);
	close(fds[1]);
	return t;
}

static uint64_t pipe_round_trip(unsigned n)
{
	int there[2], back[2];
	need(!pipe(there) && !pipe(back), "pipe");
	pid_t pid = fork();
	if (!pid) {
		close(there[1]);
		while (call3(SYS_read, there[0], (long)buffer, 1) == 1)
			call3(SYS_write, back[1], (long)buffer, 1);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	call3(SYS_write, there[1], (long)buffer, 1);
	call3(SYS_read, back[0], (long)buffer, 1);
	uint64_t t =
	    TIMED(n, call3(SYS_write, there[1], (long)buffer, 1); call3(SYS_read, back[0], (long)buffer, 1));
	close(there[1]);
	close(back[0]);
	reap(pid);
	return t;
}

static uint64_t pipe_stream(unsigned n)
{
	int fds[2];
	need(!pipe(fds), "pipe");
	pid_t pid = fork();
	if (!pid) {
		close(fds[0]);
		for (;;)
			if (call3(SYS_write, fds[1], (long)buffer, CHUNK) <= 0)
				_exit(0);
	}
	close(fds[1]);
	uint64_t start = ticks();
	for (long left = (long)n * CHUNK; left > 0;) {
		long done = call3(SYS_read, fds[0], (long)buffer, CHUNK);
		need(done > 0, "read of a pipe");
		left -= done;
	}
	uint64_t t = ticks() - start;
	kill(pid, SIGKILL);
	reap(pid);
	close(fds[0]);
	return t;
}

/* Both of real-time priority where the kernel knows it: Linux's other scheduler mostly lets the one that
 * yields go on. Here each yield is a switch. */
static uint64_t switch_yield(unsigned n)
{
	static const struct {
		int priority;
	} fifo = {1}, other = {0};
	call3(SYS_sched_setscheduler, 0, SCHED_FIFO, (long)&fifo);
	pid_t pid = fork();
	if (!pid)
		for (;;)
			call3(SYS_sched_yield, 0, 0, 0);
	call3(SYS_sched_yield, 0, 0, 0);
	uint64_t t = TIMED(n, call3(SYS_sched_yield, 0, 0, 0));
	kill(pid, SIGKILL);
	reap(pid);
	call3(SYS_sched_setscheduler, 0, SCHED_OTHER, (long)&other);
	return t / 2; /* there and back */
}

static volatile int turn;

static uint64_t futex_wake_nobody(unsigned n)
{
	return TIMED(n, call6(SYS_futex, (long)&turn, WAKE_PRIVATE, 1, 0, 0, 0));
}

static uint64_t futex_wait_changed(unsigned n)
{
	return TIMED(n, call6(SYS_futex, (long)&turn, WAIT_PRIVATE, turn + 1, 0, 0, 0));
}

/* Wait until it is not the turn of `from`, make it `to`'s. */
static void pass_turn(int from, int to)
{
	while (turn == from)
		call6(SYS_futex, (long)&turn, WAIT_PRIVATE, from, 0, 0, 0);
	if (turn < 0)
		return;
	turn = to;
	call6(SYS_futex, (long)&turn, WAKE_PRIVATE, 1, 0, 0, 0);
}

static void *futex_partner(void *argument)
{
	while (turn >= 0)
		pass_turn(0, 0);
	return argument;
}

static uint64_t futex_round_trip(unsigned n)
{
	pthread_t thread;
	turn = 1;
	need(!pthread_create(&thread, NULL, futex_partner, NULL), "thread");
	pass_turn(1, 1);
	uint64_t t = TIMED(n, pass_turn(1, 1));
	turn = -1;
	call6(SYS_futex, (long)&turn, WAKE_PRIVATE, 1, 0, 0, 0);
	pthread_join(thread, NULL);
	turn = 0;
	return t;
}

/* Files -------------------------------------------------------------------------------------------------- */

static uint64_t file_pread(unsigned n, long size)
{
	return TIMED(n, call6(SYS_pread64, data_fd, (long)buffer, size, PAGE, 0, 0));
}

static uint64_t file_read_1(unsigned n)
{
	return file_pread(n, 1);
}

static uint64_t file_read_4k(unsigned n)
{
	return file_pread(n, PAGE);
}

static uint64_t file_read_64k(unsigned n)
{
	return file_pread(n, CHUNK);
}

static uint64_t file_write_4k(unsigned n)
{
	return TIMED(n, call6(SYS_pwrite64, data_fd, (long)buffer, PAGE, PAGE, 0, 0));
}

static uint64_t file_write_64k(unsigned n)
{
	return TIMED(n, call6(SYS_pwrite64, data_fd, (long)buffer, CHUNK, PAGE, 0, 0));
}

static uint64_t open_close(unsigned n)
{
	return TIMED(n, call3(SYS_close, call3(SYS_open, (long)data_path, O_RDONLY, 0), 0, 0));
}

static uint64_t stat_path(unsigned n)
{
	struct stat st;
	return TIMED(n, call3(SYS_stat, (long)data_path, (long)&st, 0));
}

static uint64_t stat_fd(unsigned n)
{
	struct stat st;
	return TIMED(n, call3(SYS_fstat, data_fd, (long)&st, 0));
}

static uint64_t create_remove(unsigned n)
{
	static char path[] = "/data/dir/other";
	return TIMED(n, call3(SYS_close, call3(SYS_open, (long)path, O_CREAT | O_WRONLY, 0600), 0, 0);
		     call3(SYS_unlink, (long)path, 0, 0));
}

static uint64_t duplicate(unsigned n)
{
	return TIMED(n, call3(SYS_close, call3(SYS_dup, data_fd, 0, 0), 0, 0));
}

static uint64_t poll_pipes(unsigned n, unsigned count)
{
	int fds[2];
	struct pollfd set[10];
	need(!pipe(fds), "pipe");
	for (unsigned i = 0; i < count; i++)
		set[i] = (struct pollfd){.fd = fds[0], .events = POLLIN};
	uint64_t t = TIMED(n, call3(SYS_poll, (long)set, count, 0));
	close(fds[0]);
	close(fds[1]);
	return t;
}

static uint64_t poll_1(unsigned n)
{
	return poll_pipes(n, 1);
}

static uint64_t poll_10(unsigned n)
{
	return poll_pipes(n, 10);
}

/* All of it ---------------------------------------------------------------------------------------------- */

static const struct test {
	const char *name;
	unsigned n;
	uint64_t (*run)(unsigned n);
} tests[] = {
    {"null system call", 1000, null_call},
    {"clock_gettime", 1000, read_clock},
    {"sched_yield, alone", 1000, yield_alone},
    {"fault: write, page after page", PAGES, write_sequential},
    {"fault: write, 64 MiB with huge pages", BIG / PAGE, write_big},
    {"fault: write, one page in 97", PAGES, write_sparse},
    {"fault: read, page after page", PAGES, read_sequential},
    {"fault: write of a page read before", PAGES, write_after_read},
    {"fault: write of a page that a child shares", PAGES, write_shared},
    {"fault: write of a page that a child shared", PAGES, write_after_sharing},
    {"fault: read of a cached file", PAGES, file_read},
    {"fault: write of a file's page, private", PAGES, file_write_private},
    {"fault: write of a file's page, shared", PAGES, file_write_shared},
    {"munmap, each written page", PAGES, unmap_touched},
    {"madvise DONTNEED, each written page", PAGES, dontneed_touched},
    {"mmap and munmap of 4 KiB", 200, map_unmap},
    {"mmap, write and munmap of 4 KiB", 200, map_touch_unmap},
    {"mmap and munmap of 64 MiB", 200, map_unmap_big},
    {"mprotect of a mapping of 16 pages", 200, protect_all},
    {"mprotect of a page in the middle", 200, protect_middle},
    {"mremap, grow and shrink by 64 KiB", 200, grow_shrink},
    {"brk, up and down by 64 KiB", 200, move_break},
    {"brk, up, written, and down", 200, move_break_touch},
    {"fork, exit and wait", 20, fork_wait},
    {"fork, exit and wait, 16 MiB resident", 5, fork_wait_resident},
    {"vfork, exit and wait", 20, vfork_wait},
    {"fork, exec, exit and wait", 10, fork_exec_wait},
    {"vfork, exec, exit and wait", 10, vfork_exec_wait},
    {"thread, create and join", 50, thread_join},
    {"signal: install a handler", 1000, signal_install},
    {"signal: change the mask", 1000, signal_mask},
    {"signal: send, handle and return", 500, signal_deliver},
    {"signal: send and accept", 500, signal_accept},
    {"signal: handle a bad access", 200, signal_fault},
    {"pipe: 1 byte to itself", 500, pipe_self},
    {"pipe: 1 byte to another process and back", 500, pipe_round_trip},
    {"pipe: 64 KiB from another process", 50, pipe_stream},
    {"sched_yield, to another process", 500, switch_yield},
    {"futex: wake nobody", 1000, futex_wake_nobody},
    {"futex: wait for what has changed", 1000, futex_wait_changed},
    {"futex: to another thread and back", 500, futex_round_trip},
    {"read 1 byte of a file", 500, file_read_1},
    {"read 4 KiB of a file", 500, file_read_4k},
    {"read 64 KiB of a file", 100, file_read_64k},
    {"write 4 KiB of a file", 500, file_write_4k},
    {"write 64 KiB of a file", 100, file_write_64k},
    {"open and close", 200, open_close},
    {"create, close and unlink", 200, create_remove},
    {"stat", 500, stat_path},
    {"fstat", 500, stat_fd},
    {"dup and close", 500, duplicate},
    {"poll 1 pipe", 500, poll_1},
    {"poll 10 pipes", 500, poll_10},
};

static uint64_t empty_loop(unsigned n)
{
	return TIMED(n, __asm__ volatile(""));
}

static void prepare(void)
{
	need(!mkdir("/data", 0755) && !mkdir("/data/dir", 0755), "mkdir");
	data_fd = open(data_path, O_RDWR | O_CREAT, 0644);
	need(data_fd >= 0, "open");
	memset(buffer, 1, sizeof buffer);
	for (unsigned i = 0; i < PAGES * PAGE / CHUNK; i++)
		need(write(data_fd, buffer, CHUNK) == CHUNK, "write");
}

static void run_all(const char *pattern)
{
	prepare();
	for (const struct test *test = tests; test < tests + sizeof tests / sizeof *tests; test++) {
		uint64_t best = UINT64_MAX;
		if (pattern && !strstr(test->name, pattern))
			continue;
		for (int round = 0; round < ROUNDS; round++) {
			uint64_t t = test->run(test->n), loop = empty_loop(test->n);
			t = t > loop ? t - loop : 0;
			best = t < best ? t : best;
		}
		printf("compare %s = %llu\n", test->name, (unsigned long long)(best / test->n));
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	if (getpid() != 1) {
		run_all(argc > 1 ? argv[1] : NULL);
		return 0;
	}
	pid_t pid = fork();
	if (!pid) {
		run_all(argc > 1 ? argv[1] : NULL);
		return 0;
	}
	while (wait(NULL) != pid)
		;
	printf("compare done\n");
	fflush(stdout);
	return reboot(RB_AUTOBOOT);
}
