/*
 * test_model.c - the virtual memory against the naive model.
 *
 *	test_model			fixed seeds, every step checked in sanitizer builds
 *	test_model SEED STEPS [EVERY]	one run; a full check every EVERY steps (0: at the end only)
 *	test_model -v ...		the same, keeping a log of operations that a failure prints
 *
 * Runs alternate between small and large windows, window bases at the edges of the address space and of
 * tables, and with and without injected failures, all chosen by the seed.
 */
#include <time.h>

#include "host_test.h"

static uint64_t run_seed, run_steps, large_seen;

static void print_seed(void)
{
	printf("# replay: test_model -v %llu %llu 1\n", (unsigned long long)run_seed,
	    (unsigned long long)run_steps);
	fflush(stdout);
	model_print_log();
}

static struct model_options options_of(uint64_t seed)
{
	static const uint64_t bases[] = {GIB(1) - 96 * PAGE_SIZE, USER_START, GIB(512) - 160 * PAGE_SIZE,
	    MIB(2), GIB(5) - 600 * PAGE_SIZE};
	struct model_options opt = {
	    .base = bases[seed % ARRAY_SIZE(bases)], .npages = seed / 5 % 3 == 2 ? 1300 : 170};

	if (seed / 15 % 3 == 2)
		opt.base = USER_END - opt.npages * PAGE_SIZE;
	else if (opt.npages > 1200) /* what is touched most lies in such a range */
		opt.base = (seed % 2 ? GIB(1) + MIB(2) : GIB(1)) - 532 * PAGE_SIZE;
	if (seed % 4 == 3) {
		opt.no_volatile = true;
		opt.inject = 3;
	}
	return opt;
}

static void run(uint64_t seed, uint64_t steps, uint64_t every)
{
	static struct vm_model m;
	struct model_options opt = options_of(seed);
	struct model_usage before, after;

	run_seed = seed;
	run_steps = steps;
	model_usage_get(&before);
	model_init(&m, &opt, (struct model_source){.state = seed});
	for (uint64_t i = 0; i < steps; i++) {
		model_step(&m);
		if (every && i % every == 0)
			model_check(&m);
		if (every && i % (every * 256) == 0)
			model_check_contents(&m);
	}
	model_check_contents(&m);
	model_check(&m);
	model_fini(&m);
	model_usage_get(&after);
	large_seen += m.large;
	printf(
	    "# seed %llu: %llu steps, %llu forks, %llu accesses, %llu frames purged, %llu failures injected\n",
	    (unsigned long long)seed, (unsigned long long)steps, (unsigned long long)m.forks,
	    (unsigned long long)m.faults_checked, (unsigned long long)m.purged_frames,
	    (unsigned long long)m.injected);
	if (after.frames != before.frames || after.objects != before.objects || after.nodes != before.nodes)
		panic("leak: frames %lld objects %lld nodes %lld", (long long)(before.frames - after.frames),
		    (long long)(after.objects - before.objects), (long long)(after.nodes - before.nodes));
}

static void timed_run(uint64_t seed, uint64_t steps, uint64_t every)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	run(seed, steps, every);
	clock_gettime(CLOCK_MONOTONIC, &b);
	double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("# %.0f steps/s\n", (double)steps / seconds);
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	if (argc > 1 && strcmp(argv[1], "-v") == 0) {
		model_verbose = true;
		argc--, argv++;
	}
	host_init(1 << 16);
	host_panic_hook = print_seed;
	run(1000, 2000, 0); /* caches that never shrink are filled once */
	if (argc > 2) {
		timed_run(strtoull(argv[1], NULL, 0), strtoull(argv[2], NULL, 0),
		    argc > 3 ? strtoull(argv[3], NULL, 0) : 0);
		printf("1..1\nok 1 - seed %s\n", argv[1]);
		return 0;
	}
	for (uint64_t seed = 1; seed <= 20; seed++) {
		run(seed, 2000, 1);
		printf("ok %u - model, seed %llu\n", ++n, (unsigned long long)seed);
	}
	for (uint64_t seed = 100; seed < 120; seed++) {
		run(seed, 50000, 4999);
		printf("ok %u - model, seed %llu, long\n", ++n, (unsigned long long)seed);
	}
	if (!large_seen)
		panic("no translation of 2 MiB was ever made");
	printf("ok %u - %llu translations of 2 MiB\n", ++n, (unsigned long long)large_seen);
	printf("1..%u\n", n);
	return 0;
}
