/*
 * dentry.c - the cache of names.
 *
 * A dentry says what a name in a directory leads to: a vnode, or nothing (negative). The cache finds it by
 * (parent, name), so that a walk over known names asks no file system. Each holds its parent, so all of a
 * file system's hang together below its root, deleted ones included, until nobody holds them.
 *
 *	in use (refs > 0)  ◀──find──  unused (refs 0, in the table, on the list of unused ones)
 *	      └── last put: found by a walk -> unused; deleted -> freed, with its reference on the parent
 *
 * Deleting a name that nobody else holds makes the dentry negative in its place; else it leaves the table and
 * whoever holds it keeps the file. A rename moves the dentry itself, so paths of open files follow. What a
 * dentry says changes only under the directory's lock; the table and all links are under dentry_lock, one
 * spinlock, held for a few loads at a time. A walk takes a reference for each step: simple, and two atomic
 * operations dearer than the read-copy-update schemes, which need every reader of names and modes to tolerate
 * torn states.
 *
 * Unused names are bounded in number, oldest dropped first, and given up under memory pressure
 * (dentry_shrink): a vnode goes with its last name, so files with dirty pages are spared.
 */
#include "fs/dentry.h"
#include "fs/notify.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"

enum { TRIM_BATCH = 16 };

struct spinlock dentry_lock = SPINLOCK_INIT("dentries", RANK_DENTRY);
static struct waitq left; /* dentry_lock is its predicate's: fs.leaving became 0 */
static struct slab_cache *dentry_cache;
static struct dentry **table;
static uint64_t table_size;                      /* a power of two */
static struct list unused = LIST_INIT(unused);   /* (D) oldest first; some may be in use again */
static uint64_t nunused, nunused_max, ndentries; /* (D), constant, (D) */

void dentry_init_cache(void)
{
	table_size = 1ULL << order_of(MAX(1024, MIN(frame_total_count() / 8, 65536)));
	nunused_max = MAX(512, MIN(frame_total_count() / 4, 200000));
	table = kcalloc(table_size, sizeof(struct dentry *));
	dentry_cache = slab_cache_create("dentry", sizeof(struct dentry), 0);
	ASSERT(table && dentry_cache);
	waitq_init(&left);
}

static uint64_t name_hash(const struct dentry *parent, const char *name, size_t len)
{
	uint64_t h = (uintptr_t)parent ^ len * 0x9e3779b97f4a7c15ULL, w;
	for (; len >= 8; len -= 8, name += 8) {
		memcpy(&w, name, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, name, len);
	h = (h ^ w) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 29;
}

/* --- the table --- */

static struct dentry **table_slot(uint64_t hash)
{
	return &table[hash & (table_size - 1)];
}

static void hash_insert(struct dentry *d)
{
	struct dentry **slot = table_slot(d->hash);
	d->hash_next = *slot;
	*slot = d;
	d->flags |= DENTRY_HASHED;
}

static void hash_remove(struct dentry *d)
{
	if (!(d->flags & DENTRY_HASHED))
		return;
	struct dentry **link = table_slot(d->hash);
	while (*link != d)
		link = &(*link)->hash_next;
	*link = d->hash_next;
	d->flags &= ~(uint32_t)DENTRY_HASHED;
}

static struct dentry *find_locked(const struct dentry *parent, uint64_t hash, const char *name, size_t len)
{
	for (struct dentry *d = *table_slot(hash); d; d = d->hash_next)
		if (d->hash == hash && d->parent == parent && d->name_len == len &&
		    !memcmp(d->name, name, len))
			return d;
	return NULL;
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len)
{
	uint64_t hash = name_hash(parent, name, len);
	spin_lock(&dentry_lock);
	struct dentry *d = find_locked(parent, hash, name, len);
	if (d)
		fetch_add_relaxed(&d->refs, 1);
	spin_unlock(&dentry_lock);
	return d;
}

/* --- making --- */

static void name_free(struct dentry *d)
{
	if (d->name != d->inline_name)
		kfree(d->name);
}

static struct dentry *dentry_alloc(struct fs *fs, const char *name, size_t len, struct vnode *v)
{
	struct dentry *d = slab_zalloc(dentry_cache);
	if (!d)
		return NULL;
	d->name = len < DENTRY_INLINE ? d->inline_name : kmalloc(len + 1);
	if (!d->name) {
		slab_free(dentry_cache, d);
		return NULL;
	}
	memcpy(d->name, name, len);
	d->name[len] = 0;
	d->name_len = (uint32_t)len;
	store_relaxed(&d->refs, 1);
	store_relaxed(&d->vnode, v);
	d->fs = fs;
	list_init(&d->children);
	list_init(&d->sibling);
	list_init(&d->unused_link);
	return d;
}

static void dentry_free(struct dentry *d)
{
	name_free(d);
	slab_free(dentry_cache, d);
}

err_t dentry_create_root(struct fs *fs, struct vnode *v, struct dentry **out)
{
	struct dentry *d = dentry_alloc(fs, "", 0, v);
	if (!d)
		return -ENOMEM;
	spin_lock(&dentry_lock);
	ndentries++;
	spin_unlock(&dentry_lock);
	*out = d;
	return 0;
}

static void link_locked(struct dentry *d, struct dentry *parent, uint64_t hash)
{
	fetch_add_relaxed(&parent->refs, 1);
	d->parent = parent;
	d->hash = hash;
	list_push_back(&parent->children, &d->sibling);
	ndentries++;
}

err_t dentry_add(struct dentry *parent, const char *name, size_t len, struct vnode *v, struct dentry **out)
{
	uint64_t hash = name_hash(parent, name, len);
	struct dentry *d = dentry_alloc(parent->fs, name, len, v);
	if (!d)
		return -ENOMEM;
	spin_lock(&dentry_lock);
	struct dentry *other = find_locked(parent, hash, name, len);
	if (other) {
		fetch_add_relaxed(&other->refs, 1);
	} else {
		link_locked(d, parent, hash);
		hash_insert(d);
	}
	spin_unlock(&dentry_lock);
	*out = other ? other : d;
	if (other) {
		dentry_free(d);
		if (v)
			vnode_put(v);
	}
	return 0;
}

err_t dentry_add_unhashed(
    struct dentry *parent, const char *name, size_t len, struct vnode *v, struct dentry **out)
{
	struct dentry *d = dentry_alloc(parent->fs, name, len, v);
	if (!d)
		return -ENOMEM;
	spin_lock(&dentry_lock);
	link_locked(d, parent, 0);
	spin_unlock(&dentry_lock);
	*out = d;
	return 0;
}

/* --- letting go --- */

/* d has no user: take it out of everything. What it held goes to the caller, to be dropped without the lock.
 */
static void detach_locked(struct dentry *d)
{
	ASSERT(load_relaxed(&d->refs) == 0 && list_is_empty(&d->children));
	hash_remove(d);
	if (d->flags & DENTRY_UNUSED) {
		list_remove(&d->unused_link);
		nunused--;
	}
	list_remove(&d->sibling);
	ndentries--;
}

/* Without the lock: one name less leads to v. */
static void let_vnode_go(struct vnode *v)
{
	notify_unnamed(v);
	vnode_put(v);
}

/* Called without the lock; returns the parent, whose reference is the caller's. */
static struct dentry *free_detached(struct dentry *d)
{
	struct dentry *parent = d->parent;
	struct vnode *v = load_relaxed(&d->vnode);
	if (v)
		let_vnode_go(v);
	dentry_free(d);
	return parent;
}

/* Drop one reference. True: it was the last and d is detached. */
static bool put_one(struct dentry *d, bool *trim)
{
	uint32_t old = load_relaxed(&d->refs);
	while (old > 1)
		if (cas_acq_rel(&d->refs, &old, old - 1))
			return false;
	bool gone = false;
	spin_lock(&dentry_lock);
	old = fetch_sub_acq_rel(&d->refs, 1);
	ASSERT(old != 0);
	if (old == 1 && (d->flags & DENTRY_HASHED) && !d->fs->volatile_names) {
		if (!(d->flags & DENTRY_UNUSED))
			nunused++;
		else
			list_remove(&d->unused_link);
		d->flags |= DENTRY_UNUSED;
		list_push_back(&unused, &d->unused_link);
		*trim = nunused > nunused_max;
	} else if (old == 1) {
		detach_locked(d);
		gone = true;
	}
	spin_unlock(&dentry_lock);
	return gone;
}

void dentry_put(struct dentry *d)
{
	bool trim = false;
	while (d && put_one(d, &trim))
		d = free_detached(d);
	if (trim)
		dentry_shrink(TRIM_BATCH);
}

/* May this unused name go under pressure? Its file's pages go with it if it is the last. */
static bool is_clean(struct dentry *d)
{
	struct vnode *v = load_relaxed(&d->vnode);
	return !v || !v->pages || !object_is_dirty(v->pages);
}

/* d, unused, leaves the cache: free_list ends it. */
static void take_locked(struct dentry *d, struct list *taken)
{
	detach_locked(d);
	list_push_back(taken, &d->unused_link);
	d->fs->leaving++;
}

/* Take the oldest unused names out, looking at a few more than are wanted. */
static uint64_t take_unused(struct list *taken, uint64_t want, bool (*may_go)(struct dentry *d))
{
	uint64_t n = 0;
	spin_lock(&dentry_lock);
	for (uint64_t look = MIN(nunused, 4 * want + 64); look > 0 && n < want; look--) {
		struct dentry *d = list_first(&unused, struct dentry, unused_link);
		if (load_relaxed(&d->refs) != 0) {
			list_remove(&d->unused_link);
			d->flags &= ~(uint32_t)DENTRY_UNUSED;
			nunused--;
		} else if (!may_go(d)) {
			list_remove(&d->unused_link);
			list_push_back(&unused, &d->unused_link);
		} else {
			take_locked(d, taken);
			n++;
		}
	}
	spin_unlock(&dentry_lock);
	return n;
}

static void free_list(struct list *taken)
{
	while (!list_is_empty(taken)) {
		struct dentry *d = list_first(taken, struct dentry, unused_link);
		struct fs *fs = d->fs; /* stays: unmounting waits for what leaves */
		list_remove(&d->unused_link);
		dentry_put(free_detached(d));
		spin_lock(&dentry_lock);
		if (--fs->leaving == 0)
			waitq_wake_all(&left);
		spin_unlock(&dentry_lock);
	}
}

uint64_t dentry_shrink(uint64_t n)
{
	struct list taken = LIST_INIT(taken);
	n = take_unused(&taken, n, is_clean);
	free_list(&taken);
	return n;
}

/* Detach the unused ones of fs among those on the list. */
static void take_unused_of(struct fs *fs, struct list *taken)
{
	spin_lock(&dentry_lock);
	list_for_each_safe (it, &unused) {
		struct dentry *d = list_entry(it, struct dentry, unused_link);
		if (d->fs != fs || load_relaxed(&d->refs) != 0)
			continue;
		take_locked(d, taken);
	}
	spin_unlock(&dentry_lock);
}

/* Others may be giving up names of fs at this moment: sleep until they have put what those names held. True:
 * there were some, and parents may be unused now. */
static bool wait_leaving(struct fs *fs)
{
	spin_lock(&dentry_lock);
	bool any = fs->leaving;
	while (fs->leaving)
		(void)waitq_sleep(&left, &dentry_lock, NSEC_NEVER, 0);
	spin_unlock(&dentry_lock);
	return any;
}

void dentry_shrink_fs(struct fs *fs)
{
	struct list taken = LIST_INIT(taken);
	do { /* parents become unused as their children go */
		free_list(&taken);
		take_unused_of(fs, &taken);
	} while (!list_is_empty(&taken) || wait_leaving(fs));
}

/* Drop the unused children of a directory that is being removed: it is empty, so they say only what does not
 * exist. */
static void prune_children(struct dentry *dir)
{
	struct list taken = LIST_INIT(taken);
	spin_lock(&dentry_lock);
	list_for_each_safe (it, &dir->children) {
		struct dentry *d = list_entry(it, struct dentry, sibling);
		if (load_relaxed(&d->refs) != 0)
			continue;
		take_locked(d, &taken);
	}
	spin_unlock(&dentry_lock);
	free_list(&taken);
}

/* --- changes --- */

void dentry_set_vnode(struct dentry *d, struct vnode *v)
{
	spin_lock(&dentry_lock);
	ASSERT(!load_relaxed(&d->vnode));
	store_release(&d->vnode, v);
	spin_unlock(&dentry_lock);
}

void dentry_delete(struct dentry *d)
{
	struct vnode *v = NULL;
	prune_children(d);
	spin_lock(&dentry_lock);
	if (load_relaxed(&d->refs) == 1 && (d->flags & DENTRY_HASHED)) {
		v = load_relaxed(&d->vnode);
		store_release(&d->vnode, NULL);
	} else {
		hash_remove(d);
	}
	spin_unlock(&dentry_lock);
	if (v)
		let_vnode_go(v);
}

void dentry_forget(struct dentry *d)
{
	spin_lock(&dentry_lock);
	hash_remove(d);
	spin_unlock(&dentry_lock);
}

err_t dentry_rename_prepare(struct dentry *over, bool exchange, struct dentry_spare *spare)
{
	*spare = (struct dentry_spare){NULL};
	if (exchange || over->name_len < DENTRY_INLINE)
		return 0;
	spare->name = kmalloc(over->name_len + 1);
	return spare->name ? 0 : -ENOMEM;
}

void dentry_rename_cancel(struct dentry_spare *spare)
{
	kfree(spare->name);
}

/* d gets the name of `over`, which keeps its own. */
static void copy_name_locked(struct dentry *d, const struct dentry *over, struct dentry_spare *spare)
{
	name_free(d);
	d->name = spare->name ? spare->name : d->inline_name;
	d->name_len = over->name_len;
	memcpy(d->name, over->name, over->name_len + 1);
}

static void swap_names_locked(struct dentry *a, struct dentry *b)
{
	char text[DENTRY_INLINE];
	char *name_a = a->name == a->inline_name ? NULL : a->name;
	char *name_b = b->name == b->inline_name ? NULL : b->name;
	uint32_t len = a->name_len;
	memcpy(text, a->inline_name, sizeof(text));
	memcpy(a->inline_name, b->inline_name, sizeof(text));
	memcpy(b->inline_name, text, sizeof(text));
	a->name = name_b ? name_b : a->inline_name;
	b->name = name_a ? name_a : b->inline_name;
	a->name_len = b->name_len;
	b->name_len = len;
}

/* Each dentry holds its parent: the references change hands with the links. */
static void swap_parents_locked(struct dentry *a, struct dentry *b)
{
	struct dentry *parent = a->parent;
	a->parent = b->parent;
	b->parent = parent;
	list_remove(&a->sibling);
	list_remove(&b->sibling);
	list_push_back(&a->parent->children, &a->sibling);
	list_push_back(&b->parent->children, &b->sibling);
}

void dentry_rename(struct dentry *d, struct dentry *over, bool exchange, struct dentry_spare *spare)
{
	spin_lock(&dentry_lock);
	ASSERT((d->flags & DENTRY_HASHED) && d != over);
	hash_remove(d);
	hash_remove(over);
	if (exchange)
		swap_names_locked(d, over);
	else
		copy_name_locked(d, over, spare);
	swap_parents_locked(d, over);
	d->hash = name_hash(d->parent, d->name, d->name_len);
	hash_insert(d);
	if (exchange) {
		over->hash = name_hash(over->parent, over->name, over->name_len);
		hash_insert(over);
	}
	spin_unlock(&dentry_lock);
	if (!exchange)
		prune_children(over);
}

/* --- looking --- */

struct dentry *dentry_parent(struct dentry *d)
{
	spin_lock(&dentry_lock);
	struct dentry *parent = d->parent;
	if (parent)
		dentry_get(parent);
	spin_unlock(&dentry_lock);
	return parent;
}

bool dentry_is_below(struct dentry *d, struct dentry *above)
{
	spin_lock(&dentry_lock);
	while (d && d != above)
		d = d->parent;
	spin_unlock(&dentry_lock);
	return d;
}

bool dentry_is_deleted(struct dentry *d)
{
	spin_lock(&dentry_lock);
	bool deleted = d->parent && !(d->flags & DENTRY_HASHED);
	spin_unlock(&dentry_lock);
	return deleted;
}

void dentry_counts(uint64_t *all, uint64_t *idle)
{
	spin_lock(&dentry_lock);
	*all = ndentries;
	*idle = 0;
	list_for_each (it, &unused)
		*idle += load_relaxed(&list_entry(it, struct dentry, unused_link)->refs) == 0;
	spin_unlock(&dentry_lock);
}
