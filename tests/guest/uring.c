/*
 * uring.c - rings of bytes between two sides (quire/ring.h): what arrives, who is woken, what becomes of one
 * side when the other ends, and what a hostile one can do. Quire's own, so not for Linux.
 *
 * A byte is told by its place in the stream, so whoever reads checks all. Nothing waits for a time.
 */
#define _GNU_SOURCE
#include <unistd.h>

/* The calls that the library makes are counted. */
static _Thread_local unsigned long ncalls;
#define syscall(...) (ncalls++, syscall(__VA_ARGS__))
#include <quire/ring.h>
#undef syscall

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>

#include "utap.h"
#include "uusage.h"

enum { PAGE = 4096, PATIENCE = 60 /* seconds that nothing here takes */ };
static struct quire_ring producer, consumer;

static uint64_t soon(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec + PATIENCE) * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static bool make_ring(size_t size)
{
	int p[QUIRE_RING_FDS], c[QUIRE_RING_FDS];
	return !quire_ring_create(size, p, c) && !quire_ring_open(&producer, p, false) &&
	       !quire_ring_open(&consumer, c, true);
}

static void end_ring(void)
{
	quire_ring_close(&producer);
	quire_ring_close(&consumer);
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

static void fill(uint8_t *at, uint64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = byte_at(from + i);
}

static bool is_filled(const uint8_t *at, uint64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != byte_at(from + i))
			return false;
	return true;
}

static unsigned random_below(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % n;
}

/* Produce up to n bytes of the stream in place. -1: errno. */
static ssize_t produce(struct quire_ring *r, size_t n)
{
	void *at;
	ssize_t room = quire_ring_wait(r, 0, &at, soon());
	if (room < 0)
		return -1;
	n = n < (size_t)room ? n : (size_t)room;
	fill(at, r->position, n);
	quire_ring_pass(r, n);
	return (ssize_t)n;
}

/* Consume up to n bytes and check them. -1: errno; 0 if they are wrong. */
static ssize_t consume(struct quire_ring *r, size_t n)
{
	void *at;
	ssize_t have = quire_ring_wait(r, 0, &at, soon());
	if (have < 0)
		return -1;
	n = n < (size_t)have ? n : (size_t)have;
	if (!is_filled(at, r->position, n))
		return 0;
	quire_ring_pass(r, n);
	return (ssize_t)n;
}

static int end_of(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* --- what arrives --- */

static bool test_every_offset(void)
{
	CHECK(make_ring(PAGE));
	for (unsigned start = 0; start < PAGE; start++) {
		const unsigned len = start % 64 ? 1 + start * 7 % 200 : PAGE;
		void *at;
		CHECK(quire_ring_look(&producer, &at) == PAGE);
		CHECK(produce(&producer, len) == len && quire_ring_look(&producer, &at) == PAGE - len);
		CHECK(quire_ring_look(&consumer, &at) == len);
		CHECK(is_filled(at, consumer.position, len)); /* in a row, over the end */
		CHECK(consume(&consumer, PAGE) == len && quire_ring_look(&consumer, &at) == 0);
		quire_ring_pass(&producer, PAGE - len); /* to the next start */
		quire_ring_pass(&consumer, PAGE - len);
		CHECK(produce(&producer, 1) == 1 && consume(&consumer, 1) == 1);
	}
	end_ring();
	return true;
}

static bool test_no_calls(void)
{
	unsigned seed = 1;
	CHECK(make_ring(16 * PAGE) && produce(&producer, 8 * PAGE) == 8 * PAGE);
	ncalls = 0;
	for (unsigned i = 0; i < 2000; i++) {
		unsigned n = 1 + random_below(&seed, PAGE);
		CHECK(produce(&producer, n) == n && consume(&consumer, n) == n);
	}
	CHECK(ncalls == 0);
	end_ring();
	return true;
}

static bool test_read_write(void)
{
	uint8_t out[3 * PAGE], in[3 * PAGE];
	CHECK(make_ring(PAGE));
	fill(out, 0, sizeof(out));
	CHECK(quire_ring_write(&producer, out, 100, QUIRE_NOW) == 100);
	CHECK(quire_ring_write(&producer, out + 100, PAGE, QUIRE_NOW) == PAGE - 100); /* what fits */
	CHECK(FAILS_WITH(quire_ring_write(&producer, out, 1, QUIRE_NOW), ETIMEDOUT));
	CHECK(quire_ring_read(&consumer, in, 10, QUIRE_NOW) == 10);
	CHECK(quire_ring_read(&consumer, in + 10, sizeof(in), QUIRE_NOW) == PAGE - 10);
	CHECK(FAILS_WITH(quire_ring_read(&consumer, in, 1, QUIRE_NOW), ETIMEDOUT));
	CHECK(!memcmp(in, out, PAGE) && quire_ring_write(&producer, out, 0, QUIRE_NOW) == 0);
	CHECK(quire_ring_write(&producer, out, 5, QUIRE_NOW) == 5);
	quire_ring_close(&producer);
	CHECK(
	    quire_ring_read(&consumer, in, 3, soon()) == 3 && quire_ring_read(&consumer, in, 3, soon()) == 2);
	CHECK(quire_ring_read(&consumer, in, 3, soon()) == 0); /* the end */
	quire_ring_close(&consumer);
	return true;
}

/* --- sleeping and waking --- */

static size_t ring_size, total;

static int child_produces(void)
{
	unsigned seed = 7;
	quire_ring_close(&consumer);
	while (producer.position < total) {
		uint64_t left = total - producer.position;
		unsigned n = 1 + random_below(&seed, (unsigned)ring_size);
		UCHECK(produce(&producer, n < left ? n : left) > 0);
	}
	return 0;
}

static pid_t start(int (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn());
	return pid;
}

/* A stream from a process, in pieces of any length; each side is now the faster one. */
static bool streams(size_t size, size_t bytes)
{
	unsigned seed = 3;
	ring_size = size;
	total = bytes;
	CHECK(make_ring(size));
	pid_t pid = start(child_produces);
	quire_ring_close(&producer);
	while (consumer.position < total)
		CHECK(consume(&consumer, 1 + random_below(&seed, (unsigned)size)) > 0);
	CHECK(FAILS_WITH(consume(&consumer, 1), EPIPE) && end_of(pid) == 0);
	quire_ring_close(&consumer);
	return true;
}

static bool test_stream(void)
{
	for (unsigned i = 0; i < 3; i++)
		CHECK(streams(PAGE, 1 << 18) && streams(16 * PAGE, 1 << 20));
	return true;
}

/* Both sides at the edges all the time: a byte at a time, a ring that is full or empty. */
static int child_is_hasty(void)
{
	quire_ring_close(&consumer);
	while (producer.position < total)
		UCHECK(produce(&producer, producer.position % 3 ? 1 : PAGE) > 0);
	return 0;
}

static bool test_edges(void)
{
	for (unsigned i = 0; i < 5; i++) {
		CHECK(make_ring(PAGE));
		total = 50 * PAGE;
		pid_t pid = start(child_is_hasty);
		quire_ring_close(&producer);
		while (consumer.position < total)
			CHECK(consume(&consumer, consumer.position % 5 ? 1 : PAGE) > 0);
		quire_ring_close(&consumer);
		CHECK(end_of(pid) == 0);
	}
	return true;
}

enum { ROUNDS = 1000 };
static struct quire_ring there[2], back[2]; /* producer, consumer */

static bool open_pair(struct quire_ring *pair)
{
	if (!make_ring(PAGE))
		return false;
	pair[0] = producer;
	pair[1] = consumer;
	return true;
}

static void *thread_answers(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		if (consume(&there[1], 1) != 1 || produce(&back[0], 1) != 1)
			return arg;
	return NULL;
}

/* Each side sleeps once for each byte. A waking that is lost is a wait of a minute, and an error. */
static bool test_ping_pong(void)
{
	pthread_t t;
	void *failed;
	CHECK(open_pair(there) && open_pair(back));
	CHECK(!pthread_create(&t, NULL, thread_answers, there));
	for (unsigned i = 0; i < ROUNDS; i++)
		CHECK(produce(&there[0], 1) == 1 && consume(&back[1], 1) == 1);
	CHECK(!pthread_join(t, &failed) && !failed);
	for (unsigned i = 0; i < 2; i++) {
		quire_ring_close(&there[i]);
		quire_ring_close(&back[i]);
	}
	return true;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static bool test_given_up(void)
{
	struct sigaction sa = {.sa_handler = on_alarm}, old;
	const struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
	void *at;
	CHECK(make_ring(PAGE));
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, QUIRE_NOW), ETIMEDOUT));
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, soon() - PATIENCE * 1000000000ULL), ETIMEDOUT));
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, PAGE, &at, soon()), EINVAL));
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, soon()), EINTR));
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK(produce(&producer, 10) == 10 && consume(&consumer, 5) == 5); /* and it is as before */
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 5, &at, QUIRE_NOW), ETIMEDOUT));
	CHECK(produce(&producer, 1) == 1 && quire_ring_wait(&consumer, 5, &at, soon()) == 6);
	end_ring();
	return true;
}

static void *thread_produces(void *arg)
{
	(void)arg;
	return (void *)produce(&producer, 1);
}

static bool test_poll(void)
{
	void *at, *made;
	pthread_t t;
	CHECK(make_ring(PAGE));
	struct pollfd p = {.fd = consumer.wait, .events = POLLIN};
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, consumer.wait, &e) == 0);
	for (unsigned i = 0; i < 200; i++) {
		CHECK(quire_ring_prepare(&consumer, 0) && poll(&p, 1, 0) == 0);
		CHECK(!pthread_create(&t, NULL, thread_produces, NULL));
		CHECK(i % 2 ? poll(&p, 1, PATIENCE * 1000) == 1 && p.revents == POLLIN
			    : epoll_wait(ep, &e, 1, PATIENCE * 1000) == 1 && e.events == EPOLLIN);
		CHECK(quire_ring_wait(&consumer, 0, &at, QUIRE_NOW) == 1);
		CHECK(!quire_ring_prepare(&consumer, 0) && consume(&consumer, 1) == 1);
		CHECK(!pthread_join(t, &made) && made == (void *)1);
		CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, QUIRE_NOW), ETIMEDOUT)); /* forgets */
	}
	CHECK(quire_ring_prepare(&consumer, 0) && poll(&p, 1, 0) == 0);
	quire_ring_close(&producer);
	CHECK(poll(&p, 1, PATIENCE * 1000) == 1 && (p.revents & POLLHUP));
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, QUIRE_NOW), EPIPE));
	close(ep);
	quire_ring_close(&consumer);
	return true;
}

/* --- the other side ends --- */

static int child_produces_for_ever(void)
{
	unsigned seed = (unsigned)getpid();
	quire_ring_close(&consumer);
	for (;;)
		UCHECK(produce(&producer, 1 + random_below(&seed, 3000)) > 0);
}

static int child_consumes_for_ever(void)
{
	unsigned seed = (unsigned)getpid();
	quire_ring_close(&producer);
	for (;;)
		UCHECK(consume(&consumer, 1 + random_below(&seed, 3000)) > 0);
}

static bool kills(pid_t pid)
{
	CHECK(kill(pid, SIGKILL) == 0);
	int status = end_of(pid);
	CHECK(WIFSIGNALED(status)); /* it had no complaint */
	return true;
}

/* What was produced before the death is there, and right, and then it is the end. */
static bool test_producer_killed(void)
{
	for (unsigned i = 0; i < 30; i++) {
		CHECK(make_ring(PAGE << i % 4));
		pid_t pid = start(child_produces_for_ever);
		quire_ring_close(&producer);
		while (consumer.position < i * 1000)
			CHECK(consume(&consumer, 500 + i) > 0);
		CHECK(kills(pid));
		ssize_t n;
		while ((n = consume(&consumer, 999)) > 0)
			;
		CHECK(n == -1 && errno == EPIPE);
		quire_ring_close(&consumer);
	}
	return true;
}

static bool test_consumer_killed(void)
{
	for (unsigned i = 0; i < 30; i++) {
		CHECK(make_ring(PAGE << i % 4));
		pid_t pid = start(child_consumes_for_ever);
		quire_ring_close(&consumer);
		while (producer.position < i * 1000)
			CHECK(produce(&producer, 500 + i) > 0);
		CHECK(kills(pid));
		ssize_t n;
		while ((n = produce(&producer, 999)) > 0)
			;
		CHECK(n == -1 && errno == EPIPE);
		quire_ring_close(&producer);
	}
	return true;
}

/* Who sleeps already is woken. */
static void *thread_waits(void *side)
{
	void *at;
	return (void *)(intptr_t)(quire_ring_wait(side, 0, &at, soon()) == -1 ? errno : 0);
}

static bool sleeps(const struct quire_ring *r)
{
	struct quire_wait w = {
	    .fd = r->wake, .mask = QUIRE_SIGNAL_WRITABLE}; /* of an end: somebody receives */
	return quire_object_wait(&w, 1, soon()) == 1;
}

static bool test_sleeper_told(void)
{
	for (unsigned i = 0; i < 100; i++) {
		struct quire_ring *waits = i % 2 ? &consumer : &producer,
				  *goes = i % 2 ? &producer : &consumer;
		pthread_t t;
		void *error;
		CHECK(make_ring(PAGE) && (i % 2 || produce(&producer, PAGE) == PAGE));
		CHECK(!pthread_create(&t, NULL, thread_waits, waits));
		CHECK(i % 4 < 2 || sleeps(goes));
		quire_ring_close(goes);
		CHECK(!pthread_join(t, &error) && error == (void *)EPIPE);
		quire_ring_close(waits);
	}
	return true;
}

static int door[2];

static int child_gets_a_side(void)
{
	struct quire_message m = {0};
	UCHECK(quire_endpoint_receive(door[0], &m, soon()) == 0 && m.nfds == QUIRE_RING_FDS);
	UCHECK(quire_ring_open(&consumer, m.fds, true) == 0);
	while (consumer.position < total)
		UCHECK(consume(&consumer, 1000) > 0);
	UCHECK(FAILS_WITH(consume(&consumer, 1), EPIPE));
	return 0;
}

/* The descriptors move to another process by a message, so that the ends are where they belong. */
static bool test_sent(void)
{
	int p[QUIRE_RING_FDS], c[QUIRE_RING_FDS];
	total = 200000;
	CHECK(quire_endpoint_create(door, 0) == 0);
	pid_t pid = start(child_gets_a_side);
	CHECK(quire_ring_create(4 * PAGE, p, c) == 0);
	struct quire_message m = {.nfds = QUIRE_RING_FDS};
	memcpy(m.fds, c, sizeof(c));
	CHECK(quire_endpoint_send(door[1], &m, soon()) == 0 && fcntl(c[0], F_GETFD) == -1);
	CHECK(quire_ring_open(&producer, p, false) == 0);
	while (producer.position < total) {
		uint64_t left = total - producer.position;
		CHECK(produce(&producer, left < 3333 ? left : 3333) > 0);
	}
	quire_ring_close(&producer);
	CHECK(end_of(pid) == 0);
	close(door[0]);
	close(door[1]);
	return true;
}

/* --- a hostile side --- */

static bool lies_within(const struct quire_ring *r, const uint8_t *at, ssize_t n)
{
	return n >= 0 && (uint64_t)n <= r->size && at >= r->bytes && at < r->bytes + r->size;
}

static bool survives(struct quire_ring *r, uint64_t other)
{
	void *at = NULL;
	r->header->position[!r->consumes].value = other;
	ssize_t n = quire_ring_look(r, &at);
	CHECK(n == -1 ? errno == EPROTO : lies_within(r, at, n));
	n = quire_ring_wait(r, 0, &at, QUIRE_NOW);
	CHECK(n == -1 ? errno == EPROTO || errno == ETIMEDOUT : lies_within(r, at, n));
	return true;
}

static bool test_positions(void)
{
	unsigned seed = 11;
	CHECK(make_ring(4 * PAGE) && produce(&producer, 5000) == 5000 && consume(&consumer, 2000) == 2000);
	const uint64_t edges[] = {0, 1, 1999, 2000, 2000 + 4 * PAGE, 2001 + 4 * PAGE, 5000, 5001,
	    5000 - 4 * PAGE, 4999 - 4 * PAGE, UINT64_MAX, 1ULL << 63, INT64_MAX};
	for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		CHECK(survives(&consumer, edges[i]) && survives(&producer, edges[i]));
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t any = (uint64_t)random_below(&seed, 1 << 24) << random_below(&seed, 40);
		CHECK(survives(&consumer, any) && survives(&producer, any));
	}
	CHECK(survives(&consumer, 2001 + 4 * PAGE));
	char c;
	CHECK(FAILS_WITH(quire_ring_read(&consumer, &c, 1, soon()), EPROTO));
	CHECK(FAILS_WITH(quire_ring_write(&producer, &c, 1, QUIRE_NOW), EPROTO) || errno == ETIMEDOUT);
	end_ring();
	return true;
}

static int child_rings(void)
{
	for (;;)
		UCHECK(quire_endpoint_notify(producer.wake, UINT64_MAX) == 0);
}

/* It wakes the other side for nothing, all the time. */
static bool test_rings_for_nothing(void)
{
	void *at;
	CHECK(make_ring(PAGE));
	pid_t pid = start(child_rings);
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, QUIRE_NEVER), EPROTO));
	CHECK(kills(pid) && produce(&producer, 3) == 3 && consume(&consumer, 3) == 3);
	end_ring();
	return true;
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int child_sends_things(void)
{
	struct quire_message m = {.nfds = 8};
	quire_ring_close(&consumer);
	for (unsigned i = 0; i < 8; i++)
		m.fds[i] = dup(1);
	UCHECK(FAILS_WITH(quire_endpoint_call(producer.wake, &m, soon()), EPIPE)); /* unanswered */
	m = (struct quire_message){.len = 1000, .data = (uintptr_t)child_sends_things};
	UCHECK(FAILS_WITH(quire_endpoint_send(producer.wake, &m, soon()), EPIPE)); /* never received */
	return 0;
}

static bool test_sends_things(void)
{
	void *at;
	CHECK(make_ring(PAGE));
	unsigned fds = count_fds();
	pid_t pid = start(child_sends_things);
	CHECK(FAILS_WITH(quire_ring_wait(&consumer, 0, &at, soon()), EMSGSIZE) && count_fds() == fds);
	quire_ring_close(&consumer);
	CHECK(end_of(pid) == 0);
	quire_ring_close(&producer);
	return true;
}

static bool is_refused(const int from[QUIRE_RING_FDS], unsigned which, int with, int error)
{
	struct quire_ring r;
	int fds[QUIRE_RING_FDS];
	memcpy(fds, from, sizeof(fds));
	fds[which] = with;
	unsigned before = count_fds();
	CHECK(FAILS_WITH(quire_ring_open(&r, fds, false), error) && count_fds() == before);
	return true;
}

/* What is no ring: of a size that changes, of none, of a wrong one; a file; a pipe; nothing. */
static bool test_no_ring(void)
{
	int p[QUIRE_RING_FDS], c[QUIRE_RING_FDS], open_one = (int)quire_vmo_create(QUIRE_VMO_OPEN, 0, PAGE);
	int odd = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, 3 * PAGE), pipes[2];
	int self = open("/proc/self/exe", O_RDONLY);
	CHECK(quire_ring_create(PAGE, p, c) == 0 && pipe(pipes) == 0 && self >= 0);
	for (unsigned which = QUIRE_RING_BYTES; which <= QUIRE_RING_HEADER; which++) {
		CHECK(is_refused(p, which, open_one, EINVAL) && is_refused(p, which, self, EINVAL));
		CHECK(is_refused(p, which, pipes[0], EINVAL) && is_refused(p, which, -1, EINVAL));
	}
	CHECK(is_refused(p, QUIRE_RING_BYTES, odd, EINVAL));
	CHECK(is_refused(p, QUIRE_RING_BYTES, c[QUIRE_RING_BYTES], EACCES)); /* it may not be stored to */
	CHECK(FAILS_WITH(ftruncate(p[QUIRE_RING_BYTES], 0), EPERM));
	CHECK(FAILS_WITH(ftruncate(p[QUIRE_RING_HEADER], 0), EPERM));
	quire_ring_close_fds(p);
	quire_ring_close_fds(c);
	close(pipes[0]);
	close(pipes[1]);
	close(odd);
	close(open_one);
	close(self);
	for (size_t size = 0; size < 3 * PAGE; size += PAGE - 1)
		CHECK(FAILS_WITH(quire_ring_create(size, p, c), EINVAL));
	return true;
}

static bool test_consumer_stores(void)
{
	CHECK(make_ring(PAGE));
	CHECK(FAILS_WITH(mprotect(consumer.bytes, PAGE, PROT_READ | PROT_WRITE), EACCES));
	CHECK(FAILS_WITH(mprotect(consumer.bytes + PAGE, PAGE, PROT_READ | PROT_WRITE), EACCES));
	end_ring();
	return true;
}

static bool test_nothing_left(void)
{
	struct usage before;
	unsigned fds = count_fds();
	usage_take(&before);
	for (unsigned i = 0; i < 20; i++) {
		CHECK(streams(PAGE << i % 5, 50000));
		CHECK(make_ring(PAGE));
		pid_t pid = start(child_produces_for_ever);
		CHECK(consume(&consumer, 1) == 1 && kills(pid));
		end_ring();
	}
	CHECK(count_fds() == fds && nothing_is_left(&before));
	return true;
}

static const struct utest tests[] = {
    {"bytes arrive, in a row, from every offset", test_every_offset},
    {"no calls while neither empty nor full", test_no_calls},
    {"copying in and out", test_read_write},
    {"a stream between processes", test_stream},
    {"full or empty all the time", test_edges},
    {"each byte wakes somebody", test_ping_pong},
    {"deadlines and signals", test_given_up},
    {"poll and epoll", test_poll},
    {"the producer is killed", test_producer_killed},
    {"the consumer is killed", test_consumer_killed},
    {"who sleeps is told that the other side has gone", test_sleeper_told},
    {"a side is sent to another process", test_sent},
    {"positions that cannot be", test_positions},
    {"wakings for nothing", test_rings_for_nothing},
    {"messages where wakings belong", test_sends_things},
    {"what is no ring is refused", test_no_ring},
    {"the consumer cannot store", test_consumer_stores},
    {"nothing is left", test_nothing_left},
};

int main(void)
{
	struct quire_object_info info;
	if (quire_object_info(0, &info, sizeof(info)) < 0 && errno == ENOSYS) {
		printf("1..0 # SKIP this kernel has no such calls\n");
		return 0;
	}
	utest_proc();
	return UTEST_RUN(tests);
}
