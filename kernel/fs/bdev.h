#pragma once
/*
 * bdev.h - disks as files: /dev/vda and its page cache. See bdev.c.
 */
#include "dev/block.h"
#include "fs/file.h"

/* Names under /dev for all disks. Once at boot, after devfs_init and the drivers. */
MUST_CHECK err_t bdev_init(void);
/* The other way round, when nothing is open or mounted. The names are devfs_fini's. */
void bdev_fini(void);
/* Write back what was written to disks' files, for sync(2). */
err_t bdev_sync_all(void);

/* The disk that mount(2) names, for a file system of its own until bdev_release: what the disk's file had to write is written, and what it had read is forgotten. -ENOENT: no such disk, -ENOTBLK: no disk's name,
 * -EBUSY: it has a file system on it already. May sleep. */
MUST_CHECK err_t bdev_claim(const char *source, struct block_device **out);
void bdev_release(struct block_device *b);
