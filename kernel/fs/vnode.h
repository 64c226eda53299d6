#pragma once
/*
 * vnode.h - what a file system offers: vnodes and the operations on them. See docs/files.md.
 *
 *	mount ──root──▶ dentry ──parent──▶ dentry      names, in a cache; a path walk ends at one
 *	                  │ vnode
 *	                  ▼
 *	                vnode ──pages──▶ VM object      the file itself: attributes, page cache, file system's own part
 *
 * A dentry is a name in a directory: it holds its parent and its vnode (NULL: the name is known not to exist). A vnode is one file of one file system, found
 * again by its number while anybody holds it. Counts are exact: fs_recount() counts references from the roots (mounts, processes' root and cwd, open files, mappings) and compares.
 *
 * Locking: vnode.lock (sleeping rwlock, RANK_VNODE) guards names in a directory, size and attributes of a file; directory before its entry; two directories (rename) in order of ancestry,
 * then of address, under the file system's rename mutex. I/O runs with it held for reading or writing as the operation says. A page fault takes no vnode lock, so the page cache
 * may fault while one is held.
 *
 * Letters: (V) vnode.lock for writing; (C) constant while referenced; (H) the hash's lock; (A) atomic
 */
#include "fs/uio.h"
#include "kern/mutex.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "vm/object.h"

struct vnode;
struct dentry;
struct fs;
struct file;

enum { NAME_LEN_MAX = 255, PATH_LEN_MAX = 4096, SYMLINK_DEPTH_MAX = 40 };

enum mode_bits { /* the ABI's */
	MODE_FIFO = 0010000, MODE_CHAR = 0020000, MODE_DIR = 0040000, MODE_BLOCK = 0060000,
	MODE_REG = 0100000, MODE_LINK = 0120000, MODE_SOCK = 0140000, MODE_TYPE = 0170000,
};

struct timespec64 {
	int64_t sec;
	uint32_t nsec;
};

struct vnode {
	struct refcount refs;
	const struct vnode_ops *ops;   /* (C) */
	struct fs *fs;                 /* (C) counted by the mount */
	uint64_t ino;                  /* (C) */
	struct rwlock lock;
	uint32_t mode;                 /* (V) type and permissions; the type is (C) */
	uint32_t nlink;                /* (V) */
	uint32_t uid, gid;             /* (V) */
	uint64_t size;                 /* (V) bytes */
	uint64_t blocks;               /* (V) of 512 bytes, for stat */
	uint64_t rdev;                 /* (C) device files */
	struct timespec64 atime, mtime, ctime; /* (V) */
	struct vm_object *pages;       /* (C) regular files: the page cache (FILE) or the memory itself (ANON, tmpfs); NULL: none */
	void *priv;                    /* file system's own */
	struct list hash_link;         /* (H) by (fs, ino) */
	_Atomic uint32_t writers;      /* (A) open for writing; UINT32_MAX while being executed: -ETXTBSY */
};

enum attr_mask { ATTR_MODE = 1, ATTR_UID = 2, ATTR_GID = 4, ATTR_ATIME = 8, ATTR_MTIME = 16, ATTR_CTIME = 32 };
struct attr {
	unsigned mask;
	uint32_t mode, uid, gid;
	struct timespec64 atime, mtime, ctime;
};

/* readdir calls this for each entry with the position of the next one; false: stop, this entry was not taken. */
typedef bool dir_emit(void *ctx, const char *name, size_t len, uint64_t ino, unsigned type, uint64_t next_pos);

/* NULL: the operation does not exist for this type (-ENOTDIR, -EINVAL, -EPERM, -EROFS as the caller knows). Names are checked (length, no slash, not . or ..). Permissions are checked
 * by the caller. `dir->lock` is held for writing by the caller in operations that change names, for reading in lookup and readdir. */
struct vnode_ops {
	/* *out gets a reference. -ENOENT. */
	err_t (*lookup)(struct vnode *dir, const char *name, size_t len, struct vnode **out);
	/* Make a file of any type: mode with type, rdev for devices, target for symlinks. Owner and times are set by `init`. */
	err_t (*create)(struct vnode *dir, const char *name, size_t len, const struct attr *init, uint64_t rdev, const char *target, struct vnode **out);
	err_t (*link)(struct vnode *dir, const char *name, size_t len, struct vnode *v);
	err_t (*unlink)(struct vnode *dir, const char *name, size_t len, struct vnode *v);
	err_t (*rmdir)(struct vnode *dir, const char *name, size_t len, struct vnode *v);
	/* target: what is replaced, or NULL. exchange: swap the two. */
	err_t (*rename)(struct vnode *from_dir, const char *from, size_t from_len, struct vnode *v, struct vnode *to_dir, const char *to, size_t to_len,
	    struct vnode *target, bool exchange);
	err_t (*readdir)(struct vnode *dir, uint64_t pos, dir_emit *emit, void *ctx);
	/* Write the target (not terminated) into buf; *len gets its length. */
	err_t (*readlink)(struct vnode *v, char *buf, size_t size, size_t *len);
	/* Carry out changes that are in v already / make them durable. */
	err_t (*setattr)(struct vnode *v, const struct attr *a);
	/* Set the size (v->lock held for writing). The page cache beyond is cut by the caller before a shrink frees blocks. */
	err_t (*truncate)(struct vnode *v, uint64_t size);
	/* Before pages of [pos, pos + len) are written: have room for them (-ENOSPC, -EDQUOT, -EFBIG). */
	err_t (*reserve)(struct vnode *v, uint64_t pos, uint64_t len);
	/* fallocate; NULL: -EOPNOTSUPP. */
	err_t (*allocate)(struct vnode *v, int mode, uint64_t pos, uint64_t len);
	/* Data and attributes are on the disk when it returns. */
	err_t (*sync)(struct vnode *v, bool data_only);
	/* An open file gets its own file_ops here (devices, fifos, generated files); NULL: the generic ones for regular files and directories. */
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
	/* `source`: what mount(2) names (a block device's path), `options`: its data string. *root gets a reference. */
	err_t (*mount)(struct fs *fs, const char *source, const char *options, struct vnode **root);
	/* Everything is written back already and no vnode but the root is in use. */
	err_t (*unmount)(struct fs *fs);
	err_t (*sync)(struct fs *fs, bool wait);
	err_t (*statfs)(struct fs *fs, struct fs_stats *out);
	bool needs_device;
};

struct fs {
	const struct fs_ops *ops;
	uint64_t dev;        /* (C) st_dev */
	bool read_only;
	void *priv;
	struct mutex rename_lock; /* RANK_RENAME */
	_Atomic uint64_t vnodes;  /* (A) in use: exact */
};

/* --- vnode.c --- */
/* A vnode of fs with number ino that is in nobody's hands yet, one reference, in the hash after vnode_publish. -ENOMEM. */
MUST_CHECK err_t vnode_create(struct fs *fs, uint64_t ino, const struct vnode_ops *ops, struct vnode **out);
void vnode_publish(struct vnode *v);
/* The vnode with this number if anybody holds it, with a reference; else NULL. */
struct vnode *vnode_find(struct fs *fs, uint64_t ino);
static inline void vnode_get(struct vnode *v)
{
	ref_get(&v->refs);
}
void vnode_put(struct vnode *v);
