/*
 * keyboard.c - a PS/2 keyboard behind the PC's controller (8042), which translates what the keyboard says
 * (scan code set 2) into set 1. Registers: IBM's Personal System/2 Hardware Interface Technical Reference.
 */
#include "keyboard.h"
#include <unistd.h>

#include <quire/calls.h>

enum { PORT_DATA = 0x60, PORT_STATUS = 0x64, PORT_COMMAND = 0x64, LINE = 1 };
enum { STATUS_OUT = 0x01, STATUS_IN = 0x02, STATUS_MOUSE = 0x20 };
enum { READ_CONFIG = 0x20, WRITE_CONFIG = 0x60, DISABLE = 0xad, ENABLE = 0xae, SCAN = 0xf4 };
enum { CONFIG_INTERRUPT = 0x01, CONFIG_STOPPED = 0x10, CONFIG_TRANSLATE = 0x40 };
enum { TRIES = 100000 }; /* looks at the controller before it is given up: about 0.1 s */

enum { CODE_RELEASE = 0x80, CODE_EXTENDED = 0xe0, CODE_PAUSE = 0xe1, PAUSE_REST = 2 };
enum { CODE_CAPS = 0x3a, CODE_NUMBER = 0x45 };

/* --- what bytes mean --- */

static const struct {
	uint8_t code;
	bool extended;
	unsigned modifier;
} modifier_keys[] = {{0x2a, false, MOD_SHIFT}, {0x36, false, MOD_SHIFT}, {0x1d, false, MOD_CONTROL},
    {0x1d, true, MOD_CONTROL}, {0x38, false, MOD_ALT}, {0x38, true, MOD_ALT}};
enum { MODIFIER_KEYS = sizeof(modifier_keys) / sizeof(modifier_keys[0]) };

static bool is_modifier(struct key_decoder *d, uint8_t code, bool extended, bool released)
{
	for (unsigned i = 0; i < MODIFIER_KEYS; i++) {
		if (modifier_keys[i].code != code || modifier_keys[i].extended != extended)
			continue;
		d->down = released ? d->down & ~(1u << i) : d->down | 1u << i;
		return true;
	}
	return false;
}

static unsigned modifiers(const struct key_decoder *d)
{
	unsigned all = d->caps ? MOD_LOCK : 0;
	for (unsigned i = 0; i < MODIFIER_KEYS; i++)
		all |= d->down & 1u << i ? modifier_keys[i].modifier : 0;
	return all;
}

bool key_decode(struct key_decoder *d, uint8_t byte, struct key *out)
{
	bool extended = d->extended, released = byte & CODE_RELEASE;
	uint8_t code = byte & ~CODE_RELEASE;
	if (d->skip) {
		d->skip--;
		return false;
	}
	d->extended = byte == CODE_EXTENDED;
	if (byte == CODE_PAUSE)
		d->skip = PAUSE_REST;
	if (byte == CODE_EXTENDED || byte == CODE_PAUSE || is_modifier(d, code, extended, released) ||
	    released)
		return false;
	if (!extended && code == CODE_CAPS)
		d->caps = !d->caps;
	if (!extended && code == CODE_NUMBER)
		d->no_number = !d->no_number;
	unsigned mods = modifiers(d);
	uint32_t symbol = keymap_symbol(code, extended, mods & MOD_SHIFT, d->caps, !d->no_number);
	*out = (struct key){.symbol = symbol, .character = symbol < 0x7f ? symbol : 0, .modifiers = mods};
	return symbol != KEY_NONE;
}

/* --- the controller --- */

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Write when the controller takes it. False: it never does. */
static bool put(uint16_t port, uint8_t value)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (!(in8(PORT_STATUS) & STATUS_IN)) {
			out8(port, value);
			return true;
		}
	return false;
}

static bool get(uint8_t *value)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (in8(PORT_STATUS) & STATUS_OUT) {
			*value = in8(PORT_DATA);
			return true;
		}
	return false;
}

static void drop_all(void)
{
	for (unsigned i = 0; i < TRIES && in8(PORT_STATUS) & STATUS_OUT; i++)
		in8(PORT_DATA);
}

/* Whatever the firmware, or who drove it before, has left. */
static bool set_up(void)
{
	uint8_t config;
	if (!put(PORT_COMMAND, DISABLE))
		return false;
	drop_all();
	if (!put(PORT_COMMAND, READ_CONFIG) || !get(&config))
		return false;
	config |= CONFIG_INTERRUPT | CONFIG_TRANSLATE;
	config &= (uint8_t)~CONFIG_STOPPED;
	return put(PORT_COMMAND, WRITE_CONFIG) && put(PORT_DATA, config) && put(PORT_COMMAND, ENABLE) &&
	       put(PORT_DATA, SCAN);
}

int keyboard_open(int system)
{
	if (quire_system_ports(system, PORT_DATA, 1) || quire_system_ports(system, PORT_STATUS, 1) ||
	    !set_up())
		return -1;
	return (int)quire_system_irq(system, LINE, QUIRE_IRQ_ISA);
}

void keyboard_acknowledge(int irq)
{
	quire_irq_acknowledge(irq);
}

bool keyboard_read(uint8_t *byte)
{
	uint8_t status;
	while ((status = in8(PORT_STATUS)) & STATUS_OUT) {
		*byte = in8(PORT_DATA);
		if (!(status & STATUS_MOUSE))
			return true;
	}
	return false;
}
