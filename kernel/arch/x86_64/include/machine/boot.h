#pragma once
/*
 * boot.h - what the parts of the port's boot sequence ask of one another. Nobody outside arch/x86_64,
 * dev/acpi.c and init/ includes it.
 */
#include "arch/bootinfo.h"
#include "arch/platform.h"
#include "arch/upcall.h"
#include "lib/err.h"

struct cpu;

/* Entries of bootinfo.ranges that boot_map_build leaves free, for the cuts of the early allocator. */
enum { BOOT_SPARE_RANGES = 16 };

/* Entered from boot.S on the boot stack, on the early page tables, interrupts disabled. */
NORETURN void boot_main(uint32_t magic, uint32_t info);

/* bootinfo.c: read the loader's data; panics if there is no usable memory map. */
void bootinfo_parse(uint32_t magic, uint32_t info);
/* Note memory in use that the loader's map does not tell of, or wrongly. Before boot_map_build. */
void boot_map_add_used(paddr_t start, paddr_t end, enum boot_memory_type type);
/* Sort, cut and join: fills bootinfo.ranges. */
void boot_map_build(void);
/* Insert an entry before entry `at` (there must be room); remove entry `at`. */
void boot_map_insert(unsigned at, paddr_t start, paddr_t end, enum boot_memory_type type);
void boot_map_remove(unsigned at);
/* Is there RAM (mapped in the direct map), whoever uses it? */
bool boot_range_is_memory(const struct boot_range *r);

/* early_mmu.c: the final kernel half: direct map, page records, image, with a root whose kernel slots stay as
 * they are. Loads it. After boot_map_build. */
void early_mmu_init(void);
/* `size` bytes of RAM below limit, contents undefined, cut out of the boot map; 0 if there is none. Before
 * frame_init. */
paddr_t early_alloc(uint64_t size, uint64_t align, paddr_t limit);
/* The root table that early_mmu_init made; kernel_mmu's. Below 4 GiB. */
extern paddr_t boot_root;
/* A page below 1 MiB for the code that starts other CPUs, out of the map; 0: there is none. */
extern paddr_t ap_trampoline;
/* Is [pa, pa + len) readable through the direct map now? Early on: the boot window. */
bool direct_map_covers(paddr_t pa, uint64_t len);

/* cpu.c: read CPUID into cpu_features. Boot CPU, first. */
void cpu_detect(void);
/* Allocate what `c` needs before it runs (stacks of the interrupt stack table) and fill its descriptor
 * tables. -ENOMEM. */
MUST_CHECK err_t cpu_prepare(struct cpu *c);
/* The same for the boot CPU, whose stacks are static. */
void cpu_prepare_boot(struct cpu *c);
/* Make the executing CPU `c`: descriptor tables, GS, control registers, system-call registers, FPU.
 * Interrupts disabled, on the final page tables or the early ones. */
void cpu_enter(struct cpu *c);
/* trap.c: fill the IDT. Once, before the first cpu_enter. */
void trap_init(void);
/* extable.c: sort the exception table. Before the read-only data becomes so. */
void extable_sort(void);
/* Replace STAC and CLAC by NOPs if the CPU lacks SMAP. Before the text becomes read-only. */
void smap_patch(void);

/* Linker symbols: kernel.ld. boot_start and boot_end are physical addresses. */
extern char boot_start[], boot_end[], text_start[], text_end[], rodata_start[], rodata_end[], data_start[],
    kernel_end[];
/* Static stacks, in one block: see boot.S. */
extern char boot_guarded[], boot_stack[], boot_stack_end[], boot_ist_stacks[], boot_guarded_end[];
