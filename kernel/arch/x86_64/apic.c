/*
 * apic.c - the local APIC: one in each CPU, for interrupts between CPUs, the timer, and what IOAPICs and
 * devices send.
 *
 * Two ways to reach the same registers (Intel SDM volume 3, chapter 11): a page of memory (xAPIC), or MSRs
 * (x2APIC), where the register at offset o of the page is MSR 0x800 + o / 16. x2APIC is used where the CPU
 * has it: no device map, no two-step sends.
 */
#include "arch/x86_64/apic.h"
#include "arch/clock.h"
#include "kern/cpu.h"
#include "kern/log.h"
#include "lib/assert.h"
#include "machine/cpu.h"
#include "machine/smp.h"
#include "mm/kva.h"

enum lapic_register {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_COUNT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

enum lapic_bits {
	MSR_APIC_BASE = 0x1b,
	APIC_BASE_X2APIC = 1 << 10,
	APIC_BASE_ENABLE = 1 << 11,
	MSR_X2APIC = 0x800,
	MSR_TSC_DEADLINE = 0x6e0,
	SVR_ENABLE = 1 << 8,
	LVT_MASKED = 1 << 16,
	LVT_TSC_DEADLINE = 2 << 17,
	DIVIDE_BY_1 = 0xb,
	ICR_NMI = 4 << 8,
	ICR_INIT = 5 << 8,
	ICR_STARTUP = 6 << 8,
	ICR_PENDING = 1 << 12,
	ICR_ASSERT = 1 << 14,
};

static volatile uint32_t *registers; /* the page; NULL in x2APIC mode */
static bool ready;

static uint32_t lapic_read(enum lapic_register r)
{
	return registers ? registers[r / 4] : (uint32_t)rdmsr(MSR_X2APIC + r / 16);
}

static void lapic_write(enum lapic_register r, uint32_t v)
{
	if (registers)
		registers[r / 4] = v;
	else
		wrmsr(MSR_X2APIC + r / 16, v);
}

/* Writes to these MSRs are not ordered behind earlier stores by themselves, nor by a locked instruction: SDM
 * volume 3, 11.12.3. */
static void order_msr_write(void)
{
	__asm__ volatile("mfence; lfence" : : : "memory");
}

err_t lapic_map(paddr_t base)
{
	if (!cpu_features.x2apic) {
		registers = kva_map_phys(base, PAGE_SIZE, MMU_UC, true);
		if (!registers)
			return -ENOMEM;
	}
	ready = true;
	return 0;
}

uint32_t lapic_id(void)
{
	if (ready) {
		uint32_t id = lapic_read(LAPIC_ID);
		return registers ? id >> 24 : id;
	}
	uint32_t r[4];
	cpuid(1, 0, r);
	return r[1] >> 24;
}

static void enable(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
	if (cpu_features.x2apic) {
		wrmsr(MSR_APIC_BASE, base); /* x2APIC can be entered from the enabled state only */
		base |= APIC_BASE_X2APIC;
	}
	wrmsr(MSR_APIC_BASE, base);
}

/* NMI by one LINT pin; the 8259s (the other pin) are not used. */
static void set_local_vectors(void)
{
	unsigned last = lapic_read(LAPIC_VERSION) >> 16 & 0xff;
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	lapic_write(topology.nmi_lint == 0 ? LAPIC_LVT_LINT0 : LAPIC_LVT_LINT1, ICR_NMI);
	lapic_write(topology.nmi_lint == 0 ? LAPIC_LVT_LINT1 : LAPIC_LVT_LINT0, LVT_MASKED);
	lapic_write(LAPIC_LVT_ERROR, VECTOR_ERROR);
	if (last >= 4)
		lapic_write(LAPIC_LVT_PERF, LVT_MASKED);
	if (last >= 5)
		lapic_write(LAPIC_LVT_THERMAL, LVT_MASKED);
}

void lapic_enter(void)
{
	enable();
	lapic_write(LAPIC_TPR, 0);
	if (registers) {
		lapic_write(LAPIC_DFR, UINT32_MAX);
		lapic_write(LAPIC_LDR, 0);
	}
	set_local_vectors();
	lapic_write(LAPIC_ESR, 0);
	lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	lapic_write(LAPIC_EOI, 0);
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | (cpu_features.tsc_deadline ? LVT_TSC_DEADLINE : 0));
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

/* Two registers make one send: no interrupt may come between. */
static void send(uint32_t apic_id, uint32_t command)
{
	if (!ready)
		return;
	if (!registers) {
		order_msr_write();
		wrmsr(MSR_X2APIC + LAPIC_ICR / 16, (uint64_t)apic_id << 32 | command);
		return;
	}
	uint64_t state = irq_save();
	while (lapic_read(LAPIC_ICR) & ICR_PENDING)
		cpu_relax();
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR, command);
	irq_restore(state);
}

void lapic_send(uint32_t cpu, unsigned vector)
{
	send(cpus[cpu].arch.apic_id, ICR_ASSERT | vector);
}

void lapic_send_nmi(uint32_t cpu)
{
	send(cpus[cpu].arch.apic_id, ICR_ASSERT | ICR_NMI);
}

void lapic_send_init(uint32_t apic_id)
{
	send(apic_id, ICR_ASSERT | ICR_INIT);
}

void lapic_send_startup(uint32_t apic_id, paddr_t page)
{
	ASSERT(IS_ALIGNED(page, PAGE_SIZE) && page < MIB(1));
	send(apic_id, ICR_ASSERT | ICR_STARTUP | (uint32_t)(page >> PAGE_SHIFT));
}

void lapic_timer_start(uint32_t count)
{
	lapic_write(LAPIC_TIMER_INITIAL, count);
}

uint32_t lapic_timer_count(void)
{
	return lapic_read(LAPIC_TIMER_COUNT);
}

void lapic_timer_tsc(uint64_t tsc)
{
	order_msr_write();
	wrmsr(MSR_TSC_DEADLINE, tsc);
}

uint32_t lapic_error(void)
{
	lapic_write(LAPIC_ESR, 0);
	return lapic_read(LAPIC_ESR);
}
