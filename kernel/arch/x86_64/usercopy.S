/*
 * usercopy.S - the only instructions of the kernel that touch user memory, and the table of where to go if they cannot.
 *
 * All: interrupts enabled, DF clear, ranges confined to user space by usercopy.c. Each returns the number of bytes not done. Whole words go first; where a word faults,
 * the bytes of it that can be done still are, so that the result is exact to the byte.
 */
#include "machine/asm.h"

	.text
/* size_t usercopy_bytes(void *dst, const void *src, size_t n): either side may be the user's. */
FUNCTION usercopy_bytes
	movq %rdx, %rcx
	shrq $3, %rcx
	andl $7, %edx
	SMAP_OPEN
1:	rep movsq
	movl %edx, %ecx
2:	rep movsb
3:	SMAP_CLOSE
	movq %rcx, %rax
	ret
/* RCX words and RDX bytes are left. */
4:	leaq (%rdx, %rcx, 8), %rcx
	jmp 2b
	EXTABLE 1b, 4b
	EXTABLE 2b, 3b
END usercopy_bytes

/* size_t usercopy_zero(void *dst, size_t n) */
FUNCTION usercopy_zero
	movq %rsi, %rcx
	shrq $3, %rcx
	andl $7, %esi
	xorl %eax, %eax
	SMAP_OPEN
1:	rep stosq
	movl %esi, %ecx
2:	rep stosb
3:	SMAP_CLOSE
	movq %rcx, %rax
	ret
4:	leaq (%rsi, %rcx, 8), %rcx
	jmp 2b
	EXTABLE 1b, 4b
	EXTABLE 2b, 3b
END usercopy_zero

/* int64_t usercopy_string(char *dst, const char *src, size_t n): copy up to and with the terminator. Returns the length without it, -1 after a fault, -2 if n bytes have
 * no terminator. */
FUNCTION usercopy_string
	xorl %eax, %eax
	SMAP_OPEN
1:	cmpq %rdx, %rax
	je 4f
2:	movb (%rsi, %rax), %cl
	movb %cl, (%rdi, %rax)
	testb %cl, %cl
	jz 3f
	incq %rax
	jmp 1b
3:	SMAP_CLOSE
	ret
4:	movq $-2, %rax
	jmp 3b
5:	movq $-1, %rax
	jmp 3b
	EXTABLE 2b, 5b
END usercopy_string

/* int usercopy_read32(const uint32_t *addr, uint32_t *out): 0, or -1 after a fault. */
FUNCTION usercopy_read32
	SMAP_OPEN
1:	movl (%rdi), %eax
	SMAP_CLOSE
	movl %eax, (%rsi)
	xorl %eax, %eax
	ret
2:	SMAP_CLOSE
	movl $-1, %eax
	ret
	EXTABLE 1b, 2b
END usercopy_read32

/* int usercopy_cas32(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *seen): 0, or -1 after a fault. */
FUNCTION usercopy_cas32
	movl %esi, %eax
	SMAP_OPEN
1:	lock cmpxchgl %edx, (%rdi)
	SMAP_CLOSE
	movl %eax, (%rcx)
	xorl %eax, %eax
	ret
2:	SMAP_CLOSE
	movl $-1, %eax
	ret
	EXTABLE 1b, 2b
END usercopy_cas32

/* bool kernel_peek(vaddr_t va, uint64_t *out): read a word of kernel memory that may not be there, for backtraces. Not in the table: that one is for user addresses only;
 * trap.c knows this instruction by name. */
FUNCTION kernel_peek
	.globl kernel_peek_insn, kernel_peek_fixup
kernel_peek_insn:
	movq (%rdi), %rax
	movq %rax, (%rsi)
	movl $1, %eax
	ret
kernel_peek_fixup:
	xorl %eax, %eax
	ret
END kernel_peek

	.section .note.GNU-stack, "", @progbits
