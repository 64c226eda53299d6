/*
 * clock.c - time: the time-stamp counter, scaled to nanoseconds, and one timer in each LAPIC.
 *
 * Calibration. How fast the TSC runs is asked of CPUID where a hypervisor or the CPU says it; else it is
 * measured against a timer of known rate: the PIT's channel 0 (every PC, and microvm), or ACPI's PM timer. A
 * sample is a reading of the reference between two of the TSC; of several the tightest counts, so an
 * interruption of the (virtual) CPU between the two readings does not hurt. Two windows in a row must agree,
 * so one in which the reference wrapped round is noticed. The LAPIC timer's rate is then measured against the
 * TSC. Together this takes less than 2 ms: with one instruction a nanosecond, that is what it costs an
 * emulated boot.
 *
 * One clock for all CPUs. clock_now() is the same on every CPU if their TSCs are. A starting CPU compares its
 * TSC with the boot CPU's: it asks, the boot CPU answers with its TSC, and the answer must lie between the
 * asker's readings before and after. The round with the shortest way bounds the difference best. If zero is
 * within the bound the TSCs count as equal; else the difference is kept and clock_now() adds it, at the price
 * of two instructions and interrupts off. A difference smaller than the time a message between CPUs takes
 * cannot be seen by anyone.
 *
 * Steering. What runs at the TSC's rate is the raw clock; clock_now() goes on from the point where its rate
 * was set last, with what it gains or loses since (struct pace). A change of rate takes the point and tells
 * it within one odd number of the sequence; who reads the clock meanwhile waits, else it could read a time
 * at the old rate that is later than one that another reads afterwards. Only the CPU that makes the change,
 * in an NMI, does not wait: the old pace is still there.
 *
 * Deadlines. The LAPIC counts down from at most 32 bits; a later deadline takes several interrupts, of which
 * only the last is passed on. So do deadlines of more than a second, since the rate may change. An interrupt
 * that comes early, by rounding, is answered by arming the rest:
 * upcall_timer() is never early.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/upcall.h"
#include "arch/x86_64/apic.h"
#include "dev/acpi.h"
#include "kern/cpu.h"
#include "kern/log.h"
#include "lib/assert.h"
#include "machine/cpu.h"
#include "machine/smp.h"
#include "machine/vdso.h"

enum {
	PIT_HZ = 1193182,
	PIT_CHANNEL0 = 0x40,
	PIT_COMMAND = 0x43,
	PM_TIMER_HZ = 3579545,
	WINDOW_US = 500, /* of the reference, twice */
	LAPIC_WINDOW_NS = 300000,
	SAMPLES = 5,
	ATTEMPTS = 10,
	AGREE = 200, /* two windows may differ by one part in so many */
	SYNC_ROUNDS = 12,
	SYNC_NS = 20000000, /* no more rounds after this time */
	FADT_PM_TIMER = 76, /* offset of PM_TMR_BLK: ACPI 6.5, 5.2.9 */
	FADT_PM_TIMER_END = 80,
};
enum { ARM_MAX_NS = 1000000000 }; /* what is armed does not learn that the clock's rate has changed */

#define NSEC_PER_SEC        1000000000ULL
#define HYPERVISOR_LAPIC_HZ NSEC_PER_SEC /* of QEMU and KVM, whatever the host */

/* (C) constant after clock_init and smp_start; (P) by the CPU itself, interrupts disabled. */
static struct {
	uint64_t tsc_hz;           /* (C) 0: not calibrated, the clock stands at 0 */
	uint64_t tsc_base;         /* (C) TSC when the clock was 0 */
	uint64_t ns_per_tick;      /* (C) times 2^32 */
	uint64_t ticks_per_ns;     /* (C) times 2^32 */
	uint64_t lapic_per_ns;     /* (C) times 2^32 */
	const char *source;        /* (C) */
	bool skewed;               /* (C) some CPU needs its offset */
	int64_t offset[MAX_CPUS];  /* (C) added to a CPU's TSC */
	nsec_t deadline[MAX_CPUS]; /* (P) */
} clock;

/* When the raw clock told `raw`, clock_now() told `now`; since then it gains. */
struct pace {
	nsec_t raw, now;
	int64_t gain; /* 2^-CLOCK_RATE_SHIFT ns in each ns */
};

enum { UNSTEERED = 0 };

static struct {
	struct pace pace[2];       /* in turn; the one in use is sequence / 2 % 2 */
	_Atomic uint32_t sequence; /* odd: the rate is being changed; not UNSTEERED: it was, or TSCs differ */
	_Atomic uint32_t changer;  /* by this CPU */
} steering;

static inline uint64_t scale(uint64_t v, uint64_t factor)
{
	return (uint64_t)((unsigned __int128)v * factor >> 32);
}

/* a * b / divisor; the result must fit. */
static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t divisor)
{
	uint64_t low = a, high;
	ASSERT(divisor);
	__asm__("mulq %2" : "+a"(low), "=&d"(high) : "r"(b) : "cc");
	ASSERT(high < divisor);
	__asm__("divq %2" : "+a"(low), "+d"(high) : "r"(divisor) : "cc");
	return low;
}

/* a / b as a factor for scale(). */
static uint64_t ratio32(uint64_t a, uint64_t b)
{
	return mul_div(a, 1ULL << 32, b);
}

uint64_t clock_tsc_frequency(void)
{
	return clock.tsc_hz;
}

const char *clock_source(void)
{
	return clock.source;
}

/* -- measuring ------------------------------------------------------------------------------------------- */

/* A counter that goes up at a known rate and wraps at `mask`. */
struct reference {
	const char *name;
	uint64_t hz;
	uint32_t mask;
	uint32_t (*read)(void);
};

struct sample {
	uint64_t tsc;
	uint32_t count;
};

static uint32_t pit_read(void)
{
	out8(PIT_COMMAND, 0x00); /* latch channel 0 */
	uint32_t low = in8(PIT_CHANNEL0);
	return -(low | (uint32_t)in8(PIT_CHANNEL0) << 8) & 0xffff; /* it counts down */
}

static uint16_t pm_timer_port;

static uint32_t pm_timer_read(void)
{
	return in32(pm_timer_port) & 0xffffff;
}

static struct sample take_sample(const struct reference *ref)
{
	struct sample best = {0};
	uint64_t best_gap = UINT64_MAX;
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t before = cpu_cycles();
		uint32_t count = ref->read();
		uint64_t gap = cpu_cycles() - before;
		if (gap < best_gap) {
			best_gap = gap;
			best = (struct sample){before + gap / 2, count};
		}
	}
	return best;
}

static uint64_t rate_between(const struct reference *ref, struct sample a, struct sample b)
{
	uint64_t ticks = (b.count - a.count) & ref->mask;
	return ticks ? mul_div(b.tsc - a.tsc, ref->hz, ticks) : 0;
}

/* Does it count at all? An absent device reads as a constant. */
static bool is_counting(const struct reference *ref)
{
	uint32_t first = ref->read();
	for (unsigned i = 0; i < 1000; i++)
		if (ref->read() != first)
			return true;
	return false;
}

static void wait_window(const struct reference *ref, uint32_t from)
{
	uint32_t ticks = (uint32_t)(ref->hz * WINDOW_US / 1000000);
	while (((ref->read() - from) & ref->mask) < ticks)
		cpu_relax();
}

/* TSC ticks in a second; 0: the reference is not there, or never gave the same answer twice. */
static uint64_t measure(const struct reference *ref)
{
	if (!is_counting(ref))
		return 0;
	struct sample s[3];
	s[1] = take_sample(ref);
	wait_window(ref, s[1].count);
	s[2] = take_sample(ref);
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		s[0] = s[1];
		s[1] = s[2];
		wait_window(ref, s[1].count);
		s[2] = take_sample(ref);
		uint64_t a = rate_between(ref, s[0], s[1]), b = rate_between(ref, s[1], s[2]);
		if ((a > b ? a - b : b - a) < a / AGREE)
			return rate_between(ref, s[0], s[2]);
	}
	return 0;
}

/* Mode 2, count 65536: it runs freely. Its interrupt line is masked. */
static uint64_t measure_by_pit(void)
{
	static const struct reference pit = {"PIT", PIT_HZ, 0xffff, pit_read};
	out8(PIT_COMMAND, 0x34);
	out8(PIT_CHANNEL0, 0);
	out8(PIT_CHANNEL0, 0);
	return measure(&pit);
}

static uint64_t measure_by_pm_timer(void)
{
	static const struct reference pm = {"PM timer", PM_TIMER_HZ, 0xffffff, pm_timer_read};
	const uint8_t *fadt = (const uint8_t *)acpi_find("FACP", 0, FADT_PM_TIMER_END);
	pm_timer_port = fadt ? (uint16_t)(fadt[FADT_PM_TIMER] | fadt[FADT_PM_TIMER + 1] << 8) : 0;
	return pm_timer_port ? measure(&pm) : 0;
}

/* Last resort, for virtual machines without any legacy device: their LAPIC timer runs at a known rate. */
static uint32_t lapic_count_up(void)
{
	return UINT32_MAX - lapic_timer_count();
}

static uint64_t measure_by_lapic(void)
{
	static const struct reference lapic = {
	    "LAPIC timer", HYPERVISOR_LAPIC_HZ, UINT32_MAX, lapic_count_up};
	if (!cpu_features.hypervisor || cpu_features.tsc_deadline)
		return 0;
	lapic_timer_start(UINT32_MAX);
	uint64_t hz = measure(&lapic);
	lapic_timer_start(0);
	return hz;
}

/* -- CPUID ----------------------------------------------------------------------------------------------- */

/* Leaf 0x40000010 of hypervisors that have it: EAX = kHz of the TSC. */
static uint64_t hypervisor_hz(void)
{
	uint32_t r[4];
	if (!cpu_features.hypervisor)
		return 0;
	cpuid(0x40000000, 0, r);
	if (r[0] < 0x40000010 || r[0] > 0x400000ff)
		return 0;
	cpuid(0x40000010, 0, r);
	return r[0] * 1000ULL;
}

/* Leaf 0x15: TSC = crystal (ECX, Hz) * EBX / EAX. */
static uint64_t crystal_hz(void)
{
	uint32_t r[4];
	cpuid(0, 0, r);
	if (r[0] < 0x15)
		return 0;
	cpuid(0x15, 0, r);
	return r[0] ? (uint64_t)r[2] * r[1] / r[0] : 0;
}

/* -- boot ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	uint64_t (*hz)(void);
} sources[] = {
    {"hypervisor", hypervisor_hz},
    {"CPUID", crystal_hz},
    {"PIT", measure_by_pit},
    {"PM timer", measure_by_pm_timer},
    {"LAPIC timer", measure_by_lapic},
};

/* LAPIC ticks in a second, against the TSC. Measured twice the same, so that a pause in between is noticed.
 */
static uint64_t measure_lapic_rate(void)
{
	uint64_t last = 0, hz = 0;
	lapic_timer_start(UINT32_MAX);
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		uint32_t count = lapic_timer_count();
		nsec_t start = clock_now();
		clock_delay(LAPIC_WINDOW_NS);
		uint32_t ticks = count - lapic_timer_count();
		hz = (uint64_t)ticks * NSEC_PER_SEC / (clock_now() - start);
		if ((hz > last ? hz - last : last - hz) < hz / 50)
			break;
		last = hz;
	}
	lapic_timer_start(0);
	bool known = cpu_features.hypervisor && hz > HYPERVISOR_LAPIC_HZ / 100 * 97 &&
		     hz < HYPERVISOR_LAPIC_HZ / 100 * 103;
	return known ? HYPERVISOR_LAPIC_HZ : hz;
}

void clock_init(void)
{
	uint64_t hz = 0, start = cpu_cycles();
	for (unsigned i = 0; i < ARRAY_SIZE(sources) && !hz; i++) {
		hz = sources[i].hz();
		clock.source = sources[i].name;
	}
	if (!hz)
		panic("no clock: the rate of the time-stamp counter cannot be found out");
	for (unsigned i = 0; i < MAX_CPUS; i++)
		clock.deadline[i] = NSEC_NEVER;
	clock.tsc_base = start;
	clock.ns_per_tick = ratio32(NSEC_PER_SEC, hz);
	clock.ticks_per_ns = ratio32(hz, NSEC_PER_SEC);
	clock.tsc_hz = hz;
	uint64_t lapic_hz = cpu_features.tsc_deadline ? 0 : measure_lapic_rate();
	clock.lapic_per_ns = ratio32(lapic_hz, NSEC_PER_SEC);
	log_info("clock", "TSC %llu kHz by %s, LAPIC timer %llu kHz", (unsigned long long)hz / 1000,
	    clock.source, (unsigned long long)lapic_hz / 1000);
}

/* -- telling time ---------------------------------------------------------------------------------------- */

/* This CPU's TSC as the boot CPU would read it. */
static uint64_t common_tsc(void)
{
	if (likely(!clock.skewed))
		return cpu_cycles();
	uint64_t state = irq_save();
	uint64_t tsc = cpu_cycles() + (uint64_t)clock.offset[cpu_id()];
	irq_restore(state);
	return tsc;
}

nsec_t clock_raw_now(void)
{
	return scale(common_tsc() - clock.tsc_base, clock.ns_per_tick);
}

static inline int64_t part_of(int64_t ns, int64_t gain)
{
	return (int64_t)((__int128)ns * gain >> CLOCK_RATE_SHIFT);
}

static inline nsec_t time_at(const struct pace *p, nsec_t raw)
{
	int64_t since = (int64_t)(raw - p->raw);
	return p->now + (nsec_t)(since + part_of(since, p->gain));
}

/* The sequence's number, even but on the CPU that is changing the rate at this moment. A change is a few
 * instructions with interrupts disabled, which wait for nobody. */
static inline uint32_t pace_begin(void)
{
	uint32_t sequence = load_acquire(&steering.sequence);
	while (unlikely(sequence & 1) && load_relaxed(&steering.changer) != cpu_id()) {
		cpu_relax();
		sequence = load_acquire(&steering.sequence);
	}
	return sequence;
}

static inline bool pace_changed(uint32_t sequence)
{
	fence_acquire();
	return unlikely(load_relaxed(&steering.sequence) != sequence);
}

static inline const struct pace *pace_of(uint32_t sequence)
{
	return &steering.pace[sequence / 2 % 2];
}

static NOINLINE nsec_t steered_now(void)
{
	uint32_t sequence;
	nsec_t now;
	do {
		sequence = pace_begin();
		now = time_at(pace_of(sequence), clock_raw_now());
	} while (pace_changed(sequence));
	return now;
}

/* Until the rate is set for the first time, the raw clock is the time; and all TSCs are equal. */
nsec_t clock_now(void)
{
	if (likely(load_acquire(&steering.sequence) == UNSTEERED)) {
		nsec_t now = scale(cpu_cycles() - clock.tsc_base, clock.ns_per_tick);
		if (likely(!pace_changed(UNSTEERED)))
			return now;
	}
	return steered_now();
}

void clock_tell(struct vdso_data *d)
{
	const struct pace *p = pace_of(load_relaxed(&steering.sequence));
	d->has_clock = !clock.skewed;
	d->tsc_base = clock.tsc_base;
	d->ns_per_tick = clock.ns_per_tick;
	d->raw_then = p->raw;
	d->then = p->now;
	d->gain = p->gain;
}

void clock_set_rate(int64_t gain)
{
	struct vdso_data *d = vdso_change_begin();
	uint32_t sequence = load_relaxed(&steering.sequence);
	store_relaxed(&steering.changer, cpu_id());
	store_relaxed(&steering.sequence, sequence + 1);
	fence_seq_cst(); /* all wait before the point is taken */
	nsec_t raw = clock_raw_now();
	steering.pace[(sequence / 2 + 1) % 2] =
	    (struct pace){.raw = raw, .now = time_at(pace_of(sequence), raw), .gain = gain};
	store_release(&steering.sequence, sequence + 2);
	clock_tell(d);
	vdso_change_end();
}

/* About how long the hardware takes for `ns`. */
static nsec_t raw_length(nsec_t ns)
{
	uint32_t sequence;
	int64_t gain;
	do {
		sequence = pace_begin();
		gain = pace_of(sequence)->gain;
	} while (pace_changed(sequence));
	int64_t off =
	    part_of((int64_t)ns, gain); /* first order, and what that leaves out as far as it counts */
	return ns - (nsec_t)(off - part_of(off, gain));
}

nsec_t clock_cycles_to_ns(uint64_t cycles)
{
	return scale(cycles, clock.ns_per_tick);
}

void clock_delay(nsec_t ns)
{
	nsec_t end = clock_raw_now() + ns;
	ASSERT(clock.tsc_hz);
	while (clock_raw_now() < end)
		cpu_relax();
}

static void arm(nsec_t deadline)
{
	nsec_t now = clock_now();
	nsec_t left = deadline > now ? raw_length(MIN(deadline - now, ARM_MAX_NS)) : 0;
	if (cpu_features.tsc_deadline) {
		lapic_timer_tsc(cpu_cycles() + scale(left, clock.ticks_per_ns) + 1);
		return;
	}
	uint64_t count = scale(left, clock.lapic_per_ns);
	lapic_timer_start((uint32_t)MIN(count + 1, UINT32_MAX));
}

void clock_set_deadline(nsec_t deadline)
{
	DEBUG_ASSERT(!irq_is_enabled());
	clock.deadline[cpu_id()] = deadline;
	if (deadline != NSEC_NEVER)
		arm(deadline);
	else if (cpu_features.tsc_deadline)
		lapic_timer_tsc(0);
	else
		lapic_timer_start(0);
}

void clock_interrupt(void)
{
	nsec_t deadline = clock.deadline[cpu_id()];
	if (deadline == NSEC_NEVER)
		return; /* was on its way when the deadline was taken back */
	if (clock_now() < deadline) {
		arm(deadline);
		return;
	}
	clock.deadline[cpu_id()] = NSEC_NEVER;
	upcall_timer();
}

/* -- comparing CPUs -------------------------------------------------------------------------------------- */

/* One pair of CPUs at a time: `turn` says whose. Odd `round`: the target asks; even: answered in `tsc`. */
static struct {
	_Atomic uint32_t turn;
	_Atomic uint32_t round;
	_Atomic uint64_t tsc;
	_Atomic bool done;
} sync;

void clock_sync_source(uint32_t target)
{
	uint32_t answered = load_relaxed(&sync.round);
	store_relaxed(&sync.done, false);
	store_release(&sync.turn, target);
	while (!load_acquire(&sync.done)) {
		uint32_t asked = load_acquire(&sync.round);
		if (asked != answered && (asked & 1)) {
			store_relaxed(&sync.tsc,
			    common_tsc()); /* this thread may have moved to a CPU that was corrected */
			answered = asked + 1;
			store_release(&sync.round, answered);
		}
		cpu_relax();
	}
	store_relaxed(&sync.turn, 0);
}

/* One question; returns how far the middle of the way is behind the answer, and how long the way was. */
static int64_t ask(uint64_t *way)
{
	uint32_t round = load_relaxed(&sync.round);
	uint64_t before = cpu_cycles();
	store_release(&sync.round, round + 1);
	while (load_acquire(&sync.round) != round + 2)
		cpu_relax();
	*way = cpu_cycles() - before;
	return (int64_t)(load_relaxed(&sync.tsc) - (before + *way / 2));
}

void clock_sync_target(void)
{
	uint64_t best_way = UINT64_MAX, way, budget = scale(SYNC_NS, clock.ticks_per_ns), start;
	int64_t best = 0;
	while (load_acquire(&sync.turn) != cpu_id())
		cpu_relax();
	start = cpu_cycles();
	for (unsigned i = 0; i < SYNC_ROUNDS && (i == 0 || cpu_cycles() - start < budget); i++) {
		int64_t difference = ask(&way);
		if (way < best_way) {
			best_way = way;
			best = difference;
		}
	}
	uint64_t size = (uint64_t)(best < 0 ? -best : best);
	if (size > best_way / 2 + 1) {
		clock.offset[cpu_id()] = best;
		clock.skewed = true;
		store_release(&steering.sequence, UNSTEERED + 2); /* the rate is as it was */
		log_warn("clock", "cpu %u: TSC is off by %lld ticks", cpu_id(), (long long)best);
	}
	store_release(&sync.done, true);
}
