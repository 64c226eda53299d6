#pragma once
/*
 * pidfd.h - files that stand for processes: they cannot be read or written, but polled (readable once the
 * process is dead), waited for, and used to send signals to that process and no other that gets its number
 * later.
 */
#include "fs/file.h"
#include "proc/process.h"

/* flags: FILE_NONBLOCK. One reference. -ENOMEM. May sleep. */
MUST_CHECK err_t pidfd_create(struct process *p, unsigned flags, struct file **out);
/* The process that f stands for, kept by f; NULL: f is something else. */
struct process *pidfd_process(const struct file *f);
/* What a descriptor of f may do that the current process gets: RIGHT_MAP is for who may look into the process
 * and change it. */
uint32_t pidfd_rights(const struct file *f);
/* The memory of f's process, with a reference, for who holds RIGHT_MAP. -ESRCH: it is dead; -EACCES: it runs,
 * since f was made, a program that has rights of its own, and the current process may not look into that. */
MUST_CHECK err_t pidfd_space(const struct file *f, struct vm_space **out);
/* p is dead: its files become readable. Tree locked. */
void pidfd_process_died_locked(struct process *p);
