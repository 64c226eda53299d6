#pragma once
/*
 * cpu.h (host) - inline half of arch/cpu.h over POSIX threads: each host thread that runs kernel code is a
 * CPU (see host.c). Interrupts do not exist: irq_save only keeps the books, and what an interrupt would do
 * (answer a shootdown) happens in cpu_poll_requests, in every spin loop and at every user access.
 */
#include "lib/types.h"

struct cpu;
struct thread;

struct cpu *this_cpu(void);
struct thread *current_thread(void);
uint32_t cpu_id(void);
void preempt_count_add(int n);
uint32_t preempt_count(void);
uint64_t irq_save(void);
void irq_restore(uint64_t state);
void irq_enable(void);
void irq_disable(void);
bool irq_is_enabled(void);
/* Answer requests, then let another host thread run: a few host cores carry any number of CPUs. */
void cpu_relax(void);
void cpu_wait_irq(void);

static inline bool cpu_need_resched(void)
{
	return false;
}
static inline uint64_t cpu_cycles(void)
{
	return __builtin_ia32_rdtsc();
}
