/* random.c - see random.h. */
#include "kern/random.h"
#include "arch/clock.h"
#include "arch/user.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "lib/chacha20.h"
#include "lib/string.h"

enum {
	KEY_WORDS = CHACHA20_KEY_SIZE / 8,
	RESEED_REQUESTS = 4096,
	JITTER_SAMPLES = 256,
};

static struct spinlock random_lock = SPINLOCK_INIT("random", RANK_SERVICE);
static uint64_t key[KEY_WORDS]; /* random_lock */
static unsigned requests;       /* random_lock: since the last seed */

/* Put fresh bits of the processor's source into the key, without ever losing what is there. False: there are
 * none. */
static bool mix_hardware(void)
{
	bool any = false;
	for (unsigned i = 0; i < KEY_WORDS; i++) {
		uint64_t word;
		if (user_hw_random(&word)) {
			key[i] ^= word;
			any = true;
		}
	}
	return any;
}

/* One block: the first half becomes the key, the second half goes to stream. */
static void draw(uint8_t stream[CHACHA20_KEY_SIZE])
{
	static const uint8_t nonce[12];
	uint8_t block[CHACHA20_BLOCK_SIZE];
	chacha20_block((const uint8_t *)key, 0, nonce, block);
	memcpy(key, block, CHACHA20_KEY_SIZE);
	memcpy(stream, block + CHACHA20_KEY_SIZE, CHACHA20_KEY_SIZE);
	memset(block, 0, sizeof(block));
	compiler_barrier();
}

/* The low bits of the time that a clock reading takes are noise; each sample goes through the cipher. */
static void mix_jitter(void)
{
	uint8_t discarded[CHACHA20_KEY_SIZE];
	for (unsigned i = 0; i < JITTER_SAMPLES; i++) {
		key[i % KEY_WORDS] ^= cpu_cycles() ^ clock_now() << 32;
		draw(discarded);
	}
}

void random_init(void)
{
	spin_lock(&random_lock);
	bool hardware = mix_hardware();
	mix_jitter();
	spin_unlock(&random_lock);
	if (!hardware)
		log_warn("random", "no hardware source: seeded from clock jitter alone");
}

void random_bytes(void *buf, size_t n)
{
	uint8_t stream[CHACHA20_KEY_SIZE], block[CHACHA20_BLOCK_SIZE];
	uint8_t nonce[12] = {0}, *out = buf;
	spin_lock(&random_lock);
	if (++requests >= RESEED_REQUESTS && mix_hardware())
		requests = 0;
	draw(stream);
	spin_unlock(&random_lock);
	for (uint64_t counter = 0; n; counter++) {
		size_t part = MIN(n, sizeof(block));
		uint64_t high = counter >> 32;
		memcpy(nonce, &high, sizeof(high));
		chacha20_block(stream, (uint32_t)counter, nonce, block);
		memcpy(out, block, part);
		out += part;
		n -= part;
	}
	memset(stream, 0, sizeof(stream));
	memset(block, 0, sizeof(block));
	compiler_barrier();
}
