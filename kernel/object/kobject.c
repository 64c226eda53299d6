/*
 * kobject.c - life and signals of kernel objects.
 *
 * Signals are level state under the object's lock. Setting one tells every observer whose mask has it, also
 * if it was set already: more data in a pipe that was readable is news to an edge-triggered poll. Whoever
 * sleeps tests the level under the same lock before it does, so no signal is missed.
 */
#include "object/kobject.h"

static _Atomic uint64_t last_koid;
struct mutex kobject_ends;

void kobject_start(void)
{
	mutex_init(&kobject_ends, "ends of objects", RANK_EPOLLS);
}

void kobject_init(struct kobject *o, const struct kobject_ops *ops, uint64_t signals)
{
	ASSERT(ops->type < KO_TYPES && ops->destroy);
	o->ops = ops;
	ref_init(&o->refs);
	store_relaxed(&o->descs, 0);
	o->koid = fetch_add_relaxed(&last_koid, 1) + 1;
	spin_init(&o->lock, ops->name, RANK_KOBJECT);
	store_relaxed(&o->signals, signals);
	list_init(&o->observers);
}

void kobject_renew(struct kobject *o, uint64_t signals)
{
	o->koid = fetch_add_relaxed(&last_koid, 1) + 1;
	store_relaxed(&o->signals, signals);
}

/* The first observer, who removes itself when it is told. */
static struct observer *first_observer(struct kobject *o)
{
	uint64_t state = spin_lock_irqsave(&o->lock);
	struct observer *ob =
	    list_is_empty(&o->observers) ? NULL : list_first(&o->observers, struct observer, link);
	spin_unlock_irqrestore(&o->lock, state);
	return ob;
}

/* Observers without a reference hear that o is gone. `ends` is held, so that none of them ends itself between
 * being found and being told. */
static void tell_end(struct kobject *o)
{
	struct observer *ob;
	if (!first_observer(o))
		return;
	mutex_lock(&kobject_ends);
	while ((ob = first_observer(o)))
		ob->gone(ob);
	mutex_unlock(&kobject_ends);
}

void kobject_end(struct kobject *o)
{
	tell_end(o);
	ASSERT(load_relaxed(&o->descs) == 0 && list_is_empty(&o->observers));
	o->ops->destroy(o);
}

err_t kobject_desc_put(struct kobject *o)
{
	err_t err = 0;
	uint32_t old = fetch_sub_acq_rel(&o->descs, 1);
	ASSERT(old != 0);
	if (old == 1 && o->ops->on_no_descriptors)
		err = o->ops->on_no_descriptors(o);
	kobject_put(o);
	return err;
}

void kobject_signal_locked(struct kobject *o, uint64_t set, uint64_t clear)
{
	ASSERT_HELD(&o->lock);
	uint64_t now = (load_relaxed(&o->signals) & ~clear) | set;
	store_release(&o->signals, now);
	list_for_each_safe (it, &o->observers) {
		struct observer *ob = list_entry(it, struct observer, link);
		if (ob->mask & set)
			ob->notify(ob, now);
	}
}

void kobject_signal(struct kobject *o, uint64_t set, uint64_t clear)
{
	uint64_t state = spin_lock_irqsave(&o->lock);
	kobject_signal_locked(o, set, clear);
	spin_unlock_irqrestore(&o->lock, state);
}

void kobject_tell_closed(struct kobject *o, const struct desc_table *t, int fd)
{
	uint64_t state = spin_lock_irqsave(&o->lock);
	list_for_each_safe (it, &o->observers) {
		struct observer *ob = list_entry(it, struct observer, link);
		if (ob->closed)
			ob->closed(ob, t, fd);
	}
	spin_unlock_irqrestore(&o->lock, state);
}

void kobject_observe(struct kobject *o, struct observer *ob, uint64_t mask)
{
	ob->object = o;
	ob->mask = mask;
	uint64_t state = spin_lock_irqsave(&o->lock);
	list_push_back(&o->observers, &ob->link);
	if (kobject_signals(o) & mask)
		ob->notify(ob, kobject_signals(o));
	spin_unlock_irqrestore(&o->lock, state);
}

void kobject_unobserve(struct observer *ob)
{
	uint64_t state = spin_lock_irqsave(&ob->object->lock);
	list_remove(&ob->link);
	spin_unlock_irqrestore(&ob->object->lock, state);
}

struct waiter {
	struct observer observer;
	struct waitq queue; /* its predicate is guarded by the object's lock */
};

static void wake_waiter(struct observer *ob, UNUSED uint64_t now)
{
	waitq_wake_all(&container_of(ob, struct waiter, observer)->queue);
}

err_t kobject_wait(struct kobject *o, uint64_t mask, nsec_t deadline, unsigned wait_flags, uint64_t *seen)
{
	struct waiter w = {.observer = {.object = o, .mask = mask, .notify = wake_waiter}};
	err_t err = 0;
	waitq_init(&w.queue);
	uint64_t state = spin_lock_irqsave(&o->lock);
	list_push_back(&o->observers, &w.observer.link);
	while (!err && !(kobject_signals(o) & mask))
		err = waitq_sleep_irq(&w.queue, &o->lock, deadline, wait_flags);
	*seen = kobject_signals(o);
	list_remove(&w.observer.link);
	spin_unlock_irqrestore(&o->lock, state);
	return *seen & mask ? 0 : err;
}
