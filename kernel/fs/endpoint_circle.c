/*
 * endpoint_circle.c - threads that wait for each other.
 *
 * A thread whose message is queued waits for who receives from the endpoint; one whose message was
 * received waits for who has the right to reply. Where that can be one thread only - the receiving end
 * has one descriptor and one thread has ever received there; the reply is with the thread that received
 * it; and that thread is the only one of its process - and that thread is blocked in the same way, the
 * walk goes on from there. If it comes back to where it began, nobody of the circle will ever run again
 * by itself, and who was about to close it gets EDEADLK. Where more than one thread could help, or a
 * deadline will, nothing is said: the answer is never wrong when it is yes.
 *
 * Only who blocks can close a circle, so looking then suffices. Threads are named by serial numbers: a thread
 * that is remembered may be gone.
 */
#include "fs/endpoint_priv.h"
#include "kern/thread.h"

enum { BUCKETS = 64, STEPS_MAX = 64 };

static struct list blocked[BUCKETS]; /* (E) transfers by their sender's serial */
static bool (*thread_is_alone)(const struct thread *t);

void circle_init(bool (*is_alone)(const struct thread *t))
{
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&blocked[i]);
	thread_is_alone = is_alone;
}

static struct list *bucket_of(uint64_t serial)
{
	return &blocked[serial % BUCKETS];
}

void circle_enter_locked(struct transfer *t)
{
	ASSERT_HELD(&endpoint_lock);
	list_push_back(bucket_of(t->thread->serial), &t->blocked_link);
}

static const struct transfer *blocked_locked(uint64_t serial)
{
	list_for_each (it, bucket_of(serial)) {
		const struct transfer *t = list_entry(it, struct transfer, blocked_link);
		if (t->thread->serial == serial)
			return t;
	}
	return NULL;
}

/* The one thread that t waits for; 0: there may be several, or it is not known. */
static uint64_t waits_for_locked(const struct transfer *t)
{
	const struct endpoint *e = t->endpoint;
	switch (t->state) {
	case TRANSFER_WAITING:
		return load_relaxed(&t->reply->file->object.descs) == 1 ? t->reply->holder : 0;
	case TRANSFER_QUEUED:
		if (e->many || !list_is_empty(&e->receivers) || !e->receive ||
		    load_relaxed(&e->receive->object.descs) != 1)
			return 0;
		return e->server;
	default:
		return 0;
	}
}

bool circle_is_closed_locked(const struct transfer *t)
{
	uint64_t self = t->thread->serial;
	for (unsigned steps = 0; t && steps < STEPS_MAX; steps++) {
		uint64_t next = waits_for_locked(t);
		if (!next || !thread_is_alone(t->thread))
			return false;
		if (next == self)
			return true;
		t = blocked_locked(next);
		if (t && t->deadline != NSEC_NEVER)
			return false;
	}
	return false;
}
