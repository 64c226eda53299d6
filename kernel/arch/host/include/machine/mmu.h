#pragma once
/*
 * mmu.h (host) - physical memory is one big anonymous mapping; an MMU context is a software page table, and every CPU has a software TLB that keeps translations
 * until they are flushed, as hostile as hardware may be: see mock_mmu.c.
 */
#include "kern/spinlock.h"
#include "lib/list.h"
#include "lib/types.h"

struct page;
struct mock_table;

struct mmu_context {
	struct spinlock lock;
	struct mock_table *root; /* guarded by lock */
	uint64_t tables;         /* guarded by lock */
	_Atomic uint64_t cpus;   /* CPUs that may hold translations */
};

#define USER_START 0x1000ULL
#define USER_END   0x7ffffffff000ULL

extern char *host_ram;             /* byte of physical address 0 */
extern struct page *page_records;

static inline void *phys_to_virt(paddr_t pa)
{
	return host_ram + pa;
}
static inline paddr_t virt_to_phys(const void *v)
{
	return (paddr_t)((const char *)v - host_ram);
}
