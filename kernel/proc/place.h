#pragma once
/*
 * place.h - where a process stands among the files: root directory, working directory, umask. Shared by
 * processes made with CLONE_FS.
 *
 * Letters: (L) place.lock
 */
#include "fs/namei.h"
#include "kern/spinlock.h"
#include "lib/refcount.h"

struct user_thread;
struct cred;

struct place {
	struct refcount refs;
	struct spinlock lock;
	struct path root, cwd; /* (L) counted */
	uint32_t umask;        /* (L) permission bits */
};

/* A place of its own at the root of the first mount. -ENOMEM. */
MUST_CHECK err_t place_create(struct place **out);
MUST_CHECK err_t place_clone(struct place *from, struct place **out);
static inline void place_get(struct place *p)
{
	ref_get(&p->refs);
}
/* The last reference lets the directories go: may sleep. */
void place_put(struct place *p);
/* Change a directory: *path is copied with new references. May sleep. */
void place_set_cwd(struct place *p, const struct path *path);
void place_set_root(struct place *p, const struct path *path);
void place_get_cwd(struct place *p, struct path *out);
void place_get_root(struct place *p, struct path *out);
/* Returns the old one. */
/* Whoever has `from` as the root or the working directory gets `to`. The caller holds references on both. */
void places_move(const struct path *from, const struct path *to);
uint32_t place_set_umask(struct place *p, uint32_t umask);

/*
 * What a path walk wants to know of a thread, frozen for the time of one call: nobody else's chdir changes it
 * meanwhile.
 */
struct fs_view {
	struct fs_context context; /* root and cwd are counted */
	struct cred *cred;         /* counted: groups of the context are its own */
};

/* The current thread's, or that of one that does not run yet. */
void fs_view_get(struct user_thread *ut, struct fs_view *v);
/* May sleep. */
void fs_view_put(struct fs_view *v);
