/*
 * steer.c - see steer.h.
 *
 * The clock gains base + slew in each second: base is its tick and its frequency, slew a part of the phase's
 * correction that this second makes. At each full second of the time of day a timer gives the next one its
 * part:
 *
 *	of a correction found by NTP	what is left of it / 2^(2 + constant): exponentially less
 *	of adjtime(3)			500 us, or what is left of it
 *	of the second before		what it made too much or too little, as the timer came late
 *
 * The last is why slews end with what was asked for, however late interrupts are. When there is nothing left
 * to give there is no timer.
 *
 * The frequency is learned as RFC 5905 says: a correction of x after t seconds moves it by
 * x * t / 2^(2 * (4 + constant)) (a phase-locked loop), and, if corrections are long apart, by x / 4t. The
 * figures are Linux's, whose interface this is.
 *
 * Parts of nanoseconds matter, and are counted in 2^-32 ns ("fine"). The timer is set without the lock, as
 * its callback takes it; `ticking` says whose turn it is to set it.
 *
 * Letters: (T) steer_lock
 */
#include "kern/steer.h"
#include "arch/clock.h"
#include "kern/spinlock.h"
#include "kern/timer.h"
#include "kern/wall.h"

enum {
	FINE = 32,             /* bits */
	ADJUST_SECOND = 500,   /* us of adjtime's that a second makes */
	PHASE_SHIFT = 2,       /* of what is left, a second makes a quarter, or less by the constant */
	LOOSE_SHIFT = 2,       /* of the error of frequency that is seen, so much is believed */
	LOOSE_LEAST = 256,     /* s between corrections, from which they may be loose, ... */
	LOOSE_ALWAYS = 2048,   /* ... or are */
	TICKS_IN_SECOND = 100, /* of STEER_TICK */
};
/* Frequency: 2^-16 ppm is 2^-16 * 1,000 ns in a second. */
#define FINE_OF_FREQUENCY (1000LL << (FINE - 16))
#define FREQUENCY_LIMIT   (STEER_FREQUENCY_MAX * FINE_OF_FREQUENCY)
#define SLEW_MAX          ((STEER_PHASE_MAX / 4LL) << FINE) /* of one second: with all else less than a quarter */
#define LATE_MAX          (4 * (int64_t)NSEC_PER_SEC) /* the timer; a machine that stood longer is wrong anyway */

static struct spinlock steer_lock = SPINLOCK_INIT("steering", RANK_WAIT);
static struct {
	int64_t tick;      /* (T) us */
	int64_t frequency; /* (T) fine, in a second */
	int64_t phase;     /* (T) fine, not given to a second yet */
	int64_t adjust;    /* (T) us, not given to a second yet */
	int64_t slew;      /* (T) fine, of this second */
	nsec_t begun;      /* (T) when it began, by the raw clock, which the rate is a gain of */
	int64_t corrected; /* (T) when the last correction was found, seconds since 1970 */
	unsigned constant; /* (T) */
	bool ticking;      /* (T) the timer is set, or about to be */
} steer = {.tick = STEER_TICK, .constant = 2};
static void second_passed(void *arg);
static struct timer second = {.fn = second_passed};

static int64_t clamp(int64_t value, int64_t most)
{
	return MAX(-most, MIN(value, most));
}

/* value / 2^shift, towards 0. */
static int64_t shifted(int64_t value, unsigned shift)
{
	return value < 0 ? -(-value >> shift) : value >> shift;
}

/* --- the rate --- */

/* The clock's gain, in its units, that makes so much in a second. */
static int64_t gain_of(int64_t per_second)
{
	int64_t whole = per_second / (int64_t)NSEC_PER_SEC, rest = per_second % (int64_t)NSEC_PER_SEC;
	int64_t unit = 1LL << (CLOCK_RATE_SHIFT - FINE);
	return whole * unit + rest * unit / (int64_t)NSEC_PER_SEC;
}

static void set_rate_locked(void)
{
	int64_t of_tick = (steer.tick - STEER_TICK) * TICKS_IN_SECOND * 1000 * (1LL << FINE);
	wall_set_rate(gain_of(of_tick + steer.frequency + steer.slew));
}

/* What the slew has made beyond its second; negative: it was cut short. */
static int64_t excess_locked(nsec_t now)
{
	int64_t late = clamp((int64_t)(now - steer.begun) - (int64_t)NSEC_PER_SEC, LATE_MAX);
	return (int64_t)((__int128)gain_of(steer.slew) * late >> (CLOCK_RATE_SHIFT - FINE));
}

static int64_t take_phase_locked(void)
{
	int64_t part = shifted(steer.phase, PHASE_SHIFT + steer.constant);
	steer.phase -= part;
	return part;
}

static int64_t take_adjust_locked(void)
{
	int64_t part = clamp(steer.adjust, ADJUST_SECOND);
	steer.adjust -= part;
	return part * 1000 * (1LL << FINE);
}

static void next_second_locked(void)
{
	nsec_t now = clock_raw_now();
	int64_t wanted = take_phase_locked() + take_adjust_locked() - excess_locked(now);
	steer.begun = now;
	steer.slew = clamp(wanted, SLEW_MAX);
	steer.phase += wanted - steer.slew;
	set_rate_locked();
}

static bool has_work_locked(void)
{
	return steer.slew || steer.adjust || shifted(steer.phase, PHASE_SHIFT + steer.constant);
}

/* --- the timer --- */

static void set_timer(void)
{
	timer_set(&second, clock_now() + NSEC_PER_SEC - wall_now() % NSEC_PER_SEC);
}

static void second_passed(UNUSED void *arg)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	next_second_locked();
	steer.ticking = has_work_locked();
	bool go_on = steer.ticking;
	spin_unlock_irqrestore(&steer_lock, irq);
	if (go_on)
		set_timer();
}

/* The lock is held and dropped. */
static void unlock_and_tick(uint64_t irq)
{
	bool begin = !steer.ticking && has_work_locked();
	steer.ticking |= begin;
	spin_unlock_irqrestore(&steer_lock, irq);
	if (begin)
		set_timer();
}

/* --- what is asked for --- */

void steer_set_frequency(int64_t frequency)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	steer.frequency = clamp(frequency, STEER_FREQUENCY_MAX) * FINE_OF_FREQUENCY;
	set_rate_locked();
	spin_unlock_irqrestore(&steer_lock, irq);
}

void steer_set_tick(int64_t us)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	steer.tick = us;
	set_rate_locked();
	spin_unlock_irqrestore(&steer_lock, irq);
}

void steer_set_constant(int64_t constant)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	steer.constant = (unsigned)constant;
	unlock_and_tick(irq);
}

void steer_begin(void)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	steer.corrected = (int64_t)(wall_now() / NSEC_PER_SEC);
	spin_unlock_irqrestore(&steer_lock, irq);
}

/* The frequency's change, by what it did to the phase in `since` seconds. */
static int64_t loose_part(int64_t ns, int64_t since)
{
	return ns * (1LL << (FINE - LOOSE_SHIFT)) / since;
}

/* The longest time between two corrections that counts is 2^(3 + constant) seconds. */
static int64_t locked_part(int64_t ns, int64_t since)
{
	int64_t most = 1LL << (PHASE_SHIFT + 1 + steer.constant);
	return ns * MIN(since, most) * (1LL << (FINE - 2 * (PHASE_SHIFT + 2 + (int)steer.constant)));
}

bool steer_correct(int64_t ns, unsigned flags)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	int64_t now = (int64_t)(wall_now() / NSEC_PER_SEC);
	int64_t since = flags & STEER_HOLD ? 0 : MAX(0, now - steer.corrected);
	bool loose = since >= LOOSE_LEAST && ((flags & STEER_LOOSE) || since > LOOSE_ALWAYS);
	int64_t change = (loose ? loose_part(ns, since) : 0) + locked_part(ns, since);
	steer.corrected = now;
	steer.frequency = clamp(steer.frequency + change, FREQUENCY_LIMIT);
	steer.phase = ns * (1LL << FINE);
	set_rate_locked();
	unlock_and_tick(irq);
	return loose;
}

int64_t steer_adjust(int64_t us)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	int64_t left = steer.adjust;
	steer.adjust = us;
	unlock_and_tick(irq);
	return left;
}

void steer_clear(void)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	steer.phase = steer.adjust = steer.slew = 0;
	set_rate_locked();
	spin_unlock_irqrestore(&steer_lock, irq);
}

/* --- what it is --- */

static int64_t value_of(const int64_t *value)
{
	uint64_t irq = spin_lock_irqsave(&steer_lock);
	int64_t now = *value;
	spin_unlock_irqrestore(&steer_lock, irq);
	return now;
}

int64_t steer_frequency(void)
{
	return value_of(&steer.frequency) / FINE_OF_FREQUENCY;
}

int64_t steer_tick(void)
{
	return value_of(&steer.tick);
}

int64_t steer_left(void)
{
	return shifted(value_of(&steer.phase), FINE);
}

int64_t steer_adjust_left(void)
{
	return value_of(&steer.adjust);
}
