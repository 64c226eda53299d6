/*
 * anon.c - vnodes for files that no name leads to: pipes, sockets, eventfds and their like.
 *
 *	file ──▶ file_ops, priv           what it does
 *	   └──▶ vnode (pipefs, sockfs)    what it is: number, owner, mode, times
 *
 * They lie in three file systems that are mounted nowhere, so that numbers and devices are nobody else's. A
 * pipe (both ends of it) and a socket have a vnode of their own, which belongs to who made it and can be
 * given to others; all other kinds share one, which stays as it is. An open file of these has no dentry.
 * Where a path is needed - /proc/PID/fd leads to open files, attributes are changed by path - it gets one for
 * the time, below the root of its file system and found by nobody.
 */
#include "fs/anon.h"
#include "fs/mount.h"
#include "fs/pipe.h"

enum { ANON_ROOT = 1, ANON_SHARED = 2 };

static struct mount *mounts[ANON_KINDS]; /* constant after boot: in no tree */
static struct vnode *shared;             /* constant after boot: of ANON_OTHER */

void (*fs_current_ids)(uint32_t *uid, uint32_t *gid);

/* --- what they can do --- */

/* Another file on the same pipe. Sockets cannot be opened, nor the rest. */
static err_t anon_open(struct vnode *v, struct file *f)
{
	if (!vnode_is(v, MODE_FIFO))
		return -ENXIO;
	file_drop_name(f);
	f->kind = "pipe";
	return pipe_open_again(f);
}

static err_t shared_setattr(UNUSED struct vnode *v, UNUSED struct attr *a)
{
	return -ENOTSUP;
}

static const struct vnode_ops root_ops = {.open = NULL};
static const struct vnode_ops own_ops = {.open = anon_open};
static const struct vnode_ops shared_ops = {.open = anon_open, .setattr = shared_setattr};

/* --- file systems --- */

static err_t make_vnode(
    struct fs *fs, uint64_t ino, const struct vnode_ops *ops, uint32_t mode, struct vnode **out)
{
	err_t err = vnode_create(fs, ino, ops, out);
	if (err)
		return err;
	struct vnode *v = *out;
	v->mode = mode;
	v->nlink = 1;
	if (fs_current_ids)
		fs_current_ids(&v->uid, &v->gid);
	if ((mode & MODE_TYPE) != MODE_SOCK) { /* those are from 1970, as on Linux */
		fs_now(&v->mtime);
		v->atime = v->ctime = v->mtime;
	}
	vnode_publish(v);
	return 0;
}

static err_t anon_mount_fs(
    struct fs *fs, UNUSED const char *source, UNUSED const char *options, struct vnode **root)
{
	store_relaxed(&fs->next_ino, ANON_SHARED + 1);
	fs->volatile_names = true;
	return make_vnode(fs, ANON_ROOT, &root_ops, MODE_DIR | 0555, root);
}

static uint32_t anon_own_refs(struct vnode *v)
{
	return v == shared;
}

static void anon_drain(UNUSED struct fs *fs)
{
	vnode_put(shared);
	shared = NULL;
}

/* What statfs tells: the numbers that Linux's have. */
static err_t statfs_as(uint64_t type, struct fs_stats *out)
{
	out->type = type;
	return 0;
}
static err_t pipe_statfs(UNUSED struct fs *fs, struct fs_stats *out)
{
	return statfs_as(0x50495045, out);
}
static err_t socket_statfs(UNUSED struct fs *fs, struct fs_stats *out)
{
	return statfs_as(0x534f434b, out);
}
static err_t other_statfs(UNUSED struct fs *fs, struct fs_stats *out)
{
	return statfs_as(0x09041934, out);
}

static const struct fs_ops anon_fs_ops[ANON_KINDS] = {
    [ANON_PIPE] = {.name = "pipefs", .mount = anon_mount_fs, .statfs = pipe_statfs},
    [ANON_SOCKET] = {.name = "sockfs", .mount = anon_mount_fs, .statfs = socket_statfs},
    [ANON_OTHER] = {.name = "anon_inodefs",
	.mount = anon_mount_fs,
	.statfs = other_statfs,
	.drain = anon_drain,
	.own_refs = anon_own_refs},
};

void file_anon_init(void)
{
	err_t err = 0;
	for (unsigned i = 0; i < ANON_KINDS && !err; i++)
		err = mount_create_internal(&anon_fs_ops[i], anon_fs_ops[i].name, "", &mounts[i]);
	if (!err)
		err = make_vnode(mounts[ANON_OTHER]->fs, ANON_SHARED, &shared_ops, 0600, &shared);
	ASSERT(!err); /* at boot */
}

void file_anon_fini(void)
{
	for (unsigned i = 0; i < ANON_KINDS; i++) {
		mount_put(mounts[i]);
		mounts[i] = NULL;
	}
}

/* --- files --- */

err_t anon_vnode_create(enum anon_kind kind, uint32_t mode, struct vnode **out)
{
	struct fs *fs = mounts[kind]->fs;
	return make_vnode(fs, fetch_add_relaxed(&fs->next_ino, 1), &own_ops, mode, out);
}

err_t file_create_on(
    const struct file_ops *ops, unsigned flags, struct vnode *v, const char *kind, struct file **out)
{
	err_t err = file_create(ops, flags, out);
	if (err)
		return err;
	vnode_get(v);
	(*out)->vnode = v;
	(*out)->kind = kind;
	return 0;
}

err_t file_create_anonymous(const struct file_ops *ops, unsigned flags, const char *kind, struct file **out)
{
	return file_create_on(ops, flags | FILE_STREAM, shared, kind, out);
}

void file_drop_name(struct file *f)
{
	struct dentry *d = f->dentry;
	struct mount *m = f->mount;
	f->dentry = NULL;
	f->mount = NULL;
	dentry_put(d);
	mount_put(m);
}

err_t file_get_path(struct file *f, struct path *out)
{
	if (f->dentry) {
		*out = file_path(f);
		path_get(out);
		return 0;
	}
	struct mount *m = f->vnode->fs->internal;
	err_t err = dentry_add_unhashed(m->root, "anon", 4, f->vnode, &out->dentry);
	if (err)
		return err;
	vnode_get(f->vnode); /* the dentry's */
	out->mount = m;
	mount_get(m);
	return 0;
}
