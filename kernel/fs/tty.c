/*
 * tty.c - files on terminals: reading, writing, poll, hanging up.
 *
 * A terminal is a line discipline (tty_ldisc.c) with a driver below it. Bytes that come in faster than they
 * are read wait in the `wire`, and when that is full as well the driver's sender waits: that is how the two
 * ends of a pty slow each other down.
 *
 *	program ─write─▶ ldisc ─driver─▶ wire of the link ─▶ its ldisc ─read─▶ program on the other end
 *
 * One mutex, (L), guards a line: a terminal, or both ends of a pty. Whoever changes something calls
 * tty_settle_locked, which moves bytes until nothing moves any more and then brings the signals of all files
 * up to date. Nobody waits with the mutex held, and user memory is touched without it. Readers take turns,
 * and so do writers, so that what belongs together stays together.
 *
 * Besides what poll sees, files have signals of their own: INPUT, a level: a reader has something to look at;
 * and ROOM, TURN, events: a writer who could not go on clears its own and waits until somebody sets it.
 *
 * A file that is hung up stays so: the terminal may be opened anew, by others.
 */
#include "fs/tty.h"
#include "arch/clock.h"
#include "fs/async.h"
#include "fs/devfs.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "mm/slab.h"

enum {
	SIGNAL_INPUT = 1 << 16,
	SIGNAL_ROOM = 1 << 17,
	SIGNAL_READ_TURN = 1 << 18,
	SIGNAL_WRITE_TURN = 1 << 19,
	LEVELS = SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED | SIGNAL_ERROR | SIGNAL_PRIORITY |
		 SIGNAL_INPUT,
	CHUNK = 256,
	DECISECOND = 100000000,
};

/* --- before there are processes --- */

static err_t no_check(UNUSED struct tty *t, UNUSED int signo)
{
	return 0;
}
static void no_signal(UNUSED struct tty *t, UNUSED int signo)
{
}
static void no_opened(UNUSED struct tty *t, UNUSED bool readable)
{
}
static struct tty *no_current(void)
{
	return NULL;
}
static bool no_is_current(UNUSED const struct tty *t)
{
	return false;
}
static err_t no_get(UNUSED struct tty *t, UNUSED bool must_own, UNUSED uint32_t *out)
{
	return -ENOTTY;
}
static err_t no_set_group(UNUSED struct tty *t, UNUSED int32_t pgid)
{
	return -ENOTTY;
}
static err_t no_acquire(UNUSED struct tty *t, UNUSED bool steal, UNUSED bool readable)
{
	return -EPERM;
}
static err_t no_give_up(UNUSED struct tty *t)
{
	return -ENOTTY;
}
static void no_hung_up(UNUSED struct tty *t, UNUSED bool ends)
{
}
static void no_owner(uint32_t *uid, uint32_t *gid)
{
	*uid = *gid = 0;
}
static bool is_privileged(void)
{
	return true;
}
static int64_t no_install(UNUSED struct file *f, UNUSED unsigned flags)
{
	return -EMFILE;
}

static const struct tty_proc_ops no_processes = {
    .check = no_check,
    .signal_group = no_signal,
    .opened = no_opened,
    .current = no_current,
    .is_current = no_is_current,
    .get_group = no_get,
    .get_session = no_get,
    .set_group = no_set_group,
    .acquire = no_acquire,
    .give_up = no_give_up,
    .hung_up = no_hung_up,
    .owner = no_owner,
    .privileged = is_privileged,
    .install = no_install,
};
const struct tty_proc_ops *tty_proc = &no_processes;

/* --- what the line discipline asks of a terminal --- */

static struct tty *tty_of(const struct ldisc *ld)
{
	return container_of((struct ldisc *)(uintptr_t)ld, struct tty, ldisc);
}

static size_t ask_room(const struct ldisc *ld)
{
	const struct tty *t = tty_of(ld);
	return t->driver->room(t);
}

static void pass_output(struct ldisc *ld, const uint8_t *bytes, size_t n)
{
	struct tty *t = tty_of(ld);
	t->driver->write(t, bytes, n);
}

static void pass_signal(struct ldisc *ld, int signo)
{
	tty_proc->signal_group(tty_of(ld), signo);
}

static void pass_discard(struct ldisc *ld)
{
	struct tty *t = tty_of(ld);
	if (t->driver->discard)
		t->driver->discard(t);
}

void tty_note_packet_locked(struct tty *t, uint8_t set, uint8_t clear)
{
	if (!t->link || !t->link->packet)
		return;
	t->packet_status = (uint8_t)((t->packet_status & ~clear) | set);
	t->link->input_news = true;
}

static void note_flush(struct ldisc *ld)
{
	tty_note_packet_locked(tty_of(ld), TTY_PACKET_FLUSHREAD, 0);
}

static void note_flow(struct ldisc *ld)
{
	struct tty *t = tty_of(ld);
	t->room_news = true;
	if (ld->stopped)
		tty_note_packet_locked(t, TTY_PACKET_STOP, TTY_PACKET_START);
	else
		tty_note_packet_locked(t, TTY_PACKET_START, TTY_PACKET_STOP);
}

void tty_send_now_locked(struct tty *t, uint8_t c)
{
	if (t->driver->send_now)
		t->driver->send_now(t, c);
	else if (t->driver->room(t))
		t->driver->write(t, &c, 1);
}

static void send_now(struct ldisc *ld, uint8_t c)
{
	tty_send_now_locked(tty_of(ld), c);
}

static const struct ldisc_ops pausing_ops = {
    .room = ask_room,
    .write = pass_output,
    .signal = pass_signal,
    .discard_output = pass_discard,
    .input_flushed = note_flush,
    .flow_changed = note_flow,
    .send_now = send_now,
};
static const struct ldisc_ops plain_ops = {
    .room = ask_room,
    .write = pass_output,
    .signal = pass_signal,
    .discard_output = pass_discard,
    .input_flushed = note_flush,
    .flow_changed = note_flow,
};

/* --- life --- */

void tty_line_init(struct tty_line *line, void (*destroy)(struct tty_line *line))
{
	ref_init(&line->refs);
	mutex_init(&line->lock, "tty", RANK_CHANNEL);
	line->destroy = destroy;
}

void tty_init(struct tty *t, struct tty_line *line, const struct tty_driver *driver, uint64_t rdev)
{
	t->line = line;
	t->driver = driver;
	t->rdev = rdev;
	list_init(&t->files);
	ldisc_init(&t->ldisc, driver->throttles ? &pausing_ops : &plain_ops, &driver->termios);
}

void tty_put(struct tty *t)
{
	struct tty_line *line = t->line;
	if (ref_put(&line->refs))
		line->destroy(line);
}

struct tty_file *tty_file_of(const struct file *f)
{
	return f->ops == &tty_file_ops ? f->priv : NULL;
}

err_t tty_open_file(struct tty *t, struct file *f, bool is_console, bool noctty)
{
	struct tty_file *tf = kzalloc(sizeof(*tf));
	if (!tf)
		return -ENOMEM;
	mutex_lock(&t->line->lock);
	err_t err = t->driver->open ? t->driver->open(t) : 0;
	if (!err && t->exclusive && !tty_proc->privileged())
		err = -EBUSY;
	if (!err) {
		*tf = (struct tty_file){.tty = t, .file = f, .is_console = is_console};
		tty_get(t);
		f->ops = &tty_file_ops;
		f->priv = tf;
		fetch_or_acq_rel(&f->flags, FILE_STREAM);
		list_push_back(&t->files, &tf->link);
		t->nfiles++;
		kobject_signal(&f->object, 0, LEVELS);
		tty_settle_locked(t);
	}
	mutex_unlock(&t->line->lock);
	if (err)
		kfree(tf);
	else if (!noctty && !t->driver->is_master)
		tty_proc->opened(t, file_may_read(f));
	return err;
}

static void tty_release(struct file *f)
{
	struct tty_file *tf = f->priv;
	struct tty *t = tf->tty;
	mutex_lock(&t->line->lock);
	list_remove(&tf->link);
	t->nfiles--;
	if (t->driver->close)
		t->driver->close(t);
	tty_settle_locked(t);
	bool last = t->nfiles == 0;
	mutex_unlock(&t->line->lock);
	if (last && t->driver->closed)
		t->driver->closed(t);
	kfree(tf);
	tty_put(t);
}

/* --- movement and news --- */

size_t tty_wire_room(const struct tty *t)
{
	return TTY_WIRE_SIZE - (t->wire_head - t->wire_tail);
}

size_t tty_feed_locked(struct tty *t, const uint8_t *bytes, size_t n)
{
	n = MIN(n, tty_wire_room(t));
	for (size_t i = 0; i < n; i++)
		t->wire[t->wire_head++ % TTY_WIRE_SIZE] = bytes[i];
	return n;
}

bool tty_feed_fault_locked(struct tty *t, enum ldisc_fault fault, uint8_t byte)
{
	if (t->fault_head - t->fault_tail == TTY_FAULTS)
		return false;
	t->faults[t->fault_head++ % TTY_FAULTS] = (struct tty_fault){t->wire_head, fault, byte};
	return true;
}

/* Good bytes up to the next fault. */
static size_t good_bytes(const struct tty *t)
{
	bool has_fault = t->fault_head != t->fault_tail;
	return (has_fault ? t->faults[t->fault_tail % TTY_FAULTS].at : t->wire_head) - t->wire_tail;
}

/* Is a fault next, and was it taken? */
static bool pump_fault(struct tty *t)
{
	if (t->fault_head == t->fault_tail || good_bytes(t) || !ldisc_receive_room(&t->ldisc))
		return false;
	const struct tty_fault *f = &t->faults[t->fault_tail++ % TTY_FAULTS];
	ldisc_receive_fault(&t->ldisc, f->fault, f->byte);
	return true;
}

/* Move what the line discipline takes; true: something moved. */
static bool pump(struct tty *t)
{
	bool moved = false, more = true;
	while (more) {
		size_t at = t->wire_tail % TTY_WIRE_SIZE;
		size_t n = MIN(good_bytes(t), TTY_WIRE_SIZE - at);
		size_t took = n ? ldisc_receive(&t->ldisc, t->wire + at, n) : 0;
		t->wire_tail += took;
		more = took == n && (pump_fault(t) || n);
		moved |= took || more;
	}
	if (moved) {
		t->input_news = true;
		if (t->link)
			t->link->room_news = true;
	}
	return moved;
}

static uint64_t level_of(const struct tty *t, const struct tty_file *tf)
{
	const struct ldisc *ld = &t->ldisc;
	uint64_t now = 0;
	bool status = t->packet && t->link->packet_status;
	size_t amount = ld->termios.cc[TCC_TIME] ? 1 : ld->termios.cc[TCC_MIN];
	if (tf->hung_up)
		return SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_ERROR | SIGNAL_PEER_CLOSED | SIGNAL_INPUT;
	now |= ldisc_has_input(ld, amount) || status ? SIGNAL_READABLE : 0;
	now |= status ? SIGNAL_PRIORITY : 0;
	now |= t->other_closed ? SIGNAL_PEER_CLOSED : 0;
	now |= ldisc_room(ld) > 0 && !t->writing ? SIGNAL_WRITABLE : 0;
	now |= ldisc_has_input(ld, 1) || status || t->other_closed ? SIGNAL_INPUT : 0;
	return now;
}

/* Set what is new, or is news; clear what is over. */
static void tell(struct tty *t)
{
	uint64_t news = (t->input_news ? SIGNAL_READABLE | SIGNAL_INPUT | SIGNAL_PRIORITY : 0) |
			(t->room_news ? SIGNAL_WRITABLE : 0);
	bool room = ldisc_room(&t->ldisc) > 0;
	list_for_each (it, &t->files) {
		struct tty_file *tf = list_entry(it, struct tty_file, link);
		uint64_t old = kobject_signals(&tf->file->object), now = level_of(t, tf);
		uint64_t set = now & (~old | news);
		if (room || tf->hung_up)
			set |= SIGNAL_ROOM;
		if (t->input_news && (now & SIGNAL_READABLE))
			file_news(tf->file, ASYNC_IN);
		if (now & ~old & SIGNAL_WRITABLE)
			file_news(tf->file, ASYNC_OUT);
		kobject_signal(&tf->file->object, set, LEVELS & ~now);
	}
	t->input_news = t->room_news = false;
}

void tty_settle_locked(struct tty *t)
{
	bool moved = true;
	while (moved) {
		moved = pump(t);
		ldisc_run_echoes(&t->ldisc);
		if (t->link)
			moved |= pump(t->link);
	}
	if (t->driver->flush)
		t->driver->flush(t);
	tell(t);
	if (t->link)
		tell(t->link);
}

void tty_flush_input_locked(struct tty *t)
{
	t->wire_tail = t->wire_head;
	t->fault_tail = t->fault_head;
	ldisc_flush_input(&t->ldisc);
	ldisc_unthrottle(&t->ldisc);
	if (t->link)
		t->link->room_news = true;
}

/* --- turns --- */

static void end_turn(struct tty *t, bool *busy, uint64_t signal)
{
	*busy = false;
	list_for_each (it, &t->files)
		kobject_signal(&list_entry(it, struct tty_file, link)->file->object, signal, 0);
}

/* Sleep without the lock until one of the signals is set. */
static err_t wait_for(struct tty_file *tf, uint64_t signals, nsec_t deadline)
{
	uint64_t seen;
	mutex_unlock(&tf->tty->line->lock);
	err_t err = kobject_wait(&tf->file->object, signals, deadline, WAIT_INTERRUPTIBLE, &seen);
	mutex_lock(&tf->tty->line->lock);
	return err;
}

static err_t take_turn(struct tty_file *tf, const struct uio *u, bool *busy, uint64_t signal)
{
	err_t err = 0;
	while (!err && *busy) {
		if (file_is_nonblock(tf->file, u))
			return -EAGAIN;
		kobject_signal(&tf->file->object, 0, signal);
		err = wait_for(tf, signal, NSEC_NEVER);
	}
	if (!err)
		*busy = true;
	return err;
}

/* --- reading --- */

struct reading {
	struct tty_file *tf;
	struct uio *u;
	size_t wanted;   /* bytes to begin with */
	size_t minimum;  /* bytes that end the read; 0 in lines */
	nsec_t between;  /* VTIME after a byte; 0: none */
	nsec_t deadline; /* of the wait; 0: there is none */
};

static size_t bytes_read(const struct reading *r)
{
	return r->wanted - r->u->left;
}

/* VMIN and VTIME as they are now. */
static void begin_reading(struct reading *r)
{
	const struct ldisc *ld = &r->tf->tty->ldisc;
	nsec_t time = (nsec_t)ld->termios.cc[TCC_TIME] * DECISECOND;
	r->minimum = ld->termios.cc[TCC_MIN];
	r->between = 0;
	r->deadline = NSEC_NEVER;
	if (ld->termios.lflag & TL_ICANON) {
		r->minimum = 0;
	} else if (r->minimum) {
		r->between = time;
	} else {
		r->deadline = time ? clock_now() + time : 0;
		r->minimum = 1;
	}
}

static err_t hand_out(struct reading *r, const uint8_t *bytes, size_t n)
{
	size_t done;
	struct mutex *lock = &r->tf->tty->line->lock;
	mutex_unlock(lock);
	err_t err = uio_write(r->u, bytes, n, &done);
	mutex_lock(lock);
	return err;
}

/* Take what is there, up to the end of a line. *end: the read is over. */
static err_t move_input(struct reading *r, bool *end)
{
	uint8_t chunk[CHUNK];
	struct tty *t = r->tf->tty;
	err_t err = 0;
	if (t->packet && !bytes_read(r))
		err = hand_out(r, (const uint8_t[]){TTY_PACKET_DATA}, 1);
	while (!err && !*end && r->u->left && ldisc_has_input(&t->ldisc, 1)) {
		size_t n = ldisc_read(&t->ldisc, chunk, MIN(r->u->left, sizeof(chunk)), end);
		if (n)
			err = hand_out(r, chunk, n);
	}
	if (ldisc_reads_lines(&t->ldisc) && !*end && !r->u->left)
		ldisc_skip_eof(&t->ldisc);
	*end |= !r->u->left || bytes_read(r) >= r->minimum;
	ldisc_unthrottle(&t->ldisc);
	tty_settle_locked(t);
	return err;
}

/* Nothing is there. 0: look again; *end: the read is over. */
static err_t wait_input(struct reading *r, bool *end)
{
	const struct tty *t = r->tf->tty;
	if (t->other_closed)
		return -EIO;
	if (r->tf->hung_up || !r->deadline) {
		*end = true;
		return 0;
	}
	if (file_is_nonblock(r->tf->file, r->u))
		return -EAGAIN;
	err_t err = wait_for(r->tf, SIGNAL_INPUT, r->deadline);
	*end = err == -ETIMEDOUT;
	return *end ? 0 : err;
}

static err_t read_locked(struct reading *r)
{
	struct tty *t = r->tf->tty;
	bool end = false;
	err_t err = 0;
	begin_reading(r);
	while (!err && !end) {
		if (t->packet && t->link->packet_status) {
			uint8_t status = t->link->packet_status;
			if (bytes_read(r))
				break;
			t->link->packet_status = 0;
			tty_settle_locked(t);
			return hand_out(r, &status, 1);
		}
		if (!ldisc_has_input(&t->ldisc, 1)) {
			err = wait_input(r, &end);
			continue;
		}
		err = move_input(r, &end);
		if (r->between)
			r->deadline = clock_now() + r->between;
	}
	return err;
}

static int64_t tty_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct tty_file *tf = f->priv;
	struct tty *t = tf->tty;
	struct reading r = {.tf = tf, .u = u, .wanted = u->left};
	err_t err = 0;
	mutex_lock(&t->line->lock);
	if (tf->hung_up) {
		mutex_unlock(&t->line->lock);
		return 0;
	}
	if (!tf->is_console)
		err = tty_proc->check(t, TTY_SIGNAL_TTIN);
	if (!err && u->left)
		err = take_turn(tf, u, &t->reading, SIGNAL_READ_TURN);
	if (!err && u->left) {
		err = read_locked(&r);
		end_turn(t, &t->reading, SIGNAL_READ_TURN);
	}
	mutex_unlock(&t->line->lock);
	size_t n = bytes_read(&r);
	return n ? (int64_t)n : err;
}

/* --- writing --- */

/* Write all of a chunk, waiting for room. */
static err_t write_chunk(
    struct tty_file *tf, const struct uio *u, const uint8_t *bytes, size_t n, size_t *total)
{
	struct tty *t = tf->tty;
	err_t err = 0;
	while (!err && n) {
		if (tf->hung_up)
			return -EIO;
		size_t took = ldisc_write(&t->ldisc, bytes, n);
		bytes += took;
		n -= took;
		*total += took;
		tty_settle_locked(t);
		if (took || !n)
			continue;
		if (file_is_nonblock(tf->file, u))
			return -EAGAIN;
		kobject_signal(&tf->file->object, 0, SIGNAL_ROOM);
		err = wait_for(tf, SIGNAL_ROOM, NSEC_NEVER);
	}
	return err;
}

static bool is_interrupted(void)
{
	return load_relaxed(&current_thread()->flags) & THREAD_INTERRUPTS;
}

static err_t write_locked(struct tty_file *tf, struct uio *u, size_t *total)
{
	uint8_t chunk[CHUNK];
	struct tty *t = tf->tty;
	err_t err = 0;
	do {
		size_t n = 0;
		if ((t->ldisc.termios.lflag & TL_TOSTOP) && !tf->is_console)
			err = tty_proc->check(t, TTY_SIGNAL_TTOU);
		if (err)
			return err;
		mutex_unlock(&t->line->lock);
		err_t fault = uio_read(u, chunk, MIN(u->left, sizeof(chunk)), &n);
		mutex_lock(&t->line->lock);
		err = write_chunk(tf, u, chunk, n, total);
		if (!err)
			err = fault;
		if (!err && u->left && is_interrupted())
			err = -EINTR;
	} while (!err && u->left);
	return err;
}

static int64_t tty_write(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct tty_file *tf = f->priv;
	struct tty *t = tf->tty;
	size_t total = 0;
	err_t err = -EIO;
	mutex_lock(&t->line->lock);
	if (!tf->hung_up)
		err = take_turn(tf, u, &t->writing, SIGNAL_WRITE_TURN);
	if (!err) {
		err = write_locked(tf, u, &total);
		end_turn(t, &t->writing, SIGNAL_WRITE_TURN);
		tty_settle_locked(t);
	}
	mutex_unlock(&t->line->lock);
	return total ? (int64_t)total : err;
}

err_t tty_drain(struct file *f, struct tty *t)
{
	return t->driver->drain ? t->driver->drain(f, t) : 0;
}

/* --- hanging up --- */

void tty_hang_up_locked(struct tty *t, bool ends)
{
	list_for_each (it, &t->files) {
		struct tty_file *tf = list_entry(it, struct tty_file, link);
		tf->hung_up = !tf->is_console;
	}
	tty_proc->hung_up(t, ends);
	tty_flush_input_locked(t);
	if (t->driver->is_pty)
		ldisc_set_termios(&t->ldisc, &t->driver->termios);
	if (t->driver->hung_up)
		t->driver->hung_up(t);
	t->input_news = t->room_news = true;
	tty_settle_locked(t);
}

void tty_hang_up(struct tty *t, bool ends)
{
	mutex_lock(&t->line->lock);
	tty_hang_up_locked(t, ends);
	mutex_unlock(&t->line->lock);
}

/* The group in front is told, if there is one. */
static uint32_t tty_async(struct file *f)
{
	struct tty_file *tf = f->priv;
	uint32_t group = *(volatile uint32_t *)&tf->tty->group;
	return group ? group : ASYNC_CALLER;
}

const struct file_ops tty_file_ops = {
    .async = tty_async,
    .splice = SPLICE_READ | SPLICE_WRITE,
    .read = tty_read,
    .write = tty_write,
    .ioctl = tty_ioctl,
    .release = tty_release,
};

/* --- /dev/tty --- */

static err_t open_current(struct file *f, UNUSED void *data)
{
	struct tty *t = tty_proc->current();
	if (!t)
		return -ENXIO;
	err_t err = t->driver->is_master ? -EIO : tty_open_file(t, f, false, true);
	tty_put(t);
	return err;
}

err_t tty_init_devices(void)
{
	return dev_register("tty", MODE_CHAR | 0666, DEV_MAKE(TTY_MAJOR_AUX, 0), open_current, NULL);
}
