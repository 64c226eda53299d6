#pragma once
/*
 * block_io.h - pieces of pages to and from a disk, several requests under way. See block_io.c.
 */
#include "dev/block.h"

enum { BLOCK_IO_REQUESTS = 4, BLOCK_IO_SEGMENTS = 16 };

struct block_io {
	struct block_device *disk;
	enum block_op op;
	unsigned first, count; /* ring of requests; the last one may still grow if `open` */
	bool open;
	err_t err;
	struct block_request requests[BLOCK_IO_REQUESTS];
	struct block_segment segments[BLOCK_IO_REQUESTS][BLOCK_IO_SEGMENTS];
};

/* op: BLOCK_READ or BLOCK_WRITE. */
void block_io_begin(struct block_io *io, struct block_device *disk, enum block_op op);
/* A piece of a page at this sector of the disk, whole blocks of it. May sleep. */
void block_io_add(struct block_io *io, uint64_t sector, struct page *p, uint32_t offset, uint32_t len);
/* Wait for all; the first error. */
MUST_CHECK err_t block_io_end(struct block_io *io);
