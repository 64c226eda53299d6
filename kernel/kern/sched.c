/*
 * sched.c - the scheduler.
 *
 * Who runs. Every CPU has a run queue: the READY threads in a red-black tree by `vruntime`, the time each has
 * run, scaled by its weight (a nice level is a factor of 1.25, SCHED_IDLE weighs next to nothing). The first
 * in the tree has had the least of its share and runs next; so in the long run threads get time in proportion
 * to their weights. `floor` follows the least vruntime of the queue and never goes back. A thread that leaves
 * the CPU to sleep keeps its distance to the floor and gets it back on the queue it wakes on; time asleep is
 * not saved up beyond SLEEPER_BONUS.
 *
 * When. The running thread is preempted when its time slice ends, when a thread wakes that is behind it by
 * more than WAKE_MARGIN, or when something moves it away. All of these set cpu.need_resched, and the switch
 * happens at the next preempt_enable, at the return from the interrupt, or at the return to user mode. A
 * slice is only timed while somebody else is READY: no tick.
 *
 * Where. A thread wakes where it last ran if that CPU is idle, else on an idle CPU, else where it last ran,
 * unless a real-time thread runs there. A CPU that goes idle steals from the fullest queue. A CPU whose slice
 * ends gives a thread to an idle CPU, or now and then to one that is much less loaded: the busy ones tick
 * anyway, and those that do not tick need not be woken to find out that there is nothing for them.
 *
 * The switch. sched_switch runs with interrupts disabled and preemption count 1:
 *
 *	prev: lock queue; account; put prev back if it still wants to run; pick next;
 *	      mmu_switch(next->mmu); arch_thread_switch
 *	next: ... returns from its own arch_thread_switch; unlock queue; do what prev left to do
 *
 * The queue lock is held across the change of stacks and released by the thread that runs then. That gives
 * one simple rule: under a queue's lock, a thread that is not `current` is not on its stack. So a waker never
 * has to wait for a thread to finish leaving, a thread that is woken before it left simply goes on, and a
 * dead thread is declared gone by the next one, when nothing of it is in use any more. mmu_switch comes first
 * because from then on the kernel half is all that anybody looks at, and every context has the same one. A
 * new thread starts in sched_finish_first_switch instead, which is the part after arch_thread_switch.
 *
 * A thread that wakes another and sleeps, under one lock, can leave it the CPU (sched_switch_from): the other
 * is BLOCKED and on no queue, so it takes prev's place under the queue's lock without ever being READY.
 *
 * Moving. No two queue locks are held at a time. A thread in transit between queues is BLOCKED for that
 * moment: the mover takes it off its queue, unlocks, and makes it ready like any waker would; whoever comes
 * in between (a wake-up, another mover) may make it ready first, which is just as good. So READY means
 * queued, under the queue's lock, at all times, and there is no order of queue locks to keep. A running
 * thread that may not stay on its CPU is moved in this way by the thread that runs after it.
 *
 * Real-time threads come before all of these: sched_rt.c says in which order, for how long and where.
 *
 * Rejected: one global queue (a lock that everybody wants), and pulling balance by a periodic timer on idle
 * CPUs (they would not sleep).
 *
 * Fields: (Q) guarded by the queue's lock; (A) atomic, written under the lock, read by anybody.
 */
#include "arch/clock.h"
#include "arch/mmu.h"
#include "arch/upcall.h"
#include "kern/sched_priv.h"
#include "kern/timer.h"
#include "lib/printf.h"

enum {
	US = 1000,
	SLICE_PERIOD = 12000 * US, /* shared by the threads of a queue */
	SLICE_LEAST = 3000 * US,
	SLEEPER_BONUS = 6000 * US, /* weighted ns that a sleeper may be behind the floor */
	WAKE_MARGIN = 1000 * US,   /* weighted ns */
	WEIGHT_IDLE = 3,           /* of SCHED_IDLE, whatever the nice level */
};

struct run_queue sched_queues[MAX_CPUS];
_Atomic uint64_t sched_active_cpus; /* CPUs that schedule */
_Atomic uint64_t sched_idle_cpus;   /* CPUs with nothing to run: a hint */

/* 1024 * 1.25^-nice, rounded, for nice -20 ... 19. */
static const uint32_t weights[NICE_MAX - NICE_MIN + 1] = {
    88818,
    71054,
    56843,
    45475,
    36380,
    29104,
    23283,
    18626,
    14901,
    11921,
    9537,
    7629,
    6104,
    4883,
    3906,
    3125,
    2500,
    2000,
    1600,
    1280,
    1024,
    819,
    655,
    524,
    419,
    336,
    268,
    215,
    172,
    137,
    110,
    88,
    70,
    56,
    45,
    36,
    29,
    23,
    18,
    15,
};

/* Is virtual time a before b? Both wrap round. */
static bool is_before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

/* ---------------------------------------------------------------- one queue */

static uint64_t weight_of(const struct thread_policy *p)
{
	if (p->rt_priority)
		return weights[0];
	return p->policy == POLICY_IDLE ? (uint64_t)WEIGHT_IDLE : weights[p->nice - NICE_MIN];
}

/* The order in which READY threads run. */
static bool goes_before(const struct thread *a, const struct thread *b)
{
	if (a->rt_priority != b->rt_priority)
		return a->rt_priority > b->rt_priority;
	return is_real_time(a) ? a->rt_turn < b->rt_turn : is_before(a->vruntime, b->vruntime);
}

struct run_queue *queue_lock_of(struct thread *t, uint64_t *state)
{
	for (;;) {
		struct run_queue *q = &sched_queues[load_relaxed(&t->cpu)];
		*state = spin_lock_irqsave(&q->lock);
		if (load_relaxed(&t->cpu) == q->cpu)
			return q;
		spin_unlock_irqrestore(&q->lock, *state);
	}
}

static struct thread *queue_first_locked(struct run_queue *q)
{
	struct rb_node *first = rb_first(&q->tree);

	return first ? rb_entry(first, struct thread, run_node) : NULL;
}

struct thread *queue_first_fair_locked(struct run_queue *q)
{
	struct thread *first = NULL;

	for (struct rb_node *n = q->tree.root; n;) {
		struct thread *t = rb_entry(n, struct thread, run_node);
		if (!is_real_time(t))
			first = t;
		n = is_real_time(t) ? n->right : n->left;
	}
	return first;
}

static void load_add(struct run_queue *q, uint64_t delta)
{
	store_relaxed(&q->load, load_relaxed(&q->load) + delta);
}

static ALWAYS_INLINE void floor_advance_locked(struct run_queue *q)
{
	struct thread *first = queue_first_fair_locked(q);
	struct thread *least = q->current != q->idle && !is_real_time(q->current) ? q->current : NULL;

	if (first && (!least || is_before(first->vruntime, least->vruntime)))
		least = first;
	if (least && is_before(q->floor, least->vruntime))
		q->floor = least->vruntime;
}

/* Time in user mode. The thread may go there or come from there while another CPU reads: then it reads again.
 */
static uint64_t user_cycles_of(struct thread *t)
{
	for (;;) {
		int64_t count = load_acquire(&t->user_cycles);
		if (likely(count >= 0))
			return (uint64_t)count;
		int64_t now = (int64_t)cpu_cycles();
		if (load_acquire(&t->user_cycles) == count)
			return (uint64_t)MAX(count + now, 0);
	}
}

/* Part what the current thread ran for by what it was in. */
static ALWAYS_INLINE void account_cpu_locked(struct run_queue *q, struct thread *t, nsec_t ran)
{
	nsec_t user = clock_cycles_to_ns(user_cycles_of(t));
	user = MIN(user > t->user_charged ? user - t->user_charged : 0, ran);
	t->user_charged += user;
	*(t->nice > 0 ? &q->times.nice : &q->times.user) += user;
	q->times.system += ran - user;
}

static ALWAYS_INLINE void charge_current_locked(struct run_queue *q, nsec_t now)
{
	struct thread *t = q->current;
	nsec_t ran = now > t->run_started ? now - t->run_started : 0;

	t->run_started = now;
	t->cpu_time += ran;
	if (t == q->idle)
		return;
	account_cpu_locked(q, t, ran);
	if (is_real_time(t)) {
		rt_charge_locked(q, t, ran, now);
		return;
	}
	t->vruntime += ran * WEIGHT_NORMAL / t->weight;
	floor_advance_locked(q);
}

void account_locked(struct run_queue *q, nsec_t now)
{
	charge_current_locked(q, now);
}

struct thread_times thread_times(struct thread *t)
{
	uint64_t state;
	struct run_queue *q = queue_lock_of(t, &state);
	struct thread_times times = {.total = t->cpu_time};
	nsec_t now = clock_now();
	if (q->current == t && now > t->run_started)
		times.total += now - t->run_started;
	times.user = MIN(clock_cycles_to_ns(user_cycles_of(t)), times.total);
	spin_unlock_irqrestore(&q->lock, state);
	return times;
}

void enqueue_locked(struct run_queue *q, struct thread *t)
{
	struct rb_node **link = &q->tree.root, *parent = NULL;

	ASSERT_HELD(&q->lock);
	ASSERT(!t->queued);
	while (*link) {
		parent = *link;
		bool left = goes_before(t, rb_entry(parent, struct thread, run_node));
		link = left ? &parent->left : &parent->right;
	}
	rb_insert(&q->tree, &t->run_node, parent, link);
	t->queued = true;
	store_relaxed(&t->state, THREAD_READY);
	store_relaxed(&q->nready, load_relaxed(&q->nready) + 1);
	load_add(q, t->weight);
	if (is_real_time(t))
		rt_enqueued_locked(q);
	atomic_fetch_and_explicit(&sched_idle_cpus, ~BIT(q->cpu), memory_order_relaxed);
}

void dequeue_locked(struct run_queue *q, struct thread *t)
{
	ASSERT_HELD(&q->lock);
	ASSERT(t->queued && load_relaxed(&t->cpu) == q->cpu);
	rb_remove(&q->tree, &t->run_node);
	t->queued = false;
	store_relaxed(&q->nready, load_relaxed(&q->nready) - 1);
	load_add(q, 0 - t->weight);
	if (is_real_time(t))
		rt_dequeued_locked(q);
}

/* t leaves q without being queued elsewhere: its virtual time becomes a distance. */
static void leave_locked(struct run_queue *q, struct thread *t)
{
	t->vruntime -= q->floor;
}

/* t, which was on no queue, comes to q: its distance becomes a virtual time. */
static void join_locked(struct run_queue *q, struct thread *t)
{
	if (is_before(t->vruntime, 0 - (uint64_t)SLEEPER_BONUS))
		t->vruntime = 0 - (uint64_t)SLEEPER_BONUS;
	t->vruntime += q->floor;
}

static void arrive_locked(struct run_queue *q, struct thread *t)
{
	join_locked(q, t);
	if (is_real_time(t))
		rt_take_turn_locked(q, t, false);
	enqueue_locked(q, t);
}

void detach_locked(struct run_queue *q, struct thread *t)
{
	dequeue_locked(q, t);
	leave_locked(q, t);
	store_relaxed(&t->state, THREAD_BLOCKED);
}

/* The CPU of q is to run its scheduler. true: it is another one, and has to be interrupted for that. */
static MUST_CHECK bool need_resched_locked(struct run_queue *q)
{
	return exchange_acq_rel(&cpus[q->cpu].need_resched, 1) == 0 && q != this_queue();
}

static void kick_locked(struct run_queue *q)
{
	if (need_resched_locked(q))
		cpu_send_resched(q->cpu);
}

/* How long the current thread may run if somebody else wants to, or somebody counts its time; 0: as long as
 * it likes. */
static nsec_t slice_of_current_locked(struct run_queue *q, nsec_t now)
{
	uint32_t nready = load_relaxed(&q->nready);
	nsec_t slice = nready ? MAX(SLICE_PERIOD / (nready + 1), (uint32_t)SLICE_LEAST) : NSEC_NEVER;

	if (q->current == q->idle)
		return 0;
	if (is_real_time(q->current) && (nready || q->current->rt_limit != NSEC_NEVER))
		return rt_slice_locked(q, q->current, now, slice);
	return nready ? slice : 0;
}

/* On the CPU of q: see that the current slice ends. A slice that is being timed stays. */
static void slice_time_locked(struct run_queue *q, nsec_t now)
{
	if (q->slice_timed)
		return;
	nsec_t slice = slice_of_current_locked(q, now);
	if (!slice)
		return;
	q->slice_timed = true;
	timer_set_slice(now + slice);
}

/* Should t, which is READY on q, run instead of the current thread, which is not the idle one and has just
 * been charged? Real-time threads go by priority as long as they have time left. Of the others, those of
 * SCHED_IDLE make way for all, and those of SCHED_BATCH wait for the end of the slice. */
static bool preempts_locked(struct run_queue *q, const struct thread *t, nsec_t now)
{
	const struct thread *current = q->current;

	if (is_real_time(t) != is_real_time(current))
		return is_real_time(t) != rt_is_throttled_locked(q, now);
	if (is_real_time(t))
		return t->rt_priority > current->rt_priority;
	if (current->policy == POLICY_IDLE && t->policy != POLICY_IDLE)
		return true;
	return t->policy == POLICY_OTHER && is_before(t->vruntime + WAKE_MARGIN, current->vruntime);
}

/* t has just been queued on q: should it run at once? If not, should the slice be timed now? true: the CPU of
 * q is to be interrupted, with q unlocked, or it would come only to wait for the lock. */
static MUST_CHECK bool check_preempt_locked(struct run_queue *q, struct thread *t)
{
	nsec_t now = clock_now();

	if (!q->current) /* not up yet */
		return false;
	if (q->current != q->idle) {
		account_locked(q, now);
		if (!preempts_locked(q, t, now)) {
			if (q == this_queue())
				slice_time_locked(q, now);
			else
				return !q->slice_timed; /* upcall_resched times it there */
			return false;
		}
	}
	return need_resched_locked(q);
}

/* ---------------------------------------------------------------- making ready */

uint32_t least_loaded(uint64_t mask)
{
	uint32_t best = bit_lowest(mask);

	for (uint64_t rest = mask; rest; rest &= rest - 1) {
		uint32_t cpu = bit_lowest(rest);
		if (load_relaxed(&sched_queues[cpu].load) < load_relaxed(&sched_queues[best].load))
			best = cpu;
	}
	return best;
}

/* Where a thread that is NEW or BLOCKED should run. `wish`: a CPU that somebody wants it on, or NO_CPU. */
static uint32_t choose_cpu(const struct thread *t, uint32_t wish)
{
	uint64_t allowed = t->affinity & load_acquire(&sched_active_cpus);
	uint64_t idle = load_relaxed(&sched_idle_cpus) & allowed;
	uint64_t last = BIT(load_relaxed(&t->cpu));

	if (!allowed)
		return bit_lowest(t->affinity); /* it comes up and finds the thread */
	if (wish != NO_CPU && (allowed & BIT(wish)))
		return wish;
	if (idle & last)
		return load_relaxed(&t->cpu);
	if (idle)
		return bit_lowest(idle);
	if (is_real_time(t))
		return rt_choose_cpu(t, allowed, load_relaxed(&t->cpu));
	if ((allowed & last) && load_relaxed(&t->state) != THREAD_NEW &&
	    !load_relaxed(&sched_queues[load_relaxed(&t->cpu)].rt.running))
		return load_relaxed(&t->cpu);
	return least_loaded(allowed);
}

/* May t be made ready? With flags != 0: only if it sleeps in a way that these thread flags interrupt. */
static bool is_startable(const struct thread *t, uint32_t flags)
{
	uint32_t state = load_seq_cst(&t->state);

	if (flags == 0)
		return state == THREAD_BLOCKED || state == THREAD_NEW;
	return state == THREAD_BLOCKED && (flags & thread_flags_of_wait(t->wait_flags));
}

/*
 * The one way onto a queue for a thread that is on none. Outcomes: it was not startable (false); it had not
 * left its CPU yet and goes on; it is queued. While it changes queues no lock is held, and others may get
 * ahead of us: then it is not startable any more when we look again, or belongs to a third queue.
 */
bool make_ready(struct thread *t, uint32_t flags, uint32_t wish)
{
	struct run_queue *q;
	uint64_t state;

	for (bool moved = false;; moved = true) {
		q = queue_lock_of(t, &state);
		if (!is_startable(t, flags)) {
			spin_unlock_irqrestore(&q->lock, state);
			return false;
		}
		if (q->current == t) {
			store_relaxed(&t->state, THREAD_RUNNING);
			spin_unlock_irqrestore(&q->lock, state);
			return true;
		}
		uint32_t target = moved && may_run_on(t, q->cpu) ? q->cpu : choose_cpu(t, wish);
		if (target == q->cpu)
			break;
		store_relaxed(&t->cpu, target);
		spin_unlock_irqrestore(&q->lock, state);
	}
	arrive_locked(q, t);
	bool send = check_preempt_locked(q, t);
	preempt_disable();
	spin_unlock_irqrestore(&q->lock, state);
	if (send)
		cpu_send_resched(q->cpu);
	preempt_enable();
	return true;
}

bool sched_make_ready(struct thread *t)
{
	return make_ready(t, 0, NO_CPU);
}

bool sched_interrupt(struct thread *t, uint32_t flags)
{
	bool woken = make_ready(t, flags, NO_CPU);

	/* One that runs in user mode notices its exit work on the way back from an interrupt. */
	if (!woken && load_relaxed(&t->state) == THREAD_RUNNING && t != current_thread())
		cpu_send_resched(load_relaxed(&t->cpu));
	return woken;
}

/* ---------------------------------------------------------------- the switch */

/* What becomes of the thread that gives up the CPU. */
static ALWAYS_INLINE void put_prev_locked(struct run_queue *q, struct thread *prev)
{
	uint32_t state = load_relaxed(&prev->state);

	if (prev == q->idle)
		return;
	load_add(q, 0 - prev->weight);
	if (state == THREAD_RUNNING && may_run_on(prev, q->cpu)) {
		enqueue_locked(q, prev);
		return;
	}
	leave_locked(q, prev);
	if (state == THREAD_RUNNING) {
		store_relaxed(&prev->state, THREAD_BLOCKED);
		q->displaced = prev;
	} else {
		prev->rt_time = 0;
	}
}

static struct thread *pick_next_locked(struct run_queue *q, nsec_t now)
{
	struct thread *next = queue_first_locked(q);

	if (next && is_real_time(next) && rt_is_throttled_locked(q, now)) {
		struct thread *fair = queue_first_fair_locked(q);
		next = fair ? fair : next;
	}
	if (!next) {
		atomic_fetch_or_explicit(&sched_idle_cpus, BIT(q->cpu), memory_order_relaxed);
		return q->idle;
	}
	dequeue_locked(q, next);
	load_add(q, next->weight);
	return next;
}

/* What there rarely is to do after a switch. dead: the thread that left, if it is gone for good. */
static NOINLINE void finish_rest(struct thread *displaced, struct thread *dead)
{
	if (displaced)
		sched_make_ready(displaced);
	if (load_relaxed(&rt_waiting_threads))
		rt_spread();
	if (dead)
		thread_gone(dead);
}

/* The second half, on the stack of the new thread: release the queue, then finish what the old one could not.
 */
static void finish_switch(void)
{
	struct run_queue *q = this_queue();
	struct thread *displaced = q->displaced, *prev = q->prev;
	bool is_dead = prev && load_relaxed(&prev->state) == THREAD_DEAD;

	q->displaced = q->prev = NULL;
	spin_release(&q->lock);
	preempt_count_add(
	    -1); /* interrupts are disabled: what is asked for meanwhile is seen on the way out */
	if (unlikely(displaced || is_dead || load_relaxed(&rt_waiting_threads)))
		finish_rest(displaced, is_dead ? prev : NULL);
}

/* t, which leaves this CPU, has to look at its memory before it goes back there; its slot is for others
 * meanwhile. */
static void break_sequence(struct thread *t)
{
	fetch_or_acq_rel(&t->flags, THREAD_RSEQ_WORK);
	if (t->slot)
		atomic_fetch_and_explicit(t->slots, ~t->slot, memory_order_release);
	t->slot = 0;
}

static ALWAYS_INLINE void switch_to_locked(struct run_queue *q, struct thread *prev, struct thread *next)
{
	q->prev = prev;
	store_relaxed(&q->switches, load_relaxed(&q->switches) + 1);
	if (unlikely(load_relaxed(&prev->flags) & THREAD_RSEQ))
		break_sequence(prev);
	this_cpu()->current = next;
	if (next->mmu)
		mmu_switch(next->mmu);
	arch_thread_switch(prev, next);
}

/* next: a BLOCKED thread of this CPU, which runs now; NULL: whoever is due. */
static ALWAYS_INLINE void switch_from_current_locked(struct run_queue *q, struct thread *next)
{
	struct thread *prev = q->current;
	nsec_t now = clock_now();

	charge_current_locked(q, now);
	bool keeps_ready = load_relaxed(&prev->state) == THREAD_RUNNING;
	store_relaxed(&this_cpu()->need_resched, 0);
	put_prev_locked(q, prev);
	if (next) {
		join_locked(q, next);
		load_add(q, next->weight);
	} else {
		next = pick_next_locked(q, now);
	}
	q->current = next;
	store_relaxed(&q->rt.running, next->rt_priority);
	next->run_started = now;
	store_relaxed(&next->state, THREAD_RUNNING);
	if (q->slice_timed) {
		q->slice_timed = false;
		timer_set_slice(NSEC_NEVER);
	}
	if (load_relaxed(&q->nready) || is_real_time(next))
		slice_time_locked(q, now);
	if (next != prev) {
		_Atomic uint64_t *count = &prev->switches[keeps_ready];
		store_relaxed(count, load_relaxed(count) + 1);
		switch_to_locked(q, prev, next);
	}
	finish_switch(); /* of the CPU that runs us now, perhaps another one than above */
}

void sched_switch(void)
{
	struct run_queue *q = this_queue();

	ASSERT(preempt_count() == 1 && !irq_is_enabled());
	spin_lock(&q->lock);
	switch_from_current_locked(q, NULL);
}

/* May t run next, past the queue? If it sleeps, belongs here, and others are not so far behind it that it
 * would have to let them go first. Real-time threads go by rank: sched_rt.c. */
static bool may_follow_locked(struct run_queue *q, const struct thread *t)
{
	if (load_relaxed(&t->cpu) != q->cpu || load_relaxed(&t->state) != THREAD_BLOCKED ||
	    !may_run_on(t, q->cpu) || is_real_time(t))
		return false;
	if (!load_relaxed(&q->nready))
		return true;
	const struct thread *first = queue_first_locked(q);
	return !is_real_time(first) && !is_before(first->vruntime + WAKE_MARGIN, q->floor + t->vruntime);
}

void sched_switch_from(struct spinlock *held, struct thread *to)
{
	struct run_queue *q = this_queue();

	spin_lock(&q->lock);
	if (to && !may_follow_locked(q, to)) {
		spin_unlock(&q->lock);
		make_ready(to, 0, q->cpu);
		to = NULL;
		spin_lock(&q->lock);
	}
	spin_release(held); /* its share of the preemption count stays */
	switch_from_current_locked(q, to);
}

void sched_finish_first_switch(void)
{
	finish_switch();
	preempt_count_add(-1);
	irq_enable();
	preempt_check();
}

void upcall_preempt(void)
{
	while (cpu_need_resched()) {
		preempt_count_add(1);
		sched_switch();
		preempt_count_add(-1);
	}
}

void preempt_check(void)
{
	if (!irq_is_enabled())
		return;
	irq_disable();
	upcall_preempt();
	irq_enable();
}

void thread_yield(void)
{
	ASSERT(preempt_count() == 0);
	uint64_t state = irq_save();
	struct run_queue *q = this_queue();
	spin_lock(&q->lock);
	struct thread *first = queue_first_fair_locked(q), *t = q->current;
	account_locked(q, clock_now());
	if (is_real_time(t))
		rt_take_turn_locked(q, t, false);
	else if (first && !is_before(first->vruntime, t->vruntime))
		t->vruntime =
		    first->vruntime; /* behind it: equals are served in the order in which they come */
	preempt_count_add(1);
	spin_unlock(&q->lock);
	sched_switch();
	preempt_count_add(-1);
	irq_restore(state);
}

/* ---------------------------------------------------------------- upcalls */

void sched_tick(nsec_t now)
{
	struct run_queue *q = this_queue();
	struct thread *surplus = NULL;
	uint32_t target = NO_CPU;
	uint64_t state = spin_lock_irqsave(&q->lock);

	q->slice_timed = false;
	account_locked(q, now);
	if (load_relaxed(&q->nready))
		surplus = balance_locked(q, now, &target);
	if (load_relaxed(&q->nready))
		kick_locked(q);
	spin_unlock_irqrestore(&q->lock, state);
	if (surplus)
		make_ready(surplus, 0, target);
}

void upcall_resched(void)
{
	struct run_queue *q = this_queue();

	/* need_resched, if set, is looked at on the way out. */
	spin_lock(&q->lock);
	slice_time_locked(q, clock_now());
	spin_unlock(&q->lock);
}

/* ---------------------------------------------------------------- CPUs and settings */

/* All at once, by the first CPU: a thread may be put on the queue of a CPU that is still on its way. */
static void queues_init(void)
{
	for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct run_queue *q = &sched_queues[cpu];
		spin_init(&q->lock, "run queue", RANK_SCHED);
		rb_init(&q->tree, NULL);
		q->cpu = cpu;
	}
}

void sched_init_cpu(struct thread *idle)
{
	uint32_t cpu = cpu_id();
	struct run_queue *q = &sched_queues[cpu];
	char name[THREAD_NAME_MAX];

	if (!load_acquire(&sched_active_cpus))
		queues_init();
	format(name, sizeof(name), "idle/%u", cpu);
	thread_init(idle, name, 0, 0, NULL, NULL);
	idle->affinity = BIT(cpu);
	store_relaxed(&idle->cpu, cpu);
	store_relaxed(&idle->state, THREAD_RUNNING);
	idle->run_started = clock_now();
	uint64_t state = spin_lock_irqsave(&q->lock);
	q->idle = q->current = idle;
	cpus[cpu].idle = cpus[cpu].current = idle;
	spin_unlock_irqrestore(&q->lock, state);
	fetch_or_acq_rel(&sched_active_cpus, BIT(cpu));
}

NORETURN void sched_idle(void)
{
	struct run_queue *q = this_queue();

	ASSERT(current_thread() == q->idle && preempt_count() == 0);
	for (;;) {
		irq_disable();
		preempt_count_add(1);
		sched_switch(); /* returns when there is nothing to run, and then this CPU counts as idle */
		preempt_count_add(-1);
		if (load_relaxed(&q->nready) == 0)
			balance_steal();
		/* Whoever queues a thread from now on sends an interrupt, which ends the wait even if it
		 * comes before it. */
		if (load_relaxed(&q->nready) == 0 && !cpu_need_resched())
			cpu_wait_irq();
		irq_enable();
	}
}

void thread_set_affinity(struct thread *t, uint64_t mask)
{
	uint64_t state;
	bool move = false;

	ASSERT(mask);
	struct run_queue *q = queue_lock_of(t, &state);
	t->affinity = mask;
	if (t->queued && (is_real_time(t) || !may_run_on(t, q->cpu))) {
		detach_locked(q, t);
		move = true;
	} else if (q->current == t && !may_run_on(t, q->cpu)) {
		kick_locked(q);
	}
	spin_unlock_irqrestore(&q->lock, state);
	if (move)
		sched_make_ready(t);
}

static void set_policy_locked(struct thread *t, const struct thread_policy *to)
{
	t->nice = to->nice;
	t->policy = to->policy;
	t->rt_priority = to->rt_priority;
	t->weight = weight_of(to);
}

/* t, which is READY on q or runs there, gets another weight or rank. One that is lowered goes before its new
 * equals, one that is raised behind them. */
static void change_locked(struct run_queue *q, struct thread *t, const struct thread_policy *to)
{
	bool queued = t->queued, lowered = to->rt_priority < t->rt_priority;

	if (queued)
		dequeue_locked(q, t);
	else
		load_add(q, 0 - t->weight);
	leave_locked(q, t);
	set_policy_locked(t, to);
	join_locked(q, t);
	if (is_real_time(t))
		rt_take_turn_locked(q, t, lowered);
	if (queued)
		enqueue_locked(q, t);
	else
		load_add(q, t->weight);
}

void thread_set_policy(struct thread *t, const struct thread_policy *to)
{
	uint64_t state;

	ASSERT(to->nice >= NICE_MIN && to->nice <= NICE_MAX && to->rt_priority <= RT_PRIORITY_MAX);
	struct run_queue *q = queue_lock_of(t, &state);
	if (q->current == t)
		account_locked(q, clock_now()); /* at the old rate */
	if (t->queued || q->current == t) {
		bool ranks = is_real_time(t) || to->rt_priority || t->policy != to->policy;
		change_locked(q, t, to);
		if (ranks)
			kick_locked(q);
	} else {
		set_policy_locked(t, to);
	}
	spin_unlock_irqrestore(&q->lock, state);
}

struct thread_policy thread_policy(struct thread *t)
{
	uint64_t state;
	struct run_queue *q = queue_lock_of(t, &state);
	struct thread_policy now = {.policy = t->policy, .rt_priority = t->rt_priority, .nice = t->nice};
	spin_unlock_irqrestore(&q->lock, state);
	return now;
}

void thread_set_nice(struct thread *t, int nice)
{
	struct thread_policy to = thread_policy(t); /* callers take turns */

	to.nice = nice;
	thread_set_policy(t, &to);
}

nsec_t thread_rt_time(struct thread *t)
{
	uint64_t state;
	struct run_queue *q = queue_lock_of(t, &state);
	if (q->current == t)
		account_locked(q, clock_now());
	nsec_t time = t->rt_time;
	spin_unlock_irqrestore(&q->lock, state);
	return time;
}

void thread_set_rt_limit(struct thread *t, nsec_t limit)
{
	uint64_t state;
	struct run_queue *q = queue_lock_of(t, &state);
	t->rt_limit = limit;
	if (q->current == t)
		kick_locked(q); /* its slice is timed anew */
	spin_unlock_irqrestore(&q->lock, state);
}

void sched_cpu_times(unsigned cpu, struct cpu_times *out)
{
	struct run_queue *q = &sched_queues[cpu];
	uint64_t state = spin_lock_irqsave(&q->lock);
	if (q->current)
		account_locked(q, clock_now());
	*out = q->times;
	if (q->idle)
		out->idle = q->idle->cpu_time;
	spin_unlock_irqrestore(&q->lock, state);
}

unsigned sched_runnable_count(void)
{
	uint64_t idle = load_relaxed(&sched_idle_cpus), active = load_relaxed(&sched_active_cpus);
	unsigned sum = bit_count(active & ~idle);
	for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++)
		sum += load_relaxed(&sched_queues[cpu].nready);
	return sum;
}

uint64_t sched_switches(void)
{
	uint64_t sum = 0;

	for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++)
		sum += load_relaxed(&sched_queues[cpu].switches);
	return sum;
}

/* ---------------------------------------------------------------- validation */

static void validate_queue_locked(struct run_queue *q)
{
	uint64_t load = q->current == q->idle ? 0 : q->current->weight;
	const struct thread *last = NULL, *first = queue_first_locked(q);
	uint32_t nreal = 0;

	for (struct rb_node *n = rb_first(&q->tree); n; n = rb_next(n)) {
		const struct thread *t = rb_entry(n, struct thread, run_node);
		ASSERT(t->queued && load_relaxed(&t->state) == THREAD_READY);
		ASSERT(load_relaxed(&t->cpu) == q->cpu && t != q->current && t != q->idle);
		ASSERT(!last || !goes_before(t, last));
		load += t->weight;
		nreal += is_real_time(t);
		last = t;
	}
	ASSERT(rb_validate(&q->tree) == load_relaxed(&q->nready));
	ASSERT(load == load_relaxed(&q->load));
	ASSERT(nreal == q->rt.nready);
	ASSERT(load_relaxed(&q->rt.waiting) == (first ? first->rt_priority : 0u));
	ASSERT(q->current == cpus[q->cpu].current && !q->current->queued);
	ASSERT(load_relaxed(&q->current->cpu) == q->cpu);
}

static void validate_thread(struct thread *t, void *arg)
{
	uint64_t irq_state;
	struct run_queue *q = queue_lock_of(t, &irq_state);
	uint32_t state = load_relaxed(&t->state);

	(void)arg;
	ASSERT(t->queued == (state == THREAD_READY));
	ASSERT(state != THREAD_RUNNING || q->current == t);
	spin_unlock_irqrestore(&q->lock, irq_state);
}

void sched_validate(void)
{
	for (uint64_t rest = load_acquire(&sched_active_cpus); rest; rest &= rest - 1) {
		struct run_queue *q = &sched_queues[bit_lowest(rest)];
		uint64_t state = spin_lock_irqsave(&q->lock);
		validate_queue_locked(q);
		spin_unlock_irqrestore(&q->lock, state);
	}
	thread_for_each(validate_thread, NULL);
}
