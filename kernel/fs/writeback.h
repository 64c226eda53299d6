#pragma once
/* writeback.h - the thread that writes old dirty data to disks. See writeback.c. */
#include "lib/types.h"

/* Once at boot, after vfs_init. */
void writeback_init(void);
/* The machine stops: the thread ends. */
void writeback_fini(void);
