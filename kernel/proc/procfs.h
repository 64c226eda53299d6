#pragma once
/* procfs.h - processes and the system as files, in Linux's forms. See procfs.c. */
#include "fs/text.h"

/* Make it known to mount(2). Once at boot, after proc_init. */
void procfs_init(void);
