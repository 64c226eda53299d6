/*
 * memfd.c - files in memory that have no name.
 *
 * They live in a tmpfs that is mounted nowhere and has no limit; all that files do is done by file_rw.c and
 * tmpfs.c. What is here:
 *
 *	snapshot	a new file whose VM object is a clone of the other's: one reference on its page tree.
 *			The file is locked meanwhile, so no write(2) is seen half done; stores through shared
 *			windows land on one side or the other, page by page, as the windows lose write access
 *			with the object locked
 *	volatility	a purgeable file is held as it is by open files (not descriptors: copies of one share
 *			its hold, as they share its position, and a mapping keeps the open file it was made
 *			from). Its maker's open file is born holding it. While nobody does, the kernel may
 *			take the pages
 */
#include "fs/memfd.h"
#include "fs/mount.h"
#include "fs/tmpfs.h"
#include "lib/printf.h"

enum { NAME_MAX_LEN = 249 };
#define LABEL "memfd:"

static struct mount *memfd_mount; /* constant after boot: in no tree */

void memfd_init(void)
{
	err_t err = mount_create_internal(&tmpfs_ops, "memfd", "size=0,nr_inodes=0", &memfd_mount);
	ASSERT(!err); /* at boot */
}

void memfd_fini(void)
{
	mount_put(memfd_mount);
	memfd_mount = NULL;
}

/* Open v, whose reference is taken over, by a name that nobody finds. */
static err_t open_unnamed(struct vnode *v, const char *label, size_t len, struct file **out)
{
	struct dentry *d;
	struct file *f;
	err_t err = dentry_add_unhashed(memfd_mount->root, label, len, v, &d);
	if (err) {
		vnode_put(v);
		return err;
	}
	err = file_create(&regular_file_ops, FILE_RDWR | FILE_LARGEFILE | FILE_WRITER, &f);
	if (err) {
		dentry_put(d);
		return err;
	}
	mount_get(memfd_mount);
	f->mount = memfd_mount;
	f->dentry = d;
	vnode_get(v);
	f->vnode = v;
	fetch_add_relaxed(&v->writers, 1);
	*out = f;
	return 0;
}

/* kind: flags of its VM object. */
static err_t create(
    const char *label, size_t len, const struct attr *init, bool sealable, unsigned kind, struct file **out)
{
	struct vnode *v;
	err_t err = tmpfs_make_unnamed(memfd_mount->fs, init, kind, &v);
	if (err)
		return err;
	store_relaxed(&v->seals, sealable ? 0 : SEAL_SEAL);
	return open_unnamed(v, label, len, out);
}

static bool is_purgeable(const struct file *f)
{
	return f->vnode && f->vnode->pages && (f->vnode->pages->flags & VM_PURGEABLE);
}

err_t memfd_create_file(const char *name, unsigned flags, uint32_t uid, uint32_t gid, struct file **out)
{
	struct attr a = {.mode = MODE_REG | 0777, .uid = uid, .gid = gid};
	char label[NAME_MAX_LEN + sizeof(LABEL)];
	bool ignored;
	int len = format(label, sizeof(label), LABEL "%s", name);
	if ((size_t)len >= sizeof(label))
		return -EINVAL;
	fs_now(&a.mtime);
	unsigned kind = flags & MEMFD_PURGEABLE ? VM_PURGEABLE : 0;
	err_t err = create(label, (size_t)len, &a, flags & MEMFD_SEALABLE, kind, out);
	if (!err && is_purgeable(*out))
		object_hold((*out)->vnode->pages, &(*out)->holder, &ignored);
	return err;
}

bool memfd_is(const struct file *f)
{
	return f->mount == memfd_mount;
}

/* Nobody else has the file yet: no lock is needed. */
static err_t give_size(struct vnode *v, uint64_t size, bool fixed)
{
	err_t err = object_resize(v->pages, DIV_ROUND_UP(size, (uint64_t)PAGE_SIZE));
	if (!err && (v->pages->flags & VM_CONTIGUOUS))
		err = object_fill_contiguous(v->pages);
	v->size = size;
	if (fixed)
		store_relaxed(&v->seals, SEAL_GROW | SEAL_SHRINK | SEAL_SEAL);
	return err;
}

err_t memfd_create_vmo(
    unsigned kind, bool fixed, uint64_t size, uint32_t uid, uint32_t gid, struct file **out)
{
	struct attr a = {.mode = MODE_REG | 0777, .uid = uid, .gid = gid};
	ASSERT(!(kind & ~(unsigned)VM_KINDS));
	if (size > memfd_mount->fs->max_size)
		return -EFBIG;
	fs_now(&a.mtime);
	err_t err = create(LABEL "vmo", sizeof(LABEL "vmo") - 1, &a, true, kind, out);
	if (err)
		return err;
	err = give_size((*out)->vnode, size, fixed);
	if (err)
		file_put(*out);
	return err;
}

/* Copy contents and size of v, which is locked, into the fresh file f. */
static err_t copy_into(struct vnode *v, struct file *f)
{
	struct vm_object *copy = f->vnode->pages;
	bool ignored;
	err_t err = object_clone_into(v->pages, copy);
	if (err)
		return err;
	f->vnode->size = v->size;
	if (is_purgeable(f) && copy->vol_state == VOLATILE_NO) /* nobody else has it: no lock is needed */
		object_hold(copy, &f->holder, &ignored);
	return 0;
}

err_t memfd_snapshot(struct file *f, uint32_t uid, uint32_t gid, struct file **out)
{
	struct vnode *v = f->vnode;
	struct attr a = {.mode = MODE_REG | 0777, .uid = uid, .gid = gid};
	if (!v || !v->pages || !(v->pages->flags & VM_RESIDENT) || (v->pages->flags & VM_CONTIGUOUS))
		return -EINVAL;
	if (!file_may_read(f))
		return -EBADF;
	fs_now(&a.mtime);
	unsigned kind = v->pages->flags & (VM_PURGEABLE | VM_KINDS);
	err_t err = create(LABEL "snapshot", sizeof(LABEL "snapshot") - 1, &a, true, kind, out);
	if (err)
		return err;
	rwlock_read(&v->lock);
	err = copy_into(v, *out);
	rwlock_read_unlock(&v->lock);
	if (err)
		file_put(*out);
	return err;
}

err_t memfd_set_volatile(struct file *f)
{
	if (!is_purgeable(f))
		return -EINVAL;
	object_let_go(f->vnode->pages, &f->holder);
	return 0;
}

err_t memfd_set_nonvolatile(struct file *f, bool *was_purged)
{
	if (!is_purgeable(f))
		return -EINVAL;
	object_hold(f->vnode->pages, &f->holder, was_purged);
	return 0;
}

void memfd_let_go(struct file *f)
{
	if (f->holder.holds)
		object_let_go(f->vnode->pages, &f->holder);
}
