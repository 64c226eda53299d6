/* linux_place.c - where a process stands: working directory, root, umask. */
#include "mm/slab.h"
#include "proc/cred.h"
#include "sys/files.h"

/* Find a directory that the process may enter. */
static err_t find_directory(struct at_call *a, uaddr_t name, struct path *p)
{
	err_t err = at_begin_path(a, AT_FDCWD, name, 0, p);
	if (err)
		return err;
	err = vfs_may_enter(a->c, p);
	if (err)
		at_end_path(a, p);
	return err;
}

int64_t sys_chdir(uaddr_t name)
{
	struct at_call a;
	struct path p;
	err_t err = find_directory(&a, name, &p);
	if (err)
		return err;
	place_set_cwd(current_place(), &p);
	at_end_path(&a, &p);
	return 0;
}

int64_t sys_fchdir(int32_t fd)
{
	struct fd_call f;
	err_t err = fd_begin_any(&f, fd, RIGHT_EXEC);
	if (err)
		return err;
	err = vfs_may_enter(f.c, &f.path);
	if (!err)
		place_set_cwd(current_place(), &f.path);
	fd_end(&f);
	return err;
}

int64_t sys_chroot(uaddr_t name)
{
	struct at_call a;
	struct path p;
	err_t err = find_directory(&a, name, &p);
	if (err)
		return err;
	if (current_can(CAP_SYS_CHROOT))
		place_set_root(current_place(), &p);
	else
		err = -EPERM;
	at_end_path(&a, &p);
	return err;
}

int64_t sys_getcwd(uaddr_t buf, uint64_t size)
{
	struct fs_view view;
	char *text = kmalloc(PATH_LEN_MAX);
	if (!text)
		return -ENOMEM;
	fs_view_get(current_user_thread(), &view);
	int64_t len = path_to_text(&view.context.cwd, &view.context.root, PATH_CWD, text, PATH_LEN_MAX);
	fs_view_put(&view);
	if (len == -ERANGE)
		len = -ENAMETOOLONG;
	else if (len >= 0 && (uint64_t)++len > size) /* the terminator counts */
		len = -ERANGE;
	err_t err = len > 0 ? copy_to_user(buf, text, (size_t)len) : 0;
	kfree(text);
	return err ? err : len;
}

int64_t sys_umask(uint32_t umask)
{
	return place_set_umask(current_place(), umask);
}
