/*
 * inotify.c - watches on files, and the files that what happened is read from.
 *
 *	inotify file ──watches (by number)──▶ watch ◀──watches── vnode
 *	     └──events──▶ event ──▶ event ...                      └── fs.watches counts
 *
 * A watch is one inotify file's interest in one vnode. It holds the vnode, so that the file is the same when
 * it is looked up again; but it neither keeps a deleted file nor a file system: when the last name goes, or
 * the file system, those who watch are told and the watch ends with an event of its own (IGNORED).
 *
 * Whoever changes something calls notify.h, which first asks the count of the file system, then here the mask
 * that the vnode has of all its watches. Events about a file go to the watches of the directory in which it
 * was found too, with the name that it was found by; the directory is the dentry's parent.
 *
 * An event that says the same as the newest one in the queue is dropped; one for which there is no room or no
 * memory is replaced by one OVERFLOW.
 *
 * watch_lock, one spinlock for all, guards watches, queues and users: an event goes from one vnode to many
 * inotify files, and a watch goes when either end does. It is taken only for what is watched.
 *
 * Letters: (W) watch_lock; (C) constant
 */
#include "fs/notify.h"
#include "fs/anon.h"
#include "fs/async.h"
#include "arch/usercopy.h"
#include "lib/rbtree.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"

enum {
	REQUEST_FIONREAD = 0x541b, /* the ABI's */
	WATCHES_MIN = 8192,        /* Linux's bounds for what a user may have */
	WATCHES_MAX = 1048576,
};

/* One user's share. */
struct user {
	struct list link;            /* (W) */
	uint32_t uid;                /* (C) */
	uint32_t instances, watches; /* (W) */
};

struct inotify {
	struct file *file;            /* (C) not counted: it owns this */
	struct user *user;            /* (C) */
	struct rb_tree watches;       /* (W) by number */
	int last_number;              /* (W) */
	struct list events;           /* (W) oldest first */
	uint32_t nevents, max_events; /* (W), (C) */
	uint64_t bytes;               /* (W) that a read of all of them fills */
	bool overflow;                /* (W) the queue has the event that says so */
};

struct watch {
	struct rb_node by_number; /* (W) */
	struct list link;         /* (W) vnode.watches, then a list of those that ended */
	struct inotify *owner;    /* (C) */
	struct vnode *vnode;      /* (C) counted */
	int number;               /* (C) */
	uint32_t mask;            /* (W) events, and NOTIFY_ONESHOT, NOTIFY_EXCL_UNLINK */
};

/* struct inotify_event of the ABI. */
struct event_head {
	int32_t number; /* -1: no watch's */
	uint32_t mask, cookie;
	uint32_t name_size; /* with zeros behind it, a multiple of this structure's size; 0: no name */
};

struct event {
	struct list link; /* (W) */
	struct event_head head;
	size_t len; /* of the name */
	char name[];
};

/* What is to be told. */
struct news {
	uint32_t events, cookie;
	const char *name; /* NULL: none */
	size_t len;
	bool unlinked; /* through an open file whose name was removed */
};

_Atomic uint32_t inotify_max_events = 16384, inotify_max_instances = 128, inotify_max_watches;

static struct spinlock watch_lock = SPINLOCK_INIT("watches", RANK_VNODES);
static struct list users = LIST_INIT(users); /* (W) those who have any */
static _Atomic uint32_t last_cookie;         /* (A) */

/* As on Linux a hundredth of memory is enough for all that one user may watch. */
void inotify_init(void)
{
	uint64_t cost = sizeof(struct watch) + 2 * sizeof(struct vnode);
	uint64_t n = frame_total_count() / 100 * PAGE_SIZE / cost;
	store_relaxed(&inotify_max_watches, (uint32_t)MAX(WATCHES_MIN, MIN(n, WATCHES_MAX)));
}

/* --- events --- */

static uint32_t name_size(size_t len)
{
	return len ? (uint32_t)ALIGN_UP(len + 1, sizeof(struct event_head)) : 0;
}

static size_t event_size(const struct event *e)
{
	return sizeof(e->head) + e->head.name_size;
}

static struct event *event_make(int number, const struct news *n)
{
	struct event *e = kmalloc(sizeof(*e) + n->len);
	if (!e)
		return NULL;
	e->head = (struct event_head){number, n->events, n->cookie, name_size(n->len)};
	e->len = n->len;
	memcpy(e->name, n->name ? n->name : "", n->len);
	return e;
}

static bool says_the_same(const struct event *e, int number, const struct news *n)
{
	return !(e->head.mask & NOTIFY_IGNORED) && e->head.mask == n->events && e->head.number == number &&
	       e->len == n->len && !memcmp(e->name, n->name ? n->name : "", n->len);
}

static void push_locked(struct inotify *in, struct event *e)
{
	list_push_back(&in->events, &e->link);
	in->nevents++;
	in->bytes += event_size(e);
	file_news(in->file, ASYNC_IN);
	kobject_signal(&in->file->object, SIGNAL_READABLE, 0);
}

/* The oldest event, for the caller to free. */
static struct event *pop_locked(struct inotify *in)
{
	struct event *e = list_first(&in->events, struct event, link);
	list_remove(&e->link);
	in->nevents--;
	in->bytes -= event_size(e);
	if (e->head.mask & NOTIFY_OVERFLOW)
		in->overflow = false;
	if (!in->nevents)
		kobject_signal(&in->file->object, 0, SIGNAL_READABLE);
	return e;
}

static void overflow_locked(struct inotify *in)
{
	struct event *e = in->overflow ? NULL : event_make(-1, &(struct news){.events = NOTIFY_OVERFLOW});
	if (!e) /* it is known already; or there is no memory even for this: the next event tries again */
		return;
	in->overflow = true;
	push_locked(in, e);
}

/* In Linux's order: a full queue is looked at before the newest event is. */
static void queue_locked(struct inotify *in, int number, const struct news *n)
{
	if (in->nevents >= in->max_events) {
		overflow_locked(in);
		return;
	}
	if (in->nevents && says_the_same(list_last(&in->events, struct event, link), number, n))
		return;
	struct event *e = event_make(number, n);
	if (e)
		push_locked(in, e);
	else
		overflow_locked(in);
}

/* --- watches --- */

/* What anybody wants to know of v. */
static void update_mask_locked(struct vnode *v)
{
	uint32_t mask = 0;
	list_for_each (it, &v->watches)
		mask |= list_entry(it, struct watch, link)->mask;
	store_relaxed(&v->watched, mask);
}

/* The watch leaves both its ends, with an event that says so, and joins those to be freed. */
static void end_locked(struct watch *w, struct list *ended)
{
	queue_locked(w->owner, w->number, &(struct news){.events = NOTIFY_IGNORED});
	rb_remove(&w->owner->watches, &w->by_number);
	w->owner->user->watches--;
	list_remove(&w->link);
	list_push_back(ended, &w->link);
	fetch_sub_relaxed(&w->vnode->fs->watches, 1);
	update_mask_locked(w->vnode);
}

static void free_ended(struct list *ended)
{
	while (!list_is_empty(ended)) {
		struct watch *w = list_first(ended, struct watch, link);
		list_remove(&w->link);
		vnode_put_watch(w->vnode);
		kfree(w);
	}
}

static void tell_locked(struct watch *w, const struct news *n, struct list *ended)
{
	if (!(w->mask & n->events & NOTIFY_ALL) || (n->unlinked && (w->mask & NOTIFY_EXCL_UNLINK)))
		return;
	queue_locked(w->owner, w->number, n);
	if (w->mask & NOTIFY_ONESHOT)
		end_locked(w, ended);
}

/* The caller holds v. */
static void tell(struct vnode *v, const struct news *n)
{
	struct list ended = LIST_INIT(ended);
	if (!(load_relaxed(&v->watched) & n->events & NOTIFY_ALL))
		return;
	spin_lock(&watch_lock);
	list_for_each_safe (it, &v->watches)
		tell_locked(list_entry(it, struct watch, link), n, &ended);
	spin_unlock(&watch_lock);
	free_ended(&ended);
}

/* That it is a directory is not told of what happens to a watched file's own name, as on Linux. */
static uint32_t dir_bit(const struct vnode *v)
{
	return vnode_is(v, MODE_DIR) ? NOTIFY_IS_DIR : 0;
}

/* Whatever it is that they wait for: these are the last news of v. */
static void tell_last(struct vnode *v, uint32_t event)
{
	struct list ended = LIST_INIT(ended);
	struct news n = {.events = event | (event == NOTIFY_UNMOUNT ? dir_bit(v) : 0)};
	spin_lock(&watch_lock);
	list_for_each_safe (it, &v->watches) {
		struct watch *w = list_entry(it, struct watch, link);
		if (event & (w->mask | NOTIFY_UNMOUNT))
			queue_locked(w->owner, w->number, &n);
		end_locked(w, &ended);
	}
	spin_unlock(&watch_lock);
	free_ended(&ended);
}

/* --- what notify.h calls --- */

/* If the directory of d is watched for this: the directory, with a reference, and the name, which a rename
 * may change as soon as the lock is free. `name` has room for NAME_LEN_MAX bytes. */
static struct vnode *watched_parent(struct dentry *d, uint32_t events, char *name, size_t *len)
{
	struct vnode *dir = NULL;
	spin_lock(&dentry_lock);
	if (d->parent)
		dir = dentry_vnode(d->parent);
	if (dir && (load_relaxed(&dir->watched) & events & NOTIFY_ALL)) {
		vnode_get(dir);
		*len = d->name_len;
		memcpy(name, d->name, d->name_len);
	} else {
		dir = NULL;
	}
	spin_unlock(&dentry_lock);
	return dir;
}

static void tell_parent(struct dentry *d, struct news *n)
{
	char name[NAME_LEN_MAX];
	struct vnode *dir = watched_parent(d, n->events, name, &n->len);
	if (!dir)
		return;
	n->name = name;
	tell(dir, n);
	vnode_put(dir);
	n->name = NULL;
	n->len = 0;
}

void notify_dentry_slow(struct dentry *d, uint32_t events, bool by_file)
{
	struct vnode *v = dentry_vnode(d);
	struct news n = {.events = events | dir_bit(v), .unlinked = by_file && dentry_is_deleted(d)};
	tell_parent(d, &n);
	tell(v, &n);
}

void notify_vnode_slow(struct vnode *v, uint32_t events)
{
	tell(v, &(struct news){.events = events | (events & NOTIFY_MOVE_SELF ? 0 : dir_bit(v))});
}

void notify_name_slow(const struct notify_name *at, const struct vnode *v, uint32_t events, uint32_t cookie)
{
	tell(at->dir, &(struct news){events | dir_bit(v), cookie, at->name, at->len, false});
}

void notify_moved(
    const struct notify_name *from, const struct notify_name *to, struct vnode *v, struct vnode *over)
{
	if (!notify_is_on(v->fs))
		return;
	uint32_t cookie = fetch_add_relaxed(&last_cookie, 1) + 1;
	notify_name_slow(from, v, NOTIFY_MOVED_FROM, cookie);
	notify_name_slow(to, v, NOTIFY_MOVED_TO, cookie);
	if (over)
		notify_vnode_slow(over, NOTIFY_ATTRIB); /* it has one name less */
	notify_vnode_slow(v, NOTIFY_MOVE_SELF);
}

void notify_removed_slow(struct vnode *v)
{
	tell_last(v, NOTIFY_DELETE_SELF);
}

static err_t end_watches_of(struct vnode *v, UNUSED void *arg)
{
	tell_last(v, NOTIFY_UNMOUNT);
	return 0;
}

void notify_unmounted(struct fs *fs)
{
	if (notify_is_on(fs))
		(void)vnode_for_each(fs, end_watches_of, NULL);
}

/* --- the file --- */

/* The next event to read if it fits into `room` bytes. NULL: there is none. -EINVAL: it does not fit. */
static err_t take(struct inotify *in, size_t room, struct event **out)
{
	err_t err = 0;
	*out = NULL;
	spin_lock(&watch_lock);
	if (in->nevents) {
		if (event_size(list_first(&in->events, struct event, link)) > room)
			err = -EINVAL;
		else
			*out = pop_locked(in);
	}
	spin_unlock(&watch_lock);
	return err;
}

static err_t put_event(struct uio *u, const struct event *e)
{
	size_t done;
	err_t err = uio_write(u, &e->head, sizeof(e->head), &done);
	if (!err && e->len)
		err = uio_write(u, e->name, e->len, &done);
	return err || !e->head.name_size ? err : uio_zero(u, e->head.name_size - e->len, &done);
}

/* As many events as fit. An event that cannot be stored is lost, as on Linux. */
static err_t read_events(struct inotify *in, struct uio *u)
{
	struct event *e;
	err_t err = take(in, u->left, &e);
	while (e) {
		err = put_event(u, e);
		kfree(e);
		if (!err)
			err = take(in, u->left, &e);
		if (err)
			break;
	}
	return err;
}

static int64_t inotify_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	size_t before = u->left;
	uint64_t seen;
	for (;;) {
		err_t err = read_events(f->priv, u);
		if (err != -EFAULT && u->left < before)
			return (int64_t)(before - u->left);
		if (!err)
			err = file_is_nonblock(f, u) ? -EAGAIN
						     : kobject_wait(&f->object, SIGNAL_READABLE, NSEC_NEVER,
							   WAIT_INTERRUPTIBLE, &seen);
		if (err)
			return err;
	}
}

static int64_t inotify_ioctl(struct file *f, uint32_t request, uint64_t arg)
{
	struct inotify *in = f->priv;
	if (request != REQUEST_FIONREAD)
		return -ENOTTY;
	spin_lock(&watch_lock);
	int32_t bytes = (int32_t)in->bytes;
	spin_unlock(&watch_lock);
	return copy_to_user(arg, &bytes, sizeof(bytes));
}

/* --- life --- */

static struct user *find_user_locked(uint32_t uid)
{
	list_for_each (it, &users)
		if (list_entry(it, struct user, link)->uid == uid)
			return list_entry(it, struct user, link);
	return NULL;
}

/* One inotify file more for the user. *spare is taken if he has none yet. */
static err_t user_charge(uint32_t uid, struct user **spare, struct user **out)
{
	spin_lock(&watch_lock);
	struct user *u = find_user_locked(uid);
	bool full = (u ? u->instances : 0) >= load_relaxed(&inotify_max_instances);
	if (!full && !u) {
		u = *spare;
		*spare = NULL;
		u->uid = uid;
		list_push_back(&users, &u->link);
	}
	if (!full)
		u->instances++;
	spin_unlock(&watch_lock);
	*out = u;
	return full ? -EMFILE : 0;
}

static void user_release(struct user *u)
{
	spin_lock(&watch_lock);
	bool last = --u->instances == 0;
	if (last)
		list_remove(&u->link);
	spin_unlock(&watch_lock);
	if (last)
		kfree(u);
}

static void free_events(struct inotify *in)
{
	while (!list_is_empty(&in->events)) {
		struct event *e = list_first(&in->events, struct event, link);
		list_remove(&e->link);
		kfree(e);
	}
}

static void inotify_release(struct file *f)
{
	struct inotify *in = f->priv;
	struct list ended = LIST_INIT(ended);
	if (!in)
		return;
	spin_lock(&watch_lock);
	for (struct rb_node *n = rb_first(&in->watches); n; n = rb_first(&in->watches))
		end_locked(rb_entry(n, struct watch, by_number), &ended);
	spin_unlock(&watch_lock);
	free_ended(&ended);
	free_events(in);
	user_release(in->user);
	kfree(in);
}

static uint32_t inotify_async(UNUSED struct file *f)
{
	return ASYNC_NOBODY;
}

static const struct file_ops inotify_file_ops = {
    .async = inotify_async,
    .read = inotify_read,
    .seek = file_seek_nowhere,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
};

bool file_is_inotify(const struct file *f)
{
	return f->ops == &inotify_file_ops;
}

static err_t create_for(struct user *user, unsigned flags, struct file **out)
{
	struct inotify *in = kzalloc(sizeof(*in));
	if (!in)
		return -ENOMEM;
	err_t err = file_create_anonymous(
	    &inotify_file_ops, (flags & FILE_NONBLOCK) | FILE_RDONLY, "anon_inode:inotify", out);
	if (err) {
		kfree(in);
		return err;
	}
	in->user = user;
	in->file = *out;
	in->max_events = load_relaxed(&inotify_max_events);
	list_init(&in->events);
	rb_init(&in->watches, NULL);
	kobject_signal(&(*out)->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	(*out)->priv = in;
	return 0;
}

err_t inotify_create(uint32_t uid, unsigned flags, struct file **out)
{
	struct user *user, *spare = kzalloc(sizeof(*spare));
	if (!spare)
		return -ENOMEM;
	err_t err = user_charge(uid, &spare, &user);
	kfree(spare);
	if (err)
		return err;
	err = create_for(user, flags, out);
	if (err)
		user_release(user);
	return err;
}

/* --- watches by number --- */

static struct watch *find_locked(const struct inotify *in, int number)
{
	struct rb_node *n = in->watches.root;
	while (n) {
		struct watch *w = rb_entry(n, struct watch, by_number);
		if (w->number == number)
			return w;
		n = number < w->number ? n->left : n->right;
	}
	return NULL;
}

static struct watch *find_on_locked(const struct inotify *in, const struct vnode *v)
{
	list_for_each (it, &v->watches)
		if (list_entry(it, struct watch, link)->owner == in)
			return list_entry(it, struct watch, link);
	return NULL;
}

/* Numbers go up and begin again at 1; those in use are left out. */
static void number_locked(struct inotify *in, struct watch *w)
{
	do
		in->last_number = in->last_number == INT32_MAX ? 1 : in->last_number + 1;
	while (find_locked(in, in->last_number));
	w->number = in->last_number;
	struct rb_node **link = &in->watches.root, *parent = NULL;
	while (*link) {
		parent = *link;
		bool less = w->number < rb_entry(parent, struct watch, by_number)->number;
		link = less ? &parent->left : &parent->right;
	}
	rb_insert(&in->watches, &w->by_number, parent, link);
}

static int64_t change_locked(struct watch *w, uint32_t mask)
{
	if (mask & NOTIFY_MASK_CREATE)
		return -EEXIST;
	uint32_t kept = mask & (NOTIFY_ALL | NOTIFY_EXCL_UNLINK | NOTIFY_ONESHOT);
	w->mask = mask & NOTIFY_MASK_ADD ? w->mask | kept : kept;
	update_mask_locked(w->vnode);
	return w->number;
}

/* The new watch w, or a change of the one that is there: then *w is not taken. */
static int64_t add_locked(struct inotify *in, struct vnode *v, uint32_t mask, struct watch **new)
{
	struct watch *w = find_on_locked(in, v);
	if (w)
		return change_locked(w, mask);
	if (in->user->watches >= load_relaxed(&inotify_max_watches))
		return -ENOSPC;
	w = *new;
	*new = NULL;
	in->user->watches++;
	w->owner = in;
	w->vnode = v;
	vnode_get_watch(v);
	list_push_back(&v->watches, &w->link);
	fetch_add_relaxed(&v->fs->watches, 1);
	number_locked(in, w);
	return change_locked(w, mask & ~(uint32_t)NOTIFY_MASK_CREATE);
}

int64_t inotify_add(struct file *f, struct vnode *v, uint32_t mask)
{
	struct watch *w = kzalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	spin_lock(&watch_lock);
	int64_t number = add_locked(f->priv, v, mask, &w);
	spin_unlock(&watch_lock);
	kfree(w);
	return number;
}

err_t inotify_remove(struct file *f, int number)
{
	struct list ended = LIST_INIT(ended);
	spin_lock(&watch_lock);
	struct watch *w = find_locked(f->priv, number);
	if (w)
		end_locked(w, &ended);
	spin_unlock(&watch_lock);
	free_ended(&ended);
	return w ? 0 : -EINVAL;
}

void inotify_for_each(
    struct file *f, void (*fn)(void *arg, int number, const struct vnode *v, uint32_t mask), void *arg)
{
	struct inotify *in = f->priv;
	spin_lock(&watch_lock);
	for (struct rb_node *n = rb_first(&in->watches); n; n = rb_next(n)) {
		struct watch *w = rb_entry(n, struct watch, by_number);
		fn(arg, w->number, w->vnode, w->mask);
	}
	spin_unlock(&watch_lock);
}
