#pragma once
/*
 * trap.h - the frame that every entry into the kernel leaves on the stack, and the numbers of what can enter.
 */
#define TRAP_R15    0
#define TRAP_R14    8
#define TRAP_R13    16
#define TRAP_R12    24
#define TRAP_RBP    32
#define TRAP_RBX    40
#define TRAP_R11    48
#define TRAP_R10    56
#define TRAP_R9     64
#define TRAP_R8     72
#define TRAP_RAX    80
#define TRAP_RCX    88
#define TRAP_RDX    96
#define TRAP_RSI    104
#define TRAP_RDI    112
#define TRAP_VECTOR 120
#define TRAP_ERROR  128
#define TRAP_RIP    136
#define TRAP_CS     144
#define TRAP_RFLAGS 152
#define TRAP_RSP    160
#define TRAP_SS     168
#define TRAP_SIZE   176

#define VECTOR_DEBUG         1
#define VECTOR_NMI           2
#define VECTOR_BREAKPOINT    3
#define VECTOR_INVALID       6
#define VECTOR_DOUBLE_FAULT  8
#define VECTOR_GP            13
#define VECTOR_PAGE_FAULT    14
#define VECTOR_MACHINE_CHECK 18
#define VECTOR_IRQ_FIRST     32  /* 32 ... 255 belong to the interrupt controllers */
#define VECTOR_SYSCALL       256 /* no vector of the processor: the frame comes from SYSCALL */

#ifndef __ASSEMBLER__
#include "lib/types.h"

/*
 * Registers of the interrupted code. A frame that comes from user mode lies at the very end of the thread's
 * kernel stack, complete, at user_frame(thread): whoever changes it there (fork, exec, signals) changes what
 * the thread returns to.
 */
struct trap_frame {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	uint64_t rax; /* system calls: the number on entry, the result on return */
	uint64_t rcx, rdx, rsi, rdi;
	uint64_t vector; /* VECTOR_SYSCALL, or the vector */
	uint64_t
	    error; /* hardware error code or 0; system calls: the number, for restarts, after rax got the result */
	uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(sizeof(struct trap_frame) == TRAP_SIZE, "entry.S");
_Static_assert(offsetof(struct trap_frame, rax) == TRAP_RAX, "entry.S");
_Static_assert(offsetof(struct trap_frame, vector) == TRAP_VECTOR, "entry.S");
_Static_assert(offsetof(struct trap_frame, rip) == TRAP_RIP, "entry.S");

/* The user registers of thread t (struct thread *), while it is in the kernel. */
#define user_frame(t) ((struct trap_frame *)((t)->stack_end - TRAP_SIZE))

enum page_fault_error {
	PF_PRESENT = 1 << 0,
	PF_WRITE = 1 << 1,
	PF_USER = 1 << 2,
	PF_RESERVED = 1 << 3,
	PF_FETCH = 1 << 4,
	PF_KEY = 1 << 5,
};

static inline bool trap_is_user(const struct trap_frame *f)
{
	return f->cs & 3;
}

/* Vectors 32 ... 255, interrupts disabled, this CPU's irq_depth raised. Acknowledges the controller. Defined
 * in apic.c. */
void interrupt_dispatch(struct trap_frame *f);

/* System calls: the number is f->rax, all 64 bits of it; arguments in rdi, rsi, rdx, r10, r8, r9. Interrupts
 * enabled. The result becomes the caller's rax. Defined in sys/. */
int64_t syscall_dispatch(struct trap_frame *f);
/* The same, after a check that the stack pointer (and, in the second, the program counter) is where the
 * thread's guard says: see proc/guard.c. */
int64_t syscall_dispatch_on_stack(struct trap_frame *f);
int64_t syscall_dispatch_guarded(struct trap_frame *f);
/* The same, and what is called with what result goes to the log. Which one is called is up to
 * thread.system_call. */
int64_t syscall_dispatch_traced(struct trap_frame *f);

/* The name of a processor exception, "interrupt" for vectors from 32 on. */
const char *trap_name(unsigned vector);
#endif
