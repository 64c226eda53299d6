/* who.c - threads as the calls on priorities name them: one thread, those of a process group, those of a
 * user. */
#include "proc/cred.h"
#include "proc/process.h"

struct who_search {
	enum who_kind kind;
	uint32_t who;
	user_thread_visit *fn;
	void *arg;
};

static void visit_process(struct process *p, void *arg)
{
	const struct who_search *s = arg;
	uint32_t group = s->who ? s->who : current_process()->pgid;
	if (s->kind == WHO_GROUP && p->pgid != group)
		return;
	list_for_each (it, &p->threads) {
		struct user_thread *ut = list_entry(it, struct user_thread, link);
		if (s->kind == WHO_GROUP || ut->cred->uid == s->who)
			s->fn(p, ut, s->arg);
	}
}

static void visit_one(uint32_t tid, user_thread_visit *fn, void *arg)
{
	spin_lock(&process_tree_lock);
	struct user_thread *ut = tid ? user_thread_find_locked(tid) : current_user_thread();
	if (ut)
		fn(ut->thread.process, ut, arg);
	spin_unlock(&process_tree_lock);
}

void user_threads_visit(enum who_kind kind, uint32_t who, user_thread_visit *fn, void *arg)
{
	struct who_search s = {kind, who, fn, arg};
	if (kind == WHO_THREAD)
		visit_one(who, fn, arg);
	else
		process_for_each(visit_process, &s);
}
