/* async.c - see async.h. */
#include "fs/async.h"
#include "kern/thread.h"

static struct spinlock async_lock = SPINLOCK_INIT("news of files", RANK_WAIT);
static struct list raised = LIST_INIT(raised); /* async_lock: struct file by async.link, oldest first */
_Atomic uint32_t async_files;
static struct waitq raised_wait; /* predicate under async_lock */

void async_init(void)
{
	waitq_init(&raised_wait);
}

/* The sender's thread is woken in any case: the current thread sends on its way to user mode, but it may
 * have to wait first for what the signal leads to. */
void async_raise(struct file *f, enum async_reason reason)
{
	uint64_t state = spin_lock_irqsave(&async_lock);
	bool on = f->async.on; /* not of a file that was opened with the flag: as on Linux */
	if (on) {
		f->async.reasons |= 1u << reason;
		if (list_is_empty(&f->async.link))
			list_push_back(&raised, &f->async.link);
		waitq_wake_one(&raised_wait);
	}
	spin_unlock_irqrestore(&async_lock, state);
	if (on && current_thread()->process)
		fetch_or_acq_rel(&current_thread()->flags, THREAD_ASYNC);
}

void file_set_async(struct file *f, int fd, bool on)
{
	uint64_t state = spin_lock_irqsave(&async_lock);
	if (on != f->async.on)
		fetch_add_relaxed(&async_files, on ? 1 : UINT32_MAX);
	f->async.fd = fd;
	f->async.on = on;
	if (on) {
		fetch_or_acq_rel(&f->flags, FILE_ASYNC);
	} else {
		atomic_fetch_and_explicit(&f->flags, ~(uint32_t)FILE_ASYNC, memory_order_relaxed);
		f->async.reasons = 0;
		list_remove(&f->async.link);
	}
	spin_unlock_irqrestore(&async_lock, state);
}

void file_set_owner(struct file *f, const struct async_owner *o)
{
	uint64_t state = spin_lock_irqsave(&async_lock);
	f->async.owner = o->who;
	f->async.uid = o->uid;
	f->async.euid = o->euid;
	spin_unlock_irqrestore(&async_lock, state);
}

static void owner_locked(const struct file *f, struct async_owner *o)
{
	*o = (struct async_owner){f->async.owner, f->async.uid, f->async.euid};
}

void file_get_owner(struct file *f, struct async_owner *o)
{
	uint64_t state = spin_lock_irqsave(&async_lock);
	owner_locked(f, o);
	spin_unlock_irqrestore(&async_lock, state);
}

bool async_take(struct async_news *out)
{
	uint64_t state = spin_lock_irqsave(&async_lock);
	bool any = !list_is_empty(&raised);
	if (any) {
		struct file *f = list_first(&raised, struct file, async.link);
		list_remove(&f->async.link);
		owner_locked(f, &out->owner);
		out->fd = f->async.fd;
		out->signal = load_relaxed(&f->owner_signal);
		out->reasons = f->async.reasons;
		f->async.reasons = 0;
	}
	spin_unlock_irqrestore(&async_lock, state);
	return any;
}

void async_wait(void)
{
	uint64_t state = spin_lock_irqsave(&async_lock);
	while (list_is_empty(&raised))
		(void)waitq_sleep_irq(&raised_wait, &async_lock, NSEC_NEVER, 0);
	spin_unlock_irqrestore(&async_lock, state);
}
