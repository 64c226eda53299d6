/* sched_view.c - what a thread had of the scheduler, for those who want to see it. */
#include "arch/clock.h"
#include "kern/sched_priv.h"

/* What has begun and is not charged yet. */
static nsec_t since(nsec_t begin, nsec_t now)
{
	return now > begin ? now - begin : 0;
}

void sched_view_take(struct thread *t, struct sched_view *out)
{
	uint64_t state;
	struct run_queue *q = queue_lock_of(t, &state);
	nsec_t now = clock_now();
	*out = (struct sched_view){.ran = t->cpu_time + (q->current == t ? since(t->run_started, now) : 0),
	    .waited = t->ready_time + (t->ready_since ? since(t->ready_since, now) : 0),
	    .turns = t->turns,
	    .switches = {load_relaxed(&t->switches[0]), load_relaxed(&t->switches[1])},
	    .vruntime = t->vruntime,
	    .weight = t->weight};
	spin_unlock_irqrestore(&q->lock, state);
}
