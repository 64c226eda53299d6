#pragma once
/*
 * sys.h - what the files that serve system calls share. The prototypes of the calls themselves are made from
 * the tables in abi/: syscall_proto.h.
 *
 * A call checks its arguments, then calls the core below; user memory is touched through usercopy only.
 * Results are values or -errno.
 */
#include "arch/usercopy.h"
#include "lib/err.h"
#include "proc/process.h"
#include "syscall_proto.h"

/* struct timespec of the ABI. */
struct sys_timespec {
	int64_t sec, nsec;
};

/* The result of a call that starts again when it was interrupted, unless a handler without SA_RESTART runs:
 * -EINTR as -ERESTARTSYS. */
static inline int64_t restartable(int64_t result)
{
	return result == -EINTR ? -ERESTARTSYS : result;
}

/* A structure that grows from version to version: the caller's has `size` bytes, ours `ours`; what the
 * caller's lacks is zero, and what it has beyond ours must be. -E2BIG, -EFAULT. */
MUST_CHECK err_t struct_fetch(void *to, size_t ours, uaddr_t from, uint64_t size);

/* A signal mask for the time of one call (ppoll and the like). */
struct call_mask {
	bool set;
};
/* Address 0: none. -EINVAL (size), -EFAULT. */
MUST_CHECK err_t call_mask_set(struct call_mask *m, uaddr_t mask, uint64_t size);
/* The call has this result: the old mask comes back, after the signal that interrupted it has been delivered.
 * Returns the result. */
int64_t call_mask_end(const struct call_mask *m, int64_t result);

/* linux_info.c, native_endpoint.c: once at boot, before programs run. */
void syslog_init(void);
void native_init(void);
