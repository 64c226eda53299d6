/*
 * slab_debug.c - what debug kernels check about every object: it is allocated and freed in turn, by the cache
 * it came from, nobody writes beyond what was asked for (red zone) nor after it was freed (poison).
 */
#include "lib/string.h"
#include "mm/slab_priv.h"

#ifdef CONFIG_DEBUG
static NORETURN void complain(struct slab_cache *c, void *object, const char *why)
{
	struct slab_trailer *t = slab_trailer(c, object);
	panic("slab %s: object %p (%u bytes): %s; state %#x, word %u, last by %p", c->name, object, c->size,
	    why, load_relaxed(&t->state), t->word, t->where);
}

static bool is_filled(const void *start, const void *end, unsigned char byte)
{
	for (const unsigned char *b = start; b < (const unsigned char *)end; b++) {
		if (*b != byte)
			return false;
	}
	return true;
}

static void fill(void *start, void *end, unsigned char byte)
{
	memset(start, byte, (size_t)((char *)end - (char *)start));
}

/* Is this an object of c at all? */
static void check_address(struct slab_cache *c, void *object)
{
	struct page *p = virt_to_page(object);
	if (page_kind(p) != PAGE_SLAB)
		page_panic(p, "an object is freed that is in no slab");
	if (p->slab != c)
		panic("slab: %p is freed to cache %s, but belongs to %s", object, c->name,
		    ((struct slab_cache *)p->slab)->name);
	size_t offset = (size_t)((char *)object - (char *)page_to_virt(slab_head(c, object)));
	if (offset % c->stride || offset / c->stride >= c->per_slab)
		panic("slab %s: %p is not the start of an object", c->name, object);
}

void slab_debug_check_free(struct slab_cache *c, void *object)
{
	struct slab_trailer *t = slab_trailer(c, object);
	if (load_relaxed(&t->state) != SLAB_FREE)
		complain(c, object, "it should be free");
	if (!is_filled(object, (char *)object + c->size, SLAB_POISON))
		complain(c, object, "it was written to after it was freed");
	if (!is_filled((char *)object + c->size, t, SLAB_RED))
		complain(c, object, "the bytes behind it were written to while it was free");
}

void slab_debug_new(struct slab_cache *c, void *object)
{
	struct slab_trailer *t = slab_trailer(c, object);
	fill(object, (char *)object + c->size, SLAB_POISON);
	fill((char *)object + c->size, t, SLAB_RED);
	store_relaxed(&t->state, SLAB_FREE);
	t->word = SLAB_NONE;
	t->where = NULL;
}

void slab_debug_alloc(struct slab_cache *c, void *object, void *where)
{
	struct slab_trailer *t = slab_trailer(c, object);
	slab_debug_check_free(c, object);
	store_relaxed(&t->state, SLAB_USED);
	t->word = c->size;
	t->where = where;
	fill(object, (char *)object + c->size, SLAB_FRESH);
}

void slab_debug_narrow(struct slab_cache *c, void *object, size_t size)
{
	slab_trailer(c, object)->word = (uint32_t)size;
	fill((char *)object + size, (char *)object + c->size, SLAB_RED);
}

void slab_debug_free(struct slab_cache *c, void *object, void *where)
{
	check_address(c, object);
	struct slab_trailer *t = slab_trailer(c, object);
	uint32_t used = SLAB_USED;
	if (!cas_acq_rel(&t->state, &used, SLAB_FREE))
		complain(c, object, "it is freed twice");
	if (t->word > c->size || !is_filled((char *)object + t->word, t, SLAB_RED))
		complain(c, object, "somebody wrote beyond its end");
	t->word = SLAB_NONE;
	t->where = where;
	fill(object, (char *)object + c->size, SLAB_POISON);
	fill((char *)object + c->size, t, SLAB_RED);
}
#endif
