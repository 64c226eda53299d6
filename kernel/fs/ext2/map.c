/*
 * map.c - from a file's blocks to the disk's.
 *
 * An inode names 12 blocks itself and three trees of blocks full of numbers, of depth 1, 2 and 3. A number of
 * 0 on any level is a hole, which reads as zeros. Every number is checked where it is followed, and the depth
 * is fixed, so a hostile map can show wrong bytes of the disk but never lead outside of it or around in
 * circles.
 *
 * A hole is filled from below: blocks for data and for the missing levels are taken and the levels written,
 * nothing of it being reachable; the last step puts one number where the hole was.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

/* Blocks that name the blocks of a file of `blocks` blocks. */
static uint64_t map_blocks(uint64_t blocks, uint64_t per)
{
	uint64_t n = 0;
	if (blocks > EXT2_NDIRECT)
		n++;
	if (blocks > EXT2_NDIRECT + per)
		n += 1 + MIN(DIV_ROUND_UP(blocks - EXT2_NDIRECT - per, per), per);
	if (blocks > EXT2_NDIRECT + per + per * per) {
		uint64_t rest = blocks - EXT2_NDIRECT - per - per * per;
		n += 1 + DIV_ROUND_UP(rest, per) + DIV_ROUND_UP(rest, per * per);
	}
	return n;
}

/* The map's reach, or less if an inode could not count the sectors of a file of that size without holes. */
uint64_t ext2_max_size(const struct ext2 *e)
{
	uint64_t per = e->block_size / 4, reach = EXT2_NDIRECT + per + per * per + per * per * per;
	uint64_t countable = EXT2_SECTORS_MAX / (e->block_size >> SECTOR_SHIFT);
	if (reach + map_blocks(reach, per) > countable)
		reach = countable - map_blocks(countable, per);
	return reach << e->block_shift;
}

unsigned ext2_way(const struct ext2 *e, uint64_t index, uint32_t way[EXT2_LEVELS])
{
	unsigned per_shift = e->block_shift - 2, depth;
	if (index < EXT2_NDIRECT) {
		way[0] = (uint32_t)index;
		return 1;
	}
	index -= EXT2_NDIRECT;
	for (depth = 1; index >> (depth * per_shift); depth++) {
		if (depth == EXT2_LEVELS - 1)
			return 0;
		index -= 1ULL << (depth * per_shift);
	}
	way[0] = EXT2_NDIRECT + depth - 1;
	for (unsigned i = 1; i <= depth; i++)
		way[i] = (uint32_t)(index >> ((depth - i) * per_shift)) & ((1U << per_shift) - 1);
	return depth + 1;
}

err_t ext2_map_locked(struct ext2 *e, const struct ext2_node *n, uint64_t index, uint32_t *out)
{
	uint32_t way[EXT2_LEVELS];
	unsigned levels = ext2_way(e, index, way);
	if (!levels)
		return -EFBIG;
	uint32_t at = n->block[way[0]];
	for (unsigned i = 1; i < levels && at; i++) {
		struct ext2_buffer b;
		err_t err = ext2_buffer_get(e, at, &b);
		if (err)
			return err;
		at = ((const uint32_t *)b.data)[way[i]];
		ext2_buffer_put(&b);
	}
	*out = at;
	return at && !ext2_block_is_valid(e, at) ? ext2_corrupt(e, "data block", at) : 0;
}

err_t ext2_map(struct ext2 *e, struct ext2_node *n, uint64_t index, uint32_t *out)
{
	mutex_lock(&n->lock);
	err_t err = ext2_map_locked(e, n, index, out);
	mutex_unlock(&n->lock);
	return err;
}

/* --- filling holes --- */

struct branch {
	struct ext2 *e;
	struct ext2_node *node;
	uint32_t way[EXT2_LEVELS];
	unsigned levels, there; /* numbers on the way; how many lead to a block */
	struct ext2_buffer
	    held[EXT2_LEVELS]; /* held[i]: the block with number i of the way; [0] is the inode: nothing */
	uint32_t made[EXT2_LEVELS]; /* new blocks full of numbers, the one at level i */
	uint32_t data, got;
};

static uint32_t *number_at(struct branch *b, unsigned level)
{
	uint32_t *numbers = level ? b->held[level].data : b->node->block;
	return &numbers[b->way[level]];
}

/* Go down as far as there are blocks. */
static err_t walk_there(struct branch *b)
{
	while (b->there < b->levels && *number_at(b, b->there)) {
		uint32_t at = *number_at(b, b->there++);
		if (b->there == b->levels)
			return 0;
		err_t err = ext2_buffer_get(b->e, at, &b->held[b->there]);
		if (err)
			return err;
	}
	return 0;
}

/* Where the next block would best be: behind the last one, behind a neighbour, behind its map, in the inode's
 * group. */
static uint32_t find_goal(struct branch *b, uint64_t index)
{
	struct ext2_node *n = b->node;
	if (n->goal && n->goal_index == index)
		return n->goal;
	if (b->there == b->levels - 1) {
		const uint32_t *p = number_at(b, b->there);
		for (uint32_t i = 1; i <= b->way[b->there]; i++)
			if (p[-(int64_t)i])
				return p[-(int64_t)i] + i;
	}
	if (b->there)
		return *number_at(b, b->there - 1) + 1;
	const struct ext2_super *s = &b->e->super;
	uint32_t group = (uint32_t)((n->ino - 1) / s->inodes_per_group);
	return ext2_group_start(b->e, group) + (uint32_t)(n->ino % 16) * (s->blocks_per_group / 16);
}

/* Undo what was taken; nothing of it was linked. */
static void give_back(struct branch *b)
{
	for (unsigned i = b->there + 1; i < b->levels; i++) {
		ext2_buffer_put(&b->held[i]);
		if (!b->made[i])
			continue;
		ext2_buffer_forget(b->e, b->made[i]);
		(void)ext2_blocks_free(
		    b->e, b->made[i], 1); /* an error was logged, and is not worse than the one we have */
	}
	if (b->got)
		(void)ext2_blocks_free(b->e, b->data, b->got);
}

/* How many blocks from here on are holes in the same block of numbers, at most `max`. */
static uint32_t count_holes(struct branch *b, uint32_t max)
{
	uint32_t per = b->levels == 1 ? EXT2_NDIRECT : b->e->block_size / 4, n = 1;
	uint32_t end = MIN(max, per - b->way[b->levels - 1]);
	if (b->there < b->levels - 1)
		return end; /* all of a new one */
	while (n < end && !number_at(b, b->there)[n])
		n++;
	return n;
}

/* Take blocks for the missing levels and the data. */
static err_t take_blocks(struct branch *b, uint32_t goal, uint32_t want)
{
	uint32_t got;
	err_t err = 0;
	for (unsigned i = b->there + 1; !err && i < b->levels; i++) {
		err = ext2_blocks_alloc(b->e, goal, 1, &b->made[i], &got);
		if (err)
			b->made[i] = 0;
		else
			err = ext2_buffer_new(b->e, b->made[i], &b->held[i]);
		goal = b->made[i] + 1;
	}
	if (!err) {
		err = ext2_blocks_alloc(b->e, goal, want, &b->data, &b->got);
		if (err)
			b->got = 0;
	}
	return err;
}

/* From here on nothing fails: the numbers of the data, of the new levels from below, and last the one where
 * the hole was. */
static void link_blocks(struct branch *b, uint64_t index)
{
	unsigned last = b->levels - 1;
	for (uint32_t i = 0; i < b->got; i++)
		number_at(b, last)[i] = b->data + i;
	for (unsigned i = last; i > b->there; i--)
		*number_at(b, i - 1) = b->made[i];
	for (unsigned i = b->there ? b->there : 1; i <= last; i++)
		ext2_buffer_dirty(&b->held[i]);
	b->node->sectors += (uint64_t)(b->got + last - b->there) << (b->e->block_shift - SECTOR_SHIFT);
	b->node->goal = b->data + b->got;
	b->node->goal_index = index + b->got;
}

err_t ext2_map_fill(
    struct ext2 *e, struct ext2_node *n, uint64_t index, uint32_t max, uint32_t *out, uint32_t *got)
{
	struct branch b = {.e = e, .node = n};
	b.levels = ext2_way(e, index, b.way);
	if (!b.levels)
		return -EFBIG;
	err_t err = walk_there(&b);
	ASSERT(err || b.there < b.levels);
	uint64_t most = (EXT2_SECTORS_MAX - n->sectors) >> (e->block_shift - SECTOR_SHIFT);
	if (!err && most < b.levels)
		err = -EFBIG;
	if (!err) {
		uint32_t want = (uint32_t)MIN(count_holes(&b, max), most - b.levels + 1);
		err = take_blocks(&b, find_goal(&b, index), want);
		if (err)
			give_back(&b);
		else
			link_blocks(&b, index);
	}
	for (unsigned i = 1; i < EXT2_LEVELS; i++)
		ext2_buffer_put(&b.held[i]);
	*out = b.data;
	*got = b.got;
	return err;
}
