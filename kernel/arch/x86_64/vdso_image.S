/* vdso_image.S - the vDSO, as the makefile has built it, in whole pages. */
	.section .rodata, "a", @progbits
	.balign 4096
	.globl vdso_image
vdso_image:
	.incbin "vdso.so"
	.globl vdso_image_end
vdso_image_end:
	.balign 4096, 0

	.section .note.GNU-stack, "", @progbits
