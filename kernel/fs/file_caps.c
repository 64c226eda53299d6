/*
 * file_caps.c - capabilities of files. See file_caps.h.
 *
 * Each write asks whether there are some to be dropped, each exec whether some are given. Nearly no file has
 * any, so a vnode remembers it once that is known (no_caps): set where the attribute was looked for under the
 * vnode's lock and not found, cleared where it is set under the lock for writing.
 */
#include "fs/file_caps.h"
#include "fs/namei_walk.h"
#include "lib/string.h"

enum {
	REVISION_1 = 0x01000000,
	REVISION_2 = 0x02000000,
	REVISION_3 = 0x03000000,
	FLAG_EFFECTIVE = 1,
	SIZE_1 = 12,
	SIZE_2 = 20,
	SIZE_3 = 24,
};
#define REVISION_MASK 0xff000000u

struct disk_caps {
	uint32_t magic;
	struct {
		uint32_t permitted, inheritable;
	} word[2];
	uint32_t root;
};
_Static_assert(sizeof(struct disk_caps) == SIZE_3, "the ABI's layout");

static const struct xattr_name caps_name = {XATTR_SECURITY, "capability", 10};

bool file_caps_is_name(const struct xattr_name *n)
{
	return n->space == caps_name.space && n->len == caps_name.len &&
	       !memcmp(n->name, caps_name.name, n->len);
}

static bool is_revision(const struct disk_caps *d, size_t len, uint32_t revision)
{
	size_t size = revision == REVISION_1 ? SIZE_1 : revision == REVISION_2 ? SIZE_2 : SIZE_3;
	return len == size && (d->magic & REVISION_MASK) == revision;
}

/* Fetch the attribute; what it does not have is 0. -ENODATA. v is locked. */
static err_t fetch_locked(struct vnode *v, struct disk_caps *d, size_t *len)
{
	memset(d, 0, sizeof(*d));
	if (likely(load_relaxed(&v->no_caps)))
		return -ENODATA;
	err_t err = v->ops->xattr_get ? v->ops->xattr_get(v, &caps_name, d, sizeof(*d), len) : -ENODATA;
	if (err == -ENODATA)
		store_relaxed(&v->no_caps, 1);
	return err == -ERANGE ? -EINVAL : err;
}

static err_t parse(const struct disk_caps *d, size_t len, struct file_caps *out)
{
	if (!is_revision(d, len, REVISION_1) && !is_revision(d, len, REVISION_2) &&
	    !is_revision(d, len, REVISION_3))
		return -EINVAL;
	if (is_revision(d, len, REVISION_3) && d->root)
		return 0; /* counts in another namespace */
	out->permitted = (d->word[0].permitted | (cap_set_t)d->word[1].permitted << 32) & CAP_ALL;
	out->inheritable = (d->word[0].inheritable | (cap_set_t)d->word[1].inheritable << 32) & CAP_ALL;
	out->effective = d->magic & FLAG_EFFECTIVE;
	out->present = true;
	return 0;
}

err_t file_caps_of(struct vnode *v, struct file_caps *out)
{
	struct disk_caps d;
	size_t len;
	*out = (struct file_caps){0};
	if (likely(load_relaxed(&v->no_caps)))
		return 0;
	rwlock_read(&v->lock);
	err_t err = fetch_locked(v, &d, &len);
	rwlock_read_unlock(&v->lock);
	if (!err)
		err = parse(&d, len, out);
	return err == -ENODATA ? 0 : err;
}

err_t file_caps_check_xattr(const struct fs_cred *cred, const struct xattr_value *value)
{
	struct disk_caps d = {0};
	if (value->len > sizeof(d))
		return -EINVAL;
	memcpy(&d, value->data, value->len);
	if (!is_revision(&d, value->len, REVISION_2) && !is_revision(&d, value->len, REVISION_3))
		return -EINVAL;
	if (!fs_cred_can(cred, CAP_SETFCAP))
		return -EPERM;
	return d.root == UINT32_MAX ? -EINVAL : 0;
}

err_t file_caps_get_xattr_locked(struct vnode *v, void *buf, size_t size, size_t *len)
{
	struct disk_caps d;
	size_t n;
	err_t err = fetch_locked(v, &d, &n);
	if (err)
		return err;
	if (is_revision(&d, n, REVISION_3) && !d.root) {
		d.magic = REVISION_2 | (d.magic & FLAG_EFFECTIVE);
		n = SIZE_2;
	} else if (!is_revision(&d, n, REVISION_2) && !is_revision(&d, n, REVISION_3)) {
		return -EINVAL;
	}
	return xattr_answer(&d, n, buf, size, len);
}

err_t file_caps_drop_locked(struct vnode *v)
{
	struct disk_caps d;
	size_t len;
	if (likely(load_relaxed(&v->no_caps)))
		return 0;
	err_t err = fetch_locked(v, &d, &len);
	if (err && err != -EINVAL)
		return err == -ENODATA ? 0 : err;
	err = v->ops->xattr_set(v, &caps_name, NULL, 0);
	if (!err)
		store_relaxed(&v->no_caps, 1);
	return err;
}
