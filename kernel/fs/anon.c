/*
 * anon.c - a place among the names for files that have none: pipes, sockets, eventfds.
 *
 * /proc/PID/fd leads to open files, and a path walk that follows one must arrive somewhere. For an anonymous file that is a vnode made for the occasion, in a file system that nobody can reach otherwise; it tells of the
 * file what fstat would, and opening it opens the file's object once more. It holds the file only as long as somebody holds it.
 */
#include "fs/file.h"
#include "fs/mount.h"

enum { ANON_ROOT = 0 }; /* koids begin at 1 */

static struct mount *anon_mount; /* constant after boot: in no tree */

static void anon_getattr(struct vnode *v, struct vfs_stat *st)
{
	if (v->priv)
		file_stat(v->priv, st);
}

static err_t anon_open(struct vnode *v, struct file *f)
{
	struct file *from = v->priv;
	if (!from || !from->ops->reopen)
		return -ENXIO;
	file_get(from); /* v may go with f's name */
	file_make_anonymous(f);
	err_t err = from->ops->reopen(from, f);
	file_put(from);
	return err;
}

static void anon_release(struct vnode *v)
{
	if (v->priv)
		file_put(v->priv);
}

static const struct vnode_ops anon_vnode_ops = {
    .getattr = anon_getattr, .open = anon_open, .release = anon_release};

static err_t anon_mount_fs(
    struct fs *fs, UNUSED const char *source, UNUSED const char *options, struct vnode **root)
{
	err_t err = vnode_create(fs, ANON_ROOT, &anon_vnode_ops, root);
	if (err)
		return err;
	(*root)->mode = MODE_DIR | 0555;
	(*root)->nlink = 2;
	vnode_publish(*root);
	fs->volatile_names = true;
	return 0;
}

static void anon_unmount(UNUSED struct fs *fs)
{
}

static const struct fs_ops anon_fs_ops = {.name = "anon", .mount = anon_mount_fs, .unmount = anon_unmount};

void file_anon_init(void)
{
	err_t err = mount_create_internal(&anon_fs_ops, "anon", "", &anon_mount);
	ASSERT(!err); /* at boot */
}

void file_anon_fini(void)
{
	mount_put(anon_mount);
	anon_mount = NULL;
}

static err_t anon_vnode(struct file *f, struct vnode **out)
{
	bool fresh;
	err_t err = vnode_acquire(anon_mount->fs, f->object.koid, &anon_vnode_ops, out, &fresh);
	if (err || !fresh)
		return err;
	struct vnode *v = *out;
	file_get(f);
	v->priv = f;
	v->mode = f->anon_mode;
	v->nlink = 1;
	vnode_publish(v);
	return 0;
}

err_t file_get_path(struct file *f, struct path *out)
{
	struct vnode *v;
	if (f->dentry) {
		*out = file_path(f);
		path_get(out);
		return 0;
	}
	err_t err = anon_vnode(f, &v);
	if (err)
		return err;
	err = dentry_add_unhashed(anon_mount->root, "anon", 4, v, &out->dentry);
	if (err) {
		vnode_put(v);
		return err;
	}
	out->mount = anon_mount;
	mount_get(anon_mount);
	return 0;
}
