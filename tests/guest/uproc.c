/*
 * uproc.c - processes: fork, exec, exit, wait, kill, the start of a program, and the errors of these and of
 * the memory calls.
 */
#include <elf.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include "utap.h"

enum { PAGE = 4096 };
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

extern char **environ;
static const char *self; /* path of this program */

static int exit_with(void *arg)
{
	return *(int *)arg;
}

static bool exit_codes(void)
{
	for (int code = 0; code < 256; code += 51)
		CHECK(child_exits(exit_with, &code, code));
	int big = 0x1234;
	CHECK(child_exits(exit_with, &big, 0x34));
	return true;
}

static int thread_exit_only(void *arg)
{
	syscall(SYS_exit, *(int *)arg);
	return 99;
}

static bool exit_of_the_only_thread(void)
{
	int code = 7;
	CHECK(child_exits(thread_exit_only, &code, 7));
	return true;
}

static bool wait_errors(void)
{
	int status;
	CHECK(FAILS_WITH(waitpid(-1, &status, 0), ECHILD));
	CHECK(FAILS_WITH(waitpid(-1, &status, WNOHANG), ECHILD));
	CHECK(FAILS_WITH(waitpid(1 << 20, &status, 0), ECHILD));
	CHECK(FAILS_WITH(syscall(SYS_wait4, -1, &status, 0x100, NULL), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_wait4, (int)0x80000000, &status, 0, NULL), ESRCH));
	return true;
}

static bool wait_for_one_of_many(void)
{
	pid_t pids[8];
	int status;
	fflush(stdout);
	for (int i = 0; i < 8; i++)
		if ((pids[i] = fork()) == 0)
			_exit(i);
	for (int i = 7; i >= 0; i--) {
		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == i);
		CHECK(FAILS_WITH(waitpid(pids[i], &status, 0), ECHILD));
	}
	return true;
}

static bool wait_without_hanging(void)
{
	int status = -1;
	struct rusage usage;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			sched_yield();
	CHECK(waitpid(pid, &status, WNOHANG) == 0 && status == -1);
	CHECK(kill(pid, 0) == 0);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(wait4(pid, &status, 0, &usage) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(usage.ru_utime.tv_sec >= 0 && usage.ru_utime.tv_usec < 1000000);
	CHECK(FAILS_WITH(kill(pid, 0), ESRCH));
	return true;
}

static int kill_self(void *arg)
{
	kill(getpid(), *(int *)arg);
	return 3;
}

static bool default_actions(void)
{
	static const int deadly[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE, SIGALRM, SIGTERM};
	static const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
	for (size_t i = 0; i < sizeof(deadly) / sizeof(int); i++)
		CHECK(child_dies(kill_self, (void *)&deadly[i], deadly[i]));
	for (size_t i = 0; i < sizeof(ignored) / sizeof(int); i++)
		CHECK(child_exits(kill_self, (void *)&ignored[i], 3));
	CHECK(FAILS_WITH(kill(getpid(), 65), EINVAL));
	CHECK(FAILS_WITH(kill(getpid(), -1), EINVAL));
	CHECK(FAILS_WITH(kill(1 << 20, SIGTERM), ESRCH));
	return true;
}

static int sleep_long(void *arg)
{
	struct timespec ts = {1000, 0};
	(void)arg;
	nanosleep(&ts, NULL);
	return 1;
}

static bool kill_a_sleeper(void)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(sleep_long(NULL));
	struct timespec ts = {0, 20000000};
	CHECK(nanosleep(&ts, NULL) == 0);
	CHECK(kill(pid, SIGTERM) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	return true;
}

static int divide(void *arg)
{
	int quotient = 1;
	__asm__ volatile("cltd; idivl %1" : "+a"(quotient) : "r"(*(int *)arg) : "edx");
	return quotient;
}
static int undefined(void *arg)
{
	(void)arg;
	__asm__ volatile("ud2");
	return 0;
}
static int breakpoint(void *arg)
{
	(void)arg;
	__asm__ volatile("int3");
	return 0;
}

static bool processor_exceptions(void)
{
	int zero = 0;
	CHECK(child_dies(divide, &zero, SIGFPE));
	CHECK(child_dies(undefined, NULL, SIGILL));
	CHECK(child_dies(breakpoint, NULL, SIGTRAP));
	return true;
}

static _Atomic int *shared;

static bool orphans_go_on(void)
{
	int status;
	*shared = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		pid_t parent = getpid();
		if (fork() == 0) {
			while (getppid() == parent)
				sched_yield();
			*shared = 1;
			_exit(0);
		}
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	while (*shared == 0)
		sched_yield();
	return true;
}

static bool identity(void)
{
	pid_t me = getpid();
	CHECK(me > 0 && (pid_t)syscall(SYS_gettid) == me);
	CHECK((pid_t)syscall(SYS_set_tid_address, NULL) == me);
	fflush(stdout);
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(getppid() == me && getpid() != me && syscall(SYS_gettid) == getpid() ? 0 : 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(getuid() == 0 && geteuid() == 0 && getgid() == 0 && getegid() == 0);
	return true;
}

/* --- the start of a program ----------------------------------------------------------------------------- */

static int run_self(char *const argv[], char *const envp[])
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execve(self, argv, envp);
		_exit(120);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* What a re-executed copy checks about itself. */
static int check_start(int argc, char **argv)
{
	if (argc != 4 || strcmp(argv[2], "two words") || strcmp(argv[3], "") || argv[4])
		return 1;
	if (!environ[0] || strcmp(environ[0], "A=1") || strcmp(environ[1], "B=") || environ[2])
		return 2;
	if (getauxval(AT_PAGESZ) != PAGE || getauxval(AT_PHENT) != sizeof(Elf64_Phdr) ||
	    getauxval(AT_CLKTCK) != 100)
		return 3;
	Elf64_Phdr *ph = (Elf64_Phdr *)getauxval(AT_PHDR);
	Elf64_Ehdr *eh = (Elf64_Ehdr *)((char *)ph - sizeof(Elf64_Ehdr));
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_phnum != getauxval(AT_PHNUM) ||
	    eh->e_entry != getauxval(AT_ENTRY))
		return 4;
	if (strcmp((char *)getauxval(AT_EXECFN), self) || strcmp((char *)getauxval(AT_PLATFORM), "x86_64"))
		return 5;
	unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
	int bits = 0;
	for (int i = 0; i < 16; i++)
		bits |= random[i];
	if (!bits || getauxval(AT_SECURE) || !(getauxval(AT_HWCAP) & 1))
		return 6;
	return (uintptr_t)__builtin_frame_address(0) % 16 ? 7 : 0;
}

static bool exec_passes_everything(void)
{
	char *argv[] = {(char *)self, "start", "two words", "", NULL};
	char *envp[] = {"A=1", "B=", NULL};
	CHECK(run_self(argv, envp) == 0);
	return true;
}

static bool exec_with_many_arguments(void)
{
	enum { COUNT = 5000 };
	static char *argv[COUNT + 3];
	static char text[COUNT][8];
	argv[0] = (char *)self;
	argv[1] = "count";
	for (int i = 0; i < COUNT; i++) {
		snprintf(text[i], sizeof(text[i]), "%d", i);
		argv[i + 2] = text[i];
	}
	CHECK(run_self(argv, argv + 2) == 0);
	return true;
}

static int check_count(int argc, char **argv)
{
	char expected[16];
	for (int i = 2; i < argc; i++) {
		snprintf(expected, sizeof(expected), "%d", i - 2);
		if (strcmp(argv[i], expected) || strcmp(environ[i - 2], expected))
			return 2;
	}
	return argc == 5002 && !environ[5000] ? 0 : 1;
}

static bool failed_exec_changes_nothing(void)
{
	static char huge[200 << 10];
	static char long_path[5000];
	volatile int local = 42;
	char *argv[] = {(char *)self, NULL};
	char *bad[] = {(char *)self, (char *)16, NULL};
	char *big[] = {(char *)self, huge, NULL};
	memset(huge, 'x', sizeof(huge) - 1);
	memset(long_path, 'x', sizeof(long_path) - 1);
	CHECK(FAILS_WITH(execve("/no/such/file", argv, NULL), ENOENT));
	CHECK(FAILS_WITH(execve("", argv, NULL), ENOENT));
	CHECK(FAILS_WITH(execve(long_path, argv, NULL), ENAMETOOLONG));
	CHECK(FAILS_WITH(syscall(SYS_execve, 16, argv, NULL), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_execve, self, 16, NULL), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_execve, self, argv, 16), EFAULT));
	CHECK(FAILS_WITH(execve(self, bad, NULL), EFAULT));
	CHECK(FAILS_WITH(execve(self, big, NULL), E2BIG));
	CHECK(local == 42);
	return true;
}

static bool exec_drops_the_old_memory(void)
{
	char *argv[] = {(char *)self, "memory", NULL};
	/* A fixed address in the middle of nowhere, which a new program does not have. */
	char *p = mmap((void *)0x10000000000, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	CHECK(p != MAP_FAILED);
	*p = 1;
	CHECK(run_self(argv, environ) == 0);
	CHECK(*p == 1);
	CHECK(munmap(p, PAGE) == 0);
	return true;
}

static int touch_old(void *arg)
{
	(void)arg;
	return *(volatile char *)0x10000000000;
}

/* --- errors of the memory calls ------------------------------------------------------------------------- */

static bool mmap_errors(void)
{
	char *p = mmap(NULL, 3 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(FAILS_WITH(mmap(NULL, 0, RW, ANON, -1, 0), EINVAL));
	CHECK(FAILS_WITH(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_mmap, NULL, PAGE, RW, ANON, -1, 12), EINVAL));
	CHECK(FAILS_WITH(mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL));
	CHECK(FAILS_WITH(mmap(NULL, PAGE, RW, MAP_PRIVATE, 77, 0), EBADF));
	CHECK(FAILS_WITH(syscall(SYS_mmap, NULL, 1UL << 47, RW, ANON, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(syscall(SYS_mmap, NULL, -1UL, RW, ANON, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(mmap((void *)0x7ffffffff000, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(mmap((void *)0xffff800000000000, PAGE, RW, ANON | MAP_FIXED, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST));
	CHECK(munmap(p + PAGE, PAGE) == 0);
	CHECK(mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + PAGE);
	CHECK(munmap(p, 3 * PAGE) == 0);
	CHECK(mmap(p, PAGE, RW, ANON, -1, 0) == p); /* a free hint is taken */
	char *other = mmap(p, PAGE, RW, ANON, -1, 0);
	CHECK(other != MAP_FAILED && other != p); /* one in use is not */
	CHECK(munmap(p, PAGE) == 0 && munmap(other, PAGE) == 0);
	return true;
}

static bool munmap_and_mprotect_errors(void)
{
	char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(FAILS_WITH(munmap(p + 1, PAGE), EINVAL));
	CHECK(FAILS_WITH(munmap(p, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_munmap, p, -1L), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_munmap, 0xffff800000000000, PAGE), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_mprotect, p + 1, PAGE, PROT_READ), EINVAL));
	CHECK(FAILS_WITH(mprotect(p, PAGE, 0x10), EINVAL));
	CHECK(mprotect(p, 0, PROT_READ) == 0);
	CHECK(mprotect(p, 1, PROT_READ) == 0 && mprotect(p, PAGE, RW) == 0);
	CHECK(munmap(p + 2 * PAGE, PAGE) == 0);
	CHECK(FAILS_WITH(mprotect(p + 2 * PAGE, PAGE, PROT_READ), ENOMEM));
	CHECK(FAILS_WITH(syscall(SYS_mprotect, p, -PAGE, PROT_READ), ENOMEM));
	CHECK(FAILS_WITH(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL));
	CHECK(FAILS_WITH(madvise(p, PAGE, 12345), EINVAL));
	CHECK(madvise(p, PAGE, MADV_WILLNEED) == 0 && madvise(p, PAGE, MADV_RANDOM) == 0);
	CHECK(FAILS_WITH(madvise(p, 4 * PAGE, MADV_NORMAL), ENOMEM));
	CHECK(munmap(p, 4 * PAGE) == 0);
	CHECK(munmap(p, 4 * PAGE) == 0); /* nothing there: fine */
	return true;
}

/* --- other calls ---------------------------------------------------------------------------------------- */

static bool clocks(void)
{
	struct timespec a, b, res, nap = {0, 3000000};
	CHECK(clock_gettime(CLOCK_MONOTONIC, &a) == 0);
	CHECK(nanosleep(&nap, NULL) == 0);
	CHECK(clock_gettime(CLOCK_MONOTONIC, &b) == 0);
	CHECK((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= 3000000);
	b.tv_nsec = b.tv_nsec < 990000000 ? b.tv_nsec + 2000000 : b.tv_nsec;
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &b, NULL) == 0);
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, NULL) == 0);  /* in the past */
	CHECK(clock_gettime(CLOCK_REALTIME, &a) == 0 && a.tv_sec > 1700000000); /* after 2023 */
	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a) == 0 &&
	      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a) == 0);
	CHECK(clock_getres(CLOCK_MONOTONIC, &res) == 0 && res.tv_sec == 0);
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, 99, &a), EINVAL));
	nap.tv_nsec = 1000000000;
	CHECK(FAILS_WITH(nanosleep(&nap, NULL), EINVAL));
	nap.tv_nsec = 0;
	nap.tv_sec = -1;
	CHECK(FAILS_WITH(nanosleep(&nap, NULL), EINVAL));
	return true;
}

static bool random_bytes_differ(void)
{
	unsigned char a[300], b[300];
	CHECK(getrandom(a, sizeof(a), 0) == sizeof(a) && getrandom(b, sizeof(b), GRND_NONBLOCK) == sizeof(b));
	CHECK(memcmp(a, b, sizeof(a)) != 0);
	int ones = 0;
	for (size_t i = 0; i < sizeof(a); i++)
		ones += __builtin_popcount(a[i]);
	CHECK(ones > 1000 && ones < 1400); /* of 2400; ten standard deviations are 245 */
	CHECK(FAILS_WITH(getrandom(a, 1, 0x80), EINVAL));
	CHECK(getrandom(a, 0, 0) == 0);
	return true;
}

static bool names_and_descriptors(void)
{
	struct utsname u;
	CHECK(uname(&u) == 0 && !strcmp(u.sysname, "Linux") && !strcmp(u.machine, "x86_64") &&
	      u.release[0] >= '3');
	CHECK(FAILS_WITH(write(77, "x", 1), EBADF) && FAILS_WITH(read(77, &u, 1), EBADF));
	CHECK(FAILS_WITH(write(1, (void *)16, 5), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_ioctl, 77, 0x5413, &u), EBADF));
	struct iovec v[3] = {{"# one ", 6}, {NULL, 0}, {"line\n", 5}};
	CHECK(writev(1, v, 3) == 11);
	CHECK(writev(1, v, 0) == 0);
	CHECK(FAILS_WITH(writev(1, v, -1), EINVAL) && FAILS_WITH(writev(1, v, 1025), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_writev, 1, 16, 1), EFAULT));
	v[1].iov_len = (size_t)1 << 63;
	CHECK(FAILS_WITH(writev(1, v, 3), EINVAL));
	return true;
}

static __thread int tls = 5;

static int change_tls(void *arg)
{
	tls = *(int *)arg;
	return tls;
}

static bool thread_pointer(void)
{
	unsigned long fs = 0, gs = 1;
	CHECK(syscall(SYS_arch_prctl, 0x1003, &fs) == 0 && fs != 0);
	CHECK(syscall(SYS_arch_prctl, 0x1002, fs) == 0 && tls == 5);
	CHECK(syscall(SYS_arch_prctl, 0x1001, 0x123456789000) == 0);
	CHECK(syscall(SYS_arch_prctl, 0x1004, &gs) == 0 && gs == 0x123456789000);
	CHECK(FAILS_WITH(syscall(SYS_arch_prctl, 0x1002, 0xffff800000000000), EPERM));
	CHECK(FAILS_WITH(syscall(SYS_arch_prctl, 0x1001, 1UL << 62), EPERM));
	CHECK(FAILS_WITH(syscall(SYS_arch_prctl, 0x1003, 16), EFAULT));
	int six = 6;
	CHECK(child_exits(change_tls, &six, 6) && tls == 5);
	CHECK(syscall(SYS_arch_prctl, 0x1004, &gs) == 0 && gs == 0x123456789000);
	return true;
}

int main(int argc, char **argv)
{
	self = (const char *)getauxval(AT_EXECFN);
	if (argc > 1 && !strcmp(argv[1], "start"))
		return check_start(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "count"))
		return check_count(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "memory"))
		return child_dies(touch_old, NULL, SIGSEGV) ? 0 : 1;
	static const struct utest tests[] = {
	    {"exit codes", exit_codes},
	    {"exit of the only thread", exit_of_the_only_thread},
	    {"errors of wait", wait_errors},
	    {"wait for one of many", wait_for_one_of_many},
	    {"wait without hanging, and a kill", wait_without_hanging},
	    {"signals' default actions", default_actions},
	    {"kill a sleeper", kill_a_sleeper},
	    {"processor exceptions", processor_exceptions},
	    {"orphans go on", orphans_go_on},
	    {"who am I", identity},
	    {"exec passes arguments, environment and auxiliary vector", exec_passes_everything},
	    {"exec with many arguments", exec_with_many_arguments},
	    {"an exec that fails changes nothing", failed_exec_changes_nothing},
	    {"exec drops the old memory", exec_drops_the_old_memory},
	    {"errors of mmap", mmap_errors},
	    {"errors of munmap, mprotect and madvise", munmap_and_mprotect_errors},
	    {"clocks and sleeping", clocks},
	    {"random bytes", random_bytes_differ},
	    {"names and descriptors", names_and_descriptors},
	    {"the thread pointer", thread_pointer},
	};
	shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED ? 2 : UTEST_RUN(tests);
}
