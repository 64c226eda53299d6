#pragma once
/* devfs_mem.h - the devices that need no hardware; for devfs.c. */
#include "lib/err.h"

enum { DEVFS_MEM_MAJOR = 1 };
MUST_CHECK err_t devfs_mem_init(void);
