/*
 * alloc_inode.c - which inodes are free.
 *
 * A file goes to its directory's group, so that they are read together. A directory goes to its parent's
 * group while that has its share of free inodes and blocks; one right below the root goes to the emptiest
 * group, as what is below different ones is seldom used together.
 */
#include "fs/ext2/ext2_priv.h"

static uint32_t group_of_inode(const struct ext2 *e, uint64_t ino)
{
	return (uint32_t)((ino - 1) / e->super.inodes_per_group);
}

/* Does the group have at least its share of what is free? */
static bool is_roomy(const struct ext2 *e, const struct ext2_group *g)
{
	return g->free_inodes && (uint64_t)g->free_inodes * e->ngroups >= e->free_inodes &&
	       (uint64_t)g->free_blocks * e->ngroups >= e->free_blocks;
}

/* Of the roomy groups, the one with the fewest directories, from `start` on. */
static uint32_t emptiest(const struct ext2 *e, uint32_t start)
{
	uint32_t best = start, least = UINT32_MAX;
	for (uint32_t i = 0; i < e->ngroups; i++) {
		uint32_t group = (start + i) % e->ngroups;
		const struct ext2_group *g = ext2_group(e, group);
		if (is_roomy(e, g) && g->directories < least) {
			least = g->directories;
			best = group;
		}
	}
	return best;
}

static uint32_t group_for_dir(struct ext2 *e, uint64_t parent)
{
	uint32_t own = group_of_inode(e, parent);
	if (parent == EXT2_ROOT_INO)
		return e->dir_group = emptiest(e, (e->dir_group + 1) % e->ngroups);
	return is_roomy(e, ext2_group(e, own)) ? own : emptiest(e, own);
}

static uint32_t group_for_file(const struct ext2 *e, uint64_t parent)
{
	uint32_t own = group_of_inode(e, parent);
	const struct ext2_group *g = ext2_group(e, own);
	if (g->free_inodes && g->free_blocks)
		return own;
	uint32_t group = (uint32_t)((own + parent) % e->ngroups); /* files of one directory stay together */
	for (uint32_t step = 1; step < e->ngroups; step <<= 1) {
		group = (group + step) % e->ngroups;
		g = ext2_group(e, group);
		if (g->free_inodes && g->free_blocks)
			return group;
	}
	return own;
}

/* A free inode of the group, marked as used; 0: none. */
static err_t take_from_group(struct ext2 *e, uint32_t group, bool is_dir, uint64_t *ino)
{
	struct ext2_buffer b;
	struct ext2_group *g = ext2_group(e, group);
	*ino = 0;
	err_t err = ext2_buffer_get(e, g->inode_bitmap, &b);
	if (err)
		return err;
	uint8_t *map = b.data;
	uint32_t bit = group == 0 ? e->first_ino - 1 : 0; /* the first ones are special */
	while (bit < e->super.inodes_per_group && map[bit / 8] >> bit % 8 & 1)
		bit += bit % 8 == 0 && map[bit / 8] == 0xff ? 8 : 1;
	if (bit < e->super.inodes_per_group) {
		map[bit / 8] |= (uint8_t)(1 << bit % 8);
		ext2_buffer_dirty(&b);
		g->free_inodes = (uint16_t)(g->free_inodes - (g->free_inodes > 0));
		g->directories = (uint16_t)(g->directories + is_dir);
		e->free_inodes -= e->free_inodes > 0;
		ext2_group_dirty(e, group);
		*ino = (uint64_t)group * e->super.inodes_per_group + bit + 1;
	}
	ext2_buffer_put(&b);
	return 0;
}

static err_t alloc_locked(struct ext2 *e, uint64_t dir_ino, bool is_dir, uint64_t *ino)
{
	uint32_t first = is_dir ? group_for_dir(e, dir_ino) : group_for_file(e, dir_ino);
	for (uint32_t i = 0; i < e->ngroups; i++) {
		uint32_t group = (first + i) % e->ngroups;
		if (!ext2_group(e, group)->free_inodes)
			continue;
		err_t err = take_from_group(e, group, is_dir, ino);
		if (err || *ino)
			return err;
	}
	return -ENOSPC;
}

err_t ext2_inode_alloc(struct ext2 *e, uint64_t dir_ino, bool is_dir, uint64_t *ino)
{
	mutex_lock(&e->lock);
	err_t err = ext2_may_change(e);
	if (!err)
		err = alloc_locked(e, dir_ino, is_dir, ino);
	mutex_unlock(&e->lock);
	return err;
}

static err_t free_locked(struct ext2 *e, uint64_t ino, bool is_dir)
{
	struct ext2_buffer b;
	uint32_t group = group_of_inode(e, ino), bit = (uint32_t)((ino - 1) % e->super.inodes_per_group);
	struct ext2_group *g = ext2_group(e, group);
	err_t err = ext2_buffer_get(e, g->inode_bitmap, &b);
	if (err)
		return err;
	uint8_t *map = b.data;
	bool was_used = map[bit / 8] >> bit % 8 & 1;
	if (was_used) {
		map[bit / 8] &= (uint8_t) ~(1 << bit % 8);
		ext2_buffer_dirty(&b);
		g->free_inodes = (uint16_t)(g->free_inodes + (g->free_inodes < UINT16_MAX));
		g->directories = (uint16_t)(g->directories - (is_dir && g->directories));
		e->free_inodes++;
		ext2_group_dirty(e, group);
	}
	ext2_buffer_put(&b);
	return was_used ? 0 : ext2_corrupt(e, "bitmap: free already, inode", ino);
}

err_t ext2_inode_free(struct ext2 *e, uint64_t ino, bool is_dir)
{
	mutex_lock(&e->lock);
	err_t err = free_locked(e, ino, is_dir);
	mutex_unlock(&e->lock);
	return err;
}
