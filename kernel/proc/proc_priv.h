#pragma once
/* proc_priv.h - what the files of proc/ share and nobody else sees. */
#include "proc/process.h"

/* Give a new process descriptors, place, credentials, program and limits: copies of its parent's, or shared. What it got stays on failure, for process_release_files. */
MUST_CHECK err_t process_init_files(struct process *p, struct process *parent, unsigned share);
/* Take p out of the tree: it is forgiven. The tree's reference passes to the caller, who drops it without the
 * lock. */
void process_leave_tree_locked(struct process *p);
/* The process with this number, alive or dead, or NULL. No reference. */
struct process *process_find_locked(uint32_t pid);
void process_for_each_locked(void (*fn)(struct process *p, void *arg), void *arg);
/* Hand a thread that is about to call thread_exit to the reaper, which joins and frees it. */
void reaper_take(struct user_thread *ut);
