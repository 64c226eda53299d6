#pragma once
/* platform.h - what init/ asks of a port to bring the machine up, in this order. Before them the port has
 * called kernel_main (arch/upcall.h). */

/* Memory types, interrupt controllers, the clock and the boot CPU's timer. The kernel VA arena works,
 * interrupts are disabled. */
void arch_devices_init(void);
/* Start all other CPUs and wait, within a bound, until they are up; each ends in upcall_cpu_main. On the boot
 * CPU; does not sleep. */
void smp_start(void);
