/*
 * cred_caps.c - how capabilities follow from ids: when a process changes those, and when it runs a program.
 * The rules are Linux's (capabilities(7)): a program has those that its file gives or that user id 0 is
 * involved in, and keeps those that are ambient.
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

/* What the file gives: within the bounds, and what it and the process agree to pass on. A file whose
 * program does not ask which capabilities it has must give all. */
static err_t use_caps_of_file(struct cred *new, const struct file_caps *file)
{
	new->permitted = (new->bounding & file->permitted) | (new->inheritable & file->inheritable);
	return file->effective && !cap_set_within(file->permitted, new->permitted) ? -EPERM : 0;
}

/* User id 0 gives all, unless it is a set-user-ID program's that says what it needs. Is what it gives
 * effective? */
static bool use_caps_of_root(struct cred *new, const struct cred *old, const struct file_caps *file)
{
	bool becomes_root = new->uid != ROOT &&new->euid == ROOT;
	if ((old->securebits & SECBIT_NOROOT) || (file->present && becomes_root))
		return false;
	if (new->uid == ROOT || new->euid == ROOT)
		new->permitted = old->bounding | old->inheritable;
	return new->euid == ROOT;
}

err_t cred_follow_exec(struct cred *new, const struct cred *old, struct cred_exec *x)
{
	err_t err = use_caps_of_file(new, &x->file);
	if (err)
		return err;
	bool effective = use_caps_of_root(new, old, &x->file) || x->file.effective;
	bool gains = !cap_set_within(new->permitted, old->permitted);
	bool sets_ids = new->euid != old->uid || new->egid != old->gid;
	if ((gains || sets_ids) && (x->shared || x->no_new_privs))
		hold_back(new, old, x);
	new->suid = new->fsuid = new->euid;
	new->sgid = new->fsgid = new->egid;
	if (sets_ids || x->file.present)
		new->ambient = 0;
	new->permitted |= new->ambient;
	new->effective = effective ? new->permitted : new->ambient;
	new->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
	x->clears_personality = gains;
	x->secure =
	    sets_ids || (new->uid != ROOT && (effective || !cap_set_within(new->permitted, new->ambient)));
	return 0;
}
