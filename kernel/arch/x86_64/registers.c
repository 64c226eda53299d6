/* registers.c - what debuggers see of a thread's registers. Layouts: the ABI's struct user_regs_struct, and
 * XSAVE's (Intel SDM volume 1, 13.4). */
#include "arch/user.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "machine/fpu.h"

enum {
	XCR0_OFFSET = 464,
	NO_CALL = -1
}; /* of the FXSAVE image's bytes for software, the first word says which components there are */

void user_state_save(void)
{
	struct thread *self = current_thread();
	uint64_t irq = irq_save();

	/* A switch that comes later writes the same values again. */
	fpu_save_all(self->arch.fpu);
	irq_restore(irq);
	self->arch.fs_base = user_base_get(USER_BASE_FS);
	self->arch.gs_base = user_base_get(USER_BASE_GS);
}

void user_registers(const struct thread *t, uint64_t out[USER_REGISTERS])
{
	const struct trap_frame *f = user_frame(t);
	bool in_call = f->vector == VECTOR_SYSCALL;
	const uint64_t all[USER_REGISTERS] = {f->r15, f->r14, f->r13, f->r12, f->rbp, f->rbx, f->r11, f->r10,
	    f->r9, f->r8, f->rax, f->rcx, f->rdx, f->rsi, f->rdi, in_call ? f->error : (uint64_t)NO_CALL,
	    f->rip, f->cs, f->rflags, f->rsp, f->ss, t->arch.fs_base, t->arch.gs_base};

	memcpy(out, all, sizeof(all)); /* the last four, selectors that 64-bit code does not use, are 0 */
}

size_t user_extended_size(void)
{
	return fpu_components() ? fpu_size() : 0;
}

void user_fpu_state(const struct thread *t, void *out, size_t size)
{
	uint64_t components = fpu_components();

	memcpy(out, t->arch.fpu, size);
	if (size > USER_FPU_BYTES)
		memcpy((char *)out + XCR0_OFFSET, &components, sizeof(components));
}
