#pragma once
/* clock.h - time as the hardware gives it. */
#include "lib/types.h"

/* Monotonic nanoseconds since boot, the same on every CPU; callable from any context. */
nsec_t clock_now(void);
/* How long that many ticks of the cycle counter (cpu_cycles) take. */
nsec_t clock_cycles_to_ns(uint64_t cycles);
/* Arrange one timer interrupt on this CPU at `deadline` (monotonic), replacing the earlier one; NSEC_NEVER:
 * none. Interrupts disabled. A deadline that has passed interrupts at once. The interrupt calls
 * upcall_timer(). */
void clock_set_deadline(nsec_t deadline);
/* Busy-wait; for hardware that needs microseconds. */
void clock_delay(nsec_t ns);
