/* pidfd.c - see pidfd.h. */
#include "proc/pidfd.h"
#include "fs/anon.h"
#include "mm/slab.h"
#include "object/desc.h"
#include "proc/proc_priv.h"
#include "vm/space.h"

struct pidfd {
	struct list link; /* (T) process->pidfds */
	struct file *file;
	struct process *_Atomic process; /* (T) to set, once: counted; NULL: it has not been started */
	uint32_t gains;        /* (C) the process's, when this was made; 0 if it was not started then */
	struct embryo *embryo; /* (T) what it will start with; NULL: it has been started */
	bool starting;         /* (T) somebody is about to: nobody else touches the embryo */
};

static void pidfd_release(struct file *f)
{
	struct pidfd *d = f->priv;
	struct process *p = load_acquire(&d->process);
	spin_lock(&process_tree_lock);
	list_remove(&d->link);
	spin_unlock(&process_tree_lock);
	if (p)
		process_put(p);
	if (d->embryo)
		embryo_destroy(d->embryo);
	kfree(d);
}

static const struct file_ops pidfd_ops = {.type = KO_PROCESS, .release = pidfd_release};

struct process *pidfd_process(const struct file *f)
{
	return f->ops == &pidfd_ops ? load_acquire(&((struct pidfd *)f->priv)->process) : NULL;
}

err_t pidfd_find(const struct file *f, struct process **out)
{
	*out = pidfd_process(f);
	return *out ? 0 : f->ops == &pidfd_ops ? -ESRCH : -EBADF;
}

/* d stands for p from here on. */
static void bind_locked(struct pidfd *d, struct process *p)
{
	process_get(p);
	list_push_back(&p->pidfds, &d->link);
	store_release(&d->process, p);
	if (p->state != PROCESS_ALIVE)
		kobject_signal(&d->file->object, SIGNAL_READABLE | SIGNAL_DEAD, 0);
}

static err_t create(unsigned flags, struct pidfd **out)
{
	struct pidfd *d = kzalloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	err_t err = file_create_anonymous(&pidfd_ops, FILE_RDWR | flags, "anon_inode:[pidfd]", &d->file);
	if (err) {
		kfree(d);
		return err;
	}
	list_init(&d->link);
	d->file->priv = d;
	kobject_signal(&d->file->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	*out = d;
	return 0;
}

err_t pidfd_create(struct process *p, unsigned flags, struct file **out)
{
	struct pidfd *d;
	err_t err = create(flags, &d);
	if (err)
		return err;
	d->gains = load_relaxed(&p->gains);
	spin_lock(&process_tree_lock);
	bind_locked(d, p);
	spin_unlock(&process_tree_lock);
	*out = d->file;
	return 0;
}

uint32_t pidfd_rights(const struct file *f)
{
	uint32_t rights = file_rights(load_relaxed(&f->flags));
	return current_may_access(pidfd_process(f), 0) ? rights : rights & ~(uint32_t)RIGHT_MAP;
}

/* The memory is had before the count is looked at: exec counts before it gives the process other memory. */
static err_t space_of_process(const struct pidfd *d, struct process *p, struct vm_space **out)
{
	struct vm_space *s = process_space(p);
	if (!s)
		return -ESRCH;
	if (load_relaxed(&p->gains) != d->gains && !current_may_access(p, 0)) {
		space_put(s);
		return -EACCES;
	}
	*out = s;
	return 0;
}

err_t pidfd_space(const struct file *f, struct vm_space **out)
{
	const struct pidfd *d = f->priv;
	err_t err = 0;
	spin_lock(&process_tree_lock);
	struct process *p = load_relaxed(&d->process);
	if (d->starting) {
		err = -EBUSY;
	} else if (!p) {
		space_get(d->embryo->space);
		*out = d->embryo->space;
	}
	spin_unlock(&process_tree_lock);
	return err || !p ? err : space_of_process(d, p, out);
}

void pidfd_process_died_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	list_for_each (it, &p->pidfds)
		kobject_signal(
		    &list_entry(it, struct pidfd, link)->file->object, SIGNAL_READABLE | SIGNAL_DEAD, 0);
}

/* --- before it is started --- */

err_t pidfd_create_empty(const char *name, struct file **out)
{
	struct embryo *e;
	struct pidfd *d;
	err_t err = embryo_create(name, &e);
	if (err)
		return err;
	err = create(0, &d);
	if (err) {
		embryo_destroy(e);
		return err;
	}
	d->embryo = e;
	*out = d->file;
	return 0;
}

err_t pidfd_give(const struct file *f, const struct parcel *p, int number, int limit)
{
	const struct pidfd *d = f->priv;
	struct desc_table *t = NULL;
	spin_lock(&process_tree_lock);
	if (d->embryo && !d->starting) {
		t = d->embryo->descs;
		desc_table_get(t);
	}
	spin_unlock(&process_tree_lock);
	if (!t)
		return -EBUSY;
	err_t err = desc_install_at(t, number, p->object, p->rights, false, limit);
	desc_table_put(t);
	return err;
}

err_t pidfd_begin_start(const struct file *f, struct embryo **out)
{
	struct pidfd *d = f->priv;
	spin_lock(&process_tree_lock);
	err_t err = d->embryo && !d->starting ? 0 : -EBUSY;
	if (!err) {
		d->starting = true;
		*out = d->embryo;
	}
	spin_unlock(&process_tree_lock);
	return err;
}

void pidfd_end_start(const struct file *f, struct process *p)
{
	struct pidfd *d = f->priv;
	struct embryo *used = NULL;
	spin_lock(&process_tree_lock);
	d->starting = false;
	if (p) {
		used = d->embryo;
		d->embryo = NULL;
		bind_locked(d, p);
	}
	spin_unlock(&process_tree_lock);
	if (used)
		embryo_destroy(used);
}
