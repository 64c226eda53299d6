/*
 * mount_group.c - mounts that share what is mounted on them.
 *
 * Linux's rules: mounts of one *group* show the same mounts; a *slave* shows those of its master group too;
 * one that is *unbindable* is not copied. A copy (MS_BIND) shares what its original shares, and what comes
 * onto a shared mount is shared itself.
 *
 * Here the groups are kept and told, but nothing is mounted in two places at once: an operation that would
 * have to happen elsewhere as well, because another member or slave of the group shows the same directory, is
 * refused. All is guarded by mount_lock.
 */
#include "fs/mount_priv.h"

static unsigned last_group; /* mount_lock */

#define FOR_EACH_MOUNT(m)                                                                                    \
	for (struct mount *m = list_entry(fs_all_mounts.next, struct mount, link);                           \
	     &m->link != &fs_all_mounts; m = list_entry(m->link.next, struct mount, link))

/* Does m get what is mounted on a member of `group`? */
static bool hears_of(const struct mount *m, unsigned group)
{
	return m->group == group || m->master == group;
}

bool mount_would_spread_locked(const struct path *p)
{
	ASSERT_HELD(&mount_lock);
	if (!p->mount->group)
		return false;
	FOR_EACH_MOUNT(m)
	if (m != p->mount && hears_of(m, p->mount->group) && dentry_is_below(p->dentry, m->root))
		return true;
	return false;
}

bool mount_would_vanish_locked(const struct mount *gone)
{
	ASSERT_HELD(&mount_lock);
	if (!gone->parent || !gone->parent->group)
		return false;
	FOR_EACH_MOUNT(m)
	if (m != gone->parent && hears_of(m, gone->parent->group) &&
	    mount_on_locked(&(struct path){m, gone->point}))
		return true;
	return false;
}

static bool has_peer_locked(const struct mount *one)
{
	FOR_EACH_MOUNT(m)
	if (m != one && m->group == one->group)
		return true;
	return false;
}

void mount_leave_group_locked(struct mount *one)
{
	ASSERT_HELD(&mount_lock);
	if (one->group && !has_peer_locked(one)) {
		FOR_EACH_MOUNT(m)
		if (m->master == one->group)
			m->master = one->master; /* they go on as its master's, if it has one */
	}
	one->group = one->master = 0;
}

static void share_locked(struct mount *m)
{
	if (!m->group)
		m->group = ++last_group;
}

void mount_share_locked(struct mount *top)
{
	ASSERT_HELD(&mount_lock);
	for (struct mount *m = top; m; m = mount_next_below(m, top))
		share_locked(m);
}

/* A slave of the group that it leaves; if it was alone there, it hears of whom it heard before. */
static void enslave_locked(struct mount *m)
{
	unsigned group = m->group, master = m->master;
	if (!group)
		return;
	if (has_peer_locked(m))
		master = group;
	mount_leave_group_locked(m);
	m->master = master;
}

static void change_locked(struct mount *m, unsigned kind)
{
	if (kind == MOUNT_SLAVE) {
		enslave_locked(m);
		return;
	}
	if (kind == MOUNT_SHARED)
		share_locked(m);
	else
		mount_leave_group_locked(m);
	m->unbindable = kind == MOUNT_UNBINDABLE;
}

void mount_set_propagation(struct mount *top, unsigned kind, bool recurse)
{
	spin_lock(&mount_lock);
	for (struct mount *m = top; m; m = recurse ? mount_next_below(m, top) : NULL)
		change_locked(m, kind);
	spin_unlock(&mount_lock);
}

bool mount_has_unbindable(struct mount *top)
{
	ASSERT_HELD(&mount_lock);
	for (struct mount *m = top; m; m = mount_next_below(m, top))
		if (m->unbindable)
			return true;
	return false;
}
