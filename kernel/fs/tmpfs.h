#pragma once
/*
 * tmpfs.h - files in memory. See tmpfs.c.
 *
 * Options of mount(2): size=N[kmg%], nr_inodes=N, mode=OCTAL, uid=N, gid=N. Without size: half of memory.
 */
#include "fs/vnode.h"

extern const struct fs_ops tmpfs_ops;

/* Registers it and makes the place of memory files. Once at boot, after vfs_init. */
void tmpfs_init(void);
/* Let go of that place, when no memory file is open any more: at shutdown. */
void tmpfs_fini(void);
/* What other file systems in memory (devfs) are made of: the same as tmpfs_ops.mount and so on. */
MUST_CHECK err_t tmpfs_mount(struct fs *fs, const char *source, const char *options, struct vnode **root);
void tmpfs_unmount(struct fs *fs);
void tmpfs_drain(struct fs *fs);
uint32_t tmpfs_own_refs(struct vnode *v);
MUST_CHECK err_t tmpfs_statfs(struct fs *fs, struct fs_stats *out);

/* memfd_create(2): an open file without a name. sealable: MFD_ALLOW_SEALING. Shown as "/memfd:NAME (deleted)". -EINVAL: name longer than 249. */
MUST_CHECK err_t memfd_create_file(const char *name, bool sealable, unsigned flags, struct file **out);
/* Pages of all tmpfs files, memfd's and those of shared memory too. */
uint64_t tmpfs_page_count(void);
