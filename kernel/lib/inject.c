/* inject.c - the counter behind failure injection (see inject.h). */
#include "lib/atomic.h"
#include "lib/inject.h"

#ifdef CONFIG_INJECT
#ifdef CONFIG_HOST
#define PER_INJECTION static _Thread_local
#else
#define PER_INJECTION static
#endif

PER_INJECTION _Atomic uint64_t countdown; /* requests until the failure, itself included; 0: disarmed */
PER_INJECTION _Atomic bool fired;

void inject_arm(uint64_t n)
{
	store_relaxed(&fired, false);
	store_relaxed(&countdown, n);
}

bool inject_should_fail(void)
{
	uint64_t left = load_relaxed(&countdown);

	/* Several CPUs may count at the same time: exactly one of them takes the step from 1 to 0. */
	while (left != 0) {
		if (!cas_acquire(&countdown, &left, left - 1))
			continue;
		if (left == 1)
			store_relaxed(&fired, true);
		return left == 1;
	}
	return false;
}

bool inject_fired(void)
{
	return load_relaxed(&fired);
}
#endif
