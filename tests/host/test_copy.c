/* test_copy.c - user copies and copies between spaces: lengths, edges, exact partial counts, copy-on-write
 * behind the kernel's back. */
#include "arch/usercopy.h"
#include "kern/thread.h"
#include "vm_test.h"

#define AT (GIB(1) + MIB(2))

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

static void make_pattern(uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(i);
}

/* Three mapped pages, then a hole: every length around page edges from every offset near them. */
HOST_TEST(partial_counts_are_exact)
{
	static const unsigned edges[] = {
	    0, 1, 7, 8, 4095, 4096, 4097, 8191, 8192, 8193, 12287, 12288, 12289, 20000};
	static uint8_t buf[20000], back[20000];
	struct vm_space *s = new_space();

	map_fixed(s, AT, 3, 0, NULL);
	host_use_space(s);
	make_pattern(buf, sizeof(buf));
	for (unsigned i = 0; i < ARRAY_SIZE(edges); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(edges); k++) {
			uaddr_t addr = AT + edges[i];
			size_t n = edges[k], done, room = edges[i] < 12288 ? 12288 - edges[i] : 0,
			       fits = MIN(n, room);
			CHECK_EQ(copy_to_user_partial(addr, buf, n), n - fits);
			memset(back, 0, sizeof(back));
			CHECK_EQ(copy_from_user_partial(back, addr, n), n - fits);
			CHECK(memcmp(back, buf, fits) == 0);
			CHECK_EQ(zero_user_partial(addr, n), n - fits);
			CHECK_EQ(space_write(s, addr, buf, n, &done), fits == n ? 0 : -EFAULT);
			CHECK_EQ(done, fits);
			memset(back, 0, sizeof(back));
			CHECK_EQ(space_read(s, back, addr, n, &done), fits == n ? 0 : -EFAULT);
			CHECK_EQ(done, fits);
			CHECK(memcmp(back, buf, fits) == 0);
		}
	host_use_space(NULL);
	done_with(s);
}

HOST_TEST(addresses_outside_user_space)
{
	static const uaddr_t strange[] = {0, 1, 0xfff, USER_END, USER_END + 1, 1ULL << 47,
	    0xffff800000000000ULL, UINT64_MAX - 3, UINT64_MAX};
	struct vm_space *s = new_space();
	uint8_t buf[16] = {0};
	size_t done;

	map_fixed(s, USER_START, 1, 0, NULL);
	map_fixed(s, USER_END - PAGE_SIZE, 1, 0, NULL);
	host_use_space(s);
	for (unsigned i = 0; i < ARRAY_SIZE(strange); i++) {
		CHECK_EQ(copy_from_user(buf, strange[i], 8), -EFAULT);
		CHECK_EQ(copy_to_user(strange[i], buf, 8), -EFAULT);
		CHECK_EQ(copy_from_user(buf, strange[i], 0), 0);
		CHECK_EQ(copy_from_user_partial(buf, strange[i], SIZE_MAX) != 0, true);
		CHECK_EQ(space_read(s, buf, strange[i], 8, &done), -EFAULT);
		CHECK_EQ(done, 0);
		CHECK_EQ(space_write(s, strange[i], buf, 8, &done), -EFAULT);
		CHECK_EQ(copy_string_from_user((char *)buf, strange[i], sizeof(buf)), -EFAULT);
	}
	CHECK_EQ(copy_to_user_partial(USER_END - 4, buf, 16), 12); /* up to the last byte, no further */
	CHECK_EQ(space_write(s, USER_END - 4, buf, 16, &done), -EFAULT);
	CHECK_EQ(done, 4);
	CHECK_EQ(copy_from_user(buf, USER_START, 16), 0);
	host_use_space(NULL);
	CHECK_EQ(copy_from_user(buf, USER_START, 1), -EFAULT); /* a thread without a space */
	done_with(s);
}

HOST_TEST(rights_are_checked_in_software)
{
	struct vm_space *s = new_space();
	uint8_t buf[8] = {1};
	size_t done;

	CHECK_EQ(try_map(s, AT, LEN(1), VM_READ, VM_MAP_FIXED, NULL), 0);
	CHECK_EQ(try_map(s, AT + LEN(1), LEN(1), 0, VM_MAP_FIXED, NULL), 0);
	map_fixed(s, AT + LEN(2), 1, 0, NULL);
	CHECK_EQ(space_write(s, AT, buf, 8, &done), -EACCES);
	CHECK_EQ(space_read(s, buf, AT, 8, &done), 0);
	CHECK_EQ(space_read(s, buf, AT + LEN(1), 8, &done), -EACCES);
	CHECK_EQ(space_write(s, AT + LEN(1), buf, 8, &done), -EACCES);
	CHECK_EQ(space_write(s, AT + LEN(2), buf, 8, &done), 0);
	host_use_space(s);
	CHECK_EQ(copy_to_user(AT, buf, 8), -EFAULT);
	CHECK_EQ(copy_from_user(buf, AT + LEN(1), 8), -EFAULT);
	host_use_space(NULL);
	done_with(s);
}

/* A known defect elsewhere: a store from another space hit the page that both shared. */
HOST_TEST(remote_write_leaves_the_sharer_alone)
{
	struct vm_space *s = new_space();
	uint64_t word = 77;
	size_t done;

	map_fixed(s, AT, 10, 0, NULL);
	fill(s, AT, 10, 1);
	struct vm_space *child = fork_of(s);
	CHECK(holds(child, AT, 10, 1)); /* translations to the shared pages are in */
	CHECK_EQ(space_write(child, AT + LEN(2), &word, 8, &done), 0);
	CHECK_EQ(word_at(child, AT + LEN(2)), 77);
	CHECK(holds(s, AT, 10, 1));
	CHECK_EQ(space_write(s, AT + LEN(3), &word, 8, &done), 0);
	CHECK_EQ(word_at(s, AT + LEN(3)), 77);
	CHECK_EQ(word_at(child, AT + LEN(3)), 4);
	done_with(child);
	done_with(s);
}

HOST_TEST(remote_write_to_untouched_page)
{
	struct vm_space *s = new_space();
	uint64_t word = 5;
	size_t done;

	map_fixed(s, AT, 4, 0, NULL);
	CHECK(is_zero(s, AT, 4)); /* the zero page is mapped */
	CHECK_EQ(space_write(s, AT + LEN(1), &word, 8, &done), 0);
	CHECK_EQ(word_at(s, AT + LEN(1)), 5);
	struct vm_space *other = new_space();
	map_fixed(other, AT, 4, 0, NULL);
	CHECK(is_zero(other, AT, 4)); /* nobody wrote the zero page itself */
	done_with(other);
	done_with(s);
}

HOST_TEST(remote_write_to_private_file_page)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 4, 100);
	struct vm_space *s = new_space();
	uint64_t word = 5;
	size_t done;

	map_fixed(s, AT, 4, 0, file);
	CHECK_EQ(word_at(s, AT), 100);
	CHECK_EQ(space_write(s, AT, &word, 8, &done), 0);
	CHECK_EQ(word_at(s, AT), 5);
	CHECK_EQ(object_sync(file, 0, 4), 0);
	CHECK_EQ(f.words[0], 100);
	done_with(s);
	object_put(file);
}

HOST_TEST(copy_says_which_side_faulted_and_where)
{
	struct vm_space *a = new_space(), *b = new_space();
	enum copy_side side;
	size_t done;

	map_fixed(a, AT, 3, 0, NULL);
	map_fixed(b, AT, 2, 0, NULL);
	CHECK_EQ(space_copy(b, AT + 100, a, AT + 200, 3 * PAGE_SIZE, &done, &side), -EFAULT);
	CHECK_EQ(side, COPY_DST_FAULT);
	CHECK_EQ(done, 2 * PAGE_SIZE - 100);
	CHECK_EQ(space_copy(a, AT, b, AT + 50, 3 * PAGE_SIZE, &done, &side), -EFAULT);
	CHECK_EQ(side, COPY_SRC_FAULT);
	CHECK_EQ(done, 2 * PAGE_SIZE - 50);
	CHECK_EQ(space_protect(b, AT, LEN(2), VM_READ), 0);
	CHECK_EQ(space_copy(b, AT, a, AT, 8, &done, &side), -EACCES);
	CHECK(side == COPY_DST_FAULT && done == 0);
	CHECK_EQ(space_copy(a, AT, b, AT, LEN(2), &done, &side), 0);
	CHECK(side == COPY_OK && done == LEN(2));
	CHECK_EQ(space_copy(a, UINT64_MAX - 7, b, AT, 64, &done, &side), -EFAULT);
	CHECK_EQ(space_copy(a, AT, b, AT, 0, &done, &side), 0);
	CHECK_EQ(done, 0);
	done_with(a);
	done_with(b);
}

HOST_TEST(copies_at_every_pair_of_offsets)
{
	static const unsigned offsets[] = {0, 1, 63, 2048, 4095, 4096};
	static uint8_t buf[10000], back[10000];
	struct vm_space *a = new_space(), *b = new_space();
	enum copy_side side;
	size_t done;

	map_fixed(a, AT, 5, 0, NULL);
	map_fixed(b, AT, 5, 0, NULL);
	make_pattern(buf, sizeof(buf));
	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(offsets); k++) {
			CHECK_EQ(space_write(a, AT + offsets[i], buf, sizeof(buf), &done), 0);
			CHECK_EQ(
			    space_copy(b, AT + offsets[k], a, AT + offsets[i], sizeof(buf), &done, &side), 0);
			CHECK_EQ(space_read(b, back, AT + offsets[k], sizeof(back), &done), 0);
			CHECK(memcmp(buf, back, sizeof(buf)) == 0);
		}
	done_with(a);
	done_with(b);
}

/* The same space on both sides: downwards an overlapping copy is exact; within one page it is in either
 * direction. */
HOST_TEST(overlapping_copies)
{
	static uint8_t buf[8192], back[8192];
	struct vm_space *s = new_space();
	enum copy_side side;
	size_t done;

	map_fixed(s, AT, 4, 0, NULL);
	make_pattern(buf, sizeof(buf));
	CHECK_EQ(space_write(s, AT + 500, buf, sizeof(buf), &done), 0);
	CHECK_EQ(space_copy(s, AT + 100, s, AT + 500, sizeof(buf), &done, &side), 0);
	CHECK_EQ(space_read(s, back, AT + 100, sizeof(back), &done), 0);
	CHECK(memcmp(buf, back, sizeof(buf)) == 0);
	CHECK_EQ(space_write(s, AT, buf, 2000, &done), 0);
	CHECK_EQ(space_copy(s, AT + 300, s, AT, 2000, &done, &side), 0);
	CHECK_EQ(space_read(s, back, AT + 300, 2000, &done), 0);
	CHECK(memcmp(buf, back, 2000) == 0);
	done_with(s);
}

HOST_TEST(strings)
{
	struct vm_space *s = new_space();
	char buf[64];
	size_t done;

	map_fixed(s, AT, 1, 0, NULL);
	host_use_space(s);
	CHECK_EQ(space_write(s, AT + PAGE_SIZE - 6, "hello", 6, &done), 0);
	CHECK_EQ(copy_string_from_user(buf, AT + PAGE_SIZE - 6, sizeof(buf)), 5);
	CHECK(strcmp(buf, "hello") == 0);
	CHECK_EQ(copy_string_from_user(buf, AT + PAGE_SIZE - 6, 6), 5);
	CHECK_EQ(copy_string_from_user(buf, AT + PAGE_SIZE - 6, 5), -ENAMETOOLONG);
	CHECK_EQ(space_write(s, AT + PAGE_SIZE - 5, "world", 5, &done), 0);
	CHECK_EQ(
	    copy_string_from_user(buf, AT + PAGE_SIZE - 5, sizeof(buf)), -EFAULT); /* runs into the hole */
	CHECK_EQ(copy_string_from_user(buf, AT, sizeof(buf)), 0);
	host_use_space(NULL);
	done_with(s);
}

HOST_TEST(compare_and_exchange)
{
	struct vm_space *s = new_space();
	uint32_t seen;

	map_fixed(s, AT, 1, 0, NULL);
	CHECK_EQ(try_map(s, AT + LEN(1), LEN(1), VM_READ, VM_MAP_FIXED, NULL), 0);
	host_use_space(s);
	CHECK_EQ(cas_user_u32(AT + 4, 0, 5, &seen), 0);
	CHECK_EQ(seen, 0);
	CHECK_EQ(cas_user_u32(AT + 4, 0, 6, &seen), 0);
	CHECK_EQ(seen, 5);
	CHECK_EQ(word_at(s, AT), 5ULL << 32);
	CHECK_EQ(cas_user_u32(AT + LEN(1), 0, 6, &seen), -EFAULT);
	CHECK_EQ(cas_user_u32(AT + LEN(2), 0, 6, &seen), -EFAULT);
	host_use_space(NULL);
	done_with(s);
}

HOST_TEST(faults_are_not_resolved_where_sleeping_is_forbidden)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 1, 0, NULL);
	host_use_space(s);
	fetch_or_acq_rel(&current_thread()->flags, THREAD_NOFAULT);
	CHECK_EQ(upcall_page_fault(AT, FAULT_READ), -EFAULT);
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_NOFAULT);
	CHECK_EQ(upcall_page_fault(AT, FAULT_READ), 0);
	host_use_space(NULL);
	done_with(s);
}

/* ---------------------------------------------------------------- the target changes while the copy runs */

struct moving {
	struct vm_space *target;
	_Atomic bool stop;
};

static void mover(void *arg, unsigned me)
{
	struct moving *m = arg;
	uint8_t buf[3 * PAGE_SIZE] = {0};
	size_t done;

	for (unsigned i = 0; me == 0 && i < 300; i++) {
		struct vm_space *child;
		switch (i % 4) {
		case 0:
			MUST(space_unmap(m->target, AT + LEN(1), LEN(1)));
			break;
		case 1:
			map_fixed(m->target, AT, 3, 0, NULL);
			break;
		case 2:
			MUST(space_fork(m->target, &child));
			space_put(child);
			break;
		default:
			MUST(space_protect(m->target, AT, LEN(1), i % 8 == 3 ? VM_READ : RW));
		}
	}
	while (me != 0 && !load_acquire(&m->stop)) {
		err_t err = me == 1 ? space_write(m->target, AT, buf, sizeof(buf), &done)
				    : space_read(m->target, buf, AT, 64, &done);
		if (err && err != -EFAULT && err != -EACCES)
			panic("copy gave %d", err);
		if ((err == 0) != (done == (me == 1 ? sizeof(buf) : 64)))
			panic("error %d after %zu bytes", err, done);
	}
	if (me == 0)
		store_release(&m->stop, true);
}

HOST_TEST(target_changes_during_copies)
{
	struct moving m = {.target = new_space()};

	map_fixed(m.target, AT, 3, 0, NULL);
	host_run_cpus(3, mover, &m);
	done_with(m.target);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
