/*
 * pci_msix.c - what drivers do with a function's memory: map its base address registers, and connect its
 * messages by MSI-X (PCI 3.0, 6.8.2).
 *
 * Some firmware (qboot) leaves base address registers without addresses. Such a register gets one from the
 * top of the hole below 4 GiB down, clear of the boot map, the configuration window and all registers that
 * have an address. Behind a bridge this would take a window of the bridge as well: not done.
 */
#include "arch/bootinfo.h"
#include "dev/acpi.h"
#include "dev/claim.h"
#include "dev/pci.h"
#include "lib/assert.h"
#include "mm/kva.h"

enum {
	HOLE_TOP = 0xfe800000, /* below the interrupt controllers and their like */
	HOLE_BOTTOM = 0x80000000,
	BARS = 6,
	MSIX_CONTROL = 2,
	MSIX_TABLE = 4,
	MSIX_ENABLE = 1 << 15,
	MSIX_MASK_ALL = 1 << 14,
	MSIX_COUNT = 0x7ff,
	MSIX_ENTRY = 4, /* words: address low, high, data, control */
	MSIX_MASKED = 1,
};

/* -- addresses ------------------------------------------------------------------------------------------- */

/* Where the piece [base, base + len) could go; base sinks until nothing is in its way. */
struct place {
	paddr_t base;
	uint64_t len;
	bool moved;
};

static void place_avoid(struct place *p, paddr_t start, uint64_t len)
{
	if (p->base >= start + len || start >= p->base + p->len)
		return;
	p->base = start > p->len ? ALIGN_DOWN(start - p->len, p->len) : 0;
	p->moved = true;
}

static bool avoid_function(const struct pci_device *d, void *arg)
{
	struct pci_bar bar;
	for (unsigned i = 0; i < (d->header == 0 ? BARS : 2); i++)
		if (pci_get_bar(d->at, i, &bar) == 0 && !bar.is_port && bar.base)
			place_avoid(arg, bar.base, bar.len);
	return true;
}

static void avoid_all(struct place *p)
{
	struct acpi_pci_window w;
	for (unsigned i = 0; i < bootinfo.nranges; i++)
		place_avoid(p, bootinfo.ranges[i].start, bootinfo.ranges[i].end - bootinfo.ranges[i].start);
	for (unsigned i = 0; acpi_pci_window(i, &w); i++)
		place_avoid(p, w.base + MIB(1) * w.first_bus, MIB(1) * (w.last_bus - w.first_bus + 1u));
	pci_for_each(avoid_function, p);
}

static err_t assign(struct pci_address at, unsigned i, struct pci_bar *bar)
{
	if (at.bus != 0 || !bar->len || bar->len > HOLE_TOP - HOLE_BOTTOM)
		return -ENOSPC;
	uint64_t len = MAX(bar->len, (uint64_t)PAGE_SIZE);
	struct place p = {ALIGN_DOWN(HOLE_TOP - len, len), len, true};
	while (p.moved && p.base >= HOLE_BOTTOM) {
		p.moved = false;
		avoid_all(&p);
	}
	if (p.base < HOLE_BOTTOM)
		return -ENOSPC;
	unsigned reg = PCI_BAR0 + 4 * i;
	bool wide = (pci_read(at, reg, 4) & 6) == 4;
	pci_write(at, reg, 4, (uint32_t)p.base);
	if (wide)
		pci_write(at, reg + 4, 4, 0);
	bar->base = p.base;
	return 0;
}

err_t pci_map_bar(struct pci_address at, unsigned i, volatile char **out, uint64_t *len)
{
	struct pci_bar bar;
	err_t err = i < BARS ? pci_get_bar(at, i, &bar) : -ENOENT;
	if (!err && bar.is_port)
		err = -ENOTSUP;
	if (!err && !bar.base)
		err = assign(at, i, &bar);
	if (err)
		return err;
	*out = kva_map_phys(bar.base, bar.len, MMU_UC, true);
	*len = bar.len;
	if (!*out)
		return -ENOMEM;
	claim_memory(bar.base, bar.len);
	pci_write(at, PCI_COMMAND, 2, pci_read(at, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY);
	return 0;
}

/* -- messages -------------------------------------------------------------------------------------------- */

err_t pci_msix_open(struct pci_address at, struct pci_msix *out)
{
	unsigned cap = pci_find_capability(at, PCI_CAP_MSIX, 0);
	volatile char *map;
	uint64_t len;
	if (!cap)
		return -ENOTSUP;
	uint32_t control = pci_read(at, cap + MSIX_CONTROL, 2), where = pci_read(at, cap + MSIX_TABLE, 4);
	unsigned count = (control & MSIX_COUNT) + 1, offset = where & ~7u;
	err_t err = pci_map_bar(at, where & 7, &map, &len);
	if (err)
		return err;
	if (offset > len || len - offset < count * MSIX_ENTRY * sizeof(uint32_t)) {
		kva_unmap_phys((void *)map);
		return -ENOTSUP;
	}
	*out = (struct pci_msix){
	    .at = at,
	    .capability = (uint8_t)cap,
	    .count = count,
	    .table = (volatile uint32_t *)(map + offset),
	    .map = (void *)map,
	};
	for (unsigned i = 0; i < count; i++)
		out->table[i * MSIX_ENTRY + 3] = MSIX_MASKED;
	pci_write(
	    at, PCI_COMMAND, 2, pci_read(at, PCI_COMMAND, 2) | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	pci_write(at, cap + MSIX_CONTROL, 2, (control | MSIX_ENABLE) & ~(uint32_t)MSIX_MASK_ALL);
	return 0;
}

err_t pci_msix_connect(struct pci_msix *m, unsigned i, irq_handler *handler, void *arg)
{
	uint64_t address;
	uint32_t data;
	err_t err = i < m->count ? irq_connect_msi(handler, arg, &address, &data) : -ENOSPC;
	if (err)
		return err;
	volatile uint32_t *entry = m->table + i * MSIX_ENTRY;
	entry[0] = (uint32_t)address;
	entry[1] = (uint32_t)(address >> 32);
	entry[2] = data;
	entry[3] = 0;
	return 0;
}

void pci_msix_disconnect(struct pci_msix *m, unsigned i)
{
	volatile uint32_t *entry = m->table + i * MSIX_ENTRY;
	ASSERT(i < m->count);
	entry[3] = MSIX_MASKED;
	irq_disconnect_msi((uint64_t)entry[1] << 32 | entry[0], entry[2]);
}

void pci_msix_close(struct pci_msix *m)
{
	unsigned reg = m->capability + MSIX_CONTROL;
	pci_write(m->at, reg, 2, pci_read(m->at, reg, 2) & ~(uint32_t)MSIX_ENABLE);
	kva_unmap_phys(m->map);
	m->map = NULL;
}
