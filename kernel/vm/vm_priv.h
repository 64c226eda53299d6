#pragma once
/* vm_priv.h - what the files of vm/ share among themselves. */
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm/fault.h"

/* object.c */
/* Lock o and then its backing, if it has one; unlock in reverse. */
static inline void object_lock_both(struct vm_object *o)
{
	spin_lock(&o->lock);
	if (o->backing)
		spin_lock(&o->backing->lock);
}
static inline void object_unlock_both(struct vm_object *o)
{
	if (o->backing)
		spin_unlock(&o->backing->lock);
	spin_unlock(&o->lock);
}
/* Link r into its object's viewers (and its backing's), or take it out. Takes the locks. */
void object_add_viewer(struct region *r);
void object_remove_viewer(struct region *r);
/* How pages of o are dropped from its tree. */
unsigned (*object_drop_fn(const struct vm_object *o))(struct page *);
/* Called with o unlocked: remove the pages of [first, end) from the tree, all translations being gone and
 * unable to come back; nodes come from r. Returns frames freed. */
uint64_t object_remove_pages(struct vm_object *o, pgidx_t first, pgidx_t end, struct pt_reserve *r);
/* Called with o and its backing locked: drop private pages that a truncation of the file left behind its end.
 * -ENOMEM: try again. */
MUST_CHECK err_t object_trim_locked(struct vm_object *o);

/* file.c */
unsigned file_drop_page(struct page *p);
/* Bring page idx of o, and a few that follow, into the page cache. Called with no lock. 0: look again
 * (somebody may have been faster), or an error. */
MUST_CHECK err_t file_bring_in(struct vm_object *o, pgidx_t idx);
/* Sleep until page idx of o is not BUSY. Called with no lock. 0 or -EINTR. */
MUST_CHECK err_t file_wait(struct vm_object *o, pgidx_t idx);
/* Called with o locked: wait until no page of [first, end) is BUSY or being written back. The lock is dropped
 * while sleeping. */
void file_wait_range_locked(struct vm_object *o, pgidx_t first, pgidx_t end);

/* purge.c */
/* Called with o locked: o gets pages again, or goes away. */
void purge_note_filled_locked(struct vm_object *o);
void purge_copy_state_locked(struct vm_object *from, struct vm_object *to);
void purge_forget(struct vm_object *o);

/* reclaim.c */
void lru_init(void);
/* p, a page of a locked FILE object, joins or leaves the list of reclaimable pages. */
void lru_add(struct page *p);
void lru_remove(struct page *p);

/* space.c */
struct region *region_alloc(struct vm_space *s);
void region_free(struct region *r);
/* Cut r at addr (inside r, page aligned): r keeps the lower part, `upper`, fresh from region_alloc, becomes
 * the rest. */
void region_split(struct region *r, uaddr_t addr, struct region *upper);
/* Join r with the neighbours that are like it; returns the region that contains what r did. */
struct region *region_merge(struct vm_space *s, struct region *r);
/* Set r's bounds under the locks that reverse walkers hold. */
void region_set_bounds(struct region *r, uaddr_t start, uaddr_t end, pgidx_t offset);
static inline bool range_is_valid(const struct vm_space *s, uaddr_t addr, uint64_t len)
{
	return IS_ALIGNED(addr, PAGE_SIZE) && len > 0 && addr >= s->regions.low && addr < s->regions.high &&
	       len <= s->regions.high - addr;
}

/* MMU flags for a translation of region r; write access is added by who knows that it is due. */
static inline unsigned region_mmu_flags(const struct region *r)
{
	return MMU_USER | MMU_READ | (r->prot & VM_EXEC ? MMU_EXEC : 0);
}
