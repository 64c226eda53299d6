/*
 * block_io.c - blocks to and from the disk. Pieces that follow each other on the disk become one request;
 * when the next piece lies elsewhere the request starts, and the next one is filled while it is under way.
 * What is needed lies on the caller's stack: write-back must not need memory.
 */
#include "fs/block_io.h"

void block_io_begin(struct block_io *io, struct block_device *disk, enum block_op op)
{
	io->disk = disk;
	io->op = op;
	io->first = io->count = 0;
	io->open = false;
	io->err = 0;
}

static unsigned last_of(const struct block_io *io)
{
	return (io->first + io->count - 1) % BLOCK_IO_REQUESTS;
}

static void start_last(struct block_io *io)
{
	if (io->open)
		block_submit(io->disk, &io->requests[last_of(io)]);
	io->open = false;
}

static void wait_first(struct block_io *io)
{
	err_t err = block_wait(&io->requests[io->first]);
	io->err = io->err ? io->err : err;
	io->first = (io->first + 1) % BLOCK_IO_REQUESTS;
	io->count--;
}

/* Does a piece at `sector` go on where the last request ends, and may it be longer? */
static bool can_grow(const struct block_io *io, uint64_t sector, uint32_t len)
{
	const struct block_request *r = &io->requests[last_of(io)];
	return io->open && r->sector + r->nsectors == sector &&
	       r->nsegments < MIN((unsigned)BLOCK_IO_SEGMENTS, io->disk->max_segments) &&
	       r->nsectors + (len >> SECTOR_SHIFT) <= io->disk->max_sectors;
}

void block_io_add(struct block_io *io, uint64_t sector, struct page *p, uint32_t offset, uint32_t len)
{
	if (!can_grow(io, sector, len)) {
		start_last(io);
		if (io->count == BLOCK_IO_REQUESTS)
			wait_first(io);
		io->count++;
		block_request_init(&io->requests[last_of(io)], io->op, sector);
		io->requests[last_of(io)].segments = io->segments[last_of(io)];
		io->open = true;
	}
	struct block_request *r = &io->requests[last_of(io)];
	io->segments[last_of(io)][r->nsegments++] = (struct block_segment){p, offset, len};
	r->nsectors += len >> SECTOR_SHIFT;
}

err_t block_io_end(struct block_io *io)
{
	start_last(io);
	while (io->count)
		wait_first(io);
	return io->err;
}
