/*
 * linux_caps.c - capabilities: capget, capset, and the options of prctl about them. As ids, each thread has
 * its own.
 */
#include "proc/cred.h"
#include "sys/caps.h"
#include "sys/sys.h"

/* A change of the current thread's credentials: filled in by the function, or refused. */
typedef err_t cred_change(struct cred *new, const struct cred *old, uint64_t arg);

static err_t change_cred(cred_change *change, uint64_t arg)
{
	const struct cred *old = current_cred();
	struct cred *new;
	err_t err = cred_copy(old, NULL, 0, &new);
	if (!err) {
		err = change(new, old, arg);
		if (err)
			cred_put(new);
		else
			current_set_cred(new);
	}
	return err;
}

/* --- capget, capset --- */

#define CAP_VERSION_1 0x19980330u
#define CAP_VERSION_2 0x20071026u
#define CAP_VERSION_3 0x20080522u

struct cap_words {
	uint32_t effective, permitted, inheritable;
};
struct cap_sets {
	cap_set_t effective, permitted, inheritable;
};

/* The number of words of a set, by the version; -EINVAL, with the version to use written back. */
static err_t fetch_version(uaddr_t header, unsigned *words)
{
	uint32_t version, newest = CAP_VERSION_3;
	if (copy_from_user(&version, header, sizeof(version)))
		return -EFAULT;
	*words = version == CAP_VERSION_1 ? 1 : 2;
	if (version == CAP_VERSION_1 || version == CAP_VERSION_2 || version == CAP_VERSION_3)
		return 0;
	return copy_to_user(header, &newest, sizeof(newest)) ? -EFAULT : -EINVAL;
}

static err_t fetch_pid(uaddr_t header, int32_t *pid)
{
	return copy_from_user(pid, header + sizeof(uint32_t), sizeof(*pid));
}

static err_t find_sets(int32_t pid, struct cap_sets *out)
{
	struct process *p;
	uint32_t tid = pid ? (uint32_t)pid : current_thread()->tid;
	if (pid < 0)
		return -EINVAL;
	err_t err = process_find_by_thread(tid, &p);
	if (err)
		return err;
	struct cred *c = task_cred(p, tid);
	*out = (struct cap_sets){c->effective, c->permitted, c->inheritable};
	cred_put(c);
	process_put(p);
	return 0;
}

int64_t sys_capget(uaddr_t header, uaddr_t data)
{
	struct cap_sets s;
	unsigned words;
	int32_t pid;
	err_t err = fetch_version(header, &words);
	if (!data && err == -EINVAL)
		return 0; /* only the version was asked for */
	if (!data || err)
		return err;
	err = fetch_pid(header, &pid);
	if (!err)
		err = find_sets(pid, &s);
	if (err)
		return err;
	struct cap_words w[2] = {{(uint32_t)s.effective, (uint32_t)s.permitted, (uint32_t)s.inheritable},
	    {(uint32_t)(s.effective >> 32), (uint32_t)(s.permitted >> 32), (uint32_t)(s.inheritable >> 32)}};
	return copy_to_user(data, w, words * sizeof(w[0]));
}

static err_t set_sets(struct cred *new, const struct cred *old, uint64_t arg)
{
	const struct cap_sets *s = (const struct cap_sets *)arg;
	bool may_all = cap_set_has(old->effective, CAP_SETPCAP);
	if (!may_all && !cap_set_within(s->inheritable, old->inheritable | old->permitted))
		return -EPERM;
	if (!cap_set_within(s->inheritable, old->inheritable | old->bounding) ||
	    !cap_set_within(s->permitted, old->permitted) || !cap_set_within(s->effective, s->permitted))
		return -EPERM;
	new->effective = s->effective;
	new->permitted = s->permitted;
	new->inheritable = s->inheritable;
	new->ambient &= s->permitted & s->inheritable;
	return 0;
}

int64_t sys_capset(uaddr_t header, uaddr_t data)
{
	struct cap_words w[2] = {{0}};
	unsigned words;
	int32_t pid;
	err_t err = fetch_version(header, &words);
	if (!err)
		err = fetch_pid(header, &pid);
	if (err)
		return err;
	if (pid != 0 && (uint32_t)pid != current_thread()->tid)
		return -EPERM;
	if (copy_from_user(w, data, words * sizeof(w[0])))
		return -EFAULT;
	struct cap_sets s = {
	    .effective = ((uint64_t)w[1].effective << 32 | w[0].effective) & CAP_ALL,
	    .permitted = ((uint64_t)w[1].permitted << 32 | w[0].permitted) & CAP_ALL,
	    .inheritable = ((uint64_t)w[1].inheritable << 32 | w[0].inheritable) & CAP_ALL,
	};
	return change_cred(set_sets, (uint64_t)&s);
}

/* --- prctl --- */

static err_t drop_bounding(struct cred *new, const struct cred *old, uint64_t cap)
{
	if (!cap_set_has(old->effective, CAP_SETPCAP))
		return -EPERM;
	if (cap >= CAP_COUNT)
		return -EINVAL;
	new->bounding &= ~CAP_BIT(cap);
	return 0;
}

static err_t set_securebits(struct cred *new, const struct cred *old, uint64_t bits)
{
	uint32_t locks = old->securebits & SECUREBITS_LOCKS;
	if ((locks >> 1 & (old->securebits ^ bits)) || (locks & ~bits) ||
	    (bits & ~(uint64_t)(SECUREBITS_ALL | SECUREBITS_LOCKS)) ||
	    !cap_set_has(old->effective, CAP_SETPCAP))
		return -EPERM;
	new->securebits = (uint32_t)bits;
	return 0;
}

static err_t set_keep_caps(struct cred *new, const struct cred *old, uint64_t on)
{
	if (on > 1)
		return -EINVAL;
	if (old->securebits & SECBIT_KEEP_CAPS_LOCKED)
		return -EPERM;
	new->securebits &= ~(uint32_t)SECBIT_KEEP_CAPS;
	new->securebits |= on ? SECBIT_KEEP_CAPS : 0;
	return 0;
}

static err_t clear_ambient(struct cred *new, UNUSED const struct cred *old, UNUSED uint64_t arg)
{
	new->ambient = 0;
	return 0;
}

static err_t lower_ambient(struct cred *new, UNUSED const struct cred *old, uint64_t cap)
{
	new->ambient &= ~CAP_BIT(cap);
	return 0;
}

static err_t raise_ambient(struct cred *new, const struct cred *old, uint64_t cap)
{
	if (!cap_set_has(old->permitted & old->inheritable, (enum capability)cap) ||
	    (old->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
		return -EPERM;
	new->ambient |= CAP_BIT(cap);
	return 0;
}

static int64_t get_own(uint64_t (*get)(const struct cred *c))
{
	const struct cred *c = current_cred();
	uint64_t value = get(c);
	return (int64_t)value;
}
static uint64_t bounding_of(const struct cred *c)
{
	return c->bounding;
}
static uint64_t ambient_of(const struct cred *c)
{
	return c->ambient;
}
static uint64_t securebits_of(const struct cred *c)
{
	return c->securebits;
}

int64_t caps_bounding_has(uint64_t cap)
{
	return cap < CAP_COUNT ? get_own(bounding_of) >> cap & 1 : -EINVAL;
}

int64_t caps_drop_bounding(uint64_t cap)
{
	return change_cred(drop_bounding, cap);
}

int64_t caps_securebits(void)
{
	return get_own(securebits_of);
}

int64_t caps_set_securebits(uint64_t bits)
{
	return change_cred(set_securebits, bits);
}

int64_t caps_kept(void)
{
	return get_own(securebits_of) & SECBIT_KEEP_CAPS ? 1 : 0;
}

int64_t caps_set_kept(uint64_t on)
{
	return change_cred(set_keep_caps, on);
}

enum ambient_command { AMBIENT_IS_SET = 1, AMBIENT_RAISE, AMBIENT_LOWER, AMBIENT_CLEAR_ALL };

int64_t caps_ambient(uint64_t command, uint64_t cap, uint64_t arg4, uint64_t arg5)
{
	if (command == AMBIENT_CLEAR_ALL)
		return cap | arg4 | arg5 ? -EINVAL : change_cred(clear_ambient, 0);
	if (cap >= CAP_COUNT || arg4 || arg5)
		return -EINVAL;
	switch (command) {
	case AMBIENT_IS_SET:
		return get_own(ambient_of) >> cap & 1;
	case AMBIENT_RAISE:
		return change_cred(raise_ambient, cap);
	case AMBIENT_LOWER:
		return change_cred(lower_ambient, cap);
	default:
		return -EINVAL;
	}
}
