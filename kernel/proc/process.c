/*
 * process.c - the tree of processes, their numbers, and the life of their threads' memory.
 *
 * One spinlock guards the tree, the table of numbers and the state of every process: each critical section is
 * a few list operations, nothing is allocated, freed or woken into under it but through waitq_wake, whose
 * locks rank higher. What it takes to make a process or a thread is allocated before, what they leave is
 * freed after.
 */
#include "proc/process.h"
#include "arch/clock.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/futex.h"
#include "proc/proc_priv.h"
#include "proc/sigio.h"
#include "proc/threadfd.h"
#include "proc/timers.h"
#include "proc/trace.h"
#include "vm/commit.h"
#include "vm/space.h"

enum { PID_BUCKETS = 256, TIMER_SLACK = 50000 };

struct spinlock process_tree_lock = SPINLOCK_INIT("process tree", RANK_SERVICE);
static struct list pid_table[PID_BUCKETS]; /* process_tree_lock */
static struct list tid_table[PID_BUCKETS]; /* process_tree_lock: struct user_thread by tid_link */
static uint32_t pid_next = PID_INIT;       /* process_tree_lock: where the search for a free number starts */
static _Atomic uint32_t pid_last;
static bool pids_wrapped;   /* process_tree_lock */
static unsigned nprocesses; /* process_tree_lock */
static _Atomic uint32_t nuser_threads;
static _Atomic uint64_t last_serial;
static struct slab_cache *process_cache, *thread_cache;

static bool may_administer(void)
{
	return current_can(CAP_SYS_ADMIN);
}

void proc_init(void)
{
	for (unsigned i = 0; i < PID_BUCKETS; i++) {
		list_init(&pid_table[i]);
		list_init(&tid_table[i]);
	}
	process_cache = slab_cache_create("process", sizeof(struct process), 0);
	thread_cache = slab_cache_create("user_thread", sizeof(struct user_thread), CACHE_LINE);
	futex_init();
	signal_init();
	tty_jobs_init();
	reaper_init();
	vm_set_limits(current_vm_limits);
	commit_set_privileged(may_administer);
	timers_init();
	sigio_init();
}

struct process *process_find_locked(uint32_t pid)
{
	list_for_each (it, &pid_table[pid % PID_BUCKETS]) {
		struct process *p = list_entry(it, struct process, pid_link);
		if (p->pid == pid)
			return p;
	}
	return NULL;
}

struct user_thread *user_thread_find_locked(uint32_t tid)
{
	ASSERT_HELD(&process_tree_lock);
	list_for_each (it, &tid_table[tid % PID_BUCKETS]) {
		struct user_thread *ut = list_entry(it, struct user_thread, tid_link);
		if (ut->thread.tid == tid)
			return ut;
	}
	return NULL;
}

struct user_thread *process_thread_locked(const struct process *p, uint32_t tid)
{
	struct user_thread *ut = user_thread_find_locked(tid ? tid : p->pid);
	return ut && ut->thread.process == p ? ut : NULL;
}

static void set_tid_locked(struct user_thread *ut, uint32_t tid)
{
	list_remove(&ut->tid_link);
	ut->thread.tid = tid;
	list_push_back(&tid_table[tid % PID_BUCKETS], &ut->tid_link);
}

void process_for_each_locked(void (*fn)(struct process *p, void *arg), void *arg)
{
	for (unsigned i = 0; i < PID_BUCKETS; i++)
		list_for_each (it, &pid_table[i])
			fn(list_entry(it, struct process, pid_link), arg);
}

err_t process_find(uint32_t pid, struct process **out)
{
	spin_lock(&process_tree_lock);
	struct process *p = process_find_locked(pid);
	if (p)
		process_get(p);
	spin_unlock(&process_tree_lock);
	*out = p;
	return p ? 0 : -ESRCH;
}

/* Of those in one bucket, the one with the smallest pid from `from` on. */
static struct process *bucket_next_locked(unsigned bucket, uint32_t from)
{
	struct process *found = NULL;
	list_for_each (it, &pid_table[bucket]) {
		struct process *p = list_entry(it, struct process, pid_link);
		if (p->pid >= from && (!found || p->pid < found->pid))
			found = p;
	}
	return found;
}

struct process *process_next(const struct process *after)
{
	unsigned bucket = after ? after->pid % PID_BUCKETS : 0;
	spin_lock(&process_tree_lock);
	struct process *p = bucket_next_locked(bucket, after ? after->pid + 1 : 0);
	while (!p && ++bucket < PID_BUCKETS)
		p = bucket_next_locked(bucket, 0);
	if (p)
		process_get(p);
	spin_unlock(&process_tree_lock);
	return p;
}

err_t process_find_by_thread(uint32_t tid, struct process **out)
{
	spin_lock(&process_tree_lock);
	struct user_thread *ut = user_thread_find_locked(tid);
	struct process *p = ut ? ut->thread.process : process_find_locked(tid);
	if (p)
		process_get(p);
	spin_unlock(&process_tree_lock);
	*out = p;
	return p ? 0 : -ESRCH;
}

struct pid_search {
	uint32_t pid;
	bool found;
};

static void find_group_of(struct process *p, void *arg)
{
	struct pid_search *s = arg;
	s->found = s->found || p->pgid == s->pid || p->sid == s->pid;
}

/* A group or session outlives the process that it is named after. Not before numbers come round again. */
static bool pid_names_group_locked(uint32_t pid)
{
	struct pid_search s = {pid, false};
	if (pids_wrapped)
		process_for_each_locked(find_group_of, &s);
	return s.found;
}

/* The next number that nobody has: numbers are not used again soon, so that a late kill(pid) hits nobody
 * else. */
static err_t choose_pid_locked(uint32_t *out)
{
	for (uint32_t tries = PID_INIT; tries < PID_MAX; tries++) {
		uint32_t pid = pid_next++;
		if (pid_next == PID_MAX)
			pid_next = PID_INIT + 1;
		pids_wrapped |= pid_next < pid;
		if (!process_find_locked(pid) && !user_thread_find_locked(pid) &&
		    !pid_names_group_locked(pid)) {
			*out = pid;
			store_relaxed(&pid_last, pid);
			return 0;
		}
	}
	return -EAGAIN;
}

/* `number`, if nobody has it. A group that is named so has it, too. */
static err_t take_pid_locked(uint32_t number)
{
	struct pid_search s = {number, false};
	process_for_each_locked(find_group_of, &s);
	return s.found || process_find_locked(number) || user_thread_find_locked(number) ? -EEXIST : 0;
}

static err_t get_pid_locked(uint32_t wish, uint32_t *out)
{
	if (!wish)
		return choose_pid_locked(out);
	*out = wish;
	return take_pid_locked(wish);
}

/* Whose child p becomes: that of the process that makes it, or that one's sibling. */
static void join_family_locked(struct process *p, struct process *maker, bool sibling)
{
	p->parent = sibling ? maker->parent : maker;
	store_relaxed(&p->ppid, sibling ? load_relaxed(&maker->ppid) : maker->pid);
	if (sibling) {
		p->creator = maker->creator;
		p->exit_signal = maker->exit_signal;
	} else if (maker == current_process()) {
		p->creator = current_user_thread();
	}
	if (p->parent)
		list_push_back(&p->parent->children, &p->sibling_link);
}

static err_t join_tree(struct process *p, struct process *parent, const struct process_wish *w)
{
	uint64_t limit = nproc_limit(p, p->cred);
	spin_lock(&process_tree_lock);
	/* whoever ends all processes of the tree has ended those that are about to have children, too */
	err_t err = parent && parent->exiting ? -EINTR : nproc_add_locked(p->cred->uid, limit);
	if (!err) {
		err = get_pid_locked(w->number, &p->pid);
		if (err)
			nproc_remove_locked(p->cred->uid);
	}
	if (!err) {
		p->pgid = parent ? parent->pgid : p->pid;
		p->sid = parent ? parent->sid : p->pid;
		if (parent) {
			process_inherit_tty_locked(p, parent);
			join_family_locked(p, parent, w->share & SHARE_PARENT);
		}
		list_push_back(&pid_table[p->pid % PID_BUCKETS], &p->pid_link);
		nprocesses++;
	}
	spin_unlock(&process_tree_lock);
	return err;
}

err_t process_create(struct process *parent, struct vm_space *space, const char *name,
    const struct process_wish *w, struct process **out)
{
	struct process *p = slab_zalloc(process_cache);
	if (!p)
		return -ENOMEM;
	ref_init(&p->refs);
	str_copy(p->name, name, sizeof(p->name));
	list_init(&p->children);
	list_init(&p->pidfds);
	list_init(&p->sibling_link);
	list_init(&p->threads);
	list_init(&p->sem_undos);
	process_timers_init(p);
	waitq_init(&p->child_wait);
	waitq_init(&p->dead_wait);
	waitq_init(&p->exec_wait);
	waitq_init(&p->vfork_wait);
	p->exit_signal = w->exit_signal;
	core_state_init(&p->core);
	p->serial = fetch_add_relaxed(&last_serial, 1) + 1;
	p->start_time = clock_now();
	spin_init(&p->lock, "process", RANK_PROCESS);
	err_t err = process_signals_init(&p->signals, w->share & SHARE_HANDLERS ? parent : NULL);
	if (!err)
		err = process_inherit(p, parent, w);
	if (!err)
		err = join_tree(p, parent, w);
	if (err) {
		process_release_program(p);
		process_signals_fini(&p->signals);
		if (p->cred)
			cred_put(p->cred);
		slab_free(process_cache, p);
		return err;
	}
	process_get(p); /* the tree's is the first */
	p->space = space;
	*out = p;
	return 0;
}

void process_leave_tree_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	list_remove(&p->sibling_link);
	list_remove(&p->pid_link);
	p->parent = NULL;
	p->state = PROCESS_FORGIVEN;
	nprocesses--;
	nproc_remove_locked(p->cred->uid);
}

void process_discard(struct process *p)
{
	ASSERT(p->nthreads == 0);
	spin_lock(&process_tree_lock);
	process_leave_tree_locked(p);
	spin_unlock(&process_tree_lock);
	if (p->space)
		space_put(p->space);
	process_release_program(p);
	process_drop_tty(p);
	process_put(p); /* the tree's */
	process_put(p);
}

void process_put(struct process *p)
{
	if (!ref_put(&p->refs))
		return;
	ASSERT(p->state == PROCESS_FORGIVEN && p->nthreads == 0);
	ASSERT(!p->program && !p->tty);
	process_signals_fini(&p->signals);
	cred_put(p->cred);
	slab_free(process_cache, p);
}

/* What a thread runs first: its fn, in the kernel, on its own stack. */
static void start_user_thread(void *arg)
{
	struct user_thread *ut = arg;
	user_enter(&ut->start);
}

/* The first thread of a process has the process's number. */
static err_t choose_tid(struct process *p, struct user_thread *ut, uint32_t wish)
{
	uint32_t tid = p->pid;
	err_t err = 0;
	spin_lock(&process_tree_lock);
	if (p->nthreads)
		err = get_pid_locked(wish, &tid);
	else if (p->exiting) /* the last one is gone, the number is not its any more, or soon will not be */
		err = -EINTR;
	if (!err)
		set_tid_locked(ut, tid);
	spin_unlock(&process_tree_lock);
	return err;
}

err_t user_thread_create(struct process *p, const char *name, uint32_t wish, struct user_thread **out)
{
	struct user_thread *ut = slab_zalloc(thread_cache);
	if (!ut)
		return -ENOMEM;
	ut->stack = kva_alloc_stack();
	if (!ut->stack) {
		slab_free(thread_cache, ut);
		return -ENOMEM;
	}
	thread_init(&ut->thread, name, ut->stack, KSTACK_PAGES * PAGE_SIZE, start_user_thread, ut);
	list_init(&ut->link);
	list_init(&ut->tid_link);
	list_init(&ut->threadfds);
	thread_signals_init(&ut->signals);
	process_get(p);
	ut->thread.process = p;
	if (p == current_process()) {
		ut->cred = current_user_thread()->cred;
		cred_get(ut->cred);
	} else {
		ut->cred = process_cred(p);
	}
	store_relaxed(&ut->thread.system_call, syscall_dispatch);
	ut->timer_slack_default = TIMER_SLACK;
	store_relaxed(&ut->timer_slack, TIMER_SLACK);
	fetch_add_relaxed(&nuser_threads, 1);
	err_t err = choose_tid(p, ut, wish);
	if (err)
		user_thread_free(ut);
	else
		*out = ut;
	return err;
}

void user_thread_free(struct user_thread *ut)
{
	spin_lock(&process_tree_lock);
	list_remove(&ut->tid_link); /* of one that was never started */
	spin_unlock(&process_tree_lock);
	arch_thread_fini(&ut->thread);
	signal_pending_fini(&ut->signals.pending);
	kva_free_stack(ut->stack);
	user_thread_release_files(ut); /* of one that was never started */
	cred_put(ut->cred);
	process_put(ut->thread.process);
	slab_free(thread_cache, ut);
	fetch_sub_relaxed(&nuser_threads, 1);
}

err_t user_thread_launch_locked(
    struct user_thread *ut, struct vm_space *space, const struct user_thread *maker)
{
	struct process *p = ut->thread.process;
	uint64_t limit = nproc_limit(p, ut->cred);
	ASSERT_HELD(&process_tree_lock);
	err_t err = p->exiting || p->exec_thread || p->space != space ? -EINTR : 0;
	if (!err && !user_thread_is_first(ut)) /* that one is counted as the process */
		err = nproc_add_locked(ut->cred->uid, limit);
	if (err)
		return err;
	ut->thread.space = space;
	ut->thread.mmu = &space->mmu;
	list_push_back(&p->threads, &ut->link);
	p->nthreads++;
	trace_inherit_locked(ut, maker);
	guard_attach(ut);
	rt_time_inherit_locked(ut);
	if (p->signals.stop_signal || p->signals.pending.set & ~ut->signals.mask)
		thread_interrupt(&ut->thread, THREAD_SIGNALLED);
	thread_start(&ut->thread); /* locked: who ends the threads finds only such as run */
	return 0;
}

err_t user_thread_launch(struct user_thread *ut)
{
	spin_lock(&process_tree_lock);
	err_t err = user_thread_launch_locked(
	    ut, ut->thread.process->space, current_process() ? current_user_thread() : NULL);
	spin_unlock(&process_tree_lock);
	return err;
}

err_t process_become_single(struct process *p)
{
	struct user_thread *self = current_user_thread();
	struct cred *first = NULL;
	err_t err = 0;
	spin_lock(&process_tree_lock);
	if (p->exiting || p->exec_thread) {
		spin_unlock(&process_tree_lock);
		return -EINTR;
	}
	p->exec_thread = self;
	list_for_each (it, &p->threads) {
		struct user_thread *ut = list_entry(it, struct user_thread, link);
		if (ut != self)
			thread_interrupt(&ut->thread, THREAD_KILLED);
	}
	while (p->nthreads > 1 && !err)
		err = waitq_sleep(&p->exec_wait, &process_tree_lock, NSEC_NEVER, WAIT_KILLABLE);
	if (err) {
		p->exec_thread = NULL;
	} else if (!user_thread_is_first(self)) {
		set_tid_locked(self, p->pid);
		first = cred_lead_locked(p);
		nproc_remove_locked(first->uid); /* its own count is the process's from here on */
	}
	spin_unlock(&process_tree_lock);
	if (first)
		cred_put(first);
	return err;
}

void process_end_exec(struct process *p, bool done)
{
	spin_lock(&process_tree_lock);
	p->exec_thread = NULL;
	if (done)
		threadfd_thread_ended_locked(current_user_thread(), 0);
	spin_unlock(&process_tree_lock);
}

void process_replace_space(struct process *p, struct vm_space *space, const char *name)
{
	struct thread *t = current_thread();
	spin_lock(&process_tree_lock);
	ASSERT(p == t->process && p->nthreads == 1);
	struct vm_space *old = p->space;
	usage_note_memory(&p->usage, old);
	p->space = space;
	str_copy(p->name, name, sizeof(p->name));
	str_copy(t->name, name, sizeof(t->name));
	process_leave_parents_memory_locked(p);
	p->has_exec = true;
	p->exit_signal = SIGNAL_CHLD; /* and so are those of its children: they know another program */
	list_for_each (it, &p->children)
		list_entry(it, struct process, sibling_link)->exit_signal = SIGNAL_CHLD;
	spin_unlock(&process_tree_lock);
	uint64_t irq = irq_save();
	t->space = space;
	t->mmu = &space->mmu;
	mmu_switch(t->mmu);
	irq_restore(irq);
	space_put(old);
}

void process_for_each(void (*fn)(struct process *p, void *arg), void *arg)
{
	spin_lock(&process_tree_lock);
	process_for_each_locked(fn, arg);
	spin_unlock(&process_tree_lock);
}

uint32_t process_last_pid(void)
{
	return load_relaxed(&pid_last);
}

uint64_t process_created_count(void)
{
	return load_relaxed(&last_serial);
}

unsigned process_count(void)
{
	spin_lock(&process_tree_lock);
	unsigned n = nprocesses;
	spin_unlock(&process_tree_lock);
	return n;
}

unsigned user_thread_count(void)
{
	return load_relaxed(&nuser_threads);
}

static void validate_one(struct process *p, void *arg)
{
	unsigned *count = arg;
	unsigned threads = 0;
	(*count)++;
	ASSERT(p->state != PROCESS_FORGIVEN);
	ASSERT(process_find_locked(p->pid) == p);
	list_for_each (it, &p->threads) {
		ASSERT(list_entry(it, struct user_thread, link)->thread.process == p);
		threads++;
	}
	ASSERT(threads == p->nthreads);
	ASSERT(p->state != PROCESS_DEAD || (threads == 0 && p->exiting && p->parent && !p->space));
	ASSERT(p->state != PROCESS_DEAD || list_is_empty(&p->children));
	list_for_each (it, &p->children) {
		struct process *child = list_entry(it, struct process, sibling_link);
		ASSERT(child->parent == p && load_relaxed(&child->ppid) == p->pid);
	}
}

void process_validate(void)
{
	unsigned count = 0;
	spin_lock(&process_tree_lock);
	process_for_each_locked(validate_one, &count);
	ASSERT(count == nprocesses);
	spin_unlock(&process_tree_lock);
}
