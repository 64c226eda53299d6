#pragma once
/* mount_priv.h - the tree of mounts, between the files that change it. */
#include "fs/mount.h"
#include "kern/mutex.h"

extern struct mutex mounts_mutex; /* one change at a time */

/* mount.c */
/* A mount that is not in the tree; takes over one of fs->mounts on success. */
MUST_CHECK err_t mount_create(struct fs *fs, struct dentry *root, const char *source, unsigned flags,
    const char *options, struct mount **out);
/* The same with its file system, the one that is on the device already if there is one. */
MUST_CHECK err_t mount_create_with_fs(const struct fs_ops *type, uint64_t device, const char *source,
    const char *options, unsigned flags, struct mount **out);
void fs_hold(struct fs *fs);
/* mount_put, but that it is no use in the sense of UMOUNT_EXPIRE. */
void mount_drop(struct mount *m);
/* m gets its place below another mount, whether that is in the tree or not; p's references become m's. */
void mount_link(struct mount *m, const struct path *p);
/* Walk over the mounts below top, parents first; NULL: no more. */
struct mount *mount_next_below(struct mount *m, const struct mount *top);
/* Put `top`, with what is below it, on p; p's references become the mount's. */
void mount_attach_locked(struct mount *top, const struct path *p);
/* Put m, which is on some other mount, on another one, with all that is below it; the references on `to`
 * become the mount's, those on where it was go to the caller. */
struct path mount_move_locked(struct mount *m, const struct path *to);
/* Take m, which no walk looks at, out of the tree; the references on where it was go to the caller. */
struct path mount_detach_locked(struct mount *m);
/* Sleep until no walk looks at m. mount_lock is held, and dropped meanwhile; walks need no mounts_mutex, so
 * they end. */
void mount_wait_walkers_locked(struct mount *m);
/* What is mounted on this path, or NULL. The one mounted last wins: it is on the one before. */
struct mount *mount_on_locked(const struct path *p);

/* mount_add.c */
/* A mount's file system becomes read-only, or writable again. -EBUSY: files are open for writing. */
MUST_CHECK err_t fs_remount(struct fs *fs, bool read_only, const char *options);
/* May something with this root be mounted on p? -ENOTDIR: only one of the two is a directory, -ENOENT: p was
 * removed. */
MUST_CHECK err_t mount_check_point(const struct path *p, const struct dentry *root);

/* mount_remove.c */
/* Leave the tree if nobody but the caller, who holds `users` references, and the tree itself uses m. -EBUSY.
 */
MUST_CHECK err_t mount_detach_unused(struct mount *m, uint32_t users, struct path *was);
/* Detach m and everything on it, deepest first, and drop the tree's references. m may be in no tree. */
void mount_detach_tree(struct mount *m);

/* mount_group.c */
/* Change what `top`, or all below it as well, shares: one of MOUNT_PROPAGATION. */
void mount_set_propagation(struct mount *top, unsigned kind, bool recurse);
/* Would something put on p have to appear elsewhere too? */
bool mount_would_spread_locked(const struct path *p);
/* Would m, unmounted, have to go elsewhere too? */
bool mount_would_vanish_locked(const struct mount *m);
/* `top`, with what is below it, comes onto a mount that is shared: so are they. */
void mount_share_locked(struct mount *top);
/* m leaves the tree: its group goes on without it. */
void mount_leave_group_locked(struct mount *m);
bool mount_has_unbindable(struct mount *top);
