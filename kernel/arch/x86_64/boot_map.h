#pragma once
/*
 * boot_map.h - how the parsers of the boot protocols hand over what they find. See bootinfo.c.
 */
#include "arch/bootinfo.h"

/* Everything that is read before the final page tables exist must lie below this: see boot.S. */
#define BOOT_WINDOW_END (4ULL << 30)

enum e820_type {
	E820_USABLE = 1,
	E820_RESERVED = 2,
	E820_ACPI = 3,
	E820_NVS = 4,
};

/* n bytes of physical memory at pa, which a loader named; NULL if they are not inside the boot window. Only
 * before early_mmu_init. */
const void *boot_peek(paddr_t pa, uint64_t n);
/* Note an entry of the loader's memory map; unknown types become reserved, empty or overflowing entries are
 * dropped or cut. */
void boot_map_add_e820(uint64_t start, uint64_t len, uint32_t type);
/* Note that [start, end) is in use as `type`; wins over what the loader's map says. */
void boot_map_add_used(paddr_t start, paddr_t end, enum boot_memory_type type);
/* Note a module; `name` is a string of at most max bytes, terminated or not, or NULL. */
void boot_add_module(uint64_t start, uint64_t end, const char *name, uint64_t max);
/* Copy the command line: at most max bytes, terminated or not. */
void boot_set_cmdline(const char *s, uint64_t max);

/* Read the protocol's data at physical address `info`. False: this is not the protocol, or it is damaged
 * beyond use. */
bool pvh_parse(uint32_t info);
bool multiboot2_parse(uint32_t magic, uint32_t info);
