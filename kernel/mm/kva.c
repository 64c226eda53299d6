/*
 * kva.c - the kernel VA arena.
 *
 * One PML4 slot of kernel addresses is dealt out in *areas*. An area owns [lo, hi): a guard page that is
 * never mapped, its pages [start, end), another guard page. Areas never share a guard.
 *
 *	lo      start                    end     hi
 *	| guard | page | page | ... | page | guard |
 *
 * Areas are in a red-black tree by address. Each node keeps the free bytes between its predecessor and
 * itself, and the largest such gap in its subtree, so that the lowest gap that is large enough is found in
 * one descent.
 *
 * Locking: kva_lock (RANK_KVA) guards the tree and the pool of stacks. It is above RANK_MMU, so nothing is
 * mapped or unmapped under it: an area that is in the tree, but not handed out, belongs to the thread that
 * is making or ending it. Addresses leave the tree only after every CPU has forgotten their translations,
 * and frames are freed after that: a thread that kept a stale pointer faults, it never reads somebody
 * else's memory.
 *
 * Freed stacks: up to STACK_POOL of them stay as they are - mapped, with both guards - for the next thread,
 * because mapping and unmapping costs a shootdown on every CPU. They were never parts of something larger,
 * so an idle stack cannot defeat a guard. kva_shrink gives them back.
 *
 * Invariants (kva_validate):
 *	K1  areas lie inside the arena, do not overlap, and are sorted; gap and max_gap are what the
 *	    neighbours say.
 *	K2  every page of an area that is handed out is translated, to a frame that the arena owns if it
 *	    is a stack or buffer; no guard page is.
 *	K3  used_pages = sum over areas that are handed out of their pages.
 */
#include "kern/spinlock.h"
#include "lib/kasan.h"
#include "lib/printf.h"
#include "lib/rbtree.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"

#define KVA_END (KVA_BASE + KVA_SIZE)

enum { STACK_POOL = 16 };

enum area_kind { AREA_STACK, AREA_BUFFER, AREA_PHYS, AREA_KINDS };

/* (K) kva_lock; (C) constant while the area is in the tree */
struct area {
	struct rb_node node; /* (K) */
	vaddr_t lo, hi;      /* (C) with the guards */
	vaddr_t start, end;  /* (C) the pages */
	uint64_t gap;        /* (K) free bytes before lo */
	uint64_t max_gap;    /* (K) largest gap in this subtree */
	enum area_kind kind; /* (C) */
	bool ready;          /* (K) handed out: all pages are mapped */
	bool pooled;         /* (K) a stack in the pool */
};

static bool area_update(struct rb_node *node);

static struct spinlock kva_lock = SPINLOCK_INIT("kva", RANK_KVA);
static struct rb_tree areas = {.update = area_update}; /* guarded by kva_lock */
static struct area *pool[STACK_POOL];                  /* guarded by kva_lock */
static unsigned npooled;                               /* guarded by kva_lock */
static _Atomic uint64_t used_pages;                    /* written under kva_lock */
static struct slab_cache *area_cache;

static struct area *area_of(struct rb_node *n)
{
	return n ? rb_entry(n, struct area, node) : NULL;
}

static uint64_t max_gap_of(struct rb_node *n)
{
	return n ? area_of(n)->max_gap : 0;
}

static bool area_update(struct rb_node *node)
{
	struct area *a = area_of(node);
	uint64_t max = MAX(a->gap, MAX(max_gap_of(node->left), max_gap_of(node->right)));
	bool changed = max != a->max_gap;
	a->max_gap = max;
	return changed;
}

static uint64_t area_pages(const struct area *a)
{
	return (a->end - a->start) >> PAGE_SHIFT;
}

/* Recompute the gap before the area at n, if there is one. */
static void refresh_gap(struct rb_node *n)
{
	if (!n)
		return;
	struct area *a = area_of(n), *before = area_of(rb_prev(n));
	a->gap = a->lo - (before ? before->hi : KVA_BASE);
	rb_augment(&areas, n);
}

/* The lowest area with a gap of at least len before it. NULL: only the space behind the last area is left. */
static struct area *find_gap(uint64_t len)
{
	struct rb_node *n = areas.root;
	if (max_gap_of(n) < len)
		return NULL;
	for (;;) {
		if (max_gap_of(n->left) >= len)
			n = n->left;
		else if (area_of(n)->gap >= len)
			return area_of(n);
		else
			n = n->right;
	}
}

static void link_area(struct area *a)
{
	struct rb_node **link = &areas.root, *parent = NULL;
	while (*link) {
		parent = *link;
		link = a->lo < area_of(parent)->lo ? &parent->left : &parent->right;
	}
	a->gap = a->max_gap = 0;
	rb_insert(&areas, &a->node, parent, link);
	refresh_gap(&a->node);
	refresh_gap(rb_next(&a->node));
}

/* Give a new area of npages its addresses: start is `offset` beyond a multiple of align. False: the arena
 * is full. */
static bool place_area(struct area *a, uint64_t npages, uint64_t align, uint64_t offset)
{
	uint64_t bytes = npages << PAGE_SHIFT, need = bytes + 2 * PAGE_SIZE + (align - PAGE_SIZE);
	struct area *after = find_gap(need), *last = area_of(rb_last(&areas));
	vaddr_t base = after ? after->lo - after->gap : last ? last->hi : KVA_BASE;
	if (!after && KVA_END - base < need)
		return false;
	a->start = ALIGN_UP(base + PAGE_SIZE - offset, align) + offset;
	a->end = a->start + bytes;
	a->lo = a->start - PAGE_SIZE;
	a->hi = a->end + PAGE_SIZE;
	link_area(a);
	return true;
}

/* A new area in the tree, nothing mapped. NULL: no memory or no addresses. */
static struct area *area_create(enum area_kind kind, uint64_t npages, uint64_t align, uint64_t offset)
{
	if (!npages || npages > KVA_SIZE >> PAGE_SHIFT)
		return NULL;
	struct area *a = slab_zalloc(area_cache);
	if (!a)
		return NULL;
	a->kind = kind;
	spin_lock(&kva_lock);
	bool placed = place_area(a, npages, align, offset);
	spin_unlock(&kva_lock);
	if (!placed) {
		slab_free(area_cache, a);
		return NULL;
	}
	kasan_unpoison((void *)a->start, npages << PAGE_SHIFT); /* a stack may have been there */
	return a;
}

/* Nothing is mapped in the area any more, anywhere. */
static void area_destroy(struct area *a)
{
	spin_lock(&kva_lock);
	struct rb_node *next = rb_next(&a->node);
	rb_remove(&areas, &a->node);
	refresh_gap(next);
	spin_unlock(&kva_lock);
	slab_free(area_cache, a);
}

static void area_set_ready(struct area *a, bool ready)
{
	spin_lock(&kva_lock);
	ASSERT(a->ready != ready);
	a->ready = ready;
	store_relaxed(&used_pages, load_relaxed(&used_pages) + (ready ? area_pages(a) : -area_pages(a)));
	spin_unlock(&kva_lock);
}

/* Take the area that starts at va, of the given kind, back from its user: it is no longer ready. */
static struct area *area_claim(vaddr_t va, enum area_kind kind)
{
	spin_lock(&kva_lock);
	struct area *a = area_of(areas.root);
	while (a && a->start != va)
		a = area_of(va < a->start ? a->node.left : a->node.right);
	if (!a || a->kind != kind || !a->ready)
		panic("kva: %#llx is freed, but is no area in use of that kind", (unsigned long long)va);
	a->ready = false;
	store_relaxed(&used_pages, load_relaxed(&used_pages) - area_pages(a));
	spin_unlock(&kva_lock);
	return a;
}

/* Unmap the first npages of an area, wait for all CPUs, free the frames if they are ours; then the area
 * itself. */
static void area_end(struct area *a, uint64_t npages)
{
	struct mmu_gather g;
	struct page *frames = NULL;
	for (uint64_t i = 0; a->kind != AREA_PHYS && i < npages; i++) {
		struct mmu_translation t;
		bool present = mmu_query(&kernel_mmu, a->start + (i << PAGE_SHIFT), &t);
		ASSERT(present);
		struct page *p = phys_to_page(t.paddr);
		p->link_next = frames ? (uint32_t)page_to_pfn(frames) : 0;
		frames = p;
	}
	mmu_gather_begin(&g, &kernel_mmu);
	if (npages)
		mmu_unmap(&kernel_mmu, a->start, a->start + (npages << PAGE_SHIFT), &g);
	mmu_gather_flush(&g);
	while (frames) {
		struct page *p = frames;
		frames = p->link_next ? pfn_to_page(p->link_next) : NULL;
		frame_free(p);
	}
	area_destroy(a);
}

/* An area with a frame of its own behind every page. NULL: no memory, nothing is left behind. */
static struct area *area_create_filled(enum area_kind kind, uint64_t npages, unsigned flags)
{
	struct area *a = area_create(kind, npages, PAGE_SIZE, 0);
	if (!a)
		return NULL;
	for (uint64_t i = 0; i < npages; i++) {
		struct page *p = frame_alloc(PAGE_KERNEL, flags);
		vaddr_t va = a->start + (i << PAGE_SHIFT);
		if (p && !mmu_enter(&kernel_mmu, va, page_to_phys(p), MMU_READ | MMU_WRITE | MMU_GLOBAL))
			continue;
		if (p)
			frame_free(p);
		area_end(a, i);
		return NULL;
	}
	area_set_ready(a, true);
	return a;
}

void kva_init(void)
{
	area_cache = slab_cache_create("kva_area", sizeof(struct area), 0);
	ASSERT(area_cache); /* at boot */
}

static struct area *pool_take(void)
{
	spin_lock(&kva_lock);
	struct area *a = npooled ? pool[--npooled] : NULL;
	if (a)
		a->pooled = false;
	spin_unlock(&kva_lock);
	return a;
}

/* False: the pool is full. */
static bool pool_put(struct area *a)
{
	spin_lock(&kva_lock);
	bool room = npooled < STACK_POOL;
	if (room)
		pool[npooled++] = a;
	a->pooled = room;
	spin_unlock(&kva_lock);
	return room;
}

vaddr_t kva_alloc_stack(void)
{
	struct area *a = pool_take();
	if (a)
		area_set_ready(a, true);
	else
		a = area_create_filled(AREA_STACK, KSTACK_PAGES, 0);
	if (!a)
		return 0;
	/* Whoever used it last may have left it by a function that never returns. */
	kasan_unpoison((void *)a->start, KSTACK_PAGES * PAGE_SIZE);
	return a->start;
}

void kva_free_stack(vaddr_t stack)
{
	struct area *a = area_claim(stack, AREA_STACK);
	if (!pool_put(a))
		area_end(a, KSTACK_PAGES);
}

uint64_t kva_shrink(void)
{
	uint64_t frames = 0;
	for (struct area *a; (a = pool_take()); frames += KSTACK_PAGES)
		area_end(a, KSTACK_PAGES);
	return frames;
}

void *kva_alloc_buffer(uint64_t len)
{
	struct area *a =
	    area_create_filled(AREA_BUFFER, len / PAGE_SIZE + (len % PAGE_SIZE != 0), FRAME_ZERO);
	return a ? (void *)a->start : NULL;
}

void kva_free_buffer(void *buffer)
{
	struct area *a = area_claim((vaddr_t)buffer, AREA_BUFFER);
	area_end(a, area_pages(a));
}

void *kva_map_phys(paddr_t paddr, uint64_t len, enum mmu_cache cache, bool writable)
{
	paddr_t first = ALIGN_DOWN(paddr, PAGE_SIZE);
	if (!len || paddr + len < paddr || paddr + len > UINT64_MAX - PAGE_SIZE)
		return NULL;
	uint64_t bytes = ALIGN_UP(paddr + len, PAGE_SIZE) - first;
	uint64_t align =
	    bytes >= MIB(2) ? MIB(2) : PAGE_SIZE; /* congruent to the physical address: large pages fit */
	struct area *a = area_create(AREA_PHYS, bytes >> PAGE_SHIFT, align, first & (align - 1));
	if (!a)
		return NULL;
	unsigned flags =
	    MMU_READ | (writable ? MMU_WRITE : 0) | MMU_GLOBAL | (unsigned)cache << MMU_CACHE_SHIFT;
	if (mmu_enter_range(&kernel_mmu, a->start, first, bytes, flags)) {
		area_destroy(a); /* nothing was mapped */
		return NULL;
	}
	area_set_ready(a, true);
	return (void *)(a->start + (paddr - first));
}

void kva_unmap_phys(void *mapped)
{
	struct area *a = area_claim(ALIGN_DOWN((vaddr_t)mapped, PAGE_SIZE), AREA_PHYS);
	area_end(a, area_pages(a));
}

static const char *const kind_names[AREA_KINDS] = {"kernel stack", "buffer", "device map"};

static const char *describe_locked(vaddr_t va)
{
	static char text[96]; /* the machine is about to stop, one CPU speaks */
	struct area *a = area_of(areas.root);
	while (a && (va < a->lo || va >= a->hi))
		a = area_of(va < a->lo ? a->node.left : a->node.right);
	if (!a)
		return "free kernel VA";
	const char *where = va < a->start ? "guard page below" : va >= a->end ? "guard page above" : "inside";
	format(text, sizeof text, "%s %s%s [%#llx, %#llx)", where, a->ready ? "" : "unused ",
	    kind_names[a->kind], (unsigned long long)a->start, (unsigned long long)a->end);
	return text;
}

const char *kva_describe(vaddr_t va)
{
	if (va < KVA_BASE || va >= KVA_END)
		return "not in the kernel VA arena";
	if (!spin_trylock(&kva_lock))
		return "kernel VA arena (in use, cannot look)";
	const char *text = describe_locked(va);
	spin_unlock(&kva_lock);
	return text;
}

uint64_t kva_used_pages(void)
{
	return load_relaxed(&used_pages);
}

/* K1, K3: the tree; returns how many pages are handed out. */
static uint64_t validate_tree(void)
{
	vaddr_t end = KVA_BASE;
	uint64_t pages = 0;
	rb_validate(&areas);
	for (struct rb_node *n = rb_first(&areas); n; n = rb_next(n)) {
		struct area *a = area_of(n);
		ASSERT(a->gap == a->lo - end && a->lo >= end && a->hi <= KVA_END);
		ASSERT(a->start == a->lo + PAGE_SIZE && a->hi == a->end + PAGE_SIZE && a->start < a->end);
		ASSERT(!a->pooled || (!a->ready && a->kind == AREA_STACK));
		pages += a->ready ? area_pages(a) : 0;
		end = a->hi;
	}
	return pages;
}

/* K2: one area, no lock held (translations are looked up under a lock of lower rank). */
static void validate_pages(const struct area *a)
{
	struct mmu_translation t;
	ASSERT(!mmu_query(&kernel_mmu, a->lo, &t) && !mmu_query(&kernel_mmu, a->end, &t));
	for (vaddr_t va = a->start; va < a->end; va += PAGE_SIZE) {
		bool present = mmu_query(&kernel_mmu, va, &t);
		ASSERT(present && !(t.flags & (MMU_USER | MMU_EXEC)));
		if (a->kind != AREA_PHYS)
			ASSERT(page_kind(phys_to_page(t.paddr)) == PAGE_KERNEL);
	}
}

/* A copy of the first area at or above va that is handed out or in the pool. */
static bool next_mapped(vaddr_t va, struct area *out)
{
	spin_lock(&kva_lock);
	struct rb_node *n = rb_first(&areas);
	while (n && (area_of(n)->lo < va || !(area_of(n)->ready || area_of(n)->pooled)))
		n = rb_next(n);
	if (n)
		*out = *area_of(n);
	spin_unlock(&kva_lock);
	return n;
}

void kva_validate(void)
{
	struct area a = {0};
	spin_lock(&kva_lock);
	ASSERT(validate_tree() == load_relaxed(&used_pages)); /* K3 */
	spin_unlock(&kva_lock);
	for (vaddr_t va = KVA_BASE; next_mapped(va, &a); va = a.hi)
		validate_pages(&a);
}
