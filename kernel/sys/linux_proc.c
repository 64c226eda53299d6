/* linux_proc.c - the process calls of the Linux ABI. */
#include "lib/string.h"
#include "proc/process.h"
#include "sys/sys.h"
#include "sys/times.h"

enum wait4_options {
	WALL = 0x40000000,
	WCLONE = (int)0x80000000,
	WNOTHREAD = 0x20000000,
	WAIT4_OPTIONS = WAIT_NOHANG | WAIT_UNTRACED | WAIT_CONTINUED | WALL | WCLONE | WNOTHREAD,
};

enum arch_prctl_codes {
	ARCH_SET_GS = 0x1001,
	ARCH_SET_FS = 0x1002,
	ARCH_GET_FS = 0x1003,
	ARCH_GET_GS = 0x1004,
};

int64_t sys_getpid(void)
{
	return current_process()->pid;
}

int64_t sys_gettid(void)
{
	return current_thread()->tid;
}

int64_t sys_getppid(void)
{
	return load_relaxed(&current_process()->ppid);
}

int64_t sys_fork(void)
{
	struct clone_request c = {.exit_signal = SIGNAL_CHLD};
	uint32_t pid;
	err_t err = process_clone(&c, user_frame(current_thread()), &pid);
	return err ? err : (int64_t)pid;
}

int64_t sys_exit(int32_t status)
{
	user_thread_exit(wait_status_exited(status));
}

int64_t sys_exit_group(int32_t status)
{
	process_exit(wait_status_exited(status));
}

int64_t sys_wait4(int32_t pid, uaddr_t status, int32_t options, uaddr_t rusage)
{
	struct wait_request r = {.pid = pid,
	    .options = (unsigned)options | WAIT_EXITED,
	    .any_signal = options & WALL,
	    .other_signal = options & WCLONE,
	    .own_only = options & WNOTHREAD};
	if (options & ~WAIT4_OPTIONS)
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	err_t err = process_wait(&r);
	if (err == -EINTR)
		return -ERESTARTSYS;
	if (err || !r.found)
		return err;
	if (status)
		err = copy_to_user(status, &r.status, sizeof(r.status));
	if (!err && rusage)
		err = put_rusage(rusage, &r.usage);
	return err ? err : (int64_t)r.found;
}

int64_t sys_sched_yield(void)
{
	thread_yield();
	return 0;
}

int64_t sys_set_tid_address(uaddr_t tidptr)
{
	current_user_thread()->clear_tid = tidptr;
	return current_thread()->tid;
}

int64_t sys_arch_prctl(int32_t code, uaddr_t addr)
{
	uaddr_t value;
	switch (code) {
	case ARCH_SET_FS:
		return user_base_set(USER_BASE_FS, addr);
	case ARCH_SET_GS:
		return user_base_set(USER_BASE_GS, addr);
	case ARCH_GET_FS:
	case ARCH_GET_GS:
		value = user_base_get(code == ARCH_GET_FS ? USER_BASE_FS : USER_BASE_GS);
		return copy_to_user(addr, &value, sizeof(value));
	default:
		return -EINVAL;
	}
}
