/*
 * tty_port.c - terminals whose device is driven by a process: /dev/ttyS1 and those behind it.
 *
 *	program ──▶ tty ──▶ out ──read──▶ driver ──▶ device
 *	program ◀── tty ◀── wire ◀─write── driver ◀── device
 *	              wishes: settings, lines, breaks ──exchange──▶ driver
 *	              lines, all was sent             ◀──exchange── driver
 *
 * The driver has a descriptor of the port: it reads what is to be sent, writes what has come, and exchanges
 * the rest. Everything else is tty.c's. Whoever keeps another descriptor of the port keeps the terminal over
 * the driver's death: output waits, input does not come, and nobody is told. What the next driver needs to
 * know is here and not in the driver: each wish has a number, and one that no driver has followed is told to
 * whoever asks. When the last descriptor goes the device has gone: all files are hung up, and the name is
 * free for another port.
 *
 * Nobody but the driver knows whether the device has sent all; it says so (`idle`), and reading more output
 * takes that back.
 *
 * Calls that wait for the line rather than for bytes (until all was sent, for a carrier, for a change) sleep
 * on `wait`, and look again at every event.
 *
 * Locking: the line's lock, as for all terminals; the lock of the port's file lets drivers' reads and writes
 * take turns, and user memory is touched with it alone. `ports` by ports_lock, which ends before anything
 * else is locked: who finds a port takes a reference.
 */
#include "fs/tty_port.h"
#include "fs/anon.h"
#include "fs/devfs.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

enum {
	PORTS = QUIRE_TTYPORT_LAST + 1,
	MINOR_TTYS0 = 64,
	B115200 = 0010002,
	CHUNK = 256,
	NAME_SIZE = 12,
	RAISED = QUIRE_TTY_DTR | QUIRE_TTY_RTS,
	SIGNAL_WISH = 1 << 16, /* QUIRE_SIGNAL_TTY_WISH */
	PORT_LEVELS = SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_WISH,
};
STATIC_ASSERT(SIGNAL_WISH == QUIRE_SIGNAL_TTY_WISH);
#define URGENT SIZE_MAX /* in the place of a counter of `out` */

static struct spinlock ports_lock = SPINLOCK_INIT("tty ports", RANK_VNODES);
static struct tty_port *ports[PORTS]; /* ports_lock */

/* --- events --- */

static void tell_event_locked(struct tty_port *p)
{
	uint64_t state = spin_lock_irqsave(&p->wait_lock);
	p->events++;
	waitq_wake_all(&p->wait);
	spin_unlock_irqrestore(&p->wait_lock, state);
}

err_t tty_port_wait_locked(struct tty_port *p)
{
	uint64_t seen = p->events;
	err_t err = 0;
	mutex_unlock(&p->line.lock);
	uint64_t state = spin_lock_irqsave(&p->wait_lock);
	while (!err && p->events == seen)
		err = waitq_sleep_irq(&p->wait, &p->wait_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
	spin_unlock_irqrestore(&p->wait_lock, state);
	mutex_lock(&p->line.lock);
	return err;
}

void tty_port_wish_locked(struct tty_port *p)
{
	p->wish += p->wish == UINT32_MAX ? 2 : 1; /* 0 is no wish */
}

/* --- what the terminal asks of its driver --- */

static size_t port_queued(const struct tty *t)
{
	const struct tty_port *p = tty_port_of(t);
	return p->out_head - p->out_tail;
}

static size_t port_room(const struct tty *t)
{
	return PORT_OUT_SIZE - port_queued(t);
}

static void port_put(struct tty *t, const uint8_t *bytes, size_t n)
{
	struct tty_port *p = tty_port_of(t);
	ASSERT(n <= port_room(t)); /* the line discipline has asked */
	for (size_t i = 0; i < n; i++)
		p->out[p->out_head++ % PORT_OUT_SIZE] = bytes[i];
}

static void port_send_now(struct tty *t, uint8_t c)
{
	tty_port_of(t)->urgent = c;
}

static bool has_output(const struct tty_port *p)
{
	return p->urgent != PORT_NOTHING || (p->out_head != p->out_tail && !p->tty.ldisc.stopped);
}

static bool all_sent(const struct tty_port *p)
{
	return p->urgent == PORT_NOTHING && p->out_head == p->out_tail && p->idle;
}

/* Files that were hung up do not count. */
static bool is_open(const struct tty_port *p)
{
	list_for_each (it, (struct list *)(uintptr_t)&p->tty.files)
		if (!list_entry(it, struct tty_file, link)->hung_up)
			return true;
	return false;
}

/* The lines fall when the last program has closed the terminal and all was sent. */
static void lower_lines_locked(struct tty_port *p)
{
	if (is_open(p) || !all_sent(p) || !(p->set & RAISED) || !(p->tty.ldisc.termios.cflag & TC_HUPCL))
		return;
	p->set &= ~(uint32_t)RAISED;
	tty_port_wish_locked(p);
}

/* Bring the signals of the driver's side up to date. */
static void port_flush(struct tty *t)
{
	struct tty_port *p = tty_port_of(t);
	if (!p->file)
		return;
	uint64_t now = (has_output(p) ? SIGNAL_READABLE : 0) | (tty_wire_room(t) ? SIGNAL_WRITABLE : 0) |
		       (p->wish != p->followed ? SIGNAL_WISH : 0);
	kobject_signal(&p->file->object, now, PORT_LEVELS & ~now);
}

static void port_discard(struct tty *t)
{
	struct tty_port *p = tty_port_of(t);
	p->out_tail = p->out_head;
	t->room_news = true;
	tell_event_locked(p);
}

static err_t port_open(struct tty *t)
{
	struct tty_port *p = tty_port_of(t);
	if (p->closed)
		return -EIO;
	if (is_open(p))
		return 0;
	tty_flush_input_locked(t);
	if (t->ldisc.termios.ospeed)
		p->set |= RAISED;
	tty_port_wish_locked(p);
	return 0;
}

/* The last program has gone: the next finds the settings, and nothing else. What was written is sent, unless
 * it was stopped: nobody is left who could start it. */
static void port_close(struct tty *t)
{
	struct tty_port *p = tty_port_of(t);
	struct tty_termios settings = t->ldisc.termios;
	if (is_open(p))
		return;
	if (t->ldisc.stopped)
		port_discard(t);
	tty_flush_input_locked(t);
	ldisc_init(&t->ldisc, t->ldisc.ops, &settings);
	t->exclusive = p->in_break = false;
	t->size = (struct tty_size){0};
	t->locked = (struct tty_termios){0};
	lower_lines_locked(p);
	tty_port_wish_locked(p);
}

static void port_hung_up(struct tty *t)
{
	port_discard(t);
	lower_lines_locked(tty_port_of(t));
}

/* A speed that the device has not is not taken; a speed of 0 hangs up. */
static void port_set(struct tty *t, const struct tty_termios *old)
{
	struct tty_port *p = tty_port_of(t);
	struct tty_termios *now = &t->ldisc.termios;
	const uint32_t speed_bits = TC_CBAUD | TC_CBAUD << TC_IBSHIFT;
	if (p->device.base && now->ospeed > p->device.base) {
		now->cflag = (now->cflag & ~speed_bits) | (old->cflag & speed_bits);
		now->ospeed = old->ospeed;
		now->ispeed = old->ispeed;
	}
	if (!now->ospeed)
		p->set &= ~(uint32_t)RAISED;
	else if (!old->ospeed)
		p->set |= RAISED;
	if (now->cflag != old->cflag || now->ospeed != old->ospeed)
		tty_port_wish_locked(p);
	tell_event_locked(p); /* CLOCAL may have changed */
}

static void port_set_break(struct tty *t, bool on)
{
	struct tty_port *p = tty_port_of(t);
	if (p->in_break != on)
		tty_port_wish_locked(p);
	p->in_break = on;
}

static err_t port_drain(struct file *f, struct tty *t)
{
	struct tty_port *p = tty_port_of(t);
	const struct tty_file *tf = tty_file_of(f);
	err_t err = 0;
	mutex_lock(&p->line.lock);
	while (!err && !tf->hung_up && !all_sent(p))
		err = tty_port_wait_locked(p);
	if (!err && tf->hung_up)
		err = -EIO;
	mutex_unlock(&p->line.lock);
	return err;
}

static const struct tty_driver port_driver = {
    .termios = {.iflag = TI_ICRNL | TI_IXON,
	.oflag = TO_OPOST | TO_ONLCR,
	.cflag = B115200 | TC_CS8 | TC_CREAD | TC_HUPCL | TC_CLOCAL,
	.lflag = TL_ISIG | TL_ICANON | TL_ECHO | TL_ECHOE | TL_ECHOK | TL_ECHOCTL | TL_ECHOKE | TL_IEXTEN,
	.cc = TTY_STD_CHARS,
	.ispeed = 115200,
	.ospeed = 115200},
    .open = port_open,
    .close = port_close,
    .set = port_set,
    .room = port_room,
    .write = port_put,
    .send_now = port_send_now,
    .discard = port_discard,
    .flush = port_flush,
    .queued = port_queued,
    .drain = port_drain,
    .set_break = port_set_break,
    .hung_up = port_hung_up,
    .ioctl = tty_port_ioctl,
    .throttles = true,
};

/* --- the driver's side: bytes --- */

/* Copy up to n bytes of output, which stay; *from: the counter of the first, or URGENT: it is the character
 * that passes all others, and alone. */
static size_t look_at_output(struct tty_port *p, uint8_t *to, size_t n, size_t *from)
{
	size_t got = 0;
	mutex_lock(&p->line.lock);
	*from = p->urgent != PORT_NOTHING ? URGENT : p->out_tail;
	if (*from == URGENT)
		to[got++] = (uint8_t)p->urgent;
	else if (has_output(p))
		for (n = MIN(n, p->out_head - p->out_tail); got < n; got++)
			to[got] = p->out[(*from + got) % PORT_OUT_SIZE];
	mutex_unlock(&p->line.lock);
	return got;
}

/* n bytes from this counter on have reached the driver. Somebody may have dropped them meanwhile. */
static void take_output(struct tty_port *p, size_t from, size_t n)
{
	struct tty *t = &p->tty;
	mutex_lock(&p->line.lock);
	if (from == URGENT)
		p->urgent = PORT_NOTHING;
	else if ((int64_t)(from + n - p->out_tail) > 0)
		p->out_tail = from + n;
	p->idle = false;
	p->counts.tx += (uint32_t)n;
	t->room_news = true;
	tty_settle_locked(t);
	mutex_unlock(&p->line.lock);
}

static err_t read_some(struct file *f, struct uio *u)
{
	struct tty_port *p = f->priv;
	uint8_t chunk[CHUNK];
	size_t from, done = 0;
	err_t err = -EAGAIN;
	mutex_lock(&f->lock);
	size_t n = look_at_output(p, chunk, MIN(u->left, sizeof(chunk)), &from);
	if (n)
		err = uio_write(u, chunk, n, &done);
	if (done)
		take_output(p, from, done);
	mutex_unlock(&f->lock);
	return err;
}

/* Room for n bytes is said to be there for as long as nobody takes input, since they are thrown away. */
static bool throws_away(const struct tty_port *p)
{
	return !is_open(p) || !(p->tty.ldisc.termios.cflag & TC_CREAD);
}

static size_t input_room(struct tty_port *p)
{
	mutex_lock(&p->line.lock);
	size_t n = throws_away(p) ? CHUNK : tty_wire_room(&p->tty);
	mutex_unlock(&p->line.lock);
	return n;
}

static void give_input(struct tty_port *p, const uint8_t *bytes, size_t n)
{
	struct tty *t = &p->tty;
	mutex_lock(&p->line.lock);
	p->counts.rx += (uint32_t)n;
	if (!throws_away(p)) {
		size_t took = tty_feed_locked(t, bytes, n);
		p->counts.lost += (uint32_t)(n - took); /* none, unless programs have just opened it */
		tty_settle_locked(t);
	}
	mutex_unlock(&p->line.lock);
}

static err_t write_some(struct file *f, struct uio *u)
{
	struct tty_port *p = f->priv;
	uint8_t chunk[CHUNK];
	size_t n = 0;
	err_t err = -EAGAIN;
	mutex_lock(&f->lock);
	size_t room = input_room(p);
	if (room)
		err = uio_read(u, chunk, MIN(MIN(room, u->left), sizeof(chunk)), &n);
	if (n)
		give_input(p, chunk, n);
	mutex_unlock(&f->lock);
	return err;
}

/* Move what can be moved; wait for the signal if that is nothing. */
static int64_t move(
    struct file *f, struct uio *u, err_t (*some)(struct file *, struct uio *), uint64_t signal)
{
	size_t wanted = u->left;
	uint64_t seen;
	err_t err = 0;
	while (!err && u->left) {
		err = some(f, u);
		if (err != -EAGAIN || u->left != wanted || file_is_nonblock(f, u))
			continue;
		err = kobject_wait(&f->object, signal, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
	}
	return u->left != wanted ? (int64_t)(wanted - u->left) : err;
}

static int64_t port_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	return move(f, u, read_some, SIGNAL_READABLE);
}

static int64_t port_write(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	return move(f, u, write_some, SIGNAL_WRITABLE);
}

/* --- the driver's side: the rest --- */

static void count_lines(struct port_counts *c, uint32_t changed)
{
	c->cts += !!(changed & QUIRE_TTY_CTS);
	c->dsr += !!(changed & QUIRE_TTY_DSR);
	c->rng += !!(changed & QUIRE_TTY_RI);
	c->dcd += !!(changed & QUIRE_TTY_CD);
}

/* What the driver says. A carrier that is lost hangs up, unless the line is local. */
static void hear_locked(struct tty_port *p, const struct quire_ttyport *x)
{
	struct tty *t = &p->tty;
	uint32_t old = p->device.lines, now = x->lines & QUIRE_TTY_LINES_IN;
	count_lines(&p->counts, (x->changed & QUIRE_TTY_LINES_IN) | (old ^ now));
	p->device = *x;
	p->device.lines = now;
	p->followed = x->followed;
	p->idle |= x->idle;
	if ((old & ~now & QUIRE_TTY_CD) && !(t->ldisc.termios.cflag & TC_CLOCAL))
		tty_hang_up_locked(t, false);
	lower_lines_locked(p);
	tell_event_locked(p);
}

static void wish_locked(const struct tty_port *p, struct quire_ttyport *x)
{
	const struct tty_termios *s = &p->tty.ldisc.termios;
	x->wish = p->wish;
	x->open = is_open(p);
	x->set = p->set;
	x->in_break = p->in_break;
	x->speed = s->ospeed;
	x->cflag = s->cflag;
}

void tty_port_exchange(struct file *port, struct quire_ttyport *x)
{
	struct tty_port *p = port->priv;
	mutex_lock(&p->line.lock);
	hear_locked(p, x);
	wish_locked(p, x);
	tty_settle_locked(&p->tty);
	mutex_unlock(&p->line.lock);
}

/* A byte that is bad is as good as any if nobody asks (INPCK), and what is to be ignored never came. */
static void feed_bad_locked(struct tty_port *p, enum quire_tty_fault fault, uint8_t byte)
{
	struct tty *t = &p->tty;
	uint32_t iflag = t->ldisc.termios.iflag;
	bool is_break = fault == QUIRE_TTY_BREAK, took;
	if (throws_away(p) || (iflag & (is_break ? TI_IGNBRK : TI_IGNPAR)))
		return;
	if (!is_break && !(iflag & TI_INPCK))
		took = tty_feed_locked(t, &byte, 1);
	else
		took = tty_feed_fault_locked(t, is_break ? LDISC_BREAK : LDISC_PARITY, byte);
	p->counts.lost += !took;
	tty_settle_locked(t);
}

err_t tty_port_fault(struct file *port, enum quire_tty_fault fault, uint8_t byte)
{
	struct tty_port *p = port->priv;
	uint32_t *const counts[] = {[QUIRE_TTY_BREAK] = &p->counts.brk,
	    [QUIRE_TTY_PARITY] = &p->counts.parity,
	    [QUIRE_TTY_FRAME] = &p->counts.frame,
	    [QUIRE_TTY_OVERRUN] = &p->counts.overrun};
	if ((unsigned)fault >= ARRAY_SIZE(counts))
		return -EINVAL;
	mutex_lock(&p->line.lock);
	++*counts[fault];
	if (fault != QUIRE_TTY_OVERRUN) {
		p->counts.rx++;
		feed_bad_locked(p, fault, byte);
	}
	mutex_unlock(&p->line.lock);
	return 0;
}

/* --- opening --- */

static err_t wait_carrier(struct tty_port *p, const struct file *f)
{
	const struct tty_file *tf = tty_file_of(f);
	err_t err = 0;
	mutex_lock(&p->line.lock);
	while (!err && !tf->hung_up && !(p->tty.ldisc.termios.cflag & TC_CLOCAL) &&
	       !(p->device.lines & QUIRE_TTY_CD))
		err = tty_port_wait_locked(p);
	if (!err && tf->hung_up)
		err = -EAGAIN;
	mutex_unlock(&p->line.lock);
	return err;
}

static struct tty_port *find(unsigned number)
{
	spin_lock(&ports_lock);
	struct tty_port *p = number < PORTS ? ports[number] : NULL;
	if (p && !ref_try_get(&p->line.refs))
		p = NULL;
	spin_unlock(&ports_lock);
	return p;
}

/* If there is no carrier after all, the file's end undoes the open. */
static err_t open_device(struct file *f, UNUSED void *data)
{
	uint32_t flags = load_relaxed(&f->flags);
	struct tty_port *p = find(DEV_MINOR(f->vnode->rdev) - MINOR_TTYS0);
	if (!p)
		return -ENXIO;
	err_t err = tty_open_file(&p->tty, f, false, true);
	if (!err && !(flags & FILE_NONBLOCK))
		err = wait_carrier(p, f);
	if (!err && !(flags & FILE_NOCTTY))
		tty_proc->opened(&p->tty, file_may_read(f));
	tty_put(&p->tty);
	return err;
}

/* --- life --- */

static void name_of(const struct tty_port *p, char name[NAME_SIZE])
{
	(void)format(name, NAME_SIZE, "ttyS%u", p->number);
}

static void destroy(struct tty_line *line)
{
	kfree(container_of(line, struct tty_port, line));
}

/* True: it is ours now. */
static bool set_port(unsigned number, struct tty_port *old, struct tty_port *new)
{
	spin_lock(&ports_lock);
	bool ours = ports[number] == old;
	if (ours)
		ports[number] = new;
	spin_unlock(&ports_lock);
	return ours;
}

/* The device has gone. An administrator may have removed the name. */
static void close_port(struct tty_port *p)
{
	char name[NAME_SIZE];
	mutex_lock(&p->line.lock);
	bool was_open = !p->closed;
	p->closed = true;
	mutex_unlock(&p->line.lock);
	if (!was_open)
		return;
	name_of(p, name);
	err_t err = dev_unregister(name, MODE_CHAR, p->tty.rdev);
	ASSERT(!err || err == -ENOENT || err == -ENOMEM);
	set_port(p->number, p, NULL);
	tty_hang_up(&p->tty, false);
}

static err_t port_no_descriptors(struct file *f)
{
	close_port(f->priv);
	return 0;
}

/* The driver's file goes, and the reference that it had. Programs may still have the terminal open. */
static void forget_file(struct tty_port *p)
{
	mutex_lock(&p->line.lock);
	p->closed = true;
	p->file = NULL;
	tty_hang_up_locked(&p->tty, false);
	mutex_unlock(&p->line.lock);
	tty_put(&p->tty);
}

/* One that never had a descriptor is not closed yet. */
static void port_release(struct file *f)
{
	struct tty_port *p = f->priv;
	if (!p)
		return; /* there was no memory for it */
	close_port(p);
	forget_file(p);
}

static const struct file_ops port_ops = {.type = KO_TTYPORT,
    .read = port_read,
    .write = port_write,
    .seek = file_seek_nowhere,
    .flush = port_no_descriptors,
    .release = port_release};

static struct tty_port *make(unsigned number)
{
	struct tty_port *p = kzalloc(sizeof(*p));
	if (!p)
		return NULL;
	tty_line_init(&p->line, destroy);
	tty_init(&p->tty, &p->line, &port_driver, DEV_MAKE(TTY_MAJOR_SERIAL, MINOR_TTYS0 + number));
	p->number = number;
	p->urgent = PORT_NOTHING;
	p->idle = true;
	p->wish = 1;
	spin_init(&p->wait_lock, "tty port", RANK_WAIT);
	waitq_init(&p->wait);
	return p;
}

static err_t publish(struct tty_port *p)
{
	char name[NAME_SIZE];
	if (!set_port(p->number, NULL, p))
		return -EBUSY;
	name_of(p, name);
	err_t err = dev_register(name, MODE_CHAR | 0660, p->tty.rdev, open_device, NULL);
	if (err)
		set_port(p->number, p, NULL);
	return err == -EEXIST ? -EBUSY : err;
}

err_t tty_port_create(unsigned number, struct file **out)
{
	struct file *f;
	if (number < QUIRE_TTYPORT_FIRST || number > QUIRE_TTYPORT_LAST)
		return -EINVAL;
	err_t err = file_create_anonymous(&port_ops, FILE_RDWR, "anon_inode:[ttyport]", &f);
	if (err)
		return err;
	struct tty_port *p = make(number);
	if (!p) {
		err = -ENOMEM;
		goto put_file;
	}
	fetch_or_acq_rel(&f->flags, FILE_STREAM);
	p->file = f;
	kobject_signal(&f->object, SIGNAL_WRITABLE | SIGNAL_WISH, SIGNAL_READABLE);
	err = publish(p);
	if (err)
		goto put_port;
	f->priv = p;
	*out = f;
	return 0;
put_port:
	forget_file(p); /* whoever was quick enough has it open */
put_file:
	file_put(f);
	return err;
}
