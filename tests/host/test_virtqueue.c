/* test_virtqueue.c - the split ring against a model of a device: in order, out of order, around the end of
 * all indices, and a device that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dev/virtqueue.c"

/* What an honest device does: takes chains, keeps them for a while, gives them back in any order. */
struct model {
	uint16_t taken, given; /* indices */
	uint16_t heads[VIRTQUEUE_MAX];
	unsigned held;
};

static struct virtqueue q;
static void *memory;
static struct model m;
static uint64_t seed;

static unsigned random_below(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

static void begin(uint16_t size, bool event_idx)
{
	memset(memory, 0, VIRTQUEUE_BYTES);
	virtqueue_init(&q, memory, size, event_idx);
	memset(&m, 0, sizeof(m));
	seed = size;
}

static int make(void **state)
{
	(void)state;
	memory = aligned_alloc(4096, VIRTQUEUE_BYTES);
	return memory ? 0 : -1;
}

static int unmake(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

static void device_take(void)
{
	while (m.taken != load_acquire(&q.avail->idx))
		m.heads[m.held++] = q.avail->ring[m.taken++ & (q.size - 1)];
}

/* The chain's buffers as the device sees them; each says its place and the chain's number in its address. */
static unsigned device_length(uint16_t head, uint64_t *number)
{
	unsigned n = 0;
	*number = q.desc[head].addr >> 8;
	for (uint16_t at = head;; at = q.desc[at].next) {
		assert_in_range(at, 0, q.size - 1);
		assert_int_equal(q.desc[at].addr, *number << 8 | n);
		n++;
		if (!(q.desc[at].flags & VIRTQ_NEXT))
			return n;
	}
}

static void device_write_used(uint32_t id, uint32_t len)
{
	q.used->ring[m.given & (q.size - 1)] = (struct virtq_used_entry){id, len};
	store_release(&q.used->idx, ++m.given);
}

/* Give back some held chain; its length in buffers is what the device says it wrote. */
static void device_give(void)
{
	unsigned i = random_below(m.held);
	uint64_t number;
	uint16_t head = m.heads[i];
	m.heads[i] = m.heads[--m.held];
	device_write_used(head, device_length(head, &number));
}

static unsigned lengths[70000];

static err_t add(uint64_t number, unsigned n)
{
	struct virtq_desc buffers[VIRTQUEUE_MAX];
	for (unsigned i = 0; i < n; i++)
		buffers[i] = (struct virtq_desc){.addr = number << 8 | i, .len = 1};
	lengths[number] = n;
	return virtqueue_add(&q, buffers, n, &lengths[number]);
}

/* Chains go round until the 16-bit indices have wrapped; each comes back once, with its own length. */
static void run_round(uint16_t size, bool event_idx)
{
	uint64_t number = 1, back = 0;
	begin(size, event_idx);
	while (back < 69000) {
		while (number < 70000 && random_below(4)) {
			unsigned n = 1 + random_below(MIN(size, 5));
			err_t err = add(number, n);
			if (err) {
				assert_int_equal(err, -ENOSPC);
				assert_true(n > q.nfree);
				break;
			}
			number++;
		}
		device_take();
		while (m.held && random_below(4))
			device_give();
		uint32_t len;
		unsigned *got;
		while ((got = virtqueue_get(&q, &len))) {
			assert_int_equal(*got, len); /* nonzero: not given back before */
			*got = 0;
			back++;
		}
		assert_false(q.broken);
		assert_int_equal(virtqueue_in_flight(&q), m.held);
	}
	assert_int_equal(number - 1 - back, virtqueue_in_flight(&q));
}

static void test_round(void **state)
{
	(void)state;
	static const uint16_t sizes[] = {1, 2, 8, 128, 256};
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		run_round(sizes[i], false);
		run_round(sizes[i], true);
	}
}

static void test_full(void **state)
{
	(void)state;
	begin(8, false);
	assert_int_equal(add(1, 9), -ENOSPC);
	assert_int_equal(add(1, 5), 0);
	assert_int_equal(add(2, 4), -ENOSPC);
	assert_int_equal(add(2, 3), 0);
	assert_int_equal(add(3, 1), -ENOSPC);
	assert_ptr_equal(virtqueue_revoke(&q), &lengths[1]);
	assert_ptr_equal(virtqueue_revoke(&q), &lengths[2]);
	assert_null(virtqueue_revoke(&q));
	assert_int_equal(q.nfree, 8);
	assert_int_equal(add(3, 1), -EIO);
}

static void test_notify(void **state)
{
	(void)state;
	begin(8, false);
	assert_false(virtqueue_wants_notify(&q));
	assert_int_equal(add(1, 1), 0);
	assert_true(virtqueue_wants_notify(&q));
	assert_false(virtqueue_wants_notify(&q));
	q.used->flags = 1;
	assert_int_equal(add(2, 1), 0);
	assert_false(virtqueue_wants_notify(&q));

	begin(8, true);
	uint16_t *event = (uint16_t *)&q.used->ring[8];
	*event = 1; /* when the second one is there */
	assert_int_equal(add(1, 1), 0);
	assert_false(virtqueue_wants_notify(&q));
	assert_int_equal(add(2, 1), 0);
	assert_int_equal(add(3, 1), 0);
	assert_true(virtqueue_wants_notify(&q));
	assert_int_equal(add(4, 1), 0);
	assert_false(virtqueue_wants_notify(&q));
}

static void test_arm(void **state)
{
	uint32_t len;
	(void)state;
	begin(8, true);
	assert_int_equal(add(1, 2), 0);
	assert_false(virtqueue_arm(&q));
	device_take();
	device_give();
	assert_true(virtqueue_arm(&q));
	assert_ptr_equal(virtqueue_get(&q, &len), &lengths[1]);
	assert_false(virtqueue_arm(&q));
	assert_int_equal(q.avail->ring[8], 1);
}

/* Two chains, 0-1 and 2-4, are in flight; the device says id, or moves its index by `jump`. Nothing may come
 * back, now or later. */
static void lie(uint32_t id, uint16_t jump)
{
	uint32_t len;
	begin(8, false);
	assert_int_equal(add(1, 2), 0);
	assert_int_equal(add(2, 3), 0);
	device_write_used(id, 1);
	store_release(&q.used->idx, jump);
	assert_null(virtqueue_get(&q, &len));
	assert_true(q.broken);
	assert_int_equal(virtqueue_in_flight(&q), 2);
	assert_int_equal(add(3, 1), -EIO);
	assert_false(virtqueue_wants_notify(&q));
	assert_false(virtqueue_arm(&q));
	assert_null(virtqueue_get(&q, &len));
	assert_ptr_equal(virtqueue_revoke(&q), &lengths[1]);
	assert_ptr_equal(virtqueue_revoke(&q), &lengths[2]);
	assert_null(virtqueue_revoke(&q));
}

static void test_lies(void **state)
{
	(void)state;
	lie(1, 1);     /* the middle of a chain */
	lie(5, 1);     /* a free descriptor */
	lie(8, 1);     /* just outside */
	lie(65536, 1); /* 0, if it were cut to 16 bits */
	lie(UINT32_MAX, 1);
	lie(0, 3);          /* more than there are */
	lie(0, UINT16_MAX); /* backwards */
}

/* The same chain twice. */
static void test_twice(void **state)
{
	uint32_t len;
	(void)state;
	begin(8, false);
	assert_int_equal(add(1, 2), 0);
	assert_int_equal(add(2, 3), 0);
	device_write_used(0, 1);
	device_write_used(0, 1);
	assert_ptr_equal(virtqueue_get(&q, &len), &lengths[1]);
	assert_null(virtqueue_get(&q, &len));
	assert_true(q.broken);
}

/* A device that scribbles over everything it can reach, while the driver goes on: the driver's books hold. */
static void test_scribble(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		unsigned out = 0, back = 0, told = 0;
		uint32_t len;
		begin((uint16_t)(1 << random_below(9)), round & 1);
		seed = round;
		for (unsigned step = 0; step < 60; step++) {
			out += add(1 + step, 1 + random_below(MIN(q.size, 4))) == 0;
			for (unsigned i = 0; i < 40; i++)
				((char *)memory)[random_below(VIRTQUEUE_BYTES)] = (char)random_below(256);
			store_release(&q.used->idx, (uint16_t)(q.used_idx + random_below(3)));
			told += virtqueue_wants_notify(&q);
			while (virtqueue_get(&q, &len))
				back++;
			told += virtqueue_arm(&q);
		}
		while (virtqueue_revoke(&q))
			back++;
		assert_int_equal(out, back);
		assert_in_range(told, 0, 120);
		assert_int_equal(q.nfree, q.size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_notify),
	    cmocka_unit_test(test_arm),
	    cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_twice),
	    cmocka_unit_test(test_scribble),
	};
	return cmocka_run_group_tests(tests, make, unmake);
}
