/* threadfd.c - see threadfd.h. */
#include "proc/threadfd.h"
#include "fs/anon.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/pidfd.h"
#include "vm/space.h"

struct threadfd {
	struct list link;           /* (T) user_thread->threadfds */
	struct file *file;          /* (C) */
	struct user_thread *thread; /* (T) not counted; NULL: none yet, or it has ended */
	uint32_t number;            /* (C) the thread's, from the moment on that f stands for one */
	int status;                 /* (T) how it ended */
};

static void threadfd_release(struct file *f)
{
	struct threadfd *d = f->priv;
	spin_lock(&process_tree_lock);
	list_remove(&d->link);
	spin_unlock(&process_tree_lock);
	kfree(d);
}

static const struct file_ops threadfd_ops = {.type = KO_THREAD, .release = threadfd_release};

err_t threadfd_create(struct file **out)
{
	struct threadfd *d = kzalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	err_t err = file_create_anonymous(&threadfd_ops, FILE_RDWR, "anon_inode:[thread]", &d->file);
	if (err) {
		kfree(d);
		return err;
	}
	list_init(&d->link);
	d->file->priv = d;
	kobject_signal(&d->file->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	*out = d->file;
	return 0;
}

static void bind_locked(const struct file *f, struct user_thread *ut)
{
	struct threadfd *d = f->priv;
	d->thread = ut;
	d->number = ut->thread.tid;
	list_push_back(&ut->threadfds, &d->link);
}

void threadfd_thread_ended_locked(struct user_thread *ut, int status)
{
	ASSERT_HELD(&process_tree_lock);
	list_for_each_safe (it, &ut->threadfds) {
		struct threadfd *d = list_entry(it, struct threadfd, link);
		list_remove(&d->link);
		d->thread = NULL;
		d->status = status;
		kobject_signal(&d->file->object, SIGNAL_READABLE | SIGNAL_DEAD, 0);
	}
}

/* --- in which process --- */

/* A process and its memory, both counted. While it has this memory, who asked may do with it what he likes.
 */
struct target {
	struct process *process;
	struct vm_space *space;
};

static err_t target_get(struct target *t, const struct file *process)
{
	if (!process) {
		t->process = current_process();
		t->space = t->process->space;
		space_get(t->space);
	} else {
		err_t err = pidfd_find(process, &t->process);
		if (!err)
			err = pidfd_space(process, &t->space);
		if (err)
			return err;
	}
	process_get(t->process);
	return 0;
}

static void target_put(struct target *t)
{
	space_put(t->space);
	process_put(t->process);
}

/* Of p's threads the one that another is made like. NULL: all are about to end. */
static struct user_thread *model_locked(const struct process *p)
{
	if (p == current_process())
		return current_user_thread();
	return list_is_empty(&p->threads) ? NULL : list_first(&p->threads, struct user_thread, link);
}

/* --- starting --- */

/* One more thread of t's process, with nothing of what it shares with others. */
static err_t make_thread(const struct target *t, const struct thread_start *s, struct user_thread **out)
{
	struct user_thread *ut;
	err_t err = user_thread_create(t->process, current_thread()->name, 0, &ut);
	if (err)
		return err;
	user_frame_start(&ut->start, s->entry, s->sp);
	user_frame_set_arguments(&ut->start, s->arguments[0], s->arguments[1]);
	err = user_thread_is_first(ut) ? -EINTR : 0; /* who has made the process is about to start that one */
	if (!err)
		err = user_state_create(&ut->thread);
	if (!err)
		err = user_state_set_tls(&ut->thread, s->tls);
	if (err)
		user_thread_free(ut);
	else
		*out = ut;
	return err;
}

/* What it shares it gets at the moment in which it starts, as it is then: a table that it had before would
 * stay when its process ends. *old: as user_thread_share_locked. */
static err_t launch_locked(
    const struct file *f, const struct target *t, struct user_thread *ut, struct cred **old)
{
	struct user_thread *like = model_locked(t->process);
	err_t err = like ? user_thread_share_locked(ut, like, old) : -EINTR;
	if (err)
		return err;
	user_thread_inherit(ut, like);
	memcpy(ut->thread.name, like->thread.name, sizeof(ut->thread.name));
	ut->signals.mask = like->signals.mask;
	err = user_thread_launch_locked(ut, t->space, like);
	if (!err)
		bind_locked(f, ut); /* it cannot end as long as the tree is locked */
	return err;
}

static err_t start(const struct file *f, const struct target *t, const struct thread_start *s)
{
	struct user_thread *ut;
	struct cred *old = NULL;
	err_t err = make_thread(t, s, &ut);
	if (err)
		return err;
	spin_lock(&process_tree_lock);
	err = launch_locked(f, t, ut, &old);
	spin_unlock(&process_tree_lock);
	if (old)
		cred_put(old);
	if (err)
		user_thread_free(ut);
	return err;
}

err_t threadfd_start(const struct file *f, const struct file *process, const struct thread_start *s)
{
	struct target t;
	err_t err = target_get(&t, process);
	if (err)
		return err;
	err = start(f, &t, s);
	target_put(&t);
	return err;
}

/* --- those that run --- */

err_t threadfd_find(const struct file *f, const struct file *process, uint32_t number)
{
	struct target t;
	err_t err = target_get(&t, process);
	if (err)
		return err;
	spin_lock(&process_tree_lock);
	struct user_thread *ut = number ? process_thread_locked(t.process, number) : NULL;
	if (ut && !list_is_empty(&ut->link) && t.process->space == t.space)
		bind_locked(f, ut);
	else
		err = -ESRCH;
	spin_unlock(&process_tree_lock);
	target_put(&t);
	return err;
}

void threadfd_kill(const struct file *f)
{
	const struct threadfd *d = f->priv;
	spin_lock(&process_tree_lock);
	if (d->thread)
		thread_interrupt(&d->thread->thread, THREAD_KILLED);
	spin_unlock(&process_tree_lock);
}

int threadfd_status(const struct file *f)
{
	const struct threadfd *d = f->priv;
	spin_lock(&process_tree_lock);
	int status = d->thread ? -EAGAIN : d->status;
	spin_unlock(&process_tree_lock);
	return status;
}

uint32_t threadfd_number(const struct file *f)
{
	return ((const struct threadfd *)f->priv)->number;
}
