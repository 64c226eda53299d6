/*
 * printf.c - the formatter behind every message. One pass over the format; each conversion is parsed into a
 * struct spec and handed to the function for its kind, which sends text and padding to the output. No
 * allocation, no lock, 80 bytes of stack for digits.
 */
#include "lib/printf.h"
#include "lib/string.h"

struct output {
	void (*fn)(void *ctx, const char *s, size_t n);
	void *ctx;
	size_t total;
};

struct spec {
	bool left, zero, plus, space, alternate, upper;
	int width;
	int precision; /* -1: none given */
	int size;      /* bytes of the integer argument */
	unsigned base;
	bool is_signed;
};

static void emit(struct output *out, const char *s, size_t n)
{
	if (n)
		out->fn(out->ctx, s, n);
	out->total += n;
}

static void emit_repeated(struct output *out, char c, int n)
{
	char chunk[16];

	memset(chunk, c, sizeof(chunk));
	for (; n > 0; n -= (int)sizeof(chunk))
		emit(out, chunk, (size_t)MIN(n, (int)sizeof(chunk)));
}

/* Text of `len` bytes in a field of the given width. */
static void emit_field(struct output *out, const struct spec *spec, const char *s, size_t len)
{
	int pad = spec->width > 0 && (size_t)spec->width > len ? spec->width - (int)len : 0;

	if (!spec->left)
		emit_repeated(out, ' ', pad);
	emit(out, s, len);
	if (spec->left)
		emit_repeated(out, ' ', pad);
}

/* Digits of v, written backwards up to `end`; returns where they start. */
static char *digits_before(char *end, uint64_t v, unsigned base, bool upper)
{
	const char *set = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	for (; v; v /= base)
		*--end = set[v % base];
	return end;
}

/* Sign or base prefix of a number into buf; returns its length. */
static int number_prefix(const struct spec *spec, uint64_t v, bool negative, char buf[2])
{
	if (spec->is_signed) {
		buf[0] = negative ? '-' : spec->plus ? '+' : ' ';
		return negative || spec->plus || spec->space;
	}
	if (!spec->alternate || spec->base != 16 || v == 0)
		return 0;
	buf[0] = '0';
	buf[1] = spec->upper ? 'X' : 'x';
	return 2;
}

static void emit_number(struct output *out, const struct spec *spec, uint64_t v, bool negative)
{
	char buf[24], prefix[2];
	char *end = buf + sizeof(buf);
	char *digits = digits_before(end, v, spec->base, spec->upper);
	int ndigits = (int)(end - digits);
	int nprefix = number_prefix(spec, v, negative, prefix);
	int least = spec->precision >= 0 ? spec->precision : 1;

	if (spec->alternate && spec->base == 8 && least <= ndigits)
		least = ndigits + 1;
	int zeros = MAX(least - ndigits, 0);
	int pad = spec->width - nprefix - zeros - ndigits;
	if (spec->zero && !spec->left && spec->precision < 0 && pad > 0) {
		zeros += pad;
		pad = 0;
	}
	if (!spec->left)
		emit_repeated(out, ' ', pad);
	emit(out, prefix, (size_t)nprefix);
	emit_repeated(out, '0', zeros);
	emit(out, digits, (size_t)ndigits);
	if (spec->left)
		emit_repeated(out, ' ', pad);
}

static void emit_string(struct output *out, const struct spec *spec, const char *s)
{
	if (!s)
		s = "(null)";
	emit_field(out, spec, s, spec->precision >= 0 ? strnlen(s, (size_t)spec->precision) : strlen(s));
}

static void emit_pointer(struct output *out, struct spec *spec, const void *p)
{
	char buf[18];

	memset(buf, '0', sizeof(buf));
	digits_before(buf + sizeof(buf), (uintptr_t)p, 16, false);
	buf[1] = 'x';
	emit_field(out, spec, buf, sizeof(buf));
}

static const char *parse_flags(const char *f, struct spec *spec)
{
	for (;; f++) {
		switch (*f) {
		case '-':
			spec->left = true;
			break;
		case '0':
			spec->zero = true;
			break;
		case '+':
			spec->plus = true;
			break;
		case ' ':
			spec->space = true;
			break;
		case '#':
			spec->alternate = true;
			break;
		default:
			return f;
		}
	}
}

/* A decimal number, cut off far beyond any sensible width. */
static const char *parse_count(const char *f, int *n)
{
	for (*n = 0; *f >= '0' && *f <= '9'; f++)
		if (*n < 100000)
			*n = *n * 10 + (*f - '0');
	return f;
}

static const char *parse_length(const char *f, struct spec *spec)
{
	spec->size = sizeof(int);
	switch (*f) {
	case 'h':
		spec->size = f[1] == 'h' ? sizeof(char) : sizeof(short);
		return f + (f[1] == 'h' ? 2 : 1);
	case 'l':
		spec->size = sizeof(long);
		return f + (f[1] == 'l' ? 2 : 1);
	case 'z':
	case 'j':
	case 't':
		spec->size = sizeof(long);
		return f + 1;
	default:
		return f;
	}
}

/* What va_list needs to be to travel by pointer. */
struct arguments {
	va_list list;
};

static const char *parse_spec(const char *f, struct spec *spec, struct arguments *args)
{
	*spec = (struct spec){.precision = -1, .base = 10};
	f = parse_flags(f, spec);
	if (*f == '*') {
		spec->width = va_arg(args->list, int);
		f++;
		if (spec->width < 0) {
			spec->left = true;
			spec->width = spec->width == INT32_MIN ? INT32_MAX : -spec->width;
		}
	} else {
		f = parse_count(f, &spec->width);
	}
	if (*f == '.') {
		if (f[1] == '*') {
			spec->precision = va_arg(args->list, int);
			f += 2;
		} else {
			f = parse_count(f + 1, &spec->precision);
		}
	}
	return parse_length(f, spec);
}

/* Integers narrower than int are promoted on the way here; cut them back to what the length said. */
static uint64_t fetch_unsigned(const struct spec *spec, struct arguments *args)
{
	if (spec->size == sizeof(long))
		return va_arg(args->list, unsigned long);
	unsigned v = va_arg(args->list, unsigned);
	return spec->size == sizeof(char) ? (uint8_t)v : spec->size == sizeof(short) ? (uint16_t)v : v;
}

static int64_t fetch_signed(const struct spec *spec, struct arguments *args)
{
	if (spec->size == sizeof(long))
		return va_arg(args->list, long);
	int v = va_arg(args->list, int);
	return spec->size == sizeof(char) ? (int8_t)v : spec->size == sizeof(short) ? (int16_t)v : v;
}

static void convert_signed(struct output *out, struct spec *spec, struct arguments *args)
{
	int64_t v = fetch_signed(spec, args);

	spec->is_signed = true;
	emit_number(out, spec, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

static void convert_unsigned(struct output *out, struct spec *spec, struct arguments *args, char kind)
{
	spec->upper = kind == 'X';
	spec->base = kind == 'u' ? 10 : kind == 'o' ? 8 : 16;
	emit_number(out, spec, fetch_unsigned(spec, args), false);
}

/* One conversion; f is at its letter. Returns what follows. An unknown letter is printed as it stands. */
static const char *convert(struct output *out, const char *f, struct spec *spec, struct arguments *args)
{
	char c;

	switch (*f) {
	case 'd':
	case 'i':
		convert_signed(out, spec, args);
		break;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		convert_unsigned(out, spec, args, *f);
		break;
	case 'c':
		c = (char)va_arg(args->list, int);
		emit_field(out, spec, &c, 1);
		break;
	case 's':
		emit_string(out, spec, va_arg(args->list, const char *));
		break;
	case 'p':
		emit_pointer(out, spec, va_arg(args->list, const void *));
		break;
	case '\0':
		return f;
	default:
		emit(out, f, 1);
	}
	return f + 1;
}

int format_to(void (*fn)(void *ctx, const char *s, size_t n), void *ctx, const char *fmt, va_list args)
{
	struct output out = {.fn = fn, .ctx = ctx};
	struct arguments copy;
	struct spec spec;

	va_copy(copy.list, args);
	while (*fmt) {
		size_t plain = 0;
		while (fmt[plain] && fmt[plain] != '%')
			plain++;
		emit(&out, fmt, plain);
		fmt += plain;
		if (*fmt)
			fmt = convert(&out, parse_spec(fmt + 1, &spec, &copy), &spec, &copy);
	}
	va_end(copy.list);
	return (int)out.total;
}

struct buffer {
	char *pos;
	size_t left; /* room without the terminator */
};

static void buffer_put(void *ctx, const char *s, size_t n)
{
	struct buffer *b = ctx;

	n = MIN(n, b->left);
	memcpy(b->pos, s, n);
	b->pos += n;
	b->left -= n;
}

int format_va(char *buf, size_t size, const char *fmt, va_list args)
{
	struct buffer b = {.pos = buf, .left = size ? size - 1 : 0};
	int len = format_to(buffer_put, &b, fmt, args);

	if (size)
		*b.pos = '\0';
	return len;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int len = format_va(buf, size, fmt, args);
	va_end(args);
	return len;
}
