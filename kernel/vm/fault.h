#pragma once
/*
 * fault.h - the one path by which memory becomes accessible: user faults, kernel accesses by usercopy, and
 * copies into other spaces.
 */
#include "arch/upcall.h"
#include "kern/thread.h"
#include "vm/space.h"

/* Resolve an access to addr in s. access: enum fault_access. May sleep. 0: try again; -EFAULT: no region;
 * -EACCES: rights; -EIO: beyond the end or I/O error; -ENOMEM: no memory even after reclaim; -EINTR: the
 * thread is being killed while waiting. */
MUST_CHECK err_t vm_fault(struct vm_space *s, uaddr_t addr, unsigned access);
/* The same for [addr, end), page aligned: as many of the first pages as can be had at once, at least one.
 * *next gets where to go on. */
MUST_CHECK err_t vm_fault_range(
    struct vm_space *s, uaddr_t addr, uaddr_t end, unsigned access, uaddr_t *next);
/* The same for one page, and pin the page that answers the access, so that it can be reached through the
 * direct map. Nothing is entered into the MMU context. PHYS objects: -EFAULT. */
MUST_CHECK err_t vm_fault_pin(struct vm_space *s, uaddr_t addr, unsigned access, struct vm_pin *pin);
void vm_unpin(struct vm_pin *pin);

/* Get frames back: clean file pages, volatile objects, names and files that nobody uses; dirty pages, once
 * written, if there was nothing else. Returns frames really freed. May sleep; no lock held that ending a file
 * takes. */
uint64_t vm_reclaim(uint64_t npages);
/* Files that reclaim alone still holds, for a moment or because it has put off their end, come to their end.
 * No lock held that ending a file takes. */
void vm_settle(void);
/* A cache of a higher layer that can give memory back: `shrink` drops about `nobjects` of its objects and
 * returns how many. It may sleep; no lock is held. */
void vm_set_shrinker(uint64_t (*shrink)(uint64_t nobjects));
/* Have dirty pages written back when memory is short: `clean` returns true if some may be clean now. It may
 * sleep a moment, whatever sleeping locks are held. */
void vm_set_cleaner(bool (*clean)(void));
/* Wait a moment for the cleaner. */
void vm_clean_some(void);

/* --- pressure.c --- */
/* From here on there is a thread that reclaims in the background, running vm_pressure_main. Once at boot. */
void vm_pressure_init(void);
void vm_pressure_main(void *unused);
/* npages were wanted and not there: have some found, or have somebody ended who has many. 0: try again.
 * -EINTR: the thread is being killed itself. -ENOMEM: nothing is to be had, or the thread must do without.
 * May sleep, whatever sleeping locks are held; no spinlock. */
MUST_CHECK err_t vm_find_memory(uint64_t npages);
/* Memory has become free in large pieces: those who wait look again. */
void vm_memory_came(void);
/* The current thread may take the last frames, as it cleans pages and everybody waits for it. */
void vm_use_reserve(void);
/* Who ends a process to have its memory: told who wants how much. Called by the thread that reclaims, with no
 * lock held. */
struct memory_request {
	char name[THREAD_NAME_MAX];
	uint32_t tid;
	uint64_t npages;
	bool refusable; /* whoever waits can go on with an error: no page fault is among them */
};
enum last_resort {
	RESORT_ENDS, /* one is dying, and much comes back */
	RESORT_POOR, /* nobody has much: what can be refused is refused. If not all can, one is dying */
	RESORT_NONE, /* there is nobody */
};
void vm_set_last_resort(enum last_resort (*end_somebody)(const struct memory_request *r));
struct pressure_stats { /* since boot */
	uint64_t scans, reclaimed, direct, waits, refaults;
	uint64_t active, inactive; /* pages now */
};
void vm_pressure_stats(struct pressure_stats *out);

/* Pages of s that would be free if it ended; those it shares with a clone count half. Never waits for s: if
 * its regions are being changed, what it said last, or 1. */
uint64_t space_count_own(struct vm_space *s);

struct vm_counters { /* events since boot, summed over CPUs */
	uint64_t faults, zero_maps, zero_fills, ahead, copies, reuses, file_reads, around, retries;
};
void vm_counters(struct vm_counters *out);
