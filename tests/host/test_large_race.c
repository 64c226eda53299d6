/*
 * test_large_race.c - CPUs race for translations of 2 MiB: all fill the same memory in order, so that it
 * becomes large under their hands, or is so from the beginning, while parts of it are protected, copied,
 * forked and pinned. Each has a word of its own in every page, in which it counts; detectors as in
 * test_race.c.
 */
#include "race.h"
#include "vm/copy.h"

enum { WORKERS = 4, STRETCHES = 2, NPAGES = STRETCHES * MMU_LARGE_PAGES, ROUNDS = 3 };
#define AT GIB(1)

struct crowd {
	struct vm_space *s;
	uint64_t seed;
	_Atomic uint64_t forks;
};

static uaddr_t word_addr(unsigned page, unsigned me)
{
	return AT + (uaddr_t)page * PAGE_SIZE + me * 8;
}

/* A page that somebody protects at this moment cannot be written: again, until it can. */
static void count_up(struct vm_space *s, unsigned page, unsigned me, uint64_t from)
{
	uint64_t word = UINT64_MAX, next = from + 1;
	err_t err;

	mock_access(s, word_addr(page, me), &word, 8, false, &err);
	CHECK(!err && word == from);
	do
		mock_access(s, word_addr(page, me), &next, 8, true, &err);
	while (err == -EACCES);
	CHECK_EQ(err, 0);
}

static void protect_some(struct vm_space *s)
{
	uint64_t first = pick(NPAGES), n = pick(4) ? 1 + pick(8) : NPAGES;
	uint64_t len = MIN(n, NPAGES - first) * PAGE_SIZE;

	MUST(space_protect(s, AT + first * PAGE_SIZE, len, VM_READ));
	MUST(space_protect(s, AT + first * PAGE_SIZE, len, VM_READ | VM_WRITE));
}

/* The child has of my words what they were, and what it writes is its own. */
static void fork_some(struct crowd *c, unsigned me, unsigned done, uint64_t round)
{
	struct vm_space *child;
	uint64_t word;
	size_t n;

	if (space_fork(c->s, &child))
		return;
	MUST(space_protect(child, AT, (uint64_t)NPAGES * PAGE_SIZE, VM_READ | VM_WRITE));
	for (unsigned i = 0; i < 40; i++) {
		unsigned page = (unsigned)pick(NPAGES);
		MUST(space_read(child, &word, word_addr(page, me), 8, &n));
		CHECK_EQ(word, page <= done ? round + 1 : round);
		MUST(space_write(child, word_addr(page, me), &(uint64_t){999}, 8, &n));
		MUST(space_write(child, word_addr(page, me), &word, 8, &n));
	}
	vm_validate(child);
	space_put(child);
	fetch_add_relaxed(&c->forks, 1);
}

static void pin_some(struct vm_space *s)
{
	struct vm_pin pin;

	if (!vm_fault_pin(s, word_addr((unsigned)pick(NPAGES), 0), FAULT_READ, &pin))
		vm_unpin(&pin);
}

static void worker(void *arg, unsigned me)
{
	struct crowd *c = arg;

	rng = c->seed * 7919 + me * 104729 + 1;
	for (uint64_t round = 0; round < ROUNDS; round++) {
		for (unsigned page = 0; page < NPAGES; page++) {
			count_up(c->s, page, me, round);
			if (pick(500) == 0)
				protect_some(c->s);
			if (pick(200) == 0)
				pin_some(c->s);
			if (pick(3000) == 0)
				fork_some(c, me, page, round);
		}
	}
}

/* One CPU alone writes zeros in order, so that all becomes large. */
static void fill(struct vm_space *s)
{
	err_t err;

	for (unsigned page = 0; page < NPAGES; page++) {
		uint64_t word = 0;
		mock_access(s, word_addr(page, 0), &word, 8, true, &err);
		CHECK(!err);
	}
}

HOST_TEST(race_large_appears_and_goes)
{
	for (unsigned i = 0; i < 12 * factor; i++) {
		struct crowd c = {.seed = i + 1};
		struct vm_map_args args = {.addr = AT,
		    .len = (uint64_t)NPAGES * PAGE_SIZE,
		    .prot = VM_READ | VM_WRITE,
		    .flags = VM_MAP_FIXED};
		uaddr_t got;
		struct mmu_large_stats before, after;

		mmu_large_stats(&before);
		MUST(space_create(&c.s));
		MUST(space_map(c.s, &args, &got));
		if (c.seed % 2)
			fill(c.s);
		host_run_cpus(WORKERS, worker, &c);
		mmu_large_stats(&after);
		printf("# %llu large, %llu of them cut, %llu forks\n",
		    (unsigned long long)(after.made - before.made),
		    (unsigned long long)(after.cut - before.cut), (unsigned long long)load_relaxed(&c.forks));
		for (unsigned page = 0; page < NPAGES; page++)
			for (unsigned me = 0; me < WORKERS; me++) {
				uint64_t word = 0;
				size_t done;
				MUST(space_read(c.s, &word, word_addr(page, me), 8, &done));
				CHECK_EQ(word, ROUNDS);
			}
		vm_validate(c.s);
		space_put(c.s);
		mmu_large_stats(&after);
		CHECK_EQ(after.now, before.now);
		CHECK(after.made > before.made || c.seed % 2 == 0); /* else a fork may have come first */
	}
}

int main(int argc, char **argv)
{
	return race_main(argc, argv);
}
