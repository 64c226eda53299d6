/*
 * namei_ops.c - making and removing names.
 *
 * All follow one shape: walk to the directory, take its lock for writing, look the name up again under it,
 * check - in Linux's order - what may not be, let the file system act, and only then tell the cache of names.
 * So cache and directory agree whenever the lock is free. The vnode that loses or gains a name is locked too
 * (nlink and ctime are its own).
 */
#include "fs/namei_walk.h"
#include "fs/notify.h"

enum { LINK_MODES_UNSAFE = 06000 };

/* --- making --- */

/* A name that does not exist yet, in a directory that is locked for writing. */
struct maker {
	struct walk w;
	struct dentry *dentry; /* negative */
	struct vnode *dir;
};

static err_t check_make(struct maker *m, bool is_dir, err_t read_only)
{
	if (dentry_vnode(m->dentry))
		return -EEXIST;
	if (m->w.trailing_slash && !is_dir)
		return -ENOENT;
	return read_only ? read_only : dir_may_change(&m->w.context->cred, m->dir);
}

static void make_end(struct maker *m)
{
	rwlock_write_unlock(&m->dir->lock);
	dentry_put(m->dentry);
	walk_end(&m->w);
}

/* On errors nothing is held. */
static err_t make_begin(
    struct maker *m, const struct fs_context *c, const struct path *base, const char *name, bool is_dir)
{
	err_t err = walk_begin(&m->w, c, base, name);
	if (err)
		return err;
	err = walk_parent(&m->w);
	if (!err && m->w.last_kind != LAST_NAME)
		err = -EEXIST;
	if (err)
		goto end;
	err_t read_only = mount_want_write(m->w.at.mount);
	m->dir = path_vnode(&m->w.at);
	rwlock_write(&m->dir->lock);
	err = walk_last(&m->w, true, &m->dentry);
	if (err) {
		rwlock_write_unlock(&m->dir->lock);
		goto end;
	}
	err = check_make(m, is_dir, read_only);
	if (err)
		make_end(m);
	return err;

end:
	walk_end(&m->w);
	return err;
}

static err_t make_node(struct maker *m, uint32_t mode, uint64_t rdev, const char *target)
{
	struct vnode *v;
	struct attr a;
	if (!m->dir->ops->create)
		return -EPERM;
	init_attributes(m->w.context, m->dir, mode, &a);
	err_t err = m->dir->ops->create(m->dir, m->w.last, m->w.last_len, &a, rdev, target, &v);
	if (!err) {
		dentry_set_vnode(m->dentry, v);
		notify_name(m->dir, m->w.last, m->w.last_len, v, NOTIFY_CREATE);
	}
	return err;
}

err_t vfs_mkdir(const struct fs_context *c, const struct path *base, const char *name, uint32_t mode)
{
	struct maker m;
	err_t err = make_begin(&m, c, base, name, true);
	if (err)
		return err;
	err = make_node(&m, MODE_DIR | (mode & 01777), 0, NULL);
	make_end(&m);
	return err;
}

err_t vfs_check_mknod(uint32_t *mode)
{
	switch (*mode & MODE_TYPE) {
	case 0:
		*mode |= MODE_REG;
		return 0;
	case MODE_REG:
	case MODE_CHAR:
	case MODE_BLOCK:
	case MODE_FIFO:
	case MODE_SOCK:
		return 0;
	case MODE_DIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

err_t vfs_mknod(const struct fs_context *c, const struct path *base, const char *name, uint32_t mode,
    uint64_t rdev, struct path *out)
{
	struct maker m;
	err_t err = vfs_check_mknod(&mode);
	if (err)
		return err;
	bool device = (mode & MODE_TYPE) == MODE_CHAR || (mode & MODE_TYPE) == MODE_BLOCK;
	err = make_begin(&m, c, base, name, false);
	if (err)
		return err;
	bool whiteout = rdev == 0 && (mode & MODE_TYPE) == MODE_CHAR;
	err = device && !whiteout && !fs_cred_can(&c->cred, CAP_MKNOD)
		  ? -EPERM /* only where the rest is fine */
		  : make_node(&m, mode & (MODE_TYPE | 07777), device ? rdev : 0, NULL);
	if (!err && out) {
		*out = (struct path){m.w.at.mount, m.dentry};
		path_get(out);
	}
	make_end(&m);
	return err;
}

err_t vfs_symlink(const struct fs_context *c, const char *target, const struct path *base, const char *name)
{
	struct maker m;
	if (!*target)
		return -ENOENT;
	err_t err = make_begin(&m, c, base, name, false);
	if (err)
		return err;
	err = make_node(&m, MODE_LINK | 0777, 0, target);
	make_end(&m);
	return err;
}

/* Nobody makes hard links to what is not his and could be used against its owner (Linux's
 * protected_hardlinks, as Debian sets it). */
static err_t check_link_source(const struct fs_cred *cred, const struct vnode *v)
{
	uint32_t mode = vnode_mode(v);
	if (fs_cred_owns(cred, v))
		return 0;
	if ((mode & MODE_TYPE) != MODE_REG || (mode & 04000) || (mode & 02010) == 02010)
		return -EPERM;
	return vnode_permission(cred, v, MAY_READ | MAY_WRITE) ? -EPERM : 0;
}

static err_t link_locked(struct maker *m, struct vnode *v)
{
	if (v->fs != m->dir->fs)
		return -EXDEV;
	if (vnode_has(v, INODE_FIXED))
		return -EPERM;
	if (!m->dir->ops->link || vnode_is(v, MODE_DIR))
		return -EPERM;
	rwlock_write_nested(&v->lock); /* no directory: nobody who holds it waits for one */
	err_t err =
	    v->nlink == 0 && !v->linkable ? -ENOENT : m->dir->ops->link(m->dir, m->w.last, m->w.last_len, v);
	if (!err)
		v->linkable = false;
	rwlock_write_unlock(&v->lock);
	if (!err) {
		vnode_get(v);
		dentry_set_vnode(m->dentry, v);
		notify_vnode(v, NOTIFY_ATTRIB); /* it has one name more */
		notify_name(m->dir, m->w.last, m->w.last_len, v, NOTIFY_CREATE);
	}
	return err;
}

err_t vfs_link(const struct fs_context *c, const struct path *from_base, const char *from,
    unsigned from_flags, const struct path *to_base, const char *to)
{
	struct path source;
	struct maker m;
	err_t err = vfs_lookup(c, from_base, from, from_flags, &source);
	if (err)
		return err;
	err = make_begin(&m, c, to_base, to, false);
	if (!err) {
		err =
		    source.mount != m.w.at.mount ? -EXDEV : check_link_source(&c->cred, path_vnode(&source));
		if (!err)
			err = link_locked(&m, path_vnode(&source));
		make_end(&m);
	}
	path_put(&source);
	return err;
}

/* --- removing --- */

/* May `victim`, a name in the locked directory `dir`, be removed or replaced? */
static err_t may_delete(
    const struct fs_cred *cred, const struct vnode *dir, struct dentry *victim, bool want_dir)
{
	const struct vnode *v = dentry_vnode(victim);
	err_t err = vnode_permission(cred, dir, MAY_WRITE | MAY_EXEC);
	if (err)
		return err;
	if (vnode_has(dir, INODE_APPEND) || vnode_has(v, INODE_FIXED))
		return -EPERM;
	if ((dir->mode & 01000) && !fs_cred_owns(cred, v) && dir->uid != cred->uid)
		return -EPERM;
	if (want_dir != vnode_is(v, MODE_DIR))
		return want_dir ? -ENOTDIR : -EISDIR;
	return dir->dead ? -ENOENT : 0;
}

static bool is_mount_point(struct dentry *d)
{
	return load_relaxed(&d->mounts) != 0;
}

static err_t remove_locked(struct vnode *dir, struct dentry *d, struct walk *w, bool is_dir)
{
	struct vnode *v = dentry_vnode(d);
	err_t (*op)(struct vnode *, const char *, size_t, struct vnode *) =
	    is_dir ? dir->ops->rmdir : dir->ops->unlink;
	if (!op)
		return -EPERM;
	rwlock_write_nested(&v->lock); /* an entry after its directory */
	err_t err = is_mount_point(d) ? -EBUSY : op(dir, w->last, w->last_len, v);
	if (!err && is_dir)
		v->dead = true;
	rwlock_write_unlock(&v->lock);
	return err;
}

/* What a name with slashes behind it is, when a file is to be unlinked. */
static err_t check_victim(const struct walk *w, struct dentry *d, bool is_dir)
{
	const struct vnode *v = dentry_vnode(d);
	if (!v)
		return -ENOENT;
	if (w->trailing_slash && !is_dir)
		return vnode_is(v, MODE_DIR) ? -EISDIR : -ENOTDIR;
	return 0;
}

static err_t remove_in(struct walk *w, bool is_dir)
{
	struct vnode *dir = path_vnode(&w->at), *v = NULL;
	struct dentry *d;
	err_t err = mount_want_write(w->at.mount);
	if (err)
		return err;
	rwlock_write(&dir->lock);
	err = walk_last(w, true, &d);
	if (err) {
		rwlock_write_unlock(&dir->lock);
		return err;
	}
	err = check_victim(w, d, is_dir);
	if (!err)
		err = may_delete(&w->context->cred, dir, d, is_dir);
	if (!err)
		err = remove_locked(dir, d, w, is_dir);
	if (!err) {
		v = dentry_vnode(d);
		vnode_get(v); /* the file itself goes after the lock */
		if (!is_dir)
			notify_vnode(v, NOTIFY_ATTRIB);
		dentry_delete(d);
		notify_name(dir, w->last, w->last_len, v, NOTIFY_DELETE);
	}
	rwlock_write_unlock(&dir->lock);
	dentry_put(d);
	if (v)
		vnode_put(v);
	return err;
}

static err_t remove_name(const struct fs_context *c, const struct path *base, const char *name, bool is_dir)
{
	static const err_t dir_errors[] = {
	    [LAST_DOT] = -EINVAL, [LAST_DOTDOT] = -ENOTEMPTY, [LAST_NONE] = -EBUSY};
	struct walk w;
	err_t err = walk_begin(&w, c, base, name);
	if (err)
		return err;
	err = walk_parent(&w);
	if (!err && w.last_kind != LAST_NAME)
		err = is_dir ? dir_errors[w.last_kind] : -EISDIR;
	if (!err)
		err = remove_in(&w, is_dir);
	walk_end(&w);
	return err;
}

err_t vfs_unlink(const struct fs_context *c, const struct path *base, const char *name)
{
	return remove_name(c, base, name, false);
}

err_t vfs_rmdir(const struct fs_context *c, const struct path *base, const char *name)
{
	return remove_name(c, base, name, true);
}

/* --- rename --- */

struct renamer {
	struct walk from, to;
	struct dentry *d, *over;
	struct vnode *from_dir, *to_dir;
	struct vnode *v, *target; /* target NULL: nothing is replaced */
	unsigned flags;
};

/* Both directories, an ancestor first. The rename lock keeps ancestry as it is. */
static void lock_dirs(struct renamer *r)
{
	struct vnode *first = r->from_dir, *second = r->to_dir;
	mutex_lock(&first->fs->rename_lock);
	bool swap = dentry_is_below(r->from.at.dentry, r->to.at.dentry) ||
		    (!dentry_is_below(r->to.at.dentry, r->from.at.dentry) && second < first);
	rwlock_write(swap ? &second->lock : &first->lock);
	if (first != second)
		rwlock_write_nested(swap ? &first->lock : &second->lock);
}

static void unlock_dirs(struct renamer *r)
{
	rwlock_write_unlock(&r->from_dir->lock);
	if (r->to_dir != r->from_dir)
		rwlock_write_unlock(&r->to_dir->lock);
	mutex_unlock(&r->from_dir->fs->rename_lock);
}

/* The files themselves, after all directories; no cycle, as the rename lock makes us the only one who locks
 * two. */
static void lock_children(struct renamer *r)
{
	struct vnode *first = r->v, *second = r->target;
	if (second && second < first) {
		first = r->target;
		second = r->v;
	}
	rwlock_write_nested(&first->lock);
	if (second)
		rwlock_write_nested(&second->lock);
}

static void unlock_children(struct renamer *r)
{
	rwlock_write_unlock(&r->v->lock);
	if (r->target)
		rwlock_write_unlock(&r->target->lock);
}

static err_t rename_lookup(struct renamer *r)
{
	err_t err = walk_last(&r->from, true, &r->d);
	if (err)
		return err;
	err = walk_last(&r->to, true, &r->over);
	if (err) {
		dentry_put(r->d);
		return err;
	}
	r->v = dentry_vnode(r->d);
	r->target = dentry_vnode(r->over);
	return 0;
}

/* What the two names may not be to each other. */
static err_t rename_check_names(const struct renamer *r)
{
	bool exchange = r->flags & RENAME_EXCHANGE;
	if (!r->v)
		return -ENOENT;
	if (r->target && (r->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (exchange && !r->target)
		return -ENOENT;
	if (exchange && r->to.trailing_slash && !vnode_is(r->target, MODE_DIR))
		return -ENOTDIR;
	if (!vnode_is(r->v, MODE_DIR) && (r->from.trailing_slash || (!exchange && r->to.trailing_slash)))
		return -ENOTDIR;
	if (dentry_is_below(r->to.at.dentry, r->d))
		return -EINVAL;
	if (dentry_is_below(r->from.at.dentry, r->over))
		return exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static err_t rename_check_rights(const struct renamer *r)
{
	const struct fs_cred *cred = &r->from.context->cred;
	bool is_dir = vnode_is(r->v, MODE_DIR), exchange = r->flags & RENAME_EXCHANGE;
	err_t err = may_delete(cred, r->from_dir, r->d, is_dir);
	if (!err)
		err = !r->target ? dir_may_change(cred, r->to_dir)
				 : may_delete(cred, r->to_dir, r->over,
				       exchange ? vnode_is(r->target, MODE_DIR) : is_dir);
	if (!err && !r->from_dir->ops->rename)
		err = -EPERM;
	if (!err && is_dir && r->from_dir != r->to_dir)
		err = vnode_permission(cred, r->v, MAY_WRITE);
	if (!err && exchange && vnode_is(r->target, MODE_DIR) && r->from_dir != r->to_dir)
		err = vnode_permission(cred, r->target, MAY_WRITE);
	return err;
}

static err_t rename_commit(struct renamer *r)
{
	bool exchange = r->flags & RENAME_EXCHANGE;
	struct dentry_spare spare;
	err_t err = dentry_rename_prepare(r->over, exchange, &spare);
	if (err)
		return err;
	lock_children(r);
	if (is_mount_point(r->d) || is_mount_point(r->over))
		err = -EBUSY;
	else
		err = r->from_dir->ops->rename(r->from_dir, r->from.last, r->from.last_len, r->v, r->to_dir,
		    r->to.last, r->to.last_len, r->target, exchange);
	if (!err && r->target && !exchange && vnode_is(r->target, MODE_DIR))
		r->target->dead = true;
	unlock_children(r);
	if (err)
		dentry_rename_cancel(&spare);
	else
		dentry_rename(r->d, r->over, exchange, &spare);
	return err;
}

/* After the change; the directories are locked. */
static void tell_renamed(const struct renamer *r)
{
	struct notify_name from = {r->from_dir, r->from.last, r->from.last_len};
	struct notify_name to = {r->to_dir, r->to.last, r->to.last_len};
	bool exchange = r->flags & RENAME_EXCHANGE;
	notify_moved(&from, &to, r->v, exchange ? NULL : r->target);
	if (exchange)
		notify_moved(&to, &from, r->target, NULL);
}

/* Both walks stand on their directories. */
static err_t rename_in(struct renamer *r)
{
	if (r->from.at.mount != r->to.at.mount)
		return -EXDEV;
	if (r->from.last_kind != LAST_NAME)
		return -EBUSY;
	if (r->to.last_kind != LAST_NAME)
		return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	err_t err = mount_want_write(r->from.at.mount);
	if (err)
		return err;
	r->from_dir = path_vnode(&r->from.at);
	r->to_dir = path_vnode(&r->to.at);
	lock_dirs(r);
	err = rename_lookup(r);
	if (err) {
		unlock_dirs(r);
		return err;
	}
	err = rename_check_names(r);
	if (!err && r->v != r->target) { /* two names of one file: nothing to do */
		err = rename_check_rights(r);
		if (!err)
			err = rename_commit(r);
		if (!err)
			tell_renamed(r);
	}
	unlock_dirs(r);
	dentry_put(r->d);
	dentry_put(r->over);
	return err;
}

err_t vfs_check_rename(unsigned flags)
{
	bool exchange = flags & RENAME_EXCHANGE;
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) || (exchange && (flags & RENAME_NOREPLACE)))
		return -EINVAL;
	return 0;
}

err_t vfs_rename(const struct fs_context *c, const struct path *from_base, const char *from,
    const struct path *to_base, const char *to, unsigned flags)
{
	struct renamer r = {.flags = flags};
	err_t err = vfs_check_rename(flags);
	if (!err)
		err = walk_begin(&r.from, c, from_base, from);
	if (err)
		return err;
	err = walk_parent(&r.from);
	if (err)
		goto end_from;
	err = walk_begin(&r.to, c, to_base, to);
	if (err)
		goto end_from;
	err = walk_parent(&r.to);
	if (!err)
		err = rename_in(&r);
	walk_end(&r.to);
end_from:
	walk_end(&r.from);
	return err;
}
