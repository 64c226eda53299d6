/*
 * dump.c - registers as text, and stopping the other processors for good.
 */
#include "arch/cpu.h"
#include "dev/uart.h"
#include "kern/cpu.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "machine/cpu.h"
#include "machine/dump.h"
#include "machine/smp.h"

enum {
	EXIT_PORT = 0xf4, /* isa-debug-exit,iobase=0xf4 */
	/* Looks at the answers before a CPU is given up: each costs a microsecond and more under emulation.
	 */
	ANSWER_POLLS = 1 << 21,
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} PACKED;

static _Atomic bool stopping;                       /* a panic wants all CPUs */
static struct trap_frame *_Atomic frames[MAX_CPUS]; /* what each CPU was doing */

void dump_write(void *ctx, const char *s, size_t n)
{
	(void)ctx;
	uart_write(s, n);
}

struct flag_name {
	uint64_t bit;
	const char *name;
};

static void print_flags(
    dump_print *print, const char *title, uint64_t value, const struct flag_name *names, unsigned n)
{
	print("%s %016lx", title, value);
	for (unsigned i = 0; i < n; i++)
		if (value & names[i].bit)
			print(" %s", names[i].name);
	print("\n");
}

static void print_error(dump_print *print, const struct trap_frame *f)
{
	uint64_t e = f->error;
	static const char *const tables[] = {"GDT", "IDT", "LDT", "IDT"};

	if (f->vector == VECTOR_PAGE_FAULT)
		print("error %#lx: %s of %s page%s%s%s\n", e,
		    e & PF_FETCH   ? "fetch"
		    : e & PF_WRITE ? "write"
				   : "read",
		    e & PF_PRESENT ? "a present" : "a missing", e & PF_USER ? ", user mode" : ", kernel mode",
		    e & PF_RESERVED ? ", reserved bits" : "", e & PF_KEY ? ", protection key" : "");
	else if (f->vector < VECTOR_IRQ_FIRST && e)
		print(
		    "error %#lx: %s entry %lu%s\n", e, tables[e >> 1 & 3], e >> 3, e & 1 ? ", external" : "");
}

void dump_frame(dump_print *print, const struct trap_frame *f)
{
	static const struct flag_name flags[] = {{RFLAGS_CF, "CF"}, {RFLAGS_PF, "PF"}, {RFLAGS_ZF, "ZF"},
	    {RFLAGS_SF, "SF"}, {RFLAGS_TF, "TF"}, {RFLAGS_IF, "IF"}, {RFLAGS_DF, "DF"}, {RFLAGS_OF, "OF"},
	    {RFLAGS_NT, "NT"}, {RFLAGS_AC, "AC"}};

	print("%s (vector %lu) in %s mode\n", trap_name((unsigned)f->vector), f->vector,
	    trap_is_user(f) ? "user" : "kernel");
	print_error(print, f);
	print("rip %016lx  cs %04lx  rsp %016lx  ss %04lx\n", f->rip, f->cs, f->rsp, f->ss);
	print_flags(print, "rflags", f->rflags, flags, ARRAY_SIZE(flags));
	print("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	print("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
	print("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
	print("r13 %016lx  r14 %016lx  r15 %016lx\n", f->r13, f->r14, f->r15);
}

/* A descriptor of the GDT, decoded; AMD64 manual volume 2, 4.8. */
static void print_descriptor(
    dump_print *print, const char *name, unsigned selector, const uint64_t *gdt, unsigned limit)
{
	if ((selector & ~7u) + 7 > limit || selector < 8) {
		print("%s %04x: null or beyond the table\n", name, selector);
		return;
	}
	uint64_t d = gdt[selector / 8];
	uint64_t base = (d >> 16 & 0xffffff) | (d >> 56 & 0xff) << 24;
	bool system = !(d >> 44 & 1);
	if (system && (selector & ~7u) + 15 <= limit)
		base |= gdt[selector / 8 + 1] << 32;
	print("%s %04x: base %016lx limit %05lx type %lx%s dpl %lu%s%s\n", name, selector, base,
	    (d & 0xffff) | (d >> 32 & 0xf0000), d >> 40 & 0xf,
	    system          ? " system"
	    : (d >> 43 & 1) ? " code"
			    : " data",
	    d >> 45 & 3, d >> 47 & 1 ? " present" : "", d >> 53 & 1 ? " 64-bit" : "");
}

static void print_descriptors(dump_print *print)
{
	struct table_pointer gdtr, idtr;
	uint16_t cs, ss, tr;

	__asm__ volatile("sgdt %0" : "=m"(gdtr));
	__asm__ volatile("sidt %0" : "=m"(idtr));
	__asm__ volatile("movw %%cs, %0" : "=r"(cs));
	__asm__ volatile("movw %%ss, %0" : "=r"(ss));
	__asm__ volatile("str %0" : "=r"(tr));
	print(
	    "gdtr %016lx limit %04x  idtr %016lx limit %04x\n", gdtr.base, gdtr.limit, idtr.base, idtr.limit);
	print_descriptor(print, "cs", cs, (const uint64_t *)gdtr.base, gdtr.limit);
	print_descriptor(print, "ss", ss, (const uint64_t *)gdtr.base, gdtr.limit);
	print_descriptor(print, "tr", tr, (const uint64_t *)gdtr.base, gdtr.limit);
}

void dump_machine(dump_print *print)
{
	static const struct flag_name cr0[] = {{1, "PE"}, {CR0_MP, "MP"}, {CR0_EM, "EM"}, {CR0_TS, "TS"},
	    {CR0_NE, "NE"}, {CR0_WP, "WP"}, {CR0_AM, "AM"}, {CR0_NW, "NW"}, {CR0_CD, "CD"},
	    {1UL << 31, "PG"}};
	static const struct flag_name cr4[] = {{CR4_PAE, "PAE"}, {CR4_MCE, "MCE"}, {CR4_PGE, "PGE"},
	    {CR4_OSFXSR, "OSFXSR"}, {CR4_OSXMMEXCPT, "OSXMMEXCPT"}, {CR4_UMIP, "UMIP"},
	    {CR4_FSGSBASE, "FSGSBASE"}, {CR4_OSXSAVE, "OSXSAVE"}, {CR4_SMEP, "SMEP"}, {CR4_SMAP, "SMAP"}};

	print_flags(print, "cr0", read_cr0(), cr0, ARRAY_SIZE(cr0));
	print("cr2 %016lx\ncr3 %016lx\n", read_cr2(), read_cr3());
	print_flags(print, "cr4", read_cr4(), cr4, ARRAY_SIZE(cr4));
	print("fs base %016lx  gs base %016lx  user gs base %016lx  efer %lx\n", rdmsr(MSR_FS_BASE),
	    rdmsr(MSR_GS_BASE), rdmsr(MSR_KERNEL_GS_BASE), rdmsr(MSR_EFER));
	print_descriptors(print);
}

static bool all_answered(uint64_t wanted)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		if ((wanted >> i & 1) && !load_acquire(&frames[i]))
			return false;
	return true;
}

void dump_stop_others(void)
{
	uint64_t others = cpus_online() & ~(1ULL << cpu_id());

	store_seq_cst(&stopping, true);
	if (!others)
		return;
	smp_nmi_others();
	for (unsigned polls = 0; polls < ANSWER_POLLS && !all_answered(others); polls++)
		cpu_relax();
}

const struct trap_frame *dump_frame_of(unsigned cpu)
{
	return load_acquire(&frames[cpu]);
}

void dump_nmi(struct trap_frame *f)
{
	if (!load_relaxed(&stopping))
		trap_panic(f, "non-maskable interrupt");
	dump_answer(f);
}

void dump_answer(struct trap_frame *f)
{
	store_release(&frames[cpu_id()], f);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void dump_tell_emulator(uint8_t status)
{
	out8(EXIT_PORT, status);
}

void dump_exit(uint8_t status)
{
	dump_tell_emulator(status);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void machine_halt(bool clean)
{
	irq_disable();
	dump_stop_others();
	dump_exit(clean ? DUMP_EXIT_CLEAN : DUMP_EXIT_FAILED);
}
