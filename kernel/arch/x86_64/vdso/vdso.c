/*
 * vdso.c - the shared object that every process finds in its memory: clocks without a system call.
 *
 * User code: position independent, no writable data, no relocation. The page of data lies right before its
 * first byte. What it cannot answer by itself, it asks the kernel.
 */
#include "machine/vdso.h"

enum {
	NR_GETTIMEOFDAY = 96,
	NR_TIME = 201,
	NR_CLOCK_GETTIME = 228,
	NR_CLOCK_GETRES = 229,
	NR_GETCPU = 309,
};
enum clock_number {
	CLOCK_REALTIME = 0,
	CLOCK_MONOTONIC = 1,
	CLOCK_MONOTONIC_RAW = 4,
	CLOCK_REALTIME_COARSE = 5,
	CLOCK_MONOTONIC_COARSE = 6,
	CLOCK_BOOTTIME = 7,
	CLOCK_TAI = 11,
};
#define NSEC_PER_SEC 1000000000ULL

struct timespec {
	int64_t sec, nsec;
};
struct timeval {
	int64_t sec, usec;
};

extern const volatile struct vdso_data vvar __attribute__((visibility("hidden"))); /* vdso.ld says where */

#define EXPORT __attribute__((visibility("default")))
EXPORT int __vdso_clock_gettime(int clock, struct timespec *out);
EXPORT int __vdso_clock_getres(int clock, struct timespec *out);
EXPORT int __vdso_gettimeofday(struct timeval *out, void *zone);
EXPORT int64_t __vdso_time(int64_t *out);
EXPORT int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static inline long ask_kernel(long nr, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static inline uint64_t read_counter(void)
{
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

struct clocks {
	uint64_t raw, monotonic, wall_offset;
	int32_t tai_seconds;
};

/* All times, or 0 if the counter does not tell. */
static inline int read_clocks(struct clocks *c)
{
	uint32_t sequence;
	uint64_t ticks;
	int64_t since;
	do {
		while ((sequence = vvar.sequence) & 1)
			__asm__ volatile("pause");
		__asm__ volatile(
		    ""
		    :
		    :
		    : "memory"); /* loads stay in order on this CPU: the compiler's word is enough */
		if (!vvar.has_clock)
			return 0;
		ticks = read_counter() - vvar.tsc_base;
		c->raw = (uint64_t)((unsigned __int128)ticks * vvar.ns_per_tick >> 32);
		since = (int64_t)(c->raw - vvar.raw_then);
		c->monotonic =
		    vvar.then + (uint64_t)(since + (int64_t)((__int128)since * vvar.gain >> VDSO_GAIN_SHIFT));
		c->wall_offset = vvar.wall_offset;
		c->tai_seconds = vvar.tai_seconds;
		__asm__ volatile("" : : : "memory");
	} while (vvar.sequence != sequence);
	return 1;
}

int __vdso_clock_gettime(int clock, struct timespec *out)
{
	struct clocks c;
	if ((unsigned)clock > CLOCK_TAI || !read_clocks(&c))
		return (int)ask_kernel(NR_CLOCK_GETTIME, clock, (long)out, 0);
	uint64_t now = c.monotonic;
	if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
		now -= now % VDSO_COARSE_NS;
	switch (clock) {
	case CLOCK_TAI:
		now += c.wall_offset + (uint64_t)((int64_t)c.tai_seconds * (int64_t)NSEC_PER_SEC);
		break;
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		now += c.wall_offset;
		break;
	case CLOCK_MONOTONIC_RAW:
		now = c.raw;
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
		break;
	default:
		return (int)ask_kernel(NR_CLOCK_GETTIME, clock, (long)out, 0);
	}
	out->sec = (int64_t)(now / NSEC_PER_SEC);
	out->nsec = (int64_t)(now % NSEC_PER_SEC);
	return 0;
}

int __vdso_clock_getres(int clock, struct timespec *out)
{
	return (int)ask_kernel(NR_CLOCK_GETRES, clock, (long)out, 0);
}

int __vdso_gettimeofday(struct timeval *out, void *zone)
{
	struct clocks c;
	if (zone || !out || !read_clocks(&c))
		return (int)ask_kernel(NR_GETTIMEOFDAY, (long)out, (long)zone, 0);
	uint64_t now = c.monotonic + c.wall_offset;
	out->sec = (int64_t)(now / NSEC_PER_SEC);
	out->usec = (int64_t)(now % NSEC_PER_SEC / 1000);
	return 0;
}

int64_t __vdso_time(int64_t *out)
{
	struct clocks c;
	if (!read_clocks(&c))
		return ask_kernel(NR_TIME, (long)out, 0, 0);
	int64_t seconds = (int64_t)((c.monotonic + c.wall_offset) / NSEC_PER_SEC);
	if (out)
		*out = seconds;
	return seconds;
}

int __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	uint32_t low, high, id;
	(void)unused;
	if (!vvar.has_cpu)
		return (int)ask_kernel(NR_GETCPU, (long)cpu, (long)node, 0);
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(id));
	if (cpu)
		*cpu = id;
	if (node)
		*node = 0;
	return 0;
}

/* Names without the prefix, as Linux has them. */
#define ALIAS(name, ret, ...) EXPORT ret name(__VA_ARGS__) __attribute__((weak, alias("__vdso_" #name)))
ALIAS(clock_gettime, int, int clock, struct timespec *out);
ALIAS(clock_getres, int, int clock, struct timespec *out);
ALIAS(gettimeofday, int, struct timeval *out, void *zone);
ALIAS(time, int64_t, int64_t *out);
ALIAS(getcpu, int, unsigned *cpu, unsigned *node, void *unused);
