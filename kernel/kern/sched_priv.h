#pragma once
/*
 * sched_priv.h - run queues, between the files of the scheduler.
 *
 * (Q) guarded by the queue's lock; (A) atomic, written under the lock, read by anybody; (C) constant
 */
#include "kern/sched.h"
#include "kern/spinlock.h"
#include "lib/bits.h"

/* What a queue knows of its real-time threads: sched_rt.c. */
struct rt_queue {
	_Atomic uint32_t running; /* (A) priority of `current`; 0: it is no real-time thread */
	_Atomic uint32_t waiting; /* (A) the highest of those that are READY; 0: none is */
	uint32_t nready;          /* (Q) */
	int64_t turn_first;       /* (Q) before the turns of all that are here */
	int64_t turn_last;        /* (Q) behind them */
	nsec_t period_start;      /* (Q) of the share that real-time threads may have */
	nsec_t used;              /* (Q) of it */
};

struct run_queue {
	struct spinlock lock;
	struct rb_tree tree;      /* (Q) READY threads in the order in which they run */
	uint64_t floor;           /* (Q) */
	struct thread *current;   /* (Q) */
	struct thread *idle;      /* constant after sched_init_cpu */
	struct thread *prev;      /* (Q) between the halves of a switch: who was current */
	struct thread *displaced; /* (Q) likewise: a thread that may not run here any more */
	bool slice_timed; /* (Q) the end of the current slice is in the timer; written by the CPU itself */
	struct rt_queue rt;
	_Atomic uint32_t nready;   /* (A) */
	_Atomic uint64_t load;     /* (A) sum of the weights of all READY threads and current */
	_Atomic uint64_t switches; /* (A) */
	struct cpu_times times;    /* (Q) but `idle`, which is the idle thread's */
	uint32_t cpu;              /* (C) */
} ALIGNED(CACHE_LINE);

extern struct run_queue sched_queues[MAX_CPUS];
extern _Atomic uint64_t sched_active_cpus; /* CPUs that schedule */
extern _Atomic uint64_t sched_idle_cpus;   /* CPUs with nothing to run: a hint */

enum { NO_CPU = MAX_CPUS };

static inline struct run_queue *this_queue(void)
{
	struct run_queue *q = &sched_queues[cpu_id()];
	__asm__("" : "+r"(q)); /* or the compiler computes it anew at each use */
	return q;
}

static inline bool may_run_on(const struct thread *t, uint32_t cpu)
{
	return t->affinity & BIT(cpu);
}

static inline bool is_real_time(const struct thread *t)
{
	return t->rt_priority != 0;
}

/* sched.c */
/* Lock the queue of the CPU that t belongs to. */
struct run_queue *queue_lock_of(struct thread *t, uint64_t *state);
/* Charge the current thread for the time since it got the CPU or was last charged. */
void account_locked(struct run_queue *q, nsec_t now);
/* t comes to q or goes, which changes its state to READY, or to nothing. */
void enqueue_locked(struct run_queue *q, struct thread *t);
void dequeue_locked(struct run_queue *q, struct thread *t);
/* A READY thread becomes one in transit, which the caller, with q unlocked, makes ready elsewhere. */
void detach_locked(struct run_queue *q, struct thread *t);
/* The one way onto a queue for a thread that is on none; see there. */
bool make_ready(struct thread *t, uint32_t flags, uint32_t wish);
/* Of the CPUs of mask, which is not empty. */
uint32_t least_loaded(uint64_t mask);
/* The first READY thread of those that are not real-time; NULL: none. */
struct thread *queue_first_fair_locked(struct run_queue *q);

/* sched_balance.c */
/* This CPU is idle: get a thread from the CPU with the most. */
void balance_steal(void);
/* Take a thread off q for another CPU, *target, that has less to do, if there is such a one; NULL: none. */
struct thread *balance_locked(struct run_queue *q, nsec_t now, uint32_t *target);

/* sched_rt.c. In what follows, t is a real-time thread. */
/* t gets its place among those of its priority: behind all, or before all. */
void rt_take_turn_locked(struct run_queue *q, struct thread *t, bool first);
/* t came to the queue's tree, or left it. */
void rt_enqueued_locked(struct run_queue *q);
void rt_dequeued_locked(struct run_queue *q);
/* q->current, which is t, has run for `ran` until now. */
void rt_charge_locked(struct run_queue *q, struct thread *t, nsec_t ran, nsec_t now);
/* Have the real-time threads of q had their share, so that others come first until the period ends? */
bool rt_is_throttled_locked(struct run_queue *q, nsec_t now);
/* How long t, which gets the CPU now, may run before somebody looks; at most `slice`, which is NSEC_NEVER if
 * nobody waits for it. 0: as long as it likes. */
nsec_t rt_slice_locked(struct run_queue *q, const struct thread *t, nsec_t now, nsec_t slice);
/* The CPU of `allowed` on which t has the best chances; `last` if there is no better. */
uint32_t rt_choose_cpu(const struct thread *t, uint64_t allowed, uint32_t last);
/* Threads that wait here and could run elsewhere go there, and those that wait elsewhere and could run here
 * come. After each switch, on its CPU, no queue locked; interrupts disabled, preemption count 1. */
void rt_spread(void);
extern _Atomic uint32_t rt_waiting_threads; /* READY real-time threads of all queues: if there are none,
					       rt_spread has nothing to do */
