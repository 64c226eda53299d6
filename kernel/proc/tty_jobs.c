/*
 * tty_jobs.c - controlling terminals: what sessions and process groups have to do with terminals.
 *
 *	process ──tty──▶ tty ──session, group──▶ numbers
 *
 * A session has at most one controlling terminal and a terminal is that of at most one session. Every process
 * that has it points to it (and counts it): a child inherits the pointer, setsid(2) drops it, and when
 * terminal and session part, all processes of the session lose it. The terminal knows its session and the
 * group in its foreground by number. All of this is guarded by the process tree's lock (T), which is what
 * fs/tty.h calls (J): it is taken inside a terminal's lock. References are dropped without (T), as the last
 * one frees.
 *
 * Rejected: a structure for each session. All that it would hold is this one pointer, and Linux lets a
 * process give up its terminal alone (TIOCNOTTY).
 */
#include "fs/tty.h"
#include "object/desc.h"
#include "proc/cred.h"
#include "proc/proc_priv.h"

/* --- groups --- */

struct group_signal {
	uint32_t pgid, sid;
	int signo;
};

/* A group is found by its number and its session's: a number that is used anew, after the group was gone, is
 * not mistaken for it. */
static void signal_member_locked(struct process *p, void *arg)
{
	const struct group_signal *g = arg;
	if (p->pgid != g->pgid || p->sid != g->sid)
		return;
	/* The first process is not ended by what somebody types. */
	struct signal_info info = {.signo = g->signo, .code = p->pid == PID_INIT ? SI_USER : SI_KERNEL};
	signal_notify_locked(p, &info);
}

void process_group_signal_locked(uint32_t pgid, uint32_t sid, int signo)
{
	struct group_signal g = {pgid, sid, signo};
	ASSERT_HELD(&process_tree_lock);
	if (pgid)
		process_for_each_locked(signal_member_locked, &g);
}

static void signal_one_locked(struct process *p, int signo)
{
	struct group_signal g = {p->pgid, p->sid, signo};
	signal_member_locked(p, &g);
}

static bool leads_session(const struct process *p)
{
	return p->sid == p->pid;
}

/* --- parting --- */

struct parting {
	struct tty *tty;
	uint32_t sid;
	unsigned dropped; /* references of processes that lost it: for drop */
};

static void lose_tty_locked(struct process *p, void *arg)
{
	struct parting *x = arg;
	if (p->sid != x->sid || p->tty != x->tty)
		return;
	p->tty = NULL;
	x->dropped++;
}

/* The terminal and its session have nothing to do with each other any more. */
static void part_locked(struct parting *x, struct tty *t)
{
	*x = (struct parting){.tty = t, .sid = t->session};
	if (t->session)
		process_for_each_locked(lose_tty_locked, x);
	t->session = t->group = 0;
}

static void drop(const struct parting *x)
{
	for (unsigned i = 0; i < x->dropped; i++)
		tty_put(x->tty);
}

static void tell_leader_locked(struct process *p, void *arg)
{
	const struct tty *t = arg;
	if (p->sid != t->session || !leads_session(p))
		return;
	signal_one_locked(p, SIGNAL_HUP);
	signal_one_locked(p, SIGNAL_CONT);
	p->tty_old_group = t->group;
}

static void jobs_hung_up(struct tty *t, bool ends)
{
	struct parting x = {0};
	spin_lock(&process_tree_lock);
	if (t->session) {
		process_for_each_locked(tell_leader_locked, t);
		if (ends)
			process_group_signal_locked(t->group, t->session, SIGNAL_HUP);
		part_locked(&x, t);
	}
	spin_unlock(&process_tree_lock);
	drop(&x);
}

/* The leader of a session gives up its terminal, or ends: so does the session. A terminal that is no pty is
 * hung up if it ends. */
static void leave_session(struct process *p, bool ends)
{
	struct parting x = {0};
	spin_lock(&process_tree_lock);
	struct tty *t = p->tty;
	if (t) {
		tty_get(t);
		if (!ends || t->driver->is_pty) {
			process_group_signal_locked(t->group, t->session, SIGNAL_HUP);
			if (!ends)
				process_group_signal_locked(t->group, t->session, SIGNAL_CONT);
			part_locked(&x, t);
		}
	} else if (ends) {
		process_group_signal_locked(p->tty_old_group, p->sid, SIGNAL_HUP);
		process_group_signal_locked(p->tty_old_group, p->sid, SIGNAL_CONT);
	}
	spin_unlock(&process_tree_lock);
	drop(&x);
	if (t && ends && !t->driver->is_pty)
		tty_hang_up(t, true);
	if (t)
		tty_put(t);
}

struct tty *process_take_tty_locked(struct process *p)
{
	struct tty *t = p->tty;
	ASSERT_HELD(&process_tree_lock);
	p->tty = NULL;
	p->tty_old_group = 0;
	return t;
}

void process_drop_tty(struct process *p)
{
	spin_lock(&process_tree_lock);
	struct tty *t = process_take_tty_locked(p);
	spin_unlock(&process_tree_lock);
	if (t)
		tty_put(t);
}

void process_leave_tty(struct process *p)
{
	if (leads_session(p))
		leave_session(p, true);
	process_drop_tty(p);
}

void process_inherit_tty_locked(struct process *p, const struct process *parent)
{
	ASSERT_HELD(&process_tree_lock);
	p->tty = parent->tty;
	if (p->tty)
		tty_get(p->tty);
}

/* --- orphans --- */

struct stopped_search {
	uint32_t pgid, sid;
	bool found;
};

static void find_stopped(struct process *p, void *arg)
{
	struct stopped_search *s = arg;
	if (p->pgid == s->pgid && p->sid == s->sid && p->signals.stop_signal && p->signals.stop_complete)
		s->found = true;
}

void process_rescue_group_locked(const struct process *p, const struct process *parent)
{
	struct stopped_search s = {p->pgid, p->sid, false};
	if (!parent || parent->pgid == p->pgid || parent->sid != p->sid ||
	    !process_group_is_orphaned_locked(p->pgid, p->sid, p->state == PROCESS_ALIVE ? NULL : p))
		return;
	process_for_each_locked(find_stopped, &s);
	if (!s.found)
		return;
	process_group_signal_locked(p->pgid, p->sid, SIGNAL_HUP);
	process_group_signal_locked(p->pgid, p->sid, SIGNAL_CONT);
}

/* --- what terminals ask --- */

static bool is_held_off(const struct process *p, int signo)
{
	return signal_in(signo, current_user_thread()->signals.mask) ||
	       p->signals.table->actions[signo - 1].handler == SIGNAL_IGNORE;
}

static err_t check_locked(struct process *p, int signo)
{
	if (is_held_off(p, signo))
		return signo == SIGNAL_TTIN ? -EIO : 0;
	if (process_group_is_orphaned_locked(p->pgid, p->sid, NULL))
		return -EIO;
	process_group_signal_locked(p->pgid, p->sid, signo);
	thread_interrupt(
	    current_thread(), THREAD_SIGNALLED); /* whichever thread takes it: this one's call starts again */
	return -EINTR;
}

static err_t jobs_check(struct tty *t, int signo)
{
	struct process *p = current_process();
	err_t err = 0;
	if (!p)
		return 0; /* the kernel itself */
	spin_lock(&process_tree_lock);
	if (p->tty == t && t->group && p->pgid != t->group)
		err = check_locked(p, signo);
	spin_unlock(&process_tree_lock);
	return err;
}

static void jobs_signal_group(struct tty *t, int signo)
{
	spin_lock(&process_tree_lock);
	process_group_signal_locked(t->group, t->session, signo);
	spin_unlock(&process_tree_lock);
}

static void acquire_locked(struct process *p, struct tty *t)
{
	tty_get(t);
	p->tty = t;
	p->tty_old_group = 0;
	t->session = p->sid;
	t->group = p->pgid;
}

static void jobs_opened(struct tty *t, bool readable)
{
	struct process *p = current_process();
	if (!p)
		return;
	spin_lock(&process_tree_lock);
	if (leads_session(p) && !p->tty && !t->session && readable)
		acquire_locked(p, t);
	spin_unlock(&process_tree_lock);
}

static struct tty *jobs_current(void)
{
	struct process *p = current_process();
	if (!p)
		return NULL;
	spin_lock(&process_tree_lock);
	struct tty *t = p->tty;
	if (t)
		tty_get(t);
	spin_unlock(&process_tree_lock);
	return t;
}

static bool jobs_is_current(const struct tty *t)
{
	struct process *p = current_process();
	spin_lock(&process_tree_lock);
	bool is = p && p->tty == t;
	spin_unlock(&process_tree_lock);
	return is;
}

static err_t jobs_get_group(struct tty *t, bool must_own, uint32_t *pgid)
{
	if (must_own && !jobs_is_current(t))
		return -ENOTTY;
	spin_lock(&process_tree_lock);
	*pgid = t->group;
	spin_unlock(&process_tree_lock);
	return 0;
}

static err_t jobs_get_session(struct tty *t, bool must_own, uint32_t *sid)
{
	if (must_own && !jobs_is_current(t))
		return -ENOTTY;
	spin_lock(&process_tree_lock);
	*sid = t->session;
	spin_unlock(&process_tree_lock);
	return *sid ? 0 : -ENOTTY;
}

struct member_search {
	uint32_t pgid;
	const struct process *found;
};

static void find_member(struct process *p, void *arg)
{
	struct member_search *s = arg;
	if (p->pgid == s->pgid)
		s->found = p;
}

/* The session of a group; of a process that leads none, its own. 0: there is neither. */
static uint32_t session_of_group_locked(uint32_t pgid)
{
	struct member_search s = {pgid, NULL};
	process_for_each_locked(find_member, &s);
	const struct process *p = s.found ? s.found : process_find_locked(pgid);
	return p ? p->sid : 0;
}

static err_t jobs_set_group(struct tty *t, int32_t pgid)
{
	const struct process *p = current_process();
	err_t err = 0;
	if (!p)
		return -ENOTTY;
	spin_lock(&process_tree_lock);
	uint32_t sid = session_of_group_locked((uint32_t)pgid);
	if (p->tty != t || t->session != p->sid)
		err = -ENOTTY;
	else if (!sid)
		err = -ESRCH;
	else if (sid != p->sid)
		err = -EPERM;
	else
		t->group = (uint32_t)pgid;
	spin_unlock(&process_tree_lock);
	return err;
}

static bool jobs_privileged(void)
{
	return current_can(CAP_SYS_ADMIN);
}

static err_t jobs_acquire(struct tty *t, bool steal, bool readable)
{
	struct process *p = current_process();
	struct parting x = {0};
	bool privileged = jobs_privileged();
	err_t err = 0;
	if (!p)
		return -EPERM;
	spin_lock(&process_tree_lock);
	bool has = leads_session(p) && t->session == p->sid;
	if (!has && (!leads_session(p) || p->tty || (t->session && !(steal && privileged)) ||
			(!readable && !privileged)))
		err = -EPERM;
	if (!has && !err) {
		part_locked(&x, t);
		acquire_locked(p, t);
	}
	spin_unlock(&process_tree_lock);
	drop(&x);
	return err;
}

static err_t jobs_give_up(struct tty *t)
{
	struct process *p = current_process();
	if (!p || !jobs_is_current(t))
		return -ENOTTY;
	if (leads_session(p))
		leave_session(p, false);
	process_drop_tty(p);
	return 0;
}

static void jobs_owner(uint32_t *uid, uint32_t *gid)
{
	*uid = *gid = 0;
	if (!current_process())
		return;
	const struct cred *c = current_cred();
	*uid = c->fsuid;
	*gid = c->fsgid;
}

static int64_t jobs_install(struct file *f, unsigned flags)
{
	struct process *p = current_process();
	if (!p)
		return -EMFILE;
	int fd = desc_install(current_descs(), &f->object, file_rights(load_relaxed(&f->flags)),
	    flags & FILE_CLOEXEC, 0, (int)MIN(current_limit(RLIMIT_NOFILE), (uint64_t)INT32_MAX));
	if (fd >= 0)
		file_put(f); /* the table has its own reference */
	return fd;
}

static const struct tty_proc_ops jobs_ops = {
    .check = jobs_check,
    .signal_group = jobs_signal_group,
    .opened = jobs_opened,
    .current = jobs_current,
    .is_current = jobs_is_current,
    .get_group = jobs_get_group,
    .get_session = jobs_get_session,
    .set_group = jobs_set_group,
    .acquire = jobs_acquire,
    .give_up = jobs_give_up,
    .hung_up = jobs_hung_up,
    .owner = jobs_owner,
    .privileged = jobs_privileged,
    .install = jobs_install,
};

void tty_jobs_init(void)
{
	tty_proc = &jobs_ops;
}
