/* console.c - see console.h. */
#include "dev/console.h"
#include "dev/uart.h"
#include "kern/spinlock.h"

static struct spinlock console_lock = SPINLOCK_INIT("console", RANK_UART);

void console_write(const char *s, size_t n)
{
	uint64_t irq = spin_lock_irqsave(&console_lock);
	uart_write(s, n);
	spin_unlock_irqrestore(&console_lock, irq);
}
