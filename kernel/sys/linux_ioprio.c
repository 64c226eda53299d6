/*
 * linux_ioprio.c - what threads are worth to disks. Remembered and told, and passed on to children; requests are served in the order in which they come, as on
 * Linux by a disk without an I/O scheduler.
 */
#include "proc/cred.h"
#include "sys/sys.h"

enum ioprio_which { IOPRIO_WHO_PROCESS = 1, IOPRIO_WHO_PGRP = 2, IOPRIO_WHO_USER = 3 };
enum ioprio_class { IOPRIO_CLASS_NONE, IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE };
enum {
	IOPRIO_CLASS_SHIFT = 13,
	IOPRIO_DATA_MASK = (1 << IOPRIO_CLASS_SHIFT) - 1,
	IOPRIO_LEVELS = 8,
	IOPRIO_NORMAL = 4
};

struct ioprio_call {
	int32_t which;
	uint32_t who;
	bool set, privileged;
	uint16_t value; /* to be set; of those found, the best */
	uint32_t uid, euid;
	bool found;
	err_t err;
};

static err_t check_value(int32_t value, bool privileged)
{
	int32_t data = value & IOPRIO_DATA_MASK;
	switch (value >> IOPRIO_CLASS_SHIFT) {
	case IOPRIO_CLASS_RT:
		if (!privileged)
			return -EPERM;
		return data < IOPRIO_LEVELS ? 0 : -EINVAL;
	case IOPRIO_CLASS_BE:
		return data < IOPRIO_LEVELS ? 0 : -EINVAL;
	case IOPRIO_CLASS_IDLE:
		return 0;
	case IOPRIO_CLASS_NONE:
		return data ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

/* Less is better; none counts as the middle of the ordinary class. */
static uint16_t better(uint16_t a, uint16_t b)
{
	enum { NORMAL = IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | IOPRIO_NORMAL };
	return MIN(a ? a : NORMAL, b ? b : NORMAL);
}

static void visit_thread(struct ioprio_call *c, struct process *p, struct user_thread *ut)
{
	uint32_t uid = process_uid(p);
	if (!c->set)
		c->value = c->found ? better(c->value, ut->io_priority) : ut->io_priority;
	else if (!c->privileged && uid != c->uid && uid != c->euid)
		c->err = -EPERM;
	else
		ut->io_priority = c->value;
	c->found = true;
}

static void visit_process(struct process *p, void *arg)
{
	struct ioprio_call *c = arg;
	if (c->err || (c->which == IOPRIO_WHO_PGRP ? p->pgid : process_uid(p)) != c->who)
		return;
	list_for_each (it, &p->threads)
		visit_thread(c, p, list_entry(it, struct user_thread, link));
}

static void visit_one(struct ioprio_call *c)
{
	spin_lock(&process_tree_lock);
	struct user_thread *ut = c->who ? user_thread_find_locked(c->who) : current_user_thread();
	if (ut)
		visit_thread(c, ut->thread.process, ut);
	spin_unlock(&process_tree_lock);
}

static err_t visit(struct ioprio_call *c, int32_t which, int32_t who)
{
	if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
		return -EINVAL;
	c->which = which;
	c->who = (uint32_t)who;
	c->uid = process_uid(current_process());
	c->euid = process_euid(current_process());
	c->privileged = current_is_privileged();
	if (!who && which == IOPRIO_WHO_PGRP)
		c->who = (uint32_t)sys_getpgrp();
	if (!who && which == IOPRIO_WHO_USER)
		c->who = c->uid;
	if (which == IOPRIO_WHO_PROCESS)
		visit_one(c);
	else
		process_for_each(visit_process, c);
	return c->found ? c->err : -ESRCH;
}

int64_t sys_ioprio_set(int32_t which, int32_t who, int32_t value)
{
	struct ioprio_call c = {.set = true, .value = (uint16_t)value};
	err_t err = check_value(value, current_is_privileged());
	return err ? err : visit(&c, which, who);
}

int64_t sys_ioprio_get(int32_t which, int32_t who)
{
	struct ioprio_call c = {.set = false};
	err_t err = visit(&c, which, who);
	return err ? err : c.value;
}
