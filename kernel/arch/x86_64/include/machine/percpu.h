#pragma once
/*
 * percpu.h (x86-64) - what the port keeps for each CPU: descriptor tables, stacks of the interrupt stack
 * table, and two words that the system-call entry needs before it has a register to spare.
 */
#define PERCPU_SELF         0 /* %gs:..., see kern/cpu.h */
#define PERCPU_CURRENT      16
#define PERCPU_NEED_RESCHED 24
#define PERCPU_IRQ_DEPTH    28
#define PERCPU_USER_RSP     32 /* struct arch_cpu starts here */
#define PERCPU_KERNEL_RSP   40

#ifndef __ASSEMBLER__
#include "lib/types.h"
#include "machine/desc.h"

/* 64-bit task state segment: AMD64 manual volume 2, 12.2.5. */
struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[0] is slot 1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base; /* of task_state.closed; beyond the limit: no port is open to user space */
} PACKED;
_Static_assert(sizeof(struct tss) == 104, "the hardware's layout");

/* The segment with its map of I/O ports: a bit for each, set: closed to user space. The processor reads two
 * bytes at a time, so one more follows. */
enum { PORT_WORDS = 65536 / 64 };
struct task_state {
	struct tss tss;
	uint64_t closed[PORT_WORDS];
	uint8_t end; /* all ones */
} PACKED;

struct arch_cpu {
	uint64_t user_rsp;       /* user stack pointer between SYSCALL and the first push */
	uint64_t kernel_rsp;     /* end of the current thread's kernel stack; tss.rsp[0] has the same */
	struct task_state *task; /* (C) */
	uint64_t ports;          /* serial of the port map that task->closed is a copy of; 0: none */
	bool ports_open;         /* task->tss.iomap_base says where it is */
	uint64_t gdt[GDT_ENTRIES];
	uint32_t apic_id;
};
#endif
