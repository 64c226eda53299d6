/* test_script.c - the first line of scripts, as Linux reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "proc/script.c"

struct line {
	const char *text, *interp, *arg;
};

static void check_line(const struct line *l)
{
	char head[SCRIPT_HEAD_SIZE] = {0};
	struct script_line got;
	memcpy(head, l->text, strlen(l->text));
	err_t err = script_parse(head, &got);
	if (!l->interp) {
		if (err != -ENOEXEC)
			fail_msg("accepted: %s", l->text);
		return;
	}
	if (err)
		fail_msg("refused: %s", l->text);
	assert_string_equal(got.interp, l->interp);
	if (l->arg)
		assert_string_equal(got.arg, l->arg);
	else
		assert_null(got.arg);
}

static void test_lines(void **state)
{
	(void)state;
	static const struct line lines[] = {
	    {"#!/bin/sh\n", "/bin/sh", NULL},
	    {"#!/bin/sh", "/bin/sh", NULL},
	    {"#! \t /bin/sh \t \necho", "/bin/sh", NULL},
	    {"#!/bin/sh -e -x\n", "/bin/sh", "-e -x"},
	    {"#!/bin/sh\t\t -e \t\n-x", "/bin/sh", "-e"},
	    {"#!sh\r\n", "sh\r", NULL},
	    {"#!/bin/sh a\rb\n", "/bin/sh", "a\rb"},
	    {"#!/bin/sh ", "/bin/sh", ""}, /* no end of line: the blank is not the last thing before it */
	    {"#!\n/bin/sh\n", NULL, NULL},
	    {"#!  \t\n", NULL, NULL},
	    {"#!", "", NULL}, /* the zeros behind the end of the file end the name */
	    {"# !/bin/sh\n", NULL, NULL},
	    {"/bin/sh\n", NULL, NULL},
	    {"", NULL, NULL},
	    {"#", NULL, NULL},
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		check_line(&lines[i]);
}

/* "#!" and n bytes of x, then `rest`. */
static err_t parse_long(size_t n, const char *rest, struct script_line *out, char head[SCRIPT_HEAD_SIZE])
{
	char text[2 * SCRIPT_HEAD_SIZE] = "#!";
	memset(text + 2, 'x', n);
	memcpy(text + 2 + n, rest, strlen(rest));
	memcpy(head, text, SCRIPT_HEAD_SIZE);
	return script_parse(head, out);
}

static void test_long_lines(void **state)
{
	(void)state;
	char head[SCRIPT_HEAD_SIZE];
	struct script_line got;
	assert_int_equal(parse_long(253, "\n", &got, head), 0); /* the newline is the last byte looked at */
	assert_int_equal(strlen(got.interp), 253);
	assert_int_equal(parse_long(253, "", &got, head), 0);
	assert_int_equal(strlen(got.interp), 253);
	assert_int_equal(parse_long(254, "\n", &got, head), -ENOEXEC); /* perhaps cut */
	assert_int_equal(parse_long(254, "", &got, head), -ENOEXEC);
	assert_int_equal(parse_long(300, "\n", &got, head), -ENOEXEC);
	assert_int_equal(parse_long(253, " argument\n", &got, head), 0); /* the argument is cut off */
	assert_int_equal(strlen(got.interp), 253);
	assert_null(got.arg);
	assert_int_equal(
	    parse_long(250, " abcdef\n", &got, head), 0); /* cut to what fits, but for the last byte */
	assert_string_equal(got.arg, "ab");
	memset(head, ' ', sizeof(head));
	memcpy(head, "#!", 2);
	assert_int_equal(script_parse(head, &got), -ENOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_long_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
