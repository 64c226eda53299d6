#pragma once
/* chacha20.h - the ChaCha20 block function (RFC 8439, section 2.3). Pure. */
#include "lib/types.h"

enum { CHACHA20_KEY_SIZE = 32, CHACHA20_BLOCK_SIZE = 64 };

/* One block of key stream for this key, block counter and 96-bit nonce. */
void chacha20_block(const uint8_t key[CHACHA20_KEY_SIZE], uint32_t counter, const uint8_t nonce[12],
    uint8_t out[CHACHA20_BLOCK_SIZE]);
