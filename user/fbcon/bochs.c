/*
 * bochs.c - modes of Bochs' and QEMU's displays. QEMU's docs/specs/standard-vga.txt has the places of
 * registers, VESA's E-EDID standard, release A, the monitor's description.
 */
#include "bochs.h"
#include <string.h>

enum place {
	EDID = 0,
	VGA_ATTRIBUTE = 0x400, /* VGA's ports from 0x3c0 on */
	VGA_STATUS = 0x41a,
	DISPI = 0x500, /* 16-bit registers, by number: */
};
enum dispi { ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET };
enum { ID_MASK = 0xfff0, ID_BOCHS = 0xb0c0, ENABLED = 0x01, LINEAR = 0x40, ATTRIBUTE_VIDEO = 0x20 };
enum { EDID_SIZE = 128, EDID_TIMING = 54, WIDTH = 1024, HEIGHT = 768, LEAST_WIDTH = 640, LEAST_HEIGHT = 400 };

static volatile uint16_t *dispi(volatile uint8_t *registers, enum dispi number)
{
	return (volatile uint16_t *)(registers + DISPI) + number;
}

/* What the monitor's first detailed timing says; nothing, if it has no description. */
static void prefer(const volatile uint8_t *registers, unsigned *width, unsigned *height)
{
	static const uint8_t begin[8] = {0, 255, 255, 255, 255, 255, 255, 0};
	uint8_t edid[EDID_SIZE];
	for (unsigned i = 0; i < EDID_SIZE; i++)
		edid[i] = registers[EDID + i];
	const uint8_t *t = edid + EDID_TIMING;
	if (memcmp(edid, begin, sizeof(begin)) || !(t[0] | t[1]))
		return;
	*width = t[2] | (t[4] & 0xf0u) << 4;
	*height = t[5] | (t[7] & 0xf0u) << 4;
}

bool bochs_set_mode(volatile uint8_t *registers, uint64_t len, unsigned *width, unsigned *height)
{
	if ((*dispi(registers, ID) & ID_MASK) != ID_BOCHS)
		return false;
	*width = WIDTH;
	*height = HEIGHT;
	prefer(registers, width, height);
	if (*width < LEAST_WIDTH || *height < LEAST_HEIGHT || (uint64_t)*width * *height * 4 > len) {
		*width = WIDTH;
		*height = HEIGHT;
	}
	*width &= ~7u; /* what the device rounds to */
	*dispi(registers, ENABLE) = 0;
	*dispi(registers, BPP) = 32;
	*dispi(registers, XRES) = (uint16_t)*width;
	*dispi(registers, YRES) = (uint16_t)*height;
	*dispi(registers, BANK) = 0;
	*dispi(registers, VIRT_WIDTH) = (uint16_t)*width;
	*dispi(registers, VIRT_HEIGHT) = (uint16_t)*height;
	*dispi(registers, X_OFFSET) = 0;
	*dispi(registers, Y_OFFSET) = 0;
	*dispi(registers, ENABLE) = ENABLED | LINEAR;
	(void)registers[VGA_STATUS]; /* the next byte is an index */
	registers[VGA_ATTRIBUTE] = ATTRIBUTE_VIDEO;
	return true;
}
