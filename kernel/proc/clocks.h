#pragma once
/*
 * clocks.h - the clocks that user space names by number: real time, and the CPU time of processes and
 * threads.
 *
 * Numbers: those of the ABI; negative ones encode whose CPU time and which part of it.
 */
#include "lib/err.h"
#include "lib/types.h"

enum clock_number {
	CLOCK_REALTIME = 0,
	CLOCK_MONOTONIC = 1,
	CLOCK_PROCESS_CPUTIME_ID = 2,
	CLOCK_THREAD_CPUTIME_ID = 3,
	CLOCK_MONOTONIC_RAW = 4,
	CLOCK_REALTIME_COARSE = 5,
	CLOCK_MONOTONIC_COARSE = 6,
	CLOCK_BOOTTIME = 7,
	CLOCK_TAI = 11,
};

enum clock_kind { CLOCK_KIND_MONOTONIC, CLOCK_KIND_REALTIME, CLOCK_KIND_TAI, CLOCK_KIND_CPU };
enum cpu_clock_part {
	CPU_CLOCK_ALL,
	CPU_CLOCK_USER,
	CPU_CLOCK_EXACT
}; /* EXACT is ALL, by another name of the ABI */

struct user_clock {
	enum clock_kind kind;
	bool coarse;      /* advances by COARSE_TICK_NS */
	bool raw;         /* at the hardware's rate */
	bool cannot_wait; /* nobody can sleep by it */
	/* CPU time */
	enum cpu_clock_part part;
	bool of_thread;
	bool of_caller; /* the number did not say whose */
	uint32_t id;    /* process or thread */
};

/* The clock with this number, as the current thread means it. -EINVAL: there is none, or none that it may
 * look at. */
MUST_CHECK err_t clock_find(int32_t number, struct user_clock *out);
/* Its time. -EINVAL: process or thread are gone. The form with _locked: process tree locked. */
MUST_CHECK err_t clock_read(const struct user_clock *c, nsec_t *out);
MUST_CHECK err_t clock_read_locked(const struct user_clock *c, nsec_t *out);
/* The monotonic time when it is worth looking whether c, which is now at `now`, has reached `time`: exact for
 * real time, an estimate for CPU time. The same locks. */
nsec_t clock_look_at(const struct user_clock *c, nsec_t now, nsec_t time);
nsec_t clock_look_at_locked(const struct user_clock *c, nsec_t now, nsec_t time);
/* A CPU clock of the process itself. */
struct user_clock clock_of_process(uint32_t pid, enum cpu_clock_part part);

static inline nsec_t time_add(nsec_t a, nsec_t b) /* saturating */
{
	return a > NSEC_NEVER - b ? NSEC_NEVER : a + b;
}
