/*
 * Mapping fresh memory over the middle of a like region left three regions with two objects, which never
 * became one again: a program that replaces its memory piece by piece ended with thousands of them.
 */
#include "vm_test.h"

#define AT GIB(1)

HOST_TEST(fixed_maps_inside_a_like_region_leave_one)
{
	struct vm_space *s = new_space();

	map_fixed(s, AT, 64, 0, NULL);
	fill(s, AT, 64, 1);
	for (unsigned i = 8; i < 56; i += 3)
		map_fixed(s, AT + LEN(i), 2, 0, NULL);
	CHECK_EQ(count_regions(s), 1);
	CHECK(holds(s, AT, 8, 1) && is_zero(s, AT + LEN(8), 2) && holds(s, AT + LEN(10), 1, 11));
	vm_validate(s);
	done_with(s);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
