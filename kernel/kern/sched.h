#pragma once
/* sched.h - the scheduler as the rest of kern/ and the port see it. Everyone else uses thread.h and waitq.h.
 */
#include "kern/thread.h"

/* Make this CPU a scheduling one; the running context becomes its idle thread. Called once on each CPU,
 * interrupts disabled. */
void sched_init_cpu(struct thread *idle);
/* The idle loop: steal work, else halt. */
NORETURN void sched_idle(void);
/* Give up the CPU: the current thread is BLOCKED, DEAD or READY already. Interrupts disabled, preemption
 * count 1. */
void sched_switch(void);
/* Finish the switch to a thread that runs for the first time (called from its entry stub). */
void sched_finish_first_switch(void);
/* Put a thread that is NEW or BLOCKED on a queue and kick the CPU if it should run there now; false and
 * nothing happens if it is neither. The caller makes sure that t does not go away meanwhile. Any context. */
bool sched_make_ready(struct thread *t);
/* sched_switch by a thread whose one spinlock is `held`, which is released. to: NULL, or a thread that is
 * BLOCKED unless somebody was faster, and does not go away without that lock: it gets the CPU past the queue
 * if it is of this CPU and others are not too far behind, else it is made ready. */
void sched_switch_from(struct spinlock *held, struct thread *to);
/* sched_make_ready only if t is BLOCKED in a wait that these thread flags interrupt. */
bool sched_interrupt(struct thread *t, uint32_t flags);
/* What the timer interrupt calls when the time slice has ended. Interrupts disabled. */
void sched_tick(nsec_t now);
/* t is DEAD and its stack is no longer in use: tell who joins it. Called once, by the thread that runs next
 * on its CPU; t may be freed when it returns. */
void thread_gone(struct thread *t);
/* How real-time threads share CPUs with others: of each `period` they have at most `runtime` while somebody
 * else wants to run (NSEC_NEVER: all of it). `quantum`: how long one of SCHED_RR runs while an equal waits.
 */
struct rt_settings {
	_Atomic nsec_t period, runtime, quantum; /* (A) */
};
extern struct rt_settings rt_settings;
/* What a CPU's time went to, since it was started: threads in user mode, those of them that are nicer than
 * usual, the kernel, and nothing. */
struct cpu_times {
	nsec_t user, nice, system, idle;
};
void sched_cpu_times(unsigned cpu, struct cpu_times *out);
/* What a thread had of the scheduler so far. */
struct sched_view {
	nsec_t ran, waited;   /* on CPUs; for one */
	uint64_t turns;       /* how often it got one */
	uint64_t switches[2]; /* how often it gave one up: to wait, to others */
	uint64_t vruntime;    /* ns of a thread of usual weight; counts against others only */
	uint64_t weight;      /* of 1,024 */
};
/* Any context. */
void sched_view_take(struct thread *t, struct sched_view *out);
/* Threads that run or are ready to, now. */
unsigned sched_runnable_count(void);
/* Sum of context switches, for statistics. */
uint64_t sched_switches(void);
/* Check: runnable <=> queued, no double enqueue, queue of the right CPU. */
void sched_validate(void);
