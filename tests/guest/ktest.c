/*
 * ktest.c - the runner of the tests inside the kernel: selection, TAP, the leak check and the bound in time.
 *
 * The leak check compares the free frames before and after a test, after every CPU has given its caches back.
 * What is freed late (a stack that a CPU has just left) gets a moment to arrive. Tables of the kernel half
 * stay once made, by design; they are left out of the account.
 */
#include "ktest.h"
#include "arch/bootinfo.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "kern/timer.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "vm/fault.h"

extern const struct ktest ktests_start[], ktests_end[];

enum {
	KT_THREADS_MAX = 64,
	KT_LATE_FREES = 50,           /* looks at the free count, one every KT_LATE_PAUSE */
	KT_LATE_PAUSE = 20 * 1000000, /* ns */
};

static struct {
	const struct ktest *test;  /* the running one */
	_Atomic uint32_t failures; /* checks that failed in it */
	const char *_Atomic skipped;
} kt;

/* Results are log records, so that lines of several CPUs never mix; the host knows them by the name before
 * the colon. */
#define kt_print(...) log_print(LOG_NOTICE, "ktest", __VA_ARGS__)

void kt_fail(const char *file, int line, const char *what)
{
	fetch_add_relaxed(&kt.failures, 1);
	kt_print("# %s:%d: failed: %s", file, line, what);
}

void kt_fail_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
	fetch_add_relaxed(&kt.failures, 1);
	kt_print("# %s:%d: failed: %s: %llu (0x%llx) and %llu (0x%llx)", file, line, what,
	    (unsigned long long)a, (unsigned long long)a, (unsigned long long)b, (unsigned long long)b);
}

void kt_note(const char *fmt, ...)
{
	char text[200];
	va_list args;
	va_start(args, fmt);
	format_va(text, sizeof(text), fmt, args);
	va_end(args);
	kt_print("# %s", text);
}

void kt_skip(const char *why)
{
	atomic_store_explicit(&kt.skipped, why, memory_order_relaxed);
}

uint64_t kt_random(uint64_t *state)
{
	/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) */
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* The n-th online CPU, modulo their number. */
static uint32_t nth_cpu(unsigned n)
{
	uint64_t online = cpus_online();
	n %= cpus_count();
	for (uint32_t cpu = 0;; cpu++)
		if ((online >> cpu & 1) && n-- == 0)
			return cpu;
}

uint64_t kt_free_frames(void)
{
	kva_shrink();
	frame_drain_all();
	slab_shrink_all();
	frame_drain_all();
	return frame_free_count() + mmu_table_count(&kernel_mmu);
}

struct kt_worker {
	struct thread thread;
	void (*fn)(void *arg, unsigned i);
	void *arg;
	unsigned i;
};

static void kt_worker_main(void *arg)
{
	struct kt_worker *w = arg;
	w->fn(w->arg, w->i);
}

/* Give every worker its stack; false and nothing allocated without memory. */
static bool workers_init(struct kt_worker *w, unsigned n, void (*fn)(void *, unsigned), void *arg)
{
	for (unsigned i = 0; i < n; i++) {
		vaddr_t stack = kva_alloc_stack();
		if (!stack) {
			while (i--)
				kva_free_stack(w[i].thread.stack);
			return false;
		}
		w[i].fn = fn;
		w[i].arg = arg;
		w[i].i = i;
		thread_init(&w[i].thread, "ktest", stack, KSTACK_PAGES * PAGE_SIZE, kt_worker_main, &w[i]);
		thread_set_affinity(&w[i].thread, 1ULL << nth_cpu(i));
	}
	return true;
}

bool kt_run_threads(unsigned n, void (*fn)(void *arg, unsigned i), void *arg)
{
	ASSERT(n <= KT_THREADS_MAX);
	struct kt_worker *w = kcalloc(n, sizeof(*w));
	if (!w)
		return false;
	if (!workers_init(w, n, fn, arg)) {
		kfree(w);
		return false;
	}
	for (unsigned i = 0; i < n; i++)
		thread_start(&w[i].thread);
	for (unsigned i = 0; i < n; i++) {
		thread_join(&w[i].thread);
		kva_free_stack(w[i].thread.stack);
	}
	kfree(w);
	return true;
}

/* Does the list of prefixes (commas between; "all" but measurements and what ends in a panic) select the
 * name? */
static bool selects(const char *pattern, const char *name)
{
	if (strcmp(pattern, "all") == 0)
		return strncmp(name, "bench_", 6) != 0 && strncmp(name, "fatal_", 6) != 0;
	for (const char *p = pattern; *p;) {
		const char *comma = strchr(p, ',');
		size_t n = comma ? (size_t)(comma - p) : strlen(p);
		if (n && strncmp(p, name, n) == 0)
			return true;
		p += n + (comma != NULL);
	}
	return false;
}

static void kt_late(void *arg)
{
	const struct ktest *t = arg;
	panic("test %s is not done after %u s", t->name, t->seconds);
}

/* Frames that are missing against `before`, once late frees have had their time. */
static int64_t frames_missing(uint64_t before)
{
	int64_t missing = 0;
	for (int i = 0; i < KT_LATE_FREES; i++) {
		missing = (int64_t)(before - kt_free_frames());
		if (missing == 0 || thread_sleep_until(clock_now() + KT_LATE_PAUSE))
			break;
	}
	return missing;
}

/* Run one test; true if it passed. */
static bool run_one(const struct ktest *t, unsigned number)
{
	struct timer bound;
	kt.test = t;
	store_relaxed(&kt.failures, 0);
	kt_skip(NULL);
	kt_print("# run %s", t->name);
	timer_init(&bound, kt_late, (void *)t);
	uint64_t before = kt_free_frames();
	nsec_t start = clock_now();
	timer_set(&bound, start + t->seconds * 1000000000ULL);
	t->fn();
	timer_cancel(&bound);
	uint64_t ms = (clock_now() - start) / 1000000;
	int64_t missing = frames_missing(before);
	if (missing) {
		fetch_add_relaxed(&kt.failures, 1);
		kt_print("# %lld frames did not come back", (long long)missing);
	}
	bool passed = load_relaxed(&kt.failures) == 0;
	const char *why = load_relaxed(&kt.skipped);
	kt_print(
	    "%sok %u - %s%s%s", passed ? "" : "not ", number, t->name, why ? " # SKIP " : "", why ? why : "");
	kt_note("%s took %llu ms", t->name, (unsigned long long)ms);
	return passed;
}

/* What boot and programs have left in caches goes, so that no test that fills all memory gets it instead.
 * What is in use is looked at twice before it goes. */
static void empty_caches(void)
{
	for (unsigned in_vain = 0; in_vain < 4;)
		in_vain = vm_reclaim(frame_total_count()) ? 0 : in_vain + 1;
}

unsigned ktest_run(const char *pattern)
{
	unsigned n = 0, number = 0, failed = 0;
	empty_caches();
	for (const struct ktest *t = ktests_start; t < ktests_end; t++)
		n += selects(pattern, t->name);
	kt_print("1..%u", n);
	for (const struct ktest *t = ktests_start; t < ktests_end; t++)
		if (selects(pattern, t->name))
			failed += !run_one(t, ++number);
	return failed;
}

NORETURN void ktest_main(const char *pattern)
{
	machine_halt(ktest_run(pattern) == 0);
}
