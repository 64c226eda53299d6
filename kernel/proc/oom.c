/*
 * oom.c - the last resort: a process is ended to have its memory.
 *
 * The thread that reclaims asks here when somebody waits for memory and neither the page cache, volatile
 * memory, caches of the kernel nor the disks have any more (vm/pressure.c). Who wanted it does not matter,
 * nor for what: a fault, a copy, a file, fork. It goes who has most memory to himself, as it is that which
 * comes back; oom_score_adj moves a process by that many thousandths of all memory, and -1000 protects it, as
 * does being process 1. All processes that run in the same memory go together, for else nothing would come
 * back.
 *
 * The victim's threads may use the reserve of frames from then on, so that they can end. If it has not ended
 * after a while - a thread of it may wait for a lock that somebody holds who waits for memory - another one
 * is chosen. That is one more than strictly needed, but a machine that goes on.
 */
#include "proc/oom.h"
#include "arch/clock.h"
#include "kern/log.h"
#include "kern/wall.h"
#include "mm/frame.h"
#include "proc/cred.h"
#include "proc/proc_priv.h"
#include "vm/fault.h"
#include "vm/space.h"

#define PATIENCE (2 * NSEC_PER_SEC) /* for a victim to end */
#define QUIET    (1 * NSEC_PER_SEC) /* without a refusal, before one is told again */

enum {
	KIB_PER_PAGE = PAGE_SIZE / 1024,
	WORTH_PAGES = MIB(1) / PAGE_SIZE, /* who has less is poor, and not ended for what can be refused */
};

/* All of the thread that reclaims. */
static uint32_t victim_pid; /* without a reference: nobody would drop it when the process is gone */
static uint64_t victim_serial;
static nsec_t victim_since;
static bool victim_is_poor;
static _Atomic uint64_t killings; /* read by others */

struct choice {
	struct process *p; /* counted; NULL: none */
	int64_t points;
	uint64_t pages; /* its own */
};

/* Is p one that is never ended, or is being ended? */
static bool is_spared(struct process *p)
{
	spin_lock(&process_tree_lock);
	bool spared = p->pid == PID_INIT || p->state != PROCESS_ALIVE || p->exiting || !p->space ||
		      p->has_memory_of_parent;
	spin_unlock(&process_tree_lock);
	return spared || load_relaxed(&p->oom_adjust) == OOM_ADJUST_MIN;
}

static uint64_t own_pages(struct process *p)
{
	uint64_t pages = 0;
	struct vm_space *s = process_space(p);
	if (s) {
		pages = space_count_own(s);
		space_put(s);
	}
	return pages;
}

static int64_t points_of(struct process *p, uint64_t pages)
{
	return (int64_t)pages + load_relaxed(&p->oom_adjust) * (int64_t)frame_total_count() / OOM_ADJUST_MAX;
}

bool oom_points(struct process *p, int64_t *points)
{
	*points = points_of(p, own_pages(p));
	return !is_spared(p);
}

static struct choice choose(void)
{
	struct choice best = {0};
	struct process *next;
	for (struct process *p = process_next(NULL); p; p = next) {
		uint64_t pages = is_spared(p) ? 0 : own_pages(p);
		int64_t points = points_of(p, pages);
		next = process_next(p);
		if (!pages || (best.p && points <= best.points)) {
			process_put(p);
			continue;
		}
		if (best.p)
			process_put(best.p);
		best = (struct choice){p, points, pages};
	}
	return best;
}

struct ending {
	const struct vm_space *space;
	unsigned n;
};

/* p, if it runs in the memory that is wanted. */
static void end_if_inside_locked(struct process *p, void *arg)
{
	struct ending *e = arg;
	if (p->space != e->space || p->pid == PID_INIT)
		return;
	e->n++;
	list_for_each (it, &p->threads) {
		struct thread *t = &list_entry(it, struct user_thread, link)->thread;
		fetch_or_acq_rel(&t->flags, THREAD_RESERVE);
	}
	process_begin_exit_locked(p, wait_status_killed(SIGNAL_KILL));
}

/* False: it was gone by then. */
static bool end(struct process *p)
{
	struct ending e = {0};
	spin_lock(&process_tree_lock);
	e.space = p->space;
	if (e.space)
		process_for_each_locked(end_if_inside_locked, &e);
	spin_unlock(&process_tree_lock);
	return e.n > 0;
}

static void tell(const struct choice *c, const struct memory_request *r)
{
	log_warn("oom",
	    "out of memory: %s[%u] of user %u is ended: %llu kB of its own, oom_score_adj %d, score %lld; %s[%u] wants %llu kB, %llu kB of %llu kB are free",
	    c->p->name, c->p->pid, process_uid(c->p), (unsigned long long)(c->pages * KIB_PER_PAGE),
	    load_relaxed(&c->p->oom_adjust), (long long)c->points, r->name, r->tid,
	    (unsigned long long)(r->npages * KIB_PER_PAGE),
	    (unsigned long long)(frame_free_count() * KIB_PER_PAGE),
	    (unsigned long long)(frame_total_count() * KIB_PER_PAGE));
}

/* Of many in a row the first is told. */
static void tell_refusal(const struct memory_request *r)
{
	static nsec_t quiet_until;
	nsec_t now = clock_now();
	if (now >= quiet_until)
		log_warn("oom", "out of memory: %s[%u] wants %llu kB, and there is nobody to be ended",
		    r->name, r->tid, (unsigned long long)(r->npages * KIB_PER_PAGE));
	quiet_until = now + QUIET;
}

/* Is the last victim still about to end, and not for too long? */
static bool victim_is_ending(void)
{
	if (clock_now() - victim_since >= PATIENCE)
		return false;
	spin_lock(&process_tree_lock);
	const struct process *p = process_find_locked(victim_pid);
	bool ending = p && p->serial == victim_serial && p->space;
	spin_unlock(&process_tree_lock);
	return ending;
}

static void end_choice(struct choice *c, const struct memory_request *r)
{
	if (end(c->p)) {
		tell(c, r);
		fetch_add_relaxed(&killings, 1);
	}
	victim_pid = c->p->pid;
	victim_serial = c->p->serial;
	victim_is_poor = c->pages < WORTH_PAGES;
	victim_since = clock_now();
}

static enum last_resort end_somebody(const struct memory_request *r)
{
	if (victim_is_ending())
		return victim_is_poor ? RESORT_POOR : RESORT_ENDS;
	struct choice c = choose();
	enum last_resort what = !c.p ? RESORT_NONE : c.pages < WORTH_PAGES ? RESORT_POOR : RESORT_ENDS;
	if (what == RESORT_ENDS || (what == RESORT_POOR && !r->refusable))
		end_choice(&c, r);
	else
		tell_refusal(r);
	if (c.p)
		process_put(c.p);
	return what;
}

uint64_t oom_killings(void)
{
	return load_relaxed(&killings);
}

void oom_init(void)
{
	vm_set_last_resort(end_somebody);
}
