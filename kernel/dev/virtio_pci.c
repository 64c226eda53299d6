/*
 * virtio_pci.c - virtio devices on PCI, by the modern interface: Virtual I/O Device 1.1, 4.1.
 *
 * Vendor capabilities say in which base address register, and where in it, each group of registers is; what
 * lies outside the register's memory is not used. Transitional devices have the same capabilities and are
 * driven in the same way.
 */
#include "dev/virtio.h"
#include "kern/log.h"
#include "lib/printf.h"
#include "mm/kva.h"
#include "mm/slab.h"

enum {
	VENDOR = 0x1af4,
	FIRST_PRODUCT = 0x1000,
	LAST_TRANSITIONAL = 0x103f,
	FIRST_MODERN = 0x1040,
	LAST_PRODUCT = 0x107f,
	NO_VECTOR = 0xffff,
	VECTOR_CONFIG = 0,
	VECTOR_QUEUE = 1,
	LINES = 16,
};

enum cap_field { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_MULTIPLIER = 16 };
enum cap_type { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4 };

enum common_register {
	COMMON_DEVICE_SELECT = 0x00,
	COMMON_DEVICE_FEATURES = 0x04,
	COMMON_DRIVER_SELECT = 0x08,
	COMMON_DRIVER_FEATURES = 0x0c,
	COMMON_MSIX_CONFIG = 0x10,
	COMMON_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_SIZE = 0x38,
};

static uint32_t get(volatile char *p, unsigned size)
{
	return size == 1   ? *(volatile uint8_t *)p
	       : size == 2 ? *(volatile uint16_t *)p
			   : *(volatile uint32_t *)p;
}

static void put16(struct virtio_device *d, unsigned reg, uint16_t v)
{
	*(volatile uint16_t *)(d->pci.common + reg) = v;
}

static void put32(struct virtio_device *d, unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)(d->pci.common + reg) = v;
}

static uint8_t vpci_get_status(struct virtio_device *d)
{
	return (uint8_t)get(d->pci.common + COMMON_STATUS, 1);
}

static void vpci_set_status(struct virtio_device *d, uint8_t status)
{
	*(volatile uint8_t *)(d->pci.common + COMMON_STATUS) = status;
}

static uint64_t vpci_get_features(struct virtio_device *d)
{
	put32(d, COMMON_DEVICE_SELECT, 1);
	uint64_t high = get(d->pci.common + COMMON_DEVICE_FEATURES, 4);
	put32(d, COMMON_DEVICE_SELECT, 0);
	return high << 32 | get(d->pci.common + COMMON_DEVICE_FEATURES, 4);
}

static void vpci_set_features(struct virtio_device *d, uint64_t features)
{
	for (unsigned i = 0; i < 2; i++) {
		put32(d, COMMON_DRIVER_SELECT, i);
		put32(d, COMMON_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
	}
}

static uint32_t vpci_read_config(struct virtio_device *d, unsigned offset, unsigned size)
{
	return d->pci.config && offset + size <= d->pci.config_len ? get(d->pci.config + offset, size) : 0;
}

static uint32_t vpci_generation(struct virtio_device *d)
{
	return get(d->pci.common + COMMON_GENERATION, 1);
}

static uint16_t vpci_queue_max(struct virtio_device *d, unsigned queue)
{
	put16(d, COMMON_QUEUE_SELECT, (uint16_t)queue);
	return (uint16_t)get(d->pci.common + COMMON_QUEUE_SIZE, 2);
}

static void put64(struct virtio_device *d, unsigned reg, uint64_t v)
{
	put32(d, reg, (uint32_t)v);
	put32(d, reg + 4, (uint32_t)(v >> 32));
}

/* Place of a queue's doorbell; NULL: outside the registers. */
static volatile char *doorbell(struct virtio_device *d, unsigned queue)
{
	put16(d, COMMON_QUEUE_SELECT, (uint16_t)queue);
	uint64_t at = (uint64_t)get(d->pci.common + COMMON_QUEUE_NOTIFY, 2) * d->pci.notify_multiplier;
	return at + 2 <= d->pci.notify_len ? d->pci.notify + at : NULL;
}

static err_t vpci_queue_enable(struct virtio_device *d, unsigned queue, uint16_t size, paddr_t memory)
{
	if (!doorbell(d, queue))
		return -EIO;
	put16(d, COMMON_QUEUE_SIZE, size);
	put64(d, COMMON_QUEUE_DESC, memory);
	put64(d, COMMON_QUEUE_DRIVER, memory + VIRTQUEUE_AVAIL_AT);
	put64(d, COMMON_QUEUE_DEVICE, memory + VIRTQUEUE_USED_AT);
	put16(d, COMMON_QUEUE_VECTOR, NO_VECTOR);
	put16(d, COMMON_QUEUE_ENABLE, 1);
	return 0;
}

static void vpci_notify(struct virtio_device *d, unsigned queue)
{
	*(volatile uint16_t *)doorbell(d, queue) = (uint16_t)queue;
}

static uint32_t vpci_acknowledge(struct virtio_device *d)
{
	return get(d->pci.isr, 1); /* reading it takes the line back */
}

/* -- interrupts ------------------------------------------------------------------------------------------ */

static void on_queue_message(void *device)
{
	struct virtio_device *d = device;
	d->on_queue(d);
}

static void on_config_message(void *device)
{
	struct virtio_device *d = device;
	d->on_config(d);
}

/* All queues that were enabled share a message. The device reads a vector back as "none" where it could not
 * take it. */
static bool set_vectors(struct virtio_device *d)
{
	put16(d, COMMON_MSIX_CONFIG, VECTOR_CONFIG);
	bool good = get(d->pci.common + COMMON_MSIX_CONFIG, 2) == VECTOR_CONFIG;
	unsigned nqueues = get(d->pci.common + COMMON_QUEUES, 2);
	for (unsigned i = 0; i < nqueues && good; i++) {
		put16(d, COMMON_QUEUE_SELECT, (uint16_t)i);
		if (!get(d->pci.common + COMMON_QUEUE_ENABLE, 2))
			continue;
		put16(d, COMMON_QUEUE_VECTOR, VECTOR_QUEUE);
		good = get(d->pci.common + COMMON_QUEUE_VECTOR, 2) == VECTOR_QUEUE;
	}
	return good;
}

static err_t connect_messages(struct virtio_device *d)
{
	struct pci_msix *m = &d->pci.msix;
	err_t err = pci_msix_open(d->pci.at, m);
	if (err)
		return err;
	err = pci_msix_connect(m, VECTOR_CONFIG, on_config_message, d);
	if (err)
		goto close;
	err = pci_msix_connect(m, VECTOR_QUEUE, on_queue_message, d);
	if (err)
		goto disconnect;
	if (set_vectors(d))
		return 0;
	err = -ENOSPC;
	pci_msix_disconnect(m, VECTOR_QUEUE);
disconnect:
	pci_msix_disconnect(m, VECTOR_CONFIG);
close:
	pci_msix_close(m);
	return err;
}

/* The line that firmware has routed the pin to. Where it is wrong or shared the driver still looks by itself
 * once in a while. */
static err_t connect_line(struct virtio_device *d)
{
	unsigned isa = pci_read(d->pci.at, PCI_INTERRUPT_LINE, 1), gsi;
	enum irq_trigger trigger;
	bool active_low;
	if (!pci_read(d->pci.at, PCI_INTERRUPT_PIN, 1) || !isa || isa >= LINES)
		return -ENOTSUP;
	irq_isa_route(isa, &gsi, &trigger, &active_low);
	err_t err = irq_connect(gsi, IRQ_LEVEL, active_low, virtio_line_interrupt, d);
	if (err)
		return err;
	d->pci.line = gsi;
	uint32_t command = pci_read(d->pci.at, PCI_COMMAND, 2);
	pci_write(d->pci.at, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_NO_INTX);
	irq_unmask(gsi);
	return 0;
}

static err_t vpci_connect(struct virtio_device *d)
{
	d->interrupt = VIRTIO_LINE;
	if (connect_messages(d) == 0) {
		d->pci.by = PCI_BY_MSIX;
		d->interrupt = VIRTIO_MESSAGES;
	} else if (d->pci.isr && pci_msi_connect(d->pci.at, virtio_line_interrupt, d, &d->pci.msi) == 0) {
		d->pci.by = PCI_BY_MSI;
	} else if (d->pci.isr && connect_line(d) == 0) {
		d->pci.by = PCI_BY_LINE;
	} else {
		d->interrupt = VIRTIO_POLLED;
	}
	return 0;
}

static void vpci_disconnect(struct virtio_device *d)
{
	if (d->pci.by == PCI_BY_MSIX) {
		pci_msix_disconnect(&d->pci.msix, VECTOR_QUEUE);
		pci_msix_disconnect(&d->pci.msix, VECTOR_CONFIG);
		pci_msix_close(&d->pci.msix);
	} else if (d->pci.by == PCI_BY_MSI) {
		pci_msi_disconnect(d->pci.at, &d->pci.msi);
	} else if (d->pci.by == PCI_BY_LINE) {
		irq_disconnect(d->pci.line);
	}
	d->pci.by = PCI_BY_NOTHING;
	d->interrupt = VIRTIO_POLLED;
}

static void vpci_isolate(struct virtio_device *d)
{
	uint32_t command = pci_read(d->pci.at, PCI_COMMAND, 2);
	pci_write(d->pci.at, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MASTER);
}

static void vpci_release(struct virtio_device *d)
{
	vpci_isolate(d);
	for (unsigned i = 0; i < ARRAY_SIZE(d->pci.maps); i++)
		if (d->pci.maps[i])
			kva_unmap_phys(d->pci.maps[i]);
}

static const struct virtio_transport pci_transport = {
    .get_status = vpci_get_status,
    .set_status = vpci_set_status,
    .get_features = vpci_get_features,
    .set_features = vpci_set_features,
    .read_config = vpci_read_config,
    .generation = vpci_generation,
    .queue_max = vpci_queue_max,
    .queue_enable = vpci_queue_enable,
    .notify = vpci_notify,
    .acknowledge = vpci_acknowledge,
    .connect = vpci_connect,
    .disconnect = vpci_disconnect,
    .isolate = vpci_isolate,
    .release = vpci_release,
};

/* -- finding --------------------------------------------------------------------------------------------- */

struct bar_map {
	volatile char *base;
	uint64_t len;
};

/* The registers that capability `cap` describes; NULL: there are none that fit. */
static volatile char *map_group(struct virtio_device *d, unsigned cap, struct bar_map *maps, uint32_t *len)
{
	struct pci_address at = d->pci.at;
	unsigned bar = pci_read(at, cap + CAP_BAR, 1);
	uint32_t offset = pci_read(at, cap + CAP_OFFSET, 4);
	*len = pci_read(at, cap + CAP_LENGTH, 4);
	if (bar >= ARRAY_SIZE(d->pci.maps) || !IS_ALIGNED(offset, 4))
		return NULL;
	if (!d->pci.maps[bar]) {
		if (pci_map_bar(at, bar, &maps[bar].base, &maps[bar].len))
			return NULL;
		d->pci.maps[bar] = (void *)maps[bar].base;
	}
	if (offset > maps[bar].len || maps[bar].len - offset < *len)
		return NULL;
	return maps[bar].base + offset;
}

/* The first usable capability of each type counts. */
static void map_capability(struct virtio_device *d, unsigned cap, struct bar_map *maps)
{
	unsigned type = pci_read(d->pci.at, cap + CAP_TYPE, 1);
	uint32_t len;
	volatile char *p = type >= CAP_COMMON && type <= CAP_DEVICE ? map_group(d, cap, maps, &len) : NULL;
	if (!p)
		return;
	if (type == CAP_COMMON && !d->pci.common && len >= COMMON_SIZE) {
		d->pci.common = p;
	} else if (type == CAP_ISR && !d->pci.isr && len >= 1) {
		d->pci.isr = p;
	} else if (type == CAP_DEVICE && !d->pci.config) {
		d->pci.config = p;
		d->pci.config_len = len;
	} else if (type == CAP_NOTIFY && !d->pci.notify) {
		d->pci.notify = p;
		d->pci.notify_len = len;
		d->pci.notify_multiplier = pci_read(d->pci.at, cap + CAP_MULTIPLIER, 4);
	}
}

static bool map_registers(struct virtio_device *d)
{
	struct bar_map maps[ARRAY_SIZE(d->pci.maps)] = {0};
	unsigned cap;
	for (unsigned i = 0; (cap = pci_find_capability(d->pci.at, PCI_CAP_VENDOR, i)); i++)
		map_capability(d, cap, maps);
	return d->pci.common && d->pci.notify;
}

/* Transitional devices have their type in the subsystem. */
static uint32_t type_of(const struct pci_device *p)
{
	if (p->vendor != VENDOR || p->product < FIRST_PRODUCT || p->product > LAST_PRODUCT)
		return 0;
	if (p->product <= LAST_TRANSITIONAL)
		return pci_read(p->at, PCI_SUBSYSTEM, 2);
	return (uint32_t)(p->product - FIRST_MODERN);
}

static bool vpci_look(const struct pci_device *p, UNUSED void *arg)
{
	uint32_t type = type_of(p);
	struct virtio_device *d = virtio_has_driver(type) ? kzalloc(sizeof(*d)) : NULL;
	if (!d)
		return true;
	d->transport = &pci_transport;
	d->type = type;
	d->interrupt = VIRTIO_POLLED;
	d->pci.at = p->at;
	d->pci.by = PCI_BY_NOTHING;
	format(d->where, sizeof(d->where), "pci %02x:%02x.%x", p->at.bus, p->at.device, p->at.function);
	pci_write(p->at, PCI_COMMAND, 2, pci_read(p->at, PCI_COMMAND, 2) | PCI_COMMAND_MASTER);
	if (map_registers(d) && virtio_probe(d) == 0)
		return true;
	vpci_release(d);
	kfree(d);
	return true;
}

void virtio_pci_init(void)
{
	pci_for_each(vpci_look, NULL);
}
