#pragma once
/*
 * backtrace.h - who called whom, by the chain of frame pointers. Safe on damaged stacks: every word is read
 * by kernel_peek.
 */
#include "lib/types.h"

enum { BACKTRACE_MAX = 32 };

/* Return addresses from the frame that fp points to outwards; returns how many were found. */
unsigned backtrace_collect(vaddr_t fp, vaddr_t *pcs, unsigned max);
/* Print pc (unless 0) and what backtrace_collect finds, a line each, symbolised, through `print` (a printf).
 */
void backtrace_print(void (*print)(const char *fmt, ...) PRINTF(1, 2), vaddr_t pc, vaddr_t fp);
