/*
 * test_race_page.c - CPUs race for single pages: first touches, file cuts and write-back, pins, purges.
 * Stamps and detectors as in test_race.c.
 */
#include "race.h"

/* ---------------------------------------------------------------- first touches */

struct touch {
	struct vm_space *s[2];
	_Atomic unsigned arrived;
	unsigned round;
};

/* All CPUs touch the same page at the same time, from both spaces where it is shared: one frame, and no stamp
 * is lost. */
static void toucher(void *arg, unsigned me)
{
	struct touch *t = arg;

	rng = me + 31;
	for (unsigned page = 0; page < PAGES; page++) {
		uint64_t value = 1000 + page, got;
		err_t err;
		fetch_add_acq_rel(&t->arrived, 1);
		while (load_acquire(&t->arrived) < (page + 1) * 4)
			cpu_relax();
		mock_access(t->s[me % 2], page_addr(0, page) + me * 8, &value, 8, true, &err);
		CHECK_EQ(err, 0);
		mock_access(t->s[me % 2], page_addr(0, page) + me * 8, &got, 8, false, &err);
		CHECK_EQ(got, value);
	}
}

static void touch_all(struct touch *t)
{
	uint64_t word;
	size_t done;

	host_run_cpus(4, toucher, t);
	for (unsigned page = 0; page < PAGES; page++)
		for (unsigned i = 0; i < 4; i++) {
			MUST(space_read(t->s[i % 2], &word, page_addr(0, page) + i * 8, 8, &done));
			CHECK_EQ(word, 1000 + page);
		}
}

HOST_TEST(race_first_touch_private)
{
	struct touch t = {0};

	MUST(space_create(&t.s[0]));
	t.s[1] = t.s[0];
	map_at(t.s[0], 0, NULL, 0);
	touch_all(&t);
	space_put(t.s[0]);
}

HOST_TEST(race_first_touch_shared)
{
	struct touch t = {0};
	struct vm_object *o;

	MUST(object_create_anon(0, PAGES, NULL, &o));
	for (unsigned i = 0; i < 2; i++) {
		MUST(space_create(&t.s[i]));
		map_at(t.s[i], 0, o, VM_MAP_SHARED);
	}
	touch_all(&t);
	for (unsigned i = 0; i < 2; i++)
		space_put(t.s[i]);
	object_put(o);
}

HOST_TEST(race_first_touch_after_fork)
{
	struct touch t = {0};
	struct vm_space *child;
	uint64_t word = 7;
	size_t done;

	MUST(space_create(&t.s[0]));
	t.s[1] = t.s[0];
	map_at(t.s[0], 0, NULL, 0);
	for (unsigned page = 0; page < PAGES; page++)
		MUST(space_write(t.s[0], page_addr(0, page) + 64, &word, 8, &done));
	MUST(space_fork(t.s[0], &child));
	touch_all(&t);
	for (unsigned page = 0; page < PAGES; page++) {
		uint64_t words[9];
		MUST(space_read(child, words, page_addr(0, page), sizeof(words), &done));
		for (unsigned i = 0; i < 4; i++)
			CHECK_EQ(words[i], 0);
		CHECK_EQ(words[8], 7);
	}
	space_put(child);
	space_put(t.s[0]);
}

/* Each at its own pace, so that what is served ahead for one is what another one touches. */
static void filler(void *arg, unsigned me)
{
	struct vm_space *s = arg;

	rng = me + 77;
	for (unsigned page = 0; page < PAGES; page++) {
		uint64_t value = 1000 + page;
		err_t err;
		mock_access(s, page_addr(0, page) + me * 8, &value, 8, true, &err);
		CHECK_EQ(err, 0);
		for (uint64_t i = pick(4); i > 0; i--)
			cpu_relax();
	}
}

HOST_TEST(race_in_order)
{
	for (unsigned round = 0; round < 100 * factor; round++) {
		struct vm_space *s;
		uint64_t words[4];
		size_t done;

		MUST(space_create(&s));
		map_at(s, 0, NULL, 0);
		host_run_cpus(4, filler, s);
		vm_validate(s);
		for (unsigned page = 0; page < PAGES; page++) {
			MUST(space_read(s, words, page_addr(0, page), sizeof(words), &done));
			for (unsigned i = 0; i < 4; i++)
				CHECK_EQ(words[i], 1000 + page);
		}
		space_put(s);
	}
}

HOST_TEST(race_first_touch_file)
{
	struct touch t = {0};
	struct vm_object *o;

	memset(store.bytes, 0, sizeof(store.bytes));
	MUST(object_create_file(&store_ops, &store, PAGES, &o));
	MUST(space_create(&t.s[0]));
	MUST(space_create(&t.s[1]));
	map_at(t.s[0], 0, o, VM_MAP_SHARED);
	map_at(t.s[1], 0, o, VM_MAP_SHARED);
	touch_all(&t);
	for (unsigned i = 0; i < 2; i++)
		space_put(t.s[i]);
	object_put(o);
}

/* ---------------------------------------------------------------- a file is cut while a fork runs */

struct cutting {
	struct vm_object *file;
	struct vm_space *s, *child;
};

static void cutter(void *arg, unsigned me)
{
	struct cutting *c = arg;

	if (me == 0) {
		MUST(space_fork(c->s, &c->child));
		return;
	}
	MUST(object_resize(c->file, 5));
	MUST(object_resize(c->file, PAGES));
}

static void cut_once(void)
{
	struct cutting c = {0};
	uint64_t word = 7;
	size_t done;

	MUST(object_create_file(&store_ops, &store, PAGES, &c.file));
	MUST(space_create(&c.s));
	map_at(c.s, 0, c.file, 0);
	map_at(c.s, 1, NULL, 0);
	for (unsigned page = 4; page < 8; page++)
		MUST(space_write(c.s, page_addr(0, page), &word, 8, &done));
	host_run_cpus(2, cutter, &c);
	for (unsigned page = 4; page < 8; page++) {
		MUST(space_read(c.s, &word, page_addr(0, page), 8, &done));
		CHECK_EQ(word, page == 4 ? 7 : 0);
		MUST(space_read(c.child, &word, page_addr(0, page), 8, &done));
		CHECK_EQ(word, page == 4 ? 7 : 0);
	}
	space_put(c.child);
	space_put(c.s);
	object_put(c.file);
}

/* Whichever comes first: private copies beyond the cut are void in parent and child. */
HOST_TEST(race_cut_during_fork)
{
	unsigned chaos = host_chaos;

	host_chaos = 3;
	memset(store.bytes, 0, sizeof(store.bytes));
	for (unsigned i = 0; i < 200 * factor; i++)
		cut_once();
	host_chaos = chaos;
}

/* ---------------------------------------------------------------- write-back */

struct writeback {
	struct vm_object *file;
	struct vm_space *s;
	_Atomic bool stop;
};

/* One stores, two sync, one cuts the file: a page is written by one at a time, and what was synced is on the
 * medium. */
static void write_backer(void *arg, unsigned me)
{
	struct writeback *w = arg;

	rng = me + 51;
	for (uint64_t i = 1; me == 0 && i <= 200 * factor; i++) {
		unsigned page = (unsigned)pick(20);
		err_t err;
		mock_access(w->s, page_addr(0, page), &i, 8, true, &err);
		MUST(err);
		if (i % 8)
			continue;
		MUST(object_sync(w->file, 0, 20));
		uint64_t stored;
		pthread_mutex_lock(&store.lock);
		memcpy(&stored, store.bytes[page], 8);
		pthread_mutex_unlock(&store.lock);
		CHECK_EQ(stored, i);
	}
	while (me > 0 && !load_acquire(&w->stop)) {
		if (me < 3)
			MUST(object_sync(w->file, pick(10), PAGES));
		else
			MUST(object_resize(w->file, pick(2) ? 20 : PAGES));
		cpu_relax();
	}
	if (me == 0)
		store_release(&w->stop, true);
}

HOST_TEST(race_write_back)
{
	struct writeback w = {0};
	unsigned chaos = host_chaos;

	memset(store.bytes, 0, sizeof(store.bytes));
	MUST(object_create_file(&store_ops, &store, PAGES, &w.file));
	MUST(space_create(&w.s));
	map_at(w.s, 0, w.file, VM_MAP_SHARED);
	host_chaos = 6;
	host_run_cpus(4, write_backer, &w);
	host_chaos = chaos;
	vm_validate(w.s);
	space_put(w.s);
	object_put(w.file);
}

/* ---------------------------------------------------------------- as many pins as a page can have */

struct pinning {
	struct vm_object *o;
	_Atomic bool full, wanted;
};

static void pinner(void *arg, unsigned me)
{
	enum { MOST = 65535 };
	static struct vm_pin pins[MOST];
	struct pinning *p = arg;
	struct vm_pin one;

	for (unsigned i = 0; me == 0 && i < MOST; i++)
		MUST(object_pin(p->o, 0, false, &pins[i]));
	if (me == 0) {
		store_release(&p->full, true);
		while (!load_acquire(&p->wanted))
			cpu_relax();
		for (unsigned i = 0; i < 100; i++)
			cpu_relax();
		for (unsigned i = 0; i < MOST; i++)
			vm_unpin(&pins[i]);
		return;
	}
	while (!load_acquire(&p->full))
		cpu_relax();
	store_release(&p->wanted, true);
	MUST(object_pin(p->o, 0, true, &one)); /* waits for one of them to go */
	vm_unpin(&one);
}

HOST_TEST(race_too_many_pins_wait)
{
	struct pinning p = {0};
	struct vm_pin pin;

	MUST(object_create_anon(0, 1, NULL, &p.o));
	MUST(object_pin(p.o, 0, true, &pin));
	vm_unpin(&pin);
	unsigned chaos = host_chaos;
	host_chaos = 0;
	host_run_cpus(2, pinner, &p);
	host_chaos = chaos;
	CHECK_EQ(page_pins(page_tree_lookup(&p.o->tree, 0)), 0);
	object_put(p.o);
}

/* ---------------------------------------------------------------- purgeable memory with an owner */

struct owner {
	struct vm_space *s;
	_Atomic bool stop;
	unsigned rounds;
	_Atomic uint64_t tried;
	uint64_t purged, kept;
};

/* The owner's protocol: fill, make volatile, make nonvolatile; told that nothing was taken, everything must
 * be there; told that it was, nothing old may be half there. */
static void owner_round(struct owner *o, uint64_t round)
{
	uaddr_t addr = page_addr(AREA_PURGEABLE, 0);
	bool was;
	uint64_t word;
	err_t err;

	for (unsigned i = 0; i < PAGES; i++)
		mock_access(o->s, addr + i * PAGE_SIZE, &round, 8, true, &err);
	MUST(space_set_volatile(o->s, addr, PAGES * PAGE_SIZE));
	uint64_t before = load_relaxed(&o->tried);
	while (round % 3 == 0 && load_relaxed(&o->tried) < before + 2)
		cpu_relax();
	MUST(space_set_nonvolatile(o->s, addr, PAGES * PAGE_SIZE, &was));
	for (unsigned i = 0; i < PAGES; i++) {
		mock_access(o->s, addr + i * PAGE_SIZE, &word, 8, false, &err);
		if (word != (was ? 0 : round))
			panic("purgeable page %u: %llu in round %llu, was purged %d", i,
			    (unsigned long long)word, (unsigned long long)round, was);
	}
	o->purged += was;
	o->kept += !was;
}

static void owner_thread(void *arg, unsigned me)
{
	struct owner *o = arg;
	bool more;

	rng = me + 3;
	while (me && !load_acquire(&o->stop)) {
		if (pick(4) == 0)
			vm_purge_one(&more);
		fetch_add_relaxed(&o->tried, 1);
		cpu_relax();
	}
	for (unsigned i = 0; !me && i < o->rounds; i++)
		owner_round(o, i + 1);
	if (!me)
		store_release(&o->stop, true);
}

HOST_TEST(race_purge_is_all_or_nothing)
{
	struct owner o = {.rounds = 150 * factor};

	MUST(space_create(&o.s));
	map_at(o.s, AREA_PURGEABLE, NULL, VM_MAP_PURGEABLE);
	host_run_cpus(3, owner_thread, &o);
	CHECK_EQ(o.purged + o.kept, o.rounds);
	printf("# purged %llu, kept %llu\n", (unsigned long long)o.purged, (unsigned long long)o.kept);
	space_put(o.s);
}

int main(int argc, char **argv)
{
	return race_main(argc, argv);
}
