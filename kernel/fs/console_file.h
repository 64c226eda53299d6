#pragma once
/* console_file.h - /dev/console as a device that can be written: what the log's readers see. */
#include "lib/err.h"

/* Once at boot, after devfs_init. */
MUST_CHECK err_t console_file_init(void);
