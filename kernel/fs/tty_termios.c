/*
 * tty_termios.c - TCGETS and its relatives: the settings of a terminal in the three shapes that the ABI has
 * for them (termio, termios, termios2).
 */
#include "arch/usercopy.h"
#include "fs/tty.h"
#include "lib/string.h"

enum termios_request {
	TCGETS = 0x5401,
	TCSETS = 0x5402,
	TCSETSW = 0x5403,
	TCSETSF = 0x5404,
	TCGETA = 0x5405,
	TCSETA = 0x5406,
	TCSETAW = 0x5407,
	TCSETAF = 0x5408,
	TIOCGSOFTCAR = 0x5419,
	TIOCSSOFTCAR = 0x541a,
	TIOCGLCKTRMIOS = 0x5456,
	TIOCSLCKTRMIOS = 0x5457,
	TCGETS2 = 0x802c542a,
	TCSETS2 = 0x402c542b,
	TCSETSW2 = 0x402c542c,
	TCSETSF2 = 0x402c542d,
	TERMIOS_SIZE = 36, /* termios2 without the speeds */
	TERMIO_CHARS = 8,
};

struct termio { /* the ABI's */
	uint16_t iflag, oflag, cflag, lflag;
	uint8_t line;
	uint8_t cc[TERMIO_CHARS];
};

enum shape { SHAPE_TERMIO, SHAPE_TERMIOS, SHAPE_TERMIOS2 };

/* --- speeds --- */

static const uint32_t speeds[] = {0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600,
    19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000,
    2500000, 3000000, 3500000, 4000000};

/* What a CBAUD field says; BOTHER: `other`. */
static uint32_t speed_of(uint32_t field, uint32_t other)
{
	uint32_t i = field & TC_CBAUD;
	if (i == TC_BOTHER)
		return other;
	if (i & TC_CBAUDEX)
		i = (i & ~(uint32_t)TC_CBAUDEX) + 15;
	return i < ARRAY_SIZE(speeds) ? speeds[i] : 0;
}

static void settle_speeds(struct tty_termios *s)
{
	uint32_t input = s->cflag >> TC_IBSHIFT & TC_CBAUD;
	s->ospeed = speed_of(s->cflag, s->ospeed);
	s->ispeed = input ? speed_of(input, s->ispeed) : s->ospeed;
}

/* --- shapes --- */

static err_t put_settings(const struct tty_termios *s, enum shape shape, uint64_t arg)
{
	struct termio old = {.iflag = (uint16_t)s->iflag,
	    .oflag = (uint16_t)s->oflag,
	    .cflag = (uint16_t)s->cflag,
	    .lflag = (uint16_t)s->lflag,
	    .line = s->line};
	if (shape == SHAPE_TERMIOS)
		return copy_to_user(arg, s, TERMIOS_SIZE);
	if (shape == SHAPE_TERMIOS2)
		return copy_to_user(arg, s, sizeof(*s));
	memcpy(old.cc, s->cc, sizeof(old.cc));
	return copy_to_user(arg, &old, sizeof(old));
}

/* *s: the settings so far; what the shape does not have stays. */
static err_t get_settings(struct tty_termios *s, enum shape shape, uint64_t arg)
{
	struct termio old;
	if (shape != SHAPE_TERMIO)
		return copy_from_user(s, arg, shape == SHAPE_TERMIOS ? TERMIOS_SIZE : sizeof(*s));
	err_t err = copy_from_user(&old, arg, sizeof(old));
	if (err)
		return err;
	s->iflag = (s->iflag & 0xffff0000) | old.iflag;
	s->oflag = (s->oflag & 0xffff0000) | old.oflag;
	s->cflag = (s->cflag & 0xffff0000) | old.cflag;
	s->lflag = (s->lflag & 0xffff0000) | old.lflag;
	s->line = old.line;
	memcpy(s->cc, old.cc, sizeof(old.cc));
	return 0;
}

/* --- the requests --- */

static void snapshot(struct tty *t, struct tty_termios *s)
{
	mutex_lock(&t->line->lock);
	*s = t->ldisc.termios;
	mutex_unlock(&t->line->lock);
}

static uint32_t keep_bits(uint32_t new, uint32_t old, uint32_t locked)
{
	return (new & ~locked) | (old & locked);
}

static void keep_locked(
    struct tty_termios *new, const struct tty_termios *old, const struct tty_termios *locked)
{
	new->iflag = keep_bits(new->iflag, old->iflag, locked->iflag);
	new->oflag = keep_bits(new->oflag, old->oflag, locked->oflag);
	new->cflag = keep_bits(new->cflag, old->cflag, locked->cflag);
	new->lflag = keep_bits(new->lflag, old->lflag, locked->lflag);
	new->line = locked->line ? old->line : new->line;
	for (unsigned i = 0; i < TCC_COUNT; i++)
		new->cc[i] = locked->cc[i] ? old->cc[i] : new->cc[i];
}

static void change_locked(struct tty *t, struct tty_termios *new)
{
	struct tty_termios old = t->ldisc.termios;
	keep_locked(new, &old, &t->locked);
	ldisc_set_termios(&t->ldisc, new);
	if (t->driver->set)
		t->driver->set(t, &old);
	t->input_news = t->room_news = true;
	tty_settle_locked(t);
}

/* When settings change: at once; when all output has been sent; and then input is dropped as well. Each shape
 * has three requests for it, in this order. */
enum moment { NOW, DRAINED, FLUSHED };

static int64_t set_settings(struct file *f, struct tty *t, enum shape shape, enum moment when, uint64_t arg)
{
	struct tty_termios new;
	err_t err = tty_proc->check(t, TTY_SIGNAL_TTOU);
	if (err)
		return err;
	snapshot(t, &new);
	err = get_settings(&new, shape, arg);
	if (err)
		return err;
	settle_speeds(&new);
	if (when != NOW)
		err = tty_drain(f, t);
	if (err)
		return err;
	mutex_lock(&t->line->lock);
	if (when == FLUSHED)
		tty_flush_input_locked(t);
	change_locked(t, &new);
	mutex_unlock(&t->line->lock);
	return 0;
}

static int64_t get_all(struct tty *t, enum shape shape, uint64_t arg)
{
	struct tty_termios s;
	snapshot(t, &s);
	return put_settings(&s, shape, arg);
}

static int64_t lock_request(struct tty *t, bool set, uint64_t arg)
{
	struct tty_termios s = {0};
	if (!set) {
		mutex_lock(&t->line->lock);
		s = t->locked;
		mutex_unlock(&t->line->lock);
		return put_settings(&s, SHAPE_TERMIOS, arg);
	}
	if (!tty_proc->privileged())
		return -EPERM;
	err_t err = get_settings(&s, SHAPE_TERMIOS, arg);
	if (err)
		return err;
	mutex_lock(&t->line->lock);
	t->locked = s;
	mutex_unlock(&t->line->lock);
	return 0;
}

static int64_t carrier_request(struct tty *t, bool set, uint64_t arg)
{
	struct tty_termios s;
	int32_t value;
	if (!set) {
		snapshot(t, &s);
		value = !!(s.cflag & TC_CLOCAL);
		return copy_to_user(arg, &value, sizeof(value));
	}
	err_t err = copy_from_user(&value, arg, sizeof(value));
	if (err)
		return err;
	mutex_lock(&t->line->lock);
	s = t->ldisc.termios;
	s.cflag = (s.cflag & ~(uint32_t)TC_CLOCAL) | (value ? TC_CLOCAL : 0);
	change_locked(t, &s);
	mutex_unlock(&t->line->lock);
	return 0;
}

int64_t tty_termios_ioctl(struct file *f, struct tty *real, uint32_t request, uint64_t arg)
{
	switch (request) {
	case TCGETS:
		return get_all(real, SHAPE_TERMIOS, arg);
	case TCGETS2:
		return get_all(real, SHAPE_TERMIOS2, arg);
	case TCGETA:
		return get_all(real, SHAPE_TERMIO, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return set_settings(f, real, SHAPE_TERMIOS, (enum moment)(request - TCSETS), arg);
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		return set_settings(f, real, SHAPE_TERMIOS2, (enum moment)(request - TCSETS2), arg);
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return set_settings(f, real, SHAPE_TERMIO, (enum moment)(request - TCSETA), arg);
	case TIOCGLCKTRMIOS:
	case TIOCSLCKTRMIOS:
		return lock_request(real, request == TIOCSLCKTRMIOS, arg);
	case TIOCGSOFTCAR:
	case TIOCSSOFTCAR:
		return carrier_request(real, request == TIOCSSOFTCAR, arg);
	default:
		return -ENOTTY;
	}
}
