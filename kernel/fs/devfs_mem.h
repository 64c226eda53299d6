#pragma once
/* devfs_mem.h - the devices that need no hardware; for devfs.c. */
#include "lib/err.h"

MUST_CHECK err_t devfs_mem_init(void);
/* May the current thread read kmsg? Set once at boot; NULL: everybody may. */
extern bool (*devfs_may_read_log)(void);
