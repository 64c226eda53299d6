/*
 * thread.c - switching threads, and the way of a thread to user mode. Theory in machine/thread.h.
 */
#include "arch/thread.h"
#include "arch/mmu.h"
#include "arch/upcall.h"
#include "arch/user.h"
#include "kern/cpu.h"
#include "kern/thread.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "machine/desc.h"
#include "machine/fpu.h"

_Static_assert(offsetof(struct thread, flags) == THREAD_FLAGS, "entry.S");
_Static_assert(offsetof(struct thread, user_cycles) == THREAD_USER_CYCLES, "entry.S");
_Static_assert(offsetof(struct thread, system_call) == THREAD_SYSTEM_CALL, "entry.S");
_Static_assert(THREAD_EXIT_WORK == THREAD_EXIT_WORK_BITS, "entry.S");
_Static_assert(offsetof(struct cpu, arch.user_rsp) == PERCPU_USER_RSP, "entry.S");
_Static_assert(offsetof(struct cpu, arch.kernel_rsp) == PERCPU_KERNEL_RSP, "entry.S");

void switch_stacks(uint64_t *save_rsp, uint64_t next_rsp);
NORETURN void user_enter_at(const struct trap_frame *f, struct trap_frame *to);
void user_frame_refuse(struct trap_frame *f);

static void save_bases(struct arch_thread *a)
{
	if (likely(cpu_features.fsgsbase))
		__asm__ volatile("rdfsbase %0" : "=r"(a->fs_base));
	else
		a->fs_base = rdmsr(MSR_FS_BASE);
	a->gs_base = rdmsr(MSR_KERNEL_GS_BASE); /* the user's, while we are in the kernel */
}

static void load_bases(const struct arch_thread *a)
{
	if (likely(cpu_features.fsgsbase))
		__asm__ volatile("wrfsbase %0" : : "r"(a->fs_base));
	else
		wrmsr(MSR_FS_BASE, a->fs_base);
	wrmsr(MSR_KERNEL_GS_BASE, a->gs_base);
}

void arch_thread_init(struct thread *t, vaddr_t stack_top, void (*entry)(void))
{
	uint64_t *sp = (uint64_t *)stack_top;

	*--sp = 0; /* the return address of entry: backtraces end, and it must not return */
	*--sp = (uint64_t)entry;
	for (unsigned i = 0; i < 6; i++) /* what switch_stacks pops */
		*--sp = 0;
	t->arch = (struct arch_thread){.rsp = (uint64_t)sp};
}

void arch_thread_switch(struct thread *prev, struct thread *next)
{
	struct cpu *c = this_cpu();

	if (prev->arch.fpu) {
		fpu_save(prev->arch.fpu);
		save_bases(&prev->arch);
	}
	c->arch.kernel_rsp = next->stack_end;
	c->arch.task->tss.rsp[0] = next->stack_end;
	if (next->arch.fpu) {
		load_bases(&next->arch);
		fpu_load(next->arch.fpu);
	}
	switch_stacks(&prev->arch.rsp, next->arch.rsp);
}

vaddr_t arch_thread_frame(const struct thread *t)
{
	enum { RBP = 5 }; /* what switch_stacks pushed, last first */

	return ((const uint64_t *)t->arch.rsp)[RBP];
}

void arch_thread_fini(struct thread *t)
{
	fpu_destroy(t->arch.fpu);
	t->arch.fpu = NULL;
}

void user_frame_start(struct trap_frame *f, uaddr_t entry, uaddr_t sp)
{
	*f = (struct trap_frame){.rip = entry,
	    .cs = SEL_USER_CODE,
	    .rflags = RFLAGS_FIXED | RFLAGS_IF,
	    .rsp = sp,
	    .ss = SEL_USER_DATA,
	    .vector = VECTOR_SYSCALL};
}

void user_frame_set_arguments(struct trap_frame *f, uint64_t first, uint64_t second)
{
	f->rdi = first;
	f->rsi = second;
}

void user_frame_set_result(struct trap_frame *f, int64_t value)
{
	f->rax = (uint64_t)value;
}

void user_frame_set_sp(struct trap_frame *f, uaddr_t sp)
{
	f->rsp = sp;
}

void user_frame_set_pc(struct trap_frame *f, uaddr_t pc)
{
	f->rip = pc;
	user_frame_forget_call(f);
}

uaddr_t user_frame_pc(const struct trap_frame *f)
{
	return f->rip;
}

uaddr_t user_frame_sp(const struct trap_frame *f)
{
	return f->rsp;
}

uaddr_t user_frame_fp(const struct trap_frame *f)
{
	return f->rbp;
}

bool user_frame_call(const struct trap_frame *f, int64_t *number, uint64_t args[6])
{
	const uint64_t all[6] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};

	*number = (int64_t)f->error;
	memcpy(args, all, sizeof(all));
	return f->vector == VECTOR_SYSCALL;
}

bool user_frame_sanitize(struct trap_frame *f)
{
	f->cs = SEL_USER_CODE;
	f->ss = SEL_USER_DATA;
	f->rflags = (f->rflags & RFLAGS_USER) | RFLAGS_FIXED | RFLAGS_IF;
	return f->rip < USER_END;
}

/* Somebody put an address beyond user space into the frame: the thread faults there as if it had jumped.
 * Called with interrupts disabled. */
void user_frame_refuse(struct trap_frame *f)
{
	uaddr_t rip = f->rip;

	irq_enable();
	upcall_user_trap(VECTOR_GP, 0, rip, 0);
	irq_disable();
}

void user_enter(const struct trap_frame *f)
{
	ASSERT(current_thread()->arch.fpu);
	DEBUG_ASSERT(f->cs == SEL_USER_CODE && f->ss == SEL_USER_DATA && (f->rflags & RFLAGS_IF));
	user_enter_at(f, user_frame(current_thread()));
}

err_t user_state_create(struct thread *t)
{
	ASSERT(!t->arch.fpu);
	t->arch.fpu = fpu_create();
	return t->arch.fpu ? 0 : -ENOMEM;
}

err_t user_state_copy(struct thread *child)
{
	struct thread *self = current_thread();
	err_t e = user_state_create(child);

	if (e)
		return e;
	if (!self->arch.fpu)
		return 0;
	/* No switch may come in between and save other values over the ones that are read here. */
	uint64_t irq = irq_save();
	fpu_save(self->arch.fpu);
	save_bases(&self->arch);
	irq_restore(irq);
	memcpy(child->arch.fpu, self->arch.fpu, fpu_size());
	child->arch.fs_base = self->arch.fs_base;
	child->arch.gs_base = self->arch.gs_base;
	return 0;
}

err_t user_state_set_tls(struct thread *child, uaddr_t value)
{
	if (value >= USER_END)
		return -EPERM;
	child->arch.fs_base = value;
	return 0;
}

void user_state_reset(void)
{
	struct thread *self = current_thread();
	uint64_t irq = irq_save();

	ASSERT(self->arch.fpu);
	fpu_reset(self->arch.fpu);
	self->arch.fs_base = self->arch.gs_base = 0;
	load_bases(&self->arch);
	fpu_load(self->arch.fpu);
	irq_restore(irq);
}

err_t user_base_set(enum user_base which, uaddr_t value)
{
	struct thread *self = current_thread();

	if (value >= USER_END)
		return -EPERM;
	uint64_t irq = irq_save();
	save_bases(&self->arch);
	*(which == USER_BASE_FS ? &self->arch.fs_base : &self->arch.gs_base) = value;
	load_bases(&self->arch);
	irq_restore(irq);
	return 0;
}

uaddr_t user_base_get(enum user_base which)
{
	struct arch_thread now;
	uint64_t irq = irq_save();

	save_bases(&now);
	irq_restore(irq);
	return which == USER_BASE_FS ? now.fs_base : now.gs_base;
}

uint64_t user_hwcap(void)
{
	uint32_t r[4];

	cpuid(1, 0, r);
	return r[3];
}

uint64_t user_hwcap2(void)
{
	enum { HWCAP2_FSGSBASE = 2 }; /* the ABI's */

	return cpu_features.fsgsbase ? HWCAP2_FSGSBASE : 0;
}

const char *user_platform(void)
{
	return "x86_64";
}

bool user_hw_random(uint64_t *out)
{
	bool ok = false;

	/* Intel's advice: ten tries, then give up. */
	for (int i = 0; i < 10 && !ok && cpu_features.rdrand; i++)
		__asm__ volatile("rdrand %0" : "=r"(*out), "=@ccc"(ok));
	return ok;
}
