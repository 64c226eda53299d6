/* linux_timer.c - the timer calls of the Linux ABI: interval timers, POSIX timers, timers as files. */
#include "fs/timerfd.h"
#include "kern/wall.h"
#include "proc/cred.h"
#include "proc/process.h"
#include "proc/timers.h"
#include "sys/files.h"
#include "sys/times.h"

enum { TIMER_ABSTIME = 1, USEC_PER_SEC = 1000000, NSEC_PER_USEC = 1000 };

/* --- interval timers --- */

struct sys_timeval {
	int64_t sec, usec;
};
struct sys_itimerval {
	struct sys_timeval interval, value;
};

static err_t timeval_to_time(const struct sys_timeval *tv, nsec_t *out)
{
	struct sys_timespec ts = {tv->sec, tv->usec * NSEC_PER_USEC};
	return (uint64_t)tv->usec >= USEC_PER_SEC ? -EINVAL : timespec_to_time(&ts, out);
}

/* Rounded up: what is left is never told as nothing. */
static struct sys_timeval time_to_timeval(nsec_t time)
{
	uint64_t usec = time / NSEC_PER_USEC + (time % NSEC_PER_USEC != 0);
	return (struct sys_timeval){(int64_t)(usec / USEC_PER_SEC), (int64_t)(usec % USEC_PER_SEC)};
}

static err_t put_itimerval(uaddr_t to, const struct timer_value *v)
{
	struct sys_itimerval it = {time_to_timeval(v->interval), time_to_timeval(v->left)};
	return copy_to_user(to, &it, sizeof(it));
}

int64_t sys_getitimer(int32_t which, uaddr_t value)
{
	struct timer_value v;
	if ((uint32_t)which >= ITIMERS)
		return -EINVAL;
	itimer_get((unsigned)which, &v);
	return put_itimerval(value, &v);
}

int64_t sys_setitimer(int32_t which, uaddr_t value, uaddr_t old)
{
	struct sys_itimerval it = {0};
	struct timer_value new, was;
	if (value && copy_from_user(&it, value, sizeof(it)))
		return -EFAULT;
	if (timeval_to_time(&it.value, &new.left) || timeval_to_time(&it.interval, &new.interval) ||
	    (uint32_t)which >= ITIMERS)
		return -EINVAL;
	itimer_set((unsigned)which, &new, &was);
	return old ? put_itimerval(old, &was) : 0;
}

/* What is left of the one before, in seconds, rounded; but something is never told as nothing. */
int64_t sys_alarm(uint32_t seconds)
{
	struct timer_value new = {.left = seconds * NSEC_PER_SEC}, was;
	itimer_set(ITIMER_REAL, &new, &was);
	uint64_t left = was.left / NSEC_PER_SEC, rest = was.left % NSEC_PER_SEC;
	return (int64_t)(left + (rest >= NSEC_PER_SEC / 2 || (!left && rest)));
}

/* --- POSIX timers --- */

struct sys_sigevent {
	uint64_t value;
	int32_t signal, notify;
	uint32_t tid;
	uint32_t rest[11];
};
_Static_assert(sizeof(struct sys_sigevent) == 64, "sigevent");

int64_t sys_timer_create(int32_t number, uaddr_t event, uaddr_t id_to)
{
	struct sys_sigevent se;
	struct user_clock c;
	if (event && copy_from_user(&se, event, sizeof(se)))
		return -EFAULT;
	err_t err = clock_find(number, &c);
	if (!err && c.cannot_wait)
		err = -ENOTSUP;
	if (err)
		return err;
	int32_t id;
	struct timer_event ev = {0};
	if (event)
		ev = (struct timer_event){
		    .notify = se.notify, .signal = se.signal, .tid = se.tid, .value = se.value};
	err = posix_timer_create(&c, event ? &ev : NULL, &id);
	if (err || !copy_to_user(id_to, &id, sizeof(id)))
		return err;
	err = posix_timer_delete(id);
	return err ? err : -EFAULT;
}

int64_t sys_timer_settime(int32_t id, int32_t flags, uaddr_t value, uaddr_t old)
{
	struct timer_value new, was;
	if (!value)
		return -EINVAL;
	err_t err = get_itimerspec(value, &new);
	if (!err)
		err = posix_timer_set(id, flags & TIMER_ABSTIME, &new, &was);
	return !err && old ? put_itimerspec(old, &was) : err;
}

int64_t sys_timer_gettime(int32_t id, uaddr_t value)
{
	struct timer_value v;
	err_t err = posix_timer_get(id, &v);
	return err ? err : put_itimerspec(value, &v);
}

int64_t sys_timer_getoverrun(int32_t id)
{
	int32_t overrun;
	err_t err = posix_timer_overrun(id, &overrun);
	return err ? err : overrun;
}

int64_t sys_timer_delete(int32_t id)
{
	return posix_timer_delete(id);
}

/* --- timers as files --- */

/* The alarm clocks of the ABI would wake a machine that sleeps. This one does not sleep. */
enum { CLOCK_REALTIME_ALARM = 8, CLOCK_BOOTTIME_ALARM = 9 };

int64_t sys_timerfd_create(int32_t number, int32_t flags)
{
	struct file *f;
	bool alarm = number == CLOCK_REALTIME_ALARM || number == CLOCK_BOOTTIME_ALARM;
	bool wall = number == CLOCK_REALTIME || number == CLOCK_REALTIME_ALARM;
	if (flags & ~(FILE_CLOEXEC | FILE_NONBLOCK))
		return -EINVAL;
	if (!alarm && !wall && number != CLOCK_MONOTONIC && number != CLOCK_BOOTTIME)
		return -EINVAL;
	if (alarm && !current_can(CAP_WAKE_ALARM))
		return -EPERM;
	err_t err = timerfd_create(wall, (unsigned)flags & FILE_NONBLOCK, &f);
	return err ? err : fd_install(f, flags & FILE_CLOEXEC);
}

static err_t timerfd_of(int32_t fd, uint32_t rights, struct file **out)
{
	err_t err = fd_file_for(fd, rights, out);
	if (err || file_is_timerfd(*out))
		return err;
	file_put(*out);
	return -EINVAL;
}

static err_t put_timerfd_value(uaddr_t to, const struct timerfd_value *v)
{
	return put_itimerspec(to, &(struct timer_value){v->left, v->interval});
}

int64_t sys_timerfd_settime(int32_t fd, int32_t flags, uaddr_t value, uaddr_t old)
{
	struct timer_value v;
	struct timerfd_value was;
	struct file *f;
	err_t err = get_itimerspec(value, &v);
	if (err)
		return err;
	if (flags & ~(TIMERFD_ABSOLUTE | TIMERFD_CANCEL_ON_SET))
		return -EINVAL;
	err = timerfd_of(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	timerfd_set(f, (unsigned)flags, &(struct timerfd_value){v.left, v.interval}, &was);
	file_put(f);
	return old ? put_timerfd_value(old, &was) : 0;
}

int64_t sys_timerfd_gettime(int32_t fd, uaddr_t value)
{
	struct timerfd_value v;
	struct file *f;
	err_t err = timerfd_of(fd, RIGHT_INSPECT, &f);
	if (err)
		return err;
	timerfd_get(f, &v);
	file_put(f);
	return put_timerfd_value(value, &v);
}
