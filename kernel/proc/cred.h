#pragma once
/*
 * cred.h - whose rights count: the user and group ids of a thread, as Linux knows them. (POSIX has them
 * belong to the process: a C library changes those of all threads.)
 *
 * A set of credentials never changes once a thread has it: to change ids, make a copy, change that, and put
 * it in the old one's place. So whoever holds a reference sees ids that belong together, and no lock is
 * needed to read them. Only the thread itself changes what it has, so it needs neither lock nor reference to
 * look at that: what a call may do is asked of current_cred().
 *
 * Those of its first thread count where a process is asked for: who may signal it, what /proc/PID tells. The
 * process keeps them when that thread is gone.
 *
 * What a thread may do beyond its ids is its effective set of capabilities, and nothing else: user id 0
 * counts only where ids change and where programs are run (cred_caps.c), unless securebits say otherwise.
 *
 *	permitted     what it may make effective; effective is always within it
 *	inheritable   what it offers programs to inherit
 *	bounding      what programs that it runs may gain at most
 *	ambient       what programs without rights of their own keep; always within permitted and inheritable
 */
#include "fs/file_caps.h"
#include "lib/capability.h"
#include "lib/err.h"
#include "lib/refcount.h"
#include "lib/types.h"
#include "proc/process.h"

enum { CRED_GROUPS_MAX = 65536 }; /* NGROUPS_MAX of the ABI */

enum securebits {                        /* the ABI's; each is locked by the bit after it */
	SECBIT_NOROOT = 1 << 0,          /* user id 0 gains nothing by running programs */
	SECBIT_NO_SETUID_FIXUP = 1 << 2, /* changes of ids leave capabilities alone */
	SECBIT_KEEP_CAPS =
	    1 << 4, /* what is permitted stays when no id is 0 any more; until the next program */
	SECBIT_KEEP_CAPS_LOCKED = 1 << 5,
	SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6,
	SECUREBITS_ALL = 0x55,
	SECUREBITS_LOCKS = SECUREBITS_ALL << 1,
};

struct cred {
	struct refcount refs; /* (A) the rest is constant once a thread has it */
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	cap_set_t permitted, effective, inheritable, bounding, ambient;
	uint32_t securebits; /* enum securebits */
	unsigned ngroups;
	uint32_t groups[]; /* in ascending order */
};

/* Credentials of the superuser, with no further groups. -ENOMEM. */
MUST_CHECK err_t cred_create_root(struct cred **out);
/* A copy of `from` with its ids and capabilities, to be changed; `groups` instead of its own if not NULL.
 * -ENOMEM. */
MUST_CHECK err_t cred_copy(
    const struct cred *from, const uint32_t *groups, unsigned ngroups, struct cred **out);
static inline void cred_get(struct cred *c)
{
	ref_get(&c->refs);
}
void cred_put(struct cred *c);

/* The current thread's, which must be a user's: they stay until it changes them itself. */
static inline const struct cred *current_cred(void)
{
	return current_user_thread()->cred;
}
/* Those of p's first thread, with a reference. */
struct cred *process_cred(struct process *p);
/* Those of p's thread with this id, with a reference; of its first one if there is no such (any more), or for
 * 0. */
struct cred *task_cred(struct process *p, uint32_t tid);
/* Give the current thread other ones; takes over the reference to `new`. With effective or file ids or
 * capabilities that it did not have, others of its user may no longer look into its memory, and the death of
 * its parent is not told any more. */
void current_set_cred(struct cred *new);
/* The current process, which has one thread, runs a program, with other rights than its user's if `secure`.
 */
void process_note_rights(bool secure);
/* The current thread takes the place of p's first one, tree locked. Returns what that had, with the
 * reference, to be dropped without the lock. */
struct cred *cred_lead_locked(struct process *p);
/* The real user id of p's first thread. */
uint32_t process_uid(struct process *p);
/* Is this capability in the current thread's effective set? A thread of the kernel's own has all. */
static inline bool current_can(enum capability cap)
{
	return !current_process() || cap_set_has(current_cred()->effective, cap);
}
/* Is the kernel's log for the privileged alone (kernel.dmesg_restrict)? As Debian has it, it is. */
extern _Atomic uint32_t log_is_restricted;
/* May the current thread do with the log what changes nothing: read it, ask how much there is? */
bool current_may_read_log(void);
/* Is gid one of the groups (effective or further) of c? */
bool cred_has_group(const struct cred *c, uint32_t gid);

/* cred_caps.c: how capabilities follow from ids. `new` differs from `old` in its ids alone. */
/* After a change of real, effective or saved user ids. */
void cred_follow_uids(struct cred *new, const struct cred *old);
/* After a change of the user id for files. */
void cred_follow_fsuid(struct cred *new, const struct cred *old);
/* What a program runs with, its effective ids being set as its file says. */
struct cred_exec {
	struct file_caps file;   /* what capabilities the file gives */
	bool shared;             /* somebody without these rights could steer the process */
	bool no_new_privs;       /* ... or it has promised not to gain any */
	bool clears_personality; /* result: it has capabilities that it had not */
	bool secure;             /* result: it has rights that its user has not (AT_SECURE) */
};
/* -EPERM: the file has to give more than it may. */
MUST_CHECK err_t cred_follow_exec(struct cred *new, const struct cred *old, struct cred_exec *x);
