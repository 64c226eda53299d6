/* test_resident.c - pages are counted as they come and go, and the most that there were is remembered. */
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))

static bool counts_are(const struct vm_space *s, uint64_t anon, uint64_t file, uint64_t shmem)
{
	struct vm_resident r = space_resident_now(s);

	if (r.anon != anon || r.file != file || r.shmem != shmem)
		printf("# %llu %llu %llu\n", (unsigned long long)r.anon, (unsigned long long)r.file,
		    (unsigned long long)r.shmem);
	return r.anon == anon && r.file == file && r.shmem == shmem;
}

static void read_pages(struct vm_space *s, uaddr_t addr, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++)
		(void)word_at(s, addr + LEN(i));
}

HOST_TEST(private_pages_count_while_they_exist)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 200, 0, NULL);
	read_pages(s, AT, 10); /* the page of zeros is nobody's */
	CHECK(counts_are(s, 0, 0, 0));
	fill(s, AT, 200, 1);
	CHECK(counts_are(s, 200, 0, 0));
	MUST(space_protect(s, AT, LEN(50), 0)); /* no translation, but there */
	CHECK(counts_are(s, 200, 0, 0));
	MUST(space_discard(s, AT + LEN(60), LEN(70)));
	CHECK(counts_are(s, 130, 0, 0));
	MUST(space_unmap(s, AT + LEN(20), LEN(20)));
	CHECK(counts_are(s, 110, 0, 0) && space_resident_peak(s) == 200);
	MUST(space_unmap(s, AT, LEN(200)));
	CHECK(counts_are(s, 0, 0, 0) && space_resident_peak(s) == 200);
	fill(s, map_anywhere(s, 30, 0, NULL), 30, 1);
	CHECK(space_resident_peak(s) == 200);
	space_reset_resident_peak(s);
	CHECK(space_resident_peak(s) == 30);
	done_with(s);
}

HOST_TEST(a_fork_counts_what_it_shares)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 100, 0, NULL);
	map_fixed(s, AT + LEN(200), 50, 0, NULL);
	map_fixed(s, AT + LEN(300), 40, 0, NULL);
	fill(s, AT, 100, 1);
	fill(s, AT + LEN(200), 50, 1);
	fill(s, AT + LEN(300), 40, 1);
	MUST(space_set_flags(s, AT + LEN(200), LEN(50), REGION_DONTFORK, 0));
	MUST(space_set_flags(s, AT + LEN(300), LEN(40), REGION_WIPEONFORK, 0));
	struct vm_space *child = fork_of(s);
	CHECK(counts_are(s, 190, 0, 0) && counts_are(child, 100, 0, 0));
	CHECK(space_resident_peak(child) == 100); /* not what it was not to get */
	fill(child, AT, 10, 5);                   /* a copy takes the place of what was shared */
	CHECK(counts_are(child, 100, 0, 0) && counts_are(s, 190, 0, 0));
	MUST(space_unmap(child, AT, LEN(70)));
	CHECK(counts_are(child, 30, 0, 0) && space_resident_peak(child) == 100);
	vm_validate(s);
	done_with(child);
	CHECK(counts_are(s, 190, 0, 0));
	done_with(s);
}

HOST_TEST(pages_of_a_file_count_where_they_are_translated)
{
	static struct test_file f;
	struct vm_object *o = new_file(&f, 100, 1);
	struct vm_space *s = new_space(), *t = new_space();

	map_fixed(s, AT, 100, 0, o);
	map_fixed(t, AT, 100, VM_MAP_SHARED, o);
	read_pages(s, AT, 100);
	CHECK(counts_are(s, 0, 100, 0) && counts_are(t, 0, 0, 0));
	fill(s, AT, 30, 7); /* copies in the place of the file's: as many as before */
	CHECK(counts_are(s, 30, 70, 0) && space_resident_peak(s) == 100);
	read_pages(t, AT, 100);
	CHECK(counts_are(t, 0, 100, 0));
	MUST(space_protect(t, AT, LEN(10), 0));
	CHECK(counts_are(t, 0, 90, 0));
	MUST(object_resize(o, 64)); /* the cut concerns the copies as well, once somebody looks */
	CHECK(counts_are(s, 30, 34, 0) && counts_are(t, 0, 54, 0));
	CHECK(space_resident_peak(s) == 100 && space_resident_peak(t) == 100);
	MUST(object_resize(o, 10));
	uint64_t word;
	CHECK_EQ(load(s, AT + LEN(20), &word), -EIO); /* a look: the cut is carried out */
	CHECK(counts_are(s, 10, 0, 0) && counts_are(t, 0, 0, 0));
	done_with(s);
	done_with(t);
	object_put(o);
}

HOST_TEST(shared_memory_counts_where_it_is_translated)
{
	struct vm_object *o = new_shared(0, 100);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 100, VM_MAP_SHARED, o);
	fill(s, AT, 40, 1);
	CHECK(counts_are(s, 0, 0, 40));
	struct vm_space *child = fork_of(s);
	CHECK(counts_are(child, 0, 0, 0));
	read_pages(child, AT, 40);
	CHECK(counts_are(child, 0, 0, 40));
	MUST(object_discard(o, 0, 10));
	CHECK(counts_are(child, 0, 0, 30) && counts_are(s, 0, 0, 30) && space_resident_peak(child) == 40);
	done_with(child);
	done_with(s);
	object_put(o);
}

HOST_TEST(what_moves_is_not_counted_twice)
{
	struct vm_space *s = new_space();
	uaddr_t to;

	map_fixed(s, AT, 100, 0, NULL);
	fill(s, AT, 100, 1);
	struct vm_remap_args part = {.addr = AT + LEN(20),
	    .old_len = LEN(40),
	    .new_len = LEN(60),
	    .flags = VM_REMAP_MAYMOVE | VM_REMAP_FIXED,
	    .new_addr = AT + GIB(1)};
	MUST(space_remap(s, &part, &to));
	CHECK(counts_are(s, 100, 0, 0) && space_resident_peak(s) == 100 && space_size_peak(s) == 120);
	MUST(space_unmap(s, to, LEN(60)));
	CHECK(counts_are(s, 60, 0, 0) && space_resident_peak(s) == 100 && space_size_peak(s) == 120);
	map_fixed(s, AT + GIB(2), 61, 0, NULL);
	CHECK(space_size_peak(s) == 121);
	done_with(s);
}

HOST_TEST(purged_pages_are_gone)
{
	struct vm_space *s = new_space();
	bool more = true;

	map_fixed(s, AT, 80, VM_MAP_PURGEABLE, NULL);
	fill(s, AT, 80, 1);
	MUST(space_set_volatile(s, AT, LEN(80)));
	struct vm_space *child = fork_of(s);
	CHECK(counts_are(s, 80, 0, 0) && counts_are(child, 80, 0, 0));
	while (more)
		(void)vm_purge_one(&more);
	CHECK(counts_are(s, 0, 0, 0) && counts_are(child, 0, 0, 0));
	CHECK(space_resident_peak(s) == 80 && space_resident_peak(child) == 80);
	done_with(child);
	done_with(s);
}

HOST_TEST(large_translations_count_as_pages)
{
	struct vm_space *s = new_space();
	enum { PAGES = 2 * MMU_LARGE_PAGES };

	map_fixed(s, GIB(2), PAGES, 0, NULL);
	fill(s, GIB(2), PAGES, 1);
	CHECK(counts_are(s, PAGES, 0, 0));
	MUST(space_unmap(s, GIB(2) + LEN(10), LEN(1)));
	CHECK(counts_are(s, PAGES - 1, 0, 0) && space_resident_peak(s) == PAGES);
	done_with(s);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
