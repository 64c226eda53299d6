/*
 * test_kva.c - the kernel VA arena on the mock MMU: what is handed out is mapped, guards and freed areas are
 * not, on any CPU; nothing is left behind by freeing or by failing.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "arch/bootinfo.h"
#include "lib/inject.h"
#include "lib/string.h"
#include "machine/host.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"

enum { MEMORY = 32 << 20, RW = MMU_READ | MMU_WRITE };

static uint64_t seed = 0xa4093822299f31d0;

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

/* Everything that is at rest, tables of the arena included, counts as free. */
static uint64_t frames_free(void)
{
	kva_shrink();
	slab_shrink_all();
	frame_drain_all();
	return frame_free_count() + mmu_table_count(&kernel_mmu);
}

/* The byte at va as this CPU's MMU finds it. */
static unsigned char *byte_at(vaddr_t va, unsigned access)
{
	paddr_t pa;
	if (mock_probe(&kernel_mmu, va, access, &pa))
		return NULL;
	return phys_to_virt(pa);
}

static bool is_mapped(vaddr_t va)
{
	return byte_at(va, MMU_READ);
}

/* The pages [start, start + npages) can be read and written, neither run nor seen by users; the pages
 * around cannot be touched. */
static void check_area(vaddr_t start, uint64_t npages, bool writable)
{
	struct mmu_translation t;
	assert_false(is_mapped(start - 1));
	assert_false(is_mapped(start + npages * PAGE_SIZE));
	for (uint64_t i = 0; i < npages; i++) {
		assert_non_null(byte_at(start + i * PAGE_SIZE, MMU_READ));
		assert_int_equal(!!byte_at(start + i * PAGE_SIZE, RW), writable);
		assert_true(mmu_query(&kernel_mmu, start + i * PAGE_SIZE, &t));
		assert_int_equal(t.flags & (MMU_EXEC | MMU_USER), 0);
	}
}

static void fill(vaddr_t start, uint64_t npages, unsigned char tag)
{
	for (uint64_t i = 0; i < npages; i++)
		memset(byte_at(start + i * PAGE_SIZE, RW), tag + (int)i, PAGE_SIZE);
}

static void check_fill(vaddr_t start, uint64_t npages, unsigned char tag)
{
	for (uint64_t i = 0; i < npages; i++) {
		unsigned char *b = byte_at(start + i * PAGE_SIZE, MMU_READ);
		assert_true(b && b[0] == (unsigned char)(tag + i) && !memcmp(b, b + 1, PAGE_SIZE - 1));
	}
}

static void stacks_have_guards_and_frames(void **state UNUSED)
{
	enum { N = 40 }; /* more than the pool keeps */
	vaddr_t stacks[N];
	uint64_t frames = frames_free(), used = kva_used_pages();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N; i++) {
			stacks[i] = kva_alloc_stack();
			assert_true(stacks[i] && IS_ALIGNED(stacks[i], PAGE_SIZE));
			check_area(stacks[i], KSTACK_PAGES, true);
			fill(stacks[i], KSTACK_PAGES, (unsigned char)i);
		}
		assert_int_equal(kva_used_pages(), used + N * KSTACK_PAGES);
		kva_validate();
		for (unsigned i = 0; i < N; i++)
			check_fill(stacks[i], KSTACK_PAGES, (unsigned char)i);
		for (unsigned i = 0; i < N; i++)
			kva_free_stack(stacks[i]);
		assert_int_equal(kva_used_pages(), used);
		kva_validate();
	}
	assert_true(kva_shrink() > 0);
	assert_int_equal(kva_shrink(), 0);
	for (unsigned i = 0; i < N; i++)
		assert_false(is_mapped(stacks[i]));
	assert_int_equal(frames_free(), frames);
}

/* Stacks that wait for their next thread are no wider than in use: what is next to them stays unmapped. */
static void idle_stacks_keep_their_guards(void **state UNUSED)
{
	vaddr_t stacks[8];
	for (unsigned i = 0; i < 8; i++)
		stacks[i] = kva_alloc_stack();
	for (unsigned i = 0; i < 8; i += 2)
		kva_free_stack(stacks[i]);
	for (unsigned i = 0; i < 8; i++)
		check_area(stacks[i], KSTACK_PAGES, true);
	assert_non_null(strstr(kva_describe(stacks[0] - 8), "guard page below unused kernel stack"));
	for (unsigned i = 1; i < 8; i += 2)
		kva_free_stack(stacks[i]);
}

static void device_maps_keep_offset_cache_and_rights(void **state UNUSED)
{
	uint64_t frames = frames_free(), used = kva_used_pages();
	struct mmu_translation t;
	/* Device addresses, not RAM: nothing is accessed. */
	vaddr_t va = (vaddr_t)kva_map_phys(0xfee00123, 5000, MMU_UC, true);
	assert_int_equal(va % PAGE_SIZE, 0x123);
	assert_true(mmu_query(&kernel_mmu, va, &t));
	assert_int_equal(t.paddr, 0xfee00123);
	assert_int_equal(t.flags >> MMU_CACHE_SHIFT & 7, MMU_UC);
	assert_true(t.flags & MMU_WRITE);
	assert_true(mmu_query(&kernel_mmu, va + 4999, &t) && t.paddr == 0xfee00123 + 4999);
	assert_false(mmu_query(&kernel_mmu, va - 0x124, &t));
	assert_false(mmu_query(&kernel_mmu, ALIGN_UP(va + 5000, PAGE_SIZE), &t));
	assert_int_equal(kva_used_pages(), used + 2);
	kva_unmap_phys((void *)va);
	assert_false(mmu_query(&kernel_mmu, va, &t));
	/* Large ones lie so that large pages fit. */
	va = (vaddr_t)kva_map_phys(0xfd007000, MIB(4), MMU_WC, false);
	assert_int_equal((va ^ 0xfd007000) & (MIB(2) - 1), 0);
	assert_true(mmu_query(&kernel_mmu, va + MIB(4) - 1, &t) && t.paddr == 0xfd007000 + MIB(4) - 1);
	assert_int_equal(t.flags & MMU_WRITE, 0);
	assert_int_equal(t.flags >> MMU_CACHE_SHIFT & 7, MMU_WC);
	kva_validate();
	kva_unmap_phys((void *)va);
	assert_null(kva_map_phys(0x1000, 0, MMU_UC, true));
	assert_null(kva_map_phys(UINT64_MAX - 100, 200, MMU_UC, true));
	assert_null(kva_map_phys(0x1000, GIB(513), MMU_UC, true));
	assert_int_equal(frames_free(), frames);
}

struct buffer {
	vaddr_t va;
	uint64_t npages;
	unsigned char tag;
};

static void random_buffers_do_not_overlap(void **state UNUSED)
{
	enum { N = 60 };
	static struct buffer b[N];
	uint64_t frames = frames_free(), pages = kva_used_pages();
	unsigned n = 0;
	for (unsigned i = 0; i < 1500; i++) {
		if (n < N && below(2)) {
			uint64_t len = 1 + below(20 * PAGE_SIZE), npages = DIV_ROUND_UP(len, PAGE_SIZE);
			b[n] = (struct buffer){
			    (vaddr_t)kva_alloc_buffer(len), npages, (unsigned char)below(256)};
			assert_true(b[n].va);
			for (uint64_t k = 0; k < npages; k++) {
				unsigned char *bytes = byte_at(b[n].va + k * PAGE_SIZE, MMU_READ);
				assert_true(bytes && !bytes[0] && !memcmp(bytes, bytes + 1, PAGE_SIZE - 1));
			}
			check_area(b[n].va, npages, true);
			fill(b[n].va, npages, b[n].tag);
			pages += npages;
			n++;
		} else if (n) {
			unsigned j = (unsigned)below(n);
			check_fill(b[j].va, b[j].npages, b[j].tag);
			kva_free_buffer((void *)b[j].va);
			for (uint64_t k = 0; k < b[j].npages; k++)
				assert_false(is_mapped(b[j].va + k * PAGE_SIZE));
			pages -= b[j].npages;
			b[j] = b[--n];
		}
		assert_int_equal(kva_used_pages(), pages);
		if (i % 50 == 0)
			kva_validate();
		assert_true(!n || b[n - 1].va < KVA_BASE + MIB(16)); /* gaps are used again */
	}
	while (n)
		kva_free_buffer((void *)b[--n].va);
	assert_int_equal(frames_free(), frames);
}

static void shortage_leaves_nothing(void **state UNUSED)
{
	uint64_t frames = frames_free(), used = kva_used_pages();
	assert_null(kva_alloc_buffer(0));
	assert_null(kva_alloc_buffer(MIB(64)));
	assert_null(kva_alloc_buffer(GIB(512)));
	assert_null(kva_alloc_buffer(UINT64_MAX));
	kva_validate();
	assert_int_equal(kva_used_pages(), used);
	assert_int_equal(frames_free(), frames);
	vaddr_t list = 0, va;
	while ((va = kva_alloc_stack())) {
		*(vaddr_t *)byte_at(va, RW) = list;
		list = va;
	}
	assert_true(kva_used_pages() > (MEMORY >> PAGE_SHIFT) * 9 / 10);
	while ((va = list)) {
		list = *(vaddr_t *)byte_at(va, RW);
		kva_free_stack(va);
	}
	kva_validate();
	assert_int_equal(frames_free(), frames);
}

static void injected_failures_leave_nothing(void **state UNUSED)
{
	uint64_t frames = frames_free(), used = kva_used_pages();
	unsigned failures = 0;
	for (uint64_t n = 1, fired = 1; fired; n++) {
		inject_arm(n);
		vaddr_t stack = kva_alloc_stack();
		void *buffer = kva_alloc_buffer(20 * PAGE_SIZE),
		     *map = kva_map_phys(0xe0000000, MIB(1), MMU_WC, true);
		fired = inject_fired();
		inject_arm(0);
		failures += !stack + !buffer + !map;
		assert_true(fired || (stack && buffer && map));
		kva_validate();
		if (stack)
			kva_free_stack(stack);
		if (buffer)
			kva_free_buffer(buffer);
		if (map)
			kva_unmap_phys(map);
		assert_int_equal(kva_used_pages(), used);
		assert_int_equal(frames_free(), frames);
	}
	assert_true(failures > 25); /* 24 frames, areas, tables */
}

/* ---------------------------------------------------------------- several CPUs */

static vaddr_t _Atomic published[16];

static void worker(void *arg UNUSED, unsigned id)
{
	uint64_t s = 31 + id;
	slab_init_cpu();
	for (unsigned i = 0; i < 1500; i++) {
		uint64_t r = random_u64(&s);
		vaddr_t _Atomic *slot = &published[r % 16];
		vaddr_t mine = exchange_acq_rel(slot, 0);
		if (!mine) {
			mine = r >> 8 & 1 ? kva_alloc_stack() : (vaddr_t)kva_alloc_buffer(3 * PAGE_SIZE);
			if (!mine)
				panic("no memory");
			*byte_at(mine, RW) = r >> 8 & 1 ? 's' : 'b';
			mine = exchange_acq_rel(slot, mine);
		}
		if (!mine)
			continue;
		unsigned char *kind = byte_at(mine, MMU_READ);
		if (*kind == 's')
			kva_free_stack(mine);
		else
			kva_free_buffer((void *)mine);
	}
}

/* All three at the same time, so that CPUs 1 ... 3 have their magazines from then on. */
static void meet(void *arg, unsigned id UNUSED)
{
	_Atomic unsigned *arrived = arg;
	slab_init_cpu();
	fetch_add_relaxed(arrived, 1);
	while (load_relaxed(arrived) < 3)
		cpu_relax();
}

static void areas_change_hands_between_cpus(void **state UNUSED)
{
	_Atomic unsigned arrived = 0;
	host_run_cpus(3, meet, &arrived);
	uint64_t used = kva_used_pages(), frames = frames_free();
	for (unsigned round = 0; round < 2; round++) {
		host_run_cpus(3, worker, NULL);
		for (unsigned i = 0; i < 16; i++) {
			vaddr_t va = exchange_acq_rel(&published[i], 0);
			if (va && *byte_at(va, MMU_READ) == 's')
				kva_free_stack(va);
			else if (va)
				kva_free_buffer((void *)va);
		}
		assert_int_equal(kva_used_pages(), used);
		kva_validate();
		assert_int_equal(frames_free(), frames);
	}
}

/* ---------------------------------------------------------------- words for panics, misuse */

static void addresses_are_described(void **state UNUSED)
{
	vaddr_t stack = kva_alloc_stack();
	void *buffer = kva_alloc_buffer(100), *map = kva_map_phys(0xfec00000, 64, MMU_UC, true);
	assert_non_null(strstr(kva_describe(stack - 1), "guard page below kernel stack"));
	assert_non_null(strstr(kva_describe(stack), "inside kernel stack"));
	assert_non_null(
	    strstr(kva_describe(stack + KSTACK_PAGES * PAGE_SIZE), "guard page above kernel stack"));
	assert_non_null(strstr(kva_describe((vaddr_t)buffer + 99), "inside buffer"));
	assert_non_null(strstr(kva_describe((vaddr_t)map + PAGE_SIZE), "guard page above device map"));
	assert_string_equal(kva_describe(KVA_BASE + KVA_SIZE - 1), "free kernel VA");
	assert_string_equal(kva_describe(0x1000), "not in the kernel VA arena");
	kva_free_stack(stack);
	kva_free_buffer(buffer);
	kva_unmap_phys(map);
}

static void free_stack_twice(void *arg)
{
	kva_free_stack((vaddr_t)arg);
	kva_free_stack((vaddr_t)arg);
}
static void free_stack_as_buffer(void *arg)
{
	kva_free_buffer(arg);
}
static void free_stack_inside(void *arg)
{
	kva_free_stack((vaddr_t)arg + PAGE_SIZE);
}
static void free_wild(void *arg)
{
	kva_free_buffer((char *)arg + GIB(1));
}

static void misuse_panics(void **state UNUSED)
{
	vaddr_t stack = kva_alloc_stack();
	assert_true(host_panics(free_stack_twice, (void *)stack, "no area in use"));
	assert_true(host_panics(free_stack_as_buffer, (void *)stack, "no area in use"));
	assert_true(host_panics(free_stack_inside, (void *)stack, "no area in use"));
	assert_true(host_panics(free_wild, (void *)stack, "no area in use"));
	kva_free_stack(stack);
}

int main(void)
{
	static struct bootinfo info = {.nranges = 1, .ranges = {{0x100000, MEMORY, BOOT_MEM_USABLE}}};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stacks_have_guards_and_frames),
	    cmocka_unit_test(idle_stacks_keep_their_guards),
	    cmocka_unit_test(device_maps_keep_offset_cache_and_rights),
	    cmocka_unit_test(random_buffers_do_not_overlap),
	    cmocka_unit_test(shortage_leaves_nothing),
	    cmocka_unit_test(injected_failures_leave_nothing),
	    cmocka_unit_test(areas_change_hands_between_cpus),
	    cmocka_unit_test(addresses_are_described),
	    cmocka_unit_test(misuse_panics),
	};
	host_memory_init(MEMORY >> PAGE_SHIFT);
	host_cpu_enter(0);
	frame_init(&info);
	slab_init();
	if (mmu_init(&kernel_mmu))
		return 1;
	kva_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
