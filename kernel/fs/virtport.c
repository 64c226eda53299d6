/*
 * virtport.c - /dev/vportNpM, and /dev/virtio-ports/NAME that leads there, as Linux and its udev have them.
 *
 * One opener at a time (EBUSY). Reading gives what has come; the end of the file while the host's side is not
 * connected and nothing is left. Writing waits for buffers, and for the host to connect. A port that the host
 * takes away reads as at its end, and writes to it fail with ENODEV.
 *
 * The file's two mutexes let readers, and writers, take turns; each is held while bytes are copied from or to
 * user space, never while waiting.
 */
#include "fs/virtport.h"
#include "arch/usercopy.h"
#include "dev/vport.h"
#include "fs/devfs.h"
#include "kern/log.h"
#include "lib/printf.h"
#include "mm/slab.h"

enum { VPORT_MAJOR = 246, PORTS_PER_CONSOLE = 64, WRITE_MAX = 32 << 10, NAME_MAX_LEN = 32 };

struct opened {
	struct vport *port;                 /* (C) */
	unsigned epoch;                     /* (C) */
	struct mutex read_turn, write_turn; /* RANK_CHANNEL */
};

/* What vport's watcher remembers of a port: its place, and its name if it has one. */
struct known {
	struct list link; /* known_lock; the rest is its console's thread's */
	struct vport *port;
	unsigned console, id;
	char link_name[sizeof("virtio-ports/") + VPORT_NAME_MAX];
};

static struct mutex known_lock; /* the list: each console has a thread. RANK_CHANNEL */
static struct list all_known = LIST_INIT(all_known);

/* --- signals --- */

enum { LEVELS = SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED };

static uint64_t signals_of(unsigned levels)
{
	if (levels & VPORT_GONE)
		return SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED; /* nobody waits for it */
	return (levels & (VPORT_READABLE | VPORT_HUNG_UP) ? SIGNAL_READABLE : 0) |
	       (levels & VPORT_WRITABLE ? SIGNAL_WRITABLE : 0) |
	       (levels & VPORT_HUNG_UP ? SIGNAL_PEER_CLOSED : 0);
}

static void port_changed(void *opener, unsigned levels)
{
	struct file *f = opener;
	uint64_t now = signals_of(levels);
	kobject_signal(&f->object, now, LEVELS & ~now);
}

/* --- reading and writing --- */

/* Move what is there. Bytes, 0, or an error if nothing was moved. */
static int64_t take_received(struct opened *o, struct uio *u)
{
	int64_t total = 0;
	const void *data;
	err_t err = 0;
	mutex_lock(&o->read_turn);
	while (u->left && !err) {
		size_t done, n = MIN(vport_peek(o->port, o->epoch, &data), u->left);
		if (!n)
			break;
		err = uio_write(u, data, n, &done);
		vport_consume(o->port, o->epoch, done);
		total += (int64_t)done;
	}
	mutex_unlock(&o->read_turn);
	return total ? total : err;
}

static int64_t virtport_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct opened *o = f->priv;
	uint64_t seen;
	while (u->left) {
		unsigned levels = vport_levels(o->port, o->epoch);
		int64_t n = take_received(o, u);
		if (n || (levels & VPORT_HUNG_UP)) /* it had hung up before there was nothing */
			return n;
		if (file_is_nonblock(f, u))
			return -EAGAIN;
		err_t err = kobject_wait(&f->object, SIGNAL_READABLE, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
		if (err)
			return err;
	}
	return 0;
}

/* Fill buffers and send them, up to `most` bytes in all. */
static int64_t send_some(struct opened *o, struct uio *u, size_t most)
{
	int64_t total = 0;
	void *buffer;
	err_t err = 0;
	mutex_lock(&o->write_turn);
	while (most && !err && (buffer = vport_reserve(o->port, o->epoch))) {
		size_t done;
		err = uio_read(u, buffer, MIN(most, (size_t)VPORT_CHUNK), &done);
		vport_commit(o->port, o->epoch, buffer, done);
		most -= done;
		total += (int64_t)done;
	}
	mutex_unlock(&o->write_turn);
	return total ? total : err;
}

static int64_t virtport_write(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct opened *o = f->priv;
	size_t most = MIN(u->left, (size_t)WRITE_MAX);
	int64_t total = 0;
	uint64_t seen;
	while (most) {
		if (vport_levels(o->port, o->epoch) & VPORT_GONE)
			return total ? total : -ENODEV;
		int64_t n = send_some(o, u, most);
		if (n < 0)
			return total ? total : n;
		total += n;
		most -= (size_t)n;
		if (!most || (n && file_is_nonblock(f, u)))
			break;
		if (file_is_nonblock(f, u))
			return -EAGAIN;
		err_t err = kobject_wait(&f->object, SIGNAL_WRITABLE, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
		if (err)
			return total ? total : err;
	}
	return total;
}

static void virtport_release(struct file *f)
{
	struct opened *o = f->priv;
	if (!o)
		return; /* its open failed */
	vport_close(o->port, o->epoch);
	kfree(o);
}

static const struct file_ops virtport_ops = {
    .splice = SPLICE_WRITE, .read = virtport_read, .write = virtport_write, .release = virtport_release};

static err_t virtport_open(struct file *f, void *data)
{
	struct opened *o = kzalloc(sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->port = data;
	mutex_init(&o->read_turn, "port read", RANK_CHANNEL);
	mutex_init(&o->write_turn, "port write", RANK_CHANNEL);
	f->ops = &virtport_ops;
	kobject_signal(&f->object, 0, LEVELS);
	err_t err = vport_open(o->port, port_changed, f, &o->epoch);
	if (err) {
		kfree(o);
		return err;
	}
	f->priv = o;
	fetch_or_acq_rel(&f->flags, FILE_STREAM);
	return 0;
}

/* --- names --- */

static uint64_t number_of(const struct known *k)
{
	return DEV_MAKE(VPORT_MAJOR, k->console * PORTS_PER_CONSOLE + k->id);
}

static void name_of(const struct known *k, char *name)
{
	format(name, NAME_MAX_LEN, "vport%up%u", k->console, k->id);
}

static struct known *find_known(const struct vport *p)
{
	list_for_each (it, &all_known) {
		struct known *k = list_entry(it, struct known, link);
		if (k->port == p)
			return k;
	}
	return NULL;
}

static void port_added(struct vport *p, unsigned console, unsigned id)
{
	char name[NAME_MAX_LEN];
	struct known *k = kzalloc(sizeof(*k));
	if (!k) {
		log_err("virtio", "no memory for port %u of console %u", id, console);
		return;
	}
	*k = (struct known){.port = p, .console = console, .id = id};
	name_of(k, name);
	err_t err = dev_register(name, MODE_CHAR | 0600, number_of(k), virtport_open, p);
	if (err) {
		log_err("virtio", "no device file %s: error %d", name, err);
		kfree(k);
		return;
	}
	mutex_lock(&known_lock);
	list_push_back(&all_known, &k->link);
	mutex_unlock(&known_lock);
}

static void port_named(struct vport *p, const char *name)
{
	char target[NAME_MAX_LEN + 3] = "../";
	mutex_lock(&known_lock);
	struct known *k = find_known(p);
	mutex_unlock(&known_lock);
	if (!k)
		return;
	name_of(k, target + 3);
	format(k->link_name, sizeof(k->link_name), "virtio-ports/%s", name);
	err_t err = dev_symlink(k->link_name, target);
	log_info("virtio", "%s is the port \"%s\"", target + 3, name);
	if (err) {
		log_err("virtio", "no name %s: error %d", k->link_name, err);
		k->link_name[0] = 0;
	}
}

static void port_removed(struct vport *p)
{
	char name[NAME_MAX_LEN];
	mutex_lock(&known_lock);
	struct known *k = find_known(p);
	if (k)
		list_remove(&k->link);
	mutex_unlock(&known_lock);
	if (!k)
		return;
	name_of(k, name);
	err_t err = dev_unregister(name, MODE_CHAR, number_of(k));
	if (!err && k->link_name[0])
		err = dev_unlink(k->link_name);
	if (err)
		log_err("virtio", "%s stays among the devices: error %d", name, err);
	kfree(k);
}

static const struct vport_watcher watcher = {
    .added = port_added, .named = port_named, .removed = port_removed};

void virtport_init(void)
{
	mutex_init(&known_lock, "ports", RANK_CHANNEL);
	vport_watch(&watcher);
}

void virtport_fini(void)
{
	vport_watch(NULL);
}
