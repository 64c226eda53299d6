/* test_ahead.c - first writes one page after the other: what is served ahead of them, what stops it, and what
 * must not be noticed. */
#include "vm_test.h"

#define AT (GIB(1) + MIB(2)) /* begins a leaf of the tree, and a table */

static struct vm_counters counted(void)
{
	struct vm_counters c;

	vm_counters(&c);
	return c;
}
static uint64_t faults(void)
{
	return counted().faults;
}

static uint64_t resident(struct vm_space *s, uaddr_t addr)
{
	return region_at(s, addr).resident;
}

HOST_TEST(in_order_a_fault_serves_many)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames(), f = faults(), ahead = counted().ahead;

	map_fixed(s, AT, 512, 0, NULL);
	fill(s, AT, 512, 1);
	CHECK_EQ(counted().ahead - ahead, 512 - (faults() - f));
	CHECK(faults() - f <= 16); /* 1, 2, 4 ... 32 in the first leaf, its rest, and one for each of seven */
	CHECK_EQ(anon_frames(), before + 512);
	CHECK(holds(s, AT, 512, 1));
	done_with(s);
	CHECK_EQ(anon_frames(), before);
}

/* Wherever in a leaf it begins. */
HOST_TEST(never_more_than_as_many_again)
{
	for (unsigned first = 0; first < PT_SLOTS; first++) {
		struct vm_space *s = new_space();
		uint64_t before = anon_frames();

		map_fixed(s, AT + LEN(first), 256, 0, NULL);
		for (unsigned n = 1; n <= 200; n++) {
			fill(s, AT + LEN(first + n - 1), 1, n);
			CHECK(anon_frames() - before <= 2 * n);
			CHECK(anon_frames() - before <= n + PT_SLOTS - 1);
		}
		CHECK(is_zero(s, AT + LEN(first + 200), 56));
		done_with(s);
	}
}

/* Exactly a frame and a fault for each page that is touched. */
static void no_order(unsigned npages, unsigned step)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames(), f = faults();

	map_fixed(s, AT, npages, 0, NULL);
	for (unsigned i = 0; i < npages / 2; i++) {
		fill(s, AT + LEN(i * step % npages), 1, i);
		CHECK_EQ(anon_frames() - before, i + 1);
	}
	CHECK_EQ(faults() - f, npages / 2);
	done_with(s);
}

HOST_TEST(out_of_order_nothing_is_served)
{
	no_order(512, 511); /* from the end */
	no_order(512, 509); /* every third, from the end */
	no_order(512, 2);
	no_order(512, 37);
	no_order(1024, 97);
}

/* A place that was filled long ago is not where a write goes on. */
HOST_TEST(what_was_before_is_forgotten)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 512, 0, NULL);
	fill(s, AT, 1, 1);
	for (unsigned i = 0; i < 8; i++)
		fill(s, AT + LEN(100 + 10 * i), 1, 1);
	fill(s, AT + LEN(1), 1, 1);
	CHECK_EQ(anon_frames() - before, 10);
	done_with(s);
}

HOST_TEST(several_streams_in_one_object)
{
	struct vm_space *s = new_space();
	uint64_t f = faults();

	map_fixed(s, AT, 4 * 256, 0, NULL);
	for (unsigned i = 0; i < 256; i++)
		for (unsigned k = 0; k < 4; k++)
			fill(s, AT + LEN(256 * k + i), 1, 1000 * k + i);
	CHECK(faults() - f <= 4 * 12);
	for (unsigned k = 0; k < 4; k++)
		CHECK(holds(s, AT + LEN(256 * k), 256, 1000 * k));
	done_with(s);
}

/* ---------------------------------------------------------------- what stops it */

HOST_TEST(it_ends_with_the_region)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 10, 0, NULL);
	map_fixed(
	    s, AT + LEN(12), 10, 0, NULL); /* of the same object, or not: what lies between is nobody's */
	fill(s, AT, 10, 1);
	CHECK_EQ(anon_frames() - before, 10);
	CHECK_EQ(store(s, AT + LEN(10), 1), -EFAULT);
	MUST(space_protect(s, AT + LEN(17), LEN(5), VM_READ));
	fill(s, AT + LEN(12), 5, 1);
	CHECK_EQ(anon_frames() - before, 15);
	done_with(s);
}

HOST_TEST(it_ends_where_a_page_is)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 64, 0, NULL);
	fill(s, AT + LEN(5), 1, 77);
	fill(s, AT, 4, 1); /* 0, then 1 and 2, then 3 and 4 */
	CHECK_EQ(anon_frames() - before, 6);
	CHECK_EQ(word_at(s, AT + LEN(5)), 77);
	CHECK(is_zero(s, AT + LEN(4), 1));
	done_with(s);
}

/* The page of zeros was read, so it is translated, and gives way as if nothing were there. */
HOST_TEST(zeros_that_were_read_give_way)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames(), word = 9;
	size_t done;

	map_fixed(s, AT, 512, 0, NULL);
	CHECK(is_zero(s, AT + LEN(5), 507));
	fill(s, AT, 4, 1); /* 0, then 1 and 2, then 3 to 6 */
	CHECK_EQ(anon_frames() - before, 7);
	CHECK(is_zero(s, AT + LEN(4), 3));
	MUST(space_write(s, AT + LEN(5), &word, 8, &done));
	CHECK_EQ(word_at(s, AT + LEN(5)), 9);
	uint64_t f = faults();
	fill(s, AT + LEN(4), 508, 5);
	CHECK(faults() - f <= 14);
	CHECK_EQ(anon_frames() - before, 512);
	CHECK(holds(s, AT, 512, 1));
	done_with(s);
	CHECK_EQ(anon_frames(), before);
}

HOST_TEST(advice_and_kinds_without_it)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 64, 0), *shared = new_shared(0, 64);
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 64, 0, NULL);
	MUST(space_set_flags(s, AT, LEN(64), REGION_RANDOM, 0));
	fill(s, AT, 20, 1);
	CHECK_EQ(anon_frames() - before, 20);
	MUST(space_set_flags(s, AT, LEN(64), 0, REGION_RANDOM));
	fill(s, AT + LEN(20), 1, 1);
	CHECK_EQ(anon_frames() - before, 22);
	map_fixed(s, AT, 64, VM_MAP_SHARED, shared);
	map_fixed(s, AT + LEN(64), 64, 0, file);
	fill(s, AT, 20, 1);
	fill(s, AT + LEN(64), 20, 1);
	CHECK_EQ(anon_frames() - before, 40);
	map_fixed(s, AT, 64, 0, NULL);
	MUST(space_lock_range(s, AT, LEN(64), REGION_LOCKED | REGION_LOCK_ONFAULT, UINT64_MAX));
	fill(s, AT, 20, 1);
	CHECK_EQ(resident(s, AT), 20);
	done_with(s);
	object_put(file);
	object_put(shared);
}

/* Only while every zone has more than its high watermark; then by one, to the last frame. */
HOST_TEST(memory_is_plentiful_or_it_is_not_done)
{
	struct vm_space *s = new_space();
	struct zone_stats z;
	uint64_t before, n = 0;

	map_fixed(s, AT, 1 << 17, 0, NULL);
	MUST(space_set_flags(s, AT + LEN(1 << 16), LEN(1 << 16), REGION_RANDOM, 0));
	for (frame_zone_stats(ZONE_LOW, &z); z.free - z.cached > z.high; frame_zone_stats(ZONE_LOW, &z))
		fill(s, AT + LEN((1 << 16) + n++), 1, 1);
	before = anon_frames();
	fill(s, AT, 20, 1);
	CHECK_EQ(anon_frames() - before, 20);
	CHECK(holds(s, AT, 20, 1));
	done_with(s);
}

/* ---------------------------------------------------------------- together with the rest */

HOST_TEST(a_fork_shares_nothing_that_comes_later)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 128, 0, NULL);
	fill(s, AT, 20, 1); /* 31 are there */
	struct vm_space *child = fork_of(s);
	fill(child, AT, 100, 1000);
	CHECK(holds(s, AT, 20, 1) && is_zero(s, AT + LEN(20), 108));
	fill(s, AT + LEN(20), 100, 21);
	CHECK(holds(s, AT, 120, 1) && is_zero(s, AT + LEN(120), 8));
	CHECK(holds(child, AT, 100, 1000) && is_zero(child, AT + LEN(100), 28));
	vm_validate(s);
	vm_validate(child);
	done_with(child);
	done_with(s);
}

HOST_TEST(purged_memory_is_filled_again)
{
	struct vm_space *s = new_space();
	bool was, more;

	map_fixed(s, AT, 64, VM_MAP_PURGEABLE, NULL);
	fill(s, AT, 64, 1);
	MUST(space_set_volatile(s, AT, LEN(64)));
	CHECK_EQ(vm_purge_one(&more), 64);
	fill(s, AT, 4, 1); /* 7 are there */
	CHECK_EQ(region_at(s, AT).vol_state, VOLATILE_YES);
	CHECK_EQ(vm_purge_one(&more), 7);
	MUST(space_set_nonvolatile(s, AT, LEN(64), &was));
	CHECK(was && is_zero(s, AT, 64));
	fill(s, AT, 64, 1);
	CHECK(holds(s, AT, 64, 1));
	done_with(s);
}

HOST_TEST(thrown_away_memory_is_zero_again)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 128, 0, NULL);
	for (unsigned round = 0; round < 4; round++) {
		fill(s, AT, 50, 1);
		CHECK(is_zero(s, AT + LEN(50), 78));
		MUST(space_discard(s, AT + LEN(10), LEN(118)));
		CHECK(holds(s, AT, 10, 1) && is_zero(s, AT + LEN(10), 118));
	}
	done_with(s);
}

/* A window that has moved: the leaves of its tree lie across tables. */
HOST_TEST(leaves_across_tables)
{
	struct vm_space *s = new_space();
	struct vm_remap_args args = {.addr = AT,
	    .old_len = LEN(256),
	    .new_len = LEN(256),
	    .flags = VM_REMAP_MAYMOVE | VM_REMAP_FIXED,
	    .new_addr = AT + GIB(1) - LEN(100)};
	uaddr_t at;

	map_fixed(s, AT, 256, 0, NULL);
	fill(s, AT, 3, 1);
	MUST(space_remap(s, &args, &at));
	fill(s, at + LEN(3), 253, 4);
	CHECK(holds(s, at, 256, 1));
	CHECK_EQ(resident(s, at), 256);
	vm_validate(s);
	done_with(s);
}

/* Copies into the memory of others take pages one by one. */
HOST_TEST(copies_from_outside)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames(), word = 5;
	size_t done;

	map_fixed(s, AT, 64, 0, NULL);
	for (unsigned i = 0; i < 10; i++)
		MUST(space_write(s, AT + LEN(i), &word, 8, &done));
	CHECK_EQ(anon_frames() - before, 10);
	done_with(s);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
