/*
 * reclaim.c - getting frames back: clean file pages by second chance, then volatile objects.
 *
 * All pages of the page cache are on one list, a clock: the hand takes the oldest page; one that was used
 * since it was last looked at (PAGE_REFERENCED) goes round once more, a dirty, busy or pinned one stays for
 * later, any other is taken away. The list is linked by frame numbers in the page records.
 *
 * Locking: lru_lock (RANK_PURGE) is inside object locks. The hand goes the other way round: under lru_lock it
 * takes a reference on the page's object, which is valid as long as the page is on the list, because an
 * object takes its pages off before it goes. Then it locks the object and looks the page up again; outcomes:
 * same page (judge it), gone or another page (leave it).
 */
#include "vm/vm_priv.h"

enum { SHRINK_BATCH = 256 }; /* objects asked of the shrinker at a time */

static uint64_t (*_Atomic shrinker)(uint64_t nobjects); /* NULL: none */
static bool (*_Atomic cleaner)(void);                   /* NULL: none */
static struct spinlock lru_lock = SPINLOCK_INIT("page cache list", RANK_PURGE);

static uint32_t lru_head, lru_tail; /* guarded by lru_lock: frame numbers, 0 = none; oldest at the head */
static uint64_t lru_count;          /* guarded by lru_lock */

static void lru_push(struct page *p)
{
	uint32_t pfn = (uint32_t)page_to_pfn(p);
	p->link_next = 0;
	p->link_prev = lru_tail;
	if (lru_tail)
		pfn_to_page(lru_tail)->link_next = pfn;
	else
		lru_head = pfn;
	lru_tail = pfn;
	lru_count++;
}

static void lru_unlink(struct page *p)
{
	if (p->link_prev)
		pfn_to_page(p->link_prev)->link_next = p->link_next;
	else
		lru_head = p->link_next;
	if (p->link_next)
		pfn_to_page(p->link_next)->link_prev = p->link_prev;
	else
		lru_tail = p->link_prev;
	lru_count--;
}

void lru_add(struct page *p)
{
	spin_lock(&lru_lock);
	lru_push(p);
	spin_unlock(&lru_lock);
}

void lru_remove(struct page *p)
{
	spin_lock(&lru_lock);
	lru_unlink(p);
	spin_unlock(&lru_lock);
}

/* Move the hand one page on. Returns its object with a reference and its index, or NULL if the list is empty
 * or that object is going away. */
static struct vm_object *lru_advance(pgidx_t *idx, bool *empty)
{
	struct vm_object *o = NULL;
	spin_lock(&lru_lock);
	*empty = !lru_head;
	if (lru_head) {
		struct page *p = pfn_to_page(lru_head);
		lru_unlink(p);
		lru_push(p);
		*idx = p->index;
		o = ref_try_get(&p->object->refs) ? p->object : NULL;
	}
	spin_unlock(&lru_lock);
	return o;
}

/* Was the page used since the hand was last here? By a flag that faults set, or by the hardware's accessed
 * bit in any viewer. */
static bool was_used(struct vm_object *o, struct page *p, pgidx_t idx)
{
	bool used = page_test_flag(p, PAGE_REFERENCED);
	page_clear_flag(p, PAGE_REFERENCED);
	list_for_each (it, &o->viewers) {
		struct region *r = list_entry(it, struct region, view_link);
		if (idx >= r->offset && idx - r->offset < region_npages(r))
			used |= mmu_harvest_accessed(&r->space->mmu, region_addr(r, idx));
	}
	list_for_each (it, &o->backed) {
		struct region *r = list_entry(it, struct region, backing_link);
		if (idx >= r->offset && idx - r->offset < region_npages(r))
			used |= mmu_harvest_accessed(&r->space->mmu, region_addr(r, idx));
	}
	return used;
}

static bool is_locked_in(const struct region *r, pgidx_t idx)
{
	return (r->flags & REGION_LOCKED) && idx >= r->offset && idx - r->offset < region_npages(r);
}

/* Does a region want the page to stay? */
static bool is_locked(struct vm_object *o, pgidx_t idx)
{
	list_for_each (it, &o->viewers)
		if (is_locked_in(list_entry(it, struct region, view_link), idx))
			return true;
	list_for_each (it, &o->backed)
		if (is_locked_in(list_entry(it, struct region, backing_link), idx))
			return true;
	return false;
}

/* Judge the page at idx of o; returns frames freed. */
static uint64_t reclaim_page(struct vm_object *o, pgidx_t idx)
{
	uint64_t freed = 0;
	spin_lock(&o->lock);
	struct page *p = page_tree_lookup(&o->tree, idx);
	if (p && !page_test_flag(p, PAGE_BUSY) && !page_pins(p) &&
	    !page_tree_test_mark(&o->tree, idx, PT_DIRTY) &&
	    !page_tree_test_mark(&o->tree, idx, PT_WRITEBACK) && !was_used(o, p, idx) && !is_locked(o, idx)) {
		object_unmap_locked(o, idx, idx + 1);
		err_t err = page_tree_remove(&o->tree, idx, idx + 1, NULL, file_drop_page, &freed);
		ASSERT(!err); /* a file's nodes are never shared: nothing to copy */
	}
	spin_unlock(&o->lock);
	return freed;
}

/* Ask the cache of names and files to let some go, then take the slabs that became empty. */
static uint64_t reclaim_objects(void)
{
	uint64_t (*shrink)(uint64_t nobjects) = load_acquire(&shrinker);
	return shrink && shrink(SHRINK_BATCH) ? slab_shrink_all() : 0;
}

/* Take up to `npages` pages of the page cache. */
static uint64_t reclaim_pages(uint64_t npages)
{
	uint64_t freed = 0, budget;
	bool empty = false;
	spin_lock(&lru_lock);
	budget = 2 * lru_count; /* once to clear the used marks, once to take */
	spin_unlock(&lru_lock);
	while (freed < npages && budget-- > 0 && !empty) {
		pgidx_t idx = 0;
		struct vm_object *o = lru_advance(&idx, &empty);
		if (o) {
			freed += reclaim_page(o, idx);
			object_put(o);
		}
	}
	return freed;
}

/* Dirty pages become clean ones, if somebody can make them so. */
static bool clean_pages(void)
{
	bool (*clean)(void) = load_acquire(&cleaner);
	return clean && clean();
}

uint64_t vm_reclaim(uint64_t npages)
{
	uint64_t freed = reclaim_pages(npages);
	bool more = true;
	while (freed < npages && more)
		freed += vm_purge_one(&more);
	if (freed < npages)
		freed += reclaim_objects();
	if (!freed && clean_pages())
		freed = reclaim_pages(npages);
	return freed;
}

void vm_set_cleaner(bool (*clean)(void))
{
	store_release(&cleaner, clean);
}

void vm_set_shrinker(uint64_t (*shrink)(uint64_t nobjects))
{
	store_release(&shrinker, shrink);
}
