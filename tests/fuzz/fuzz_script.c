/*
 * fuzz_script.c - any bytes as the head of a script: what the reader accepts is inside the head and what a
 * second, plain reading of Linux's rules finds too.
 */
#include <stdlib.h>
#include <string.h>
#include "proc/script.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* The rules, with indices: [from, end) of path and argument. False: no script. */
struct reading {
	size_t name, name_end, arg, arg_end;
	bool has_arg;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool read_plainly(const char *h, struct reading *r)
{
	const size_t last = SCRIPT_HEAD_SIZE - 1;
	size_t end = 0, at;
	if (memcmp(h, "#!", 2))
		return false;
	while (end < SCRIPT_HEAD_SIZE && h[end] && h[end] != '\n')
		end++;
	if (end == SCRIPT_HEAD_SIZE || h[end] != '\n') {
		for (at = 2; at <= last && blank(h[at]); at++)
			;
		for (; at <= last && h[at] && !blank(h[at]); at++)
			;
		if (at > last)
			return false;
		end = last;
	}
	while (blank(h[end - 1]))
		end--;
	for (at = 2; at < end && blank(h[at]); at++)
		;
	if (at >= end)
		return false;
	r->name = at;
	while (at < end && h[at] && !blank(h[at]))
		at++;
	r->name_end = at;
	r->has_arg = at < end && h[at];
	while (at < end && blank(h[at]))
		at++;
	r->arg = at;
	r->arg_end = at + strnlen(h + at, end - at);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *head = calloc(1, SCRIPT_HEAD_SIZE), copy[SCRIPT_HEAD_SIZE];
	struct script_line line;
	struct reading r;
	memcpy(head, data, size < SCRIPT_HEAD_SIZE ? size : SCRIPT_HEAD_SIZE);
	memcpy(copy, head, sizeof(copy));
	bool ok = script_parse(head, &line) == 0;
	check(ok == read_plainly(copy, &r));
	if (ok) {
		check(line.interp == head + r.name && strlen(line.interp) == r.name_end - r.name);
		check(!line.arg == !r.has_arg);
		if (line.arg)
			check(line.arg == head + r.arg && strlen(line.arg) == r.arg_end - r.arg);
	}
	free(head);
	return 0;
}
