/*
 * zone.c - buddy zones.
 *
 * A zone knows the usable frames of its part of physical memory as a short sorted list of runs. Memory is
 * handed to the buddy lists in *blocks* of 1024 frames (4 MiB, aligned), one at a time and only when a
 * request finds the lists empty: a block is then *opened*, its 1024 records are written - frames inside a
 * run become FREE, holes and ragged edges RESERVED - and its runs are cut into naturally aligned pieces. So
 * boot does not touch the records of memory that nobody asked for, and the records of unopened blocks may
 * hold anything.
 *
 *	runs      |--------|   |--------------------------------------------|
 *	blocks  |        |        |        |        |        |        |        |
 *	                   opened  <- cursor ->  virgin
 *
 * Free blocks of 2^k frames are on list k, linked by frame numbers inside their first records, which have
 * PAGE_HEAD and order k; all other frames of a free block are FREE with order 0. Merging looks only at the
 * record of the buddy, which lies in the same 4 MiB block and so was written when that was opened. A hole's
 * record says RESERVED, which is no buddy.
 *
 * Set aside. Each order has two lists, and the second one is looked at last. On it is what is left of an
 * aligned run of 512 frames when somebody takes its first ones because he is about to want the others, by
 * their numbers (zone_take_at_locked), for one large translation. So to reserve is an order among free
 * blocks, no state of an owner: such frames are free like all others, whoever needs them takes them when
 * there is nothing else, nothing has to be given back, and what somebody has reserved and does not use any
 * more is whole again when the frames he did use come back. A block that is merged of parts of which one was
 * aside is aside itself; from 512 frames on it is not.
 *
 * Invariants (zone_validate_locked):
 *	F1  a block on list k (either of them, as its PAGE_ASIDE says) is aligned to 2^k frames, lies inside one run, below the cursor, and its
 *	    records say FREE.
 *	F2  a block and its buddy are never both on lists k < FRAME_MAX_ORDER.
 *	F3  free = sum over k of nblocks[k] << k, + virgin; virgin = frames of runs at or above the
 *	    cursor.
 *	F4  bit k of nonempty is set exactly when list k has a block, and links go both ways. Only blocks
 *	    below 512 frames are aside.
 *	F5  every FREE record of the zone belongs to exactly one listed block.
 *
 * Rejected: bitmaps (they cannot say what a used frame is used for), lists on the heap (the allocator would
 * need itself), writing all records at boot (16 GiB: 128 MiB of records).
 */
#include "lib/string.h"
#include "mm/frame_priv.h"

struct zone zones[NZONES] = {
    [ZONE_LOW] = {.lock = SPINLOCK_INIT("zone low", RANK_ZONE)},
    [ZONE_HIGH] = {.lock = SPINLOCK_INIT("zone high", RANK_ZONE)},
};

enum { LARGE_ORDER = 9 };
_Static_assert(1 << LARGE_ORDER == MMU_LARGE_PAGES, "the frames of a large translation");

/* The state of a listed block's first record, apart from PAGE_POISONED and PAGE_ASIDE. */
static uint64_t head_state(unsigned order)
{
	return frame_state(PAGE_FREE, PAGE_HEAD) | (uint64_t)order << PAGE_ORDER_SHIFT;
}

static bool is_free_head(struct page *p, unsigned order)
{
	return (load_relaxed(&p->state) & ~frame_state(0, PAGE_POISONED | PAGE_ASIDE)) == head_state(order);
}

static bool is_aside(struct page *p)
{
	return page_test_flag(p, PAGE_ASIDE);
}

/* Make p the listed head of a block of `order`, or an inner frame again. Its poison flag stays. */
static void set_head(struct page *p, unsigned order, bool aside)
{
	store_relaxed(&p->state, head_state(order) | frame_state(0, aside ? PAGE_ASIDE : 0) |
				     (load_relaxed(&p->state) & frame_state(0, PAGE_POISONED)));
}

static void clear_head(struct page *p)
{
	store_relaxed(
	    &p->state, frame_state(PAGE_FREE, 0) | (load_relaxed(&p->state) & frame_state(0, PAGE_POISONED)));
}

static void list_insert(struct zone *z, uint32_t pfn, unsigned order, bool aside)
{
	struct free_lists *lists = aside ? &z->aside : &z->plain;
	struct page *p = pfn_to_page(pfn);
	set_head(p, order, aside);
	p->link_prev = 0;
	p->link_next = lists->head[order];
	if (p->link_next)
		pfn_to_page(p->link_next)->link_prev = pfn;
	lists->head[order] = pfn;
	lists->nonempty |= 1u << order;
	z->nblocks[order]++;
}

static void list_unlink(struct zone *z, uint32_t pfn, unsigned order)
{
	struct page *p = pfn_to_page(pfn);
	if (!is_free_head(p, order))
		page_panic(p, "a block on a free list is not free");
	struct free_lists *lists = is_aside(p) ? &z->aside : &z->plain;
	if (p->link_prev)
		pfn_to_page(p->link_prev)->link_next = p->link_next;
	else
		lists->head[order] = p->link_next;
	if (p->link_next)
		pfn_to_page(p->link_next)->link_prev = p->link_prev;
	if (!lists->head[order])
		lists->nonempty &= ~(1u << order);
	z->nblocks[order]--;
	clear_head(p);
}

static void add_free(struct zone *z, int64_t frames)
{
	store_relaxed(&z->free, load_relaxed(&z->free) + (uint64_t)frames);
}

/* List a block, merging it with its buddy as long as that is free as a whole. */
static void insert_merged(struct zone *z, uint64_t pfn, unsigned order, bool aside)
{
	while (order < FRAME_MAX_ORDER) {
		uint64_t buddy = pfn ^ (1ULL << order);
		if (!is_free_head(pfn_to_page(buddy), order))
			break;
		aside |= is_aside(pfn_to_page(buddy));
		list_unlink(z, (uint32_t)buddy, order);
		pfn &= ~(1ULL << order);
		order++;
	}
	list_insert(z, (uint32_t)pfn, order, aside && order < LARGE_ORDER);
}

/* Order of the largest naturally aligned block that begins [pfn, pfn + n). */
static unsigned piece_order(uint64_t pfn, uint64_t n)
{
	unsigned order = MIN(bit_highest(n), (unsigned)FRAME_MAX_ORDER);
	return pfn ? MIN(order, bit_lowest(pfn)) : order;
}

static void insert_run(struct zone *z, uint64_t pfn, uint64_t n, bool aside)
{
	while (n) {
		unsigned order = piece_order(pfn, n);
		insert_merged(z, pfn, order, aside);
		pfn += 1ULL << order;
		n -= 1ULL << order;
	}
}

/* Frames on their way between a zone and an owner are CACHED, so that F5 holds whenever the lock is free. */
static void mark_run(uint64_t pfn, uint64_t n, enum page_kind from, enum page_kind to)
{
	for (struct page *p = pfn_to_page(pfn); n--; p++) {
		uint64_t state = load_relaxed(&p->state), poisoned = state & frame_state(0, PAGE_POISONED);
		if (state != (frame_state(from, 0) | poisoned))
			page_panic(p, "a frame between a zone and its owner has a wrong state");
		store_relaxed(&p->state, frame_state(to, 0) | poisoned);
	}
}

void zone_give_locked(struct zone *z, uint64_t pfn, uint64_t n)
{
	ASSERT_HELD(&z->lock);
	mark_run(pfn, n, PAGE_CACHED, PAGE_FREE);
	insert_run(z, pfn, n, false);
	add_free(z, (int64_t)n);
}

/* Write the records of a block: RESERVED everywhere, then FREE where a run is, which goes to the lists. */
static void open_block(struct zone *z, uint64_t base)
{
	memset((void *)pfn_to_page(base), 0, BLOCK_FRAMES * sizeof(struct page));
	for (unsigned i = 0; i < BLOCK_FRAMES; i++)
		page_set_kind(pfn_to_page(base + i), PAGE_RESERVED, 0);
	for (unsigned r = 0; r < z->nruns; r++) {
		uint64_t first = MAX(z->runs[r].first, base), end = MIN(z->runs[r].end, base + BLOCK_FRAMES);
		if (first >= end)
			continue;
		for (uint64_t pfn = first; pfn < end; pfn++)
			page_set_kind(pfn_to_page(pfn), PAGE_FREE, 0);
		insert_run(z, first, end - first, false);
		z->virgin -= end - first;
	}
}

/* Open the next block that holds frames of ours. False: all are open. */
static bool open_next(struct zone *z)
{
	for (unsigned r = 0; r < z->nruns; r++) {
		if (z->runs[r].end <= z->cursor)
			continue;
		uint64_t base = ALIGN_DOWN(MAX(z->runs[r].first, z->cursor), BLOCK_FRAMES);
		z->cursor = base + BLOCK_FRAMES;
		open_block(z, base);
		return true;
	}
	return false;
}

void zone_init(struct zone *z)
{
	memset(z, 0, sizeof *z);
	spin_init(&z->lock, "zone", RANK_ZONE);
}

/* Put a run into the sorted array, joined with its neighbours. */
static void note_run(struct zone *z, uint64_t first, uint64_t end)
{
	unsigned at = 0;
	while (at < z->nruns && z->runs[at].end < first)
		at++;
	unsigned joined = 0; /* runs [at, at + joined) touch the new one */
	while (at + joined < z->nruns && z->runs[at + joined].first <= end) {
		struct frame_run *r = &z->runs[at + joined++];
		ASSERT(r->end == first || r->first == end); /* no frame is added twice */
		first = MIN(first, r->first);
		end = MAX(end, r->end);
	}
	ASSERT(z->nruns + 1 - joined <= ZONE_MAX_RUNS);
	memmove(&z->runs[at + 1], &z->runs[at + joined], (z->nruns - at - joined) * sizeof z->runs[0]);
	z->runs[at] = (struct frame_run){first, end};
	z->nruns += 1 - joined;
}

static bool block_has_run(struct zone *z, uint64_t base)
{
	for (unsigned r = 0; r < z->nruns; r++) {
		if (z->runs[r].first < base + BLOCK_FRAMES && z->runs[r].end > base)
			return true;
	}
	return false;
}

/* Frames [first, end) of one block below the cursor: if the block is open its records are ours to change;
 * else open it for them. */
static void add_below_cursor(struct zone *z, uint64_t first, uint64_t end)
{
	uint64_t base = ALIGN_DOWN(first, BLOCK_FRAMES);
	bool open = block_has_run(z, base);
	note_run(z, first, end);
	if (!open) {
		open_block(z, base);
		return;
	}
	for (uint64_t pfn = first; pfn < end; pfn++) {
		if (page_kind(pfn_to_page(pfn)) != PAGE_RESERVED)
			page_panic(pfn_to_page(pfn), "a frame is given to its zone twice");
		page_set_kind(pfn_to_page(pfn), PAGE_FREE, 0);
	}
	insert_run(z, first, end - first, false);
	z->virgin -= end - first;
}

static void set_watermarks(struct zone *z)
{
	uint64_t min = MIN(load_relaxed(&z->total) / 128, MIB(8) >> PAGE_SHIFT);
	store_relaxed(&z->min, min);
	store_relaxed(&z->low, 2 * min);
	store_relaxed(&z->high, 3 * min);
}

void zone_add_run(struct zone *z, uint64_t first, uint64_t end)
{
	ASSERT(first && first < end && end <= UINT32_MAX);
	spin_lock(&z->lock);
	add_free(z, (int64_t)(end - first));
	z->virgin += end - first;
	store_relaxed(&z->total, load_relaxed(&z->total) + end - first);
	set_watermarks(z);
	while (first < MIN(end, z->cursor)) {
		uint64_t stop = MIN(end, ALIGN_DOWN(first, BLOCK_FRAMES) + BLOCK_FRAMES);
		add_below_cursor(z, first, stop);
		first = stop;
	}
	if (first < end)
		note_run(z, first, end);
	spin_unlock(&z->lock);
}

/* Take block pfn of list `from` and give back all but its first n frames. */
static uint32_t carve(struct zone *z, uint32_t pfn, unsigned from, uint64_t n)
{
	bool aside = is_aside(pfn_to_page(pfn));
	list_unlink(z, pfn, from);
	insert_run(z, pfn + n, (1ULL << from) - n, aside);
	mark_run(pfn, n, PAGE_FREE, PAGE_CACHED);
	add_free(z, -(int64_t)n);
	return pfn;
}

/* Open blocks until there is one in the lists of the mask that are not set aside. */
static bool have_plain(struct zone *z, uint32_t orders)
{
	while (!(z->plain.nonempty & orders))
		if (!open_next(z))
			return false;
	return true;
}

uint32_t zone_take_locked(struct zone *z, unsigned order, uint64_t keep)
{
	ASSERT_HELD(&z->lock);
	if (load_relaxed(&z->free) < keep + (1ULL << order))
		return 0;
	uint32_t orders = (~0u << order);
	bool aside = !have_plain(z, orders);
	const struct free_lists *lists = aside ? &z->aside : &z->plain;
	if (!(lists->nonempty & orders))
		return 0;
	unsigned from = bit_lowest(lists->nonempty & orders);
	uint32_t pfn = lists->head[from];
	list_unlink(z, pfn, from);
	while (from > order) { /* the upper halves cannot merge: their buddy is in use */
		from--;
		list_insert(z, pfn + (1u << from), from, aside);
	}
	mark_run(pfn, 1ULL << order, PAGE_FREE, PAGE_CACHED);
	add_free(z, -(1LL << order));
	return pfn;
}

/* The listed block that has frame pfn in it: its first frame; 0: pfn is not free. */
static uint64_t block_around(uint64_t pfn, unsigned *order)
{
	for (unsigned k = 0; k <= FRAME_MAX_ORDER; k++) {
		uint64_t first = ALIGN_DOWN(pfn, 1ULL << k);
		if (is_free_head(pfn_to_page(first), k)) {
			*order = k;
			return first;
		}
	}
	return 0;
}

uint64_t zone_take_at_locked(struct zone *z, uint64_t pfn, uint64_t n, uint64_t keep)
{
	ASSERT_HELD(&z->lock);
	uint64_t at = pfn, first, end = pfn + n;
	unsigned order;
	if (load_relaxed(&z->free) < keep + n)
		return 0;
	while (at < end && (first = block_around(at, &order))) {
		uint64_t behind = first + (1ULL << order), stop = MIN(end, behind);
		list_unlink(z, (uint32_t)first, order);
		insert_run(z, first, at - first, true);
		insert_run(z, stop, behind - stop, true);
		at = stop;
	}
	mark_run(pfn, at - pfn, PAGE_FREE, PAGE_CACHED);
	add_free(z, -(int64_t)(at - pfn));
	return at - pfn;
}

uint32_t zone_take_large_locked(struct zone *z, uint64_t n, uint64_t keep)
{
	const uint32_t orders = ~0u << LARGE_ORDER;
	ASSERT_HELD(&z->lock);
	if (load_relaxed(&z->free) < keep + n || !have_plain(z, orders))
		return 0;
	uint32_t pfn = z->plain.head[bit_lowest(z->plain.nonempty & orders)];
	uint64_t taken = zone_take_at_locked(z, pfn, n, keep);
	ASSERT(taken == n);
	return pfn;
}

/* A listed block that begins with npages frames as wanted. */
static uint32_t find_run(
    const struct free_lists *lists, uint64_t npages, uint64_t align, uint64_t limit, unsigned *order)
{
	for (unsigned k = order_of(npages); k <= FRAME_MAX_ORDER; k++) {
		for (uint32_t pfn = lists->head[k]; pfn; pfn = pfn_to_page(pfn)->link_next) {
			if (IS_ALIGNED(pfn, align) && pfn + npages <= limit) {
				*order = k;
				return pfn;
			}
		}
	}
	return 0;
}

uint32_t zone_take_run_locked(struct zone *z, uint64_t npages, uint64_t align, uint64_t limit, uint64_t keep)
{
	ASSERT_HELD(&z->lock);
	if (load_relaxed(&z->free) < keep + npages)
		return 0;
	unsigned order;
	uint32_t pfn = find_run(&z->plain, npages, align, limit, &order);
	while (!pfn && z->cursor < limit && open_next(z))
		pfn = find_run(&z->plain, npages, align, limit, &order);
	if (!pfn)
		pfn = find_run(&z->aside, npages, align, limit, &order);
	return pfn ? carve(z, pfn, order, npages) : 0;
}

void zone_stats_locked(struct zone *z, struct zone_stats *out)
{
	*out = (struct zone_stats){
	    .total = load_relaxed(&z->total),
	    .free = load_relaxed(&z->free),
	    .min = load_relaxed(&z->min),
	    .low = load_relaxed(&z->low),
	    .high = load_relaxed(&z->high),
	};
	memcpy(out->free_by_order, z->nblocks, sizeof z->nblocks);
	for (unsigned r = 0; r < z->nruns; r++) {
		uint64_t pfn = MAX(z->runs[r].first, z->cursor);
		while (pfn < z->runs[r].end) {
			unsigned order = piece_order(pfn, z->runs[r].end - pfn);
			out->free_by_order[order]++;
			pfn += 1ULL << order;
		}
	}
}

uint64_t zone_each_record_locked(struct zone *z, void (*fn)(struct page *p, void *arg), void *arg)
{
	for (unsigned r = 0; r < z->nruns; r++) {
		for (uint64_t pfn = z->runs[r].first; pfn < MIN(z->runs[r].end, z->cursor); pfn++)
			fn(pfn_to_page(pfn), arg);
	}
	return z->virgin;
}

/* F1, F2: one listed block. */
static void validate_block(struct zone *z, uint32_t pfn, unsigned order)
{
	struct page *p = pfn_to_page(pfn);
	uint64_t n = 1ULL << order;
	if (!is_free_head(p, order) || !IS_ALIGNED(pfn, n) || pfn + n > z->cursor)
		page_panic(p, "F1: a listed block is not a free block of its list's order");
	bool inside = false;
	for (unsigned r = 0; r < z->nruns; r++)
		inside |= z->runs[r].first <= pfn && pfn + n <= z->runs[r].end;
	if (!inside)
		page_panic(p, "F1: a listed block has frames that are not ours");
	for (uint64_t i = 1; i < n; i++) {
		uint64_t state = load_relaxed(&p[i].state) & ~frame_state(0, PAGE_POISONED);
		if (state != frame_state(PAGE_FREE, 0))
			page_panic(&p[i], "F1: a frame of a free block is not free");
	}
	if (order < FRAME_MAX_ORDER && is_free_head(pfn_to_page(pfn ^ n), order))
		page_panic(p, "F2: buddies are both free and not merged");
}

static void count_free(struct page *p, void *arg)
{
	if (page_kind(p) == PAGE_FREE)
		++*(uint64_t *)arg;
}

/* F4, and F1 and F2 for what is on these lists; adds up blocks. Returns frames. */
static uint64_t validate_lists(struct zone *z, const struct free_lists *lists, uint64_t *nblocks)
{
	uint64_t listed = 0;
	for (unsigned k = 0; k <= FRAME_MAX_ORDER; k++) {
		uint64_t n = 0;
		uint32_t prev = 0;
		for (uint32_t pfn = lists->head[k]; pfn; prev = pfn, pfn = pfn_to_page(pfn)->link_next) {
			ASSERT(pfn_to_page(pfn)->link_prev == prev);
			ASSERT(is_aside(pfn_to_page(pfn)) == (lists == &z->aside));
			validate_block(z, pfn, k);
			n++;
		}
		ASSERT(!!(lists->nonempty & 1u << k) == !!n);
		nblocks[k] += n;
		listed += n << k;
	}
	ASSERT(lists == &z->plain || !(lists->nonempty >> LARGE_ORDER));
	return listed;
}

void zone_validate_locked(struct zone *z)
{
	ASSERT_HELD(&z->lock);
	uint64_t records = 0, virgin = 0, nblocks[FRAME_MAX_ORDER + 1] = {0};
	uint64_t listed = validate_lists(z, &z->plain, nblocks) + validate_lists(z, &z->aside, nblocks);
	ASSERT(memcmp(nblocks, z->nblocks, sizeof(nblocks)) == 0); /* F4 */
	for (unsigned r = 0; r < z->nruns; r++) {
		uint64_t first = MAX(z->runs[r].first, z->cursor);
		virgin += first < z->runs[r].end ? z->runs[r].end - first : 0;
	}
	ASSERT(virgin == z->virgin && listed + virgin == load_relaxed(&z->free)); /* F3 */
	zone_each_record_locked(z, count_free, &records);
	ASSERT(records == listed); /* F5 */
}
