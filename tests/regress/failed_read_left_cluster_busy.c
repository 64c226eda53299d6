/*
 * A read of a cluster of pages failed, the page that was asked for was tried alone, but the whole cluster had
 * been claimed for that: the other pages stayed BUSY for ever, and whoever touched them waited for ever.
 */
#include "vm_test.h"

#define AT GIB(1)

HOST_TEST(pages_around_a_bad_one_can_be_read)
{
	static struct test_file f;
	struct vm_object *file = new_file(&f, 16, 1000);
	struct vm_space *s = new_space();
	uint64_t value;

	f.bad = 5;
	map_fixed(s, AT, 16, VM_MAP_SHARED, file);
	for (unsigned i = 0; i < 16; i++) {
		err_t err = load(s, AT + LEN(i), &value);
		CHECK_EQ(err, i == 5 ? -EIO : 0);
		CHECK(i == 5 || value == 1000 + i);
	}
	f.bad = -1;
	CHECK_EQ(word_at(s, AT + LEN(5)), 1005);
	done_with(s);
	object_put(file);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
