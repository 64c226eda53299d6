/* linux_shm.c - the calls on System V shared memory: proc/ipc_shm.c. */
#include "sys/ipc.h"
#include "sys/memory.h"
#include "vm/space.h"

enum shm_attach_flags { SHM_EXEC = 0100000, SHM_RDONLY = 010000, SHM_RND = 020000, SHM_REMAP = 040000 };
enum shm_command { SHM_CMD_LOCK = 11, SHM_CMD_UNLOCK, SHM_CMD_STAT, SHM_CMD_INFO, SHM_CMD_STAT_ANY };

struct sys_shm { /* struct shmid64_ds of the ABI */
	struct sys_ipc_perm perm;
	uint64_t size;
	int64_t atime, dtime, ctime;
	uint32_t cpid, lpid;
	uint64_t attached, unused[2];
};
struct sys_shm_limits { /* struct shminfo64 */
	uint64_t bytes_max, bytes_min, count_max, per_process, pages_max, unused[4];
};
struct sys_shm_info {
	int32_t used;
	uint64_t pages, resident, swapped, swap_attempts, swap_successes;
};
_Static_assert(sizeof(struct sys_shm) == 112 && sizeof(struct sys_shm_limits) == 72, "the ABI");
_Static_assert(sizeof(struct sys_shm_info) == 48, "the ABI");

int64_t sys_shmget(int32_t key, uint64_t size, int32_t flags)
{
	return ipc_get(&ipc_shms, key, size, (uint32_t)flags);
}

/* --- attaching --- */

struct attach_call {
	uaddr_t addr;
	uint32_t flags;
	struct vm_map_args args;
};

/* The address as the flags want it: 0 means anywhere. */
static err_t round_address(struct attach_call *c)
{
	if (!c->addr)
		return c->flags & SHM_REMAP ? -EINVAL : 0;
	if (!(c->addr & (PAGE_SIZE - 1)))
		return 0;
	if (!(c->flags & SHM_RND))
		return -EINVAL;
	c->addr = ALIGN_DOWN(c->addr, (uint64_t)PAGE_SIZE);
	return !c->addr && (c->flags & SHM_REMAP) ? -EINVAL : 0;
}

static unsigned access_of(const struct attach_call *c)
{
	unsigned exec = c->flags & SHM_EXEC ? 0111 : 0;
	return exec | (c->flags & SHM_RDONLY ? IPC_READ : IPC_READ | IPC_WRITE);
}

static void choose_rights(struct attach_call *c)
{
	unsigned write = c->flags & SHM_RDONLY ? 0 : VM_WRITE, exec = c->flags & SHM_EXEC ? VM_EXEC : 0;
	c->args.prot = VM_READ | write | exec;
	c->args.max_prot = VM_READ | write | VM_EXEC;
}

/* Where somebody wants it: there must be room, unless what is there is to be replaced. */
static err_t check_place(const struct attach_call *c)
{
	uint64_t len = c->args.len;
	if (!c->addr)
		return 0;
	if (c->addr + len < c->addr)
		return c->flags & SHM_REMAP ? -ENOMEM : -EINVAL;
	if (!(c->flags & SHM_REMAP) && range_is_used(c->addr, len))
		return -EINVAL;
	if (c->addr > USER_END - len)
		return -ENOMEM;
	return c->addr < USER_START || (c->addr < MMAP_MIN_ADDR && !current_can(CAP_SYS_RAWIO)) ? -EPERM : 0;
}

int64_t sys_shmat(int32_t id, uaddr_t addr, int32_t flags)
{
	struct attach_call c = {.addr = addr, .flags = (uint32_t)flags};
	struct vm_limits limits;
	uaddr_t where;
	if (id < 0)
		return -EINVAL;
	err_t err = round_address(&c);
	if (!err)
		err = shm_may(id, access_of(&c), &c.args.len);
	if (!err)
		err = check_place(&c);
	if (err)
		return err;
	current_vm_limits(&limits);
	choose_rights(&c);
	c.args.addr = c.addr;
	c.args.flags =
	    VM_MAP_SHARED | (!c.addr ? 0 : VM_MAP_FIXED | (c.flags & SHM_REMAP ? 0 : VM_MAP_NOREPLACE));
	c.args.floor = MMAP_MIN_ADDR;
	c.args.limits = &limits;
	err = shm_attach(id, access_of(&c), &c.args, &where);
	if (err == -EEXIST)
		return -EINVAL; /* another thread was faster */
	return err ? err : (int64_t)where;
}

int64_t sys_shmdt(uaddr_t addr)
{
	return shm_detach(addr);
}

/* --- shmctl --- */

static int64_t stat_segment(int32_t which, enum ipc_stat how, uaddr_t to)
{
	struct shm_stat s;
	err_t err = shm_stat(which, how, &s);
	if (err)
		return err;
	struct sys_shm out = {.perm = ipc_perm_out(&s.perm),
	    .size = s.size,
	    .atime = s.atime,
	    .dtime = s.dtime,
	    .ctime = s.ctime,
	    .cpid = s.cpid,
	    .lpid = s.lpid,
	    .attached = s.attached};
	err = copy_to_user(to, &out, sizeof(out));
	return err ? err : how == IPC_STAT_ID ? 0 : (int64_t)s.id;
}

static int64_t tell_limits(uaddr_t to)
{
	const struct sys_shm_limits limits = {.bytes_max = load_relaxed(&ipc_limits.shm_bytes),
	    .bytes_min = 1,
	    .count_max = load_relaxed(&ipc_limits.shm_count),
	    .per_process = load_relaxed(&ipc_limits.shm_count),
	    .pages_max = load_relaxed(&ipc_limits.shm_pages)};
	struct shm_totals t;
	shm_totals(&t);
	err_t err = copy_to_user(to, &limits, sizeof(limits));
	return err ? err : (int64_t)t.highest;
}

static int64_t tell_totals(uaddr_t to)
{
	struct shm_totals t;
	shm_totals(&t);
	const struct sys_shm_info info = {.used = (int32_t)t.used, .pages = t.pages, .resident = t.resident};
	err_t err = copy_to_user(to, &info, sizeof(info));
	return err ? err : (int64_t)t.highest;
}

static int64_t set_segment(int32_t id, uaddr_t from)
{
	struct sys_shm in;
	if (copy_from_user(&in, from, sizeof(in)))
		return -EFAULT;
	struct ipc_perm perm = ipc_perm_in(&in.perm);
	return shm_set(id, &perm);
}

int64_t sys_shmctl(int32_t id, int32_t command, uaddr_t buf)
{
	if (command < 0 || id < 0)
		return -EINVAL;
	switch (command) {
	case IPC_CMD_INFO:
		return tell_limits(buf);
	case SHM_CMD_INFO:
		return tell_totals(buf);
	case IPC_CMD_STAT:
		return stat_segment(id, IPC_STAT_ID, buf);
	case SHM_CMD_STAT:
		return stat_segment(id, IPC_STAT_INDEX, buf);
	case SHM_CMD_STAT_ANY:
		return stat_segment(id, IPC_STAT_ANY, buf);
	case IPC_CMD_SET:
		return set_segment(id, buf);
	case IPC_CMD_RMID:
		return shm_remove(id);
	case SHM_CMD_LOCK:
	case SHM_CMD_UNLOCK:
		return shm_lock(id, command == SHM_CMD_LOCK);
	default:
		return -EINVAL;
	}
}
