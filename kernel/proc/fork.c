/*
 * fork.c - new threads, and new processes: the child of a process has a copy of its memory, made in time that
 * does not depend on how much there is, or the memory itself, and one thread that goes on where the parent's
 * thread stands.
 *
 * Everything is made before the child can be seen; a failure takes it all down again and the parent is as it
 * was, but for ids that were told already.
 */
#include "arch/usercopy.h"
#include "fs/file.h"
#include "object/desc.h"
#include "proc/pidfd.h"
#include "proc/process.h"
#include "proc/timers.h"
#include "vm/copy.h"
#include "vm/space.h"

/* The memory of the child, with a reference. */
static err_t make_space(const struct clone_request *c, struct vm_space **out)
{
	struct vm_space *own = current_thread()->space;
	if (c->share_memory) {
		space_get(own);
		*out = own;
		return 0;
	}
	err_t err = space_fork(own, out);
	if (err)
		return err;
	mutex_lock(&own->brk_lock);
	(*out)->brk_start = own->brk_start; /* nobody else sees it yet */
	(*out)->brk = own->brk;
	mutex_unlock(&own->brk_lock);
	store_relaxed(&(*out)->barriers, load_relaxed(&own->barriers));
	return 0;
}

/* Tell the id where the request wants it. Addresses that do not work are the caller's loss, as on Linux. */
static void tell_id(const struct clone_request *c, const struct user_thread *ut)
{
	uint32_t id = ut->thread.tid;
	size_t done;
	if (c->parent_tid)
		done = sizeof(id) - copy_to_user_partial(c->parent_tid, &id, sizeof(id));
	if (c->child_tid && space_write(ut->thread.process->space, c->child_tid, &id, sizeof(id), &done))
		done = 0;
	(void)done;
}

/* Whoever said so (SCHED_RESET_ON_FORK) keeps its rank among the threads to itself. */
static void inherit_policy(struct user_thread *child, struct user_thread *self)
{
	struct thread_policy policy = thread_policy(&self->thread);
	if (self->policy_resets && policy.rt_priority)
		policy = (struct thread_policy){.policy = POLICY_OTHER};
	else if (self->policy_resets && policy.nice < 0)
		policy.nice = 0;
	thread_set_policy(&child->thread, &policy);
	child->io_priority = self->io_priority;
}

void user_thread_inherit(struct user_thread *ut, struct user_thread *from)
{
	ut->thread.affinity = from->thread.affinity;
	inherit_policy(ut, from);
	store_relaxed(&ut->no_new_privs, load_relaxed(&from->no_new_privs));
	store_relaxed(&ut->too_many, load_relaxed(&from->too_many));
	ut->timer_slack_default = load_relaxed(&from->timer_slack);
	store_relaxed(&ut->timer_slack, ut->timer_slack_default);
}

static void inherit_signals(struct user_thread *ut, const struct clone_request *c)
{
	if (ut->thread.process == current_process())
		signal_clone(ut);
	else
		signal_fork(ut->thread.process, ut, c->clear_handlers);
	if (!c->thread && !c->share_memory)
		rseq_fork(ut);
	else if (!c->wait_for_exec) /* two threads cannot use one alternate stack */
		ut->signals.altstack = (struct user_altstack){.flags = SS_DISABLE};
}

/* One more thread of p, which is current or new, complete but not started. */
static err_t make_thread(struct process *p, const struct clone_request *c, const struct trap_frame *frame,
    struct user_thread **out)
{
	struct user_thread *ut;
	if (c->sp && !guard_check_stack(c->sp - 1, c->sp))
		return -EFAULT;
	err_t err = user_thread_create(p, current_thread()->name, c->number, &ut);
	if (err)
		return err;
	ut->start = *frame;
	user_frame_set_result(&ut->start, 0);
	if (c->sp)
		user_frame_set_sp(&ut->start, c->sp);
	ut->clear_tid = c->clear_tid;
	user_thread_inherit(ut, current_user_thread());
	inherit_signals(ut, c);
	err = user_thread_copy_files(ut, c->share);
	if (!err)
		err = user_state_copy(&ut->thread);
	if (!err && c->set_tls)
		err = user_state_set_tls(&ut->thread, c->tls);
	if (err)
		user_thread_free(ut);
	else
		*out = ut;
	return err;
}

/* The thread is freed if it cannot run. */
static err_t launch(struct user_thread *ut, const struct clone_request *c, uint32_t *id)
{
	*id = ut->thread.tid;
	tell_id(c, ut);
	err_t err = user_thread_launch(ut);
	if (err)
		user_thread_free(ut);
	else
		store_relaxed(&current_user_thread()->too_many, false); /* by now its user has not */
	return err;
}

void process_leave_parents_memory_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	p->has_memory_of_parent = false;
	waitq_wake_all(&p->vfork_wait);
}

static void wait_for_exec(struct process *child)
{
	err_t err = 0;
	spin_lock(&process_tree_lock);
	while (child->has_memory_of_parent && !err)
		err = waitq_sleep(&child->vfork_wait, &process_tree_lock, NSEC_NEVER, WAIT_KILLABLE);
	spin_unlock(&process_tree_lock);
}

/* A descriptor that stands for the child, for its maker alone: the child has its copy of the others by now.
 */
static err_t give_pidfd(const struct clone_request *c, struct process *child, int *fd)
{
	struct file *f;
	err_t err = pidfd_create(child, 0, &f);
	if (err)
		return err;
	*fd = desc_install(current_descs(), &f->object, pidfd_rights(f), true, 0,
	    (int)MIN(current_limit(RLIMIT_NOFILE), (uint64_t)DESC_LIMIT_MAX));
	file_put(f); /* the table has its own reference */
	if (*fd < 0)
		return *fd;
	return copy_to_user(c->pidfd, fd, sizeof(*fd));
}

void process_inherit_rules(struct process *child)
{
	const struct process *self = current_process();
	store_relaxed(&child->core.dumpable, load_relaxed(&self->core.dumpable));
	store_relaxed(&child->guards, load_relaxed(&self->guards));
	store_relaxed(&child->core.filter, load_relaxed(&self->core.filter));
}

/* The first thread of a new process, and what its maker gets of it. */
static err_t start_child(
    struct process *child, const struct clone_request *c, const struct trap_frame *frame, uint32_t *id)
{
	struct user_thread *ut;
	int fd = -1;
	err_t err = make_thread(child, c, frame, &ut);
	if (err)
		return err;
	err = c->give_pidfd ? give_pidfd(c, child, &fd) : 0;
	if (err)
		user_thread_free(ut);
	else
		err = launch(ut, c, id);
	if (err && fd >= 0 && desc_close(current_descs(), fd))
		fd = -1; /* another thread was faster */
	return err;
}

static err_t clone_process(const struct clone_request *c, const struct trap_frame *frame, uint32_t *id)
{
	struct process *parent = current_process(), *child;
	struct vm_space *space;
	err_t err = make_space(c, &space);
	if (err)
		return err;
	const struct process_wish wish = {
	    .share = c->share, .number = c->number, .exit_signal = c->exit_signal};
	err = process_create(parent, space, parent->name, &wish, &child);
	if (err) {
		space_put(space);
		return err;
	}
	process_inherit_rules(child);
	child->has_memory_of_parent = c->wait_for_exec; /* no thread yet that could change it */
	err = start_child(child, c, frame, id);
	if (err) {
		process_discard(child);
		return err;
	}
	if (child->limits[RLIMIT_CPU].soft != RLIMIT_INFINITY) /* who sets it meanwhile watches it */
		process_timers_limit(child);
	if (c->wait_for_exec)
		wait_for_exec(child);
	process_put(child);
	return 0;
}

static err_t clone_thread(const struct clone_request *c, const struct trap_frame *frame, uint32_t *id)
{
	struct user_thread *ut;
	err_t err = make_thread(current_process(), c, frame, &ut);
	return err ? err : launch(ut, c, id);
}

err_t process_clone(const struct clone_request *c, const struct trap_frame *frame, uint32_t *id)
{
	return c->thread ? clone_thread(c, frame, id) : clone_process(c, frame, id);
}
