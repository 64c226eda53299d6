/* linux_io.c - reading and writing through descriptors. */
#include "mm/slab.h"
#include "sys/files.h"

/* Which way the bytes go, and whether a position is given. */
struct io_call {
	bool write, positioned;
	int64_t pos;
};

static int64_t io_run(struct file *f, const struct io_call *io, struct uio *u)
{
	if (!io->write)
		return io->positioned ? file_pread(f, u, io->pos) : file_read(f, u);
	io_prepare_write(u);
	return io->positioned ? file_pwrite(f, u, io->pos) : file_write(f, u);
}

static int64_t io_single(int32_t fd, uaddr_t buf, uint64_t count, const struct io_call *io)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	struct uio_segment seg = {buf, count};
	struct uio u;
	int64_t done = -EINVAL;
	if (count <= INT64_MAX) {
		uio_init_user(&u, &seg, 1);
		done = io_finish(&u, io_run(f, io, &u));
	}
	file_put(f);
	return done;
}

static int64_t io_vector(int32_t fd, uaddr_t iov, uint64_t count, const struct io_call *io)
{
	struct uio_segment few[UIO_FEW], *segs;
	struct file *f;
	struct uio u;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	err = iov_fetch(iov, count, few, &segs, &u);
	int64_t done = err;
	if (!err) {
		done = io_finish(&u, io_run(f, io, &u));
		if (segs != few)
			kfree(segs);
	}
	file_put(f);
	return done;
}

int64_t sys_read(int32_t fd, uaddr_t buf, uint64_t count)
{
	return io_single(fd, buf, count, &(struct io_call){.write = false});
}

int64_t sys_write(int32_t fd, uaddr_t buf, uint64_t count)
{
	return io_single(fd, buf, count, &(struct io_call){.write = true});
}

int64_t sys_readv(int32_t fd, uaddr_t iov, uint64_t count)
{
	return io_vector(fd, iov, count, &(struct io_call){.write = false});
}

int64_t sys_writev(int32_t fd, uaddr_t iov, uint64_t count)
{
	return io_vector(fd, iov, count, &(struct io_call){.write = true});
}

int64_t sys_pread64(int32_t fd, uaddr_t buf, uint64_t count, int64_t pos)
{
	return io_single(fd, buf, count, &(struct io_call){.positioned = true, .pos = pos});
}

int64_t sys_pwrite64(int32_t fd, uaddr_t buf, uint64_t count, int64_t pos)
{
	return io_single(fd, buf, count, &(struct io_call){.write = true, .positioned = true, .pos = pos});
}

int64_t sys_ioctl(int32_t fd, uint32_t request, uaddr_t arg)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	int64_t result = file_ioctl(f, request, arg);
	file_put(f);
	return result == -EINTR ? -ERESTARTSYS : result;
}

int64_t sys_lseek(int32_t fd, int64_t offset, uint32_t whence)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	int64_t pos = whence > FILE_SEEK_HOLE ? -EINVAL : file_seek(f, offset, (int)whence);
	file_put(f);
	return pos;
}
