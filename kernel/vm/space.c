/*
 * space.c - address spaces: life, map, unmap.
 *
 * Every map operation has the same shape, under the space's lock for writing (so that no fault of this space
 * runs):
 *
 *	check      what is asked for; nothing is changed yet
 *	reserve    regions for splits, tree nodes for the edges of page removals, objects
 *	commit     1. translations of the range go, and are flushed from every CPU
 *	           2. regions change, each under the locks that reverse walkers of its objects hold
 *	           3. private pages that no region sees any more are removed and freed
 *
 * Translations go first because a region that has left its object's list of viewers is not found by reclaim
 * or truncation any more.
 *
 * A private object belongs to one space. Anonymous ones are indexed by the page number of the address where
 * they were mapped, so that regions that come to lie next to one another can share an object and be merged,
 * and fork clones few objects.
 */
#include "vm/vm_priv.h"

static struct slab_cache *space_cache, *region_cache;

void vm_init(void)
{
	page_tree_init_cache();
	vm_object_init_cache();
	space_cache = slab_cache_create("vm_space", sizeof(struct vm_space), CACHE_LINE);
	region_cache = slab_cache_create("region", sizeof(struct region), 0);
	ASSERT(space_cache && region_cache);
	lru_init();
}

err_t space_create(struct vm_space **out)
{
	struct vm_space *s = slab_zalloc(space_cache);
	if (!s)
		return -ENOMEM;
	err_t err = mmu_init(&s->mmu);
	if (err) {
		slab_free(space_cache, s);
		return err;
	}
	rwlock_init(&s->lock, "vm_space", RANK_SPACE);
	mutex_init(&s->brk_lock, "brk", RANK_PROC);
	region_set_init(&s->regions, USER_START, USER_END);
	list_init(&s->graves);
	ref_init(&s->refs);
	ref_init(&s->records);
	*out = s;
	return 0;
}

void space_forget(struct vm_space *s)
{
	if (ref_put(&s->records))
		slab_free(space_cache, s);
}

void space_put(struct vm_space *s)
{
	if (!ref_put(&s->refs))
		return;
	struct mmu_gather g;
	mmu_gather_begin(&g, &s->mmu);
	mmu_unmap(&s->mmu, USER_START, USER_END, &g);
	mmu_gather_flush(&g);
	struct region *r;
	commit_return(count_promised(s, 0, UINT64_MAX));
	while ((r = region_find_from(&s->regions, 0))) {
		region_remove(&s->regions, r);
		object_remove_viewer(r);
		region_free(r);
	}
	mmu_destroy(&s->mmu);
	space_forget(s);
}

/* --- regions --- */

struct region *region_alloc(struct vm_space *s)
{
	struct region *r = slab_zalloc(region_cache);
	if (!r)
		return NULL;
	r->space = s;
	list_init(&r->view_link);
	list_init(&r->backing_link);
	return r;
}

/* r is in no set and no list; its reference on the object goes. NULL allowed. */
void region_free(struct region *r)
{
	if (!r)
		return;
	ASSERT(list_is_empty(&r->view_link) && list_is_empty(&r->backing_link));
	if (r->object)
		object_put(r->object);
	vm_name_unmap(&r->name);
	slab_free(region_cache, r);
}

void region_bury(struct region *r)
{
	list_push_back(&r->space->graves, &r->view_link);
}

void space_unlock(struct vm_space *s)
{
	struct list dead = LIST_INIT(dead);
	while (!list_is_empty(&s->graves)) {
		struct region *r = list_first(&s->graves, struct region, view_link);
		list_remove(&r->view_link);
		list_push_back(&dead, &r->view_link);
	}
	rwlock_write_unlock(&s->lock);
	while (!list_is_empty(&dead)) {
		struct region *r = list_first(&dead, struct region, view_link);
		list_remove(&r->view_link);
		region_free(r);
	}
}

void region_set_bounds(struct region *r, uaddr_t start, uaddr_t end, pgidx_t offset)
{
	object_lock_both(r->object);
	r->start = start;
	r->end = end;
	r->offset = offset;
	object_unlock_both(r->object);
}

void region_set_flags(struct region *r, uint32_t flags)
{
	object_lock_both(r->object);
	r->flags = flags;
	object_unlock_both(r->object);
}

void region_split(struct region *r, uaddr_t addr, struct region *upper)
{
	struct region_set *set = &r->space->regions;
	ASSERT(r->start < addr && addr < r->end);
	upper->start = addr;
	upper->end = r->end;
	upper->offset = region_index(r, addr);
	upper->object = r->object;
	upper->prot = r->prot;
	upper->max_prot = r->max_prot;
	upper->flags = r->flags;
	upper->name = r->name;
	object_get(r->object);
	vm_name_map(&upper->name);
	object_add_viewer(
	    upper); /* before r gives the range up: reverse walkers must find each page in a viewer */
	region_set_bounds(r, r->start, addr, r->offset);
	region_update(set, r);
	region_insert(set, upper);
}

/* Could b, which follows a directly, be one window with it? */
static bool regions_are_like(const struct region *a, const struct region *b)
{
	return a->end == b->start && a->object == b->object && a->offset + region_npages(a) == b->offset &&
	       a->prot == b->prot && a->max_prot == b->max_prot && a->flags == b->flags &&
	       a->name.what == b->name.what;
}

/* b goes, a takes over its range, before b leaves the viewers: the object is never without a viewer of a
 * page. */
static void region_absorb(struct vm_space *s, struct region *a, struct region *b)
{
	uaddr_t end = b->end;
	region_remove(&s->regions, b);
	region_set_bounds(a, a->start, end, a->offset);
	region_update(&s->regions, a);
	object_remove_viewer(b);
	region_bury(b);
}

struct region *region_merge(struct vm_space *s, struct region *r)
{
	struct region *prev = region_prev(r), *next = region_next(r);
	if (next && regions_are_like(r, next))
		region_absorb(s, r, next);
	if (prev && regions_are_like(prev, r)) {
		region_absorb(s, prev, r);
		r = prev;
	}
	return r;
}

/* --- unmap --- */

void kit_fini(struct unmap_kit *kit)
{
	region_free(kit->upper);
	page_tree_unreserve(&kit->nodes);
}

/* The pages of [start, end) in r that nobody sees once it is unmapped. */
static bool pages_go(const struct region *r)
{
	return r->object->flags & VM_PRIVATE;
}

static unsigned removal_need(struct region *r, uaddr_t start, uaddr_t end)
{
	if (!pages_go(r))
		return 0;
	spin_lock(&r->object->lock);
	unsigned need = page_tree_remove_need(&r->object->tree, region_index(r, MAX(start, r->start)),
	    region_index(r, MIN(end, r->end) - 1) + 1);
	spin_unlock(&r->object->lock);
	return need;
}

err_t unmap_reserve(struct vm_space *s, uaddr_t start, uaddr_t end, struct unmap_kit *kit)
{
	unsigned need = 0;
	for (struct region *r = region_find_from(&s->regions, start); r && r->start < end;
	     r = region_next(r)) {
		if (r->flags & REGION_IMMUTABLE)
			return -EPERM;
		if (r->start < start && r->end > end) {
			kit->upper = s->regions.count < REGIONS_MAX ? region_alloc(s) : NULL;
			if (!kit->upper)
				return -ENOMEM;
		}
		need += removal_need(r, start, end);
	}
	return page_tree_reserve(&kit->nodes, need);
}

/* Remove the private pages that [start, end) of r showed; no translation of them is left. */
static void remove_private_pages(struct region *r, uaddr_t start, uaddr_t end, struct pt_reserve *nodes)
{
	if (pages_go(r))
		object_remove_pages(r->object, region_index(r, start), region_index(r, end - 1) + 1, nodes);
}

/* Take [start, end) out of one region. Returns the region to go on with, or NULL. */
static struct region *unmap_from(
    struct vm_space *s, struct region *r, uaddr_t start, uaddr_t end, struct unmap_kit *kit)
{
	struct region *next = region_next(r);
	uaddr_t from = MAX(start, r->start), to = MIN(end, r->end);
	if (r->flags & REGION_MARKS)
		fetch_add_relaxed(&s->serial, 1);
	s->npages_peak = MAX(s->npages_peak, s->npages);
	s->npages -= (to - from) >> PAGE_SHIFT;
	if (r->flags & REGION_ACCOUNT)
		commit_return((to - from) >> PAGE_SHIFT);
	remove_private_pages(r, from, to, &kit->nodes);
	if (from > r->start && to < r->end) {
		region_split(r, to, kit->upper);
		kit->upper = NULL;
	}
	if (from > r->start) {
		region_set_bounds(r, r->start, from, r->offset);
		region_update(&s->regions, r);
	} else if (to < r->end) {
		region_set_bounds(r, to, r->end, region_index(r, to));
		region_update(&s->regions, r);
	} else {
		region_remove(&s->regions, r);
		object_remove_viewer(r);
		region_bury(r);
	}
	return next;
}

void unmap_commit(struct vm_space *s, uaddr_t start, uaddr_t end, struct unmap_kit *kit)
{
	struct mmu_gather g;
	struct region *r = region_find_from(&s->regions, start);
	if (!r || r->start >= end)
		return;
	resident_note_peak(s);
	mmu_gather_begin(&g, &s->mmu);
	mmu_unmap(&s->mmu, start, end, &g);
	mmu_gather_flush(&g);
	while (r && r->start < end)
		r = unmap_from(s, r, start, end, kit);
}

err_t space_unmap(struct vm_space *s, uaddr_t addr, uint64_t len)
{
	struct unmap_kit kit = {0};
	if (len > UINT64_MAX - PAGE_SIZE || !range_is_valid(s, addr, ALIGN_UP(len, PAGE_SIZE)))
		return -EINVAL;
	uaddr_t end = addr + ALIGN_UP(len, PAGE_SIZE);
	rwlock_write(&s->lock);
	err_t err = unmap_reserve(s, addr, end, &kit);
	if (!err)
		unmap_commit(s, addr, end, &kit);
	space_unlock(s);
	kit_fini(&kit);
	return err;
}

/* --- map --- */

/* A request to map, made explicit: filled by the stages below. */
struct map_plan {
	struct vm_space *s;
	const struct vm_map_args *args;
	uint64_t len; /* of all windows, rounded up */
	uaddr_t start, end;
	uint32_t flags; /* enum region_flags */
	unsigned max_prot;
	struct region *region; /* fresh; not needed if a neighbour is extended */
	struct region *again;  /* the second window of VM_MAP_TWICE; NULL: there is none */
	struct unmap_kit kit;
};

static bool is_anonymous_private(const struct vm_map_args *a)
{
	return !a->object && !(a->flags & VM_MAP_SHARED);
}

/* What windows may look at this object. */
static err_t map_check_object(const struct vm_map_args *a)
{
	const struct vm_object *o = a->object;
	if ((a->flags & VM_MAP_TWICE) && (!o || !(a->flags & VM_MAP_SHARED)))
		return -EINVAL;
	if (!o || (a->flags & VM_MAP_SHARED))
		return 0;
	/* A private window on an anonymous object would be a clone: object_clone says so. Copies of pages
	 * that are not cached would read them through the cache. */
	return !object_is_file(o) || (o->flags & VM_WRITE_COMBINING) ? -EINVAL : 0;
}

static err_t map_check(struct map_plan *p)
{
	const struct vm_map_args *a = p->args;
	if (a->len == 0 || (a->prot & ~VM_RWX) || (a->max_prot & ~VM_RWX))
		return -EINVAL;
	if (a->len > USER_END)
		return -ENOMEM;
	if ((a->flags & VM_MAP_NOREPLACE) && !(a->flags & VM_MAP_FIXED))
		return -EINVAL;
	if ((a->flags & (VM_MAP_STACK | VM_MAP_PURGEABLE | VM_MAP_GROWSDOWN)) && !is_anonymous_private(a))
		return -EINVAL;
	p->len = ALIGN_UP(a->len, PAGE_SIZE);
	if (a->offset > PT_INDEX_MAX || a->offset + (p->len >> PAGE_SHIFT) > PT_INDEX_MAX)
		return -EOVERFLOW;
	if (a->flags & VM_MAP_TWICE)
		p->len *= 2;
	return p->len > USER_END ? -ENOMEM : map_check_object(a);
}

/* What the regions will be. */
static err_t map_choose_flags(struct map_plan *p)
{
	const struct vm_map_args *a = p->args;
	p->max_prot = a->max_prot ? a->max_prot : VM_RWX;
	if (a->prot & ~p->max_prot)
		return -EACCES;
	p->flags = (a->flags & VM_MAP_SHARED ? REGION_SHARED : 0) |
		   (a->flags & VM_MAP_STACK ? REGION_STACK : 0) |
		   (a->flags & VM_MAP_GROWSDOWN ? REGION_GROWSDOWN : 0) |
		   (a->flags & VM_MAP_LOCKED ? REGION_LOCKED : 0) |
		   (a->flags & VM_MAP_DONTDUMP ? REGION_DONTDUMP : 0) |
		   (a->flags & VM_MAP_NORESERVE ? REGION_NORESERVE : 0) |
		   (a->flags & VM_MAP_GUARDED ? REGION_GUARDED : 0);
	if (a->object && (a->object->flags & VM_WRITE_COMBINING))
		p->flags |= REGION_WRITE_COMBINING;
	if ((a->prot & VM_WRITE) && !(a->flags & (VM_MAP_SHARED | VM_MAP_NORESERVE)))
		p->flags |= REGION_ACCOUNT;
	return guard_new_region(p->s, a, &p->flags, &p->max_prot);
}

uint64_t count_mapped(const struct vm_space *s, uaddr_t start, uaddr_t end)
{
	uint64_t n = 0;
	for (struct region *r = region_find_from(&s->regions, start); r && r->start < end; r = region_next(r))
		n += (MIN(end, r->end) - MAX(start, r->start)) >> PAGE_SHIFT;
	return n;
}

uint64_t count_promised(const struct vm_space *s, uaddr_t start, uaddr_t end)
{
	uint64_t n = 0;
	for (struct region *r = region_find_from(&s->regions, start); r && r->start < end; r = region_next(r))
		n += r->flags & REGION_ACCOUNT ? (MIN(end, r->end) - MAX(start, r->start)) >> PAGE_SHIFT : 0;
	return n;
}

static bool is_data(unsigned prot, uint32_t flags)
{
	return (prot & VM_WRITE) && !(flags & (REGION_SHARED | REGION_GROWSDOWN | REGION_STACK));
}

static uint64_t count_data(const struct vm_space *s)
{
	uint64_t n = 0;
	for (struct region *r = region_find_from(&s->regions, 0); r; r = region_next(r))
		n += is_data(r->prot, r->flags) ? region_npages(r) : 0;
	return n;
}

/* Counted when there is a limit to compare with: most processes have none, and programs that lock are few. */
err_t check_limits(const struct vm_space *s, const struct vm_limits *limits, unsigned prot, uint32_t flags,
    uint64_t fresh, uint64_t gone)
{
	if (!limits || !fresh)
		return 0;
	if ((flags & REGION_LOCKED) && limits->locked != UINT64_MAX &&
	    count_locked(s, 0, UINT64_MAX) + fresh > limits->locked)
		return -EAGAIN;
	if (s->npages - gone + fresh > limits->all)
		return -ENOMEM;
	if (limits->data != UINT64_MAX && is_data(prot, flags) && count_data(s) + fresh > limits->data)
		return -ENOMEM;
	return 0;
}

uaddr_t place_anywhere(const struct vm_space *s, uint64_t len, uaddr_t floor, uaddr_t ceiling)
{
	const struct region_set *set = &s->regions;
	uaddr_t at = 0;
	if (s->mmap_top && !ceiling)
		at = region_find_gap(set, len, PAGE_SIZE, floor, s->mmap_top);
	return at ? at : region_find_gap(set, len, PAGE_SIZE, floor, ceiling ? ceiling : set->high);
}

static bool is_used(const struct region_set *set, uaddr_t start, uaddr_t end)
{
	const struct region *r = region_find_from(set, start);
	return r && r->start < end;
}

/* Where the caller says. `guard`: bytes on either side that must be free. */
static err_t place_fixed(struct map_plan *p, uint64_t guard)
{
	const struct vm_map_args *a = p->args;
	const struct region_set *set = &p->s->regions;
	if (!IS_ALIGNED(a->addr, PAGE_SIZE))
		return -EINVAL;
	if (!range_is_valid(p->s, a->addr, p->len))
		return a->addr < set->low ? -EPERM
					  : -ENOMEM; /* as Linux: below mmap_min_addr, beyond the end */
	uaddr_t end = a->addr + p->len;
	if ((a->flags & VM_MAP_NOREPLACE) && is_used(set, a->addr, end))
		return -EEXIST;
	if (guard && (is_used(set, a->addr - guard, a->addr) || is_used(set, end, end + guard)))
		return -EEXIST;
	p->start = a->addr;
	return 0;
}

/* At the hint, or anywhere. */
static err_t place_free(struct map_plan *p, uint64_t guard)
{
	const struct vm_map_args *a = p->args;
	uint64_t len = p->len + 2 * guard;
	uaddr_t hint = ALIGN_DOWN(a->addr, PAGE_SIZE) - guard, at = 0;
	if (a->addr && range_is_valid(p->s, hint, len))
		at = region_find_gap(&p->s->regions, len, PAGE_SIZE, hint, hint + len);
	if (!at)
		at = place_anywhere(p->s, len, a->floor, a->ceiling);
	p->start = at + guard;
	return at ? 0 : -ENOMEM;
}

/* Decide where. Called with the space locked. */
static err_t map_place(struct map_plan *p)
{
	const struct vm_map_args *a = p->args;
	struct region_set *set = &p->s->regions;
	uint64_t guard = p->flags & REGION_GUARDED ? PAGE_SIZE : 0;
	err_t err = a->flags & VM_MAP_FIXED ? place_fixed(p, guard) : place_free(p, guard);
	if (err)
		return err;
	p->end = p->start + p->len;
	p->flags |= a->object && a->object->kind == VM_PHYS ? 0 : p->s->lock_future;
	if (set->count + (a->flags & VM_MAP_TWICE ? 1 : 0) > REGIONS_MAX)
		return -ENOMEM;
	return check_limits(
	    p->s, a->limits, a->prot, p->flags, p->len >> PAGE_SHIFT, count_mapped(p->s, p->start, p->end));
}

/* May r's window be extended over fresh anonymous memory of the plan at address `at`? */
static bool can_extend(const struct map_plan *p, const struct region *r, uaddr_t at)
{
	return r && r->offset == r->start >> PAGE_SHIFT && (r->start == at || r->end == at) &&
	       (r->object->flags & VM_PRIVATE) && !(r->object->flags & VM_PURGEABLE) && !r->object->backing &&
	       r->prot == p->args->prot && r->max_prot == p->max_prot && r->flags == p->flags;
}

/* The neighbour that can take the new range over, or NULL. Called after what was in the range is gone or is
 * known to go. */
static struct region *map_neighbour(const struct map_plan *p)
{
	struct region_set *set = &p->s->regions;
	if (!is_anonymous_private(p->args) ||
	    (p->args->flags & (VM_MAP_STACK | VM_MAP_PURGEABLE | VM_MAP_GROWSDOWN)) || p->args->name.ops)
		return NULL;
	struct region *below = p->start > set->low ? region_find(set, p->start - 1) : NULL;
	if (can_extend(p, below, p->start))
		return below;
	struct region *above = p->end < set->high ? region_find(set, p->end) : NULL;
	return can_extend(p, above, p->end) ? above : NULL;
}

/* The object that the region of the plan looks at, with a reference, and the index that it begins with. */
static err_t map_find_object(const struct map_plan *p, struct vm_object **out, pgidx_t *offset)
{
	const struct vm_map_args *a = p->args;
	if (a->object && (a->flags & VM_MAP_SHARED)) {
		object_get(a->object);
		*out = a->object;
		return 0;
	}
	if (a->object)
		return object_create_anon(VM_PRIVATE, 0, a->object, out);
	if (a->flags & VM_MAP_SHARED) {
		*offset = 0;
		return object_create_anon(
		    a->flags & VM_MAP_NORESERVE ? VM_NORESERVE : 0, p->len >> PAGE_SHIFT, NULL, out);
	}
	*offset = p->start >> PAGE_SHIFT;
	return object_create_anon(
	    VM_PRIVATE | (a->flags & VM_MAP_PURGEABLE ? VM_PURGEABLE : 0), 0, NULL, out);
}

/* Make a region and its object. */
static err_t map_make_region(const struct map_plan *p, uaddr_t start, uaddr_t end, struct region **out)
{
	const struct vm_map_args *a = p->args;
	struct region *r = *out = region_alloc(p->s);
	if (!r)
		return -ENOMEM;
	r->start = start;
	r->end = end;
	r->prot = (uint8_t)a->prot;
	r->max_prot = (uint8_t)p->max_prot;
	r->flags = p->flags;
	r->offset = a->offset;
	r->name = a->name;
	vm_name_map(&r->name);
	return map_find_object(p, &r->object, &r->offset);
}

static err_t map_make_regions(struct map_plan *p)
{
	if (!(p->args->flags & VM_MAP_TWICE))
		return map_make_region(p, p->start, p->end, &p->region);
	uaddr_t middle = p->start + p->len / 2;
	err_t err = map_make_region(p, p->start, middle, &p->region);
	return err ? err : map_make_region(p, middle, p->end, &p->again);
}

/* A region that is ready goes where nothing is. Cannot fail. */
static void map_enter_region(struct vm_space *s, struct region **r)
{
	struct region *fresh = *r;
	if (!fresh)
		return;
	*r = NULL;
	region_insert(&s->regions, fresh);
	object_add_viewer(fresh);
	region_merge(s, fresh);
}

/* Cannot fail. */
static void map_commit(struct map_plan *p)
{
	struct vm_space *s = p->s;
	unmap_commit(s, p->start, p->end, &p->kit);
	struct region *n = map_neighbour(p); /* also one that the unmapping has only just left behind */
	if (n) {
		region_set_bounds(
		    n, MIN(n->start, p->start), MAX(n->end, p->end), MIN(n->offset, p->start >> PAGE_SHIFT));
		region_update(&s->regions, n);
		region_merge(s, n);
	} else {
		ASSERT(p->region);
		map_enter_region(s, &p->region);
		map_enter_region(s, &p->again);
	}
	s->npages += p->len >> PAGE_SHIFT;
}

err_t space_map(struct vm_space *s, const struct vm_map_args *args, uaddr_t *out)
{
	struct map_plan p = {.s = s, .args = args};
	err_t err = map_check(&p);
	if (!err)
		err = map_choose_flags(&p);
	if (err)
		return err;
	rwlock_write(&s->lock);
	err = map_place(&p);
	if (!err)
		err = unmap_reserve(s, p.start, p.end, &p.kit);
	if (!err && !map_neighbour(&p))
		err = map_make_regions(&p);
	if (!err && (p.flags & REGION_ACCOUNT))
		err = commit_exchange(p.len >> PAGE_SHIFT, count_promised(s, p.start, p.end), s->npages);
	if (!err)
		map_commit(&p);
	space_unlock(s);
	kit_fini(&p.kit);
	region_free(p.region);
	region_free(p.again);
	if (err)
		return err;
	if ((args->flags & VM_MAP_POPULATE) || (p.flags & REGION_LOCK_MASK) == REGION_LOCKED) {
		err_t partly = space_populate(s, p.start, p.end, POPULATE_BY_RIGHTS);
		(void)partly; /* best effort: an error shows when the page is used */
	}
	*out = p.start;
	return 0;
}

err_t space_find_shared(struct vm_space *s, uaddr_t addr, struct vm_object **object, pgidx_t *idx)
{
	*object = NULL;
	rwlock_read(&s->lock);
	struct region *r = region_find(&s->regions, addr);
	if (r && (r->flags & REGION_SHARED)) {
		object_get(r->object);
		*object = r->object;
		*idx = region_index(r, addr);
	}
	rwlock_read_unlock(&s->lock);
	return r ? 0 : -EFAULT;
}
