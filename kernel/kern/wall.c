/* wall.c - see wall.h. */
#include "kern/wall.h"
#include "arch/clock.h"
#include "lib/atomic.h"

static _Atomic uint64_t offset;
static _Atomic uint32_t tai_seconds;

void (*wall_changed)(void);

nsec_t wall_offset(void)
{
	return load_relaxed(&offset);
}

nsec_t wall_now(void)
{
	return wall_offset() + clock_now();
}

void wall_set_offset(nsec_t to)
{
	store_relaxed(&offset, to);
	if (wall_changed)
		wall_changed();
}

int32_t wall_tai_seconds(void)
{
	return (int32_t)load_relaxed(&tai_seconds);
}

void wall_set_tai_seconds(int32_t seconds)
{
	store_relaxed(&tai_seconds, (uint32_t)seconds);
	if (wall_changed)
		wall_changed();
}
