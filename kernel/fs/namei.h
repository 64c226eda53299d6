#pragma once
/*
 * namei.h - from names to files: the path walk and the operations on names and attributes. See namei.c.
 *
 * Everything a walk needs is in its arguments: where it starts, what its root is, whose rights count. A
 * `base` is the directory that a relative path starts from (dirfd of the *at calls); NULL: the working
 * directory. Strings are kernel memory, terminated, shorter than PATH_LEN_MAX. Every function may sleep and
 * is called with no lock held. Order and choice of errors are Linux's.
 */
#include "fs/dentry.h"
#include "lib/capability.h"

struct mount;

struct path {
	struct mount *mount;
	struct dentry *dentry;
};
void path_get(const struct path *p);
void path_put(const struct path *p);
static inline struct vnode *path_vnode(const struct path *p)
{
	return dentry_vnode(p->dentry);
}

/* Whose rights count: the ids for files, and the capabilities that go beyond them. */
struct fs_cred {
	uint32_t uid, gid;
	cap_set_t caps;
	const uint32_t *groups; /* sorted or not */
	unsigned ngroups;
};

/* Is gid the group for files, or one of the others? */
bool fs_cred_in_group(const struct fs_cred *cred, uint32_t gid);

struct fs_context {
	struct path root, cwd; /* the caller holds references */
	struct fs_cred cred;
	uint32_t umask;
};

enum walk_flags {
	WALK_NOFOLLOW = 1 << 0,  /* a symbolic link at the end is the result */
	WALK_EMPTY = 1 << 1,     /* AT_EMPTY_PATH: "" is the base itself, whatever it is */
	WALK_DIRECTORY = 1 << 2, /* -ENOTDIR for anything else */
};

/* The file that `name` leads to, with references. -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG, -ENOMEM,
 * -EIO. */
MUST_CHECK err_t vfs_lookup(const struct fs_context *c, const struct path *base, const char *name,
    unsigned walk_flags, struct path *out);

enum resolve_flags {               /* the ABI's RESOLVE_*: what a walk may not do */
	RESOLVE_NO_XDEV = 1,       /* cross from mount to mount: -EXDEV */
	RESOLVE_NO_MAGICLINKS = 2, /* follow links that lead to objects: -ELOOP */
	RESOLVE_NO_SYMLINKS = 4,   /* follow any link: -ELOOP */
	RESOLVE_BENEATH = 8,       /* leave what is below the base: -EXDEV */
	RESOLVE_IN_ROOT = 16,      /* the base is the root, of absolute names too */
	RESOLVE_CACHED = 32,       /* ask a file system: -EAGAIN */
	RESOLVE_SCOPED = RESOLVE_BENEATH | RESOLVE_IN_ROOT,
	RESOLVE_ALL = 63,
};
/* May a file be opened like this? -EINVAL: flags that contradict each other. Those that do not count are
 * dropped. */
MUST_CHECK err_t vfs_check_open(unsigned *flags);
/* openat(2). flags: enum open_flags, checked here (-EINVAL); mode: permissions of a new file before the
 * umask. Returns a file with one reference. */
MUST_CHECK err_t vfs_open(const struct fs_context *c, const struct path *base, const char *name,
    unsigned flags, uint32_t mode, struct file **out);
/* openat2(2): the same with enum resolve_flags. -EAGAIN also: somebody moved a directory out of the base
 * while it was walked through. */
MUST_CHECK err_t vfs_open_resolve(const struct fs_context *c, const struct path *base, const char *name,
    unsigned resolve, unsigned flags, uint32_t mode, struct file **out);
/* Open what a path leads to already (exec, /proc/PID/fd, fifos): no O_CREAT. */
MUST_CHECK err_t vfs_open_path(
    const struct fs_context *c, const struct path *p, unsigned flags, struct file **out);
/* Open a regular file for truncate(2): checks the right to write to it, and that nobody executes it. Who
 * watches the file is not told. */
MUST_CHECK err_t vfs_open_to_cut(const struct fs_context *c, const struct path *p, struct file **out);
/* Open what a path leads to in order to execute it: a regular file (-EACCES for others, -ELOOP for a symbolic
 * link) that the mount and its mode allow to execute (-EACCES), and that nobody has open for writing
 * (-ETXTBSY). Nobody opens it for writing until file_put_exec. It can be read by file_read_all, whether the
 * caller may read it or not. */
MUST_CHECK err_t vfs_open_exec(const struct fs_context *c, const struct path *p, struct file **out);
MUST_CHECK err_t vfs_mkdir(
    const struct fs_context *c, const struct path *base, const char *name, uint32_t mode);
/* May a file of this type be asked for? No type becomes MODE_REG. -EPERM (directories), -EINVAL. */
MUST_CHECK err_t vfs_check_mknod(uint32_t *mode);
/* mode with type: regular, fifo, socket; devices only with CAP_MKNOD (-EPERM), but for whiteouts (MODE_CHAR,
 * 0); directories -EPERM. *out (or NULL): what was made, with references, for bind(2). */
MUST_CHECK err_t vfs_mknod(const struct fs_context *c, const struct path *base, const char *name,
    uint32_t mode, uint64_t rdev, struct path *out);
MUST_CHECK err_t vfs_symlink(
    const struct fs_context *c, const char *target, const struct path *base, const char *name);
/* follow: AT_SYMLINK_FOLLOW; WALK_EMPTY in from_flags: AT_EMPTY_PATH. */
MUST_CHECK err_t vfs_link(const struct fs_context *c, const struct path *from_base, const char *from,
    unsigned from_flags, const struct path *to_base, const char *to);
MUST_CHECK err_t vfs_unlink(const struct fs_context *c, const struct path *base, const char *name);
MUST_CHECK err_t vfs_rmdir(const struct fs_context *c, const struct path *base, const char *name);
enum rename_flags { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 };
/* -EINVAL: flags that are not known, or exclude each other. RENAME_WHITEOUT needs a file system that can, and
 * none can. */
MUST_CHECK err_t vfs_check_rename(unsigned flags);
MUST_CHECK err_t vfs_rename(const struct fs_context *c, const struct path *from_base, const char *from,
    const struct path *to_base, const char *to, unsigned flags);
/* readlink(2): bytes put into buf, not terminated. WALK_EMPTY: the link is the base itself. -EINVAL: no link.
 */
MUST_CHECK int64_t vfs_readlink(
    const struct fs_context *c, const struct path *base, const char *name, char *buf, size_t size);

struct vfs_stat {
	uint64_t dev, ino, nlink, rdev, size, blocks;
	uint32_t mode, uid, gid, block_size;
	struct timespec64 atime, mtime, ctime, btime;
	uint64_t mount_id;
	uint32_t flags,
	    flags_known; /* enum inode_flags and others of chattr(1) that statx tells, where known */
	bool mount_root;
};
void vfs_stat_path(const struct path *p, struct vfs_stat *st);
void vfs_stat_vnode(struct vnode *v, struct vfs_stat *st);

enum access_mask { MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4 }; /* the ABI's R_OK, W_OK, X_OK */
/* access(2) with the ids of c->cred (the caller puts the real ones there unless AT_EACCESS). Read-only mounts
 * count for files and directories. */
MUST_CHECK err_t vfs_access(const struct fs_context *c, const struct path *p, unsigned mask);
/* May these ids do this with the file, by its mode? 0 or -EACCES. -EPERM: nobody changes it. */
MUST_CHECK err_t vnode_permission(const struct fs_cred *cred, const struct vnode *v, unsigned mask);

enum { OWNER_KEEP = UINT32_MAX };
MUST_CHECK err_t vfs_chmod(const struct fs_context *c, const struct path *p, uint32_t mode);
/* OWNER_KEEP: as it is. */
MUST_CHECK err_t vfs_chown(const struct fs_context *c, const struct path *p, uint32_t uid, uint32_t gid);
/* chattr(1)'s flags, see vnode_ops. -ENOTTY: this file has none; -EPERM, -EROFS. */
MUST_CHECK err_t vfs_get_flags(const struct path *p, uint32_t *out);
MUST_CHECK err_t vfs_set_flags(const struct fs_context *c, const struct path *p, uint32_t flags);
/* The inode's generation, see vnode_ops. -ENOTTY: this file has none; set also -EPERM, -EROFS. */
MUST_CHECK err_t vfs_get_generation(const struct path *p, uint32_t *out);
MUST_CHECK err_t vfs_set_generation(const struct fs_context *c, const struct path *p, uint32_t generation);
enum time_choice { TIME_OMIT, TIME_NOW, TIME_SET, TIME_INVALID };
struct time_change {
	enum time_choice choice;
	struct timespec64 at; /* with TIME_SET */
};
/* -EINVAL: a time is TIME_INVALID. */
MUST_CHECK err_t vfs_utimens(const struct fs_context *c, const struct path *p,
    const struct time_change *atime, const struct time_change *mtime);
/* truncate(2); limit: RLIMIT_FSIZE (-EFBIG). */
MUST_CHECK err_t vfs_truncate(const struct fs_context *c, const struct path *p, int64_t size, uint64_t limit);
MUST_CHECK err_t vfs_statfs(const struct path *p, struct fs_stats *out);
/* May the process enter it (chdir, chroot)? -ENOTDIR, -EACCES. */
MUST_CHECK err_t vfs_may_enter(const struct fs_context *c, const struct path *p);

enum path_style {
	PATH_BELOW, /* /proc/PID/mounts: -ENOENT for what is outside root */
	PATH_CWD,   /* getcwd(2): -ENOENT if deleted; "(unreachable)/..." outside root */
	PATH_FD, /* /proc/PID/fd, exe, cwd: " (deleted)" appended; as seen from the root of the tree where root does not reach */
};
/* The path of p as seen from `root`, terminated. Returns its length without the terminator, or -ENAMETOOLONG
 * (-ERANGE for PATH_CWD), -ENOENT. */
MUST_CHECK int64_t path_to_text(
    const struct path *p, const struct path *root, enum path_style style, char *buf, size_t size);
