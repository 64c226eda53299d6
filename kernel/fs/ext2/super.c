/*
 * super.c - ext2 volumes.
 *
 *	block 0/1        first_data_block + 1
 *	[super][...]     [group descriptors]   then in each group: bitmaps, inode table, data
 *
 * A number that comes from the disk is checked where it is used; those that say where metadata lies are
 * checked at the mount, each group's own being inside the group, for nothing else may be given to files.
 *
 * The superblock and the group descriptors are held in memory while the volume is mounted. Mounted for
 * writing, it is not marked valid until it is unmounted; a volume that was not valid before, or met an error,
 * is not marked valid then either: e2fsck has to look at it. After an error of the structure, or of the disk
 * under metadata, nothing is changed any more (errors=remount-ro).
 *
 * A sync writes metadata in the order of its blocks, with several requests under way, then lets the disk
 * flush. Data is written before, by whoever asks.
 */
#include "fs/bdev.h"
#include "fs/ext2/ext2_priv.h"
#include "kern/log.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { RO_COMPAT_KNOWN = EXT2_RO_SPARSE_SUPER | EXT2_RO_LARGE_FILE | EXT2_RO_BTREE_DIR };

static void stop_changes(struct ext2 *e)
{
	if (!load_relaxed(&e->writable))
		return;
	if (fetch_or_acq_rel(&e->failed, 1) == 0) {
		log_err("ext2", "%s: no more changes are made; the volume needs e2fsck", e->disk->name);
		__atomic_store_n(&e->fs->read_only, true, __ATOMIC_RELAXED);
	}
}

err_t ext2_corrupt(struct ext2 *e, const char *what, uint64_t number)
{
	log_warn("ext2", "%s: bad %s %lu", e->disk->name, what, (unsigned long)number);
	stop_changes(e);
	return -EUCLEAN;
}

err_t ext2_fail(struct ext2 *e, const char *what, err_t err)
{
	log_err("ext2", "%s: %s: error %d", e->disk->name, what, err);
	stop_changes(e);
	return err;
}

/* --- groups --- */

enum { GROUP_SHIFT = 5 }; /* 32 bytes a descriptor */

struct ext2_group *ext2_group(const struct ext2 *e, uint32_t group)
{
	uint32_t per_shift = e->block_shift - GROUP_SHIFT;
	return (struct ext2_group *)e->gdt[group >> per_shift].data + (group & ((1U << per_shift) - 1));
}

void ext2_group_dirty(struct ext2 *e, uint32_t group)
{
	ext2_buffer_dirty(&e->gdt[group >> (e->block_shift - GROUP_SHIFT)]);
}

static bool is_power_of(uint32_t n, uint64_t base)
{
	uint64_t power = base;
	while (power < n)
		power *= base;
	return power == n;
}

/* With sparse_super: groups 0, 1 and powers of 3, 5, 7. */
bool ext2_has_copy(const struct ext2_super *s, uint32_t group)
{
	if (group < 2 || !(s->revision && s->ro_compat & EXT2_RO_SPARSE_SUPER))
		return true;
	return is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}

static uint32_t table_blocks(const struct ext2 *e)
{
	return (uint32_t)DIV_ROUND_UP(
	    (uint64_t)e->super.inodes_per_group * e->inode_size, (uint64_t)e->block_size);
}

/* Lies [start, start + n) in the group, behind what every group begins with? */
static bool is_inside(const struct ext2 *e, uint32_t group, uint32_t start, uint32_t n)
{
	uint64_t first = ext2_group_start(e, group),
		 end = MIN(first + e->super.blocks_per_group, (uint64_t)e->super.blocks);
	if (ext2_has_copy(&e->super, group))
		first += 1 + e->gdt_blocks;
	return start >= first && start < end && n <= end - start;
}

static err_t check_group(struct ext2 *e, uint32_t group)
{
	const struct ext2_group *g = ext2_group(e, group);
	bool good = is_inside(e, group, g->block_bitmap, 1) && is_inside(e, group, g->inode_bitmap, 1) &&
		    is_inside(e, group, g->inode_table, table_blocks(e));
	return good ? 0 : ext2_corrupt(e, "descriptor of group", group);
}

/* Hold all descriptors, check them, and add up what is free. */
static err_t load_groups(struct ext2 *e)
{
	err_t err = 0;
	e->gdt = kcalloc(e->gdt_blocks, sizeof(*e->gdt));
	if (!e->gdt)
		return -ENOMEM;
	for (uint32_t i = 0; !err && i < e->gdt_blocks; i++)
		err = ext2_buffer_get(e, (uint64_t)e->super.first_data_block + 1 + i, &e->gdt[i]);
	for (uint32_t g = 0; !err && g < e->ngroups; g++) {
		err = check_group(e, g);
		e->free_blocks += ext2_group(e, g)->free_blocks;
		e->free_inodes += ext2_group(e, g)->free_inodes;
	}
	return err;
}

/* --- the superblock --- */

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
	if (s->revision && s->incompat & ~EXT2_INCOMPAT_FILETYPE) {
		log_err("ext2", "%s: cannot be mounted: incompatible features %#x", e->disk->name,
		    s->incompat & ~EXT2_INCOMPAT_FILETYPE);
		return -EINVAL;
	}
	if (e->inode_size != 128 && e->inode_size != 256) {
		log_err("ext2", "%s: cannot be mounted: inodes of %u bytes", e->disk->name, e->inode_size);
		return -EINVAL;
	}
	if (e->block_size < e->disk->block_size) {
		log_err("ext2", "%s: blocks of %u bytes on a disk with %u", e->disk->name, e->block_size,
		    e->disk->block_size);
		return -EINVAL;
	}
	return 0;
}

/* Do the numbers of blocks, inodes and groups fit each other and the disk? */
static err_t check_geometry(struct ext2 *e)
{
	const struct ext2_super *s = &e->super;
	uint32_t bits = e->block_size * 8, first = e->block_size == 1024;
	if (s->first_data_block != first || s->blocks <= first + 1 ||
	    (uint64_t)s->blocks << (e->block_shift - SECTOR_SHIFT) > e->disk->nsectors)
		return ext2_corrupt(e, "number of blocks", s->blocks);
	if (!s->blocks_per_group || s->blocks_per_group > bits || s->blocks_per_group % 8 ||
	    !s->inodes_per_group || s->inodes_per_group > bits || s->inodes_per_group % 8)
		return ext2_corrupt(e, "size of groups", s->blocks_per_group);
	e->ngroups = (s->blocks - first + s->blocks_per_group - 1) / s->blocks_per_group;
	e->gdt_blocks =
	    (uint32_t)DIV_ROUND_UP((uint64_t)e->ngroups * sizeof(struct ext2_group), (uint64_t)e->block_size);
	if (s->inodes != (uint64_t)e->ngroups * s->inodes_per_group || e->first_ino < EXT2_FIRST_INO_OLD ||
	    e->first_ino > s->inodes_per_group)
		return ext2_corrupt(e, "number of inodes", s->inodes);
	if (s->free_blocks > s->blocks || s->reserved_blocks > s->blocks || s->free_inodes > s->inodes)
		return ext2_corrupt(e, "count of free blocks", s->free_blocks);
	return 0;
}

/* Blocks that never hold files: statfs leaves them out, as Linux does. */
static uint32_t count_overhead(const struct ext2 *e)
{
	const struct ext2_super *s = &e->super;
	uint64_t n = s->first_data_block + (uint64_t)e->ngroups * (2 + table_blocks(e));
	for (uint32_t g = 0; g < e->ngroups; g++)
		if (ext2_has_copy(s, g))
			n += 1 + e->gdt_blocks;
	return (uint32_t)MIN(n, (uint64_t)s->blocks);
}

/* Read it by a page of its own: how large blocks are is not known yet. */
static err_t read_super(struct ext2 *e)
{
	char *page;
	if (e->disk->nsectors < (EXT2_SUPER_POS + 1024) >> SECTOR_SHIFT)
		return -EINVAL;
	page = kmalloc(PAGE_SIZE);
	if (!page)
		return -ENOMEM;
	uint32_t len = MAX(e->disk->block_size, 2048u); /* a multiple of the disk's blocks */
	err_t err = len <= PAGE_SIZE ? block_read(e->disk, 0, page, len) : -EINVAL;
	if (!err)
		memcpy(&e->super, page + EXT2_SUPER_POS, sizeof(e->super));
	kfree(page);
	return err;
}

static struct ext2_super *super_on_disk(struct ext2 *e)
{
	return (void *)((char *)e->super_buffer.data + (EXT2_SUPER_POS & (e->block_size - 1)));
}

/* What changed in the superblock goes to its buffer. */
static void store_super(struct ext2 *e)
{
	struct timespec64 now;
	fs_now(&now);
	mutex_lock(&e->lock);
	e->super.free_blocks = (uint32_t)e->free_blocks;
	e->super.free_inodes = (uint32_t)e->free_inodes;
	e->super.wtime = (uint32_t)now.sec;
	if (load_relaxed(&e->failed))
		e->super.state |= EXT2_STATE_ERROR;
	memcpy(super_on_disk(e), &e->super, sizeof(e->super));
	ext2_buffer_dirty(&e->super_buffer);
	mutex_unlock(&e->lock);
}

/* Revision 0 has no place for features: the volume becomes one of revision 1 with the same sizes. */
static void have_features(struct ext2 *e)
{
	if (e->super.revision)
		return;
	e->super.revision = 1;
	e->super.first_ino = EXT2_FIRST_INO_OLD;
	e->super.inode_size = EXT2_INODE_SIZE_OLD;
	e->super.compat = e->super.incompat = e->super.ro_compat = 0;
}

void ext2_note_large_file(struct ext2 *e)
{
	have_features(e);
	e->super.ro_compat |= EXT2_RO_LARGE_FILE;
}

void ext2_note_xattrs(struct ext2 *e)
{
	have_features(e);
	e->super.compat |= EXT2_COMPAT_XATTR;
}

err_t ext2_sync(struct ext2 *e)
{
	if (!load_relaxed(&e->writable))
		return 0;
	store_super(e);
	err_t err = object_sync(e->meta, 0, UINT64_MAX);
	if (err)
		return ext2_fail(e, "metadata cannot be written", err);
	err = block_flush(e->disk);
	return err ? ext2_fail(e, "the disk cannot flush its cache", err) : 0;
}

/* --- options --- */

static bool parse_number(const char *s, size_t len, uint32_t *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9' || n > UINT32_MAX)
			return false;
		n = n * 10 + (uint64_t)(s[i] - '0');
	}
	*out = (uint32_t)n;
	return len && n <= UINT32_MAX;
}

static bool is_option(const char *s, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(s, name, len);
}

static bool parse_option(struct ext2 *e, const char *s, size_t len)
{
	static const char *const known[] = {"", "errors=remount-ro", "bsddf", "nouid32", "nocheck",
	    "check=none", "acl", "noacl", "nogrpid",
	    "sysvgroups"}; /* what is so anyway, or means nothing here */
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (is_option(s, len, known[i]))
			return true;
	bool user = is_option(s, len, "user_xattr");
	if (user || is_option(s, len, "nouser_xattr")) {
		store_relaxed(&e->no_user_xattrs, !user);
		return true;
	}
	if (len > 7 && !memcmp(s, "resuid=", 7))
		return parse_number(s + 7, len - 7, &e->resuid);
	if (len > 7 && !memcmp(s, "resgid=", 7))
		return parse_number(s + 7, len - 7, &e->resgid);
	return false;
}

static err_t parse_options(struct ext2 *e, const char *options)
{
	for (const char *s = options ? options : "";; s++) {
		size_t len = 0;
		while (s[len] && s[len] != ',')
			len++;
		if (!parse_option(e, s, len)) {
			log_err("ext2", "%s: unknown option in \"%s\"", e->disk->name, options);
			return -EINVAL;
		}
		s += len;
		if (!*s)
			return 0;
	}
}

/* --- mounting --- */

static void destroy(struct ext2 *e)
{
	ext2_buffer_put(&e->super_buffer);
	for (uint32_t i = 0; e->gdt && i < e->gdt_blocks; i++)
		ext2_buffer_put(&e->gdt[i]);
	kfree(e->gdt);
	if (e->meta)
		object_put(e->meta);
	bdev_release(e->disk);
	kfree(e);
}

static err_t load(struct ext2 *e)
{
	err_t err = read_super(e);
	if (!err)
		err = check_format(e);
	if (!err)
		err = check_geometry(e);
	if (!err)
		err = ext2_buffers_create(e);
	if (!err)
		err = ext2_buffer_get(e, EXT2_SUPER_POS >> e->block_shift, &e->super_buffer);
	if (!err)
		err = load_groups(e);
	if (err)
		return err;
	e->overhead = count_overhead(e);
	e->resuid = e->super.reserved_uid;
	e->resgid = e->super.reserved_gid;
	return 0;
}

/* May this volume be written to? -EROFS. */
static err_t check_writable(struct ext2 *e)
{
	uint32_t unknown = e->super.revision ? e->super.ro_compat & ~(uint32_t)RO_COMPAT_KNOWN : 0;
	if (unknown)
		log_err("ext2", "%s: cannot be written to: features %#x", e->disk->name, unknown);
	return unknown || e->disk->read_only ? -EROFS : 0;
}

/* From now on changes are made: the disk learns it before the first. */
static err_t start_writing(struct ext2 *e)
{
	struct timespec64 now;
	err_t err = check_writable(e);
	if (err)
		return err;
	fs_now(&now);
	if (!(e->super.state & EXT2_STATE_VALID) || (e->super.state & EXT2_STATE_ERROR))
		log_warn("ext2", "%s: was not unmounted cleanly, or has errors: e2fsck is recommended",
		    e->disk->name);
	e->old_state = e->super.state;
	e->super.state &= (uint16_t)~EXT2_STATE_VALID;
	e->super.mounts++;
	e->super.mtime = (uint32_t)now.sec;
	store_relaxed(&e->writable, 1);
	err = ext2_sync(e);
	if (err)
		store_relaxed(&e->writable, 0);
	else
		ext2_orphans_clean(e);
	return err;
}

/* No more changes come: all is on the disk, and the disk says so. */
static err_t stop_writing(struct ext2 *e)
{
	if (!load_relaxed(&e->writable))
		return 0;
	err_t err = ext2_sync(e);
	if (!err && !load_relaxed(&e->failed)) {
		e->super.state |= e->old_state & EXT2_STATE_VALID;
		err = ext2_sync(e);
	}
	store_relaxed(&e->writable, 0);
	return err;
}

static err_t get_root(struct fs *fs, struct vnode **root)
{
	err_t err = ext2_vnode_get(fs, EXT2_ROOT_INO, root);
	if (!err && !vnode_is(*root, MODE_DIR)) {
		vnode_put(*root);
		err = ext2_corrupt(fs->priv, "root directory", EXT2_ROOT_INO);
	}
	return err;
}

static err_t create(struct fs *fs, struct block_device *disk)
{
	struct ext2 *e = kzalloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->fs = fs;
	e->disk = disk;
	mutex_init(&e->lock, "ext2", RANK_BLOCK);
	list_init(&e->orphans);
	fs->priv = e;
	return 0;
}

/* -EROFS: asked for a writable mount of what can only be read; -EINVAL: not ext2, or options; -EUCLEAN: a
 * broken one. */
static err_t ext2_mount(struct fs *fs, UNUSED const char *source, const char *options, struct vnode **root)
{
	struct block_device *disk;
	err_t err = bdev_claim(fs->device, !fs->read_only, &disk);
	if (err)
		return err;
	err = create(fs, disk);
	if (err) {
		bdev_release(disk);
		return err;
	}
	struct ext2 *e = fs->priv;
	err = load(e);
	if (!err)
		err = parse_options(e, options);
	if (!err && !fs->read_only)
		err = start_writing(e);
	if (!err) {
		err = get_root(fs, root);
		if (err) {
			err_t stopped = stop_writing(e);
			err = err ? err : stopped;
		}
	}
	if (err) {
		vnode_wait_gone(fs);
		destroy(e);
		fs->priv = NULL;
		return err;
	}
	fs->max_size = ext2_max_size(e);
	return 0;
}

static void ext2_unmount(struct fs *fs)
{
	err_t err = stop_writing(fs->priv);
	if (err)
		log_err("ext2", "unmount: error %d", err);
	destroy(fs->priv);
}

static err_t ext2_remount(struct fs *fs, bool read_only, const char *options)
{
	struct ext2 *e = fs->priv;
	err_t err = parse_options(e, options);
	if (err || read_only == !load_relaxed(&e->writable))
		return err;
	if (read_only)
		return stop_writing(e);
	return load_relaxed(&e->failed) ? -EROFS : start_writing(e);
}

static err_t sync_fs(struct fs *fs, bool wait)
{
	struct ext2 *e = fs->priv;
	return wait || object_is_dirty(e->meta) ? ext2_sync(e) : 0;
}

static err_t ext2_statfs(struct fs *fs, struct fs_stats *out)
{
	struct ext2 *e = fs->priv;
	const struct ext2_super *s = &e->super;
	uint64_t id[2];
	memcpy(id, s->uuid, sizeof(id));
	mutex_lock(&e->lock);
	out->free_blocks = e->free_blocks;
	out->free_files = e->free_inodes;
	mutex_unlock(&e->lock);
	out->type = EXT2_MAGIC;
	out->block_size = e->block_size;
	out->blocks = s->blocks - e->overhead;
	out->available_blocks =
	    out->free_blocks > s->reserved_blocks ? out->free_blocks - s->reserved_blocks : 0;
	out->files = s->inodes;
	out->fsid = id[0] ^ id[1];
	out->name_max = NAME_LEN_MAX;
	return 0;
}

static struct vm_object *metadata(struct fs *fs)
{
	struct ext2 *e = fs->priv;
	return e->meta;
}

const struct fs_ops ext2_fs_ops = {
    .name = "ext2",
    .mount = ext2_mount,
    .unmount = ext2_unmount,
    .sync = sync_fs,
    .remount = ext2_remount,
    .statfs = ext2_statfs,
    .metadata = metadata,
    .needs_device = true,
};
