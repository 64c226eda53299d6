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
