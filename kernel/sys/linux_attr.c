/* linux_attr.c - calls on the attributes of files: rights, owners, times, sizes. The checks themselves:
 * fs/namei_attr.c. */
#include "proc/cred.h"
#include "sys/files.h"

/* --- access --- */

/* With the real ids, and what the real user would have of capabilities: a set-user-ID program asks for who
 * started it. */
static void use_real_ids(struct at_call *a)
{
	const struct cred *c = a->view.cred;
	a->view.context.cred.uid = c->uid;
	a->view.context.cred.gid = c->gid;
	if (!(c->securebits & SECBIT_NO_SETUID_FIXUP))
		a->view.context.cred.caps = c->uid == 0 ? c->permitted : 0;
}

int64_t sys_faccessat2(int32_t dirfd, uaddr_t name, int32_t mode, int32_t flags)
{
	struct at_call a;
	struct path p;
	if ((mode & ~(MAY_READ | MAY_WRITE | MAY_EXEC)) ||
	    (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	err_t err = at_begin_flags(&a, dirfd, name, flags);
	if (err)
		return err;
	if (!(flags & AT_EACCESS))
		use_real_ids(&a);
	err = at_lookup(&a, flags, &p);
	if (!err) {
		err = vfs_access(a.c, &p, (unsigned)mode);
		path_put(&p);
	}
	at_end(&a);
	return err;
}

int64_t sys_faccessat(int32_t dirfd, uaddr_t name, int32_t mode)
{
	return sys_faccessat2(dirfd, name, mode, 0);
}

int64_t sys_access(uaddr_t name, int32_t mode)
{
	return sys_faccessat2(AT_FDCWD, name, mode, 0);
}

/* --- mode --- */

int64_t sys_fchmodat(int32_t dirfd, uaddr_t name, uint32_t mode)
{
	struct at_call a;
	struct path p;
	err_t err = at_begin_path(&a, dirfd, name, 0, &p);
	if (err)
		return err;
	err = vfs_chmod(a.c, &p, mode);
	at_end_path(&a, &p);
	return err;
}

int64_t sys_chmod(uaddr_t name, uint32_t mode)
{
	return sys_fchmodat(AT_FDCWD, name, mode);
}

int64_t sys_fchmod(int32_t fd, uint32_t mode)
{
	struct fd_call f;
	err_t err = fd_begin_for(&f, fd, RIGHT_MANAGE);
	if (err)
		return err;
	err = vfs_chmod(f.c, &f.path, mode);
	fd_end(&f);
	return err;
}

/* --- owner --- */

int64_t sys_fchownat(int32_t dirfd, uaddr_t name, uint32_t uid, uint32_t gid, int32_t flags)
{
	struct at_call a;
	struct path p;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err_t err = at_begin_path(&a, dirfd, name, flags, &p);
	if (err)
		return err;
	err = vfs_chown(a.c, &p, uid, gid);
	at_end_path(&a, &p);
	return err;
}

int64_t sys_chown(uaddr_t name, uint32_t uid, uint32_t gid)
{
	return sys_fchownat(AT_FDCWD, name, uid, gid, 0);
}

int64_t sys_lchown(uaddr_t name, uint32_t uid, uint32_t gid)
{
	return sys_fchownat(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int64_t sys_fchown(int32_t fd, uint32_t uid, uint32_t gid)
{
	struct fd_call f;
	err_t err = fd_begin_for(&f, fd, RIGHT_MANAGE);
	if (err)
		return err;
	err = vfs_chown(f.c, &f.path, uid, gid);
	fd_end(&f);
	return err;
}

/* --- times --- */

enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe, NSEC_END = 1000000000, USEC_END = 1000000 };

static const struct time_change times_now[2] = {{.choice = TIME_NOW}, {.choice = TIME_NOW}};

/* Set the times of a name, or of the descriptor dirfd if name is 0. */
static err_t set_times(int32_t dirfd, uaddr_t name, const struct time_change *times, int32_t flags)
{
	struct at_call a;
	struct path p;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	err_t err = at_begin_path(&a, dirfd, name, flags, &p);
	if (err)
		return err;
	err = vfs_utimens(a.c, &p, &times[0], &times[1]);
	at_end_path(&a, &p);
	return err;
}

static err_t set_times_fd(int32_t fd, const struct time_change *times, int32_t flags)
{
	struct fd_call f;
	if (flags)
		return -EINVAL;
	err_t err = fd_begin_for(&f, fd, RIGHT_MANAGE);
	if (err)
		return err;
	err = vfs_utimens(f.c, &f.path, &times[0], &times[1]);
	fd_end(&f);
	return err;
}

static err_t set_times_any(int32_t dirfd, uaddr_t name, const struct time_change *times, int32_t flags)
{
	return !name && dirfd != AT_FDCWD ? set_times_fd(dirfd, times, flags)
					  : set_times(dirfd, name, times, flags);
}

/* False: the nanoseconds are none. */
static bool read_time(const struct sys_timespec *t, struct time_change *out)
{
	out->choice = t->nsec == UTIME_NOW ? TIME_NOW : t->nsec == UTIME_OMIT ? TIME_OMIT : TIME_SET;
	out->at = (struct timespec64){t->sec, (uint32_t)t->nsec};
	return out->choice != TIME_SET || (t->nsec >= 0 && t->nsec < NSEC_END);
}

int64_t sys_utimensat(int32_t dirfd, uaddr_t name, uaddr_t times, int32_t flags)
{
	struct sys_timespec t[2];
	struct time_change change[2];
	if (!times)
		return set_times_any(dirfd, name, times_now, flags);
	err_t err = copy_from_user(t, times, sizeof(t));
	if (err)
		return err;
	if (t[0].nsec == UTIME_OMIT && t[1].nsec == UTIME_OMIT)
		return 0; /* not even the name is looked at */
	for (int i = 0; i < 2; i++)
		if (!read_time(&t[i], &change[i]))
			change[i].choice = TIME_INVALID;
	return set_times_any(dirfd, name, change, flags);
}

int64_t sys_futimesat(int32_t dirfd, uaddr_t name, uaddr_t times)
{
	struct {
		int64_t sec, usec;
	} t[2];
	struct time_change change[2];
	if (!times)
		return set_times_any(dirfd, name, times_now, 0);
	err_t err = copy_from_user(t, times, sizeof(t));
	for (int i = 0; i < 2 && !err; i++) {
		if (t[i].usec < 0 || t[i].usec >= USEC_END)
			err = -EINVAL;
		change[i] = (struct time_change){TIME_SET, {t[i].sec, (uint32_t)t[i].usec * 1000}};
	}
	return err ? err : set_times_any(dirfd, name, change, 0);
}

int64_t sys_utimes(uaddr_t name, uaddr_t times)
{
	return sys_futimesat(AT_FDCWD, name, times);
}

int64_t sys_utime(uaddr_t name, uaddr_t times)
{
	int64_t t[2];
	if (!times)
		return set_times_any(AT_FDCWD, name, times_now, 0);
	err_t err = copy_from_user(t, times, sizeof(t));
	struct time_change change[2] = {{TIME_SET, {t[0], 0}}, {TIME_SET, {t[1], 0}}};
	return err ? err : set_times_any(AT_FDCWD, name, change, 0);
}

/* --- size --- */

int64_t sys_truncate(uaddr_t name, int64_t size)
{
	struct at_call a;
	struct path p;
	uint64_t limit = current_limit(RLIMIT_FSIZE);
	if (size < 0)
		return -EINVAL;
	err_t err = at_begin_path(&a, AT_FDCWD, name, 0, &p);
	if (err)
		return err;
	err = vfs_truncate(a.c, &p, size, limit);
	at_end_path(&a, &p);
	if (err == -EFBIG && (uint64_t)size > limit)
		signal_raise(SIGNAL_XFSZ);
	return restartable(err);
}
