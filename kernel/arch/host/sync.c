/*
 * sync.c (host) - the sleeping locks and wait queues of kern/, without a scheduler: whoever sleeps yields its
 * host thread until its turn has come, and answers shootdowns meanwhile. Ranks are checked as in the kernel,
 * per thread.
 */
#include "arch/clock.h"
#include "arch/host/host.h"
#include "kern/mutex.h"

#ifdef __SANITIZE_THREAD__
_Atomic uint32_t fence_word; /* lib/atomic.h */
#endif

static void check_sleep(const char *what, const char *name)
{
	if (preempt_count() != 0)
		panic("%s %s: sleeping with preemption disabled (a spinlock is held)", what, name);
}

#ifdef CONFIG_DEBUG
static void note_order(const char *name, int rank)
{
	struct thread *t = current_thread();

	for (unsigned i = 0; i < t->nlocks; i++)
		if (rank != RANK_NONE && t->locks[i].rank >= rank)
			panic("lock order: %s (rank %d) taken while %s (rank %d) is held", name, rank,
			    t->locks[i].name, t->locks[i].rank);
}

static void note_held(const void *lock, const char *name, int rank, void *where)
{
	struct thread *t = current_thread();

	ASSERT(t->nlocks < THREAD_LOCKS_MAX);
	t->locks[t->nlocks].lock = lock;
	t->locks[t->nlocks].name = name;
	t->locks[t->nlocks].rank = rank;
	t->locks[t->nlocks++].where = where;
}

static void note_release(const void *lock, const char *name)
{
	struct thread *t = current_thread();

	for (unsigned i = t->nlocks; i-- > 0;)
		if (t->locks[i].lock == lock) {
			for (; i + 1 < t->nlocks; i++)
				t->locks[i] = t->locks[i + 1];
			t->nlocks--;
			return;
		}
	panic("%s released by a thread that does not hold it", name);
}
#else
static void note_order(const char *name, int rank)
{
	(void)name, (void)rank;
}
static void note_held(const void *lock, const char *name, int rank, void *where)
{
	(void)lock, (void)name, (void)rank, (void)where;
}
static void note_release(const void *lock, const char *name)
{
	(void)lock, (void)name;
}
#endif

static void note_acquire(const void *lock, const char *name, int rank, void *where)
{
	note_order(name, rank);
	note_held(lock, name, rank, where);
}

/* ---------------------------------------------------------------- mutex */

void mutex_init(struct mutex *m, const char *name, enum lock_rank rank)
{
	store_relaxed(&m->owner, 0);
	waitq_init(&m->waiters);
	m->rank = rank;
	m->name = name;
}

bool mutex_trylock(struct mutex *m)
{
	uintptr_t old = 0;

	if (!cas_acquire(&m->owner, &old, (uintptr_t)current_thread()))
		return false;
	note_acquire(m, m->name, RANK_NONE, __builtin_return_address(0));
	return true;
}

void mutex_lock(struct mutex *m)
{
	uintptr_t old = 0;
	nsec_t since = 0;

	check_sleep("mutex", m->name);
	note_acquire(m, m->name, m->rank, __builtin_return_address(0));
	while (!cas_acquire(&m->owner, &old, (uintptr_t)current_thread())) {
		host_wait(&since, m->name);
		old = 0;
	}
}

void mutex_unlock(struct mutex *m)
{
	ASSERT(mutex_is_held(m));
	note_release(m, m->name);
	store_release(&m->owner, 0);
}

bool mutex_is_held(struct mutex *m)
{
	return load_relaxed(&m->owner) == (uintptr_t)current_thread();
}

/* ---------------------------------------------------------------- rwlock */

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
	check_sleep("rwlock", l->name);
	note_acquire(l, l->name, l->rank, __builtin_return_address(0));
}

void rwlock_debug_release(struct rwlock *l)
{
	note_release(l, l->name);
}

void rwlock_read_slow(struct rwlock *l)
{
	nsec_t since = 0;

	for (;;) {
		uint32_t old = load_relaxed(&l->state);
		if (!(old & (RW_WRITER | RW_WAITERS)) && cas_acquire(&l->state, &old, old + 1))
			return;
		host_wait(&since, l->name);
	}
}

bool rwlock_try_read(struct rwlock *l)
{
	uint32_t old = load_relaxed(&l->state);

	if ((old & (RW_WRITER | RW_WAITERS)) || !cas_acquire(&l->state, &old, old + 1))
		return false;
	note_held(l, l->name, l->rank, __builtin_return_address(0));
	return true;
}

void rwlock_read_unlock_slow(struct rwlock *l)
{
	(void)l; /* the writer that waits polls */
}

static void write_acquire(struct rwlock *l)
{
	nsec_t since = 0;

	for (;;) {
		uint32_t old = load_relaxed(&l->state);
		if (!(old & ~RW_WAITERS) && cas_acquire(&l->state, &old, RW_WRITER))
			break;
		if (!(old & RW_WAITERS))
			fetch_or_acq_rel(&l->state, RW_WAITERS);
		host_wait(&since, l->name);
	}
	l->writer = current_thread();
}

void rwlock_write(struct rwlock *l)
{
	rwlock_debug_acquire(l);
	write_acquire(l);
}

void rwlock_write_nested(struct rwlock *l)
{
	check_sleep("rwlock", l->name);
	note_order(l->name, l->rank == RANK_NONE ? RANK_NONE : l->rank + 1); /* an equal rank passes */
	note_held(l, l->name, l->rank, __builtin_return_address(0));
	write_acquire(l);
}

void rwlock_write_unlock(struct rwlock *l)
{
	ASSERT(rwlock_is_write_held(l));
	l->writer = NULL;
	rwlock_debug_release(l);
	fetch_and_acq_rel(&l->state, ~(RW_WRITER | RW_WAITERS));
}

bool rwlock_is_write_held(struct rwlock *l)
{
	return (load_acquire(&l->state) & RW_WRITER) && l->writer == current_thread();
}

bool rwlock_is_held(struct rwlock *l)
{
	return load_relaxed(&l->state) & ~RW_WAITERS;
}

/* ---------------------------------------------------------------- wait queues */

void waitq_init(struct waitq *q)
{
	spin_init(&q->lock, "waitq", RANK_WAITQ);
	list_init(&q->sleepers);
}

static bool is_interrupted(const struct thread *t, unsigned flags)
{
	return load_relaxed(&t->flags) & thread_flags_of_wait(flags);
}

static void enqueue(struct waitq *q, struct thread *t)
{
	uint64_t state = spin_lock_irqsave(&q->lock);

	store_relaxed(&t->state, THREAD_BLOCKED);
	t->waiting_on = q;
	list_push_back(&q->sleepers, &t->wait_link);
	spin_unlock_irqrestore(&q->lock, state);
}

/* Leave the queue if nobody has woken us; false: somebody has. */
static bool withdraw(struct waitq *q, struct thread *t)
{
	uint64_t state = spin_lock_irqsave(&q->lock);

	bool queued = t->waiting_on == q;
	if (queued) {
		list_remove(&t->wait_link);
		t->waiting_on = NULL;
		store_relaxed(&t->state, THREAD_RUNNING);
	}
	spin_unlock_irqrestore(&q->lock, state);
	return queued;
}

static err_t wait_woken(struct waitq *q, struct thread *t, nsec_t deadline, unsigned flags)
{
	nsec_t since = 0;

	while (load_acquire(&t->state) == THREAD_BLOCKED) {
		if (is_interrupted(t, flags) && withdraw(q, t))
			return -EINTR;
		if (deadline != NSEC_NEVER && clock_now() >= deadline && withdraw(q, t))
			return -ETIMEDOUT;
		host_wait(&since, "a wake-up");
	}
	return 0;
}

err_t waitq_sleep(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	struct thread *t = current_thread();

	enqueue(q, t);
	spin_unlock(held);
	check_sleep("waitq", "sleep");
	err_t err = wait_woken(q, t, deadline, flags);
	spin_lock(held);
	return err;
}

err_t waitq_sleep_irq(struct waitq *q, struct spinlock *held, nsec_t deadline, unsigned flags)
{
	struct thread *t = current_thread();

	enqueue(q, t);
	spin_unlock_irqrestore(held, 0);
	check_sleep("waitq", "sleep");
	err_t err = wait_woken(q, t, deadline, flags);
	(void)spin_lock_irqsave(held);
	return err;
}

static unsigned wake(struct waitq *q, unsigned max)
{
	unsigned n = 0;
	uint64_t state = spin_lock_irqsave(&q->lock);

	while (n < max && !list_is_empty(&q->sleepers)) {
		struct thread *t = list_first(&q->sleepers, struct thread, wait_link);
		list_remove(&t->wait_link);
		t->waiting_on = NULL;
		store_release(&t->state, THREAD_RUNNING);
		n++;
	}
	spin_unlock_irqrestore(&q->lock, state);
	return n;
}

unsigned waitq_wake_one(struct waitq *q)
{
	return wake(q, 1);
}

unsigned waitq_wake_all(struct waitq *q)
{
	return wake(q, UINT32_MAX);
}

bool waitq_is_empty(struct waitq *q)
{
	uint64_t state = spin_lock_irqsave(&q->lock);
	bool empty = list_is_empty(&q->sleepers);

	spin_unlock_irqrestore(&q->lock, state);
	return empty;
}

/* ---------------------------------------------------------------- without a queue */

/* Sleeping is polling here, so `to` is only woken: its host thread runs anyway. */
err_t thread_park(struct spinlock *held, nsec_t deadline, unsigned flags, struct thread *to)
{
	struct thread *t = current_thread();
	nsec_t since = 0;
	err_t err = 0;

	ASSERT(preempt_count() == 1);                              /* `held` and no other */
	__atomic_store_n(&t->wait_flags, flags, __ATOMIC_RELAXED); /* tests look at it */
	store_release(&t->state, THREAD_BLOCKED);
	if (to)
		thread_unpark(to);
	spin_unlock_irqrestore(held, 0);
	while (!err && load_acquire(&t->state) == THREAD_BLOCKED) {
		if (is_interrupted(t, flags))
			err = -EINTR;
		else if (deadline != NSEC_NEVER && clock_now() >= deadline)
			err = -ETIMEDOUT;
		else
			host_wait(&since, "a message");
	}
	(void)spin_lock_irqsave(held);
	store_release(&t->state, THREAD_RUNNING);
	return err;
}

void thread_unpark(struct thread *t)
{
	store_release(&t->state, THREAD_RUNNING);
}
