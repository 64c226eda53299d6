/* wall.c - see wall.h. */
#include "kern/wall.h"
#include "arch/clock.h"
#include "kern/spinlock.h"

/* (K) wall_lock to change */
static struct spinlock wall_lock = SPINLOCK_INIT("wall clock", RANK_CLOCK);
static _Atomic uint64_t offset;      /* (K) */
static _Atomic uint32_t tai_seconds; /* (K) */

void (*wall_changed)(void);

nsec_t wall_offset(void)
{
	return load_relaxed(&offset);
}

nsec_t wall_now(void)
{
	return wall_offset() + clock_now();
}

static void tell_locked(void)
{
	if (wall_changed)
		wall_changed();
}

void wall_set_offset(nsec_t to)
{
	uint64_t irq = spin_lock_irqsave(&wall_lock);
	store_relaxed(&offset, to);
	tell_locked();
	spin_unlock_irqrestore(&wall_lock, irq);
}

int32_t wall_tai_seconds(void)
{
	return (int32_t)load_relaxed(&tai_seconds);
}

void wall_set_tai_seconds(int32_t seconds)
{
	uint64_t irq = spin_lock_irqsave(&wall_lock);
	store_relaxed(&tai_seconds, (uint32_t)seconds);
	tell_locked();
	spin_unlock_irqrestore(&wall_lock, irq);
}

void wall_set_rate(int64_t gain)
{
	uint64_t irq = spin_lock_irqsave(&wall_lock);
	clock_set_rate(gain);
	spin_unlock_irqrestore(&wall_lock, irq);
}
