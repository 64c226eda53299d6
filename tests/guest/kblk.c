/*
 * kblk.c - disks, by a scratch disk that the runner attaches (tools/qemu.py --disk): 8 MiB, each 64-bit word
 * a function of its place and of a generation. All sectors begin with generation 1, and tests run in any
 * order. The runner looks at the image afterwards:
 *
 *	[0, 2048)       never written: generation 1
 *	[2048, 4096)    written by blk_mark: generation 2
 *	[4096, 16383)   for everybody
 *	16383           the last one, written by blk_mark: generation 2
 */
#include "arch/bootinfo.h"
#include "crew.h"
#include "dev/block.h"
#include "ktest.h"
#include "lib/atomic.h"
#include "mm/frame.h"
#include "mm/slab.h"

enum {
	DISK_SECTORS = 16384,
	MARK_FIRST = 2048,
	FREE_FIRST = 4096,
	FREE_END = DISK_SECTORS - 1,
	PAGE_SECTORS = PAGE_SIZE / SECTOR_SIZE,
	SECTOR_WORDS = SECTOR_SIZE / 8,
	BAD_READ = 6000, /* see tools/qemu.py: injected errors */
	BAD_WRITE = 6100,
	FULL_WRITE = 6200,
	FLOOD = 300, /* more than the driver has slots */
	DEPTH = 16,
	ROUNDS = 60,
};

static uint64_t word(uint64_t sector, unsigned i, unsigned generation)
{
	return (sector * SECTOR_WORDS + i + 1) * 0x9e3779b97f4a7c15 ^ generation * 0xd6e8feb86659fd93;
}

static void fill(void *p, uint64_t sector, unsigned nsectors, unsigned generation)
{
	uint64_t *w = p;
	for (unsigned i = 0; i < nsectors * SECTOR_WORDS; i++)
		w[i] = word(sector + i / SECTOR_WORDS, i % SECTOR_WORDS, generation);
}

/* Number of words that are not what `fill` writes. */
static unsigned differences(const void *p, uint64_t sector, unsigned nsectors, unsigned generation)
{
	const uint64_t *w = p;
	unsigned n = 0;
	for (unsigned i = 0; i < nsectors * SECTOR_WORDS; i++)
		n += w[i] != word(sector + i / SECTOR_WORDS, i % SECTOR_WORDS, generation);
	return n;
}

static struct block_device *scratch_disk(void)
{
	struct block_device *b = block_find("vda");
	if (!b || b->nsectors != DISK_SECTORS)
		kt_skip("no scratch disk");
	return b && b->nsectors == DISK_SECTORS ? b : NULL;
}

static bool has_errors(void)
{
	char value[8];
	return cmdline_get("disk", value, sizeof(value)) && !strcmp(value, "errors");
}

/* One request with these segments, waited for. */
static err_t request(
    struct block_device *b, enum block_op op, uint64_t sector, const struct block_segment *s, unsigned n)
{
	struct block_request r;
	block_request_init(&r, op, sector);
	r.segments = s;
	r.nsegments = n;
	block_submit(b, &r);
	return block_wait(&r);
}

/* The emulator fails the first flush of all, whichever test makes it, and no other. */
static void check_flush(struct block_device *b)
{
	static bool told;
	KT_CHECK_EQ(block_flush(b), has_errors() && !told ? -EIO : 0);
	told = true;
}

KTEST(blk_pattern)
{
	enum { PIECE = 64 };
	struct block_device *b = scratch_disk();
	if (!b)
		return;
	char *buffer = kmalloc(PIECE * SECTOR_SIZE);
	KT_REQUIRE(buffer);
	unsigned wrong = 0;
	for (uint64_t s = 0; s < DISK_SECTORS; s += PIECE) {
		bool bad = has_errors() && s <= BAD_READ && BAD_READ < s + PIECE;
		err_t err = block_read(b, s, buffer, PIECE * SECTOR_SIZE);
		KT_CHECK_EQ(err, bad ? -EIO : 0);
		wrong += s < MARK_FIRST ? differences(buffer, s, PIECE, 1) : 0;
	}
	KT_CHECK_EQ(wrong, 0);
	kfree(buffer);
}

/* -- many at once ---------------------------------------------------------------------------------------- */

struct flight {
	struct block_request r;
	struct block_segment segment;
	_Atomic uint32_t ends;
	_Atomic uint32_t *left; /* of all */
};

static void flight_ended(struct block_request *r)
{
	struct flight *f = r->arg;
	fetch_add_relaxed(&f->ends, 1);
	fetch_sub_acq_rel(f->left, 1); /* the last access */
}

static void fly(
    struct block_device *b, struct flight *f, enum block_op op, uint64_t sector, _Atomic uint32_t *left)
{
	block_request_init(&f->r, op, sector);
	f->r.segments = &f->segment;
	f->r.nsegments = 1;
	f->r.done = flight_ended;
	f->r.arg = f;
	f->left = left;
	fetch_add_relaxed(left, 1);
	block_submit(b, &f->r);
}

/* Check that n requests ended once each, without error. */
static void check_flights(struct flight *f, unsigned n, _Atomic uint32_t *left)
{
	KT_CHECK(wait_for(left, 0));
	for (unsigned i = 0; i < n; i++) {
		KT_CHECK_EQ(load_relaxed(&f[i].ends), 1);
		KT_CHECK_EQ(f[i].r.error, 0);
		store_relaxed(&f[i].ends, 0);
	}
}

KTEST(blk_flood)
{
	struct block_device *b = scratch_disk();
	struct flight *f = b ? kcalloc(FLOOD, sizeof(*f)) : NULL;
	struct page *pages = f ? frame_alloc(PAGE_KERNEL, 0) : NULL;
	_Atomic uint32_t left = 0;
	if (!b)
		return;
	KT_REQUIRE(f && pages);
	fill(page_to_virt(pages), 0, PAGE_SECTORS, 3);
	for (unsigned i = 0; i < FLOOD; i++) {
		f[i].segment = (struct block_segment){pages, i % PAGE_SECTORS * SECTOR_SIZE, SECTOR_SIZE};
		fly(b, &f[i], BLOCK_WRITE, FREE_FIRST + i, &left);
	}
	check_flights(f, FLOOD, &left);
	char *back = kmalloc(FLOOD * SECTOR_SIZE);
	KT_CHECK(back && block_read(b, FREE_FIRST, back, FLOOD * SECTOR_SIZE) == 0);
	for (unsigned i = 0; back && i < FLOOD; i++)
		KT_CHECK_EQ(differences(back + i * SECTOR_SIZE, i % PAGE_SECTORS, 1, 3), 0);
	kfree(back);
	frame_free(pages);
	kfree(f);
}

/* Each worker has a part of the disk, and knows the generation of each of its page-sized pieces. */
struct part {
	struct flight flights[DEPTH];
	struct page *pages[DEPTH];
	unsigned piece[DEPTH];
	uint8_t generation[DEPTH * 4];
	_Atomic uint32_t left;
};

/* DEPTH requests on different pieces, reading or writing; then check what was read. */
static void part_round(struct block_device *b, struct part *p, uint64_t first, uint64_t *seed)
{
	unsigned start = (unsigned)kt_random(seed), writes = (unsigned)kt_random(seed);
	for (unsigned i = 0; i < DEPTH; i++) {
		unsigned piece = p->piece[i] = (start + i * 5) % ARRAY_SIZE(p->generation);
		uint64_t sector = first + piece * PAGE_SECTORS;
		bool write = (writes >> i & 1) || !p->generation[piece];
		if (write) {
			p->generation[piece] = (uint8_t)(1 + kt_random(seed) % 200);
			fill(page_to_virt(p->pages[i]), sector, PAGE_SECTORS, p->generation[piece]);
		} else {
			memset(page_to_virt(p->pages[i]), 0, PAGE_SIZE);
		}
		p->flights[i].segment = (struct block_segment){p->pages[i], 0, PAGE_SIZE};
		fly(b, &p->flights[i], write ? BLOCK_WRITE : BLOCK_READ, sector, &p->left);
	}
	check_flights(p->flights, DEPTH, &p->left);
	for (unsigned i = 0; i < DEPTH; i++)
		KT_CHECK_EQ(differences(page_to_virt(p->pages[i]), first + p->piece[i] * PAGE_SECTORS,
				PAGE_SECTORS, p->generation[p->piece[i]]),
		    0);
}

static void part_worker(struct worker *w)
{
	struct part *p = kzalloc(sizeof(*p));
	uint64_t seed = 77 + w->i, first = FREE_FIRST + 2304 + w->i * DEPTH * 4ULL * PAGE_SECTORS;
	bool ready = p;
	for (unsigned i = 0; ready && i < DEPTH; i++)
		ready = (p->pages[i] = frame_alloc(PAGE_KERNEL, 0));
	KT_CHECK(ready);
	for (unsigned round = 0; ready && round < ROUNDS; round++)
		part_round(w->shared, p, first, &seed);
	for (unsigned i = 0; p && i < DEPTH; i++)
		if (p->pages[i])
			frame_free(p->pages[i]);
	kfree(p);
}

KTEST(blk_many)
{
	struct block_device *b = scratch_disk();
	if (b)
		KT_CHECK(crew_run(MIN(crew_size(), 8u), part_worker, b));
}

/* -- limits ---------------------------------------------------------------------------------------------- */

KTEST(blk_edges)
{
	struct block_device *b = scratch_disk();
	char *p = b ? kzalloc(PAGE_SIZE) : NULL;
	if (!b)
		return;
	KT_REQUIRE(p);
	KT_CHECK_EQ(block_read(b, DISK_SECTORS - 1, p, SECTOR_SIZE), 0);
	KT_CHECK(!differences(p, DISK_SECTORS - 1, 1, 1) || !differences(p, DISK_SECTORS - 1, 1, 2));
	KT_CHECK_EQ(block_read(b, DISK_SECTORS - 2, p, 2 * SECTOR_SIZE), 0);
	KT_CHECK_EQ(block_read(b, DISK_SECTORS, p, SECTOR_SIZE), -EIO);
	KT_CHECK_EQ(block_read(b, DISK_SECTORS - 1, p, 2 * SECTOR_SIZE), -EIO);
	KT_CHECK_EQ(block_write(b, DISK_SECTORS - 1, p, 2 * SECTOR_SIZE), -EIO);
	KT_CHECK_EQ(block_read(b, UINT64_MAX, p, 2 * SECTOR_SIZE), -EIO);
	KT_CHECK_EQ(block_read(b, 0, p, SECTOR_SIZE - 1), -EINVAL);
	KT_CHECK_EQ(block_read(b, 0, p, 0), 0);
	kfree(p);
}

KTEST(blk_nonsense)
{
	struct block_device *b = scratch_disk();
	struct page *page = b ? frame_alloc(PAGE_KERNEL, 0) : NULL;
	if (!b)
		return;
	KT_REQUIRE(page);
	struct block_segment good = {page, 0, SECTOR_SIZE}, beyond = {page, PAGE_SIZE - 1, SECTOR_SIZE};
	struct block_segment empty = {page, 0, 0}, none = {NULL, 0, SECTOR_SIZE}, odd = {page, 0, 100};
	KT_CHECK_EQ(request(b, BLOCK_READ, 0, &good, 1), 0);
	KT_CHECK_EQ(request(b, BLOCK_READ, 0, &good, 0), -EINVAL);
	KT_CHECK_EQ(request(b, BLOCK_READ, 0, &beyond, 1), -EINVAL);
	KT_CHECK_EQ(request(b, BLOCK_READ, 0, &empty, 1), -EINVAL);
	KT_CHECK_EQ(request(b, BLOCK_READ, 0, &none, 1), -EINVAL);
	KT_CHECK_EQ(request(b, BLOCK_WRITE, 0, &odd, 1), -EINVAL);
	KT_CHECK_EQ(request(b, BLOCK_READ, 0, &good, b->max_segments + 1), -EINVAL);
	KT_CHECK_EQ(request(b, BLOCK_FLUSH, 0, &good, 1), -EINVAL);
	KT_CHECK_EQ(request(b, (enum block_op)99, 0, &good, 1), -EINVAL);
	KT_CHECK(!block_find("vdzz") && !block_find(""));
	frame_free(page);
}

/* Two sectors in pieces of odd lengths at odd offsets, out and back in by different pieces. */
KTEST(blk_segments)
{
	enum { AT = FREE_FIRST + 400 };
	struct block_device *b = scratch_disk();
	struct page *out = b ? frame_alloc(PAGE_KERNEL, 0) : NULL,
		    *in = b ? frame_alloc(PAGE_KERNEL, 0) : NULL;
	if (!b)
		return;
	KT_REQUIRE(out && in);
	char *o = page_to_virt(out), *i = page_to_virt(in);
	fill(o, AT, PAGE_SECTORS, 5);
	memset(i, 0, PAGE_SIZE);
	const struct block_segment write[] = {{out, 1, 3}, {out, 4, 700}, {out, 2001, 1}, {out, 3000, 320}};
	const struct block_segment read[] = {{in, 10, 512}, {in, 4095, 1}, {in, 1000, 511}};
	KT_CHECK_EQ(request(b, BLOCK_WRITE, AT, write, ARRAY_SIZE(write)), 0);
	KT_CHECK_EQ(request(b, BLOCK_READ, AT, read, ARRAY_SIZE(read)), 0);
	KT_CHECK(!memcmp(i + 10, o + 1, 512));
	KT_CHECK_EQ(i[4095], o[513]);
	KT_CHECK(!memcmp(i + 1000, o + 514, 190));
	KT_CHECK_EQ(i[1190], o[2001]);
	KT_CHECK(!memcmp(i + 1191, o + 3000, 320));
	KT_CHECK_EQ(i[9] | i[522] | i[999] | i[1511], 0);
	frame_free(in);
	frame_free(out);
}

/* As many segments as a request may have, none next to the other. */
KTEST(blk_full_table)
{
	enum { AT = FREE_FIRST + 500, MOST = 62 };
	struct block_device *b = scratch_disk();
	struct block_segment s[MOST];
	struct page *pages[MOST] = {NULL};
	unsigned n = b ? MIN(b->max_segments, (unsigned)MOST) : 0;
	for (unsigned i = 0; i < n; i++) {
		pages[i] = frame_alloc(PAGE_KERNEL, 0);
		KT_REQUIRE(pages[i]);
		fill(page_to_virt(pages[i]), AT + i, 1, 6);
		s[i] = (struct block_segment){pages[i], 0, SECTOR_SIZE};
	}
	if (b)
		KT_CHECK_EQ(request(b, BLOCK_WRITE, AT, s, n), 0);
	for (unsigned i = 0; i < n; i++)
		memset(page_to_virt(pages[i]), 0, SECTOR_SIZE);
	if (b)
		KT_CHECK_EQ(request(b, BLOCK_READ, AT, s, n), 0);
	for (unsigned i = 0; i < n; i++) {
		KT_CHECK_EQ(differences(page_to_virt(pages[i]), AT + i, 1, 6), 0);
		frame_free(pages[i]);
	}
}

static err_t write_durably(struct block_device *b, uint64_t sector, struct page *page)
{
	struct block_segment s = {page, 0, SECTOR_SIZE};
	struct block_request r;
	block_request_init(&r, BLOCK_WRITE, sector);
	r.flags = BLOCK_FUA;
	r.segments = &s;
	r.nsegments = 1;
	block_submit(b, &r);
	return block_wait(&r);
}

KTEST(blk_errors)
{
	struct block_device *b = scratch_disk();
	if (!b || !has_errors())
		return b ? kt_skip("no errors are injected") : (void)0;
	struct page *page = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	KT_REQUIRE(page);
	check_flush(b);
	check_flush(b);
	uint64_t before = load_relaxed(&b->errors);
	struct block_segment s = {page, 0, SECTOR_SIZE};
	for (unsigned i = 0; i < 3; i++) {
		KT_CHECK_EQ(request(b, BLOCK_READ, BAD_READ, &s, 1), -EIO);
		KT_CHECK_EQ(request(b, BLOCK_READ, BAD_READ + 1, &s, 1), 0);
		KT_CHECK_EQ(request(b, BLOCK_WRITE, BAD_WRITE, &s, 1), -EIO);
		KT_CHECK_EQ(request(b, BLOCK_WRITE, BAD_WRITE + 1, &s, 1), 0);
		KT_CHECK_EQ(write_durably(b, BAD_WRITE, page), -EIO);
	}
	KT_CHECK_EQ(request(b, BLOCK_WRITE, FULL_WRITE, &s, 1), -EIO); /* no space, once */
	KT_CHECK_EQ(request(b, BLOCK_WRITE, FULL_WRITE, &s, 1), 0);
	KT_CHECK_EQ(load_relaxed(&b->errors) - before, 3 * 3 + 1);
	frame_free(page);
}

KTEST(blk_flush)
{
	struct block_device *b = scratch_disk();
	struct page *page = b ? frame_alloc(PAGE_KERNEL, 0) : NULL;
	if (!b)
		return;
	KT_REQUIRE(page);
	char *p = page_to_virt(page);
	KT_CHECK(b->has_cache);
	check_flush(b);
	fill(p, FREE_FIRST, 1, 8);
	KT_CHECK_EQ(write_durably(b, FREE_FIRST, page), 0);
	memset(p, 0, SECTOR_SIZE);
	KT_CHECK_EQ(block_read(b, FREE_FIRST, p, SECTOR_SIZE), 0);
	KT_CHECK_EQ(differences(p, FREE_FIRST, 1, 8), 0);
	frame_free(page);
}

KTEST(blk_discard)
{
	enum { AT = FREE_FIRST + 600, N = 64 };
	struct block_device *b = scratch_disk();
	if (!b)
		return;
	KT_REQUIRE(b->max_discard && b->max_zeroes);
	uint64_t *p = kmalloc(N * SECTOR_SIZE), sum = 0;
	struct block_request r;
	KT_REQUIRE(p);
	check_flush(b);
	fill(p, AT, N, 9);
	KT_CHECK_EQ(block_write(b, AT, p, N * SECTOR_SIZE), 0);
	block_request_init(&r, BLOCK_WRITE_ZEROES, AT);
	r.nsectors = N;
	r.flags = BLOCK_FUA;
	block_submit(b, &r);
	KT_CHECK_EQ(block_wait(&r), 0);
	KT_CHECK_EQ(block_read(b, AT, p, N * SECTOR_SIZE), 0);
	for (unsigned i = 0; i < N * SECTOR_WORDS; i++)
		sum |= p[i];
	KT_CHECK_EQ(sum, 0);
	KT_CHECK_EQ(block_discard(b, AT, N), 0);
	KT_CHECK_EQ(block_discard(b, DISK_SECTORS - 1, 2), -EIO);
	kfree(p);
}

/* The second disk, where there is one, may not be written. */
KTEST(blk_read_only)
{
	struct block_device *b = block_find("vdb");
	if (!b)
		return kt_skip("no second disk");
	char *p = kzalloc(SECTOR_SIZE);
	KT_REQUIRE(p);
	KT_CHECK(b->read_only && block_at(1) == b && !block_at(2));
	KT_CHECK_EQ(block_write(b, 7, p, SECTOR_SIZE), -EROFS);
	KT_CHECK_EQ(block_discard(b, 7, 1), b->max_discard ? -EROFS : -ENOTSUP);
	KT_CHECK_EQ(block_read(b, 7, p, SECTOR_SIZE), 0);
	KT_CHECK_EQ(differences(p, 7, 1, 1), 0);
	kfree(p);
}

KTEST(blk_mark)
{
	enum { PIECE = 128 };
	struct block_device *b = scratch_disk();
	char *p = b ? kmalloc(PIECE * SECTOR_SIZE) : NULL;
	if (!b)
		return;
	KT_REQUIRE(p);
	for (uint64_t s = MARK_FIRST; s < FREE_FIRST; s += PIECE) {
		fill(p, s, PIECE, 2);
		KT_CHECK_EQ(block_write(b, s, p, PIECE * SECTOR_SIZE), 0);
	}
	fill(p, DISK_SECTORS - 1, 1, 2);
	KT_CHECK_EQ(block_write(b, DISK_SECTORS - 1, p, SECTOR_SIZE), 0);
	check_flush(b);
	kfree(p);
}
