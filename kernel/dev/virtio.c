/* virtio.c - see virtio.h: bringing a device up in the order of 3.1.1 of the specification, and stopping it.
 */
#include "dev/virtio.h"
#include "arch/cpu.h"
#include "kern/log.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "mm/frame.h"

enum {
	RESET_POLLS = 100000, /* a reset may take its time */
	CONFIG_TRIES = 16,
	QUEUE_ORDER = 1, /* VIRTQUEUE_BYTES */
};

static void add_status(struct virtio_device *d, uint8_t bits)
{
	d->transport->set_status(d, d->transport->get_status(d) | bits);
}

bool virtio_stop(struct virtio_device *d)
{
	d->transport->set_status(d, 0);
	for (unsigned i = 0; i < RESET_POLLS; i++) {
		if (d->transport->get_status(d) == 0)
			return true;
		cpu_relax();
	}
	d->transport->isolate(d);
	log_err("virtio", "%s does not answer to a reset", d->where);
	return false;
}

err_t virtio_begin(struct virtio_device *d, uint64_t wanted)
{
	if (!virtio_stop(d))
		return -ENODEV;
	add_status(d, VIRTIO_ACKNOWLEDGE);
	add_status(d, VIRTIO_DRIVER);
	d->features = d->transport->get_features(d) & (wanted | VIRTIO_F_VERSION_1);
	if (!(d->features & VIRTIO_F_VERSION_1))
		return -ENOTSUP;
	d->transport->set_features(d, d->features);
	add_status(d, VIRTIO_FEATURES_OK);
	return d->transport->get_status(d) & VIRTIO_FEATURES_OK ? 0 : -ENOTSUP;
}

uint64_t virtio_config64(struct virtio_device *d, unsigned offset)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < CONFIG_TRIES; i++) {
		uint32_t before = d->transport->generation(d);
		v = d->transport->read_config(d, offset, 4);
		v |= (uint64_t)d->transport->read_config(d, offset + 4, 4) << 32;
		if (d->transport->generation(d) == before)
			break;
	}
	return v;
}

err_t virtio_setup_queue(
    struct virtio_device *d, unsigned index, uint16_t max, struct virtqueue *q, struct page **memory)
{
	uint16_t size = MIN(MIN(max, d->transport->queue_max(d, index)), VIRTQUEUE_MAX);
	if (!size)
		return -ENOENT;
	while (size & (size - 1)) /* down to a power of two */
		size &= (uint16_t)(size - 1);
	struct page *p = frame_alloc_order(PAGE_KERNEL, QUEUE_ORDER, FRAME_ZERO);
	if (!p)
		return -ENOMEM;
	virtqueue_init(q, page_to_virt(p), size, d->features & VIRTIO_F_EVENT_IDX);
	err_t err = d->transport->queue_enable(d, index, size, page_to_phys(p));
	if (err)
		virtio_free_queue(p);
	else
		*memory = p;
	return err;
}

void virtio_free_queue(struct page *memory)
{
	frame_free_order(memory, QUEUE_ORDER);
}

err_t virtio_connect(struct virtio_device *d)
{
	ASSERT(d->on_queue && d->on_config);
	return d->transport->connect(d);
}

void virtio_run(struct virtio_device *d)
{
	add_status(d, VIRTIO_DRIVER_OK);
}

void virtio_end(struct virtio_device *d)
{
	virtio_stop(d);
	d->transport->disconnect(d);
}

void virtio_line_interrupt(void *device)
{
	struct virtio_device *d = device;
	uint32_t why = d->transport->acknowledge(d);
	if (why & 2)
		d->on_config(d);
	if (why & 1)
		d->on_queue(d);
}

/* The drivers, by type. */
static err_t (*const drivers[])(struct virtio_device *d) = {
    [VIRTIO_BLOCK] = virtio_blk_probe,
    [VIRTIO_CONSOLE] = virtio_console_probe,
};

bool virtio_has_driver(uint32_t type)
{
	return type < ARRAY_SIZE(drivers) && drivers[type];
}

err_t virtio_probe(struct virtio_device *d)
{
	err_t err = virtio_has_driver(d->type) ? drivers[d->type](d) : -ENODEV;
	if (err && err != -ENODEV)
		log_err("virtio", "%s, type %u: error %d", d->where, d->type, err);
	return err;
}

void virtio_init(void)
{
	virtio_pci_init();
	virtio_mmio_init();
}
