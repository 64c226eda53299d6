/*
 * uhuge.c - translations of 2 MiB: memory that is filled in order gets them, whatever changes a part of them
 * is seen to change that part only, and what tells of them is true. The same binary passes on Linux.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "utap.h"
#include "utext.h"

enum {
	PAGE = 4096,
	STRETCH = 512,
	HUGE = STRETCH * PAGE,
	STRETCHES = 4,
	PAGES = STRETCHES * STRETCH,
	THREADS = 4
};
#define LEN ((size_t)STRETCHES * HUGE)
#define RW  (PROT_READ | PROT_WRITE)

static char *room, *memory; /* room for all, and the aligned part of it */
static bool possible;

/* Memory that nobody has touched, in the same place as before. */
static bool fresh(int advice)
{
	return mmap(memory, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory &&
	       madvise(memory, LEN, advice) == 0;
}

static void put(char *p, int page, uint64_t value)
{
	((uint64_t *)(void *)(p + (size_t)page * PAGE))[page % 500] = value;
}

static uint64_t get(const char *p, int page)
{
	return ((const uint64_t *)(const void *)(p + (size_t)page * PAGE))[page % 500];
}

static void fill(uint64_t first)
{
	for (int i = 0; i < PAGES; i++)
		put(memory, i, first + (uint64_t)i);
}

/* Have pages [from, to) what fill(first) gave them? */
static bool holds(int from, int to, uint64_t first)
{
	for (int i = from; i < to; i++)
		if (get(memory, i) != first + (uint64_t)i)
			return false;
	return true;
}

/* Sum of a line of smaps over all windows in [memory, memory + LEN), in KiB. */
static long sum_of(const char *name)
{
	unsigned long start, end, low = (unsigned long)memory, sum = 0;
	bool ours = false;
	char *s = slurp("/proc/self/smaps");
	size_t n = strlen(name);
	for (; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL) {
		if (sscanf(s, "%lx-%lx ", &start, &end) == 2)
			ours = start >= low && end <= low + LEN;
		else if (ours && !strncmp(s, name, n))
			sum += strtoul(s + n, NULL, 10);
	}
	return s ? (long)sum : -1;
}

/* How many stretches are translated as one? */
static long large(void)
{
	return sum_of("AnonHugePages:") / (HUGE / 1024);
}

/* Are there so many? A Linux that is set to make none makes none. */
static bool have_large(long n)
{
	return large() == (possible ? n : 0);
}

static bool start_large(void)
{
	CHECK(fresh(MADV_HUGEPAGE));
	fill(1);
	CHECK(have_large(STRETCHES));
	return true;
}

static bool in_order(void)
{
	unsigned char there[PAGES];
	uint64_t maps[STRETCH];
	CHECK(start_large() && holds(0, PAGES, 1));
	CHECK(sum_of("Rss:") == LEN / 1024 && sum_of("THPeligible:") == possible);
	CHECK(mincore(memory, LEN, there) == 0);
	for (int i = 0; i < PAGES; i++)
		CHECK(there[i] & 1);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	CHECK(
	    fd >= 0 && pread(fd, maps, sizeof(maps), (off_t)((uintptr_t)memory / PAGE * 8)) == sizeof(maps));
	for (int i = 0; i < STRETCH; i++)
		CHECK(maps[i] >> 63);
	close(fd);
	return true;
}

static bool advised_against(void)
{
	CHECK(fresh(MADV_NOHUGEPAGE));
	fill(1);
	CHECK(large() == 0 && sum_of("THPeligible:") == 0 && holds(0, PAGES, 1));
	return true;
}

static bool has_flag(const char *flag)
{
	char line[16];
	unsigned long start, end;
	bool ours = false;
	snprintf(line, sizeof(line), " %s ", flag);
	for (char *s = slurp("/proc/self/smaps"); s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL) {
		if (sscanf(s, "%lx-%lx ", &start, &end) == 2)
			ours = start == (unsigned long)memory;
		char *stop = strchr(s, '\n'),
		     *at = ours && !strncmp(s, "VmFlags:", 8) ? strstr(s, line) : NULL;
		if (at && at < stop)
			return true;
	}
	return false;
}

static bool flags_are_told(void)
{
	CHECK(fresh(MADV_HUGEPAGE) && has_flag("hg") && !has_flag("nh"));
	CHECK(madvise(memory, LEN, MADV_NOHUGEPAGE) == 0 && has_flag("nh") && !has_flag("hg"));
	CHECK(madvise(memory, LEN, MADV_HUGEPAGE) == 0 && has_flag("hg") && !has_flag("nh"));
	return true;
}

/* --- what changes a part --- */

static bool protected_in_part(void)
{
	CHECK(start_large());
	CHECK(mprotect(memory + 5 * PAGE, 2 * PAGE, PROT_READ) == 0);
	CHECK(have_large(STRETCHES - 1) && holds(0, PAGES, 1));
	CHECK(FAILS_WITH(read(open("/dev/zero", O_RDONLY), memory + 5 * PAGE, 8), EFAULT));
	put(memory, 4, 5);
	put(memory, 7, 8);
	CHECK(mprotect(memory + 5 * PAGE, 2 * PAGE, RW) == 0);
	fill(7);
	CHECK(holds(0, PAGES, 7));
	return true;
}

static bool protected_as_a_whole(void)
{
	CHECK(start_large());
	CHECK(mprotect(memory, LEN, PROT_READ) == 0 && have_large(STRETCHES) && holds(0, PAGES, 1));
	CHECK(FAILS_WITH(read(open("/dev/zero", O_RDONLY), memory, 8), EFAULT));
	CHECK(mprotect(memory, LEN, RW) == 0);
	fill(3);
	CHECK(have_large(STRETCHES) && holds(0, PAGES, 3));
	return true;
}

static bool unmapped_in_part(void)
{
	CHECK(start_large());
	CHECK(munmap(memory + HUGE + 9 * PAGE, PAGE) == 0);
	CHECK(have_large(STRETCHES - 1));
	CHECK(holds(0, STRETCH + 9, 1) && holds(STRETCH + 10, PAGES, 1));
	CHECK(FAILS_WITH(madvise(memory + HUGE + 9 * PAGE, PAGE, MADV_NORMAL), ENOMEM));
	return true;
}

static bool discarded_in_part(void)
{
	CHECK(start_large());
	CHECK(madvise(memory + HUGE - PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
	CHECK(have_large(STRETCHES - 2) && sum_of("Rss:") == LEN / 1024 - 8);
	CHECK(get(memory, STRETCH - 1) == 0 && get(memory, STRETCH) == 0);
	CHECK(holds(0, STRETCH - 1, 1) && holds(STRETCH + 1, PAGES, 1));
	return true;
}

static bool moved_in_part(void)
{
	CHECK(start_large());
	char *to = mremap(memory + 3 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	CHECK(to == room && have_large(STRETCHES - 1));
	CHECK(((uint64_t *)(void *)to)[3] == 4 && ((uint64_t *)(void *)(to + PAGE))[4] == 5);
	CHECK(holds(0, 3, 1) && holds(5, PAGES, 1));
	return true;
}

/* Whoever debugs reads and writes it page by page. */
static bool through_proc_mem(void)
{
	uint64_t value = 0, other = 4321;
	CHECK(start_large());
	int fd = open("/proc/self/mem", O_RDWR);
	off_t at = (off_t)(uintptr_t)memory + 300 * PAGE + 300 * 8;
	CHECK(fd >= 0 && pread(fd, &value, 8, at) == 8 && value == 301);
	CHECK(pwrite(fd, &other, 8, at) == 8 && get(memory, 300) == 4321);
	CHECK(have_large(STRETCHES));
	close(fd);
	return true;
}

/* --- fork --- */

static int child_looks(void *arg)
{
	(void)arg;
	UCHECK(holds(0, PAGES, 1));
	put(memory, 700, 70);
	UCHECK(holds(0, 700, 1) && get(memory, 700) == 70 && holds(701, PAGES, 1));
	return 0;
}

static bool a_child_has_its_own(void)
{
	CHECK(start_large());
	CHECK(child_exits(child_looks, NULL, 0));
	CHECK(holds(0, PAGES, 1));
	fill(5);
	CHECK(holds(0, PAGES, 5));
	return true;
}

static int ends[2];

/* Waits until its parent has written. */
static int child_keeps(void *arg)
{
	char byte;
	(void)arg;
	close(ends[1]);
	UCHECK(read(ends[0], &byte, 1) == 0);
	UCHECK(holds(0, PAGES, 1));
	return 0;
}

static bool a_parent_has_its_own(void)
{
	int status;
	CHECK(start_large() && pipe(ends) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child_keeps(NULL));
	CHECK(pid > 0);
	for (int i = 0; i < PAGES; i += 3)
		put(memory, i, 99);
	close(ends[0]);
	close(ends[1]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (int i = 0; i < PAGES; i++)
		CHECK(get(memory, i) == (i % 3 ? 1 + (uint64_t)i : 99));
	return true;
}

/* After the child one fault for each stretch makes all of it writable. */
static bool comes_back_after_the_child(void)
{
	CHECK(start_large());
	CHECK(child_exits(child_looks, NULL, 0));
	fill(9);
	CHECK(have_large(STRETCHES) && holds(0, PAGES, 9));
	return true;
}

/* --- threads --- */

static _Atomic bool failed;

static int child_writes(void *arg)
{
	(void)arg;
	for (int i = 0; i < PAGES; i += 5)
		memory[(size_t)i * PAGE + PAGE - 1] = 1;
	for (int i = 0; i < PAGES; i++)
		UCHECK(memory[(size_t)i * PAGE + PAGE - 1] == (i % 5 == 0));
	return 0;
}

/* Each has every fourth word of a page, and now and then changes something about all. */
static void *work(void *arg)
{
	long me = (long)arg;
	for (int round = 1; round <= 6; round++) {
		for (int i = 0; i < PAGES; i++) {
			volatile uint64_t *word = (uint64_t *)(void *)(memory + (size_t)i * PAGE) + me;
			if (*word != (uint64_t)round - 1)
				failed = true;
			*word = (uint64_t)round;
			if (i % 97 == me)
				mprotect(memory + (size_t)((i * 31 + round) % PAGES) * PAGE, PAGE,
				    i & 1 ? RW : RW | PROT_EXEC);
		}
		if (me == 0 && !child_exits(child_writes, NULL, 0))
			failed = true;
	}
	return NULL;
}

static bool threads_do_not_disturb_one_another(void)
{
	pthread_t t[THREADS];
	CHECK(fresh(MADV_HUGEPAGE));
	failed = false;
	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, work, (void *)i) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK(!failed);
	return true;
}

/* --- settings --- */

static int disabled_child(void *arg)
{
	(void)arg;
	UCHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
	UCHECK(fresh(MADV_HUGEPAGE));
	fill(1);
	UCHECK(large() == 0 && holds(0, PAGES, 1));
	execl("/proc/self/exe", "uhuge", "is-disabled", (char *)NULL);
	return 1;
}

static int disables(void *arg)
{
	(void)arg;
	UCHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
	return child_exits(disabled_child, NULL, 42) ? 0 : 1;
}

static bool a_process_without(void)
{
	CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
	CHECK(FAILS_WITH(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL));
	CHECK(FAILS_WITH(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL));
	CHECK(child_exits(disables, NULL, 0));
	CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
	CHECK(slurp("/proc/self/status") && strstr(text, "\nTHP_enabled:\t1\n"));
	return true;
}

static bool counts_are_told(void)
{
	CHECK(slurp("/proc/vmstat") && strstr(text, "\nthp_split_pmd ") &&
	      strstr(text, "\nthp_collapse_alloc "));
	CHECK(slurp("/proc/vmstat") && strstr(text, "\nnr_anon_transparent_hugepages "));
	CHECK(start_large());
	char *line = slurp("/proc/meminfo") ? strstr(text, "\nAnonHugePages:") : NULL;
	CHECK(line && (!possible || strtol(line + 16, NULL, 10) >= (long)(LEN / 1024)));
	CHECK(slurp("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") && !strcmp(text, "2097152\n"));
	return true;
}

static bool set_mode(const char *word)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY | O_TRUNC);
	bool done = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);
	close(fd);
	return done;
}

/* Not on a machine that has others to serve. */
static bool the_mode_is_set(void)
{
	const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";
	CHECK(slurp(path) && strchr(text, '[') && strchr(text, ']'));
	if (access("/proc/mm", F_OK))
		return true;
	CHECK(!strcmp(text, "[always] madvise never\n"));
	CHECK(set_mode("never\n") && slurp(path) && !strcmp(text, "always madvise [never]\n"));
	CHECK(fresh(MADV_HUGEPAGE));
	fill(1);
	CHECK(large() == 0);
	CHECK(set_mode("madvise") && slurp(path) && !strcmp(text, "always [madvise] never\n"));
	CHECK(!set_mode("maybe") && errno == EINVAL && start_large());
	CHECK(set_mode("always") && slurp(path) && !strcmp(text, "[always] madvise never\n"));
	return true;
}

static const struct utest tests[] = {
    {"what is filled in order becomes large", in_order},
    {"advice against it", advised_against},
    {"advice is told", flags_are_told},
    {"a part is protected", protected_in_part},
    {"all is protected", protected_as_a_whole},
    {"a part is unmapped", unmapped_in_part},
    {"a part is discarded", discarded_in_part},
    {"a part moves", moved_in_part},
    {"/proc/PID/mem", through_proc_mem},
    {"a child writes", a_child_has_its_own},
    {"a parent writes", a_parent_has_its_own},
    {"after the child it is large again", comes_back_after_the_child},
    {"threads fill, protect and fork", threads_do_not_disturb_one_another},
    {"a process that wants none", a_process_without},
    {"counts", counts_are_told},
    {"the mode", the_mode_is_set},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "is-disabled"))
		return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1 ? 42 : 1;
	room = mmap(NULL, LEN + 2 * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED || !utest_proc() || !utest_sys())
		return 1;
	possible = slurp("/sys/kernel/mm/transparent_hugepage/enabled") && !strstr(text, "[never]");
	memory = (char *)(((uintptr_t)room + 2 * HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	return UTEST_RUN(tests);
}
