/*
 * linux_adjtime.c - adjtimex and clock_adjtime: what programs that keep the clock right (NTP) tell the
 * kernel of it, and ask.
 *
 * What makes the clock faster and slower is in kern/steer.c. Everything else is notes that these programs
 * leave for one another; the greatest error that the clock may have grows by 500 ppm, until somebody says
 * it anew or it is so great that the clock counts as unsynchronised. All as Linux has it.
 */
#include "arch/clock.h"
#include "kern/spinlock.h"
#include "kern/steer.h"
#include "kern/wall.h"
#include "proc/clocks.h"
#include "proc/cred.h"
#include "sys/times.h"

enum adjust_modes { /* the ABI's ADJ_* */
	ADJ_OFFSET = 0x0001,
	ADJ_FREQUENCY = 0x0002,
	ADJ_MAXERROR = 0x0004,
	ADJ_ESTERROR = 0x0008,
	ADJ_STATUS = 0x0010,
	ADJ_TIMECONST = 0x0020,
	ADJ_TAI = 0x0080,
	ADJ_SETOFFSET = 0x0100,
	ADJ_MICRO = 0x1000,
	ADJ_NANO = 0x2000,
	ADJ_TICK = 0x4000,
	ADJ_ADJTIME = 0x8000,
	ADJ_READ_ONLY = 0x2000, /* with ADJTIME */
};
enum adjust_status { /* STA_* */
	STA_PLL = 0x0001,
	STA_FLL = 0x0008,
	STA_UNSYNC = 0x0040,
	STA_FREQHOLD = 0x0080,
	STA_CLOCKERR = 0x1000,
	STA_NANO = 0x2000,
	STA_MODE = 0x4000,
	STA_READ_ONLY = 0xff00,
};
enum { /* Linux's numbers */
	TIME_OK = 0,
	TIME_ERROR = 5,
	ERROR_MAX = 16000000, /* us */
	ERROR_GROWS = 500,    /* us in a second */
	TICK_LEAST = 9000,
	TICK_MOST = 11000,   /* us */
	TAI_MAX = 100000,    /* s */
	PHASE_MAX = 1000000, /* us that a correction of phase may be, if it is in us */
};

struct sys_timex { /* struct timex of the ABI */
	uint32_t modes, pad0;
	int64_t offset, frequency, max_error, estimated_error;
	int32_t status, pad1;
	int64_t constant, precision, tolerance, sec, fraction, tick;
	int64_t pps[7];
	int64_t unused_count;
	int32_t tai, unused[11];
};
_Static_assert(sizeof(struct sys_timex) == 208 && offsetof(struct sys_timex, tai) == 160, "the ABI");

static struct spinlock notes_lock = SPINLOCK_INIT("clock's notes", RANK_SERVICE);
static struct { /* notes_lock */
	int64_t max_error, estimated_error, constant;
	nsec_t error_said; /* when max_error was said: monotonic */
	int32_t status;
} notes = {.max_error = ERROR_MAX, .estimated_error = ERROR_MAX, .constant = 2, .status = STA_UNSYNC};

static err_t check(const struct sys_timex *t)
{
	bool may = current_can(CAP_SYS_TIME);
	if (t->modes & ADJ_ADJTIME) {
		if (!(t->modes & ADJ_OFFSET))
			return -EINVAL;
		if (!(t->modes & ADJ_READ_ONLY) && !may)
			return -EPERM;
	} else {
		if (t->modes && !may)
			return -EPERM;
		if ((t->modes & ADJ_TICK) && (t->tick < TICK_LEAST || t->tick > TICK_MOST))
			return -EINVAL;
	}
	if (t->modes & ADJ_SETOFFSET) {
		int64_t end = t->modes & ADJ_NANO ? (int64_t)NSEC_PER_SEC : 1000000;
		if (!may)
			return -EPERM;
		if (t->fraction < 0 || t->fraction >= end)
			return -EINVAL;
	}
	int64_t most = INT64_MAX / 65536000;
	return (t->modes & ADJ_FREQUENCY) && (t->frequency > most || t->frequency < -most) ? -EINVAL : 0;
}

/* The time of day is `delta` ns later. -EINVAL: it would be before 1970, or beyond what can be told. */
static err_t step(int64_t delta)
{
	int64_t offset = (int64_t)wall_offset();
	if (delta < -offset || delta > INT64_MAX - offset - (int64_t)clock_now())
		return -EINVAL;
	if (delta)
		wall_set((nsec_t)(offset + delta));
	return 0;
}

static err_t add_time(const struct sys_timex *t)
{
	int64_t ns = t->modes & ADJ_NANO ? t->fraction : t->fraction * 1000, delta;
	if (__builtin_mul_overflow(t->sec, (int64_t)NSEC_PER_SEC, &delta) ||
	    __builtin_add_overflow(delta, ns, &delta))
		return -EINVAL;
	return step(delta);
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
	return MAX(least, MIN(value, most));
}

static void set_status_locked(int32_t status)
{
	if ((notes.status & STA_PLL) && !(status & STA_PLL))
		notes.status = STA_UNSYNC;
	if (!(notes.status & STA_PLL) && (status & STA_PLL))
		steer_begin();
	notes.status = (notes.status & STA_READ_ONLY) | (status & ~STA_READ_ONLY);
}

/* What has become of the greatest error since it was said. */
static int64_t error_locked(void)
{
	nsec_t seconds = (clock_now() - notes.error_said) / NSEC_PER_SEC;
	int64_t error =
	    MIN(notes.max_error + (int64_t)MIN(seconds, (nsec_t)ERROR_MAX) * ERROR_GROWS, ERROR_MAX);
	if (error == ERROR_MAX && notes.max_error != ERROR_MAX) {
		notes.max_error = ERROR_MAX;
		notes.status |= STA_UNSYNC;
	}
	return error;
}

static void correct_locked(int64_t offset)
{
	unsigned flags =
	    (notes.status & STA_FREQHOLD ? STEER_HOLD : 0) | (notes.status & STA_FLL ? STEER_LOOSE : 0);
	if (!(notes.status & STA_PLL))
		return;
	if (!(notes.status & STA_NANO))
		offset = clamp(offset, -PHASE_MAX, PHASE_MAX) * 1000;
	bool loose = steer_correct(clamp(offset, -STEER_PHASE_MAX, STEER_PHASE_MAX), flags);
	notes.status = loose ? notes.status | STA_MODE : notes.status & ~STA_MODE;
}

static void say_error_locked(int64_t error)
{
	notes.max_error = clamp(error, 0, ERROR_MAX);
	notes.error_said = clock_now();
}

/* As on Linux, who counts in microseconds means four more. */
static void set_constant_locked(int64_t constant)
{
	int64_t added = notes.status & STA_NANO ? 0 : 4;
	notes.constant = clamp(clamp(constant, 0, STEER_CONSTANT_MAX) + added, 0, STEER_CONSTANT_MAX);
	steer_set_constant(notes.constant);
}

/* In Linux's order. */
static void change_locked(const struct sys_timex *t)
{
	if (t->modes & ADJ_STATUS)
		set_status_locked(t->status);
	if (t->modes & ADJ_NANO)
		notes.status |= STA_NANO;
	if (t->modes & ADJ_MICRO)
		notes.status &= ~STA_NANO;
	if (t->modes & ADJ_FREQUENCY)
		steer_set_frequency(t->frequency);
	if (t->modes & ADJ_MAXERROR)
		say_error_locked(t->max_error);
	if (t->modes & ADJ_ESTERROR)
		notes.estimated_error = clamp(t->estimated_error, 0, ERROR_MAX);
	if (t->modes & ADJ_TIMECONST)
		set_constant_locked(t->constant);
	if ((t->modes & ADJ_TAI) && t->constant >= 0 && t->constant <= TAI_MAX)
		wall_set_tai_seconds((int32_t)t->constant);
	if (t->modes & ADJ_OFFSET)
		correct_locked(t->offset);
	if (t->modes & ADJ_TICK)
		steer_set_tick(t->tick);
}

/* In the unit that the status says. */
static int64_t told_locked(int64_t ns)
{
	return ns / (notes.status & STA_NANO ? 1 : 1000);
}

static void tell_locked(struct sys_timex *t)
{
	nsec_t now = wall_now();
	t->frequency = steer_frequency();
	t->max_error = error_locked();
	t->estimated_error = notes.estimated_error;
	t->status = notes.status;
	t->constant = notes.constant;
	t->precision = 1;
	t->tolerance = STEER_FREQUENCY_MAX;
	t->tick = steer_tick();
	t->tai = wall_tai_seconds();
	t->sec = (int64_t)(now / NSEC_PER_SEC);
	t->fraction = told_locked((int64_t)(now % NSEC_PER_SEC));
	for (unsigned i = 0; i < ARRAY_SIZE(t->pps); i++)
		t->pps[i] = 0;
	t->unused_count = 0;
}

/* adjtime(3)'s way: what was left to be made is told. */
static void adjust_once_locked(struct sys_timex *t)
{
	t->offset = t->modes & ADJ_READ_ONLY ? steer_adjust_left() : steer_adjust(t->offset);
}

void clock_notes_clear(void)
{
	spin_lock(&notes_lock);
	steer_clear();
	notes.status |= STA_UNSYNC;
	notes.max_error = notes.estimated_error = ERROR_MAX;
	spin_unlock(&notes_lock);
}

static int64_t adjust(struct sys_timex *t)
{
	err_t err = check(t);
	if (!err && (t->modes & ADJ_SETOFFSET))
		err = add_time(t);
	if (err)
		return err;
	spin_lock(&notes_lock);
	if (t->modes & ADJ_ADJTIME) {
		adjust_once_locked(t);
	} else {
		change_locked(t);
		t->offset = told_locked(steer_left());
	}
	tell_locked(t);
	bool bad = notes.status & (STA_UNSYNC | STA_CLOCKERR);
	spin_unlock(&notes_lock);
	return bad ? TIME_ERROR : TIME_OK;
}

static int64_t adjust_user(uaddr_t timex)
{
	struct sys_timex t;
	if (copy_from_user(&t, timex, sizeof(t)))
		return -EFAULT;
	int64_t result = adjust(&t);
	return result >= 0 && copy_to_user(timex, &t, sizeof(t)) ? -EFAULT : result;
}

int64_t sys_adjtimex(uaddr_t timex)
{
	return adjust_user(timex);
}

int64_t sys_clock_adjtime(int32_t number, uaddr_t timex)
{
	struct sys_timex t;
	struct user_clock c;
	if (copy_from_user(&t, timex, sizeof(t)))
		return -EFAULT;
	if (number == CLOCK_REALTIME)
		return adjust_user(timex);
	err_t err = clock_find(number, &c);
	return err ? err : -EOPNOTSUPP;
}
