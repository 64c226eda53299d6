#pragma once
/*
 * xattr.h - extended attributes: small values that files have by name, beside their contents.
 *
 * A name begins with its space, which says who may use it:
 *
 *	user.		who may read or write the file; regular files and directories only
 *	trusted.	CAP_SYS_ADMIN; for all others there are none
 *	security.	anybody reads; CAP_SYS_ADMIN writes, but security.capability is for CAP_SETFCAP (file_caps.h)
 *
 * There are no others here: those that begin with "system." (POSIX access lists) do as on a Linux file system
 * that is mounted without them.
 *
 * Where attributes are kept is the file system's: vnode_ops. xattr_tree.c keeps them in memory for those that
 * have no other place. All functions may sleep and are called with no lock held, but where it is said.
 */
#include "fs/namei.h"
#include "lib/rbtree.h"

enum { XATTR_NAME_MAX = 255, XATTR_SIZE_MAX = 65536, XATTR_LIST_MAX = 65536 }; /* the ABI's */

enum xattr_how { XATTR_CREATE = 1, XATTR_REPLACE = 2 }; /* the ABI's: -EEXIST, -ENODATA otherwise */

enum xattr_space { /* the numbers are those of ext2's disks */
	XATTR_UNKNOWN = 0,
	XATTR_USER = 1,
	XATTR_TRUSTED = 4,
	XATTR_SECURITY = 6,
};

struct xattr_name {
	enum xattr_space space;
	const char *name; /* what follows the space and its dot; not terminated */
	size_t len;       /* at least 1 */
};

struct xattr_value {
	const void *data;
	size_t len; /* at most XATTR_SIZE_MAX */
};

/* `name` of the whole of these functions: with its space, 1 to XATTR_NAME_MAX bytes. All: -EOPNOTSUPP. */

/* *len: the value's length. It is copied to buf if size is not 0. -ENODATA, -ERANGE, -EACCES, -EINVAL (only a
 * space). */
MUST_CHECK err_t vfs_xattr_get(
    const struct fs_context *c, const struct path *p, const char *name, void *buf, size_t size, size_t *len);
/* value NULL: remove it; how: enum xattr_how. -EEXIST, -ENODATA, -ENOSPC, -EPERM, -EACCES, -EROFS, -EINVAL.
 */
MUST_CHECK err_t vfs_xattr_set(const struct fs_context *c, const struct path *p, const char *name,
    const struct xattr_value *value, unsigned how);
/* The names that the caller may know of, each terminated, into buf if size is not 0; *len: their bytes.
 * -ERANGE. */
MUST_CHECK err_t vfs_xattr_list(
    const struct fs_context *c, const struct path *p, char *buf, size_t size, size_t *len);

/* What operations of file systems answer: the value (n bytes at data) to a caller with room for size. */
MUST_CHECK err_t xattr_answer(const void *data, size_t n, void *buf, size_t size, size_t *len);
/* May it be set, being there (or not)? 0, -EEXIST, -ENODATA. */
MUST_CHECK err_t xattr_check_how(bool exists, bool removes, unsigned how);

/* --- xattr_tree.c: attributes in memory, by name. The owner locks. --- */

struct xattr_tree {
	struct rb_tree by_name;
};
void xattr_tree_init(struct xattr_tree *t);
/* Forget them all. */
void xattr_tree_fini(struct xattr_tree *t);
/* What one takes of memory, for limits: the ABI's number for files in memory. */
uint64_t xattr_space_of(const struct xattr_name *name, size_t value_len);
MUST_CHECK err_t xattr_tree_get(
    const struct xattr_tree *t, const struct xattr_name *name, void *buf, size_t size, size_t *len);
/* *old_space: what the one that was replaced or removed took; 0: there was none. -ENOMEM. */
MUST_CHECK err_t xattr_tree_set(struct xattr_tree *t, const struct xattr_name *name,
    const struct xattr_value *value, unsigned how, uint64_t *old_space);
void xattr_tree_list(const struct xattr_tree *t, xattr_emit *emit, void *ctx);
/* What all of them take together. */
uint64_t xattr_tree_space(const struct xattr_tree *t);
