/* procfs_adjust.c - files of /proc/PID that set how a process is treated, and tell it. Forms: proc(5). */
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/cred.h"
#include "proc/oom.h"
#include "proc/procfs_adjust.h"
#include "proc/procfs_priv.h"

enum { OOM_OLD_MAX = 15, OOM_OLD_NEVER = -17 };

err_t proc_parse_number(const char *s, int64_t *out)
{
	bool minus;
	int64_t n = 0;
	while (*s == ' ' || *s == '\t' || *s == '\n')
		s++;
	minus = *s == '-';
	s += *s == '-' || *s == '+';
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *s - '0', &n))
			return -EINVAL;
	while (*s == ' ' || *s == '\t' || *s == '\n')
		s++;
	*out = minus ? -n : n;
	return *s ? -EINVAL : 0;
}

/* --- who goes first when memory is short --- */

void adjust_show_oom(struct text *t, struct vnode *v)
{
	text_printf(t, "%d\n", load_relaxed(&proc_node_of(v)->process->oom_adjust));
}

/* Only CAP_SYS_RESOURCE makes a process less likely to go than somebody with it has allowed. */
static int64_t set_oom(struct process *p, int32_t value, size_t n)
{
	bool privileged = current_can(CAP_SYS_RESOURCE);
	if (value < load_relaxed(&p->oom_adjust_min) && !privileged)
		return -EACCES;
	store_relaxed(&p->oom_adjust, value);
	if (privileged)
		store_relaxed(&p->oom_adjust_min, value);
	return (int64_t)n;
}

int64_t adjust_store_oom(struct vnode *v, char *s, size_t n)
{
	int64_t value;
	if (proc_parse_number(s, &value) || value < OOM_ADJUST_MIN || value > OOM_ADJUST_MAX)
		return -EINVAL;
	return set_oom(proc_node_of(v)->process, (int32_t)value, n);
}

/* The same on the scale of old. */
void adjust_show_oom_old(struct text *t, struct vnode *v)
{
	int32_t value = load_relaxed(&proc_node_of(v)->process->oom_adjust);
	text_printf(
	    t, "%d\n", value == OOM_ADJUST_MAX ? OOM_OLD_MAX : value * -OOM_OLD_NEVER / OOM_ADJUST_MAX);
}

int64_t adjust_store_oom_old(struct vnode *v, char *s, size_t n)
{
	int64_t value;
	if (proc_parse_number(s, &value) || value < OOM_OLD_NEVER || value > OOM_OLD_MAX)
		return -EINVAL;
	int32_t scaled =
	    value == OOM_OLD_MAX ? OOM_ADJUST_MAX : (int32_t)value * OOM_ADJUST_MAX / -OOM_OLD_NEVER;
	return set_oom(proc_node_of(v)->process, scaled, n);
}

/* What the process is chosen by, in thousandths of memory on Linux's scale: 667 for one that has nothing and
 * was not adjusted. */
void adjust_show_oom_score(struct text *t, struct vnode *v)
{
	int64_t points, total = (int64_t)frame_total_count();
	bool eligible = oom_points(proc_node_of(v)->process, &points);
	int64_t score = eligible ? (1000 + points * 1000 / total) * 2 / 3 : 0;
	text_printf(t, "%lld\n", (long long)MAX(score, (int64_t)0));
}

/* --- who logged in --- */

void adjust_show_login(struct text *t, struct vnode *v)
{
	text_printf(t, "%u", load_relaxed(&proc_node_of(v)->process->login_uid));
}

void adjust_show_session(struct text *t, struct vnode *v)
{
	text_printf(t, "%u", load_relaxed(&proc_node_of(v)->process->login_session));
}

/* Who is logged in already needs privilege to be somebody else. Each login is a session of its own. */
int64_t adjust_store_login(struct vnode *v, char *s, size_t n)
{
	static _Atomic uint32_t sessions;
	struct process *p = proc_node_of(v)->process;
	int64_t uid;
	if (p != current_process())
		return -EPERM;
	if (proc_parse_number(s, &uid) || uid < 0)
		return -EINVAL;
	if (uid > UINT32_MAX)
		return -ERANGE;
	if (load_relaxed(&p->login_uid) != LOGIN_UNSET && !current_can(CAP_AUDIT_CONTROL))
		return -EPERM;
	store_relaxed(
	    &p->login_session, uid == LOGIN_UNSET ? LOGIN_UNSET : fetch_add_relaxed(&sessions, 1) + 1);
	store_relaxed(&p->login_uid, (uint32_t)uid);
	return (int64_t)n;
}

/* --- the user namespace, of which there is one --- */

void adjust_show_id_map(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%10u %10u %10u\n", 0u, 0u, UINT32_MAX);
}

void adjust_show_setgroups(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "allow\n");
}

int64_t adjust_store_namespace(UNUSED struct vnode *v, UNUSED char *s, UNUSED size_t n)
{
	return -EPERM; /* it is settled for the first namespace */
}

/* --- others --- */

void adjust_show_personality(struct text *t, struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	if (!current_may_look(n->process, n->tid)) {
		t->err = -EPERM;
		return;
	}
	text_printf(t, "%08x\n", load_relaxed(&n->process->personality));
}

static bool may_see_slack(const struct proc_node *n)
{
	return n->process == current_process() || current_can(CAP_SYS_NICE);
}

void adjust_show_slack(struct text *t, struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	uint64_t slack = 0;
	if (!may_see_slack(n)) {
		t->err = -EPERM;
		return;
	}
	spin_lock(&process_tree_lock);
	struct user_thread *ut = proc_thread_locked(n);
	if (ut)
		slack = load_relaxed(&ut->timer_slack);
	spin_unlock(&process_tree_lock);
	text_printf(t, "%llu\n", (unsigned long long)slack);
}

int64_t adjust_store_slack(struct vnode *v, char *s, size_t n)
{
	const struct proc_node *node = proc_node_of(v);
	int64_t value;
	if (proc_parse_number(s, &value) || value < 0)
		return -EINVAL;
	if (!may_see_slack(node))
		return -EPERM;
	spin_lock(&process_tree_lock);
	struct user_thread *ut = proc_thread_locked(node);
	if (ut)
		store_relaxed(&ut->timer_slack, value ? (uint64_t)value : ut->timer_slack_default);
	spin_unlock(&process_tree_lock);
	return ut ? (int64_t)n : -ESRCH;
}

/* --- core files --- */

void adjust_show_core_filter(struct text *t, struct vnode *v)
{
	text_printf(t, "%08x\n", load_relaxed(&proc_node_of(v)->process->core.filter));
}

/* A number in any form that C knows; bits that nobody knows are dropped. */
int64_t adjust_store_core_filter(struct vnode *v, char *s, size_t n)
{
	uint64_t value;
	size_t len = strlen(s);
	if (len && s[len - 1] == '\n')
		s[--len] = 0;
	if (!str_to_u64(s, &value) || value > UINT32_MAX)
		return -EINVAL;
	store_relaxed(&proc_node_of(v)->process->core.filter, (uint32_t)value & CORE_FILTER_ALL);
	return (int64_t)n;
}
