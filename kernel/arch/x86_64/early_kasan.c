/*
 * early_kasan.c - the shadow memory of the address sanitizer (VARIANT=kasan; debug/kasan.c has the theory).
 *
 * The shadow of the kernel half takes 32 slots of the root table. At first all of it is one page, zero and
 * writable, behind one table of each level: code that was instrumented may run, what it writes there is
 * forgotten. Then memory of its own is given to the shadow of what can be poisoned - the direct map of RAM,
 * the arena, the image -, taken out of the boot map; it costs an eighth of the memory. Everything else keeps
 * the page of zeros, now read-only: it may be accessed, as far as the sanitizer is concerned.
 *
 * Compiled without instrumentation.
 */
#include "arch/bootinfo.h"
#include "lib/assert.h"
#include "lib/kasan.h"
#include "lib/string.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/mmu.h"

enum { FIRST_SLOT = (KASAN_SHADOW_START >> 39) & 511, END_SLOT = (KASAN_SHADOW_END >> 39) & 511 };

static char zeros[PAGE_SIZE] ALIGNED(PAGE_SIZE);
/* Every entry of zero_tables[0] is the page of zeros, every entry of the next level is the table before. */
static pte_t zero_tables[3][512] ALIGNED(PAGE_SIZE);

static void fill_zero_table(unsigned level, uint64_t rights)
{
	paddr_t below = image_to_phys(level ? (void *)zero_tables[level - 1] : zeros);

	for (unsigned i = 0; i < 512; i++)
		store_relaxed(&zero_tables[level][i], below | rights | PTE_P | PTE_A | PTE_D);
}

void kasan_early_init(void)
{
	pte_t *root = phys_to_virt(read_cr3() & PTE_ADDR);

	for (unsigned level = 0; level < 3; level++)
		fill_zero_table(level, PTE_W);
	for (unsigned i = FIRST_SLOT; i < END_SLOT; i++)
		store_relaxed(&root[i], image_to_phys(zero_tables[2]) | PTE_P | PTE_W | PTE_A);
}

static paddr_t alloc_frames(uint64_t size)
{
	paddr_t pa = early_alloc(size, size, GIB(4)); /* what the early tables reach */

	if (!pa)
		panic("not enough memory for the sanitizer's shadow");
	return pa;
}

/* Only the early tables may write to the page of zeros. */
static void copy_zero_table(pte_t *to, unsigned level)
{
	for (unsigned i = 0; i < 512; i++)
		store_relaxed(&to[i], load_relaxed(&zero_tables[level][i]) & ~(level ? 0 : PTE_W));
}

/* The entry of `level` for the shadow address va; tables of zeros on the way are replaced by copies. */
static pte_t *own_entry(paddr_t root, vaddr_t va, unsigned level)
{
	pte_t *table = phys_to_virt(root);

	for (unsigned l = PT_LEVELS - 1; l > level; l--) {
		pte_t *e = &table[pt_index(va, l)];
		if ((load_relaxed(e) & PTE_ADDR) == image_to_phys(zero_tables[l - 1])) {
			paddr_t pa = alloc_frames(PAGE_SIZE);
			copy_zero_table(phys_to_virt(pa), l - 1);
			store_relaxed(e, pa | PTE_P | PTE_W | PTE_A);
		}
		table = phys_to_virt(load_relaxed(e) & PTE_ADDR);
	}
	return &table[pt_index(va, level)];
}

/* Back [va, end) of the shadow with zeroed memory, by large pages where it has room for them. Parts that are
 * backed already stay as they are. */
static void back(paddr_t root, vaddr_t va, vaddr_t end)
{
	va = ALIGN_DOWN(va, PAGE_SIZE);
	while (va < end) {
		bool large = (va & (MIB(2) - 1)) == 0 && end - va >= MIB(2);
		uint64_t size = large ? MIB(2) : PAGE_SIZE;
		pte_t *e = own_entry(root, va, large);
		paddr_t zero = image_to_phys(large ? (void *)zero_tables[0] : zeros);
		if ((load_relaxed(e) & PTE_ADDR) == zero) {
			paddr_t pa = alloc_frames(size);
			memset(phys_to_virt(pa), 0, size);
			store_relaxed(e, pa | (large ? PTE_PS : 0) | PTE_P | PTE_W | PTE_NX | PTE_A | PTE_D);
		}
		va += size;
	}
}

static vaddr_t shadow(vaddr_t va)
{
	return KASAN_OFFSET + (va >> 3);
}

/* The boot map changes while memory is cut out of it, but what is memory stays memory: go by address. */
static void back_direct_map(paddr_t root)
{
	paddr_t done = 0;

	for (unsigned i = 0; i < bootinfo.nranges;) {
		struct boot_range r = bootinfo.ranges[i];
		if (r.end <= done || !boot_range_is_memory(&r)) {
			i++;
			continue;
		}
		back(root, shadow(DIRECT_MAP_BASE + MAX(r.start, done)), shadow(DIRECT_MAP_BASE + r.end));
		done = r.end;
		i = 0;
	}
}

void kasan_map_shadow(paddr_t root)
{
	pte_t *table = phys_to_virt(root);

	for (unsigned i = FIRST_SLOT; i < END_SLOT; i++)
		store_relaxed(&table[i], image_to_phys(zero_tables[2]) | PTE_P | PTE_W | PTE_A);
	back_direct_map(root);
	back(root, shadow(KVA_BASE), shadow(KVA_BASE + KVA_SIZE));
	back(root, shadow((vaddr_t)text_start), shadow((vaddr_t)kernel_end));
	memset(zeros, 0, sizeof(zeros));
	fill_zero_table(0, PTE_NX);
}
