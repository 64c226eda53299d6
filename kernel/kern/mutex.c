/*
 * mutex.c - sleeping mutual exclusion.
 *
 * `owner` is the holder's thread, with bit 0 set if somebody waits. Taking a free mutex and giving back one
 * that nobody waits for is one atomic operation. Everything else happens under the lock of the wait queue:
 *
 *	a waiter sets bit 0 while the mutex is held, and enqueues; so a set bit means a sleeper on the queue;
 *	the holder, finding bit 0, stores 0 and wakes the first sleeper.
 *
 * The mutex is not handed over: whoever runs may take it before the woken thread does, which saves a switch
 * for each passage under load. The woken thread then goes back to the front of the queue, so it waits for one
 * holder at a time and is never overtaken by another sleeper.
 */
#include "kern/sleeplock.h"

enum { MUTEX_WAITERS = 1 };

void mutex_init(struct mutex *m, const char *name, enum lock_rank rank)
{
	store_relaxed(&m->owner, 0);
	waitq_init(&m->waiters);
	m->rank = rank;
	m->name = name;
}

/* q->lock held: take the mutex if it is free, else see to it that the holder will wake us. True: taken. */
static bool take_or_mark_locked(struct mutex *m)
{
	uintptr_t me = (uintptr_t)current_thread();
	uintptr_t old = load_relaxed(&m->owner);

	for (;;) {
		if (old == 0) {
			uintptr_t mine = me | (waitq_first_locked(&m->waiters) ? MUTEX_WAITERS : 0);
			if (cas_acquire(&m->owner, &old, mine))
				return true;
		} else if ((old & MUTEX_WAITERS) || cas_acquire(&m->owner, &old, old | MUTEX_WAITERS)) {
			return false;
		}
	}
}

static void mutex_lock_slow(struct mutex *m)
{
	uint64_t state = spin_lock_irqsave(&m->waiters.lock);
	bool front = false;

	while (!take_or_mark_locked(m)) {
		waitq_enqueue_locked(&m->waiters, 0, front);
		while (!waitq_block_locked(&m->waiters))
			;
		front = true;
	}
	spin_unlock_irqrestore(&m->waiters.lock, state);
}

void mutex_lock(struct mutex *m)
{
	uintptr_t old = 0;

	sleeplock_check(m, m->name, m->rank, __builtin_return_address(0));
	if (unlikely(!cas_acquire(&m->owner, &old, (uintptr_t)current_thread())))
		mutex_lock_slow(m);
	sleeplock_acquired(m, m->name, m->rank, __builtin_return_address(0));
}

bool mutex_trylock(struct mutex *m)
{
	uintptr_t old = 0;

	if (!cas_acquire(&m->owner, &old, (uintptr_t)current_thread()))
		return false;
	sleeplock_acquired(m, m->name, m->rank, __builtin_return_address(0));
	return true;
}

void mutex_unlock(struct mutex *m)
{
	uintptr_t old = (uintptr_t)current_thread();

	sleeplock_released(m, m->name);
	if (likely(cas_acq_rel(&m->owner, &old, 0)))
		return;
	ASSERT(old == ((uintptr_t)current_thread() | MUTEX_WAITERS));
	uint64_t state = spin_lock_irqsave(&m->waiters.lock);
	store_release(&m->owner, 0);
	waitq_wake_first_locked(&m->waiters);
	spin_unlock_irqrestore(&m->waiters.lock, state);
}

bool mutex_is_held(struct mutex *m)
{
	return (load_relaxed(&m->owner) & ~(uintptr_t)MUTEX_WAITERS) == (uintptr_t)current_thread();
}
