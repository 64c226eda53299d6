/*
 * ping.c - ask services whether they are well. A call waits for its answer, so each service that is asked has
 * a thread that waits; it lives as long as init. Its stack is ours: init is under the rule that stacks are
 * mapped as such (docs/guard.md), which the C library's are not.
 *
 * A process that ends closes its end of the endpoint, or the right to answer: the call fails with EPIPE, and
 * the thread has nothing more to do with it. If others hold these, because the process has given them away,
 * the call ends in time anyway. So the thread never keeps a service from being started again: the next
 * process waits, for a while, to be minded.
 */
#define _GNU_SOURCE
#include "init.h"
#include "service.h"
#include <errno.h>
#include <quire/calls.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK = 16 << 10, TAG_PING = 1 };

static uint64_t in_ms(uint32_t ms)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec + ms * 1000000ULL;
}

/* Has it ended, or does it within the time? */
static bool ends_within(int process, uint32_t ms)
{
	struct quire_wait w = {.fd = process, .mask = QUIRE_SIGNAL_DEAD};
	return quire_object_wait(&w, 1, in_ms(ms)) == 1;
}

/* It may answer what it likes, but what it sends along is not kept. */
static bool answers(int to, uint32_t ms)
{
	struct quire_message m = {.tag = TAG_PING};
	if (quire_endpoint_call(to, &m, in_ms(ms)))
		return errno != ETIMEDOUT && errno != EPIPE; /* else it is our own trouble */
	for (uint32_t i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	return true;
}

static void mind(struct pinger *p, int process, int to, unsigned run)
{
	while (!ends_within(process, p->period)) {
		if (answers(to, p->period))
			continue;
		if (ends_within(process, errno == EPIPE ? p->period : 0)) /* it is on its way */
			continue;
		p->bad = run;
		syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
		return;
	}
}

static void *minds_each(void *arg)
{
	struct pinger *p = arg;
	for (;;) {
		pthread_mutex_lock(&p->lock);
		while (p->process < 0)
			pthread_cond_wait(&p->news, &p->lock);
		int process = p->process, to = p->to;
		unsigned run = p->run;
		p->process = -1;
		pthread_mutex_unlock(&p->lock);
		mind(p, process, to, run);
		close(process);
		close(to);
	}
	return NULL;
}

/* Signals are the main thread's. */
static bool make_thread(struct pinger *p)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	pthread_t thread;
	void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (stack == MAP_FAILED)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	int error = pthread_create(&thread, &attributes, minds_each, p);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		munmap(stack, STACK);
	return error == 0;
}

bool ping_begin(struct pinger *p, uint32_t period, int process, int to, unsigned run)
{
	if (!p->exists) {
		*p = (struct pinger){.lock = PTHREAD_MUTEX_INITIALIZER,
		    .news = PTHREAD_COND_INITIALIZER,
		    .process = -1,
		    .period = period};
		p->exists = make_thread(p);
	}
	if (!p->exists) {
		close(process);
		close(to);
		return false;
	}
	pthread_mutex_lock(&p->lock);
	int old[] = {p->process, p->to}; /* it has ended before it was seen */
	p->process = process;
	p->to = to;
	p->run = run;
	pthread_cond_signal(&p->news);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < 2 && old[0] >= 0; i++)
		close(old[i]);
	return true;
}

bool ping_was_bad(const struct pinger *p, unsigned run)
{
	return p->bad == run;
}
