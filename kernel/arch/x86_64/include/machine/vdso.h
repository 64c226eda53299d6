#pragma once
/*
 * vdso.h (x86-64) - the page that user space reads the time from. Shared with vdso/vdso.c, which is user
 * code: plain types only.
 *
 * A seqlock: `sequence` is odd while the rest changes; who reads looks before and after.
 */
#include <stdint.h>

enum { VDSO_GAIN_SHIFT = 48 };
enum { VDSO_PAGE = 4096, VDSO_COARSE_NS = 4000000 };

struct vdso_data {
	uint32_t sequence;
	uint32_t has_clock;   /* not 0: the cycle counter tells the time on every CPU; else ask the kernel */
	uint32_t has_cpu;     /* not 0: RDTSCP tells the CPU */
	int32_t tai_seconds;  /* ahead of the time of day */
	uint64_t tsc_base;    /* counter when the hardware's clock was 0 */
	uint64_t ns_per_tick; /* of that clock, times 2^32 */
	uint64_t raw_then;    /* when that clock told this, ... */
	uint64_t then;        /* ... the monotonic one told this */
	int64_t gain;         /* of the monotonic clock since, in each ns of the hardware's, times 2^48 */
	uint64_t wall_offset; /* time of day when the monotonic clock was 0, ns */
};
