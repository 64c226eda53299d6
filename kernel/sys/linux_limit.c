/* linux_limit.c - resource limits of processes. Who keeps them is documented in docs/abi.md. */
#include "object/desc.h"
#include "proc/cred.h"
#include "sys/sys.h"

static err_t check_limit(uint32_t resource, const struct rlimit64 *new)
{
	if (resource >= RLIMIT_COUNT || (new &&new->soft > new->hard))
		return -EINVAL;
	return new &&resource == RLIMIT_NOFILE &&new->hard > DESC_LIMIT_MAX ? -EPERM : 0;
}

int64_t sys_getrlimit(uint32_t resource, uaddr_t limit)
{
	struct rlimit64 old;
	err_t err = check_limit(resource, NULL);
	if (!err)
		err = process_limit(current_process(), resource, NULL, &old);
	return err ? err : copy_to_user(limit, &old, sizeof(old));
}

int64_t sys_setrlimit(uint32_t resource, uaddr_t limit)
{
	struct rlimit64 new, old;
	err_t err = copy_from_user(&new, limit, sizeof(new));
	if (!err)
		err = check_limit(resource, &new);
	return err ? err : process_limit(current_process(), resource, &new, &old);
}

/* Limits of others are for those who run with the same ids, all of them, and for CAP_SYS_RESOURCE. */
static bool may_limit(struct process *p, uint32_t tid)
{
	const struct cred *mine = current_cred();
	if (tid == 0 || tid == current_thread()->tid || current_can(CAP_SYS_RESOURCE))
		return true;
	struct cred *its = task_cred(p, tid);
	bool same = mine->uid == its->uid && mine->uid == its->euid && mine->uid == its->suid &&
		    mine->gid == its->gid && mine->gid == its->egid && mine->gid == its->sgid;
	cred_put(its);
	return same;
}

static err_t limit_of(int32_t pid, uint32_t resource, const struct rlimit64 *new, struct rlimit64 *old)
{
	struct process *p;
	err_t err = pid ? process_find_by_thread((uint32_t)pid, &p) : 0;
	if (err)
		return err;
	if (!pid) {
		p = current_process();
		process_get(p);
	}
	err = may_limit(p, (uint32_t)pid) ? check_limit(resource, new) : -EPERM;
	if (!err)
		err = process_limit(p, resource, new, old);
	process_put(p);
	return err;
}

int64_t sys_prlimit64(int32_t pid, uint32_t resource, uaddr_t new_limit, uaddr_t old_limit)
{
	struct rlimit64 new, old;
	err_t err = new_limit ? copy_from_user(&new, new_limit, sizeof(new)) : 0;
	if (!err)
		err = limit_of(pid, resource, new_limit ? &new : NULL, &old);
	return !err && old_limit ? copy_to_user(old_limit, &old, sizeof(old)) : err;
}
