#pragma once
/*
 * power.h - programs may end the machine: see reboot(2).
 *
 * Whoever asks for it ends, and so does the first process, for which the kernel's main thread waits. That
 * ends all others, writes everything back, unmounts, and does what was asked.
 */
#include "lib/types.h"

enum power_action { POWER_NONE, POWER_HALT, POWER_OFF, POWER_RESTART };

/* Ask for the machine's end; the first to ask decides. In a process, which ends here. */
NORETURN void power_request(enum power_action action);
/* What was asked for. */
enum power_action power_requested(void);
