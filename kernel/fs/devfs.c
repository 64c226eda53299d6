/*
 * devfs.c - device files.
 *
 * Two things: a table from device numbers to drivers, asked whenever a device file is opened, whatever file
 * system its name is on; and the tree of names that is mounted on /dev, a tmpfs made at boot that every mount
 * shows. A driver registers both at once. The devices that need no hardware are in devfs_mem.c.
 */
#include "fs/devfs.h"
#include "fs/devfs_mem.h"
#include "fs/mount.h"
#include "fs/tmpfs.h"
#include "lib/string.h"
#include "mm/slab.h"

struct device {
	struct list link; /* devices_lock */
	uint64_t rdev;    /* (C) */
	uint32_t type;    /* (C) MODE_CHAR or MODE_BLOCK */
	dev_open *open;   /* (C) */
	void *data;       /* (C) */
};

static struct spinlock devices_lock = SPINLOCK_INIT("devices", RANK_VNODES);
static struct list devices = LIST_INIT(devices); /* devices_lock */
static struct mount *dev_mount;                  /* constant after boot: the tree, to make names in */

static err_t dev_mount_fs(struct fs *fs, const char *source, UNUSED const char *options, struct vnode **root)
{
	return tmpfs_mount(fs, source, "mode=755", root);
}

static struct fs *dev_single(void)
{
	return dev_mount->fs;
}

/* The first is made by devfs_init; from then on it is the only one. */
static const struct fs_ops devfs_make_ops = {
    .name = "devtmpfs",
    .mount = dev_mount_fs,
    .unmount = tmpfs_unmount,
    .drain = tmpfs_drain,
    .own_refs = tmpfs_own_refs,
    .statfs = tmpfs_statfs,
};
const struct fs_ops devfs_ops = {.name = "devtmpfs", .single = dev_single};

/* --- numbers --- */

static struct device *find_locked(uint64_t rdev, uint32_t type)
{
	list_for_each (it, &devices) {
		struct device *d = list_entry(it, struct device, link);
		if (d->rdev == rdev && d->type == type)
			return d;
	}
	return NULL;
}

static err_t add_device(uint64_t rdev, uint32_t type, dev_open *open, void *data)
{
	struct device *d = kmalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	*d = (struct device){.rdev = rdev, .type = type, .open = open, .data = data};
	spin_lock(&devices_lock);
	bool taken = find_locked(rdev, type);
	if (!taken)
		list_push_back(&devices, &d->link);
	spin_unlock(&devices_lock);
	if (taken)
		kfree(d);
	return taken ? -EEXIST : 0;
}

static err_t remove_device(uint64_t rdev, uint32_t type)
{
	spin_lock(&devices_lock);
	struct device *d = find_locked(rdev, type);
	if (d)
		list_remove(&d->link);
	spin_unlock(&devices_lock);
	kfree(d);
	return d ? 0 : -ENOENT;
}

err_t dev_open_file(struct file *f)
{
	struct vnode *v = f->vnode;
	spin_lock(&devices_lock);
	struct device *d = find_locked(v->rdev, vnode_mode(v) & MODE_TYPE);
	dev_open *open = d ? d->open : NULL;
	void *data = d ? d->data : NULL;
	spin_unlock(&devices_lock);
	return open ? open(f, data) : -ENXIO;
}

/* --- names --- */

/* The kernel's own rights, in the tree of names. */
static void own_context(struct fs_context *c)
{
	*c = (struct fs_context){
	    .root = {dev_mount, dev_mount->root}, .cwd = {dev_mount, dev_mount->root}, .cred.caps = CAP_ALL};
}

/* Make the directories of a name. */
static err_t make_parents(const struct fs_context *c, const char *name)
{
	char part[PATH_LEN_MAX / 16];
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		if ((size_t)(slash - name) >= sizeof(part))
			return -ENAMETOOLONG;
		(void)str_copy(part, name, (size_t)(slash - name) + 1);
		err_t err = vfs_mkdir(c, NULL, part, 0755);
		if (err && err != -EEXIST)
			return err;
	}
	return 0;
}

err_t dev_register(const char *name, uint32_t mode, uint64_t rdev, dev_open *open, void *data)
{
	struct fs_context c;
	err_t err = add_device(rdev, mode & MODE_TYPE, open, data);
	if (err || !name)
		return err;
	own_context(&c);
	err = make_parents(&c, name);
	if (!err)
		err = vfs_mknod(&c, NULL, name, mode, rdev, NULL);
	if (err) {
		err_t gone = remove_device(rdev, mode & MODE_TYPE);
		ASSERT(!gone);
	}
	return err;
}

err_t dev_unregister(const char *name, uint32_t mode, uint64_t rdev)
{
	struct fs_context c;
	err_t err = remove_device(rdev, mode & MODE_TYPE);
	if (err || !name)
		return err;
	own_context(&c);
	return vfs_unlink(&c, NULL, name);
}

err_t dev_set_owner(const char *name, uint32_t uid, uint32_t gid, uint32_t permissions)
{
	struct fs_context c;
	struct path p;
	own_context(&c);
	err_t err = vfs_lookup(&c, NULL, name, WALK_NOFOLLOW, &p);
	if (err)
		return err;
	err = vfs_chown(&c, &p, uid, gid);
	if (!err)
		err = vfs_chmod(&c, &p, permissions);
	path_put(&p);
	return err;
}

err_t dev_symlink(const char *name, const char *target)
{
	struct fs_context c;
	own_context(&c);
	err_t err = make_parents(&c, name);
	return err ? err : vfs_symlink(&c, target, NULL, name);
}

err_t dev_unlink(const char *name)
{
	struct fs_context c;
	own_context(&c);
	return vfs_unlink(&c, NULL, name);
}

static err_t make_links(void)
{
	static const char *const links[][2] = {{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"},
	    {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}};
	struct fs_context c;
	err_t err = 0;
	for (unsigned i = 0; !err && i < ARRAY_SIZE(links); i++)
		err = dev_symlink(links[i][0], links[i][1]);
	own_context(&c);
	if (!err)
		err = vfs_mkdir(&c, NULL, "shm", 01777);
	return err ? err : vfs_mkdir(&c, NULL, "pts", 0755);
}

err_t devfs_init(void)
{
	err_t err = mount_create_internal(&devfs_make_ops, "devtmpfs", "", &dev_mount);
	if (err)
		return err;
	fs_register(&devfs_ops);
	err = devfs_mem_init();
	return err ? err : make_links();
}

void devfs_fini(void)
{
	while (!list_is_empty(&devices)) {
		struct device *d = list_first(&devices, struct device, link);
		list_remove(&d->link);
		kfree(d);
	}
	mount_put(dev_mount);
	dev_mount = NULL;
}
