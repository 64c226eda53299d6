#pragma once
/*
 * crew.h - kernel threads for tests that need more than kt_run_threads: made before they start, with settings
 * of their own, joined one by one.
 */
#include "arch/cpu.h"
#include "kern/thread.h"

enum { MS = 1000000, WORKERS_MAX = 16 };
#define SECONDS(n) ((n)*1000ULL * MS)

struct worker {
	struct thread thread;
	void (*fn)(struct worker *w);
	void *shared;
	unsigned i;      /* its number in the crew */
	uint64_t result; /* for fn to set */
};

struct crew {
	struct worker *w[WORKERS_MAX];
	unsigned n;
};

/* A worker that has not started and will run fn; NULL without memory. */
struct worker *worker_create(void (*fn)(struct worker *), void *shared, unsigned i);
/* It has not started, or has been joined. */
void worker_free(struct worker *w);
/* Wait for its end, free it; returns its result. */
uint64_t worker_join(struct worker *w);

/* n workers, not started. False, and none, without memory. */
bool crew_create(struct crew *c, unsigned n, void (*fn)(struct worker *), void *shared);
void crew_start(struct crew *c);
/* Join and free all; the scheduler is validated afterwards. */
void crew_join(struct crew *c);
/* All of that in one. */
bool crew_run(unsigned n, void (*fn)(struct worker *), void *shared);
/* Two workers for each CPU. */
unsigned crew_size(void);

/* The CPU that the caller is on at the moment. */
uint32_t here(void);
uint32_t last_cpu(void);
void pause_ns(nsec_t ns);
/* Poll until *flag is `value`, asleep in between; false if it takes more than 20 s. */
bool wait_for(_Atomic uint32_t *flag, uint32_t value);
