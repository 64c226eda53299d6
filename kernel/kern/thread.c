/*
 * thread.c - the life of a thread: from thread_init to the moment when nobody runs on its stack any more.
 *
 * A thread that exits cannot say itself that its stack is free, for it is still on it. It marks itself DEAD
 * and switches away for good; the thread that runs next on that CPU, once it is on its own stack, declares it
 * gone (thread_gone, called by the scheduler), and that is what thread_join waits for.
 */
#include "kern/sched.h"
#include "lib/string.h"

static struct {
	struct spinlock lock;
	struct list list; /* guarded by lock; every thread that has started and not exited */
	_Atomic uint32_t next_tid;
	_Atomic uint64_t last_serial;
} threads = {
    .lock = SPINLOCK_INIT("thread list", RANK_THREADS),
    .list = LIST_INIT(threads.list),
    .next_tid = 1,
};

static void thread_entry(void)
{
	struct thread *t = current_thread();

	sched_finish_first_switch();
	t->fn(t->arg);
	thread_exit();
}

void thread_init(
    struct thread *t, const char *name, vaddr_t stack, uint64_t size, void (*fn)(void *), void *arg)
{
	memset(t, 0, sizeof(*t));
	str_copy(t->name, name, sizeof(t->name));
	t->tid = fetch_add_relaxed(&threads.next_tid, 1);
	t->serial = fetch_add_relaxed(&threads.last_serial, 1) + 1;
	t->stack = stack;
	t->stack_end = stack + size;
	t->fn = fn;
	t->arg = arg;
	t->affinity = UINT64_MAX;
	t->weight = WEIGHT_NORMAL;
	t->rt_limit = NSEC_NEVER;
	store_relaxed(&t->state, THREAD_NEW);
	list_init(&t->wait_link);
	list_init(&t->all_link);
	ref_init(&t->refs);
	spin_init(&t->exit_lock, "thread exit", RANK_WAIT);
	waitq_init(&t->exit_waiters);
	if (size)
		arch_thread_init(t, t->stack_end, thread_entry);
}

void thread_start(struct thread *t)
{
	ASSERT(load_relaxed(&t->state) == THREAD_NEW);
	uint64_t state = spin_lock_irqsave(&threads.lock);
	list_push_back(&threads.list, &t->all_link);
	spin_unlock_irqrestore(&threads.lock, state);
	sched_make_ready(t);
}

NORETURN void thread_exit(void)
{
	struct thread *t = current_thread();

	ASSERT(preempt_count() == 0);
#ifdef CONFIG_DEBUG
	ASSERT(t->nlocks == 0);
#endif
	uint64_t state = spin_lock_irqsave(&threads.lock);
	list_remove(&t->all_link);
	spin_unlock_irqrestore(&threads.lock, state);
	irq_disable();
	preempt_disable();
	store_relaxed(&t->state, THREAD_DEAD);
	sched_switch();
	panic("dead thread %s runs", t->name);
}

void thread_gone(struct thread *t)
{
	uint64_t state = spin_lock_irqsave(&t->exit_lock);

	t->gone = true;
	waitq_wake_all(&t->exit_waiters);
	/* The joiner needs this lock before it returns and frees t; releasing it is the last touch. */
	spin_unlock_irqrestore(&t->exit_lock, state);
}

void thread_join(struct thread *t)
{
	ASSERT(preempt_count() == 0);
	uint64_t state = spin_lock_irqsave(&t->exit_lock);
	while (!t->gone)
		(void)waitq_sleep_irq(&t->exit_waiters, &t->exit_lock, NSEC_NEVER, 0);
	spin_unlock_irqrestore(&t->exit_lock, state);
}

void thread_interrupt(struct thread *t, uint32_t flags)
{
	atomic_fetch_or_explicit(&t->flags, flags, memory_order_seq_cst);
	sched_interrupt(t, flags);
}

void thread_for_each(void (*fn)(struct thread *t, void *arg), void *arg)
{
	uint64_t state = spin_lock_irqsave(&threads.lock);

	list_for_each (it, &threads.list)
		fn(list_entry(it, struct thread, all_link), arg);
	spin_unlock_irqrestore(&threads.lock, state);
}
