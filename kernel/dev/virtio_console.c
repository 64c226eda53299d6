/*
 * virtio_console.c - consoles by virtio, with several ports: Virtual I/O Device 1.1, 5.3.
 *
 *	queue 0, 1      port 0: from the host, to the host
 *	queue 2, 3      control: the host tells of ports (ADD, REMOVE, NAME, OPEN), the driver answers (READY, OPEN)
 *	queue 4, 5 ...  port 1 ...
 *
 * Bytes move in pages. Those for receiving lie in the ring until they are filled, then in the port's list
 * until they are read, then in the ring again; those for sending are in the ring or free. All belong to the
 * port from its first life on and stay, for there is no way to take a buffer out of a ring that runs; so a
 * port that comes again goes on with its rings.
 *
 * Interrupt handlers move bytes. Control messages are the work of a thread, since ports become device files.
 * What is to be told to the host is kept as a wish for each port (READY, OPEN) and sent when there is room,
 * so nobody waits for the control queue, and only the last wish counts.
 *
 * Nothing that the device writes is trusted: lengths are confined to the buffers, ports to those that exist.
 * A ring with nonsense in it, or a device that asks for a reset, ends the console: it is reset, and all its
 * ports are gone.
 */
#include "arch/clock.h"
#include "dev/virtio.h"
#include "dev/vport.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "kern/timer.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"

enum {
	PORTS_MAX = 16,
	CONSOLES_MAX = 4,
	RX_BUFFERS = 8,
	TX_BUFFERS = 8,
	DATA_RING = 16,
	CONTROL_RX = 2, /* queues */
	CONTROL_TX = 3,
	CONTROL_RING = 32,
	MESSAGE_MAX = PAGE_SIZE / CONTROL_RING,
};

#define CONSOLE_F_MULTIPORT (1ULL << 1)
#define MS                  1000000ULL
#define WATCH_LINE_PERIOD   (10 * MS) /* until the first interrupt has come */
#define WATCH_POLL_PERIOD   (1 * MS)

enum { CONFIG_PORTS = 4 };
enum control_event {
	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_REMOVE = 2,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};
struct control_message {
	uint32_t id;
	uint16_t event, value;
};

/* What the host has yet to be told of a port. */
enum wish { WISH_READY = 1, WISH_REFUSE = 2, WISH_OPEN = 4, WISH_CLOSE = 8 };

struct buffer {
	struct list link; /* (L) in `received` or `free_tx` */
	uint8_t *bytes;   /* (C) a page */
	uint32_t offset, len;
};

/* (A) atomic; (C) constant once the port exists; (L) the console's lock; (T) the console's thread alone */
struct vport {
	struct console *console;        /* (C) */
	unsigned id;                    /* (C) */
	struct virtqueue *rx, *tx;      /* (C) NULL: it was never there */
	struct page *rx_page, *tx_page; /* (C) memory of the queues */
	struct buffer buffers[RX_BUFFERS + TX_BUFFERS];
	struct list received;      /* (L) oldest first */
	struct list free_tx;       /* (L) */
	_Atomic bool present;      /* (L) to write */
	bool host_open;            /* (L) */
	unsigned epoch;            /* (L) */
	unsigned wishes;           /* (L) */
	bool held;                 /* (L) somebody has it open */
	vport_notify *notify;      /* (L) */
	void *opener;              /* (L) */
	bool announced, named;     /* (T) to the watcher */
	unsigned announced_epoch;  /* (T) */
	char name[VPORT_NAME_MAX]; /* (T) "": none yet */
};

struct console {
	struct virtio_device *device;                   /* (C) */
	unsigned index;                                 /* (C) */
	unsigned nports;                                /* (C) */
	struct spinlock lock;                           /* RANK_IRQ */
	struct waitq work;                              /* the thread waits here */
	bool has_work;                                  /* (L) */
	bool failed;                                    /* (L) */
	_Atomic bool interrupted;                       /* (A) an interrupt has come */
	bool told_ready;                                /* (L) DEVICE_READY was sent */
	struct virtqueue control_rx, control_tx;        /* (L) */
	struct page *control_rx_page, *control_tx_page; /* (C) */
	struct page *messages_in, *messages_out;        /* (C) a slot for each descriptor */
	uint32_t free_out;                              /* (L) slots of messages_out that are free, as bits */
	struct vport *ports;                            /* (C) nports */
	struct timer watch;
	struct thread thread;
};

static struct console *consoles[CONSOLES_MAX]; /* found one after another, at boot */
static unsigned nconsoles;
static const struct vport_watcher *_Atomic watcher;

/* --- the rings --- */

static void notify_device(struct console *c, struct virtqueue *q, unsigned index)
{
	if (virtqueue_wants_notify(q))
		c->device->transport->notify(c->device, index);
}

static unsigned rx_index(const struct vport *p)
{
	return p->id ? 2 + 2 * p->id : 0;
}

static void wake_thread(struct console *c)
{
	ASSERT_HELD(&c->lock);
	c->has_work = true;
	waitq_wake_all(&c->work);
}

static void give_buffer(struct vport *p, struct buffer *b)
{
	struct virtq_desc d = {.addr = virt_to_phys(b->bytes), .len = VPORT_CHUNK, .flags = VIRTQ_WRITE};
	err_t err = virtqueue_add(p->rx, &d, 1, b); /* the ring has room for all buffers */
	ASSERT(!err || p->rx->broken);
}

static unsigned levels_locked(const struct vport *p, unsigned epoch)
{
	if (!p->present || p->epoch != epoch || p->console->failed)
		return VPORT_GONE | VPORT_HUNG_UP;
	return (list_is_empty(&p->received) ? 0 : VPORT_READABLE) | (p->host_open ? 0 : VPORT_HUNG_UP) |
	       (p->host_open && !list_is_empty(&p->free_tx) ? VPORT_WRITABLE : 0);
}

static void tell_opener(struct vport *p)
{
	ASSERT_HELD(&p->console->lock);
	if (p->held && p->notify)
		p->notify(p->opener, levels_locked(p, p->epoch));
}

/* Take what came and what was sent out of a port's rings. True: something was there. */
static bool collect_port(struct vport *p)
{
	struct buffer *b;
	uint32_t len;
	bool news = false;
	do {
		while ((b = virtqueue_get(p->rx, &len))) {
			b->offset = 0;
			b->len = MIN(len, (uint32_t)VPORT_CHUNK);
			news = true;
			if (b->len && p->held)
				list_push_back(&p->received, &b->link);
			else
				give_buffer(p, b);
		}
	} while (virtqueue_arm(p->rx));
	do {
		while ((b = virtqueue_get(p->tx, &len))) {
			list_push_back(&p->free_tx, &b->link);
			news = true;
		}
	} while (virtqueue_arm(p->tx));
	return news;
}

static void collect_sent_messages(struct console *c)
{
	void *slot;
	uint32_t len;
	do {
		while ((slot = virtqueue_get(&c->control_tx, &len)))
			c->free_out |= 1u << (((uint8_t *)slot - (uint8_t *)page_to_virt(c->messages_out)) /
					      sizeof(struct control_message));
	} while (virtqueue_arm(&c->control_tx));
}

/* --- telling the host --- */

static bool send_message(struct console *c, unsigned id, enum control_event event, unsigned value)
{
	if (!c->free_out)
		return false;
	unsigned slot = (unsigned)__builtin_ctz(c->free_out);
	struct control_message *m = (struct control_message *)page_to_virt(c->messages_out) + slot;
	struct virtq_desc d = {.addr = virt_to_phys(m), .len = sizeof(*m)};
	*m = (struct control_message){.id = id, .event = (uint16_t)event, .value = (uint16_t)value};
	if (virtqueue_add(&c->control_tx, &d, 1, m))
		return false;
	c->free_out &= ~(1u << slot);
	return true;
}

/* One wish of a port's, if there is one; false: there is no room. */
static bool send_wish(struct console *c, struct vport *p)
{
	unsigned wish = p->wishes & -p->wishes; /* READY comes before OPEN */
	if (!wish)
		return true;
	bool sent = wish == WISH_READY || wish == WISH_REFUSE
			? send_message(c, p->id, PORT_READY, wish == WISH_READY)
			: send_message(c, p->id, PORT_OPEN, wish == WISH_OPEN);
	if (sent)
		p->wishes &= ~wish;
	return sent && (!p->wishes || send_wish(c, p));
}

static void send_wishes(struct console *c)
{
	ASSERT_HELD(&c->lock);
	if (c->failed)
		return;
	if (!c->told_ready)
		c->told_ready = send_message(c, 0, DEVICE_READY, 1);
	for (unsigned i = 0; i < c->nports && c->told_ready; i++)
		if (!send_wish(c, &c->ports[i]))
			break;
	notify_device(c, &c->control_tx, CONTROL_TX);
}

static void wish_open(struct vport *p, bool open)
{
	p->wishes &= ~(unsigned)(WISH_OPEN | WISH_CLOSE);
	p->wishes |= open ? WISH_OPEN : WISH_CLOSE;
	send_wishes(p->console);
}

/* --- interrupts --- */

static bool is_broken(const struct console *c)
{
	bool broken = c->control_rx.broken || c->control_tx.broken;
	for (unsigned i = 0; i < c->nports; i++)
		broken |= c->ports[i].rx && (c->ports[i].rx->broken || c->ports[i].tx->broken);
	return broken;
}

/* The device does not work any more: no port is there from now on. */
static void fail(struct console *c)
{
	ASSERT_HELD(&c->lock);
	c->failed = true;
	virtio_stop(c->device);
	for (unsigned i = 0; i < c->nports; i++) {
		tell_opener(&c->ports[i]);
		c->ports[i].present = false;
	}
	wake_thread(c);
}

/* Anything may have happened. */
static void look(struct console *c, bool at_device)
{
	uint64_t state = spin_lock_irqsave(&c->lock);
	for (unsigned i = 0; i < c->nports && !c->failed; i++)
		if (c->ports[i].rx && collect_port(&c->ports[i]))
			tell_opener(&c->ports[i]);
	if (!c->failed) {
		collect_sent_messages(c);
		send_wishes(c);
		if (virtqueue_arm(&c->control_rx))
			wake_thread(c);
	}
	bool wrong = !c->failed &&
		     (is_broken(c) ||
			 (at_device && (c->device->transport->get_status(c->device) & VIRTIO_NEEDS_RESET)));
	if (wrong)
		fail(c);
	spin_unlock_irqrestore(&c->lock, state);
	if (wrong)
		log_err("virtio", "the console at %s failed: its ports are gone", c->device->where);
}

static void console_interrupt(struct virtio_device *d)
{
	struct console *c = d->driver;
	store_relaxed(&c->interrupted, true);
	look(c, false);
}

static void console_config_interrupt(struct virtio_device *d)
{
	look(d->driver, true);
}

/* Where interrupts may not arrive, look now and then. */
static void console_watch(void *arg)
{
	struct console *c = arg;
	bool polled = c->device->interrupt == VIRTIO_POLLED;
	look(c, true);
	if (!c->failed && (polled || !load_relaxed(&c->interrupted)))
		timer_set(&c->watch, clock_now() + (polled ? WATCH_POLL_PERIOD : WATCH_LINE_PERIOD));
}

/* --- ports come and go: the console's thread --- */

static struct buffer *make_buffers(struct vport *p)
{
	for (unsigned i = 0; i < RX_BUFFERS + TX_BUFFERS; i++) {
		struct page *page = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
		if (!page)
			return NULL;
		p->buffers[i].bytes = page_to_virt(page);
	}
	return p->buffers;
}

static void free_buffers(struct vport *p)
{
	for (unsigned i = 0; i < RX_BUFFERS + TX_BUFFERS; i++)
		if (p->buffers[i].bytes)
			frame_free(phys_to_page(virt_to_phys(p->buffers[i].bytes)));
	memset(p->buffers, 0, sizeof(p->buffers));
}

/* The port's first life: fill its rings. */
static bool equip(struct vport *p)
{
	if (p->buffers[0].bytes)
		return true;
	if (!make_buffers(p)) {
		free_buffers(p);
		return false;
	}
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	for (unsigned i = 0; i < RX_BUFFERS && !p->console->failed; i++)
		give_buffer(p, &p->buffers[i]);
	for (unsigned i = RX_BUFFERS; i < RX_BUFFERS + TX_BUFFERS; i++)
		list_push_back(&p->free_tx, &p->buffers[i].link);
	if (!p->console->failed)
		notify_device(p->console, p->rx, rx_index(p));
	spin_unlock_irqrestore(&p->console->lock, state);
	return true;
}

static void port_added(struct vport *p)
{
	bool good = equip(p);
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	if (!p->present && good) {
		p->present = true;
		p->host_open = false;
		p->epoch++;
	}
	p->wishes |= good ? WISH_READY : WISH_REFUSE;
	send_wishes(p->console);
	spin_unlock_irqrestore(&p->console->lock, state);
}

static void port_removed(struct vport *p)
{
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	p->present = p->host_open = false;
	p->wishes = 0;
	tell_opener(p);
	spin_unlock_irqrestore(&p->console->lock, state);
}

static void port_opened(struct vport *p, bool open)
{
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	p->host_open = open && p->present;
	tell_opener(p);
	spin_unlock_irqrestore(&p->console->lock, state);
}

/* A port that is a terminal of the host's: nobody has it, so what is typed there is lost. It is answered as
 * the specification asks. */
static void port_is_console(struct vport *p)
{
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	if (p->present)
		wish_open(p, true);
	spin_unlock_irqrestore(&p->console->lock, state);
}

static void port_named(struct vport *p, const char *name, size_t len)
{
	if (p->name[0] || !p->present)
		return;
	len = MIN(strnlen(name, len), sizeof(p->name) - 1);
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] == '/' || name[i] == 127)
			len = 0;
	memcpy(p->name, name, len);
	p->name[len] = 0;
	if (!len || !strcmp(p->name, ".") || !strcmp(p->name, "..")) {
		log_warn("virtio", "port %u at %s has a name that is none", p->id, p->console->device->where);
		p->name[0] = 0;
	}
}

static void take_message(struct console *c, const uint8_t *bytes, uint32_t len)
{
	struct control_message m;
	if (len < sizeof(m))
		return;
	memcpy(&m, bytes, sizeof(m));
	if (m.id >= c->nports) {
		log_warn("virtio", "%s tells of port %u, which it has not", c->device->where, m.id);
		return;
	}
	struct vport *p = &c->ports[m.id];
	if (m.event == PORT_ADD)
		port_added(p);
	else if (m.event == PORT_REMOVE)
		port_removed(p);
	else if (m.event == CONSOLE_PORT && m.value)
		port_is_console(p);
	else if (m.event == PORT_OPEN)
		port_opened(p, m.value);
	else if (m.event == PORT_NAME)
		port_named(p, (const char *)bytes + sizeof(m), len - sizeof(m));
}

static void give_message(struct console *c, void *slot)
{
	struct virtq_desc d = {.addr = virt_to_phys(slot), .len = MESSAGE_MAX, .flags = VIRTQ_WRITE};
	err_t err = virtqueue_add(&c->control_rx, &d, 1, slot);
	ASSERT(!err || c->control_rx.broken);
}

/* Copy the next control message and give its buffer back. Length, or 0: there is none. */
static uint32_t next_message(struct console *c, uint8_t *bytes)
{
	uint32_t len = 0;
	uint64_t state = spin_lock_irqsave(&c->lock);
	void *slot = c->failed ? NULL : virtqueue_get(&c->control_rx, &len);
	if (slot) {
		len = MIN(len, (uint32_t)MESSAGE_MAX);
		memcpy(bytes, slot, len);
		give_message(c, slot);
		notify_device(c, &c->control_rx, CONTROL_RX);
	}
	spin_unlock_irqrestore(&c->lock, state);
	return slot ? MAX(len, 1u) : 0;
}

/* Bring the watcher up to date. Only this thread changes what is looked at here, but for `present`, which
 * failing clears. */
static void announce(struct vport *p)
{
	const struct vport_watcher *w = load_acquire(&watcher);
	bool present = load_relaxed(&p->present);
	if (!w)
		return;
	if (p->announced && (!present || p->announced_epoch != p->epoch)) {
		w->removed(p);
		p->announced = p->named = false;
	}
	if (!present) {
		p->name[0] = 0;
		return;
	}
	if (!p->announced) {
		p->announced_epoch = p->epoch;
		w->added(p, p->console->index, p->id);
		p->announced = true;
	}
	if (p->name[0] && !p->named) {
		w->named(p, p->name);
		p->named = true;
	}
}

static void wait_for_work(struct console *c)
{
	uint64_t state = spin_lock_irqsave(&c->lock);
	if (!c->failed && virtqueue_arm(&c->control_rx))
		c->has_work = true;
	while (!c->has_work)
		(void)waitq_sleep_irq(&c->work, &c->lock, NSEC_NEVER, 0);
	c->has_work = false;
	spin_unlock_irqrestore(&c->lock, state);
}

/* Take in what the host says, and tell the watcher what has become of it. */
static void do_work(struct console *c)
{
	uint8_t bytes[MESSAGE_MAX];
	uint32_t len;
	do {
		len = next_message(c, bytes);
		if (len)
			take_message(c, bytes, len);
		for (unsigned i = 0; i < c->nports; i++)
			announce(&c->ports[i]);
	} while (len);
}

static void console_thread(void *arg)
{
	for (;;) {
		wait_for_work(arg);
		do_work(arg);
	}
}

void vport_watch(const struct vport_watcher *w)
{
	store_release(&watcher, w);
	for (unsigned i = 0; i < nconsoles; i++) {
		uint64_t state = spin_lock_irqsave(&consoles[i]->lock);
		wake_thread(consoles[i]);
		spin_unlock_irqrestore(&consoles[i]->lock, state);
	}
}

/* --- for those who open ports --- */

err_t vport_open(struct vport *p, vport_notify *notify, void *opener, unsigned *epoch)
{
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	err_t err = !p->present || p->console->failed ? -ENXIO : p->held ? -EBUSY : 0;
	if (!err) {
		p->held = true;
		p->notify = notify;
		p->opener = opener;
		*epoch = p->epoch;
		wish_open(p, true);
		tell_opener(p);
	}
	spin_unlock_irqrestore(&p->console->lock, state);
	return err;
}

void vport_close(struct vport *p, unsigned epoch)
{
	struct console *c = p->console;
	uint64_t state = spin_lock_irqsave(&c->lock);
	while (!list_is_empty(&p->received)) {
		struct buffer *b = list_first(&p->received, struct buffer, link);
		list_remove(&b->link);
		give_buffer(p, b);
	}
	p->held = false;
	p->notify = NULL;
	p->opener = NULL;
	if (p->present && p->epoch == epoch && !c->failed) {
		notify_device(c, p->rx, rx_index(p));
		wish_open(p, false);
	}
	spin_unlock_irqrestore(&c->lock, state);
}

unsigned vport_levels(struct vport *p, unsigned epoch)
{
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	unsigned levels = levels_locked(p, epoch);
	spin_unlock_irqrestore(&p->console->lock, state);
	return levels;
}

size_t vport_peek(struct vport *p, unsigned epoch, const void **data)
{
	size_t n = 0;
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	if (p->epoch == epoch && !list_is_empty(&p->received)) {
		struct buffer *b = list_first(&p->received, struct buffer, link);
		*data = b->bytes + b->offset;
		n = b->len;
	}
	spin_unlock_irqrestore(&p->console->lock, state);
	return n;
}

void vport_consume(struct vport *p, unsigned epoch, size_t n)
{
	struct console *c = p->console;
	uint64_t state = spin_lock_irqsave(&c->lock);
	if (n && p->epoch == epoch && !list_is_empty(&p->received)) {
		struct buffer *b = list_first(&p->received, struct buffer, link);
		ASSERT(n <= b->len);
		b->offset += (uint32_t)n;
		b->len -= (uint32_t)n;
		if (b->len == 0) {
			list_remove(&b->link);
			give_buffer(p, b);
			if (!c->failed)
				notify_device(c, p->rx, rx_index(p));
		}
		tell_opener(p);
	}
	spin_unlock_irqrestore(&c->lock, state);
}

void *vport_reserve(struct vport *p, unsigned epoch)
{
	struct buffer *b = NULL;
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	if (levels_locked(p, epoch) & VPORT_WRITABLE) {
		b = list_first(&p->free_tx, struct buffer, link);
		list_remove(&b->link);
	}
	spin_unlock_irqrestore(&p->console->lock, state);
	return b ? b->bytes : NULL;
}

void vport_commit(struct vport *p, unsigned epoch, void *bytes, size_t n)
{
	struct buffer *b = &p->buffers[RX_BUFFERS];
	ASSERT(n <= VPORT_CHUNK);
	while (b->bytes != bytes)
		b++;
	struct virtq_desc d = {.addr = virt_to_phys(bytes), .len = (uint32_t)n};
	uint64_t state = spin_lock_irqsave(&p->console->lock);
	bool alive = p->present && p->epoch == epoch && !p->console->failed;
	if (alive && n && !virtqueue_add(p->tx, &d, 1, b))
		notify_device(p->console, p->tx, rx_index(p) + 1);
	else
		list_push_front(&p->free_tx, &b->link);
	tell_opener(p);
	spin_unlock_irqrestore(&p->console->lock, state);
}

/* --- finding --- */

static err_t set_up_port(struct console *c, struct vport *p)
{
	p->rx = kzalloc(sizeof(*p->rx));
	p->tx = kzalloc(sizeof(*p->tx));
	if (!p->rx || !p->tx)
		return -ENOMEM;
	err_t err = virtio_setup_queue(c->device, rx_index(p), DATA_RING, p->rx, &p->rx_page);
	if (!err)
		err = virtio_setup_queue(c->device, rx_index(p) + 1, DATA_RING, p->tx, &p->tx_page);
	return !err && (p->rx->size < RX_BUFFERS || p->tx->size < TX_BUFFERS) ? -ENOTSUP : err;
}

static err_t make_ports(struct console *c)
{
	c->ports = kcalloc(c->nports, sizeof(*c->ports));
	if (!c->ports)
		return -ENOMEM;
	err_t err = 0;
	for (unsigned i = 0; i < c->nports && !err; i++) {
		struct vport *p = &c->ports[i];
		p->console = c;
		p->id = i;
		list_init(&p->received);
		list_init(&p->free_tx);
		err = set_up_port(c, p);
	}
	return err;
}

static err_t make_control(struct console *c)
{
	err_t err =
	    virtio_setup_queue(c->device, CONTROL_RX, CONTROL_RING, &c->control_rx, &c->control_rx_page);
	if (!err)
		err = virtio_setup_queue(
		    c->device, CONTROL_TX, CONTROL_RING, &c->control_tx, &c->control_tx_page);
	c->messages_in = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	c->messages_out = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	if (err || !c->messages_in || !c->messages_out)
		return err ? err : -ENOMEM;
	for (unsigned i = 0; i < c->control_rx.size; i++)
		give_message(c, (uint8_t *)page_to_virt(c->messages_in) + i * MESSAGE_MAX);
	c->free_out = c->control_tx.size >= CONTROL_RING ? ~0u : (1u << c->control_tx.size) - 1;
	return 0;
}

static err_t console_set_up(struct console *c)
{
	struct virtio_device *d = c->device;
	err_t err = virtio_begin(d, CONSOLE_F_MULTIPORT | VIRTIO_F_EVENT_IDX);
	if (!err && !(d->features & CONSOLE_F_MULTIPORT))
		return -ENOTSUP;
	if (!err) {
		c->nports = MIN(d->transport->read_config(d, CONFIG_PORTS, 4), (uint32_t)PORTS_MAX);
		err = c->nports ? make_ports(c) : -ENOTSUP;
	}
	if (!err)
		err = make_control(c);
	if (!err)
		err = virtio_connect(d);
	return err;
}

static void free_page(struct page *page)
{
	if (page)
		frame_free(page);
}

static void free_queue(struct page *memory)
{
	if (memory)
		virtio_free_queue(memory);
}

/* The device was reset. */
static void console_destroy(struct console *c)
{
	for (unsigned i = 0; c->ports && i < c->nports; i++) {
		free_buffers(&c->ports[i]);
		free_queue(c->ports[i].rx_page);
		free_queue(c->ports[i].tx_page);
		kfree(c->ports[i].rx);
		kfree(c->ports[i].tx);
	}
	free_queue(c->control_rx_page);
	free_queue(c->control_tx_page);
	free_page(c->messages_in);
	free_page(c->messages_out);
	kfree(c->ports);
	kfree(c);
}

static struct console *console_create(struct virtio_device *d)
{
	struct console *c = kzalloc(sizeof(*c));
	if (!c)
		return NULL;
	c->device = d;
	spin_init(&c->lock, "virtio console", RANK_IRQ);
	waitq_init(&c->work);
	timer_init(&c->watch, console_watch, c);
	d->driver = c;
	d->on_queue = console_interrupt;
	d->on_config = console_config_interrupt;
	return c;
}

err_t virtio_console_probe(struct virtio_device *d)
{
	struct console *c = nconsoles < CONSOLES_MAX ? console_create(d) : NULL;
	if (!c)
		return -ENOMEM;
	err_t err = console_set_up(c);
	vaddr_t stack = err ? 0 : kva_alloc_stack();
	if (!err && !stack)
		err = -ENOMEM;
	if (err) {
		virtio_end(d);
		console_destroy(c);
		return err;
	}
	c->index = nconsoles;
	consoles[nconsoles++] = c;
	log_info("virtio", "console %u at %s: up to %u ports", c->index, d->where, c->nports);
	thread_init(&c->thread, "virtio-console", stack, KSTACK_PAGES * PAGE_SIZE, console_thread, c);
	virtio_run(d);
	c->device->transport->notify(d, CONTROL_RX);
	look(c, false); /* says that the driver is ready */
	thread_start(&c->thread);
	if (d->interrupt != VIRTIO_MESSAGES)
		timer_set(&c->watch, clock_now() + WATCH_POLL_PERIOD);
	return 0;
}
