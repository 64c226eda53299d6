/*
 * tty_port_ioctl.c - requests to a terminal on a serial line: the lines beside the data, what was counted,
 * what kind of device it is.
 */
#include "arch/usercopy.h"
#include "fs/tty_port.h"

enum port_request {
	TIOCMGET = 0x5415,
	TIOCMBIS = 0x5416,
	TIOCMBIC = 0x5417,
	TIOCMSET = 0x5418,
	TIOCGSERIAL = 0x541e,
	TIOCSERGETLSR = 0x5459,
	TIOCMIWAIT = 0x545c,
	TIOCGICOUNT = 0x545d,
	LSR_EMPTY = 1, /* TIOCSER_TEMT */
};

struct serial_counts { /* the ABI's struct serial_icounter_struct */
	struct port_counts counts;
	int32_t reserved[9];
};

struct serial_info { /* the ABI's struct serial_struct */
	int32_t kind, line;
	uint32_t port;
	int32_t irq, flags, fifo, divisor, base;
	uint16_t close_delay; /* 10 ms */
	uint8_t io, reserved;
	int32_t hub6;
	uint16_t closing_wait, closing_wait2; /* 10 ms */
	uint64_t iomem_base;
	uint16_t iomem_shift;
	uint32_t port_high;
	uint64_t iomap_base;
};
STATIC_ASSERT(sizeof(struct serial_counts) == 80 && sizeof(struct serial_info) == 72);

enum { CLOSE_DELAY = 50, CLOSING_WAIT = 3000 }; /* what Linux says of a port that nobody has configured */

static int64_t get_lines(struct tty_port *p, uint64_t arg)
{
	mutex_lock(&p->line.lock);
	uint32_t lines = p->set | p->device.lines;
	mutex_unlock(&p->line.lock);
	return copy_to_user(arg, &lines, sizeof(lines));
}

static int64_t set_lines(struct tty_port *p, uint32_t request, uint64_t arg)
{
	uint32_t lines;
	err_t err = copy_from_user(&lines, arg, sizeof(lines));
	if (err)
		return err;
	lines &= QUIRE_TTY_LINES_OUT;
	mutex_lock(&p->line.lock);
	uint32_t now = request == TIOCMBIS ? p->set | lines : request == TIOCMBIC ? p->set & ~lines : lines;
	if (now != p->set)
		tty_port_wish_locked(p);
	p->set = now;
	tty_settle_locked(&p->tty);
	mutex_unlock(&p->line.lock);
	return 0;
}

static bool has_changed(const struct port_counts *a, const struct port_counts *b, uint64_t lines)
{
	return ((lines & QUIRE_TTY_RI) && a->rng != b->rng) ||
	       ((lines & QUIRE_TTY_DSR) && a->dsr != b->dsr) ||
	       ((lines & QUIRE_TTY_CD) && a->dcd != b->dcd) || ((lines & QUIRE_TTY_CTS) && a->cts != b->cts);
}

/* Until one of these lines changes. -EIO: the terminal was hung up. */
static int64_t wait_lines(const struct file *f, struct tty_port *p, uint64_t lines)
{
	const struct tty_file *tf = tty_file_of(f);
	err_t err = 0;
	mutex_lock(&p->line.lock);
	struct port_counts before = p->counts;
	while (!err && !has_changed(&before, &p->counts, lines))
		err = tf->hung_up ? -EIO : tty_port_wait_locked(p);
	mutex_unlock(&p->line.lock);
	return err;
}

static int64_t get_counts(struct tty_port *p, uint64_t arg)
{
	struct serial_counts c = {0};
	mutex_lock(&p->line.lock);
	c.counts = p->counts;
	mutex_unlock(&p->line.lock);
	return copy_to_user(arg, &c, sizeof(c));
}

static int64_t get_info(struct tty_port *p, uint64_t arg)
{
	mutex_lock(&p->line.lock);
	struct serial_info s = {.kind = (int32_t)p->device.kind,
	    .line = (int32_t)p->number,
	    .port = p->device.port,
	    .irq = (int32_t)p->device.irq,
	    .fifo = (int32_t)p->device.fifo,
	    .base = (int32_t)p->device.base,
	    .close_delay = CLOSE_DELAY,
	    .closing_wait = CLOSING_WAIT};
	mutex_unlock(&p->line.lock);
	return copy_to_user(arg, &s, sizeof(s));
}

static int64_t get_status(struct tty_port *p, uint64_t arg)
{
	mutex_lock(&p->line.lock);
	uint32_t status = p->idle ? LSR_EMPTY : 0;
	mutex_unlock(&p->line.lock);
	return copy_to_user(arg, &status, sizeof(status));
}

int64_t tty_port_ioctl(struct file *f, struct tty *t, uint32_t request, uint64_t arg)
{
	struct tty_port *p = tty_port_of(t);
	switch (request) {
	case TIOCMGET:
		return get_lines(p, arg);
	case TIOCMBIS:
	case TIOCMBIC:
	case TIOCMSET:
		return set_lines(p, request, arg);
	case TIOCMIWAIT:
		return wait_lines(f, p, arg);
	case TIOCGICOUNT:
		return get_counts(p, arg);
	case TIOCGSERIAL:
		return get_info(p, arg);
	case TIOCSERGETLSR:
		return get_status(p, arg);
	default:
		return -ENOTTY;
	}
}
