/*
 * file_chattr.c - the flags of files that chattr(1) sets, and their generation: who may set them. What
 * flags mean is asked where it counts: vnode_permission and its callers (immutable), opening, truncating
 * and removing (append only), access times.
 */
#include "fs/namei_walk.h"

/* Requests for these reach no other files. */
static bool takes_requests(const struct vnode *v)
{
	return vnode_is(v, MODE_REG) || vnode_is(v, MODE_DIR);
}

static bool has_flags(const struct vnode *v)
{
	return v->ops->get_flags && takes_requests(v);
}

err_t vfs_get_flags(const struct path *p, uint32_t *out)
{
	struct vnode *v = path_vnode(p);
	if (!has_flags(v))
		return -ENOTTY;
	rwlock_read(&v->lock);
	*out = v->ops->get_flags(v);
	rwlock_read_unlock(&v->lock);
	return 0;
}

/* v is locked for writing. Its owner sets flags; those that bind the owner too need a right of their own. */
static err_t set_flags_locked(const struct fs_cred *cred, struct vnode *v, uint32_t flags)
{
	if (!fs_cred_owns(cred, v))
		return -EPERM;
	if (((flags ^ v->ops->get_flags(v)) & INODE_FIXED) && !fs_cred_can(cred, CAP_LINUX_IMMUTABLE))
		return -EPERM;
	err_t err = v->ops->set_flags(v, flags);
	if (!err)
		store_relaxed(&v->flags, v->ops->get_flags(v) & INODE_HONOURED);
	return err;
}

err_t vfs_set_flags(const struct fs_context *c, const struct path *p, uint32_t flags)
{
	struct vnode *v = path_vnode(p);
	if (!has_flags(v))
		return -ENOTTY;
	err_t err = mount_want_write(p->mount);
	if (err)
		return err;
	rwlock_write(&v->lock);
	err = set_flags_locked(&c->cred, v, flags);
	rwlock_write_unlock(&v->lock);
	return err;
}

err_t vfs_get_generation(const struct path *p, uint32_t *out)
{
	struct vnode *v = path_vnode(p);
	if (!v->ops->get_generation || !takes_requests(v))
		return -ENOTTY;
	rwlock_read(&v->lock);
	*out = v->ops->get_generation(v);
	rwlock_read_unlock(&v->lock);
	return 0;
}

err_t vfs_set_generation(const struct fs_context *c, const struct path *p, uint32_t generation)
{
	struct vnode *v = path_vnode(p);
	if (!v->ops->set_generation || !takes_requests(v))
		return -ENOTTY;
	rwlock_write(&v->lock);
	err_t err = fs_cred_owns(&c->cred, v) ? mount_want_write(p->mount) : -EPERM;
	if (!err)
		err = v->ops->set_generation(v, generation);
	rwlock_write_unlock(&v->lock);
	return err;
}
