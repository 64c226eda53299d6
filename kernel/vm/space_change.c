/*
 * space_change.c - operations that change regions or pages in place: protect, discard, flags, purgeable
 * state, and looking.
 *
 * protect and set_flags share one shape: a range, covered without holes, is cut out at its two ends (two
 * regions are set aside first), each region in it is changed, and like neighbours are merged again. Nothing
 * changes unless all of it can.
 */
#include "vm/vm_priv.h"

err_t change_init(struct change *c, struct vm_space *s, uaddr_t addr, uint64_t len)
{
	*c = (struct change){.s = s, .start = addr};
	if (!IS_ALIGNED(addr, PAGE_SIZE) || len > UINT64_MAX - PAGE_SIZE)
		return -EINVAL;
	len = ALIGN_UP(len, PAGE_SIZE);
	if (addr + len < addr)
		return -ENOMEM;
	c->end = addr + len;
	return 0;
}

void change_fini(struct change *c)
{
	region_free(c->upper[0]);
	region_free(c->upper[1]);
}

/* Every page of the range is in a region, and check(r, arg) has no objection to any. Space locked. */
static err_t change_check(struct change *c, err_t (*check)(struct region *r, unsigned arg), unsigned arg)
{
	uaddr_t at = c->start;
	struct region *r = region_find_from(&c->s->regions, at);
	for (; at < c->end; r = region_next(r)) {
		if (!r || r->start > at)
			return -ENOMEM;
		err_t err = check ? check(r, arg) : 0;
		if (err)
			return err;
		at = r->end;
		if (at >= c->end)
			break;
	}
	return 0;
}

/* Is a region to be cut at the beginning (0) or the end (1) of the range? The range is covered. */
static bool change_cuts(const struct change *c, int which)
{
	uaddr_t at = which ? c->end : c->start;
	struct region *r = region_find(&c->s->regions, at - (which == 1));
	return r->start < at && at < r->end;
}

err_t change_reserve(struct change *c)
{
	for (int i = 0; i < 2; i++) {
		if (!change_cuts(c, i))
			continue;
		c->upper[i] = c->s->regions.count + (unsigned)i < REGIONS_MAX ? region_alloc(c->s) : NULL;
		if (!c->upper[i])
			return -ENOMEM;
	}
	return 0;
}

void change_cut(struct change *c)
{
	uaddr_t ends[2] = {c->start, c->end};
	for (int i = 0; i < 2; i++) {
		if (!c->upper[i])
			continue;
		region_split(region_find(&c->s->regions, ends[i] - (i == 1)), ends[i], c->upper[i]);
		c->upper[i] = NULL;
	}
}

void change_merge(struct change *c)
{
	struct region *r = region_find(&c->s->regions, c->start);
	while (r && r->start <= c->end)
		r = region_next(region_merge(c->s, r));
}

static err_t check_protect(struct region *r, unsigned prot)
{
	if (r->flags & REGION_IMMUTABLE)
		return -EPERM;
	return prot & ~r->max_prot ? -EACCES : guard_check_protect(r, prot);
}

static unsigned prot_to_mmu(unsigned prot)
{
	return prot
		   ? MMU_USER | MMU_READ | (prot & VM_WRITE ? MMU_WRITE : 0) | (prot & VM_EXEC ? MMU_EXEC : 0)
		   : 0;
}

/* Does r become memory that has to be promised? It stays that when it is write-protected again, as what was
 * written is kept. */
static bool needs_promise(const struct region *r, unsigned prot)
{
	return (prot & VM_WRITE) && !(r->prot & VM_WRITE) &&
	       !(r->flags & (REGION_SHARED | REGION_ACCOUNT | REGION_NORESERVE));
}

static err_t protect_promise(const struct change *c, unsigned prot)
{
	uint64_t promised = 0;
	for (struct region *r = region_find(&c->s->regions, c->start); r && r->start < c->end;
	     r = region_next(r))
		if (needs_promise(r, prot))
			promised += (MIN(c->end, r->end) - MAX(c->start, r->start)) >> PAGE_SHIFT;
	return promised ? commit_exchange(promised, 0, c->s->npages) : 0;
}

static void protect_commit(struct change *c, unsigned prot)
{
	struct mmu_gather g;
	change_cut(c);
	for (struct region *r = region_find(&c->s->regions, c->start); r && r->start < c->end;
	     r = region_next(r)) {
		if (r->flags & REGION_MARKS)
			fetch_add_relaxed(&c->s->serial, 1);
		if (needs_promise(r, prot))
			region_set_flags(r, r->flags | REGION_ACCOUNT);
		guard_note_protect(r, prot);
		r->prot = (uint8_t)prot;
	}
	if (!prot)
		resident_note_peak(c->s);
	mmu_gather_begin(&g, &c->s->mmu);
	mmu_protect(&c->s->mmu, c->start, c->end, prot_to_mmu(prot), &g);
	mmu_gather_flush(&g);
	change_merge(c);
}

/* Would the change of protection change nothing? The commonest case of a second mprotect. */
static bool already_has(struct change *c, unsigned prot)
{
	for (struct region *r = region_find(&c->s->regions, c->start); r && r->start < c->end;
	     r = region_next(r))
		if (r->prot != prot)
			return false;
	return true;
}

err_t space_protect(struct vm_space *s, uaddr_t addr, uint64_t len, unsigned prot)
{
	struct change c;
	err_t err = prot & ~VM_RWX ? -EINVAL : change_init(&c, s, addr, len);
	if (err || c.start == c.end)
		return err;
	rwlock_write(&s->lock);
	err = change_check(&c, check_protect, prot);
	if (!err && !already_has(&c, prot)) {
		err = change_reserve(&c);
		if (!err)
			err = protect_promise(&c, prot);
		if (!err)
			protect_commit(&c, prot);
	}
	space_unlock(s);
	change_fini(&c);
	return err;
}

/* May what r shows be thrown away, or be missing in a child? */
static err_t check_keeps(struct region *r, UNUSED unsigned arg)
{
	return region_keeps_contents(r->flags, r->prot) ? -EPERM : 0;
}

static err_t check_flags(struct region *r, unsigned set)
{
	if ((set & (REGION_DONTFORK | REGION_WIPEONFORK)) && check_keeps(r, 0))
		return -EPERM;
	bool anonymous = region_is_private(r) && !r->object->backing && !r->name.ops;
	return (set & REGION_WIPEONFORK) && !anonymous ? -EINVAL : 0;
}

err_t space_set_flags(struct vm_space *s, uaddr_t addr, uint64_t len, unsigned set, unsigned clear)
{
	const unsigned settable = REGION_DONTFORK | REGION_WIPEONFORK | REGION_DONTDUMP | REGION_RANDOM |
				  REGION_LARGE | REGION_NO_LARGE | REGION_IMMUTABLE;
	struct change c;
	if ((set & ~settable) || (clear & ~(settable & ~REGION_IMMUTABLE)))
		return -EINVAL;
	err_t err = change_init(&c, s, addr, len);
	if (err || c.start == c.end)
		return err;
	rwlock_write(&s->lock);
	err = change_check(&c, check_flags, set);
	if (!err)
		err = change_reserve(&c);
	if (!err) {
		change_cut(&c);
		for (struct region *r = region_find(&s->regions, c.start); r && r->start < c.end;
		     r = region_next(r))
			region_set_flags(r, (r->flags & ~clear) | set);
		change_merge(&c);
	}
	space_unlock(s);
	change_fini(&c);
	return err;
}

/* --- discard --- */

/* Nodes that removing the private pages of the range can need. */
static err_t discard_reserve(struct change *c, struct pt_reserve *nodes)
{
	unsigned need = 0;
	for (struct region *r = region_find(&c->s->regions, c->start); r && r->start < c->end;
	     r = region_next(r)) {
		if (!region_is_private(r))
			continue;
		spin_lock(&r->object->lock);
		need += page_tree_remove_need(&r->object->tree, region_index(r, MAX(c->start, r->start)),
		    region_index(r, MIN(c->end, r->end) - 1) + 1);
		spin_unlock(&r->object->lock);
	}
	return page_tree_reserve(nodes, need);
}

static void discard_commit(struct change *c, struct pt_reserve *nodes)
{
	struct mmu_gather g;
	resident_note_peak(c->s);
	mmu_gather_begin(&g, &c->s->mmu);
	mmu_unmap(&c->s->mmu, c->start, c->end, &g);
	mmu_gather_flush(&g);
	for (struct region *r = region_find(&c->s->regions, c->start); r && r->start < c->end;
	     r = region_next(r))
		if (region_is_private(r))
			object_remove_pages(r->object, region_index(r, MAX(c->start, r->start)),
			    region_index(r, MIN(c->end, r->end) - 1) + 1, nodes);
}

err_t space_discard(struct vm_space *s, uaddr_t addr, uint64_t len)
{
	struct pt_reserve nodes = {0};
	struct change c;
	err_t err = change_init(&c, s, addr, len);
	if (err || c.start == c.end)
		return err;
	rwlock_write(&s->lock);
	err = change_check(&c, check_keeps, 0);
	if (!err)
		err = discard_reserve(&c, &nodes);
	if (!err)
		discard_commit(&c, &nodes);
	space_unlock(s);
	page_tree_unreserve(&nodes);
	return err;
}

/* --- purgeable regions --- */

/* Does r show a purgeable object whose owner is whoever has it mapped, and is it the only one to do so if
 * that is private? */
static bool is_whole_purgeable(const struct region *r)
{
	const struct vm_object *o = r->object;
	bool alone = o->viewers.next == &r->view_link && o->viewers.prev == &r->view_link;
	return (o->flags & VM_PURGEABLE) && !(o->flags & VM_RESIDENT) && (alone || !(o->flags & VM_PRIVATE));
}

/* The object of the purgeable region that is exactly the range, with a reference, or NULL. One that is locked
 * is not for letting go. */
static struct vm_object *purgeable_at(struct vm_space *s, uaddr_t addr, uint64_t len, bool locked_too)
{
	struct vm_object *o = NULL;
	if (len > UINT64_MAX - PAGE_SIZE)
		return NULL;
	rwlock_read(&s->lock);
	struct region *r = region_find(&s->regions, addr);
	if (r && r->start == addr && r->end == addr + ALIGN_UP(len, PAGE_SIZE) && is_whole_purgeable(r) &&
	    (locked_too || !(r->flags & REGION_LOCKED))) {
		o = r->object;
		object_get(o);
	}
	rwlock_read_unlock(&s->lock);
	return o;
}

err_t space_set_volatile(struct vm_space *s, uaddr_t addr, uint64_t len)
{
	struct vm_object *o = purgeable_at(s, addr, len, false);
	if (!o)
		return -EINVAL;
	object_let_go(o, &o->owner);
	object_put(o);
	return 0;
}

err_t space_set_nonvolatile(struct vm_space *s, uaddr_t addr, uint64_t len, bool *was_purged)
{
	struct vm_object *o = purgeable_at(s, addr, len, true);
	if (!o)
		return -EINVAL;
	object_hold(o, &o->owner, was_purged);
	object_put(o);
	return 0;
}

/* --- looking --- */

static void describe(const struct region *r, struct region_info *out)
{
	struct vm_object *o = r->object;
	*out = (struct region_info){
	    .start = r->start,
	    .end = r->end,
	    .prot = r->prot,
	    .max_prot = r->max_prot,
	    .flags = r->flags,
	    .offset = r->offset,
	    .kind = object_is_file(o) ? VM_FILE : o->kind,
	    .has_backing = o->backing != NULL,
	    .purgeable = (o->flags & VM_PURGEABLE) != 0,
	};
}

/* What takes the time of a walk. */
static void describe_pages(const struct region *r, struct region_info *out)
{
	struct vm_object *o = r->object;
	spin_lock(&o->lock);
	out->vol_state = o->vol_state;
	out->resident = page_tree_count(&o->tree, r->offset, r->offset + region_npages(r), &out->shared);
	spin_unlock(&o->lock);
	out->translated = region_translated(r);
}

bool space_look(struct vm_space *s, uaddr_t addr, struct region_info *out)
{
	rwlock_read(&s->lock);
	struct region *r = region_find_from(&s->regions, addr);
	if (r)
		describe(r, out);
	rwlock_read_unlock(&s->lock);
	return r != NULL;
}

bool space_query(struct vm_space *s, uaddr_t addr, struct region_info *out)
{
	rwlock_read(&s->lock);
	struct region *r = region_find_from(&s->regions, addr);
	if (r) {
		describe(r, out);
		describe_pages(r, out);
	}
	rwlock_read_unlock(&s->lock);
	return r != NULL;
}

uint64_t space_count_own(struct vm_space *s)
{
	uint64_t pages = 0;
	if (!rwlock_try_read(&s->lock))
		return MAX(load_relaxed(&s->own_seen), (uint64_t)1);
	for (struct region *r = region_find_from(&s->regions, 0); r; r = region_next(r)) {
		uint64_t shared = 0, all;
		if (!(r->object->flags & VM_PRIVATE))
			continue;
		spin_lock(&r->object->lock);
		all = page_tree_count(&r->object->tree, r->offset, r->offset + region_npages(r), &shared);
		spin_unlock(&r->object->lock);
		pages += all - shared / 2;
	}
	rwlock_read_unlock(&s->lock);
	store_relaxed(&s->own_seen, pages);
	return pages;
}

bool space_view(struct vm_space *s, uaddr_t addr, struct region_view *out)
{
	*out = (struct region_view){0};
	rwlock_read(&s->lock);
	struct region *r = region_find_from(&s->regions, addr);
	if (r) {
		describe(r, &out->info);
		out->name = r->name;
		vm_name_get(&out->name);
		out->file = object_is_file(r->object) ? r->object : r->object->backing;
		if (out->file)
			object_get(out->file);
	}
	rwlock_read_unlock(&s->lock);
	return r != NULL;
}

void region_view_end(struct region_view *v)
{
	if (v->file)
		object_put(v->file);
	vm_name_put(&v->name);
}
