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
	spin_init(&p->lock, "place", RANK_SERVICE);
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

void place_put(struct place *p)
{
	if (!ref_put(&p->refs))
		return;
	path_put(&p->cwd);
	path_put(&p->root);
	kfree(p);
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

static void place_read(struct place *p, const struct path *which, struct path *out)
{
	spin_lock(&p->lock);
	*out = *which;
	path_get(out);
	spin_unlock(&p->lock);
}

void place_get_cwd(struct place *p, struct path *out)
{
	place_read(p, &p->cwd, out);
}

void place_get_root(struct place *p, struct path *out)
{
	place_read(p, &p->root, out);
}

void place_set_cwd(struct place *p, const struct path *path)
{
	place_set(p, &p->cwd, path);
}

void place_set_root(struct place *p, const struct path *path)
{
	place_set(p, &p->root, path);
}

static void place_move(struct place *p, struct path *which, const struct path *from, const struct path *to)
{
	path_get(to);
	spin_lock(&p->lock);
	bool is_there = which->mount == from->mount && which->dentry == from->dentry;
	if (is_there)
		*which = *to;
	spin_unlock(&p->lock);
	path_put(is_there ? from : to); /* the caller has another one on each */
}

void places_move(const struct path *from, const struct path *to)
{
	struct process *next, *p = process_next(NULL);
	for (; p; p = next) {
		struct place *place = process_place(p);
		if (place) {
			place_move(place, &place->root, from, to);
			place_move(place, &place->cwd, from, to);
			place_put(place);
		}
		next = process_next(p);
		process_put(p);
	}
}

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
	struct place *place = ut->thread.process->place;
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
