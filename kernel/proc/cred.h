#pragma once
/*
 * cred.h - whose rights count: the user and group ids of a process, as POSIX and Linux know them.
 *
 * A set of credentials never changes once a process has it: to change ids, make a copy, change that, and put it in the old one's place. So whoever holds a reference
 * sees ids that belong together, and no lock is needed to read them.
 *
 * A process with effective user id 0 is privileged: it has what Linux calls all capabilities; others have none.
 */
#include "lib/err.h"
#include "lib/refcount.h"
#include "lib/types.h"

struct process;

enum { CRED_GROUPS_MAX = 65536 }; /* NGROUPS_MAX of the ABI */

struct cred {
	struct refcount refs; /* (A) the rest is constant while a process has it */
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	unsigned ngroups;
	uint32_t groups[]; /* in ascending order */
};

/* Credentials of the superuser, with no further groups. -ENOMEM. */
MUST_CHECK err_t cred_create_root(struct cred **out);
/* A copy of `from` with its ids, to be changed; `groups` instead of its own if not NULL. -ENOMEM. */
MUST_CHECK err_t cred_copy(
    const struct cred *from, const uint32_t *groups, unsigned ngroups, struct cred **out);
static inline void cred_get(struct cred *c)
{
	ref_get(&c->refs);
}
void cred_put(struct cred *c);

/* p's credentials, with a reference. */
struct cred *process_cred(struct process *p);
/* Give the current process other ones; takes over the reference to `new`. */
void process_set_cred(struct cred *new);
/* p's real and effective user id. */
uint32_t process_uid(struct process *p);
uint32_t process_euid(struct process *p);
/* Is the current process privileged? */
bool current_is_privileged(void);
/* Is gid one of the groups (effective or further) of c? */
bool cred_has_group(const struct cred *c, uint32_t gid);
