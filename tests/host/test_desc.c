/*
 * test_desc.c - kernel objects and descriptor tables: counts, the lowest free slot, close-on-exec, clones,
 * waits and observers, and threads that race look-ups against closes.
 */
#include "host_test.h"
#include "kern/thread.h"
#include "object/desc.h"
#include "arch/clock.h"
#include "lib/inject.h"
#include "mm/slab.h"

struct thing {
	struct kobject object;
	_Atomic int closed, destroyed;
};

static err_t thing_closed(struct kobject *o)
{
	fetch_add_relaxed(&container_of(o, struct thing, object)->closed, 1);
	return 0;
}

static void thing_destroy(struct kobject *o)
{
	fetch_add_relaxed(&container_of(o, struct thing, object)->destroyed, 1);
}

static const struct kobject_ops thing_ops = {
    .type = KO_EVENT, .name = "thing", .on_no_descriptors = thing_closed, .destroy = thing_destroy};

static void thing_init(struct thing *t)
{
	memset(t, 0, sizeof(*t));
	kobject_init(&t->object, &thing_ops, 0);
}

static struct desc_table *new_table(void)
{
	struct desc_table *t;
	MUST(desc_table_create(&t));
	return t;
}

static int add(struct desc_table *t, struct thing *x)
{
	return desc_install(t, &x->object, RIGHT_READ | RIGHT_DUPLICATE, false, 0, 1024);
}

HOST_TEST(koids_are_never_the_same)
{
	struct thing a, b;
	thing_init(&a);
	thing_init(&b);
	CHECK(b.object.koid > a.object.koid);
	kobject_put(&a.object);
	kobject_put(&b.object);
	CHECK_EQ(a.destroyed, 1);
}

HOST_TEST(last_descriptor_tells_the_object)
{
	struct desc_table *t = new_table();
	struct thing a;
	thing_init(&a);
	CHECK_EQ(add(t, &a), 0);
	CHECK_EQ(add(t, &a), 1);
	CHECK_EQ(desc_close(t, 0), 0);
	CHECK_EQ(a.closed, 0);
	CHECK_EQ(desc_close(t, 1), 0);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(a.destroyed, 0);
	CHECK_EQ(desc_close(t, 1), -EBADF);
	CHECK_EQ(desc_close(t, -1), -EBADF);
	CHECK_EQ(desc_close(t, 1 << 30), -EBADF);
	kobject_put(&a.object);
	CHECK_EQ(a.destroyed, 1);
	desc_table_put(t);
}

HOST_TEST(lowest_free_slot_and_limits)
{
	struct desc_table *t = new_table();
	struct thing a;
	thing_init(&a);
	for (int i = 0; i < 300; i++)
		CHECK_EQ(add(t, &a), i);
	CHECK_EQ(desc_close(t, 130), 0);
	CHECK_EQ(desc_close(t, 7), 0);
	CHECK_EQ(desc_install(t, &a.object, 0, false, 8, 1024), 130);
	CHECK_EQ(add(t, &a), 7);
	CHECK_EQ(add(t, &a), 300);
	CHECK_EQ(desc_install(t, &a.object, 0, false, 1000, 1024), 1000);
	CHECK_EQ(desc_install(t, &a.object, 0, false, 1000, 1001), -EMFILE);
	CHECK_EQ(desc_install(t, &a.object, 0, false, 0, 301), -EMFILE);
	CHECK_EQ(desc_install(t, &a.object, 0, false, 0, 3), -EMFILE);
	CHECK_EQ(desc_install_at(t, 1024, &a.object, 0, false, 1024), -EBADF);
	CHECK_EQ(desc_install_at(t, -1, &a.object, 0, false, 1024), -EBADF);
	CHECK_EQ(desc_install_at(t, DESC_LIMIT_MAX - 1, &a.object, 0, false, DESC_LIMIT_MAX), 0);
	CHECK_EQ(desc_count(t), 303);
	CHECK_EQ(desc_next(t, 301), 1000);
	CHECK_EQ(desc_next(t, 1001), DESC_LIMIT_MAX - 1);
	CHECK_EQ(desc_next(t, DESC_LIMIT_MAX), -1);
	desc_table_put(t);
	CHECK_EQ(a.closed, 1);
	kobject_put(&a.object);
}

HOST_TEST(reserved_slots_are_nobodys)
{
	struct desc_table *t = new_table(), *copy;
	struct thing a;
	struct kobject *o;
	thing_init(&a);
	for (int i = 0; i < 64; i++)
		CHECK_EQ(i % 2 ? desc_reserve(t, 1024) : add(t, &a), i);
	CHECK_EQ(add(t, &a), 64); /* the chunk is full */
	CHECK_EQ(desc_lookup(t, 1, &o, NULL), -EBADF);
	CHECK_EQ(desc_close(t, 1), -EBADF);
	CHECK_EQ(desc_install_at(t, 1, &a.object, 0, false, 1024), -EBUSY);
	CHECK_EQ(desc_count(t), 33);
	CHECK_EQ(desc_next(t, 1), 2);
	MUST(desc_table_clone(t, &copy));
	CHECK_EQ(add(copy, &a), 1); /* the copy knows nothing of it */
	desc_table_put(copy);
	desc_close_range(t, 0, UINT32_MAX, false);
	CHECK_EQ(desc_reserve(t, 2), 0);
	CHECK_EQ(desc_reserve(t, 2), -EMFILE);
	desc_unreserve(t, 0);
	CHECK_EQ(add(t, &a), 0);
	desc_fill(t, 1, &a.object, RIGHT_READ, true);
	CHECK_EQ(desc_lookup(t, 1, &o, NULL), 0);
	kobject_put(o);
	for (int i = 3; i < 64; i += 2)
		desc_unreserve(t, i);
	desc_table_put(t);
	CHECK_EQ(a.closed, 2); /* after the range, and at the end */
	kobject_put(&a.object);
	CHECK_EQ(a.destroyed, 1);
}

HOST_TEST(install_at_replaces)
{
	struct desc_table *t = new_table();
	struct thing a, b;
	struct kobject *o;
	uint32_t rights;
	thing_init(&a);
	thing_init(&b);
	CHECK_EQ(add(t, &a), 0);
	CHECK_EQ(desc_install_at(t, 0, &b.object, RIGHT_WRITE, true, 10), 0);
	CHECK_EQ(a.closed, 1);
	CHECK_EQ(desc_lookup(t, 0, &o, &rights), 0);
	CHECK(o == &b.object && rights == RIGHT_WRITE);
	kobject_put(o);
	desc_table_put(t);
	kobject_put(&a.object);
	kobject_put(&b.object);
	CHECK_EQ(b.destroyed, 1);
}

HOST_TEST(close_on_exec_and_ranges)
{
	struct desc_table *t = new_table();
	struct thing a;
	bool cloexec;
	thing_init(&a);
	for (int i = 0; i < 200; i++)
		CHECK_EQ(desc_install(t, &a.object, 0, i % 3 == 0, 0, 1024), i);
	CHECK_EQ(desc_get_cloexec(t, 3, &cloexec), 0);
	CHECK(cloexec);
	CHECK_EQ(desc_set_cloexec(t, 3, false), 0);
	CHECK_EQ(desc_get_cloexec(t, 3, &cloexec), 0);
	CHECK(!cloexec);
	CHECK_EQ(desc_get_cloexec(t, 200, &cloexec), -EBADF);
	desc_close_range(t, 100, 149, false);
	CHECK_EQ(desc_count(t), 150);
	CHECK_EQ(desc_next(t, 100), 150);
	desc_close_range(t, 190, UINT32_MAX, true);
	desc_close_on_exec(t);
	for (int i = 0; i < 200; i++) {
		struct kobject *o;
		bool there = !(i >= 100 && i < 150) && (i % 3 != 0 || i == 3) && i < 190;
		err_t err = desc_lookup(t, i, &o, NULL);
		CHECK_EQ(err, there ? 0 : -EBADF);
		if (!err)
			kobject_put(o);
	}
	desc_close_range(t, 5, 4, false);
	desc_table_put(t);
	kobject_put(&a.object);
}

HOST_TEST(clone_is_the_same_and_apart)
{
	struct desc_table *t = new_table(), *copy;
	struct thing a;
	bool cloexec;
	thing_init(&a);
	for (int i = 0; i < 70; i++)
		CHECK_EQ(desc_install(t, &a.object, RIGHT_DUPLICATE, i & 1, 0, 1024), i);
	CHECK_EQ(desc_close(t, 5), 0);
	CHECK_EQ(desc_table_clone(t, &copy), 0);
	CHECK_EQ(desc_count(copy), 69);
	CHECK_EQ(desc_get_cloexec(copy, 7, &cloexec), 0);
	CHECK(cloexec);
	CHECK_EQ(desc_close(t, 6), 0);
	CHECK_EQ(add(copy, &a), 5);
	CHECK_EQ(add(copy, &a), 70);
	desc_table_put(t);
	CHECK_EQ(a.closed, 0);
	desc_table_put(copy);
	CHECK_EQ(a.closed, 1);
	kobject_put(&a.object);
}

HOST_TEST(what_may_not_be_duplicated_is_not_cloned)
{
	struct desc_table *t = new_table(), *copy;
	struct thing a;
	bool cloexec;
	thing_init(&a);
	for (int i = 0; i < 130; i++)
		CHECK_EQ(desc_install(
			     t, &a.object, i % 3 ? RIGHT_READ : RIGHT_READ | RIGHT_DUPLICATE, true, 0, 1024),
		    i);
	CHECK_EQ(desc_table_clone(t, &copy), 0);
	CHECK_EQ(desc_count(copy), 44);
	for (int i = 0; i < 130; i++)
		CHECK_EQ(desc_get_cloexec(copy, i, &cloexec), i % 3 ? -EBADF : 0);
	CHECK_EQ(add(copy, &a), 1);
	CHECK_EQ(desc_get_cloexec(copy, 1, &cloexec), 0);
	CHECK(!cloexec);
	desc_table_put(t);
	CHECK_EQ(a.closed, 0);
	desc_table_put(copy);
	CHECK_EQ(a.closed, 1);
	kobject_put(&a.object);
}

HOST_TEST(rights_shrink_only)
{
	struct desc_table *t = new_table();
	struct thing a;
	struct kobject *o;
	uint32_t rights;
	thing_init(&a);
	CHECK_EQ(desc_limit(t, 0, 0), -EBADF);
	CHECK_EQ(desc_install(t, &a.object, RIGHT_READ | RIGHT_WRITE, false, 0, 10), 0);
	CHECK_EQ(desc_limit(t, 0, RIGHT_READ | RIGHT_MAP), -EACCES);
	CHECK_EQ(desc_limit(t, 0, RIGHT_READ), 0);
	CHECK_EQ(desc_limit(t, 0, RIGHT_READ | RIGHT_WRITE), -EACCES);
	CHECK_EQ(desc_lookup(t, 0, &o, &rights), 0);
	CHECK_EQ(rights, RIGHT_READ);
	kobject_put(o);
	desc_table_put(t);
	kobject_put(&a.object);
}

HOST_TEST(parcels_keep_an_object_open)
{
	struct desc_table *t = new_table(), *other = new_table();
	struct thing a;
	struct parcel p, q;
	struct kobject *o;
	uint32_t rights;
	thing_init(&a);
	CHECK_EQ(parcel_make(t, 0, &p), -EBADF);
	CHECK_EQ(desc_install(t, &a.object, RIGHT_READ, false, 0, 10), 0);
	CHECK_EQ(parcel_make(t, 0, &p), -EACCES);
	CHECK_EQ(desc_close(t, 0), 0);
	CHECK_EQ(a.closed, 1);
	a.closed = 0;
	CHECK_EQ(desc_install(t, &a.object, RIGHT_READ | RIGHT_TRANSFER, false, 0, 10), 0);
	CHECK_EQ(parcel_make(t, 0, &p), 0);
	parcel_copy(&p, &q);
	desc_close_same(t, 0, NULL);
	CHECK(desc_names(t, 0, &a.object));
	desc_close_same(t, 0, &a.object);
	CHECK(!desc_names(t, 0, &a.object));
	CHECK_EQ(a.closed, 0);
	CHECK_EQ(parcel_install(&p, other, true, 10), 0);
	CHECK_EQ(parcel_install(&p, other, true, 1), -EMFILE);
	parcel_drop(&p);
	CHECK_EQ(desc_lookup(other, 0, &o, &rights), 0);
	CHECK_EQ(rights, RIGHT_READ | RIGHT_TRANSFER);
	kobject_put(o);
	desc_table_put(other);
	CHECK_EQ(a.closed, 0);
	parcel_drop(&q);
	CHECK_EQ(a.closed, 1);
	desc_table_put(t);
	kobject_put(&a.object);
}

HOST_TEST(every_allocation_may_fail)
{
	struct thing a;
	thing_init(&a);
	bool fired = true;
	for (uint64_t n = 1; fired; n++) {
		struct desc_table *t = NULL, *copy = NULL;
		inject_arm(n);
		err_t err = desc_table_create(&t);
		int fd = err ? err : desc_install(t, &a.object, 0, false, 500, 1024);
		err = fd < 0 ? fd : desc_table_clone(t, &copy);
		fired = inject_fired();
		inject_arm(0);
		CHECK(err == 0 || (fired && err == -ENOMEM)); /* slabs get round some failures */
		if (copy)
			desc_table_put(copy);
		if (t)
			desc_table_put(t);
	}
	CHECK_EQ(load_relaxed(&a.object.descs), 0);
	kobject_put(&a.object);
}

struct count_observer {
	struct observer ob;
	int calls;
	uint64_t last;
};

static void count_notify(struct observer *ob, uint64_t now)
{
	struct count_observer *c = container_of(ob, struct count_observer, ob);
	c->calls++;
	c->last = now;
}

HOST_TEST(observers_hear_news)
{
	struct count_observer c = {.ob.notify = count_notify};
	struct thing a;
	thing_init(&a);
	kobject_observe(&a.object, &c.ob, SIGNAL_READABLE);
	CHECK_EQ(c.calls, 0);
	kobject_signal(&a.object, SIGNAL_WRITABLE, 0);
	CHECK_EQ(c.calls, 0);
	kobject_signal(&a.object, SIGNAL_READABLE, SIGNAL_WRITABLE);
	kobject_signal(&a.object, SIGNAL_READABLE, 0);
	CHECK_EQ(c.calls, 2);
	CHECK_EQ(c.last, SIGNAL_READABLE);
	kobject_unobserve(&c.ob);
	kobject_signal(&a.object, SIGNAL_READABLE, 0);
	CHECK_EQ(c.calls, 2);
	kobject_observe(&a.object, &c.ob, SIGNAL_READABLE);
	CHECK_EQ(c.calls, 3);
	kobject_unobserve(&c.ob);
	kobject_put(&a.object);
}

static void wait_or_signal(void *arg, unsigned i)
{
	struct thing *a = arg;
	uint64_t seen;
	if (i == 0) {
		clock_delay(2000000);
		kobject_signal(&a->object, SIGNAL_READABLE, 0);
		return;
	}
	CHECK_EQ(kobject_wait(&a->object, SIGNAL_READABLE | SIGNAL_ERROR, NSEC_NEVER, 0, &seen), 0);
	CHECK_EQ(seen, SIGNAL_READABLE);
}

HOST_TEST(waits_end)
{
	struct thing a;
	uint64_t seen;
	thing_init(&a);
	host_run_cpus(4, wait_or_signal, &a);
	CHECK_EQ(kobject_wait(&a.object, SIGNAL_READABLE, 0, 0, &seen), 0);
	CHECK_EQ(kobject_wait(&a.object, SIGNAL_WRITABLE, clock_now() + 1000000, 0, &seen), -ETIMEDOUT);
	fetch_or_acq_rel(&current_thread()->flags, THREAD_SIGNALLED);
	CHECK_EQ(kobject_wait(&a.object, SIGNAL_WRITABLE, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen), -EINTR);
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED);
	kobject_put(&a.object);
}

struct race {
	struct desc_table *t;
	struct thing things[8];
};

static void race_worker(void *arg, unsigned i)
{
	struct race *r = arg;
	uint32_t seed = i * 2654435761u + 1;
	for (int n = 0; n < 4000; n++) {
		struct kobject *o;
		seed = seed * 1664525 + 1013904223;
		int fd = (int)(seed >> 16) % 100;
		switch (seed >> 28 & 3) {
		case 0:
			(void)!desc_install(r->t, &r->things[fd % 8].object, 0, false, 0, 200);
			break;
		case 1:
			(void)!desc_close(r->t, fd);
			break;
		case 2:
			(void)!desc_install_at(r->t, fd, &r->things[fd % 8].object, 0, fd & 1, 200);
			break;
		default:
			if (!desc_lookup(r->t, fd, &o, NULL))
				kobject_put(o);
		}
	}
}

HOST_TEST(lookups_race_closes)
{
	struct race r = {.t = new_table()};
	for (unsigned i = 0; i < 8; i++)
		thing_init(&r.things[i]);
	host_run_cpus(4, race_worker, &r);
	unsigned used = 0, descs = 0;
	for (int fd = desc_next(r.t, 0); fd >= 0; fd = desc_next(r.t, fd + 1))
		used++;
	CHECK_EQ(used, desc_count(r.t));
	for (unsigned i = 0; i < 8; i++)
		descs += load_relaxed(&r.things[i].object.descs);
	CHECK_EQ(used, descs);
	desc_table_put(r.t);
	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(ref_count(&r.things[i].object.refs), 1);
		kobject_put(&r.things[i].object);
	}
}

static void warm(void *arg UNUSED, unsigned i UNUSED)
{
	slab_init_cpu(); /* each CPU's own memory, which it keeps */
}

int main(int argc, char **argv)
{
	host_init(65536);
	host_run_cpus(8, warm, NULL);
	return host_test_main_started(argc, argv);
}
