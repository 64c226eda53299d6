/* native_process.c - native calls that make processes which are no copies, and start them: proc/spawn.c. */
#include "object/desc.h"
#include "proc/exec.h"
#include "proc/pidfd.h"
#include "sys/files.h"

/* It may not be sent: pidfd.h. */
#define EMBRYO_RIGHTS ((uint32_t)(RIGHTS_ALL & ~RIGHT_TRANSFER))

int64_t sys_process_create(uaddr_t name, uint32_t flags)
{
	char text[THREAD_NAME_MAX];
	struct file *f;
	if (flags)
		return -EINVAL;
	int64_t err = copy_string_from_user(text, name, sizeof(text));
	if (err == -ENAMETOOLONG)
		text[sizeof(text) - 1] = 0; /* as PR_SET_NAME */
	else if (err < 0)
		return err;
	err = pidfd_create_empty(text, &f);
	return err ? err : fd_install_rights(f, EMBRYO_RIGHTS, true);
}

int64_t sys_process_give(struct file *process, int32_t fd, int32_t number, uint32_t rights)
{
	struct parcel p;
	if (rights & ~(uint32_t)RIGHTS_ALL)
		return -EINVAL;
	err_t err = parcel_make(current_descs(), fd, &p);
	if (err)
		return err;
	err = rights & ~p.rights ? -EACCES : 0;
	p.rights = rights;
	if (!err)
		err = pidfd_give(process, &p, number, fd_limit());
	parcel_drop(&p);
	return err;
}

/* The embryo has been started, or not. Returns the number of the process. */
static int64_t started(struct file *process, err_t err, struct process *p)
{
	pidfd_end_start(process, err ? NULL : p);
	if (err)
		return err;
	int64_t pid = p->pid;
	process_put(p);
	return pid;
}

int64_t sys_process_start(struct file *process, uaddr_t entry, uaddr_t stack, uint64_t first, uint64_t second)
{
	const struct embryo_start s = {.entry = entry, .sp = stack, .arguments = {first, second}};
	struct process *p = NULL;
	struct embryo *e;
	if (!user_range_is_valid(entry, 1) || !user_range_is_valid(stack, 0))
		return -EFAULT;
	err_t err = pidfd_begin_start(process, &e);
	if (err)
		return err;
	err = embryo_start(e, &s, &p);
	return started(process, err, p);
}

int64_t sys_process_exec(struct file *process, int32_t program, uaddr_t argv, uaddr_t envp)
{
	struct exec_args args;
	struct process *p = NULL;
	struct embryo *e;
	err_t err = nproc_check_exec();
	if (err)
		return err;
	exec_args_init(&args, current_limit(RLIMIT_STACK));
	err = exec_args_from_fd(&args, program, argv, envp);
	if (!err)
		err = pidfd_begin_start(process, &e);
	int64_t result = err;
	if (!err) {
		err = embryo_exec(e, &args, &p);
		result = started(process, err, p);
	}
	exec_args_fini(&args);
	return result;
}

int64_t sys_process_status(struct file *process)
{
	struct process *p;
	err_t err = pidfd_find(process, &p);
	if (err)
		return -EAGAIN; /* it has not been started */
	spin_lock(&process_tree_lock);
	int64_t status = p->state == PROCESS_ALIVE ? -EAGAIN : p->wait_status;
	spin_unlock(&process_tree_lock);
	return status;
}
