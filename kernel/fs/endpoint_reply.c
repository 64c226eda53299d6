/*
 * endpoint_reply.c - answers to calls. Each call makes an object whose only descriptor the receiver gets. It
 * may be handed on, and answers once; when the last descriptor of it is closed without an answer, the caller
 * is told.
 */
#include "fs/anon.h"
#include "fs/endpoint_priv.h"
#include "kern/thread.h"
#include "mm/slab.h"
#include "vm/copy.h"

static err_t reply_flush(struct file *f)
{
	struct reply *r = f->priv;
	if (!load_acquire(&r->caller))
		return 0;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	struct transfer *t = load_relaxed(&r->caller);
	r->dropped = true;
	if (t && t->state == TRANSFER_WAITING) {
		store_relaxed(&r->caller, NULL);
		transfer_finish_locked(t, -EPIPE);
	}
	spin_unlock_irqrestore(&endpoint_lock, state);
	return 0;
}

static void reply_desc_closed(struct file *f, const struct desc_table *t)
{
	struct reply *r = f->priv;
	if (!load_acquire(&r->caller))
		return;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	if (r->holder_table == t)
		r->holder = 0;
	spin_unlock_irqrestore(&endpoint_lock, state);
}

static void reply_release(struct file *f)
{
	kfree(f->priv);
}

static const struct file_ops reply_ops = {
    .type = KO_REPLY,
    .seek = file_seek_nowhere,
    .flush = reply_flush,
    .desc_closed = reply_desc_closed,
    .release = reply_release,
};

err_t reply_create(struct reply **out)
{
	struct reply *r = kzalloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	err_t err = file_create_anonymous(&reply_ops, FILE_WRONLY, "anon_inode:[reply]", &r->file);
	if (err) {
		kfree(r);
		return err;
	}
	r->file->priv = r;
	kobject_signal(&r->file->object, 0, SIGNAL_READABLE);
	*out = r;
	return 0;
}

void reply_forget(struct endpoint *e)
{
	struct reply *r = exchange_acq_rel(&e->spare, NULL);
	if (r)
		file_put(r->file);
}

/* Whoever waits for an answer: he waits on until the answer has been copied. NULL: nobody. */
static struct transfer *caller_take(struct reply *r)
{
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	struct transfer *t = load_relaxed(&r->caller);
	if (t && t->state == TRANSFER_WAITING)
		t->state = TRANSFER_ANSWERED;
	else
		t = NULL;
	spin_unlock_irqrestore(&endpoint_lock, state);
	return t;
}

/* The bytes that do not fit the message itself. *theirs: the error is the caller's. */
static err_t copy_bytes(const struct transfer *t, uaddr_t from, bool *theirs)
{
	size_t done;
	enum copy_side side;
	if (t->m.len <= QUIRE_INLINE)
		return 0;
	if (t->m.len > t->m.capacity)
		return -EMSGSIZE;
	err_t err =
	    space_copy(t->thread->space, t->m.data, current_thread()->space, from, t->m.len, &done, &side);
	*theirs = err && side == COPY_DST_FAULT;
	return err ? -EFAULT : 0;
}

/* Read the answer to where the caller takes it from, who keeps the room that it has. */
static err_t fetch_answer(
    struct transfer *t, const struct endpoint_user *u, uaddr_t message, struct room *room, bool *theirs)
{
	const struct room callers = {t->m.data, t->m.capacity};
	err_t err = message_fetch(u, message, &t->m, t->parcels);
	*room = (struct room){t->m.data, t->m.capacity};
	t->m.data = callers.data;
	t->m.capacity = callers.capacity;
	t->m.reply = QUIRE_NO_REPLY;
	if (err)
		return err;
	err = copy_bytes(t, room->data, theirs);
	if (likely(!t->m.nfds))
		return err;
	if (err)
		parcels_drop(t->parcels, t->m.nfds);
	else
		parcels_leave(u->table, t->m.fds, t->parcels, t->m.nfds);
	return err;
}

/* Nobody waits for the answer: -EPIPE, unless it is bad. */
static NOINLINE err_t refuse_answer(const struct endpoint_user *u, uaddr_t message, struct room *room)
{
	struct quire_message m;
	struct parcel parcels[QUIRE_MESSAGE_FDS];
	err_t err = message_fetch(u, message, &m, parcels);
	if (err)
		return err;
	parcels_drop(parcels, m.nfds);
	*room = (struct room){m.data, m.capacity};
	return -EPIPE;
}

/* The answer could not be made: the caller waits on, unless it has given up or nobody can answer. */
static void wait_on_locked(struct reply *r, struct transfer *t)
{
	err_t gone = t->cancelled ? t->cancelled : r->dropped ? -EPIPE : 0;
	if (gone) {
		store_relaxed(&r->caller, NULL);
		transfer_finish_locked(t, gone);
		return;
	}
	t->state = TRANSFER_WAITING;
}

err_t reply_prepare(struct file *f, int fd, const struct endpoint_user *u, uaddr_t message, struct room *room,
    struct transfer **out)
{
	struct reply *r = f->priv;
	bool theirs = false;
	struct transfer *t = caller_take(r);
	err_t err = t ? fetch_answer(t, u, message, room, &theirs) : refuse_answer(u, message, room);
	*out = t;
	if (!t) {
		if (err == -EPIPE)
			desc_close_same(u->table, fd, &f->object);
		return err;
	}
	if (err && !theirs) {
		uint64_t state = spin_lock_irqsave(&endpoint_lock);
		wait_on_locked(r, t);
		spin_unlock_irqrestore(&endpoint_lock, state);
		*out = NULL;
		return err;
	}
	store_relaxed(&r->caller, NULL); /* ANSWERED: the others leave it alone, and have nothing to do */
	desc_close_same(u->table, fd, &f->object);
	t->result = err;
	return 0;
}

err_t endpoint_reply(struct file *f, int fd, const struct endpoint_user *u, uaddr_t message)
{
	struct room room;
	struct transfer *t;
	err_t err = reply_prepare(f, fd, u, message, &room, &t);
	if (err)
		return err;
	uint64_t state = spin_lock_irqsave(&endpoint_lock);
	transfer_finish_locked(t, t->result);
	spin_unlock_irqrestore(&endpoint_lock, state);
	return 0;
}
