/*
 * test_frame.c - the frame allocator against a model with one byte for each frame, on memory maps as firmware
 * gives them.
 *
 * Records of blocks without memory are made inaccessible, those of blocks not yet opened are filled with
 * garbage: whoever looks at them too early crashes or trips.
 */
#include "frame_env.h"

/* The lists that the model's free frames must form: maximal naturally aligned blocks. */
static void assert_coalesced(void)
{
	struct snapshot s = snapshot();
	uint64_t expect[NZONES][FRAME_MAX_ORDER + 1] = {0};
	for (uint64_t pfn = 1; pfn < NFRAMES;) {
		if (!(pfn % BLOCK_FRAMES) && !memchr(model + pfn, FREE, BLOCK_FRAMES)) {
			pfn += BLOCK_FRAMES;
			continue;
		}
		unsigned k = model[pfn] == FREE ? FRAME_MAX_ORDER : 0;
		while (k && (!IS_ALIGNED(pfn, 1ULL << k) || memchr(model + pfn, NOT_OURS, 1ULL << k) ||
				memchr(model + pfn, USED, 1ULL << k)))
			k--;
		expect[zone_of(pfn)][k] += model[pfn] == FREE;
		pfn += 1ULL << k;
	}
	for (unsigned i = 0; i < NZONES; i++) {
		for (unsigned k = 0; k <= FRAME_MAX_ORDER; k++)
			assert_int_equal(s.zones[i].free_by_order[k], expect[i][k]);
	}
}

/* ---------------------------------------------------------------- maps */

static struct page **take_all(uint64_t *n, unsigned flags)
{
	struct page **all = malloc(frame_total_count() * sizeof *all), *p;
	for (*n = 0; (p = frame_alloc(PAGE_ANON, flags)); ++*n) {
		model_take(p, 1);
		all[*n] = p;
	}
	return all;
}

static void give_all(struct page **all, uint64_t n)
{
	for (uint64_t i = n; i > 1; i--) {
		uint64_t j = below(i);
		struct page *p = all[j];
		all[j] = all[i - 1];
		all[i - 1] = p;
	}
	for (uint64_t i = 0; i < n; i++) {
		model_give(all[i], 1);
		frame_free(all[i]);
	}
	free(all);
}

static void every_frame_of_every_map_is_reachable(void **state UNUSED)
{
	for (unsigned i = 0; i < ARRAY_SIZE(maps); i++) {
		start(&maps[i]);
		uint64_t n, usable = model_count(FREE);
		assert_int_equal(frame_total_count(), usable + 1); /* and the zero page */
		assert_int_equal(frame_free_count(), usable);
		struct snapshot before = snapshot();
		struct page **all = take_all(&n, FRAME_RESERVE);
		assert_int_equal(n, usable);
		assert_int_equal(model_count(FREE), 0);
		assert_int_equal(frame_free_count(), 0);
		assert_null(frame_alloc_order(PAGE_KERNEL, 1, FRAME_RESERVE));
		frame_validate();
		give_all(all, n);
		struct snapshot after = snapshot();
		assert_same(&before, &after);
		assert_coalesced();
	}
}

static void sixteen_gib_to_the_last_frame(void **state UNUSED)
{
	start(&map_16g);
	uint64_t usable = model_count(FREE), n = 0;
	assert_int_equal(frame_total_count(), usable + 1);
	assert_int_equal(
	    load_relaxed((_Atomic unsigned char *)&page_records[ZONE_LOW_END + BLOCK_FRAMES].state), 0xa5);
	struct page *p, *first = NULL;
	for (; (p = frame_alloc(PAGE_ANON, FRAME_RESERVE)); n++) {
		model_take(p, 1);
		if (!first)
			first = p;
		else if (n + 1 < usable && page_to_pfn(p) < ZONE_LOW_END)
			break; /* the high zone goes first */
	}
	assert_true(page_to_pfn(first) >= ZONE_LOW_END);
	model_give(p, 1);
	assert_int_equal(n, (0x43fff0000 - GIB(4)) / PAGE_SIZE - 1); /* all of it but the zero page */
	frame_free(p);
	uint64_t rest;
	struct page **low = take_all(&rest, FRAME_RESERVE);
	assert_int_equal(n + rest, usable);
	free(low);
}

/* What nobody asked for is not touched: 16 GiB start with the records of one block. */
static void blocks_are_opened_one_at_a_time(void **state UNUSED)
{
	start(&map_16g);
	uint64_t opened = 0;
	for (uint64_t base = 0; base < NFRAMES; base += BLOCK_FRAMES) {
		if (memchr(model + base, FREE, BLOCK_FRAMES))
			opened +=
			    load_relaxed(&page_records[base + BLOCK_FRAMES - 1].state) != 0xa5a5a5a5a5a5a5a5;
	}
	assert_int_equal(opened, 1);
	struct zone_stats high;
	frame_zone_stats(ZONE_HIGH, &high);
	assert_int_equal(high.free, high.total - 1);
	assert_true(high.free_by_order[FRAME_MAX_ORDER] >= high.total / BLOCK_FRAMES - 1);
	uint64_t counts[PAGE_KINDS], sum = 0;
	frame_count_kinds(counts);
	for (unsigned k = 0; k < PAGE_KINDS; k++)
		sum += counts[k];
	assert_int_equal(sum, frame_total_count());
	assert_int_equal(counts[PAGE_RESERVED], 1); /* the zero page */
	assert_true(counts[PAGE_VIRGIN] > high.total - 2 * BLOCK_FRAMES);
}

static void memory_that_comes_later_is_used(void **state UNUSED)
{
	static const struct map m = {
	    "late", {{0x100000, 0x180000}, {0x800000, 0xc00000}, {0x1000000, 0x1001000}}};
	start(&m);
	uint64_t n;
	struct page **all = take_all(&n, FRAME_RESERVE);
	/* A hole in an open block; a block between; the end of one block and the start of the next, open,
	 * one. */
	static const struct frame_run late[] = {{0x180, 0x190}, {0x450, 0x453}, {0xc00, 0xc08},
	    {0xffd, 0x1000}, {0x1001, 0x1400}, {0x1400, 0x1402}};
	assert_int_equal(
	    mprotect(page_records, MIB(32) / PAGE_SIZE * sizeof(struct page), PROT_READ | PROT_WRITE), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(late); i++) {
		uint64_t len = late[i].end - late[i].first, total = frame_total_count();
		memset(model + late[i].first, FREE, len);
		frame_add_range(late[i].first, late[i].end);
		assert_int_equal(frame_total_count(), total + len);
		assert_int_equal(frame_free_count(), model_count(FREE));
		frame_validate();
	}
	uint64_t more;
	struct page **extra = take_all(&more, FRAME_RESERVE);
	assert_int_equal(model_count(FREE), 0);
	give_all(extra, more);
	give_all(all, n);
	assert_coalesced();
}

/* ---------------------------------------------------------------- model */

struct held {
	struct page *p;
	uint64_t n;
	int order; /* -1: frame_alloc_contiguous */
	enum page_kind kind;
	uint64_t tag;
};

#ifdef __SANITIZE_THREAD__ /* one thread, and slow: it is there for the others */
enum { HELD_MAX = 3000, MODEL_STEPS = 900 };
#else
enum { HELD_MAX = 3000, MODEL_STEPS = 6000 };
#endif
static struct held held[HELD_MAX];
static unsigned nheld;

static void stamp(struct held *h)
{
	for (uint64_t i = 0; i < h->n; i++) {
		uint64_t *words = page_to_virt(&h->p[i]);
		words[0] = h->tag + i;
		words[PAGE_SIZE / 8 - 1] = ~(h->tag + i);
	}
}

static void check_stamp(const struct held *h)
{
	for (uint64_t i = 0; i < h->n; i++) {
		uint64_t *words = page_to_virt(&h->p[i]);
		assert_int_equal(words[0], h->tag + i);
		assert_int_equal(words[PAGE_SIZE / 8 - 1], ~(h->tag + i));
	}
}

static void hold(struct page *p, uint64_t n, int order, enum page_kind kind, unsigned flags)
{
	struct held *h = &held[nheld++];
	*h = (struct held){p, n, order, kind, random_u64(&seed)};
	model_take(p, n);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(page_kind(&p[i]), kind);
		assert_int_equal(page_shares(&p[i]) | page_pins(&p[i]), 0);
		if (flags & FRAME_ZERO) {
			const unsigned char *bytes = page_to_virt(&p[i]);
			assert_true(bytes[0] == 0 && !memcmp(bytes, bytes + 1, PAGE_SIZE - 1));
		}
	}
	assert_int_equal(page_order(p), MAX(order, 0));
	stamp(h);
}

/* Is there an aligned free block of the model that a request for n frames must find? */
static bool model_has(uint64_t n, uint64_t align, uint64_t limit)
{
	uint64_t size = 1ULL << order_of(n), step = MAX(size, align);
	for (uint64_t pfn = step; pfn + n <= MIN(limit, NFRAMES); pfn += step) {
		const unsigned char *next = memchr(model + pfn, FREE, NFRAMES - pfn);
		if (!next)
			return false;
		pfn = ALIGN_UP((uint64_t)(next - model), step);
		if (pfn + n > MIN(limit, NFRAMES))
			return false;
		if (model[pfn] == FREE && !memchr(model + pfn, NOT_OURS, size) &&
		    !memchr(model + pfn, USED, size))
			return true;
	}
	return false;
}

static unsigned some_flags(void)
{
	return FRAME_RESERVE | (below(8) ? 0 : FRAME_LOW) | (below(16) ? 0 : FRAME_ZERO);
}

static uint64_t flag_limit(unsigned flags)
{
	return flags & FRAME_LOW ? ZONE_LOW_END : NFRAMES;
}

static void op_alloc(void)
{
	unsigned flags = some_flags(), order = below(3) ? 0 : (unsigned)below(FRAME_MAX_ORDER + 1);
	enum page_kind kind = PAGE_KERNEL + below(PAGE_KINDS - PAGE_KERNEL);
	struct page *p = frame_alloc_order(kind, order, flags);
	if (p) {
		assert_true(IS_ALIGNED(page_to_pfn(p), 1ULL << order));
		assert_true(page_to_pfn(p) + (1ULL << order) <= flag_limit(flags));
		hold(p, 1ULL << order, (int)order, kind, flags);
	} else {
		assert_false(model_has(1ULL << order, 1, flag_limit(flags)));
	}
}

static void op_contiguous(void)
{
	unsigned flags = some_flags();
	uint64_t n = 1 + below(below(8) ? 40 : BLOCK_FRAMES), align = 1ULL << below(below(8) ? 4 : 13);
	uint64_t limit = below(2) ? 0 : below(NFRAMES << PAGE_SHIFT);
	if (limit && below(2))
		limit = below(MIB(64));
	uint64_t end = limit ? MIN(limit >> PAGE_SHIFT, flag_limit(flags)) : flag_limit(flags);
	struct page *p = frame_alloc_contiguous(PAGE_KERNEL, n, align << PAGE_SHIFT, limit, flags);
	if (p) {
		assert_true(IS_ALIGNED(page_to_pfn(p), align) && page_to_pfn(p) + n <= end);
		hold(p, n, -1, PAGE_KERNEL, flags);
	} else {
		assert_false(model_has(n, align, end));
	}
}

static void op_batch(void)
{
	struct page *pages[64];
	unsigned flags = some_flags(),
		 n = frame_alloc_batch(PAGE_ANON, flags, pages, 1 + (unsigned)below(64));
	assert_true(n <= 64);
	for (unsigned i = 0; i < n; i++) {
		assert_true(page_to_pfn(pages[i]) < flag_limit(flags));
		hold(pages[i], 1, 0, PAGE_ANON, flags);
	}
}

/* n frames in a row, each of which is freed alone. */
static void hold_row(struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_ptr_equal(pages[i], pages[0] + i);
		hold(pages[i], 1, 0, PAGE_ANON, 0);
	}
}

static void op_large(void)
{
	struct page *pages[64];
	unsigned n = frame_alloc_large(PAGE_ANON, 0, pages, 1 + (unsigned)below(64));
	if (n)
		assert_true(IS_ALIGNED(page_to_pfn(pages[0]), MMU_LARGE_PAGES));
	hold_row(pages, n);
}

/* From a frame on that is somewhere behind one in use: as far as nobody else has them, and the caches of CPUs
 * neither. */
static void op_at(void)
{
	struct page *pages[64];
	if (!nheld)
		return;
	uint64_t pfn = page_to_pfn(held[below(nheld)].p),
		 end = ALIGN_DOWN(pfn, MMU_LARGE_PAGES) + MMU_LARGE_PAGES;
	pfn += below(end - pfn);
	unsigned want = (unsigned)MIN(1 + below(64), end - pfn);
	unsigned n = frame_alloc_at(PAGE_ANON, 0, pfn_to_page(pfn), pages, want);
	assert_true(n <= want && (!n || page_to_pfn(pages[0]) == pfn));
	hold_row(pages, n);
}

/* A contiguous run goes back in one piece, in two, or frame by frame. */
static void free_held(struct held *h)
{
	check_stamp(h);
	model_give(h->p, h->n);
	if (h->order >= 0) {
		frame_free_order(h->p, (unsigned)h->order);
	} else if (below(2)) {
		uint64_t cut = below(h->n + 1);
		if (cut)
			frame_free_range(h->p, cut);
		if (cut < h->n)
			frame_free_range(h->p + cut, h->n - cut);
	} else {
		for (uint64_t i = 0; i < h->n; i++)
			frame_free(&h->p[i]);
	}
}

static void op_free(void)
{
	if (!nheld)
		return;
	unsigned i = (unsigned)below(nheld);
	free_held(&held[i]);
	held[i] = held[--nheld];
}

static void random_requests_match_the_model(void **state UNUSED)
{
	static const unsigned which[] = {0, 2, 3, 4, 5};
	for (unsigned m = 0; m < ARRAY_SIZE(which); m++) {
		start(&maps[which[m]]);
		struct snapshot before = snapshot();
		nheld = 0;
		for (unsigned i = 0; i < MODEL_STEPS; i++) {
			/* Phases that fill and phases that empty. */
			bool fill = (i / (MODEL_STEPS / 6)) % 2 == 0;
			uint64_t dice = below(100);
			if (nheld > HELD_MAX - 64 || dice < (fill ? 25 : 65))
				op_free();
			else if (dice < 85)
				op_alloc();
			else if (dice < 88)
				op_batch();
			else if (dice < 90)
				op_large();
			else if (dice < 93)
				op_at();
			else
				op_contiguous();
			if (i % 512 == 0) {
				frame_validate();
				assert_int_equal(frame_free_count(), model_count(FREE));
			}
		}
		assert_coalesced();
		while (nheld)
			op_free();
		struct snapshot after = snapshot();
		assert_same(&before, &after);
	}
}

/* ---------------------------------------------------------------- shortage */

static void ordinary_requests_leave_the_reserve(void **state UNUSED)
{
	start(&maps[0]);
	struct zone_stats z;
	frame_zone_stats(ZONE_LOW, &z);
	assert_int_equal(z.min, z.total / 128);
	assert_true(z.min < z.low && z.low < z.high);
	assert_false(frame_is_low());
	uint64_t n, more;
	struct page **all = take_all(&n, 0);
	assert_true(frame_is_low());
	assert_int_equal(frame_free_count(), z.min);
	assert_null(frame_alloc_order(PAGE_KERNEL, 3, 0));
	assert_null(frame_alloc_contiguous(PAGE_KERNEL, 2, PAGE_SIZE, 0, 0));
	struct page **reserve = take_all(&more, FRAME_RESERVE);
	assert_int_equal(more, z.min);
	give_all(reserve, more);
	give_all(all, n);
	assert_false(frame_is_low());
	assert_coalesced();
}

/* Frames that it would be nice to have: in large blocks, the zone above first, and no zone goes below its
 * high watermark. */
static void batches_take_what_is_plentiful(void **state UNUSED)
{
	for (unsigned m = 0; m < 5; m += 4) {
		start(&maps[m]);
		struct page *pages[64];
		struct zone_stats z;
		unsigned n = frame_alloc_batch(PAGE_ANON, FRAME_ZERO, pages, 64);
		assert_int_equal(n, 64);
		for (unsigned i = 0; i < n; i++) {
			assert_ptr_equal(pages[i], pages[0] + i);
			assert_true(page_to_pfn(pages[i]) >= pcp_normal_first);
		}
		for (; n; n = frame_alloc_batch(PAGE_ANON, 0, pages, 1 + (unsigned)below(64))) {
			for (unsigned i = 0; i < n; i++) {
				assert_int_equal(page_kind(pages[i]), PAGE_ANON);
				model_take(pages[i], 1);
			}
			frame_validate();
		}
		for (unsigned i = 0; i < NZONES; i++) {
			frame_zone_stats(i, &z);
			assert_int_equal(z.free - z.cached, z.high);
		}
		assert_int_equal(frame_free_count(), model_count(FREE));
		assert_non_null(frame_alloc(PAGE_ANON, 0)); /* others go on */
	}
}

static void low_requests_stay_below_4g(void **state UNUSED)
{
	start(&maps[4]);
	struct page *p, *high = frame_alloc(PAGE_ANON, FRAME_RESERVE);
	assert_true(page_to_phys(high) >= GIB(4));
	uint64_t n = 0, low_frames = (GIB(4) - 0xffe01000) / PAGE_SIZE;
	while ((p = frame_alloc(PAGE_ANON, FRAME_RESERVE | FRAME_LOW))) {
		assert_true(page_to_phys(p) < GIB(4));
		n++;
	}
	assert_int_equal(n, low_frames);
	assert_null(frame_alloc_order(PAGE_ANON, 2, FRAME_RESERVE | FRAME_LOW));
	assert_non_null(frame_alloc_order(PAGE_ANON, 2, FRAME_RESERVE));
}

/* Run fn(arg) on a CPU of its own, which then is gone and leaves its caches as they are. */
static void on_another_cpu(void *(*fn)(void *arg), void *arg)
{
	pthread_t id;
	host_cpu_idle();
	assert_int_equal(pthread_create(&id, NULL, fn, arg), 0);
	pthread_join(id, NULL);
	host_cpu_resume();
}

struct other {
	struct page *p[PCP_SLOTS];
};

static void *free_them(void *arg)
{
	struct other *o = arg;
	for (unsigned k = 0; k < PCP_SLOTS; k++)
		frame_free(o->p[k]);
	return NULL;
}

/* Frames in the cache of a CPU that does nothing are the last ones left; and they keep a block apart. */
static void frames_cached_elsewhere_are_found(void **state UNUSED)
{
	static const struct map m = {"small", {{0x400000, 0x500000}}};
	for (unsigned blocks = 0; blocks < 2; blocks++) {
		start(&m);
		uint64_t n;
		struct page **all = take_all(&n, FRAME_RESERVE);
		struct other o;
		assert_true(n > PCP_SLOTS);
		for (unsigned k = 0; k < PCP_SLOTS; k++)
			o.p[k] = pfn_to_page(0x440 + k);
		model_give(o.p[0], PCP_SLOTS);
		on_another_cpu(free_them, &o);
		struct zone_stats z;
		frame_zone_stats(ZONE_LOW, &z);
		assert_int_equal(z.cached, PCP_SLOTS);
		if (blocks) {
			struct page *p = frame_alloc_order(PAGE_KERNEL, 5, FRAME_RESERVE);
			assert_non_null(p);
			model_take(p, 32);
		} else {
			for (unsigned k = 0; k < PCP_SLOTS; k++) {
				struct page *p = frame_alloc(PAGE_KERNEL, FRAME_RESERVE);
				assert_non_null(p);
				model_take(p, 1);
			}
			assert_null(frame_alloc(PAGE_KERNEL, FRAME_RESERVE));
		}
		assert_int_equal(frame_free_count(), model_count(FREE));
		free(all);
	}
}

/* The n-th request fails, for n = 1, 2, ...: whoever asked gives back what it had, and nothing is missing. */
static bool several_requests(void)
{
	struct page *single[40], *block = NULL, *run = NULL;
	unsigned n = 0;
	while (n < ARRAY_SIZE(single) && (single[n] = frame_alloc(PAGE_ANON, FRAME_ZERO)))
		n++;
	bool done = n == ARRAY_SIZE(single) && (block = frame_alloc_order(PAGE_KERNEL, 4, 0)) &&
		    (run = frame_alloc_contiguous(PAGE_KERNEL, 11, PAGE_SIZE, MIB(32), 0));
	if (run)
		frame_free_range(run, 11);
	if (block)
		frame_free_order(block, 4);
	while (n)
		frame_free(single[--n]);
	return done;
}

static void injected_failures_leave_nothing(void **state UNUSED)
{
	start(&maps[0]);
	struct snapshot before = snapshot();
	uint64_t n = 0;
	for (bool fired = true; fired;) {
		inject_arm(++n);
		bool done = several_requests();
		fired = inject_fired();
		inject_arm(0);
		assert_int_equal(done, !fired);
		struct snapshot after = snapshot();
		assert_same(&before, &after);
	}
	assert_int_equal(n, 43); /* each request asked once: 40 + 2, and one run without */
}

/* ---------------------------------------------------------------- several CPUs */

enum { WORKERS = 2, WORKER_STEPS = 20000, WORKER_HELD = 300 };

struct shared {
	struct page *_Atomic mailbox[64]; /* frames that change hands between CPUs */
};

static void worker_alloc(struct held *mine, unsigned *n, uint64_t *s)
{
	unsigned order = random_u64(s) % 4 ? 0 : (unsigned)(random_u64(s) % 6);
	struct page *p = frame_alloc_order(PAGE_ANON, order, FRAME_RESERVE);
	if (!p)
		return;
	struct held *h = &mine[(*n)++];
	*h = (struct held){p, 1ULL << order, (int)order, PAGE_ANON, random_u64(s)};
	stamp(h);
}

static void worker(void *arg, unsigned id)
{
	struct shared *sh = arg;
	struct held *mine = calloc(WORKER_HELD, sizeof *mine);
	uint64_t s = 77 + id;
	unsigned n = 0;
	for (unsigned i = 0; i < WORKER_STEPS; i++) {
		if (n < WORKER_HELD && random_u64(&s) % 2)
			worker_alloc(mine, &n, &s);
		else if (n && mine[n - 1].order == 0 && random_u64(&s) % 4 == 0) {
			check_stamp(&mine[--n]);
			struct page *p = exchange_acq_rel(&sh->mailbox[random_u64(&s) % 64], mine[n].p);
			if (p)
				frame_free(p);
		} else if (n) {
			unsigned k = (unsigned)(random_u64(&s) % n);
			check_stamp(&mine[k]);
			frame_free_order(mine[k].p, (unsigned)mine[k].order);
			mine[k] = mine[--n];
		}
		if (i % 1024 == 0)
			frame_drain_all();
		if (i % 8192 == 1)
			frame_validate();
	}
	while (n--)
		frame_free_order(mine[n].p, (unsigned)mine[n].order);
	free(mine);
}

static void two_cpus_end_with_the_same_lists(void **state UNUSED)
{
	static const struct map m = {"4m", {{0x101000, 0x500000}, {0xfff00000, 0x100200000}}};
	static struct shared sh;
	start(&m);
	struct snapshot before = snapshot();
	host_run_cpus(WORKERS, worker, &sh);
	for (unsigned i = 0; i < 64; i++) {
		if (load_relaxed(&sh.mailbox[i]))
			frame_free(load_relaxed(&sh.mailbox[i]));
	}
	struct snapshot after = snapshot();
	assert_same(&before, &after);
	assert_coalesced();
}

/* ---------------------------------------------------------------- records */

static void shares_and_pins_keep_a_frame(void **state UNUSED)
{
	start(&maps[0]);
	uint64_t before = frame_free_count();
	struct page *p = frame_alloc(PAGE_ANON, 0);
	page_share(p);
	page_share(p);
	assert_true(page_pin(p));
	assert_int_equal(page_unshare(p), 0);
	assert_int_equal(page_unshare(p), 0);
	assert_int_equal(page_kind(p), PAGE_ANON); /* the pin */
	assert_int_equal(page_unpin(p), 1);
	assert_int_equal(page_kind(p), PAGE_CACHED);
	p = frame_alloc(PAGE_FILE, 0);
	page_share(p);
	page_set_flag(p, PAGE_REFERENCED);
	for (unsigned i = 0; i < 0xffff; i++)
		assert_true(page_pin(p));
	assert_false(page_pin(p));
	for (unsigned i = 0; i < 0xffff; i++)
		assert_int_equal(page_unpin(p), 0);
	assert_int_equal(page_unshare(p), 1);
	assert_int_equal(frame_free_count(), before);
}

static void free_twice(void *arg)
{
	frame_free(arg);
	frame_free(arg);
}
static void free_only(void *arg)
{
	frame_free(arg);
}
static void free_shared(void *arg)
{
	page_share(arg);
	frame_free(arg);
}
static void free_order_3(void *arg)
{
	frame_free_order(arg, 3);
}
static void free_range_4(void *arg)
{
	frame_free_range(arg, 4);
}
static void drop_share(void *arg)
{
	page_unshare(arg);
}
static void drop_pin(void *arg)
{
	page_unpin(arg);
}
#ifdef CONFIG_DEBUG
static void write_after_free(void *arg)
{
	frame_free(arg);
	((char *)page_to_virt(arg))[1234] = 1;
	for (unsigned i = 0; i < 2 * PCP_SLOTS; i++)
		frame_alloc(PAGE_ANON, 0);
}
#endif

static void misuse_panics(void **state UNUSED)
{
	start(&maps[0]);
	struct page *p = frame_alloc(PAGE_ANON, 0), *block = frame_alloc_order(PAGE_KERNEL, 2, 0);
	struct page *run = frame_alloc_contiguous(PAGE_KERNEL, 4, PAGE_SIZE, 0, 0),
		    *gone = frame_alloc(PAGE_TABLE, 0);
	frame_free(gone);
	assert_true(host_panics(free_twice, p, "kind cached"));
	assert_true(host_panics(free_only, gone, "not in use"));
	assert_true(host_panics(free_only, zero_page, "kind reserved"));
	assert_true(host_panics(free_only, block, "order 2"));
	assert_true(host_panics(free_shared, p, "shares 1"));
	assert_true(host_panics(free_order_3, block, "another order"));
	assert_true(host_panics(drop_share, p, "nobody had"));
	assert_true(host_panics(drop_pin, p, "nobody had"));
#ifdef CONFIG_DEBUG
	assert_true(host_panics(write_after_free, p, "written to"));
#endif
	frame_free(run + 2);
	assert_true(host_panics(free_range_4, run, "not in use"));
}

/* ---------------------------------------------------------------- five known bugs of bitmap allocators */

/* Freeing n frames with a loop that counted the wrong way. */
static void bug_free_loop_direction(void **state UNUSED)
{
	start(&maps[0]);
	for (uint64_t n = 1; n <= 64; n++) {
		uint64_t before = frame_free_count();
		struct page *p = frame_alloc_contiguous(PAGE_KERNEL, n, PAGE_SIZE, 0, 0);
		model_take(p, n);
		assert_int_equal(frame_free_count(), before - n);
		model_give(p, n);
		frame_free_range(p, n);
		assert_int_equal(frame_free_count(), before);
	}
	assert_coalesced();
}

/* Saying that as many frames were had as were asked for. */
static void bug_requested_instead_of_actual(void **state UNUSED)
{
	static const struct map m = {
	    "short-runs", {{0x400000, 0x403000}, {0x410000, 0x415000}, {0x420000, 0x427000}}};
	start(&m);
	struct page *p;
	for (unsigned n = 8; n <= BLOCK_FRAMES; n++)
		assert_null(frame_alloc_contiguous(PAGE_KERNEL, n, PAGE_SIZE, 0, FRAME_RESERVE));
	assert_null(frame_alloc_contiguous(PAGE_KERNEL, BLOCK_FRAMES + 1, PAGE_SIZE, 0, FRAME_RESERVE));
	assert_null(frame_alloc_contiguous(PAGE_KERNEL, 0, PAGE_SIZE, 0, FRAME_RESERVE));
	for (unsigned n = 4; n; n--) {
		while ((p = frame_alloc_contiguous(PAGE_KERNEL, n, PAGE_SIZE, 0, FRAME_RESERVE)))
			model_take(p, n); /* every frame of it is ours and free */
	}
	assert_int_equal(model_count(FREE), 0);
}

/* 1 << n computed in 32 bits. */
static void bug_shift_in_32_bits(void **state UNUSED)
{
	static const struct map m = {
	    "high", {{GIB(8) - MIB(4), GIB(8) + MIB(4)}, {GIB(16), GIB(16) + MIB(4)}}};
	start(&m);
	for (unsigned k = 0; k <= FRAME_MAX_ORDER; k++) {
		struct page *p = frame_alloc_order(PAGE_KERNEL, k, FRAME_RESERVE);
		assert_true(page_to_phys(p) >= GIB(8) - MIB(4) &&
			    IS_ALIGNED(page_to_phys(p), (uint64_t)PAGE_SIZE << k));
		frame_free_order(p, k);
	}
	struct page *p = frame_alloc_contiguous(PAGE_KERNEL, 4, GIB(8), 0, FRAME_RESERVE);
	assert_true(p && page_to_phys(p) == GIB(8));
	struct page *q = frame_alloc_contiguous(PAGE_KERNEL, 4, GIB(16), 0, FRAME_RESERVE);
	assert_true(q && page_to_phys(q) == GIB(16));
	assert_null(frame_alloc_contiguous(PAGE_KERNEL, 4, GIB(32), 0, FRAME_RESERVE));
	struct page *r = frame_alloc_contiguous(PAGE_KERNEL, 4, PAGE_SIZE, GIB(8), FRAME_RESERVE);
	assert_true(r && page_to_phys(r) < GIB(8));
	frame_free_range(p, 4);
	frame_free_range(q, 4);
	frame_free_range(r, 4);
	assert_coalesced();
}

/* A run's length computed from the bits that were in use. */
static void bug_inverted_run_length(void **state UNUSED)
{
	static const struct map m = {"256k", {{0x400000, 0x440000}}};
	for (unsigned len = 1; len <= 32; len *= 2) {
		start(&m);
		uint64_t n;
		struct page **all = take_all(&n, FRAME_RESERVE);
		/* In a full block exactly one run of len is free. */
		frame_free_range(pfn_to_page(0x400 + 32), len);
		model_give(pfn_to_page(0x400 + 32), len);
		assert_null(frame_alloc_contiguous(PAGE_KERNEL, len + 1, PAGE_SIZE, 0, FRAME_RESERVE));
		struct page *p = frame_alloc_contiguous(PAGE_KERNEL, len, PAGE_SIZE, 0, FRAME_RESERVE);
		assert_int_equal(page_to_pfn(p), 0x400 + 32);
		/* In an empty one exactly one frame is used. */
		free(all);
		start(&m);
		p = frame_alloc_contiguous(PAGE_KERNEL, len, (uint64_t)len << PAGE_SHIFT, 0, FRAME_RESERVE);
		model_take(p, len);
		assert_coalesced();
	}
}

/* The second-level index left out when freeing: right for the first 16 MiB only. */
static void bug_wrong_frame_beyond_16_mib(void **state UNUSED)
{
	start(&maps[0]);
	uint64_t n;
	struct page **all = take_all(&n, FRAME_RESERVE);
	for (uint64_t pa = MIB(1); pa < MIB(63); pa += MIB(1) + 5 * PAGE_SIZE) {
		struct page *p = phys_to_page(pa);
		frame_free(p);
		frame_drain_all();
		assert_int_equal(frame_free_count(), 1);
		assert_ptr_equal(frame_alloc(PAGE_ANON, FRAME_RESERVE), p);
	}
	give_all(all, n);
	assert_coalesced();
}

/* The counters say what the records say, whichever way frames come and go. */
static void assert_counts(void)
{
	uint64_t walked[PAGE_KINDS], counted[PAGE_KINDS];
	frame_count_kinds(walked);
	frame_count_used(counted);
	for (unsigned kind = PAGE_KERNEL; kind < PAGE_KINDS; kind++)
		assert_int_equal(counted[kind], walked[kind]);
	uint64_t all = frame_free_count();
	for (unsigned kind = PAGE_KERNEL; kind < PAGE_KINDS; kind++)
		all += counted[kind];
	assert_int_equal(all + 1, frame_total_count()); /* and the zero page */
}

enum { COUNTED = 200 };

/* Every other one is given back by another CPU than took it. */
static void free_half(void *arg, UNUSED unsigned i)
{
	struct page **one = arg;
	for (unsigned k = 0; k < COUNTED; k += 2)
		frame_free(one[k]);
}

static void counters_match_the_records(UNUSED void **state)
{
	struct page *one[COUNTED];
	start(&maps[1]);
	assert_counts();
	for (unsigned i = 0; i < COUNTED; i++) {
		one[i] = frame_alloc(PAGE_KERNEL + i % USED_KINDS, i % 7 ? 0 : FRAME_ZERO | FRAME_LOW);
		assert_non_null(one[i]);
		if (i % 3 == 0)
			page_set_flag(one[i], PAGE_REFERENCED);
	}
	struct page *block = frame_alloc_order(PAGE_SLAB, 4, 0);
	struct page *run = frame_alloc_contiguous(PAGE_TABLE, 37, PAGE_SIZE, 0, 0);
	assert_true(block && run);
	assert_counts();
	host_run_cpus(1, free_half, one);
	assert_counts();
	for (unsigned i = 1; i < COUNTED; i += 2)
		frame_free(one[i]);
	frame_free_order(block, 4);
	frame_free_range(run, 37);
	assert_counts();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_frame_of_every_map_is_reachable),
	    cmocka_unit_test(sixteen_gib_to_the_last_frame),
	    cmocka_unit_test(blocks_are_opened_one_at_a_time),
	    cmocka_unit_test(memory_that_comes_later_is_used),
	    cmocka_unit_test(random_requests_match_the_model),
	    cmocka_unit_test(ordinary_requests_leave_the_reserve),
	    cmocka_unit_test(batches_take_what_is_plentiful),
	    cmocka_unit_test(low_requests_stay_below_4g),
	    cmocka_unit_test(frames_cached_elsewhere_are_found),
	    cmocka_unit_test(injected_failures_leave_nothing),
	    cmocka_unit_test(counters_match_the_records),
	    cmocka_unit_test(two_cpus_end_with_the_same_lists),
	    cmocka_unit_test(shares_and_pins_keep_a_frame),
	    cmocka_unit_test(misuse_panics),
	    cmocka_unit_test(bug_free_loop_direction),
	    cmocka_unit_test(bug_requested_instead_of_actual),
	    cmocka_unit_test(bug_shift_in_32_bits),
	    cmocka_unit_test(bug_inverted_run_length),
	    cmocka_unit_test(bug_wrong_frame_beyond_16_mib),
	};
	env_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
