#pragma once
/*
 * printf.h - the formatter. Supports %d %i %u %x %X %o %c %s %p %%, flags - 0 + space #, width and precision
 * (also *), lengths hh h l ll z j t. No floating point. %p prints 0x and 16 digits.
 */
#include <stdarg.h>
#include "lib/types.h"

/* Like C's vsnprintf: at most size bytes with the terminator; returns the length the whole text has. */
int format_va(char *buf, size_t size, const char *fmt, va_list args) PRINTF(3, 0);
int format(char *buf, size_t size, const char *fmt, ...) PRINTF(3, 4);

/* Send each formatted piece to out(ctx, text, len) instead of a buffer; returns the number of bytes. */
int format_to(void (*out)(void *ctx, const char *s, size_t n), void *ctx, const char *fmt, va_list args)
    PRINTF(3, 0);
