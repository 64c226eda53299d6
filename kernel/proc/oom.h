#pragma once
/* oom.h - who is ended when memory is short and nothing else gives any. See oom.c. */
#include "proc/process.h"

enum { OOM_ADJUST_MIN = -1000, OOM_ADJUST_MAX = 1000 }; /* oom_score_adj: proc(5) */

/* Once at boot, with the last resort of vm/pressure.c. */
void oom_init(void);
/* How much would be won by ending p, in frames, and by how much its oom_score_adj changes that: what is the
 * largest goes first. False: p is never ended. May sleep. */
bool oom_points(struct process *p, int64_t *points);
/* Processes chosen since boot. */
uint64_t oom_killings(void);
