#pragma once
/*
 * smp.h - processors, interrupt controllers and time, as the parts of the port see them. Nobody outside
 * arch/x86_64, init/ and tests includes it.
 *
 * Order at boot, on the boot CPU with interrupts disabled:
 *
 *	mmu_boot_init      kernel_mmu works; after early_mmu_init, before kva_init
 *	... frame_init, slab_init, kva_init ...
 *	arch_devices_init  memory types, interrupt controllers, clock: devices.c
 *	... the boot CPU can schedule ...
 *	smp_start          the other CPUs; each ends in upcall_cpu_main
 */
#include "arch/platform.h"
#include "lib/err.h"

struct vdso_data;

enum vectors {
	VECTOR_PIC = 0x20, /* 16 vectors where a spurious interrupt of the masked 8259s would arrive */
	VECTOR_DEVICE_FIRST = 0x30,
	VECTOR_DEVICE_END = 0xf0,
	VECTOR_ERROR = 0xfb,
	VECTOR_REQUEST = 0xfc, /* look at the mailbox: tlb.c */
	VECTOR_RESCHED = 0xfd,
	VECTOR_TIMER = 0xfe,
	VECTOR_SPURIOUS = 0xff, /* its low four bits must be ones on old LAPICs */
};

/* mmu.c */
void mmu_boot_init(void);
/* Map the frame at pa to the address pa, executable, in the tables of boot_root alone; and take it away
 * again. For the code that starts CPUs. */
MUST_CHECK err_t mmu_identity_enter(paddr_t pa);
void mmu_identity_leave(paddr_t pa);

/* pat_mtrr.c: program the PAT of the executing CPU as mmu_tables.c expects it. */
void memory_types_init(void);
/* Log what the MTRRs say (boot CPU). */
void mtrr_log(void);
/* Memory type of the fixed-range MTRRs that covers pa < 1 MiB; UINT8_MAX if they are not there or not
 * enabled. */
uint8_t mtrr_fixed_type(paddr_t pa);

/* irq.c: find and set up all interrupt controllers. Boot CPU. */
void irq_init(void);

/* Send an NMI to every other CPU that is up: panic stops them so. Takes no lock. Nothing happens before
 * irq_init. */
void smp_nmi_others(void);
/* End of the stack that the CPU started on: its idle thread's. */
vaddr_t smp_stack_end(uint32_t cpu);

/* clock.c: calibrate the clock. Boot CPU, after irq_init. Until then the clock stands at 0. */
void clock_init(void);
/* The timer interrupt came. */
void clock_interrupt(void);
/* Is the clock of a starting CPU behind or ahead of the boot CPU's? Both sides call it at the same time; the
 * result is corrected for. */
void clock_sync_source(uint32_t target);
void clock_sync_target(void);
/* Cycles of the time-stamp counter in a second; where the figure came from. */
uint64_t clock_tsc_frequency(void);
/* Fill in how user code gets from the counter to the clocks, which it does not on every machine. Once all
 * CPUs run. */
void clock_tell(struct vdso_data *d);
/* vdso.c: what user code reads changes between these two; it waits meanwhile. Interrupts disabled, one caller
 * at a time. */
struct vdso_data *vdso_change_begin(void);
void vdso_change_end(void);
const char *clock_source(void);
