/*
 * kkern.c - threads and wait queues, on real CPUs.
 *
 * The host is shared and the emulator slow, so upper bounds on time are wide; what is exact is checked
 * exactly.
 */
#include "crew.h"
#include "ktest.h"
#include "arch/clock.h"
#include "kern/sched.h"
#include "lib/bits.h"
#include "mm/kva.h"
#include "mm/slab.h"

/* ---------------------------------------------------------------- threads */

enum { CACHES_MAX = 64 };

/* Objects in use in every slab cache, in the order of the caches' list. */
struct slab_census {
	uint64_t used[CACHES_MAX];
	const char *name[CACHES_MAX];
	unsigned n;
};

static void count_cache(struct slab_cache *c, void *census)
{
	struct slab_census *all = census;
	struct slab_stats s;

	KT_REQUIRE(all->n < CACHES_MAX);
	slab_cache_stats(c, &s);
	all->name[all->n] = s.name;
	all->used[all->n++] = s.objects_used;
}

static void slab_census(struct slab_census *all)
{
	all->n = 0;
	kva_shrink(); /* free stacks that are kept at hand */
	slab_for_each_cache(count_cache, all);
}

static void check_same_objects(const struct slab_census *before)
{
	struct slab_census now;

	slab_census(&now);
	KT_CHECK_EQ(now.n, before->n);
	for (unsigned i = 0; i < now.n; i++) {
		if (now.used[i] != before->used[i])
			kt_note("cache %s", now.name[i]);
		KT_CHECK_EQ(now.used[i], before->used[i]);
	}
}

static void count_run(struct worker *w)
{
	fetch_add_relaxed((_Atomic uint32_t *)w->shared, 1);
}

KTEST(kern_threads_start_join)
{
	_Atomic uint32_t runs = 0;
	struct slab_census before;

	slab_census(&before);
	for (int i = 0; i < 1000; i++) {
		struct worker *w = worker_create(count_run, &runs, 0);
		KT_REQUIRE(w);
		thread_start(&w->thread);
		worker_join(w);
	}
	KT_CHECK_EQ(load_relaxed(&runs), 1000);
	check_same_objects(&before);
}

/* Starts and joins threads of its own: on all CPUs at a time, stacks are reused as soon as they are free. */
static void breed(struct worker *w)
{
	for (int i = 0; i < 60; i++) {
		struct worker *child = worker_create(count_run, w->shared, 0);
		KT_REQUIRE(child);
		thread_start(&child->thread);
		worker_join(child);
	}
}

KTEST(kern_threads_breed_on_all_cpus)
{
	_Atomic uint32_t runs = 0;

	KT_REQUIRE(crew_run(crew_size(), breed, &runs));
	KT_CHECK_EQ(load_relaxed(&runs), 60 * crew_size());
}

static void find_thread(struct thread *t, void *arg)
{
	struct worker *w = arg;
	if (t == &w->thread)
		w->result++;
}

KTEST(kern_threads_list)
{
	_Atomic uint32_t runs = 0;
	struct worker *w = worker_create(count_run, &runs, 0);

	KT_REQUIRE(w);
	thread_for_each(find_thread, w);
	KT_CHECK_EQ(w->result, 0); /* not started: not listed */
	thread_set_affinity(&w->thread, BIT(here()));
	preempt_disable();
	thread_start(&w->thread);
	thread_for_each(find_thread, w);
	preempt_enable();
	KT_CHECK_EQ(w->result, 1);
	thread_join(&w->thread);
	thread_for_each(find_thread, w);
	KT_CHECK_EQ(w->result, 1);
	worker_free(w);
}

/* ---------------------------------------------------------------- wait queues */

struct ball {
	struct spinlock lock;
	struct waitq moved;
	unsigned holder, passes, rounds;
};

static void play(struct worker *w)
{
	struct ball *b = w->shared;

	spin_lock(&b->lock);
	for (unsigned i = 0; i < b->rounds; i++) {
		while (b->holder != w->i)
			KT_CHECK_EQ(waitq_sleep(&b->moved, &b->lock, NSEC_NEVER, 0), 0);
		b->holder = !w->i;
		b->passes++;
		waitq_wake_all(&b->moved);
	}
	spin_unlock(&b->lock);
}

static void ping_pong(uint32_t cpu_a, uint32_t cpu_b)
{
	struct ball b = {.rounds = 400};
	struct crew c;

	spin_init(&b.lock, "ball", RANK_SERVICE);
	waitq_init(&b.moved);
	KT_REQUIRE(crew_create(&c, 2, play, &b));
	thread_set_affinity(&c.w[0]->thread, BIT(cpu_a));
	thread_set_affinity(&c.w[1]->thread, BIT(cpu_b));
	crew_start(&c);
	crew_join(&c);
	KT_CHECK_EQ(b.passes, 2 * b.rounds);
	KT_CHECK(waitq_is_empty(&b.moved));
}

KTEST(kern_waitq_ping_pong)
{
	ping_pong(0, 0);
	ping_pong(0, last_cpu());
}

KTEST(kern_waitq_deadline)
{
	struct spinlock lock;
	struct waitq q;
	nsec_t worst = 0;

	spin_init(&lock, "deadline", RANK_SERVICE);
	waitq_init(&q);
	for (unsigned ms = 0; ms < 30; ms += 3) {
		spin_lock(&lock);
		nsec_t deadline = clock_now() + ms * MS;
		KT_CHECK_EQ(waitq_sleep(&q, &lock, deadline, 0), -ETIMEDOUT);
		KT_CHECK(spin_is_held(&lock) && irq_is_enabled());
		spin_unlock(&lock);
		nsec_t now = clock_now();
		KT_CHECK(now >= deadline);
		worst = MAX(worst, now - deadline);
	}
	KT_CHECK(worst < SECONDS(2));
	kt_note("latest wake-up %llu us after its deadline", (unsigned long long)worst / 1000);
	uint64_t irq = spin_lock_irqsave(&lock);
	KT_CHECK_EQ(waitq_sleep_irq(&q, &lock, 0, 0), -ETIMEDOUT);
	KT_CHECK(!irq_is_enabled());
	spin_unlock_irqrestore(&lock, irq);
	KT_CHECK(waitq_is_empty(&q));
}

struct sleepers {
	struct spinlock lock;
	struct waitq q;
	unsigned flags;
	nsec_t deadline;
	_Atomic uint32_t asleep, woken;
	unsigned order[WORKERS_MAX]; /* guarded by lock: who woke, in order */
};

static void sleepers_init(struct sleepers *s, nsec_t deadline, unsigned flags)
{
	*s = (struct sleepers){.flags = flags, .deadline = deadline};
	spin_init(&s->lock, "sleepers", RANK_SERVICE);
	waitq_init(&s->q);
}

static void sleep_once(struct worker *w)
{
	struct sleepers *s = w->shared;

	spin_lock(&s->lock);
	fetch_add_acq_rel(&s->asleep, 1);
	w->result = (uint64_t)(int64_t)waitq_sleep(&s->q, &s->lock, s->deadline, s->flags);
	s->order[fetch_add_acq_rel(&s->woken, 1)] = w->i;
	spin_unlock(&s->lock);
}

/* Start workers one by one, each when the one before it sleeps. */
static bool start_in_order(struct crew *c, struct sleepers *s)
{
	for (unsigned i = 0; i < c->n; i++) {
		thread_start(&c->w[i]->thread);
		if (!wait_for(&s->asleep, i + 1))
			return false;
		spin_lock(&s->lock); /* held by the sleeper until it is on the queue */
		spin_unlock(&s->lock);
	}
	return true;
}

KTEST(kern_waitq_wakes_in_order)
{
	struct sleepers s;
	struct crew c;

	sleepers_init(&s, NSEC_NEVER, 0);
	KT_REQUIRE(crew_create(&c, 6, sleep_once, &s));
	KT_CHECK(start_in_order(&c, &s));
	KT_CHECK_EQ(load_relaxed(&s.woken), 0);
	for (unsigned i = 0; i < 3; i++) {
		KT_CHECK_EQ(waitq_wake_one(&s.q), 1);
		KT_CHECK(wait_for(&s.woken, i + 1));
	}
	pause_ns(5 * MS);
	KT_CHECK_EQ(load_relaxed(&s.woken), 3);
	KT_CHECK_EQ(waitq_wake_all(&s.q), 3);
	KT_CHECK_EQ(waitq_wake_one(&s.q), 0);
	crew_join(&c);
	for (unsigned i = 0; i < 3; i++)
		KT_CHECK_EQ(s.order[i], i);
}

/* Send `flags` to a thread that sleeps with `wait_flags`; returns its result. It is woken in the ordinary way
 * if they do not concern it. */
static err_t interrupt_one(unsigned wait_flags, uint32_t flags, bool before)
{
	struct sleepers s;
	struct worker *w = worker_create(sleep_once, &s, 0);

	if (!w)
		return -ENOMEM;
	sleepers_init(&s, NSEC_NEVER, wait_flags);
	if (before)
		thread_interrupt(&w->thread, flags);
	thread_start(&w->thread);
	KT_CHECK(wait_for(&s.asleep, 1));
	spin_lock(&s.lock);
	spin_unlock(&s.lock);
	if (!before)
		thread_interrupt(&w->thread, flags);
	pause_ns(5 * MS);
	if (!load_acquire(&s.woken))
		KT_CHECK_EQ(waitq_wake_one(&s.q), 1);
	err_t result = (err_t)worker_join(w);
	KT_CHECK(waitq_is_empty(&s.q));
	return result;
}

KTEST(kern_waitq_interrupt)
{
	for (int before = 0; before < 2; before++) {
		KT_CHECK_EQ(interrupt_one(0, THREAD_KILLED, before), 0);
		KT_CHECK_EQ(interrupt_one(WAIT_KILLABLE, THREAD_KILLED, before), -EINTR);
		KT_CHECK_EQ(interrupt_one(WAIT_KILLABLE, THREAD_SIGNALLED, before), 0);
		KT_CHECK_EQ(interrupt_one(WAIT_INTERRUPTIBLE, THREAD_SIGNALLED, before), -EINTR);
		KT_CHECK_EQ(interrupt_one(WAIT_INTERRUPTIBLE, THREAD_KILLED, before), -EINTR);
	}
}

/* Tokens are handed out by wake-ups that race with deadlines and interrupts; each must be taken by exactly
 * one thread, and nobody may sleep on while there is one. */
struct shop {
	struct spinlock lock;
	struct waitq q;
	unsigned tokens, taken; /* guarded by lock */
	bool closed;            /* likewise */
	unsigned tries[3];      /* likewise: results 0, -ETIMEDOUT, -EINTR */
};

static void shop_sleep(struct shop *s, uint64_t *seed)
{
	nsec_t deadline = kt_random(seed) % 4 ? clock_now() + kt_random(seed) % (MS / 4) : NSEC_NEVER;
	err_t err = waitq_sleep(&s->q, &s->lock, deadline, WAIT_INTERRUPTIBLE);

	s->tries[err == 0 ? 0 : err == -ETIMEDOUT ? 1 : 2]++;
	if (err == -EINTR)
		atomic_fetch_and_explicit(
		    &current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED, memory_order_relaxed);
}

static void customer(struct worker *w)
{
	struct shop *s = w->shared;
	uint64_t seed = w->i;

	spin_lock(&s->lock);
	for (;;) {
		while (!s->tokens && !s->closed)
			shop_sleep(s, &seed);
		if (!s->tokens)
			break;
		s->tokens--;
		s->taken++;
		w->result++;
	}
	spin_unlock(&s->lock);
}

KTEST_LONG(kern_waitq_no_wakeup_lost, 120)
{
	struct shop s = {0};
	struct crew c;
	uint64_t seed = 42;
	enum { TOKENS = 250 };

	spin_init(&s.lock, "shop", RANK_SERVICE);
	waitq_init(&s.q);
	KT_REQUIRE(crew_create(&c, 6, customer, &s));
	crew_start(&c);
	for (unsigned i = 0; i < TOKENS; i++) {
		spin_lock(&s.lock);
		s.tokens++;
		spin_unlock(&s.lock);
		waitq_wake_one(&s.q);
		if (kt_random(&seed) % 4 == 0)
			thread_interrupt(&c.w[kt_random(&seed) % c.n]->thread, THREAD_SIGNALLED);
		if (kt_random(&seed) % 16 == 0)
			thread_yield();
	}
	/* All tokens must go without another wake-up. */
	for (nsec_t end = clock_now() + SECONDS(20); clock_now() < end; pause_ns(MS)) {
		spin_lock(&s.lock);
		bool done = s.tokens == 0;
		spin_unlock(&s.lock);
		if (done)
			break;
	}
	spin_lock(&s.lock);
	KT_CHECK_EQ(s.taken, TOKENS);
	s.closed = true;
	waitq_wake_all(&s.q);
	spin_unlock(&s.lock);
	crew_join(&c);
	kt_note("sleeps ended by wake-up %u, deadline %u, interrupt %u", s.tries[0], s.tries[1], s.tries[2]);
}

KTEST(kern_thread_sleep)
{
	for (unsigned i = 0; i < 10; i++) {
		nsec_t deadline = clock_now() + i * MS;
		KT_CHECK_EQ(thread_sleep_until(deadline), 0);
		KT_CHECK(clock_now() >= deadline);
	}
}
