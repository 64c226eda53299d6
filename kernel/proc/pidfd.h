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
/* p is dead: its files become readable. Tree locked. */
void pidfd_process_died_locked(struct process *p);
