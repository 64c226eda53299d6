/*
 * sysfs_pci.c - PCI in /sys, as lspci reads it, and the screen that the boot loader left. Forms: Linux's
 * Documentation/ABI/testing/sysfs-bus-pci.
 *
 *	devices/pci0000:00/0000:00:1c.0/0000:01:00.0    a function, below the bridge that it is behind
 *	bus/pci/devices/0000:01:00.0                    leads there
 *	firmware/framebuffer                            Linux has no names for it: docs/console.md
 *
 * Nothing can be changed. The ranges of a function are where its registers say now, as long as they were at
 * boot (dev/pci_known.c); expansion ROMs and the windows of bridges are not told.
 */
#include "arch/bootinfo.h"
#include "dev/pci.h"
#include "lib/printf.h"
#include "proc/cred.h"
#include "proc/sysfs.h"

enum { NAME_SIZE = 32, BARS = 6, RESOURCES = 7, BRIDGE_RESOURCES = 13, CONFIG_OPEN = 64, CONFIG_SIZE = 256 };
enum resource_flags { /* of Linux's include/linux/ioport.h */
	RESOURCE_PORTS = 0x100,
	RESOURCE_MEMORY = 0x200,
	RESOURCE_PREFETCH = 0x2000,
	RESOURCE_ALIGNED = 0x40000, /* to its size */
	RESOURCE_64 = 0x100000,
};

/* --- a function --- */

static void show_range(struct text *t, const struct pci_known *k, unsigned i)
{
	const struct pci_bar *bar = &k->bars[i];
	uint32_t low = pci_read(k->device.at, PCI_BAR0 + 4 * i, 4);
	uint64_t flags = RESOURCE_ALIGNED, base = pci_known_base(k, i);
	flags |= bar->is_port ? RESOURCE_PORTS | (low & 3) : RESOURCE_MEMORY | (low & 15);
	flags |= bar->prefetchable ? RESOURCE_PREFETCH : 0;
	flags |= !bar->is_port && (low & 6) == 4 ? RESOURCE_64 : 0;
	text_printf(t, "0x%016llx 0x%016llx 0x%016llx\n", (unsigned long long)base,
	    (unsigned long long)(base + bar->len - 1), (unsigned long long)flags);
}

/* A line for each range that there could be; zeros for those that there are not, or that have no address. */
static void show_resource(struct text *t, const void *arg)
{
	const struct pci_known *k = arg;
	unsigned lines = k->device.header == 1 ? BRIDGE_RESOURCES : RESOURCES;
	for (unsigned i = 0; i < lines; i++) {
		if (i < BARS && k->bars[i].len && pci_known_base(k, i))
			show_range(t, k, i);
		else
			text_printf(t, "0x%016x 0x%016x 0x%016x\n", 0, 0, 0);
	}
}

/* Registers of capabilities are for the privileged, as on Linux. */
static void show_config(struct text *t, const void *arg)
{
	const struct pci_known *k = arg;
	unsigned size = current_can(CAP_SYS_ADMIN) ? CONFIG_SIZE : CONFIG_OPEN;
	for (unsigned reg = 0; reg < size; reg += 4) {
		uint32_t v = pci_read(k->device.at, reg, 4);
		text_add(t, (const char *)&v, sizeof(v));
	}
}

static void show_irq(struct text *t, const void *arg)
{
	const struct pci_known *k = arg;
	bool has_pin = pci_read(k->device.at, PCI_INTERRUPT_PIN, 1);
	text_printf(t, "%u\n", has_pin ? pci_read(k->device.at, PCI_INTERRUPT_LINE, 1) : 0);
}

/* Bridges have no such registers there. */
static unsigned subsystem(const struct pci_known *k, unsigned reg)
{
	return k->device.header == 0 ? pci_read(k->device.at, reg, 2) : 0;
}

static void show_alias(struct text *t, const void *arg)
{
	const struct pci_known *k = arg;
	const struct pci_device *d = &k->device;
	text_printf(t, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", d->vendor, d->product,
	    subsystem(k, PCI_SUBSYSTEM_VENDOR), subsystem(k, PCI_SUBSYSTEM), d->class, d->subclass,
	    d->interface);
}

static void name_of(const struct pci_device *d, char name[NAME_SIZE])
{
	format(name, NAME_SIZE, "0000:%02x:%02x.%u", d->at.bus, d->at.device, d->at.function);
}

static unsigned class_of(const struct pci_device *d)
{
	return (unsigned)(d->class << 16 | d->subclass << 8 | d->interface);
}

static void show_event(struct text *t, const void *arg)
{
	const struct pci_known *k = arg;
	const struct pci_device *d = &k->device;
	char name[NAME_SIZE];
	name_of(d, name);
	text_printf(t, "PCI_CLASS=%X\nPCI_ID=%04X:%04X\n", class_of(d), d->vendor, d->product);
	text_printf(t,
	    "PCI_SUBSYS_ID=%04X:%04X\nPCI_SLOT_NAME=%s\nMODALIAS=", subsystem(k, PCI_SUBSYSTEM_VENDOR),
	    subsystem(k, PCI_SUBSYSTEM), name);
	show_alias(t, arg);
}

static void add_hex(struct text_node *d, const char *name, int digits, unsigned value)
{
	char line[NAME_SIZE];
	format(line, sizeof(line), "0x%0*x", digits, value);
	text_tree_line(d, name, line);
}

/* The directory of the bridge that a bus is behind; of the bus itself, if it is behind none. */
static struct text_node *bus_dir(struct text_node *top, uint8_t bus)
{
	struct text_node *devices = text_tree_dir(top, "devices");
	char name[NAME_SIZE];
	const struct pci_known *k;
	for (unsigned i = 0; (k = pci_known_at(i)); i++) {
		const struct pci_device *d = &k->device;
		if (d->header != 1 || d->at.bus >= bus || pci_read(d->at, PCI_SECONDARY_BUS, 1) != bus)
			continue;
		name_of(d, name);
		return text_tree_dir(bus_dir(top, d->at.bus), name);
	}
	format(name, sizeof(name), "pci0000:%02x", bus);
	return text_tree_dir(devices, name);
}

static void add_function(struct text_node *top, const struct pci_known *k)
{
	char name[NAME_SIZE];
	struct text_node *bus = text_tree_path(top, "bus/pci");
	name_of(&k->device, name);
	struct text_node *d = text_tree_dir(bus_dir(top, k->device.at.bus), name);
	add_hex(d, "vendor", 4, k->device.vendor);
	add_hex(d, "device", 4, k->device.product);
	add_hex(d, "class", 6, class_of(&k->device));
	add_hex(d, "revision", 2, k->device.revision);
	add_hex(d, "subsystem_vendor", 4, subsystem(k, PCI_SUBSYSTEM_VENDOR));
	add_hex(d, "subsystem_device", 4, subsystem(k, PCI_SUBSYSTEM));
	text_tree_file(d, "irq", show_irq, k);
	text_tree_file(d, "resource", show_resource, k);
	text_tree_file(d, "config", show_config, k);
	text_tree_file(d, "modalias", show_alias, k);
	text_tree_file(d, "uevent", show_event, k);
	text_tree_link(d, "subsystem", bus);
	text_tree_link(text_tree_dir(bus, "devices"), name, d);
}

void sysfs_add_pci(struct text_node *top)
{
	const struct pci_known *k;
	for (unsigned i = 0; (k = pci_known_at(i)); i++)
		add_function(top, k);
}

/* --- the loader's screen --- */

void sysfs_add_framebuffer(struct text_node *top)
{
	const struct boot_framebuffer *fb = &bootinfo.framebuffer;
	struct text_node *firmware = text_tree_dir(top, "firmware");
	if (!fb->base)
		return;
	struct text_node *d = text_tree_dir(firmware, "framebuffer");
	char line[NAME_SIZE];
	format(line, sizeof(line), "0x%llx", (unsigned long long)fb->base);
	text_tree_line(d, "address", line);
	text_tree_number(d, "width", fb->width);
	text_tree_number(d, "height", fb->height);
	text_tree_number(d, "stride", fb->pitch);
	text_tree_number(d, "bits_per_pixel", fb->bpp);
	text_tree_number(d, "red", fb->red);
	text_tree_number(d, "green", fb->green);
	text_tree_number(d, "blue", fb->blue);
}
