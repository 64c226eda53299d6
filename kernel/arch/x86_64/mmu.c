/*
 * mmu.c - arch/mmu.h for x86-64: locks and rules around mmu_tables.c, which has the theory.
 *
 * A context owns the lower half of its root; the upper half is a copy of the kernel's, made once: all slots
 * that the kernel uses were filled at boot (early_mmu.c), so no context ever has to be brought up to date.
 * kernel_mmu is the boot root itself, and stands for the upper half of all.
 */
#include "arch/mmu.h"
#include "arch/x86_64/tlb.h"
#include "kern/thread.h"
#include "lib/assert.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/ports.h"
#include "machine/smp.h"

struct mmu_context kernel_mmu = {.lock = SPINLOCK_INIT("kernel_mmu", RANK_MMU)};

void mmu_boot_init(void)
{
	kernel_mmu.root = boot_root;
	kernel_mmu.tables.root = phys_to_virt(boot_root);
	pt_max_leaf_level = cpu_features.gib_pages ? 2 : 1;
	pt_nx = cpu_features.nx ? PTE_NX : 0;
}

/* May [start, end) hold translations of ctx? */
static inline bool range_is_valid(const struct mmu_context *ctx, vaddr_t start, vaddr_t end)
{
	if (!IS_ALIGNED(start | end, PAGE_SIZE) || start > end)
		return false;
	return ctx == &kernel_mmu ? start >= DIRECT_MAP_BASE : end <= USER_END;
}

/* Rights that a translation of ctx may have: no page of the kernel is both writable and executable, or
 * accessible to users; no page of a user is global. */
static inline bool flags_are_valid(const struct mmu_context *ctx, unsigned flags)
{
	if (!(flags & MMU_READ))
		return false;
	if (ctx == &kernel_mmu)
		return !(flags & (MMU_USER | MMU_MARKS)) &&
		       (flags & (MMU_WRITE | MMU_EXEC)) != (MMU_WRITE | MMU_EXEC);
	return !(flags & MMU_GLOBAL) && (flags & MMU_MARKS) != MMU_MARKS;
}

err_t mmu_init(struct mmu_context *ctx)
{
	spin_init(&ctx->lock, "mmu", RANK_MMU);
	store_relaxed(&ctx->cpus, 0);
	store_relaxed(&ctx->ports, NULL);
	err_t err = tables_init(&ctx->tables, kernel_mmu.tables.root);
	if (!err)
		ctx->root = virt_to_phys((const void *)ctx->tables.root);
	return err;
}

void mmu_destroy(struct mmu_context *ctx)
{
	ASSERT(ctx != &kernel_mmu);
	DEBUG_ASSERT(current_thread()->mmu != ctx);
	tlb_leave_everywhere(ctx);
	tables_fini(&ctx->tables);
	ports_destroy(ctx);
}

paddr_t mmu_phys_end(void)
{
	return 1ULL << cpu_features.physical_bits;
}

err_t mmu_enter(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, unsigned flags)
{
	DEBUG_ASSERT(range_is_valid(ctx, va, va + PAGE_SIZE) && flags_are_valid(ctx, flags));
	spin_lock(&ctx->lock);
	err_t err = tables_enter(&ctx->tables, va, paddr, flags);
	spin_unlock(&ctx->lock);
	return err;
}

err_t mmu_enter_large(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, unsigned flags)
{
	ASSERT(ctx != &kernel_mmu && range_is_valid(ctx, va, va + MMU_LARGE_SIZE) &&
	       flags_are_valid(ctx, flags) && IS_ALIGNED(va | paddr, MMU_LARGE_SIZE));
	spin_lock(&ctx->lock);
	err_t err = tables_enter_large(&ctx->tables, va, paddr, flags);
	spin_unlock(&ctx->lock);
	return err;
}

void mmu_enter_around(
    struct mmu_context *ctx, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags)
{
	DEBUG_ASSERT(range_is_valid(ctx, va, va + (uint64_t)n * PAGE_SIZE) && flags_are_valid(ctx, flags));
	spin_lock(&ctx->lock);
	tables_enter_around(&ctx->tables, va, pages, n, flags);
	spin_unlock(&ctx->lock);
}

unsigned mmu_enter_run(
    struct mmu_context *ctx, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags)
{
	DEBUG_ASSERT(range_is_valid(ctx, va, va + (uint64_t)n * PAGE_SIZE) && flags_are_valid(ctx, flags));
	spin_lock(&ctx->lock);
	n = tables_enter_run(&ctx->tables, va, pages, n, flags);
	spin_unlock(&ctx->lock);
	return n;
}

err_t mmu_enter_range(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, uint64_t len, unsigned flags)
{
	struct mmu_gather g;
	uint64_t done = 0, size;
	ASSERT(
	    range_is_valid(ctx, va, va + len) && flags_are_valid(ctx, flags) && IS_ALIGNED(paddr, PAGE_SIZE));
	mmu_gather_begin(&g, ctx);
	spin_lock(&ctx->lock);
	err_t err = tables_any_present(&ctx->tables, va, va + len) ? -EEXIST : 0;
	while (!err && done < len) {
		err = tables_enter_block(&ctx->tables, va + done, paddr + done, len - done, flags, &size);
		if (!err)
			done += size;
	}
	if (err)
		tables_unmap(&ctx->tables, va, va + done, &g);
	spin_unlock(&ctx->lock);
	mmu_gather_flush(&g);
	return err;
}

void mmu_unmap(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && range_is_valid(ctx, start, end));
	spin_lock(&ctx->lock);
	tables_unmap(&ctx->tables, start, end, g);
	spin_unlock(&ctx->lock);
}

void mmu_protect(struct mmu_context *ctx, vaddr_t start, vaddr_t end, unsigned flags, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && range_is_valid(ctx, start, end));
	ASSERT(!(flags & MMU_READ) || flags_are_valid(ctx, flags));
	spin_lock(&ctx->lock);
	tables_protect(&ctx->tables, start, end, flags, g);
	spin_unlock(&ctx->lock);
}

void mmu_write_protect(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && range_is_valid(ctx, start, end));
	spin_lock(&ctx->lock);
	tables_write_protect(&ctx->tables, start, end, g);
	spin_unlock(&ctx->lock);
}

void mmu_write_protect_wide(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && ctx != &kernel_mmu && range_is_valid(ctx, start, end));
	spin_lock(&ctx->lock);
	tables_write_protect_wide(&ctx->tables, start, end, g);
	spin_unlock(&ctx->lock);
}

bool mmu_query(struct mmu_context *ctx, vaddr_t va, struct mmu_translation *out)
{
	spin_lock(&ctx->lock);
	bool present = tables_query(&ctx->tables, va, out);
	spin_unlock(&ctx->lock);
	return present;
}

void mmu_clean_cache(const void *at, size_t len)
{
	const char *end = (const char *)at + len;
	for (const char *line = at; line < end; line += CACHE_LINE)
		__asm__ volatile("clflush (%0)" ::"r"(line) : "memory");
	__asm__ volatile("mfence" ::: "memory");
}

bool mmu_harvest_accessed(struct mmu_context *ctx, vaddr_t va)
{
	spin_lock(&ctx->lock);
	bool accessed = tables_harvest(&ctx->tables, va);
	spin_unlock(&ctx->lock);
	return accessed;
}

uint64_t mmu_count_accessed(struct mmu_context *ctx, vaddr_t start, vaddr_t end, paddr_t but, bool clear)
{
	uint64_t n = 0;
	for (vaddr_t va = start; va < end;) {
		spin_lock(&ctx->lock);
		n += tables_count_accessed(&ctx->tables, &va, end, but, clear);
		spin_unlock(&ctx->lock);
	}
	return n;
}

void mmu_large_stats(struct mmu_large_stats *out)
{
	tables_large_stats(out);
}

struct mmu_marked mmu_marked(const struct mmu_context *ctx)
{
	return (struct mmu_marked){load_relaxed(&ctx->tables.file), load_relaxed(&ctx->tables.shmem)};
}

uint64_t mmu_marked_among(struct mmu_context *ctx, vaddr_t va, unsigned n)
{
	ASSERT(n <= 64);
	spin_lock(&ctx->lock);
	uint64_t set = tables_marked_among(&ctx->tables, va, n);
	spin_unlock(&ctx->lock);
	return set;
}

uint64_t mmu_table_count(const struct mmu_context *ctx)
{
	return load_relaxed(&ctx->tables.count);
}

/* Root slots of the half that ctx stands for. */
static unsigned first_slot(const struct mmu_context *ctx)
{
	return ctx == &kernel_mmu ? PT_ENTRIES / 2 : 0;
}

void mmu_validate(struct mmu_context *ctx)
{
	spin_lock(&ctx->lock);
	tables_validate(&ctx->tables, first_slot(ctx), first_slot(ctx) + PT_ENTRIES / 2);
	spin_unlock(&ctx->lock);
}

void mmu_dump(struct mmu_context *ctx)
{
	spin_lock(&ctx->lock);
	tables_dump(&ctx->tables, first_slot(ctx), first_slot(ctx) + PT_ENTRIES / 2);
	spin_unlock(&ctx->lock);
}

err_t mmu_identity_enter(paddr_t pa)
{
	spin_lock(&kernel_mmu.lock);
	err_t err = tables_enter(&kernel_mmu.tables, pa, pa, MMU_READ | MMU_EXEC);
	spin_unlock(&kernel_mmu.lock);
	return err;
}

void mmu_identity_leave(paddr_t pa)
{
	struct mmu_gather g;
	mmu_gather_begin(&g, &kernel_mmu);
	spin_lock(&kernel_mmu.lock);
	tables_unmap(&kernel_mmu.tables, pa, pa + PAGE_SIZE, &g);
	spin_unlock(&kernel_mmu.lock);
	mmu_gather_flush(&g);
}
