#pragma once
/* proc_priv.h - what the files of proc/ share and nobody else sees. */
#include "proc/process.h"

/* Give a new process credentials (those of the current thread if that is its parent's), program and limits.
 * What it got stays on failure, for process_release_program. */
MUST_CHECK err_t process_inherit(struct process *p, struct process *parent, const struct process_wish *w);
void process_release_program(struct process *p);
/* Take p out of the tree: it is forgiven. The tree's reference passes to the caller, who drops it without the
 * lock. */
void process_leave_tree_locked(struct process *p);
/* The process with this number, alive or dead, or NULL. No reference. */
struct process *process_find_locked(uint32_t pid);
void process_for_each_locked(void (*fn)(struct process *p, void *arg), void *arg);
/* tty_jobs.c: controlling terminals. A child has its parent's. */
void process_inherit_tty_locked(struct process *p, const struct process *parent);
/* p has none any more; the reference passes to the caller, who drops it without the lock. NULL: it had none.
 */
struct tty *process_take_tty_locked(struct process *p);
void process_drop_tty(struct process *p);
/* p ends: if it leads a session, the session loses its terminal. May sleep. */
void process_leave_tty(struct process *p);
/* Send a signal to a process group of a session. pgid 0: to nobody. */
void process_group_signal_locked(uint32_t pgid, uint32_t sid, int signo);
/* p is losing `parent`, or has just died itself: if its group has lost the last one who cared, and is
 * stopped, hang it up and let it go on. */
void process_rescue_group_locked(const struct process *p, const struct process *parent);
void tty_jobs_init(void);
/* Hand a thread that is about to call thread_exit to the reaper, which joins and frees it. */
void reaper_take(struct user_thread *ut);

/* nproc.c: RLIMIT_NPROC. */
/* One more task of the user counts, if it has less than `limit`: else -EAGAIN. */
MUST_CHECK err_t nproc_add_locked(uint32_t uid, uint64_t limit);
void nproc_remove_locked(uint32_t uid);
/* How many tasks c's user may have, for one more of p's: no limit for the superuser, and with
 * CAP_SYS_RESOURCE or CAP_SYS_ADMIN. */
uint64_t nproc_limit(struct process *p, const struct cred *c);
/* The current thread is about to have another real user id. Too many tasks then, beyond `limit`, are an error
 * of its next exec. */
void nproc_move_locked(struct user_thread *ut, uint32_t uid, uint64_t limit);
