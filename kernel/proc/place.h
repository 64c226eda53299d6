#pragma once
/*
 * place.h - where a thread stands among the files: root directory, working directory, umask. Threads of one
 * process have one place, as a rule; any that are made with CLONE_FS share one.
 *
 * Whoever stands in a place can move those who share it. So a program with rights of its own gets none only
 * if no other process stands in its place (place_freeze), and nobody else may step into it until it has a
 * process to itself.
 *
 * Letters: (L) place.lock
 */
#include "fs/namei.h"
#include "kern/spinlock.h"
#include "lib/refcount.h"

struct process;
struct user_thread;
struct cred;

struct place {
	struct refcount refs;  /* one for each thread that stands there, and no others */
	struct spinlock lock;  /* RANK_PLACE */
	struct path root, cwd; /* (L) counted */
	uint32_t umask;        /* (L) permission bits */
	unsigned frozen; /* (L) threads that are about to run programs: nobody else comes to stand there */
};

/* A place of its own at the root of the first mount. -ENOMEM. */
MUST_CHECK err_t place_create(struct place **out);
MUST_CHECK err_t place_clone(struct place *from, struct place **out);
/* One more thread stands there. False: it may not, the place is frozen. */
MUST_CHECK bool place_share(struct place *p);
/* Of one that nobody stands in. The last reference lets the directories go: may sleep. */
void place_put(struct place *p);
/* ut, the current thread or one that does not run yet, moves to another place (NULL: nowhere); takes over the
 * reference. May sleep. */
void user_thread_set_place(struct user_thread *ut, struct place *to);
bool place_is_shared(const struct place *p);
/* ut, the current thread or one that does not run yet, is about to run a program: does nobody but threads of
 * its process stand in its place? Then nobody will, until place_thaw. */
bool place_freeze(const struct user_thread *ut);
void place_thaw(struct place *p);
/* Change a directory of the current thread: *path is copied with new references. May sleep. */
void place_set_cwd(struct place *p, const struct path *path);
void place_set_root(struct place *p, const struct path *path);
uint32_t place_set_umask(struct place *p, uint32_t umask); /* returns the old one */
/* Where p's thread tid (as process_thread_locked takes it) stands, with references, or what its mask is.
 * -ENOENT: it is gone. */
MUST_CHECK err_t task_cwd(struct process *p, uint32_t tid, struct path *out);
MUST_CHECK err_t task_root(struct process *p, uint32_t tid, struct path *out);
MUST_CHECK err_t task_umask(struct process *p, uint32_t tid, uint32_t *out);
/* Whoever has `from` as the root or the working directory gets `to`. The caller holds references on both. */
void places_move(const struct path *from, const struct path *to);

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
