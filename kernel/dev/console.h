#pragma once
/* console.h - where text for people goes: the serial port, shared by the log and by programs. */
#include "lib/types.h"

/* Write n bytes without others' in between. Any context but NMI and panic, which write to the port alone. */
void console_write(const char *s, size_t n);
