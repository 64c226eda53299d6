/*
 * ksched.c - who runs when and where: preemption, shares, balancing, affinity.
 *
 * Shares of the CPU are compared by the threads' own accounts, which do not depend on how fast the host is.
 */
#include "crew.h"
#include "ktest.h"
#include "arch/clock.h"
#include "kern/sched.h"
#include "lib/bits.h"

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

/*
 * The host may stop a virtual CPU for longer than a measurement takes, and the thread that was on it is
 * charged for that. So each measurement of shares gets a few tries, and one that was left alone must be
 * right.
 */
enum { TRIES = 6 };

static bool shares_are_equal(void)
{
	static const int nice[3] = {0, 0, 0};
	nsec_t ran[3] = {0}, sum = 0;
	bool equal = share_one_cpu(3, nice, ran);

	for (int i = 0; i < 3; i++)
		sum += ran[i];
	for (int i = 0; i < 3; i++)
		equal = equal && ran[i] * 100 / sum >= 27 && ran[i] * 100 / sum <= 40;
	kt_note("run times %llu %llu %llu ms", (unsigned long long)ran[0] / MS,
	    (unsigned long long)ran[1] / MS, (unsigned long long)ran[2] / MS);
	return equal;
}

KTEST(kern_sched_equal_shares)
{
	int tries = 0;

	while (tries < TRIES && !shares_are_equal())
		tries++;
	KT_CHECK(tries < TRIES);
}

static bool shares_follow_nice(void)
{
	static const int nice[2] = {0, 5}; /* 1.25^5 = 3.05 */
	nsec_t ran[2] = {0};

	if (!share_one_cpu(2, nice, ran))
		return false;
	uint64_t ratio = ran[0] * 100 / ran[1];
	kt_note("nice 0 to nice 5: %llu %%", (unsigned long long)ratio);
	return ratio >= 260 && ratio <= 350;
}

KTEST(kern_sched_nice_shares)
{
	int tries = 0;

	while (tries < TRIES && !shares_follow_nice())
		tries++;
	KT_CHECK(tries < TRIES);
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

/* As many spinners as CPUs, started from one of them: each gets a CPU. */
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

/* Three spinners on two CPUs: over time each gets two thirds of one. Where nobody moves, one has a CPU for
 * itself and gets twice what the others get. */
static bool two_cpus_are_shared(void)
{
	struct spinners s = {0};
	struct crew c;
	nsec_t least = NSEC_NEVER, most = 0;

	if (!crew_create(&c, 3, spin_until_stop, &s))
		return false;
	for (unsigned i = 0; i < c.n; i++)
		thread_set_affinity(&c.w[i]->thread, BIT(0) | BIT(last_cpu()));
	crew_start(&c);
	KT_CHECK(wait_for(&s.started, c.n));
	pause_ns(SECONDS(2));
	store_relaxed(&s.stop, 1);
	for (unsigned i = 0; i < c.n; i++) {
		thread_join(&c.w[i]->thread);
		least = MIN(least, c.w[i]->thread.cpu_time);
		most = MAX(most, c.w[i]->thread.cpu_time);
	}
	crew_join(&c);
	kt_note("most to least: %llu %%", (unsigned long long)(most * 100 / least));
	return most * 100 / least < 160;
}

KTEST(kern_sched_shares_two_cpus)
{
	int tries = 0;

	if (cpus_count() == 1) {
		kt_skip("needs two CPUs");
		return;
	}
	while (tries < TRIES && !two_cpus_are_shared())
		tries++;
	KT_CHECK(tries < TRIES);
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

	for (int i = 0; i < 120; i++) {
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
