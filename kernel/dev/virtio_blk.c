/*
 * virtio_blk.c - disks by virtio: Virtual I/O Device 1.1, 5.2.
 *
 * Everything that a request needs on its way is made when the disk is found: SLOTS slots, each with the
 * header and the status byte that the device reads and writes, and a table of descriptors. A request that
 * finds no free slot waits on a list, so that neither starting nor ending one ever allocates, and both may
 * happen in interrupt handlers. With indirect descriptors a request takes one descriptor of the ring;
 * without, one for each buffer.
 *
 * A disk that fails (it asks for a reset, or the ring holds nonsense) is reset, which ends its use of memory;
 * then every request under way ends with -EIO, and so does every later one.
 */
#include "arch/clock.h"
#include "dev/block.h"
#include "dev/virtio.h"
#include "kern/log.h"
#include "kern/timer.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { SLOTS = 128, MAX_BUFFERS = 62, OVERHEAD = 2, MAX_DISKS = 26 };

#define MS                1000000ULL
#define WATCH_PERIOD      (5000 * MS)  /* how often a disk is looked at while requests are under way */
#define WATCH_LINE_PERIOD (10 * MS)    /* the same where interrupts may not arrive */
#define WATCH_POLL_PERIOD (1 * MS)     /* and where there are none */
#define SLOW              (30000 * MS) /* a request that takes longer is told */

#define BLK_F_SIZE_MAX     (1ULL << 1)
#define BLK_F_SEG_MAX      (1ULL << 2)
#define BLK_F_READ_ONLY    (1ULL << 5)
#define BLK_F_BLOCK_SIZE   (1ULL << 6)
#define BLK_F_FLUSH        (1ULL << 9)
#define BLK_F_DISCARD      (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)
#define BLK_FEATURES                                                                                         \
	(BLK_F_SIZE_MAX | BLK_F_SEG_MAX | BLK_F_READ_ONLY | BLK_F_BLOCK_SIZE | BLK_F_FLUSH | BLK_F_DISCARD | \
	    BLK_F_WRITE_ZEROES | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX)

enum blk_config {
	CONFIG_CAPACITY = 0,
	CONFIG_SIZE_MAX = 8,
	CONFIG_SEG_MAX = 12,
	CONFIG_BLOCK_SIZE = 20,
	CONFIG_MAX_DISCARD = 36,
	CONFIG_MAX_ZEROES = 48,
};
enum blk_type { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_DISCARD = 11, BLK_WRITE_ZEROES = 13 };
enum blk_status { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPPORTED = 2, BLK_NO_STATUS = 0xff };

/* What a request needs while the disk has it. The first part is read and written by the device. */
struct slot {
	struct virtq_desc table[MAX_BUFFERS + OVERHEAD];
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	struct {
		uint64_t sector;
		uint32_t nsectors, flags;
	} range; /* DISCARD, WRITE_ZEROES */
	uint8_t status;
	/* The driver's: (L) */
	struct block_request *request; /* NULL: free */
	struct list link;              /* in free_slots or busy_slots */
	nsec_t started;
	bool told; /* that it is slow */
};

/* (C) constant once the disk is registered; (L) lock */
struct disk {
	struct block_device block;
	struct virtio_device *device; /* (C) */
	uint32_t max_buffer;          /* (C) bytes that one descriptor may name */
	bool indirect;                /* (C) */
	nsec_t period;                /* (C) of the watch */
	struct spinlock lock;         /* RANK_IRQ */
	struct virtqueue queue;       /* (L) */
	struct page *queue_memory;    /* (C) */
	struct slab_cache *cache;     /* (C) of slots */
	struct slot *slots[SLOTS];    /* (C) */
	struct list free_slots;       /* (L) */
	struct list busy_slots;       /* (L) oldest first */
	struct list waiting;          /* (L) requests without a slot, oldest first */
	bool failed;                  /* (L) */
	bool watching;                /* (L) the timer is armed */
	struct timer watch;
};

static unsigned ndisks; /* disks are found one after another */

/* -- starting -------------------------------------------------------------------------------------------- */

static void add_buffer(
    const struct disk *k, struct slot *s, unsigned *n, paddr_t addr, uint32_t len, uint16_t flags)
{
	struct virtq_desc *last = *n > 1 ? &s->table[*n - 1] : NULL; /* never merged with the header */
	if (last && last->addr + last->len == addr && last->flags == flags &&
	    last->len + len <= k->max_buffer) {
		last->len += len;
		return;
	}
	s->table[(*n)++] = (struct virtq_desc){.addr = addr, .len = len, .flags = flags};
}

static uint32_t type_of(const struct block_request *r)
{
	static const uint32_t types[] = {
	    [BLOCK_READ] = BLK_IN,
	    [BLOCK_WRITE] = BLK_OUT,
	    [BLOCK_FLUSH] = BLK_FLUSH,
	    [BLOCK_DISCARD] = BLK_DISCARD,
	    [BLOCK_WRITE_ZEROES] = BLK_WRITE_ZEROES,
	};
	return r->flushing ? BLK_FLUSH : types[r->op];
}

/* Describe the request in the slot's table; the number of buffers. */
static unsigned fill_slot(const struct disk *k, struct slot *s, const struct block_request *r)
{
	uint32_t type = type_of(r);
	bool transfer = type == BLK_IN || type == BLK_OUT;
	unsigned n = 0;
	s->header.type = type;
	s->header.reserved = 0;
	s->header.sector = transfer ? r->sector : 0;
	s->status = BLK_NO_STATUS;
	add_buffer(k, s, &n, virt_to_phys(&s->header), sizeof(s->header), 0);
	if (type == BLK_DISCARD || type == BLK_WRITE_ZEROES) {
		s->range.sector = r->sector;
		s->range.nsectors = (uint32_t)r->nsectors;
		s->range.flags = 0;
		add_buffer(k, s, &n, virt_to_phys(&s->range), sizeof(s->range), 0);
	}
	for (unsigned i = 0; transfer && i < r->nsegments; i++)
		add_buffer(k, s, &n, page_to_phys(r->segments[i].page) + r->segments[i].offset,
		    r->segments[i].len, type == BLK_IN ? VIRTQ_WRITE : 0);
	s->table[n++] = (struct virtq_desc){.addr = virt_to_phys(&s->status), .len = 1, .flags = VIRTQ_WRITE};
	return n;
}

/* As a table, the entries are linked by the driver. */
static err_t add_table(struct disk *k, struct slot *s, unsigned n)
{
	struct virtq_desc table = {.addr = virt_to_phys(s->table),
	    .len = (uint32_t)(n * sizeof(s->table[0])),
	    .flags = VIRTQ_INDIRECT};
	for (unsigned i = 0; i + 1 < n; i++) {
		s->table[i].flags |= VIRTQ_NEXT;
		s->table[i].next = (uint16_t)(i + 1);
	}
	return virtqueue_add(&k->queue, &table, 1, s);
}

/* Give one request to the device; false: the ring or the slots are used up. */
static bool start(struct disk *k, struct block_request *r)
{
	ASSERT_HELD(&k->lock);
	if (list_is_empty(&k->free_slots))
		return false;
	struct slot *s = list_first(&k->free_slots, struct slot, link);
	unsigned n = fill_slot(k, s, r);
	if (k->indirect ? add_table(k, s, n) : virtqueue_add(&k->queue, s->table, n, s))
		return false;
	list_remove(&s->link);
	list_push_back(&k->busy_slots, &s->link);
	s->request = r;
	s->started = clock_now();
	s->told = false;
	return true;
}

/* Start what waits, as far as it goes. true: the device is to be told, by notify(), with the lock dropped. An
 * emulated device does the work within the write that tells it, while the other CPUs would wait for the lock.
 */
static MUST_CHECK bool start_waiting(struct disk *k)
{
	ASSERT_HELD(&k->lock);
	while (!list_is_empty(&k->waiting)) {
		struct block_request *r = list_first(&k->waiting, struct block_request, link);
		if (!start(k, r))
			break;
		list_remove(&r->link);
	}
	if (!k->watching && !list_is_empty(&k->busy_slots)) {
		k->watching = true;
		timer_set(&k->watch, clock_now() + k->period);
	}
	return virtqueue_wants_notify(&k->queue);
}

/* The device may have been reset since the lock was dropped: then it does not listen. */
static void notify(struct disk *k)
{
	k->device->transport->notify(k->device, 0);
}

static void disk_submit(struct block_device *b, struct block_request *r)
{
	struct disk *k = b->data;
	uint64_t state = spin_lock_irqsave(&k->lock);
	bool failed = k->failed, tell = false;
	if (!failed) {
		list_push_back(&k->waiting, &r->link);
		tell = start_waiting(k);
	}
	spin_unlock_irqrestore(&k->lock, state);
	if (tell)
		notify(k);
	if (failed)
		block_end(r, -EIO);
}

static const struct block_driver disk_driver = {.submit = disk_submit};

/* -- ending ---------------------------------------------------------------------------------------------- */

static err_t error_of(uint8_t status)
{
	return status == BLK_OK ? 0 : status == BLK_UNSUPPORTED ? -ENOTSUP : -EIO;
}

/* The slot is free again; its request goes to `ended`. */
static void release_slot(struct disk *k, struct slot *s, struct list *ended, err_t error)
{
	struct block_request *r = s->request;
	ASSERT_HELD(&k->lock);
	r->error = error;
	list_push_back(ended, &r->link);
	s->request = NULL;
	list_remove(&s->link);
	list_push_front(&k->free_slots, &s->link);
}

/* The device does not work any more: reset it, and take all requests back. */
static void fail(struct disk *k, struct list *ended)
{
	struct slot *s;
	ASSERT_HELD(&k->lock);
	if (k->failed)
		return;
	k->failed = true;
	virtio_stop(k->device);
	while ((s = virtqueue_revoke(&k->queue)))
		release_slot(k, s, ended, -EIO);
	list_for_each (it, &k->waiting)
		list_entry(it, struct block_request, link)->error = -EIO;
	list_splice_back(ended, &k->waiting);
}

/* Take what is done out of the ring. true: the device is to be told. */
static MUST_CHECK bool collect(struct disk *k, struct list *ended)
{
	struct slot *s;
	uint32_t len;
	ASSERT_HELD(&k->lock);
	do {
		while ((s = virtqueue_get(&k->queue, &len)))
			release_slot(k, s, ended, error_of(*(volatile uint8_t *)&s->status));
	} while (virtqueue_arm(&k->queue));
	if (!k->queue.broken)
		return start_waiting(k);
	fail(k, ended);
	return false;
}

static void end_all(struct list *ended)
{
	while (!list_is_empty(ended)) {
		struct block_request *r = list_first(ended, struct block_request, link);
		list_remove(&r->link);
		block_end(r, r->error);
	}
}

/* Anything may have happened: look at the ring, and at the device if `at_device`. */
static void look(struct disk *k, bool at_device)
{
	struct list ended = LIST_INIT(ended);
	uint64_t state = spin_lock_irqsave(&k->lock);
	bool was_failed = k->failed, tell = false;
	if (!was_failed)
		tell = collect(k, &ended);
	if (!k->failed && at_device && (k->device->transport->get_status(k->device) & VIRTIO_NEEDS_RESET))
		fail(k, &ended);
	bool now_failed = k->failed;
	spin_unlock_irqrestore(&k->lock, state);
	if (tell)
		notify(k);
	if (now_failed && !was_failed)
		log_err("virtio", "%s at %s failed: every request to it ends with an error from now on",
		    k->block.name, k->device->where);
	end_all(&ended);
}

static void disk_interrupt(struct virtio_device *d)
{
	look(d->driver, false);
}

static void disk_config_interrupt(struct virtio_device *d)
{
	look(d->driver, true);
}

/* Tell of requests that take long, once each. */
static unsigned count_slow(struct disk *k, nsec_t now)
{
	unsigned slow = 0;
	list_for_each (it, &k->busy_slots) {
		struct slot *s = list_entry(it, struct slot, link);
		if (s->told || now < s->started + SLOW) /* it may have started after `now` */
			continue;
		s->told = true;
		slow++;
	}
	return slow;
}

static void disk_watch(void *arg)
{
	struct disk *k = arg;
	nsec_t now = clock_now();
	look(k, true);
	uint64_t state = spin_lock_irqsave(&k->lock);
	unsigned slow = count_slow(k, now);
	k->watching = !list_is_empty(&k->busy_slots);
	if (k->watching)
		timer_set(&k->watch, now + k->period);
	spin_unlock_irqrestore(&k->lock, state);
	if (slow)
		log_warn("virtio", "%s: %u requests are not done after 30 s", k->block.name, slow);
}

/* -- finding --------------------------------------------------------------------------------------------- */

static uint32_t config32(struct virtio_device *d, uint64_t feature, unsigned offset, uint32_t otherwise)
{
	return d->features & feature ? d->transport->read_config(d, offset, 4) : otherwise;
}

/* What the device says of itself, confined to what makes sense. */
static err_t read_geometry(struct disk *k)
{
	struct virtio_device *d = k->device;
	struct block_device *b = &k->block;
	uint32_t most = config32(d, BLK_F_SEG_MAX, CONFIG_SEG_MAX, 1);
	b->nsectors = virtio_config64(d, CONFIG_CAPACITY);
	b->block_size = config32(d, BLK_F_BLOCK_SIZE, CONFIG_BLOCK_SIZE, SECTOR_SIZE);
	k->max_buffer = config32(d, BLK_F_SIZE_MAX, CONFIG_SIZE_MAX, (uint32_t)MIB(1));
	k->indirect = d->features & VIRTIO_F_INDIRECT;
	b->read_only = d->features & BLK_F_READ_ONLY;
	b->has_cache = d->features & BLK_F_FLUSH;
	b->max_discard = config32(d, BLK_F_DISCARD, CONFIG_MAX_DISCARD, 0);
	b->max_zeroes = config32(d, BLK_F_WRITE_ZEROES, CONFIG_MAX_ZEROES, 0);
	if (b->block_size < SECTOR_SIZE || b->block_size > PAGE_SIZE || (b->block_size & (b->block_size - 1)))
		return -ENOTSUP;
	if (k->max_buffer < PAGE_SIZE || b->nsectors > UINT64_MAX >> SECTOR_SHIFT)
		return -ENOTSUP;
	b->nsectors &= ~(uint64_t)((b->block_size >> SECTOR_SHIFT) - 1);
	b->max_segments = MIN(MAX(most, 1u), MAX_BUFFERS);
	return 0;
}

/* A request must fit the ring when it is empty. */
static err_t fit_to_queue(struct disk *k)
{
	struct block_device *b = &k->block;
	if (!k->indirect && k->queue.size <= OVERHEAD)
		return -ENOTSUP;
	if (!k->indirect)
		b->max_segments = MIN(b->max_segments, k->queue.size - (unsigned)OVERHEAD);
	b->max_sectors = b->max_segments * (PAGE_SIZE >> SECTOR_SHIFT);
	return 0;
}

static err_t make_slots(struct disk *k)
{
	k->cache = slab_cache_create("virtio-blk", sizeof(struct slot), 64);
	if (!k->cache)
		return -ENOMEM;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = slab_zalloc(k->cache);
		if (!s)
			return -ENOMEM;
		k->slots[i] = s;
		list_push_back(&k->free_slots, &s->link);
	}
	return 0;
}

static void disk_destroy(struct disk *k)
{
	for (unsigned i = 0; i < SLOTS && k->slots[i]; i++)
		slab_free(k->cache, k->slots[i]);
	if (k->cache)
		slab_cache_destroy(k->cache);
	if (k->queue_memory)
		virtio_free_queue(k->queue_memory);
	kfree(k);
}

static struct disk *disk_create(struct virtio_device *d)
{
	struct disk *k = kzalloc(sizeof(*k));
	if (!k)
		return NULL;
	k->device = d;
	k->block.data = k;
	k->block.driver = &disk_driver;
	spin_init(&k->lock, "virtio disk", RANK_IRQ);
	list_init(&k->free_slots);
	list_init(&k->busy_slots);
	list_init(&k->waiting);
	timer_init(&k->watch, disk_watch, k);
	d->driver = k;
	d->on_queue = disk_interrupt;
	d->on_config = disk_config_interrupt;
	return k;
}

static err_t disk_set_up(struct disk *k)
{
	struct virtio_device *d = k->device;
	err_t err = virtio_begin(d, BLK_FEATURES);
	if (!err)
		err = read_geometry(k);
	if (!err)
		err = virtio_setup_queue(d, 0, VIRTQUEUE_MAX, &k->queue, &k->queue_memory);
	if (!err)
		err = fit_to_queue(k);
	if (!err)
		err = make_slots(k);
	if (!err)
		err = virtio_connect(d);
	return err;
}

static void disk_announce(struct disk *k)
{
	static const char *const how[] = {"messages", "a line", "nothing: it is polled"};
	const struct block_device *b = &k->block;
	log_info("virtio", "%s at %s: %llu sectors, blocks of %u%s%s, ring of %u, interrupts by %s", b->name,
	    k->device->where, (unsigned long long)b->nsectors, b->block_size,
	    b->read_only ? ", read-only" : "", b->has_cache ? ", write cache" : "", k->queue.size,
	    how[k->device->interrupt]);
}

err_t virtio_blk_probe(struct virtio_device *d)
{
	struct disk *k = ndisks < MAX_DISKS ? disk_create(d) : NULL;
	if (!k)
		return -ENOMEM;
	err_t err = disk_set_up(k);
	if (err) {
		virtio_end(d);
		disk_destroy(k);
		return err;
	}
	k->period = d->interrupt == VIRTIO_MESSAGES ? WATCH_PERIOD
		    : d->interrupt == VIRTIO_LINE   ? WATCH_LINE_PERIOD
						    : WATCH_POLL_PERIOD;
	format(k->block.name, sizeof(k->block.name), "vd%c", 'a' + (int)ndisks);
	ndisks++;
	virtio_run(d);
	disk_announce(k);
	block_register(&k->block);
	return 0;
}
