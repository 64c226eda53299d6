#pragma once
/*
 * frame.h - allocation of physical frames: buddy zones (frame.c, zone.c) behind per-CPU caches (pcp.c).
 *
 * Usable with spinlocks of rank below RANK_ZONE held; not in interrupt handlers. A request that fails asks
 * who was named by frame_set_pressure for memory, and tries again, if it may sleep: preemption is on,
 * whatever sleeping locks are held. Under a spinlock it returns NULL, and the caller does the same once it
 * has let go (vm_find_memory).
 *
 * Watermarks of a zone: below `low`, who reclaims in the background is woken, and works until `high` is
 * reached; below `min` only those go who may use the reserve: threads with THREAD_RESERVE, which clean pages
 * or are about to die, and requests with FRAME_RESERVE.
 */
#include "lib/err.h"
#include "mm/page.h"

struct bootinfo;

enum frame_flags {
	FRAME_ZERO = 1 << 0,    /* filled with zeros */
	FRAME_LOW = 1 << 1,     /* below 4 GiB */
	FRAME_RESERVE = 1 << 2, /* may use the reserve that keeps fault, writeback, exit able to run */
	FRAME_NOWAIT = 1 << 3,  /* NULL at once if there is none: it would be nice to have, no more */
};

enum {
	FRAME_MAX_ORDER = 10, /* largest block: 2^10 frames = 4 MiB */
	ZONE_LOW = 0,         /* [0, 4 GiB) */
	ZONE_HIGH = 1,        /* the rest */
	NZONES = 2,
};

/* Give all USABLE ranges of the boot map to the zones and make the zero page. On the boot CPU, before
 * anything allocates: it forgets whatever the zones had, so that a host test can start over with another map.
 * The port's early allocator ends here: whatever it took is already cut out of the map. Frame 0 is never
 * used. */
void frame_init(const struct bootinfo *info);
/* Add one range of usable frames [first, end) to the zones. The records of every 4 MiB block that the range
 * touches must be mapped; they are written when the block is opened. Used by frame_init, and later for memory
 * that boot code had kept (modules): at any time, from a thread. */
void frame_add_range(uint64_t first_pfn, uint64_t end_pfn);

/* One frame of the given kind (KERNEL, SLAB, TABLE, ANON, FILE): shares = pins = 0, the caller owns it. NULL:
 * none left. */
struct page *frame_alloc(enum page_kind kind, unsigned flags);
/* Up to n frames (n > 0) into out[0..], as frame_alloc gives them, that it would be nice to have: zones are
 * left their high watermark. Returns how many there are. They come from the zones, in blocks as large as can
 * be had, in the order of their addresses within each: cheaper than one by one, and zeroing them too. */
unsigned frame_alloc_batch(enum page_kind kind, unsigned flags, struct page **out, unsigned n);
/* The same from one place, frames that follow one another: for one large translation in the end.
 * frame_alloc_large takes the first n (at most MMU_LARGE_PAGES) of an aligned run of MMU_LARGE_PAGES and sets
 * the rest aside: it stays free, but is given to others last. frame_alloc_at takes [at, at + n) as far as
 * they are still free; `at` is in the same run as a frame in use. */
unsigned frame_alloc_large(enum page_kind kind, unsigned flags, struct page **out, unsigned n);
unsigned frame_alloc_at(enum page_kind kind, unsigned flags, struct page *at, struct page **out, unsigned n);
/* 2^order frames, physically contiguous, naturally aligned. The order is recorded in the first page. */
struct page *frame_alloc_order(enum page_kind kind, unsigned order, unsigned flags);
/* npages contiguous frames with the given alignment (bytes, a power of two >= PAGE_SIZE), wholly below
 * `limit` (bytes, 0: anywhere); up to FRAME_MAX_ORDER's size. Tail frames beyond npages are given back. Each
 * frame has a record of its own (kind, order 0): free them with frame_free_range, in one piece or in several,
 * or one at a time with frame_free or page_unshare. */
struct page *frame_alloc_contiguous(
    enum page_kind kind, uint64_t npages, uint64_t align, paddr_t limit, unsigned flags);
/* Give back what the matching call returned. shares and pins must be 0. Debug kernels poison the bytes and
 * catch double frees. */
void frame_free(struct page *p);
void frame_free_order(struct page *p, unsigned order);
void frame_free_range(struct page *p, uint64_t npages);

struct zone_stats {
	uint64_t total, free;                        /* frames; free includes CACHED and virgin ones */
	uint64_t free_by_order[FRAME_MAX_ORDER + 1]; /* blocks; unopened memory: as it will be listed */
	uint64_t cached;                             /* of `free`, in per-CPU caches */
	uint64_t min, low, high;                     /* watermarks, frames */
};
void frame_zone_stats(unsigned zone, struct zone_stats *out);
/* Frames free in all zones, caches included. Exact when nothing allocates. */
uint64_t frame_free_count(void);
uint64_t frame_total_count(void);
/* Frames in use of the kinds from PAGE_KERNEL on, by counters: quick, and exact when nobody allocates
 * meanwhile. */
void frame_count_used(uint64_t counts[PAGE_KINDS]);
/* Frames of each kind in use now, by counting records: for /proc/mm and tests. Slow. */
void frame_count_kinds(uint64_t counts[PAGE_KINDS]);
/* Return every cached frame of this CPU to its zone, so that blocks coalesce. */
void frame_drain_cpu(void);
/* The same for every CPU's cache, from any CPU and any context that may allocate: no other CPU is asked. */
void frame_drain_all(void);
/* True while free frames are below the low watermark. Cached frames do not count as free here. */
bool frame_is_low(void);
/* Is there a frame for a request without rights to the reserve? */
bool frame_has_room(void);
/* Frames missing to the high watermarks of zones that requests find short; *zones gets them as a mask. */
uint64_t frame_missing(unsigned *zones);
/* The zone of a frame. */
unsigned frame_zone(const struct page *p);

/* What a higher layer does when memory is short. */
struct frame_pressure {
	/* Memory is below `low`: begin to reclaim. Called with spinlocks up to RANK_SLAB held; may not sleep.
	 */
	void (*low)(void);
	/* npages are wanted and not there: find some. May sleep, whatever sleeping locks are held. False:
	 * there is nothing to be had. */
	bool (*find)(uint64_t npages);
};
void frame_set_pressure(const struct frame_pressure *p);
/* A request for npages has failed: should the caller try again, for the n-th time? Several frames in a row
 * may not come however many are free: those are tried for a few times only. May sleep, if the caller may. */
bool frame_try_again(uint64_t npages, unsigned n);
/* Check free lists, orders, coalescing, counts; panics on a violation. Locks each zone in turn. */
void frame_validate(void);
