/* test_fault.c - what an access does: zeros, copies, files, errors, translations. */
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))

HOST_TEST(error_table)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 2, 100), *o = new_shared(0, 2);
	struct vm_space *s = new_space();
	uint64_t value;

	map_fixed(s, AT, 1, 0, NULL);
	CHECK_EQ(try_map(s, AT + LEN(1), LEN(1), VM_READ, VM_MAP_FIXED, NULL), 0);
	CHECK_EQ(try_map(s, AT + LEN(2), LEN(1), 0, VM_MAP_FIXED, NULL), 0);
	CHECK_EQ(try_map(s, AT + LEN(3), LEN(1), VM_READ | VM_EXEC, VM_MAP_FIXED, NULL), 0);
	map_fixed(s, AT + LEN(10), 4, VM_MAP_SHARED, file);
	map_fixed(s, AT + LEN(20), 4, 0, file);
	map_fixed(s, AT + LEN(30), 4, VM_MAP_SHARED, o);
	static const struct {
		unsigned page;
		err_t load, store, execute;
	} table[] = {
	    {0, 0, 0, -EACCES},
	    {1, 0, -EACCES, -EACCES},
	    {2, -EACCES, -EACCES, -EACCES},
	    {3, 0, -EACCES, 0},
	    {4, -EFAULT, -EFAULT, -EFAULT},
	    {11, 0, 0, -EACCES},
	    {12, -EIO, -EIO, -EACCES},
	    {21, 0, 0, -EACCES},
	    {22, -EIO, -EIO, -EACCES},
	    {31, 0, 0, -EACCES},
	    {32, -EIO, -EIO, -EACCES},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		CHECK_EQ(load(s, AT + LEN(table[i].page), &value), table[i].load);
		CHECK_EQ(store(s, AT + LEN(table[i].page), 1), table[i].store);
		CHECK_EQ(mock_execute(s, AT + LEN(table[i].page)), table[i].execute);
	}
	static const uaddr_t strange[] = {
	    0, 8, 0xff8, USER_END, USER_END + LEN(1), 1ULL << 47, 1ULL << 63, UINT64_MAX - 7};
	for (unsigned i = 0; i < ARRAY_SIZE(strange); i++) {
		CHECK_EQ(load(s, strange[i], &value), -EFAULT);
		CHECK_EQ(store(s, strange[i], 1), -EFAULT);
	}
	done_with(s);
	object_put(file);
	object_put(o);
}

HOST_TEST(reading_untouched_memory_takes_no_frame)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 200, 0, NULL);
	CHECK(is_zero(s, AT, 200));
	CHECK_EQ(anon_frames(), before);
	CHECK_EQ(region_at(s, AT).resident, 0);
	CHECK_EQ(store(s, AT + LEN(3), 5), 0);
	CHECK_EQ(anon_frames(), before + 1);
	CHECK(is_zero(s, AT, 3) && is_zero(s, AT + LEN(4), 100));
	done_with(s);
}

/* A known defect elsewhere: a recycled frame showed what its last owner had left. */
HOST_TEST(fresh_pages_are_zero_everywhere)
{
	static uint8_t bytes[PAGE_SIZE];
	err_t err;

	for (unsigned round = 0; round < 3; round++) {
		struct vm_space *s = new_space();
		map_fixed(s, AT, 50, 0, NULL);
		for (unsigned i = 0; i < 50; i++) {
			CHECK_EQ(store(s, AT + LEN(i) + 8 * i, 0), 0);
			mock_access(s, AT + LEN(i), bytes, PAGE_SIZE, false, &err);
			for (unsigned b = 0; b < PAGE_SIZE; b++)
				if (bytes[b])
					CHECK(!"a byte of a fresh page is not zero");
			memset(bytes, 0xa5, PAGE_SIZE);
			mock_access(s, AT + LEN(i), bytes, PAGE_SIZE, true, &err);
		}
		done_with(s);
	}
}

HOST_TEST(neighbours_come_along)
{
	struct vm_space *s = new_space();
	struct mock_stats before, after;

	map_fixed(s, AT, 64, 0, NULL);
	fill(s, AT, 64, 1);
	struct vm_space *child = fork_of(s);
	mock_get_stats(&before);
	CHECK(holds(child, AT, 64, 1));
	mock_get_stats(&after);
	CHECK(after.faults - before.faults <= 2); /* not one for each page */
	done_with(child);
	done_with(s);
}

HOST_TEST(neighbours_never_grant_write_to_shared_pages)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 64, 0, NULL);
	fill(s, AT, 64, 1);
	struct vm_space *child = fork_of(s);
	fill(s, AT + LEN(5), 1, 100); /* the leaf is the parent's now, its pages are not */
	for (unsigned i = 0; i < 64; i++)
		CHECK_EQ(store(s, AT + LEN(i), 200 + i), 0);
	CHECK(holds(child, AT, 64, 1));
	done_with(child);
	done_with(s);
}

/* The fault answers a refusal that was only in the TLB. */
HOST_TEST(spurious_faults_are_answered)
{
	struct vm_space *s = new_space();
	paddr_t pa;

	map_fixed(s, AT, 2, 0, NULL);
	fill(s, AT, 2, 1);
	CHECK_EQ(mock_probe(&s->mmu, AT, MMU_WRITE, &pa), 0);
	CHECK_EQ(space_protect(s, AT, LEN(2), VM_READ), 0);
	CHECK(holds(s, AT, 2, 1)); /* now the TLB has read-only entries */
	CHECK_EQ(space_protect(s, AT, LEN(2), RW), 0);
	CHECK_EQ(store(s, AT, 9), 0);
	CHECK_EQ(word_at(s, AT), 9);
	done_with(s);
}

HOST_TEST(file_pages_are_shared_and_read_ahead)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, TEST_FILE_PAGES, 1000);
	struct vm_space *a = new_space(), *b = new_space();

	map_fixed(a, AT, TEST_FILE_PAGES, VM_MAP_SHARED, file);
	map_fixed(b, AT, TEST_FILE_PAGES, VM_MAP_SHARED, file);
	uint64_t before = anon_frames();
	CHECK(holds(a, AT, TEST_FILE_PAGES, 1000));
	CHECK(holds(b, AT, TEST_FILE_PAGES, 1000));
	CHECK_EQ(f.reads, TEST_FILE_PAGES); /* each page came in once */
	CHECK_EQ(store(a, AT + LEN(7), 5), 0);
	CHECK_EQ(word_at(b, AT + LEN(7)), 5);
	CHECK_EQ(anon_frames(), before);
	done_with(a);
	done_with(b);
	object_put(file);
}

HOST_TEST(private_file_page_follows_the_file_until_written)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 8, 1000);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 8, VM_MAP_SHARED, file);
	map_fixed(s, AT + LEN(10), 8, 0, file);
	CHECK_EQ(word_at(s, AT + LEN(13)), 1003);
	CHECK_EQ(store(s, AT + LEN(3), 5), 0);
	CHECK_EQ(word_at(s, AT + LEN(13)), 5);
	CHECK_EQ(store(s, AT + LEN(13), 6), 0);
	CHECK_EQ(word_at(s, AT + LEN(3)), 5);
	CHECK_EQ(store(s, AT + LEN(3), 7), 0);
	CHECK_EQ(word_at(s, AT + LEN(13)), 6);
	CHECK_EQ(space_discard(s, AT + LEN(13), LEN(1)), 0); /* the file again */
	CHECK_EQ(word_at(s, AT + LEN(13)), 7);
	done_with(s);
	object_put(file);
}

/* A known defect elsewhere: read access to a page that only one page read ahead made fail. */
HOST_TEST(bad_page_spoils_itself_only)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 40, 1000);
	struct vm_space *s = new_space();
	uint64_t value;

	map_fixed(s, AT, 40, VM_MAP_SHARED, file);
	f.bad = 5;
	for (unsigned i = 0; i < 40; i++)
		CHECK_EQ(load(s, AT + LEN(i), &value), i == 5 ? -EIO : 0);
	f.bad = -1;
	CHECK(holds(s, AT, 40, 1000));
	done_with(s);
	object_put(file);
}

HOST_TEST(execute_through_file)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 4, 1000);
	struct vm_space *s = new_space();

	CHECK_EQ(try_map(s, AT, LEN(4), VM_READ | VM_EXEC, VM_MAP_FIXED, file), 0);
	CHECK_EQ(mock_execute(s, AT), 0);
	CHECK_EQ(mock_execute(s, AT + LEN(3)), 0);
	CHECK_EQ(store(s, AT, 1), -EACCES);
	done_with(s);
	object_put(file);
}

HOST_TEST(device_pages)
{
	paddr_t base = (paddr_t)HOST_DEVICE_FRAME << PAGE_SHIFT;
	struct mmu_translation t;
	struct vm_object *o;
	struct vm_space *s = new_space();
	uint64_t word;
	size_t done;

	CHECK_EQ(object_create_phys(base, 4, MMU_WC, &o), 0);
	map_fixed(s, AT, 6, VM_MAP_SHARED, o);
	CHECK_EQ(store(s, AT + LEN(2), 77), 0);
	CHECK_EQ(*(uint64_t *)phys_to_virt(base + LEN(2)), 77);
	CHECK(mmu_query(&s->mmu, AT + LEN(2), &t) && t.flags >> MMU_CACHE_SHIFT == MMU_WC &&
	      t.paddr == base + LEN(2));
	CHECK_EQ(store(s, AT + LEN(4), 1), -EIO);
	CHECK_EQ(space_read(s, &word, AT, 8, &done),
	    -EFAULT); /* devices are not copied from behind their drivers' back */
	CHECK_EQ(object_resize(o, 1), -EINVAL);
	CHECK_EQ(object_discard(o, 0, 1), -EINVAL);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(store(child, AT, 5), 0);
	CHECK_EQ(word_at(s, AT), 5);
	done_with(child);
	done_with(s);
	object_put(o);
}

HOST_TEST(faults_work_until_the_last_frame)
{
	struct vm_space *s = new_space();
	uint64_t n = 0, value;
	err_t err;

	map_fixed(s, AT, frame_total_count() + 100, 0, NULL);
	while ((err = store(s, AT + LEN(n), n)) == 0)
		n++;
	CHECK_EQ(err, -ENOMEM);
	CHECK(frame_free_count() < frame_total_count() / 20); /* memory was used up, but for the reserve */
	for (uint64_t i = 0; i < n; i += 97)
		CHECK(load(s, AT + LEN(i), &value) == 0 && value == i);
	CHECK_EQ(space_discard(s, AT, LEN(100)), 0);
	for (unsigned i = 0; i < 90; i++)
		CHECK_EQ(store(s, AT + LEN(i), 1), 0);
	done_with(s);
}

/* Clean pages of files and volatile memory give way before a fault fails. */
HOST_TEST(faults_reclaim_before_they_fail)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, TEST_FILE_PAGES, 1000);
	struct vm_space *s = new_space();
	uint64_t n = 0, value;
	bool was;

	map_fixed(s, AT, TEST_FILE_PAGES, VM_MAP_SHARED, file);
	map_fixed(s, AT + LEN(200), 100, VM_MAP_PURGEABLE, NULL);
	CHECK(holds(s, AT, TEST_FILE_PAGES, 1000));
	CHECK_EQ(store(s, AT + LEN(3), 99), 0); /* dirty: stays */
	fill(s, AT + LEN(200), 100, 5);
	CHECK_EQ(space_set_volatile(s, AT + LEN(200), LEN(100)), 0);
	map_fixed(s, AT + GIB(1), frame_total_count() + 100, 0, NULL);
	while (store(s, AT + GIB(1) + LEN(n), n) == 0)
		n++;
	CHECK_EQ(space_set_nonvolatile(s, AT + LEN(200), LEN(100), &was), 0);
	CHECK(was);
	CHECK_EQ(word_at(s, AT + LEN(3)), 99);
	for (uint64_t i = 0; i < n; i += 101)
		CHECK(load(s, AT + GIB(1) + LEN(i), &value) == 0 && value == i);
	CHECK_EQ(space_unmap(s, AT + GIB(1), LEN(frame_total_count() + 100)), 0);
	CHECK(holds(s, AT + LEN(4), 100, 1004)); /* read again */
	CHECK(is_zero(s, AT + LEN(200), 100));
	done_with(s);
	object_put(file);
}

HOST_TEST(populate)
{
	struct vm_space *s = new_space();
	struct mock_stats before, after;

	map_fixed(s, AT, 30, VM_MAP_POPULATE, NULL);
	CHECK_EQ(region_at(s, AT).resident, 30);
	mock_get_stats(&before);
	fill(s, AT, 30, 1);
	mock_get_stats(&after);
	CHECK_EQ(after.faults, before.faults);
	done_with(s);
}

/* ---------------------------------------------------------------- the detectors themselves */

static void use_after_silent_unmap(void *arg)
{
	struct vm_space *s = arg;
	struct mmu_gather g;

	mmu_gather_begin(&g, &s->mmu);
	mmu_unmap(&s->mmu, AT, AT + LEN(1), &g);
	fetch_sub_release(&s->mmu.pending, 1); /* the flush is forgotten */
	(void)store(s, AT, 2);
}

static void enter_other_frame(void *arg)
{
	struct vm_space *s = arg;
	struct mmu_gather g;

	mmu_gather_begin(&g, &s->mmu);
	mmu_unmap(&s->mmu, AT, AT + LEN(1), &g);
	(void)!mmu_enter(&s->mmu, AT, LEN(HOST_DEVICE_FRAME), MMU_READ | MMU_USER);
}

static void free_translated_frame(void *arg)
{
	struct vm_space *s = arg;
	struct mmu_translation t;

	if (mmu_query(&s->mmu, AT, &t))
		mock_frame_freed(phys_to_page(t.paddr), 1);
}

#ifdef CONFIG_DEBUG /* who holds which lock is only known there */
static void sleep_under_spinlock(void *arg)
{
	struct vm_space *s = arg;
	struct vm_object *o = new_shared(0, 1);

	spin_lock(&o->lock);
	rwlock_read(&s->lock);
}

static void locks_out_of_order(void *arg UNUSED)
{
	struct vm_object *a = new_shared(0, 1), *b = new_shared(0, 1);

	spin_lock(&a->lock);
	spin_lock(&b->lock);
}
#endif

HOST_TEST(detectors_detect)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 1, 0, NULL);
	fill(s, AT, 1, 1);
	CHECK(host_panics(use_after_silent_unmap, s, "stale translation used"));
	CHECK(host_panics(enter_other_frame, s, "break before make"));
	CHECK(host_panics(free_translated_frame, s, "early free"));
#ifdef CONFIG_DEBUG
	CHECK(host_panics(sleep_under_spinlock, s, "sleeping with preemption disabled"));
	CHECK(host_panics(locks_out_of_order, s, "lock"));
#endif
	done_with(s);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 13);
}
