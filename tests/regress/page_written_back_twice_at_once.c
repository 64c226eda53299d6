/*
 * A page that became dirty again while it was written back could be written by a second thread at the same
 * time. The first to finish cleared the mark of the second, and a cut of the file then took the page from
 * under it.
 */
#include <time.h>

#include "vm_test.h"

static _Atomic unsigned inside, most, finished;

/* Long enough for the other CPU to come here, if it is let in. */
static err_t slow_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	unsigned now = fetch_add_acq_rel(&inside, 1) + 1, seen = load_relaxed(&most);

	while (now > seen && !cas_acq_rel(&most, &seen, now))
		;
	host_cpu_idle();
	nanosleep(&nap, NULL);
	host_cpu_resume();
	err_t err = test_file_write(o, idx, pages, n);
	fetch_sub_acq_rel(&inside, 1);
	return err;
}

static void dirty_and_sync(void *arg, unsigned cpu)
{
	struct vm_object *file = arg;
	struct vm_pin pin;

	for (unsigned i = 0; i < 5; i++) {
		CHECK_EQ(object_pin(file, 0, true, &pin), 0);
		((uint64_t *)page_to_virt(pin.page))[cpu] = i;
		vm_unpin(&pin);
		CHECK_EQ(object_sync(file, 0, 1), 0);
	}
	fetch_add_acq_rel(&finished, 1);
}

HOST_TEST(one_write_of_a_page_at_a_time)
{
	static const struct vm_file_ops ops = {.read = test_file_read, .write = slow_write};
	static struct test_file f;
	struct vm_object *file;

	f = (struct test_file){.bad = -1};
	CHECK_EQ(object_create_file(&ops, &f, 1, &file), 0);
	host_run_cpus(3, dirty_and_sync, file);
	CHECK_EQ(load_relaxed(&finished), 3);
	CHECK_EQ(load_relaxed(&most), 1);
	CHECK_EQ(object_resize(file, 0), 0);
	object_put(file);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
