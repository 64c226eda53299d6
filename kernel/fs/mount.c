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
 * at a time.
 */
#include "fs/mount.h"
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
static struct mutex mounts_mutex;
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

/* A mount that is not in the tree; takes over one of fs->mounts on success. */
static err_t mount_create(struct fs *fs, struct dentry *root, const char *source, unsigned flags,
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

void mount_put(struct mount *m)
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

/* Put m on p (locked); p's references become the mount's. */
static void attach_locked(struct mount *m, const struct path *p)
{
	m->parent = p->mount;
	m->point = p->dentry;
	m->attached = true;
	fetch_add_relaxed(&p->dentry->mounts, 1);
	list_push_back(&p->mount->children, &m->sibling);
	list_push_back(&fs_all_mounts, &m->link);
}

/* Sleep until no walk looks at m. mount_lock is held, and dropped meanwhile; walks need no mounts_mutex, so
 * they end. */
static void wait_walkers_locked(struct mount *m)
{
	ASSERT_HELD(&mount_lock);
	while (m->walkers)
		(void)waitq_sleep(&walkers_gone, &mount_lock, NSEC_NEVER, 0);
}

/* Take m, which no walk looks at, out of the tree (locked); the references on where it was go to the caller.
 */
static struct path detach_locked(struct mount *m)
{
	struct path p = {m->parent, m->point};
	ASSERT(m->walkers == 0);
	if (m->point)
		fetch_sub_relaxed(&m->point->mounts, 1);
	list_remove(&m->sibling);
	list_remove(&m->link);
	m->parent = NULL;
	m->point = NULL;
	m->attached = false;
	return p;
}

/* What is mounted on this path, or NULL. Locked. The one mounted last wins: it is on the one before. */
static struct mount *mounted_on_locked(const struct path *p)
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
		struct mount *m = mounted_on_locked(p);
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

static void fs_hold(struct fs *fs)
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

/* A mount with its file system, in no tree. */
static err_t create_with_fs(const struct fs_ops *type, uint64_t device, const char *source,
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
	err_t err = create_with_fs(type, 0, source, options, 0, out);
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
		err = create_with_fs(type, device, source, options, flags, &m);
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

/* Both or neither are directories; nobody mounts on what was removed. */
static err_t check_point(const struct path *p, const struct dentry *root)
{
	if (vnode_is(path_vnode(p), MODE_DIR) != vnode_is(dentry_vnode(root), MODE_DIR))
		return -ENOTDIR;
	return path_vnode(p)->dead || dentry_is_deleted(p->dentry) ? -ENOENT : 0;
}

/* Put m on p. The references of p are taken over on success. */
static err_t attach(struct mount *m, const struct path *p)
{
	err_t err = check_point(p, m->root);
	if (err)
		return err;
	spin_lock(&mount_lock);
	if (!p->mount->attached)
		err = -EINVAL;
	else
		attach_locked(m, p);
	spin_unlock(&mount_lock);
	return err;
}

/* The number of the disk that a mount's source names. -EINVAL: no name, -ENOTBLK: no disk's, -EACCES: it is
 * on a mount where devices do not count. */
static err_t find_device(const struct fs_context *c, const char *source, uint64_t *device)
{
	struct path p;
	err_t err = source && *source ? vfs_lookup(c, NULL, source, 0, &p) : -EINVAL;
	if (err)
		return err;
	if (!vnode_is(path_vnode(&p), MODE_BLOCK))
		err = -ENOTBLK;
	else if (load_relaxed(&p.mount->flags) & MOUNT_NODEV)
		err = -EACCES;
	*device = path_vnode(&p)->rdev;
	path_put(&p);
	return err;
}

static err_t mount_new(const struct fs_context *c, const struct path *p, const char *source, const char *type,
    unsigned flags, const char *options)
{
	const struct fs_ops *ops = type ? fs_find_type(type) : NULL;
	struct mount *m;
	if (!ops)
		return type ? -ENODEV : -EINVAL;
	uint64_t device = 0;
	err_t err = ops->needs_device ? find_device(c, source, &device) : 0;
	if (!err)
		err = create_with_fs(ops, device, source ? source : "none", options, flags, &m);
	if (err)
		return err;
	bool same = p->mount->fs == m->fs && p->dentry == p->mount->root; /* would hide what shows the same */
	err = same ? -EBUSY : attach(m, p);
	if (err)
		mount_put(m);
	return err;
}

static err_t mount_bind(const struct fs_context *c, const char *source, const struct path *p)
{
	struct path from;
	struct mount *m;
	err_t err = source && *source ? vfs_lookup(c, NULL, source, 0, &from) : -EINVAL;
	if (err)
		return err;
	fs_hold(from.mount->fs);
	err = mount_create(from.mount->fs, from.dentry, from.mount->source, load_relaxed(&from.mount->flags),
	    from.mount->options, &m);
	if (err)
		fs_release(from.mount->fs);
	if (!err) {
		err = attach(m, p);
		if (err)
			mount_put(m);
	}
	path_put(&from);
	return err;
}

/* Is a file of fs open for writing? Then it cannot become read-only. */
struct writer_search {
	struct fs *fs;
	bool found;
};
static void look_for_writer(struct file *f, void *arg)
{
	struct writer_search *s = arg;
	s->found |= f->vnode && f->vnode->fs == s->fs && vnode_is(f->vnode, MODE_REG) && file_may_write(f);
}

static err_t remount_fs(struct fs *fs, bool read_only, const char *options)
{
	struct writer_search s = {.fs = fs};
	if (read_only && !fs->read_only) {
		file_for_each(look_for_writer, &s);
		err_t err = s.found ? -EBUSY : vfs_sync_fs(fs);
		if (err)
			return err;
	}
	err_t err = fs->ops->remount ? fs->ops->remount(fs, read_only, options) : 0;
	if (!err)
		fs->read_only = read_only;
	return err;
}

static err_t mount_again(const struct path *p, unsigned flags, const char *options)
{
	struct mount *m = p->mount;
	if (p->dentry != m->root)
		return -EINVAL;
	err_t err = flags & MOUNT_BIND ? 0 : remount_fs(m->fs, flags & MOUNT_RDONLY, options);
	if (!err)
		store_relaxed(&m->flags, flags & MOUNT_KEPT);
	return err;
}

static bool is_below_locked(const struct mount *m, const struct mount *above)
{
	while (m && m != above)
		m = m->parent;
	return m;
}

static err_t mount_move(const struct fs_context *c, const char *source, const struct path *p)
{
	struct path from, old = {NULL, NULL};
	err_t err = source && *source ? vfs_lookup(c, NULL, source, 0, &from) : -EINVAL;
	if (err)
		return err;
	err = from.dentry != from.mount->root ? -EINVAL : check_point(p, from.dentry);
	spin_lock(&mount_lock);
	wait_walkers_locked(from.mount);
	if (!err && (!from.mount->parent || !p->mount->attached))
		err = -EINVAL;
	if (!err && is_below_locked(p->mount, from.mount))
		err = -ELOOP;
	if (!err) {
		old = detach_locked(from.mount);
		attach_locked(from.mount, p);
	}
	spin_unlock(&mount_lock);
	if (!err)
		path_put(&old);
	path_put(&from);
	return err;
}

/* All mounts are private, and a slave of nobody is private: other kinds are not known. */
static err_t set_propagation(const struct path *p, unsigned flags)
{
	unsigned kind = flags & MOUNT_PROPAGATION;
	if (flags & ~(unsigned)(MOUNT_PROPAGATION | MOUNT_REC | MOUNT_SILENT))
		return -EINVAL;
	return p->dentry == p->mount->root && (kind == MOUNT_PRIVATE || kind == MOUNT_SLAVE) ? 0 : -EINVAL;
}

err_t vfs_mount(const struct fs_context *c, const char *source, const char *target, const char *type,
    unsigned flags, const char *options)
{
	struct path p;
	bool kept = true; /* p's references are ours still */
	err_t err = vfs_lookup(c, NULL, target, 0, &p);
	if (err)
		return err;
	if (!cap_set_has(c->cred.caps, CAP_SYS_ADMIN)) {
		path_put(&p);
		return -EPERM;
	}
	mutex_lock(&mounts_mutex);
	mount_cross_down(&p); /* somebody may have been faster */
	if (flags & MOUNT_REMOUNT) {
		err = mount_again(&p, flags, options);
	} else if (!(flags & MOUNT_BIND) && (flags & MOUNT_PROPAGATION)) {
		err = set_propagation(&p, flags);
	} else {
		err = flags & MOUNT_BIND   ? mount_bind(c, source, &p)
		      : flags & MOUNT_MOVE ? mount_move(c, source, &p)
					   : mount_new(c, &p, source, type, flags, options);
		kept = err;
	}
	mutex_unlock(&mounts_mutex);
	if (kept)
		path_put(&p);
	return err;
}

/* --- unmounting --- */

/* Leave the tree if nobody but the caller, who holds `users` references, and the tree itself uses m. */
static err_t detach_unused(struct mount *m, uint32_t users, struct path *was)
{
	spin_lock(&mount_lock);
	wait_walkers_locked(m);
	bool busy = load_relaxed(&m->refs) > users + 1 || !list_is_empty(&m->children);
	if (!busy)
		*was = detach_locked(m);
	spin_unlock(&mount_lock);
	return busy ? -EBUSY : 0;
}

/* Are files of m's file system in use by other than paths? Only asked when m is the last that shows it; the
 * root is held by the root dentry. */
static bool fs_in_use(struct mount *m)
{
	dentry_shrink_fs(m->fs);
	vm_settle();
	return m->fs->mounts == 1 && vnode_fs_is_busy(m->fs, dentry_vnode(m->fs->root), 1);
}

/* Detach m and everything on it, deepest first. */
static void detach_tree(struct mount *m)
{
	for (;;) {
		spin_lock(&mount_lock);
		struct mount *leaf = m;
		while (!list_is_empty(&leaf->children))
			leaf = list_first(&leaf->children, struct mount, sibling);
		wait_walkers_locked(leaf);
		struct path was = detach_locked(leaf);
		spin_unlock(&mount_lock);
		if (was.mount)
			path_put(&was);
		bool done = leaf == m;
		mount_put(leaf);
		if (done)
			return;
	}
}

/* The caller has one reference on m. */
static err_t unmount(struct mount *m)
{
	struct path was;
	err_t err = detach_unused(m, 1, &was);
	if (err)
		return err;
	if (fs_in_use(m)) { /* a mapping: back to where it was */
		spin_lock(&mount_lock);
		attach_locked(m, &was);
		spin_unlock(&mount_lock);
		return -EBUSY;
	}
	path_put(&was);
	mount_put(m); /* the tree's */
	return 0;
}

err_t vfs_umount(const struct fs_context *c, const char *target, unsigned flags)
{
	struct path p;
	if (flags & ~(unsigned)(UMOUNT_FORCE | UMOUNT_DETACH | UMOUNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	if ((flags & UMOUNT_EXPIRE) && (flags & (UMOUNT_FORCE | UMOUNT_DETACH)))
		return -EINVAL;
	err_t err = vfs_lookup(c, NULL, target, flags & UMOUNT_NOFOLLOW ? WALK_NOFOLLOW : 0, &p);
	if (err)
		return err;
	mutex_lock(&mounts_mutex);
	struct mount *m = p.mount;
	if (!cap_set_has(c->cred.caps, CAP_SYS_ADMIN)) {
		err = -EPERM;
	} else if (p.dentry != m->root || !m->attached || !m->parent) {
		err = p.dentry == m->root && m->attached ? -EBUSY : -EINVAL; /* the root stays */
	} else if (flags & UMOUNT_DETACH) {
		detach_tree(m);
	} else {
		dentry_put(p.dentry); /* only the mount is held from here on */
		p.dentry = NULL;
		err = unmount(m);
	}
	mutex_unlock(&mounts_mutex);
	if (p.dentry)
		dentry_put(p.dentry);
	mount_put(m);
	return err;
}

/* --- the end --- */

/* Unmount the youngest mount but the root; false: there is none. */
static bool shutdown_one(unsigned *busy)
{
	spin_lock(&mount_lock);
	struct mount *m =
	    list_is_empty(&fs_all_mounts) ? NULL : list_last(&fs_all_mounts, struct mount, link);
	if (m)
		mount_get(m);
	spin_unlock(&mount_lock);
	if (!m)
		return false;
	struct path was = {NULL, NULL};
	bool in_use = detach_unused(m, 1, &was) != 0;
	if (in_use) { /* out of the tree all the same; it was written back */
		log_err("fs", "%s from %s is still in use: %u references", m->fs->ops->name, m->source,
		    load_relaxed(&m->refs) - 2);
		spin_lock(&mount_lock);
		wait_walkers_locked(m);
		was = detach_locked(m);
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
