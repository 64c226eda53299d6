/*
 * ap_start.S - the first instructions of every CPU but the boot CPU.
 *
 * smp.c copies this to a page below 1 MiB, fills in the data behind it (ap_start.h), and sends a start-up interrupt that names the page. The CPU arrives in
 * real mode with CS = page / 16, IP = 0. It takes a number, while that cannot hurt anybody: a CPU that comes when it is not expected any more stops here,
 * before it touches a stack or page tables that are not its own. Then to 64-bit mode on the kernel's root, where this page is mapped at its physical address, and on to C.
 */
#include "arch/x86_64/ap_start.h"

#define MSR_EFER 0xc0000080
#define CR0_PE   0x1
#define CR0_LONG 0x80010031 /* PG WP NE ET PE */
#define CR4_PAE  0x20

	.section .rodata, "a"
	.balign 16
	.globl ap_code, ap_code32, ap_code64, ap_code_end
	.code16
ap_code:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	movl $1, %edi
	lock xaddl %edi, AP_TICKET
	cmpl AP_LIMIT, %edi
	jb 1f
0:	hlt
	jmp 0b
1:	xorl %ebx, %ebx
	movw %cs, %bx
	shll $4, %ebx
	lgdtl AP_GDTR
	movl %cr0, %eax
	orl $CR0_PE, %eax
	movl %eax, %cr0
	ljmpl *AP_JUMP32

	.code32
ap_code32:
	movl $AP_SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl AP_CR3(%ebx), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	movl AP_EFER(%ebx), %eax
	xorl %edx, %edx
	wrmsr
	movl $CR0_LONG, %eax
	movl %eax, %cr0
	ljmpl *AP_JUMP64(%ebx)

	.code64
ap_code64:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %ebx, %ebx
	movl %edi, %edi
	movq AP_STACKS(%rbx), %rax
	movq (%rax, %rdi, 8), %rsp
	xorl %ebp, %ebp
	pushq %rbp /* backtraces end here */
	pushq %rbp
	movq %rsp, %rbp
	movq AP_ENTRY(%rbx), %rax
	call *%rax
	ud2
ap_code_end:

	.section .note.GNU-stack, "", @progbits
