/*
 * object.c - VM objects: life, viewers, clone, resize, discard.
 *
 * An object knows which page goes where; it never knows addresses, only the regions that look at it. Whoever
 * takes a page away from an object first takes its translations away from every viewer and waits for the
 * flush, all under the object's lock: entering a translation needs that lock, so none can come back in
 * between.
 *
 *	 region --object--> ANON private --backing--> FILE
 *	    |                 viewers: region          viewers: shared windows
 *	    +----------------------------------------> backed: regions that see it from behind
 *
 * Lock order: private or shared ANON (RANK_OBJECT), then its backing (RANK_BACKING). A private object in
 * front of a file uses the file's page indices, so a walker that comes from the file needs no lock of the
 * objects in front.
 */
#include "kern/thread.h"
#include "vm/vm_priv.h"

static struct slab_cache *object_cache;

void vm_object_init_cache(void)
{
	object_cache = slab_cache_create("vm_object", sizeof(struct vm_object), CACHE_LINE);
	ASSERT(object_cache);
}

static struct vm_object *object_new(enum vm_kind kind, unsigned flags, pgidx_t npages)
{
	struct vm_object *o = slab_zalloc(object_cache);
	if (!o)
		return NULL;
	bool in_front = kind == VM_ANON && !(flags & VM_RESIDENT);
	spin_init(&o->lock, "vm_object", in_front ? RANK_OBJECT : RANK_BACKING);
	ref_init(&o->refs);
	o->kind = kind;
	o->flags = flags;
	o->npages = npages;
	o->trim = UINT64_MAX;
	page_tree_init(&o->tree);
	list_init(&o->viewers);
	list_init(&o->backed);
	list_init(&o->pins);
	list_init(&o->purge_link);
	waitq_init(&o->io_wait);
	o->owner.holds = (flags & VM_PURGEABLE) && !(flags & VM_RESIDENT);
	o->holders = o->owner.holds;
	return o;
}

err_t object_create_anon(unsigned flags, pgidx_t npages, struct vm_object *backing, struct vm_object **out)
{
	ASSERT(!backing || (object_is_file(backing) && (flags & VM_PRIVATE)));
	uint64_t promised = flags & (VM_PRIVATE | VM_NORESERVE | VM_RESIDENT) ? 0 : npages;
	err_t err = promised ? commit_exchange(promised, 0, 0) : 0;
	if (err)
		return err;
	struct vm_object *o = object_new(VM_ANON, flags, flags & VM_PRIVATE ? PT_INDEX_MAX + 1 : npages);
	if (!o) {
		commit_return(promised);
		return -ENOMEM;
	}
	o->promised = promised;
	if (backing) {
		object_get(backing);
		o->backing = backing;
	}
	*out = o;
	return 0;
}

err_t object_create_file(const struct vm_file_ops *ops, void *priv, pgidx_t npages, struct vm_object **out)
{
	ASSERT(ops && ops->read);
	struct vm_object *o = object_new(VM_FILE, 0, npages);
	if (!o)
		return -ENOMEM;
	o->ops = ops;
	o->priv = priv;
	*out = o;
	return 0;
}

err_t object_create_resident(
    const struct vm_file_ops *ops, void *priv, unsigned flags, pgidx_t npages, struct vm_object **out)
{
	ASSERT(ops->charge && ops->uncharge && ops->cloned && !(flags & ~(VM_PURGEABLE | VM_KINDS)));
	err_t err = object_create_anon(flags | VM_RESIDENT, npages, NULL, out);
	if (err)
		return err;
	(*out)->ops = ops;
	(*out)->priv = priv;
	return 0;
}

err_t object_create_phys(paddr_t paddr, pgidx_t npages, enum mmu_cache cache, struct vm_object **out)
{
	ASSERT(IS_ALIGNED(paddr, PAGE_SIZE));
	struct vm_object *o = object_new(VM_PHYS, 0, npages);
	if (!o)
		return -ENOMEM;
	o->phys = paddr;
	o->cache = cache;
	*out = o;
	return 0;
}

unsigned (*object_drop_fn(const struct vm_object *o))(struct page *)
{
	return o->kind == VM_FILE ? file_drop_page : page_unshare;
}

void object_put(struct vm_object *o)
{
	while (o && ref_put(&o->refs)) {
		struct vm_object *backing = o->backing;
		if (o->ops && o->ops->closing)
			o->ops->closing(o);
		ASSERT(list_is_empty(&o->viewers) && list_is_empty(&o->backed) && list_is_empty(&o->pins));
		purge_forget(o);
		file_marks_end(o);
		commit_return(o->promised);
		page_tree_destroy(&o->tree, object_drop_fn(o));
		if (o->ops && o->ops->release)
			o->ops->release(o);
		slab_free(object_cache, o);
		o = backing; /* at most one level: a backing has none itself */
	}
}

void object_add_viewer(struct region *r)
{
	struct vm_object *o = r->object;
	object_lock_both(o);
	if (list_is_empty(&o->viewers))
		resident_attach(r);
	list_push_back(&o->viewers, &r->view_link);
	if (o->backing)
		list_push_back(&o->backing->backed, &r->backing_link);
	object_unlock_both(o);
}

void object_remove_viewer(struct region *r)
{
	struct vm_object *o = r->object;
	object_lock_both(o);
	list_remove(&r->view_link);
	if (list_is_empty(&o->viewers))
		resident_detach(r);
	if (o->backing)
		list_remove(&r->backing_link);
	object_unlock_both(o);
}

/* The part of [first, end) that r sees, as addresses. False: none. */
static bool region_overlap(const struct region *r, pgidx_t first, pgidx_t end, uaddr_t *start, uaddr_t *stop)
{
	pgidx_t lo = MAX(first, r->offset), hi = MIN(end, r->offset + region_npages(r));
	if (lo >= hi)
		return false;
	*start = region_addr(r, lo);
	*stop = region_addr(r, hi);
	return true;
}

static void unmap_viewer(struct region *r, pgidx_t first, pgidx_t end)
{
	struct mmu_gather g;
	uaddr_t start, stop;
	if (!region_overlap(r, first, end, &start, &stop))
		return;
	resident_note_peak(r->space);
	mmu_gather_begin(&g, &r->space->mmu);
	mmu_unmap(&r->space->mmu, start, stop, &g);
	mmu_gather_flush(&g);
}

void object_unmap_locked(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	ASSERT_HELD(&o->lock);
	list_for_each (it, &o->viewers)
		unmap_viewer(list_entry(it, struct region, view_link), first, end);
	list_for_each (it, &o->backed)
		unmap_viewer(list_entry(it, struct region, backing_link), first, end);
}

void object_write_protect_locked(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	ASSERT_HELD(&o->lock);
	list_for_each (it, &o->viewers) {
		struct region *r = list_entry(it, struct region, view_link);
		struct mmu_gather g;
		uaddr_t start, stop;
		if (!region_overlap(r, first, end, &start, &stop))
			continue;
		mmu_gather_begin(&g, &r->space->mmu);
		mmu_write_protect(&r->space->mmu, start, stop, &g);
		mmu_gather_flush(&g);
	}
}

uint64_t object_remove_pages(struct vm_object *o, pgidx_t first, pgidx_t end, struct pt_reserve *r)
{
	uint64_t freed = 0;
	spin_lock(&o->lock);
	o->generation++;
	object_range_leaves(o, first, end);
	err_t err = page_tree_remove(&o->tree, first, end, r, object_drop_fn(o), &freed);
	spin_unlock(&o->lock);
	ASSERT(!err); /* the caller reserved what this needs */
	return freed;
}

/* --- clone --- */

/* What a clone needs before its point of no return. */
struct clone_kit {
	struct pt_reserve nodes;
	struct page *pages; /* frames for copies of pinned pages, linked through link_next */
	unsigned npages;
};

static struct page *kit_take_page(struct clone_kit *kit)
{
	struct page *p = kit->pages;
	ASSERT(kit->npages > 0);
	kit->pages = --kit->npages ? pfn_to_page(p->link_next) : NULL;
	return p;
}

static void kit_free(struct clone_kit *kit)
{
	while (kit->npages)
		frame_free(kit_take_page(kit));
	page_tree_unreserve(&kit->nodes);
}

static err_t kit_fill(struct clone_kit *kit, unsigned npins, enum page_kind kind)
{
	while (kit->npages < npins) {
		struct page *p = frame_alloc(kind, 0);
		if (!p)
			return -ENOMEM;
		p->link_next = kit->pages ? (uint32_t)page_to_pfn(kit->pages) : 0;
		kit->pages = p;
		kit->npages++;
	}
	return page_tree_reserve(&kit->nodes, npins * PT_MAX_PATH);
}

/* Pins that a clone of o must not share: pages being written, still in the tree. */
static bool pin_matters(const struct vm_object *o, const struct vm_pin *pin)
{
	return pin->write && page_tree_lookup(&o->tree, pin->index) == pin->page;
}

static unsigned count_pins(const struct vm_object *o)
{
	unsigned n = 0;
	list_for_each (it, &o->pins)
		n += pin_matters(o, list_entry(it, struct vm_pin, link));
	return n;
}

/* Give the clone its own copies of the pages that are pinned for writing in o, so that what is under way
 * lands with o alone. */
static void copy_pinned(struct vm_object *o, struct vm_object *clone, struct clone_kit *kit)
{
	list_for_each (it, &o->pins) {
		struct vm_pin *pin = list_entry(it, struct vm_pin, link);
		struct page_slot slot;
		if (!pin_matters(o, pin) || page_tree_lookup(&clone->tree, pin->index) != pin->page)
			continue; /* the second pin of a page that was copied already */
		struct page *copy = kit_take_page(kit);
		memcpy(page_to_virt(copy), page_to_virt(pin->page), PAGE_SIZE);
		err_t err = page_tree_own(&clone->tree, pin->index, &kit->nodes, &slot);
		ASSERT(!err); /* PT_MAX_PATH nodes were reserved for each */
		page_unshare(page_slot_replace(slot, copy));
	}
}

/* Called with o locked and the kit full. */
static void clone_commit(struct vm_object *o, struct vm_object *clone, struct clone_kit *kit)
{
	if (o->ops)
		o->ops->cloned(o, clone);
	page_tree_clone(&clone->tree, &o->tree);
	object_pages_came(clone, o->npresent);
	o->generation++;
	clone->npages = o->npages;
	copy_pinned(o, clone, kit);
	purge_copy_state_locked(o, clone);
	if (!(o->flags & VM_PRIVATE))
		object_write_protect_locked(o, 0, o->npages);
}

/* Lock o with a kit that is enough for a clone. On error o is unlocked. */
static err_t lock_for_clone(struct vm_object *o, struct clone_kit *kit)
{
	for (;;) {
		spin_lock(&o->lock);
		unsigned npins = count_pins(o);
		if (kit->npages >= npins)
			return 0;
		spin_unlock(&o->lock);
		err_t err = kit_fill(kit, npins, object_page_kind(o));
		if (err)
			return err;
	}
}

err_t object_clone_into(struct vm_object *o, struct vm_object *clone)
{
	struct clone_kit kit = {0};
	ASSERT(o->kind == VM_ANON && clone->flags == o->flags && clone->backing == o->backing);
	err_t err = lock_for_clone(o, &kit);
	if (!err) {
		if (o->backing) { /* a cut that o has not carried out yet concerns the clone as well */
			spin_lock(&o->backing->lock);
			clone->trim = o->trim;
			spin_unlock(&o->backing->lock);
		}
		clone_commit(o, clone, &kit);
		spin_unlock(&o->lock);
	}
	kit_free(&kit);
	return err;
}

err_t object_clone(struct vm_object *o, struct vm_object **out)
{
	struct vm_object *clone;
	pgidx_t npages =
	    o->npages; /* of a shared one: what is promised; a resize at the same time may come first or last */
	err_t err = object_create_anon(o->flags, npages, o->backing, &clone);
	if (err)
		return err;
	err = object_clone_into(o, clone);
	if (err) {
		object_put(clone);
		return err;
	}
	*out = clone;
	return 0;
}

/* --- resize and discard --- */

/* Lock o with enough nodes in r to remove [first, end). On error o is unlocked. */
static err_t lock_for_removal(struct vm_object *o, pgidx_t first, pgidx_t end, struct pt_reserve *r)
{
	for (;;) {
		spin_lock(&o->lock);
		unsigned need = page_tree_remove_need(&o->tree, first, end);
		if (r->count >= need)
			return 0;
		spin_unlock(&o->lock);
		err_t err = page_tree_reserve(r, need);
		if (err)
			return err;
	}
}

/* The file behind these regions was cut at `npages`: their private pages from there on are void. The objects
 * in front are not locked here (their lock comes first), so it is noted, and carried out before anybody looks
 * at them again. */
static void note_trim(struct vm_object *file, pgidx_t npages)
{
	list_for_each (it, &file->backed) {
		struct region *r = list_entry(it, struct region, backing_link);
		r->object->trim = MIN(r->object->trim, npages);
	}
}

err_t object_trim_locked(struct vm_object *o)
{
	if (likely(o->trim == UINT64_MAX))
		return 0;
	ASSERT_HELD(&o->lock);
	uint64_t freed;
	o->generation++;
	uint64_t going = page_tree_count(&o->tree, o->trim, PT_INDEX_MAX + 1, NULL);
	err_t err = page_tree_remove(&o->tree, o->trim, PT_INDEX_MAX + 1, NULL, page_unshare, &freed);
	if (!err) {
		object_pages_leave(o, going);
		o->trim = UINT64_MAX;
	}
	return err;
}

/* Pages from npages on go: what is dirty among them need not be written any more. */
static void count_cancelled(const struct vm_object *o, pgidx_t npages)
{
	pgidx_t at;
	if (o->kind != VM_FILE)
		return;
	while (page_tree_next_marked(&o->tree, PT_DIRTY, npages, PT_INDEX_MAX + 1, &at)) {
		thread_count_io(IO_CANCELLED, PAGE_SIZE);
		npages = at + 1;
	}
}

/* Pages of [first, end) leave: whoever counts those of the file has to know. A subtree that clones share goes
 * as one reference, so they are counted here, not as they go. */
static void uncharge_locked(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	if (o->flags & VM_RESIDENT)
		o->ops->uncharge(o, page_tree_count(&o->tree, first, end, NULL));
}

static void shrink_locked(struct vm_object *o, pgidx_t npages, struct pt_reserve *r)
{
	uint64_t freed;
	count_cancelled(o, npages);
	o->generation++;
	object_unmap_locked(o, npages, UINT64_MAX);
	note_trim(o, npages);
	file_forget_marks(o, npages, PT_INDEX_MAX + 1);
	uncharge_locked(o, npages, PT_INDEX_MAX + 1);
	err_t err = page_tree_remove(&o->tree, npages, PT_INDEX_MAX + 1, r, object_drop_fn(o), &freed);
	ASSERT(!err);
}

/* What is promised for a shared anonymous object of npages; growing may be refused. */
static err_t promise(struct vm_object *o, pgidx_t npages)
{
	if (o->kind != VM_ANON || (o->flags & (VM_NORESERVE | VM_RESIDENT)))
		return 0;
	spin_lock(&o->lock);
	uint64_t old = o->promised;
	err_t err = commit_exchange(npages, old, 0);
	if (!err) {
		commit_return(old);
		o->promised = npages;
	}
	spin_unlock(&o->lock);
	return err;
}

err_t object_resize(struct vm_object *o, pgidx_t npages)
{
	struct pt_reserve r = {0};
	if (o->kind == VM_PHYS || (o->flags & VM_PRIVATE))
		return -EINVAL;
	if (npages > PT_INDEX_MAX + 1)
		return -EFBIG;
	err_t err = npages > o->npages ? promise(o, npages) : 0;
	if (!err)
		err = lock_for_removal(o, npages, PT_INDEX_MAX + 1, &r);
	if (!err) {
		bool shrinks = npages < o->npages;
		o->npages = npages; /* from here on nobody reads the tail in again */
		if (shrinks) {
			/* Only FILE pages are waited for; nodes of a file are never shared, so the reserve
			 * stays enough while the lock is dropped. */
			file_wait_range_locked(o, npages, PT_INDEX_MAX + 1);
			shrink_locked(o, npages, &r);
		}
		spin_unlock(&o->lock);
	}
	page_tree_unreserve(&r);
	err_t less = promise(o, o->npages); /* what it has in the end: not more than now */
	ASSERT(!less);
	return err;
}

err_t object_discard(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	struct pt_reserve r = {0};
	uint64_t freed;
	pgidx_t at;
	if (o->kind == VM_PHYS || first > end)
		return -EINVAL;
	err_t err = lock_for_removal(o, first, end, &r);
	if (!err) {
		file_wait_range_locked(o, first, end);
		if (page_tree_next_marked(&o->tree, PT_DIRTY, first, end, &at)) {
			err = -EBUSY;
		} else {
			o->generation++;
			object_unmap_locked(o, first, end);
			uncharge_locked(o, first, end);
			object_range_leaves(o, first, end);
			err = page_tree_remove(&o->tree, first, end, &r, object_drop_fn(o), &freed);
			ASSERT(!err); /* enough was reserved */
		}
		spin_unlock(&o->lock);
	}
	page_tree_unreserve(&r);
	return err;
}

bool object_is_absent(struct vm_object *o, pgidx_t idx)
{
	spin_lock(&o->lock);
	bool absent = !page_tree_lookup(&o->tree, idx);
	spin_unlock(&o->lock);
	return absent;
}

uint64_t object_page_count(struct vm_object *o)
{
	spin_lock(&o->lock);
	uint64_t n = page_tree_count(&o->tree, 0, PT_INDEX_MAX + 1, NULL);
	spin_unlock(&o->lock);
	return n;
}

void object_count(struct vm_object *o, struct object_counts *out)
{
	*out = (struct object_counts){0};
	spin_lock(&o->lock);
	out->dirty = o->ndirty;
	out->writeback = o->nwriteback;
	if (!list_is_empty(&o->viewers) || !list_is_empty(&o->backed))
		out->mapped = page_tree_count(&o->tree, 0, PT_INDEX_MAX + 1, NULL);
	spin_unlock(&o->lock);
}

bool object_is_dirty(struct vm_object *o)
{
	pgidx_t at;
	spin_lock(&o->lock);
	bool dirty = page_tree_next_marked(&o->tree, PT_DIRTY, 0, PT_INDEX_MAX + 1, &at) ||
		     page_tree_next_marked(&o->tree, PT_WRITEBACK, 0, PT_INDEX_MAX + 1, &at);
	spin_unlock(&o->lock);
	return dirty;
}
