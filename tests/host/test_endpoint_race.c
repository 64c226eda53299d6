/*
 * test_endpoint_race.c - many threads send, call, receive, answer, hand on, give up and close at two
 * endpoints, and each allocation may fail. Every message is received once or its sender is told that it was
 * not; every answer comes from who got the question; and no descriptor that was on its way is lost.
 */
#include "endpoint_env.h"

enum { CPUS = 5, ENDPOINTS = 2, ROUNDS = 1500, THINGS = 16, SHORT = 200000 /* ns */ };

static struct mutex ends_lock;
static struct ends ends[ENDPOINTS]; /* ends_lock: which they are */
static struct side sides[CPUS];
static struct thing things[THINGS];
static _Atomic uint64_t sent[2], got[2]; /* messages that were received, and the sum of their tags */
static _Atomic uint64_t asked, answered; /* calls that were answered */
static _Thread_local uint64_t rng;

static uint64_t pick(uint64_t n)
{
	rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
	return rng % n;
}

static void count(_Atomic uint64_t total[2], uint64_t tag)
{
	fetch_add_relaxed(&total[0], 1);
	fetch_add_relaxed(&total[1], tag);
}

static nsec_t some_deadline(void)
{
	return pick(8) ? clock_now() + pick(SHORT) : 0;
}

static void expect(err_t err, const err_t *known, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (err == known[i])
			return;
	panic("a result of %d", err);
}
#define EXPECT(err, ...)                                                                                     \
	expect(err, (const err_t[]){0, __VA_ARGS__}, sizeof((err_t[]){0, __VA_ARGS__}) / sizeof(err_t))

/* A message with some bytes, and perhaps descriptors of its own. */
static struct quire_message some_message(struct side *s, uint64_t tag)
{
	struct quire_message m = {.tag = tag,
	    .len = (uint32_t)(pick(4) ? pick(QUIRE_INLINE) : pick(3 * PAGE_SIZE)),
	    .nfds = pick(3) ? 0 : 1 + (uint32_t)pick(3),
	    .data = DATA,
	    .capacity = 3 * PAGE_SIZE};
	for (unsigned i = 0; i < m.nfds; i++)
		m.fds[i] =
		    desc_install(s->table, &things[pick(THINGS)].object, RIGHTS_ALL, true, 0, TABLE_LIMIT);
	return m;
}

/* The sender has them still if nobody has received them. */
static void close_all(struct side *s, const struct quire_message *m)
{
	for (unsigned i = 0; i < m->nfds; i++)
		if (desc_close(s->table, m->fds[i]))
			panic("a descriptor is gone");
}

/* Signals are not waited for, so that they come in the middle of things. */
static void interrupt_somebody(void)
{
	struct thread *t = load_acquire(&sides[pick(CPUS)].thread);
	if (t)
		fetch_or_acq_rel(&t->flags, THREAD_SIGNALLED);
}

/* Two ends to be used, with references; their descriptors may be closed meanwhile. */
static struct ends take_ends(void)
{
	mutex_lock(&ends_lock);
	struct ends e = ends[pick(ENDPOINTS)];
	file_get(e.in);
	file_get(e.out);
	mutex_unlock(&ends_lock);
	return e;
}

/* Others in the place of some, which are closed: the one first, or the other. */
static void replace_ends(void)
{
	struct ends fresh, old;
	ends_open(&fresh);
	mutex_lock(&ends_lock);
	struct ends *e = &ends[pick(ENDPOINTS)];
	old = *e;
	*e = fresh;
	mutex_unlock(&ends_lock);
	if (desc_close(old.table, pick(2) ? old.in_fd : old.out_fd))
		panic("an end is gone");
	ends_close(&old);
}

static void send_one(struct side *s, const struct ends *e, uint64_t tag)
{
	struct quire_message m = some_message(s, tag);
	put_message(s, &m);
	err_t err = endpoint_send(e->out, &s->user, MESSAGE, some_deadline());
	EXPECT(err, -ETIMEDOUT, -EINTR, -EFAULT, -EPIPE, -ECANCELED);
	if (err)
		close_all(s, &m);
	else
		count(sent, tag);
}

static void call_one(struct side *s, const struct ends *e, uint64_t tag)
{
	bool received;
	struct quire_message m = some_message(s, tag);
	put_message(s, &m);
	err_t err = endpoint_call(e->out, &s->user, MESSAGE, some_deadline(), &received);
	EXPECT(err, -ETIMEDOUT, -EINTR, -EFAULT, -EPIPE, -ECANCELED, -ENOMEM);
	if (received)
		count(sent, tag);
	else
		close_all(s, &m);
	if (err)
		return;
	fetch_add_relaxed(&asked, 1);
	m = got_message(s);
	if (m.tag != ~tag)
		panic("the answer to somebody else's question");
	close_all(s, &m);
}

/* Answer it, or close the reply. Who asked may have gone. */
static void answer_one(struct side *s, int fd, uint64_t tag)
{
	struct kobject *o;
	struct quire_message m = some_message(s, ~tag);
	MUST(desc_lookup(s->table, fd, &o, NULL));
	put_message(s, &m);
	err_t err = pick(8) ? endpoint_reply(container_of(o, struct file, object), fd, &s->user, MESSAGE)
			    : -ECANCELED;
	kobject_put(o);
	EXPECT(err, -EPIPE, -ECANCELED, -EFAULT);
	if (!err)
		fetch_add_relaxed(&answered, 1);
	else
		close_all(s, &m);
	if ((err == -ECANCELED || err == -EFAULT) && desc_close(s->table, fd))
		panic("a reply is gone");
}

static void receive_one(struct side *s, const struct ends *e)
{
	put_room(s, DATA, pick(8) ? 3 * PAGE_SIZE : 100);
	err_t err = endpoint_receive(e->in, &s->user, MESSAGE, some_deadline());
	EXPECT(err, -ETIMEDOUT, -EINTR, -EMSGSIZE, -ENOMEM, -EFAULT, -EPIPE, -ECANCELED);
	if (err)
		return;
	struct quire_message m = got_message(s);
	if (m.reply == QUIRE_NOTIFICATION)
		return;
	count(got, m.tag);
	close_all(s, &m);
	if (m.reply >= 0)
		answer_one(s, m.reply, m.tag);
}

static void use(struct side *s, const struct ends *e, uint64_t tag)
{
	switch (pick(8)) {
	case 0:
	case 1:
		send_one(s, e, tag);
		break;
	case 2:
	case 3:
		call_one(s, e, tag);
		break;
	case 4:
		EXPECT(endpoint_notify(e->out, 1), -EPIPE);
		break;
	default:
		receive_one(s, e);
	}
}

static void do_something(struct side *s, uint64_t tag)
{
	if (pick(32) == 0)
		replace_ends();
	struct ends e = take_ends();
	if (pick(16) == 0)
		inject_arm(1 + pick(8));
	use(s, &e, tag);
	inject_arm(0);
	file_put(e.in);
	file_put(e.out);
	if (pick(8) == 0)
		interrupt_somebody();
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED);
}

static void worker(UNUSED void *arg, unsigned cpu)
{
	rng = 88172645463325252ULL + cpu * 7919;
	side_enter(&sides[cpu]);
	for (uint64_t i = 0; i < ROUNDS; i++)
		do_something(&sides[cpu], (i * CPUS + cpu) << 1);
	store_release(&sides[cpu].thread, NULL);
	side_leave();
}

/* With a place for descriptors, so that what fails is what others do with it. */
static void open_warm(struct side *s)
{
	side_open(s);
	int fd = desc_install(s->table, &things[0].object, 0, true, 0, TABLE_LIMIT);
	CHECK(fd == 0 && desc_close(s->table, fd) == 0);
}

HOST_TEST(everything_at_once)
{
	fs_env_begin();
	for (unsigned i = 0; i < THINGS; i++)
		kobject_init(&things[i].object, &thing_ops, 0);
	mutex_init(&ends_lock, "ends", RANK_MOUNTS);
	for (unsigned i = 0; i < ENDPOINTS; i++)
		ends_open(&ends[i]);
	for (unsigned i = 0; i < CPUS; i++)
		open_warm(&sides[i]);
	host_run_cpus(CPUS, worker, NULL);
	CHECK(load_relaxed(&sent[0]) > 0 && load_relaxed(&asked) > 0);
	CHECK_EQ(load_relaxed(&sent[0]), load_relaxed(&got[0]));
	CHECK_EQ(load_relaxed(&sent[1]), load_relaxed(&got[1]));
	CHECK(load_relaxed(&asked) <= load_relaxed(&answered)); /* who asked could not have some */
	for (unsigned i = 0; i < CPUS; i++) {
		CHECK_EQ(desc_count(sides[i].table), 0);
		side_close(&sides[i]);
	}
	for (unsigned i = 0; i < ENDPOINTS; i++)
		ends_close(&ends[i]);
	for (unsigned i = 0; i < THINGS; i++) {
		CHECK_EQ(ref_count(&things[i].object.refs), 1);
		kobject_put(&things[i].object);
	}
	fs_env_end();
}

int main(int argc, char **argv)
{
	host_chaos = 24;
	endpoint_env_init(16384);
	return host_test_main_started(argc, argv);
}
