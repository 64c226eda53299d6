/*
 * purge.c - purgeable memory: objects whose owner lets the kernel take their pages.
 *
 *	NO --the last holder lets go--> YES --purge--> PURGED
 *	 ^                             |  ^              |
 *	 +-----somebody holds it-------+--+--- a page ---+ is written
 *
 * State belongs to the whole object. A private one has one holder, whoever has it mapped; a file's memory has
 * as many as open files say that they want it (fs/memfd.c). Each is told once whether anything was taken
 * since it let go: purges are numbered, and a holder keeps the number. Volatile objects that have pages wait
 * on one list, the least recently made volatile first; purging takes one object at a time: its translations
 * go, then its root is taken off and dropped. Frames that a clone or a pin still holds stay with their
 * holders, and only frames really freed are counted. A clone (fork, snapshot) starts with its original's
 * state and is purged on its own.
 *
 * Locking: state, holders and purges under the object's lock; list membership under purge_lock, which is
 * inside the object's lock. vm_purge_one goes the other way round, so it takes a reference under purge_lock
 * and looks at the object again after locking it. Outcomes then: still YES (take it); made nonvolatile (leave
 * it); purged by another thread (nothing to do).
 */
#include "vm/vm_priv.h"

static struct spinlock purge_lock = SPINLOCK_INIT("purge list", RANK_PURGE);
static struct list purge_list = LIST_INIT(purge_list); /* guarded by purge_lock; oldest first */

static _Atomic uint64_t purged_frames; /* frames that were freed, ever */

static void purge_enlist(struct vm_object *o)
{
	spin_lock(&purge_lock);
	if (!list_is_empty(&o->purge_link))
		list_remove(&o->purge_link);
	list_push_back(&purge_list, &o->purge_link);
	spin_unlock(&purge_lock);
}

void purge_forget(struct vm_object *o)
{
	if (!(o->flags & VM_PURGEABLE))
		return;
	spin_lock(&purge_lock);
	if (!list_is_empty(&o->purge_link))
		list_remove(&o->purge_link);
	spin_unlock(&purge_lock);
}

void purge_note_filled_locked(struct vm_object *o)
{
	ASSERT_HELD(&o->lock);
	if (unlikely(o->vol_state == VOLATILE_PURGED)) {
		o->vol_state = VOLATILE_YES;
		purge_enlist(o);
	}
}

void purge_copy_state_locked(struct vm_object *from, struct vm_object *to)
{
	to->vol_state = from->vol_state;
	to->purges = from->purges;
	to->owner = from->owner;
	to->holders = from->owner.holds;
	if (to->vol_state == VOLATILE_YES)
		purge_enlist(to);
}

void object_let_go(struct vm_object *o, struct vm_holder *h)
{
	ASSERT(o->flags & VM_PURGEABLE);
	spin_lock(&o->lock);
	if (h->holds) {
		h->holds = false;
		h->seen = o->purges;
		o->holders--;
	}
	if (!o->holders && o->vol_state != VOLATILE_PURGED) {
		o->vol_state = VOLATILE_YES;
		purge_enlist(o);
	}
	spin_unlock(&o->lock);
}

void object_hold(struct vm_object *o, struct vm_holder *h, bool *was_purged)
{
	ASSERT(o->flags & VM_PURGEABLE);
	spin_lock(&o->lock);
	*was_purged = !h->holds && h->seen != o->purges;
	o->holders += !h->holds;
	h->holds = true;
	o->vol_state = VOLATILE_NO;
	purge_forget(o);
	spin_unlock(&o->lock);
}

/* Take the pages of o, if it is still volatile; returns frames freed. */
static uint64_t purge_object(struct vm_object *o)
{
	struct page_tree taken;
	page_tree_init(&taken);
	spin_lock(&o->lock);
	if (o->vol_state == VOLATILE_YES) {
		object_unmap_locked(o, 0, UINT64_MAX);
		taken = o->tree;
		if (o->ops)
			o->ops->uncharge(o, page_tree_count(&taken, 0, PT_INDEX_MAX + 1, NULL));
		object_pages_leave(o, o->npresent);
		page_tree_init(&o->tree);
		o->generation++; /* a page copied outside the lock must not come back */
		o->vol_state = VOLATILE_PURGED;
		o->purges += !page_tree_is_empty(&taken);
		purge_forget(o);
	}
	spin_unlock(&o->lock);
	uint64_t freed = page_tree_destroy(&taken, page_unshare);
	fetch_add_relaxed(&purged_frames, freed);
	return freed;
}

uint64_t vm_purge_one(bool *more)
{
	struct vm_object *o = NULL;
	spin_lock(&purge_lock);
	while (!o && !list_is_empty(&purge_list)) {
		o = list_first(&purge_list, struct vm_object, purge_link);
		list_remove(&o->purge_link);
		if (!ref_try_get(&o->refs))
			o = NULL; /* on its way out: its pages come back by themselves */
	}
	spin_unlock(&purge_lock);
	*more = o != NULL;
	if (!o)
		return 0;
	uint64_t freed = purge_object(o);
	object_put(o);
	return freed;
}

/* References to up to `max` volatile objects; returns how many there are. out may be NULL. */
static unsigned hold_volatile(struct vm_object **out, unsigned max)
{
	unsigned n = 0;
	spin_lock(&purge_lock);
	list_for_each (it, &purge_list) {
		struct vm_object *o = list_entry(it, struct vm_object, purge_link);
		if (out && n == max)
			break;
		if (!out)
			n++;
		else if (ref_try_get(&o->refs))
			out[n++] = o;
	}
	spin_unlock(&purge_lock);
	return n;
}

/* Objects are counted one after another with no lock in between: the purge list's comes after theirs. Without
 * memory for the list of them nothing is counted. */
void vm_purge_stats(struct vm_purge_stats *out)
{
	unsigned n = hold_volatile(NULL, 0);
	struct vm_object **objects = n ? kmalloc(n * sizeof(objects[0])) : NULL;
	*out = (struct vm_purge_stats){.freed = load_relaxed(&purged_frames)};
	if (!objects)
		return;
	out->objects = n = hold_volatile(objects, n);
	for (unsigned i = 0; i < n; i++) {
		out->pages += object_page_count(objects[i]);
		object_put(objects[i]);
	}
	kfree(objects);
}
