/*
 * klock.c - sleeping locks under contention, in what order they are handed over, and the rank checker, on
 * real CPUs.
 */
#include "crew.h"
#include "ktest.h"
#include "arch/clock.h"
#include "kern/mutex.h"

enum { LOCK_ROUNDS = 160 };

struct locked {
	struct mutex mutex;
	struct rwlock rw;
	uint64_t a, b; /* guarded by either, by test */
	_Atomic uint32_t inside, writers_inside, tries_won;
};

static void locked_init(struct locked *l)
{
	*l = (struct locked){0};
	mutex_init(&l->mutex, "test mutex", RANK_PROC);
	rwlock_init(&l->rw, "test rwlock", RANK_PROC);
}

/* With the mutex held: nobody else is here, even if we yield or sleep half way. */
static void mutex_section(struct locked *l, uint64_t *seed)
{
	KT_CHECK_EQ(fetch_add_relaxed(&l->inside, 1), 0);
	KT_CHECK(mutex_is_held(&l->mutex));
	uint64_t a = l->a;
	if (kt_random(seed) % 8 == 0)
		thread_yield();
	if (kt_random(seed) % 64 == 0)
		pause_ns(MS / 10);
	l->a = a + 1;
	fetch_sub_relaxed(&l->inside, 1);
}

static void mutex_worker(struct worker *w)
{
	struct locked *l = w->shared;
	uint64_t seed = w->i;

	for (int i = 0; i < LOCK_ROUNDS; i++) {
		if (kt_random(&seed) % 4 == 0) {
			if (!mutex_trylock(&l->mutex))
				continue;
		} else {
			mutex_lock(&l->mutex);
		}
		mutex_section(l, &seed);
		fetch_add_relaxed(&l->tries_won, 1);
		mutex_unlock(&l->mutex);
	}
}

KTEST(kern_mutex_exclusion)
{
	struct locked l;

	locked_init(&l);
	KT_REQUIRE(crew_run(crew_size(), mutex_worker, &l));
	KT_CHECK_EQ(l.a, load_relaxed(&l.tries_won));
	KT_CHECK(l.a >= LOCK_ROUNDS / 2);
	KT_CHECK_EQ(load_relaxed(&l.mutex.owner), 0);
	KT_CHECK(waitq_is_empty(&l.mutex.waiters));
}

static void rwlock_read_section(struct locked *l, uint64_t *seed)
{
	rwlock_read(&l->rw);
	KT_CHECK_EQ(load_relaxed(&l->writers_inside), 0);
	uint64_t a = l->a;
	if (kt_random(seed) % 8 == 0)
		thread_yield();
	KT_CHECK_EQ(l->b, a);
	rwlock_read_unlock(&l->rw);
}

static void rwlock_write_section(struct locked *l, uint64_t *seed)
{
	rwlock_write(&l->rw);
	KT_CHECK(rwlock_is_write_held(&l->rw));
	KT_CHECK_EQ(fetch_add_relaxed(&l->writers_inside, 1), 0);
	l->a++;
	if (kt_random(seed) % 4 == 0)
		thread_yield();
	l->b++;
	fetch_sub_relaxed(&l->writers_inside, 1);
	rwlock_write_unlock(&l->rw);
}

static void rwlock_worker(struct worker *w)
{
	uint64_t seed = w->i;

	for (int i = 0; i < LOCK_ROUNDS; i++)
		if (i % 4 == 0)
			rwlock_write_section(w->shared, &seed);
		else
			rwlock_read_section(w->shared, &seed);
}

KTEST(kern_rwlock_exclusion)
{
	struct locked l;

	locked_init(&l);
	KT_REQUIRE(crew_run(crew_size(), rwlock_worker, &l));
	KT_CHECK_EQ(l.a, crew_size() * (LOCK_ROUNDS / 4));
	KT_CHECK_EQ(l.a, l.b);
	KT_CHECK_EQ(load_relaxed(&l.rw.state), 0);
	KT_CHECK(!rwlock_is_held(&l.rw) && waitq_is_empty(&l.rw.waiters));
}

/* Who comes when the lock is taken, and who gets it in which order. */
struct turns {
	struct rwlock rw;
	_Atomic uint32_t at, release; /* threads that had their turn; goes up when the holder may let go */
	char order[WORKERS_MAX];
};

/* The crew's plan: one letter a worker, 'r' reads, 'w' writes. Each notes its turn while it has the lock. */
static const char *turns_plan;

static void take_turn(struct worker *w)
{
	struct turns *t = w->shared;
	bool write = turns_plan[w->i] == 'w';

	(write ? rwlock_write : rwlock_read)(&t->rw);
	t->order[fetch_add_acq_rel(&t->at, 1)] = turns_plan[w->i];
	if (w->i == 0)
		KT_CHECK(wait_for(&t->release, 1));
	(write ? rwlock_write_unlock : rwlock_read_unlock)(&t->rw);
}

static unsigned count_sleepers(struct waitq *q)
{
	unsigned n = 0;
	uint64_t state = spin_lock_irqsave(&q->lock);

	list_for_each (it, &q->sleepers)
		n++;
	spin_unlock_irqrestore(&q->lock, state);
	return n;
}

/*
 * The first worker of the plan takes the lock and keeps it until all others have come, one after the other,
 * and sleep; `through` of them get in at once. Then the order of turns must be `expect`.
 */
static void run_turns(const char *plan, unsigned through, const char *expect)
{
	struct turns t = {0};
	struct crew c;

	turns_plan = plan;
	rwlock_init(&t.rw, "turns", RANK_PROC);
	KT_REQUIRE(crew_create(&c, (unsigned)strlen(plan), take_turn, &t));
	for (unsigned i = 0; i < c.n; i++) {
		thread_start(&c.w[i]->thread);
		if (i <= through)
			KT_CHECK(wait_for(&t.at, i + 1));
		for (nsec_t end = clock_now() + SECONDS(20); count_sleepers(&t.rw.waiters) + through < i;)
			if (clock_now() < end)
				pause_ns(MS);
			else
				break;
	}
	KT_CHECK_EQ(load_relaxed(&t.at), through + 1);
	KT_CHECK_EQ(count_sleepers(&t.rw.waiters), c.n - 1 - through);
	store_release(&t.release, 1);
	crew_join(&c);
	KT_CHECK(strcmp(t.order, expect) == 0);
}

KTEST(kern_rwlock_turns)
{
	run_turns("rrrr", 3, "rrrr");
	run_turns("rwrrr", 0, "rwrrr");   /* a waiting writer holds new readers back */
	run_turns("rrwrw", 1, "rrwrw");   /* and is not overtaken by later writers */
	run_turns("wrrwrr", 0, "wrrwrr"); /* nor are readers overtaken by writers */
	run_turns("wwrwrrw", 0, "wwrwrrw");
}

KTEST(kern_spin_rank_checker)
{
#ifdef CONFIG_DEBUG
	struct spinlock low, high;

	spin_init(&low, "low", RANK_OBJECT);
	spin_init(&high, "high", RANK_ZONE);
	KT_CHECK(!spin_rank_would_invert(&low));
	spin_lock(&high);
	KT_CHECK(spin_rank_would_invert(&low));
	KT_CHECK(spin_rank_would_invert(&high));
	spin_unlock(&high);
	spin_lock(&low);
	KT_CHECK(!spin_rank_would_invert(&high));
	spin_unlock(&low);
	KT_CHECK(!spin_rank_would_invert(&low));
#else
	kt_skip("only debug kernels check ranks");
#endif
}
