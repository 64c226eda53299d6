/*
 * mount.c - mounts: the tree that puts file systems together, and their life.
 *
 *	mount ──parent──▶ mount        a mount shows a file system (or, bound, a part of one) on a directory of another
 *	  │ point: the dentry it covers (dentry.mounts counts, so that a walk need not ask about others)
 *	  └─ root: the dentry that is seen instead
 *
 * A file system lives as long as mounts show it. Each path that somebody holds counts as a reference on its
 * mount, each mount below as one more: a mount with only the reference of being in the tree is not in use,
 * unless its files are mapped, which the file system's vnodes know. Unmounting takes it out of the tree
 * first, so that nobody can enter, then looks at the vnodes, and puts it back if they are in use. With
 * UMOUNT_DETACH it leaves the tree at once and ends with its last user.
 *
 * What the kernel does for itself is not use: a walk over the mounts keeps the one it looks at in the tree
 * without a reference, sync and the write-back thread keep mounts as they are while they hold files, and what
 * the cache of names gives up is waited for. So -EBUSY means that a program uses something.
 *
 * mount_lock (a spinlock, before dentry_lock) guards the tree; mounts_mutex makes mounting and unmounting one
 * at a time. Both change the tree, so who has either may walk through it. Mounting is in mount_add.c,
 * unmounting in mount_remove.c, what several mounts share in mount_group.c.
 */
#include "fs/mount_priv.h"
#include "fs/bdev.h"
#include "kern/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/fault.h"
#include "fs/notify.h"
#include "fs/pipe.h"
#include "fs/unix_socket.h"

enum { FS_TYPES_MAX = 16 };

struct spinlock mount_lock = SPINLOCK_INIT("mounts", RANK_MOUNT);
struct mutex mounts_mutex;
static struct waitq walkers_gone; /* mount_lock is its predicate's: no walk looks at a mount any more */
struct list fs_all_mounts = LIST_INIT(fs_all_mounts); /* (N) oldest first */
struct list fs_all = LIST_INIT(fs_all);               /* (N) */
static struct waitq fs_gone;                          /* mount_lock is its predicate's: a file system ended */
static struct mount *root_mount;                      /* (N) */
static const struct fs_ops *fs_types[FS_TYPES_MAX];   /* constant after boot */
static _Atomic unsigned nfs_types, last_mount_id, last_dev;

void vfs_init(nsec_t (*wall_clock)(void))
{
	fs_wall_clock = wall_clock;
	mutex_init(&mounts_mutex, "mounts", RANK_MOUNTS);
	waitq_init(&walkers_gone);
	waitq_init(&fs_gone);
	vnode_init_cache();
	dentry_init_cache();
	kobject_start();
	file_init_cache();
	pipe_init();
	socket_init();
	vm_set_shrinker(dentry_shrink);
}

/* --- kinds --- */

void fs_register(const struct fs_ops *ops)
{
	unsigned i = fetch_add_relaxed(&nfs_types, 1);
	ASSERT(i < FS_TYPES_MAX);
	fs_types[i] = ops;
}

const struct fs_ops *fs_type_at(unsigned n)
{
	return n < load_relaxed(&nfs_types) ? fs_types[n] : NULL;
}

const struct fs_ops *fs_find_type(const char *name)
{
	for (unsigned i = 0; i < load_relaxed(&nfs_types); i++)
		if (!strcmp(fs_types[i]->name, name))
			return fs_types[i];
	return NULL;
}

/* --- file systems --- */

/* All its vnodes are released: the memory goes. */
static void fs_free(struct fs *fs)
{
	vnode_wait_gone(fs);
	if (fs->ops->unmount)
		fs->ops->unmount(fs);
	spin_lock(&mount_lock);
	list_remove(&fs->link);
	waitq_wake_all(&fs_gone);
	spin_unlock(&mount_lock);
	kfree(fs);
}

err_t fs_create(const struct fs_ops *ops, uint64_t device, const char *source, const char *options,
    bool read_only, struct fs **out)
{
	struct vnode *root;
	struct fs *fs = kzalloc(sizeof(*fs));
	if (!fs)
		return -ENOMEM;
	fs->ops = ops;
	fs->dev = device ? device : fetch_add_relaxed(&last_dev, 1) + 1;
	fs->device = device;
	fs->read_only = read_only;
	fs->max_size = INT64_MAX;
	fs->mounts = 1;
	mutex_init(&fs->rename_lock, "rename", RANK_RENAME);
	list_init(&fs->vnode_list);
	spin_lock(&mount_lock);
	list_push_back(&fs_all, &fs->link);
	spin_unlock(&mount_lock);
	err_t err = ops->mount(fs, source, options, &root);
	if (err)
		goto unlist;
	err = dentry_create_root(fs, root, &fs->root);
	if (!err) {
		*out = fs;
		return 0;
	}
	if (ops->drain)
		ops->drain(fs);
	vnode_put(root);
	fs_free(fs);
	return err;

unlist:
	spin_lock(&mount_lock);
	list_remove(&fs->link);
	spin_unlock(&mount_lock);
	kfree(fs);
	return err;
}

/* Nobody uses it: write back, let go of everything. Exactness is asserted: the cache of names is empty but
 * for the root, which has one reference. */
static void fs_end(struct fs *fs)
{
	err_t err = vfs_sync_fs(fs);
	if (err)
		log_err("fs", "%s: write-back at unmount failed: error %d", fs->ops->name, err);
	notify_unmounted(fs);
	if (fs->ops->drain)
		fs->ops->drain(fs);
	dentry_shrink_fs(fs);
	vm_settle();
	ASSERT(load_relaxed(&fs->root->refs) == 1);
	dentry_put(fs->root);
	fs_free(fs);
}

void fs_release(struct fs *fs)
{
	spin_lock(&mount_lock);
	ASSERT(fs->mounts > 0);
	bool last = --fs->mounts == 0;
	spin_unlock(&mount_lock);
	if (last)
		fs_end(fs);
}

static err_t sync_vnode(struct vnode *v, void *arg)
{
	err_t *first = arg;
	if (v->fs->read_only)
		return 0;
	vnode_note_mapped_writes(v);
	err_t err = vnode_writeback(v, 0, UINT64_MAX);
	if (!err && v->ops->sync && !v->fs->ops->sync) /* else all of it at once, afterwards */
		err = v->ops->sync(v, false);
	*first = *first ? *first : err;
	return 0; /* one bad file does not keep the others from the disk */
}

err_t vfs_sync_fs(struct fs *fs)
{
	err_t first = 0;
	(void)vnode_for_each(fs, sync_vnode, &first);
	err_t err = fs->ops->sync ? fs->ops->sync(fs, true) : 0;
	return first ? first : err;
}

static void sync_one_fs(struct fs *fs, void *arg)
{
	err_t *first = arg;
	err_t err = vfs_sync_fs(fs);
	*first = *first ? *first : err;
}

err_t vfs_sync_all(void)
{
	err_t first = 0;
	mount_for_each_fs(sync_one_fs, &first);
	err_t err = bdev_sync_all();
	return first ? first : err;
}

/* --- mounts --- */

err_t mount_want_write(const struct mount *m)
{
	return (load_relaxed(&m->flags) & MOUNT_RDONLY) || m->fs->read_only ? -EROFS : 0;
}

err_t mount_create(struct fs *fs, struct dentry *root, const char *source, unsigned flags,
    const char *options, struct mount **out)
{
	struct mount *m = kzalloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	store_relaxed(&m->refs, 1);
	store_relaxed(&m->flags, flags & MOUNT_KEPT);
	m->id = fetch_add_relaxed(&last_mount_id, 1) + 1;
	m->fs = fs;
	dentry_get(root);
	m->root = root;
	list_init(&m->children);
	list_init(&m->sibling);
	list_init(&m->link);
	(void)str_copy(m->source, source, sizeof(m->source));
	(void)str_copy(m->options, options, sizeof(m->options));
	*out = m;
	return 0;
}

void mount_drop(struct mount *m)
{
	uint32_t old = fetch_sub_acq_rel(&m->refs, 1);
	ASSERT(old != 0);
	if (old != 1)
		return;
	ASSERT(!m->attached && list_is_empty(&m->children) && !m->parent);
	struct fs *fs = m->fs;
	dentry_put(m->root);
	kfree(m);
	fs_release(fs);
}

void mount_put(struct mount *m)
{
	if (unlikely(load_relaxed(&m->expires)))
		store_relaxed(&m->expires, false);
	mount_drop(m);
}

void mount_link(struct mount *m, const struct path *p)
{
	m->parent = p->mount;
	m->point = p->dentry;
	list_push_back(&p->mount->children, &m->sibling);
}

static void publish_locked(struct mount *m)
{
	m->attached = true;
	fetch_add_relaxed(&m->point->mounts, 1);
	list_push_back(&fs_all_mounts, &m->link);
}

struct mount *mount_next_below(struct mount *m, const struct mount *top)
{
	if (!list_is_empty(&m->children))
		return list_first(&m->children, struct mount, sibling);
	while (m != top && m->sibling.next == &m->parent->children)
		m = m->parent;
	return m == top ? NULL : list_entry(m->sibling.next, struct mount, sibling);
}

void mount_attach_locked(struct mount *top, const struct path *p)
{
	ASSERT_HELD(&mount_lock);
	mount_link(top, p);
	for (struct mount *m = top; m; m = mount_next_below(m, top))
		publish_locked(m);
}

struct path mount_move_locked(struct mount *m, const struct path *to)
{
	struct path from = {m->parent, m->point};
	ASSERT_HELD(&mount_lock);
	fetch_sub_relaxed(&from.dentry->mounts, 1);
	fetch_add_relaxed(&to->dentry->mounts, 1);
	list_remove(&m->sibling);
	mount_link(m, to);
	return from;
}

void mount_wait_walkers_locked(struct mount *m)
{
	ASSERT_HELD(&mount_lock);
	while (m->walkers)
		(void)waitq_sleep(&walkers_gone, &mount_lock, NSEC_NEVER, 0);
}

struct path mount_detach_locked(struct mount *m)
{
	struct path p = {m->parent, m->point};
	ASSERT_HELD(&mount_lock);
	ASSERT(m->walkers == 0);
	if (m->point && m->attached)
		fetch_sub_relaxed(&m->point->mounts, 1);
	list_remove(&m->sibling);
	list_remove(&m->link);
	m->parent = NULL;
	m->point = NULL;
	m->attached = false;
	return p;
}

struct mount *mount_on_locked(const struct path *p)
{
	list_for_each (it, &p->mount->children) {
		struct mount *m = list_entry(it, struct mount, sibling);
		if (m->point == p->dentry)
			return m;
	}
	return NULL;
}

void mount_cross_down(struct path *p)
{
	while (load_relaxed(&p->dentry->mounts)) {
		struct path old = *p;
		spin_lock(&mount_lock);
		struct mount *m = mount_on_locked(p);
		if (m) {
			*p = (struct path){m, m->root};
			path_get(p);
		}
		spin_unlock(&mount_lock);
		if (!m)
			return; /* another mount of the same file system is covered here, not this one */
		path_put(&old);
	}
}

bool mount_cross_up(struct path *p)
{
	struct path old = *p, up;
	ASSERT(old.dentry == old.mount->root);
	spin_lock(&mount_lock);
	up = (struct path){old.mount->parent, old.mount->point};
	if (up.mount)
		path_get(&up);
	spin_unlock(&mount_lock);
	if (!up.mount)
		return false;
	*p = up;
	path_put(&old);
	return true;
}

/* What a walk looks at stays in the tree until the walk goes on: no reference is needed, and nobody is told
 * that the mount is busy. */
void mount_for_each(bool (*fn)(struct mount *m, void *arg), void *arg)
{
	bool go = true;
	spin_lock(&mount_lock);
	for (struct list *it = fs_all_mounts.next; go && it != &fs_all_mounts;) {
		struct mount *m = list_entry(it, struct mount, link);
		m->walkers++;
		spin_unlock(&mount_lock);
		go = fn(m, arg);
		spin_lock(&mount_lock);
		it = m->link.next;
		if (--m->walkers == 0)
			waitq_wake_all(&walkers_gone);
	}
	spin_unlock(&mount_lock);
}

bool path_is_below(const struct path *p, const struct path *above)
{
	const struct mount *m = p->mount;
	struct dentry *d = p->dentry;
	spin_lock(&mount_lock);
	while (m != above->mount && m->parent) {
		d = m->point;
		m = m->parent;
	}
	bool below = m == above->mount && dentry_is_below(d, above->dentry);
	spin_unlock(&mount_lock);
	return below;
}

bool mount_is_first(const struct mount *m)
{
	const struct mount *first = NULL;
	spin_lock(&mount_lock);
	list_for_each (it, &fs_all_mounts) {
		const struct mount *other = list_entry(it, struct mount, link);
		if (!first && other->fs == m->fs)
			first = other;
	}
	spin_unlock(&mount_lock);
	return first == m;
}

int64_t mount_point_path(struct mount *m, const struct path *root, char *buf, size_t size)
{
	struct path p = {m, m->root};
	return path_to_text(&p, root, PATH_BELOW, buf, size);
}

/* --- mounting --- */

void fs_hold(struct fs *fs)
{
	spin_lock(&mount_lock);
	fs->mounts++;
	spin_unlock(&mount_lock);
}

/* The next file system at or after `at` that is not ending, with a reference; NULL: none. mount_lock is held.
 */
static struct fs *hold_from_locked(struct list *at)
{
	for (; at != &fs_all; at = at->next) {
		struct fs *fs = list_entry(at, struct fs, link);
		if (fs->mounts && fs->root) {
			fs->mounts++;
			return fs;
		}
	}
	return NULL;
}

void mount_for_each_fs(void (*fn)(struct fs *fs, void *arg), void *arg)
{
	mutex_lock(&mounts_mutex);
	spin_lock(&mount_lock);
	struct fs *fs = hold_from_locked(fs_all.next);
	while (fs) {
		spin_unlock(&mount_lock);
		fn(fs, arg);
		spin_lock(&mount_lock);
		struct fs *next = hold_from_locked(fs->link.next);
		spin_unlock(&mount_lock);
		fs_release(fs);
		spin_lock(&mount_lock);
		fs = next;
	}
	spin_unlock(&mount_lock);
	mutex_unlock(&mounts_mutex);
}

static struct fs *on_device_locked(uint64_t device)
{
	list_for_each (it, &fs_all) {
		struct fs *fs = list_entry(it, struct fs, link);
		if (fs->device == device)
			return fs;
	}
	return NULL;
}

/* The file system that is on this disk already, with a reference; NULL: none is. One that is ending is waited
 * for: its disk is free then. */
static struct fs *hold_on_device(uint64_t device)
{
	struct fs *fs;
	spin_lock(&mount_lock);
	while ((fs = on_device_locked(device)) && !fs->mounts)
		(void)waitq_sleep(&fs_gone, &mount_lock, NSEC_NEVER, 0);
	if (fs)
		fs->mounts++;
	spin_unlock(&mount_lock);
	return fs;
}

/* A disk has one file system, however often it is mounted; all mounts agree on its kind and on whether it can
 * be written to. */
static err_t get_fs_on_device(const struct fs_ops *ops, uint64_t device, const char *source,
    const char *options, bool read_only, struct fs **out)
{
	struct fs *fs = hold_on_device(device);
	if (!fs)
		return fs_create(ops, device, source, options, read_only, out);
	if (fs->ops != ops || fs->read_only != read_only) {
		fs_release(fs);
		return -EBUSY;
	}
	*out = fs;
	return 0;
}

static err_t get_fs(const struct fs_ops *ops, uint64_t device, const char *source, const char *options,
    unsigned flags, struct fs **out)
{
	if (device)
		return get_fs_on_device(ops, device, source, options, flags & MOUNT_RDONLY, out);
	if (!ops->single)
		return fs_create(ops, 0, source, options, flags & MOUNT_RDONLY, out);
	*out = ops->single();
	fs_hold(*out);
	return 0;
}

err_t mount_create_with_fs(const struct fs_ops *type, uint64_t device, const char *source,
    const char *options, unsigned flags, struct mount **out)
{
	struct fs *fs;
	err_t err = get_fs(type, device, source, options, flags, &fs);
	if (err)
		return err;
	err = mount_create(fs, fs->root, source, flags, options, out);
	if (err)
		fs_release(fs);
	return err;
}

err_t mount_create_internal(
    const struct fs_ops *type, const char *source, const char *options, struct mount **out)
{
	err_t err = mount_create_with_fs(type, 0, source, options, MOUNT_STRICTATIME, out);
	if (!err)
		(*out)->fs->internal = *out;
	return err;
}

err_t mount_root(const char *source, const struct fs_ops *type, unsigned flags, const char *options)
{
	struct mount *m;
	uint64_t device = 0;
	err_t err = type->needs_device ? bdev_find(source, &device) : 0;
	if (!err)
		err = mount_create_with_fs(type, device, source, options, flags, &m);
	if (err)
		return err;
	spin_lock(&mount_lock);
	bool taken = root_mount;
	if (!taken) {
		root_mount = m;
		m->attached = true;
		list_push_back(&fs_all_mounts, &m->link);
	}
	spin_unlock(&mount_lock);
	if (taken)
		mount_put(m);
	return taken ? -EBUSY : 0;
}

void mount_get_root(struct path *out)
{
	spin_lock(&mount_lock);
	ASSERT(root_mount);
	*out = (struct path){root_mount, root_mount->root};
	path_get(out);
	spin_unlock(&mount_lock);
}

/* --- the end --- */

/* Unmount the youngest mount on which there is no other; false: there is none. */
static bool shutdown_one(unsigned *busy)
{
	spin_lock(&mount_lock);
	struct mount *m =
	    list_is_empty(&fs_all_mounts) ? NULL : list_last(&fs_all_mounts, struct mount, link);
	while (m && !list_is_empty(&m->children)) /* it was moved onto an older one */
		m = list_last(&m->children, struct mount, sibling);
	if (m)
		mount_get(m);
	spin_unlock(&mount_lock);
	if (!m)
		return false;
	struct path was = {NULL, NULL};
	bool in_use = mount_detach_unused(m, 1, &was) != 0;
	if (in_use) { /* out of the tree all the same; it was written back */
		log_err("fs", "%s from %s is still in use: %u references", m->fs->ops->name, m->source,
		    load_relaxed(&m->refs) - 2);
		spin_lock(&mount_lock);
		mount_wait_walkers_locked(m);
		was = mount_detach_locked(m);
		spin_unlock(&mount_lock);
		++*busy;
	}
	if (was.mount)
		path_put(&was);
	mount_put(m);
	mount_put(m);
	return true;
}

unsigned vfs_shutdown(void)
{
	unsigned busy = 0;
	err_t err = vfs_sync_all();
	if (err)
		log_err("fs", "write-back at shutdown failed: error %d", err);
	mutex_lock(&mounts_mutex);
	while (shutdown_one(&busy))
		;
	root_mount = NULL;
	mutex_unlock(&mounts_mutex);
	return busy;
}
