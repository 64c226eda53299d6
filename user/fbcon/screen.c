/*
 * screen.c - a grid of characters on a framebuffer, which is mapped write-combined.
 *
 * Nothing is ever read from it. What it shows is known from `shown`, and only cells that are to look
 * different are drawn, a row of pixels after the other, so that stores are gathered.
 */
#include "screen.h"
#include "bochs.h"
#include "font.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <quire/calls.h>

enum { MIN_WIDTH = 80 * GLYPH_WIDTH, MIN_HEIGHT = 25 * GLYPH_HEIGHT };

static volatile void *map_device(int system, uint64_t start, uint64_t len, unsigned flags)
{
	int fd = (int)quire_system_memory(system, start, len, flags);
	if (fd < 0)
		return NULL;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static bool set_mode(struct screen_place *p, int system)
{
	if (!p->registers_len)
		return true;
	volatile uint8_t *registers = map_device(system, p->registers, BOCHS_SIZE, QUIRE_MEMORY_UNCACHED);
	if (!registers)
		return false;
	bool set = bochs_set_mode(registers, p->len, &p->width, &p->height);
	munmap((void *)registers, BOCHS_SIZE);
	p->stride = p->width * 4;
	errno = ENODEV;
	return set;
}

bool screen_open(struct screen *s, const struct screen_place *place, int system, int registers)
{
	*s = (struct screen){.place = *place};
	struct screen_place *p = &s->place;
	if (!set_mode(p, registers))
		return false;
	s->columns = p->width / GLYPH_WIDTH;
	s->rows = p->height / GLYPH_HEIGHT;
	errno = ENODEV;
	if (p->width < MIN_WIDTH || p->height < MIN_HEIGHT || p->stride / 4 < p->width ||
	    (uint64_t)p->stride * p->height > p->len)
		return false;
	s->shown = calloc((size_t)s->columns * s->rows, sizeof(*s->shown));
	s->pixels = s->shown ? map_device(system, p->memory, p->len, QUIRE_MEMORY_COMBINE) : NULL;
	if (!s->pixels)
		return false;
	for (size_t i = 0; i < (size_t)p->stride / 4 * p->height; i++)
		s->pixels[i] = 0;
	return true; /* no cell has colours and width 0, so each is drawn when it is put */
}

/* --- drawing --- */

/* The rows of one character in a cell of this many pixels: the leftmost is the highest of 16 bits. What is
 * too wide is pressed together. */
static void add_glyph(uint32_t code, unsigned pixels, uint16_t rows[GLYPH_HEIGHT])
{
	uint16_t glyph[GLYPH_HEIGHT];
	bool wide;
	font_glyph(code, glyph, &wide);
	for (unsigned y = 0; y < GLYPH_HEIGHT; y++) {
		unsigned row = wide ? glyph[y] : (unsigned)glyph[y] << GLYPH_WIDTH;
		if (wide && pixels == GLYPH_WIDTH) {
			unsigned narrow = 0;
			for (unsigned x = 0; x < GLYPH_WIDTH; x++)
				narrow |= row & 0xc000u >> 2 * x ? 0x8000u >> x : 0;
			row = narrow;
		}
		rows[y] |= (uint16_t)row;
	}
}

static uint32_t pixel_of(const struct screen_place *p, uint32_t rgb)
{
	return (rgb >> 16 & 0xff) << p->red | (rgb >> 8 & 0xff) << p->green | (rgb & 0xff) << p->blue;
}

static void draw(struct screen *s, unsigned x, unsigned y)
{
	const struct cell *c = &s->shown[y * s->columns + x];
	uint32_t fg = pixel_of(&s->place, c->fg), bg = pixel_of(&s->place, c->bg);
	unsigned width = c->width == 2 && x + 1 < s->columns ? 2 * GLYPH_WIDTH : GLYPH_WIDTH;
	uint16_t rows[GLYPH_HEIGHT] = {0};
	for (unsigned i = 0; i < CELL_CHARACTERS && c->ch[i]; i++)
		add_glyph(c->ch[i], width, rows);
	if (c->underline)
		rows[GLYPH_HEIGHT - 1] = 0xffff;
	volatile uint32_t *to =
	    s->pixels + (size_t)y * GLYPH_HEIGHT * (s->place.stride / 4) + x * GLYPH_WIDTH;
	for (unsigned line = 0; line < GLYPH_HEIGHT; line++, to += s->place.stride / 4) {
		unsigned row = c->bold ? rows[line] | rows[line] >> 1 : rows[line];
		for (unsigned i = 0; i < width; i++)
			to[i] = row & 0x8000u >> i ? fg : bg;
	}
}

void screen_put(struct screen *s, unsigned x, unsigned y, const struct cell *c)
{
	if (x >= s->columns || y >= s->rows)
		return;
	struct cell *shown = &s->shown[y * s->columns + x];
	if (!memcmp(shown, c, sizeof(*c)))
		return;
	*shown = *c;
	if (c->width)
		draw(s, x, y);
	else if (x && shown[-1].width == 2)
		draw(s, x - 1, y); /* something else was in its right half */
}

void screen_flush(void)
{
	__asm__ volatile("sfence" : : : "memory");
}
