#pragma once
/*
 * wall.h - the time of day: how far it is ahead of the monotonic clock. One 64-bit number, so nobody who
 * reads it needs a lock; a spinlock of rank RANK_CLOCK makes changes of it, and of the rate of both clocks,
 * one at a time.
 */
#include "lib/types.h"

#define NSEC_PER_SEC 1000000000ULL
enum { COARSE_TICK_NS = 4000000 }; /* what the coarse clocks advance by */

/* Nanoseconds since 1970-01-01 00:00 UTC. */
nsec_t wall_now(void);
/* Time of day when the monotonic clock was 0. */
nsec_t wall_offset(void);
/* The clock was set: from now on the offset is this. Who waits for a time of day is to be told by the caller.
 */
void wall_set_offset(nsec_t offset);
/* What international atomic time is ahead of the time of day, in seconds; 0 until somebody sets it. */
int32_t wall_tai_seconds(void);
void wall_set_tai_seconds(int32_t seconds);
/* clock_set_rate, one caller at a time. Any context, no lock of rank RANK_CLOCK or above. */
void wall_set_rate(int64_t gain);
/* Called when the offsets have changed, before the setter returns, one at a time with interrupts disabled.
 * For the page that user space reads the time from. */
extern void (*wall_changed)(void);
