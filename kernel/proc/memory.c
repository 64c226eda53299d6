/* memory.c - what a process may have of memory, and who may look into it. */
#include "proc/cred.h"
#include "proc/proc_priv.h"
#include "vm/space.h"

static uint64_t pages_of_limit(uint64_t bytes)
{
	return bytes == RLIMIT_INFINITY ? UINT64_MAX : bytes >> PAGE_SHIFT;
}

void current_vm_limits(struct vm_limits *out)
{
	struct process *p = current_process();
	*out = (struct vm_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	if (!p)
		return;
	spin_lock(&p->lock);
	out->all = pages_of_limit(p->limits[RLIMIT_AS].soft);
	out->data = pages_of_limit(p->limits[RLIMIT_DATA].soft);
	out->stack = pages_of_limit(p->limits[RLIMIT_STACK].soft);
	if (p->cred->euid != 0)
		out->locked = pages_of_limit(p->limits[RLIMIT_MEMLOCK].soft);
	spin_unlock(&p->lock);
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

bool current_may_access(struct process *p)
{
	if (p == current_process() || current_is_privileged())
		return true;
	struct cred *mine = process_cred(current_process()), *its = process_cred(p);
	bool same = its->uid == mine->uid && its->euid == mine->uid && its->suid == mine->uid &&
		    its->gid == mine->gid && its->egid == mine->gid && its->sgid == mine->gid;
	cred_put(mine);
	cred_put(its);
	return same;
}
