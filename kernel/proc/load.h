#pragma once
/* load.h - the load averages of /proc/loadavg. */
#include "lib/types.h"

enum { LOAD_SHIFT = 11 }; /* 1.0 is 1 << LOAD_SHIFT, as in sysinfo(2) divided by 32 */

/* Start to sample. Once at boot, after timers. */
void load_init(void);
/* Threads that ran or wanted to, averaged over 1, 5 and 15 minutes. */
void load_averages(uint64_t out[3]);
