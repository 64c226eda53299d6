/*
 * slab_debug.c - what debug kernels check about every object: it is allocated and freed in turn, by the cache
 * it came from, nobody writes beyond what was asked for (red zone) nor after it was freed (poison).
 */
#include "lib/kasan.h"
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
#elif defined(CONFIG_KASAN)
/*
 * In kernels with the address sanitizer the compiler checks every access; slab.c, which keeps its links in
 * free objects, is left out.
 */
void slab_debug_new(struct slab_cache *c, void *object)
{
	kasan_poison(object, c->stride, KASAN_SLAB_FREE);
}

void slab_debug_alloc(struct slab_cache *c, void *object, void *where)
{
	(void)where;
	kasan_poison(object, c->stride, KASAN_SLAB_REDZONE);
	kasan_unpoison(object, c->size);
}

void slab_debug_narrow(struct slab_cache *c, void *object, size_t size)
{
	kasan_poison(object, c->size, KASAN_SLAB_REDZONE);
	kasan_unpoison(object, MAX(size, 1)); /* the first byte tells used from free */
}

void slab_debug_free(struct slab_cache *c, void *object, void *where)
{
	if (kasan_shadow_at(object) == KASAN_SLAB_FREE)
		panic("slab %s: object %p is freed twice, now by %p", c->name, object, where);
	kasan_poison(object, c->stride, KASAN_SLAB_FREE);
}

void slab_debug_check_free(struct slab_cache *c, void *object)
{
	if (kasan_shadow_at(object) != KASAN_SLAB_FREE)
		panic("slab %s: object %p should be free", c->name, object);
}
#endif
