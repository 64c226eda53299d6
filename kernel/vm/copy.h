#pragma once
/*
 * copy.h - copies between the kernel and any space, and between two spaces: page by page through the direct
 * map, with the rights, copy-on-write and dirty marks that the hardware would have seen to redone in software
 * by vm_fault_pin.
 */
#include "vm/fault.h"

/* Copy n bytes out of / into space s. *done gets the bytes copied (a prefix). Errors as vm_fault. May sleep.
 */
MUST_CHECK err_t space_read(struct vm_space *s, void *dst, uaddr_t src, size_t n, size_t *done);
MUST_CHECK err_t space_write(struct vm_space *s, uaddr_t dst, const void *src, size_t n, size_t *done);
/* The same for a debugger: memory that the program itself may not read at present is read, and private memory
 * that it may not write gets copies. */
MUST_CHECK err_t space_peek(struct vm_space *s, void *dst, uaddr_t src, size_t n, size_t *done);
MUST_CHECK err_t space_poke(struct vm_space *s, uaddr_t dst, const void *src, size_t n, size_t *done);

enum copy_side { COPY_OK, COPY_SRC_FAULT, COPY_DST_FAULT };
/* Copy n bytes between two spaces (which may be the same; ranges may overlap: then as memmove page by page in
 * ascending order). *side says which side faulted; the byte is src/dst + *done. */
MUST_CHECK err_t space_copy(struct vm_space *dst_space, uaddr_t dst, struct vm_space *src_space, uaddr_t src,
    size_t n, size_t *done, enum copy_side *side);
