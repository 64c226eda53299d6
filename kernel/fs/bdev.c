/*
 * bdev.c - disks as files.
 *
 * Each disk has a page cache of its own, a FILE object, which read(2), write(2) and mmap(2) of /dev/vda
 * share. A file system on the disk does not use it: it keeps its metadata by blocks, which pages would mix
 * with data. So while a file system is mounted, what the disk's file shows is what the file system has
 * written back: whenever it has, the next read forgets what was read before. Writing to the file meanwhile is
 * as unwise as on any system. A mount writes the cache back and forgets it, and each first open looks afresh.
 */
#include "fs/bdev.h"
#include "arch/usercopy.h"
#include "fs/block_io.h"
#include "fs/devfs.h"
#include "kern/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/fault.h"

enum {
	MAJOR_DISK = 254, /* of those that are given out as they come */
	MINORS_EACH = 16, /* room for partitions, as their numbers have it */
	DISK_PERMISSIONS = 0660,
};

enum bdev_ioctl { /* the ABI's */
	IOCTL_ROGET = 0x125e,
	IOCTL_GETSIZE = 0x1260,
	IOCTL_FLSBUF = 0x1261,
	IOCTL_SSZGET = 0x1268,
	IOCTL_IOMIN = 0x1278,
	IOCTL_IOOPT = 0x1279,
	IOCTL_ALIGNOFF = 0x127a,
	IOCTL_PBSZGET = 0x127b,
	IOCTL_ROTATIONAL = 0x127e,
};
#define IOCTL_BSZGET    0x80081270u /* these two do not fit an enum */
#define IOCTL_GETSIZE64 0x80081272u

struct bdev {
	struct block_device *disk; /* (C) */
	struct vm_object *pages;   /* (C) */
	struct mutex lock;         /* guards the rest, and opening */
	unsigned openers;
	bool claimed;
	_Atomic uint32_t stale; /* (A) a file system wrote to the disk since the cache was last forgotten */
	uint64_t rdev;          /* (C) */
	struct list link;       /* constant after boot */
};

static struct list bdevs = LIST_INIT(bdevs);

static uint64_t bytes_of(const struct bdev *b)
{
	return b->disk->nsectors << SECTOR_SHIFT;
}

/* --- pages --- */

static err_t transfer(struct vm_object *o, enum block_op op, pgidx_t idx, struct page **pages, unsigned n)
{
	struct bdev *b = o->priv;
	struct block_io io;
	block_io_begin(&io, b->disk, op);
	for (unsigned i = 0; i < n; i++) {
		uint64_t pos = (uint64_t)(idx + i) << PAGE_SHIFT;
		uint32_t len = (uint32_t)MIN(bytes_of(b) - pos, (uint64_t)PAGE_SIZE);
		if (op == BLOCK_READ)
			memset((char *)page_to_virt(pages[i]) + len, 0, PAGE_SIZE - len);
		block_io_add(&io, pos >> SECTOR_SHIFT, pages[i], 0, len);
	}
	return block_io_end(&io);
}

static err_t pages_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	return transfer(o, BLOCK_READ, idx, pages, n);
}

static err_t pages_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	return transfer(o, BLOCK_WRITE, idx, pages, n);
}

static const struct vm_file_ops pages_ops = {.read = pages_read, .write = pages_write};

static err_t flush(struct bdev *b)
{
	err_t err = object_sync(b->pages, 0, UINT64_MAX), flushed = block_flush(b->disk);
	return err ? err : flushed;
}

/* What was read is not believed any more; what is dirty stays. */
static void forget_clean(struct bdev *b)
{
	err_t err = object_discard(b->pages, 0, PT_INDEX_MAX + 1);
	if (err) /* some is dirty */
		store_relaxed(&b->stale, 1);
	if (err)
		log_debug("disk", "%s: its cache is not dropped: error %d", b->disk->name, err);
}

/* --- files --- */

/* Move bytes between the cache and u, from *pos on, to the end of either. */
static err_t bdev_move(struct bdev *b, struct uio *u, uint64_t *pos, bool write)
{
	err_t err = 0;
	while (!err && u->left && *pos < bytes_of(b)) {
		struct vm_pin pin;
		size_t in = *pos % PAGE_SIZE, n = MIN(MIN(u->left, PAGE_SIZE - in), bytes_of(b) - *pos),
		       done = 0;
		err = object_pin(b->pages, *pos / PAGE_SIZE, write, &pin);
		if (err)
			break;
		char *bytes = (char *)page_to_virt(pin.page) + in;
		err = write ? uio_read(u, bytes, n, &done) : uio_write(u, bytes, n, &done);
		vm_unpin(&pin);
		*pos += done;
	}
	return err;
}

static int64_t bdev_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct bdev *b = f->priv;
	size_t before = u->left;
	if (load_relaxed(&b->stale) && exchange_acq_rel(&b->stale, 0))
		forget_clean(b);
	err_t err = bdev_move(b, u, pos, false);
	return before > u->left ? (int64_t)(before - u->left) : err;
}

static int64_t bdev_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct bdev *b = f->priv;
	size_t before = u->left;
	uint64_t first = *pos / PAGE_SIZE;
	err_t err = u->left && *pos >= bytes_of(b) ? -ENOSPC : bdev_move(b, u, pos, true);
	if (before == u->left)
		return err;
	if (load_relaxed(&f->flags) & FILE_DSYNC) {
		err = object_sync(b->pages, first, DIV_ROUND_UP(*pos, (uint64_t)PAGE_SIZE));
		if (!err)
			err = block_flush(b->disk);
		if (err)
			return err;
	}
	return (int64_t)(before - u->left);
}

static int64_t bdev_seek(struct file *f, int64_t offset, int whence)
{
	struct bdev *b = f->priv;
	int64_t size = (int64_t)bytes_of(b), pos;
	if (whence == FILE_SEEK_DATA || whence == FILE_SEEK_HOLE) {
		if (offset < 0 || offset >= size)
			return -ENXIO;
		return whence == FILE_SEEK_DATA ? offset : size;
	}
	if (whence < FILE_SEEK_SET || whence > FILE_SEEK_END)
		return -EINVAL;
	int64_t from = whence == FILE_SEEK_CUR ? (int64_t)f->pos : whence == FILE_SEEK_END ? size : 0;
	if (__builtin_add_overflow(from, offset, &pos) || pos < 0 || pos > size)
		return -EINVAL;
	return pos;
}

static err_t bdev_mmap(struct file *f, UNUSED uint64_t offset, UNUSED uint64_t len, UNUSED unsigned prot,
    UNUSED unsigned map_flags, struct vm_object **out)
{
	struct bdev *b = f->priv;
	object_get(b->pages);
	*out = b->pages;
	return 0;
}

static err_t bdev_sync(struct file *f, UNUSED bool data_only)
{
	return flush(f->priv);
}

static int64_t bdev_ioctl(struct file *f, uint32_t request, uint64_t arg)
{
	struct bdev *b = f->priv;
	uint64_t size = bytes_of(b), sectors = b->disk->nsectors, block = PAGE_SIZE;
	uint32_t sector = b->disk->block_size, read_only = b->disk->read_only, zero = 0;
	uint16_t rotational = 0;
	switch (request) {
	case IOCTL_GETSIZE64:
		return copy_to_user(arg, &size, sizeof(size));
	case IOCTL_GETSIZE:
		return copy_to_user(arg, &sectors, sizeof(sectors));
	case IOCTL_BSZGET: /* an int, whatever its number says */
		return copy_to_user(arg, &block, sizeof(int));
	case IOCTL_SSZGET:
	case IOCTL_PBSZGET:
	case IOCTL_IOMIN:
		return copy_to_user(arg, &sector, sizeof(sector));
	case IOCTL_ROGET:
		return copy_to_user(arg, &read_only, sizeof(read_only));
	case IOCTL_IOOPT:
	case IOCTL_ALIGNOFF:
		return copy_to_user(arg, &zero, sizeof(zero));
	case IOCTL_ROTATIONAL:
		return copy_to_user(arg, &rotational, sizeof(rotational));
	case IOCTL_FLSBUF: {
		err_t err = flush(b);
		forget_clean(b);
		return err;
	}
	default:
		return -ENOTTY;
	}
}

static void bdev_close(struct file *f)
{
	struct bdev *b = f->priv;
	if (!b)
		return;
	mutex_lock(&b->lock);
	bool last = --b->openers == 0;
	mutex_unlock(&b->lock);
	if (last && object_is_dirty(b->pages)) {
		err_t err = flush(b);
		if (err)
			log_err("disk", "%s: write-back failed: error %d", b->disk->name, err);
	}
}

static const struct file_ops bdev_file_ops = {
    .splice = SPLICE_READ | SPLICE_WRITE,
    .read = bdev_read,
    .write = bdev_write,
    .seek = bdev_seek,
    .ioctl = bdev_ioctl,
    .mmap = bdev_mmap,
    .sync = bdev_sync,
    .release = bdev_close,
};

static err_t bdev_open(struct file *f, void *data)
{
	struct bdev *b = data;
	if (b->disk->read_only && file_may_write(f))
		return -EACCES;
	mutex_lock(&b->lock);
	if (b->openers++ == 0)
		forget_clean(b);
	mutex_unlock(&b->lock);
	f->ops = &bdev_file_ops;
	f->priv = b;
	return 0;
}

/* --- disks --- */

static err_t add_disk(struct block_device *disk, unsigned index)
{
	struct bdev *b = kzalloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->disk = disk;
	b->rdev = DEV_MAKE(MAJOR_DISK, index * MINORS_EACH);
	mutex_init(&b->lock, "disk", RANK_FS);
	err_t err =
	    object_create_file(&pages_ops, b, DIV_ROUND_UP(bytes_of(b), (uint64_t)PAGE_SIZE), &b->pages);
	if (!err)
		err = dev_register(disk->name, MODE_BLOCK | DISK_PERMISSIONS, b->rdev, bdev_open, b);
	if (!err) {
		list_push_back(&bdevs, &b->link);
		return 0;
	}
	if (b->pages)
		object_put(b->pages);
	kfree(b);
	return err;
}

err_t bdev_init(void)
{
	struct block_device *disk;
	err_t err = 0;
	for (unsigned i = 0; !err && (disk = block_at(i)); i++)
		err = add_disk(disk, i);
	return err;
}

void bdev_fini(void)
{
	list_for_each_safe (it, &bdevs) {
		struct bdev *b = list_entry(it, struct bdev, link);
		list_remove(&b->link);
		object_put(b->pages);
		kfree(b);
	}
}

static struct bdev *find_number(uint64_t rdev)
{
	list_for_each (it, &bdevs) {
		struct bdev *b = list_entry(it, struct bdev, link);
		if (b->rdev == rdev)
			return b;
	}
	return NULL;
}

static struct bdev *find_disk(const struct block_device *disk)
{
	list_for_each (it, &bdevs) {
		struct bdev *b = list_entry(it, struct bdev, link);
		if (b->disk == disk)
			return b;
	}
	return NULL;
}

err_t bdev_find(const char *name, uint64_t *rdev)
{
	struct block_device *disk = strncmp(name, "/dev/", 5) ? NULL : block_find(name + 5);
	struct bdev *b = disk ? find_disk(disk) : NULL;
	if (!b)
		return strncmp(name, "/dev/", 5) ? -ENOTBLK : -ENOENT;
	*rdev = b->rdev;
	return 0;
}

struct block_device *bdev_at(unsigned n, uint64_t *rdev)
{
	list_for_each (it, &bdevs) {
		struct bdev *b = list_entry(it, struct bdev, link);
		if (n-- == 0) {
			*rdev = b->rdev;
			return b->disk;
		}
	}
	return NULL;
}

uint64_t bdev_page_count(void)
{
	uint64_t n = 0;
	list_for_each (it, &bdevs)
		n += object_page_count(list_entry(it, struct bdev, link)->pages);
	return n;
}

err_t bdev_claim(uint64_t rdev, bool writable, struct block_device **out)
{
	struct bdev *b = find_number(rdev);
	if (!b)
		return -ENXIO;
	if (writable && b->disk->read_only)
		return -EACCES;
	mutex_lock(&b->lock);
	err_t err = b->claimed ? -EBUSY : 0;
	if (!err)
		b->claimed = true;
	mutex_unlock(&b->lock);
	if (err)
		return err;
	err = object_is_dirty(b->pages) ? flush(b) : 0;
	if (err) {
		bdev_release(b->disk);
		return err;
	}
	forget_clean(b);
	*out = b->disk;
	return 0;
}

void bdev_release(struct block_device *disk)
{
	struct bdev *b = find_disk(disk);
	mutex_lock(&b->lock);
	b->claimed = false;
	mutex_unlock(&b->lock);
	forget_clean(b);
}

void bdev_note_written(const struct block_device *disk)
{
	struct bdev *b = find_disk(disk);
	if (b && !load_relaxed(&b->stale))
		store_relaxed(&b->stale, 1);
}

static err_t sync_bdev(struct bdev *b)
{
	return object_is_dirty(b->pages) ? flush(b) : 0;
}

err_t bdev_sync_all(void)
{
	err_t first = 0;
	list_for_each (it, &bdevs) {
		err_t err = sync_bdev(list_entry(it, struct bdev, link));
		first = first ? first : err;
	}
	return first;
}
