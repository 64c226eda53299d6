#pragma once
/*
 * mmu.h - the contract between vm/ and a processor's translation hardware.
 *
 * An MMU context is a cache of what a space's regions and objects say. Anything in it may be dropped at any
 * time: the next access faults and vm/ fills it in again. So these functions never have to fail half way, and
 * policy never enters arch/.
 *
 * Locking: each function takes the context's own lock (rank RANK_MMU) inside; callers may hold spinlocks of
 * lower rank. None sleeps. Interrupts must be enabled on entry of mmu_gather_flush (CPUs that shoot at one
 * another answer while they wait).
 *
 * Ordering rule (break before make): a present translation is never changed to another frame, nor narrowed,
 * without the old one being flushed from every CPU first: mmu_unmap or mmu_protect, then mmu_gather_flush,
 * then (if wanted) mmu_enter. Rights may be widened in place, which costs at worst a spurious fault
 * elsewhere; the fault path answers those by entering the same translation again.
 *
 * Others' changes: when mmu_unmap, mmu_protect, mmu_write_protect or its wide kind finds that there is
 * nothing to change, another thread may have changed it and not have flushed yet. These functions note the
 * whole range in that case (while any other gather of the context waits), so that after the caller's own
 * mmu_gather_flush no CPU holds what the caller asked to be gone, whoever removed it.
 */
#include "lib/err.h"
#include "machine/mmu.h" /* struct mmu_context; USER_START, USER_END; phys_to_virt, virt_to_phys */

struct page;

enum mmu_flags {
	MMU_READ = 1 << 0,
	MMU_WRITE = 1 << 1,
	MMU_EXEC = 1 << 2,
	MMU_USER = 1 << 3,
	MMU_GLOBAL = 1 << 4,
	/* Marks, in the user half: whose page the frame is. Nothing but a count of them depends on it. */
	MMU_OF_FILE = 1 << 5,
	MMU_OF_SHMEM = 1 << 6, /* memory that several processes may see */
	MMU_MARKS = MMU_OF_FILE | MMU_OF_SHMEM,
	MMU_CACHE_SHIFT = 8, /* bits 8-10: enum mmu_cache */
};

enum mmu_cache { MMU_WB = 0, MMU_WT = 1, MMU_UC_MINUS = 2, MMU_UC = 3, MMU_WC = 4 };

/* A large translation spans as much as one table of 4 KiB translations. */
enum { MMU_LARGE_PAGES = 512 };
#define MMU_LARGE_SIZE ((uint64_t)MMU_LARGE_PAGES * PAGE_SIZE)

struct mmu_translation {
	paddr_t paddr;        /* of the byte asked for */
	unsigned flags;       /* effective MMU_* rights: the AND over all levels */
	uint64_t size;        /* bytes that the entry spans: 4 KiB, 2 MiB, 1 GiB */
	bool accessed, dirty; /* as the hardware left them */
};

/* Table frames and address ranges that wait for a flush. Lives on the stack; used by one thread; see
 * mmu_gather_begin. */
struct mmu_gather {
	struct mmu_context *ctx;
	vaddr_t start, end;  /* union of the ranges changed; start >= end: nothing to flush */
	struct page *tables; /* table frames to free after the flush, linked through page->link_next */
};

/* The kernel's own half, shared by all contexts; used by kva and device maps. */
extern struct mmu_context kernel_mmu;

/* An empty context: the kernel half is there, the user half is empty. -ENOMEM. */
MUST_CHECK err_t mmu_init(struct mmu_context *ctx);
/* Drop every user translation, free all tables. No thread may run on it any more; CPUs that still have it
 * loaded lazily are told to leave it first. The struct itself is the caller's. */
void mmu_destroy(struct mmu_context *ctx);
/* Make ctx current on this CPU; NULL keeps whatever is loaded (kernel threads borrow). Called with interrupts
 * disabled. */
void mmu_switch(struct mmu_context *ctx);

/* Enter one translation va -> paddr (page aligned) with MMU_* flags. An existing translation of the same
 * frame is widened (its mark is the same), never narrowed (no flush: see the ordering rule). Restores write
 * access that mmu_write_protect took away higher up, without giving it to anything else. -EEXIST: another
 * frame is translated there, or a large translation that does not grant as much (nothing changed: unmap and
 * flush first); -ENOMEM: a table could not be had (nothing changed). */
MUST_CHECK err_t mmu_enter(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, unsigned flags);
/* The same for one large translation in the user half: va and paddr are aligned to MMU_LARGE_SIZE. -EEXIST: a
 * table or something else is there (nothing changed: unmap and flush first). */
MUST_CHECK err_t mmu_enter_large(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, unsigned flags);
/* Enter up to 64 pages: pages[i] at va + i * PAGE_SIZE, NULL entries skipped, translations already present
 * left alone unless MMU_WRITE is in flags and the same frame is there (then widened). Best effort, no table
 * is allocated: stops where a table is missing. The range must not cross a 2 MiB boundary beyond which a
 * table may be missing; it is simply not filled there. */
void mmu_enter_around(
    struct mmu_context *ctx, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags);
/* Enter pages[i] at va + i * PAGE_SIZE for i < n, one after the other, up to the first address that is
 * translated already, or the end of the table that translates va. Returns how many were entered; 0 if there
 * is no such table. Restores write access as mmu_enter does. */
unsigned mmu_enter_run(
    struct mmu_context *ctx, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags);
/* The first physical address that no processor of this kind can name. */
paddr_t mmu_phys_end(void);
/* Enter a physically contiguous range into the kernel half (device maps, buffers), all or nothing; large
 * pages where aligned. */
MUST_CHECK err_t mmu_enter_range(
    struct mmu_context *ctx, vaddr_t va, paddr_t paddr, uint64_t len, unsigned flags);

/* Remove all translations in [start, end) and note them in g; table frames that became empty go to g. Never
 * allocates: a large page that is cut is dropped whole (it will be refaulted) in the user half, and is an
 * assertion failure in the kernel half. */
void mmu_unmap(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g);
/* Narrow or change the rights of the translations that are present in [start, end) to flags; never grants
 * MMU_WRITE to one that lacks it. Without MMU_READ in flags it is mmu_unmap. Never allocates: here and below,
 * a large one that is cut is dropped as by mmu_unmap. */
void mmu_protect(struct mmu_context *ctx, vaddr_t start, vaddr_t end, unsigned flags, struct mmu_gather *g);
/* Take write access away from [start, end) by clearing W in the highest entries that lie wholly in the range
 * (one store for 1 GiB), and in lower ones at its edges. */
void mmu_write_protect(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g);
/* Take write access away from [start, end) and from all else that the same entries of the root span: one
 * store for 512 GiB, whatever is there. What was not meant gets its own back by faults, one for each table
 * and leaf. */
void mmu_write_protect_wide(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g);
/* Write the bytes of [at, at + len), direct-mapped memory, back and forget them in every cache: before it is
 * translated with another enum mmu_cache. */
void mmu_clean_cache(const void *at, size_t len);
/* Tell what is translated at va. False: nothing present. */
bool mmu_query(struct mmu_context *ctx, vaddr_t va, struct mmu_translation *out);
/* Test and clear the accessed bit of the translation at va (no flush: an approximation is enough). */
bool mmu_harvest_accessed(struct mmu_context *ctx, vaddr_t va);
/* Large translations of all user halves now; since boot, those that were made, and those that went because a
 * part of what they span was changed. */
struct mmu_large_stats {
	uint64_t now, made, cut;
};
void mmu_large_stats(struct mmu_large_stats *out);
/* Translations of ctx now that have each mark. Two loads and no lock: a change that runs meanwhile is in one
 * of them, or in none. */
struct mmu_marked {
	uint64_t file, shmem;
};
struct mmu_marked mmu_marked(const struct mmu_context *ctx);
/* Which of the n <= 64 pages from va on have a mark? Bit i: va + i * PAGE_SIZE. */
uint64_t mmu_marked_among(struct mmu_context *ctx, vaddr_t va, unsigned n);
/* How many pages of [start, end) have the accessed bit set? The pages of a large translation have one
 * together; those that are frame `but` are passed over. With `clear`: then they have it no more (no flush, as
 * above). The lock is given up now and then. */
uint64_t mmu_count_accessed(struct mmu_context *ctx, vaddr_t start, vaddr_t end, paddr_t but, bool clear);
/* Number of table frames that ctx owns, the root included. */
uint64_t mmu_table_count(const struct mmu_context *ctx);
/* Check: counts of entries and of marks, no writable-and-executable kernel mapping, no table owned twice.
 * Panics on a violation. */
void mmu_validate(struct mmu_context *ctx);
/* Print the tables of ctx to the log: ranges of equal rights. */
void mmu_dump(struct mmu_context *ctx);

static inline void mmu_gather_begin(struct mmu_gather *g, struct mmu_context *ctx)
{
	*g = (struct mmu_gather){.ctx = ctx, .start = UINT64_MAX};
}
static inline bool mmu_gather_is_empty(const struct mmu_gather *g)
{
	return g->start >= g->end && !g->tables;
}
/* Flush what g noted from every CPU that may hold it, wait until each has answered, then free the tables.
 * Afterwards frames that the range named may be reused. g is empty again. May be called with spinlocks held;
 * every spin loop answers requests. */
void mmu_gather_flush(struct mmu_gather *g);
/* Every CPU that has ctx loaded executes a full memory barrier between entry and return, the current one
 * included; one that loads it later sees all that was written before. No translation changes. Interrupts
 * enabled, no spinlock held. */
void mmu_barrier(struct mmu_context *ctx);
