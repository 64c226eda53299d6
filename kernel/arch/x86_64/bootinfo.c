/*
 * bootinfo.c - what the boot loader told, made regular.
 *
 * The parsers (pvh.c, multiboot2.c) note raw ranges: entries of the firmware's map, and things that lie in
 * memory (the kernel, modules, ACPI tables). They may be unsorted, empty, overlapping, ragged, of unknown
 * types. boot_map_build() turns them into bootinfo.ranges:
 *
 *	- all bounds of all raw ranges are sorted; between two neighbouring bounds lies an elementary interval
 *	  that each raw range covers wholly or not at all;
 *	- the strongest claim on an interval wins: things in memory over the map's entries, reserved over ACPI
 *	  over usable;
 *	- neighbours of one type are joined; usable ranges shrink to whole pages, so that a page is usable
 *	  only if all of it is;
 *	- what no range covers is not memory. So if the table overflows, dropping a reserved range loses
 *	  nothing, and dropping the smallest usable range is safe.
 *
 * The loader is not trusted: every address it gives is checked against the window that the first page tables
 * map, and every sum for overflow.
 */
#include "arch/bootinfo.h"
#include "arch/x86_64/boot_map.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/boot.h"
#include "machine/mmu.h"

enum { RAW_MAX = 384 };

/* Ascending strength: a claim that stands further down wins. */
enum claim {
	CLAIM_NONE,
	CLAIM_USABLE,
	CLAIM_ACPI,
	CLAIM_RESERVED,
	CLAIM_ACPI_TABLE,
	CLAIM_MODULE,
	CLAIM_KERNEL
};

struct raw_range {
	paddr_t start, end;
	enum claim claim;
};

struct bootinfo bootinfo;
static struct raw_range raw[RAW_MAX];
static unsigned nraw;
static paddr_t bounds[2 * RAW_MAX];

const void *boot_peek(paddr_t pa, uint64_t n)
{
	if (pa == 0 || pa >= BOOT_WINDOW_END || n > BOOT_WINDOW_END - pa)
		return NULL;
	return phys_to_virt(pa);
}

static void add_raw(paddr_t start, paddr_t end, enum claim claim)
{
	if (start >= end)
		return;
	/* Out of room: memory that is not noted is not used. But a claim of something in memory must not be
	 * lost. */
	if (nraw == RAW_MAX) {
		if (claim == CLAIM_USABLE)
			return;
		panic("the boot loader's memory map has more than %u entries", RAW_MAX);
	}
	raw[nraw++] = (struct raw_range){start, end, claim};
}

void boot_map_add_e820(uint64_t start, uint64_t len, uint32_t type)
{
	static const enum claim claims[] = {[E820_USABLE] = CLAIM_USABLE,
	    [E820_RESERVED] = CLAIM_RESERVED,
	    [E820_ACPI] = CLAIM_ACPI,
	    [E820_NVS] = CLAIM_ACPI};
	enum claim claim = type >= E820_USABLE && type < ARRAY_SIZE(claims) ? claims[type] : CLAIM_RESERVED;
	/* Nothing beyond 2^52 is addressable by any processor of this architecture. */
	uint64_t limit = 1ULL << 52;

	if (start < limit)
		add_raw(start, start + MIN(len, limit - start), claim);
}

void boot_map_add_used(paddr_t start, paddr_t end, enum boot_memory_type type)
{
	static const enum claim claims[] = {[BOOT_MEM_USABLE] = CLAIM_USABLE,
	    [BOOT_MEM_RESERVED] = CLAIM_RESERVED,
	    [BOOT_MEM_ACPI] = CLAIM_ACPI_TABLE,
	    [BOOT_MEM_KERNEL] = CLAIM_KERNEL,
	    [BOOT_MEM_MODULE] = CLAIM_MODULE};

	add_raw(start, end, claims[type]);
}

static void copy_bounded(char *dst, size_t size, const char *src, uint64_t max)
{
	size_t n = src ? strnlen(src, MIN(max, size - 1)) : 0;

	if (n)
		memcpy(dst, src, n);
	dst[n] = 0;
}

void boot_set_cmdline(const char *s, uint64_t max)
{
	copy_bounded(bootinfo.cmdline, sizeof(bootinfo.cmdline), s, max);
}

void boot_add_module(uint64_t start, uint64_t end, const char *name, uint64_t max)
{
	if (bootinfo.nmodules == BOOT_MAX_MODULES || start >= end || end > BOOT_WINDOW_END ||
	    start < PAGE_SIZE)
		return;
	struct boot_module *m = &bootinfo.modules[bootinfo.nmodules++];
	m->start = start;
	m->end = end;
	copy_bounded(m->name, sizeof(m->name), name, max);
	boot_map_add_used(ALIGN_DOWN(start, PAGE_SIZE), ALIGN_UP(end, PAGE_SIZE), BOOT_MEM_MODULE);
}

/* Insertion sort: firmware maps are nearly sorted already. Returns the number of distinct bounds. */
static unsigned sort_bounds(void)
{
	unsigned n = 0, distinct = 0;

	for (unsigned i = 0; i < 2 * nraw; i++) {
		paddr_t b = i % 2 ? raw[i / 2].end : raw[i / 2].start;
		unsigned j = n++;
		for (; j > 0 && bounds[j - 1] > b; j--)
			bounds[j] = bounds[j - 1];
		bounds[j] = b;
	}
	for (unsigned i = 0; i < n; i++)
		if (i == 0 || bounds[i] != bounds[distinct - 1])
			bounds[distinct++] = bounds[i];
	return distinct;
}

static enum claim strongest_claim(paddr_t start)
{
	enum claim best = CLAIM_NONE;

	for (unsigned i = 0; i < nraw; i++)
		if (raw[i].start <= start && start < raw[i].end && raw[i].claim > best)
			best = raw[i].claim;
	return best;
}

void boot_map_remove(unsigned i)
{
	memmove(&bootinfo.ranges[i], &bootinfo.ranges[i + 1],
	    (bootinfo.nranges - i - 1) * sizeof(bootinfo.ranges[0]));
	bootinfo.nranges--;
}

/* Make room in a full table: the smallest reserved range, or else the smallest usable one, is forgotten. */
static void drop_least_range(void)
{
	unsigned least = 0;
	uint64_t least_cost = UINT64_MAX;

	for (unsigned i = 0; i < bootinfo.nranges; i++) {
		struct boot_range *r = &bootinfo.ranges[i];
		uint64_t cost = r->type == BOOT_MEM_RESERVED ? 0
				: r->type == BOOT_MEM_USABLE ? r->end - r->start
							     : UINT64_MAX;
		if (cost < least_cost) {
			least_cost = cost;
			least = i;
		}
	}
	boot_map_remove(least);
}

void boot_map_insert(unsigned at, paddr_t start, paddr_t end, enum boot_memory_type type)
{
	memmove(&bootinfo.ranges[at + 1], &bootinfo.ranges[at],
	    (bootinfo.nranges - at) * sizeof(bootinfo.ranges[0]));
	bootinfo.ranges[at] = (struct boot_range){start, end, type};
	bootinfo.nranges++;
}

static void append_range(paddr_t start, paddr_t end, enum boot_memory_type type)
{
	struct boot_range *last = bootinfo.nranges ? &bootinfo.ranges[bootinfo.nranges - 1] : NULL;

	if (last && last->end == start && last->type == type) {
		last->end = end;
		return;
	}
	if (bootinfo.nranges == BOOT_MAX_RANGES - BOOT_SPARE_RANGES)
		drop_least_range();
	boot_map_insert(bootinfo.nranges, start, end, type);
}

/* A page is usable only if all of it is. */
static void align_usable(void)
{
	for (unsigned i = bootinfo.nranges; i-- > 0;) {
		struct boot_range *r = &bootinfo.ranges[i];
		if (r->type != BOOT_MEM_USABLE)
			continue;
		r->start = ALIGN_UP(r->start, PAGE_SIZE);
		r->end = ALIGN_DOWN(r->end, PAGE_SIZE);
		if (r->start >= r->end)
			boot_map_remove(i);
	}
}

void boot_map_build(void)
{
	static const enum boot_memory_type types[] = {[CLAIM_USABLE] = BOOT_MEM_USABLE,
	    [CLAIM_ACPI] = BOOT_MEM_ACPI,
	    [CLAIM_RESERVED] = BOOT_MEM_RESERVED,
	    [CLAIM_ACPI_TABLE] = BOOT_MEM_ACPI,
	    [CLAIM_MODULE] = BOOT_MEM_MODULE,
	    [CLAIM_KERNEL] = BOOT_MEM_KERNEL};
	unsigned n = sort_bounds();

	bootinfo.nranges = 0;
	for (unsigned i = 0; i + 1 < n; i++) {
		enum claim c = strongest_claim(bounds[i]);
		if (c != CLAIM_NONE)
			append_range(bounds[i], bounds[i + 1], types[c]);
	}
	align_usable();
}

void bootinfo_parse(uint32_t magic, uint32_t info)
{
	if (!multiboot2_parse(magic, info) && !pvh_parse(info))
		panic("neither a Multiboot2 nor a PVH boot loader (eax %x, ebx %x), or no memory map", magic,
		    info);
	/* The first page holds firmware data, and frame number 0 means "none" in page records. */
	add_raw(0, PAGE_SIZE, CLAIM_RESERVED);
	boot_map_add_used((paddr_t)boot_start, image_to_phys(kernel_end), BOOT_MEM_KERNEL);
}

bool boot_range_is_memory(const struct boot_range *r)
{
	return r->type != BOOT_MEM_RESERVED;
}

bool cmdline_get(const char *key, char *buf, size_t size)
{
	size_t len = strlen(key);
	const char *s = bootinfo.cmdline;

	while (*s) {
		while (*s == ' ')
			s++;
		const char *end = s;
		while (*end && *end != ' ')
			end++;
		if (strncmp(s, key, len) == 0 && (s + len == end || s[len] == '=')) {
			const char *value = s + len == end ? end : s + len + 1;
			copy_bounded(buf, size, value, (uint64_t)(end - value));
			return true;
		}
		s = end;
	}
	return false;
}
