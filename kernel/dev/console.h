#pragma once
/* console.h - where text for people goes: the serial port, shared by the log and by the console's terminal.
 */
#include "lib/types.h"

/* Write n bytes, lines of their own, without others' in between: what a program has begun is ended first. Any
 * context but NMI and panic, which write to the port alone. */
void console_write(const char *s, size_t n);
/* A terminal's output, as it is. Interrupts are disabled meanwhile: a few bytes at a time. */
void console_write_raw(const uint8_t *bytes, size_t n);
