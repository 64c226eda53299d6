#pragma once
/*
 * frame_priv.h - what frame.c, zone.c and pcp.c share.
 */
#include "arch/cpu.h"
#include "kern/spinlock.h"
#include "lib/bits.h"
#include "mm/frame.h"

enum {
	BLOCK_FRAMES =
	    1
	    << FRAME_MAX_ORDER, /* a block: the largest buddy block, and the unit in which memory is opened */
	ZONE_MAX_RUNS = 160,    /* more than a boot map has, and some that come later */
	PCP_SLOTS = 50,
	PCP_BATCH = 25, /* frames moved between a cache and its zone at a time */
};
#define ZONE_LOW_END (GIB(4) >> PAGE_SHIFT)

/* Usable frames [first, end). */
struct frame_run {
	uint64_t first, end;
};

/* Free blocks by order; guarded by the zone's lock. */
struct free_lists {
	uint32_t head[FRAME_MAX_ORDER + 1]; /* first block of each order's list; 0: empty */
	uint32_t nonempty;                  /* bit k: list k is not empty */
};

/*
 * (Z) zone lock. (z) written with the lock, read without it: a hint. Frame numbers of 32 bits: 16 TiB.
 */
struct zone {
	struct spinlock lock;
	struct free_lists plain, aside;        /* (Z) */
	uint64_t nblocks[FRAME_MAX_ORDER + 1]; /* (Z) in both */
	_Atomic uint64_t free;                 /* (z) frames on the lists and virgin ones */
	uint64_t virgin;                       /* (Z) frames of ours in blocks not yet opened */
	uint64_t cursor;        /* (Z) blocks of ours below this frame are open, all others are not */
	_Atomic uint64_t total; /* (z) frames of ours */
	_Atomic uint64_t min, low, high;      /* (z) watermarks, frames */
	unsigned nruns;                       /* (Z) */
	struct frame_run runs[ZONE_MAX_RUNS]; /* (Z) sorted, not overlapping, not adjacent */
};

enum { USED_KINDS = PAGE_KINDS - PAGE_KERNEL, PAGE_FLAG_BITS = PAGE_KIND_SHIFT - PAGE_FLAG_SHIFT };

/*
 * A per-CPU cache: a stack of frame numbers. Only its own CPU pushes and pops, with preemption disabled;
 * anyone may take a frame out of any slot by exchanging it with 0 (that is how another CPU drains it). Slots
 * at and above `count` are 0; those below may be, when somebody has taken from them.
 */
struct pcp {
	uint32_t count; /* own CPU */
	uint32_t limit; /* own CPU; 0 until its first use */
	_Atomic uint32_t slot[PCP_SLOTS];
	/* Frames that this CPU took into use and gave back, ever: of all CPUs together the difference is what
	 * is in use. Own CPU, read by anyone. Those taken are counted by kind from PAGE_KERNEL on, those
	 * given back by kind and flags as is_freeable has them at hand, so that each costs one instruction.
	 */
	uint64_t taken[USED_KINDS];
	uint64_t given[USED_KINDS << PAGE_FLAG_BITS];
} ALIGNED(1024);
_Static_assert(sizeof(struct pcp) == 1024, "indexed by a shift");

extern struct zone zones[NZONES];
extern struct pcp pcps[NZONES][MAX_CPUS];
/* The zone that ordinary requests try first: HIGH where the machine has it. Fast paths know it by its
 * caches and its first frame: on a machine without high memory every frame is normal. Set while the zones
 * are filled. */
extern unsigned zone_normal;
extern struct pcp *pcp_normal;
extern uint64_t pcp_normal_first;

static inline unsigned zone_of(uint64_t pfn)
{
	return pfn >= ZONE_LOW_END ? ZONE_HIGH : ZONE_LOW;
}

/* zone.c. REQUIRES the zone's lock where the name says so. */
void zone_init(struct zone *z);
void zone_add_run(struct zone *z, uint64_t first, uint64_t end);
/* Take a block of the order, leaving at least `keep` frames free. 0: none. Its records say CACHED. */
uint32_t zone_take_locked(struct zone *z, unsigned order, uint64_t keep);
/* The same for npages frames with an alignment (frames) and an end (frame number); what is beyond them goes
 * back at once. */
uint32_t zone_take_run_locked(struct zone *z, uint64_t npages, uint64_t align, uint64_t limit, uint64_t keep);
/* As many of the frames [pfn, pfn + n) as are free, up to the first one that is not, which must be in an
 * open block. What is left of the blocks that they were in is set aside. Returns how many. */
uint64_t zone_take_at_locked(struct zone *z, uint64_t pfn, uint64_t n, uint64_t keep);
/* The first n frames of an aligned run of MMU_LARGE_PAGES free ones, the rest of which is set aside. 0: there
 * is none. */
uint32_t zone_take_large_locked(struct zone *z, uint64_t n, uint64_t keep);
/* Put CACHED frames [pfn, pfn + n) back. */
void zone_give_locked(struct zone *z, uint64_t pfn, uint64_t n);
void zone_stats_locked(struct zone *z, struct zone_stats *out);
void zone_validate_locked(struct zone *z);
/* Call fn(p, arg) for the record of each opened frame of ours; virgin frames are only counted, in the return
 * value. */
uint64_t zone_each_record_locked(struct zone *z, void (*fn)(struct page *p, void *arg), void *arg);

/* frame.c. Frames that a request with these flags, by the current thread, leaves in z. */
uint64_t zone_keep(const struct zone *z, unsigned flags);
/* A request has taken from zone and found it below its low watermark. */
void frame_note_low(unsigned zone);

/* page.c. Panics; not declared to, so that it can be called last and costs frame_free no stack frame. */
void frame_bad_free(struct page *p);

/* pcp.c. Preemption disabled where a cache is named. */
void pcp_set_normal(unsigned zone);
/* A frame for an order-0 request that found the cache empty; 0: none left. */
uint32_t pcp_alloc_slow(unsigned flags);
/* Push onto a cache that is full or not in use yet. */
void pcp_free_slow(struct pcp *c, uint32_t pfn);
void pcp_drain(struct pcp *c);
/* Frames in all CPUs' caches of one zone. */
uint64_t pcp_count(unsigned zone);
void pcp_reset(void);
void pcp_validate(void);

static ALWAYS_INLINE uint32_t pcp_pop(struct pcp *c)
{
	uint32_t n = c->count;
	if (unlikely(!n))
		return 0;
	c->count = --n;
	return atomic_exchange_explicit(&c->slot[n], 0, memory_order_acquire);
}
static ALWAYS_INLINE bool pcp_try_push(struct pcp *c, uint32_t pfn)
{
	uint32_t n = c->count;
	if (unlikely(n >= c->limit))
		return false;
	c->count = n + 1;
	store_release(&c->slot[n], pfn);
	return true;
}
static ALWAYS_INLINE void pcp_push(struct pcp *c, uint32_t pfn)
{
	if (unlikely(!pcp_try_push(c, pfn)))
		pcp_free_slow(c, pfn);
}

/* Debug kernels fill free frames with this. */
#define FRAME_POISON 0x6b6b6b6b6b6b6b6bULL

/* State word of a frame with the given kind and flags, order and counts 0. */
static inline uint64_t frame_state(enum page_kind kind, unsigned flags)
{
	return (uint64_t)kind << PAGE_KIND_SHIFT | (uint64_t)flags << PAGE_FLAG_SHIFT;
}
