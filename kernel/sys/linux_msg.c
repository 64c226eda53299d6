/* linux_msg.c - the calls on System V message queues: proc/ipc_msg.c. */
#include "mm/slab.h"
#include "sys/ipc.h"

enum msg_command { MSG_CMD_STAT = 11, MSG_CMD_INFO, MSG_CMD_STAT_ANY };

struct sys_msg { /* struct msqid64_ds of the ABI */
	struct sys_ipc_perm perm;
	int64_t stime, rtime, ctime;
	uint64_t bytes, count, bytes_max;
	uint32_t lspid, lrpid;
	uint64_t unused[2];
};
struct sys_msg_info { /* struct msginfo */
	int32_t pool, map, size_max, bytes_max, count_max, segment_size, headers;
	uint16_t segments;
};
_Static_assert(sizeof(struct sys_msg) == 120 && sizeof(struct sys_msg_info) == 32, "the ABI");

int64_t sys_msgget(int32_t key, int32_t flags)
{
	return ipc_get(&ipc_msgs, key, 0, (uint32_t)flags);
}

/* A kernel copy of what is at `from`: type, then bytes. */
static err_t fetch_message(uaddr_t from, int64_t type, uint64_t size, struct message **out)
{
	struct message *m = kmalloc(sizeof(*m) + size);
	if (!m)
		return -ENOMEM;
	list_init(&m->link);
	m->type = type;
	m->size = size;
	err_t err = copy_from_user(m->data, from + sizeof(type), size);
	if (err)
		kfree(m);
	else
		*out = m;
	return err;
}

/* They start again where no handler ran, and fail where one did, whatever it asked for. */
static int64_t not_after_handlers(err_t err)
{
	return err == -EINTR ? -ERESTARTNOHAND : err;
}

int64_t sys_msgsnd(int32_t id, uaddr_t from, uint64_t size, int32_t flags)
{
	struct message *m;
	int64_t type;
	if (copy_from_user(&type, from, sizeof(type)))
		return -EFAULT;
	if (size > load_relaxed(&ipc_limits.msg_size) || id < 0 || type < 1)
		return -EINVAL;
	err_t err = fetch_message(from, type, size, &m);
	if (err)
		return err;
	err = msg_send(id, m, (uint32_t)flags);
	if (err)
		kfree(m);
	return not_after_handlers(err);
}

static int64_t store_message(uaddr_t to, const struct message *m, uint64_t size)
{
	uint64_t n = MIN(m->size, size);
	if (copy_to_user(to, &m->type, sizeof(m->type)) || copy_to_user(to + sizeof(m->type), m->data, n))
		return -EFAULT;
	return (int64_t)n;
}

int64_t sys_msgrcv(int32_t id, uaddr_t to, uint64_t size, int64_t type, int32_t flags)
{
	struct message *m = NULL;
	if (id < 0 || (int64_t)size < 0)
		return -EINVAL;
	if (flags & MSG_COPY) {
		if ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT))
			return -EINVAL;
		uint64_t room = MIN(size, (uint64_t)load_relaxed(&ipc_limits.msg_size));
		m = kmalloc(sizeof(*m) + room);
		if (!m)
			return -ENOMEM;
		m->size = room;
	}
	err_t err = msg_receive(id, type, size, (uint32_t)flags, &m);
	int64_t result = err ? not_after_handlers(err) : store_message(to, m, size);
	kfree(m);
	return result;
}

/* --- msgctl --- */

static int64_t stat_queue(int32_t which, enum ipc_stat how, uaddr_t to)
{
	struct msg_stat s;
	err_t err = msg_stat(which, how, &s);
	if (err)
		return err;
	struct sys_msg out = {.perm = ipc_perm_out(&s.perm),
	    .stime = s.stime,
	    .rtime = s.rtime,
	    .ctime = s.ctime,
	    .bytes = s.bytes,
	    .count = s.count,
	    .bytes_max = s.bytes_max,
	    .lspid = s.lspid,
	    .lrpid = s.lrpid};
	err = copy_to_user(to, &out, sizeof(out));
	return err ? err : how == IPC_STAT_ID ? 0 : (int64_t)s.id;
}

static int64_t tell_info(uaddr_t to, bool totals)
{
	enum { SEGMENT = 16, SEGMENTS_MOST = 0xffff };
	struct msg_totals t;
	msg_totals(&t);
	int32_t count = (int32_t)load_relaxed(&ipc_limits.msg_count),
		bytes = (int32_t)load_relaxed(&ipc_limits.msg_queue);
	const struct sys_msg_info info = {.pool = totals ? (int32_t)t.used : count * (bytes / 1024),
	    .map = totals ? (int32_t)t.count : bytes,
	    .size_max = (int32_t)load_relaxed(&ipc_limits.msg_size),
	    .bytes_max = bytes,
	    .count_max = count,
	    .segment_size = SEGMENT,
	    .headers = totals ? (int32_t)t.bytes : bytes,
	    .segments = SEGMENTS_MOST};
	err_t err = copy_to_user(to, &info, sizeof(info));
	return err ? err : (int64_t)t.highest;
}

static int64_t set_queue(int32_t id, uaddr_t from)
{
	struct sys_msg in;
	if (copy_from_user(&in, from, sizeof(in)))
		return -EFAULT;
	struct ipc_perm perm = ipc_perm_in(&in.perm);
	return msg_set(id, &perm, in.bytes_max);
}

int64_t sys_msgctl(int32_t id, int32_t command, uaddr_t buf)
{
	if (id < 0 || command < 0)
		return -EINVAL;
	switch (command) {
	case IPC_CMD_INFO:
	case MSG_CMD_INFO:
		return tell_info(buf, command == MSG_CMD_INFO);
	case IPC_CMD_STAT:
		return stat_queue(id, IPC_STAT_ID, buf);
	case MSG_CMD_STAT:
		return stat_queue(id, IPC_STAT_INDEX, buf);
	case MSG_CMD_STAT_ANY:
		return stat_queue(id, IPC_STAT_ANY, buf);
	case IPC_CMD_SET:
		return set_queue(id, buf);
	case IPC_CMD_RMID:
		return msg_remove(id);
	default:
		return -EINVAL;
	}
}
