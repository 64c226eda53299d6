/*
 * udriver.c - the driver of docs/driver-tutorial.md, which is compiled from that text: what it answers, what
 * strangers do to it, and that it can be killed at any moment. This program is its manager and its clients.
 * Quire's own, so not for Linux.
 */
#define _GNU_SOURCE
#include "clock.h"
#include "start.h"
#include <fcntl.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <time.h>

#include "uirq.h"
#include "uroot.h"
#include "utap.h"
#include "uusage.h"

enum { IN, OUT };
enum {
	PATIENCE = 60,      /* seconds after which something does not happen any more */
	DIFFERENCE = 60,    /* seconds between two clocks that were read at different times */
	WATCHERS = 16,      /* the driver's limit */
	LINE = 8,           /* the clock's interrupt */
	INDEX = 0x70,       /* its ports */
	DATA = 0x71,        /* ... */
	STATUS_B = 11,      /* a register */
	B_EVERYTHING = 0xf0 /* of it: stopped, and all its interrupts on */
};

static int root, program, ping[2], door[2];
static pid_t driver;
static int driver_process;

static uint64_t nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static uint64_t soon(void)
{
	return nanoseconds() + PATIENCE * 1000000000ULL;
}

static bool is_late(uint64_t deadline)
{
	sched_yield();
	return nanoseconds() > deadline;
}

/* --- its manager --- */

static bool start(void)
{
	driver_process = start_clock(program, root, ping[IN], door[IN], &driver);
	return driver_process >= 0;
}

/* How the driver has ended, which is waited for. */
static int end_of_driver(void)
{
	int status = -1;
	while (waitpid(driver, &status, 0) < 0 && errno == EINTR)
		;
	close(driver_process);
	return status;
}

static bool stop(void)
{
	int status = kill(driver, SIGKILL) ? -1 : end_of_driver();
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static unsigned count_its_fds(void)
{
	char path[32];
	unsigned n = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", driver);
	DIR *d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* --- its clients --- */

static int64_t now_is(void)
{
	int64_t moment = 0;
	int watch;
	return clock_call(door[OUT], CLOCK_TIME, &moment, &watch, soon()) || watch != -1 ? -1 : moment;
}

/* A descriptor that is told of ticks, or of an alarm. *moment becomes the time. */
static int watch_for(enum clock_request what, int64_t *moment)
{
	int watch = -1;
	return clock_call(door[OUT], what, moment, &watch, soon()) ? -1 : watch;
}

static int watch_ticks(void)
{
	int64_t moment = 0;
	return watch_for(CLOCK_TICKS, &moment);
}

/* It is told, and again. What it is told first may have happened before. */
static bool ticks(int watch)
{
	int64_t before = now_is();
	CHECK(before > 0);
	for (int i = 0; i < 2; i++)
		CHECK(clock_wait(watch, soon()) == 0 && now_is() >= before + i);
	return true;
}

static bool test_time(void)
{
	struct timespec now;
	int64_t first = now_is();
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(first > now.tv_sec - DIFFERENCE && first < now.tv_sec + DIFFERENCE);
	int64_t next = first;
	for (uint64_t end = soon(); next == first && !is_late(end);)
		next = now_is();
	CHECK(next > first && next < first + DIFFERENCE);
	return true;
}

/* Each time that we are told, it is later than it was before. */
static bool test_ticks(void)
{
	int64_t first = 0, told;
	int watch = watch_for(CLOCK_TICKS, &first);
	CHECK(watch >= 0 && fcntl(watch, F_GETFD) == FD_CLOEXEC);
	for (int i = 1; i <= 3; i++) {
		CHECK(clock_wait(watch, soon()) == 0);
		told = now_is();
		CHECK(told >= first + i);
	}
	close(watch);
	return true;
}

static bool test_alarm(void)
{
	int64_t now = now_is(), moment = now + 2;
	int watch = watch_for(CLOCK_ALARM, &moment);
	CHECK(watch >= 0 && moment >= now);
	CHECK(clock_wait(watch, soon()) == 0 && now_is() >= now + 2);
	CHECK(clock_wait(watch, soon()) == EPIPE); /* once */
	close(watch);
	moment = INT64_MIN; /* it is too late for that: now */
	watch = watch_for(CLOCK_ALARM, &moment);
	CHECK(watch >= 0 && clock_wait(watch, soon()) == 0);
	close(watch);
	return true;
}

static bool is_well(void)
{
	struct quire_message m = {.tag = 1};
	CHECK(quire_endpoint_call(ping[OUT], &m, soon()) == 0);
	CHECK(m.len == 0 && m.nfds == 0);
	return true;
}

static bool test_ping(void)
{
	for (unsigned i = 0; i < 100; i++)
		CHECK(is_well() && (i % 10 || now_is() > 0));
	return true;
}

/* --- strangers --- */

static char large[QUIRE_MESSAGE_MAX];

/* A call with `nfds` descriptors and `len` bytes: how it is answered. */
static int strange_call(uint64_t tag, unsigned nfds, uint32_t len)
{
	struct quire_message m = {
	    .tag = tag, .data = (uintptr_t)large, .capacity = sizeof(large), .len = len};
	for (m.nfds = 0; m.nfds < nfds; m.nfds++)
		m.fds[m.nfds] = open("/dev/null", O_RDONLY);
	return quire_endpoint_call(door[OUT], &m, soon()) ? -errno : (int)m.tag;
}

static bool test_nonsense(void)
{
	CHECK(strange_call(0, 0, 8) == ENOSYS && strange_call(4, 0, 8) == ENOSYS);
	CHECK(strange_call(UINT64_MAX, 0, 8) == ENOSYS && strange_call(CLOCK_TIME, 0, 0) == EINVAL);
	CHECK(strange_call(CLOCK_TICKS, 0, 7) == EINVAL && strange_call(CLOCK_TICKS, 0, 9) == EINVAL);
	return now_is() > 0;
}

/* Its table is as it was; it may learn a second later that somebody has gone. */
static bool holds(unsigned fds)
{
	for (uint64_t end = soon(); count_its_fds() != fds;)
		if (is_late(end))
			return false;
	return true;
}

static bool test_strangers(void)
{
	struct quire_message m = {.tag = CLOCK_TICKS, .len = 8};
	CHECK(now_is() > 0);
	unsigned fds = count_its_fds();
	for (unsigned i = 0; i < 300; i++) {
		CHECK(strange_call(CLOCK_TIME, QUIRE_MESSAGE_FDS, sizeof(large)) == EINVAL);
		CHECK(strange_call(CLOCK_TIME, i % 9, 8) == 0);
		CHECK(quire_endpoint_send(door[OUT], &m, soon()) == 0); /* wants no answer */
		(void)quire_endpoint_call(door[OUT], &m, QUIRE_NOW);    /* waits for none */
	}
	CHECK(now_is() > 0 && is_well() && holds(fds));
	return true;
}

/* Clients that give up at any moment, also between their call and the answer. */
static bool test_impatient(void)
{
	CHECK(now_is() > 0);
	unsigned fds = count_its_fds();
	for (unsigned i = 0; i < 2000; i++) {
		int64_t moment = 0;
		int watch = -1;
		int error = clock_call(door[OUT], CLOCK_TICKS, &moment, &watch, nanoseconds() + i * 100);
		CHECK(error == 0 || error == ETIMEDOUT || error == EAGAIN);
		if (watch >= 0)
			close(watch);
	}
	CHECK(is_well() && holds(fds));
	return true;
}

static volatile unsigned *answered; /* calls of a client that is a process of its own */

/* Call for ever. EPIPE: the driver was killed. */
static int child_calls(void)
{
	for (;; ++*answered) {
		int64_t moment = 0;
		int watch = -1, error = clock_call(door[OUT], 1 + *answered % 2, &moment, &watch, soon());
		errno = error;
		UCHECK(error == 0 || error == EPIPE || error == EAGAIN);
		close(watch);
	}
}

static pid_t start_client(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child_calls());
	return pid;
}

static bool is_answered(unsigned times)
{
	unsigned from = *answered;
	for (uint64_t end = soon(); *answered - from < times;)
		if (is_late(end))
			return false;
	return true;
}

static bool stop_client(pid_t pid)
{
	int status = -1;
	CHECK(kill(pid, SIGKILL) == 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	CHECK(WIFSIGNALED(status)); /* it had no complaint */
	return true;
}

static bool test_clients_killed(void)
{
	CHECK(now_is() > 0);
	unsigned fds = count_its_fds();
	for (unsigned i = 0; i < 20; i++) {
		pid_t pid = start_client();
		CHECK(is_answered(1 + i % 5) && stop_client(pid));
	}
	CHECK(is_well() && holds(fds));
	return true;
}

static bool test_no_room(void)
{
	int64_t moment = 0;
	int watches[WATCHERS], more = -1;
	for (unsigned i = 0; i < WATCHERS; i++)
		CHECK((watches[i] = watch_ticks()) >= 0);
	CHECK(clock_call(door[OUT], CLOCK_TICKS, &moment, &more, soon()) == EAGAIN && more == -1);
	CHECK(ticks(watches[0]) && ticks(watches[WATCHERS - 1]));
	close(watches[3]);
	CHECK((watches[3] = watch_ticks()) >= 0 && ticks(watches[3]));
	for (unsigned i = 0; i < WATCHERS; i++)
		close(watches[i]);
	return true;
}

/* Two seconds of the clock without an interrupt: it may take one more to see that nobody waits. */
static bool test_quiet(void)
{
	int watch = watch_ticks();
	long count = count_interrupts(LINE);
	CHECK(ticks(watch) && count_interrupts(LINE) > count);
	close(watch);
	uint64_t end = soon();
	do {
		count = count_interrupts(LINE);
		int64_t from = now_is();
		CHECK(from > 0 && !is_late(end));
		while (now_is() < from + 2)
			CHECK(!is_late(end));
	} while (count_interrupts(LINE) != count);
	return true;
}

/* --- killed --- */

static bool test_watchers_told(void)
{
	int64_t never = INT64_MAX;
	int each_second = watch_ticks(), once = watch_for(CLOCK_ALARM, &never);
	CHECK(each_second >= 0 && once >= 0 && ticks(each_second) && stop());
	CHECK(clock_wait(once, soon()) == EPIPE);
	for (int error = 0; error != EPIPE;) { /* a tick may have been on its way */
		error = clock_wait(each_second, soon());
		CHECK(error == 0 || error == EPIPE);
	}
	close(once);
	close(each_second);
	int irq = (int)quire_system_irq(root, LINE, QUIRE_IRQ_ISA); /* free at once */
	CHECK(irq >= 0);
	close(irq);
	CHECK(start() && now_is() > 0);
	return true;
}

static int asks_once(void *arg)
{
	(void)arg;
	UCHECK(now_is() > 0);
	return 0;
}

static bool test_calls_wait(void)
{
	struct quire_wait queued = {.fd = door[IN], .mask = QUIRE_SIGNAL_READABLE};
	int status = -1;
	CHECK(stop());
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(asks_once(NULL));
	CHECK(quire_object_wait(&queued, 1, soon()) == 1 && start());
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	CHECK(status == 0);
	return true;
}

static bool test_killed_any_time(void)
{
	pid_t client = start_client();
	for (unsigned i = 0; i < 20; i++) {
		CHECK(is_answered(i % 7));
		CHECK(stop() && start());
	}
	CHECK(is_answered(10) && stop_client(client));
	int watch = watch_ticks();
	CHECK(ticks(watch));
	close(watch);
	return true;
}

/* The chip interrupts for every reason, stands still, and holds its line up: somebody was killed before he
 * asked why. */
static bool make_worst_state(void)
{
	int irq = (int)quire_system_irq(root, LINE, QUIRE_IRQ_ISA);
	struct quire_wait came = {.fd = irq, .mask = QUIRE_SIGNAL_READABLE};
	CHECK(irq >= 0 && quire_irq_acknowledge(irq) == 0);
	outb(STATUS_B, INDEX);
	unsigned char was = inb(DATA);
	outb((was & 0x0f) | (B_EVERYTHING & 0x7f), DATA);
	CHECK(quire_object_wait(&came, 1, soon()) == 1);
	outb(was | B_EVERYTHING, DATA);
	close(irq);
	return true;
}

static bool test_worst_state(void)
{
	for (unsigned i = 0; i < 3; i++) {
		CHECK(stop() && make_worst_state() && start());
		int watch = watch_ticks();
		CHECK(watch >= 0 && ticks(watch) && is_well());
		close(watch);
	}
	return true;
}

/* --- ends by itself --- */

static bool test_device_taken(void)
{
	CHECK(stop());
	int irq = (int)quire_system_irq(root, LINE, QUIRE_IRQ_ISA);
	CHECK(irq >= 0 && start());
	int status = end_of_driver();
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(irq);
	CHECK(start() && now_is() > 0);
	return true;
}

static bool test_manager_gone(void)
{
	close(ping[OUT]);
	int status = end_of_driver();
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(ping[IN]);
	CHECK(quire_endpoint_create(ping, 0) == 0 && start() && is_well());
	return true;
}

static void close_endpoints(void)
{
	for (int i = IN; i <= OUT; i++) {
		close(ping[i]);
		close(door[i]);
	}
}

/* Endpoints go as well: they keep a reply for the next call. */
static bool test_nothing_left(void)
{
	struct usage before;
	CHECK(stop());
	close_endpoints();
	usage_take(&before);
	for (unsigned i = 0; i < 5; i++) {
		CHECK(!quire_endpoint_create(ping, 0) && !quire_endpoint_create(door, 0) && start());
		int watch = watch_ticks();
		CHECK(watch >= 0 && (i % 2 || clock_wait(watch, soon()) == 0) && stop());
		close(watch);
		close_endpoints();
	}
	CHECK(nothing_is_left(&before));
	return true;
}

static const struct utest tests[] = {
    {"it tells the time", test_time},
    {"it tells each second", test_ticks},
    {"it tells once, at a moment", test_alarm},
    {"it answers pings", test_ping},
    {"what it does not understand", test_nonsense},
    {"strangers leave nothing in it", test_strangers},
    {"clients that give up leave nothing in it", test_impatient},
    {"clients that are killed leave nothing in it", test_clients_killed},
    {"more watchers than there is room for", test_no_room},
    {"no interrupts while nobody waits", test_quiet},
    {"killed: who waits is told, and the line is free", test_watchers_told},
    {"killed: calls wait for the successor", test_calls_wait},
    {"killed at any moment", test_killed_any_time},
    {"it takes over a device in any state", test_worst_state},
    {"without its device it fails", test_device_taken},
    {"it ends with its manager", test_manager_gone},
    {"nothing is left of it", test_nothing_left},
};

static bool begin(void)
{
	answered = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	program = open("/service/clock", O_RDONLY | O_CLOEXEC);
	fcntl(root, F_SETFD, FD_CLOEXEC);
	return (void *)answered != MAP_FAILED && program >= 0 && utest_proc() &&
	       !quire_system_ports(root, INDEX, 2) && !quire_endpoint_create(ping, 0) &&
	       !quire_endpoint_create(door, 0) && start();
}

int main(void)
{
	root = system_given();
	if (root <= 0) {
		printf("1..0 # SKIP nobody gave us the system object\n");
		return 0;
	}
	if (!begin()) {
		printf("1..1\nnot ok 1 - the driver cannot be started: errno %d\n", errno);
		return 1;
	}
	return UTEST_RUN(tests);
}
