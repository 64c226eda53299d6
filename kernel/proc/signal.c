/*
 * signal.c - what is pending for whom, and how it gets there.
 *
 * Sending is one step under the tree's lock: is the signal ignored, is it pending already, note it, and
 * interrupt a thread that will take it. THREAD_SIGNALLED on a thread means "look at your signals on the way
 * to user mode, and do not sleep interruptibly before you did"; senders set it, only the thread itself clears
 * it, under the lock, when it finds nothing to do. So a call that was cut short always passes through
 * signal_deliver, which decides whether it starts again.
 *
 * A signal of the process may be taken by any thread that does not block it. The sender chooses one; if that
 * one blocks the signal or exits before it takes it, it passes the signal on (signal_retarget_locked).
 *
 * Memory: the slab allocator's locks come before the tree's lock, so entries for real-time signals are
 * reserved before and freed after (struct signal_reserve).
 */
#include "proc/signal.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/proc_priv.h"
#include "proc/signalfd.h"
#include "proc/timers.h"

/* Faults come first, so that the handler's frame shows the instruction. */
#define SIGNALS_SYNCHRONOUS                                                                                  \
	(SIGNAL_BIT(SIGNAL_SEGV) | SIGNAL_BIT(SIGNAL_BUS) | SIGNAL_BIT(SIGNAL_ILL) |                         \
	    SIGNAL_BIT(SIGNAL_TRAP) | SIGNAL_BIT(SIGNAL_FPE) | SIGNAL_BIT(SIGNAL_SYS))

static struct slab_cache *entry_cache;

void signal_init(void)
{
	entry_cache = slab_cache_create("signal", sizeof(struct signal_entry), 0);
}

err_t process_signals_init(struct process_signals *s, struct process *share)
{
	list_init(&s->pending.queue);
	waitq_init(&s->stop_wait);
	if (share) {
		s->table = share->signals.table; /* the current process's own: it stays */
		ref_get(&s->table->users);
		return 0;
	}
	s->table = kzalloc(sizeof(*s->table));
	if (!s->table)
		return -ENOMEM;
	ref_init(&s->table->users);
	return 0;
}

static void table_put(struct signal_table *t)
{
	if (ref_put(&t->users))
		kfree(t);
}

void process_signals_fini(struct process_signals *s)
{
	signal_pending_fini(&s->pending);
	if (s->table)
		table_put(s->table);
}

err_t signal_unshare(void)
{
	struct process_signals *s = &current_process()->signals;
	struct signal_table *old = s->table;
	if (ref_count(&old->users) == 1)
		return 0;
	struct signal_table *t = kmalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	ref_init(&t->users);
	spin_lock(&process_tree_lock);
	memcpy(t->actions, old->actions, sizeof(t->actions));
	s->table = t;
	spin_unlock(&process_tree_lock);
	table_put(old);
	return 0;
}

void thread_signals_init(struct thread_signals *s)
{
	list_init(&s->pending.queue);
	s->altstack.flags = SS_DISABLE;
	waitq_init(&s->wait);
}

struct signal_entry *signal_entry_create(void)
{
	struct signal_entry *e = slab_zalloc(entry_cache);
	if (e)
		list_init(&e->link);
	return e;
}

void signal_entry_free(struct signal_entry *e)
{
	slab_free(entry_cache, e);
}

static void free_entries(struct list *entries)
{
	while (!list_is_empty(entries)) {
		struct signal_entry *e = list_first(entries, struct signal_entry, link);
		list_remove(&e->link);
		slab_free(entry_cache, e);
	}
}

void signal_pending_fini(struct signal_pending *q)
{
	free_entries(&q->queue);
}

void signal_reserve(struct signal_reserve *r, int signal, unsigned n)
{
	list_init(&r->entries);
	for (unsigned i = 0; signal >= SIGNAL_RT_MIN && i < n; i++) {
		struct signal_entry *e = signal_entry_create();
		if (!e)
			return;
		list_push_back(&r->entries, &e->link);
	}
}

void signal_reserve_fini(struct signal_reserve *r)
{
	free_entries(&r->entries);
}

/* Handlers become the default action; what is ignored stays so. */
static void clear_actions(struct signal_action *actions)
{
	for (unsigned i = 0; i < SIGNAL_MAX; i++) {
		struct signal_action *a = &actions[i];
		*a = (struct signal_action){
		    .handler = a->handler == SIGNAL_IGNORE ? SIGNAL_IGNORE : SIGNAL_DEFAULT};
	}
}

void signal_fork(struct process *child, struct user_thread *child_thread, bool clear_handlers)
{
	struct process *p = current_process();
	struct signal_table *from = p->signals.table, *to = child->signals.table;
	spin_lock(&process_tree_lock);
	if (from != to)
		memcpy(to->actions, from->actions, sizeof(to->actions));
	spin_unlock(&process_tree_lock);
	if (clear_handlers) /* no thread yet that could change them */
		clear_actions(to->actions);
	signal_clone(child_thread);
	child_thread->signals.altstack = current_user_thread()->signals.altstack;
}

void signal_clone(struct user_thread *child_thread)
{
	child_thread->signals.mask = current_user_thread()->signals.mask;
}

void signal_exec(void)
{
	struct process *p = current_process();
	struct thread_signals *t = &current_user_thread()->signals;
	spin_lock(&process_tree_lock);
	clear_actions(p->signals.table->actions);
	spin_unlock(&process_tree_lock);
	process_timers_exec(p);
	t->altstack = (struct user_altstack){.flags = SS_DISABLE};
	t->fault = (struct user_fault){0};
	t->restart.fn = NULL;
}

/* ------------------------------------------------------------------ pending sets */

static struct signal_entry *first_entry_of(struct signal_pending *q, int signal)
{
	list_for_each (it, &q->queue) {
		struct signal_entry *e = list_entry(it, struct signal_entry, link);
		if (e->info.signo == signal)
			return e;
	}
	return NULL;
}

/* Take the oldest instance of a signal that is pending in q. */
static void take_one(struct process *p, struct signal_pending *q, int signal, struct signal_info *info,
    struct signal_reserve *r)
{
	struct signal_entry *e = NULL;
	*info = (struct signal_info){.signo = signal}; /* unless more is known: there was no room for it */
	if (signal_in(signal, q->slots)) {
		*info = q->info[signal - 1];
		q->slots &= ~SIGNAL_BIT(signal);
	} else if ((e = first_entry_of(q, signal))) {
		list_remove(&e->link);
		p->signals.queued--;
		if (e->timer)
			timer_taken_locked(e->timer);
		*info = e->info;
		if (!e->timer)
			list_push_back(&r->entries, &e->link);
	}
	if (!first_entry_of(q, signal))
		q->set &= ~SIGNAL_BIT(signal);
}

static void drop_all(struct process *p, struct signal_pending *q, uint64_t set, struct signal_reserve *r)
{
	struct signal_info info;
	for (uint64_t rest = q->set & set; rest; rest = q->set & set)
		take_one(p, q, (int)bit_lowest(rest) + 1, &info, r);
}

/* Drop these signals, of p and all its threads. */
static void drop_everywhere(struct process *p, uint64_t set, struct signal_reserve *r)
{
	drop_all(p, &p->signals.pending, set, r);
	list_for_each (it, &p->threads)
		drop_all(p, &list_entry(it, struct user_thread, link)->signals.pending, set, r);
}

static int choose(uint64_t set)
{
	if (set & SIGNALS_SYNCHRONOUS)
		set &= SIGNALS_SYNCHRONOUS;
	return set ? (int)bit_lowest(set) + 1 : 0;
}

int signal_take_locked(uint64_t set, struct signal_info *info, struct signal_reserve *r)
{
	struct process *p = current_process();
	struct signal_pending *q = &current_user_thread()->signals.pending;
	ASSERT_HELD(&process_tree_lock);
	int signal = choose(q->set & set);
	if (!signal) {
		q = &p->signals.pending;
		signal = choose(q->set & set);
	}
	if (signal)
		take_one(p, q, signal, info, r);
	return signal;
}

uint64_t signal_pending_locked(const struct user_thread *ut)
{
	return ut->signals.pending.set | ut->thread.process->signals.pending.set;
}

/* ------------------------------------------------------------------ sending */

static bool wants(const struct user_thread *ut, int signal)
{
	return signal_in(signal, ~ut->signals.mask | ut->signals.wait_set);
}

static bool is_ignored(const struct process *p, int signal)
{
	uaddr_t handler = p->signals.table->actions[signal - 1].handler;
	if (handler != SIGNAL_DEFAULT)
		return handler == SIGNAL_IGNORE;
	return signal_in(signal, SIGNALS_NO_ACTION) || (p->pid == PID_INIT && signal != SIGNAL_CONT);
}

/* Would the signal do nothing? A blocked one may get a handler before it is taken; a thread may wait for it.
 */
static bool is_discarded(
    const struct process *p, const struct user_thread *ut, const struct signal_info *info)
{
	bool forced = info->code > SI_USER; /* traps: also the first process's */
	uint64_t held = ut->signals.mask | ut->signals.wait_set;
	if (signal_in(info->signo, held & ~SIGNALS_UNBLOCKABLE))
		return false;
	if (forced && p->signals.table->actions[info->signo - 1].handler == SIGNAL_DEFAULT)
		return signal_in(info->signo, SIGNALS_NO_ACTION);
	return is_ignored(p, info->signo);
}

/* Stop signals and SIGCONT undo each other, whether anybody handles them or not. */
static void settle_job_control(struct process *p, int signal, struct signal_reserve *r)
{
	if (signal_in(signal, SIGNALS_STOP)) {
		drop_everywhere(p, SIGNAL_BIT(SIGNAL_CONT), r);
	} else if (signal == SIGNAL_CONT) {
		drop_everywhere(p, SIGNALS_STOP, r);
		signal_continue_locked(p);
	}
}

struct queue_count {
	uint32_t uid;
	uint64_t queued;
};

static void count_queued(struct process *p, void *arg)
{
	struct queue_count *c = arg;
	if (p->signals.queued && process_uid(p) == c->uid)
		c->queued += p->signals.queued;
}

uint64_t signals_queued_locked(struct process *p, uint64_t *limit)
{
	struct queue_count c = {process_uid(p), 0};
	struct rlimit64 r;
	err_t err = process_limit(p, RLIMIT_SIGPENDING, NULL, &r);
	ASSERT(!err);
	*limit = r.soft;
	process_for_each_locked(count_queued, &c);
	return c.queued;
}

/* May one more signal wait in a queue of a process of p's user? */
static bool may_queue(struct process *p)
{
	uint64_t limit;
	return signals_queued_locked(p, &limit) < limit;
}

/* Make the signal pending in q. True: it is now, or already was (*news tells); false: its information found
 * no room. */
static bool make_pending(struct process *p, struct signal_pending *q, const struct signal_info *info,
    struct signal_reserve *r, bool *news)
{
	bool room = true;
	*news = true;
	if (info->signo < SIGNAL_RT_MIN) {
		*news = !signal_in(info->signo, q->slots);
		if (*news)
			q->info[info->signo - 1] = *info;
		q->slots |= SIGNAL_BIT(info->signo);
	} else {
		room = !list_is_empty(&r->entries) && may_queue(p);
	}
	if (!room && info->code != SI_USER)
		return false;
	if (room && info->signo >= SIGNAL_RT_MIN) {
		struct signal_entry *e = list_first(&r->entries, struct signal_entry, link);
		list_remove(&e->link);
		e->info = *info;
		list_push_back(&q->queue, &e->link);
		p->signals.queued++;
	}
	q->set |= SIGNAL_BIT(info->signo);
	return true;
}

static void interrupt_taker(struct process *p, struct user_thread *ut, int signal)
{
	if (ut) {
		if (wants(ut, signal))
			thread_interrupt(&ut->thread, THREAD_SIGNALLED);
		return;
	}
	list_for_each (it, &p->threads) {
		ut = list_entry(it, struct user_thread, link);
		if (wants(ut, signal)) {
			thread_interrupt(&ut->thread, THREAD_SIGNALLED);
			return;
		}
	}
}

err_t signal_send_locked(
    struct process *p, struct user_thread *ut, const struct signal_info *info, struct signal_reserve *r)
{
	bool news;
	ASSERT_HELD(&process_tree_lock);
	if (info->signo == 0 || p->state != PROCESS_ALIVE || list_is_empty(&p->threads))
		return 0;
	if (p->exiting) {
		if (info->signo == SIGNAL_KILL)
			core_interrupt_locked(p);
		return 0;
	}
	const struct user_thread *looked_at = ut ? ut : list_first(&p->threads, struct user_thread, link);
	settle_job_control(p, info->signo, r);
	if (is_discarded(p, looked_at, info))
		return 0;
	if (info->signo == SIGNAL_KILL) {
		process_begin_exit_locked(p, wait_status_killed(SIGNAL_KILL));
		return 0;
	}
	if (!make_pending(p, ut ? &ut->signals.pending : &p->signals.pending, info, r, &news))
		return -EAGAIN;
	if (news) {
		signalfd_notify_locked(p, info->signo);
		interrupt_taker(p, ut, info->signo);
	}
	return 0;
}

bool signal_send_entry_locked(struct process *p, struct user_thread *ut, struct signal_entry *e)
{
	ASSERT_HELD(&process_tree_lock);
	int signal = e->info.signo;
	if (p->state != PROCESS_ALIVE || p->exiting || list_is_empty(&p->threads))
		return false;
	struct signal_reserve none;
	signal_reserve(&none, 0, 0);
	if (signal_in(signal, SIGNALS_STOP | SIGNAL_BIT(SIGNAL_CONT)) || signal == SIGNAL_KILL) {
		err_t err = signal_send_locked(p, ut, &e->info, &none); /* what is more than pending */
		ASSERT(!err);
		return false; /* none of these is ever queued, so no entry was dropped */
	}
	if (is_discarded(p, ut ? ut : list_first(&p->threads, struct user_thread, link), &e->info))
		return false;
	struct signal_pending *q = ut ? &ut->signals.pending : &p->signals.pending;
	list_push_back(&q->queue, &e->link);
	p->signals.queued++;
	q->set |= SIGNAL_BIT(signal);
	signalfd_notify_locked(p, signal);
	interrupt_taker(p, ut, signal);
	return true;
}

void signal_thread_gone_locked(struct user_thread *ut, struct signal_reserve *r)
{
	drop_all(ut->thread.process, &ut->signals.pending, UINT64_MAX, r);
}

void signal_notify_locked(struct process *p, const struct signal_info *info)
{
	struct signal_reserve none;
	ASSERT(info->signo < SIGNAL_RT_MIN);
	signal_reserve(&none, info->signo, 0);
	err_t err = signal_send_locked(p, NULL, info, &none);
	ASSERT(!err && list_is_empty(&none.entries));
}

void signal_force(const struct signal_info *info)
{
	struct user_thread *ut = current_user_thread();
	struct process *p = ut->thread.process;
	struct signal_pending *q = &ut->signals.pending;
	struct signal_action *a = &p->signals.table->actions[info->signo - 1];
	uint64_t bit = SIGNAL_BIT(info->signo);
	ASSERT(info->signo < SIGNAL_RT_MIN);
	spin_lock(&process_tree_lock);
	if (a->handler == SIGNAL_IGNORE || (ut->signals.mask & bit))
		a->handler = SIGNAL_DEFAULT;
	ut->signals.mask &= ~bit;
	q->set |= bit;
	q->slots |= bit;
	q->info[info->signo - 1] = *info; /* one that somebody sent says less than this */
	thread_interrupt(&ut->thread, THREAD_SIGNALLED);
	spin_unlock(&process_tree_lock);
}

void signal_force_segv(int signal)
{
	struct signal_action dies = {0}, old;
	if (signal == SIGNAL_SEGV)
		signal_set_action(SIGNAL_SEGV, &dies, &old);
	signal_force(&(struct signal_info){.signo = SIGNAL_SEGV, .code = SI_KERNEL});
}

/* ------------------------------------------------------------------ parents */

bool signal_parent_reaps_not_locked(const struct process *p)
{
	const struct signal_action *a = &p->parent->signals.table->actions[SIGNAL_CHLD - 1];
	return p->exit_signal == SIGNAL_CHLD && (a->handler == SIGNAL_IGNORE || (a->flags & SA_NOCLDWAIT));
}

int wait_status_code(int wait_status, int32_t *status)
{
	*status = SIGNAL_CONT;
	if (wait_status == WAIT_STATUS_CONTINUED)
		return CLD_CONTINUED;
	*status = wait_status >> 8 & 0xff;
	if ((wait_status & 0xff) == WAIT_STATUS_STOPPED)
		return CLD_STOPPED;
	if (!(wait_status & 0xff))
		return CLD_EXITED;
	*status = wait_status & 0x7f;
	return wait_status & WAIT_STATUS_CORE ? CLD_DUMPED : CLD_KILLED;
}

void signal_plain_locked(struct process *p, int signal)
{
	struct signal_info info = {.signo = signal, .code = SI_USER};
	struct signal_reserve none;
	signal_reserve(&none, signal, 0);
	err_t err = signal_send_locked(p, NULL, &info, &none);
	ASSERT(!err); /* SI_USER: nobody misses the information */
}

void signal_parent_locked(struct process *p, int wait_status, struct signal_reserve *r)
{
	enum { TICK_NS = 10000000 };
	struct usage used = process_usage_locked(p);
	struct signal_info info = {.signo = r ? p->exit_signal : SIGNAL_CHLD,
	    .pid = p->pid,
	    .uid = process_uid(p),
	    .utime = used.user / TICK_NS,
	    .stime = used.system / TICK_NS};
	struct process *parent = p->parent;
	if (!parent)
		return;
	uint64_t flags = parent->signals.table->actions[SIGNAL_CHLD - 1].flags;
	waitq_wake_all(&parent->child_wait);
	int32_t status;
	info.code = wait_status_code(wait_status, &status);
	info.value = (uint32_t)status;
	/* 0 is no signal, and one beyond the last is none either, as on Linux. An ignored SIGCHLD is dropped
	 * when it is sent. */
	if (r && info.signo <= SIGNAL_MAX && signal_send_locked(parent, NULL, &info, r))
		return; /* no room for a real-time signal's information: it is lost */
	if (!r && !(flags & SA_NOCLDSTOP))
		signal_notify_locked(parent, &info);
}

/* ------------------------------------------------------------------ masks and actions */

void signal_retarget_locked(struct process *p)
{
	list_for_each (it, &p->threads) {
		struct user_thread *ut = list_entry(it, struct user_thread, link);
		if (p->signals.pending.set & ~ut->signals.mask)
			thread_interrupt(&ut->thread, THREAD_SIGNALLED);
	}
}

void signal_set_mask(uint64_t mask)
{
	struct user_thread *ut = current_user_thread();
	struct process *p = ut->thread.process;
	spin_lock(&process_tree_lock);
	ut->signals.mask = mask & ~SIGNALS_UNBLOCKABLE;
	if (signal_pending_locked(ut) & ~ut->signals.mask)
		thread_interrupt(&ut->thread, THREAD_SIGNALLED);
	if (p->signals.pending.set && p->nthreads > 1)
		signal_retarget_locked(p);
	spin_unlock(&process_tree_lock);
}

void signal_set_action(int signal, const struct signal_action *new, struct signal_action *old)
{
	struct process *p = current_process();
	struct signal_action *a = &p->signals.table->actions[signal - 1];
	struct signal_reserve dropped;
	signal_reserve(&dropped, signal, 0);
	spin_lock(&process_tree_lock);
	*old = *a;
	if (new) {
		*a = *new;
		a->flags &= SA_ALL;
		a->mask &= ~SIGNALS_UNBLOCKABLE;
		if (a->handler == SIGNAL_IGNORE ||
		    (a->handler == SIGNAL_DEFAULT && signal_in(signal, SIGNALS_NO_ACTION)))
			drop_everywhere(p, SIGNAL_BIT(signal), &dropped);
	}
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&dropped);
}
