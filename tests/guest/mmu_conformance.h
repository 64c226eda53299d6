#pragma once
/*
 * mmu_conformance.h - what every implementation of arch/mmu.h must do, as one set of checks. It runs on real
 * page tables in the guest (tests/guest/kmmu.c) and on the host port's mock (test_mmu_conformance.c). The
 * file that includes it says how it checks and how "the hardware" makes an access:
 *
 *	MC_CHECK(cond)                      report a failure and go on
 *	mc_can(ctx, va, rights)             does an access with MMU_READ or MMU_WRITE at va in ctx go through? Retries a spurious fault
 *
 * Each check starts with an empty context and must leave nothing behind.
 */
#include "arch/mmu.h"
#include "lib/inject.h"
#include "mm/frame.h"

#define MC_R  (MMU_READ | MMU_USER)
#define MC_RW (MC_R | MMU_WRITE)

static bool mc_can(struct mmu_context *ctx, vaddr_t va, unsigned rights);

/* An address in the middle of nowhere, aligned to 1 GiB. */
#define MC_VA 0x200040000000ULL

enum { MC_FRAMES = 64 };

struct mc {
	struct mmu_context ctx;
	struct page *frames[MC_FRAMES];
};

static bool mc_begin(struct mc *t)
{
	if (mmu_init(&t->ctx))
		return false;
	for (unsigned i = 0; i < MC_FRAMES; i++) {
		t->frames[i] = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
		if (t->frames[i])
			continue;
		while (i--)
			frame_free(t->frames[i]);
		mmu_destroy(&t->ctx);
		return false;
	}
	return true;
}

static void mc_end(struct mc *t)
{
	mmu_validate(&t->ctx);
	mmu_destroy(&t->ctx);
	for (unsigned i = 0; i < MC_FRAMES; i++)
		frame_free(t->frames[i]);
}

static paddr_t mc_pa(struct mc *t, unsigned i)
{
	return page_to_phys(t->frames[i]);
}

/* Rights that mmu_query tells, without the cache type; 0: not present. */
static unsigned mc_rights(struct mc *t, vaddr_t va)
{
	struct mmu_translation q;
	return mmu_query(&t->ctx, va, &q) ? q.flags & (MMU_READ | MMU_WRITE | MMU_EXEC | MMU_USER) : 0;
}

static bool mc_translates(struct mc *t, vaddr_t va, paddr_t pa)
{
	struct mmu_translation q;
	return mmu_query(&t->ctx, va, &q) && q.paddr == pa;
}

enum mc_change { MC_UNMAP, MC_PROTECT, MC_WRITE_PROTECT, MC_WRITE_PROTECT_WIDE };

/* One change with its flush. */
static void mc_change(struct mc *t, enum mc_change what, vaddr_t start, vaddr_t end, unsigned flags)
{
	struct mmu_gather g;
	mmu_gather_begin(&g, &t->ctx);
	if (what == MC_UNMAP)
		mmu_unmap(&t->ctx, start, end, &g);
	else if (what == MC_PROTECT)
		mmu_protect(&t->ctx, start, end, flags, &g);
	else if (what == MC_WRITE_PROTECT)
		mmu_write_protect(&t->ctx, start, end, &g);
	else
		mmu_write_protect_wide(&t->ctx, start, end, &g);
	mmu_gather_flush(&g);
	MC_CHECK(mmu_gather_is_empty(&g));
}

static void mc_empty(struct mc *t)
{
	struct mmu_translation q;
	MC_CHECK(mmu_table_count(&t->ctx) == 1);
	MC_CHECK(!mmu_query(&t->ctx, MC_VA, &q));
	MC_CHECK(!mc_can(&t->ctx, MC_VA, MMU_READ));
	mc_change(t, MC_UNMAP, USER_START, USER_END, 0);
	mc_change(t, MC_PROTECT, USER_START, USER_END, MC_R);
	mc_change(t, MC_WRITE_PROTECT, USER_START, USER_END, 0);
	MC_CHECK(mmu_table_count(&t->ctx) == 1);
}

static void mc_enter(struct mc *t)
{
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_R) == 0);
	MC_CHECK(mmu_table_count(&t->ctx) == 4);
	MC_CHECK(mc_translates(t, MC_VA + 5, mc_pa(t, 0) + 5));
	MC_CHECK(mc_rights(t, MC_VA) == MC_R);
	MC_CHECK(mc_can(&t->ctx, MC_VA, MMU_READ) && !mc_can(&t->ctx, MC_VA, MMU_WRITE));
	/* Another frame: refused, nothing changed. */
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 1), MC_RW) == -EEXIST);
	MC_CHECK(mc_translates(t, MC_VA, mc_pa(t, 0)) && mc_rights(t, MC_VA) == MC_R);
	/* The same frame: wider, never narrower. */
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_RW) == 0);
	MC_CHECK(mc_can(&t->ctx, MC_VA, MMU_WRITE));
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_R) == 0);
	MC_CHECK(mc_rights(t, MC_VA) == MC_RW);
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_R | MMU_EXEC) == 0);
	MC_CHECK(mc_rights(t, MC_VA) == (MC_RW | MMU_EXEC));
	mc_change(t, MC_UNMAP, MC_VA, MC_VA + PAGE_SIZE, 0);
	MC_CHECK(!mc_can(&t->ctx, MC_VA, MMU_READ));
	MC_CHECK(mmu_table_count(&t->ctx) == 1);
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 1), MC_R) == 0);
	MC_CHECK(mc_translates(t, MC_VA, mc_pa(t, 1)));
}

static void mc_edges(struct mc *t)
{
	static const vaddr_t edges[] = {USER_START, USER_END - PAGE_SIZE, MIB(2) - PAGE_SIZE, MIB(2),
	    GIB(1) - PAGE_SIZE, GIB(1), GIB(512) - PAGE_SIZE, GIB(512)};
	for (unsigned i = 0; i < ARRAY_SIZE(edges); i++)
		MC_CHECK(mmu_enter(&t->ctx, edges[i], mc_pa(t, i), MC_RW) == 0);
	for (unsigned i = 0; i < ARRAY_SIZE(edges); i++)
		MC_CHECK(mc_translates(t, edges[i], mc_pa(t, i)) && mc_can(&t->ctx, edges[i], MMU_WRITE));
	/* All but the first and the last go. */
	mc_change(t, MC_UNMAP, USER_START + PAGE_SIZE, USER_END - PAGE_SIZE, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(edges); i++)
		MC_CHECK(mc_can(&t->ctx, edges[i], MMU_READ) == (i < 2));
	MC_CHECK(mmu_table_count(&t->ctx) == 7);
}

static void mc_protect(struct mc *t)
{
	for (unsigned i = 0; i < 4; i++)
		MC_CHECK(mmu_enter(&t->ctx, MC_VA + i * PAGE_SIZE, mc_pa(t, i), i == 3 ? MC_R : MC_RW) == 0);
	mc_change(t, MC_PROTECT, MC_VA + PAGE_SIZE, MC_VA + 2 * PAGE_SIZE, MC_R);
	MC_CHECK(mc_can(&t->ctx, MC_VA, MMU_WRITE) && !mc_can(&t->ctx, MC_VA + PAGE_SIZE, MMU_WRITE));
	MC_CHECK(mc_can(&t->ctx, MC_VA + PAGE_SIZE, MMU_READ) &&
		 mc_can(&t->ctx, MC_VA + 2 * PAGE_SIZE, MMU_WRITE));
	/* Write access is not granted to what lacks it; execution may be. */
	mc_change(t, MC_PROTECT, MC_VA, MC_VA + 4 * PAGE_SIZE, MC_RW | MMU_EXEC);
	MC_CHECK(mc_rights(t, MC_VA) == (MC_RW | MMU_EXEC) &&
		 mc_rights(t, MC_VA + PAGE_SIZE) == (MC_R | MMU_EXEC));
	MC_CHECK(!mc_can(&t->ctx, MC_VA + 3 * PAGE_SIZE, MMU_WRITE));
	/* No right to read: not there at all. */
	mc_change(t, MC_PROTECT, MC_VA, MC_VA + 2 * PAGE_SIZE, MMU_USER);
	MC_CHECK(mc_rights(t, MC_VA) == 0 && !mc_can(&t->ctx, MC_VA, MMU_READ));
	MC_CHECK(mc_can(&t->ctx, MC_VA + 2 * PAGE_SIZE, MMU_WRITE));
}

/* Pages on both sides of boundaries of every size, all writable. */
static const vaddr_t mc_spread[] = {MC_VA - PAGE_SIZE, MC_VA, MC_VA + PAGE_SIZE, MC_VA + MIB(2) - PAGE_SIZE,
    MC_VA + MIB(2), MC_VA + MIB(2) + PAGE_SIZE, MC_VA + GIB(1) - PAGE_SIZE, MC_VA + GIB(1),
    MC_VA + GIB(1) + MIB(4)};

static void mc_check_writable(struct mc *t, vaddr_t start, vaddr_t end, vaddr_t but)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mc_spread); i++) {
		vaddr_t va = mc_spread[i];
		bool want = va < start || va >= end || va == but;
		MC_CHECK(mc_can(&t->ctx, va, MMU_READ));
		MC_CHECK(mc_can(&t->ctx, va, MMU_WRITE) == want);
		MC_CHECK(mc_rights(t, va) == (want ? MC_RW : MC_R));
	}
}

/* Takes exactly write access from exactly the range, and one page gets it back alone. */
static void mc_write_protect_range(struct mc *t, vaddr_t start, vaddr_t end)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mc_spread); i++) {
		MC_CHECK(mmu_enter(&t->ctx, mc_spread[i], mc_pa(t, i), MC_RW) == 0);
		MC_CHECK(mc_can(&t->ctx, mc_spread[i], MMU_WRITE));
	}
	mc_change(t, MC_WRITE_PROTECT, start, end, 0);
	mc_check_writable(t, start, end, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(mc_spread); i++) {
		if (mc_spread[i] < start || mc_spread[i] >= end)
			continue;
		MC_CHECK(mmu_enter(&t->ctx, mc_spread[i], mc_pa(t, i), MC_RW) == 0);
		mc_check_writable(t, start, end, mc_spread[i]);
		mc_change(t, MC_WRITE_PROTECT, start, end, 0);
		/* Entering it without write access gives none. */
		MC_CHECK(mmu_enter(&t->ctx, mc_spread[i], mc_pa(t, i), MC_R) == 0);
		mc_check_writable(t, start, end, 0);
	}
	mmu_validate(&t->ctx);
}

static void mc_write_protect(struct mc *t)
{
	mc_write_protect_range(t, MC_VA, MC_VA + PAGE_SIZE);
	mc_write_protect_range(t, MC_VA, MC_VA + MIB(2));
	mc_write_protect_range(t, MC_VA, MC_VA + GIB(1));
	mc_write_protect_range(t, MC_VA - PAGE_SIZE, MC_VA + GIB(1) + PAGE_SIZE);
	mc_write_protect_range(t, MC_VA + PAGE_SIZE, MC_VA + MIB(2) + PAGE_SIZE);
	mc_write_protect_range(t, USER_START, USER_END);
}

/* Takes write access from at least the range; one page gets it back alone, and loses it again. */
static void mc_write_protect_wide(struct mc *t)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mc_spread); i++)
		MC_CHECK(mmu_enter(&t->ctx, mc_spread[i], mc_pa(t, i), MC_RW) == 0);
	for (unsigned i = 0; i < ARRAY_SIZE(mc_spread); i++) {
		mc_change(t, MC_WRITE_PROTECT_WIDE, mc_spread[i], mc_spread[i] + PAGE_SIZE, 0);
		MC_CHECK(
		    !mc_can(&t->ctx, mc_spread[i], MMU_WRITE) && mc_can(&t->ctx, mc_spread[i], MMU_READ));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(mc_spread); i++) {
		MC_CHECK(mmu_enter(&t->ctx, mc_spread[i], mc_pa(t, i), MC_RW) == 0);
		for (unsigned j = 0; j < ARRAY_SIZE(mc_spread); j++)
			MC_CHECK(mc_can(&t->ctx, mc_spread[j], MMU_WRITE) == (i == j));
		mc_change(t, MC_WRITE_PROTECT_WIDE, mc_spread[i], mc_spread[i] + PAGE_SIZE, 0);
	}
	mc_change(t, MC_WRITE_PROTECT_WIDE, USER_START, USER_END, 0);
	mmu_validate(&t->ctx);
}

static void mc_around(struct mc *t)
{
	struct page *pages[16];
	vaddr_t va = MC_VA + MIB(2) - 8 * PAGE_SIZE; /* eight pages on each side of the boundary */
	for (unsigned i = 0; i < 16; i++)
		pages[i] = i == 3 ? NULL : t->frames[i];
	mmu_enter_around(&t->ctx, va, pages, 16, MC_R);
	MC_CHECK(mmu_table_count(&t->ctx) == 1 && mc_rights(t, va) == 0); /* no table, nothing to fill */
	MC_CHECK(mmu_enter(&t->ctx, va + PAGE_SIZE, mc_pa(t, 40), MC_R) == 0);
	mmu_enter_around(&t->ctx, va, pages, 16, MC_R);
	MC_CHECK(mmu_table_count(&t->ctx) == 4);
	for (unsigned i = 0; i < 16; i++) {
		bool there = i < 8 && i != 3;
		MC_CHECK(mc_rights(t, va + i * PAGE_SIZE) == (there ? MC_R : 0u));
		MC_CHECK(!there || mc_translates(t, va + i * PAGE_SIZE, mc_pa(t, i == 1 ? 40 : i)));
	}
	/* Writing: what is the same frame is widened, what is not stays. */
	mc_change(t, MC_WRITE_PROTECT, MC_VA, MC_VA + GIB(1), 0);
	mmu_enter_around(&t->ctx, va, pages, 4, MC_RW);
	for (unsigned i = 0; i < 8; i++)
		MC_CHECK(mc_can(&t->ctx, va + i * PAGE_SIZE, MMU_WRITE) == (i == 0 || i == 2));
}

static void mc_run(struct mc *t)
{
	struct page *const *pages = t->frames;
	vaddr_t va = MC_VA + MIB(2) - 8 * PAGE_SIZE; /* eight pages before the boundary */
	MC_CHECK(mmu_enter_run(&t->ctx, va, pages, 8, MC_RW) == 0 && mmu_table_count(&t->ctx) == 1);
	MC_CHECK(mmu_enter(&t->ctx, va + 5 * PAGE_SIZE, mc_pa(t, 40), MC_R) == 0);
	MC_CHECK(mmu_enter_run(&t->ctx, va, pages, 0, MC_RW) == 0);
	MC_CHECK(mmu_enter_run(&t->ctx, va + 5 * PAGE_SIZE, pages, 3, MC_RW) == 0); /* something is there */
	MC_CHECK(mmu_enter_run(&t->ctx, va, pages, 8, MC_RW) == 5);                 /* up to there */
	MC_CHECK(
	    mmu_enter_run(&t->ctx, va + 6 * PAGE_SIZE, pages + 6, 10, MC_RW) == 2); /* up to the boundary */
	MC_CHECK(mmu_table_count(&t->ctx) == 4);
	for (unsigned i = 0; i < 16; i++) {
		MC_CHECK(mc_rights(t, va + i * PAGE_SIZE) == (i >= 8 ? 0u : i == 5 ? MC_R : MC_RW));
		MC_CHECK(i >= 8 || mc_translates(t, va + i * PAGE_SIZE, mc_pa(t, i == 5 ? 40 : i)));
	}
	/* Write access that was taken away above comes back for the run alone. */
	mc_change(t, MC_UNMAP, va, va + 4 * PAGE_SIZE, 0);
	mc_change(t, MC_WRITE_PROTECT, MC_VA, MC_VA + GIB(1), 0);
	MC_CHECK(mmu_enter_run(&t->ctx, va, pages, 8, MC_RW) == 4);
	for (unsigned i = 0; i < 8; i++)
		MC_CHECK(mc_can(&t->ctx, va + i * PAGE_SIZE, MMU_WRITE) == (i < 4));
}

static void mc_harvest(struct mc *t)
{
	struct mmu_translation q;
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_RW) == 0);
	MC_CHECK(!mmu_harvest_accessed(&t->ctx, MC_VA + PAGE_SIZE));
	MC_CHECK(mc_can(&t->ctx, MC_VA, MMU_READ));
	MC_CHECK(mmu_query(&t->ctx, MC_VA, &q) && q.accessed);
	MC_CHECK(mmu_harvest_accessed(&t->ctx, MC_VA));
	MC_CHECK(!mmu_harvest_accessed(&t->ctx, MC_VA));
	MC_CHECK(mc_can(&t->ctx, MC_VA, MMU_WRITE));
	MC_CHECK(mmu_query(&t->ctx, MC_VA, &q) && q.dirty);
}

/* Accessed pages of n from va on. */
static uint64_t mc_accessed(struct mc *t, vaddr_t va, unsigned n, unsigned but, bool clear)
{
	return mmu_count_accessed(&t->ctx, va, va + n * PAGE_SIZE, mc_pa(t, but), clear);
}

static void mc_count_accessed(struct mc *t)
{
	enum { ABSENT = 9, STRETCH = 4096 };
	vaddr_t va = MC_VA + MIB(2) - 2 * PAGE_SIZE; /* two pages before the boundary */
	for (unsigned i = 0; i < 4; i++)
		MC_CHECK(mmu_enter(&t->ctx, va + i * PAGE_SIZE, mc_pa(t, i), MC_RW) == 0);
	MC_CHECK(mmu_enter(&t->ctx, va + (STRETCH - 1) * PAGE_SIZE, mc_pa(t, 4), MC_R) == 0);
	MC_CHECK(mc_accessed(t, va, STRETCH, ABSENT, false) == 0);
	MC_CHECK(mc_can(&t->ctx, va, MMU_READ) && mc_can(&t->ctx, va + 2 * PAGE_SIZE, MMU_WRITE));
	MC_CHECK(mc_can(&t->ctx, va + (STRETCH - 1) * PAGE_SIZE, MMU_READ));
	MC_CHECK(
	    mc_accessed(t, va, STRETCH, ABSENT, false) == 3 && mc_accessed(t, va, STRETCH, 2, false) == 2);
	MC_CHECK(mc_accessed(t, va + PAGE_SIZE, STRETCH - 2, ABSENT, false) == 1);
	MC_CHECK(mc_accessed(t, va, 2, ABSENT, true) == 1 && mc_accessed(t, va, STRETCH, ABSENT, false) == 2);
	MC_CHECK(
	    mc_accessed(t, va, STRETCH, ABSENT, true) == 2 && mc_accessed(t, va, STRETCH, ABSENT, true) == 0);
}

/* Without memory for a table nothing changes. (Only where failures can be injected.) */
static void mc_no_memory(struct mc *t)
{
	for (unsigned n = 1; n < 20; n++) {
		inject_arm(n);
		err_t err = mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_R);
		bool fired = inject_fired();
		inject_arm(0);
		MC_CHECK(err == (fired ? -ENOMEM : 0));
		if (!fired)
			break;
		MC_CHECK(mmu_table_count(&t->ctx) == 1 && mc_rights(t, MC_VA) == 0);
	}
	MC_CHECK(mc_translates(t, MC_VA, mc_pa(t, 0)));
}

/* Rights of the first and the last page of a large translation. */
static bool mc_large_has(struct mc *t, vaddr_t va, unsigned rights)
{
	struct mmu_translation q;
	return mc_rights(t, va) == rights && mc_rights(t, va + MMU_LARGE_SIZE - PAGE_SIZE) == rights &&
	       mmu_query(&t->ctx, va, &q) && q.size == MMU_LARGE_SIZE;
}

/* What becomes of one at `va` that is changed in part. */
static void mc_large_cut(struct mc *t, vaddr_t va, paddr_t pa, enum mc_change what, unsigned flags)
{
	struct mmu_large_stats before, after;
	MC_CHECK(mmu_enter_large(&t->ctx, va, pa, MC_RW) == 0);
	MC_CHECK(mc_can(&t->ctx, va, MMU_WRITE));
	mmu_large_stats(&before);
	mc_change(t, what, va + 5 * PAGE_SIZE, va + 6 * PAGE_SIZE, flags);
	mmu_large_stats(&after);
	MC_CHECK(after.now == before.now - 1 && after.cut == before.cut + 1);
	MC_CHECK(!mc_can(&t->ctx, va, MMU_READ) && mmu_table_count(&t->ctx) == 1);
}

static void mc_large_in(struct mc *t, struct page *block)
{
	paddr_t pa = page_to_phys(block);
	vaddr_t va = MC_VA + MMU_LARGE_SIZE, last = va + MMU_LARGE_SIZE - PAGE_SIZE;
	MC_CHECK(mmu_enter_large(&t->ctx, va, pa, MC_R) == 0);
	MC_CHECK(mmu_table_count(&t->ctx) == 3 && mc_large_has(t, va, MC_R));
	MC_CHECK(mc_translates(t, last + 7, pa + MMU_LARGE_SIZE - PAGE_SIZE + 7));
	MC_CHECK(mc_can(&t->ctx, last, MMU_READ) && !mc_can(&t->ctx, last, MMU_WRITE));
	/* One of its pages: nothing to do, or in the way. */
	MC_CHECK(mmu_enter(&t->ctx, last, pa + MMU_LARGE_SIZE - PAGE_SIZE, MC_R) == 0);
	MC_CHECK(mmu_enter(&t->ctx, last, pa + MMU_LARGE_SIZE - PAGE_SIZE, MC_RW) == -EEXIST);
	MC_CHECK(mmu_enter(&t->ctx, va, mc_pa(t, 0), MC_R) == -EEXIST);
	MC_CHECK(mmu_enter_run(&t->ctx, va, t->frames, 4, MC_R) == 0);
	mmu_enter_around(&t->ctx, va, t->frames, 4, MC_RW);
	MC_CHECK(mc_large_has(t, va, MC_R));
	/* Wider in place, narrower as a whole, wider again after it was narrowed from above. */
	MC_CHECK(mmu_enter_large(&t->ctx, va, pa, MC_RW) == 0 && mc_can(&t->ctx, last, MMU_WRITE));
	mc_change(t, MC_PROTECT, va, va + MMU_LARGE_SIZE, MC_R);
	MC_CHECK(mc_large_has(t, va, MC_R) && !mc_can(&t->ctx, va, MMU_WRITE));
	MC_CHECK(mmu_enter_large(&t->ctx, va, pa, MC_RW) == 0);
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_RW) == 0);
	mc_change(t, MC_WRITE_PROTECT_WIDE, va, va + MMU_LARGE_SIZE, 0);
	MC_CHECK(mc_large_has(t, va, MC_R) && !mc_can(&t->ctx, MC_VA, MMU_WRITE));
	MC_CHECK(mmu_enter_large(&t->ctx, va, pa, MC_RW) == 0 && mc_can(&t->ctx, va, MMU_WRITE));
	MC_CHECK(!mc_can(&t->ctx, MC_VA, MMU_WRITE));
	MC_CHECK(mmu_enter(&t->ctx, MC_VA, mc_pa(t, 0), MC_RW) == 0 && mc_can(&t->ctx, MC_VA, MMU_WRITE));
	MC_CHECK(mc_large_has(t, va, MC_RW));
	mc_change(t, MC_WRITE_PROTECT, va, va + MMU_LARGE_SIZE, 0);
	MC_CHECK(mc_large_has(t, va, MC_R) && mc_can(&t->ctx, MC_VA, MMU_WRITE));
	MC_CHECK(mc_accessed(t, va, MMU_LARGE_PAGES, 0, false) == MMU_LARGE_PAGES);
	MC_CHECK(mc_accessed(t, last - 2 * PAGE_SIZE, 3, 0, false) == 3);
	MC_CHECK(mmu_harvest_accessed(&t->ctx, last) && !mmu_harvest_accessed(&t->ctx, va));
	MC_CHECK(mc_accessed(t, va, MMU_LARGE_PAGES, 0, false) == 0);
	/* A table in the way. */
	MC_CHECK(mmu_enter_large(&t->ctx, MC_VA, pa, MC_R) == -EEXIST);
	mc_change(t, MC_UNMAP, MC_VA, va + MMU_LARGE_SIZE, 0);
	MC_CHECK(mmu_table_count(&t->ctx) == 1 && !mc_can(&t->ctx, last, MMU_READ));
	mc_large_cut(t, va, pa, MC_UNMAP, 0);
	mc_large_cut(t, va, pa, MC_PROTECT, MC_R);
	mc_large_cut(t, va, pa, MC_WRITE_PROTECT, 0);
	MC_CHECK(mmu_enter_large(&t->ctx, va, pa, MC_RW) == 0); /* the context ends with it */
}

static void mc_large(struct mc *t)
{
	struct mmu_large_stats before, after;
	struct page *block = frame_alloc_contiguous(PAGE_KERNEL, MMU_LARGE_PAGES, MMU_LARGE_SIZE, 0, 0);
	MC_CHECK(block);
	if (!block)
		return;
	mmu_large_stats(&before);
	mc_large_in(t, block);
	mc_change(t, MC_UNMAP, USER_START, USER_END, 0);
	mmu_large_stats(&after);
	MC_CHECK(before.now == after.now);
	frame_free_range(block, MMU_LARGE_PAGES);
}

/* The path to a large translation is made in whole or not at all. */
static void mc_large_no_memory(struct mc *t)
{
	for (unsigned n = 1;; n++) {
		inject_arm(n);
		err_t err = mmu_enter_large(&t->ctx, MC_VA, 0, MC_R);
		bool fired = inject_fired();
		inject_arm(0);
		MC_CHECK(err == (fired ? -ENOMEM : 0));
		if (!fired)
			break;
		MC_CHECK(mmu_table_count(&t->ctx) == 1 && mc_rights(t, MC_VA) == 0);
	}
	MC_CHECK(mc_large_has(t, MC_VA, MC_R));
}

static const struct mc_case {
	const char *name;
	void (*fn)(struct mc *t);
} mc_cases[] = {
    {"empty", mc_empty},
    {"enter", mc_enter},
    {"edges", mc_edges},
    {"protect", mc_protect},
    {"write protect", mc_write_protect},
    {"write protect wide", mc_write_protect_wide},
    {"enter around", mc_around},
    {"harvest", mc_harvest},
    {"no memory", mc_no_memory},
    {"enter run", mc_run},
    {"large", mc_large},
    {"large, no memory", mc_large_no_memory},
    {"count accessed", mc_count_accessed},
};
