#pragma once
/*
 * notify.h - what the layers above and beside tell those who watch files, and the watching itself: inotify.
 * See inotify.c.
 *
 * Whoever has done something to a file or a name says so by one of the calls below. Nobody watches most
 * files: a call costs one load and one test then, of a count that the file system has. All may sleep (a watch
 * that ends may hold a file last), and are called with no spinlock held.
 */
#include "fs/file.h"

enum notify_events { /* the ABI's IN_* */
	NOTIFY_ACCESS = 1 << 0,
	NOTIFY_MODIFY = 1 << 1,
	NOTIFY_ATTRIB = 1 << 2,
	NOTIFY_CLOSE_WRITE = 1 << 3,
	NOTIFY_CLOSE_NOWRITE = 1 << 4,
	NOTIFY_OPEN = 1 << 5,
	NOTIFY_MOVED_FROM = 1 << 6,
	NOTIFY_MOVED_TO = 1 << 7,
	NOTIFY_CREATE = 1 << 8,
	NOTIFY_DELETE = 1 << 9,
	NOTIFY_DELETE_SELF = 1 << 10,
	NOTIFY_MOVE_SELF = 1 << 11,
	NOTIFY_ALL = (1 << 12) - 1, /* what can be asked for */
	NOTIFY_UNMOUNT = 1 << 13,   /* these come unasked */
	NOTIFY_OVERFLOW = 1 << 14,
	NOTIFY_IGNORED = 1 << 15,
	NOTIFY_IS_DIR = 1 << 30,
};
enum notify_flags { /* the ABI's, beside events in the mask of a new watch */
	NOTIFY_ONLYDIR = 1 << 24,
	NOTIFY_DONT_FOLLOW = 1 << 25,
	NOTIFY_EXCL_UNLINK = 1 << 26,
	NOTIFY_MASK_CREATE = 1 << 28,
	NOTIFY_MASK_ADD = 1 << 29,
	NOTIFY_ONESHOT = 1u << 31,
};

/* A name in a directory, as an event tells it. */
struct notify_name {
	struct vnode *dir;
	const char *name;
	size_t len;
};

/* --- what the calls do when something in the file system is watched --- */
void notify_dentry_slow(struct dentry *d, uint32_t events, bool by_file);
void notify_vnode_slow(struct vnode *v, uint32_t events);
void notify_name_slow(const struct notify_name *at, const struct vnode *v, uint32_t events, uint32_t cookie);
void notify_removed_slow(struct vnode *v);

static inline bool notify_is_on(const struct fs *fs)
{
	return unlikely(load_relaxed(&fs->watches) != 0);
}
/* The file that d names was used or changed: who watches its directory learns of it by name, then who watches
 * the file itself. NULL: a file without a name, which nobody watches. */
static inline void notify_dentry(struct dentry *d, uint32_t events)
{
	if (d && notify_is_on(d->fs))
		notify_dentry_slow(d, events, false);
}
/* The same through an open file: what was opened by the kernel for itself is not told; watches may leave out
 * names that were removed. */
static inline void notify_file(struct file *f, uint32_t events)
{
	if (f->dentry && notify_is_on(f->dentry->fs) && (load_relaxed(&f->flags) & FILE_TOLD))
		notify_dentry_slow(f->dentry, events, true);
}
/* Something happened to v itself, under whatever name. */
static inline void notify_vnode(struct vnode *v, uint32_t events)
{
	if (notify_is_on(v->fs))
		notify_vnode_slow(v, events);
}
/* A name in a directory, which is locked, now leads to v or no longer does. */
static inline void notify_name(
    struct vnode *dir, const char *name, size_t len, const struct vnode *v, uint32_t events)
{
	if (notify_is_on(dir->fs))
		notify_name_slow(&(struct notify_name){dir, name, len}, v, events, 0);
}
/* v has moved from one name to the other; both directories are locked. over: what it replaced, or NULL. */
void notify_moved(
    const struct notify_name *from, const struct notify_name *to, struct vnode *v, struct vnode *over);
/* The cache of names lets v go under one of its names: if it has none left, it is deleted, and its watches
 * end. The caller holds v. */
static inline void notify_unnamed(struct vnode *v)
{
	if (notify_is_on(v->fs) && !v->nlink)
		notify_removed_slow(v);
}
/* The file system ends: so do all watches on its files. */
void notify_unmounted(struct fs *fs);

/* --- inotify files --- */

/* An empty one, of the user uid, who may have only so many. flags: FILE_NONBLOCK. -EMFILE, -ENOMEM. */
MUST_CHECK err_t inotify_create(uint32_t uid, unsigned flags, struct file **out);
bool file_is_inotify(const struct file *f);
/* Watch v from now on; events and flags in mask. Returns the watch's number, the old one if there is a watch
 * on v already, whose mask is replaced, or extended (NOTIFY_MASK_ADD). -EEXIST (NOTIFY_MASK_CREATE), -ENOSPC:
 * the user has as many watches as he may. -ENOMEM. */
MUST_CHECK int64_t inotify_add(struct file *f, struct vnode *v, uint32_t mask);
/* -EINVAL: no such watch. */
MUST_CHECK err_t inotify_remove(struct file *f, int number);

/* Once at boot. */
void inotify_init(void);

/* What a user may have, as /proc/sys/fs/inotify says; (A). */
extern _Atomic uint32_t inotify_max_events, inotify_max_instances, inotify_max_watches;
/* Call fn on each watch of f by number; a spinlock is held, fn may not sleep. For /proc/PID/fdinfo. */
void inotify_for_each(
    struct file *f, void (*fn)(void *arg, int number, const struct vnode *v, uint32_t mask), void *arg);
