/*
 * boot.c - C's first function, and the order in which the port sets itself up.
 */
#include "arch/bootinfo.h"
#include "dev/uart.h"
#include "kern/cpu.h"
#include "lib/string.h"
#include "machine/boot.h"

void boot_main(uint32_t magic, uint32_t info)
{
	(void)magic;
	(void)info;
	uart_init();
	kernel_main();
}
