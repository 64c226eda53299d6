#pragma once
/*
 * service.h - programs that init starts, minds and starts again: docs/init.md.
 *
 *	STOPPED ──start──▶ WAITING ──due──▶ RUNNING ──ends──▶ WAITING (with back-off), DONE (status 0), FAILED
 *	   ▲                  │                │
 *	   └──────stop────────┘              stop
 *	   └──────────────ends──── STOPPING ◀──┘      (killed if it is still there when due)
 *
 * All of it belongs to the main thread, but for what ping.c says.
 */
#include "config.h"
#include <pthread.h>
#include <sys/types.h>

enum service_state {
	SERVICE_STOPPED,
	SERVICE_WAITING,
	SERVICE_RUNNING,
	SERVICE_STOPPING,
	SERVICE_DONE,   /* it has said by its status that there is no more to do */
	SERVICE_FAILED, /* there is no use in trying again */
};

/* ping.c: the thread that asks a service whether it is well. It gets descriptors of each process of the
 * service in turn, which it closes. */
struct pinger {
	pthread_mutex_t lock;
	pthread_cond_t news;
	int process, to;      /* (lock) of a process that it has not yet seen; -1: none */
	unsigned run;         /* (lock) which process of the service that is, counted */
	_Atomic unsigned bad; /* the last run that did not answer; 0: none */
	uint32_t period;      /* milliseconds */
	bool exists;
};

struct service {
	const struct service_config *config;
	enum service_state state;
	pid_t pid;          /* RUNNING, STOPPING */
	uint64_t started;   /* milliseconds, as now_ms() */
	uint64_t due;       /* WAITING: to be started; STOPPING: to be killed */
	unsigned runs;      /* how often it was started */
	unsigned restarts;  /* ... again by itself */
	unsigned tries;     /* ... since it last ran well */
	bool again;         /* STOPPING: it is to be started then */
	char why[96];       /* how it ended last; "": it never has */
	int kept[2];        /* what outlives it: the ends of an endpoint, as endpoint_create has them; -1 */
	struct pinger ping; /* exists: of one that is asked */
};

/* service.c */

/* Start what is configured; programs that are no paths are in the directory service of `archive`, a
 * descriptor of a directory, which stays open. */
void services_begin(const struct config *c, int archive);
/* Start and kill what is due. */
void services_turn(uint64_t now);
/* When services_turn() has something to do; NEVER. */
uint64_t services_due(void);
/* The child has ended; false: it is no service. */
bool services_reaped(pid_t pid, int status, uint64_t now);
/* Is there any that runs, or will? */
bool services_live(void);
/* Stop all: none is live when they have ended. */
void services_stop(void);
/* The n-th, or NULL. */
struct service *service_at(unsigned n);
struct service *service_find(const char *name);
/* Stopping takes a while: it is done when the state is no longer STOPPING. */
void service_start(struct service *s);
void service_stop(struct service *s, bool again);

/* spawn.c */

/* Make what the service keeps. False: errno says why not. */
bool keep_make(struct service *s);
/* Start its program with just the descriptors that it is configured for. 0, or the errno; s->pid is the
 * process then, and the pinger has it. */
int service_spawn(struct service *s, int archive);

/* ping.c */

/* Mind a process: `process` is a descriptor of it, `to` the sending end of its endpoint. Both are closed
 * sooner or later. One that does not answer in time is killed, and ping_was_bad() from before it has ended
 * on. False: there is no memory for a thread; the descriptors are closed. */
bool ping_begin(struct pinger *p, uint32_t period, int process, int to, unsigned run);
bool ping_was_bad(const struct pinger *p, unsigned run);
