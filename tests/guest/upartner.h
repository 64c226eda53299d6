#pragma once
/* upartner.h - a second thread, which runs what the first one tells it. With utap.h, after _GNU_SOURCE. */
#include <pthread.h>
#include <semaphore.h>
#include "utap.h"

enum { TRIES = 10000 }; /* of 1 ms */

struct partner {
	pthread_t thread;
	sem_t todo, done;
	long (*fn)(void *arg); /* NULL: the end */
	void *arg;
	long result;
	pid_t tid;
};

static inline void wait_for(sem_t *s)
{
	while (sem_wait(s) && errno == EINTR)
		;
}

static inline void *partner_serve(void *arg)
{
	struct partner *p = arg;
	p->tid = (pid_t)sc(gettid);
	sem_post(&p->done);
	for (;;) {
		wait_for(&p->todo);
		if (!p->fn)
			return NULL;
		p->result = p->fn(p->arg);
		sem_post(&p->done);
	}
}

static inline bool partner_start(struct partner *p)
{
	if (sem_init(&p->todo, 0, 0) || sem_init(&p->done, 0, 0) ||
	    pthread_create(&p->thread, NULL, partner_serve, p))
		return false;
	wait_for(&p->done);
	return true;
}

/* fn(arg), by the partner: its result. */
static inline long by(struct partner *p, long (*fn)(void *arg), const void *arg)
{
	p->fn = fn;
	p->arg = (void *)arg;
	sem_post(&p->todo);
	wait_for(&p->done);
	return p->result;
}

/* It returns when the thread counts no more, not only when its memory is free. */
static inline bool partner_end(struct partner *p)
{
	char path[64];
	p->fn = NULL;
	sem_post(&p->todo);
	if (pthread_join(p->thread, NULL))
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d", p->tid);
	for (int i = 0; i < TRIES && !access(path, F_OK); i++)
		usleep(1000);
	return access(path, F_OK) != 0;
}

/* Of a call: -errno in the place of -1. */
static inline long result_of(long r)
{
	return r == -1 ? -errno : r;
}
