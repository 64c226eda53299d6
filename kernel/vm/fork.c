/*
 * fork.c - a copy of a space, in time that depends on its regions only.
 *
 * Each private object is cloned in O(1) and the parent's writable translations of it are write-protected in
 * the entries of the root of its page tables, which takes write access from its neighbours as well: they,
 * shared windows among them, get it back by a fault for each leaf of 64 pages. Protecting exactly the regions
 * would cost up to a thousand entries at the edges of each. Each shared region becomes another window on the
 * same object. The child starts with empty page tables.
 *
 * The parent's lock is held for writing from the first clone until the flush is done. So no thread of the
 * parent faults in between: a store through a translation that is not flushed yet lands in a page that the
 * child shares, which is as if it had been made before the fork, and nothing that came causally after it can
 * be missing from the child.
 *
 * A failure half way costs the parent some write faults, which find its pages owned exclusively again, and
 * nothing else.
 */
#include "vm/vm_priv.h"

/* The object that the child's copy of r looks at, with a reference. */
static err_t fork_object(struct region *r, struct vm_object **out)
{
	struct vm_object *o = r->object;
	if (!region_is_private(r)) {
		object_get(o);
		*out = o;
		return 0;
	}
	if (r->flags & REGION_WIPEONFORK)
		return object_create_anon(o->flags, 0, o->backing, out);
	if (!o->fork_clone) {
		err_t err = object_clone(o, &o->fork_clone);
		if (err)
			return err;
	}
	object_get(o->fork_clone);
	*out = o->fork_clone;
	return 0;
}

/* A cut between the cloning and now was noted in o, which nobody can carry out while its space is locked, but
 * not in the clone, which was nobody's then. */
void object_inherit_trim(struct vm_object *o, struct vm_object *clone)
{
	if (!o->backing || o == clone)
		return;
	spin_lock(&o->backing->lock);
	clone->trim = MIN(clone->trim, o->trim);
	spin_unlock(&o->backing->lock);
}

static err_t fork_region(struct vm_space *child, struct region *r)
{
	struct region *copy = region_alloc(child);
	uint64_t promised = r->flags & REGION_ACCOUNT ? region_npages(r) : 0;
	if (!copy)
		return -ENOMEM;
	copy->start = r->start;
	copy->end = r->end;
	copy->offset = r->offset;
	copy->prot = r->prot;
	copy->max_prot = r->max_prot;
	copy->flags = r->flags & ~(uint32_t)REGION_LOCK_MASK; /* locks are not inherited */
	copy->name = r->name;
	vm_name_map(&copy->name);
	err_t err = fork_object(r, &copy->object);
	if (!err && promised)
		err = commit_exchange(promised, 0, r->space->npages);
	if (err) {
		region_free(copy);
		return err;
	}
	region_insert(&child->regions, copy);
	object_add_viewer(copy);
	object_inherit_trim(r->object, copy->object);
	child->npages += region_npages(copy);
	return 0;
}

/* Drop the references that kept the clones findable while the fork ran. */
static void forget_clones(struct vm_space *parent)
{
	for (struct region *r = region_find_from(&parent->regions, 0); r; r = region_next(r)) {
		struct vm_object *clone = r->object->fork_clone;
		if (!clone || !region_is_private(r))
			continue;
		r->object->fork_clone = NULL;
		object_put(clone);
	}
}

static bool is_forked_writable(const struct region *r)
{
	return region_is_private(r) && (r->prot & VM_WRITE) && r->object->fork_clone;
}

static void protect_parent(struct vm_space *parent)
{
	struct mmu_gather g;
	mmu_gather_begin(&g, &parent->mmu);
	for (struct region *r = region_find_from(&parent->regions, 0); r; r = region_next(r))
		if (is_forked_writable(r))
			mmu_write_protect_wide(&parent->mmu, r->start, r->end, &g);
	mmu_gather_flush(&g);
}

/* A region that the child does not get may share its object with one that it does get: take its pages out of
 * the clone. */
static err_t strip_clone(struct region *r)
{
	struct vm_object *clone = r->object->fork_clone;
	if (!region_is_private(r) || !clone || !(r->flags & (REGION_DONTFORK | REGION_WIPEONFORK)))
		return 0;
	return object_discard(clone, r->offset, r->offset + region_npages(r));
}

static err_t fork_regions(struct vm_space *parent, struct vm_space *child)
{
	for (struct region *r = region_find_from(&parent->regions, 0); r; r = region_next(r)) {
		err_t err = r->flags & REGION_DONTFORK ? 0 : fork_region(child, r);
		if (err)
			return err;
	}
	for (struct region *r = region_find_from(&parent->regions, 0); r; r = region_next(r)) {
		err_t err = strip_clone(r);
		if (err)
			return err;
	}
	return 0;
}

err_t space_fork(struct vm_space *parent, struct vm_space **out)
{
	struct vm_space *child;
	err_t err = space_create(&child);
	if (err)
		return err;
	child->layout = parent->layout;
	child->mmap_top = parent->mmap_top;
	store_relaxed(&child->guards, load_relaxed(&parent->guards));
	store_relaxed(&child->no_large, load_relaxed(&parent->no_large));
	rwlock_write(&parent->lock);
	err = fork_regions(parent, child);
	protect_parent(
	    parent); /* after a failure too: clones existed for a while, and may still for another moment */
	forget_clones(parent);
	rwlock_write_unlock(&parent->lock);
	space_reset_resident_peak(child); /* what it was not to get does not count */
	if (err) {
		space_put(child);
		return err;
	}
	*out = child;
	return 0;
}
