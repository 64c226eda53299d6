#pragma once
/*
 * page.h - struct page, the 32-byte record of a 4 KiB frame.
 *
 * `state` is one atomic word, so that the question "was that the last one?" has one answer:
 *
 *	bits  0-31  shares  page-tree slots that name the page (other kinds: references)
 *	bits 32-47  pins    somebody copies to or from it, or does I/O on it, now
 *	bits 48-51  order   of a block, in its first page: FREE in a zone, or allocated as a block
 *	bits 52-55  flags   enum page_flags
 *	bits 56-63  kind    enum page_kind
 *
 * Whoever makes shares and pins both 0 frees the frame. Pins never cause a copy; nobody frees a pinned page.
 *
 * Kinds and transitions:
 *
 *	RESERVED (never ours)       VIRGIN -> FREE (first touch of its block by the zone)
 *	FREE <-> CACHED             zone free list <-> per-CPU cache
 *	FREE, CACHED -> KERNEL | SLAB | TABLE | ANON | FILE | SHMEM -> CACHED, FREE
 *
 * A kind changes only while shares = pins = 0 and exactly one thread owns the page.
 *
 * (Z) zone lock while FREE, whoever takes it out of its slot while CACHED, else the owner named by the kind:
 * page
 *     cache: object lock; tables: context lock.
 * (O) lock of the object that owns the page (kind FILE); fixed while the page is in the tree.
 */
#include "arch/mmu.h"
#include "lib/assert.h"
#include "lib/atomic.h"

struct vm_object;

enum page_kind {
	PAGE_VIRGIN = 0, /* record never written: memory that the zone has not opened yet */
	PAGE_RESERVED,   /* hole, firmware, kernel image */
	PAGE_FREE,       /* in a zone; only the first page of a block is on a list */
	PAGE_CACHED,     /* free, in a per-CPU cache */
	PAGE_KERNEL,     /* raw frames: stacks, buffers, boot data */
	PAGE_SLAB,
	PAGE_TABLE, /* page table of an MMU context */
	PAGE_ANON,
	PAGE_FILE,
	PAGE_SHMEM, /* anonymous memory that several processes may see: shared mappings, files in memory */
	PAGE_KINDS,
};

enum page_flags {
	PAGE_BUSY = 1 << 0,       /* FILE: I/O under way; contents not valid yet if it is a read */
	PAGE_REFERENCED = 1 << 1, /* FILE: used once since it came */
	PAGE_ACTIVE = 1 << 2,     /* FILE: on the list of active pages (vm/lru.c) */
	/* While a frame is free the same bits say: */
	PAGE_HEAD = 1 << 0,  /* FREE: first frame of a block on a zone list */
	PAGE_ASIDE = 1 << 1, /* FREE, HEAD: the block is set aside (mm/zone.c) */
	PAGE_POISONED =
	    1 << 2, /* FREE, CACHED: its bytes are poison, checked before it is used again (debug) */
};

struct page {
	_Atomic uint64_t state;
	union {
		struct { /* FREE blocks in a zone list, lists of the owner: frame numbers, 0 = end */
			uint32_t link_next, link_prev; /* (Z) */
		};
		struct {                       /* TABLE */
			uint32_t table_next;   /* chain in a gather */
			uint32_t table_counts; /* entries present; how: the port's mmu */
		};
		uint32_t ahead; /* (O) ANON: see vm/fault_ahead.c */
	};
	union {
		struct vm_object *object; /* (O) FILE: whose page cache it is in */
		void *slab;               /* SLAB: the slab's cache */
		void *owner;              /* TABLE: the context */
	};
	/* (O) FILE: index in the object. ANON: see vm/fault_ahead.c. SLAB: free list and count, packed by
	 * slab.c */
	pgidx_t index;
};
_Static_assert(sizeof(struct page) == 32, "a frame's record is 32 bytes");

/* The array of records, indexed by frame number, comes from the port: `page_records`. */
static inline struct page *pfn_to_page(uint64_t pfn)
{
	return &page_records[pfn];
}
static inline uint64_t page_to_pfn(const struct page *p)
{
	return (uint64_t)(p - page_records);
}
static inline paddr_t page_to_phys(const struct page *p)
{
	return page_to_pfn(p) << PAGE_SHIFT;
}
static inline struct page *phys_to_page(paddr_t pa)
{
	return pfn_to_page(pa >> PAGE_SHIFT);
}
/* The frame's bytes through the direct map. */
static inline void *page_to_virt(const struct page *p)
{
	return phys_to_virt(page_to_phys(p));
}
static inline struct page *virt_to_page(const void *v)
{
	return phys_to_page(virt_to_phys(v));
}

#define PAGE_PIN_ONE     (1ULL << 32)
#define PAGE_COUNTS      0x0000ffffffffffffULL /* shares and pins */
#define PAGE_KIND_SHIFT  56
#define PAGE_FLAG_SHIFT  52
#define PAGE_ORDER_SHIFT 48

static inline enum page_kind page_kind(const struct page *p)
{
	return (enum page_kind)(load_relaxed(&p->state) >> PAGE_KIND_SHIFT);
}
static inline uint32_t page_shares(const struct page *p)
{
	return (uint32_t)load_acquire(&p->state);
}
static inline uint32_t page_pins(const struct page *p)
{
	return (uint32_t)(load_relaxed(&p->state) >> 32) & 0xffff;
}
static inline unsigned page_order(const struct page *p)
{
	return (unsigned)(load_relaxed(&p->state) >> PAGE_ORDER_SHIFT) & 0xf;
}
static inline bool page_test_flag(const struct page *p, enum page_flags f)
{
	return (load_acquire(&p->state) >> PAGE_FLAG_SHIFT) & f;
}
static inline void page_set_flag(struct page *p, enum page_flags f)
{
	fetch_or_acq_rel(&p->state, (uint64_t)f << PAGE_FLAG_SHIFT);
}
static inline void page_clear_flag(struct page *p, enum page_flags f)
{
	fetch_and_acq_rel(&p->state, ~((uint64_t)f << PAGE_FLAG_SHIFT));
}
/* Set kind and order of a page that one thread owns: shares, pins and flags become 0. */
static inline void page_set_kind(struct page *p, enum page_kind kind, unsigned order)
{
	store_relaxed(&p->state, (uint64_t)kind << PAGE_KIND_SHIFT | (uint64_t)order << PAGE_ORDER_SHIFT);
}

/* One more slot names the page. The caller owns a share already, or holds the lock of an object whose tree
 * has one. */
static inline void page_share(struct page *p)
{
	uint64_t old = fetch_add_relaxed(&p->state, 1);
	ASSERT((uint32_t)old != UINT32_MAX);
}
/* One slot fewer. Frees the frame if that was the last share and no pin is left; returns 1 if it was freed,
 * else 0. */
unsigned page_unshare(struct page *p);
/* Keep the frame from being freed. The caller holds the lock of an object whose tree names it. False: too
 * many pins (65,535); try again later. */
static inline MUST_CHECK bool page_pin(struct page *p)
{
	uint64_t old = load_relaxed(&p->state);
	do {
		ASSERT(old & PAGE_COUNTS);
		if ((old >> 32 & 0xffff) == 0xffff)
			return false;
	} while (!cas_acquire(&p->state, &old, old + PAGE_PIN_ONE));
	return true;
}
/* Undo page_pin; frees the frame if no share and no other pin is left (1), else 0. Any context that may take
 * RANK_ZONE. */
unsigned page_unpin(struct page *p);

/* Stop the machine and say what is wrong with a frame's record. */
NORETURN void page_panic(const struct page *p, const char *why);

/* Shared page of zeros; mapped read-only wherever nothing was written yet. Kind RESERVED, in no tree, never
 * shared or pinned. */
extern struct page *zero_page;
