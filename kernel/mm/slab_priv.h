#pragma once
/*
 * slab_priv.h - what slab.c, slab_debug.c and kmalloc.c share.
 */
#include "kern/spinlock.h"
#include "mm/frame.h"
#include "mm/slab.h"

enum {
	SLAB_MAX_SIZE = 32 << 10,
	MAGAZINE_SLOTS = 31,
	SLAB_MAGAZINES = 64, /* caches that can have magazines; index 0 stands for none */
	SLAB_NONE = 0xffff,  /* end of a slab's free list */
};

/* (L) cache lock; (C) constant after creation; (G) list lock; (A) atomic */
struct slab_cache {
	struct spinlock lock;
	const char *name;  /* (C) */
	uint32_t size;     /* (C) bytes of an object as its user sees it */
	uint32_t stride;   /* (C) bytes from object to object in a slab */
	uint32_t per_slab; /* (C) */
	uint16_t order;    /* (C) of a slab's frames */
	uint16_t index;    /* (C) of the magazine in each CPU's set; 0: none */
	uint32_t limit;    /* (C) objects in a magazine */
	uint32_t partial;  /* (L) first slab that has free and used objects; 0: none */
	uint32_t empty;    /* (L) one slab without used objects is kept; 0: none */
	uint64_t npartial; /* (L) */
	uint64_t used;     /* (L) objects handed out by slabs: to users and to magazines */
	uint64_t slabs;    /* (L) */
	struct list link;  /* (G) */
};

enum { SLAB_RED_MIN = 8 }; /* bytes of red zone behind an object, in kernels that have red zones */

/* Objects on their way, of one CPU and one cache; the rules are those of struct pcp (frame_priv.h). */
struct magazine {
	uint32_t count; /* own CPU */
	void *_Atomic slot[MAGAZINE_SLOTS];
};
_Static_assert(sizeof(struct magazine) == 256, "indexed by a shift");

#ifdef CONFIG_DEBUG
/* Debug kernels: object, red zone, trailer. The red zone begins where what was asked for ends. */
struct slab_trailer {
	_Atomic uint32_t state; /* SLAB_FREE or SLAB_USED */
	uint32_t word;          /* free: index of the next free object; used: bytes asked for */
	void *where;            /* who allocated or freed it last */
};
enum {
	SLAB_USED = 0x05ed05ed,
	SLAB_FREE = 0xf4eef4ee,
	SLAB_RED = 0xbb,
	SLAB_POISON = 0x6b, /* free objects */
	SLAB_FRESH = 0xa5,  /* objects just handed out: undefined contents */
};
static inline struct slab_trailer *slab_trailer(const struct slab_cache *c, void *object)
{
	return (struct slab_trailer *)((char *)object + c->stride - sizeof(struct slab_trailer));
}
#endif

#if defined(CONFIG_DEBUG) || defined(CONFIG_KASAN)
/* Called for every object of a new slab, at each alloc and each free. */
void slab_debug_new(struct slab_cache *c, void *object);
void slab_debug_alloc(struct slab_cache *c, void *object, void *where);
void slab_debug_free(struct slab_cache *c, void *object, void *where);
/* Narrow a used object to `size` bytes: the rest becomes red zone. */
void slab_debug_narrow(struct slab_cache *c, void *object, size_t size);
/* Check a free object inside a slab. */
void slab_debug_check_free(struct slab_cache *c, void *object);
#else
static inline void slab_debug_new(struct slab_cache *c, void *object)
{
	(void)c, (void)object;
}
static inline void slab_debug_alloc(struct slab_cache *c, void *object, void *where)
{
	(void)c, (void)object, (void)where;
}
static inline void slab_debug_free(struct slab_cache *c, void *object, void *where)
{
	(void)c, (void)object, (void)where;
}
static inline void slab_debug_narrow(struct slab_cache *c, void *object, size_t size)
{
	(void)c, (void)object, (void)size;
}
static inline void slab_debug_check_free(struct slab_cache *c, void *object)
{
	(void)c, (void)object;
}
#endif

/* First frame of the slab that an object lies in. */
static inline struct page *slab_head(const struct slab_cache *c, const void *object)
{
	return pfn_to_page(page_to_pfn(virt_to_page(object)) & ~((1ULL << c->order) - 1));
}

/* Where a free object keeps the index of the next one: in itself, and in the trailer where objects are
 * poisoned. */
static inline uint16_t *slab_link(const struct slab_cache *c, void *object)
{
#ifdef CONFIG_DEBUG
	return (uint16_t *)&slab_trailer(c, object)->word;
#else
	(void)c;
	return object;
#endif
}

void kmalloc_init(void);
/* With the address to blame for the object. */
void *slab_alloc_from(struct slab_cache *c, void *where);
void slab_free_from(struct slab_cache *c, void *object, void *where);
