/*
 * mock_mmu.c - translation tables of the host port: arch/mmu.h in software.
 *
 * The tables are like those of x86-64, so that what vm/ does to them here it does there: four levels of 512
 * entries, each table in a frame of kind TABLE taken from frame_alloc (so it can fail, and is counted),
 * rights at every level, the effective right being the AND. mmu_write_protect clears W in the highest entry
 * that lies wholly in the range; mmu_enter with MMU_WRITE pushes such a refusal down one level at a time:
 * first W is cleared in all entries below, then set above, so that no translation gains a right in between.
 *
 * An entry of level 1 may be a large translation. One that is changed in part is dropped whole.
 *
 * Changes are made under ctx->lock; the walker (mmu_walk, the "hardware") takes no lock, as hardware does
 * not: entries are atomics, and a table that was unlinked is freed by mmu_gather_flush only when every CPU
 * has answered, which a CPU does between accesses, never inside one.
 *
 * `pending` counts gathers that noted something and were not flushed. The TLB model (mock_tlb.c) uses it to
 * tell a stale translation that will still be flushed from one whose flush was forgotten.
 */
#include "arch/host/host.h"
#include "lib/string.h"
#include "kern/log.h"
#include "mm/frame.h"

enum {
	LEVELS = 4,
	TOP = LEVELS - 1,
	ENTRIES = 512,
};

typedef _Atomic uint64_t entry_t;

struct mmu_context kernel_mmu;
static _Atomic uint64_t next_asid = 1;
static _Atomic uint64_t large_made, large_gone, large_cut; /* of all contexts */

/* ---------------------------------------------------------------- tables and entries */

static inline uint64_t span_of(unsigned level)
{
	return 1ULL << (PAGE_SHIFT + 9 * level);
}

static inline unsigned slot_of(vaddr_t va, unsigned level)
{
	return (unsigned)(va >> (PAGE_SHIFT + 9 * level)) & (ENTRIES - 1);
}

static inline entry_t *entries_of(const struct page *table)
{
	return page_to_virt(table);
}

static inline struct page *child_of(uint64_t e)
{
	return phys_to_page(e & E_ADDR);
}

static struct page *table_alloc(struct mmu_context *ctx)
{
	struct page *t = frame_alloc(PAGE_TABLE, FRAME_ZERO);

	if (t) {
		t->table_next = 0;
		t->table_counts = 0;
		t->owner = ctx;
	}
	return t;
}

static void entry_set(struct page *table, unsigned i, uint64_t e)
{
	table->table_counts++;
	store_release(&entries_of(table)[i], e);
}

static void entry_clear(struct page *table, unsigned i)
{
	table->table_counts--;
	store_release(&entries_of(table)[i], 0);
}

static bool is_leaf(uint64_t e, unsigned level)
{
	return level == 0 || (e & E_LARGE);
}

/* n (1 or -1) more large translations. Called with ctx locked. */
static void count_large(struct mmu_context *ctx, int n)
{
	ctx->large += (uint64_t)n;
	fetch_add_relaxed(n > 0 ? &large_made : &large_gone, 1);
}

/* n (1 or -1) more translations like e. Called with ctx locked. */
static void count_marked(struct mmu_context *ctx, uint64_t e, int n)
{
	if (e & E_FILE)
		store_relaxed(&ctx->file, load_relaxed(&ctx->file) + (uint64_t)n);
	if (e & E_SHMEM)
		store_relaxed(&ctx->shmem, load_relaxed(&ctx->shmem) + (uint64_t)n);
}

static uint64_t leaf_bits(unsigned flags)
{
	return E_PRESENT | (flags & MMU_WRITE ? E_WRITE : 0) | (flags & MMU_EXEC ? E_EXEC : 0) |
	       (flags & MMU_USER ? E_USER : 0) | (flags & MMU_GLOBAL ? E_GLOBAL : 0) |
	       (flags & MMU_OF_FILE ? E_FILE : 0) | (flags & MMU_OF_SHMEM ? E_SHMEM : 0);
}

static uint64_t leaf_of(paddr_t pa, unsigned flags)
{
	return pa | leaf_bits(flags) | (uint64_t)(flags >> MMU_CACHE_SHIFT & 7) << E_CACHE_SHIFT;
}

/* From here on ctx has a change that CPUs may not know of. Before the change is made. */
static void note(struct mmu_gather *g, vaddr_t start, vaddr_t end)
{
	if (mmu_gather_is_empty(g))
		fetch_add_relaxed(&g->ctx->pending, 1);
	g->start = MIN(g->start, start);
	g->end = MAX(g->end, end);
}

/* Called with ctx locked, before a change of [start, end): somebody else may have removed or narrowed
 * something there and not have flushed it yet. We find nothing to do, but may not go on as if nobody had the
 * old translation: flush the range ourselves. */
static void note_others(struct mmu_gather *g, vaddr_t start, vaddr_t end)
{
	if (load_acquire(&g->ctx->pending) > !mmu_gather_is_empty(g))
		note(g, start, end);
}

static void gather_table(struct mmu_gather *g, struct page *table)
{
	table->table_next = g->tables ? (uint32_t)page_to_pfn(g->tables) : 0;
	g->tables = table;
	g->ctx->tables--;
}

uint64_t mmu_walk(const struct mmu_context *ctx, vaddr_t va, _Atomic uint64_t **leaf)
{
	entry_t *table = entries_of(ctx->root);
	uint64_t all = E_WRITE | E_EXEC;

	for (unsigned level = TOP;; level--) {
		entry_t *slot = &table[slot_of(va, level)];
		uint64_t e = load_acquire(slot);
		if (!(e & E_PRESENT))
			return 0;
		if (is_leaf(e, level)) {
			*leaf = slot;
			all &= e;
			return (e & ~(uint64_t)(E_WRITE | E_EXEC)) | all |
			       (va & (span_of(level) - 1) & PAGE_MASK);
		}
		all &= e;
		table = entries_of(child_of(e));
	}
}

/* ---------------------------------------------------------------- life */

err_t mmu_init(struct mmu_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
	spin_init(&ctx->lock, "mmu", RANK_MMU);
	ctx->asid = fetch_add_relaxed(&next_asid, 1);
	ctx->root = table_alloc(ctx);
	if (!ctx->root)
		return -ENOMEM;
	ctx->tables = 1;
	return 0;
}

static void table_destroy(struct mmu_context *ctx, struct page *table, unsigned level)
{
	for (unsigned i = 0; level > 0 && table->table_counts > 0 && i < ENTRIES; i++) {
		uint64_t e = load_relaxed(&entries_of(table)[i]);
		if (!(e & E_PRESENT))
			continue;
		table->table_counts--;
		if (is_leaf(e, level))
			count_large(ctx, -1);
		else
			table_destroy(ctx, child_of(e), level - 1);
	}
	ASSERT(page_kind(table) == PAGE_TABLE && table->owner == ctx);
	ctx->tables--;
	frame_free(table);
}

void mmu_destroy(struct mmu_context *ctx)
{
	ASSERT(ctx != &kernel_mmu);
	ASSERT(load_acquire(&ctx->pending) == 0);
	tlb_shootdown(ctx, 0, UINT64_MAX);
	table_destroy(ctx, ctx->root, TOP);
	ASSERT(ctx->tables == 0 && ctx->large == 0);
	ctx->root = NULL;
}

void mmu_switch(struct mmu_context *ctx)
{
	/* The TLB is tagged: nothing to load, and translations of the context left behind stay, as with
	 * process-context identifiers. */
	ASSERT(!irq_is_enabled());
	ASSERT(!ctx || ctx->root);
}

/* ---------------------------------------------------------------- entering */

/* Allocate what is missing on the way to the entry for va at `bottom`, link it only when all is there; *out
 * gets the table of that entry. -ENOMEM; -EEXIST: a large translation is in the way. */
static err_t make_path(struct mmu_context *ctx, vaddr_t va, unsigned bottom, struct page **out)
{
	struct page *fresh[TOP], *table = ctx->root;
	unsigned level = TOP, n;

	for (; level > bottom; level--) {
		uint64_t e = load_relaxed(&entries_of(table)[slot_of(va, level)]);
		if (!(e & E_PRESENT))
			break;
		if (is_leaf(e, level))
			return -EEXIST;
		table = child_of(e);
	}
	for (n = 0; n < level - bottom; n++) {
		fresh[n] = table_alloc(ctx);
		if (!fresh[n])
			goto free_tables;
	}
	for (; level > bottom; level--) {
		struct page *child = fresh[--n];
		entry_set(
		    table, slot_of(va, level), page_to_phys(child) | E_PRESENT | E_WRITE | E_USER | E_EXEC);
		ctx->tables++;
		table = child;
	}
	*out = table;
	return 0;

free_tables:
	while (n > 0)
		frame_free(fresh[--n]);
	return -ENOMEM;
}

/* Take W from every entry of `table`: the entry above, which had none, is about to get it. */
static void close_entries(struct page *table)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		entry_t *slot = &entries_of(table)[i];
		if (load_relaxed(slot) & E_WRITE)
			fetch_and_acq_rel(slot, ~(uint64_t)E_WRITE);
	}
}

/* Make every entry above va's leaf, which is of level `bottom`, writable, without giving that to anything
 * else. */
static void push_down(struct mmu_context *ctx, vaddr_t va, unsigned bottom)
{
	struct page *table = ctx->root;

	for (unsigned level = TOP; level > bottom; level--) {
		entry_t *slot = &entries_of(table)[slot_of(va, level)];
		uint64_t e = load_relaxed(slot);
		table = child_of(e);
		if (e & E_WRITE)
			continue;
		close_entries(table);
		fetch_or_acq_rel(slot, E_WRITE);
		MOCK_COUNT(push_downs);
	}
}

/* The table of level 0 that covers va, or NULL. */
static struct page *find_leaf_table(const struct mmu_context *ctx, vaddr_t va)
{
	struct page *table = ctx->root;

	for (unsigned level = TOP; level > 0; level--) {
		uint64_t e = load_relaxed(&entries_of(table)[slot_of(va, level)]);
		if (!(e & E_PRESENT) || is_leaf(e, level))
			return NULL;
		table = child_of(e);
	}
	return table;
}

static void enter_leaf(struct mmu_context *ctx, struct page *table, vaddr_t va, paddr_t pa, unsigned flags)
{
	entry_t *slot = &entries_of(table)[slot_of(va, 0)];

	if (flags & MMU_WRITE)
		push_down(ctx, va, 0);
	if (load_relaxed(slot) & E_PRESENT) {
		ASSERT(!(leaf_bits(flags) & ~load_relaxed(slot) & (E_FILE | E_SHMEM)));
		fetch_or_acq_rel(slot, leaf_bits(flags));
		return;
	}
	tlb_check_enter(ctx, va, pa >> PAGE_SHIFT);
	entry_set(table, slot_of(va, 0), leaf_of(pa, flags));
	count_marked(ctx, leaf_bits(flags), 1);
}

/* -EEXIST was found: fine if a large translation says the same. */
static err_t enter_in_large(struct mmu_context *ctx, vaddr_t va, paddr_t pa, unsigned flags)
{
	entry_t *leaf;
	uint64_t e = mmu_walk(ctx, va, &leaf), want = leaf_bits(flags);

	return (e & E_ADDR) == pa && (e & want) == want ? 0 : -EEXIST;
}

static err_t enter_locked(struct mmu_context *ctx, vaddr_t va, paddr_t pa, unsigned flags)
{
	struct page *table;
	err_t err = make_path(ctx, va, 0, &table);

	if (err)
		return err == -EEXIST ? enter_in_large(ctx, va, pa, flags) : err;
	uint64_t e = load_relaxed(&entries_of(table)[slot_of(va, 0)]);
	if ((e & E_PRESENT) && (e & E_ADDR) != pa)
		return -EEXIST;
	enter_leaf(ctx, table, va, pa, flags);
	return 0;
}

err_t mmu_enter(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, unsigned flags)
{
	ASSERT(IS_ALIGNED(va, PAGE_SIZE) && IS_ALIGNED(paddr, PAGE_SIZE) && (flags & MMU_READ));
	ASSERT(ctx == &kernel_mmu || ((flags & MMU_USER) && va >= USER_START && va < USER_END));
	spin_lock(&ctx->lock);
	err_t err = enter_locked(ctx, va, paddr, flags);
	spin_unlock(&ctx->lock);
	return err;
}

static err_t enter_large_locked(struct mmu_context *ctx, vaddr_t va, paddr_t pa, unsigned flags)
{
	struct page *table;
	err_t err = make_path(ctx, va, 1, &table);

	if (err)
		return err;
	entry_t *slot = &entries_of(table)[slot_of(va, 1)];
	uint64_t e = load_relaxed(slot);
	if ((e & E_PRESENT) && (!is_leaf(e, 1) || (e & E_ADDR) != pa))
		return -EEXIST;
	if (flags & MMU_WRITE)
		push_down(ctx, va, 1);
	if (e & E_PRESENT) {
		fetch_or_acq_rel(slot, leaf_bits(flags));
		return 0;
	}
	for (unsigned i = 0; i < MMU_LARGE_PAGES; i++)
		tlb_check_enter(ctx, va + i * PAGE_SIZE, (pa >> PAGE_SHIFT) + i);
	entry_set(table, slot_of(va, 1), leaf_of(pa, flags) | E_LARGE);
	count_large(ctx, 1);
	return 0;
}

err_t mmu_enter_large(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, unsigned flags)
{
	ASSERT(IS_ALIGNED(va | paddr, MMU_LARGE_SIZE) && (flags & MMU_READ) && (flags & MMU_USER));
	ASSERT(va >= USER_START && va + MMU_LARGE_SIZE <= USER_END);
	spin_lock(&ctx->lock);
	err_t err = enter_large_locked(ctx, va, paddr, flags);
	spin_unlock(&ctx->lock);
	return err;
}

void mmu_enter_around(
    struct mmu_context *ctx, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags)
{
	ASSERT(n <= 64 && IS_ALIGNED(va, PAGE_SIZE) && (flags & MMU_READ));
	spin_lock(&ctx->lock);
	for (unsigned i = 0; i < n; i++, va += PAGE_SIZE) {
		struct page *table = pages[i] ? find_leaf_table(ctx, va) : NULL;
		if (!table)
			continue;
		uint64_t e = load_relaxed(&entries_of(table)[slot_of(va, 0)]);
		if ((e & E_PRESENT) && (!(flags & MMU_WRITE) || (e & E_ADDR) != page_to_phys(pages[i])))
			continue;
		enter_leaf(ctx, table, va, page_to_phys(pages[i]), flags);
	}
	spin_unlock(&ctx->lock);
}

unsigned mmu_enter_run(
    struct mmu_context *ctx, vaddr_t va, struct page *const *pages, unsigned n, unsigned flags)
{
	unsigned i = 0;
	ASSERT(IS_ALIGNED(va, PAGE_SIZE) && (flags & MMU_READ));
	spin_lock(&ctx->lock);
	struct page *table = find_leaf_table(ctx, va);
	for (; table && i < n; i++, va += PAGE_SIZE) {
		if ((i && slot_of(va, 0) == 0) ||
		    load_relaxed(&entries_of(table)[slot_of(va, 0)]) & E_PRESENT)
			break;
		enter_leaf(ctx, table, va, page_to_phys(pages[i]), flags);
	}
	spin_unlock(&ctx->lock);
	return i;
}

err_t mmu_enter_range(struct mmu_context *ctx, vaddr_t va, paddr_t paddr, uint64_t len, unsigned flags)
{
	uint64_t done = 0;
	err_t err = 0;

	ASSERT(ctx == &kernel_mmu);
	for (; done < len && !err; done += err ? 0 : PAGE_SIZE)
		err = mmu_enter(ctx, va + done, paddr + done, flags);
	if (err) {
		struct mmu_gather g;
		mmu_gather_begin(&g, ctx);
		mmu_unmap(ctx, va, va + done, &g);
		mmu_gather_flush(&g);
	}
	return err;
}

/* ---------------------------------------------------------------- removing and narrowing */

/* One kind of change to the leaves of a range. */
struct change {
	struct mmu_context *ctx;
	struct mmu_gather *g;
	vaddr_t start, last; /* first byte, last byte: no overflow at the end of the address space */
	bool unmap;
	uint64_t rights; /* not unmap: the rights to keep or give, of E_WRITE | E_EXEC */
};

/* Entry i of `table`, a leaf of `level` for va, goes. */
static void drop_leaf(struct change *c, struct page *table, unsigned i, unsigned level, vaddr_t va)
{
	note(c->g, va, va + span_of(level));
	count_marked(c->ctx, load_relaxed(&entries_of(table)[i]), -1);
	entry_clear(table, i);
	if (level > 0)
		count_large(c->ctx, -1);
}

/* If the leaf spans more than the range, it goes: true. */
static bool drop_if_cut(struct change *c, struct page *table, unsigned i, unsigned level, vaddr_t va)
{
	if (va >= c->start && va + span_of(level) - 1 <= c->last)
		return false;
	fetch_add_relaxed(&large_cut, 1);
	drop_leaf(c, table, i, level, va);
	return true;
}

static void change_leaf(struct change *c, struct page *table, unsigned i, unsigned level, vaddr_t va)
{
	entry_t *slot = &entries_of(table)[i];
	uint64_t e = load_relaxed(slot);

	if (drop_if_cut(c, table, i, level, va))
		return;
	if (c->unmap) {
		drop_leaf(c, table, i, level, va);
		return;
	}
	uint64_t want =
	    (e & ~(uint64_t)E_WRITE & ~(uint64_t)E_EXEC) | (e & c->rights & E_WRITE) | (c->rights & E_EXEC);
	if ((want ^ e) & (E_WRITE | E_EXEC)) {
		note(c->g, va, va + span_of(level));
		/* The walker may set A and D at the same time. */
		if (!(want & E_WRITE))
			fetch_and_acq_rel(slot, ~(uint64_t)E_WRITE);
		if (want & E_EXEC)
			fetch_or_acq_rel(slot, E_EXEC);
		else
			fetch_and_acq_rel(slot, ~(uint64_t)E_EXEC);
	}
}

/* Entry i of `table`, of `level` and for va, names a table below which something went. */
static void drop_if_empty(struct change *c, struct page *table, unsigned i, unsigned level, vaddr_t va)
{
	struct page *child = child_of(load_relaxed(&entries_of(table)[i]));

	if (child->table_counts > 0)
		return;
	note(c->g, MAX(c->start, va), MIN(c->last, va + span_of(level) - 1) + 1);
	entry_clear(table, i);
	gather_table(c->g, child);
}

static void change_table(struct change *c, struct page *table, unsigned level, vaddr_t base)
{
	uint64_t span = span_of(level);
	vaddr_t first = MAX(c->start, base), last = MIN(c->last, base + span * ENTRIES - 1);

	for (unsigned i = (unsigned)((first - base) / span); i <= (last - base) / span; i++) {
		uint64_t e = load_relaxed(&entries_of(table)[i]);
		vaddr_t va = base + i * span;
		if (!(e & E_PRESENT))
			continue;
		if (is_leaf(e, level)) {
			change_leaf(c, table, i, level, va);
			continue;
		}
		change_table(c, child_of(e), level - 1, va);
		drop_if_empty(c, table, i, level, va);
	}
}

/* The first address that the root covers in the half of va: the root's entries are found by 48 bits, and
 * kernel addresses have all higher bits set. */
static vaddr_t root_base(vaddr_t va)
{
	return va >> 47 ? 0xffff000000000000ULL : 0;
}

static void change_range(struct change *c, vaddr_t start, vaddr_t end)
{
	if (start >= end)
		return;
	c->start = start;
	c->last = end - 1;
	spin_lock(&c->ctx->lock);
	note_others(c->g, start, end);
	change_table(c, c->ctx->root, TOP, root_base(start));
	spin_unlock(&c->ctx->lock);
}

void mmu_unmap(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && IS_ALIGNED(start, PAGE_SIZE) && IS_ALIGNED(end, PAGE_SIZE));
	change_range(&(struct change){.ctx = ctx, .g = g, .unmap = true}, start, end);
}

void mmu_protect(struct mmu_context *ctx, vaddr_t start, vaddr_t end, unsigned flags, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && IS_ALIGNED(start, PAGE_SIZE) && IS_ALIGNED(end, PAGE_SIZE));
	struct change c = {.ctx = ctx, .g = g, .unmap = !(flags & MMU_READ), .rights = leaf_bits(flags)};
	change_range(&c, start, end);
}

static void protect_table(struct change *c, struct page *table, unsigned level, vaddr_t base)
{
	uint64_t span = span_of(level);
	vaddr_t first = MAX(c->start, base), last = MIN(c->last, base + span * ENTRIES - 1);

	for (unsigned i = (unsigned)((first - base) / span); i <= (last - base) / span; i++) {
		entry_t *slot = &entries_of(table)[i];
		uint64_t e = load_relaxed(slot);
		vaddr_t va = base + i * span;
		if ((e & (E_PRESENT | E_WRITE)) != (E_PRESENT | E_WRITE))
			continue; /* nothing below can be written */
		if (is_leaf(e, level) && drop_if_cut(c, table, i, level, va))
			continue;
		if (va < c->start || va + span - 1 > c->last) {
			protect_table(c, child_of(e), level - 1, va);
			drop_if_empty(c, table, i, level, va);
			continue;
		}
		note(c->g, va, va + span);
		fetch_and_acq_rel(slot, ~(uint64_t)E_WRITE);
		MOCK_COUNT(protect_stores);
	}
}

void mmu_write_protect(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && IS_ALIGNED(start, PAGE_SIZE) && IS_ALIGNED(end, PAGE_SIZE));
	if (start >= end)
		return;
	struct change c = {.ctx = ctx, .g = g, .start = start, .last = end - 1};
	spin_lock(&ctx->lock);
	note_others(g, start, end);
	protect_table(&c, ctx->root, TOP, root_base(start));
	spin_unlock(&ctx->lock);
}

void mmu_write_protect_wide(struct mmu_context *ctx, vaddr_t start, vaddr_t end, struct mmu_gather *g)
{
	ASSERT(g->ctx == ctx && IS_ALIGNED(start, PAGE_SIZE) && IS_ALIGNED(end, PAGE_SIZE));
	if (start >= end)
		return;
	spin_lock(&ctx->lock);
	note_others(g, start, end);
	for (unsigned i = slot_of(start, TOP); i <= slot_of(end - 1, TOP); i++) {
		entry_t *slot = &entries_of(ctx->root)[i];
		if ((load_relaxed(slot) & (E_PRESENT | E_WRITE)) != (E_PRESENT | E_WRITE))
			continue;
		note(g, i * span_of(TOP), (i + 1) * span_of(TOP));
		fetch_and_acq_rel(slot, ~(uint64_t)E_WRITE);
		MOCK_COUNT(protect_stores);
	}
	spin_unlock(&ctx->lock);
}

void mmu_gather_flush(struct mmu_gather *g)
{
	struct mmu_context *ctx = g->ctx;
	struct page *table = g->tables;

	ASSERT(irq_is_enabled());
	if (mmu_gather_is_empty(g))
		return;
	tlb_shootdown(ctx, g->start, g->end);
	fetch_sub_release(&ctx->pending, 1);
	mmu_gather_begin(g, ctx);
	while (table) {
		struct page *next = table->table_next ? pfn_to_page(table->table_next) : NULL;
		ASSERT(table->table_counts == 0 && page_kind(table) == PAGE_TABLE);
		frame_free(table);
		table = next;
	}
}

/* ---------------------------------------------------------------- looking */

bool mmu_query(struct mmu_context *ctx, vaddr_t va, struct mmu_translation *out)
{
	entry_t *leaf;

	spin_lock(&ctx->lock);
	uint64_t e = mmu_walk(ctx, va, &leaf);
	spin_unlock(&ctx->lock);
	if (!e)
		return false;
	*out = (struct mmu_translation){
	    .paddr = (e & E_ADDR) | (va & ~PAGE_MASK),
	    .flags = MMU_READ | (e & E_WRITE ? MMU_WRITE : 0) | (e & E_EXEC ? MMU_EXEC : 0) |
		     (e & E_USER ? MMU_USER : 0) | (e & E_GLOBAL ? MMU_GLOBAL : 0) |
		     (e & E_FILE ? MMU_OF_FILE : 0) | (e & E_SHMEM ? MMU_OF_SHMEM : 0) |
		     (unsigned)(e >> E_CACHE_SHIFT & 7) << MMU_CACHE_SHIFT,
	    .size = e & E_LARGE ? MMU_LARGE_SIZE : PAGE_SIZE,
	    .accessed = e & E_ACCESSED,
	    .dirty = e & E_DIRTY,
	};
	return true;
}

void mmu_clean_cache(UNUSED const void *at, UNUSED size_t len)
{
}

bool mmu_harvest_accessed(struct mmu_context *ctx, vaddr_t va)
{
	bool was = false;
	entry_t *leaf;

	spin_lock(&ctx->lock);
	if (mmu_walk(ctx, va, &leaf))
		was = fetch_and_acq_rel(leaf, ~(uint64_t)E_ACCESSED) & E_ACCESSED;
	spin_unlock(&ctx->lock);
	return was;
}

uint64_t mmu_count_accessed(struct mmu_context *ctx, vaddr_t start, vaddr_t end, paddr_t but, bool clear)
{
	uint64_t n = 0;
	entry_t *leaf;

	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		spin_lock(&ctx->lock);
		uint64_t e = mmu_walk(ctx, va, &leaf);
		n += (e & E_ACCESSED) && (e & E_ADDR) != but;
		spin_unlock(&ctx->lock);
	}
	for (vaddr_t va = start; clear && va < end; va += PAGE_SIZE)
		mmu_harvest_accessed(ctx, va);
	return n;
}

void mmu_large_stats(struct mmu_large_stats *out)
{
	uint64_t gone = load_relaxed(&large_gone), made = load_relaxed(&large_made);

	*out = (struct mmu_large_stats){.now = made - gone, .made = made, .cut = load_relaxed(&large_cut)};
}

struct mmu_marked mmu_marked(const struct mmu_context *ctx)
{
	return (struct mmu_marked){load_relaxed(&ctx->file), load_relaxed(&ctx->shmem)};
}

uint64_t mmu_marked_among(struct mmu_context *ctx, vaddr_t va, unsigned n)
{
	uint64_t set = 0;
	entry_t *leaf;

	ASSERT(n <= 64);
	spin_lock(&ctx->lock);
	for (unsigned i = 0; i < n; i++)
		if (mmu_walk(ctx, va + i * PAGE_SIZE, &leaf) & (E_FILE | E_SHMEM))
			set |= 1ULL << i;
	spin_unlock(&ctx->lock);
	return set;
}

uint64_t mmu_table_count(const struct mmu_context *ctx)
{
	return ctx->tables;
}

/* What a walk found. */
struct found {
	uint64_t large, file, shmem;
};

static uint64_t validate_table(struct mmu_context *ctx, struct page *table, unsigned level, struct found *f)
{
	uint64_t tables = 1;
	unsigned used = 0;

	ASSERT(page_kind(table) == PAGE_TABLE && table->owner == ctx);
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t e = load_relaxed(&entries_of(table)[i]);
		used += e & E_PRESENT;
		ASSERT((e & E_PRESENT) || e == 0);
		if (!(e & E_PRESENT))
			continue;
		f->large += level > 0 && is_leaf(e, level);
		f->file += is_leaf(e, level) && (e & E_FILE);
		f->shmem += is_leaf(e, level) && (e & E_SHMEM);
		if (!is_leaf(e, level))
			tables += validate_table(ctx, child_of(e), level - 1, f);
		else
			ASSERT(ctx != &kernel_mmu || (e & (E_WRITE | E_EXEC)) != (E_WRITE | E_EXEC));
	}
	ASSERT(used == table->table_counts && (used > 0 || level == TOP));
	return tables;
}

void mmu_validate(struct mmu_context *ctx)
{
	spin_lock(&ctx->lock);
	struct found f = {0};
	uint64_t tables = validate_table(ctx, ctx->root, TOP, &f);
	ASSERT(tables == ctx->tables && f.large == ctx->large);
	ASSERT(f.file == load_relaxed(&ctx->file) && f.shmem == load_relaxed(&ctx->shmem));
	spin_unlock(&ctx->lock);
}

static void dump_table(struct page *table, unsigned level, vaddr_t base, uint64_t rights)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t e = load_relaxed(&entries_of(table)[i]);
		vaddr_t va = base + i * span_of(level);
		if (!(e & E_PRESENT))
			continue;
		if (!is_leaf(e, level))
			dump_table(child_of(e), level - 1, va, rights & e);
		else
			log_info("mmu", "%#llx -> %#llx %lluK r%c%c", (unsigned long long)va,
			    (unsigned long long)(e & E_ADDR), (unsigned long long)(span_of(level) >> 10),
			    rights & e & E_WRITE ? 'w' : '-', rights & e & E_EXEC ? 'x' : '-');
	}
}

void mmu_dump(struct mmu_context *ctx)
{
	spin_lock(&ctx->lock);
	dump_table(ctx->root, TOP, root_base(ctx == &kernel_mmu ? UINT64_MAX : 0), E_WRITE | E_EXEC);
	spin_unlock(&ctx->lock);
}
