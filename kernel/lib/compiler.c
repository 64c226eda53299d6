/*
 * compiler.c - functions that compilers call for what the processor has no instruction for. The compiler's
 * own library is not linked: it was not made for a kernel (it may use the red zone below the stack pointer,
 * which interrupts overwrite).
 */
#include "lib/types.h"

#ifndef CONFIG_HOST
int __popcountdi2(uint64_t w);
unsigned __int128 __udivti3(unsigned __int128 n, unsigned __int128 d);

/* Bits set in w: sums of 1, 2, 4 bits side by side, then all bytes by one multiplication. */
int __popcountdi2(uint64_t w)
{
	w -= w >> 1 & 0x5555555555555555;
	w = (w & 0x3333333333333333) + (w >> 2 & 0x3333333333333333);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (int)(w * 0x0101010101010101 >> 56);
}

/* n / d by long division, a bit at a time: for the clock's calibration, not for paths that are hot. */
unsigned __int128 __udivti3(unsigned __int128 n, unsigned __int128 d)
{
	unsigned __int128 quotient = 0, rest = 0;

	for (int i = 127; i >= 0; i--) {
		bool carry = rest >> 127;
		rest = rest << 1 | (n >> i & 1);
		if (carry || rest >= d) {
			rest -= d;
			quotient |= (unsigned __int128)1 << i;
		}
	}
	return quotient;
}
#endif
