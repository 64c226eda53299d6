/* memory.c - what a process may have of memory, and who may look into it. */
#include "proc/cred.h"
#include "proc/proc_priv.h"
#include "vm/space.h"

static uint64_t pages_of_limit(uint64_t bytes)
{
	return bytes == RLIMIT_INFINITY ? UINT64_MAX : bytes >> PAGE_SHIFT;
}

void process_vm_limits(struct process *p, const struct cred *cred, struct vm_limits *out)
{
	*out = (struct vm_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	spin_lock(&p->lock);
	out->all = pages_of_limit(p->limits[RLIMIT_AS].soft);
	out->data = pages_of_limit(p->limits[RLIMIT_DATA].soft);
	out->stack = pages_of_limit(p->limits[RLIMIT_STACK].soft);
	if (!cap_set_has(cred->effective, CAP_IPC_LOCK))
		out->locked = pages_of_limit(p->limits[RLIMIT_MEMLOCK].soft);
	spin_unlock(&p->lock);
}

void current_vm_limits(struct vm_limits *out)
{
	struct process *p = current_process();
	*out = (struct vm_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	if (p)
		process_vm_limits(p, current_cred(), out);
}

struct vm_space *process_space(struct process *p)
{
	spin_lock(&process_tree_lock);
	struct vm_space *s = p->space;
	if (s)
		space_get(s);
	spin_unlock(&process_tree_lock);
	return s;
}

/* Linux's rule for everything that ptrace could do: the same user in every respect, of a program that does
 * not hide, with no more capabilities; or CAP_SYS_PTRACE. One's own process is open to all its threads. */
static bool may_access(struct process *p, uint32_t tid, uint32_t uid, uint32_t gid, cap_set_t caps)
{
	if (p == current_process() || current_can(CAP_SYS_PTRACE))
		return true;
	struct cred *its = task_cred(p, tid);
	bool same = its->uid == uid && its->euid == uid && its->suid == uid && its->gid == gid &&
		    its->egid == gid && its->sgid == gid;
	bool may =
	    same && load_relaxed(&p->core.dumpable) == DUMP_USER && cap_set_within(its->permitted, caps);
	cred_put(its);
	return may;
}

bool current_may_access(struct process *p, uint32_t tid)
{
	const struct cred *c = current_cred();
	return may_access(p, tid, c->uid, c->gid, c->permitted);
}

bool current_may_look(struct process *p, uint32_t tid)
{
	const struct cred *c = current_cred();
	return may_access(p, tid, c->fsuid, c->fsgid, c->effective);
}
