#pragma once
/*
 * threadfd.h - files that stand for threads: readable once the thread has ended, and used to end it. One
 * stands for what runs now: if its thread runs another program, it has ended too, so that a descriptor gives
 * no power over programs that have rights of their own.
 *
 * The file holds nothing of the thread but a number and a pointer, which is cleared when the thread ends: a
 * table may have descriptors of the threads that use it.
 */
#include "fs/file.h"
#include "proc/process.h"

/* How a thread begins: where, on which stack, with what a function finds as its arguments, and with this TLS
 * base. User addresses. */
struct thread_start {
	uaddr_t entry, sp;
	uint64_t arguments[2];
	uaddr_t tls;
};

/* A file that stands for no thread yet. One reference. -ENOMEM. May sleep. */
MUST_CHECK err_t threadfd_create(struct file **out);
/* Start one more thread of the process that has a descriptor `process` with RIGHT_MAP (NULL: the current
 * one), which f stands for from then on. The thread is as if the current one, or the oldest of the other
 * process, had made it with clone: it shares table, directories and signal handlers, and has the same
 * credentials, mask, name and rank. Limits are its process's. On failure nothing has changed. -ESRCH: the
 * process has not been started, or is dead; -EACCES: as pidfd_space; -EAGAIN: too many, or the process is
 * about to run a program with rights of its own; -EINTR: somebody ends the process, or runs another program
 * in it, meanwhile; -EBUSY, -ENOMEM. May sleep. */
MUST_CHECK err_t threadfd_start(
    const struct file *f, const struct file *process, const struct thread_start *s);
/* f stands for the thread of the process (as above) that has this number. -ESRCH: there is none. */
MUST_CHECK err_t threadfd_find(const struct file *f, const struct file *process, uint32_t number);
/* End the thread as soon as it is about to go back to user mode: not its process, unless it is the last. It
 * may have ended already. */
void threadfd_kill(const struct file *f);
/* How it has ended, as wait4 tells it of processes. -EAGAIN: it has not. */
MUST_CHECK int threadfd_status(const struct file *f);
/* The number that it has or had. */
uint32_t threadfd_number(const struct file *f);
/* ut has ended, with this status. Tree locked. */
void threadfd_thread_ended_locked(struct user_thread *ut, int status);
