/* console.c - see console.h. */
#include "dev/console.h"
#include "dev/uart.h"
#include "kern/spinlock.h"

static struct spinlock console_lock = SPINLOCK_INIT("console", RANK_UART);
static bool in_line; /* console_lock: a program has written part of a line */

void console_write(const char *s, size_t n)
{
	uint64_t irq = spin_lock_irqsave(&console_lock);
	if (in_line)
		uart_write("\n", 1);
	in_line = false;
	uart_write(s, n);
	spin_unlock_irqrestore(&console_lock, irq);
}

void console_write_raw(const uint8_t *bytes, size_t n)
{
	uint64_t irq = spin_lock_irqsave(&console_lock);
	uart_write_raw(bytes, n);
	if (n)
		in_line = bytes[n - 1] != '\n' && bytes[n - 1] != '\r';
	spin_unlock_irqrestore(&console_lock, irq);
}
