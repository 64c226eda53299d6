/*
 * unix_io.c - messages of local sockets: sending and receiving.
 *
 * A sender makes its message, bytes and all, then hands it over under the lock. Streams are cut into messages
 * of STREAM_CHUNK bytes; what a receiver gets of a stream ends where files were sent along, or where the
 * sender changes, if the receiver wants to know it.
 *
 * Letting messages go may close sockets, which lets messages go: a list and one thread that works it off keep
 * the stack flat.
 */
#include "arch/usercopy.h"
#include "fs/unix_priv.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { STREAM_CHUNK = 32768, MESSAGE_OVERHEAD = 32, REQUEST_INQ = 0x541b, REQUEST_OUTQ = 0x5411 };

/* --- letting go --- */

static struct list doomed = LIST_INIT(doomed); /* (U) messages */
static bool is_freeing;                        /* (U) a thread works `doomed` off */

void socket_drop_files(struct parcel *files, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		parcel_drop(&files[i]);
	kfree(files);
}

static void free_message(struct message *m)
{
	if (m->files)
		socket_drop_files(m->files, m->nfiles);
	kfree(m);
}

void messages_free(struct list *messages)
{
	spin_lock(&unix_lock);
	list_splice_back(&doomed, messages);
	bool work = !is_freeing;
	is_freeing = true;
	while (work && !list_is_empty(&doomed)) {
		struct message *m = list_first(&doomed, struct message, link);
		list_remove(&m->link);
		spin_unlock(&unix_lock);
		free_message(m);
		spin_lock(&unix_lock);
	}
	if (work)
		is_freeing = false;
	spin_unlock(&unix_lock);
}

/* --- sending --- */

/* The next n bytes, with the extras, whose files it takes over. */
static err_t make_message(struct uio *u, size_t n, struct socket_extra *e, struct message **out)
{
	size_t done;
	struct message *m = kmalloc(sizeof(*m) + n);
	if (!m)
		return -ENOMEM;
	err_t err = uio_read(u, m->data, n, &done);
	if (err) {
		kfree(m);
		return err;
	}
	m->len = n;
	m->offset = 0;
	m->ids = e->ids;
	m->nfiles = e->nfiles;
	m->files = e->files;
	e->nfiles = 0;
	e->files = NULL;
	*out = m;
	return 0;
}

/* May s send to p now? Locked. -EAGAIN: later. */
static err_t may_deliver(struct unix_socket *s, struct unix_socket *p)
{
	if (s->shut_out)
		return -EPIPE;
	if (p->dead || (p->closing && s->type == SOCKET_DGRAM))
		return is_connected_type(s) ? -EPIPE : -ECONNREFUSED;
	if (p->shut_in)
		return -EPIPE;
	if (s->type == SOCKET_DGRAM && p->peer && p->peer != s)
		return -EPERM;
	return p != s && socket_is_full_locked(p) ? -EAGAIN : 0;
}

/* Put m into p's queue. *wait_at, with -EAGAIN: a file whose room to wait for, with a reference; NULL: one's
 * own. */
static err_t deliver_once(
    struct unix_socket *s, struct unix_socket *p, struct message *m, struct file **wait_at)
{
	*wait_at = NULL;
	spin_lock(&unix_lock);
	err_t err = may_deliver(s, p);
	if (err == -EAGAIN && s->type == SOCKET_DGRAM) {
		*wait_at = socket_file_locked(p);
		err = *wait_at ? err : -ECONNREFUSED;
	}
	if (!err) {
		m->from = s->name;
		list_push_back(&p->queue, &m->link);
		flight_begin_locked(m);
		p->queued += m->len;
		p->nmessages++;
		socket_tell_locked(p);
		socket_news_locked(p, ASYNC_IN);
		socket_tell_locked(s);
	}
	spin_unlock(&unix_lock);
	return err;
}

/* m belongs to the queue, or is the caller's on failure. */
static err_t deliver(struct file *f, struct unix_socket *p, struct message *m, bool nonblock)
{
	struct unix_socket *s = socket_of(f);
	struct file *wait_at;
	nsec_t deadline = socket_deadline(s->send_timeout);
	err_t err;
	while ((err = deliver_once(s, p, m, &wait_at)) == -EAGAIN) {
		if (wait_at)
			err = socket_wait(f, wait_at, SIGNAL_ROOM, nonblock, deadline);
		else
			err = socket_wait(f, f, SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED, nonblock, deadline);
		if (wait_at)
			file_put(wait_at);
		if (err)
			break;
	}
	return err;
}

/* The peer, with a reference; -ENOTCONN. */
static err_t get_peer(struct unix_socket *s, struct unix_socket **out)
{
	spin_lock(&unix_lock);
	*out = s->peer;
	if (s->peer)
		ref_get(&s->peer->refs);
	spin_unlock(&unix_lock);
	return *out ? 0 : -ENOTCONN;
}

static err_t send_part(
    struct file *f, struct unix_socket *p, struct uio *u, size_t n, struct socket_extra *e, unsigned flags)
{
	struct message *m;
	err_t err = make_message(u, n, e, &m);
	if (err)
		return err;
	err = deliver(f, p, m, flags & SOCKET_DONTWAIT);
	if (err)
		free_message(m);
	return err;
}

static int64_t send_stream(
    struct file *f, struct unix_socket *p, struct uio *u, struct socket_extra *e, unsigned flags)
{
	struct unix_socket *s = socket_of(f);
	int64_t sent = 0;
	err_t err = 0;
	if (!u->left) {
		spin_lock(&unix_lock);
		err = s->shut_out ? -EPIPE : 0;
		spin_unlock(&unix_lock);
	}
	while (!err && u->left) {
		size_t n = MIN(u->left, (size_t)STREAM_CHUNK);
		err = send_part(f, p, u, n, e, flags);
		sent += err ? 0 : (int64_t)n;
	}
	return sent ? sent : err;
}

static int64_t send_packet(
    struct file *f, struct unix_socket *p, struct uio *u, struct socket_extra *e, unsigned flags)
{
	size_t n = u->left;
	if (n > SOCKET_BUFFER - MESSAGE_OVERHEAD)
		return -EMSGSIZE;
	err_t err = send_part(f, p, u, n, e, flags);
	return err ? err : (int64_t)n;
}

/* Where it goes, with a reference. */
static err_t find_receiver(
    struct unix_socket *s, const struct fs_context *c, const struct socket_extra *e, struct unix_socket **out)
{
	spin_lock(&unix_lock);
	bool connected = s->state == SOCKET_CONNECTED;
	spin_unlock(&unix_lock);
	if (s->type == SOCKET_STREAM && e->has_name)
		return connected ? -EISCONN : -EOPNOTSUPP;
	if (s->type == SOCKET_DGRAM && e->has_name)
		return socket_find(c, &e->name, s->type, out);
	return get_peer(s, out);
}

int64_t socket_send(
    struct file *f, const struct fs_context *c, struct uio *u, struct socket_extra *e, unsigned flags)
{
	struct unix_socket *s = socket_of(f), *p;
	int64_t done = flags & SOCKET_OOB ? -EOPNOTSUPP : 0;
	if (e->nfiles)
		flight_limit();
	if (!done)
		done = find_receiver(s, c, e, &p);
	if (!done) {
		done = s->type == SOCKET_STREAM ? send_stream(f, p, u, e, flags)
						: send_packet(f, p, u, e, flags);
		socket_put(p);
	}
	if (e->files)
		socket_drop_files(e->files, e->nfiles);
	e->files = NULL;
	e->nfiles = 0;
	return done;
}

/* --- receiving --- */

/* One call. */
struct receiver {
	struct unix_socket *s;
	struct uio *u;
	struct socket_extra *extra; /* or NULL */
	unsigned flags;
	size_t total;
	bool any;              /* a message was looked at: extra says whose */
	struct socket_ids ids; /* its sender */
};

/* The message behind `m` (NULL: the first). The iolock keeps it. */
static struct message *next_message(struct unix_socket *s, const struct message *m)
{
	spin_lock(&unix_lock);
	struct list *it = m ? m->link.next : s->queue.next;
	struct message *next = it == &s->queue ? NULL : list_entry(it, struct message, link);
	spin_unlock(&unix_lock);
	return next;
}

/* n more bytes of m were read; all of a packet. Returns whether m is gone. */
static void consume(struct unix_socket *s, struct message *m, size_t n)
{
	struct list gone = LIST_INIT(gone);
	spin_lock(&unix_lock);
	m->offset += n;
	s->queued -= n;
	if (m->offset == m->len) {
		flight_end_locked(m);
		list_remove(&m->link);
		list_push_back(&gone, &m->link);
		s->nmessages--;
	}
	socket_tell_locked(s);
	if (s->peer && !s->peer->dead)
		socket_tell_locked(s->peer);
	spin_unlock(&unix_lock);
	messages_free(&gone);
}

/* The files of m go to the receiver; with PEEK, copies of them. Without room for them they are let go with
 * the message. */
static void take_files(struct receiver *r, struct message *m)
{
	struct socket_extra *e = r->extra;
	if (!m->nfiles || !e)
		return;
	if (!(r->flags & SOCKET_PEEK)) {
		spin_lock(&unix_lock);
		flight_end_locked(m);
		e->files = m->files;
		e->nfiles = m->nfiles;
		m->files = NULL;
		m->nfiles = 0;
		spin_unlock(&unix_lock);
		return;
	}
	e->files = kmalloc(m->nfiles * sizeof(*e->files));
	if (!e->files) {
		e->flags |= SOCKET_CTRUNC;
		return;
	}
	e->nfiles = m->nfiles;
	for (unsigned i = 0; i < e->nfiles; i++)
		parcel_copy(&m->files[i], &e->files[i]);
}

static void note_sender(struct receiver *r, const struct message *m)
{
	if (r->any)
		return;
	r->any = true;
	r->ids = m->ids;
	if (!r->extra)
		return;
	r->extra->ids = m->ids;
	r->extra->name = m->from;
}

static bool same_ids(const struct socket_ids *a, const struct socket_ids *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* As much of a stream as is there and belongs together. */
static err_t take_stream(struct receiver *r)
{
	struct message *m = NULL;
	err_t err = 0;
	bool stop = false;
	while (!err && !stop && r->u->left && (m = next_message(r->s, m))) {
		size_t n = MIN(r->u->left, m->len - m->offset), done;
		stop = m->nfiles != 0;
		if (r->any && (stop || (r->s->pass_ids && !same_ids(&r->ids, &m->ids))))
			break;
		err = uio_write(r->u, m->data + m->offset, n, &done);
		if (done || !err) {
			note_sender(r, m);
			take_files(r, m);
		}
		r->total += done;
		if (!(r->flags & SOCKET_PEEK)) {
			consume(r->s, m, done);
			m = NULL;
		}
	}
	return err;
}

/* One packet. 1: it was taken. */
static err_t take_packet(struct receiver *r)
{
	size_t done;
	struct message *m = next_message(r->s, NULL);
	if (!m)
		return 0;
	size_t n = MIN(r->u->left, m->len);
	err_t err = uio_write(r->u, m->data, n, &done);
	if (err)
		return err;
	note_sender(r, m);
	take_files(r, m);
	if (n < m->len && r->extra)
		r->extra->flags |= SOCKET_TRUNC;
	r->total = r->flags & SOCKET_TRUNC ? m->len : n;
	if (!(r->flags & SOCKET_PEEK))
		consume(r->s, m, m->len);
	return 0;
}

/* Nothing is there (any more): may it wait? 0: the end. -EAGAIN: wait. */
static err_t why_nothing(struct unix_socket *s, bool nonblock, bool *end)
{
	err_t err = -EAGAIN;
	*end = false;
	spin_lock(&unix_lock);
	if (!list_is_empty(&s->queue)) {
		err = 0; /* it came just now */
	} else if (s->error) {
		err = -s->error;
		s->error = 0;
		socket_tell_locked(s);
	} else if (s->shut_in && !(nonblock && s->type == SOCKET_DGRAM)) {
		err = 0;
		*end = true;
	}
	spin_unlock(&unix_lock);
	return err;
}

static err_t check_receive(struct unix_socket *s, unsigned flags)
{
	spin_lock(&unix_lock);
	bool connected = s->state == SOCKET_CONNECTED;
	spin_unlock(&unix_lock);
	if (is_connected_type(s) && !connected)
		return s->type == SOCKET_STREAM ? -EINVAL : -ENOTCONN;
	return flags & SOCKET_OOB ? -EOPNOTSUPP : 0;
}

static bool is_done(const struct receiver *r)
{
	if (r->s->type != SOCKET_STREAM)
		return r->any;
	return !r->u->left || (r->any && !((r->flags & SOCKET_WAITALL) && !(r->flags & SOCKET_PEEK))) ||
	       (r->extra && r->extra->nfiles);
}

int64_t socket_receive(struct file *f, struct uio *u, struct socket_extra *e, unsigned flags)
{
	struct unix_socket *s = socket_of(f);
	struct receiver r = {.s = s, .u = u, .extra = e, .flags = flags};
	nsec_t deadline = socket_deadline(s->receive_timeout);
	bool nonblock = (flags & SOCKET_DONTWAIT) || (load_relaxed(&f->flags) & FILE_NONBLOCK), end = false;
	err_t err = check_receive(s, flags);
	while (!err && !end) {
		mutex_lock(&s->iolock);
		err = s->type == SOCKET_STREAM ? take_stream(&r) : take_packet(&r);
		mutex_unlock(&s->iolock);
		if (err || is_done(&r))
			break;
		err = why_nothing(s, nonblock, &end);
		if (err == -EAGAIN)
			err = socket_wait(f, f, SIGNAL_READABLE | SIGNAL_ERROR, nonblock, deadline);
	}
	if (e)
		e->has_ids = s->pass_ids;
	return r.any && !(err && !r.total && s->type == SOCKET_STREAM) ? (int64_t)r.total : err;
}

/* --- requests --- */

int64_t socket_ioctl(struct file *f, uint32_t request, uint64_t arg)
{
	struct unix_socket *s = socket_of(f);
	size_t n;
	if (request != REQUEST_INQ && request != REQUEST_OUTQ)
		return -ENOTTY;
	spin_lock(&unix_lock);
	bool listening = s->state == SOCKET_LISTENING;
	if (request == REQUEST_OUTQ)
		n = s->peer && !s->peer->dead ? s->peer->queued : 0;
	else if (s->type != SOCKET_DGRAM || list_is_empty(&s->queue))
		n = s->queued;
	else
		n = list_first(&s->queue, struct message, link)->len;
	spin_unlock(&unix_lock);
	if (listening && request == REQUEST_INQ)
		return -EINVAL;
	int32_t bytes = (int32_t)n;
	return copy_to_user(arg, &bytes, sizeof(bytes));
}
