/* linux_exec.c - the calls of the Linux ABI that start programs. */
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/exec.h"
#include "proc/process.h"
#include "sys/files.h"

enum { EXECVEAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, FD_PATH_SIZE = 24 };

/* What the program is told that it is called: the name, or, where that starts at a descriptor, a path through
 * it. */
static err_t set_path(struct exec_args *args, int dirfd, const char *name)
{
	if (dirfd == AT_FDCWD || name[0] == '/')
		return exec_args_set_path(args, name);
	size_t size = FD_PATH_SIZE + strlen(name);
	char *path = kmalloc(size);
	if (!path)
		return -ENOMEM;
	format(path, size, name[0] ? "/dev/fd/%d/%s" : "/dev/fd/%d", dirfd, name);
	err_t err = exec_args_set_path(args, path);
	kfree(path);
	bool closes = false;
	args->unreachable = !desc_get_cloexec(current_descs(), dirfd, &closes) && closes;
	return err;
}

/* Open what is to be run, and run it. */
static err_t exec_file(struct exec_args *args, struct at_call *a, int flags)
{
	struct path path;
	err_t err = at_lookup(a, flags, &path);
	if (err)
		return err;
	err = vfs_open_exec(a->c, &path, &args->file);
	path_put(&path);
	return err ? err : process_exec(args, a->c, user_frame(current_thread()));
}

/* Linux's order: the name, the strings, the flags, the file. Takes over the name. */
static err_t do_exec(int dirfd, char *name, uaddr_t argv, uaddr_t envp, int flags)
{
	struct exec_args args;
	struct at_call a;
	exec_args_init(&args, current_limit(RLIMIT_STACK));
	err_t err = name[0] || (flags & AT_EMPTY_PATH) ? nproc_check_exec() : -ENOENT;
	if (!err)
		err = set_path(&args, dirfd, name);
	if (!err)
		err = exec_args_fetch(&args, argv, envp);
	if (!err && (flags & ~EXECVEAT_FLAGS))
		err = -EINVAL;
	if (err) {
		path_free(name);
	} else {
		err = at_begin_name(&a, dirfd, name, flags);
		if (!err) {
			err = exec_file(&args, &a, flags);
			at_end(&a);
		}
	}
	exec_args_fini(&args);
	return err;
}

err_t exec_args_from_fd(struct exec_args *args, int fd, uaddr_t argv, uaddr_t envp)
{
	struct at_call a;
	struct path path;
	err_t err = set_path(args, fd, "");
	args->unreachable = true; /* the new process has not got this descriptor */
	if (!err)
		err = exec_args_fetch(args, argv, envp);
	char *name = err ? NULL : kzalloc(1);
	if (!name)
		return err ? err : -ENOMEM;
	err = at_begin_name(&a, fd, name, AT_EMPTY_PATH);
	if (err)
		return err;
	err = at_lookup(&a, AT_EMPTY_PATH, &path);
	if (!err) {
		err = vfs_open_exec(a.c, &path, &args->file);
		path_put(&path);
	}
	at_end(&a);
	return err;
}

int64_t sys_execveat(int32_t dirfd, uaddr_t path, uaddr_t argv, uaddr_t envp, int32_t flags)
{
	char *name;
	err_t err = path_fetch(path, &name);
	return err ? err : do_exec(dirfd, name, argv, envp, flags);
}

int64_t sys_execve(uaddr_t path, uaddr_t argv, uaddr_t envp)
{
	return sys_execveat(AT_FDCWD, path, argv, envp, 0);
}

/* Persona 0xffffffff asks only. */
int64_t sys_personality(uint32_t persona)
{
	struct process *p = current_process();
	uint32_t old = load_relaxed(&p->personality);
	if (persona != UINT32_MAX)
		store_relaxed(&p->personality, persona);
	return old;
}
