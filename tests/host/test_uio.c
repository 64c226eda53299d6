/* test_uio.c - vectors of segments: order, empty ones, partial faults on the user's side, skipping. */
#include "fs/uio.h"
#include "host_test.h"

static struct uio_segment seg_of(void *p, size_t n)
{
	return (struct uio_segment){(uintptr_t)p, n};
}

HOST_TEST(kernel_buffer)
{
	char buf[8] = "abcdefg", out[8] = "";
	struct uio_segment seg;
	struct uio u;
	size_t done;
	uio_init_kernel(&u, &seg, buf, 7);
	CHECK_EQ(u.left, 7);
	CHECK_EQ(uio_read(&u, out, 3, &done), 0);
	CHECK_EQ(done, 3);
	CHECK(!memcmp(out, "abc", 3));
	CHECK_EQ(uio_write(&u, "XY", 2, &done), 0);
	CHECK_EQ(uio_zero(&u, 2, &done), 0);
	CHECK_EQ(u.left, 0);
	CHECK(!memcmp(buf, "abcXY\0\0", 7));
}

HOST_TEST(empty_segments_are_passed_over)
{
	char a[2] = "a", b[3] = "bc", out[4] = "";
	struct uio_segment segs[] = {
	    seg_of(NULL, 0), seg_of(a, 1), seg_of(NULL, 0), seg_of(NULL, 0), seg_of(b, 2), seg_of(NULL, 0)};
	struct uio u = {.segments = segs, .nsegments = 6, .left = 3};
	size_t done;
	CHECK_EQ(uio_read(&u, out, 3, &done), 0);
	CHECK_EQ(done, 3);
	CHECK(!strcmp(out, "abc"));
	CHECK_EQ(uio_read(&u, out, 0, &done), 0);
	u = (struct uio){.segments = segs, .nsegments = 6, .left = 3};
	uio_skip(&u, 2);
	CHECK_EQ(uio_read(&u, out, 1, &done), 0);
	CHECK_EQ(out[0], 'c');
}

HOST_TEST(user_faults_are_partial)
{
	struct vm_space *s;
	uaddr_t at = 0x10000;
	char *big = malloc(2 * PAGE_SIZE), *back = malloc(2 * PAGE_SIZE);
	size_t done;
	MUST(space_create(&s));
	MUST(space_map(s,
	    &(struct vm_map_args){
		.addr = at, .len = PAGE_SIZE, .prot = VM_READ | VM_WRITE, .flags = VM_MAP_FIXED},
	    &at));
	host_use_space(s);
	memset(big, 'q', 2 * PAGE_SIZE);
	struct uio_segment segs[] = {{at + 10, 4}, {at + PAGE_SIZE - 6, 20}};
	struct uio u;
	uio_init_user(&u, segs, 2);
	CHECK_EQ(u.left, 24);
	CHECK_EQ(uio_write(&u, big, 24, &done), -EFAULT);
	CHECK_EQ(done, 10);
	CHECK_EQ(u.left, 14);
	uio_init_user(&u, segs, 2);
	CHECK_EQ(uio_read(&u, back, 10, &done), 0);
	CHECK(!memcmp(back, "qqqqqqqqqq", 10));
	uio_init_user(&u, &(struct uio_segment){at, PAGE_SIZE}, 1);
	CHECK_EQ(uio_zero(&u, PAGE_SIZE, &done), 0);
	uio_init_user(&u, &(struct uio_segment){UINT64_MAX - 10, 5}, 1);
	CHECK_EQ(uio_write(&u, big, 5, &done), -EFAULT);
	CHECK_EQ(done, 0);
	host_use_space(NULL);
	space_put(s);
	free(big);
	free(back);
}

HOST_TEST(length_is_bounded)
{
	struct uio_segment segs[] = {{0x1000, 0x70000000}, {0x1000, 0x70000000}};
	struct uio u;
	uio_init_user(&u, segs, 2);
	CHECK_EQ(u.left, UIO_MAX_BYTES);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 16384);
}
