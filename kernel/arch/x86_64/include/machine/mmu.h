#pragma once
/*
 * mmu.h (x86-64) - address-space layout and the MMU context of four-level paging.
 *
 *	0x0000000000001000  user space, up to USER_END; the last page below the non-canonical hole is never
 * mapped: a `syscall` there would return to a non-canonical address 0xffff800000000000  direct map of all RAM
 * (2 MiB / 1 GiB pages, no-execute, global) 0xffffc00000000000  page records, backed only where RAM exists
 *	0xffffd00000000000  kernel VA arena, one slot of the root (512 GiB)
 *	0xffffffff80000000  kernel image
 */
#include "arch/x86_64/mmu_tables.h"
#include "kern/spinlock.h"
#include "lib/types.h"

struct page;

#define USER_START      0x1000ULL
#define USER_END        0x7ffffffff000ULL
#define DIRECT_MAP_BASE 0xffff800000000000ULL
#define DIRECT_MAP_END  0xffffc00000000000ULL
#define KVA_BASE        0xffffd00000000000ULL
#ifdef CONFIG_KASAN
#define KVA_SIZE (128ULL << 20) /* all of it has a shadow */
#else
#define KVA_SIZE (512ULL << 30)
#endif
#define IMAGE_BASE 0xffffffff80000000ULL

/* The array of frame records (mm/page.h), indexed by frame number. */
#define page_records ((struct page *)0xffffc00000000000ULL)

/* (C) constant after mmu_init; (L) lock; (A) atomic. */
struct mmu_context {
	struct spinlock lock;      /* RANK_MMU */
	struct page_tables tables; /* (L) */
	paddr_t root;              /* (C) physical address of the root table, for CR3 */
	_Atomic uint64_t cpus;     /* (A) CPUs that have the root loaded, or are about to: see tlb.c */
	struct port_map
	    *_Atomic ports; /* (L) to change, (A) to read: I/O ports of its programs; NULL: none */
};

/* Address of a physical byte in the direct map, and back. RAM only; pa and v are not checked. */
static inline void *phys_to_virt(paddr_t pa)
{
	return (void *)(DIRECT_MAP_BASE + pa);
}
static inline paddr_t virt_to_phys(const void *v)
{
	return (paddr_t)v - DIRECT_MAP_BASE;
}
/* Physical address of a static object of the kernel image. */
static inline paddr_t image_to_phys(const void *v)
{
	return (paddr_t)v - IMAGE_BASE;
}
