#pragma once
/*
 * uart.h - polled output on the first serial port (16550 at 0x3f8): usable from the first C instruction on,
 * in any context.
 */
#include "lib/types.h"

/* Find and set up COM1: 115200 8N1. Boot CPU, once, before uart_write. */
void uart_init(void);
/* Is there a port? */
bool uart_is_present(void);
/* Write n bytes; each '\n' goes out as CR LF. Waits for the transmitter, but not for ever: a port that stops
 * answering is given up. Takes no lock: the log serialises its writers, and panic writes alone. */
void uart_write(const char *s, size_t n);
/* One received byte, or -1. */
int uart_read(void);
