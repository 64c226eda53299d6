/*
 * large.c - translations of 2 MiB: 512 pages of private anonymous memory by one entry of the page tables.
 *
 * Nothing else knows of them. A page stays a page, of 4 KiB, with a slot in the tree and a record of its own;
 * a large translation is one more thing that the MMU context may have cached about a *stretch*: 512 pages, at
 * an address aligned to 2 MiB, of one region. It may be made when
 *
 *	the frames of the stretch are 512 in a row, aligned,
 *	the tree owns all of them exclusively, so that all have equal rights: those of the region,
 *
 * and it is dropped, like every translation, as soon as one page of it is to have other rights or another
 * frame. What then remains of the stretch comes back by faults, 64 pages each. So splitting is unmapping: it
 * needs no memory, cannot fail, and no table has to be kept for it.
 *
 *	place	The first write to a stretch takes the first frame of an aligned run, and sets the rest of it
 *		aside (frame_alloc_large): free as before, but given to others last. Writes that go on
 *		(fault_ahead.c) take the frames behind those of the pages before (frame_alloc_at). Whoever
 *		begins in the middle takes those that belong there. So a run is spent as it is touched.
 *	promote	When a stretch that was served ahead completes the 512, and whenever somebody writes or reads
 *		where there is no translation (any more) but such a stretch, one entry takes the place of the
 *		table: break, flush, make, under the object's lock, without which nobody enters anything there.
 *	split	mprotect, munmap, mremap, madvise of a part, a copy of one page after fork: mmu_unmap and its
 *		like drop the large translation that they cut.
 *	fork	clears W in the root, like always. The parent gets it back for the whole stretch by one fault
 *		if the child is gone; a page that both still have is copied, which drops the translation.
 *
 * What runs do not survive is memory being short: others take what is set aside, and frames behind a page
 * are then those of somebody else. The pages go on elsewhere, and the stretch stays one of small pages.
 * Nothing is moved to make a large translation possible: memory that was filled in no order has none.
 *
 * Rejected: a table of reservations in each object (it has to be given back when memory is short, when the
 * object dies, is cloned or cut: five ways to lose frames; the free lists know all of this by themselves);
 * keeping a table for the split (a translation is never needed: faults that find no memory for a table wait
 * for it, as they do everywhere); read-only large translations of what a clone shares (the first page that is
 * copied would end them).
 */
#include "vm/vm_priv.h"

static _Atomic uint32_t mode = LARGE_ALWAYS;

void vm_set_large_mode(enum large_mode m)
{
	store_relaxed(&mode, m);
}

enum large_mode vm_large_mode(void)
{
	return (enum large_mode)load_relaxed(&mode);
}

/* May r have large translations, as far as anybody has said? */
static bool is_wanted(const struct region *r)
{
	const struct vm_object *o = r->object;
	if (o->kind != VM_ANON || !(o->flags & VM_PRIVATE) || o->backing)
		return false;
	if ((r->flags & REGION_NO_LARGE) || load_relaxed(&r->space->no_large))
		return false;
	return vm_large_mode() == LARGE_ALWAYS ||
	       (vm_large_mode() == LARGE_ADVISED && (r->flags & REGION_LARGE));
}

bool region_may_be_large(const struct region *r)
{
	uaddr_t first = ALIGN_UP(r->start, MMU_LARGE_SIZE);
	return is_wanted(r) && first < r->end && r->end - first >= MMU_LARGE_SIZE;
}

/* The first index of the stretch that idx is in. False: it is not wholly in r, or is none. */
static bool stretch_of(const struct region *r, pgidx_t idx, pgidx_t *first)
{
	uaddr_t start = ALIGN_DOWN(region_addr(r, idx), MMU_LARGE_SIZE);
	if (start < r->start || r->end - start < MMU_LARGE_SIZE || !is_wanted(r))
		return false;
	*first = region_index(r, start);
	return IS_ALIGNED(
	    *first, PT_SLOTS); /* else it has come here by mremap, and shares leaves with others */
}

/* --- place --- */

struct large_place large_place(const struct region *r, pgidx_t idx)
{
	const struct page_tree *t = &r->object->tree;
	struct large_place none = {0};
	pgidx_t first, found;
	if (!stretch_of(r, idx, &first) || (r->flags & REGION_RANDOM))
		return none;
	struct page *p = idx > first ? page_tree_lookup(t, idx - 1) : NULL;
	if (p && large_is_placed(r, idx - 1, p))
		return (struct large_place){.at = p + 1};
	p = page_tree_next(t, first, first + MMU_LARGE_PAGES, &found);
	if (p && large_is_placed(r, found, p))
		return (struct large_place){.at = p + (int64_t)(idx - found)};
	return (struct large_place){.begins = !p && idx == first};
}

unsigned large_alloc(const struct large_place *at, struct page **out, unsigned n)
{
	if (at->begins)
		return frame_alloc_large(PAGE_ANON, FRAME_ZERO, out, n);
	return at->at ? frame_alloc_at(PAGE_ANON, FRAME_ZERO, at->at, out, n) : 0;
}

/* --- promote --- */

/* Does the leaf for idx belong to the tree alone, and does it name PT_SLOTS frames from p on that it owns
 * alone? */
static bool owns_leaf(const struct page_tree *t, pgidx_t idx, const struct page *p)
{
	bool exclusive = false;
	const struct pt_node *leaf = page_tree_leaf(t, idx, &exclusive);
	if (!leaf || !exclusive || ~leaf->present)
		return false;
	for (unsigned i = 0; i < PT_SLOTS; i++)
		if (leaf->slots[i].page != p + i || page_shares(p + i) != 1)
			return false;
	return true;
}

/* The first frame of the stretch from `first` on, if it can be translated as one; else NULL. The last page
 * is asked for first: most stretches that are not whole do not have it. */
static struct page *whole_stretch(const struct page_tree *t, pgidx_t first)
{
	struct page *last = page_tree_lookup(t, first + MMU_LARGE_PAGES - 1);
	struct page *p = last ? last - (MMU_LARGE_PAGES - 1) : NULL;
	if (!p || !IS_ALIGNED(page_to_pfn(p), (uint64_t)MMU_LARGE_PAGES))
		return NULL;
	for (unsigned i = 0; i < MMU_LARGE_PAGES; i += PT_SLOTS)
		if (!owns_leaf(t, first + i, p + i))
			return NULL;
	return p;
}

bool large_enter(const struct region *r, pgidx_t idx)
{
	struct mmu_context *mmu = &r->space->mmu;
	unsigned flags = region_mmu_flags(r) | (r->prot & VM_WRITE ? MMU_WRITE : 0);
	pgidx_t first;
	ASSERT_HELD(&r->object->lock);
	if (!stretch_of(r, idx, &first))
		return false;
	struct page *p = whole_stretch(&r->object->tree, first);
	if (!p)
		return false;
	uaddr_t start = region_addr(r, first);
	err_t err = mmu_enter_large(mmu, start, page_to_phys(p), flags);
	if (err == -EEXIST) {
		struct mmu_gather g;
		mmu_gather_begin(&g, mmu);
		mmu_unmap(mmu, start, start + MMU_LARGE_SIZE, &g);
		mmu_gather_flush(&g);
		err = mmu_enter_large(mmu, start, page_to_phys(p), flags);
	}
	return !err; /* without memory for a table: smaller ones, by the next faults */
}

uint64_t large_count(const struct region *r)
{
	const struct page_tree *t = &r->object->tree;
	pgidx_t end = r->offset + region_npages(r), idx = r->offset, found;
	struct mmu_translation tr;
	uint64_t pages = 0;
	ASSERT_HELD(&r->object->lock);
	while (r->object->kind == VM_ANON && page_tree_next(t, idx, end, &found)) {
		uaddr_t va = region_addr(r, found), next = ALIGN_DOWN(va, MMU_LARGE_SIZE) + MMU_LARGE_SIZE;
		bool large = mmu_query(&r->space->mmu, va, &tr) && tr.size == MMU_LARGE_SIZE;
		idx = found + ((next - va) >> PAGE_SHIFT);
		if (large)
			pages += MIN(idx, end) - found;
	}
	return pages;
}
