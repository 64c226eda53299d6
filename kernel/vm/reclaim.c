/*
 * reclaim.c - getting frames back: clean file pages, then volatile objects, then names and files that nobody
 * uses, then dirty pages once they are written.
 *
 * lru.c orders the page cache; here the pages at the tails of its lists are judged. An inactive page that was
 * used since it came, and now again, becomes active; one that was used once stays for another round; a dirty,
 * busy, pinned or locked one stays; any other is taken away. When the active pages are too many, or the
 * inactive ones do not suffice, the least used active ones become inactive and have their chance there. Code
 * that runs stays active.
 *
 * A few active pages are not given up when a program is in need (`floor`): they are what everybody runs on,
 * and machines that take these as well do nothing but read them again. Who needs memory then has somebody
 * ended (pressure.c).
 *
 * Locking: the hand takes a reference on the page's object under lru_lock, which is valid as long as the page
 * is on a list, because an object takes its pages off before it goes. Then it locks the object and looks the
 * page up again; outcomes: the same page on the same list (judge it), gone, moved or another page (leave it).
 * The reference may turn out to be the last one, and then ending the object takes locks of file systems that
 * the caller may hold: such objects wait in `orphans` for somebody who holds none.
 */
#include "mm/kva.h"
#include "vm/vm_priv.h"

enum {
	SHRINK_BATCH = 256, /* objects asked of the shrinker at a time */
	DEMOTE_BATCH = 128, /* active pages looked at before the inactive ones are looked at again */
	SCAN_ROUNDS = 2,    /* over the inactive pages: once to see that a page was used, once to take it */
};

enum page_use { USED = 1, USED_AS_CODE = 2 };

static uint64_t (*_Atomic shrinker)(uint64_t nobjects); /* NULL: none */
static bool (*_Atomic cleaner)(void);                   /* NULL: none */
static _Atomic uint32_t judging; /* threads that look at a page now, with a reference on its object */
static struct spinlock orphans_lock = SPINLOCK_INIT("unused objects", RANK_PURGE);
static struct list orphans =
    LIST_INIT(orphans); /* orphans_lock: FILE objects by purge_link; their last reference is the list's */

/* --- letting objects go --- */

static void put_later(struct vm_object *o)
{
	if (!ref_put_but_last(&o->refs)) {
		spin_lock(&orphans_lock);
		list_push_back(&orphans, &o->purge_link);
		spin_unlock(&orphans_lock);
	}
}

static struct vm_object *next_orphan(void)
{
	struct vm_object *o = NULL;
	spin_lock(&orphans_lock);
	if (!list_is_empty(&orphans)) {
		o = list_first(&orphans, struct vm_object, purge_link);
		list_remove(&o->purge_link);
	}
	spin_unlock(&orphans_lock);
	return o;
}

bool reclaim_put_orphans(void)
{
	struct vm_object *o = next_orphan();
	bool any = o != NULL;
	for (; o; o = next_orphan())
		object_put(o);
	return any;
}

/* --- judging a page --- */

static bool shows(const struct region *r, pgidx_t idx)
{
	return idx >= r->offset && idx - r->offset < region_npages(r);
}

static unsigned use_in(struct region *r, pgidx_t idx)
{
	if (!shows(r, idx) || !mmu_harvest_accessed(&r->space->mmu, region_addr(r, idx)))
		return 0;
	return USED | (r->prot & VM_EXEC ? USED_AS_CODE : 0);
}

/* How was the page used through mappings since somebody last asked? */
static unsigned use_of(struct vm_object *o, pgidx_t idx)
{
	unsigned use = 0;
	list_for_each (it, &o->viewers)
		use |= use_in(list_entry(it, struct region, view_link), idx);
	list_for_each (it, &o->backed)
		use |= use_in(list_entry(it, struct region, backing_link), idx);
	return use;
}

/* Does a region want the page to stay? */
static bool is_locked(struct vm_object *o, pgidx_t idx)
{
	list_for_each (it, &o->viewers) {
		struct region *r = list_entry(it, struct region, view_link);
		if ((r->flags & REGION_LOCKED) && shows(r, idx))
			return true;
	}
	list_for_each (it, &o->backed) {
		struct region *r = list_entry(it, struct region, backing_link);
		if ((r->flags & REGION_LOCKED) && shows(r, idx))
			return true;
	}
	return false;
}

static uint64_t evict(struct vm_object *o, struct page *p, pgidx_t idx)
{
	uint64_t freed = 0;
	lru_remember(p);
	object_unmap_locked(o, idx, idx + 1);
	err_t err = page_tree_remove(&o->tree, idx, idx + 1, NULL, file_drop_page, &freed);
	ASSERT(!err); /* a file's nodes are never shared: nothing to copy */
	return freed;
}

static uint64_t judge_inactive(struct vm_object *o, struct page *p, pgidx_t idx)
{
	if (page_tree_test_mark(&o->tree, idx, PT_DIRTY) ||
	    page_tree_test_mark(&o->tree, idx, PT_WRITEBACK) || is_locked(o, idx))
		return 0;
	unsigned use = use_of(o, idx);
	if ((use & USED_AS_CODE) || (use && page_test_flag(p, PAGE_REFERENCED)))
		lru_activate(p);
	else if (use)
		page_set_flag(p, PAGE_REFERENCED);
	else
		return evict(o, p, idx);
	return 0;
}

static uint64_t judge_active(struct vm_object *o, struct page *p, pgidx_t idx)
{
	unsigned use = use_of(o, idx);
	page_clear_flag(p, PAGE_REFERENCED);
	if (!(use & USED_AS_CODE))
		lru_deactivate(p);
	return 0;
}

/* Look at the page at the tail of a list, if its zone is wanted. Returns frames freed. */
static uint64_t judge_next(enum lru_kind kind, unsigned zones)
{
	uint64_t freed = 0;
	pgidx_t idx;
	fetch_add_relaxed(&judging, 1);
	struct vm_object *o = lru_next(kind, &idx);
	if (!o) {
		fetch_sub_release(&judging, 1);
		return 0;
	}
	spin_lock(&o->lock);
	struct page *p = page_tree_lookup(&o->tree, idx);
	bool active = p && page_test_flag(p, PAGE_ACTIVE);
	if (p && active == (kind == LRU_ACTIVE) && !page_test_flag(p, PAGE_BUSY) && !page_pins(p) &&
	    (zones & 1u << frame_zone(p)))
		freed = active ? judge_active(o, p, idx) : judge_inactive(o, p, idx);
	spin_unlock(&o->lock);
	put_later(o);
	fetch_sub_release(&judging, 1);
	return freed;
}

/* --- scanning --- */

struct scan {
	uint64_t want, freed; /* frames */
	uint64_t floor;       /* active pages that stay */
	unsigned zones;       /* mask: where frames are wanted */
	uint64_t demotions;   /* active pages that may still be looked at */
};

/* The least used active pages become inactive. False: those that are left stay. */
static bool demote(struct scan *s, uint64_t n)
{
	struct lru_stats l;
	lru_stats(&l);
	if (l.count[LRU_ACTIVE] <= s->floor || !s->demotions)
		return false;
	n = MIN(MIN(n, s->demotions), l.count[LRU_ACTIVE] - s->floor);
	s->demotions -= n;
	while (n--)
		(void)judge_next(LRU_ACTIVE, s->zones);
	return true;
}

static void scan_inactive(struct scan *s)
{
	struct lru_stats l;
	lru_stats(&l);
	uint64_t looks = SCAN_ROUNDS * l.count[LRU_INACTIVE];
	while (s->freed < s->want && looks--) {
		s->freed += judge_next(LRU_INACTIVE, s->zones);
		lru_stats(&l);
		if (lru_has_too_many_active(&l))
			(void)demote(s, 1);
	}
}

uint64_t reclaim_cached(uint64_t npages, uint64_t floor, unsigned zones)
{
	struct lru_stats l;
	lru_stats(&l);
	struct scan s = {.want = npages, .floor = floor, .zones = zones};
	s.demotions = SCAN_ROUNDS * l.count[LRU_ACTIVE] + 1;
	do
		scan_inactive(&s);
	while (s.freed < npages && demote(&s, DEMOTE_BATCH));
	return s.freed;
}

uint64_t reclaim_volatile(uint64_t npages)
{
	uint64_t freed = 0;
	bool more = true;
	while (freed < npages && more)
		freed += vm_purge_one(&more);
	return freed;
}

uint64_t reclaim_objects(void)
{
	uint64_t (*shrink)(uint64_t nobjects) = load_acquire(&shrinker);
	uint64_t before = frame_free_count();
	bool any = reclaim_put_orphans();
	any |= shrink && shrink(SHRINK_BATCH);
	uint64_t freed = any ? slab_shrink_all() : 0, after = frame_free_count();
	return MAX(freed, after > before ? after - before : 0); /* a file that goes takes its pages along */
}

bool reclaim_clean(void)
{
	bool (*clean)(void) = load_acquire(&cleaner);
	return clean && clean();
}

void vm_settle(void)
{
	enum {
		TRIES = 10000
	}; /* each judgement is short; there may be others by then, but of objects that live */
	for (unsigned i = 0; i < TRIES && load_acquire(&judging); i++)
		cpu_relax();
	reclaim_put_orphans();
}

void vm_clean_some(void)
{
	(void)reclaim_clean();
}

uint64_t vm_reclaim(uint64_t npages)
{
	enum { ALL_ZONES = (1u << NZONES) - 1 };
	uint64_t freed = reclaim_cached(npages, 0, ALL_ZONES);
	if (freed < npages)
		freed += reclaim_volatile(npages - freed);
	if (freed < npages)
		freed += reclaim_objects();
	if (!freed && reclaim_clean())
		freed = reclaim_cached(npages, 0, ALL_ZONES);
	reclaim_put_orphans();
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
