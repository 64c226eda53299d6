/*
 * fault.c - how memory becomes accessible.
 *
 * One path for user faults, kernel accesses to user memory (usercopy) and copies into other spaces (copy.c);
 * they differ in the last stage only:
 *
 *	find region -> check access -> find page -> promote (zero, copy, read from file)
 *	    -> enter a translation, or pin the page
 *
 *	object has the page     | write, exclusively owned  -> use it; write access for its 64-page leaf again
 *	                        | write, shared with a clone -> copy, replace
 *	                        | read                      -> use it read-only, with present neighbours
 *	only the backing has it | write                     -> copy into the object
 *	                        | read                      -> the file's page read-only, with neighbours
 *	nobody has it           | file, not in memory alone -> read it in, start over
 *	                        | write                     -> zeroed frame into the object; if it goes on
 *	                        |                              where others ended, several (fault_ahead.c)
 *	                        | read                      -> the shared zero page
 *
 * Where 512 pages that are owned exclusively lie as they should, all get one translation (large.c).
 *
 * Locks: the space for reading, then the object, then its backing; entering a translation happens under the
 * lock of the object that the page belongs to, which is what makes taking pages away safe (object.c). Frames
 * are copied with the object unlocked: the stage leaves the copy as a *spare* in the context and looks
 * everything up again. A spare counts only if its source is still the page that is there and the object did
 * not change meanwhile (generation): a page that is shared is not written by anybody, and one that is the
 * file's may change at any time anyway.
 *
 * What needs sleeping (reading a file, waiting for a busy page, reclaim) happens with no lock at all, then
 * the whole path starts over.
 *
 * Break before make: when a page takes the place of another one (or of the zero page), the old translation is
 * removed and flushed from every CPU before the lock is dropped. So no thread sees the old page after another
 * has seen the new one.
 */
#include "vm/vm_priv.h"

/* What a stage wants done with no lock held before the path starts over; positive, so that they never mix
 * with errors. */
enum fault_need { NEED_MEMORY = 1, NEED_READ, NEED_WAIT, NEED_PAUSE, NEED_GROW, NEED_ROOM };

enum { RECLAIM_BATCH = 32 }; /* frames asked for when one was missing */

/* Beside enum fault_access. */
enum {
	ACCESS_AGAIN = 1u << 16, /* goes on where it was, in a page that it has just used */
	FAULT_ALONE = 1u << 17,  /* nothing is served ahead any more */
	FAULT_RANGE = 1u << 18,  /* all pages up to `end` are wanted */
};

struct fault {
	struct vm_space *space;
	uaddr_t addr;
	unsigned access;
	struct vm_pin *pin; /* NULL: enter a translation */

	/* valid while the space is locked */
	struct region *region;
	struct vm_object *object;
	pgidx_t idx;
	struct pt_node
	    *leaf; /* the object's, if its path is exclusive; else NULL. While the object is locked */

	/* a copy made with the object unlocked */
	struct page *spare;
	struct page *spare_src; /* of what */
	uint64_t spare_generation;

	struct vm_object *io_object; /* NEED_READ, NEED_WAIT, NEED_ROOM: counted */
	pgidx_t room;                /* the page that may_dirty was last asked about; UINT64_MAX: none */
	bool read;                   /* a file was read for it */
	uaddr_t end;                 /* FAULT_RANGE */
	unsigned served;             /* FAULT_RANGE: pages */
};

/* Each row is written by its own CPU with preemption disabled, and read by anybody: plain loads and stores,
 * atomic to be whole. */
struct counter_row {
	_Atomic uint64_t faults, zero_maps, zero_fills, ahead, copies, reuses, file_reads, around, retries;
} ALIGNED(CACHE_LINE);
static struct counter_row counters[MAX_CPUS];
#define COUNT_N(event, n)                                                                                    \
	do {                                                                                                 \
		_Atomic uint64_t *c_ = &counters[cpu_id()].event;                                            \
		store_relaxed(c_, load_relaxed(c_) + (n));                                                   \
	} while (0)
#define COUNT(event) COUNT_N(event, 1)

static bool is_write(const struct fault *f)
{
	return f->access & FAULT_WRITE;
}

/* May a translation be entered with write access, as far as the region is concerned? */
static bool may_write(const struct fault *f)
{
	return !f->pin && (f->region->prot & VM_WRITE);
}

/* --- last stage: enter or pin --- */

/* There is a translation of another page in the way, or no memory for a table. */
static NOINLINE err_t enter_slow(struct fault *f, paddr_t paddr, unsigned flags, err_t err)
{
	struct mmu_context *mmu = &f->space->mmu;
	uaddr_t va = ALIGN_DOWN(f->addr, PAGE_SIZE);
	if (err == -EEXIST) {
		struct mmu_gather g;
		mmu_gather_begin(&g, mmu);
		mmu_unmap(mmu, va, va + PAGE_SIZE, &g);
		mmu_gather_flush(&g);
		err = mmu_enter(mmu, va, paddr, flags);
	}
	return err == -ENOMEM ? NEED_MEMORY : err;
}

/* Put a translation in, after removing that of another page if there is one. Called under the page owner's
 * lock. */
static inline err_t enter(struct fault *f, paddr_t paddr, unsigned flags)
{
	err_t err = mmu_enter(&f->space->mmu, ALIGN_DOWN(f->addr, PAGE_SIZE), paddr, flags);
	return likely(!err) ? 0 : enter_slow(f, paddr, flags, err);
}

/* Pin instead of entering. Called under the page owner's lock; `owner` is the object whose tree names the
 * page. */
static NOINLINE err_t pin(struct fault *f, struct vm_object *owner, struct page *p)
{
	if (owner->flags & VM_WRITE_COMBINING)
		return -EFAULT; /* like device memory: it is not to be in the cache */
	*f->pin = (struct vm_pin){.page = p, .index = f->idx, .write = is_write(f)};
	list_init(&f->pin->link);
	if (p == zero_page)
		return 0;
	if (!page_pin(p))
		return NEED_PAUSE;
	object_get(owner);
	f->pin->object = owner;
	if (f->pin->write)
		list_push_back(&owner->pins, &f->pin->link);
	return 0;
}

/* mark: of MMU_MARKS. */
static ALWAYS_INLINE err_t finish(
    struct fault *f, struct vm_object *owner, struct page *p, bool writable, unsigned mark)
{
	if (f->pin)
		return pin(f, owner, p);
	return enter(f, page_to_phys(p), region_mmu_flags(f->region) | (writable ? MMU_WRITE : 0) | mark);
}

/* --- neighbours --- */

/* The slots of the leaf around f->idx that lie in the region: [*lo, *hi]. */
static void leaf_window(const struct fault *f, unsigned *lo, unsigned *hi)
{
	const struct region *r = f->region;
	pgidx_t base = f->idx & ~(pgidx_t)(PT_SLOTS - 1), end = r->offset + region_npages(r);
	*lo = r->offset > base ? (unsigned)(r->offset - base) : 0;
	*hi = end < base + PT_SLOTS ? (unsigned)(end - base) - 1 : PT_SLOTS - 1;
}

/* Enter the pages of `leaf` around the faulting one. writable: write access for pages of which we own the
 * only share, the leaf's path being exclusive (of a file: those that are dirty); else all read-only. `cover`
 * (or NULL) is the leaf of the object in front of `owner`: where it has a page, `leaf` is not what the region
 * shows. */
static void enter_around(struct fault *f, const struct vm_object *owner, const struct pt_node *leaf,
    const struct pt_node *cover, bool writable)
{
	struct page *pages[PT_SLOTS];
	unsigned lo, hi;
	leaf_window(f, &lo, &hi);
	uint64_t set = leaf->present & bit_range(lo, hi) & ~(cover ? cover->present : 0);
	if (writable && f->object->kind == VM_FILE)
		set &= leaf->marks[PT_DIRTY];
	if (!(set & (set - 1)))
		return; /* just the page itself */
	for (unsigned i = lo; i <= hi; i++) {
		struct page *p = set & BIT(i) ? leaf->slots[i].page : NULL;
		if (p && (writable ? page_shares(p) != 1 : page_test_flag(p, PAGE_BUSY)))
			p = NULL;
		pages[i - lo] = p;
	}
	COUNT(around);
	uaddr_t va = region_addr(f->region, (f->idx & ~(pgidx_t)(PT_SLOTS - 1)) + lo);
	unsigned flags = region_mmu_flags(f->region) | (writable ? MMU_WRITE : 0) | object_mark(owner);
	mmu_enter_around(&f->space->mmu, va, pages, hi - lo + 1, flags);
}

/* --- promote --- */

static void drop_spare(struct fault *f)
{
	if (f->spare)
		frame_free(f->spare);
	f->spare = NULL;
}

/* Prepare a copy of src, a page of a locked tree, with the object (and its backing) unlocked meanwhile. The
 * source stays pinned until we can look again: its frame cannot come back as another page. */
static err_t spare_copy(struct fault *f, struct page *src)
{
	if (!page_pin(src))
		return NEED_PAUSE;
	f->spare_generation = f->object->generation;
	object_unlock_both(f->object);
	drop_spare(f);
	f->spare = frame_alloc(object_page_kind(f->object), 0);
	f->spare_src = src;
	if (f->spare)
		memcpy(page_to_virt(f->spare), page_to_virt(src), PAGE_SIZE);
	object_lock_both(f->object);
	page_unpin(src);
	return f->spare ? 0 : NEED_MEMORY;
}

/* Make the path to f->idx exclusive. */
static NOINLINE err_t own_leaf(struct fault *f)
{
	struct page_slot slot;
	if (page_tree_own(&f->object->tree, f->idx, NULL, &slot))
		return NEED_MEMORY;
	f->leaf = slot.leaf;
	return 0;
}

/* promote, where p stays the caller's if it is in no slot afterwards. */
static ALWAYS_INLINE err_t put_page(struct fault *f, struct page *p, struct page *old, bool shared)
{
	struct vm_object *o = f->object;
	bool charged = shared && !old && o->ops;
	err_t err = charged ? o->ops->charge(o) : 0;
	if (unlikely(err))
		return err;
	if (unlikely(!f->leaf) && own_leaf(f)) {
		if (charged)
			o->ops->uncharge(o, 1);
		return NEED_MEMORY;
	}
	struct page_slot slot = {f->leaf, f->idx & (PT_SLOTS - 1)};
	o->generation++;
	ahead_note(o, p, 1);
	/* A private object shows each index once, so enter() will find and remove a translation of the zero
	 * page or the file's. Otherwise every viewer may have one of these, or of the old page. */
	if (unlikely(old || f->pin || shared))
		object_unmap_locked(o, f->idx, f->idx + 1);
	if (old)
		page_unshare(page_slot_replace(slot, p));
	else
		page_slot_fill(slot, p);
	if (!shared && !old)
		resident_fault(f->space, o, 1);
	if (unlikely(o->vol_state == VOLATILE_PURGED))
		purge_note_filled_locked(o);
	return finish(f, o, p, true, shared ? MMU_OF_SHMEM : 0);
}

/* Put a fresh page into the object, which is `shared` or private, at f->idx, in the place of `old` (NULL:
 * nothing was there), and finish. Takes p over: it is freed if it could not be put there. */
static ALWAYS_INLINE err_t promote(struct fault *f, struct page *p, struct page *old, bool shared)
{
	err_t err = put_page(f, p, old, shared);
	if (unlikely(err) && page_shares(p) == 0)
		frame_free(p);
	return err;
}

/* Give the object a copy of src in the place of `old` (src itself, or NULL: src is the backing's). -EAGAIN:
 * the locks were dropped, look again. The copy is good if its source is still there, and was not made
 * exclusive, written and shared again meanwhile. */
static err_t copy_up(struct fault *f, struct page *src, struct page *old)
{
	struct page *copy = f->spare;
	if (!copy || f->spare_src != src || f->spare_generation != f->object->generation) {
		err_t err = spare_copy(f, src);
		return err ? err : -EAGAIN;
	}
	COUNT(copies);
	f->spare = NULL;
	return promote(f, copy, old, !(f->object->flags & VM_PRIVATE));
}

/* --- anonymous objects --- */

/* p, which is f->object's alone, may be one of 512 that one translation is due for. */
static ALWAYS_INLINE bool is_large(const struct fault *f, const struct page *p)
{
	return !f->pin && unlikely(large_is_placed(f->region, f->idx, p)) && large_enter(f->region, f->idx);
}

static err_t anon_write_present(struct fault *f, struct pt_node *leaf, struct page *p, bool exclusive)
{
	if (exclusive && page_shares(p) == 1) {
		COUNT(reuses);
		if (is_large(f, p))
			return 0;
		if (!f->pin && (f->access & FAULT_PRESENT))
			enter_around(f, f->object, leaf, NULL, true);
		return finish(f, f->object, p, true, object_mark(f->object));
	}
	return copy_up(f, p, p);
}

static err_t anon_read_present(struct fault *f, struct pt_node *leaf, struct page *p, bool exclusive)
{
	bool alone = exclusive && page_shares(p) == 1, writable = alone && may_write(f);
	if (alone && is_large(f, p))
		return 0;
	err_t err = finish(f, f->object, p, writable, object_mark(f->object));
	if (!err && !f->pin)
		enter_around(f, f->object, leaf, NULL, false);
	return err;
}

/* Put the first of n fresh pages at f->idx, where none is, and the others behind it; `want` is what there
 * should be. Returns how many are used up. */
static unsigned put_stretch(struct fault *f, struct page **pages, unsigned n, unsigned want, err_t *err)
{
	struct vm_object *o = f->object;
	*err = promote(f, pages[0], NULL, false);
	if (*err)
		return 1;
	struct page_slot behind = {f->leaf, (f->idx & (PT_SLOTS - 1)) + 1};
	unsigned used = 1 + (n > 1 ? ahead_put(f->region, behind, f->idx + 1, pages + 1, n - 1) : 0);
	ahead_note(o, pages[used - 1], MAX(used, want / 2)); /* what the leaf cut off is asked for again */
	if (large_is_placed(f->region, f->idx, pages[0]))
		large_enter(f->region, f->idx);
	f->served = used;
	COUNT_N(zero_fills, used);
	COUNT_N(ahead, used - 1);
	return used;
}

/* `want` pages are served, as far as there is room and memory for them. -EAGAIN: look again. */
static err_t absent_stretch(
    struct fault *f, const struct pt_node *leaf, unsigned want, const struct large_place *place)
{
	struct vm_object *o = f->object;
	struct page *pages[PT_SLOTS];
	unsigned room = MIN(want, ahead_room(f->region, leaf, f->idx)), used = 0;
	bool exclusive = false;
	err_t err = -EAGAIN;
	object_unlock_both(o);
	unsigned n = large_alloc(place, pages, room);
	if (!n)
		n = frame_alloc_batch(PAGE_ANON, FRAME_ZERO, pages, room);
	object_lock_both(o);
	struct pt_node *now = page_tree_leaf(&o->tree, f->idx, &exclusive);
	f->leaf = exclusive ? now : NULL;
	room = ahead_room(f->region, now, f->idx);
	if (n && room)
		used = put_stretch(f, pages, MIN(n, room), want, &err);
	while (n > used)
		frame_free(pages[--n]);
	f->access |= FAULT_ALONE;
	return err;
}

/* A write where no page is: put a page of zeros there. */
static ALWAYS_INLINE err_t absent_alone(struct fault *f, bool shared)
{
	/* Zeroed under the lock: dropping it and looking again would cost as much as the zeroing. */
	struct page *p = frame_alloc(shared ? PAGE_SHMEM : PAGE_ANON, FRAME_ZERO);
	if (unlikely(!p))
		return NEED_MEMORY;
	COUNT(zero_fills);
	return promote(f, p, NULL, shared);
}

/* May pages be served ahead of a write where none is? With a backing, that may have the next ones. */
static bool is_stretchable(const struct fault *f)
{
	const struct vm_object *o = f->object;
	return !f->pin && !(f->access & FAULT_ALONE) && !o->backing;
}

/* Pages that it wants. */
static unsigned stretch_want(const struct fault *f)
{
	if (f->access & FAULT_RANGE)
		return (unsigned)MIN((f->end - f->addr) >> PAGE_SHIFT, (uint64_t)PT_SLOTS);
	return ahead_want(f->object, f->region, f->idx);
}

/* The same in private memory, where the write may go on where others ended. */
static NOINLINE err_t absent_behind(struct fault *f, const struct pt_node *leaf)
{
	if (!is_stretchable(f))
		return absent_alone(f, false);
	unsigned want = stretch_want(f);
	struct large_place place = large_place(f->region, f->idx);
	return want > 1 || place.at || place.begins ? absent_stretch(f, leaf, want, &place)
						    : absent_alone(f, false);
}

/* Does a write at slot i of a leaf go on where another one ended, or may it begin or go on with what is to be
 * large? */
static ALWAYS_INLINE bool goes_on(const struct fault *f, const struct pt_node *leaf, unsigned i)
{
	const struct page *before = leaf && i ? leaf->slots[i - 1].page : NULL;
	if (likely(!before))
		return !i;
	return is_recent(f->object, before) || (!f->pin && large_is_placed(f->region, f->idx - 1, before));
}

/* i: the slot of f->idx in its leaf. */
static ALWAYS_INLINE err_t anon_absent(struct fault *f, const struct pt_node *leaf, unsigned i, bool shared)
{
	if (!is_write(f)) {
		COUNT(zero_maps);
		return finish(f, f->object, zero_page, false, 0);
	}
	if (!shared && unlikely(goes_on(f, leaf, i)))
		return absent_behind(f, leaf);
	return absent_alone(f, shared);
}

/* --- files --- */

/* A page that is in memory is used. Not the one that this fault has brought: if it is used through a mapping,
 * the hardware notes that. */
static void note_used(const struct fault *f, struct page *p)
{
	if (f->pin ? !(f->access & ACCESS_AGAIN) : !f->read)
		lru_used(p);
}

/* The page cache of `file` (locked) at f->idx: *out and 0 if it is there and valid, else what has to be done
 * first. */
static err_t cached_page(struct fault *f, struct vm_object *file, struct page **out)
{
	if (f->idx >= file->npages)
		return -EIO;
	struct page *p = *out = page_tree_lookup(&file->tree, f->idx);
	if (p && !page_test_flag(p, PAGE_BUSY)) {
		note_used(f, p);
		return 0;
	}
	object_get(file);
	f->io_object = file;
	if (!p)
		COUNT(file_reads);
	return p ? NEED_WAIT : NEED_READ;
}

/* A private page is absent and there is a file behind it. The locks of both are held. A file in memory has no
 * more than its pages: a hole reads as zeros. */
static err_t backing_absent(struct fault *f, const struct pt_node *cover)
{
	struct vm_object *file = f->object->backing;
	struct page *p = NULL;
	bool exclusive;
	err_t err = 0;
	if (file->kind == VM_FILE)
		err = cached_page(f, file, &p);
	else
		p = page_tree_lookup(&file->tree, f->idx);
	if (err)
		return err;
	if (!p)
		return anon_absent(f, cover, f->idx & (PT_SLOTS - 1), false);
	if (is_write(f))
		return copy_up(f, p, NULL);
	err = finish(f, file, p, false, object_mark(file));
	if (!err && !f->pin)
		enter_around(f, file, page_tree_leaf(&file->tree, f->idx, &exclusive), cover, false);
	return err;
}

/* Shared window on a file. One that was only read from may not write, though the page is dirty already: by
 * its first store the window says that the file changes. */
static err_t fault_file(struct fault *f)
{
	struct vm_object *o = f->object;
	struct page *p;
	bool exclusive;
	err_t err = cached_page(f, o, &p);
	if (err)
		return err;
	bool dirty = page_tree_test_mark(&o->tree, f->idx, PT_DIRTY);
	if (is_write(f) && f->space && o->ops->write)
		store_relaxed(&o->written_by_map, true);
	if (is_write(f) && !dirty) {
		if (!o->ops->write)
			return -EACCES;
		if (o->ops->may_dirty && f->space && f->room != f->idx) {
			object_get(o);
			f->io_object = o;
			return NEED_ROOM;
		}
		file_set_mark(o, f->idx, PT_DIRTY);
		file_count_dirtied(o);
	}
	err = finish(f, o, p, is_write(f) && may_write(f), MMU_OF_FILE);
	if (!err && !f->pin && (!is_write(f) || (f->access & FAULT_PRESENT)))
		enter_around(f, o, page_tree_leaf(&o->tree, f->idx, &exclusive), NULL, is_write(f));
	return err;
}

/* Anonymous memory; `shared`, known where it is called, keeps apart what the two kinds do not have in common:
 * private memory is the hot path. */
static ALWAYS_INLINE err_t fault_anon(struct fault *f, bool shared)
{
	struct vm_object *o = f->object;
	const struct vm_object *backing = shared ? NULL : o->backing;
	bool exclusive = false;
	if (backing && object_trim_locked(o))
		return NEED_MEMORY;
	if (shared && o->ops && is_write(f) && f->space)
		store_relaxed(&o->written_by_map, true);
	if (f->idx >= (backing ? backing->npages : o->npages))
		return -EIO;
	struct pt_node *leaf = page_tree_leaf(&o->tree, f->idx, &exclusive);
	unsigned i = f->idx & (PT_SLOTS - 1);
	struct page *p = leaf ? leaf->slots[i].page : NULL;
	f->leaf = exclusive ? leaf : NULL;
	if (!p)
		return backing ? backing_absent(f, leaf) : anon_absent(f, leaf, i, shared);
	return is_write(f) ? anon_write_present(f, leaf, p, exclusive)
			   : anon_read_present(f, leaf, p, exclusive);
}

static NOINLINE err_t fault_shared(struct fault *f)
{
	return fault_anon(f, true);
}

/* Device memory: the translation is all there is. */
static err_t fault_phys(struct fault *f)
{
	struct vm_object *o = f->object;
	if (f->idx >= o->npages)
		return -EIO;
	if (f->pin)
		return -EFAULT;
	unsigned flags = region_mmu_flags(f->region) | (f->region->prot & VM_WRITE ? MMU_WRITE : 0) |
			 (unsigned)o->cache << MMU_CACHE_SHIFT;
	return enter(f, o->phys + (f->idx << PAGE_SHIFT), flags);
}

/* --- the path --- */

/* What may be done to a program's memory against its own rights: reading, and writing where that makes a
 * copy. */
static err_t check_forced(const struct region *r, unsigned access)
{
	if (!(access & FAULT_WRITE))
		return r->max_prot ? 0 : -EACCES;
	return (r->max_prot & VM_WRITE) && !(r->flags & REGION_SHARED) ? 0 : -EACCES;
}

/* Any right implies reading, as on every x86 system. */
static ALWAYS_INLINE bool has_right(const struct region *r, unsigned access)
{
	if (access & FAULT_WRITE)
		return r->prot & VM_WRITE;
	return access & FAULT_EXEC ? r->prot & VM_EXEC : r->prot;
}

/* May this access be made in this region? */
static err_t check_access(const struct region *r, unsigned access)
{
	if (likely(has_right(r, access)))
		return 0;
	return access & FAULT_FORCE ? check_forced(r, access) : -EACCES;
}

/* The stages from "find page" on, for f->object and f->idx. 0, an error, or an enum fault_need. */
static ALWAYS_INLINE err_t fault_object(struct fault *f)
{
	struct vm_object *o = f->object;
	err_t err;
	object_lock_both(o);
	COUNT(faults);
	do {
		err = likely(o->flags & VM_PRIVATE) ? fault_anon(f, false)
		      : o->kind == VM_ANON          ? fault_shared(f)
		      : o->kind == VM_FILE          ? fault_file(f)
						    : fault_phys(f);
	} while (err == -EAGAIN); /* the lock was dropped to prepare a spare: look again */
	if (unlikely(err > 0))
		COUNT(retries);
	object_unlock_both(o);
	return err;
}

/* Nothing is at the address: what is above may grow down to it. */
static NOINLINE err_t below_region(const struct fault *f)
{
	struct region *r = region_find_from(&f->space->regions, f->addr);
	return r && (r->flags & REGION_GROWSDOWN) ? NEED_GROW : -EFAULT;
}

/* Called with the space locked for reading. 0, an error, or an enum fault_need. */
static err_t fault_locked(struct fault *f)
{
	struct region *r = f->region = region_find(&f->space->regions, f->addr);
	if (unlikely(!r))
		return below_region(f);
	err_t err = check_access(r, f->access);
	if (unlikely(err))
		return err;
	f->object = r->object;
	f->idx = region_index(r, f->addr);
	return fault_object(f);
}

/* Do what a stage asked for, with no lock held. 0: start over. */
static err_t satisfy(struct fault *f, err_t need)
{
	struct vm_object *o = f->io_object;
	err_t err = 0;
	if (need == NEED_PAUSE) { /* 65,535 others have the page pinned: let some of them finish */
		cpu_relax();
		return 0;
	}
	if (need == NEED_ROOM) { /* asked once: the region may show something else by now, but not for long */
		err = o->ops->may_dirty(o, f->idx);
		f->room = f->idx;
		object_put(o);
		return err == -ENOMEM || err == -EINTR ? err : err ? -EIO : 0;
	}
	if (need == NEED_GROW)
		return space_grow(f->space, f->addr);
	if (need != NEED_MEMORY) {
		f->read |= need == NEED_READ;
		err = need == NEED_READ ? file_bring_in(o, f->idx) : file_wait(o, f->idx);
		f->io_object = NULL;
		object_put(o);
	}
	if (need == NEED_MEMORY || err == -ENOMEM)
		err = vm_find_memory(RECLAIM_BATCH);
	return err;
}

static ALWAYS_INLINE err_t fault_run(struct fault *f)
{
	err_t err;
	do {
		rwlock_read(&f->space->lock);
		err = fault_locked(f);
		rwlock_read_unlock(&f->space->lock);
		if (likely(err <= 0))
			break;
		err = satisfy(f, err);
	} while (!err);
	if (unlikely(f->spare))
		drop_spare(f);
	return err;
}

/* Only what the stages do not set themselves: this is the hot path. */
static inline void fault_begin(
    struct fault *f, struct vm_space *s, uaddr_t addr, unsigned access, struct vm_pin *out)
{
	f->space = s;
	f->addr = addr;
	f->access = access;
	f->pin = out;
	f->leaf = NULL;
	f->spare = NULL;
	f->room = UINT64_MAX;
	f->read = false;
}

/* Counted by the thread that took it. */
static inline void count_up(_Atomic uint64_t *count)
{
	store_relaxed(count, load_relaxed(count) + 1);
}

err_t vm_fault(struct vm_space *s, uaddr_t addr, unsigned access)
{
	struct fault f;
	fault_begin(&f, s, addr, access, NULL);
	return fault_run(&f);
}

err_t vm_fault_range(struct vm_space *s, uaddr_t addr, uaddr_t end, unsigned access, uaddr_t *next)
{
	struct fault f;
	ASSERT(IS_ALIGNED(addr | end, PAGE_SIZE) && addr < end);
	fault_begin(&f, s, addr, access | FAULT_RANGE, NULL);
	f.end = end;
	f.served = 1;
	err_t err = fault_run(&f);
	*next = addr + (uint64_t)f.served * PAGE_SIZE;
	return err;
}

err_t vm_fault_pin(struct vm_space *s, uaddr_t addr, unsigned access, struct vm_pin *out)
{
	struct fault f;
	fault_begin(&f, s, addr, access & ~FAULT_PRESENT, out);
	return fault_run(&f);
}

static err_t pin_page(struct vm_object *o, pgidx_t idx, unsigned access, struct vm_pin *out)
{
	struct fault f;
	err_t err;
	fault_begin(&f, NULL, 0, access, out);
	f.object = o;
	f.idx = idx;
	ASSERT(!(o->flags & VM_PRIVATE));
	if (o->kind == VM_PHYS || (o->flags & VM_WRITE_COMBINING))
		return -EINVAL;
	do {
		err = fault_object(&f);
		if (likely(err <= 0))
			break;
		err = satisfy(&f, err);
	} while (!err);
	drop_spare(&f);
	return err;
}

err_t object_pin(struct vm_object *o, pgidx_t idx, bool write, struct vm_pin *out)
{
	return pin_page(o, idx, write ? FAULT_WRITE : FAULT_READ, out);
}

err_t object_pin_again(struct vm_object *o, pgidx_t idx, bool write, struct vm_pin *out)
{
	return pin_page(o, idx, (write ? FAULT_WRITE : FAULT_READ) | ACCESS_AGAIN, out);
}

void vm_unpin(struct vm_pin *p)
{
	struct vm_object *o = p->object;
	if (!o)
		return; /* the zero page */
	if (p->write) {
		spin_lock(&o->lock);
		list_remove(&p->link);
		/* A write-back that ran meanwhile cleaned the page too early. */
		if (o->kind == VM_FILE && page_tree_lookup(&o->tree, p->index) == p->page)
			file_set_mark(o, p->index, PT_DIRTY);
		spin_unlock(&o->lock);
	}
	page_unpin(p->page);
	object_put(o);
	p->object = NULL;
}

static ALWAYS_INLINE err_t thread_fault(struct thread *t, uaddr_t addr, unsigned access)
{
	struct fault f;
	fault_begin(&f, t->space, addr, access, NULL);
	err_t err = fault_run(&f);
	if (unlikely(err))
		return err;
	count_up(&t->faults);
	if (unlikely(f.read))
		count_up(&t->file_reads);
	return 0;
}

static NOINLINE err_t unusual_fault(struct thread *t, uaddr_t addr, unsigned access)
{
	if (!t->space || (load_relaxed(&t->flags) & THREAD_NOFAULT))
		return -EFAULT;
	err_t err = thread_fault(t, addr, access);
	return err ? err : FAULT_TO_BE_GUARDED;
}

err_t upcall_page_fault(uaddr_t addr, unsigned access)
{
	struct thread *t = current_thread();
	if (unlikely(!t->space || (load_relaxed(&t->flags) & (THREAD_NOFAULT | THREAD_GUARDED))))
		return unusual_fault(t, addr, access);
	return thread_fault(t, addr, access);
}

void vm_counters(struct vm_counters *out)
{
	*out = (struct vm_counters){0};
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		const struct counter_row *row = &counters[cpu];
		out->faults += load_relaxed(&row->faults);
		out->zero_maps += load_relaxed(&row->zero_maps);
		out->zero_fills += load_relaxed(&row->zero_fills);
		out->ahead += load_relaxed(&row->ahead);
		out->copies += load_relaxed(&row->copies);
		out->reuses += load_relaxed(&row->reuses);
		out->file_reads += load_relaxed(&row->file_reads);
		out->around += load_relaxed(&row->around);
		out->retries += load_relaxed(&row->retries);
	}
}
