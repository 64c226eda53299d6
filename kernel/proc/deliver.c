/*
 * deliver.c - what signals do to the thread that takes them, on its way to user mode.
 *
 * The thread takes one signal after another until none is left that it does not block. Each does nothing,
 * stops or ends the process, or changes the thread's registers so that it enters the handler; then the next
 * one may interrupt that handler before its first instruction. The first of them finds the result of an
 * interrupted call, and decides whether the call starts again.
 */
#include "proc/proc_priv.h"
#include "proc/signal.h"
#include "proc/trace.h"

/* The mask that the thread has when the handlers are done. */
static uint64_t mask_to_restore(const struct thread_signals *t)
{
	return t->restore_mask ? t->saved_mask : t->mask;
}

/* A handler with these flags will run: the call that it interrupts fails, or starts again afterwards. */
static void settle_call_for_handler(struct trap_frame *f, uint64_t flags)
{
	switch (user_frame_call_result(f)) {
	case -ERESTARTNOINTR:
		user_frame_restart_call(f, -1);
		break;
	case -ERESTARTSYS:
		if (flags & SA_RESTART) {
			user_frame_restart_call(f, -1);
			break;
		}
		__attribute__((fallthrough));
	case -ERESTARTNOHAND:
	case -ERESTARTBLOCK:
		user_frame_set_result(f, -EINTR);
		break;
	}
}

static void settle_call_without_handler(struct trap_frame *f)
{
	enum { NR_RESTART_SYSCALL = 219 };
	switch (user_frame_call_result(f)) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
		user_frame_restart_call(f, -1);
		break;
	case -ERESTARTBLOCK:
		user_frame_restart_call(f, NR_RESTART_SYSCALL);
		break;
	}
}

static void enter_handler(struct trap_frame *f, const struct signal_info *info, const struct signal_action *a)
{
	struct thread_signals *t = &current_user_thread()->signals;
	struct user_signal s = {.info = *info,
	    .handler = a->handler,
	    .restorer = a->flags & SA_RESTORER ? a->restorer : 0,
	    .with_info = a->flags & SA_SIGINFO,
	    .on_altstack = a->flags & SA_ONSTACK,
	    .mask = mask_to_restore(t),
	    .altstack = t->altstack,
	    .fault = t->fault};
	settle_call_for_handler(f, a->flags);
	rseq_interrupt(f, info->signo);
	if (user_signal_push(f, &s)) {
		signal_force_segv(info->signo);
		return;
	}
	if ((uint32_t)t->altstack.flags & SS_AUTODISARM)
		t->altstack = (struct user_altstack){.flags = SS_DISABLE};
	t->restore_mask = false;
	uint64_t self = a->flags & SA_NODEFER ? 0 : SIGNAL_BIT(info->signo);
	signal_set_mask(t->mask | a->mask | self);
}

/* The default action. */
static void default_action_locked(struct process *p, const struct signal_info *info)
{
	int signal = info->signo;
	bool spared = p->pid == PID_INIT && info->code <= SI_USER;
	if (signal_in(signal, SIGNALS_NO_ACTION) || spared)
		return;
	if (signal_in(signal, SIGNALS_CORE) && core_begin_locked(p, signal))
		return; /* signal_deliver goes on */
	if (!signal_in(signal, SIGNALS_STOP))
		process_begin_exit_locked(p, wait_status_killed(signal));
	else if (signal == SIGNAL_STOP || !process_group_is_orphaned_locked(p->pgid, p->sid, NULL))
		signal_stop_locked(p, signal);
}

/* What to do next: a signal whose handler is to run, with its action, or one that has taken its default
 * action (SIGNAL_DEFAULT); 0: nothing is left. */
static int next_signal(struct signal_info *info, struct signal_action *action, struct signal_reserve *r)
{
	struct user_thread *ut = current_user_thread();
	struct process *p = ut->thread.process;
	ASSERT_HELD(&process_tree_lock);
	while (!p->exiting) {
		if (p->signals.stop_signal) {
			signal_park_locked(p);
			continue;
		}
		int signal = signal_take_locked(~ut->signals.mask, info, r);
		if (!signal)
			break;
		struct signal_action *a = &p->signals.table->actions[signal - 1];
		*action = *a;
		if (a->handler == SIGNAL_IGNORE)
			continue;
		if (a->handler == SIGNAL_DEFAULT)
			default_action_locked(p, info);
		else if (a->flags & SA_RESETHAND)
			a->handler = SIGNAL_DEFAULT;
		return signal;
	}
	/* Nothing to do. Whoever sends from here on sets the flag again. One who is killed has another flag.
	 */
	atomic_fetch_and_explicit(&ut->thread.flags, ~(uint32_t)THREAD_SIGNALLED, memory_order_relaxed);
	return 0;
}

void signal_deliver(struct trap_frame *f)
{
	struct thread_signals *t = &current_user_thread()->signals;
	struct signal_info info;
	struct signal_action action;
	struct signal_reserve used;
	signal_reserve(&used, 0, 0);
	for (;;) {
		spin_lock(&process_tree_lock);
		int signal = next_signal(&info, &action, &used);
		spin_unlock(&process_tree_lock);
		signal_reserve_fini(&used);
		if (!signal)
			break;
		trace_signal(signal);
		if (action.handler != SIGNAL_DEFAULT)
			enter_handler(f, &info, &action);
		else if (core_is_writer())
			core_write(&info);
	}
	settle_call_without_handler(f);
	if (t->restore_mask) {
		t->restore_mask = false;
		signal_set_mask(t->saved_mask);
	}
}

void signal_die(const struct signal_info *info)
{
	struct process *p = current_process();
	spin_lock(&process_tree_lock);
	if (!p->exiting)
		default_action_locked(p, info);
	spin_unlock(&process_tree_lock);
	if (core_is_writer())
		core_write(info);
}
