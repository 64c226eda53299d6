/*
 * pci.c - PCI configuration space. See pci.h; PCI Local Bus Specification 3.0, chapter 6, for the registers.
 *
 * Buses are found by walking bridges from bus 0, as firmware numbered them; nothing is renumbered and no
 * resource is assigned here.
 */
#include "dev/pci.h"
#include "arch/cpu.h"
#include "dev/acpi.h"
#include "dev/claim.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "lib/assert.h"
#include "mm/kva.h"

enum {
	PORT_ADDRESS = 0xcf8,
	PORT_DATA = 0xcfc,
	ADDRESS_ENABLE = 1u << 31,
	LEGACY_SIZE = 256,
	DEVICES = 32,
	FUNCTIONS = 8,
	HEADER_MULTIFUNCTION = 0x80,
	STATUS_CAPABILITIES = 1 << 4,
	MAX_CAPABILITIES = 48, /* as many as fit: a damaged list may be a ring */
	MAX_DEPTH = 16,        /* bridges in a row */
	MSI_CONTROL = 2,
	MSI_ENABLE = 1 << 0,
	MSI_MULTIPLE = 7 << 4,
	MSI_64 = 1 << 7,
};

/* Memory window of segment group 0: one MiB for each bus in [first_bus, last_bus]. NULL: ports. Constant
 * after pci_init. */
static struct {
	volatile char *base;
	uint8_t first_bus, last_bus;
} window;
static struct spinlock port_lock = SPINLOCK_INIT("pci ports", RANK_IOAPIC);

void pci_init(void)
{
	struct acpi_pci_window w;
	for (unsigned i = 0; acpi_pci_window(i, &w); i++) {
		if (w.segment != 0 || w.last_bus < w.first_bus)
			continue;
		uint64_t len = MIB(1) * (w.last_bus - w.first_bus + 1u);
		window.base = kva_map_phys(w.base + MIB(1) * w.first_bus, len, MMU_UC, true);
		claim_memory(w.base + MIB(1) * w.first_bus, len);
		window.first_bus = w.first_bus;
		window.last_bus = w.last_bus;
		break;
	}
	log_info("pci", "configuration space by %s", window.base ? "memory window" : "ports");
}

/* Place of a register in the window; NULL: it is not in there. */
static volatile char *window_at(struct pci_address at, unsigned reg)
{
	if (!window.base || at.bus < window.first_bus || at.bus > window.last_bus)
		return NULL;
	uint64_t bus = (uint64_t)(at.bus - window.first_bus) << 20;
	return window.base + (bus | (uint64_t)at.device << 15 | (uint64_t)at.function << 12 | reg);
}

static void select_register(struct pci_address at, unsigned reg)
{
	out32(PORT_ADDRESS, ADDRESS_ENABLE | (uint32_t)at.bus << 16 | (uint32_t)at.device << 11 |
				(uint32_t)at.function << 8 | (reg & 0xfc));
}

uint32_t pci_read(struct pci_address at, unsigned reg, unsigned size)
{
	volatile char *p = window_at(at, reg);
	ASSERT(IS_ALIGNED(reg, size) && reg + size <= PAGE_SIZE);
	if (p)
		return size == 1   ? *(volatile uint8_t *)p
		       : size == 2 ? *(volatile uint16_t *)p
				   : *(volatile uint32_t *)p;
	if (reg >= LEGACY_SIZE)
		return UINT32_MAX >> (32 - 8 * size);
	uint64_t state = spin_lock_irqsave(&port_lock);
	select_register(at, reg);
	uint16_t port = PORT_DATA + (reg & 3);
	uint32_t v = size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);
	spin_unlock_irqrestore(&port_lock, state);
	return v;
}

static void port_write(struct pci_address at, unsigned reg, unsigned size, uint32_t v)
{
	uint16_t port = PORT_DATA + (reg & 3);
	uint64_t state = spin_lock_irqsave(&port_lock);
	select_register(at, reg);
	if (size == 1)
		out8(port, (uint8_t)v);
	else if (size == 2)
		out16(port, (uint16_t)v);
	else
		out32(port, v);
	spin_unlock_irqrestore(&port_lock, state);
}

void pci_write(struct pci_address at, unsigned reg, unsigned size, uint32_t v)
{
	volatile char *p = window_at(at, reg);
	ASSERT(IS_ALIGNED(reg, size) && reg + size <= PAGE_SIZE);
	if (p && size == 1)
		*(volatile uint8_t *)p = (uint8_t)v;
	else if (p && size == 2)
		*(volatile uint16_t *)p = (uint16_t)v;
	else if (p)
		*(volatile uint32_t *)p = v;
	else if (reg < LEGACY_SIZE)
		port_write(at, reg, size, v);
}

/* -- finding functions ----------------------------------------------------------------------------------- */

struct walk {
	bool (*fn)(const struct pci_device *d, void *arg);
	void *arg;
};

static bool read_device(struct pci_address at, struct pci_device *d)
{
	uint32_t id = pci_read(at, PCI_ID, 4);
	if ((id & 0xffff) == 0xffff || id == 0)
		return false;
	uint32_t class = pci_read(at, PCI_CLASS, 4);
	*d = (struct pci_device){
	    .at = at,
	    .vendor = (uint16_t)id,
	    .product = (uint16_t)(id >> 16),
	    .class = (uint8_t)(class >> 24),
	    .subclass = (uint8_t)(class >> 16),
	    .interface = (uint8_t)(class >> 8),
	    .revision = (uint8_t) class,
	    .header = pci_read(at, PCI_HEADER, 1) & 0x7f,
	};
	return true;
}

static bool walk_bus(const struct walk *w, uint8_t bus, unsigned depth);

/* Bridges name buses above their own; a loop in damaged registers ends here. */
static bool walk_function(const struct walk *w, const struct pci_device *d, unsigned depth)
{
	if (!w->fn(d, w->arg))
		return false;
	uint8_t below = d->header == 1 ? (uint8_t)pci_read(d->at, PCI_SECONDARY_BUS, 1) : 0;
	return below <= d->at.bus || depth == MAX_DEPTH || walk_bus(w, below, depth + 1);
}

static bool walk_bus(const struct walk *w, uint8_t bus, unsigned depth)
{
	for (uint8_t device = 0; device < DEVICES; device++) {
		struct pci_device d;
		struct pci_address at = {bus, device, 0};
		if (!read_device(at, &d))
			continue;
		unsigned functions = pci_read(at, PCI_HEADER, 1) & HEADER_MULTIFUNCTION ? FUNCTIONS : 1;
		for (; at.function < functions; at.function++)
			if (read_device(at, &d) && !walk_function(w, &d, depth))
				return false;
	}
	return true;
}

void pci_for_each(bool (*fn)(const struct pci_device *d, void *arg), void *arg)
{
	struct walk w = {fn, arg};
	walk_bus(&w, 0, 0);
}

struct search {
	uint16_t vendor, product;
	unsigned index;
	struct pci_device *out;
	bool found;
};

static bool search_step(const struct pci_device *d, void *arg)
{
	struct search *s = arg;
	if (d->vendor != s->vendor || d->product != s->product || s->index-- > 0)
		return true;
	*s->out = *d;
	s->found = true;
	return false;
}

bool pci_find(uint16_t vendor, uint16_t product, unsigned index, struct pci_device *out)
{
	struct search s = {vendor, product, index, out, false};
	pci_for_each(search_step, &s);
	return s.found;
}

unsigned pci_find_capability(struct pci_address at, unsigned id, unsigned index)
{
	if (!(pci_read(at, PCI_STATUS, 2) & STATUS_CAPABILITIES))
		return 0;
	unsigned reg = pci_read(at, PCI_CAPABILITIES, 1) & 0xfc;
	for (unsigned i = 0; reg >= 0x40 && i < MAX_CAPABILITIES; i++) {
		uint32_t head = pci_read(at, reg, 2);
		if ((head & 0xff) == id && index-- == 0)
			return reg;
		reg = head >> 8 & 0xfc;
	}
	return 0;
}

/* -- base address registers ------------------------------------------------------------------------------ */

/* Write all ones and see which bits stay: the device's decoding is off meanwhile. */
static uint32_t probe(struct pci_address at, unsigned reg)
{
	uint32_t old = pci_read(at, reg, 4);
	pci_write(at, reg, 4, UINT32_MAX);
	uint32_t mask = pci_read(at, reg, 4);
	pci_write(at, reg, 4, old);
	return mask;
}

static bool is_upper_half(struct pci_address at, unsigned i)
{
	bool upper = false;
	for (unsigned k = 0; k < i; k++)
		upper = !upper && (pci_read(at, PCI_BAR0 + 4 * k, 4) & 7) == 4;
	return upper;
}

err_t pci_get_bar(struct pci_address at, unsigned i, struct pci_bar *out)
{
	unsigned reg = PCI_BAR0 + 4 * i;
	ASSERT(i < 6);
	if (is_upper_half(at, i))
		return -ENOENT;
	uint32_t low = pci_read(at, reg, 4), command = pci_read(at, PCI_COMMAND, 2);
	pci_write(at, PCI_COMMAND, 2, command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	uint64_t mask = probe(at, reg), base = low;
	bool is_port = low & 1, wide = !is_port && (low & 6) == 4 && i < 5;
	if (wide) {
		mask |= (uint64_t)probe(at, reg + 4) << 32;
		base |= (uint64_t)pci_read(at, reg + 4, 4) << 32;
	} else {
		mask |= mask ? 0xffffffff00000000 : 0;
	}
	pci_write(at, PCI_COMMAND, 2, command);
	if (!(uint32_t)mask && !wide)
		return -ENOENT;
	uint64_t address_bits = is_port ? ~3ULL : ~15ULL;
	uint64_t len = ~(mask & address_bits) + 1;
	*out = (struct pci_bar){
	    .is_port = is_port,
	    .prefetchable = !is_port && (low & 8),
	    .base = base & address_bits,
	    .len = is_port ? len & 0xffff : len,
	};
	return 0;
}

/* -- messages -------------------------------------------------------------------------------------------- */

err_t pci_msi_connect(struct pci_address at, irq_handler *handler, void *arg, struct pci_msi *out)
{
	unsigned cap = pci_find_capability(at, PCI_CAP_MSI, 0);
	if (!cap)
		return -ENOTSUP;
	err_t err = irq_connect_msi(handler, arg, &out->address, &out->data);
	if (err)
		return err;
	out->capability = (uint8_t)cap;
	uint32_t control = pci_read(at, cap + MSI_CONTROL, 2) & ~(uint32_t)(MSI_ENABLE | MSI_MULTIPLE);
	bool wide = control & MSI_64;
	pci_write(at, cap + MSI_CONTROL, 2, control);
	pci_write(at, cap + 4, 4, (uint32_t)out->address);
	if (wide)
		pci_write(at, cap + 8, 4, (uint32_t)(out->address >> 32));
	pci_write(at, cap + (wide ? 12 : 8), 2, out->data);
	pci_write(
	    at, PCI_COMMAND, 2, pci_read(at, PCI_COMMAND, 2) | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	pci_write(at, cap + MSI_CONTROL, 2, control | MSI_ENABLE);
	return 0;
}

void pci_msi_disconnect(struct pci_address at, struct pci_msi *msi)
{
	uint32_t control = pci_read(at, msi->capability + MSI_CONTROL, 2);
	pci_write(at, msi->capability + MSI_CONTROL, 2, control & ~(uint32_t)MSI_ENABLE);
	irq_disconnect_msi(msi->address, msi->data);
}
