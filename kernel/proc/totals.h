#pragma once
/* totals.h - what memory is used for, in frames: the one source of /proc/meminfo, /proc/vmstat and
 * sysinfo(2). */
#include "mm/page.h"

struct memory_totals {
	uint64_t total, free, available;
	uint64_t volatile_pages;        /* of anon and shmem: may be taken at any time */
	uint64_t anon, cached, buffers; /* cached: all pages of files, those in memory alone (shmem) too */
	uint64_t shmem, mapped;         /* parts of cached; mapped: of files that somebody maps */
	uint64_t dirty, writeback;
	uint64_t slab, reclaimable; /* the second is a part of the first: what shrinks under pressure */
	uint64_t tables, stacks, kernel;
};
/* Counters only, but for mapped, dirty and writeback, for which files are looked at. May sleep; takes vnodes.
 */
void memory_totals_take(struct memory_totals *m);
