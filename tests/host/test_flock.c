/*
 * test_flock.c - locks on files against a naive model (who has each byte), what closing leaves, deadlocks,
 * failing allocations.
 */
#include "fs/flock.h"
#include "fs_env.h"

enum { BYTES = 24, CELLS = BYTES + 1, OWNERS = 4, STEPS = 20000 };

static unsigned char model[OWNERS][CELLS]; /* enum lock_type; the last cell: all bytes from BYTES on */
static uint32_t seed = 12345;

static uint32_t draw(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static struct file *open_file(void)
{
	struct file *f;
	MUST(vfs_open(&fs_me, NULL, "locked", FILE_RDWR | FILE_CREAT, 0600, &f));
	return f;
}

static bool model_conflicts(unsigned owner, const struct lock_range *r)
{
	for (unsigned o = 0; o < OWNERS; o++)
		for (uint64_t b = r->first; o != owner && b <= r->last && b < CELLS; b++)
			if (model[o][b] && (model[o][b] == LOCK_EXCLUSIVE || r->type == LOCK_EXCLUSIVE))
				return true;
	return false;
}

static void model_apply(unsigned owner, const struct lock_range *r)
{
	for (uint64_t b = r->first; b <= r->last && b < CELLS; b++)
		model[owner][b] = (unsigned char)r->type;
}

/* Locks that the model has: runs of one type. */
static uint64_t model_runs(void)
{
	uint64_t n = 0;
	for (unsigned o = 0; o < OWNERS; o++)
		for (unsigned b = 0; b < CELLS; b++)
			n += model[o][b] && (b == 0 || model[o][b - 1] != model[o][b]);
	return n;
}

static void check_bytes(struct file *f)
{
	static const char nobody;
	for (unsigned b = 0; b < BYTES; b++) {
		struct lock_range want = {LOCK_EXCLUSIVE, b, b, &nobody, false, 0}, found;
		bool any = false;
		for (unsigned o = 0; o < OWNERS; o++)
			any |= model[o][b];
		CHECK_EQ(lock_find_conflict(f, &want, &found), any);
		if (any)
			CHECK_EQ(found.type, model[found.pid][b]);
	}
}

HOST_TEST(ranges_are_as_in_the_model)
{
	static char owners[OWNERS];
	fs_env_begin();
	struct file *f = open_file();
	memset(model, 0, sizeof(model));
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned o = draw(OWNERS);
		uint64_t first = draw(BYTES), last = first + draw(BYTES - (uint32_t)first);
		if (last == BYTES - 1 && draw(2))
			last = INT64_MAX;
		struct lock_range r = {(enum lock_type)draw(3), first, last, &owners[o], false, o};
		bool refused = r.type != LOCK_NONE && model_conflicts(o, &r);
		CHECK_EQ(lock_range(f, &r, false), refused ? -EAGAIN : 0);
		if (!refused)
			model_apply(o, &r);
		if (step % 16 == 0)
			check_bytes(f);
		if (draw(100) == 0) {
			lock_close_owner(f, (const struct desc_table *)&owners[o]);
			memset(model[o], 0, CELLS);
		}
		CHECK_EQ(lock_count(), model_runs());
	}
	for (unsigned o = 0; o < OWNERS; o++)
		lock_close_owner(f, (const struct desc_table *)&owners[o]);
	CHECK_EQ(lock_count(), 0);
	file_put(f);
	fs_env_end();
}

HOST_TEST(files_take_their_locks_along)
{
	fs_env_begin();
	struct file *a = open_file(), *b = open_file();
	struct lock_range r = {LOCK_EXCLUSIVE, 3, 9, a, true, 0};
	MUST(lock_range(a, &r, false));
	r.owner = b;
	CHECK_EQ(lock_range(b, &r, false), -EAGAIN);
	MUST(lock_whole(a, LOCK_SHARED, 1, false));
	MUST(lock_whole(a, LOCK_SHARED, 1, false));
	MUST(lock_whole(b, LOCK_SHARED, 1, false));
	CHECK_EQ(lock_whole(a, LOCK_EXCLUSIVE, 1, false), -EAGAIN);
	CHECK_EQ(lock_count(), 2); /* the range, and b's: a's shared one was let go */
	file_put(a);
	MUST(lock_range(b, &r, false));
	MUST(lock_whole(b, LOCK_EXCLUSIVE, 1, false));
	CHECK_EQ(lock_count(), 2);
	file_put(b);
	CHECK_EQ(lock_count(), 0);
	fs_env_end();
}

struct circle {
	struct file *f;
	const char *owner;
	uint64_t has, wants;
	err_t got;
};

static void lock_second(struct circle *c)
{
	struct lock_range r = {LOCK_EXCLUSIVE, c->wants, c->wants, c->owner, false, 0};
	c->got = lock_range(c->f, &r, true);
	lock_close_owner(c->f, (const struct desc_table *)c->owner);
}

static void run_circle(void *arg, unsigned i)
{
	lock_second((struct circle *)arg + i);
}

HOST_TEST(of_a_circle_one_is_refused)
{
	enum { N = 4 };
	static char owners[N];
	struct circle c[N];
	fs_env_begin();
	struct file *f = open_file();
	for (unsigned i = 0; i < N; i++) {
		struct lock_range r = {LOCK_EXCLUSIVE, i, i, &owners[i], false, 0};
		MUST(lock_range(f, &r, false));
		c[i] = (struct circle){f, &owners[i], i, (i + 1) % N, 1};
	}
	host_run_cpus(N, run_circle, c);
	unsigned refused = 0;
	for (unsigned i = 0; i < N; i++) {
		CHECK(c[i].got == 0 || c[i].got == -EDEADLK);
		refused += c[i].got == -EDEADLK;
	}
	CHECK_EQ(refused, 1);
	CHECK_EQ(lock_count(), 0);
	file_put(f);
	fs_env_end();
}

HOST_TEST(without_memory_nothing_changes)
{
	static char owner, other;
	fs_env_begin();
	struct file *f = open_file();
	struct lock_range r = {LOCK_EXCLUSIVE, 0, 9, &owner, false, 0}, found;
	MUST(lock_range(f, &r, false));
	struct lock_range hole = {LOCK_NONE, 4, 5, &owner, false, 0};
	for (unsigned i = 1; i <= 2; i++) {
		inject_arm(i);
		CHECK_EQ(lock_range(f, &hole, false), -ENOLCK);
		CHECK(inject_fired());
		inject_arm(0);
	}
	struct lock_range probe = {LOCK_SHARED, 4, 5, &other, false, 0};
	CHECK(lock_find_conflict(f, &probe, &found));
	CHECK_EQ(lock_count(), 1);
	MUST(lock_range(f, &hole, false));
	CHECK(!lock_find_conflict(f, &probe, &found));
	CHECK_EQ(lock_count(), 2);
	lock_close_owner(f, (const struct desc_table *)&owner);
	file_put(f);
	fs_env_end();
}

int main(int argc, char **argv)
{
	fs_env_init(65536);
	return host_test_main_started(argc, argv);
}
