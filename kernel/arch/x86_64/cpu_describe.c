/* cpu_describe.c - names of the processor's features; bits from the Intel and AMD manuals on CPUID, spelling
 * as in Linux's /proc/cpuinfo, which programs look for. */
#include "arch/cpu.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "machine/smp.h"

struct feature_name {
	uint32_t leaf;
	uint8_t reg, bit; /* of eax, ebx, ecx, edx */
	const char *name;
};

static const struct feature_name names[] = {{1, 3, 0, "fpu"}, {1, 3, 3, "pse"}, {1, 3, 4, "tsc"},
    {1, 3, 5, "msr"}, {1, 3, 6, "pae"}, {1, 3, 8, "cx8"}, {1, 3, 9, "apic"}, {1, 3, 12, "mtrr"},
    {1, 3, 13, "pge"}, {1, 3, 15, "cmov"}, {1, 3, 16, "pat"}, {1, 3, 19, "clflush"}, {1, 3, 23, "mmx"},
    {1, 3, 24, "fxsr"}, {1, 3, 25, "sse"}, {1, 3, 26, "sse2"}, {0x80000001, 3, 11, "syscall"},
    {0x80000001, 3, 20, "nx"}, {0x80000001, 3, 26, "pdpe1gb"}, {0x80000001, 3, 27, "rdtscp"},
    {0x80000001, 3, 29, "lm"}, {1, 2, 0, "pni"}, {1, 2, 1, "pclmulqdq"}, {1, 2, 9, "ssse3"},
    {1, 2, 12, "fma"}, {1, 2, 13, "cx16"}, {1, 2, 19, "sse4_1"}, {1, 2, 20, "sse4_2"}, {1, 2, 22, "movbe"},
    {1, 2, 23, "popcnt"}, {1, 2, 25, "aes"}, {1, 2, 26, "xsave"}, {1, 2, 28, "avx"}, {1, 2, 29, "f16c"},
    {1, 2, 30, "rdrand"}, {1, 2, 31, "hypervisor"}, {0x80000001, 2, 0, "lahf_lm"}, {0x80000001, 2, 5, "abm"},
    {7, 1, 0, "fsgsbase"}, {7, 1, 3, "bmi1"}, {7, 1, 5, "avx2"}, {7, 1, 7, "smep"}, {7, 1, 8, "bmi2"},
    {7, 1, 9, "erms"}, {7, 1, 18, "rdseed"}, {7, 1, 19, "adx"}, {7, 1, 20, "smap"}, {7, 2, 2, "umip"}};

static bool has_feature(const struct feature_name *f)
{
	uint32_t r[4];
	cpuid(f->leaf & 0x80000000u, 0, r);
	if (r[0] < f->leaf)
		return false;
	cpuid(f->leaf, 0, r);
	return r[f->reg] >> f->bit & 1;
}

void cpu_describe(struct cpu_description *out)
{
	const struct cpu_features *f = &cpu_features;
	*out =
	    (struct cpu_description){.family = f->family, .model = f->model_number, .stepping = f->stepping};
	memcpy(out->vendor, f->vendor, sizeof(out->vendor) - 1);
	memcpy(out->name, f->model, sizeof(out->name) - 1);
	out->mhz = (unsigned)(clock_tsc_frequency() / 1000000);
	size_t used = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i].name);
		if (!has_feature(&names[i]) || used + len + 2 > sizeof(out->flags))
			continue;
		if (used)
			out->flags[used++] = ' ';
		memcpy(out->flags + used, names[i].name, len);
		used += len;
	}
}
