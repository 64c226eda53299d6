/*
 * pcp.c - per-CPU caches of single frames, one for each zone.
 *
 * Nearly every request is for one frame and finds it here: a pop is one atomic exchange on memory that only
 * this CPU pushes to, a push is plain stores, both with preemption disabled. Frames in a cache have kind
 * CACHED. A cache that runs empty takes PCP_BATCH frames from its zone under one lock; one that is full
 * gives the oldest PCP_BATCH back.
 *
 * Other CPUs must be able to empty a cache, at once and from any context: when memory runs out, the last
 * frames may lie in the caches of CPUs that are idle, and blocks coalesce only when all caches are drained.
 * The choices were
 *	- to ask the owner: an interrupt and a wait, which is impossible under most spinlocks;
 *	- a spinlock for each cache: about eight instructions more for every alloc and for every free,
 *	  and an atomic operation in both;
 *	- to let anybody take single frames by exchanging a slot with 0: one atomic operation for an
 *	  alloc and none for a free. This is what we do.
 * Whoever's exchange returns the frame number owns the frame. Only the owner of the cache puts numbers in
 * and moves `count`; it skips slots that others have emptied.
 *
 * The watermark `min` is kept on the zone's own free count: frames in caches come on top.
 */
#include "mm/frame_priv.h"
#include "lib/string.h"

struct pcp pcps[NZONES][MAX_CPUS];
unsigned zone_normal = ZONE_LOW;
struct pcp *pcp_normal = pcps[ZONE_LOW];
uint64_t pcp_normal_first;

void pcp_set_normal(unsigned zone)
{
	zone_normal = zone;
	pcp_normal = pcps[zone];
	pcp_normal_first = zone == ZONE_HIGH ? ZONE_LOW_END : 0;
}

static inline uint32_t slot_take(_Atomic uint32_t *slot)
{
	return load_relaxed(slot) ? atomic_exchange_explicit(slot, 0, memory_order_acq_rel) : 0;
}

static void give_batch(unsigned zone, const uint32_t *pfns, unsigned n)
{
	struct zone *z = &zones[zone];
	spin_lock(&z->lock);
	for (unsigned i = 0; i < n; i++)
		zone_give_locked(z, pfns[i], 1);
	spin_unlock(&z->lock);
}

/* Take up to PCP_BATCH frames from a zone into pfns, leaving `keep` free. */
static unsigned take_batch(unsigned zone, uint32_t *pfns, uint64_t keep)
{
	struct zone *z = &zones[zone];
	unsigned n = 0;
	spin_lock(&z->lock);
	while (n < PCP_BATCH && (pfns[n] = zone_take_locked(z, 0, keep)))
		n++;
	spin_unlock(&z->lock);
	return n;
}

static uint32_t pop_present(struct pcp *c)
{
	while (c->count) {
		uint32_t pfn = pcp_pop(c);
		if (pfn)
			return pfn;
	}
	return 0;
}

/* From the zone through this CPU's cache, which is empty. */
static uint32_t refill(struct pcp *c, unsigned zone, unsigned flags)
{
	uint64_t keep = zone_keep(&zones[zone], flags);
	uint32_t pfns[PCP_BATCH];
	if (load_relaxed(&zones[zone].free) <= keep) {
		frame_note_low(zone);
		return 0;
	}
	unsigned n = take_batch(zone, pfns, keep);
	if (load_relaxed(&zones[zone].free) < load_relaxed(&zones[zone].low))
		frame_note_low(zone);
	if (!n)
		return 0;
	c->limit = PCP_SLOTS;
	while (n > 1)
		pcp_push(c, pfns[--n]);
	return pfns[0];
}

/* The last resort: a frame out of any CPU's cache. */
static uint32_t steal(unsigned zone)
{
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct pcp *c = &pcps[zone][cpu];
		for (unsigned i = 0; i < PCP_SLOTS; i++) {
			uint32_t pfn = slot_take(&c->slot[i]);
			if (pfn)
				return pfn;
		}
	}
	return 0;
}

uint32_t pcp_alloc_slow(unsigned flags)
{
	unsigned first = flags & FRAME_LOW ? ZONE_LOW : zone_normal;
	for (int zone = (int)first; zone >= 0; zone--) {
		struct pcp *c = &pcps[zone][cpu_id()];
		uint32_t pfn = pop_present(c);
		if (pfn || (pfn = refill(c, (unsigned)zone, flags)))
			return pfn;
	}
	for (int zone = (int)first; zone >= 0; zone--) {
		uint32_t pfn = steal((unsigned)zone);
		if (pfn)
			return pfn;
	}
	return 0;
}

/* Give back the oldest frames of a full cache and close the ranks. */
static void trim(struct pcp *c, unsigned zone)
{
	uint32_t old[PCP_BATCH], pfn;
	unsigned n = 0, kept = 0;
	for (unsigned i = 0; i < c->count; i++) {
		pfn = slot_take(&c->slot[i]);
		if (pfn && n < PCP_BATCH)
			old[n++] = pfn;
		else if (pfn)
			store_release(&c->slot[kept++], pfn); /* kept < i: a slot that is 0 */
	}
	c->count = kept;
	give_batch(zone, old, n);
}

void pcp_free_slow(struct pcp *c, uint32_t pfn)
{
	if (c->limit)
		trim(c, zone_of(pfn));
	c->limit = PCP_SLOTS;
	pcp_push(c, pfn);
}

void pcp_drain(struct pcp *c)
{
	uint32_t pfns[PCP_SLOTS];
	unsigned n = 0;
	for (unsigned i = 0; i < PCP_SLOTS; i++) {
		uint32_t pfn = slot_take(&c->slot[i]);
		if (pfn)
			pfns[n++] = pfn;
	}
	if (n)
		give_batch(zone_of(pfns[0]), pfns, n);
}

uint64_t pcp_count(unsigned zone)
{
	uint64_t n = 0;
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		for (unsigned i = 0; i < PCP_SLOTS; i++)
			n += load_relaxed(&pcps[zone][cpu].slot[i]) != 0;
	}
	return n;
}

void pcp_reset(void)
{
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
		for (unsigned zone = 0; zone < NZONES; zone++) {
			struct pcp *c = &pcps[zone][cpu];
			c->count = c->limit = 0;
			memset(c->taken, 0, sizeof(c->taken));
			memset(c->given, 0, sizeof(c->given));
			for (unsigned i = 0; i < PCP_SLOTS; i++)
				store_relaxed(&c->slot[i], 0);
		}
	}
}

void pcp_validate(void)
{
	preempt_disable();
	for (unsigned zone = 0; zone < NZONES; zone++) {
		struct pcp *c = &pcps[zone][cpu_id()];
		ASSERT(c->count <= c->limit && c->limit <= PCP_SLOTS);
		for (unsigned i = 0; i < PCP_SLOTS; i++) {
			uint32_t pfn = load_acquire(&c->slot[i]);
			if (!pfn)
				continue;
			/* Another CPU may take it while we look. */
			bool cached = page_kind(pfn_to_page(pfn)) == PAGE_CACHED;
			ASSERT(i < c->count && zone_of(pfn) == zone);
			if (!cached && load_acquire(&c->slot[i]) == pfn)
				page_panic(pfn_to_page(pfn), "a frame in a CPU's cache is in use");
		}
	}
	preempt_enable();
}
