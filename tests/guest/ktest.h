#pragma once
/*
 * ktest.h - tests that run inside the kernel, on real page tables and real CPUs.
 *
 * A test is a function, written KTEST(area_what) { ... }, in any tests/guest/k*.c; the linker collects them
 * (section .ktests). With `test=PATTERN` on the command line they run one after another in a kernel thread
 * after boot; PATTERN is a list of name prefixes with commas between, or `all` (but those named bench_... and
 * fatal_...). A test starts with interrupts enabled and no lock held, on any CPU, may sleep, and must leave
 * as many frames free as it found. Results are TAP on the console.
 */
#include "lib/err.h"
#include "lib/string.h"

struct ktest {
	const char *name;
	void (*fn)(void);
	unsigned seconds; /* a test that takes longer panics, which shows where every CPU was */
};

enum { KTEST_SECONDS = 120 }; /* generous: the emulator shares its host */

#define KTEST(test_name) KTEST_LONG(test_name, KTEST_SECONDS)
/* The same, with a bound of its own. */
#define KTEST_LONG(test_name, bound)                                                                         \
	static void test_name(void);                                                                         \
	static const struct ktest ktest_##test_name __attribute__((used, section(".ktests"),                 \
	    aligned(8))) = {.name = #test_name, .fn = test_name, .seconds = (bound)};                        \
	static void test_name(void)

/* A failing check prints its place and values, marks the running test failed and goes on. From any thread,
 * any context. */
#define KT_CHECK(cond) ((void)((cond) ? true : (kt_fail(__FILE__, __LINE__, #cond), false)))
#define KT_CHECK_EQ(a, b)                                                                                    \
	do {                                                                                                 \
		uint64_t kt_a = (uint64_t)(a), kt_b = (uint64_t)(b);                                         \
		if (kt_a != kt_b)                                                                            \
			kt_fail_eq(__FILE__, __LINE__, #a " == " #b, kt_a, kt_b);                            \
	} while (0)
/* The same, and leave the function (which returns nothing). */
#define KT_REQUIRE(cond)                                                                                     \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			kt_fail(__FILE__, __LINE__, #cond);                                                  \
			return;                                                                              \
		}                                                                                            \
	} while (0)

void kt_fail(const char *file, int line, const char *what);
void kt_fail_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b);
/* A line of diagnosis: "# ..." */
void kt_note(const char *fmt, ...) PRINTF(1, 2);
/* Mark the running test skipped, with the reason; the test then returns. */
void kt_skip(const char *why);

/* Run fn(arg, i) in n kernel threads, thread i on the i-th online CPU (modulo their number), and wait for
 * all. False, and nothing ran, without memory. */
bool kt_run_threads(unsigned n, void (*fn)(void *arg, unsigned i), void *arg);
/* Free frames after every CPU has given back what it keeps at hand; the kernel's own page tables, which stay,
 * are counted as free. */
uint64_t kt_free_frames(void);
/* Pseudo-random numbers; the same seed gives the same ones. */
uint64_t kt_random(uint64_t *state);

/* Run what the pattern selects, print the results, and end the machine: clean if all passed. Called in a
 * kernel thread, once, when everything is up. */
NORETURN void ktest_main(const char *pattern);
/* Run what the pattern selects and print TAP without ending the machine; the number of failed tests. For
 * init, which has user programs to run as well. */
unsigned ktest_run(const char *pattern);
