/*
 * ipc_ids.c - what the three kinds of System V objects have in common: tables of them, ids, keys,
 * permissions.
 *
 * An object has a place in its kind's table. Its id is made of that index and of a number that changes when
 * indices come round again, so that an id of old does not mean somebody else's object soon:
 *
 *	31 30            15 14             0
 *	 0 │  sequence     │    index      │
 *
 * A key is what processes agree on beforehand; the table is searched for it, for it is short. Numbers and
 * their limits are Linux's.
 */
#include "kern/wall.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/ipc.h"

enum {
	INDEX_BITS = 15,
	INDEX_MASK = (1 << INDEX_BITS) - 1,
	SEQ_MAX = INT32_MAX >> INDEX_BITS,
	CYCLE_LEAST = 64
};

struct spinlock ipc_lock = SPINLOCK_INIT("System V objects", RANK_SERVICE);

int64_t ipc_time(void)
{
	return (int64_t)(wall_now() / NSEC_PER_SEC);
}

void ipc_put(struct ipc_ids *ids, struct ipc_object *o)
{
	if (ref_put(&o->refs))
		ids->kind->destroy(o);
}

/* --- the table --- */

static struct ipc_object *slot_of(const struct ipc_ids *ids, unsigned index)
{
	struct ipc_object **chunk = index < IPC_COUNT_MAX ? ids->chunks[index / IPC_CHUNK] : NULL;
	return chunk ? chunk[index % IPC_CHUNK] : NULL;
}

err_t ipc_at_locked(struct ipc_ids *ids, int32_t index, struct ipc_object **out)
{
	ASSERT_HELD(&ipc_lock);
	*out = index < 0 ? NULL : slot_of(ids, (unsigned)index & INDEX_MASK);
	return *out ? 0 : -EINVAL;
}

err_t ipc_find_locked(struct ipc_ids *ids, int32_t id, struct ipc_object **out)
{
	err_t err = ipc_at_locked(ids, id, out);
	return !err && (*out)->id != (uint32_t)id ? -EINVAL : err;
}

/* Linux's. */
struct ipc_limits ipc_limits = {
    .shm_bytes = UINT64_MAX - (1ULL << 24),
    .shm_pages = UINT64_MAX - (1ULL << 24),
    .shm_count = 4096,
    .sem_array = 32000,
    .sem_total = 1024000000,
    .sem_ops = 500,
    .sem_count = 32000,
    .msg_size = 8192,
    .msg_queue = 16384,
    .msg_count = 32000,
};

unsigned ipc_highest_locked(const struct ipc_ids *ids)
{
	unsigned index = ids->used ? IPC_COUNT_MAX - 1 : 0;
	ASSERT_HELD(&ipc_lock);
	while (index && !slot_of(ids, index))
		index -= ids->chunks[index / IPC_CHUNK] ? 1 : MIN(index, index % IPC_CHUNK + 1U);
	return index;
}

static struct ipc_object *find_key_locked(const struct ipc_ids *ids, int32_t key)
{
	unsigned end = ids->used && key != IPC_PRIVATE ? ipc_highest_locked(ids) + 1 : 0;
	for (unsigned i = 0; i < end; i++) {
		struct ipc_object *o = slot_of(ids, i);
		if (o && o->perm.key == key)
			return o;
	}
	return NULL;
}

/* Indices come round only after a while, so that ids are new for some time. */
static unsigned choose_index_locked(const struct ipc_ids *ids)
{
	unsigned end = MIN(MAX(ids->used * 3 / 2, (unsigned)CYCLE_LEAST), (unsigned)IPC_COUNT_MAX);
	unsigned index = ids->next < end ? ids->next : 0;
	while (slot_of(ids, index))
		index = index + 1 < end ? index + 1 : 0;
	return index;
}

/* There is memory for the chunk of every index that may be chosen next; the lock may be dropped. */
static err_t make_chunk_locked(struct ipc_ids *ids)
{
	unsigned at = 0;
	while (ids->used < IPC_COUNT_MAX && (at = choose_index_locked(ids) / IPC_CHUNK, !ids->chunks[at])) {
		spin_unlock(&ipc_lock);
		struct ipc_object **chunk = kcalloc(IPC_CHUNK, sizeof(*chunk));
		spin_lock(&ipc_lock);
		if (!chunk)
			return -ENOMEM;
		if (!ids->chunks[at]) {
			ids->chunks[at] = chunk;
			continue;
		}
		spin_unlock(&ipc_lock); /* somebody was faster */
		kfree(chunk);
		spin_lock(&ipc_lock);
	}
	return 0;
}

static void insert_locked(struct ipc_ids *ids, struct ipc_object *o)
{
	unsigned index = choose_index_locked(ids);
	if (index < ids->next)
		ids->seq = ids->seq < SEQ_MAX ? ids->seq + 1 : 0;
	ids->next = index + 1;
	ids->chunks[index / IPC_CHUNK][index % IPC_CHUNK] = o;
	ids->used++;
	o->index = index;
	o->perm.seq = ids->seq;
	o->id = ids->seq << INDEX_BITS | index;
}

void ipc_remove_locked(struct ipc_ids *ids, struct ipc_object *o)
{
	ASSERT_HELD(&ipc_lock);
	ASSERT(!o->gone && slot_of(ids, o->index) == o);
	ids->chunks[o->index / IPC_CHUNK][o->index % IPC_CHUNK] = NULL;
	ids->used--;
	o->gone = true;
	err_t err = ids->kind->count(o, -1);
	ASSERT(!err);
}

/* --- permissions --- */

static bool in_group(const struct cred *c, uint32_t gid)
{
	bool in = gid == c->fsgid;
	for (unsigned i = 0; !in && i < c->ngroups; i++)
		in = c->groups[i] == gid;
	return in;
}

err_t ipc_may_locked(const struct ipc_object *o, unsigned access)
{
	const struct cred *c = current_cred();
	const struct ipc_perm *p = &o->perm;
	uint32_t wanted = access >> 6 | access >> 3 | access, mode = p->mode;
	ASSERT_HELD(&ipc_lock);
	if (c->euid == p->cuid || c->euid == p->uid)
		mode >>= 6;
	else if (in_group(c, p->cgid) || in_group(c, p->gid))
		mode >>= 3;
	return wanted & ~mode & 7 && !current_can(CAP_IPC_OWNER) ? -EACCES : 0;
}

bool ipc_owns_locked(const struct ipc_object *o, enum capability cap)
{
	uint32_t euid = current_cred()->euid;
	return euid == o->perm.cuid || euid == o->perm.uid || current_can(cap);
}

err_t ipc_set_locked(struct ipc_object *o, const struct ipc_perm *new)
{
	if (!ipc_owns_locked(o, CAP_SYS_ADMIN))
		return -EPERM;
	if (new->uid == UINT32_MAX || new->gid == UINT32_MAX)
		return -EINVAL;
	o->perm.uid = new->uid;
	o->perm.gid = new->gid;
	o->perm.mode = (o->perm.mode & ~(uint32_t)IPC_MODE) | (new->mode &IPC_MODE);
	return 0;
}

err_t ipc_stat_locked(struct ipc_ids *ids, int32_t which, enum ipc_stat how, struct ipc_object **out)
{
	err_t err = how == IPC_STAT_ID ? ipc_find_locked(ids, which, out) : ipc_at_locked(ids, which, out);
	return err || how == IPC_STAT_ANY ? err : ipc_may_locked(*out, IPC_READ);
}

/* --- finding or making one --- */

struct getter {
	struct ipc_ids *ids;
	int32_t key;
	uint64_t size;
	uint32_t flags;
	struct ipc_object *fresh; /* NULL: none was made yet */
};

static int64_t use_locked(const struct getter *g, const struct ipc_object *o)
{
	if ((g->flags & IPC_CREAT) && (g->flags & IPC_EXCL))
		return -EEXIST;
	err_t err = g->ids->kind->check(o, g->size);
	if (!err)
		err = ipc_may_locked(o, g->flags);
	return err ? err : (int64_t)o->id;
}

static int64_t add_locked(struct getter *g)
{
	struct ipc_object *o = g->fresh;
	const struct cred *c = current_cred();
	err_t err = make_chunk_locked(g->ids);
	if (err)
		return err;
	if (find_key_locked(g->ids, g->key)) /* made while the lock was dropped */
		return use_locked(g, find_key_locked(g->ids, g->key));
	if (g->ids->used >= load_relaxed(g->ids->max))
		return -ENOSPC;
	err = g->ids->kind->count(o, 1);
	if (err)
		return err;
	o->perm = (struct ipc_perm){g->key, c->euid, c->egid, c->euid, c->egid, g->flags & IPC_MODE, 0};
	insert_locked(g->ids, o);
	g->fresh = NULL;
	return o->id;
}

/* The id, an error, or -EAGAIN: make a new one, and come again. */
static int64_t get_once(struct getter *g)
{
	spin_lock(&ipc_lock);
	const struct ipc_object *o = find_key_locked(g->ids, g->key);
	int64_t result = o                                                  ? use_locked(g, o)
			 : g->key != IPC_PRIVATE && !(g->flags & IPC_CREAT) ? -ENOENT
									    : -EAGAIN;
	if (result == -EAGAIN && g->fresh)
		result = add_locked(g);
	spin_unlock(&ipc_lock);
	return result;
}

int64_t ipc_get(struct ipc_ids *ids, int32_t key, uint64_t size, uint32_t flags)
{
	struct getter g = {.ids = ids, .key = key, .size = size, .flags = flags};
	int64_t result = get_once(&g);
	if (result == -EAGAIN) {
		result = ids->kind->create(key, size, flags, &g.fresh);
		if (!result)
			result = get_once(&g);
	}
	if (g.fresh)
		ipc_put(ids, g.fresh);
	return result;
}
