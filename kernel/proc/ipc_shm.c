/*
 * ipc_shm.c - segments of shared memory: an anonymous object that processes map.
 *
 * A window onto a segment has the segment for its name (vm/region.h). The window's coming and going, by
 * whatever call, fork and exit included, is told by the name's hooks, and that is all the counting of
 * attachments there is. A segment that is removed stays for those who are attached, and for new ones who know
 * its id, until the last of them is gone.
 */
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/ipc.h"
#include "vm/commit.h"
#include "vm/space.h"

struct shm {
	struct ipc_object ipc;       /* first */
	uint64_t size;               /* (C) bytes, as asked for */
	int32_t name_key;            /* (C) the key that it was made with */
	struct vm_object *memory;    /* (C) counted */
	int64_t atime, dtime, ctime; /* (I) */
	uint32_t cpid, lpid;         /* (I) of who made it, of who attached or detached last */
	uint64_t attached;           /* (I) windows, and calls that are about to make one */
};

static uint64_t pages_in_use; /* ipc_lock */

static struct shm *shm_of(struct ipc_object *o)
{
	return container_of(o, struct shm, ipc);
}
static uint64_t pages_of(const struct shm *s)
{
	return (s->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* --- the kind --- */

static err_t shm_check(const struct ipc_object *o, uint64_t size)
{
	return size > container_of(o, const struct shm, ipc)->size ? -EINVAL : 0;
}

static err_t shm_create(int32_t key, uint64_t size, uint32_t flags, struct ipc_object **out)
{
	enum { SHM_HUGETLB = 04000, SHM_NORESERVE = 010000 };
	if (size == 0 || size > load_relaxed(&ipc_limits.shm_bytes) || (flags & SHM_HUGETLB) ||
	    size > PT_INDEX_MAX << PAGE_SHIFT)
		return -EINVAL; /* there are no huge pages */
	struct shm *s = kzalloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	ref_init(&s->ipc.refs);
	s->size = size;
	s->name_key = key;
	s->ctime = ipc_time();
	s->cpid = current_process()->pid;
	bool unpromised = (flags & SHM_NORESERVE) && commit_mode() != COMMIT_NEVER;
	err_t err = object_create_anon(unpromised ? VM_NORESERVE : 0, pages_of(s), NULL, &s->memory);
	if (err)
		kfree(s);
	else
		*out = &s->ipc;
	return err;
}

static err_t shm_count(const struct ipc_object *o, int delta)
{
	uint64_t pages = pages_of(container_of(o, const struct shm, ipc));
	uint64_t most = load_relaxed(&ipc_limits.shm_pages);
	if (delta > 0 && (pages_in_use > most || pages > most - pages_in_use))
		return -ENOSPC;
	pages_in_use += delta > 0 ? pages : 0 - pages;
	return 0;
}

static void shm_destroy(struct ipc_object *o)
{
	struct shm *s = shm_of(o);
	object_put(s->memory);
	kfree(s);
}

static const struct ipc_kind shm_kind = {
    .check = shm_check, .create = shm_create, .count = shm_count, .destroy = shm_destroy};
struct ipc_ids ipc_shms = {.kind = &shm_kind, .max = &ipc_limits.shm_count};

/* --- attachments --- */

/* One attachment less. True: it was the last of one that was removed: the table's reference is the caller's
 * to drop. */
static bool detach_locked(struct shm *s)
{
	bool ends = --s->attached == 0 && (s->ipc.perm.mode & SHM_DEST) && !s->ipc.gone;
	if (ends)
		ipc_remove_locked(&ipc_shms, &s->ipc);
	return ends;
}

static void name_get(void *what)
{
	ref_get(&((struct shm *)what)->ipc.refs);
}

static void name_put(void *what)
{
	ipc_put(&ipc_shms, &((struct shm *)what)->ipc);
}

static void note_user_locked(struct shm *s)
{
	if (current_process())
		s->lpid = current_process()->pid;
}

static void name_mapped(void *what)
{
	struct shm *s = what;
	int64_t now = ipc_time();
	spin_lock(&ipc_lock);
	s->attached++;
	s->atime = now;
	note_user_locked(s);
	spin_unlock(&ipc_lock);
}

static void name_unmapped(void *what)
{
	struct shm *s = what;
	int64_t now = ipc_time();
	spin_lock(&ipc_lock);
	s->dtime = now;
	note_user_locked(s);
	bool ends = detach_locked(s);
	spin_unlock(&ipc_lock);
	if (ends)
		ipc_put(&ipc_shms, &s->ipc);
}

static const struct vm_name_ops shm_name_ops = {
    .get = name_get, .put = name_put, .mapped = name_mapped, .unmapped = name_unmapped};

static struct shm *shm_behind(const struct vm_name *name)
{
	return name->ops == &shm_name_ops ? name->what : NULL;
}

bool shm_of_vm_name(const struct vm_name *name, int32_t *key, uint32_t *id)
{
	struct shm *s = shm_behind(name);
	if (!s)
		return false;
	*key = s->name_key;
	*id = s->ipc.id;
	return true;
}

err_t shm_may(int32_t id, unsigned access, uint64_t *out)
{
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_shms, id, &o);
	if (!err)
		err = ipc_may_locked(o, access);
	if (!err)
		*out = pages_of(shm_of(o)) << PAGE_SHIFT;
	spin_unlock(&ipc_lock);
	return err;
}

/* The segment counts as attached while the window is made: nobody removes it meanwhile. */
err_t shm_attach(int32_t id, unsigned access, struct vm_map_args *args, uaddr_t *out)
{
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_shms, id, &o);
	if (!err)
		err = ipc_may_locked(o, access);
	if (!err) {
		ref_get(&o->refs);
		shm_of(o)->attached++;
	}
	spin_unlock(&ipc_lock);
	if (err)
		return err;
	struct shm *s = shm_of(o);
	args->object = s->memory;
	args->name = (struct vm_name){&shm_name_ops, s};
	err = space_map(current_thread()->space, args, out);
	spin_lock(&ipc_lock);
	bool ends = detach_locked(s);
	spin_unlock(&ipc_lock);
	if (ends)
		ipc_put(&ipc_shms, o);
	ipc_put(&ipc_shms, o);
	return err;
}

/* The next window at or above *at of the segment s, any if NULL, that lies where it would if the segment
 * began at addr. *found gets a reference. */
static bool next_window(
    uaddr_t addr, struct shm *s, uaddr_t *at, struct region_info *info, struct shm **found)
{
	struct region_view v;
	for (; space_view(current_thread()->space, *at, &v); *at = info->end) {
		struct shm *its = shm_behind(&v.name);
		*info = v.info;
		bool fits = its && (!s || its == s) && info->start >= addr &&
			    (info->start - addr) >> PAGE_SHIFT == info->offset;
		if (fits)
			name_get(its);
		region_view_end(&v);
		if (fits) {
			*found = its;
			return true;
		}
	}
	return false;
}

err_t shm_detach(uaddr_t addr)
{
	struct region_info info = {0};
	struct shm *s, *more;
	uaddr_t at = addr;
	if ((addr & (PAGE_SIZE - 1)) || !next_window(addr, NULL, &at, &info, &s))
		return -EINVAL;
	uaddr_t end = addr + (pages_of(s) << PAGE_SHIFT);
	err_t err = space_unmap(current_thread()->space, info.start, info.end - info.start);
	for (at = info.end; !err && at < end && next_window(addr, s, &at, &info, &more); at = info.end) {
		name_put(more);
		if (info.start < end)
			err = space_unmap(current_thread()->space, info.start, info.end - info.start);
	}
	name_put(s);
	return err;
}

/* --- asking and changing --- */

err_t shm_stat(int32_t which, enum ipc_stat how, struct shm_stat *out)
{
	struct ipc_object *o;
	struct vm_object *memory = NULL;
	spin_lock(&ipc_lock);
	err_t err = ipc_stat_locked(&ipc_shms, which, how, &o);
	if (!err) {
		const struct shm *s = shm_of(o);
		*out = (struct shm_stat){
		    o->perm, o->id, s->size, s->atime, s->dtime, s->ctime, s->cpid, s->lpid, s->attached, 0};
		memory = s->memory;
		object_get(memory);
	}
	spin_unlock(&ipc_lock);
	if (memory) {
		out->resident = object_page_count(memory);
		object_put(memory);
	}
	return err;
}

err_t shm_set(int32_t id, const struct ipc_perm *perm)
{
	struct ipc_object *o;
	int64_t now = ipc_time();
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_shms, id, &o);
	if (!err)
		err = ipc_set_locked(o, perm);
	if (!err)
		shm_of(o)->ctime = now;
	spin_unlock(&ipc_lock);
	return err;
}

err_t shm_remove(int32_t id)
{
	struct ipc_object *o;
	bool ends = false;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_shms, id, &o);
	if (!err && !ipc_owns_locked(o, CAP_SYS_ADMIN))
		err = -EPERM;
	if (!err) {
		ends = shm_of(o)->attached == 0;
		o->perm.mode |= SHM_DEST;
		o->perm.key = IPC_PRIVATE; /* nobody finds it by that any more */
		if (ends)
			ipc_remove_locked(&ipc_shms, o);
	}
	spin_unlock(&ipc_lock);
	if (ends)
		ipc_put(&ipc_shms, o);
	return err;
}

/* Its pages are in memory anyway: that it was asked for is kept and told. */
err_t shm_lock(int32_t id, bool on)
{
	struct ipc_object *o;
	uint64_t limit = current_limit(RLIMIT_MEMLOCK);
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_shms, id, &o);
	bool may_all = current_can(CAP_IPC_LOCK);
	if (!err && !may_all && (!ipc_owns_locked(o, CAP_IPC_LOCK) || (on && !limit)))
		err = -EPERM;
	if (!err)
		o->perm.mode = on ? o->perm.mode | SHM_LOCKED : o->perm.mode & ~(uint32_t)SHM_LOCKED;
	spin_unlock(&ipc_lock);
	return err;
}

void shm_totals(struct shm_totals *out)
{
	struct shm_stat s;
	spin_lock(&ipc_lock);
	*out = (struct shm_totals){ipc_shms.used, ipc_highest_locked(&ipc_shms), pages_in_use, 0};
	spin_unlock(&ipc_lock);
	for (unsigned i = 0; i <= out->highest; i++)
		if (!shm_stat((int32_t)i, IPC_STAT_ANY, &s))
			out->resident += s.resident;
}
