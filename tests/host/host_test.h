#pragma once
/*
 * host_test.h - the few lines of a host test program: TAP on standard output, checks that name file and line,
 * and the leak gate.
 *
 *	HOST_TEST(fork_isolates) { ...; CHECK(cond); CHECK_EQ(a, b); }
 *	int main(void) { return host_test_main(); }
 *
 * A failed check marks the test and goes on. Each test must leave frames, slab objects and tree nodes as it
 * found them. A panic ends the program with the name of the test that ran.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/host.h"
#include "mm/slab.h"
#include "vm_model.h"

struct host_test {
	const char *name;
	void (*fn)(void);
	struct host_test *next;
};
static struct host_test *host_tests UNUSED, **host_tests_end UNUSED = &host_tests;
static const char *host_test_running UNUSED = "";
static bool host_test_failed UNUSED;

#define HOST_TEST(test_name)                                                                                 \
	static void test_name(void);                                                                         \
	__attribute__((constructor)) static void register_##test_name(void)                                  \
	{                                                                                                    \
		static struct host_test t = {#test_name, test_name, NULL};                                   \
		*host_tests_end = &t;                                                                        \
		host_tests_end = &t.next;                                                                    \
	}                                                                                                    \
	static void test_name(void)

#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                  \
			host_test_failed = true;                                                             \
		}                                                                                            \
	} while (0)
#define CHECK_EQ(a, b)                                                                                       \
	do {                                                                                                 \
		long long a_ = (long long)(a), b_ = (long long)(b);                                          \
		if (a_ != b_) {                                                                              \
			printf("# %s:%d: %s is %lld (%#llx), expected %s, %lld (%#llx)\n", __FILE__,         \
			    __LINE__, #a, a_, a_, #b, b_, b_);                                               \
			host_test_failed = true;                                                             \
		}                                                                                            \
	} while (0)
/* For steps that a test only builds on. */
#define MUST(expr)                                                                                           \
	do {                                                                                                 \
		err_t must_ = (expr);                                                                        \
		if (must_)                                                                                   \
			panic("%s:%d: %s gave %d", __FILE__, __LINE__, #expr, must_);                        \
	} while (0)

static inline void host_test_in_panic(void)
{
	fflush(stdout);
	printf("not ok - %s (panic)\n", host_test_running);
	fflush(stdout);
}

static inline void host_test_run(const struct host_test *t, unsigned number)
{
	struct model_usage before, after;

	host_test_failed = false;
	host_test_running = t->name;
	model_usage_get(&before);
	t->fn();
	model_usage_get(&after);
	CHECK_EQ(after.frames, before.frames);
	CHECK_EQ(after.objects, before.objects);
	CHECK_EQ(after.promised, before.promised);
	CHECK_EQ(after.nodes, before.nodes);
	printf("%sok %u - %s\n", host_test_failed ? "not " : "", number, t->name);
	fflush(stdout);
}

/* Each CPU gets its allocation caches once and for good. */
static inline void host_test_warm_up(void *arg UNUSED, unsigned i UNUSED)
{
	kfree(kmalloc(64));
}

/* Run all tests, or those whose names begin with one of the arguments, on a machine that was started. */
static inline int host_test_main_started(int argc, char **argv)
{
	unsigned n = 0, failed = 0;

	host_panic_hook = host_test_in_panic;
	host_run_cpus(8, host_test_warm_up, NULL);
	for (struct host_test *t = host_tests; t; t = t->next) {
		bool wanted = argc < 2;
		for (int i = 1; i < argc; i++)
			wanted |= strncmp(t->name, argv[i], strlen(argv[i])) == 0;
		if (!wanted)
			continue;
		host_test_run(t, ++n);
		failed += host_test_failed;
	}
	printf("1..%u\n", n);
	return failed != 0;
}

static inline int host_test_main(int argc, char **argv, uint64_t nframes)
{
	host_init(nframes);
	return host_test_main_started(argc, argv);
}
