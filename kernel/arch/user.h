#pragma once
/*
 * user.h - the processor side of user mode, as proc/ and sys/ see it.
 *
 * "machine/trap.h" gives struct trap_frame: the user registers of a thread that is in the kernel, as the
 * entry code saved them at the top of the thread's kernel stack, and the inline half of this contract:
 *
 *	struct trap_frame *user_frame(const struct thread *t)    where that is; valid while t is in the kernel
 * on behalf of user code
 */
#include "lib/err.h"
#include "machine/trap.h"

struct thread;

/* Registers of a program that starts: everything zero but the instruction and stack pointers; interrupts on,
 * user segments. Both addresses were checked to be user ones. */
void user_frame_start(struct trap_frame *f, uaddr_t entry, uaddr_t sp);
/* Set the stack pointer that f goes back with. */
void user_frame_set_sp(struct trap_frame *f, uaddr_t sp);
/* Set what a function that f goes to finds as its first two arguments. */
void user_frame_set_arguments(struct trap_frame *f, uint64_t first, uint64_t second);
/* Set what a system call returns to the code that f goes back to. */
void user_frame_set_result(struct trap_frame *f, int64_t value);
/* Go back to another place, and not to the call that f may have come from. */
void user_frame_set_pc(struct trap_frame *f, uaddr_t pc);
uaddr_t user_frame_pc(const struct trap_frame *f);
uaddr_t user_frame_sp(const struct trap_frame *f);
/* The frame pointer, in code that has one. */
uaddr_t user_frame_fp(const struct trap_frame *f);
/* The system call that f is in: its number and arguments. False: it is in none. */
bool user_frame_call(const struct trap_frame *f, int64_t *number, uint64_t args[6]);

/* Go to user mode with the registers of *f, which may lie anywhere in the kernel's data but at the bottom of
 * the current stack pointer. Does the exit work first. Called with interrupts enabled, on the current
 * thread's own kernel stack; the whole of the stack is free again once user code runs. */
NORETURN void user_enter(const struct trap_frame *f);

/* Give t, a NEW thread, the FPU, vector and TLS-base state that a fresh program finds. -ENOMEM. */
MUST_CHECK err_t user_state_create(struct thread *t);
/* Give `child`, a NEW thread, a copy of the current thread's FPU, vector and TLS-base state. -ENOMEM. */
MUST_CHECK err_t user_state_copy(struct thread *child);
/* Give `t`, a NEW thread that will enter user mode without being a copy (the first one), the state of a fresh
 * program. -ENOMEM. Freed by arch_thread_fini, as that of copies. */
MUST_CHECK err_t user_state_create(struct thread *t);
/* The TLS base that `child`, a NEW thread with its state, starts with. -EPERM: outside user space. */
MUST_CHECK err_t user_state_set_tls(struct thread *child, uaddr_t value);
/* Reset the current thread's FPU, vector and TLS-base state to what a fresh program finds. It has a state
 * already. */
void user_state_reset(void);

/* Make registers that user space chose (signal return) safe to go back to: user segments, interrupts on, no
 * flag that is not user space's. False: the instruction pointer is outside user space; going there anyway is
 * a general protection fault of the thread. */
bool user_frame_sanitize(struct trap_frame *f);

/* The user registers of a thread in the order of the ABI's struct user_regs_struct: what debuggers and core
 * files know. */
enum { USER_REGISTERS = 27, USER_FPU_BYTES = 512 };
/* Save the current thread's FPU, vector and TLS-base state to where the two below find it, as long as the
 * thread stays in the kernel. */
void user_state_save(void);
/* t is in the kernel and has called user_state_save. */
void user_registers(const struct thread *t, uint64_t out[USER_REGISTERS]);
/* Its FPU and vector state as XSAVE lays it out, user_extended_size() bytes (0: the processor has no XSAVE);
 * the first USER_FPU_BYTES alone are as FXSAVE's. */
size_t user_extended_size(void);
void user_fpu_state(const struct thread *t, void *out, size_t size);

/* TLS bases of the current thread. Setting fails with -EPERM for an address outside user space. */
enum user_base { USER_BASE_FS, USER_BASE_GS };
MUST_CHECK err_t user_base_set(enum user_base which, uaddr_t value);
uaddr_t user_base_get(enum user_base which);

/* AT_HWCAP: the CPU's feature word as the ABI defines it, and AT_PLATFORM. */
uint64_t user_hwcap(void);
/* AT_HWCAP2: what the kernel allows of the processor. */
uint64_t user_hwcap2(void);
/* AT_MINSIGSTKSZ: bytes that a signal takes on a stack at most. */
uint64_t user_min_signal_stack(void);
const char *user_platform(void);
/* 64 bits of the processor's random source. False: it has none, or it is not ready. */
bool user_hw_random(uint64_t *out);

/* What a process learns of a signal; the first 48 bytes of the ABI's siginfo, whose other 80 are 0. */
struct signal_info {
	int32_t signo, err, code, pad;
	union {
		struct {
			uint32_t pid, uid;
			uint64_t value; /* sigqueue; SIGCHLD: status in the low half */
			uint64_t utime, stime;
		};
		uaddr_t addr; /* faults */
		struct {
			int64_t band; /* files with O_ASYNC */
			int32_t fd;
		};
	};
};
_Static_assert(sizeof(struct signal_info) == 48, "siginfo");

/* An alternate stack, as sigaltstack tells it: struct stack_t of the ABI. */
struct user_altstack {
	uaddr_t sp;
	int32_t flags, pad;
	uint64_t size;
};
enum altstack_flags { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM 0x80000000U

/* The last trap of a thread, as signal frames tell it. */
struct user_fault {
	uint64_t vector, error, addr;
};

/* The call of a handler. */
struct user_signal {
	struct signal_info info;
	uaddr_t handler, restorer;
	bool with_info, on_altstack;   /* SA_SIGINFO, SA_ONSTACK */
	uint64_t mask;                 /* to be restored */
	struct user_altstack altstack; /* the thread's */
	struct user_fault fault;
};

/* Make *f and the FPU state those of the start of the handler, with what they were on its stack, so that
 * user_signal_pop finds it. -EFAULT: the stack cannot be written, *f is as it was. */
MUST_CHECK err_t user_signal_push(struct trap_frame *f, const struct user_signal *s);
/* Load what the frame at *f's stack pointer says. Nothing there is trusted: -EFAULT for what cannot be read
 * or loaded, and then the FPU state is as it was. */
MUST_CHECK err_t user_signal_pop(struct trap_frame *f, uint64_t *mask, struct user_altstack *altstack);
/* Is sp on this stack, in the sense of sigaltstack? */
bool user_on_altstack(const struct user_altstack *s, uaddr_t sp);
/* The signal code (si_code) of an exception of the FPU that this thread has just raised; 0: none. */
int user_fpu_fault_code(bool simd);
/* The system call that f comes from: its result, or 0 if f does not come from one (any more). */
int64_t user_frame_call_result(const struct trap_frame *f);
/* Make f start its call again, under this number (-1: its own). */
void user_frame_restart_call(struct trap_frame *f, int64_t number);
/* f does not belong to a call any more: never restart it. */
void user_frame_forget_call(struct trap_frame *f);
/* What user_frame_set_result has set, or the register that holds it. */
int64_t user_frame_result(const struct trap_frame *f);
