/*
 * ipc_msg.c - queues of messages, each with a type by which a receiver may choose.
 *
 * Who finds no message, or no room, sleeps until the queue changes and looks again. Messages are copied from
 * and to user memory without the lock, before they are sent and after they were taken.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/ipc.h"

struct msg_queue {
	struct ipc_object ipc;           /* first */
	struct list messages;            /* (I) oldest first */
	uint64_t bytes, count;           /* (I) of them */
	uint64_t bytes_max;              /* (I) */
	int64_t stime, rtime, ctime;     /* (I) */
	uint32_t lspid, lrpid;           /* (I) who sent and who received last */
	struct waitq senders, receivers; /* predicates under (I) */
};

static uint64_t total_count, total_bytes; /* ipc_lock */

static struct msg_queue *queue_of(struct ipc_object *o)
{
	return container_of(o, struct msg_queue, ipc);
}

/* --- the kind --- */

static err_t msg_check(UNUSED const struct ipc_object *o, UNUSED uint64_t size)
{
	return 0;
}

static err_t msg_create(
    UNUSED int32_t key, UNUSED uint64_t size, UNUSED uint32_t flags, struct ipc_object **out)
{
	struct msg_queue *q = kzalloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	ref_init(&q->ipc.refs);
	list_init(&q->messages);
	waitq_init(&q->senders);
	waitq_init(&q->receivers);
	q->bytes_max = load_relaxed(&ipc_limits.msg_queue);
	q->ctime = ipc_time();
	*out = &q->ipc;
	return 0;
}

static err_t msg_tally(UNUSED const struct ipc_object *o, UNUSED int delta)
{
	return 0;
}

static void msg_destroy(struct ipc_object *o)
{
	struct msg_queue *q = queue_of(o);
	while (!list_is_empty(&q->messages)) {
		struct message *m = list_first(&q->messages, struct message, link);
		list_remove(&m->link);
		kfree(m);
	}
	kfree(q);
}

static const struct ipc_kind msg_kind = {
    .check = msg_check, .create = msg_create, .count = msg_tally, .destroy = msg_destroy};
struct ipc_ids ipc_msgs = {.kind = &msg_kind, .max = &ipc_limits.msg_count};

/* --- sending --- */

static void add_locked(struct msg_queue *q, struct message *m)
{
	list_push_back(&q->messages, &m->link);
	q->bytes += m->size;
	q->count++;
	total_bytes += m->size;
	total_count++;
}

static void take_locked(struct msg_queue *q, struct message *m)
{
	list_remove(&m->link);
	q->bytes -= m->size;
	q->count--;
	total_bytes -= m->size;
	total_count--;
}

/* Empty messages take room too: no more of them than bytes. */
static bool has_room(const struct msg_queue *q, const struct message *m)
{
	return q->bytes + m->size <= q->bytes_max && q->count + 1 <= q->bytes_max;
}

static err_t send_locked(struct msg_queue *q, struct message *m, uint32_t flags)
{
	for (;;) {
		err_t err = ipc_may_locked(&q->ipc, IPC_WRITE); /* may have changed while we slept */
		if (err)
			return err;
		if (has_room(q, m))
			break;
		if (flags & IPC_NOWAIT)
			return -EAGAIN;
		err = waitq_sleep(&q->senders, &ipc_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
		if (q->ipc.gone)
			return -EIDRM;
		if (err)
			return err;
	}
	add_locked(q, m);
	q->lspid = current_process()->pid;
	q->stime = ipc_time();
	waitq_wake_all(&q->receivers);
	return 0;
}

err_t msg_send(int32_t id, struct message *m, uint32_t flags)
{
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_msgs, id, &o);
	bool found = !err;
	if (found) {
		ref_get(&o->refs);
		err = send_locked(queue_of(o), m, flags);
	}
	spin_unlock(&ipc_lock);
	if (found)
		ipc_put(&ipc_msgs, o);
	return err;
}

/* --- receiving --- */

struct receiver {
	int64_t type;
	uint64_t size;
	uint32_t flags;
};

static bool matches(const struct receiver *r, const struct message *m)
{
	if (r->type == 0)
		return true;
	return (m->type == r->type) != !!(r->flags & MSG_EXCEPT);
}

/* The first of the lowest type that is not above -type. */
static struct message *find_lowest_locked(const struct msg_queue *q, int64_t type)
{
	int64_t most = type == INT64_MIN ? INT64_MAX : -type;
	struct message *best = NULL;
	list_for_each (it, &q->messages) {
		struct message *m = list_entry(it, struct message, link);
		if (m->type <= most && (!best || m->type < best->type))
			best = m;
	}
	return best;
}

static struct message *find_message_locked(const struct msg_queue *q, const struct receiver *r)
{
	int64_t number = 0;
	if (r->type < 0 && !(r->flags & MSG_COPY))
		return find_lowest_locked(q, r->type);
	list_for_each (it, &q->messages) {
		struct message *m = list_entry(it, struct message, link);
		if (r->flags & MSG_COPY ? number++ == r->type : matches(r, m))
			return m;
	}
	return NULL;
}

/* -EINVAL: a copy is asked for, and there is too little room for it. */
static err_t give_locked(
    struct msg_queue *q, struct message *m, const struct receiver *r, struct message **out)
{
	if (r->flags & MSG_COPY) { /* it stays */
		if (m->size > (*out)->size)
			return -EINVAL;
		(*out)->type = m->type;
		(*out)->size = m->size;
		memcpy((*out)->data, m->data, m->size);
		return 0;
	}
	take_locked(q, m);
	q->lrpid = current_process()->pid;
	q->rtime = ipc_time();
	waitq_wake_all(&q->senders);
	*out = m;
	return 0;
}

static err_t receive_locked(struct msg_queue *q, const struct receiver *r, struct message **out)
{
	for (;;) {
		err_t err = ipc_may_locked(&q->ipc, IPC_READ);
		if (err)
			return err;
		struct message *m = find_message_locked(q, r);
		if (m && m->size > r->size && !(r->flags & MSG_NOERROR))
			return -E2BIG;
		if (m)
			return give_locked(q, m, r, out);
		if (r->flags & IPC_NOWAIT)
			return -ENOMSG;
		err = waitq_sleep(&q->receivers, &ipc_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
		if (q->ipc.gone)
			return -EIDRM;
		if (err)
			return err;
	}
}

err_t msg_receive(int32_t id, int64_t type, uint64_t size, uint32_t flags, struct message **out)
{
	const struct receiver r = {type, size, flags};
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_msgs, id, &o);
	bool found = !err;
	if (found) {
		ref_get(&o->refs);
		err = receive_locked(queue_of(o), &r, out);
	}
	spin_unlock(&ipc_lock);
	if (found)
		ipc_put(&ipc_msgs, o);
	return err;
}

/* --- asking and changing --- */

err_t msg_stat(int32_t which, enum ipc_stat how, struct msg_stat *out)
{
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_stat_locked(&ipc_msgs, which, how, &o);
	if (!err) {
		const struct msg_queue *q = queue_of(o);
		*out = (struct msg_stat){o->perm, o->id, q->stime, q->rtime, q->ctime, q->bytes, q->count,
		    q->bytes_max, q->lspid, q->lrpid};
	}
	spin_unlock(&ipc_lock);
	return err;
}

/* Who sleeps looks again: with other permissions, or more room. */
err_t msg_set(int32_t id, const struct ipc_perm *perm, uint64_t bytes_max)
{
	struct ipc_object *o;
	int64_t now = ipc_time();
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_msgs, id, &o);
	if (!err && !ipc_owns_locked(o, CAP_SYS_ADMIN))
		err = -EPERM;
	if (!err && bytes_max > load_relaxed(&ipc_limits.msg_queue) && !current_can(CAP_SYS_RESOURCE))
		err = -EPERM;
	if (!err)
		err = ipc_set_locked(o, perm);
	if (!err) {
		struct msg_queue *q = queue_of(o);
		q->bytes_max = bytes_max;
		q->ctime = now;
		waitq_wake_all(&q->senders);
		waitq_wake_all(&q->receivers);
	}
	spin_unlock(&ipc_lock);
	return err;
}

err_t msg_remove(int32_t id)
{
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_msgs, id, &o);
	if (!err && !ipc_owns_locked(o, CAP_SYS_ADMIN))
		err = -EPERM;
	if (!err) {
		struct msg_queue *q = queue_of(o);
		ipc_remove_locked(&ipc_msgs, o);
		total_bytes -= q->bytes;
		total_count -= q->count;
		waitq_wake_all(&q->senders);
		waitq_wake_all(&q->receivers);
	}
	spin_unlock(&ipc_lock);
	if (!err)
		ipc_put(&ipc_msgs, o);
	return err;
}

void msg_totals(struct msg_totals *out)
{
	spin_lock(&ipc_lock);
	*out = (struct msg_totals){ipc_msgs.used, ipc_highest_locked(&ipc_msgs), total_count, total_bytes};
	spin_unlock(&ipc_lock);
}
