#pragma once
/* root.h - the first file systems: what programs find under "/". */
#include "lib/err.h"

struct user_thread;

/* File systems, devices, the root with the files of the boot archive, /dev. Once at boot, after proc_init; no
 * shortage of memory is expected: it panics. */
void root_init(void);
/* Descriptors 0, 1 and 2 of the first process, which has not started: /dev/console. */
MUST_CHECK err_t root_open_console(struct user_thread *ut, void *arg);
/* Nobody runs any more: write everything back and unmount. Returns the number of things that were still in
 * use, each logged. */
unsigned root_shutdown(void);
