#pragma once
/*
 * acpi.h - the ACPI tables that the kernel needs, without AML: who is there (MADT), where (MCFG, HPET), how
 * to turn it off (FADT).
 *
 * Tables are read in place through the direct map. acpi_init, which runs before the memory map is final,
 * checks each table (address, length, checksum) and claims its memory; what it did not accept does not exist
 * for acpi_find. Constant afterwards: callable from any context.
 */
#include "lib/types.h"

/* Head of every table: ACPI 6.5, 5.2.6. */
struct acpi_header {
	char signature[4];
	uint32_t length; /* of the table, this head included */
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision, creator_id, creator_revision;
} PACKED;

struct acpi_address {
	uint8_t space; /* 0 memory, 1 ports, 2 PCI configuration */
	uint8_t bits, offset, access;
	uint64_t address;
} PACKED;

enum { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1 };

/* Find and check the tables that bootinfo's RSDP leads to, and claim their memory. Boot CPU, between
 * bootinfo_parse and boot_map_build. */
void acpi_init(void);
/* The index-th table (from 0) with this signature, at least min_length bytes long; NULL if there is none. */
const struct acpi_header *acpi_find(const char *signature, unsigned index, uint32_t min_length);
/* Number of tables that were accepted, and how many entries were refused. */
unsigned acpi_table_count(void);
unsigned acpi_refused_count(void);

/* An entry of the MADT: ACPI 6.5, 5.2.12. */
struct acpi_madt_entry {
	uint8_t type,
	    length; /* length includes these two bytes; entries too short for their type are not shown */
	uint8_t data[];
} PACKED;
enum acpi_madt_type {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_NMI_SOURCE = 3,
	MADT_LAPIC_NMI = 4,
	MADT_LAPIC_ADDRESS = 5,
	MADT_X2APIC = 9,
	MADT_X2APIC_NMI = 10,
};
struct acpi_madt_lapic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags; /* bit 0 enabled, bit 1 can be */
} PACKED;
struct acpi_madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;
struct acpi_madt_override {
	uint8_t type, length, bus, source;
	uint32_t gsi;
	uint16_t flags; /* bits 0-1 polarity, 2-3 trigger: 1 high / edge, 3 low / level, 0 the bus's */
} PACKED;
struct acpi_madt_lapic_nmi {
	uint8_t type, length, processor; /* 255: all */
	uint16_t flags;
	uint8_t lint;
} PACKED;
struct acpi_madt_lapic_address {
	uint8_t type, length;
	uint16_t reserved;
	uint64_t address;
} PACKED;
struct acpi_madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags, processor;
} PACKED;

/* Physical address of the local APICs that the MADT names; 0 without a MADT. */
paddr_t acpi_madt_lapic_base(void);
/* Call fn on each entry of the MADT, in order; false if there is no MADT. */
bool acpi_madt_for_each(void (*fn)(const struct acpi_madt_entry *e, void *arg), void *arg);

/* Base address of the HPET's registers; 0: there is none. */
paddr_t acpi_hpet_base(void);

/* The index-th configuration window of PCI segment groups (MCFG). False: there is none. */
struct acpi_pci_window {
	paddr_t base; /* of bus 0, whatever first_bus is */
	uint16_t segment;
	uint8_t first_bus, last_bus;
};
bool acpi_pci_window(unsigned index, struct acpi_pci_window *out);

/* What of the FADT is needed for power off and reset. Ports are 0 where there is none. */
struct acpi_power {
	bool hardware_reduced;
	uint16_t sci;                    /* GSI of the system control interrupt */
	uint16_t pm1a_event, pm1b_event; /* status; enable is at + event_length / 2 */
	uint8_t event_length;
	uint16_t pm1a_control, pm1b_control;
	bool has_reset;
	struct acpi_address reset;
	uint8_t reset_value;
	struct acpi_address sleep_control; /* hardware reduced; address 0: none */
	paddr_t dsdt;                      /* checked: inside claimed memory; 0: none */
	uint32_t dsdt_length;
	uint16_t boot_architecture; /* IA-PC flags; bit 1: there is an 8042, bit 2: no VGA */
};
/* False without a FADT. */
bool acpi_power(struct acpi_power *out);
