/*
 * acpi.c - finding tables and trusting none of them.
 *
 * RSDP -> XSDT (64-bit pointers) or RSDT (32-bit ones) -> tables; the FADT names the DSDT besides. Firmware
 * marks the memory of the tables in many ways, some of which (plain "reserved") the direct map leaves out. So
 * acpi_init runs while the first page tables reach everything below 4 GiB: it checks each table and claims
 * its pages as BOOT_MEM_ACPI, which the direct map then covers. A table is accepted if all of it can be
 * reached, its length is sane, and its bytes sum up to 0.
 */
#include "dev/acpi.h"
#include "arch/bootinfo.h"
#include "arch/mmu.h"
#include "lib/string.h"
#include "machine/boot.h"

enum {
	MAX_TABLES = 64,
	TABLE_MAX = 16 << 20, /* far more than any DSDT; bounds the checksum loop */
	RSDP_V1 = 20,
	RSDP_V2 = 36,
};

/* ACPI 6.5, 5.2.5.3. */
struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} PACKED;
_Static_assert(sizeof(struct rsdp) == RSDP_V2, "ACPI 6.5, 5.2.5.3");

/* ACPI 6.5, 5.2.9; up to what is used. */
struct fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	uint8_t event_length, control_length, pm2_length, timer_length, gpe0_length, gpe1_length, gpe1_base,
	    cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_architecture;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_address reset;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct acpi_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2, x_timer,
	    x_gpe0, x_gpe1;
	struct acpi_address sleep_control, sleep_status;
} PACKED;

enum {
	FADT_V1_LENGTH = 116,
	FADT_RESET_SUPPORTED = 1 << 10,
	FADT_HARDWARE_REDUCED = 1 << 20,
};

struct madt {
	struct acpi_header header;
	uint32_t lapic_address, flags;
} PACKED;

struct hpet {
	struct acpi_header header;
	uint32_t id;
	struct acpi_address base;
} PACKED;

struct mcfg_entry {
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved;
} PACKED;

struct mcfg {
	struct acpi_header header;
	uint64_t reserved;
	struct mcfg_entry entries[];
} PACKED;

static paddr_t tables[MAX_TABLES]; /* accepted ones */
static unsigned ntables, refused;
static paddr_t dsdt_address;

static bool sums_to_zero(const void *p, uint64_t n)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + b[i]);
	return sum == 0;
}

/* The table at pa if it can be trusted. Only while acpi_init runs. */
static const struct acpi_header *check_table(paddr_t pa)
{
	if (pa == 0 || !direct_map_covers(pa, sizeof(struct acpi_header)))
		return NULL;
	const struct acpi_header *h = phys_to_virt(pa);
	if (h->length < sizeof(*h) || h->length > TABLE_MAX || !direct_map_covers(pa, h->length))
		return NULL;
	return sums_to_zero(h, h->length) ? h : NULL;
}

static void claim(paddr_t pa, uint64_t len)
{
	boot_map_add_used(ALIGN_DOWN(pa, PAGE_SIZE), ALIGN_UP(pa + len, PAGE_SIZE), BOOT_MEM_ACPI);
}

static bool is_known(paddr_t pa)
{
	for (unsigned i = 0; i < ntables; i++)
		if (tables[i] == pa)
			return true;
	return false;
}

static void accept_dsdt(const struct acpi_header *h)
{
	const struct fadt *f = (const struct fadt *)h;

	if (h->length < FADT_V1_LENGTH)
		return;
	paddr_t pa = h->length >= offsetof(struct fadt, x_pm1a_event) && f->x_dsdt ? f->x_dsdt : f->dsdt;
	const struct acpi_header *dsdt = check_table(pa);
	if (!dsdt)
		return;
	dsdt_address = pa;
	claim(pa, dsdt->length);
}

static void accept_table(paddr_t pa)
{
	const struct acpi_header *h = check_table(pa);

	if (!h || ntables == MAX_TABLES || is_known(pa)) {
		refused++;
		return;
	}
	tables[ntables++] = pa;
	claim(pa, h->length);
	if (memcmp(h->signature, "FACP", 4) == 0)
		accept_dsdt(h);
}

/* Entries of a root table: `width` bytes each. */
static bool accept_root(paddr_t pa, const char *signature, unsigned width)
{
	const struct acpi_header *h = check_table(pa);

	if (!h || memcmp(h->signature, signature, 4) != 0)
		return false;
	const char *entries = (const char *)(h + 1);
	for (uint64_t i = 0; i + width <= h->length - sizeof(*h); i += width) {
		paddr_t entry = 0;
		memcpy(&entry, entries + i, width);
		accept_table(entry);
	}
	return true;
}

static const struct rsdp *find_rsdp(void)
{
	const struct rsdp *r = NULL;

	if (bootinfo.has_rsdp_copy)
		r = (const struct rsdp *)bootinfo.rsdp_copy;
	else if (bootinfo.rsdp && direct_map_covers(bootinfo.rsdp, RSDP_V2))
		r = phys_to_virt(bootinfo.rsdp);
	if (!r || memcmp(r->signature, "RSD PTR ", 8) != 0 || !sums_to_zero(r, RSDP_V1))
		return NULL;
	return r;
}

void acpi_init(void)
{
	const struct rsdp *r = find_rsdp();

	if (!r)
		return;
	if (r->revision >= 2 && sums_to_zero(r, RSDP_V2) && accept_root(r->xsdt, "XSDT", 8))
		return;
	accept_root(r->rsdt, "RSDT", 4);
}

const struct acpi_header *acpi_find(const char *signature, unsigned index, uint32_t min_length)
{
	for (unsigned i = 0; i < ntables; i++) {
		const struct acpi_header *h = phys_to_virt(tables[i]);
		if (memcmp(h->signature, signature, 4) == 0 && h->length >= min_length && index-- == 0)
			return h;
	}
	return NULL;
}

unsigned acpi_table_count(void)
{
	return ntables;
}

unsigned acpi_refused_count(void)
{
	return refused;
}

paddr_t acpi_madt_lapic_base(void)
{
	const struct madt *m = (const struct madt *)acpi_find("APIC", 0, sizeof(struct madt));

	return m ? m->lapic_address : 0;
}

static uint8_t madt_entry_size(uint8_t type)
{
	static const uint8_t sizes[] = {
	    [MADT_LAPIC] = sizeof(struct acpi_madt_lapic),
	    [MADT_IOAPIC] = sizeof(struct acpi_madt_ioapic),
	    [MADT_OVERRIDE] = sizeof(struct acpi_madt_override),
	    [MADT_LAPIC_NMI] = sizeof(struct acpi_madt_lapic_nmi),
	    [MADT_LAPIC_ADDRESS] = sizeof(struct acpi_madt_lapic_address),
	    [MADT_X2APIC] = sizeof(struct acpi_madt_x2apic),
	};

	return type < ARRAY_SIZE(sizes) && sizes[type] ? sizes[type] : sizeof(struct acpi_madt_entry);
}

bool acpi_madt_for_each(void (*fn)(const struct acpi_madt_entry *e, void *arg), void *arg)
{
	const struct madt *m = (const struct madt *)acpi_find("APIC", 0, sizeof(struct madt));

	if (!m)
		return false;
	uint32_t at = sizeof(*m);
	while (at + sizeof(struct acpi_madt_entry) <= m->header.length) {
		const struct acpi_madt_entry *e = (const void *)((const char *)m + at);
		if (e->length < sizeof(*e) || e->length > m->header.length - at)
			break;
		if (e->length >= madt_entry_size(e->type))
			fn(e, arg);
		at += e->length;
	}
	return true;
}

paddr_t acpi_hpet_base(void)
{
	const struct hpet *h = (const struct hpet *)acpi_find("HPET", 0, sizeof(struct hpet));

	return h && h->base.space == ACPI_SPACE_MEMORY ? h->base.address : 0;
}

bool acpi_pci_window(unsigned index, struct acpi_pci_window *out)
{
	const struct mcfg *m = (const struct mcfg *)acpi_find("MCFG", 0, sizeof(struct mcfg));

	if (!m || index >= (m->header.length - sizeof(*m)) / sizeof(m->entries[0]))
		return false;
	const struct mcfg_entry *e = &m->entries[index];
	*out = (struct acpi_pci_window){
	    .base = e->base, .segment = e->segment, .first_bus = e->first_bus, .last_bus = e->last_bus};
	return e->first_bus <= e->last_bus;
}

/* A block is named by a 32-bit port and, in newer tables, by a general address that wins. */
static uint16_t port_of(uint32_t port, const struct fadt *f, const struct acpi_address *x)
{
	bool has_x = (uint64_t)((const char *)(x + 1) - (const char *)f) <= f->header.length;

	if (has_x && x->address && x->space == ACPI_SPACE_IO && x->address <= UINT16_MAX)
		return (uint16_t)x->address;
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

bool acpi_power(struct acpi_power *out)
{
	const struct fadt *f = (const struct fadt *)acpi_find("FACP", 0, FADT_V1_LENGTH);

	if (!f)
		return false;
	*out = (struct acpi_power){
	    .hardware_reduced = f->flags & FADT_HARDWARE_REDUCED,
	    .sci = f->sci,
	    .event_length = f->event_length,
	    .dsdt = dsdt_address,
	    .boot_architecture = f->boot_architecture,
	};
	if (dsdt_address)
		out->dsdt_length = ((const struct acpi_header *)phys_to_virt(dsdt_address))->length;
	if (!out->hardware_reduced) {
		out->pm1a_event = port_of(f->pm1a_event, f, &f->x_pm1a_event);
		out->pm1b_event = port_of(f->pm1b_event, f, &f->x_pm1b_event);
		out->pm1a_control = port_of(f->pm1a_control, f, &f->x_pm1a_control);
		out->pm1b_control = port_of(f->pm1b_control, f, &f->x_pm1b_control);
	}
	if (f->header.length >= offsetof(struct fadt, arm_boot)) {
		out->has_reset = (f->flags & FADT_RESET_SUPPORTED) && f->reset.address;
		out->reset = f->reset;
		out->reset_value = f->reset_value;
	}
	if (f->header.length >= offsetof(struct fadt, sleep_status))
		out->sleep_control = f->sleep_control;
	return true;
}
