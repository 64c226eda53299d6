/*
 * resident.c - how many pages of a space are in memory, and the most that ever were.
 *
 * Linux's VmRSS is a sum of three counts, kept as pages come and go; VmHWM and ru_maxrss are the most that
 * the sum ever was. So are these:
 *
 *	anon	 pages of the private objects that the space shows: each object counts its own (npresent), the
 *		 space has the sum (anon). A page counts from the moment it is in the tree, translated or not: a
 *		 child of fork has all pages of its parent and no page tables.
 *	file	 translations of pages of files, itself or from behind a private object
 *	shmem	 the same for shared memory and for files that lie in memory
 *
 * The last two are counted by the MMU context, under its own lock, from a mark in each entry: when a range
 * is unmapped nobody else looks at what was there, and a table that goes as a whole has its sums in its
 * record.
 *
 * The peak costs nothing while pages come. It is looked at before the sum becomes less
 * (resident_note_peak: by whoever unmaps or removes, not by a copy that takes the place of a file's
 * page, which leaves the sum as it is) and when somebody asks; in between it could only have grown.
 * Three counts are read one after the other without a lock, so while threads of the space take pages at
 * the same time the peak may be off by as many as there are threads, as on Linux, where it is by some
 * dozens for each.
 *
 * Locking: npresent under the object's lock. An object belongs to the space of its viewers, so the sum
 * changes under that lock as well, but other objects of the space have other locks: it is atomic. It
 * lies beside the space's lock, whose cache line each fault writes to in any case.
 *
 * Rejected: a sum on demand over objects, sampled before each decrease (a munmap would cost by the number of
 * regions); counts for each thread or CPU (exact only by a walk over all of them, at each munmap); counting
 * anonymous pages by their translations, too (fork would have to enter them all, or its child would say that
 * it has none).
 */
#include "vm/vm_priv.h"

struct vm_resident space_resident_now(const struct vm_space *s)
{
	struct mmu_marked m = mmu_marked(&s->mmu);
	return (struct vm_resident){.anon = load_relaxed(&s->anon), .file = m.file, .shmem = m.shmem};
}

static uint64_t sum_now(const struct vm_space *s)
{
	struct vm_resident r = space_resident_now(s);
	return r.anon + r.file + r.shmem;
}

void resident_note_peak(struct vm_space *s)
{
	uint64_t now = sum_now(s), peak = load_relaxed(&s->resident_peak);
	while (peak < now && !cas_acq_rel(&s->resident_peak, &peak, now))
		;
}

uint64_t space_resident_peak(const struct vm_space *s)
{
	return MAX(load_relaxed(&s->resident_peak), sum_now(s));
}

void space_reset_resident_peak(struct vm_space *s)
{
	store_relaxed(&s->resident_peak, sum_now(s));
}

uint64_t space_size_peak(struct vm_space *s)
{
	rwlock_read(&s->lock);
	uint64_t peak = MAX(s->npages_peak, s->npages);
	rwlock_read_unlock(&s->lock);
	return peak;
}

/* The space that o belongs to; NULL: nobody sees it. */
static struct vm_space *space_of(const struct vm_object *o)
{
	return list_is_empty(&o->viewers) ? NULL : list_first(&o->viewers, struct region, view_link)->space;
}

void object_pages_came(struct vm_object *o, uint64_t n)
{
	if (!(o->flags & VM_PRIVATE))
		return;
	struct vm_space *s = space_of(o);
	o->npresent += n;
	if (s)
		fetch_add_relaxed(&s->anon, n);
}

void object_pages_leave(struct vm_object *o, uint64_t n)
{
	if (!(o->flags & VM_PRIVATE) || !n)
		return;
	struct vm_space *s = space_of(o);
	ASSERT(o->npresent >= n);
	if (s) {
		resident_note_peak(s);
		fetch_sub_relaxed(&s->anon, n);
	}
	o->npresent -= n;
}

void object_range_leaves(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	if ((o->flags & VM_PRIVATE) && o->npresent)
		object_pages_leave(o, page_tree_count(&o->tree, first, end, NULL));
}

void resident_attach(struct region *r)
{
	if (region_is_private(r))
		fetch_add_relaxed(&r->space->anon, r->object->npresent);
}

void resident_detach(struct region *r)
{
	if (region_is_private(r))
		fetch_sub_relaxed(&r->space->anon, r->object->npresent);
}
