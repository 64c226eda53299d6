/* exec_place.c - see exec_place.h. The numbers of bits are those of Linux on this processor. */
#include "proc/exec_place.h"
#include "kern/random.h"
#include "lib/bits.h"
#include "vm/region.h"

enum {
	STACK_BITS = 22, /* pages */
	MMAP_BITS = 28,
	BRK_BITS = 13,
	SP_RANGE = 8192, /* bytes */
};
#define GAP_MIN MIB(128)
#define GAP_MAX (USER_END / 6 * 5)

static uint64_t random_pages(const struct exec_place *place, unsigned bits)
{
	uint64_t n = 0;
	if (place->randomize)
		random_bytes(&n, sizeof(n));
	return (n & ((1ULL << bits) - 1)) << PAGE_SHIFT;
}

void exec_place_choose(struct exec_place *place, bool randomize, uint64_t stack_limit)
{
	uint64_t moved = randomize ? ((1ULL << STACK_BITS) - 1) << PAGE_SHIFT : 0;
	uint64_t pad = moved + STACK_GUARD, most = GAP_MAX - pad;
	uint64_t size = ALIGN_DOWN(MIN(stack_limit, most), (uint64_t)PAGE_SIZE);
	uint64_t gap = MAX(size + pad, GAP_MIN);
	place->randomize = randomize;
	place->stack_top = USER_END - random_pages(place, STACK_BITS);
	place->mmap_top = ALIGN_UP(USER_END - gap, (uint64_t)PAGE_SIZE) - random_pages(place, MMAP_BITS);
	uint32_t offset = 0;
	if (randomize)
		random_bytes(&offset, sizeof(offset));
	place->sp_offset = offset % SP_RANGE;
}

uaddr_t exec_place_pie(const struct exec_place *place, uint64_t align)
{
	uaddr_t base = PIE_BASE + random_pages(place, MMAP_BITS);
	return ALIGN_DOWN(base, align);
}

uaddr_t exec_place_brk(const struct exec_place *place, uaddr_t program_end)
{
	return program_end + random_pages(place, BRK_BITS);
}
