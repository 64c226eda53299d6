/* usnapshot.c - copies of files in memory that share their pages (fcntl F_SNAPSHOT): who sees what, rights,
 * and that they are consistent while others write. Quire's own, so not for Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "quire.h"
#include "utap.h"

enum { PAGE = 4096, PAGES = 80 };
#define LEN ((size_t)PAGES * PAGE)
#define RW  (PROT_READ | PROT_WRITE)

static int snapshot(int fd)
{
	return fcntl(fd, F_SNAPSHOT, O_CLOEXEC);
}

static void fill(char *p, char value)
{
	for (int i = 0; i < PAGES; i++)
		p[i * PAGE] = value;
}

static bool all_are(const char *p, char value)
{
	for (int i = 0; i < PAGES; i++)
		if (p[i * PAGE] != value)
			return false;
	return true;
}

static char *map(int fd, int type)
{
	char *p = mmap(NULL, LEN, RW, type, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* A file of PAGES pages that hold `value`, and a shared window on it. */
static int file_of(char value, char **p)
{
	int fd = (int)syscall(SYS_memfd_create, "store", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, LEN) || !(*p = map(fd, MAP_SHARED)))
		return -1;
	fill(*p, value);
	return fd;
}

static long blocks(int fd)
{
	struct stat st;
	return fstat(fd, &st) ? -1 : (long)st.st_blocks;
}

/* Of /proc/meminfo, in KiB. */
static long shared_memory(void)
{
	char text[4096];
	int fd = open("/proc/meminfo", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *at = strstr(text, "Shmem:");
	return at ? atol(at + 6) : -1;
}

static bool each_has_its_own(void)
{
	char *p, *q, *r;
	int fd = file_of(1, &p), copy = snapshot(fd);
	CHECK(fd >= 0 && copy >= 0);
	q = map(copy, MAP_SHARED);
	CHECK(q && all_are(q, 1) && lseek(copy, 0, SEEK_END) == (off_t)LEN);
	fill(p, 2);
	CHECK(all_are(q, 1));
	fill(q, 3);
	CHECK(all_are(p, 2));
	int second = snapshot(copy); /* of a snapshot */
	r = map(second, MAP_SHARED);
	CHECK(r && all_are(r, 3));
	fill(r, 4);
	munmap(q, LEN), close(copy);
	CHECK(all_are(p, 2) && all_are(r, 4));
	munmap(p, LEN), munmap(r, LEN), close(fd), close(second);
	return true;
}

static bool costs_no_pages(void)
{
	enum { BIG = 16 << 20, SLACK_KIB = 512 };
	int fd = (int)syscall(SYS_memfd_create, "big", 0);
	CHECK(fd >= 0 && fallocate(fd, 0, 0, BIG) == 0);
	long before = shared_memory();
	int copies[20];
	for (int i = 0; i < 20; i++)
		CHECK((copies[i] = snapshot(fd)) >= 0);
	CHECK(shared_memory() - before < SLACK_KIB);
	CHECK(blocks(fd) == BIG / 512 && blocks(copies[19]) == BIG / 512);
	for (int i = 0; i < 20; i++)
		close(copies[i]);
	close(fd);
	CHECK(before - shared_memory() >= BIG / 1024 - SLACK_KIB);
	return true;
}

static int stores_seven(void *arg)
{
	fill(arg, 7);
	return 0;
}

/* Every window on the file, in whatever process, loses write access; all of them see the file's new page. */
static bool windows_stay_windows(void)
{
	char *p, *also, *mine, *q;
	int fd = file_of(1, &p);
	CHECK(fd >= 0 && (also = map(fd, MAP_SHARED)) && (mine = map(fd, MAP_PRIVATE)));
	CHECK(all_are(also, 1) && all_are(mine, 1));
	also[0] = 1, mine[PAGE] = 5;
	int copy = snapshot(fd);
	CHECK(copy >= 0 && (q = map(copy, MAP_PRIVATE)) && all_are(q, 1));
	also[0] = 2;
	CHECK(p[0] == 2 && mine[0] == 2 && q[0] == 1);
	CHECK(child_exits(stores_seven, p, 0));
	CHECK(all_are(p, 7) && all_are(also, 7) && all_are(q, 1));
	CHECK(mine[0] == 7 && mine[PAGE] == 5 && mine[2 * PAGE] == 7);
	munmap(p, LEN), munmap(also, LEN), munmap(mine, LEN), munmap(q, LEN), close(fd), close(copy);
	return true;
}

static bool cutting_one_leaves_the_other(void)
{
	char *p, *q, byte;
	int fd = file_of(1, &p), copy = snapshot(fd);
	CHECK(fd >= 0 && copy >= 0 && (q = map(copy, MAP_SHARED)));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8 * PAGE) == 0);
	CHECK(blocks(fd) == (PAGES - 8) * 8 && blocks(copy) == PAGES * 8);
	CHECK(p[0] == 0 && all_are(q, 1));
	CHECK(ftruncate(fd, 10 * PAGE) == 0 && blocks(fd) == 2 * 8 && all_are(q, 1));
	CHECK(ftruncate(copy, 0) == 0 && blocks(copy) == 0 && p[9 * PAGE] == 1);
	CHECK(ftruncate(copy, LEN) == 0 && pread(copy, &byte, 1, 9 * PAGE) == 1 && byte == 0);
	CHECK(pwrite(copy, "n", 1, 3 * PAGE) == 1 && q[3 * PAGE] == 'n' && p[3 * PAGE] == 0);
	munmap(p, LEN), munmap(q, LEN), close(fd), close(copy);
	return true;
}

static bool rights_and_seals(void)
{
	char *p, name[40];
	int fd = file_of(1, &p), pipes[2];
	CHECK(fd >= 0 && pipe(pipes) == 0);
	CHECK(FAILS_WITH(fcntl(fd, F_SNAPSHOT, 1), EINVAL) && FAILS_WITH(snapshot(pipes[0]), EINVAL));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	int writer = open(name, O_WRONLY), place = open(name, O_PATH), reader = open(name, O_RDONLY);
	CHECK(FAILS_WITH(snapshot(writer), EBADF) && FAILS_WITH(snapshot(place), EBADF));
	int copy = fcntl(reader, F_SNAPSHOT, 0); /* whoever can read can copy; the copy is his own */
	CHECK(copy >= 0 && (fcntl(copy, F_GETFL) & O_ACCMODE) == O_RDWR && fcntl(copy, F_GETFD) == 0);
	close(copy);
	munmap(p, LEN);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
	copy = snapshot(fd);
	CHECK(copy >= 0 && fcntl(copy, F_GETFD) == FD_CLOEXEC && fcntl(copy, F_GET_SEALS) == 0);
	CHECK(pwrite(copy, "x", 1, 0) == 1 && fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	CHECK(FAILS_WITH(pwrite(copy, "x", 1, 0), EPERM));
	close(fd), close(copy), close(writer), close(place), close(reader), close(pipes[0]), close(pipes[1]);
	return true;
}

/* --- while others write --- */

enum { SNAPSHOTS = 24 };

struct writer {
	pthread_t thread;
	char *p;
	int fd;
	_Atomic bool stop;
	_Atomic unsigned rounds;
};

static void *store_in_order(void *arg)
{
	struct writer *w = arg;
	for (unsigned n = 1; !atomic_load(&w->stop); n++) {
		for (int i = 0; i < PAGES; i++)
			*(volatile unsigned *)(w->p + i * PAGE) = n;
		atomic_store(&w->rounds, n);
	}
	return NULL;
}

/* Pages are written in order, so those of a copy never grow, and differ by one at most. */
static bool is_in_order(const char *q)
{
	unsigned first = *(const unsigned *)q, before = first;
	for (int i = 1; i < PAGES; i++) {
		unsigned now = *(const unsigned *)(q + i * PAGE);
		if (now > before || first - now > 1)
			return false;
		before = now;
	}
	return true;
}

static void *write_in_whole(void *arg)
{
	static char bytes[LEN];
	struct writer *w = arg;
	for (unsigned n = 1; !atomic_load(&w->stop); n++) {
		memset(bytes, (int)n, LEN);
		if (pwrite(w->fd, bytes, LEN, 0) != (ssize_t)LEN)
			return w;
		atomic_store(&w->rounds, n);
	}
	return NULL;
}

static bool is_one_write(const char *q)
{
	for (size_t i = 1; i < LEN; i++)
		if (q[i] != q[0])
			return false;
	return true;
}

/* Take copies while `run` writes; each must look as `good` says, at once and after more has been written. */
static bool race(void *(*run)(void *), bool (*good)(const char *))
{
	struct writer w = {0};
	char *copies[SNAPSHOTS];
	void *failed = NULL;
	bool fine = true;
	w.fd = file_of(0, &w.p);
	CHECK(w.fd >= 0 && pthread_create(&w.thread, NULL, run, &w) == 0);
	for (int i = 0; i < SNAPSHOTS && fine; i++) {
		unsigned seen = atomic_load(&w.rounds);
		while (i % 8 == 0 && atomic_load(&w.rounds) == seen)
			sched_yield();
		int fd = snapshot(w.fd);
		fine = fd >= 0 && (copies[i] = map(fd, MAP_SHARED)) && good(copies[i]);
		close(fd);
	}
	atomic_store(&w.stop, true);
	CHECK(pthread_join(w.thread, &failed) == 0 && !failed && fine);
	for (int i = 0; i < SNAPSHOTS; i++) {
		CHECK(good(copies[i]));
		munmap(copies[i], LEN);
	}
	munmap(w.p, LEN), close(w.fd);
	return true;
}

static bool races_with_stores(void)
{
	return race(store_in_order, is_in_order);
}
static bool races_with_writes(void)
{
	return race(write_in_whole, is_one_write);
}

static const struct utest tests[] = {
    {"each copy has its own pages, also one of a copy", each_has_its_own},
    {"a copy takes no pages", costs_no_pages},
    {"windows on the file stay windows on the file", windows_stay_windows},
    {"cutting one leaves the other", cutting_one_leaves_the_other},
    {"rights and seals", rights_and_seals},
    {"a copy made between stores is a moment of them", races_with_stores},
    {"a copy has a write in whole or not", races_with_writes},
};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
