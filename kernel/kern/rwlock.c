/*
 * rwlock.c - sleeping reader-writer locks.
 *
 *	state   0                  free
 *	        n                  n readers
 *	        RW_WRITER          one writer
 *	        ... | RW_WAITERS   threads sleep on the queue
 *
 * Who finds the lock free of everything in its way takes it with one atomic operation. RW_WAITERS is set
 * under the lock of the wait queue and while the lock is held, by the first who must sleep; from then on
 * nobody takes the lock directly: new readers and writers queue up behind, so a writer is not starved by
 * readers, nor readers by writers. Whoever gives back the last hold finds the bit and hands the lock over,
 * under the queue's lock: to the first sleeper if it is a writer, or to all readers in front of the first
 * writer. The new holders find the lock theirs when they run. Handing over costs a switch under load, and
 * gives every waiter a bound: one turn of each group before it.
 *
 * Only the reader that takes the count to zero touches the queue after giving back its hold; anybody else
 * could be overtaken by a new holder that frees the lock.
 */
#include "kern/sleeplock.h"

enum { WAIT_WRITER = 1 << 8 }; /* in thread.wait_flags: waits to write */

void rwlock_init(struct rwlock *l, const char *name, enum lock_rank rank)
{
	store_relaxed(&l->state, 0);
	waitq_init(&l->waiters);
	l->rank = rank;
	l->name = name;
	l->writer = NULL;
}

void rwlock_debug_acquire(struct rwlock *l)
{
	sleeplock_check(l, l->name, l->rank, __builtin_return_address(0));
	sleeplock_acquired(l, l->name, l->rank, __builtin_return_address(0));
}

void rwlock_debug_release(struct rwlock *l)
{
	sleeplock_released(l, l->name);
}

static bool next_is(struct rwlock *l, bool writer)
{
	struct thread *t = waitq_first_locked(&l->waiters);

	return t && !!(t->wait_flags & WAIT_WRITER) == writer;
}

/* Nobody holds the lock and RW_WAITERS is set, so nobody but us changes the state: give it to whoever is
 * first. */
static void hand_over_locked(struct rwlock *l)
{
	uint32_t state = 0;

	ASSERT(!list_is_empty(&l->waiters.sleepers));
	if (next_is(l, true)) {
		l->writer = waitq_first_locked(&l->waiters);
		state = RW_WRITER;
		waitq_wake_first_locked(&l->waiters);
	} else {
		for (; next_is(l, false); state++)
			waitq_wake_first_locked(&l->waiters);
	}
	if (waitq_first_locked(&l->waiters))
		state |= RW_WAITERS;
	store_release(&l->state, state);
}

/* q->lock held: take the lock if nothing is in the way (true), else see to it that it will be handed over. */
static bool take_or_mark_locked(struct rwlock *l, bool write)
{
	uint32_t old = load_relaxed(&l->state);

	for (;;) {
		bool is_free = write ? old == 0 : !(old & (RW_WRITER | RW_WAITERS));
		if (is_free) {
			if (cas_acquire(&l->state, &old, write ? RW_WRITER : old + 1))
				return true;
		} else if ((old & RW_WAITERS) || cas_acquire(&l->state, &old, old | RW_WAITERS)) {
			return false;
		}
	}
}

static void acquire_slow(struct rwlock *l, bool write)
{
	uint64_t state = spin_lock_irqsave(&l->waiters.lock);

	if (!take_or_mark_locked(l, write)) {
		waitq_enqueue_locked(&l->waiters, write ? WAIT_WRITER : 0, false);
		while (!waitq_block_locked(&l->waiters))
			;
	}
	spin_unlock_irqrestore(&l->waiters.lock, state);
}

void rwlock_read_slow(struct rwlock *l)
{
	ASSERT(preempt_count() == 0);
	acquire_slow(l, false);
}

bool rwlock_try_read(struct rwlock *l)
{
	uint32_t old = load_relaxed(&l->state);
	if ((old & (RW_WRITER | RW_WAITERS)) || !cas_acquire(&l->state, &old, old + 1))
		return false;
	sleeplock_acquired(l, l->name, l->rank, __builtin_return_address(0));
	return true;
}

void rwlock_read_unlock_slow(struct rwlock *l)
{
	uint64_t state = spin_lock_irqsave(&l->waiters.lock);

	ASSERT(load_acquire(&l->state) == RW_WAITERS);
	hand_over_locked(l);
	spin_unlock_irqrestore(&l->waiters.lock, state);
}

static void write_checked(struct rwlock *l, void *where)
{
	uint32_t old = 0;

	if (unlikely(!cas_acquire(&l->state, &old, RW_WRITER)))
		acquire_slow(l, true);
	l->writer = current_thread();
	sleeplock_acquired(l, l->name, l->rank, where);
}

void rwlock_write(struct rwlock *l)
{
	sleeplock_check(l, l->name, l->rank, __builtin_return_address(0));
	write_checked(l, __builtin_return_address(0));
}

void rwlock_write_nested(struct rwlock *l)
{
	sleeplock_check(l, l->name, l->rank + 1, __builtin_return_address(0)); /* an equal rank passes */
	write_checked(l, __builtin_return_address(0));
}

void rwlock_write_unlock(struct rwlock *l)
{
	uint32_t old = RW_WRITER;

	ASSERT(rwlock_is_write_held(l));
	sleeplock_released(l, l->name);
	l->writer = NULL;
	if (likely(cas_acq_rel(&l->state, &old, 0)))
		return;
	ASSERT(old == (RW_WRITER | RW_WAITERS));
	uint64_t state = spin_lock_irqsave(&l->waiters.lock);
	hand_over_locked(l);
	spin_unlock_irqrestore(&l->waiters.lock, state);
}

bool rwlock_is_write_held(struct rwlock *l)
{
	return l->writer == current_thread();
}

bool rwlock_is_held(struct rwlock *l)
{
	return load_relaxed(&l->state) & ~(uint32_t)RW_WAITERS;
}
