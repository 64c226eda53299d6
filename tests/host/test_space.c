/* test_space.c - map, unmap, protect, flags, fork: each test is named for the rule that it holds up. "A known
 * defect elsewhere" marks rules that other systems broke. */
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))

/* ---------------------------------------------------------------- arguments */

HOST_TEST(map_arguments)
{
	struct vm_space *s = new_space();
	struct vm_object *o = new_shared(0, 10);
	static const struct {
		uaddr_t addr;
		uint64_t len;
		unsigned prot, flags;
		err_t err;
	} table[] = {
	    {AT, 0, RW, VM_MAP_FIXED, -EINVAL},
	    {AT + 1, PAGE_SIZE, RW, VM_MAP_FIXED, -EINVAL},
	    {AT, PAGE_SIZE, 8, VM_MAP_FIXED, -EINVAL},
	    {AT, PAGE_SIZE, RW, VM_MAP_NOREPLACE, -EINVAL},
	    {AT, PAGE_SIZE, RW, VM_MAP_FIXED | VM_MAP_STACK | VM_MAP_SHARED, -EINVAL},
	    {0, PAGE_SIZE, RW, VM_MAP_FIXED, -EPERM},         /* page 0 is nobody's */
	    {USER_END, PAGE_SIZE, RW, VM_MAP_FIXED, -ENOMEM}, /* the last user page is never mappable */
	    {USER_END - PAGE_SIZE, 2 * PAGE_SIZE, RW, VM_MAP_FIXED, -ENOMEM},
	    {1ULL << 63, PAGE_SIZE, RW, VM_MAP_FIXED, -ENOMEM},
	    {UINT64_MAX & PAGE_MASK, PAGE_SIZE, RW, VM_MAP_FIXED, -ENOMEM}, /* the end wraps */
	    {AT, UINT64_MAX, RW, VM_MAP_FIXED, -ENOMEM},                    /* rounding up wraps */
	    {AT, UINT64_MAX - PAGE_SIZE, RW, VM_MAP_FIXED, -ENOMEM},
	    {AT, 1ULL << 63, RW, 0, -ENOMEM},
	    {AT, USER_END, RW, 0, -ENOMEM},
	    {USER_START, PAGE_SIZE, RW, VM_MAP_FIXED, 0},
	    {USER_END - PAGE_SIZE, PAGE_SIZE, RW, VM_MAP_FIXED, 0},
	    {AT, 1, RW, VM_MAP_FIXED, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		unsigned before = count_regions(s);
		err_t err = try_map(s, table[i].addr, table[i].len, table[i].prot, table[i].flags, NULL);
		if (err != table[i].err)
			printf("# row %u\n", i);
		CHECK_EQ(err, table[i].err);
		CHECK_EQ(count_regions(s), before + (err == 0));
	}
	struct vm_map_args beyond = {.addr = AT, .len = PAGE_SIZE, .prot = RW, .max_prot = VM_READ};
	uaddr_t got;
	CHECK_EQ(space_map(s, &beyond, &got), -EACCES);
	struct vm_map_args far = {
	    .len = 2 * PAGE_SIZE, .prot = RW, .flags = VM_MAP_SHARED, .object = o, .offset = PT_INDEX_MAX};
	CHECK_EQ(space_map(s, &far, &got), -EOVERFLOW);
	CHECK_EQ(try_map(s, 0, PAGE_SIZE, RW, 0, o),
	    -EINVAL); /* a private window on shared memory is a clone, asked for by that name */
	done_with(s);
	object_put(o);
}

HOST_TEST(hints_never_replace)
{
	struct vm_space *s = new_space();
	static const uaddr_t hints[] = {
	    0, 1, USER_START, AT, AT + 1, USER_END - 1, USER_END, 1ULL << 63, UINT64_MAX};

	map_fixed(s, AT, 3, 0, NULL);
	fill(s, AT, 3, 50);
	for (unsigned i = 0; i < ARRAY_SIZE(hints); i++) {
		struct vm_map_args args = {.addr = hints[i], .len = 2 * PAGE_SIZE, .prot = RW};
		uaddr_t got = 0;
		CHECK_EQ(space_map(s, &args, &got), 0);
		CHECK(got >= USER_START && got + 2 * PAGE_SIZE <= USER_END &&
		      (got >= AT + LEN(3) || got + LEN(2) <= AT));
		CHECK(is_zero(s, got, 2));
	}
	CHECK(holds(s, AT, 3, 50));
	done_with(s);
}

HOST_TEST(noreplace_refuses_and_changes_nothing)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 3, 0, NULL);
	fill(s, AT, 3, 50);
	CHECK_EQ(try_map(s, AT - LEN(1), LEN(2), RW, VM_MAP_FIXED | VM_MAP_NOREPLACE, NULL), -EEXIST);
	CHECK_EQ(try_map(s, AT + LEN(2), LEN(2), RW, VM_MAP_FIXED | VM_MAP_NOREPLACE, NULL), -EEXIST);
	CHECK_EQ(try_map(s, AT + LEN(3), LEN(2), RW, VM_MAP_FIXED | VM_MAP_NOREPLACE, NULL), 0);
	CHECK(holds(s, AT, 3, 50));
	done_with(s);
}

HOST_TEST(range_arguments)
{
	struct vm_space *s = new_space();
	bool was;
	static const struct {
		uaddr_t addr;
		uint64_t len;
		err_t unmap, protect;
	} table[] = {
	    {AT + 1, PAGE_SIZE, -EINVAL, -EINVAL},
	    {AT, 0, -EINVAL, 0},
	    {0, PAGE_SIZE, -EINVAL, -ENOMEM},
	    {USER_END, PAGE_SIZE, -EINVAL, -ENOMEM},
	    {UINT64_MAX & PAGE_MASK, LEN(2), -EINVAL, -ENOMEM},
	    {AT, UINT64_MAX, -EINVAL, -EINVAL},
	    {AT, UINT64_MAX & PAGE_MASK, -EINVAL, -EINVAL},
	    {AT, 1ULL << 63, -EINVAL, -ENOMEM},
	};

	map_fixed(s, AT, 4, 0, NULL);
	fill(s, AT, 4, 7);
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		CHECK_EQ(space_unmap(s, table[i].addr, table[i].len), table[i].unmap);
		err_t err = space_protect(s, table[i].addr, table[i].len, VM_READ);
		CHECK(err == table[i].protect || (err == -ENOMEM && table[i].protect == -EINVAL));
		CHECK(table[i].protect == 0 || space_discard(s, table[i].addr, table[i].len) != 0);
		CHECK_EQ(space_set_volatile(s, table[i].addr, table[i].len), -EINVAL);
		CHECK_EQ(space_set_nonvolatile(s, table[i].addr, table[i].len, &was), -EINVAL);
	}
	CHECK(holds(s, AT, 4, 7));
	CHECK_EQ(region_at(s, AT).prot, RW);
	CHECK_EQ(space_protect(s, AT, LEN(1), 8), -EINVAL);
	CHECK_EQ(space_set_flags(s, AT, LEN(1), REGION_SHARED, 0), -EINVAL);
	CHECK_EQ(space_set_flags(s, AT, LEN(1), 0, REGION_IMMUTABLE), -EINVAL);
	done_with(s);
}

/* ---------------------------------------------------------------- unmap and protect */

/* Base, middle and tail of a region, and across two regions with a hole; each page probed afterwards. */
HOST_TEST(unmap_split_matrix)
{
	for (unsigned first = 0; first < 8; first++)
		for (unsigned n = 1; first + n <= 8; n++) {
			struct vm_space *s = new_space();
			uint64_t value;
			map_fixed(s, AT, 3, 0, NULL);
			map_fixed(s, AT + LEN(5), 3, 0, NULL);
			fill(s, AT, 3, 10);
			fill(s, AT + LEN(5), 3, 15);
			CHECK_EQ(space_unmap(s, AT + LEN(first), LEN(n)), 0);
			for (unsigned i = 0; i < 8; i++) {
				bool mapped = (i < 3 || i > 4) && (i < first || i >= first + n);
				CHECK_EQ(load(s, AT + LEN(i), &value), mapped ? 0 : -EFAULT);
				CHECK(!mapped || value == 10 + i);
			}
			done_with(s);
		}
}

HOST_TEST(protect_split_matrix)
{
	for (unsigned first = 0; first < 6; first++)
		for (unsigned n = 1; first + n <= 6; n++) {
			struct vm_space *s = new_space();
			uint64_t value;
			map_fixed(s, AT, 6, 0, NULL);
			fill(s, AT, 6, 10);
			CHECK_EQ(space_protect(s, AT + LEN(first), LEN(n), VM_READ), 0);
			for (unsigned i = 0; i < 6; i++) {
				bool narrowed = i >= first && i < first + n;
				CHECK_EQ(load(s, AT + LEN(i), &value), 0);
				CHECK_EQ(value, 10 + i);
				CHECK_EQ(store(s, AT + LEN(i), 10 + i), narrowed ? -EACCES : 0);
				CHECK_EQ(mock_execute(s, AT + LEN(i)), -EACCES);
			}
			CHECK_EQ(space_protect(s, AT, LEN(6), RW), 0);
			CHECK_EQ(count_regions(s), 1); /* what was split is one again */
			CHECK(holds(s, AT, 6, 10));
			done_with(s);
		}
}

/* A known defect elsewhere: the part before the hole was changed. */
HOST_TEST(protect_over_hole_changes_nothing)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 3, 0, NULL);
	map_fixed(s, AT + LEN(4), 3, 0, NULL);
	fill(s, AT, 3, 1);
	CHECK_EQ(space_protect(s, AT, LEN(7), VM_READ), -ENOMEM);
	CHECK_EQ(space_protect(s, AT - LEN(1), LEN(2), VM_READ), -ENOMEM);
	CHECK_EQ(space_discard(s, AT, LEN(7)), -ENOMEM);
	CHECK_EQ(space_set_flags(s, AT, LEN(7), REGION_DONTFORK, 0), -ENOMEM);
	CHECK_EQ(store(s, AT, 1), 0);
	CHECK_EQ(count_regions(s), 2);
	CHECK(holds(s, AT, 3, 1));
	done_with(s);
}

HOST_TEST(prot_none_and_back_keeps_data)
{
	struct vm_space *s = new_space();
	uint64_t value;

	map_fixed(s, AT, 4, 0, NULL);
	fill(s, AT, 4, 30);
	CHECK_EQ(space_protect(s, AT, LEN(4), 0), 0);
	CHECK_EQ(load(s, AT, &value), -EACCES);
	CHECK_EQ(store(s, AT, 1), -EACCES);
	CHECK_EQ(space_protect(s, AT, LEN(4), RW), 0);
	CHECK(holds(s, AT, 4, 30));
	done_with(s);
}

HOST_TEST(max_prot_is_a_ceiling)
{
	struct vm_space *s = new_space();
	struct vm_map_args args = {
	    .addr = AT, .len = LEN(2), .prot = VM_READ, .max_prot = VM_READ | VM_EXEC, .flags = VM_MAP_FIXED};
	uaddr_t got;

	CHECK_EQ(space_map(s, &args, &got), 0);
	CHECK_EQ(space_protect(s, AT, LEN(2), RW), -EACCES);
	CHECK_EQ(space_protect(s, AT, LEN(2), VM_READ | VM_EXEC), 0);
	CHECK_EQ(mock_execute(s, AT), 0);
	CHECK_EQ(space_protect(s, AT, LEN(2), VM_READ), 0);
	CHECK_EQ(mock_execute(s, AT), -EACCES); /* no translation that still allows it */
	done_with(s);
}

/* A known defect elsewhere: unmapping part of a region kept its frames until the whole region went. */
HOST_TEST(partial_unmap_frees_frames)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	map_fixed(s, AT, 100, 0, NULL);
	fill(s, AT, 100, 1);
	CHECK_EQ(anon_frames(), before + 100);
	CHECK_EQ(space_unmap(s, AT + LEN(10), LEN(80)), 0);
	CHECK_EQ(anon_frames(), before + 20);
	CHECK_EQ(region_at(s, AT).resident, 10);
	CHECK(holds(s, AT, 10, 1));
	CHECK(holds(s, AT + LEN(90), 10, 91));
	done_with(s);
	CHECK_EQ(anon_frames(), before);
}

/* A known defect elsewhere: unmapping allocated page tables for what was never touched. */
HOST_TEST(unmap_of_huge_untouched_range_allocates_nothing)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, GIB(64) >> PAGE_SHIFT, 0, NULL);
	CHECK_EQ(store(s, AT + GIB(1), 1), 0);
	CHECK_EQ(store(s, AT + GIB(20), 2), 0);
	CHECK_EQ(store(s, AT + GIB(50), 3), 0);
	uint64_t tables = mmu_table_count(&s->mmu), nodes = page_tree_nodes(), free = frame_free_count();
	CHECK_EQ(space_unmap(s, AT, GIB(64)), 0);
	CHECK(mmu_table_count(&s->mmu) < tables);
	CHECK(page_tree_nodes() < nodes);
	CHECK(frame_free_count() > free);
	CHECK_EQ(mmu_table_count(&s->mmu), 1);
	done_with(s);
}

HOST_TEST(map_of_huge_range_costs_no_frames)
{
	struct vm_space *s = new_space();
	struct model_usage before, after;

	map_fixed(s, GIB(2), 1, 0, NULL); /* the caches have a slab each now */
	model_usage_get(&before);
	map_fixed(s, GIB(600), GIB(512) >> PAGE_SHIFT, 0, NULL);
	model_usage_get(&after);
	CHECK_EQ(after.frames, before.frames);
	CHECK_EQ(mmu_table_count(&s->mmu), 1);
	done_with(s);
}

/* A known defect elsewhere: overlaying a region many times lost account of pages. */
HOST_TEST(twenty_thousand_overlays)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();

	for (unsigned i = 0; i < 20000; i++) {
		unsigned at = i * 7 % 40, n = 1 + i % 5;
		map_fixed(s, AT + LEN(at), n, i % 3 ? 0 : VM_MAP_STACK, NULL);
		CHECK_EQ(store(s, AT + LEN(at), i), 0);
	}
	CHECK(anon_frames() <= before + 44);
	CHECK_EQ(space_unmap(s, AT, LEN(50)), 0);
	CHECK_EQ(anon_frames(), before);
	CHECK_EQ(count_regions(s), 0);
	done_with(s);
}

static uaddr_t map_at(struct vm_space *s, uaddr_t hint, uint64_t npages, unsigned flags, struct vm_object *o)
{
	struct vm_map_args args = {.addr = hint, .len = LEN(npages), .prot = RW, .flags = flags, .object = o};
	uaddr_t got;

	MUST(space_map(s, &args, &got));
	vm_validate(s);
	return got;
}

/* Whatever comes and goes around it. */
HOST_TEST(guards_are_given_to_nobody)
{
	struct vm_space *s = new_space();
	struct vm_object *o;
	MUST(object_create_anon(0, 8, NULL, &o));
	enum { GUARDED = VM_MAP_SHARED | VM_MAP_GUARDED };
	uaddr_t top = map_at(s, 0, 2, GUARDED, o);
	CHECK_EQ(top + LEN(3), USER_END); /* one free page above it */
	uaddr_t below = map_at(s, 0, 1, 0, NULL);
	CHECK_EQ(below + LEN(2), top);
	uaddr_t next = map_at(s, 0, 1, GUARDED, o); /* guards of its own */
	CHECK_EQ(next + LEN(2), below);
	CHECK_EQ(map_at(s, top - LEN(1), 1, 0, NULL), next - LEN(2));
	CHECK_EQ(try_map(s, below, LEN(1), RW, VM_MAP_FIXED | GUARDED, o), 0);
	CHECK_EQ(try_map(s, below - LEN(1), LEN(1), RW, VM_MAP_FIXED | GUARDED, o), -EEXIST);
	CHECK_EQ(
	    try_map(s, top - LEN(1), LEN(1), RW, VM_MAP_FIXED, NULL), 0); /* by address, as with stacks */
	vm_validate(s);
	MUST(space_unmap(s, top - LEN(1), LEN(1)));
	MUST(space_unmap(s, next, LEN(1)));
	vm_validate(s);
	CHECK_EQ(map_at(s, 0, 2, 0, NULL), below - LEN(3)); /* the guard of `below`, and where `next` was */
	struct vm_space *child = fork_of(s);
	vm_validate(child);
	CHECK_EQ(try_map(child, top - LEN(2), LEN(1), RW, VM_MAP_FIXED | GUARDED, o), 0);
	MUST(space_unmap(s, top, LEN(1))); /* the half that stays has its guard still */
	vm_validate(s);
	space_put(child);
	space_put(s);
	object_put(o);
}

HOST_TEST(twice_in_a_row)
{
	struct vm_space *s = new_space();
	struct vm_object *o;
	uint64_t value;
	MUST(object_create_anon(0, 3, NULL, &o));
	CHECK_EQ(try_map(s, 0, LEN(3), RW, VM_MAP_TWICE, NULL), -EINVAL);
	CHECK_EQ(try_map(s, 0, USER_END, RW, VM_MAP_SHARED | VM_MAP_TWICE, o), -ENOMEM);
	uaddr_t at = map_at(s, 0, 3, VM_MAP_SHARED | VM_MAP_TWICE, o);
	CHECK_EQ(s->npages, 6);
	CHECK_EQ(store(s, at + LEN(1), 7), 0);
	CHECK_EQ(load(s, at + LEN(4), &value), 0);
	CHECK_EQ(value, 7);
	CHECK_EQ(store(s, at + LEN(5), 8), 0);
	CHECK_EQ(load(s, at + LEN(2), &value), 0);
	CHECK_EQ(value, 8);
	vm_validate(s);
	const struct vm_limits limits = {.all = 11, .data = UINT64_MAX, .locked = UINT64_MAX, .stack = 0};
	struct vm_map_args more = {
	    .len = LEN(3), .prot = RW, .flags = VM_MAP_SHARED | VM_MAP_TWICE, .object = o, .limits = &limits};
	CHECK_EQ(space_map(s, &more, &at), -ENOMEM);
	space_put(s);
	object_put(o);
}

HOST_TEST(like_neighbours_become_one)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 2, 0, NULL);
	map_fixed(s, AT + LEN(2), 2, 0, NULL);
	map_fixed(s, AT - LEN(2), 2, 0, NULL);
	CHECK_EQ(count_regions(s), 1);
	fill(s, AT - LEN(2), 6, 1);
	map_fixed(s, AT, 2, 0, NULL); /* over the middle */
	CHECK_EQ(count_regions(s), 1);
	CHECK(is_zero(s, AT, 2));
	CHECK(holds(s, AT - LEN(2), 2, 1));
	CHECK(holds(s, AT + LEN(2), 2, 5));
	done_with(s);
}

/* ---------------------------------------------------------------- immutable regions */

HOST_TEST(immutable_refuses_every_change_whole)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 6, 0, NULL);
	fill(s, AT, 6, 1);
	CHECK_EQ(space_set_flags(s, AT + LEN(2), LEN(2), REGION_IMMUTABLE, 0), 0);
	CHECK_EQ(space_set_flags(s, AT + LEN(2), LEN(2), REGION_IMMUTABLE, 0), 0);
	CHECK_EQ(space_unmap(s, AT, LEN(6)), -EPERM);
	CHECK_EQ(space_unmap(s, AT + LEN(3), LEN(3)), -EPERM);
	CHECK_EQ(space_protect(s, AT, LEN(6), VM_READ), -EPERM);
	CHECK_EQ(try_map(s, AT, LEN(6), RW, VM_MAP_FIXED, NULL), -EPERM);
	CHECK(holds(s, AT, 6, 1));
	CHECK_EQ(store(s, AT, 1), 0);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(space_unmap(child, AT + LEN(2), LEN(1)), -EPERM);
	CHECK_EQ(store(child, AT + LEN(2), 9), 0); /* its contents are not frozen */
	done_with(child);
	done_with(s);
}

/* What can be written can be emptied; what cannot be, stays as it is, here and in children. */
HOST_TEST(immutable_keeps_what_cannot_be_written)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 4, 0, NULL);
	fill(s, AT, 4, 1);
	CHECK_EQ(space_protect(s, AT, LEN(2), VM_READ), 0);
	CHECK_EQ(space_set_flags(s, AT, LEN(4), REGION_IMMUTABLE, 0), 0);
	CHECK_EQ(space_discard(s, AT + LEN(1), LEN(2)), -EPERM);
	CHECK_EQ(space_set_flags(s, AT + LEN(1), LEN(2), REGION_DONTFORK, 0), -EPERM);
	CHECK_EQ(space_set_flags(s, AT + LEN(1), LEN(2), REGION_WIPEONFORK, 0), -EPERM);
	CHECK(holds(s, AT, 4, 1));
	CHECK_EQ(count_regions(s), 2);
	CHECK_EQ(space_set_flags(s, AT + LEN(1), LEN(2), REGION_DONTDUMP, 0), 0);
	CHECK_EQ(space_discard(s, AT + LEN(2), LEN(2)), 0);
	CHECK(holds(s, AT, 2, 1));
	CHECK(is_zero(s, AT + LEN(2), 2));
	done_with(s);
}

HOST_TEST(stack_changes_move_the_serial)
{
	struct vm_space *s = new_space();
	uint64_t serial = s->serial;

	map_fixed(s, AT, 4, VM_MAP_STACK, NULL);
	map_fixed(s, AT + LEN(8), 4, 0, NULL);
	CHECK(region_at(s, AT).flags & REGION_STACK);
	CHECK_EQ(space_unmap(s, AT + LEN(8), LEN(4)), 0);
	CHECK_EQ(s->serial, serial);
	CHECK_EQ(try_map(s, AT + LEN(1), LEN(1), RW, VM_MAP_FIXED, NULL), 0);
	CHECK(s->serial != serial);
	serial = s->serial;
	CHECK_EQ(space_protect(s, AT, LEN(1), VM_READ), 0);
	CHECK(s->serial != serial);
	serial = s->serial;
	CHECK_EQ(space_unmap(s, AT, LEN(4)), 0);
	CHECK(s->serial != serial);
	done_with(s);
}

/* ---------------------------------------------------------------- fork */

HOST_TEST(fork_isolates_both_ways)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 70, 0, NULL);
	fill(s, AT, 70, 100);
	struct vm_space *child = fork_of(s);
	fill(s, AT + LEN(10), 5, 500);
	fill(child, AT + LEN(12), 5, 700);
	CHECK(holds(child, AT, 12, 100) && holds(child, AT + LEN(12), 5, 700) &&
	      holds(child, AT + LEN(17), 53, 117));
	CHECK(holds(s, AT + LEN(10), 5, 500) && holds(s, AT + LEN(15), 55, 115));
	done_with(s);
	CHECK(holds(child, AT + LEN(12), 5, 700));
	done_with(child);
}

HOST_TEST(fork_costs_the_same_for_any_size)
{
	struct model_usage before, after;
	uint64_t cost[2], nodes[2];

	for (unsigned k = 0; k < 2; k++) {
		struct vm_space *s = new_space();
		map_fixed(s, AT, 8192, 0, NULL);
		fill(s, AT, k ? 8000 : 10, 1);
		model_usage_get(&before);
		struct vm_space *child = fork_of(s);
		model_usage_get(&after);
		cost[k] = before.frames - after.frames;
		nodes[k] = after.nodes - before.nodes;
		done_with(child);
		done_with(s);
	}
	CHECK_EQ(cost[0], cost[1]);
	CHECK_EQ(nodes[0], 0);
	CHECK_EQ(nodes[1], 0);
}

HOST_TEST(fork_protects_in_the_root)
{
	struct vm_space *s = new_space();
	struct mock_stats before, after;

	map_fixed(s, GIB(4), GIB(1) >> PAGE_SHIFT, 0, NULL);
	for (unsigned i = 0; i < 300; i++)
		CHECK_EQ(store(s, GIB(4) + i * MIB(3), i), 0);
	mock_get_stats(&before);
	struct vm_space *child = fork_of(s);
	mock_get_stats(&after);
	CHECK_EQ(after.protect_stores - before.protect_stores, 1); /* one store for 512 GiB */
	CHECK_EQ(after.flushes - before.flushes, 1);               /* one flush for the whole fork */
	CHECK_EQ(mmu_table_count(&child->mmu), 1);
	CHECK_EQ(store(s, GIB(4) + 5 * MIB(3), 77), 0);
	mock_get_stats(&after);
	CHECK_EQ(after.push_downs - before.push_downs, 3); /* one for each level that was spared */
	for (unsigned i = 0; i < 300; i++)
		CHECK_EQ(word_at(child, GIB(4) + i * MIB(3)), i);
	done_with(child);
	done_with(s);
}

/* Opening the entries above one page gives nothing to the pages beside it, at any level. */
HOST_TEST(write_access_comes_back_to_one_page_only)
{
	static const uint64_t at[] = {
	    0, LEN(1), LEN(100), MIB(2), MIB(2) + LEN(1), MIB(700), GIB(1), GIB(1) + LEN(1), GIB(2)};
	enum { N = ARRAY_SIZE(at) };

	for (unsigned opened = 0; opened < N; opened++) {
		struct vm_space *s = new_space();
		map_fixed(s, GIB(4), GIB(3) >> PAGE_SHIFT, 0, NULL);
		for (unsigned i = 0; i < N; i++)
			CHECK_EQ(store(s, GIB(4) + at[i], i), 0);
		struct vm_space *child = fork_of(s);
		CHECK_EQ(store(s, GIB(4) + at[opened], 100), 0);
		for (unsigned i = 0; i < N; i++)
			CHECK_EQ(
			    mock_probe(&s->mmu, GIB(4) + at[i], MMU_WRITE, NULL), i == opened ? 0 : -EFAULT);
		for (unsigned i = 0; i < N; i++)
			CHECK_EQ(store(s, GIB(4) + at[i], 200 + i), 0);
		for (unsigned i = 0; i < N; i++)
			CHECK_EQ(word_at(child, GIB(4) + at[i]), i);
		done_with(child);
		done_with(s);
	}
}

/* Generation g > 0 writes the pages p with p % 5 == g; the others stay as the first one left them. */
HOST_TEST(five_generations_in_every_order_of_exit)
{
	static const uint8_t orders[][5] = {
	    {0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}, {1, 3, 0, 4, 2}};

	for (unsigned k = 0; k < ARRAY_SIZE(orders); k++) {
		struct vm_space *gen[5] = {new_space()};
		uint64_t before = anon_frames();
		map_fixed(gen[0], AT, 130, 0, NULL);
		fill(gen[0], AT, 130, 1000);
		for (unsigned g = 1; g < 5; g++) {
			gen[g] = fork_of(gen[g - 1]);
			for (unsigned p = g; p < 130; p += 5)
				CHECK_EQ(store(gen[g], AT + LEN(p), g * 10000 + p), 0);
		}
		CHECK_EQ(anon_frames(), before + 130 + 4 * 26);
		for (unsigned i = 0; i < 5; i++) {
			for (unsigned g = 0; g < 5; g++)
				for (unsigned p = 0; gen[g] && p < 130; p++) {
					unsigned writer = p % 5;
					CHECK_EQ(word_at(gen[g], AT + LEN(p)),
					    writer && writer <= g ? writer * 10000 + p : 1000 + p);
				}
			done_with(gen[orders[k][i]]);
			gen[orders[k][i]] = NULL;
		}
		CHECK_EQ(anon_frames(), before);
	}
}

/* A known defect elsewhere: after the other sharer had gone, each page was copied once more. */
HOST_TEST(last_owner_writes_in_place)
{
	struct vm_space *s = new_space();
	uint64_t before = anon_frames();
	struct vm_counters c0, c1;

	map_fixed(s, AT, 64, 0, NULL);
	fill(s, AT, 64, 1);
	space_put(fork_of(s));
	vm_counters(&c0);
	fill(s, AT, 64, 100);
	vm_counters(&c1);
	CHECK_EQ(c1.copies, c0.copies);
	CHECK_EQ(anon_frames(), before + 64);
	CHECK(c1.faults - c0.faults < 5); /* write access comes back for the whole leaf at once */
	done_with(s);
}

HOST_TEST(more_than_65536_sharers)
{
	enum { SHARERS = 66000 };
	static struct vm_space *all[SHARERS];
	struct vm_space *s = new_space();
	uint64_t frames;

	map_fixed(s, AT, 1, 0, NULL);
	fill(s, AT, 1, 42);
	frames = anon_frames();
	for (unsigned i = 0; i < SHARERS; i++) {
		all[i] = fork_of(i % 2 ? all[i - 1] : s);
		if (i % 1000 == 999)
			CHECK_EQ(word_at(all[i], AT), 42);
	}
	CHECK_EQ(anon_frames(), frames);
	CHECK_EQ(store(all[77], AT, 43), 0);
	CHECK_EQ(anon_frames(), frames + 1);
	CHECK_EQ(word_at(all[78], AT), 42);
	CHECK_EQ(word_at(s, AT), 42);
	for (unsigned i = 0; i < SHARERS; i++)
		space_put(all[i]);
	CHECK_EQ(word_at(s, AT), 42);
	done_with(s);
}

/* Each clone writes a neighbour, so that its leaf is its own and the page's count of shares passes 65,536. */
HOST_TEST(more_than_65536_shares_of_one_page)
{
	enum { SHARERS = 66000 };
	static struct vm_object *all[SHARERS];
	struct vm_object *o = new_shared(0, 4);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 4, VM_MAP_SHARED, o);
	fill(s, AT, 1, 42);
	for (unsigned i = 0; i < SHARERS; i++) {
		CHECK_EQ(object_clone(o, &all[i]), 0);
		map_fixed(s, AT + LEN(8), 4, VM_MAP_SHARED, all[i]);
		CHECK_EQ(store(s, AT + LEN(9), i), 0);
	}
	CHECK_EQ(page_shares(page_tree_lookup(&o->tree, 0)), SHARERS + 1);
	CHECK_EQ(store(s, AT, 43), 0);
	CHECK_EQ(word_at(s, AT), 43);
	CHECK_EQ(word_at(s, AT + LEN(8)), 42);
	CHECK_EQ(space_unmap(s, AT + LEN(8), LEN(4)), 0);
	for (unsigned i = 0; i < SHARERS; i++)
		object_put(all[i]);
	CHECK_EQ(word_at(s, AT), 43);
	done_with(s);
	object_put(o);
}

/* A known defect elsewhere: shared anonymous memory was copied by fork. */
HOST_TEST(fork_shares_shared_memory)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 4, VM_MAP_SHARED, NULL);
	struct vm_space *child = fork_of(s), *grandchild = fork_of(child);
	fill(grandchild, AT, 4, 60);
	CHECK(holds(s, AT, 4, 60) && holds(child, AT, 4, 60));
	done_with(s);
	done_with(child);
	CHECK(holds(grandchild, AT, 4, 60));
	done_with(grandchild);
}

HOST_TEST(private_file_mapping_and_fork)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 10, 1000);
	struct vm_space *s = new_space();

	map_fixed(s, AT, 10, 0, file);
	CHECK_EQ(word_at(s, AT + LEN(1)), 1001);
	CHECK_EQ(store(s, AT + LEN(2), 5), 0);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(store(child, AT + LEN(2), 6), 0);
	CHECK_EQ(store(child, AT + LEN(3), 7), 0);
	CHECK_EQ(store(s, AT + LEN(4), 8), 0);
	CHECK_EQ(word_at(s, AT + LEN(2)), 5);
	CHECK_EQ(word_at(s, AT + LEN(3)), 1003);
	CHECK_EQ(word_at(child, AT + LEN(2)), 6);
	CHECK_EQ(word_at(child, AT + LEN(4)), 1004);
	CHECK_EQ(f.writes, 0);
	CHECK_EQ(object_sync(file, 0, 10), 0);
	CHECK_EQ(f.words[2], 1002); /* nothing private reached the file */
	done_with(child);
	done_with(s);
	object_put(file);
}

HOST_TEST(fork_flags)
{
	struct vm_space *s = new_space();
	uint64_t value;

	map_fixed(s, AT, 9, 0, NULL);
	fill(s, AT, 9, 1);
	CHECK_EQ(space_set_flags(s, AT + LEN(3), LEN(3), REGION_DONTFORK, 0), 0);
	CHECK_EQ(space_set_flags(s, AT + LEN(6), LEN(1), REGION_WIPEONFORK, 0), 0);
	struct vm_space *child = fork_of(s);
	CHECK(holds(child, AT, 3, 1));
	CHECK_EQ(load(child, AT + LEN(4), &value), -EFAULT);
	CHECK(is_zero(child, AT + LEN(6), 1));
	CHECK(holds(child, AT + LEN(7), 2, 8));
	CHECK(holds(s, AT, 9, 1));
	struct vm_space *again = fork_of(child);
	CHECK(is_zero(again, AT + LEN(6), 1));
	done_with(again);
	done_with(child);
	uint64_t frames = anon_frames();
	fill(s, AT + LEN(3), 3, 4); /* nobody shares what was not forked */
	CHECK_EQ(anon_frames(), frames);
	done_with(s);
}

HOST_TEST(read_only_then_writable_after_fork)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 4, 0, NULL);
	fill(s, AT, 4, 1);
	CHECK_EQ(space_protect(s, AT, LEN(4), VM_READ), 0);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(space_protect(child, AT, LEN(4), RW), 0);
	CHECK_EQ(space_protect(s, AT, LEN(4), RW), 0);
	fill(child, AT, 2, 100);
	fill(s, AT + LEN(2), 2, 200);
	CHECK(holds(s, AT, 2, 1) && holds(child, AT + LEN(2), 2, 3));
	done_with(child);
	done_with(s);
}

/* A known defect elsewhere: unmapping part of it in the child broke the parent's copy-on-write. */
HOST_TEST(partial_unmap_in_child_leaves_parent_alone)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 80, 0, NULL);
	fill(s, AT, 80, 1);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(space_unmap(child, AT + LEN(20), LEN(50)), 0);
	fill(child, AT, 10, 500);
	CHECK(holds(s, AT, 80, 1));
	fill(s, AT + LEN(60), 20, 900);
	CHECK(holds(child, AT + LEN(70), 10, 71));
	done_with(child);
	done_with(s);
}

HOST_TEST(spaces_come_and_go_without_trace)
{
	for (unsigned i = 0; i < 2000; i++) {
		struct vm_space *s = new_space();
		map_fixed(s, AT, 20, 0, NULL);
		fill(s, AT, 3, i);
		struct vm_space *child = fork_of(s);
		CHECK_EQ(store(child, AT, 7), 0);
		space_put(i % 2 ? s : child);
		space_put(i % 2 ? child : s);
	}
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 20);
}
