/* linux_wait.c - waitid. What there is to wait for: proc/exit.c. */
#include "proc/cred.h"
#include "proc/pidfd.h"
#include "sys/files.h"
#include "sys/times.h"

enum waitid_which { P_ALL, P_PID, P_PGID, P_PIDFD };
enum waitid_options {
	WALL = 0x40000000,
	WCLONE = (int)0x80000000,
	WNOTHREAD = 0x20000000,
	WAIT_NEWS = WAIT_EXITED | WAIT_UNTRACED | WAIT_CONTINUED,
	WAITID_OPTIONS = WAIT_NEWS | WAIT_NOHANG | WAIT_NOWAIT | WALL | WCLONE | WNOTHREAD,
};

/* Whom a descriptor stands for. *nonblock: it was opened not to wait. */
static err_t child_of_descriptor(int32_t fd, uint32_t *pid, bool *nonblock)
{
	struct file *f;
	err_t err = fd_file_for(fd, RIGHT_WAIT, &f);
	if (err)
		return err;
	struct process *p;
	err = pidfd_find(f, &p);
	if (!err)
		*pid = p->pid;
	*nonblock = load_relaxed(&f->flags) & FILE_NONBLOCK;
	file_put(f);
	return err == -ESRCH ? -ECHILD : err; /* nobody's child yet */
}

static err_t choose_children(struct wait_request *r, int32_t which, int32_t id, bool *nonblock)
{
	uint32_t pid = 0;
	err_t err = 0;
	switch (which) {
	case P_ALL:
		r->pid = -1;
		return 0;
	case P_PID:
		r->pid = id;
		return id <= 0 ? -EINVAL : 0;
	case P_PGID:
		r->pgid = (uint32_t)id; /* 0: the caller's own, which is what pid 0 asks for */
		return id < 0 ? -EINVAL : 0;
	case P_PIDFD:
		err = id < 0 ? -EINVAL : child_of_descriptor(id, &pid, nonblock);
		r->pid = (int32_t)pid;
		return err;
	default:
		return -EINVAL;
	}
}

/* The fields of siginfo that this call knows; it leaves the others alone. */
struct wait_info {
	int32_t signo, err, code;
};
struct wait_child {
	uint32_t pid, uid;
	int32_t status;
};
enum { WAIT_CHILD_AT = 16 };

static err_t put_wait_info(uaddr_t to, const struct wait_request *r)
{
	struct wait_info info = {0};
	struct wait_child child = {0};
	if (r->found) {
		int32_t status;
		info.signo = SIGNAL_CHLD;
		info.code = wait_status_code(r->status, &status);
		child = (struct wait_child){r->found, r->uid, status};
	}
	err_t err = copy_to_user(to, &info, sizeof(info));
	return err ? err : copy_to_user(to + WAIT_CHILD_AT, &child, sizeof(child));
}

int64_t sys_waitid(int32_t which, int32_t id, uaddr_t info, int32_t options, uaddr_t rusage)
{
	struct wait_request r = {
	    .options = (unsigned)options, .any_signal = options & WALL, .other_signal = options & WCLONE};
	bool nonblock = false;
	if ((options & ~WAITID_OPTIONS) || !(options & WAIT_NEWS))
		return -EINVAL;
	err_t err = choose_children(&r, which, id, &nonblock);
	if (err)
		return err;
	if (nonblock)
		r.options |= WAIT_NOHANG;
	err = process_wait(&r);
	if (!err && !r.found && nonblock && !(options & WAIT_NOHANG))
		err = -EAGAIN;
	if (r.found && rusage && put_rusage(rusage, &r.usage))
		return -EFAULT;
	if (info && put_wait_info(info, &r))
		return -EFAULT;
	return restartable(err);
}
