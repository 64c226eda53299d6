/*
 * smp.c - starting the other CPUs, and reaching them.
 *
 * A CPU is started by an INIT and a start-up interrupt that names a page below 1 MiB, where ap_start.S lies.
 * Each CPU takes a number there; number n gets stack n and becomes CPU n + 1, so numbers have no gaps whoever
 * comes. CPUs are sent for one after another, in the order of the firmware's table: normally number and table
 * agree.
 *
 * Nothing waits for ever. A start-up interrupt can be lost (an emulated CPU that is slow to leave its reset
 * misses it), so it is repeated until a number is taken; after a bound the CPU is logged as missing. In the
 * end the counter is set beyond the limit, under the same atomic operation that CPUs take numbers with: who
 * comes later stops in real mode, and who has a number is waited for.
 *
 *	boot CPU                              starting CPU
 *	INIT to all; 10 ms
 *	start-up, until the ticket moves      take ticket; 64-bit mode; ap_main: descriptors, LAPIC, memory types
 *	  (next CPU)                          arrived |= bit; wait for our turn
 *	clock_sync_source                     clock_sync_target
 *	                                      online |= bit; flush everything (see tlb.c); upcall_cpu_main
 *	wait until online
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/upcall.h"
#include "arch/x86_64/ap_start.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/tlb.h"
#include "kern/cpu.h"
#include "kern/log.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/mmu.h"
#include "machine/smp.h"
#include "mm/kva.h"

enum {
	MS = 1000000,
	INIT_DELAY = 10 * MS, /* MP specification 1.4, B.4 */
	STARTUP_RETRY = 20 * MS,
	STARTUP_RETRIES = 15,
	TICKET_CLOSED = 0x40000000, /* beyond every limit, and further than all CPUs together can count on */
};
#define ARRIVE_TIMEOUT (5000ULL * MS) /* of a CPU that took a number: it is running, however slowly */

struct cpu cpus[MAX_CPUS];

static _Atomic uint64_t online = 1, arrived = 1;
static vaddr_t stack_ends[MAX_CPUS]; /* by ticket */
static unsigned nstacks;

uint64_t cpus_online(void)
{
	return load_acquire(&online);
}

unsigned cpus_count(void)
{
	return bit_count(cpus_online());
}

void cpu_send_resched(uint32_t cpu)
{
	lapic_send(cpu, VECTOR_RESCHED);
}

void smp_nmi_others(void)
{
	for (uint64_t left = load_relaxed(&online) & ~BIT(cpu_id()); left; left &= left - 1)
		lapic_send_nmi(bit_lowest(left));
}

vaddr_t smp_stack_end(uint32_t cpu)
{
	return cpu == 0 ? (vaddr_t)boot_stack_end : stack_ends[cpu - 1];
}

/* -- on the starting CPU --------------------------------------------------------------------------------- */

/* Between these two lines another CPU may change the kernel's tables without asking us; what we cached then
 * goes. */
static void go_online(uint32_t id)
{
	atomic_fetch_or_explicit(&online, BIT(id), memory_order_seq_cst);
	tlb_flush_all_here();
}

static void ap_main(uint32_t ticket)
{
	uint32_t id = ticket + 1;
	struct cpu *c = &cpus[id];
	cpu_enter(c);
	memory_types_init();
	lapic_enter();
	c->arch.apic_id = lapic_id();
	fetch_or_acq_rel(&arrived, BIT(id));
	clock_sync_target();
	go_online(id);
	upcall_cpu_main();
}

/* -- on the boot CPU ------------------------------------------------------------------------------------- */

/* Records and stacks for up to `wanted` CPUs besides this one; returns how many there is memory for. */
static unsigned prepare_cpus(unsigned wanted)
{
	for (nstacks = 0; nstacks < wanted; nstacks++) {
		struct cpu *c = &cpus[nstacks + 1];
		vaddr_t stack = kva_alloc_stack();
		if (!stack)
			break;
		c->id = nstacks + 1;
		if (cpu_prepare(c)) {
			kva_free_stack(stack);
			break;
		}
		stack_ends[nstacks] = stack + KSTACK_PAGES * PAGE_SIZE;
		c->arch.kernel_rsp = c->arch.task->tss.rsp[0] = stack_ends[nstacks];
	}
	if (nstacks < wanted)
		log_warn("smp", "memory for %u of %u more CPUs", nstacks, wanted);
	return nstacks;
}

static uint32_t offset_in_code(const char *label)
{
	return (uint32_t)((uintptr_t)label - (uintptr_t)ap_code);
}

/* Copy the code to its page and fill in its data. */
static struct ap_data *prepare_page(unsigned limit)
{
	char *page = phys_to_virt(ap_trampoline);
	struct ap_data *d = (struct ap_data *)(page + AP_DATA);
	uint32_t base = (uint32_t)ap_trampoline;
	ASSERT(offset_in_code(ap_code_end) <= AP_DATA);
	memcpy(page, ap_code, offset_in_code(ap_code_end));
	*d = (struct ap_data){
	    .limit = limit,
	    .gdt_limit = sizeof(d->gdt) - 1,
	    .gdt_base = base + AP_GDT,
	    .jump32 = {base + offset_in_code(ap_code32), AP_SEL_CODE32, 0},
	    .jump64 = {base + offset_in_code(ap_code64), AP_SEL_CODE64, 0},
	    .cr3 = (uint32_t)boot_root,
	    .efer = EFER_LME | (cpu_features.nx ? EFER_NXE : 0),
	    .stacks = stack_ends,
	    .entry = ap_main,
	    .gdt = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff},
	};
	return d;
}

/* Wait until *word differs from `old`; false after `ns`. Other CPUs are served meanwhile. */
static bool wait_for_change(_Atomic uint32_t *word, uint32_t old, nsec_t ns)
{
	nsec_t end = clock_now() + ns;
	while (load_acquire(word) == old) {
		if (clock_now() > end)
			return false;
		cpu_poll_requests();
		cpu_relax();
	}
	return true;
}

static bool wait_for_bit(_Atomic uint64_t *mask, uint32_t id, nsec_t ns)
{
	nsec_t end = clock_now() + ns;
	while (!(load_acquire(mask) & BIT(id))) {
		if (clock_now() > end)
			return false;
		cpu_poll_requests();
		cpu_relax();
	}
	return true;
}

/* Send for one CPU until somebody takes the next number. */
static void summon(struct ap_data *d, uint32_t apic_id)
{
	uint32_t ticket = load_acquire(&d->ticket);
	for (unsigned i = 0; i < STARTUP_RETRIES; i++) {
		lapic_send_startup(apic_id, ap_trampoline);
		if (wait_for_change(&d->ticket, ticket, STARTUP_RETRY))
			return;
	}
	log_err("smp", "the CPU with APIC id %u does not start", apic_id);
}

/* Let a CPU that took a number come online. */
static bool receive(uint32_t id)
{
	if (!wait_for_bit(&arrived, id, ARRIVE_TIMEOUT)) {
		log_err("smp", "cpu %u started and was lost", id);
		return false;
	}
	clock_sync_source(id);
	return wait_for_bit(&online, id, ARRIVE_TIMEOUT);
}

static void start_cpus(unsigned n)
{
	struct ap_data *d = prepare_page(n);
	unsigned here = 0;
	for (unsigned i = 1; i < topology.ncpus; i++)
		lapic_send_init(topology.apic_ids[i]);
	clock_delay(INIT_DELAY);
	for (unsigned i = 1; i <= n; i++)
		summon(d, topology.apic_ids[i]);
	/* Nobody gets in any more; who is in has a number below this. */
	uint32_t taken = exchange_acq_rel(&d->ticket, TICKET_CLOSED);
	taken = MIN(taken, n);
	for (uint32_t id = 1; id <= taken; id++)
		here += receive(id);
	/* A CPU that was lost may still be on its way through the page. */
	if (here == taken)
		mmu_identity_leave(ap_trampoline);
}

void smp_start(void)
{
	unsigned n = topology.ncpus - 1;
	if (n > 0 && !ap_trampoline) {
		log_err("smp", "no memory below 1 MiB for the code that starts CPUs");
		n = 0;
	}
	if (n > 0)
		n = prepare_cpus(n);
	if (n > 0 && mmu_identity_enter(ap_trampoline)) {
		log_err("smp", "no memory for the page tables that starting CPUs need");
		n = 0;
	}
	if (n > 0)
		start_cpus(n);
	log_info("smp", "%u of %u CPUs are up", cpus_count(), topology.ncpus + topology.ignored_cpus);
}
