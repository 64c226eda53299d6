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

/* The device number of the disk with this name under /dev, for who has no tree of names yet. -ENOENT: no such
 * disk, -ENOTBLK: no disk's name. */
MUST_CHECK err_t bdev_find(const char *name, uint64_t *rdev);
/* The n-th disk and its device number, or NULL. */
struct block_device *bdev_at(unsigned n, uint64_t *rdev);
/* Pages in the caches of all disks. */
uint64_t bdev_page_count(void);
/* The disk with this number, for a file system of its own until bdev_release: what the disk's file had to
 * write is written, and what it had read is forgotten. -ENXIO: no such disk, -EACCES: it cannot be written
 * to, -EBUSY: it has a file system on it already. May sleep. */
MUST_CHECK err_t bdev_claim(uint64_t rdev, bool writable, struct block_device **out);
void bdev_release(struct block_device *b);
/* A file system wrote to its disk: the disk's file shows it from its next read on. */
void bdev_note_written(const struct block_device *disk);
