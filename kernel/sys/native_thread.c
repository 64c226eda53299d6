/* native_thread.c - native calls on threads: proc/threadfd.c. Where a call takes -1 it means the caller. */
#include "object/desc.h"
#include "proc/guard.h"
#include "proc/threadfd.h"
#include "quire/object.h"
#include "sys/files.h"

_Static_assert((unsigned)KO_THREAD == (unsigned)QUIRE_THREAD, "as native.tbl says");

/* The descriptor is there before the thread is, for it may be gone, and the call cannot fail, afterwards. */
static int64_t start(struct file *f, const struct file *process, const struct thread_start *s)
{
	struct desc_table *t = current_descs();
	int fd = desc_reserve(t, fd_limit());
	if (fd < 0)
		return fd;
	err_t err = threadfd_start(f, process, s);
	if (err) {
		desc_unreserve(t, fd);
		return err;
	}
	desc_fill(t, fd, &f->object, RIGHTS_ALL, true);
	return fd;
}

int64_t sys_thread_start(
    struct file *process, uaddr_t entry, uaddr_t stack, uint64_t first, uint64_t second, uaddr_t tls)
{
	const struct thread_start s = {.entry = entry, .sp = stack, .arguments = {first, second}, .tls = tls};
	struct file *f;
	if (!user_range_is_valid(entry, 1) || !user_range_is_valid(stack, 0) || !user_range_is_valid(tls, 0))
		return -EFAULT;
	if (!process && !guard_check_stack(stack - 1, stack)) /* others are looked at when they call */
		return -EFAULT;
	err_t err = threadfd_create(&f);
	if (err)
		return err;
	int64_t fd = start(f, process, &s);
	file_put(f);
	return fd;
}

int64_t sys_thread_open(struct file *process, int32_t number)
{
	struct file *f;
	if (number <= 0)
		return -ESRCH;
	err_t err = threadfd_create(&f);
	if (err)
		return err;
	err = threadfd_find(f, process, (uint32_t)number);
	if (!err)
		return fd_install_rights(f, RIGHTS_ALL, true);
	file_put(f);
	return err;
}

int64_t sys_thread_kill(struct file *thread)
{
	if (thread)
		threadfd_kill(thread);
	else
		thread_interrupt(current_thread(), THREAD_KILLED);
	return 0;
}

int64_t sys_thread_status(struct file *thread)
{
	return threadfd_status(thread);
}

int64_t sys_thread_number(struct file *thread)
{
	return thread ? threadfd_number(thread) : current_thread()->tid;
}
