/*
 * writeback.c - the thread that writes dirty data to disks while nobody asks.
 *
 * Every five seconds it looks at each file of each file system that lies on a disk. A file that was dirty
 * half a minute ago already is written; so what a crash loses is that old at most. The file system's own data
 * (maps, bitmaps) follows at once, as little of it changes without data.
 *
 * Above the background limit of dirty pages (file_dirty.c) it writes at once, whatever their age.
 *
 * When memory is short and what is there is dirty, reclaim wakes the thread, which writes everything then
 * whatever its age, and sleeps a moment until it has made progress. It may hold locks that the thread needs,
 * so it never waits for long.
 */
#include "fs/writeback.h"
#include "arch/clock.h"
#include "fs/bdev.h"
#include "fs/mount.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "mm/kva.h"
#include "vm/fault.h"

#define SECOND   1000000000ULL
#define INTERVAL (5 * SECOND)
#define AGE_MAX  (30 * SECOND)
#define PATIENCE (SECOND / 10) /* how long reclaim waits for a pass */

static struct thread writeback_thread;
static struct spinlock writeback_lock = SPINLOCK_INIT("write-back", RANK_SERVICE);
static struct waitq wake, progress; /* writeback_lock is their predicates' */
static bool urgent, stopping;       /* writeback_lock */
static uint64_t passes;             /* writeback_lock: ended */

struct pass {
	nsec_t now;
	bool all; /* whatever its age */
};

static err_t look_at_file(struct vnode *v, void *arg)
{
	const struct pass *p = arg;
	if (!v->pages)
		return 0;
	if (!object_is_dirty(v->pages)) {
		v->dirty_seen = 0;
		return 0;
	}
	if (!v->dirty_seen)
		v->dirty_seen = p->now;
	if (!p->all && p->now - v->dirty_seen < AGE_MAX)
		return 0;
	v->dirty_seen = 0;
	(void)vnode_writeback(v, 0, PT_INDEX_MAX + 1); /* its error is noted, and fsync tells it */
	return 0;
}

static void look_at_fs(struct fs *fs, void *arg)
{
	if (!fs->ops->needs_device || fs->read_only)
		return;
	err_t err = vnode_for_each(fs, look_at_file, arg);
	ASSERT(!err); /* look_at_file goes on whatever happens */
	if (fs->ops->sync)
		err = fs->ops->sync(fs, false);
	if (err)
		log_debug("fs", "%s: write-back failed: error %d", fs->ops->name, err);
}

static void run_pass(bool all)
{
	struct pass p = {.now = clock_now(), .all = all};
	mount_for_each_fs(look_at_fs, &p);
	err_t err = bdev_sync_all();
	if (err)
		log_debug("fs", "write-back of disks failed: error %d", err);
}

static void writeback_main(UNUSED void *arg)
{
	vm_use_reserve();
	spin_lock(&writeback_lock);
	while (!stopping) {
		if (!urgent)
			(void)waitq_sleep(&wake, &writeback_lock, clock_now() + INTERVAL,
			    0); /* the time is the usual end */
		bool all = urgent;
		if (stopping)
			break;
		spin_unlock(&writeback_lock);
		run_pass(all || dirty_is_above_background());
		spin_lock(&writeback_lock);
		urgent = false;
		passes++;
		waitq_wake_all(&progress);
	}
	spin_unlock(&writeback_lock);
}

/* For vm_reclaim: have dirty pages written. Was anything done? */
static bool clean_pages(void)
{
	if (current_thread() == &writeback_thread)
		return false; /* it has to do without */
	nsec_t until = clock_now() + PATIENCE;
	spin_lock(&writeback_lock);
	uint64_t before = passes;
	err_t err = stopping ? -ETIMEDOUT : 0;
	if (!stopping && !urgent) {
		urgent = true;
		waitq_wake_all(&wake);
	}
	while (!err && passes == before && !stopping)
		err = waitq_sleep(&progress, &writeback_lock, until, 0);
	spin_unlock(&writeback_lock);
	return !err;
}

/* For those who dirty pages: there are more than the background limit. */
static void begin_pass(void)
{
	spin_lock(&writeback_lock);
	if (!urgent) {
		urgent = true;
		waitq_wake_all(&wake);
	}
	spin_unlock(&writeback_lock);
}

void writeback_init(void)
{
	vaddr_t stack = kva_alloc_stack();
	ASSERT(stack); /* at boot */
	waitq_init(&wake);
	waitq_init(&progress);
	thread_init(&writeback_thread, "writeback", stack, KSTACK_PAGES * PAGE_SIZE, writeback_main, NULL);
	thread_start(&writeback_thread);
	vm_set_cleaner(clean_pages);
	dirty_set_writer(begin_pass);
}

void writeback_fini(void)
{
	spin_lock(&writeback_lock);
	stopping = true;
	waitq_wake_all(&wake);
	waitq_wake_all(&progress);
	spin_unlock(&writeback_lock);
	thread_join(&writeback_thread);
}
