/*
 * pat_mtrr.c - memory types: the page attribute table, which we set, and the MTRRs, which we only read (Intel
 * SDM volume 3, 12.11 and 12.12).
 *
 * The PAT gives each of the eight combinations of PAT, PCD and PWT in a page-table entry a type. Its first
 * four are left as they are at reset, so that entries made before it is programmed keep their meaning; the
 * last becomes write-combining:
 *
 *	index  0   1   2    3   4   5   6    7
 *	type   WB  WT  UC-  UC  WB  WT  UC-  WC
 */
#include "kern/log.h"
#include "machine/cpu.h"
#include "machine/smp.h"

enum memory_type { TYPE_UC = 0, TYPE_WC = 1, TYPE_WT = 4, TYPE_WP = 5, TYPE_WB = 6, TYPE_UC_MINUS = 7 };

enum {
	MSR_MTRR_CAP = 0xfe,
	MSR_MTRR_BASE0 = 0x200,
	MSR_MTRR_MASK0 = 0x201,
	MSR_MTRR_FIXED_64K = 0x250,
	MSR_MTRR_FIXED_16K = 0x258,
	MSR_MTRR_FIXED_4K = 0x268,
	MSR_PAT = 0x277,
	MSR_MTRR_DEFAULT = 0x2ff,
	MTRR_CAP_FIXED = 1 << 8,
	MTRR_FIXED_ENABLE = 1 << 10,
	MTRR_ENABLE = 1 << 11,
	MTRR_VALID = 1 << 11, /* of a mask */
};

#define PAT_VALUE                                                                                            \
	((uint64_t)TYPE_WB | (uint64_t)TYPE_WT << 8 | (uint64_t)TYPE_UC_MINUS << 16 |                        \
	    (uint64_t)TYPE_UC << 24 | (uint64_t)TYPE_WB << 32 | (uint64_t)TYPE_WT << 40 |                    \
	    (uint64_t)TYPE_UC_MINUS << 48 | (uint64_t)TYPE_WC << 56)

static const char *const type_names[8] = {"UC", "WC", "?", "?", "WT", "WP", "WB", "UC-"};

void memory_types_init(void)
{
	if (cpu_features.pat)
		wrmsr(MSR_PAT, PAT_VALUE);
}

/* Eleven registers of eight bytes each cover the first MiB: one of 64 KiB steps, two of 16 KiB, eight of 4
 * KiB. Byte n of a register, counted from the lowest, is the type of its n-th step. */
static uint8_t fixed_type(paddr_t pa)
{
	uint32_t msr;
	unsigned step;
	if (pa < 0x80000) {
		msr = MSR_MTRR_FIXED_64K;
		step = (unsigned)(pa >> 16);
	} else if (pa < 0xc0000) {
		msr = MSR_MTRR_FIXED_16K + (uint32_t)((pa - 0x80000) >> 17);
		step = (unsigned)(pa >> 14) & 7;
	} else {
		msr = MSR_MTRR_FIXED_4K + (uint32_t)((pa - 0xc0000) >> 15);
		step = (unsigned)(pa >> 12) & 7;
	}
	return (uint8_t)(rdmsr(msr) >> (8 * step));
}

static bool fixed_ranges_work(void)
{
	uint64_t type = cpu_features.mtrr ? rdmsr(MSR_MTRR_DEFAULT) : 0;
	return (type & MTRR_ENABLE) && (type & MTRR_FIXED_ENABLE) && (rdmsr(MSR_MTRR_CAP) & MTRR_CAP_FIXED);
}

uint8_t mtrr_fixed_type(paddr_t pa)
{
	return fixed_ranges_work() ? fixed_type(pa) : UINT8_MAX;
}

/* Runs of equal type. */
static void log_fixed_ranges(void)
{
	paddr_t start = 0;
	for (paddr_t pa = 0; pa < MIB(1); pa += PAGE_SIZE) {
		paddr_t next = pa + PAGE_SIZE;
		if (next < MIB(1) && fixed_type(next) == fixed_type(start))
			continue;
		log_info("mtrr", "%05llx-%05llx %s", (unsigned long long)start, (unsigned long long)next,
		    type_names[fixed_type(start) & 7]);
		start = next;
	}
}

static void log_variable_range(unsigned i)
{
	uint64_t base = rdmsr(MSR_MTRR_BASE0 + 2 * i), mask = rdmsr(MSR_MTRR_MASK0 + 2 * i);
	if (!(mask & MTRR_VALID))
		return;
	uint64_t physical = (1ULL << cpu_features.physical_bits) - 1;
	uint64_t start = base & PAGE_MASK, len = ((~mask & physical) | (PAGE_SIZE - 1)) +
						 1; /* contiguous masks only, as firmware writes them */
	log_info("mtrr", "%010llx-%010llx %s", (unsigned long long)start, (unsigned long long)(start + len),
	    type_names[base & 7]);
}

void mtrr_log(void)
{
	if (!cpu_features.mtrr) {
		log_info("mtrr", "the CPU has none");
		return;
	}
	uint64_t type = rdmsr(MSR_MTRR_DEFAULT);
	log_info("mtrr", "%s, default %s", type & MTRR_ENABLE ? "enabled" : "disabled", type_names[type & 7]);
	if (!(type & MTRR_ENABLE))
		return;
	if (fixed_ranges_work())
		log_fixed_ranges();
	for (unsigned i = 0; i < (rdmsr(MSR_MTRR_CAP) & 0xff); i++)
		log_variable_range(i);
}
