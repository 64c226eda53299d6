/*
 * mmu_tables.c - the four levels of x86-64 page tables.
 *
 * Vocabulary. A table is a frame of 512 entries; its level is 3 for the root and 0 for one whose entries are
 * 4 KiB pages. An entry is absent, a leaf (a translation), or names a child table. An entry of level n spans
 * 2^(12 + 9n) bytes.
 *
 *	root (3)             one slot is 512 GiB; slots 256-511 are the kernel's and the same in every context
 *	  +- level 2         one entry is 1 GiB, or a leaf if the CPU can
 *	       +- level 1    one entry is 2 MiB, or a leaf
 *	            +- level 0   4 KiB leaves
 *
 * Rights. Effective write access is the AND of W over the path, user access the AND of U, no-execute the OR
 * of NX. Entries that name tables start with all rights that their half may have (W, and U in the user half),
 * so that the leaf decides; only write protection takes W from them. Then the W bits below are void, not
 * wrong: nothing reads them until somebody enters a writable page again, and push_down makes them true first,
 * level by level: clear W in every entry of the child, then set W in the parent. In that order a walker never
 * sees a path with more rights than the context has. No flush is needed: what another CPU cached under the
 * old parent lacks W, which costs it a spurious fault. (If the flush of the write protection itself is still
 * to come, it removes what is older.)
 *
 * Large leaves of users (level 1) are entered where nothing is, and never made smaller: one that is changed
 * in part is dropped, and faults bring 4 KiB leaves in its place. So no table has to be kept for that moment.
 *
 * Counts. The record of a table's frame holds the number of its present entries and of those with each mark
 * (page->table_counts: 10 bits each), its context (owner) and which addresses it serves (index: first address
 * | level). A table whose count reaches 0
 * is unlinked and goes to the gather: other CPUs may still walk it until the flush, so its frame is freed
 * after that. A table that lies wholly in an unmapped range is unlinked without a look at its entries. Tables
 * that the boot code made have no count (their frames are RESERVED) and stay for ever.
 *
 * No half-made state. tables that are missing on a path are built aside and linked by one store, so a failed
 * allocation leaves no trace, not even one in another CPU's paging-structure cache.
 *
 * Gathers that overlap. A thread that finds nothing to unmap must not conclude that nobody has a stale
 * translation: another thread may have cleared the entry a moment ago and not have flushed yet. `unflushed`
 * counts the gathers in that state; while others are, a range is noted whole, whatever was found.
 *
 * Rejected: recursive mapping of the tables (the direct map is simpler and works for contexts that are not
 * loaded); keeping empty tables for reuse (a sparse space would hold them for ever); accessed or dirty bits
 * as a reason not to flush (a walker may cache a translation before the bit is seen set).
 */
#include "arch/mmu.h"
#include "arch/x86_64/mmu_tables.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/page.h"

unsigned pt_max_leaf_level = 1;
uint64_t pt_nx = PTE_NX;

/* How each enum mmu_cache is written in an entry, for the PAT that pat_mtrr.c programs: WB WT UC- UC WB WT
 * UC- WC. */
static const uint64_t cache_bits[] = {
    [MMU_WB] = 0,
    [MMU_WT] = PTE_PWT,
    [MMU_UC_MINUS] = PTE_PCD,
    [MMU_UC] = PTE_PCD | PTE_PWT,
    [MMU_WC] = PTE_PAT | PTE_PCD | PTE_PWT,
    [7] = 0,
};

static inline pte_t *table_at(paddr_t pa)
{
	return phys_to_virt(pa);
}

pte_t *pte_table(uint64_t e)
{
	return table_at(e & PTE_ADDR);
}

bool table_is_counted(const pte_t *table)
{
	return page_kind(virt_to_page((const void *)table)) == PAGE_TABLE;
}

static inline bool is_user(vaddr_t va)
{
	return !(va >> 63);
}

/* The bits of a 4 KiB leaf by its rights and mark, flags & 0x7f. */
#define LEAF_W(f)  ((f)&MMU_WRITE ? PTE_W : 0)
#define LEAF_U(f)  ((f)&MMU_USER ? PTE_U : 0)
#define LEAF_G(f)  ((f)&MMU_GLOBAL ? PTE_G : 0)
#define LEAF_NX(f) ((f)&MMU_EXEC ? 0 : PTE_NX)
#define LEAF_F(f)  ((f)&MMU_OF_FILE ? PTE_FILE : 0)
#define LEAF_S(f)  ((f)&MMU_OF_SHMEM ? PTE_SHMEM : 0)
#define LEAF(f)    (PTE_P | LEAF_W(f) | LEAF_U(f) | LEAF_G(f) | LEAF_NX(f) | LEAF_F(f) | LEAF_S(f))
#define LEAVES(f)  LEAF(f), LEAF((f) + 1), LEAF((f) + 2), LEAF((f) + 3)
#define RIGHTS(f)                                                                                            \
	LEAVES(f), LEAVES((f) + 4), LEAVES((f) + 8), LEAVES((f) + 12), LEAVES((f) + 16), LEAVES((f) + 20),   \
	    LEAVES((f) + 24), LEAVES((f) + 28)
static const uint64_t rights_bits[128] = {RIGHTS(0), RIGHTS(32), RIGHTS(64), RIGHTS(96)};

/* The bits of a 4 KiB leaf with these flags, without its address. */
static inline uint64_t leaf_bits(unsigned flags)
{
	return (rights_bits[flags & 127] & (pt_nx | ~PTE_NX)) | cache_bits[flags >> MMU_CACHE_SHIFT & 7];
}

/* The same for a leaf of `level`: large ones have their PAT bit elsewhere. */
static uint64_t leaf_bits_at(unsigned flags, unsigned level)
{
	uint64_t e = leaf_bits(flags);
	if (level == 0)
		return e;
	return (e & ~PTE_PAT) | PTE_PS | (e & PTE_PAT ? PTE_PATL : 0);
}

static enum mmu_cache cache_of(uint64_t e, unsigned level)
{
	bool pat = level == 0 ? e & PTE_PAT : e & PTE_PATL;
	unsigned index = (e & PTE_PWT ? 1 : 0) + (e & PTE_PCD ? 2 : 0);
	return pat && index == 3 ? MMU_WC : (enum mmu_cache)index;
}

unsigned pte_flags(uint64_t e, unsigned level)
{
	unsigned f = MMU_READ | (unsigned)cache_of(e, level) << MMU_CACHE_SHIFT;
	f |= e & PTE_W ? MMU_WRITE : 0;
	f |= e & PTE_U ? MMU_USER : 0;
	f |= e & PTE_G ? MMU_GLOBAL : 0;
	f |= e & PTE_NX ? 0 : MMU_EXEC;
	f |= e & PTE_FILE ? MMU_OF_FILE : 0;
	f |= e & PTE_SHMEM ? MMU_OF_SHMEM : 0;
	return f;
}

/* -- counting -------------------------------------------------------------------------------------------- */

/* n more of the context's pages are of each kind. */
static void count_marked(struct page_tables *pt, uint64_t file, uint64_t shmem)
{
	store_relaxed(&pt->file, load_relaxed(&pt->file) + file);
	store_relaxed(&pt->shmem, load_relaxed(&pt->shmem) + shmem);
}

/* Entries of the boot code's own tables are not in their counts, only what came later. */
static inline void entries_added(pte_t *table, unsigned n)
{
	virt_to_page((void *)table)->table_counts += n;
}

/* n leaves with these bits came. */
static inline void leaves_added(struct page_tables *pt, pte_t *table, unsigned n, uint64_t bits)
{
	uint64_t file = bits & PTE_FILE ? n : 0, shmem = bits & PTE_SHMEM ? n : 0;
	entries_added(table, n);
	if (unlikely(bits & (PTE_FILE | PTE_SHMEM))) {
		entries_added(table, (unsigned)(file * TABLE_FILE + shmem * TABLE_SHMEM));
		count_marked(pt, file, shmem);
	}
}

static inline void entry_removed(pte_t *table)
{
	struct page *p = virt_to_page((void *)table);
	ASSERT(table_present(p->table_counts) > 0);
	p->table_counts--;
}

static inline void leaf_removed(struct page_tables *pt, pte_t *table, uint64_t old)
{
	struct page *p = virt_to_page((void *)table);
	unsigned file = old & PTE_FILE ? 1 : 0, shmem = old & PTE_SHMEM ? 1 : 0;
	entry_removed(table);
	if (file | shmem) {
		p->table_counts -= file * TABLE_FILE + shmem * TABLE_SHMEM;
		count_marked(pt, -(uint64_t)file, -(uint64_t)shmem);
	}
}

/* Number of entries that a scan of the table may stop after. */
static inline unsigned entries_used(const pte_t *table)
{
	const struct page *p = virt_to_page((const void *)table);
	return page_kind(p) == PAGE_TABLE ? table_present(p->table_counts) : PT_ENTRIES;
}

/* All leaves of the table go with it. */
static inline void leaves_gone(struct page_tables *pt, const pte_t *table)
{
	const struct page *p = virt_to_page((const void *)table);
	if (p->table_counts >= TABLE_FILE)
		count_marked(
		    pt, -(uint64_t)table_file(p->table_counts), -(uint64_t)table_shmem(p->table_counts));
}

/* Large leaves of users: each comes or goes under its context's lock. */
static _Atomic uint64_t large_made, large_gone, large_cut;

/* n (1 or -1) more of large leaves like e. */
static void count_large(struct page_tables *pt, uint64_t e, int n)
{
	if (!(e & PTE_U))
		return;
	pt->large += (uint64_t)n;
	fetch_add_relaxed(n > 0 ? &large_made : &large_gone, 1);
}

void tables_large_stats(struct mmu_large_stats *out)
{
	uint64_t gone = load_relaxed(&large_gone), made = load_relaxed(&large_made);
	*out = (struct mmu_large_stats){.now = made - gone, .made = made, .cut = load_relaxed(&large_cut)};
}

static struct page *table_alloc(struct page_tables *pt, vaddr_t va, unsigned level)
{
	struct page *p = frame_alloc(PAGE_TABLE, FRAME_ZERO);
	if (!p)
		return NULL;
	p->table_next = 0;
	p->table_counts = 0;
	p->owner = pt;
	p->index = ALIGN_DOWN(va, pt_span(level) * PT_ENTRIES) | level;
	return p;
}

/* -- gathers --------------------------------------------------------------------------------------------- */

void tables_note(struct page_tables *pt, struct mmu_gather *g, vaddr_t start, vaddr_t end)
{
	if (mmu_gather_is_empty(g))
		fetch_add_relaxed(&pt->unflushed, 1);
	g->start = MIN(g->start, start);
	g->end = MAX(g->end, end);
}

void tables_flushed(struct page_tables *pt, struct mmu_gather *g)
{
	if (mmu_gather_is_empty(g))
		return;
	while (g->tables) {
		struct page *p = g->tables;
		g->tables = p->table_next ? pfn_to_page(p->table_next) : NULL;
		p->owner = NULL;
		frame_free(p);
	}
	g->start = UINT64_MAX;
	g->end = 0;
	uint32_t old = fetch_sub_release(&pt->unflushed, 1);
	ASSERT(old > 0);
}

/* While somebody else's gather waits for its flush, what it removed may still be cached: flush the range as
 * if we had removed it. */
static void note_if_others_wait(struct page_tables *pt, struct mmu_gather *g, vaddr_t start, vaddr_t end)
{
	uint32_t own = !mmu_gather_is_empty(g);
	if (unlikely(load_acquire(&pt->unflushed) > own) && start < end)
		tables_note(pt, g, start, end);
}

static void gather_table(struct page_tables *pt, struct mmu_gather *g, pte_t *table)
{
	struct page *p = virt_to_page((void *)table);
	ASSERT(page_kind(p) == PAGE_TABLE && p->owner == pt);
	p->table_next = g->tables ? (uint32_t)page_to_pfn(g->tables) : 0;
	g->tables = p;
	fetch_sub_relaxed(&pt->count, 1);
}

/* -- life ------------------------------------------------------------------------------------------------ */

err_t tables_init(struct page_tables *pt, const pte_t *kernel_root)
{
	*pt = (struct page_tables){.root = NULL};
	struct page *p = table_alloc(pt, 0, PT_LEVELS - 1);
	if (!p)
		return -ENOMEM;
	pt->root = page_to_virt(p);
	store_relaxed(&pt->count, 1);
	for (unsigned i = PT_ENTRIES / 2; i < PT_ENTRIES; i++)
		store_relaxed(&pt->root[i], load_relaxed(&kernel_root[i]));
	return 0;
}

static void free_subtree(struct page_tables *pt, pte_t *table, unsigned level, unsigned nslots)
{
	unsigned left = entries_used(table);
	for (unsigned i = 0; level > 0 && i < nslots && left > 0; i++) {
		uint64_t e = load_relaxed(&table[i]);
		if (!(e & PTE_P))
			continue;
		left--;
		if (pte_is_leaf(e, level))
			count_large(pt, e, -1);
		else
			free_subtree(pt, pte_table(e), level - 1, PT_ENTRIES);
	}
	leaves_gone(pt, table);
	fetch_sub_relaxed(&pt->count, 1);
	frame_free(virt_to_page((void *)table));
}

void tables_fini(struct page_tables *pt)
{
	ASSERT(load_acquire(&pt->unflushed) == 0);
	free_subtree(pt, pt->root, PT_LEVELS - 1, PT_ENTRIES / 2);
	ASSERT(load_relaxed(&pt->count) == 0 && pt->large == 0);
	ASSERT(load_relaxed(&pt->file) == 0 && load_relaxed(&pt->shmem) == 0);
	pt->root = NULL;
}

/* -- walking --------------------------------------------------------------------------------------------- */

/* The entry for va at `level`, or, if the path ends above it, the absent entry or large leaf where it ends.
 * *at gets the level reached; *path the AND of the entries above (their W bits matter). */
static ALWAYS_INLINE pte_t *walk(
    const struct page_tables *pt, vaddr_t va, unsigned level, unsigned *at, uint64_t *path)
{
	pte_t *table = pt->root;
	uint64_t all = UINT64_MAX;
	unsigned l = PT_LEVELS - 1;
	for (; l > level; l--) {
		pte_t *slot = &table[pt_index(va, l)];
		uint64_t e = load_relaxed(slot);
		if (unlikely((e & (PTE_P | PTE_PS)) != PTE_P)) {
			*at = l;
			*path = all;
			return slot;
		}
		all &= e;
		table = pte_table(e);
	}
	*at = l;
	*path = all;
	return &table[pt_index(va, l)];
}

/* The level-0 entry for va, if there is a table for it; else NULL. The same as walk() to level 0, for the
 * path that every fault takes. */
static ALWAYS_INLINE pte_t *walk_to_page(const struct page_tables *pt, vaddr_t va, uint64_t *path)
{
	uint64_t e3 = load_relaxed(&pt->root[pt_index(va, 3)]);
	if (unlikely(!(e3 & PTE_P)))
		return NULL;
	uint64_t e2 = load_relaxed(&pte_table(e3)[pt_index(va, 2)]);
	if (unlikely((e2 & (PTE_P | PTE_PS)) != PTE_P))
		return NULL;
	uint64_t e1 = load_relaxed(&pte_table(e2)[pt_index(va, 1)]);
	if (unlikely((e1 & (PTE_P | PTE_PS)) != PTE_P))
		return NULL;
	*path = e3 & e2 & e1;
	return &pte_table(e1)[pt_index(va, 0)];
}

/* Table that an entry is in. */
static inline pte_t *table_of(pte_t *slot)
{
	return (pte_t *)((uintptr_t)slot & PAGE_MASK);
}

/* Hang a chain of new tables below the absent entry `slot` of level `at`, down to a table of level `bottom`.
 * Built aside, linked last. */
static err_t grow(struct page_tables *pt, pte_t *slot, vaddr_t va, unsigned at, unsigned bottom)
{
	struct page *fresh[PT_LEVELS];
	unsigned n = 0;
	for (unsigned l = bottom; l < at; l++) {
		fresh[n] = table_alloc(pt, va, l);
		if (!fresh[n])
			goto free_fresh;
		n++;
	}
	uint64_t rights = PTE_P | PTE_W | (is_user(va) ? PTE_U : 0);
	for (unsigned i = 1; i < n; i++) {
		pte_t *table = page_to_virt(fresh[i]);
		store_relaxed(&table[pt_index(va, bottom + i)], page_to_phys(fresh[i - 1]) | rights);
		fresh[i]->table_counts = 1;
	}
	store_release(slot, page_to_phys(fresh[n - 1]) | rights);
	entries_added(table_of(slot), 1);
	fetch_add_relaxed(&pt->count, n);
	return 0;

free_fresh:
	while (n > 0)
		frame_free(fresh[--n]);
	return -ENOMEM;
}

/* Find the entry for va at `level`, making the tables on the way. -EEXIST: a large leaf is in the way. */
static err_t reach(struct page_tables *pt, vaddr_t va, unsigned level, pte_t **out, uint64_t *path)
{
	unsigned at;
	pte_t *slot = walk(pt, va, level, &at, path);
	if (at > level) {
		if (load_relaxed(slot) & PTE_P)
			return -EEXIST;
		/* The kernel half of the root is the same in all contexts: its slots were filled at boot. */
		ASSERT(at < PT_LEVELS - 1 || is_user(va));
		err_t err = grow(pt, slot, va, at, level);
		if (err)
			return err;
		slot = walk(pt, va, level, &at, path);
	}
	*out = slot;
	return 0;
}

/* Clear W in all entries of a table. Those in use mostly lie together, so the search for them begins at the
 * end that is nearer to entry `near`. */
static void strip_write(pte_t *table, unsigned near)
{
	unsigned left = entries_used(table), flip = near < PT_ENTRIES / 2 ? 0 : PT_ENTRIES - 1;
	for (unsigned n = 0; n < PT_ENTRIES && left > 0; n++) {
		pte_t *slot = &table[n ^ flip];
		uint64_t e = load_relaxed(slot);
		if (!(e & PTE_P))
			continue;
		left--;
		if (e & PTE_W)
			fetch_and_acq_rel(slot, ~PTE_W);
	}
}

/* Make every entry on the path to va writable and take W from whatever else that would free. `slot` is where
 * the path ends. */
static void push_down(struct page_tables *pt, vaddr_t va, const pte_t *slot)
{
	pte_t *table = pt->root;
	for (unsigned l = PT_LEVELS - 1; l > 0; l--) {
		pte_t *e = &table[pt_index(va, l)];
		if (e == slot)
			return;
		table = pte_table(load_relaxed(e));
		if (load_relaxed(e) & PTE_W)
			continue;
		strip_write(table, pt_index(va, l - 1));
		fetch_or_acq_rel(e, PTE_W);
	}
}

/* -- entering -------------------------------------------------------------------------------------------- */

/* Add the rights in `bits` to a present leaf. */
static void widen(pte_t *slot, uint64_t old, uint64_t bits)
{
	uint64_t gain = bits & (PTE_W | PTE_U) & ~old;
	if (gain)
		fetch_or_acq_rel(slot, gain);
	if ((old & PTE_NX) && !(bits & PTE_NX))
		fetch_and_acq_rel(slot, ~PTE_NX);
}

/* Is everything that `flags` asks for granted by the large leaf e already? */
static bool leaf_grants(uint64_t e, uint64_t path, unsigned level, unsigned flags)
{
	unsigned have = pte_flags(e & (path | ~PTE_W), level);
	unsigned want = flags & (MMU_READ | MMU_WRITE | MMU_EXEC | MMU_USER);
	return (have & want) == want;
}

static NOINLINE err_t enter_slow(struct page_tables *pt, vaddr_t va, paddr_t pa, unsigned flags)
{
	pte_t *slot;
	uint64_t path;
	unsigned at;
	err_t err = reach(pt, va, 0, &slot, &path);
	if (!err) {
		if ((flags & MMU_WRITE) && !(path & PTE_W))
			push_down(pt, va, slot);
		store_release(slot, pa | leaf_bits(flags));
		leaves_added(pt, table_of(slot), 1, leaf_bits(flags));
		return 0;
	}
	if (err != -EEXIST)
		return err;
	/* A large leaf: fine if it says the same; it cannot be widened for one page alone. */
	slot = walk(pt, va, 0, &at, &path);
	uint64_t e = load_relaxed(slot);
	bool same = pte_paddr(e, at) + (va & (pt_span(at) - 1)) == pa;
	return same && leaf_grants(e, path, at, flags) ? 0 : -EEXIST;
}

err_t tables_enter(struct page_tables *pt, vaddr_t va, paddr_t pa, unsigned flags)
{
	uint64_t path;
	pte_t *slot = walk_to_page(pt, va, &path);
	if (unlikely(!slot))
		return enter_slow(pt, va, pa, flags);
	uint64_t old = load_relaxed(slot), bits = leaf_bits(flags);
	if (unlikely((old & PTE_P) && (old & PTE_ADDR) != pa))
		return -EEXIST;
	if (unlikely(bits & ~path & PTE_W)) {
		push_down(pt, va, slot);
		old = load_relaxed(slot);
	}
	if (old & PTE_P) {
		widen(slot, old, bits);
		return 0;
	}
	store_release(slot, pa | bits);
	leaves_added(pt, table_of(slot), 1, bits);
	return 0;
}

err_t tables_enter_large(struct page_tables *pt, vaddr_t va, paddr_t pa, unsigned flags)
{
	uint64_t path, bits = leaf_bits_at(flags, 1);
	pte_t *slot;
	err_t err = reach(pt, va, 1, &slot, &path);
	if (err)
		return err;
	uint64_t old = load_relaxed(slot);
	if ((old & PTE_P) && (!(old & PTE_PS) || pte_paddr(old, 1) != pa))
		return -EEXIST;
	if (bits & ~path & PTE_W) {
		push_down(pt, va, slot);
		old = load_relaxed(slot);
	}
	if (old & PTE_P) {
		widen(slot, old, bits);
		return 0;
	}
	store_release(slot, pa | bits);
	entries_added(table_of(slot), 1);
	count_large(pt, bits, 1);
	return 0;
}

/* Fill entries [slot, slot + n) of a level-0 table; see mmu_enter_around. Returns the number of entries that
 * became present. */
static unsigned fill_run(pte_t *slot, struct page *const *pages, unsigned n, uint64_t bits)
{
	unsigned added = 0;
	for (unsigned i = 0; i < n; i++) {
		if (!pages[i])
			continue;
		uint64_t old = load_relaxed(&slot[i]);
		paddr_t pa = page_to_phys(pages[i]);
		if (!(old & PTE_P)) {
			store_release(&slot[i], pa | bits);
			added++;
		} else if ((bits & PTE_W) && (old & PTE_ADDR) == pa) {
			widen(&slot[i], old, bits);
		}
	}
	return added;
}

void tables_enter_around(
    struct page_tables *pt, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags)
{
	uint64_t bits = leaf_bits(flags);
	while (n > 0) {
		uint64_t path;
		unsigned run = MIN(n, PT_ENTRIES - pt_index(va, 0));
		pte_t *slot = walk_to_page(pt, va, &path);
		if (!slot)
			return;
		if ((flags & MMU_WRITE) && !(path & PTE_W))
			push_down(pt, va, slot);
		unsigned added = fill_run(slot, pages, run, bits);
		leaves_added(pt, table_of(slot), added, bits);
		va += (uint64_t)run * PAGE_SIZE;
		pages += run;
		n -= run;
	}
}

unsigned tables_enter_run(
    struct page_tables *pt, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags)
{
	uint64_t path, bits = leaf_bits(flags);
	pte_t *slot = walk_to_page(pt, va, &path);
	unsigned i = 0;
	if (!slot)
		return 0;
	n = MIN(n, PT_ENTRIES - pt_index(va, 0));
	if (bits & ~path & PTE_W)
		push_down(pt, va, slot);
	for (; i < n && !(load_relaxed(&slot[i]) & PTE_P); i++)
		store_release(&slot[i], page_to_phys(pages[i]) | bits);
	leaves_added(pt, table_of(slot), i, bits);
	return i;
}

static unsigned block_level(vaddr_t va, paddr_t pa, uint64_t len)
{
	unsigned level = pt_max_leaf_level;
	while (level > 0 && (!IS_ALIGNED(va | pa, pt_span(level)) || len < pt_span(level)))
		level--;
	return level;
}

err_t tables_enter_block(
    struct page_tables *pt, vaddr_t va, paddr_t pa, uint64_t len, unsigned flags, uint64_t *size)
{
	unsigned at, level = block_level(va, pa, len);
	uint64_t path;
	pte_t *slot;
	/* A table in the way (one that the boot code made) means smaller pages. */
	for (;; level--) {
		slot = walk(pt, va, level, &at, &path);
		uint64_t e = load_relaxed(slot);
		if (!(e & PTE_P))
			break;
		if (pte_is_leaf(e, at))
			return -EEXIST;
	}
	err_t err = reach(pt, va, level, &slot, &path);
	if (err)
		return err;
	if ((flags & MMU_WRITE) && !(path & PTE_W))
		push_down(pt, va, slot);
	uint64_t e = pa | leaf_bits_at(flags, level);
	store_release(slot, e);
	entries_added(table_of(slot), 1);
	if (level > 0)
		count_large(pt, e, 1);
	*size = pt_span(level);
	return 0;
}

/* -- removing and narrowing ------------------------------------------------------------------------------ */

/* What the recursive functions below share. */
struct change {
	struct page_tables *pt;
	struct mmu_gather *g;
	uint64_t set, clear; /* tables_protect: bits of a leaf */
};

/* The part of [start, end) that entry i of a table of `level` spans: [*va, *next). The table spans all of
 * [start, end). True: the whole entry. */
static inline bool clip(vaddr_t start, vaddr_t end, unsigned level, unsigned i, vaddr_t *va, vaddr_t *next)
{
	vaddr_t base = (start & ~(pt_span(level) * PT_ENTRIES - 1)) + i * pt_span(level);
	vaddr_t last =
	    MIN(end - 1, base + pt_span(level) - 1); /* end may be 0: the top of the address space */
	*va = MAX(start, base);
	*next = last + 1;
	return *next - *va == pt_span(level);
}

/* Last entry of a table of `level` that [start, end) touches. The loops below look at entries before they
 * compute addresses: most are absent. */
static inline unsigned last_index(vaddr_t end, unsigned level)
{
	return pt_index(end - 1, level);
}

static void drop_leaf(struct change *c, pte_t *slot, vaddr_t va, unsigned level)
{
	vaddr_t base = ALIGN_DOWN(va, pt_span(level));
	uint64_t old = exchange_acq_rel(slot, 0);
	leaf_removed(c->pt, table_of(slot), old);
	if (level > 0)
		count_large(c->pt, old, -1);
	tables_note(c->pt, c->g, base, base + pt_span(level));
}

/* A leaf of which only a part is in the range: the whole of it goes. Only user translations can be faulted in
 * again. */
static void drop_cut_leaf(struct change *c, pte_t *slot, vaddr_t va, unsigned level)
{
	ASSERT(is_user(va));
	fetch_add_relaxed(&large_cut, 1);
	drop_leaf(c, slot, va, level);
}

/* Give a table that was unlinked, and all tables below it, to the gather. Their entries stay as they are. */
static void gather_subtree(struct change *c, pte_t *table, unsigned level)
{
	unsigned left = entries_used(table);
	for (unsigned i = 0; level > 0 && i < PT_ENTRIES && left > 0; i++) {
		uint64_t e = load_relaxed(&table[i]);
		if (!(e & PTE_P))
			continue;
		left--;
		if (pte_is_leaf(e, level))
			count_large(c->pt, e, -1);
		else
			gather_subtree(c, pte_table(e), level - 1);
	}
	leaves_gone(c->pt, table);
	gather_table(c->pt, c->g, table);
}

/* Unlink the table that `slot` names; its addresses [va, va + span) are gone. */
static void drop_table(struct change *c, pte_t *slot, vaddr_t va, unsigned level)
{
	pte_t *child = pte_table(exchange_acq_rel(slot, 0));
	entry_removed(table_of(slot));
	tables_note(c->pt, c->g, va, va + pt_span(level));
	gather_subtree(c, child, level - 1);
}

/* After something below `slot` was dropped: its table goes too if it is empty. */
static void drop_if_empty(struct change *c, pte_t *slot, vaddr_t va, unsigned level)
{
	pte_t *child = pte_table(load_relaxed(slot));
	if (table_is_counted(child) && entries_used(child) == 0)
		drop_table(c, slot, ALIGN_DOWN(va, pt_span(level)), level);
}

static void unmap_level(struct change *c, pte_t *table, unsigned level, vaddr_t start, vaddr_t end)
{
	for (unsigned i = pt_index(start, level); i <= last_index(end, level); i++) {
		vaddr_t va, next;
		pte_t *slot = &table[i];
		uint64_t e = load_relaxed(slot);
		if (!(e & PTE_P))
			continue;
		bool whole = clip(start, end, level, i, &va, &next);
		if (pte_is_leaf(e, level)) {
			if (whole)
				drop_leaf(c, slot, va, level);
			else
				drop_cut_leaf(c, slot, va, level);
			continue;
		}
		pte_t *child = pte_table(e);
		if (whole && table_is_counted(child)) {
			drop_table(c, slot, va, level);
			continue;
		}
		unmap_level(c, child, level - 1, va, next);
		drop_if_empty(c, slot, va, level);
	}
}

void tables_unmap(struct page_tables *pt, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	struct change c = {.pt = pt, .g = g};
	note_if_others_wait(pt, g, start, end);
	/* Nothing is ever translated around what users have, so who unmaps all of it unlinks whole tables. */
	if (start == USER_START)
		start = 0;
	if (end == USER_END)
		end = ALIGN_UP(USER_END, pt_span(PT_LEVELS - 1));
	if (start < end)
		unmap_level(&c, pt->root, PT_LEVELS - 1, start, end);
}

/* Change the rights of one leaf; hardware may set accessed and dirty meanwhile. Widening alone needs no
 * flush. */
static void protect_leaf(struct change *c, pte_t *slot, vaddr_t va, unsigned level)
{
	uint64_t old = load_relaxed(slot), new;
	do
		new = (old | c->set) & ~c->clear;
	while (!cas_acq_rel(slot, &old, new));
	uint64_t lost = (old & ~new &(PTE_W | PTE_U)) | (new & ~old &PTE_NX);
	if (lost)
		tables_note(c->pt, c->g, va, va + pt_span(level));
}

static void protect_level(struct change *c, pte_t *table, unsigned level, vaddr_t start, vaddr_t end)
{
	for (unsigned i = pt_index(start, level); i <= last_index(end, level); i++) {
		vaddr_t va, next;
		pte_t *slot = &table[i];
		uint64_t e = load_relaxed(slot);
		if (!(e & PTE_P))
			continue;
		bool whole = clip(start, end, level, i, &va, &next);
		if (!pte_is_leaf(e, level)) {
			protect_level(c, pte_table(e), level - 1, va, next);
			drop_if_empty(c, slot, va, level);
		} else if (whole) {
			protect_leaf(c, slot, va, level);
		} else {
			drop_cut_leaf(c, slot, va, level);
		}
	}
}

void tables_protect(struct page_tables *pt, vaddr_t start, vaddr_t end, unsigned flags, struct mmu_gather *g)
{
	struct change c = {.pt = pt, .g = g};
	if (!(flags & MMU_READ)) {
		tables_unmap(pt, start, end, g);
		return;
	}
	c.set = (flags & MMU_USER ? PTE_U : 0) | (flags & MMU_EXEC ? 0 : pt_nx);
	c.clear = (flags & MMU_USER ? 0 : PTE_U) | (flags & MMU_EXEC ? PTE_NX : 0) |
		  (flags & MMU_WRITE ? 0 : PTE_W);
	note_if_others_wait(pt, g, start, end);
	if (start < end)
		protect_level(&c, pt->root, PT_LEVELS - 1, start, end);
}

static void write_protect_level(struct change *c, pte_t *table, unsigned level, vaddr_t start, vaddr_t end)
{
	for (unsigned i = pt_index(start, level); i <= last_index(end, level); i++) {
		vaddr_t va, next;
		pte_t *slot = &table[i];
		uint64_t e = load_relaxed(slot);
		if ((e & (PTE_P | PTE_W)) != (PTE_P | PTE_W))
			continue; /* nothing below is writable, whatever it says */
		if (clip(start, end, level, i, &va, &next)) {
			fetch_and_acq_rel(slot, ~PTE_W);
			tables_note(c->pt, c->g, va, next);
		} else if (pte_is_leaf(e, level)) {
			drop_cut_leaf(c, slot, va, level);
		} else {
			write_protect_level(c, pte_table(e), level - 1, va, next);
			drop_if_empty(c, slot, va, level);
		}
	}
}

void tables_write_protect(struct page_tables *pt, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	struct change c = {.pt = pt, .g = g};
	note_if_others_wait(pt, g, start, end);
	if (start < end)
		write_protect_level(&c, pt->root, PT_LEVELS - 1, start, end);
}

void tables_write_protect_wide(struct page_tables *pt, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	const unsigned level = PT_LEVELS - 1;
	note_if_others_wait(pt, g, start, end);
	for (unsigned i = pt_index(start, level); start < end && i <= last_index(end, level); i++) {
		if ((load_relaxed(&pt->root[i]) & (PTE_P | PTE_W)) != (PTE_P | PTE_W))
			continue;
		fetch_and_acq_rel(&pt->root[i], ~PTE_W);
		tables_note(pt, g, i * pt_span(level), (i + 1) * pt_span(level));
	}
}

/* -- asking ---------------------------------------------------------------------------------------------- */

bool tables_query(const struct page_tables *pt, vaddr_t va, struct mmu_translation *out)
{
	const pte_t *table = pt->root;
	uint64_t all = UINT64_MAX, nx = 0;
	for (unsigned level = PT_LEVELS - 1;; level--) {
		uint64_t e = load_relaxed(&table[pt_index(va, level)]);
		if (!(e & PTE_P))
			return false;
		all &= e;
		nx |= e & PTE_NX;
		if (!pte_is_leaf(e, level)) {
			table = pte_table(e);
			continue;
		}
		uint64_t effective = (e & ~(PTE_W | PTE_U)) | (all & (PTE_W | PTE_U)) | nx;
		*out = (struct mmu_translation){
		    .paddr = pte_paddr(e, level) + (va & (pt_span(level) - 1)),
		    .flags = pte_flags(effective, level),
		    .size = pt_span(level),
		    .accessed = e & PTE_A,
		    .dirty = e & PTE_D,
		};
		return true;
	}
}

bool tables_harvest(struct page_tables *pt, vaddr_t va)
{
	unsigned at;
	uint64_t path;
	pte_t *slot = walk(pt, va, 0, &at, &path);
	uint64_t e = load_relaxed(slot);
	if ((e & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
		return false;
	fetch_and_acq_rel(slot, ~PTE_A);
	return true;
}

/* Does the leaf say that it was used? With `clear`: not any more. */
static bool leaf_is_accessed(pte_t *slot, bool clear)
{
	if (!(load_relaxed(slot) & PTE_A))
		return false;
	if (clear)
		fetch_and_acq_rel(slot, ~PTE_A);
	return true;
}

/* The same for n entries of a page table. */
static uint64_t count_accessed(pte_t *slot, unsigned n, paddr_t but, bool clear)
{
	uint64_t count = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t e = load_relaxed(&slot[i]);
		if ((e & PTE_P) && pte_paddr(e, 0) != but)
			count += leaf_is_accessed(&slot[i], clear);
	}
	return count;
}

uint64_t tables_count_accessed(struct page_tables *pt, vaddr_t *va, vaddr_t end, paddr_t but, bool clear)
{
	vaddr_t at = *va;
	unsigned level;
	uint64_t path;
	pte_t *slot = walk(pt, at, 0, &level, &path);
	uint64_t span = pt_span(MAX(level, 1U));
	*va = MIN(ALIGN_DOWN(at, span) + span, end);
	uint64_t n = (*va - at) >> PAGE_SHIFT;
	if (!level)
		return count_accessed(slot, (unsigned)n, but, clear);
	return (load_relaxed(slot) & PTE_P) && leaf_is_accessed(slot, clear) ? n : 0;
}

/* Which of n entries of a table have a mark? */
static uint64_t marked_from(const pte_t *slot, unsigned n)
{
	uint64_t set = 0;
	for (unsigned i = 0; i < n; i++)
		set |= (uint64_t) !!(load_relaxed(&slot[i]) & (PTE_FILE | PTE_SHMEM)) << i;
	return set;
}

uint64_t tables_marked_among(const struct page_tables *pt, vaddr_t va, unsigned n)
{
	uint64_t set = 0, path;
	for (unsigned i = 0, run; i < n; i += run) {
		const pte_t *slot = walk_to_page(pt, va + i * PAGE_SIZE, &path);
		run = MIN(n - i, PT_ENTRIES - pt_index(va + i * PAGE_SIZE, 0));
		set |= slot ? marked_from(slot, run) << i : 0;
	}
	return set;
}

static bool any_present(const pte_t *table, unsigned level, vaddr_t start, vaddr_t end)
{
	for (unsigned i = pt_index(start, level); i <= last_index(end, level); i++) {
		vaddr_t va, next;
		uint64_t e = load_relaxed(&table[i]);
		if (!(e & PTE_P))
			continue;
		clip(start, end, level, i, &va, &next);
		if (pte_is_leaf(e, level) || any_present(pte_table(e), level - 1, va, next))
			return true;
	}
	return false;
}

bool tables_any_present(const struct page_tables *pt, vaddr_t start, vaddr_t end)
{
	return start < end && any_present(pt->root, PT_LEVELS - 1, start, end);
}
