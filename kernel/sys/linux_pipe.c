/* linux_pipe.c - files without names: pipes, eventfd, memfd. */
#include "fs/pipe.h"
#include "fs/tmpfs.h"
#include "proc/cred.h"
#include "sys/files.h"

enum { EFD_SEMAPHORE = 1 };
enum {
	MFD_CLOEXEC = 1,
	MFD_ALLOW_SEALING = 2,
	MFD_HUGETLB = 4,
	MFD_NAME_MAX = 249,
};
#define MFD_HUGE_SIZES (0x3fu << 26) /* log2 of the page size, with MFD_HUGETLB */

/* A descriptor that the program was not told of. That it is gone already, closed by another thread that guessed it, does no harm. */
static void close_again(int fd)
{
	err_t err = desc_close(current_process()->descs, fd);
	ASSERT(!err || err == -EBADF);
}

int64_t sys_pipe2(uaddr_t fds, int32_t flags)
{
	struct file *reader, *writer;
	if (flags & ~(FILE_CLOEXEC | FILE_NONBLOCK | FILE_DIRECT))
		return -EINVAL;
	err_t err = pipe_create((unsigned)flags, &reader, &writer);
	if (err)
		return err;
	int64_t in = fd_install(reader, flags & FILE_CLOEXEC);
	if (in < 0) {
		file_put(writer);
		return in;
	}
	int64_t out = fd_install(writer, flags & FILE_CLOEXEC);
	int32_t both[2] = {(int32_t)in, (int32_t)out};
	err = out < 0 ? (err_t)out : copy_to_user(fds, both, sizeof(both));
	if (!err)
		return 0;
	close_again((int)in);
	if (out >= 0)
		close_again((int)out);
	return err;
}

int64_t sys_pipe(uaddr_t fds)
{
	return sys_pipe2(fds, 0);
}

int64_t sys_eventfd2(uint32_t count, int32_t flags)
{
	struct file *f;
	if (flags & ~(EFD_SEMAPHORE | FILE_CLOEXEC | FILE_NONBLOCK))
		return -EINVAL;
	err_t err = eventfd_create(count, flags & EFD_SEMAPHORE, (unsigned)flags & FILE_NONBLOCK, &f);
	return err ? err : fd_install(f, flags & FILE_CLOEXEC);
}

int64_t sys_eventfd(uint32_t count)
{
	return sys_eventfd2(count, 0);
}

int64_t sys_memfd_create(uaddr_t name, uint32_t flags)
{
	char text[MFD_NAME_MAX + 1];
	struct file *f;
	uint32_t known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB;
	if (flags & MFD_HUGETLB)
		known |= (uint32_t)MFD_HUGE_SIZES;
	if (flags & ~known)
		return -EINVAL;
	int64_t len = copy_string_from_user(text, name, sizeof(text));
	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : len;
	if (flags & MFD_HUGETLB)
		return -ENOSYS;
	err_t err = memfd_create_file(text, flags & MFD_ALLOW_SEALING, FILE_RDWR | FILE_LARGEFILE, &f);
	if (err)
		return err;
	struct cred *c = process_cred(current_process());
	f->vnode->uid = c->fsuid; /* nobody else knows the file yet */
	f->vnode->gid = c->fsgid;
	cred_put(c);
	return fd_install(f, flags & MFD_CLOEXEC);
}
