#pragma once
/*
 * bootinfo.h - what the boot loader told, normalised: PVH start info and Multiboot2 both become this.
 *
 * Filled by arch boot code before anything else runs, constant afterwards. All strings and ranges are copies
 * or lie in memory that the map marks as in use, so nothing here dangles when memory is handed out.
 */
#include "lib/types.h"

enum boot_memory_type {
	BOOT_MEM_USABLE,   /* RAM that nobody uses */
	BOOT_MEM_RESERVED, /* not RAM, or not ours; every unknown type */
	BOOT_MEM_ACPI,     /* ACPI tables: RAM, readable, not given to the allocator */
	BOOT_MEM_KERNEL,   /* our image */
	BOOT_MEM_MODULE,   /* a boot module, the loader's own data that we still read */
};

struct boot_range {
	paddr_t start, end; /* [start, end), page aligned for USABLE ones */
	enum boot_memory_type type;
};

struct boot_module {
	paddr_t start, end; /* bytes; start is page aligned or not, as the loader left it */
	char name[64];      /* its command line; "" under PVH */
};

struct boot_framebuffer {
	paddr_t base;                  /* 0: there is none */
	uint32_t width, height, pitch; /* pixels, pixels, bytes */
	uint32_t bpp;
	uint8_t red, green, blue; /* the lowest bit of each; of bpp 24 and 32 they are 8 bits wide */
};

enum {
	BOOT_MAX_RANGES = 128,
	BOOT_MAX_MODULES = 8,
	BOOT_CMDLINE_MAX = 1024,
};

struct bootinfo {
	const char *protocol;                      /* "pvh" or "multiboot2" */
	struct boot_range ranges[BOOT_MAX_RANGES]; /* sorted by start, not overlapping */
	unsigned nranges;
	struct boot_module modules[BOOT_MAX_MODULES];
	unsigned nmodules;
	char cmdline[BOOT_CMDLINE_MAX];
	paddr_t rsdp; /* 0: none given; Multiboot2's copy of the RSDP itself is in rsdp_copy */
	uint8_t rsdp_copy[36];
	bool has_rsdp_copy;
	struct boot_framebuffer framebuffer;
};

extern struct bootinfo bootinfo;

/* Value of `key=value` on the command line into buf (terminated); "" for a bare `key`. False if key is not
 * there. */
bool cmdline_get(const char *key, char *buf, size_t size);
