#pragma once
/* ext2.h - the ext2 file system, mounted read-only. See docs/ext2.md. */
#include "fs/vnode.h"

/* The disk that a file system lies on, as ext2 asks for it. */
struct ext2_device {
	uint64_t bytes; /* (C) */
	/* Read [pos, pos + len), inside one page of directly mapped memory on both sides. May sleep; -EIO. */
	err_t (*read)(struct ext2_device *d, uint64_t pos, void *buf, size_t len);
	/* The file system is gone. */
	void (*close)(struct ext2_device *d);
};

/* Find the disk that mount(2) names. Set once at boot; NULL: there are no disks (-ENODEV). */
extern err_t (*ext2_open_device)(const char *source, struct ext2_device **out);

extern const struct fs_ops ext2_fs_ops; /* "ext2" */
