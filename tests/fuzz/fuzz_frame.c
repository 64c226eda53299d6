/*
 * fuzz_frame.c - any memory map and any sequence of requests: no frame is handed out twice or from outside
 * the map, what is wanted is what is given, and at the end every frame is back and the free lists are whole.
 *
 * The first eight bytes make the map; every three bytes after them are a request.
 */
#include <stdlib.h>
#include <string.h>
#include "arch/bootinfo.h"
#include "lib/bits.h"
#include "machine/host.h"
#include "mm/frame_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NFRAMES = 4 * BLOCK_FRAMES, HELD = 256 };

static uint8_t owned[NFRAMES]; /* 0 not ours, 1 free, 2 in use */
static struct {
	struct page *p;
	uint64_t n;
	bool block;
} held[HELD];
static unsigned nheld;

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* Runs of frames whose borders are the bytes, as far as they lie in order: ragged and odd. */
static bool make_map(const uint8_t *bytes, struct bootinfo *info)
{
	uint64_t at = 1;
	memset(owned, 0, sizeof owned);
	for (unsigned i = 0; i < 8; i += 2) {
		uint64_t first = at + bytes[i] * 5u, end = first + bytes[i + 1] * 11u;
		end = MIN(end, NFRAMES);
		if (first >= end)
			continue;
		info->ranges[info->nranges++] =
		    (struct boot_range){first << PAGE_SHIFT, end << PAGE_SHIFT, BOOT_MEM_USABLE};
		memset(owned + first, 1, end - first);
		at = end;
	}
	return info->nranges;
}

static void take(struct page *p, uint64_t n, bool block)
{
	uint64_t pfn = page_to_pfn(p);
	check(pfn + n <= NFRAMES);
	for (uint64_t i = 0; i < n; i++) {
		check(owned[pfn + i] == 1);
		owned[pfn + i] = 2;
	}
	held[nheld].p = p;
	held[nheld].n = n;
	held[nheld++].block = block;
}

static void give(unsigned i)
{
	struct page *p = held[i].p;
	memset(owned + page_to_pfn(p), 1, held[i].n);
	if (held[i].block)
		frame_free_order(p, bit_lowest(held[i].n));
	else
		frame_free_range(p, held[i].n);
	held[i] = held[--nheld];
}

static void request(const uint8_t *op)
{
	struct page *p;
	unsigned order = op[1] % (FRAME_MAX_ORDER + 1);
	if (op[0] & 1 && nheld) {
		give(op[1] % nheld);
	} else if (op[0] & 2) {
		if ((p = frame_alloc_order(PAGE_KERNEL, order, FRAME_RESERVE)))
			take(p, 1ULL << order, true);
	} else {
		uint64_t n = 1 + op[2], align = (uint64_t)PAGE_SIZE << order,
			 limit = op[0] & 4 ? op[0] * KIB(64) : 0;
		p = frame_alloc_contiguous(PAGE_KERNEL, n, align, limit, FRAME_RESERVE);
		check(!p || (IS_ALIGNED(page_to_phys(p), align) &&
				(!limit || page_to_phys(p) + (n << PAGE_SHIFT) <= limit)));
		if (p)
			take(p, n, false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bootinfo info;
	if (!host_ram) {
		host_memory_init(NFRAMES);
		host_cpu_enter(0);
	}
	memset(&info, 0, sizeof info);
	if (size < 8 || !make_map(data, &info))
		return 0;
	memset((void *)page_records, 0xa5, NFRAMES * sizeof(struct page));
	frame_init(&info);
	take(zero_page, 1, true);
	nheld = 0;
	for (size_t i = 8; i + 3 <= size; i += 3) {
		if (nheld < HELD || data[i] & 1)
			request(&data[i]);
	}
	frame_validate();
	while (nheld)
		give(nheld - 1);
	frame_drain_all();
	frame_validate();
	check(frame_free_count() == frame_total_count() - 1);
	return 0;
}
