/*
 * contiguous.c - objects whose pages lie one behind the other in memory, for devices that know no page
 * tables.
 *
 * Such an object is the memory of a file like any other (VM_RESIDENT), but it has all its pages from the
 * beginning, and nobody takes one away or puts another in its place: it cannot be cut, punched or cloned, and
 * its pages are shared with no tree, so that no write copies one. There is nothing else to know about it:
 * faults find the pages, and the last reference gives them back one by one.
 *
 * If it is not to be cached (VM_WRITE_COMBINING), the zeros that it begins with are written back first: a
 * line of them that stayed in a cache could land on what a program stores past the cache.
 */
#include "vm/vm_priv.h"

/* Put n pages that nobody else has into the empty tree, with nodes that are there. */
static void put_all(struct vm_object *o, struct page *first, pgidx_t n, struct pt_reserve *nodes)
{
	spin_lock(&o->lock);
	o->generation++;
	for (pgidx_t i = 0; i < n; i++) {
		struct page_slot slot;
		err_t err = page_tree_own(&o->tree, i, nodes, &slot);
		ASSERT(!err); /* enough were reserved */
		page_slot_fill(slot, first + i);
	}
	spin_unlock(&o->lock);
}

/* Count n pages, or none. */
static err_t charge_all(struct vm_object *o, pgidx_t n)
{
	err_t err = 0;
	pgidx_t charged = 0;
	spin_lock(&o->lock);
	while (charged < n && !(err = o->ops->charge(o)))
		charged++;
	if (err)
		o->ops->uncharge(o, charged);
	spin_unlock(&o->lock);
	return err;
}

err_t object_fill_contiguous(struct vm_object *o)
{
	struct pt_reserve nodes = {0};
	pgidx_t n = o->npages;
	ASSERT((o->flags & VM_CONTIGUOUS) && page_tree_is_empty(&o->tree) && n);
	if (n > CONTIGUOUS_MAX)
		return -ENOMEM;
	err_t err = charge_all(o, n);
	if (err)
		return err;
	struct page *first = frame_alloc_contiguous(PAGE_SHMEM, n, PAGE_SIZE, 0, FRAME_ZERO);
	/* Leaves, and what grows above them as they come in order: one node more for each is plenty. */
	err = first ? page_tree_reserve(&nodes, 2 * (unsigned)DIV_ROUND_UP(n, PT_SLOTS) + PT_MAX_PATH)
		    : -ENOMEM;
	if (err) {
		if (first)
			frame_free_range(first, n);
		spin_lock(&o->lock);
		o->ops->uncharge(o, n);
		spin_unlock(&o->lock);
	} else {
		if (o->flags & VM_WRITE_COMBINING)
			mmu_clean_cache(page_to_virt(first), n * PAGE_SIZE);
		put_all(o, first, n, &nodes);
	}
	page_tree_unreserve(&nodes);
	return err;
}

paddr_t object_contiguous_at(struct vm_object *o)
{
	ASSERT(o->flags & VM_CONTIGUOUS);
	spin_lock(&o->lock);
	const struct page *p = page_tree_lookup(&o->tree, 0);
	spin_unlock(&o->lock);
	return page_to_phys(p);
}
