#pragma once
/*
 * steer.h - keeping the clock right: its frequency, and corrections of its phase that are spread over seconds
 * so that it never jumps. The arithmetic of adjtimex(2). See steer.c.
 *
 * All may be called in any context, with no lock of rank RANK_WAIT or above held.
 */
#include "lib/types.h"

enum {
	STEER_TICK = 10000, /* us that a tick is long unless it is said otherwise; 100 make a second */
	STEER_CONSTANT_MAX = 10,
	STEER_FREQUENCY_MAX = 32768000, /* 500 ppm, in 2^-16 ppm */
	STEER_PHASE_MAX = 500000000,    /* ns */
};
/* With a correction of phase. */
enum steer_flags {
	STEER_HOLD = 1, /* it says nothing of the frequency */
	STEER_LOOSE = 2 /* corrections may be long apart: the frequency follows them as a whole */
};

/* The frequency's error that is made good, in 2^-16 ppm; beyond STEER_FREQUENCY_MAX it is that. */
void steer_set_frequency(int64_t frequency);
int64_t steer_frequency(void);
/* Length of a tick in us, 9,000 to 11,000. */
void steer_set_tick(int64_t us);
int64_t steer_tick(void);
/* How slowly corrections of phase are made: 0 to STEER_CONSTANT_MAX. */
void steer_set_constant(int64_t constant);
/* The clock is found to be `ns` behind (at most STEER_PHASE_MAX, either way): be rid of it in small parts,
 * and learn of the frequency, from what was found since steer_begin or the last call. True: by the way of
 * STEER_LOOSE. */
bool steer_correct(int64_t ns, unsigned flags);
/* Corrections begin now. */
void steer_begin(void);
/* ns of the correction that no second has been given to make yet. */
int64_t steer_left(void);
/* The clock goes `us` ahead (negative: back) once, 500 us in a second, in place of what was left of the
 * last such wish, which is returned. */
int64_t steer_adjust(int64_t us);
int64_t steer_adjust_left(void);
/* The clock was set: nothing is left to be corrected. The frequency stays. */
void steer_clear(void);
