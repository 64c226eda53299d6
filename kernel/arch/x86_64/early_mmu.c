/*
 * early_mmu.c - the kernel half of every address space, made once at boot.
 *
 *	slot 256 ...  direct map: every run of RAM, rounded to pages; 1 GiB, 2 MiB and 4 KiB pages as alignment and
 *	              length allow. What is not RAM is not mapped: devices get their own mappings with their
 *	              own cache type. The image's text and read-only data are read-only here too
 *	slot 384      page records: backed only for frames that are RAM (and their neighbours in the same page of records)
 *	slot 416      kernel VA arena, empty
 *	slot 511      the image: text R-X, read-only data R--, data RW-, pages between the static stacks left out
 *
 * The early allocator cuts what it takes out of bootinfo's map: from the top of the highest usable range that
 * fits, so that cuts lie together and the map hardly grows. Tables must lie below 4 GiB: the first page
 * tables reach no further, and other CPUs load the root in 32-bit mode. Page records may lie anywhere.
 *
 * Page records are not zeroed: the zone writes the records of a block when it opens the block. Only records
 * that no zone will ever write are written here: those of frames that are not usable but share a page of
 * records with frames that are (kind RESERVED). Boot work so stays in proportion to the holes, not to the
 * memory.
 */
#include "arch/bootinfo.h"
#include "lib/assert.h"
#include "lib/kasan.h"
#include "lib/string.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/mmu.h"
#include "mm/page.h"

enum {
	RECORDS_PER_PAGE = PAGE_SIZE / sizeof(struct page),
	RECORDS_PER_LARGE = MIB(2) / sizeof(struct page),
	/* Records are mapped by a large page if at most this many of its frames are no RAM. */
	LARGE_HOLES_MAX = RECORDS_PER_LARGE / 16,
	MAX_SPANS = 2 * BOOT_MAX_RANGES,
};

/* Frames [first, end) whose records are mapped. */
struct record_span {
	uint64_t first, end;
};

paddr_t boot_root;
paddr_t ap_trampoline;
static pte_t *root;
static bool final_tables; /* the final tables are loaded */
static uint64_t page_global, page_nx;
static struct record_span spans[MAX_SPANS];
static unsigned nspans;

/* Take `size` bytes out of usable range i, ending at the highest aligned place below limit. 0: it does not
 * fit. */
static paddr_t cut_range(unsigned i, uint64_t size, uint64_t align, paddr_t limit)
{
	struct boot_range *r = &bootinfo.ranges[i];
	paddr_t top = MIN(r->end, limit);

	if (top < r->start || top - r->start < size || bootinfo.nranges + 2 > BOOT_MAX_RANGES)
		return 0;
	paddr_t start = ALIGN_DOWN(top - size, align), end = start + size, old_end = r->end;
	if (start < r->start)
		return 0;
	struct boot_range *above = i + 1 < bootinfo.nranges ? r + 1 : NULL;
	bool joins = end == old_end && above && above->start == end && above->type == BOOT_MEM_KERNEL;
	r->end = start;
	if (joins)
		above->start = start;
	else
		boot_map_insert(i + 1, start, end, BOOT_MEM_KERNEL);
	if (end < old_end)
		boot_map_insert(i + 2, end, old_end, BOOT_MEM_USABLE);
	if (bootinfo.ranges[i].start == start)
		boot_map_remove(i);
	return start;
}

paddr_t early_alloc(uint64_t size, uint64_t align, paddr_t limit)
{
	for (unsigned i = bootinfo.nranges; i-- > 0;) {
		if (bootinfo.ranges[i].type != BOOT_MEM_USABLE)
			continue;
		paddr_t pa = cut_range(i, size, align, limit);
		if (pa)
			return pa;
	}
	return 0;
}

static pte_t *alloc_table(paddr_t *pa)
{
	*pa = early_alloc(PAGE_SIZE, PAGE_SIZE, GIB(4));
	if (!*pa)
		panic("not enough memory below 4 GiB for the kernel's page tables");
	return memset(phys_to_virt(*pa), 0, PAGE_SIZE);
}

/* The entry of `level` for va; tables on the way are made. */
static pte_t *entry_for(vaddr_t va, unsigned level)
{
	pte_t *table = root;

	for (unsigned l = PT_LEVELS - 1; l > level; l--) {
		pte_t *e = &table[pt_index(va, l)];
		paddr_t pa = load_relaxed(e) & PTE_ADDR;
		if (!load_relaxed(e)) {
			table = alloc_table(&pa);
			store_relaxed(e, pa | PTE_P | PTE_W);
		}
		table = phys_to_virt(pa);
	}
	return &table[pt_index(va, level)];
}

static unsigned largest_level(vaddr_t va, paddr_t pa, uint64_t len)
{
	unsigned level = cpu_features.gib_pages ? 2 : 1;

	while (level > 0 && (((va | pa) & (pt_span(level) - 1)) || len < pt_span(level)))
		level--;
	return level;
}

/* Map [pa, pa + len) at va, whole pages; `rights` are PTE_W and PTE_NX as wanted. */
static void map_range(vaddr_t va, paddr_t pa, uint64_t len, uint64_t rights)
{
	while (len) {
		unsigned level = largest_level(va, pa, len);
		uint64_t large = level ? PTE_PS : 0;
		pte_t *e = entry_for(va, level);
		ASSERT(!load_relaxed(e));
		/* Accessed and dirty are set beforehand: nobody reads them here, and the CPU need not write
		 * them. */
		store_relaxed(e, pa | rights | large | page_global | PTE_P | PTE_A | PTE_D);
		va += pt_span(level);
		pa += pt_span(level);
		len -= pt_span(level);
	}
}

/* The next run of RAM at or after range *i: neighbours of any type but RESERVED joined, rounded outwards to
 * pages. */
static bool next_memory_run(unsigned *i, paddr_t *start, paddr_t *end)
{
	while (*i < bootinfo.nranges && !boot_range_is_memory(&bootinfo.ranges[*i]))
		++*i;
	if (*i == bootinfo.nranges)
		return false;
	*start = ALIGN_DOWN(bootinfo.ranges[*i].start, PAGE_SIZE);
	do
		*end = ALIGN_UP(bootinfo.ranges[*i].end, PAGE_SIZE);
	while (++*i < bootinfo.nranges && boot_range_is_memory(&bootinfo.ranges[*i]) &&
	       ALIGN_DOWN(bootinfo.ranges[*i].start, PAGE_SIZE) <= *end);
	return true;
}

static void map_direct(paddr_t start, paddr_t end, uint64_t rights)
{
	if (start < end)
		map_range(DIRECT_MAP_BASE + start, start, end - start, rights | page_nx);
}

/* The part of the image that must not be written, under whatever address. */
static void map_direct_run(paddr_t start, paddr_t end)
{
	paddr_t ro_start = (paddr_t)boot_start, ro_end = image_to_phys(data_start);

	if (start > ro_start || end < ro_end) {
		map_direct(start, end, PTE_W);
		return;
	}
	map_direct(start, ro_start, PTE_W);
	map_direct(ro_start, ro_end, 0);
	map_direct(ro_end, end, PTE_W);
}

/* The map changes while tables are cut out of it, but only from usable to used: the runs stay the same. Entry
 * numbers do not, so go by address. */
static void build_direct_map(void)
{
	paddr_t start, end = 0;

	for (;;) {
		unsigned i = 0;
		while (i < bootinfo.nranges && bootinfo.ranges[i].start < end)
			i++;
		if (!next_memory_run(&i, &start, &end))
			return;
		if (end > DIRECT_MAP_END - DIRECT_MAP_BASE)
			panic("memory at %#lx lies beyond the direct map", end);
		map_direct_run(start, end);
	}
}

/* How many frames of [first, end) are RAM? */
static uint64_t count_memory(uint64_t first, uint64_t end)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < bootinfo.nranges; i++) {
		struct boot_range *r = &bootinfo.ranges[i];
		uint64_t a = MAX(r->start >> PAGE_SHIFT, first),
			 b = MIN(DIV_ROUND_UP(r->end, PAGE_SIZE), end);
		if (boot_range_is_memory(r) && a < b)
			n += b - a;
	}
	return n;
}

static void note_span(uint64_t first, uint64_t end)
{
	if (nspans && spans[nspans - 1].end == first) {
		spans[nspans - 1].end = end;
		return;
	}
	ASSERT(nspans < MAX_SPANS);
	spans[nspans++] = (struct record_span){first, end};
}

static bool map_records_large(uint64_t first)
{
	if (count_memory(first, first + RECORDS_PER_LARGE) < RECORDS_PER_LARGE - LARGE_HOLES_MAX)
		return false;
	paddr_t pa = early_alloc(MIB(2), MIB(2), UINT64_MAX);
	if (!pa)
		return false;
	map_range((vaddr_t)&page_records[first], pa, MIB(2), PTE_W | page_nx);
	return true;
}

static void map_records_page(uint64_t first)
{
	paddr_t pa = early_alloc(PAGE_SIZE, PAGE_SIZE, UINT64_MAX);

	if (!pa)
		panic("not enough memory for page records");
	map_range((vaddr_t)&page_records[first], pa, PAGE_SIZE, PTE_W | page_nx);
}

/* Back the records of frames [first, end); those below *done are backed already. */
static void build_records_run(uint64_t first, uint64_t end, uint64_t *done)
{
	uint64_t pfn = MAX(ALIGN_DOWN(first, RECORDS_PER_PAGE), *done);

	while (pfn < end) {
		uint64_t n = RECORDS_PER_PAGE, chunk = ALIGN_DOWN(pfn, RECORDS_PER_LARGE);
		if (chunk >= *done && map_records_large(chunk)) {
			pfn = chunk;
			n = RECORDS_PER_LARGE;
		} else {
			map_records_page(pfn);
		}
		note_span(pfn, pfn + n);
		pfn += n;
		*done = pfn;
	}
}

static void build_records(void)
{
	paddr_t start, end = 0;
	uint64_t done = 0;

	for (;;) {
		unsigned i = 0;
		while (i < bootinfo.nranges && bootinfo.ranges[i].start < end)
			i++;
		if (!next_memory_run(&i, &start, &end))
			return;
		build_records_run(start >> PAGE_SHIFT, end >> PAGE_SHIFT, &done);
	}
}

static void mark_reserved(uint64_t first, uint64_t end)
{
	for (uint64_t pfn = first; pfn < end; pfn++) {
		struct page *p = pfn_to_page(pfn);
		*p = (struct page){0};
		page_set_kind(p, PAGE_RESERVED, 0);
	}
}

/* Write the records of the span's frames that no zone will get. */
static void mark_span(const struct record_span *s)
{
	uint64_t pfn = s->first;

	for (unsigned i = 0; i < bootinfo.nranges && pfn < s->end; i++) {
		struct boot_range *r = &bootinfo.ranges[i];
		if (r->type != BOOT_MEM_USABLE || r->end >> PAGE_SHIFT <= pfn)
			continue;
		mark_reserved(pfn, MAX(pfn, MIN(r->start >> PAGE_SHIFT, s->end)));
		pfn = r->end >> PAGE_SHIFT;
	}
	if (pfn < s->end)
		mark_reserved(pfn, s->end);
}

/* Static stacks have unmapped pages around them. */
static void map_guarded(void)
{
	map_range((vaddr_t)boot_stack, image_to_phys(boot_stack), (uint64_t)(boot_stack_end - boot_stack),
	    PTE_W | page_nx);
	for (char *s = boot_ist_stacks; s < boot_guarded_end; s += IST_STACK_SIZE + PAGE_SIZE)
		map_range((vaddr_t)s, image_to_phys(s), IST_STACK_SIZE, PTE_W | page_nx);
}

static void map_image(const char *start, const char *end, uint64_t rights)
{
	map_range((vaddr_t)start, image_to_phys(start), (uint64_t)(end - start), rights);
}

static void build_image(void)
{
	map_image(text_start, text_end, 0);
	map_image(rodata_start, rodata_end, page_nx);
	map_image(data_start, boot_guarded, PTE_W | page_nx);
	map_guarded();
	map_image(boot_guarded_end, kernel_end, PTE_W | page_nx);
}

bool direct_map_covers(paddr_t pa, uint64_t len)
{
	if (len > UINT64_MAX - pa)
		return false;
	if (!final_tables)
		return pa + len <= GIB(4);
	unsigned i = 0;
	paddr_t start, end;
	while (next_memory_run(&i, &start, &end))
		if (start <= pa && pa + len <= end)
			return true;
	return false;
}

static void take_trampoline(void)
{
	for (unsigned i = 0; i < bootinfo.nranges && !ap_trampoline; i++)
		if (bootinfo.ranges[i].type == BOOT_MEM_USABLE && bootinfo.ranges[i].start < MIB(1))
			ap_trampoline = cut_range(i, PAGE_SIZE, PAGE_SIZE, MIB(1));
}

void early_mmu_init(void)
{
	page_global = cpu_features.pge ? PTE_G : 0;
	page_nx = cpu_features.nx ? PTE_NX : 0;
	take_trampoline();
	root = alloc_table(&boot_root);
	build_image();
	build_direct_map();
	build_records();
	/* An empty table for the arena: roots are copied, so this slot must never change again. */
	entry_for(KVA_BASE, 2);
	kasan_map_shadow(boot_root);
	write_cr3(boot_root);
	final_tables = true;
	kasan_start();
	for (unsigned i = 0; i < nspans; i++)
		mark_span(&spans[i]);
}
