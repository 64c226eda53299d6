#pragma once
/*
 * dentry.h - the cache of names. See dentry.c for how it works, docs/files.md for what it is part of.
 *
 * Letters: (D) the cache's lock, a spinlock of rank RANK_DENTRY; (C) constant; (A) atomic
 */
#include "fs/vnode.h"

enum { DENTRY_INLINE = 40 };

enum dentry_flags {
	DENTRY_HASHED = 1 << 0, /* a walk finds it; without it: the name was deleted */
	DENTRY_UNUSED = 1 << 1, /* on the list of unused ones, perhaps used again since */
};

struct dentry {
	_Atomic uint32_t
	    refs;       /* (A) from and to 0 only with (D): users, and one for each child in the cache */
	uint32_t flags; /* (D) enum dentry_flags */
	_Atomic uint32_t mounts;     /* (A) mounts on it */
	struct fs *fs;               /* (C) */
	struct dentry *parent;       /* (D) counted; NULL: root of its file system */
	struct vnode *_Atomic vnode; /* (D) to change, counted; NULL: known not to exist */
	uint64_t hash;               /* (D) */
	struct dentry *hash_next;    /* (D) */
	struct list children;        /* (D) by sibling */
	struct list sibling;         /* (D) */
	struct list unused_link;     /* (D) */
	uint32_t counted;            /* fs_recount's own */
	uint32_t name_len;           /* (D) */
	char *name;                  /* (D) terminated; inline_name if short */
	char inline_name[DENTRY_INLINE];
};

void dentry_init_cache(void);
/* The root of a file system, one reference; takes over the caller's reference on v. -ENOMEM: it does not. */
MUST_CHECK err_t dentry_create_root(struct fs *fs, struct vnode *v, struct dentry **out);
static inline void dentry_get(struct dentry *d)
{
	uint32_t old = fetch_add_relaxed(&d->refs, 1);
	ASSERT(old != 0);
}
/* May sleep (the last user of a deleted file frees it). */
void dentry_put(struct dentry *d);
static inline struct vnode *dentry_vnode(const struct dentry *d)
{
	return load_acquire(&d->vnode);
}

/* What the cache knows of `name` in `parent`: a dentry with a reference (dentry_vnode NULL: it does not
 * exist), or NULL: ask the file system. */
struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len);
/* Put what the file system said into the cache: v (its reference is taken over on success, v may be NULL). If
 * the name is there already (another look-up was faster) that one is returned. The caller holds the
 * directory's lock, in either way. -ENOMEM. */
MUST_CHECK err_t dentry_add(
    struct dentry *parent, const char *name, size_t len, struct vnode *v, struct dentry **out);
/* A name that nobody can find, already deleted: O_TMPFILE. */
MUST_CHECK err_t dentry_add_unhashed(
    struct dentry *parent, const char *name, size_t len, struct vnode *v, struct dentry **out);
/* Directory's lock held for writing: d, which was negative, is v now (takes over the reference). */
void dentry_set_vnode(struct dentry *d, struct vnode *v);
/* Directory's lock held for writing: the name is gone. The caller's reference stays; others keep a
 * "(deleted)" file. */
void dentry_delete(struct dentry *d);
/* No longer to be found, whatever it is: the file system says otherwise now (revalidate). */
void dentry_forget(struct dentry *d);
/* Both directories' locks and the rename lock held. d takes the place of `over`, which is negative or being
 * replaced; exchange: they swap. Memory for names was reserved: `spare` (from dentry_rename_prepare). */
struct dentry_spare {
	char *name; /* NULL: the new name is short */
};
MUST_CHECK err_t dentry_rename_prepare(struct dentry *over, bool exchange, struct dentry_spare *spare);
void dentry_rename(struct dentry *d, struct dentry *over, bool exchange, struct dentry_spare *spare);
void dentry_rename_cancel(struct dentry_spare *spare);
/* The parent with a reference; NULL for the root of a file system. */
struct dentry *dentry_parent(struct dentry *d);
/* Is `d` the same as, or below, `above`? Stable under the rename lock. */
bool dentry_is_below(struct dentry *d, struct dentry *above);
bool dentry_is_deleted(struct dentry *d);

/* Drop up to n unused names, oldest first, sparing files with dirty pages; returns how many went. May sleep.
 * For reclaim. */
uint64_t dentry_shrink(uint64_t n);
/* Drop every unused name of fs. */
void dentry_shrink_fs(struct fs *fs);
/* Dentries that exist, and those of them that nobody uses. */
void dentry_counts(uint64_t *all, uint64_t *unused);

extern struct spinlock dentry_lock; /* (D) */
