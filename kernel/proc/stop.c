/*
 * stop.c - job control: how processes stop and go on, and process groups and sessions.
 *
 * Whoever takes a stop signal writes its number into the process and interrupts all threads; each of them
 * parks on its way to user mode. When the last one has parked, the process has stopped, and its parent learns
 * of it. Going on is the number taken back.
 */
#include "fs/tty.h"
#include "proc/proc_priv.h"
#include "proc/signal.h"

void signal_stop_check_locked(struct process *p)
{
	struct process_signals *s = &p->signals;
	if (!s->stop_signal || s->stop_complete || s->nstopped < p->nthreads || p->exiting)
		return;
	s->stop_complete = true;
	s->report = s->stop_signal << 8 | WAIT_STATUS_STOPPED;
	signal_parent_locked(p, s->report, NULL);
}

void signal_stop_locked(struct process *p, int signal)
{
	ASSERT_HELD(&process_tree_lock);
	if (p->exiting || p->signals.stop_signal)
		return;
	p->signals.stop_signal = signal;
	p->signals.stop_complete = false;
	list_for_each (it, &p->threads)
		thread_interrupt(&list_entry(it, struct user_thread, link)->thread, THREAD_SIGNALLED);
}

void signal_continue_locked(struct process *p)
{
	struct process_signals *s = &p->signals;
	bool stopped = s->stop_signal && s->stop_complete;
	s->stop_signal = 0;
	s->stop_complete = false;
	waitq_wake_all(&s->stop_wait);
	if (stopped) {
		s->report = WAIT_STATUS_CONTINUED;
		signal_parent_locked(p, s->report, NULL);
	}
}

void signal_park_locked(struct process *p)
{
	struct process_signals *s = &p->signals;
	err_t err = 0;
	s->nstopped++;
	signal_stop_check_locked(p);
	while (s->stop_signal && !p->exiting && err != -EINTR)
		err = waitq_sleep(&s->stop_wait, &process_tree_lock, NSEC_NEVER, WAIT_KILLABLE);
	s->nstopped--;
}

/* ------------------------------------------------------------------ groups and sessions */

struct group_search {
	uint32_t pgid, sid;
	const struct process *without;
	bool found;
};

static void find_guardian(struct process *p, void *arg)
{
	struct group_search *g = arg;
	const struct process *parent = p->parent;
	if (p->pgid == g->pgid && p != g->without && p->state == PROCESS_ALIVE && parent &&
	    parent->pid != PID_INIT && parent->pgid != g->pgid && parent->sid == g->sid)
		g->found = true;
}

bool process_group_is_orphaned_locked(uint32_t pgid, uint32_t sid, const struct process *without)
{
	struct group_search g = {pgid, sid, without, false};
	process_for_each_locked(find_guardian, &g);
	return !g.found;
}

static void find_group(struct process *p, void *arg)
{
	struct group_search *g = arg;
	if (p->pgid == g->pgid && (!g->sid || p->sid == g->sid))
		g->found = true;
}

static bool group_exists_locked(uint32_t pgid, uint32_t sid)
{
	struct group_search g = {pgid, sid, NULL, false};
	process_for_each_locked(find_group, &g);
	return g.found;
}

static err_t set_group_locked(struct process *self, struct process *p, uint32_t pgid)
{
	if (!p || (p != self && p->parent != self))
		return -ESRCH;
	if (p != self && p->sid != self->sid)
		return -EPERM;
	if (p != self && p->has_exec)
		return -EACCES;
	if (p->sid == p->pid)
		return -EPERM; /* the leader of a session */
	if (pgid != p->pid && !group_exists_locked(pgid, self->sid))
		return -EPERM;
	p->pgid = pgid;
	return 0;
}

err_t process_set_group(uint32_t pid, uint32_t pgid)
{
	struct process *self = current_process();
	spin_lock(&process_tree_lock);
	struct process *p = pid ? process_find_locked(pid) : self;
	err_t err = set_group_locked(self, p, pgid ? pgid : pid ? pid : self->pid);
	spin_unlock(&process_tree_lock);
	return err;
}

err_t process_get_group(uint32_t pid, uint32_t *pgid, uint32_t *sid)
{
	spin_lock(&process_tree_lock);
	struct process *p = pid ? process_find_locked(pid) : current_process();
	if (p) {
		*pgid = p->pgid;
		*sid = p->sid;
	}
	spin_unlock(&process_tree_lock);
	return p ? 0 : -ESRCH;
}

err_t process_new_session(void)
{
	struct process *self = current_process();
	struct tty *tty = NULL;
	spin_lock(&process_tree_lock);
	bool leads = group_exists_locked(self->pid, 0);
	if (!leads) {
		self->sid = self->pgid = self->pid;
		tty = process_take_tty_locked(self);
	}
	spin_unlock(&process_tree_lock);
	if (tty)
		tty_put(tty);
	return leads ? -EPERM : 0;
}
