#pragma once
/* screen.h - a grid of characters on a framebuffer. See screen.c. */
#include "place.h"

enum { CELL_CHARACTERS = 3 }; /* one, and what is written over it */

/* A character on the screen. Two that look the same are equal byte by byte, so start from zeros. */
struct cell {
	uint32_t ch[CELL_CHARACTERS]; /* code points; 0: no more */
	uint32_t fg, bg;              /* 0xrrggbb */
	uint8_t width;                /* in cells: 1 or 2; 0: the right half of the one before */
	uint8_t bold, underline;
};

struct screen {
	volatile uint32_t *pixels; /* never read: that would be slow */
	struct screen_place place;
	unsigned columns, rows;
	struct cell *shown; /* what is there, row by row */
};

/* Map the pixels with the system object `system`, set the mode with `registers` if need be, and clear it.
 * False, with errno: it cannot be used. */
bool screen_open(struct screen *s, const struct screen_place *place, int system, int registers);
/* Show a cell, unless it is shown already. */
void screen_put(struct screen *s, unsigned x, unsigned y, const struct cell *c);
/* What was put is on its way to the device. */
void screen_flush(void);
