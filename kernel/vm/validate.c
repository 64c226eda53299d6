/*
 * validate.c - the invariants of docs/invariants.md, checked. Run after every mutation in debug host tests;
 * an invariant that breaks is a panic that names the line.
 */
#include "vm/vm_priv.h"

enum {
	QUERY_MAX = 1 << 16, /* pages of one region whose translations are compared */
	VIEWERS_MAX = 256,   /* viewers among which a region is looked for */
};

/* Of very many it is only looked whether r is on a list at all: spaces of 65,530 regions are checked while
 * others run. */
static bool is_viewer(const struct vm_object *o, const struct region *r)
{
	unsigned n = 0;
	list_for_each (it, &o->viewers) {
		if (list_entry(it, struct region, view_link) == r)
			return true;
		if (++n == VIEWERS_MAX)
			return r->view_link.next->prev == &r->view_link;
	}
	return false;
}

/* O6: the viewers of a private object are in one space, at one distance between address and index. As regions
 * are disjoint (R1), none shows an index of another: O3. */
static void validate_private_viewers(struct vm_object *o)
{
	const struct region *a = NULL;
	list_for_each (it, &o->viewers) {
		const struct region *b = list_entry(it, struct region, view_link);
		a = a ? a : b;
		ASSERT(a->space == b->space);
		ASSERT(a->start - (a->offset << PAGE_SHIFT) == b->start - (b->offset << PAGE_SHIFT));
	}
}

/* O4: every page of a private object is seen by a viewer. */
static void validate_no_strays(struct vm_object *o)
{
	uint64_t seen = 0;
	list_for_each (it, &o->viewers) {
		struct region *r = list_entry(it, struct region, view_link);
		seen += page_tree_count(&o->tree, r->offset, r->offset + region_npages(r), NULL);
	}
	ASSERT(seen == page_tree_count(&o->tree, 0, PT_INDEX_MAX + 1, NULL) || o->trim != UINT64_MAX);
}

static void validate_locked(struct vm_object *o)
{
	pgidx_t at;
	page_tree_validate(&o->tree);
	ASSERT(ref_count(&o->refs) > 0);
	ASSERT(o->kind != VM_PHYS || page_tree_is_empty(&o->tree));                  /* O1 */
	ASSERT(!o->backing || (object_is_file(o->backing) && !o->backing->backing)); /* O2 */
	ASSERT(object_is_file(o) || list_is_empty(&o->backed));
	ASSERT(o->vol_state == VOLATILE_NO || ((o->flags & VM_PURGEABLE) && !o->holders));
	ASSERT(o->vol_state != VOLATILE_PURGED || page_tree_is_empty(&o->tree)); /* O5 */
	ASSERT(!page_tree_next(&o->tree, o->npages, PT_INDEX_MAX + 1, &at) || o->kind == VM_FILE);
	if (o->flags & VM_PRIVATE) {
		ASSERT(o->npresent == page_tree_count(&o->tree, 0, PT_INDEX_MAX + 1, NULL)); /* O7 */
		validate_private_viewers(o);
		if (!list_is_empty(&o->viewers))
			validate_no_strays(o);
	}
}

void object_validate(struct vm_object *o)
{
	object_lock_both(o);
	validate_locked(o);
	object_unlock_both(o);
}

/* The page that the region shows at idx, whether it may be mapped writable, and with which mark. Locks of
 * object and backing held. NULL: the zero page or nothing. */
static struct page *shown_page(const struct region *r, pgidx_t idx, bool *writable, unsigned *mark)
{
	struct vm_object *o = r->object;
	bool exclusive = false;
	struct pt_node *leaf = page_tree_leaf(&o->tree, idx, &exclusive);
	struct page *p = leaf ? leaf->slots[idx & (PT_SLOTS - 1)].page : NULL;
	*mark = object_mark(p || !o->backing ? o : o->backing);
	if (p) {
		*writable = o->kind == VM_FILE ? page_tree_test_mark(&o->tree, idx, PT_DIRTY)
					       : exclusive && page_shares(p) == 1;
		return p;
	}
	*writable = false;
	return o->backing ? page_tree_lookup(&o->backing->tree, idx) : NULL;
}

/* M1: a translation names what the object shows, with no right beyond the region's, and write access only
 * where a store in place is allowed. */
static void validate_translation(const struct region *r, uaddr_t va, const struct mmu_translation *t)
{
	struct vm_object *o = r->object;
	pgidx_t idx = region_index(r, va);
	bool writable = true;
	unsigned mark;
	ASSERT(r->prot != 0);
	ASSERT(!(t->flags & MMU_WRITE) || (r->prot & VM_WRITE));
	ASSERT(!(t->flags & MMU_EXEC) || (r->prot & VM_EXEC));
	ASSERT(t->flags & MMU_USER);
	if (o->kind == VM_PHYS) {
		ASSERT(t->paddr == o->phys + (idx << PAGE_SHIFT) && !(t->flags & MMU_MARKS));
		return;
	}
	struct page *p = shown_page(r, idx, &writable, &mark);
	ASSERT(t->paddr == page_to_phys(p ? p : zero_page));
	ASSERT((t->flags & MMU_MARKS) == (p ? mark : 0)); /* M6 */
	ASSERT(p || !((o->backing && o->backing->kind == VM_FILE) || o->kind == VM_FILE));
	ASSERT(!(t->flags & MMU_WRITE) || writable);
	ASSERT(!p || !page_test_flag(p, PAGE_BUSY));
}

static void validate_region(const struct region *r)
{
	struct vm_object *o = r->object;
	struct mmu_translation t;
	uaddr_t end = MIN(r->end, r->start + (uaddr_t)QUERY_MAX * PAGE_SIZE);
	const struct region *before = region_prev(r);
	object_lock_both(o);
	if (!before || before->object != o) /* neighbours often look at one object */
		validate_locked(o);
	ASSERT(is_viewer(o, r));                                   /* R3 */
	ASSERT((r->prot & ~r->max_prot) == 0);                     /* R4 */
	ASSERT(region_is_private(r) == !!(o->flags & VM_PRIVATE)); /* R5 */
	ASSERT(!o->backing || !list_is_empty(&r->backing_link));
	for (uaddr_t va = r->start; va < end; va += PAGE_SIZE)
		if (mmu_query(&r->space->mmu, va, &t))
			validate_translation(r, va, &t);
	object_unlock_both(o);
}

/* M2: nothing is translated between regions; looked for at both edges of each gap. */
static void validate_gap(struct vm_space *s, uaddr_t start, uaddr_t end)
{
	struct mmu_translation t;
	if (start < end) {
		ASSERT(!mmu_query(&s->mmu, start, &t));
		ASSERT(!mmu_query(&s->mmu, end - PAGE_SIZE, &t));
	}
}

/* S3: what the space says of its private pages is the sum of what its objects say. With the space locked for
 * writing no page comes, so a sum that is the same before and after the walk was true in between. */
static void validate_resident(struct vm_space *s)
{
	uint64_t sum = 0;
	rwlock_write(&s->lock);
	uint64_t before = load_relaxed(&s->anon);
	for (struct region *r = region_find_from(&s->regions, 0); r; r = region_next(r)) {
		struct vm_object *o = r->object;
		spin_lock(&o->lock);
		sum += region_is_private(r) && o->viewers.next == &r->view_link ? o->npresent : 0;
		spin_unlock(&o->lock);
	}
	ASSERT(sum == before || load_relaxed(&s->anon) != before);
	rwlock_write_unlock(&s->lock);
}

void vm_validate(struct vm_space *s)
{
	uint64_t npages = 0;
	uaddr_t at = s->regions.low;
	rwlock_read(&s->lock);
	region_set_validate(&s->regions);
	for (struct region *r = region_find_from(&s->regions, 0); r; r = region_next(r)) {
		ASSERT(r->space == s);
		validate_gap(s, at, r->start);
		validate_region(r);
		npages += region_npages(r);
		at = r->end;
	}
	validate_gap(s, at, s->regions.high);
	ASSERT(npages == s->npages); /* S1 */
	mmu_validate(&s->mmu);
	rwlock_read_unlock(&s->lock);
	validate_resident(s);
}
