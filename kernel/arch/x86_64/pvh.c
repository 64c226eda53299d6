/*
 * pvh.c - the start info of Xen's direct boot ABI for HVM guests, as QEMU, Firecracker and Cloud Hypervisor
 * give it.
 *
 * Source of the layout: Xen, public header arch-x86/hvm/start_info.h, version 1. Version 0 has no memory map
 * and is of no use to us.
 */
#include "arch/x86_64/boot_map.h"

enum {
	PVH_MAGIC = 0x336ec578,
	PVH_MAX_ENTRIES = 1024, /* more than any firmware has; bounds the loop */
};

struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct pvh_module {
	uint64_t start, size, cmdline, reserved;
};

struct pvh_memmap_entry {
	uint64_t start, len;
	uint32_t type, reserved;
};

/* A string at pa runs at most to the end of the boot window. */
static uint64_t string_room(uint64_t pa)
{
	return pa < BOOT_WINDOW_END ? MIN(BOOT_WINDOW_END - pa, (uint64_t)BOOT_CMDLINE_MAX) : 0;
}

static bool pvh_memmap(const struct pvh_start_info *si)
{
	unsigned n = MIN(si->memmap_entries, (uint32_t)PVH_MAX_ENTRIES);
	const struct pvh_memmap_entry *e = boot_peek(si->memmap, n * sizeof(*e));

	if (!e || !n)
		return false;
	for (unsigned i = 0; i < n; i++)
		boot_map_add_e820(e[i].start, e[i].len, e[i].type);
	return true;
}

static void pvh_modules(const struct pvh_start_info *si)
{
	unsigned n = MIN(si->nr_modules, (uint32_t)BOOT_MAX_MODULES);
	const struct pvh_module *m = boot_peek(si->modlist, n * sizeof(*m));

	if (!m)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint64_t room = m[i].cmdline ? string_room(m[i].cmdline) : 0;
		if (m[i].size <= UINT64_MAX - m[i].start)
			boot_add_module(
			    m[i].start, m[i].start + m[i].size, boot_peek(m[i].cmdline, room), room);
	}
}

bool pvh_parse(uint32_t info)
{
	const struct pvh_start_info *si = boot_peek(info, sizeof(*si));

	if (!si || si->magic != PVH_MAGIC || si->version < 1)
		return false;
	bootinfo.protocol = "pvh";
	if (!pvh_memmap(si))
		return false;
	if (si->nr_modules)
		pvh_modules(si);
	if (si->cmdline) {
		uint64_t room = string_room(si->cmdline);
		boot_set_cmdline(boot_peek(si->cmdline, room), room);
	}
	bootinfo.rsdp = si->rsdp;
	return true;
}
