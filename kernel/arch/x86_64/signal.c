/*
 * signal.c - signal frames: what a handler finds on its stack, and the way back.
 *
 *	pretcode     the restorer: where the handler returns to; it calls rt_sigreturn
 *	ucontext     registers, mask, alternate stack
 *	siginfo
 *	...          up to 64 bytes of alignment
 *	FPU state    as XSAVE wrote it, with a note in its software bytes of how much it is, and a magic number at its end
 *
 * All of this is the ABI's, byte by byte: unwinders, debuggers and language runtimes read and change it. What
 * comes back is what user code wants it to be, so registers are forced to be user ones (user_frame_sanitize),
 * and an FPU state is copied first, then checked, then loaded: it cannot change in between, and nothing that
 * faults is ever loaded.
 */
#include "arch/user.h"
#include "arch/usercopy.h"
#include "kern/cpu.h"
#include "kern/thread.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "machine/desc.h"
#include "machine/fpu.h"
#include "machine/thread.h"

enum {
	RED_ZONE = 128,
	FXSAVE_SIZE = 512,
	XSTATE_MIN = FXSAVE_SIZE + 64,
	SW_OFFSET = 464, /* of the software bytes in the state */
	XSTATE_MAGIC1 = 0x46505853,
	XSTATE_MAGIC2 = 0x46505845,
	XFEATURES_FPSSE = 3,
	SYSCALL_SIZE = 2, /* of the instruction */
	UC_FP_XSTATE = 1,
	UC_SIGCONTEXT_SS = 2,
	UC_STRICT_RESTORE_SS = 4,
};

struct sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uaddr_t fpstate;
	uint64_t reserved[8];
};
struct ucontext {
	uint64_t flags;
	uaddr_t link;
	struct user_altstack stack;
	struct sigcontext mcontext;
	uint64_t mask;
};
struct signal_frame {
	uaddr_t pretcode;
	struct ucontext uc;
	struct signal_info info;
	uint8_t info_rest[128 - sizeof(struct signal_info)];
};
struct xstate_note {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, padding[7];
};
_Static_assert(sizeof(struct sigcontext) == 256 && sizeof(struct ucontext) == 304, "the ABI");
_Static_assert(sizeof(struct signal_frame) == 440 && sizeof(struct xstate_note) == 48, "the ABI");

bool user_on_altstack(const struct user_altstack *s, uaddr_t sp)
{
	return !((uint32_t)s->flags & SS_AUTODISARM) && sp > s->sp && sp - s->sp <= s->size;
}

/* ------------------------------------------------------------------ FPU state */

static size_t state_size_on_stack(void)
{
	return fpu_size() + (fpu_components() ? sizeof(uint32_t) : 0);
}

/* Write the note and the magic number that tell how much of a state there is. */
static err_t put_note(uaddr_t to)
{
	static const uint32_t magic2 = XSTATE_MAGIC2;
	struct xstate_note note = {.magic1 = XSTATE_MAGIC1,
	    .extended_size = (uint32_t)state_size_on_stack(),
	    .xfeatures = fpu_components(),
	    .xstate_size = (uint32_t)fpu_size()};
	err_t err = copy_to_user(to + SW_OFFSET, &note, sizeof(note));

	return err ? err : copy_to_user(to + fpu_size(), &magic2, sizeof(magic2));
}

/* The current thread's state, with x87 and SSE marked as in use. Preemption in between saves the same values
 * again. */
static err_t put_fpu(uaddr_t to)
{
	struct fpu_area *area = current_thread()->arch.fpu;
	uint64_t irq = irq_save();

	fpu_save_all(area);
	fpu_select(area, fpu_components(), XFEATURES_FPSSE);
	fpu_load(area);
	irq_restore(irq);
	err_t err = copy_to_user(to, area, fpu_size());
	return err || !fpu_components() ? err : put_note(to);
}

/* Which components the state at `from` has, and how long it is: what cannot be believed is taken for x87 and
 * SSE alone. */
static err_t get_note(uaddr_t from, uint64_t *components, size_t *size)
{
	struct xstate_note note;
	uint32_t magic2;

	*components = XFEATURES_FPSSE;
	*size = FXSAVE_SIZE;
	if (copy_from_user(&note, from + SW_OFFSET, sizeof(note)))
		return -EFAULT;
	if (!fpu_components() || note.magic1 != XSTATE_MAGIC1 || note.xstate_size < XSTATE_MIN ||
	    note.xstate_size > fpu_size() || note.xstate_size > note.extended_size)
		return 0;
	if (copy_from_user(&magic2, from + note.xstate_size, sizeof(magic2)))
		return -EFAULT;
	if (magic2 == XSTATE_MAGIC2) {
		*components = note.xfeatures & fpu_components();
		*size = note.xstate_size;
	}
	return 0;
}

/* 0: there is no state, which means a fresh one. The registers are the state that counts: the thread's area
 * follows at the next switch. */
static err_t get_fpu(uaddr_t from)
{
	uint8_t state[FPU_SIZE_MAX] ALIGNED(64);
	struct fpu_area *area = (struct fpu_area *)state;
	uint64_t components;
	size_t size;

	if (!from) {
		fpu_load_initial();
		return 0;
	}
	if (get_note(from, &components, &size))
		return -EFAULT;
	if (size < fpu_size())
		fpu_reset(area);
	if (copy_from_user(state, from, size))
		return -EFAULT;
	if (size == FXSAVE_SIZE)
		fpu_select(area, 0, XFEATURES_FPSSE & fpu_components());
	if (!fpu_is_valid(area))
		return -EFAULT;
	fpu_select(area, components, 0);
	fpu_load(area);
	return 0;
}

int user_fpu_fault_code(bool simd)
{
	enum { FPE_INTDIV = 1, FPE_INTOVF, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV };
	unsigned e = fpu_exceptions(simd);

	if (e & 1)
		return FPE_FLTINV;
	if (e & 4)
		return FPE_FLTDIV;
	if (e & 8)
		return FPE_FLTOVF;
	if (e & 0x12) /* underflow, denormal operand */
		return FPE_FLTUND;
	return e & 0x20 ? FPE_FLTRES : 0;
}

/* ------------------------------------------------------------------ to the handler */

/* Where the frame and the state go. False: the alternate stack is too small. */
static bool place_frame(
    const struct trap_frame *f, const struct user_signal *s, uaddr_t *frame, uaddr_t *state)
{
	bool on = user_on_altstack(&s->altstack, f->rsp), enter = false;
	uaddr_t sp = f->rsp - RED_ZONE;

	if (s->on_altstack && !on && s->altstack.size) {
		sp = s->altstack.sp + s->altstack.size;
		enter = true;
	}
	*state = ALIGN_DOWN(sp - state_size_on_stack(), 64UL);
	*frame = ALIGN_DOWN(*state - sizeof(struct signal_frame), 16UL) - 8; /* as after a call */
	/* An alternate stack that disarms itself is one all the same while it is entered. */
	return !(on || enter) || (*frame > s->altstack.sp && *frame - s->altstack.sp <= s->altstack.size);
}

uint64_t user_min_signal_stack(void)
{
	/* What place_frame takes, with the most that alignment may cost. */
	uint64_t most = RED_ZONE + state_size_on_stack() + 63 + sizeof(struct signal_frame) + 15 + 8;

	return ALIGN_UP(most, 16ULL);
}

static void fill_context(struct sigcontext *c, const struct trap_frame *f, const struct user_signal *s)
{
	*c = (struct sigcontext){.r8 = f->r8,
	    .r9 = f->r9,
	    .r10 = f->r10,
	    .r11 = f->r11,
	    .r12 = f->r12,
	    .r13 = f->r13,
	    .r14 = f->r14,
	    .r15 = f->r15,
	    .rdi = f->rdi,
	    .rsi = f->rsi,
	    .rbp = f->rbp,
	    .rbx = f->rbx,
	    .rdx = f->rdx,
	    .rax = f->rax,
	    .rcx = f->rcx,
	    .rsp = f->rsp,
	    .rip = f->rip,
	    .rflags = f->rflags,
	    .cs = (uint16_t)f->cs,
	    .ss = (uint16_t)f->ss,
	    .err = s->fault.error,
	    .trapno = s->fault.vector,
	    .oldmask = s->mask,
	    .cr2 = s->fault.addr};
}

err_t user_signal_push(struct trap_frame *f, const struct user_signal *s)
{
	struct signal_frame frame = {.pretcode = s->restorer,
	    .uc = {.flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (fpu_components() ? UC_FP_XSTATE : 0),
		.stack = s->altstack,
		.mask = s->mask},
	    .info = s->info};
	size_t size = s->with_info ? sizeof(frame) : offsetof(struct signal_frame, info);
	uaddr_t at, state;

	if (!s->restorer || !place_frame(f, s, &at, &state))
		return -EFAULT;
	fill_context(&frame.uc.mcontext, f, s);
	frame.uc.mcontext.fpstate = state;
	if (put_fpu(state) || copy_to_user(at, &frame, size))
		return -EFAULT;
	fpu_load_initial();
	f->rdi = (uint64_t)s->info.signo;
	f->rsi = at + offsetof(struct signal_frame, info);
	f->rdx = at + offsetof(struct signal_frame, uc);
	f->rax = 0;
	f->rsp = at;
	f->rip = s->handler;
	f->rflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
	f->cs = SEL_USER_CODE;
	f->ss = SEL_USER_DATA;
	user_frame_forget_call(f);
	return 0;
}

/* ------------------------------------------------------------------ and back */

static void load_context(struct trap_frame *f, const struct sigcontext *c)
{
	*f = (struct trap_frame){.r8 = c->r8,
	    .r9 = c->r9,
	    .r10 = c->r10,
	    .r11 = c->r11,
	    .r12 = c->r12,
	    .r13 = c->r13,
	    .r14 = c->r14,
	    .r15 = c->r15,
	    .rdi = c->rdi,
	    .rsi = c->rsi,
	    .rbp = c->rbp,
	    .rbx = c->rbx,
	    .rdx = c->rdx,
	    .rax = c->rax,
	    .rcx = c->rcx,
	    .rsp = c->rsp,
	    .rip = c->rip,
	    .rflags = c->rflags};
}

/* User code may change the segments of its context only to what it has anyway. */
static bool segments_are_valid(const struct sigcontext *c)
{
	return (c->cs | 3) == SEL_USER_CODE && (c->ss | 3) == SEL_USER_DATA;
}

err_t user_signal_pop(struct trap_frame *f, uint64_t *mask, struct user_altstack *altstack)
{
	struct ucontext uc;
	uaddr_t at = f->rsp - sizeof(uaddr_t); /* the return address is gone */

	if (copy_from_user(&uc, at + offsetof(struct signal_frame, uc), sizeof(uc)))
		return -EFAULT;
	if (!segments_are_valid(&uc.mcontext) || get_fpu(uc.mcontext.fpstate))
		return -EFAULT;
	load_context(f, &uc.mcontext);
	(void)user_frame_sanitize(f); /* an address beyond user space: the thread faults there */
	user_frame_forget_call(f);
	*mask = uc.mask;
	*altstack = uc.stack;
	return 0;
}

/* ------------------------------------------------------------------ interrupted calls */

int64_t user_frame_call_result(const struct trap_frame *f)
{
	return f->vector == VECTOR_SYSCALL ? (int64_t)f->rax : 0;
}

void user_frame_restart_call(struct trap_frame *f, int64_t number)
{
	f->rax = number < 0 ? f->error : (uint64_t)number;
	f->rip -= SYSCALL_SIZE;
	user_frame_forget_call(f);
}

void user_frame_forget_call(struct trap_frame *f)
{
	f->vector = 0;
	f->error = 0;
}

int64_t user_frame_result(const struct trap_frame *f)
{
	return (int64_t)f->rax;
}
