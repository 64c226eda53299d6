/*
 * ksmp.c - several CPUs: that all are there, that shootdown really takes translations away everywhere before
 * a frame is used again, and that clocks agree.
 *
 * The shootdown tests have a control: the same test without the flush must see the damage, or it could not
 * see it at all.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/mmu.h"
#include "arch/usercopy.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/tlb.h"
#include "kern/thread.h"
#include "ktest.h"
#include "lib/bits.h"
#include "machine/cpu.h"
#include "machine/peek.h"
#include "mm/frame.h"
#include "mm/kva.h"

enum { MS = 1000000 };
#define VA 0x10000000ULL
#define R  (MMU_READ | MMU_USER)
#define RW (R | MMU_WRITE)

/* Run this thread on ctx; NULL: on none of its own again. */
static void use_context(struct mmu_context *ctx)
{
	uint64_t state = irq_save();
	current_thread()->mmu = ctx;
	mmu_switch(ctx);
	irq_restore(state);
}

static bool need_cpus(unsigned n)
{
	if (cpus_count() >= n)
		return true;
	kt_skip("needs more CPUs");
	return false;
}

/* Spin until *p is not `old`, other threads and requests being served; false after ten seconds. */
static bool wait_change(_Atomic uint32_t *p, uint32_t old)
{
	nsec_t end = clock_now() + 10000ULL * MS;
	while (load_acquire(p) == old) {
		if (clock_now() > end)
			return false;
		cpu_relax();
	}
	return true;
}

/* -- being there ----------------------------------------------------------------------------------------- */

static _Atomic uint64_t seen_cpus;

static void note_cpu(UNUSED void *arg, UNUSED unsigned i)
{
	uint64_t state = irq_save();
	uint32_t id = cpu_id();
	fetch_or_acq_rel(&seen_cpus, BIT(id));
	KT_CHECK_EQ(lapic_id(), cpus[id].arch.apic_id);
	KT_CHECK(this_cpu() == &cpus[id]);
	irq_restore(state);
}

KTEST(ksmp_all_up)
{
	KT_CHECK_EQ(cpus_count(), topology.ncpus);
	KT_CHECK_EQ(cpus_online(),
	    BIT(topology.ncpus - 1) | (BIT(topology.ncpus - 1) - 1)); /* numbers without gaps */
	store_relaxed(&seen_cpus, 0);
	KT_REQUIRE(kt_run_threads(cpus_count(), note_cpu, NULL));
	KT_CHECK_EQ(load_relaxed(&seen_cpus), cpus_online());
	for (unsigned i = 0; i < topology.ncpus; i++)
		for (unsigned k = 0; k < i; k++)
			KT_CHECK(cpus[i].arch.apic_id != cpus[k].arch.apic_id);
}

/* -- clocks ---------------------------------------------------------------------------------------------- */

static _Atomic uint64_t latest;
static _Atomic uint64_t back_steps;

/* Nobody reads a time before one that somebody else has read and published. */
static void watch_clock(UNUSED void *arg, UNUSED unsigned i)
{
	for (unsigned n = 0; n < 20000; n++) {
		uint64_t before = load_acquire(&latest);
		__asm__ volatile("lfence" : : : "memory"); /* RDTSC must not run ahead of the load */
		nsec_t now = clock_now();
		if (now < before)
			fetch_add_relaxed(&back_steps, 1);
		while (before < now && !cas_acq_rel(&latest, &before, now))
			cpu_relax();
	}
}

KTEST(ksmp_clock_monotonic)
{
	store_relaxed(&latest, 0);
	store_relaxed(&back_steps, 0);
	KT_REQUIRE(kt_run_threads(cpus_count(), watch_clock, NULL));
	KT_CHECK_EQ(load_relaxed(&back_steps), 0);
	KT_CHECK(load_relaxed(&latest) <= clock_now());
}

/* -- stores through old translations --------------------------------------------------------------------- */

enum what { FLUSHED, NOT_FLUSHED, WRITE_PROTECTED };

enum { FRAMES = 4, ROUNDS = 150, WORDS = PAGE_SIZE / 8, ATTEMPTS = 16, LEAST_ROUNDS = 3 };
#define CANARY 0xc0ffee00c0ffee00ULL

/* Thread 0 maps a frame, waits until every other CPU has stored through it, takes the translation away, and
 * watches the frame: from then on it is somebody else's. */
static struct {
	struct mmu_context ctx;
	struct page *frames[FRAMES];
	enum what what;
	_Atomic uint32_t round;            /* storers note it ... */
	_Atomic uint32_t stored[MAX_CPUS]; /* ... here, when a store went through in it */
	_Atomic uint32_t attempts[MAX_CPUS];
	_Atomic bool stop;
	_Atomic uint32_t damaged; /* rounds in which the frame changed after the flush */
	_Atomic uint64_t faults;  /* stores that were refused */
} st;

static void store_loop(unsigned i)
{
	uint64_t faults = 0;
	use_context(&st.ctx);
	for (uint64_t n = i + 1; !load_acquire(&st.stop); n++) {
		uint32_t round = load_acquire(&st.round);
		uaddr_t at = VA + n * 8 % PAGE_SIZE;
		if (copy_to_user(at, &n, 8))
			faults++;
		else
			store_release(&st.stored[i], round);
		fetch_add_acq_rel(&st.attempts[i], 1);
	}
	use_context(NULL);
	fetch_add_relaxed(&st.faults, faults);
}

static void take_away(void)
{
	struct mmu_gather g;
	mmu_gather_begin(&g, &st.ctx);
	if (st.what == WRITE_PROTECTED)
		mmu_write_protect(&st.ctx, 0x1000, GIB(1), &g);
	else
		mmu_unmap(&st.ctx, VA, VA + PAGE_SIZE, &g);
	if (st.what == NOT_FLUSHED) {
		/* The control: say that it was flushed. Tables stay until the end of the round. */
		return;
	}
	mmu_gather_flush(&g);
}

/* Wait until storer i has tried ATTEMPTS times more. */
static bool wait_for_attempts(unsigned i)
{
	uint32_t start = load_acquire(&st.attempts[i]);
	nsec_t end = clock_now() + 10000ULL * MS;
	while (load_acquire(&st.attempts[i]) - start < ATTEMPTS) {
		if (clock_now() > end)
			return false;
		cpu_relax();
	}
	return true;
}

/* The frame is ours alone now: fill it, let everybody else try to store, and see whether it changed. */
static bool is_left_alone(volatile uint64_t *words)
{
	bool alone = true;
	for (unsigned w = 0; w < WORDS; w++)
		words[w] = CANARY;
	for (unsigned i = 1; i < cpus_count(); i++)
		KT_CHECK(wait_for_attempts(i));
	for (unsigned w = 0; w < WORDS; w++)
		alone = alone && words[w] == CANARY;
	return alone;
}

static bool all_stored(uint32_t round)
{
	for (unsigned i = 1; i < cpus_count(); i++) {
		nsec_t end = clock_now() + 10000ULL * MS;
		while (load_acquire(&st.stored[i]) != round) {
			if (clock_now() > end)
				return false;
			cpu_relax();
		}
	}
	return true;
}

static void shoot_loop(nsec_t budget)
{
	nsec_t end = clock_now() + budget;
	for (uint32_t r = 1; r <= ROUNDS && (r <= LEAST_ROUNDS || clock_now() < end); r++) {
		struct page *frame = st.frames[r % FRAMES];
		KT_CHECK_EQ(mmu_enter(&st.ctx, VA, page_to_phys(frame), RW), 0);
		store_release(&st.round, r);
		KT_CHECK(all_stored(r));
		take_away();
		if (!is_left_alone(page_to_virt(frame)))
			fetch_add_relaxed(&st.damaged, 1);
		if (st.what != FLUSHED) { /* start over with nothing there */
			struct mmu_gather g;
			mmu_gather_begin(&g, &st.ctx);
			tables_note(&st.ctx.tables, &g, VA, VA + PAGE_SIZE);
			mmu_unmap(&st.ctx, VA, VA + PAGE_SIZE, &g);
			mmu_gather_flush(&g);
		}
	}
	store_release(&st.stop, true);
}

static void shoot_or_store(void *arg, unsigned i)
{
	if (i == 0)
		shoot_loop(*(nsec_t *)arg);
	else
		store_loop(i);
}

/* Runs the game; returns the number of rounds in which a store landed in a frame that was somebody else's. */
static uint32_t run_stores(enum what what)
{
	nsec_t budget = 1000ULL * MS;
	memset(&st, 0, sizeof(st));
	st.what = what;
	if (mmu_init(&st.ctx))
		return UINT32_MAX;
	for (unsigned i = 0; i < FRAMES; i++)
		st.frames[i] = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	KT_CHECK(st.frames[FRAMES - 1]);
	/* Keeps the tables, so that the control leaves none behind in a gather that it drops. */
	KT_CHECK_EQ(mmu_enter(&st.ctx, VA + PAGE_SIZE, page_to_phys(st.frames[0]), R), 0);
	KT_CHECK(kt_run_threads(cpus_count(), shoot_or_store, &budget));
	kt_note("%u rounds, %u damaged, %llu refused stores", load_relaxed(&st.round),
	    load_relaxed(&st.damaged), (unsigned long long)load_relaxed(&st.faults));
	store_relaxed(&st.ctx.tables.unflushed, 0); /* the control's gathers */
	mmu_validate(&st.ctx);
	mmu_destroy(&st.ctx);
	for (unsigned i = 0; i < FRAMES; i++)
		frame_free(st.frames[i]);
	return load_relaxed(&st.damaged);
}

KTEST_LONG(ksmp_shootdown, 120)
{
	if (!need_cpus(2))
		return;
	KT_CHECK_EQ(run_stores(FLUSHED), 0);
	KT_CHECK(load_relaxed(&st.faults) > 0);
}

KTEST_LONG(ksmp_shootdown_write_protect, 120)
{
	if (!need_cpus(2))
		return;
	KT_CHECK_EQ(run_stores(WRITE_PROTECTED), 0);
	KT_CHECK(load_relaxed(&st.faults) > 0);
}

KTEST_LONG(ksmp_shootdown_control, 120)
{
	if (!need_cpus(2))
		return;
	uint32_t damaged = run_stores(NOT_FLUSHED);
	KT_CHECK(damaged != UINT32_MAX && damaged > load_relaxed(&st.round) / 4);
}

/* -- shootdown and locks --------------------------------------------------------------------------------- */

static struct {
	struct mmu_context ctx;
	struct page *frame;
	struct spinlock lock;
	_Atomic uint32_t ready;
	uint64_t answers; /* of the spinning CPU, while it spun */
	nsec_t took;
} spin;

/* Holds the lock that the other CPU spins for with interrupts disabled, and shoots at it. */
static void shoot_at_spinner(void)
{
	struct mmu_gather g;
	KT_CHECK(wait_change(&spin.ready, 0));
	spin_lock(&spin.lock);
	store_release(&spin.ready, 2);
	nsec_t end = clock_now() + 10000ULL * MS;
	while (!(load_acquire(&spin.lock.word) & SPIN_RESERVED) && clock_now() < end)
		cpu_relax();
	mmu_gather_begin(&g, &spin.ctx);
	mmu_unmap(&spin.ctx, VA, VA + PAGE_SIZE, &g);
	nsec_t start = clock_now();
	mmu_gather_flush(&g);
	spin.took = clock_now() - start;
	spin_unlock(&spin.lock);
}

static void spin_with_interrupts_off(void)
{
	struct tlb_stats before, after;
	use_context(&spin.ctx);
	store_release(&spin.ready, 1);
	KT_CHECK(wait_change(&spin.ready, 1));
	uint64_t state = irq_save();
	tlb_get_stats(cpu_id(), &before);
	spin_lock(&spin.lock);
	tlb_get_stats(cpu_id(), &after);
	spin_unlock(&spin.lock);
	irq_restore(state);
	use_context(NULL);
	spin.answers = after.answers - before.answers;
}

static void shoot_or_spin(UNUSED void *arg, unsigned i)
{
	if (i == 0)
		shoot_at_spinner();
	else
		spin_with_interrupts_off();
}

KTEST(ksmp_shootdown_interrupts_off)
{
	if (!need_cpus(2))
		return;
	memset(&spin, 0, sizeof(spin));
	spin_init(&spin.lock, "ksmp", RANK_OBJECT);
	KT_REQUIRE(mmu_init(&spin.ctx) == 0);
	spin.frame = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	KT_CHECK_EQ(mmu_enter(&spin.ctx, VA, page_to_phys(spin.frame), RW), 0);
	KT_CHECK(kt_run_threads(2, shoot_or_spin, NULL));
	KT_CHECK_EQ(spin.answers, 1);
	mmu_destroy(&spin.ctx);
	frame_free(spin.frame);
}

/* Every CPU shoots at all others at the same time; contexts are shared by all. Passes if it ends. */
static struct {
	struct mmu_context ctx;
	struct page *frame;
	_Atomic uint32_t here;
	_Atomic uint64_t remote; /* requests sent */
} duel;

static void duel_thread(UNUSED void *arg, unsigned i)
{
	struct tlb_stats before, after;
	vaddr_t va = VA + (uint64_t)i * GIB(1);
	use_context(&duel.ctx);
	fetch_add_acq_rel(&duel.here, 1);
	while (load_acquire(&duel.here) < cpus_count())
		cpu_relax();
	tlb_get_stats(cpu_id(), &before);
	nsec_t end = clock_now() + 1000ULL * MS;
	for (unsigned n = 0; n < 100 && (n < LEAST_ROUNDS || clock_now() < end); n++) {
		struct mmu_gather g;
		KT_CHECK_EQ(mmu_enter(&duel.ctx, va, page_to_phys(duel.frame), RW), 0);
		KT_CHECK_EQ(copy_to_user(va, &n, sizeof(n)), 0);
		mmu_gather_begin(&g, &duel.ctx);
		mmu_unmap(&duel.ctx, va, va + PAGE_SIZE, &g);
		mmu_gather_flush(&g);
		KT_CHECK(copy_to_user(va, &n, sizeof(n)) == -EFAULT);
	}
	tlb_get_stats(cpu_id(), &after);
	fetch_add_relaxed(&duel.remote, after.requests - before.requests);
	use_context(NULL);
}

KTEST_LONG(ksmp_shoot_each_other, 120)
{
	if (!need_cpus(2))
		return;
	memset(&duel, 0, sizeof(duel));
	KT_REQUIRE(mmu_init(&duel.ctx) == 0);
	duel.frame = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	KT_CHECK(kt_run_threads(cpus_count(), duel_thread, NULL));
	KT_CHECK(load_relaxed(&duel.remote) > 0);
	KT_CHECK_EQ(mmu_table_count(&duel.ctx), 1);
	mmu_destroy(&duel.ctx);
	frame_free(duel.frame);
}

/* -- borrowed contexts ----------------------------------------------------------------------------------- */

static struct {
	struct mmu_context ctx[2];
	struct page *frame;
	_Atomic uint32_t stage;
	uint32_t borrower;
} lazy;

/* The borrower: has the context loaded without using it, and stays on its CPU. */
static void borrow(void)
{
	uint64_t word;
	for (unsigned i = 0; i < 2; i++) {
		use_context(&lazy.ctx[i]);
		KT_CHECK_EQ(copy_from_user(&word, VA, 8), 0);
		lazy.borrower = cpu_id(); /* pinned */
		preempt_disable();        /* nobody else's context comes in between */
		use_context(NULL);
		KT_CHECK(tlb_loaded(cpu_id()) == &lazy.ctx[i]);
		store_release(&lazy.stage, 2 * i + 1);
		nsec_t end = clock_now() + 10000ULL * MS;
		while (load_acquire(&lazy.stage) == 2 * i + 1 && clock_now() < end)
			cpu_relax();
		preempt_enable();
	}
}

static void lend(void)
{
	struct mmu_gather g;
	KT_CHECK(wait_change(&lazy.stage, 0));
	KT_CHECK_EQ(load_relaxed(&lazy.ctx[0].cpus), BIT(lazy.borrower));
	/* A flush makes it leave, so it is asked only once. */
	mmu_gather_begin(&g, &lazy.ctx[0]);
	mmu_unmap(&lazy.ctx[0], VA, VA + PAGE_SIZE, &g);
	mmu_gather_flush(&g);
	KT_CHECK_EQ(load_relaxed(&lazy.ctx[0].cpus), 0);
	KT_CHECK(tlb_loaded(lazy.borrower) == &kernel_mmu);
	store_release(&lazy.stage, 2);
	KT_CHECK(wait_change(&lazy.stage, 2));
	/* So does the end of the context. */
	KT_CHECK_EQ(load_relaxed(&lazy.ctx[1].cpus), BIT(lazy.borrower));
	mmu_destroy(&lazy.ctx[1]);
	KT_CHECK(tlb_loaded(lazy.borrower) == &kernel_mmu);
	store_release(&lazy.stage, 4);
}

static void lend_or_borrow(UNUSED void *arg, unsigned i)
{
	if (i == 0)
		lend();
	else
		borrow();
}

KTEST(ksmp_lazy)
{
	if (!need_cpus(2))
		return;
	memset(&lazy, 0, sizeof(lazy));
	lazy.frame = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	for (unsigned i = 0; i < 2; i++) {
		KT_REQUIRE(mmu_init(&lazy.ctx[i]) == 0);
		KT_CHECK_EQ(mmu_enter(&lazy.ctx[i], VA, page_to_phys(lazy.frame), RW), 0);
	}
	KT_CHECK(kt_run_threads(2, lend_or_borrow, NULL));
	mmu_destroy(&lazy.ctx[0]);
	frame_free(lazy.frame);
}

/* -- tables and the kernel half -------------------------------------------------------------------------- */

/* A table that was unlinked stays a table until the flush, and is free after it. */
KTEST(ksmp_tables_wait)
{
	static struct mmu_context ctx;
	struct mmu_gather g;
	KT_REQUIRE(mmu_init(&ctx) == 0);
	struct page *frame = frame_alloc(PAGE_KERNEL, 0);
	KT_CHECK_EQ(mmu_enter(&ctx, VA, page_to_phys(frame), R), 0);
	mmu_gather_begin(&g, &ctx);
	mmu_unmap(&ctx, VA, VA + PAGE_SIZE, &g);
	struct page *table = g.tables;
	KT_CHECK(table && page_kind(table) == PAGE_TABLE);
	mmu_gather_flush(&g);
	KT_CHECK(page_kind(table) != PAGE_TABLE);
	KT_CHECK_EQ(mmu_table_count(&ctx), 1);
	mmu_destroy(&ctx);
	frame_free(frame);
}

/* One CPU maps two frames in turn at kernel addresses; the others look. What they find there is never what
 * the frame holds after it was unmapped. */
static struct {
	struct page *frame;
	_Atomic vaddr_t at;
	_Atomic bool stop;
	_Atomic uint64_t looks, wrong;
} half;

static void look_at_kernel(void)
{
	while (!load_acquire(&half.stop)) {
		uint64_t word;
		vaddr_t at = load_acquire(&half.at);
		if (!at || !kernel_peek(at, &word))
			continue;
		fetch_add_relaxed(&half.looks, 1);
		if (word == CANARY)
			fetch_add_relaxed(&half.wrong, 1);
	}
}

static void map_kernel(void)
{
	volatile uint64_t *word = page_to_virt(half.frame);
	nsec_t end = clock_now() + 1000ULL * MS;
	for (unsigned r = 0; r < 100 && (r < LEAST_ROUNDS || clock_now() < end); r++) {
		*word = 1;
		void *v = kva_map_phys(page_to_phys(half.frame), PAGE_SIZE, MMU_WB, false);
		KT_CHECK(v);
		uint64_t looks = load_relaxed(&half.looks);
		store_release(&half.at, (vaddr_t)v);
		nsec_t give_up = clock_now() + 10000ULL * MS;
		while (load_relaxed(&half.looks) < looks + 2 && clock_now() < give_up)
			cpu_relax();
		kva_unmap_phys(v);
		*word = CANARY;
		for (unsigned i = 0; i < 2000; i++)
			cpu_relax();
	}
	store_release(&half.stop, true);
}

static void map_or_look(UNUSED void *arg, unsigned i)
{
	if (i == 0)
		map_kernel();
	else
		look_at_kernel();
}

KTEST_LONG(ksmp_kernel_half, 120)
{
	if (!need_cpus(2))
		return;
	memset(&half, 0, sizeof(half));
	half.frame = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	KT_CHECK(kt_run_threads(cpus_count(), map_or_look, NULL));
	KT_CHECK(load_relaxed(&half.looks) > 0);
	KT_CHECK_EQ(load_relaxed(&half.wrong), 0);
	frame_free(half.frame);
}
