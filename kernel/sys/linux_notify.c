/* linux_notify.c - inotify. What is watched and told: fs/inotify.c. */
#include "fs/notify.h"
#include "proc/cred.h"
#include "sys/files.h"

enum {
	/* What a mask may have; at least one of them. */
	MASK_KNOWN = NOTIFY_ALL | NOTIFY_UNMOUNT | NOTIFY_OVERFLOW | NOTIFY_IGNORED | NOTIFY_IS_DIR |
		     NOTIFY_ONLYDIR | NOTIFY_DONT_FOLLOW | NOTIFY_EXCL_UNLINK | NOTIFY_MASK_CREATE |
		     NOTIFY_MASK_ADD,
};

int64_t sys_inotify_init1(int32_t flags)
{
	struct file *f;
	if (flags & ~(FILE_CLOEXEC | FILE_NONBLOCK))
		return -EINVAL;
	err_t err = inotify_create(current_cred()->euid, (unsigned)flags, &f);
	return err ? err : fd_install(f, flags & FILE_CLOEXEC);
}

int64_t sys_inotify_init(void)
{
	return sys_inotify_init1(0);
}

/* What is at the name is watched by who may read it. */
static int64_t add_watch(struct file *f, const struct at_call *a, uint32_t mask)
{
	struct path p;
	unsigned walk =
	    (mask & NOTIFY_DONT_FOLLOW ? WALK_NOFOLLOW : 0) | (mask & NOTIFY_ONLYDIR ? WALK_DIRECTORY : 0);
	err_t err = vfs_lookup(a->c, a->base, a->name, walk, &p);
	if (err)
		return err;
	err = vnode_permission(&a->c->cred, path_vnode(&p), MAY_READ);
	int64_t number = err ? err : inotify_add(f, path_vnode(&p), mask);
	path_put(&p);
	return number;
}

static err_t inotify_file_of(int32_t fd, struct file **out)
{
	err_t err = fd_file_for(fd, RIGHT_MANAGE, out);
	if (err || file_is_inotify(*out))
		return err;
	file_put(*out);
	return -EINVAL;
}

int64_t sys_inotify_add_watch(int32_t fd, uaddr_t name, uint32_t mask)
{
	struct at_call a;
	struct file *f;
	uint32_t known = MASK_KNOWN | NOTIFY_ONESHOT;
	if ((mask & ~known) || !(mask & known))
		return -EINVAL;
	err_t err = inotify_file_of(fd, &f);
	if (err)
		return err;
	if ((mask & NOTIFY_MASK_ADD) && (mask & NOTIFY_MASK_CREATE))
		err = -EINVAL;
	if (!err)
		err = at_begin_named(&a, AT_FDCWD, name);
	int64_t number = err;
	if (!err) {
		number = add_watch(f, &a, mask);
		at_end(&a);
	}
	file_put(f);
	return number;
}

int64_t sys_inotify_rm_watch(int32_t fd, int32_t number)
{
	struct file *f;
	err_t err = inotify_file_of(fd, &f);
	if (err)
		return err;
	err = inotify_remove(f, number);
	file_put(f);
	return err;
}
