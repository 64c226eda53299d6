/*
 * linux_xattr.c - the calls on extended attributes. What they are given is fetched and checked before the
 * file is looked for; who may do what: fs/xattr.c.
 */
#include "fs/xattr.h"
#include "mm/slab.h"
#include "sys/files.h"

/* What a call is about: a name that leads to a file, or a descriptor. */
struct target {
	bool is_fd;
	int fd;
	uaddr_t path;
	int32_t flags; /* AT_SYMLINK_NOFOLLOW or 0 */
};

#define BY_PATH(p) (&(struct target){.path = (p)})
#define BY_LINK(p) (&(struct target){.path = (p), .flags = AT_SYMLINK_NOFOLLOW})
#define BY_FD(n)   (&(struct target){.is_fd = true, .fd = (n)})

/* What is done to the file. */
struct xattr_call {
	int64_t (*act)(const struct fs_context *c, const struct path *p, struct xattr_call *x);
	char name[XATTR_NAME_MAX + 1];
	uint32_t rights; /* that a descriptor needs */
	void *buf;       /* the value, or room for an answer */
	size_t size;
	unsigned how;
	uaddr_t answer;
};

static int64_t act_on_fd(int fd, struct xattr_call *x)
{
	struct fd_call f;
	err_t err = fd_begin_for(&f, fd, x->rights);
	if (err)
		return err;
	int64_t result = x->act(f.c, &f.path, x);
	fd_end(&f);
	return result;
}

static int64_t act_on(const struct target *t, struct xattr_call *x)
{
	struct at_call a;
	struct path p;
	if (t->is_fd)
		return act_on_fd(t->fd, x);
	err_t err = at_begin_path(&a, AT_FDCWD, t->path, t->flags, &p);
	if (err)
		return err;
	int64_t result = x->act(a.c, &p, x);
	at_end_path(&a, &p);
	return result;
}

static err_t fetch_name(struct xattr_call *x, uaddr_t name)
{
	int64_t len = copy_string_from_user(x->name, name, sizeof(x->name));
	if (len == -ENAMETOOLONG || len == 0)
		return -ERANGE;
	return len < 0 ? (err_t)len : 0;
}

/* --- set, remove --- */

static int64_t set(const struct fs_context *c, const struct path *p, struct xattr_call *x)
{
	return vfs_xattr_set(c, p, x->name, &(struct xattr_value){x->buf, x->size}, x->how);
}

static err_t fetch_value(struct xattr_call *x, uaddr_t value, uint64_t size)
{
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	x->buf = kmalloc(MAX(size, 1u));
	if (!x->buf)
		return -ENOMEM;
	x->size = size;
	return copy_from_user(x->buf, value, size);
}

static int64_t set_on(const struct target *t, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	struct xattr_call x = {.act = set, .rights = RIGHT_MANAGE, .how = (unsigned)flags};
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	int64_t err = fetch_name(&x, name);
	if (!err)
		err = fetch_value(&x, value, size);
	if (!err)
		err = act_on(t, &x);
	kfree(x.buf);
	return err;
}

static int64_t remove(const struct fs_context *c, const struct path *p, struct xattr_call *x)
{
	return vfs_xattr_set(c, p, x->name, NULL, 0);
}

static int64_t remove_on(const struct target *t, uaddr_t name)
{
	struct xattr_call x = {.act = remove, .rights = RIGHT_MANAGE};
	err_t err = fetch_name(&x, name);
	return err ? err : act_on(t, &x);
}

/* --- get, list --- */

/* `len` bytes are the answer, of which the caller gets all or none. -E2BIG: more than there can be. */
static int64_t give(const struct xattr_call *x, err_t err, size_t len, size_t max)
{
	if (err)
		return err == -ERANGE && x->size >= max ? -E2BIG : err;
	if (x->size && copy_to_user(x->answer, x->buf, len))
		return -EFAULT;
	return (int64_t)len;
}

/* Room for the answer: the caller's, but not more than can be needed. */
static err_t have_room(struct xattr_call *x, size_t max)
{
	x->size = MIN(x->size, max);
	x->buf = x->size ? kmalloc(x->size) : NULL;
	return x->buf || !x->size ? 0 : -ENOMEM;
}

static int64_t get(const struct fs_context *c, const struct path *p, struct xattr_call *x)
{
	size_t len = 0;
	err_t err = have_room(x, XATTR_SIZE_MAX);
	if (err)
		return err;
	err = vfs_xattr_get(c, p, x->name, x->buf, x->size, &len);
	int64_t result = give(x, err, len, XATTR_SIZE_MAX);
	kfree(x->buf);
	return result;
}

static int64_t get_on(const struct target *t, uaddr_t name, uaddr_t value, uint64_t size)
{
	struct xattr_call x = {.act = get, .rights = RIGHT_INSPECT, .answer = value, .size = size};
	err_t err = fetch_name(&x, name);
	return err ? err : act_on(t, &x);
}

static int64_t list(const struct fs_context *c, const struct path *p, struct xattr_call *x)
{
	size_t len = 0;
	err_t err = have_room(x, XATTR_LIST_MAX);
	if (err)
		return err;
	err = vfs_xattr_list(c, p, x->buf, x->size, &len);
	int64_t result = give(x, err, len, XATTR_LIST_MAX);
	kfree(x->buf);
	return result;
}

static int64_t list_on(const struct target *t, uaddr_t names, uint64_t size)
{
	return act_on(
	    t, &(struct xattr_call){.act = list, .rights = RIGHT_INSPECT, .answer = names, .size = size});
}

/* --- the calls --- */

int64_t sys_setxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	return set_on(BY_PATH(path), name, value, size, flags);
}

int64_t sys_lsetxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	return set_on(BY_LINK(path), name, value, size, flags);
}

int64_t sys_fsetxattr(int32_t fd, uaddr_t name, uaddr_t value, uint64_t size, int32_t flags)
{
	return set_on(BY_FD(fd), name, value, size, flags);
}

int64_t sys_getxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size)
{
	return get_on(BY_PATH(path), name, value, size);
}

int64_t sys_lgetxattr(uaddr_t path, uaddr_t name, uaddr_t value, uint64_t size)
{
	return get_on(BY_LINK(path), name, value, size);
}

int64_t sys_fgetxattr(int32_t fd, uaddr_t name, uaddr_t value, uint64_t size)
{
	return get_on(BY_FD(fd), name, value, size);
}

int64_t sys_listxattr(uaddr_t path, uaddr_t names, uint64_t size)
{
	return list_on(BY_PATH(path), names, size);
}

int64_t sys_llistxattr(uaddr_t path, uaddr_t names, uint64_t size)
{
	return list_on(BY_LINK(path), names, size);
}

int64_t sys_flistxattr(int32_t fd, uaddr_t names, uint64_t size)
{
	return list_on(BY_FD(fd), names, size);
}

int64_t sys_removexattr(uaddr_t path, uaddr_t name)
{
	return remove_on(BY_PATH(path), name);
}

int64_t sys_lremovexattr(uaddr_t path, uaddr_t name)
{
	return remove_on(BY_LINK(path), name);
}

int64_t sys_fremovexattr(int32_t fd, uaddr_t name)
{
	return remove_on(BY_FD(fd), name);
}
