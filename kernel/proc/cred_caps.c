/*
 * cred_caps.c - how capabilities follow from ids: when a process changes those, and when it runs a program.
 * The rules are Linux's (capabilities(7)); files have no capabilities of their own here, so that a program
 * gains some only where user id 0 is involved, or keeps those that are ambient.
 */
#include "proc/cred.h"

enum { ROOT = 0 };

static bool any_is_root(const struct cred *c)
{
	return c->uid == ROOT || c->euid == ROOT || c->suid == ROOT;
}

void cred_follow_uids(struct cred *new, const struct cred *old)
{
	if (old->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (any_is_root(old) && !any_is_root(new)) {
		if (!(old->securebits & SECBIT_KEEP_CAPS))
			new->permitted = new->effective = 0;
		new->ambient = 0;
	}
	if (old->euid == ROOT && new->euid != ROOT)
		new->effective = 0;
	if (old->euid != ROOT && new->euid == ROOT)
		new->effective = new->permitted;
}

void cred_follow_fsuid(struct cred *new, const struct cred *old)
{
	if (old->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (old->fsuid == ROOT && new->fsuid != ROOT)
		new->effective &= ~CAP_FILES;
	if (old->fsuid != ROOT && new->fsuid == ROOT)
		new->effective |= new->permitted &CAP_FILES;
}

/* The program of somebody who could be steered, or has promised, gains nothing; its ids stay only if its user
 * could have set them. */
static void hold_back(struct cred *new, const struct cred *old, const struct cred_exec *x)
{
	if (!cap_set_has(old->effective, CAP_SETUID) || x->no_new_privs) {
		new->euid = new->uid;
		new->egid = new->gid;
	}
	new->permitted &= old->permitted;
}

void cred_follow_exec(struct cred *new, const struct cred *old, struct cred_exec *x)
{
	bool root_counts = !(old->securebits & SECBIT_NOROOT), effective = root_counts && new->euid == ROOT;
	new->permitted =
	    root_counts && (new->uid == ROOT || effective) ? old->bounding | old->inheritable : 0;
	bool gains = !cap_set_within(new->permitted, old->permitted);
	bool sets_ids = new->euid != old->uid || new->egid != old->gid;
	if ((gains || sets_ids) && (x->shared || x->no_new_privs))
		hold_back(new, old, x);
	new->suid = new->fsuid = new->euid;
	new->sgid = new->fsgid = new->egid;
	if (sets_ids)
		new->ambient = 0;
	new->permitted |= new->ambient;
	new->effective = effective ? new->permitted : new->ambient;
	new->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
	x->clears_personality = gains;
	x->secure =
	    sets_ids || (new->uid != ROOT && (effective || !cap_set_within(new->permitted, new->ambient)));
}
