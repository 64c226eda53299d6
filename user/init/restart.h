#pragma once
/* restart.h - when to start again what has ended: struct restart_rule. */
#include "config.h"

/* Count in *tries, which begins with 0, that something ended after it had run for `ran` milliseconds; how
 * many milliseconds to wait. */
static inline uint32_t restart_delay(const struct restart_rule *rule, unsigned *tries, uint64_t ran)
{
	uint64_t delay = rule->first;
	if (ran >= rule->well)
		*tries = 0;
	unsigned n = (*tries)++;
	if (n == 0)
		return 0;
	while (--n && delay < rule->most)
		delay *= 2;
	return (uint32_t)(delay < rule->most ? delay : rule->most);
}
