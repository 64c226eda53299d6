/*
 * fault_ahead.c - first writes to anonymous private memory, one page after the other: the pages behind come
 * along.
 *
 * A write fault where no page is *goes on* if the page before it was put there a moment ago. Then it is
 * answered with a *stretch* of pages, twice as long as the one that ended before it, up to a leaf of the page
 * tree:
 *
 *	faults at       0  1     3           7                       15 ...           64
 *	stretches       |--|-----|-----------|-----------------------|------- ... ----|------- 64 pages ...
 *
 * So what is there and not (yet) touched is never more than what was touched one page after the other before
 * it. Whoever writes here and there gets single pages.
 *
 * What a fault has to know is in the record of the page before: the generation of the object when its stretch
 * was put there, and how long that was (`index` and `ahead` of an ANON page). "A moment ago" is fewer than
 * AHEAD_STREAMS changes of the object. So the threads of a process and the arrays of a loop do not disturb
 * one another, and there is no table of streams to keep. Pages that came in another way, or through another
 * object that shared them, have records that say something else; a wrong guess costs a few frames and changes
 * nothing that a program can rely on.
 *
 * A stretch is as long as nothing is in its way: it ends with the region and the leaf (one walk of each
 * tree) and before the first page that is there. Addresses that show the page of zeros, as they were read,
 * lose it all at once: break before make. Its frames are allocated in blocks, where large.c wants them, and
 * zeroed with the object unlocked, and only as long as memory is plentiful: what is missing to the high
 * watermark is not taken. Then the fault looks again; the outcomes:
 *	nothing changed             the stretch is put there
 *	another thread was faster   its page is used; ours that find no place are freed
 *	the pages were purged       the stretch goes into an empty tree
 *
 * Rejected: a table of streams in the object (two threads and two arrays overflow it, everybody pays for it),
 * the run of present pages before the fault as the only evidence (memory that is filled in no order would be
 * filled twice as fast as asked for), serving in the other direction (stacks grow down, and would grow twice
 * as fast).
 */
#include "vm/vm_priv.h"

unsigned ahead_want(const struct vm_object *o, const struct region *r, pgidx_t idx)
{
	const struct page *before;
	if (idx == r->offset || (r->flags & (REGION_RANDOM | REGION_LOCK_ONFAULT)))
		return 1;
	before = page_tree_lookup(&o->tree, idx - 1);
	if (!before || !is_recent(o, before))
		return 1;
	return MIN(2 * MAX(before->ahead, 1U), (unsigned)PT_SLOTS);
}

unsigned ahead_room(const struct region *r, const struct pt_node *leaf, pgidx_t idx)
{
	unsigned i = idx & (PT_SLOTS - 1);
	uint64_t behind = leaf ? leaf->present >> i : 0;
	uint64_t room = MIN(PT_SLOTS - i, r->offset + region_npages(r) - idx);
	return behind ? MIN((unsigned)room, bit_lowest(behind)) : (unsigned)room;
}

/* The page of zeros is in the way: take it away, then go on. Returns how many were entered. */
static NOINLINE unsigned put_over_zeros(
    struct mmu_context *mmu, uaddr_t va, struct page **pages, unsigned n, unsigned flags)
{
	struct mmu_gather g;
	mmu_gather_begin(&g, mmu);
	mmu_unmap(mmu, va, va + n * PAGE_SIZE, &g);
	mmu_gather_flush(&g);
	return mmu_enter_run(mmu, va, pages, n, flags);
}

unsigned ahead_put(struct region *r, struct page_slot slot, pgidx_t idx, struct page **pages, unsigned n)
{
	struct mmu_context *mmu = &r->space->mmu;
	uaddr_t va = region_addr(r, idx);
	unsigned flags = region_mmu_flags(r) | MMU_WRITE, done = mmu_enter_run(mmu, va, pages, n, flags);
	if (done < n)
		done += put_over_zeros(mmu, va + done * PAGE_SIZE, pages + done, n - done, flags);
	n = done;
	for (unsigned i = 0; i < n; i++)
		page_slot_fill((struct page_slot){slot.leaf, slot.i + i}, pages[i]);
	resident_fault(r->space, r->object, n);
	return n;
}
