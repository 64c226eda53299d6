/*
 * kkern.c - threads, the scheduler, wait queues, sleeping locks and timers, on real CPUs.
 *
 * The host is shared and the emulator slow, so upper bounds on time are wide; what is exact is checked
 * exactly: who ran how often, in what order, and that nothing is lost. Shares of the CPU are compared by the
 * threads' own accounts, which do not depend on how fast the host is.
 */
#include "ktest.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "kern/mutex.h"
#include "kern/sched.h"
#include "kern/thread.h"
#include "kern/timer.h"
#include "lib/bits.h"
#include "mm/kva.h"
#include "mm/slab.h"

enum { MS = 1000000, WORKERS_MAX = 16 };
#define SECONDS(n) ((n)*1000ULL * MS)

/* ------------------------------------------------------------------------------------------ helpers */

struct worker {
	struct thread thread;
	void (*fn)(struct worker *w);
	void *shared;
	unsigned i;
	uint64_t result;
};

static void worker_main(void *arg)
{
	struct worker *w = arg;
	w->fn(w);
}

/* A worker that has not started; NULL without memory. */
static struct worker *worker_create(void (*fn)(struct worker *), void *shared, unsigned i)
{
	struct worker *w = kzalloc(sizeof(*w));
	vaddr_t stack = w ? kva_alloc_stack() : 0;

	if (!stack) {
		kfree(w);
		return NULL;
	}
	w->fn = fn;
	w->shared = shared;
	w->i = i;
	thread_init(&w->thread, "worker", stack, KSTACK_PAGES * PAGE_SIZE, worker_main, w);
	return w;
}

static void worker_free(struct worker *w)
{
	arch_thread_fini(&w->thread);
	kva_free_stack(w->thread.stack);
	kfree(w);
}

/* Wait for its end; returns its result. */
static uint64_t worker_join(struct worker *w)
{
	thread_join(&w->thread);
	KT_CHECK_EQ(load_relaxed(&w->thread.state), THREAD_DEAD);
	uint64_t result = w->result;
	worker_free(w);
	return result;
}

struct crew {
	struct worker *w[WORKERS_MAX];
	unsigned n;
};

static void crew_join(struct crew *c)
{
	for (unsigned i = 0; i < c->n; i++)
		worker_join(c->w[i]);
	sched_validate();
}

/* n workers, not started. */
static bool crew_create(struct crew *c, unsigned n, void (*fn)(struct worker *), void *shared)
{
	for (c->n = 0; c->n < n; c->n++) {
		c->w[c->n] = worker_create(fn, shared, c->n);
		if (!c->w[c->n]) {
			while (c->n--)
				worker_free(c->w[c->n]);
			return false;
		}
	}
	return true;
}

static void crew_start(struct crew *c)
{
	for (unsigned i = 0; i < c->n; i++)
		thread_start(&c->w[i]->thread);
}

static bool crew_run(unsigned n, void (*fn)(struct worker *), void *shared)
{
	struct crew c;

	if (!crew_create(&c, n, fn, shared))
		return false;
	crew_start(&c);
	crew_join(&c);
	return true;
}

static unsigned crew_size(void)
{
	return MIN(2 * cpus_count(), (unsigned)WORKERS_MAX);
}

static uint32_t here(void)
{
	preempt_disable();
	uint32_t cpu = cpu_id();
	preempt_enable();
	return cpu;
}

static void pause_ns(nsec_t ns)
{
	KT_CHECK_EQ(thread_sleep_until(clock_now() + ns), 0);
}

static uint32_t last_cpu(void)
{
	return bit_highest(cpus_online());
}

/* Poll until *flag, asleep in between; false if it takes more than 20 s. */
static bool wait_for(_Atomic uint32_t *flag, uint32_t value)
{
	for (nsec_t end = clock_now() + SECONDS(20); load_acquire(flag) != value;) {
		if (clock_now() > end)
			return false;
		pause_ns(MS);
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ threads */

static void add_cache(struct slab_cache *c, void *sum)
{
	struct slab_stats s;

	slab_cache_stats(c, &s);
	*(uint64_t *)sum += s.objects_used;
}

static uint64_t slab_objects(void)
{
	uint64_t sum = 0;

	slab_for_each_cache(add_cache, &sum);
	return sum;
}

static void count_run(struct worker *w)
{
	fetch_add_relaxed((_Atomic uint32_t *)w->shared, 1);
}

KTEST(kern_threads_start_join)
{
	_Atomic uint32_t runs = 0;
	uint64_t objects = slab_objects();

	for (int i = 0; i < 1000; i++) {
		struct worker *w = worker_create(count_run, &runs, 0);
		KT_REQUIRE(w);
		thread_start(&w->thread);
		worker_join(w);
	}
	KT_CHECK_EQ(load_relaxed(&runs), 1000);
	KT_CHECK_EQ(slab_objects(), objects);
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

/* ------------------------------------------------------------------------------------------ wait queues */

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
	struct ball b = {.rounds = 2000};
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

KTEST(kern_waitq_no_wakeup_lost)
{
	struct shop s = {0};
	struct crew c;
	uint64_t seed = 42;
	enum { TOKENS = 3000 };

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

/* ------------------------------------------------------------------------------------------ sleeping locks
 */

enum { LOCK_ROUNDS = 400 };

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

/* Readers overlap all the time, so that the lock is never free of them by chance. */
struct starvation {
	struct rwlock rw;
	_Atomic uint32_t stop, reads, writes;
};

static void keep_reading(struct worker *w)
{
	struct starvation *s = w->shared;

	while (!load_relaxed(&s->stop)) {
		rwlock_read(&s->rw);
		fetch_add_relaxed(&s->reads, 1);
		pause_ns(MS);
		rwlock_read_unlock(&s->rw);
	}
}

static void keep_writing(struct worker *w)
{
	struct starvation *s = w->shared;

	while (!load_relaxed(&s->stop)) {
		rwlock_write(&s->rw);
		fetch_add_relaxed(&s->writes, 1);
		pause_ns(MS);
		rwlock_write_unlock(&s->rw);
	}
}

/* Against n busy threads, ten passages: each lets every one of them in at most once after it has queued up,
 * and once before. */
static void passages(void (*busy)(struct worker *), bool write)
{
	struct starvation s = {0};
	struct crew c;

	rwlock_init(&s.rw, "starvation", RANK_PROC);
	KT_REQUIRE(crew_create(&c, 4, busy, &s));
	crew_start(&c);
	_Atomic uint32_t *others = write ? &s.reads : &s.writes;
	while (load_relaxed(others) < 4)
		pause_ns(MS);
	for (int i = 0; i < 10; i++) {
		uint32_t before = load_relaxed(others);
		(write ? rwlock_write : rwlock_read)(&s.rw);
		uint32_t passed = load_relaxed(others) - before;
		(write ? rwlock_write_unlock : rwlock_read_unlock)(&s.rw);
		KT_CHECK(passed <= 2 * c.n);
	}
	store_relaxed(&s.stop, 1);
	crew_join(&c);
}

KTEST(kern_rwlock_writer_is_not_starved)
{
	passages(keep_reading, true);
}

KTEST(kern_rwlock_reader_is_not_starved)
{
	passages(keep_writing, false);
}

/* ------------------------------------------------------------------------------------------ scheduling */

struct spinners {
	_Atomic uint32_t stop, started;
	_Atomic uint64_t seen[WORKERS_MAX]; /* CPUs each has run on */
};

static void spin_until_stop(struct worker *w)
{
	struct spinners *s = w->shared;

	fetch_add_relaxed(&s->started, 1);
	while (!load_relaxed(&s->stop)) {
		atomic_fetch_or_explicit(&s->seen[w->i], BIT(here()), memory_order_relaxed);
		for (int i = 0; i < 1000; i++)
			cpu_relax();
	}
}

/* Run spinners with the given nice levels on one CPU for a while; cpu_time of each goes to ran. */
static bool share_one_cpu(unsigned n, const int *nice, nsec_t *ran)
{
	struct spinners s = {0};
	struct crew c;

	if (!crew_create(&c, n, spin_until_stop, &s))
		return false;
	for (unsigned i = 0; i < n; i++) {
		thread_set_affinity(&c.w[i]->thread, BIT(last_cpu()));
		thread_set_nice(&c.w[i]->thread, nice[i]);
	}
	crew_start(&c);
	KT_CHECK(wait_for(&s.started, n));
	pause_ns(SECONDS(1));
	store_relaxed(&s.stop, 1);
	for (unsigned i = 0; i < n; i++) {
		thread_join(&c.w[i]->thread);
		ran[i] = c.w[i]->thread.cpu_time;
	}
	crew_join(&c);
	return true;
}

KTEST(kern_sched_equal_shares)
{
	static const int nice[3] = {0, 0, 0};
	nsec_t ran[3], sum;

	KT_REQUIRE(share_one_cpu(3, nice, ran));
	sum = ran[0] + ran[1] + ran[2];
	for (int i = 0; i < 3; i++)
		KT_CHECK(ran[i] * 100 / sum >= 25 && ran[i] * 100 / sum <= 42);
	kt_note("shares %llu %llu %llu %%", (unsigned long long)(ran[0] * 100 / sum),
	    (unsigned long long)(ran[1] * 100 / sum), (unsigned long long)(ran[2] * 100 / sum));
}

KTEST(kern_sched_nice_shares)
{
	static const int nice[2] = {0, 5}; /* 1.25^5 = 3.05 */
	nsec_t ran[2];

	KT_REQUIRE(share_one_cpu(2, nice, ran));
	uint64_t ratio = ran[0] * 100 / ran[1];
	KT_CHECK(ratio >= 230 && ratio <= 400);
	kt_note("nice 0 to nice 5: %llu %%", (unsigned long long)ratio);
}

/* Threads that are all on one CPU's queue spread when they may. */
KTEST(kern_sched_balances)
{
	struct spinners s = {0};
	struct crew c;
	uint64_t busy = 0;

	if (cpus_count() == 1) {
		kt_skip("needs two CPUs");
		return;
	}
	KT_REQUIRE(crew_create(&c, MIN(cpus_count(), (unsigned)WORKERS_MAX), spin_until_stop, &s));
	for (unsigned i = 0; i < c.n; i++)
		thread_set_affinity(&c.w[i]->thread, BIT(0));
	crew_start(&c);
	KT_CHECK(wait_for(&s.started, c.n));
	pause_ns(20 * MS);
	for (unsigned i = 0; i < c.n; i++) {
		KT_CHECK_EQ(load_relaxed(&s.seen[i]), BIT(0));
		thread_set_affinity(&c.w[i]->thread, UINT64_MAX);
	}
	for (nsec_t end = clock_now() + SECONDS(10); clock_now() < end; pause_ns(5 * MS)) {
		for (unsigned i = 0; i < c.n; i++)
			busy |= load_relaxed(&s.seen[i]);
		if (busy == cpus_online())
			break;
	}
	KT_CHECK_EQ(busy, cpus_online());
	store_relaxed(&s.stop, 1);
	crew_join(&c);
}

/* One spinner a CPU and one more to share with: over time everybody gets about as much, wherever it is. */
KTEST(kern_sched_spreads_new_threads)
{
	struct spinners s = {0};
	struct crew c;
	uint64_t busy = 0;

	KT_REQUIRE(crew_create(&c, MIN(cpus_count(), (unsigned)WORKERS_MAX), spin_until_stop, &s));
	crew_start(&c);
	KT_CHECK(wait_for(&s.started, c.n));
	pause_ns(200 * MS);
	store_relaxed(&s.stop, 1);
	for (unsigned i = 0; i < c.n; i++)
		busy |= load_relaxed(&s.seen[i]);
	crew_join(&c);
	KT_CHECK_EQ(busy, cpus_online());
}

static void hop(struct worker *w)
{
	uint64_t online = cpus_online(), seed = w->i;

	for (int i = 0; i < 200; i++) {
		uint64_t mask = kt_random(&seed) & online;
		if (!mask)
			continue;
		thread_set_affinity(current_thread(), mask);
		KT_CHECK(mask & BIT(here()));
		if (i % 8 == 0)
			thread_yield();
		KT_CHECK(mask & BIT(here()));
	}
}

KTEST(kern_sched_affinity)
{
	KT_REQUIRE(crew_run(crew_size(), hop, NULL));
}

/* Somebody else moves a spinner round the CPUs. */
KTEST(kern_sched_moves_a_running_thread)
{
	struct spinners s = {0};
	struct worker *w = worker_create(spin_until_stop, &s, 0);

	KT_REQUIRE(w);
	thread_start(&w->thread);
	KT_CHECK(wait_for(&s.started, 1));
	for (uint64_t rest = cpus_online(); rest; rest &= rest - 1) {
		uint64_t want = BIT(bit_lowest(rest));
		thread_set_affinity(&w->thread, want);
		nsec_t end = clock_now() + SECONDS(10);
		do {
			pause_ns(MS);
			store_relaxed(&s.seen[0], 0);
			pause_ns(5 * MS);
		} while (load_relaxed(&s.seen[0]) != want && clock_now() < end);
		KT_CHECK_EQ(load_relaxed(&s.seen[0]), want);
	}
	store_relaxed(&s.stop, 1);
	worker_join(w);
}

static void set_flag(struct worker *w)
{
	store_release((_Atomic uint32_t *)w->shared, 1);
}

static void spin_for_flag(struct worker *w)
{
	nsec_t end = clock_now() + SECONDS(20);

	while (!load_acquire((_Atomic uint32_t *)w->shared) && clock_now() < end)
		cpu_relax();
	w->result = load_acquire((_Atomic uint32_t *)w->shared);
}

KTEST(kern_sched_preempts)
{
	_Atomic uint32_t flag = 0;
	struct worker *spinner = worker_create(spin_for_flag, &flag, 0);
	struct worker *setter = worker_create(set_flag, &flag, 0);

	if (!spinner || !setter) {
		kt_fail(__FILE__, __LINE__, "no memory");
		return;
	}
	thread_set_affinity(&spinner->thread, BIT(last_cpu()));
	thread_set_affinity(&setter->thread, BIT(last_cpu()));
	thread_start(&spinner->thread);
	pause_ns(20 * MS);
	thread_start(&setter->thread);
	KT_CHECK_EQ(worker_join(spinner), 1);
	worker_join(setter);
}

/* Everything at once, with the scheduler's structures checked all the while. */
static void be_restless(struct worker *w)
{
	struct crew *c = w->shared;
	uint64_t seed = w->i, online = cpus_online();

	for (int i = 0; i < 300; i++) {
		struct thread *other = &c->w[kt_random(&seed) % c->n]->thread;
		switch (kt_random(&seed) % 6) {
		case 0:
			thread_yield();
			break;
		case 1:
			pause_ns(kt_random(&seed) % MS);
			break;
		case 2:
			thread_set_affinity(other, online & kt_random(&seed) ?: online);
			break;
		case 3:
			thread_set_nice(other, (int)(kt_random(&seed) % 40) + NICE_MIN);
			break;
		case 4:
			sched_validate();
			break;
		default:
			for (uint64_t n = kt_random(&seed) % 2000; n; n--)
				cpu_relax();
		}
	}
}

KTEST(kern_sched_storm)
{
	struct crew c;

	KT_REQUIRE(crew_create(&c, 12, be_restless, &c));
	crew_start(&c);
	for (unsigned i = 0; i < c.n; i++)
		thread_join(&c.w[i]->thread);
	sched_validate();
	crew_join(&c);
}

/* ------------------------------------------------------------------------------------------ timers */

enum { TIMERS = 40 };

struct shots {
	struct timer timer[TIMERS];
	_Atomic uint32_t fired;
	unsigned order[TIMERS];
	nsec_t at[TIMERS];
};

struct shot {
	struct shots *all;
	unsigned i;
};

static void shoot(void *arg)
{
	struct shot *s = arg;
	unsigned n = load_relaxed(&s->all->fired);

	KT_CHECK(!irq_is_enabled());
	s->all->order[n] = s->i;
	s->all->at[n] = clock_now();
	store_release(&s->all->fired, n + 1);
}

/* All on one CPU: they go off in the order of their deadlines, each once, none early; every fourth is
 * cancelled. */
KTEST(kern_timer_order_and_cancel)
{
	struct shots *s = kzalloc(sizeof(*s));
	struct shot shot[TIMERS];
	nsec_t deadline[TIMERS];
	unsigned alive = 0;

	KT_REQUIRE(s);
	thread_set_affinity(current_thread(), BIT(here()));
	nsec_t base = clock_now() + 30 * MS;
	for (unsigned i = 0; i < TIMERS; i++) {
		shot[i] = (struct shot){s, i};
		deadline[i] = base + (i * 17 % TIMERS) * (MS / 2);
		timer_init(&s->timer[i], shoot, &shot[i]);
		timer_set(&s->timer[i], deadline[i]);
	}
	for (unsigned i = 0; i < TIMERS; i++) {
		if (i % 4 == 0)
			KT_CHECK(timer_cancel(&s->timer[i]) && !timer_cancel(&s->timer[i]));
		else
			alive++;
	}
	KT_CHECK_EQ(load_relaxed(&s->fired), 0);
	KT_CHECK(wait_for(&s->fired, alive));
	pause_ns(10 * MS);
	KT_CHECK_EQ(load_relaxed(&s->fired), alive);
	for (unsigned n = 0; n < alive; n++) {
		KT_CHECK(s->order[n] % 4 != 0);
		KT_CHECK(s->at[n] >= deadline[s->order[n]]);
		KT_CHECK(n == 0 || deadline[s->order[n - 1]] < deadline[s->order[n]]);
	}
	for (unsigned i = 0; i < TIMERS; i++)
		KT_CHECK(!timer_cancel(&s->timer[i]));
	thread_set_affinity(current_thread(), UINT64_MAX);
	kfree(s);
}

struct slow_shot {
	struct timer timer;
	_Atomic uint32_t armed, begun, over;
};

static void shoot_slowly(void *arg)
{
	struct slow_shot *s = arg;

	store_release(&s->begun, 1);
	clock_delay(20 * MS);
	store_release(&s->over, 1);
}

static void arm_slow_shot(struct worker *w)
{
	struct slow_shot *s = w->shared;

	timer_init(&s->timer, shoot_slowly, s);
	timer_set(&s->timer, clock_now());
	store_release(&s->armed, 1);
}

/* The callback runs on one CPU while another cancels: the cancel returns when it is over. */
KTEST(kern_timer_cancel_waits)
{
	struct slow_shot s = {0};
	struct worker *w;

	if (cpus_count() == 1) {
		kt_skip("needs two CPUs");
		return;
	}
	KT_REQUIRE((w = worker_create(arm_slow_shot, &s, 0)));
	thread_set_affinity(current_thread(), BIT(0));
	thread_set_affinity(&w->thread, BIT(last_cpu()));
	thread_start(&w->thread);
	for (nsec_t end = clock_now() + SECONDS(10); !load_acquire(&s.begun) && clock_now() < end;)
		cpu_relax();
	KT_CHECK_EQ(load_relaxed(&s.begun), 1);
	KT_CHECK(!timer_cancel(&s.timer));
	KT_CHECK_EQ(load_relaxed(&s.over), 1);
	worker_join(w);
	thread_set_affinity(current_thread(), UINT64_MAX);
}

struct ticker {
	struct timer timer;
	_Atomic uint32_t ticks;
};

static void tick(void *arg)
{
	struct ticker *t = arg;

	if (fetch_add_relaxed(&t->ticks, 1) + 1 < 10)
		timer_set(&t->timer, clock_now() + MS);
}

static void tick_for_ever(void *arg)
{
	struct ticker *t = arg;

	fetch_add_relaxed(&t->ticks, 1);
	timer_set(&t->timer, clock_now() + MS / 10);
}

KTEST(kern_timer_rearms_itself)
{
	struct ticker t = {0};

	timer_init(&t.timer, tick, &t);
	timer_set(&t.timer, clock_now() + MS);
	KT_CHECK(wait_for(&t.ticks, 10));
	pause_ns(5 * MS);
	KT_CHECK_EQ(load_relaxed(&t.ticks), 10);
	KT_CHECK(!timer_cancel(&t.timer));

	/* One that always comes back ends by a cancel, from whatever CPU. */
	timer_init(&t.timer, tick_for_ever, &t);
	timer_set(&t.timer, clock_now());
	while (load_relaxed(&t.ticks) < 30)
		thread_yield();
	thread_set_affinity(current_thread(), BIT(last_cpu()));
	KT_CHECK(timer_cancel(&t.timer));
	uint32_t ticks = load_relaxed(&t.ticks);
	pause_ns(5 * MS);
	KT_CHECK_EQ(load_relaxed(&t.ticks), ticks);
	thread_set_affinity(current_thread(), UINT64_MAX);
}

static void deadline_counter(void *arg)
{
	struct ticker *t = arg;

	fetch_add_relaxed(&t->ticks, 1);
}

/* Each setting ends in exactly one of a shot and a successful cancel, however close they are. */
static void set_and_cancel(struct worker *w)
{
	struct ticker t = {0};
	uint64_t seed = w->i;
	unsigned cancelled = 0, set = 400;

	timer_init(&t.timer, deadline_counter, &t);
	for (unsigned i = 0; i < set; i++) {
		timer_set(&t.timer, clock_now() + kt_random(&seed) % (MS / 20));
		if (kt_random(&seed) % 8 == 0)
			thread_yield();
		for (uint64_t n = kt_random(&seed) % 500; n; n--)
			cpu_relax();
		cancelled += timer_cancel(&t.timer);
		KT_CHECK_EQ(load_relaxed(&t.ticks) + cancelled, i + 1);
	}
}

KTEST(kern_timer_set_cancel_race)
{
	KT_REQUIRE(crew_run(crew_size(), set_and_cancel, NULL));
}

/* ------------------------------------------------------------------------------------------ lock order */

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
