/*
 * slab.c - caches of equal objects.
 *
 * A *slab* is a naturally aligned block of 2^order frames cut into objects. What it needs to know about
 * itself is in its first frame's record: the cache, links of the cache's list of partial slabs, and one
 * word with the head of its free list, the number of used objects and the number of objects that were ever
 * handed out (those behind have never been linked: a new slab is not touched). Free objects hold the index
 * of the next one. Every frame of a slab names the cache, so that kfree finds it.
 *
 *	magazine of CPU 0 [o o o o . . .]   [o . . . .] magazine of CPU 1      taken and given without a lock
 *	             \                          /
 *	partial: slab -> slab -> slab       empty: at most one                 cache lock
 *	full slabs are on no list
 *
 * Between users and slabs each CPU has a *magazine*, a small stack of objects, with the same protocol as
 * the frame caches (pcp.c says why): the owner pops by an exchange and pushes by plain stores with
 * preemption disabled, anybody may take single objects out. All magazines of a CPU are one block of memory,
 * got once, so that a cache costs one struct and using it on another CPU takes no more frames.
 *
 * A slab uses the smallest order that wastes at most an eighth: single frames for nearly everything, since
 * those can be had to the last one.
 *
 * Locking: a cache's lock (RANK_SLAB) guards its slabs; frames are taken and given under it. The list lock
 * (RANK_SLAB_LIST) guards the list of caches and the use of magazine indices.
 *
 * Invariants (slab_validate):
 *	SL1  a partial slab has 0 < used < per_slab; its free list has fresh - used distinct members,
 *	     all below fresh.
 *	SL2  cache.used = sum over partial slabs of used + per_slab * number of full slabs.
 *	SL3  the kept empty slab has used = 0.
 */
#include "arch/cpu.h"
#include "lib/bits.h"
#include "lib/inject.h"
#include "lib/string.h"
#include "mm/slab_priv.h"

static struct spinlock list_lock = SPINLOCK_INIT("slab list", RANK_SLAB_LIST);
static struct list caches = LIST_INIT(caches); /* guarded by list_lock */
static uint64_t indices_used; /* guarded by list_lock: bit i, magazine i belongs to a cache */
static struct slab_cache cache_of_caches;
static struct magazine *_Atomic magazine_sets[MAX_CPUS]; /* set once, by the CPU itself */

/* The word in the first frame's record. */
struct slab_word {
	uint16_t free;  /* first of the free list, or SLAB_NONE */
	uint16_t used;  /* objects handed out, to users or magazines */
	uint16_t fresh; /* objects ever handed out: indices below it */
};

static struct slab_word slab_get(const struct page *head)
{
	uint64_t w = head->index;
	return (struct slab_word){(uint16_t)w, (uint16_t)(w >> 16), (uint16_t)(w >> 32)};
}

static void slab_set(struct page *head, struct slab_word w)
{
	head->index = w.free | (uint64_t)w.used << 16 | (uint64_t)w.fresh << 32;
}

static void *slab_object(const struct slab_cache *c, const struct page *head, unsigned i)
{
	return (char *)page_to_virt(head) + (size_t)i * c->stride;
}

static void partial_push(struct slab_cache *c, struct page *head)
{
	uint32_t pfn = (uint32_t)page_to_pfn(head);
	head->link_prev = 0;
	head->link_next = c->partial;
	if (c->partial)
		pfn_to_page(c->partial)->link_prev = pfn;
	c->partial = pfn;
	c->npartial++;
}

static void partial_remove(struct slab_cache *c, struct page *head)
{
	if (head->link_prev)
		pfn_to_page(head->link_prev)->link_next = head->link_next;
	else
		c->partial = head->link_next;
	if (head->link_next)
		pfn_to_page(head->link_next)->link_prev = head->link_prev;
	c->npartial--;
}

/* A new slab without used objects, on no list. NULL: no memory. */
static struct page *slab_grow(struct slab_cache *c)
{
	struct page *head = frame_alloc_order(PAGE_SLAB, c->order, 0);
	if (!head)
		return NULL;
	for (unsigned i = 0; i < 1u << c->order; i++)
		head[i].slab = c;
	slab_set(head, (struct slab_word){.free = SLAB_NONE});
	for (unsigned i = 0; i < c->per_slab; i++)
		slab_debug_new(c, slab_object(c, head, i));
	c->slabs++;
	return head;
}

/* Frames given back. */
static uint64_t slab_release(struct slab_cache *c, struct page *head)
{
	for (unsigned i = 0; i < 1u << c->order; i++)
		head[i].slab = NULL;
	c->slabs--;
	frame_free_order(head, c->order);
	return 1ULL << c->order;
}

/* A slab with a free object, at the front of the partial list. NULL: none, and none may be or could be made.
 */
static struct page *slab_with_room(struct slab_cache *c, bool grow)
{
	if (c->partial)
		return pfn_to_page(c->partial);
	struct page *head = c->empty ? pfn_to_page(c->empty) : NULL;
	c->empty = 0;
	if (!head && grow)
		head = slab_grow(c);
	if (head)
		partial_push(c, head);
	return head;
}

static void *take_locked(struct slab_cache *c, bool grow)
{
	ASSERT_HELD(&c->lock);
	struct page *head = slab_with_room(c, grow);
	if (!head)
		return NULL;
	struct slab_word w = slab_get(head);
	unsigned i = w.free;
	if (i == SLAB_NONE)
		i = w.fresh++;
	else
		w.free = *slab_link(c, slab_object(c, head, i));
	ASSERT(i < c->per_slab);
	if (++w.used == c->per_slab)
		partial_remove(c, head);
	slab_set(head, w);
	c->used++;
	return slab_object(c, head, i);
}

/* Put an object back into its slab; returns frames given back. */
static uint64_t give_locked(struct slab_cache *c, void *object)
{
	ASSERT_HELD(&c->lock);
	struct page *head = slab_head(c, object);
	struct slab_word w = slab_get(head);
	ASSERT(w.used && head->slab == c);
	*slab_link(c, object) = w.free;
	w.free = (uint16_t)((uint32_t)((char *)object - (char *)page_to_virt(head)) / c->stride);
	if (w.used-- == c->per_slab)
		partial_push(c, head);
	slab_set(head, w);
	c->used--;
	if (w.used)
		return 0;
	partial_remove(c, head);
	if (c->empty)
		return slab_release(c, head);
	c->empty = (uint32_t)page_to_pfn(head);
	return 0;
}

static uint64_t give_batch(struct slab_cache *c, void *const *objects, unsigned n)
{
	uint64_t frames = 0;
	spin_lock(&c->lock);
	for (unsigned i = 0; i < n; i++)
		frames += give_locked(c, objects[i]);
	spin_unlock(&c->lock);
	return frames;
}

static inline void *slot_take(void *_Atomic *slot)
{
	return load_relaxed(slot) ? atomic_exchange_explicit(slot, NULL, memory_order_acq_rel) : NULL;
}

/* This CPU's magazine of c, NULL: it has none. Preemption disabled. */
static ALWAYS_INLINE struct magazine *own_magazine(const struct slab_cache *c)
{
	struct magazine *set = load_relaxed(&magazine_sets[cpu_id()]);
	return likely(set) ? &set[c->index] : NULL;
}

static ALWAYS_INLINE void *magazine_pop(struct magazine *m)
{
	uint32_t n = m->count;
	if (unlikely(!n))
		return NULL;
	m->count = --n;
	return atomic_exchange_explicit(&m->slot[n], NULL, memory_order_acq_rel);
}

static ALWAYS_INLINE void magazine_push(struct magazine *m, void *object)
{
	store_release(&m->slot[m->count], object);
	m->count++;
}

/* Get the block of all this CPU's magazines, if it has none yet. Preemption disabled. Without one everything
 * works, through the cache locks. */
static void make_magazines(void)
{
	if (load_relaxed(&magazine_sets[cpu_id()]))
		return;
	unsigned order = order_of(SLAB_MAGAZINES * sizeof(struct magazine) >> PAGE_SHIFT);
	struct page *p = frame_alloc_order(PAGE_KERNEL, order, FRAME_ZERO);
	if (p)
		store_release(&magazine_sets[cpu_id()], page_to_virt(p));
}

void slab_init_cpu(void)
{
	preempt_disable();
	make_magazines();
	preempt_enable();
}

/* Take all objects out of all CPUs' magazines of c; returns frames given back. */
static uint64_t drain_magazines(struct slab_cache *c)
{
	uint64_t frames = 0;
	for (unsigned cpu = 0; c->index && cpu < MAX_CPUS; cpu++) {
		struct magazine *set = load_acquire(&magazine_sets[cpu]);
		void *objects[MAGAZINE_SLOTS];
		unsigned n = 0;
		for (unsigned i = 0; set && i < MAGAZINE_SLOTS; i++) {
			objects[n] = slot_take(&set[c->index].slot[i]);
			n += objects[n] != NULL;
		}
		if (n)
			frames += give_batch(c, objects, n);
	}
	return frames;
}

/* The magazine is empty: take one object from a slab for the caller, and some for the magazine as long as
 * that costs no new slab. */
static void *refill(struct slab_cache *c, struct magazine *m)
{
	spin_lock(&c->lock);
	void *object = take_locked(c, true);
	if (object && m) {
		void *more;
		while (m->count < c->limit / 2 && (more = take_locked(c, false)))
			magazine_push(m, more);
	}
	spin_unlock(&c->lock);
	return object;
}

static void *alloc_slow(struct slab_cache *c)
{
	make_magazines();
	struct magazine *m = own_magazine(c);
	while (m && m->count) {
		void *object = magazine_pop(m);
		if (object)
			return object;
	}
	void *object = refill(c, m);
	if (!object) { /* no memory: what lies in other CPUs' magazines is the last resort */
		drain_magazines(c);
		object = refill(c, NULL);
	}
	return object;
}

/* There is no memory for a slab: have some found, if the caller may sleep. */
static NOINLINE void *alloc_waiting(struct slab_cache *c)
{
	void *object = NULL;
	for (unsigned n = 1; !object && frame_try_again(1ULL << c->order, n); n++) {
		preempt_disable();
		object = alloc_slow(c);
		preempt_enable();
	}
	return object;
}

/* The magazine is full or missing: give back half of it, the oldest, then the object. */
static void free_slow(struct slab_cache *c, struct magazine *m, void *object)
{
	void *old[MAGAZINE_SLOTS + 1], *o;
	unsigned n = 0, kept = 0;
	for (unsigned i = 0; m && i < m->count; i++) {
		o = slot_take(&m->slot[i]);
		if (o && n < c->limit / 2)
			old[n++] = o;
		else if (o)
			store_release(&m->slot[kept++], o); /* kept < i: a slot that is NULL */
	}
	if (m)
		m->count = kept;
	if (m && kept < c->limit)
		magazine_push(m, object);
	else
		old[n++] = object;
	if (n)
		give_batch(c, old, n);
}

void *slab_alloc_from(struct slab_cache *c, void *where)
{
	if (inject_should_fail())
		return NULL;
	preempt_disable();
	struct magazine *m = own_magazine(c);
	void *object = likely(m) ? magazine_pop(m) : NULL;
	if (unlikely(!object))
		object = alloc_slow(c);
	preempt_enable();
	if (unlikely(!object))
		object = alloc_waiting(c);
	if (object)
		slab_debug_alloc(c, object, where);
	return object;
}

void slab_free_from(struct slab_cache *c, void *object, void *where)
{
	slab_debug_free(c, object, where);
	preempt_disable();
	struct magazine *m = own_magazine(c);
	if (likely(m && m->count < c->limit))
		magazine_push(m, object);
	else
		free_slow(c, m, object);
	preempt_enable();
}

void *slab_alloc(struct slab_cache *c)
{
	return slab_alloc_from(c, __builtin_return_address(0));
}

void *slab_zalloc(struct slab_cache *c)
{
	void *object = slab_alloc_from(c, __builtin_return_address(0));
	if (object)
		memset(object, 0, c->size);
	return object;
}

void slab_free(struct slab_cache *c, void *object)
{
	slab_free_from(c, object, __builtin_return_address(0));
}

/* Bytes from object to object. */
static size_t stride_of(size_t size, size_t align)
{
#ifdef CONFIG_DEBUG
	size += SLAB_RED_MIN + sizeof(struct slab_trailer);
#elif defined(CONFIG_KASAN)
	size += SLAB_RED_MIN;
#endif
	return ALIGN_UP(MAX(size, sizeof(uint16_t)), MAX(align, sizeof(void *)));
}

/* The smallest order of a slab that wastes at most an eighth. */
static unsigned slab_order(size_t stride)
{
	unsigned order = order_of(DIV_ROUND_UP(stride, PAGE_SIZE));
	while (((size_t)PAGE_SIZE << order) % stride > ((size_t)PAGE_SIZE << order) / 8 && order < 5)
		order++;
	return order;
}

static unsigned magazine_limit(size_t size)
{
	return size <= 512 ? MAGAZINE_SLOTS : size <= 2048 ? 16 : size <= PAGE_SIZE ? 8 : 2;
}

static void cache_set_up(struct slab_cache *c, const char *name, size_t size, size_t align)
{
	size_t stride = stride_of(size, align);
	*c = (struct slab_cache){.name = name, .size = (uint32_t)size, .stride = (uint32_t)stride};
	spin_init(&c->lock, name, RANK_SLAB);
	c->order = (uint16_t)slab_order(stride);
	c->per_slab = (uint32_t)(((size_t)PAGE_SIZE << c->order) / stride);
	ASSERT(c->per_slab && c->per_slab < SLAB_NONE);
	spin_lock(&list_lock);
	if (~indices_used) {
		c->index = (uint16_t)bit_lowest(~indices_used);
		c->limit = magazine_limit(size);
		indices_used |= BIT(c->index);
	}
	list_push_back(&caches, &c->link);
	spin_unlock(&list_lock);
}

struct slab_cache *slab_cache_create(const char *name, size_t size, size_t align)
{
	ASSERT(size && size <= SLAB_MAX_SIZE && align <= PAGE_SIZE && (!align || is_power_of_two(align)));
	struct slab_cache *c = slab_alloc(&cache_of_caches);
	if (c)
		cache_set_up(c, name, size, align ? align : 16);
	return c;
}

void slab_cache_destroy(struct slab_cache *c)
{
	slab_shrink(c);
	ASSERT(!c->used && !c->slabs); /* all objects are back */
	spin_lock(&list_lock);
	list_remove(&c->link);
	if (c->index)
		indices_used &= ~BIT(c->index);
	spin_unlock(&list_lock);
	slab_free(&cache_of_caches, c);
}

uint64_t slab_shrink(struct slab_cache *c)
{
	uint64_t frames = drain_magazines(c);
	spin_lock(&c->lock);
	if (c->empty) {
		frames += slab_release(c, pfn_to_page(c->empty));
		c->empty = 0;
	}
	spin_unlock(&c->lock);
	return frames;
}

uint64_t slab_shrink_all(void)
{
	uint64_t frames = 0;
	spin_lock(&list_lock);
	list_for_each (it, &caches)
		frames += slab_shrink(list_entry(it, struct slab_cache, link));
	spin_unlock(&list_lock);
	return frames;
}

void slab_cache_stats(struct slab_cache *c, struct slab_stats *out)
{
	uint64_t cached = 0;
	for (unsigned cpu = 0; c->index && cpu < MAX_CPUS; cpu++) {
		struct magazine *set = load_acquire(&magazine_sets[cpu]);
		for (unsigned i = 0; set && i < MAGAZINE_SLOTS; i++)
			cached += load_relaxed(&set[c->index].slot[i]) != NULL;
	}
	spin_lock(&c->lock);
	*out = (struct slab_stats){
	    .name = c->name,
	    .object_size = c->size,
	    .objects_used = c->used > cached ? c->used - cached : 0,
	    .frames = c->slabs << c->order,
	};
	spin_unlock(&c->lock);
}

void slab_for_each_cache(void (*fn)(struct slab_cache *c, void *arg), void *arg)
{
	spin_lock(&list_lock);
	list_for_each (it, &caches)
		fn(list_entry(it, struct slab_cache, link), arg);
	spin_unlock(&list_lock);
}

/* SL1: one slab with free objects. */
static struct slab_word validate_slab(struct slab_cache *c, struct page *head)
{
	struct slab_word w = slab_get(head);
	unsigned n = 0;
	ASSERT(page_kind(head) == PAGE_SLAB && page_order(head) == c->order && head->slab == c);
	ASSERT(w.fresh <= c->per_slab && w.used <= w.fresh);
	for (unsigned i = w.free; i != SLAB_NONE; i = *slab_link(c, slab_object(c, head, i))) {
		ASSERT(i < w.fresh && n < w.fresh);
		slab_debug_check_free(c, slab_object(c, head, i));
		n++;
	}
	ASSERT(n == (unsigned)w.fresh - w.used);
	return w;
}

void slab_validate(struct slab_cache *c)
{
	spin_lock(&c->lock);
	uint64_t n = 0, used = 0;
	uint32_t prev = 0;
	for (uint32_t pfn = c->partial; pfn; prev = pfn, pfn = pfn_to_page(pfn)->link_next) {
		struct slab_word w = validate_slab(c, pfn_to_page(pfn));
		ASSERT(w.used && w.used < c->per_slab && pfn_to_page(pfn)->link_prev == prev); /* SL1 */
		used += w.used;
		n++;
	}
	ASSERT(n == c->npartial && c->slabs >= n + !!c->empty);
	ASSERT(c->used == used + (c->slabs - n - !!c->empty) * c->per_slab); /* SL2 */
	if (c->empty)
		ASSERT(!validate_slab(c, pfn_to_page(c->empty)).used); /* SL3 */
	spin_unlock(&c->lock);
}

void slab_init(void)
{
	list_init(&caches);
	indices_used = 1; /* index 0: no magazine */
	for (unsigned i = 0; i < MAX_CPUS; i++)
		store_relaxed(&magazine_sets[i], NULL);
	cache_set_up(&cache_of_caches, "slab_cache", sizeof(struct slab_cache), 16);
	slab_init_cpu();
	kmalloc_init();
}
