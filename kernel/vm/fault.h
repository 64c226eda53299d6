#pragma once
/*
 * fault.h - the one path by which memory becomes accessible: user faults, kernel accesses by usercopy, and
 * copies into other spaces.
 */
#include "arch/upcall.h"
#include "vm/space.h"

/* Resolve an access to addr in s. access: enum fault_access. May sleep. 0: try again; -EFAULT: no region;
 * -EACCES: rights; -EIO: beyond the end or I/O error; -ENOMEM: no memory even after reclaim; -EINTR: the
 * thread is being killed while waiting. */
MUST_CHECK err_t vm_fault(struct vm_space *s, uaddr_t addr, unsigned access);
/* The same, and pin the page that answers the access, so that it can be reached through the direct map.
 * Nothing is entered into the MMU context. PHYS objects: -EFAULT. */
MUST_CHECK err_t vm_fault_pin(struct vm_space *s, uaddr_t addr, unsigned access, struct vm_pin *pin);
void vm_unpin(struct vm_pin *pin);

/* Get frames back: clean file pages, then volatile objects. Returns frames really freed. May sleep; no
 * spinlock held. */
uint64_t vm_reclaim(uint64_t npages);
/* A cache of a higher layer that can give memory back: `shrink` drops about `nobjects` of its objects and returns how many. It
 * may sleep, on locks of rank RANK_FS and above and spinlocks only. Called by vm_reclaim when pages were not enough. */
void vm_set_shrinker(uint64_t (*shrink)(uint64_t nobjects));

/* Have dirty pages written back when memory is short: `clean` returns true if some may be clean now. It may sleep a moment, whatever sleeping locks are held. */
void vm_set_cleaner(bool (*clean)(void));
struct vm_counters { /* events since boot, summed over CPUs */
	uint64_t faults, zero_maps, zero_fills, copies, reuses, file_reads, around, retries;
};
void vm_counters(struct vm_counters *out);
