/* usched.c - nice levels and scheduling policies, and what /proc tells of them. Runs as root. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include "utap.h"
#include "utext.h"

static int niceness(void *arg)
{
	(void)arg;
	UCHECK(sc(getpriority, PRIO_PROCESS, 0) == 20);
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, 5) == 0 && sc(getpriority, PRIO_PROCESS, 0) == 15);
	UCHECK(sc(setpriority, PRIO_PROCESS, getpid(), -100) == 0 && sc(getpriority, PRIO_PROCESS, 0) == 40);
	UCHECK(FAILS_WITH(sc(getpriority, 3, 0), EINVAL) && FAILS_WITH(sc(getpriority, -1, 0), EINVAL));
	UCHECK(FAILS_WITH(sc(getpriority, PRIO_PROCESS, 1 << 22), ESRCH));
	UCHECK(FAILS_WITH(sc(setpriority, PRIO_PGRP, 1 << 22, 0), ESRCH));
	UCHECK(setpgid(0, 0) == 0 && sc(setpriority, PRIO_PGRP, 0, 3) == 0 &&
	       sc(getpriority, PRIO_PGRP, 0) == 17);
	UCHECK(sc(setresuid, 60001, 60001, 60001) == 0);
	UCHECK(sc(setpriority, PRIO_USER, 0, 4) == 0 && sc(getpriority, PRIO_USER, 60001) == 16);
	UCHECK(FAILS_WITH(sc(setpriority, PRIO_PROCESS, 0, 3), EACCES));
	UCHECK(FAILS_WITH(sc(setpriority, PRIO_PROCESS, getppid(), 10), EPERM));
	return 0;
}

static int limited_niceness(void *arg)
{
	struct rlimit l = {25, 25};
	(void)arg;
	struct utsname u;
	UCHECK(uname(&u) == 0);
	if (sc(setrlimit, RLIMIT_NICE, &l) && errno == EPERM && !strstr(u.release, "quire"))
		return 0; /* root in a container may not */
	UCHECK(sc(setresuid, 60001, 60001, 60001) == 0);
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, -5) == 0 &&
	       FAILS_WITH(sc(setpriority, PRIO_PROCESS, 0, -6), EACCES));
	return 0;
}

static bool nice_levels(void)
{
	return child_exits(niceness, NULL, 0) && child_exits(limited_niceness, NULL, 0);
}

static int inherits(void *arg)
{
	(void)arg;
	return sc(sched_getscheduler, 0) == SCHED_BATCH && sc(getpriority, PRIO_PROCESS, 0) == 18 ? 0 : 1;
}

static int resets(void *arg)
{
	(void)arg;
	return sc(sched_getscheduler, 0) == SCHED_OTHER && sc(getpriority, PRIO_PROCESS, 0) == 20 ? 0 : 1;
}

static int policies_in_child(void *arg)
{
	int p = 0, one = 1;
	(void)arg;
	UCHECK(sc(sched_getscheduler, 0) == SCHED_OTHER && sc(sched_getparam, 0, &one) == 0 && one == 0);
	one = 1;
	UCHECK(FAILS_WITH(sc(sched_getscheduler, -1), EINVAL) &&
	       FAILS_WITH(sc(sched_getscheduler, 1 << 22), ESRCH));
	UCHECK(FAILS_WITH(sc(sched_getparam, 0, NULL), EINVAL) &&
	       FAILS_WITH(sc(sched_getparam, 0, BAD), EFAULT));
	UCHECK(FAILS_WITH(sc(sched_setscheduler, 0, SCHED_BATCH, &one), EINVAL));
	UCHECK(FAILS_WITH(sc(sched_setscheduler, 0, 99, &p), EINVAL));
	UCHECK(FAILS_WITH(sc(sched_setscheduler, 0, SCHED_FIFO, &p), EINVAL));
	UCHECK(FAILS_WITH(sc(sched_setscheduler, 0, -1, &p), EINVAL));
	UCHECK(FAILS_WITH(sc(sched_setscheduler, 0, SCHED_BATCH, BAD), EFAULT));
	UCHECK(sc(sched_setscheduler, 0, SCHED_BATCH, &p) == 0 && sc(sched_getscheduler, 0) == SCHED_BATCH);
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, 2) == 0 && child_exits(inherits, NULL, 0));
	UCHECK(sc(sched_setparam, 0, &p) == 0 && FAILS_WITH(sc(sched_setparam, 0, &one), EINVAL));
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, -2) == 0);
	UCHECK(sc(sched_setscheduler, 0, SCHED_OTHER | 0x40000000, &p) == 0 && child_exits(resets, NULL, 0));
	UCHECK(sc(sched_getscheduler, 0) == (SCHED_OTHER | 0x40000000));
	return 0;
}

static bool policies(void)
{
	struct timespec ts = {-1, -1};
	CHECK(sc(sched_get_priority_max, SCHED_FIFO) == 99 && sc(sched_get_priority_min, SCHED_RR) == 1);
	CHECK(sc(sched_get_priority_max, SCHED_OTHER) == 0 && sc(sched_get_priority_min, SCHED_IDLE) == 0);
	CHECK(FAILS_WITH(sc(sched_get_priority_max, 4), EINVAL) &&
	      FAILS_WITH(sc(sched_get_priority_min, -1), EINVAL));
	CHECK(sc(sched_rr_get_interval, 0, &ts) == 0 && ts.tv_sec == 0 && ts.tv_nsec >= 0);
	CHECK(FAILS_WITH(sc(sched_rr_get_interval, 0, BAD), EFAULT));
	CHECK(FAILS_WITH(sc(sched_rr_get_interval, -1, &ts), EINVAL));
	return child_exits(policies_in_child, NULL, 0);
}

struct attr {
	unsigned size, policy;
	unsigned long flags;
	int nice;
	unsigned priority;
	unsigned long runtime, deadline, period;
	unsigned extra[4];
};

static int attributes_in_child(void *arg)
{
	struct attr a;
	(void)arg;
	memset(&a, 0xff, sizeof(a));
	UCHECK(
	    sc(sched_getattr, 0, &a, 48, 0) == 0 && a.size == 48 && a.policy == SCHED_OTHER && a.nice == 0);
	UCHECK(a.priority == 0 && FAILS_WITH(sc(sched_getattr, 0, &a, 47, 0), EINVAL));
	UCHECK(FAILS_WITH(sc(sched_getattr, 0, NULL, 48, 0), EINVAL) &&
	       FAILS_WITH(sc(sched_getattr, 0, &a, 48, 1), EINVAL));
	memset(&a, 0, sizeof(a));
	a.size = 48;
	a.policy = SCHED_BATCH;
	a.nice = 7;
	UCHECK(sc(sched_setattr, 0, &a, 0) == 0 && sc(getpriority, PRIO_PROCESS, 0) == 13);
	UCHECK(sc(sched_getscheduler, 0) == SCHED_BATCH && FAILS_WITH(sc(sched_setattr, 0, &a, 1), EINVAL));
	a.size = sizeof(a);
	a.extra[3] = 1;
	UCHECK(FAILS_WITH(sc(sched_setattr, 0, &a, 0), E2BIG) && a.size == 56);
	a.size = 40;
	UCHECK(FAILS_WITH(sc(sched_setattr, 0, &a, 0), E2BIG));
	a.size = 48;
	a.flags = 1 << 20;
	UCHECK(FAILS_WITH(sc(sched_setattr, 0, &a, 0), EINVAL) &&
	       FAILS_WITH(sc(sched_setattr, 0, BAD, 0), EFAULT));
	return 0;
}

static bool attributes(void)
{
	return child_exits(attributes_in_child, NULL, 0);
}

enum { IO_SELF = 1, IO_GROUP, IO_USER };
#define IO_VALUE(class, level) ((class) << 13 | (level))

static int io_as_user(void *arg)
{
	(void)arg;
	UCHECK(sc(ioprio_get, IO_SELF, 0) == IO_VALUE(2, 6)); /* inherited */
	UCHECK(sc(setresuid, 54321, 54321, 54321) == 0);
	UCHECK(FAILS_WITH(sc(ioprio_set, IO_SELF, 0, IO_VALUE(1, 4)), EPERM));
	UCHECK(FAILS_WITH(sc(ioprio_set, IO_SELF, getppid(), IO_VALUE(2, 7)), EPERM));
	UCHECK(
	    sc(ioprio_set, IO_SELF, 0, IO_VALUE(3, 0)) == 0 && sc(ioprio_get, IO_SELF, 0) == IO_VALUE(3, 0));
	return 0;
}

static int io_priorities_in_child(void *arg)
{
	(void)arg;
	UCHECK(setpgid(0, 0) == 0);
	UCHECK(FAILS_WITH(sc(ioprio_get, 0, 0), EINVAL) && FAILS_WITH(sc(ioprio_get, 4, 0), EINVAL));
	UCHECK(FAILS_WITH(sc(ioprio_get, IO_SELF, 1 << 22), ESRCH));
	UCHECK(FAILS_WITH(sc(ioprio_set, IO_SELF, 0, IO_VALUE(0, 1)), EINVAL));
	UCHECK(FAILS_WITH(sc(ioprio_set, IO_SELF, 0, IO_VALUE(5, 0)), EINVAL));
	UCHECK(sc(ioprio_set, IO_SELF, 0, IO_VALUE(2, 6)) == 0);
	UCHECK(sc(ioprio_get, IO_SELF, getpid()) == IO_VALUE(2, 6) &&
	       sc(ioprio_get, IO_GROUP, 0) == IO_VALUE(2, 6));
	UCHECK(child_exits(io_as_user, NULL, 0));
	UCHECK(sc(ioprio_set, IO_GROUP, getpid(), IO_VALUE(2, 1)) == 0 &&
	       sc(ioprio_get, IO_SELF, 0) == IO_VALUE(2, 1));
	return 0;
}

static bool io_priorities(void)
{
	return child_exits(io_priorities_in_child, NULL, 0);
}

/* --- what /proc tells --- */

struct schedstat {
	unsigned long long ran, waited, turns;
};

static bool read_stat(const char *path, struct schedstat *out)
{
	char *s = slurp(path);
	return s && sscanf(s, "%llu %llu %llu\n", &out->ran, &out->waited, &out->turns) == 3;
}

static unsigned long long own_time(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (unsigned long long)t.tv_sec * 1000000000 + (unsigned long long)t.tv_nsec;
}

/* Until this thread has waited for a CPU, and got it back, since *before was read. */
static bool has_to_wait(const struct schedstat *before)
{
	struct schedstat now;
	time_t until = time(NULL) + 10;
	do
		CHECK(read_stat("/proc/thread-self/schedstat", &now));
	while (
	    (now.waited < before->waited + 1000000 || now.turns < before->turns + 2) && time(NULL) < until);
	CHECK(now.waited >= before->waited + 1000000 && now.turns >= before->turns + 2 &&
	      now.ran > before->ran);
	return true;
}

/* One CPU, and another process on it that never rests: whoever wants it has to wait for it. */
static bool waits_are_told(void)
{
	struct schedstat before;
	cpu_set_t old, one;
	CHECK(sched_getaffinity(0, sizeof(old), &old) == 0);
	CPU_ZERO(&one);
	for (int i = 0; CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &old))
			CPU_SET(i, &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0 &&
	      read_stat("/proc/thread-self/schedstat", &before));
	pid_t pid = fork();
	while (pid == 0)
		;
	bool waited = has_to_wait(&before);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	return sched_setaffinity(0, sizeof(old), &old) == 0 && waited;
}

static bool times_are_told(void)
{
	struct schedstat now;
	CHECK(read_stat("/proc/self/schedstat", &now));
	unsigned long long begin = own_time(), ran = now.ran;
	while (own_time() < begin + 30000000)
		;
	time_t until = time(NULL) + 10; /* Linux counts by its tick */
	do
		CHECK(read_stat("/proc/self/schedstat", &now));
	while (now.ran < ran + 20000000 && time(NULL) < until);
	CHECK(now.ran >= ran + 20000000 && now.turns > 0);
	return true;
}

/* The value of a line of /proc/self/sched; -1: there is none. */
static long long told(const char *name)
{
	char *s = slurp("/proc/self/sched"), *at = s ? strstr(s, name) : NULL;
	at = at ? strchr(at, ':') : NULL;
	return at ? atoll(at + 1) : -1;
}

static bool lines_are_told(void)
{
	char *s = slurp("/proc/self/sched"), head[64];
	if (!s) /* a Linux that is built without it */
		return errno == ENOENT;
	snprintf(head, sizeof(head), "usched (%d, #threads: 1)\n-----", (int)getpid());
	CHECK(!strncmp(s, head, strlen(head)));
	CHECK(told("\npolicy ") == 0 && told("\nprio ") == 120 && told("\nse.load.weight ") == 1 << 20);
	CHECK(told("\nse.vruntime ") >= 0 && told("\nse.sum_exec_runtime ") >= 0);
	long long all = told("\nnr_switches "), wanted = told("\nnr_voluntary_switches ");
	CHECK(wanted >= 0 && told("\nnr_involuntary_switches ") >= 0 && all >= 0 &&
	      wanted <= told("\nnr_switches "));
	int fd = open("/proc/self/sched", O_WRONLY);
	return fd >= 0 && write(fd, "0\n", 2) == 2 && close(fd) == 0;
}

static const struct utest tests[] = {
    {"waits are told", waits_are_told},
    {"times are told", times_are_told},
    {"/proc/PID/sched", lines_are_told},
    {"nice levels", nice_levels},
    {"policies", policies},
    {"sched_setattr, sched_getattr", attributes},
    {"ioprio_set, ioprio_get", io_priorities},
};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
