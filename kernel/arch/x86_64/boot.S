/*
 * boot.S - from the boot loader to C.
 *
 * Both protocols enter start32 in 32-bit protected mode without paging, interrupts disabled, flat segments, EBX pointing to the loader's information:
 * PVH (Xen's HVM direct boot ABI: EBX -> hvm_start_info, EAX undefined) and Multiboot2 (EAX = 0x36d76289). Nothing else is assumed: the stack, the GDT and the
 * zeroed .bss are our own.
 *
 * The first page tables live in .bss: 4 GiB of 2 MiB pages, seen through three windows: identity (for this code), the direct map (for the C code that reads the
 * loader's data), and the kernel image at KERNEL_BASE. They are all writable and executable; early_mmu.c replaces them before anything but boot code runs.
 */
#include "machine/desc.h"

#define PHYS(sym) ((sym) - KERNEL_BASE)
#define CPUID_LONG_MODE (1 << 29)
#define CPUID_NX        (1 << 20)
#define MSR_EFER        0xc0000080
#define MSR_GS_BASE     0xc0000101
#define EFER_LME        (1 << 8)
#define EFER_NXE        (1 << 11)
#define CR0_PE_WP_PG    0x80010001
#define CR0_CLEAR       0x6000000c /* CD NW TS EM */
#define CR4_PAE         (1 << 5)
#define PTE_PRESENT_WRITE 3
#define PTE_LARGE       0x83
#define BOOT_STACK_SIZE 0x4000

	.section .boot.header, "a"
	.balign 8
multiboot2_header:
	.long 0xe85250d6, 0, multiboot2_end - multiboot2_header
	.long -(0xe85250d6 + 0 + (multiboot2_end - multiboot2_header))
	.short 5, 1 /* framebuffer wanted, optional: 1024 x 768 x 32 */
	.long 20, 1024, 768, 32
	.balign 8
	.short 6, 1 /* modules on page boundaries, optional */
	.long 8
	.balign 8
	.short 0, 0
	.long 8
multiboot2_end:

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start32

	.section .boot, "ax"
	.code32
	.globl start32
start32:
	cli
	cld
	movl %eax, %ebp /* the magic; EBX stays as it is */
	/* Zero .bss, the stack and the page tables in it included. */
	movl $PHYS(bss_start), %edi
	movl $PHYS(kernel_end), %ecx
	subl %edi, %ecx
	shrl $2, %ecx
	xorl %eax, %eax
	rep stosl
	movl $PHYS(boot_stack_end), %esp
	pushl $0
	popfl

	movl %ebx, %esi
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb no_long_mode
	movl $0x80000001, %eax
	cpuid
	testl $CPUID_LONG_MODE, %edx
	jz no_long_mode
	movl %edx, %edi /* NX is looked at below */
	movl %esi, %ebx

	/* Four page directories that follow one another map [0, 4 GiB). */
	xorl %ecx, %ecx
	movl $PTE_LARGE, %eax
1:	movl %eax, PHYS(early_pd)(, %ecx, 8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jb 1b
	movl $PHYS(early_pd) + PTE_PRESENT_WRITE, %eax
	movl %eax, PHYS(early_pdpt)
	movl %eax, PHYS(early_pdpt_high) + 510 * 8
	addl $0x1000, %eax
	movl %eax, PHYS(early_pdpt) + 8
	addl $0x1000, %eax
	movl %eax, PHYS(early_pdpt) + 16
	addl $0x1000, %eax
	movl %eax, PHYS(early_pdpt) + 24
	movl $PHYS(early_pdpt) + PTE_PRESENT_WRITE, %eax
	movl %eax, PHYS(early_pml4)
	movl %eax, PHYS(early_pml4) + 256 * 8
	movl $PHYS(early_pdpt_high) + PTE_PRESENT_WRITE, PHYS(early_pml4) + 511 * 8

	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYS(early_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	movl %edi, %esi
	rdmsr
	orl $EFER_LME, %eax
	testl $CPUID_NX, %esi
	jz 2f
	orl $EFER_NXE, %eax
2:	wrmsr
	movl %cr0, %eax
	andl $~CR0_CLEAR, %eax
	orl $CR0_PE_WP_PG, %eax
	movl %eax, %cr0
	lgdt boot_gdt_pointer
	ljmp $SEL_KERNEL_CODE, $start64_low

no_long_mode:
	movl $no_long_mode_text, %esi
	movw $0x3f8, %dx
3:	lodsb
	outb %al, %dx
	testb %al, %al
	jnz 3b
4:	hlt
	jmp 4b
no_long_mode_text:
	.asciz "quire: this processor has no 64-bit mode\r\n"

	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9a000000ffff
	.quad 0x00cf92000000ffff
boot_gdt_pointer:
	.short . - boot_gdt - 1
	.long boot_gdt

	.code64
start64_low:
	movabsq $start64, %rax
	jmp *%rax

	.section .text.entry, "ax"
start64:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl $SEL_KERNEL_DATA, %eax
	movl %eax, %ss
	movq $boot_stack_end, %rsp
	/* GS -> the record of the boot CPU, whose self pointer this_cpu() reads. */
	movq $cpus, %rax
	movq %rax, (%rax)
	movq %rax, %rdx
	shrq $32, %rdx
	movl $MSR_GS_BASE, %ecx
	wrmsr
	movl %ebp, %edi
	movl %ebx, %esi
	xorl %ebp, %ebp /* backtraces end here */
	pushq %rbp
	pushq %rbp
	movq %rsp, %rbp
	call boot_main
	ud2

	/* Static stacks: a page that early_mmu.c leaves out, the boot stack, such a page, then for each slot of the interrupt stack table a stack and such a page. */
	.section .bss.guarded, "aw", @nobits
	.balign 4096
	.globl boot_guarded, boot_stack, boot_stack_end, boot_ist_stacks, boot_guarded_end
boot_guarded:
	.skip 4096
boot_stack:
	.skip BOOT_STACK_SIZE
boot_stack_end:
	.skip 4096
boot_ist_stacks:
	.rept IST_COUNT
	.skip IST_STACK_SIZE + 4096
	.endr
boot_guarded_end:

	.section .bss, "aw", @nobits
	.balign 4096
	.globl early_pml4
early_pml4:
	.skip 4096
early_pdpt:
	.skip 4096
early_pdpt_high:
	.skip 4096
early_pd:
	.skip 4 * 4096

	.section .note.GNU-stack, "", @progbits
