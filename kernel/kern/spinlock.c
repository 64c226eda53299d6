/*
 * spinlock.c - the slow halves of spinlocks, and the rank checker of debug kernels.
 *
 * Whoever finds the lock free takes it. An order of arrival would be fair, and ruinous in a virtual machine:
 * the host takes CPUs away, and each that is next in such an order and does not run stops all behind it,
 * however short the sections are. But a waiter that has been passed over for long reserves the lock: nobody
 * else takes it then, so no waiter starves, and only a lock that is fought over for long has an order at all.
 *
 *	free (0) --take--> held --release--> free
 *	                   held --reserve--> held, reserved --release--> reserved --its waiter takes--> held
 *
 * A waiter answers the requests of other CPUs while it spins, because the holder may be waiting for just that
 * answer (a TLB shootdown under a lock).
 *
 * The rank checker. Every lock has a rank, and a CPU may only wait for a lock whose rank is above those of
 * all locks it holds. Then no cycle of waiting CPUs can close, whatever the timing was: the check fails in
 * the first run that takes locks in the wrong order, not in the first that deadlocks. What a CPU holds is
 * recorded in its struct cpu; a thread that holds a spinlock does not leave its CPU, so the record needs no
 * lock, only protection against this CPU's own interrupts. Interrupt handlers appear in the same record,
 * above what they interrupted: waiting for a lock in a handler while the interrupted code holds a higher one
 * is an inversion like any other. From RANK_IRQ on, locks may be taken by handlers, so everybody must hold
 * them with interrupts disabled; that is checked too.
 */
#include "kern/spinlock.h"

/* How many looks at the lock a waiter takes before it reserves it: some ten times the longest section. */
enum { PATIENCE = 4096 };

static void look_away(void)
{
	cpu_poll_requests();
	cpu_relax();
}

/* The word of a held lock says that the caller is next. */
static bool reserve(struct spinlock *l)
{
	uint32_t held = SPIN_HELD;
	return cas_acquire(&l->word, &held, SPIN_HELD | SPIN_RESERVED);
}

void spin_wait(struct spinlock *l)
{
	for (uint64_t looks = 0; looks < PATIENCE || !reserve(l); looks++) {
		if (load_relaxed(&l->word) == 0 && spin_take_free(l))
			return;
		look_away();
	}
	while (load_acquire(&l->word) & SPIN_HELD)
		look_away();
	store_relaxed(&l->word, SPIN_HELD); /* free and reserved: nobody but its waiter writes it */
}

bool spin_trylock(struct spinlock *l)
{
	preempt_disable();
	if (load_relaxed(&l->word) == 0 && spin_take_free(l)) {
#ifdef CONFIG_DEBUG
		spin_debug_acquired(l);
#endif
		return true;
	}
	preempt_enable();
	return false;
}

#ifdef CONFIG_DEBUG
enum { NOT_HELD = -1 };

/* Index of the record of l on this CPU. */
static int held_index(const struct cpu *c, const struct spinlock *l)
{
	for (int i = (int)c->nlocks - 1; i >= 0; i--)
		if (c->locks[i].lock == l)
			return i;
	return NOT_HELD;
}

/* Index of a held lock that forbids to wait for l. Locks of RANK_NONE take no part, except that no lock may
 * be waited for by its holder. */
static int conflict_index(const struct cpu *c, const struct spinlock *l, bool nested)
{
	int self = held_index(c, l);
	if (self != NOT_HELD || l->rank == RANK_NONE)
		return self;
	for (int i = (int)c->nlocks - 1; i >= 0; i--)
		if (c->locks[i].rank > l->rank || (c->locks[i].rank == l->rank && !nested))
			return i;
	return NOT_HELD;
}

bool spin_rank_would_invert(const struct spinlock *l)
{
	uint64_t state = irq_save();
	bool invert = conflict_index(this_cpu(), l, false) != NOT_HELD;
	irq_restore(state);
	return invert;
}

void spin_debug_acquire(struct spinlock *l, bool nested)
{
	uint64_t state = irq_save();
	struct cpu *c = this_cpu();
	int i = conflict_index(c, l, nested);

	if (unlikely(i != NOT_HELD))
		panic("lock order: %s (rank %d) is taken at %p while %s (rank %d), taken at %p, is held",
		    l->name, l->rank, __builtin_return_address(0), c->locks[i].name, c->locks[i].rank,
		    c->locks[i].where);
	irq_restore(state);
	if (l->rank >= RANK_IRQ && irq_is_enabled())
		panic("lock %s (rank %d) is taken at %p with interrupts enabled", l->name, l->rank,
		    __builtin_return_address(0));
}

void spin_debug_acquired(struct spinlock *l)
{
	uint64_t state = irq_save();
	struct cpu *c = this_cpu();

	ASSERT(c->nlocks < LOCKS_HELD_MAX);
	/* First the room, then what goes there: an NMI that tries a lock in between puts its record above
	 * ours. */
	unsigned i = c->nlocks++;
	compiler_barrier();
	c->locks[i].lock = l;
	c->locks[i].name = l->name;
	c->locks[i].rank = l->rank;
	c->locks[i].where = __builtin_return_address(0);
	store_relaxed(&l->owner, c->id + 1);
	irq_restore(state);
}

/* Locks need not be released in the order in which they were taken. */
void spin_debug_release(struct spinlock *l)
{
	uint64_t state = irq_save();
	struct cpu *c = this_cpu();
	int i = held_index(c, l);

	if (unlikely(i == NOT_HELD))
		panic("lock %s is released at %p by CPU %u, which does not hold it", l->name,
		    __builtin_return_address(0), c->id);
	for (; (unsigned)i + 1 < c->nlocks; i++)
		c->locks[i] = c->locks[i + 1];
	compiler_barrier();
	c->nlocks--;
	store_relaxed(&l->owner, 0);
	irq_restore(state);
}
#endif
