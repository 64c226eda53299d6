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

	.section .note.GNU-stack, "", @progbits
