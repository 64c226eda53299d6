#pragma once
/* sched.h - the scheduler as the rest of kern/ and the port see it. Everyone else uses thread.h and waitq.h. */
#include "kern/thread.h"

/* Make this CPU a scheduling one; the running context becomes its idle thread. Called once on each CPU, interrupts disabled. */
void sched_init_cpu(struct thread *idle);
/* The idle loop: steal work, else halt. */
NORETURN void sched_idle(void);
/* Give up the CPU: the current thread is BLOCKED, DEAD or READY already. Interrupts disabled, preemption count 1. */
void sched_switch(void);
/* Finish the switch to a thread that runs for the first time (called from its entry stub). */
void sched_finish_first_switch(void);
/* Put a thread that is not on a queue on one and kick the CPU if it should run there now. Any context. */
void sched_make_ready(struct thread *t);
/* Sum of context switches, for statistics. */
uint64_t sched_switches(void);
/* Check: runnable <=> queued, no double enqueue, queue of the right CPU. */
void sched_validate(void);
