/* place.c - see place.h. */
#include "proc/place.h"
#include "fs/mount.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/process.h"

enum { UMASK_DEFAULT = 022 };

static err_t place_alloc(struct place **out)
{
	struct place *p = kzalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	ref_init(&p->refs);
	spin_init(&p->lock, "place", RANK_PLACE);
	*out = p;
	return 0;
}

err_t place_create(struct place **out)
{
	err_t err = place_alloc(out);
	if (err)
		return err;
	struct place *p = *out;
	mount_get_root(&p->root);
	p->cwd = p->root;
	path_get(&p->cwd);
	p->umask = UMASK_DEFAULT;
	return 0;
}

err_t place_clone(struct place *from, struct place **out)
{
	err_t err = place_alloc(out);
	if (err)
		return err;
	struct place *p = *out;
	spin_lock(&from->lock);
	p->root = from->root;
	p->cwd = from->cwd;
	p->umask = from->umask;
	path_get(&p->root);
	path_get(&p->cwd);
	spin_unlock(&from->lock);
	return 0;
}

static void place_free(struct place *p)
{
	path_put(&p->cwd);
	path_put(&p->root);
	kfree(p);
}

void place_put(struct place *p)
{
	if (ref_put(&p->refs))
		place_free(p);
}

void user_thread_set_place(struct user_thread *ut, struct place *to)
{
	struct process *p = ut->thread.process;
	spin_lock(&p->lock);
	struct place *old = ut->place;
	ut->place = to;
	bool last =
	    old && ref_put(&old->refs); /* locked: whoever counts finds as many as there are references */
	spin_unlock(&p->lock);
	if (last)
		place_free(old);
}

bool place_share(struct place *p)
{
	spin_lock(&p->lock);
	bool may = !p->frozen;
	if (may)
		ref_get(&p->refs);
	spin_unlock(&p->lock);
	return may;
}

bool place_is_shared(const struct place *p)
{
	return ref_count(&p->refs) > 1;
}

/* Threads of p that stand there. */
static unsigned count_own_locked(const struct process *p, const struct place *place)
{
	unsigned n = 0;
	list_for_each (it, &p->threads)
		n += list_entry(it, struct user_thread, link)->place == place;
	return n;
}

/* A thread that is being made counts as another process's, as on Linux: it is told to end only when it runs.
 */
bool place_freeze(const struct user_thread *ut)
{
	struct process *p = ut->thread.process;
	struct place *place = ut->place;
	spin_lock(&process_tree_lock);
	spin_lock(&p->lock);
	spin_lock(&place->lock);
	bool own = ref_count(&place->refs) <= MAX(count_own_locked(p, place), 1u);
	place->frozen += own;
	spin_unlock(&place->lock);
	spin_unlock(&p->lock);
	spin_unlock(&process_tree_lock);
	return own;
}

void place_thaw(struct place *p)
{
	spin_lock(&p->lock);
	ASSERT(p->frozen > 0);
	p->frozen--;
	spin_unlock(&p->lock);
}

static void place_set(struct place *p, struct path *which, const struct path *path)
{
	path_get(path);
	spin_lock(&p->lock);
	struct path old = *which;
	*which = *path;
	spin_unlock(&p->lock);
	path_put(&old);
}

void place_set_cwd(struct place *p, const struct path *path)
{
	place_set(p, &p->cwd, path);
}

void place_set_root(struct place *p, const struct path *path)
{
	place_set(p, &p->root, path);
}

/* --- others' --- */

/* Look at the place of p's thread, all locked. -ENOENT: it is gone. */
static err_t visit(
    struct process *p, uint32_t tid, void (*fn)(const struct place *place, void *out), void *out)
{
	spin_lock(&process_tree_lock);
	const struct user_thread *ut = process_thread_locked(p, tid);
	spin_lock(&p->lock);
	struct place *place = ut ? ut->place : NULL;
	if (place) {
		spin_lock(&place->lock);
		fn(place, out);
		spin_unlock(&place->lock);
	}
	spin_unlock(&p->lock);
	spin_unlock(&process_tree_lock);
	return place ? 0 : -ENOENT;
}

static void copy_cwd(const struct place *place, void *out)
{
	path_get(&place->cwd);
	*(struct path *)out = place->cwd;
}

static void copy_root(const struct place *place, void *out)
{
	path_get(&place->root);
	*(struct path *)out = place->root;
}

static void copy_umask(const struct place *place, void *out)
{
	*(uint32_t *)out = place->umask;
}

err_t task_cwd(struct process *p, uint32_t tid, struct path *out)
{
	return visit(p, tid, copy_cwd, out);
}

err_t task_root(struct process *p, uint32_t tid, struct path *out)
{
	return visit(p, tid, copy_root, out);
}

err_t task_umask(struct process *p, uint32_t tid, uint32_t *out)
{
	return visit(p, tid, copy_umask, out);
}

struct move {
	const struct path *from, *to;
	unsigned left; /* references on `from` that nobody needs any more */
};

static void move_one(struct path *which, struct move *m)
{
	if (which->mount != m->from->mount || which->dentry != m->from->dentry)
		return;
	path_get(m->to);
	*which = *m->to;
	m->left++;
}

static void move_threads(struct process *p, void *arg)
{
	spin_lock(&p->lock);
	list_for_each (it, &p->threads) {
		struct place *place = list_entry(it, struct user_thread, link)->place;
		if (!place)
			continue;
		spin_lock(&place->lock);
		move_one(&place->root, arg);
		move_one(&place->cwd, arg);
		spin_unlock(&place->lock);
	}
	spin_unlock(&p->lock);
}

/* One that is being made and stands nowhere in the tree yet is not moved: as if it had been made before. */
void places_move(const struct path *from, const struct path *to)
{
	struct move m = {from, to, 0};
	process_for_each(move_threads, &m);
	while (m.left--)
		path_put(from);
}

/* --- one's own --- */

uint32_t place_set_umask(struct place *p, uint32_t umask)
{
	spin_lock(&p->lock);
	uint32_t old = p->umask;
	p->umask = umask & 0777;
	spin_unlock(&p->lock);
	return old;
}

void fs_view_get(struct user_thread *ut, struct fs_view *v)
{
	struct place *place = ut->place;
	v->cred = ut->cred;
	cred_get(v->cred);
	spin_lock(&place->lock);
	v->context.root = place->root;
	v->context.cwd = place->cwd;
	v->context.umask = place->umask;
	path_get(&v->context.root);
	path_get(&v->context.cwd);
	spin_unlock(&place->lock);
	v->context.cred = (struct fs_cred){.uid = v->cred->fsuid,
	    .gid = v->cred->fsgid,
	    .caps = v->cred->effective,
	    .groups = v->cred->groups,
	    .ngroups = v->cred->ngroups};
}

void fs_view_put(struct fs_view *v)
{
	path_put(&v->context.cwd);
	path_put(&v->context.root);
	cred_put(v->cred);
}
