/*
 * ktimer.c - timers: order, cancelling while the callback runs elsewhere, callbacks that arm their timer
 * again.
 */
#include "crew.h"
#include "ktest.h"
#include "arch/clock.h"
#include "kern/timer.h"
#include "lib/bits.h"
#include "mm/slab.h"

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
