/*
 * dispatch.c - from a system-call number to the function that serves it.
 *
 * The number is compared as the unsigned 64-bit value that the register holds, so that a negative or huge one
 * is just a number that nobody has. What is not offered is -ENOSYS and one line in the log for each number:
 * the log tells what a program misses without being flooded by it.
 */
#include "arch/user.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "kern/thread.h"
#include "proc/process.h"
#include "proc/trace.h"
#include "sys/files.h"
#include "vm/space.h"

typedef int64_t syscall_fn(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
#include "syscall_table.inc"
#include "syscall_trace.inc"

enum { UNKNOWN_MAX = 128 };

static struct spinlock unknown_lock = SPINLOCK_INIT("unknown calls", RANK_SERVICE);
static uint64_t unknown_numbers[UNKNOWN_MAX]; /* unknown_lock: those that were logged */
static unsigned unknown_count;                /* unknown_lock */

/* Remember nr; true if it is new. Beyond UNKNOWN_MAX numbers nothing is new. */
static bool unknown_is_new(uint64_t nr)
{
	bool is_new = true;
	spin_lock(&unknown_lock);
	for (unsigned i = 0; is_new && i < unknown_count; i++)
		is_new = unknown_numbers[i] != nr;
	is_new = is_new && unknown_count < UNKNOWN_MAX;
	if (is_new)
		unknown_numbers[unknown_count++] = nr;
	spin_unlock(&unknown_lock);
	return is_new;
}

/* What is known of a number, offered or not. NULL: nothing. */
static const struct trace_call *syscall_known(uint64_t nr)
{
	const struct trace_call *c = NULL;
	if (nr < LINUX_COUNT)
		c = &linux_traces[nr];
	else if (nr - NATIVE_BASE < NATIVE_COUNT)
		c = &native_traces[nr - NATIVE_BASE];
	return c && c->name ? c : NULL;
}

static const char *syscall_name(uint64_t nr)
{
	const struct trace_call *c = syscall_known(nr);
	return c ? c->name : "no such number";
}

static NOINLINE int64_t syscall_unknown(uint64_t nr)
{
	if (unknown_is_new(nr))
		log_info("sys", "%s[%u] wants system call %#lx (%s), which is not offered",
		    current_process()->name, current_process()->pid, (unsigned long)nr, syscall_name(nr));
	return -ENOSYS;
}

int64_t syscall_dispatch(struct trap_frame *f)
{
	uint64_t nr = f->rax;
	syscall_fn *fn = NULL;
	if (likely(nr < LINUX_COUNT))
		fn = linux_calls[nr];
	else if (nr - NATIVE_BASE < NATIVE_COUNT)
		fn = native_calls[nr - NATIVE_BASE];
	if (unlikely(!fn))
		return syscall_unknown(nr);
	return fn(f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9);
}

/* What is said here costs each call of a hardened program: docs/performance.md has the number of
 * instructions. */
static ALWAYS_INLINE bool is_on_stack(const struct user_thread *ut, const struct trap_frame *f)
{
	return load_relaxed(&ut->thread.space->serial) == ut->guard.serial &&
	       f->rsp - ut->guard.stack_low <= ut->guard.stack_size;
}

static NOINLINE int64_t dispatch_checked(struct trap_frame *f)
{
	return guard_check_call(f) ? syscall_dispatch(f) : -EFAULT; /* which it will never know */
}

int64_t syscall_dispatch_on_stack(struct trap_frame *f)
{
	if (unlikely(!is_on_stack(current_user_thread(), f)))
		return dispatch_checked(f);
	return syscall_dispatch(f);
}

int64_t syscall_dispatch_guarded(struct trap_frame *f)
{
	const struct user_thread *ut = current_user_thread();
	if (unlikely(!is_on_stack(ut, f) || f->rip - ut->guard.code_low > ut->guard.code_size))
		return dispatch_checked(f);
	return syscall_dispatch(f);
}

int64_t syscall_dispatch_traced(struct trap_frame *f)
{
	if (guard_is_on(GUARD_STACK | GUARD_CALLS) && !guard_check_call(f))
		return -EFAULT;
	const uint64_t args[TRACE_ARGS] = {f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9};
	const struct trace_call *known = syscall_known(f->rax);
	struct trace_call unknown = {.nargs = TRACE_NOT_OFFERED};
	struct trace_line line;
	char number[32];
	if (!known) {
		(void)format(number, sizeof(number), "syscall_%#llx", (unsigned long long)f->rax);
		unknown.name = number;
		known = &unknown;
	}
	trace_format_call(&line, known, args, trace_read_user);
	if (!trace_call_returns(known)) {
		trace_format_no_result(&line);
		trace_emit(&line);
	}
	int64_t result = syscall_dispatch(f);
	trace_format_result(&line, known, args, result);
	trace_emit(&line);
	return result;
}
