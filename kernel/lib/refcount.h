#pragma once
/* refcount.h - a count of references that starts at 1. Overflow and use after the last put are assertion
 * failures. */
#include "lib/assert.h"
#include "lib/atomic.h"

struct refcount {
	_Atomic uint32_t n;
};

static inline void ref_init(struct refcount *r)
{
	store_relaxed(&r->n, 1);
}

static inline void ref_get(struct refcount *r)
{
	uint32_t old = fetch_add_relaxed(&r->n, 1);
	ASSERT(old != 0 && old < UINT32_MAX / 2);
}

/* Take a reference unless the count has reached 0 already. For look-ups that do not own one. */
static inline bool ref_try_get(struct refcount *r)
{
	uint32_t old = load_relaxed(&r->n);
	while (old != 0)
		if (cas_acquire(&r->n, &old, old + 1))
			return true;
	return false;
}

/* Drop one; true if it was the last, and then everything others wrote is visible to the caller. */
static inline MUST_CHECK bool ref_put(struct refcount *r)
{
	uint32_t old = fetch_sub_release(&r->n, 1);
	ASSERT(old != 0);
	if (old != 1)
		return false;
	(void)load_acquire(&r->n); /* a load, not a fence: ThreadSanitizer understands it */
	return true;
}

/* Drop one unless it is the last: false, and the caller still has it. */
static inline MUST_CHECK bool ref_put_but_last(struct refcount *r)
{
	uint32_t old = load_relaxed(&r->n);
	while (old > 1)
		if (cas_acq_rel(&r->n, &old, old - 1))
			return true;
	return false;
}

static inline uint32_t ref_count(const struct refcount *r)
{
	return load_relaxed(&r->n);
}
