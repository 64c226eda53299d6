/*
 * test_mmu_x86.c - the page tables of x86-64 (mmu_tables.c, mmu_debug.c) on the host, against a model.
 *
 * The model is a list of pages whose addresses sit on both sides of every kind of table boundary; for each it
 * keeps frame and effective rights. After every operation the whole universe is asked for, tables are
 * counted, and whatever lost a right must lie in the range that the gather noted. A walker thread looks for
 * the moment at which a path has more rights than it should.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "arch/mmu.h"
#include "lib/printf.h"
#include "machine/host.h"
#include "mm/frame.h"

/* The code under test gets frames from here: every frame is accounted for, and the n-th request can be made
 * to fail. */
#define frame_alloc stub_frame_alloc
#define frame_free  stub_frame_free
static struct page *stub_frame_alloc(enum page_kind kind, unsigned flags);
static void stub_frame_free(struct page *p);
#include "arch/x86_64/mmu_debug.c"
#include "arch/x86_64/mmu_tables.c"
#undef frame_alloc
#undef frame_free

enum {
	NFRAMES = 4096,
	FIRST_FRAME = 80,
	L3S = 3,
	L2S = 3,
	L1S = 3,
	L0S = 12,
	NPAGES = L3S * L2S * L1S * L0S,
};

static uint32_t free_frames[NFRAMES];
static unsigned nfree, fail_at;

static struct page *stub_frame_alloc(enum page_kind kind, unsigned flags)
{
	if (fail_at && --fail_at == 0)
		return NULL;
	if (!nfree)
		abort();
	struct page *p = pfn_to_page(free_frames[--nfree]);
	page_set_kind(p, kind, 0);
	if (flags & FRAME_ZERO)
		memset(page_to_virt(p), 0, PAGE_SIZE);
	return p;
}

static void stub_frame_free(struct page *p)
{
	if (page_kind(p) != PAGE_TABLE)
		abort();
	page_set_kind(p, PAGE_FREE, 0);
	memset(page_to_virt(p), 0xa5,
	    PAGE_SIZE); /* present, writable, large: a walk through it goes astray at once */
	free_frames[nfree++] = (uint32_t)page_to_pfn(p);
}

static void frames_init(void)
{
	nfree = 0;
	for (uint32_t i = NFRAMES - 1; i >= FIRST_FRAME; i--)
		free_frames[nfree++] = i;
}

/* -- the model ------------------------------------------------------------------------------------------- */

struct mpage {
	vaddr_t va;
	bool present;
	unsigned level;
	paddr_t pa;
	unsigned flags;
};

static struct mpage model[NPAGES];
static struct page_tables pt;
static pte_t kernel_root[PT_ENTRIES];
static uint64_t seed, state;
static unsigned step;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			printf("not ok - %s:%d: %s (seed %llu, step %u)\n", __FILE__, __LINE__, #cond,       \
			    (unsigned long long)seed, step);                                                 \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

static void model_init(void)
{
	static const unsigned l3[L3S] = {0, 1, 255}, l2[L2S] = {0, 1, 511}, l1[L1S] = {0, 1, 511};
	static const unsigned l0[L0S] = {1, 2, 3, 4, 5, 6, 7, 506, 507, 508, 509, 510};
	unsigned n = 0;
	for (unsigned a = 0; a < L3S; a++)
		for (unsigned b = 0; b < L2S; b++)
			for (unsigned c = 0; c < L1S; c++)
				for (unsigned d = 0; d < L0S; d++)
					model[n++] =
					    (struct mpage){.va = (vaddr_t)l3[a] << 39 | (vaddr_t)l2[b] << 30 |
								 (vaddr_t)l1[c] << 21 | (vaddr_t)l0[d] << 12};
}

static uint64_t expected_tables(void)
{
	uint64_t n = 1;
	vaddr_t last[PT_LEVELS] = {[0 ... PT_LEVELS - 1] = UINT64_MAX};
	for (unsigned i = 0; i < NPAGES; i++) {
		if (!model[i].present)
			continue;
		for (unsigned l = model[i].level; l < PT_LEVELS - 1; l++) {
			if (model[i].va >> pt_shift(l + 1) != last[l])
				n++;
			last[l] = model[i].va >> pt_shift(l + 1);
		}
	}
	return n;
}

static uint64_t count_with(unsigned mark)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < NPAGES; i++)
		n += model[i].present && (model[i].flags & mark);
	return n;
}

static void check_all(void)
{
	for (unsigned i = 0; i < NPAGES; i++) {
		struct mmu_translation t;
		const struct mpage *m = &model[i];
		bool present = tables_query(&pt, m->va + 0x123, &t);
		CHECK(present == m->present);
		if (!present)
			continue;
		CHECK(t.paddr == m->pa + 0x123);
		CHECK(t.flags == m->flags);
		CHECK(t.size == pt_span(m->level));
	}
	for (unsigned i = 0; i < NPAGES; i++) {
		uint64_t set = tables_marked_among(&pt, model[i].va, 64);
		for (unsigned k = i; k < NPAGES && model[k].va - model[i].va < 64 * PAGE_SIZE; k++) {
			bool marked = model[k].present && (model[k].flags & MMU_MARKS);
			CHECK((set >> (model[k].va - model[i].va) / PAGE_SIZE & 1) == marked);
		}
	}
	CHECK(pt.count == expected_tables());
	CHECK(pt.file == count_with(MMU_OF_FILE) && pt.shmem == count_with(MMU_OF_SHMEM));
	tables_validate(&pt, 0, PT_ENTRIES / 2);
}

/* Everything that `before` had and the model has no longer must lie in what g noted. */
static void check_noted(const struct mpage *before, const struct mmu_gather *g)
{
	for (unsigned i = 0; i < NPAGES; i++) {
		const struct mpage *b = &before[i], *m = &model[i];
		bool lost =
		    b->present && (!m->present || (b->flags & ~m->flags & (MMU_WRITE | MMU_EXEC | MMU_USER)));
		if (lost)
			CHECK(g->start <= b->va && b->va + PAGE_SIZE <= g->end);
	}
}

/* -- random operations ----------------------------------------------------------------------------------- */

/* Of a large leaf. */
static unsigned random_rights(void)
{
	unsigned f = MMU_READ | MMU_USER | (unsigned)(rnd() % 5) << MMU_CACHE_SHIFT;
	return f | (rnd() & 1 ? MMU_WRITE : 0) | (rnd() & 1 ? MMU_EXEC : 0);
}

static unsigned random_flags(void)
{
	static const unsigned marks[] = {0, MMU_OF_FILE, MMU_OF_SHMEM};
	return random_rights() | marks[rnd() % ARRAY_SIZE(marks)];
}

/* Physical addresses are only numbers here; frames repeat, so that the same frame is entered again often. */
static paddr_t random_pa(void)
{
	return (0x100 + rnd() % 3) << 12;
}

static struct mpage *random_page(void)
{
	return &model[rnd() % NPAGES];
}

static void widen_model(struct mpage *m, unsigned flags)
{
	m->flags |= flags & (MMU_WRITE | MMU_EXEC | MMU_USER);
}

static err_t model_enter(struct mpage *m, paddr_t pa, unsigned flags)
{
	unsigned want = flags & (MMU_READ | MMU_WRITE | MMU_EXEC | MMU_USER);
	if (!m->present) {
		*m = (struct mpage){.va = m->va, .present = true, .pa = pa, .flags = flags};
		return 0;
	}
	if (m->pa != pa || (m->level > 0 && (m->flags & want) != want))
		return -EEXIST;
	if (m->level == 0)
		widen_model(m, flags);
	return 0;
}

static void op_enter(void)
{
	struct mpage *m = random_page();
	unsigned flags = random_flags();
	paddr_t pa = m->present && rnd() % 4 ? m->pa : random_pa();
	err_t want = model_enter(m, pa, flags);
	CHECK(tables_enter(&pt, m->va, pa, flags) == want);
}

static void op_enter_failing(void)
{
	struct mpage *m = random_page();
	uint64_t count = pt.count;
	unsigned frames = nfree;
	if (m->present)
		return;
	fail_at = 1 + (unsigned)(rnd() % 3);
	unsigned armed = fail_at;
	paddr_t pa = random_pa();
	err_t err = tables_enter(&pt, m->va, pa, MMU_READ | MMU_USER);
	bool fired = fail_at == 0;
	fail_at = 0;
	CHECK(err == (fired ? -ENOMEM : 0));
	if (!err) {
		CHECK(pt.count - count < armed);
		CHECK(model_enter(m, pa, MMU_READ | MMU_USER) == 0);
	} else {
		CHECK(pt.count == count && nfree == frames);
	}
}

static void op_enter_block(void)
{
	struct mpage *m = random_page();
	unsigned level = 1 + (unsigned)(rnd() % pt_max_leaf_level), flags = random_rights();
	vaddr_t va = ALIGN_DOWN(m->va, pt_span(level));
	paddr_t pa = (4 + rnd() % 3) << 30;
	uint64_t size;
	if (tables_any_present(&pt, va, va + pt_span(level)))
		return;
	CHECK(tables_enter_block(&pt, va, pa, pt_span(level), flags, &size) == 0);
	CHECK(size == pt_span(level));
	for (unsigned i = 0; i < NPAGES; i++)
		if (ALIGN_DOWN(model[i].va, pt_span(level)) == va)
			model[i] = (struct mpage){model[i].va, true, level, pa + (model[i].va - va), flags};
}

/* Is there a level-0 table for va? */
static bool model_has_table(vaddr_t va)
{
	for (unsigned i = 0; i < NPAGES; i++)
		if (model[i].present && model[i].level == 0 && model[i].va >> 21 == va >> 21)
			return true;
	return false;
}

static void op_enter_large(void)
{
	struct mpage *m = random_page();
	vaddr_t va = ALIGN_DOWN(m->va, MIB(2));
	paddr_t pa = m->present && m->level == 1 && rnd() % 4 ? m->pa & ~(MIB(2) - 1) : (4 + rnd() % 3) << 30;
	unsigned flags = random_rights();
	bool fits = !m->present || (m->level == 1 && m->pa == pa + (m->va - va));
	bool there = m->present;
	if (model_has_table(va) || (m->present && m->level != 1))
		fits = false;
	CHECK(tables_enter_large(&pt, va, pa, flags) == (fits ? 0 : -EEXIST));
	for (unsigned i = 0; fits && i < NPAGES; i++) {
		if (ALIGN_DOWN(model[i].va, MIB(2)) != va)
			continue;
		if (there)
			widen_model(&model[i], flags);
		else
			model[i] = (struct mpage){model[i].va, true, 1, pa + (model[i].va - va), flags};
	}
}

/* The page of the model at va, or NULL. */
static struct mpage *page_at(vaddr_t va)
{
	for (unsigned i = 0; i < NPAGES; i++)
		if (model[i].va == va)
			return &model[i];
	return NULL;
}

static void op_enter_run(void)
{
	struct page *pages[64];
	vaddr_t va = random_page()->va;
	unsigned n = 0, most = 1 + (unsigned)(rnd() % 64), flags = random_flags(), expect = 0;
	for (; n < most && page_at(va + n * PAGE_SIZE); n++)
		pages[n] = phys_to_page(random_pa());
	while (expect < n && model_has_table(va) && !page_at(va + expect * PAGE_SIZE)->present &&
	       va >> 21 == (va + expect * PAGE_SIZE) >> 21)
		expect++;
	CHECK(tables_enter_run(&pt, va, pages, n, flags) == expect);
	for (unsigned i = 0; i < expect; i++)
		*page_at(va + i * PAGE_SIZE) = (struct mpage){
		    .va = va + i * PAGE_SIZE, .present = true, .pa = page_to_phys(pages[i]), .flags = flags};
}

static void op_enter_around(void)
{
	struct page *pages[64];
	struct mpage *first = random_page();
	vaddr_t va = first->va - (rnd() % 8 < first->va >> 12 ? rnd() % 2 : 0) * PAGE_SIZE;
	unsigned n = 1 + (unsigned)(rnd() % 64), flags = random_flags();
	n = (unsigned)MIN(n, (USER_END - va) / PAGE_SIZE);
	for (unsigned i = 0; i < n; i++)
		pages[i] = rnd() % 4 ? phys_to_page(random_pa()) : NULL;
	vaddr_t stop = va; /* the first missing table ends it */
	while (stop < va + (uint64_t)n * PAGE_SIZE && model_has_table(stop))
		stop = ALIGN_DOWN(stop, MIB(2)) + MIB(2);
	tables_enter_around(&pt, va, pages, n, flags);
	for (unsigned i = 0; i < NPAGES; i++) {
		struct mpage *m = &model[i];
		if (m->va < va || m->va >= MIN(stop, va + (uint64_t)n * PAGE_SIZE) ||
		    !pages[(m->va - va) >> 12])
			continue;
		paddr_t pa = page_to_phys(pages[(m->va - va) >> 12]);
		if (m->present && m->level == 0 && m->pa == pa && (flags & MMU_WRITE))
			widen_model(m, flags);
		if (!m->present)
			*m = (struct mpage){.va = m->va, .present = true, .pa = pa, .flags = flags};
	}
	/* Pages outside the universe that the run touched go again: the model does not know them. */
	for (unsigned i = 0; i < n; i++) {
		vaddr_t at = va + (uint64_t)i * PAGE_SIZE;
		struct mmu_translation t;
		struct mmu_gather g;
		bool known = false;
		for (unsigned k = 0; k < NPAGES; k++)
			known |= model[k].va == at;
		if (known || at >= USER_END || !tables_query(&pt, at, &t) || t.size > PAGE_SIZE)
			continue;
		mmu_gather_begin(&g, NULL);
		tables_unmap(&pt, at, at + PAGE_SIZE, &g);
		tables_flushed(&pt, &g);
	}
}

static void random_range(vaddr_t *start, vaddr_t *end)
{
	vaddr_t a = random_page()->va, b = random_page()->va + PAGE_SIZE;
	static const unsigned shifts[] = {12, 21, 30, 39};
	unsigned shift = shifts[rnd() % 4];
	if (rnd() & 1) { /* whole entries of some level */
		a = ALIGN_DOWN(a, 1ULL << shift);
		b = ALIGN_UP(b, 1ULL << shift);
	}
	*start = MIN(a, b);
	*end = MIN(MAX(a, b), 1ULL << 47);
}

/* A large leaf that the range cuts is dropped whole. */
static void model_drop_cut(vaddr_t start, vaddr_t end, unsigned only_with)
{
	for (unsigned i = 0; i < NPAGES; i++) {
		struct mpage *m = &model[i];
		vaddr_t base = ALIGN_DOWN(m->va, pt_span(m->level)), top = base + pt_span(m->level);
		bool overlaps = start < end && base < end && start < top, whole = start <= base && top <= end;
		if (m->present && overlaps && !whole && (m->flags & only_with) == only_with)
			m->present = false;
	}
}

static void op_narrow(struct mmu_gather *g)
{
	struct mpage before[NPAGES];
	vaddr_t start, end;
	unsigned kind = (unsigned)(rnd() % 3), flags = random_flags() & ~(rnd() % 8 ? 0u : MMU_READ);
	memcpy(before, model, sizeof(model));
	random_range(&start, &end);
	model_drop_cut(start, end, kind == 2 ? MMU_WRITE : 0);
	for (unsigned i = 0; i < NPAGES; i++) {
		struct mpage *m = &model[i];
		if (!m->present || m->va < start || m->va >= end)
			continue;
		if (kind == 0 || (kind == 1 && !(flags & MMU_READ))) {
			m->present = false;
		} else if (kind == 1) {
			unsigned keep = m->flags & ~(unsigned)(MMU_WRITE | MMU_EXEC | MMU_USER);
			m->flags = keep | (m->flags & flags & MMU_WRITE) | (flags & (MMU_EXEC | MMU_USER));
		} else {
			m->flags &= ~(unsigned)MMU_WRITE;
		}
	}
	bool others = pt.unflushed > !mmu_gather_is_empty(g);
	if (kind == 0)
		tables_unmap(&pt, start, end, g);
	else if (kind == 1)
		tables_protect(&pt, start, end, flags, g);
	else
		tables_write_protect(&pt, start, end, g);
	check_noted(before, g);
	if (others && start < end)
		CHECK(g->start <= start && end <= g->end);
}

static void op_harvest(void)
{
	struct mpage *m = random_page();
	unsigned at;
	uint64_t path;
	if (!m->present) {
		CHECK(!tables_harvest(&pt, m->va));
		return;
	}
	fetch_or_acq_rel(walk(&pt, m->va, 0, &at, &path), PTE_A | PTE_D); /* as the hardware does */
	struct mmu_translation t;
	CHECK(tables_query(&pt, m->va, &t) && t.accessed && t.dirty);
	CHECK(tables_harvest(&pt, m->va));
	CHECK(!tables_harvest(&pt, m->va));
	CHECK(tables_query(&pt, m->va, &t) && !t.accessed && t.dirty);
}

static void start_tables(void)
{
	frames_init();
	model_init();
	for (unsigned i = 256; i < 512; i++)
		kernel_root[i] = (uint64_t)i << 12 | 1;
	CHECK(tables_init(&pt, kernel_root) == 0);
	for (unsigned i = 0; i < PT_ENTRIES; i++)
		CHECK(pt.root[i] == (i < 256 ? 0 : kernel_root[i]));
}

static void end_tables(void)
{
	tables_fini(&pt);
	CHECK(nfree == NFRAMES - FIRST_FRAME);
}

static void run_random(uint64_t s, unsigned steps, unsigned max_leaf)
{
	struct mmu_gather gathers[2];
	seed = state = s;
	pt_max_leaf_level = max_leaf;
	start_tables();
	for (unsigned i = 0; i < 2; i++)
		mmu_gather_begin(&gathers[i], NULL);
	for (step = 0; step < steps; step++) {
		struct mmu_gather *g = &gathers[rnd() % 2];
		switch (rnd() % 16) {
		case 0:
			op_enter_block();
			break;
		case 1:
			op_enter_failing();
			break;
		case 2:
			op_harvest();
			break;
		case 3:
			tables_flushed(&pt, g);
			break;
		case 4:
		case 5:
			op_narrow(g);
			break;
		case 6:
			op_enter_around();
			break;
		case 7:
			op_enter_run();
			break;
		case 8:
			op_enter_large();
			break;
		default:
			op_enter();
		}
		check_all();
	}
	for (unsigned i = 0; i < 2; i++)
		tables_flushed(&pt, &gathers[i]);
	CHECK(pt.unflushed == 0);
	end_tables();
}

/* -- single rules ---------------------------------------------------------------------------------------- */

/* One store takes write access from 1 GiB, and giving it back to one page leaves the others without. */
static void test_hierarchy(void)
{
	struct mmu_gather g;
	struct mmu_translation t;
	enum { W = MMU_READ | MMU_WRITE | MMU_USER };
	start_tables();
	for (unsigned i = 0; i < NPAGES; i++)
		CHECK(
		    model_enter(&model[i], 0x5000, W) == 0 && tables_enter(&pt, model[i].va, 0x5000, W) == 0);
	mmu_gather_begin(&g, NULL);
	tables_write_protect(&pt, 0, GIB(1), &g);
	CHECK(g.start == 0 && g.end == GIB(1));
	unsigned at;
	uint64_t path;
	for (unsigned i = 0; i < NPAGES; i++) {
		uint64_t leaf = *walk(&pt, model[i].va, 0, &at, &path);
		bool in = model[i].va < GIB(1);
		CHECK(leaf & PTE_W); /* the leaves were not touched */
		CHECK(!(path & PTE_W) == in);
		model[i].flags &= in ? ~(unsigned)MMU_WRITE : ~0u;
	}
	tables_flushed(&pt, &g);
	CHECK(tables_enter(&pt, model[3].va, 0x5000, W) == 0);
	model[3].flags |= MMU_WRITE;
	check_all();
	/* Nothing is writable any more in there: nothing to note. */
	tables_write_protect(&pt, GIB(1) / 2, GIB(1), &g);
	CHECK(mmu_gather_is_empty(&g) || g.start >= GIB(1) / 2);
	CHECK(tables_query(&pt, model[4].va, &t) && !(t.flags & MMU_WRITE));
	tables_flushed(&pt, &g);
	end_tables();
}

/* Every frame request of a first enter is failed in turn. */
static void test_enter_failures(void)
{
	start_tables();
	for (unsigned n = 1;; n++) {
		fail_at = n;
		err_t err = tables_enter(&pt, 0x7f0000000000, 0x5000, MMU_READ | MMU_USER);
		bool fired = fail_at == 0;
		fail_at = 0;
		if (!fired) {
			CHECK(err == 0 && n == 4 && pt.count == 4);
			break;
		}
		CHECK(err == -ENOMEM && pt.count == 1 && nfree == NFRAMES - FIRST_FRAME - 1);
		CHECK(!(pt.root[pt_index(0x7f0000000000, 3)] & PTE_P));
	}
	end_tables();
}

/* A page of its own for each cache type, small and large, reads back as the type that was asked for; and the
 * bits are those of the PAT layout WB WT UC- UC WB WT UC- WC: index = PAT << 2 | PCD << 1 | PWT. */
static void test_cache_types(void)
{
	static const unsigned pat_index[] = {
	    [MMU_WB] = 0, [MMU_WT] = 1, [MMU_UC_MINUS] = 2, [MMU_UC] = 3, [MMU_WC] = 7};
	for (unsigned c = MMU_WB; c <= MMU_WC; c++) {
		uint64_t small = leaf_bits_at(MMU_READ | c << MMU_CACHE_SHIFT, 0);
		uint64_t large = leaf_bits_at(MMU_READ | c << MMU_CACHE_SHIFT, 1);
		unsigned low = (small & 0x08 ? 1 : 0) | (small & 0x10 ? 2 : 0);
		CHECK((low | (small & 0x80 ? 4 : 0)) == pat_index[c]);
		CHECK((low | (large & 0x1000 ? 4 : 0)) == pat_index[c]);
		CHECK((large & 0x80) && (large & 0x18) == (small & 0x18));
		CHECK(pte_flags(small, 0) == (MMU_READ | MMU_EXEC * 0 | c << MMU_CACHE_SHIFT));
		CHECK(pte_flags(large, 2) == (MMU_READ | c << MMU_CACHE_SHIFT));
	}
}

/* A gather that is not flushed yet makes a second one note ranges in which it finds nothing. */
static void test_overlapping_gathers(void)
{
	struct mmu_gather a, b;
	start_tables();
	CHECK(tables_enter(&pt, 0x400000, 0x5000, MMU_READ | MMU_USER) == 0);
	mmu_gather_begin(&a, NULL);
	mmu_gather_begin(&b, NULL);
	tables_unmap(&pt, 0x400000, 0x401000, &a);
	CHECK(pt.unflushed == 1 && a.tables);
	tables_unmap(&pt, 0x400000, 0x401000, &b);
	CHECK(!mmu_gather_is_empty(&b) && b.start == 0x400000 && b.end == 0x401000);
	tables_flushed(&pt, &a);
	tables_flushed(&pt, &b);
	tables_unmap(&pt, 0x400000, 0x401000, &b);
	CHECK(mmu_gather_is_empty(&b) && pt.unflushed == 0);
	end_tables();
}

/* -- a concurrent walker --------------------------------------------------------------------------------- */

static _Atomic bool walker_stop;
static _Atomic uint64_t walks, violations;
static vaddr_t forbidden;

/* Reads like a hardware walker, root first. */
static void *walker(void *arg)
{
	while (!load_acquire(&walker_stop)) {
		struct mmu_translation t;
		if (tables_query(&pt, forbidden, &t) && (t.flags & MMU_WRITE))
			fetch_add_relaxed(&violations, 1);
		fetch_add_acq_rel(&walks, 1);
	}
	return arg;
}

/* A shootdown: the walk that was under way is over. */
static void wait_for_walker(void)
{
	uint64_t seen = load_acquire(&walks);
	while (load_acquire(&walks) < seen + 2)
		sched_yield();
}

/* While one page gets its write access back, a walker never finds its neighbour writable. */
static void test_push_down_order(void)
{
	pthread_t thread;
	struct mmu_gather g;
	enum { W = MMU_READ | MMU_WRITE | MMU_USER };
	start_tables();
	mmu_gather_begin(&g, NULL);
	forbidden = 0x40005000;
	CHECK(tables_enter(&pt, forbidden, 0x5000, MMU_READ | MMU_USER) == 0);
	CHECK(tables_enter(&pt, 0x40006000, 0x6000, W) == 0);
	fetch_or_acq_rel(walk(&pt, forbidden, 0, &(unsigned){0}, &(uint64_t){0}), PTE_W);
	tables_write_protect(&pt, 0, 1ULL << 39, &g);
	CHECK(pthread_create(&thread, NULL, walker, NULL) == 0);
	for (unsigned i = 0; i < 2000; i++) {
		CHECK(tables_enter(&pt, 0x40006000, 0x6000, W) == 0);
		tables_write_protect(&pt, 0, 1ULL << 39, &g);
		wait_for_walker();
		/* Void W bits under a path without W, as if the page had been writable before. */
		fetch_or_acq_rel(walk(&pt, forbidden, 0, &(unsigned){0}, &(uint64_t){0}), PTE_W);
		fetch_or_acq_rel(walk(&pt, forbidden, 1, &(unsigned){0}, &(uint64_t){0}), PTE_W);
	}
	store_release(&walker_stop, true);
	pthread_join(thread, NULL);
	CHECK(load_relaxed(&violations) == 0 && load_relaxed(&walks) > 0);
	tables_flushed(&pt, &g);
	end_tables();
}

int main(int argc, char **argv)
{
	host_memory_init(NFRAMES);
	uint64_t base = argc > 1 ? strtoull(argv[1], NULL, 0) : 0x51ab5e5d;
	unsigned steps = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 6000;
	printf("TAP version 13\n1..7\n# seed %#llx, %u steps\n", (unsigned long long)base, steps);
	run_random(base, steps, 1);
	printf("ok 1 - random operations, 2 MiB pages\n");
	run_random(base + 1, steps, 2);
	printf("ok 2 - random operations, 1 GiB pages\n");
	step = 0;
	test_hierarchy();
	printf("ok 3 - write protection is hierarchical and comes back one page at a time\n");
	test_enter_failures();
	printf("ok 4 - a failed table allocation changes nothing\n");
	test_cache_types();
	printf("ok 5 - cache types are encoded as the PAT is laid out\n");
	test_overlapping_gathers();
	printf("ok 6 - a gather notes what another one has not flushed yet\n");
	test_push_down_order();
	printf("ok 7 - a concurrent walker never sees too many rights\n");
	return 0;
}
