/*
 * serial.c - the driver of a serial port with a UART of the 8250 family, as a service: static, started by
 * init, or by whoever has the descriptors for it.
 *
 *	QUIRE_SYSTEM=N   a system object that is good for the ports and the line
 *	QUIRE_KEEP=N     the device's side of the terminal, which outlives this process
 *	QUIRE_PING=N     where its manager asks whether it is well; without it nobody does
 *
 *	serial [FIRST-PORT [LINE]]   the second port of a PC if nothing is said: 0x2f8, 3
 *
 * One thread waits for everything: the interrupt, the terminal, the manager. Each wake looks at the device
 * until it wants nothing, at most ROUNDS times, then at the terminal. Nothing is kept here that the next
 * driver would need: the terminal tells its settings again, and the UART is taken as it is, with what its
 * buffers hold. What a kill loses is what this process has in its hands: at most as many bytes as the UART's
 * buffer takes (FIFO) in each direction, since no more is taken before what was taken has been passed on.
 *
 * While the terminal has no room input stays in the UART, whose interrupt is off; RTS falls then if the
 * settings ask for that (CRTSCTS).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <quire/calls.h>
#include <quire/guard.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

enum { COM2 = 0x2f8, COM2_LINE = 3, NPORTS = 8, CLOCK = 115200 };
enum uart_register {
	DATA,
	IER,
	IIR,
	LCR,
	MCR,
	LSR,
	MSR,
	SCRATCH,
	FCR = IIR,
	DIVISOR_LOW = DATA,
	DIVISOR_HIGH = IER
};
enum { IER_RECEIVED = 1, IER_EMPTY = 2, IER_STATUS = 4, IER_LINES = 8 };
enum { IIR_NONE = 1, IIR_FIFO = 0xc0, IIR_FIFO_BROKEN = 0x80 };
enum { FCR_ENABLE = 1, FCR_TRIGGER_8 = 0x80 };
enum { LCR_STOP = 4, LCR_PARITY = 8, LCR_EVEN = 0x10, LCR_STICK = 0x20, LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 }; /* OUT2 opens the interrupt */
enum {
	LSR_READY = 1,
	LSR_OVERRUN = 2,
	LSR_PARITY = 4,
	LSR_FRAME = 8,
	LSR_BREAK = 0x10,
	LSR_FAULTS = LSR_PARITY | LSR_FRAME | LSR_BREAK,
	LSR_ROOM = 0x20,
	LSR_IDLE = 0x40,
};
enum {
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_CD = 0x80,
	MSR_CHANGES = 4 /* bits further down */
};
enum uart_kind { KIND_NONE, KIND_16450 = 2, KIND_16550, KIND_16550A }; /* as TIOCGSERIAL has them */
enum {
	FIFO = 16,
	ROUNDS = 64,
	NO_DESCRIPTOR = -1,
	PING = 1,                 /* the tag of "are you well?" */
	USUAL_SPEED = 9600,       /* while the terminal asks for none */
	PATIENCE_MIN = 200000,    /* ns; for the last byte to leave the transmitter ... */
	PATIENCE_MAX = 100000000, /* ... and for an interrupt that may have been lost */
};

struct driver {
	unsigned base, line;
	int irq, port, ping;
	struct quire_ttyport x; /* what was said to the terminal, and heard */
	uint8_t faults;         /* LSR has told, and forgotten, before their byte was taken */
	uint8_t held[FIFO];     /* input to be passed on: [held_from, held_end) */
	unsigned held_from, held_end;
	bool throttled;    /* there was no room for it: the device is not asked for more */
	bool busy;         /* the transmitter has something to do */
	bool again;        /* the device still wanted something */
	bool changed;      /* it was set anew: its lines may follow, with no interrupt */
	bool moved;        /* it was worth looking */
	uint64_t patience; /* ns until it is looked at without being asked */
};

static uint8_t get(const struct driver *d, enum uart_register r)
{
	uint8_t value;
	__asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(d->base + r));
	return value;
}

static void put(const struct driver *d, enum uart_register r, unsigned value)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(d->base + r));
}

/* Say why in the log, and leave: the manager starts another one, unless the status tells him that there is no
 * use in that. */
static _Noreturn void give_up(const struct driver *d, const char *why)
{
	char text[128];
	int error = errno;
	snprintf(text, sizeof(text), "serial port at %#x: %s: %s", d->base, why, strerror(error));
	quire_diag(text);
	exit(error == EBUSY || error == ENXIO ? error : 1);
}

/* --- the device --- */

/* Where nothing is all reads are ones. */
static bool is_there(const struct driver *d)
{
	for (unsigned value = 0x55; value <= 0xaa; value += 0x55) {
		put(d, SCRATCH, value);
		if (get(d, SCRATCH) != value)
			return false;
	}
	return true;
}

/* What its buffers hold stays, if they were in use. */
static void find_kind(struct driver *d)
{
	put(d, FCR, FCR_ENABLE | FCR_TRIGGER_8);
	unsigned works = get(d, IIR) & IIR_FIFO;
	d->x.kind = works == IIR_FIFO ? KIND_16550A : works == IIR_FIFO_BROKEN ? KIND_16550 : KIND_16450;
	d->x.fifo = works == IIR_FIFO ? FIFO : 1;
	d->x.port = d->base;
	d->x.irq = d->line;
	d->x.base = CLOCK;
}

/* To set a divisor disturbs what is being sent, so only if it is another one. */
static void set_divisor(const struct driver *d, unsigned lcr)
{
	unsigned speed = d->x.speed ? d->x.speed : USUAL_SPEED, divisor = (CLOCK + speed / 2) / speed;
	if (!divisor || divisor > 0xffff)
		divisor = divisor ? 0xffff : 1;
	put(d, LCR, lcr | LCR_DLAB);
	if (get(d, DIVISOR_LOW) != (divisor & 0xff) || get(d, DIVISOR_HIGH) != divisor >> 8) {
		put(d, DIVISOR_LOW, divisor & 0xff);
		put(d, DIVISOR_HIGH, divisor >> 8);
	}
	put(d, LCR, lcr);
}

static unsigned lcr_of(const struct quire_ttyport *x)
{
	unsigned lcr = (x->cflag & CSIZE) >> 4; /* CS5 ... CS8 are 0 ... 3 there and here */
	lcr |= x->cflag & CSTOPB ? LCR_STOP : 0;
	lcr |= x->cflag & PARENB ? LCR_PARITY : 0;
	lcr |= x->cflag & PARODD ? 0 : LCR_EVEN;
	lcr |= x->cflag & CMSPAR ? LCR_STICK : 0;
	return lcr | (x->in_break ? LCR_BREAK : 0);
}

/* What depends on whether there is room for input. */
static void set_flow(const struct driver *d)
{
	bool no_rts = d->throttled && (d->x.cflag & CRTSCTS);
	unsigned mcr = MCR_OUT2;
	mcr |= d->x.set & QUIRE_TTY_DTR ? MCR_DTR : 0;
	mcr |= d->x.set & QUIRE_TTY_RTS && !no_rts ? MCR_RTS : 0;
	mcr |= d->x.set & QUIRE_TTY_OUT1 ? MCR_OUT1 : 0;
	mcr |= d->x.set & QUIRE_TTY_LOOP ? MCR_LOOP : 0;
	put(d, MCR, mcr);
	put(d, IER, IER_EMPTY | IER_LINES | (d->throttled ? 0 : IER_RECEIVED | IER_STATUS));
}

/* --- the terminal --- */

/* Say how things are, and do what is wished, until nothing new is wished. */
static void exchange(struct driver *d)
{
	do {
		if (quire_ttyport_exchange(d->port, &d->x))
			give_up(d, "exchange with the terminal");
		d->x.changed = 0;
		if (d->x.wish == d->x.followed)
			return;
		set_divisor(d, lcr_of(&d->x));
		set_flow(d);
		d->x.followed = d->x.wish;
		d->changed = true;
	} while (true);
}

static void tell_fault(struct driver *d, enum quire_tty_fault fault, uint8_t byte)
{
	if (quire_ttyport_fault(d->port, fault, byte))
		give_up(d, "tell the terminal of a fault");
}

static bool is_holding(const struct driver *d)
{
	return d->held_from != d->held_end;
}

/* Pass on what has been taken, as far as there is room. */
static void pass_input(struct driver *d)
{
	while (is_holding(d)) {
		ssize_t n = write(d->port, d->held + d->held_from, d->held_end - d->held_from);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			give_up(d, "write to the terminal");
		d->held_from += (unsigned)n;
	}
	d->held_from = d->held_end = 0;
}

/* --- what the device may want --- */

/* The line status. Reading it clears what it says of faults: that is remembered for the byte that is next. */
static unsigned look(struct driver *d)
{
	unsigned status = get(d, LSR);
	if (status == 0xff && !is_there(d))
		give_up(d, "the device has gone");
	if (status & LSR_OVERRUN)
		tell_fault(d, QUIRE_TTY_OVERRUN, 0);
	d->faults |= status & LSR_FAULTS;
	return status | d->faults;
}

static uint8_t take_byte(struct driver *d)
{
	d->faults = 0;
	d->moved = true;
	return get(d, DATA);
}

/* One buffer's worth of good bytes at most; returns the status behind them. */
static unsigned take_input(struct driver *d)
{
	unsigned status = look(d);
	while ((status & (LSR_READY | LSR_FAULTS)) == LSR_READY && d->held_end < FIFO) {
		d->held[d->held_end++] = take_byte(d);
		status = look(d);
	}
	return status;
}

static void take_bad(struct driver *d, unsigned status)
{
	uint8_t byte = take_byte(d);
	tell_fault(d,
	    status & LSR_BREAK    ? QUIRE_TTY_BREAK
	    : status & LSR_PARITY ? QUIRE_TTY_PARITY
				  : QUIRE_TTY_FRAME,
	    byte);
}

static void receive(struct driver *d)
{
	pass_input(d);
	for (unsigned i = 0; i < ROUNDS && !is_holding(d); i++) {
		unsigned status = take_input(d);
		pass_input(d);
		if (is_holding(d) || !(status & LSR_READY))
			break;
		if (status & LSR_FAULTS)
			take_bad(d, status);
	}
	if (d->throttled != is_holding(d)) {
		d->throttled = is_holding(d);
		set_flow(d);
	}
}

static void watch_lines(struct driver *d)
{
	static const struct {
		uint8_t bit;
		uint16_t line;
	} lines[] = {{MSR_CTS, QUIRE_TTY_CTS}, {MSR_DSR, QUIRE_TTY_DSR}, {MSR_RI, QUIRE_TTY_RI},
	    {MSR_CD, QUIRE_TTY_CD}};
	unsigned status = get(d, MSR), now = 0;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		now |= status & lines[i].bit ? lines[i].line : 0;
		d->x.changed |= status & lines[i].bit >> MSR_CHANGES ? lines[i].line : 0;
	}
	if (now == d->x.lines && !d->x.changed)
		return;
	d->x.lines = now;
	d->moved = true;
	exchange(d);
}

static bool may_send(const struct driver *d)
{
	return !d->busy && (!(d->x.cflag & CRTSCTS) || (d->x.lines & QUIRE_TTY_CTS));
}

/* As much as the transmitter takes at a time, when it has nothing left. */
static void transmit(struct driver *d)
{
	uint8_t bytes[FIFO];
	d->busy = !(look(d) & LSR_ROOM);
	ssize_t n = may_send(d) ? read(d->port, bytes, d->x.fifo) : 0;
	if (n < 0 && errno != EAGAIN)
		give_up(d, "read from the terminal");
	if (n <= 0)
		return;
	for (ssize_t i = 0; i < n; i++)
		put(d, DATA, bytes[i]);
	d->x.idle = 0;
	d->busy = d->moved = true;
}

/* Who waits for the last byte to have left is told. */
static void watch_end(struct driver *d)
{
	if (d->x.idle || !(look(d) & LSR_IDLE))
		return;
	d->x.idle = 1;
	exchange(d);
}

static void serve_device(struct driver *d)
{
	bool moved = false;
	d->again = true;
	d->changed = false;
	for (unsigned i = 0; i < ROUNDS && d->again; i++) {
		d->moved = false;
		receive(d);
		watch_lines(d);
		transmit(d);
		d->again = !(get(d, IIR) & IIR_NONE);
		moved |= d->moved;
	}
	watch_end(d);
	if (d->again && !moved) {
		errno = EIO;
		give_up(d, "it interrupts, and wants nothing");
	}
	if (moved)
		d->patience = PATIENCE_MIN;
}

/* --- everything else --- */

/* "Are you well?" Who does not answer is replaced; when the manager has gone so do we. */
static void answer_ping(struct driver *d)
{
	struct quire_message asked = {0}, well = {0};
	if (quire_endpoint_receive(d->ping, &asked, QUIRE_NOW)) {
		if (errno == EPIPE)
			exit(0);
		if (errno != ETIMEDOUT && errno != EINTR)
			give_up(d, "receive from the manager");
		return;
	}
	for (unsigned i = 0; i < asked.nfds; i++)
		close(asked.fds[i]);
	if (asked.reply >= 0 && quire_endpoint_reply(asked.reply, &well))
		close(asked.reply);
}

static uint64_t next_look(struct driver *d)
{
	struct timespec now;
	if (d->again || d->changed)
		return QUIRE_NOW;
	if (d->x.idle && !d->busy)
		return QUIRE_NEVER;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t patience = d->patience;
	d->patience = patience * 2 < PATIENCE_MAX ? patience * 2 : PATIENCE_MAX;
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + patience;
}

static void wait_for_work(struct driver *d)
{
	struct quire_wait w[3] = {{.fd = d->irq, .mask = QUIRE_SIGNAL_READABLE},
	    {.fd = d->port,
		.mask = QUIRE_SIGNAL_TTY_WISH | (may_send(d) ? QUIRE_SIGNAL_READABLE : 0) |
			(d->throttled ? QUIRE_SIGNAL_WRITABLE : 0)},
	    {.fd = d->ping, .mask = QUIRE_SIGNAL_READABLE | QUIRE_SIGNAL_PEER_CLOSED}};
	unsigned n = d->ping == NO_DESCRIPTOR ? 2 : 3;
	if (quire_object_wait(w, n, next_look(d)) < 0 && errno != ETIMEDOUT && errno != EINTR)
		give_up(d, "wait");
	if (w[0].signals & QUIRE_SIGNAL_READABLE && quire_irq_acknowledge(d->irq))
		give_up(d, "acknowledge the interrupt");
	if (w[1].signals & QUIRE_SIGNAL_TTY_WISH)
		exchange(d);
	if (w[2].signals & w[2].mask)
		answer_ping(d);
}

/* --- the beginning --- */

static int given(const char *name)
{
	const char *value = getenv(name);
	return value ? atoi(value) : NO_DESCRIPTOR;
}

/* The device is silent before the line is taken, and speaks when there is somebody to hear it. */
static void begin(struct driver *d, int system)
{
	if (quire_system_ports(system, d->base, NPORTS))
		give_up(d, "no ports");
	if (!is_there(d)) {
		errno = ENXIO;
		give_up(d, "there is none");
	}
	put(d, LCR, get(d, LCR) & ~(unsigned)LCR_DLAB);
	put(d, IER, 0);
	d->irq = (int)quire_system_irq(system, d->line, QUIRE_IRQ_ISA);
	if (d->irq < 0)
		give_up(d, "no interrupt");
	if (fcntl(d->port, F_SETFL, O_NONBLOCK))
		give_up(d, "no terminal");
	find_kind(d);
	exchange(d);
	if (quire_irq_acknowledge(d->irq))
		give_up(d, "the interrupt does not begin");
}

int main(int argc, char **argv)
{
	struct driver d = {.base = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : COM2,
	    .line = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : COM2_LINE,
	    .port = given("QUIRE_KEEP"),
	    .ping = given("QUIRE_PING"),
	    .patience = PATIENCE_MIN};
	begin(&d, given("QUIRE_SYSTEM"));
	for (;;) {
		serve_device(&d);
		wait_for_work(&d);
	}
}
