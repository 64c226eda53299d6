#pragma once
/*
 * file.h - open files (Linux: open file descriptions): kernel objects of type KO_FILE, shared by dup and
 * fork.
 *
 * The position is kept under file.lock from the first byte to the last, so that two threads that share a file
 * read different parts of it. Files without a position (FILE_STREAM) leave that lock alone. Blocking file_ops
 * sleep interruptibly and return -EINTR if nothing was moved yet; whoever made the call decides whether it
 * restarts.
 *
 * Letters: (C) constant after open; (M) file.lock; (A) atomic; (F) the list of files
 */
#include "fs/namei.h"
#include "object/kobject.h"
#include "vm/region.h"

enum open_flags { /* the ABI's */
	FILE_RDONLY = 0,
	FILE_WRONLY = 1,
	FILE_RDWR = 2,
	FILE_ACCMODE = 3,
	FILE_CREAT = 0100,
	FILE_EXCL = 0200,
	FILE_NOCTTY = 0400,
	FILE_TRUNC = 01000,
	FILE_APPEND = 02000,
	FILE_NONBLOCK = 04000,
	FILE_DSYNC = 010000,
	FILE_ASYNC = 020000,
	FILE_DIRECT = 040000,
	FILE_LARGEFILE = 0100000,
	FILE_DIRECTORY = 0200000,
	FILE_NOFOLLOW = 0400000,
	FILE_NOATIME = 01000000,
	FILE_CLOEXEC = 02000000,
	FILE_SYNC = 04010000,
	FILE_PATH = 010000000,
	FILE_TMPFILE = 020200000,
	FILE_SETTABLE = FILE_APPEND | FILE_NONBLOCK | FILE_DIRECT |
			FILE_NOATIME, /* by F_SETFL, which is more for ASYNC */
	FILE_TOLD = 1 << 27,   /* ours: who watches it was told that it is open, and is told of its end */
	FILE_EXEC = 1 << 28,   /* ours: opened to be executed, by vfs_open_exec */
	FILE_STREAM = 1 << 29, /* ours: no position (pipe, tty, socket): lseek and pread are -ESPIPE */
	FILE_WRITER = 1 << 30, /* ours: counted in vnode.writers */
	FILE_OURS = FILE_TOLD | FILE_EXEC | FILE_STREAM | FILE_WRITER,
};

enum { SPLICE_READ = 1, SPLICE_WRITE = 2 };
/* NULL: not possible (-EINVAL, -ESPIPE, -ENOTTY, -ENODEV as the caller knows). Results: bytes or -errno. */
struct file_ops {
	enum kobject_type type; /* what native calls know it as; 0: KO_FILE */
	/* Bytes at *pos (NULL: the file has no position: pipes, ttys); advances *pos. */
	int64_t (*read)(struct file *f, struct uio *u, uint64_t *pos);
	int64_t (*write)(struct file *f, struct uio *u, uint64_t *pos);
	int64_t (*seek)(struct file *f, int64_t offset, int whence);
	err_t (*readdir)(struct file *f, dir_emit *emit, void *ctx);
	int64_t (*ioctl)(struct file *f, uint32_t request, uint64_t arg);
	/* The VM object to map, with a reference, or NULL: anonymous memory (private /dev/zero). Rights to
	 * the descriptor were checked. map_flags: enum vm_map_flags. -ENODEV, -EPERM (seals). NULL: -ENODEV.
	 */
	err_t (*mmap)(struct file *f, uint64_t offset, uint64_t len, unsigned prot, unsigned map_flags,
	    struct vm_object **out);
	err_t (*sync)(struct file *f, bool data_only);
	/* The last descriptor was closed (by the end of a process, too); close(2) returns the error. Files on
	 * disks say nothing: fsync(2) is for that. */
	err_t (*flush)(struct file *f);
	/* One descriptor of this table was closed. May not sleep. */
	void (*desc_closed)(struct file *f, const struct desc_table *t);
	/* The last reference is gone. */
	void (*release)(struct file *f);
	/* Bring the object signals up to date, poll is about to look at them. May sleep. NULL: they are
	 * always. */
	void (*refresh)(struct file *f);
	unsigned
	    splice; /* SPLICE_READ, SPLICE_WRITE: what splice and sendfile may do with it, besides pipes */
	/* fcntl commands of the type (F_GETPIPE_SZ, F_ADD_SEALS ...). NULL: -EINVAL (-EBADF for pipe sizes of
	 * what is no pipe). */
	int64_t (*control)(struct file *f, int command, uint64_t arg, bool privileged);
	/* The file has news to tell (O_ASYNC, fs/async.h). The result: the process group that is told if
	 * nobody was named, ASYNC_CALLER, or ASYNC_NOBODY. NULL: O_ASYNC means nothing. */
	uint32_t (*async)(struct file *f);
};
enum { ASYNC_NOBODY = 0 };
#define ASYNC_CALLER UINT32_MAX

/* What O_ASYNC needs to know; guarded by the lock of async.c. */
struct file_async {
	struct list link;   /* in the list of files with news */
	uint64_t owner;     /* F_SETOWN: type and number, as its caller packs them */
	uint32_t uid, euid; /* whose call that was */
	int fd;
	bool on;
	uint32_t reasons; /* the news: a bit for each enum async_reason */
};

struct file {
	struct kobject object;      /* first; signals serve poll */
	const struct file_ops *ops; /* (C) */
	struct mount *mount;        /* (C) where its name is, counted; NULL: anonymous */
	struct dentry *dentry; /* (C) name it was opened by, counted; NULL: anonymous (pipe, socket, memfd) */
	struct vnode *vnode;   /* (C) counted; every file has one, see anon.c */
	_Atomic uint32_t flags; /* (A) enum open_flags; F_SETFL changes APPEND, NONBLOCK, DIRECT, NOATIME */
	struct mutex lock;      /* guards pos; RANK_FILE */
	uint64_t pos;           /* (M) */
	_Atomic uint64_t last_page; /* (A) hint: page that was read or written last, + 1 */
	void *priv;                 /* (C) of the ops */
	_Atomic uint64_t
	    write_error_seen;    /* (A) which write-back errors were reported by this file already */
	struct vm_holder holder; /* lock of the VM object, if that is purgeable */
	struct list link;        /* (F) all files: recount, remount read-only, statistics */
	struct file_async async;
	_Atomic uint8_t owner_signal; /* (A) F_SETSIG */
	const char
	    *kind; /* (C) of an anonymous file, for its name in /proc: "pipe", "anon_inode:[eventfd]", ... */
};

/* Where the file is among the names, with references. One that is anonymous gets a place of its own, in no
 * directory, for as long as it is used: what /proc/PID/fd leads to. -ENOMEM. May sleep. */
MUST_CHECK err_t file_get_path(struct file *f, struct path *out);
/* An open file on these ops; takes no references. -ENOMEM. */
MUST_CHECK err_t file_create(const struct file_ops *ops, unsigned flags, struct file **out);
static inline struct file *file_of(struct kobject *o)
{
	return o->ops->type == KO_FILE ? container_of(o, struct file, object) : NULL;
}
static inline struct path file_path(const struct file *f)
{
	return (struct path){f->mount, f->dentry};
}

void file_init_cache(void);
static inline void file_get(struct file *f)
{
	kobject_get(&f->object);
}
static inline void file_put(struct file *f)
{
	kobject_put(&f->object);
}
/* The reference in *f goes to somebody else. */
static inline struct file *file_take(struct file **f)
{
	struct file *taken = *f;
	*f = NULL;
	return taken;
}
/* MODE_REG ... ; 0: none of them, an eventfd or the like. */
static inline unsigned file_type(const struct file *f)
{
	return vnode_mode(f->vnode) & MODE_TYPE;
}
/* May the file be read or written, by how it was opened? An O_PATH file may not. */
static inline bool file_may_read(const struct file *f)
{
	uint32_t flags = load_relaxed(&f->flags);
	return !(flags & FILE_PATH) && (flags & FILE_ACCMODE) != FILE_WRONLY &&
	       (flags & FILE_ACCMODE) != FILE_ACCMODE;
}
static inline bool file_may_write(const struct file *f)
{
	uint32_t flags = load_relaxed(&f->flags);
	return !(flags & FILE_PATH) &&
	       ((flags & FILE_ACCMODE) == FILE_WRONLY || (flags & FILE_ACCMODE) == FILE_RDWR);
}
static inline bool file_is_nonblock(const struct file *f, const struct uio *u)
{
	return (load_relaxed(&f->flags) & FILE_NONBLOCK) || (u && u->nonblock);
}
/* Object signals of f, as poll wants them: up to date. May sleep. */
uint64_t file_signals(struct file *f);
/* What a descriptor of a file opened with these flags may do. */
uint32_t file_rights(unsigned flags);

/* --- file.c, file_rw.c: what system calls use. All check how the file was opened (-EBADF) and its type. May
 * sleep. --- */
/* read(2), write(2) at the file's position; bytes or an error. */
MUST_CHECK int64_t file_read(struct file *f, struct uio *u);
MUST_CHECK int64_t file_write(struct file *f, struct uio *u);
/* pread(2), pwrite(2). -EINVAL for pos < 0, -ESPIPE. An O_APPEND file appends, as on Linux. */
MUST_CHECK int64_t file_pread(struct file *f, struct uio *u, int64_t pos);
MUST_CHECK int64_t file_pwrite(struct file *f, struct uio *u, int64_t pos);
/* A call that copies between files has moved `done` bytes (or failed): as much was read and written. */
void file_count_copy(int64_t done);
/* Read all of [pos, pos + len) into kernel memory or fail: for exec. -EIO if the file ends before. */
MUST_CHECK err_t file_read_all(struct file *f, void *buf, size_t len, uint64_t pos);
/* The seek operation of files that have no position and do not mind: 0, always. */
int64_t file_seek_nowhere(struct file *f, int64_t offset, int whence);
enum { FILE_SEEK_SET, FILE_SEEK_CUR, FILE_SEEK_END, FILE_SEEK_DATA, FILE_SEEK_HOLE };
MUST_CHECK int64_t file_seek(struct file *f, int64_t offset, int whence);
/* Entries from the position on, which follows what was taken. 0 at the end too; the first error, if nothing
 * was taken. -ENOTDIR. */
MUST_CHECK err_t file_readdir(struct file *f, dir_emit *emit, void *ctx);
MUST_CHECK err_t file_mmap(
    struct file *f, uint64_t offset, uint64_t len, unsigned prot, unsigned map_flags, struct vm_object **out);
MUST_CHECK int64_t file_ioctl(struct file *f, uint32_t request, uint64_t arg);
MUST_CHECK int64_t file_control(struct file *f, int command, uint64_t arg, bool privileged);
/* fsync, fdatasync; -EINVAL for what has nothing to sync (pipes). Reports write-back errors once to each
 * file. */
MUST_CHECK err_t file_sync(struct file *f, bool data_only);
/* ftruncate; limit: RLIMIT_FSIZE. -EINVAL, -EFBIG, -EPERM (seals). */
MUST_CHECK err_t file_truncate(struct file *f, int64_t size, uint64_t limit, bool keep_suid);
/* fallocate: checks and passes on. */
MUST_CHECK err_t file_allocate(
    struct file *f, int mode, int64_t pos, int64_t len, uint64_t limit, bool keep_suid);
/* F_SETFL. */
MUST_CHECK err_t file_set_flags(struct file *f, unsigned flags);
/* fstat. */
void file_stat(struct file *f, struct vfs_stat *st);
/* Text for /proc/PID/fd: a path, or "pipe:[ino]" and the like. Returns its length, -ENAMETOOLONG. */
MUST_CHECK int64_t file_describe(struct file *f, const struct path *root, char *buf, size_t size);

/* A file that is being executed: nobody opens it for writing meanwhile. -ETXTBSY. */
MUST_CHECK err_t vnode_deny_write(struct vnode *v);
void vnode_allow_write(struct vnode *v);
/* Let a file go that vfs_open_exec opened. May sleep. */
static inline void file_put_exec(struct file *f)
{
	vnode_allow_write(f->vnode);
	file_put(f);
}

/* Set the size of a regular file: v->lock held for writing. Zeroes the tail of the last page, cuts or grows
 * the page cache. */
MUST_CHECK err_t vnode_set_size_locked(struct vnode *v, uint64_t size);
/* Zero [from, to), which lies in one page, in the page cache; v->lock held for writing. Holes stay holes. */
MUST_CHECK err_t vnode_zero_part(struct vnode *v, uint64_t from, uint64_t to);
/* v is about to be written to: it gives nobody rights any more. Its capabilities go, and set-user-id bits
 * unless who writes may keep them (CAP_FSETID). v->lock held for writing. *events gets NOTIFY_ATTRIB beside
 * what it has if that changed the mode. */
MUST_CHECK err_t vnode_drop_rights_locked(struct vnode *v, bool keep_suid, uint32_t *events);
/* An access happened: atime, as the mount says (relatime unless it says otherwise). */
void file_touch_atime(struct mount *m, struct vnode *v);
/* v was written to, past the cache: it was modified and changed now, if m can be written to. */
void file_touch_mtime(const struct mount *m, struct vnode *v);

extern const struct file_ops regular_file_ops, directory_file_ops, path_file_ops;

/* file_map.c: the name of a window that shows f (not counted: who keeps it takes a reference), and back;
 * NULL: it is not a file's. */
struct vm_name file_vm_name(struct file *f);
struct file *file_of_vm_name(const struct vm_name *name);

/* Number of files that exist. */
uint64_t file_count(void);
/* Call fn on each file, list locked: fn may not sleep. */
void file_for_each(void (*fn)(struct file *f, void *arg), void *arg);
