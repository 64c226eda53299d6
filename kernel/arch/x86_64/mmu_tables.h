#pragma once
/*
 * mmu_tables.h - the page tables of one context: what mmu.c does under its lock. Nothing here touches a
 * register, so the same code runs in a host program against a model (tests/host/test_mmu_x86.c). See
 * mmu_tables.c for the theory.
 */
#include "lib/atomic.h"
#include "lib/err.h"

struct mmu_gather;
struct mmu_large_stats;
struct mmu_translation;
struct page;

typedef _Atomic uint64_t pte_t; /* hardware sets accessed and dirty in it at any time */

/* Bits of an entry: Intel SDM volume 3, 4.5.4. */
#define PTE_P     (1ULL << 0)
#define PTE_W     (1ULL << 1)
#define PTE_U     (1ULL << 2)
#define PTE_PWT   (1ULL << 3)
#define PTE_PCD   (1ULL << 4)
#define PTE_A     (1ULL << 5)
#define PTE_D     (1ULL << 6)
#define PTE_PS    (1ULL << 7) /* levels 1 and 2: a large page */
#define PTE_PAT   (1ULL << 7) /* level 0 */
#define PTE_G     (1ULL << 8)
#define PTE_FILE  (1ULL << 9)  /* bits 9 to 11 are software's: MMU_OF_FILE */
#define PTE_SHMEM (1ULL << 10) /* MMU_OF_SHMEM */
#define PTE_PATL  (1ULL << 12) /* the PAT bit of a large page */
#define PTE_NX    (1ULL << 63)
#define PTE_ADDR  0x000ffffffffff000ULL

enum {
	PT_LEVELS = 4, /* 0: entries of 4 KiB pages ... 3: the root */
	PT_ENTRIES = 512,
};

static inline unsigned pt_shift(unsigned level)
{
	return 12 + 9 * level;
}
static inline uint64_t pt_span(unsigned level)
{
	return 1ULL << pt_shift(level);
}
static inline unsigned pt_index(vaddr_t va, unsigned level)
{
	return (unsigned)(va >> pt_shift(level)) & (PT_ENTRIES - 1);
}
static inline bool pte_is_leaf(uint64_t e, unsigned level)
{
	return level == 0 || (e & PTE_PS);
}
/* Physical address that a leaf translates to; without the PAT bit that sits in the address field of a large
 * one. */
static inline paddr_t pte_paddr(uint64_t e, unsigned level)
{
	return e & PTE_ADDR & ~(pt_span(level) - 1);
}

/* All fields: guarded by the context's lock, but for the atomic ones. */
struct page_tables {
	pte_t *root;
	_Atomic uint64_t count;       /* table frames that belong to it; written under the lock */
	uint64_t large;               /* large leaves of users */
	_Atomic uint64_t file, shmem; /* leaves with these marks; written under the lock */
	_Atomic uint32_t unflushed;   /* gathers that noted something and have not been flushed; raised under
				       the lock, lowered without */
};

/* Largest level at which a leaf may be: 1 (2 MiB), or 2 (1 GiB) if the CPU can. Constant after boot. */
extern unsigned pt_max_leaf_level;
/* PTE_NX, or 0 on a CPU that has no such bit and would take it for an error. Constant after boot. */
extern uint64_t pt_nx;

/* A root with the upper half of `kernel_root` and an empty lower half. -ENOMEM. */
MUST_CHECK err_t tables_init(struct page_tables *pt, const pte_t *kernel_root);
/* Free all tables at once: no CPU may have the root loaded. */
void tables_fini(struct page_tables *pt);

/* These do what the functions of the same names in arch/mmu.h say; the caller holds the context's lock. */
MUST_CHECK err_t tables_enter(struct page_tables *pt, vaddr_t va, paddr_t pa, unsigned flags);
MUST_CHECK err_t tables_enter_large(struct page_tables *pt, vaddr_t va, paddr_t pa, unsigned flags);
void tables_enter_around(
    struct page_tables *pt, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags);
unsigned tables_enter_run(
    struct page_tables *pt, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags);
void tables_unmap(struct page_tables *pt, vaddr_t start, vaddr_t end, struct mmu_gather *g);
void tables_protect(struct page_tables *pt, vaddr_t start, vaddr_t end, unsigned flags, struct mmu_gather *g);
void tables_write_protect(struct page_tables *pt, vaddr_t start, vaddr_t end, struct mmu_gather *g);
void tables_write_protect_wide(struct page_tables *pt, vaddr_t start, vaddr_t end, struct mmu_gather *g);
bool tables_query(const struct page_tables *pt, vaddr_t va, struct mmu_translation *out);
bool tables_harvest(struct page_tables *pt, vaddr_t va);
/* Of the one page table that has *va (or of a large translation, or of none), from there to `end`: pages with
 * the accessed bit, but those of frame `but`; with `clear` they lose it. *va goes behind it. */
uint64_t tables_count_accessed(struct page_tables *pt, vaddr_t *va, vaddr_t end, paddr_t but, bool clear);
uint64_t tables_marked_among(const struct page_tables *pt, vaddr_t va, unsigned n);
/* One leaf of the largest size that va, pa and len allow and where no table is in the way; *size gets its
 * bytes. -EEXIST, -ENOMEM. */
MUST_CHECK err_t tables_enter_block(
    struct page_tables *pt, vaddr_t va, paddr_t pa, uint64_t len, unsigned flags, uint64_t *size);
/* Of all contexts; see mmu_large_stats. */
void tables_large_stats(struct mmu_large_stats *out);
/* Is anything translated in [start, end)? */
bool tables_any_present(const struct page_tables *pt, vaddr_t start, vaddr_t end);

/* Note [start, end) in g. The first note of a gather raises pt->unflushed. */
void tables_note(struct page_tables *pt, struct mmu_gather *g, vaddr_t start, vaddr_t end);
/* After the flush: lower unflushed and free the tables that wait in g; g is empty again. */
void tables_flushed(struct page_tables *pt, struct mmu_gather *g);

/* MMU_* rights and cache type of a leaf. */
unsigned pte_flags(uint64_t e, unsigned level);
/* Child table of a present entry that is not a leaf. */
pte_t *pte_table(uint64_t e);
/* What page->table_counts of a table says: present entries, and of these the leaves with each mark, ten bits
 * each. Large leaves have none. */
enum { TABLE_FILE = 1 << 10, TABLE_SHMEM = 1 << 20 };
static inline unsigned table_present(uint32_t counts)
{
	return counts % TABLE_FILE;
}
static inline unsigned table_file(uint32_t counts)
{
	return counts / TABLE_FILE % TABLE_FILE;
}
static inline unsigned table_shmem(uint32_t counts)
{
	return counts / TABLE_SHMEM;
}
/* Does the record of this table count its entries? Tables made by the boot code are neither counted nor ever
 * freed. */
bool table_is_counted(const pte_t *table);

/* mmu_debug.c: see mmu_validate and mmu_dump. first and end are root slots. */
void tables_validate(const struct page_tables *pt, unsigned first_slot, unsigned end_slot);
void tables_dump(const struct page_tables *pt, unsigned first_slot, unsigned end_slot);
