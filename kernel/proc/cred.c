/* cred.c - see cred.h. */
#include "proc/cred.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

static err_t cred_alloc(unsigned ngroups, struct cred **out)
{
	struct cred *c = kzalloc(sizeof(*c) + ngroups * sizeof(c->groups[0]));
	if (!c)
		return -ENOMEM;
	ref_init(&c->refs);
	c->ngroups = ngroups;
	*out = c;
	return 0;
}

err_t cred_create_root(struct cred **out)
{
	err_t err = cred_alloc(0, out);
	if (!err)
		(*out)->permitted = (*out)->effective = (*out)->bounding = CAP_ALL;
	return err;
}

err_t cred_copy(const struct cred *from, const uint32_t *groups, unsigned ngroups, struct cred **out)
{
	if (!groups) {
		groups = from->groups;
		ngroups = from->ngroups;
	}
	struct cred *c;
	err_t err = cred_alloc(ngroups, &c);
	if (err)
		return err;
	c->uid = from->uid, c->euid = from->euid, c->suid = from->suid, c->fsuid = from->fsuid;
	c->gid = from->gid, c->egid = from->egid, c->sgid = from->sgid, c->fsgid = from->fsgid;
	c->permitted = from->permitted, c->effective = from->effective, c->inheritable = from->inheritable;
	c->bounding = from->bounding, c->ambient = from->ambient, c->securebits = from->securebits;
	memcpy(c->groups, groups, ngroups * sizeof(groups[0]));
	*out = c;
	return 0;
}

void cred_put(struct cred *c)
{
	if (ref_put(&c->refs))
		kfree(c);
}

struct cred *process_cred(struct process *p)
{
	spin_lock(&p->lock);
	struct cred *c = p->cred;
	cred_get(c);
	spin_unlock(&p->lock);
	return c;
}

struct cred *task_cred(struct process *p, uint32_t tid)
{
	spin_lock(&process_tree_lock);
	const struct user_thread *ut = tid ? user_thread_find_locked(tid) : NULL;
	struct cred *c = ut && ut->thread.process == p ? ut->cred : p->cred;
	cred_get(c);
	spin_unlock(&process_tree_lock);
	return c;
}

/* Has `new` rights that others who had the same as `old` need not have? */
static bool rights_differ(const struct cred *new, const struct cred *old)
{
	return new->euid != old->euid || new->egid != old->egid || new->fsuid != old->fsuid ||
	       new->fsgid != old->fsgid || !cap_set_within(new->permitted, old->permitted);
}

struct cred *cred_lead_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	struct cred *own = current_user_thread()->cred;
	cred_get(own);
	spin_lock(&p->lock);
	struct cred *old = p->cred;
	p->cred = own;
	spin_unlock(&p->lock);
	return old;
}

/* Others see what the new rights mean before they see these: who may look into the memory. */
void current_set_cred(struct cred *new)
{
	struct user_thread *ut = current_user_thread();
	struct process *p = ut->thread.process;
	struct cred *old = ut->cred, *led = NULL;
	uint64_t limit = current_limit(RLIMIT_NPROC);
	bool differ = rights_differ(new, old);
	if (differ)
		store_relaxed(&p->core.dumpable, core_suid_dumpable());
	spin_lock(&process_tree_lock);
	nproc_move_locked(ut, new->uid, limit);
	spin_lock(&p->lock);
	ut->cred = new;
	spin_unlock(&p->lock);
	if (user_thread_is_first(ut))
		led = cred_lead_locked(p);
	if (differ)
		ut->parent_death_signal = 0;
	spin_unlock(&process_tree_lock);
	cred_put(old);
	if (led)
		cred_put(led);
}

void process_note_rights(bool secure)
{
	struct user_thread *ut = current_user_thread();
	const struct cred *c = ut->cred;
	if (c->euid != c->uid || c->egid != c->gid)
		store_relaxed(&ut->thread.process->core.dumpable, core_suid_dumpable());
	if (!secure)
		return;
	spin_lock(&process_tree_lock);
	ut->parent_death_signal = 0;
	spin_unlock(&process_tree_lock);
}

uint32_t process_uid(struct process *p)
{
	spin_lock(&p->lock);
	uint32_t uid = p->cred->uid;
	spin_unlock(&p->lock);
	return uid;
}

_Atomic uint32_t log_is_restricted = 1;

bool current_may_read_log(void)
{
	return !load_relaxed(&log_is_restricted) || current_can(CAP_SYSLOG) || current_can(CAP_SYS_ADMIN);
}

bool cred_has_group(const struct cred *c, uint32_t gid)
{
	if (gid == c->egid)
		return true;
	for (unsigned i = 0; i < c->ngroups; i++)
		if (c->groups[i] == gid)
			return true;
	return false;
}
