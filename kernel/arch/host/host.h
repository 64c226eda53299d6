#pragma once
/* host.h - what the files of the host port share. */
#include "kern/cpu.h"
#include "kern/thread.h"
#include "machine/host.h"

/* Drop this CPU's translations and answer what is left; the CPU does not take part any more (or again).
 * Called on that CPU. */
void tlb_cpu_start(uint32_t id);
void tlb_cpu_idle(void);
void tlb_cpu_resume(void);
void tlb_cpu_stop(void);
void tlb_init(uint64_t nframes);

/* Remove [start, end) of ctx from all TLBs and wait until every CPU has answered. */
void tlb_shootdown(struct mmu_context *ctx, vaddr_t start, vaddr_t end);
/* Panics if a TLB translates va of ctx to another frame than pfn: break before make. */
void tlb_check_enter(const struct mmu_context *ctx, vaddr_t va, uint64_t pfn);

/* Entries of the mock's tables: a frame address and these. */
enum entry_bits {
	E_PRESENT = 1 << 0,
	E_WRITE = 1 << 1,
	E_USER = 1 << 2,
	E_EXEC = 1 << 3,
	E_ACCESSED = 1 << 5,
	E_DIRTY = 1 << 6,
	E_LARGE = 1 << 7, /* level 1: no table, but MMU_LARGE_SIZE bytes */
	E_GLOBAL = 1 << 8,
	E_FILE = 1 << 9, /* marks */
	E_SHMEM = 1 << 10,
};
#define E_CACHE_SHIFT 56
#define E_ADDR        0x000ffffffffff000ULL

/* What the hardware walker finds at va: the leaf entry with the address of va's page, and E_WRITE and E_EXEC
 * as the AND over all levels; 0: nothing. Takes no lock. */
uint64_t mmu_walk(const struct mmu_context *ctx, vaddr_t va, _Atomic uint64_t **leaf);

struct mock_counters {
	uint64_t walks, hits, faults, spurious, flushes, remote_flushes, push_downs, protect_stores;
};
extern struct mock_counters mock_counters[MAX_CPUS];
#define MOCK_COUNT(field) (mock_counters[cpu_id()].field++)

/* Wait politely; panics after half a minute, which is a deadlock. `since` starts as 0. */
void host_wait(nsec_t *since, const char *what);
