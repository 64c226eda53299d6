/*
 * buffer.c - the cache of metadata blocks.
 *
 * One VM object whose page n holds block n at its start, whatever the size of blocks. So a block is dirty,
 * written and taken away by itself - with several blocks to a page, writing one would write its neighbours
 * too, which may be data of files - and write-back, waiting, and giving memory back are those of any page
 * cache. Small blocks waste the rest of their page; the volumes that have them are small.
 *
 * A buffer is changed first and marked dirty after that: a write-back that runs between the two writes it
 * once more. Blocks that become metadata are made here without a read, and blocks that cease to be metadata
 * are forgotten before they are freed, so that the cache never writes to a block that belongs to a file's
 * data.
 */
#include "fs/bdev.h"
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

static uint64_t sector_of(const struct ext2 *e, uint64_t block)
{
	return block << (e->block_shift - SECTOR_SHIFT);
}

static err_t transfer(struct vm_object *o, enum block_op op, pgidx_t idx, struct page **pages, unsigned n)
{
	struct ext2 *e = o->priv;
	struct block_io io;
	block_io_begin(&io, e->disk, op);
	for (unsigned i = 0; i < n; i++)
		block_io_add(&io, sector_of(e, idx + i), pages[i], 0, e->block_size);
	err_t err = block_io_end(&io);
	if (op == BLOCK_WRITE)
		bdev_note_written(e->disk);
	return err;
}

static err_t meta_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
	return transfer(o, BLOCK_READ, idx, pages, n);
}

static err_t meta_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	return transfer(o, BLOCK_WRITE, idx, pages, n);
}

static const struct vm_file_ops meta_ops = {.read = meta_read, .write = meta_write};

err_t ext2_buffers_create(struct ext2 *e)
{
	return object_create_file(&meta_ops, e, e->super.blocks, &e->meta);
}

/* Any block of the volume, the superblock's as well. */
static err_t get(struct ext2 *e, uint64_t block, struct ext2_buffer *b)
{
	err_t err = object_pin(e->meta, block, false, &b->pin);
	b->data = err ? NULL : page_to_virt(b->pin.page);
	return err;
}

err_t ext2_buffer_get(struct ext2 *e, uint64_t block, struct ext2_buffer *b)
{
	b->data = NULL;
	if (!ext2_block_is_valid(e, block) && block != (uint64_t)EXT2_SUPER_POS >> e->block_shift)
		return ext2_corrupt(e, "metadata block", block);
	return get(e, block, b);
}

err_t ext2_buffer_new(struct ext2 *e, uint32_t block, struct ext2_buffer *b)
{
	b->data = NULL;
	err_t err = object_fill_zero(e->meta, block);
	if (!err)
		err = get(e, block, b);
	if (!err) {
		memset(b->data, 0, e->block_size); /* an old copy may have been there */
		ext2_buffer_dirty(b);
	}
	return err;
}

void ext2_buffer_dirty(struct ext2_buffer *b)
{
	object_mark_dirty(b->pin.object, b->pin.index, b->pin.page);
}

void ext2_buffer_put(struct ext2_buffer *b)
{
	if (b->data)
		vm_unpin(&b->pin);
	b->data = NULL;
}

void ext2_buffer_forget(struct ext2 *e, uint32_t block)
{
	object_forget(e->meta, block, (pgidx_t)block + 1);
}
