/*
 * alloc_block.c - which blocks are free.
 *
 * Each group has a bitmap of a block and a count in its descriptor. A block is wanted near a goal: there,
 * then behind it in its group - first where eight are free together, so that the file can go on - then in the
 * groups that follow. A run of blocks is taken at once. The disk's word is never trusted twice: what the
 * bitmap calls free may not be metadata of the volume, and a count that is wrong costs a look at the bitmap
 * and no more.
 *
 * The last blocks are for CAP_SYS_RESOURCE, or for whom the superblock or the mount names.
 */
#include "fs/ext2/ext2_priv.h"
#include "fs/file.h"

static bool bit_is_set(const uint8_t *map, uint32_t i)
{
	return map[i / 8] >> i % 8 & 1;
}

/* Blocks of a group: the last one may be shorter. */
static uint32_t group_len(const struct ext2 *e, uint32_t group)
{
	return MIN(e->super.blocks_per_group, e->super.blocks - ext2_group_start(e, group));
}

static bool overlaps(uint32_t start, uint32_t count, uint32_t other, uint32_t n)
{
	return start < other + n && other < start + count;
}

bool ext2_is_system(const struct ext2 *e, uint32_t start, uint32_t count)
{
	uint32_t g = ext2_group_of_block(e, start);
	const struct ext2_group *d = ext2_group(e, g);
	uint32_t table = (uint32_t)DIV_ROUND_UP(
	    (uint64_t)e->super.inodes_per_group * e->inode_size, (uint64_t)e->block_size);
	return overlaps(start, count, d->block_bitmap, 1) || overlaps(start, count, d->inode_bitmap, 1) ||
	       overlaps(start, count, d->inode_table, table) ||
	       (ext2_has_copy(&e->super, g) &&
		   overlaps(start, count, ext2_group_start(e, g), 1 + e->gdt_blocks));
}

/* The first free bit in [from, end); end: none. */
static uint32_t next_free(const uint8_t *map, uint32_t from, uint32_t end)
{
	while (from < end && bit_is_set(map, from))
		from += from % 8 == 0 && map[from / 8] == 0xff ? 8 : 1;
	return MIN(from, end);
}

/* The first byte in [from, end) that is all free, as a bit; end: none. */
static uint32_t next_free_byte(const uint8_t *map, uint32_t from, uint32_t end)
{
	for (from = ALIGN_UP(from, 8u); from + 8 <= end; from += 8)
		if (!map[from / 8])
			return from;
	return end;
}

/* Where to begin in a group, `from` being wanted: there, or close behind, or a place with room behind that,
 * or any. */
static uint32_t choose_bit(const uint8_t *map, uint32_t from, uint32_t end)
{
	uint32_t near = MIN(ALIGN_UP(from + 1, 64u), end), bit = next_free(map, from, near);
	if (bit < near)
		return bit;
	bit = next_free_byte(map, from, end);
	while (bit < end && bit > from &&
	       !bit_is_set(map, bit - 1)) /* its free part may begin before the byte */
		bit--;
	if (bit == end)
		bit = next_free(map, from, end);
	return bit == end ? next_free(map, 0, from) == from ? end : next_free(map, 0, from) : bit;
}

/* Take the free run at `bit`, up to `want`; what lies under metadata of the volume is not free whatever the
 * map says. */
static uint32_t take_run(
    struct ext2 *e, uint32_t group, uint8_t *map, uint32_t bit, uint32_t end, uint32_t want)
{
	uint32_t n = 0;
	while (n < want && bit + n < end && !bit_is_set(map, bit + n) &&
	       !ext2_is_system(e, ext2_group_start(e, group) + bit + n, 1)) {
		map[(bit + n) / 8] |= (uint8_t)(1 << (bit + n) % 8);
		n++;
	}
	return n;
}

static void count_taken(struct ext2 *e, uint32_t group, uint32_t n)
{
	struct ext2_group *g = ext2_group(e, group);
	g->free_blocks = (uint16_t)(g->free_blocks > n ? g->free_blocks - n : 0);
	e->free_blocks = e->free_blocks > n ? e->free_blocks - n : 0;
	ext2_group_dirty(e, group);
}

/* Try one group. *got 0: nothing there. */
static err_t take_from_group(
    struct ext2 *e, uint32_t group, uint32_t from, uint32_t want, uint32_t *start, uint32_t *got)
{
	struct ext2_buffer b;
	uint32_t end = group_len(e, group);
	*got = 0;
	err_t err = ext2_buffer_get(e, ext2_group(e, group)->block_bitmap, &b);
	if (err)
		return err;
	uint32_t bit = choose_bit(b.data, from, end);
	if (bit < end) {
		*start = ext2_group_start(e, group) + bit;
		*got = take_run(e, group, b.data, bit, end, want);
		if (!*got)
			err = ext2_corrupt(e, "bitmap: metadata is marked free, block", *start);
	}
	if (*got) {
		ext2_buffer_dirty(&b);
		count_taken(e, group, *got);
	}
	ext2_buffer_put(&b);
	return err;
}

/* How many of the free blocks the current user may take. */
static uint64_t available_locked(const struct ext2 *e)
{
	uint64_t kept = e->super.reserved_blocks;
	if (fs_current_is(e->resuid, e->resgid))
		kept = 0;
	return e->free_blocks > kept ? e->free_blocks - kept : 0;
}

static err_t alloc_locked(struct ext2 *e, uint32_t goal, uint32_t want, uint32_t *start, uint32_t *got)
{
	uint64_t left = available_locked(e);
	if (!left)
		return -ENOSPC;
	if (!ext2_block_is_valid(e, goal))
		goal = e->super.first_data_block + 1;
	uint32_t first = ext2_group_of_block(e, goal);
	for (uint32_t i = 0; i <= e->ngroups;
	     i++) { /* the first one twice: its part before the goal counts as well */
		uint32_t group = (first + i) % e->ngroups;
		if (!ext2_group(e, group)->free_blocks)
			continue;
		uint32_t from = i == 0 ? goal - ext2_group_start(e, group) : 0;
		err_t err = take_from_group(e, group, from, (uint32_t)MIN(want, left), start, got);
		if (err || *got)
			return err;
	}
	return -ENOSPC;
}

err_t ext2_blocks_alloc(struct ext2 *e, uint32_t goal, uint32_t want, uint32_t *start, uint32_t *got)
{
	mutex_lock(&e->lock);
	err_t err = ext2_may_change(e);
	if (!err)
		err = alloc_locked(e, goal, want, start, got);
	mutex_unlock(&e->lock);
	return err;
}

/* [start, start + count) lies in one group. */
static err_t free_in_group(struct ext2 *e, uint32_t start, uint32_t count)
{
	struct ext2_buffer b;
	uint32_t group = ext2_group_of_block(e, start), bit = start - ext2_group_start(e, group), done = 0;
	struct ext2_group *g = ext2_group(e, group);
	if (ext2_is_system(e, start, count))
		return ext2_corrupt(e, "map of a file: it has metadata, block", start);
	err_t err = ext2_buffer_get(e, g->block_bitmap, &b);
	if (err)
		return err;
	uint8_t *map = b.data;
	for (; done < count && bit_is_set(map, bit + done); done++)
		map[(bit + done) / 8] &= (uint8_t) ~(1 << (bit + done) % 8);
	g->free_blocks = (uint16_t)MIN(g->free_blocks + done, 0xffffu);
	e->free_blocks += done;
	ext2_buffer_dirty(&b);
	ext2_group_dirty(e, group);
	ext2_buffer_put(&b);
	return done < count ? ext2_corrupt(e, "bitmap: free already, block", start + done) : 0;
}

err_t ext2_blocks_free(struct ext2 *e, uint32_t start, uint32_t count)
{
	if (!ext2_block_is_valid(e, start) || count > e->super.blocks - start)
		return ext2_corrupt(e, "block of a file", start);
	err_t err = 0;
	mutex_lock(&e->lock);
	while (!err && count) {
		uint32_t group = ext2_group_of_block(e, start);
		uint32_t n = MIN(count, ext2_group_start(e, group) + group_len(e, group) - start);
		err = free_in_group(e, start, n);
		start += n;
		count -= n;
	}
	mutex_unlock(&e->lock);
	return err;
}
