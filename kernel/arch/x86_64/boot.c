/*
 * boot.c - C's first function, and the order in which the port sets itself up.
 */
#include "dev/acpi.h"
#include "dev/uart.h"
#include "kern/cpu.h"
#include "lib/kasan.h"
#include "machine/boot.h"
#include "machine/smp.h"

void boot_main(uint32_t magic, uint32_t info)
{
	struct cpu *c = &cpus[0];

	kasan_early_init(); /* before anything that was instrumented */
	uart_init();        /* panic can print from here on */
	cpu_detect();
	smap_patch();   /* before the first exception: CLAC is on its way */
	extable_sort(); /* both write to what will be read-only */
	trap_init();
	cpu_prepare_boot(c);
	cpu_enter(c); /* exceptions are reported from here on */
	bootinfo_parse(magic, info);
	acpi_init(); /* notes the tables as memory in use */
	boot_map_build();
	early_mmu_init();
	mmu_boot_init(); /* kernel_mmu: the arena is made with it */
	kernel_main();
}
