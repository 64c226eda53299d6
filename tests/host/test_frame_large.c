/*
 * test_frame_large.c - runs of 512 frames that are set aside for one large translation.
 */
#include "frame_env.h"

/* What is left of a run of 512 is taken by its number, by others only when there is nothing else, and grows
 * together again by itself. */
static void what_is_set_aside_is_taken_last(void **state UNUSED)
{
	enum { ALL = 16384 };
	static struct page *others[ALL];
	struct page *mine[MMU_LARGE_PAGES], *first;
	unsigned n = 0, inside = 0;
	start(&maps[0]);
	struct snapshot before = snapshot();
	assert_int_equal(frame_alloc_large(PAGE_ANON, FRAME_ZERO, mine, 1), 1);
	first = mine[0];
	assert_true(IS_ALIGNED(page_to_pfn(first), MMU_LARGE_PAGES));
	assert_int_equal(frame_free_count(), before.zones[ZONE_LOW].free - 1);
	for (; (others[n] = frame_alloc(PAGE_ANON, FRAME_RESERVE)); n++) {
		inside += others[n] >= first && others[n] < first + MMU_LARGE_PAGES;
		assert_true(!inside || frame_free_count() < MMU_LARGE_PAGES);
	}
	assert_int_equal(inside, MMU_LARGE_PAGES - 1);
	while (n)
		frame_free(others[--n]);
	frame_drain_all();
	frame_validate();
	/* The rest of it: in two pieces, then nothing behind the end that is free. */
	assert_int_equal(frame_alloc_at(PAGE_ANON, 0, first + 3, mine + 3, 60), 60);
	assert_int_equal(frame_alloc_at(PAGE_ANON, 0, first + 1, mine + 1, 10), 2);
	assert_int_equal(
	    frame_alloc_at(PAGE_ANON, 0, first + 63, mine + 63, MMU_LARGE_PAGES - 63), MMU_LARGE_PAGES - 63);
	assert_int_equal(frame_alloc_at(PAGE_ANON, 0, first + 5, mine, 1), 0);
	assert_int_equal(frame_free_count(), before.zones[ZONE_LOW].free - MMU_LARGE_PAGES);
	frame_validate();
	mine[0] = first;
	for (unsigned i = 0; i < MMU_LARGE_PAGES; i++)
		frame_free(first + i);
	struct snapshot after = snapshot();
	assert_same(&before, &after);
}

/* Such frames are nice to have, like those of batches. */
static void large_runs_leave_the_high_watermark(void **state UNUSED)
{
	struct page *pages[64];
	struct zone_stats z;
	start(&maps[0]);
	while (frame_alloc_large(PAGE_ANON, 0, pages, 64))
		assert_int_equal(frame_alloc_at(PAGE_ANON, 0, pages[0] + 64, pages, 64), 64);
	frame_zone_stats(ZONE_LOW, &z);
	assert_true(z.free - z.cached >= z.high);
	while (frame_alloc_batch(PAGE_ANON, 0, pages, 64))
		;
	frame_zone_stats(ZONE_LOW, &z);
	assert_int_equal(z.free - z.cached, z.high); /* to which what was set aside belongs, too */
	frame_validate();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_set_aside_is_taken_last),
	    cmocka_unit_test(large_runs_leave_the_high_watermark),
	};
	env_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
