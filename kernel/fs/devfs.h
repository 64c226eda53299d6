#pragma once
/*
 * devfs.h - device files: numbers, drivers, and the tree of names under /dev. See devfs.c.
 */
#include "fs/file.h"

#define DEV_MAKE(major, minor)                                                                               \
	((uint64_t)(major) << 8 | ((minor)&0xff) |                                                           \
	    (uint64_t)((minor) & ~0xffu) << 12) /* as st_rdev tells it, major < 4096 */
#define DEV_MAJOR(d) ((unsigned)((d) >> 8 & 0xfff))
#define DEV_MINOR(d) ((unsigned)(((d)&0xff) | ((d) >> 12 & ~0xffu)))

/* Called when a device file is opened, by whatever name on whatever file system: sets f->ops (not NULL) and
 * f->priv, may add FILE_STREAM to f->flags. f->vnode->rdev says which. May sleep. Errors undo the open.
 * `data`: what was registered. */
typedef err_t dev_open(struct file *f, void *data);

/* Make a device known: its name under /dev ("pts/0": directories are made), mode with MODE_CHAR or
 * MODE_BLOCK, and what opens it. name NULL: only the number. -EEXIST, -ENOMEM. */
MUST_CHECK err_t dev_register(const char *name, uint32_t mode, uint64_t rdev, dev_open *open, void *data);
/* The other way round. Files that are open stay with their driver. -ENOENT. */
MUST_CHECK err_t dev_unregister(const char *name, uint32_t mode, uint64_t rdev);
/* Owner and permissions of a name under /dev (pts/N belongs to who opened ptmx). */
MUST_CHECK err_t dev_set_owner(const char *name, uint32_t uid, uint32_t gid, uint32_t permissions);
/* Names under /dev that are no devices: "fd" -> "/proc/self/fd". */
MUST_CHECK err_t dev_symlink(const char *name, const char *target);
MUST_CHECK err_t dev_unlink(const char *name);
/* For file_open.c. -ENXIO: nothing is registered. */
MUST_CHECK err_t dev_open_file(struct file *f);

extern const struct fs_ops devfs_ops; /* "devtmpfs" */
/* Makes the tree with null, zero, full, random, urandom, kmsg, mem and the usual links. Once at boot, after
 * vfs_init. */
MUST_CHECK err_t devfs_init(void);
/* Forget all devices and let go of the tree: at shutdown, when nothing of it is open or mounted. */
void devfs_fini(void);
