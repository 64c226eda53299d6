#pragma once
/* kmsg.h - /dev/kmsg: the kernel log, as Linux has it. */
#include "lib/err.h"

/* Make the device. may_read: may the current thread read it? Once at boot, after devfs_init and
 * log_news_init. */
MUST_CHECK err_t kmsg_init(bool (*may_read)(void));
