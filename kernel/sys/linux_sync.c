/*
 * linux_sync.c - sizes and durability: ftruncate, fallocate, fsync and its kin, hints about what will be
 * read.
 */
#include "proc/cred.h"
#include "sys/files.h"
#include "vm/fault.h"

/* --- durability --- */

static int64_t sync_file(int fd, bool data_only)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	err = file_sync(f, data_only);
	file_put(f);
	return err;
}

int64_t sys_fsync(int32_t fd)
{
	return sync_file(fd, false);
}

int64_t sys_fdatasync(int32_t fd)
{
	return sync_file(fd, true);
}

/* Errors are told by those who sync files. */
int64_t sys_sync(void)
{
	(void)vfs_sync_all();
	return 0;
}

int64_t sys_syncfs(int32_t fd)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	err = vfs_sync_fs(f->vnode->fs);
	file_put(f);
	return err;
}

enum sync_range_flags { SYNC_WAIT_BEFORE = 1, SYNC_WRITE = 2, SYNC_WAIT_AFTER = 4 };

static err_t sync_range(struct file *f, int64_t pos, int64_t len, uint32_t flags)
{
	enum { ALL = SYNC_WAIT_BEFORE | SYNC_WRITE | SYNC_WAIT_AFTER };
	int64_t end;
	if ((flags & ~(uint32_t)ALL) || pos < 0 || __builtin_add_overflow(pos, len, &end) || end < pos)
		return -EINVAL;
	const struct vnode *v = f->vnode;
	if (!v || !(vnode_is(v, MODE_REG) || vnode_is(v, MODE_BLOCK) || vnode_is(v, MODE_DIR)))
		return -ESPIPE;
	uint64_t last = len ? DIV_ROUND_UP((uint64_t)end, (uint64_t)PAGE_SIZE) : UINT64_MAX;
	return flags & SYNC_WRITE ? vnode_writeback(f->vnode, (uint64_t)pos / PAGE_SIZE, last) : 0;
}

int64_t sys_sync_file_range(int32_t fd, int64_t pos, int64_t len, uint32_t flags)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	err = sync_range(f, pos, len, flags);
	file_put(f);
	return err;
}

/* --- size --- */

int64_t sys_ftruncate(int32_t fd, int64_t size)
{
	struct file *f;
	uint64_t limit = current_limit(RLIMIT_FSIZE);
	uint32_t rights;
	if (size < 0)
		return -EINVAL;
	err_t err = fd_file_rights(fd, &f, &rights);
	if (err)
		return err;
	err = rights & RIGHT_WRITE ? file_truncate(f, size, limit, current_can(CAP_FSETID)) : -EINVAL;
	file_put(f);
	if (err == -EFBIG && (uint64_t)size > limit)
		signal_raise(SIGNAL_XFSZ);
	return err;
}

enum allocate_mode { /* the ABI's FALLOC_FL_* */
	KEEP_SIZE = 1,
	PUNCH_HOLE = 2,
	COLLAPSE_RANGE = 8,
	ZERO_RANGE = 16,
	INSERT_RANGE = 32,
	UNSHARE_RANGE = 64,
	WRITE_ZEROES = 128,
};

/* One of them, some of which ask for the size to stay, some of which cannot keep it. */
static err_t check_allocate_mode(int mode, int64_t pos, int64_t len)
{
	if (pos < 0 || len <= 0)
		return -EINVAL;
	switch (mode & ~KEEP_SIZE) {
	case 0:
	case ZERO_RANGE:
	case UNSHARE_RANGE:
		return 0;
	case PUNCH_HOLE:
		return mode & KEEP_SIZE ? 0 : -ENOTSUP;
	case COLLAPSE_RANGE:
	case INSERT_RANGE:
	case WRITE_ZEROES:
		return mode & KEEP_SIZE ? -ENOTSUP : 0;
	default:
		return -ENOTSUP;
	}
}

int64_t sys_fallocate(int32_t fd, int32_t mode, int64_t pos, int64_t len)
{
	struct file *f;
	uint64_t limit = current_limit(RLIMIT_FSIZE), end;
	uint32_t rights;
	err_t err = fd_file_rights(fd, &f, &rights);
	if (err)
		return err;
	err = check_allocate_mode(mode, pos, len);
	if (!err && !(rights & RIGHT_WRITE))
		err = -EBADF;
	if (!err)
		err = file_allocate(f, mode, pos, len, limit, current_can(CAP_FSETID));
	file_put(f);
	if (err == -EFBIG && !__builtin_add_overflow((uint64_t)pos, (uint64_t)len, &end) &&
	    end <= INT64_MAX && end > limit)
		signal_raise(SIGNAL_XFSZ);
	return err;
}

/* --- hints --- */

enum { READAHEAD_PAGES = 128, FADV_LAST = 5 }; /* pages that one call brings at most */

static bool has_pages(const struct file *f)
{
	return f->vnode && vnode_is(f->vnode, MODE_REG) && f->vnode->pages;
}

/* Bring pages into the cache. What cannot be read now will be told by whoever reads it. */
static void bring_pages(struct vnode *v, uint64_t pos, uint64_t len)
{
	struct vm_pin pin;
	if (v->pages->flags & VM_RESIDENT)
		return;
	rwlock_read(&v->lock);
	uint64_t end = pos < v->size ? pos + MIN(len, v->size - pos) : pos;
	pgidx_t idx = pos / PAGE_SIZE, last = DIV_ROUND_UP(end, (uint64_t)PAGE_SIZE);
	for (last = MIN(last, idx + READAHEAD_PAGES); idx < last; idx++) {
		if (object_pin(v->pages, idx, false, &pin))
			break;
		vm_unpin(&pin);
	}
	rwlock_read_unlock(&v->lock);
}

int64_t sys_readahead(int32_t fd, int64_t pos, uint64_t len)
{
	struct file *f;
	err_t err = fd_file_for(fd, RIGHT_READ, &f);
	if (err)
		return err;
	if (!has_pages(f) && !(f->vnode && vnode_is(f->vnode, MODE_BLOCK)))
		err = -EINVAL;
	else if (has_pages(f) && pos >= 0)
		bring_pages(f->vnode, (uint64_t)pos, len);
	file_put(f);
	return err;
}

int64_t sys_fadvise64(int32_t fd, UNUSED int64_t pos, int64_t len, int32_t advice)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	unsigned type = file_type(f);
	file_put(f);
	if (type == MODE_FIFO)
		return -ESPIPE;
	return len < 0 || advice < 0 || advice > FADV_LAST ? -EINVAL : 0;
}
