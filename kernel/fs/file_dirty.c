/*
 * file_dirty.c - how much of memory may be dirty pages of files: Linux's limits, with its names.
 *
 *	0        background_ratio        ratio          of what could be page cache: free frames and the cache itself
 *	|  free to    |  the thread writes  |  who dirties
 *	|  dirty      |  whatever its age   |  pages writes himself
 *
 * Whoever dirties pages looks here now and then, at least once in THROTTLE_PAGES pages. Above the hard limit
 * he writes back the file that he is at, under whatever lock he holds of it, as writing back takes none of
 * them. If that was not enough, others have dirtied more: he waits for the thread, for a moment.
 */
#include "fs/vnode.h"
#include "mm/frame.h"
#include "vm/fault.h"

enum { THROTTLE_PAGES = 32 };

static _Atomic uint32_t background_ratio = 10, hard_ratio = 20; /* per cent: the defaults of Linux */
static void (*_Atomic begin_writing)(void);                     /* NULL: no thread writes */
static _Atomic uint64_t nthrottled;

static uint64_t share_of_cache(uint32_t percent)
{
	struct pressure_stats s;
	vm_pressure_stats(&s);
	return (frame_free_count() + s.active + s.inactive) * percent / 100;
}

static uint64_t unwritten(void)
{
	uint64_t dirty, writeback;
	vm_dirty_counts(&dirty, &writeback);
	return dirty + writeback;
}

bool dirty_is_above_background(void)
{
	return unwritten() > share_of_cache(load_relaxed(&background_ratio));
}

bool dirty_is_above_limit(void)
{
	/* Never below the background limit, whatever was set. */
	return unwritten() > share_of_cache(MAX(load_relaxed(&hard_ratio), load_relaxed(&background_ratio)));
}

static void throttle(struct vnode *v)
{
	void (*begin)(void) = load_acquire(&begin_writing);
	if (!dirty_is_above_background())
		return;
	if (begin)
		begin();
	if (!dirty_is_above_limit())
		return;
	fetch_add_relaxed(&nthrottled, 1);
	(void)vnode_writeback(v, 0, PT_INDEX_MAX + 1); /* its error is noted: fsync tells it */
	if (dirty_is_above_limit())
		vm_clean_some();
}

void dirty_note_page(struct vnode *v, pgidx_t idx)
{
	if (idx % THROTTLE_PAGES == 0 && !(v->pages->flags & VM_RESIDENT))
		throttle(v);
}

void dirty_set_writer(void (*begin)(void))
{
	store_release(&begin_writing, begin);
}

void dirty_get_ratios(uint32_t *background, uint32_t *hard)
{
	*background = load_relaxed(&background_ratio);
	*hard = load_relaxed(&hard_ratio);
}

void dirty_set_background_ratio(uint32_t percent)
{
	store_relaxed(&background_ratio, percent);
}

void dirty_set_hard_ratio(uint32_t percent)
{
	store_relaxed(&hard_ratio, percent);
}

uint64_t dirty_throttled_count(void)
{
	return load_relaxed(&nthrottled);
}
