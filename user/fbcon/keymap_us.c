/* keymap_us.c - the US keyboard. Scan codes: IBM's Personal System/2 Hardware Interface Technical Reference,
 * set 1. */
#include "keyboard.h"
#include <stddef.h>

enum {
	CODE_PAD = 0x47,
	CODE_PAD_END = 0x53,
	CODE_F1 = 0x3b,
	CODE_F10 = 0x44,
	CODE_F11 = 0x57,
	CODE_F12 = 0x58
};

/* The main block, by scan code: alone, with Shift. */
static const char plain[] = "\0\0331234567890-=\b\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
_Static_assert(sizeof(plain) == 0x3b && sizeof(shifted) == sizeof(plain), "up to Space, 0x39");

static const uint16_t pad[] = {KEY_HOME, KEY_UP, KEY_PAGE_UP, '-', KEY_LEFT, 0, KEY_RIGHT, '+', KEY_END,
    KEY_DOWN, KEY_PAGE_DOWN, KEY_INSERT, KEY_DELETE};
static const char pad_numbers[] = "789-456+1230.";

/* Control characters of the table stand for keys. */
static uint32_t named(char c)
{
	switch (c) {
	case '\b':
		return KEY_BACKSPACE;
	case '\t':
		return KEY_TAB;
	case '\r':
		return KEY_RETURN;
	case '\033':
		return KEY_ESCAPE;
	default:
		return (uint8_t)c;
	}
}

static uint32_t extended_symbol(uint8_t code)
{
	if (code >= CODE_PAD && code <= CODE_PAD_END && code != 0x4a && code != 0x4e)
		return pad[code - CODE_PAD];
	if (code == 0x1c)
		return KEY_RETURN; /* of the number pad */
	return code == 0x35 ? '/' : KEY_NONE;
}

uint32_t keymap_symbol(uint8_t code, bool extended, bool shift, bool caps, bool number)
{
	if (extended)
		return extended_symbol(code);
	if (code >= CODE_F1 && code <= CODE_F10)
		return KEY_F1 + code - CODE_F1;
	if (code == CODE_F11 || code == CODE_F12)
		return KEY_F1 + 10 + code - CODE_F11;
	if (code >= CODE_PAD && code <= CODE_PAD_END)
		return number != shift ? (uint8_t)pad_numbers[code - CODE_PAD] : pad[code - CODE_PAD];
	if (code == 0x56)
		return shift ? '>' : '<'; /* the key that keyboards of 102 keys have more */
	if (code >= sizeof(plain))
		return KEY_NONE;
	bool letter = plain[code] >= 'a' && plain[code] <= 'z';
	return named((letter ? shift != caps : shift) ? shifted[code] : plain[code]);
}
