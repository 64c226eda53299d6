/* test_remap.c - windows that move, lock, grow down and have names: each test is named for the rule that it
 * holds up. */
#include "vm_test.h"

#define AT    (GIB(1) + MIB(2))
#define TO    (GIB(2))
#define MOVES (VM_REMAP_MAYMOVE | VM_REMAP_FIXED)

static err_t remap(
    struct vm_space *s, uaddr_t addr, uint64_t old_n, uint64_t new_n, unsigned flags, uaddr_t to)
{
	struct vm_remap_args args = {
	    .addr = addr, .old_len = LEN(old_n), .new_len = LEN(new_n), .flags = flags, .new_addr = to};
	uaddr_t got = 0;
	err_t err = space_remap(s, &args, &got);
	if (!err)
		CHECK_EQ(got, flags & VM_REMAP_FIXED ? to : got);
	vm_validate(s);
	return err;
}

HOST_TEST(a_part_moves_with_its_pages_only)
{
	struct vm_space *s = new_space();
	uint64_t frames = anon_frames();
	map_fixed(s, AT, 200, 0, NULL);
	fill(s, AT, 200, 1);
	CHECK_EQ(remap(s, AT + LEN(60), 10, 20, MOVES, TO), 0);
	CHECK(holds(s, AT, 60, 1) && holds(s, AT + LEN(70), 130, 71) && holds(s, TO, 10, 61) &&
	      is_zero(s, TO + LEN(10), 10));
	CHECK_EQ(anon_frames() - frames, 200);
	map_fixed(s, AT + LEN(60), 10, 0, NULL);
	CHECK(is_zero(s, AT + LEN(60), 10)); /* the indices of the moved pages do not come back */
	CHECK_EQ(count_regions(s), 2);
	fill(s, AT + LEN(60), 10, 1000);
	CHECK(holds(s, TO, 10, 61));
	CHECK_EQ(remap(s, TO, 10, 10, MOVES, AT + LEN(60)), 0);
	CHECK(holds(s, AT, 200, 1));
	MUST(space_unmap(s, TO, LEN(20)));
	CHECK_EQ(anon_frames() - frames, 200);
	done_with(s);
}

HOST_TEST(moved_memory_is_not_extended_by_what_is_mapped_beside_it)
{
	struct vm_space *s = new_space();
	map_fixed(s, AT, 4, 0, NULL);
	fill(s, AT, 4, 1);
	CHECK_EQ(remap(s, AT, 4, 4, MOVES, TO), 0);
	map_fixed(s, TO + LEN(4), 4, 0, NULL);
	map_fixed(s, AT, 8, 0, NULL);
	CHECK(is_zero(s, TO + LEN(4), 4) && is_zero(s, AT, 8) && holds(s, TO, 4, 1));
	CHECK_EQ(count_regions(s), 3);
	vm_validate(s);
	done_with(s);
}

HOST_TEST(a_moved_part_and_the_rest_are_forked_apart)
{
	struct vm_space *s = new_space();
	map_fixed(s, AT, 100, 0, NULL);
	fill(s, AT, 100, 1);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(remap(child, AT + LEN(30), 40, 40, MOVES, TO), 0);
	fill(child, TO, 5, 500);
	CHECK(holds(s, AT, 100, 1) && holds(child, TO, 5, 500) && holds(child, TO + LEN(5), 35, 36));
	struct vm_space *third = fork_of(child);
	fill(third, TO + LEN(6), 1, 9);
	CHECK(holds(child, TO + LEN(5), 35, 36) && holds(third, AT, 30, 1));
	vm_validate(s);
	vm_validate(third);
	space_put(child);
	space_put(s);
	done_with(third);
}

HOST_TEST(the_window_left_behind_is_empty)
{
	static struct test_file f;
	struct vm_space *s = new_space();
	struct vm_object *file = new_file(&f, 20, 100);
	map_fixed(s, AT, 20, 0, file);
	fill(s, AT + LEN(3), 2, 1);
	CHECK_EQ(remap(s, AT, 20, 20, MOVES | VM_REMAP_DONTUNMAP, TO), 0);
	CHECK(holds(s, AT, 20, 100) && holds(s, TO, 3, 100) && holds(s, TO + LEN(3), 2, 1));
	fill(s, AT + LEN(3), 1, 77);
	CHECK(holds(s, TO + LEN(3), 2, 1));
	MUST(object_resize(file, 4));
	MUST(object_resize(file, 20));
	CHECK(holds(s, TO + LEN(3), 1, 1) && holds(s, TO + LEN(4), 16, 104)); /* a cut reaches both */
	vm_validate(s);
	done_with(s);
	object_put(file);
}

HOST_TEST(remap_errors_change_nothing)
{
	struct vm_space *s = new_space();
	struct vm_object *device;
	MUST(object_create_phys(0, 4, 0, &device));
	map_fixed(s, AT, 4, 0, NULL);
	map_fixed(s, AT + LEN(4), 4, VM_MAP_PURGEABLE, NULL);
	map_fixed(s, AT + LEN(10), 4, VM_MAP_SHARED, device);
	fill(s, AT, 4, 1);
	CHECK_EQ(remap(s, AT - LEN(1), 1, 2, VM_REMAP_MAYMOVE, 0), -EFAULT);
	CHECK_EQ(remap(s, AT, 5, 6, VM_REMAP_MAYMOVE, 0), -EFAULT);
	CHECK_EQ(remap(s, AT, 4, 5, 0, 0), -ENOMEM);
	CHECK_EQ(remap(s, AT, 0, 5, VM_REMAP_MAYMOVE, 0), -EINVAL);
	CHECK_EQ(remap(s, AT, 2, 2, MOVES, AT + LEN(1)), -EINVAL);
	CHECK_EQ(remap(s, AT, 2, 2, VM_REMAP_FIXED, TO), -EINVAL);
	CHECK_EQ(remap(s, AT, 2, 2, MOVES, 0), -EPERM);
	CHECK_EQ(remap(s, AT, 4, USER_END >> PAGE_SHIFT, VM_REMAP_MAYMOVE, 0), -ENOMEM);
	CHECK_EQ(remap(s, AT + LEN(4), 2, 2, MOVES, TO), -EINVAL); /* a part of purgeable memory */
	CHECK_EQ(remap(s, AT + LEN(10), 4, 5, VM_REMAP_MAYMOVE, 0), -EFAULT);
	CHECK_EQ(remap(s, AT + LEN(10), 4, 4, MOVES, TO), 0);
	CHECK_EQ(remap(s, AT + LEN(4), 4, 8, MOVES, TO + LEN(10)), 0);
	CHECK(holds(s, AT, 4, 1));
	MUST(space_set_flags(s, AT, LEN(1), REGION_IMMUTABLE, 0));
	CHECK_EQ(remap(s, AT, 1, 1, MOVES, TO + LEN(30)), -EPERM);
	CHECK_EQ(remap(s, AT + LEN(2), 1, 1, MOVES, AT), -EPERM);
	done_with(s);
	object_put(device);
}

HOST_TEST(limits_count_what_is_left_in_the_end)
{
	struct vm_space *s = new_space();
	struct vm_limits l = {.all = 20, .data = 12, .locked = 4, .stack = UINT64_MAX};
	struct vm_map_args args = {
	    .addr = AT, .len = LEN(10), .prot = RW, .flags = VM_MAP_FIXED, .limits = &l};
	struct vm_remap_args grow = {.addr = AT, .old_len = LEN(10), .new_len = LEN(13), .limits = &l};
	uaddr_t got;
	CHECK_EQ(space_map(s, &args, &got), 0);
	CHECK_EQ(space_map(s, &args, &got), -ENOMEM); /* data: what is replaced counts, as on Linux */
	CHECK_EQ(space_remap(s, &grow, &got), -ENOMEM);
	args = (struct vm_map_args){
	    .addr = TO, .len = LEN(10), .prot = VM_READ, .flags = VM_MAP_FIXED, .limits = &l};
	CHECK_EQ(space_map(s, &args, &got), 0);
	CHECK_EQ(space_map(s, &args, &got), 0); /* all: it does not */
	args.flags |= VM_MAP_LOCKED;
	args.len = LEN(5);
	CHECK_EQ(space_map(s, &args, &got), -EAGAIN);
	args.len = LEN(4);
	CHECK_EQ(space_map(s, &args, &got), 0);
	CHECK_EQ(space_locked_pages(s), 4);
	CHECK_EQ(space_lock_range(s, AT, LEN(1), REGION_LOCKED, 4), -ENOMEM);
	CHECK_EQ(space_lock_range(s, TO, LEN(4), REGION_LOCKED, 4), 0); /* locked already: counts once */
	CHECK_EQ(space_lock_range(s, TO, LEN(11), 0, 0), -ENOMEM);      /* up to the hole */
	CHECK_EQ(space_locked_pages(s), 0);
	done_with(s);
}

HOST_TEST(locked_file_pages_are_not_reclaimed)
{
	static struct test_file f;
	struct vm_space *s = new_space();
	struct vm_object *file = new_file(&f, 16, 100);
	MUST(try_map(s, AT, LEN(16), VM_READ, VM_MAP_FIXED, file));
	MUST(space_lock_range(s, AT, LEN(8), REGION_LOCKED, UINT64_MAX));
	MUST(space_populate(s, AT, AT + LEN(16), POPULATE_BY_RIGHTS));
	while (vm_reclaim(64))
		;
	uint8_t vec[16];
	MUST(space_resident(s, AT, 16, vec));
	for (unsigned i = 0; i < 16; i++)
		CHECK_EQ(vec[i], i < 8);
	CHECK_EQ(space_resident(s, AT + LEN(10), 7, vec), -ENOMEM);
	done_with(s);
	object_put(file);
}

HOST_TEST(memory_grows_down_to_the_guard)
{
	struct vm_space *s = new_space();
	uint64_t value;
	map_fixed(s, TO, 1, VM_MAP_GROWSDOWN, NULL);
	map_fixed(s, TO - MIB(4), 1, 0, NULL);
	CHECK_EQ(store(s, TO - LEN(20) + 8, 5), 0);
	CHECK_EQ(region_at(s, TO).start, TO - LEN(20));
	CHECK_EQ(store(s, TO - MIB(4) + LEN(1) + REGION_GUARD - 8, 5), -EFAULT);
	CHECK_EQ(load(s, TO - MIB(4) + LEN(1) + REGION_GUARD, &value), 0);
	vm_validate(s);
	struct vm_map_args args = {.len = REGION_GUARD, .prot = RW, .floor = TO - MIB(4), .ceiling = TO};
	uaddr_t got;
	CHECK_EQ(space_map(s, &args, &got), -ENOMEM); /* nobody is placed in the guard, unless by address */
	map_fixed(s, TO - MIB(4) + LEN(1), 1, 0, NULL);
	CHECK_EQ(remap(s, TO - MIB(4) + REGION_GUARD + LEN(1), 1, 1, MOVES, TO + MIB(8)), 0);
	done_with(s);
}

static int name_refs;
static void name_get(void *what)
{
	*(int *)what += 1;
}
static void name_put(void *what)
{
	*(int *)what -= 1;
}
static const struct vm_name_ops name_ops = {.get = name_get, .put = name_put};

HOST_TEST(names_go_with_the_windows)
{
	static struct test_file f;
	struct vm_space *s = new_space();
	struct vm_object *file = new_file(&f, 40, 100);
	struct vm_map_args args = {.addr = AT,
	    .len = LEN(40),
	    .prot = RW,
	    .flags = VM_MAP_FIXED,
	    .object = file,
	    .name = {&name_ops, &name_refs}};
	struct region_view v;
	uaddr_t got;
	MUST(space_map(s, &args, &got));
	CHECK_EQ(name_refs, 1);
	MUST(space_protect(s, AT + LEN(10), LEN(5), VM_READ));
	CHECK_EQ(name_refs, 3);
	MUST(space_protect(s, AT + LEN(10), LEN(5), RW));
	CHECK_EQ(name_refs, 1);
	CHECK_EQ(remap(s, AT + LEN(20), 5, 5, MOVES, TO), 0);
	CHECK_EQ(name_refs, 3);
	CHECK(space_view(s, TO, &v) && v.name.what == &name_refs && v.file == file);
	CHECK_EQ(name_refs, 4);
	region_view_end(&v);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(name_refs, 6);
	space_put(child);
	MUST(space_unmap(s, AT, LEN(40)));
	CHECK_EQ(name_refs, 1);
	done_with(s);
	CHECK_EQ(name_refs, 0);
	object_put(file);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 16);
}
