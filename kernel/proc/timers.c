/*
 * timers.c - see timers.h.
 *
 * Signals are sent under the process tree's lock, which interrupt handlers cannot take. So expiry is the work
 * of one kernel thread: it sleeps until the first timer of a tree, ordered by `due`, looks what its clock
 * says, and either sends the signal or puts the timer back. Clocks of CPU time make no interrupts of their
 * own: their timers are looked at when they can expire at the earliest, again and again.
 *
 * A POSIX timer has one signal, allocated with it. A periodic one is not armed again before that signal was
 * taken; then the periods that have passed since are counted as overruns. So a short period costs its owner
 * time, and nobody else. If the signal is ignored the timer goes on by itself, at PERIOD_MIN; the same holds
 * for interval timers whose signal waits.
 */
#include "proc/timers.h"
#include "arch/clock.h"
#include "kern/wall.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

enum { TIMERS_MAX = 8192, PERIOD_MIN = COARSE_TICK_NS };

static struct rb_tree due_tree; /* process_tree_lock */
static struct waitq due_wait;   /* predicate under process_tree_lock */
static struct thread timer_thread;

/* ------------------------------------------------------------------ the tree */

static void dequeue_locked(struct user_timer *t)
{
	ASSERT_HELD(&process_tree_lock);
	if (t->queued)
		rb_remove(&due_tree, &t->node);
	t->queued = false;
}

static void enqueue_locked(struct user_timer *t, nsec_t due)
{
	struct rb_node **link = &due_tree.root, *parent = NULL;
	ASSERT_HELD(&process_tree_lock);
	dequeue_locked(t);
	t->due = due;
	while (*link) {
		parent = *link;
		link = due < rb_entry(parent, struct user_timer, node)->due ? &parent->left : &parent->right;
	}
	rb_insert(&due_tree, &t->node, parent, link);
	t->queued = true;
	if (rb_first(&due_tree) == &t->node)
		waitq_wake_one(&due_wait);
}

/* Look at t when its clock may have reached its expiry, but not before `least`. */
static void schedule_locked(struct user_timer *t, nsec_t now, nsec_t least)
{
	enqueue_locked(t, MAX(clock_look_at_locked(&t->clock, now, t->expiry), least));
}

/* ------------------------------------------------------------------ expiry */

/* Move the expiry of a periodic timer beyond `now`: how many periods that were. */
static uint64_t forward(struct user_timer *t, nsec_t now)
{
	if (now < t->expiry)
		return 0;
	uint64_t n = (now - t->expiry) / t->interval + 1;
	t->expiry = n > (NSEC_NEVER - t->expiry) / t->interval ? NSEC_NEVER : t->expiry + n * t->interval;
	return n;
}

static void expire_itimer_locked(struct user_timer *t, nsec_t now)
{
	struct process *p = t->process;
	bool waits = signal_in(t->signal, p->signals.pending.set);
	signal_notify_locked(p, &(struct signal_info){.signo = t->signal, .code = SI_KERNEL});
	if (!t->interval) {
		t->expiry = 0;
		return;
	}
	(void)forward(t, now);
	schedule_locked(t, now, waits ? clock_now() + PERIOD_MIN : 0);
}

/* Has a process that used `used` of CPU time reached a limit, in seconds? */
static bool limit_is_reached(uint64_t limit, nsec_t used)
{
	return limit <= used / NSEC_PER_SEC;
}

/* As on Linux: SIGXCPU at the soft limit, which then grows by a second, SIGKILL at the hard one; without a
 * soft limit there is none. */
static void expire_limit_locked(struct user_timer *t, nsec_t now)
{
	struct process *p = t->process;
	struct rlimit64 *l = &p->limits[RLIMIT_CPU];
	int signal = 0;
	spin_lock(&p->lock);
	if (l->soft == RLIMIT_INFINITY) {
		signal = 0;
	} else if (l->hard != RLIMIT_INFINITY && limit_is_reached(l->hard, now)) {
		signal = SIGNAL_KILL;
	} else if (limit_is_reached(l->soft, now)) {
		signal = SIGNAL_XCPU;
		l->soft++;
	}
	uint64_t soft = l->soft;
	spin_unlock(&p->lock);
	if (signal)
		signal_notify_locked(p, &(struct signal_info){.signo = signal, .code = SI_KERNEL});
	t->expiry =
	    soft < NSEC_NEVER / NSEC_PER_SEC && signal != SIGNAL_KILL ? MAX(soft * NSEC_PER_SEC, 1ULL) : 0;
	if (t->expiry)
		schedule_locked(t, now, 0);
}

/* The thread that gets the signal; *gone: there is no such thread any more. */
static struct user_thread *target_of(const struct user_timer *t, bool *gone)
{
	*gone = false;
	if (t->notify != TIMER_THREAD)
		return NULL;
	struct user_thread *ut = user_thread_find_locked(t->tid);
	*gone = !ut || ut->thread.process != t->process;
	return ut;
}

static void expire_posix_locked(struct user_timer *t, nsec_t now)
{
	struct signal_entry *e = t->entry;
	t->rearm = t->interval != 0;
	if (!t->interval)
		t->expiry = 0;
	if (!list_is_empty(&e->link)) { /* it waits since before the timer was set again */
		t->missed++;
		return;
	}
	t->missed = 0;
	bool gone;
	struct user_thread *ut = target_of(t, &gone);
	if (!gone && signal_send_entry_locked(t->process, ut, e))
		return;
	t->rearm = false;
	if (t->interval) {
		(void)forward(t, now);
		schedule_locked(t, now, clock_now() + PERIOD_MIN);
	}
}

static int32_t overrun_of(uint64_t missed)
{
	return (int32_t)MIN(missed, (uint64_t)INT32_MAX);
}

void timer_taken_locked(struct user_timer *t)
{
	nsec_t now;
	ASSERT_HELD(&process_tree_lock);
	if (t->rearm && !clock_read_locked(&t->clock, &now)) {
		uint64_t passed = forward(t, now);
		t->missed += passed ? passed - 1 : 0;
		schedule_locked(t, now, 0);
	}
	t->rearm = false;
	t->overrun = overrun_of(t->missed);
	t->missed = 0;
	t->entry->info.uid = (uint32_t)t->overrun; /* si_overrun */
}

static void look_at_locked(struct user_timer *t)
{
	nsec_t now;
	dequeue_locked(t);
	if (clock_read_locked(&t->clock, &now))
		t->expiry = 0; /* whose time it was is gone */
	else if (now < t->expiry)
		schedule_locked(t, now, 0);
	else if (t == &t->process->timers.limit)
		expire_limit_locked(t, now);
	else if (t->entry)
		expire_posix_locked(t, now);
	else
		expire_itimer_locked(t, now);
}

static void run_timers(UNUSED void *arg)
{
	for (;;) {
		spin_lock(&process_tree_lock);
		struct rb_node *first = rb_first(&due_tree);
		struct user_timer *t = first ? rb_entry(first, struct user_timer, node) : NULL;
		if (t && t->due <= clock_now())
			look_at_locked(t);
		else
			(void)waitq_sleep(&due_wait, &process_tree_lock, t ? t->due : NSEC_NEVER, 0);
		spin_unlock(&process_tree_lock);
	}
}

void timers_init(void)
{
	vaddr_t stack = kva_alloc_stack();
	ASSERT(stack); /* at boot */
	rb_init(&due_tree, NULL);
	waitq_init(&due_wait);
	thread_init(&timer_thread, "timers", stack, KSTACK_PAGES * PAGE_SIZE, run_timers, NULL);
	thread_start(&timer_thread);
}

void timers_wall_was_set(void)
{
	spin_lock(&process_tree_lock);
	/* Those that are early now are put back when they are looked at; those that are late are few. */
	for (struct rb_node *n = rb_first(&due_tree), *next; n; n = next) {
		struct user_timer *t = rb_entry(n, struct user_timer, node);
		nsec_t now = clock_now();
		next = rb_next(n);
		if (t->clock.kind != CLOCK_KIND_MONOTONIC && t->clock.kind != CLOCK_KIND_CPU && t->due > now)
			enqueue_locked(t, now);
	}
	spin_unlock(&process_tree_lock);
}

/* ------------------------------------------------------------------ arming */

static void get_locked(const struct user_timer *t, struct timer_value *out)
{
	nsec_t now;
	*out = (struct timer_value){.interval = t->interval};
	if (!t->expiry || clock_read_locked(&t->clock, &now))
		return;
	bool silent = t->entry && t->notify == TIMER_SILENT;
	if (now < t->expiry)
		out->left = t->expiry - now;
	else if (t->interval && t->entry)
		out->left = t->interval - (now - t->expiry) % t->interval;
	else
		out->left = silent ? 0 : 1; /* it is about to expire */
}

static void set_locked(struct user_timer *t, bool absolute, const struct timer_value *new)
{
	static const struct user_clock monotonic = {.kind = CLOCK_KIND_MONOTONIC};
	nsec_t now;
	dequeue_locked(t);
	t->expiry = 0;
	t->interval = new->interval;
	t->rearm = false;
	t->missed = 0;
	t->overrun = 0;
	/* A duration does not change when the clock is set. */
	t->clock = absolute || t->base.kind == CLOCK_KIND_CPU ? t->base : monotonic;
	if (!new->left || clock_read_locked(&t->clock, &now))
		return;
	t->expiry = absolute ? new->left : time_add(now, new->left);
	if (!t->entry || t->notify != TIMER_SILENT)
		schedule_locked(t, now, 0);
}

void itimer_get(unsigned which, struct timer_value *out)
{
	spin_lock(&process_tree_lock);
	get_locked(&current_process()->timers.interval[which], out);
	spin_unlock(&process_tree_lock);
}

void itimer_set(unsigned which, const struct timer_value *new, struct timer_value *old)
{
	struct user_timer *t = &current_process()->timers.interval[which];
	spin_lock(&process_tree_lock);
	if (which != ITIMER_REAL)
		t->base = clock_of_process(
		    current_process()->pid, which == ITIMER_PROF ? CPU_CLOCK_ALL : CPU_CLOCK_USER);
	get_locked(t, old);
	set_locked(t, false, new);
	if (!new->left)
		t->interval = 0;
	spin_unlock(&process_tree_lock);
}

/* ------------------------------------------------------------------ POSIX timers */

static struct user_timer *find_locked(int32_t id)
{
	list_for_each (it, &current_process()->timers.created) {
		struct user_timer *t = list_entry(it, struct user_timer, link);
		if (t->id == id)
			return t;
	}
	return NULL;
}

static bool event_is_valid(const struct timer_event *ev)
{
	if (ev->notify == TIMER_SILENT)
		return true;
	if (ev->notify != TIMER_SIGNAL && ev->notify != TIMER_THREAD && ev->notify != TIMER_LIBRARY)
		return false;
	if (ev->signal < 1 || ev->signal > SIGNAL_MAX)
		return false;
	if (ev->notify != TIMER_THREAD)
		return true;
	spin_lock(&process_tree_lock);
	struct user_thread *ut = user_thread_find_locked(ev->tid);
	bool own = ut && ut->thread.process == current_process();
	spin_unlock(&process_tree_lock);
	return own;
}

static void timer_free(struct user_timer *t)
{
	if (t->entry)
		signal_entry_free(t->entry);
	kfree(t);
}

/* Add t under the next free number. */
static err_t add_locked(struct user_timer *t, bool value_is_id, int32_t *id)
{
	struct process_timers *all = &t->process->timers;
	if (all->count >= TIMERS_MAX)
		return -EAGAIN;
	while (find_locked(all->next_id))
		all->next_id = all->next_id == INT32_MAX ? 0 : all->next_id + 1;
	*id = t->id = all->next_id;
	all->next_id = t->id == INT32_MAX ? 0 : t->id + 1;
	all->count++;
	list_push_back(&all->created, &t->link);
	t->entry->info.pid = (uint32_t)t->id; /* si_timerid */
	if (value_is_id)
		t->entry->info.value = (uint64_t)t->id;
	return 0;
}

err_t posix_timer_create(const struct user_clock *c, const struct timer_event *event, int32_t *id)
{
	struct timer_event ev = {.notify = TIMER_SIGNAL, .signal = SIGNAL_ALRM};
	if (event)
		ev = *event;
	if (!event_is_valid(&ev))
		return -EINVAL;
	struct user_timer *t = kzalloc(sizeof(*t));
	if (!t)
		return -EAGAIN;
	list_init(&t->link);
	t->base = t->clock = *c;
	t->process = current_process();
	t->notify = ev.notify;
	t->signal = ev.signal;
	t->tid = ev.tid;
	t->entry = signal_entry_create();
	err_t err = t->entry ? 0 : -EAGAIN;
	if (!err) {
		t->entry->timer = t;
		t->entry->info =
		    (struct signal_info){.signo = ev.signal, .code = SI_TIMER, .value = ev.value};
		spin_lock(&process_tree_lock);
		err = add_locked(t, !event, id);
		spin_unlock(&process_tree_lock);
	}
	if (err)
		timer_free(t);
	return err;
}

/* Take t from its process. A signal that waits stays, and is nobody's. */
static void remove_locked(struct user_timer *t)
{
	dequeue_locked(t);
	list_remove(&t->link);
	t->process->timers.count--;
	if (list_is_empty(&t->entry->link))
		return;
	t->entry->timer = NULL;
	t->entry = NULL;
}

err_t posix_timer_delete(int32_t id)
{
	spin_lock(&process_tree_lock);
	struct user_timer *t = find_locked(id);
	if (t)
		remove_locked(t);
	spin_unlock(&process_tree_lock);
	if (!t)
		return -EINVAL;
	timer_free(t);
	return 0;
}

err_t posix_timer_get(int32_t id, struct timer_value *out)
{
	spin_lock(&process_tree_lock);
	struct user_timer *t = find_locked(id);
	if (t)
		get_locked(t, out);
	spin_unlock(&process_tree_lock);
	return t ? 0 : -EINVAL;
}

err_t posix_timer_set(int32_t id, bool absolute, const struct timer_value *new, struct timer_value *old)
{
	spin_lock(&process_tree_lock);
	struct user_timer *t = find_locked(id);
	if (t) {
		get_locked(t, old);
		set_locked(t, absolute, new);
	}
	spin_unlock(&process_tree_lock);
	return t ? 0 : -EINVAL;
}

err_t posix_timer_overrun(int32_t id, int32_t *out)
{
	spin_lock(&process_tree_lock);
	struct user_timer *t = find_locked(id);
	if (t)
		*out = t->overrun;
	spin_unlock(&process_tree_lock);
	return t ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ processes */

void process_timers_init(struct process *p)
{
	static const int signals[ITIMERS] = {SIGNAL_ALRM, SIGNAL_VTALRM, SIGNAL_PROF};
	list_init(&p->timers.created);
	for (unsigned i = 0; i < ITIMERS; i++)
		p->timers.interval[i] = (struct user_timer){.process = p, .signal = signals[i]};
	p->timers.limit = (struct user_timer){.process = p};
}

void process_timers_limit(struct process *p)
{
	struct user_timer *t = &p->timers.limit;
	nsec_t now;
	spin_lock(&process_tree_lock);
	dequeue_locked(t);
	t->clock = clock_of_process(p->pid, CPU_CLOCK_ALL);
	if (!p->timers.over && !clock_read_locked(&t->clock, &now))
		expire_limit_locked(t, now);
	spin_unlock(&process_tree_lock);
}

void process_timers_exec(struct process *p)
{
	for (;;) {
		spin_lock(&process_tree_lock);
		struct user_timer *t = list_is_empty(&p->timers.created)
					   ? NULL
					   : list_first(&p->timers.created, struct user_timer, link);
		if (t)
			remove_locked(t);
		spin_unlock(&process_tree_lock);
		if (!t)
			return;
		timer_free(t);
	}
}

void process_timers_fini(struct process *p)
{
	process_timers_exec(p);
	spin_lock(&process_tree_lock);
	for (unsigned i = 0; i < ITIMERS; i++)
		dequeue_locked(&p->timers.interval[i]);
	dequeue_locked(&p->timers.limit);
	p->timers.over = true;
	spin_unlock(&process_tree_lock);
}
