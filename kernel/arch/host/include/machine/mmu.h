#pragma once
/*
 * mmu.h (host) - physical memory is one big anonymous mapping; an MMU context is a radix table of four levels
 * whose tables are real frames, and every CPU has a software TLB that keeps translations until they are
 * flushed, as hostile as hardware may be: see mock_mmu.c and mock_tlb.c.
 */
#include "kern/spinlock.h"
#include "lib/list.h"
#include "lib/types.h"

struct page;

/* (M) lock; (C) constant after mmu_init; (A) atomic */
struct mmu_context {
	struct spinlock lock;
	struct page *root;            /* (C) table of the highest level */
	uint64_t tables;              /* (M) table frames, the root included */
	uint64_t large;               /* (M) large translations */
	_Atomic uint64_t file, shmem; /* (A) translations with these marks; written with (M) */
	uint64_t asid;            /* (C) tag of this context's translations in every TLB; never used twice */
	_Atomic uint64_t cpus;    /* (A) CPUs that may hold translations */
	_Atomic uint64_t pending; /* (A) gathers that changed something and were not flushed yet */
};

#define USER_START 0x1000ULL
#define USER_END   0x7ffffffff000ULL
#define KVA_BASE   0xffffd00000000000ULL
#define KVA_SIZE   (512ULL << 30)

extern char *host_ram; /* byte of physical address 0 */
extern struct page *page_records;

static inline void *phys_to_virt(paddr_t pa)
{
	return host_ram + pa;
}
static inline paddr_t virt_to_phys(const void *v)
{
	return (paddr_t)((const char *)v - host_ram);
}
