/*
 * signalfd.c - files that signals are read from instead of being handled.
 *
 * Whose signals a file tells of depends on who asks: a read takes what is pending for the reading thread or
 * its process, and a poll says whether there is anything for the thread that polls. So the object signal
 * READABLE is no more than news: it is set when a signal of the set becomes pending for a process that used
 * the file, and brought up to date by whoever looks.
 */
#include "proc/signalfd.h"
#include "fs/anon.h"
#include "fs/async.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

struct signalfd {
	struct list link;     /* (T) fds */
	struct file *file;    /* (C) not counted: it owns this */
	uint64_t set;         /* (T) */
	uint32_t user;        /* (T) number of the process that used it; 0: there were several */
	struct waitq readers; /* predicate: what is pending for the reader, (T) */
};

/* struct signalfd_siginfo of the ABI. */
struct signalfd_info {
	uint32_t signo;
	int32_t err, code;
	uint32_t pid, uid;
	int32_t fd;
	uint32_t tid, band, overrun, trapno;
	int32_t status, value;
	uint64_t ptr, utime, stime, addr;
	uint16_t addr_lsb, pad;
	int32_t syscall;
	uint64_t call_addr;
	uint32_t arch;
	uint8_t pad2[28];
};
_Static_assert(sizeof(struct signalfd_info) == 128, "signalfd_siginfo");

static struct list fds = LIST_INIT(fds); /* (T) */

static void note_user_locked(struct signalfd *s)
{
	if (s->user != current_process()->pid)
		s->user = 0;
}

void signalfd_notify_locked(const struct process *p, int signal)
{
	ASSERT_HELD(&process_tree_lock);
	list_for_each (it, &fds) {
		struct signalfd *s = list_entry(it, struct signalfd, link);
		if (!signal_in(signal, s->set) || (s->user && s->user != p->pid))
			continue;
		kobject_signal(&s->file->object, SIGNAL_READABLE, 0);
		waitq_wake_all(&s->readers);
	}
}

static void signalfd_refresh(struct file *f)
{
	struct signalfd *s = f->priv;
	spin_lock(&process_tree_lock);
	note_user_locked(s);
	bool any = signal_pending_locked(current_user_thread()) & s->set;
	bool told = kobject_signals(&f->object) & SIGNAL_READABLE;
	if (any != told) /* else it would be news to an epoll that is just looking */
		kobject_signal(&f->object, any ? SIGNAL_READABLE : 0, any ? 0 : SIGNAL_READABLE);
	spin_unlock(&process_tree_lock);
}

/* Is what a signal of this code tells particular to the signal? */
static bool is_from_kernel(int code)
{
	return code > SI_USER && code < SI_KERNEL;
}

/* Does it tell of a file with O_ASYNC? */
static bool is_of_file(const struct signal_info *info)
{
	return info->code == SI_SIGIO || (info->code >= ASYNC_IN && info->code <= ASYNC_HUP &&
					     !signal_in(info->signo, SIGNALS_WITH_CODES));
}

static void tell_info(struct signalfd_info *to, const struct signal_info *from)
{
	*to = (struct signalfd_info){.signo = (uint32_t)from->signo, .err = from->err, .code = from->code};
	if (is_of_file(from)) {
		to->band = (uint32_t)from->band;
		to->fd = from->fd;
		return;
	}
	if (is_from_kernel(from->code) && from->signo != SIGNAL_CHLD) {
		to->addr = from->addr;
		return;
	}
	if (from->code == SI_TIMER) {
		to->tid = from->pid;
		to->overrun = from->uid;
	} else {
		to->pid = from->pid;
		to->uid = from->uid;
	}
	if (is_from_kernel(from->code)) {
		to->status = (int32_t)from->value;
		to->utime = from->utime;
		to->stime = from->stime;
	} else if (from->code < 0) {
		to->ptr = from->value;
		to->value = (int32_t)from->value;
	}
}

/* The next signal. 0, -EAGAIN, -EINTR. */
static err_t take(struct signalfd *s, bool nonblock, struct signal_info *info)
{
	struct signal_reserve used;
	err_t err = 0;
	int signal;
	signal_reserve(&used, 0, 0);
	spin_lock(&process_tree_lock);
	note_user_locked(s);
	while (!(signal = signal_take_locked(s->set, info, &used)) && !err)
		err = nonblock ? -EAGAIN
			       : waitq_sleep(&s->readers, &process_tree_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&used);
	return signal ? 0 : err;
}

static int64_t signalfd_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct signalfd_info told;
	struct signal_info info;
	bool nonblock = file_is_nonblock(f, u);
	int64_t total = 0;
	err_t err = 0;
	if (u->left < sizeof(told))
		return -EINVAL;
	while (!err && u->left >= sizeof(told)) {
		size_t done;
		err = take(f->priv, nonblock || total, &info);
		if (err)
			break;
		tell_info(&told, &info);
		err = uio_write(u, &told, sizeof(told), &done);
		total += err ? 0 : (int64_t)sizeof(told);
	}
	return total ? total : err;
}

static void signalfd_release(struct file *f)
{
	struct signalfd *s = f->priv;
	if (!s)
		return;
	spin_lock(&process_tree_lock);
	list_remove(&s->link);
	spin_unlock(&process_tree_lock);
	kfree(s);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .seek = file_seek_nowhere,
    .refresh = signalfd_refresh,
    .release = signalfd_release,
};

err_t signalfd_create(uint64_t set, unsigned flags, struct file **out)
{
	struct signalfd *s = kzalloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	err_t err = file_create_anonymous(
	    &signalfd_ops, (flags & FILE_NONBLOCK) | FILE_RDWR, "anon_inode:[signalfd]", out);
	if (err) {
		kfree(s);
		return err;
	}
	waitq_init(&s->readers);
	s->file = *out;
	s->set = set & ~SIGNALS_UNBLOCKABLE;
	s->user = current_process()->pid;
	(*out)->priv = s;
	kobject_signal(&(*out)->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	spin_lock(&process_tree_lock);
	list_push_back(&fds, &s->link);
	spin_unlock(&process_tree_lock);
	return 0;
}

err_t signalfd_set(struct file *f, uint64_t set)
{
	struct signalfd *s = f->priv;
	if (f->ops != &signalfd_ops)
		return -EINVAL;
	spin_lock(&process_tree_lock);
	s->set = set & ~SIGNALS_UNBLOCKABLE;
	kobject_signal(&f->object, SIGNAL_READABLE, 0); /* who waits looks again */
	waitq_wake_all(&s->readers);
	spin_unlock(&process_tree_lock);
	return 0;
}
