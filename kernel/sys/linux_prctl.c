/* linux_prctl.c - prctl: small properties of threads and processes. */
#include "kern/thread.h"
#include "lib/string.h"
#include "sys/caps.h"
#include "sys/sys.h"
#include "vm/space.h"

enum prctl_options { /* the ABI's */
	PR_SET_PDEATHSIG = 1,
	PR_GET_PDEATHSIG = 2,
	PR_GET_DUMPABLE = 3,
	PR_SET_DUMPABLE = 4,
	PR_GET_KEEPCAPS = 7,
	PR_SET_KEEPCAPS = 8,
	PR_SET_NAME = 15,
	PR_GET_NAME = 16,
	PR_GET_SECCOMP = 21,
	PR_CAPBSET_READ = 23,
	PR_CAPBSET_DROP = 24,
	PR_GET_SECUREBITS = 27,
	PR_SET_SECUREBITS = 28,
	PR_SET_TIMERSLACK = 29,
	PR_GET_TIMERSLACK = 30,
	PR_SET_CHILD_SUBREAPER = 36,
	PR_GET_CHILD_SUBREAPER = 37,
	PR_SET_NO_NEW_PRIVS = 38,
	PR_GET_NO_NEW_PRIVS = 39,
	PR_SET_THP_DISABLE = 41,
	PR_GET_THP_DISABLE = 42,
	PR_CAP_AMBIENT = 47,
};

static int64_t set_name(uaddr_t from)
{
	char name[THREAD_NAME_MAX] = {0};
	int64_t len = copy_string_from_user(name, from, sizeof(name) - 1);
	if (len < 0 && len != -ENAMETOOLONG)
		return len;
	name[sizeof(name) - 1] = 0; /* what is longer is cut */
	memcpy(current_thread()->name, name, sizeof(name));
	return 0;
}

static int64_t get_name(uaddr_t to)
{
	char name[THREAD_NAME_MAX];
	memcpy(name, current_thread()->name, sizeof(name));
	return copy_to_user(to, name, sizeof(name));
}

static int64_t set_parent_death_signal(uint64_t signal)
{
	if (signal > SIGNAL_MAX)
		return -EINVAL;
	spin_lock(&process_tree_lock);
	current_user_thread()->parent_death_signal = (int)signal;
	spin_unlock(&process_tree_lock);
	return 0;
}

static int64_t set_subreaper(bool on)
{
	spin_lock(&process_tree_lock);
	current_process()->child_subreaper = on;
	spin_unlock(&process_tree_lock);
	return 0;
}

/* DUMP_ROOT comes only by itself. */
static int64_t set_dumpable(struct process *p, uint64_t value)
{
	if (value != DUMP_NOBODY && value != DUMP_USER)
		return -EINVAL;
	store_relaxed(&p->core.dumpable, (uint32_t)value);
	return 0;
}

static int64_t set_timer_slack(int64_t ns)
{
	struct user_thread *ut = current_user_thread();
	store_relaxed(&ut->timer_slack, ns > 0 ? (uint64_t)ns : ut->timer_slack_default);
	return 0;
}

static int64_t put_int(uaddr_t to, int32_t value)
{
	return copy_to_user(to, &value, sizeof(value));
}

int64_t sys_prctl(int32_t option, uint64_t arg, uint64_t arg3, uint64_t arg4, uint64_t arg5)
{
	struct process *p = current_process();
	struct user_thread *ut = current_user_thread();
	switch (option) {
	case PR_SET_PDEATHSIG:
		return set_parent_death_signal(arg);
	case PR_GET_PDEATHSIG:
		return put_int(arg, ut->parent_death_signal);
	case PR_GET_DUMPABLE:
		return load_relaxed(&p->core.dumpable);
	case PR_SET_DUMPABLE:
		return set_dumpable(p, arg);
	case PR_GET_KEEPCAPS:
		return caps_kept();
	case PR_SET_KEEPCAPS:
		return caps_set_kept(arg);
	case PR_GET_SECUREBITS:
		return caps_securebits();
	case PR_SET_SECUREBITS:
		return caps_set_securebits(arg);
	case PR_SET_NAME:
		return set_name(arg);
	case PR_GET_NAME:
		return get_name(arg);
	case PR_GET_SECCOMP:
		return 0;
	case PR_CAPBSET_READ:
		return caps_bounding_has(arg);
	case PR_CAPBSET_DROP:
		return caps_drop_bounding(arg);
	case PR_CAP_AMBIENT:
		return caps_ambient(arg, arg3, arg4, arg5);
	case PR_SET_TIMERSLACK:
		return set_timer_slack((int64_t)arg);
	case PR_GET_TIMERSLACK:
		return (int64_t)load_relaxed(&ut->timer_slack);
	case PR_SET_CHILD_SUBREAPER:
		return set_subreaper(arg);
	case PR_GET_CHILD_SUBREAPER:
		return put_int(arg, p->child_subreaper);
	case PR_SET_NO_NEW_PRIVS:
		if (arg != 1 || arg3 || arg4 || arg5)
			return -EINVAL;
		store_relaxed(&ut->no_new_privs, true);
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return arg || arg3 || arg4 || arg5 ? -EINVAL : load_relaxed(&ut->no_new_privs);
	case PR_SET_THP_DISABLE:
		if (arg3 || arg4 || arg5)
			return -EINVAL;
		store_relaxed(&ut->thread.space->no_large, arg != 0);
		return 0;
	case PR_GET_THP_DISABLE:
		return arg || arg3 || arg4 || arg5 ? -EINVAL : load_relaxed(&ut->thread.space->no_large);
	default:
		return -EINVAL;
	}
}
