#pragma once
/* place.h - where there is a screen to draw on, as /sys tells it. See docs/console.md. */
#include <stdbool.h>
#include <stdint.h>

struct screen_place {
	uint64_t memory, len; /* physical address of the pixels, and how many bytes */
	/* Registers by which the mode is set; len 0: it is set, and what follows says how. */
	uint64_t registers, registers_len;
	unsigned width, height, stride; /* pixels, pixels, bytes */
	unsigned red, green, blue;      /* the lowest of the 8 bits of each, in a pixel of 32 bits */
};

/* The screen that the boot loader left, else that of the first display on PCI that has Bochs' registers.
 * False: there is none that can be used. */
bool screen_place(struct screen_place *out);
