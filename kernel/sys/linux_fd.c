/* linux_fd.c - descriptors and names of the current process: what files.h offers to all calls. */
#include "arch/mmu.h"
#include "arch/usercopy.h"
#include "fs/memfd.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/process.h"
#include "sys/files.h"

/* --- descriptors --- */

/* Every object that a descriptor names is a file. */
static err_t find_file(int fd, struct file **out, uint32_t *rights)
{
	struct kobject *o;
	err_t err = desc_lookup(current_descs(), fd, &o, rights);
	if (!err)
		*out = container_of(o, struct file, object);
	return err;
}

/* f has been found and belongs to the caller, or to nobody if that is an error: Linux has an errno for
 * what is not open for reading or writing. */
static err_t give_file(struct file *f, uint32_t missing, bool may_be_path, struct file **out)
{
	err_t err = 0;
	if (!may_be_path && (load_relaxed(&f->flags) & FILE_PATH))
		err = -EBADF;
	else if (unlikely(missing))
		err = missing & (RIGHT_READ | RIGHT_WRITE) ? -EBADF : -EACCES;
	if (err)
		file_put(f);
	else
		*out = f;
	return err;
}

err_t fd_file_any_for(int fd, uint32_t rights, struct file **out)
{
	struct file *f;
	uint32_t has;
	err_t err = find_file(fd, &f, &has);
	return err ? err : give_file(f, rights & ~has, true, out);
}

err_t fd_file_any(int fd, struct file **out)
{
	return find_file(fd, out, NULL);
}

err_t fd_file_rights(int fd, struct file **out, uint32_t *rights)
{
	struct file *f;
	err_t err = find_file(fd, &f, rights);
	return err ? err : give_file(f, 0, false, out);
}

err_t fd_file_for(int fd, uint32_t rights, struct file **out)
{
	struct file *f;
	uint32_t has;
	err_t err = find_file(fd, &f, &has);
	return err ? err : give_file(f, rights & ~has, false, out);
}

err_t fd_file(int fd, struct file **out)
{
	return fd_file_for(fd, 0, out);
}

enum kobject_type fd_object_type(const struct file *f)
{
	return f->ops->type == KO_FILE && memfd_is(f) ? KO_VMO : f->ops->type;
}

err_t fd_rights_of(int fd, const struct file *f, uint32_t *rights)
{
	struct kobject *found;
	err_t err = desc_lookup(current_descs(), fd, &found, rights);
	if (err)
		return err;
	kobject_put(found);
	return found == &f->object ? 0 : -EBADF;
}

err_t fd_object(int fd, enum kobject_type type, uint32_t rights, struct file **out)
{
	struct file *f;
	uint32_t has;
	err_t err = find_file(fd, &f, &has);
	if (err)
		return err;
	if (load_relaxed(&f->flags) & FILE_PATH)
		err = -EBADF;
	else if (type != f->ops->type && type != KO_TYPES && type != fd_object_type(f))
		err = -EINVAL;
	else if (rights & ~has)
		err = -EACCES;
	if (unlikely(err)) {
		file_put(f);
		return err;
	}
	*out = f;
	return 0;
}

int fd_limit(void)
{
	uint64_t limit = current_limit(RLIMIT_NOFILE);
	return (int)MIN(limit, (uint64_t)DESC_LIMIT_MAX);
}

int64_t fd_install_rights(struct file *f, uint32_t rights, bool cloexec)
{
	int fd = desc_install(current_descs(), &f->object, rights, cloexec, 0, fd_limit());
	file_put(f);
	return fd;
}

int64_t fd_install(struct file *f, bool cloexec)
{
	return fd_install_rights(f, file_rights(load_relaxed(&f->flags)), cloexec);
}

/* --- names --- */

err_t path_fetch(uaddr_t from, char **out)
{
	char *path = kmalloc(PATH_LEN_MAX);
	if (!path)
		return -ENOMEM;
	int64_t len = copy_string_from_user(path, from, PATH_LEN_MAX);
	if (len < 0) {
		kfree(path);
		return (err_t)len;
	}
	*out = path;
	return 0;
}

void path_free(char *path)
{
	kfree(path);
}

/* Where relative names start. An empty name may start at any file; whether it may be empty is for the walk to
 * say. What is done with the file itself is not known here, so that takes all rights that have to do with
 * files as a whole. */
static err_t find_start(struct at_call *a, int dirfd, int flags)
{
	struct file *f;
	uint32_t rights = a->name[0] ? RIGHT_EXEC : RIGHT_EXEC | RIGHT_INSPECT | RIGHT_MANAGE;
	if ((a->name[0] == '/' && !(flags & AT_IN_ROOT)) || dirfd == AT_FDCWD)
		return 0;
	err_t err = fd_file_any_for(dirfd, rights, &f);
	if (err)
		return err;
	err = !a->name[0] || vnode_is(f->vnode, MODE_DIR) ? file_get_path(f, &a->start) : -ENOTDIR;
	file_put(f);
	if (err)
		return err;
	a->has_start = true;
	a->base = &a->start;
	return 0;
}

err_t at_begin_flags(struct at_call *a, int dirfd, uaddr_t name, int flags)
{
	char *text = NULL;
	err_t err = path_fetch(name, &text);
	return err ? err : at_begin_name(a, dirfd, text, flags);
}

err_t at_begin_name(struct at_call *a, int dirfd, char *name, int flags)
{
	a->has_start = false;
	a->base = NULL;
	a->c = &a->view.context;
	a->name = name;
	err_t err = *name || (flags & AT_EMPTY_PATH) ? find_start(a, dirfd, flags) : -ENOENT;
	if (err)
		path_free(a->name);
	else
		fs_view_get(current_user_thread(), &a->view);
	return err;
}

err_t at_begin(struct at_call *a, int dirfd, uaddr_t name)
{
	return at_begin_flags(a, dirfd, name, AT_EMPTY_PATH);
}

err_t at_begin_named(struct at_call *a, int dirfd, uaddr_t name)
{
	return at_begin_flags(a, dirfd, name, 0);
}

void at_end(struct at_call *a)
{
	fs_view_put(&a->view);
	if (a->has_start)
		path_put(&a->start);
	path_free(a->name);
}

err_t at_lookup(const struct at_call *a, int flags, struct path *out)
{
	unsigned walk =
	    (flags & AT_SYMLINK_NOFOLLOW ? WALK_NOFOLLOW : 0) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
	return vfs_lookup(a->c, a->base, a->name, walk, out);
}

err_t at_begin_path(struct at_call *a, int dirfd, uaddr_t name, int flags, struct path *out)
{
	err_t err = at_begin_flags(a, dirfd, name, flags);
	if (err)
		return err;
	err = at_lookup(a, flags, out);
	if (err)
		at_end(a);
	return err;
}

void at_end_path(struct at_call *a, const struct path *p)
{
	path_put(p);
	at_end(a);
}

static err_t fd_set_up(struct fd_call *f)
{
	err_t err = file_get_path(f->file, &f->path);
	if (err) {
		file_put(f->file);
		return err;
	}
	f->c = &f->view.context;
	fs_view_get(current_user_thread(), &f->view);
	return 0;
}

err_t fd_begin_for(struct fd_call *f, int fd, uint32_t rights)
{
	err_t err = fd_file_for(fd, rights, &f->file);
	return err ? err : fd_set_up(f);
}

err_t fd_begin_any(struct fd_call *f, int fd, uint32_t rights)
{
	err_t err = fd_file_any_for(fd, rights, &f->file);
	return err ? err : fd_set_up(f);
}

void fd_end(struct fd_call *f)
{
	fs_view_put(&f->view);
	path_put(&f->path);
	file_put(f->file);
}

/* --- bytes --- */

bool user_range_is_valid(uaddr_t at, uint64_t len)
{
	return len <= USER_END && at <= USER_END - len;
}

err_t iov_fetch(
    uaddr_t iov, uint64_t count, struct uio_segment *few, struct uio_segment **segs, struct uio *u)
{
	struct uio_segment *s = few;
	if (count > UIO_MAX_SEGMENTS)
		return -EINVAL;
	if (count > UIO_FEW)
		s = kmalloc(count * sizeof(*s));
	if (!s)
		return -ENOMEM;
	err_t err = copy_from_user(s, iov, count * sizeof(*s));
	for (uint64_t i = 0; i < count && !err; i++) {
		if (s[i].len > INT64_MAX)
			err = -EINVAL;
		else if (!user_range_is_valid(s[i].base, s[i].len))
			err = -EFAULT;
	}
	if (err) {
		if (s != few)
			kfree(s);
		return err;
	}
	*segs = s;
	uio_init_user(u, s, (unsigned)count);
	return 0;
}

void io_prepare_write(struct uio *u)
{
	current_write_rights(&u->limit, &u->keep_suid);
}

int64_t io_finish(struct uio *u, int64_t done)
{
	if (done == -EPIPE)
		signal_raise(SIGNAL_PIPE);
	else if (done == -EFBIG && u->limit_hit)
		signal_raise(SIGNAL_XFSZ);
	return restartable(done);
}
