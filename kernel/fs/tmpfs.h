#pragma once
/*
 * tmpfs.h - files in memory. See tmpfs.c.
 *
 * Options of mount(2): size=N[kmg%], nr_inodes=N, mode=OCTAL, uid=N, gid=N. Without size, or nr_inodes: as
 * much as half of the pages of memory.
 */
#include "fs/vnode.h"

extern const struct fs_ops tmpfs_ops;

/* What other file systems in memory (devfs) are made of: the same as tmpfs_ops.mount and so on. */
MUST_CHECK err_t tmpfs_mount(struct fs *fs, const char *source, const char *options, struct vnode **root);
void tmpfs_unmount(struct fs *fs);
void tmpfs_drain(struct fs *fs);
uint32_t tmpfs_own_refs(struct vnode *v);
MUST_CHECK err_t tmpfs_statfs(struct fs *fs, struct fs_stats *out);

/* A file in no directory, one reference. flags: VM_PURGEABLE, of VM_KINDS. -ENOMEM, -ENOSPC. */
MUST_CHECK err_t tmpfs_make_unnamed(
    struct fs *fs, const struct attr *init, unsigned flags, struct vnode **out);
