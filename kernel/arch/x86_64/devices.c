/*
 * devices.c - the platform's devices that the kernel itself drives, in the order in which they can come up.
 */
#include "machine/boot.h"
#include "machine/smp.h"

void arch_devices_init(void)
{
	memory_types_init(); /* before anything is mapped with a cache type of its own */
	mtrr_log();
	irq_init(); /* maps the LAPIC, whose timer the clock measures */
	clock_init();
}
