#pragma once
/* bits.h - bit scans and logarithms over 64-bit words. Undefined for 0 where said. */
#include "lib/types.h"

#define BIT(n) (1ULL << (n))

static inline unsigned bit_lowest(uint64_t w) /* w != 0 */
{
	return (unsigned)__builtin_ctzll(w);
}

static inline unsigned bit_highest(uint64_t w) /* w != 0 */
{
	return 63u - (unsigned)__builtin_clzll(w);
}

static inline unsigned bit_count(uint64_t w)
{
#ifdef __POPCNT__
	return (unsigned)__builtin_popcountll(w);
#else /* the builtin would call the compiler's library, which a kernel does not have: add up neighbours */
	w -= w >> 1 & 0x5555555555555555ULL;
	w = (w & 0x3333333333333333ULL) + (w >> 2 & 0x3333333333333333ULL);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (unsigned)(w * 0x0101010101010101ULL >> 56);
#endif
}

/* Bits [first, last], both inclusive, 0 <= first <= last <= 63. */
static inline uint64_t bit_range(unsigned first, unsigned last)
{
	return (~0ULL << first) & (~0ULL >> (63 - last));
}

static inline bool is_power_of_two(uint64_t w)
{
	return w && !(w & (w - 1));
}

/* Smallest order with (1 << order) >= n; n >= 1. */
static inline unsigned order_of(uint64_t n)
{
	return n <= 1 ? 0 : bit_highest(n - 1) + 1;
}
