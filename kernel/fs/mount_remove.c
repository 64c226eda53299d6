/* mount_remove.c - umount2(2): see mount.c for what is in use, and when. */
#include "fs/mount_priv.h"
#include "vm/fault.h"

err_t mount_detach_unused(struct mount *m, uint32_t users, struct path *was)
{
	spin_lock(&mount_lock);
	mount_wait_walkers_locked(m);
	bool busy = load_relaxed(&m->refs) > users + 1 || !list_is_empty(&m->children);
	if (!busy)
		*was = mount_detach_locked(m);
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

void mount_detach_tree(struct mount *m)
{
	for (;;) {
		spin_lock(&mount_lock);
		struct mount *leaf = m;
		while (!list_is_empty(&leaf->children))
			leaf = list_first(&leaf->children, struct mount, sibling);
		mount_wait_walkers_locked(leaf);
		mount_leave_group_locked(leaf);
		struct path was = mount_detach_locked(leaf);
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
	err_t err = mount_detach_unused(m, 1, &was);
	if (err)
		return err;
	if (fs_in_use(m)) { /* a mapping: back to where it was */
		spin_lock(&mount_lock);
		mount_attach_locked(m, &was);
		spin_unlock(&mount_lock);
		return -EBUSY;
	}
	spin_lock(&mount_lock);
	mount_leave_group_locked(m);
	spin_unlock(&mount_lock);
	path_put(&was);
	mount_put(m); /* the tree's */
	return 0;
}

/* UMOUNT_EXPIRE: only if nobody used it since that was asked last. The caller has one reference. */
static err_t check_expired(struct mount *m)
{
	spin_lock(&mount_lock);
	bool busy = load_relaxed(&m->refs) > 2;
	spin_unlock(&mount_lock);
	if (busy)
		return -EBUSY;
	return atomic_exchange_explicit(&m->expires, true, memory_order_relaxed) ? 0 : -EAGAIN;
}

/* What keeps p from being unmounted at all. */
static err_t check_umount(const struct fs_context *c, const struct path *p, unsigned flags)
{
	if (!cap_set_has(c->cred.caps, CAP_SYS_ADMIN))
		return -EPERM;
	if (p->dentry != p->mount->root || !p->mount->attached)
		return -EINVAL;
	if (flags & UMOUNT_EXPIRE) {
		bool other = p->mount == c->root.mount || (flags & (UMOUNT_FORCE | UMOUNT_DETACH));
		return other ? -EINVAL : check_expired(p->mount);
	}
	return 0;
}

/* m is attached. Its dentry is not held, only itself. */
static err_t remove_mount(const struct fs_context *c, struct mount *m, unsigned flags)
{
	if (m == c->root.mount &&
	    !(flags & UMOUNT_DETACH)) /* of the own root, as much as can be: as on Linux */
		return m->fs->read_only ? 0 : fs_remount(m->fs, true, "");
	spin_lock(&mount_lock);
	bool spreads = mount_would_vanish_locked(m);
	spin_unlock(&mount_lock);
	if (!m->parent || spreads)
		return -EINVAL;
	if (!(flags & UMOUNT_DETACH))
		return unmount(m);
	mount_detach_tree(m);
	return 0;
}

err_t vfs_umount(const struct fs_context *c, const char *target, unsigned flags)
{
	struct path p;
	if (flags & ~(unsigned)(UMOUNT_FORCE | UMOUNT_DETACH | UMOUNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	err_t err = vfs_lookup(c, NULL, target, flags & UMOUNT_NOFOLLOW ? WALK_NOFOLLOW : 0, &p);
	if (err)
		return err;
	mutex_lock(&mounts_mutex);
	err = check_umount(c, &p, flags);
	dentry_put(p.dentry); /* only the mount is held from here on */
	if (!err)
		err = remove_mount(c, p.mount, flags);
	mutex_unlock(&mounts_mutex);
	mount_drop(p.mount);
	return err;
}
