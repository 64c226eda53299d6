/*
 * lru.c - which pages of the page cache are worth their frames.
 *
 *	            used again                     judged by reclaim.c
 *	  new ──▶ INACTIVE ────────▶ ACTIVE            from the tails
 *	            ▲   │ ▲            │
 *	 came back  │   │ └────────────┘ not used lately
 *	  soon: ACTIVE  ▼
 *	          evicted: remembered as a ghost
 *
 * A page enters the inactive list and has to be used a second time to become active; so a file that is read
 * once passes through the inactive list and leaves what others use alone. The lists are clocks: the hand
 * takes the tail and puts it in front, and whoever judges it moves it if need be.
 *
 * A page of a working set that is larger than the inactive list would be evicted before its second use, each
 * time. For that there are ghosts: of an evicted page the hash of its name and the time are kept, time being
 * counted in pages that left the inactive list. If it is read again within as much time as the active list is
 * long, it would have stayed, had it been there instead of the least used active page: it becomes active at
 * once. (This is the refault distance of Linux, and what the test list of CLOCK-Pro decides.) Ghosts are a
 * table of sets of eight: about half a byte for each frame of the machine. Two names with one hash cost a
 * page a place that it did not earn.
 *
 * Rejected: one clock with a used bit (the seed: a scan makes every page used); a timestamp for each page (no
 * room in 32 bytes); ghosts in the page trees (a slot would be a page or not).
 *
 * Locking: lru_lock (RANK_PURGE), inside object locks. Which list a page is on is told by PAGE_ACTIVE,
 * changed under lru_lock by whoever holds the object's lock too.
 */
#include "vm/vm_priv.h"

enum {
	GHOST_WAYS = 8, /* entries of a set: half a cache line */
	GHOST_TIME_BITS = 12,
	GHOST_SPAN = 4, /* memories' worth of pages until the time wraps */
	FRAMES_PER_GHOST = 8,
	GHOSTS_MIN = 1024,
	GHOSTS_MAX = 1 << 20, /* 4 MiB: one block of frames */
	ACTIVE_SHARE_BIG = 3, /* a large machine keeps as many active pages for one inactive */
};

/* Linked by frame numbers in the page records; 0: none. New pages enter at the head. */
struct lru_list {
	uint32_t head, tail;
	uint64_t count;
};

static struct spinlock lru_lock = SPINLOCK_INIT("page cache list", RANK_PURGE);
static struct lru_list lists[LRU_LISTS]; /* lru_lock */
static uint64_t left;        /* lru_lock: pages that left the inactive list, ever: the time of ghosts */
static uint64_t nrefaults;   /* lru_lock: pages that came back soon */
static uint32_t *ghosts;     /* lru_lock: tag << GHOST_TIME_BITS | time; 0: empty. NULL: none are kept */
static uint64_t ghost_sets;  /* a power of two */
static unsigned ghost_shift; /* time of a ghost in units of 2^shift pages */

/* --- lists --- */

static enum lru_kind kind_of(const struct page *p)
{
	return page_test_flag(p, PAGE_ACTIVE) ? LRU_ACTIVE : LRU_INACTIVE;
}

static void push(struct page *p, enum lru_kind kind)
{
	struct lru_list *l = &lists[kind];
	uint32_t pfn = (uint32_t)page_to_pfn(p);
	p->link_prev = 0;
	p->link_next = l->head;
	if (l->head)
		pfn_to_page(l->head)->link_prev = pfn;
	else
		l->tail = pfn;
	l->head = pfn;
	l->count++;
}

static void take_out(struct page *p, enum lru_kind kind)
{
	struct lru_list *l = &lists[kind];
	if (p->link_prev)
		pfn_to_page(p->link_prev)->link_next = p->link_next;
	else
		l->head = p->link_next;
	if (p->link_next)
		pfn_to_page(p->link_next)->link_prev = p->link_prev;
	else
		l->tail = p->link_prev;
	l->count--;
}

/* --- ghosts --- */

void lru_init(void)
{
	uint64_t least = MIN(MAX(frame_total_count() / FRAMES_PER_GHOST, GHOSTS_MIN), GHOSTS_MAX);
	uint64_t entries = 1ULL << order_of(least);
	uint64_t npages = DIV_ROUND_UP(entries * sizeof(ghosts[0]), PAGE_SIZE);
	ghost_sets = entries / GHOST_WAYS;
	ghost_shift = 0;
	while ((1ULL << (GHOST_TIME_BITS + ghost_shift)) < GHOST_SPAN * frame_total_count())
		ghost_shift++;
	struct page *p = frame_alloc_contiguous(PAGE_KERNEL, npages, PAGE_SIZE, 0, FRAME_ZERO);
	ghosts = p ? page_to_virt(p) : NULL; /* without it nothing is remembered */
}

static uint64_t name_hash(const struct vm_object *o, pgidx_t idx)
{
	uint64_t h = ((uintptr_t)o ^ idx * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

/* Never 0, so that no entry of a page is. */
static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32 & (BIT(32 - GHOST_TIME_BITS) - 1)) | 1;
}

static uint32_t ghost_now(void)
{
	return (uint32_t)(left >> ghost_shift & (BIT(GHOST_TIME_BITS) - 1));
}

static uint32_t ghost_age(uint32_t entry)
{
	return (ghost_now() - entry) & (uint32_t)(BIT(GHOST_TIME_BITS) - 1);
}

/* In an empty place, or in the place of the oldest of its set. */
static void remember(const struct vm_object *o, pgidx_t idx)
{
	uint64_t hash = name_hash(o, idx);
	uint32_t *set = &ghosts[(hash & (ghost_sets - 1)) * GHOST_WAYS], *at = set;
	for (unsigned i = 0; i < GHOST_WAYS && *at; i++)
		if (!set[i] || ghost_age(set[i]) > ghost_age(*at))
			at = &set[i];
	*at = tag_of(hash) << GHOST_TIME_BITS | ghost_now();
}

/* Was the page evicted not longer ago than it would have stayed on the active list? It is a ghost no more. */
static bool came_back_soon(const struct vm_object *o, pgidx_t idx)
{
	uint64_t hash = name_hash(o, idx);
	uint32_t *set = &ghosts[(hash & (ghost_sets - 1)) * GHOST_WAYS];
	for (unsigned i = 0; i < GHOST_WAYS; i++) {
		if (set[i] >> GHOST_TIME_BITS != tag_of(hash))
			continue;
		uint64_t distance = (uint64_t)ghost_age(set[i]) << ghost_shift;
		set[i] = 0;
		return distance <= lists[LRU_ACTIVE].count;
	}
	return false;
}

/* --- pages come, are used, go --- */

void lru_add(struct page *p)
{
	spin_lock(&lru_lock);
	bool soon = ghosts && came_back_soon(p->object, p->index);
	nrefaults += soon;
	if (soon)
		page_set_flag(p, PAGE_ACTIVE);
	push(p, soon ? LRU_ACTIVE : LRU_INACTIVE);
	spin_unlock(&lru_lock);
}

void lru_remove(struct page *p)
{
	spin_lock(&lru_lock);
	take_out(p, kind_of(p));
	spin_unlock(&lru_lock);
}

void lru_remember(struct page *p)
{
	spin_lock(&lru_lock);
	left++;
	if (ghosts)
		remember(p->object, p->index);
	spin_unlock(&lru_lock);
}

/* p moves to the head of a list. */
static void move(struct page *p, enum lru_kind to)
{
	spin_lock(&lru_lock);
	enum lru_kind from = kind_of(p);
	if (from != to) {
		take_out(p, from);
		page_clear_flag(p, PAGE_ACTIVE | PAGE_REFERENCED);
		if (to == LRU_ACTIVE)
			page_set_flag(p, PAGE_ACTIVE);
		push(p, to);
		left += from == LRU_INACTIVE && to == LRU_ACTIVE;
	}
	spin_unlock(&lru_lock);
}

void lru_activate(struct page *p)
{
	move(p, LRU_ACTIVE);
}

void lru_deactivate(struct page *p)
{
	move(p, LRU_INACTIVE);
}

void lru_used(struct page *p)
{
	if (!page_test_flag(p, PAGE_REFERENCED))
		page_set_flag(p, PAGE_REFERENCED);
	else if (!page_test_flag(p, PAGE_ACTIVE))
		lru_activate(p);
}

/* --- the hands --- */

struct vm_object *lru_next(enum lru_kind kind, pgidx_t *idx)
{
	struct vm_object *o = NULL;
	spin_lock(&lru_lock);
	if (lists[kind].tail) {
		struct page *p = pfn_to_page(lists[kind].tail);
		take_out(p, kind);
		push(p, kind);
		*idx = p->index;
		o = ref_try_get(&p->object->refs) ? p->object : NULL;
	}
	spin_unlock(&lru_lock);
	return o;
}

void lru_stats(struct lru_stats *out)
{
	spin_lock(&lru_lock);
	for (unsigned i = 0; i < LRU_LISTS; i++)
		out->count[i] = lists[i].count;
	out->refaults = nrefaults;
	spin_unlock(&lru_lock);
}

bool lru_has_too_many_active(const struct lru_stats *s)
{
	uint64_t share = frame_total_count() >= GIB(1) >> PAGE_SHIFT ? ACTIVE_SHARE_BIG : 1;
	return s->count[LRU_ACTIVE] > s->count[LRU_INACTIVE] * share;
}
