#include "machine/boot.h"
#include "kern/cpu.h"
#include "arch/cpu.h"
#include "dev/uart.h"
#include "lib/assert.h"
struct cpu cpus[MAX_CPUS];
NORETURN void panic(const char *fmt, ...)
{
	uart_write(fmt, 10);
	for (;;) ;
}
void kernel_main(void)
{
	uart_write("hello\n", 6);
	out8(0xf4, 0x10);
	for (;;)
		cpu_wait_irq();
}
