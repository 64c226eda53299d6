/* linux_sem.c - the calls on System V semaphores: proc/ipc_sem.c. */
#include "arch/clock.h"
#include "mm/slab.h"
#include "sys/ipc.h"
#include "sys/times.h"

enum sem_command {
	SEM_CMD_GETPID = 11,
	SEM_CMD_GETVAL,
	SEM_CMD_GETALL,
	SEM_CMD_GETNCNT,
	SEM_CMD_GETZCNT,
	SEM_CMD_SETVAL,
	SEM_CMD_SETALL,
	SEM_CMD_STAT,
	SEM_CMD_INFO,
	SEM_CMD_STAT_ANY,
};

struct sys_sem { /* struct semid64_ds of the ABI */
	struct sys_ipc_perm perm;
	int64_t otime;
	uint64_t unused1;
	int64_t ctime;
	uint64_t unused2, nsems, unused[2];
};
struct sys_sem_info { /* struct seminfo */
	int32_t map, count_max, total_max, undo_max, array_max, ops_max, undo_entries, undo_size, value_max,
	    adjust_max;
};
_Static_assert(sizeof(struct sys_sem) == 104 && sizeof(struct sys_sem_info) == 40, "the ABI");

int64_t sys_semget(int32_t key, int32_t nsems, int32_t flags)
{
	if (nsems < 0 || (uint32_t)nsems > load_relaxed(&ipc_limits.sem_array))
		return -EINVAL;
	return ipc_get(&ipc_sems, key, (uint64_t)nsems, (uint32_t)flags);
}

static int64_t operate(int32_t id, uaddr_t from, uint32_t n, nsec_t wait)
{
	struct sem_op few[8], *ops = few;
	if (n < 1 || id < 0)
		return -EINVAL;
	if (n > load_relaxed(&ipc_limits.sem_ops))
		return -E2BIG;
	if (n > ARRAY_SIZE(few)) {
		ops = kcalloc(n, sizeof(*ops));
		if (!ops)
			return -ENOMEM;
	}
	err_t err = copy_from_user(ops, from, n * sizeof(*ops));
	if (!err)
		err = sem_operate(id, ops, n, wait == NSEC_NEVER ? wait : clock_now() + wait);
	if (ops != few)
		kfree(ops);
	return err;
}

int64_t sys_semtimedop(int32_t id, uaddr_t ops, uint32_t n, uaddr_t timeout)
{
	nsec_t wait = NSEC_NEVER;
	err_t err = timeout ? get_timespec(timeout, &wait) : 0;
	return err ? err : operate(id, ops, n, wait);
}

int64_t sys_semop(int32_t id, uaddr_t ops, uint32_t n)
{
	return operate(id, ops, n, NSEC_NEVER);
}

/* --- semctl --- */

static int64_t stat_array(int32_t which, enum ipc_stat how, uaddr_t to)
{
	struct sem_stat s;
	err_t err = sem_stat(which, how, &s);
	if (err)
		return err;
	struct sys_sem out = {
	    .perm = ipc_perm_out(&s.perm), .otime = s.otime, .ctime = s.ctime, .nsems = s.nsems};
	err = copy_to_user(to, &out, sizeof(out));
	return err ? err : how == IPC_STAT_ID ? 0 : (int64_t)s.id;
}

/* What is there, in place of two sizes that mean nothing any more. */
static int64_t tell_info(uaddr_t to, bool totals)
{
	enum { UNDO_SIZE = 20 };
	struct sem_totals t;
	sem_totals(&t);
	int32_t total = (int32_t)load_relaxed(&ipc_limits.sem_total),
		ops = (int32_t)load_relaxed(&ipc_limits.sem_ops);
	const struct sys_sem_info info = {.map = total,
	    .count_max = (int32_t)load_relaxed(&ipc_limits.sem_count),
	    .total_max = total,
	    .undo_max = total,
	    .array_max = (int32_t)load_relaxed(&ipc_limits.sem_array),
	    .ops_max = ops,
	    .undo_entries = ops,
	    .undo_size = totals ? (int32_t)t.used : UNDO_SIZE,
	    .value_max = SEM_VALUE_MAX,
	    .adjust_max = totals ? (int32_t)t.sems : SEM_VALUE_MAX};
	err_t err = copy_to_user(to, &info, sizeof(info));
	return err ? err : (int64_t)t.highest;
}

static int64_t set_array(int32_t id, uaddr_t from)
{
	struct sys_sem in;
	if (copy_from_user(&in, from, sizeof(in)))
		return -EFAULT;
	struct ipc_perm perm = ipc_perm_in(&in.perm);
	return sem_set(id, &perm);
}

/* GETALL and SETALL. The array keeps its size as long as it has its id. */
static int64_t move_values(int32_t id, uaddr_t at, bool set)
{
	int64_t n = sem_count(id, set ? IPC_WRITE : IPC_READ);
	if (n < 0)
		return n;
	uint16_t *values = kcalloc((size_t)n, sizeof(*values));
	if (!values)
		return -ENOMEM;
	size_t bytes = (size_t)n * sizeof(*values);
	err_t err = set ? copy_from_user(values, at, bytes) : sem_get_all(id, values, (unsigned)n);
	if (!err)
		err = set ? sem_set_all(id, values, (unsigned)n) : copy_to_user(at, values, bytes);
	kfree(values);
	return err;
}

int64_t sys_semctl(int32_t id, int32_t number, int32_t command, uint64_t arg)
{
	if (id < 0)
		return -EINVAL;
	switch (command) {
	case IPC_CMD_INFO:
	case SEM_CMD_INFO:
		return tell_info(arg, command == SEM_CMD_INFO);
	case IPC_CMD_STAT:
		return stat_array(id, IPC_STAT_ID, arg);
	case SEM_CMD_STAT:
		return stat_array(id, IPC_STAT_INDEX, arg);
	case SEM_CMD_STAT_ANY:
		return stat_array(id, IPC_STAT_ANY, arg);
	case SEM_CMD_GETALL:
	case SEM_CMD_SETALL:
		return move_values(id, arg, command == SEM_CMD_SETALL);
	case SEM_CMD_GETVAL:
		return sem_ask(id, number, SEM_VALUE);
	case SEM_CMD_GETPID:
		return sem_ask(id, number, SEM_PID);
	case SEM_CMD_GETNCNT:
		return sem_ask(id, number, SEM_WAIT_MORE);
	case SEM_CMD_GETZCNT:
		return sem_ask(id, number, SEM_WAIT_ZERO);
	case SEM_CMD_SETVAL:
		return sem_set_value(id, number, (int32_t)arg);
	case IPC_CMD_SET:
		return set_array(id, arg);
	case IPC_CMD_RMID:
		return sem_remove(id);
	default:
		return -EINVAL;
	}
}
