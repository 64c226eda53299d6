/*
 * frame.c - the frame allocator's face: requests go to this CPU's cache (pcp.c) if they are for one frame,
 * else to the zones (zone.c).
 *
 * Who owns a frame's record: a zone while it is FREE (zone lock), a CPU's cache while it is CACHED (whoever
 * takes it out of its slot), else the one who was given the frame. A frame changes hands by its number coming
 * out of a slot or a list; only then is its state written. So the state needs no lock of its own, and says
 * the truth about every frame of an opened block.
 *
 * A request that may not use the reserve leaves `min` frames in each zone; that is what the fault, writeback
 * and exit paths live on when memory is short. Before any request fails, frames lying in other CPUs' caches
 * are taken back: for one frame pcp_alloc_slow steals it, for blocks all caches are drained, so that what was
 * torn apart by caching grows together again.
 *
 * Debug kernels fill freed frames with poison and check it when they are handed out again: writes through
 * stale pointers are found, and the frame named. The address sanitizer is told instead, in its kernels.
 */
#include "arch/bootinfo.h"
#include "kern/thread.h"
#include "lib/inject.h"
#include "lib/kasan.h"
#include "lib/string.h"
#include "mm/frame_priv.h"
#ifdef CONFIG_HOST
#include "machine/host.h" /* mock_frame_freed: does a TLB still translate to it? */
#endif

#ifdef CONFIG_DEBUG
/* Fill a frame that its owner gives back. */
static void poison(struct page *p)
{
	memset(page_to_virt(p), FRAME_POISON & 0xff, PAGE_SIZE);
	page_set_flag(p, PAGE_POISONED);
}

static void check_poison(struct page *p)
{
	if (!page_test_flag(p, PAGE_POISONED))
		return;
	const uint64_t *word = page_to_virt(p);
	for (unsigned i = 0; i < PAGE_SIZE / sizeof *word; i++) {
		if (word[i] != FRAME_POISON) {
			page_panic(p, "a free frame was written to");
		}
	}
}
#else
static inline void poison(struct page *p)
{
	kasan_poison(page_to_virt(p), PAGE_SIZE, KASAN_FRAME_FREE);
}
static inline void check_poison(struct page *p)
{
	kasan_unpoison(page_to_virt(p), PAGE_SIZE);
}
#endif

/* May a frame in this state be given back? In use by a kind that the allocator hands out, nobody counts on
 * it, not a block: with kind and flags rotated to the bottom that is one comparison. They are told from
 * PAGE_KERNEL on. */
static ALWAYS_INLINE bool is_freeable(uint64_t state, uint64_t *kind_flags)
{
	*kind_flags =
	    (state << (64 - PAGE_FLAG_SHIFT) | state >> PAGE_FLAG_SHIFT) - (PAGE_KERNEL << PAGE_FLAG_BITS);
	return *kind_flags < USED_KINDS << PAGE_FLAG_BITS;
}

/* An owner's frame becomes CACHED; false, and nothing changed, if it must not. Of two threads that free
 * the same frame, debug kernels catch the second. */
static ALWAYS_INLINE bool mark_free(struct page *p, uint64_t *kind_flags)
{
#ifdef CONFIG_DEBUG
	uint64_t old = load_relaxed(&p->state);
	if (!is_freeable(old, kind_flags) || !cas_acq_rel(&p->state, &old, frame_state(PAGE_CACHED, 0)))
		return false;
#ifdef CONFIG_HOST
	mock_frame_freed(p, 1);
#endif
	poison(p);
#else
	if (unlikely(!is_freeable(load_relaxed(&p->state), kind_flags)))
		return false;
	store_relaxed(&p->state, frame_state(PAGE_CACHED, 0));
	poison(p);
#endif
	return true;
}

/* n frames of this kind are in use from now on. */
static void count_taken(enum page_kind kind, uint64_t n)
{
	preempt_disable();
	pcp_normal[cpu_id()].taken[kind - PAGE_KERNEL] += n;
	preempt_enable();
}

static void mark_used(struct page *p, uint64_t n, enum page_kind kind, unsigned flags)
{
	count_taken(kind, n);
	for (uint64_t i = 0; i < n; i++) {
		check_poison(&p[i]);
		page_set_kind(&p[i], kind, 0);
	}
	if (flags & FRAME_ZERO)
		memset(page_to_virt(p), 0, n << PAGE_SHIFT);
}

static ALWAYS_INLINE struct page *hand_out(uint32_t pfn, enum page_kind kind)
{
	struct page *p = pfn_to_page(pfn);
	check_poison(p);
	page_set_kind(p, kind, 0);
	return p;
}

/* --- when memory is short --- */

static const struct frame_pressure *_Atomic pressure; /* NULL: nobody reclaims */

void frame_set_pressure(const struct frame_pressure *p)
{
	store_release(&pressure, p);
}

uint64_t zone_keep(const struct zone *z, unsigned flags)
{
	const struct thread *t = current_thread();
	bool reserve = (flags & FRAME_RESERVE) || (t && (load_relaxed(&t->flags) & THREAD_RESERVE));
	return reserve ? 0 : load_relaxed(&z->min);
}

static bool zone_is_low(unsigned zone)
{
	return load_relaxed(&zones[zone].free) < load_relaxed(&zones[zone].low);
}

void frame_note_low(unsigned zone)
{
	const struct frame_pressure *p = load_acquire(&pressure);
	for (unsigned i = 0; i < zone; i++)
		if (load_relaxed(&zones[i].total) && !zone_is_low(i))
			return; /* requests go on there */
	if (p && p->low)
		p->low();
}

bool frame_has_room(void)
{
	for (unsigned i = 0; i < NZONES; i++)
		if (load_relaxed(&zones[i].free) > load_relaxed(&zones[i].min))
			return true;
	return false;
}

unsigned frame_zone(const struct page *p)
{
	return zone_of(page_to_pfn(p));
}

uint64_t frame_missing(unsigned *mask)
{
	uint64_t missing = 0;
	*mask = 0;
	for (unsigned i = 0; i < NZONES; i++) {
		uint64_t free = load_relaxed(&zones[i].free), high = load_relaxed(&zones[i].high);
		if (free < high) {
			missing += high - free;
			*mask |= 1u << i;
		} else if (i == ZONE_LOW && load_relaxed(&zones[ZONE_HIGH].total)) {
			return 0; /* what finds the zone above short goes here */
		}
	}
	return missing;
}

bool frame_try_again(uint64_t npages, unsigned n)
{
	enum { RUN_TRIES = 3 };
	const struct frame_pressure *p = load_acquire(&pressure);
	if (!p || preempt_count() != 0 || !irq_is_enabled() || (npages > 1 && n > RUN_TRIES))
		return false;
	return p->find(npages);
}

/* --- single frames --- */

static NOINLINE struct page *alloc_waiting(enum page_kind kind, unsigned flags)
{
	uint32_t pfn = 0;
	for (unsigned n = 1; !pfn && !(flags & FRAME_NOWAIT) && frame_try_again(1, n); n++) {
		preempt_disable();
		pfn = pcp_alloc_slow(flags);
		if (pfn)
			count_taken(kind, 1);
		preempt_enable();
	}
	return pfn ? hand_out(pfn, kind) : NULL;
}

/* The cache is empty. Entered with preemption disabled, leaves with it enabled. */
static NOINLINE struct page *alloc_slow(enum page_kind kind, unsigned flags)
{
	uint32_t pfn = pcp_alloc_slow(flags);
	if (pfn)
		count_taken(kind, 1);
	preempt_enable();
	return pfn ? hand_out(pfn, kind) : alloc_waiting(kind, flags);
}

static NOINLINE struct page *resched_and_return(struct page *p)
{
	preempt_check();
	return p;
}

/* Pop, as a leaf function: whatever needs a frame of its own is called last. */
static ALWAYS_INLINE struct page *alloc_from(struct pcp *caches, enum page_kind kind, unsigned flags)
{
	preempt_disable();
	struct pcp *c = &caches[cpu_id()];
	uint32_t pfn = pcp_pop(c);
	if (unlikely(!pfn))
		return alloc_slow(kind, flags);
	c->taken[kind - PAGE_KERNEL]++;
	struct page *p = hand_out(pfn, kind);
	compiler_barrier();
	preempt_count_add(-1);
	return unlikely(cpu_need_resched()) ? resched_and_return(p) : p;
}

static NOINLINE struct page *alloc_special(enum page_kind kind, unsigned flags)
{
	struct page *p = alloc_from(flags & FRAME_LOW ? pcps[ZONE_LOW] : pcp_normal, kind, flags);
	if (p && flags & FRAME_ZERO)
		memset(page_to_virt(p), 0, PAGE_SIZE);
	return p;
}

struct page *frame_alloc(enum page_kind kind, unsigned flags)
{
	if (inject_should_fail())
		return NULL;
	if (unlikely(flags & (FRAME_ZERO | FRAME_LOW)))
		return alloc_special(kind, flags);
	return alloc_from(pcp_normal, kind, flags);
}

/* A frame of the zone that is not the normal one, or that finds its cache full. Entered with preemption
 * disabled, leaves with it enabled. */
static NOINLINE void free_slow(struct page *p)
{
	uint64_t pfn = page_to_pfn(p);
	pcp_push(&pcps[zone_of(pfn)][cpu_id()], (uint32_t)pfn);
	preempt_enable();
}

/* A leaf function, like frame_alloc. */
void frame_free(struct page *p)
{
	uint64_t kind_flags;
	if (unlikely(!mark_free(p, &kind_flags))) {
		frame_bad_free(p);
		return;
	}
	uint64_t pfn = page_to_pfn(p);
	preempt_disable();
	struct pcp *c = &pcp_normal[cpu_id()];
	c->given[kind_flags]++;
	if (unlikely(pfn < pcp_normal_first || !pcp_try_push(c, (uint32_t)pfn)))
		free_slow(p);
	else
		preempt_enable();
}

/* Take up to n frames out of a zone that has more than its high watermark, the largest blocks first. */
static unsigned take_blocks(struct zone *z, struct page **out, unsigned n)
{
	uint64_t free = load_relaxed(&z->free), keep = load_relaxed(&z->high);
	unsigned got = 0, order = FRAME_MAX_ORDER;
	if (free <= keep)
		return 0;
	n = (unsigned)MIN(n, free - keep);
	spin_lock(&z->lock);
	while (got < n) {
		order = MIN(order, bit_highest(n - got));
		uint32_t pfn = zone_take_locked(z, order, keep);
		if (!pfn && !order)
			break;
		if (!pfn)
			order--; /* blocks as large are all in use */
		else
			for (unsigned i = 0; i < 1u << order; i++)
				out[got++] = pfn_to_page(pfn + i);
	}
	spin_unlock(&z->lock);
	return got;
}

unsigned frame_alloc_batch(enum page_kind kind, unsigned flags, struct page **out, unsigned n)
{
	unsigned got = 0, run;
	if (inject_should_fail())
		return 0;
	for (int i = flags & FRAME_LOW ? ZONE_LOW : (int)zone_normal; i >= 0 && got < n; i--)
		got += take_blocks(&zones[i], out + got, n - got);
	for (unsigned i = 0; i < got; i += run) {
		for (run = 1; i + run < got && out[i + run] == out[i] + run; run++)
			;
		mark_used(out[i], run, kind, flags);
	}
	return got;
}

/* Hand out the n frames from p on, which came out of their zone. */
static unsigned hand_out_run(
    struct page *p, unsigned n, enum page_kind kind, unsigned flags, struct page **out)
{
	if (n)
		mark_used(p, n, kind, flags);
	for (unsigned i = 0; i < n; i++)
		out[i] = p + i;
	return n;
}

unsigned frame_alloc_large(enum page_kind kind, unsigned flags, struct page **out, unsigned n)
{
	uint32_t pfn = 0;
	ASSERT(n && n <= MMU_LARGE_PAGES && !(flags & FRAME_LOW));
	if (inject_should_fail())
		return 0;
	for (int i = (int)zone_normal; i >= 0 && !pfn; i--) {
		spin_lock(&zones[i].lock);
		pfn = zone_take_large_locked(&zones[i], n, load_relaxed(&zones[i].high));
		spin_unlock(&zones[i].lock);
	}
	return pfn ? hand_out_run(pfn_to_page(pfn), n, kind, flags, out) : 0;
}

unsigned frame_alloc_at(enum page_kind kind, unsigned flags, struct page *at, struct page **out, unsigned n)
{
	struct zone *z = &zones[frame_zone(at)];
	if (inject_should_fail())
		return 0;
	spin_lock(&z->lock);
	n = (unsigned)zone_take_at_locked(z, page_to_pfn(at), n, load_relaxed(&z->high));
	spin_unlock(&z->lock);
	return hand_out_run(at, n, kind, flags, out);
}

/* One try over the zones that the flags and the limit allow. */
static uint32_t take_run(uint64_t npages, uint64_t align, uint64_t limit, unsigned flags)
{
	for (int i = flags & FRAME_LOW ? ZONE_LOW : ZONE_HIGH; i >= 0; i--) {
		struct zone *z = &zones[i];
		uint64_t keep = zone_keep(z, flags);
		if ((i == ZONE_HIGH && limit <= ZONE_LOW_END) || load_relaxed(&z->free) < keep + npages)
			continue;
		spin_lock(&z->lock);
		bool plain = npages == align && limit == UINT32_MAX; /* a buddy block of any address */
		uint32_t pfn = plain ? zone_take_locked(z, bit_lowest(npages), keep)
				     : zone_take_run_locked(z, npages, align, limit, keep);
		spin_unlock(&z->lock);
		if (pfn)
			return pfn;
	}
	return 0;
}

static struct page *alloc_run(
    enum page_kind kind, uint64_t npages, uint64_t align, uint64_t limit, unsigned flags)
{
	if (inject_should_fail())
		return NULL;
	uint32_t pfn = take_run(npages, align, limit, flags);
	for (unsigned n = 1; !pfn; n++) {
		frame_drain_all();
		pfn = take_run(npages, align, limit, flags);
		if (!pfn && ((flags & FRAME_NOWAIT) || !frame_try_again(npages, n)))
			break;
	}
	if (!pfn)
		return NULL;
	mark_used(pfn_to_page(pfn), npages, kind, flags);
	return pfn_to_page(pfn);
}

struct page *frame_alloc_order(enum page_kind kind, unsigned order, unsigned flags)
{
	if (order > FRAME_MAX_ORDER)
		return NULL;
	if (!order)
		return frame_alloc(kind, flags);
	struct page *p = alloc_run(kind, 1ULL << order, 1ULL << order, UINT32_MAX, flags);
	if (p)
		page_set_kind(p, kind, order);
	return p;
}

struct page *frame_alloc_contiguous(
    enum page_kind kind, uint64_t npages, uint64_t align, paddr_t limit, unsigned flags)
{
	ASSERT(is_power_of_two(align) && align >= PAGE_SIZE);
	if (!npages || npages > BLOCK_FRAMES)
		return NULL;
	uint64_t end = limit ? MIN(limit >> PAGE_SHIFT, UINT32_MAX) : UINT32_MAX;
	return alloc_run(kind, npages, align >> PAGE_SHIFT, end, flags);
}

static void count_given(uint64_t kind_flags)
{
	preempt_disable();
	pcp_normal[cpu_id()].given[kind_flags]++;
	preempt_enable();
}

void frame_free_range(struct page *p, uint64_t npages)
{
	uint64_t pfn = page_to_pfn(p);
	struct zone *z = &zones[zone_of(pfn)];
	uint64_t kind_flags;
	for (uint64_t i = 0; i < npages; i++)
		if (mark_free(&p[i], &kind_flags))
			count_given(kind_flags);
		else
			frame_bad_free(&p[i]);
	spin_lock(&z->lock);
	zone_give_locked(z, pfn, npages);
	spin_unlock(&z->lock);
}

void frame_free_order(struct page *p, unsigned order)
{
	if (page_order(p) != order)
		page_panic(p, "a block is freed with another order than it was allocated with");
	if (!order) {
		frame_free(p);
		return;
	}
	fetch_and_acq_rel(&p->state, ~(0xfULL << PAGE_ORDER_SHIFT));
	frame_free_range(p, 1ULL << order);
}

void frame_add_range(uint64_t first, uint64_t end)
{
	first = MAX(first, 1); /* frame 0: its number means "none" in links */
	if (first < MIN(end, ZONE_LOW_END))
		zone_add_run(&zones[ZONE_LOW], first, MIN(end, ZONE_LOW_END));
	if (MAX(first, ZONE_LOW_END) < end) {
		zone_add_run(&zones[ZONE_HIGH], MAX(first, ZONE_LOW_END), end);
		pcp_set_normal(ZONE_HIGH);
	}
}

void frame_init(const struct bootinfo *info)
{
	pcp_reset();
	for (unsigned i = 0; i < NZONES; i++)
		zone_init(&zones[i]);
	pcp_set_normal(ZONE_LOW);
	for (unsigned i = 0; i < info->nranges; i++) {
		const struct boot_range *r = &info->ranges[i];
		if (r->type == BOOT_MEM_USABLE)
			frame_add_range(DIV_ROUND_UP(r->start, PAGE_SIZE), r->end >> PAGE_SHIFT);
	}
	zero_page = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	ASSERT(zero_page); /* a machine without a single usable frame */
	page_set_kind(zero_page, PAGE_RESERVED, 0);
	count_taken(PAGE_KERNEL, -1ULL);
}

void frame_zone_stats(unsigned zone, struct zone_stats *out)
{
	struct zone *z = &zones[zone];
	spin_lock(&z->lock);
	zone_stats_locked(z, out);
	spin_unlock(&z->lock);
	out->cached = pcp_count(zone);
	out->free += out->cached;
}

uint64_t frame_free_count(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < NZONES; i++)
		n += load_relaxed(&zones[i].free) + pcp_count(i);
	return n;
}

uint64_t frame_total_count(void)
{
	return load_relaxed(&zones[ZONE_LOW].total) + load_relaxed(&zones[ZONE_HIGH].total);
}

static void count_kind(struct page *p, void *arg)
{
	uint64_t *counts = arg;
	counts[page_kind(p)]++;
}

void frame_count_kinds(uint64_t counts[PAGE_KINDS])
{
	memset(counts, 0, PAGE_KINDS * sizeof counts[0]);
	for (unsigned i = 0; i < NZONES; i++) {
		spin_lock(&zones[i].lock);
		counts[PAGE_VIRGIN] += zone_each_record_locked(&zones[i], count_kind, counts);
		spin_unlock(&zones[i].lock);
	}
}

static uint64_t given_of(const struct pcp *c, unsigned kind)
{
	uint64_t n = 0;
	for (unsigned flags = 0; flags < 1u << PAGE_FLAG_BITS; flags++)
		n += *(const volatile uint64_t *)&c->given[kind << PAGE_FLAG_BITS | flags];
	return n;
}

void frame_count_used(uint64_t counts[PAGE_KINDS])
{
	memset(counts, 0, PAGE_KINDS * sizeof(counts[0]));
	for (unsigned kind = 0; kind < USED_KINDS; kind++) {
		int64_t n = 0; /* a frame may be given back by another CPU than took it */
		for (unsigned i = 0; i < NZONES * MAX_CPUS; i++) {
			const struct pcp *c = &pcps[i / MAX_CPUS][i % MAX_CPUS];
			n += (int64_t)(*(const volatile uint64_t *)&c->taken[kind] - given_of(c, kind));
		}
		counts[PAGE_KERNEL + kind] =
		    n > 0 ? (uint64_t)n : 0; /* counts of several moments may not fit */
	}
}

void frame_drain_cpu(void)
{
	preempt_disable();
	for (unsigned i = 0; i < NZONES; i++)
		pcp_drain(&pcps[i][cpu_id()]);
	preempt_enable();
}

void frame_drain_all(void)
{
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		for (unsigned i = 0; i < NZONES; i++)
			pcp_drain(&pcps[i][cpu]);
	}
}

bool frame_is_low(void)
{
	uint64_t free = 0, low = 0;
	for (unsigned i = 0; i < NZONES; i++) {
		free += load_relaxed(&zones[i].free);
		low += load_relaxed(&zones[i].low);
	}
	return free < low;
}

void frame_validate(void)
{
	for (unsigned i = 0; i < NZONES; i++) {
		spin_lock(&zones[i].lock);
		zone_validate_locked(&zones[i]);
		spin_unlock(&zones[i].lock);
	}
	pcp_validate();
}
