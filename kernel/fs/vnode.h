#pragma once
/*
 * vnode.h - what a file system offers: vnodes and the operations on them. See docs/files.md.
 *
 *	mount ──root──▶ dentry ──parent──▶ dentry      names, in a cache; a path walk ends at one
 *	                  │ vnode
 *	                  ▼
 *	                vnode ──pages──▶ VM object      the file itself: attributes, page cache, file system's own part
 *
 * A dentry is a name in a directory: it holds its parent and its vnode (NULL: the name is known not to
 * exist). A vnode is one file of one file system, found again by its number while anybody holds it. The page
 * cache belongs to the vnode's life: while somebody maps the file its VM object lives, and with it the vnode,
 * though its count may be 0; whoever finds it by number revives it. Counts are exact: fs_recount() counts
 * references from the roots (mounts, processes' root and cwd, open files, mappings) and compares.
 *
 * Locking: vnode.lock (sleeping rwlock, RANK_VNODE) guards names in a directory, size and attributes of a
 * file; directory before its entry; two directories (rename) in order of ancestry, then of address, under the
 * file system's rename mutex (children after directories, by rwlock_write_nested). I/O runs with it held for
 * reading or writing as the operation says. A page fault takes no vnode lock, so the page cache may fault
 * while one is held.
 *
 * Letters: (V) vnode.lock for writing; (C) constant while referenced; (H) the hash's lock; (N) the mounts'
 * lock; (A) atomic
 */
#include "fs/uio.h"
#include "kern/mutex.h"
#include "lib/list.h"
#include "vm/object.h"

struct vnode;
struct dentry;
struct fs;
struct file;
struct path;
struct mount;
struct vfs_stat;
struct xattr_name;
struct xattr_value;

enum { NAME_LEN_MAX = 255, PATH_LEN_MAX = 4096, SYMLINK_DEPTH_MAX = 40 };

enum mode_bits { /* the ABI's */
	MODE_FIFO = 0010000,
	MODE_CHAR = 0020000,
	MODE_DIR = 0040000,
	MODE_BLOCK = 0060000,
	MODE_REG = 0100000,
	MODE_LINK = 0120000,
	MODE_SOCK = 0140000,
	MODE_TYPE = 0170000,
};

struct timespec64 {
	int64_t sec;
	uint32_t nsec;
};

enum vnode_state {
	VNODE_LOADING, /* found by number, but its creator is still reading it: others wait */
	VNODE_LIVE,
	VNODE_DYING, /* being released: who looks for the number waits until it is gone */
};

enum seals {
	SEAL_SEAL = 1,
	SEAL_SHRINK = 2,
	SEAL_GROW = 4,
	SEAL_WRITE = 8,
	SEAL_FUTURE_WRITE = 16
}; /* the ABI's F_SEAL_* */

enum inode_flags {              /* the ABI's FS_*_FL, which ext2 has on the disk as well */
	INODE_IMMUTABLE = 0x10, /* nobody changes it, its names or what it has inside */
	INODE_APPEND = 0x20,    /* it only grows */
	INODE_NODUMP = 0x40,
	INODE_NOATIME = 0x80,
	INODE_COMPRESSED = 0x4,
	INODE_SYNC = 0x8,
	INODE_ENCRYPTED = 0x800,
	INODE_FIXED = INODE_IMMUTABLE | INODE_APPEND,
	INODE_HONOURED = INODE_FIXED | INODE_NODUMP | INODE_NOATIME,
};

struct vnode {
	_Atomic uint32_t
	    refs; /* (A) from and to 0 only with (H); 0 while only a mapping of its pages keeps it */
	_Atomic uint32_t state;      /* (H) to change: enum vnode_state */
	const struct vnode_ops *ops; /* (C) */
	struct fs *fs;               /* (C) counted by the mount */
	uint64_t ino;                /* (C) */
	struct rwlock lock;
	uint32_t mode;                         /* (V) type and permissions; the type is (C) */
	uint32_t nlink;                        /* (V) */
	uint32_t uid, gid;                     /* (V) */
	uint64_t size;                         /* (V) bytes */
	uint64_t blocks;                       /* (V) of 512 bytes, for stat */
	uint64_t rdev;                         /* (C) device files */
	struct timespec64 atime, mtime, ctime; /* (V) */
	struct timespec64 btime;               /* (C) birth; sec 0: not known */
	struct vm_object *pages; /* (C) regular files: the page cache; made by vnode_make_pages. NULL: none */
	void *priv;              /* file system's own */
	struct list hash_link;   /* (H) by (fs, ino) */
	struct list fs_link;     /* (H) fs->vnode_list */
	_Atomic int32_t writers; /* (A) > 0: open for writing; < 0: being executed by so many: -ETXTBSY */
	_Atomic uint32_t flags;  /* (A) written with (V): enum inode_flags, INODE_HONOURED */
	_Atomic uint32_t no_caps; /* (A) 1: surely no security.capability; to 0 with (V), see file_caps.c */
	_Atomic uint32_t write_hint;   /* (A) fcntl's F_SET_RW_HINT: 0 to 5 */
	bool dead;                     /* (V) a directory that was removed: nothing is made in it any more */
	bool linkable;                 /* (V) has no name yet (O_TMPFILE) and may be given one */
	_Atomic uint32_t seals;        /* (A) written with (V): enum seals */
	_Atomic uint64_t write_errors; /* (A) write-back errors, see vnode_note_error */
	uint32_t counted;              /* fs_recount's own */
	nsec_t dirty_seen;       /* the write-back thread's own: when it first saw dirty pages; 0: none */
	_Atomic uintptr_t locks; /* (A) set once: its struct lock_list, see flock.c; 0: it never had locks */
	_Atomic uintptr_t channel; /* (A) of a fifo that is open: its struct pipe, guarded by pipe.c */
	_Atomic uint32_t watched; /* (A) what is to be told of it: enum notify_events; written by inotify.c */
	_Atomic uint32_t nwatches; /* (A) down only with (H): references that watches hold */
	struct list watches;       /* inotify.c's */
};

enum attr_mask {
	ATTR_MODE = 1,
	ATTR_UID = 2,
	ATTR_GID = 4,
	ATTR_ATIME = 8,
	ATTR_MTIME = 16,
	ATTR_CTIME = 32,
	ATTR_SIZE = 64
};
struct attr {
	unsigned mask;
	uint32_t mode, uid, gid;
	struct timespec64 atime, mtime, ctime;
};

/* Positions 0 and 1 of a directory are "." and "..", which the generic layer emits; a file system's own begin
 * at DIR_POS_FIRST and its readdir leaves these two out. readdir calls this for each entry with the position
 * of the next one; false: stop, this entry was not taken. */
enum { DIR_POS_FIRST = 2 };
typedef bool dir_emit(
    void *ctx, const char *name, size_t len, uint64_t ino, unsigned type, uint64_t next_pos);

/* What xattr_list finds, one after the other; false: no more is wanted. */
typedef bool xattr_emit(void *ctx, const struct xattr_name *name);

/* NULL: the operation does not exist for this type (-ENOTDIR, -EINVAL, -EPERM, -EROFS as the caller knows).
 * Names are checked (length, no slash, not . or ..). Permissions are checked by the caller. `dir->lock` is
 * held for writing by the caller in operations that change names, for reading in lookup and readdir. */
struct vnode_ops {
	/* *out gets a reference, by vnode_acquire. -ENOENT. Several may run at once in one directory. */
	err_t (*lookup)(struct vnode *dir, const char *name, size_t len, struct vnode **out);
	/* Make a file of any type: mode with type, rdev for devices, target for symlinks. Owner and times are
	 * set by `init`. The vnode is published; the directory's times are changed by the file system, as in
	 * all operations on names; so are nlink of both (a directory starts with 2 and adds one to its
	 * parent) and ctime of v. */
	err_t (*create)(struct vnode *dir, const char *name, size_t len, const struct attr *init,
	    uint64_t rdev, const char *target, struct vnode **out);
	err_t (*link)(struct vnode *dir, const char *name, size_t len, struct vnode *v);
	err_t (*unlink)(struct vnode *dir, const char *name, size_t len, struct vnode *v);
	err_t (*rmdir)(struct vnode *dir, const char *name, size_t len, struct vnode *v);
	/* Make a file without a name (O_TMPFILE), nlink 0; link may give it one. NULL: -EOPNOTSUPP. */
	err_t (*tmpfile)(struct vnode *dir, const struct attr *init, struct vnode **out);
	/* target: what is replaced, or NULL. exchange: swap the two. v and target are locked for writing, as
	 * in unlink and rmdir. */
	err_t (*rename)(struct vnode *from_dir, const char *from, size_t from_len, struct vnode *v,
	    struct vnode *to_dir, const char *to, size_t to_len, struct vnode *target, bool exchange);
	err_t (*readdir)(struct vnode *dir, uint64_t pos, dir_emit *emit, void *ctx);
	/* Write the target (not terminated) into buf; *len gets its length. */
	err_t (*readlink)(struct vnode *v, char *buf, size_t size, size_t *len);
	/* Symbolic links of /proc that lead to an object and not to a path: *out gets references. NULL:
	 * follow the text of readlink. */
	err_t (*follow)(struct vnode *v, struct path *out);
	/* Is what a cached dentry says of v still true? False: look it up again. No lock held. NULL: always.
	 */
	bool (*revalidate)(struct vnode *v);
	/* Adjust what stat tells, filled in from v already. v->lock held for reading. NULL: nothing to
	 * adjust. */
	void (*getattr)(struct vnode *v, struct vfs_stat *st);
	/* Called with v->lock for writing before the generic layer stores the attributes in v: make them
	 * durable, or refuse; times become those that it can keep. NULL: nothing to do. */
	err_t (*setattr)(struct vnode *v, struct attr *a);
	/* chattr(1)'s flags, all that the file system has; v->lock held for reading. Set: for writing; those
	 * that it does not know are -EOPNOTSUPP or as they were. v->flags is the generic layer's. NULL:
	 * -ENOTTY. */
	uint32_t (*get_flags)(struct vnode *v);
	err_t (*set_flags)(struct vnode *v, uint32_t flags);
	/* The number that tells this file from others that had the same inode before. As get_flags and
	 * set_flags. */
	uint32_t (*get_generation)(struct vnode *v);
	err_t (*set_generation)(struct vnode *v, uint32_t generation);
	/* Extended attributes; xattr.h has asked for rights already. NULL: no file of this kind has any
	 * (-EOPNOTSUPP). v->lock is held for reading by the first two, for writing by the third, which
	 * changes ctime. get: *len is the value's length, which is copied to buf if size is not 0. -ENODATA;
	 * -ERANGE: it is longer than size. set: value NULL removes; how: enum xattr_how. -EEXIST, -ENODATA,
	 * -ENOSPC. */
	err_t (*xattr_get)(
	    struct vnode *v, const struct xattr_name *name, void *buf, size_t size, size_t *len);
	err_t (*xattr_list)(struct vnode *v, xattr_emit *emit, void *ctx);
	err_t (*xattr_set)(
	    struct vnode *v, const struct xattr_name *name, const struct xattr_value *value, unsigned how);
	/* Set the size (v->lock held for writing): free or account blocks and make it known on the disk;
	 * v->size is `size` already. The page cache beyond is cut by the caller before a shrink frees blocks.
	 */
	err_t (*truncate)(struct vnode *v, uint64_t size);
	/* Before pages of [pos, pos + *len) are written by write(2), v->lock held for writing: have room for
	 * them. If there is room for a part only, *len becomes that part's; if for nothing, an error
	 * (-ENOSPC, -EDQUOT, -EFBIG). NULL: nothing to do. The size is changed by the caller afterwards, and
	 * told by `written`; if less is written than there is room for behind the end of the file, `truncate`
	 * is called with the size. */
	err_t (*reserve)(struct vnode *v, uint64_t pos, uint64_t *len);
	/* Size and times of v changed by write(2); v->lock held for writing. NULL: nothing to do. */
	void (*written)(struct vnode *v);
	/* fallocate; NULL: -EOPNOTSUPP. */
	err_t (*allocate)(struct vnode *v, int mode, uint64_t pos, uint64_t len);
	/* Data and attributes are on the disk when it returns. */
	err_t (*sync)(struct vnode *v, bool data_only);
	/* Called last when a file is opened, f filled in: set f->ops and f->priv (generated files), or take
	 * its name from it (file_drop_name); an error undoes the open. May sleep. NULL: the generic ones for
	 * regular files and directories; devices and fifos have theirs by type. */
	err_t (*open)(struct vnode *v, struct file *f);
	/* The last reference is gone: free v->priv, and the file itself if nlink is 0. May sleep. */
	void (*release)(struct vnode *v);
};

struct fs_stats {
	uint64_t type, block_size, blocks, free_blocks, available_blocks, files, free_files, fsid;
	uint32_t name_max;
};

struct fs_ops {
	const char *name;
	/* `source`: what mount(2) names, `options`: its data string, perhaps "". *root gets a reference. */
	err_t (*mount)(struct fs *fs, const char *source, const char *options, struct vnode **root);
	/* Everything is written back already and no vnode but the root is in use; the root is gone when it is
	 * called. Frees fs->priv. */
	void (*unmount)(struct fs *fs);
	/* Called before the root goes: drop references that the file system holds on vnodes itself. NULL: it
	 * holds none. */
	void (*drain)(struct fs *fs);
	/* How many references on v are the file system's own (names of a tmpfs)? NULL: none. */
	uint32_t (*own_refs)(struct vnode *v);
	/* Write back what is the file system's own (superblock, bitmaps), after all vnodes were synced. */
	err_t (*sync)(struct fs *fs, bool wait);
	err_t (*statfs)(struct fs *fs, struct fs_stats *out);
	/* mount(2) with MS_REMOUNT: new options, perhaps read-only or not. NULL: only the read-only flag can
	 * change. */
	err_t (*remount)(struct fs *fs, bool read_only, const char *options);
	/* There is one only, shown by every mount (devfs): it is made at boot and found here. NULL: each
	 * mount makes one. */
	struct fs *(*single)(void);
	/* The cache of its own blocks, which no vnode has; NULL: it has none. No reference: it stays as long
	 * as the file system. */
	struct vm_object *(*metadata)(struct fs *fs);
	bool needs_device;
};

struct fs {
	const struct fs_ops *ops;
	uint64_t dev;    /* (C) st_dev */
	uint64_t device; /* (C) number of the disk it lies on; 0: none */
	bool read_only;  /* (N) */
	bool
	    volatile_names; /* (C) names come and go by themselves (procfs): not kept when unused, absence not cached */
	uint64_t max_size; /* (C) bytes of the largest file */
	uint32_t io_size;  /* (C) what stat tells as the size to read and write by; 0: a page */
	void *priv;
	struct dentry *root;    /* (C) counted */
	struct mount *internal; /* (C) a mount of it that is in no tree; NULL: none */
	unsigned mounts;        /* (N) mounts that show it, and 1 for a single one's maker */
	struct list link;       /* (N) list of all */
	unsigned leaving;       /* dentry_lock: names that the cache is giving up, which hold vnodes still */
	struct mutex rename_lock;  /* RANK_RENAME */
	_Atomic uint64_t vnodes;   /* (A) in memory: exact */
	_Atomic uint64_t watches;  /* (A) on its files, by inotify.c: asked before anything is told */
	struct list vnode_list;    /* (H) by fs_link */
	_Atomic uint64_t next_ino; /* (A) for file systems that number their files as they come */
};

/* --- vnode.c --- */
void vnode_init_cache(void);
/* Find the vnode with number ino, or make it. *fresh: it is new, of this caller alone: fill it in, then
 * vnode_publish or vnode_abandon; others who want the number wait meanwhile. Else it is complete. One
 * reference for the caller either way. -ENOMEM. May sleep, also until another thread's `release` of the
 * number is through: no lock is held that `release` takes (RANK_FS and above). */
MUST_CHECK err_t vnode_acquire(
    struct fs *fs, uint64_t ino, const struct vnode_ops *ops, struct vnode **out, bool *fresh);
/* A vnode that is certainly new (create): vnode_acquire that asserts it. */
MUST_CHECK err_t vnode_create(struct fs *fs, uint64_t ino, const struct vnode_ops *ops, struct vnode **out);
/* v, fresh and of type MODE_REG, gets its pages: an object of v->size bytes on ops, with v as its priv, of
 * kind FILE, or the file's memory (VM_RESIDENT). ops->closing and ops->release are vnode_pages_closing and
 * vnode_pages_release, always. flags: VM_RESIDENT with or without VM_PURGEABLE, or 0. -ENOMEM. */
MUST_CHECK err_t vnode_make_pages(struct vnode *v, const struct vm_file_ops *ops, unsigned flags);
void vnode_pages_closing(struct vm_object *o);
void vnode_pages_release(struct vm_object *o);
static inline struct vnode *vnode_of_pages(const struct vm_object *o)
{
	return o->priv;
}
void vnode_publish(struct vnode *v);
/* v, fresh, could not be filled in: it goes, without `release`, and v->priv is the caller's. Drops the
 * reference. */
void vnode_abandon(struct vnode *v);
static inline void vnode_get(struct vnode *v)
{
	uint32_t old = fetch_add_relaxed(&v->refs, 1);
	ASSERT(old != 0);
}
/* May sleep; no spinlock held, no lock of rank RANK_FS or above. */
void vnode_put(struct vnode *v);
/* The reference of a watch, which keeps no file system busy. Whoever gets it holds a path to v, so that
 * nobody unmounts meanwhile. It may be put at any time: count and mark go in one step, since an umount that
 * saw the one without the other would take it for a use. Otherwise as vnode_get and vnode_put. */
static inline void vnode_get_watch(struct vnode *v)
{
	fetch_add_relaxed(&v->nwatches, 1);
	vnode_get(v);
}
void vnode_put_watch(struct vnode *v);
/* Call fn on each vnode of fs, with a reference held and no lock; until it returns an error. */
err_t vnode_for_each(struct fs *fs, err_t (*fn)(struct vnode *v, void *arg), void *arg);
/* References that are nobody's use: the file system's own, and those of watches. */
uint32_t vnode_own_refs(struct vnode *v);
/* Is any vnode of fs in use by others than the cache of names, the file system itself and watches: open,
 * mapped, somebody's directory? `root_refs`: references on `root` that do not count. */
bool vnode_fs_is_busy(struct fs *fs, struct vnode *root, uint32_t root_refs);
/* Sleep until no vnode of fs is in memory any more. */
void vnode_wait_gone(struct fs *fs);
/* A write-back error happened to v's data: each file that is open learns of it once, by vnode_check_error
 * with its own `seen`. A file that is opened before anybody was told learns of it as well. */
void vnode_note_error(struct vnode *v, err_t err);
uint64_t vnode_sample_error(struct vnode *v);
MUST_CHECK err_t vnode_check_error(struct vnode *v, uint64_t *seen);
/* file_dirty.c: limits of dirty pages. The current thread has made page idx of v dirty, or is about to: it
 * may have to write some back first. May sleep; whatever sleeping locks are held. */
void dirty_note_page(struct vnode *v, pgidx_t idx);
bool dirty_is_above_background(void);
bool dirty_is_above_limit(void);
/* `begin` wakes who writes back in the background. */
void dirty_set_writer(void (*begin)(void));
/* Per cent, 0 to 100. */
void dirty_get_ratios(uint32_t *background, uint32_t *hard);
void dirty_set_background_ratio(uint32_t percent);
void dirty_set_hard_ratio(uint32_t percent);
/* How often somebody had to write back himself. */
uint64_t dirty_throttled_count(void);

/* Write dirty pages of v back and wait; errors are noted in v, and the first is returned. */
err_t vnode_writeback(struct vnode *v, pgidx_t first, pgidx_t end);

/* The time of day, for time stamps. */
void fs_now(struct timespec64 *out);
/* If v was written to through a shared window since this was last asked, it was modified and changed now:
 * called by whoever tells or keeps the times, and when such a window ends. May sleep. */
void vnode_note_mapped_writes(struct vnode *v);
extern nsec_t (*fs_wall_clock)(void); /* set once at boot: nanoseconds since 1970; NULL: since boot */

/* Has the current thread CAP_SYS_RESOURCE, or is its user uid, or in group gid (0: none)? Those may take the
 * last blocks of a disk. */
bool fs_current_is(uint32_t uid, uint32_t gid);
extern bool (*fs_current_user)(
    uint32_t uid, uint32_t gid); /* set once at boot: the answer; NULL: all work is the kernel's */

/* Attributes that are read without the lock where an old value does no harm (permission checks, relatime). */
static inline uint32_t vnode_mode(const struct vnode *v)
{
	return __atomic_load_n(&v->mode, __ATOMIC_RELAXED);
}
/* Page cache input and output read the size without the lock: an old value does them no harm, a torn one
 * would. */
static inline void vnode_store_size(struct vnode *v, uint64_t size)
{
	__atomic_store_n(&v->size, size, __ATOMIC_RELAXED);
}
/* Has it any of these enum inode_flags? */
static inline bool vnode_has(const struct vnode *v, uint32_t flags)
{
	return unlikely(load_relaxed(&v->flags) & flags);
}
static inline bool vnode_is(const struct vnode *v, unsigned type)
{
	return (vnode_mode(v) & MODE_TYPE) == type;
}
