/*
 * ksteer.c - the clock at other rates than the hardware's: what it gains is what was asked for, it never goes
 * back, nor does it jump when the rate changes. All is compared with the raw clock, so nothing depends on how
 * fast the machine is.
 */
#include "crew.h"
#include "ktest.h"
#include "arch/clock.h"
#include "kern/steer.h"
#include "kern/thread.h"
#include "kern/timer.h"
#include "kern/wall.h"

enum { LOOKS = 20, CHANGES = 20000, SLACK = 1000 };

/* Both clocks at one moment: the raw one somewhere in [least, most]. */
struct moment {
	nsec_t now, least, most;
};

/* The one of several that knows it best. */
static struct moment look(void)
{
	struct moment best = {0};
	for (unsigned i = 0; i < LOOKS; i++) {
		struct moment m;
		m.least = clock_raw_now();
		m.now = clock_now();
		m.most = clock_raw_now();
		if (i == 0 || m.most - m.least < best.most - best.least)
			best = m;
	}
	return best;
}

/* What the clock gained between the two, in ns: *least to *most. */
static void gained(const struct moment *a, const struct moment *b, int64_t *least, int64_t *most)
{
	int64_t went = (int64_t)(b->now - a->now);
	*least = went - (int64_t)(b->most - a->least) - SLACK;
	*most = went - (int64_t)(b->least - a->most) + SLACK;
}

static void runs_at(int64_t ppm)
{
	int64_t least, most;
	struct moment a = look();
	KT_CHECK(thread_sleep_until(clock_now() + 50 * MS) == 0);
	struct moment b = look();
	gained(&a, &b, &least, &most);
	int64_t expected = (int64_t)(b.least - a.most) * ppm / 1000000;
	int64_t blur = (int64_t)(b.most - b.least + a.most - a.least);
	KT_CHECK(b.now >= a.now + 50 * MS);
	KT_CHECK(expected + blur >= least && expected - blur <= most);
	kt_note("%lld ppm: gained %lld to %lld ns, expected %lld", (long long)ppm, (long long)least,
	    (long long)most, (long long)expected);
}

KTEST(steer_frequency_and_tick)
{
	runs_at(0);
	steer_set_frequency(500 * 65536);
	KT_CHECK_EQ(steer_frequency(), 500 * 65536);
	runs_at(500);
	steer_set_frequency(-600 * 65536); /* more than there is */
	KT_CHECK_EQ(steer_frequency(), -STEER_FREQUENCY_MAX);
	runs_at(-500);
	steer_set_tick(11000);
	runs_at(100000 - 500);
	steer_set_frequency(0);
	steer_set_tick(9000);
	runs_at(-100000);
	steer_set_tick(STEER_TICK);
	KT_CHECK_EQ(steer_tick(), STEER_TICK);
	runs_at(0);
}

/* Wait until the clock has gained `ns` since a and gains no more. */
static bool ends_with(const struct moment *a, int64_t ns)
{
	int64_t least, most;
	bool was = false;
	for (unsigned i = 0; i < 60; i++) {
		struct moment b = look();
		gained(a, &b, &least, &most);
		bool is = least <= ns && ns <= most && most - least < 200000;
		if (was && is)
			return true;
		was = is;
		(void)thread_sleep_until(clock_now() + 1100 * MS);
	}
	kt_note("gained %lld to %lld ns, not %lld", (long long)least, (long long)most, (long long)ns);
	return false;
}

/* However late the timer comes, the end is exact. */
KTEST(steer_adjust_once)
{
	struct moment a = look();
	KT_CHECK_EQ(steer_adjust(900), 0);
	KT_CHECK(ends_with(&a, 900000));
	KT_CHECK_EQ(steer_adjust(-700000), 0);
	int64_t left = steer_adjust(0);
	KT_CHECK(left < -100000 && left >= -700000);
	steer_clear();
	KT_CHECK_EQ(steer_adjust_left(), 0);
}

/* After some seconds, each of which makes a quarter of 8 ms: 6 ms, 4.5 ms, ... */
static bool is_what_quarters_leave(int64_t ns)
{
	int64_t left = 8LL * MS << 32;
	while (left >> 32 > ns)
		left -= left >> 2;
	return left >> 32 == ns;
}

/* The first correction says nothing of the frequency, the second, which seems to come 1,000 s later, does. */
KTEST(steer_correct_phase)
{
	nsec_t offset = wall_offset();
	steer_set_constant(0);
	KT_CHECK(!steer_correct(8 * MS, STEER_HOLD));
	KT_CHECK_EQ(steer_frequency(), 0);
	int64_t left = 8 * MS, seen = steer_left();
	for (unsigned i = 0; i < 600 && seen > 4500000; i++) {
		KT_CHECK(is_what_quarters_leave(seen) && seen <= left);
		left = seen;
		(void)thread_sleep_until(clock_now() + 100 * MS);
		seen = steer_left();
	}
	KT_CHECK(seen <= 4500000 && is_what_quarters_leave(seen));
	wall_set_offset(offset + SECONDS(1000));
	KT_CHECK(!steer_correct(MS, 0)); /* 8 s count: 10^6 * 8 / 2^8 ns in a second are 31.25 ppm */
	KT_CHECK_EQ(steer_frequency(), 31 * 65536 + 65536 / 4);
	wall_set_offset(offset + SECONDS(2000));
	KT_CHECK(steer_correct(MS, STEER_LOOSE));
	KT_CHECK(steer_frequency() > 62 * 65536 && steer_frequency() < 63 * 65536);
	steer_clear();
	KT_CHECK_EQ(steer_left(), 0);
	wall_set_offset(offset);
	steer_set_frequency(0);
	steer_set_constant(2);
	runs_at(0);
}

static _Atomic uint32_t over;
static _Atomic uint64_t newest;

/* What anybody has read is never later than what is read afterwards. */
static void watch_clock(void)
{
	uint64_t bad = 0;
	while (!load_acquire(&over)) {
		uint64_t seen = load_acquire(&newest);
		nsec_t now = clock_now();
		bad += now + SLACK < seen;
		while (seen < now && !cas_acq_rel(&newest, &seen, now))
			;
	}
	KT_CHECK_EQ(bad, 0);
}

static void change_or_watch(UNUSED void *arg, unsigned i)
{
	if (i) {
		watch_clock();
		return;
	}
	for (unsigned n = 0; n < CHANGES; n++)
		steer_set_tick(n % 2 ? 9000 : 11000);
	steer_set_tick(STEER_TICK);
	store_release(&over, 1);
}

KTEST(steer_never_goes_back)
{
	store_relaxed(&over, 0);
	store_relaxed(&newest, clock_now());
	KT_REQUIRE(kt_run_threads(MAX(2, cpus_count()), change_or_watch, NULL));
	runs_at(0);
}
