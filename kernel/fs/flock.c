/*
 * flock.c - advisory locks on files.
 *
 *	vnode (or anonymous file) ──▶ lock_list ── ranges, by first byte
 *	                                        ── wholes
 *
 * Ranges are fcntl's: their owner is a table of descriptors (F_SETLK) or an open file (F_OFD_SETLK). Wholes
 * are flock's: their owner is an open file.
 *
 * Locks of one owner never overlap, and those of one type never touch: setting a range cuts what it covers
 * out of the owner's locks, joins what it touches, and is put in as one. That takes at most two new locks
 * (the range itself, and the rear half of one that is cut in two), which are allocated before anything is
 * changed.
 *
 * Whoever is in the way is waited for on the file's queue; every change that may help wakes all, and they
 * look again. A waiter for a range notes whose lock it waits for. Before an owner waits, the chain of these
 * notes is followed from the lock in the way: if it comes back to the owner, nobody would ever go on:
 * -EDEADLK. The chain is followed for DEADLOCK_DEPTH steps, like on Linux. Open files as owners are not part
 * of it: any process may unlock for them.
 *
 * One spinlock guards all of it: locks are few, and held for a walk of one file's list.
 */
#include "fs/flock.h"
#include "mm/slab.h"

enum { DEADLOCK_DEPTH = 10 };

/* (L) locks_lock */
struct file_lock {
	struct list link; /* (L) */
	struct lock_range range;
};

struct lock_list {
	struct list link;           /* (L) in `lists` */
	struct list ranges, wholes; /* (L) */
	struct waitq wait;          /* predicate under (L) */
	uint64_t dev, ino;          /* (C) of the file */
};

/* (C) while it waits */
struct lock_waiter {
	struct list link;              /* (L) in `waiters` */
	const struct list *locks;      /* (C) among which the one that it waits for is */
	const struct lock_list *at;    /* (C) the file's */
	const struct lock_range *want; /* (C) */
	const void *in_the_way;        /* (L) owner of the lock that it waits for; NULL: it was woken */
};

static struct spinlock locks_lock = SPINLOCK_INIT("file locks", RANK_SERVICE); /* (L) */
static struct list lists = LIST_INIT(lists);     /* (L) of all files that have one */
static struct list waiters = LIST_INIT(waiters); /* (L) */
static _Atomic uint64_t nlocks;

/* --- lists --- */

static _Atomic uintptr_t *place_of(struct file *f)
{
	return &f->vnode->locks;
}

static struct lock_list *list_of(struct file *f)
{
	return (struct lock_list *)load_acquire(place_of(f));
}

/* The file's list, made if it has none. NULL: no memory. */
static struct lock_list *need_list(struct file *f)
{
	uintptr_t none = 0;
	struct lock_list *l = list_of(f);
	if (l)
		return l;
	l = kzalloc(sizeof(*l));
	if (!l)
		return NULL;
	list_init(&l->ranges);
	list_init(&l->wholes);
	waitq_init(&l->wait);
	l->dev = f->vnode->fs->dev;
	l->ino = f->vnode->ino;
	spin_lock(&locks_lock);
	bool mine = cas_acq_rel(place_of(f), &none, (uintptr_t)l);
	if (mine)
		list_push_back(&lists, &l->link);
	spin_unlock(&locks_lock);
	if (mine)
		return l;
	kfree(l); /* another thread was faster */
	return (struct lock_list *)none;
}

void lock_free_list(_Atomic uintptr_t *place)
{
	struct lock_list *l = (struct lock_list *)load_acquire(place);
	if (!l)
		return;
	ASSERT(list_is_empty(&l->ranges) && list_is_empty(&l->wholes) && waitq_is_empty(&l->wait));
	spin_lock(&locks_lock);
	list_remove(&l->link);
	spin_unlock(&locks_lock);
	kfree(l);
	store_relaxed(place, 0);
}

uint64_t lock_count(void)
{
	return load_relaxed(&nlocks);
}

static struct file_lock *lock_of(struct list *it)
{
	return list_entry(it, struct file_lock, link);
}

static struct file_lock *take_spare(struct list *spares)
{
	struct file_lock *l = list_first(spares, struct file_lock, link);
	list_remove(&l->link);
	return l;
}

static void drop_spares(struct list *spares)
{
	list_for_each_safe (it, spares) {
		list_remove(it);
		kfree(lock_of(it));
		fetch_sub_relaxed(&nlocks, 1);
	}
}

static err_t fill_spares(struct list *spares, unsigned n)
{
	while (n--) {
		struct file_lock *l = kzalloc(sizeof(*l));
		if (!l) {
			drop_spares(spares);
			return -ENOLCK;
		}
		fetch_add_relaxed(&nlocks, 1);
		list_push_back(spares, &l->link);
	}
	return 0;
}

/* --- ranges --- */

static bool overlap(const struct lock_range *a, const struct lock_range *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static bool touch(const struct lock_range *a, const struct lock_range *b)
{
	return overlap(a, b) || a->last + 1 == b->first || b->last + 1 == a->first;
}

static bool conflict(const struct lock_range *has, const struct lock_range *want)
{
	return has->owner != want->owner && overlap(has, want) &&
	       (has->type == LOCK_EXCLUSIVE || want->type == LOCK_EXCLUSIVE);
}

static struct file_lock *find_conflict_locked(struct list *locks, const struct lock_range *want)
{
	if (want->type == LOCK_NONE)
		return NULL;
	list_for_each (it, locks)
		if (conflict(&lock_of(it)->range, want))
			return lock_of(it);
	return NULL;
}

static void insert_sorted(struct list *locks, struct file_lock *l)
{
	struct list *at = locks->next;
	while (at != locks && lock_of(at)->range.first <= l->range.first)
		at = at->next;
	list_insert_between(&l->link, at->prev, at);
}

/* Cut `want` out of l, which it overlaps; what is left over goes to the spares. */
static void cut(struct list *locks, struct file_lock *l, const struct lock_range *want, struct list *spares)
{
	bool front = l->range.first<want->first, rear = l->range.last> want->last;
	if (front && rear) {
		struct file_lock *second = take_spare(spares);
		second->range = l->range;
		second->range.first = want->last + 1;
		l->range.last = want->first - 1;
		insert_sorted(locks, second);
	} else if (front) {
		l->range.last = want->first - 1;
	} else if (rear) {
		list_remove(&l->link);
		l->range.first = want->last + 1;
		insert_sorted(locks, l);
	} else {
		list_remove(&l->link);
		list_push_back(spares, &l->link);
	}
}

/* Make the owner's locks under *want what it says. spares: as many as it takes, and afterwards what is to be
 * freed. */
static void apply_range(struct list *locks, const struct lock_range *want, struct list *spares)
{
	struct lock_range whole = *want;
	list_for_each_safe (it, locks) {
		struct file_lock *l = lock_of(it);
		if (l->range.owner != want->owner)
			continue;
		if (l->range.type == want->type && touch(&l->range, want)) {
			whole.first = MIN(whole.first, l->range.first);
			whole.last = MAX(whole.last, l->range.last);
			list_remove(&l->link);
			list_push_back(spares, &l->link);
		} else if (overlap(&l->range, want)) {
			cut(locks, l, want, spares);
		}
	}
	if (want->type == LOCK_NONE)
		return;
	struct file_lock *new = take_spare(spares);
	new->range = whole;
	insert_sorted(locks, new);
}

/* --- waiting --- */

static void wake_all(struct lock_list *l)
{
	list_for_each (it, &waiters) {
		struct lock_waiter *w = list_entry(it, struct lock_waiter, link);
		if (w->at == l)
			w->in_the_way = NULL;
	}
	waitq_wake_all(&l->wait);
}

/* Whose lock does this owner wait for? NULL: none. */
static const void *waits_for(const void *owner)
{
	list_for_each (it, &waiters) {
		const struct lock_waiter *w = list_entry(it, struct lock_waiter, link);
		if (w->want->owner == owner && w->in_the_way && !w->want->of_file)
			return w->in_the_way;
	}
	return NULL;
}

static bool would_deadlock(const struct lock_range *want, const struct file_lock *in_the_way)
{
	const void *owner = in_the_way->range.owner;
	for (unsigned i = 0; owner && !want->of_file && i < DEADLOCK_DEPTH; i++) {
		if (owner == want->owner)
			return true;
		owner = waits_for(owner);
	}
	return false;
}

/* Sleep once because of a lock among `locks`. Locked, but not while asleep. */
static err_t wait_for(struct lock_list *l, const struct list *locks, const struct lock_range *want,
    const struct file_lock *in_the_way)
{
	struct lock_waiter w = {.locks = locks, .at = l, .want = want, .in_the_way = in_the_way->range.owner};
	list_push_back(&waiters, &w.link);
	err_t err = waitq_sleep(&l->wait, &locks_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
	list_remove(&w.link);
	return err;
}

/* Wait until nothing is in the way any more. Locked. */
static err_t make_way(struct lock_list *l, struct list *locks, const struct lock_range *want, bool wait)
{
	struct file_lock *other;
	err_t err = 0;
	while (!err && (other = find_conflict_locked(locks, want))) {
		if (!wait)
			err = -EAGAIN;
		else if (would_deadlock(want, other))
			err = -EDEADLK;
		else
			err = wait_for(l, locks, want, other);
	}
	return err;
}

/* --- fcntl --- */

err_t lock_range(struct file *f, const struct lock_range *want, bool wait)
{
	struct list spares = LIST_INIT(spares);
	struct lock_list *l = want->type == LOCK_NONE ? list_of(f) : need_list(f);
	if (!l)
		return want->type == LOCK_NONE ? 0 : -ENOLCK;
	bool everything = want->type == LOCK_NONE && want->first == 0 && want->last == INT64_MAX;
	err_t err = everything ? 0 : fill_spares(&spares, 2);
	if (err)
		return err;
	spin_lock(&locks_lock);
	err = make_way(l, &l->ranges, want, wait);
	if (!err) {
		apply_range(&l->ranges, want, &spares);
		if (want->type != LOCK_EXCLUSIVE)
			wake_all(l);
	}
	spin_unlock(&locks_lock);
	drop_spares(&spares);
	return err;
}

bool lock_find_conflict(struct file *f, const struct lock_range *want, struct lock_range *found)
{
	struct lock_list *l = list_of(f);
	if (!l)
		return false;
	spin_lock(&locks_lock);
	struct file_lock *other = find_conflict_locked(&l->ranges, want);
	if (other)
		*found = other->range;
	spin_unlock(&locks_lock);
	return other != NULL;
}

void lock_drop_owner(struct file *f, const struct desc_table *owner)
{
	struct list spares = LIST_INIT(spares);
	struct lock_list *l = list_of(f);
	spin_lock(&locks_lock);
	apply_range(&l->ranges, &(struct lock_range){.last = INT64_MAX, .owner = owner}, &spares);
	if (!list_is_empty(&spares))
		wake_all(l);
	spin_unlock(&locks_lock);
	drop_spares(&spares);
}

/* --- flock --- */

/* f's lock on the whole file goes to `to`, if it has one of another type than `keep`. True: it has one of
 * that type. Locked. */
static bool take_whole(struct lock_list *l, const struct file *f, enum lock_type keep, struct list *to)
{
	list_for_each (it, &l->wholes) {
		if (lock_of(it)->range.owner != f)
			continue;
		if (lock_of(it)->range.type == keep)
			return true;
		list_remove(it);
		list_push_back(to, it);
		wake_all(l);
		break;
	}
	return false;
}

err_t lock_whole(struct file *f, enum lock_type type, uint32_t pid, bool wait)
{
	struct list spares = LIST_INIT(spares);
	struct lock_range want = {.type = type, .last = INT64_MAX, .owner = f, .of_file = true, .pid = pid};
	struct lock_list *l = type == LOCK_NONE ? list_of(f) : need_list(f);
	if (!l)
		return type == LOCK_NONE ? 0 : -ENOLCK;
	err_t err = type == LOCK_NONE ? 0 : fill_spares(&spares, 1);
	if (err)
		return err;
	spin_lock(&locks_lock);
	bool has = take_whole(l, f, type, &spares);
	if (!has)
		err = make_way(l, &l->wholes, &want, wait);
	/* While it slept, another thread may have locked by the same file. */
	if (!has && !err && type != LOCK_NONE && !take_whole(l, f, type, &spares)) {
		struct file_lock *new = take_spare(&spares);
		new->range = want;
		list_push_back(&l->wholes, &new->link);
	}
	spin_unlock(&locks_lock);
	drop_spares(&spares);
	return err;
}

void lock_release_file(struct file *f)
{
	struct list spares = LIST_INIT(spares);
	struct lock_list *l = list_of(f);
	if (!l)
		return;
	spin_lock(&locks_lock);
	(void)take_whole(l, f, LOCK_NONE, &spares);
	apply_range(&l->ranges, &(struct lock_range){.last = INT64_MAX, .owner = f}, &spares);
	if (!list_is_empty(&spares))
		wake_all(l);
	spin_unlock(&locks_lock);
	drop_spares(&spares);
}

/* --- what there is --- */

struct snapshot {
	struct lock_view *out;
	size_t room, count;
};

static void note(struct snapshot *s, const struct lock_view *v)
{
	if (s->count++ < s->room)
		s->out[s->count - 1] = *v;
}

/* The locks of one of a file's lists, each followed by those who wait for it. Locked. */
static void note_locks(struct snapshot *s, const struct lock_list *l, struct list *locks)
{
	struct lock_view v = {.whole = locks == &l->wholes, .dev = l->dev, .ino = l->ino};
	list_for_each (it, locks) {
		v.range = lock_of(it)->range;
		v.waits = false;
		note(s, &v);
		list_for_each (at, &waiters) {
			const struct lock_waiter *w = list_entry(at, struct lock_waiter, link);
			if (w->locks != locks || find_conflict_locked(locks, w->want) != lock_of(it))
				continue;
			v.range = *w->want;
			v.waits = true;
			note(s, &v);
		}
	}
}

size_t lock_snapshot(struct lock_view *out, size_t room)
{
	struct snapshot s = {out, room, 0};
	spin_lock(&locks_lock);
	list_for_each (it, &lists) {
		struct lock_list *l = list_entry(it, struct lock_list, link);
		note_locks(&s, l, &l->ranges);
		note_locks(&s, l, &l->wholes);
	}
	spin_unlock(&locks_lock);
	return s.count;
}
