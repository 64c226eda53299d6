/*
 * space_lock.c - memory that is brought in and stays: locking, populating, what is resident; regions that
 * grow.
 *
 * Locking is a flag of regions. Pages that such a region shows are not reclaimed while they are there
 * (reclaim.c asks the viewers); anonymous pages never are. Bringing them in is a step of its own, with no
 * lock held, because it may sleep on files. How much is locked is counted when it is asked for: few programs
 * lock anything, and no counter has to follow every change of regions.
 */
#include "vm/vm_priv.h"

static void (*_Atomic limits_hook)(struct vm_limits *out); /* NULL: no limits */

void vm_set_limits(void (*current_limits)(struct vm_limits *out))
{
	store_release(&limits_hook, current_limits);
}

uint64_t count_locked(const struct vm_space *s, uaddr_t start, uaddr_t end)
{
	uint64_t n = 0;
	for (struct region *r = region_find_from(&s->regions, start); r && r->start < end; r = region_next(r))
		if (r->flags & REGION_LOCKED)
			n += (MIN(end, r->end) - MAX(start, r->start)) >> PAGE_SHIFT;
	return n;
}

uint64_t space_locked_pages(struct vm_space *s)
{
	rwlock_read(&s->lock);
	uint64_t n = count_locked(s, 0, UINT64_MAX);
	rwlock_read_unlock(&s->lock);
	return n;
}

/* --- locking --- */

/* Device memory is there anyway, and does not count. */
static void lock_region(struct region *r, unsigned flags)
{
	if (r->object->kind != VM_PHYS)
		region_set_flags(r, (r->flags & ~(uint32_t)REGION_LOCK_MASK) | flags);
}

/* The end of what is mapped without a hole from start on, at most `end`. */
static uaddr_t mapped_until(const struct vm_space *s, uaddr_t start, uaddr_t end)
{
	struct region *r = region_find(&s->regions, start);
	uaddr_t at = start;
	for (; r && r->start <= at && at < end; r = region_next(r))
		at = MIN(r->end, end);
	return at;
}

static err_t lock_prefix(struct change *c, unsigned flags)
{
	err_t err = c->start < c->end ? change_reserve(c) : 0;
	if (err || c->start == c->end)
		return err;
	change_cut(c);
	for (struct region *r = region_find(&c->s->regions, c->start); r && r->start < c->end;
	     r = region_next(r))
		lock_region(r, flags);
	change_merge(c);
	return 0;
}

err_t space_lock_range(struct vm_space *s, uaddr_t addr, uint64_t len, unsigned flags, uint64_t limit)
{
	struct change c;
	err_t err = change_init(&c, s, addr, len);
	if (err || c.start == c.end)
		return err;
	uaddr_t end = c.end;
	rwlock_write(&s->lock);
	if (flags && limit != UINT64_MAX &&
	    count_locked(s, 0, UINT64_MAX) - count_locked(s, c.start, end) + ((end - c.start) >> PAGE_SHIFT) >
		limit)
		err = -ENOMEM;
	if (!err) {
		c.end = mapped_until(s, c.start, end);
		err = lock_prefix(&c, flags);
	}
	if (!err && c.end < end)
		err = -ENOMEM;
	space_unlock(s);
	change_fini(&c);
	return err;
}

err_t space_lock_all(struct vm_space *s, bool now, unsigned flags, unsigned future, uint64_t limit)
{
	err_t err = 0;
	rwlock_write(&s->lock);
	if (now && flags && s->npages > limit)
		err = -ENOMEM;
	if (!err)
		s->lock_future = future;
	if (!err && now) {
		struct region *r;
		for (r = region_find_from(&s->regions, 0); r; r = region_next(r))
			lock_region(r, flags);
		for (r = region_find_from(&s->regions, 0); r; r = region_next(r))
			r = region_merge(s, r);
	}
	space_unlock(s);
	return err;
}

/* --- bringing in --- */

/* How the region at addr is to be touched. *end gets where it ends. False: not at all. -ENOMEM: none there.
 */
static err_t how_to_touch(
    struct vm_space *s, uaddr_t addr, enum populate_mode mode, unsigned *access, bool *touch, uaddr_t *end)
{
	rwlock_read(&s->lock);
	struct region *r = region_find(&s->regions, addr);
	if (r) {
		bool writes = mode == POPULATE_BY_RIGHTS ? region_is_private(r) && (r->prot & VM_WRITE)
							 : mode == POPULATE_WRITE;
		*access = writes ? FAULT_WRITE : FAULT_READ;
		*touch = r->object->kind != VM_PHYS &&
			 !(mode == POPULATE_BY_RIGHTS && (r->flags & REGION_LOCK_ONFAULT));
		*end = r->end;
	}
	rwlock_read_unlock(&s->lock);
	return r ? 0 : -ENOMEM;
}

err_t space_populate(struct vm_space *s, uaddr_t start, uaddr_t end, enum populate_mode mode)
{
	err_t err = 0;
	for (uaddr_t at = start; !err && at < end;) {
		unsigned access;
		uaddr_t stop;
		bool touch;
		err = how_to_touch(s, at, mode, &access, &touch, &stop);
		if (err)
			break;
		stop = MIN(stop, end);
		while (touch && !err && at < stop)
			err = vm_fault_range(s, at, stop, access, &at);
		at = stop;
	}
	return err;
}

/* --- what is there --- */

static bool is_resident(const struct region *r, uaddr_t addr)
{
	struct vm_object *o = r->object;
	struct mmu_translation t;
	pgidx_t idx = region_index(r, addr);
	struct page *p = page_tree_lookup(&o->tree, idx);
	if (!p && o->backing)
		p = page_tree_lookup(&o->backing->tree, idx);
	return p ? !page_test_flag(p, PAGE_BUSY) : mmu_query(&r->space->mmu, addr, &t);
}

err_t space_resident(struct vm_space *s, uaddr_t addr, uint64_t n, uint8_t *vec)
{
	err_t err = 0;
	uaddr_t at = addr, end = addr + (n << PAGE_SHIFT);
	rwlock_read(&s->lock);
	while (!err && at < end) {
		struct region *r = region_find(&s->regions, at);
		if (!r) {
			err = -ENOMEM;
			break;
		}
		object_lock_both(r->object);
		for (uaddr_t stop = MIN(end, r->end); at < stop; at += PAGE_SIZE)
			*vec++ = is_resident(r, at);
		object_unlock_both(r->object);
	}
	rwlock_read_unlock(&s->lock);
	return err;
}

/* --- growing down --- */

/* Called with s locked: may r begin at `start`? */
static bool may_grow(const struct region *r, uaddr_t start)
{
	const struct vm_space *s = r->space;
	struct region *prev = region_prev(r);
	uint64_t more = (r->start - start) >> PAGE_SHIFT;
	struct vm_limits limits;
	void (*hook)(struct vm_limits *) = load_acquire(&limits_hook);
	if (start < s->regions.low || more > r->offset)
		return false;
	if (prev && !(prev->flags & REGION_GROWSDOWN) && prev->prot && start - prev->end < REGION_GUARD)
		return false;
	if (!hook)
		return true;
	hook(&limits);
	return (r->end - start) >> PAGE_SHIFT <= limits.stack &&
	       !check_limits(s, &limits, r->prot, r->flags, more, 0);
}

err_t space_grow(struct vm_space *s, uaddr_t addr)
{
	uaddr_t start = ALIGN_DOWN(addr, (uaddr_t)PAGE_SIZE);
	err_t err = 0;
	rwlock_write(&s->lock);
	struct region *r = region_find_from(&s->regions, addr);
	if (!r || (r->start > addr && (!(r->flags & REGION_GROWSDOWN) || !may_grow(r, start)))) {
		err = -EFAULT;
	} else if (r->start > addr && (r->flags & REGION_ACCOUNT) &&
		   commit_exchange((r->start - start) >> PAGE_SHIFT, 0, s->npages)) {
		err = -EFAULT; /* as a stack that is full */
	} else if (r->start > addr) {
		uint64_t more = (r->start - start) >> PAGE_SHIFT;
		region_set_bounds(r, start, r->end, r->offset - more);
		region_update(&s->regions, r);
		s->npages += more;
		region_merge(s, r);
	}
	space_unlock(s);
	return err;
}
