/*
 * topology.c - which CPUs and interrupt controllers there are.
 *
 * Three sources, in this order: ACPI's MADT (ACPI 6.4, 5.2.12); the MP table (Intel MultiProcessor
 * Specification 1.4, chapter 4), which small virtual machines without ACPI still have; and nothing at all,
 * which means one CPU and the controllers where every PC has them. Tables come from firmware: every length is
 * checked against the table's end before it is believed.
 */
#include "arch/x86_64/apic.h"
#include "dev/acpi.h"
#include "kern/cpu.h"
#include "kern/log.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "mm/kva.h"

struct topology topology;

enum {
	DEFAULT_LAPIC = 0xfee00000,
	DEFAULT_IOAPIC = 0xfec00000,
	XAPIC_MAX_ID = 254,
};

static void add_cpu(uint32_t apic_id)
{
	for (uint32_t i = 0; i < topology.ncpus; i++)
		if (topology.apic_ids[i] == apic_id)
			return; /* the boot CPU is there from the start; a CPU may have entries of both kinds */
	if (topology.ncpus == MAX_CPUS || (apic_id > XAPIC_MAX_ID && !cpu_features.x2apic)) {
		topology.ignored_cpus++;
		return;
	}
	topology.apic_ids[topology.ncpus++] = apic_id;
}

static void add_ioapic(paddr_t base, uint32_t gsi_base)
{
	if (topology.nioapics < MAX_IOAPICS)
		topology.ioapics[topology.nioapics++] =
		    (struct ioapic_info){.base = base, .gsi_base = gsi_base};
}

/* Polarity and trigger as both tables encode them (MPS 1.4, table 4-10): 0 means as the bus has it, and ISA
 * is edge, active high. */
static void set_isa_route(unsigned isa, uint32_t gsi, uint16_t flags)
{
	if (isa >= ISA_LINES)
		return;
	topology.isa[isa] = (struct isa_route){
	    .gsi = gsi,
	    .active_low = (flags & 3) == 3,
	    .trigger = (flags >> 2 & 3) == 3 ? IRQ_LEVEL : IRQ_EDGE,
	};
}

static void set_defaults(uint32_t boot_apic_id)
{
	memset(&topology, 0, sizeof(topology));
	topology.source = "default";
	topology.lapic_base = DEFAULT_LAPIC;
	topology.nmi_lint = 1;
	add_cpu(boot_apic_id);
	for (unsigned i = 0; i < ISA_LINES; i++)
		set_isa_route(i, i, 0);
}

/* -- MADT ------------------------------------------------------------------------------------------------ */

enum { CPU_USABLE = 1 << 0 };

/* Only rules about LINT pins that hold for all CPUs are of use. */
static void madt_entry(const struct acpi_madt_entry *e, UNUSED void *arg)
{
	switch (e->type) {
	case MADT_LAPIC: {
		const struct acpi_madt_lapic *cpu = (const void *)e;
		if (cpu->flags & CPU_USABLE)
			add_cpu(cpu->apic_id);
		break;
	}
	case MADT_X2APIC: {
		const struct acpi_madt_x2apic *cpu = (const void *)e;
		if (cpu->flags & CPU_USABLE)
			add_cpu(cpu->apic_id);
		break;
	}
	case MADT_IOAPIC: {
		const struct acpi_madt_ioapic *io = (const void *)e;
		add_ioapic(io->address, io->gsi_base);
		break;
	}
	case MADT_OVERRIDE: {
		const struct acpi_madt_override *line = (const void *)e;
		if (line->bus == 0)
			set_isa_route(line->source, line->gsi, line->flags);
		break;
	}
	case MADT_LAPIC_NMI: {
		const struct acpi_madt_lapic_nmi *nmi = (const void *)e;
		if (nmi->processor == UINT8_MAX && nmi->lint <= 1)
			topology.nmi_lint = nmi->lint;
		break;
	}
	}
}

static bool read_madt(void)
{
	paddr_t lapic = acpi_madt_lapic_base();
	if (!lapic)
		return false;
	topology.source = "acpi";
	topology.lapic_base = lapic;
	return acpi_madt_for_each(madt_entry, NULL);
}

/* -- MP table -------------------------------------------------------------------------------------------- */

enum mp_type { MP_CPU = 0, MP_BUS = 1, MP_IOAPIC = 2, MP_IRQ = 3, MP_LINT = 4 };

enum {
	MP_HEADER = 44,
	MP_MAX_BUSES = 32,
	MP_IRQ_NORMAL = 0,
	MP_IRQ_NMI = 1,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}
static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

struct mp_state {
	bool isa_bus[MP_MAX_BUSES];
	uint8_t ioapic_ids[MAX_IOAPICS];
	uint32_t next_gsi;
};

static bool checksum_ok(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + p[i]);
	return sum == 0;
}

/* The floating pointer lies on 16 bytes in [start, start + len); low is the map of the first MiB. */
static const uint8_t *mp_scan(const uint8_t *low, uint64_t start, uint64_t len)
{
	for (const uint8_t *p = low + start; p + 16 <= low + start + len; p += 16)
		if (!memcmp(p, "_MP_", 4) && p[8] == 1 && checksum_ok(p, 16))
			return p;
	return NULL;
}

static const uint8_t *mp_find(const uint8_t *low)
{
	uint64_t ebda = (uint64_t)get16(low + 0x40e)
			<< 4; /* the BIOS data area says where its extension is */
	const uint8_t *p = ebda >= KIB(512) && ebda < KIB(640) ? mp_scan(low, ebda, KIB(1)) : NULL;
	if (!p)
		p = mp_scan(low, KIB(639), KIB(1));
	return p ? p : mp_scan(low, KIB(960), KIB(64));
}

static void mp_irq(const struct mp_state *s, const uint8_t *e)
{
	if (e[1] != MP_IRQ_NORMAL || e[4] >= MP_MAX_BUSES || !s->isa_bus[e[4]])
		return;
	for (unsigned i = 0; i < topology.nioapics; i++)
		if (s->ioapic_ids[i] == e[6] || e[6] == 0xff) {
			set_isa_route(e[5], topology.ioapics[i].gsi_base + e[7], get16(e + 2));
			return;
		}
}

/* An MP table does not say how many pins an IOAPIC has: 24 is what all have that such machines come with. */
static void mp_entry(struct mp_state *s, const uint8_t *e)
{
	switch (e[0]) {
	case MP_CPU:
		if (e[3] & CPU_USABLE)
			add_cpu(e[1]);
		break;
	case MP_BUS:
		if (e[1] < MP_MAX_BUSES)
			s->isa_bus[e[1]] = !memcmp(e + 2, "ISA   ", 6);
		break;
	case MP_IOAPIC:
		if ((e[3] & 1) && topology.nioapics < MAX_IOAPICS) {
			s->ioapic_ids[topology.nioapics] = e[1];
			add_ioapic(get32(e + 4), s->next_gsi);
			s->next_gsi += 24;
		}
		break;
	case MP_IRQ:
		mp_irq(s, e);
		break;
	case MP_LINT:
		if (e[1] == MP_IRQ_NMI && e[7] <= 1)
			topology.nmi_lint = e[7];
		break;
	}
}

static bool parse_mp_table(const uint8_t *low)
{
	struct mp_state state = {.next_gsi = 0};
	const uint8_t *pointer = mp_find(low);
	uint32_t at = pointer ? get32(pointer + 4) : 0;
	if (!at || at > MIB(1) - MP_HEADER || memcmp(low + at, "PCMP", 4))
		return false;
	const uint8_t *t = low + at;
	uint32_t len = get16(t + 4);
	if (len < MP_HEADER || at + len > MIB(1) || !checksum_ok(t, len))
		return false;
	topology.source = "mptable";
	topology.lapic_base = get32(t + 36);
	for (uint32_t i = MP_HEADER; i < len && t[i] <= MP_LINT;) {
		uint32_t size = t[i] == MP_CPU ? 20 : 8;
		if (i + size > len)
			break;
		mp_entry(&state, t + i);
		i += size;
	}
	return true;
}

static bool read_mp_table(void)
{
	uint8_t *low = kva_map_phys(0, MIB(1), MMU_WB, false);
	if (!low)
		return false;
	bool found = parse_mp_table(low);
	kva_unmap_phys(low);
	return found;
}

void topology_read(uint32_t boot_apic_id)
{
	set_defaults(boot_apic_id);
	if (!read_madt() && !read_mp_table())
		add_ioapic(DEFAULT_IOAPIC, 0);
	if (topology.ignored_cpus)
		log_warn("smp", "%u CPUs are not used: too many, or their APIC cannot be addressed",
		    topology.ignored_cpus);
}
