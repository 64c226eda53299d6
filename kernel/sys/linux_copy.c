/* linux_copy.c - bytes from file to file: sendfile, copy_file_range, splice, tee, vmsplice. */
#include "fs/notify.h"
#include "fs/splice.h"
#include "mm/slab.h"
#include "sys/files.h"

enum splice_flags { /* the ABI's SPLICE_F_* */
	SPLICE_F_MOVE = 1,
	SPLICE_F_NONBLOCK = 2,
	SPLICE_F_MORE = 4,
	SPLICE_F_GIFT = 8,
	SPLICE_F_ALL = 15,
};

/* One file of a call, and where in it. */
struct copy_end {
	struct file *file; /* counted */
	uaddr_t offset_at; /* 0: the file's own position counts, and moves */
	uint64_t pos;
};

static bool is_stream(const struct file *f)
{
	return load_relaxed(&f->flags) & FILE_STREAM;
}

static bool is_nonblock(const struct file *f)
{
	return load_relaxed(&f->flags) & FILE_NONBLOCK;
}

static err_t ends_get(struct copy_end *in, int32_t in_fd, struct copy_end *out, int32_t out_fd)
{
	err_t err = fd_file_for(in_fd, RIGHT_READ, &in->file);
	if (err)
		return err;
	err = fd_file_for(out_fd, RIGHT_WRITE, &out->file);
	if (err)
		file_put(in->file);
	return err;
}

static void ends_put(const struct copy_end *in, const struct copy_end *out)
{
	file_put(in->file);
	file_put(out->file);
}

/* Where it starts: what the caller says, or the file's position. */
static err_t end_fetch(struct copy_end *e)
{
	if (e->offset_at)
		return copy_from_user(&e->pos, e->offset_at, sizeof(e->pos));
	mutex_lock(&e->file->lock);
	e->pos = e->file->pos;
	mutex_unlock(&e->file->lock);
	return 0;
}

/* Where it ended. */
static err_t end_store(const struct copy_end *e)
{
	if (e->offset_at)
		return copy_to_user(e->offset_at, &e->pos, sizeof(e->pos));
	if (is_stream(e->file))
		return 0;
	mutex_lock(&e->file->lock);
	e->file->pos = e->pos;
	mutex_unlock(&e->file->lock);
	return 0;
}

/* Is [pos, pos + len) a range that a file can have? */
static err_t check_area(uint64_t pos, uint64_t len)
{
	return len > INT64_MAX || pos > INT64_MAX || pos + len > INT64_MAX ? -EINVAL : 0;
}

static err_t check_ways(const struct copy_end *in, const struct copy_end *out)
{
	return file_may_read(in->file) && file_may_write(out->file) ? 0 : -EBADF;
}

static bool can_splice(const struct file *f, unsigned how)
{
	return f->ops->splice & how;
}

/* Who watches the files learns of it, if anything was moved. */
static int64_t was_copied(const struct copy_end *in, const struct copy_end *out, int64_t n)
{
	if (n > 0) {
		notify_file(in->file, NOTIFY_ACCESS);
		notify_file(out->file, NOTIFY_MODIFY);
	}
	return n;
}

/* --- sendfile --- */

static int64_t send_to_pipe(struct copy_end *in, struct copy_end *out, uint64_t count)
{
	if (!can_splice(in->file, SPLICE_READ))
		return -EINVAL;
	return splice_to_pipe(in->file, &in->pos, out->file, count, is_nonblock(out->file));
}

static int64_t send_to_file(struct copy_end *in, struct copy_end *out, uint64_t count, struct uio *how)
{
	if (is_stream(in->file) || !in->file->ops->seek || (load_relaxed(&out->file->flags) & FILE_APPEND))
		return -EINVAL;
	if (!count)
		return 0;
	if (!can_splice(in->file, SPLICE_READ) || !can_splice(out->file, SPLICE_WRITE))
		return -EINVAL;
	return splice_files(in->file, &in->pos, out->file, &out->pos, count, how);
}

static int64_t send(struct copy_end *in, struct copy_end *out, uint64_t count)
{
	struct uio how = {.limit = UINT64_MAX};
	if (!file_may_read(in->file))
		return -EBADF;
	if (in->offset_at && is_stream(in->file))
		return -ESPIPE;
	err_t err = check_area(in->pos, count);
	if (!err && !file_may_write(out->file))
		err = -EBADF;
	if (!err)
		err = end_fetch(out);
	if (!err && !file_is_pipe(out->file))
		err = check_area(out->pos, MIN(count, (uint64_t)UIO_MAX_BYTES));
	if (err)
		return err;
	count = MIN(count, (uint64_t)UIO_MAX_BYTES);
	io_prepare_write(&how);
	int64_t done =
	    file_is_pipe(out->file) ? send_to_pipe(in, out, count) : send_to_file(in, out, count, &how);
	file_count_copy(done);
	if (done > 0 && !in->offset_at)
		err = end_store(in);
	if (done > 0 && !err && !file_is_pipe(out->file))
		err = end_store(out);
	return err ? err : io_finish(&how, done);
}

int64_t sys_sendfile(int32_t out_fd, int32_t in_fd, uaddr_t offset, uint64_t count)
{
	struct copy_end in = {.offset_at = offset}, out = {.offset_at = 0};
	uint64_t pos = 0;
	if (offset && copy_from_user(&pos, offset, sizeof(pos)))
		return -EFAULT;
	err_t err = fd_file_for(in_fd, RIGHT_READ, &in.file);
	if (err)
		return err;
	err = fd_file_for(out_fd, RIGHT_WRITE, &out.file);
	if (err) {
		file_put(in.file);
		return err;
	}
	in.pos = pos;
	if (!offset) {
		mutex_lock(&in.file->lock);
		in.pos = in.file->pos;
		mutex_unlock(&in.file->lock);
	}
	int64_t done = was_copied(&in, &out, send(&in, &out, count));
	ends_put(&in, &out);
	if (offset && copy_to_user(offset, &in.pos, sizeof(in.pos)))
		return -EFAULT;
	return done;
}

/* --- copy_file_range --- */

static err_t check_copy_files(const struct file *in, const struct file *out)
{
	if (file_type(in) == MODE_DIR || file_type(out) == MODE_DIR)
		return -EISDIR;
	if (file_type(in) != MODE_REG || file_type(out) != MODE_REG)
		return -EINVAL;
	if (!file_may_read(in) || !file_may_write(out) || (load_relaxed(&out->flags) & FILE_APPEND))
		return -EBADF;
	return in->vnode->fs != out->vnode->fs ? -EXDEV : 0;
}

/* How much of it can be copied. */
static err_t check_copy_range(
    const struct copy_end *in, const struct copy_end *out, uint64_t *len, struct uio *how)
{
	struct vfs_stat st;
	if (in->pos + *len < in->pos || out->pos + *len < out->pos)
		return -EOVERFLOW;
	file_stat(in->file, &st);
	uint64_t end = MIN(how->limit, out->file->vnode->fs->max_size);
	if ((int64_t)in->pos >= (int64_t)st.size)
		*len = 0;
	else
		*len = MIN(*len, st.size - in->pos);
	if ((int64_t)out->pos >= 0 && out->pos >= end) {
		how->limit_hit = out->pos >= how->limit;
		return -EFBIG;
	}
	*len = MIN(*len, end - out->pos);
	if (in->file->vnode == out->file->vnode && (int64_t)(out->pos + *len) > (int64_t)in->pos &&
	    (int64_t)out->pos < (int64_t)(in->pos + *len))
		return -EINVAL;
	err_t err = check_area(in->pos, *len);
	return err ? err : check_area(out->pos, *len);
}

static int64_t copy_range(struct copy_end *in, struct copy_end *out, uint64_t len, uint32_t flags)
{
	struct uio how = {.limit = UINT64_MAX};
	err_t err = end_fetch(in) ? -EFAULT : end_fetch(out);
	if (err)
		return err;
	if (flags)
		return -EINVAL;
	err = check_copy_files(in->file, out->file);
	if (err)
		return err;
	io_prepare_write(&how);
	int64_t done = check_copy_range(in, out, &len, &how);
	len = MIN(len, (uint64_t)UIO_MAX_BYTES);
	if (!done && len)
		done = can_splice(in->file, SPLICE_READ) && can_splice(out->file, SPLICE_WRITE)
			   ? splice_files(in->file, &in->pos, out->file, &out->pos, len, &how)
			   : -EINVAL;
	file_count_copy(done);
	if (done > 0)
		err = end_store(in) ? -EFAULT : end_store(out);
	return err ? err : io_finish(&how, done);
}

int64_t sys_copy_file_range(
    int32_t in_fd, uaddr_t in_offset, int32_t out_fd, uaddr_t out_offset, uint64_t len, uint32_t flags)
{
	struct copy_end in = {.offset_at = in_offset}, out = {.offset_at = out_offset};
	err_t err = ends_get(&in, in_fd, &out, out_fd);
	if (err)
		return err;
	int64_t done = was_copied(&in, &out, copy_range(&in, &out, len, flags));
	ends_put(&in, &out);
	return done;
}

/* --- splice --- */

/* The offset of a call is told to the caller in any case but failure. */
static int64_t splice_end(struct copy_end *e, struct uio *how, int64_t done)
{
	if (done > 0 || (done == 0 && e->offset_at)) {
		err_t err = end_store(e);
		if (err)
			return err;
	}
	return io_finish(how, done);
}

static int64_t splice_out(struct copy_end *in, struct copy_end *out, uint64_t len, bool nonblock)
{
	struct uio how = {.limit = UINT64_MAX};
	if (out->offset_at && is_stream(out->file))
		return -EINVAL;
	if (load_relaxed(&out->file->flags) & FILE_APPEND)
		return -EINVAL;
	err_t err = check_area(out->pos, len);
	if (!err && !can_splice(out->file, SPLICE_WRITE))
		err = -EINVAL;
	if (err)
		return err;
	io_prepare_write(&how);
	len = MIN(len, (uint64_t)UIO_MAX_BYTES);
	int64_t done =
	    splice_from_pipe(in->file, out->file, &out->pos, len, nonblock || is_nonblock(in->file), &how);
	return splice_end(out, &how, done);
}

static int64_t splice_in(struct copy_end *in, struct copy_end *out, uint64_t len, bool nonblock)
{
	struct uio how = {.limit = UINT64_MAX};
	if (in->offset_at && is_stream(in->file))
		return -EINVAL;
	err_t err = check_area(in->pos, len);
	if (err)
		return err;
	len = MIN(len, (uint64_t)UIO_MAX_BYTES);
	nonblock = nonblock || is_nonblock(out->file);
	int64_t done;
	if (can_splice(in->file, SPLICE_READ))
		done = splice_to_pipe(in->file, &in->pos, out->file, len, nonblock);
	else
		done = -EINVAL;
	return splice_end(in, &how, done);
}

static int64_t splice_any(struct copy_end *in, struct copy_end *out, uint64_t len, uint32_t flags)
{
	struct uio how = {.limit = UINT64_MAX};
	bool from_pipe = file_is_pipe(in->file), to_pipe = file_is_pipe(out->file);
	bool nonblock = flags & SPLICE_F_NONBLOCK;
	if ((from_pipe && in->offset_at) || (to_pipe && out->offset_at))
		return -ESPIPE;
	err_t err = end_fetch(out) ? -EFAULT : end_fetch(in);
	if (!err)
		err = check_ways(in, out);
	if (err)
		return err;
	if (from_pipe && to_pipe) {
		if (pipes_are_same(in->file, out->file))
			return -EINVAL;
		nonblock = nonblock || is_nonblock(in->file) || is_nonblock(out->file);
		return io_finish(&how, splice_pipes(in->file, out->file, len, nonblock, false));
	}
	return from_pipe ? splice_out(in, out, len, nonblock)
	       : to_pipe ? splice_in(in, out, len, nonblock)
			 : -EINVAL;
}

int64_t sys_splice(
    int32_t in_fd, uaddr_t in_offset, int32_t out_fd, uaddr_t out_offset, uint64_t len, uint32_t flags)
{
	struct copy_end in = {.offset_at = in_offset}, out = {.offset_at = out_offset};
	if (!len)
		return 0;
	if (flags & ~(uint32_t)SPLICE_F_ALL)
		return -EINVAL;
	err_t err = ends_get(&in, in_fd, &out, out_fd);
	if (err)
		return err;
	int64_t done = was_copied(&in, &out, splice_any(&in, &out, len, flags));
	ends_put(&in, &out);
	return done;
}

static int64_t tee_any(struct copy_end *in, struct copy_end *out, uint64_t len, uint32_t flags)
{
	struct uio how = {.limit = UINT64_MAX};
	err_t err = check_ways(in, out);
	if (err)
		return err;
	if (!file_is_pipe(in->file) || !file_is_pipe(out->file) || pipes_are_same(in->file, out->file))
		return -EINVAL;
	bool nonblock = (flags & SPLICE_F_NONBLOCK) || is_nonblock(in->file) || is_nonblock(out->file);
	return io_finish(&how, splice_pipes(in->file, out->file, len, nonblock, true));
}

int64_t sys_tee(int32_t in_fd, int32_t out_fd, uint64_t len, uint32_t flags)
{
	struct copy_end in = {.offset_at = 0}, out = {.offset_at = 0};
	if (flags & ~(uint32_t)SPLICE_F_ALL)
		return -EINVAL;
	if (!len)
		return 0;
	err_t err = ends_get(&in, in_fd, &out, out_fd);
	if (err)
		return err;
	int64_t done = was_copied(&in, &out, tee_any(&in, &out, len, flags));
	ends_put(&in, &out);
	return done;
}

int64_t sys_vmsplice(int32_t fd, uaddr_t iov, uint64_t count, uint32_t flags)
{
	struct uio_segment few[UIO_FEW], *segs;
	struct file *f;
	struct uio u;
	uint32_t rights;
	if (flags & ~(uint32_t)SPLICE_F_ALL)
		return -EINVAL;
	err_t err = fd_file_rights(fd, &f, &rights);
	if (err)
		return err;
	bool fills = rights & RIGHT_WRITE;
	int64_t done = fills || (rights & RIGHT_READ) ? iov_fetch(iov, count, few, &segs, &u) : -EBADF;
	if (!done) {
		bool nonblock = flags & SPLICE_F_NONBLOCK;
		if (u.left && !file_is_pipe(f))
			done = -EBADF;
		else if (u.left)
			done = fills ? splice_user_to_pipe(&u, f, nonblock)
				     : splice_pipe_to_user(f, &u, nonblock);
		if (done > 0)
			notify_file(f, fills ? NOTIFY_MODIFY : NOTIFY_ACCESS);
		done = io_finish(&u, done);
		if (segs != few)
			kfree(segs);
	}
	file_put(f);
	return done;
}
