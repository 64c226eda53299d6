/*
 * pages.c - the page cache of regular files, and the blocks under it.
 *
 * Blocks are taken when a page gets something to keep: by write(2) before it copies, by a mapping before its
 * first write (`may_dirty`). So a page that is written back finds its blocks, and lack of room is told to
 * whoever wrote.
 *
 * What a fresh block held before must never be seen. Behind the end of the file no block is read at all, so
 * growing needs no care. A hole inside the file is filled under its page: the page, zeros, is held and dirty
 * before the block is taken. A dirty page over a hole that holds nothing but zeros (a tail that was zeroed)
 * leaves the hole.
 *
 * Write-back takes (M) for looking blocks up only, not while the disk works. A cut waits until the page that
 * it leaves in part is not being written, with the new size known: later write-backs do not touch blocks
 * behind it.
 */
#include "fs/bdev.h"
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

enum { PER_PAGE_MAX = PAGE_SIZE / 1024, FILL_MAX = 1024 };

static uint64_t size_now(const struct vnode *v)
{
	return __atomic_load_n(&v->size, __ATOMIC_RELAXED);
}

static unsigned page_blocks(const struct ext2 *e)
{
	return PAGE_SIZE >> e->block_shift;
}

static uint64_t first_block(const struct ext2 *e, pgidx_t idx)
{
	return idx << (PAGE_SHIFT - e->block_shift);
}

static uint64_t sector_of(const struct ext2 *e, uint32_t block)
{
	return (uint64_t)block << (e->block_shift - SECTOR_SHIFT);
}

/* Blocks of the page that lie inside the file, in part or whole. */
static unsigned blocks_inside(const struct ext2 *e, pgidx_t idx, uint64_t size)
{
	uint64_t first = first_block(e, idx), all = ext2_blocks_of(e, size);
	return first >= all ? 0 : (unsigned)MIN(all - first, page_blocks(e));
}

/* --- reading --- */

static err_t read_page(struct vnode *v, pgidx_t idx, struct page *p, uint64_t size, struct block_io *io)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint32_t blocks[PER_PAGE_MAX];
	unsigned count = blocks_inside(e, idx, size);
	err_t err = 0;
	mutex_lock(&n->lock);
	for (unsigned i = 0; !err && i < count; i++)
		err = ext2_map_locked(e, n, first_block(e, idx) + i, &blocks[i]);
	mutex_unlock(&n->lock);
	for (unsigned i = 0; !err && i < page_blocks(e); i++) {
		uint32_t offset = i << e->block_shift;
		if (i < count && blocks[i])
			block_io_add(io, sector_of(e, blocks[i]), p, offset, e->block_size);
		else
			memset((char *)page_to_virt(p) + offset, 0, e->block_size);
	}
	return err;
}

/* Zero what lies behind the end of the file in the page. */
static void zero_behind(pgidx_t idx, struct page *p, uint64_t size)
{
	uint64_t pos = (uint64_t)idx << PAGE_SHIFT;
	size_t keep = size > pos ? (size_t)MIN(size - pos, (uint64_t)PAGE_SIZE) : 0;
	memset((char *)page_to_virt(p) + keep, 0, PAGE_SIZE - keep);
}

static err_t pages_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct vnode *v = vnode_of_pages(o);
	uint64_t size = size_now(v);
	struct block_io io;
	err_t err = 0, ended;
	block_io_begin(&io, ext2_of(v)->disk, BLOCK_READ);
	for (unsigned i = 0; !err && i < n; i++)
		err = read_page(v, idx + i, pages[i], size, &io);
	ended = block_io_end(&io);
	for (unsigned i = 0; !err && i < n; i++)
		zero_behind(idx + i, pages[i], size);
	return err ? err : ended;
}

/* --- having blocks --- */

/* (M) is held: fill the holes of [first, first + count), as far as they are inside `end`. */
static err_t fill_locked(struct vnode *v, uint64_t first, uint64_t end, uint64_t *done)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint32_t at, got;
	err_t err = 0;
	for (*done = first; !err && *done < end;) {
		err = ext2_map_locked(e, n, *done, &at);
		got = 1;
		if (!err && !at)
			err = ext2_map_fill(
			    e, n, *done, (uint32_t)MIN(end - *done, (uint64_t)FILL_MAX), &at, &got);
		if (!err)
			*done += got;
	}
	return err;
}

/* Blocks [first, end) of the file lie in page idx, inside the file: have them, the page being held and dirty.
 */
static err_t fill_under_page(struct vnode *v, pgidx_t idx, uint64_t first, uint64_t end)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	struct vm_pin pin;
	uint64_t done;
	err_t err = object_pin(v->pages, idx, true, &pin);
	if (err)
		return err;
	mutex_lock(&n->lock);
	uint64_t inside =
	    first_block(e, idx) + blocks_inside(e, idx, size_now(v)); /* it may have been cut meanwhile */
	err = fill_locked(v, first, MIN(end, inside), &done);
	mutex_unlock(&n->lock);
	vm_unpin(&pin);
	return err;
}

/* Is there a hole in [first, end)? */
static err_t find_hole(struct vnode *v, uint64_t first, uint64_t end, bool *found)
{
	struct ext2_node *n = ext2_node_of(v);
	uint32_t at = 1;
	err_t err = 0;
	mutex_lock(&n->lock);
	for (uint64_t i = first; !err && at && i < end; i++)
		err = ext2_map_locked(ext2_of(v), n, i, &at);
	mutex_unlock(&n->lock);
	*found = !at;
	return err;
}

static err_t fill_inside(struct vnode *v, pgidx_t idx, uint64_t first, uint64_t end)
{
	bool hole;
	err_t err = find_hole(v, first, end, &hole);
	return err || !hole ? err : fill_under_page(v, idx, first, end);
}

static err_t pages_may_dirty(struct vm_object *o, pgidx_t idx)
{
	struct vnode *v = vnode_of_pages(o);
	struct ext2 *e = ext2_of(v);
	dirty_note_page(v, idx);
	err_t err = ext2_inode_hold(v);
	if (err)
		return err;
	uint64_t first = first_block(e, idx);
	err = fill_inside(v, idx, first, first + blocks_inside(e, idx, size_now(v)));
	ext2_inode_store(v);
	return err;
}

/* The part of [first, end) that lies inside the file, page by page. */
static err_t reserve_inside(struct vnode *v, uint64_t first, uint64_t end, uint64_t *done)
{
	struct ext2 *e = ext2_of(v);
	err_t err = 0;
	for (*done = first; !err && *done < end;) {
		pgidx_t idx = *done >> (PAGE_SHIFT - e->block_shift);
		uint64_t stop = MIN(end, first_block(e, idx + 1));
		err = fill_inside(v, idx, *done, stop);
		if (!err)
			*done = stop;
	}
	return err;
}

err_t ext2_reserve(struct vnode *v, uint64_t pos, uint64_t *len)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint64_t first = pos >> e->block_shift, end = ext2_blocks_of(e, pos + *len), done = first;
	uint64_t inside = MIN(MAX(ext2_blocks_of(e, v->size), first), end);
	err_t err = ext2_may_change(e);
	if (!err)
		err = ext2_inode_hold(v);
	if (err)
		return err;
	err = reserve_inside(v, first, inside, &done);
	if (!err) {
		mutex_lock(&n->lock);
		err = fill_locked(v, inside, end, &done);
		mutex_unlock(&n->lock);
	}
	ext2_inode_store(v);
	if (!err)
		return 0;
	if (done << e->block_shift <= pos)
		return err;
	*len = (done << e->block_shift) - pos; /* there is room for a part */
	return 0;
}

err_t ext2_truncate(struct vnode *v, uint64_t size)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	err_t err = ext2_may_change(e);
	if (!err)
		err = ext2_inode_hold(v);
	if (err)
		return err;
	object_wait(v->pages, size >> PAGE_SHIFT, (size >> PAGE_SHIFT) + 1);
	mutex_lock(&n->lock);
	err = ext2_cut(e, n, ext2_blocks_of(e, size));
	mutex_unlock(&n->lock);
	ext2_inode_store(v);
	return err;
}

/* --- writing back --- */

static bool is_zero(const void *p, size_t len)
{
	const uint64_t *w = p;
	for (size_t i = 0; i < len / sizeof(*w); i++)
		if (w[i])
			return false;
	return true;
}

/* The block under a piece of a dirty page; 0: a hole that may stay one. (M) is held. */
static err_t block_to_write(struct vnode *v, uint64_t index, const void *data, uint32_t *at)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint32_t got;
	err_t err = ext2_map_locked(e, n, index, at);
	if (err || *at || is_zero(data, e->block_size))
		return err;
	return n->slot.data ? ext2_map_fill(e, n, index, 1, at, &got)
			    : -EIO; /* its page was made dirty without asking */
}

static err_t write_page(struct vnode *v, pgidx_t idx, struct page *p, struct block_io *io)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint32_t blocks[PER_PAGE_MAX];
	unsigned count;
	err_t err = 0;
	mutex_lock(&n->lock);
	count = blocks_inside(e, idx, size_now(v));
	for (unsigned i = 0; !err && i < count; i++)
		err = block_to_write(
		    v, first_block(e, idx) + i, (char *)page_to_virt(p) + (i << e->block_shift), &blocks[i]);
	mutex_unlock(&n->lock);
	for (unsigned i = 0; !err && i < count; i++)
		if (blocks[i])
			block_io_add(io, sector_of(e, blocks[i]), p, i << e->block_shift, e->block_size);
	return err;
}

static err_t pages_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct vnode *v = vnode_of_pages(o);
	struct block_io io;
	err_t err = 0, ended;
	block_io_begin(&io, ext2_of(v)->disk, BLOCK_WRITE);
	for (unsigned i = 0; !err && i < n; i++)
		err = write_page(v, idx + i, pages[i], &io);
	ended = block_io_end(&io);
	bdev_note_written(ext2_of(v)->disk);
	if (ext2_node_of(v)->slot.data)
		ext2_inode_store(v);
	return err ? err : ended;
}

const struct vm_file_ops ext2_pages_ops = {
    .read = pages_read,
    .write = pages_write,
    .may_dirty = pages_may_dirty,
    .closing = vnode_pages_closing,
    .release = vnode_pages_release,
};
