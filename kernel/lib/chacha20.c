/* chacha20.c - see chacha20.h. Words are little-endian, as the processor's are. */
#include "lib/chacha20.h"
#include "lib/string.h"

static inline uint32_t rotate(uint32_t w, unsigned n)
{
	return w << n | w >> (32 - n);
}

static inline void quarter_round(uint32_t x[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint8_t key[CHACHA20_KEY_SIZE], uint32_t counter, const uint8_t nonce[12],
    uint8_t out[CHACHA20_BLOCK_SIZE])
{
	uint32_t start[16], x[16];
	memcpy(start, "expand 32-byte k", 16);
	memcpy(start + 4, key, CHACHA20_KEY_SIZE);
	start[12] = counter;
	memcpy(start + 13, nonce, 12);
	memcpy(x, start, sizeof(x));
	for (unsigned round = 0; round < 20; round += 2) {
		for (unsigned i = 0; i < 4; i++)
			quarter_round(x, i, i + 4, i + 8, i + 12);
		for (unsigned i = 0; i < 4; i++)
			quarter_round(x, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12);
	}
	for (unsigned i = 0; i < 16; i++)
		x[i] += start[i];
	memcpy(out, x, sizeof(x));
}
