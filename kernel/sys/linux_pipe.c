/* linux_pipe.c - files without names: pipes, eventfd. */
#include "fs/pipe.h"
#include "sys/files.h"

enum { EFD_SEMAPHORE = 1 };

/* A descriptor that the program was not told of. That it is gone already, closed by another thread that
 * guessed it, does no harm. */
static void close_again(int fd)
{
	err_t err = desc_close(current_descs(), fd);
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
