/* test_commit.c - what is promised: each operation on a space by what it adds and takes off, refusals at the
 * edge that change nothing, and the modes. */
#include "vm/commit.h"
#include "vm_test.h"

#define AT  (GIB(1) + MIB(2))
#define TOP (GIB(2))

static uint64_t base;

static uint64_t promised(void)
{
	return commit_count() - base;
}

static struct vm_space *begin(void)
{
	struct vm_space *s = new_space();
	base = commit_count();
	return s;
}

/* Not more than n pages on top of what there is, for anybody. */
static void allow(uint64_t n)
{
	static bool (*const everybody)(void) = NULL;
	commit_set_privileged(everybody);
	/* What is kept for whoever administers the machine comes on top. */
	uint64_t kept = MIN(frame_total_count() / 32, MIB(8) >> PAGE_SHIFT);
	commit_set_kib((commit_count() + n + kept + 1) * (PAGE_SIZE / 1024));
	commit_set_mode(COMMIT_NEVER);
}

static void allow_all(void)
{
	commit_set_mode(COMMIT_ALWAYS);
	commit_set_ratio(50);
}

static err_t map(struct vm_space *s, uaddr_t at, uint64_t n, unsigned prot, unsigned flags)
{
	return try_map(s, at, LEN(n), prot, flags | VM_MAP_FIXED, NULL);
}

HOST_TEST(windows)
{
	struct vm_space *s = begin();
	MUST(map(s, AT, 10, RW, 0));
	CHECK_EQ(promised(), 10);
	MUST(map(s, AT + LEN(10), 10, VM_READ, 0));
	MUST(map(s, AT + LEN(20), 10, RW, VM_MAP_NORESERVE));
	CHECK_EQ(promised(), 10);
	MUST(map(
	    s, AT + LEN(5), 10, RW, 0)); /* in the place of five that were promised and five that were not */
	CHECK_EQ(promised(), 15);
	MUST(space_unmap(s, AT + LEN(2), LEN(2)));
	CHECK_EQ(promised(), 13);
	MUST(map(s, TOP, 8, RW, VM_MAP_SHARED));
	CHECK_EQ(promised(), 21);
	MUST(space_unmap(s, TOP, LEN(4))); /* the object is still whole */
	CHECK_EQ(promised(), 21);
	done_with(s);
	CHECK_EQ(promised(), 0);
}

HOST_TEST(protection)
{
	struct vm_space *s = begin();
	MUST(map(s, AT, 20, VM_READ, 0));
	MUST(map(s, AT + LEN(20), 20, VM_READ, VM_MAP_NORESERVE));
	MUST(space_protect(s, AT + LEN(5), LEN(10), RW));
	CHECK_EQ(promised(), 10);
	MUST(space_protect(s, AT, LEN(40), RW));
	CHECK_EQ(promised(), 20);
	MUST(space_protect(s, AT, LEN(40), 0));
	MUST(space_protect(s, AT, LEN(40), RW));
	CHECK_EQ(promised(), 20);
	done_with(s);
	CHECK_EQ(promised(), 0);
}

static err_t remap(
    struct vm_space *s, uaddr_t addr, uint64_t from, uint64_t to, unsigned flags, uaddr_t where)
{
	struct vm_remap_args a = {
	    .addr = addr, .old_len = LEN(from), .new_len = LEN(to), .flags = flags, .new_addr = where};
	uaddr_t got;
	return space_remap(s, &a, &got);
}

HOST_TEST(moving)
{
	struct vm_space *s = begin();
	MUST(map(s, AT, 10, RW, 0));
	MUST(remap(s, AT, 10, 15, 0, 0)); /* in place */
	CHECK_EQ(promised(), 15);
	MUST(remap(s, AT, 15, 12, 0, 0));
	CHECK_EQ(promised(), 12);
	MUST(map(s, TOP, 6, RW, 0));
	MUST(remap(s, AT, 12, 20, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, TOP)); /* whole, in the place of six */
	CHECK_EQ(promised(), 20);
	MUST(remap(s, TOP, 10, 10, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT)); /* a part */
	CHECK_EQ(promised(), 20);
	MUST(remap(s, AT, 10, 4, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, TOP + MIB(1)));
	CHECK_EQ(promised(), 14);
	MUST(remap(s, TOP + MIB(1), 4, 4, VM_REMAP_MAYMOVE | VM_REMAP_DONTUNMAP, TOP + MIB(2)));
	CHECK_EQ(promised(), 18);
	done_with(s);
	CHECK_EQ(promised(), 0);
}

HOST_TEST(forking)
{
	struct vm_space *s = begin();
	MUST(map(s, AT, 10, RW, 0));
	MUST(map(s, AT + LEN(20), 10, RW, VM_MAP_SHARED));
	MUST(map(s, AT + LEN(40), 5, RW, 0));
	MUST(space_set_flags(s, AT + LEN(40), LEN(5), REGION_DONTFORK, 0));
	CHECK_EQ(promised(), 25);
	struct vm_space *child = fork_of(s);
	CHECK_EQ(promised(), 35);
	done_with(s);
	CHECK_EQ(promised(), 20);
	done_with(child);
	CHECK_EQ(promised(), 0);
}

HOST_TEST(growing_down)
{
	struct vm_space *s = begin();
	MUST(map(s, AT, 4, RW, VM_MAP_GROWSDOWN));
	CHECK_EQ(store(s, AT - LEN(3), 1), 0);
	CHECK_EQ(promised(), 7);
	allow(2);
	CHECK_EQ(store(s, AT - LEN(20), 1), -EFAULT);
	CHECK_EQ(promised(), 7);
	allow_all();
	done_with(s);
	CHECK_EQ(promised(), 0);
}

HOST_TEST(shared_objects)
{
	struct vm_object *o, *clone;
	base = commit_count();
	MUST(object_create_anon(0, 10, NULL, &o));
	CHECK_EQ(promised(), 10);
	MUST(object_resize(o, 30));
	CHECK_EQ(promised(), 30);
	MUST(object_clone(o, &clone));
	CHECK_EQ(promised(), 60);
	MUST(object_resize(o, 5));
	CHECK_EQ(promised(), 35);
	allow(10);
	CHECK_EQ(object_resize(o, 50), -ENOMEM);
	CHECK_EQ(o->npages, 5);
	CHECK_EQ(promised(), 35);
	allow_all();
	object_put(o);
	object_put(clone);
	CHECK_EQ(promised(), 0);
}

/* What is refused has changed nothing. */
HOST_TEST(refusals)
{
	struct vm_space *s = begin(), *child;
	MUST(map(s, AT, 10, RW, 0));
	MUST(map(s, TOP, 10, VM_READ, 0));
	fill(s, AT, 10, 1);
	allow(4);
	CHECK_EQ(map(s, AT + LEN(20), 5, RW, 0), -ENOMEM);
	CHECK_EQ(map(s, AT, 15, RW, 0), -ENOMEM);
	CHECK(holds(s, AT, 10, 1)); /* what was to be replaced is still there */
	CHECK_EQ(space_protect(s, TOP, LEN(10), RW), -ENOMEM);
	CHECK_EQ(region_at(s, TOP).prot, VM_READ);
	CHECK_EQ(remap(s, AT, 10, 15, 0, 0), -ENOMEM);
	CHECK_EQ(remap(s, AT, 10, 15, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, TOP + MIB(1)), -ENOMEM);
	CHECK_EQ(space_fork(s, &child), -ENOMEM);
	CHECK_EQ(promised(), 10);
	CHECK(holds(s, AT, 10, 1));
	MUST(map(s, AT, 14, RW, 0)); /* ten of them replaced, four more */
	CHECK_EQ(promised(), 14);
	CHECK_EQ(map(s, AT + LEN(20), 1, RW, 0), -ENOMEM);
	MUST(space_unmap(s, AT, LEN(1)));
	MUST(map(s, AT + LEN(20), 1, RW, 0));
	allow_all();
	done_with(s);
	CHECK_EQ(promised(), 0);
}

HOST_TEST(modes)
{
	struct vm_space *s = begin();
	uint64_t all = frame_total_count();
	commit_set_mode(COMMIT_GUESS);
	CHECK_EQ(map(s, AT, all + 1, RW, 0), -ENOMEM);
	MUST(map(s, AT, all, RW, 0));
	MUST(map(s, AT + LEN(2 * all), all, RW, 0)); /* each for itself could be */
	commit_set_mode(COMMIT_ALWAYS);
	MUST(map(s, AT, 3 * all, RW, 0));
	CHECK_EQ(promised(), 3 * all);
	commit_set_ratio(40);
	CHECK_EQ(commit_limit(), all * 40 / 100);
	CHECK_EQ(commit_kib(), 0);
	commit_set_kib(4000);
	CHECK_EQ(commit_limit(), 1000);
	CHECK_EQ(commit_ratio(), 0);
	commit_set_mode(COMMIT_NEVER);
	CHECK_EQ(map(s, TOP + LEN(4 * all), 1, RW, 0), -ENOMEM);
	allow_all();
	done_with(s);
	CHECK_EQ(promised(), 0);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 8192);
}
