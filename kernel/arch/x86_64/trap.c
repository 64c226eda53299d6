/*
 * trap.c - what the entries of entry.S call.
 *
 * Page faults are the ones that matter for speed: from user mode straight to upcall_page_fault, from the
 * kernel by way of the exception table.
 *
 * A fault in kernel mode is legal in exactly one case: an instruction of the exception table that touches a
 * user address. Its page is faulted in (interrupts on, may sleep) and the instruction tried again, or
 * execution goes on at the fixup. Everything else in kernel mode is a panic: user addresses from any other
 * instruction, kernel addresses from any instruction, instruction fetches from user pages, reserved bits in a
 * table.
 */
#include "arch/mmu.h"
#include "arch/upcall.h"
#include "arch/x86_64/extable.h"
#include "arch/x86_64/trap_expect.h"
#include "arch/x86_64/usercopy.h"
#include "kern/cpu.h"
#include "kern/thread.h"
#include "lib/assert.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/desc.h"
#include "machine/dump.h"
#include "machine/ports.h"
#include "machine/trap.h"
#include "mm/kva.h"

enum { GATE_INTERRUPT = 0x8e, GATE_USER = 0x60 };

struct idt_gate idt[IDT_SIZE] ALIGNED(16);
extern const uint64_t trap_stubs[IDT_SIZE];

void trap_user(struct trap_frame *f);
void trap_kernel(struct trap_frame *f);
void trap_paranoid(struct trap_frame *f);

static unsigned ist_of(unsigned vector)
{
	switch (vector) {
	case VECTOR_DEBUG:
		return IST_DEBUG;
	case VECTOR_NMI:
		return IST_NMI;
	case VECTOR_DOUBLE_FAULT:
		return IST_DOUBLE_FAULT;
	case VECTOR_MACHINE_CHECK:
		return IST_MACHINE_CHECK;
	default:
		return 0;
	}
}

void trap_init(void)
{
	for (unsigned v = 0; v < IDT_SIZE; v++) {
		uint64_t stub = trap_stubs[v];
		idt[v] = (struct idt_gate){
		    .offset_low = (uint16_t)stub,
		    .selector = SEL_KERNEL_CODE,
		    .ist = (uint8_t)ist_of(v),
		    /* INT3 is the only gate that user code may name: `int $0x80` and its like are general
		     * protection faults. */
		    .type = v == VECTOR_BREAKPOINT ? GATE_INTERRUPT | GATE_USER : GATE_INTERRUPT,
		    .offset_mid = (uint16_t)(stub >> 16),
		    .offset_high = (uint32_t)(stub >> 32),
		};
	}
}

const char *trap_name(unsigned vector)
{
	static const char *const names[] = {"divide error", "debug trap", "non-maskable interrupt",
	    "breakpoint", "overflow", "bound range exceeded", "invalid instruction", "no FPU", "double fault",
	    "coprocessor overrun", "invalid TSS", "segment not present", "stack segment fault",
	    "general protection fault", "page fault", "reserved exception 15", "x87 error",
	    "misaligned access", "machine check", "SIMD error", "virtualization exception",
	    "control protection fault"};

	if (vector < ARRAY_SIZE(names))
		return names[vector];
	return vector < VECTOR_IRQ_FIRST  ? "reserved exception"
	       : vector == VECTOR_SYSCALL ? "system call"
					  : "interrupt";
}

/* enum fault_access for each combination of the low bits of a page fault's error code. */
#define ACCESS(e)                                                                                            \
	[e] = ((e)&PF_FETCH      ? FAULT_EXEC                                                                \
		  : (e)&PF_WRITE ? FAULT_WRITE                                                               \
				 : FAULT_READ) |                                                             \
	      ((e)&PF_PRESENT ? FAULT_PRESENT : 0) | ((e)&PF_USER ? FAULT_USER : 0)
#define ACCESS4(e) ACCESS(e), ACCESS((e) + 1), ACCESS((e) + 2), ACCESS((e) + 3)
static const uint8_t access_of_error[32] = {
    ACCESS4(0), ACCESS4(4), ACCESS4(8), ACCESS4(12), ACCESS4(16), ACCESS4(20), ACCESS4(24), ACCESS4(28)};

static inline unsigned fault_access(uint64_t error)
{
	return access_of_error[error & 31];
}

static void page_fault_user(struct trap_frame *f)
{
	uaddr_t addr = read_cr2();
	err_t e = -EFAULT;

	if (unlikely(f->error & PF_RESERVED))
		trap_panic(f, "reserved bits set in the page tables for %#lx", addr);
	irq_enable();
	if (likely(addr < USER_END))
		e = upcall_page_fault(addr, fault_access(f->error));
	if (likely(!e))
		return;
	if (e == FAULT_TO_BE_GUARDED)
		upcall_guarded_fault();
	else
		upcall_user_trap(VECTOR_PAGE_FAULT, f->error, addr, e);
}

static void device_interrupt(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	c->irq_depth++;
	preempt_count_add(1);
	interrupt_dispatch(f);
	preempt_count_add(-1);
	c->irq_depth--;
}

static void exception_user(struct trap_frame *f)
{
	unsigned vector = (unsigned)f->vector;
	uint64_t error = f->error;

	if (vector == VECTOR_DEBUG)
		error = debug_status_take();
	if (vector == VECTOR_GP && ports_catch_up())
		return;
	irq_enable();
	upcall_user_trap(vector, error, f->rip, 0);
}

/* From user mode, on the thread's stack, interrupts disabled. return_to_user follows. */
void trap_user(struct trap_frame *f)
{
	if (likely(f->vector == VECTOR_PAGE_FAULT))
		page_fault_user(f);
	else if (f->vector >= VECTOR_IRQ_FIRST)
		device_interrupt(f);
	else
		exception_user(f);
}

/* May the kernel code that faulted sleep for the page? Early at boot there is no thread, and usercopy_atomic
 * sections say no. */
static bool may_resolve(const struct trap_frame *f)
{
	struct thread *t = current_thread();

	return (f->rflags & RFLAGS_IF) && t && !(load_relaxed(&t->flags) & THREAD_NOFAULT);
}

/* A user address, in kernel mode, by an instruction of the exception table. */
static void page_fault_usercopy(struct trap_frame *f, uaddr_t addr, vaddr_t fixup)
{
	if (may_resolve(f)) {
		irq_enable();
		err_t e = upcall_page_fault(addr, fault_access(f->error));
		irq_disable();
		if (e >= 0)
			return;
	}
	f->rip = fixup;
}

/* Why the fault is a bug of the kernel; NULL if it is not. */
static const char *fault_is_illegal(const struct trap_frame *f, vaddr_t addr, vaddr_t fixup)
{
	if (f->error & PF_RESERVED)
		return "reserved bits set in the page tables";
	if (addr >= USER_END)
		return "kernel access to a kernel address that is not mapped so";
	if (f->error & PF_FETCH)
		return "kernel executes user memory";
	if (cpu_features.smap && (f->error & PF_PRESENT) && !(f->rflags & RFLAGS_AC))
		return "kernel access to user memory outside usercopy";
	if (!fixup)
		return "kernel access to a user address outside usercopy";
	return NULL;
}

static const char *describe_address(vaddr_t va)
{
	if (va >= (vaddr_t)boot_guarded && va < (vaddr_t)boot_guarded_end)
		return "page between the static stacks";
	return va >= KVA_BASE && va < KVA_BASE + KVA_SIZE ? kva_describe(va) : "no stack known";
}

static void page_fault_kernel(struct trap_frame *f)
{
	vaddr_t addr = read_cr2(), fixup = extable_find(f->rip);
	const char *why = fault_is_illegal(f, addr, fixup);

	if (likely(!why)) {
		page_fault_usercopy(f, addr, fixup);
		return;
	}
	if (f->rip == (uint64_t)kernel_peek_insn)
		f->rip = (uint64_t)kernel_peek_fixup;
	else if (!trap_expect_catch(f, addr))
		trap_panic(f, "%s: %#lx (%s)", why, addr, describe_address(addr));
}

static void exception_kernel(struct trap_frame *f)
{
	/* A backtrace may follow a pointer to a non-canonical address. */
	if (f->rip == (uint64_t)kernel_peek_insn)
		f->rip = (uint64_t)kernel_peek_fixup;
	else if (!trap_expect_catch(f, 0))
		trap_panic(f, "%s in the kernel", trap_name((unsigned)f->vector));
}

/* From kernel mode, on the interrupted stack, interrupts disabled. */
void trap_kernel(struct trap_frame *f)
{
	if (f->vector >= VECTOR_IRQ_FIRST) {
		device_interrupt(f);
		if (cpu_need_resched() && (f->rflags & RFLAGS_IF))
			upcall_preempt();
	} else if (f->vector == VECTOR_PAGE_FAULT) {
		page_fault_kernel(f);
	} else {
		exception_kernel(f);
	}
}

/* NMI, double fault, machine check, debug trap in kernel mode: on an interrupt stack, anything may be held.
 */
void trap_paranoid(struct trap_frame *f)
{
	switch (f->vector) {
	case VECTOR_NMI:
		if (!trap_expect_nmi())
			dump_nmi(f);
		return;
	case VECTOR_DEBUG:
		/* No breakpoint is ever set, and FMASK and gates clear TF; so this is a flag that came along
		 * by a way we do not know. Go on without it. */
		debug_status_take();
		f->rflags &= ~(uint64_t)RFLAGS_TF;
		return;
	case VECTOR_DOUBLE_FAULT:
		/* Mostly the page fault of a push onto a guard page could not be delivered. */
		trap_panic(f, "double fault after a page fault at %#lx: %s", read_cr2(),
		    describe_address(read_cr2()));
	default:
		trap_panic(f, "%s", trap_name((unsigned)f->vector));
	}
}
