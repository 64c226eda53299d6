/*
 * tlb.c - which context a CPU has loaded, and shooting down translations on other CPUs.
 *
 * Loading. mmu_switch loads a context's root and keeps ctx->cpus, the set of CPUs that may hold its
 * translations. A thread without a context borrows what is loaded (lazy): the bit stays set. A lazy CPU that
 * gets a request about the context it borrows does not flush, it leaves: it loads the kernel's root, and is
 * not asked again. mmu_destroy asks all CPUs that are left in the set to leave, and frees the tables when
 * they have answered.
 *
 * Shootdown. Each CPU has one request of its own, and a mailbox with a bit for each CPU that wants something
 * of it:
 *
 *	CPU 2 flushes                                   CPU 0
 *	  own = {ctx, range}, unanswered = {0, 1}
 *	  mailbox[0] |= 1 << 2, mailbox[1] |= 1 << 2    interrupt, or a poll in a spin loop:
 *	  interrupts to those whose mailbox was empty     take all bits (exchange), for each: read own[2], flush,
 *	  flush here                                      clear bit 0 in own[2].unanswered
 *	  spin until unanswered is empty, answering requests to CPU 2 meanwhile
 *
 * No lock is involved, and whoever waits answers: two CPUs that shoot at each other, or a target that spins
 * for a spinlock with interrupts disabled (spin_wait polls), make progress. Only after all answers may frames
 * and tables be reused.
 *
 * Ordering. The side that changes tables:      The side that loads them:
 *
 *	(1) change the entry                       (a) set its bit in ctx->cpus (locked: a full barrier)
 *	(2) full barrier                           (b) load CR3; walks begin
 *	(3) read ctx->cpus
 *
 * If (3) does not see the bit, then (a) comes after (3) in the order of all full barriers, so walks after (b)
 * see (1): there is nothing stale to flush. If it sees it, the CPU is asked. When a CPU leaves, it first
 * loads another root, which drops its translations (none of them is global), and then clears its bit. A CPU
 * takes the request's bit with acquire and answers with release, so it reads the request that was written for
 * it, and the tables and frames are not freed before it is done with them.
 *
 * The kernel half concerns all CPUs that are online. A CPU that comes online sets its bit in the online set
 * first and then flushes everything, for the same reason.
 *
 * A paging-structure cache may hold a table that was unlinked. INVLPG drops all of its entries of the current
 * address space whatever the address (Intel SDM volume 3, 4.10.4.1), and so does a load of CR3; so the flush
 * of the range that a table served is enough before it is freed.
 */
#include "arch/mmu.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/tlb.h"
#include "kern/spinlock.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "machine/ports.h"
#include "machine/smp.h"

enum {
	INVLPG_MAX = 32,     /* pages; more are flushed by dropping everything */
	ANSWER_SECONDS = 30, /* a CPU that does not answer for so long never will */
};

/* (C) the CPU itself, with interrupts disabled; (A) atomic; (O) the CPU itself, while its `unanswered` is 0
 * (others read it while it is not). */
struct tlb_cpu {
	_Atomic uint64_t mailbox;           /* (A) CPUs whose request this one has to answer */
	_Atomic uint64_t unanswered;        /* (A) CPUs that have not answered this one's request */
	struct mmu_context *ctx;            /* (O) the request */
	vaddr_t start, end;                 /* (O) */
	bool leave;                         /* (O) stop using ctx altogether */
	bool lazy;                          /* (C) `loaded` is borrowed */
	struct mmu_context *_Atomic loaded; /* (C) NULL stands for kernel_mmu */
	struct tlb_stats stats;             /* (C) */
} ALIGNED(CACHE_LINE);

static struct tlb_cpu tlb_cpus[MAX_CPUS];

static inline struct tlb_cpu *this_tlb(void)
{
	return &tlb_cpus[cpu_id()];
}

struct mmu_context *tlb_loaded(uint32_t cpu)
{
	struct mmu_context *ctx = load_relaxed(&tlb_cpus[cpu].loaded);
	return ctx ? ctx : &kernel_mmu;
}

void tlb_get_stats(uint32_t cpu, struct tlb_stats *out)
{
	*out = tlb_cpus[cpu].stats;
}

/* -- loading --------------------------------------------------------------------------------------------- */

/* Load `next` (NULL: the kernel's root) instead of whatever is loaded. Interrupts disabled. */
static ALWAYS_INLINE void load_context(struct tlb_cpu *t, struct mmu_context *next)
{
	struct mmu_context *old = load_relaxed(&t->loaded);
	uint64_t self = BIT(cpu_id());
	if (next)
		atomic_fetch_or_explicit(&next->cpus, self, memory_order_seq_cst);
	store_relaxed(&t->loaded, next);
	write_cr3(next ? next->root : kernel_mmu.root);
	if (old)
		fetch_and_acq_rel(&old->cpus, ~self);
	ports_switch(next);
}

void mmu_switch(struct mmu_context *ctx)
{
	struct tlb_cpu *t = this_tlb();
	DEBUG_ASSERT(!irq_is_enabled());
	t->lazy = !ctx;
	if (!ctx || ctx == load_relaxed(&t->loaded))
		return;
	load_context(t, ctx == &kernel_mmu ? NULL : ctx);
}

/* -- flushing this CPU ----------------------------------------------------------------------------------- */

static inline void invlpg(vaddr_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

void tlb_flush_all_here(void)
{
	uint64_t cr4 = read_cr4();
	if (cr4 & CR4_PGE) {
		write_cr4(cr4 & ~(uint64_t)CR4_PGE); /* a change of PGE drops everything */
		write_cr4(cr4);
	} else {
		write_cr3(read_cr3());
	}
}

static void flush_range_here(const struct mmu_context *ctx, vaddr_t start, vaddr_t end)
{
	if ((end - start) >> PAGE_SHIFT <= INVLPG_MAX) {
		for (vaddr_t va = start; va < end; va += PAGE_SIZE)
			invlpg(va);
	} else if (ctx == &kernel_mmu) {
		tlb_flush_all_here();
	} else {
		write_cr3(read_cr3());
	}
}

/* Do what a request asks for; the same on the CPU that asks and on the others. Interrupts disabled. */
static void obey(struct tlb_cpu *t, struct mmu_context *ctx, vaddr_t start, vaddr_t end, bool leave)
{
	if (ctx == &kernel_mmu) {
		flush_range_here(ctx, start, end);
	} else if (load_relaxed(&t->loaded) != ctx) {
		return; /* left it since: nothing of it is here */
	} else if (leave || t->lazy) {
		load_context(t, NULL);
		t->stats.left_lazy++;
	} else {
		flush_range_here(ctx, start, end);
	}
}

/* -- requests -------------------------------------------------------------------------------------------- */

static void answer(struct tlb_cpu *t, struct tlb_cpu *from)
{
	obey(t, from->ctx, from->start, from->end, from->leave);
	t->stats.answers++;
	fetch_and_acq_rel(&from->unanswered, ~BIT(cpu_id()));
}

void tlb_answer_requests(void)
{
	struct tlb_cpu *t = this_tlb();
	uint64_t state = irq_save();
	uint64_t from;
	while ((from = exchange_acq_rel(&t->mailbox, 0)))
		for (; from; from &= from - 1)
			answer(t, &tlb_cpus[bit_lowest(from)]);
	irq_restore(state);
}

void cpu_poll_requests(void)
{
	if (unlikely(load_relaxed(&this_tlb()->mailbox)))
		tlb_answer_requests();
}

static void wait_for_answers(struct tlb_cpu *t)
{
	nsec_t start = clock_now();
	uint64_t left;
	while ((left = load_acquire(&t->unanswered))) {
		cpu_poll_requests();
		cpu_relax();
		if (unlikely(clock_now() - start > ANSWER_SECONDS * 1000000000ULL))
			panic("CPUs %#llx do not answer a TLB request", (unsigned long long)left);
	}
}

/* Post this CPU's request to `targets`, and obey it here if it concerns this CPU. Preemption disabled. */
static void request(
    struct tlb_cpu *t, struct mmu_context *ctx, vaddr_t start, vaddr_t end, bool leave, uint64_t targets)
{
	uint64_t self = BIT(cpu_id());
	t->ctx = ctx;
	t->start = start;
	t->end = end;
	t->leave = leave;
	store_release(&t->unanswered, targets & ~self);
	for (uint64_t left = targets & ~self; left; left &= left - 1) {
		unsigned cpu = bit_lowest(left);
		t->stats.requests++;
		/* If the mailbox was not empty, an interrupt for it is on its way. */
		if (!fetch_or_acq_rel(&tlb_cpus[cpu].mailbox, self))
			lapic_send(cpu, VECTOR_REQUEST);
	}
	uint64_t state = irq_save();
	obey(t, ctx, start, end, leave);
	irq_restore(state);
	wait_for_answers(t);
}

void mmu_gather_flush(struct mmu_gather *g)
{
	struct mmu_context *ctx = g->ctx;
	if (mmu_gather_is_empty(g))
		return;
	preempt_disable();
	fence_seq_cst(); /* (2) */
	uint64_t targets = ctx == &kernel_mmu ? cpus_online() : load_relaxed(&ctx->cpus);
	struct tlb_cpu *t = this_tlb();
	t->stats.flushes++;
	t->stats.local += !(targets & ~BIT(cpu_id()));
	request(t, ctx, g->start, g->end, false, targets);
	preempt_enable();
	tables_flushed(&ctx->tables, g);
}

/* A request to flush a page that nothing says anything of: making, answering and awaiting it are atomic
 * operations, which is the barrier. */
void mmu_barrier(struct mmu_context *ctx)
{
	preempt_disable();
	fence_seq_cst(); /* (2) */
	request(this_tlb(), ctx, USER_START, USER_START + PAGE_SIZE, false, load_relaxed(&ctx->cpus));
	fence_seq_cst();
	preempt_enable();
}

void tlb_leave_everywhere(struct mmu_context *ctx)
{
	preempt_disable();
	fence_seq_cst();
	request(this_tlb(), ctx, 0, 0, true, load_relaxed(&ctx->cpus));
	preempt_enable();
	ASSERT(load_acquire(&ctx->cpus) == 0);
}
