#pragma once
/*
 * fpu.h - x87, SSE and AVX state of user threads. The kernel itself is compiled without; so the state is
 * touched by thread switches, fork, exec and signals only.
 */
#include "lib/err.h"
#include "machine/cpu.h"

struct fpu_area;

/* Turn the FPU on; on the boot CPU also find the size of the state. Part of cpu_enter. */
void fpu_enter(void);
/* Bytes that fpu_save writes: XSAVE's standard form, or FXSAVE's 512. */
size_t fpu_size(void);
/* A fresh program's state. NULL: no memory. */
struct fpu_area *fpu_create(void);
void fpu_destroy(struct fpu_area *a); /* NULL allowed */
void fpu_reset(struct fpu_area *a);
extern uint64_t fpu_xcr0; /* components that are on; 0: FXSAVE only. Constant after fpu_enter */
/* Registers to area and back. Inline, because each switch of threads does both. */
static inline void fpu_save(struct fpu_area *a)
{
	uint32_t lo = (uint32_t)fpu_xcr0, hi = (uint32_t)(fpu_xcr0 >> 32);

	if (unlikely(!fpu_xcr0))
		__asm__ volatile("fxsave64 (%0)" : : "r"(a) : "memory");
	else if (likely(cpu_features.xsaveopt))
		__asm__ volatile("xsaveopt64 (%0)" : : "r"(a), "a"(lo), "d"(hi) : "memory");
	else
		__asm__ volatile("xsave64 (%0)" : : "r"(a), "a"(lo), "d"(hi) : "memory");
}
static inline void fpu_load(const struct fpu_area *a)
{
	uint32_t lo = (uint32_t)fpu_xcr0, hi = (uint32_t)(fpu_xcr0 >> 32);

	if (unlikely(!fpu_xcr0))
		__asm__ volatile("fxrstor64 (%0)" : : "r"(a) : "memory");
	else
		__asm__ volatile("xrstor64 (%0)" : : "r"(a), "a"(lo), "d"(hi) : "memory");
}
/* A fresh program's state into the registers. */
void fpu_load_initial(void);
/* The most that fpu_size can be: room for a state on the stack. */
enum { FPU_SIZE_MAX = 2816 };
/* Registers to area, every component written whether it is in use or not: for signal frames. */
void fpu_save_all(struct fpu_area *a);
/* Components that are on (XCR0); 0: FXSAVE's only. */
uint64_t fpu_components(void);
/* Is this state, which comes from user space, one that fpu_load takes without a fault? */
bool fpu_is_valid(const struct fpu_area *a);
/* Of a state with XSAVE's header: put all components but those of `keep` into their initial state, `also` are
 * in use whatever the header says. */
void fpu_select(struct fpu_area *a, uint64_t keep, uint64_t also);
/* Exceptions that are pending and not masked, in the order of the status word's low six bits. simd: of SSE,
 * else of x87. */
unsigned fpu_exceptions(bool simd);
