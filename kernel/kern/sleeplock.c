/* sleeplock.c - the rank check of sleeping locks: as in spinlock.c, but by thread, because their holder may
 * sleep and move. */
#include "kern/sleeplock.h"

void sleeplock_check(const void *lock, const char *name, int rank, void *where)
{
	if (unlikely(preempt_count() != 0))
		panic("lock %s is taken at %p where sleeping is not allowed", name, where);
#ifdef CONFIG_DEBUG
	const struct thread *t = current_thread();
	for (unsigned i = 0; i < t->nlocks; i++)
		if (t->locks[i].lock == lock || (rank != RANK_NONE && t->locks[i].rank >= rank))
			panic(
			    "lock order: %s (rank %d) is taken at %p while %s (rank %d), taken at %p, is held",
			    name, rank, where, t->locks[i].name, t->locks[i].rank, t->locks[i].where);
#else
	(void)lock;
	(void)rank;
#endif
}

void sleeplock_acquired(const void *lock, const char *name, int rank, void *where)
{
#ifdef CONFIG_DEBUG
	struct thread *t = current_thread();
	ASSERT(t->nlocks < THREAD_LOCKS_MAX);
	t->locks[t->nlocks].lock = lock;
	t->locks[t->nlocks].name = name;
	t->locks[t->nlocks].rank = rank;
	t->locks[t->nlocks++].where = where;
#else
	(void)lock;
	(void)name;
	(void)rank;
	(void)where;
#endif
}

void sleeplock_released(const void *lock, const char *name)
{
#ifdef CONFIG_DEBUG
	struct thread *t = current_thread();
	unsigned i = 0;
	while (i < t->nlocks && t->locks[i].lock != lock)
		i++;
	if (i == t->nlocks)
		panic("lock %s is released by thread %s, which does not hold it", name, t->name);
	for (t->nlocks--; i < t->nlocks; i++)
		t->locks[i] = t->locks[i + 1];
#else
	(void)lock;
	(void)name;
#endif
}
