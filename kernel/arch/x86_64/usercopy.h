#pragma once
/* usercopy.h - the functions of usercopy.S; see there. Pointers to user memory end here: nobody else makes
 * them. */
#include "lib/types.h"
#include "machine/peek.h"

enum { USERCOPY_UNTERMINATED = -2 };

size_t usercopy_bytes(void *dst, const void *src, size_t n);
size_t usercopy_zero(void *dst, size_t n);
int64_t usercopy_string(char *dst, const char *src, size_t n);
int usercopy_read32(const uint32_t *addr, uint32_t *out);
int usercopy_cas32(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *seen);
extern char kernel_peek_insn[], kernel_peek_fixup[];
