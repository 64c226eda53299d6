#pragma once
/* keyboard.h - a PS/2 keyboard, and what its keys mean. See keyboard.c. */
#include <stdbool.h>
#include <stdint.h>

/* Keys that are no characters have X's numbers (keysymdef.h), which libtsm speaks. */
enum key_symbol {
	KEY_NONE = 0,
	KEY_BACKSPACE = 0xff08,
	KEY_TAB = 0xff09,
	KEY_RETURN = 0xff0d,
	KEY_ESCAPE = 0xff1b,
	KEY_HOME = 0xff50,
	KEY_LEFT,
	KEY_UP,
	KEY_RIGHT,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_END,
	KEY_INSERT = 0xff63,
	KEY_KP_ENTER = 0xff8d,
	KEY_F1 = 0xffbe, /* ... F12 = 0xffc9 */
	KEY_DELETE = 0xffff,
};
enum key_modifiers { MOD_SHIFT = 1, MOD_LOCK = 2, MOD_CONTROL = 4, MOD_ALT = 8 }; /* as libtsm has them */

struct key {
	uint32_t symbol;    /* a character's own code, or an enum key_symbol */
	uint32_t character; /* that it types; 0: none */
	unsigned modifiers;
};

/* What has come so far of a sequence of bytes, and which keys are down. */
struct key_decoder {
	bool extended; /* the byte before was 0xe0 */
	unsigned skip; /* bytes that belong to the Pause key */
	unsigned down; /* modifiers: a bit for each of the left and right keys */
	bool caps, no_number;
};

/* Take a byte of scan code set 1. True: a key was pressed that means something. */
bool key_decode(struct key_decoder *d, uint8_t byte, struct key *out);

/* Take the controller's ports and interrupt with the system object; returns the interrupt's descriptor,
 * which is readable when something has come, or -1. */
int keyboard_open(int system);
/* Acknowledge the interrupt `irq`, and take the next byte of the keyboard's. False: there is none. */
void keyboard_acknowledge(int irq);
bool keyboard_read(uint8_t *byte);

/* keymap_us.c: what the key with a scan code of set 1 types, alone and with Shift: a character, or an enum
 * key_symbol; 0: nothing. `extended`: behind 0xe0. */
uint32_t keymap_symbol(uint8_t code, bool extended, bool shift, bool caps, bool number);
