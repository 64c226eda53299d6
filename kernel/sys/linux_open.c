/* linux_open.c - open and close. Walks that may not do all: fs/namei.c. */
#include "sys/files.h"

/* The descriptor comes first: without one, no file is made. */
static int fd_reserve(void)
{
	return desc_reserve(current_descs(), fd_limit());
}

/* fd: reserved, or why there is none, which is `err` then. Takes over the reference to f. */
static int64_t finish_open(int fd, err_t err, struct file *f, bool cloexec)
{
	struct desc_table *t = current_descs();
	if (err) {
		if (fd >= 0)
			desc_unreserve(t, fd);
		return restartable(err);
	}
	desc_fill(t, fd, &f->object, file_rights(load_relaxed(&f->flags)), cloexec);
	file_put(f);
	return fd;
}

int64_t sys_openat(int32_t dirfd, uaddr_t name, int32_t flags, uint32_t mode)
{
	struct at_call a;
	struct file *f;
	err_t err = vfs_check_open(&(unsigned){(unsigned)flags});
	if (!err)
		err = at_begin_named(&a, dirfd, name);
	if (err)
		return err;
	int fd = fd_reserve();
	err = fd < 0 ? fd : vfs_open(a.c, a.base, a.name, (unsigned)flags | FILE_LARGEFILE, mode, &f);
	at_end(&a);
	return finish_open(fd, err, err ? NULL : f, flags & FILE_CLOEXEC);
}

int64_t sys_open(uaddr_t name, int32_t flags, uint32_t mode)
{
	return sys_openat(AT_FDCWD, name, flags, mode);
}

int64_t sys_creat(uaddr_t name, uint32_t mode)
{
	return sys_openat(AT_FDCWD, name, FILE_CREAT | FILE_WRONLY | FILE_TRUNC, mode);
}

/* struct open_how of the ABI. */
struct sys_open_how {
	uint64_t flags, mode, resolve;
};

enum {
	OPEN_HOW_SIZE_FIRST = 24,
	OPEN_KNOWN = FILE_ACCMODE | FILE_CREAT | FILE_EXCL | FILE_NOCTTY | FILE_TRUNC | FILE_APPEND |
		     FILE_NONBLOCK | FILE_SYNC | FILE_ASYNC | FILE_DIRECT | FILE_LARGEFILE | FILE_TMPFILE |
		     FILE_NOFOLLOW | FILE_NOATIME | FILE_CLOEXEC | FILE_PATH,
	OPEN_WITH_PATH = FILE_PATH | FILE_DIRECTORY | FILE_NOFOLLOW | FILE_CLOEXEC,
	OPEN_CREATES = FILE_CREAT | (FILE_TMPFILE & ~FILE_DIRECTORY),
};

/* Where open(2) drops what makes no sense, this call refuses. What else the flags may not be to each other,
 * vfs_open knows. */
static err_t check_how(const struct sys_open_how *how)
{
	if ((how->flags & ~(uint64_t)OPEN_KNOWN) || (how->resolve & ~(uint64_t)RESOLVE_ALL))
		return -EINVAL;
	if ((how->resolve & RESOLVE_SCOPED) == RESOLVE_SCOPED)
		return -EINVAL;
	if (how->mode & ~(how->flags & OPEN_CREATES ? (uint64_t)07777 : 0))
		return -EINVAL;
	if ((how->flags & FILE_PATH) && (how->flags & ~(uint64_t)OPEN_WITH_PATH))
		return -EINVAL;
	return 0;
}

/* To make or cut a file the file system must be asked. */
static bool must_ask(const struct sys_open_how *how)
{
	return (how->resolve & RESOLVE_CACHED) && (how->flags & (FILE_TRUNC | OPEN_CREATES));
}

int64_t sys_openat2(int32_t dirfd, uaddr_t name, uaddr_t from, uint64_t size)
{
	struct sys_open_how how;
	struct at_call a;
	struct file *f;
	if (size < OPEN_HOW_SIZE_FIRST || size > PAGE_SIZE)
		return size > PAGE_SIZE ? -E2BIG : -EINVAL;
	err_t err = struct_fetch(&how, sizeof(how), from, size);
	if (!err)
		err = check_how(&how);
	unsigned flags = (unsigned)how.flags | (how.flags & FILE_PATH ? 0 : FILE_LARGEFILE);
	if (!err)
		err = vfs_check_open(&(unsigned){flags});
	if (!err && must_ask(&how))
		err = -EAGAIN;
	if (!err)
		err = at_begin_flags(&a, dirfd, name, how.resolve & RESOLVE_IN_ROOT ? AT_IN_ROOT : 0);
	if (err)
		return err;
	int fd = fd_reserve();
	err = fd < 0 ? fd
		     : vfs_open_resolve(
			   a.c, a.base, a.name, (unsigned)how.resolve, flags, (uint32_t)how.mode, &f);
	at_end(&a);
	return finish_open(fd, err, err ? NULL : f, flags & FILE_CLOEXEC);
}

int64_t sys_close(int32_t fd)
{
	return desc_close(current_descs(), fd);
}
