/* test_object.c - VM objects: resize, discard, snapshots, the page cache, write-back. */
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))

HOST_TEST(create_and_drop)
{
	static struct test_file f;
	struct vm_object *o = new_shared(VM_PURGEABLE, 5), *file = new_file(&f, 5, 0), *p;

	CHECK_EQ(object_create_anon(VM_PRIVATE, 0, file, &p), 0);
	CHECK_EQ(ref_count(&file->refs), 2);
	object_put(file);
	object_validate(p);
	object_put(p);
	object_put(o);
}

/* A known defect elsewhere: memory that came back showed its old bytes. */
HOST_TEST(shrink_then_grow_reads_zeros)
{
	struct vm_object *o = new_shared(0, 130);
	struct vm_space *s = new_space();
	uint64_t value, before = anon_frames();

	map_fixed(s, AT, 130, VM_MAP_SHARED, o);
	fill(s, AT, 130, 1);
	CHECK_EQ(object_resize(o, 65), 0);
	CHECK_EQ(anon_frames(), before + 65); /* the tail is freed at once */
	CHECK_EQ(load(s, AT + LEN(65), &value), -EIO);
	CHECK_EQ(store(s, AT + LEN(129), 1), -EIO);
	CHECK_EQ(object_resize(o, 130), 0);
	CHECK(holds(s, AT, 65, 1));
	CHECK(is_zero(s, AT + LEN(65), 65));
	CHECK_EQ(object_resize(o, 0), 0);
	CHECK_EQ(anon_frames(), before);
	CHECK_EQ(object_resize(o, PT_INDEX_MAX + 2), -EFBIG);
	done_with(s);
	object_put(o);
}

HOST_TEST(shrink_reaches_windows_at_any_offset)
{
	struct vm_object *o = new_shared(0, 100);
	struct vm_space *a = new_space(), *b = new_space();
	struct vm_map_args args = {.addr = AT,
	    .len = LEN(20),
	    .prot = RW,
	    .flags = VM_MAP_FIXED | VM_MAP_SHARED,
	    .object = o,
	    .offset = 50};
	uaddr_t got;
	uint64_t value;

	map_fixed(a, AT, 100, VM_MAP_SHARED, o);
	CHECK_EQ(space_map(b, &args, &got), 0);
	fill(a, AT, 100, 1);
	CHECK(holds(b, AT, 20, 51));
	CHECK_EQ(object_resize(o, 60), 0);
	CHECK(holds(b, AT, 10, 51));
	CHECK_EQ(load(b, AT + LEN(10), &value), -EIO);
	CHECK_EQ(load(a, AT + LEN(60), &value), -EIO);
	done_with(a);
	done_with(b);
	object_put(o);
}

HOST_TEST(discard_gives_frames_back)
{
	struct vm_object *o = new_shared(0, 200);
	struct vm_space *a = new_space(), *b = new_space();
	uint64_t before = anon_frames();

	map_fixed(a, AT, 200, VM_MAP_SHARED, o);
	map_fixed(b, AT, 200, VM_MAP_SHARED, o);
	fill(a, AT, 200, 1);
	CHECK(holds(b, AT, 200, 1));
	CHECK_EQ(object_discard(o, 10, 190), 0);
	CHECK_EQ(anon_frames(), before + 20);
	CHECK(is_zero(a, AT + LEN(10), 180) && is_zero(b, AT + LEN(10), 180));
	CHECK(holds(b, AT, 10, 1) && holds(a, AT + LEN(190), 10, 191));
	CHECK_EQ(object_discard(o, 5, 4), -EINVAL);
	done_with(a);
	done_with(b);
	object_put(o);
}

HOST_TEST(discard_of_a_region_keeps_shared_pages)
{
	struct vm_object *o = new_shared(0, 10);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 10, VM_MAP_SHARED, o);
	fill(s, AT, 10, 1);
	CHECK_EQ(space_discard(s, AT, LEN(10)), 0);
	CHECK(holds(s, AT, 10, 1));
	done_with(s);
	object_put(o);
}

HOST_TEST(discard_of_private_memory_after_fork)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 80, 0, NULL);
	fill(s, AT, 80, 1);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(space_discard(child, AT + LEN(3), LEN(70)), 0);
	CHECK(is_zero(child, AT + LEN(3), 70));
	CHECK(holds(s, AT, 80, 1));
	CHECK(holds(child, AT + LEN(73), 7, 74));
	done_with(s);
	done_with(child);
}

HOST_TEST(snapshot_is_fixed_whoever_writes)
{
	struct vm_object *o = new_shared(0, 70), *snap;
	struct vm_space *a = new_space(), *b = new_space(), *c = new_space();

	map_fixed(a, AT, 70, VM_MAP_SHARED, o);
	map_fixed(b, AT, 70, VM_MAP_SHARED, o);
	fill(a, AT, 70, 1);
	CHECK(holds(b, AT, 70, 1));
	CHECK_EQ(object_clone(o, &snap), 0);
	map_fixed(c, AT, 70, VM_MAP_SHARED, snap);
	fill(a, AT, 10, 100);
	fill(b, AT + LEN(10), 10, 200);
	CHECK(holds(a, AT + LEN(10), 10, 200) && holds(b, AT, 10, 100)); /* they still share */
	CHECK(holds(c, AT, 70, 1));
	fill(c, AT + LEN(30), 5, 300);
	CHECK(holds(a, AT + LEN(30), 5, 31) && holds(b, AT + LEN(30), 5, 31));
	done_with(a);
	done_with(b);
	object_put(o);
	CHECK(holds(c, AT, 30, 1));
	done_with(c);
	object_put(snap);
}

HOST_TEST(snapshot_costs_nothing_per_page)
{
	struct vm_object *o = new_shared(0, 5000), *snap;
	struct vm_space *s = new_space();

	map_fixed(s, AT, 5000, VM_MAP_SHARED, o);
	fill(s, AT, 5000, 1);
	uint64_t nodes = page_tree_nodes(), frames = anon_frames();
	CHECK_EQ(object_clone(o, &snap), 0);
	CHECK_EQ(page_tree_nodes(), nodes);
	CHECK_EQ(anon_frames(), frames);
	object_put(snap);
	CHECK_EQ(anon_frames(), frames);
	done_with(s);
	object_put(o);
}

/* Every order in which an original and its clones can go, and one of them writing before: the others' bytes
 * stay, the frames are exact. */
static void close_in_order(const unsigned order[4], unsigned writer)
{
	struct vm_object *o[4] = {new_shared(0, 66)};
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 66, VM_MAP_SHARED, o[0]);
	fill(s, AT, 66, 1);
	CHECK_EQ(object_clone(o[0], &o[1]), 0);
	CHECK_EQ(object_clone(o[1], &o[2]), 0);
	CHECK_EQ(object_clone(o[0], &o[3]), 0);
	map_fixed(s, AT, 66, VM_MAP_SHARED, o[writer]);
	CHECK_EQ(store(s, AT + LEN(65), 500), 0);
	CHECK_EQ(anon_frames(), before + 67);
	CHECK_EQ(space_unmap(s, AT, LEN(66)), 0);
	for (unsigned i = 0; i < 4; i++) {
		object_put(o[order[i]]);
		o[order[i]] = NULL;
		unsigned others = 0;
		for (unsigned k = 0; k < 4; k++) {
			if (!o[k])
				continue;
			others += k != writer;
			map_fixed(s, AT, 66, VM_MAP_SHARED, o[k]);
			CHECK(holds(s, AT, 65, 1));
			CHECK_EQ(word_at(s, AT + LEN(65)), k == writer ? 500 : 66);
		}
		CHECK_EQ(space_unmap(s, AT, LEN(66)), 0);
		CHECK_EQ(anon_frames(), before + (i < 3 ? 65 + (others > 0) + (o[writer] != NULL) : 0));
	}
	done_with(s);
}

HOST_TEST(clones_close_in_every_order)
{
	for (unsigned code = 0; code < 256; code++) {
		unsigned order[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6}, seen = 0;
		for (unsigned i = 0; i < 4; i++)
			seen |= 1u << order[i];
		for (unsigned writer = 0; seen == 15 && writer < 4; writer++)
			close_in_order(order, writer);
	}
}

HOST_TEST(clone_copies_what_is_pinned_for_writing)
{
	struct vm_object *o = new_shared(0, 10), *snap;
	struct vm_space *s = new_space(), *c = new_space();
	struct vm_pin pin, reader;

	map_fixed(s, AT, 10, VM_MAP_SHARED, o);
	fill(s, AT, 10, 1);
	CHECK_EQ(vm_fault_pin(s, AT + LEN(4), FAULT_WRITE, &pin), 0);
	CHECK_EQ(vm_fault_pin(s, AT + LEN(5), FAULT_READ, &reader), 0);
	uint64_t before = anon_frames();
	CHECK_EQ(object_clone(o, &snap), 0);
	CHECK_EQ(anon_frames(), before + 1);
	*(uint64_t *)page_to_virt(pin.page) = 900; /* the transfer goes on */
	map_fixed(c, AT, 10, VM_MAP_SHARED, snap);
	CHECK(holds(c, AT, 10, 1));
	CHECK_EQ(word_at(s, AT + LEN(4)), 900);
	vm_unpin(&pin);
	vm_unpin(&reader);
	done_with(s);
	done_with(c);
	object_put(o);
	object_put(snap);
}

HOST_TEST(page_pinned_twice_is_copied_once)
{
	struct vm_object *o = new_shared(0, 10), *snap;
	struct vm_pin a, b;

	CHECK_EQ(object_pin(o, 3, true, &a), 0);
	CHECK_EQ(object_pin(o, 3, true, &b), 0);
	CHECK(a.page == b.page && page_pins(a.page) == 2);
	uint64_t before = anon_frames();
	CHECK_EQ(object_clone(o, &snap), 0);
	CHECK_EQ(anon_frames(), before + 1);
	vm_unpin(&a);
	vm_unpin(&b);
	object_put(snap);
	object_put(o);
}

HOST_TEST(object_pin_is_read_and_write)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 10, 1000), *o = new_shared(0, 2), *phys;
	struct vm_space *s = new_space();
	struct vm_pin pin;

	map_fixed(s, AT, 10, VM_MAP_SHARED, file);
	CHECK_EQ(object_pin(file, 4, false, &pin), 0);
	CHECK_EQ(*(uint64_t *)page_to_virt(pin.page), 1004);
	vm_unpin(&pin);
	CHECK_EQ(object_sync(file, 0, 10), 0);
	CHECK_EQ(f.writes, 0);
	CHECK_EQ(object_pin(file, 4, true, &pin), 0);
	*(uint64_t *)page_to_virt(pin.page) = 5;
	vm_unpin(&pin);
	CHECK_EQ(word_at(s, AT + LEN(4)), 5); /* write(2) shows in mappings */
	CHECK_EQ(store(s, AT + LEN(6), 7), 0);
	CHECK_EQ(object_pin(file, 6, false, &pin), 0);
	CHECK_EQ(*(uint64_t *)page_to_virt(pin.page), 7); /* and stores in read(2) */
	vm_unpin(&pin);
	CHECK_EQ(object_sync(file, 0, 10), 0);
	CHECK(f.writes == 2 && f.words[4] == 5 && f.words[6] == 7);
	CHECK_EQ(object_pin(file, 10, false, &pin), -EIO);
	CHECK_EQ(object_pin(o, 2, true, &pin), -EIO);
	CHECK_EQ(object_pin(o, 1, false, &pin), 0);
	CHECK(pin.page == zero_page);
	vm_unpin(&pin);
	CHECK_EQ(object_create_phys((paddr_t)HOST_DEVICE_FRAME << PAGE_SHIFT, 1, MMU_UC, &phys), 0);
	CHECK_EQ(object_pin(phys, 0, false, &pin), -EINVAL);
	object_put(phys);
	done_with(s);
	object_put(file);
	object_put(o);
}

HOST_TEST(fork_copies_what_is_pinned_for_writing)
{
	struct vm_space *s = new_space();
	struct vm_pin pin;

	map_fixed(s, AT, 10, 0, NULL);
	fill(s, AT, 10, 1);
	CHECK_EQ(vm_fault_pin(s, AT + LEN(4), FAULT_WRITE, &pin), 0);
	struct vm_space *child = fork_of(s);
	*(uint64_t *)page_to_virt(pin.page) = 900;
	CHECK(holds(child, AT, 10, 1));
	CHECK_EQ(word_at(s, AT + LEN(4)), 900);
	vm_unpin(&pin);
	done_with(child);
	done_with(s);
}

HOST_TEST(pinned_page_outlives_its_mapping)
{
	struct vm_space *s = new_space();
	struct vm_pin pin;
	uint64_t before = anon_frames();

	map_fixed(s, AT, 10, 0, NULL);
	fill(s, AT, 10, 1);
	CHECK_EQ(vm_fault_pin(s, AT + LEN(4), FAULT_READ, &pin), 0);
	CHECK_EQ(space_unmap(s, AT, LEN(10)), 0);
	CHECK_EQ(anon_frames(), before + 1);
	CHECK_EQ(*(uint64_t *)page_to_virt(pin.page), 5);
	vm_unpin(&pin);
	CHECK_EQ(anon_frames(), before);
	done_with(s);
}

/* ---------------------------------------------------------------- files */

HOST_TEST(cut_file_is_gone_everywhere)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 20, 1000);
	struct vm_space *s = new_space();
	uint64_t value, before = anon_frames();

	map_fixed(s, AT, 20, VM_MAP_SHARED, file);
	map_fixed(s, AT + LEN(30), 20, 0, file);
	fill(s, AT + LEN(30), 20, 1); /* private copies of every page */
	struct vm_space *child = fork_of(s);
	CHECK_EQ(object_resize(file, 5), 0);
	CHECK_EQ(load(s, AT + LEN(5), &value), -EIO);
	CHECK_EQ(load(s, AT + LEN(35), &value), -EIO);
	CHECK_EQ(load(child, AT + LEN(49), &value), -EIO);
	CHECK(holds(s, AT + LEN(30), 5, 1));
	for (unsigned i = 5; i < 20; i++)
		f.words[i] = 0;
	CHECK_EQ(object_resize(file, 20), 0);
	CHECK(is_zero(s, AT + LEN(5), 15)); /* grown again: zeros, also where private copies had been */
	CHECK(is_zero(s, AT + LEN(35), 15));
	CHECK(is_zero(child, AT + LEN(35), 15));
	CHECK(holds(child, AT + LEN(30), 5, 1));
	CHECK_EQ(anon_frames(), before + 5);
	done_with(child);
	done_with(s);
	object_put(file);
}

HOST_TEST(sync_writes_each_dirty_page_once)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 100, 1000);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 100, VM_MAP_SHARED, file);
	CHECK(holds(s, AT, 100, 1000));
	CHECK_EQ(object_sync(file, 0, 100), 0);
	CHECK_EQ(f.writes, 0); /* reading makes nothing dirty */
	fill(s, AT + LEN(10), 30, 1);
	CHECK_EQ(object_sync(file, 0, 20), 0);
	CHECK_EQ(f.writes, 10);
	CHECK_EQ(object_sync(file, 0, 100), 0);
	CHECK_EQ(f.writes, 30);
	CHECK(f.words[10] == 1 && f.words[39] == 30 && f.words[40] == 1040);
	CHECK_EQ(
	    store(s, AT + LEN(12), 77), 0); /* clean pages are write-protected: the next store is noticed */
	CHECK_EQ(object_sync(file, 0, 100), 0);
	CHECK_EQ(f.writes, 31);
	CHECK_EQ(f.words[12], 77);
	done_with(s);
	object_put(file);
}

HOST_TEST(dirty_survives_protection_and_unmapping)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 10, 1000);
	struct vm_space *s = new_space();
	uint64_t word = 9;
	size_t done;

	map_fixed(s, AT, 10, VM_MAP_SHARED, file);
	CHECK_EQ(store(s, AT, 7), 0);
	CHECK_EQ(space_protect(s, AT, LEN(10), VM_READ), 0);
	CHECK_EQ(space_unmap(s, AT, LEN(10)), 0);
	map_fixed(s, AT, 10, VM_MAP_SHARED, file);
	CHECK_EQ(space_write(s, AT + LEN(1), &word, 8, &done), 0); /* a store by the kernel counts as well */
	CHECK_EQ(space_unmap(s, AT, LEN(10)), 0);
	CHECK_EQ(vm_reclaim(1000), 8); /* neither of the two is clean */
	CHECK_EQ(object_sync(file, 0, 10), 0);
	CHECK(f.words[0] == 7 && f.words[1] == 9);
	done_with(s);
	object_put(file);
}

HOST_TEST(failed_write_stays_dirty_and_is_reported_once)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 10, 1000);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 10, VM_MAP_SHARED, file);
	fill(s, AT, 3, 1);
	f.fail_write = true;
	CHECK_EQ(object_sync(file, 0, 10), -EIO);
	CHECK_EQ(object_discard(file, 0, 10), -EBUSY);
	(void)vm_reclaim(1000);
	f.fail_write = false;
	CHECK_EQ(object_sync(file, 0, 10), 0);
	CHECK(f.words[0] == 1 && f.words[2] == 3);
	CHECK_EQ(object_sync(file, 0, 10), 0);
	CHECK_EQ(object_discard(file, 0, 10), 0);
	CHECK(holds(s, AT, 3, 1));
	done_with(s);
	object_put(file);
}

HOST_TEST(read_only_file_refuses_shared_writes)
{
	static struct test_file f;
	static const struct vm_file_ops ops = {.read = test_file_read};
	struct vm_object *file;
	struct vm_space *s = new_space();

	f = (struct test_file){.bad = -1};
	CHECK_EQ(object_create_file(&ops, &f, 4, &file), 0);
	map_fixed(s, AT, 4, VM_MAP_SHARED, file);
	map_fixed(s, AT + LEN(10), 4, 0, file);
	CHECK_EQ(store(s, AT, 1), -EACCES);
	CHECK_EQ(store(s, AT + LEN(10), 1), 0);
	CHECK(is_zero(s, AT, 1));
	done_with(s);
	object_put(file);
}

HOST_TEST(reclaim_takes_clean_pages_and_gives_them_a_second_chance)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 60, 1000);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 60, VM_MAP_SHARED, file);
	CHECK(holds(s, AT, 60, 1000));
	fill(s, AT + LEN(20), 10, 1);
	uint64_t free = frame_free_count(), freed = vm_reclaim(1000);
	CHECK_EQ(freed, 50);
	CHECK(frame_free_count() >= free + 50);
	CHECK(holds(s, AT, 20, 1000) && holds(s, AT + LEN(20), 10, 1) && holds(s, AT + LEN(30), 30, 1030));
	CHECK_EQ(f.writes, 0);
	done_with(s);
	object_put(file);
}

HOST_TEST(reclaim_leaves_pinned_pages)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 16, 1000);
	struct vm_space *s = new_space();
	struct vm_pin pin;

	map_fixed(s, AT, 16, VM_MAP_SHARED, file);
	CHECK_EQ(vm_fault_pin(s, AT, FAULT_READ, &pin), 0);
	CHECK_EQ(vm_reclaim(1000), 15); /* what was read ahead */
	CHECK_EQ(*(uint64_t *)page_to_virt(pin.page), 1000);
	vm_unpin(&pin);
	CHECK_EQ(vm_reclaim(1000), 1);
	done_with(s);
	object_put(file);
}

static unsigned released;
static void count_release(struct vm_object *o UNUSED)
{
	released++;
}

HOST_TEST(file_is_released_by_the_last_of_its_users)
{
	static struct test_file f;
	static const struct vm_file_ops ops = {.read = test_file_read, .release = count_release};
	struct vm_object *file;
	struct vm_space *s = new_space();

	f = (struct test_file){.bad = -1};
	released = 0;
	CHECK_EQ(object_create_file(&ops, &f, 4, &file), 0);
	map_fixed(s, AT, 4, 0, file);
	object_put(file);
	struct vm_space *child = fork_of(s);
	done_with(s);
	CHECK_EQ(released, 0);
	CHECK(is_zero(child, AT, 4));
	done_with(child);
	CHECK_EQ(released, 1);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 15);
}

/* The word at the start of page idx, read or written as read(2) and write(2) do it. */
static err_t pin_word(struct vm_object *o, pgidx_t idx, bool write, uint64_t *word)
{
	struct vm_pin pin;
	err_t err = object_pin(o, idx, write, &pin);

	if (err)
		return err;
	uint64_t *at = page_to_virt(pin.page);
	if (write)
		*at = *word;
	else
		*word = *at;
	vm_unpin(&pin);
	return 0;
}

HOST_TEST(pinned_by_the_kernel_and_seen_by_programs)
{
	struct vm_object *o = new_shared(0, 10);
	struct vm_space *s = new_space();
	uint64_t word = 1, before = anon_frames();

	map_fixed(s, AT, 10, VM_MAP_SHARED, o);
	CHECK_EQ(word_at(s, AT + LEN(3)), 0); /* the zero page is mapped here, and has to go */
	CHECK_EQ(pin_word(o, 3, false, &word), 0);
	CHECK_EQ(word, 0);
	CHECK_EQ(anon_frames(), before); /* reading what nobody wrote takes no frame */
	word = 77;
	CHECK_EQ(pin_word(o, 3, true, &word), 0);
	CHECK_EQ(word_at(s, AT + LEN(3)), 77);
	CHECK_EQ(store(s, AT + LEN(3), 78), 0);
	CHECK_EQ(pin_word(o, 3, false, &word), 0);
	CHECK_EQ(word, 78);
	CHECK_EQ(pin_word(o, 10, false, &word), -EIO);
	CHECK_EQ(pin_word(o, 10, true, &word), -EIO);
	done_with(s);
	object_put(o);
}

HOST_TEST(pinned_file_pages_are_read_in_and_become_dirty)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 40, 1000);
	struct vm_space *s = new_space();
	uint64_t word;

	CHECK_EQ(pin_word(file, 20, false, &word), 0);
	CHECK_EQ(word, 1020);
	CHECK_EQ(object_sync(file, 0, 40), 0);
	CHECK_EQ(f.writes, 0);
	word = 5;
	CHECK_EQ(pin_word(file, 30, true, &word), 0);
	map_fixed(s, AT, 40, 0, file);
	CHECK_EQ(word_at(s, AT + LEN(30)), 5); /* read, write and private windows see one page */
	CHECK_EQ(object_sync(file, 0, 40), 0);
	CHECK(f.writes == 1 && f.words[30] == 5);
	CHECK_EQ(pin_word(file, 40, false, &word), -EIO);
	done_with(s);
	object_put(file);
}

HOST_TEST(a_write_back_while_pinned_leaves_the_page_dirty)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 4, 1000);
	struct vm_pin pin;

	CHECK_EQ(object_pin(file, 1, true, &pin), 0);
	CHECK_EQ(object_sync(file, 0, 4), 0);
	*(uint64_t *)page_to_virt(pin.page) = 9;
	vm_unpin(&pin);
	CHECK_EQ(object_sync(file, 0, 4), 0);
	CHECK_EQ(f.words[1], 9);
	object_put(file);
}

HOST_TEST(device_memory_is_not_pinned)
{
	struct vm_object *o;
	struct vm_pin pin;

	CHECK_EQ(object_create_phys(HOST_DEVICE_FRAME * PAGE_SIZE, 1, MMU_UC, &o), 0);
	CHECK_EQ(object_pin(o, 0, false, &pin), -EINVAL);
	object_put(o);
}
