/* test_printf.c - the formatter against the host's vsnprintf: every combination of flags, width, precision,
 * length and conversion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/inject.h"
#include "lib/printf.h"

/* Formats are built at run time here: the compiler cannot check them. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

static void same(const char *fmt, ...)
{
	char got[256], want[256];
	va_list args;

	va_start(args, fmt);
	int want_len = vsnprintf(want, sizeof(want), fmt, args);
	va_end(args);
	va_start(args, fmt);
	int got_len = format_va(got, sizeof(got), fmt, args);
	va_end(args);
	if (strcmp(got, want) != 0 || got_len != want_len)
		fail_msg(
		    "format \"%s\": got \"%s\" (%d), want \"%s\" (%d)", fmt, got, got_len, want, want_len);
}

static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z", "j", "t"};

static void try_number(
    const char *flags, const char *width, const char *precision, char conversion, uint64_t v)
{
	char fmt[64];

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		snprintf(fmt, sizeof(fmt), "[%%%s%s%s%s%c]", flags, width, precision, lengths[i], conversion);
		if (i < 3)
			same(fmt, (unsigned)v);
		else
			same(fmt, (unsigned long)v);
	}
}

static void integers(void **state)
{
	static const uint64_t values[] = {0, 1, 7, 8, 42, 127, 128, 255, 32768, INT32_MAX, 0x80000000,
	    UINT32_MAX, 0x123456789abcdef0, INT64_MAX, 1ULL << 63, UINT64_MAX};
	static const char *const widths[] = {"", "1", "5", "30"};
	static const char *const precisions[] = {"", ".", ".0", ".1", ".3", ".25"};
	static const char conversions[] = "diuxXo";
	char flags[6];

	(void)state;
	for (unsigned set = 0; set < 32; set++) {
		char *f = flags;
		for (unsigned b = 0; b < 5; b++)
			if (set & (1u << b))
				*f++ = "-0+ #"[b];
		*f = '\0';
		for (unsigned w = 0; w < ARRAY_SIZE(widths); w++)
			for (unsigned p = 0; p < ARRAY_SIZE(precisions); p++)
				for (const char *c = conversions; *c; c++)
					for (unsigned v = 0; v < ARRAY_SIZE(values); v++)
						try_number(flags, widths[w], precisions[p], *c, values[v]);
	}
}

static void text(void **state)
{
	char unterminated[3] = {'a', 'b', 'c'};

	(void)state;
	same("");
	same("plain");
	same("%%|%5s|%-5s|%.2s|%5.1s|%s", "a", "b", "cdef", "gh", "");
	same("%c%3c%-3c|", 'x', 'y', 'z');
	same("%.3s", unterminated);
	same("%s %d %s", "a", -5, "b");
	same("%*d|%-*d|%*d", 6, 1, 6, 2, -6, 3);
	same("%.*d|%.*d|%.*s", 4, 1, -1, 2, 2, "abc");
	same("%200s|", "far");
}

static void pointers(void **state)
{
	char buf[64];

	(void)state;
	assert_int_equal(format(buf, sizeof(buf), "%p", (void *)0xffff800000001234), 18);
	assert_string_equal(buf, "0xffff800000001234");
	format(buf, sizeof(buf), "%p|%20p|%-20p|", NULL, NULL, (void *)0xab);
	assert_string_equal(buf, "0x0000000000000000|  0x0000000000000000|0x00000000000000ab  |");
	const char *volatile none = NULL;
	format(buf, sizeof(buf), "%s", none);
	assert_string_equal(buf, "(null)");
}

static void truncation(void **state)
{
	char buf[9];

	(void)state;
	for (size_t size = 0; size <= 8; size++) {
		memset(buf, 'Z', sizeof(buf));
		assert_int_equal(format(buf, size, "%d-%s", 123, "abc"), 7);
		if (size) {
			assert_memory_equal(buf, "123-abc", size - 1);
			assert_int_equal(buf[size - 1], '\0');
		}
		assert_int_equal(buf[size], 'Z');
	}
}

static void odd_formats(void **state)
{
	char buf[64];
	const char *volatile unknown = "a%yb";
	const char *volatile cut = "a%";
	const char *volatile cut_long = "a%-08.3l";

	(void)state;
	assert_int_equal(format(buf, sizeof(buf), unknown), 3);
	assert_string_equal(buf, "ayb");
	assert_int_equal(format(buf, sizeof(buf), cut), 1);
	assert_string_equal(buf, "a");
	assert_int_equal(format(buf, sizeof(buf), cut_long), 1);
	assert_string_equal(buf, "a");
}

struct counter {
	size_t calls, bytes;
};

static void count_piece(void *ctx, const char *s, size_t n)
{
	struct counter *c = ctx;

	assert_non_null(s);
	assert_true(n > 0);
	c->calls++;
	c->bytes += n;
}

static int pieces(struct counter *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = format_to(count_piece, c, fmt, args);
	va_end(args);
	return n;
}

static void to_function(void **state)
{
	struct counter c = {0};

	(void)state;
	assert_int_equal(pieces(&c, "%d %s %40d", 1, "two", 3), 46);
	assert_int_equal(c.bytes, 46);
}

static void injection(void **state)
{
	(void)state;
	assert_false(inject_should_fail());
	assert_false(inject_fired());
	inject_arm(3);
	assert_false(inject_should_fail());
	assert_false(inject_should_fail());
	assert_false(inject_fired());
	assert_true(inject_should_fail());
	assert_true(inject_fired());
	for (int i = 0; i < 10; i++)
		assert_false(inject_should_fail());
	assert_true(inject_fired());
	inject_arm(1);
	assert_false(inject_fired());
	inject_arm(0);
	assert_false(inject_should_fail());
	assert_false(inject_fired());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(integers),
	    cmocka_unit_test(text),
	    cmocka_unit_test(pointers),
	    cmocka_unit_test(truncation),
	    cmocka_unit_test(odd_formats),
	    cmocka_unit_test(to_function),
	    cmocka_unit_test(injection),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
