/*
 * trace.c - who is traced, and how lines get to the log.
 *
 * A line becomes one record of the log, or several where it is long. Two things keep the trace whole however
 * many CPUs trace: one line is written after the other, under a mutex, and each is shown before its writer
 * goes on, so that the log's ring, which forgets, never holds more than one of them that has not been.
 */
#include "proc/trace.h"
#include "arch/clock.h"
#include "arch/usercopy.h"
#include "kern/log.h"
#include "kern/mutex.h"
#include "proc/cred.h"
#include "proc/process.h"
#include "vm/space.h"

enum {
	RECORD_TEXT = 220, /* bytes of a line in one record: room for the thread's number and the marks */
};

static struct mutex trace_lock; /* one line after the other */

void trace_init(void)
{
	mutex_init(&trace_lock, "trace", RANK_TRACE);
}

bool thread_is_traced(const struct thread *t)
{
	return load_relaxed(&t->system_call) == syscall_dispatch_traced;
}

int64_t (*thread_entry(const struct thread *t))(struct trap_frame *f)
{
	uint32_t guards = t->space ? load_relaxed(&t->space->guards) : 0;
	if (guards & GUARD_CALLS)
		return syscall_dispatch_guarded;
	return guards & GUARD_STACK ? syscall_dispatch_on_stack : syscall_dispatch;
}

err_t trace_set(uint32_t pid, bool on)
{
	struct process *p;
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	err_t err = process_find(pid ? pid : current_process()->pid, &p);
	if (err)
		return err;
	spin_lock(&process_tree_lock);
	list_for_each (it, &p->threads) {
		struct thread *t = &list_entry(it, struct user_thread, link)->thread;
		store_relaxed(&t->system_call, on ? syscall_dispatch_traced : thread_entry(t));
	}
	spin_unlock(&process_tree_lock);
	process_put(p);
	return 0;
}

void trace_inherit_locked(struct user_thread *ut, const struct user_thread *maker)
{
	ASSERT_HELD(&process_tree_lock);
	if (maker && thread_is_traced(&maker->thread))
		store_relaxed(&ut->thread.system_call, syscall_dispatch_traced);
}

size_t trace_read_user(void *dst, uaddr_t src, size_t n)
{
	return n - copy_from_user_partial(dst, src, n);
}

/* Who shows the log is an ordinary thread: one with a real-time priority has to sleep. */
static void let_others_run(void)
{
	enum { MOMENT_NS = 100000 };
	bool real_time = thread_policy(current_thread()).rt_priority;
	if (!real_time || thread_sleep_until(clock_now() + MOMENT_NS))
		thread_yield();
}

void trace_emit(const struct trace_line *l)
{
	uint32_t tid = current_thread()->tid;
	mutex_lock(&trace_lock);
	for (size_t from = 0; from < l->len; from += RECORD_TEXT) {
		int n = (int)MIN(l->len - from, (size_t)RECORD_TEXT);
		log_info("trace", "[%u] %s%.*s%s", tid, from ? "... " : "", n, l->text + from,
		    from + RECORD_TEXT < l->len ? " ..." : "");
	}
	uint64_t end = log_end();
	while (!log_is_shown(end))
		let_others_run();
	mutex_unlock(&trace_lock);
}

void trace_signal(int signal)
{
	struct trace_line l;
	if (!thread_is_traced(current_thread()))
		return;
	trace_format_signal(&l, signal);
	trace_emit(&l);
}

/* The status that was decided first is the one that counts. */
static int final_status(int wait_status)
{
	struct process *p = current_process();
	spin_lock(&process_tree_lock);
	if (p->exiting)
		wait_status = p->wait_status;
	spin_unlock(&process_tree_lock);
	return wait_status;
}

void trace_exit(int wait_status)
{
	struct trace_line l;
	if (!thread_is_traced(current_thread()))
		return;
	trace_format_exit(&l, final_status(wait_status));
	trace_emit(&l);
}
