/*
 * linux_lock.c - flock, and what fcntl does about locks on ranges.
 */
#include "fs/flock.h"
#include "sys/files.h"

enum lock_command { /* the ABI's */
	F_GETLK = 5,
	F_SETLK = 6,
	F_SETLKW = 7,
	F_OFD_GETLK = 36,
	F_OFD_SETLK = 37,
	F_OFD_SETLKW = 38,
};
enum { F_RDLCK, F_WRLCK, F_UNLCK };

struct sys_flock {
	int16_t type, whence;
	int32_t pad;
	int64_t start, len;
	int32_t pid, pad2;
};

static bool is_of_file(uint32_t command)
{
	return command >= F_OFD_GETLK;
}

/* Where l's position counts from. */
static err_t find_base(struct file *f, int whence, int64_t *base)
{
	struct vfs_stat st;
	switch (whence) {
	case FILE_SEEK_SET:
		*base = 0;
		return 0;
	case FILE_SEEK_CUR:
		mutex_lock(&f->lock);
		*base = (int64_t)f->pos;
		mutex_unlock(&f->lock);
		return 0;
	case FILE_SEEK_END:
		file_stat(f, &st);
		*base = (int64_t)st.size;
		return 0;
	default:
		return -EINVAL;
	}
}

static err_t find_range(struct file *f, const struct sys_flock *l, struct lock_range *r)
{
	int64_t base, end;
	err_t err = find_base(f, l->whence, &base);
	if (err)
		return err;
	if (l->start > INT64_MAX - base)
		return -EOVERFLOW;
	base += l->start;
	if (base < 0)
		return -EINVAL;
	r->first = (uint64_t)base;
	r->last = INT64_MAX;
	if (l->len > 0) {
		if (__builtin_add_overflow(base, l->len - 1, &end))
			return -EOVERFLOW;
		r->last = (uint64_t)end;
	} else if (l->len < 0) {
		if (base + l->len < 0)
			return -EINVAL;
		r->first = (uint64_t)(base + l->len);
		r->last = (uint64_t)base - 1;
	}
	return 0;
}

/* From what the program says to a range and its owner. */
static err_t make_range(struct file *f, uint32_t command, const struct sys_flock *l, struct lock_range *r)
{
	static const enum lock_type types[] = {LOCK_SHARED, LOCK_EXCLUSIVE, LOCK_NONE};
	struct process *p = current_process();
	*r = (struct lock_range){
	    .of_file = is_of_file(command),
	    .owner = is_of_file(command) ? (void *)f : (void *)current_descs(),
	    .pid = p->pid,
	};
	err_t err = find_range(f, l, r);
	if (err)
		return err;
	if (l->type < F_RDLCK || l->type > F_UNLCK)
		return -EINVAL;
	r->type = types[l->type];
	return 0;
}

static int64_t get_lock(struct file *f, uint32_t command, uaddr_t arg)
{
	struct sys_flock l;
	struct lock_range want, found;
	if (copy_from_user(&l, arg, sizeof(l)))
		return -EFAULT;
	if (l.type != F_RDLCK && l.type != F_WRLCK)
		return -EINVAL;
	err_t err = make_range(f, command, &l, &want);
	if (!err && is_of_file(command) && l.pid)
		err = -EINVAL;
	if (err)
		return err;
	if (lock_find_conflict(f, &want, &found)) {
		l.type = found.type == LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK;
		l.whence = FILE_SEEK_SET;
		l.start = (int64_t)found.first;
		l.len = found.last == INT64_MAX ? 0 : (int64_t)(found.last - found.first + 1);
		l.pid = found.of_file ? -1 : (int32_t)found.pid;
	} else {
		l.type = F_UNLCK;
	}
	return copy_to_user(arg, &l, sizeof(l));
}

/* Another thread closed the descriptor while the lock was set: nobody would ever let it go. */
static err_t undo_if_closed(int fd, struct file *f, const struct lock_range *r)
{
	struct file *now;
	err_t err = fd_file(fd, &now);
	bool same = !err && now == f;
	if (!err)
		file_put(now);
	if (same)
		return 0;
	struct lock_range undo = *r;
	undo.type = LOCK_NONE;
	err = lock_range(f, &undo, false);
	return err ? err : -EBADF;
}

static int64_t set_lock(int fd, struct file *f, uint32_t command, uaddr_t arg)
{
	struct sys_flock l;
	struct lock_range want;
	bool wait = command == F_SETLKW || command == F_OFD_SETLKW;
	if (copy_from_user(&l, arg, sizeof(l)))
		return -EFAULT;
	err_t err = make_range(f, command, &l, &want);
	if (err)
		return err;
	if ((want.type == LOCK_SHARED && !file_may_read(f)) ||
	    (want.type == LOCK_EXCLUSIVE && !file_may_write(f)))
		return -EBADF;
	if (is_of_file(command) && l.pid)
		return -EINVAL;
	err = lock_range(f, &want, wait);
	if (!err && want.type != LOCK_NONE && !want.of_file)
		err = undo_if_closed(fd, f, &want);
	return restartable(err);
}

int64_t fcntl_lock(int fd, struct file *f, uint32_t command, uaddr_t arg)
{
	switch (command) {
	case F_GETLK:
	case F_OFD_GETLK:
		return get_lock(f, command, arg);
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return set_lock(fd, f, command, arg);
	default:
		return -EINVAL;
	}
}

enum flock_operation { FLOCK_SH = 1, FLOCK_EX = 2, FLOCK_NB = 4, FLOCK_UN = 8, FLOCK_MAND = 32 };

static int64_t flock_file(int fd, enum lock_type type, bool wait)
{
	struct file *f;
	err_t err = fd_file(fd, &f);
	if (err)
		return err;
	if (type != LOCK_NONE && !file_may_read(f) && !file_may_write(f))
		err = -EBADF;
	else
		err = lock_whole(f, type, current_process()->pid, wait);
	file_put(f);
	return restartable(err);
}

int64_t sys_flock(int32_t fd, uint32_t operation)
{
	bool wait = !(operation & FLOCK_NB);
	if (operation & FLOCK_MAND)
		return 0; /* locks of another system, that were never honoured */
	switch (operation & ~(uint32_t)FLOCK_NB) {
	case FLOCK_SH:
		return flock_file(fd, LOCK_SHARED, wait);
	case FLOCK_EX:
		return flock_file(fd, LOCK_EXCLUSIVE, wait);
	case FLOCK_UN:
		return flock_file(fd, LOCK_NONE, wait);
	default:
		return -EINVAL;
	}
}
