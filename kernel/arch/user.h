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
/* Set what a system call returns to the code that f goes back to. */
void user_frame_set_result(struct trap_frame *f, int64_t value);
uaddr_t user_frame_pc(const struct trap_frame *f);
uaddr_t user_frame_sp(const struct trap_frame *f);

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

/* TLS bases of the current thread. Setting fails with -EPERM for an address outside user space. */
enum user_base { USER_BASE_FS, USER_BASE_GS };
MUST_CHECK err_t user_base_set(enum user_base which, uaddr_t value);
uaddr_t user_base_get(enum user_base which);

/* AT_HWCAP: the CPU's feature word as the ABI defines it, and AT_PLATFORM. */
uint64_t user_hwcap(void);
const char *user_platform(void);
/* 64 bits of the processor's random source. False: it has none, or it is not ready. */
bool user_hw_random(uint64_t *out);
