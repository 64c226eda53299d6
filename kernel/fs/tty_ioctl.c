/*
 * tty_ioctl.c - requests to terminals other than settings, in Linux's order: what all terminals know, job
 * control, the driver's own, the line discipline's.
 *
 * On a master, what describes the terminal (size, settings, groups) is about its slave; what describes the
 * file's own side (flushing, counting, TIOCSTI) is about the master.
 */
#include "arch/clock.h"
#include "arch/usercopy.h"
#include "fs/devfs.h"
#include "fs/tty.h"
#include "lib/string.h"

enum tty_request {
	TCSBRK = 0x5409,
	TCXONC = 0x540a,
	TCFLSH = 0x540b,
	TIOCEXCL = 0x540c,
	TIOCNXCL = 0x540d,
	TIOCSCTTY = 0x540e,
	TIOCGPGRP = 0x540f,
	TIOCSPGRP = 0x5410,
	TIOCOUTQ = 0x5411,
	TIOCSTI = 0x5412,
	TIOCGWINSZ = 0x5413,
	TIOCSWINSZ = 0x5414,
	TIOCINQ = 0x541b,
	TIOCCONS = 0x541d,
	TIOCNOTTY = 0x5422,
	TIOCSETD = 0x5423,
	TIOCGETD = 0x5424,
	TCSBRKP = 0x5425,
	TIOCSBRK = 0x5427,
	TIOCCBRK = 0x5428,
	TIOCGSID = 0x5429,
	TIOCGDEV = 0x80045432,
	TIOCVHANGUP = 0x5437,
	TIOCGEXCL = 0x80045440,
};

enum { FLUSH_IN, FLUSH_OUT, FLUSH_BOTH };        /* TCFLSH */
enum { STOP_OUT, START_OUT, STOP_IN, START_IN }; /* TCXONC */
enum { MSEC = 1000000, BREAK_USUAL = 250 * MSEC };

static int64_t put_int(uint64_t arg, int32_t value)
{
	return copy_to_user(arg, &value, sizeof(value));
}

/* --- size --- */

static int64_t get_size(struct tty *t, uint64_t arg)
{
	mutex_lock(&t->line->lock);
	struct tty_size size = t->size;
	mutex_unlock(&t->line->lock);
	return copy_to_user(arg, &size, sizeof(size));
}

static int64_t set_size(struct tty *t, uint64_t arg)
{
	struct tty_size size;
	err_t err = copy_from_user(&size, arg, sizeof(size));
	if (err)
		return err;
	mutex_lock(&t->line->lock);
	bool changed = memcmp(&size, &t->size, sizeof(size)) != 0;
	t->size = size;
	mutex_unlock(&t->line->lock);
	if (changed)
		tty_proc->signal_group(t, TTY_SIGNAL_WINCH);
	return 0;
}

/* --- input and output --- */

static int64_t flush(struct tty *t, uint64_t what)
{
	err_t err = tty_proc->check(t, TTY_SIGNAL_TTOU);
	if (err)
		return err;
	if (what > FLUSH_BOTH)
		return -EINVAL;
	mutex_lock(&t->line->lock);
	if (what != FLUSH_OUT)
		tty_flush_input_locked(t);
	if (what != FLUSH_IN && t->driver->discard)
		t->driver->discard(t);
	tty_settle_locked(t);
	mutex_unlock(&t->line->lock);
	return 0;
}

static void send_char(struct tty *t, enum tty_char which)
{
	uint8_t c = t->ldisc.termios.cc[which];
	if (c)
		tty_send_now_locked(t, c);
}

static int64_t flow(struct tty *t, uint64_t what)
{
	struct ldisc *ld = &t->ldisc;
	err_t err = tty_proc->check(t, TTY_SIGNAL_TTOU);
	if (err)
		return err;
	if (what > START_IN)
		return -EINVAL;
	mutex_lock(&t->line->lock);
	if (what == STOP_OUT) {
		ld->stopped_by_call = true;
		ldisc_stop(ld);
	} else if (what == START_OUT && ld->stopped_by_call) {
		ld->stopped_by_call = false;
		ldisc_start(ld);
	} else if (what >= STOP_IN) {
		send_char(t, what == STOP_IN ? TCC_STOP : TCC_START);
	}
	tty_settle_locked(t);
	mutex_unlock(&t->line->lock);
	return 0;
}

/* Put a byte into the input as if it had been typed. */
static int64_t type_byte(struct tty *t, uint64_t arg)
{
	uint8_t c;
	if (!tty_proc->is_current(t) && !tty_proc->privileged())
		return -EPERM;
	err_t err = copy_from_user(&c, arg, sizeof(c));
	if (err)
		return err;
	mutex_lock(&t->line->lock);
	size_t took = ldisc_receive(&t->ldisc, &c, 1);
	t->input_news |= took > 0;
	tty_settle_locked(t);
	mutex_unlock(&t->line->lock);
	return 0;
}

static int64_t count_output(struct tty *t, uint64_t arg)
{
	mutex_lock(&t->line->lock);
	size_t n = t->driver->queued ? t->driver->queued(t) : 0;
	mutex_unlock(&t->line->lock);
	return put_int(arg, (int32_t)n);
}

static int64_t count_input(struct tty *t, uint64_t arg)
{
	mutex_lock(&t->line->lock);
	size_t n = ldisc_count(&t->ldisc);
	mutex_unlock(&t->line->lock);
	return put_int(arg, (int32_t)n);
}

/* What changes the line waits until everything was sent as it is. */
static err_t begin_change(struct file *f, struct tty *t)
{
	err_t err = tty_proc->check(t, TTY_SIGNAL_TTOU);
	return err ? err : tty_drain(f, t);
}

static int64_t set_break(struct tty *t, bool on)
{
	if (!t->driver->set_break)
		return 0;
	mutex_lock(&t->line->lock);
	t->driver->set_break(t, on);
	tty_settle_locked(t);
	mutex_unlock(&t->line->lock);
	return 0;
}

static int64_t end_break(struct tty *t)
{
	err_t err = tty_proc->check(t, TTY_SIGNAL_TTOU);
	return err ? err : set_break(t, false);
}

static int64_t begin_break(struct file *f, struct tty *t)
{
	err_t err = begin_change(f, t);
	return err ? err : set_break(t, true);
}

/* A break of so many tenths of a second; 0: of a quarter. */
static int64_t send_break(struct file *f, struct tty *t, uint64_t tenths)
{
	nsec_t length = tenths ? tenths * 100 * MSEC : BREAK_USUAL;
	uint64_t seen;
	err_t err = begin_change(f, t);
	if (err || !t->driver->set_break)
		return err;
	(void)set_break(t, true);
	err = kobject_wait(&f->object, 0, clock_now() + length, WAIT_INTERRUPTIBLE, &seen);
	(void)set_break(t, false);
	return err == -ETIMEDOUT ? 0 : err;
}

static int64_t exclude(struct tty *t, bool exclusive)
{
	mutex_lock(&t->line->lock);
	t->exclusive = exclusive;
	mutex_unlock(&t->line->lock);
	return 0;
}

/* There is one line discipline. */
static int64_t set_discipline(struct file *f, struct tty *t, uint64_t arg)
{
	int32_t number;
	err_t err = begin_change(f, t);
	if (!err)
		err = copy_from_user(&number, arg, sizeof(number));
	if (err)
		return err;
	return number ? -EINVAL : 0;
}

static int64_t hang_up(struct tty *t)
{
	if (!tty_proc->privileged())
		return -EPERM;
	tty_hang_up(t, false);
	return 0;
}

/* --- job control --- */

static int64_t get_group(struct tty *real, bool must_own, bool session, uint64_t arg)
{
	uint32_t id;
	err_t err =
	    session ? tty_proc->get_session(real, must_own, &id) : tty_proc->get_group(real, must_own, &id);
	return err ? err : put_int(arg, (int32_t)id);
}

static int64_t set_group(struct tty *real, uint64_t arg)
{
	int32_t group;
	err_t err = tty_proc->check(real, TTY_SIGNAL_TTOU);
	if (err)
		return err == -EIO ? -ENOTTY : err;
	err = copy_from_user(&group, arg, sizeof(group));
	if (err)
		return err;
	return group < 0 ? -EINVAL : tty_proc->set_group(real, group);
}

static int64_t job_request(struct file *f, struct tty *t, struct tty *real, uint32_t request, uint64_t arg)
{
	switch (request) {
	case TIOCNOTTY:
		return tty_proc->give_up(t);
	case TIOCSCTTY:
		return tty_proc->acquire(real, arg == 1, file_may_read(f));
	case TIOCGPGRP:
		return get_group(real, t == real, false, arg);
	case TIOCGSID:
		return get_group(real, t == real, true, arg);
	case TIOCSPGRP:
		return set_group(real, arg);
	default:
		return -ENOTTY;
	}
}

/* --- all together --- */

/* -ENOTTY: not one of these. */
static int64_t common_request(struct file *f, struct tty *t, struct tty *real, uint32_t request, uint64_t arg)
{
	switch (request) {
	case TIOCSTI:
		return type_byte(t, arg);
	case TIOCGWINSZ:
		return get_size(real, arg);
	case TIOCSWINSZ:
		return set_size(real, arg);
	case TIOCCONS:
		return real != t ? -EINVAL : !tty_proc->privileged() ? -EPERM : -ENOTTY;
	case TIOCEXCL:
	case TIOCNXCL:
		return exclude(t, request == TIOCEXCL);
	case TIOCGEXCL:
		return put_int(arg, t->exclusive);
	case TIOCGETD:
		return put_int(arg, 0);
	case TIOCSETD:
		return set_discipline(f, t, arg);
	case TIOCVHANGUP:
		return hang_up(t);
	case TIOCGDEV:
		return put_int(arg, (int32_t)real->rdev);
	case TCSBRK: /* not 0: only the wait */
		return arg ? begin_change(f, t) : send_break(f, t, 0);
	case TCSBRKP:
		return send_break(f, t, arg);
	case TIOCSBRK:
		return begin_break(f, t);
	case TIOCCBRK:
		return end_break(t);
	default:
		return -ENOTTY;
	}
}

static int64_t discipline_request(
    struct file *f, struct tty *t, struct tty *real, uint32_t request, uint64_t arg)
{
	switch (request) {
	case TIOCOUTQ:
		return count_output(t, arg);
	case TIOCINQ:
		return count_input(t, arg);
	case TCFLSH:
		return flush(t, arg);
	case TCXONC:
		return flow(t, arg);
	default:
		return tty_termios_ioctl(f, real, request, arg);
	}
}

int64_t tty_ioctl(struct file *f, uint32_t request, uint64_t arg)
{
	struct tty_file *tf = f->priv;
	struct tty *t = tf->tty, *real = t->driver->is_master ? t->link : t;
	mutex_lock(&t->line->lock);
	bool hung_up = tf->hung_up;
	mutex_unlock(&t->line->lock);
	if (hung_up)
		return request == TIOCSPGRP ? -ENOTTY : -EIO;
	int64_t result = common_request(f, t, real, request, arg);
	if (result == -ENOTTY)
		result = job_request(f, t, real, request, arg);
	if (result == -ENOTTY && t->driver->ioctl)
		result = t->driver->ioctl(f, t, request, arg);
	if (result == -ENOTTY)
		result = discipline_request(f, t, real, request, arg);
	return result;
}
