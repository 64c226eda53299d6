/*
 * devices.c - the platform's devices that the kernel itself drives, in the order in which they can come up,
 * and what of the machine that takes.
 */
#include "arch/x86_64/apic.h"
#include "dev/acpi.h"
#include "dev/claim.h"
#include "dev/uart.h"
#include "machine/boot.h"
#include "machine/smp.h"

enum {
	LAPIC_WINDOW = 0xfee00000, /* processors answer here whatever is behind it, and so do messages */
	LAPIC_WINDOW_SIZE = 1 << 20,
	PM_CONTROL_SIZE = 2,
};

/* Where they are on every PC; the sources of the devices have their names. The clock at 0x70 is not among
 * them: it is read before there are programs, and never again. Who has its ports can mask NMIs. */
static const struct {
	uint16_t first, count;
} fixed_ports[] = {
    {0x20, 2},  /* first 8259 */
    {0x40, 4},  /* PIT */
    {0xa0, 2},  /* second 8259 */
    {0xf4, 4},  /* isa-debug-exit */
    {0xcf8, 8}, /* PCI configuration, and reset in its midst */
};
enum { COM1 = 0x3f8, COM_SIZE = 8 };

static void claim_register(const struct acpi_address *at)
{
	if (at->space == ACPI_SPACE_IO)
		claim_ports((uint16_t)at->address, 1);
	else if (at->space == ACPI_SPACE_MEMORY && at->address)
		claim_memory(at->address, 1);
}

static void claim_power(void)
{
	struct acpi_power p;
	if (!acpi_power(&p))
		return;
	if (p.pm1a_control)
		claim_ports(p.pm1a_control, PM_CONTROL_SIZE);
	if (p.pm1b_control)
		claim_ports(p.pm1b_control, PM_CONTROL_SIZE);
	claim_register(&p.sleep_control);
	if (p.has_reset)
		claim_register(&p.reset);
}

static void claim_all(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fixed_ports); i++)
		claim_ports(fixed_ports[i].first, fixed_ports[i].count);
	if (uart_is_present())
		claim_ports(COM1, COM_SIZE);
	claim_power();
	claim_memory(LAPIC_WINDOW, LAPIC_WINDOW_SIZE);
	claim_memory(topology.lapic_base, PAGE_SIZE);
	for (unsigned i = 0; i < topology.nioapics; i++)
		claim_memory(topology.ioapics[i].base, PAGE_SIZE);
}

void arch_devices_init(void)
{
	memory_types_init(); /* before anything is mapped with a cache type of its own */
	mtrr_log();
	irq_init(); /* maps the LAPIC, whose timer the clock measures */
	clock_init();
	claim_all(); /* the last: it asks the others */
}
