#pragma once
/*
 * pidfd.h - files that stand for processes: they cannot be read or written, but polled (readable once the
 * process is dead), waited for, and used to send signals to that process and no other that gets its number
 * later.
 *
 * One that a native program makes stands for a process that is to be (spawn.c): it has memory and
 * descriptors, and begins when somebody starts it. Its descriptors have no RIGHT_TRANSFER: what is in a
 * message or in the table of such a process would hold it, and could be held by it, for ever.
 */
#include "fs/file.h"
#include "proc/process.h"

/* flags: FILE_NONBLOCK. One reference. -ENOMEM. May sleep. */
MUST_CHECK err_t pidfd_create(struct process *p, unsigned flags, struct file **out);
/* The process that f stands for, kept by f; NULL: it has not been started, or f is something else. */
struct process *pidfd_process(const struct file *f);
/* The same. -EBADF: f is something else; -ESRCH: it has not been started. */
MUST_CHECK err_t pidfd_find(const struct file *f, struct process **out);
/* What a descriptor of f may do that the current process gets: RIGHT_MAP is for who may look into the process
 * and change it. */
uint32_t pidfd_rights(const struct file *f);
/* The memory of f's process, with a reference, for who holds RIGHT_MAP. -ESRCH: it is dead; -EACCES: it runs,
 * since f was made, a program that has rights of its own, and the current process may not look into that;
 * -EBUSY: somebody is about to start it. */
MUST_CHECK err_t pidfd_space(const struct file *f, struct vm_space **out);
/* p is dead: its files become readable. Tree locked. */
void pidfd_process_died_locked(struct process *p);

struct parcel;
/* A file that stands for a process that has not been started, without memory and descriptors. -ENOMEM. */
MUST_CHECK err_t pidfd_create_empty(const char *name, struct file **out);
/* It gets a copy of the descriptor, at this number (below limit), in the place of what is there. -EBUSY: it
 * is being started, or has been; -EBADF: no such number; -ENOMEM. May sleep. */
MUST_CHECK err_t pidfd_give(const struct file *f, const struct parcel *p, int number, int limit);
/* Have it for starting: nobody else does that meanwhile. -EBUSY. */
MUST_CHECK err_t pidfd_begin_start(const struct file *f, struct embryo **out);
/* It is this process now; NULL: it could not be started, and all is as before. May sleep. */
void pidfd_end_start(const struct file *f, struct process *p);
