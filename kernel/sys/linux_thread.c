/*
 * linux_thread.c - the calls of the Linux ABI that make threads and let them wait for one another.
 *
 * What clone may share: descriptors and the place among the files, each or none, whether it makes a thread or
 * a process. A thread has the memory and the signal handlers of its process; a process may share those of its
 * maker. Namespaces are -EINVAL.
 */
#include "arch/clock.h"
#include "arch/mmu.h"
#include "kern/thread.h"
#include "object/desc.h"
#include "proc/clocks.h"
#include "proc/cred.h"
#include "proc/futex.h"
#include "proc/place.h"
#include "proc/process.h"
#include "sys/sys.h"
#include "sys/times.h"
#include "vm/space.h"

/* --- clone --- */

#define CSIGNAL              0xffULL
#define CLONE_VM             0x100ULL
#define CLONE_FS             0x200ULL
#define CLONE_FILES          0x400ULL
#define CLONE_SIGHAND        0x800ULL
#define CLONE_PTRACE         0x2000ULL
#define CLONE_PIDFD          0x1000ULL
#define CLONE_VFORK          0x4000ULL
#define CLONE_PARENT         0x8000ULL
#define CLONE_THREAD         0x10000ULL
#define CLONE_SYSVSEM        0x40000ULL
#define CLONE_SETTLS         0x80000ULL
#define CLONE_PARENT_SETTID  0x100000ULL
#define CLONE_CHILD_CLEARTID 0x200000ULL
#define CLONE_DETACHED       0x400000ULL
#define CLONE_UNTRACED       0x800000ULL
#define CLONE_CHILD_SETTID   0x1000000ULL
#define CLONE_IO             0x80000000ULL
#define CLONE_CLEAR_SIGHAND  0x100000000ULL

#define CLONE_SHARES (CLONE_FS | CLONE_FILES | CLONE_SIGHAND)
/* Flags that are understood. There is no tracing and no I/O context, and what SEM_UNDO notes is each
 * process's own: these ask for nothing. DETACHED never did. */
#define CLONE_KNOWN                                                                                          \
	(CLONE_VM | CLONE_SHARES | CLONE_PIDFD | CLONE_PTRACE | CLONE_VFORK | CLONE_PARENT | CLONE_THREAD |  \
	    CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED |     \
	    CLONE_UNTRACED | CLONE_CHILD_SETTID | CLONE_IO | CLONE_CLEAR_SIGHAND)

/* struct clone_args of the ABI. */
struct sys_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};
enum { CLONE_ARGS_SIZE_FIRST = 64 };

static err_t check_clone_flags(uint64_t flags)
{
	if (flags & ~CLONE_KNOWN)
		return -EINVAL;
	if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) && (flags & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	if ((flags & CLONE_PARENT) && current_process()->pid == PID_INIT)
		return -EINVAL; /* nobody would wait for its siblings */
	return (flags & CLONE_PIDFD) && (flags & (CLONE_DETACHED | CLONE_THREAD)) ? -EINVAL : 0;
}

static unsigned shares_of(uint64_t flags)
{
	return (flags & CLONE_FILES ? SHARE_DESCS : 0U) | (flags & CLONE_FS ? SHARE_PLACE : 0U) |
	       (flags & CLONE_SIGHAND ? SHARE_HANDLERS : 0U) | (flags & CLONE_PARENT ? SHARE_PARENT : 0U);
}

/* a: flags, exit signal and addresses; sp 0: as the caller's; number: the id that the child gets, 0: any. */
static int64_t do_clone(const struct sys_clone_args *a, uaddr_t sp, uint32_t number)
{
	bool both = (a->flags & CLONE_PIDFD) && (a->flags & CLONE_PARENT_SETTID);
	err_t err = both && a->pidfd == a->parent_tid ? -EINVAL : check_clone_flags(a->flags);
	if (err)
		return err;
	struct clone_request c = {.thread = a->flags & CLONE_THREAD,
	    .share_memory = a->flags & CLONE_VM,
	    .wait_for_exec = a->flags & CLONE_VFORK,
	    .set_tls = a->flags & CLONE_SETTLS,
	    .clear_handlers = a->flags & CLONE_CLEAR_SIGHAND,
	    .share = shares_of(a->flags),
	    .number = number,
	    .give_pidfd = a->flags & CLONE_PIDFD,
	    .pidfd = a->pidfd,
	    .exit_signal = (uint8_t)a->exit_signal,
	    .sp = sp,
	    .tls = a->tls,
	    .parent_tid = a->flags & CLONE_PARENT_SETTID ? a->parent_tid : 0,
	    .child_tid = a->flags & CLONE_CHILD_SETTID ? a->child_tid : 0,
	    .clear_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0};
	uint32_t id;
	err = process_clone(&c, user_frame(current_thread()), &id);
	return err ? err : (int64_t)id;
}

int64_t sys_clone(uint64_t flags, uaddr_t stack, uaddr_t parent_tid, uaddr_t child_tid, uint64_t tls)
{
	struct sys_clone_args a = {.flags = (uint32_t)flags & ~CSIGNAL,
	    .exit_signal = flags & CSIGNAL,
	    .pidfd = parent_tid,
	    .parent_tid = parent_tid,
	    .child_tid = child_tid,
	    .tls = tls};
	return do_clone(&a, stack, 0);
}

static err_t get_clone_args(struct sys_clone_args *a, uaddr_t from, uint64_t size)
{
	if (size > PAGE_SIZE)
		return -E2BIG;
	return size < CLONE_ARGS_SIZE_FIRST ? -EINVAL : struct_fetch(a, sizeof(*a), from, size);
}

static bool clone_args_are_valid(const struct sys_clone_args *a)
{
	if (a->flags & (CLONE_DETACHED | CSIGNAL | ~CLONE_KNOWN))
		return false;
	if ((a->flags & (CLONE_THREAD | CLONE_PARENT)) && a->exit_signal)
		return false;
	if (!a->stack != !a->stack_size)
		return false;
	return a->stack < USER_END && a->stack_size <= USER_END - a->stack;
}

/* The ids that the child is to have, one for each namespace of processes it is in: there is one. */
static err_t get_wish(const struct sys_clone_args *a, uint32_t *number)
{
	enum { LEVELS_MAX = 32 };
	uint32_t wishes[LEVELS_MAX];
	if (a->set_tid_size > LEVELS_MAX || !a->set_tid != !a->set_tid_size || a->exit_signal > SIGNAL_MAX)
		return -EINVAL;
	if (a->set_tid_size && copy_from_user(wishes, a->set_tid, a->set_tid_size * sizeof(wishes[0])))
		return -EFAULT;
	*number = a->set_tid_size ? wishes[0] : 0;
	return 0;
}

static err_t check_wish(const struct sys_clone_args *a, uint32_t number)
{
	if (!a->set_tid_size)
		return 0;
	if (a->set_tid_size > 1 || number < PID_INIT || number >= PID_MAX)
		return -EINVAL;
	return current_can(CAP_CHECKPOINT_RESTORE) || current_can(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

int64_t sys_clone3(uaddr_t args, uint64_t size)
{
	struct sys_clone_args a;
	err_t err = get_clone_args(&a, args, size);
	if (err)
		return err;
	uint32_t number = 0;
	err = get_wish(&a, &number);
	if (err)
		return err;
	if (!clone_args_are_valid(&a))
		return -EINVAL;
	err = check_wish(&a, number);
	return err ? err : do_clone(&a, a.stack + a.stack_size, number);
}

int64_t sys_vfork(void)
{
	struct sys_clone_args a = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGNAL_CHLD};
	return do_clone(&a, 0, 0);
}

/* --- unshare --- */

/* Namespaces, none of which exist: for the privileged -EINVAL, as on a Linux that is built without them. */
#define CLONE_NEW_PRIVILEGED                                                                                 \
	(0x20000ULL | 0x4000000ULL | 0x8000000ULL | 0x20000000ULL | 0x40000000ULL | 0x2000000ULL | 0x80ULL)
#define UNSHARE_KNOWN (CLONE_VM | CLONE_SHARES | CLONE_THREAD | CLONE_SYSVSEM)

/* Other threads have the same memory and handlers for ever, so there must be none; and what cannot be had
 * alone must be alone already. */
static err_t check_unshare(uint64_t flags)
{
	struct process *p = current_process();
	if (flags & CLONE_NEW_PRIVILEGED)
		return current_can(CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if (flags & ~UNSHARE_KNOWN)
		return -EINVAL;
	spin_lock(&process_tree_lock);
	bool alone = p->nthreads == 1;
	spin_unlock(&process_tree_lock);
	if (!alone && (flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)))
		return -EINVAL;
	return (flags & CLONE_VM) && ref_count(&p->space->refs) > 1 ? -EINVAL : 0;
}

int64_t sys_unshare(uint64_t flags)
{
	struct place *place = NULL;
	flags = (uint32_t)flags;
	err_t err = check_unshare(flags);
	if (!err && (flags & CLONE_FS) && place_is_shared(current_place()))
		err = place_clone(current_place(), &place);
	if (!err && (flags & CLONE_FILES))
		err = current_unshare_descs();
	if (place && err)
		place_put(place);
	else if (place)
		user_thread_set_place(current_user_thread(), place);
	return err;
}

/* --- futex --- */

enum futex_commands {
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_REQUEUE = 3,
	FUTEX_CMP_REQUEUE = 4,
	FUTEX_WAKE_OP = 5,
	FUTEX_LOCK_PI = 6,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_WAIT_REQUEUE_PI = 11,
	FUTEX_LOCK_PI2 = 13,
	FUTEX_PRIVATE_FLAG = 128,
	FUTEX_CLOCK_REALTIME = 256,
	FUTEX_FLAGS = FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME,
};

/* When the wait ends. A duration for FUTEX_WAIT, else a point in time by the clock that the caller chose. */
static err_t get_deadline(uaddr_t timeout, int32_t cmd, nsec_t *out)
{
	nsec_t time;
	*out = NSEC_NEVER;
	err_t err = timeout ? get_timespec(timeout, &time) : 0;
	if (!timeout || err || time == NSEC_NEVER)
		return err;
	*out = cmd == FUTEX_WAIT ? clock_now() + time : time;
	return 0;
}

static bool has_timeout(int32_t cmd)
{
	return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
	       cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_REQUEUE_PI;
}

/* What a wait that was cut short asks of the way back to user mode: without a deadline it simply starts
 * again; with one it goes on until that. */
static int64_t wait_or_restart(const struct call_restart *r)
{
	struct thread_signals *t = &current_user_thread()->signals;
	err_t err = futex_wait(r->addr, r->flags, (uint32_t)r->value, r->deadline, r->clock == CLOCK_REALTIME,
	    (uint32_t)(r->value >> 32));
	if (err != -EINTR)
		return err;
	if (r->deadline == NSEC_NEVER)
		return -ERESTARTSYS;
	t->restart = *r;
	return -ERESTARTBLOCK;
}

static int64_t wait_on(
    uaddr_t addr, bool shared, uint32_t value, nsec_t deadline, int32_t clock, uint32_t bitset)
{
	struct call_restart r = {.fn = wait_or_restart,
	    .deadline = deadline,
	    .clock = clock,
	    .addr = addr,
	    .value = value | (uint64_t)bitset << 32,
	    .flags = shared};
	return wait_or_restart(&r);
}

/* Locks that inherit priority are not offered: every command that belongs to them is -ENOSYS, which C
 * libraries ask for and report. */
int64_t sys_futex(uaddr_t addr, int32_t op, uint32_t val, uaddr_t timeout, uaddr_t addr2, uint32_t val3)
{
	int32_t cmd = op & ~FUTEX_FLAGS;
	bool shared = !(op & FUTEX_PRIVATE_FLAG), realtime = op & FUTEX_CLOCK_REALTIME;
	nsec_t deadline = NSEC_NEVER;
	err_t err = has_timeout(cmd) ? get_deadline(timeout, cmd, &deadline) : 0;
	if (err)
		return err;
	if (realtime && cmd != FUTEX_WAIT_BITSET)
		return -ENOSYS;
	switch (cmd) {
	case FUTEX_WAIT:
		return wait_on(addr, shared, val, deadline, CLOCK_MONOTONIC, (uint32_t)FUTEX_ANY);
	case FUTEX_WAIT_BITSET:
		return wait_on(
		    addr, shared, val, deadline, realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC, val3);
	case FUTEX_WAKE:
		return futex_wake(addr, shared, (int32_t)val, (uint32_t)FUTEX_ANY);
	case FUTEX_WAKE_BITSET:
		return futex_wake(addr, shared, (int32_t)val, val3);
	case FUTEX_REQUEUE:
		return futex_requeue(addr, addr2, shared, (int32_t)val, (int32_t)timeout, NULL);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(addr, addr2, shared, (int32_t)val, (int32_t)timeout, &val3);
	case FUTEX_WAKE_OP:
		return futex_wake_op(addr, addr2, shared, (int32_t)val, (int32_t)timeout, val3);
	default:
		return -ENOSYS;
	}
}

int64_t sys_set_robust_list(uaddr_t head, uint64_t size)
{
	if (size != ROBUST_HEAD_SIZE)
		return -EINVAL;
	current_user_thread()->robust_list = head;
	return 0;
}

/* The thread with this id, 0 for the current one; tree locked. */
static struct user_thread *find_thread_locked(int32_t tid)
{
	return tid ? user_thread_find_locked((uint32_t)tid) : current_user_thread();
}

int64_t sys_get_robust_list(int32_t tid, uaddr_t head, uaddr_t size)
{
	uint64_t value = 0, length = ROBUST_HEAD_SIZE;
	spin_lock(&process_tree_lock);
	const struct user_thread *ut = find_thread_locked(tid);
	struct process *p = ut ? ut->thread.process : NULL;
	if (p) {
		value = *(volatile uaddr_t *)&ut->robust_list;
		process_get(p);
	}
	spin_unlock(&process_tree_lock);
	if (!p)
		return -ESRCH;
	bool may = current_may_access(p, (uint32_t)tid);
	process_put(p);
	if (!may)
		return -EPERM;
	err_t err = copy_to_user(size, &length, sizeof(length));
	return err ? err : copy_to_user(head, &value, sizeof(value));
}

/* --- CPUs --- */

int64_t sys_sched_getaffinity(int32_t tid, uint32_t size, uaddr_t to)
{
	uint64_t mask = 0;
	if (size * 8 < cpus_count() || size % sizeof(mask))
		return -EINVAL;
	spin_lock(&process_tree_lock);
	struct user_thread *ut = find_thread_locked(tid);
	if (ut)
		mask = *(volatile uint64_t *)&ut->thread.affinity & cpus_online();
	spin_unlock(&process_tree_lock);
	if (!ut)
		return -ESRCH;
	return copy_to_user(to, &mask, sizeof(mask)) ? -EFAULT : (int64_t)sizeof(mask);
}

/* The caller's own threads, by user, or everybody's with CAP_SYS_NICE; tree locked. */
static bool may_place(const struct user_thread *ut)
{
	uint32_t euid = current_cred()->euid;
	return euid == ut->cred->uid || euid == ut->cred->euid || current_can(CAP_SYS_NICE);
}

int64_t sys_sched_setaffinity(int32_t tid, uint32_t size, uaddr_t from)
{
	uint64_t mask = 0;
	if (copy_from_user(&mask, from, MIN((size_t)size, sizeof(mask))))
		return -EFAULT;
	mask &= cpus_online();
	spin_lock(&process_tree_lock);
	struct user_thread *ut = find_thread_locked(tid);
	err_t err = !ut ? -ESRCH : !may_place(ut) ? -EPERM : !mask ? -EINVAL : 0;
	if (!err)
		thread_set_affinity(&ut->thread, mask);
	spin_unlock(&process_tree_lock);
	return err;
}

int64_t sys_getcpu(uaddr_t cpu, uaddr_t node)
{
	uint32_t id = cpu_id(), zero = 0; /* memory is uniform; where it ran is all that can be told */
	err_t err = cpu ? copy_to_user(cpu, &id, sizeof(id)) : 0;
	return !err && node ? copy_to_user(node, &zero, sizeof(zero)) : err;
}

enum membarrier_commands {
	MEMBARRIER_QUERY = 0,
	MEMBARRIER_PRIVATE_EXPEDITED = 8,
	MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16,
};

int64_t sys_membarrier(int32_t cmd, uint32_t flags, UNUSED int32_t cpu)
{
	struct vm_space *s = current_thread()->space;
	if (flags)
		return -EINVAL;
	switch (cmd) {
	case MEMBARRIER_QUERY:
		return MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED;
	case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
		store_relaxed(&s->barriers, MEMBARRIER_PRIVATE_EXPEDITED);
		return 0;
	case MEMBARRIER_PRIVATE_EXPEDITED:
		if (!load_relaxed(&s->barriers))
			return -EPERM;
		mmu_barrier(&s->mmu);
		return 0;
	default:
		return -EINVAL;
	}
}
