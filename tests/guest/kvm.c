/*
 * kvm.c - the VM core under real page tables and on all CPUs: what a mock MMU cannot show. Kernel threads
 * enter spaces and reach user addresses through usercopy, so that every access is translated by the hardware
 * and every fault comes through the trap path.
 */
#include "kspace.h"
#include "arch/clock.h"
#include "mm/frame.h"
#include "vm/fault.h"

enum { RW = VM_READ | VM_WRITE };

/* --- shootdown ------------------------------------------------------------------------------------------ */

/*
 * Thread 0 maps pages, unmaps them, takes the frames that became free and fills them with a canary. The
 * others store a tag to the same addresses all the time, through whatever translation they have. If a store
 * ever goes through a translation that should be gone, the tag lands in a canary frame.
 */
#define TAG    0x5354414c45535354ULL
#define CANARY 0x43414e4152594341ULL

enum { SHOOT_PAGES = 4, SHOOT_ROUNDS = 200, SHOOT_FRAMES = 8 };

struct shootdown {
	struct vm_space *space;
	uaddr_t at;
	_Atomic bool done;
	_Atomic uint64_t stores, misses;
	unsigned foreign, reused; /* thread 0 */
};

static void shoot_store(struct shootdown *s, unsigned me)
{
	for (uint64_t n = 0; !load_acquire(&s->done); n++) {
		uaddr_t addr = s->at + (n + me) % SHOOT_PAGES * PAGE_SIZE + me * 64;
		if (put_word(addr, TAG))
			fetch_add_relaxed(&s->misses, 1);
		else
			fetch_add_relaxed(&s->stores, 1);
	}
}

/* Fill what was just freed, wait a little for late stores, and look. */
static void shoot_check(struct shootdown *s, const paddr_t *old)
{
	struct page *frames[SHOOT_FRAMES];
	unsigned n = 0;
	while (n < SHOOT_FRAMES && (frames[n] = frame_alloc(PAGE_KERNEL, 0)))
		n++;
	for (unsigned i = 0; i < n; i++) {
		uint64_t *words = page_to_virt(frames[i]);
		for (unsigned w = 0; w < PAGE_SIZE / 8; w++)
			words[w] = CANARY;
		for (unsigned k = 0; k < SHOOT_PAGES; k++)
			s->reused += old[k] == page_to_phys(frames[i]);
	}
	clock_delay(20000);
	for (unsigned i = 0; i < n; i++) {
		volatile uint64_t *words = page_to_virt(frames[i]);
		for (unsigned w = 0; w < PAGE_SIZE / 8; w++)
			s->foreign += words[w] != CANARY;
		frame_free(frames[i]);
	}
}

static void shoot_unmap(struct shootdown *s)
{
	nsec_t start = clock_now();
	for (unsigned round = 0; another_round(round, SHOOT_ROUNDS, start); round++) {
		paddr_t old[SHOOT_PAGES] = {0};
		struct mmu_translation t;
		if (!map_anon(s->space, s->at, SHOOT_PAGES, RW, 0))
			continue;
		for (unsigned i = 0; i < SHOOT_PAGES; i++) { /* so that there is something to tear down */
			if (put_word(s->at + i * PAGE_SIZE, TAG))
				kt_fail(__FILE__, __LINE__, "store to mapped memory");
			if (mmu_query(&s->space->mmu, s->at + i * PAGE_SIZE, &t))
				old[i] = t.paddr;
		}
		clock_delay(20000); /* let the others cache translations */
		KT_CHECK_EQ(space_unmap(s->space, s->at, SHOOT_PAGES * PAGE_SIZE), 0);
		shoot_check(s, old);
	}
	store_release(&s->done, true);
}

static void shoot_thread(void *arg, unsigned i)
{
	struct shootdown *s = arg;
	enter_space(s->space);
	if (i == 0)
		shoot_unmap(s);
	else
		shoot_store(s, i);
	enter_space(NULL);
}

KTEST(vm_shootdown)
{
	struct shootdown s = {.at = 0x400000000};
	KT_REQUIRE(!space_create(&s.space));
	KT_CHECK(kt_run_threads(cpus_count() + 1, shoot_thread, &s));
	KT_CHECK_EQ(s.foreign, 0);
	KT_CHECK(s.reused >= ROUNDS_MIN); /* else the test looked at other frames */
	KT_CHECK(s.stores > 0 && s.misses > 0);
	kt_note("%llu stores hit, %llu missed, %u frames came back", (unsigned long long)s.stores,
	    (unsigned long long)s.misses, s.reused);
	vm_validate(s.space);
	space_put(s.space);
}

/* The same for rights: once space_protect has returned, no store may land. */
struct narrow {
	struct vm_space *space;
	uaddr_t at;
	_Atomic bool done;
};

static void narrow_thread(void *arg, unsigned i)
{
	struct narrow *n = arg;
	nsec_t start = clock_now();
	enter_space(n->space);
	for (uint64_t round = 0; i && !load_acquire(&n->done); round++)
		(void)put_word(n->at + i * 8, round + 1);
	for (unsigned round = 0; !i && another_round(round, 300, start); round++) {
		uint64_t before[8], after[8];
		KT_CHECK_EQ(space_protect(n->space, n->at, PAGE_SIZE, VM_READ), 0);
		KT_CHECK_EQ(copy_from_user(before, n->at, sizeof(before)), 0);
		clock_delay(20000);
		KT_CHECK_EQ(copy_from_user(after, n->at, sizeof(after)), 0);
		KT_CHECK(!memcmp(before, after, sizeof(before)));
		KT_CHECK_EQ(put_word(n->at, 1), -EFAULT);
		KT_CHECK_EQ(space_protect(n->space, n->at, PAGE_SIZE, RW), 0);
		KT_CHECK_EQ(put_word(n->at, 1), 0);
		clock_delay(20000);
	}
	if (!i)
		store_release(&n->done, true);
	enter_space(NULL);
}

KTEST(vm_protect_is_seen_everywhere)
{
	struct narrow n = {.at = 0x400000000};
	KT_REQUIRE(!space_create(&n.space));
	KT_REQUIRE(map_anon(n.space, n.at, 1, RW, 0));
	KT_CHECK(kt_run_threads(MIN(MAX(cpus_count(), 2u), 8u), narrow_thread, &n));
	space_put(n.space);
}

/* --- fault races ---------------------------------------------------------------------------------------- */

enum { RACE_ROUNDS = 100, RACE_PAGES = 3 };

struct race {
	struct barrier barrier;
	struct vm_space *space, *clone;
	uaddr_t at;
	uint64_t expected; /* what the pages hold besides the threads' own words */
	nsec_t start;
	bool stop; /* written by thread 0 between barriers */
};

/* Every thread writes its word into each page at the same instant; then all words of all threads must be
 * there. */
static void race_round(struct race *r, unsigned i, unsigned round)
{
	unsigned n = r->barrier.n;
	for (unsigned k = 0; k < RACE_PAGES; k++) {
		barrier_wait(&r->barrier);
		if (i % 3 ==
		    2) /* some read first: the zero page, or the shared one, is what they race with */
			KT_CHECK_EQ(get_word(r->at + k * PAGE_SIZE + 2048), r->expected);
		KT_CHECK_EQ(put_word(r->at + k * PAGE_SIZE + 8 * i, round * 1000 + i), 0);
	}
	barrier_wait(&r->barrier);
	for (unsigned k = 0; k < RACE_PAGES; k++) {
		for (unsigned j = 0; j < n; j++)
			KT_CHECK_EQ(get_word(r->at + k * PAGE_SIZE + 8 * j), round * 1000 + j);
		KT_CHECK_EQ(get_word(r->at + k * PAGE_SIZE + 2048), r->expected);
	}
	barrier_wait(&r->barrier);
}

static void race_fresh_thread(void *arg, unsigned i)
{
	struct race *r = arg;
	enter_space(r->space);
	for (unsigned round = 0; !r->stop; round++) {
		race_round(r, i, round);
		if (i == 0) {
			KT_CHECK_EQ(space_discard(r->space, r->at, RACE_PAGES * PAGE_SIZE), 0);
			r->stop = !another_round(round + 1, RACE_ROUNDS, r->start);
		}
		barrier_wait(&r->barrier);
	}
	enter_space(NULL);
}

KTEST(vm_race_first_touch)
{
	struct race r = {.barrier = {.n = MIN(MAX(cpus_count(), 2u), 8u)}, .start = clock_now()};
	KT_REQUIRE(!space_create(&r.space));
	r.at = map_anon(r.space, 0, RACE_PAGES, RW, 0);
	KT_REQUIRE(r.at);
	KT_CHECK(kt_run_threads(r.barrier.n, race_fresh_thread, &r));
	vm_validate(r.space);
	space_put(r.space);
}

/* The pages are shared with a clone when all threads write: exactly one copy may survive, and the clone keeps
 * the old bytes. */
static void race_cow_thread(void *arg, unsigned i)
{
	struct race *r = arg;
	enter_space(r->space);
	for (unsigned round = 0; !r->stop; round++) {
		if (i == 0)
			KT_CHECK_EQ(space_fork(r->space, &r->clone), 0);
		race_round(r, i, round);
		if (i == 0) {
			for (unsigned k = 0; k < RACE_PAGES; k++) {
				uint64_t word = 0;
				size_t done;
				KT_CHECK_EQ(
				    space_read(r->clone, &word, r->at + k * PAGE_SIZE, sizeof(word), &done),
				    0);
				KT_CHECK_EQ(word, round ? (round - 1) * 1000 : 7);
			}
			vm_validate(r->clone);
			space_put(r->clone);
			r->stop = !another_round(round + 1, RACE_ROUNDS, r->start);
		}
		barrier_wait(&r->barrier);
	}
	enter_space(NULL);
}

KTEST(vm_race_copy_on_write)
{
	struct race r = {
	    .barrier = {.n = MIN(MAX(cpus_count(), 2u), 8u)}, .expected = 7, .start = clock_now()};
	size_t done;
	KT_REQUIRE(!space_create(&r.space));
	r.at = map_anon(r.space, 0, RACE_PAGES, RW, 0);
	KT_REQUIRE(r.at);
	for (unsigned k = 0; k < RACE_PAGES; k++)
		for (unsigned w = 0; w < PAGE_SIZE; w += 8)
			KT_CHECK_EQ(space_write(r.space, r.at + k * PAGE_SIZE + w, &r.expected, 8, &done), 0);
	KT_CHECK(kt_run_threads(r.barrier.n, race_cow_thread, &r));
	vm_validate(r.space);
	space_put(r.space);
}

/* --- a file for tests ----------------------------------------------------------------------------------- */

static _Atomic uint32_t file_reads;

static uint64_t file_word(pgidx_t idx, unsigned w)
{
	return (idx + 1) * 0x10001 + w;
}

static err_t test_file_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	(void)o;
	fetch_add_relaxed(&file_reads, n);
	thread_yield(); /* as if a disk were slow */
	for (unsigned i = 0; i < n; i++) {
		uint64_t *words = page_to_virt(pages[i]);
		for (unsigned w = 0; w < PAGE_SIZE / 8; w++)
			words[w] = file_word(idx + i, w);
	}
	return 0;
}
static const struct vm_file_ops test_file_ops = {.read = test_file_read};

enum { FILE_PAGES = 16 };

struct file_race {
	struct barrier barrier;
	struct vm_space *space;
	uaddr_t shared, copy;
};

static void file_thread(void *arg, unsigned i)
{
	struct file_race *r = arg;
	enter_space(r->space);
	for (unsigned k = 0; k < FILE_PAGES; k++) {
		barrier_wait(&r->barrier);
		KT_CHECK_EQ(get_word(r->shared + k * PAGE_SIZE + 8 * i), file_word(k, i));
		if (i % 2)
			KT_CHECK_EQ(get_word(r->copy + k * PAGE_SIZE + 800), file_word(k, 100));
		KT_CHECK_EQ(put_word(r->copy + k * PAGE_SIZE + 8 * i, i), 0);
		barrier_wait(&r->barrier);
		for (unsigned j = 0; j < r->barrier.n; j++) {
			KT_CHECK_EQ(get_word(r->copy + k * PAGE_SIZE + 8 * j), j);
			KT_CHECK_EQ(get_word(r->shared + k * PAGE_SIZE + 8 * j), file_word(k, j));
		}
	}
	enter_space(NULL);
}

KTEST(vm_race_file_pages)
{
	struct file_race r = {.barrier = {.n = MIN(MAX(cpus_count(), 2u), 8u)}};
	struct vm_object *file;
	store_relaxed(&file_reads, 0);
	KT_REQUIRE(!space_create(&r.space));
	KT_REQUIRE(!object_create_file(&test_file_ops, NULL, FILE_PAGES, &file));
	r.shared = map_object(r.space, file, FILE_PAGES, VM_READ, VM_MAP_SHARED);
	r.copy = map_object(r.space, file, FILE_PAGES, RW, 0);
	KT_REQUIRE(r.shared && r.copy);
	KT_CHECK(kt_run_threads(r.barrier.n, file_thread, &r));
	KT_CHECK_EQ(load_relaxed(&file_reads), FILE_PAGES); /* each page once, whoever came first */
	vm_validate(r.space);
	space_put(r.space);
	object_put(file);
}

KTEST(vm_beyond_the_end_of_a_file)
{
	struct vm_space *space;
	struct vm_object *file;
	KT_REQUIRE(!space_create(&space));
	KT_REQUIRE(!object_create_file(&test_file_ops, NULL, 2, &file));
	uaddr_t at = map_object(space, file, 4, RW, 0),
		ro = map_object(space, file, 4, VM_READ, VM_MAP_SHARED);
	KT_CHECK(at && ro);
	enter_space(space);
	KT_CHECK_EQ(get_word(at + PAGE_SIZE), file_word(1, 0));
	KT_CHECK_EQ(get_word(at + 2 * PAGE_SIZE), UINT64_MAX);
	KT_CHECK_EQ(put_word(at + 3 * PAGE_SIZE, 1), -EFAULT);
	KT_CHECK_EQ(put_word(ro, 1), -EFAULT);
	KT_CHECK_EQ(vm_fault(space, at + 2 * PAGE_SIZE, FAULT_READ | FAULT_USER), -EIO);
	KT_CHECK_EQ(vm_fault(space, ro + 3 * PAGE_SIZE, FAULT_READ | FAULT_USER), -EIO);
	KT_CHECK_EQ(vm_fault(space, ro, FAULT_WRITE | FAULT_USER), -EACCES);
	enter_space(NULL);
	space_put(space);
	object_put(file);
}

/* --- forks ---------------------------------------------------------------------------------------------- */

enum { STORM_PAGES = 200, STORM_ROUNDS = 40 };

struct storm {
	struct vm_space *parent;
	uaddr_t at;
};

/* Page k of the parent holds k in every word but the first one, which threads write into. */
static void storm_child(struct storm *s, struct vm_space *child, unsigned me, uint64_t *seed)
{
	enter_space(child);
	for (unsigned n = 0; n < 20; n++) {
		unsigned k = (unsigned)(kt_random(seed) % STORM_PAGES);
		uaddr_t page = s->at + k * PAGE_SIZE;
		uint64_t mine = kt_random(seed) >> 1;
		KT_CHECK_EQ(get_word(page + 8 * (2 + me)), k);
		KT_CHECK_EQ(put_word(page + 8 * (2 + me), mine), 0);
		KT_CHECK_EQ(get_word(page + 8 * (2 + me)), mine);
		KT_CHECK_EQ(put_word(page + 8 * (2 + me), k), 0);
	}
	enter_space(NULL);
}

static void storm_thread(void *arg, unsigned i)
{
	struct storm *s = arg;
	uint64_t seed = 77 + i;
	nsec_t start = clock_now();
	for (unsigned round = 0; another_round(round, STORM_ROUNDS, start); round++) {
		struct vm_space *child, *grandchild;
		KT_CHECK_EQ(space_fork(s->parent, &child), 0);
		storm_child(s, child, i, &seed);
		KT_CHECK_EQ(space_fork(child, &grandchild), 0);
		storm_child(s, grandchild, i, &seed);
		if (round % 2) {
			space_put(child);
			storm_child(s, grandchild, i, &seed);
			space_put(grandchild);
		} else {
			space_put(grandchild);
			storm_child(s, child, i, &seed);
			space_put(child);
		}
		enter_space(s->parent); /* the parent's own writes go on */
		KT_CHECK_EQ(put_word(s->at + (round * 7 + i) % STORM_PAGES * PAGE_SIZE, round), 0);
		enter_space(NULL);
	}
}

KTEST(vm_fork_storm)
{
	struct storm s;
	size_t done;
	KT_REQUIRE(!space_create(&s.parent));
	s.at = map_anon(s.parent, 0, STORM_PAGES, RW, 0);
	KT_REQUIRE(s.at);
	for (uint64_t k = 0; k < STORM_PAGES; k++)
		for (unsigned w = 0; w < 2 + 8; w++)
			KT_CHECK_EQ(space_write(s.parent, s.at + k * PAGE_SIZE + 8 * w, &k, 8, &done), 0);
	KT_CHECK(kt_run_threads(MIN(2 * cpus_count(), 8u), storm_thread, &s));
	vm_validate(s.parent);
	space_put(s.parent);
}

/* --- copies --------------------------------------------------------------------------------------------- */

KTEST(vm_usercopy)
{
	struct vm_space *space;
	char buffer[64], text[16];
	uint32_t seen;
	KT_REQUIRE(!space_create(&space));
	uaddr_t at = map_anon(space, 0x10000000, 2, RW, 0), ro = map_anon(space, 0x20000000, 1, VM_READ, 0);
	uaddr_t edge = at + 2 * PAGE_SIZE;
	KT_REQUIRE(at && ro);
	enter_space(space);
	memset(buffer, 'a', sizeof(buffer));
	KT_CHECK_EQ(copy_to_user_partial(edge - 40, buffer, 64), 24); /* exact to the byte */
	KT_CHECK_EQ(copy_from_user_partial(buffer, edge - 40, 64), 24);
	KT_CHECK_EQ(zero_user_partial(edge - 10, 64), 54);
	KT_CHECK_EQ(copy_to_user_partial(ro, buffer, 64), 64);
	KT_CHECK_EQ(copy_from_user_partial(buffer, ro, 64), 0);
	KT_CHECK_EQ(copy_to_user_partial(at + PAGE_SIZE - 32, buffer, 64), 0);
	KT_CHECK_EQ(copy_from_user_partial(buffer, 0, 8), 8);
	KT_CHECK_EQ(copy_from_user_partial(buffer, USER_END - 4, 8), 8);
	KT_CHECK_EQ(copy_from_user_partial(buffer, 0xffffffff80100000, 8), 8);
	KT_CHECK_EQ(
	    copy_from_user_partial(buffer, (uaddr_t)&seen, 4), 4); /* the kernel's own data, by its address */
	KT_CHECK_EQ(copy_to_user_partial(UINT64_MAX - 3, buffer, 8), 8);
	KT_CHECK_EQ(copy_from_user_partial(buffer, 0x60000000, (size_t)-1), (size_t)-1);
	KT_CHECK_EQ(copy_to_user(at, "hello", 6), 0);
	KT_CHECK_EQ(copy_string_from_user(text, at, sizeof(text)), 5);
	KT_CHECK_EQ(copy_string_from_user(text, at, 5), -ENAMETOOLONG);
	KT_CHECK_EQ(copy_to_user(edge - 3, "xyz", 3), 0);
	KT_CHECK_EQ(copy_string_from_user(text, edge - 3, sizeof(text)), -EFAULT);
	KT_CHECK_EQ(copy_string_from_user(text, edge - 3, 3), -ENAMETOOLONG);
	KT_CHECK_EQ(cas_user_u32(at + 8, 0, 5, &seen), 0);
	KT_CHECK_EQ(cas_user_u32(at + 8, 4, 6, &seen), 0);
	KT_CHECK_EQ(seen, 5);
	KT_CHECK_EQ(cas_user_u32(edge, 0, 1, &seen), -EFAULT);
	KT_CHECK_EQ(cas_user_u32(ro, 0, 1, &seen), -EFAULT);
	enter_space(NULL);
	space_put(space);
}

KTEST(vm_copy_between_spaces)
{
	struct vm_space *a, *b;
	size_t done;
	enum copy_side side;
	enum { N = 5 };
	KT_REQUIRE(!space_create(&a) && !space_create(&b));
	uaddr_t src = map_anon(a, 0x10000000, N, RW, 0), dst = map_anon(b, 0x30000000, N, RW, 0);
	uaddr_t ro = map_anon(b, 0x40000000, 1, VM_READ, 0);
	KT_REQUIRE(src && dst && ro);
	for (uint64_t i = 0; i < N * PAGE_SIZE / 8; i++)
		KT_CHECK_EQ(space_write(a, src + 8 * i, &i, 8, &done), 0);
	KT_CHECK_EQ(space_copy(b, dst + 24, a, src + 1000, 3 * PAGE_SIZE, &done, &side), 0);
	KT_CHECK(done == 3 * PAGE_SIZE && side == COPY_OK);
	enter_space(b); /* what the hardware says */
	for (uint64_t i = 0; i < 3 * PAGE_SIZE / 8; i++)
		KT_CHECK_EQ(get_word(dst + 24 + 8 * i), 125 + i);
	KT_CHECK_EQ(get_word(dst + 16), 0);
	enter_space(NULL);
	KT_CHECK_EQ(space_copy(b, dst, a, src + PAGE_SIZE, N * PAGE_SIZE, &done, &side), -EFAULT);
	KT_CHECK(done == (N - 1) * PAGE_SIZE && side == COPY_SRC_FAULT);
	KT_CHECK_EQ(space_copy(b, dst + PAGE_SIZE, a, src, N * PAGE_SIZE, &done, &side), -EFAULT);
	KT_CHECK(done == (N - 1) * PAGE_SIZE && side == COPY_DST_FAULT);
	KT_CHECK_EQ(space_copy(b, ro, a, src, 8, &done, &side), -EACCES);
	KT_CHECK(done == 0 && side == COPY_DST_FAULT);
	space_put(a);
	space_put(b);
}

/* --- purging -------------------------------------------------------------------------------------------- */

enum { PURGE_PAGES = 8, PURGE_ROUNDS = 300 };

struct purge {
	struct vm_space *space;
	uaddr_t at;
	_Atomic bool done;
	_Atomic uint32_t taken;
};

/* Touchers see zeros or what was written at that place, nothing else, whatever is purged meanwhile. */
static void purge_touch(struct purge *p, unsigned me)
{
	for (uint64_t n = 0; !load_acquire(&p->done); n++) {
		uaddr_t addr = p->at + n % PURGE_PAGES * PAGE_SIZE + 8 * me;
		uint64_t word = get_word(addr);
		KT_CHECK(word == 0 || word == addr);
		KT_CHECK_EQ(put_word(addr, addr), 0);
		if (n % 64 == 63)
			thread_yield();
	}
}

static void purge_thread(void *arg, unsigned i)
{
	struct purge *p = arg;
	nsec_t start = clock_now();
	enter_space(p->space);
	if (i)
		purge_touch(p, i);
	for (unsigned round = 0; !i && another_round(round, PURGE_ROUNDS, start); round++) {
		bool more, was_purged;
		KT_CHECK_EQ(space_set_volatile(p->space, p->at, PURGE_PAGES * PAGE_SIZE), 0);
		bool took = vm_purge_one(&more) > 0;
		KT_CHECK_EQ(space_set_nonvolatile(p->space, p->at, PURGE_PAGES * PAGE_SIZE, &was_purged), 0);
		KT_CHECK(!took || was_purged);
		KT_CHECK_EQ(put_word(p->at, p->at), 0); /* not volatile any more: it stays */
		KT_CHECK_EQ(vm_purge_one(&more), 0);
		KT_CHECK_EQ(get_word(p->at), p->at);
		if (took)
			fetch_add_relaxed(&p->taken, 1);
	}
	if (!i)
		store_release(&p->done, true);
	enter_space(NULL);
}

KTEST(vm_purge_while_touching)
{
	struct purge p = {0};
	KT_REQUIRE(!space_create(&p.space));
	p.at = map_anon(p.space, 0, PURGE_PAGES, RW, VM_MAP_PURGEABLE);
	KT_REQUIRE(p.at);
	KT_CHECK(kt_run_threads(MIN(MAX(cpus_count(), 2u), 8u), purge_thread, &p));
	KT_CHECK(load_relaxed(&p.taken) >= ROUNDS_MIN / 2);
	vm_validate(p.space);
	space_put(p.space);
}

/* --- everything at once --------------------------------------------------------------------------------- */

enum { MIX_PAGES = 32, MIX_STEPS = 600 };

struct mix {
	struct vm_space *space;
	uaddr_t at;
};

/* One change of the map in [addr, addr + n pages). -ENOMEM is right for holes. */
static void mix_change(struct mix *m, unsigned what, uaddr_t addr, unsigned n)
{
	struct vm_space *child;
	err_t err = 0;
	switch (what) {
	case 0:
		err = space_unmap(m->space, addr, n * PAGE_SIZE);
		break;
	case 1:
	case 2:
		err = map_anon(m->space, addr, n, RW, 0) ? 0 : -ENOMEM;
		break;
	case 3:
		err = space_protect(m->space, addr, n * PAGE_SIZE, n % 2 ? VM_READ : RW);
		break;
	case 4:
		err = space_discard(m->space, addr, n * PAGE_SIZE);
		break;
	case 5:
		err = space_fork(m->space, &child);
		if (!err)
			space_put(child);
		break;
	}
	KT_CHECK(err == 0 || err == -ENOMEM);
}

/* Map, unmap, protect, discard, fork and touch one range from all CPUs: errors are fine, foreign bytes are
 * not. Word w of page k holds 0 or its own address. */
static void mix_thread(void *arg, unsigned i)
{
	struct mix *m = arg;
	uint64_t seed = 1000 + i;
	nsec_t start = clock_now();
	enter_space(m->space);
	for (unsigned step = 0; another_round(step, MIX_STEPS, start); step++) {
		unsigned k = (unsigned)(kt_random(&seed) % MIX_PAGES),
			 n = 1 + (unsigned)(kt_random(&seed) % (MIX_PAGES - k));
		uaddr_t addr = m->at + k * PAGE_SIZE, word = addr + 8 * (kt_random(&seed) % 512);
		unsigned what = (unsigned)(kt_random(&seed) % 16);
		if (what < 6) {
			mix_change(m, what, addr, n);
			continue;
		}
		uint64_t seen = get_word(word);
		KT_CHECK(seen == 0 || seen == word || seen == UINT64_MAX);
		err_t err = put_word(word, word);
		KT_CHECK(err == 0 || err == -EFAULT);
	}
	enter_space(NULL);
}

KTEST(vm_everything_at_once)
{
	struct mix m = {.at = 0x7000000000};
	KT_REQUIRE(!space_create(&m.space));
	KT_CHECK(kt_run_threads(MIN(cpus_count() + 2, 8u), mix_thread, &m));
	vm_validate(m.space);
	mmu_validate(&m.space->mmu);
	space_put(m.space);
}
