/*
 * test_race.c - several CPUs race faults, forks, unmaps, protections, snapshots, discards, purges and
 * truncations on shared spaces and objects.
 *
 * The mock hardware watches for stale translations and frames freed too early. On top of that, stamps: each
 * page has a word for every thread, which only that thread writes, with ever growing numbers. `seen` holds,
 * for each word of each space, the newest number that any thread has read there: whoever looks at `seen`
 * first and reads memory then must not find an older number. Where pages may be thrown away, zero is allowed
 * as well.
 *
 * test_race [-n FACTOR] [NAME...]: more iterations.
 */
#include "race.h"

/* ---------------------------------------------------------------- stamps */

struct stamps {
	_Atomic uint64_t seen[PAGES][STAMP_WORDS];
	_Atomic uint64_t next[STAMP_WORDS]; /* each written by its thread only */
};

static void check_stamp(
    struct stamps *st, unsigned page, unsigned word, uint64_t before, uint64_t got, bool zero_ok)
{
	if (got < before && !(zero_ok && got == 0))
		panic("stamp of page %u word %u: %llu read after %llu had been seen", page, word,
		    (unsigned long long)got, (unsigned long long)before);
	uint64_t old = load_relaxed(&st->seen[page][word]);
	while (old < got && !cas_acq_rel(&st->seen[page][word], &old, got))
		;
}

/* Read one stamp, by the processor or by the kernel; errors that the races make possible are fine. */
static void read_stamp(
    struct stamps *st, struct vm_space *s, unsigned area, unsigned page, unsigned word, bool zero_ok)
{
	uint64_t before = load_acquire(&st->seen[page][word]), got = 0;
	uaddr_t addr = page_addr(area, page) + word * 8;
	size_t done;
	err_t err;

	if (pick(6) == 0)
		err = space_read(s, &got, addr, 8, &done);
	else
		mock_access(s, addr, &got, 8, false, &err);
	if (!err)
		check_stamp(st, page, word, before, got, zero_ok);
}

static err_t write_stamp(struct stamps *st, struct vm_space *s, unsigned area, unsigned page, unsigned me)
{
	uint64_t stamp = fetch_add_relaxed(&st->next[me], 1) + 1;
	uaddr_t addr = page_addr(area, page) + me * 8;
	size_t done;
	err_t err;

	if (pick(6) == 0)
		err = space_write(s, addr, &stamp, 8, &done);
	else
		mock_access(s, addr, &stamp, 8, true, &err);
	return err;
}

/* ---------------------------------------------------------------- spaces that come and go */

/* A space with what has been seen in it. Shared memory and the shared file have one table for all spaces. */
struct place {
	struct vm_space *space;
	struct refcount refs;
	struct stamps private[AREAS];
};

struct world {
	pthread_mutex_t lock;
	struct place *places[3];
	struct vm_object *shared, *file;
	struct stamps shared_stamps, file_stamps;
	unsigned iterations;
	uint64_t seed;
	struct mutex inode; /* a file system cuts a file under a lock of its own */
};

static struct place *place_new(struct vm_space *s)
{
	struct place *p = calloc(1, sizeof(*p));

	p->space = s;
	ref_init(&p->refs);
	return p;
}

static void place_put(struct place *p)
{
	if (!ref_put(&p->refs))
		return;
	space_put(p->space);
	free(p);
}

static struct place *place_get(struct world *w, unsigned i)
{
	pthread_mutex_lock(&w->lock);
	struct place *p = w->places[i];
	ref_get(&p->refs);
	pthread_mutex_unlock(&w->lock);
	return p;
}

static void place_set(struct world *w, unsigned i, struct place *p)
{
	pthread_mutex_lock(&w->lock);
	struct place *old = w->places[i];
	w->places[i] = p;
	pthread_mutex_unlock(&w->lock);
	place_put(old);
}

static struct stamps *stamps_of(struct world *w, struct place *p, unsigned area)
{
	return area == AREA_SHARED ? &w->shared_stamps
	       : area == AREA_FILE ? &w->file_stamps
				   : &p->private[area];
}

static bool zero_ok(unsigned area)
{
	return area != AREA_PRIVATE && area != AREA_SHARED;
}

/* A private file page without a copy of its own shows the file, whose stamps are another thread's business.
 */
static bool is_checked(unsigned area)
{
	return area != AREA_FILE_PRIVATE;
}

/* Write to one page after the other, so that the next ones are served ahead of us. */
static void race_fill(struct world *w, struct place *p, unsigned me)
{
	unsigned area = (unsigned)pick(AREAS), page = (unsigned)pick(PAGES), end = MIN(page + 20, PAGES);

	for (; page < end; page++)
		(void)write_stamp(stamps_of(w, p, area), p->space, area, page, me);
}

static void race_access(struct world *w, struct place *p, unsigned me)
{
	unsigned area = (unsigned)pick(AREAS), page = (unsigned)pick(PAGES);
	struct stamps *st = stamps_of(w, p, area);
	uint64_t word;
	err_t err;

	if (pick(2))
		(void)write_stamp(st, p->space, area, page, me);
	else if (is_checked(area))
		read_stamp(st, p->space, area, page, (unsigned)pick(THREADS), zero_ok(area));
	else
		mock_access(p->space, page_addr(area, page), &word, 8, false, &err);
}

static void race_fork(struct world *w, struct place *p)
{
	struct vm_space *child;

	if (space_fork(p->space, &child) == 0)
		place_set(w, (unsigned)pick(ARRAY_SIZE(w->places)), place_new(child));
}

static void race_protect(struct place *p)
{
	unsigned area = (unsigned)pick(AREAS), first = (unsigned)pick(PAGES), n = 1 + (unsigned)pick(20);
	uint64_t len = MIN(n, PAGES - first) * (uint64_t)PAGE_SIZE;

	(void)!space_protect(p->space, page_addr(area, first), len, VM_READ);
	(void)!space_protect(p->space, page_addr(area, first), len, VM_READ | VM_WRITE);
}

static void race_loose(struct place *p)
{
	unsigned first = (unsigned)pick(PAGES), n = 1 + (unsigned)pick(20);
	uaddr_t addr = page_addr(AREA_LOOSE, first);
	uint64_t len = MIN(n, PAGES - first) * (uint64_t)PAGE_SIZE;
	struct vm_map_args args = {
	    .addr = addr, .len = len, .prot = VM_READ | VM_WRITE, .flags = VM_MAP_FIXED};

	if (pick(2)) {
		(void)!space_discard(p->space, addr, len);
	} else {
		if (pick(2))
			(void)!space_unmap(p->space, addr, len);
		MUST(space_map(p->space, &args, &addr));
	}
}

static void race_file(struct world *w)
{
	pgidx_t npages = PAGES - pick(20);

	switch (pick(4)) {
	case 0: /* cut and grow, as truncate does */
		mutex_lock(&w->inode);
		MUST(object_resize(w->file, npages));
		pthread_mutex_lock(&store.lock);
		memset(store.bytes[npages], 0, (PAGES - npages) * PAGE_SIZE);
		pthread_mutex_unlock(&store.lock);
		MUST(object_resize(w->file, PAGES));
		mutex_unlock(&w->inode);
		break;
	case 1:
		MUST(object_sync(w->file, 0, PAGES));
		break;
	case 2:
		MUST(object_sync(w->file, pick(PAGES), PAGES));
		break;
	default:
		(void)!object_discard(w->file, pick(PAGES), PAGES);
	}
}

/* A snapshot does not change, whatever happens to the original. */
static void race_snapshot(struct world *w)
{
	struct vm_object *snap;
	struct vm_space *s;
	uint64_t a[4], b[4];
	size_t done;

	MUST(object_clone(w->shared, &snap));
	MUST(space_create(&s));
	map_at(s, AREA_SHARED, snap, VM_MAP_SHARED);
	for (unsigned i = 0; i < 4; i++)
		MUST(space_read(s, &a[i], page_addr(AREA_SHARED, i * 20) + i * 8, 8, &done));
	cpu_relax();
	for (unsigned i = 0; i < 4; i++)
		MUST(space_read(s, &b[i], page_addr(AREA_SHARED, i * 20) + i * 8, 8, &done));
	if (memcmp(a, b, sizeof(a)))
		panic("a snapshot changed");
	space_put(s);
	object_put(snap);
}

static void race_purgeable(struct place *p)
{
	uaddr_t addr = page_addr(AREA_PURGEABLE, 0);
	bool was, more;

	switch (pick(3)) {
	case 0:
		(void)!space_set_volatile(p->space, addr, PAGES * PAGE_SIZE);
		break;
	case 1:
		(void)!space_set_nonvolatile(p->space, addr, PAGES * PAGE_SIZE, &was);
		break;
	default:
		vm_purge_one(&more);
	}
}

static void race_copy(struct world *w, struct place *p)
{
	struct place *other = place_get(w, (unsigned)pick(ARRAY_SIZE(w->places)));
	enum copy_side side;
	size_t done;

	/* Into the area where anything goes; stamps stay where they belong because nobody checks them there.
	 */
	(void)!space_copy(other->space, page_addr(AREA_FILE_PRIVATE, (unsigned)pick(PAGES / 2)), p->space,
	    page_addr((unsigned)pick(AREAS), (unsigned)pick(PAGES / 2)), pick(3 * PAGE_SIZE), &done, &side);
	place_put(other);
}

static void race_step(struct world *w, struct place *p, unsigned me)
{
	switch (pick(64)) {
	case 0:
	case 1:
		race_fork(w, p);
		break;
	case 2:
		race_protect(p);
		break;
	case 3:
	case 4:
		race_loose(p);
		break;
	case 5:
		race_file(w);
		break;
	case 6:
		race_snapshot(w);
		break;
	case 7:
		race_purgeable(p);
		break;
	case 8:
		race_copy(w, p);
		break;
	case 9:
		(void)vm_reclaim(1 + pick(8));
		break;
	case 10:
		race_fill(w, p, me);
		break;
	default:
		race_access(w, p, me);
	}
}

static void race_thread(void *arg, unsigned me)
{
	struct world *w = arg;

	rng = w->seed * 7919 + me * 104729 + 1;
	for (unsigned i = 0; i < w->iterations; i++) {
		struct place *p = place_get(w, (unsigned)pick(ARRAY_SIZE(w->places)));
		for (unsigned k = 0; k < 16; k++)
			race_step(w, p, me);
		place_put(p);
	}
}

static void world_run(struct world *w)
{
	struct vm_space *s;

	pthread_mutex_init(&w->lock, NULL);
	mutex_init(&w->inode, "inode", RANK_PROC);
	memset(store.bytes, 0, sizeof(store.bytes));
	MUST(object_create_anon(0, PAGES, NULL, &w->shared));
	MUST(object_create_file(&store_ops, &store, PAGES, &w->file));
	MUST(space_create(&s));
	map_at(s, AREA_PRIVATE, NULL, 0);
	map_at(s, AREA_SHARED, w->shared, VM_MAP_SHARED);
	map_at(s, AREA_LOOSE, NULL, 0);
	map_at(s, AREA_FILE, w->file, VM_MAP_SHARED);
	map_at(s, AREA_FILE_PRIVATE, w->file, 0);
	map_at(s, AREA_PURGEABLE, NULL, VM_MAP_PURGEABLE);
	for (unsigned i = 0; i < ARRAY_SIZE(w->places); i++) {
		struct vm_space *child;
		MUST(space_fork(s, &child));
		w->places[i] = place_new(child);
	}
	space_put(s);
	host_run_cpus(THREADS, race_thread, w);
	for (unsigned i = 0; i < ARRAY_SIZE(w->places); i++) {
		vm_validate(w->places[i]->space);
		place_put(w->places[i]);
	}
	object_validate(w->shared);
	object_validate(w->file);
	object_put(w->shared);
	object_put(w->file);
}

HOST_TEST(race_everything)
{
	for (unsigned round = 0; round < 2 * factor; round++) {
		struct world *w = calloc(1, sizeof(*w));
		w->iterations = 60;
		w->seed = round + 1;
		world_run(w);
		free(w);
	}
	CHECK(true);
}

/* ---------------------------------------------------------------- a fork is one moment in time */

/* Thread t stamps pages in turn: page i % PAGES gets number i. A copy taken at one moment holds, for the
 * newest number m that it has, exactly the last number <= m of every page. */
struct moment {
	struct vm_space *spaces[2];
	struct vm_object *shared;
	_Atomic bool stop;
	unsigned area, forks, gap; /* writes between two copies: fewer than `gap` */
	_Atomic uint64_t wrote;
};

static void moment_writer(struct moment *m, unsigned me)
{
	rng = me + 99;
	for (uint64_t i = 1; !load_relaxed(&m->stop); i++) {
		err_t err;
		mock_access(m->spaces[m->area == AREA_SHARED ? i / 7 % 2 : 0],
		    page_addr(m->area, (unsigned)(i % PAGES)) + me * 8, &i, 8, true, &err);
		if (err)
			panic("moment: write gave %d", err);
		fetch_add_relaxed(&m->wrote, 1);
	}
}

static void check_moment(struct vm_space *s, unsigned area, unsigned word)
{
	uint64_t stamps[PAGES], newest = 0;
	size_t done;

	for (unsigned i = 0; i < PAGES; i++) {
		MUST(space_read(s, &stamps[i], page_addr(area, i) + word * 8, 8, &done));
		newest = MAX(newest, stamps[i]);
	}
	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t back = (newest % PAGES + PAGES - i) % PAGES,
			 want = newest >= back ? newest - back : 0;
		if (stamps[i] != want)
			panic("copy is of no moment: newest %llu, page %u has %llu, expected %llu",
			    (unsigned long long)newest, i, (unsigned long long)stamps[i],
			    (unsigned long long)want);
	}
}

static void moment_fork(struct moment *m)
{
	struct vm_space *child;

	MUST(space_fork(m->spaces[0], &child));
	for (unsigned t = 1; t < 4; t++)
		check_moment(child, m->area, t);
	space_put(child);
}

static void moment_snapshot(struct moment *m)
{
	struct vm_object *snap;
	struct vm_space *s;

	MUST(object_clone(m->shared, &snap));
	MUST(space_create(&s));
	map_at(s, AREA_SHARED, snap, VM_MAP_SHARED);
	for (unsigned t = 1; t < 4; t++)
		check_moment(s, m->area, t);
	space_put(s);
	object_put(snap);
}

static void moment_thread(void *arg, unsigned me)
{
	struct moment *m = arg;

	if (me != 0) {
		moment_writer(m, me);
		return;
	}
	rng = 5;
	for (unsigned i = 0; i < m->forks; i++) {
		for (uint64_t before = load_relaxed(&m->wrote);
		     load_relaxed(&m->wrote) < before + pick(m->gap);)
			cpu_relax(); /* the writers get on between two copies */
		if (m->area == AREA_SHARED)
			moment_snapshot(m);
		else
			moment_fork(m);
	}
	store_release(&m->stop, true);
}

HOST_TEST(race_fork_is_one_moment)
{
	struct moment m = {.area = AREA_PRIVATE, .forks = 60 * factor, .gap = 300};

	MUST(space_create(&m.spaces[0]));
	map_at(m.spaces[0], AREA_PRIVATE, NULL, 0);
	host_run_cpus(4, moment_thread, &m);
	CHECK(m.wrote > 0);
	vm_validate(m.spaces[0]);
	space_put(m.spaces[0]);
}

static void run_snapshots(unsigned forks, unsigned gap)
{
	struct moment m = {.area = AREA_SHARED, .forks = forks, .gap = gap};

	MUST(object_create_anon(0, PAGES, NULL, &m.shared));
	for (unsigned i = 0; i < 2; i++) {
		MUST(space_create(&m.spaces[i]));
		map_at(m.spaces[i], AREA_SHARED, m.shared, VM_MAP_SHARED);
	}
	host_run_cpus(4, moment_thread, &m);
	CHECK(m.wrote > 0);
	for (unsigned i = 0; i < 2; i++) {
		vm_validate(m.spaces[i]);
		space_put(m.spaces[i]);
	}
	object_put(m.shared);
}

HOST_TEST(race_snapshot_is_one_moment)
{
	run_snapshots(60 * factor, 300);
}

/* A copy that was prepared while a snapshot went and another one came is stale: what others stored in place
 * meanwhile is not in it. */
HOST_TEST(race_snapshots_in_quick_succession)
{
	unsigned chaos = host_chaos;

	host_chaos = 3;
	run_snapshots(400 * factor, 4);
	host_chaos = chaos;
}

/* ---------------------------------------------------------------- frames given back while others store */

struct canary {
	struct vm_space *busy, *owner;
	unsigned rounds;
	_Atomic bool stop;
};

/* CPU 0 throws pages of `busy` away and has another space get frames at once; the others store into `busy`
 * without pause. A store through a stale translation would hit the other space's pages. */
static void canary_thread(void *arg, unsigned me)
{
	struct canary *c = arg;
	uint64_t value = ~0ULL, word;
	struct vm_map_args args = {
	    .addr = page_addr(0, 0), .len = 8 * PAGE_SIZE, .prot = VM_READ | VM_WRITE, .flags = VM_MAP_FIXED};
	uaddr_t at;
	size_t done;
	err_t err;

	rng = me + 17;
	for (unsigned i = 0; me && !load_acquire(&c->stop); i++) {
		mock_access(c->busy, page_addr(0, (unsigned)pick(8)) + pick(512) * 8, &value, 8, true, &err);
		if (i % 64 == 0)
			cpu_relax();
	}
	for (unsigned i = 0; !me && i < c->rounds; i++) {
		if (i % 3 == 0)
			MUST(space_discard(c->busy, page_addr(0, 0), 8 * PAGE_SIZE));
		else if (i % 3 == 1)
			MUST(space_unmap(c->busy, page_addr(0, 2), 3 * PAGE_SIZE));
		else
			MUST(space_map(c->busy, &args, &at));
		for (unsigned k = 0; k < 8;
		     k++) { /* take the frames and look at all that could have been hit */
			static char bytes[PAGE_SIZE];
			MUST(space_discard(c->owner, page_addr(1, k), PAGE_SIZE));
			MUST(space_write(c->owner, page_addr(1, k), &(uint64_t){0}, 8, &done));
			cpu_relax();
			MUST(space_read(c->owner, bytes, page_addr(1, k), PAGE_SIZE, &done));
			for (unsigned b = 0; b < PAGE_SIZE; b += 8)
				if (memcpy(&word, bytes + b, 8), word != 0)
					panic("a store landed in another space's page");
		}
	}
	if (!me)
		store_release(&c->stop, true);
}

HOST_TEST(race_reused_frames_stay_clean)
{
	struct canary c = {.rounds = 60 * factor};

	MUST(space_create(&c.busy));
	MUST(space_create(&c.owner));
	map_at(c.busy, 0, NULL, 0);
	map_at(c.owner, 1, NULL, 0);
	host_run_cpus(4, canary_thread, &c);
	CHECK(load_relaxed(&c.stop));
	space_put(c.busy);
	space_put(c.owner);
}

/* ---------------------------------------------------------------- two CPUs remove the same translation */

struct removal {
	struct vm_object *o;
	struct vm_space *s;
	_Atomic bool stop;
};

/* CPU 0 discards the window's translations, CPU 1 the object's pages, CPU 2 and 3 use them. Whoever finds a
 * translation gone must not take it for flushed: the frame would be freed under a TLB that still has it. */
static void remover(void *arg, unsigned me)
{
	struct removal *r = arg;
	uint64_t word = me;
	err_t err;

	rng = me + 41;
	for (unsigned i = 0; me == 0 && i < 400 * factor; i++)
		MUST(space_discard(r->s, page_addr(0, 0), 8 * PAGE_SIZE));
	while (me == 1 && !load_acquire(&r->stop))
		MUST(object_discard(r->o, 0, 8));
	while (me > 1 && !load_acquire(&r->stop))
		mock_access(r->s, page_addr(0, (unsigned)pick(8)), &word, 8, true, &err);
	if (me == 0)
		store_release(&r->stop, true);
}

HOST_TEST(race_two_removers_of_one_translation)
{
	struct removal r = {0};
	unsigned chaos = host_chaos;

	MUST(object_create_anon(0, 8, NULL, &r.o));
	MUST(space_create(&r.s));
	map_at(r.s, 0, NULL, 0);
	struct vm_map_args args = {.addr = page_addr(0, 0),
	    .len = 8 * PAGE_SIZE,
	    .prot = VM_READ | VM_WRITE,
	    .flags = VM_MAP_FIXED | VM_MAP_SHARED,
	    .object = r.o};
	uaddr_t at;
	MUST(space_map(r.s, &args, &at));
	host_chaos = 4;
	host_run_cpus(4, remover, &r);
	host_chaos = chaos;
	vm_validate(r.s);
	CHECK(load_relaxed(&r.stop));
	space_put(r.s);
	object_put(r.o);
}

/* Every CPU shoots at every other one at the same time; nobody waits for ever. */
static void shooter(void *arg, unsigned me)
{
	struct vm_space *s = arg;
	uint64_t word = me;
	err_t err;

	for (unsigned i = 0; i < 100 * factor; i++) {
		mock_access(s, page_addr(0, me), &word, 8, true, &err);
		CHECK_EQ(err, 0);
		MUST(space_protect(s, page_addr(0, me), PAGE_SIZE, VM_READ));
		mock_access(s, page_addr(0, me), &word, 8, true, &err);
		CHECK_EQ(err, -EACCES);
		MUST(space_protect(s, page_addr(0, me), PAGE_SIZE, VM_READ | VM_WRITE));
	}
}

HOST_TEST(race_mutual_shootdown)
{
	struct vm_space *s;

	MUST(space_create(&s));
	map_at(s, 0, NULL, 0);
	host_run_cpus(6, shooter, s);
	vm_validate(s);
	space_put(s);
}

int main(int argc, char **argv)
{
	return race_main(argc, argv);
}
