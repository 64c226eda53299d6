#pragma once
/*
 * cpu.h (x86-64) - the inline half of arch/cpu.h, and the instructions that C cannot say.
 *
 * Per-CPU data: while the kernel runs, GS points to struct cpu (kern/cpu.h); the offsets used here are
 * asserted there.
 */
#include "lib/types.h"

struct cpu;
struct thread;

enum rflags {
	RFLAGS_CF = 1 << 0,
	RFLAGS_FIXED = 1 << 1, /* always 1 */
	RFLAGS_PF = 1 << 2,
	RFLAGS_AF = 1 << 4,
	RFLAGS_ZF = 1 << 6,
	RFLAGS_SF = 1 << 7,
	RFLAGS_TF = 1 << 8,
	RFLAGS_IF = 1 << 9,
	RFLAGS_DF = 1 << 10,
	RFLAGS_OF = 1 << 11,
	RFLAGS_IOPL = 3 << 12,
	RFLAGS_NT = 1 << 14,
	RFLAGS_RF = 1 << 16,
	RFLAGS_AC = 1 << 18,
	RFLAGS_ID = 1 << 21,
	/* What user space may set for itself; everything else is forced when a frame is loaded from it. */
	RFLAGS_USER = RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_TF | RFLAGS_DF |
		      RFLAGS_OF | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID,
};

enum cr_bits {
	CR0_MP = 1 << 1,
	CR0_EM = 1 << 2,
	CR0_TS = 1 << 3,
	CR0_NE = 1 << 5,
	CR0_WP = 1 << 16,
	CR0_AM = 1 << 18,
	CR0_NW = 1 << 29,
	CR0_CD = 1 << 30,
	CR4_PAE = 1 << 5,
	CR4_MCE = 1 << 6,
	CR4_PGE = 1 << 7,
	CR4_OSFXSR = 1 << 9,
	CR4_OSXMMEXCPT = 1 << 10,
	CR4_UMIP = 1 << 11,
	CR4_FSGSBASE = 1 << 16,
	CR4_OSXSAVE = 1 << 18,
	CR4_SMEP = 1 << 20,
	CR4_SMAP = 1 << 21,
};

enum msr {
	MSR_EFER = 0xc0000080u,
	MSR_STAR = 0xc0000081u,
	MSR_LSTAR = 0xc0000082u,
	MSR_CSTAR = 0xc0000083u,
	MSR_FMASK = 0xc0000084u,
	MSR_FS_BASE = 0xc0000100u,
	MSR_GS_BASE = 0xc0000101u,
	MSR_KERNEL_GS_BASE = 0xc0000102u,
	MSR_TSC_AUX = 0xc0000103u,
	EFER_SCE = 1 << 0,
	EFER_LME = 1 << 8,
	EFER_NXE = 1 << 11,
};

/* What CPUID says, read once on the boot CPU; every CPU is taken to have it. Constant after boot. */
struct cpu_features {
	char vendor[13];
	char model[49];
	uint32_t family, model_number, stepping;
	unsigned physical_bits, virtual_bits;
	bool nx, pge, pat, mtrr, gib_pages, smep, smap, umip, fsgsbase, xsave, xsaveopt, rdtscp, erms, rdrand,
	    x2apic;
	bool tsc_deadline, invariant_tsc, arat, hypervisor;
};
extern struct cpu_features cpu_features;

static inline void cpu_relax(void)
{
	__asm__ volatile("pause");
}
static inline uint64_t read_rflags(void)
{
	uint64_t f;
	__asm__ volatile("pushfq; popq %0" : "=r"(f) : : "memory");
	return f;
}
static inline void irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}
static inline void irq_disable(void)
{
	__asm__ volatile("cli" : : : "memory");
}
static inline bool irq_is_enabled(void)
{
	return read_rflags() & RFLAGS_IF;
}
static inline uint64_t irq_save(void)
{
	uint64_t f = read_rflags();
	irq_disable();
	return f & RFLAGS_IF;
}
static inline void irq_restore(uint64_t state)
{
	if (state)
		irq_enable();
}
/* STI lets one more instruction pass before it takes interrupts, so none can slip in before the HLT. */
static inline void cpu_wait_irq(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}
static inline uint64_t cpu_cycles(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static inline struct cpu *this_cpu(void)
{
	struct cpu *c;
	__asm__ volatile("movq %%gs:0, %0" : "=r"(c));
	return c;
}
static inline struct thread *current_thread(void)
{
	struct thread *t;
	__asm__ volatile("movq %%gs:16, %0" : "=r"(t));
	return t;
}
static inline uint32_t cpu_id(void)
{
	uint64_t id; /* wide, so that an index made of it needs no extension: the upper half is 0 */
	__asm__ volatile("movl %%gs:12, %k0" : "=r"(id));
	if (id > UINT32_MAX)
		__builtin_unreachable();
	return (uint32_t)id;
}
static inline void preempt_count_add(int n)
{
	__asm__ volatile("addl %0, %%gs:8" : : "ri"(n) : "cc", "memory");
}
static inline uint32_t preempt_count(void)
{
	uint32_t n;
	__asm__ volatile("movl %%gs:8, %0" : "=r"(n) : : "memory");
	return n;
}
static inline bool cpu_need_resched(void)
{
	bool wanted;
	__asm__ volatile("cmpl $0, %%gs:24" : "=@ccne"(wanted) : : "memory");
	return unlikely(wanted) && !preempt_count();
}

/* Port accesses order memory: a device may read what was written before. */
static inline void out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void out16(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void out32(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t in8(uint16_t port)
{
	uint8_t v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline uint16_t in16(uint16_t port)
{
	uint16_t v;
	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}
static inline uint32_t in32(uint16_t port)
{
	uint32_t v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(sub));
}

#define DEFINE_CONTROL_REGISTER(name)                                                                        \
	static inline uint64_t read_##name(void)                                                             \
	{                                                                                                    \
		uint64_t v;                                                                                  \
		__asm__ volatile("movq %%" #name ", %0" : "=r"(v) : : "memory");                             \
		return v;                                                                                    \
	}                                                                                                    \
	static inline void write_##name(uint64_t v)                                                          \
	{                                                                                                    \
		__asm__ volatile("movq %0, %%" #name : : "r"(v) : "memory");                                 \
	}
DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)
#undef DEFINE_CONTROL_REGISTER

/* DR6, which tells the cause of a debug trap, and clear it for the next one. */
static inline uint64_t debug_status_take(void)
{
	uint64_t v;
	__asm__ volatile("movq %%dr6, %0\n\tmovq %1, %%dr6" : "=&r"(v) : "r"(0xffff0ff0UL) : "memory");
	return v;
}
