/*
 * object_wait.c - waiting for signals of any of many objects: what poll is for events, with levels of all 64
 * signals and an end when a descriptor is closed.
 *
 * A close empties the slot, then tells the object's observers. A waiter begins to observe, then looks whether
 * the slot still names the object. So whichever comes second sees the other.
 */
#include "fs/object_wait.h"
#include "object/bell.h"

struct wait_set {
	struct bell bell;
	struct desc_table *table; /* constant */
};

static void item_notify(struct observer *ob, UNUSED uint64_t now)
{
	bell_ring(&container_of(ob, struct wait_item, observer)->set->bell);
}

static void item_closed(struct observer *ob, const struct desc_table *t, int fd)
{
	struct wait_item *it = container_of(ob, struct wait_item, observer);
	if (t != it->set->table || fd != it->fd)
		return;
	__atomic_store_n(&it->error, -ECANCELED, __ATOMIC_RELAXED); /* the bell orders it */
	bell_ring(&it->set->bell);
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

int64_t object_wait_any(struct wait_item *items, unsigned n, struct desc_table *t, nsec_t deadline)
{
	struct wait_set set = {.table = t};
	for (unsigned i = 0; i < n; i++)
		items[i].error = 0;
	int64_t found = look(items, n);
	err_t err = 0;
	if (found || deadline == 0)
		return found ? found : -ETIMEDOUT;
	bell_init(&set.bell, "object_wait");
	observe(&set, items, n);
	for (found = look(items, n); !found && !err; found = look(items, n))
		err = bell_wait(&set.bell, deadline);
	for (unsigned i = 0; i < n; i++)
		kobject_unobserve(&items[i].observer);
	return found ? found : err;
}
