/*
 * file.c - open files: life, positions, and the entry points of system calls, which check how a file was
 * opened and then ask its operations.
 */
#include "arch/usercopy.h"
#include "fs/async.h"
#include "fs/flock.h"
#include "fs/mount.h"
#include "fs/notify.h"
#include "kern/thread.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { REQUEST_FIONREAD = 0x541b }; /* the ABI's */

static struct slab_cache *file_cache;
static struct spinlock files_lock = SPINLOCK_INIT("files", RANK_VNODES);
static struct list files = LIST_INIT(files); /* files_lock */
static uint64_t nfiles;                      /* files_lock */

void file_init_cache(void)
{
	file_cache = slab_cache_create("file", sizeof(struct file), 0);
	ASSERT(file_cache);
}

static err_t file_no_descriptors(struct kobject *o)
{
	struct file *f = container_of(o, struct file, object);
	return f->ops->flush ? f->ops->flush(f) : 0;
}

static void file_desc_closed(struct kobject *o, struct desc_table *t)
{
	struct file *f = container_of(o, struct file, object);
	if (!(load_relaxed(&f->flags) & FILE_PATH))
		lock_close_owner(f, t);
	if (f->ops->desc_closed)
		f->ops->desc_closed(f, t);
}

static void file_destroy(struct kobject *o)
{
	struct file *f = container_of(o, struct file, object);
	if (load_relaxed(&f->flags) & FILE_ASYNC)
		file_set_async(f, -1, false);
	if (load_relaxed(&f->flags) & FILE_TOLD)
		notify_file(f, file_may_write(f) ? NOTIFY_CLOSE_WRITE : NOTIFY_CLOSE_NOWRITE);
	lock_release_file(f);
	if (f->ops->release)
		f->ops->release(f);
	if (load_relaxed(&f->flags) & FILE_WRITER)
		fetch_sub_acq_rel(&f->vnode->writers, 1);
	spin_lock(&files_lock);
	list_remove(&f->link);
	nfiles--;
	spin_unlock(&files_lock);
	if (f->vnode)
		vnode_put(f->vnode);
	if (f->dentry)
		dentry_put(f->dentry);
	if (f->mount)
		mount_put(f->mount);
	slab_free(file_cache, f);
}

static const struct kobject_ops file_object_ops = {
    .type = KO_FILE,
    .name = "file",
    .on_desc_closed = file_desc_closed,
    .on_no_descriptors = file_no_descriptors,
    .destroy = file_destroy,
};

err_t file_create(const struct file_ops *ops, unsigned flags, struct file **out)
{
	struct file *f = slab_zalloc(file_cache);
	if (!f)
		return -ENOMEM;
	kobject_init(&f->object, &file_object_ops, SIGNAL_READABLE | SIGNAL_WRITABLE);
	f->ops = ops;
	store_relaxed(&f->flags, flags);
	mutex_init(&f->lock, "file", RANK_FILE);
	list_init(&f->async.link);
	spin_lock(&files_lock);
	list_push_back(&files, &f->link);
	nfiles++;
	spin_unlock(&files_lock);
	*out = f;
	return 0;
}

uint64_t file_count(void)
{
	spin_lock(&files_lock);
	uint64_t n = nfiles;
	spin_unlock(&files_lock);
	return n;
}

void file_for_each(void (*fn)(struct file *f, void *arg), void *arg)
{
	spin_lock(&files_lock);
	list_for_each (it, &files)
		fn(list_entry(it, struct file, link), arg);
	spin_unlock(&files_lock);
}

uint64_t file_signals(struct file *f)
{
	if (f->ops->refresh)
		f->ops->refresh(f);
	return kobject_signals(&f->object);
}

uint32_t file_rights(unsigned flags)
{
	static const uint32_t by_mode[] = {RIGHT_READ, RIGHT_WRITE, RIGHT_READ | RIGHT_WRITE, 0};
	uint32_t common = RIGHT_DUPLICATE | RIGHT_TRANSFER | RIGHT_INSPECT | RIGHT_MANAGE | RIGHT_EXEC;
	uint32_t open = RIGHT_MAP | RIGHT_WAIT | RIGHT_SIGNAL;
	return flags & FILE_PATH ? common : common | open | by_mode[flags & FILE_ACCMODE];
}

static bool is_stream(const struct file *f)
{
	return load_relaxed(&f->flags) & FILE_STREAM;
}

static bool is_type(const struct file *f, unsigned type)
{
	return file_type(f) == type;
}

/* --- bytes --- */

static err_t check_read(const struct file *f)
{
	if (!file_may_read(f))
		return -EBADF;
	return f->ops->read ? 0 : is_type(f, MODE_DIR) ? -EISDIR : -EINVAL;
}

static err_t check_write(const struct file *f)
{
	if (!file_may_write(f))
		return -EBADF;
	return f->ops->write ? 0 : -EINVAL;
}

static void count_read(int64_t done)
{
	thread_count_io(IO_CALLS_READ, 1);
	if (done > 0)
		thread_count_io(IO_CHARS_READ, (uint64_t)done);
}

static void count_write(int64_t done)
{
	thread_count_io(IO_CALLS_WRITE, 1);
	if (done > 0)
		thread_count_io(IO_CHARS_WRITTEN, (uint64_t)done);
}

void file_count_copy(int64_t done)
{
	count_read(done);
	count_write(done);
}

static int64_t at_position(
    struct file *f, struct uio *u, int64_t (*op)(struct file *, struct uio *, uint64_t *))
{
	if (is_stream(f))
		return op(f, u, NULL);
	mutex_lock(&f->lock);
	int64_t n = op(f, u, &f->pos);
	mutex_unlock(&f->lock);
	return n;
}

/* The call is counted, and who watches the file learns of it, if anything was moved. */
static int64_t was_read(struct file *f, int64_t n)
{
	count_read(n);
	if (n > 0)
		notify_file(f, NOTIFY_ACCESS);
	return n;
}

static int64_t was_written(struct file *f, int64_t n)
{
	count_write(n);
	if (n > 0)
		notify_file(f, NOTIFY_MODIFY);
	return n;
}

int64_t file_read(struct file *f, struct uio *u)
{
	err_t err = check_read(f);
	return err ? err : was_read(f, at_position(f, u, f->ops->read));
}

int64_t file_write(struct file *f, struct uio *u)
{
	err_t err = check_write(f);
	return err ? err : was_written(f, at_position(f, u, f->ops->write));
}

static err_t check_offset(const struct file *f, int64_t pos)
{
	if (pos < 0)
		return -EINVAL;
	return is_stream(f) ? -ESPIPE : 0;
}

int64_t file_pread(struct file *f, struct uio *u, int64_t pos)
{
	uint64_t at = (uint64_t)pos;
	err_t err = check_offset(f, pos);
	if (!err)
		err = check_read(f);
	return err ? err : was_read(f, f->ops->read(f, u, &at));
}

int64_t file_pwrite(struct file *f, struct uio *u, int64_t pos)
{
	uint64_t at = (uint64_t)pos;
	err_t err = check_offset(f, pos);
	if (!err)
		err = check_write(f);
	return err ? err : was_written(f, f->ops->write(f, u, &at));
}

err_t file_read_all(struct file *f, void *buf, size_t len, uint64_t pos)
{
	struct uio_segment seg;
	struct uio u;
	if (pos > INT64_MAX)
		return -EINVAL;
	uio_init_kernel(&u, &seg, buf, len);
	while (u.left) {
		int64_t n = file_pread(f, &u, (int64_t)pos);
		if (n <= 0)
			return n ? (err_t)n : -EIO;
		pos += (uint64_t)n;
	}
	return 0;
}

/* --- position --- */

int64_t file_seek(struct file *f, int64_t offset, int whence)
{
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	if (!f->ops->seek)
		return -ESPIPE;
	mutex_lock(&f->lock);
	int64_t pos = f->ops->seek(f, offset, whence);
	if (pos >= 0)
		f->pos = (uint64_t)pos;
	mutex_unlock(&f->lock);
	return pos;
}

int64_t file_seek_nowhere(UNUSED struct file *f, UNUSED int64_t offset, UNUSED int whence)
{
	return 0;
}

/* --- directories --- */

struct dir_reader {
	struct file *file;
	dir_emit *emit;
	void *ctx;
	bool stopped, any;
};

static bool emit_entry(
    void *arg, const char *name, size_t len, uint64_t ino, unsigned type, uint64_t next_pos)
{
	struct dir_reader *r = arg;
	if (!r->emit(r->ctx, name, len, ino, type, next_pos)) {
		r->stopped = true;
		return false;
	}
	r->file->pos = next_pos;
	r->any = true;
	return true;
}

/* Number of the directory above, over mounts. */
static uint64_t parent_ino(const struct file *f)
{
	struct path p = file_path(f);
	path_get(&p);
	while (p.dentry == p.mount->root && mount_cross_up(&p))
		;
	struct dentry *parent = dentry_parent(p.dentry);
	uint64_t ino = parent ? dentry_vnode(parent)->ino : path_vnode(&p)->ino;
	if (parent)
		dentry_put(parent);
	path_put(&p);
	return ino;
}

/* "." and "..", as far as they are due. */
static void read_dots(struct dir_reader *r)
{
	struct file *f = r->file;
	if (f->pos == 0)
		emit_entry(r, ".", 1, f->vnode->ino, MODE_DIR, 1);
	if (f->pos == 1 && !r->stopped)
		emit_entry(r, "..", 2, parent_ino(f), MODE_DIR, DIR_POS_FIRST);
}

static err_t read_entries(struct dir_reader *r)
{
	struct file *f = r->file;
	struct vnode *v = f->vnode;
	err_t err = 0;
	if (f->ops->readdir) {
		read_dots(r);
		return r->stopped ? 0 : f->ops->readdir(f, emit_entry, r);
	}
	rwlock_read(&v->lock);
	if (v->dead)
		err = -ENOENT;
	else
		read_dots(r);
	if (!err && !r->stopped)
		err = v->ops->readdir(v, f->pos, emit_entry, r);
	rwlock_read_unlock(&v->lock);
	return err;
}

err_t file_readdir(struct file *f, dir_emit *emit, void *ctx)
{
	struct dir_reader r = {.file = f, .emit = emit, .ctx = ctx};
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	if (!is_type(f, MODE_DIR) || (!f->ops->readdir && !f->vnode->ops->readdir))
		return -ENOTDIR;
	mutex_lock(&f->lock);
	err_t err = read_entries(&r);
	mutex_unlock(&f->lock);
	if (err != -ENOENT || r.any) /* not of one that was removed */
		notify_file(f, NOTIFY_ACCESS);
	if (r.any)
		file_touch_atime(f->mount, f->vnode);
	return r.any ? 0 : err;
}

/* Positions of a directory are what it gave out; the end has none. */
static int64_t dir_seek(struct file *f, int64_t offset, int whence)
{
	if (whence == FILE_SEEK_CUR && !__builtin_add_overflow(offset, (int64_t)f->pos, &offset) &&
	    offset >= 0)
		return offset;
	return whence == FILE_SEEK_SET && offset >= 0 ? offset : -EINVAL;
}

static err_t vnode_sync(struct file *f, bool data_only)
{
	struct vnode *v = f->vnode;
	return v->ops->sync ? v->ops->sync(v, data_only) : 0;
}

const struct file_ops directory_file_ops = {.seek = dir_seek, .sync = vnode_sync};
const struct file_ops path_file_ops = {.seek = NULL};

/* --- the rest --- */

err_t file_mmap(
    struct file *f, uint64_t offset, uint64_t len, unsigned prot, unsigned map_flags, struct vm_object **out)
{
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	if (!f->ops->mmap)
		return -ENODEV;
	return f->ops->mmap(f, offset, len, prot, map_flags, out);
}

int64_t file_ioctl(struct file *f, uint32_t request, uint64_t arg)
{
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	if (f->ops->ioctl)
		return f->ops->ioctl(f, request, arg);
	if (request != REQUEST_FIONREAD || !is_type(f, MODE_REG))
		return -ENOTTY;
	rwlock_read(&f->vnode->lock);
	int32_t left = (int32_t)(f->vnode->size - f->pos);
	rwlock_read_unlock(&f->vnode->lock);
	return copy_to_user(arg, &left, sizeof(left));
}

int64_t file_control(struct file *f, int command, uint64_t arg, bool privileged)
{
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	return f->ops->control ? f->ops->control(f, command, arg, privileged) : -EINVAL;
}

err_t file_sync(struct file *f, bool data_only)
{
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	if (!f->ops->sync)
		return -EINVAL;
	err_t err = f->ops->sync(f, data_only);
	uint64_t seen = load_relaxed(&f->write_error_seen);
	err_t noted = vnode_check_error(f->vnode, &seen);
	store_relaxed(&f->write_error_seen, seen);
	return err ? err : noted;
}

err_t file_set_flags(struct file *f, unsigned flags)
{
	uint32_t old = load_relaxed(&f->flags);
	if (old & FILE_PATH)
		return -EBADF;
	while (!cas_acq_rel(&f->flags, &old, (old & ~(uint32_t)FILE_SETTABLE) | (flags & FILE_SETTABLE)))
		;
	return 0;
}

void file_stat(struct file *f, struct vfs_stat *st)
{
	if (f->dentry) {
		struct path p = file_path(f);
		vfs_stat_path(&p, st);
		return;
	}
	vfs_stat_vnode(f->vnode, st);
	st->mount_id = f->vnode->fs->internal->id;
}

int64_t file_describe(struct file *f, const struct path *root, char *buf, size_t size)
{
	int n;
	if (f->dentry) {
		struct path p = file_path(f);
		return path_to_text(&p, root, PATH_FD, buf, size);
	}
	if (strchr(f->kind, ':'))
		n = format(buf, size, "%s", f->kind);
	else
		n = format(buf, size, "%s:[%llu]", f->kind, (unsigned long long)f->vnode->ino);
	return (size_t)n < size ? n : -ENAMETOOLONG;
}
