/* linux_open.c - open and close. */
#include "sys/files.h"

int64_t sys_openat(int32_t dirfd, uaddr_t name, int32_t flags, uint32_t mode)
{
	struct at_call a;
	struct file *f;
	err_t err = at_begin_named(&a, dirfd, name);
	if (err)
		return err;
	err = vfs_open(a.c, a.base, a.name, (unsigned)flags | FILE_LARGEFILE, mode, &f);
	at_end(&a);
	if (err)
		return restartable(err);
	return fd_install(f, flags & FILE_CLOEXEC);
}

int64_t sys_open(uaddr_t name, int32_t flags, uint32_t mode)
{
	return sys_openat(AT_FDCWD, name, flags, mode);
}

int64_t sys_creat(uaddr_t name, uint32_t mode)
{
	return sys_openat(AT_FDCWD, name, FILE_CREAT | FILE_WRONLY | FILE_TRUNC, mode);
}

int64_t sys_close(int32_t fd)
{
	return desc_close(current_process()->descs, fd);
}
