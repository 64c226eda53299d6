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

/* Has `new` rights that others who had the same as `old` need not have? */
static bool rights_differ(const struct cred *new, const struct cred *old)
{
	return new->euid != old->euid || new->egid != old->egid || new->fsuid != old->fsuid ||
	       new->fsgid != old->fsgid || !cap_set_within(new->permitted, old->permitted);
}

static void forget_parent_death_signal(void)
{
	spin_lock(&process_tree_lock);
	current_user_thread()->parent_death_signal = 0;
	spin_unlock(&process_tree_lock);
}

void process_set_cred(struct cred *new)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	struct cred *old = p->cred;
	p->cred = new;
	spin_unlock(&p->lock);
	if (rights_differ(new, old)) {
		store_relaxed(&p->core.dumpable, core_suid_dumpable());
		forget_parent_death_signal();
	}
	nproc_move(p, new->uid);
	cred_put(old);
}

void process_note_rights(bool secure)
{
	struct process *p = current_process();
	struct cred *c = process_cred(p);
	if (c->euid != c->uid || c->egid != c->gid)
		store_relaxed(&p->core.dumpable, core_suid_dumpable());
	if (secure)
		forget_parent_death_signal();
	cred_put(c);
}

uint32_t process_uid(struct process *p)
{
	spin_lock(&p->lock);
	uint32_t uid = p->cred->uid;
	spin_unlock(&p->lock);
	return uid;
}

uint32_t process_euid(struct process *p)
{
	spin_lock(&p->lock);
	uint32_t euid = p->cred->euid;
	spin_unlock(&p->lock);
	return euid;
}

bool process_can(struct process *p, enum capability cap)
{
	spin_lock(&p->lock);
	bool can = cap_set_has(p->cred->effective, cap);
	spin_unlock(&p->lock);
	return can;
}

bool current_can(enum capability cap)
{
	return !current_process() || process_can(current_process(), cap);
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
