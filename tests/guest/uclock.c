/* uclock.c - clocks, sleeping by them, and what a process has used of the CPU. All of it holds on Linux as
 * well. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include "utap.h"

#define MS 1000000LL

static long long ns_of(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
/* By the system call itself: the C library may ask the vDSO. */
static long long now(clockid_t c)
{
	struct timespec t;
	return syscall(SYS_clock_gettime, c, &t) ? -1 : ns_of(t);
}
static struct timespec spec(long long ns)
{
	return (struct timespec){ns / 1000000000, ns % 1000000000};
}
static long raw_sleep(clockid_t c, int flags, const struct timespec *t, struct timespec *rest)
{
	return syscall(SYS_clock_nanosleep, c, flags, t, rest);
}
static void burn(long long ns)
{
	long long end = now(CLOCK_THREAD_CPUTIME_ID) + ns;
	while (now(CLOCK_THREAD_CPUTIME_ID) < end)
		for (volatile int i = 0; i < 20000; i++)
			;
}
static void nothing(int s)
{
	(void)s;
}
static void handle(int s, int flags)
{
	struct sigaction a = {.sa_handler = nothing, .sa_flags = flags};
	sigaction(s, &a, NULL);
}

static bool test_all_clocks(void)
{
	static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
	    CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE,
	    CLOCK_BOOTTIME, CLOCK_TAI};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct timespec res;
		long long a = now(all[i]), b = now(all[i]);
		CHECK(a >= 0 && b >= a);
		CHECK(syscall(SYS_clock_getres, all[i], &res) == 0 && res.tv_sec == 0 && res.tv_nsec > 0);
		CHECK(syscall(SYS_clock_getres, all[i], NULL) == 0);
	}
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, 10, NULL), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, 77, NULL), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)8), EFAULT));
	return true;
}

static bool test_clocks_agree(void)
{
	struct timeval tv;
	struct timezone tz = {1, 1};
	long long a = now(CLOCK_REALTIME_COARSE), b = now(CLOCK_REALTIME);
	CHECK(a <= b);
	CHECK(now(CLOCK_MONOTONIC_COARSE) <= now(CLOCK_MONOTONIC));
	a = now(CLOCK_REALTIME);
	CHECK(syscall(SYS_gettimeofday, &tv, &tz) == 0);
	long long mid = tv.tv_sec * 1000000000LL + tv.tv_usec * 1000LL;
	b = now(CLOCK_REALTIME);
	CHECK(mid / 1000 >= a / 1000 && mid <= b);
	time_t t;
	long r = syscall(SYS_time, &t);
	CHECK(r == t && r >= a / 1000000000 - 1 && r <= now(CLOCK_REALTIME) / 1000000000);
	CHECK(syscall(SYS_gettimeofday, NULL, NULL) == 0);
	CHECK(FAILS_WITH(syscall(SYS_gettimeofday, (void *)8, NULL), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_time, (void *)8), EFAULT));
	CHECK(llabs(now(CLOCK_TAI) - now(CLOCK_REALTIME)) < 100 * 1000 * MS);
	return true;
}

static bool test_encoded_cpu_clocks(void)
{
	clockid_t own = ~(clockid_t)getpid() * 8 | 2, self = ~(clockid_t)syscall(SYS_gettid) * 8 | 6;
	long long a = now(CLOCK_PROCESS_CPUTIME_ID), b = now(own), c = now(CLOCK_PROCESS_CPUTIME_ID);
	CHECK(a <= b && b <= c);
	CHECK(now(self) > 0 && now(-8 | 2) >= c);
	CHECK(now(~(clockid_t)getpid() * 8 | 1) >= 0);
	struct timespec t;
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, ~(clockid_t)4000000 * 8 | 2, &t), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, ~(clockid_t)1 * 8 | 6, &t), EINVAL));
	return true;
}

static bool test_settime_errors(void)
{
	struct timespec t = {1, 0}, bad = {1, 1000000000};
	CHECK(FAILS_WITH(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_clock_settime, CLOCK_REALTIME, NULL), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_clock_settime, CLOCK_REALTIME, &bad), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_clock_settime, 77, &t), EINVAL));
	struct timeval tv = {1, 1000001};
	CHECK(FAILS_WITH(syscall(SYS_settimeofday, &tv, NULL), EINVAL));
	return true;
}

static bool test_sleep(void)
{
	struct timespec t = spec(30 * MS), bad = {0, 1000000000};
	long long a = now(CLOCK_MONOTONIC);
	CHECK(syscall(SYS_nanosleep, &t, NULL) == 0);
	CHECK(now(CLOCK_MONOTONIC) - a >= 30 * MS);
	CHECK(FAILS_WITH(syscall(SYS_nanosleep, &bad, NULL), EINVAL));
	static const clockid_t good[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
	for (int i = 0; i < 4; i++) {
		t = spec(10 * MS);
		a = now(good[i]);
		CHECK(raw_sleep(good[i], 0, &t, NULL) == 0 && now(good[i]) - a >= 10 * MS);
		t = spec(now(good[i]) + 10 * MS);
		CHECK(raw_sleep(good[i], TIMER_ABSTIME, &t, NULL) == 0 && now(good[i]) >= ns_of(t));
	}
	CHECK(FAILS_WITH(raw_sleep(CLOCK_MONOTONIC_RAW, 0, &t, NULL), EOPNOTSUPP));
	CHECK(FAILS_WITH(raw_sleep(CLOCK_REALTIME_COARSE, 0, &t, NULL), EOPNOTSUPP));
	CHECK(FAILS_WITH(raw_sleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EOPNOTSUPP));
	CHECK(FAILS_WITH(raw_sleep(77, 0, &t, NULL), EINVAL));
	return true;
}

static volatile bool stop_burning;
static void *burner(void *arg)
{
	while (!stop_burning)
		burn(MS);
	return arg;
}

static bool test_sleep_by_cpu_time(void)
{
	pthread_t t;
	stop_burning = false;
	CHECK(!pthread_create(&t, NULL, burner, NULL));
	long long a = now(CLOCK_PROCESS_CPUTIME_ID);
	struct timespec d = spec(30 * MS);
	long r = raw_sleep(CLOCK_PROCESS_CPUTIME_ID, 0, &d, NULL);
	long long b = now(CLOCK_PROCESS_CPUTIME_ID);
	stop_burning = true;
	pthread_join(t, NULL);
	CHECK(r == 0 && b - a >= 30 * MS);
	return true;
}

static bool test_sleep_interrupted(void)
{
	handle(SIGALRM, SA_RESTART);
	struct itimerval it = {{0, 0}, {0, 30000}};
	struct timespec t = {20, 0}, rest = {0, 0};
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	CHECK(FAILS_WITH(raw_sleep(CLOCK_MONOTONIC, 0, &t, &rest), EINTR));
	CHECK(ns_of(rest) > 0 && ns_of(rest) < 20000 * MS);
	return true;
}

static bool test_user_and_system_time(void)
{
	struct rusage a, b;
	struct tms tms;
	CHECK(getrusage(RUSAGE_SELF, &a) == 0);
	long long end = now(CLOCK_THREAD_CPUTIME_ID) + 300 * MS;
	while (now(CLOCK_THREAD_CPUTIME_ID) < end)
		for (volatile int i = 0; i < 200000; i++)
			;
	CHECK(getrusage(RUSAGE_SELF, &b) == 0);
	long long user =
	    (b.ru_utime.tv_sec - a.ru_utime.tv_sec) * 1000000LL + b.ru_utime.tv_usec - a.ru_utime.tv_usec;
	long long sys =
	    (b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000LL + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
	CHECK(user > 150000 && sys < user);
	CHECK(times(&tms) >= 0 && tms.tms_utime >= 14);
	return true;
}

static int burn_child(void *arg)
{
	burn(*(int *)arg * MS);
	return 0;
}

static bool test_children_time(void)
{
	struct rusage a, b;
	int ms = 60;
	CHECK(getrusage(RUSAGE_CHILDREN, &a) == 0);
	CHECK(child_exits(burn_child, &ms, 0));
	CHECK(getrusage(RUSAGE_CHILDREN, &b) == 0);
	long long used =
	    (b.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_utime.tv_sec - a.ru_stime.tv_sec) * 1000000LL +
	    b.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_utime.tv_usec - a.ru_stime.tv_usec;
	CHECK(used >= 50000);
	return true;
}

static bool test_counts(void)
{
	struct rusage a, b;
	CHECK(getrusage(RUSAGE_THREAD, &a) == 0);
	volatile char *p = malloc(1 << 20);
	for (int i = 0; i < 1 << 20; i += 4096)
		p[i] = 1;
	struct timespec t = spec(MS);
	for (int i = 0; i < 5; i++)
		nanosleep(&t, NULL);
	CHECK(getrusage(RUSAGE_THREAD, &b) == 0);
	free((void *)p);
	CHECK(b.ru_nvcsw - a.ru_nvcsw >= 5);
	CHECK(b.ru_minflt > a.ru_minflt);
	CHECK(FAILS_WITH(syscall(SYS_getrusage, 7, &a), EINVAL));
	return true;
}

static bool test_prctl(void)
{
	int v = -1;
	CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && prctl(PR_GET_PDEATHSIG, &v) == 0 && v == SIGUSR1);
	CHECK(FAILS_WITH(prctl(PR_SET_PDEATHSIG, 65), EINVAL) && prctl(PR_SET_PDEATHSIG, 0) == 0);
	CHECK(prctl(PR_GET_DUMPABLE) == 1 && FAILS_WITH(prctl(PR_SET_DUMPABLE, 2), EINVAL));
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &v) == 0 && v == 1);
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
	CHECK(FAILS_WITH(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL));
	CHECK(FAILS_WITH(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL));
	CHECK(prctl(PR_GET_KEEPCAPS) == 0 && FAILS_WITH(prctl(PR_SET_KEEPCAPS, 2), EINVAL));
	CHECK(prctl(PR_SET_TIMERSLACK, 70000) == 0 && prctl(PR_GET_TIMERSLACK) == 70000);
	CHECK(prctl(PR_SET_TIMERSLACK, 0) == 0 && prctl(PR_GET_TIMERSLACK) == 50000);
	CHECK(prctl(PR_CAPBSET_READ, 0) >= 0 && FAILS_WITH(prctl(PR_CAPBSET_READ, 999), EINVAL));
	return true;
}

/* A grandchild whose parent dies comes to the subreaper. */
static int subreaper(void *arg)
{
	int status, orphans = 0;
	(void)arg;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t child = fork();
	if (child == 0) {
		if (fork() == 0) {
			struct timespec t = spec(50 * MS);
			nanosleep(&t, NULL);
			_exit(getppid() == 1 ? 1 : 7);
		}
		_exit(3);
	}
	for (int i = 0; i < 2; i++) {
		pid_t p = wait(&status);
		if (p < 0)
			return 1;
		orphans += p != child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
	}
	return orphans == 1 ? 0 : 2;
}

static bool test_subreaper(void)
{
	CHECK(child_exits(subreaper, NULL, 0));
	return true;
}

static int parent_death(void *arg)
{
	int *fds = arg, status;
	if (pipe(fds))
		return 1;
	pid_t middle = fork();
	if (middle == 0) {
		pid_t own = getpid();
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (getppid() == own)
				pause();
			pause();
		}
		struct timespec t = spec(200 * MS);
		nanosleep(&t, NULL);
		_exit(0);
	}
	char c;
	close(fds[1]);
	waitpid(middle, &status, 0);
	return read(fds[0], &c, 1) == 0 ? 0 : 2; /* the end of the file when the last one is dead */
}

static bool test_parent_death(void)
{
	int fds[2];
	if (pipe(fds) && errno == ENOSYS)
		return true; /* told by the tests of pipes */
	close(fds[0]);
	close(fds[1]);
	CHECK(child_exits(parent_death, fds, 0));
	return true;
}

/* A child that is made with another exit signal. */
static bool test_exit_signal(void)
{
	int status;
	handle(SIGUSR2, 0);
	sigset_t set, pending;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGUSR2, 0, 0, 0, 0);
	if (pid == 0)
		_exit(5);
	CHECK(pid > 0 && FAILS_WITH(waitpid(pid, &status, 0), ECHILD));
	CHECK(waitpid(pid, &status, __WCLONE) == pid && WEXITSTATUS(status) == 5);
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGUSR2));
	int got;
	sigwait(&set, &got);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0)
		_exit(6);
	CHECK(pid > 0 && waitpid(pid, &status, __WALL) == pid && WEXITSTATUS(status) == 6);
	return true;
}

/* A futex wait goes on after a handler with SA_RESTART if it has no timeout; with one it ends. */
static bool test_futex_restart(void)
{
	int word = 1;
	struct itimerval it = {{0, 0}, {0, 30000}};
	struct timespec t = {20, 0}, until;
	handle(SIGALRM, SA_RESTART);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	CHECK(FAILS_WITH(syscall(SYS_futex, &word, 128, 1, &t, NULL, 0), EINTR));
	handle(SIGALRM, 0);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	CHECK(FAILS_WITH(syscall(SYS_futex, &word, 128, 1, NULL, NULL, 0), EINTR));
	/* Stopped and continued, it keeps its deadline. */
	pid_t self = getpid(), pid = fork();
	if (pid == 0) {
		struct timespec pause = spec(40 * MS);
		nanosleep(&pause, NULL);
		kill(self, SIGSTOP);
		nanosleep(&pause, NULL);
		kill(self, SIGCONT);
		_exit(0);
	}
	until = spec(now(CLOCK_MONOTONIC) + 300 * MS);
	CHECK(FAILS_WITH(syscall(SYS_futex, &word, 128 | 9, 1, &until, NULL, -1), ETIMEDOUT));
	long long late = now(CLOCK_MONOTONIC) - ns_of(until);
	CHECK(late >= 0);
	waitpid(pid, NULL, 0);
	return true;
}

static const struct utest tests[] = {
    {"clocks are there and go forward", test_all_clocks},
    {"clocks of the same time agree", test_clocks_agree},
    {"encoded CPU clocks", test_encoded_cpu_clocks},
    {"setting clocks: errors", test_settime_errors},
    {"sleeping by clocks", test_sleep},
    {"sleeping by CPU time", test_sleep_by_cpu_time},
    {"a sleep that is interrupted", test_sleep_interrupted},
    {"user and system time", test_user_and_system_time},
    {"time of children", test_children_time},
    {"faults and switches are counted", test_counts},
    {"prctl", test_prctl},
    {"a subreaper takes over orphans", test_subreaper},
    {"a signal at the parent's death", test_parent_death},
    {"exit signals and wait's options for them", test_exit_signal},
    {"futex waits and signals", test_futex_restart},
};

int main(void)
{
	return UTEST_RUN(tests);
}
