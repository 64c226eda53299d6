/*
 * cpu.c - what each processor needs before it can run the kernel: features, descriptor tables, control and
 * system-call registers.
 *
 * Every control-register bit is set only if CPUID has the feature: some emulators hang on others. All CPUs
 * are taken to be alike, as the platform demands.
 */
#include "arch/mmu.h"
#include "kern/cpu.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/desc.h"
#include "machine/fpu.h"
#include "machine/ports.h"
#include "mm/kva.h"

/* Segment descriptors, AMD64 manual volume 2, 4.8: present, type, DPL, long mode. Accessed beforehand, so
 * that the CPU does not write. */
#define DESC_KERNEL_CODE 0x00af9b000000ffffULL
#define DESC_KERNEL_DATA 0x00cf93000000ffffULL
#define DESC_USER_DATA   0x00cff3000000ffffULL
#define DESC_USER_CODE   0x00affb000000ffffULL
#define DESC_TSS_TYPE    0x0000890000000000ULL

struct cpu_features cpu_features;
static uint32_t max_leaf;
static struct task_state boot_task;

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} PACKED;

void system_call(void);

static bool feature(uint32_t leaf, unsigned reg, unsigned bit)
{
	uint32_t r[4];

	if (leaf < 0x80000000u && leaf > max_leaf)
		return false;
	cpuid(leaf, 0, r);
	return r[reg] >> bit & 1;
}

static void detect_identity(void)
{
	struct cpu_features *f = &cpu_features;
	uint32_t r[4];

	cpuid(0, 0, r);
	max_leaf = r[0];
	memcpy(f->vendor, &r[1], 4);
	memcpy(f->vendor + 4, &r[3], 4);
	memcpy(f->vendor + 8, &r[2], 4);
	cpuid(1, 0, r);
	f->stepping = r[0] & 0xf;
	f->model_number = (r[0] >> 4 & 0xf) | (r[0] >> 12 & 0xf0);
	f->family = r[0] >> 8 & 0xf;
	if (f->family == 0xf)
		f->family += r[0] >> 20 & 0xff;
}

/* Extended leaves: brand string, address sizes. */
static void detect_extended(void)
{
	struct cpu_features *f = &cpu_features;
	uint32_t r[4], max;

	cpuid(0x80000000u, 0, r);
	max = r[0];
	for (uint32_t i = 0; i < 3 && max >= 0x80000004u; i++) {
		cpuid(0x80000002u + i, 0, r);
		memcpy(f->model + 16 * i, r, 16);
	}
	f->physical_bits = 36;
	f->virtual_bits = 48;
	if (max >= 0x80000008u) {
		cpuid(0x80000008u, 0, r);
		f->physical_bits = r[0] & 0xff;
		f->virtual_bits = r[0] >> 8 & 0xff;
	}
	f->invariant_tsc = max >= 0x80000007u && feature(0x80000007u, 3, 8);
}

enum { EAX, EBX, ECX, EDX };

void cpu_detect(void)
{
	struct cpu_features *f = &cpu_features;
	uint32_t r[4];

	detect_identity();
	detect_extended();
	f->nx = feature(0x80000001u, EDX, 20);
	f->gib_pages = feature(0x80000001u, EDX, 26);
	f->rdtscp = feature(0x80000001u, EDX, 27);
	f->pge = feature(1, EDX, 13);
	f->mtrr = feature(1, EDX, 12);
	f->pat = feature(1, EDX, 16);
	f->xsave = feature(1, ECX, 26);
	f->rdrand = feature(1, ECX, 30);
	f->x2apic = feature(1, ECX, 21);
	f->tsc_deadline = feature(1, ECX, 24);
	f->hypervisor = feature(1, ECX, 31);
	f->arat = feature(6, EAX, 2);
	f->fsgsbase = feature(7, EBX, 0);
	f->smep = feature(7, EBX, 7);
	f->smap = feature(7, EBX, 20);
	f->erms = feature(7, EBX, 9);
	f->umip = feature(7, ECX, 2);
	if (f->xsave && max_leaf >= 0xd) {
		cpuid(0xd, 1, r);
		f->xsaveopt = r[EAX] & 1;
	}
}

static void fill_tables(struct cpu *c, const vaddr_t ist_top[IST_COUNT])
{
	uint64_t *gdt = c->arch.gdt;
	struct task_state *task = c->arch.task;
	uint64_t tss = (uint64_t)task;

	memset(&task->tss, 0, sizeof(task->tss));
	for (unsigned i = 0; i < IST_COUNT; i++) {
		task->tss.ist[i] = ist_top[i] - 16;
		*(struct cpu **)(ist_top[i] - 8) = c; /* see entry.S */
	}
	ports_init(c);
	gdt[0] = 0;
	gdt[SEL_KERNEL_CODE / 8] = DESC_KERNEL_CODE;
	gdt[SEL_KERNEL_DATA / 8] = DESC_KERNEL_DATA;
	gdt[3] = 0;
	gdt[SEL_USER_DATA / 8] = DESC_USER_DATA;
	gdt[SEL_USER_CODE / 8] = DESC_USER_CODE;
	gdt[SEL_TSS / 8] = DESC_TSS_TYPE | (sizeof(struct task_state) - 1) | (tss & 0xffffff) << 16 |
			   (tss >> 24 & 0xff) << 56;
	gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

void cpu_prepare_boot(struct cpu *c)
{
	vaddr_t top[IST_COUNT];

	for (unsigned i = 0; i < IST_COUNT; i++)
		top[i] = (vaddr_t)boot_ist_stacks + i * (IST_STACK_SIZE + PAGE_SIZE) + IST_STACK_SIZE;
	c->self = c;
	c->arch.task = &boot_task;
	fill_tables(c, top);
	c->arch.kernel_rsp = (uint64_t)boot_stack_end;
	c->arch.task->tss.rsp[0] = c->arch.kernel_rsp;
}

err_t cpu_prepare(struct cpu *c)
{
	vaddr_t stack[IST_COUNT] = {0}, top[IST_COUNT];

	c->arch.task = kva_alloc_buffer(sizeof(*c->arch.task));
	if (!c->arch.task)
		return -ENOMEM;
	for (unsigned i = 0; i < IST_COUNT; i++) {
		stack[i] = kva_alloc_stack();
		if (!stack[i])
			goto free_stacks;
		top[i] = stack[i] + KSTACK_PAGES * PAGE_SIZE;
	}
	c->self = c;
	fill_tables(c, top);
	return 0;
free_stacks:
	for (unsigned i = 0; i < IST_COUNT && stack[i]; i++)
		kva_free_stack(stack[i]);
	kva_free_buffer(c->arch.task);
	return -ENOMEM;
}

static void load_tables(struct cpu *c)
{
	struct table_pointer gdtr = {sizeof(c->arch.gdt) - 1, (uint64_t)c->arch.gdt};
	struct table_pointer idtr = {sizeof(idt) - 1, (uint64_t)idt};

	/* A CPU that comes back would find its TSS marked busy. */
	c->arch.gdt[SEL_TSS / 8] &= ~(1ULL << 41);
	__asm__ volatile(
	    "lgdt %0\n\t"
	    "pushq %1\n\t"
	    "leaq 1f(%%rip), %%rax\n\t"
	    "pushq %%rax\n\t"
	    "lretq\n"
	    "1:\tmovl %2, %%ss\n\t"
	    "movl %3, %%ds\n\t"
	    "movl %3, %%es\n\t"
	    "movl %3, %%fs\n\t"
	    "movl %3, %%gs\n\t"
	    "lidt %4\n\t"
	    "ltr %w5"
	    :
	    : "m"(gdtr), "i"((uint64_t)SEL_KERNEL_CODE), "r"(SEL_KERNEL_DATA), "r"(0), "m"(idtr), "r"(SEL_TSS)
	    : "rax", "memory");
	/* Loading GS cleared its base. */
	wrmsr(MSR_GS_BASE, (uint64_t)c);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	wrmsr(MSR_FS_BASE, 0);
	if (cpu_features.rdtscp)
		wrmsr(MSR_TSC_AUX, c->id); /* for the vDSO */
}

static void load_control_registers(void)
{
	const struct cpu_features *f = &cpu_features;
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	write_cr0((read_cr0() & ~(uint64_t)(CR0_EM | CR0_TS | CR0_NW | CR0_CD | CR0_AM)) | CR0_MP | CR0_NE |
		  CR0_WP);
	cr4 |= f->pge ? CR4_PGE : 0;
	cr4 |= f->umip ? CR4_UMIP : 0;
	cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
	cr4 |= f->xsave ? CR4_OSXSAVE : 0;
	cr4 |= f->smep ? CR4_SMEP : 0;
	cr4 |= f->smap ? CR4_SMAP : 0;
	write_cr4(cr4);
}

static void load_syscall_registers(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | (cpu_features.nx ? EFER_NXE : 0));
	wrmsr(MSR_STAR, (uint64_t)(0x18 | 3) << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
	wrmsr(MSR_LSTAR, (uint64_t)system_call);
	/* SYSCALL from 32-bit code cannot happen: there is no 32-bit code segment. */
	wrmsr(MSR_CSTAR, 0);
	wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_AC | RFLAGS_NT | RFLAGS_IOPL | RFLAGS_RF);
}

void cpu_enter(struct cpu *c)
{
	load_tables(c);
	load_control_registers();
	load_syscall_registers();
	fpu_enter();
}
