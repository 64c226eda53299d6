/* linux_signal.c - the signal calls of the Linux ABI: checks and errors in Linux's order, then proc/. */
#include "arch/clock.h"
#include "proc/cred.h"
#include "proc/process.h"
#include "proc/signalfd.h"
#include "sys/files.h"

enum { SET_SIZE = sizeof(uint64_t), INFO_SIZE = 128, ALTSTACK_MIN = 2048 };
enum sigprocmask_how { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK };
#include "kern/wall.h"

static bool signal_is_valid(int32_t signal)
{
	return signal >= 1 && signal <= SIGNAL_MAX;
}

int64_t sys_rt_sigaction(int32_t signal, uaddr_t act, uaddr_t old, uint64_t setsize)
{
	struct signal_action new, was;
	if (setsize != SET_SIZE)
		return -EINVAL;
	if (act && copy_from_user(&new, act, sizeof(new)))
		return -EFAULT;
	if (!signal_is_valid(signal) || (act && signal_in(signal, SIGNALS_UNBLOCKABLE)))
		return -EINVAL;
	signal_set_action(signal, act ? &new : NULL, &was);
	return old ? copy_to_user(old, &was, sizeof(was)) : 0;
}

int64_t sys_rt_sigprocmask(int32_t how, uaddr_t set, uaddr_t old, uint64_t setsize)
{
	uint64_t now = current_user_thread()->signals.mask, change;
	if (setsize != SET_SIZE)
		return -EINVAL;
	if (set) {
		if (copy_from_user(&change, set, sizeof(change)))
			return -EFAULT;
		if (how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK)
			return -EINVAL;
		if (how != SIG_SETMASK)
			change = how == SIG_BLOCK ? now | change : now & ~change;
		signal_set_mask(change);
	}
	return old ? copy_to_user(old, &now, sizeof(now)) : 0;
}

int64_t sys_rt_sigpending(uaddr_t set, uint64_t setsize)
{
	struct user_thread *ut = current_user_thread();
	if (setsize > SET_SIZE)
		return -EINVAL;
	spin_lock(&process_tree_lock);
	uint64_t pending = signal_pending_locked(ut) & ut->signals.mask;
	spin_unlock(&process_tree_lock);
	return copy_to_user(set, &pending, setsize);
}

/* Sleep until the thread has exit work; it decides what becomes of the call. */
static int64_t sleep_for_signal(void)
{
	struct user_thread *ut = current_user_thread();
	spin_lock(&process_tree_lock);
	while (waitq_sleep(&ut->signals.wait, &process_tree_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE) != -EINTR)
		;
	spin_unlock(&process_tree_lock);
	return -ERESTARTNOHAND;
}

int64_t sys_pause(void)
{
	return sleep_for_signal();
}

err_t call_mask_set(struct call_mask *m, uaddr_t mask, uint64_t size)
{
	struct thread_signals *t = &current_user_thread()->signals;
	uint64_t bits;
	m->set = mask != 0;
	if (!mask)
		return 0;
	if (size != SET_SIZE)
		return -EINVAL;
	if (copy_from_user(&bits, mask, sizeof(bits)))
		return -EFAULT;
	t->saved_mask = t->mask;
	signal_set_mask(bits);
	return 0;
}

int64_t call_mask_end(const struct call_mask *m, int64_t result)
{
	struct thread_signals *t = &current_user_thread()->signals;
	bool interrupted = result == -EINTR || result == -ERESTARTNOHAND;
	if (m->set && interrupted)
		t->restore_mask = true;
	else if (m->set)
		signal_set_mask(t->saved_mask);
	return result;
}

int64_t sys_rt_sigsuspend(uaddr_t set, uint64_t setsize)
{
	struct thread_signals *t = &current_user_thread()->signals;
	uint64_t mask;
	if (setsize != SET_SIZE)
		return -EINVAL;
	if (copy_from_user(&mask, set, sizeof(mask)))
		return -EFAULT;
	t->saved_mask = t->mask;
	signal_set_mask(mask);
	int64_t result = sleep_for_signal();
	t->restore_mask = true;
	return result;
}

/* Wait for a signal of `set` until `deadline` (0: do not wait). The signal, -EAGAIN, -EINTR. */
static int64_t wait_for_signal(uint64_t set, nsec_t deadline, struct signal_info *info)
{
	struct user_thread *ut = current_user_thread();
	struct signal_reserve used;
	err_t err = 0;
	int signal;
	signal_reserve(&used, 0, 0);
	spin_lock(&process_tree_lock);
	ut->signals.wait_set = set;
	while (!(signal = signal_take_locked(set, info, &used)) && !err)
		err = deadline
			  ? waitq_sleep(&ut->signals.wait, &process_tree_lock, deadline, WAIT_INTERRUPTIBLE)
			  : -ETIMEDOUT;
	ut->signals.wait_set = 0;
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&used);
	if (signal)
		return signal;
	return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

static err_t put_info(uaddr_t to, const struct signal_info *info)
{
	if (copy_to_user(to, info, sizeof(*info)))
		return -EFAULT;
	return zero_user_partial(to + sizeof(*info), INFO_SIZE - sizeof(*info)) ? -EFAULT : 0;
}

int64_t sys_rt_sigtimedwait(uaddr_t set, uaddr_t info_to, uaddr_t timeout, uint64_t setsize)
{
	struct sys_timespec ts = {0};
	struct signal_info info;
	nsec_t deadline = NSEC_NEVER;
	uint64_t wanted;
	if (setsize != SET_SIZE)
		return -EINVAL;
	if (copy_from_user(&wanted, set, sizeof(wanted)) ||
	    (timeout && copy_from_user(&ts, timeout, sizeof(ts))))
		return -EFAULT;
	if (ts.sec < 0 || (uint64_t)ts.nsec >= NSEC_PER_SEC)
		return -EINVAL;
	if (timeout && (uint64_t)ts.sec < INT64_MAX / NSEC_PER_SEC / 2) {
		nsec_t span = (uint64_t)ts.sec * NSEC_PER_SEC + (uint64_t)ts.nsec;
		deadline = span ? clock_now() + span : 0;
	}
	int64_t result = wait_for_signal(wanted & ~SIGNALS_UNBLOCKABLE, deadline, &info);
	if (result > 0 && info_to && put_info(info_to, &info))
		return -EFAULT;
	return result;
}

int64_t sys_signalfd4(int32_t fd, uaddr_t set, uint64_t setsize, int32_t flags)
{
	struct file *f;
	uint64_t wanted;
	if (setsize != SET_SIZE)
		return -EINVAL;
	if (copy_from_user(&wanted, set, sizeof(wanted)))
		return -EFAULT;
	if (flags & ~(FILE_CLOEXEC | FILE_NONBLOCK))
		return -EINVAL;
	if (fd == -1) {
		err_t err = signalfd_create(wanted, (unsigned)flags & FILE_NONBLOCK, &f);
		return err ? err : fd_install(f, flags & FILE_CLOEXEC);
	}
	err_t err = fd_file_for(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	err = signalfd_set(f, wanted);
	file_put(f);
	return err ? err : fd;
}

int64_t sys_signalfd(int32_t fd, uaddr_t set, uint64_t setsize)
{
	return sys_signalfd4(fd, set, setsize, 0);
}

int64_t sys_kill(int32_t pid, int32_t signal)
{
	return process_kill(pid, signal);
}

static int64_t send_to_thread(int32_t tgid, int32_t tid, int32_t signal)
{
	struct signal_info info = {
	    .signo = signal, .code = SI_TKILL, .pid = current_process()->pid, .uid = current_cred()->uid};
	if (tid <= 0 || (signal && !signal_is_valid(signal)))
		return -EINVAL;
	return thread_queue_signal((uint32_t)tgid, (uint32_t)tid, &info);
}

int64_t sys_tkill(int32_t tid, int32_t signal)
{
	return send_to_thread(0, tid, signal);
}

int64_t sys_tgkill(int32_t tgid, int32_t tid, int32_t signal)
{
	return tgid <= 0 ? -EINVAL : send_to_thread(tgid, tid, signal);
}

/* What the sender says of itself. Codes that only the kernel may use are for the sender's own process; what
 * lies beyond the part that is known must be empty. */
static err_t get_info(uaddr_t from, int32_t tgid, int32_t signal, struct signal_info *info)
{
	enum { LAST_KNOWN_CODE = -7 };
	uint8_t rest[INFO_SIZE - sizeof(*info)];
	if (copy_from_user(info, from, sizeof(*info)))
		return -EFAULT;
	if (info->code < LAST_KNOWN_CODE) {
		if (copy_from_user(rest, from + sizeof(*info), sizeof(rest)))
			return -EFAULT;
		for (size_t i = 0; i < sizeof(rest); i++)
			if (rest[i])
				return -E2BIG;
	}
	info->signo = signal;
	if ((info->code >= 0 || info->code == SI_TKILL) && tgid != (int32_t)current_process()->pid)
		return -EPERM;
	return signal && !signal_is_valid(signal) ? -EINVAL : 0;
}

int64_t sys_rt_sigqueueinfo(int32_t pid, int32_t signal, uaddr_t from)
{
	struct signal_info info;
	err_t err = get_info(from, pid, signal, &info);
	return err ? err : process_queue_signal((uint32_t)pid, &info);
}

int64_t sys_rt_tgsigqueueinfo(int32_t tgid, int32_t tid, int32_t signal, uaddr_t from)
{
	struct signal_info info;
	if (copy_from_user(&info, from, sizeof(info)))
		return -EFAULT;
	if (tgid <= 0 || tid <= 0)
		return -EINVAL;
	err_t err = get_info(from, tgid, signal, &info);
	return err ? err : thread_queue_signal((uint32_t)tgid, (uint32_t)tid, &info);
}

static err_t set_altstack(const struct user_altstack *new, uaddr_t sp)
{
	struct user_altstack *now = &current_user_thread()->signals.altstack;
	uint32_t mode = (uint32_t) new->flags & ~SS_AUTODISARM;
	if (user_on_altstack(now, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode != SS_DISABLE && new->size < ALTSTACK_MIN)
		return -ENOMEM;
	if (mode != SS_DISABLE && !guard_check_stack(new->sp, new->sp + new->size))
		return -EFAULT;
	*now = (struct user_altstack){.flags = new->flags};
	if (mode != SS_DISABLE) {
		now->sp = new->sp;
		now->size = new->size;
	}
	return 0;
}

int64_t sys_sigaltstack(uaddr_t new, uaddr_t old)
{
	const struct user_altstack *now = &current_user_thread()->signals.altstack;
	uaddr_t sp = user_frame_sp(user_frame(current_thread()));
	struct user_altstack want, was = {.sp = now->sp, .size = now->size};
	int32_t state = !now->size ? SS_DISABLE : user_on_altstack(now, sp) ? SS_ONSTACK : 0;
	was.flags = (int32_t)((uint32_t)state | ((uint32_t)now->flags & SS_AUTODISARM));
	if (new &&copy_from_user(&want, new, sizeof(want)))
		return -EFAULT;
	err_t err = new ? set_altstack(&want, sp) : 0;
	if (!err && old)
		err = copy_to_user(old, &was, sizeof(was));
	return err;
}

int64_t sys_rt_sigreturn(void)
{
	struct trap_frame *f = user_frame(current_thread());
	struct user_altstack altstack;
	uint64_t mask;
	if (user_signal_pop(f, &mask, &altstack)) {
		user_frame_forget_call(f);
		signal_force(&(struct signal_info){.signo = SIGNAL_SEGV, .code = SI_KERNEL});
		return 0;
	}
	current_user_thread()->signals.restart.fn = NULL; /* the handler may have slept by itself */
	signal_set_mask(mask);
	(void)set_altstack(&altstack, user_frame_sp(f)); /* one that is not valid is not taken, as on Linux */
	return user_frame_result(f);
}

int64_t sys_setpgid(int32_t pid, int32_t pgid)
{
	return pgid < 0 ? -EINVAL : process_set_group((uint32_t)pid, (uint32_t)pgid);
}

int64_t sys_getpgid(int32_t pid)
{
	uint32_t pgid, sid;
	err_t err = process_get_group((uint32_t)pid, &pgid, &sid);
	return err ? err : (int64_t)pgid;
}

int64_t sys_getpgrp(void)
{
	return sys_getpgid(0);
}

int64_t sys_getsid(int32_t pid)
{
	uint32_t pgid, sid;
	err_t err = process_get_group((uint32_t)pid, &pgid, &sid);
	return err ? err : (int64_t)sid;
}

int64_t sys_setsid(void)
{
	err_t err = process_new_session();
	return err ? err : (int64_t)current_process()->pid;
}
