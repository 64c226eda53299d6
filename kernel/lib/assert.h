#pragma once
/*
 * assert.h - checks of the kernel's own rules. Never used for shortage of memory or for what a user can
 * cause.
 *
 * ASSERT is compiled into every kernel and must be cheap. DEBUG_ASSERT only exists with CONFIG_DEBUG and may
 * walk whole structures.
 */
#include "lib/types.h"

/* Stop the machine with a message. From any context; takes no lock that could be held. Host port: print,
 * abort(). */
NORETURN void panic(const char *fmt, ...) PRINTF(1, 2);

#define ASSERT(cond)                                                                                         \
	do {                                                                                                 \
		if (unlikely(!(cond)))                                                                       \
			panic("%s:%d: %s: assertion failed: %s", __FILE__, __LINE__, __func__, #cond);       \
	} while (0)

#ifdef CONFIG_DEBUG
#define DEBUG_ASSERT(cond) ASSERT(cond)
#else
#define DEBUG_ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#define STATIC_ASSERT(cond) _Static_assert(cond, #cond)
