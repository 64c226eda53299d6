/* linux_io.c - reading and writing through descriptors, positions, requests to files of any kind. */
#include "arch/mmu.h"
#include "mm/slab.h"
#include "sys/files.h"

enum rw_flags { /* the ABI's RWF_* */
	RWF_HIPRI = 1,
	RWF_DSYNC = 2,
	RWF_SYNC = 4,
	RWF_NOWAIT = 8,
	RWF_APPEND = 16,
	RWF_ALL = 31,
};

/* Which way the bytes go, whether a position is given, and how. */
struct io_call {
	bool write, positioned;
	int64_t pos;
	uint32_t flags; /* enum rw_flags */
};

static err_t io_check(const struct file *f, uint32_t rights, const struct io_call *io)
{
	if (io->positioned && (load_relaxed(&f->flags) & FILE_STREAM))
		return -ESPIPE;
	return rights & (io->write ? RIGHT_WRITE : RIGHT_READ) ? 0 : -EBADF;
}

/* Transfers that do not wait are for files without a position: what the cache has is not known beforehand. */
static err_t io_apply_flags(const struct file *f, const struct io_call *io, struct uio *u)
{
	if ((io->flags & ~(uint32_t)RWF_ALL) ||
	    ((io->flags & RWF_NOWAIT) && !(load_relaxed(&f->flags) & FILE_STREAM)))
		return -ENOTSUP;
	u->nonblock = io->flags & RWF_NOWAIT;
	if (!io->write)
		return 0;
	u->append = io->flags & RWF_APPEND;
	u->sync = (io->flags & RWF_DSYNC ? FILE_DSYNC : 0) | (io->flags & RWF_SYNC ? FILE_SYNC : 0);
	io_prepare_write(u);
	return 0;
}

static int64_t io_run(struct file *f, const struct io_call *io, struct uio *u)
{
	err_t err = io_apply_flags(f, io, u);
	if (err)
		return err;
	if (!io->write)
		return restartable(io->positioned ? file_pread(f, u, io->pos) : file_read(f, u));
	return io_finish(u, io->positioned ? file_pwrite(f, u, io->pos) : file_write(f, u));
}

static int64_t io_single(int32_t fd, uaddr_t buf, uint64_t count, const struct io_call *io)
{
	struct file *f;
	uint32_t rights;
	if (io->positioned && io->pos < 0)
		return -EINVAL;
	err_t err = fd_file_rights(fd, &f, &rights);
	if (err)
		return err;
	struct uio_segment seg = {buf, count};
	struct uio u;
	int64_t done = io_check(f, rights, io);
	if (!done && !user_range_is_valid(buf, count))
		done = -EFAULT;
	if (!done) {
		uio_init_user(&u, &seg, 1);
		done = io_run(f, io, &u);
	}
	file_put(f);
	return done;
}

static int64_t io_vector(int32_t fd, uaddr_t iov, uint64_t count, const struct io_call *io)
{
	struct uio_segment few[UIO_FEW], *segs;
	struct file *f;
	uint32_t rights;
	struct uio u;
	if (io->positioned && io->pos < 0)
		return -EINVAL;
	err_t err = fd_file_rights(fd, &f, &rights);
	if (err)
		return err;
	int64_t done = io->positioned && (load_relaxed(&f->flags) & FILE_STREAM) ? -ESPIPE : 0;
	if (!done)
		done = iov_fetch(iov, count, few, &segs, &u);
	if (!done) {
		done = io_check(f, rights, io);
		if (!done)
			done = io_run(f, io, &u);
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

int64_t sys_pread64(int32_t fd, uaddr_t buf, uint64_t count, int64_t pos)
{
	return io_single(fd, buf, count, &(struct io_call){.positioned = true, .pos = pos});
}

int64_t sys_pwrite64(int32_t fd, uaddr_t buf, uint64_t count, int64_t pos)
{
	return io_single(fd, buf, count, &(struct io_call){.write = true, .positioned = true, .pos = pos});
}

int64_t sys_readv(int32_t fd, uaddr_t iov, uint64_t count)
{
	return io_vector(fd, iov, count, &(struct io_call){.write = false});
}

int64_t sys_writev(int32_t fd, uaddr_t iov, uint64_t count)
{
	return io_vector(fd, iov, count, &(struct io_call){.write = true});
}

/* The upper half of the position is for machines with short registers; here the lower one has all of it. */
int64_t sys_preadv(int32_t fd, uaddr_t iov, uint64_t count, int64_t pos, UNUSED uint64_t high)
{
	return io_vector(fd, iov, count, &(struct io_call){.positioned = true, .pos = pos});
}

int64_t sys_pwritev(int32_t fd, uaddr_t iov, uint64_t count, int64_t pos, UNUSED uint64_t high)
{
	return io_vector(fd, iov, count, &(struct io_call){.write = true, .positioned = true, .pos = pos});
}

/* Position -1: the file's own. */
int64_t sys_preadv2(
    int32_t fd, uaddr_t iov, uint64_t count, int64_t pos, UNUSED uint64_t high, uint32_t flags)
{
	return io_vector(
	    fd, iov, count, &(struct io_call){.positioned = pos != -1, .pos = pos, .flags = flags});
}

int64_t sys_pwritev2(
    int32_t fd, uaddr_t iov, uint64_t count, int64_t pos, UNUSED uint64_t high, uint32_t flags)
{
	return io_vector(fd, iov, count,
	    &(struct io_call){.write = true, .positioned = pos != -1, .pos = pos, .flags = flags});
}

/* --- requests --- */

#define FS_IOC_GETFLAGS     0x80086601u
#define FS_IOC_GETVERSION   0x80087601u
#define EXT2_IOC_GETVERSION 0x80086603u /* another number for the same, of Linux's driver for ext2 */
#define FS_IOC_FSGETXATTR   0x801c581fu
#define FS_IOC_FIEMAP       0xc020660bu
#define FIDEDUPERANGE       0xc0189436u
enum request { /* the ABI's */
	FIGETBSZ = 2,
	FIONBIO = 0x5421,
	FIONCLEX = 0x5450,
	FIOCLEX = 0x5451,
	FIONREAD = 0x541b,
	FIOASYNC = 0x5452,
	FIOQSIZE = 0x5460,
	FS_IOC_SETFLAGS = 0x40086602,
	FS_IOC_SETVERSION = 0x40087602,
	EXT2_IOC_SETVERSION = 0x40086604,
	FICLONE = 0x40049409,
	FICLONERANGE = 0x4020940d,
};

static int64_t set_nonblock(struct file *f, uaddr_t arg)
{
	int32_t on;
	if (copy_from_user(&on, arg, sizeof(on)))
		return -EFAULT;
	uint32_t flags = load_relaxed(&f->flags);
	return file_set_flags(f, on ? flags | FILE_NONBLOCK : flags & ~(uint32_t)FILE_NONBLOCK);
}

/* Asking for what is the case already is no error. */
static int64_t set_async(int32_t fd, struct file *f, uaddr_t arg)
{
	int32_t on;
	if (copy_from_user(&on, arg, sizeof(on)))
		return -EFAULT;
	if (!on == !(load_relaxed(&f->flags) & FILE_ASYNC))
		return 0;
	if (!f->ops->async)
		return -ENOTTY;
	fd_set_async(fd, f, on);
	return 0;
}

static int64_t tell_size(struct file *f, uaddr_t arg)
{
	struct vfs_stat st;
	const struct vnode *v = f->vnode;
	if (!v || !(vnode_is(v, MODE_REG) || vnode_is(v, MODE_DIR)))
		return -ENOTTY;
	file_stat(f, &st);
	int64_t bytes = (int64_t)st.blocks * 512;
	return copy_to_user(arg, &bytes, sizeof(bytes));
}

static int64_t tell_block_size(struct file *f, uaddr_t arg)
{
	struct vfs_stat st;
	file_stat(f, &st);
	int32_t size = (int32_t)st.block_size;
	return copy_to_user(arg, &size, sizeof(size));
}

/* What chattr(1) sets, and the path of the file, for the caller to put. */
static err_t get_flags(struct file *f, struct path *p, uint32_t *flags)
{
	err_t err = file_get_path(f, p);
	if (err)
		return err;
	err = vfs_get_flags(p, flags);
	if (err)
		path_put(p);
	return err;
}

/* The flags as an int. */
static int64_t exchange_flags(struct file *f, bool set, uaddr_t arg)
{
	struct fs_view view;
	struct path p;
	uint32_t flags;
	err_t err = get_flags(f, &p, &flags);
	if (err)
		return err;
	err = set ? copy_from_user(&flags, arg, sizeof(flags)) : copy_to_user(arg, &flags, sizeof(flags));
	if (!err && set) {
		fs_view_get(current_user_thread(), &view);
		err = vfs_set_flags(&view.context, &p, flags);
		fs_view_put(&view);
	}
	path_put(&p);
	return err;
}

/* The inode's generation as an int. */
static int64_t exchange_generation(struct file *f, bool set, uaddr_t arg)
{
	struct fs_view view;
	struct path p;
	uint32_t generation;
	err_t err = file_get_path(f, &p);
	if (err)
		return err;
	err = vfs_get_generation(&p, &generation);
	if (!err)
		err = set ? copy_from_user(&generation, arg, sizeof(generation))
			  : copy_to_user(arg, &generation, sizeof(generation));
	if (!err && set) {
		fs_view_get(current_user_thread(), &view);
		err = vfs_set_generation(&view.context, &p, generation);
		fs_view_put(&view);
	}
	path_put(&p);
	return err;
}

struct sys_extended_flags {
	uint32_t flags, extent_size, extents, project, cow_extent_size, pad[2];
};
_Static_assert(sizeof(struct sys_extended_flags) == 28, "the ABI's size");

/* The same flags by other numbers. */
static int64_t tell_extended_flags(struct file *f, uaddr_t to)
{
	static const struct {
		uint32_t flag, extended;
	} known[] = {{INODE_IMMUTABLE, 0x8}, {INODE_APPEND, 0x10}, {INODE_SYNC, 0x20}, {INODE_NOATIME, 0x40},
	    {INODE_NODUMP, 0x80}};
	struct sys_extended_flags x = {0};
	struct path p;
	uint32_t flags;
	err_t err = get_flags(f, &p, &flags);
	if (err)
		return err;
	path_put(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		x.flags |= flags & known[i].flag ? known[i].extended : 0;
	return copy_to_user(to, &x, sizeof(x));
}

/* --- requests to let files share blocks: no file system can, but what else is wrong counts first --- */

static err_t check_share(struct file *to, struct file *from)
{
	const struct vnode *a = to->vnode, *b = from->vnode;
	if (!a || !b || a->fs != b->fs)
		return -EXDEV;
	if (vnode_is(a, MODE_DIR) || vnode_is(b, MODE_DIR))
		return -EISDIR;
	if (!vnode_is(a, MODE_REG) || !vnode_is(b, MODE_REG))
		return -EINVAL;
	if (!file_may_read(from) || !file_may_write(to) || (load_relaxed(&to->flags) & FILE_APPEND))
		return -EBADF;
	return -EOPNOTSUPP;
}

static int64_t share_blocks(struct file *to, int32_t from_fd)
{
	struct file *from;
	err_t err = fd_file(from_fd, &from);
	if (err)
		return err;
	err = check_share(to, from);
	file_put(from);
	return err;
}

static int64_t share_range(struct file *to, uaddr_t arg)
{
	struct {
		int64_t from_fd;
		uint64_t from, len, to;
	} range;
	err_t err = copy_from_user(&range, arg, sizeof(range));
	return err ? err : share_blocks(to, (int32_t)range.from_fd);
}

/* Where the contents are the same: what is asked for about each file is not looked at. */
static int64_t share_same(struct file *f, uaddr_t arg)
{
	struct {
		uint64_t from, len;
		uint16_t count, reserved;
		uint32_t reserved_too;
	} head;
	const struct vnode *v = f->vnode;
	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!file_may_read(f) || head.reserved || head.reserved_too)
		return -EINVAL;
	if (v && vnode_is(v, MODE_DIR))
		return -EISDIR;
	return v && vnode_is(v, MODE_REG) ? -EOPNOTSUPP : -EINVAL;
}

/* What every file knows, then what the file itself does. */
static int64_t ioctl_file(int32_t fd, struct file *f, uint32_t request, uaddr_t arg)
{
	switch (request) {
	case FIOCLEX:
	case FIONCLEX:
		return desc_set_cloexec(current_descs(), fd, request == FIOCLEX);
	case FIONBIO:
		return set_nonblock(f, arg);
	case FIOASYNC:
		return set_async(fd, f, arg);
	case FIOQSIZE:
		return tell_size(f, arg);
	case FIGETBSZ:
		return tell_block_size(f, arg);
	case FS_IOC_GETFLAGS:
	case FS_IOC_SETFLAGS:
		return exchange_flags(f, request == FS_IOC_SETFLAGS, arg);
	case FS_IOC_GETVERSION:
	case EXT2_IOC_GETVERSION:
		return exchange_generation(f, false, arg);
	case FS_IOC_SETVERSION:
	case EXT2_IOC_SETVERSION:
		return exchange_generation(f, true, arg);
	case FS_IOC_FSGETXATTR:
		return tell_extended_flags(f, arg);
	case FICLONE:
		return share_blocks(f, (int32_t)arg);
	case FICLONERANGE:
		return share_range(f, arg);
	case FIDEDUPERANGE:
		return share_same(f, arg);
	case FS_IOC_FIEMAP: /* no file system tells where files lie */
		return -EOPNOTSUPP;
	default:
		return file_ioctl(f, request, arg);
	}
}

/* What a request needs of the descriptor. Of those that only files themselves know, nobody here can tell
 * which change something. */
static uint32_t ioctl_rights(uint32_t request)
{
	switch (request) {
	case FIOCLEX:
	case FIONCLEX:
		return 0;
	case FIONREAD:
	case FIOQSIZE:
	case FIGETBSZ:
	case FS_IOC_GETFLAGS:
	case FS_IOC_GETVERSION:
	case EXT2_IOC_GETVERSION:
		return RIGHT_INSPECT;
	default:
		return RIGHT_MANAGE;
	}
}

int64_t sys_ioctl(int32_t fd, uint32_t request, uaddr_t arg)
{
	struct file *f;
	err_t err = fd_file_for(fd, ioctl_rights(request), &f);
	if (err)
		return err;
	int64_t result = ioctl_file(fd, f, request, arg);
	file_put(f);
	return restartable(result);
}

/* --- positions --- */

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
