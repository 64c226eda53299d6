#pragma once
/*
 * kva.h - the kernel VA arena: guarded stacks, buffers of scattered frames, device maps.
 *
 * Every area has an unmapped guard page before and after it. Areas remember their kind; freeing flushes all
 * CPUs before the addresses or frames are used again. May be called with spinlocks of rank below RANK_MMU
 * held, not in interrupt handlers; the free functions wait for other CPUs.
 */
#include "arch/mmu.h"
#include "lib/err.h"

enum { KSTACK_PAGES = 4 };

void kva_init(void);
/* A kernel stack of KSTACK_PAGES frames, committed, guard pages on both sides. Returns its lowest address, 0
 * on no memory. */
vaddr_t kva_alloc_stack(void);
void kva_free_stack(vaddr_t stack);
/* Some freed stacks stay mapped for the next thread: give their frames back. Returns frames freed. */
uint64_t kva_shrink(void);
/* len bytes (rounded up to pages) of separate frames, mapped contiguously, zeroed. NULL on no memory, or
 * len 0. */
void *kva_alloc_buffer(uint64_t len);
void kva_free_buffer(void *buffer);
/* Map device memory or any physical range [paddr, paddr + len) with a cache type. NULL on no memory. */
void *kva_map_phys(paddr_t paddr, uint64_t len, enum mmu_cache cache, bool writable);
void kva_unmap_phys(void *mapped);
/* Which area is `va` in or next to? For panic messages: "guard page below stack of ...". */
const char *kva_describe(vaddr_t va);
/* Pages of areas that are handed out; stacks kept for reuse do not count. */
uint64_t kva_used_pages(void);
/* Check the areas and that their pages, and nothing else, are mapped. Nothing may be freed meanwhile. */
void kva_validate(void);
