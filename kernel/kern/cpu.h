#pragma once
/*
 * cpu.h - the record that each CPU keeps about itself. Per-CPU data of a subsystem lives in that subsystem,
 * in an array indexed by cpu_id().
 *
 * Fields without a letter belong to the CPU itself and are touched only with preemption or interrupts
 * disabled there. (A) atomic, any CPU; (C) constant after boot.
 */
#include "lib/atomic.h"
#include "machine/percpu.h" /* struct arch_cpu */

struct thread;
struct lock_record;

enum { LOCKS_HELD_MAX = 16 };

struct cpu {
	struct cpu *self;              /* (C) offset 0: found through the port's per-CPU register */
	uint32_t preempt;              /* offset 8: preemption is disabled while not 0 */
	uint32_t id;                   /* offset 12 (C) */
	struct thread *current;        /* offset 16: the running thread */
	_Atomic uint32_t need_resched; /* offset 24 (A): run the scheduler at the next chance */
	uint32_t irq_depth;            /* offset 28: nesting of interrupt handlers */
	struct arch_cpu arch; /* offset 32: what the port keeps; its assembly knows the offsets in it */
	struct thread *idle;  /* (C) */
#ifdef CONFIG_DEBUG
	unsigned nlocks; /* spinlocks held by this CPU, for the rank checker and panic */
	struct {
		const void *lock;
		const char *name;
		int rank;
		void *where; /* return address of who took it */
	} locks[LOCKS_HELD_MAX];
#endif
} ALIGNED(CACHE_LINE);

/* The port reaches these with one instruction (machine/cpu.h). */
_Static_assert(offsetof(struct cpu, preempt) == 8, "machine/cpu.h");
_Static_assert(offsetof(struct cpu, id) == 12, "machine/cpu.h");
_Static_assert(offsetof(struct cpu, current) == 16, "machine/cpu.h");
_Static_assert(offsetof(struct cpu, need_resched) == 24, "machine/cpu.h");
_Static_assert(offsetof(struct cpu, irq_depth) == 28, "machine/percpu.h");
_Static_assert(offsetof(struct cpu, arch) == 32, "machine/percpu.h");

extern struct cpu cpus[MAX_CPUS];
