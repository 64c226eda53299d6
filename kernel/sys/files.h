#pragma once
/*
 * files.h - what calls on descriptors and names share: from the numbers and addresses that user space gives
 * to files and paths, with Linux's errors.
 */
#include "fs/file.h"
#include "fs/mount.h"
#include "object/desc.h"
#include "proc/place.h"
#include "sys/sys.h"

enum at_flags { /* the ABI's */
	AT_FDCWD = -100,
	AT_SYMLINK_NOFOLLOW = 0x100,
	AT_EACCESS = 0x200,
	AT_REMOVEDIR = 0x200,
	AT_SYMLINK_FOLLOW = 0x400,
	AT_NO_AUTOMOUNT = 0x800,
	AT_EMPTY_PATH = 0x1000,
	AT_IN_ROOT = 1 << 30, /* ours: absolute names start at dirfd as well */
};

/* --- descriptors --- */

/* The open file at fd, with a reference. -EBADF: none, or opened with O_PATH. Rights and the way it was
 * opened are for the file's own operations to check, but see fd_file_for. */
MUST_CHECK err_t fd_file(int fd, struct file **out);
/* The same, where the descriptor must have these rights: -EBADF if one to read or write is missing, as Linux
 * has it, else -EACCES. */
MUST_CHECK err_t fd_file_for(int fd, uint32_t rights, struct file **out);
/* The same as fd_file, telling the rights, for the caller to look at in Linux's order. */
MUST_CHECK err_t fd_file_rights(int fd, struct file **out, uint32_t *rights);
/* The same as fd_file and fd_file_for, O_PATH included: for fstat, dup, fchdir and as a directory of *at
 * calls. */
MUST_CHECK err_t fd_file_any(int fd, struct file **out);
MUST_CHECK err_t fd_file_any_for(int fd, uint32_t rights, struct file **out);
/* For the native calls: an object of this type (KO_TYPES: of any), with these rights. -EBADF, -EINVAL (type),
 * -EACCES, looked at in this order. */
MUST_CHECK err_t fd_object(int fd, enum kobject_type type, uint32_t rights, struct file **out);
/* The rights of fd, which names o (or whatever it likes: NULL), unless another thread has put something else
 * there: -EBADF. */
MUST_CHECK err_t fd_rights(int fd, const struct kobject *o, uint32_t *rights);
/* Put f into the lowest free descriptor of the current process, or drop it; takes over the reference. Returns
 * the descriptor, -EMFILE, -ENOMEM. */
MUST_CHECK int64_t fd_install(struct file *f, bool cloexec);
/* The same with these rights, not with those that the way it was opened gives. */
MUST_CHECK int64_t fd_install_rights(struct file *f, uint32_t rights, bool cloexec);
/* What native calls know f as. */
enum kobject_type fd_object_type(const struct file *f);
/* The rights of fd, which named f a moment ago. -EBADF: another thread has put something else there. */
MUST_CHECK err_t fd_rights_of(int fd, const struct file *f, uint32_t *rights);
/* O_ASYNC on or off, of a file whose type has it; who is told, if nobody was named, is what is usual for it.
 */
void fd_set_async(int fd, struct file *f, bool on);
/* fcntl's commands for locks on ranges; -EINVAL for any other. */
MUST_CHECK int64_t fcntl_lock(int fd, struct file *f, uint32_t command, uaddr_t arg);
/* fcntl's commands of Quire's own for files in memory (abi/quire.h). */
MUST_CHECK int64_t fcntl_memory(struct file *f, uint32_t command, uint64_t arg);
/* RLIMIT_NOFILE, as a number that descriptors stay below. */
int fd_limit(void);

/* --- names --- */

/* A string of the user's as a path: kernel memory, to be freed with path_free. -EFAULT, -ENAMETOOLONG,
 * -ENOMEM. "" is what it is. */
MUST_CHECK err_t path_fetch(uaddr_t from, char **out);
void path_free(char *path);

/* A call on one name: who asks, where relative names start, the name. */
struct at_call {
	struct fs_view view;
	const struct fs_context *c; /* view.context */
	struct path start;          /* counted, if has_start */
	bool has_start;
	const struct path *base; /* &start or NULL: as namei.h wants it */
	char *name;
};
/* Fetch the name and find out where it starts; dirfd does not count for absolute names. null_is_empty:
 * address 0 is "" (utimensat). -EFAULT, -ENAMETOOLONG, -ENOMEM, -EBADF, -ENOTDIR. Nothing is left to undo on
 * failure. May sleep, like at_end. */
MUST_CHECK err_t at_begin(struct at_call *a, int dirfd, uaddr_t name);
/* The same with a name that path_fetch gave; takes it over, on failure too. */
MUST_CHECK err_t at_begin_name(struct at_call *a, int dirfd, char *name, int flags);
void at_end(struct at_call *a);
/* The same for calls that take no empty name: -ENOENT, before dirfd is looked at. */
MUST_CHECK err_t at_begin_named(struct at_call *a, int dirfd, uaddr_t name);
/* One or the other: an empty name if flags have AT_EMPTY_PATH. */
MUST_CHECK err_t at_begin_flags(struct at_call *a, int dirfd, uaddr_t name, int flags);
/* The path that the name leads to, with references. flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH count. */
MUST_CHECK err_t at_lookup(const struct at_call *a, int flags, struct path *out);
/* at_begin_flags and at_lookup; on failure nothing is left to undo. */
MUST_CHECK err_t at_begin_path(struct at_call *a, int dirfd, uaddr_t name, int flags, struct path *out);
void at_end_path(struct at_call *a, const struct path *p);

/* A call on the path of a descriptor. */
struct fd_call {
	struct fs_view view;
	const struct fs_context *c; /* view.context */
	struct file *file;          /* counted */
	struct path path;           /* counted; file_get_path's */
};
/* -EBADF: none, or opened with O_PATH; rights as fd_file_for. -ENOMEM. May sleep, like fd_end. */
MUST_CHECK err_t fd_begin_for(struct fd_call *f, int fd, uint32_t rights);
/* The same, O_PATH included: fchdir, fstatfs. */
MUST_CHECK err_t fd_begin_any(struct fd_call *f, int fd, uint32_t rights);
void fd_end(struct fd_call *f);

struct exec_args;
/* Fill args, initialised: the file that descriptor fd names, opened to be run, and the strings. Errors are
 * those of execveat. */
MUST_CHECK err_t exec_args_from_fd(struct exec_args *args, int fd, uaddr_t argv, uaddr_t envp);

/* --- bytes --- */

/* Does [at, at + len) lie in user space? Calls ask before they begin, so that a length which is far too large
 * fails as a whole. */
bool user_range_is_valid(uaddr_t at, uint64_t len);
/* Fetch an iovec array into *segs (kernel memory, to be freed with kfree; may be `few`, of UIO_FEW entries)
 * and set up *u. -EINVAL (count, a negative length), -EFAULT (also for ranges that are not user space's),
 * -ENOMEM. */
enum { UIO_FEW = 8 };
MUST_CHECK err_t iov_fetch(
    uaddr_t iov, uint64_t count, struct uio_segment *few, struct uio_segment **segs, struct uio *u);
/* A write ended with `done`: RLIMIT_FSIZE was hit: SIGXFSZ; the reader is gone: SIGPIPE. Returns done, -EINTR
 * as -ERESTARTSYS. */
int64_t io_finish(struct uio *u, int64_t done);
/* Limits and privileges of the current process for a write. */
void io_prepare_write(struct uio *u);
