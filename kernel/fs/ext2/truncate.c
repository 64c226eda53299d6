/*
 * truncate.c - giving a file's blocks back.
 *
 * A tree is cut from its root: numbers are cleared first, then the blocks they named are freed, in runs. If a
 * block of the map cannot be read, what was cut is cut and the rest stays the file's: what the disk says is
 * right at every step.
 */
#include "fs/ext2/ext2_priv.h"

struct cutter {
	struct ext2 *e;
	struct ext2_node *node;
	uint32_t start, count; /* a run of blocks that nobody names any more */
};

static err_t free_run(struct cutter *c)
{
	err_t err = c->count ? ext2_blocks_free(c->e, c->start, c->count) : 0;
	uint64_t sectors = (uint64_t)c->count << (c->e->block_shift - SECTOR_SHIFT);
	c->node->sectors -= MIN(sectors, c->node->sectors);
	c->count = 0;
	return err;
}

static err_t drop_block(struct cutter *c, uint32_t block)
{
	err_t err = 0;
	if (c->count && c->start + c->count != block) {
		err = free_run(c);
	}
	if (!c->count)
		c->start = block;
	c->count++;
	return err;
}

static err_t cut_tree(struct cutter *c, uint32_t *number, unsigned depth, uint64_t keep);

/* The numbers of a block, all but what the first `keep` blocks of the file's part need. */
static err_t cut_numbers(struct cutter *c, struct ext2_buffer *b, unsigned depth, uint64_t keep)
{
	unsigned shift = (c->e->block_shift - 2) * (depth - 1);
	uint32_t per = c->e->block_size / 4, *numbers = b->data;
	err_t err = 0;
	for (uint64_t i = keep >> shift; !err && i < per; i++) {
		uint64_t inside = i == keep >> shift ? keep & ((1ULL << shift) - 1) : 0;
		if (numbers[i])
			err = cut_tree(c, &numbers[i], depth - 1, inside);
	}
	ext2_buffer_dirty(b);
	return err;
}

/* The block is no buffer any more, before it is freed. */
static err_t forget(struct cutter *c, uint32_t block)
{
	if (!ext2_block_is_valid(c->e, block) || ext2_is_system(c->e, block, 1))
		return ext2_corrupt(c->e, "block of a file", block);
	ext2_buffer_forget(c->e, block);
	return 0;
}

/* *number leads to a tree of this depth, 0: to data. Keep its first `keep` blocks. */
static err_t cut_tree(struct cutter *c, uint32_t *number, unsigned depth, uint64_t keep)
{
	uint32_t block = *number;
	err_t err = 0;
	if (depth) {
		struct ext2_buffer b;
		err = ext2_buffer_get(c->e, block, &b);
		if (!err)
			err = cut_numbers(c, &b, depth, keep);
		ext2_buffer_put(&b);
	}
	if (!err && !keep && (depth || c->node->is_metadata))
		err = forget(c, block);
	if (err || keep)
		return err;
	*number = 0;
	return drop_block(c, block);
}

err_t ext2_cut(struct ext2 *e, struct ext2_node *n, uint64_t first)
{
	struct cutter c = {.e = e, .node = n};
	uint64_t base = EXT2_NDIRECT;
	err_t err = 0, last;
	for (uint64_t i = first; !err && i < EXT2_NDIRECT; i++)
		if (n->block[i])
			err = cut_tree(&c, &n->block[i], 0, 0);
	for (unsigned depth = 1; !err && depth < EXT2_LEVELS; depth++) {
		uint64_t span = 1ULL << (e->block_shift - 2) * depth;
		if (first < base + span && n->block[EXT2_NDIRECT + depth - 1])
			err = cut_tree(
			    &c, &n->block[EXT2_NDIRECT + depth - 1], depth, first > base ? first - base : 0);
		base += span;
	}
	last = free_run(&c);
	n->goal = 0;
	return err ? err : last;
}
