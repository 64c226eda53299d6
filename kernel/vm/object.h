#pragma once
/*
 * object.h - VM objects: where pages come from. See docs/vm.md.
 *
 * Kinds:
 *	ANON  zero-filled memory. Private (belongs to one space, its viewers never overlap) or shared.
 *	      May have a backing: a file's object whose pages show wherever it has none itself (private file
 *	      mappings). At most one level, never a chain: a backing is a FILE object, or a shared one that is
 *	      the memory of a file that lies in no other place (VM_RESIDENT: tmpfs, memfd).
 *	FILE  the page cache of one file; pages are read and written through ops. Never cloned, never has a backing.
 *	PHYS  a fixed physical range (device memory), no pages of its own.
 *
 * Letters: (L) object lock; (C) constant after creation; (P) the purge list's lock; (S) lock of the space
 * that owns a private object, for writing; (A) atomic
 */
#include "kern/spinlock.h"
#include "kern/waitq.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "mm/frame.h"
#include "vm/page_tree.h"

struct vm_object;

enum vm_kind { VM_ANON, VM_FILE, VM_PHYS };

enum vm_object_flags {
	VM_PRIVATE =
	    1 << 0, /* (C) ANON of a private mapping: index = page number of the address where it was made */
	VM_PURGEABLE = 1 << 1, /* (C) ANON: may be made volatile */
	VM_NORESERVE = 1 << 3, /* (C) shared ANON: its pages are not promised (commit.c) */
	VM_RESIDENT =
	    1 << 2, /* (C) ANON, shared: its pages are all there is of a file; has ops, may be a backing */
	/* (C) Of VM_RESIDENT, what native programs ask for: */
	VM_GUARDED = 1 << 4,    /* vma_map leaves a page free on either side */
	VM_RING = 1 << 5,       /* vma_map shows it twice in a row */
	VM_CONTIGUOUS = 1 << 6, /* its pages are all there, one behind the other, and stay */
	VM_WRITE_COMBINING =
	    1 << 7, /* with CONTIGUOUS: programs' stores are gathered, not cached; the kernel does
					not touch it */
	VM_KINDS = VM_GUARDED | VM_RING | VM_CONTIGUOUS | VM_WRITE_COMBINING,
};

enum volatile_state {
	VOLATILE_NO,     /* nobody takes its pages */
	VOLATILE_YES,    /* the kernel may take its pages at any time; on the purge list */
	VOLATILE_PURGED, /* they were taken; still volatile, off the list until something is written */
};

/* Who keeps purgeable memory from being taken. */
struct vm_holder {
	bool holds;    /* (L) */
	uint64_t seen; /* (L) what `purges` was when it let go */
};

/* What the object of a file asks of it. FILE objects: called with no lock held; may sleep. Pages are BUSY and
 * pinned meanwhile. */
struct vm_file_ops {
	/* Fill n pages from index idx on; bytes beyond the end of the file are zeroed. 0, -EIO, -ENOMEM, ...
	 */
	err_t (*read)(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n);
	/* Write n pages back. NULL: the object is never dirty (a write fault on it is -EACCES). */
	err_t (*write)(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n);
	/* A mapping is about to write to page idx, which is clean: have room on the disk for it (-ENOSPC ...:
	 * the access is a bus error). Called with no lock held, the page may leave meanwhile. NULL: nothing
	 * to do. */
	err_t (*may_dirty)(struct vm_object *o, pgidx_t idx);
	/* VM_RESIDENT, which has these three and none of the above. Object locked: may not sleep. A page more
	 * is wanted; -ENOSPC. */
	err_t (*charge)(struct vm_object *o);
	/* That many have left. (What is there at the end `release` has to count.) */
	void (*uncharge)(struct vm_object *o, uint64_t npages);
	/* clone, empty so far, is about to get all pages of o. */
	void (*cloned)(struct vm_object *o, struct vm_object *clone);
	/* The last reference is gone but the pages are still there: the time to write them back. May sleep.
	 * NULL: nothing to do. */
	void (*closing)(struct vm_object *o);
	/* The last reference is gone; release what priv points to. NULL: nothing to release. */
	void (*release)(struct vm_object *o);
};

struct vm_object {
	struct spinlock lock;
	struct refcount refs;  /* (A) */
	enum vm_kind kind;     /* (C) */
	unsigned flags;        /* (C) enum vm_object_flags */
	struct page_tree tree; /* (L) ANON, FILE */
	pgidx_t npages;        /* (L) indices >= npages do not exist: -EIO. Private ANON: PT_INDEX_MAX + 1 */
	uint64_t
	    generation; /* (L) changes with the tree and with every clone: what was seen before the lock was dropped still holds if it did not */
	uint64_t npresent;           /* (L) private ANON: pages in its tree (resident.c) */
	uint64_t ndirty, nwriteback; /* (L) FILE: pages with these marks */
	struct list viewers;         /* (L) regions by view_link that look at this object */
	struct list
	    backed; /* (L) FILE, VM_RESIDENT: regions by backing_link that see it behind a private object */
	struct vm_object *backing; /* (C) ANON: counted; NULL: none */
	pgidx_t trim;     /* lock of the backing: the file was cut here; private pages from it on are void */
	struct list pins; /* (L) struct vm_pin by link: pages somebody writes to now */
	struct waitq io_wait; /* (L) is its predicate lock: woken when a page stops being BUSY or pinned */
	const struct vm_file_ops *ops; /* (C) FILE, VM_RESIDENT; others: NULL */
	void *priv;                    /* (C) for ops */
	err_t write_error;             /* (L) FILE: first write error not reported yet */
	_Atomic bool
	    written_by_map; /* (A) FILE, VM_RESIDENT: a shared window was written to since somebody asked: the file's times change */
	paddr_t phys;                  /* (C) PHYS: first byte */
	enum mmu_cache cache;          /* (C) PHYS */
	enum volatile_state vol_state; /* (L) NO: somebody holds it, or it is not purgeable */
	unsigned holders;              /* (L) of vm_holders that hold it */
	uint64_t purges;               /* (L) how often pages were taken */
	struct vm_holder owner;        /* (L) not VM_RESIDENT: whoever has it mapped */
	struct list purge_link;        /* (P) */
	uint64_t promised;             /* (L) pages that commit.c counts for it: shared ANON */
	struct vm_object *fork_clone;  /* (S) the clone that this fork made of it, while a fork runs */
};

/* A page that somebody copies to or does I/O on. Writers are on the object's list, so that a clone gets its
 * own copy of just those. */
struct vm_pin {
	struct list link;         /* object lock */
	struct vm_object *object; /* counted */
	pgidx_t index;
	struct page *page; /* pinned */
	bool write;
};

void vm_object_init_cache(void);

/* An anonymous object. flags: VM_PRIVATE, VM_PURGEABLE. npages: its size (ignored for VM_PRIVATE). backing
 * (or NULL) is a FILE object; a reference is taken. -ENOMEM. */
MUST_CHECK err_t object_create_anon(
    unsigned flags, pgidx_t npages, struct vm_object *backing, struct vm_object **out);
MUST_CHECK err_t object_create_file(
    const struct vm_file_ops *ops, void *priv, pgidx_t npages, struct vm_object **out);
/* The memory of a file that lies nowhere else: an ANON object with VM_RESIDENT and `flags` (VM_PURGEABLE, of
 * VM_KINDS). -ENOMEM. */
MUST_CHECK err_t object_create_resident(
    const struct vm_file_ops *ops, void *priv, unsigned flags, pgidx_t npages, struct vm_object **out);
/* o, VM_CONTIGUOUS and seen by nobody else, gets all its pages: zeros. -ENOMEM: so many in a row are not free
 * (never more than CONTIGUOUS_MAX); -ENOSPC. What it has then, object_put gives back. May sleep. */
enum { CONTIGUOUS_MAX = 1 << FRAME_MAX_ORDER }; /* pages */
MUST_CHECK err_t object_fill_contiguous(struct vm_object *o);
/* Where it lies. */
paddr_t object_contiguous_at(struct vm_object *o);
/* [paddr, paddr + npages * PAGE_SIZE), page aligned. */
MUST_CHECK err_t object_create_phys(
    paddr_t paddr, pgidx_t npages, enum mmu_cache cache, struct vm_object **out);
/* Is it what files are mapped by? */
static inline bool object_is_file(const struct vm_object *o)
{
	return o->kind == VM_FILE || (o->flags & VM_RESIDENT);
}
static inline void object_get(struct vm_object *o)
{
	ref_get(&o->refs);
}
/* The last put frees it: there are no viewers then. No spinlock held. May sleep (release). */
void object_put(struct vm_object *o);

/* A copy of o as it is now, in O(1): shares every page. o: ANON. Pages that are pinned for writing are
 * copied. Viewers of a shared o are write-protected. The copy is private if o is, has the same backing and
 * volatile state. -ENOMEM: nothing changed. */
MUST_CHECK err_t object_clone(struct vm_object *o, struct vm_object **out);
/* The same for the memory of a file: `clone`, of the same flags, empty and seen by nobody else, becomes a
 * copy of o. */
MUST_CHECK err_t object_clone_into(struct vm_object *o, struct vm_object *clone);
/* Set the number of pages. Shrinking unmaps the tail everywhere, waits for I/O on it and frees it; growing
 * reads zeros. -ENOMEM: nothing changed. Not for private or PHYS objects (-EINVAL). May sleep. Resizes of a
 * FILE object are serialised by the caller (its file's lock). */
MUST_CHECK err_t object_resize(struct vm_object *o, pgidx_t npages);
/* Drop the pages of [first, end) from the object and every translation of them: they read as zeros (ANON), as
 * the backing, or are read again (FILE; dirty ones are kept, -EBUSY). -ENOMEM: nothing changed. May sleep. */
MUST_CHECK err_t object_discard(struct vm_object *o, pgidx_t first, pgidx_t end);

/* FILE: drop the pages of [first, end) though they are dirty: what they hold is not wanted any more. Waits
 * for I/O on them. Nobody maps or holds them. */
void object_forget(struct vm_object *o, pgidx_t first, pgidx_t end);
/* FILE: have a page of zeros at idx without reading it, if there is none. The caller pins it next, and looks
 * whether it is. -ENOMEM, -EIO (beyond the end). May sleep. */
MUST_CHECK err_t object_fill_zero(struct vm_object *o, pgidx_t idx);
/* FILE: sleep until no page of [first, end) is being read or written back. */
void object_wait(struct vm_object *o, pgidx_t first, pgidx_t end);
/* FILE: page p at idx, which the caller holds pinned, was changed: it has to be written back. */
void object_mark_dirty(struct vm_object *o, pgidx_t idx, const struct page *p);

/* Purgeable objects. h holds o, of which nothing can be taken then; *was_purged: something was since h let
 * go. That h holds it already is no error (false). */
void object_hold(struct vm_object *o, struct vm_holder *h, bool *was_purged);
/* h does not hold o, or not any more. The last who lets go makes o volatile; again while it is volatile:
 * moves it to the young end of the purge order. */
void object_let_go(struct vm_object *o, struct vm_holder *h);
/* Take the pages of the least recently volatile object. Returns frames really freed; *more = there was one to
 * try. */
uint64_t vm_purge_one(bool *more);
/* Pages of all volatile objects, and frames that purging has freed since boot. May sleep. */
struct vm_purge_stats {
	uint64_t objects, pages, freed;
};
void vm_purge_stats(struct vm_purge_stats *out);

/* FILE: write all dirty pages of [first, end) back and wait. Returns the first error; pages that failed stay
 * dirty. */
MUST_CHECK err_t object_sync(struct vm_object *o, pgidx_t first, pgidx_t end);

/* The page at idx, brought in if need be and pinned for the kernel to read or write through the direct map:
 * what read(2) and write(2) are made of. Writing marks FILE pages dirty. vm_unpin (vm/fault.h) ends it. -EIO
 * (beyond the end, I/O error), -EACCES (a FILE that cannot be written), -ENOMEM, -EINTR; PHYS,
 * VM_WRITE_COMBINING: -EINVAL. May sleep. */
MUST_CHECK err_t object_pin(struct vm_object *o, pgidx_t idx, bool write, struct vm_pin *pin);
/* The same for who goes on in the page that he used last: it counts as one use, however small the pieces are.
 */
MUST_CHECK err_t object_pin_again(struct vm_object *o, pgidx_t idx, bool write, struct vm_pin *pin);

/* FILE: how many pages it has. */
uint64_t object_page_count(struct vm_object *o);
struct object_counts {
	uint64_t dirty, writeback;
	uint64_t mapped; /* all its pages, if anybody maps it */
};
void object_count(struct vm_object *o, struct object_counts *out);
/* The same marks of all objects together, in pages. */
void vm_dirty_counts(uint64_t *dirty, uint64_t *writeback);
/* Pages that were written back since boot. */
uint64_t vm_written_count(void);
/* Is there no page at idx? Of a VM_RESIDENT object that is a hole, to be read as zeros without making a page.
 */
bool object_is_absent(struct vm_object *o, pgidx_t idx);
/* Are there dirty pages, or pages being written back? */
bool object_is_dirty(struct vm_object *o);

/* Called with o locked: remove every translation of [first, end), by viewers and through private objects in
 * front, and flush. Returns with o locked, nothing may enter these pages meanwhile as entering needs the
 * lock. */
void object_unmap_locked(struct vm_object *o, pgidx_t first, pgidx_t end);
/* Called with o locked: take write access away from every viewer's translations of [first, end), and flush.
 */
void object_write_protect_locked(struct vm_object *o, pgidx_t first, pgidx_t end);

/* Check the object's invariants; panics on a violation. */
void object_validate(struct vm_object *o);
