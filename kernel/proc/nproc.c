/*
 * nproc.c - how many tasks each user has: threads, and processes that are dead but not forgiven, by the real
 * user id of their process; what RLIMIT_NPROC limits.
 *
 * Users are not objects: a process remembers its real id, and a small table counts the tasks of all users
 * whose ids have the same remainder. That is an upper bound which is nearly always good enough; only where it
 * exceeds the limit is the tree walked and counted exactly. All of it under the tree's lock.
 */
#include "proc/cred.h"
#include "proc/proc_priv.h"

enum { UID_BUCKETS = 256 };

static unsigned bounds[UID_BUCKETS]; /* process_tree_lock */

static unsigned tasks_of(const struct process *p)
{
	return MAX(p->nthreads, 1u);
}

struct uid_search {
	uint32_t uid;
	uint64_t tasks;
};

static void count_task(struct process *p, void *arg)
{
	struct uid_search *s = arg;
	s->tasks += p->real_uid == s->uid ? tasks_of(p) : 0;
}

/* The user's tasks: the number, or, where that is less than `enough`, some number less than that. */
static uint64_t count_tasks_locked(uint32_t uid, uint64_t enough)
{
	struct uid_search s = {uid, 0};
	ASSERT_HELD(&process_tree_lock);
	if (bounds[uid % UID_BUCKETS] < enough)
		return 0;
	process_for_each_locked(count_task, &s);
	return s.tasks;
}

err_t nproc_add_locked(const struct process *p, uint64_t limit)
{
	if (count_tasks_locked(p->real_uid, limit) >= limit)
		return -EAGAIN;
	bounds[p->real_uid % UID_BUCKETS]++;
	return 0;
}

void nproc_remove_locked(const struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	ASSERT(bounds[p->real_uid % UID_BUCKETS] > 0);
	bounds[p->real_uid % UID_BUCKETS]--;
}

uint64_t nproc_limit(struct process *p)
{
	spin_lock(&p->lock);
	bool exempt =
	    p->cred->uid == 0 || (p->cred->effective & (CAP_BIT(CAP_SYS_RESOURCE) | CAP_BIT(CAP_SYS_ADMIN)));
	uint64_t limit = exempt ? RLIMIT_INFINITY : p->limits[RLIMIT_NPROC].soft;
	spin_unlock(&p->lock);
	return limit;
}

void nproc_move(struct process *p, uint32_t uid)
{
	uint64_t limit = current_limit(RLIMIT_NPROC);
	spin_lock(&process_tree_lock);
	if (uid != p->real_uid) {
		bounds[p->real_uid % UID_BUCKETS] -= tasks_of(p);
		p->real_uid = uid;
		bounds[uid % UID_BUCKETS] += tasks_of(p);
		p->too_many = uid != 0 && limit < count_tasks_locked(uid, limit);
	}
	spin_unlock(&process_tree_lock);
}

err_t nproc_check_exec(struct process *p)
{
	uint64_t limit = current_limit(RLIMIT_NPROC);
	spin_lock(&process_tree_lock);
	p->too_many = p->too_many && limit < count_tasks_locked(p->real_uid, limit);
	bool too_many = p->too_many;
	spin_unlock(&process_tree_lock);
	return too_many ? -EAGAIN : 0;
}
