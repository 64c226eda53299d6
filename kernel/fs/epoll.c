/*
 * epoll.c - files that watch files.
 *
 *	epoll file ──items (by file and descriptor)──▶ item ──observes──▶ watched file
 *	      └──ready──▶ items that something happened to
 *
 * An item holds no reference to what it watches: a file is closed when its last descriptor is, watched or
 * not, and then tells its observers that it is gone. An item whose file has news is put on the ready list,
 * under the lock of the epoll file's object, which is taken inside the watched object's: epolls that watch
 * epolls form no circle (-ELOOP), so the order from watched to watcher is one.
 *
 * Whoever waits takes items off the ready list one by one and looks what is so now. What was asked for by
 * level stays on the list while it is so; what was asked for by edge waits for more news.
 *
 * Letters: (K) lock of the epoll file's object; (M) epoll.mutex; (E) kobject_ends; (C) constant
 */
#include "fs/epoll.h"
#include "fs/anon.h"
#include "arch/usercopy.h"
#include "lib/rbtree.h"
#include "mm/slab.h"

enum { EPOLL_DEPTH_MAX = 4 }; /* epolls between two, as on Linux */

struct epoll {
	struct file *file;    /* (C) itself */
	struct mutex mutex;   /* RANK_EPOLL */
	struct rb_tree items; /* (M) struct epoll_item by file, then descriptor */
	struct list ready;    /* (K) struct epoll_item by ready_link */
	struct waitq queue;   /* predicate: ready is not empty, (K) */
	struct list watched;  /* (E) items of this one that watch epolls, by watched_link */
	struct list watchers; /* (E) items of others that watch this one, by watcher_link */
	uint64_t visit;       /* (E) last walk that came here */
	unsigned depth;       /* (E) what that walk found */
};

struct epoll_item {
	struct rb_node node;    /* (M) */
	struct list ready_link; /* (K) on the ready list, or on that of a harvest under way */
	struct observer observer;
	struct epoll *epoll;                    /* (C) */
	struct file *file;                      /* (C) not counted */
	int fd;                                 /* (C) */
	struct epoll_event event;               /* (M) as asked for; only flags are left after a one-shot */
	struct list watched_link, watcher_link; /* (E) if file is an epoll */
};

static uint64_t epoll_walks; /* (E) */

static struct spinlock *ready_lock(struct epoll *ep)
{
	return &ep->file->object.lock;
}

static unsigned item_events(const struct epoll_item *it)
{
	unsigned events = it->event.events & ~EPOLL_FLAGS;
	return events ? events | POLL_ALWAYS : 0;
}

/* What is so now, of what is asked for. */
static unsigned item_look(const struct epoll_item *it)
{
	if (it->file->ops->refresh && it->file->ops != &epoll_file_ops)
		it->file->ops->refresh(it->file);
	return poll_events_of(kobject_signals(&it->file->object)) & item_events(it);
}

/* --- the ready list --- */

static void epoll_notify(struct observer *ob, UNUSED uint64_t now)
{
	struct epoll_item *it = container_of(ob, struct epoll_item, observer);
	struct epoll *ep = it->epoll;
	spin_lock_nested(ready_lock(ep)); /* from watched to watcher: no circles */
	if (list_is_empty(&it->ready_link))
		list_push_back(&ep->ready, &it->ready_link);
	kobject_signal_locked(&ep->file->object, SIGNAL_READABLE, 0);
	waitq_wake_all(&ep->queue);
	spin_unlock(ready_lock(ep));
}

/* The ready list is shorter or longer: tell who watches this epoll. (K) held. */
static void ready_changed_locked(struct epoll *ep)
{
	if (list_is_empty(&ep->ready))
		kobject_signal_locked(&ep->file->object, 0, SIGNAL_READABLE);
	else
		waitq_wake_one(
		    &ep->queue); /* it may have looked while all was on somebody's list, and gone back to sleep */
}

static struct epoll_item *pop(struct epoll *ep, struct list *from)
{
	uint64_t state = spin_lock_irqsave(ready_lock(ep));
	struct epoll_item *it = NULL;
	if (!list_is_empty(from)) {
		it = list_first(from, struct epoll_item, ready_link);
		list_remove(&it->ready_link);
	}
	spin_unlock_irqrestore(ready_lock(ep), state);
	return it;
}

/* Put it on a list unless news has put it on the ready list meanwhile. */
static void push(struct epoll *ep, struct list *to, struct epoll_item *it)
{
	uint64_t state = spin_lock_irqsave(ready_lock(ep));
	if (list_is_empty(&it->ready_link))
		list_push_back(to, &it->ready_link);
	spin_unlock_irqrestore(ready_lock(ep), state);
}

/* Tell one item's events. True: it was told. -EFAULT. */
static err_t tell_item(struct epoll_item *it, uaddr_t to, bool *told)
{
	struct epoll_event e = {item_look(it), it->event.data};
	*told = e.events != 0;
	return *told ? copy_to_user(to, &e, sizeof(e)) : 0;
}

/* Look at all that is ready now and tell up to max of it. What is still to be told, or is asked for by level,
 * stays on the list. */
static int64_t harvest(struct epoll *ep, uaddr_t events, int max)
{
	struct list todo, again;
	struct epoll_item *it;
	int n = 0;
	err_t err = 0;
	list_init(&todo);
	list_init(&again);
	mutex_lock(&ep->mutex);
	uint64_t state = spin_lock_irqsave(ready_lock(ep));
	list_splice_back(&todo, &ep->ready);
	spin_unlock_irqrestore(ready_lock(ep), state);
	while (n < max && !err && (it = pop(ep, &todo))) {
		bool told;
		err = tell_item(it, events + (uint64_t)n * sizeof(struct epoll_event), &told);
		n += told && !err;
		if (err || (told && !(it->event.events & (EPOLL_EDGE | EPOLL_ONESHOT))))
			push(ep, err ? &todo : &again, it);
		else if (told && (it->event.events & EPOLL_ONESHOT))
			it->event.events &= EPOLL_FLAGS;
	}
	state = spin_lock_irqsave(ready_lock(ep));
	list_splice_back(&todo, &ep->ready); /* news comes behind what was not told yet */
	list_splice_back(&todo, &again);
	list_splice_back(&ep->ready, &todo);
	ready_changed_locked(ep);
	spin_unlock_irqrestore(ready_lock(ep), state);
	mutex_unlock(&ep->mutex);
	return n ? n : err;
}

/* Take what is not so any more off the ready list, so that the signals are true. */
static void epoll_refresh(struct file *f)
{
	struct epoll *ep = f->priv;
	struct list keep;
	struct epoll_item *it;
	list_init(&keep);
	mutex_lock(&ep->mutex);
	while ((it = pop(ep, &ep->ready)))
		if (item_look(it))
			push(ep, &keep, it);
	uint64_t state = spin_lock_irqsave(ready_lock(ep));
	list_splice_back(&ep->ready, &keep);
	ready_changed_locked(ep);
	spin_unlock_irqrestore(ready_lock(ep), state);
	mutex_unlock(&ep->mutex);
}

static err_t epoll_sleep(struct epoll *ep, nsec_t deadline)
{
	err_t err = 0;
	uint64_t state = spin_lock_irqsave(ready_lock(ep));
	while (list_is_empty(&ep->ready) && !err)
		err = waitq_sleep_irq(&ep->queue, ready_lock(ep), deadline, WAIT_INTERRUPTIBLE);
	if (!list_is_empty(&ep->ready))
		err = 0;
	spin_unlock_irqrestore(ready_lock(ep), state);
	return err;
}

int64_t epoll_wait_events(struct file *f, uaddr_t events, int max, nsec_t deadline)
{
	struct epoll *ep = f->priv;
	for (;;) {
		int64_t n = harvest(ep, events, max);
		if (n || deadline == 0)
			return n;
		err_t err = epoll_sleep(ep, deadline);
		if (err)
			return err == -ETIMEDOUT ? 0 : err;
	}
}

/* --- items --- */

static int item_compare(const struct epoll_item *it, const struct file *f, int fd)
{
	if (it->file != f)
		return it->file < f ? -1 : 1;
	return (it->fd > fd) - (it->fd < fd);
}

/* The item; NULL: none, and *link and *parent say where it would be. */
static struct epoll_item *find_item(
    struct epoll *ep, const struct file *f, int fd, struct rb_node ***link, struct rb_node **parent)
{
	*link = &ep->items.root;
	*parent = NULL;
	while (**link) {
		struct epoll_item *it = rb_entry(**link, struct epoll_item, node);
		int order = item_compare(it, f, fd);
		if (!order)
			return it;
		*parent = **link;
		*link = order > 0 ? &(**link)->left : &(**link)->right;
	}
	return NULL;
}

static void item_watch(struct epoll_item *it)
{
	kobject_observe(&it->file->object, &it->observer, poll_signals_of(item_events(it)));
	(void)item_look(it); /* files that keep their signals true only while somebody looks begin to */
}

/* (M) held, and (E) if it watches an epoll. */
static void item_free(struct epoll_item *it)
{
	struct epoll *ep = it->epoll;
	kobject_unobserve(&it->observer);
	uint64_t state = spin_lock_irqsave(ready_lock(ep));
	list_remove(&it->ready_link);
	ready_changed_locked(ep);
	spin_unlock_irqrestore(ready_lock(ep), state);
	rb_remove(&ep->items, &it->node);
	list_remove(&it->watched_link);
	list_remove(&it->watcher_link);
	kfree(it);
}

static void epoll_gone(struct observer *ob)
{
	struct epoll_item *it = container_of(ob, struct epoll_item, observer);
	struct epoll *ep = it->epoll;
	mutex_lock(&ep->mutex);
	item_free(it);
	mutex_unlock(&ep->mutex);
}

/* --- epolls that watch epolls: (E) held --- */

/* The longest chain of watchers above ep, or of watched ones below it. */
static unsigned chain_length(struct epoll *ep, bool up, uint64_t walk)
{
	unsigned longest = 0;
	if (ep->visit == walk)
		return ep->depth;
	ep->visit = walk;
	ep->depth = 0;
	struct list *links = up ? &ep->watchers : &ep->watched;
	list_for_each (l, links) {
		struct epoll *next = up ? list_entry(l, struct epoll_item, watcher_link)->epoll
					: list_entry(l, struct epoll_item, watched_link)->file->priv;
		longest = MAX(longest, chain_length(next, up, walk) + 1);
	}
	ep->depth = longest;
	return longest;
}

/* May ep watch `target`, an epoll? Not if that makes a circle, nor too long a chain. */
static err_t check_chain(struct epoll *ep, struct epoll *target)
{
	unsigned below = chain_length(target, false, ++epoll_walks);
	if (ep->visit == epoll_walks) /* the walk down from target came by */
		return -ELOOP;
	return below + chain_length(ep, true, ++epoll_walks) + 1 > EPOLL_DEPTH_MAX ? -ELOOP : 0;
}

/* --- operations --- */

static err_t item_add(struct epoll *ep, struct file *f, int fd, const struct epoll_event *event)
{
	struct rb_node **link, *parent;
	if (find_item(ep, f, fd, &link, &parent))
		return -EEXIST;
	err_t err = file_is_epoll(f) ? check_chain(ep, f->priv) : 0;
	if (err)
		return err;
	struct epoll_item *it = kzalloc(sizeof(*it));
	if (!it)
		return -ENOMEM;
	it->epoll = ep;
	it->file = f;
	it->fd = fd;
	it->event = *event;
	it->observer = (struct observer){.notify = epoll_notify, .gone = epoll_gone};
	list_init(&it->ready_link);
	list_init(&it->watched_link);
	list_init(&it->watcher_link);
	if (file_is_epoll(f)) {
		struct epoll *target = f->priv;
		list_push_back(&ep->watched, &it->watched_link);
		list_push_back(&target->watchers, &it->watcher_link);
	}
	rb_insert(&ep->items, &it->node, parent, link);
	item_watch(it);
	return 0;
}

static err_t item_modify(struct epoll_item *it, const struct epoll_event *event)
{
	if ((it->event.events | event->events) & EPOLL_EXCLUSIVE)
		return -EINVAL;
	kobject_unobserve(&it->observer);
	it->event = *event;
	item_watch(it);
	return 0;
}

static err_t change_locked(
    struct epoll *ep, enum epoll_operation op, struct file *f, int fd, const struct epoll_event *event)
{
	struct rb_node **link, *parent;
	if (op == EPOLL_ADD)
		return item_add(ep, f, fd, event);
	struct epoll_item *it = find_item(ep, f, fd, &link, &parent);
	if (!it)
		return -ENOENT;
	if (op == EPOLL_MODIFY)
		return item_modify(it, event);
	item_free(it);
	return 0;
}

/* What is always ready has nothing to wait for. */
static bool can_be_watched(const struct file *f)
{
	switch (file_type(f)) {
	case MODE_REG:
	case MODE_DIR:
	case MODE_BLOCK:
		return false;
	default:
		return true;
	}
}

err_t epoll_change(
    struct file *f, enum epoll_operation op, struct file *target, int fd, const struct epoll_event *event)
{
	struct epoll *ep = f->priv;
	bool nested = file_is_epoll(target);
	if (!can_be_watched(target))
		return -EPERM;
	if (target == f)
		return -EINVAL;
	if (nested)
		mutex_lock(&kobject_ends);
	mutex_lock(&ep->mutex);
	err_t err = change_locked(ep, op, target, fd, event);
	mutex_unlock(&ep->mutex);
	if (nested)
		mutex_unlock(&kobject_ends);
	return err;
}

/* --- the file --- */

static void epoll_release(struct file *f)
{
	struct epoll *ep = f->priv;
	struct rb_node *node;
	mutex_lock(&kobject_ends);
	mutex_lock(&ep->mutex);
	while ((node = rb_first(&ep->items)))
		item_free(rb_entry(node, struct epoll_item, node));
	mutex_unlock(&ep->mutex);
	mutex_unlock(&kobject_ends);
	kfree(ep);
}

const struct file_ops epoll_file_ops = {
    .seek = file_seek_nowhere, .release = epoll_release, .refresh = epoll_refresh};

err_t epoll_create_file(struct file **out)
{
	struct epoll *ep = kzalloc(sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	err_t err = file_create_anonymous(&epoll_file_ops, FILE_RDWR, "anon_inode:[eventpoll]", out);
	if (err) {
		kfree(ep);
		return err;
	}
	struct file *f = *out;
	f->priv = ep;
	ep->file = f;
	mutex_init(&ep->mutex, "epoll", RANK_EPOLL);
	rb_init(&ep->items, NULL);
	list_init(&ep->ready);
	list_init(&ep->watched);
	list_init(&ep->watchers);
	waitq_init(&ep->queue);
	kobject_signal(&f->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	return 0;
}
