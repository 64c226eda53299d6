/*
 * guard.c - rules for hardened programs: where the stack pointer may be, and from where system calls may
 * come. (That memory is not both writable and executable, and that text stays as it is, vm/ sees to.)
 *
 * The rules belong to the memory (vm_space.guards): exec gives a new program's memory those of its process
 * before anything is mapped, so that they hold for all of it, fork copies them, and nothing takes them away.
 * A thread whose memory has rules enters system calls through a function that checks them; one without enters
 * as always, so that nothing is paid where nothing is asked.
 *
 * The check compares two registers with the bounds of the regions that were found last, as long as the
 * space's serial says that no such region was changed. Only else the regions are looked up. A region that
 * another thread takes away at this very moment may still count: whoever could do that has made a system call
 * itself.
 *
 * A stack pointer may stand at the end of its region, where nothing is on the stack, but not at its
 * beginning. The instruction that made the call lies CALL_SIZE before the program counter.
 */
#include "proc/guard.h"
#include "arch/upcall.h"
#include "arch/user.h"
#include "kern/log.h"
#include "proc/process.h"
#include "proc/trace.h"
#include "vm/space.h"

enum { CALL_SIZE = 2 };

bool guard_is_on(uint32_t guards)
{
	return load_relaxed(&current_thread()->space->guards) & guards;
}

uint32_t guard_add(uint32_t guards)
{
	struct process *p = current_process();
	return atomic_fetch_or_explicit(&p->guards, guards, memory_order_relaxed);
}

void guard_attach(struct user_thread *ut)
{
	uint32_t guards = load_relaxed(&ut->thread.space->guards);
	uint32_t flag = guards & GUARD_STACK ? THREAD_GUARDED : 0;
	ut->guard =
	    (struct thread_guard){.serial = UINT64_MAX, .stack_size = UINT64_MAX, .code_size = UINT64_MAX};
	atomic_fetch_and_explicit(&ut->thread.flags, ~(uint32_t)THREAD_GUARDED, memory_order_relaxed);
	atomic_fetch_or_explicit(&ut->thread.flags, flag, memory_order_relaxed);
	if (!thread_is_traced(&ut->thread)) /* which checks by itself */
		store_relaxed(&ut->thread.system_call, thread_entry(&ut->thread));
}

void guard_break(const char *rule)
{
	struct thread *t = current_thread();
	const struct trap_frame *f = user_frame(t);
	log_warn("proc", "%s[%u] thread %u (%s) breaks a rule, pc %#lx, sp %#lx: %s", t->process->name,
	    t->process->pid, t->tid, t->name, (unsigned long)user_frame_pc(f),
	    (unsigned long)user_frame_sp(f), rule);
	signal_die(&(struct signal_info){.signo = SIGNAL_SEGV, .code = SI_KERNEL});
}

/* Find the stack that sp is on, at the end of it at most; where it grows, it does so now. */
static bool find_stack(struct vm_space *s, uaddr_t sp, struct marked_region *out)
{
	return space_find_marked(s, sp - 1, REGION_STACK, out) ||
	       (!space_grow(s, sp - 1) && space_find_marked(s, sp - 1, REGION_STACK, out));
}

/* Remember what the thread's stack pointer is in. */
static bool look_at_stack(struct vm_space *s, struct thread_guard *g, uaddr_t sp)
{
	struct marked_region r;
	if (!find_stack(s, sp, &r))
		return false;
	g->serial = r.serial;
	g->stack_low = r.start + 1;
	g->stack_size = r.end - g->stack_low;
	return true;
}

static bool look_at_code(struct vm_space *s, struct thread_guard *g, uaddr_t pc)
{
	struct marked_region r;
	if (!space_find_marked(s, pc - CALL_SIZE, REGION_CALLS, &r))
		return false;
	g->serial = MIN(g->serial, r.serial); /* the first look counts: serials only grow */
	g->code_low = r.start + CALL_SIZE;
	g->code_size = r.end - g->code_low;
	return true;
}

bool guard_check_call(const struct trap_frame *f)
{
	struct user_thread *ut = current_user_thread();
	struct vm_space *s = ut->thread.space;
	uint32_t guards = load_relaxed(&s->guards);
	struct thread_guard g = ut->guard;
	g.serial = UINT64_MAX;
	const char *broken = NULL;
	if ((guards & GUARD_STACK) && !look_at_stack(s, &g, user_frame_sp(f)))
		broken = "its stack pointer is in no stack";
	else if ((guards & GUARD_CALLS) && !look_at_code(s, &g, user_frame_pc(f)))
		broken = "a system call from code that was not mapped as a program's or library's";
	if (broken) {
		guard_break(broken);
		return false;
	}
	ut->guard = g;
	return true;
}

bool guard_check_stack(uaddr_t low, uaddr_t sp)
{
	struct marked_region r;
	if (!guard_is_on(GUARD_STACK) || (find_stack(current_thread()->space, sp, &r) && r.start <= low))
		return true;
	guard_break("it wants a stack that is none");
	return false;
}

void upcall_guarded_fault(void)
{
	(void)guard_check_stack(
	    user_frame_sp(user_frame(current_thread())) - 1, user_frame_sp(user_frame(current_thread())));
}
