/* linux_name.c - calls that make, remove, change and read names. The walk and its checks: fs/namei_ops.c. */
#include "mm/slab.h"
#include "proc/cred.h"
#include "sys/files.h"

/* --- making --- */

int64_t sys_mkdirat(int32_t dirfd, uaddr_t name, uint32_t mode)
{
	struct at_call a;
	err_t err = at_begin_named(&a, dirfd, name);
	if (err)
		return err;
	err = vfs_mkdir(a.c, a.base, a.name, mode);
	at_end(&a);
	return err;
}

int64_t sys_mkdir(uaddr_t name, uint32_t mode)
{
	return sys_mkdirat(AT_FDCWD, name, mode);
}

int64_t sys_mknodat(int32_t dirfd, uaddr_t name, uint32_t mode, uint32_t dev)
{
	struct at_call a;
	err_t err = vfs_check_mknod(&(uint32_t){mode});
	if (!err)
		err = at_begin_named(&a, dirfd, name);
	if (err)
		return err;
	err = vfs_mknod(a.c, a.base, a.name, mode, dev, NULL);
	at_end(&a);
	return err;
}

int64_t sys_mknod(uaddr_t name, uint32_t mode, uint32_t dev)
{
	return sys_mknodat(AT_FDCWD, name, mode, dev);
}

int64_t sys_symlinkat(uaddr_t target, int32_t dirfd, uaddr_t name)
{
	struct at_call a;
	char *text;
	err_t err = path_fetch(target, &text);
	if (err)
		return err;
	err = *text ? at_begin_named(&a, dirfd, name) : -ENOENT;
	if (!err) {
		err = vfs_symlink(a.c, text, a.base, a.name);
		at_end(&a);
	}
	path_free(text);
	return err;
}

int64_t sys_symlink(uaddr_t target, uaddr_t name)
{
	return sys_symlinkat(target, AT_FDCWD, name);
}

/* A file that has no other name left to walk to may be given one by its descriptor only with privilege. */
static err_t check_link_flags(int32_t flags)
{
	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return (flags & AT_EMPTY_PATH) && !current_can(CAP_DAC_READ_SEARCH) ? -ENOENT : 0;
}

static err_t begin_source(struct at_call *a, int32_t dirfd, uaddr_t name, int32_t flags)
{
	return flags & AT_EMPTY_PATH ? at_begin(a, dirfd, name) : at_begin_named(a, dirfd, name);
}

int64_t sys_linkat(int32_t from_fd, uaddr_t from, int32_t to_fd, uaddr_t to, int32_t flags)
{
	struct at_call a, b;
	unsigned walk =
	    (flags & AT_SYMLINK_FOLLOW ? 0 : WALK_NOFOLLOW) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
	err_t err = check_link_flags(flags);
	if (!err)
		err = begin_source(&a, from_fd, from, flags);
	if (err)
		return err;
	err = at_begin_named(&b, to_fd, to);
	if (!err) {
		err = vfs_link(a.c, a.base, a.name, walk, b.base, b.name);
		at_end(&b);
	}
	at_end(&a);
	return err;
}

int64_t sys_link(uaddr_t from, uaddr_t to)
{
	return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* --- removing --- */

int64_t sys_unlinkat(int32_t dirfd, uaddr_t name, int32_t flags)
{
	struct at_call a;
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	err_t err = at_begin_named(&a, dirfd, name);
	if (err)
		return err;
	err = flags & AT_REMOVEDIR ? vfs_rmdir(a.c, a.base, a.name) : vfs_unlink(a.c, a.base, a.name);
	at_end(&a);
	return err;
}

int64_t sys_unlink(uaddr_t name)
{
	return sys_unlinkat(AT_FDCWD, name, 0);
}

int64_t sys_rmdir(uaddr_t name)
{
	return sys_unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

/* --- renaming --- */

int64_t sys_renameat2(int32_t from_fd, uaddr_t from, int32_t to_fd, uaddr_t to, uint32_t flags)
{
	struct at_call a, b;
	err_t err = vfs_check_rename(flags);
	if (!err)
		err = at_begin_named(&a, from_fd, from);
	if (err)
		return err;
	err = at_begin_named(&b, to_fd, to);
	if (!err) {
		err = vfs_rename(a.c, a.base, a.name, b.base, b.name, flags);
		at_end(&b);
	}
	at_end(&a);
	return err;
}

int64_t sys_renameat(int32_t from_fd, uaddr_t from, int32_t to_fd, uaddr_t to)
{
	return sys_renameat2(from_fd, from, to_fd, to, 0);
}

int64_t sys_rename(uaddr_t from, uaddr_t to)
{
	return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* --- symbolic links --- */

int64_t sys_readlinkat(int32_t dirfd, uaddr_t name, uaddr_t buf, int32_t size)
{
	struct at_call a;
	char *text = NULL;
	if (size <= 0)
		return -EINVAL;
	err_t err = at_begin(&a, dirfd, name);
	if (err)
		return err;
	size_t room = MIN((size_t)size, (size_t)PATH_LEN_MAX);
	text = kmalloc(room);
	int64_t len = text ? vfs_readlink(a.c, a.base, a.name, text, room) : -ENOMEM;
	at_end(&a);
	if (len > 0)
		err = copy_to_user(buf, text, (size_t)len);
	kfree(text);
	return err ? err : len;
}

int64_t sys_readlink(uaddr_t name, uaddr_t buf, int32_t size)
{
	return sys_readlinkat(AT_FDCWD, name, buf, size);
}
