/*
 * fpu.c - the FPU state in memory.
 *
 * An area has the standard (not compacted) form of XSAVE, which signal frames show to user space, or FXSAVE's
 * on CPUs without XSAVE. Its header says which components are there; a zero header means the initial state of
 * all, but MXCSR always is in the area.
 */
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "machine/fpu.h"
#include "mm/slab.h"

enum {
	FXSAVE_SIZE = 512,
	FCW_INITIAL = 0x37f,
	MXCSR_INITIAL = 0x1f80,
	XCR0_X87 = 1 << 0,
	XCR0_SSE = 1 << 1,
	XCR0_AVX = 1 << 2,
	XCR0_AVX512 = 7 << 5,
};

/* AMD64 manual volume 2, 11.4.4 and 11.5.2. */
struct fpu_area {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t registers[FXSAVE_SIZE - 32];
	/* With XSAVE only: */
	uint64_t xstate_bv, xcomp_bv, reserved1[6];
};

uint64_t fpu_xcr0;
static size_t area_size;
static uint32_t mxcsr_mask; /* bits of MXCSR that exist */
static const union {
	struct fpu_area area;
	uint8_t room[FPU_SIZE_MAX];
} initial ALIGNED(64) = {.area = {.fcw = FCW_INITIAL, .mxcsr = MXCSR_INITIAL}};

static void set_xcr0(uint64_t v)
{
	__asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void detect(void)
{
	static struct fpu_area probe ALIGNED(64);
	uint32_t r[4];

	area_size = FXSAVE_SIZE;
	__asm__ volatile("fxsave64 %0" : "=m"(probe) : : "memory");
	mxcsr_mask = probe.mxcsr_mask ? probe.mxcsr_mask : 0xffbf; /* the architecture's default */
	if (!cpu_features.xsave)
		return;
	cpuid(0xd, 0, r);
	uint64_t have = (uint64_t)r[3] << 32 | r[0];
	fpu_xcr0 = have & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
	if ((fpu_xcr0 & XCR0_AVX) && (have & XCR0_AVX512) == XCR0_AVX512)
		fpu_xcr0 |= XCR0_AVX512;
	set_xcr0(fpu_xcr0);
	cpuid(0xd, 0, r); /* EBX: the size for what XCR0 has on */
	area_size = r[1];
	ASSERT(area_size <= FPU_SIZE_MAX);
}

void fpu_enter(void)
{
	__asm__ volatile("fninit");
	if (!area_size)
		detect();
	else if (fpu_xcr0)
		set_xcr0(fpu_xcr0);
}

size_t fpu_size(void)
{
	return area_size;
}

void fpu_reset(struct fpu_area *a)
{
	memset(a, 0, area_size);
	a->fcw = FCW_INITIAL;
	a->mxcsr = MXCSR_INITIAL;
}

/* Powers of two up to a page are aligned to their size, and XSAVE wants 64. */
struct fpu_area *fpu_create(void)
{
	size_t size = 1024;

	while (size < area_size)
		size *= 2;
	struct fpu_area *a = kmalloc(size);
	if (!a)
		return NULL;
	ASSERT(IS_ALIGNED((uint64_t)a, 64));
	fpu_reset(a);
	return a;
}

void fpu_destroy(struct fpu_area *a)
{
	kfree(a);
}

void fpu_load_initial(void)
{
	fpu_load(&initial.area);
}

void fpu_save_all(struct fpu_area *a)
{
	if (!fpu_xcr0)
		__asm__ volatile("fxsave64 %0" : "+m"(*a) : : "memory");
	else
		__asm__ volatile("xsave64 %0"
				 : "+m"(*a)
				 : "a"((uint32_t)fpu_xcr0), "d"((uint32_t)(fpu_xcr0 >> 32))
				 : "memory");
}

uint64_t fpu_components(void)
{
	return fpu_xcr0;
}

bool fpu_is_valid(const struct fpu_area *a)
{
	if (a->mxcsr & ~mxcsr_mask)
		return false;
	if (!fpu_xcr0)
		return true;
	if ((a->xstate_bv & ~fpu_xcr0) || a->xcomp_bv)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(a->reserved1); i++)
		if (a->reserved1[i])
			return false;
	return true;
}

void fpu_select(struct fpu_area *a, uint64_t keep, uint64_t also)
{
	if (fpu_xcr0)
		a->xstate_bv = (a->xstate_bv & keep) | also;
}

unsigned fpu_exceptions(bool simd)
{
	uint32_t mxcsr;
	uint16_t fcw, fsw;

	if (simd) {
		__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
		return ~(mxcsr >> 7) & mxcsr & 0x3f;
	}
	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	__asm__ volatile("fnstsw %0" : "=m"(fsw));
	return fsw & ~fcw & 0x3f;
}
