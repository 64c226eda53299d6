/*
 * super.c - ext2 volumes, read-only.
 *
 *	block 0/1        first_data_block + 1
 *	[super][...]     [group descriptors]   then in each group: bitmaps, inode table, data
 *
 * Metadata is read through one VM object that is the page cache of the whole disk: it needs no cache, limit or eviction of its own, for its pages go when memory
 * is short as those of files do. A block is at most a page and aligned to its size, so a pinned page holds it whole.
 *
 * A number that comes from the disk is checked where it is used, never before: nothing is believed because something else looked right.
 * There are no locks: nothing changes after mounting.
 */
#include "fs/ext2/ext2_priv.h"
#include "kern/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/fault.h"

err_t (*ext2_open_device)(const char *source, struct ext2_device **out);

err_t ext2_corrupt(const char *what, uint64_t number)
{
	log_warn("ext2", "bad %s %lu", what, (unsigned long)number);
	return -EUCLEAN;
}

/* --- metadata --- */

static err_t meta_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct ext2_device *d = ((struct ext2 *)o->priv)->device;
	for (unsigned i = 0; i < n; i++) {
		uint64_t pos = (uint64_t)(idx + i) << PAGE_SHIFT;
		size_t len = pos < d->bytes ? MIN((uint64_t)PAGE_SIZE, d->bytes - pos) : 0;
		char *to = page_to_virt(pages[i]);
		err_t err = len ? d->read(d, pos, to, len) : 0;
		if (err)
			return err;
		memset(to + len, 0, PAGE_SIZE - len);
	}
	return 0;
}

static const struct vm_file_ops meta_ops = {.read = meta_read};

err_t ext2_buffer_get(struct ext2 *e, uint64_t block, struct ext2_buffer *b)
{
	if (!ext2_block_is_valid(e, block))
		return ext2_corrupt("metadata block", block);
	uint64_t pos = block << e->block_shift;
	err_t err = object_pin(e->meta, pos >> PAGE_SHIFT, false, &b->pin);
	if (!err)
		b->data = (const char *)page_to_virt(b->pin.page) + (pos & (PAGE_SIZE - 1));
	return err;
}

void ext2_buffer_put(struct ext2_buffer *b)
{
	vm_unpin(&b->pin);
}

/* --- mounting --- */

static err_t read_super(struct ext2 *e)
{
	struct vm_pin pin;
	err_t err = object_pin(e->meta, 0, false, &pin);
	if (err)
		return err;
	memcpy(&e->super, (const char *)page_to_virt(pin.page) + EXT2_SUPER_POS, sizeof(e->super));
	vm_unpin(&pin);
	return 0;
}

/* Sizes of blocks and inodes, and features. -EINVAL: not ext2, or not one that can be read. */
static err_t check_format(struct ext2 *e)
{
	const struct ext2_super *s = &e->super;
	if (s->magic != EXT2_MAGIC || s->revision > 1 || s->log_block_size > 2)
		return -EINVAL;
	e->block_shift = 10 + s->log_block_size;
	e->block_size = 1U << e->block_shift;
	e->inode_size = s->revision ? s->inode_size : EXT2_INODE_SIZE_OLD;
	e->first_ino = s->revision ? s->first_ino : EXT2_FIRST_INO_OLD;
	e->has_types = s->revision && s->incompat & EXT2_INCOMPAT_FILETYPE;
	if (s->revision && s->incompat & ~EXT2_INCOMPAT_FILETYPE)
		return -EINVAL;
	if (e->inode_size != 128 && e->inode_size != 256)
		return -EINVAL;
	return 0;
}

/* Do the numbers of blocks, inodes and groups fit each other and the disk? */
static err_t check_geometry(struct ext2 *e)
{
	const struct ext2_super *s = &e->super;
	uint32_t bits = e->block_size * 8, first = e->block_size == 1024;
	if (s->first_data_block != first || s->blocks <= first + 1 ||
	    (uint64_t)s->blocks << e->block_shift > e->device->bytes)
		return ext2_corrupt("number of blocks", s->blocks);
	if (!s->blocks_per_group || s->blocks_per_group > bits || !s->inodes_per_group ||
	    s->inodes_per_group > bits)
		return ext2_corrupt("size of groups", s->blocks_per_group);
	e->ngroups = (s->blocks - first + s->blocks_per_group - 1) / s->blocks_per_group;
	if (s->inodes != (uint64_t)e->ngroups * s->inodes_per_group || e->first_ino < EXT2_FIRST_INO_OLD)
		return ext2_corrupt("number of inodes", s->inodes);
	if (s->free_blocks > s->blocks || s->reserved_blocks > s->blocks || s->free_inodes > s->inodes)
		return ext2_corrupt("count of free blocks", s->free_blocks);
	return 0;
}

/* Does a group have a copy of the superblock? With sparse_super groups 0, 1 and powers of 3, 5, 7. */
static bool has_copy(const struct ext2_super *s, uint32_t group)
{
	if (group < 2 || !(s->revision && s->ro_compat & EXT2_RO_SPARSE_SUPER))
		return true;
	for (uint32_t base = 3; base <= 7; base += 2) {
		uint64_t power = base;
		while (power < group)
			power *= base;
		if (power == group)
			return true;
	}
	return false;
}

/* Blocks that never hold files: statfs leaves them out, as Linux does. */
static uint32_t count_overhead(const struct ext2 *e)
{
	const struct ext2_super *s = &e->super;
	uint64_t descs =
	    DIV_ROUND_UP((uint64_t)e->ngroups * sizeof(struct ext2_group), (uint64_t)e->block_size);
	uint64_t table = DIV_ROUND_UP((uint64_t)s->inodes_per_group * e->inode_size, (uint64_t)e->block_size);
	uint64_t n = s->first_data_block + (uint64_t)e->ngroups * (2 + table);
	for (uint32_t g = 0; g < e->ngroups; g++)
		if (has_copy(s, g))
			n += 1 + descs;
	return (uint32_t)MIN(n, (uint64_t)s->blocks);
}

static void destroy(struct ext2 *e)
{
	if (e->meta)
		object_put(e->meta);
	e->device->close(e->device);
	kfree(e);
}

static err_t load(struct ext2 *e)
{
	if (e->device->bytes < EXT2_SUPER_POS + 1024)
		return -EINVAL;
	err_t err =
	    object_create_file(&meta_ops, e, DIV_ROUND_UP(e->device->bytes, (uint64_t)PAGE_SIZE), &e->meta);
	if (!err)
		err = read_super(e);
	if (!err)
		err = check_format(e);
	if (!err)
		err = check_geometry(e);
	if (!err)
		e->overhead = count_overhead(e);
	return err;
}

static err_t get_root(struct fs *fs, struct vnode **root)
{
	err_t err = ext2_vnode_get(fs, EXT2_ROOT_INO, root);
	if (!err && !vnode_is(*root, MODE_DIR)) {
		vnode_put(*root);
		err = ext2_corrupt("root directory", EXT2_ROOT_INO);
	}
	return err;
}

/* -EROFS: asked for a writable mount; -EINVAL: not ext2, or options; -EUCLEAN: a broken one. */
static err_t ext2_mount(struct fs *fs, const char *source, const char *options, struct vnode **root)
{
	if (!fs->read_only)
		return -EROFS;
	if (options && *options)
		return -EINVAL;
	if (!ext2_open_device)
		return -ENODEV;
	struct ext2 *e = kzalloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	err_t err = ext2_open_device(source, &e->device);
	if (err) {
		kfree(e);
		return err;
	}
	fs->priv = e;
	err = load(e);
	if (!err)
		err = get_root(fs, root);
	if (err) {
		destroy(e);
		fs->priv = NULL;
		return err;
	}
	fs->max_size = ext2_max_size(e);
	return 0;
}

static void ext2_unmount(struct fs *fs)
{
	destroy(fs->priv);
}

static err_t ext2_remount(UNUSED struct fs *fs, bool read_only, const char *options)
{
	if (options && *options)
		return -EINVAL;
	return read_only ? 0 : -EROFS;
}

static err_t ext2_statfs(struct fs *fs, struct fs_stats *out)
{
	const struct ext2 *e = fs->priv;
	const struct ext2_super *s = &e->super;
	uint64_t id[2];
	memcpy(id, s->uuid, sizeof(id));
	out->type = EXT2_MAGIC;
	out->block_size = e->block_size;
	out->blocks = s->blocks - e->overhead;
	out->free_blocks = s->free_blocks;
	out->available_blocks = s->free_blocks > s->reserved_blocks ? s->free_blocks - s->reserved_blocks : 0;
	out->files = s->inodes;
	out->free_files = s->free_inodes;
	out->fsid = id[0] ^ id[1];
	out->name_max = NAME_LEN_MAX;
	return 0;
}

const struct fs_ops ext2_fs_ops = {
    .name = "ext2",
    .mount = ext2_mount,
    .unmount = ext2_unmount,
    .remount = ext2_remount,
    .statfs = ext2_statfs,
    .needs_device = true,
};
