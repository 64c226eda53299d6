/*
 * pressure.c - what happens when memory is short.
 *
 *	free frames of a zone
 *	  high ─── the thread rests
 *	  low ──── the thread is woken, by whoever takes frames
 *	  min ──── who needs a frame reclaims itself, then waits for the thread
 *	  0 ────── the reserve: threads that clean pages, and those that are being ended
 *
 * Whoever needs memory takes what can be had under spinlocks (clean pages, volatile objects), as it may hold
 * any sleeping lock: so do faults, copies, and every allocation that may sleep. What takes locks of file
 * systems, or waits for disks, is the thread's, which holds none. If a pass of it finds nothing either and
 * nothing is on its way to disks, the last resort is to end a process; who waits goes on waiting, as the
 * memory comes once the process is gone. It may not go for as long as somebody who waits here holds a lock
 * that it needs: so the last resort takes another one after a while, and says so when there is none left.
 * Then whoever waits learns -ENOMEM. Each wait is bounded, nobody waits for a lock in here, and every turn
 * either frees memory, writes pages or brings the number of processes down: so there is an end to it.
 *
 * Locking: pressure_lock (RANK_SERVICE) for what is said between those who wait and the thread.
 */
#include "arch/clock.h"
#include "kern/thread.h"
#include "mm/kva.h"
#include "vm/vm_priv.h"

#define MSEC 1000000ULL

enum {
	FLOOR_SHARE = 64,      /* of memory: active pages that are not taken from those who run on them */
	WRITE_PASSES_MAX = 30, /* passes in a row without a page written that dirty pages are waited for */
};
#define REST_AFTER_NOTHING (100 * MSEC) /* between passes that nobody waits for and that found nothing */
#define WAIT_FOR_PASS      (200 * MSEC) /* then look again, whatever the thread does */

static bool started; /* constant once others run */
static struct spinlock pressure_lock = SPINLOCK_INIT("memory pressure", RANK_SERVICE);
static struct waitq wake, progress;   /* pressure_lock is their predicates' */
static _Atomic bool wanted;           /* set under pressure_lock, looked at without: a pass is due */
static unsigned waiting;              /* pressure_lock: threads that cannot go on */
static unsigned insisting;            /* pressure_lock: of these, who cannot be refused either: page faults */
static struct memory_request request; /* pressure_lock: of the last of them */
static uint64_t passes,
    useful;          /* pressure_lock: ended; of these, those after which it is worth trying again */
static bool in_pass; /* pressure_lock: one is under way */
static uint64_t hopeless, poor; /* pressure_lock: the last pass after which there was nobody to be ended, or
				   nobody who has much */
static enum last_resort (*_Atomic last_resort)(const struct memory_request *r);
static _Atomic uint64_t nscans, nreclaimed, ndirect, nwaits;

static uint64_t floor_pages(void)
{
	return frame_total_count() / FLOOR_SHARE;
}

/* --- the thread --- */

/* What takes locks, or waits, or costs others something. */
static uint64_t reclaim_more(uint64_t missing)
{
	uint64_t freed = reclaim_objects();
	if (freed >= missing)
		return freed;
	freed += kva_shrink() + slab_shrink_all();
	uint64_t dirty, writeback;
	vm_dirty_counts(&dirty, &writeback);
	if (dirty + writeback && reclaim_clean()) {
		unsigned zones = 0;
		(void)frame_missing(&zones);
		freed += reclaim_cached(missing, floor_pages(), zones);
	}
	return freed;
}

/* Get the zones above their high watermarks. Returns frames freed. */
static uint64_t run_pass(void)
{
	unsigned zones;
	uint64_t missing = frame_missing(&zones);
	reclaim_put_orphans();
	if (!missing)
		return 0;
	fetch_add_relaxed(&nscans, 1);
	uint64_t freed = reclaim_cached(missing, floor_pages(), zones);
	if (freed < missing)
		freed += reclaim_volatile(missing - freed);
	if (freed < missing)
		freed += reclaim_more(missing - freed);
	fetch_add_relaxed(&nreclaimed, freed);
	return freed;
}

/* Somebody waits, and there was nothing for it. */
static enum last_resort resort(void)
{
	enum last_resort (*end_somebody)(const struct memory_request *r) = load_acquire(&last_resort);
	struct memory_request r;
	spin_lock(&pressure_lock);
	r = request;
	r.refusable = !insisting;
	spin_unlock(&pressure_lock);
	return end_somebody ? end_somebody(&r) : RESORT_NONE;
}

/* Is there reason to believe that memory comes by itself: pages are on their way to a disk? */
static bool is_being_written(uint64_t *written, unsigned *without)
{
	uint64_t dirty, writeback, now = vm_written_count();
	vm_dirty_counts(&dirty, &writeback);
	*without = now == *written ? *without + 1 : 0;
	*written = now;
	return dirty + writeback && *without < WRITE_PASSES_MAX;
}

static void tell_locked(bool was_useful, enum last_resort what)
{
	in_pass = false;
	passes++;
	useful += was_useful;
	if (what == RESORT_NONE)
		hopeless = passes;
	if (what != RESORT_ENDS)
		poor = passes;
	waitq_wake_all(&progress);
}

void vm_pressure_main(UNUSED void *arg)
{
	uint64_t written = 0;
	unsigned without = 0;
	vm_use_reserve();
	spin_lock(&pressure_lock);
	for (;;) {
		while (!load_relaxed(&wanted))
			(void)waitq_sleep(&wake, &pressure_lock, NSEC_NEVER, 0);
		store_relaxed(&wanted, false);
		in_pass = true;
		spin_unlock(&pressure_lock);
		uint64_t freed = run_pass();
		bool room = freed || frame_has_room() || is_being_written(&written, &without);
		spin_lock(&pressure_lock);
		bool somebody = waiting > 0;
		spin_unlock(&pressure_lock);
		enum last_resort what = room || !somebody ? RESORT_ENDS : resort();
		spin_lock(&pressure_lock);
		tell_locked(freed > 0, what);
		if (freed && frame_is_low())
			store_relaxed(&wanted, true);
		else if (!freed && !waiting)
			(void)waitq_sleep(&wake, &pressure_lock, clock_now() + REST_AFTER_NOTHING, 0);
	}
}

static void wake_thread_locked(void)
{
	store_relaxed(&wanted, true);
	waitq_wake_all(&wake);
}

/* frame_pressure.low */
static void note_low(void)
{
	if (load_relaxed(&wanted))
		return;
	spin_lock(&pressure_lock);
	if (!load_relaxed(&wanted))
		wake_thread_locked();
	spin_unlock(&pressure_lock);
}

/* --- those who need memory --- */

/* Without the thread's help. */
static bool find_directly(uint64_t npages)
{
	unsigned all = (1u << NZONES) - 1;
	uint64_t freed = reclaim_cached(npages, floor_pages(), all);
	if (!freed)
		freed = reclaim_volatile(npages);
	fetch_add_relaxed(&ndirect, freed);
	return freed > 0;
}

/* Wait until it is worth trying again (0), or a pass that began after now found nobody to be ended (-ENOMEM).
 * -EAGAIN: neither happened for a while. */
static err_t wait_for_pass(uint64_t npages, bool refusable)
{
	nsec_t until = clock_now() + WAIT_FOR_PASS;
	err_t err = 0;
	fetch_add_relaxed(&nwaits, 1);
	spin_lock(&pressure_lock);
	uint64_t next = passes + 1 + in_pass, /* the first that begins after we came */
	    before = useful;
	waiting++;
	insisting += !refusable;
	request = (struct memory_request){.tid = current_thread()->tid, .npages = npages};
	memcpy(request.name, current_thread()->name, sizeof(request.name));
	wake_thread_locked();
	const uint64_t *end = refusable ? &poor : &hopeless;
	while (!err && useful == before && *end < next && !frame_has_room())
		err = waitq_sleep(&progress, &pressure_lock, until, WAIT_KILLABLE);
	bool nobody_left = *end >= next;
	bool found = useful != before;
	waiting--;
	insisting -= !refusable;
	spin_unlock(&pressure_lock);
	if (err == -EINTR)
		return err;
	return found || frame_has_room() ? 0 : nobody_left ? -ENOMEM : -EAGAIN;
}

static err_t find_memory(uint64_t npages, bool refusable)
{
	err_t err = -EAGAIN;
	if (load_relaxed(&current_thread()->flags) & THREAD_RESERVE)
		return thread_is_killed() ? -EINTR : -ENOMEM;
	if (!started)
		return find_directly(npages) || vm_reclaim(npages) ? 0 : -ENOMEM;
	while (err == -EAGAIN) {
		if (thread_is_killed())
			return -EINTR;
		err = find_directly(npages) ? 0 : wait_for_pass(npages, refusable);
	}
	return err;
}

err_t vm_find_memory(uint64_t npages)
{
	return find_memory(npages, false);
}

/* frame_pressure.find */
static bool find(uint64_t npages)
{
	const struct thread *t = current_thread();
	return t && !(load_relaxed(&t->flags) & THREAD_NOFAULT) && find_memory(npages, true) == 0;
}

void vm_memory_came(void)
{
	if (!started)
		return;
	spin_lock(&pressure_lock);
	if (waiting)
		waitq_wake_all(&progress);
	spin_unlock(&pressure_lock);
}

void vm_use_reserve(void)
{
	fetch_or_acq_rel(&current_thread()->flags, THREAD_RESERVE);
}

void vm_set_last_resort(enum last_resort (*end_somebody)(const struct memory_request *r))
{
	store_release(&last_resort, end_somebody);
}

void vm_pressure_stats(struct pressure_stats *out)
{
	struct lru_stats l;
	lru_stats(&l);
	*out = (struct pressure_stats){.scans = load_relaxed(&nscans),
	    .reclaimed = load_relaxed(&nreclaimed),
	    .direct = load_relaxed(&ndirect),
	    .waits = load_relaxed(&nwaits),
	    .refaults = l.refaults,
	    .active = l.count[LRU_ACTIVE],
	    .inactive = l.count[LRU_INACTIVE]};
}

void vm_pressure_init(void)
{
	static const struct frame_pressure ops = {.low = note_low, .find = find};
	waitq_init(&wake);
	waitq_init(&progress);
	started = true;
	frame_set_pressure(&ops);
}
