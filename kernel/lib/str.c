/* str.c - string functions that C does not have. Apart from string.c, so that the host port has them too. */
#include "lib/string.h"

bool str_copy(char *dst, const char *src, size_t size)
{
	size_t n = strnlen(src, size);
	bool fits = n < size;

	if (!fits)
		n = size - 1;
	memcpy(dst, src, n);
	dst[n] = '\0';
	return fits;
}

/* Value of a digit, or 16 if c is none. */
static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	char lower = (char)(c | 0x20);
	if (lower >= 'a' && lower <= 'f')
		return (unsigned)(lower - 'a') + 10;
	return 16;
}

static unsigned strip_base_prefix(const char **s)
{
	if ((*s)[0] != '0' || !(*s)[1])
		return 10;
	if ((*s)[1] == 'x' || (*s)[1] == 'X') {
		*s += 2;
		return 16;
	}
	if (digit_value((*s)[1]) >= 10)
		return 10; /* a zero with a suffix */
	*s += 1;
	return 8;
}

/* Shift of a size suffix that ends the string; -1 if there is something else. */
static int suffix_shift(const char *s)
{
	if (!*s)
		return 0;
	if (s[1])
		return -1;
	switch (*s) {
	case 'k':
	case 'K':
		return 10;
	case 'm':
	case 'M':
		return 20;
	case 'g':
	case 'G':
		return 30;
	default:
		return -1;
	}
}

bool str_to_u64(const char *s, uint64_t *out)
{
	unsigned base = strip_base_prefix(&s);
	uint64_t value = 0;
	bool any = false;

	for (; digit_value(*s) < base; s++, any = true)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit_value(*s), &value))
			return false;
	int shift = any ? suffix_shift(s) : -1;
	if (shift < 0 || (value << shift) >> shift != value)
		return false;
	*out = value << shift;
	return true;
}
