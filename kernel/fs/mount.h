#pragma once
/*
 * mount.h - the tree of mounts: which file system is seen where. See mount.c.
 *
 * Letters: (N) the mounts' lock, a spinlock of rank RANK_MOUNT; (C) constant; (A) atomic
 */
#include "fs/namei.h"

enum mount_flags { /* the ABI's MS_* */
	MOUNT_RDONLY = 1,
	MOUNT_NOSUID = 2,
	MOUNT_NODEV = 4,
	MOUNT_NOEXEC = 8,
	MOUNT_SYNCHRONOUS = 16,
	MOUNT_REMOUNT = 32,
	MOUNT_NOSYMFOLLOW = 256,
	MOUNT_NOATIME = 1024,
	MOUNT_NODIRATIME = 2048,
	MOUNT_BIND = 4096,
	MOUNT_MOVE = 8192,
	MOUNT_REC = 16384,
	MOUNT_SILENT = 32768,
	MOUNT_UNBINDABLE = 1 << 17,
	MOUNT_PRIVATE = 1 << 18,
	MOUNT_SLAVE = 1 << 19,
	MOUNT_SHARED = 1 << 20,
	MOUNT_PROPAGATION = MOUNT_UNBINDABLE | MOUNT_PRIVATE | MOUNT_SLAVE | MOUNT_SHARED,
	MOUNT_RELATIME = 1 << 21,
	MOUNT_STRICTATIME = 1 << 24,
	MOUNT_KEPT = MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC | MOUNT_SYNCHRONOUS |
		     MOUNT_NOSYMFOLLOW | MOUNT_NOATIME | MOUNT_NODIRATIME | MOUNT_STRICTATIME,
};
#define MOUNT_NOUSER (1u << 31) /* -EINVAL: file systems that only the kernel mounts */
enum umount_flags { UMOUNT_FORCE = 1, UMOUNT_DETACH = 2, UMOUNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8 };

enum { MOUNT_TEXT_MAX = 64 };

struct mount {
	_Atomic uint32_t refs;  /* (A) users, children, and one for being in the tree */
	_Atomic uint32_t flags; /* (A) MOUNT_KEPT */
	unsigned id;            /* (C) */
	struct fs *fs;          /* (C) */
	struct dentry *root;    /* (C) counted: what of the file system is seen */
	struct mount *parent;   /* (N) counted; NULL: the root, or detached */
	struct dentry *point;   /* (N) counted: where it is in the parent */
	struct list children;   /* (N) by sibling, oldest first */
	struct list sibling;    /* (N) */
	struct list link;       /* (N) all mounts in the tree, oldest first */
	bool attached;          /* (N) */
	unsigned walkers;       /* (N) mount_for_each looks at it: it stays in the tree meanwhile */
	unsigned group,
	    master;      /* (N) whom it shares mounts with, whose mounts it gets; 0: nobody. mount_group.c */
	bool unbindable; /* (N) */
	_Atomic bool expires; /* (A) not used since somebody asked with UMOUNT_EXPIRE */
	struct mount *copy;   /* mounts_mutex: made of it just now; else it means nothing */
	uint32_t counted;     /* fs_recount's own */
	char source[MOUNT_TEXT_MAX], options[MOUNT_TEXT_MAX]; /* (C), (N) */
};

static inline void mount_get(struct mount *m)
{
	uint32_t old = fetch_add_relaxed(&m->refs, 1);
	ASSERT(old != 0);
}
/* The last reference of a detached mount ends it. May sleep. */
void mount_put(struct mount *m);

/* Make a kind of file system known to mount(2). Once at boot. */
void fs_register(const struct fs_ops *ops);
const struct fs_ops *fs_find_type(const char *name);
/* The n-th kind, or NULL: /proc/filesystems. */
const struct fs_ops *fs_type_at(unsigned n);
/* A file system that is not mounted anywhere yet, with its root; for single ones and memfd. device: the
 * disk's number, 0: none. fs->mounts is 1. */
MUST_CHECK err_t fs_create(const struct fs_ops *ops, uint64_t device, const char *source, const char *options,
    bool read_only, struct fs **out);
/* Drop that 1; the last ends it: writes back, frees. */
void fs_release(struct fs *fs);

/* The first mount: what every path starts from. Once. -EBUSY. */
MUST_CHECK err_t mount_root(
    const char *source, const struct fs_ops *type, unsigned flags, const char *options);
/* A mount in no tree, for files without names; attached counts as false. As on Linux such mounts say
 * nothing of access times, so each access counts. mount_put ends it. */
MUST_CHECK err_t mount_create_internal(
    const struct fs_ops *type, const char *source, const char *options, struct mount **out);
/* The root directory of the first mount, with references. */
void mount_get_root(struct path *out);

/* mount(2): a new file system, MS_BIND (with MS_REC), MS_REMOUNT, MS_MOVE. source and type may be NULL.
 * -EPERM: uid is not 0. Errors as Linux: -ENODEV, -ENOTDIR, -EBUSY, -EINVAL, -ELOOP ... */
MUST_CHECK err_t vfs_mount(const struct fs_context *c, const char *source, const char *target,
    const char *type, unsigned flags, const char *options);
/* umount2(2). -EBUSY exactly when something is in use below it; -EINVAL: not a mount point; -EAGAIN:
 * UMOUNT_EXPIRE, and it was in use since that was asked last. */
MUST_CHECK err_t vfs_umount(const struct fs_context *c, const char *target, unsigned flags);
/* pivot_root(2): what is mounted on `new_root` becomes the root of c, whose old one goes to `put_old`. *from,
 * *to: the old root directory and the new one, with references; who stands in the old one should move.
 * -EPERM, -EINVAL, -EBUSY, -ENOENT. */
MUST_CHECK err_t vfs_pivot_root(const struct fs_context *c, const char *new_root, const char *put_old,
    struct path *from, struct path *to);
/* If something is mounted on p, p becomes that one's root; repeated. References move along. */
void mount_cross_down(struct path *p);
/* p is a mount's root: it becomes the directory that one is mounted on (which may be a mount's root again).
 * False: it is on none. */
bool mount_cross_up(struct path *p);
/* Is p the same as, or below, `above`, mounts included? */
bool path_is_below(const struct path *p, const struct path *above);
/* May names or contents be changed here? 0 or -EROFS. */
MUST_CHECK err_t mount_want_write(const struct mount *m);

/* Call fn on each file system, with a reference held. Nobody mounts or unmounts meanwhile. */
void mount_for_each_fs(void (*fn)(struct fs *fs, void *arg), void *arg);
/* sync(2): everything, everywhere. */
err_t vfs_sync_all(void);
MUST_CHECK err_t vfs_sync_fs(struct fs *fs);
/* The machine stops: nobody uses files any more. Write everything back and unmount all, children first.
 * Returns the number of mounts that were still in use; the log says which. */
unsigned vfs_shutdown(void);

/* Walk over all mounts, oldest first, with no lock held; false stops. The mount stays in the tree while fn
 * looks at it, so fn neither mounts nor unmounts, nor waits for who does. */
void mount_for_each(bool (*fn)(struct mount *m, void *arg), void *arg);
/* Is it the oldest mount of its file system in the tree? */
bool mount_is_first(const struct mount *m);
/* What of its file system m shows, as a path there. -ENAMETOOLONG. */
MUST_CHECK int64_t mount_root_path(struct mount *m, char *buf, size_t size);
/* The path of the directory that m is on, as seen from root. -ENOENT: it cannot be reached from there. */
MUST_CHECK int64_t mount_point_path(struct mount *m, const struct path *root, char *buf, size_t size);

/*
 * Count every reference on mounts, dentries and vnodes from the roots - mounts, open files, and the paths
 * that `roots` visits (working and root directories of processes) - and compare with the counters. Nobody may
 * use files meanwhile. Returns the number of differences, each logged.
 */
struct recount;
void recount_path(struct recount *r, const struct path *p);
void recount_vnode(struct recount *r, struct vnode *v); /* a reference held on a vnode alone */
typedef void recount_roots(struct recount *r, void *arg);
unsigned fs_recount(recount_roots *roots, void *arg);

void vfs_init(nsec_t (*wall_clock)(void));

extern struct spinlock mount_lock;        /* (N) */
extern struct list fs_all_mounts, fs_all; /* (N) mounts in the tree and file systems, oldest first */
