/*
 * pci_known.c - the functions that were there at boot, for whoever wants to know of them later
 * (/sys/bus/pci). How large a range is can only be asked by writing to its register, while the function
 * does not answer to its addresses; so it is asked before the first driver.
 */
#include "dev/pci.h"
#include "kern/log.h"
#include "mm/slab.h"

/* Constant after pci_known_init. */
static struct {
	struct pci_known *all;
	unsigned n, capacity;
} known;

static bool count_one(UNUSED const struct pci_device *d, UNUSED void *arg)
{
	known.capacity++;
	return true;
}

/* Bridges have two such registers. */
static bool know_one(const struct pci_device *d, UNUSED void *arg)
{
	if (known.n == known.capacity)
		return false;
	struct pci_known *k = &known.all[known.n++];
	k->device = *d;
	for (unsigned i = 0; i < (d->header == 1 ? 2 : d->header ? 0 : 6); i++)
		if (pci_get_bar(d->at, i, &k->bars[i]))
			k->bars[i].len = 0;
	return true;
}

void pci_known_init(void)
{
	pci_for_each(count_one, NULL);
	known.all = known.capacity ? kzalloc(known.capacity * sizeof(*known.all)) : NULL;
	if (known.all)
		pci_for_each(know_one, NULL);
	else if (known.capacity)
		log_warn("pci", "no memory for a list of %u functions", known.capacity);
}

const struct pci_known *pci_known_at(unsigned index)
{
	return index < known.n ? &known.all[index] : NULL;
}

paddr_t pci_known_base(const struct pci_known *k, unsigned i)
{
	unsigned reg = PCI_BAR0 + 4 * i;
	uint32_t low = pci_read(k->device.at, reg, 4);
	if (k->bars[i].is_port)
		return low & ~3u;
	uint64_t high = (low & 6) == 4 && i < 5 ? pci_read(k->device.at, reg + 4, 4) : 0;
	return high << 32 | (low & ~15u);
}
