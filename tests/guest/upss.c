/* upss.c - smaps: whose are pages that several processes have? The same binary passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "usmaps.h"
#include "utap.h"

enum { PAGE = 4096, PAGES = 64, KIB = PAGES * 4, CHILDREN = 3, WRITTEN = 16 };

#define RW (PROT_READ | PROT_WRITE)

/* A region of its own: nothing that it could be merged with is beside it. */
static char *map(int flags, int fd)
{
	char *p = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? p : mmap(p + PAGE, PAGES * PAGE, RW, flags | MAP_FIXED, fd, 0);
}

static void unmap(char *p)
{
	munmap(p - PAGE, (PAGES + 2) * PAGE);
}

static void touch(char *p)
{
	for (int i = 0; i < PAGES; i++)
		(void)*(volatile char *)(p + i * PAGE);
}

/* --- children, which do something and wait --- */

struct family {
	pid_t pid[CHILDREN + 1]; /* the parent first */
	int ready[2];
};

static bool add_child(struct family *f, int i, char *p, int written)
{
	char c = 1;
	f->pid[i] = fork();
	if (f->pid[i] == 0) {
		touch(p);
		for (int k = 0; k < written; k++)
			p[k * PAGE] = 2;
		if (write(f->ready[1], &c, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	return f->pid[i] > 0 && read(f->ready[0], &c, 1) == 1;
}

static bool start(struct family *f, char *p, int written)
{
	*f = (struct family){.pid = {getpid()}};
	touch(p);
	if (pipe(f->ready))
		return false;
	for (int i = 1; i <= CHILDREN; i++)
		if (!add_child(f, i, p, written))
			return false;
	return true;
}

static void end(struct family *f)
{
	for (int i = 1; i <= CHILDREN; i++) {
		kill(f->pid[i], SIGKILL);
		waitpid(f->pid[i], NULL, 0);
	}
	close(f->ready[0]);
	close(f->ready[1]);
}

static long sum_of(const struct family *f, const void *p, const char *name)
{
	long sum = 0;
	for (int i = 0; i <= CHILDREN; i++)
		sum += smaps_field(f->pid[i], p, name);
	return sum;
}

/* The parts that all have are the pages; each part is rounded down. */
static bool adds_up(const struct family *f, const void *p, long kib)
{
	long sum = sum_of(f, p, "Pss:");
	return sum <= kib && sum >= kib - CHILDREN - 1;
}

/* --- tests --- */

static bool alone(void)
{
	char *p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	CHECK(p != MAP_FAILED);
	memset(p, 1, KIB / 2 * 1024);
	pid_t me = getpid();
	CHECK(smaps_field(me, p, "Rss:") == KIB / 2 && smaps_field(me, p, "Pss:") == KIB / 2);
	CHECK(smaps_field(me, p, "Private_Dirty:") == KIB / 2 && smaps_field(me, p, "Shared_Dirty:") == 0);
	CHECK(smaps_field(me, p, "Pss_Dirty:") == KIB / 2 && smaps_field(me, p, "Anonymous:") == KIB / 2);
	unmap(p);
	return true;
}

static bool forked(void)
{
	struct family f;
	char *p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	CHECK(p != MAP_FAILED);
	memset(p, 1, PAGES * PAGE);
	CHECK(start(&f, p, 0));
	for (int i = 0; i <= CHILDREN; i++) {
		CHECK(smaps_field(f.pid[i], p, "Rss:") == KIB);
		CHECK(smaps_field(f.pid[i], p, "Pss:") == KIB / (CHILDREN + 1));
		CHECK(smaps_field(f.pid[i], p, "Shared_Dirty:") == KIB);
		CHECK(smaps_field(f.pid[i], p, "Private_Dirty:") == 0);
	}
	end(&f);
	CHECK(smaps_field(f.pid[0], p, "Pss:") == KIB && smaps_field(f.pid[0], p, "Private_Dirty:") == KIB);
	unmap(p);
	return true;
}

static bool forked_and_written(void)
{
	struct family f;
	char *p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	CHECK(p != MAP_FAILED);
	memset(p, 1, PAGES * PAGE);
	CHECK(start(&f, p, WRITTEN));
	for (int i = 1; i <= CHILDREN; i++)
		CHECK(smaps_field(f.pid[i], p, "Private_Dirty:") == WRITTEN * 4);
	CHECK(
	    smaps_field(f.pid[0], p, "Private_Dirty:") == WRITTEN * 4); /* it alone has what they have not */
	CHECK(adds_up(&f, p, KIB + CHILDREN * WRITTEN * 4));
	end(&f);
	unmap(p);
	return true;
}

/* Forks with writes in between: the parts are not equal everywhere, but what they come to is. */
static bool forked_unevenly(void)
{
	struct family f;
	char *p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	CHECK(p != MAP_FAILED);
	memset(p, 1, PAGES * PAGE);
	f = (struct family){.pid = {getpid()}};
	CHECK(pipe(f.ready) == 0);
	for (int i = 1; i <= CHILDREN; i++) {
		CHECK(add_child(&f, i, p, 0));
		p[(PAGES - i) * PAGE] = 3;
	}
	CHECK(adds_up(&f, p, KIB + CHILDREN * 4));
	CHECK(smaps_field(f.pid[0], p, "Private_Dirty:") == 4); /* what it wrote last */
	end(&f);
	unmap(p);
	return true;
}

static bool file(void)
{
	struct family f;
	char path[64];
	int fd = open(utest_file(path, "mapped"), O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0);
	for (int i = 0; i < PAGES; i++)
		CHECK(pwrite(fd, "x", 1, i * PAGE) == 1);
	char *p = map(MAP_PRIVATE, fd);
	CHECK(p != MAP_FAILED);
	CHECK(start(&f, p, WRITTEN));
	CHECK(smaps_field(f.pid[1], p, "Private_Dirty:") == WRITTEN * 4);
	CHECK(
	    smaps_field(f.pid[1], p, "Anonymous:") == WRITTEN * 4 && smaps_field(f.pid[1], p, "Rss:") == KIB);
	CHECK(adds_up(&f, p, KIB + CHILDREN * WRITTEN * 4));
	end(&f);
	CHECK(smaps_field(f.pid[0], p, "Pss:") == KIB && smaps_field(f.pid[0], p, "Anonymous:") == 0);
	CHECK(smaps_field(f.pid[0], p, "Private_Clean:") + smaps_field(f.pid[0], p, "Private_Dirty:") == KIB);
	unmap(p);
	close(fd);
	return true;
}

static bool shared_memory(void)
{
	struct family f;
	char *p = map(MAP_SHARED | MAP_ANONYMOUS, -1);
	CHECK(p != MAP_FAILED);
	memset(p, 1, PAGES * PAGE);
	CHECK(start(&f, p, WRITTEN));
	for (int i = 0; i <= CHILDREN; i++)
		CHECK(smaps_field(f.pid[i], p, "Pss:") == KIB / (CHILDREN + 1) &&
		      smaps_field(f.pid[i], p, "Anonymous:") == 0);
	CHECK(sum_of(&f, p, "Shared_Clean:") + sum_of(&f, p, "Shared_Dirty:") == KIB * (CHILDREN + 1));
	end(&f);
	CHECK(smaps_field(f.pid[0], p, "Pss:") == KIB);
	unmap(p);
	return true;
}

/* Windows on one file, some on the same pages, some side by side, in several processes: in each every window
 * has its part of each page. */
static bool many_windows(void)
{
	enum { WINDOWS = 8, SAME = 4, EACH = PAGES / WINDOWS, LEN = EACH * PAGE, PROCESSES = CHILDREN + 1 };
	struct family f;
	char *p = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = memfd_create("windows", MFD_CLOEXEC);
	CHECK(p != MAP_FAILED && fd >= 0 && ftruncate(fd, WINDOWS * LEN) == 0);
	for (int i = 0; i < WINDOWS; i++) {
		off_t at = i < SAME ? 0 : (WINDOWS - i) * LEN; /* no two are joined */
		CHECK(mmap(p + i * LEN, LEN, RW, MAP_SHARED | MAP_FIXED, fd, at) == p + i * LEN);
		memset(p + i * LEN, 1, LEN);
	}
	CHECK(start(&f, p, 0));
	for (int i = 0; i < WINDOWS; i++) {
		long part = LEN / 1024 / (i < SAME ? SAME * PROCESSES : PROCESSES);
		for (int k = 0; k < PROCESSES; k++) {
			CHECK(smaps_field(f.pid[k], p + i * LEN, "Rss:") == LEN / 1024);
			CHECK(smaps_field(f.pid[k], p + i * LEN, "Pss:") == part);
			CHECK(smaps_field(f.pid[k], p + i * LEN, "Private_Dirty:") == 0);
		}
	}
	end(&f);
	CHECK(smaps_field(f.pid[0], p, "Pss:") == LEN / 1024 / SAME);
	CHECK(smaps_field(f.pid[0], p + SAME * LEN, "Pss:") == LEN / 1024);
	munmap(p, (SAME - 1) * LEN); /* who is left has it all */
	CHECK(smaps_field(f.pid[0], p + (SAME - 1) * LEN, "Pss:") == LEN / 1024);
	unmap(p);
	close(fd);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"memory of one's own", alone},
	    {"after forks each has an equal part", forked},
	    {"what was written is its writer's", forked_and_written},
	    {"parts add up whatever was written when", forked_unevenly},
	    {"pages of files", file},
	    {"shared memory", shared_memory},
	    {"many windows on one file", many_windows},
	};
	if (access("/proc/self/smaps", F_OK)) {
		mkdir("/proc", 0755);
		if (mount("proc", "/proc", "proc", 0, NULL))
			return 1;
	}
	return UTEST_RUN(tests);
}
