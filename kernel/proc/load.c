/*
 * load.c - load averages: every 5 seconds each average moves a little towards the number of runnable threads,
 * by 1 - e^(-5/60), 1 - e^(-5/300) and 1 - e^(-5/900) of the distance. See uptime(1), getloadavg(3).
 */
#include "proc/load.h"
#include "arch/clock.h"
#include "kern/sched.h"
#include "kern/timer.h"

#define LOAD_PERIOD 5000000000ULL /* ns */

static const uint64_t keep[3] = {1884, 2014, 2037}; /* e^(-5/60) and so on, of 2048 */
static _Atomic uint64_t averages[3];
static struct timer load_timer;

static void load_sample(UNUSED void *arg)
{
	uint64_t one = 1ULL << LOAD_SHIFT, now = (uint64_t)sched_runnable_count() << LOAD_SHIFT;
	for (unsigned i = 0; i < ARRAY_SIZE(averages); i++) {
		uint64_t old = load_relaxed(&averages[i]), sum = old * keep[i] + now * (one - keep[i]);
		if (now >= old)
			sum += one - 1; /* so that it reaches what it moves to */
		store_relaxed(&averages[i], sum >> LOAD_SHIFT);
	}
	timer_set(&load_timer, clock_now() + LOAD_PERIOD);
}

void load_init(void)
{
	timer_init(&load_timer, load_sample, NULL);
	timer_set(&load_timer, clock_now() + LOAD_PERIOD);
}

void load_averages(uint64_t out[3])
{
	for (unsigned i = 0; i < ARRAY_SIZE(averages); i++)
		out[i] = load_relaxed(&averages[i]);
}
