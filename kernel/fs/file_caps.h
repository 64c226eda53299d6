#pragma once
/*
 * file_caps.h - what the attribute security.capability says: which capabilities a file gives to who runs it.
 *
 * The format is the ABI's: a word of revision (high byte) and flags, then pairs of words, permitted and
 * inheritable, the low ones first: one pair in revision 1, two in 2 and 3; a revision 3 ends with the user id
 * that is root of the user namespace which it counts in.
 */
#include "fs/xattr.h"
#include "lib/capability.h"

struct file_caps {
	cap_set_t permitted, inheritable;
	bool effective; /* what the program gets is effective at once */
	bool present;   /* the file has some; false: all else is empty */
};

bool file_caps_is_name(const struct xattr_name *n);
/* What v gives to who runs it in the namespace that all users are in. -EINVAL: the attribute is nonsense;
 * errors of the file system. May sleep. */
MUST_CHECK err_t file_caps_of(struct vnode *v, struct file_caps *out);
/* May this be set as security.capability? -EINVAL: it means nothing; -EPERM. */
MUST_CHECK err_t file_caps_check_xattr(const struct fs_cred *cred, const struct xattr_value *value);
/* security.capability as getxattr tells it: what counts in this namespace as revision 2. v is locked. */
MUST_CHECK err_t file_caps_get_xattr_locked(struct vnode *v, void *buf, size_t size, size_t *len);
/* v was changed, or has another owner: it gives nobody anything any more. v is locked for writing. Errors of
 * the file system: it is as it was. */
MUST_CHECK err_t file_caps_drop_locked(struct vnode *v);
