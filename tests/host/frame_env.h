#pragma once
/* frame_env.h - what the tests of the frame allocator share: memory maps as firmware gives them, a model with
 * one byte for each frame, pictures of the free lists. */
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
#include "mm/frame_priv.h"

enum { GARBAGE = 0xa5, BLOCK_BYTES = BLOCK_FRAMES * (int)sizeof(struct page) };
#define NFRAMES (GIB(17) >> PAGE_SHIFT)

struct map {
	const char *name;
	struct {
		uint64_t start, end;
	} ranges[8];
};

/* Shapes of real maps (PCs with 64 MiB to 16 GiB, firmware holes), and unkind ones. */
static const struct map maps[] = {
    {"pc-64m", {{0x0, 0x9f000}, {0x100000, 0x3fe0000}}},
    {"pc-256m-acpi-hole", {{0x1000, 0x9fc00}, {0x400000, 0xff00000}, {0xff10000, 0xfffe000}}},
    {"one-page-ranges",
	{{0x5000, 0x6000}, {0x9000, 0xa000}, {0xb000, 0xd000}, {0x403000, 0x404000}, {0x7ff000, 0x801000}}},
    {"ragged", {{0x123000, 0x3457000}, {0x3459000, 0x5a3b000}, {0x5a3c000, 0x5a3d000}}},
    {"across-4g", {{0xffe01000, 0x100203000}}},
    {"below-and-above-4g",
	{{0xfff00000, 0x100000000}, {0x100000000, 0x100085000}, {0x3fff00000, 0x3fffe1000}}},
    {"unaligned-bytes", {{0x100001, 0x103fff}, {0x200800, 0x2407ff}}},
    {"two-frames", {{0x800000, 0x802000}}},
};
static const struct map map_16g UNUSED = {
    "pc-16g", {{0x0, 0x9fc00}, {0x100000, 0xbfff0000}, {0x100000000, 0x43fff0000}}};

static unsigned char *model; /* of each frame: 0 not ours, 1 free, 2 in use */
static uint64_t seed = 0x243f6a8885a308d3;

enum { NOT_OURS, FREE, USED };

static uint64_t random_u64(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1d;
}

static inline uint64_t below(uint64_t n)
{
	return (random_u64(&seed) >> 11) % n;
}

static void fill_bootinfo(struct bootinfo *info, const struct map *m)
{
	memset(info, 0, sizeof *info);
	for (unsigned i = 0; i < ARRAY_SIZE(m->ranges) && m->ranges[i].end; i++)
		info->ranges[info->nranges++] =
		    (struct boot_range){m->ranges[i].start, m->ranges[i].end, BOOT_MEM_USABLE};
}

/* Forget host memory and records, and give the map to the allocator. */
static inline void start(const struct map *m)
{
	static struct bootinfo info;
	fill_bootinfo(&info, m);
	assert_int_equal(mprotect(page_records, NFRAMES * sizeof(struct page), PROT_READ | PROT_WRITE), 0);
	madvise(page_records, NFRAMES * sizeof(struct page), MADV_DONTNEED);
	madvise(host_ram, NFRAMES << PAGE_SHIFT, MADV_DONTNEED);
	madvise(model, NFRAMES, MADV_DONTNEED);
	for (unsigned i = 0; i < info.nranges; i++) {
		uint64_t first = DIV_ROUND_UP(info.ranges[i].start, PAGE_SIZE),
			 end = info.ranges[i].end >> PAGE_SHIFT;
		memset(model + MAX(first, 1), FREE, end - MAX(first, 1));
	}
	for (uint64_t base = 0; base < NFRAMES; base += BLOCK_FRAMES) {
		bool ram = memchr(model + base, FREE, BLOCK_FRAMES);
		if (ram)
			memset((void *)&page_records[base], GARBAGE, BLOCK_BYTES);
		else
			assert_int_equal(mprotect(&page_records[base], BLOCK_BYTES, PROT_NONE), 0);
	}
	frame_init(&info);
	model[page_to_pfn(zero_page)] = USED;
}

static inline uint64_t model_count(int state)
{
	uint64_t n = 0;
	for (unsigned char *m = model; (m = memchr(m, state, (size_t)(model + NFRAMES - m))); m++)
		n++;
	return n;
}

static inline void model_take(struct page *p, uint64_t n)
{
	uint64_t pfn = page_to_pfn(p);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(model[pfn + i], FREE); /* never handed out twice, never outside the map */
		model[pfn + i] = USED;
	}
}

static inline void model_give(struct page *p, uint64_t n)
{
	memset(model + page_to_pfn(p), FREE, n);
}

struct snapshot {
	struct zone_stats zones[NZONES];
};

static inline struct snapshot snapshot(void)
{
	struct snapshot s;
	frame_drain_all();
	frame_validate();
	for (unsigned i = 0; i < NZONES; i++)
		frame_zone_stats(i, &s.zones[i]);
	return s;
}

static inline void assert_same(const struct snapshot *a, const struct snapshot *b)
{
	for (unsigned i = 0; i < NZONES; i++) {
		assert_int_equal(a->zones[i].free, b->zones[i].free);
		assert_int_equal(b->zones[i].cached, 0);
		for (unsigned k = 0; k <= FRAME_MAX_ORDER; k++)
			assert_int_equal(a->zones[i].free_by_order[k], b->zones[i].free_by_order[k]);
	}
}

/* Once, before all tests. */
static inline void env_init(void)
{
	host_memory_init(NFRAMES);
	host_cpu_enter(0);
	model =
	    mmap(NULL, NFRAMES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
