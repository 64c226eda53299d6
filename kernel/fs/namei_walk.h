#pragma once
/* namei_walk.h - the path walk as the operations on names use it: for namei*.c and file_open.c only. */
#include "fs/mount.h"

enum last_kind { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_NONE }; /* NONE: the path was "/" or "" */

/*
 * A walk stands on a directory with the last component of the path before it:
 *
 *	walk_begin ──▶ walk_parent ──▶ at: the directory; last, last_len, last_kind: what is to be looked up in it
 *	                   ▲                 │ the last component is a symbolic link that counts: walk_into_link
 *	                   └─────────────────┘
 */
struct walk {
	const struct fs_context *context;
	const struct path *root; /* where absolute names begin and ".." ends: the context's, or the base */
	unsigned resolve;        /* enum resolve_flags */
	struct path at;          /* with references */
	const char *rest;        /* what is left of the string that is walked now */
	const char *last;
	size_t last_len;
	enum last_kind last_kind;
	bool trailing_slash; /* slashes follow the last component: it must be a directory */
	bool must_be_dir; /* a link that was followed at the end had slashes after it: so must its target */
	unsigned links;   /* symbolic links followed so far */
	unsigned depth;   /* strings on the stack */
	struct {
		char *target;     /* text of a link; kmalloc */
		const char *rest; /* where its parent string goes on */
	} stack[SYMLINK_DEPTH_MAX];
};

/* Start at the root, the base or the working directory. -ENOENT for "". On errors nothing is held. `base`
 * stays the caller's until the walk ends. */
MUST_CHECK err_t walk_begin(
    struct walk *w, const struct fs_context *c, const struct path *base, const char *name);
/* The same for a walk that may not do all: enum resolve_flags. -EXDEV: an absolute name. */
MUST_CHECK err_t walk_begin_resolve(
    struct walk *w, const struct fs_context *c, const struct path *base, const char *name, unsigned resolve);
/* Go on to the last component. On errors too, walk_end is due. */
MUST_CHECK err_t walk_parent(struct walk *w);
/* Look the last component up in w->at, with references; a negative dentry is a result. *out may be on a
 * mount. create: the directory's lock is held for writing by the caller. */
MUST_CHECK err_t walk_last(struct walk *w, bool dir_locked, struct dentry **out);
/* Follow the link p: the walk goes on with its text (then walk_parent), or has arrived (*arrived: w->at is
 * the end; magic links). Takes over the references of p. */
MUST_CHECK err_t walk_into_link(struct walk *w, const struct path *p, bool *arrived);
/* The path has no name at its end (/, ., ..), or the walk has arrived: the result, with references. */
MUST_CHECK err_t walk_end_here(struct walk *w, struct path *out);
/* Cross to what is mounted on p, if anything is. -EXDEV: the walk may not; p's references are dropped. */
MUST_CHECK err_t walk_cross_down(const struct walk *w, struct path *p);
void walk_end(struct walk *w);
/* The whole of it: the file at the end. Begins and ends. */
MUST_CHECK err_t walk_to_end(struct walk *w, unsigned walk_flags, struct path *out);

/* Look `name` up in the cache or the directory. dir_locked: dir's vnode is locked already. *out gets a
 * reference, perhaps negative. */
MUST_CHECK err_t lookup_child(
    struct dentry *dir, const char *name, size_t len, bool dir_locked, struct dentry **out);
/* In a directory about to change: is it alive, may the caller change it? */
MUST_CHECK err_t dir_may_change(const struct fs_cred *cred, const struct vnode *dir);
static inline bool fs_cred_can(const struct fs_cred *cred, enum capability cap)
{
	return cap_set_has(cred->caps, cap);
}
/* Is the file the caller's, or as good as his? */
static inline bool fs_cred_owns(const struct fs_cred *cred, const struct vnode *v)
{
	return v->uid == cred->uid || fs_cred_can(cred, CAP_FOWNER);
}
/* Attributes of a new file in dir: owner, group (of a set-group-id directory), mode after the umask, times.
 */
void init_attributes(const struct fs_context *c, const struct vnode *dir, uint32_t mode, struct attr *a);
