#pragma once
/*
 * region.h - windows of a space onto objects, and the ordered set of them: pure logic, no page is touched
 * here.
 *
 * Letters: (S) the space's lock; (SO) space lock and object lock: either to read, both to write; (O) object
 * lock; (B) the backing's lock; (C) constant
 */
#include "lib/list.h"
#include "lib/rbtree.h"
#include "vm/object.h"

struct vm_space;

enum vm_prot { VM_READ = 1, VM_WRITE = 2, VM_EXEC = 4, VM_RWX = 7 }; /* the numbers of Linux's PROT_* */

enum region_flags {
	REGION_SHARED = 1 << 0, /* MAP_SHARED: fork makes another window on the same object */
	REGION_STACK = 1 << 1,
	REGION_IMMUTABLE = 1 << 2,    /* -EPERM for unmap, protect, move and replace until the space dies */
	REGION_DONTFORK = 1 << 3,     /* not in the child */
	REGION_WIPEONFORK = 1 << 4,   /* zeros in the child */
	REGION_GROWSDOWN = 1 << 5,    /* a fault below it extends it down; others keep their distance */
	REGION_LOCKED = 1 << 6,       /* its pages stay in memory */
	REGION_LOCK_ONFAULT = 1 << 7, /* with LOCKED: once they are there; nothing is brought in before */
	REGION_DONTDUMP = 1 << 8,     /* not in core dumps */
	REGION_ACCOUNT = 1 << 9, /* its pages are promised (commit.c): it is private and was writable once */
	REGION_NORESERVE = 1 << 10, /* nothing is promised for it */
	REGION_CALLS =
	    1 << 11, /* a program's or library's code: under GUARD_CALLS, system calls may come from it */
	REGION_RANDOM = 1 << 12,   /* used in no order: nothing is served ahead of write faults */
	REGION_LARGE = 1 << 13,    /* large translations are advised, */
	REGION_NO_LARGE = 1 << 14, /* or not wanted: vm/large.c */
	REGION_GUARDED =
	    1 << 15, /* the page below it and that above it are given to nobody who does not ask for
				      just them */
	REGION_WRITE_COMBINING = 1 << 16, /* its object's memory is not cached: VM_WRITE_COMBINING */
	REGION_LOCK_MASK = REGION_LOCKED | REGION_LOCK_ONFAULT,
	REGION_MARKS = REGION_STACK | REGION_CALLS, /* what threads remember: space.serial */
};

enum {
	REGION_GUARD = 256 * PAGE_SIZE, /* bytes kept free below a region that grows down, as on Linux */
	REGIONS_MAX = 65530,            /* windows of a space: vm.max_map_count of Linux */
};

/* What a window shows, in the words of a higher layer: an open file. Only counted and compared here. */
struct vm_name_ops {
	void (*get)(void *what);
	void (*put)(void *what); /* may sleep; no lock held */
	/* A window has come, and has gone, besides the references that it has: whoever only looks has those
	 * too. `mapped` may not sleep. NULL: nobody counts. */
	void (*mapped)(void *what);
	void (*unmapped)(void *what);
};
struct vm_name {
	const struct vm_name_ops *ops; /* NULL: it has none */
	void *what;
};
static inline void vm_name_get(const struct vm_name *n)
{
	if (n->ops)
		n->ops->get(n->what);
}
static inline void vm_name_put(const struct vm_name *n)
{
	if (n->ops)
		n->ops->put(n->what);
}

/* The references of a window. */
static inline void vm_name_map(const struct vm_name *n)
{
	vm_name_get(n);
	if (n->ops && n->ops->mapped)
		n->ops->mapped(n->what);
}
static inline void vm_name_unmap(const struct vm_name *n)
{
	if (n->ops && n->ops->unmapped)
		n->ops->unmapped(n->what);
	vm_name_put(n);
}

struct region {
	struct rb_node node; /* (S) by start */
	uint64_t gap;        /* (S) free bytes between the region before and this one, less what both guard */
	uint64_t max_gap;    /* (S) largest gap in the subtree */
	uaddr_t start, end;  /* (SO) */
	pgidx_t offset;      /* (SO) object index of `start` */
	struct vm_space *space;   /* (C) */
	struct vm_object *object; /* (C) counted */
	struct vm_name name;      /* (C) counted */
	uint8_t prot;             /* (SO) enum vm_prot: what is allowed now */
	uint8_t max_prot;         /* (S) what mprotect may reach; only ever less */
	uint32_t flags;           /* (SO) enum region_flags */
	struct list view_link;    /* (O) object->viewers; (S) once it views nothing: space->graves */
	struct list backing_link; /* (B) object->backing->backed */
};

static inline pgidx_t region_index(const struct region *r, uaddr_t addr)
{
	return r->offset + ((addr - r->start) >> PAGE_SHIFT);
}
static inline uaddr_t region_addr(const struct region *r, pgidx_t idx)
{
	return r->start + ((idx - r->offset) << PAGE_SHIFT);
}
static inline uint64_t region_npages(const struct region *r)
{
	return (r->end - r->start) >> PAGE_SHIFT;
}
/* Bytes below it, and above it, that are not given to others. */
static inline uint64_t region_guard_below(const struct region *r)
{
	if (r->flags & REGION_GROWSDOWN)
		return REGION_GUARD;
	return r->flags & REGION_GUARDED ? PAGE_SIZE : 0;
}
static inline uint64_t region_guard_above(const struct region *r)
{
	return r->flags & REGION_GUARDED ? PAGE_SIZE : 0;
}
/* Where the addresses begin that may be given to others, behind r; `low` if there is no r. */
static inline uaddr_t region_free_from(const struct region *r, uaddr_t low)
{
	return r ? r->end + region_guard_above(r) : low;
}
static inline bool region_is_private(const struct region *r)
{
	return !(r->flags & REGION_SHARED);
}
/* Of an immutable region: may its contents not be thrown away either, as nobody could have written them?
 * (What is shared is not the region's.) */
static inline bool region_keeps_contents(unsigned flags, unsigned prot)
{
	return (flags & (REGION_IMMUTABLE | REGION_SHARED)) == REGION_IMMUTABLE && !(prot & VM_WRITE);
}

struct region_set {
	struct rb_tree tree;
	uaddr_t low, high; /* addresses that the set may use: [low, high) */
	uint64_t count;
};

void region_set_init(struct region_set *s, uaddr_t low, uaddr_t high);
/* The region that contains addr, or NULL. */
struct region *region_find(const struct region_set *s, uaddr_t addr);
/* The first region with end > addr, or NULL. */
struct region *region_find_from(const struct region_set *s, uaddr_t addr);
struct region *region_next(const struct region *r);
struct region *region_prev(const struct region *r);
/* Put r, which overlaps nothing, into the set. */
void region_insert(struct region_set *s, struct region *r);
void region_remove(struct region_set *s, struct region *r);
/* r's bounds changed within its free neighbourhood: repair the gaps. */
void region_update(struct region_set *s, struct region *r);
/* The highest free range of len bytes that ends at or below `limit` and starts at or above `floor`, in no
 * region's guard; O(log n). 0: none. */
uaddr_t region_find_gap(
    const struct region_set *s, uint64_t len, uint64_t align, uaddr_t floor, uaddr_t limit);
/* Check order, disjointness, gaps and augmentation; panics on a violation. */
void region_set_validate(const struct region_set *s);
