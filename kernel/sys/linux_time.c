/* linux_time.c - the clock calls of the Linux ABI: reading, setting, sleeping, and what was used of the CPU.
 */
#include "arch/clock.h"
#include "dev/block.h"
#include "fs/timerfd.h"
#include "kern/thread.h"
#include "kern/wall.h"
#include "proc/clocks.h"
#include "proc/cred.h"
#include "proc/futex.h"
#include "sys/sys.h"
#include "sys/times.h"

enum { TIMER_ABSTIME = 1, USEC_PER_SEC = 1000000, NSEC_PER_USEC = 1000 };
#define SETTABLE_MAX                                                                                         \
	(INT64_MAX / NSEC_PER_SEC -                                                                          \
	    30ULL * 365 * 24 * 3600) /* seconds: leaves 30 years to run, as on Linux */

/* --- times as structures --- */

err_t put_timespec(uaddr_t to, nsec_t time)
{
	struct sys_timespec ts = {(int64_t)(time / NSEC_PER_SEC), (int64_t)(time % NSEC_PER_SEC)};
	return copy_to_user(to, &ts, sizeof(ts));
}

err_t timespec_to_time(const struct sys_timespec *ts, nsec_t *out)
{
	if (ts->sec < 0 || (uint64_t)ts->nsec >= NSEC_PER_SEC)
		return -EINVAL;
	bool beyond = (uint64_t)ts->sec > INT64_MAX / NSEC_PER_SEC - 1;
	*out = beyond ? NSEC_NEVER : (uint64_t)ts->sec * NSEC_PER_SEC + (uint64_t)ts->nsec;
	return 0;
}

err_t get_timespec(uaddr_t from, nsec_t *out)
{
	struct sys_timespec ts;
	err_t err = copy_from_user(&ts, from, sizeof(ts));
	return err ? err : timespec_to_time(&ts, out);
}

struct sys_itimerspec {
	struct sys_timespec interval, value;
};

err_t get_itimerspec(uaddr_t from, struct timer_value *out)
{
	struct sys_itimerspec it;
	if (copy_from_user(&it, from, sizeof(it)))
		return -EFAULT;
	err_t err = timespec_to_time(&it.interval, &out->interval);
	return err ? err : timespec_to_time(&it.value, &out->left);
}

err_t put_itimerspec(uaddr_t to, const struct timer_value *v)
{
	struct sys_itimerspec it = {
	    {(int64_t)(v->interval / NSEC_PER_SEC), (int64_t)(v->interval % NSEC_PER_SEC)},
	    {(int64_t)(v->left / NSEC_PER_SEC), (int64_t)(v->left % NSEC_PER_SEC)}};
	return copy_to_user(to, &it, sizeof(it));
}

/* --- reading and setting --- */

int64_t sys_clock_gettime(int32_t number, uaddr_t time)
{
	struct user_clock c;
	nsec_t now;
	err_t err = clock_find(number, &c);
	if (!err)
		err = clock_read(&c, &now);
	return err ? err : put_timespec(time, now);
}

int64_t sys_clock_getres(int32_t number, uaddr_t resolution)
{
	struct user_clock c;
	err_t err = clock_find(number, &c);
	return err || !resolution ? err : put_timespec(resolution, c.coarse ? COARSE_TICK_NS : 1);
}

void wall_set(nsec_t offset)
{
	clock_notes_clear();
	wall_set_offset(offset);
	timers_wall_was_set();
	timerfd_wall_was_set();
	futex_wall_was_set();
}

/* The time of day becomes `time`. It may not be earlier than the boot would be on that day. */
static err_t set_wall(const struct sys_timespec *ts)
{
	nsec_t time, now = clock_now();
	err_t err = timespec_to_time(ts, &time);
	if (err || (uint64_t)ts->sec >= SETTABLE_MAX)
		return -EINVAL;
	if (!current_can(CAP_SYS_TIME))
		return -EPERM;
	if (time < now)
		return -EINVAL;
	wall_set(time - now);
	return 0;
}

int64_t sys_clock_settime(int32_t number, uaddr_t time)
{
	struct sys_timespec ts;
	struct user_clock c;
	if (number != CLOCK_REALTIME && number >= 0 && number != CLOCK_PROCESS_CPUTIME_ID &&
	    number != CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	if (copy_from_user(&ts, time, sizeof(ts)))
		return -EFAULT;
	if (number == CLOCK_REALTIME)
		return set_wall(&ts);
	err_t err = clock_find(number, &c);
	return err ? err : -EPERM; /* CPU time is not for setting */
}

struct sys_timezone {
	int32_t minutes_west, dst;
};

static _Atomic uint64_t timezone_now; /* a struct sys_timezone, told and not used, as on Linux */

int64_t sys_gettimeofday(uaddr_t time, uaddr_t zone)
{
	nsec_t now = wall_now();
	struct sys_timespec tv = {
	    (int64_t)(now / NSEC_PER_SEC), (int64_t)(now % NSEC_PER_SEC / NSEC_PER_USEC)};
	uint64_t tz = load_relaxed(&timezone_now);
	if (time && copy_to_user(time, &tv, sizeof(tv)))
		return -EFAULT;
	return zone ? copy_to_user(zone, &tz, sizeof(tz)) : 0;
}

int64_t sys_settimeofday(uaddr_t time, uaddr_t zone)
{
	enum { HALF_DAY = 15 * 60 };
	struct sys_timespec ts;
	struct sys_timezone tz;
	if (time) {
		if (copy_from_user(&ts, time, sizeof(ts)))
			return -EFAULT;
		if (ts.nsec < 0 || ts.nsec > USEC_PER_SEC)
			return -EINVAL;
		ts.nsec *= NSEC_PER_USEC;
	}
	if (zone && copy_from_user(&tz, zone, sizeof(tz)))
		return -EFAULT;
	if (time && (ts.sec < 0 || (uint64_t)ts.nsec >= NSEC_PER_SEC))
		return -EINVAL;
	if (!current_can(CAP_SYS_TIME))
		return -EPERM;
	if (zone) {
		if (tz.minutes_west > HALF_DAY || tz.minutes_west < -HALF_DAY)
			return -EINVAL;
		store_relaxed(&timezone_now, (uint32_t)tz.minutes_west | (uint64_t)(uint32_t)tz.dst << 32);
	}
	return time ? set_wall(&ts) : 0;
}

int64_t sys_time(uaddr_t to)
{
	int64_t now = (int64_t)(wall_now() / NSEC_PER_SEC);
	return to && copy_to_user(to, &now, sizeof(now)) ? -EFAULT : now;
}

/* --- sleeping --- */

/* Sleep until c is at `time`; c may go slower than the monotonic clock, or be set meanwhile. */
static err_t sleep_until(const struct user_clock *c, nsec_t time)
{
	for (;;) {
		nsec_t now;
		err_t err = clock_read(c, &now);
		if (err || now >= time)
			return err;
		nsec_t at = c->kind == CLOCK_KIND_CPU ? clock_look_at(c, now, time)
						      : time_add(clock_now(), time - now);
		if (c->kind == CLOCK_KIND_REALTIME || c->kind == CLOCK_KIND_TAI)
			at = MIN(at, time_add(clock_now(), NSEC_PER_SEC)); /* the clock may have been set */
		err = thread_sleep_until(at);
		if (err)
			return err;
	}
}

/* A relative sleep until the deadline by `clock`. If that is cut short, tell what is left of it, and leave
 * word for restart_syscall. */
static int64_t sleep_relative(const struct call_restart *r)
{
	struct user_clock c;
	nsec_t now;
	err_t err = clock_find(r->clock, &c);
	if (!err)
		err = sleep_until(&c, r->deadline);
	if (err != -EINTR)
		return err;
	if (r->addr) {
		err = clock_read(&c, &now);
		if (!err)
			err = put_timespec(r->addr, r->deadline > now ? r->deadline - now : 0);
		if (err)
			return err;
	}
	current_user_thread()->signals.restart = *r;
	return -ERESTARTBLOCK;
}

/* User code that makes this call by itself is told that it was interrupted. */
int64_t sys_restart_syscall(void)
{
	struct call_restart *now = &current_user_thread()->signals.restart, r = *now;
	now->fn = NULL;
	return r.fn ? r.fn(&r) : -EINTR;
}

static int64_t sleep_for(int32_t clock, nsec_t start, nsec_t duration, uaddr_t remain)
{
	struct call_restart r = {
	    .fn = sleep_relative, .clock = clock, .deadline = time_add(start, duration), .addr = remain};
	return sleep_relative(&r);
}

int64_t sys_nanosleep(uaddr_t request, uaddr_t remain)
{
	nsec_t duration;
	err_t err = get_timespec(request, &duration);
	return err ? err : sleep_for(CLOCK_MONOTONIC, clock_now(), duration, remain);
}

int64_t sys_clock_nanosleep(int32_t number, int32_t flags, uaddr_t request, uaddr_t remain)
{
	struct sys_timespec ts;
	struct user_clock c;
	nsec_t now, time;
	err_t err = number < 0 ? 0 : clock_find(number, &c);
	if (err)
		return err;
	if (number >= 0 && (c.cannot_wait || number == CLOCK_THREAD_CPUTIME_ID))
		return -ENOTSUP;
	if (copy_from_user(&ts, request, sizeof(ts)))
		return -EFAULT;
	err = timespec_to_time(&ts, &time);
	if (!err && number < 0)
		err = clock_find(number, &c);
	if (!err && c.of_thread && c.id == current_thread()->tid)
		err = -EINVAL; /* it would stand still while its thread sleeps */
	if (!err)
		err = clock_read(&c, &now);
	if (err)
		return err;
	if (flags & TIMER_ABSTIME) {
		err = sleep_until(&c, time);
		return err == -EINTR ? -ERESTARTNOHAND : err;
	}
	if (c.kind != CLOCK_KIND_CPU) /* a duration does not change when the clock is set */
		return sleep_for(CLOCK_MONOTONIC, clock_now(), time, remain);
	return sleep_for(number, now, time, remain);
}

/* --- what was used --- */

enum { TICKS_PER_SEC = 100 };
enum rusage_who { RUSAGE_CHILDREN = -1, RUSAGE_SELF = 0, RUSAGE_THREAD = 1 };

/* struct rusage of the ABI. What is not counted, on Linux neither, is 0. */
struct sys_rusage {
	int64_t user_sec, user_usec, system_sec, system_usec;
	int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv,
	    nsignals, nvcsw, nivcsw;
};

err_t put_rusage(uaddr_t to, const struct usage *u)
{
	struct sys_rusage r = {
	    .user_sec = (int64_t)(u->user / NSEC_PER_SEC),
	    .user_usec = (int64_t)(u->user % NSEC_PER_SEC / NSEC_PER_USEC),
	    .system_sec = (int64_t)(u->system / NSEC_PER_SEC),
	    .system_usec = (int64_t)(u->system % NSEC_PER_SEC / NSEC_PER_USEC),
	    .maxrss = (int64_t)(u->resident_peak * (PAGE_SIZE / 1024)),
	    .minflt = (int64_t)u->minor,
	    .majflt = (int64_t)u->major,
	    .inblock = (int64_t)(u->io[IO_READ] >> SECTOR_SHIFT),
	    .oublock = (int64_t)(u->io[IO_DIRTIED] >> SECTOR_SHIFT),
	    .nvcsw = (int64_t)u->voluntary,
	    .nivcsw = (int64_t)u->involuntary,
	};
	return copy_to_user(to, &r, sizeof(r));
}

static struct usage children_usage(struct process *p)
{
	spin_lock(&process_tree_lock);
	struct usage u = p->children_usage;
	spin_unlock(&process_tree_lock);
	return u;
}

int64_t sys_getrusage(int32_t who, uaddr_t to)
{
	struct usage u;
	switch (who) {
	case RUSAGE_SELF:
		u = process_usage(current_process());
		break;
	case RUSAGE_CHILDREN:
		u = children_usage(current_process());
		break;
	case RUSAGE_THREAD:
		u = thread_usage(current_thread());
		u.resident_peak =
		    process_usage(current_process()).resident_peak; /* memory is the process's */
		break;
	default:
		return -EINVAL;
	}
	return put_rusage(to, &u);
}

static uint64_t ticks(nsec_t time)
{
	return time / (NSEC_PER_SEC / TICKS_PER_SEC);
}

int64_t sys_times(uaddr_t to)
{
	struct usage own = process_usage(current_process()), children = children_usage(current_process());
	uint64_t tms[4] = {ticks(own.user), ticks(own.system), ticks(children.user), ticks(children.system)};
	if (to && copy_to_user(to, tms, sizeof(tms)))
		return -EFAULT;
	return (int64_t)ticks(clock_now());
}
