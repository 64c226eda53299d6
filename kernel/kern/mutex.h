#pragma once
/*
 * mutex.h - sleeping locks: mutex and reader-writer lock. May be taken only where sleeping is allowed: no
 * spinlock held, not in an interrupt. Ranked like spinlocks (kern/lock_ranks.h), checked per thread in debug
 * kernels.
 */
#include "kern/spinlock.h"
#include "kern/waitq.h"

struct mutex {
	_Atomic uintptr_t owner; /* thread that holds it; 0 = free; bit 0 = somebody waits */
	struct waitq waiters;
	int rank;
	const char *name;
};

void mutex_init(struct mutex *m, const char *name, enum lock_rank rank);
void mutex_lock(struct mutex *m);
MUST_CHECK bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
bool mutex_is_held(struct mutex *m); /* by the current thread */

/* Many readers or one writer; a waiting writer holds new readers back. The uncontended path is one atomic
 * operation. */
struct rwlock {
	_Atomic uint32_t state; /* readers in the low bits; RW_WRITER; RW_WAITERS */
	struct waitq waiters;
	int rank;
	const char *name;
	struct thread *writer; /* debug aid: who holds it for writing */
};

enum { RW_WRITER = 1u << 31, RW_WAITERS = 1u << 30 };

void rwlock_init(struct rwlock *l, const char *name, enum lock_rank rank);
void rwlock_read_slow(struct rwlock *l);
void rwlock_read_unlock_slow(struct rwlock *l);
void rwlock_write(struct rwlock *l);
/* Like rwlock_write, but locks of the same rank may be held already; the caller says why no cycle is
 * possible. */
void rwlock_write_nested(struct rwlock *l);
void rwlock_write_unlock(struct rwlock *l);
bool rwlock_is_write_held(struct rwlock *l);
bool rwlock_is_held(struct rwlock *l); /* by anybody, in either way */
void rwlock_debug_acquire(struct rwlock *l);
void rwlock_debug_release(struct rwlock *l);

static inline void rwlock_read(struct rwlock *l)
{
#ifdef CONFIG_DEBUG
	rwlock_debug_acquire(l);
#endif
	uint32_t old = load_relaxed(&l->state);
	if (unlikely((old & (RW_WRITER | RW_WAITERS)) || !cas_acquire(&l->state, &old, old + 1)))
		rwlock_read_slow(l);
}
/* Take it for reading if that needs no waiting; so it may go against the order. */
MUST_CHECK bool rwlock_try_read(struct rwlock *l);
static inline void rwlock_read_unlock(struct rwlock *l)
{
#ifdef CONFIG_DEBUG
	rwlock_debug_release(l);
#endif
	uint32_t old = fetch_sub_release(&l->state, 1);
	if (unlikely(old == (RW_WAITERS | 1))) /* the last reader out, and nobody but it, wakes the next */
		rwlock_read_unlock_slow(l);
}
