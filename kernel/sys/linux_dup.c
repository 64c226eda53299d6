/*
 * linux_dup.c - what descriptors are and say of their files: dup, fcntl, close_range.
 */
#include "arch/usercopy.h"
#include "fs/async.h"
#include "fs/memfd.h"
#include "fs/pipe.h"
#include "proc/cred.h"
#include "proc/sigio.h"
#include "sys/files.h"

enum fcntl_command { /* the ABI's */
	F_DUPFD = 0,
	F_GETFD = 1,
	F_SETFD = 2,
	F_GETFL = 3,
	F_SETFL = 4,
	F_SETOWN = 8,
	F_GETOWN = 9,
	F_SETSIG = 10,
	F_GETSIG = 11,
	F_SETOWN_EX = 15,
	F_GETOWN_EX = 16,
	F_SETLEASE = 1024,
	F_GETLEASE = 1025,
	F_DUPFD_CLOEXEC = 1030,
	F_GET_RW_HINT = 1035,
	F_SET_RW_HINT = 1036,
};
enum { FD_CLOEXEC = 1, LEASE_NONE = 2 /* F_UNLCK */, WRITE_HINT_MAX = 5 };

/* --- dup --- */

/* The object at fd, with a reference, and the rights of that descriptor. */
static err_t desc_at(int fd, struct kobject **o, uint32_t *rights)
{
	return desc_lookup(current_descs(), fd, o, rights);
}

static int64_t dup_from(int fd, int min, bool cloexec)
{
	struct kobject *o;
	uint32_t rights;
	err_t err = desc_at(fd, &o, &rights);
	if (err)
		return err;
	int64_t new = rights &RIGHT_DUPLICATE
			  ? desc_install(current_descs(), o, rights, cloexec, min, fd_limit())
			  : -EACCES;
	kobject_put(o);
	return new;
}

static int64_t dup_to(int fd, int to, bool cloexec)
{
	struct kobject *o;
	uint32_t rights;
	if (to < 0 || to >= fd_limit())
		return -EBADF;
	err_t err = desc_at(fd, &o, &rights);
	if (err)
		return err;
	err = rights & RIGHT_DUPLICATE ? desc_install_at(current_descs(), to, o, rights, cloexec, fd_limit())
				       : -EACCES;
	kobject_put(o);
	return err ? err : to;
}

int64_t sys_dup(int32_t fd)
{
	return dup_from(fd, 0, false);
}

int64_t sys_dup2(int32_t fd, int32_t to)
{
	bool cloexec;
	if (fd != to)
		return dup_to(fd, to, false);
	err_t err = desc_get_cloexec(current_descs(), fd, &cloexec);
	return err ? err : to;
}

int64_t sys_dup3(int32_t fd, int32_t to, int32_t flags)
{
	if ((flags & ~FILE_CLOEXEC) || fd == to)
		return -EINVAL;
	return dup_to(fd, to, flags & FILE_CLOEXEC);
}

/* --- fcntl: the descriptor --- */

static int64_t dup_at_least(int fd, uint64_t arg, bool cloexec)
{
	uint32_t min = (uint32_t)arg;
	return min >= (uint32_t)fd_limit() ? -EINVAL : dup_from(fd, (int)min, cloexec);
}

static int64_t get_cloexec(int fd)
{
	bool cloexec;
	err_t err = desc_get_cloexec(current_descs(), fd, &cloexec);
	return err ? err : cloexec ? FD_CLOEXEC : 0;
}

/* --- fcntl: flags --- */

static int64_t get_flags(const struct file *f)
{
	return load_relaxed(&f->flags) & ~(uint32_t)FILE_OURS;
}

/* Is the file the caller's, or everybody's with this capability? */
static bool owns(const struct file *f, enum capability cap)
{
	const struct cred *c = current_cred();
	bool owns = c->fsuid == f->vnode->uid || cap_set_has(c->effective, cap);
	return owns;
}

/* May transfers go past the cache? Files in memory have nothing but it. */
static bool can_be_direct(const struct file *f)
{
	return vnode_is(f->vnode, MODE_FIFO) || vnode_is(f->vnode, MODE_BLOCK) ||
	       (f->vnode->pages && !(f->vnode->pages->flags & VM_RESIDENT));
}

static int64_t set_flags(int fd, struct file *f, uint32_t flags)
{
	uint32_t old = load_relaxed(&f->flags);
	if (((flags ^ old) & FILE_APPEND) && vnode_has(f->vnode, INODE_APPEND))
		return -EPERM;
	if ((flags & ~old & FILE_NOATIME) && !owns(f, CAP_FOWNER))
		return -EPERM;
	if ((flags & FILE_DIRECT) && !can_be_direct(f))
		return -EINVAL;
	if (((flags ^ old) & FILE_ASYNC) && f->ops->async)
		fd_set_async(fd, f, flags & FILE_ASYNC);
	return file_set_flags(f, flags);
}

/* --- fcntl: who is told --- */

struct sys_owner {
	int32_t type, pid;
};

/* A number counts as long as a process, a thread, a group or a session has it, whichever of them was meant.
 */
struct number_search {
	uint32_t number;
	bool found;
};

static void match_number(struct process *p, void *arg)
{
	struct number_search *s = arg;
	s->found |= p->pid == s->number || p->pgid == s->number || p->sid == s->number;
}

static bool number_exists(int32_t number)
{
	struct number_search s = {.number = (uint32_t)number};
	spin_lock(&process_tree_lock);
	s.found = user_thread_find_locked(s.number) != NULL;
	spin_unlock(&process_tree_lock);
	if (!s.found)
		process_for_each(match_number, &s);
	return s.found;
}

/* The caller must be one who may send the owner signals, when it comes to that: note who it is. */
static void note_owner(struct file *f, struct sigio_owner o)
{
	const struct async_owner owner = {sigio_pack(o), current_cred()->uid, current_cred()->euid};
	file_set_owner(f, &owner);
}

static int64_t set_owner(struct file *f, struct sys_owner o)
{
	if (o.pid && !number_exists(o.pid))
		return -ESRCH;
	note_owner(f, (struct sigio_owner){o.type, (uint32_t)o.pid});
	return 0;
}

static int64_t set_owner_pid(struct file *f, int32_t who)
{
	if (who == INT32_MIN)
		return -EINVAL;
	return set_owner(
	    f, who < 0 ? (struct sys_owner){SIGIO_GROUP, -who} : (struct sys_owner){SIGIO_PROCESS, who});
}

/* Number 0 if nobody was set, or if they are gone. */
static struct sys_owner get_owner(struct file *f)
{
	struct async_owner owner;
	file_get_owner(f, &owner);
	struct sigio_owner named = sigio_owner_of(owner.who);
	struct sys_owner o = {named.type, (int32_t)named.number};
	if (o.pid && !number_exists(o.pid))
		o.pid = 0;
	return o;
}

static int64_t get_owner_pid(struct file *f)
{
	struct sys_owner o = get_owner(f);
	return o.type == SIGIO_GROUP ? -(int64_t)o.pid : o.pid;
}

static int64_t set_owner_ex(struct file *f, uaddr_t from)
{
	struct sys_owner o;
	if (copy_from_user(&o, from, sizeof(o)))
		return -EFAULT;
	return o.type < SIGIO_THREAD || o.type > SIGIO_GROUP ? -EINVAL : set_owner(f, o);
}

static int64_t get_owner_ex(struct file *f, uaddr_t to)
{
	struct sys_owner o = get_owner(f);
	return copy_to_user(to, &o, sizeof(o));
}

static int64_t set_signal(struct file *f, uint64_t signal)
{
	if (signal > SIGNAL_MAX)
		return -EINVAL;
	store_relaxed(&f->owner_signal, (uint8_t)signal);
	return 0;
}

void fd_set_async(int fd, struct file *f, bool on)
{
	struct async_owner owner;
	file_get_owner(f, &owner);
	uint32_t usual = on && !sigio_owner_of(owner.who).number ? f->ops->async(f) : ASYNC_NOBODY;
	if (usual == ASYNC_CALLER)
		note_owner(f, (struct sigio_owner){SIGIO_PROCESS, current_process()->pid});
	else if (usual != ASYNC_NOBODY)
		note_owner(f, (struct sigio_owner){SIGIO_GROUP, usual});
	file_set_async(f, fd, on);
}

/* --- fcntl --- */

/* No file has a lease: as on file systems that offer none. */
static int64_t set_lease(const struct file *f, int32_t type)
{
	if (f->vnode && !owns(f, CAP_LEASE))
		return -EACCES;
	return type == LEASE_NONE && f->vnode && vnode_is(f->vnode, MODE_REG) ? -EAGAIN : -EINVAL;
}

/* How long what is written is expected to live: kept, told, and of no consequence. */
static int64_t exchange_write_hint(const struct file *f, bool set, uaddr_t at)
{
	uint64_t hint = f->vnode ? load_relaxed(&f->vnode->write_hint) : 0;
	if (!set)
		return copy_to_user(at, &hint, sizeof(hint));
	if (copy_from_user(&hint, at, sizeof(hint)))
		return -EFAULT;
	if (hint > WRITE_HINT_MAX)
		return -EINVAL;
	if (f->vnode && !owns(f, CAP_FOWNER))
		return -EPERM;
	if (f->vnode)
		store_relaxed(&f->vnode->write_hint, (uint32_t)hint);
	return 0;
}

static int64_t control(struct file *f, uint32_t command, uint64_t arg)
{
	int64_t result = file_control(f, (int)command, arg, current_can(CAP_SYS_RESOURCE));
	bool size = command == CONTROL_GETPIPE_SZ || command == CONTROL_SETPIPE_SZ;
	return size && !f->ops->control ? -EBADF : result;
}

static int64_t fcntl_file(int fd, struct file *f, uint32_t command, uint64_t arg)
{
	switch (command) {
	case F_SETFL:
		return set_flags(fd, f, (uint32_t)arg);
	case F_SETOWN:
		return set_owner_pid(f, (int32_t)arg);
	case F_GETOWN:
		return get_owner_pid(f);
	case F_SETOWN_EX:
		return set_owner_ex(f, arg);
	case F_GETOWN_EX:
		return get_owner_ex(f, arg);
	case F_SETSIG:
		return set_signal(f, arg);
	case F_GETSIG:
		return load_relaxed(&f->owner_signal);
	case F_SETLEASE:
		return set_lease(f, (int32_t)arg);
	case F_GETLEASE:
		return LEASE_NONE;
	case F_GET_RW_HINT:
	case F_SET_RW_HINT:
		return exchange_write_hint(f, command == F_SET_RW_HINT, arg);
	case CONTROL_ADD_SEALS:
		return arg > UINT32_MAX ? -EINVAL : control(f, command, arg);
	case CONTROL_SNAPSHOT:
	case CONTROL_SET_VOLATILE:
	case CONTROL_SET_NONVOLATILE:
		return fcntl_memory(f, command, arg);
	case CONTROL_SETPIPE_SZ:
	case CONTROL_GETPIPE_SZ:
	case CONTROL_GET_SEALS:
		return control(f, command, arg);
	default:
		return fcntl_lock(fd, f, command, arg);
	}
}

/* O_PATH files know only what concerns the descriptor. */
static int64_t fcntl_desc(int fd, struct file *f, uint32_t command, uint64_t arg)
{
	switch (command) {
	case F_DUPFD:
		return dup_at_least(fd, arg, false);
	case F_DUPFD_CLOEXEC:
		return dup_at_least(fd, arg, true);
	case F_GETFD:
		return get_cloexec(fd);
	case F_SETFD:
		return desc_set_cloexec(current_descs(), fd, arg & FD_CLOEXEC);
	case F_GETFL:
		return get_flags(f);
	default:
		return load_relaxed(&f->flags) & FILE_PATH ? -EBADF : fcntl_file(fd, f, command, arg);
	}
}

/* What a command needs of the descriptor. Locks are checked by how the file was opened, as Linux does. */
static uint32_t fcntl_rights(uint32_t command)
{
	switch (command) {
	case F_GETFL:
	case F_GETOWN:
	case F_GETOWN_EX:
	case F_GETSIG:
	case F_GETLEASE:
	case F_GET_RW_HINT:
	case CONTROL_GETPIPE_SZ:
	case CONTROL_GET_SEALS:
		return RIGHT_INSPECT;
	case F_SETFL:
	case F_SETOWN:
	case F_SETOWN_EX:
	case F_SETSIG:
	case F_SETLEASE:
	case F_SET_RW_HINT:
	case CONTROL_SETPIPE_SZ:
	case CONTROL_ADD_SEALS:
	case CONTROL_SET_VOLATILE:
	case CONTROL_SET_NONVOLATILE:
		return RIGHT_MANAGE;
	case CONTROL_SNAPSHOT:
		return RIGHT_READ;
	default:
		return 0;
	}
}

int64_t sys_fcntl(int32_t fd, uint32_t command, uint64_t arg)
{
	struct file *f;
	err_t err = fd_file_any_for(fd, fcntl_rights(command), &f);
	if (err)
		return err;
	int64_t result = fcntl_desc(fd, f, command, arg);
	file_put(f);
	return result;
}

/* --- close_range --- */

enum close_range_flags { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 };

int64_t sys_close_range(uint32_t first, uint32_t last, uint32_t flags)
{
	if ((flags & ~(uint32_t)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
		return -EINVAL;
	err_t err = flags & CLOSE_RANGE_UNSHARE ? current_unshare_descs() : 0;
	if (!err)
		desc_close_range(current_descs(), first, last, flags & CLOSE_RANGE_CLOEXEC);
	return err;
}
