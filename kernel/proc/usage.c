/*
 * usage.c - what threads and processes have used, up to now.
 *
 * The scheduler charges a thread whenever it gives up the CPU, the entry code counts what of that was spent
 * in user mode (kern/thread.h). A process keeps the sums of its threads that are gone.
 */
#include "proc/process.h"
#include "vm/space.h"

struct usage thread_usage(struct thread *t)
{
	struct thread_times times = thread_times(t);
	uint64_t major = load_relaxed(&t->file_reads), all = load_relaxed(&t->faults);
	struct usage u = {
	    .user = times.user,
	    .system = times.total - times.user,
	    .minor = all - MIN(major, all), /* it may be between the two counts */
	    .major = major,
	    .voluntary = load_relaxed(&t->switches[0]),
	    .involuntary = load_relaxed(&t->switches[1]),
	};
	for (unsigned i = 0; i < IO_KINDS; i++)
		u.io[i] = load_relaxed(&t->io[i]);
	return u;
}

void usage_add(struct usage *to, const struct usage *more)
{
	to->user += more->user;
	to->system += more->system;
	to->minor += more->minor;
	to->major += more->major;
	to->voluntary += more->voluntary;
	to->involuntary += more->involuntary;
	for (unsigned i = 0; i < IO_KINDS; i++)
		to->io[i] += more->io[i];
	to->resident_peak = MAX(to->resident_peak, more->resident_peak);
}

/* Also of memory that is about to be left, by exec or exit. */
void usage_note_memory(struct usage *u, const struct vm_space *s)
{
	if (s)
		u->resident_peak = MAX(u->resident_peak, space_resident_peak(s));
}

struct usage process_usage_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	struct usage sum = p->usage;
	list_for_each (it, &p->threads) {
		struct usage u = thread_usage(&list_entry(it, struct user_thread, link)->thread);
		usage_add(&sum, &u);
	}
	usage_note_memory(&sum, p->space);
	return sum;
}

struct usage process_usage(struct process *p)
{
	spin_lock(&process_tree_lock);
	struct usage u = process_usage_locked(p);
	spin_unlock(&process_tree_lock);
	return u;
}
