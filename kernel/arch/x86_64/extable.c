/*
 * extable.c - the exception table.
 */
#include "arch/x86_64/extable.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/boot.h"
#include "machine/cpu.h"

extern struct extable_entry extable_start[], extable_end[];
extern int32_t smap_sites_start[], smap_sites_end[];

static vaddr_t insn_of(const struct extable_entry *e)
{
	return (vaddr_t)((int64_t)&e->insn + e->insn);
}

static vaddr_t fixup_of(const struct extable_entry *e)
{
	return (vaddr_t)((int64_t)&e->fixup + e->fixup);
}

static void place(struct extable_entry *e, vaddr_t insn, vaddr_t fixup)
{
	e->insn = (int32_t)(insn - (vaddr_t)&e->insn);
	e->fixup = (int32_t)(fixup - (vaddr_t)&e->fixup);
}

/* Insertion sort: the linker leaves files in order, and a file's entries mostly are. */
void extable_sort(void)
{
	for (struct extable_entry *e = extable_start + 1; e < extable_end; e++) {
		vaddr_t insn = insn_of(e), fixup = fixup_of(e);
		struct extable_entry *at = e;
		for (; at > extable_start && insn_of(at - 1) > insn; at--)
			place(at, insn_of(at - 1), fixup_of(at - 1));
		place(at, insn, fixup);
	}
}

vaddr_t extable_find(vaddr_t pc)
{
	const struct extable_entry *low = extable_start, *high = extable_end;

	while (low < high) {
		const struct extable_entry *mid = low + (high - low) / 2;
		if (insn_of(mid) == pc)
			return fixup_of(mid);
		if (insn_of(mid) < pc)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

void smap_patch(void)
{
	static const uint8_t nop3[] = {0x0f, 0x1f, 0x00};

	if (cpu_features.smap)
		return;
	for (int32_t *site = smap_sites_start; site < smap_sites_end; site++)
		memcpy((char *)site + *site, nop3, sizeof(nop3));
}
