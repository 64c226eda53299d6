#pragma once
/*
 * asm.h - macros of the assembly files.
 */
#ifdef __ASSEMBLER__
/* STAC and CLAC, or a NOP of the same length on a CPU without SMAP: smap_patch() rewrites the places that are listed. */
.macro SMAP_OPEN
661:	stac
	.pushsection .smap_sites, "a"
	.long 661b - .
	.popsection
.endm
.macro SMAP_CLOSE
661:	clac
	.pushsection .smap_sites, "a"
	.long 661b - .
	.popsection
.endm

/* If the access to user memory at `insn` cannot be done, execution goes on at `fixup`. See extable.h. */
.macro EXTABLE insn, fixup
	.pushsection .extable, "a"
	.balign 4
	.long \insn - ., \fixup - .
	.popsection
.endm

.macro FUNCTION name
	.globl \name
	.type \name, @function
	.balign 16
\name:
.endm
.macro END name
	.size \name, . - \name
.endm

/* The registers of a struct trap_frame below the vector: see machine/trap.h. */
.macro PUSH_REGISTERS
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
.endm
.macro POP_REGISTERS
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rax
	popq %rcx
	popq %rdx
	popq %rsi
	popq %rdi
.endm
#endif
