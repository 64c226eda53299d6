/*
 * unix_socket.c - local sockets: life, names, connections.
 *
 *	file ──▶ unix_socket ──peer──▶ unix_socket        streams and packets: each is the other's peer
 *	               │                                  datagrams: peer is where they go without a name
 *	               ├ queue: messages that others sent to it
 *	               └ embryos: the accepting side of connections that were made and not accepted yet
 *
 * A connection is whole as soon as connect(2) has put the embryo into the queue of the listener: the client
 * may send at once.
 *
 * One spinlock guards all sockets: what is done under it are a few pointers. Bytes are copied outside: a
 * sender makes its message first, and readers hold the socket's iolock, so that a message stays at the head
 * of the queue while it is copied.
 *
 * A peer pointer counts, but a socket whose file is gone is dead: nothing is sent to it, and its queue is
 * gone. The peer of a dead stream keeps it for its name.
 *
 * Files in messages hold the references of descriptors. Sockets that lie in each other's queues and nowhere
 * else are looked for: unix_flight.c.
 */
#include "fs/unix_priv.h"
#include "fs/anon.h"
#include "arch/clock.h"
#include "fs/mount.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

struct spinlock unix_lock = SPINLOCK_INIT("sockets", RANK_SERVICE);
static struct list names = LIST_INIT(names); /* (U) */
static struct slab_cache *socket_cache;
static uint32_t next_free_name; /* (U) */

void socket_init(void)
{
	socket_cache = slab_cache_create("socket", sizeof(struct unix_socket), 0);
	ASSERT(socket_cache);
}

size_t socket_size(void)
{
	return sizeof(struct unix_socket);
}

/* --- signals --- */

bool socket_is_full_locked(const struct unix_socket *s)
{
	return s->type == SOCKET_DGRAM ? s->nmessages > SOCKET_DATAGRAMS : s->queued >= SOCKET_BUFFER;
}

static bool is_writable(const struct unix_socket *s)
{
	const struct unix_socket *p = s->peer;
	if (s->state == SOCKET_LISTENING)
		return false;
	if (!p || p->dead || s->shut_out)
		return true;
	return s->type == SOCKET_DGRAM ? p->peer != s || !socket_is_full_locked(p)
				       : p->queued * 4 <= SOCKET_BUFFER;
}

static uint64_t level_of(const struct unix_socket *s)
{
	uint64_t now = 0;
	if (!list_is_empty(&s->queue) || !list_is_empty(&s->embryos) || s->shut_in)
		now |= SIGNAL_READABLE;
	if (is_writable(s))
		now |= SIGNAL_WRITABLE;
	if (s->shut_in)
		now |= SIGNAL_READ_CLOSED;
	if ((s->shut_in && s->shut_out) || (is_connected_type(s) && s->state == SOCKET_IDLE))
		now |= SIGNAL_PEER_CLOSED;
	if (s->error)
		now |= SIGNAL_ERROR;
	if (s->closing ||
	    (s->state == SOCKET_LISTENING ? s->nembryos <= s->backlog : !socket_is_full_locked(s)))
		now |= SIGNAL_ROOM;
	return now;
}

void socket_news_locked(struct unix_socket *s, enum async_reason reason)
{
	ASSERT_HELD(&unix_lock);
	if (s->file)
		file_news(s->file, reason);
}

void socket_tell_locked(struct unix_socket *s)
{
	ASSERT_HELD(&unix_lock);
	if (!s->file)
		return;
	uint64_t now = level_of(s);
	if (now & ~kobject_signals(&s->file->object) & SIGNAL_WRITABLE)
		file_news(s->file, ASYNC_OUT);
	kobject_signal(&s->file->object, now, SOCKET_LEVELS & ~now);
}

nsec_t socket_deadline(nsec_t timeout)
{
	return timeout ? clock_now() + timeout : NSEC_NEVER;
}

err_t socket_wait(struct file *f, struct file *wait_at, uint64_t signals, bool nonblock, nsec_t deadline)
{
	uint64_t seen;
	if (nonblock || (load_relaxed(&f->flags) & FILE_NONBLOCK))
		return -EAGAIN;
	err_t err = kobject_wait(&wait_at->object, signals, deadline, WAIT_INTERRUPTIBLE, &seen);
	return err == -ETIMEDOUT ? -EAGAIN : err;
}

/* --- life --- */

static struct unix_socket *alloc_socket(enum socket_type type, const struct socket_ids *ids)
{
	struct unix_socket *s = slab_zalloc(socket_cache);
	if (!s)
		return NULL;
	ref_init(&s->refs);
	s->type = type;
	s->ids = *ids;
	list_init(&s->queue);
	list_init(&s->embryos);
	list_init(&s->name_link);
	list_init(&s->flight_link);
	mutex_init(&s->iolock, "socket", RANK_CHANNEL);
	socket_list_add(s);
	return s;
}

void socket_put(struct unix_socket *s)
{
	if (!ref_put(&s->refs))
		return;
	ASSERT(list_is_empty(&s->queue) && list_is_empty(&s->embryos) && !s->peer);
	if (!s->dead) { /* it never came to life */
		spin_lock(&unix_lock);
		socket_list_remove_locked(s);
		spin_unlock(&unix_lock);
	}
	slab_free(socket_cache, s);
}

/* Give s its file. */
static err_t make_file(struct unix_socket *s, unsigned flags, struct file **out)
{
	struct vnode *v;
	err_t err = anon_vnode_create(ANON_SOCKET, MODE_SOCK | 0777, &v);
	if (err)
		return err;
	err = file_create_on(
	    &socket_file_ops, (flags & FILE_NONBLOCK) | FILE_RDWR | FILE_STREAM, v, "socket", out);
	vnode_put(v); /* the file has it */
	if (err)
		return err;
	struct file *f = *out;
	f->priv = s;
	spin_lock(&unix_lock);
	s->file = f;
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
	return 0;
}

err_t socket_create(enum socket_type type, unsigned flags, const struct socket_ids *ids, struct file **out)
{
	struct unix_socket *s = alloc_socket(type, ids);
	if (!s)
		return -ENOMEM;
	err_t err = make_file(s, flags, out);
	if (err)
		socket_put(s);
	return err;
}

bool file_is_socket(const struct file *f)
{
	return f->ops == &socket_file_ops;
}

/* Two become each other's peers. Locked. */
static void join(struct unix_socket *a, struct unix_socket *b)
{
	ref_get(&a->refs);
	ref_get(&b->refs);
	a->peer = b;
	b->peer = a;
	a->peer_ids = b->ids;
	b->peer_ids = a->ids;
	a->state = b->state = SOCKET_CONNECTED;
}

err_t socket_pair(enum socket_type type, unsigned flags, const struct socket_ids *ids, struct file *out[2])
{
	err_t err = socket_create(type, flags, ids, &out[0]);
	if (err)
		return err;
	err = socket_create(type, flags, ids, &out[1]);
	if (err) {
		file_put(out[0]);
		return err;
	}
	spin_lock(&unix_lock);
	join(socket_of(out[0]), socket_of(out[1]));
	socket_tell_locked(socket_of(out[0]));
	socket_tell_locked(socket_of(out[1]));
	spin_unlock(&unix_lock);
	return 0;
}

/* --- the end --- */

/* What is left of sockets that ended, to be let go without the lock. */
struct remains {
	struct list messages;
};

/* s is nobody's any more. Its peer, which is left in *peer with the reference, learns of it. Locked. */
static void end_locked(struct unix_socket *s, struct remains *r, bool unread, struct unix_socket **peer)
{
	struct unix_socket *p = s->peer;
	unread |= !list_is_empty(&s->queue);
	s->dead = true;
	socket_list_remove_locked(s);
	s->file = NULL;
	s->peer = NULL;
	*peer = p;
	flight_empty_locked(s, &r->messages);
	if (!p || p->dead)
		return;
	if (is_connected_type(s)) {
		p->shut_in = p->shut_out = true;
		if (unread)
			p->error = ECONNRESET;
		socket_news_locked(p, ASYNC_HUP);
	}
	socket_tell_locked(p);
}

static void end_embryos(struct unix_socket *s)
{
	for (;;) {
		struct remains r = {.messages = LIST_INIT(r.messages)};
		struct unix_socket *e = NULL, *peer = NULL;
		spin_lock(&unix_lock);
		if (!list_is_empty(&s->embryos)) {
			e = list_first(&s->embryos, struct unix_socket, link);
			list_remove(&e->link);
			s->nembryos--;
			end_locked(e, &r, true, &peer);
		}
		spin_unlock(&unix_lock);
		if (!e)
			return;
		messages_free(&r.messages);
		if (peer)
			socket_put(peer);
		socket_put(e);
	}
}

static void socket_release(struct file *f)
{
	struct unix_socket *s = socket_of(f), *peer = NULL;
	struct remains r = {.messages = LIST_INIT(r.messages)};
	if (!s)
		return;
	spin_lock(&unix_lock);
	end_locked(s, &r, false, &peer);
	list_remove(&s->name_link); /* of an accepted one: of itself */
	struct path node = s->node;
	s->node.dentry = NULL;
	spin_unlock(&unix_lock);
	end_embryos(s);
	messages_free(&r.messages);
	if (peer)
		socket_put(peer);
	if (node.dentry)
		path_put(&node);
	socket_put(s);
	flight_collect();
}

/* The last descriptor is gone: whoever waits for room here need not any more. */
static err_t socket_flush(struct file *f)
{
	struct unix_socket *s = socket_of(f);
	spin_lock(&unix_lock);
	s->closing = true;
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
	return 0;
}

/* --- names --- */

static bool same_name(const struct socket_name *a, const struct socket_name *b)
{
	return a->len == b->len && !memcmp(a->path, b->path, a->len);
}

/* A socket with this abstract name, or at this file. Locked. */
static struct unix_socket *find_locked(const struct socket_name *name, const struct vnode *v)
{
	list_for_each (it, &names) {
		struct unix_socket *s = list_entry(it, struct unix_socket, name_link);
		if (v ? s->node.dentry && path_vnode(&s->node) == v
		      : !s->node.dentry && same_name(&s->name, name))
			return s;
	}
	return NULL;
}

static void set_name_locked(struct unix_socket *s, const struct socket_name *name)
{
	s->name = *name;
	list_push_back(&names, &s->name_link);
}

static err_t bind_abstract(struct unix_socket *s, const struct socket_name *name)
{
	err_t err = 0;
	spin_lock(&unix_lock);
	if (s->name.len)
		err = -EINVAL;
	else if (find_locked(name, NULL))
		err = -EADDRINUSE;
	else
		set_name_locked(s, name);
	spin_unlock(&unix_lock);
	return err;
}

/* Any abstract name of five digits that nobody has. */
static err_t bind_anywhere(struct unix_socket *s)
{
	enum { NAMES = 1 << 20 };
	err_t err = -EADDRINUSE;
	for (unsigned i = 0; i < NAMES && err == -EADDRINUSE; i++) {
		struct socket_name name = {.len = 6};
		spin_lock(&unix_lock);
		uint32_t n = next_free_name++ % NAMES;
		spin_unlock(&unix_lock);
		(void)format(name.path + 1, sizeof(name.path) - 1, "%05x", n);
		err = bind_abstract(s, &name);
	}
	return err == -EINVAL ? 0 : err; /* it has one: that is what was asked for */
}

static err_t bind_path(struct unix_socket *s, const struct fs_context *c, const struct socket_name *name)
{
	struct path node;
	err_t err = vfs_mknod(c, NULL, name->path, MODE_SOCK | (0777 & ~c->umask), 0, &node);
	if (err)
		return err == -EEXIST ? -EADDRINUSE : err;
	spin_lock(&unix_lock);
	bool taken = s->name.len != 0;
	if (!taken) {
		s->node = node;
		set_name_locked(s, name);
	}
	spin_unlock(&unix_lock);
	if (!taken)
		return 0;
	err = vfs_unlink(c, NULL, name->path); /* another thread bound it first */
	path_put(&node);
	return err ? err : -EINVAL;
}

err_t socket_bind(struct file *f, const struct fs_context *c, const struct socket_name *name)
{
	struct unix_socket *s = socket_of(f);
	if (!name->len)
		return bind_anywhere(s);
	spin_lock(&unix_lock);
	bool taken = s->name.len != 0;
	spin_unlock(&unix_lock);
	if (!name->path[0])
		return bind_abstract(s, name);
	return taken ? -EINVAL : bind_path(s, c, name);
}

err_t socket_find(const struct fs_context *c, const struct socket_name *name, enum socket_type type,
    struct unix_socket **out)
{
	struct path p = {NULL, NULL};
	err_t err = 0;
	if (name->path[0]) {
		err = vfs_lookup(c, NULL, name->path, 0, &p);
		if (err)
			return err;
		err = vfs_access(c, &p, MAY_WRITE);
		if (!err && !vnode_is(path_vnode(&p), MODE_SOCK))
			err = -ECONNREFUSED;
	}
	spin_lock(&unix_lock);
	struct unix_socket *s = err ? NULL : find_locked(name, p.dentry ? path_vnode(&p) : NULL);
	if (s && s->type != type)
		err = -EPROTOTYPE;
	else if (s)
		ref_get(&s->refs);
	else if (!err)
		err = -ECONNREFUSED;
	spin_unlock(&unix_lock);
	if (p.dentry)
		path_put(&p);
	*out = s;
	return err;
}

err_t socket_get_name(struct file *f, bool peer, struct socket_name *out)
{
	struct unix_socket *s = socket_of(f);
	err_t err = 0;
	spin_lock(&unix_lock);
	if (peer)
		s = s->peer;
	if (s)
		*out = s->name;
	else
		err = -ENOTCONN;
	spin_unlock(&unix_lock);
	return err;
}

/* --- connections --- */

err_t socket_listen(struct file *f, int backlog, const struct socket_ids *ids)
{
	enum { BACKLOG_MAX = 4096 }; /* net.core.somaxconn */
	struct unix_socket *s = socket_of(f);
	err_t err = 0;
	if (!is_connected_type(s))
		return -EOPNOTSUPP;
	spin_lock(&unix_lock);
	if (!s->name.len || s->state == SOCKET_CONNECTED) {
		err = -EINVAL;
	} else {
		s->state = SOCKET_LISTENING;
		s->backlog = (unsigned)backlog > BACKLOG_MAX ? BACKLOG_MAX : (unsigned)backlog;
		s->ids = *ids;
		socket_tell_locked(s);
	}
	spin_unlock(&unix_lock);
	return err;
}

/* A file of s to wait at, with a reference; NULL: it is closed. Locked. */
struct file *socket_file_locked(struct unix_socket *s)
{
	return s->file && ref_try_get(&s->file->object.refs) ? s->file : NULL;
}

/* One try. -EAGAIN: the listener has no room, *wait_at is where to wait for it. */
static err_t connect_once(struct unix_socket *s, struct unix_socket *to, struct unix_socket *embryo,
    const struct socket_ids *ids, struct file **wait_at)
{
	err_t err = 0;
	*wait_at = NULL;
	spin_lock(&unix_lock);
	if (s->state != SOCKET_IDLE)
		err = s->state == SOCKET_CONNECTED ? -EISCONN : -EINVAL;
	else if (to->dead || to->closing || to->state != SOCKET_LISTENING || to->shut_in)
		err = -ECONNREFUSED;
	else if (to->nembryos > to->backlog)
		err = (*wait_at = socket_file_locked(to)) ? -EAGAIN : -ECONNREFUSED;
	if (!err) {
		s->ids = *ids;
		embryo->ids = to->ids;
		embryo->name = to->name;
		embryo->pass_ids = to->pass_ids;
		join(s, embryo);
		list_push_back(&to->embryos, &embryo->link);
		to->nembryos++;
		socket_tell_locked(s);
		socket_tell_locked(to);
		socket_news_locked(to, ASYNC_IN);
	}
	spin_unlock(&unix_lock);
	return err;
}

static err_t connect_stream(
    struct file *f, const struct fs_context *c, const struct socket_name *name, const struct socket_ids *ids)
{
	struct unix_socket *s = socket_of(f), *to;
	struct file *wait_at;
	nsec_t deadline = socket_deadline(s->send_timeout);
	struct unix_socket *embryo = alloc_socket(s->type, ids);
	if (!embryo)
		return -ENOMEM;
	err_t err;
	do {
		err = socket_find(c, name, s->type, &to);
		if (err)
			break;
		err = connect_once(s, to, embryo, ids, &wait_at);
		socket_put(to);
		if (!wait_at)
			break;
		err = socket_wait(f, wait_at, SIGNAL_ROOM, false, deadline);
		file_put(wait_at);
	} while (!err);
	if (err)
		socket_put(embryo);
	return err;
}

/* The embryo's name is the listener's, but it is not found by it: it was never put in the list. */
static void set_peer(struct unix_socket *s, struct unix_socket *to)
{
	spin_lock(&unix_lock);
	struct unix_socket *old = s->peer;
	s->peer = to;
	s->state = to ? SOCKET_CONNECTED : SOCKET_IDLE;
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
	if (old)
		socket_put(old);
}

static err_t connect_datagrams(
    struct unix_socket *s, const struct fs_context *c, const struct socket_name *name)
{
	struct unix_socket *to;
	err_t err = socket_find(c, name, s->type, &to);
	if (err)
		return err;
	spin_lock(&unix_lock);
	if (to->dead)
		err = -ECONNREFUSED;
	else if (to->peer && to->peer != s)
		err = -EPERM;
	spin_unlock(&unix_lock);
	if (err)
		socket_put(to);
	else
		set_peer(s, to);
	return err;
}

err_t socket_connect(
    struct file *f, const struct fs_context *c, const struct socket_name *name, const struct socket_ids *ids)
{
	struct unix_socket *s = socket_of(f);
	return is_connected_type(s) ? connect_stream(f, c, name, ids) : connect_datagrams(s, c, name);
}

err_t socket_disconnect(struct file *f)
{
	struct unix_socket *s = socket_of(f);
	if (is_connected_type(s))
		return -EINVAL;
	set_peer(s, NULL);
	return 0;
}

/* The first embryo, with the queue's reference. */
static err_t take_embryo(struct unix_socket *s, struct unix_socket **out)
{
	err_t err = 0;
	spin_lock(&unix_lock);
	if (s->state != SOCKET_LISTENING || s->shut_in) {
		err = -EINVAL;
	} else if (list_is_empty(&s->embryos)) {
		err = -EAGAIN;
	} else {
		*out = list_first(&s->embryos, struct unix_socket, link);
		list_remove(&(*out)->link);
		s->nembryos--;
		socket_tell_locked(s);
	}
	spin_unlock(&unix_lock);
	return err;
}

/* No file for e: it goes back to where it was. Closed meanwhile: it ends. */
static void return_embryo(struct unix_socket *s, struct unix_socket *e)
{
	spin_lock(&unix_lock);
	list_push_front(&s->embryos, &e->link);
	s->nembryos++;
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
}

err_t socket_accept(struct file *f, unsigned flags, struct file **out)
{
	struct unix_socket *s = socket_of(f), *e;
	nsec_t deadline = socket_deadline(s->receive_timeout);
	err_t err;
	if (!is_connected_type(s))
		return -EOPNOTSUPP;
	while ((err = take_embryo(s, &e)) == -EAGAIN) {
		err = socket_wait(f, f, SIGNAL_READABLE, false, deadline);
		if (err)
			return err;
	}
	if (err)
		return err;
	err = make_file(e, flags, out);
	if (err)
		return_embryo(s, e);
	return err;
}

err_t socket_shutdown(struct file *f, int how)
{
	struct unix_socket *s = socket_of(f);
	if (how < 0 || how > 2)
		return -EINVAL;
	spin_lock(&unix_lock);
	struct unix_socket *p = is_connected_type(s) && s->peer && !s->peer->dead ? s->peer : NULL;
	bool in = how != 1, out = how != 0;
	s->shut_in |= in;
	s->shut_out |= out;
	if (p) {
		p->shut_in |= out;
		p->shut_out |= in;
		socket_tell_locked(p);
		if (out)
			socket_news_locked(p, in ? ASYNC_HUP : ASYNC_IN);
	}
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
	return 0;
}

/* --- options --- */

void socket_get_options(struct file *f, struct socket_options *o)
{
	struct unix_socket *s = socket_of(f);
	spin_lock(&unix_lock);
	*o = (struct socket_options){
	    .type = s->type,
	    .pass_ids = s->pass_ids,
	    .listening = s->state == SOCKET_LISTENING,
	    .peer_ids = s->peer_ids,
	    .receive_timeout = s->receive_timeout,
	    .send_timeout = s->send_timeout,
	};
	spin_unlock(&unix_lock);
}

void socket_set_options(struct file *f, const struct socket_options *o)
{
	struct unix_socket *s = socket_of(f);
	spin_lock(&unix_lock);
	s->pass_ids = o->pass_ids;
	s->receive_timeout = o->receive_timeout;
	s->send_timeout = o->send_timeout;
	spin_unlock(&unix_lock);
}

void socket_note_error(struct file *f, int error)
{
	struct unix_socket *s = socket_of(f);
	spin_lock(&unix_lock);
	s->error = error;
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
}

int socket_take_error(struct file *f)
{
	struct unix_socket *s = socket_of(f);
	spin_lock(&unix_lock);
	int error = s->error;
	s->error = 0;
	socket_tell_locked(s);
	spin_unlock(&unix_lock);
	return error;
}

/* --- as a file --- */

static int64_t socket_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	return u->left ? socket_receive(f, u, NULL, u->nonblock ? SOCKET_DONTWAIT : 0) : 0;
}

static int64_t socket_write(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct socket_extra e = {.ids = socket_of(f)->ids};
	return socket_send(f, NULL, u, &e, u->nonblock ? SOCKET_DONTWAIT : 0);
}

static uint32_t socket_async(UNUSED struct file *f)
{
	return ASYNC_NOBODY;
}

const struct file_ops socket_file_ops = {
    .async = socket_async,
    .splice = SPLICE_READ | SPLICE_WRITE,
    .read = socket_read,
    .write = socket_write,
    .ioctl = socket_ioctl,
    .flush = socket_flush,
    .release = socket_release,
};
