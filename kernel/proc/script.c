/*
 * script.c - see script.h. The rules are Linux's: blanks are spaces and tabs, a line without an end inside
 * the head is taken as it is if at least the path is known to be whole, the last byte of the head then does
 * not count, and a zero byte ends path and argument but not the search for blanks at the end of the line.
 */
#include "proc/script.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The first byte of [from, end) that is no blank; end if there is none. */
static char *skip_blanks(char *from, char *end)
{
	while (from < end && is_blank(*from))
		from++;
	return from;
}

/* The first blank or zero byte of [from, end); end if there is none. */
static char *find_gap(char *from, char *end)
{
	while (from < end && *from && !is_blank(*from))
		from++;
	return from;
}

/* Where the first line ends: at the newline, or nowhere. */
static char *find_newline(char *head)
{
	for (char *c = head; c < head + SCRIPT_HEAD_SIZE && *c; c++)
		if (*c == '\n')
			return c;
	return NULL;
}

err_t script_parse(char head[SCRIPT_HEAD_SIZE], struct script_line *out)
{
	char *start = head + 2, *limit = head + SCRIPT_HEAD_SIZE;
	if (head[0] != '#' || head[1] != '!')
		return -ENOEXEC;
	char *end = find_newline(head);
	if (!end) {
		char *name = skip_blanks(start, limit);
		if (find_gap(name, limit) == limit)
			return -ENOEXEC;
		end = limit - 1;
	}
	while (is_blank(end[-1]))
		end--;
	char *name = skip_blanks(start, end);
	if (name >= end)
		return -ENOEXEC;
	char *gap = find_gap(name, end);
	out->interp = name;
	out->arg = gap < end && *gap ? skip_blanks(gap, end) : NULL;
	*end = 0;
	*gap = 0;
	return 0;
}
