/*
 * font.c - the font. See font.h; tools/mkfont.py makes the data:
 *
 *	number of runs (4)   runs: first code (4), count (4), place of the first one's rows (4), wide (4)   rows
 *
 * Numbers are little-endian, runs are sorted, a row is a byte or, if wide, two, the left one first.
 */
#include "font.h"
#include <stddef.h>

__asm__(".pushsection .rodata\n\t"
	".balign 16\n\t"
	"font_data: .incbin \"" FONT_FILE "\"\n\t"
	".popsection");
extern const uint8_t font_data[];

struct run {
	uint32_t first, count, place, wide;
};

static const struct run *find(uint32_t code)
{
	uint32_t low = 0, high = *(const uint32_t *)font_data;
	const struct run *runs = (const struct run *)(font_data + sizeof(uint32_t));
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (code < runs[middle].first)
			high = middle;
		else if (code - runs[middle].first >= runs[middle].count)
			low = middle + 1;
		else
			return &runs[middle];
	}
	return NULL;
}

void font_glyph(uint32_t code, uint16_t rows[GLYPH_HEIGHT], bool *wide)
{
	const struct run *run = find(code);
	if (!run) {
		code = 0xfffd;
		run = find(code);
	}
	*wide = run && run->wide;
	for (unsigned y = 0; y < GLYPH_HEIGHT; y++) {
		if (!run) {
			rows[y] = 0xff; /* a font without it: a block */
			continue;
		}
		const uint8_t *p =
		    font_data + run->place + ((code - run->first) * GLYPH_HEIGHT + y) * (run->wide ? 2 : 1);
		rows[y] = run->wide ? (uint16_t)(p[0] << 8 | p[1]) : p[0];
	}
}
