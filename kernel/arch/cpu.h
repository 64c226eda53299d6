#pragma once
/*
 * cpu.h - what the kernel asks of a processor. The inline part comes from the port:
 *
 *	void cpu_relax(void)               hint inside a spin loop
 *	uint64_t irq_save(void)            disable interrupts, return the earlier state
 *	void irq_restore(uint64_t state)
 *	void irq_enable(void), irq_disable(void)
 *	bool irq_is_enabled(void)
 *	void cpu_wait_irq(void)            enable interrupts and halt until one comes; returns with
 *	                                   interrupts enabled. Called with them
 *	                                   disabled, so that a wake-up between the check and the halt is not lost
 *	struct cpu *this_cpu(void)         record of this CPU; stable only while preemption is disabled
 *	struct thread *current_thread(void) always stable
 *	uint32_t cpu_id(void)              0 ... ncpus - 1; stable only while preemption is disabled
 *	preempt_count_add(int n), uint32_t preempt_count(void)   one instruction on this CPU's counter
 *	bool cpu_need_resched(void)        need_resched is set and the preemption count is 0
 *	uint64_t cpu_cycles(void)          a fast free-running counter (TSC)
 */
#include "lib/types.h"
#include "machine/cpu.h"

/* What kind of CPUs these are, for people. */
struct cpu_description {
	char vendor[13], name[49];
	unsigned family, model, stepping, mhz;
	char flags[512]; /* names of features, as Linux spells them, with a space between two */
};
void cpu_describe(struct cpu_description *out);
/* Other CPUs ask this one for something by a pending bit; called in every spin loop that has interrupts
 * disabled, so that a shootdown is acknowledged even by a CPU that spins. Cheap when nothing is pending. */
void cpu_poll_requests(void);
/* Make `cpu` run its scheduler soon. From any context. */
void cpu_send_resched(uint32_t cpu);
/* CPUs that are up, as a mask; bit 0 is the boot CPU. */
uint64_t cpus_online(void);
unsigned cpus_count(void);
/* Stop the machine with an exit status for the emulator: true = clean (QEMU exit status 33 by isa-debug-exit
 * where present). */
NORETURN void machine_halt(bool clean);
/* The same, but turn the machine off, or start it again, where there is no emulator to be told. In a thread;
 * nothing else is of use any more. */
NORETURN void machine_power_off(bool clean);
NORETURN void machine_restart(bool clean);
