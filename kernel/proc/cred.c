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
	return cred_alloc(0, out);
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

void process_set_cred(struct cred *new)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	struct cred *old = p->cred;
	p->cred = new;
	spin_unlock(&p->lock);
	nproc_move(p, new->uid);
	cred_put(old);
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

bool current_is_privileged(void)
{
	return process_euid(current_process()) == 0;
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
