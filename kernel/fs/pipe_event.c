/*
 * pipe_event.c - eventfd: a 64-bit counter as a file. A write adds, a read takes all (or one, of a semaphore)
 * and waits while there is nothing.
 */
#include "fs/anon.h"
#include "fs/pipe.h"
#include "mm/slab.h"

#define EVENT_MAX (UINT64_MAX - 1)

enum { SIGNAL_EVENT_TAKEN = 1 << 16 }; /* something was taken since a writer found no room */

struct event {
	struct mutex lock; /* RANK_CHANNEL */
	uint64_t count;    /* lock */
	bool semaphore;    /* (C) */
};

/* Bring the signals up to date. Locked. */
static void tell(struct file *f, const struct event *e)
{
	uint64_t now = (e->count ? SIGNAL_READABLE : 0) | (e->count < EVENT_MAX ? SIGNAL_WRITABLE : 0);
	kobject_signal(&f->object, now, (SIGNAL_READABLE | SIGNAL_WRITABLE) & ~now);
}

/* Take what a read gets; 0: nothing is there. */
static uint64_t take(struct file *f)
{
	struct event *e = f->priv;
	mutex_lock(&e->lock);
	uint64_t n = e->semaphore ? e->count != 0 : e->count;
	e->count -= n;
	if (n) {
		tell(f, e);
		kobject_signal(&f->object, SIGNAL_EVENT_TAKEN, 0);
	}
	mutex_unlock(&e->lock);
	return n;
}

static bool add(struct file *f, uint64_t n)
{
	struct event *e = f->priv;
	mutex_lock(&e->lock);
	bool fits = n <= EVENT_MAX - e->count;
	if (fits) {
		e->count += n;
		tell(f, e);
	}
	mutex_unlock(&e->lock);
	return fits;
}

static int64_t event_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	uint64_t n, seen;
	size_t done;
	if (u->left < sizeof(n))
		return -EINVAL;
	while (!(n = take(f))) {
		if (file_is_nonblock(f, u))
			return -EAGAIN;
		err_t err = kobject_wait(&f->object, SIGNAL_READABLE, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
		if (err)
			return err;
	}
	err_t err = uio_write(u, &n, sizeof(n), &done);
	return err ? err : (int64_t)sizeof(n);
}

/* There was no room for n: wait until something is taken. WRITABLE does not say that, as there may be room
 * for less. */
static err_t wait_for_take(struct file *f, uint64_t n)
{
	struct event *e = f->priv;
	uint64_t seen;
	mutex_lock(&e->lock);
	if (n > EVENT_MAX - e->count)
		kobject_signal(&f->object, 0, SIGNAL_EVENT_TAKEN);
	mutex_unlock(&e->lock);
	return kobject_wait(&f->object, SIGNAL_EVENT_TAKEN, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
}

static int64_t event_write(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	uint64_t n;
	size_t done;
	if (u->left < sizeof(n))
		return -EINVAL;
	err_t err = uio_read(u, &n, sizeof(n), &done);
	if (err)
		return err;
	if (n == UINT64_MAX)
		return -EINVAL;
	while (!add(f, n)) {
		err = file_is_nonblock(f, u) ? -EAGAIN : wait_for_take(f, n);
		if (err)
			return err;
	}
	return (int64_t)sizeof(n);
}

static void event_release(struct file *f)
{
	kfree(f->priv);
}

static const struct file_ops event_file_ops = {
    .type = KO_EVENT,
    .read = event_read,
    .write = event_write,
    .seek = file_seek_nowhere,
    .release = event_release,
};

err_t eventfd_create(uint32_t value, bool semaphore, unsigned flags, struct file **out)
{
	struct event *e = kzalloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	mutex_init(&e->lock, "eventfd", RANK_CHANNEL);
	e->count = value;
	e->semaphore = semaphore;
	err_t err = file_create_anonymous(
	    &event_file_ops, (flags & FILE_NONBLOCK) | FILE_RDWR, "anon_inode:[eventfd]", out);
	if (err) {
		kfree(e);
		return err;
	}
	(*out)->priv = e;
	tell(*out, e);
	return 0;
}
