/*
 * test_lru.c - what the page cache keeps when it cannot keep everything: hit rates of the real lists against
 * plain least-recently-used order, on the same accesses and with as many pages.
 */
#include "vm_test.h"

enum { FILE_PAGES = 20000, CACHE = 2000, WARM = 3 };

static err_t read_pages(UNUSED struct vm_object *o, UNUSED pgidx_t idx, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
	return 0;
}

static const struct vm_file_ops ops = {.read = read_pages};
/* Of one page each: nothing is read ahead, so that both sides are asked for the same pages. */
static struct vm_object *files[FILE_PAGES];

static void begin(void)
{
	for (unsigned i = 0; i < FILE_PAGES; i++)
		MUST(object_create_file(&ops, NULL, 1, &files[i]));
}

static uint64_t cached_pages(void)
{
	struct pressure_stats s;
	vm_pressure_stats(&s);
	return s.active + s.inactive;
}

/* One access, and the cache is held to its size as by a machine of so much memory. True: a hit. */
static bool touch(unsigned page)
{
	struct vm_pin pin;
	bool hit = !object_is_absent(files[page], 0);
	MUST(object_pin(files[page], 0, false, &pin));
	vm_unpin(&pin);
	uint64_t n = cached_pages();
	if (n > CACHE)
		(void)vm_reclaim(n - CACHE);
	return hit;
}

/* --- the same by the book --- */

static unsigned stamps[FILE_PAGES], now, held;

static void book_begin(void)
{
	memset(stamps, 0, sizeof(stamps));
	now = held = 0;
}

static void book_evict(void)
{
	unsigned oldest = 0;
	for (unsigned i = 1; i < FILE_PAGES; i++)
		if (stamps[i] && (!stamps[oldest] || stamps[i] < stamps[oldest]))
			oldest = i;
	stamps[oldest] = 0;
	held--;
}

static bool book_touch(unsigned page)
{
	bool hit = stamps[page] != 0;
	held += !hit;
	stamps[page] = ++now;
	if (held > CACHE)
		book_evict();
	return hit;
}

/* --- accesses --- */

struct rates {
	unsigned accesses, hits, book;
};

static void use(struct rates *r, unsigned page)
{
	r->accesses++;
	r->hits += touch(page);
	r->book += book_touch(page);
}

static void start(void)
{
	begin();
	book_begin();
}

static void finish(void)
{
	for (unsigned i = 0; i < FILE_PAGES; i++)
		object_put(files[i]);
}

static void tell(const char *what, const struct rates *r)
{
	printf("# %s: %u of %u hits, by the book %u\n", what, r->hits, r->accesses, r->book);
}

/* A hot set of half the cache, then a file five times the cache is read once, then the hot set again. */
HOST_TEST(a_scan_leaves_the_hot_set)
{
	struct rates hot = {0}, ignored = {0};
	start();
	for (unsigned round = 0; round < WARM; round++)
		for (unsigned i = 0; i < CACHE / 2; i++)
			use(&ignored, i);
	for (unsigned i = 0; i < 5 * CACHE; i++)
		use(&ignored, CACHE + i);
	for (unsigned i = 0; i < CACHE / 2; i++)
		use(&hot, i);
	tell("hot set after a scan", &hot);
	CHECK_EQ(hot.book, 0); /* this is what is to be avoided */
	CHECK(hot.hits >= hot.accesses * 9 / 10);
	finish();
}

/* While the scan goes on, the hot set is used: one access of it for two of the scan. */
HOST_TEST(a_scan_alongside_the_hot_set)
{
	struct rates hot = {0}, ignored = {0};
	start();
	for (unsigned i = 0; i < 8 * CACHE; i++) {
		use(i < CACHE ? &ignored : &hot, i / 2 % 900 * 17 % 900);
		use(&ignored, CACHE + 2 * i % (FILE_PAGES - CACHE - 1));
		use(&ignored, CACHE + (2 * i + 1) % (FILE_PAGES - CACHE - 1));
	}
	tell("hot set during a scan", &hot);
	CHECK(hot.hits > hot.book);
	CHECK(hot.hits >= hot.accesses * 8 / 10);
	finish();
}

/* A set larger than the inactive list, used in a circle, once a turn: only ghosts can tell that its pages are
 * worth more than those that came before and are used no more. */
HOST_TEST(a_new_working_set_replaces_the_old_one)
{
	struct rates fresh = {0}, ignored = {0};
	start();
	for (unsigned round = 0; round < 2 * WARM; round++)
		for (unsigned i = 0; i < CACHE * 9 / 10; i++)
			use(&ignored, i);
	for (unsigned round = 0; round < 12; round++)
		for (unsigned i = 0; i < CACHE * 9 / 10; i++)
			use(round < 6 ? &ignored : &fresh, CACHE + i);
	tell("new working set", &fresh);
	CHECK(fresh.hits >= fresh.accesses * 8 / 10);
	finish();
}

static uint32_t seed = 1;

/* Small numbers more often: the product of two even ones. */
static unsigned skewed(unsigned end)
{
	seed = seed * 1664525 + 1013904223;
	uint64_t a = seed >> 8 & 0xffff;
	seed = seed * 1664525 + 1013904223;
	uint64_t b = seed >> 8 & 0xffff;
	return (unsigned)(a * b * end >> 32);
}

/* What usually happens is not worse than by the book. */
HOST_TEST(skewed_accesses)
{
	struct rates r = {0};
	start();
	for (unsigned i = 0; i < 60000; i++)
		use(&r, skewed(8000));
	tell("skewed accesses", &r);
	CHECK(r.hits >= r.book * 95 / 100);
	finish();
}

/* Pages that cannot be taken do not stand in the way of those that can. */
HOST_TEST(counts_add_up)
{
	struct pressure_stats s;
	start();
	struct rates ignored = {0};
	for (unsigned i = 0; i < 3 * CACHE; i++)
		use(&ignored, i % (2 * CACHE));
	vm_pressure_stats(&s);
	uint64_t here = 0;
	for (unsigned i = 0; i < FILE_PAGES; i++)
		here += !object_is_absent(files[i], 0);
	CHECK_EQ(s.active + s.inactive, here);
	finish();
	vm_pressure_stats(&s);
	CHECK_EQ(s.active + s.inactive, 0);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 8192);
}
