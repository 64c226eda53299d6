#pragma once
/*
 * script.h - the first line of a script, "#!interpreter [argument]". Pure, like elf.h: a fuzzer feeds it.
 */
#include "lib/err.h"

enum { SCRIPT_HEAD_SIZE = 256 }; /* bytes of a file that are looked at: BINPRM_BUF_SIZE of the ABI */

struct script_line {
	const char *interp; /* path of the interpreter, inside the head */
	const char *arg;    /* everything behind it, without blanks at its ends; NULL: nothing */
};

/* Take the first line of the head of a file (shorter files are filled up with zeros) apart; terminators are
 * written into it. -ENOEXEC: no script, no interpreter, or a line so long that its path may be cut. */
MUST_CHECK err_t script_parse(char head[SCRIPT_HEAD_SIZE], struct script_line *out);
