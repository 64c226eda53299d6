#pragma once
/*
 * file.h - open files (Linux: open file descriptions): kernel objects of type KO_FILE, shared by dup and fork.
 *
 * Letters: (C) constant after open; (M) file.lock; (A) atomic
 */
#include "fs/vnode.h"
#include "object/kobject.h"

struct file;

enum open_flags { /* the ABI's */
	FILE_RDONLY = 0, FILE_WRONLY = 1, FILE_RDWR = 2, FILE_ACCMODE = 3,
	FILE_CREAT = 0100, FILE_EXCL = 0200, FILE_NOCTTY = 0400, FILE_TRUNC = 01000, FILE_APPEND = 02000, FILE_NONBLOCK = 04000,
	FILE_DSYNC = 010000, FILE_DIRECT = 040000, FILE_LARGEFILE = 0100000, FILE_DIRECTORY = 0200000, FILE_NOFOLLOW = 0400000,
	FILE_NOATIME = 01000000, FILE_CLOEXEC = 02000000, FILE_SYNC = 04010000, FILE_PATH = 010000000, FILE_TMPFILE = 020200000,
};

struct poll_result {
	uint64_t signals;
};

/* NULL: not possible (-EINVAL, -ESPIPE, -ENOTTY, -ENODEV as the caller knows). Results: bytes or -errno. */
struct file_ops {
	/* Bytes at *pos (NULL: the file has no position: pipes, ttys); advances *pos. */
	int64_t (*read)(struct file *f, struct uio *u, uint64_t *pos);
	int64_t (*write)(struct file *f, struct uio *u, uint64_t *pos);
	int64_t (*seek)(struct file *f, int64_t offset, int whence);
	err_t (*readdir)(struct file *f, dir_emit *emit, void *ctx);
	int64_t (*ioctl)(struct file *f, uint32_t request, uint64_t arg);
	/* The VM object to map and rights it allows; *offset may be changed. */
	err_t (*mmap)(struct file *f, uint64_t offset, uint64_t len, unsigned prot, unsigned map_flags, struct vm_object **out);
	err_t (*sync)(struct file *f, bool data_only);
	/* The last descriptor was closed: errors of write-back are told to close(2). */
	err_t (*flush)(struct file *f);
	/* The last reference is gone. */
	void (*release)(struct file *f);
};

struct file {
	struct kobject object;        /* first; signals serve poll */
	const struct file_ops *ops;   /* (C) */
	struct dentry *dentry;        /* (C) name it was opened by, counted; NULL: anonymous (pipe, socket, memfd) */
	struct vnode *vnode;          /* (C) counted; NULL: none */
	_Atomic uint32_t flags;       /* (A) enum open_flags; F_SETFL changes APPEND, NONBLOCK, DIRECT, NOATIME */
	struct mutex lock;            /* guards pos; RANK_FILE */
	uint64_t pos;                 /* (M) */
	void *priv;                   /* (C) of the ops */
	uint64_t write_error_seen;    /* (M) which write-back errors were reported by this file already */
};

/* An open file on these ops; takes no references. -ENOMEM. */
MUST_CHECK err_t file_create(const struct file_ops *ops, unsigned flags, struct file **out);
static inline struct file *file_of(struct kobject *o)
{
	return o->ops->type == KO_FILE ? container_of(o, struct file, object) : NULL;
}
