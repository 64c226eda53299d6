/*
 * uhandoff.c - messages hand the CPU from thread to thread, past the queue of those that wait for it: what
 * the scheduler promises to the others holds all the same.
 *
 * Nothing here depends on how fast anything is: each test waits for what has to happen, in vain if the
 * promise is broken.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "utap.h"

enum { LONG = 60 /* seconds after which a child gives up */, CALLS = 200 };

/* The two ends. */
enum { IN, OUT };
static int ends[2];

/* What the processes of a test tell each other. */
static volatile struct {
	unsigned answered;  /* calls */
	unsigned counted;   /* steps of a thread that does nothing but count */
	unsigned order;     /* who comes next */
	unsigned places[2]; /* who came when */
	int wrong;
} * seen;

static bool begin(void)
{
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return (void *)seen != MAP_FAILED && quire_endpoint_create(ends, 0) == 0;
}

static void end(void)
{
	close(ends[IN]);
	close(ends[OUT]);
	munmap((void *)seen, sizeof(*seen));
}

static bool bind_to(unsigned cpu)
{
	uint64_t mask = 1ULL << cpu;
	return sc(sched_setaffinity, 0, sizeof(mask), &mask) == 0;
}

static unsigned cpu_now(void)
{
	unsigned cpu = ~0u;
	sc(getcpu, &cpu, NULL, NULL);
	return cpu;
}

static unsigned count_cpus(void)
{
	uint64_t mask = 0;
	return sc(sched_getaffinity, 0, sizeof(mask), &mask) > 0 ? (unsigned)__builtin_popcountll(mask) : 0;
}

static uint64_t nanoseconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* A child on this CPU that runs fn and exits with what that returns. */
static pid_t start_on(unsigned cpu, int (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(LONG);
		_exit(bind_to(cpu) ? fn() : 1);
	}
	return pid;
}

static bool went_well(pid_t pid)
{
	int status = -1;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Has *what reached `goal`? For whoever makes it do so is waited. */
static bool reaches(const volatile unsigned *what, unsigned goal)
{
	for (unsigned i = 0; *what < goal && i < LONG * 1000; i++)
		usleep(1000);
	return *what >= goal;
}

static int child_serves(void)
{
	struct quire_message m;
	int reply = QUIRE_NO_REPLY;
	close(ends[OUT]);
	while (quire_endpoint_reply_receive(reply, ends[IN], &m, QUIRE_NEVER) == 0) {
		reply = m.reply;
		seen->answered++;
	}
	return errno != EPIPE;
}

static int child_asks_forever(void)
{
	struct quire_message m = {0};
	close(ends[IN]);
	while (quire_endpoint_call(ends[OUT], &m, QUIRE_NEVER) == 0)
		;
	return 1;
}

static int child_counts_forever(void)
{
	while (++seen->counted) /* until somebody ends it */
		;
	return 1;
}

/* --- the others' share --- */

static bool test_share(void)
{
	CHECK(begin());
	pid_t server = start_on(0, child_serves), asks = start_on(0, child_asks_forever);
	CHECK(reaches(&seen->answered, 100));
	pid_t counts = start_on(0, child_counts_forever);
	CHECK(reaches(&seen->counted, 100000));
	unsigned answered = seen->answered, counted = seen->counted;
	CHECK(reaches(&seen->answered, answered + 500)); /* nor does it starve them */
	CHECK(reaches(&seen->counted, counted + 100000));
	stop(counts);
	stop(asks);
	close(ends[OUT]);
	CHECK(went_well(server));
	end();
	return true;
}

/* --- ranks --- */

static int wake[2];

static bool set_rank(int rank)
{
	struct sched_param p = {.sched_priority = rank};
	return sc(sched_setscheduler, 0, SCHED_FIFO, &p) == 0;
}

static void came(unsigned who)
{
	seen->places[who] = ++seen->order;
}

static int child_of_rank_wakes(void)
{
	char c;
	UCHECK(set_rank(10));
	seen->counted = 1;
	UCHECK(read(wake[0], &c, 1) == 1);
	came(0);
	return 0;
}

static int child_without_rank_receives(void)
{
	struct quire_message m = {0};
	close(ends[OUT]);
	UCHECK(quire_endpoint_receive(ends[IN], &m, QUIRE_NEVER) == 0);
	came(1);
	return 0;
}

/* Of rank 20, so that who is woken has to wait until this one sleeps: then it comes before the receiver. */
static int child_of_higher_rank_sends(void)
{
	struct quire_message m = {0};
	UCHECK(set_rank(20));
	UCHECK(write(wake[1], "x", 1) == 1);
	UCHECK(seen->order == 0);
	return quire_endpoint_send(ends[OUT], &m, QUIRE_NEVER) != 0;
}

/* How much of a second those of rank may have, in microseconds; -1: all of it, however long the host keeps
 * one of them from running. */
static bool set_share_of_ranks(const char *share)
{
	int fd = utest_proc() ? open("/proc/sys/kernel/sched_rt_runtime_us", O_WRONLY) : -1;
	bool set = fd >= 0 && write(fd, share, strlen(share)) == (ssize_t)strlen(share);
	close(fd);
	return set;
}

static bool test_ranks(void)
{
	struct quire_wait sleeps;
	CHECK(begin() && pipe(wake) == 0 && set_share_of_ranks("-1"));
	pid_t receiver = start_on(0, child_without_rank_receives);
	pid_t woken = start_on(0, child_of_rank_wakes);
	sleeps = (struct quire_wait){.fd = ends[OUT], .mask = QUIRE_SIGNAL_WRITABLE};
	CHECK(quire_object_wait(&sleeps, 1, nanoseconds(CLOCK_MONOTONIC) + LONG * 1000000000ULL) == 1);
	CHECK(reaches(&seen->counted, 1));
	pid_t sender = start_on(0, child_of_higher_rank_sends);
	CHECK(went_well(sender) && went_well(woken) && went_well(receiver));
	CHECK(set_share_of_ranks("950000"));
	CHECK(seen->places[0] == 1 && seen->places[1] == 2);
	close(wake[0]);
	close(wake[1]);
	end();
	return true;
}

/* --- where threads may run --- */

static int child_serves_at_home(void)
{
	struct quire_message m;
	int reply = QUIRE_NO_REPLY;
	unsigned home = cpu_now();
	close(ends[OUT]);
	while (quire_endpoint_reply_receive(reply, ends[IN], &m, QUIRE_NEVER) == 0) {
		reply = m.reply;
		seen->wrong += cpu_now() != home;
	}
	return errno != EPIPE;
}

static int child_asks_at_home(void)
{
	struct quire_message m = {0};
	unsigned home = cpu_now();
	close(ends[IN]);
	for (unsigned i = 0; i < CALLS; i++) {
		UCHECK(quire_endpoint_call(ends[OUT], &m, QUIRE_NEVER) == 0);
		seen->wrong += cpu_now() != home;
	}
	return 0;
}

static bool test_places(void)
{
	unsigned other = count_cpus() > 1; /* with one CPU there is nothing to do wrong */
	CHECK(begin());
	pid_t server = start_on(other, child_serves_at_home), asks = start_on(0, child_asks_at_home);
	CHECK(went_well(asks));
	close(ends[OUT]);
	CHECK(went_well(server) && seen->wrong == 0);
	end();
	return true;
}

/* --- whose time it is --- */

enum { WORK = 2000000 /* ns of the server's own time for an answer */, JOBS = 30 };

static int child_works(void)
{
	struct quire_message m;
	int reply = QUIRE_NO_REPLY;
	close(ends[OUT]);
	while (quire_endpoint_reply_receive(reply, ends[IN], &m, QUIRE_NEVER) == 0) {
		uint64_t begun = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
		while (nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begun < WORK)
			;
		m.tag = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
		reply = m.reply;
	}
	return errno != EPIPE;
}

/* What the two of them have used on one CPU is no more than has passed, and the server's part is the
 * server's. */
static int child_has_work_done(void)
{
	struct quire_message m = {0};
	close(ends[IN]);
	uint64_t begun = nanoseconds(CLOCK_MONOTONIC);
	UCHECK(quire_endpoint_call(ends[OUT], &m, QUIRE_NEVER) == 0);
	uint64_t theirs = m.tag, own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; i < JOBS; i++)
		UCHECK(quire_endpoint_call(ends[OUT], &m, QUIRE_NEVER) == 0);
	theirs = m.tag - theirs;
	own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - own;
	uint64_t passed = nanoseconds(CLOCK_MONOTONIC) - begun;
	UCHECK(theirs >= (uint64_t)JOBS * WORK && own > 0);
	return theirs + own > passed;
}

static bool test_time(void)
{
	CHECK(begin());
	pid_t server = start_on(0, child_works), asks = start_on(0, child_has_work_done);
	CHECK(went_well(asks));
	close(ends[OUT]);
	CHECK(went_well(server));
	end();
	return true;
}

/* --- giving up in the moment of the hand-over --- */

static void on_signal(int signo)
{
	(void)signo;
}

/* Calls end by their deadlines and by signals, with the receiver just woken: each is answered or is not. */
static int child_gives_up(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct quire_message m = {0};
	close(ends[IN]);
	sigaction(SIGUSR1, &sa, NULL);
	__atomic_add_fetch(&seen->counted, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < CALLS; i++) {
		m.tag = i;
		long result = quire_endpoint_call(ends[OUT], &m, nanoseconds(CLOCK_MONOTONIC) + 1000 * i);
		UCHECK(result == 0 ? m.tag == i : errno == ETIMEDOUT || errno == EINTR || errno == EPIPE);
	}
	return 0;
}

static bool test_giving_up(void)
{
	CHECK(begin());
	unsigned other = count_cpus() > 1;
	pid_t servers[2] = {start_on(0, child_serves), start_on(other, child_serves)};
	pid_t asks[2] = {start_on(0, child_gives_up), start_on(other, child_gives_up)};
	CHECK(reaches(&seen->counted, 2));
	for (unsigned i = 0; i < CALLS; i++) {
		kill(asks[i % 2], SIGUSR1);
		sched_yield();
	}
	CHECK(went_well(asks[0]) && went_well(asks[1]));
	struct quire_message m = {0};
	CHECK(quire_endpoint_call(ends[OUT], &m, QUIRE_NEVER) ==
	      0); /* whoever was woken for nothing is there */
	CHECK(quire_endpoint_call(ends[OUT], &m, QUIRE_NEVER) == 0);
	close(ends[OUT]);
	CHECK(went_well(servers[0]) && went_well(servers[1]));
	end();
	return true;
}

static const struct utest tests[] = {
    {"a pair that never sleeps leaves the others their share", test_share},
    {"who is of higher rank comes before the receiver", test_ranks},
    {"nobody is handed to a CPU where he may not run", test_places},
    {"each is charged for its own time", test_time},
    {"who gives up while the receiver wakes leaves it to the next", test_giving_up},
};

int main(void)
{
	return UTEST_RUN(tests);
}
