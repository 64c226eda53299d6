/*
 * space_move.c - a window changes its length and its place: mremap.
 *
 *	shrink		unmap the tail
 *	grow		free addresses behind the window become part of it
 *	move		the window goes elsewhere with its pages, and may grow there
 *
 * What moves takes its object along if it is the whole region, and the object is shared or seen by nobody
 * else. Otherwise a private object is divided: the pages of what moves go into an object of its own, by a
 * clone of the tree and the removal of what each side does not keep, so the cost does not depend on how many
 * pages there are. So all viewers of a private object keep one distance between address and index (O6), and
 * free addresses mean free indices: a window may grow in place, and fresh memory may extend a neighbour,
 * without looking at the object's other viewers.
 *
 * With DONTUNMAP the old window stays, without pages of its own.
 */
#include "vm/vm_priv.h"

enum { DIVIDE_NODES = 3 * 2 * PT_MAX_PATH }; /* three ranges are removed, each with two edges */

struct remap {
	struct vm_space *s;
	const struct vm_remap_args *a;
	uint64_t moved;            /* bytes of the old window that the new one shows, if it moves */
	uaddr_t to, to_end;        /* where it moves */
	struct region *fresh;      /* the window at the new place */
	struct pt_reserve nodes;   /* for dividing the object */
	struct unmap_kit from_kit; /* for the old place */
	struct unmap_kit to_kit;   /* for what the new one replaces */
};

/* The region of a window that is to be changed. */
static err_t window_check(const struct remap *m, struct region **out)
{
	const struct vm_remap_args *a = m->a;
	struct region *r = *out = region_find(&m->s->regions, a->addr);
	if (!r)
		return -EFAULT;
	if (r->flags & REGION_IMMUTABLE)
		return -EPERM;
	if (!a->old_len && region_is_private(r))
		return -EINVAL;
	if (r->flags & REGION_GUARDED)
		return -EINVAL; /* its guards were chosen for where it is */
	if (m->moved > r->end - a->addr)
		return -EFAULT;
	if ((r->object->flags & VM_PURGEABLE) && region_is_private(r) &&
	    (a->addr != r->start || a->old_len != r->end - r->start || (a->flags & VM_REMAP_DONTUNMAP)))
		return -EINVAL; /* its state belongs to the whole */
	if (r->object->kind == VM_PHYS && (a->flags & VM_REMAP_DONTUNMAP))
		return -EINVAL;
	if (a->new_len <= a->old_len)
		return 0;
	if (region_index(r, a->addr) + (a->new_len >> PAGE_SHIFT) > PT_INDEX_MAX)
		return -EINVAL;
	return r->object->kind == VM_PHYS ? -EFAULT : 0;
}

/* Pages that are mapped additionally in the end. */
static uint64_t growth(const struct vm_remap_args *a)
{
	uint64_t kept = a->flags & VM_REMAP_DONTUNMAP ? 0 : MIN(a->old_len, a->new_len);
	return (a->new_len - kept) >> PAGE_SHIFT;
}

/* --- in place --- */

static bool can_grow_in_place(const struct remap *m, const struct region *r)
{
	const struct vm_remap_args *a = m->a;
	struct region *next = region_next(r);
	uaddr_t limit =
	    next ? next->start - (next->flags & REGION_GUARDED ? PAGE_SIZE : 0) : m->s->regions.high;
	return a->addr + a->old_len == r->end && a->old_len && a->new_len <= limit - a->addr;
}

static void grow_in_place(struct remap *m, struct region *r)
{
	m->s->npages += growth(m->a);
	region_set_bounds(r, r->start, m->a->addr + m->a->new_len, r->offset);
	region_update(&m->s->regions, r);
	region_merge(m->s, r);
}

static err_t shrink_in_place(struct remap *m)
{
	uaddr_t start = m->a->addr + m->a->new_len, end = m->a->addr + m->a->old_len;
	if (start == end)
		return 0;
	if (!range_is_valid(m->s, start, end - start))
		return -EINVAL;
	err_t err = unmap_reserve(m->s, start, end, &m->from_kit);
	if (!err)
		unmap_commit(m->s, start, end, &m->from_kit);
	return err;
}

/* --- move --- */

static bool is_only_viewer(const struct region *r)
{
	return r->object->viewers.next == &r->view_link && r->view_link.next == &r->object->viewers;
}

/* Can the region itself go, with its object? */
static bool moves_whole(const struct remap *m, struct region *r)
{
	if (m->a->addr != r->start || m->a->old_len != r->end - r->start || m->moved != m->a->old_len ||
	    (m->a->flags & VM_REMAP_DONTUNMAP))
		return false;
	spin_lock(&r->object->lock);
	bool alone = !region_is_private(r) || is_only_viewer(r);
	spin_unlock(&r->object->lock);
	return alone;
}

static err_t choose_place(struct remap *m)
{
	const struct vm_remap_args *a = m->a;
	const struct region_set *set = &m->s->regions;
	m->to = 0;
	if (a->flags & VM_REMAP_FIXED) {
		m->to = a->new_addr;
		m->to_end = m->to + a->new_len;
		if (range_is_valid(m->s, m->to, a->new_len))
			return 0;
		return m->to < set->low ? -EPERM : -EINVAL;
	}
	if (a->new_addr && range_is_valid(m->s, a->new_addr, a->new_len))
		m->to = region_find_gap(set, a->new_len, PAGE_SIZE, a->new_addr, a->new_addr + a->new_len);
	if (!m->to)
		m->to = place_anywhere(m->s, a->new_len, a->floor, 0);
	m->to_end = m->to + a->new_len;
	return m->to ? 0 : -ENOMEM;
}

/* The window at the new place, looking at nothing yet if it needs an object of its own. */
static err_t make_window(struct remap *m, const struct region *r)
{
	struct region *w = m->fresh = region_alloc(m->s);
	if (!w)
		return -ENOMEM;
	w->start = m->to;
	w->end = m->to_end;
	w->offset = region_index(r, m->a->addr);
	w->prot = r->prot;
	w->max_prot = r->max_prot;
	w->flags = r->flags;
	w->name = r->name;
	vm_name_map(&w->name);
	if (!region_is_private(r)) {
		object_get(r->object);
		w->object = r->object;
		return 0;
	}
	err_t err = object_create_anon(r->object->flags, 0, r->object->backing, &w->object);
	return err ? err : page_tree_reserve(&m->nodes, DIVIDE_NODES);
}

/* What lies at the new place, and at the old one if it goes, is given back as it is unmapped. */
static err_t move_promise(const struct remap *m, const struct region *r, bool whole)
{
	const struct vm_remap_args *a = m->a;
	uint64_t more = (whole ? a->new_len - a->old_len : a->new_len) >> PAGE_SHIFT;
	uint64_t gone = count_promised(m->s, m->to, m->to_end);
	if (!(r->flags & REGION_ACCOUNT) || !more)
		return 0;
	if (!whole && !(a->flags & VM_REMAP_DONTUNMAP))
		gone += a->old_len >> PAGE_SHIFT;
	return commit_exchange(more, gone, m->s->npages);
}

static err_t move_reserve(struct remap *m, struct region *r)
{
	const struct vm_remap_args *a = m->a;
	err_t err = choose_place(m);
	if (!err && a->old_len && !range_is_valid(m->s, a->addr, a->old_len))
		err = -EINVAL;
	if (!err)
		err = check_limits(
		    m->s, a->limits, r->prot, r->flags, growth(a), count_mapped(m->s, m->to, m->to_end));
	if (!err && m->s->regions.count + 3 > REGIONS_MAX)
		err = -ENOMEM;
	if (!err)
		err = unmap_reserve(m->s, m->to, m->to_end, &m->to_kit);
	bool whole = !err && moves_whole(m, r);
	if (!err && !whole)
		err = make_window(m, r);
	if (!err && !whole && a->old_len && !(a->flags & VM_REMAP_DONTUNMAP))
		err = unmap_reserve(m->s, a->addr, a->addr + a->old_len, &m->from_kit);
	return err ? err : move_promise(m, r, whole);
}

static void forget_translations(struct vm_space *s, uaddr_t start, uaddr_t end)
{
	struct mmu_gather g;
	if (start == end)
		return;
	resident_note_peak(s);
	mmu_gather_begin(&g, &s->mmu);
	mmu_unmap(&s->mmu, start, end, &g);
	mmu_gather_flush(&g);
}

static void remove_range(struct page_tree *t, pgidx_t first, pgidx_t end, struct pt_reserve *nodes)
{
	uint64_t freed;
	err_t err = first < end ? page_tree_remove(t, first, end, nodes, page_unshare, &freed) : 0;
	ASSERT(!err); /* DIVIDE_NODES were reserved */
}

/* The pages [first, end) of o, which nobody reaches through a translation now, go to the fresh object `to`.
 */
static void object_divide(
    struct vm_object *o, pgidx_t first, pgidx_t end, struct vm_object *to, struct pt_reserve *nodes)
{
	spin_lock(&o->lock);
	o->generation++;
	uint64_t moved = page_tree_count(&o->tree, first, end, NULL);
	object_pages_leave(o, moved);
	object_pages_came(to, moved);
	page_tree_clone(&to->tree, &o->tree);
	remove_range(&to->tree, 0, first, nodes);
	remove_range(&to->tree, end, PT_INDEX_MAX + 1, nodes);
	remove_range(&o->tree, first, end, nodes);
	purge_copy_state_locked(o, to);
	spin_unlock(&o->lock);
}

/* r goes to the new place itself. Cannot fail. */
static void move_whole(struct remap *m, struct region *r)
{
	struct vm_space *s = m->s;
	region_remove(&s->regions, r);
	region_set_bounds(r, m->to, m->to_end, r->offset);
	region_insert(&s->regions, r);
	s->npages += growth(m->a);
	region_merge(s, r);
}

/* The part of r goes to the fresh window. Cannot fail. */
static void move_part(struct remap *m, struct region *r)
{
	const struct vm_remap_args *a = m->a;
	struct region *w = m->fresh;
	pgidx_t first = region_index(r, a->addr);
	if (region_is_private(r))
		object_divide(r->object, first, first + (m->moved >> PAGE_SHIFT), w->object, &m->nodes);
	region_insert(&m->s->regions, w);
	object_add_viewer(w);
	object_inherit_trim(r->object, w->object);
	m->fresh = NULL;
	uint64_t peak = MAX(m->s->npages_peak, m->s->npages);
	m->s->npages += a->new_len >> PAGE_SHIFT;
	if (a->flags & VM_REMAP_DONTUNMAP)
		region_set_flags(r, r->flags & ~(uint32_t)REGION_LOCK_MASK);
	else if (a->old_len)
		unmap_commit(m->s, a->addr, a->addr + a->old_len, &m->from_kit);
	m->s->npages_peak = peak; /* that both were there for a moment does not count, as on Linux */
	region_merge(m->s, w);
}

static void move_commit(struct remap *m)
{
	const struct vm_remap_args *a = m->a;
	unmap_commit(m->s, m->to, m->to_end, &m->to_kit);
	struct region *r =
	    region_find(&m->s->regions, a->addr); /* what was replaced may have been a part of it */
	ASSERT(r);
	if (r->flags & REGION_MARKS)
		fetch_add_relaxed(&m->s->serial, 1);
	forget_translations(m->s, a->addr, a->addr + m->moved);
	if (m->fresh)
		move_part(m, r);
	else
		move_whole(m, r);
}

/* --- the call --- */

static err_t remap_locked(struct remap *m, uaddr_t *out)
{
	const struct vm_remap_args *a = m->a;
	struct region *r = region_find(&m->s->regions, a->addr);
	bool moves = a->flags & (VM_REMAP_FIXED | VM_REMAP_DONTUNMAP);
	*out = a->addr;
	if (!r)
		return -EFAULT;
	if (!moves && a->old_len >= a->new_len)
		return shrink_in_place(m);
	err_t err = window_check(m, &r);
	if (err)
		return err;
	if (!moves && can_grow_in_place(m, r)) {
		err = check_limits(m->s, a->limits, r->prot, r->flags, growth(a), 0);
		if (!err && (r->flags & REGION_ACCOUNT))
			err = commit_exchange(growth(a), 0, m->s->npages);
		if (!err)
			grow_in_place(m, r);
		return err;
	}
	if (!(a->flags & VM_REMAP_MAYMOVE))
		return -ENOMEM;
	err = move_reserve(m, r);
	if (!err) {
		move_commit(m);
		*out = m->to;
	}
	return err;
}

static err_t args_check(const struct vm_remap_args *a)
{
	bool to = a->flags & (VM_REMAP_FIXED | VM_REMAP_DONTUNMAP);
	if (!IS_ALIGNED(a->addr | a->old_len | a->new_len | a->new_addr, PAGE_SIZE) || !a->new_len)
		return -EINVAL;
	if (to &&
	    (!(a->flags & VM_REMAP_MAYMOVE) || a->new_len > USER_END || a->new_addr > USER_END - a->new_len))
		return -EINVAL;
	if ((a->flags & VM_REMAP_DONTUNMAP) && a->old_len != a->new_len)
		return -EINVAL;
	if (to && a->addr + a->old_len > a->new_addr && a->new_addr + a->new_len > a->addr)
		return -EINVAL;
	return 0;
}

err_t space_remap(struct vm_space *s, const struct vm_remap_args *a, uaddr_t *out)
{
	struct remap m = {.s = s, .a = a, .moved = MIN(a->old_len, a->new_len)};
	uint32_t flags = 0;
	err_t err = args_check(a);
	if (err)
		return err;
	rwlock_write(&s->lock);
	err = remap_locked(&m, out);
	if (!err)
		flags = region_find(&s->regions, *out)->flags;
	space_unlock(s);
	kit_fini(&m.from_kit);
	kit_fini(&m.to_kit);
	page_tree_unreserve(&m.nodes);
	region_free(m.fresh);
	if (!err && (flags & REGION_LOCK_MASK) == REGION_LOCKED && a->new_len > a->old_len) {
		err_t partly = space_populate(s, *out + a->old_len, *out + a->new_len, POPULATE_BY_RIGHTS);
		(void)partly; /* best effort */
	}
	return err;
}
