/*
 * switch.S - from one kernel stack to another.
 */
#include "machine/asm.h"

	.text
/* void switch_stacks(uint64_t *save_rsp, uint64_t next_rsp): what the C calling convention keeps goes on the old stack; the rest the caller does not expect
 * to survive. arch_thread_init lays out new stacks to match. */
FUNCTION switch_stacks
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
END switch_stacks

#ifdef CONFIG_TEST
/* bool trap_expect_call(void (*fn)(void *), void *arg, uint64_t *rsp): see trap_expect.c. */
FUNCTION trap_expect_call
	pushq %rbp
	movq %rsp, %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	subq $8, %rsp
	movq %rsp, (%rdx)
	movq %rdi, %rax
	movq %rsi, %rdi
	call *%rax
	xorl %eax, %eax
1:	addq $8, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.globl trap_expect_resume
trap_expect_resume:
	movl $1, %eax
	jmp 1b
END trap_expect_call
#endif

	.section .note.GNU-stack, "", @progbits
