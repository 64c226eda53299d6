#pragma once
/* apic.h - the local APIC of each CPU, and the IOAPICs. Inside arch/x86_64. */
#include "arch/irq.h"
#include "lib/err.h"

/* Entries of the MADT, or what stands in for it: topology.c. Constant after irq_init. */
enum { MAX_IOAPICS = 8, ISA_LINES = IRQ_ISA_LINES };

struct ioapic_info {
	paddr_t base;
	uint32_t gsi_base;
};

struct isa_route {
	uint32_t gsi;
	enum irq_trigger trigger;
	bool active_low;
};

struct topology {
	const char *source; /* "acpi", "mptable" or "default": for the log */
	paddr_t lapic_base;
	uint32_t ncpus;              /* CPUs that can be used, the boot CPU first */
	uint32_t apic_ids[MAX_CPUS]; /* by CPU number */
	uint32_t ignored_cpus;       /* beyond MAX_CPUS, or unreachable in xAPIC mode */
	unsigned nioapics;
	struct ioapic_info ioapics[MAX_IOAPICS];
	struct isa_route isa[ISA_LINES];
	uint32_t nmi_lint; /* LINT pin that NMI comes in by: 1 unless the tables say otherwise */
};
extern struct topology topology;

/* Find CPUs and controllers: ACPI's MADT, else the MP table, else what every PC has. boot_apic_id: of the
 * executing CPU. */
void topology_read(uint32_t boot_apic_id);

/* Make the LAPIC registers accessible; boot CPU, after kva_init. -ENOMEM. */
MUST_CHECK err_t lapic_map(paddr_t base);
/* Set up the LAPIC of the executing CPU: enabled, NMI by its LINT pin, everything else masked. */
void lapic_enter(void);
/* Identity of the executing CPU's LAPIC. Before lapic_map: by CPUID. */
uint32_t lapic_id(void);
void lapic_eoi(void);
/* Send a fixed interrupt to a CPU that is up. Does nothing before lapic_map. From any context. */
void lapic_send(uint32_t cpu, unsigned vector);
void lapic_send_nmi(uint32_t cpu);
/* The start-up sequence, to an APIC identity. */
void lapic_send_init(uint32_t apic_id);
void lapic_send_startup(uint32_t apic_id, paddr_t page);
/* The timer, counting down once at its full rate (divide by 1); 0 stops it. */
void lapic_timer_start(uint32_t count);
uint32_t lapic_timer_count(void);
/* Interrupt when the TSC reaches `tsc`; 0: never. Only with cpu_features.tsc_deadline. */
void lapic_timer_tsc(uint64_t tsc);

/* ioapic.c. Lines are named by GSI; masked ones keep their route. */
MUST_CHECK err_t ioapic_init(void);
bool ioapic_has(unsigned gsi);
/* Route gsi to `vector` on the CPU with this APIC identity, masked. */
void ioapic_route(unsigned gsi, unsigned vector, uint32_t apic_id, enum irq_trigger trigger, bool active_low);
void ioapic_set_mask(unsigned gsi, bool masked);
/* For a level-triggered line: has the IOAPIC delivered an interrupt that was not acknowledged yet? */
bool ioapic_is_in_service(unsigned gsi);
/* Read and clear the error register. */
uint32_t lapic_error(void);
unsigned ioapic_end_gsi(void);
