/*
 * linux_ioprio.c - priorities of input and output.
 *
 * A thread has one; programs set and read it. Requests to disks are served in the order they come, as Linux
 * does without a scheduler for the disk, so nothing else looks at it.
 */
#include "proc/cred.h"
#include "sys/sys.h"

enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_WHO_PGRP, IOPRIO_WHO_USER }; /* the ABI's */
enum { CLASS_NONE, CLASS_REAL_TIME, CLASS_BEST_EFFORT, CLASS_IDLE };
enum { CLASS_SHIFT = 13, CLASS_MASK = 7, LEVELS = 8 };

struct ioprio_call {
	int which;
	bool set;
	uint16_t priority; /* to be set; of those found, the best */
	uint32_t uid, euid;
	bool found;
	err_t err;
};

static uint16_t priority_of(unsigned class, unsigned level)
{
	return (uint16_t)(class << CLASS_SHIFT | level);
}

/* What counts for a thread that never set one: it follows from its nice level. */
static uint16_t effective(const struct user_thread *ut)
{
	if (ut->io_priority >> CLASS_SHIFT != CLASS_NONE)
		return ut->io_priority;
	unsigned class = ut->thread.rt_priority             ? CLASS_REAL_TIME
			 : ut->thread.policy == POLICY_IDLE ? CLASS_IDLE
							    : CLASS_BEST_EFFORT;
	return priority_of(class, (unsigned)(ut->thread.nice + 20) / 5);
}

static void visit(UNUSED struct process *p, struct user_thread *ut, void *arg)
{
	struct ioprio_call *c = arg;
	if (c->err)
		return;
	if (!c->set) {
		uint16_t its = c->which == IOPRIO_WHO_PROCESS ? ut->io_priority : effective(ut);
		c->priority = c->found ? MIN(c->priority, its) : its;
	} else if (ut->cred->uid != c->euid && ut->cred->uid != c->uid && !current_can(CAP_SYS_NICE)) {
		c->err = -EPERM;
	} else {
		ut->io_priority = c->priority;
	}
	c->found = true;
}

static err_t run(struct ioprio_call *c, int32_t which, int32_t who)
{
	if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
		return -EINVAL;
	c->which = which;
	c->uid = current_cred()->uid;
	c->euid = current_cred()->euid;
	user_threads_visit(WHO_THREAD + (unsigned)(which - IOPRIO_WHO_PROCESS), (uint32_t)who, visit, c);
	return c->found ? c->err : -ESRCH;
}

static err_t check_priority(uint32_t priority)
{
	uint32_t level = priority & ((1u << CLASS_SHIFT) - 1);
	switch (priority >> CLASS_SHIFT & CLASS_MASK) {
	case CLASS_REAL_TIME:
		if (!current_can(CAP_SYS_ADMIN) && !current_can(CAP_SYS_NICE))
			return -EPERM;
		return level >= LEVELS ? -EINVAL : 0;
	case CLASS_BEST_EFFORT:
		return level >= LEVELS ? -EINVAL : 0;
	case CLASS_IDLE:
		return 0;
	case CLASS_NONE:
		return level ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

int64_t sys_ioprio_set(int32_t which, int32_t who, int32_t priority)
{
	struct ioprio_call c = {.set = true, .priority = (uint16_t)priority};
	err_t err = check_priority((uint32_t)priority);
	return err ? err : run(&c, which, who);
}

int64_t sys_ioprio_get(int32_t which, int32_t who)
{
	struct ioprio_call c = {.set = false};
	err_t err = run(&c, which, who);
	return err ? err : c.priority;
}
