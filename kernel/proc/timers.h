#pragma once
/*
 * timers.h - timers that send signals: the three interval timers of each process, and those that it creates
 * (POSIX).
 *
 * All are guarded by the process tree's lock (T). A timer's time is in terms of its clock; `due` is the
 * monotonic time when the kernel's timer thread looks at it.
 */
#include "lib/list.h"
#include "lib/rbtree.h"
#include "proc/clocks.h"

struct process;
struct signal_entry;

enum timer_notify { TIMER_SIGNAL = 0, TIMER_SILENT = 1, TIMER_LIBRARY = 2, TIMER_THREAD = 4 }; /* SIGEV_* */

struct user_timer {
	struct rb_node node;     /* (T) */
	bool queued;             /* (T) in the tree of those that are due at some time */
	nsec_t due;              /* (T) monotonic */
	nsec_t expiry;           /* (T) by `clock`; 0: it is not armed */
	nsec_t interval;         /* (T) 0: once */
	struct user_clock base;  /* (C) what it was created on */
	struct user_clock clock; /* (T) what `expiry` means */
	struct process *process; /* (C) its owner, who outlives it */
	/* POSIX timers; entry is NULL of interval timers */
	struct signal_entry *entry; /* (C) what it sends */
	struct list link;           /* (T) process_timers.created */
	int32_t id;                 /* (C) */
	int32_t notify;             /* (C) enum timer_notify */
	uint32_t tid;               /* (C) TIMER_THREAD */
	int signal;                 /* (C) */
	bool rearm;                 /* (T) goes on when its signal is taken */
	uint64_t missed;            /* (T) expiries while its signal waited */
	int32_t overrun;            /* (T) of the last signal that was taken */
};

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF, ITIMERS };

/* A process's. */
struct process_timers {
	struct user_timer interval[ITIMERS]; /* (T) */
	struct user_timer limit;             /* (T) looks at RLIMIT_CPU when that may be reached */
	bool over;                           /* (T) process_timers_fini was here */
	struct list created;                 /* (T) struct user_timer by link */
	unsigned count;                      /* (T) */
	int32_t next_id;                     /* (T) */
};

struct timer_value {
	nsec_t left, interval; /* left 0: not armed */
};
struct timer_event { /* what to do when it expires */
	int32_t notify, signal;
	uint32_t tid;
	uint64_t value;
};

/* The timer thread. Once at boot. */
void timers_init(void);
void process_timers_init(struct process *p);
/* A program is replaced: POSIX timers are gone, the others go on. May sleep. */
void process_timers_exec(struct process *p);
/* p has no threads any more. */
void process_timers_fini(struct process *p);
/* p's limit of CPU time was set, or p is new and has its parent's: watch it. */
void process_timers_limit(struct process *p);

/* The rest is for the current process. */
void itimer_get(unsigned which, struct timer_value *out);
void itimer_set(unsigned which, const struct timer_value *new, struct timer_value *old);
/* -EINVAL (the event), -EAGAIN (too many, no memory). event NULL: SIGALRM with the id. */
MUST_CHECK err_t posix_timer_create(const struct user_clock *c, const struct timer_event *event, int32_t *id);
/* -EINVAL: no such timer. */
MUST_CHECK err_t posix_timer_delete(int32_t id);
MUST_CHECK err_t posix_timer_get(int32_t id, struct timer_value *out);
/* new->left: a duration, or with `absolute` a time of the clock. */
MUST_CHECK err_t posix_timer_set(
    int32_t id, bool absolute, const struct timer_value *new, struct timer_value *old);
MUST_CHECK err_t posix_timer_overrun(int32_t id, int32_t *out);

/* The time of day was set: absolute timers on it are looked at again. */
void timers_wall_was_set(void);
/* The signal of a timer is about to be taken or dropped: what it tells is completed, and the timer goes on.
 */
void timer_taken_locked(struct user_timer *t);
