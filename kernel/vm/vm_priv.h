#pragma once
/* vm_priv.h - what the files of vm/ share among themselves. */
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm/commit.h"
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
/* What frames of an ANON object are counted as. */
static inline enum page_kind object_page_kind(const struct vm_object *o)
{
	return o->flags & VM_PRIVATE ? PAGE_ANON : PAGE_SHMEM;
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

/* resident.c */
/* n pages came into the tree of the locked object, or are about to leave it. Of other than private objects
 * nobody counts them. */
void object_pages_came(struct vm_object *o, uint64_t n);
void object_pages_leave(struct vm_object *o, uint64_t n);
/* The same for those of [first, end). */
void object_range_leaves(struct vm_object *o, pgidx_t first, pgidx_t end);
/* r became the first viewer of its locked private object, or was the last. */
void resident_attach(struct region *r);
void resident_detach(struct region *r);
/* Resident pages of s are about to become fewer: is now the most that there were? */
void resident_note_peak(struct vm_space *s);
/* Count a page that a fault in s puts into its private object o, which is locked: object_pages_came for the
 * hot path. */
static ALWAYS_INLINE void resident_fault(struct vm_space *s, struct vm_object *o, uint64_t n)
{
	o->npresent += n;
	fetch_add_relaxed(&s->anon, n);
}
/* The mark of translations of o's pages. */
static inline unsigned object_mark(const struct vm_object *o)
{
	if (o->kind == VM_FILE)
		return MMU_OF_FILE;
	return o->kind == VM_ANON && !(o->flags & VM_PRIVATE) ? MMU_OF_SHMEM : 0;
}

/* space_usage.c: pages of a file or of shared memory that the space, which is locked, translates in r. */
uint64_t region_translated(const struct region *r);

/* fault_ahead.c: called with the object locked. */
/* How many pages does a write fault at idx of o, which is private, want, where none is? 1: just its own. */
unsigned ahead_want(const struct vm_object *o, const struct region *r, pgidx_t idx);
/* How many are absent from idx on, in r and in `leaf` (NULL: there is none): at least 1 if idx is. */
unsigned ahead_room(const struct region *r, const struct pt_node *leaf, pgidx_t idx);
/* Enter up to n fresh pages from idx on, for writing, and put them into the empty slots from `slot` on.
 * Returns how many found a place. */
unsigned ahead_put(struct region *r, struct page_slot slot, pgidx_t idx, struct page **pages, unsigned n);
/* p, which nobody else can reach, is the last of `n` pages that were put into o together. */
static inline void ahead_note(const struct vm_object *o, struct page *p, unsigned n)
{
	p->index = o->generation;
	p->ahead = n;
}
/* Was p put into o a moment ago? Fewer than AHEAD_STREAMS changes are. */
static inline bool is_recent(const struct vm_object *o, const struct page *p)
{
	enum { AHEAD_STREAMS = 8 };
	return o->generation - p->index < AHEAD_STREAMS;
}

/* large.c: called with the object of r locked. */
/* Is p, the page at idx, in the frame where it belongs if its stretch is to be translated as one? */
static inline bool large_is_placed(const struct region *r, pgidx_t idx, const struct page *p)
{
	return ((page_to_pfn(p) ^ region_addr(r, idx) >> PAGE_SHIFT) & (MMU_LARGE_PAGES - 1)) == 0;
}
/* Where frames for absent pages from idx on belong. */
struct large_place {
	struct page *at; /* from this one on; NULL: */
	bool begins;     /* at the beginning of a run, or it does not matter */
};
struct large_place large_place(const struct region *r, pgidx_t idx);
/* Up to n frames of zeros from that place, in a row; 0: they are not to be had. With the object unlocked. */
unsigned large_alloc(const struct large_place *at, struct page **out, unsigned n);
/* Have one translation for the stretch around idx, with the rights of r, if it is whole and r's alone. True:
 * there is. */
bool large_enter(const struct region *r, pgidx_t idx);
/* Could r have a large translation? */
bool region_may_be_large(const struct region *r);
/* Pages of r that large translations span. */
uint64_t large_count(const struct region *r);

/* file.c */
unsigned file_drop_page(struct page *p);
/* A page of the FILE object has become dirty, through the current thread. */
void file_count_dirtied(const struct vm_object *o);
/* Called with o locked: set or clear a mark of a page of o, with the counts that go with it. */
void file_set_mark(struct vm_object *o, pgidx_t idx, enum page_mark m);
void file_clear_mark(struct vm_object *o, pgidx_t idx, enum page_mark m);
/* Called with o locked: its pages of [first, end) go, whatever their marks say. */
void file_forget_marks(struct vm_object *o, pgidx_t first, pgidx_t end);
/* o, which nobody sees any more, is freed with its dirty pages. */
void file_marks_end(struct vm_object *o);
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

/* lru.c: pages of the page cache, by how likely they are to be used again. */
enum lru_kind { LRU_INACTIVE, LRU_ACTIVE, LRU_LISTS };
void lru_init(void);
/* p, a page of a locked FILE object, joins or leaves the lists. */
void lru_add(struct page *p);
void lru_remove(struct page *p);
/* p is about to leave because its frame is wanted: remember it. Its object is locked, as for those that
 * follow. */
void lru_remember(struct page *p);
/* p was used by a call or a fault; twice makes it active. */
void lru_used(struct page *p);
void lru_activate(struct page *p);
void lru_deactivate(struct page *p);
/* The page at the tail of a list goes to the head: its index, and its object with a reference. NULL: the list
 * is empty, or that object is going away. */
struct vm_object *lru_next(enum lru_kind kind, pgidx_t *idx);
struct lru_stats {
	uint64_t count[LRU_LISTS]; /* pages */
	uint64_t refaults;         /* pages that came back soon after they were evicted, ever */
};
void lru_stats(struct lru_stats *out);
/* Are the active pages more than the inactive ones can be compared with? */
bool lru_has_too_many_active(const struct lru_stats *s);

/* reclaim.c. Each returns frames freed. */
/* Clean pages of files from the zones in the mask, leaving `floor` active ones. Whatever sleeping locks are
 * held. */
uint64_t reclaim_cached(uint64_t npages, uint64_t floor, unsigned zones);
/* Volatile objects. The same. */
uint64_t reclaim_volatile(uint64_t npages);
/* Names and files that nobody uses. With no lock held. */
uint64_t reclaim_objects(void);
/* Have dirty pages written back; false: nobody did in time. Sleeps for a moment. */
bool reclaim_clean(void);
/* With no lock held: end objects whose last reference reclaim has dropped. Were there any? */
bool reclaim_put_orphans(void);

/* fork.c */
/* A cut of the file behind o that was noted in o concerns `other`, which has pages of o now, as well. */
void object_inherit_trim(struct vm_object *o, struct vm_object *other);

/* space.c */
/* End a map operation: unlock s, which is locked for writing, and free the regions that it gave up. */
void space_unlock(struct vm_space *s);
/* r, which left the set and its object's viewers, is freed when its space is unlocked. Locked for writing. */
void region_bury(struct region *r);
/* What an unmapping of [start, end) needs before its point of no return. */
struct unmap_kit {
	struct region *upper;    /* for a region that is cut in the middle */
	struct pt_reserve nodes; /* for the edges of page removals */
};
MUST_CHECK err_t unmap_reserve(struct vm_space *s, uaddr_t start, uaddr_t end, struct unmap_kit *kit);
/* Cannot fail. */
void unmap_commit(struct vm_space *s, uaddr_t start, uaddr_t end, struct unmap_kit *kit);
/* Not under the space's lock. */
void kit_fini(struct unmap_kit *kit);
/* Called with s locked: may `fresh` more pages of a region with these rights and flags be mapped, `gone` of
 * all regions' pages going at the same time, and be locked? -ENOMEM, -EAGAIN. limits may be NULL. */
MUST_CHECK err_t check_limits(const struct vm_space *s, const struct vm_limits *limits, unsigned prot,
    uint32_t flags, uint64_t fresh, uint64_t gone);
/* Highest free place of len bytes for a region that does not say where: below mmap_top, else anywhere. 0:
 * none. */
uaddr_t place_anywhere(const struct vm_space *s, uint64_t len, uaddr_t floor, uaddr_t ceiling);
/* Pages of regions in [start, end). Locked. */
uint64_t count_mapped(const struct vm_space *s, uaddr_t start, uaddr_t end);
/* Pages in [start, end) that are promised. Locked. */
uint64_t count_promised(const struct vm_space *s, uaddr_t start, uaddr_t end);
uint64_t count_locked(const struct vm_space *s, uaddr_t start, uaddr_t end);
struct region *region_alloc(struct vm_space *s);
void region_free(struct region *r);
/* Cut r at addr (inside r, page aligned): r keeps the lower part, `upper`, fresh from region_alloc, becomes
 * the rest. */
void region_split(struct region *r, uaddr_t addr, struct region *upper);
/* Join r with the neighbours that are like it; returns the region that contains what r did. */
struct region *region_merge(struct vm_space *s, struct region *r);
/* Set r's flags likewise. */
void region_set_flags(struct region *r, uint32_t flags);
/* Set r's bounds under the locks that reverse walkers hold. */
void region_set_bounds(struct region *r, uaddr_t start, uaddr_t end, pgidx_t offset);
/* space_guard.c */
/* What the space's guards make of a window that is to be mapped: its flags and *max_prot. -EACCES: not at
 * all. */
MUST_CHECK err_t guard_new_region(
    const struct vm_space *s, const struct vm_map_args *a, uint32_t *flags, unsigned *max_prot);
/* May r have these rights, as far as the guards are concerned? -EACCES. */
MUST_CHECK err_t guard_check_protect(const struct region *r, unsigned prot);
/* r is about to get these rights: what it loses by that for good. Locked for writing. */
void guard_note_protect(struct region *r, unsigned prot);
/* space_change.c: a range that is about to be changed, with the regions for its two cuts. */
struct change {
	struct vm_space *s;
	uaddr_t start, end;
	struct region *upper[2];
};
/* Round and check the range. -EINVAL, -ENOMEM (it wraps). Nothing is left to undo on failure. */
MUST_CHECK err_t change_init(struct change *c, struct vm_space *s, uaddr_t addr, uint64_t len);
void change_fini(struct change *c);
/* Called with s locked, the range covered by regions: set regions aside for the cuts. -ENOMEM. */
MUST_CHECK err_t change_reserve(struct change *c);
/* Cut regions at the ends of the range. Cannot fail. */
void change_cut(struct change *c);
/* Merge like neighbours in and around the range. */
void change_merge(struct change *c);

static inline bool range_is_valid(const struct vm_space *s, uaddr_t addr, uint64_t len)
{
	return IS_ALIGNED(addr, PAGE_SIZE) && len > 0 && addr >= s->regions.low && addr < s->regions.high &&
	       len <= s->regions.high - addr;
}

/* MMU flags for a translation of region r; write access is added by who knows that it is due. */
static inline unsigned region_mmu_flags(const struct region *r)
{
	return MMU_USER | MMU_READ | (r->prot & VM_EXEC ? MMU_EXEC : 0) |
	       (unlikely(r->flags & REGION_WRITE_COMBINING) ? MMU_WC << MMU_CACHE_SHIFT : 0);
}
