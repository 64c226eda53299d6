#pragma once
/*
 * uart.h - the first serial port (16550 at 0x3f8). Polled output: usable from the first C instruction on,
 * in any context. Input by interrupt.
 */
#include "lib/err.h"

/* Find and set up COM1: 115200 8N1. Boot CPU, once, before uart_write. */
void uart_init(void);
/* Is there a port? */
bool uart_is_present(void);
/* Write n bytes; each '\n' goes out as CR LF. Waits for the transmitter, but not for ever: a port that stops
 * answering is given up. Takes no lock: the log serialises its writers, and panic writes alone. */
void uart_write(const char *s, size_t n);
/* The same without CR. */
void uart_write_raw(const uint8_t *bytes, size_t n);
enum uart_fault { UART_GOOD, UART_BREAK, UART_BAD };
/* Take a received byte, if there is one. One caller at a time. */
bool uart_receive(uint8_t *byte, enum uart_fault *fault);
/* Have handler called, in interrupt context, when bytes arrive; it takes them all. -ENODEV, or as
 * irq_connect. */
MUST_CHECK err_t uart_enable_input(void (*handler)(void *arg));
