/* inode.c - inodes become vnodes. Everything that an inode says is checked before a vnode shows it. */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"
#include "mm/slab.h"

/* Read the inode with this number; what a small one has not is 0. */
static err_t inode_read(struct ext2 *e, uint64_t ino, struct ext2_inode *out)
{
	const struct ext2_super *s = &e->super;
	if (ino == 0 || ino > s->inodes || (ino != EXT2_ROOT_INO && ino < e->first_ino))
		return ext2_corrupt("inode number", ino);
	uint64_t group = (ino - 1) / s->inodes_per_group;
	uint64_t at = (ino - 1) % s->inodes_per_group * e->inode_size,
		 desc = group * sizeof(struct ext2_group);
	struct ext2_buffer b;
	err_t err = ext2_buffer_get(e, s->first_data_block + 1 + (desc >> e->block_shift), &b);
	if (err)
		return err;
	const struct ext2_group *g = (const void *)((const char *)b.data + (desc & (e->block_size - 1)));
	uint64_t table = g->inode_table;
	ext2_buffer_put(&b);
	err = ext2_buffer_get(e, table + (at >> e->block_shift), &b);
	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	memcpy(out, (const char *)b.data + (at & (e->block_size - 1)), MIN(sizeof(*out), e->inode_size));
	ext2_buffer_put(&b);
	return 0;
}

static uint64_t size_of(const struct ext2_inode *i)
{
	bool large = (i->mode & MODE_TYPE) == MODE_REG;
	return i->size | (large ? (uint64_t)i->size_high << 32 : 0);
}

/* Is a symbolic link's target in the inode? It has no blocks then but that of its extended attributes. */
static bool is_fast_link(const struct ext2 *e, const struct ext2_inode *i)
{
	return (i->mode & MODE_TYPE) == MODE_LINK && i->sectors == (i->acl ? e->block_size / 512 : 0);
}

static bool is_sound(const struct ext2 *e, const struct ext2_inode *i)
{
	if (!i->links)
		return false;
	switch (i->mode & MODE_TYPE) {
	case MODE_REG:
		return size_of(i) <= ext2_max_size(e);
	case MODE_DIR:
		return i->size && i->size % e->block_size == 0;
	case MODE_LINK:
		return i->size && i->size < (is_fast_link(e, i) ? EXT2_FAST_LINK_MAX : e->block_size);
	case MODE_FIFO:
	case MODE_SOCK:
	case MODE_CHAR:
	case MODE_BLOCK:
		return true;
	}
	return false;
}

/* Seconds are signed, with two more bits above and nanoseconds in `extra`. */
static struct timespec64 time_of(uint32_t seconds, uint32_t extra)
{
	struct timespec64 t = {
	    .sec = (int32_t)seconds + ((int64_t)(extra & ((1 << EXT2_HIGH_BITS) - 1)) << 32),
	    .nsec = extra >> EXT2_HIGH_BITS};
	if (t.nsec >= 1000000000)
		t.nsec = 0;
	return t;
}

/* Does a field of the extra part, ending at `end`, fit in what this inode says it has? */
static bool has_extra(const struct ext2 *e, const struct ext2_inode *i, size_t end)
{
	return e->inode_size >= end && i->extra_size % 4 == 0 &&
	       (size_t)EXT2_INODE_SIZE_OLD + i->extra_size >= end &&
	       (size_t)EXT2_INODE_SIZE_OLD + i->extra_size <= e->inode_size;
}

static void set_times(const struct ext2 *e, const struct ext2_inode *i, struct vnode *v)
{
	bool extra = has_extra(e, i, offsetof(struct ext2_inode, birth));
	v->atime = time_of(i->atime, extra ? i->atime_extra : 0);
	v->mtime = time_of(i->mtime, extra ? i->mtime_extra : 0);
	v->ctime = time_of(i->ctime, extra ? i->ctime_extra : 0);
	if (has_extra(e, i, sizeof(*i)))
		v->btime = time_of(i->birth, i->birth_extra);
}

/* Devices: 8 bits each in the first word, or else 12 and 20 in the second. The latter is what stat tells, and holds the former. */
static uint64_t device_of(const struct ext2_inode *i)
{
	unsigned type = i->mode & MODE_TYPE;
	if (type != MODE_CHAR && type != MODE_BLOCK)
		return 0;
	return i->block[0] ? i->block[0] & 0xffff : i->block[1];
}

static err_t fill(struct ext2 *e, const struct ext2_inode *i, struct vnode *v)
{
	struct ext2_node *n = kzalloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	memcpy(n->block, i->block, sizeof(n->block));
	n->fast_link = is_fast_link(e, i);
	v->priv = n;
	v->mode = i->mode;
	v->nlink = i->links;
	v->uid = i->uid | (uint32_t)i->uid_high << 16;
	v->gid = i->gid | (uint32_t)i->gid_high << 16;
	v->size = size_of(i);
	v->blocks = i->sectors;
	v->rdev = device_of(i);
	set_times(e, i, v);
	err_t err = (i->mode & MODE_TYPE) == MODE_REG ? vnode_make_pages(v, &ext2_pages_ops, 0) : 0;
	if (err) {
		v->priv = NULL;
		kfree(n);
	}
	return err;
}

static err_t read_link(struct vnode *v, char *buf, size_t size, size_t *len)
{
	struct ext2 *e = ext2_of(v);
	const struct ext2_node *n = ext2_node_of(v);
	struct ext2_buffer b;
	*len = MIN(size, v->size);
	if (n->fast_link) {
		memcpy(buf, n->block, *len);
		return 0;
	}
	err_t err = ext2_buffer_get(e, n->block[0], &b);
	if (err)
		return err;
	memcpy(buf, b.data, *len);
	ext2_buffer_put(&b);
	return 0;
}

static err_t sync_nothing(UNUSED struct vnode *v, UNUSED bool data_only)
{
	return 0; /* nothing is ever dirty */
}

static void release(struct vnode *v)
{
	kfree(v->priv);
}

static const struct vnode_ops ext2_vnode_ops = {
    .lookup = ext2_lookup,
    .readdir = ext2_readdir,
    .readlink = read_link,
    .sync = sync_nothing,
    .release = release,
};

err_t ext2_vnode_get(struct fs *fs, uint64_t ino, struct vnode **out)
{
	struct ext2_inode i;
	bool fresh;
	err_t err = vnode_acquire(fs, ino, &ext2_vnode_ops, out, &fresh);
	if (err || !fresh)
		return err;
	err = inode_read(fs->priv, ino, &i);
	if (!err && !is_sound(fs->priv, &i))
		err = ext2_corrupt("inode", ino);
	if (!err)
		err = fill(fs->priv, &i, *out);
	if (err)
		vnode_abandon(*out);
	else
		vnode_publish(*out);
	return err;
}
