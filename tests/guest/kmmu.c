/*
 * kmmu.c - arch/mmu.h on real page tables: the conformance checks that the mock passes too, and what only
 * hardware has.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/usercopy.h"
#include "arch/x86_64/tlb.h"
#include "arch/x86_64/trap_expect.h"
#include "kern/thread.h"
#include "ktest.h"
#include "machine/cpu.h"
#include "machine/smp.h"
#include "mm/kva.h"

#define MC_CHECK(cond) KT_CHECK(cond)
#include "mmu_conformance.h"

/* Run this thread on ctx; NULL: on none of its own again. */
static void use_context(struct mmu_context *ctx)
{
	uint64_t state = irq_save();
	current_thread()->mmu = ctx;
	mmu_switch(ctx);
	irq_restore(state);
}

/* The thread has no space, so a fault is final. A read leaves the byte as it is, a write writes it back. */
static bool access_once(vaddr_t va, unsigned rights)
{
	uint8_t byte;
	if (copy_from_user_partial(&byte, va, 1))
		return false;
	return !(rights & MMU_WRITE) || !copy_to_user_partial(va, &byte, 1);
}

static bool mc_can(struct mmu_context *ctx, vaddr_t va, unsigned rights)
{
	use_context(ctx);
	bool can = access_once(va, rights) || access_once(va, rights);
	use_context(NULL);
	return can;
}

static void run_case(unsigned i)
{
	static struct mc t;
	KT_REQUIRE(mc_begin(&t));
	mc_cases[i].fn(&t);
	mc_end(&t);
}

KTEST(kmmu_empty)
{
	run_case(0);
}
KTEST(kmmu_enter)
{
	run_case(1);
}
KTEST(kmmu_edges)
{
	run_case(2);
}
KTEST(kmmu_protect)
{
	run_case(3);
}
KTEST(kmmu_write_protect)
{
	run_case(4);
}
KTEST(kmmu_write_protect_wide)
{
	run_case(5);
}
KTEST(kmmu_enter_around)
{
	run_case(6);
}
KTEST(kmmu_harvest)
{
	run_case(7);
}
KTEST(kmmu_no_memory)
{
	run_case(8);
}
KTEST(kmmu_enter_run)
{
	run_case(9);
}
KTEST(kmmu_large)
{
	run_case(10);
}
KTEST(kmmu_large_no_memory)
{
	run_case(11);
}
KTEST(kmmu_count_accessed)
{
	run_case(12);
}
_Static_assert(ARRAY_SIZE(mc_cases) == 13, "a test for each case");

/* What is written through a translation arrives in its frame; so the tables are the ones in use, not just
 * consistent. */
KTEST(kmmu_data)
{
	static struct mc t;
	KT_REQUIRE(mc_begin(&t));
	for (unsigned i = 0; i < MC_FRAMES; i++) {
		uint64_t word = 0x9e3779b97f4a7c15 * (i + 1);
		vaddr_t va = MC_VA + (uint64_t)i * (MIB(2) + PAGE_SIZE);
		KT_CHECK_EQ(mmu_enter(&t.ctx, va, mc_pa(&t, i), MC_RW), 0);
		use_context(&t.ctx);
		KT_CHECK_EQ(copy_to_user(va + 8 * i, &word, 8), 0);
		use_context(NULL);
		KT_CHECK_EQ(*(uint64_t *)((char *)page_to_virt(t.frames[i]) + 8 * i), word);
	}
	mc_end(&t);
}

/* Unmapping nearly everything costs by what is there, not by how much address space it is. */
KTEST(kmmu_unmap_sparse)
{
	static struct mc t;
	struct mmu_gather g;
	KT_REQUIRE(mc_begin(&t));
	KT_CHECK_EQ(mmu_enter(&t.ctx, USER_START, mc_pa(&t, 0), MC_RW), 0);
	KT_CHECK_EQ(mmu_enter(&t.ctx, USER_END - PAGE_SIZE, mc_pa(&t, 1), MC_RW), 0);
	mmu_gather_begin(&g, &t.ctx);
	nsec_t start = clock_now();
	mmu_unmap(&t.ctx, USER_START, USER_END, &g);
	nsec_t took = clock_now() - start;
	mmu_gather_flush(&g);
	KT_CHECK_EQ(mmu_table_count(&t.ctx), 1);
	KT_CHECK(took < 1000000000); /* a look at each of 2^35 pages takes minutes */
	mc_end(&t);
}

/* Device maps: large pages where they fit, the cache type that was asked for, all of it gone afterwards. */
KTEST(kmmu_kernel_range)
{
	static const enum mmu_cache types[] = {MMU_WB, MMU_WT, MMU_UC_MINUS, MMU_UC, MMU_WC};
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		struct mmu_translation q;
		paddr_t pa = 0xa0000; /* the VGA window: never RAM, harmless to read */
		char *v = kva_map_phys(pa, KIB(128), types[i], false);
		KT_REQUIRE(v);
		KT_CHECK(mmu_query(&kernel_mmu, (vaddr_t)v + 0x1fff, &q));
		KT_CHECK_EQ(q.paddr, pa + 0x1fff);
		KT_CHECK_EQ(q.flags >> MMU_CACHE_SHIFT & 7, types[i]);
		KT_CHECK_EQ(q.flags & (MMU_READ | MMU_WRITE | MMU_EXEC | MMU_USER), MMU_READ);
		kva_unmap_phys(v);
		KT_CHECK(!mmu_query(&kernel_mmu, (vaddr_t)v, &q));
	}
	mmu_validate(&kernel_mmu);
}

static void read_byte(void *at)
{
	(void)*(volatile char *)at;
}
static void write_byte(void *at)
{
	*(volatile char *)at = 1;
}

/* A translation of the kernel half that was removed or never writable is enforced, on this CPU and at once.
 */
KTEST(kmmu_kernel_rights)
{
	struct trap_info info;
	char *v = kva_map_phys(0xa0000, KIB(4), MMU_UC, false);
	KT_REQUIRE(v);
	KT_CHECK(!trap_expect(read_byte, v, &info));
	KT_CHECK(trap_expect(write_byte, v, &info));
	KT_CHECK_EQ(info.vector, VECTOR_PAGE_FAULT);
	KT_CHECK_EQ(info.error, PF_PRESENT | PF_WRITE);
	KT_CHECK_EQ(info.addr, (vaddr_t)v);
	kva_unmap_phys(v);
	KT_CHECK(trap_expect(read_byte, v, &info));
	KT_CHECK_EQ(info.error, 0);
}

/* mmu_enter_range is all or nothing, and refuses what is taken. The addresses are those of a map that was
 * just given back. */
KTEST(kmmu_enter_range)
{
	struct mmu_translation q;
	struct mmu_gather g;
	static struct mc t;
	KT_REQUIRE(mc_begin(&t));
	vaddr_t va = MC_VA - PAGE_SIZE; /* one page, one of 2 MiB or larger, one page */
	uint64_t len = GIB(1) + 2 * PAGE_SIZE;
	KT_CHECK_EQ(mmu_enter_range(&t.ctx, va, GIB(4) - PAGE_SIZE, len, MC_R), 0);
	KT_CHECK(mmu_query(&t.ctx, va, &q) && q.size == PAGE_SIZE && q.paddr == GIB(4) - PAGE_SIZE);
	KT_CHECK(mmu_query(&t.ctx, MC_VA + 12345, &q) && q.paddr == GIB(4) + 12345);
	KT_CHECK_EQ(q.size, cpu_features.gib_pages ? GIB(1) : MIB(2));
	KT_CHECK(mmu_query(&t.ctx, MC_VA + GIB(1), &q) && q.size == PAGE_SIZE && q.paddr == GIB(5));
	uint64_t tables = mmu_table_count(&t.ctx);
	KT_CHECK_EQ(mmu_enter_range(&t.ctx, va - 4 * PAGE_SIZE, 0, 5 * PAGE_SIZE, MC_R), -EEXIST);
	KT_CHECK(!mmu_query(&t.ctx, va - PAGE_SIZE, &q));
	KT_CHECK_EQ(mmu_table_count(&t.ctx), tables);
	/* A large page is entered again only as what it is. */
	KT_CHECK_EQ(mmu_enter(&t.ctx, MC_VA + PAGE_SIZE, GIB(4) + PAGE_SIZE, MC_R), 0);
	KT_CHECK_EQ(mmu_enter(&t.ctx, MC_VA + PAGE_SIZE, GIB(4) + PAGE_SIZE, MC_RW), -EEXIST);
	/* Cut: the whole large page goes. */
	mmu_gather_begin(&g, &t.ctx);
	mmu_unmap(&t.ctx, MC_VA + MIB(2), MC_VA + MIB(2) + PAGE_SIZE, &g);
	mmu_gather_flush(&g);
	KT_CHECK(!mmu_query(&t.ctx, MC_VA + MIB(2), &q));
	KT_CHECK(mmu_query(&t.ctx, va, &q));
	for (unsigned n = 1; n < 10; n++) {
		inject_arm(n);
		err_t err = mmu_enter_range(&t.ctx, GIB(300) + MIB(1), 0, MIB(4), MC_R);
		bool fired = inject_fired();
		inject_arm(0);
		KT_CHECK_EQ(err, fired ? -ENOMEM : 0);
		KT_CHECK(mmu_query(&t.ctx, GIB(300) + MIB(1), &q) == !fired);
		if (!fired)
			break;
	}
	mc_end(&t);
}

/* The kernel half: nothing writable and executable, counts right, and the same in every context. */
KTEST(kmmu_kernel_half)
{
	static struct mc t;
	KT_REQUIRE(mc_begin(&t));
	mmu_validate(&kernel_mmu);
	for (unsigned i = PT_ENTRIES / 2; i < PT_ENTRIES; i++)
		KT_CHECK_EQ(load_relaxed(&t.ctx.tables.root[i]) & ~PTE_A,
		    load_relaxed(&kernel_mmu.tables.root[i]) & ~PTE_A);
	mc_end(&t);
}

/* The PAT of every CPU is what the page tables assume. */
static void check_pat(UNUSED void *arg, UNUSED unsigned i)
{
	static const uint8_t want[8] = {
	    6, 4, 7, 0, 6, 4, 7, 1}; /* WB WT UC- UC WB WT UC- WC: SDM volume 3, table 12-10 */
	uint64_t pat = rdmsr(0x277);
	for (unsigned n = 0; n < 8; n++)
		KT_CHECK_EQ(pat >> (8 * n) & 0xff, want[n]);
}

KTEST(kmmu_pat)
{
	if (!cpu_features.pat) {
		kt_skip("the CPU has no PAT");
		return;
	}
	KT_CHECK(kt_run_threads(cpus_count(), check_pat, NULL));
}

/* Each byte of a fixed-range MTRR is the type of its own part of memory, the lowest byte that of the lowest.
 */
static void check_mtrr(UNUSED void *arg, UNUSED unsigned i)
{
	static const struct {
		uint32_t msr;
		paddr_t base;
		uint64_t step;
	} fixed[] = {{0x250, 0, KIB(64)}, {0x258, 0x80000, KIB(16)}, {0x259, 0xa0000, KIB(16)},
	    {0x268, 0xc0000, KIB(4)}, {0x26f, 0xf8000, KIB(4)}};
	if (mtrr_fixed_type(0) == UINT8_MAX) {
		kt_skip("no fixed-range MTRRs, or not enabled");
		return;
	}
	for (unsigned f = 0; f < ARRAY_SIZE(fixed); f++) {
		uint64_t v = rdmsr(fixed[f].msr);
		for (unsigned b = 0; b < 8; b++) {
			KT_CHECK_EQ(mtrr_fixed_type(fixed[f].base + b * fixed[f].step), v >> (8 * b) & 0xff);
			KT_CHECK_EQ(mtrr_fixed_type(fixed[f].base + (b + 1) * fixed[f].step - 1),
			    v >> (8 * b) & 0xff);
		}
	}
	KT_CHECK_EQ(mtrr_fixed_type(0), 6);      /* memory is write-back */
	KT_CHECK(mtrr_fixed_type(0xa0000) != 6); /* the VGA window is not */
}

/* On the boot CPU: the emulator's firmware sets up that one only. */
KTEST(kmmu_mtrr)
{
	KT_CHECK(kt_run_threads(1, check_mtrr, NULL));
}
