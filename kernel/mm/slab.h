#pragma once
/*
 * slab.h - object caches with per-CPU fast paths, and kmalloc on top of them.
 *
 * Nothing sleeps; NULL means no memory. Usable with spinlocks of rank below RANK_SLAB held; not in interrupt
 * handlers. Debug kernels put red zones around objects, poison free ones, and catch double frees and frees to
 * the wrong cache.
 */
#include "lib/types.h"
#include "lib/list.h"

struct slab_cache;

struct slab_stats {
	const char *name;
	uint64_t object_size;
	uint64_t objects_used; /* handed out; objects in per-CPU caches do not count */
	uint64_t frames;       /* frames that the cache holds */
};

/* After frame_init, before any other function here; a host test may start over with it. */
void slab_init(void);
/* Each CPU calls it as it comes up, so that it has its per-CPU memory from then on; without it the first
 * allocations get that memory. */
void slab_init_cpu(void);
/* A cache of objects of `size` bytes (1 ... 32 KiB) aligned to `align` (0: 16). Never fails at boot; later
 * NULL on no memory. `name` must stay. */
struct slab_cache *slab_cache_create(const char *name, size_t size, size_t align);
/* All objects must have been freed. */
void slab_cache_destroy(struct slab_cache *c);
/* An object, contents undefined. NULL: no memory. */
void *slab_alloc(struct slab_cache *c);
void *slab_zalloc(struct slab_cache *c);
void slab_free(struct slab_cache *c, void *object);
/* Give back what is not handed out: objects in the CPUs' caches (of all CPUs, none is asked) and empty slabs.
 * Returns frames freed. */
uint64_t slab_shrink(struct slab_cache *c);
uint64_t slab_shrink_all(void);
void slab_cache_stats(struct slab_cache *c, struct slab_stats *out);
/* Call fn on each cache (list locked: fn may not create or destroy caches). */
void slab_for_each_cache(void (*fn)(struct slab_cache *c, void *arg), void *arg);
void slab_validate(struct slab_cache *c);

/* Any size; above the largest cache whole frames. Aligned to 16 bytes, and to their size for powers of two up
 * to a page. */
void *kmalloc(size_t size);
void *kzalloc(size_t size);
/* n * size with overflow checked. */
void *kcalloc(size_t n, size_t size);
void kfree(void *p); /* NULL allowed */
