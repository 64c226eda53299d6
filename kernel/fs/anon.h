#pragma once
/* anon.h - files that no name leads to. See anon.c. */
#include "fs/file.h"

enum anon_kind { ANON_PIPE, ANON_SOCKET, ANON_OTHER, ANON_KINDS };

/* A vnode for a new pipe or socket, with mode and type, which belongs to the caller. One reference. -ENOMEM.
 */
MUST_CHECK err_t anon_vnode_create(enum anon_kind kind, uint32_t mode, struct vnode **out);
/* An open file on v, with a reference of its own. kind: what /proc shows, constant. -ENOMEM. */
MUST_CHECK err_t file_create_on(
    const struct file_ops *ops, unsigned flags, struct vnode *v, const char *kind, struct file **out);
/* An open file of another kind, without a position, on the vnode that all those share. -ENOMEM. */
MUST_CHECK err_t file_create_anonymous(
    const struct file_ops *ops, unsigned flags, const char *kind, struct file **out);
/* f, which is being opened by a path that file_get_path made, is as if it had been created on its vnode. May
 * sleep. */
void file_drop_name(struct file *f);
/* Once at boot, after vfs_init; at shutdown. */
void file_anon_init(void);
void file_anon_fini(void);

/* Set once at boot: the ids for files of the current thread; NULL: all are the kernel's. */
extern void (*fs_current_ids)(uint32_t *uid, uint32_t *gid);
