/*
 * linux_sched.c - how threads share the processors, as far as the ABI lets programs say.
 *
 * The scheduler has all policies but SCHED_DEADLINE, which is refused: -EPERM, what Linux answers a process
 * that may not use it.
 */
#include "kern/sched.h"
#include "kern/wall.h"
#include "proc/cred.h"
#include "lib/string.h"
#include "sys/sys.h"

enum { NICE_LEAST = -20, NICE_MOST = 19, NICE_BASE = 20 };
enum priority_which { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };
enum { SCHED_DEADLINE = 6, SCHED_RESET_ON_FORK = 0x40000000 }; /* beside enum sched_policy */
enum { SLICE_NS = 3000000 };

/* --- nice levels --- */

struct priority_call {
	bool set;
	int nice; /* to be set; of those found, the least */
	uint32_t uid, euid;
	bool found;
	err_t err;
};

static bool limit_allows(struct process *p, int nice)
{
	spin_lock(&p->lock);
	uint64_t limit = p->limits[RLIMIT_NICE].soft;
	spin_unlock(&p->lock);
	return (uint64_t)(NICE_BASE - nice) <= limit;
}

/* May the caller give ut this level? Its own user's threads; what is better than they have only with
 * CAP_SYS_NICE or as their limit says. */
static err_t check_nice(const struct priority_call *c, struct process *p, const struct user_thread *ut)
{
	if (current_can(CAP_SYS_NICE))
		return 0;
	if (c->euid != ut->cred->uid && c->euid != ut->cred->euid)
		return -EPERM;
	return c->nice < ut->thread.nice && !limit_allows(p, c->nice) ? -EACCES : 0;
}

static void nice_thread(struct process *p, struct user_thread *ut, void *arg)
{
	struct priority_call *c = arg;
	int nice = ut->thread.nice;
	if (!c->set) {
		c->nice = c->found ? MIN(c->nice, nice) : nice;
	} else {
		err_t err = check_nice(c, p, ut);
		if (!err)
			thread_set_nice(&ut->thread, c->nice);
		else
			c->err = err;
	}
	c->found = true;
}

static err_t do_priority(struct priority_call *c, int32_t which, int32_t who)
{
	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	c->uid = current_cred()->uid;
	c->euid = current_cred()->euid;
	uint32_t named = which == PRIO_USER && who == 0 ? c->uid : (uint32_t)who;
	user_threads_visit(WHO_THREAD + (unsigned)(which - PRIO_PROCESS), named, nice_thread, c);
	return c->found ? c->err : -ESRCH;
}

/* The call returns 1 to 40: a result below 0 would be an error. */
int64_t sys_getpriority(int32_t which, int32_t who)
{
	struct priority_call c = {.set = false};
	err_t err = do_priority(&c, which, who);
	return err ? err : NICE_BASE - c.nice;
}

int64_t sys_setpriority(int32_t which, int32_t who, int32_t nice)
{
	struct priority_call c = {.set = true, .nice = MAX(NICE_LEAST, MIN(NICE_MOST, nice))};
	return do_priority(&c, which, who);
}

/* --- policies --- */

static bool is_real_time_policy(int32_t policy)
{
	return policy == POLICY_FIFO || policy == POLICY_RR;
}

static bool is_ordinary(int32_t policy)
{
	return policy == POLICY_OTHER || policy == POLICY_BATCH || policy == POLICY_IDLE;
}

int64_t sys_sched_get_priority_max(int32_t policy)
{
	if (is_real_time_policy(policy))
		return RT_PRIORITY_MAX;
	return is_ordinary(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL;
}

int64_t sys_sched_get_priority_min(int32_t policy)
{
	int64_t max = sys_sched_get_priority_max(policy);
	return max > 0 ? 1 : max;
}

static struct user_thread *find_locked(int32_t tid)
{
	return tid ? user_thread_find_locked((uint32_t)tid) : current_user_thread();
}

/* -EINVAL, -ESRCH. */
static err_t get_policy(int32_t tid, struct thread_policy *policy, bool *resets)
{
	if (tid < 0)
		return -EINVAL;
	spin_lock(&process_tree_lock);
	struct user_thread *ut = find_locked(tid);
	if (ut) {
		*policy = thread_policy(&ut->thread);
		*resets = ut->policy_resets;
	}
	spin_unlock(&process_tree_lock);
	return ut ? 0 : -ESRCH;
}

int64_t sys_sched_getscheduler(int32_t tid)
{
	struct thread_policy policy;
	bool resets;
	err_t err = get_policy(tid, &policy, &resets);
	return err ? err : (int64_t)policy.policy | (resets ? SCHED_RESET_ON_FORK : 0);
}

int64_t sys_sched_getparam(int32_t tid, uaddr_t param)
{
	struct thread_policy policy;
	bool resets;
	err_t err = param ? get_policy(tid, &policy, &resets) : -EINVAL;
	return err ? err : copy_to_user(param, &policy.rt_priority, sizeof(policy.rt_priority));
}

/* The quantum of SCHED_RR; FIFO has none. Others: a time slice of a processor that somebody waits for. */
int64_t sys_sched_rr_get_interval(int32_t tid, uaddr_t interval)
{
	struct thread_policy policy;
	bool resets;
	err_t err = get_policy(tid, &policy, &resets);
	if (err)
		return err;
	nsec_t ns = policy.policy == POLICY_FIFO ? 0
		    : policy.policy == POLICY_RR ? load_relaxed(&rt_settings.quantum)
						 : (nsec_t)SLICE_NS;
	struct sys_timespec ts = {(int64_t)(ns / NSEC_PER_SEC), (int64_t)(ns % NSEC_PER_SEC)};
	return copy_to_user(interval, &ts, sizeof(ts));
}

/* What a call asks for. */
struct policy_change {
	int32_t policy; /* -1: as it is */
	uint32_t priority;
	bool reset_on_fork;
	bool keep_nice,
	    keep_params; /* of what a thread has; keep_params: all but whether it is reset on fork */
	int nice;
};

/* Is it something that any thread could have? */
static err_t check_policy(int32_t policy, uint32_t priority)
{
	if (!is_real_time_policy(policy) && !is_ordinary(policy) && policy != SCHED_DEADLINE)
		return -EINVAL;
	if (priority > RT_PRIORITY_MAX || is_real_time_policy(policy) != (priority != 0))
		return -EINVAL;
	return 0;
}

static uint64_t rt_priority_limit(struct process *p)
{
	spin_lock(&p->lock);
	uint64_t limit = p->limits[RLIMIT_RTPRIO].soft;
	spin_unlock(&p->lock);
	return limit;
}

/* Is `new` something that a thread of p takes for itself only within its limits, and are these exceeded? */
static bool exceeds_limits(
    struct process *p, const struct thread_policy *old, const struct thread_policy *new)
{
	if (is_real_time_policy((int32_t) new->policy)) {
		uint64_t limit = rt_priority_limit(p);
		return (new->policy != old->policy &&limit == 0) ||
		       (new->rt_priority > old->rt_priority &&new->rt_priority > limit);
	}
	/* SCHED_IDLE is worse than all levels. */
	if (old->policy == POLICY_IDLE && new->policy != POLICY_IDLE && !limit_allows(p, old->nice))
		return true;
	return new->nice < old->nice && !limit_allows(p, new->nice);
}

/* Without CAP_SYS_NICE: one's own threads, within their limits, and what is reset on fork stays so. */
static bool may_change_locked(const struct user_thread *ut, const struct thread_policy *old,
    const struct thread_policy *new, bool resets)
{
	struct process *p = ut->thread.process;
	uint32_t euid = current_cred()->euid;
	bool own = euid == ut->cred->uid || euid == ut->cred->euid;
	return (own && !exceeds_limits(p, old, new) && (resets || !ut->policy_resets)) ||
	       current_can(CAP_SYS_NICE);
}

static err_t change_locked(const struct policy_change *c, struct user_thread *ut)
{
	struct thread_policy old = thread_policy(&ut->thread);
	int32_t policy = c->policy == -1 ? (int32_t)old.policy : c->policy;
	bool resets = c->policy == -1 ? ut->policy_resets : c->reset_on_fork;
	bool keep_priority = c->keep_params && old.rt_priority;
	uint32_t priority = keep_priority ? old.rt_priority : c->priority;
	err_t err = check_policy(policy, priority);
	if (err)
		return err;
	bool keep_nice = c->keep_nice || is_real_time_policy(policy) || (c->keep_params && !keep_priority);
	struct thread_policy new = {.policy = (enum sched_policy)policy,
	    .rt_priority = priority,
	    .nice = keep_nice ? old.nice : c->nice};
	if (policy == SCHED_DEADLINE || !may_change_locked(ut, &old, &new, resets))
		return -EPERM;
	ut->policy_resets = resets;
	bool same = new.policy == old.policy &&new.rt_priority == old.rt_priority &&new.nice == old.nice;
	if (!same && !c->keep_params)
		thread_set_policy(&ut->thread, &new);
	return 0;
}

static err_t change_policy(int32_t tid, const struct policy_change *c)
{
	if (tid < 0)
		return -EINVAL;
	spin_lock(&process_tree_lock);
	struct user_thread *ut = find_locked(tid);
	err_t err = ut ? change_locked(c, ut) : -ESRCH;
	spin_unlock(&process_tree_lock);
	return err;
}

int64_t sys_sched_setscheduler(int32_t tid, int32_t policy, uaddr_t param)
{
	struct policy_change c = {.reset_on_fork = policy & SCHED_RESET_ON_FORK, .keep_nice = true};
	if (policy < 0 || !param || tid < 0)
		return -EINVAL;
	c.policy = policy & ~SCHED_RESET_ON_FORK;
	if (copy_from_user(&c.priority, param, sizeof(c.priority)))
		return -EFAULT;
	return change_policy(tid, &c);
}

int64_t sys_sched_setparam(int32_t tid, uaddr_t param)
{
	struct policy_change c = {.policy = -1, .keep_nice = true};
	if (!param || tid < 0)
		return -EINVAL;
	if (copy_from_user(&c.priority, param, sizeof(c.priority)))
		return -EFAULT;
	return change_policy(tid, &c);
}

/* struct sched_attr of the ABI: its first version, and what the second adds. */
struct sys_sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};
enum { SCHED_ATTR_SIZE_0 = 48, SCHED_ATTR_SIZE = sizeof(struct sys_sched_attr) };
enum sched_attr_flags {
	ATTR_RESET_ON_FORK = 1,
	ATTR_KEEP_POLICY = 8,
	ATTR_KEEP_PARAMS = 16,
	ATTR_UTIL_CLAMP =
	    0x60, /* needs the second version; Linux has it where the processor's speed varies */
	ATTR_ALL = 0x7f
};

int64_t sys_sched_getattr(int32_t tid, uaddr_t to, uint32_t size, uint32_t flags)
{
	struct sys_sched_attr a = {0};
	struct thread_policy policy;
	bool resets;
	if (!to || tid < 0 || size > PAGE_SIZE || size < SCHED_ATTR_SIZE_0 || flags)
		return -EINVAL;
	err_t err = get_policy(tid, &policy, &resets);
	if (err)
		return err;
	a.size = MIN(size, (uint32_t)SCHED_ATTR_SIZE);
	a.policy = policy.policy;
	a.flags = resets ? ATTR_RESET_ON_FORK : 0;
	a.priority = policy.rt_priority;
	a.nice = policy.rt_priority ? 0 : policy.nice;
	return copy_to_user(to, &a, a.size);
}

/* The caller's structure may be shorter than ours, or longer if the rest is empty: else -E2BIG, and the size
 * that is known is told. */
static err_t fetch_attr(uaddr_t from, struct sys_sched_attr *a)
{
	uint32_t size, known = SCHED_ATTR_SIZE;
	if (copy_from_user(&size, from, sizeof(size)))
		return -EFAULT;
	size = size ? size : SCHED_ATTR_SIZE_0;
	bool fits = size >= SCHED_ATTR_SIZE_0 && size <= PAGE_SIZE;
	memset(a, 0, sizeof(*a));
	err_t err = fits ? struct_fetch(a, known, from, size) : -E2BIG;
	return err == -E2BIG && copy_to_user(from, &known, sizeof(known)) ? -EFAULT : err;
}

int64_t sys_sched_setattr(int32_t tid, uaddr_t from, uint32_t flags)
{
	struct sys_sched_attr a;
	if (!from || tid < 0 || flags)
		return -EINVAL;
	err_t err = fetch_attr(from, &a);
	if (err)
		return err;
	bool clamps = a.flags & ATTR_UTIL_CLAMP;
	if ((int32_t)a.policy < 0 || (a.flags & ~(uint64_t)ATTR_ALL) || (clamps && a.size < SCHED_ATTR_SIZE))
		return -EINVAL;
	if (clamps)
		return -EOPNOTSUPP;
	struct policy_change c = {.policy = a.flags & ATTR_KEEP_POLICY ? -1 : (int32_t)a.policy,
	    .priority = a.priority,
	    .reset_on_fork = a.flags & ATTR_RESET_ON_FORK,
	    .keep_params = a.flags & ATTR_KEEP_PARAMS,
	    .nice = MAX(NICE_LEAST, MIN(NICE_MOST, a.nice))};
	return change_policy(tid, &c);
}
