/*
 * kmalloc.c - memory of any size: a slab cache for each size class, whole frames above the largest.
 *
 * Classes are the powers of two from 16 and one size in between each. What lies in frames of its own has the
 * number of frames and a mark in its first record, so that kfree can tell it from everything else that a
 * wrong pointer may point to.
 */
#include "lib/bits.h"
#include "lib/string.h"
#include "mm/slab_priv.h"

static const struct {
	uint16_t size, align;
	const char *name;
} classes[] = {
    {16, 16, "kmalloc-16"},
    {32, 32, "kmalloc-32"},
    {48, 16, "kmalloc-48"},
    {64, 64, "kmalloc-64"},
    {96, 16, "kmalloc-96"},
    {128, 128, "kmalloc-128"},
    {192, 16, "kmalloc-192"},
    {256, 256, "kmalloc-256"},
    {384, 16, "kmalloc-384"},
    {512, 512, "kmalloc-512"},
    {768, 16, "kmalloc-768"},
    {1024, 1024, "kmalloc-1024"},
    {1536, 16, "kmalloc-1536"},
    {2048, 2048, "kmalloc-2048"},
    {3072, 16, "kmalloc-3072"},
    {4096, 4096, "kmalloc-4096"},
    {8192, 4096, "kmalloc-8192"},
};

enum { NCLASSES = ARRAY_SIZE(classes), LARGEST_CLASS = 8192, SMALL = 1024 };

static struct slab_cache *caches[NCLASSES]; /* constant after kmalloc_init */
static uint8_t
    class_of_small[SMALL / 16 + 1]; /* index of the class for sizes up to SMALL, by 16 bytes; constant */
static const char frames_mark;      /* page.owner of what has frames of its own */

static unsigned class_search(size_t size)
{
	unsigned i = 0;
	while (classes[i].size < size)
		i++;
	return i;
}

void kmalloc_init(void)
{
	for (unsigned i = 0; i < NCLASSES; i++) {
		caches[i] = slab_cache_create(classes[i].name, classes[i].size, classes[i].align);
		ASSERT(caches[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(class_of_small); i++)
		class_of_small[i] = (uint8_t)class_search(MAX(16 * i, 1));
}

static struct slab_cache *cache_for(size_t size)
{
	return caches[size <= SMALL ? class_of_small[(size + 15) / 16] : class_search(size)];
}

static void *alloc_frames(size_t size, unsigned flags)
{
	if (size > (size_t)PAGE_SIZE << FRAME_MAX_ORDER)
		return NULL;
	uint64_t npages = DIV_ROUND_UP(size, PAGE_SIZE);
	struct page *p = frame_alloc_contiguous(PAGE_KERNEL, npages, PAGE_SIZE, 0, flags);
	if (!p)
		return NULL;
	p->owner = (void *)&frames_mark;
	p->index = npages;
	return page_to_virt(p);
}

static void free_frames(struct page *p, void *object)
{
	if (page_kind(p) != PAGE_KERNEL || p->owner != &frames_mark || page_to_virt(p) != object)
		page_panic(p, "kfree of something that kmalloc did not give");
	p->owner = NULL;
	frame_free_range(p, p->index);
}

static void *alloc_small(size_t size, void *where)
{
	struct slab_cache *c = cache_for(size);
	void *object = slab_alloc_from(c, where);
	if (object)
		slab_debug_narrow(c, object, size);
	return object;
}

void *kmalloc(size_t size)
{
	return size <= LARGEST_CLASS ? alloc_small(size, __builtin_return_address(0)) : alloc_frames(size, 0);
}

void *kzalloc(size_t size)
{
	if (size > LARGEST_CLASS)
		return alloc_frames(size, FRAME_ZERO);
	void *object = alloc_small(size, __builtin_return_address(0));
	if (object)
		memset(object, 0, size);
	return object;
}

void *kcalloc(size_t n, size_t size)
{
	size_t total;
	return __builtin_mul_overflow(n, size, &total) ? NULL : kzalloc(total);
}

void kfree(void *object)
{
	if (!object)
		return;
	struct page *p = virt_to_page(object);
	if (page_kind(p) == PAGE_SLAB)
		slab_free_from(p->slab, object, __builtin_return_address(0));
	else
		free_frames(p, object);
}
