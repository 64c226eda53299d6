#pragma once
/*
 * random.h - random bytes that nobody can predict.
 *
 * ChaCha20 with fast key erasure: each request draws one block under a lock; half of it replaces the key, so
 * that what was given out cannot be computed from what is left, the other half is the key of the request's
 * own stream. Seeded once at boot from the processor's random source and again now and then.
 */
#include "lib/types.h"

/* Once at boot. Without a processor source the seed comes from the jitter of the clock against the cycle
 * counter, and the log says so. */
void random_init(void);
/* Fill buf. Any context but interrupt handlers; never waits. */
void random_bytes(void *buf, size_t n);
