/*
 * exit.c - how processes end, and how they are waited for.
 *
 * The end comes in two steps. First somebody decides it: exit_group, a fatal signal or trap calls
 * process_begin_exit, which records the wait status (the first one counts) and flags every thread as killed.
 * Then each thread, on its way back to user mode, calls user_thread_exit. The last one gives the memory back,
 * lets its children go, and makes the process dead; only then does the parent see it. So when wait returns,
 * the child's memory is free already, but for the last thread's kernel stack: a thread cannot free the stack
 * that it runs on, the reaper does that once it is off it.
 */
#include "proc/process.h"
#include "arch/clock.h"
#include "kern/log.h"
#include "arch/usercopy.h"
#include "lib/assert.h"
#include "mm/kva.h"
#include "proc/cred.h"
#include "proc/futex.h"
#include "proc/ipc.h"
#include "proc/pidfd.h"
#include "proc/proc_priv.h"
#include "proc/threadfd.h"
#include "proc/timers.h"
#include "proc/trace.h"
#include "vm/fault.h"
#include "vm/space.h"

enum { END_POLL = 5000000 }; /* ns between two looks while the machine stops */

static struct spinlock reaper_lock = SPINLOCK_INIT("reaper", RANK_SERVICE);
static struct list reaper_list = LIST_INIT(reaper_list); /* reaper_lock: struct user_thread by link */
static struct waitq reaper_wait;
static struct thread reaper_thread;

/* The thread that frees the threads that are gone. */
static void reap(UNUSED void *arg)
{
	spin_lock(&reaper_lock);
	for (;;) {
		while (list_is_empty(&reaper_list))
			(void)waitq_sleep(&reaper_wait, &reaper_lock, NSEC_NEVER, 0);
		struct user_thread *ut = list_first(&reaper_list, struct user_thread, link);
		list_remove(&ut->link);
		spin_unlock(&reaper_lock);
		thread_join(&ut->thread);
		user_thread_free(ut);
		spin_lock(&reaper_lock);
	}
}

void reaper_init(void)
{
	vaddr_t stack = kva_alloc_stack();
	ASSERT(stack); /* at boot */
	waitq_init(&reaper_wait);
	thread_init(&reaper_thread, "reaper", stack, KSTACK_PAGES * PAGE_SIZE, reap, NULL);
	thread_start(&reaper_thread);
}

void reaper_take(struct user_thread *ut)
{
	spin_lock(&reaper_lock);
	list_push_back(&reaper_list, &ut->link);
	waitq_wake_one(&reaper_wait);
	spin_unlock(&reaper_lock);
}

void process_begin_exit_locked(struct process *p, int wait_status)
{
	ASSERT_HELD(&process_tree_lock);
	if (p->exiting)
		return;
	p->exiting = true;
	p->wait_status = wait_status;
	list_for_each (it, &p->threads) {
		struct user_thread *ut = list_entry(it, struct user_thread, link);
		if (ut != p->core.writer)
			thread_interrupt(&ut->thread, THREAD_KILLED);
	}
}

void process_begin_exit(struct process *p, int wait_status)
{
	spin_lock(&process_tree_lock);
	process_begin_exit_locked(p, wait_status);
	spin_unlock(&process_tree_lock);
}

/* The current thread stops using its process's memory; what is loaded stays loaded until another space is. */
static void leave_space(void)
{
	struct thread *t = current_thread();
	uint64_t irq = irq_save();
	t->space = NULL;
	t->mmu = NULL;
	irq_restore(irq);
}

/* Who takes p's children over: its nearest living ancestor that asked for that (PR_SET_CHILD_SUBREAPER), or
 * NULL. */
static struct process *find_reaper_locked(const struct process *p)
{
	for (struct process *a = p->parent; a; a = a->parent)
		if (a->child_subreaper && a->state == PROCESS_ALIVE && !a->exiting)
			return a;
	return NULL;
}

static void give_child_locked(struct process *child, struct process *reaper)
{
	list_remove(&child->sibling_link);
	list_push_back(&reaper->children, &child->sibling_link);
	child->parent = reaper;
	child->creator = list_first(&reaper->threads, struct user_thread, link);
	child->exit_signal = SIGNAL_CHLD;
	store_relaxed(&child->ppid, reaper->pid);
	if (child->state != PROCESS_DEAD)
		return;
	struct signal_reserve none;
	signal_reserve(&none, SIGNAL_CHLD, 0);
	signal_parent_locked(child, child->wait_status, &none);
}

/* Children that the thread made learn of its end if they asked for that, and belong to another one from here
 * on. */
static void part_from_children_locked(struct user_thread *ut)
{
	struct process *p = ut->thread.process;
	struct user_thread *next = p->nthreads ? list_first(&p->threads, struct user_thread, link) : NULL;
	list_for_each (it, &p->children) {
		struct process *child = list_entry(it, struct process, sibling_link);
		if (child->creator != ut)
			continue;
		child->creator = next;
		list_for_each (thread, &child->threads) {
			int signal = list_entry(thread, struct user_thread, link)->parent_death_signal;
			if (signal)
				signal_plain_locked(child, signal);
		}
	}
}

/* The children of a dying process go to the one that takes them over. If there is none, nobody waits for them
 * any more: the dead ones are forgiven (moved to `gone`), the living become orphans. */
static void orphan_children_locked(struct process *p, struct list *gone)
{
	struct process *reaper = find_reaper_locked(p);
	list_for_each_safe (it, &p->children) {
		struct process *child = list_entry(it, struct process, sibling_link);
		if (reaper) {
			give_child_locked(child, reaper);
			if (child->state != PROCESS_DEAD)
				process_rescue_group_locked(child, p);
			continue;
		}
		if (child->state == PROCESS_DEAD) {
			process_leave_tree_locked(child);
			list_push_back(gone, &child->sibling_link);
			continue;
		}
		list_remove(&child->sibling_link);
		child->parent = NULL;
		child->creator = NULL;
		store_relaxed(&child->ppid, PID_INIT);
		process_rescue_group_locked(child, p);
	}
}

void user_thread_release_memory(void)
{
	struct user_thread *ut = current_user_thread();
	struct process *p = ut->thread.process;
	uaddr_t robust = ut->robust_list, clear = ut->clear_tid;
	static const uint32_t zero;
	ut->robust_list = ut->clear_tid = 0;
	rseq_forget();
	futex_release_robust(robust);
	if (!clear)
		return;
	spin_lock(&process_tree_lock);
	bool shared = p->nthreads > 1;
	spin_unlock(&process_tree_lock);
	/* Nobody else sees the memory of the last thread: then the word is left alone, as on Linux. */
	if ((shared || ref_count(&p->space->refs) > 1) && !copy_to_user(clear, &zero, sizeof(zero)))
		futex_tell(clear);
}

/* A parent that ignores SIGCHLD or has set SA_NOCLDWAIT does not wait: forgiven at once, as an orphan is. */
static bool tell_parent_locked(struct process *p, struct signal_reserve *r)
{
	if (!p->parent)
		return false;
	bool waits = !signal_parent_reaps_not_locked(p);
	signal_parent_locked(p, p->wait_status, r);
	return waits;
}

/* The last thread of p is here, and uses p's space no more: p becomes dead. */
static void process_die(struct process *p)
{
	struct list gone;
	struct signal_reserve reserve;
	list_init(&gone);
	signal_reserve(&reserve, p->exit_signal, 1);
	sem_exit(p);
	process_release_program(p);
	process_timers_fini(p);
	process_leave_tty(p);
	spin_lock(&process_tree_lock);
	struct vm_space *space = p->space;
	usage_note_memory(&p->usage, space);
	p->space = NULL; /* from here on nobody finds it */
	spin_unlock(&process_tree_lock);
	space_put(space);
	vm_memory_came();
	spin_lock(&process_tree_lock);
	p->state = PROCESS_DEAD;
	process_leave_parents_memory_locked(p);
	orphan_children_locked(p, &gone);
	process_rescue_group_locked(p, p->parent);
	if (!tell_parent_locked(p, &reserve)) {
		process_leave_tree_locked(p);
		list_push_back(&gone, &p->sibling_link);
	}
	waitq_wake_all(&p->dead_wait);
	pidfd_process_died_locked(p);
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&reserve);
	while (!list_is_empty(&gone)) {
		struct process *forgiven = list_first(&gone, struct process, sibling_link);
		list_remove(&forgiven->sibling_link);
		process_put(forgiven);
	}
}

void user_thread_exit(int wait_status)
{
	struct user_thread *ut = current_user_thread();
	struct process *p = ut->thread.process;
	struct signal_reserve dropped;
	signal_reserve(&dropped, 0, 0);
	core_park();
	trace_exit(wait_status);
	user_thread_release_memory();
	leave_space();
	user_thread_release_files(ut);
	spin_lock(&process_tree_lock);
	list_remove(&ut->link);
	list_remove(&ut->tid_link);
	threadfd_thread_ended_locked(ut, wait_status);
	struct usage used = thread_usage(&ut->thread);
	usage_add(&p->usage, &used);
	signal_thread_gone_locked(ut, &dropped);
	bool last = --p->nthreads == 0;
	if (!user_thread_is_first(ut))
		nproc_remove_locked(ut->cred->uid);
	part_from_children_locked(ut);
	signal_stop_check_locked(p);
	signal_retarget_locked(p);
	if (last && !p->exiting) {
		p->exiting = true;
		p->wait_status = wait_status;
	}
	if (p->nthreads == 1)
		waitq_wake_all(&p->exec_wait);
	core_thread_gone_locked(p);
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&dropped);
	if (last)
		process_die(p);
	reaper_take(ut);
	thread_exit();
}

void process_exit(int wait_status)
{
	process_begin_exit(current_process(), wait_status);
	user_thread_exit(wait_status);
}

int process_wait_dead(struct process *p)
{
	spin_lock(&process_tree_lock);
	while (p->state == PROCESS_ALIVE)
		(void)waitq_sleep(&p->dead_wait, &process_tree_lock, NSEC_NEVER, 0);
	int status = p->wait_status;
	spin_unlock(&process_tree_lock);
	return status;
}

err_t process_wait_gone(struct process *p)
{
	err_t err = 0;
	spin_lock(&process_tree_lock);
	while (p->state == PROCESS_ALIVE && !err)
		err = waitq_sleep(&p->dead_wait, &process_tree_lock, NSEC_NEVER, WAIT_KILLABLE);
	spin_unlock(&process_tree_lock);
	return err;
}

static void end_one_locked(struct process *p, UNUSED void *arg)
{
	process_begin_exit_locked(p, wait_status_killed(SIGNAL_KILL));
	core_interrupt_locked(p);
}

void process_end_all(void)
{
	while (process_count() || user_thread_count()) {
		process_for_each(end_one_locked, NULL); /* again and again: a fork may have been under way */
		(void)thread_sleep_until(clock_now() + END_POLL);
	}
}

static bool wait_matches(
    const struct wait_request *r, const struct process *parent, const struct process *child)
{
	if (!r->any_signal && (child->exit_signal != SIGNAL_CHLD) != r->other_signal)
		return false;
	if (r->own_only && child->creator != current_user_thread())
		return false;
	if (r->pgid)
		return child->pgid == r->pgid;
	if (r->pid > 0)
		return child->pid == (uint32_t)r->pid;
	if (r->pid == -1)
		return true;
	return child->pgid == (r->pid == 0 ? parent->pgid : -(uint32_t)r->pid);
}

/* Has the child stopped or gone on in a way that r asks for and was not told yet? */
static bool has_report(const struct wait_request *r, const struct process *child)
{
	int report = child->signals.report;
	return report && (r->options & (report == WAIT_STATUS_CONTINUED ? WAIT_CONTINUED : WAIT_UNTRACED));
}

/* Look for a child that r asks for, dead or with a report. *exists: there is a child that it asks for, dead
 * or alive. */
static struct process *find_news_locked(
    const struct wait_request *r, const struct process *parent, bool *exists)
{
	*exists = false;
	list_for_each (it, &parent->children) {
		struct process *child = list_entry(it, struct process, sibling_link);
		if (!wait_matches(r, parent, child))
			continue;
		if (child->state == PROCESS_DEAD && !(r->options & WAIT_EXITED))
			continue; /* what is asked for will not happen to it any more */
		*exists = true;
		if (child->state == PROCESS_DEAD || has_report(r, child))
			return child;
	}
	return NULL;
}

static void tell_locked(struct wait_request *r, struct process *child)
{
	r->found = child->pid;
	r->uid = process_uid(child);
	r->status = child->state == PROCESS_DEAD ? child->wait_status : child->signals.report;
	r->usage = process_usage_locked(child);
	usage_add(&r->usage, &child->children_usage);
}

static void forgive_locked(const struct wait_request *r, struct process *parent, struct process *child)
{
	usage_add(&parent->children_usage, &r->usage);
	process_leave_tree_locked(child);
}

err_t process_wait(struct wait_request *r)
{
	struct process *parent = current_process(), *child;
	bool exists;
	err_t err = 0;
	r->found = 0;
	spin_lock(&process_tree_lock);
	while (!(child = find_news_locked(r, parent, &exists)) && !err) {
		if (!exists)
			err = -ECHILD;
		else if (r->options & WAIT_NOHANG)
			break;
		else
			err = waitq_sleep(
			    &parent->child_wait, &process_tree_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
	}
	bool ends = child && child->state == PROCESS_DEAD && !(r->options & WAIT_NOWAIT);
	if (child)
		tell_locked(r, child);
	if (ends)
		forgive_locked(r, parent, child);
	else if (child && !(r->options & WAIT_NOWAIT))
		child->signals.report = 0;
	spin_unlock(&process_tree_lock);
	if (ends)
		process_put(child);
	return child ? 0 : err;
}
