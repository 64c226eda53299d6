/*
 * endpoint.c - messages from thread to thread.
 *
 *	sender ──sends──▶ endpoint ──▶ receiver        two open files on one endpoint, as of a pipe
 *	   ▲                               │
 *	   └───── reply, used once ◀───────┘           of a call only
 *
 * Nothing is stored: a sender sleeps until its message has been received, with the message on its stack. So
 * there is no memory to run out of, and nothing that only messages hold and nobody can reach: what is on its
 * way belongs to a thread that can be killed.
 *
 * A receiver takes the first message, makes its descriptors, copies its bytes and tells it, all in its own
 * time and with no lock held; only then it is received. If the receiver cannot have it - its memory is bad,
 * its table full, its buffer too short - the message is the first of the queue again, as if nothing had been.
 * If the sender's memory is bad the sender is told, and the receiver goes on to the next.
 *
 * Up to 64 bytes lie in the message itself and are copied through the kernel. More are copied from the one
 * space to the other through vm_fault_pin. A descriptor leaves its sender when the message is received.
 *
 * Whoever sends while a receiver sleeps hands its CPU over to it (thread_park) instead of waking it
 * somewhere: the two need one CPU between them. So does who answers and receives in one call.
 *
 * One lock guards all endpoints, because the search for circles (endpoint_circle.c) walks over many, and an
 * answer goes past the endpoint; it is held for a few list operations.
 */
#include "fs/endpoint_priv.h"
#include "arch/clock.h"
#include "arch/usercopy.h"
#include "fs/anon.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/copy.h"

struct spinlock endpoint_lock = SPINLOCK_INIT("endpoints", RANK_WAIT);

static const struct file_ops endpoint_ops;

void endpoint_init(bool (*is_alone)(const struct thread *t))
{
	circle_init(is_alone);
}

/* --- parts of messages --- */

enum { HEAD_SIZE = offsetof(struct quire_message, bytes) };

static NOINLINE err_t parcels_make(
    const struct endpoint_user *u, const struct quire_message *m, struct parcel *parcels)
{
	for (unsigned i = 0; i < m->nfds; i++) {
		err_t err = parcel_make(u->table, m->fds[i], &parcels[i]);
		if (err) {
			parcels_drop(parcels, i);
			return err;
		}
	}
	return 0;
}

err_t message_fetch(
    const struct endpoint_user *u, uaddr_t at, struct quire_message *m, struct parcel *parcels)
{
	err_t err = copy_from_user(m, at, sizeof(*m));
	if (err)
		return err;
	if (m->len > QUIRE_MESSAGE_MAX)
		return -EMSGSIZE;
	if (m->nfds > QUIRE_MESSAGE_FDS)
		return -EINVAL;
	return m->nfds ? parcels_make(u, m, parcels) : 0;
}

err_t message_tell(uaddr_t at, const struct quire_message *m)
{
	return copy_to_user(at, m, m->len <= QUIRE_INLINE ? HEAD_SIZE + m->len : HEAD_SIZE);
}

void parcels_drop(struct parcel *parcels, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		parcel_drop(&parcels[i]);
}

static void uninstall(
    const struct endpoint_user *u, const int32_t *fds, const struct parcel *parcels, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		desc_close_same(u->table, fds[i], parcels[i].object);
}

err_t parcels_install(const struct endpoint_user *u, struct quire_message *m, const struct parcel *parcels)
{
	for (unsigned i = 0; i < m->nfds; i++) {
		int fd = parcel_install(&parcels[i], u->table, true, u->limit());
		if (fd < 0) {
			uninstall(u, m->fds, parcels, i);
			return fd;
		}
		m->fds[i] = fd;
	}
	return 0;
}

void parcels_uninstall(
    const struct endpoint_user *u, const struct quire_message *m, const struct parcel *parcels)
{
	uninstall(u, m->fds, parcels, m->nfds);
}

void parcels_leave(struct desc_table *t, const int32_t *fds, const struct parcel *parcels, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		desc_close_same(t, fds[i], parcels[i].object);
}

/* --- signals --- */

static void set_signals(struct file *f, uint64_t now)
{
	enum { LEVELS = SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED };
	if (f && (kobject_signals(&f->object) & LEVELS) != now)
		kobject_signal(&f->object, now, LEVELS & ~now);
}

/* Bring the signals of both ends up to date, if anybody has ever looked at them. A message that wakes a
 * receiver is that one's. */
static void tell_locked(struct endpoint *e)
{
	if (!e->watched)
		return;
	bool waits = !list_is_empty(&e->receivers);
	bool any = e->notified || !list_is_empty(&e->senders);
	set_signals(
	    e->receive, (any && !waits ? SIGNAL_READABLE : 0) | (e->send_closed ? SIGNAL_PEER_CLOSED : 0));
	set_signals(e->send, e->receive_closed ? SIGNAL_PEER_CLOSED | SIGNAL_WRITABLE
			     : waits           ? SIGNAL_WRITABLE
					       : 0);
}

/* --- sending --- */

void transfer_finish_locked(struct transfer *t, err_t result)
{
	ASSERT_HELD(&endpoint_lock);
	t->state = TRANSFER_DONE;
	t->result = result;
	thread_unpark(t->thread);
}

/* A queued message is given up, for this reason. */
static void withdraw_locked(struct transfer *t, err_t reason)
{
	list_remove(&t->link);
	transfer_finish_locked(t, reason);
}

/* The sender wants to give up: a signal has come, or its deadline. */
static void give_up_locked(struct transfer *t, err_t reason)
{
	switch (t->state) {
	case TRANSFER_QUEUED:
		withdraw_locked(t, reason);
		tell_locked(t->endpoint);
		break;
	case TRANSFER_GIVEN:
		t->receiver->given = NULL; /* it wakes for nothing, and sleeps again */
		transfer_finish_locked(t, reason);
		break;
	case TRANSFER_WAITING:
		store_relaxed(&t->reply->caller, NULL);
		transfer_finish_locked(t, reason);
		break;
	default:
		t->cancelled = reason;
	}
}

/* Sleep until t is done. to: a receiver that gets the CPU, or NULL. */
static void wait_until_done_locked(struct transfer *t, struct thread *to)
{
	while (t->state != TRANSFER_DONE) {
		nsec_t deadline = t->cancelled || t->brief ? NSEC_NEVER : t->deadline;
		unsigned flags = t->cancelled ? 0 : WAIT_INTERRUPTIBLE;
		err_t err = thread_park(&endpoint_lock, deadline, flags, to);
		to = NULL;
		if (err && t->state != TRANSFER_DONE)
			give_up_locked(t, err);
	}
}

/* The receiver that has slept longest and is to get something now, and to be woken. NULL: none sleeps. */
static struct receiver *pop_receiver_locked(struct endpoint *e)
{
	if (list_is_empty(&e->receivers))
		return NULL;
	struct receiver *r = list_first(&e->receivers, struct receiver, link);
	list_remove(&r->link);
	return r;
}

/* Give t to a receiver that sleeps, if there is one: the thread to wake. NULL: none does. */
static struct thread *give_locked(struct transfer *t)
{
	struct receiver *r = pop_receiver_locked(t->endpoint);
	if (!r)
		return NULL;
	t->state = TRANSFER_GIVEN;
	t->receiver = r;
	r->given = t;
	return r->thread;
}

/* May t be sent? If so it is given or queued; *to: the receiver to wake, or NULL. */
static err_t queue_locked(struct transfer *t, struct thread **to)
{
	struct endpoint *e = t->endpoint;
	if (e->receive_closed)
		return -EPIPE;
	*to = give_locked(t);
	if (*to)
		return 0;
	if (t->brief)
		return -ETIMEDOUT;
	if (circle_is_closed_locked(t))
		return -EDEADLK;
	list_push_back(&e->senders, &t->link);
	tell_locked(e);
	return 0;
}

/* Send t and see what becomes of it. */
static err_t send(struct transfer *t)
{
	struct thread *to;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	circle_enter_locked(t);
	err_t err = queue_locked(t, &to);
	if (!err) {
		wait_until_done_locked(t, to);
		err = t->result;
	}
	circle_leave_locked(t);
	if (t->reply)
		store_relaxed(&t->reply->caller, NULL);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return err;
}

/* Fill in what the sender gives. */
static err_t transfer_begin(
    struct transfer *t, struct file *to, const struct endpoint_user *u, uaddr_t message, nsec_t deadline)
{
	err_t err = message_fetch(u, message, &t->m, t->parcels);
	if (err)
		return err;
	t->from = to;
	t->endpoint = to->priv;
	t->thread = current_thread();
	t->deadline = deadline;
	t->brief = deadline == 0;
	t->cancelled = 0;
	t->received = false;
	t->state = TRANSFER_QUEUED;
	t->reply = NULL;
	t->table = u->table;
	if (t->m.nfds)
		desc_table_get(t->table);
	return 0;
}

static void transfer_end(struct transfer *t, unsigned nfds)
{
	if (nfds)
		desc_table_put(t->table);
}

err_t endpoint_send(struct file *to, const struct endpoint_user *u, uaddr_t message, nsec_t deadline)
{
	struct transfer t;
	err_t err = transfer_begin(&t, to, u, message, deadline);
	if (err)
		return err;
	unsigned nfds = t.m.nfds;
	err = send(&t);
	if (err)
		parcels_drop(t.parcels, nfds);
	transfer_end(&t, nfds);
	return err;
}

/* The answer is in t: it is the caller's. */
static err_t take_answer(struct transfer *t, const struct endpoint_user *u, uaddr_t message)
{
	unsigned n = t->m.nfds;
	if (likely(!n))
		return message_tell(message, &t->m);
	err_t err = parcels_install(u, &t->m, t->parcels);
	if (!err) {
		err = message_tell(message, &t->m);
		if (err)
			parcels_uninstall(u, &t->m, t->parcels);
	}
	parcels_drop(t->parcels, n);
	return err;
}

err_t endpoint_call(
    struct file *to, const struct endpoint_user *u, uaddr_t message, nsec_t deadline, bool *received)
{
	struct transfer t;
	*received = false;
	err_t err = transfer_begin(&t, to, u, message, deadline);
	if (err)
		return err;
	unsigned nfds = t.m.nfds;
	err = reply_get(t.endpoint, &t.reply);
	if (!err) {
		store_relaxed(&t.reply->caller, &t);
		err = send(&t);
		*received = t.received;
		if (err && !t.received)
			parcels_drop(t.parcels, nfds);
		if (!err)
			err = take_answer(&t, u, message);
		reply_put(t.endpoint, t.reply);
	} else {
		parcels_drop(t.parcels, nfds);
	}
	transfer_end(&t, nfds);
	return err;
}

/* --- receiving --- */

/* The message could not be received: somebody else gets it, or it is the first again, unless its sender has
 * given up meanwhile, or nobody can receive it any more. */
static void put_back_locked(struct transfer *t)
{
	struct endpoint *e = t->endpoint;
	err_t gone = e->receive_closed ? -EPIPE : t->cancelled;
	struct thread *to = gone ? NULL : give_locked(t);
	if (to) {
		thread_unpark(to);
	} else if (gone || t->brief) {
		transfer_finish_locked(t, gone ? gone : -ETIMEDOUT);
	} else {
		t->state = TRANSFER_QUEUED;
		list_push_front(&e->senders, &t->link);
	}
}

/* The message is received: from now on the sender's part is over, or it waits for an answer. */
static void received_locked(struct transfer *t, const struct endpoint_user *u)
{
	struct reply *r = t->reply;
	t->received = true;
	if (!r) {
		transfer_finish_locked(t, 0);
	} else if (r->dropped || t->cancelled) {
		store_relaxed(&r->caller, NULL);
		transfer_finish_locked(t, t->cancelled ? t->cancelled : -EPIPE);
	} else {
		t->state = TRANSFER_WAITING;
		r->holder = current_thread()->serial;
		r->holder_table = u->table;
	}
}

/* The bytes that do not fit the message itself. *theirs: the error is the sender's. */
static err_t copy_bytes(const struct transfer *t, const struct room *room, bool *theirs)
{
	size_t done;
	enum copy_side side;
	if (t->m.len <= QUIRE_INLINE)
		return 0;
	if (t->m.len > room->capacity)
		return -EMSGSIZE;
	err_t err = space_copy(
	    current_thread()->space, room->data, t->thread->space, t->m.data, t->m.len, &done, &side);
	*theirs = err && side == COPY_SRC_FAULT;
	return err ? -EFAULT : 0;
}

/* Tell the taken message, with the right to answer if it is a call's. */
static ALWAYS_INLINE err_t tell_taken(
    struct transfer *t, const struct endpoint_user *u, uaddr_t at, const struct room *room)
{
	struct quire_message *m = &t->m;
	const struct room senders = {m->data, m->capacity};
	int reply = QUIRE_NO_REPLY;
	if (t->reply) {
		reply = desc_install(u->table, &t->reply->file->object, REPLY_RIGHTS, true, 0, u->limit());
		if (reply < 0)
			return reply;
	}
	m->data = room->data;
	m->capacity = room->capacity;
	m->reply = reply;
	err_t err = message_tell(at, m);
	m->data = senders.data;
	m->capacity = senders.capacity;
	if (err && reply >= 0)
		desc_close_same(u->table, reply, &t->reply->file->object);
	return err;
}

/* The same with descriptors. When it returns, t has the sender's numbers for them. */
static NOINLINE err_t tell_taken_parcels(
    struct transfer *t, const struct endpoint_user *u, uaddr_t at, const struct room *room)
{
	int32_t senders[QUIRE_MESSAGE_FDS];
	memcpy(senders, t->m.fds, sizeof(senders));
	err_t err = parcels_install(u, &t->m, t->parcels);
	if (!err) {
		err = tell_taken(t, u, at, room);
		if (err)
			parcels_uninstall(u, &t->m, t->parcels);
	}
	memcpy(t->m.fds, senders, sizeof(senders));
	return err;
}

/* Give the taken message to the current thread: everything that can fail. `room` is what it asked with. */
static err_t deliver(
    struct transfer *t, const struct endpoint_user *u, uaddr_t at, const struct room *room, bool *theirs)
{
	err_t err = copy_bytes(t, room, theirs);
	if (err == -EMSGSIZE) { /* tell how much room it takes */
		uint32_t len = t->m.len;
		return copy_to_user(at + offsetof(struct quire_message, len), &len, sizeof(len)) ? -EFAULT
												 : err;
	}
	if (err)
		return err;
	return t->m.nfds ? tell_taken_parcels(t, u, at, room) : tell_taken(t, u, at, room);
}

/* Receive the taken message. -EAGAIN: it was the sender's fault that this did not work. */
static err_t receive_taken(
    struct transfer *t, const struct endpoint_user *u, uaddr_t at, const struct room *room)
{
	bool theirs = false;
	if (t->reply)
		t->reply->dropped = false; /* by somebody who could not have it */
	err_t err = deliver(t, u, at, room, &theirs);
	if (!err && t->m.nfds) {
		parcels_leave(t->table, t->m.fds, t->parcels, t->m.nfds);
		parcels_drop(t->parcels, t->m.nfds);
	}
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	struct endpoint *e = t->endpoint;
	if (!err)
		received_locked(t, u);
	else if (theirs)
		transfer_finish_locked(t, err);
	else
		put_back_locked(t);
	if (err)
		tell_locked(e);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return theirs ? -EAGAIN : err;
}

/* A receiver that sleeps gets the bits, or the next one that comes. */
static void notify_locked(struct endpoint *e, uint64_t bits)
{
	e->notified |= bits;
	struct receiver *r = pop_receiver_locked(e);
	if (r) {
		r->bits = e->notified;
		e->notified = 0;
		thread_unpark(r->thread);
	}
	tell_locked(e);
}

/* Bits that were notified, as a message. */
static err_t receive_notified(struct endpoint *e, uint64_t bits, uaddr_t at, const struct room *room)
{
	struct quire_message m = {
	    .tag = bits, .reply = QUIRE_NOTIFICATION, .data = room->data, .capacity = room->capacity};
	err_t err = message_tell(at, &m);
	if (!err)
		return 0;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	notify_locked(e, bits);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return err;
}

static bool has_news(const struct endpoint *e)
{
	return e->notified || !list_is_empty(&e->senders);
}

/* Sleep until there is something for r. to: somebody who gets the CPU meanwhile, or NULL. -ECANCELED: this
 * end was closed; -EPIPE: the other was. */
static err_t sleep_for_news_locked(struct receiver *r, struct endpoint *e, nsec_t deadline, struct thread *to)
{
	err_t err = 0;
	r->thread = current_thread();
	list_init(&r->link);
	while (!err && !r->given && !r->bits && !has_news(e)) {
		if (list_is_empty(&r->link))
			list_push_back(&e->receivers, &r->link);
		if (e->receive_closed)
			err = -ECANCELED;
		else if (e->send_closed)
			err = -EPIPE;
		else {
			tell_locked(e);
			err = thread_park(&endpoint_lock, deadline, WAIT_INTERRUPTIBLE, to);
			to = NULL;
		}
	}
	if (to)
		thread_unpark(to);
	list_remove(&r->link);
	return err;
}

static err_t wait_for_news_locked(struct receiver *r, struct endpoint *e, nsec_t deadline, struct thread *to)
{
	err_t err = deadline == 0 && !e->receive_closed && !e->send_closed ? -ETIMEDOUT : 0;
	if (has_news(e) || err) {
		if (to)
			thread_unpark(to);
		return has_news(e) ? 0 : err;
	}
	err = sleep_for_news_locked(r, e, deadline, to);
	if (!err || r->given || r->bits || has_news(e))
		return 0;
	tell_locked(e);
	return err;
}

/* What the receiver asked for, and what it has got. */
struct reception {
	struct endpoint *endpoint;
	const struct endpoint_user *user;
	nsec_t deadline;
	struct transfer *answered; /* of a call that is done, and whose caller is to be woken; or NULL */
	struct transfer *taken;
	uint64_t bits;
};

/* The current thread has something: who serves the endpoint is known if it is the only one. */
static void note_server_locked(struct endpoint *e, const struct desc_table *table)
{
	uint64_t self = current_thread()->serial;
	e->many = e->many || (e->server && e->server != self);
	e->server = self;
	e->server_table = table;
}

/* Take what was given, or what is first: bits, or a message. */
static void take_locked(struct reception *r, const struct receiver *got)
{
	struct endpoint *e = r->endpoint;
	note_server_locked(e, r->user->table);
	r->bits = 0;
	r->taken = got->given;
	if (!r->taken) {
		r->bits = got->bits | e->notified;
		e->notified = 0;
	}
	if (!r->taken && !r->bits) {
		r->taken = list_first(&e->senders, struct transfer, link);
		list_remove(&r->taken->link);
	}
	if (r->taken)
		r->taken->state = TRANSFER_TAKEN;
	tell_locked(e);
}

static err_t take(struct reception *r)
{
	struct receiver self = {.given = NULL, .bits = 0};
	struct thread *to = NULL;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	if (r->answered) {
		r->answered->state = TRANSFER_DONE;
		to = r->answered->thread;
		r->answered = NULL;
	}
	err_t err = wait_for_news_locked(&self, r->endpoint, r->deadline, to);
	if (!err)
		take_locked(r, &self);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return err;
}

static err_t receive(struct reception *r, uaddr_t message, const struct room *room)
{
	err_t err;
	do {
		err = take(r);
		if (!err)
			err = r->bits ? receive_notified(r->endpoint, r->bits, message, room)
				      : receive_taken(r->taken, r->user, message, room);
	} while (err == -EAGAIN);
	return err;
}

err_t endpoint_receive(struct file *from, const struct endpoint_user *u, uaddr_t message, nsec_t deadline)
{
	struct reception r = {.endpoint = from->priv, .user = u, .deadline = deadline};
	struct quire_message m;
	err_t err = copy_from_user(&m, message, sizeof(m));
	return err ? err : receive(&r, message, &(struct room){m.data, m.capacity});
}

err_t endpoint_reply_receive(struct file *reply, int fd, struct file *from, const struct endpoint_user *u,
    uaddr_t message, nsec_t deadline)
{
	struct reception r = {.endpoint = from->priv, .user = u, .deadline = deadline};
	struct room room;
	err_t err = reply_prepare(reply, fd, u, message, &room, &r.answered);
	file_put(reply); /* before sleeping, so that the caller finds it alone */
	return err && err != -EPIPE ? err : receive(&r, message, &room);
}

err_t endpoint_notify(struct file *to, uint64_t bits)
{
	struct endpoint *e = to->priv;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	err_t err = e->receive_closed ? -EPIPE : 0;
	if (!err)
		notify_locked(e, bits);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return err;
}

/* --- the ends --- */

static bool is_receiving_end(const struct file *f)
{
	return file_may_read(f);
}

/* The last descriptor of an end is closed: whoever sleeps there is told, and so is the other side. */
static err_t endpoint_flush(struct file *f)
{
	struct endpoint *e = f->priv;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	bool receives = is_receiving_end(f);
	if (receives)
		e->receive_closed = true;
	else
		e->send_closed = true;
	list_for_each_safe (it, &e->senders)
		withdraw_locked(list_entry(it, struct transfer, link), receives ? -EPIPE : -ECANCELED);
	list_for_each (it, &e->receivers)
		thread_unpark(list_entry(it, struct receiver, link)->thread);
	tell_locked(e);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return 0;
}

/* Who has received here may have given the receiving end to somebody else: who serves it is not known. */
static void endpoint_desc_closed(struct file *f, const struct desc_table *t)
{
	struct endpoint *e = f->priv;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	if (is_receiving_end(f) && e->server_table == t)
		e->server = 0;
	spin_unlock_irqrestore(&endpoint_lock, state);
}

static void endpoint_put(struct endpoint *e)
{
	if (!ref_put(&e->refs))
		return;
	reply_forget(e);
	kfree(e);
}

static void endpoint_release(struct file *f)
{
	struct endpoint *e = f->priv;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	if (is_receiving_end(f))
		e->receive = NULL;
	else
		e->send = NULL;
	spin_unlock_irqrestore(&endpoint_lock, state);
	endpoint_put(e);
}

/* Somebody looks at the signals, and perhaps observes them from now on. */
static void endpoint_refresh(struct file *f)
{
	struct endpoint *e = f->priv;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	e->watched = true;
	tell_locked(e);
	spin_unlock_irqrestore(&endpoint_lock, state);
}

static const struct file_ops endpoint_ops = {
    .type = KO_ENDPOINT,
    .refresh = endpoint_refresh,
    .seek = file_seek_nowhere,
    .flush = endpoint_flush,
    .desc_closed = endpoint_desc_closed,
    .release = endpoint_release,
};

static err_t make_end(struct endpoint *e, unsigned mode, struct file **out)
{
	err_t err = file_create_anonymous(&endpoint_ops, mode, "anon_inode:[endpoint]", out);
	if (err)
		return err;
	(*out)->priv = e;
	ref_get(&e->refs);
	kobject_signal(&(*out)->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	return 0;
}

err_t endpoint_create(struct file **receiver, struct file **sender)
{
	struct endpoint *e = kzalloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	ref_init(&e->refs);
	list_init(&e->senders);
	list_init(&e->receivers);
	err_t err = make_end(e, FILE_RDONLY, &e->receive);
	if (!err) {
		err = make_end(e, FILE_WRONLY, &e->send);
		if (err)
			file_put(e->receive);
	}
	*receiver = e->receive;
	*sender = e->send;
	endpoint_put(e);
	return err;
}
