/*
 * exec_cred.c - whose rights a program runs with.
 *
 * A set-user-ID program gets the owner of its file as effective user, a set-group-ID program its group,
 * unless the mount or the thread (no_new_privs) forbids it, or somebody without these rights could still
 * steer the process: it shares its working directory with another process. The file may give capabilities
 * too (fs/file_caps.c), unless the mount forbids it. The rest - the other ids, what capabilities come of it -
 * follows: cred_caps.c.
 */
#include "fs/file.h"
#include "fs/file_caps.h"
#include "fs/mount.h"
#include "proc/cred.h"
#include "proc/exec_priv.h"
#include "proc/place.h"
#include "proc/process.h"

enum { SET_UID = 04000, SET_GID = 02000, GROUP_EXECUTES = 0010 };

static bool mount_gives_rights(const struct exec_load *l)
{
	return !(load_relaxed(&l->args->file->mount->flags) & MOUNT_NOSUID);
}

/* The effective ids that the file gives. */
static void use_ids_of_file(struct exec_load *l, struct cred *c)
{
	struct vnode *v = l->args->file->vnode;
	rwlock_read(&v->lock);
	uint32_t mode = v->mode, uid = v->uid, gid = v->gid;
	rwlock_read_unlock(&v->lock);
	if (load_relaxed(&l->thread->no_new_privs) || !mount_gives_rights(l))
		return;
	bool sets_uid = mode & SET_UID, sets_gid = (mode & SET_GID) && (mode & GROUP_EXECUTES);
	if (sets_uid)
		c->euid = uid;
	if (sets_gid)
		c->egid = gid;
	if (sets_uid || sets_gid)
		l->personality &= ~(uint32_t)PERSONALITY_CLEARED_ON_SETID;
}

/* Whether something of it is new is not asked: running a program is no place where a copy of the credentials
 * counts. */
err_t exec_choose_cred(struct exec_load *l)
{
	struct process *p = l->thread->thread.process;
	const struct cred *old = l->thread->cred;
	bool own_place = place_freeze(l->thread);
	l->frozen = own_place ? l->thread->place : NULL;
	struct cred_exec x = {.shared = !own_place, .no_new_privs = load_relaxed(&l->thread->no_new_privs)};
	l->personality = load_relaxed(&p->personality);
	err_t err = cred_copy(old, NULL, 0, &l->cred);
	if (!err && mount_gives_rights(l))
		err = file_caps_of(l->args->file->vnode, &x.file);
	if (!err) {
		use_ids_of_file(l, l->cred);
		err = cred_follow_exec(l->cred, old, &x);
	}
	if (!err) {
		l->secure = x.secure;
		if (x.clears_personality)
			l->personality &= ~(uint32_t)PERSONALITY_CLEARED_ON_SETID;
	}
	return err;
}
