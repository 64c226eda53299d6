/*
 * desc.c - descriptor tables.
 *
 *	table ──chunks[]──▶ chunk   64 slots: a mask of used ones, a mask of close-on-exec, objects, rights
 *	                    chunk
 *
 * The array of chunks grows by doubling, chunks are made as they are needed and stay until the table goes, so
 * a table of a million descriptors needs no large allocation and growing moves no slot. The lowest free slot
 * is found by masks, from the first chunk that may have one (`hint`: every chunk below it is full).
 *
 * The lock is a spinlock, held for a few slots at a time. An object taken out of a slot is dropped after the
 * lock: closing may sleep. A look-up takes its reference under the lock, so a close by another thread never
 * frees what somebody uses.
 */
#include "object/desc.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { SLOTS = 64, FIRST_CHUNKS = 4 };

struct chunk {
	uint64_t used, cloexec; /* (L) bit n: slot n */
	uint64_t reserved;      /* (L) slots that are neither used nor free: somebody is about to fill them */
	struct kobject *objects[SLOTS];
	uint32_t rights[SLOTS];
};

/* (L) lock */
struct desc_table {
	struct refcount refs;
	struct spinlock lock;
	struct chunk **chunks; /* (L) nchunks pointers, NULL: no slot of it was ever used */
	unsigned nchunks;      /* (L) */
	unsigned hint;         /* (L) */
	unsigned count;        /* (L) used slots */
};

err_t desc_table_create(struct desc_table **out)
{
	struct desc_table *t = kzalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->chunks = kcalloc(FIRST_CHUNKS, sizeof(*t->chunks));
	if (!t->chunks) {
		kfree(t);
		return -ENOMEM;
	}
	t->nchunks = FIRST_CHUNKS;
	ref_init(&t->refs);
	spin_init(&t->lock, "descriptors", RANK_DESC);
	*out = t;
	return 0;
}

void desc_table_get(struct desc_table *t)
{
	ref_get(&t->refs);
}

bool desc_table_is_shared(struct desc_table *t)
{
	return ref_count(&t->refs) > 1;
}

void desc_table_put(struct desc_table *t)
{
	if (!ref_put(&t->refs))
		return;
	desc_close_range(t, 0, UINT32_MAX, false);
	ASSERT(t->count == 0);
	for (unsigned i = 0; i < t->nchunks; i++)
		kfree(t->chunks[i]);
	kfree(t->chunks);
	kfree(t);
}

/* --- room --- */

/* Grow the array to hold chunk `index`. Called locked; returns locked, the lock was dropped meanwhile. */
static err_t grow_array(struct desc_table *t, unsigned index)
{
	while (index >= t->nchunks) {
		unsigned n = MAX(t->nchunks * 2, 1u << order_of(index + 1));
		spin_unlock(&t->lock);
		struct chunk **bigger = kcalloc(n, sizeof(*bigger)), **old = bigger;
		spin_lock(&t->lock);
		if (!bigger)
			return -ENOMEM;
		if (n > t->nchunks) {
			memcpy(bigger, t->chunks, t->nchunks * sizeof(*bigger));
			old = t->chunks;
			t->chunks = bigger;
			t->nchunks = n;
		}
		kfree(old);
	}
	return 0;
}

/* See to it that chunk `index` exists. Called locked; returns locked, the lock was perhaps dropped meanwhile.
 */
static NOINLINE err_t need_chunk(struct desc_table *t, unsigned index)
{
	err_t err = grow_array(t, index);
	if (err || t->chunks[index])
		return err;
	spin_unlock(&t->lock);
	struct chunk *c = kzalloc(sizeof(*c));
	spin_lock(&t->lock);
	if (!c)
		return -ENOMEM;
	if (t->chunks[index]) /* another thread was faster */
		kfree(c);
	else
		t->chunks[index] = c; /* the array never shrinks */
	return 0;
}

static uint64_t taken(const struct chunk *c)
{
	return c->used | c->reserved;
}

static void advance_hint(struct desc_table *t)
{
	while (t->hint < t->nchunks && t->chunks[t->hint] && taken(t->chunks[t->hint]) == ~0ULL)
		t->hint++;
}

/* The lowest free descriptor >= min; it may lie in a chunk that does not exist yet. */
static unsigned lowest_free(const struct desc_table *t, unsigned min)
{
	unsigned i = MAX(min / SLOTS, t->hint);
	if (i > min / SLOTS)
		min = i * SLOTS;
	for (; i < t->nchunks && t->chunks[i]; i++, min = i * SLOTS) {
		uint64_t free = ~taken(t->chunks[i]) & (~0ULL << min % SLOTS);
		if (free)
			return i * SLOTS + bit_lowest(free);
	}
	return min;
}

static ALWAYS_INLINE void fill_slot(
    struct desc_table *t, unsigned fd, struct kobject *o, uint32_t rights, bool cloexec)
{
	struct chunk *c = t->chunks[fd / SLOTS];
	uint64_t bit = BIT(fd % SLOTS);
	ASSERT(!(c->used & bit));
	c->used |= bit;
	c->cloexec = cloexec ? c->cloexec | bit : c->cloexec & ~bit;
	c->objects[fd % SLOTS] = o;
	c->rights[fd % SLOTS] = rights;
	t->count++;
	if (taken(c) == ~0ULL)
		advance_hint(t);
}

/* The chunk of a used slot, or NULL. Locked. */
static inline struct chunk *used_chunk(struct desc_table *t, int fd)
{
	unsigned i = (unsigned)fd / SLOTS;
	struct chunk *c = fd >= 0 && i < t->nchunks ? t->chunks[i] : NULL;
	return c && (c->used & BIT((unsigned)fd % SLOTS)) ? c : NULL;
}

/* Empty a used slot, of chunk c; its descriptor reference goes to the caller. */
static inline struct kobject *empty_slot(struct desc_table *t, struct chunk *c, int fd)
{
	c->used &= ~BIT((unsigned)fd % SLOTS);
	c->cloexec &= ~BIT((unsigned)fd % SLOTS);
	t->count--;
	t->hint = MIN(t->hint, (unsigned)fd / SLOTS);
	return c->objects[(unsigned)fd % SLOTS];
}

/* An object was taken out of slot fd. Not locked. */
static err_t drop(struct desc_table *t, int fd, struct kobject *o)
{
	kobject_desc_closed(o, t, fd);
	if (o->ops->on_desc_closed)
		o->ops->on_desc_closed(o, t);
	return kobject_desc_put(o);
}

/* --- operations --- */

/* The lowest free descriptor, in a chunk that exists; or -EMFILE, -ENOMEM. Called locked; returns locked, the
 * lock was perhaps dropped meanwhile. */
static inline int find_free(struct desc_table *t, int min, int limit)
{
	for (;;) {
		unsigned fd = lowest_free(t, (unsigned)min);
		if ((int)fd >= limit)
			return -EMFILE;
		if (likely(fd / SLOTS < t->nchunks && t->chunks[fd / SLOTS]))
			return (int)fd;
		err_t err = need_chunk(t, fd / SLOTS);
		if (err)
			return err;
	}
}

int desc_reserve(struct desc_table *t, int limit)
{
	ASSERT(limit <= DESC_LIMIT_MAX);
	spin_lock(&t->lock);
	int fd = find_free(t, 0, limit);
	if (fd >= 0) {
		t->chunks[fd / SLOTS]->reserved |= BIT(fd % SLOTS);
		advance_hint(t);
	}
	spin_unlock(&t->lock);
	return fd;
}

static void end_reservation(struct desc_table *t, unsigned fd)
{
	ASSERT(t->chunks[fd / SLOTS]->reserved & BIT(fd % SLOTS));
	t->chunks[fd / SLOTS]->reserved &= ~BIT(fd % SLOTS);
}

void desc_unreserve(struct desc_table *t, int fd)
{
	spin_lock(&t->lock);
	end_reservation(t, (unsigned)fd);
	t->hint = MIN(t->hint, (unsigned)fd / SLOTS);
	spin_unlock(&t->lock);
}

void desc_fill(struct desc_table *t, int fd, struct kobject *o, uint32_t rights, bool cloexec)
{
	kobject_desc_get(o);
	spin_lock(&t->lock);
	end_reservation(t, (unsigned)fd);
	fill_slot(t, (unsigned)fd, o, rights, cloexec);
	spin_unlock(&t->lock);
}

int desc_install(struct desc_table *t, struct kobject *o, uint32_t rights, bool cloexec, int min, int limit)
{
	ASSERT(min >= 0 && limit <= DESC_LIMIT_MAX);
	spin_lock(&t->lock);
	int fd = find_free(t, min, limit);
	if (fd >= 0) {
		kobject_desc_get(o);
		fill_slot(t, (unsigned)fd, o, rights, cloexec);
	}
	spin_unlock(&t->lock);
	return fd;
}

err_t desc_install_at(
    struct desc_table *t, int fd, struct kobject *o, uint32_t rights, bool cloexec, int limit)
{
	struct kobject *old = NULL;
	if (fd < 0 || fd >= limit || fd >= DESC_LIMIT_MAX)
		return -EBADF;
	spin_lock(&t->lock);
	err_t err = need_chunk(t, (unsigned)fd / SLOTS);
	if (!err && (t->chunks[fd / SLOTS]->reserved & BIT((unsigned)fd % SLOTS)))
		err = -EBUSY;
	if (!err) {
		struct chunk *c = used_chunk(t, fd);
		old = c ? empty_slot(t, c, fd) : NULL;
		kobject_desc_get(o);
		fill_slot(t, (unsigned)fd, o, rights, cloexec);
	}
	spin_unlock(&t->lock);
	if (old)
		(void)drop(t, fd, old);
	return err;
}

/* fd is used. Locked. */
static struct kobject *slot_object(const struct desc_table *t, int fd)
{
	return t->chunks[(unsigned)fd / SLOTS]->objects[(unsigned)fd % SLOTS];
}

struct desc_entry desc_get(struct desc_table *t, int fd)
{
	struct desc_entry e = {NULL, 0};
	spin_lock(&t->lock);
	struct chunk *c = used_chunk(t, fd);
	if (c) {
		e = (struct desc_entry){c->objects[(unsigned)fd % SLOTS], c->rights[(unsigned)fd % SLOTS]};
		kobject_get(e.object);
	}
	spin_unlock(&t->lock);
	return e;
}

err_t desc_close(struct desc_table *t, int fd)
{
	spin_lock(&t->lock);
	struct chunk *c = used_chunk(t, fd);
	struct kobject *o = c ? empty_slot(t, c, fd) : NULL;
	spin_unlock(&t->lock);
	if (!o)
		return -EBADF;
	return drop(t, fd, o);
}

void desc_close_same(struct desc_table *t, int fd, const struct kobject *o)
{
	spin_lock(&t->lock);
	struct chunk *c = used_chunk(t, fd);
	struct kobject *found = c && c->objects[(unsigned)fd % SLOTS] == o ? empty_slot(t, c, fd) : NULL;
	spin_unlock(&t->lock);
	if (found)
		(void)drop(t, fd, found);
}

bool desc_names(struct desc_table *t, int fd, const struct kobject *o)
{
	spin_lock(&t->lock);
	bool names = used_chunk(t, fd) && slot_object(t, fd) == o;
	spin_unlock(&t->lock);
	return names;
}

err_t desc_limit(struct desc_table *t, int fd, uint32_t rights)
{
	spin_lock(&t->lock);
	struct chunk *c = used_chunk(t, fd);
	uint32_t *has = c ? &c->rights[(unsigned)fd % SLOTS] : NULL;
	err_t err = !has ? -EBADF : rights & ~*has ? -EACCES : 0;
	if (!err)
		*has = rights;
	spin_unlock(&t->lock);
	return err;
}

/* --- parcels --- */

err_t parcel_make(struct desc_table *t, int fd, struct parcel *out)
{
	struct kobject *o;
	uint32_t rights;
	err_t err = desc_lookup(t, fd, &o, &rights);
	if (err)
		return err;
	if (rights & RIGHT_TRANSFER) {
		kobject_desc_get(o);
		*out = (struct parcel){o, rights};
	}
	kobject_put(o);
	return rights & RIGHT_TRANSFER ? 0 : -EACCES;
}

void parcel_copy(const struct parcel *from, struct parcel *out)
{
	kobject_desc_get(from->object);
	*out = *from;
}

int parcel_install(const struct parcel *p, struct desc_table *t, bool cloexec, int limit)
{
	return desc_install(t, p->object, p->rights, cloexec, 0, limit);
}

void parcel_drop(struct parcel *p)
{
	(void)kobject_desc_put(p->object);
	p->object = NULL;
}

/* --- ranges --- */

/* Used slots of chunk i in [first, last], as a mask. Locked. */
static uint64_t used_in_range(const struct desc_table *t, unsigned i, unsigned first, unsigned last)
{
	unsigned low = i * SLOTS;
	if (!t->chunks[i] || last < low)
		return 0;
	return t->chunks[i]->used &
	       bit_range(first > low ? first - low : 0, MIN(last - low, (unsigned)SLOTS - 1));
}

/* Take the lowest used descriptor of [first, last] that is close-on-exec (or any) out. NULL: none. */
static struct kobject *take_next(struct desc_table *t, unsigned *first, unsigned last, bool only_cloexec)
{
	struct kobject *o = NULL;
	spin_lock(&t->lock);
	for (unsigned i = *first / SLOTS; !o && i < t->nchunks && i <= last / SLOTS; i++) {
		uint64_t set = used_in_range(t, i, *first, last);
		if (set && only_cloexec)
			set &= t->chunks[i]->cloexec;
		if (set) {
			*first = i * SLOTS + bit_lowest(set);
			o = empty_slot(t, t->chunks[i], (int)*first);
		}
	}
	spin_unlock(&t->lock);
	return o;
}

static void mark_range(struct desc_table *t, unsigned first, unsigned last)
{
	spin_lock(&t->lock);
	for (unsigned i = first / SLOTS; i < t->nchunks && i <= last / SLOTS; i++)
		if (t->chunks[i])
			t->chunks[i]->cloexec |= used_in_range(t, i, first, last);
	spin_unlock(&t->lock);
}

void desc_close_range(struct desc_table *t, unsigned first, unsigned last, bool set_cloexec)
{
	struct kobject *o;
	if (set_cloexec) {
		mark_range(t, first, last);
		return;
	}
	while (first <= last && (o = take_next(t, &first, last, false)))
		(void)drop(t, (int)first, o);
}

void desc_close_on_exec(struct desc_table *t)
{
	struct kobject *o;
	unsigned first = 0;
	while ((o = take_next(t, &first, UINT32_MAX, true)))
		(void)drop(t, (int)first, o);
}

err_t desc_get_cloexec(struct desc_table *t, int fd, bool *cloexec)
{
	spin_lock(&t->lock);
	struct chunk *c = used_chunk(t, fd);
	if (c)
		*cloexec = c->cloexec & BIT((unsigned)fd % SLOTS);
	spin_unlock(&t->lock);
	return c ? 0 : -EBADF;
}

err_t desc_set_cloexec(struct desc_table *t, int fd, bool cloexec)
{
	spin_lock(&t->lock);
	struct chunk *c = used_chunk(t, fd);
	uint64_t bit = BIT((unsigned)fd % SLOTS);
	if (c)
		c->cloexec = cloexec ? c->cloexec | bit : c->cloexec & ~bit;
	spin_unlock(&t->lock);
	return c ? 0 : -EBADF;
}

int desc_next(struct desc_table *t, int from)
{
	int found = -1;
	spin_lock(&t->lock);
	for (unsigned i = (unsigned)from / SLOTS; found < 0 && i < t->nchunks; i++) {
		uint64_t set = used_in_range(t, i, (unsigned)from, UINT32_MAX);
		if (set)
			found = (int)(i * SLOTS + bit_lowest(set));
	}
	spin_unlock(&t->lock);
	return found;
}

int desc_highest(struct desc_table *t)
{
	int found = -1;
	spin_lock(&t->lock);
	for (unsigned i = t->nchunks; found < 0 && i-- > 0;)
		if (t->chunks[i] && t->chunks[i]->used)
			found = (int)(i * SLOTS + bit_highest(t->chunks[i]->used));
	spin_unlock(&t->lock);
	return found;
}

unsigned desc_count(struct desc_table *t)
{
	spin_lock(&t->lock);
	unsigned n = t->count;
	spin_unlock(&t->lock);
	return n;
}

/* --- clone --- */

/* Give `copy` every chunk that t has in use. Called with t locked; false: the lock was dropped to get memory,
 * look again. */
static bool match_chunks(struct desc_table *t, struct desc_table *copy, err_t *err)
{
	for (unsigned i = 0; i < t->nchunks; i++) {
		if (!t->chunks[i] || !t->chunks[i]->used || (i < copy->nchunks && copy->chunks[i]))
			continue;
		spin_unlock(&t->lock);
		spin_lock(&copy->lock); /* nobody else knows it: for the assertions */
		*err = need_chunk(copy, i);
		spin_unlock(&copy->lock);
		spin_lock(&t->lock);
		return false;
	}
	return true;
}

static void copy_chunk(struct desc_table *copy, unsigned i, const struct chunk *from)
{
	struct chunk *to = copy->chunks[i];
	*to = *from;
	to->reserved = 0;
	for (uint64_t set = from->used; set; set &= set - 1) {
		unsigned slot = bit_lowest(set);
		if (from->rights[slot] & RIGHT_DUPLICATE)
			kobject_desc_get(from->objects[slot]);
		else
			to->used &= ~BIT(slot);
	}
	to->cloexec &= to->used;
	copy->count += bit_count(to->used);
}

err_t desc_table_clone(struct desc_table *t, struct desc_table **out)
{
	struct desc_table *copy;
	err_t err = desc_table_create(&copy);
	if (err)
		return err;
	spin_lock(&t->lock);
	while (!err && !match_chunks(t, copy, &err))
		;
	for (unsigned i = 0; !err && i < t->nchunks; i++)
		if (t->chunks[i] && t->chunks[i]->used)
			copy_chunk(copy, i, t->chunks[i]);
	spin_unlock(&t->lock);
	if (err) {
		desc_table_put(copy);
		return err;
	}
	*out = copy;
	return 0;
}
