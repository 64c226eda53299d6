/*
 * map.c - from a file's blocks to the disk's, and the page cache of regular files.
 *
 * An inode names 12 blocks itself and three trees of blocks full of numbers, of depth 1, 2 and 3. A number of 0 on any level is a hole, which reads as zeros. Every number is checked where it is followed, and
 * the depth is fixed, so a hostile map can show wrong bytes of the disk but never lead outside of it or around in circles.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

uint64_t ext2_max_size(const struct ext2 *e)
{
	uint64_t per = e->block_size / 4;
	return (EXT2_NDIRECT + per + per * per + per * per * per) << e->block_shift;
}

/* Follow one number: the `index`-th of block `at`. */
static err_t follow(struct ext2 *e, uint32_t at, uint64_t index, uint32_t *out)
{
	struct ext2_buffer b;
	err_t err = ext2_buffer_get(e, at, &b);
	if (err)
		return err;
	*out = ((const uint32_t *)b.data)[index];
	ext2_buffer_put(&b);
	return 0;
}

err_t ext2_map(struct ext2 *e, const struct ext2_node *n, uint64_t index, uint32_t *out)
{
	unsigned per_shift = e->block_shift - 2, depth = 0;
	uint32_t at;
	if (index < EXT2_NDIRECT) {
		at = n->block[index];
	} else {
		index -= EXT2_NDIRECT;
		for (depth = 1; index >> (depth * per_shift); depth++) {
			if (depth == 3)
				return -EFBIG;
			index -= 1ULL << (depth * per_shift);
		}
		at = n->block[EXT2_NDIRECT + depth - 1];
	}
	while (depth-- && at) {
		err_t err = follow(e, at, index >> (depth * per_shift) & ((1ULL << per_shift) - 1), &at);
		if (err)
			return err;
	}
	*out = at;
	return at && !ext2_block_is_valid(e, at) ? ext2_corrupt("data block", at) : 0;
}

/* Read `count` blocks that follow each other on the disk from `block` on; 0: zeros. */
static err_t read_run(struct ext2 *e, uint32_t block, unsigned count, char *to)
{
	size_t len = (size_t)count << e->block_shift;
	if (block)
		return e->device->read(e->device, (uint64_t)block << e->block_shift, to, len);
	memset(to, 0, len);
	return 0;
}

/* Fill a page, with one read for blocks that lie together. */
static err_t read_page(struct ext2 *e, const struct ext2_node *n, pgidx_t idx, char *to)
{
	unsigned per_page = PAGE_SIZE >> e->block_shift, first = 0;
	uint32_t blocks[PAGE_SIZE / 1024];
	uint64_t index = idx << (PAGE_SHIFT - e->block_shift);
	for (unsigned i = 0; i < per_page; i++) {
		err_t err = ext2_map(e, n, index + i, &blocks[i]);
		if (err == -EFBIG) /* the rest of the last page of the largest file */
			blocks[i] = 0;
		else if (err)
			return err;
	}
	for (unsigned i = 1; i <= per_page; i++) {
		if (i < per_page && blocks[i] == (blocks[first] ? blocks[first] + (i - first) : 0))
			continue;
		err_t err = read_run(e, blocks[first], i - first, to + (first << e->block_shift));
		if (err)
			return err;
		first = i;
	}
	return 0;
}

static err_t pages_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct vnode *v = vnode_of_pages(o);
	for (unsigned i = 0; i < n; i++) {
		char *to = page_to_virt(pages[i]);
		uint64_t pos = (uint64_t)(idx + i) << PAGE_SHIFT;
		err_t err = read_page(ext2_of(v), ext2_node_of(v), idx + i, to);
		if (err)
			return err;
		if (v->size < pos + PAGE_SIZE) { /* nothing is written: the size is constant */
			size_t keep = v->size > pos ? v->size - pos : 0;
			memset(to + keep, 0, PAGE_SIZE - keep);
		}
	}
	return 0;
}

const struct vm_file_ops ext2_pages_ops = {
    .read = pages_read,
    .closing = vnode_pages_closing,
    .release = vnode_pages_release,
};
