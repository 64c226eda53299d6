#pragma once
/* timer.h - one-shot timers on the CPU that arms them. Callbacks run in the timer interrupt, interrupts
 * disabled, no timer lock held. */
#include "kern/spinlock.h"
#include "lib/rbtree.h"

struct timer {
	struct rb_node node; /* guarded by the queue lock of `cpu` */
	nsec_t deadline;     /* monotonic */
	void (*fn)(void *arg);
	void *arg;
	_Atomic uint32_t cpu; /* whose queue it is or was on last */
	bool armed;           /* guarded by the queue lock of `cpu` */
};

void timer_init_cpu(void);
void timer_init(struct timer *t, void (*fn)(void *), void *arg);
/* (Re)arm on this CPU; a callback may do so with its own timer. One caller at a time for each timer. Any
 * context, no lock of rank RANK_TIMER or above held. If the timer is just running on another CPU, it waits
 * for the callback to end. */
void timer_set(struct timer *t, nsec_t deadline);
/* Disarm; when it returns the callback neither runs nor will. True if it was armed. Not from the callback
 * itself, and not with a lock held that the callback takes. */
bool timer_cancel(struct timer *t);
/* For the scheduler: when the time slice of this CPU's current thread ends; NSEC_NEVER: no limit. sched_tick
 * is called then, or earlier. Interrupts disabled. */
void timer_set_slice(nsec_t deadline);
