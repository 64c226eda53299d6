/*
 * block.c - see block.h: checks requests, gives them to the driver, and hands results back.
 *
 * FUA is made of two steps: when the write has ended without error, the same request goes to the driver again
 * as a flush, from the context in which the write ended. Its submitter sees one end.
 */
#include "dev/block.h"
#include "arch/clock.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "lib/string.h"

static struct spinlock registry_lock = SPINLOCK_INIT("block devices", RANK_IRQ);
static struct list registry = LIST_INIT(registry);

enum { PIECES = 32 }; /* segments that block_read and block_write hand over at a time */

/* -- registry -------------------------------------------------------------------------------------------- */

void block_register(struct block_device *b)
{
	ASSERT(b->block_size >= SECTOR_SIZE && !(b->block_size & (b->block_size - 1)) && b->max_segments &&
	       b->max_sectors >= b->block_size >> SECTOR_SHIFT);
	uint64_t state = spin_lock_irqsave(&registry_lock);
	list_push_back(&registry, &b->link);
	spin_unlock_irqrestore(&registry_lock, state);
}

struct block_device *block_at(unsigned index)
{
	struct block_device *found = NULL;
	uint64_t state = spin_lock_irqsave(&registry_lock);
	list_for_each (it, &registry) {
		if (index-- == 0) {
			found = list_entry(it, struct block_device, link);
			break;
		}
	}
	spin_unlock_irqrestore(&registry_lock, state);
	return found;
}

struct block_device *block_find(const char *name)
{
	struct block_device *b;
	for (unsigned i = 0; (b = block_at(i)); i++)
		if (!strcmp(b->name, name))
			return b;
	return NULL;
}

/* -- requests -------------------------------------------------------------------------------------------- */

void block_request_init(struct block_request *r, enum block_op op, uint64_t sector)
{
	*r = (struct block_request){.op = op, .sector = sector};
	list_init(&r->link);
	spin_init(&r->lock, "block request", RANK_WAIT);
	waitq_init(&r->waiters);
}

/* The bytes of all segments; 0 if one of them is no piece of a page. */
static uint64_t segments_bytes(const struct block_request *r)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < r->nsegments; i++) {
		const struct block_segment *s = &r->segments[i];
		if (!s->page || !s->len || s->len > PAGE_SIZE || s->offset > PAGE_SIZE - s->len)
			return 0;
		sum += s->len;
	}
	return sum;
}

static err_t check_place(const struct block_device *b, const struct block_request *r, uint64_t max)
{
	uint64_t mask = (b->block_size >> SECTOR_SHIFT) - 1;
	if (!r->nsectors || ((r->sector | r->nsectors) & mask))
		return -EINVAL;
	if (r->sector > b->nsectors || r->nsectors > b->nsectors - r->sector)
		return -EIO;
	return r->nsectors > max ? -EINVAL : 0;
}

static err_t check_transfer(const struct block_device *b, struct block_request *r)
{
	uint64_t bytes = r->nsegments <= b->max_segments ? segments_bytes(r) : 0;
	if (!bytes || bytes % SECTOR_SIZE)
		return -EINVAL;
	r->nsectors = bytes >> SECTOR_SHIFT;
	return check_place(b, r, b->max_sectors);
}

static err_t check_range(const struct block_device *b, const struct block_request *r, uint32_t max)
{
	if (r->nsegments)
		return -EINVAL;
	return max ? check_place(b, r, max) : -ENOTSUP;
}

static err_t check(const struct block_device *b, struct block_request *r)
{
	if (r->op != BLOCK_READ && r->op != BLOCK_FLUSH && b->read_only)
		return -EROFS;
	switch (r->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return check_transfer(b, r);
	case BLOCK_FLUSH:
		return r->nsegments ? -EINVAL : 0;
	case BLOCK_DISCARD:
		return check_range(b, r, b->max_discard);
	case BLOCK_WRITE_ZEROES:
		return check_range(b, r, b->max_zeroes);
	}
	return -EINVAL;
}

/* The submitter's end. Whoever waits may free the request as soon as its lock is free. */
static void give_back(struct block_request *r, err_t error)
{
	r->error = error;
	if (r->done) {
		r->done(r);
		return;
	}
	uint64_t state = spin_lock_irqsave(&r->lock);
	r->ended = true;
	waitq_wake_all(&r->waiters);
	spin_unlock_irqrestore(&r->lock, state);
}

static void count_start(struct block_stats *s, struct block_request *r)
{
	if (r->op == BLOCK_READ)
		thread_count_io(IO_READ, r->nsectors << SECTOR_SHIFT);
	r->submitted = clock_now();
	if (fetch_add_relaxed(&s->under_way, 1) == 0)
		store_relaxed(&s->busy_since, r->submitted);
}

static void count_end(struct block_stats *s, const struct block_request *r)
{
	nsec_t now = clock_now();
	fetch_add_relaxed(&s->ended[r->op], 1);
	fetch_add_relaxed(&s->sectors[r->op], r->nsectors);
	fetch_add_relaxed(&s->time[r->op], now - r->submitted);
	nsec_t since = load_relaxed(&s->busy_since);
	if (fetch_sub_relaxed(&s->under_way, 1) == 1)
		fetch_add_relaxed(&s->busy, now > since ? now - since : 0);
}

void block_submit(struct block_device *b, struct block_request *r)
{
	err_t err = check(b, r);
	r->device = b;
	r->flushing = false;
	r->ended = false;
	if (err) {
		give_back(r, err);
	} else if (r->op == BLOCK_FLUSH && !b->has_cache) {
		give_back(r, 0);
	} else {
		count_start(&b->stats, r);
		b->driver->submit(b, r);
	}
}

void block_end(struct block_request *r, err_t error)
{
	struct block_device *b = r->device;
	bool wrote = r->op == BLOCK_WRITE || r->op == BLOCK_WRITE_ZEROES;
	if (error)
		fetch_add_relaxed(&b->errors, 1);
	if (!error && wrote && (r->flags & BLOCK_FUA) && b->has_cache && !r->flushing) {
		r->flushing = true;
		b->driver->submit(b, r);
		return;
	}
	count_end(&b->stats, r);
	give_back(r, error);
}

err_t block_wait(struct block_request *r)
{
	ASSERT(!r->done);
	uint64_t state = spin_lock_irqsave(&r->lock);
	while (!r->ended)
		(void)waitq_sleep_irq(&r->waiters, &r->lock, NSEC_NEVER, 0); /* woken is the only way out */
	spin_unlock_irqrestore(&r->lock, state);
	return r->error;
}

/* -- in one call ----------------------------------------------------------------------------------------- */

/* Cut the head of [p, p + len) into at most `max` pieces of pages, `limit` bytes in sum; the bytes covered.
 */
static size_t cut(
    const char *p, size_t len, struct block_segment *out, unsigned max, size_t limit, unsigned *n)
{
	size_t covered = 0;
	for (*n = 0; *n < max && covered < len && covered < limit; (*n)++) {
		uint32_t offset = (uintptr_t)p % PAGE_SIZE;
		size_t piece = MIN(MIN(len, limit) - covered, (size_t)PAGE_SIZE - offset);
		out[*n] = (struct block_segment){virt_to_page(p), offset, (uint32_t)piece};
		covered += piece;
		p += piece;
	}
	return covered;
}

/* Drop what does not fill a block from the tail. */
static size_t cut_to_blocks(struct block_segment *s, unsigned *n, size_t bytes, uint32_t block_size)
{
	size_t over = bytes % block_size;
	bytes -= over;
	while (over) {
		struct block_segment *last = &s[*n - 1];
		size_t less = MIN(over, last->len);
		last->len -= (uint32_t)less;
		over -= less;
		*n -= last->len == 0;
	}
	return bytes;
}

static err_t transfer(struct block_device *b, enum block_op op, uint64_t sector, const char *p, size_t len)
{
	struct block_segment pieces[PIECES];
	err_t err = len % b->block_size ? -EINVAL : 0;
	while (!err && len) {
		struct block_request r;
		size_t limit = (size_t)b->max_sectors << SECTOR_SHIFT;
		block_request_init(&r, op, sector);
		size_t n = cut(p, len, pieces, MIN(b->max_segments, (unsigned)PIECES), limit, &r.nsegments);
		n = cut_to_blocks(pieces, &r.nsegments, n, b->block_size);
		r.segments = pieces;
		block_submit(b, &r);
		err = block_wait(&r);
		sector += n >> SECTOR_SHIFT;
		p += n;
		len -= n;
	}
	return err;
}

err_t block_read(struct block_device *b, uint64_t sector, void *buffer, size_t len)
{
	return transfer(b, BLOCK_READ, sector, buffer, len);
}

err_t block_write(struct block_device *b, uint64_t sector, const void *buffer, size_t len)
{
	return transfer(b, BLOCK_WRITE, sector, buffer, len);
}

err_t block_flush(struct block_device *b)
{
	struct block_request r;
	block_request_init(&r, BLOCK_FLUSH, 0);
	block_submit(b, &r);
	return block_wait(&r);
}

err_t block_discard(struct block_device *b, uint64_t sector, uint64_t nsectors)
{
	err_t err = b->max_discard ? 0 : -ENOTSUP;
	uint32_t mask = (b->block_size >> SECTOR_SHIFT) - 1;
	while (!err && nsectors) {
		struct block_request r;
		block_request_init(&r, BLOCK_DISCARD, sector);
		r.nsectors = MIN(nsectors, b->max_discard & ~mask);
		block_submit(b, &r);
		err = block_wait(&r);
		sector += r.nsectors;
		nsectors -= r.nsectors;
	}
	return err;
}
