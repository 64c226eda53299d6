#pragma once
/* times.h - times of the ABI, for the calls that take and tell them. */
#include "proc/process.h"
#include "sys/sys.h"

MUST_CHECK err_t put_timespec(uaddr_t to, nsec_t time);
/* A duration or point in time; what lies beyond the clock's range is NSEC_NEVER. -EINVAL; get also -EFAULT.
 */
MUST_CHECK err_t timespec_to_time(const struct sys_timespec *ts, nsec_t *out);
MUST_CHECK err_t get_timespec(uaddr_t from, nsec_t *out);
/* Set the time of day to the monotonic time and this, and tell all who wait for one. */
void wall_set(nsec_t offset);
/* The clock was set: what was told of its error is no longer true, and nothing is left to be corrected. */
void clock_notes_clear(void);
/* Tell it as struct rusage. -EFAULT. */
MUST_CHECK err_t put_rusage(uaddr_t to, const struct usage *u);
/* struct itimerspec of the ABI. -EFAULT; get also -EINVAL. */
MUST_CHECK err_t get_itimerspec(uaddr_t from, struct timer_value *out);
MUST_CHECK err_t put_itimerspec(uaddr_t to, const struct timer_value *v);
