#pragma once
/*
 * inject.h - failure injection: make the n-th allocation fail. Compiled in with CONFIG_INJECT only.
 *
 * frame_alloc and slab_alloc ask inject_should_fail() once for each request that is allowed to fail. A test
 * arms n = 1, 2, ... until a whole run passes without the counter having reached 0.
 */
#include "lib/types.h"

#ifdef CONFIG_INJECT
/* Fail the n-th request from now (n >= 1), then no other; n = 0 disarms. Per thread on the host, per machine
 * in the guest. */
void inject_arm(uint64_t n);
bool inject_should_fail(void);
/* Did the armed failure happen since inject_arm? */
bool inject_fired(void);
#else
static inline void inject_arm(uint64_t n)
{
	(void)n;
}
static inline bool inject_should_fail(void)
{
	return false;
}
static inline bool inject_fired(void)
{
	return false;
}
#endif
