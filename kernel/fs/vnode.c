/*
 * vnode.c - vnodes by number, exactly counted.
 *
 * A table finds the vnode of (file system, number) while it exists, so that one file is one vnode however
 * many names and openers it has. Its life:
 *
 *	acquire ──▶ LOADING ──publish──▶ LIVE ──last put──▶ DYING ──▶ gone
 *	               └──abandon──────────────────────────────────────▲
 *
 * Whoever looks for a number in LOADING or DYING waits: nobody sees a vnode half read, and a file is not read
 * in again before its release has written what it had to say.
 *
 * A vnode with a page cache holds one reference on its VM object as long as its own count is not 0. When the
 * count falls to 0 that reference goes; if nobody maps the file, the object closes (dirty pages are written
 * back), its pages go, and it releases the vnode. If somebody does, all that waits for the last unmapping. A
 * finder meanwhile takes the object's reference again and the vnode is as before. So a mapping keeps a file
 * system busy without knowing about vnodes.
 *
 * vnode_lock (a spinlock) guards the table, the lists, states, and counts from and to 0.
 */
#include "fs/flock.h"
#include "fs/vnode.h"
#include "arch/clock.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"

static struct spinlock vnode_lock = SPINLOCK_INIT("vnodes", RANK_VNODES);
static struct waitq vnode_changed; /* vnode_lock is its predicate's: a state changed, a vnode is gone */
static struct slab_cache *vnode_cache;
static struct list *buckets;
static uint64_t nbuckets; /* a power of two */

nsec_t (*fs_wall_clock)(void);
bool (*fs_current_user)(uint32_t uid, uint32_t gid);

bool fs_current_is(uint32_t uid, uint32_t gid)
{
	return !fs_current_user || fs_current_user(uid, gid);
}

void fs_now(struct timespec64 *out)
{
	nsec_t now = fs_wall_clock ? fs_wall_clock() : clock_now();
	out->sec = (int64_t)(now / 1000000000);
	out->nsec = (uint32_t)(now % 1000000000);
}

void vnode_init_cache(void)
{
	nbuckets = 1ULL << order_of(MAX(256, MIN(frame_total_count() / 16, 32768)));
	buckets = kcalloc(nbuckets, sizeof(*buckets));
	vnode_cache = slab_cache_create("vnode", sizeof(struct vnode), CACHE_LINE);
	ASSERT(buckets && vnode_cache);
	for (uint64_t i = 0; i < nbuckets; i++)
		list_init(&buckets[i]);
	waitq_init(&vnode_changed);
}

static struct list *bucket_of(const struct fs *fs, uint64_t ino)
{
	uint64_t h = (ino + fs->dev * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
	return &buckets[(h >> 32) & (nbuckets - 1)];
}

static struct vnode *find_locked(struct fs *fs, uint64_t ino)
{
	struct list *bucket = bucket_of(fs, ino);
	list_for_each (it, bucket) {
		struct vnode *v = list_entry(it, struct vnode, hash_link);
		if (v->fs == fs && v->ino == ino)
			return v;
	}
	return NULL;
}

/* One more reference on a LIVE vnode. False: it is on its way out. */
static bool hold_locked(struct vnode *v)
{
	if (load_relaxed(&v->refs) == 0 && !(v->pages && ref_try_get(&v->pages->refs)))
		return false;
	fetch_add_relaxed(&v->refs, 1);
	return true;
}

static struct vnode *vnode_alloc(struct fs *fs, uint64_t ino, const struct vnode_ops *ops)
{
	struct vnode *v = slab_zalloc(vnode_cache);
	if (!v)
		return NULL;
	store_relaxed(&v->refs, 1);
	store_relaxed(&v->state, VNODE_LOADING);
	v->ops = ops;
	v->fs = fs;
	v->ino = ino;
	rwlock_init(&v->lock, "vnode", RANK_VNODE);
	list_init(&v->hash_link);
	list_init(&v->fs_link);
	list_init(&v->watches);
	return v;
}

static void insert_locked(struct vnode *v)
{
	list_push_front(bucket_of(v->fs, v->ino), &v->hash_link);
	list_push_back(&v->fs->vnode_list, &v->fs_link);
	fetch_add_relaxed(&v->fs->vnodes, 1);
}

/* Called and returns locked. The outcomes after each sleep: the vnode is there and held, or it is gone and
 * `fresh` takes its place, or it must be waited for again. */
static struct vnode *hold_or_insert_locked(struct fs *fs, uint64_t ino, struct vnode *fresh)
{
	for (;;) {
		struct vnode *v = find_locked(fs, ino);
		if (!v && fresh)
			insert_locked(fresh);
		if (!v)
			return fresh;
		if (load_relaxed(&v->state) == VNODE_LIVE && hold_locked(v))
			return v;
		(void)waitq_sleep(&vnode_changed, &vnode_lock, NSEC_NEVER, 0);
	}
}

err_t vnode_acquire(struct fs *fs, uint64_t ino, const struct vnode_ops *ops, struct vnode **out, bool *fresh)
{
	spin_lock(&vnode_lock);
	struct vnode *v = hold_or_insert_locked(fs, ino, NULL), *made = NULL;
	spin_unlock(&vnode_lock);
	if (!v) {
		made = vnode_alloc(fs, ino, ops);
		if (!made)
			return -ENOMEM;
		spin_lock(&vnode_lock);
		v = hold_or_insert_locked(fs, ino, made);
		spin_unlock(&vnode_lock);
		if (v != made)
			slab_free(vnode_cache, made);
	}
	*fresh = v == made;
	*out = v;
	return 0;
}

err_t vnode_create(struct fs *fs, uint64_t ino, const struct vnode_ops *ops, struct vnode **out)
{
	bool fresh;
	err_t err = vnode_acquire(fs, ino, ops, out, &fresh);
	ASSERT(err || fresh);
	return err;
}

void vnode_publish(struct vnode *v)
{
	spin_lock(&vnode_lock);
	ASSERT(load_relaxed(&v->state) == VNODE_LOADING);
	store_release(&v->state, VNODE_LIVE);
	waitq_wake_all(&vnode_changed);
	spin_unlock(&vnode_lock);
}

/* --- the end --- */

/* Nobody finds or holds v any more. */
static void vnode_destroy(struct vnode *v)
{
	struct fs *fs = v->fs;
	if (load_relaxed(&v->state) == VNODE_DYING && v->ops->release)
		v->ops->release(v);
	ASSERT(!rwlock_is_held(&v->lock) && load_relaxed(&v->channel) == 0);
	spin_lock(&vnode_lock);
	list_remove(&v->hash_link);
	list_remove(&v->fs_link);
	fetch_sub_relaxed(&fs->vnodes, 1);
	waitq_wake_all(&vnode_changed);
	spin_unlock(&vnode_lock);
	lock_free_list(&v->locks);
	slab_free(vnode_cache, v);
}

void vnode_pages_closing(struct vm_object *o)
{
	struct vnode *v = o->priv;
	if (load_relaxed(&v->state) != VNODE_LIVE || !v->nlink)
		return;
	if (load_relaxed(&o->written_by_map) && v->ops->written) { /* nobody else has v: no lock is needed */
		fs_now(&v->mtime);
		v->ctime = v->mtime;
		v->ops->written(v);
	}
	(void)vnode_writeback(
	    v, 0, UINT64_MAX); /* nobody is left to be told but the log of the disk's driver */
}

void vnode_pages_release(struct vm_object *o)
{
	struct vnode *v = o->priv;
	spin_lock(&vnode_lock);
	v->pages = NULL;
	if (load_relaxed(&v->state) == VNODE_LIVE)
		store_relaxed(&v->state, VNODE_DYING);
	spin_unlock(&vnode_lock);
	vnode_destroy(v);
}

/* The count fell to 0; vnode_lock is held and dropped. */
static void last_put_unlock(struct vnode *v)
{
	struct vm_object *pages = v->pages;
	if (!pages && load_relaxed(&v->state) == VNODE_LIVE)
		store_relaxed(&v->state, VNODE_DYING);
	spin_unlock(&vnode_lock);
	if (pages)
		object_put(pages);
	else
		vnode_destroy(v);
}

/* One reference goes; vnode_lock is held and dropped. */
static void put_unlock(struct vnode *v)
{
	uint32_t old = fetch_sub_acq_rel(&v->refs, 1);
	ASSERT(old != 0);
	if (old == 1)
		last_put_unlock(v);
	else
		spin_unlock(&vnode_lock);
}

void vnode_put(struct vnode *v)
{
	uint32_t old = load_relaxed(&v->refs);
	while (old > 1)
		if (cas_acq_rel(&v->refs, &old, old - 1))
			return;
	spin_lock(&vnode_lock);
	put_unlock(v);
}

void vnode_put_watch(struct vnode *v)
{
	spin_lock(&vnode_lock);
	uint32_t old = fetch_sub_relaxed(&v->nwatches, 1);
	ASSERT(old != 0);
	put_unlock(v);
}

void vnode_abandon(struct vnode *v)
{
	ASSERT(load_relaxed(&v->state) == VNODE_LOADING && load_relaxed(&v->refs) == 1);
	vnode_put(v);
}

err_t vnode_make_pages(struct vnode *v, const struct vm_file_ops *ops, unsigned flags)
{
	ASSERT(ops->closing == vnode_pages_closing && ops->release == vnode_pages_release && !v->pages);
	pgidx_t npages = DIV_ROUND_UP(v->size, (uint64_t)PAGE_SIZE);
	return flags & VM_RESIDENT
		   ? object_create_resident(ops, v, flags & ~(unsigned)VM_RESIDENT, npages, &v->pages)
		   : object_create_file(ops, v, npages, &v->pages);
}

/* --- all of a file system --- */

/* The first vnode at or after `at` in the list that can be held, with a reference. */
static struct vnode *hold_from_locked(struct fs *fs, struct list *at)
{
	for (; at != &fs->vnode_list; at = at->next) {
		struct vnode *v = list_entry(at, struct vnode, fs_link);
		if (load_relaxed(&v->state) == VNODE_LIVE && hold_locked(v))
			return v;
	}
	return NULL;
}

err_t vnode_for_each(struct fs *fs, err_t (*fn)(struct vnode *v, void *arg), void *arg)
{
	err_t err = 0;
	spin_lock(&vnode_lock);
	struct vnode *v = hold_from_locked(fs, fs->vnode_list.next);
	while (v) {
		spin_unlock(&vnode_lock);
		err = err ? err : fn(v, arg);
		spin_lock(&vnode_lock);
		struct vnode *next = err ? NULL : hold_from_locked(fs, v->fs_link.next);
		spin_unlock(&vnode_lock);
		vnode_put(v);
		spin_lock(&vnode_lock);
		v = next;
	}
	spin_unlock(&vnode_lock);
	return err;
}

uint32_t vnode_own_refs(struct vnode *v)
{
	uint32_t (*of_fs)(struct vnode *) = v->fs->ops->own_refs;
	return load_relaxed(&v->nwatches) + (of_fs ? of_fs(v) : 0);
}

static bool is_mapped(struct vm_object *o)
{
	spin_lock(&o->lock);
	bool mapped = !list_is_empty(&o->viewers) || !list_is_empty(&o->backed);
	spin_unlock(&o->lock);
	return mapped;
}

bool vnode_fs_is_busy(struct fs *fs, struct vnode *root, uint32_t root_refs)
{
	bool busy = false;
	spin_lock(&vnode_lock);
	list_for_each (it, &fs->vnode_list) {
		struct vnode *v = list_entry(it, struct vnode, fs_link);
		uint32_t own = vnode_own_refs(v) + (v == root ? root_refs : 0);
		busy |= load_relaxed(&v->refs) > own || (v->pages && is_mapped(v->pages));
	}
	spin_unlock(&vnode_lock);
	return busy;
}

void vnode_wait_gone(struct fs *fs)
{
	spin_lock(&vnode_lock);
	while (load_relaxed(&fs->vnodes))
		(void)waitq_sleep(&vnode_changed, &vnode_lock, NSEC_NEVER, 0);
	spin_unlock(&vnode_lock);
}

/* --- write-back errors ---
 *
 * One word: errno in bits 0-15, bit 16 "somebody was told", a sequence number above. A new error counts the
 * number up only if the old one was told, so that it never runs over between two looks of one file. */

enum { ERROR_TOLD = 1 << 16, ERROR_STEP = 1 << 17 };

void vnode_note_error(struct vnode *v, err_t err)
{
	uint64_t old = load_relaxed(&v->write_errors), next;
	do {
		next = (old & ~(uint64_t)(ERROR_STEP - 1)) + (old & ERROR_TOLD ? ERROR_STEP : 0) +
		       (uint64_t)-err;
	} while (!cas_acq_rel(&v->write_errors, &old, next));
}

uint64_t vnode_sample_error(struct vnode *v)
{
	uint64_t now = load_acquire(&v->write_errors);
	return now & ERROR_TOLD ? now : 0;
}

err_t vnode_check_error(struct vnode *v, uint64_t *seen)
{
	uint64_t now = load_acquire(&v->write_errors);
	while (now != *seen) {
		if (!(now & ERROR_TOLD) && !cas_acq_rel(&v->write_errors, &now, now | ERROR_TOLD))
			continue;
		*seen = now | ERROR_TOLD;
		return -(err_t)(now & (ERROR_TOLD - 1));
	}
	return 0;
}

err_t vnode_writeback(struct vnode *v, pgidx_t first, pgidx_t end)
{
	if (!v->pages)
		return 0;
	err_t err = object_sync(v->pages, first, end);
	if (err)
		vnode_note_error(v, err);
	return err;
}
