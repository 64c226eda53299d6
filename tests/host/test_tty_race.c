/*
 * test_tty_race.c - four CPUs open, close, write, read, hang up, set and flush the same few ptys in any
 * order. What each call returns is one of the results that it may have; at the end nothing is left.
 */
#include "tty_env.h"

enum { CPUS = 4, SLOTS = 3, ROUNDS = 1500 };

static struct {
	struct mutex lock;
	struct file *master; /* counted */
	char name[32];
} slots[SLOTS];

static _Thread_local uint64_t rng;
static unsigned pick(unsigned n)
{
	rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
	return (unsigned)(rng % n);
}

/* The slot's master, with a reference, and the slave's name. */
static struct file *take_master(unsigned slot, char name[32])
{
	mutex_lock(&slots[slot].lock);
	struct file *f = slots[slot].master;
	if (f)
		file_get(f);
	memcpy(name, slots[slot].name, 32);
	mutex_unlock(&slots[slot].lock);
	return f;
}

/* Another master in its place. */
static void replace_master(unsigned slot)
{
	struct file *f;
	char name[32];
	err_t err = tty_open_master(FILE_NONBLOCK, &f, name);
	if (err)
		panic("ptmx gave %d", err);
	mutex_lock(&slots[slot].lock);
	struct file *old = slots[slot].master;
	slots[slot].master = f;
	memcpy(slots[slot].name, name, 32);
	mutex_unlock(&slots[slot].lock);
	if (old)
		file_put(old);
}

static void expect(int64_t n, err_t a, err_t b)
{
	if (n < 0 && n != -EAGAIN && n != a && n != b)
		panic("a result of %lld", (long long)n);
}

static void use_slave(const char *name)
{
	struct file *f;
	char buf[600];
	memset(buf, 'x', sizeof(buf));
	err_t err = vfs_open(&fs_me, NULL, name, FILE_RDWR | FILE_NONBLOCK | FILE_NOCTTY, 0, &f);
	if (err) {
		expect(err, -EIO, -ENOENT);
		return;
	}
	for (unsigned i = 0; i < 6; i++) {
		expect(fs_write(f, buf, pick(sizeof(buf))), -EIO, 0);
		expect(fs_read(f, buf, sizeof(buf)), -EIO, 0);
		expect(file_ioctl(f, 0x540b, pick(3)), -EIO, 0); /* TCFLSH */
		expect(file_ioctl(f, 0x540a, pick(4)), -EIO, 0); /* TCXONC */
		if (pick(20) == 0)
			tty_hang_up(tty_file_of(f)->tty, false);
	}
	file_put(f);
}

static void use_master(struct file *f)
{
	static const char keys[] = "abc\n\003\004\177\025\021\023\026\n";
	char buf[600];
	int32_t packet = (int32_t)pick(2);
	expect(tty_request(f, 0x5420, &packet), 0, 0);
	for (unsigned i = 0; i < 20; i++) {
		expect(fs_write(f, keys + pick(sizeof(keys) - 1), 1), 0, 0);
		expect(fs_read(f, buf, sizeof(buf)), -EIO, 0);
	}
}

static void worker(UNUSED void *arg, unsigned cpu)
{
	rng = 88172645463325252ULL + cpu * 7919;
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned slot = pick(SLOTS);
		char name[32];
		struct file *f = take_master(slot, name);
		if (!f || pick(16) == 0)
			replace_master(slot);
		else if (pick(2))
			use_slave(name);
		else
			use_master(f);
		if (f)
			file_put(f);
	}
}

HOST_TEST(everything_at_once)
{
	tty_env_begin();
	for (unsigned i = 0; i < SLOTS; i++)
		mutex_init(&slots[i].lock, "slot", RANK_FILE);
	host_run_cpus(CPUS, worker, NULL);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (slots[i].master)
			file_put(slots[i].master);
		slots[i].master = NULL;
	}
	while (dentry_shrink(100))
		;
	tty_env_end();
}

int main(int argc, char **argv)
{
	tty_env_init(16384);
	int failed = host_test_main_started(argc, argv);
	tty_env_fini();
	return failed;
}
