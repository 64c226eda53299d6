#pragma once
/* font.h - the pictures of characters: GNU Unifont, which is part of the program (tools/mkfont.py). */
#include <stdbool.h>
#include <stdint.h>

enum { GLYPH_HEIGHT = 16, GLYPH_WIDTH = 8 };

/* The rows of a character, from the top; the leftmost pixel is the highest bit of 8, or of 16 if it is
 * wide. A character that the font does not have is shown as U+FFFD. */
void font_glyph(uint32_t code, uint16_t rows[GLYPH_HEIGHT], bool *wide);
