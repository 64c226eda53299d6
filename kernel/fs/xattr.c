/*
 * xattr.c - who may read and write which extended attributes. See xattr.h.
 *
 * Rights are asked for by the name's space before the name is looked at closer, in Linux's order: a name of
 * no known space needs the rights of a user's, and is refused only then.
 */
#include "fs/xattr.h"
#include "fs/file_caps.h"
#include "fs/namei_walk.h"
#include "fs/notify.h"
#include "lib/string.h"

static const struct {
	const char *prefix;
	size_t len;
	enum xattr_space space;
} spaces[] = {{"user.", 5, XATTR_USER}, {"trusted.", 8, XATTR_TRUSTED}, {"security.", 9, XATTR_SECURITY}};

static struct xattr_name name_of(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(spaces); i++)
		if (!strncmp(name, spaces[i].prefix, spaces[i].len))
			return (struct xattr_name){
			    spaces[i].space, name + spaces[i].len, strlen(name) - spaces[i].len};
	return (struct xattr_name){XATTR_UNKNOWN, name, strlen(name)};
}

static const char *prefix_of(enum xattr_space space, size_t *len)
{
	for (unsigned i = 0; i < ARRAY_SIZE(spaces); i++)
		if (spaces[i].space == space) {
			*len = spaces[i].len;
			return spaces[i].prefix;
		}
	return NULL;
}

/* --- rights --- */

/* What is reserved for others does not exist for who may not read it. */
static err_t refused(bool write)
{
	return write ? -EPERM : -ENODATA;
}

static err_t may_use_users(const struct fs_cred *cred, const struct vnode *v, bool write)
{
	bool sticky = vnode_is(v, MODE_DIR) && (vnode_mode(v) & 01000);
	if (!vnode_is(v, MODE_REG) && !vnode_is(v, MODE_DIR))
		return refused(write);
	return write && sticky && !fs_cred_owns(cred, v) ? -EPERM : 0;
}

/* v is locked. */
static err_t may_use(
    const struct fs_cred *cred, const struct vnode *v, const char *name, enum xattr_space space, bool write)
{
	if (write && vnode_has(v, INODE_FIXED))
		return -EPERM;
	if (space == XATTR_SECURITY || !strncmp(name, "system.", 7))
		return 0;
	if (space == XATTR_TRUSTED)
		return fs_cred_can(cred, CAP_SYS_ADMIN) ? 0 : refused(write);
	err_t err = space == XATTR_USER ? may_use_users(cred, v, write) : 0;
	return err ? err : vnode_permission(cred, v, write ? MAY_WRITE : MAY_READ);
}

/* Writing to security.: file_caps.c has asked already for a value that is capabilities. */
static err_t may_secure(const struct fs_cred *cred, const struct xattr_name *n, bool removes)
{
	if (n->space != XATTR_SECURITY)
		return 0;
	if (file_caps_is_name(n))
		return !removes || fs_cred_can(cred, CAP_SETFCAP) ? 0 : -EPERM;
	return fs_cred_can(cred, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/* Is there such a space, and a name behind it? */
static err_t check_name(const struct vnode *v, const struct xattr_name *n)
{
	if (n->space == XATTR_UNKNOWN || !v->ops->xattr_set)
		return -ENOTSUP;
	return n->len ? 0 : -EINVAL;
}

/* --- reading --- */

err_t xattr_answer(const void *data, size_t n, void *buf, size_t size, size_t *len)
{
	*len = n;
	if (!size)
		return 0;
	if (n > size)
		return -ERANGE;
	memcpy(buf, data, n);
	return 0;
}

static err_t get_locked(struct vnode *v, const struct xattr_name *n, void *buf, size_t size, size_t *len)
{
	err_t err = check_name(v, n);
	if (err)
		return err;
	return file_caps_is_name(n) ? file_caps_get_xattr_locked(v, buf, size, len)
				    : v->ops->xattr_get(v, n, buf, size, len);
}

err_t vfs_xattr_get(
    const struct fs_context *c, const struct path *p, const char *name, void *buf, size_t size, size_t *len)
{
	struct vnode *v = path_vnode(p);
	struct xattr_name n = name_of(name);
	rwlock_read(&v->lock);
	err_t err = may_use(&c->cred, v, name, n.space, false);
	if (!err)
		err = get_locked(v, &n, buf, size, len);
	rwlock_read_unlock(&v->lock);
	return err;
}

/* --- names --- */

struct listing {
	char *buf; /* NULL: only count */
	size_t size, len;
	bool sees_trusted, full;
};

static bool list_name(void *ctx, const struct xattr_name *n)
{
	struct listing *l = ctx;
	size_t prefix_len;
	const char *prefix = prefix_of(n->space, &prefix_len);
	if (!prefix || (n->space == XATTR_TRUSTED && !l->sees_trusted))
		return true;
	size_t len = prefix_len + n->len + 1;
	if (l->buf && len > l->size - l->len) {
		l->full = true;
		return false;
	}
	if (l->buf) {
		memcpy(l->buf + l->len, prefix, prefix_len);
		memcpy(l->buf + l->len + prefix_len, n->name, n->len);
		l->buf[l->len + len - 1] = 0;
	}
	l->len += len;
	return true;
}

err_t vfs_xattr_list(const struct fs_context *c, const struct path *p, char *buf, size_t size, size_t *len)
{
	struct vnode *v = path_vnode(p);
	struct listing l = {
	    .buf = size ? buf : NULL, .size = size, .sees_trusted = fs_cred_can(&c->cred, CAP_SYS_ADMIN)};
	err_t err = 0;
	rwlock_read(&v->lock);
	if (v->ops->xattr_list)
		err = v->ops->xattr_list(v, list_name, &l);
	rwlock_read_unlock(&v->lock);
	*len = l.len;
	return err ? err : l.full ? -ERANGE : 0;
}

/* --- writing --- */

err_t xattr_check_how(bool exists, bool removes, unsigned how)
{
	if (exists)
		return how & XATTR_CREATE ? -EEXIST : 0;
	return removes || (how & XATTR_REPLACE) ? -ENODATA : 0;
}

static err_t set_locked(const struct fs_cred *cred, struct vnode *v, const char *name,
    const struct xattr_value *value, unsigned how)
{
	struct xattr_name n = name_of(name);
	err_t err = may_use(cred, v, name, n.space, true);
	if (!err)
		err = may_secure(cred, &n, !value);
	if (!err)
		err = check_name(v, &n);
	if (!err)
		err = v->ops->xattr_set(v, &n, value, how);
	if (!err && file_caps_is_name(&n))
		store_relaxed(&v->no_caps, !value);
	return err;
}

err_t vfs_xattr_set(const struct fs_context *c, const struct path *p, const char *name,
    const struct xattr_value *value, unsigned how)
{
	struct vnode *v = path_vnode(p);
	struct xattr_name n = name_of(name);
	err_t err = mount_want_write(p->mount);
	if (!err && value && value->len && file_caps_is_name(&n))
		err = file_caps_check_xattr(&c->cred, value);
	if (err)
		return err;
	rwlock_write(&v->lock);
	err = set_locked(&c->cred, v, name, value, how);
	rwlock_write_unlock(&v->lock);
	if (!err)
		notify_dentry(p->dentry, NOTIFY_ATTRIB);
	return err;
}
