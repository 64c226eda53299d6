/*
 * purge.c - purgeable memory: objects whose owner lets the kernel take their pages.
 *
 *	NO --set_volatile--> YES --purge--> PURGED
 *	 ^                  |  ^              |
 *	 +--set_nonvolatile-+  +--- a page ---+ is written
 *
 * State belongs to the whole object. Volatile objects that have pages wait on one list, the least recently
 * made volatile first; purging takes one object at a time: its translations go, then its root is taken off
 * and dropped. Frames that a clone or a pin still holds stay with their holders, and only frames really freed
 * are counted. A clone (fork, snapshot) starts with its original's state and is purged on its own.
 *
 * Locking: vol_state and was_purged under the object's lock; list membership under purge_lock, which is
 * inside the object's lock. vm_purge_one goes the other way round, so it takes a reference under purge_lock
 * and looks at the object again after locking it. Outcomes then: still YES (take it); made nonvolatile (leave
 * it); purged by another thread (nothing to do).
 */
#include "vm/vm_priv.h"

static struct spinlock purge_lock = SPINLOCK_INIT("purge list", RANK_PURGE);
static struct list purge_list = LIST_INIT(purge_list); /* guarded by purge_lock; oldest first */

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
	to->was_purged = from->was_purged;
	if (to->vol_state == VOLATILE_YES)
		purge_enlist(to);
}

err_t object_set_volatile(struct vm_object *o)
{
	if (!(o->flags & VM_PURGEABLE))
		return -EINVAL;
	spin_lock(&o->lock);
	if (o->vol_state == VOLATILE_NO)
		o->was_purged = false;
	if (o->vol_state != VOLATILE_PURGED) {
		o->vol_state = VOLATILE_YES;
		purge_enlist(o);
	}
	spin_unlock(&o->lock);
	return 0;
}

err_t object_set_nonvolatile(struct vm_object *o, bool *was_purged)
{
	if (!(o->flags & VM_PURGEABLE))
		return -EINVAL;
	spin_lock(&o->lock);
	*was_purged = o->was_purged;
	o->was_purged = false;
	o->vol_state = VOLATILE_NO;
	purge_forget(o);
	spin_unlock(&o->lock);
	return 0;
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
		page_tree_init(&o->tree);
		o->generation++; /* a page copied outside the lock must not come back */
		o->vol_state = VOLATILE_PURGED;
		o->was_purged |= !page_tree_is_empty(&taken);
		purge_forget(o);
	}
	spin_unlock(&o->lock);
	return page_tree_destroy(&taken, page_unshare);
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
