/*
 * timerfd.c - see timerfd.h.
 *
 * The interrupt only notes that the timer has expired. A periodic one is armed again by whoever reads or asks
 * next, who then counts the periods that have passed: so a short period costs interrupts only as fast as
 * somebody reads.
 *
 * The kernel's timer is set and cancelled under `change`, which its callback does not take; `lock` guards
 * what the callback touches.
 */
#include "fs/timerfd.h"
#include "fs/anon.h"
#include "arch/clock.h"
#include "kern/timer.h"
#include "kern/wall.h"
#include "mm/slab.h"

/* (X) change; (L) lock, interrupts disabled; (C) constant; (G) the list's lock */
struct timerfd {
	struct mutex change;  /* RANK_CHANNEL */
	struct spinlock lock; /* RANK_WAIT */
	struct timer timer;   /* (X) */
	struct file *file;    /* (C) not counted: it owns this */
	bool wall;            /* (C) */
	bool absolute;        /* (X) `expiry` is by the clock it was created on; else monotonic */
	bool cancel_on_set;   /* (X) */
	bool cancelled;       /* (L) not told yet */
	nsec_t expiry;        /* (L) by its clock; 0: not armed */
	nsec_t interval;      /* (L) */
	bool expired;         /* (L) the interrupt came, nobody has armed it since */
	uint64_t ticks;       /* (L) expiries that were not read */
	struct list link;     /* (G) */
};

static struct mutex list_lock;                 /* RANK_FILE */
static struct list timers = LIST_INIT(timers); /* list_lock: those by the time of day */

static nsec_t now_of(const struct timerfd *t)
{
	return t->wall && t->absolute ? wall_now() : clock_now();
}

static nsec_t monotonic_of(const struct timerfd *t, nsec_t time)
{
	if (!t->wall || !t->absolute)
		return time;
	return time > wall_offset() ? time - wall_offset() : 0;
}

static void tell(struct timerfd *t)
{
	uint64_t now = t->ticks || t->cancelled ? SIGNAL_READABLE : 0;
	kobject_signal(&t->file->object, now, SIGNAL_READABLE & ~now);
}

/* In the timer interrupt. */
static void went_off(void *arg)
{
	struct timerfd *t = arg;
	uint64_t irq = spin_lock_irqsave(&t->lock);
	if (t->expiry) {
		t->expired = true;
		t->ticks++;
		tell(t);
	}
	spin_unlock_irqrestore(&t->lock, irq);
}

/* Count the periods that have passed since the interrupt, and arm the timer for the next one. change held. */
static void catch_up(struct timerfd *t)
{
	nsec_t next = NSEC_NEVER;
	uint64_t irq = spin_lock_irqsave(&t->lock);
	if (t->expired && t->interval) {
		nsec_t now = now_of(t), late = now > t->expiry ? now - t->expiry : 0;
		uint64_t n = late / t->interval + 1;
		t->ticks += n - 1;
		t->expiry =
		    t->interval > (NSEC_NEVER - t->expiry) / n ? NSEC_NEVER : t->expiry + n * t->interval;
		t->expired = false;
		next = monotonic_of(t, t->expiry);
	}
	spin_unlock_irqrestore(&t->lock, irq);
	if (next != NSEC_NEVER)
		timer_set(&t->timer, next);
}

/* What a read gets; 0: nothing yet. -ECANCELED: the clock was set. */
static int64_t take(struct timerfd *t)
{
	int64_t n = 0;
	mutex_lock(&t->change);
	if (t->ticks || t->cancelled)
		catch_up(t);
	uint64_t irq = spin_lock_irqsave(&t->lock);
	n = t->cancelled ? -ECANCELED : (int64_t)MIN(t->ticks, (uint64_t)INT64_MAX);
	t->cancelled = false;
	t->ticks = 0;
	tell(t);
	spin_unlock_irqrestore(&t->lock, irq);
	mutex_unlock(&t->change);
	return n;
}

static int64_t timerfd_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	int64_t n;
	size_t done;
	uint64_t seen;
	if (u->left < sizeof(n))
		return -EINVAL;
	while (!(n = take(f->priv))) {
		if (file_is_nonblock(f, u))
			return -EAGAIN;
		err_t err = kobject_wait(&f->object, SIGNAL_READABLE, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
		if (err)
			return err;
	}
	if (n < 0)
		return n;
	err_t err = uio_write(u, &n, sizeof(n), &done);
	return err ? err : (int64_t)sizeof(n);
}

static void timerfd_release(struct file *f)
{
	struct timerfd *t = f->priv;
	if (!t)
		return;
	timer_cancel(&t->timer);
	mutex_lock(&list_lock);
	list_remove(&t->link);
	mutex_unlock(&list_lock);
	kfree(t);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read, .seek = file_seek_nowhere, .release = timerfd_release};

bool file_is_timerfd(const struct file *f)
{
	return f->ops == &timerfd_ops;
}

void timerfd_init(void)
{
	mutex_init(&list_lock, "timer files", RANK_FILE);
}

err_t timerfd_create(bool wall, unsigned flags, struct file **out)
{
	struct timerfd *t = kzalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	err_t err = file_create_anonymous(
	    &timerfd_ops, (flags & FILE_NONBLOCK) | FILE_RDWR, "anon_inode:[timerfd]", out);
	if (err) {
		kfree(t);
		return err;
	}
	mutex_init(&t->change, "timerfd", RANK_CHANNEL);
	spin_init(&t->lock, "timerfd", RANK_WAIT);
	timer_init(&t->timer, went_off, t);
	list_init(&t->link);
	t->wall = wall;
	t->file = *out;
	(*out)->priv = t;
	if (wall) {
		mutex_lock(&list_lock);
		list_push_back(&timers, &t->link);
		mutex_unlock(&list_lock);
	}
	return 0;
}

/* change held. */
static void value_of(struct timerfd *t, struct timerfd_value *out)
{
	catch_up(t);
	uint64_t irq = spin_lock_irqsave(&t->lock);
	nsec_t now = now_of(t);
	*out = (struct timerfd_value){.interval = t->interval};
	if (t->expiry && !t->expired)
		out->left = t->expiry > now ? t->expiry - now : 1; /* it is about to expire */
	spin_unlock_irqrestore(&t->lock, irq);
}

void timerfd_get(struct file *f, struct timerfd_value *out)
{
	struct timerfd *t = f->priv;
	mutex_lock(&t->change);
	value_of(t, out);
	mutex_unlock(&t->change);
}

void timerfd_set(struct file *f, unsigned flags, const struct timerfd_value *new, struct timerfd_value *old)
{
	struct timerfd *t = f->priv;
	mutex_lock(&t->change);
	value_of(t, old);
	timer_cancel(&t->timer);
	t->absolute = flags & TIMERFD_ABSOLUTE;
	t->cancel_on_set = t->wall && t->absolute && (flags & TIMERFD_CANCEL_ON_SET);
	nsec_t now = now_of(t);
	uint64_t irq = spin_lock_irqsave(&t->lock);
	t->expiry = 0;
	if (new->left)
		t->expiry = t->absolute                    ? new->left
			    : new->left > NSEC_NEVER - now ? NSEC_NEVER
							   : now + new->left;
	t->interval = new->interval;
	t->expired = t->cancelled = false;
	t->ticks = 0;
	nsec_t at = t->expiry ? monotonic_of(t, t->expiry) : NSEC_NEVER;
	tell(t);
	spin_unlock_irqrestore(&t->lock, irq);
	timer_set(&t->timer, at);
	mutex_unlock(&t->change);
}

static void wall_was_set(struct timerfd *t)
{
	mutex_lock(&t->change);
	uint64_t irq = spin_lock_irqsave(&t->lock);
	nsec_t at = t->absolute && t->expiry && !t->expired ? monotonic_of(t, t->expiry) : NSEC_NEVER;
	t->cancelled = t->cancelled || t->cancel_on_set;
	tell(t);
	spin_unlock_irqrestore(&t->lock, irq);
	if (at != NSEC_NEVER)
		timer_set(&t->timer, at);
	mutex_unlock(&t->change);
}

void timerfd_wall_was_set(void)
{
	mutex_lock(&list_lock);
	list_for_each (it, &timers)
		wall_was_set(list_entry(it, struct timerfd, link));
	mutex_unlock(&list_lock);
}
