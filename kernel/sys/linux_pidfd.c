/* linux_pidfd.c - calls on files that stand for processes. */
#include "proc/cred.h"
#include "proc/pidfd.h"
#include "sys/files.h"

/* The file of a descriptor that stands for a process, and the process, which the file keeps. -EBADF, -ESRCH.
 */
static err_t pidfd_get(int32_t fd, uint32_t rights, struct file **f, struct process **p)
{
	err_t err = fd_file_for(fd, rights, f);
	if (err)
		return err;
	err = pidfd_find(*f, p);
	if (err)
		file_put(*f);
	return err;
}

int64_t sys_pidfd_open(int32_t pid, uint32_t flags)
{
	struct process *p;
	struct file *f;
	if ((flags & ~(uint32_t)FILE_NONBLOCK) || pid <= 0)
		return -EINVAL;
	err_t err = process_find_by_thread((uint32_t)pid, &p);
	if (err)
		return err;
	err = p->pid == (uint32_t)pid ? pidfd_create(p, flags, &f) : -EINVAL; /* a thread is no process */
	process_put(p);
	return err ? err : fd_install_rights(f, pidfd_rights(f), true);
}

/* What the sender says of the signal, or what kill(2) would. */
static err_t signal_to_send(const struct process *p, int32_t signal, uaddr_t from, struct signal_info *info)
{
	struct process *self = current_process();
	*info = (struct signal_info){
	    .signo = signal, .code = SI_USER, .pid = self->pid, .uid = current_cred()->uid};
	if (!from)
		return 0;
	if (copy_from_user(info, from, sizeof(*info)))
		return -EFAULT;
	if (info->signo != signal)
		return -EINVAL;
	return p != self && (info->code >= 0 || info->code == SI_TKILL) ? -EPERM : 0;
}

int64_t sys_pidfd_send_signal(int32_t fd, int32_t signal, uaddr_t from, uint32_t flags)
{
	struct signal_info info;
	struct process *p;
	struct file *f;
	if (flags)
		return -EINVAL;
	err_t err = pidfd_get(fd, RIGHT_MANAGE, &f, &p);
	if (err)
		return err;
	err = signal_to_send(p, signal, from, &info);
	if (!err && (signal < 0 || signal > SIGNAL_MAX))
		err = -EINVAL;
	if (!err)
		err = process_send_signal(p, &info);
	file_put(f);
	return err;
}

/* A descriptor of another process's becomes one of ours too: for those who may look into it. */
static int64_t copy_descriptor(struct process *p, int32_t fd)
{
	struct kobject *o;
	uint32_t rights;
	if (!current_may_access(p, 0))
		return -EPERM;
	struct desc_table *t = task_descs(p, 0);
	if (!t)
		return -ESRCH;
	int64_t result = desc_lookup(t, fd, &o, &rights);
	desc_table_put(t);
	if (result)
		return result;
	result = rights & RIGHT_DUPLICATE ? desc_install(current_descs(), o, rights, true, 0, fd_limit())
					  : -EACCES;
	kobject_put(o);
	return result;
}

int64_t sys_pidfd_getfd(int32_t fd, int32_t target, uint32_t flags)
{
	struct process *p;
	struct file *f;
	if (flags)
		return -EINVAL;
	err_t err = pidfd_get(fd, RIGHT_MANAGE, &f, &p);
	if (err)
		return err;
	int64_t result = copy_descriptor(p, target);
	file_put(f);
	return result;
}
