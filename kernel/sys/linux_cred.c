/*
 * linux_cred.c - user and group ids. What changes of them mean for capabilities: proc/cred_caps.c.
 *
 * Each call is about the calling thread alone; that POSIX has ids belong to the process is the C library's
 * business, which makes all threads call.
 */
#include "proc/cred.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sys/sys.h"

enum { ID_KEEP = UINT32_MAX }; /* no id */

/* --- asking --- */

struct id_set {
	uint32_t real, effective, saved, fs;
};

static struct id_set get_uids(void)
{
	const struct cred *c = current_cred();
	struct id_set ids = {c->uid, c->euid, c->suid, c->fsuid};
	return ids;
}

static struct id_set get_gids(void)
{
	const struct cred *c = current_cred();
	struct id_set ids = {c->gid, c->egid, c->sgid, c->fsgid};
	return ids;
}

int64_t sys_getuid(void)
{
	return get_uids().real;
}

int64_t sys_geteuid(void)
{
	return get_uids().effective;
}

int64_t sys_getgid(void)
{
	return get_gids().real;
}

int64_t sys_getegid(void)
{
	return get_gids().effective;
}

static err_t put_ids(struct id_set ids, uaddr_t real, uaddr_t effective, uaddr_t saved)
{
	err_t err = copy_to_user(real, &ids.real, sizeof(ids.real));
	if (!err)
		err = copy_to_user(effective, &ids.effective, sizeof(ids.effective));
	return err ? err : copy_to_user(saved, &ids.saved, sizeof(ids.saved));
}

int64_t sys_getresuid(uaddr_t real, uaddr_t effective, uaddr_t saved)
{
	return put_ids(get_uids(), real, effective, saved);
}

int64_t sys_getresgid(uaddr_t real, uaddr_t effective, uaddr_t saved)
{
	return put_ids(get_gids(), real, effective, saved);
}

/* --- changing --- */

enum which_ids { REAL_IDS, FS_IDS };

static err_t set_uids(const struct id_set *ids, enum which_ids which)
{
	const struct cred *old = current_cred();
	struct cred *new;
	err_t err = cred_copy(old, NULL, 0, &new);
	if (!err) {
		new->uid = ids->real, new->euid = ids->effective, new->suid = ids->saved,
		new->fsuid = ids->fs;
		if (which == REAL_IDS)
			cred_follow_uids(new, old);
		else
			cred_follow_fsuid(new, old);
		current_set_cred(new);
	}
	return err;
}

static err_t set_gids(const struct id_set *ids)
{
	const struct cred *old = current_cred();
	struct cred *new;
	err_t err = cred_copy(old, NULL, 0, &new);
	if (err)
		return err;
	new->gid = ids->real, new->egid = ids->effective, new->sgid = ids->saved, new->fsgid = ids->fs;
	current_set_cred(new);
	return 0;
}

/* setuid, setgid: privileged processes change all for good, others go between what they have. */
static err_t change_one(struct id_set *ids, uint32_t id, bool privileged)
{
	if (id == ID_KEEP)
		return -EINVAL;
	if (privileged)
		ids->real = ids->saved = id;
	else if (id != ids->real && id != ids->saved)
		return -EPERM;
	ids->effective = ids->fs = id;
	return 0;
}

/* setreuid, setregid. */
static err_t change_two(struct id_set *ids, uint32_t real, uint32_t effective, bool privileged)
{
	struct id_set old = *ids;
	if (real != ID_KEEP) {
		ids->real = real;
		if (real != old.real && real != old.effective && !privileged)
			return -EPERM;
	}
	if (effective != ID_KEEP) {
		ids->effective = effective;
		if (effective != old.real && effective != old.effective && effective != old.saved &&
		    !privileged)
			return -EPERM;
	}
	if (real != ID_KEEP || (effective != ID_KEEP && effective != old.real))
		ids->saved = ids->effective;
	ids->fs = ids->effective;
	return 0;
}

static bool is_own(const struct id_set *ids, uint32_t id)
{
	return id == ID_KEEP || id == ids->real || id == ids->effective || id == ids->saved;
}

/* setresuid, setresgid. */
static err_t change_three(
    struct id_set *ids, uint32_t real, uint32_t effective, uint32_t saved, bool privileged)
{
	if (!privileged && !(is_own(ids, real) && is_own(ids, effective) && is_own(ids, saved)))
		return -EPERM;
	ids->real = real == ID_KEEP ? ids->real : real;
	ids->effective = effective == ID_KEEP ? ids->effective : effective;
	ids->saved = saved == ID_KEEP ? ids->saved : saved;
	ids->fs = ids->effective;
	return 0;
}

int64_t sys_setuid(uint32_t uid)
{
	struct id_set ids = get_uids();
	err_t err = change_one(&ids, uid, current_can(CAP_SETUID));
	return err ? err : set_uids(&ids, REAL_IDS);
}

int64_t sys_setgid(uint32_t gid)
{
	struct id_set ids = get_gids();
	err_t err = change_one(&ids, gid, current_can(CAP_SETGID));
	return err ? err : set_gids(&ids);
}

int64_t sys_setreuid(uint32_t real, uint32_t effective)
{
	struct id_set ids = get_uids();
	err_t err = change_two(&ids, real, effective, current_can(CAP_SETUID));
	return err ? err : set_uids(&ids, REAL_IDS);
}

int64_t sys_setregid(uint32_t real, uint32_t effective)
{
	struct id_set ids = get_gids();
	err_t err = change_two(&ids, real, effective, current_can(CAP_SETGID));
	return err ? err : set_gids(&ids);
}

int64_t sys_setresuid(uint32_t real, uint32_t effective, uint32_t saved)
{
	struct id_set ids = get_uids();
	err_t err = change_three(&ids, real, effective, saved, current_can(CAP_SETUID));
	return err ? err : set_uids(&ids, REAL_IDS);
}

int64_t sys_setresgid(uint32_t real, uint32_t effective, uint32_t saved)
{
	struct id_set ids = get_gids();
	err_t err = change_three(&ids, real, effective, saved, current_can(CAP_SETGID));
	return err ? err : set_gids(&ids);
}

/* The id for files alone. The call has no way to tell errors: it returns what the id was. */
static bool change_fs(struct id_set *ids, uint32_t id, enum capability cap)
{
	if (id == ID_KEEP || !(is_own(ids, id) || id == ids->fs || current_can(cap)))
		return false;
	ids->fs = id;
	return true;
}

int64_t sys_setfsuid(uint32_t uid)
{
	struct id_set ids = get_uids();
	uint32_t old = ids.fs;
	if (change_fs(&ids, uid, CAP_SETUID) && set_uids(&ids, FS_IDS))
		return old; /* no memory: unchanged */
	return old;
}

int64_t sys_setfsgid(uint32_t gid)
{
	struct id_set ids = get_gids();
	uint32_t old = ids.fs;
	if (change_fs(&ids, gid, CAP_SETGID) && set_gids(&ids))
		return old;
	return old;
}

/* --- groups --- */

int64_t sys_getgroups(int32_t size, uaddr_t list)
{
	const struct cred *c = current_cred();
	int64_t result = c->ngroups;
	if (size < 0 || (size && c->ngroups > (unsigned)size))
		result = -EINVAL;
	else if (size && copy_to_user(list, c->groups, c->ngroups * sizeof(c->groups[0])))
		result = -EFAULT;
	return result;
}

/* Ascending, by a heap: the list comes from user space and may be long. */
static void sift_down(uint32_t *g, unsigned i, unsigned n)
{
	for (unsigned child; (child = 2 * i + 1) < n; i = child) {
		child += child + 1 < n && g[child + 1] > g[child];
		if (g[i] >= g[child])
			return;
		uint32_t t = g[i];
		g[i] = g[child];
		g[child] = t;
	}
}

static void sort_groups(uint32_t *g, unsigned n)
{
	for (unsigned i = n / 2; i-- > 0;)
		sift_down(g, i, n);
	for (unsigned end = n; end > 1;) {
		uint32_t t = g[0];
		g[0] = g[--end];
		g[end] = t;
		sift_down(g, 0, end);
	}
}

static err_t use_groups(uint32_t *groups, unsigned n)
{
	const struct cred *old = current_cred();
	struct cred *new;
	sort_groups(groups, n);
	err_t err = n && groups[n - 1] == ID_KEEP ? -EINVAL : cred_copy(old, groups, n, &new);
	if (!err)
		current_set_cred(new);
	return err;
}

int64_t sys_setgroups(int32_t size, uaddr_t list)
{
	if (!current_can(CAP_SETGID))
		return -EPERM;
	if ((uint32_t)size > CRED_GROUPS_MAX)
		return -EINVAL;
	uint32_t *groups = kmalloc(((size_t)size + 1) * sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	err_t err = copy_from_user(groups, list, (size_t)size * sizeof(*groups));
	if (!err)
		err = use_groups(groups, (unsigned)size);
	kfree(groups);
	return err;
}
