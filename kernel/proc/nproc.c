/*
 * nproc.c - how many tasks each user has, by the real user id of each; what RLIMIT_NPROC limits. A task is a
 * thread; the first one of a process counts until the process is forgiven, whenever it ends itself.
 *
 * Users are not objects: a small table counts the tasks of all users whose ids have the same remainder. That
 * is an upper bound which is nearly always good enough; only where it exceeds the limit is the tree walked
 * and counted exactly. All of it under the tree's lock.
 */
#include "proc/cred.h"
#include "proc/proc_priv.h"

enum { UID_BUCKETS = 256 };

static unsigned bounds[UID_BUCKETS]; /* process_tree_lock */

struct uid_search {
	uint32_t uid;
	uint64_t tasks;
};

static void count_tasks_of(struct process *p, void *arg)
{
	struct uid_search *s = arg;
	s->tasks += p->cred->uid == s->uid;
	list_for_each (it, &p->threads) {
		const struct user_thread *ut = list_entry(it, struct user_thread, link);
		s->tasks += !user_thread_is_first(ut) && ut->cred->uid == s->uid;
	}
}

/* The user's tasks: the number, or, where that is less than `enough`, some number less than that. */
static uint64_t count_tasks_locked(uint32_t uid, uint64_t enough)
{
	struct uid_search s = {uid, 0};
	ASSERT_HELD(&process_tree_lock);
	if (bounds[uid % UID_BUCKETS] < enough)
		return 0;
	process_for_each_locked(count_tasks_of, &s);
	return s.tasks;
}

err_t nproc_add_locked(uint32_t uid, uint64_t limit)
{
	if (count_tasks_locked(uid, limit) >= limit)
		return -EAGAIN;
	bounds[uid % UID_BUCKETS]++;
	return 0;
}

void nproc_remove_locked(uint32_t uid)
{
	ASSERT_HELD(&process_tree_lock);
	ASSERT(bounds[uid % UID_BUCKETS] > 0);
	bounds[uid % UID_BUCKETS]--;
}

uint64_t nproc_limit(struct process *p, const struct cred *c)
{
	if (c->uid == 0 || (c->effective & (CAP_BIT(CAP_SYS_RESOURCE) | CAP_BIT(CAP_SYS_ADMIN))))
		return RLIMIT_INFINITY;
	spin_lock(&p->lock);
	uint64_t limit = p->limits[RLIMIT_NPROC].soft;
	spin_unlock(&p->lock);
	return limit;
}

void nproc_move_locked(struct user_thread *ut, uint32_t uid, uint64_t limit)
{
	if (uid == ut->cred->uid)
		return;
	store_relaxed(&ut->too_many, uid != 0 && limit < count_tasks_locked(uid, limit));
	nproc_remove_locked(ut->cred->uid);
	bounds[uid % UID_BUCKETS]++;
}

err_t nproc_check_exec(void)
{
	struct user_thread *ut = current_user_thread();
	uint64_t limit = current_limit(RLIMIT_NPROC);
	if (!load_relaxed(&ut->too_many))
		return 0;
	spin_lock(&process_tree_lock);
	bool too_many = limit < count_tasks_locked(ut->cred->uid, limit);
	spin_unlock(&process_tree_lock);
	store_relaxed(&ut->too_many, too_many);
	return too_many ? -EAGAIN : 0;
}
