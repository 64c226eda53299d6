#pragma once
/*
 * signalfd.h - files that signals are read from. See signalfd.c.
 */
#include "fs/file.h"
#include "proc/process.h"

/* A new file for the signals of `set`. flags: FILE_NONBLOCK. -ENOMEM. */
MUST_CHECK err_t signalfd_create(uint64_t set, unsigned flags, struct file **out);
/* f is for these signals from now on. -EINVAL: it is something else. */
MUST_CHECK err_t signalfd_set(struct file *f, uint64_t set);
/* The signal is pending for p or one of its threads since just now. Tree locked. */
void signalfd_notify_locked(const struct process *p, int signal);
