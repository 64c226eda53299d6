/* test_purge.c - purgeable memory in every corner of docs/vm.md: the state belongs to the object, in whole;
 * nobody else's pages are exposed or lost. */
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))

static bool set_nonvolatile(struct vm_space *s, uaddr_t addr, uint64_t npages)
{
	bool was = false;

	CHECK_EQ(space_set_nonvolatile(s, addr, LEN(npages), &was), 0);
	return was;
}

/* Purge until nothing volatile is left; frames really freed. */
static uint64_t purge_all(void)
{
	uint64_t freed = 0;
	bool more = true;

	while (more)
		freed += vm_purge_one(&more);
	return freed;
}

static struct vm_space *purgeable_space(uint64_t npages, uint64_t first)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, npages, VM_MAP_PURGEABLE, NULL);
	if (first)
		fill(s, AT, npages, first);
	return s;
}

HOST_TEST(volatile_and_back_keeps_data)
{
	struct vm_space *s = purgeable_space(70, 1);

	CHECK_EQ(space_set_volatile(s, AT, LEN(70)), 0);
	CHECK(holds(s, AT, 70, 1)); /* what is volatile can still be used */
	CHECK(!set_nonvolatile(s, AT, 70));
	CHECK(holds(s, AT, 70, 1));
	CHECK_EQ(purge_all(), 0);
	CHECK(holds(s, AT, 70, 1));
	done_with(s);
}

HOST_TEST(purge_takes_everything_and_says_so)
{
	struct vm_space *s = purgeable_space(70, 1);
	uint64_t before = anon_frames();

	CHECK_EQ(space_set_volatile(s, AT, LEN(70)), 0);
	CHECK_EQ(purge_all(), 70);
	CHECK_EQ(anon_frames(), before - 70);
	CHECK_EQ(region_at(s, AT).vol_state, VOLATILE_PURGED);
	CHECK(is_zero(s, AT, 70));
	CHECK(set_nonvolatile(s, AT, 70));
	CHECK(!set_nonvolatile(s, AT, 70)); /* told once */
	fill(s, AT, 70, 9);
	CHECK(holds(s, AT, 70, 9));
	CHECK_EQ(purge_all(), 0);
	done_with(s);
}

HOST_TEST(untouched_memory_is_not_purged)
{
	struct vm_space *s = purgeable_space(10, 0);

	CHECK_EQ(space_set_volatile(s, AT, LEN(10)), 0);
	CHECK_EQ(purge_all(), 0);
	CHECK(!set_nonvolatile(s, AT, 10)); /* nothing was there to be taken */
	done_with(s);
}

/* A known defect elsewhere: slots were counted, so sharing made the count too high. */
HOST_TEST(purge_of_shared_pages_counts_only_freed_frames)
{
	struct vm_space *s = purgeable_space(70, 1);
	struct vm_space *child = fork_of(s);

	CHECK_EQ(space_set_volatile(s, AT, LEN(70)), 0);
	CHECK_EQ(purge_all(), 0);
	CHECK(set_nonvolatile(s, AT, 70));
	CHECK(is_zero(s, AT, 70));
	CHECK(holds(child, AT, 70, 1)); /* the child's pages are its own business */
	CHECK_EQ(space_set_volatile(child, AT, LEN(70)), 0);
	CHECK_EQ(purge_all(), 70);
	CHECK(set_nonvolatile(child, AT, 70));
	done_with(child);
	done_with(s);
}

/* A known defect elsewhere: making memory volatile after a fork made its pages writable in both. */
HOST_TEST(set_volatile_after_fork_does_not_share_writes)
{
	struct vm_space *s = purgeable_space(10, 1);
	struct vm_space *child = fork_of(s);

	CHECK_EQ(space_set_volatile(child, AT, LEN(10)), 0);
	fill(child, AT, 10, 500);
	CHECK(holds(s, AT, 10, 1));
	CHECK_EQ(space_set_volatile(s, AT, LEN(10)), 0);
	fill(s, AT + LEN(5), 5, 700);
	CHECK(holds(child, AT, 10, 500));
	CHECK(!set_nonvolatile(child, AT, 10));
	CHECK(!set_nonvolatile(s, AT, 10));
	CHECK(holds(s, AT, 5, 1) && holds(s, AT + LEN(5), 5, 700));
	done_with(child);
	done_with(s);
}

HOST_TEST(fork_while_volatile)
{
	struct vm_space *s = purgeable_space(10, 1);

	CHECK_EQ(space_set_volatile(s, AT, LEN(10)), 0);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(region_at(child, AT).vol_state, VOLATILE_YES);
	CHECK(holds(child, AT, 10, 1));
	CHECK(!set_nonvolatile(child, AT, 10)); /* its own state: the parent stays volatile */
	CHECK_EQ(region_at(s, AT).vol_state, VOLATILE_YES);
	CHECK_EQ(purge_all(), 0);
	CHECK(holds(child, AT, 10, 1));
	CHECK(set_nonvolatile(s, AT, 10));
	done_with(child);
	done_with(s);
}

/* A known defect elsewhere: the copy of an untouched purgeable object was not purgeable. */
HOST_TEST(fork_of_untouched_purgeable_memory_stays_purgeable)
{
	struct vm_space *s = purgeable_space(10, 0);
	struct vm_space *child = fork_of(s);

	CHECK(region_at(child, AT).purgeable);
	fill(child, AT, 10, 1);
	CHECK_EQ(space_set_volatile(child, AT, LEN(10)), 0);
	CHECK_EQ(purge_all(), 10);
	CHECK(set_nonvolatile(child, AT, 10));
	done_with(child);
	done_with(s);
}

HOST_TEST(fork_of_purged_memory)
{
	struct vm_space *s = purgeable_space(10, 1);

	CHECK_EQ(space_set_volatile(s, AT, LEN(10)), 0);
	CHECK_EQ(purge_all(), 10);
	struct vm_space *child = fork_of(s);
	CHECK(set_nonvolatile(child, AT, 10)); /* both lost it, both are told */
	CHECK(set_nonvolatile(s, AT, 10));
	done_with(child);
	done_with(s);
}

/* A write while volatile is allowed, and its page can be taken like any other. */
HOST_TEST(write_while_volatile)
{
	struct vm_space *s = purgeable_space(10, 1);

	CHECK_EQ(space_set_volatile(s, AT, LEN(10)), 0);
	CHECK_EQ(purge_all(), 10);
	CHECK_EQ(store(s, AT + LEN(3), 5), 0);
	CHECK_EQ(region_at(s, AT).vol_state, VOLATILE_YES); /* it can be purged again */
	CHECK_EQ(word_at(s, AT + LEN(3)), 5);
	CHECK_EQ(purge_all(), 1);
	CHECK(is_zero(s, AT, 10));
	CHECK_EQ(store(s, AT + LEN(4), 6), 0);
	CHECK(set_nonvolatile(s, AT, 10)); /* some of it was taken since it was made volatile */
	CHECK_EQ(word_at(s, AT + LEN(4)), 6);
	done_with(s);
}

HOST_TEST(ranges_must_be_one_whole_purgeable_region)
{
	struct vm_space *s = purgeable_space(10, 1);
	bool was;

	map_fixed(s, AT + LEN(20), 10, 0, NULL);
	CHECK_EQ(space_set_volatile(s, AT, LEN(9)), -EINVAL);
	CHECK_EQ(space_set_volatile(s, AT + LEN(1), LEN(9)), -EINVAL);
	CHECK_EQ(space_set_volatile(s, AT, LEN(11)), -EINVAL);
	CHECK_EQ(space_set_volatile(s, AT + LEN(20), LEN(10)), -EINVAL);
	CHECK_EQ(space_set_volatile(s, AT + LEN(40), LEN(10)), -EINVAL);
	CHECK_EQ(space_set_nonvolatile(s, AT, LEN(9), &was), -EINVAL);
	CHECK_EQ(region_at(s, AT).vol_state, VOLATILE_NO);
	CHECK_EQ(space_set_volatile(s, AT, LEN(10) - 5), 0); /* rounded up to pages */
	CHECK_EQ(space_protect(s, AT, LEN(2), VM_READ), 0);
	CHECK_EQ(space_set_nonvolatile(s, AT, LEN(10), &was), -EINVAL); /* two regions now */
	CHECK_EQ(space_protect(s, AT, LEN(2), RW), 0);
	CHECK_EQ(space_set_nonvolatile(s, AT, LEN(10), &was), 0);
	CHECK(holds(s, AT, 10, 1));
	done_with(s);
}

HOST_TEST(least_recently_volatile_goes_first)
{
	struct vm_space *s = new_space();
	bool more;

	for (unsigned i = 0; i < 4; i++) {
		map_fixed(s, AT + LEN(20 * i), i + 1, VM_MAP_PURGEABLE, NULL);
		fill(s, AT + LEN(20 * i), i + 1, 1);
		CHECK_EQ(space_set_volatile(s, AT + LEN(20 * i), LEN(i + 1)), 0);
	}
	CHECK_EQ(space_set_volatile(s, AT + LEN(20), LEN(2)), 0); /* the second is the youngest now */
	static const unsigned order[] = {0, 2, 3, 1};
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(vm_purge_one(&more), order[i] + 1);
		CHECK(more);
		CHECK_EQ(region_at(s, AT + LEN(20 * order[i])).vol_state, VOLATILE_PURGED);
	}
	CHECK_EQ(vm_purge_one(&more), 0);
	CHECK(!more);
	done_with(s);
}

HOST_TEST(shared_purgeable_object_is_taken_from_all_viewers)
{
	struct vm_object *o = new_shared(VM_PURGEABLE, 10), *snap;
	struct vm_space *a = new_space(), *b = new_space();
	bool was;

	map_fixed(a, AT, 10, VM_MAP_SHARED, o);
	map_fixed(b, AT, 10, VM_MAP_SHARED, o);
	fill(a, AT, 10, 1);
	CHECK(holds(b, AT, 10, 1));
	object_let_go(o, &o->owner);
	CHECK_EQ(object_clone(o, &snap), 0);
	object_hold(snap, &snap->owner, &was);
	CHECK(!was);
	CHECK_EQ(purge_all(), 0); /* the snapshot has them all */
	CHECK(is_zero(a, AT, 10) && is_zero(b, AT, 10));
	map_fixed(a, AT, 10, VM_MAP_SHARED, snap);
	CHECK(holds(a, AT, 10, 1));
	done_with(a);
	done_with(b);
	object_put(o);
	object_put(snap);
}

HOST_TEST(pinned_page_survives_a_purge)
{
	struct vm_space *s = purgeable_space(4, 1);
	struct vm_pin pin;
	uint64_t before = anon_frames();

	CHECK_EQ(vm_fault_pin(s, AT + LEN(2), FAULT_WRITE, &pin), 0);
	CHECK_EQ(space_set_volatile(s, AT, LEN(4)), 0);
	CHECK_EQ(purge_all(), 3); /* the fourth frame is not free yet */
	CHECK_EQ(*(uint64_t *)page_to_virt(pin.page), 3);
	vm_unpin(&pin);
	CHECK_EQ(anon_frames(), before - 4);
	done_with(s);
}

HOST_TEST(volatile_object_dies_in_peace)
{
	struct vm_space *s = purgeable_space(4, 1);
	bool more;

	CHECK_EQ(space_set_volatile(s, AT, LEN(4)), 0);
	CHECK_EQ(space_unmap(s, AT, LEN(4)), 0);
	CHECK_EQ(vm_purge_one(&more), 0);
	CHECK(!more);
	done_with(s);
}

HOST_TEST(partial_unmap_of_volatile_region)
{
	struct vm_space *s = purgeable_space(10, 1);

	CHECK_EQ(space_set_volatile(s, AT, LEN(10)), 0);
	CHECK_EQ(space_unmap(s, AT + LEN(4), LEN(2)), 0);
	CHECK_EQ(purge_all(), 8);
	CHECK(is_zero(s, AT, 4) && is_zero(s, AT + LEN(6), 4));
	done_with(s);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
