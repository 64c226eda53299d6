/*
 * kirq.c - interrupts of real devices: the PIT and the real-time clock through the IOAPIC, edge and level,
 * messages from QEMU's `edu` device, and the timers.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/irq.h"
#include "arch/x86_64/apic.h"
#include "dev/acpi.h"
#include "dev/pci.h"
#include "kern/thread.h"
#include "kern/timer.h"
#include "ktest.h"
#include "machine/cpu.h"
#include "machine/smp.h"
#include "mm/kva.h"

enum {
	MS = 1000000,
	ISA_PIT = 0,
	ISA_RTC = 8,
	PIT_HZ = 1193182,
	RTC_A = 10,
	RTC_B = 11,
	RTC_C = 12,
	RTC_PERIODIC = 1 << 6,
};

/* A line under test. The handler counts; `acknowledge` of an RTC handler is what lets the next one come. */
static struct {
	unsigned gsi;
	enum irq_trigger trigger;
	bool active_low;
	_Atomic uint32_t count;
	_Atomic bool acknowledge;
	_Atomic uint32_t cpu;
} line;

static uint8_t rtc_read(uint8_t reg)
{
	out8(0x70, reg);
	return in8(0x71);
}
static void rtc_write(uint8_t reg, uint8_t v)
{
	out8(0x70, reg);
	out8(0x71, v);
}

static void count_interrupt(void *arg)
{
	KT_CHECK(arg == &line);
	KT_CHECK(!irq_is_enabled());
	store_relaxed(&line.cpu, cpu_id());
	fetch_add_acq_rel(&line.count, 1);
}

/* Register C says why, and reading it lowers the line. A line that stays up would interrupt for ever: give it
 * up after a while. */
static void rtc_interrupt(void *arg)
{
	count_interrupt(arg);
	if (load_acquire(&line.acknowledge))
		rtc_read(RTC_C);
	else if (load_relaxed(&line.count) >= 50)
		irq_mask(line.gsi);
}

/* Wait until `n` more interrupts than `from` were counted; false after five seconds. */
static bool wait_count(uint32_t from, uint32_t n)
{
	nsec_t end = clock_now() + 5000ULL * MS;
	while (load_acquire(&line.count) - from < n) {
		if (clock_now() > end)
			return false;
		(void)thread_sleep_until(clock_now() + MS);
	}
	return true;
}

static bool stays_quiet(nsec_t ns)
{
	uint32_t before = load_acquire(&line.count);
	(void)thread_sleep_until(clock_now() + ns);
	return load_acquire(&line.count) == before;
}

static void line_begin(unsigned isa)
{
	irq_isa_route(isa, &line.gsi, &line.trigger, &line.active_low);
	store_relaxed(&line.count, 0);
	store_relaxed(&line.acknowledge, true);
}

static void pit_start(unsigned hz)
{
	uint16_t count = (uint16_t)(PIT_HZ / hz);
	out8(0x43, 0x34); /* channel 0, low and high byte, mode 2 */
	out8(0x40, (uint8_t)count);
	out8(0x40, (uint8_t)(count >> 8));
}

/* As the clock leaves it: running freely at its lowest rate. */
static void pit_stop(void)
{
	out8(0x43, 0x34);
	out8(0x40, 0);
	out8(0x40, 0);
}

static bool pit_counts(void)
{
	out8(0x43, 0);
	uint8_t low = in8(0x40), high = in8(0x40);
	return !(low == 0xff && high == 0xff);
}

/* Is there a PIT whose line can be tested? Skips if not. */
static bool pit_is_there(void)
{
	struct acpi_power power;
	if (acpi_power(&power) && power.hardware_reduced) {
		kt_skip("hardware-reduced ACPI does not say where the PIT's line goes");
		return false;
	}
	if (pit_counts() && ioapic_has(line.gsi))
		return true;
	kt_skip("no PIT");
	return false;
}

/* -- lines ----------------------------------------------------------------------------------------------- */

KTEST(kirq_edge)
{
	line_begin(ISA_PIT);
	if (!pit_is_there())
		return;
	KT_CHECK_EQ(line.trigger, IRQ_EDGE);
	KT_REQUIRE(irq_connect(line.gsi, line.trigger, line.active_low, count_interrupt, &line) == 0);
	pit_start(500);
	KT_CHECK(stays_quiet(20 * MS)); /* masked until asked for */
	irq_unmask(line.gsi);
	KT_CHECK(wait_count(load_acquire(&line.count), 10));
	KT_CHECK_EQ(load_relaxed(&line.cpu), 0);
	irq_mask(line.gsi);
	(void)thread_sleep_until(clock_now() + 5 * MS); /* one that was on its way */
	KT_CHECK(stays_quiet(20 * MS));
	irq_unmask(line.gsi);
	KT_CHECK(wait_count(load_acquire(&line.count), 3));
	irq_disconnect(line.gsi);
	KT_CHECK(stays_quiet(20 * MS)); /* from the moment it returns */
	pit_stop();
}

/* The rate is right too: interrupts are neither lost nor doubled. */
KTEST(kirq_rate)
{
	line_begin(ISA_PIT);
	if (!pit_is_there())
		return;
	KT_REQUIRE(irq_connect(line.gsi, line.trigger, line.active_low, count_interrupt, &line) == 0);
	pit_start(100);
	irq_unmask(line.gsi);
	KT_CHECK(wait_count(0, 1));
	uint32_t first = load_acquire(&line.count);
	nsec_t start = clock_now();
	KT_CHECK(wait_count(first, 20));
	uint32_t n = load_acquire(&line.count) - first;
	nsec_t took = clock_now() - start;
	irq_disconnect(line.gsi);
	pit_stop();
	kt_note("%u interrupts of 100 Hz in %llu us", n, (unsigned long long)took / 1000);
	/* An emulator that was not run for a while catches up or drops some; none come that were not due. */
	KT_CHECK(n <= took / (10 * MS) + 2);
}

/* A level-triggered line that nobody lowers interrupts again and again; an edge-triggered one only once, or,
 * where the emulator raises a raised line again, once in a period. *periods gets how many there were. */
static void run_rtc(enum irq_trigger trigger, uint32_t *unanswered, uint64_t *periods)
{
	line_begin(ISA_RTC);
	store_release(&line.acknowledge, false);
	KT_REQUIRE(irq_connect(line.gsi, trigger, false, rtc_interrupt, &line) == 0);
	uint8_t a = rtc_read(RTC_A), b = rtc_read(RTC_B);
	rtc_read(RTC_C);
	nsec_t start = clock_now();
	irq_unmask(line.gsi);
	rtc_write(RTC_A, (a & 0xf0) | 9); /* 128 Hz */
	rtc_write(RTC_B, b | RTC_PERIODIC);
	KT_CHECK(wait_count(0, 1));
	(void)thread_sleep_until(clock_now() + 50 * MS);
	*unanswered = load_acquire(&line.count);
	*periods = (clock_now() - start) * 128 / 1000000000;
	/* Lower it: from now on one interrupt for each period, of either kind. */
	store_release(&line.acknowledge, true);
	rtc_read(RTC_C);
	irq_unmask(line.gsi);
	KT_CHECK(wait_count(load_acquire(&line.count), 5));
	rtc_write(RTC_B, b);
	rtc_write(RTC_A, a);
	rtc_read(RTC_C);
	irq_disconnect(line.gsi);
}

static bool rtc_is_there(void)
{
	unsigned gsi;
	enum irq_trigger trigger;
	bool low;
	irq_isa_route(ISA_RTC, &gsi, &trigger, &low);
	if (rtc_read(RTC_A) != 0xff && ioapic_has(gsi))
		return true;
	kt_skip("no real-time clock");
	return false;
}

KTEST(kirq_level)
{
	uint32_t unanswered = 0;
	uint64_t periods = 0;
	if (!rtc_is_there())
		return;
	run_rtc(IRQ_LEVEL, &unanswered, &periods);
	KT_CHECK(unanswered >= 50); /* masked itself at 50 */
}

KTEST(kirq_edge_held)
{
	uint32_t unanswered = 0;
	uint64_t periods = 0;
	if (!rtc_is_there())
		return;
	run_rtc(IRQ_EDGE, &unanswered, &periods);
	KT_CHECK(unanswered >= 1 && unanswered <= periods + 1);
}

KTEST(kirq_errors)
{
	line_begin(ISA_PIT);
	if (!ioapic_has(line.gsi)) {
		kt_skip("no PIT");
		return;
	}
	KT_CHECK_EQ(irq_connect(ioapic_end_gsi(), IRQ_EDGE, false, count_interrupt, &line), -EINVAL);
	KT_REQUIRE(irq_connect(line.gsi, IRQ_EDGE, false, count_interrupt, &line) == 0);
	KT_CHECK_EQ(irq_connect(line.gsi, IRQ_EDGE, false, count_interrupt, &line), -EBUSY);
	irq_disconnect(line.gsi);
	KT_REQUIRE(irq_connect(line.gsi, IRQ_EDGE, false, count_interrupt, &line) == 0);
	irq_disconnect(line.gsi);
}

/* Vectors run out, with an error, and come back. */
KTEST(kirq_vectors)
{
	static struct {
		uint64_t address;
		uint32_t data;
	} msi[256];
	unsigned n = 0;
	while (n < ARRAY_SIZE(msi) &&
	       irq_connect_msi(count_interrupt, &line, &msi[n].address, &msi[n].data) == 0)
		n++;
	KT_CHECK(n > 100 && n <= VECTOR_DEVICE_END - VECTOR_DEVICE_FIRST);
	uint64_t address;
	uint32_t data;
	KT_CHECK_EQ(irq_connect_msi(count_interrupt, &line, &address, &data), -ENOSPC);
	for (unsigned i = 0; i < n; i++) {
		KT_CHECK(msi[i].data >= VECTOR_DEVICE_FIRST && msi[i].data < VECTOR_DEVICE_END);
		for (unsigned k = 0; k < i; k++)
			KT_CHECK(msi[k].data != msi[i].data);
	}
	while (n--)
		irq_disconnect_msi(msi[n].address, msi[n].data);
	KT_REQUIRE(irq_connect_msi(count_interrupt, &line, &address, &data) == 0);
	irq_disconnect_msi(address, data);
}

/* -- messages -------------------------------------------------------------------------------------------- */

/* QEMU docs/specs/edu.txt: writing RAISE sets the status bits and interrupts, writing ACK clears them. */
enum {
	EDU_VENDOR = 0x1234,
	EDU_PRODUCT = 0x11e8,
	EDU_ID = 0,
	EDU_STATUS = 0x24 / 4,
	EDU_RAISE = 0x60 / 4,
	EDU_ACK = 0x64 / 4
};

static volatile uint32_t *edu;

static void edu_interrupt(void *arg)
{
	count_interrupt(arg);
	edu[EDU_ACK] = edu[EDU_STATUS];
}

static void run_edu(const struct pci_device *d)
{
	struct pci_msi msi;
	store_relaxed(&line.count, 0);
	KT_REQUIRE(pci_msi_connect(d->at, edu_interrupt, &line, &msi) == 0);
	for (uint32_t i = 1; i <= 20; i++) {
		edu[EDU_RAISE] = i;
		KT_CHECK(wait_count(i - 1, 1));
		KT_CHECK_EQ(load_acquire(&line.count), i);
		KT_CHECK_EQ(edu[EDU_STATUS], 0);
	}
	pci_msi_disconnect(d->at, &msi);
	edu[EDU_RAISE] = 1;
	KT_CHECK(stays_quiet(20 * MS));
	edu[EDU_ACK] = 1;
}

KTEST(kirq_msi)
{
	struct pci_device d;
	struct pci_bar bar;
	if (!pci_find(EDU_VENDOR, EDU_PRODUCT, 0, &d)) {
		kt_skip("no edu device");
		return;
	}
	KT_REQUIRE(pci_get_bar(d.at, 0, &bar) == 0);
	if (!bar.base) {
		kt_skip("the firmware gave the edu device no address");
		return;
	}
	KT_CHECK_EQ(bar.len, MIB(1));
	pci_write(d.at, PCI_COMMAND, 2, pci_read(d.at, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY);
	edu = kva_map_phys(bar.base, PAGE_SIZE, MMU_UC, true);
	KT_REQUIRE(edu);
	KT_CHECK_EQ(edu[EDU_ID] & 0xff, 0xed);
	run_edu(&d);
	kva_unmap_phys((void *)edu);
}

/* -- time ------------------------------------------------------------------------------------------------ */

struct alarm {
	struct timer timer;
	nsec_t deadline;
	_Atomic nsec_t rang;
};

static void ring(void *arg)
{
	struct alarm *a = arg;
	store_release(&a->rang, clock_now());
}

/* A timer is never early, and late only by what it takes to get there (the best of many: the emulator shares
 * its host). */
KTEST(kirq_timer)
{
	static struct alarm a;
	static const nsec_t delays[] = {1000, 50000, MS, 7 * MS, 30 * MS};
	nsec_t best = NSEC_NEVER;
	timer_init(&a.timer, ring, &a);
	for (unsigned i = 0; i < 30; i++) {
		store_relaxed(&a.rang, 0);
		a.deadline = clock_now() + delays[i % ARRAY_SIZE(delays)];
		timer_set(&a.timer, a.deadline);
		nsec_t end = clock_now() + 5000ULL * MS;
		while (!load_acquire(&a.rang) && clock_now() < end)
			cpu_relax();
		nsec_t rang = load_acquire(&a.rang);
		timer_cancel(&a.timer);
		KT_REQUIRE(rang);
		KT_CHECK(rang >= a.deadline);
		best = MIN(best, rang - a.deadline);
	}
	kt_note("best lateness %llu ns", (unsigned long long)best);
	KT_CHECK(best < 2 * MS);
}

/* A deadline beyond what the LAPIC can count comes in pieces; taken back, it does not come. A deadline in the
 * past comes at once. */
KTEST(kirq_deadlines)
{
	static struct alarm a;
	timer_init(&a.timer, ring, &a);
	store_relaxed(&a.rang, 0);
	timer_set(&a.timer, clock_now() + 3600 * 1000000000ULL);
	(void)thread_sleep_until(clock_now() + 20 * MS);
	KT_CHECK_EQ(load_acquire(&a.rang), 0);
	KT_CHECK(timer_cancel(&a.timer));
	timer_set(&a.timer, 1);
	nsec_t end = clock_now() + 5000ULL * MS;
	while (!load_acquire(&a.rang) && clock_now() < end)
		cpu_relax();
	KT_CHECK(load_acquire(&a.rang) != 0);
	timer_cancel(&a.timer);
}

static uint32_t pit_now(void)
{
	out8(0x43, 0);
	uint32_t low = in8(0x40);
	return 0xffff & -(low | (uint32_t)in8(0x40) << 8);
}

/* The calibrated clock against the PIT over 20 ms: the best of several tries is within 1 %. */
KTEST(kirq_clock_rate)
{
	uint64_t best = UINT64_MAX;
	if (!pit_counts()) {
		kt_skip("no PIT");
		return;
	}
	pit_stop();
	for (unsigned i = 0; i < 10; i++) {
		uint64_t state = irq_save();
		nsec_t t0 = clock_now();
		uint32_t p0 = pit_now();
		clock_delay(20 * MS);
		nsec_t t1 = clock_now();
		uint32_t p1 = pit_now();
		irq_restore(state);
		uint64_t pit_ns = (uint64_t)((p1 - p0) & 0xffff) * 1000000000 / PIT_HZ, ns = t1 - t0;
		best = MIN(best, (ns > pit_ns ? ns - pit_ns : pit_ns - ns) * 10000 / pit_ns);
	}
	kt_note("clock and PIT differ by %llu / 10000 (TSC %llu kHz by %s)", (unsigned long long)best,
	    (unsigned long long)clock_tsc_frequency() / 1000, clock_source());
	KT_CHECK(best < 100);
}
