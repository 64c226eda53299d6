/*
 * linux_xattr.c - extended attributes: no file system here has any, so these calls check what they are given
 * as Linux does, and say so: nothing to list, and nothing that could be read, set or removed.
 */
#include "sys/files.h"

enum { XATTR_NAME_MAX = 255, XATTR_SIZE_MAX = 65536, XATTR_CREATE = 1, XATTR_REPLACE = 2 };

enum xattr_op { XATTR_GET, XATTR_SET, XATTR_LIST, XATTR_REMOVE };

struct xattr_call {
	enum xattr_op op;
	uaddr_t name, value;
	uint64_t size;
	int32_t flags;
};

static err_t check_name(const struct xattr_call *x)
{
	char name[XATTR_NAME_MAX + 1];
	int64_t len = copy_string_from_user(name, x->name, sizeof(name));
	if (len == -ENAMETOOLONG || len == 0)
		return -ERANGE;
	return len < 0 ? (err_t)len : 0;
}

/* The value is read before anybody asks the file system. */
static err_t check_value(const struct xattr_call *x)
{
	uint8_t chunk[128];
	if (x->size > XATTR_SIZE_MAX)
		return -E2BIG;
	for (uint64_t at = 0; at < x->size; at += sizeof(chunk))
		if (copy_from_user(chunk, x->value + at, MIN(sizeof(chunk), x->size - at)))
			return -EFAULT;
	return 0;
}

static err_t xattr_on(const struct path *p, const struct xattr_call *x)
{
	bool changes = x->op == XATTR_SET || x->op == XATTR_REMOVE;
	if (x->op == XATTR_LIST)
		return 0;
	err_t err = changes ? mount_want_write(p->mount) : 0;
	if (!err && x->op == XATTR_SET && (x->flags & ~(XATTR_CREATE | XATTR_REPLACE)))
		err = -EINVAL;
	if (!err)
		err = check_name(x);
	if (!err && x->op == XATTR_SET)
		err = check_value(x);
	return err ? err : -ENOTSUP;
}

static err_t xattr_name(uaddr_t name, int32_t flags, const struct xattr_call *x)
{
	struct at_call a;
	struct path p;
	err_t err = at_begin_path(&a, AT_FDCWD, name, flags, &p);
	if (err)
		return err;
	err = xattr_on(&p, x);
	at_end_path(&a, &p);
	return err;
}

static err_t xattr_fd(int32_t fd, const struct xattr_call *x)
{
	struct fd_call f;
	err_t err =
	    fd_begin_for(&f, fd, x->op == XATTR_SET || x->op == XATTR_REMOVE ? RIGHT_MANAGE : RIGHT_INSPECT);
	if (err)
		return err;
	err = xattr_on(&f.path, x);
	fd_end(&f);
	return err;
}

int64_t sys_setxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	return xattr_name(path, 0, &(struct xattr_call){XATTR_SET, name, value, size, flags});
}

int64_t sys_lsetxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	return xattr_name(
	    path, AT_SYMLINK_NOFOLLOW, &(struct xattr_call){XATTR_SET, name, value, size, flags});
}

int64_t sys_fsetxattr(int32_t fd, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	return xattr_fd(fd, &(struct xattr_call){XATTR_SET, name, value, size, flags});
}

int64_t sys_getxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size)
{
	return xattr_name(path, 0, &(struct xattr_call){XATTR_GET, name, value, size, 0});
}

int64_t sys_lgetxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size)
{
	return xattr_name(path, AT_SYMLINK_NOFOLLOW, &(struct xattr_call){XATTR_GET, name, value, size, 0});
}

int64_t sys_fgetxattr(int32_t fd, uaddr_t name, uaddr_t value, uint64_t size)
{
	return xattr_fd(fd, &(struct xattr_call){XATTR_GET, name, value, size, 0});
}

int64_t sys_listxattr(uaddr_t path, uaddr_t list, uint64_t size)
{
	return xattr_name(path, 0, &(struct xattr_call){XATTR_LIST, list, 0, size, 0});
}

int64_t sys_llistxattr(uaddr_t path, uaddr_t list, uint64_t size)
{
	return xattr_name(path, AT_SYMLINK_NOFOLLOW, &(struct xattr_call){XATTR_LIST, list, 0, size, 0});
}

int64_t sys_flistxattr(int32_t fd, uaddr_t list, uint64_t size)
{
	return xattr_fd(fd, &(struct xattr_call){XATTR_LIST, list, 0, size, 0});
}

int64_t sys_removexattr(uaddr_t path, uaddr_t name)
{
	return xattr_name(path, 0, &(struct xattr_call){XATTR_REMOVE, name, 0, 0, 0});
}

int64_t sys_lremovexattr(uaddr_t path, uaddr_t name)
{
	return xattr_name(path, AT_SYMLINK_NOFOLLOW, &(struct xattr_call){XATTR_REMOVE, name, 0, 0, 0});
}

int64_t sys_fremovexattr(int32_t fd, uaddr_t name)
{
	return xattr_fd(fd, &(struct xattr_call){XATTR_REMOVE, name, 0, 0, 0});
}
