/*
 * kill.c - whom a signal goes to: one process, a group, everybody, one thread; and who may send: a thread
 * with CAP_KILL, one with the same real or effective user id as the target's real or saved one (a process's
 * are those of its first thread), any thread of the process itself, and anybody SIGCONT to processes of his
 * session. Process 1 gets what it handles, and is not ended by a signal that somebody sends.
 */
#include "proc/cred.h"
#include "proc/proc_priv.h"
#include "proc/signal.h"

static bool ids_match(const struct cred *mine, const struct cred *its)
{
	return mine->euid == its->suid || mine->euid == its->uid || mine->uid == its->suid ||
	       mine->uid == its->uid;
}

/* To p, or to ut of it. */
static bool may_signal_locked(const struct process *p, const struct user_thread *ut, int signal)
{
	return p == current_process() || ids_match(current_cred(), ut ? ut->cred : p->cred) ||
	       current_can(CAP_KILL) || (signal == SIGNAL_CONT && p->sid == current_process()->sid);
}

struct kill_request {
	int32_t pid; /* not positive */
	const struct signal_info *info;
	const struct process *sender;
	struct signal_reserve *reserve; /* NULL: count only */
	unsigned matched, reached;
	err_t err; /* the last one */
};

static bool kill_matches(const struct kill_request *k, const struct process *p)
{
	if (k->pid == -1)
		return p != k->sender && p->pid != PID_INIT;
	return p->pgid == (k->pid == 0 ? k->sender->pgid : -(uint32_t)k->pid);
}

static void kill_one_locked(struct process *p, void *arg)
{
	struct kill_request *k = arg;
	if (!kill_matches(k, p))
		return;
	k->matched++;
	if (!k->reserve)
		return;
	err_t err = may_signal_locked(p, NULL, k->info->signo)
			? signal_send_locked(p, NULL, k->info, k->reserve)
			: -EPERM;
	k->reached += !err;
	k->err = err ? err : k->err;
}

/* Of many, one that was reached is enough; of everybody, those whom the sender may not reach do not count at
 * all. */
static err_t kill_result(const struct kill_request *k)
{
	if (!k->matched)
		return -ESRCH;
	return k->reached || (k->pid == -1 && k->err == -EPERM) ? 0 : k->err;
}

err_t process_queue_signal(uint32_t pid, const struct signal_info *info)
{
	struct signal_reserve reserve;
	signal_reserve(&reserve, info->signo, 1);
	spin_lock(&process_tree_lock);
	struct process *p = process_find_locked(pid);
	err_t err = !p                                         ? -ESRCH
		    : !may_signal_locked(p, NULL, info->signo) ? -EPERM
							       : signal_send_locked(p, NULL, info, &reserve);
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&reserve);
	return err;
}

err_t process_kill(int32_t pid, int signal)
{
	struct process *self = current_process();
	struct signal_info info = {
	    .signo = signal, .code = SI_USER, .pid = self->pid, .uid = current_cred()->uid};
	struct kill_request k = {.pid = pid, .info = &info, .sender = self};
	struct signal_reserve reserve;
	if (signal < 0 || signal > SIGNAL_MAX)
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid > 0)
		return process_queue_signal((uint32_t)pid, &info);
	if (signal >= SIGNAL_RT_MIN)
		process_for_each(kill_one_locked, &k);
	signal_reserve(&reserve, signal, k.matched);
	k.matched = 0;
	k.reserve = &reserve;
	process_for_each(kill_one_locked, &k);
	signal_reserve_fini(&reserve);
	return kill_result(&k);
}

err_t process_send_signal(struct process *p, const struct signal_info *info)
{
	struct signal_reserve reserve;
	signal_reserve(&reserve, info->signo, 1);
	spin_lock(&process_tree_lock);
	err_t err = p->state == PROCESS_FORGIVEN               ? -ESRCH
		    : !may_signal_locked(p, NULL, info->signo) ? -EPERM
							       : signal_send_locked(p, NULL, info, &reserve);
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&reserve);
	return err;
}

struct thread_search {
	uint32_t tgid, tid; /* tgid 0: any process */
	struct user_thread *found;
};

static void find_thread(struct process *p, void *arg)
{
	struct thread_search *s = arg;
	if (s->found || (s->tgid && p->pid != s->tgid))
		return;
	list_for_each (it, &p->threads) {
		struct user_thread *ut = list_entry(it, struct user_thread, link);
		if (ut->thread.tid == s->tid)
			s->found = ut;
	}
}

/* One whose threads are all gone can still be named by its number, until it is waited for. */
static bool is_dead_leader(uint32_t tgid, uint32_t tid)
{
	const struct process *p = process_find_locked(tid);
	return p && (!tgid || tgid == tid);
}

err_t thread_queue_signal(uint32_t tgid, uint32_t tid, const struct signal_info *info)
{
	struct thread_search s = {tgid, tid, NULL};
	struct signal_reserve reserve;
	err_t err = 0;
	signal_reserve(&reserve, info->signo, 1);
	spin_lock(&process_tree_lock);
	process_for_each_locked(find_thread, &s);
	if (!s.found)
		err = is_dead_leader(tgid, tid) ? 0 : -ESRCH;
	else if (may_signal_locked(s.found->thread.process, s.found, info->signo))
		err = signal_send_locked(s.found->thread.process, s.found, info, &reserve);
	else
		err = -EPERM;
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&reserve);
	return err;
}

void signal_raise(int signal)
{
	struct process *p = current_process();
	struct signal_info info = {
	    .signo = signal, .code = SI_USER, .pid = p->pid, .uid = current_cred()->uid};
	struct signal_reserve none;
	signal_reserve(&none, signal, 0);
	spin_lock(&process_tree_lock);
	err_t err = signal_send_locked(p, current_user_thread(), &info, &none);
	spin_unlock(&process_tree_lock);
	ASSERT(!err);
	signal_reserve_fini(&none);
}
