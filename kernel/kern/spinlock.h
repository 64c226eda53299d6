#pragma once
/*
 * spinlock.h - spinlocks with a rank each. Who comes while the lock is free gets it, but whoever has waited for long goes first: see spinlock.c.
 *
 * spin_lock disables preemption; the irqsave form also disables interrupts and is for locks that interrupt
 * handlers take. A waiter with interrupts disabled answers other CPUs' requests while it spins
 * (cpu_poll_requests), so a lock may be held across a TLB shootdown. Locks of RANK_IRQ and above may be taken
 * by interrupt handlers: everybody takes them with interrupts disabled. With CONFIG_DEBUG each acquisition is
 * checked against the ranks of the locks that the CPU holds; an inversion panics and prints where both were
 * taken.
 */
#include "arch/cpu.h"
#include "kern/cpu.h"
#include "kern/lock_ranks.h"
#include "lib/assert.h"
#include "lib/atomic.h"

enum { SPIN_TAKEN = 1, SPIN_HUNGRY = 1 << 8 };

struct spinlock {
	_Atomic uint32_t
	    word; /* low byte: SPIN_TAKEN or 0, written by the holder only; above: how many are hungry */
#ifdef CONFIG_DEBUG
	int rank;
	const char *name;
	_Atomic uint32_t owner; /* cpu id + 1, 0 = free */
#endif
};

#ifdef CONFIG_DEBUG
#define SPINLOCK_INIT(lock_name, lock_rank)                                                                  \
	{                                                                                                    \
		.rank = (lock_rank), .name = (lock_name)                                                     \
	}
#else
#define SPINLOCK_INIT(lock_name, lock_rank)                                                                  \
	{                                                                                                    \
		0                                                                                            \
	}
#endif

static inline void spin_init(struct spinlock *l, const char *name, enum lock_rank rank)
{
	*l = (struct spinlock)SPINLOCK_INIT(name, rank);
	(void)name;
	(void)rank;
}

/* Take the lock, which may not be free; the slow half of spin_lock. */
void spin_wait(struct spinlock *l);
/* Rank bookkeeping of debug kernels. nested: an equal rank is allowed. */
void spin_debug_acquire(struct spinlock *l, bool nested);
void spin_debug_acquired(struct spinlock *l);
void spin_debug_release(struct spinlock *l);
#ifdef CONFIG_DEBUG
/* Would waiting for l now break the order? What the checker itself asks; for tests. */
bool spin_rank_would_invert(const struct spinlock *l);
#endif
/* Run the scheduler if it was asked for while preemption was disabled. */
void preempt_check(
    void); /* does nothing while interrupts are disabled: the return from the interrupt looks again */

static inline void preempt_disable(void)
{
	preempt_count_add(1);
	compiler_barrier();
}
static inline void preempt_enable(void)
{
	compiler_barrier();
	preempt_count_add(-1);
	if (unlikely(cpu_need_resched()))
		preempt_check();
}

static ALWAYS_INLINE void spin_acquire(struct spinlock *l, bool nested)
{
#ifdef CONFIG_DEBUG
	spin_debug_acquire(l, nested);
#else
	(void)nested;
#endif
	uint32_t free = 0;
	if (unlikely(!cas_acquire(&l->word, &free, SPIN_TAKEN)))
		spin_wait(l);
#ifdef CONFIG_DEBUG
	spin_debug_acquired(l);
#endif
}
static ALWAYS_INLINE void spin_release(struct spinlock *l)
{
#ifdef CONFIG_DEBUG
	spin_debug_release(l);
#endif
	atomic_store_explicit((_Atomic uint8_t *)&l->word, 0, memory_order_release);
}

static inline void spin_lock(struct spinlock *l)
{
	preempt_disable();
	spin_acquire(l, false);
}
/* Like spin_lock, but a lock of the same rank may be held already; the caller says in a comment why no cycle
 * is possible. */
static inline void spin_lock_nested(struct spinlock *l)
{
	preempt_disable();
	spin_acquire(l, true);
}
static inline void spin_unlock(struct spinlock *l)
{
	spin_release(l);
	preempt_enable();
}
static inline uint64_t spin_lock_irqsave(struct spinlock *l)
{
	uint64_t state = irq_save();
	preempt_disable();
	spin_acquire(l, false);
	return state;
}
static inline void spin_unlock_irqrestore(struct spinlock *l, uint64_t state)
{
	spin_release(l);
	preempt_count_add(-1);
	irq_restore(state);
	if (unlikely(cpu_need_resched()))
		preempt_check();
}
/* Take the lock if it is free. No rank check: a try cannot deadlock. */
MUST_CHECK bool spin_trylock(struct spinlock *l);

/* For assertions: is it held (debug: by this CPU)? */
static inline bool spin_is_held(struct spinlock *l)
{
#ifdef CONFIG_DEBUG
	return load_relaxed(&l->owner) == cpu_id() + 1;
#else
	return load_relaxed(&l->word) & SPIN_TAKEN;
#endif
}
#define ASSERT_HELD(l) DEBUG_ASSERT(spin_is_held(l))
