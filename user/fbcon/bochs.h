#pragma once
/* bochs.h - the registers by which Bochs' and QEMU's displays change their mode. */
#include <stdbool.h>
#include <stdint.h>

enum { BOCHS_SIZE = 4096 }; /* bytes of registers, of the third range of the PCI function */

/* Set a mode of 32 bits a pixel (0xrrggbb) that fits `len` bytes: the one that the monitor prefers, else
 * 1024 x 768. False: there are no such registers. */
bool bochs_set_mode(volatile uint8_t *registers, uint64_t len, unsigned *width, unsigned *height);
