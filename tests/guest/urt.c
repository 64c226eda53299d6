/*
 * urt.c - real-time threads: who runs before whom, when, and for how long. Runs as root.
 *
 * What threads do in which order is watched on one CPU, where a thread of higher priority keeps the others
 * from running: nothing depends on how long anything takes. Spinning threads that others must get past give
 * up by themselves after ten seconds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>
#include "utap.h"

enum { RESET = 0x40000000, PATIENCE = 10, NTHREADS = 6, NOBODY = 60001 };

struct attr {
	unsigned size, policy;
	unsigned long flags;
	int nice;
	unsigned priority;
	unsigned long runtime, deadline, period;
	unsigned extra[2];
};

static long set_policy(int tid, int policy, int priority)
{
	return sc(sched_setscheduler, tid, policy, &priority);
}

static int priority_of(int tid)
{
	int priority = -1;
	return sc(sched_getparam, tid, &priority) ? -1 : priority;
}

static time_t seconds(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* The n-th CPU that this program may use, if there is one. */
static int nth_cpu(int n)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set))
		return -1;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return cpu;
	return -1;
}

static bool pin(int tid, int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(tid, sizeof(set), &set) == 0;
}

/* --- settings --- */

static int as_nobody(void *arg)
{
	(void)arg;
	struct rlimit none = {0, 0};
	UCHECK(sc(setrlimit, RLIMIT_RTPRIO, &none) == 0);
	UCHECK(set_policy(0, SCHED_FIFO, 20) == 0);
	UCHECK(sc(setresuid, NOBODY, NOBODY, NOBODY) == 0);
	UCHECK(set_policy(0, SCHED_FIFO, 10) == 0 && priority_of(0) == 10); /* down, but not up again */
	UCHECK(FAILS_WITH(set_policy(0, SCHED_FIFO, 11), EPERM));
	UCHECK(FAILS_WITH(set_policy(0, SCHED_RR, 5), EPERM)); /* nor another policy */
	UCHECK(FAILS_WITH(set_policy(getppid(), SCHED_OTHER, 0), EPERM));
	UCHECK(set_policy(0, SCHED_OTHER | RESET, 0) == 0);
	UCHECK(FAILS_WITH(set_policy(0, SCHED_OTHER, 0), EPERM)); /* the mark stays */
	UCHECK(set_policy(0, SCHED_IDLE | RESET, 0) == 0);
	UCHECK(FAILS_WITH(set_policy(0, SCHED_OTHER | RESET, 0), EPERM)); /* idle is for good */
	return 0;
}

static int within_limit(void *arg)
{
	(void)arg;
	struct rlimit l = {7, 7};
	if (sc(setrlimit, RLIMIT_RTPRIO, &l))
		return errno == EPERM ? 0 : 1; /* root in a container may not */
	UCHECK(sc(setresuid, NOBODY, NOBODY, NOBODY) == 0);
	UCHECK(set_policy(0, SCHED_RR, 7) == 0 && set_policy(0, SCHED_FIFO, 6) == 0);
	UCHECK(FAILS_WITH(set_policy(0, SCHED_FIFO, 8), EPERM));
	return 0;
}

static int tells(void *arg)
{
	(void)arg;
	struct timespec ts = {-1, -1};
	struct attr a = {.size = 48, .policy = SCHED_RR, .priority = 3};
	UCHECK(FAILS_WITH(set_policy(0, SCHED_FIFO, 0), EINVAL) &&
	       FAILS_WITH(set_policy(0, SCHED_FIFO, 100), EINVAL));
	UCHECK(FAILS_WITH(set_policy(0, SCHED_RR, -1), EINVAL) && FAILS_WITH(set_policy(0, 4, 0), EINVAL));
	UCHECK(set_policy(0, SCHED_FIFO, 99) == 0 && sc(sched_getscheduler, 0) == SCHED_FIFO);
	UCHECK(priority_of(0) == 99 && sc(sched_rr_get_interval, 0, &ts) == 0 && ts.tv_sec == 0 &&
	       ts.tv_nsec == 0);
	int zero = 0, four = 4;
	UCHECK(FAILS_WITH(sc(sched_setparam, 0, &zero), EINVAL) && sc(sched_setparam, 0, &four) == 0);
	UCHECK(priority_of(0) == 4 && sc(setpriority, PRIO_PROCESS, 0, 3) == 0);
	UCHECK(sc(sched_setattr, 0, &a, 0) == 0 && sc(sched_getscheduler, 0) == SCHED_RR);
	UCHECK(sc(sched_rr_get_interval, 0, &ts) == 0 && ts.tv_sec == 0 && ts.tv_nsec == 100000000);
	memset(&a, 0xff, sizeof(a));
	UCHECK(sc(sched_getattr, 0, &a, 48, 0) == 0 && a.policy == SCHED_RR && a.priority == 3);
	UCHECK(a.nice == 0 && a.flags == 0 && sc(getpriority, PRIO_PROCESS, 0) == 17);
	UCHECK(set_policy(0, SCHED_OTHER, 0) == 0 && priority_of(0) == 0 &&
	       sc(getpriority, PRIO_PROCESS, 0) == 17);
	return 0;
}

static int keeps(void *arg)
{
	(void)arg;
	struct attr a = {.size = 56, .policy = 77, .flags = 8, .priority = 9};
	UCHECK(set_policy(0, SCHED_FIFO, 5) == 0);
	UCHECK(sc(sched_setattr, 0, &a, 0) == 0 && priority_of(0) == 9); /* the policy is kept */
	UCHECK(sc(sched_getscheduler, 0) == SCHED_FIFO);
	a = (struct attr){.size = 56, .policy = SCHED_RR, .flags = 16 | 1, .priority = 20};
	UCHECK(sc(sched_setattr, 0, &a, 0) == 0 && priority_of(0) == 9); /* all is kept but the mark */
	UCHECK(sc(sched_getscheduler, 0) == (SCHED_FIFO | RESET));
	a = (struct attr){.size = 48, .policy = SCHED_OTHER, .flags = 0x20};
	UCHECK(FAILS_WITH(sc(sched_setattr, 0, &a, 0), EINVAL));
	a.size = 56;
	UCHECK(FAILS_WITH(sc(sched_setattr, 0, &a, 0), EOPNOTSUPP));
	return 0;
}

static bool settings(void)
{
	return child_exits(tells, NULL, 0) && child_exits(keeps, NULL, 0) &&
	       child_exits(as_nobody, NULL, 0) && child_exits(within_limit, NULL, 0);
}

static int child_has(void *arg)
{
	const int *want = arg;
	return sc(sched_getscheduler, 0) == want[0] && priority_of(0) == want[1] &&
		       sc(getpriority, PRIO_PROCESS, 0) == want[2]
		   ? 0
		   : 1;
}

static int forks(void *arg)
{
	(void)arg;
	UCHECK(set_policy(0, SCHED_RR, 12) == 0);
	UCHECK(child_exits(child_has, (int[]){SCHED_RR, 12, 20}, 0));
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, 6) == 0 && set_policy(0, SCHED_RR | RESET, 12) == 0);
	UCHECK(child_exits(child_has, (int[]){SCHED_OTHER, 0, 20}, 0));
	UCHECK(set_policy(0, SCHED_BATCH | RESET, 0) == 0 && sc(setpriority, PRIO_PROCESS, 0, -6) == 0);
	UCHECK(child_exits(child_has, (int[]){SCHED_BATCH, 0, 20}, 0));
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, 6) == 0);
	UCHECK(child_exits(child_has, (int[]){SCHED_BATCH, 0, 14}, 0));
	return 0;
}

static bool inheritance(void)
{
	return child_exits(forks, NULL, 0);
}

/* Fields 18, 19, 40 and 41 of /proc/self/stat. */
static bool stat_says(long priority, long nice, unsigned rt_priority, unsigned policy)
{
	char text[1024], *at;
	int fd = open("/proc/self/stat", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	if (!(at = strrchr(text, ')')))
		return false;
	long values[50] = {0};
	at += 4; /* behind the state, field 3 */
	for (int i = 4; i < 50 && *at; i++)
		values[i] = strtol(at, &at, 10);
	return values[18] == priority && values[19] == nice && values[40] == (long)rt_priority &&
	       values[41] == (long)policy;
}

static int shown(void *arg)
{
	(void)arg;
	UCHECK(stat_says(20, 0, 0, SCHED_OTHER));
	UCHECK(sc(setpriority, PRIO_PROCESS, 0, 4) == 0 && set_policy(0, SCHED_RR, 30) == 0);
	UCHECK(stat_says(-31, 4, 30, SCHED_RR));
	UCHECK(set_policy(0, SCHED_IDLE, 0) == 0 && stat_says(24, 4, 0, SCHED_IDLE));
	return 0;
}

static bool in_proc(void)
{
	return child_exits(shown, NULL, 0);
}

/* --- order --- */

struct crew {
	atomic_int next; /* place in `order` */
	int order[64];
	atomic_bool stop;
	int rounds;
};
struct member {
	struct crew *crew;
	int number, policy, priority;
	pthread_t thread;
	atomic_int tid;
	atomic_ulong turns;
	void (*run)(struct member *);
};

static void *member_main(void *arg)
{
	struct member *m = arg;
	atomic_store(&m->tid, (int)sc(gettid));
	set_policy(0, m->policy, m->priority); /* gives way to its maker */
	m->run(m);
	return NULL;
}

static bool member_start(struct member *m)
{
	return pthread_create(&m->thread, NULL, member_main, m) == 0;
}

static void note(struct member *m)
{
	m->crew->order[atomic_fetch_add(&m->crew->next, 1)] = m->number;
}

/* Spin until told, or until patience is over. */
static void spin(struct member *m)
{
	for (time_t end = seconds() + PATIENCE; !atomic_load(&m->crew->stop) && seconds() < end;)
		atomic_fetch_add(&m->turns, 1);
}

static bool order_is(struct crew *c, int n, const int *want)
{
	if (atomic_load(&c->next) != n || memcmp(c->order, want, (size_t)n * sizeof(*want))) {
		for (int i = 0; i < atomic_load(&c->next); i++)
			printf("# place %d: %d\n", i, c->order[i]);
		return false;
	}
	return true;
}

/* They inherit their maker's priority, so that each gets to set its own, which is lower: it comes before its
 * new equals, and all wait for their maker to sleep. */
static int highest_first(void *arg)
{
	static struct crew c;
	static const int priorities[NTHREADS] = {10, 30, 20, 30, 10, 20};
	static struct member m[NTHREADS];
	(void)arg;
	UCHECK(pin(0, nth_cpu(0)) && set_policy(0, SCHED_FIFO, 50) == 0);
	for (int i = 0; i < NTHREADS; i++) {
		m[i] = (struct member){&c, i, SCHED_FIFO, priorities[i], .run = note};
		UCHECK(member_start(&m[i]));
		UCHECK(sc(sched_yield) == 0); /* to its first step, after which it is below us */
	}
	UCHECK(atomic_load(&c.next) == 0);
	for (int i = 0; i < NTHREADS; i++)
		UCHECK(pthread_join(m[i].thread, NULL) == 0);
	UCHECK(order_is(&c, NTHREADS, (int[]){3, 1, 5, 2, 4, 0}));
	return 0;
}

static void note_and_yield(struct member *m)
{
	for (int i = 0; i < m->crew->rounds; i++) {
		note(m);
		sched_yield();
	}
}

static int yields(void *arg)
{
	static struct crew c = {.rounds = 3};
	static struct member m[3];
	(void)arg;
	UCHECK(pin(0, nth_cpu(0)) && set_policy(0, SCHED_FIFO, 50) == 0);
	for (int i = 0; i < 3; i++) {
		m[i] = (struct member){&c, i, SCHED_FIFO, i < 2 ? 20 : 19, .run = note_and_yield};
		UCHECK(member_start(&m[i]) && sc(sched_yield) == 0);
	}
	for (int i = 0; i < 3; i++)
		UCHECK(pthread_join(m[i].thread, NULL) == 0);
	UCHECK(order_is(&c, 9, (int[]){1, 0, 1, 0, 1, 0, 2, 2, 2})); /* equals only */
	return 0;
}

static int preempted_stays_first(void *arg)
{
	static struct crew c = {.rounds = 1};
	static struct member m[3];
	(void)arg;
	UCHECK(pin(0, nth_cpu(0)) && set_policy(0, SCHED_FIFO, 50) == 0);
	for (int i = 0; i < 3; i++) {
		m[i] = (struct member){&c, i, SCHED_FIFO, 20, .run = note};
		UCHECK(member_start(&m[i]) && sc(sched_yield) == 0);
	}
	int up = 30, down = 20;
	UCHECK(sc(sched_setparam, atomic_load(&m[2].tid), &up) == 0);
	UCHECK(sc(sched_setparam, atomic_load(&m[2].tid), &down) == 0); /* lowered: before its equals */
	UCHECK(sc(sched_setparam, atomic_load(&m[1].tid), &(int){19}) == 0);
	UCHECK(sc(sched_setparam, atomic_load(&m[1].tid), &down) == 0); /* raised: behind them */
	for (int i = 0; i < 3; i++)
		UCHECK(pthread_join(m[i].thread, NULL) == 0);
	UCHECK(order_is(&c, 3, (int[]){2, 0, 1}));
	return 0;
}

static bool order(void)
{
	return child_exits(highest_first, NULL, 0) && child_exits(yields, NULL, 0) &&
	       child_exits(preempted_stays_first, NULL, 0);
}

static bool both_turn(struct member *a, struct member *b)
{
	time_t end = seconds() + PATIENCE;
	struct timespec pause = {0, 20000000};
	while (!(atomic_load(&a->turns) && atomic_load(&b->turns)) && seconds() < end)
		nanosleep(&pause, NULL);
	return atomic_load(&a->turns) && atomic_load(&b->turns);
}

static int quantum(void *arg)
{
	static struct crew c;
	static struct member m[2];
	(void)arg;
	UCHECK(pin(0, nth_cpu(0)) && set_policy(0, SCHED_FIFO, 50) == 0);
	for (int i = 0; i < 2; i++) {
		m[i] = (struct member){&c, i, SCHED_RR, 20, .run = spin};
		UCHECK(member_start(&m[i]) && sc(sched_yield) == 0);
	}
	UCHECK(both_turn(&m[0], &m[1]));
	atomic_store(&c.stop, true);
	UCHECK(pthread_join(m[0].thread, NULL) == 0 && pthread_join(m[1].thread, NULL) == 0);
	return 0;
}

static bool round_robin(void)
{
	return child_exits(quantum, NULL, 0);
}

/* --- waking --- */

static int wake_pipe[2];

static void sleep_and_note(struct member *m)
{
	char byte;
	if (read(wake_pipe[0], &byte, 1) == 1)
		note(m);
}

static void wake_and_note(struct member *m)
{
	if (write(wake_pipe[1], "", 1) == 1)
		note(m);
}

static int wakes_here(void *arg)
{
	static struct crew c;
	static struct member sleeper = {&c, 1, SCHED_FIFO, 30, .run = sleep_and_note},
			     waker = {&c, 2, SCHED_FIFO, 20, .run = wake_and_note};
	(void)arg;
	UCHECK(pipe(wake_pipe) == 0 && pin(0, nth_cpu(0)) && set_policy(0, SCHED_FIFO, 10) == 0);
	UCHECK(member_start(&sleeper) && member_start(&waker));
	UCHECK(pthread_join(waker.thread, NULL) == 0 && pthread_join(sleeper.thread, NULL) == 0);
	UCHECK(order_is(&c, 2, (int[]){1, 2}));
	return 0;
}

/* On another CPU, where a thread of less priority spins until the woken one has run. */
static void sleep_and_stop(struct member *m)
{
	char byte;
	if (read(wake_pipe[0], &byte, 1) == 1 && !atomic_exchange(&m->crew->stop, true))
		note(m);
}

static int wakes_there(void *arg)
{
	static struct crew c;
	static struct member sleeper = {&c, 1, SCHED_FIFO, 30, .run = sleep_and_stop},
			     spinner = {&c, 2, SCHED_FIFO, 20, .run = spin};
	int there = nth_cpu(1);
	(void)arg;
	if (there < 0)
		return 0;
	UCHECK(pipe(wake_pipe) == 0 && pin(0, there));
	UCHECK(member_start(&sleeper));
	while (!atomic_load(&sleeper.tid))
		sched_yield();
	UCHECK(member_start(&spinner) && pin(0, nth_cpu(0)));
	while (!atomic_load(&spinner.turns))
		sched_yield();
	time_t start = seconds();
	UCHECK(write(wake_pipe[1], "", 1) == 1);
	UCHECK(pthread_join(sleeper.thread, NULL) == 0 && pthread_join(spinner.thread, NULL) == 0);
	UCHECK(atomic_load(&c.next) == 1 && seconds() - start < PATIENCE);
	return 0;
}

/* One that is pushed off its CPU goes on on another one where nobody as important runs. */
static int goes_elsewhere(void *arg)
{
	static struct crew c;
	static struct member spinner = {&c, 1, SCHED_FIFO, 20, .run = spin},
			     above = {&c, 2, SCHED_FIFO, 30, .run = spin};
	cpu_set_t all;
	(void)arg;
	if (nth_cpu(1) < 0)
		return 0;
	int first = nth_cpu(0);
	UCHECK(sched_getaffinity(0, sizeof(all), &all) == 0 && pin(0, first));
	UCHECK(set_policy(0, SCHED_FIFO, 50) == 0 && member_start(&spinner) && member_start(&above));
	struct timespec pause = {0, 1000000};
	while (!atomic_load(&above.tid) || !atomic_load(&spinner.tid))
		nanosleep(&pause, NULL);
	while (!atomic_load(&above.turns))
		nanosleep(&pause, NULL);
	UCHECK(sched_setaffinity(atomic_load(&spinner.tid), sizeof(all), &all) == 0);
	UCHECK(both_turn(&spinner, &above) && !atomic_exchange(&c.stop, true));
	UCHECK(pthread_join(spinner.thread, NULL) == 0 && pthread_join(above.thread, NULL) == 0);
	return 0;
}

static bool waking(void)
{
	return child_exits(wakes_here, NULL, 0) && child_exits(wakes_there, NULL, 0) &&
	       child_exits(goes_elsewhere, NULL, 0);
}

/* --- shares --- */

/* A thread that spins above all others does not keep an ordinary one of its CPU from stopping it. */
static int others_live(void *arg)
{
	static struct crew c;
	static struct member spinner = {&c, 1, SCHED_FIFO, 99, .run = spin};
	(void)arg;
	UCHECK(pin(0, nth_cpu(0)) && member_start(&spinner));
	while (!atomic_load(&spinner.turns))
		sched_yield();
	UCHECK(!atomic_exchange(&c.stop, true) && pthread_join(spinner.thread, NULL) == 0);
	return 0;
}

/* Beside an idle thread that spins, an ordinary one has nearly all of the CPU. */
static int idle_is_last(void *arg)
{
	static struct crew c;
	static struct member idle = {&c, 1, SCHED_IDLE, 0, .run = spin},
			     usual = {&c, 2, SCHED_OTHER, 0, .run = spin};
	struct timespec end, used;
	clockid_t clock[2];
	(void)arg;
	UCHECK(pin(0, nth_cpu(0)) && member_start(&idle) && member_start(&usual));
	UCHECK(both_turn(&usual, &usual) && pthread_getcpuclockid(idle.thread, &clock[0]) == 0 &&
	       pthread_getcpuclockid(usual.thread, &clock[1]) == 0);
	do {
		UCHECK(nanosleep(&(struct timespec){0, 50000000}, NULL) == 0);
		UCHECK(clock_gettime(clock[1], &end) == 0);
	} while (end.tv_sec == 0 && end.tv_nsec < 500000000);
	UCHECK(clock_gettime(clock[0], &used) == 0 && used.tv_sec == 0 && used.tv_nsec < 100000000);
	atomic_store(&c.stop, true);
	UCHECK(pthread_join(idle.thread, NULL) == 0 && pthread_join(usual.thread, NULL) == 0);
	return 0;
}

static bool shares(void)
{
	return child_exits(others_live, NULL, 0) && child_exits(idle_is_last, NULL, 0);
}

static volatile sig_atomic_t over;

static void on_over(int signal)
{
	over = signal;
}

/* Real time: 20 ms, then SIGXCPU; sleep, and the count begins anew. */
static int limited(void *arg)
{
	bool to_the_end = arg;
	struct rlimit l = {20000, to_the_end ? 60000 : RLIM_INFINITY};
	UCHECK(signal(SIGXCPU, on_over) != SIG_ERR && sc(setrlimit, RLIMIT_RTTIME, &l) == 0);
	UCHECK(set_policy(0, SCHED_RR, 2) == 0);
	for (time_t end = seconds() + PATIENCE; !over && seconds() < end;)
		;
	UCHECK(over == SIGXCPU);
	UCHECK(sc(getrlimit, RLIMIT_RTTIME, &l) == 0 && l.rlim_cur == 1020000);
	for (time_t end = seconds() + PATIENCE; to_the_end && seconds() < end;)
		;
	UCHECK(!to_the_end);
	over = 0;
	l = (struct rlimit){1000000, RLIM_INFINITY};
	UCHECK(sc(setrlimit, RLIMIT_RTTIME, &l) == 0);
	struct timespec used;
	do { /* more than the limit, but never without sleep */
		UCHECK(nanosleep(&(struct timespec){0, 100000}, NULL) == 0);
		for (int i = 0; i < 1000000; i++)
			over = over;
		UCHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
	} while (used.tv_sec < 1 || used.tv_nsec < 200000000);
	UCHECK(!over);
	return 0;
}

static bool limit(void)
{
	return child_exits(limited, NULL, 0) && child_dies(limited, "end", SIGKILL);
}

static bool settings_files(void)
{
	static const struct {
		const char *path;
		const char *value;
	} files[] = {{"/proc/sys/kernel/sched_rr_timeslice_ms", "100\n"},
	    {"/proc/sys/kernel/sched_rt_period_us", "1000000\n"},
	    {"/proc/sys/kernel/sched_rt_runtime_us", "950000\n"}};
	for (unsigned i = 0; i < 3; i++) {
		char text[16] = "";
		int fd = open(files[i].path, O_RDWR);
		CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && !strcmp(text, files[i].value));
		CHECK(pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
		CHECK(FAILS_WITH(pwrite(fd, "x", 1, 0), EINVAL) && close(fd) == 0);
	}
	return true;
}

static const struct utest tests[] = {
    {"policies and priorities", settings},
    {"what children inherit", inheritance},
    {"/proc/PID/stat", in_proc},
    {"who runs first", order},
    {"equals of SCHED_RR take turns", round_robin},
    {"who wakes preempts", waking},
    {"others have their share", shares},
    {"RLIMIT_RTTIME", limit},
    {"/proc/sys/kernel/sched_*", settings_files},
};

int main(void)
{
	if (access("/proc/self", F_OK) && !mkdir("/proc", 0755) && mount("proc", "/proc", "proc", 0, NULL))
		printf("# /proc: errno %d\n", errno);
	return UTEST_RUN(tests);
}
