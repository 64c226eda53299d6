/*
 * mount_add.c - mount(2) and pivot_root(2): new mounts, copies of those there are (binds), other places and
 * other flags for them.
 *
 * A bind of a whole tree is made beside the tree, copy by copy, and put into it in one step. See mount.c.
 */
#include "fs/bdev.h"
#include "fs/file.h"
#include "fs/mount_priv.h"
#include "lib/string.h"

err_t mount_check_point(const struct path *p, const struct dentry *root)
{
	if (vnode_is(path_vnode(p), MODE_DIR) != vnode_is(dentry_vnode(root), MODE_DIR))
		return -ENOTDIR;
	return path_vnode(p)->dead || dentry_is_deleted(p->dentry) ? -ENOENT : 0;
}

/* Put m, with what is below it, on p. The references of p are taken over on success. -EINVAL: p is in no
 * tree, or it is seen elsewhere, where m would have to appear as well. */
static err_t attach(struct mount *m, const struct path *p)
{
	err_t err = mount_check_point(p, m->root);
	if (err)
		return err;
	spin_lock(&mount_lock);
	if (!p->mount->attached || mount_would_spread_locked(p)) {
		err = -EINVAL;
	} else {
		if (p->mount->group)
			mount_share_locked(m);
		mount_attach_locked(m, p);
	}
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
		err = mount_create_with_fs(ops, device, source ? source : "none", options, flags, &m);
	if (err)
		return err;
	bool same = p->mount->fs == m->fs && p->dentry == p->mount->root; /* would hide what shows the same */
	err = same ? -EBUSY : attach(m, p);
	if (err)
		mount_put(m);
	return err;
}

/* A mount like `from` that shows what is below `root`. It shares what that one shares. */
static err_t copy_mount(struct mount *from, struct dentry *root, struct mount **out)
{
	fs_hold(from->fs);
	err_t err =
	    mount_create(from->fs, root, from->source, load_relaxed(&from->flags), from->options, out);
	if (err) {
		fs_release(from->fs);
		return err;
	}
	(*out)->group = from->group;
	(*out)->master = from->master;
	return 0;
}

/* Copy m, which is below `top`, and put the copy below that of its parent. What has no copy of its parent, is
 * outside of what is shown, or wants none, gets none. */
static err_t copy_below(struct mount *m, const struct mount *top, struct dentry *root)
{
	m->copy = NULL;
	if (!m->parent->copy || m->unbindable || (m->parent == top && !dentry_is_below(m->point, root)))
		return 0;
	err_t err = copy_mount(m, m->root, &m->copy);
	if (err)
		return err;
	struct path at = {m->parent->copy, m->point};
	path_get(&at);
	mount_link(m->copy, &at);
	return 0;
}

/* With mounts_mutex held: the tree stays as it is. */
static err_t copy_tree(const struct path *from, struct mount **out)
{
	struct mount *top = from->mount;
	err_t err = copy_mount(top, from->dentry, out);
	if (err)
		return err;
	top->copy = *out;
	for (struct mount *m = mount_next_below(top, top); m && !err; m = mount_next_below(m, top))
		err = copy_below(m, top, from->dentry);
	if (err)
		mount_detach_tree(*out);
	return err;
}

static err_t bind_path(const struct path *from, const struct path *p, bool recurse)
{
	struct mount *m;
	if (from->mount->unbindable || !from->mount->attached)
		return -EINVAL;
	err_t err = recurse ? copy_tree(from, &m) : copy_mount(from->mount, from->dentry, &m);
	if (err)
		return err;
	err = attach(m, p);
	if (err)
		mount_detach_tree(m);
	return err;
}

static err_t mount_bind(const struct fs_context *c, const char *source, const struct path *p, bool recurse)
{
	struct path from;
	err_t err = source && *source ? vfs_lookup(c, NULL, source, 0, &from) : -EINVAL;
	if (err)
		return err;
	err = bind_path(&from, p, recurse);
	path_put(&from);
	return err;
}

/* Is a file open for writing, of fs, or on the mount m? Then it cannot become read-only. */
struct writer_search {
	const struct fs *fs;
	const struct mount *m;
	bool found;
};
static void look_for_writer(struct file *f, void *arg)
{
	struct writer_search *s = arg;
	bool meant = s->fs ? f->vnode && f->vnode->fs == s->fs : f->mount == s->m;
	s->found |= meant && f->vnode && vnode_is(f->vnode, MODE_REG) && file_may_write(f);
}

static bool has_writer(struct writer_search s)
{
	file_for_each(look_for_writer, &s);
	return s.found;
}

err_t fs_remount(struct fs *fs, bool read_only, const char *options)
{
	if (read_only && !fs->read_only) {
		err_t err = has_writer((struct writer_search){.fs = fs}) ? -EBUSY : vfs_sync_fs(fs);
		if (err)
			return err;
	}
	err_t err = fs->ops->remount ? fs->ops->remount(fs, read_only, options) : 0;
	if (!err)
		fs->read_only = read_only;
	return err;
}

/* What a mount keeps of the flags that are given; as long as they say nothing of access times, those of the
 * old ones stay. */
static unsigned kept_flags(unsigned flags, unsigned old)
{
	const unsigned atime = MOUNT_NOATIME | MOUNT_NODIRATIME | MOUNT_STRICTATIME;
	if (!(flags & (atime | MOUNT_RELATIME)))
		flags |= old & atime;
	if (flags & MOUNT_STRICTATIME)
		flags &= ~(unsigned)MOUNT_NOATIME;
	return flags & MOUNT_KEPT;
}

/* With MS_BIND it is about this mount alone, else about its file system as well. */
static err_t mount_again(const struct path *p, unsigned flags, const char *options)
{
	struct mount *m = p->mount;
	unsigned old = load_relaxed(&m->flags);
	bool bind = flags & MOUNT_BIND, becomes_ro = (flags & MOUNT_RDONLY) && !(old & MOUNT_RDONLY);
	if (p->dentry != m->root || !m->attached)
		return -EINVAL;
	if (bind && becomes_ro && has_writer((struct writer_search){.m = m}))
		return -EBUSY;
	err_t err = bind ? 0 : fs_remount(m->fs, flags & MOUNT_RDONLY, options);
	if (!err)
		store_relaxed(&m->flags, kept_flags(flags, old));
	return err;
}

static bool is_below_locked(const struct mount *m, const struct mount *above)
{
	while (m && m != above)
		m = m->parent;
	return m;
}

static err_t check_move_locked(const struct path *from, const struct path *p)
{
	struct mount *m = from->mount;
	if (!p->mount->attached || !m->attached || !m->parent || from->dentry != m->root ||
	    vnode_is(path_vnode(p), MODE_DIR) != vnode_is(path_vnode(from), MODE_DIR) || m->parent->group ||
	    (p->mount->group && mount_has_unbindable(m)))
		return -EINVAL;
	if (is_below_locked(p->mount, m))
		return -ELOOP;
	return mount_would_spread_locked(p) ? -EINVAL : 0;
}

static err_t mount_move(const struct fs_context *c, const char *source, const struct path *p)
{
	struct path from, old = {NULL, NULL};
	err_t err = source && *source ? vfs_lookup(c, NULL, source, 0, &from) : -EINVAL;
	if (err)
		return err;
	bool gone = path_vnode(p)->dead || dentry_is_deleted(p->dentry);
	spin_lock(&mount_lock);
	err = gone ? -ENOENT : check_move_locked(&from, p);
	if (!err) {
		if (p->mount->group)
			mount_share_locked(from.mount);
		old = mount_move_locked(from.mount, p);
	}
	spin_unlock(&mount_lock);
	if (!err)
		path_put(&old);
	path_put(&from);
	return err;
}

/* One kind at a time, and nothing else. */
static err_t set_propagation(const struct path *p, unsigned flags)
{
	unsigned kind = flags & ~(unsigned)(MOUNT_REC | MOUNT_SILENT);
	if (p->dentry != p->mount->root || !p->mount->attached)
		return -EINVAL;
	if ((kind & ~(unsigned)MOUNT_PROPAGATION) || !kind || (kind & (kind - 1)))
		return -EINVAL;
	mount_set_propagation(p->mount, kind, flags & MOUNT_REC);
	return 0;
}

err_t vfs_mount(const struct fs_context *c, const char *source, const char *target, const char *type,
    unsigned flags, const char *options)
{
	struct path p;
	bool kept = true; /* p's references are ours still */
	err_t err = vfs_lookup(c, NULL, target, 0, &p);
	if (err)
		return err;
	if ((flags & MOUNT_NOUSER) || !cap_set_has(c->cred.caps, CAP_SYS_ADMIN)) {
		path_put(&p);
		return flags & MOUNT_NOUSER ? -EINVAL : -EPERM;
	}
	mutex_lock(&mounts_mutex);
	mount_cross_down(&p); /* somebody may have been faster */
	if (flags & MOUNT_REMOUNT) {
		err = mount_again(&p, flags, options);
	} else if (!(flags & MOUNT_BIND) && (flags & MOUNT_PROPAGATION)) {
		err = set_propagation(&p, flags);
	} else {
		err = flags & MOUNT_BIND   ? mount_bind(c, source, &p, flags & MOUNT_REC)
		      : flags & MOUNT_MOVE ? mount_move(c, source, &p)
					   : mount_new(c, &p, source, type, kept_flags(flags, 0), options);
		kept = err;
	}
	mutex_unlock(&mounts_mutex);
	if (kept)
		path_put(&p);
	return err;
}

/* --- another root --- */

/* The conditions of pivot_root(2); `root` is the caller's. */
static err_t check_pivot_locked(const struct path *root, const struct path *new, const struct path *old)
{
	struct mount *rm = root->mount, *nm = new->mount, *om = old->mount;
	bool shared = om->group || (nm->parent && nm->parent->group) || (rm->parent && rm->parent->group);
	if (shared || !rm->attached || !nm->attached || !om->attached)
		return -EINVAL;
	if (dentry_is_deleted(new->dentry))
		return -ENOENT;
	if (nm == rm || om == rm)
		return -EBUSY;
	if (root->dentry != rm->root || !rm->parent || new->dentry != nm->root || !nm->parent)
		return -EINVAL;
	return 0;
}

/* With mounts_mutex held. The references of `old` are taken over on success. */
static err_t pivot(const struct path *root, const struct path *new, const struct path *old)
{
	struct path was_root, was_new;
	if (dentry_is_deleted(old->dentry))
		return -ENOENT;
	bool reachable = path_is_below(old, new) && path_is_below(new, root);
	spin_lock(&mount_lock);
	err_t err = check_pivot_locked(root, new, old);
	if (!err && !reachable)
		err = -EINVAL;
	if (!err) {
		was_root = mount_move_locked(root->mount, old);
		was_new = mount_move_locked(new->mount, &was_root); /* takes over its references */
	}
	spin_unlock(&mount_lock);
	if (!err)
		path_put(&was_new);
	return err;
}

err_t vfs_pivot_root(
    const struct fs_context *c, const char *new_root, const char *put_old, struct path *from, struct path *to)
{
	struct path old;
	if (!cap_set_has(c->cred.caps, CAP_SYS_ADMIN))
		return -EPERM;
	err_t err = vfs_lookup(c, NULL, new_root, WALK_DIRECTORY, to);
	if (err)
		return err;
	err = vfs_lookup(c, NULL, put_old, WALK_DIRECTORY, &old);
	if (err)
		goto put_new;
	mutex_lock(&mounts_mutex);
	mount_cross_down(&old);
	err = pivot(&c->root, to, &old);
	mutex_unlock(&mounts_mutex);
	if (err)
		goto put_old;
	*from = c->root;
	path_get(from);
	return 0;

put_old:
	path_put(&old);
put_new:
	path_put(to);
	return err;
}
