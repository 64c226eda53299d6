#pragma once
/* native.h - what the files that serve native calls share. */
#include "kern/log.h"
#include "sys/sys.h"

/* A program's line, for the log. What is longer than a line is cut; control characters become dots, so that
 * a program cannot forge lines. -EFAULT. */
MUST_CHECK int64_t native_log(enum log_level level, uaddr_t text);
