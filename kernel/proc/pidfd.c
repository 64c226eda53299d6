/* pidfd.c - see pidfd.h. */
#include "proc/pidfd.h"
#include "fs/anon.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"
#include "vm/space.h"

struct pidfd {
	struct list link; /* (T) process->pidfds */
	struct file *file;
	struct process *process; /* (C) counted */
	uint32_t gains;          /* (C) the process's, when this was made */
};

static void pidfd_release(struct file *f)
{
	struct pidfd *d = f->priv;
	spin_lock(&process_tree_lock);
	list_remove(&d->link);
	spin_unlock(&process_tree_lock);
	process_put(d->process);
	kfree(d);
}

static const struct file_ops pidfd_ops = {.type = KO_PROCESS, .release = pidfd_release};

struct process *pidfd_process(const struct file *f)
{
	return f->ops == &pidfd_ops ? ((struct pidfd *)f->priv)->process : NULL;
}

err_t pidfd_create(struct process *p, unsigned flags, struct file **out)
{
	struct pidfd *d = kzalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	err_t err = file_create_anonymous(&pidfd_ops, FILE_RDWR | flags, "anon_inode:[pidfd]", &d->file);
	if (err) {
		kfree(d);
		return err;
	}
	d->file->priv = d;
	kobject_signal(&d->file->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	process_get(p);
	d->process = p;
	d->gains = load_relaxed(&p->gains);
	spin_lock(&process_tree_lock);
	list_push_back(&p->pidfds, &d->link);
	if (p->state != PROCESS_ALIVE)
		kobject_signal(&d->file->object, SIGNAL_READABLE | SIGNAL_DEAD, 0);
	spin_unlock(&process_tree_lock);
	*out = d->file;
	return 0;
}

uint32_t pidfd_rights(const struct file *f)
{
	uint32_t rights = file_rights(load_relaxed(&f->flags));
	return current_may_access(pidfd_process(f)) ? rights : rights & ~(uint32_t)RIGHT_MAP;
}

/* The memory is had before the count is looked at: exec counts before it gives the process other memory. */
err_t pidfd_space(const struct file *f, struct vm_space **out)
{
	const struct pidfd *d = f->priv;
	struct vm_space *s = process_space(d->process);
	if (!s)
		return -ESRCH;
	if (load_relaxed(&d->process->gains) != d->gains && !current_may_access(d->process)) {
		space_put(s);
		return -EACCES;
	}
	*out = s;
	return 0;
}

void pidfd_process_died_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	list_for_each (it, &p->pidfds)
		kobject_signal(
		    &list_entry(it, struct pidfd, link)->file->object, SIGNAL_READABLE | SIGNAL_DEAD, 0);
}
