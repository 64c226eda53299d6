/*
 * object_wait.c - waiting for signals of any of many objects: what poll is for events, with levels of all 64
 * signals and an end when a descriptor is closed.
 *
 * A close empties the slot, then tells the object's observers. A waiter begins to observe, then looks whether
 * the slot still names the object. So whichever comes second sees the other.
 */
#include "fs/object_wait.h"

struct wait_set {
	struct spinlock lock; /* RANK_KOBJECT, taken inside the object's; nobody locks an object under it */
	struct waitq queue;
	bool fired;               /* lock: something happened since the last look */
	struct desc_table *table; /* constant */
};

static void fire(struct wait_set *set)
{
	spin_lock_nested(&set->lock);
	set->fired = true;
	waitq_wake_all(&set->queue);
	spin_unlock(&set->lock);
}

static void item_notify(struct observer *ob, UNUSED uint64_t now)
{
	fire(container_of(ob, struct wait_item, observer)->set);
}

static void item_closed(struct observer *ob, const struct desc_table *t, int fd)
{
	struct wait_item *it = container_of(ob, struct wait_item, observer);
	if (t != it->set->table || fd != it->fd)
		return;
	__atomic_store_n(&it->error, -ECANCELED, __ATOMIC_RELAXED); /* `fired` orders it */
	fire(it->set);
}

static uint64_t item_mask(const struct wait_item *it)
{
	return it->mask | SIGNAL_DEAD;
}

/* Bring the results up to date: how many have a signal, or -ECANCELED. */
static int64_t look(struct wait_item *items, unsigned n)
{
	int64_t found = 0;
	err_t err = 0;
	for (unsigned i = 0; i < n; i++) {
		struct wait_item *it = &items[i];
		it->signals = file_signals(it->file);
		found += (it->signals & item_mask(it)) != 0;
		if (__atomic_load_n(&it->error, __ATOMIC_RELAXED))
			err = -ECANCELED;
	}
	return err ? err : found;
}

static void observe(struct wait_set *set, struct wait_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct wait_item *it = &items[i];
		struct kobject *o = &it->file->object;
		it->set = set;
		it->observer = (struct observer){.notify = item_notify, .closed = item_closed};
		kobject_observe(o, &it->observer, item_mask(it));
		if (!desc_names(set->table, it->fd, o))
			__atomic_store_n(&it->error, -ECANCELED, __ATOMIC_RELAXED);
	}
}

static err_t sleep(struct wait_set *set, nsec_t deadline)
{
	err_t err = 0;
	uint64_t state = spin_lock_irqsave(&set->lock);
	while (!set->fired && !err)
		err = waitq_sleep_irq(&set->queue, &set->lock, deadline, WAIT_INTERRUPTIBLE);
	if (set->fired)
		err = 0;
	set->fired = false;
	spin_unlock_irqrestore(&set->lock, state);
	return err;
}

int64_t object_wait_any(struct wait_item *items, unsigned n, struct desc_table *t, nsec_t deadline)
{
	struct wait_set set = {.table = t};
	for (unsigned i = 0; i < n; i++)
		items[i].error = 0;
	int64_t found = look(items, n);
	err_t err = 0;
	if (found || deadline == 0)
		return found ? found : -ETIMEDOUT;
	spin_init(&set.lock, "object_wait", RANK_KOBJECT);
	waitq_init(&set.queue);
	observe(&set, items, n);
	for (found = look(items, n); !found && !err; found = look(items, n))
		err = sleep(&set, deadline);
	for (unsigned i = 0; i < n; i++)
		kobject_unobserve(&items[i].observer);
	return found ? found : err;
}
