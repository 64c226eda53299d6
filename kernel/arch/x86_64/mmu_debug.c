/*
 * mmu_debug.c - check and print page tables. Works on any context, loaded or not, through the direct map.
 */
#include "arch/mmu.h"
#include "arch/x86_64/mmu_tables.h"
#include "kern/log.h"
#include "lib/assert.h"
#include "mm/page.h"

/* Position and path rights of a walk over everything. */
struct visit {
	const struct page_tables *pt;
	uint64_t ntables, nlarge, nfile, nshmem;
	bool kernel; /* the half that is walked */
};

static vaddr_t entry_va(vaddr_t base, unsigned level, unsigned i)
{
	vaddr_t va = base + (uint64_t)i * pt_span(level);
	return va >> 47 & 1 ? va | 0xffff000000000000ULL : va;
}

/* Does entry i name the same table as the one before it? The sanitizer's shadow is mostly one page, seen
 * through the same tables again and again: once is enough. (A counted table that is linked twice is an error,
 * so that is looked at.) */
static bool is_repeat(const pte_t *table, unsigned i)
{
	uint64_t e = load_relaxed(&table[i]), before = i ? load_relaxed(&table[i - 1]) : 0;
	return (before & PTE_P) && (e & PTE_ADDR) == (before & PTE_ADDR) && !table_is_counted(pte_table(e));
}

static void check_leaf(struct visit *v, uint64_t e, uint64_t path, vaddr_t va, unsigned level)
{
	bool writable = e & path & PTE_W, executable = !(e & PTE_NX);
	if (v->kernel && writable && executable)
		panic("mmu: kernel page %#llx is writable and executable (entry %#llx, level %u)",
		    (unsigned long long)va, (unsigned long long)e, level);
	if (v->kernel && (e & path & PTE_U))
		panic("mmu: kernel page %#llx is accessible to users", (unsigned long long)va);
	if (!v->kernel && (e & PTE_G))
		panic("mmu: user page %#llx is global", (unsigned long long)va);
	v->nlarge += level > 0 && !v->kernel;
	ASSERT(!(e & (PTE_FILE | PTE_SHMEM)) || (level == 0 && !v->kernel));
	v->nfile += e & PTE_FILE ? 1 : 0;
	v->nshmem += e & PTE_SHMEM ? 1 : 0;
	if (level > 0 && (e & PTE_ADDR & (pt_span(level) - 1) & ~PTE_PATL))
		panic("mmu: large page at %#llx is not aligned: %#llx", (unsigned long long)va,
		    (unsigned long long)e);
}

/* A counted table belongs to the context, and its record says that it serves exactly these addresses: so none
 * is linked twice. */
static void check_owner(struct visit *v, const pte_t *table, vaddr_t base, unsigned level)
{
	const struct page *p = virt_to_page((const void *)table);
	if (!table_is_counted(table)) {
		ASSERT(v->kernel);
		return;
	}
	v->ntables++;
	if (p->owner != v->pt || p->index != ((base & ~(pt_span(level) * PT_ENTRIES - 1)) | level))
		panic("mmu: table %#llx at %#llx level %u belongs to %p, %#llx",
		    (unsigned long long)page_to_phys(p), (unsigned long long)base, level, p->owner,
		    (unsigned long long)p->index);
}

static void check_table(struct visit *v, const pte_t *table, vaddr_t base, unsigned level, uint64_t path)
{
	unsigned present = 0;
	uint64_t file = v->nfile, shmem = v->nshmem;
	check_owner(v, table, base, level);
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		uint64_t e = load_relaxed(&table[i]);
		if (!(e & PTE_P))
			continue;
		present++;
		vaddr_t va = entry_va(base, level, i);
		if (pte_is_leaf(e, level))
			check_leaf(v, e, path, va, level);
		else if (!is_repeat(table, i))
			check_table(v, pte_table(e), va, level - 1, path & e);
	}
	const struct page *p = virt_to_page((const void *)table);
	if (table_is_counted(table) && (table_present(p->table_counts) != present || present == 0))
		panic("mmu: table at %#llx level %u has %u entries, its record says %u",
		    (unsigned long long)base, level, present, table_present(p->table_counts));
	if (level == 0 && table_is_counted(table))
		ASSERT(table_file(p->table_counts) == v->nfile - file &&
		       table_shmem(p->table_counts) == v->nshmem - shmem);
}

void tables_validate(const struct page_tables *pt, unsigned first_slot, unsigned end_slot)
{
	struct visit v = {.pt = pt, .kernel = first_slot >= PT_ENTRIES / 2};
	unsigned present = 0;
	for (unsigned i = first_slot; i < end_slot; i++) {
		uint64_t e = load_relaxed(&pt->root[i]);
		if (!(e & PTE_P))
			continue;
		present++;
		if (!is_repeat(pt->root, i))
			check_table(&v, pte_table(e), entry_va(0, PT_LEVELS - 1, i), PT_LEVELS - 2, e);
	}
	if (table_is_counted(pt->root)) {
		v.ntables++;
		ASSERT(table_present(virt_to_page((const void *)pt->root)->table_counts) == present);
	}
	ASSERT(v.nlarge == pt->large && v.nfile == load_relaxed(&pt->file) &&
	       v.nshmem == load_relaxed(&pt->shmem));
	if (v.ntables != load_relaxed(&pt->count))
		panic("mmu: %llu tables found, %llu counted", (unsigned long long)v.ntables,
		    (unsigned long long)load_relaxed(&pt->count));
}

/* A run of translations with equal rights. */
struct run {
	vaddr_t start, end;
	unsigned flags;
	uint64_t size; /* of its leaves */
};

static const char *const cache_names[8] = {"wb", "wt", "uc-", "uc", "wc", "?", "?", "?"};

static void print_run(const struct run *r)
{
	if (r->start == r->end)
		return;
	log_info("mmu", "%016llx-%016llx %c%c%c%c%c %s %lluK", (unsigned long long)r->start,
	    (unsigned long long)r->end, r->flags & MMU_READ ? 'r' : '-', r->flags & MMU_WRITE ? 'w' : '-',
	    r->flags & MMU_EXEC ? 'x' : '-', r->flags & MMU_USER ? 'u' : '-',
	    r->flags & MMU_GLOBAL ? 'g' : '-', cache_names[r->flags >> MMU_CACHE_SHIFT & 7],
	    (unsigned long long)(r->size >> 10));
}

static void dump_leaf(struct run *r, uint64_t e, uint64_t path, vaddr_t va, unsigned level)
{
	unsigned flags =
	    pte_flags((e & ~(PTE_W | PTE_U)) | (e & path & (PTE_W | PTE_U)) | (path & PTE_NX), level);
	if (va == r->end && flags == r->flags && pt_span(level) == r->size) {
		r->end += pt_span(level);
		return;
	}
	print_run(r);
	*r = (struct run){.start = va, .end = va + pt_span(level), .flags = flags, .size = pt_span(level)};
}

static void dump_table(struct run *r, const pte_t *table, vaddr_t base, unsigned level, uint64_t path)
{
	for (unsigned i = 0; i < PT_ENTRIES; i++) {
		uint64_t e = load_relaxed(&table[i]);
		if (!(e & PTE_P))
			continue;
		uint64_t below = (path & e & (PTE_W | PTE_U)) | ((path | e) & PTE_NX);
		if (pte_is_leaf(e, level))
			dump_leaf(r, e, path, entry_va(base, level, i), level);
		else if (!is_repeat(table, i))
			dump_table(r, pte_table(e), entry_va(base, level, i), level - 1, below);
	}
}

void tables_dump(const struct page_tables *pt, unsigned first_slot, unsigned end_slot)
{
	struct run r = {.size = 0};
	for (unsigned i = first_slot; i < end_slot; i++) {
		uint64_t e = load_relaxed(&pt->root[i]);
		if ((e & PTE_P) && !is_repeat(pt->root, i))
			dump_table(&r, pte_table(e), entry_va(0, PT_LEVELS - 1, i), PT_LEVELS - 2,
			    e & (PTE_W | PTE_U | PTE_NX));
	}
	print_run(&r);
}
