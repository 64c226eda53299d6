/* linux_time.c - the clock calls of the Linux ABI. */
#include "arch/clock.h"
#include "dev/rtc.h"
#include "kern/thread.h"
#include "proc/process.h"
#include "sys/sys.h"

enum clock_id {
	CLOCK_REALTIME = 0,
	CLOCK_MONOTONIC = 1,
	CLOCK_PROCESS_CPUTIME_ID = 2,
	CLOCK_THREAD_CPUTIME_ID = 3,
	CLOCK_MONOTONIC_RAW = 4,
	CLOCK_REALTIME_COARSE = 5,
	CLOCK_MONOTONIC_COARSE = 6,
	CLOCK_BOOTTIME = 7,
};

enum { TIMER_ABSTIME = 1 };
#define NSEC_PER_SEC 1000000000ULL

/* The time of a clock. -EINVAL: there is no such clock. */
static err_t clock_read(int32_t clock, nsec_t *out)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		*out = rtc_boot_time() + clock_now();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
		*out = clock_now();
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		*out = process_cpu_time(current_process());
		return 0;
	case CLOCK_THREAD_CPUTIME_ID:
		*out = current_cpu_time();
		return 0;
	default:
		return -EINVAL;
	}
}

static err_t put_timespec(uaddr_t to, nsec_t time)
{
	struct sys_timespec ts = {(int64_t)(time / NSEC_PER_SEC), (int64_t)(time % NSEC_PER_SEC)};
	return copy_to_user(to, &ts, sizeof(ts));
}

/* A duration or point in time; what lies beyond the clock's range never comes. */
static err_t get_timespec(uaddr_t from, nsec_t *out)
{
	struct sys_timespec ts;
	err_t err = copy_from_user(&ts, from, sizeof(ts));
	if (err)
		return err;
	if (ts.sec < 0 || ts.nsec < 0 || (uint64_t)ts.nsec >= NSEC_PER_SEC)
		return -EINVAL;
	bool beyond = (uint64_t)ts.sec > INT64_MAX / NSEC_PER_SEC - 1;
	*out = beyond ? NSEC_NEVER : (uint64_t)ts.sec * NSEC_PER_SEC + (uint64_t)ts.nsec;
	return 0;
}

int64_t sys_clock_gettime(int32_t clock, uaddr_t time)
{
	nsec_t now;
	err_t err = clock_read(clock, &now);
	return err ? err : put_timespec(time, now);
}

int64_t sys_clock_getres(int32_t clock, uaddr_t resolution)
{
	nsec_t now;
	err_t err = clock_read(clock, &now);
	return err || !resolution ? err : put_timespec(resolution, 1);
}

/* A relative sleep until the monotonic time `deadline`. If that is cut short, tell what is left of it, and leave word for restart_syscall. */
static int64_t sleep_relative(nsec_t deadline, uaddr_t remain)
{
	struct thread_signals *t = &current_user_thread()->signals;
	err_t err = thread_sleep_until(deadline);
	if (err != -EINTR)
		return err;
	if (remain) {
		nsec_t now = clock_now();
		err_t fault = put_timespec(remain, deadline > now ? deadline - now : 0);
		if (fault)
			return fault;
	}
	t->restart_deadline = deadline;
	t->restart_remain = remain;
	t->restart_valid = true;
	return -ERESTARTBLOCK;
}

/* Only relative sleeps are gone on with; user code that makes this call by itself is told that it was interrupted. */
int64_t sys_restart_syscall(void)
{
	struct thread_signals *t = &current_user_thread()->signals;
	if (!t->restart_valid)
		return -EINTR;
	t->restart_valid = false;
	return sleep_relative(t->restart_deadline, t->restart_remain);
}

static nsec_t add_saturating(nsec_t a, nsec_t b)
{
	return a > NSEC_NEVER - b ? NSEC_NEVER : a + b;
}

int64_t sys_nanosleep(uaddr_t request, uaddr_t remain)
{
	nsec_t duration;
	err_t err = get_timespec(request, &duration);
	return err ? err : sleep_relative(add_saturating(clock_now(), duration), remain);
}

int64_t sys_clock_nanosleep(int32_t clock, int32_t flags, uaddr_t request, uaddr_t remain)
{
	nsec_t now, time;
	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	err_t err = clock_read(clock, &now);
	if (err)
		return err;
	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
		return -ENOTSUP;
	err = get_timespec(request, &time);
	if (err)
		return err;
	if (!(flags & TIMER_ABSTIME))
		return sleep_relative(add_saturating(clock_now(), time), remain);
	/* A point in time of `clock`, as one of the monotonic clock. */
	nsec_t mono = clock_now();
	if (time <= now)
		return 0;
	err = thread_sleep_until(add_saturating(mono, time - now));
	return err == -EINTR ? -ERESTARTNOHAND : err;
}
