/*
 * console_tty.c - the terminal on the serial port: /dev/ttyS0, and /dev/console, which is the same without
 * job control.
 *
 *	interrupt ──▶ ring ──▶ thread "console" ──▶ wire ──▶ line discipline
 *
 * The interrupt handler only empties the port; echo and signals take locks that it may not have, so a thread
 * of its own does the rest. Output gathers in a small buffer while a line is processed and then goes out at
 * once, polled: the port is fast enough for what people read, and the log, which must work anywhere, writes
 * to it in the same way.
 */
#include "dev/console.h"
#include "dev/uart.h"
#include "fs/devfs.h"
#include "fs/tty.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "mm/kva.h"
#include "mm/slab.h"

enum {
	RING_SIZE = 1024,
	OUT_SIZE = 512,
	BURST = 16, /* bytes that go out with interrupts disabled: as many as the port buffers */
	MINOR_TTYS0 = 64,
	MINOR_CONSOLE = 1,
	B115200 = 0010002,
};

/* (R) ring_lock; (L) the line's lock; (C) constant after boot */
struct console {
	struct tty_line line; /* first */
	struct tty tty;
	uint8_t out[OUT_SIZE];    /* (L) */
	size_t out_len;           /* (L) */
	uint16_t ring[RING_SIZE]; /* (R) fault << 8 | byte; free-running counters */
	size_t head, tail;        /* (R) */
	struct waitq wait;        /* something is in the ring: predicate under (R) */
	struct thread thread;     /* (C) */
};

static struct spinlock ring_lock = SPINLOCK_INIT("console input", RANK_WAIT);
static struct console *console; /* (C) */

/* --- output --- */

static size_t console_room(UNUSED const struct tty *t)
{
	return OUT_SIZE;
}

static void console_flush(UNUSED struct tty *t)
{
	for (size_t i = 0; i < console->out_len; i += BURST)
		console_write_raw(console->out + i, MIN(console->out_len - i, (size_t)BURST));
	console->out_len = 0;
}

static void console_put(struct tty *t, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (console->out_len == OUT_SIZE)
			console_flush(t);
		console->out[console->out_len++] = bytes[i];
	}
}

static const struct tty_driver console_driver = {
    .termios = {.iflag = TI_ICRNL | TI_IXON,
	.oflag = TO_OPOST | TO_ONLCR,
	.cflag = B115200 | TC_CS8 | TC_CREAD | TC_HUPCL | TC_CLOCAL,
	.lflag = TL_ISIG | TL_ICANON | TL_ECHO | TL_ECHOE | TL_ECHOK | TL_ECHOCTL | TL_ECHOKE | TL_IEXTEN,
	.cc = TTY_STD_CHARS,
	.ispeed = 115200,
	.ospeed = 115200},
    .room = console_room,
    .write = console_put,
    .flush = console_flush,
    .throttles = true,
};

/* --- input --- */

static void on_interrupt(UNUSED void *arg)
{
	enum uart_fault fault;
	uint8_t byte;
	uint64_t state = spin_lock_irqsave(&ring_lock);
	while (uart_receive(&byte, &fault))
		if (console->head - console->tail < RING_SIZE)
			console->ring[console->head++ % RING_SIZE] = (uint16_t)(fault << 8 | byte);
	waitq_wake_all(&console->wait);
	spin_unlock_irqrestore(&ring_lock, state);
}

static uint16_t next_input(void)
{
	uint64_t state = spin_lock_irqsave(&ring_lock);
	while (console->head == console->tail)
		(void)waitq_sleep_irq(&console->wait, &ring_lock, NSEC_NEVER, 0);
	uint16_t input = console->ring[console->tail++ % RING_SIZE];
	spin_unlock_irqrestore(&ring_lock, state);
	return input;
}

static void take_input(struct tty *t, uint16_t input)
{
	uint8_t byte = (uint8_t)input;
	if (input >> 8 != UART_GOOD)
		ldisc_receive_fault(&t->ldisc, input >> 8 == UART_BREAK ? LDISC_BREAK : LDISC_PARITY, byte);
	else
		(void)tty_feed_locked(t, &byte, 1);
	t->input_news = true;
}

static void handle_input(UNUSED void *arg)
{
	struct tty *t = &console->tty;
	for (;;) {
		uint16_t input = next_input();
		mutex_lock(&console->line.lock);
		take_input(t, input);
		tty_settle_locked(t);
		mutex_unlock(&console->line.lock);
	}
}

/* --- files --- */

static err_t open_serial(struct file *f, UNUSED void *data)
{
	return tty_open_file(&console->tty, f, false, load_relaxed(&f->flags) & FILE_NOCTTY);
}

static err_t open_console(struct file *f, UNUSED void *data)
{
	return tty_open_file(&console->tty, f, true, true);
}

static void never(UNUSED struct tty_line *line)
{
	panic("the console's terminal lost a reference that nobody gave");
}

err_t console_tty_init(void)
{
	vaddr_t stack = kva_alloc_stack();
	console = kzalloc(sizeof(*console));
	ASSERT(stack && console); /* at boot */
	tty_line_init(&console->line, never);
	tty_init(&console->tty, &console->line, &console_driver, DEV_MAKE(TTY_MAJOR_SERIAL, MINOR_TTYS0));
	waitq_init(&console->wait);
	thread_init(&console->thread, "console", stack, KSTACK_PAGES * PAGE_SIZE, handle_input, NULL);
	thread_start(&console->thread);
	err_t err = uart_enable_input(on_interrupt);
	if (err)
		log_warn("console", "no input from the serial port: error %d", err);
	err = dev_register("ttyS0", MODE_CHAR | 0660, console->tty.rdev, open_serial, NULL);
	if (!err)
		err = dev_register(
		    "console", MODE_CHAR | 0600, DEV_MAKE(TTY_MAJOR_AUX, MINOR_CONSOLE), open_console, NULL);
	return err;
}
