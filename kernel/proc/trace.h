#pragma once
/*
 * trace.h - system calls, signals and ends of traced processes go to the log, as lines of text.
 *
 * Whether a thread is traced is said by what its system calls go through (thread.system_call), so others pay
 * nothing. Children and threads inherit it when they start; a program that is run keeps it. Only
 * CAP_SYS_ADMIN turns it on: the log is for everybody to read.
 */
#include "kern/thread.h"
#include "lib/err.h"
#include "proc/trace_format.h"

struct process;
struct user_thread;

void trace_init(void); /* once at boot */
/* Trace process pid (0: the current one), or no longer. -ESRCH; -EPERM: the current process has not
 * CAP_SYS_ADMIN. */
MUST_CHECK err_t trace_set(uint32_t pid, bool on);
/* ut is about to start: it is traced if its maker (NULL: the kernel) is. Process tree locked. */
void trace_inherit_locked(struct user_thread *ut, const struct user_thread *maker);
/* What the thread enters system calls by if it is not traced. */
int64_t (*thread_entry(const struct thread *t))(struct trap_frame *f);
bool thread_is_traced(const struct thread *t);

/* All below are for the current thread, which holds no lock; they may sleep, and return when the line is
 * where the log goes. */
/* Read its memory, as much as there is: struct trace_line's `read`. */
size_t trace_read_user(void *dst, uaddr_t src, size_t n);
void trace_emit(const struct trace_line *l);
/* If it is traced: it took this signal; it ends, with this status unless its process ends with another. */
void trace_signal(int signal);
void trace_exit(int wait_status);
