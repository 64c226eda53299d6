/*
 * test_slab.c - object caches and kmalloc against a model: every object that is handed out is filled with its
 * own pattern, which must be whole when it is freed; counts and frames must come out even.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "arch/bootinfo.h"
#include "lib/bits.h"
#include "lib/inject.h"
#include "lib/string.h"
#include "machine/host.h"
#include "mm/frame.h"
#include "mm/slab_priv.h"

enum { MEMORY = 24 << 20 };

static uint64_t seed = 0x13198a2e03707344;

static uint64_t random_u64(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t n)
{
	return (random_u64(&seed) >> 11) % n;
}

static void start(void)
{
	static struct bootinfo info;
	info.nranges = 2;
	info.ranges[0] = (struct boot_range){0x1000, 0x9f000, BOOT_MEM_USABLE};
	info.ranges[1] = (struct boot_range){0x100000, MEMORY, BOOT_MEM_USABLE};
	frame_init(&info);
	slab_init();
}

static uint64_t frames_free(void)
{
	slab_shrink_all();
	frame_drain_all();
	return frame_free_count();
}

static struct slab_stats stats_of(struct slab_cache *c)
{
	struct slab_stats s;
	slab_cache_stats(c, &s);
	return s;
}

/* ---------------------------------------------------------------- one cache */

#ifdef __SANITIZE_THREAD__ /* one thread, and slow: it is there for the others */
enum { MODEL_STEPS = 300 };
#else
enum { MODEL_STEPS = 3000 };
#endif

struct object {
	unsigned char *p;
	size_t size;
	unsigned char tag;
};

static void fill(struct object *o)
{
	for (size_t i = 0; i < o->size; i++)
		o->p[i] = (unsigned char)(o->tag + i * 7);
}

static void check(const struct object *o)
{
	for (size_t i = 0; i < o->size; i++)
		assert_int_equal(o->p[i], (unsigned char)(o->tag + i * 7));
}

static void make(struct object *o, void *p, size_t size)
{
	*o = (struct object){p, size, (unsigned char)below(256)};
	fill(o);
}

static const struct shape {
	size_t size, align;
} shapes[] = {
    {1, 0},
    {2, 8},
    {8, 8},
    {16, 0},
    {17, 64},
    {24, 8},
    {40, 0},
    {100, 0},
    {256, 256},
    {640, 0},
    {1000, 32},
    {1344, 64},
    {1365, 0},
    {2049, 0},
    {4096, 4096},
    {5000, 0},
    {8192, 0},
    {12289, 0},
    {20000, 0},
    {32768, 4096},
};

static void objects_never_overlap(void **state UNUSED)
{
	enum { MAX_HELD = 400 };
	static struct object held[MAX_HELD];
	start();
	uint64_t frames = frames_free();
	for (unsigned k = 0; k < ARRAY_SIZE(shapes); k++) {
		struct slab_cache *c = slab_cache_create("test", shapes[k].size, shapes[k].align);
		size_t align = shapes[k].align ? shapes[k].align : 16;
		unsigned n = 0;
		for (unsigned i = 0; i < MODEL_STEPS; i++) {
			bool grow = (i / (MODEL_STEPS / 6)) % 2 == 0;
			if (n < MAX_HELD && below(10) < (grow ? 7 : 3)) {
				void *p = below(4) ? slab_alloc(c) : slab_zalloc(c);
				assert_non_null(p);
				assert_true(IS_ALIGNED((uintptr_t)virt_to_phys(p), align));
				make(&held[n++], p, shapes[k].size);
			} else if (n) {
				unsigned j = (unsigned)below(n);
				check(&held[j]);
				slab_free(c, held[j].p);
				held[j] = held[--n];
			}
			if (i % 100 == 0)
				slab_validate(c);
			assert_int_equal(stats_of(c).objects_used, n);
		}
		while (n) {
			check(&held[--n]);
			slab_free(c, held[n].p);
		}
		slab_shrink(c);
		assert_int_equal(stats_of(c).frames, 0);
		slab_cache_destroy(c);
		assert_int_equal(frames_free(), frames);
	}
}

/* An object at the end of its slab must end inside it, also where the size does not divide the slab. */
static void the_last_object_ends_inside_its_slab(void **state UNUSED)
{
	start();
	for (unsigned k = 0; k < ARRAY_SIZE(shapes); k++) {
		struct slab_cache *c = slab_cache_create("tail", shapes[k].size, shapes[k].align);
		assert_true((uint64_t)c->per_slab * c->stride <= (uint64_t)PAGE_SIZE << c->order);
		assert_true((uint64_t)(c->per_slab + 1) * c->stride > (uint64_t)PAGE_SIZE << c->order);
		struct page *slab = NULL;
		for (unsigned i = 0; i < c->per_slab; i++) {
			unsigned char *p = slab_alloc(c), *end = p + shapes[k].size;
			struct page *head = slab_head(c, p);
			assert_true(!slab || slab == head);
			slab = head;
			assert_int_equal(page_kind(virt_to_page(end - 1)), PAGE_SLAB);
			assert_true(
			    (char *)end <= (char *)page_to_virt(head) + ((size_t)PAGE_SIZE << c->order));
		}
		assert_ptr_not_equal(slab_head(c, slab_alloc(c)), slab);
	}
}

static void zalloc_is_zero_and_caches_are_kept_apart(void **state UNUSED)
{
	start();
	struct slab_cache *a = slab_cache_create("a", 48, 0), *b = slab_cache_create("b", 48, 0);
	unsigned char *p = slab_alloc(a);
	memset(p, 0xff, 48);
	slab_free(a, p);
	for (unsigned i = 0; i < 200; i++) {
		unsigned char *z = slab_zalloc(a);
		assert_true(z[0] == 0 && !memcmp(z, z + 1, 47));
		memset(z, 0xff, 48);
		if (i % 2)
			slab_free(a, z);
	}
	assert_int_equal(stats_of(a).objects_used, 100);
	assert_int_equal(stats_of(b).objects_used, 0);
	assert_int_equal(stats_of(b).frames, 0);
	assert_string_equal(stats_of(b).name, "b");
	assert_int_equal(stats_of(b).object_size, 48);
}

static void count_cache(struct slab_cache *c, void *arg)
{
	slab_validate(c);
	++*(unsigned *)arg;
}

/* More caches than there are magazines; indices are used again. */
static void many_caches(void **state UNUSED)
{
	static struct slab_cache *cs[SLAB_MAGAZINES + 20];
	start();
	uint64_t frames = frames_free();
	unsigned before = 0, during = 0, after = 0;
	slab_for_each_cache(count_cache, &before);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(cs); i++) {
			cs[i] = slab_cache_create("many", 32 + i, 0);
			void *p = slab_alloc(cs[i]), *q = slab_alloc(cs[i]);
			assert_true(p && q && p != q);
			slab_free(cs[i], p);
			slab_free(cs[i], q);
		}
		during = 0;
		slab_for_each_cache(count_cache, &during);
		assert_int_equal(during, before + ARRAY_SIZE(cs));
		for (unsigned i = 0; i < ARRAY_SIZE(cs); i++)
			slab_cache_destroy(cs[i]);
	}
	slab_for_each_cache(count_cache, &after);
	assert_int_equal(after, before);
	assert_int_equal(frames_free(), frames);
}

/* ---------------------------------------------------------------- kmalloc */

static void kmalloc_of_every_size(void **state UNUSED)
{
	enum { LIVE = 64 };
	static struct object live[LIVE];
	start();
	uint64_t frames = frames_free();
	unsigned n = 0;
	for (size_t size = 1; size <= MIB(1); size += size < 9000 ? 1 + size / 64 : size / 7) {
		for (unsigned zero = 0; zero < 2; zero++) {
			unsigned char *p = zero ? kzalloc(size) : kmalloc(size);
			assert_non_null(p);
			assert_true(IS_ALIGNED(virt_to_phys(p), 16));
			assert_true(!zero || (p[0] == 0 && !memcmp(p, p + 1, size - 1)));
			struct object *o = &live[n++ % LIVE];
			if (o->p) {
				check(o);
				kfree(o->p);
			}
			make(o, p, size);
		}
	}
	for (unsigned i = 0; i < LIVE; i++) {
		check(&live[i]);
		kfree(live[i].p);
		live[i].p = NULL;
	}
	assert_int_equal(frames_free(), frames);
}

static void kmalloc_edges(void **state UNUSED)
{
	start();
	uint64_t frames = frames_free();
	for (size_t size = 16; size <= MIB(4); size *= 2) {
		void *p = kmalloc(size), *q = kmalloc(size);
		assert_true(p && q && p != q);
		assert_true(IS_ALIGNED(virt_to_phys(p), MIN(size, (size_t)PAGE_SIZE)));
		assert_true(IS_ALIGNED(virt_to_phys(q), MIN(size, (size_t)PAGE_SIZE)));
		kfree(p);
		kfree(q);
	}
	assert_null(kmalloc(MIB(4) + 1));
	assert_null(kmalloc(SIZE_MAX));
	assert_null(kcalloc(SIZE_MAX / 2, 3));
	assert_null(kcalloc(1ULL << 32, 1ULL << 32));
	kfree(NULL);
	kfree(kmalloc(0));
	uint64_t *v = kcalloc(100, 8);
	assert_true(v[0] == 0 && v[99] == 0);
	kfree(v);
	/* Whole frames cost what they say, not the next power of two. */
	uint64_t before = frames_free();
	void *p = kmalloc(5 * PAGE_SIZE - 100);
	assert_int_equal(frame_free_count(), before - 5);
	kfree(p);
	assert_int_equal(frames_free(), frames);
}

/* ---------------------------------------------------------------- shortage */

static void memory_is_used_up_and_comes_back(void **state UNUSED)
{
	static const size_t sizes[] = {64, 1000, 4096, 20000};
	for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
		start();
		struct slab_cache *c = slab_cache_create("greedy", sizes[k], 0);
		uint64_t frames = frames_free(), n = 0;
		void *list = NULL, *p;
		while ((p = slab_alloc(c))) {
			*(void **)p = list;
			list = p;
			n++;
		}
		assert_int_equal(stats_of(c).objects_used, n);
		/* All but the reserve is in slabs, if single frames are enough for a slab. */
		struct zone_stats z;
		frame_zone_stats(ZONE_LOW, &z);
		if (!c->order)
			assert_int_equal(stats_of(c).frames, frames - z.min);
		slab_validate(c);
		while ((p = list)) {
			list = *(void **)p;
			slab_free(c, p);
		}
		assert_int_equal(stats_of(c).objects_used, 0);
		slab_cache_destroy(c);
		assert_int_equal(frames_free(), frames);
	}
}

/* Run fn(arg) on a CPU of its own, which then is gone and leaves its caches as they are. */
static void on_another_cpu(void *(*fn)(void *arg), void *arg)
{
	pthread_t id;
	host_cpu_idle();
	assert_int_equal(pthread_create(&id, NULL, fn, arg), 0);
	pthread_join(id, NULL);
	host_cpu_resume();
}

struct hoard {
	struct slab_cache *c;
	void *objects[20];
};

static void *get_magazines(void *arg UNUSED)
{
	slab_init_cpu();
	return NULL;
}

static void *free_them(void *arg)
{
	struct hoard *h = arg;
	for (unsigned k = 0; k < ARRAY_SIZE(h->objects); k++)
		slab_free(h->c, h->objects[k]);
	return NULL;
}

/* Objects that lie in an idle CPU's magazine are found when memory is out, and given back by shrinking here.
 */
static void magazines_of_other_cpus_are_emptied(void **state UNUSED)
{
	for (unsigned shrink = 0; shrink < 2; shrink++) {
		start();
		struct hoard h = {.c = slab_cache_create("hoard", 512, 0)};
		on_another_cpu(get_magazines, NULL);
		for (unsigned k = 0; k < ARRAY_SIZE(h.objects); k++)
			h.objects[k] = slab_alloc(h.c);
		while (slab_alloc(h.c))
			;
		uint64_t used = stats_of(h.c).objects_used;
		on_another_cpu(free_them, &h);
		assert_int_equal(stats_of(h.c).objects_used, used - ARRAY_SIZE(h.objects));
		assert_int_equal(h.c->used, used); /* all of them lie there */
		if (shrink)
			slab_shrink(h.c);
		for (unsigned k = 0; k < ARRAY_SIZE(h.objects); k++)
			assert_non_null(slab_alloc(h.c));
		assert_null(slab_alloc(h.c));
		slab_validate(h.c);
	}
	start();
	struct hoard h = {.c = slab_cache_create("hoard", 512, 0)};
	on_another_cpu(get_magazines, NULL);
	uint64_t frames = frames_free();
	for (unsigned k = 0; k < ARRAY_SIZE(h.objects); k++)
		h.objects[k] = slab_alloc(h.c);
	on_another_cpu(free_them, &h);
	assert_int_equal(stats_of(h.c).objects_used, 0);
	assert_true(stats_of(h.c).frames > 0);
	assert_true(slab_shrink(h.c) > 0);
	assert_int_equal(stats_of(h.c).frames, 0);
	assert_int_equal(frames_free(), frames);
}

static bool several_requests(struct slab_cache *c)
{
	void *objects[60], *small = NULL, *large = NULL;
	unsigned n = 0;
	while (n < ARRAY_SIZE(objects) && (objects[n] = slab_alloc(c)))
		n++;
	struct slab_cache *more = NULL;
	bool done = n == ARRAY_SIZE(objects) && (small = kzalloc(300)) && (large = kmalloc(70000)) &&
		    (more = slab_cache_create("more", 64, 0));
	if (more)
		slab_cache_destroy(more);
	kfree(large);
	kfree(small);
	while (n)
		slab_free(c, objects[--n]);
	return done;
}

static void injected_failures_leave_nothing(void **state UNUSED)
{
	start();
	struct slab_cache *c = slab_cache_create("injected", 1500, 0);
	uint64_t frames = frames_free(), n = 0;
	unsigned failed = 0;
	for (bool fired = true; fired;) {
		inject_arm(++n);
		bool done = several_requests(c);
		fired = inject_fired();
		inject_arm(0);
		failed += !done;
		assert_true(done || fired);
		assert_int_equal(stats_of(c).objects_used, 0);
		slab_validate(c);
		assert_int_equal(frames_free(), frames);
	}
	assert_true(failed > 60);
}

/* ---------------------------------------------------------------- several CPUs */

enum { WORKERS = 3, STEPS = 15000, SLOTS = 64, SIZE = 120 };

struct shared {
	struct slab_cache *c;
	void *_Atomic mailbox[SLOTS];
};

static void worker(void *arg, unsigned id)
{
	struct shared *sh = arg;
	uint64_t s = 991 + id;
	for (unsigned i = 0; i < STEPS; i++) {
		uint64_t r = random_u64(&s);
		unsigned char *p = slab_alloc(sh->c), *old;
		if (!p)
			panic("no memory");
		memset(p, (int)(r & 0xff), SIZE);
		/* Put it where another CPU finds it, and free what lay there. */
		old = exchange_acq_rel(&sh->mailbox[r >> 8 & (SLOTS - 1)], p);
		if (old) {
			if (memcmp(old, old + 1, SIZE - 1))
				panic("an object changed on its way");
			slab_free(sh->c, old);
		}
		kfree(kmalloc(r >> 20 & 0x3fff));
		if (i % 2000 == 0)
			slab_shrink_all();
		if (i % 2048 == 5)
			slab_validate(sh->c);
	}
}

static void objects_change_hands_between_cpus(void **state UNUSED)
{
	start();
	struct shared *sh = calloc(1, sizeof *sh);
	sh->c = slab_cache_create("hands", SIZE, 0);
	uint64_t before = frames_free();
	host_run_cpus(WORKERS, worker, sh);
	uint64_t used = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		used += load_relaxed(&sh->mailbox[i]) != NULL;
	assert_int_equal(stats_of(sh->c).objects_used, used);
	for (unsigned i = 0; i < SLOTS; i++) {
		void *p = load_relaxed(&sh->mailbox[i]);
		if (p)
			slab_free(sh->c, p);
	}
	uint64_t own = SLAB_MAGAZINES * sizeof(struct magazine) / PAGE_SIZE;
	uint64_t after = frames_free();
	assert_int_equal(stats_of(sh->c).objects_used, 0);
	assert_int_equal(stats_of(sh->c).frames, 0);
	/* Each CPU that ran keeps the block of its magazines; how many different ones there were is the
	 * host's business. */
	assert_true(before - after <= WORKERS * own && (before - after) % own == 0);
	slab_cache_destroy(sh->c);
	free(sh);
}

/* ---------------------------------------------------------------- misuse */

#ifdef CONFIG_DEBUG
static struct slab_cache *cache_a, *cache_b;

static void free_twice(void *p)
{
	slab_free(cache_a, p);
	slab_free(cache_a, p);
}
static void free_to_wrong_cache(void *p)
{
	slab_free(cache_b, p);
}
static void free_inside(void *p)
{
	slab_free(cache_a, (char *)p + 16);
}
static void write_behind(void *p)
{
	((char *)p)[100] = 0;
	slab_free(cache_a, p);
}
static void write_after_free(void *p)
{
	slab_free(cache_a, p);
	((char *)p)[50] = 1;
	for (unsigned i = 0; i < 200; i++)
		slab_alloc(cache_a);
}
static void write_after_free_validate(void *p)
{
	slab_free(cache_a, p);
	slab_shrink(cache_a);
	((char *)p)[50] = 1;
	slab_validate(cache_a);
}
static void kmalloc_overrun(void *p)
{
	char *k = kmalloc(20);
	k[20] = 0;
	kfree(k);
	(void)p;
}
static void kfree_foreign(void *p)
{
	kfree(page_to_virt(frame_alloc(PAGE_KERNEL, 0)));
	(void)p;
}
static void kfree_inside_frames(void *p)
{
	kfree((char *)kmalloc(100000) + PAGE_SIZE);
	(void)p;
}
static void kfree_frames_twice(void *p)
{
	void *k = kmalloc(100000);
	kfree(k);
	kfree(k);
	(void)p;
}
static void destroy_with_objects(void *p)
{
	slab_cache_destroy(cache_a);
	(void)p;
}

static void misuse_panics(void **state UNUSED)
{
	start();
	cache_a = slab_cache_create("a", 100, 0);
	cache_b = slab_cache_create("b", 100, 0);
	void *p = slab_alloc(cache_a), *other = slab_alloc(cache_a);
	assert_true(host_panics(free_twice, p, "freed twice"));
	assert_true(host_panics(free_to_wrong_cache, p, "freed to cache b, but belongs to a"));
	assert_true(host_panics(free_inside, p, "not the start of an object"));
	assert_true(host_panics(write_behind, p, "wrote beyond its end"));
	assert_true(host_panics(write_after_free, p, "after it was freed"));
	assert_true(host_panics(write_after_free_validate, p, "after it was freed"));
	assert_true(host_panics(kmalloc_overrun, NULL, "wrote beyond its end"));
	assert_true(host_panics(kfree_foreign, NULL, "kmalloc did not give"));
	assert_true(host_panics(kfree_inside_frames, NULL, "kmalloc did not give"));
	assert_true(host_panics(kfree_frames_twice, NULL, "kmalloc did not give"));
	assert_true(host_panics(destroy_with_objects, NULL, "assertion failed"));
	slab_free(cache_a, p);
	slab_free(cache_a, other);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(objects_never_overlap),
	    cmocka_unit_test(the_last_object_ends_inside_its_slab),
	    cmocka_unit_test(zalloc_is_zero_and_caches_are_kept_apart),
	    cmocka_unit_test(many_caches),
	    cmocka_unit_test(kmalloc_of_every_size),
	    cmocka_unit_test(kmalloc_edges),
	    cmocka_unit_test(memory_is_used_up_and_comes_back),
	    cmocka_unit_test(magazines_of_other_cpus_are_emptied),
	    cmocka_unit_test(injected_failures_leave_nothing),
	    cmocka_unit_test(objects_change_hands_between_cpus),
#ifdef CONFIG_DEBUG
	    cmocka_unit_test(misuse_panics),
#endif
	};
	host_memory_init(MEMORY >> PAGE_SHIFT);
	host_cpu_enter(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
