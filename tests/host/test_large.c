/* test_large.c - translations of 2 MiB: when there is one, what ends it, and what nobody may notice. */
#include "lib/inject.h"
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))
enum { STRETCH = MMU_LARGE_PAGES };

/* Is the page at addr translated, and by what? Bytes; 0: not at all. */
static uint64_t span_at(struct vm_space *s, uaddr_t addr)
{
	struct mmu_translation t;

	return mmu_query(&s->mmu, addr, &t) ? t.size : 0;
}

/* Pages of the region at addr that large translations span. */
static uint64_t large_pages(struct vm_space *s, uaddr_t addr)
{
	struct usage_memory m;
	struct region_usage u;
	usage_memory_init(&m);
	CHECK(space_usage(s, region_at(s, addr).start, &m, &u));
	usage_memory_fini(&m);
	return u.large;
}

static bool is_large_at(struct vm_space *s, uaddr_t addr)
{
	return span_at(s, addr) == MMU_LARGE_SIZE;
}

/* A space with n stretches from AT on that were filled in order, all of them large. */
static struct vm_space *new_large(unsigned n)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, n * STRETCH, 0, NULL);
	fill(s, AT, n * STRETCH, 1);
	for (unsigned i = 0; i < n; i++)
		CHECK(is_large_at(s, AT + i * MMU_LARGE_SIZE));
	return s;
}

static void check_and_end(struct vm_space *s, uint64_t frames_before)
{
	done_with(s);
	CHECK_EQ(anon_frames(), frames_before);
}

HOST_TEST(in_order_it_becomes_one_translation)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();

	map_fixed(s, AT, 2 * STRETCH, 0, NULL);
	for (unsigned i = 0; i < STRETCH; i++) {
		CHECK_EQ(span_at(s, AT), i ? PAGE_SIZE : 0);
		if (is_large_at(s, AT + LEN(i)))
			break;
		fill(s, AT + LEN(i), 1, 1 + i);
		CHECK(anon_frames() - before <= 2 * (i + 1));
		if (i >= STRETCH - PT_SLOTS) /* the last leaf comes as one */
			break;
	}
	CHECK(is_large_at(s, AT) && span_at(s, AT + MMU_LARGE_SIZE) == 0);
	CHECK_EQ(mmu_table_count(&s->mmu), 3);
	CHECK_EQ(large_pages(s, AT), STRETCH);
	fill(s, AT, 2 * STRETCH, 1);
	CHECK(holds(s, AT, 2 * STRETCH, 1));
	CHECK_EQ(large_pages(s, AT), 2 * STRETCH);
	CHECK_EQ(mmu_table_count(&s->mmu), 3);
	check_and_end(s, before);
}

/* Where a stretch has no room, or was not filled in order. */
HOST_TEST(what_has_none)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();

	map_fixed(s, AT + LEN(1), STRETCH, 0, NULL); /* begins late, ends early */
	fill(s, AT + LEN(1), STRETCH, 1);
	CHECK_EQ(large_pages(s, AT + LEN(1)), 0);
	map_fixed(s, AT, STRETCH, 0, NULL);
	for (unsigned i = STRETCH; i-- > 0;)
		fill(s, AT + LEN(i), 1, 1);
	CHECK_EQ(large_pages(s, AT), 0);
	check_and_end(s, before);
}

HOST_TEST(filled_from_several_places)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();

	map_fixed(s, AT, STRETCH, 0, NULL);
	for (unsigned i = 0; i < PT_SLOTS; i++)
		for (unsigned k = 0; k < STRETCH / PT_SLOTS; k++)
			fill(s, AT + LEN(k * PT_SLOTS + i), 1, 1000 + k * PT_SLOTS + i);
	CHECK(is_large_at(s, AT) && holds(s, AT, STRETCH, 1000));
	check_and_end(s, before);
}

HOST_TEST(brought_in_at_once)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();

	MUST(try_map(s, AT, LEN(3 * STRETCH), RW, VM_MAP_FIXED | VM_MAP_POPULATE, NULL));
	MUST(space_populate(s, AT, AT + LEN(3 * STRETCH), POPULATE_BY_RIGHTS));
	CHECK_EQ(large_pages(s, AT), 3 * STRETCH);
	CHECK(is_zero(s, AT, 3 * STRETCH));
	check_and_end(s, before);
}

HOST_TEST(advice_and_modes)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();
	static const struct {
		enum large_mode mode;
		unsigned flags;
		bool space_off, large;
	} cases[] = {{LARGE_ALWAYS, 0, false, true}, {LARGE_ALWAYS, REGION_NO_LARGE, false, false},
	    {LARGE_ALWAYS, REGION_LARGE, true, false}, {LARGE_ADVISED, 0, false, false},
	    {LARGE_ADVISED, REGION_LARGE, false, true}, {LARGE_NEVER, REGION_LARGE, false, false},
	    {LARGE_ALWAYS, REGION_RANDOM, false, false}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		vm_set_large_mode(cases[i].mode);
		store_relaxed(&s->no_large, cases[i].space_off);
		map_fixed(s, AT, STRETCH, 0, NULL);
		if (cases[i].flags)
			MUST(space_set_flags(s, AT, LEN(STRETCH), cases[i].flags, 0));
		fill(s, AT, STRETCH, 1);
		CHECK_EQ(is_large_at(s, AT), cases[i].large);
	}
	vm_set_large_mode(LARGE_ALWAYS);
	check_and_end(s, before);
}

/* ---------------------------------------------------------------- what ends it */

/* Another translation is not touched; what is left of this one has what it had. */
static void expect_cut(struct vm_space *s, uaddr_t but, uint64_t npages)
{
	unsigned first = (unsigned)((but - AT) >> PAGE_SHIFT);

	CHECK(!is_large_at(s, AT) && is_large_at(s, AT + MMU_LARGE_SIZE));
	CHECK(holds(s, AT, first, 1));
	CHECK(holds(s, but + LEN(npages), 2 * STRETCH - first - npages, 1 + first + npages));
}

HOST_TEST(unmapped_in_part)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2);

	MUST(space_unmap(s, AT + LEN(100), LEN(3)));
	expect_cut(s, AT + LEN(100), 3);
	CHECK_EQ(anon_frames() - before, 2 * STRETCH - 3);
	check_and_end(s, before);
}

HOST_TEST(protected_in_part_and_back)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2);

	MUST(space_protect(s, AT + LEN(5), LEN(2), VM_READ));
	CHECK_EQ(store(s, AT + LEN(5), 0), -EACCES);
	expect_cut(s, AT + LEN(5), 2);
	CHECK(holds(s, AT, STRETCH, 1));
	MUST(space_protect(s, AT + LEN(5), LEN(2), RW));
	fill(s, AT + LEN(6), 1, 7); /* all rights are equal again, and it was not translated for writing */
	CHECK(is_large_at(s, AT) && holds(s, AT, STRETCH, 1));
	check_and_end(s, before);
}

/* Rights of the whole change in place. */
HOST_TEST(protected_as_a_whole)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2);

	MUST(space_protect(s, AT, LEN(2 * STRETCH), VM_READ));
	CHECK(is_large_at(s, AT) && store(s, AT, 0) == -EACCES && holds(s, AT, 2 * STRETCH, 1));
	MUST(space_protect(s, AT, LEN(2 * STRETCH), RW));
	fill(s, AT + LEN(3), 1, 4);
	CHECK(is_large_at(s, AT) && holds(s, AT, 2 * STRETCH, 1));
	check_and_end(s, before);
}

HOST_TEST(discarded_in_part)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2);

	MUST(space_discard(s, AT + LEN(511), LEN(1)));
	expect_cut(s, AT + LEN(511), 1);
	CHECK(is_zero(s, AT + LEN(511), 1));
	fill(s, AT + LEN(511), 1, 512); /* its frame was free, and is taken again */
	CHECK(holds(s, AT, 2 * STRETCH, 1));
	check_and_end(s, before);
}

HOST_TEST(moved)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2);
	uaddr_t to = AT + GIB(1), got;
	struct vm_remap_args part = {.addr = AT + LEN(10),
	    .old_len = LEN(4),
	    .new_len = LEN(4),
	    .flags = VM_REMAP_MAYMOVE | VM_REMAP_FIXED,
	    .new_addr = to - MIB(1)};
	struct vm_remap_args whole = {.addr = AT + MMU_LARGE_SIZE,
	    .old_len = MMU_LARGE_SIZE,
	    .new_len = MMU_LARGE_SIZE,
	    .flags = VM_REMAP_MAYMOVE | VM_REMAP_FIXED,
	    .new_addr = to};

	MUST(space_remap(s, &part, &got));
	expect_cut(s, AT + LEN(10), 4);
	CHECK(holds(s, to - MIB(1), 4, 11));
	MUST(space_remap(s, &whole, &got));
	CHECK(holds(s, to, STRETCH, 1 + STRETCH) && is_large_at(s, to)); /* where it fits as well */
	whole = (struct vm_remap_args){.addr = to,
	    .old_len = MMU_LARGE_SIZE,
	    .new_len = MMU_LARGE_SIZE,
	    .flags = VM_REMAP_MAYMOVE | VM_REMAP_FIXED,
	    .new_addr = AT + GIB(2) + LEN(3)};
	MUST(space_remap(s, &whole, &got));
	CHECK(holds(s, got, STRETCH, 1 + STRETCH) && large_pages(s, got) == 0);
	check_and_end(s, before);
}

/* ---------------------------------------------------------------- fork */

HOST_TEST(a_copy_after_fork_ends_it)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2), *child = fork_of(s);
	uint64_t tables = mmu_table_count(&s->mmu);

	CHECK(is_large_at(s, AT) && mmu_table_count(&s->mmu) == tables);
	CHECK(holds(child, AT, 2 * STRETCH, 1));
	CHECK_EQ(large_pages(child, AT), 0); /* what both have is translated page by page */
	fill(s, AT + LEN(7), 1, 77);
	CHECK(!is_large_at(s, AT) && is_large_at(s, AT + MMU_LARGE_SIZE));
	CHECK_EQ(word_at(s, AT + LEN(7)), 77);
	CHECK_EQ(word_at(child, AT + LEN(7)), 8);
	fill(child, AT + MMU_LARGE_SIZE, 1, 99);
	CHECK_EQ(word_at(s, AT + MMU_LARGE_SIZE), 1 + STRETCH);
	CHECK_EQ(anon_frames() - before, 2 * STRETCH + 2);
	vm_validate(s);
	done_with(child);
	check_and_end(s, before);
}

/* One fault for the stretch when the child is gone, and the child's when the parent is. */
HOST_TEST(after_the_other_has_gone)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(2), *child = fork_of(s);
	struct vm_counters a, b;

	CHECK(holds(child, AT, STRETCH, 1));
	done_with(child);
	vm_counters(&a);
	fill(s, AT, 2 * STRETCH, 1);
	vm_counters(&b);
	CHECK_EQ(b.faults - a.faults, 2);
	CHECK_EQ(large_pages(s, AT), 2 * STRETCH);
	child = fork_of(s);
	CHECK(holds(child, AT, STRETCH, 1));
	done_with(s);
	fill(child, AT, 2 * STRETCH, 1);
	CHECK_EQ(large_pages(child, AT), 2 * STRETCH);
	check_and_end(child, before);
}

/* Whatever is copied: one page of it is not the stretch's any more. */
HOST_TEST(a_page_elsewhere_is_not_part_of_it)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(1), *child = fork_of(s);

	fill(s, AT + LEN(300), 1, 301);
	done_with(child);
	fill(s, AT, STRETCH, 1);
	CHECK(!is_large_at(s, AT) && holds(s, AT, STRETCH, 1));
	check_and_end(s, before);
}

/* A page that is written through a pin is copied for the clone; the stretch goes on. */
HOST_TEST(pins)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_large(1), *child;
	struct vm_pin pin;

	MUST(vm_fault_pin(s, AT + LEN(9), FAULT_WRITE, &pin));
	CHECK(is_large_at(s, AT));
	child = fork_of(s);
	((uint64_t *)page_to_virt(pin.page))[0] = 1234;
	vm_unpin(&pin);
	CHECK_EQ(word_at(s, AT + LEN(9)), 1234);
	CHECK_EQ(word_at(child, AT + LEN(9)), 10);
	done_with(child);
	check_and_end(s, before);
}

HOST_TEST(purged)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();
	bool more, was_purged;

	map_fixed(s, AT, STRETCH, VM_MAP_PURGEABLE, NULL);
	fill(s, AT, STRETCH, 1);
	CHECK(is_large_at(s, AT));
	MUST(space_set_volatile(s, AT, MMU_LARGE_SIZE));
	CHECK_EQ(vm_purge_one(&more), STRETCH);
	CHECK_EQ(span_at(s, AT), 0);
	MUST(space_set_nonvolatile(s, AT, MMU_LARGE_SIZE, &was_purged));
	CHECK(was_purged && is_zero(s, AT, STRETCH));
	check_and_end(s, before);
}

/* ---------------------------------------------------------------- memory */

/* Not one frame more is gone than was touched or served ahead, and others have what was set aside. */
HOST_TEST(what_is_set_aside_is_free)
{
	uint64_t before = anon_frames(), free;
	struct vm_space *s = new_space();
	struct page *taken = NULL, *p;
	unsigned n = 0;

	map_fixed(s, AT, STRETCH, 0, NULL);
	free = frame_free_count();
	fill(s, AT, 1, 1);
	CHECK(free - frame_free_count() < 16); /* its page, nodes, tables */
	while ((p = frame_alloc(PAGE_KERNEL, FRAME_RESERVE))) {
		p->link_next = taken ? (uint32_t)page_to_pfn(taken) : 0;
		taken = p;
		n++;
	}
	CHECK_EQ(frame_free_count(), 0);
	for (; n; n--) {
		p = taken;
		taken = p->link_next ? pfn_to_page(p->link_next) : NULL;
		frame_free(p);
	}
	fill(s, AT, STRETCH, 1);
	CHECK(is_large_at(s, AT)); /* nobody has it any more */
	check_and_end(s, before);
}

/* Somebody has a frame of the run: everything goes on, but not large. */
HOST_TEST(a_run_that_others_broke)
{
	uint64_t before = anon_frames();
	struct vm_space *s = new_space();
	struct mmu_translation t;
	struct page *theirs;

	map_fixed(s, AT, 2 * STRETCH, 0, NULL);
	fill(s, AT, 1, 1);
	CHECK(mmu_query(&s->mmu, AT, &t));
	CHECK_EQ(frame_alloc_at(PAGE_KERNEL, 0, phys_to_page(t.paddr) + 200, &theirs, 1), 1);
	fill(s, AT, 2 * STRETCH, 1);
	CHECK(!is_large_at(s, AT) && is_large_at(s, AT + MMU_LARGE_SIZE));
	CHECK(holds(s, AT, 2 * STRETCH, 1));
	frame_free(theirs);
	check_and_end(s, before);
}

/* Whatever request fails, what was stored is there, and nothing is lost. */
HOST_TEST(without_memory_at_any_moment)
{
	for (unsigned n = 1, fired = 1; fired; n++) {
		uint64_t before = anon_frames();
		struct vm_space *s = new_space();

		map_fixed(s, AT, STRETCH, 0, NULL);
		inject_arm(n);
		for (unsigned i = 0; i < STRETCH; i++)
			while (store(s, AT + LEN(i), i))
				;
		fired = inject_fired();
		inject_arm(0);
		CHECK(holds(s, AT, STRETCH, 0));
		MUST(space_protect(s, AT, LEN(7), VM_READ));
		inject_arm(n % 9 + 1);
		for (unsigned i = 7; i < STRETCH; i++)
			while (store(s, AT + LEN(i), i))
				;
		inject_arm(0);
		CHECK(holds(s, AT, STRETCH, 0));
		check_and_end(s, before);
	}
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 15);
}
