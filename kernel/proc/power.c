/* power.c - see power.h. */
#include "proc/power.h"
#include "lib/atomic.h"
#include "proc/process.h"

static _Atomic int requested;

static void end_first_locked(struct process *p, UNUSED void *arg)
{
	if (p->pid == PID_INIT)
		process_begin_exit_locked(p, 0);
}

void power_request(enum power_action action)
{
	int none = POWER_NONE;
	(void)cas_acq_rel(&requested, &none, (int)action);
	process_for_each(end_first_locked, NULL);
	process_exit(0);
}

enum power_action power_requested(void)
{
	return (enum power_action)load_acquire(&requested);
}
