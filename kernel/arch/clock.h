#pragma once
/* clock.h - time as the hardware gives it. */
#include "lib/types.h"

/* Monotonic nanoseconds since boot, the same on every CPU, at the rate that clock_set_rate says; callable
 * from any context. */
nsec_t clock_now(void);
/* The same at the hardware's own rate, always. */
nsec_t clock_raw_now(void);
/* Units that a clock gains in each of the hardware's nanoseconds: 2^-CLOCK_RATE_SHIFT ns. */
enum { CLOCK_RATE_SHIFT = 48 };
/* From now on clock_now() gains so much (negative: loses), and what user space reads by itself (vdso.h) with
 * it. No clock jumps: it goes on from where it is. Less than a quarter of a nanosecond. One caller at a time,
 * of arch_vdso_update as well; interrupts disabled. */
void clock_set_rate(int64_t gain);
/* How long that many ticks of the cycle counter (cpu_cycles) take. */
nsec_t clock_cycles_to_ns(uint64_t cycles);
/* Arrange one timer interrupt on this CPU at `deadline` (monotonic), replacing the earlier one; NSEC_NEVER:
 * none. Interrupts disabled. A deadline that has passed interrupts at once. The interrupt calls
 * upcall_timer(). */
void clock_set_deadline(nsec_t deadline);
/* Busy-wait; for hardware that needs microseconds. */
void clock_delay(nsec_t ns);
