/*
 * commit.c - what memory has been promised: the sum of all that programs may still write to without asking
 * again, whether it is there or not.
 *
 * Counted, in pages, are windows on private memory that are or were writable (REGION_ACCOUNT), shared
 * anonymous memory from the moment it is made, and pages of files in memory as they are made. Each of them
 * carries its own mark or count, so what was added is what is taken off again. A space counts once, however
 * many processes run in it.
 *
 * The modes are Linux's (vm.overcommit_memory): 0 refuses only what could never be there, 1 nothing, 2 what
 * exceeds the limit: a share of memory, or so many KiB, less a little that is kept for whoever may administer
 * the machine, and less a part of the asker's own memory, so that he cannot take the last of it. In mode 2
 * MAP_NORESERVE has no effect. What was granted is never taken back when the mode or the limit changes.
 *
 * Locking: one atomic sum. Two who ask at the same time may each see the other's pages and both be refused at
 * the edge, as on Linux; never may both be granted what only one could have.
 */
#include "vm/commit.h"
#include "lib/atomic.h"
#include "mm/frame.h"

enum {
	ADMIN_RESERVE = 8 << 20 >> PAGE_SHIFT,  /* pages at most: vm.admin_reserve_kbytes of Linux */
	USER_RESERVE = 128 << 20 >> PAGE_SHIFT, /* vm.user_reserve_kbytes */
	RESERVE_SHARE = 32,
	KIB_PER_PAGE = PAGE_SIZE / 1024,
};

static _Atomic uint64_t committed; /* pages */
static _Atomic uint32_t mode = COMMIT_GUESS;
static _Atomic uint32_t ratio = 50; /* per cent */
static _Atomic uint64_t limit_kib;  /* 0: the ratio counts */
static bool (*_Atomic is_privileged)(void);

uint64_t commit_limit(void)
{
	uint64_t kib = load_relaxed(&limit_kib);
	return kib ? kib / KIB_PER_PAGE : frame_total_count() * load_relaxed(&ratio) / 100;
}

/* What the current thread may have of it, its space having `own` pages. */
static uint64_t own_limit(uint64_t own)
{
	bool (*privileged)(void) = load_acquire(&is_privileged);
	uint64_t limit = commit_limit(), share = frame_total_count() / RESERVE_SHARE, kept = 0;
	if (!privileged || !privileged())
		kept += MIN(share, (uint64_t)ADMIN_RESERVE);
	kept += MIN(own / RESERVE_SHARE, MIN(share, (uint64_t)USER_RESERVE));
	return limit > kept ? limit - kept : 0;
}

static bool is_granted(uint64_t now, uint64_t npages, uint64_t own)
{
	switch (load_relaxed(&mode)) {
	case COMMIT_ALWAYS:
		return true;
	case COMMIT_GUESS:
		return npages <= frame_total_count();
	default:
		return now < own_limit(own);
	}
}

err_t commit_exchange(uint64_t npages, uint64_t gone, uint64_t own)
{
	uint64_t now = fetch_add_relaxed(&committed, npages) + npages;
	if (npages <= gone || is_granted(now - gone, npages - gone, own))
		return 0;
	commit_return(npages);
	return -ENOMEM;
}

void commit_count_more(uint64_t npages)
{
	fetch_add_relaxed(&committed, npages);
}

void commit_return(uint64_t npages)
{
	uint64_t old = fetch_sub_relaxed(&committed, npages);
	ASSERT(old >= npages); /* what is given back was taken */
}

uint64_t commit_count(void)
{
	return load_relaxed(&committed);
}

enum commit_mode commit_mode(void)
{
	return load_relaxed(&mode);
}

void commit_set_mode(enum commit_mode m)
{
	store_relaxed(&mode, m);
}

uint32_t commit_ratio(void)
{
	return load_relaxed(&ratio);
}

void commit_set_ratio(uint32_t percent)
{
	store_relaxed(&ratio, percent);
	store_relaxed(&limit_kib, 0);
}

uint64_t commit_kib(void)
{
	return load_relaxed(&limit_kib);
}

void commit_set_kib(uint64_t kib)
{
	store_relaxed(&limit_kib, kib);
	store_relaxed(&ratio, 0);
}

void commit_set_privileged(bool (*current_is_privileged)(void))
{
	store_release(&is_privileged, current_is_privileged);
}
