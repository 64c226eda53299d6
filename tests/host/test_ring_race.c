/*
 * test_ring_race.c - the code of quire/ring.h between threads of the host, under the sanitizers. The calls
 * that Linux has not are made of memfds and pipes here, which have the same ends: a closed one is told.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static long fake_call(long number, ...);
#define syscall fake_call
#include <quire/ring.h>
#undef syscall

enum { PAGE = 4096, MINUTE = 60000 /* ms */, TOTAL = 1 << 21, LIES = 200000 };

static long make_memory(uint64_t size)
{
	int fd = memfd_create("ring", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	return ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) ? -1 : fd;
}

/* A bell is a pipe that blocks nobody: what finds it full is told already. */
static long notify(int fd)
{
	return write(fd, "", 1) == 1 || errno == EAGAIN ? 0 : -1;
}

static long receive(int fd, struct quire_message *m, uint64_t deadline)
{
	char all[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	m->reply = QUIRE_NOTIFICATION;
	poll(&p, 1, deadline == QUIRE_NOW ? 0 : MINUTE);
	ssize_t n = read(fd, all, sizeof(all));
	if (n > 0)
		return 0;
	errno = n == 0 ? EPIPE : ETIMEDOUT;
	return -1;
}

static long fake_call(long number, ...)
{
	va_list list;
	uint64_t a[4];
	va_start(list, number);
	for (unsigned i = 0; i < 3; i++)
		a[i] = va_arg(list, uint64_t);
	va_end(list);
	switch (number) {
	case SYS_quire_vmo_create:
		return make_memory(a[2]);
	case SYS_quire_rights_limit:
		return 0;
	case SYS_quire_endpoint_create:
		return pipe2((int *)(uintptr_t)a[0], O_NONBLOCK | O_CLOEXEC);
	case SYS_quire_endpoint_notify:
		return notify((int)a[0]);
	case SYS_quire_endpoint_receive:
		return receive((int)a[0], (struct quire_message *)(uintptr_t)a[1], a[2]);
	default:
		abort();
	}
}

static struct quire_ring producer, consumer;

static void make_ring(size_t size)
{
	int p[QUIRE_RING_FDS], c[QUIRE_RING_FDS];
	assert_int_equal(quire_ring_create(size, p, c), 0);
	assert_int_equal(quire_ring_open(&producer, p, false), 0);
	assert_int_equal(quire_ring_open(&consumer, c, true), 0);
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

static unsigned random_below(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % n;
}

static void *thread_produces(void *arg)
{
	unsigned seed = 1;
	(void)arg;
	while (producer.position < TOTAL) {
		void *at;
		ssize_t room = quire_ring_wait(&producer, 0, &at, QUIRE_NEVER);
		unsigned n = 1 + random_below(&seed, (unsigned)producer.size);
		if (room < 0)
			return &producer;
		n = n < (size_t)room ? n : (unsigned)room;
		for (unsigned i = 0; i < n; i++)
			((uint8_t *)at)[i] = byte_at(producer.position + i);
		quire_ring_pass(&producer, n);
	}
	quire_ring_close(&producer);
	return NULL;
}

static void stream(size_t size)
{
	pthread_t t;
	void *failed, *at;
	unsigned seed = 2;
	ssize_t have;
	make_ring(size);
	assert_int_equal(pthread_create(&t, NULL, thread_produces, NULL), 0);
	while ((have = quire_ring_wait(&consumer, 0, &at, QUIRE_NEVER)) > 0) {
		unsigned n = 1 + random_below(&seed, (unsigned)size);
		n = n < (size_t)have ? n : (unsigned)have;
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(((uint8_t *)at)[i], byte_at(consumer.position + i));
		quire_ring_pass(&consumer, n);
	}
	assert_true(have == -1 && errno == EPIPE && consumer.position >= TOTAL);
	pthread_join(t, &failed);
	assert_null(failed);
	quire_ring_close(&consumer);
}

static void streams(void **state)
{
	(void)state;
	stream(PAGE);
	stream(16 * PAGE);
}

/* Somebody who scribbles in the header as long as he is let. */
static _Atomic bool stop;

static void *thread_lies(void *arg)
{
	uint64_t *words = arg;
	unsigned seed = 5;
	while (!stop) {
		unsigned which = random_below(&seed, 4);
		uint64_t lie = (uint64_t)random_below(&seed, 1 << 24) << random_below(&seed, 41);
		if (lie % 2) /* nearly true, or so */
			lie = __atomic_load_n(&words[(which ^ 1) * 8], __ATOMIC_SEQ_CST) +
			      random_below(&seed, 4 * PAGE) - 2 * PAGE;
		__atomic_store_n(&words[which * 8], lie, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Whatever the header says, nothing beyond the ring is read or written. */
static void use_all(struct quire_ring *r, uint64_t *sum)
{
	void *at;
	ssize_t n = quire_ring_wait(r, 0, &at, QUIRE_NOW);
	if (n < 0)
		return;
	assert_true(
	    (uint64_t)n <= r->size && (uint8_t *)at >= r->bytes && (uint8_t *)at < r->bytes + r->size);
	volatile uint8_t *first = at, *last = first + n - 1;
	*sum += *first + *last;
	if (!r->consumes)
		*last = 1;
	quire_ring_pass(r, (size_t)n / 2);
}

static void survives_lies(void **state)
{
	pthread_t t;
	uint64_t sum = 0;
	(void)state;
	make_ring(PAGE);
	assert_int_equal(pthread_create(&t, NULL, thread_lies, producer.header), 0);
	for (unsigned i = 0; i < LIES; i++) {
		use_all(&consumer, &sum);
		use_all(&producer, &sum);
	}
	stop = true;
	pthread_join(t, NULL);
	quire_ring_close(&producer);
	quire_ring_close(&consumer);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(streams),
	    cmocka_unit_test(survives_lies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
