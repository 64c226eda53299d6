#pragma once
/* timer.h - one-shot timers on the CPU that arms them. Callbacks run in the timer interrupt, interrupts disabled, no timer lock held. */
#include "kern/spinlock.h"
#include "lib/rbtree.h"

struct timer {
	struct rb_node node;  /* guarded by the queue lock of `cpu` */
	nsec_t deadline;      /* monotonic */
	void (*fn)(void *arg);
	void *arg;
	uint32_t cpu;         /* whose queue; valid while armed or running */
	_Atomic uint32_t state; /* idle, armed, running */
};

void timer_init_cpu(void);
void timer_init(struct timer *t, void (*fn)(void *), void *arg);
/* (Re)arm on this CPU. */
void timer_set(struct timer *t, nsec_t deadline);
/* Disarm; when it returns the callback neither runs nor will. True if it was armed. Not from the callback itself. */
bool timer_cancel(struct timer *t);
