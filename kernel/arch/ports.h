#pragma once
/* ports.h - I/O ports for user code. A port that has none offers no such thing as ports. */
#include "lib/err.h"

enum { PORTS_END = 65536 };

struct mmu_context;

/* From here on code that runs in ctx, by any thread on any CPU, may use the ports [first, first + count),
 * which lie below PORTS_END, until ctx ends. ctx is the current thread's. May sleep. -ENOMEM: nothing
 * changed. */
MUST_CHECK err_t ports_open(struct mmu_context *ctx, unsigned first, unsigned count);
