/* utimer.c - timers that send signals or are files. All of it holds on Linux as well. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include "utap.h"

#define MS 1000000LL

static volatile sig_atomic_t hits;
static volatile siginfo_t seen;

static void note(int s, siginfo_t *info, void *c)
{
	(void)s, (void)c;
	hits++;
	*(siginfo_t *)&seen = *info;
}
static void handle(int s)
{
	struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
	sigaction(s, &a, NULL);
	hits = 0;
}
static void block(int how, int s)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, s);
	sigprocmask(how, &set, NULL);
}
static long long now(clockid_t c)
{
	struct timespec t;
	return syscall(SYS_clock_gettime, c, &t) ? -1 : t.tv_sec * 1000000000LL + t.tv_nsec;
}
static struct timespec spec(long long ns)
{
	return (struct timespec){ns / 1000000000, ns % 1000000000};
}
static void nap(long long ns)
{
	struct timespec t = spec(ns);
	while (nanosleep(&t, &t))
		;
}
/* Until the handler ran n times, but not for ever. */
static bool wait_hits(int n)
{
	for (int i = 0; i < 2000 && hits < n; i++)
		nap(5 * MS);
	return hits >= n;
}
static long long ns_of(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static bool test_itimer_real(void)
{
	handle(SIGALRM);
	struct itimerval it = {{0, 20000}, {0, 20000}}, was;
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0 && wait_hits(3));
	CHECK(getitimer(ITIMER_REAL, &was) == 0 && was.it_interval.tv_usec == 20000);
	it = (struct itimerval){{0, 0}, {0, 0}};
	CHECK(setitimer(ITIMER_REAL, &it, &was) == 0 && was.it_interval.tv_usec == 20000);
	CHECK(getitimer(ITIMER_REAL, &was) == 0 && !was.it_value.tv_sec && !was.it_value.tv_usec);
	int before = hits;
	nap(60 * MS);
	CHECK(hits == before);
	it.it_value.tv_usec = 1000000;
	CHECK(FAILS_WITH(setitimer(ITIMER_REAL, &it, NULL), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_getitimer, 3, &was), EINVAL));
	return true;
}

static bool test_alarm(void)
{
	handle(SIGALRM);
	CHECK(alarm(100) == 0);
	unsigned left = alarm(1);
	CHECK(left == 100 || left == 99);
	CHECK(wait_hits(1) && alarm(0) == 0 && seen.si_code == SI_KERNEL);
	return true;
}

static int fork_keeps_no_timer(void *arg)
{
	(void)arg;
	struct itimerval v;
	return getitimer(ITIMER_REAL, &v) || v.it_value.tv_sec || v.it_value.tv_usec;
}
static bool test_not_inherited(void)
{
	alarm(100);
	bool ok = child_exits(fork_keeps_no_timer, NULL, 0);
	CHECK(alarm(0) > 0 && ok);
	return true;
}

static bool burns(int which, int signal)
{
	handle(signal);
	struct itimerval it = {{0, 0}, {0, 50000}};
	CHECK(setitimer(which, &it, NULL) == 0);
	nap(100 * MS);
	CHECK(hits == 0);
	long long end = now(CLOCK_MONOTONIC) + 20000 * MS;
	while (!hits && now(CLOCK_MONOTONIC) < end)
		for (volatile int i = 0; i < 200000; i++)
			;
	CHECK(hits == 1 && now(CLOCK_PROCESS_CPUTIME_ID) >= 40 * MS);
	return true;
}
static bool test_itimers_of_cpu_time(void)
{
	return burns(ITIMER_VIRTUAL, SIGVTALRM) && burns(ITIMER_PROF, SIGPROF);
}

static long create(clockid_t c, int notify, int signal, long value, int *id)
{
	struct {
		long value;
		int signal, notify, tid, rest[11];
	} ev = {value, signal, notify, (int)syscall(SYS_gettid), {0}};
	return syscall(SYS_timer_create, c, &ev, id);
}
static long settime(int id, int flags, long long value, long long interval, struct itimerspec *old)
{
	struct itimerspec it = {spec(interval), spec(value)};
	return syscall(SYS_timer_settime, id, flags, &it, old);
}

static bool test_posix_once(void)
{
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
	for (int i = 0; i < 4; i++) {
		int id, signal = i & 1 ? SIGRTMIN + 1 : SIGUSR1;
		handle(signal);
		CHECK(create(clocks[i], SIGEV_SIGNAL, signal, 42 + i, &id) == 0);
		CHECK(settime(id, 0, 20 * MS, 0, NULL) == 0 && wait_hits(1));
		CHECK(
		    seen.si_code == SI_TIMER && seen.si_value.sival_int == 42 + i && seen.si_signo == signal);
		struct itimerspec it;
		CHECK(syscall(SYS_timer_gettime, id, &it) == 0 && ns_of(it.it_value) == 0);
		CHECK(settime(id, TIMER_ABSTIME, now(clocks[i]) + 20 * MS, 0, NULL) == 0 && wait_hits(2));
		CHECK(settime(id, TIMER_ABSTIME, 1, 0, NULL) == 0 && wait_hits(3));
		CHECK(syscall(SYS_timer_delete, id) == 0);
		CHECK(FAILS_WITH(syscall(SYS_timer_delete, id), EINVAL));
	}
	return true;
}

static bool test_posix_overrun(void)
{
	int id;
	struct itimerspec old;
	handle(SIGRTMIN + 2);
	block(SIG_BLOCK, SIGRTMIN + 2);
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 7, &id) == 0);
	CHECK(settime(id, 0, 10 * MS, 10 * MS, NULL) == 0);
	nap(150 * MS);
	block(SIG_UNBLOCK, SIGRTMIN + 2);
	CHECK(wait_hits(1));
	CHECK(wait_hits(3));
	CHECK(settime(id, 0, 0, 0, &old) == 0 && ns_of(old.it_interval) == 10 * MS);
	block(SIG_BLOCK, SIGRTMIN + 2);
	CHECK(settime(id, 0, 5 * MS, 5 * MS, NULL) == 0);
	nap(100 * MS);
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 2 && info.si_code == SI_TIMER);
	CHECK(info.si_overrun >= 10 && syscall(SYS_timer_getoverrun, id) == info.si_overrun);
	CHECK(settime(id, 0, 0, 0, NULL) == 0 && syscall(SYS_timer_delete, id) == 0);
	struct timespec zero = {0, 0};
	while (sigtimedwait(&set, NULL, &zero) > 0)
		;
	block(SIG_UNBLOCK, SIGRTMIN + 2);
	return true;
}

/* Two timers with one signal: two signals wait, even of a standard one. */
static bool test_posix_two(void)
{
	int a, b;
	handle(SIGUSR1);
	block(SIG_BLOCK, SIGUSR1);
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 1, &a) == 0);
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 2, &b) == 0 && a != b);
	CHECK(settime(a, 0, 5 * MS, 0, NULL) == 0 && settime(b, 0, 5 * MS, 0, NULL) == 0);
	nap(80 * MS);
	block(SIG_UNBLOCK, SIGUSR1);
	CHECK(wait_hits(2) && syscall(SYS_timer_delete, a) == 0 && syscall(SYS_timer_delete, b) == 0);
	return true;
}

static bool test_posix_kinds(void)
{
	int id;
	struct itimerspec it;
	CHECK(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, &id) == 0);
	CHECK(settime(id, 0, 20 * MS, 0, NULL) == 0);
	CHECK(syscall(SYS_timer_gettime, id, &it) == 0 && ns_of(it.it_value) > 0);
	nap(40 * MS);
	CHECK(syscall(SYS_timer_gettime, id, &it) == 0 && ns_of(it.it_value) == 0);
	CHECK(syscall(SYS_timer_delete, id) == 0);
	handle(SIGUSR2);
	CHECK(create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGUSR2, 3, &id) == 0);
	CHECK(settime(id, 0, 5 * MS, 0, NULL) == 0 && wait_hits(1) && syscall(SYS_timer_delete, id) == 0);
	handle(SIGUSR2);
	CHECK(create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR2, 3, &id) == 0);
	CHECK(settime(id, 0, 20 * MS, 0, NULL) == 0);
	long long end = now(CLOCK_MONOTONIC) + 20000 * MS;
	while (!hits && now(CLOCK_MONOTONIC) < end)
		for (volatile int i = 0; i < 100000; i++)
			;
	CHECK(hits == 1 && syscall(SYS_timer_delete, id) == 0);
	handle(SIGALRM);
	CHECK(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id) == 0 && settime(id, 0, MS, 0, NULL) == 0);
	CHECK(wait_hits(1) && seen.si_value.sival_int == id && syscall(SYS_timer_delete, id) == 0);
	return true;
}

static bool test_posix_errors(void)
{
	int id;
	struct itimerspec it;
	CHECK(FAILS_WITH(create(77, SIGEV_SIGNAL, SIGUSR1, 0, &id), EINVAL));
	CHECK(FAILS_WITH(create(CLOCK_MONOTONIC_COARSE, SIGEV_SIGNAL, SIGUSR1, 0, &id), EOPNOTSUPP));
	CHECK(FAILS_WITH(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 65, 0, &id), EINVAL));
	CHECK(FAILS_WITH(create(CLOCK_MONOTONIC, 9, SIGUSR1, 0, &id), EINVAL));
	CHECK(FAILS_WITH(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, NULL), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_timer_gettime, 12345, &it), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_timer_getoverrun, 12345), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_timer_settime, 12345, 0, NULL, NULL), EINVAL));
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, &id) == 0);
	it = (struct itimerspec){{0, 0}, {0, 1000000000}};
	CHECK(FAILS_WITH(syscall(SYS_timer_settime, id, 0, &it, NULL), EINVAL));
	CHECK(syscall(SYS_timer_delete, id) == 0);
	return true;
}

/* Timers that end with their process, armed and with signals that wait. */
static int leaves_timers(void *arg)
{
	int id;
	(void)arg;
	block(SIG_BLOCK, SIGUSR1);
	for (int i = 0; i < 50; i++)
		if (create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, i, &id) || settime(id, 0, MS, MS, NULL))
			return 1;
	nap(20 * MS);
	return 0;
}
static bool test_end_with_timers(void)
{
	CHECK(child_exits(leaves_timers, NULL, 0));
	return true;
}

static bool test_ignored(void)
{
	int id;
	signal(SIGUSR1, SIG_IGN);
	CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0, &id) == 0);
	CHECK(settime(id, 0, MS, MS, NULL) == 0);
	nap(30 * MS);
	handle(SIGUSR1);
	CHECK(wait_hits(1) && syscall(SYS_timer_delete, id) == 0);
	return true;
}

static bool test_timerfd(void)
{
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
	for (int i = 0; i < 3; i++) {
		uint64_t n = 0;
		struct itimerspec it = {spec(0), spec(20 * MS)}, was;
		int fd = timerfd_create(clocks[i], TFD_CLOEXEC);
		CHECK(fd >= 0 && timerfd_settime(fd, 0, &it, NULL) == 0);
		CHECK(timerfd_gettime(fd, &was) == 0 && ns_of(was.it_value) > 0 &&
		      ns_of(was.it_value) <= 20 * MS);
		CHECK(read(fd, &n, 8) == 8 && n == 1);
		CHECK(timerfd_gettime(fd, &was) == 0 && ns_of(was.it_value) == 0);
		it = (struct itimerspec){spec(10 * MS), spec(now(clocks[i]) + 10 * MS)};
		CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL) == 0);
		nap(100 * MS);
		CHECK(read(fd, &n, 8) == 8 && n >= 9);
		CHECK(read(fd, &n, 8) == 8 && n >= 1);
		it = (struct itimerspec){spec(0), spec(0)};
		CHECK(timerfd_settime(fd, 0, &it, &was) == 0 && ns_of(was.it_interval) == 10 * MS);
		CHECK(ns_of(was.it_value) > 0 && ns_of(was.it_value) <= 10 * MS);
		CHECK(FAILS_WITH(read(fd, &n, 7), EINVAL));
		CHECK(close(fd) == 0);
	}
	return true;
}

static bool test_timerfd_errors(void)
{
	uint64_t n;
	struct itimerspec it = {spec(0), {0, 1000000000}};
	CHECK(FAILS_WITH(timerfd_create(CLOCK_THREAD_CPUTIME_ID, 0), EINVAL));
	CHECK(FAILS_WITH(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL));
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	CHECK(fd >= 0 && FAILS_WITH(read(fd, &n, 8), EAGAIN));
	CHECK(FAILS_WITH(timerfd_settime(fd, 0, &it, NULL), EINVAL));
	it.it_value = spec(5 * MS);
	CHECK(FAILS_WITH(timerfd_settime(fd, 8, &it, NULL), EINVAL));
	CHECK(FAILS_WITH(timerfd_settime(fd, 0, NULL, NULL), EFAULT));
	CHECK(FAILS_WITH(timerfd_settime(-1, 0, &it, NULL), EBADF));
	CHECK(FAILS_WITH(timerfd_settime(1, 0, &it, NULL), EINVAL));
	CHECK(timerfd_settime(fd, 0, &it, NULL) == 0);
	nap(50 * MS);
	CHECK(read(fd, &n, 8) == 8 && n == 1 && FAILS_WITH(read(fd, &n, 8), EAGAIN));
	CHECK(FAILS_WITH(write(fd, &n, 8), EINVAL));
	CHECK(timerfd_settime(fd, 0, &it, NULL) == 0 && close(fd) == 0); /* armed */
	return true;
}

static const struct utest tests[] = {
    {"timers as files", test_timerfd},
    {"errors of timers as files", test_timerfd_errors},
    {"interval timer of real time", test_itimer_real},
    {"alarm", test_alarm},
    {"timers are not inherited", test_not_inherited},
    {"interval timers of CPU time", test_itimers_of_cpu_time},
    {"a POSIX timer goes off once", test_posix_once},
    {"overruns", test_posix_overrun},
    {"two timers with one signal", test_posix_two},
    {"silent ones, of a thread, of CPU time, without event", test_posix_kinds},
    {"errors of POSIX timers", test_posix_errors},
    {"a process ends with timers", test_end_with_timers},
    {"a timer whose signal is ignored goes on", test_ignored},
};

int main(void)
{
	return UTEST_RUN(tests);
}
