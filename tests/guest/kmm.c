/*
 * kmm.c - frames, slabs and the kernel VA arena on the real machine: all its memory, its CPUs and its page
 * tables.
 */
#include "ktest.h"
#include "arch/bootinfo.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "kern/spinlock.h"
#include "kern/thread.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"

/* ---------------------------------------------------------------- frames */

enum { HELD = 200, FRAME_STEPS = 20000, MAILBOXES = 64, POLITE = 64, KIB_PER_PAGE = PAGE_SIZE / 1024 };

struct held {
	struct page *p;
	unsigned order;
	uint64_t tag;
};

static struct page *_Atomic mailboxes[MAILBOXES]; /* frames that change CPU */
static struct held held[8][HELD];

static void stamp(const struct held *h)
{
	for (unsigned i = 0; i < 1u << h->order; i++) {
		uint64_t *words = page_to_virt(&h->p[i]);
		words[0] = h->tag + i;
		words[PAGE_SIZE / 8 - 1] = ~(h->tag + i);
	}
}

static bool is_stamped(const struct held *h)
{
	for (unsigned i = 0; i < 1u << h->order; i++) {
		uint64_t *words = page_to_virt(&h->p[i]);
		if (words[0] != h->tag + i || words[PAGE_SIZE / 8 - 1] != ~(h->tag + i))
			return false;
	}
	return true;
}

static void take_some(struct held *mine, unsigned *n, uint64_t *s)
{
	unsigned order = kt_random(s) % 4 ? 0 : (unsigned)(kt_random(s) % 7);
	struct page *p = frame_alloc_order(PAGE_KERNEL, order, 0);
	if (!p)
		return;
	struct held *h = &mine[(*n)++];
	*h = (struct held){p, order, kt_random(s)};
	stamp(h);
}

/* The last one goes through a mailbox to whoever looks there next, or is freed like any other. */
static void give_some(struct held *mine, unsigned *n, uint64_t *s)
{
	unsigned k = (unsigned)(kt_random(s) % *n);
	struct held h = mine[k];
	mine[k] = mine[--*n];
	KT_CHECK(is_stamped(&h));
	if (h.order || kt_random(s) % 4) {
		frame_free_order(h.p, h.order);
		return;
	}
	struct page *p = exchange_acq_rel(&mailboxes[kt_random(s) % MAILBOXES], h.p);
	if (p)
		frame_free(p);
}

static void random_frames(void *arg, unsigned id)
{
	uint64_t s = 4711 + id;
	struct held *mine = held[id];
	unsigned n = 0;
	(void)arg;
	for (unsigned i = 0; i < FRAME_STEPS; i++) {
		if (n < HELD && (!n || kt_random(&s) % 2))
			take_some(mine, &n, &s);
		else
			give_some(mine, &n, &s);
		if (i % 4096 == 0)
			frame_drain_all();
	}
	while (n)
		give_some(mine, &n, &s);
}

/* Free blocks by order with every cache empty. */
static void free_lists(struct zone_stats *out)
{
	kva_shrink();
	slab_shrink_all();
	frame_drain_all();
	for (unsigned i = 0; i < NZONES; i++)
		frame_zone_stats(i, &out[i]);
}

static bool same_lists(const struct zone_stats *a, const struct zone_stats *b)
{
	for (unsigned i = 0; i < NZONES; i++) {
		if (memcmp(a[i].free_by_order, b[i].free_by_order, sizeof a[i].free_by_order))
			return false;
	}
	return true;
}

static void do_nothing(void *arg, unsigned id)
{
	(void)arg, (void)id;
}

/* Whatever the CPUs did: when all is given back, the free lists are the same, block by block. */
KTEST_LONG(frame_random_on_all_cpus, 240)
{
	struct zone_stats before[NZONES], after[NZONES];
	unsigned n = MIN(MAX(cpus_count(), 2u), ARRAY_SIZE(held));
	KT_REQUIRE(
	    kt_run_threads(n, do_nothing, NULL)); /* so that the kernel's tables for their stacks are there */
	free_lists(before);
	KT_REQUIRE(kt_run_threads(n, random_frames, NULL));
	for (unsigned i = 0; i < MAILBOXES; i++) {
		struct page *p = exchange_acq_rel(&mailboxes[i], NULL);
		if (p)
			frame_free(p);
	}
	frame_validate();
	free_lists(after);
	/* A stack that is freed late may still be missing. */
	for (unsigned i = 0; i < POLITE && !same_lists(before, after); i++) {
		KT_CHECK_EQ(thread_sleep_until(clock_now() + 10 * 1000 * 1000), 0);
		free_lists(after);
	}
	for (unsigned z = 0; z < NZONES; z++) {
		for (unsigned k = 0; k <= FRAME_MAX_ORDER; k++)
			KT_CHECK_EQ(before[z].free_by_order[k], after[z].free_by_order[k]);
	}
}

/* What a page holds: one word in every page, the whole page in one of 64. The host meets most of this
 * memory for the first time, which takes it a while. */
enum { PROGRESS = GIB(2) >> PAGE_SHIFT };

static uint64_t content_of(const struct page *p)
{
	return page_to_pfn(p) * 0x9e3779b97f4a7c15 ^ 0x5bd1e995;
}

static bool is_sample(const struct page *p)
{
	return page_to_pfn(p) % 64 == 0;
}

static void write_content(struct page *p)
{
	uint64_t *words = page_to_virt(p), value = content_of(p);
	for (unsigned i = 0; i < (is_sample(p) ? PAGE_SIZE / 8 : 1); i++)
		words[i] = value + i;
}

static bool has_content(struct page *p)
{
	const uint64_t *words = page_to_virt(p), value = content_of(p);
	for (unsigned i = 0; i < (is_sample(p) ? PAGE_SIZE / 8 : 1); i++) {
		if (words[i] != value + i)
			return false;
	}
	return true;
}

/* All memory that is free, down to the last frame, is ours to use, is there, and is not the same memory
 * twice. */
KTEST_LONG(frame_all_memory_to_the_last_page, 300)
{
	frame_drain_all();
	uint64_t before = frame_free_count(), n = 0, bad = 0;
	struct page *p, *list = NULL;
	while ((p = frame_alloc(PAGE_KERNEL, FRAME_RESERVE))) {
		p->link_next = list ? (uint32_t)page_to_pfn(list) : 0;
		list = p;
		write_content(p);
		if (++n % PROGRESS == 0)
			kt_note("%llu GiB written", (unsigned long long)(n * PAGE_SIZE / GIB(1)));
	}
	uint64_t left = frame_free_count(), kinds[PAGE_KINDS], sum = 0;
	frame_count_kinds(kinds);
	while ((p = list)) {
		list = p->link_next ? pfn_to_page(p->link_next) : NULL;
		bad += !has_content(p);
		frame_free(p);
	}
	for (unsigned k = 0; k < PAGE_KINDS; k++)
		sum += kinds[k];
	kt_note("%llu of %llu frames were free, %llu could be used", (unsigned long long)before,
	    (unsigned long long)frame_total_count(), (unsigned long long)n);
	KT_CHECK_EQ(bad, 0);
	KT_CHECK_EQ(sum, frame_total_count());
	KT_CHECK_EQ(kinds[PAGE_VIRGIN] + kinds[PAGE_FREE], 0);
	/* Others run: what they freed or took meanwhile is a few frames. */
	KT_CHECK(left <= POLITE && n + POLITE >= before && n <= before + POLITE);
}

/* Of the machine's memory all but a hundredth is for programs and files: the rest are the kernel, its records
 * of frames, tables, slabs, stacks. In a small machine they are more, and so is a sanitizer's shadow. */
KTEST(frame_metadata_is_at_most_a_hundredth)
{
	uint64_t ram = 0, kinds[PAGE_KINDS];
	for (unsigned i = 0; i < bootinfo.nranges; i++)
		if (bootinfo.ranges[i].type != BOOT_MEM_RESERVED)
			ram += (bootinfo.ranges[i].end - bootinfo.ranges[i].start) >> PAGE_SHIFT;
	frame_count_kinds(kinds);
	uint64_t used = ram - kinds[PAGE_VIRGIN] - kinds[PAGE_FREE] - kinds[PAGE_CACHED] - kinds[PAGE_ANON] -
			kinds[PAGE_FILE] - kinds[PAGE_SHMEM];
	kt_note("%llu of %llu KiB are the kernel's: %llu in 10,000", (unsigned long long)used * KIB_PER_PAGE,
	    (unsigned long long)ram * KIB_PER_PAGE, (unsigned long long)(used * 10000 / ram));
	KT_CHECK(used < ram);
#ifndef CONFIG_KASAN
	KT_CHECK(ram < GIB(4) / PAGE_SIZE || used <= ram / 100);
#endif
}

KTEST(frame_contiguous_with_limit)
{
	static const struct {
		uint64_t npages, align, limit;
	} wanted[] = {{1, PAGE_SIZE, MIB(16)}, {16, KIB(64), MIB(16)}, {17, PAGE_SIZE, 0}, {512, MIB(2), 0},
	    {3, MIB(1), GIB(4)}, {1024, MIB(4), 0}};
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		uint64_t npages = wanted[i].npages;
		struct page *p =
		    frame_alloc_contiguous(PAGE_KERNEL, npages, wanted[i].align, wanted[i].limit, FRAME_ZERO);
		KT_REQUIRE(p);
		KT_CHECK(IS_ALIGNED(page_to_phys(p), wanted[i].align));
		KT_CHECK(!wanted[i].limit || page_to_phys(p) + (npages << PAGE_SHIFT) <= wanted[i].limit);
		const uint64_t *words = page_to_virt(p);
		KT_CHECK(!words[0] && !memcmp(words, words + 1, (npages << PAGE_SHIFT) - 8));
		for (uint64_t k = 0; k < npages; k++)
			KT_CHECK(page_kind(&p[k]) == PAGE_KERNEL && page_order(&p[k]) == 0);
		frame_free_range(p, npages);
	}
	frame_validate();
}

#if defined(CONFIG_DEBUG) && !defined(CONFIG_KASAN) /* the sanitizer does not let us look */
KTEST(frame_and_slab_poison_what_is_free)
{
	preempt_disable(); /* what is freed stays in this CPU's caches while we look */
	struct page *p = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	uint64_t *words = p ? page_to_virt(p) : NULL;
	if (p)
		frame_free(p);
	uint64_t first = words ? words[0] : 0, last = words ? words[PAGE_SIZE / 8 - 1] : 0;
	uint64_t *object = kzalloc(64), word = 0;
	kfree(object);
	word = object ? object[7] : 0;
	preempt_enable();
	KT_CHECK_EQ(first, 0x6b6b6b6b6b6b6b6b);
	KT_CHECK_EQ(last, 0x6b6b6b6b6b6b6b6b);
	KT_CHECK_EQ(word, 0x6b6b6b6b6b6b6b6b);
}
#endif

/* ---------------------------------------------------------------- slabs */

enum { SLAB_STEPS = 20000, OBJECT = 136 };

static struct slab_cache *test_cache;
static void *_Atomic object_boxes[MAILBOXES];

static void *patterned_object(uint64_t r)
{
	unsigned char *o = slab_alloc(test_cache);
	if (o)
		memset(o, (int)(r & 0xff), OBJECT);
	return o;
}

static void free_object(unsigned char *o)
{
	if (!o)
		return;
	KT_CHECK(!memcmp(o, o + 1, OBJECT - 1));
	slab_free(test_cache, o);
}

/* Objects are made on one CPU and freed on another; sizes of all classes come and go. */
static void random_objects(void *arg, unsigned id)
{
	uint64_t s = 31337 + id;
	(void)arg;
	for (unsigned i = 0; i < SLAB_STEPS; i++) {
		uint64_t r = kt_random(&s);
		free_object(exchange_acq_rel(&object_boxes[r >> 8 & (MAILBOXES - 1)], patterned_object(r)));
		size_t size = r >> 16 & (r >> 60 ? 0x7ff : 0x7fff);
		unsigned char *k = kmalloc(size);
		if (k && size) {
			k[0] = k[size - 1] = (unsigned char)r;
			KT_CHECK(k[0] == (unsigned char)r);
		}
		kfree(k);
		if (i % 4096 == 0)
			slab_shrink_all();
	}
}

static void validate_cache(struct slab_cache *c, void *arg)
{
	(void)arg;
	slab_validate(c);
}

KTEST_LONG(slab_objects_change_cpus, 240)
{
	struct slab_stats stats;
	test_cache = slab_cache_create("ktest", OBJECT, 0);
	KT_REQUIRE(test_cache);
	KT_CHECK(kt_run_threads(MAX(cpus_count(), 2u), random_objects, NULL));
	uint64_t used = 0;
	for (unsigned i = 0; i < MAILBOXES; i++)
		used += load_relaxed(&object_boxes[i]) != NULL;
	slab_cache_stats(test_cache, &stats);
	KT_CHECK_EQ(stats.objects_used, used);
	slab_for_each_cache(validate_cache, NULL);
	for (unsigned i = 0; i < MAILBOXES; i++)
		free_object(exchange_acq_rel(&object_boxes[i], NULL));
	slab_shrink(test_cache);
	slab_cache_stats(test_cache, &stats);
	KT_CHECK_EQ(stats.objects_used, 0);
	KT_CHECK_EQ(stats.frames, 0);
	slab_cache_destroy(test_cache);
}

KTEST(slab_kmalloc_sizes_and_alignment)
{
	for (size_t size = 1; size <= MIB(4); size = size < 16384 ? size + 1 + size / 16 : size * 2) {
		unsigned char *p = kzalloc(size);
		KT_REQUIRE(p);
		KT_CHECK(IS_ALIGNED(
		    (uintptr_t)p, (size & (size - 1)) || size < 16 ? 16 : MIN(size, (size_t)PAGE_SIZE)));
		KT_CHECK(!p[0] && !p[size - 1] && !memcmp(p, p + 1, size - 1));
		memset(p, 0xc3, size);
		kfree(p);
	}
	KT_CHECK(!kmalloc(MIB(4) + 1));
	KT_CHECK(!kcalloc(1ULL << 40, 1ULL << 40));
	kfree(NULL);
	kfree(kmalloc(0));
}

/* ---------------------------------------------------------------- arena */

static bool is_mapped(vaddr_t va)
{
	struct mmu_translation t;
	return mmu_query(&kernel_mmu, va, &t);
}

/* Pages that can be written, are not run, and end in nothing on both sides. */
static void check_area(vaddr_t start, uint64_t npages)
{
	struct mmu_translation t;
	KT_CHECK(!is_mapped(start - 1));
	KT_CHECK(!is_mapped(start + (npages << PAGE_SHIFT)));
	for (uint64_t i = 0; i < npages; i++) {
		vaddr_t va = start + (i << PAGE_SHIFT);
		KT_REQUIRE(mmu_query(&kernel_mmu, va, &t));
		KT_CHECK_EQ(t.flags & (MMU_READ | MMU_WRITE | MMU_EXEC | MMU_USER), MMU_READ | MMU_WRITE);
		volatile uint64_t *word = (volatile uint64_t *)va;
		*word = va;
		KT_CHECK_EQ(*(uint64_t *)phys_to_virt(t.paddr), va);
	}
}

KTEST(kva_stacks_and_buffers)
{
	enum { N = 24, BUFFER_PAGES = 9 };
	vaddr_t stacks[N];
	for (unsigned i = 0; i < N; i++) {
		stacks[i] = kva_alloc_stack();
		KT_REQUIRE(stacks[i]);
		check_area(stacks[i], KSTACK_PAGES);
	}
	kva_validate();
	for (unsigned i = 0; i < N; i++)
		kva_free_stack(stacks[i]);
	kva_shrink();
	for (unsigned i = 0; i < N; i++)
		KT_CHECK(!is_mapped(stacks[i]));
	unsigned char *b = kva_alloc_buffer(BUFFER_PAGES * PAGE_SIZE - 100);
	KT_REQUIRE(b);
	KT_CHECK(!b[0] && !memcmp(b, b + 1, BUFFER_PAGES * PAGE_SIZE - 1));
	check_area((vaddr_t)b, BUFFER_PAGES);
	kva_free_buffer(b);
	KT_CHECK(!is_mapped((vaddr_t)b));
	KT_CHECK(!kva_alloc_buffer(0));
}

KTEST(kva_maps_physical_memory)
{
	struct mmu_translation t;
	struct page *p = frame_alloc_contiguous(PAGE_KERNEL, 2, 2 * PAGE_SIZE, 0, FRAME_ZERO);
	KT_REQUIRE(p);
	uint64_t *direct = page_to_virt(p);
	uint64_t *map = kva_map_phys(page_to_phys(p) + 8, PAGE_SIZE + 8, MMU_WB, true);
	KT_REQUIRE(map);
	KT_CHECK_EQ((uintptr_t)map % PAGE_SIZE, 8);
	map[0] = 0x1234;
	map[PAGE_SIZE / 8] = 0x5678;
	KT_CHECK_EQ(direct[1], 0x1234);
	KT_CHECK_EQ(direct[PAGE_SIZE / 8 + 1], 0x5678);
	KT_CHECK(!is_mapped((vaddr_t)map - PAGE_SIZE) && !is_mapped((vaddr_t)map + 2 * PAGE_SIZE));
	kva_unmap_phys(map);
	KT_CHECK(!is_mapped((vaddr_t)map));
	const uint64_t *view = kva_map_phys(page_to_phys(p), PAGE_SIZE, MMU_WB, false);
	KT_REQUIRE(view);
	KT_CHECK_EQ(view[1], 0x1234);
	KT_CHECK(mmu_query(&kernel_mmu, (vaddr_t)view, &t) && !(t.flags & MMU_WRITE));
	kva_unmap_phys((void *)view);
	frame_free_range(p, 2);
	kva_validate();
}

static vaddr_t _Atomic areas[16];

/* Areas are made on one CPU, written on another and freed on a third. */
static void random_areas(void *arg, unsigned id)
{
	uint64_t s = 99 + id;
	(void)arg;
	for (unsigned i = 0; i < 200; i++) {
		uint64_t r = kt_random(&s), pages = 1 + r % 5;
		uint64_t *fresh = kva_alloc_buffer(pages << PAGE_SHIFT);
		if (fresh)
			fresh[0] = (uintptr_t)fresh ^ 0xabcd;
		uint64_t *old = (uint64_t *)exchange_acq_rel(&areas[r >> 8 & 15], (vaddr_t)fresh);
		if (!old)
			continue;
		KT_CHECK_EQ(old[0], (uintptr_t)old ^ 0xabcd);
		kva_free_buffer(old);
	}
}

KTEST_LONG(kva_areas_change_cpus, 240)
{
	uint64_t used = kva_used_pages();
	KT_CHECK(kt_run_threads(MAX(cpus_count(), 2u), random_areas, NULL));
	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
		vaddr_t va = exchange_acq_rel(&areas[i], 0);
		if (va)
			kva_free_buffer((void *)va);
	}
	/* The threads' stacks are freed when their CPUs have left them. */
	for (unsigned i = 0; i < POLITE && kva_used_pages() != used; i++)
		KT_CHECK_EQ(thread_sleep_until(clock_now() + 10 * 1000 * 1000), 0);
	KT_CHECK_EQ(kva_used_pages(), used);
	kva_validate();
}
