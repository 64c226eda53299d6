/*
 * linux_stat.c - what files are: fstat, stat, lstat, newfstatat, statx.
 *
 * One conversion for each of the ABI's two structures, from struct vfs_stat.
 */
#include "fs/devfs.h"
#include "lib/string.h"
#include "sys/files.h"

enum {
	AT_STATX_SYNC_TYPE = 0x6000, /* how fresh: two bits, which are never both set */
	STAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE,
};

/* --- struct stat --- */

struct sys_stat {
	uint64_t dev, ino, nlink;
	uint32_t mode, uid, gid, pad;
	uint64_t rdev;
	int64_t size, block_size, blocks;
	int64_t atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
	int64_t unused[3];
};
_Static_assert(sizeof(struct sys_stat) == 144, "the ABI's size");

static err_t put_stat(uaddr_t to, const struct vfs_stat *st)
{
	struct sys_stat s = {
	    .dev = st->dev,
	    .ino = st->ino,
	    .nlink = st->nlink,
	    .mode = st->mode,
	    .uid = st->uid,
	    .gid = st->gid,
	    .rdev = st->rdev,
	    .size = (int64_t)st->size,
	    .block_size = st->block_size,
	    .blocks = (int64_t)st->blocks,
	    .atime = st->atime.sec,
	    .atime_nsec = st->atime.nsec,
	    .mtime = st->mtime.sec,
	    .mtime_nsec = st->mtime.nsec,
	    .ctime = st->ctime.sec,
	    .ctime_nsec = st->ctime.nsec,
	};
	return copy_to_user(to, &s, sizeof(s));
}

/* --- struct statx --- */

enum statx_mask { /* the ABI's */
	STATX_BASIC_STATS = 0x7ff,
	STATX_BTIME = 0x800,
	STATX_MNT_ID = 0x1000,
	STATX_ATTR_AUTOMOUNT = 0x1000, /* of the attributes; those of chattr(1) have the same bits there */
	STATX_ATTR_MOUNT_ROOT = 0x2000,
	STATX_ATTR_DAX = 0x200000,
	STATX_ATTR_KNOWN = STATX_ATTR_AUTOMOUNT | STATX_ATTR_MOUNT_ROOT | STATX_ATTR_DAX, /* of every file */
};
#define STATX_RESERVED 0x80000000u

struct statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t pad;
};

struct sys_statx {
	uint32_t mask, block_size;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mount_id;
	uint32_t dio_mem_align, dio_offset_align;
	uint64_t spare[12];
};
_Static_assert(sizeof(struct sys_statx) == 256, "the ABI's size");

static struct statx_time statx_time(const struct timespec64 *t)
{
	return (struct statx_time){.sec = t->sec, .nsec = t->nsec};
}

/* `wanted`: all else is cheap and told anyway. */
static err_t put_statx(uaddr_t to, const struct vfs_stat *st, uint32_t wanted)
{
	bool birth = st->btime.sec && (wanted & STATX_BTIME);
	struct sys_statx s = {
	    .mask = STATX_BASIC_STATS | STATX_MNT_ID | (birth ? STATX_BTIME : 0),
	    .block_size = st->block_size,
	    .attributes = st->flags | (st->mount_root ? STATX_ATTR_MOUNT_ROOT : 0),
	    .attributes_mask = st->flags_known | STATX_ATTR_KNOWN,
	    .nlink = (uint32_t)st->nlink,
	    .uid = st->uid,
	    .gid = st->gid,
	    .mode = (uint16_t)st->mode,
	    .ino = st->ino,
	    .size = st->size,
	    .blocks = st->blocks,
	    .atime = statx_time(&st->atime),
	    .btime = birth ? statx_time(&st->btime) : (struct statx_time){0},
	    .ctime = statx_time(&st->ctime),
	    .mtime = statx_time(&st->mtime),
	    .rdev_major = DEV_MAJOR(st->rdev),
	    .rdev_minor = DEV_MINOR(st->rdev),
	    .dev_major = DEV_MAJOR(st->dev),
	    .dev_minor = DEV_MINOR(st->dev),
	    .mount_id = st->mount_id,
	};
	return copy_to_user(to, &s, sizeof(s));
}

/* --- finding the file --- */

static err_t stat_fd(int fd, struct vfs_stat *st)
{
	struct file *f;
	err_t err = fd_file_any_for(fd, RIGHT_INSPECT, &f);
	if (err)
		return err;
	file_stat(f, st);
	file_put(f);
	return 0;
}

static err_t stat_path(int dirfd, uaddr_t name, int flags, struct vfs_stat *st)
{
	struct at_call a;
	struct path p;
	err_t err = at_begin(&a, dirfd, name);
	if (err)
		return err;
	err = at_lookup(&a, flags, &p);
	at_end(&a);
	if (err)
		return err;
	vfs_stat_path(&p, st);
	path_put(&p);
	return 0;
}

/* The flags count before the name, and both before dirfd; an empty name with AT_EMPTY_PATH is the descriptor
 * itself, whatever it is. */
static err_t stat_at(int dirfd, uaddr_t name, int flags, struct vfs_stat *st)
{
	char *text;
	if (flags & ~STAT_FLAGS)
		return -EINVAL;
	err_t err = path_fetch(name, &text);
	if (err)
		return err;
	bool empty = !text[0];
	path_free(text);
	if (empty && !(flags & AT_EMPTY_PATH))
		return -ENOENT;
	return empty && dirfd != AT_FDCWD ? stat_fd(dirfd, st) : stat_path(dirfd, name, flags, st);
}

/* --- the calls --- */

int64_t sys_fstat(int32_t fd, uaddr_t buf)
{
	struct vfs_stat st;
	err_t err = stat_fd(fd, &st);
	return err ? err : put_stat(buf, &st);
}

int64_t sys_newfstatat(int32_t dirfd, uaddr_t name, uaddr_t buf, int32_t flags)
{
	struct vfs_stat st;
	err_t err = stat_at(dirfd, name, flags, &st);
	return err ? err : put_stat(buf, &st);
}

int64_t sys_stat(uaddr_t name, uaddr_t buf)
{
	return sys_newfstatat(AT_FDCWD, name, buf, 0);
}

int64_t sys_lstat(uaddr_t name, uaddr_t buf)
{
	return sys_newfstatat(AT_FDCWD, name, buf, AT_SYMLINK_NOFOLLOW);
}

int64_t sys_statx(int32_t dirfd, uaddr_t name, int32_t flags, uint32_t mask, uaddr_t buf)
{
	struct vfs_stat st;
	if ((mask & STATX_RESERVED) || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	err_t err = stat_at(dirfd, name, flags, &st);
	return err ? err : put_statx(buf, &st, mask);
}
