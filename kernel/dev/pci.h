#pragma once
/*
 * pci.h - PCI configuration space: who is there, where its registers are, and its interrupts by message.
 *
 * Configuration space is reached through the memory window that ACPI names (ECAM), else through ports 0xcf8
 * and 0xcfc, which reach the first 256 bytes.
 */
#include "arch/irq.h"
#include "lib/err.h"

struct pci_address {
	uint8_t bus, device, function;
};

struct pci_device {
	struct pci_address at;
	uint16_t vendor, product;
	uint8_t class, subclass, interface, revision;
	uint8_t header; /* 0: device, 1: bridge */
};

enum pci_register {
	PCI_ID = 0x00,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_CLASS = 0x08,
	PCI_HEADER = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SECONDARY_BUS = 0x19,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};
enum pci_bits {
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_NO_INTX = 1 << 10,
	PCI_CAP_MSI = 0x05,
	PCI_CAP_VENDOR = 0x09,
	PCI_CAP_MSIX = 0x11,
};

struct pci_bar {
	bool is_port; /* I/O ports, else memory */
	bool prefetchable;
	paddr_t base; /* 0: not assigned */
	uint64_t len; /* bytes */
};

/* An interrupt by message that is connected: what pci_msi_disconnect needs. */
struct pci_msi {
	uint8_t capability;
	uint64_t address;
	uint32_t data;
};

/* A function that was there at boot, and how large its ranges are: finding out stops it for a moment, so
 * nobody does that once it is driven. */
struct pci_known {
	struct pci_device device;
	struct pci_bar bars[6]; /* len 0: there is none; what `base` is now, only the register tells */
};

/* Find the configuration space. Once, when device maps can be made. Nothing there is not an error. */
void pci_init(void);
/* Look who is there. Once, after pci_init, before the first driver. */
void pci_known_init(void);
/* Read or write `size` (1, 2, 4) naturally aligned bytes of configuration space. All ones where there is
 * nothing. From any context. */
uint32_t pci_read(struct pci_address at, unsigned reg, unsigned size);
void pci_write(struct pci_address at, unsigned reg, unsigned size, uint32_t v);
/* Call fn for each function, bridges and what is behind them included, until it returns false. */
void pci_for_each(bool (*fn)(const struct pci_device *d, void *arg), void *arg);
/* The index-th function (from 0) of those that were there at boot, bridges before what is behind them; NULL:
 * there are no more. */
const struct pci_known *pci_known_at(unsigned index);
/* Where base address register i of it leads now; 0: nowhere. */
paddr_t pci_known_base(const struct pci_known *k, unsigned i);
/* The index-th function (from 0) with this vendor and product. */
bool pci_find(uint16_t vendor, uint16_t product, unsigned index, struct pci_device *out);
/* Offset of the index-th capability with this number; 0: there is none. */
unsigned pci_find_capability(struct pci_address at, unsigned id, unsigned index);
/* Base address register i (0 ... 5). -ENOENT: there is none, or it is the upper half of the one before. */
MUST_CHECK err_t pci_get_bar(struct pci_address at, unsigned i, struct pci_bar *out);
/* Connect the device's (single-message) MSI to handler(arg) and enable it. -ENOTSUP: it has none; -ENOSPC: no
 * free vector. */
MUST_CHECK err_t pci_msi_connect(struct pci_address at, irq_handler *handler, void *arg, struct pci_msi *out);
void pci_msi_disconnect(struct pci_address at, struct pci_msi *msi);

/*
 * MSI-X: a table of messages in the device's memory, each of which can be connected on its own.
 */
struct pci_msix {
	struct pci_address at;
	uint8_t capability;
	unsigned count;           /* entries of the table */
	volatile uint32_t *table; /* four words each */
	void *map;                /* of the base address register that the table is in */
};

/* Map base address register i, memory, uncached; give it an address first if firmware has not (bus 0 only),
 * and let the device answer there. At boot, before devices run. -ENOENT: no such register; -ENOTSUP: it is
 * for ports; -ENOSPC: no room; -ENOMEM. Unmapped by kva_unmap_phys. */
MUST_CHECK err_t pci_map_bar(struct pci_address at, unsigned i, volatile char **out, uint64_t *len);
/* Get at the device's message table, all masked, and enable MSI-X. -ENOTSUP: it has none. */
MUST_CHECK err_t pci_msix_open(struct pci_address at, struct pci_msix *out);
/* Connect entry `i` to handler(arg) and unmask it. -ENOSPC: no free vector, or no such entry. */
MUST_CHECK err_t pci_msix_connect(struct pci_msix *m, unsigned i, irq_handler *handler, void *arg);
/* Undo that: the handler does not run any more. */
void pci_msix_disconnect(struct pci_msix *m, unsigned i);
/* Disable MSI-X; every entry was disconnected. */
void pci_msix_close(struct pci_msix *m);
