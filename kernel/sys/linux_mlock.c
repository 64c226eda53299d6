/* linux_mlock.c - memory that stays: mlock and the like. */
#include "sys/memory.h"

enum { MLOCK_ONFAULT = 1, MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 };

bool current_may_lock(void)
{
	return current_limit(RLIMIT_MEMLOCK) != 0 || current_can(CAP_IPC_LOCK);
}

/* What POSIX wants to be told of pages that could not be brought in. */
static err_t populate_error(err_t err)
{
	if (err == -EFAULT || err == -EACCES || err == -EIO)
		return -ENOMEM;
	return err == -ENOMEM ? -EAGAIN : err;
}

static int64_t do_mlock(uaddr_t addr, uint64_t len, unsigned flags)
{
	struct vm_limits limits;
	struct vm_space *s = current_space();
	if (!current_may_lock())
		return -EPERM;
	uaddr_t start = ALIGN_DOWN(addr, (uaddr_t)PAGE_SIZE);
	len = ALIGN_UP(len + (addr - start), (uint64_t)PAGE_SIZE);
	current_vm_limits(&limits);
	if (limits.locked != UINT64_MAX && len >> PAGE_SHIFT > limits.locked + (USER_END >> PAGE_SHIFT))
		return -ENOMEM;
	if (start + len < start)
		return -EINVAL;
	err_t err = space_lock_range(s, start, len, flags, limits.locked);
	if (err)
		return err;
	return populate_error(space_populate(s, start, start + len, POPULATE_BY_RIGHTS));
}

int64_t sys_mlock(uaddr_t addr, uint64_t len)
{
	return do_mlock(addr, len, REGION_LOCKED);
}

int64_t sys_mlock2(uaddr_t addr, uint64_t len, int32_t flags)
{
	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	return do_mlock(addr, len, REGION_LOCKED | (flags ? REGION_LOCK_ONFAULT : 0));
}

int64_t sys_munlock(uaddr_t addr, uint64_t len)
{
	uaddr_t start = ALIGN_DOWN(addr, (uaddr_t)PAGE_SIZE);
	len = ALIGN_UP(len + (addr - start), (uint64_t)PAGE_SIZE);
	if (start + len < start)
		return -EINVAL;
	return space_lock_range(current_space(), start, len, 0, UINT64_MAX);
}

int64_t sys_mlockall(int32_t flags)
{
	struct vm_limits limits;
	if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	if (!current_may_lock())
		return -EPERM;
	current_vm_limits(&limits);
	unsigned lock = REGION_LOCKED | (flags & MCL_ONFAULT ? REGION_LOCK_ONFAULT : 0);
	err_t err = space_lock_all(
	    current_space(), flags & MCL_CURRENT, lock, flags & MCL_FUTURE ? lock : 0, limits.locked);
	for (uaddr_t at = 0;
	     !err && (flags & MCL_CURRENT);) { /* best effort: regions without access stay empty */
		struct region_view v;
		bool there = space_view(current_space(), at, &v);
		region_view_end(&v);
		if (!there)
			break;
		err_t partly = space_populate(current_space(), v.info.start, v.info.end, POPULATE_BY_RIGHTS);
		err = partly == -EINTR ? partly : 0;
		at = v.info.end;
	}
	return err;
}

int64_t sys_munlockall(void)
{
	return space_lock_all(current_space(), true, 0, 0, UINT64_MAX);
}
