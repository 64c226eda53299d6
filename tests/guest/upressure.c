/*
 * upressure.c - memory is short, in every way that it can become so: for a small machine
 * (tests/stress/pressure-*.case). Nobody hangs, who has most goes, who is protected stays, and afterwards as
 * many frames are free as before. Not for the host's Linux: it would do to it what it does here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "utap.h"
#include "uusage.h"

enum {
	MIB = 1 << 20,
	PAGE = 4096,
	PIPES = 1000,
	WORKERS = 6,
	WORK_ROUNDS = 12,
};

/* --- what the kernel says --- */

static bool put(const char *path, const char *s)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, s, strlen(s)) == (ssize_t)strlen(s);
	if (fd >= 0)
		close(fd);
	return ok;
}

static long long field(const char *path, const char *name)
{
	long long value = -1;
	char *at = slurp(path) ? strstr(text, name) : NULL;
	if (at)
		(void)sscanf(at + strlen(name), "%lld", &value);
	return value;
}

static long long meminfo(const char *name)
{
	return field("/proc/meminfo", name);
}

static long long killings(void)
{
	return field("/proc/vmstat", "oom_kill ");
}

/* Twice: so that what this takes of memory is there as well. */
static bool begin(struct usage *u)
{
	return usage_take(u) && usage_take(u);
}

static bool adjust(int value)
{
	char s[16];
	snprintf(s, sizeof(s), "%d", value);
	return put("/proc/self/oom_score_adj", s);
}

/* The main program is protected, and its children would be. */
static int (*to_run)(void *arg);

static int unprotected(void *arg)
{
	UCHECK(adjust(0));
	return to_run(arg);
}

static int status_of(int (*fn)(void *arg))
{
	to_run = fn;
	return child_status(unprotected, NULL);
}

static bool is_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* --- ways to want memory --- */

static char *map_some(size_t len)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void touch(char *p, size_t len)
{
	for (size_t i = 0; i < len; i += PAGE)
		p[i] = 1;
}

static int by_touching(void *arg)
{
	(void)arg;
	char *p = map_some(1024 * (size_t)MIB);
	UCHECK(p != MAP_FAILED);
	touch(p, 1024 * (size_t)MIB);
	return 1;
}

/* The kernel writes to it. */
static int by_reading(void *arg)
{
	(void)arg;
	char *p = map_some(1024 * (size_t)MIB);
	int zero = open("/dev/zero", O_RDONLY);
	UCHECK(p != MAP_FAILED && zero >= 0);
	for (size_t at = 0; at < 1024 * (size_t)MIB;) {
		ssize_t n = read(zero, p + at, 64 * MIB);
		UCHECK(n > 0);
		at += (size_t)n;
	}
	return 1;
}

static int by_heap(void *arg)
{
	(void)arg;
	for (;;) {
		char *p = malloc(MIB);
		if (!p)
			return 1;
		memset(p, 1, MIB);
	}
}

/* It grows its stack. */
static int by_recursion(int depth)
{
	volatile char frame[64 << 10];
	for (size_t i = 0; i < sizeof(frame); i += PAGE)
		frame[i] = (char)depth;
	return depth ? by_recursion(depth - 1) + frame[0] : 0;
}

static int by_stack(void *arg)
{
	(void)arg;
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	UCHECK(!setrlimit(RLIMIT_STACK, &all));
	(void)by_recursion(16000);
	return 1;
}

/* A tree of processes, each with memory of its own: the parent of all is the smallest of them. */
static int by_forking(void *arg)
{
	(void)arg;
	for (int i = 0; i < 64; i++) {
		pid_t pid = fork();
		if (pid < 0)
			break;
		if (pid == 0) {
			char *p = map_some(4 * MIB);
			if (p != MAP_FAILED)
				touch(p, 4 * MIB);
			pause();
			_exit(0);
		}
	}
	kill(0, SIGKILL);
	return 1;
}

static int in_own_group(int (*fn)(void *arg))
{
	pid_t pid = fork();
	int status = -1;
	if (pid == 0) {
		setpgid(0, 0);
		to_run = fn;
		_exit(unprotected(NULL));
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* --- tests --- */

static bool dies_alone(int (*fn)(void *arg))
{
	struct usage before;
	CHECK(is_killed(status_of(fn))); /* once, so that caches hold what they will hold */
	long long kills = killings();
	CHECK(begin(&before));
	CHECK(kills >= 0);
	CHECK(is_killed(status_of(fn)));
	CHECK(killings() > kills);
	CHECK(nothing_is_left(&before));
	return true;
}

static bool test_touching(void)
{
	return dies_alone(by_touching);
}

static bool test_reading(void)
{
	return dies_alone(by_reading);
}

static bool test_heap(void)
{
	return dies_alone(by_heap);
}

static bool test_stack(void)
{
	return dies_alone(by_stack);
}

static bool test_forking(void)
{
	struct usage before;
	CHECK(begin(&before));
	int status = in_own_group(by_forking);
	CHECK(is_killed(status));
	CHECK(nothing_is_left(&before));
	return true;
}

/* A child that has some memory, with a score, and says when it has it. */
static pid_t holder(size_t len, int score, int *ready)
{
	int fds[2];
	char c = 0;
	if (pipe(fds))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		char *p = map_some(len);
		if (p == MAP_FAILED || !adjust(score))
			_exit(2);
		touch(p, len);
		(void)!write(fds[1], &c, 1);
		for (;;)
			pause();
	}
	*ready = read(fds[0], &c, 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static bool is_alive(pid_t pid)
{
	int status;
	return waitpid(pid, &status, WNOHANG) == 0;
}

static bool ends_by_kill(pid_t pid)
{
	int status = 0;
	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && is_killed(status);
}

/* Who has most goes; the protected one has more and stays; the one that offered itself goes although it has
 * less. */
static bool test_scores(void)
{
	struct usage before;
	CHECK(begin(&before));
	int ready[2] = {0, 0};
	size_t big = (size_t)(meminfo("MemTotal:") / 4) * 1024;
	pid_t safe = holder(big, -1000, &ready[0]), offered = holder(MIB, 1000, &ready[1]);
	CHECK(ready[0] && ready[1]);
	int gone = -1;
	CHECK(is_killed(status_of(by_touching)));
	CHECK(waitpid(offered, &gone, 0) == offered && is_killed(gone));
	CHECK(is_alive(safe));
	CHECK(ends_by_kill(safe));
	CHECK(nothing_is_left(&before));
	return true;
}

/* The memory of this program and the stack that the tests need are there, and nobody else's: before they
 * compare anything, and before there is none left for a copy of what a fork has shared. */
static void touch_own_memory(void)
{
	extern char __bss_start[], _end[]; /* of the linker */
	volatile char deep[64 << 10];
	for (volatile char *p = __bss_start; p < _end; p += PAGE)
		*p = *p;
	_end[-1] = _end[-1];
	for (size_t i = 0; i < sizeof(deep); i += PAGE)
		deep[i] = 0;
}

static void note_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	_exit(signal == SIGBUS && info->si_code == BUS_ADRERR ? 42 : 3);
}

/* Nobody is left to be ended: the access fails, the call says ENOMEM or EFAULT, and the program lives on. */
static int protected_hog(void *arg)
{
	struct sigaction a = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO};
	UCHECK(!sigaction(SIGBUS, &a, NULL) && adjust(-1000));
	touch_own_memory(); /* the handler's frame wants a page of the stack */
	char *p = map_some(1024 * (size_t)MIB);
	UCHECK(p != MAP_FAILED);
	if (arg) {
		int zero = open("/dev/zero", O_RDONLY);
		for (size_t at = 0; at < 1024 * (size_t)MIB; at += MIB) {
			ssize_t n = read(zero, p + at, MIB);
			if (n == MIB)
				continue;
			UCHECK(n >= 0 || errno == EFAULT || errno == ENOMEM);
			return 42;
		}
	}
	touch(p, 1024 * (size_t)MIB);
	return 1;
}

static bool test_nobody_left(void)
{
	struct usage before;
	CHECK(begin(&before));
	int status = child_status(protected_hog, NULL);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	status = child_status(protected_hog, "");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	CHECK(nothing_is_left(&before));
	return true;
}

/* Pages of pipes belong to nobody: who fills them with them runs out, and nobody else. */
static int by_pipes(void *arg)
{
	static char page[PAGE];
	struct rlimit many = {2 * PIPES + 16, 2 * PIPES + 16};
	(void)arg;
	UCHECK(!setrlimit(RLIMIT_NOFILE, &many) && adjust(1000));
	char *p = map_some(2 * MIB);
	touch(p, 2 * MIB);
	for (int i = 0; i < PIPES; i++) {
		int fds[2];
		UCHECK(!pipe2(fds, O_NONBLOCK));
		while (write(fds[1], page, sizeof(page)) > 0)
			;
	}
	return 1;
}

static bool test_pipes(void)
{
	struct usage before;
	CHECK(begin(&before));
	CHECK(is_killed(status_of(by_pipes)));
	CHECK(nothing_is_left(&before));
	return true;
}

/* --- all at once --- */

static const char *file_of(int number)
{
	static char path[64];
	snprintf(path, sizeof(path), "/tmp/pressure-%d", number);
	return path;
}

/* What a worker left that was killed between making it and removing it. */
static void remove_file(int number)
{
	(void)unlink(file_of(number));
}

static int write_file(int number)
{
	const char *path = file_of(number);
	static char bytes[64 << 10];
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
	UCHECK(fd >= 0 || errno == ENOMEM || errno == ENOSPC);
	if (fd < 0)
		return 0;
	UCHECK(!unlink(path)); /* now: the worker may not live to do it; nor even for this */
	for (int i = 0; i < 16; i++) {
		memset(bytes, i, sizeof(bytes));
		if (write(fd, bytes, sizeof(bytes)) < 0) {
			UCHECK(errno == ENOSPC || errno == ENOMEM);
			break;
		}
	}
	close(fd);
	return 0;
}

static int run_program(void *arg)
{
	char *const args[] = {"upressure", "exit", NULL};
	execve(arg, args, (char *const[]){NULL});
	return errno == ENOMEM ? 0 : 4;
}

static const char *self;

/* Memory, files, children, programs, over and over; each failure is one of memory. */
static int work(int number)
{
	for (int i = 0; i < WORK_ROUNDS; i++) {
		size_t len = (size_t)(3 + (number + i) % 5) * MIB;
		char *p = map_some(len);
		UCHECK(p != MAP_FAILED);
		touch(p, len);
		UCHECK(write_file(number) == 0);
		pid_t pid = fork();
		UCHECK(pid >= 0 || errno == ENOMEM || errno == EAGAIN);
		if (pid == 0) {
			touch(p, len / 2);
			_exit(run_program((void *)self));
		}
		int status = 0;
		while (pid > 0 && waitpid(pid, &status, 0) < 0)
			UCHECK(errno == EINTR);
		UCHECK(status == 0 || is_killed(status));
		munmap(p, len);
	}
	return 0;
}

static bool test_all_at_once(void)
{
	pid_t pids[WORKERS];
	struct usage before;
	CHECK(begin(&before));
	for (int i = 0; i < WORKERS; i++) {
		fflush(stdout);
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(adjust(0) ? work(i) : 5);
	}
	for (int i = 0; i < WORKERS; i++) {
		int status = -1;
		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK(status == 0 || is_killed(status));
		remove_file(i);
	}
	CHECK(nothing_is_left(&before));
	return true;
}

static const struct utest tests[] = {
    {"touching more than there is", test_touching},
    {"having the kernel write more than there is", test_reading},
    {"a heap that grows without end", test_heap},
    {"a stack that grows without end", test_stack},
    {"processes that have more together than there is", test_forking},
    {"pipes", test_pipes},
    {"who goes first", test_scores},
    {"nobody is left", test_nobody_left},
    {"all at once", test_all_at_once},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	self = "/bin/upressure";
	mkdir("/tmp", 01777);
	if (!utest_proc() || !adjust(-1000)) {
		perror("oom_score_adj");
		return 1;
	}
	touch_own_memory();
	return UTEST_RUN(tests);
}
