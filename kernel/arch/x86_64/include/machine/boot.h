#pragma once
/*
 * boot.h - what the parts of the port's boot sequence ask of one another. Nobody outside arch/x86_64 and init/ includes it.
 */
#include "lib/types.h"

/* Entered from boot.S on the boot stack, on the early page tables, interrupts disabled. */
NORETURN void boot_main(uint32_t magic, uint32_t info);
/* The portable kernel: interrupts disabled, exceptions handled, memory described by `bootinfo`, no allocator. Defined in init/main.c. */
NORETURN void kernel_main(void);

/* Linker symbols: kernel.ld. */
extern char boot_start[], boot_end[], text_start[], text_end[], rodata_start[], rodata_end[], data_start[], kernel_end[];
extern char boot_stack_guard[], boot_stack[], boot_stack_end[];
