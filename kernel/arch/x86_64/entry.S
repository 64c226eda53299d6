/*
 * entry.S - every way into the kernel and out of it again.
 *
 *	trap_stubs      256 gates. A stub makes the stack regular (error code, vector) and goes to one of three entries:
 *	from user       SWAPGS, the frame lies at the end of the thread's kernel stack, trap_user() in C, then return_to_user
 *	from kernel     the frame lies on the interrupted stack, trap_kernel() in C, then straight back
 *	paranoid        NMI, double fault, machine check, and debug traps taken in the kernel come on stacks of their own, at any instruction, also between SYSCALL and
 *	                SWAPGS. Neither the saved CS nor the value of GS tells whose GS it is: where FSGSBASE is on, user code sets GS to what it likes. So the old base is
 *	                read and kept in a register, the CPU's record is found at the end of the interrupt stack, and the old base is put back at the end
 *	system_call     SYSCALL: no stack yet, no register to spare; two words of the CPU's record help. The thread says what is called: syscall_dispatch,
 *	                or the one that traces, which so costs nothing where it is not wanted
 *
 * return_to_user is the one way out: interrupts off, is there exit work, no, registers, SWAPGS, out. A return address beyond user space never reaches IRET or
 * SYSRET: either would fault in ring 0 with the user's GS.
 *
 * Interrupt gates and FMASK turn interrupts off on entry; CLD and CLAC are done here because gates leave DF and AC as user code had them.
 */
#include "machine/asm.h"
#include "machine/desc.h"
#include "machine/percpu.h"
#include "machine/thread.h"
#include "machine/trap.h"

#define RFLAGS_TF_RF 0x10100
#define MSR_GS_BASE  0xc0000101

/*
 * Time in user mode: from the last instructions before it to the first ones after it, on the cycle counter, which both read on the same CPU. Taking the counter off
 * first and adding it afterwards leaves the difference added, and needs one word for both. What a thread uses of the CPU otherwise is the kernel's. Both clobber rax and rdx; the first leaves the current
 * thread in rcx, the second takes it there.
 */
	.macro READ_CYCLES
	rdtsc
	shlq $32, %rdx
	orq %rdx, %rax
	.endm
	.macro USER_TIME_ENDS
	READ_CYCLES
	movq %gs:PERCPU_CURRENT, %rcx
	addq %rax, THREAD_USER_CYCLES(%rcx)
	.endm
	.macro USER_TIME_BEGINS
	READ_CYCLES
	subq %rax, THREAD_USER_CYCLES(%rcx)
	.endm

	.section .text.entry, "ax"

/* Stack: vector, error, rip, cs, rflags, rsp, ss. */
trap_entry:
	testb $3, 24(%rsp)
	jz trap_entry_kernel
	swapgs
trap_entry_user:
	SMAP_CLOSE
	cld
	PUSH_REGISTERS
	USER_TIME_ENDS
	xorl %ebp, %ebp /* backtraces end here */
	movq %rsp, %rdi
	call trap_user

FUNCTION return_to_user
	cli
	movq %gs:PERCPU_CURRENT, %rcx
	cmpl $0, %gs:PERCPU_NEED_RESCHED
	jne 1f
	testl $THREAD_EXIT_WORK_BITS, THREAD_FLAGS(%rcx)
	jne 1f
	movq TRAP_RIP(%rsp), %rax
	shrq $47, %rax
	jnz 2f
	USER_TIME_BEGINS
	POP_REGISTERS
	addq $16, %rsp
	swapgs
	iretq
1:	call upcall_exit_work
	jmp return_to_user
2:	movq %rsp, %rdi
	call user_frame_refuse
	jmp return_to_user
END return_to_user

trap_entry_kernel:
	SMAP_CLOSE
	cld
	PUSH_REGISTERS
	movq %rsp, %rdi
	/* A frame that says where the exception came from, for backtraces. */
	pushq TRAP_RIP(%rsp)
	pushq %rbp
	movq %rsp, %rbp
	call trap_kernel
	addq $16, %rsp
	POP_REGISTERS
	addq $16, %rsp
	iretq

/* A debug trap comes on an interrupt stack, but one from user mode may sleep: move it to the thread's stack. */
trap_entry_debug:
	testb $3, 24(%rsp)
	jz trap_entry_paranoid
	swapgs
	pushq %rax
	movq %rsp, %rax
	movq %gs:PERCPU_KERNEL_RSP, %rsp
	pushq 56(%rax)
	pushq 48(%rax)
	pushq 40(%rax)
	pushq 32(%rax)
	pushq 24(%rax)
	pushq 16(%rax)
	pushq 8(%rax)
	movq (%rax), %rax
	jmp trap_entry_user

trap_entry_paranoid:
	SMAP_CLOSE
	cld
	PUSH_REGISTERS
	movl $MSR_GS_BASE, %ecx
	rdmsr
	movl %eax, %ebx
	movl %edx, %r12d
	/* cpu_prepare left the CPU's record in the last word of the stack; this is its last page. */
	movq %rsp, %rax
	orq $4095, %rax
	movq -7(%rax), %rax
	movq %rax, %rdx
	shrq $32, %rdx
	wrmsr
	movq %rsp, %rdi
	call trap_paranoid
	movl $MSR_GS_BASE, %ecx
	movl %ebx, %eax
	movl %r12d, %edx
	wrmsr
	POP_REGISTERS
	addq $16, %rsp
	iretq

/* FMASK cleared IF, DF, TF, AC, NT, IOPL and RF. RCX has the return address, R11 the flags. */
FUNCTION system_call
	swapgs
	movq %rsp, %gs:PERCPU_USER_RSP
	movq %gs:PERCPU_KERNEL_RSP, %rsp
	pushq $SEL_USER_DATA
	pushq %gs:PERCPU_USER_RSP
	pushq %r11
	pushq $SEL_USER_CODE
	pushq %rcx
	pushq %rax
	pushq $VECTOR_SYSCALL
	PUSH_REGISTERS
	USER_TIME_ENDS
	sti
	xorl %ebp, %ebp
	movq %rsp, %rdi
	call *THREAD_SYSTEM_CALL(%rcx) /* rcx: PERCPU_CURRENT, from USER_TIME_ENDS */
	movq %rax, TRAP_RAX(%rsp)
	cli
	movq %gs:PERCPU_CURRENT, %rcx
	cmpl $0, %gs:PERCPU_NEED_RESCHED
	jne return_to_user
	testl $THREAD_EXIT_WORK_BITS, THREAD_FLAGS(%rcx)
	jne return_to_user
	/* SYSRET loads RIP from RCX and the flags from R11: both must say what the frame says, or the frame was changed. It also must not see a return address
	 * beyond user space, and loads TF and RF in ways of its own. */
	movq TRAP_RIP(%rsp), %rax
	cmpq TRAP_RCX(%rsp), %rax
	jne return_to_user
	shrq $47, %rax
	jnz return_to_user
	movq TRAP_RFLAGS(%rsp), %rax
	cmpq TRAP_R11(%rsp), %rax
	jne return_to_user
	testl $RFLAGS_TF_RF, %eax
	jnz return_to_user
	USER_TIME_BEGINS
	POP_REGISTERS
	movq TRAP_RSP - TRAP_VECTOR(%rsp), %rsp
	swapgs
	sysretq
END system_call

/* void user_enter_at(const struct trap_frame *f, struct trap_frame *to): copy *f to the end of the stack and leave through it. The frame may overlap the place, which
 * lies higher: copy from the end. Nothing of the old stack is needed any more. */
FUNCTION user_enter_at
	cli
	movl $TRAP_SIZE - 8, %ecx
1:	movq (%rdi, %rcx), %rax
	movq %rax, (%rsi, %rcx)
	subl $8, %ecx
	jns 1b
	movq %rsi, %rsp
	xorl %ebp, %ebp
	jmp return_to_user
END user_enter_at

	.macro STUB vector, entry
	.balign 8
stub_\vector:
	/* These push an error code themselves: AMD64 manual volume 2, 8.2. */
	.if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21 || \vector == 29 || \vector == 30)
	pushq $0
	.endif
	pushq $\vector
	jmp \entry
	.pushsection .rodata
	.quad stub_\vector
	.popsection
	.endm

	.pushsection .rodata
	.balign 8
	.globl trap_stubs
trap_stubs:
	.popsection
	.altmacro
	.set v, 0
	.rept 256
	.if v == VECTOR_DEBUG
	STUB %v, trap_entry_debug
	.elseif v == VECTOR_NMI || v == VECTOR_DOUBLE_FAULT || v == VECTOR_MACHINE_CHECK
	STUB %v, trap_entry_paranoid
	.else
	STUB %v, trap_entry
	.endif
	.set v, v + 1
	.endr
	.noaltmacro

	.section .note.GNU-stack, "", @progbits
