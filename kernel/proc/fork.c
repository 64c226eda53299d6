/*
 * fork.c - the child of a process: a copy of its memory in time that does not depend on how much there is,
 * and one thread that goes on where the parent's thread stands.
 *
 * Everything is made before the child can be seen; a failure takes it all down again and the parent is as it
 * was.
 */
#include "proc/process.h"
#include "vm/space.h"

static void inherit(struct process *child, struct process *parent)
{
	mutex_lock(&parent->brk_lock);
	child->brk_start = parent->brk_start;
	child->brk = parent->brk;
	mutex_unlock(&parent->brk_lock);
}

static err_t start_child(struct process *child, const struct trap_frame *frame)
{
	struct user_thread *ut;
	err_t err = user_thread_create(child, current_thread()->name, &ut);
	if (err)
		return err;
	ut->start = *frame;
	user_frame_set_result(&ut->start, 0);
	signal_fork(child, ut);
	err = user_state_copy(&ut->thread);
	if (!err)
		err = user_thread_launch(ut);
	if (err)
		user_thread_free(ut);
	return err;
}

err_t process_fork(const struct trap_frame *frame, uint32_t *child_pid)
{
	struct process *parent = current_process(), *child;
	struct vm_space *space;
	err_t err = space_fork(parent->space, &space);
	if (err)
		return err;
	err = process_create(parent, space, parent->name, &child);
	if (err) {
		space_put(space);
		return err;
	}
	inherit(child, parent);
	*child_pid = child->pid;
	err = start_child(child, frame);
	if (err)
		process_discard(child);
	else
		process_put(child);
	return err;
}
