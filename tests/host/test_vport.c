/*
 * test_vport.c - the console driver against a model of its device: one that does what it should, and one that
 * writes whatever it likes.
 *
 * The model reads and writes the rings as a device does. The console's thread does not run; its work is done
 * by hand.
 */
#include "host_test.h"
#include "lib/inject.h"

#include "dev/virtqueue.c"
#include "dev/virtio.c"
#include "dev/virtio_console.c"

enum { QUEUES = 2 + 2 * PORTS_MAX, NPORTS = 3, FUZZ_ROUNDS = 3000 };

/* What the driver's surroundings are here. */
err_t virtio_blk_probe(UNUSED struct virtio_device *d)
{
	return -ENODEV;
}
void virtio_pci_init(void)
{
}
void virtio_mmio_init(void)
{
}
void timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
	*t = (struct timer){.fn = fn, .arg = arg};
}
void timer_set(UNUSED struct timer *t, UNUSED nsec_t deadline)
{
}
static vaddr_t thread_stack;
void thread_init(UNUSED struct thread *t, UNUSED const char *name, vaddr_t stack, UNUSED uint64_t size,
    UNUSED void (*fn)(void *), UNUSED void *arg)
{
	thread_stack = stack;
}
void thread_start(UNUSED struct thread *t)
{
}

/* --- the model --- */

struct ring {
	uint16_t size, taken, given;
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
};

static struct {
	struct virtio_device d;
	struct ring rings[QUEUES];
	uint8_t status;
	bool needs_reset;
	uint64_t features;
	uint32_t nports;
	unsigned ready, opened, closed; /* bits: what the driver has said of each port */
	bool driver_ready;
	uint8_t sent[1 << 16]; /* what came from port 1 */
	size_t nsent;
} m;

static uint8_t model_get_status(UNUSED struct virtio_device *d)
{
	return m.status | (m.needs_reset ? VIRTIO_NEEDS_RESET : 0);
}
static void model_set_status(UNUSED struct virtio_device *d, uint8_t status)
{
	m.status = status;
	if (!status)
		m.needs_reset = false;
}
static uint64_t model_get_features(UNUSED struct virtio_device *d)
{
	return m.features;
}
static void model_set_features(UNUSED struct virtio_device *d, UNUSED uint64_t features)
{
}
static uint32_t model_read_config(UNUSED struct virtio_device *d, unsigned offset, UNUSED unsigned size)
{
	return offset == CONFIG_PORTS ? m.nports : 0;
}
static uint32_t model_generation(UNUSED struct virtio_device *d)
{
	return 0;
}
static uint16_t model_queue_max(UNUSED struct virtio_device *d, unsigned queue)
{
	return queue < QUEUES ? 128 : 0;
}
static err_t model_queue_enable(UNUSED struct virtio_device *d, unsigned queue, uint16_t size, paddr_t memory)
{
	char *at = phys_to_virt(memory);
	m.rings[queue] = (struct ring){.size = size,
	    .desc = (void *)at,
	    .avail = (void *)(at + VIRTQUEUE_AVAIL_AT),
	    .used = (void *)(at + VIRTQUEUE_USED_AT)};
	return 0;
}
static void model_nothing(UNUSED struct virtio_device *d)
{
}
static void model_notify(UNUSED struct virtio_device *d, UNUSED unsigned queue)
{
}
static err_t model_connect(struct virtio_device *d)
{
	d->interrupt = VIRTIO_MESSAGES;
	return 0;
}

static const struct virtio_transport model_transport = {
    .get_status = model_get_status,
    .set_status = model_set_status,
    .get_features = model_get_features,
    .set_features = model_set_features,
    .read_config = model_read_config,
    .generation = model_generation,
    .queue_max = model_queue_max,
    .queue_enable = model_queue_enable,
    .notify = model_notify,
    .connect = model_connect,
    .disconnect = model_nothing,
    .isolate = model_nothing,
    .release = model_nothing,
};

/* The next chain that the driver has handed out; NULL: none. */
static struct virtq_desc *take_chain(struct ring *r, uint32_t *head)
{
	if (!r->size || r->taken == load_acquire(&r->avail->idx))
		return NULL;
	*head = r->avail->ring[r->taken++ & (r->size - 1)];
	return &r->desc[*head];
}

static void give_back(struct ring *r, uint32_t head, uint32_t len)
{
	r->used->ring[r->given & (r->size - 1)] = (struct virtq_used_entry){head, len};
	store_release(&r->used->idx, ++r->given);
}

/* Put bytes into the next buffer of a queue; false: there is none. */
static bool put_bytes(unsigned queue, const void *data, uint32_t n)
{
	uint32_t head;
	struct virtq_desc *d = take_chain(&m.rings[queue], &head);
	if (!d)
		return false;
	memcpy(phys_to_virt(d->addr), data, MIN(n, d->len));
	give_back(&m.rings[queue], head, n);
	return true;
}

static void tell_control(uint32_t id, uint16_t event, uint16_t value, const char *name)
{
	uint8_t bytes[MESSAGE_MAX] = {0};
	struct control_message msg = {id, event, value};
	memcpy(bytes, &msg, sizeof(msg));
	memcpy(bytes + sizeof(msg), name, strlen(name) + 1);
	CHECK(put_bytes(CONTROL_RX, bytes, (uint32_t)(sizeof(msg) + strlen(name) + 1)));
}

/* Hear what the driver says on the control queue. */
static void hear_control(void)
{
	uint32_t head;
	struct virtq_desc *d;
	while ((d = take_chain(&m.rings[CONTROL_TX], &head))) {
		const struct control_message *msg = phys_to_virt(d->addr);
		CHECK_EQ(d->len, sizeof(*msg));
		if (msg->event == DEVICE_READY)
			m.driver_ready = msg->value == 1;
		else if (msg->event == PORT_READY && msg->value)
			m.ready |= 1u << msg->id;
		else if (msg->event == PORT_OPEN && msg->value)
			m.opened |= 1u << msg->id;
		else if (msg->event == PORT_OPEN)
			m.closed |= 1u << msg->id;
		give_back(&m.rings[CONTROL_TX], head, 0);
	}
}

/* Take what the driver sends on port 1; at most `most` buffers. */
static void take_sent(unsigned most)
{
	uint32_t head;
	struct virtq_desc *d;
	while (most-- && (d = take_chain(&m.rings[5], &head))) {
		if (m.nsent + d->len <= sizeof(m.sent))
			memcpy(m.sent + m.nsent, phys_to_virt(d->addr), d->len);
		m.nsent += d->len;
		give_back(&m.rings[5], head, 0);
	}
}

/* Everything has happened that follows from what the model did. */
static void settle(void)
{
	for (int i = 0; i < 4; i++) {
		m.d.on_queue(&m.d);
		do_work(m.d.driver);
		hear_control();
	}
}

/* --- the watcher and the opener --- */

static struct {
	unsigned added, named, removed;
	char name[VPORT_NAME_MAX];
	unsigned levels, notified, sum;
} seen;

static void on_added(UNUSED struct vport *p, unsigned console, unsigned id)
{
	CHECK_EQ(console, 0);
	CHECK(id < NPORTS);
	seen.added++;
}
static void on_named(UNUSED struct vport *p, const char *name)
{
	CHECK(strlen(name) > 0 && strlen(name) < VPORT_NAME_MAX && !strchr(name, '/'));
	strcpy(seen.name, name);
	seen.named++;
}
static void on_removed(UNUSED struct vport *p)
{
	seen.removed++;
}
static const struct vport_watcher test_watcher = {on_added, on_named, on_removed};

static void on_levels(void *opener, unsigned levels)
{
	CHECK(opener == &seen);
	seen.levels = levels;
	seen.notified++;
}

static err_t probe(void)
{
	memset(&m, 0, sizeof(m));
	memset(&seen, 0, sizeof(seen));
	m.features = CONSOLE_F_MULTIPORT | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1;
	m.nports = NPORTS;
	m.d = (struct virtio_device){.transport = &model_transport, .type = VIRTIO_CONSOLE};
	return virtio_probe(&m.d);
}

static struct console *begin(void)
{
	MUST(probe());
	vport_watch(&test_watcher);
	settle();
	CHECK(m.driver_ready);
	return m.d.driver;
}

static void end(struct console *c)
{
	store_release(&watcher, NULL);
	nconsoles = 0;
	virtio_stop(c->device);
	kva_free_stack(thread_stack);
	console_destroy(c);
}

/* Port 1 is there, has a name, and its host listens. */
static struct vport *bring_up_port(struct console *c)
{
	tell_control(1, PORT_ADD, 1, "");
	settle();
	tell_control(1, PORT_NAME, 1, "quire.run");
	tell_control(1, PORT_OPEN, 1, "");
	settle();
	return &c->ports[1];
}

/* --- tests --- */

HOST_TEST(port_comes_with_a_name)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch;
	CHECK_EQ(m.ready, 2);
	CHECK_EQ(seen.added, 1);
	CHECK_EQ(seen.named, 1);
	CHECK(!strcmp(seen.name, "quire.run"));
	CHECK_EQ(vport_open(p, on_levels, &seen, &epoch), 0);
	settle();
	CHECK_EQ(m.opened, 2);
	CHECK_EQ(vport_levels(p, epoch), VPORT_WRITABLE);
	CHECK_EQ(vport_open(p, on_levels, &seen, &epoch), -EBUSY);
	CHECK_EQ(vport_open(&c->ports[2], on_levels, &seen, &epoch), -ENXIO);
	vport_close(p, epoch);
	settle();
	CHECK_EQ(m.closed, 2);
	end(c);
}

HOST_TEST(bytes_arrive_in_order)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch, round = 0, got = 0;
	const void *data;
	uint8_t bytes[700];
	MUST(vport_open(p, on_levels, &seen, &epoch));
	for (unsigned i = 0; i < 200; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		while (!put_bytes(4, bytes, sizeof(bytes))) {
			m.d.on_queue(&m.d);
			CHECK(seen.levels & VPORT_READABLE);
			size_t n = vport_peek(p, epoch, &data);
			CHECK(n > 0 && n <= sizeof(bytes));
			CHECK_EQ(*(const uint8_t *)data, got / sizeof(bytes) & 0xff);
			n = MIN(n, (size_t)(1 + round++ % 333));
			vport_consume(p, epoch, n);
			got += (unsigned)n;
		}
	}
	m.d.on_queue(&m.d);
	for (size_t n; (n = vport_peek(p, epoch, &data)); got += (unsigned)n) {
		CHECK_EQ(*(const uint8_t *)data, got / sizeof(bytes) & 0xff);
		vport_consume(p, epoch, n);
	}
	CHECK_EQ(got, 200 * sizeof(bytes));
	CHECK(!(seen.levels & VPORT_READABLE));
	vport_close(p, epoch);
	end(c);
}

HOST_TEST(bytes_are_sent_while_there_is_room)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch, n = 0;
	void *b;
	MUST(vport_open(p, on_levels, &seen, &epoch));
	while ((b = vport_reserve(p, epoch))) {
		memset(b, (int)++n, VPORT_CHUNK);
		vport_commit(p, epoch, b, 100);
	}
	CHECK_EQ(n, TX_BUFFERS);
	CHECK(!(seen.levels & VPORT_WRITABLE));
	take_sent(3);
	m.d.on_queue(&m.d);
	CHECK(seen.levels & VPORT_WRITABLE);
	take_sent(TX_BUFFERS);
	m.d.on_queue(&m.d);
	CHECK_EQ(m.nsent, TX_BUFFERS * 100);
	for (unsigned i = 0; i < m.nsent; i++)
		CHECK_EQ(m.sent[i], i / 100 + 1);
	b = vport_reserve(p, epoch);
	vport_commit(p, epoch, b, 0); /* nothing to send: the buffer is free again */
	for (n = 0; (b = vport_reserve(p, epoch)); n++)
		vport_commit(p, epoch, b, 1);
	CHECK_EQ(n, TX_BUFFERS);
	vport_close(p, epoch);
	end(c);
}

HOST_TEST(host_hangs_up_and_comes_back)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch;
	MUST(vport_open(p, on_levels, &seen, &epoch));
	CHECK(put_bytes(4, "rest", 4));
	tell_control(1, PORT_OPEN, 0, "");
	settle();
	CHECK_EQ(seen.levels, VPORT_READABLE | VPORT_HUNG_UP);
	CHECK(!vport_reserve(p, epoch));
	vport_consume(p, epoch, 4);
	CHECK_EQ(seen.levels, VPORT_HUNG_UP);
	tell_control(1, PORT_OPEN, 1, "");
	settle();
	CHECK_EQ(seen.levels, VPORT_WRITABLE);
	vport_close(p, epoch);
	end(c);
}

HOST_TEST(port_goes_and_another_comes)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch, next;
	const void *data;
	MUST(vport_open(p, on_levels, &seen, &epoch));
	void *b = vport_reserve(p, epoch);
	tell_control(1, PORT_REMOVE, 1, "");
	settle();
	CHECK_EQ(seen.removed, 1);
	CHECK_EQ(seen.levels, VPORT_GONE | VPORT_HUNG_UP);
	CHECK_EQ(vport_peek(p, epoch, &data), 0);
	vport_commit(p, epoch, b, 10); /* too late; it is not lost */
	(void)bring_up_port(c);
	CHECK_EQ(seen.added, 2);
	CHECK_EQ(seen.named, 2);
	CHECK_EQ(vport_levels(p, epoch), VPORT_GONE | VPORT_HUNG_UP);
	CHECK_EQ(vport_open(p, on_levels, &seen, &next), -EBUSY);
	vport_close(p, epoch);
	CHECK_EQ(vport_open(p, on_levels, &seen, &next), 0);
	unsigned n = 0;
	for (; (b = vport_reserve(p, next)); n++)
		vport_commit(p, next, b, 1);
	CHECK_EQ(n, TX_BUFFERS);
	vport_close(p, next);
	end(c);
}

HOST_TEST(names_that_are_none_are_refused)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "x\n", "\x7f"};
	struct console *c = begin();
	tell_control(1, PORT_ADD, 1, "");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		tell_control(1, PORT_NAME, 1, bad[i]);
		settle();
		CHECK_EQ(seen.named, 0);
	}
	tell_control(1, PORT_NAME, 1, "good");
	tell_control(1, PORT_NAME, 1, "late");
	settle();
	CHECK_EQ(seen.named, 1);
	CHECK(!strcmp(seen.name, "good"));
	end(c);
}

HOST_TEST(broken_ring_ends_the_console)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch;
	MUST(vport_open(p, on_levels, &seen, &epoch));
	store_release(&m.rings[4].used->idx, (uint16_t)(m.rings[4].given + 100));
	m.d.on_queue(&m.d);
	CHECK_EQ(seen.levels, VPORT_GONE | VPORT_HUNG_UP);
	CHECK_EQ(m.status, 0);
	do_work(c);
	CHECK_EQ(seen.removed, 1);
	CHECK(!vport_reserve(p, epoch));
	vport_close(p, epoch);
	CHECK_EQ(vport_open(p, on_levels, &seen, &epoch), -ENXIO);
	end(c);
}

HOST_TEST(reset_that_is_asked_for_ends_the_console)
{
	struct console *c = begin();
	struct vport *p = bring_up_port(c);
	unsigned epoch;
	MUST(vport_open(p, on_levels, &seen, &epoch));
	m.needs_reset = true;
	m.d.on_config(&m.d);
	CHECK_EQ(seen.levels, VPORT_GONE | VPORT_HUNG_UP);
	vport_close(p, epoch);
	end(c);
}

static uint64_t state;
static unsigned below(unsigned n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(state >> 33) % n;
}

/* A message that may be right, nearly right, or noise, of any length. */
static void say_anything(void)
{
	uint8_t bytes[MESSAGE_MAX];
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(below(4) ? 'a' + below(26) : below(256));
	struct control_message msg = {below(NPORTS + 1), (uint16_t)below(9), (uint16_t)below(2)};
	if (below(8))
		memcpy(bytes, &msg, sizeof(msg));
	(void)put_bytes(CONTROL_RX, bytes, below(8) ? below(MESSAGE_MAX + 1) : below(1u << 31));
}

/* Something in a ring that is not what it should be. */
static void spoil(void)
{
	struct ring *r = &m.rings[below(2 + 2 * NPORTS)];
	if (!r->size)
		return;
	if (below(2))
		store_release(&r->used->idx, (uint16_t)below(1 << 16));
	else
		r->used->ring[below(r->size)] = (struct virtq_used_entry){below(1 << 20), below(1u << 31)};
}

static void use_port(struct vport *p, unsigned *epoch, bool *open)
{
	const void *data;
	void *b;
	size_t n;
	if (!*open) {
		*open = vport_open(p, on_levels, &seen, epoch) == 0;
	} else if (!below(10)) {
		vport_close(p, *epoch);
		*open = false;
	} else if (below(2) && (b = vport_reserve(p, *epoch))) {
		memset(b, 1, VPORT_CHUNK);
		vport_commit(p, *epoch, b, below(VPORT_CHUNK + 1));
	} else if ((n = vport_peek(p, *epoch, &data))) {
		CHECK(n <= VPORT_CHUNK);
		for (size_t i = 0; i < n; i++) /* every byte may be read */
			seen.sum += ((const uint8_t *)data)[i];
		vport_consume(p, *epoch, 1 + below((unsigned)n));
	}
}

/* Whatever the device does, the driver stays within its memory, and gives all of it back. */
static void lie(uint64_t seed, unsigned spoilt_one_in)
{
	struct console *c = begin();
	unsigned epochs[NPORTS] = {0};
	bool open[NPORTS] = {false};
	uint8_t noise[VPORT_CHUNK] = {0};
	state = seed;
	for (unsigned i = 0; i < FUZZ_ROUNDS; i++) {
		unsigned what = below(8), id = below(NPORTS);
		if (what < 2)
			say_anything();
		else if (what == 2)
			(void)put_bytes(
			    id ? 2 + 2 * id : 0, noise, below(4) ? below(VPORT_CHUNK) : below(1u << 31));
		else if (what == 3)
			take_sent(below(4));
		else if (spoilt_one_in && !below(spoilt_one_in))
			spoil();
		else
			use_port(&c->ports[id], &epochs[id], &open[id]);
		if (!below(3))
			m.d.on_queue(&m.d);
		if (!below(4))
			do_work(c);
		if (!below(5))
			hear_control();
	}
	for (unsigned id = 0; id < NPORTS; id++)
		if (open[id])
			vport_close(&c->ports[id], epochs[id]);
	end(c);
}

HOST_TEST(noise_does_no_harm)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		lie(seed, 0);
	for (uint64_t seed = 21; seed <= 60; seed++)
		lie(seed, 500);
}

HOST_TEST(probing_that_fails_leaves_nothing)
{
	unsigned n = 0, failed = 0;
	bool fired;
	do {
		inject_arm(++n);
		err_t err = probe();
		fired = inject_fired();
		failed += err != 0;
		CHECK(err == 0 || (fired && err == -ENOMEM));
		if (!err)
			end(m.d.driver);
	} while (fired && n < 200);
	inject_arm(0);
	CHECK(failed > 5 && !fired);
}

HOST_TEST(devices_of_other_kinds_are_refused)
{
	CHECK_EQ(probe(), 0);
	end(m.d.driver);
	struct virtio_device d = m.d;
	m.features = VIRTIO_F_VERSION_1; /* no ports */
	CHECK_EQ(virtio_probe(&d), -ENOTSUP);
	m.features = CONSOLE_F_MULTIPORT | VIRTIO_F_VERSION_1;
	m.nports = 0;
	CHECK_EQ(virtio_probe(&d), -ENOTSUP);
	m.nports = UINT32_MAX;
	CHECK_EQ(virtio_probe(&d), 0);
	end(d.driver);
}

int main(int argc, char **argv)
{
	host_init(4096);
	kva_init();
	kva_free_stack(kva_alloc_stack()); /* the first stays for the next to take */
	return host_test_main_started(argc, argv);
}
