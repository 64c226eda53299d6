#pragma once
/* devfs_mem.h - the devices that need no hardware; for devfs.c. */
#include "lib/err.h"

MUST_CHECK err_t devfs_mem_init(void);
