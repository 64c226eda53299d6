/*
 * exec_cred.c - whose rights a program runs with.
 *
 * A set-user-ID program gets the owner of its file as effective user, a set-group-ID program its group, unless the mount or the process (no_new_privs) forbids it, or somebody without
 * these rights could still steer the process: it shares its working directory with another process. The saved and file ids follow the effective ones at every exec.
 */
#include "fs/file.h"
#include "fs/mount.h"
#include "proc/cred.h"
#include "proc/exec_priv.h"
#include "proc/place.h"
#include "proc/process.h"

enum { SET_UID = 04000, SET_GID = 02000, GROUP_EXECUTES = 0010 };

static bool file_may_give_rights(const struct exec_load *l)
{
	const struct file *f = l->args->file;
	bool bound = current_process() == l->process && current_user_thread()->no_new_privs;
	return !bound && !(load_relaxed(&f->mount->flags) & MOUNT_NOSUID);
}

/* Somebody else can change the place that the program would look at. */
static bool place_is_shared(const struct process *p)
{
	return ref_count(&p->place->refs) > 1;
}

/* The effective ids that the file gives. */
static void ids_of_file(struct exec_load *l, uint32_t *euid, uint32_t *egid)
{
	struct vnode *v = l->args->file->vnode;
	rwlock_read(&v->lock);
	uint32_t mode = v->mode, uid = v->uid, gid = v->gid;
	rwlock_read_unlock(&v->lock);
	if (!file_may_give_rights(l))
		return;
	bool sets_uid = mode & SET_UID, sets_gid = (mode & SET_GID) && (mode & GROUP_EXECUTES);
	if (sets_uid)
		*euid = uid;
	if (sets_gid)
		*egid = gid;
	if (sets_uid || sets_gid)
		l->personality &= ~(uint32_t)PERSONALITY_CLEARED_ON_SETID;
}

static err_t set_ids(struct exec_load *l, uint32_t euid, uint32_t egid)
{
	struct cred *old = l->cred, *c;
	if (euid == old->euid && egid == old->egid && euid == old->suid && egid == old->sgid &&
	    euid == old->fsuid && egid == old->fsgid)
		return 0;
	err_t err = cred_copy(old, NULL, 0, &c);
	if (err)
		return err;
	c->euid = c->suid = c->fsuid = euid;
	c->egid = c->sgid = c->fsgid = egid;
	cred_put(old);
	l->cred = c;
	l->new_cred = true;
	return 0;
}

err_t exec_choose_cred(struct exec_load *l)
{
	struct process *p = l->process;
	l->cred = process_cred(p);
	l->personality = load_relaxed(&p->personality);
	uint32_t euid = l->cred->euid, egid = l->cred->egid;
	ids_of_file(l, &euid, &egid);
	bool changes = euid != l->cred->uid || egid != l->cred->gid;
	if (changes && l->cred->euid != 0 && place_is_shared(p)) {
		euid = l->cred->uid;
		egid = l->cred->gid;
	}
	l->secure = changes;
	return set_ids(l, euid, egid);
}
