/*
 * virtio_mmio.c - virtio devices with their registers at a fixed address: Virtual I/O Device 1.1, 4.2.
 *
 * Nothing on the bus says where they are. The command line may (virtio_mmio.device=SIZE@BASE:GSI, any number
 * of times); else, on the one machine that is known to have them without saying so there (hardware-reduced
 * ACPI by QEMU: microvm), all of its slots are looked at.
 */
#include "arch/bootinfo.h"
#include "dev/acpi.h"
#include "dev/claim.h"
#include "dev/virtio.h"
#include "kern/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "mm/slab.h"

enum mmio_register {
	MMIO_MAGIC = 0x000,
	MMIO_VERSION = 0x004,
	MMIO_TYPE = 0x008,
	MMIO_DEVICE_FEATURES = 0x010,
	MMIO_DEVICE_FEATURES_SEL = 0x014,
	MMIO_DRIVER_FEATURES = 0x020,
	MMIO_DRIVER_FEATURES_SEL = 0x024,
	MMIO_QUEUE_SEL = 0x030,
	MMIO_QUEUE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_NOTIFY = 0x050,
	MMIO_INTERRUPT_STATUS = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESC = 0x080,
	MMIO_QUEUE_AVAIL = 0x090,
	MMIO_QUEUE_USED = 0x0a0,
	MMIO_GENERATION = 0x0fc,
	MMIO_CONFIG = 0x100,
};

enum {
	MAGIC = 0x74726976, /* "virt" */
	SLOT_BASE = 0xfeb00000,
	SLOT_SIZE = 0x200,
	SLOTS = 24,
	GSI_TWO_IOAPICS = 24, /* line of slot 0 */
	GSI_ONE_IOAPIC = 16,
};

static uint32_t mmio_read(struct virtio_device *d, unsigned reg)
{
	return *(volatile uint32_t *)(d->mmio.base + reg);
}

static void mmio_write(struct virtio_device *d, unsigned reg, uint32_t v)
{
	*(volatile uint32_t *)(d->mmio.base + reg) = v;
}

static uint8_t mmio_get_status(struct virtio_device *d)
{
	return (uint8_t)mmio_read(d, MMIO_STATUS);
}

static void mmio_set_status(struct virtio_device *d, uint8_t status)
{
	mmio_write(d, MMIO_STATUS, status);
}

static uint64_t mmio_get_features(struct virtio_device *d)
{
	mmio_write(d, MMIO_DEVICE_FEATURES_SEL, 1);
	uint64_t high = mmio_read(d, MMIO_DEVICE_FEATURES);
	mmio_write(d, MMIO_DEVICE_FEATURES_SEL, 0);
	return high << 32 | mmio_read(d, MMIO_DEVICE_FEATURES);
}

static void mmio_set_features(struct virtio_device *d, uint64_t features)
{
	for (unsigned i = 0; i < 2; i++) {
		mmio_write(d, MMIO_DRIVER_FEATURES_SEL, i);
		mmio_write(d, MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
	}
}

static uint32_t mmio_read_config(struct virtio_device *d, unsigned offset, unsigned size)
{
	volatile char *p = d->mmio.base + MMIO_CONFIG + offset;
	if (offset + size > SLOT_SIZE - MMIO_CONFIG)
		return 0;
	return size == 1   ? *(volatile uint8_t *)p
	       : size == 2 ? *(volatile uint16_t *)p
			   : *(volatile uint32_t *)p;
}

static uint32_t mmio_generation(struct virtio_device *d)
{
	return mmio_read(d, MMIO_GENERATION);
}

static uint16_t mmio_queue_max(struct virtio_device *d, unsigned queue)
{
	mmio_write(d, MMIO_QUEUE_SEL, queue);
	uint32_t max = mmio_read(d, MMIO_QUEUE_READY) ? 0 : mmio_read(d, MMIO_QUEUE_MAX);
	return (uint16_t)MIN(max, VIRTQUEUE_MAX);
}

static void mmio_write64(struct virtio_device *d, unsigned reg, uint64_t v)
{
	mmio_write(d, reg, (uint32_t)v);
	mmio_write(d, reg + 4, (uint32_t)(v >> 32));
}

static err_t mmio_queue_enable(struct virtio_device *d, unsigned queue, uint16_t size, paddr_t memory)
{
	mmio_write(d, MMIO_QUEUE_SEL, queue);
	mmio_write(d, MMIO_QUEUE_SIZE, size);
	mmio_write64(d, MMIO_QUEUE_DESC, memory);
	mmio_write64(d, MMIO_QUEUE_AVAIL, memory + VIRTQUEUE_AVAIL_AT);
	mmio_write64(d, MMIO_QUEUE_USED, memory + VIRTQUEUE_USED_AT);
	mmio_write(d, MMIO_QUEUE_READY, 1);
	return mmio_read(d, MMIO_QUEUE_READY) ? 0 : -EIO;
}

static void mmio_notify(struct virtio_device *d, unsigned queue)
{
	mmio_write(d, MMIO_NOTIFY, queue);
}

static uint32_t mmio_acknowledge(struct virtio_device *d)
{
	uint32_t why = mmio_read(d, MMIO_INTERRUPT_STATUS);
	mmio_write(d, MMIO_INTERRUPT_ACK, why);
	return why;
}

static err_t mmio_connect(struct virtio_device *d)
{
	d->interrupt = VIRTIO_LINE;
	err_t err = irq_connect(d->mmio.gsi, IRQ_LEVEL, false, virtio_line_interrupt, d);
	if (err == -EINVAL && d->mmio.other_gsi != d->mmio.gsi) {
		d->mmio.gsi = d->mmio.other_gsi;
		err = irq_connect(d->mmio.gsi, IRQ_LEVEL, false, virtio_line_interrupt, d);
	}
	if (err)
		d->interrupt = VIRTIO_POLLED;
	else
		irq_unmask(d->mmio.gsi);
	return 0;
}

static void mmio_disconnect(struct virtio_device *d)
{
	if (d->interrupt == VIRTIO_LINE)
		irq_disconnect(d->mmio.gsi);
	d->interrupt = VIRTIO_POLLED;
}

/* The bus has no means to do so. */
static void mmio_isolate(UNUSED struct virtio_device *d)
{
}

static void mmio_release(struct virtio_device *d)
{
	kva_unmap_phys((void *)d->mmio.base);
}

static const struct virtio_transport mmio_transport = {
    .get_status = mmio_get_status,
    .set_status = mmio_set_status,
    .get_features = mmio_get_features,
    .set_features = mmio_set_features,
    .read_config = mmio_read_config,
    .generation = mmio_generation,
    .queue_max = mmio_queue_max,
    .queue_enable = mmio_queue_enable,
    .notify = mmio_notify,
    .acknowledge = mmio_acknowledge,
    .connect = mmio_connect,
    .disconnect = mmio_disconnect,
    .isolate = mmio_isolate,
    .release = mmio_release,
};

/* Is there a device, and does a driver take it? */
static bool mmio_try(struct virtio_device *d, paddr_t base)
{
	if (mmio_read(d, MMIO_MAGIC) != MAGIC || !(d->type = mmio_read(d, MMIO_TYPE)))
		return false;
	uint32_t version = mmio_read(d, MMIO_VERSION);
	if (version != 2) {
		log_warn(
		    "virtio", "device at %#llx has version %u, not 2", (unsigned long long)base, version);
		return false;
	}
	format(d->where, sizeof(d->where), "mmio %#llx", (unsigned long long)base);
	return virtio_probe(d) == 0;
}

static void mmio_look(paddr_t base, unsigned gsi, unsigned other_gsi)
{
	struct virtio_device *d = kzalloc(sizeof(*d));
	if (!d)
		return;
	d->transport = &mmio_transport;
	d->interrupt = VIRTIO_POLLED;
	d->mmio.gsi = gsi;
	d->mmio.other_gsi = other_gsi;
	d->mmio.base = kva_map_phys(base, SLOT_SIZE, MMU_UC, true);
	if (d->mmio.base && mmio_try(d, base)) {
		claim_memory(base, SLOT_SIZE);
		return;
	}
	if (d->mmio.base)
		mmio_release(d);
	kfree(d);
}

/* Cut the text before the first of `stop` out of *s and read it as a number. */
static bool take_number(const char **s, const char *stop, uint64_t *out)
{
	char word[24];
	size_t n = 0;
	while ((*s)[n] && !strchr(stop, (*s)[n]))
		n++;
	if (n >= sizeof(word))
		return false;
	memcpy(word, *s, n);
	word[n] = 0;
	*s += n;
	return str_to_u64(word, out);
}

/* SIZE@BASE:GSI, perhaps with :ID behind it. */
static bool parse_device(const char *s, uint64_t *base, uint64_t *gsi)
{
	uint64_t size;
	if (!take_number(&s, "@ ", &size) || *s++ != '@' || size < MMIO_CONFIG)
		return false;
	return take_number(&s, ": ", base) && *s++ == ':' && take_number(&s, ": ", gsi);
}

static bool mmio_from_command_line(void)
{
	static const char key[] = "virtio_mmio.device=";
	bool any = false;
	for (const char *s = bootinfo.cmdline; (s = strstr(s, key));) {
		uint64_t base, gsi;
		bool word = s == bootinfo.cmdline || s[-1] == ' ';
		s += sizeof(key) - 1;
		if (!word)
			continue;
		any = true;
		if (parse_device(s, &base, &gsi) && IS_ALIGNED(base, 4) && gsi < UINT16_MAX)
			mmio_look(base, (unsigned)gsi, (unsigned)gsi);
		else
			log_warn("virtio", "command line: what is %.40s?", s);
	}
	return any;
}

/* Devices are put in from the last slot down. */
static void mmio_scan_microvm(void)
{
	struct acpi_power power;
	const struct acpi_header *fadt = acpi_find("FACP", 0, sizeof(*fadt));
	if (!fadt || memcmp(fadt->oem_id, "BOCHS ", 6) != 0 || !acpi_power(&power) || !power.hardware_reduced)
		return;
	for (unsigned i = SLOTS; i-- > 0;)
		mmio_look(SLOT_BASE + (paddr_t)i * SLOT_SIZE, GSI_TWO_IOAPICS + i, GSI_ONE_IOAPIC + i);
}

void virtio_mmio_init(void)
{
	if (!mmio_from_command_line())
		mmio_scan_microvm();
}
