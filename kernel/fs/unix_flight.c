/*
 * unix_flight.c - sockets that lie in the queues of sockets.
 *
 * A file in a message keeps its references there. Sockets that lie only in each other's queues are out of
 * everybody's reach, but hold each other:
 *
 *	socket A ──queue──▶ message ──file──▶ socket B ──queue──▶ message ──file──▶ socket A
 *
 * They are found by trial. A candidate is a socket that only messages hold: its file has as many references
 * as there are messages that carry it. Take away the messages in the queues of candidates; a candidate that
 * is still held then is held from outside, and so is all that can be taken out of its queue. What is left is
 * garbage: its messages are taken away, and with them it goes.
 *
 * All of that happens under unix_lock, which keeps every queue as it is. References are read one after
 * another while others come and go: whoever can take a candidate out of a queue holds the socket of that
 * queue, or did when a file was looked at that he let go of later. So each piece of garbage is looked at once
 * more at the end; if anything about it has changed, it is left for the next time. That suffices: who has got
 * hold of a piece since the first look must have had it, or what it came from, from outside.
 *
 * This is done when a socket ends, if there are sockets in messages at all, and when one more is sent and
 * twice as many are in messages as were left the last time. The search takes as long as there are sockets in
 * messages and messages in their queues, with the lock held.
 */
#include "fs/unix_priv.h"

enum { FEW = 64 };

static struct list flying = LIST_INIT(flying); /* (U) sockets that messages carry, by flight_link */
static unsigned nflying,
    enough = FEW; /* (U) of them; when there are so many, whoever sends more looks for garbage */

static struct unix_socket *socket_at(const struct message *m, unsigned i)
{
	struct file *f = m->files ? file_of(m->files[i].object) : NULL;
	return f && file_is_socket(f) ? socket_of(f) : NULL;
}

void flight_begin_locked(const struct message *m)
{
	ASSERT_HELD(&unix_lock);
	for (unsigned i = 0; i < m->nfiles; i++) {
		struct unix_socket *s = socket_at(m, i);
		if (!s || s->flights++)
			continue;
		list_push_back(&flying, &s->flight_link);
		nflying++;
	}
}

void flight_end_locked(const struct message *m)
{
	ASSERT_HELD(&unix_lock);
	for (unsigned i = 0; i < m->nfiles; i++) {
		struct unix_socket *s = socket_at(m, i);
		if (!s || --s->flights)
			continue;
		list_remove(&s->flight_link);
		nflying--;
	}
}

/* --- what lies in a queue --- */

typedef void visit_socket(struct unix_socket *s, struct list *found);

static void for_each_in_queue(const struct unix_socket *s, visit_socket *visit, struct list *found)
{
	list_for_each (it, &s->queue) {
		const struct message *m = list_entry(it, struct message, link);
		for (unsigned i = 0; i < m->nfiles; i++) {
			struct unix_socket *inside = socket_at(m, i);
			if (inside && inside->candidate)
				visit(inside, found);
		}
	}
}

/* The candidates that can be taken out of s, or out of connections that wait at it. */
static void for_each_inside(const struct unix_socket *s, visit_socket *visit, struct list *found)
{
	for_each_in_queue(s, visit, found);
	list_for_each (it, &s->embryos)
		for_each_in_queue(list_entry(it, struct unix_socket, link), visit, found);
}

/* --- the search --- */

static bool only_messages_hold(const struct unix_socket *s)
{
	return ref_count(&s->file->object.refs) == s->flights;
}

static void take_away(struct unix_socket *s, UNUSED struct list *found)
{
	s->outside--;
}

/* It can be reached: no candidate any more, and what it has inside is to be looked at. */
static void save(struct unix_socket *s, struct list *found)
{
	s->candidate = false;
	list_remove(&s->flight_link);
	list_push_back(found, &s->flight_link);
}

/* Candidates that others than candidates hold, and all that they lead to, move to `saved`. */
static void save_reachable(struct list *saved)
{
	list_for_each_safe (it, &flying) {
		struct unix_socket *s = list_entry(it, struct unix_socket, flight_link);
		if (!s->candidate || s->outside)
			save(s, saved);
	}
	list_for_each (it, saved) /* grows meanwhile */
		for_each_inside(list_entry(it, struct unix_socket, flight_link), save, saved);
}

/* Leave only garbage in `flying`; the others go to `saved`. */
static void find_garbage_locked(struct list *saved)
{
	list_for_each (it, &flying) {
		struct unix_socket *s = list_entry(it, struct unix_socket, flight_link);
		s->candidate = only_messages_hold(s);
		s->outside = s->flights;
	}
	list_for_each (it, &flying) {
		struct unix_socket *s = list_entry(it, struct unix_socket, flight_link);
		if (s->candidate)
			for_each_inside(s, take_away, NULL);
	}
	save_reachable(saved);
}

/* --- the end --- */

void flight_empty_locked(struct unix_socket *s, struct list *messages)
{
	list_for_each (it, &s->queue)
		flight_end_locked(list_entry(it, struct message, link));
	list_splice_back(messages, &s->queue);
	s->queued = s->nmessages = 0;
}

static bool is_still_garbage_locked(void)
{
	bool garbage = true;
	list_for_each (it, &flying)
		garbage = garbage && only_messages_hold(list_entry(it, struct unix_socket, flight_link));
	return garbage;
}

/* Take the messages of the garbage away. What only they carried leaves `flying` meanwhile, perhaps with
 * messages of its own: it ends when they are freed. */
static void empty_garbage_locked(struct list *messages)
{
	struct list done = LIST_INIT(done);
	while (!list_is_empty(&flying)) {
		struct unix_socket *s = list_first(&flying, struct unix_socket, flight_link);
		list_remove(&s->flight_link);
		list_push_back(&done, &s->flight_link);
		flight_empty_locked(s, messages);
		list_for_each (it, &s->embryos)
			flight_empty_locked(list_entry(it, struct unix_socket, link), messages);
	}
	list_splice_back(&flying, &done);
}

static void collect_locked(struct list *messages)
{
	struct list saved = LIST_INIT(saved);
	find_garbage_locked(&saved);
	if (is_still_garbage_locked())
		empty_garbage_locked(messages);
	list_splice_back(&flying, &saved);
	enough = MAX(2 * nflying, (unsigned)FEW);
}

static void collect_if(bool (*wanted)(void))
{
	struct list messages = LIST_INIT(messages);
	spin_lock(&unix_lock);
	if (wanted())
		collect_locked(&messages);
	spin_unlock(&unix_lock);
	if (!list_is_empty(&messages))
		messages_free(&messages);
}

static bool any(void)
{
	return nflying;
}

static bool many(void)
{
	return nflying >= enough;
}

void flight_collect(void)
{
	collect_if(any);
}

void flight_limit(void)
{
	collect_if(many);
}
