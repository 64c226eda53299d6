/* upeak.c - the most memory that a process ever had: VmPeak, VmHWM, ru_maxrss, and what resets them. The same
 * binary passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "utap.h"

/* SLACK: what the program itself may have more or less, and what Linux's counts lag behind. */
enum { PAGE = 4096, MIB = 1 << 20, KIB_MIB = 1024, SLACK = 2 * KIB_MIB };

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* In KiB, as far as they are of interest here. */
struct memory {
	long peak, size, hwm, rss, anon, file, shmem;
};

/* Without the C library's buffers: looking takes no memory. */
static struct memory look(void)
{
	static char text[8192];
	struct memory m = {0};
	const struct {
		const char *name;
		long *to;
	} rows[] = {{"VmPeak:", &m.peak}, {"VmSize:", &m.size}, {"VmHWM:", &m.hwm}, {"VmRSS:", &m.rss},
	    {"RssAnon:", &m.anon}, {"RssFile:", &m.file}, {"RssShmem:", &m.shmem}};
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = 0;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = strstr(text, rows[i].name);
		*rows[i].to = at ? strtol(at + strlen(rows[i].name), NULL, 10) : -1;
	}
	return m;
}

static long maxrss(int who)
{
	struct rusage r;
	return getrusage(who, &r) ? -1 : r.ru_maxrss;
}

static char *map(size_t len, int flags)
{
	return mmap(NULL, len, RW, flags, -1, 0);
}

/* Memory that is there, or the program ends. */
static char *touched(size_t len, int flags)
{
	char *p = map(len, flags);
	if (p == MAP_FAILED)
		abort();
	for (size_t i = 0; i < len; i += PAGE)
		p[i] = 1;
	return p;
}

static bool is_about(long kib, long expected)
{
	if (kib > expected - SLACK && kib < expected + SLACK)
		return true;
	printf("# %ld KiB, expected about %ld\n", kib, expected);
	return false;
}

/* --- one process --- */

/* Its peak is what it has now, more or less: what others have had before does not count. */
static bool reset(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	bool good = fd >= 0 && write(fd, "5\n", 2) == 2;
	close(fd);
	return good;
}

static bool peak_stays(void)
{
	struct memory before, during, after;
	CHECK(reset());
	before = look();
	CHECK(is_about(before.hwm, before.rss));
	char *p = touched(32 * MIB, ANON);
	during = look();
	CHECK(is_about(during.rss, before.rss + 32 * KIB_MIB) && during.hwm >= during.rss);
	CHECK(is_about(during.rss, during.anon + during.file + during.shmem));
	CHECK(munmap(p, 32 * MIB) == 0);
	after = look();
	CHECK(is_about(after.rss, before.rss) && is_about(after.hwm, during.rss));
	CHECK(maxrss(RUSAGE_SELF) >= after.hwm && maxrss(RUSAGE_THREAD) >= after.hwm);
	p = touched(8 * MIB, ANON); /* less than there was: no new peak */
	CHECK(is_about(look().hwm, after.hwm));
	CHECK(munmap(p, 8 * MIB) == 0);
	return true;
}

static bool every_way_down(void)
{
	CHECK(reset());
	struct memory before = look();
	char *p = touched(16 * MIB, ANON);
	CHECK(madvise(p, 16 * MIB, MADV_DONTNEED) == 0);
	CHECK(is_about(look().rss, before.rss) && is_about(look().hwm, before.rss + 16 * KIB_MIB));
	char *q = touched(24 * MIB, ANON);
	CHECK(mmap(q, 24 * MIB, RW, ANON | MAP_FIXED, -1, 0) == q);
	CHECK(is_about(look().rss, before.rss) && is_about(look().hwm, before.rss + 24 * KIB_MIB));
	char *r = touched(32 * MIB, MAP_SHARED | MAP_ANONYMOUS);
	CHECK(is_about(look().shmem, before.shmem + 32 * KIB_MIB));
	CHECK(madvise(r, 32 * MIB, MADV_REMOVE) == 0);
	CHECK(is_about(look().rss, before.rss) && is_about(look().hwm, before.rss + 32 * KIB_MIB));
	CHECK(munmap(p, 16 * MIB) == 0 && munmap(q, 24 * MIB) == 0 && munmap(r, 32 * MIB) == 0);
	return true;
}

static bool refuses(const char *text)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	CHECK(fd >= 0 && FAILS_WITH(write(fd, text, strlen(text)), EINVAL));
	close(fd);
	return true;
}

static bool clear_refs(void)
{
	struct stat st;
	char c;
	CHECK(stat("/proc/self/clear_refs", &st) == 0 && (st.st_mode & 07777) == 0200);
	munmap(touched(32 * MIB, ANON), 32 * MIB);
	struct memory m = look();
	CHECK(m.hwm >= m.rss + 30 * KIB_MIB && reset());
	CHECK(is_about(look().hwm, m.rss) && look().peak == m.peak);
	CHECK(maxrss(RUSAGE_SELF) < m.hwm + SLACK);
	CHECK(refuses("0\n") && refuses("6\n") && refuses("x\n") && refuses("-5\n"));
	int fd = open("/proc/self/clear_refs", O_RDWR);
	CHECK(fd >= 0 && FAILS_WITH(read(fd, &c, 1), EINVAL));
	close(fd);
	return true;
}

/* Exact: nothing but this program changes the size of its memory. */
static bool size_peaks(void)
{
	struct memory a = look();
	size_t len = 2 * (size_t)(a.peak - a.size) * 1024 + 64 * MIB;
	char *p = map(len, ANON | MAP_NORESERVE);
	CHECK(p != MAP_FAILED && look().peak == a.size + (long)(len / 1024));
	CHECK(munmap(p, len) == 0);
	CHECK(look().size == a.size && look().peak == a.size + (long)(len / 1024));
	/* What moves is in two places for a moment, which does not count. */
	p = map(2 * len, ANON | MAP_NORESERVE);
	char *to = map(2 * len, ANON | MAP_NORESERVE);
	CHECK(p != MAP_FAILED && to != MAP_FAILED && munmap(to, 2 * len) == 0);
	long peak = look().peak;
	CHECK(peak == a.size + 4 * (long)(len / 1024));
	CHECK(munmap(p, len) == 0 && mremap(p + len, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	CHECK(look().peak == peak && munmap(to, len) == 0 && look().size == a.size);
	return true;
}

/* --- threads --- */

enum { THREADS = 4, ROUNDS = 8 };

static void *come_and_go(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		munmap(touched(MIB, ANON), MIB);
	*(char **)arg = touched(8 * MIB, ANON);
	return NULL;
}

static bool threads(void)
{
	pthread_t t[THREADS];
	char *p[THREADS];
	CHECK(reset());
	struct memory before = look();
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, come_and_go, &p[i]) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	struct memory m = look();
	CHECK(is_about(m.rss, before.rss + THREADS * 8 * KIB_MIB) && m.hwm > m.rss - SLACK);
	CHECK(m.hwm < before.rss + THREADS * 9 * KIB_MIB + SLACK);
	for (int i = 0; i < THREADS; i++)
		CHECK(munmap(p[i], 8 * MIB) == 0);
	CHECK(is_about(look().rss, before.rss) && look().hwm > m.rss - SLACK);
	return true;
}

/* --- whose pages --- */

static bool kinds(void)
{
	char path[64];
	static char block[MIB];
	int fd = open(utest_file(path, "mapped"), O_RDWR | O_CREAT, 0600),
	    mem = (int)sc(memfd_create, "m", 0);
	CHECK(fd >= 0 && mem >= 0);
	for (int i = 0; i < 8; i++)
		CHECK(write(fd, block, MIB) == MIB && write(mem, block, MIB) == MIB);
	struct memory before = look(), m;
	char *p = mmap(NULL, 8 * MIB, RW, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	CHECK(p != MAP_FAILED);
	for (int i = 0; i < 8 * MIB; i += PAGE)
		(void)*(volatile char *)(p + i);
	m = look(); /* a writable private window is brought in as copies, by Linux too */
	CHECK(is_about(m.rss, before.rss + 8 * KIB_MIB) && is_about(m.anon, before.anon + 8 * KIB_MIB));
	CHECK(munmap(p, 8 * MIB) == 0);
	p = mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, mem, 0);
	CHECK(p != MAP_FAILED && is_about(look().shmem, before.shmem));
	for (int i = 0; i < 8 * MIB; i += PAGE)
		(void)*(volatile char *)(p + i);
	m = look();
	CHECK(is_about(m.shmem, before.shmem + 8 * KIB_MIB) && is_about(m.anon, before.anon));
	CHECK(ftruncate(mem, 2 * MIB) == 0 && is_about(look().shmem, before.shmem + 2 * KIB_MIB));
	CHECK(munmap(p, 8 * MIB) == 0 && is_about(look().rss, before.rss));
	close(fd);
	close(mem);
	return true;
}

/* --- children --- */

static int child_looks(void *arg)
{
	struct memory m = look(), *parent = arg;
	UCHECK(is_about(m.hwm, m.rss) && m.hwm < parent->hwm - 16 * KIB_MIB);
	UCHECK(m.peak == m.size && m.size == parent->size);
	UCHECK(is_about(m.anon, parent->anon));
	UCHECK(maxrss(RUSAGE_CHILDREN) == 0);
	return 0;
}

static bool fork_begins_anew(void)
{
	munmap(touched(32 * MIB, ANON), 32 * MIB);
	char *p = touched(8 * MIB, ANON);
	struct memory m = look();
	CHECK(m.peak > m.size && child_exits(child_looks, &m, 0));
	CHECK(munmap(p, 8 * MIB) == 0);
	return true;
}

static int child_touches(void *arg)
{
	munmap(touched(*(size_t *)arg, ANON), *(size_t *)arg);
	return 0;
}

/* Runs a child that touches `mib`, as `time` does; its ru_maxrss in KiB. */
static long time_child(size_t mib)
{
	struct rusage r;
	size_t len = mib * MIB;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child_touches(&len));
	return pid < 0 || wait4(pid, NULL, 0, &r) != pid ? -1 : r.ru_maxrss;
}

/* Its own children are what counts. */
static int child_with_child(void *arg)
{
	size_t grandchild = *(size_t *)arg;
	UCHECK(child_exits(child_touches, &grandchild, 0));
	UCHECK(maxrss(RUSAGE_CHILDREN) >= (long)(grandchild / 1024) - SLACK);
	UCHECK(maxrss(RUSAGE_SELF) < (long)(grandchild / 1024));
	return 0;
}

static bool children(void)
{
	enum { FIRST = 20, LESS = 4, MOST = 28 }; /* MiB: there are machines of 64 */
	long own = look().rss, self = maxrss(RUSAGE_SELF);
	CHECK(is_about(time_child(FIRST), own + FIRST * KIB_MIB));
	long most = maxrss(RUSAGE_CHILDREN);
	CHECK(is_about(most, own + FIRST * KIB_MIB));
	CHECK(is_about(time_child(LESS), own + LESS * KIB_MIB)); /* each its own */
	CHECK(maxrss(RUSAGE_CHILDREN) == most);
	size_t len = MOST * MIB;
	CHECK(child_exits(child_with_child, &len, 0));
	CHECK(is_about(maxrss(RUSAGE_CHILDREN), own + MOST * KIB_MIB)); /* through both */
	CHECK(is_about(maxrss(RUSAGE_SELF), self));
	return true;
}

/* --- exec --- */

/* After exec: the memory is new, what the process had at most is not. */
static int after_exec(void)
{
	struct memory m = look();
	UCHECK(m.hwm < 16 * KIB_MIB && maxrss(RUSAGE_SELF) >= 32 * KIB_MIB - SLACK);
	UCHECK(maxrss(RUSAGE_CHILDREN) == 0);
	return 0;
}

static int child_execs(void *arg)
{
	char *const *argv = arg;
	munmap(touched(32 * MIB, ANON), 32 * MIB);
	execv("/proc/self/exe", argv);
	return 2;
}

static int child_execs_from_vfork(void *arg)
{
	char *p = touched(32 * MIB, ANON);
	pid_t pid = vfork();
	int status = -1;
	if (pid == 0) { /* the memory that it leaves was its parent's, but it had it */
		execv("/proc/self/exe", arg);
		_exit(3);
	}
	UCHECK(pid > 0 && waitpid(pid, &status, 0) == pid && munmap(p, 32 * MIB) == 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static bool exec(void)
{
	char *argv[] = {"upeak", "after exec", NULL};
	CHECK(child_exits(child_execs, argv, 0));
	CHECK(child_exits(child_execs_from_vfork, argv, 0));
	return true;
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {
	    {"the most there was in memory stays known", peak_stays},
	    {"whichever way memory goes", every_way_down},
	    {"clear_refs sets it to what is there", clear_refs},
	    {"the largest size", size_peaks},
	    {"threads that touch and unmap", threads},
	    {"whose pages they are", kinds},
	    {"a child of fork begins with what it has", fork_begins_anew},
	    {"children that were waited for", children},
	    {"exec keeps what the process had", exec},
	};
	if (access("/proc/self/status", F_OK)) {
		mkdir("/proc", 0755);
		if (mount("proc", "/proc", "proc", 0, NULL))
			return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "after exec"))
		return after_exec();
	return UTEST_RUN(tests);
}
