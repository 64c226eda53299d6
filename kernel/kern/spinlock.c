/*
 * spinlock.c - the slow halves of spinlocks, and the rank checker of debug kernels.
 *
 * Our CPUs are often threads of a busy host, which takes them off its processors at any moment, for milliseconds.
 * So a free lock belongs to whoever is there to take it. Serving waiters in the order in which they came (tickets,
 * queues) was tried and rejected: the lock then waits for a CPU that does not run, while those that do run spin and
 * use up their share of the host. Two CPUs that took turns at one lock came down to one turn for each round of the
 * host's scheduler, and `/bin/true` took three times as long on two CPUs as on one.
 *
 * Nobody starves all the same. A waiter that has looked at the lock HUNGRY_AFTER times says so in the lock's word;
 * while there is one, others leave the lock to the hungry, for as long as they have looked POLITE_FOR times: enough
 * for a CPU that runs, nothing compared to the absence of one that does not. In an emulator whose CPUs run in turns
 * these looks are what ends a turn.
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

enum {
	HUNGRY_AFTER = 256, /* looks at the lock, until a waiter is hungry */
	POLITE_FOR = 32,    /* looks for which others leave a free lock to the hungry */
};

void spin_wait(struct spinlock *l)
{
	uint32_t hungry = 0;
	for (unsigned looks = 0;; looks++) {
		uint32_t word = load_relaxed(&l->word);
		bool polite = word >= SPIN_HUNGRY && !hungry && looks < POLITE_FOR;
		if (!(word & SPIN_TAKEN) && !polite &&
		    cas_acquire(&l->word, &word, (word | SPIN_TAKEN) - hungry))
			return;
		if (looks == HUNGRY_AFTER) {
			hungry = SPIN_HUNGRY;
			fetch_add_relaxed(&l->word, SPIN_HUNGRY);
		}
		cpu_poll_requests();
		cpu_relax();
	}
}

bool spin_trylock(struct spinlock *l)
{
	preempt_disable();
	uint32_t word = load_relaxed(&l->word);
	if (!(word & SPIN_TAKEN) && cas_acquire(&l->word, &word, word | SPIN_TAKEN)) {
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
