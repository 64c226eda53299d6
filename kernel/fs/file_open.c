/*
 * file_open.c - open(2): from a name, or from a path found already, to an open file.
 *
 * The name is walked, perhaps made under its directory's lock, then rights are checked (not for what was just
 * made), writers are counted against programs that run the file, and the file is bound to what its type says:
 * the generic operations, a device's, a fifo's, the file system's own.
 */
#include "fs/devfs.h"
#include "fs/namei_walk.h"
#include "fs/notify.h"
#include "fs/pipe.h"
#include "lib/printf.h"

struct opener {
	const struct fs_context *c;
	unsigned flags;
	uint32_t mode;
	bool created;
	struct path path; /* what will be opened, with references */
};

static bool has(const struct opener *o, unsigned flag)
{
	return (o->flags & flag) == flag;
}

/* A link at the end is the result: one that was to be made exists. */
static bool stops_at_link(const struct opener *o)
{
	return has(o, FILE_NOFOLLOW) || has(o, FILE_CREAT | FILE_EXCL);
}

static bool wants_write(unsigned flags)
{
	return (flags & FILE_ACCMODE) != FILE_RDONLY;
}

err_t vfs_check_open(unsigned *flags)
{
	unsigned f = *flags & ~(unsigned)FILE_OURS; /* not for the caller to say */
	if (f & FILE_PATH) {
		*flags = f & (FILE_PATH | FILE_DIRECTORY | FILE_NOFOLLOW | FILE_CLOEXEC);
		return 0;
	}
	if (f & (FILE_TMPFILE & ~FILE_DIRECTORY)) {
		if ((f & FILE_TMPFILE) != FILE_TMPFILE || (f & FILE_CREAT) || !wants_write(f))
			return -EINVAL;
	} else if ((f & FILE_CREAT) && (f & FILE_DIRECTORY)) {
		return -EINVAL;
	}
	*flags = f;
	return 0;
}

/* --- rights --- */

static unsigned access_of(unsigned flags)
{
	static const unsigned masks[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE};
	return masks[flags & FILE_ACCMODE] | (flags & FILE_TRUNC ? MAY_WRITE : 0);
}

/* Only regular files can be executed. */
static err_t check_exec_type(const struct opener *o, const struct vnode *v)
{
	if (vnode_is(v, MODE_LINK))
		return -ELOOP;
	return vnode_is(v, MODE_REG) && !(load_relaxed(&o->path.mount->flags) & MOUNT_NOEXEC) ? 0 : -EACCES;
}

static err_t check_type(const struct opener *o, const struct vnode *v)
{
	if (o->flags & FILE_EXEC)
		return check_exec_type(o, v);
	switch (vnode_mode(v) & MODE_TYPE) {
	case MODE_LINK:
		return -ELOOP;
	case MODE_DIR:
		return access_of(o->flags) & MAY_WRITE ? -EISDIR : 0;
	case MODE_CHAR:
	case MODE_BLOCK:
		return load_relaxed(&o->path.mount->flags) & MOUNT_NODEV ? -EACCES : 0;
	default:
		return 0;
	}
}

/* Is it to be opened as what only grows may be? */
static bool may_append(const struct opener *o)
{
	return !has(o, FILE_TRUNC) && (!wants_write(o->flags) || has(o, FILE_APPEND));
}

/* May the caller open it like this? */
static err_t check_rights(const struct opener *o)
{
	const struct vnode *v = path_vnode(&o->path);
	const struct fs_cred *cred = &o->c->cred;
	unsigned access = o->created ? 0 : o->flags & FILE_EXEC ? MAY_EXEC : access_of(o->flags);
	err_t err = check_type(o, v);
	if (!err && (access & MAY_WRITE) && vnode_is(v, MODE_REG))
		err = mount_want_write(o->path.mount);
	if (!err)
		err = vnode_permission(cred, v, access);
	if (!err && vnode_has(v, INODE_APPEND) && !may_append(o))
		err = -EPERM;
	if (!err && has(o, FILE_NOATIME) && !fs_cred_owns(cred, v))
		err = -EPERM;
	return err;
}

/* --- writers and executors --- */

static err_t count_writer(struct vnode *v)
{
	int32_t old = load_relaxed(&v->writers);
	do {
		if (old < 0)
			return -ETXTBSY;
	} while (!cas_acq_rel(&v->writers, &old, old + 1));
	return 0;
}

err_t vnode_deny_write(struct vnode *v)
{
	int32_t old = load_relaxed(&v->writers);
	do {
		if (old > 0)
			return -ETXTBSY;
	} while (!cas_acq_rel(&v->writers, &old, old - 1));
	return 0;
}

void vnode_allow_write(struct vnode *v)
{
	int32_t old = fetch_add_acq_rel(&v->writers, 1);
	ASSERT(old < 0);
}

/* --- binding --- */

/* The operations by type. The file holds its references already. */
static err_t bind_type(struct file *f)
{
	switch (vnode_mode(f->vnode) & MODE_TYPE) {
	case MODE_REG:
		f->ops = &regular_file_ops;
		return 0;
	case MODE_DIR:
		f->ops = &directory_file_ops;
		return 0;
	case MODE_FIFO:
		return fifo_open(f);
	case MODE_CHAR:
	case MODE_BLOCK:
		return dev_open_file(f);
	default:
		return -ENXIO; /* sockets */
	}
}

static err_t cut(struct opener *o, struct file *f)
{
	struct vnode *v = f->vnode;
	uint32_t events = NOTIFY_MODIFY;
	if (!has(o, FILE_TRUNC) || o->created || f->ops != &regular_file_ops)
		return 0;
	rwlock_write(&v->lock);
	err_t err = load_relaxed(&v->seals) & (v->size ? SEAL_SHRINK | SEAL_WRITE : 0) ? -EPERM : 0;
	if (!err)
		err = vnode_drop_rights_locked(v, fs_cred_can(&o->c->cred, CAP_FSETID), &events);
	if (!err)
		err = vnode_set_size_locked(v, 0);
	rwlock_write_unlock(&v->lock);
	if (!err)
		notify_dentry(f->dentry, events);
	return err;
}

static err_t bind(struct opener *o, struct file *f)
{
	struct vnode *v = f->vnode;
	if (has(o, FILE_PATH)) {
		f->ops = &path_file_ops;
		return 0;
	}
	err_t err = 0;
	if (vnode_is(v, MODE_REG) && (wants_write(o->flags) || has(o, FILE_TRUNC))) {
		err = count_writer(v);
		if (!err)
			fetch_or_acq_rel(&f->flags, FILE_WRITER);
	}
	return err ? err : v->ops->open ? v->ops->open(v, f) : bind_type(f);
}

/* Make the file; the references of o->path are the caller's still. Nobody is told. */
static err_t open_quietly(struct opener *o, struct file **out)
{
	struct file *f;
	unsigned kept = o->flags & ~(unsigned)(FILE_CREAT | FILE_EXCL | FILE_TRUNC | FILE_CLOEXEC);
	err_t err = has(o, FILE_PATH) ? 0 : check_rights(o);
	if (err)
		return err;
	err = file_create(&path_file_ops, kept, &f);
	if (err)
		return err;
	path_get(&o->path);
	f->mount = o->path.mount;
	f->dentry = o->path.dentry;
	f->vnode = path_vnode(&o->path);
	vnode_get(f->vnode);
	store_relaxed(&f->write_error_seen, vnode_sample_error(f->vnode));
	err = bind(o, f);
	fetch_and_acq_rel(&f->flags, ~(uint32_t)FILE_NOCTTY); /* only devices wanted to know */
	if (err)
		file_put(f);
	else
		*out = f;
	return err;
}

static err_t open_it(struct opener *o, struct file **out)
{
	err_t err = open_quietly(o, out);
	if (err || has(o, FILE_PATH))
		return err;
	fetch_or_acq_rel(&(*out)->flags, FILE_TOLD);
	notify_file(*out, NOTIFY_OPEN);
	err = cut(o, *out);
	if (err)
		file_put(*out);
	return err;
}

err_t vfs_open_to_cut(const struct fs_context *c, const struct path *p, struct file **out)
{
	struct opener o = {.c = c, .flags = FILE_WRONLY, .path = *p};
	return open_quietly(&o, out);
}

err_t vfs_open_path(const struct fs_context *c, const struct path *p, unsigned flags, struct file **out)
{
	struct opener o = {
	    .c = c, .flags = flags & ~(unsigned)(FILE_CREAT | FILE_EXCL | FILE_NOFOLLOW), .path = *p};
	err_t err = vfs_check_open(&o.flags);
	if (!err && has(&o, FILE_DIRECTORY) && !vnode_is(path_vnode(p), MODE_DIR))
		err = -ENOTDIR;
	return err ? err : open_it(&o, out);
}

err_t vfs_open_exec(const struct fs_context *c, const struct path *p, struct file **out)
{
	struct opener o = {.c = c, .flags = FILE_RDONLY | FILE_EXEC | FILE_LARGEFILE, .path = *p};
	struct file *f;
	err_t err = open_it(&o, &f);
	if (err)
		return err;
	err = vnode_deny_write(f->vnode);
	if (err)
		file_put(f);
	else
		*out = f;
	return err;
}

/* --- by name --- */

/* The directory is locked for writing: the name, made if it does not exist. */
static err_t make_locked(struct opener *o, struct walk *w, struct dentry **d)
{
	struct vnode *dir = path_vnode(&w->at), *v;
	struct attr a;
	err_t err = walk_last(w, true, d);
	if (err || dentry_vnode(*d))
		return err;
	err = mount_want_write(w->at.mount);
	if (!err)
		err = dir_may_change(&o->c->cred, dir);
	if (!err && !dir->ops->create)
		err = -EACCES;
	if (!err) {
		init_attributes(o->c, dir, MODE_REG | (o->mode & 07777), &a);
		err = dir->ops->create(dir, w->last, w->last_len, &a, 0, NULL, &v);
	}
	if (err) {
		dentry_put(*d);
		return err;
	}
	dentry_set_vnode(*d, v);
	o->created = true;
	notify_name(dir, w->last, w->last_len, v, NOTIFY_CREATE);
	return 0;
}

/* The last component: found, or made. *d may be negative only without O_CREAT. */
static err_t find_or_make(struct opener *o, struct walk *w, struct dentry **d)
{
	struct vnode *dir = path_vnode(&w->at);
	err_t err;
	if (!has(o, FILE_CREAT) || !has(o, FILE_EXCL)) {
		err = walk_last(w, false, d);
		if (err || dentry_vnode(*d) || !has(o, FILE_CREAT))
			return err;
		dentry_put(*d);
	}
	rwlock_write(&dir->lock);
	err = make_locked(o, w, d);
	rwlock_write_unlock(&dir->lock);
	return err;
}

/* What was found is not what was asked for? */
static err_t check_found(const struct opener *o, const struct walk *w, const struct vnode *v)
{
	if (!v)
		return -ENOENT;
	if (has(o, FILE_CREAT) && has(o, FILE_EXCL) && !o->created)
		return -EEXIST;
	if (has(o, FILE_CREAT) && vnode_is(v, MODE_DIR))
		return -EISDIR;
	if ((w->trailing_slash || w->must_be_dir || has(o, FILE_DIRECTORY)) && !vnode_is(v, MODE_DIR))
		return -ENOTDIR;
	return 0;
}

/* The last component is looked at; *again: it was a link and the walk goes on. On success o->path has
 * references. */
static err_t open_last(struct opener *o, struct walk *w, bool *again)
{
	struct dentry *d;
	bool arrived;
	*again = false;
	if (w->last_kind != LAST_NAME) {
		if (has(o, FILE_CREAT))
			return -EISDIR;
		return walk_end_here(w, &o->path);
	}
	if (has(o, FILE_CREAT) && w->trailing_slash)
		return -EISDIR;
	err_t err = find_or_make(o, w, &d);
	if (err)
		return err;
	o->path = (struct path){w->at.mount, d};
	mount_get(w->at.mount);
	err = walk_cross_down(w, &o->path);
	if (err)
		return err;
	struct vnode *v = path_vnode(&o->path);
	if (!v || !vnode_is(v, MODE_LINK) || (stops_at_link(o) && !w->trailing_slash))
		return 0;
	w->must_be_dir |= w->trailing_slash;
	err = walk_into_link(w, &o->path, &arrived);
	*again = !err && !arrived;
	return !err && arrived ? walk_end_here(w, &o->path) : err;
}

static err_t walk_to_file(struct opener *o, struct walk *w)
{
	bool again = true;
	err_t err = 0;
	while (!err && again) {
		err = walk_parent(w);
		if (!err)
			err = open_last(o, w, &again);
	}
	if (err)
		return err;
	err = check_found(o, w, path_vnode(&o->path));
	if (err)
		path_put(&o->path);
	return err;
}

/* O_TMPFILE: a file without a name in the directory o->path, which is replaced by it. */
static err_t make_nameless(struct opener *o)
{
	struct path dir = o->path;
	struct vnode *dv = path_vnode(&dir), *v;
	struct dentry *d;
	struct attr a;
	char name[24]; /* '#' and the number */
	err_t err = mount_want_write(dir.mount);
	if (!err)
		err = dir_may_change(&o->c->cred, dv);
	if (!err && !dv->ops->tmpfile)
		err = -ENOTSUP;
	if (err)
		return err;
	init_attributes(o->c, dv, MODE_REG | (o->mode & 07777), &a);
	rwlock_write(&dv->lock);
	err = dv->ops->tmpfile(dv, &a, &v);
	rwlock_write_unlock(&dv->lock);
	if (err)
		return err;
	v->linkable = !has(o, FILE_EXCL);
	int len = format(name, sizeof(name), "#%llu", (unsigned long long)v->ino);
	err = dentry_add_unhashed(dir.dentry, name, (size_t)len, v, &d);
	if (err) {
		vnode_put(v);
		return err;
	}
	o->path.dentry = d;
	dentry_put(dir.dentry);
	o->created = true;
	return 0;
}

err_t vfs_open(const struct fs_context *c, const struct path *base, const char *name, unsigned flags,
    uint32_t mode, struct file **out)
{
	return vfs_open_resolve(c, base, name, 0, flags, mode, out);
}

err_t vfs_open_resolve(const struct fs_context *c, const struct path *base, const char *name,
    unsigned resolve, unsigned flags, uint32_t mode, struct file **out)
{
	struct opener o = {.c = c, .flags = flags, .mode = mode};
	struct walk w;
	err_t err = vfs_check_open(&o.flags);
	if (!err)
		err = walk_begin_resolve(&w, c, base, name, resolve);
	if (err)
		return err;
	err = walk_to_file(&o, &w);
	walk_end(&w);
	if (err)
		return err;
	if (has(&o, FILE_TMPFILE))
		err = make_nameless(&o);
	if (!err)
		err = open_it(&o, out);
	path_put(&o.path);
	return err;
}
