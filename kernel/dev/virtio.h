#pragma once
/*
 * virtio.h - virtio devices (Virtual I/O Device 1.1): what drivers share, whatever bus the device is on.
 *
 * A transport (virtio_pci.c, virtio_mmio.c) finds a device and calls virtio_probe, which gives it to the
 * driver of its type. The driver then calls, in this order: virtio_begin, virtio_setup_queue for each queue,
 * virtio_connect, virtio_run. When one of them fails it calls virtio_end, and the device is as if it had
 * never been found.
 *
 * A device that fails (it says so, or writes nonsense) is stopped with virtio_stop and stays so.
 */
#include "dev/pci.h"
#include "dev/virtqueue.h"
#include "mm/page.h"

enum virtio_type { VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3 };

enum virtio_status {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

#define VIRTIO_F_INDIRECT  (1ULL << 28)
#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)

enum virtio_interrupt {
	VIRTIO_MESSAGES, /* one message for queues, one for the configuration */
	VIRTIO_LINE,     /* a line, or a single message: a register says why */
	VIRTIO_POLLED,   /* none: the driver has to look by itself */
};

struct virtio_device;

/* How registers are reached. None sleeps; all but find-time calls may be made in interrupt handlers. */
struct virtio_transport {
	uint8_t (*get_status)(struct virtio_device *d);
	void (*set_status)(struct virtio_device *d, uint8_t status);
	uint64_t (*get_features)(struct virtio_device *d);
	void (*set_features)(struct virtio_device *d, uint64_t features);
	uint32_t (*read_config)(struct virtio_device *d, unsigned offset, unsigned size); /* 1, 2, 4 */
	uint32_t (*generation)(struct virtio_device *d);
	uint16_t (*queue_max)(struct virtio_device *d, unsigned queue); /* 0: there is no such queue */
	err_t (*queue_enable)(struct virtio_device *d, unsigned queue, uint16_t size, paddr_t memory);
	void (*notify)(struct virtio_device *d, unsigned queue);
	uint32_t (*acknowledge)(
	    struct virtio_device *d); /* reason of a VIRTIO_LINE interrupt: bit 0 queue, 1 configuration */
	err_t (*connect)(struct virtio_device *d); /* interrupts; sets d->interrupt */
	void (*disconnect)(struct virtio_device *d);
	void (*isolate)(struct virtio_device *d); /* keep it from reaching memory, as far as the bus can */
	void (*release)(struct virtio_device *d); /* unmap its registers */
};

struct virtio_pci {
	struct pci_address at;
	volatile char *common, *isr, *config, *notify; /* NULL: absent */
	void *maps[6];                                 /* of the base address registers */
	uint32_t config_len, notify_len, notify_multiplier;
	struct pci_msix msix;
	struct pci_msi msi;
	enum { PCI_BY_MSIX, PCI_BY_MSI, PCI_BY_LINE, PCI_BY_NOTHING } by;
	unsigned line;
};

struct virtio_mmio {
	volatile char *base;
	unsigned gsi, other_gsi; /* where the line may be: the second if there is no first */
};

/* Constant after virtio_run, but what the driver points to. */
struct virtio_device {
	const struct virtio_transport *transport;
	uint32_t type;
	uint64_t features; /* negotiated */
	enum virtio_interrupt interrupt;
	char where[24];
	void *driver; /* the driver's */
	/* Set by the driver before virtio_connect; called in interrupt handlers. */
	void (*on_queue)(struct virtio_device *d); /* some queue may have chains done */
	void (*on_config)(
	    struct virtio_device *d); /* the configuration changed, or the device needs a reset */
	union {
		struct virtio_pci pci;
		struct virtio_mmio mmio;
	};
};

/* Find all devices and start their drivers. In a thread, after pci_init. */
void virtio_init(void);
void virtio_pci_init(void);
void virtio_mmio_init(void);
/* Is there a driver for devices of this type? */
bool virtio_has_driver(uint32_t type);
/* Give a device that a transport has found to its driver. -ENODEV: there is no driver for its type; then, and
 * with any other error, the transport releases it. */
MUST_CHECK err_t virtio_probe(struct virtio_device *d);
/* Reset the device and agree on those of `wanted` features that it offers; VERSION_1 is always asked for.
 * -ENODEV: it does not answer; -ENOTSUP: not without features that this kernel does not have. */
MUST_CHECK err_t virtio_begin(struct virtio_device *d, uint64_t wanted);
/* A configuration field of 8 bytes, read in one piece. */
uint64_t virtio_config64(struct virtio_device *d, unsigned offset);
/* Give the device a queue of at most `max` descriptors. *memory is freed by virtio_free_queue after the
 * device was reset. -ENOENT: no such queue. */
MUST_CHECK err_t virtio_setup_queue(
    struct virtio_device *d, unsigned index, uint16_t max, struct virtqueue *q, struct page **memory);
void virtio_free_queue(struct page *memory);
MUST_CHECK err_t virtio_connect(struct virtio_device *d);
void virtio_run(struct virtio_device *d);
/* Reset it: afterwards it touches no memory. False: it did not answer; it is isolated then. From any context.
 */
bool virtio_stop(struct virtio_device *d);
/* Undo everything since virtio_begin; for a driver that cannot go on. Not in an interrupt handler. */
void virtio_end(struct virtio_device *d);
/* For transports: the handler of a VIRTIO_LINE interrupt. The argument is the device. */
void virtio_line_interrupt(void *device);

/* The drivers. */
MUST_CHECK err_t virtio_blk_probe(struct virtio_device *d);
MUST_CHECK err_t virtio_console_probe(struct virtio_device *d);
