/* namei_attr.c - attributes of files: stat, access, chmod, chown, times, sizes; reading links; paths as text.
 */
#include "fs/file_caps.h"
#include "fs/namei_walk.h"
#include "fs/notify.h"
#include "lib/string.h"

/* --- looking --- */

static err_t apply_locked(struct vnode *v, struct attr *a)
{
	if (!(a->mask & ATTR_CTIME)) {
		fs_now(&a->ctime);
		a->mask |= ATTR_CTIME;
	}
	err_t err = v->ops->setattr ? v->ops->setattr(v, a) : 0;
	if (err)
		return err;
	if (a->mask & ATTR_MODE)
		__atomic_store_n(&v->mode, (v->mode & MODE_TYPE) | (a->mode & 07777), __ATOMIC_RELAXED);
	if (a->mask & ATTR_UID)
		__atomic_store_n(&v->uid, a->uid, __ATOMIC_RELAXED);
	if (a->mask & ATTR_GID)
		__atomic_store_n(&v->gid, a->gid, __ATOMIC_RELAXED);
	if (a->mask & ATTR_ATIME)
		v->atime = a->atime;
	if (a->mask & ATTR_MTIME) {
		v->mtime = a->mtime;
		if (v->pages) /* what was written before counts no more */
			store_relaxed(&v->pages->written_by_map, false);
	}
	v->ctime = a->ctime;
	return 0;
}

void vnode_note_mapped_writes(struct vnode *v)
{
	struct attr a = {.mask = ATTR_MTIME | ATTR_CTIME};
	if (likely(!v->pages || !load_relaxed(&v->pages->written_by_map)))
		return;
	fs_now(&a.mtime);
	a.ctime = a.mtime;
	rwlock_write(&v->lock);
	err_t err = load_relaxed(&v->pages->written_by_map) ? apply_locked(v, &a) : 0;
	rwlock_write_unlock(&v->lock);
	(void)err; /* the flag stays: the next one who asks tries again */
}

void vfs_stat_vnode(struct vnode *v, struct vfs_stat *st)
{
	vnode_note_mapped_writes(v);
	rwlock_read(&v->lock);
	*st = (struct vfs_stat){
	    .dev = v->fs->dev,
	    .ino = v->ino,
	    .nlink = v->nlink,
	    .rdev = v->rdev,
	    .size = v->size,
	    .blocks = v->blocks,
	    .mode = v->mode,
	    .uid = v->uid,
	    .gid = v->gid,
	    .block_size = v->fs->io_size ? v->fs->io_size : PAGE_SIZE,
	    .atime = v->atime,
	    .mtime = v->mtime,
	    .ctime = v->ctime,
	    .btime = v->btime,
	};
	if (v->ops->getattr)
		v->ops->getattr(v, st);
	rwlock_read_unlock(&v->lock);
}

void vfs_stat_path(const struct path *p, struct vfs_stat *st)
{
	vfs_stat_vnode(path_vnode(p), st);
	st->mount_id = p->mount->id;
	st->mount_root = p->dentry == p->mount->root;
}

static bool is_fixed_type(const struct vnode *v)
{
	return vnode_is(v, MODE_REG) || vnode_is(v, MODE_DIR) || vnode_is(v, MODE_LINK);
}

err_t vfs_access(const struct fs_context *c, const struct path *p, unsigned mask)
{
	struct vnode *v = path_vnode(p);
	if ((mask & MAY_EXEC) && vnode_is(v, MODE_REG) && (load_relaxed(&p->mount->flags) & MOUNT_NOEXEC))
		return -EACCES;
	bool changes = (mask & MAY_WRITE) && is_fixed_type(v);
	if (changes && v->fs->read_only)
		return -EROFS; /* before rights are looked at; a mount is asked after them */
	err_t err = vnode_permission(&c->cred, v, mask);
	return !err && changes ? mount_want_write(p->mount) : err;
}

err_t vfs_may_enter(const struct fs_context *c, const struct path *p)
{
	struct vnode *v = path_vnode(p);
	return vnode_is(v, MODE_DIR) ? vnode_permission(&c->cred, v, MAY_EXEC) : -ENOTDIR;
}

static err_t read_link(const struct path *p, char *buf, size_t size, size_t *len)
{
	struct vnode *v = path_vnode(p);
	if (!vnode_is(v, MODE_LINK) || !v->ops->readlink)
		return -EINVAL;
	file_touch_atime(p->mount, v);
	return v->ops->readlink(v, buf, size, len);
}

int64_t vfs_readlink(
    const struct fs_context *c, const struct path *base, const char *name, char *buf, size_t size)
{
	struct path p;
	size_t len = 0;
	err_t err = vfs_lookup(c, base, name, WALK_NOFOLLOW | WALK_EMPTY, &p);
	if (err)
		return err;
	err = read_link(&p, buf, size, &len);
	if (err == -EINVAL && !*name)
		err = -ENOENT; /* as Linux: the base is no link */
	path_put(&p);
	return err ? err : (int64_t)len;
}

err_t vfs_statfs(const struct path *p, struct fs_stats *out)
{
	struct fs *fs = path_vnode(p)->fs;
	*out = (struct fs_stats){.block_size = PAGE_SIZE, .name_max = NAME_LEN_MAX, .fsid = fs->dev};
	return fs->ops->statfs ? fs->ops->statfs(fs, out) : 0;
}

/* --- changing --- */

/* What is told of a change: times that are set together are an attribute, alone each is as if the file had
 * been used. */
static uint32_t events_of(unsigned mask)
{
	uint32_t events = mask & (ATTR_MODE | ATTR_UID | ATTR_GID) ? NOTIFY_ATTRIB : 0;
	unsigned times = mask & (ATTR_ATIME | ATTR_MTIME);
	if (times == (ATTR_ATIME | ATTR_MTIME))
		return events | NOTIFY_ATTRIB;
	return events | (times & ATTR_ATIME ? NOTIFY_ACCESS : 0) | (times & ATTR_MTIME ? NOTIFY_MODIFY : 0);
}

/* Let the file system agree, then store, unless err says that it may not be; p's file is locked for writing,
 * and unlocked. */
static err_t change_unlock(const struct path *p, struct attr *a, err_t err)
{
	struct vnode *v = path_vnode(p);
	uint32_t events = events_of(a->mask);
	if (!err)
		err = apply_locked(v, a);
	rwlock_write_unlock(&v->lock);
	if (!err && events)
		notify_dentry(p->dentry, events);
	return err;
}

err_t vfs_chmod(const struct fs_context *c, const struct path *p, uint32_t mode)
{
	struct vnode *v = path_vnode(p);
	struct attr a = {.mask = ATTR_MODE, .mode = mode & 07777};
	err_t err = mount_want_write(p->mount);
	if (err)
		return err;
	if (vnode_is(v, MODE_LINK))
		return -ENOTSUP;
	rwlock_write(&v->lock);
	if (vnode_has(v, INODE_FIXED) || !fs_cred_owns(&c->cred, v))
		err = -EPERM;
	if (!fs_cred_can(&c->cred, CAP_FSETID) && !fs_cred_in_group(&c->cred, v->gid))
		a.mode &= ~02000u;
	return change_unlock(p, &a, err);
}

/* The mode after somebody without privilege for it changed a regular file: set-user-id goes, and set-group-id
 * where the group may execute. */
static uint32_t without_suid(uint32_t mode)
{
	mode &= ~04000u;
	return (mode & 02010) == 02010 ? mode & ~02000u : mode;
}

err_t vnode_drop_rights_locked(struct vnode *v, bool keep_suid, uint32_t *events)
{
	uint32_t mode = keep_suid ? v->mode : without_suid(v->mode);
	struct attr a = {.mask = ATTR_MODE, .mode = mode & 07777};
	if (!vnode_is(v, MODE_REG))
		return 0;
	err_t err = file_caps_drop_locked(v);
	if (err || mode == v->mode)
		return err;
	err = apply_locked(v, &a);
	*events |= err ? 0 : NOTIFY_ATTRIB;
	return err;
}

/* May somebody without CAP_CHOWN give the file to this owner and group: its own uid, one of its groups. */
static bool may_chown(const struct fs_cred *cred, const struct vnode *v, uint32_t uid, uint32_t gid)
{
	if (fs_cred_can(cred, CAP_CHOWN))
		return true;
	if (uid != OWNER_KEEP && (v->uid != cred->uid || uid != v->uid))
		return false;
	return gid == OWNER_KEEP || (v->uid == cred->uid && (gid == v->gid || fs_cred_in_group(cred, gid)));
}

err_t vfs_chown(const struct fs_context *c, const struct path *p, uint32_t uid, uint32_t gid)
{
	struct vnode *v = path_vnode(p);
	struct attr a = {.uid = uid, .gid = gid};
	err_t err = mount_want_write(p->mount);
	if (err)
		return err;
	rwlock_write(&v->lock);
	a.mask = (uid != OWNER_KEEP ? ATTR_UID : 0) | (gid != OWNER_KEEP ? ATTR_GID : 0);
	if ((a.mask && vnode_has(v, INODE_FIXED)) || !may_chown(&c->cred, v, uid, gid))
		err = -EPERM;
	if (!vnode_is(v, MODE_DIR) && (v->mode & 06000)) {
		a.mask |= ATTR_MODE;
		a.mode = without_suid(v->mode);
	}
	if (!err && !vnode_is(v, MODE_DIR))
		err = file_caps_drop_locked(v);
	return change_unlock(p, &a, err);
}

static void choose_time(struct attr *a, unsigned bit, struct timespec64 *to, const struct time_change *t)
{
	if (t->choice == TIME_OMIT)
		return;
	*to = t->choice == TIME_NOW ? a->ctime : t->at;
	a->mask |= bit;
}

/* Setting the time to now needs the right to write; to anything else, the owner. */
static err_t may_set_times(const struct fs_cred *cred, const struct vnode *v, bool now)
{
	if (vnode_has(v, now ? INODE_IMMUTABLE : INODE_FIXED))
		return -EPERM;
	if (fs_cred_owns(cred, v))
		return 0;
	return now ? vnode_permission(cred, v, MAY_WRITE) : -EPERM;
}

err_t vfs_utimens(const struct fs_context *c, const struct path *p, const struct time_change *atime,
    const struct time_change *mtime)
{
	struct vnode *v = path_vnode(p);
	struct attr a = {.mask = ATTR_CTIME};
	if (atime->choice == TIME_INVALID || mtime->choice == TIME_INVALID)
		return -EINVAL;
	if (atime->choice == TIME_OMIT && mtime->choice == TIME_OMIT)
		return 0;
	err_t err = mount_want_write(p->mount);
	if (err)
		return err;
	fs_now(&a.ctime);
	choose_time(&a, ATTR_ATIME, &a.atime, atime);
	choose_time(&a, ATTR_MTIME, &a.mtime, mtime);
	rwlock_write(&v->lock);
	err = may_set_times(&c->cred, v, atime->choice == TIME_NOW && mtime->choice == TIME_NOW);
	return change_unlock(p, &a, err);
}

err_t vfs_truncate(const struct fs_context *c, const struct path *p, int64_t size, uint64_t limit)
{
	struct file *f;
	if (size < 0)
		return -EINVAL;
	if (vnode_is(path_vnode(p), MODE_DIR))
		return -EISDIR;
	if (!vnode_is(path_vnode(p), MODE_REG))
		return -EINVAL;
	err_t err = vfs_open_to_cut(c, p, &f);
	if (err)
		return err;
	err = file_truncate(f, size, limit, fs_cred_can(&c->cred, CAP_FSETID));
	file_put(f);
	return err;
}

/* --- paths as text --- */

struct text {
	char *buf;
	size_t at; /* what is there begins here */
	bool full;
};

static void prepend(struct text *t, const char *s, size_t len)
{
	if (len > t->at) {
		t->full = true;
		return;
	}
	t->at -= len;
	memcpy(t->buf + t->at, s, len);
}

/* Prepend "/name" up to the root given; false: the walk up ended somewhere else. Both locks held. */
static bool prepend_path(struct text *t, const struct path *p, const struct path *root)
{
	struct mount *m = p->mount;
	struct dentry *d = p->dentry;
	while (!root || d != root->dentry || m != root->mount) {
		if (d == m->root) {
			if (!m->parent)
				return !root && m->attached;
			d = m->point;
			m = m->parent;
		} else {
			if (!d->parent)
				return false;
			prepend(t, d->name, d->name_len);
			prepend(t, "/", 1);
			d = d->parent;
		}
	}
	return true;
}

static int64_t finish_text(struct text *t, size_t size, enum path_style style)
{
	size_t len = size - t->at;
	if (t->full)
		return style == PATH_CWD ? -ERANGE : -ENAMETOOLONG;
	memmove(t->buf, t->buf + t->at, len);
	return (int64_t)len - 1;
}

int64_t mount_root_path(struct mount *m, char *buf, size_t size)
{
	struct text t = {.buf = buf, .at = size};
	prepend(&t, "", 1);
	size_t end = t.at;
	spin_lock(&dentry_lock);
	if (m->root->parent && !(m->root->flags & DENTRY_HASHED))
		prepend(&t, "//deleted", 9);
	for (struct dentry *d = m->root; d->parent; d = d->parent) {
		prepend(&t, d->name, d->name_len);
		prepend(&t, "/", 1);
	}
	spin_unlock(&dentry_lock);
	if (t.at == end)
		prepend(&t, "/", 1);
	return finish_text(&t, size, PATH_BELOW);
}

int64_t path_to_text(
    const struct path *p, const struct path *root, enum path_style style, char *buf, size_t size)
{
	struct text t = {.buf = buf, .at = size};
	bool reached, deleted;
	prepend(&t, "", 1);
	spin_lock(&mount_lock);
	spin_lock(&dentry_lock);
	deleted = p->dentry->parent && !(p->dentry->flags & DENTRY_HASHED);
	if (deleted && style == PATH_FD)
		prepend(&t, " (deleted)", 10);
	size_t end = t.at;
	reached = prepend_path(&t, p, root);
	if (t.at == end && !t.full)
		prepend(&t, "/", 1);
	if (!reached && style == PATH_CWD)
		prepend(&t, "(unreachable)", 13);
	spin_unlock(&dentry_lock);
	spin_unlock(&mount_lock);
	if ((deleted && style == PATH_CWD) || (!reached && style == PATH_BELOW))
		return -ENOENT;
	return finish_text(&t, size, style);
}
