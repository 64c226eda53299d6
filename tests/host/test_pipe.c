/*
 * test_pipe.c - pipes, fifos and eventfd: order, atomicity, capacity as on Linux, ends that close, signals
 * that poll would see, interruption, and threads on both sides.
 */
#include "fs_env.h"

static char big[PIPE_DEFAULT_SIZE + PAGE_SIZE], back[PIPE_DEFAULT_SIZE + PAGE_SIZE];

static uint64_t level(struct file *f)
{
	return kobject_signals(&f->object) &
	       (SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED | SIGNAL_ERROR);
}

HOST_TEST(bytes_in_order)
{
	struct file *r, *w;
	MUST(pipe_create(0, &r, &w));
	CHECK_EQ(level(r), 0);
	CHECK_EQ(level(w), SIGNAL_WRITABLE);
	CHECK_EQ(fs_write(w, "hello", 5), 5);
	CHECK_EQ(fs_write(w, " world", 6), 6);
	CHECK_EQ(level(r), SIGNAL_READABLE);
	CHECK_EQ(pipe_available(r), 11);
	CHECK_EQ(fs_read(r, back, 3), 3);
	CHECK_EQ(fs_read(r, back + 3, 100), 8);
	CHECK(!memcmp(back, "hello world", 11));
	CHECK_EQ(level(r), 0);
	CHECK_EQ(fs_read(r, back, 0), 0);
	CHECK_EQ(fs_write(r, "x", 1), -EBADF);
	CHECK_EQ(fs_read(w, back, 1), -EBADF);
	CHECK_EQ(file_seek(r, 0, FILE_SEEK_CUR), -ESPIPE);
	CHECK_EQ(fs_pread(r, back, 1, 0), -ESPIPE);
	CHECK_EQ(file_sync(w, false), -EINVAL);
	CHECK_EQ(fs_write(w, "left", 4), 4);
	file_put(w);
	CHECK_EQ(level(r), SIGNAL_READABLE | SIGNAL_PEER_CLOSED);
	CHECK_EQ(fs_read(r, back, 100), 4); /* what was written before the writer closed */
	CHECK_EQ(fs_read(r, back, 100), 0);
	file_put(r);
}

HOST_TEST(no_reader_is_epipe)
{
	struct file *r, *w;
	MUST(pipe_create(0, &r, &w));
	CHECK_EQ(fs_write(w, "x", 1), 1);
	file_put(r);
	CHECK_EQ(level(w) & SIGNAL_ERROR, SIGNAL_ERROR);
	CHECK_EQ(fs_write(w, "x", 1), -EPIPE);
	CHECK_EQ(fs_write(w, "", 0), 0);
	file_put(w);
}

HOST_TEST(capacity_and_atomicity)
{
	struct file *r, *w;
	MUST(pipe_create(FILE_NONBLOCK, &r, &w));
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 7 + i / 256);
	CHECK_EQ(fs_read(r, back, 1), -EAGAIN);
	CHECK_EQ(fs_write(w, big, sizeof(big)), PIPE_DEFAULT_SIZE);
	CHECK_EQ(level(w), 0);
	CHECK_EQ(fs_write(w, big, 1), -EAGAIN);
	CHECK_EQ(fs_read(r, back, PAGE_SIZE - 1), PAGE_SIZE - 1);
	CHECK_EQ(level(w), 0); /* no slot is free yet */
	CHECK_EQ(fs_write(w, big, 10), -EAGAIN);
	CHECK_EQ(fs_read(r, back + PAGE_SIZE - 1, 1), 1);
	CHECK_EQ(level(w), SIGNAL_WRITABLE);
	CHECK_EQ(fs_write(w, big + PIPE_DEFAULT_SIZE, PAGE_SIZE), PAGE_SIZE);
	CHECK_EQ(fs_read(r, back + PAGE_SIZE, sizeof(back)), PIPE_DEFAULT_SIZE);
	CHECK(!memcmp(back, big, sizeof(big)));
	for (int i = 0; i < PIPE_DEFAULT_SIZE; i++)
		CHECK_EQ(fs_write(w, "b", 1), 1); /* single bytes share slots */
	CHECK_EQ(fs_write(w, "b", 1), -EAGAIN);
	CHECK_EQ(fs_read(r, back, sizeof(back)), PIPE_DEFAULT_SIZE);
	file_put(r);
	file_put(w);
}

HOST_TEST(sizes_can_be_set)
{
	struct file *r, *w;
	MUST(pipe_create(FILE_NONBLOCK, &r, &w));
	CHECK_EQ(file_control(r, CONTROL_GETPIPE_SZ, 0, false), PIPE_DEFAULT_SIZE);
	CHECK_EQ(file_control(w, CONTROL_SETPIPE_SZ, 5000, false), 8192);
	CHECK_EQ(fs_write(w, big, 10000), 8192);
	CHECK_EQ(file_control(w, CONTROL_SETPIPE_SZ, 4096, false), -EBUSY);
	CHECK_EQ(file_control(w, CONTROL_SETPIPE_SZ, 0, false), -EBUSY);
	CHECK_EQ(file_control(w, CONTROL_SETPIPE_SZ, PIPE_MAX_SIZE + 1, false), -EPERM);
	CHECK_EQ(file_control(w, CONTROL_SETPIPE_SZ, PIPE_MAX_SIZE, false), PIPE_MAX_SIZE);
	CHECK_EQ(level(w), SIGNAL_WRITABLE);
	CHECK_EQ(fs_read(r, back, sizeof(back)), 8192);
	CHECK(!memcmp(back, big, 8192));
	CHECK_EQ(file_control(w, 99, 0, false), -EINVAL);
	file_put(r);
	file_put(w);
}

HOST_TEST(packets)
{
	struct file *r, *w;
	MUST(pipe_create(FILE_NONBLOCK | FILE_DIRECT, &r, &w));
	CHECK_EQ(fs_write(w, "one", 3), 3);
	CHECK_EQ(fs_write(w, "two", 3), 3);
	CHECK_EQ(fs_read(r, back, 2), 2); /* the rest is lost */
	CHECK_EQ(fs_read(r, back, 100), 3);
	CHECK(!memcmp(back, "two", 3));
	CHECK_EQ(fs_read(r, back, 100), -EAGAIN);
	file_put(r);
	file_put(w);
}

HOST_TEST(waiting_is_interrupted)
{
	struct file *r, *w;
	MUST(pipe_create(0, &r, &w));
	fetch_or_acq_rel(&current_thread()->flags, THREAD_SIGNALLED);
	CHECK_EQ(fs_read(r, back, 1), -EINTR);
	CHECK_EQ(fs_write(w, big, sizeof(big)), PIPE_DEFAULT_SIZE); /* what was done counts */
	CHECK_EQ(fs_write(w, big, 1), -EINTR);
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED);
	file_put(r);
	file_put(w);
}

struct stream {
	struct file *r, *w;
	_Atomic uint64_t received;
};

/* Records of 512 bytes from three writers, read by one thread: never torn. */
static void stream_worker(void *arg, unsigned i)
{
	struct stream *s = arg;
	char record[512];
	if (i > 0) {
		for (int n = 0; n < 400; n++) {
			memset(record, (char)('a' + i), sizeof(record));
			CHECK_EQ(fs_write(s->w, record, sizeof(record)), sizeof(record));
		}
		return;
	}
	for (int n = 0; n < 3 * 400; n++) {
		for (size_t got = 0; got < sizeof(record);) {
			int64_t k = fs_read(s->r, record + got, sizeof(record) - got);
			CHECK(k > 0);
			got += (size_t)k;
		}
		for (unsigned k = 1; k < sizeof(record); k++)
			if (record[k] != record[0])
				panic("a torn record");
		fetch_add_relaxed(&s->received, 1);
	}
}

HOST_TEST(writers_do_not_mix)
{
	struct stream s = {0};
	MUST(pipe_create(0, &s.r, &s.w));
	host_run_cpus(4, stream_worker, &s);
	CHECK_EQ(s.received, 1200);
	CHECK_EQ(pipe_available(s.r), 0);
	file_put(s.r);
	file_put(s.w);
}

static void large_worker(void *arg, unsigned i)
{
	struct stream *s = arg;
	size_t total = 20 * sizeof(big);
	if (i == 0) {
		for (int n = 0; n < 20; n++)
			CHECK_EQ(fs_write(s->w, big, sizeof(big)), sizeof(big));
		file_put(s->w);
		return;
	}
	for (size_t at = 0;;) {
		int64_t n = fs_read(s->r, back, 3000);
		if (n == 0) {
			CHECK_EQ(at, total);
			return;
		}
		CHECK(n > 0);
		for (int64_t k = 0; k < n; k++, at++)
			if (back[k] != big[at % sizeof(big)])
				panic("byte %zu is wrong", at);
	}
}

HOST_TEST(large_writes_block_and_finish)
{
	struct stream s = {0};
	MUST(pipe_create(0, &s.r, &s.w));
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 13 + i / 500);
	host_run_cpus(2, large_worker, &s);
	file_put(s.r);
}

static void fifo_worker(void *arg UNUSED, unsigned i)
{
	char text[8] = "";
	struct file *f = fs_open("fifo", i == 0 ? FILE_RDONLY : FILE_WRONLY, 0);
	if (i == 0) {
		CHECK_EQ(fs_read(f, text, 8), 5);
		CHECK(!memcmp(text, "hello", 5));
		CHECK_EQ(fs_read(f, text, 8), 0);
	} else {
		CHECK_EQ(fs_write(f, "hello", 5), 5);
	}
	file_put(f);
}

HOST_TEST(fifos)
{
	fs_env_begin();
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "fifo", MODE_FIFO | 0666, 0, NULL), 0);
	CHECK_EQ(fs_try_open("fifo", FILE_WRONLY | FILE_NONBLOCK, 0), -ENXIO);
	struct file *r = fs_open("fifo", FILE_RDONLY | FILE_NONBLOCK, 0);
	CHECK_EQ(level(r), 0); /* nobody has hung up yet */
	CHECK_EQ(fs_read(r, back, 1), 0);
	struct file *w = fs_open("fifo", FILE_WRONLY | FILE_NONBLOCK, 0);
	CHECK_EQ(fs_read(r, back, 1), -EAGAIN);
	CHECK_EQ(fs_write(w, "x", 1), 1);
	file_put(w);
	CHECK_EQ(level(r), SIGNAL_READABLE | SIGNAL_PEER_CLOSED);
	CHECK_EQ(fs_read(r, back, 9), 1);
	w = fs_open("fifo", FILE_WRONLY | FILE_NONBLOCK, 0);
	CHECK_EQ(level(r), 0);
	file_put(w);
	file_put(r);
	struct file *both = fs_open("fifo", FILE_RDWR, 0);
	CHECK_EQ(fs_write(both, "self", 4), 4);
	CHECK_EQ(fs_read(both, back, 9), 4);
	file_put(both);
	fetch_or_acq_rel(&current_thread()->flags, THREAD_SIGNALLED);
	CHECK_EQ(fs_try_open("fifo", FILE_RDONLY, 0), -EINTR);
	CHECK_EQ(fs_try_open("fifo", FILE_WRONLY, 0), -EINTR);
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED);
	for (int i = 0; i < 50; i++)
		host_run_cpus(2, fifo_worker, NULL);
	fs_env_end();
}

HOST_TEST(event_counters)
{
	struct file *f;
	uint64_t n = 5;
	MUST(eventfd_create(0, false, FILE_NONBLOCK, &f));
	CHECK_EQ(level(f), SIGNAL_WRITABLE);
	CHECK_EQ(fs_read(f, &n, 8), -EAGAIN);
	CHECK_EQ(fs_write(f, &n, 8), 8);
	CHECK_EQ(fs_write(f, &n, 8), 8);
	CHECK_EQ(level(f), SIGNAL_WRITABLE | SIGNAL_READABLE);
	CHECK_EQ(fs_read(f, &n, 7), -EINVAL);
	CHECK_EQ(fs_read(f, &n, 8), 8);
	CHECK_EQ(n, 10);
	n = UINT64_MAX;
	CHECK_EQ(fs_write(f, &n, 8), -EINVAL);
	n = UINT64_MAX - 1;
	CHECK_EQ(fs_write(f, &n, 8), 8);
	CHECK_EQ(level(f), SIGNAL_READABLE);
	n = 1;
	CHECK_EQ(fs_write(f, &n, 8), -EAGAIN);
	file_put(f);
	MUST(eventfd_create(2, true, FILE_NONBLOCK, &f));
	CHECK_EQ(fs_read(f, &n, 8), 8);
	CHECK_EQ(n, 1);
	CHECK_EQ(fs_read(f, &n, 8), 8);
	CHECK_EQ(fs_read(f, &n, 8), -EAGAIN);
	file_put(f);
}

static void event_worker(void *arg, unsigned i)
{
	uint64_t n = UINT64_MAX / 2, sum = 0;
	for (int k = 0; k < 100; k++) {
		if (i == 0) {
			CHECK_EQ(fs_write(arg, &n, 8), 8);
			continue;
		}
		if (fs_read(arg, &sum, 8) != 8)
			panic("a short read");
		k += sum > n; /* two at once */
	}
}

HOST_TEST(event_writers_wait_for_room)
{
	struct file *f;
	MUST(eventfd_create(0, false, 0, &f));
	host_run_cpus(2, event_worker, f);
	file_put(f);
}

HOST_TEST(every_allocation_may_fail)
{
	bool fired = true;
	for (uint64_t n = 1; fired; n++) {
		struct file *r, *w, *e;
		inject_arm(n);
		err_t err = pipe_create(FILE_NONBLOCK, &r, &w);
		int64_t done = err ? err : fs_write(w, big, 20000);
		if (!err) {
			file_put(r);
			file_put(w);
		}
		err_t second = eventfd_create(0, false, 0, &e);
		if (!second)
			file_put(e);
		fired = inject_fired();
		inject_arm(0);
		CHECK(done == 20000 || (fired && done != 0));
		CHECK(!second || (fired && second == -ENOMEM));
	}
	CHECK_EQ(file_count(), 0);
}

int main(int argc, char **argv)
{
	fs_env_init(65536);
	return host_test_main_started(argc, argv);
}
