/*
 * test_endpoint.c - messages when memory is short, and when somebody gives up, or goes, in the very moment in
 * which a message is copied: the rows of "Who is told what" (docs/objects.md) that no program can bring about
 * for certain. tests/guest/uendpoint.c has the others.
 *
 * Memory: each allocation of a call fails in turn. What the call says, and that nothing has changed, and that
 * it works when it is tried again.
 *
 * Moments: the copy goes through a page of a file that this test is; when the page is read the message is
 * being copied, and the test does what it likes before the copy goes on. Nothing is waited for but states.
 */
#include "arch/host/host.h"
#include "endpoint_env.h"

enum { THINGS = QUIRE_MESSAGE_FDS, TRIES_MAX = 200 };

static struct thing things[THINGS];

struct duel;
typedef void part_fn(struct duel *d);

struct duel {
	struct ends ends;
	struct side client, server;
	part_fn *plays[2];
	uint64_t nth;            /* allocation that fails, of the side that arms it */
	bool fired;              /* it has */
	uint32_t len;            /* bytes of the message, and of the answer */
	unsigned fds;            /* descriptors of it */
	int32_t numbers[THINGS]; /* theirs in the sender's table */
	bool calls;              /* or it sends */
	bool hole;               /* the copy fails after the moment */
	bool in_answer;          /* the moment is one of the answer, not of the message */
	part_fn *moment;         /* by the server's thread, while it copies */
	bool moment_came;
	nsec_t patience;       /* the client's deadline from now; NSEC_NEVER */
	_Atomic int32_t reply; /* the server's descriptor of it; -1: none yet */
	err_t client_err, server_err;
};

/* --- playing --- */

static void play(void *arg, unsigned i)
{
	struct duel *d = arg;
	side_enter(i ? &d->server : &d->client);
	d->plays[i](d);
	side_leave();
}

static void duel_open(struct duel *d)
{
	for (unsigned i = 0; i < THINGS; i++)
		kobject_init(&things[i].object, &thing_ops, 0);
	ends_open(&d->ends);
	side_open(&d->client);
	side_open(&d->server);
	store_relaxed(&d->reply, -1);
}

/* Nothing that was on its way is left anywhere. */
static void duel_close(struct duel *d)
{
	ends_close(&d->ends);
	side_close(&d->client);
	side_close(&d->server);
	for (unsigned i = 0; i < THINGS; i++) {
		CHECK_EQ(ref_count(&things[i].object.refs), 1);
		CHECK_EQ(load_relaxed(&things[i].object.descs), 0);
		kobject_put(&things[i].object);
	}
}

static void duel_run(struct duel *d, part_fn *client, part_fn *server)
{
	d->plays[0] = client;
	d->plays[1] = server;
	host_run_cpus(2, play, d);
}

#define UNTIL(cond)                                                                                          \
	for (nsec_t since_ = 0; !(cond);)                                                                    \
	host_wait(&since_, #cond)

static bool has_signal(struct file *f, uint64_t signal)
{
	return file_signals(f) & signal;
}

/* The client is about to send or to answer this. */
static struct quire_message make_message(struct duel *d, struct side *from)
{
	struct quire_message m = {
	    .tag = d->len, .len = d->len, .nfds = d->fds, .data = DATA, .capacity = QUIRE_MESSAGE_MAX};
	memset(m.bytes, 'm', sizeof(m.bytes));
	for (unsigned i = 0; i < d->fds; i++) {
		m.fds[i] = desc_install(from->table, &things[i].object, RIGHTS_ALL, true, 0, TABLE_LIMIT);
		d->numbers[i] = m.fds[i];
	}
	return m;
}

static bool has_all(struct side *s, const int32_t *fds, unsigned n)
{
	bool all = true;
	for (unsigned i = 0; i < n; i++)
		all = all && desc_names(s->table, fds[i], &things[i].object);
	return all;
}

/* --- memory --- */

/* A cache of objects finds room though it gets no frames: not every failure is one of the call. */
static bool may_fail(err_t err, bool fired)
{
	return !err || (fired && err == -ENOMEM);
}

HOST_TEST(making_an_endpoint)
{
	struct file *in, *out;
	unsigned failed = 0;
	bool fired = true;
	fs_env_begin();
	for (uint64_t n = 1; fired; n++) {
		inject_arm(n);
		err_t err = endpoint_create(&in, &out);
		fired = inject_fired();
		inject_arm(0);
		CHECK(may_fail(err, fired));
		failed += err != 0;
		if (!err) {
			file_put(in);
			file_put(out);
		}
		CHECK_EQ(file_count(), 0);
	}
	CHECK(failed > 1);
	fs_env_end();
}

/* A message that nobody receives before its deadline, which has passed. */
static void calls_alone(struct duel *d)
{
	bool received;
	struct quire_message m = make_message(d, &d->client);
	put_message(&d->client, &m);
	inject_arm(d->nth);
	d->client_err = endpoint_call(d->ends.out, &d->client.user, MESSAGE, clock_now(), &received);
	d->fired = inject_fired();
	inject_arm(0);
	CHECK(!received && has_all(&d->client, d->numbers, d->fds));
}

static void does_nothing(UNUSED struct duel *d)
{
}

HOST_TEST(calling)
{
	struct duel d = {.fds = 3, .fired = true};
	unsigned failed = 0;
	fs_env_begin();
	for (d.nth = 1; d.fired; d.nth++) {
		duel_open(&d);
		duel_run(&d, calls_alone, does_nothing);
		CHECK(may_fail(d.client_err == -ETIMEDOUT ? 0 : d.client_err, d.fired));
		failed += d.client_err == -ENOMEM;
		duel_close(&d);
	}
	CHECK(failed > 1);
	fs_env_end();
}

static void fill_table(struct desc_table *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(desc_install(t, &things[0].object, 0, true, 0, TABLE_LIMIT), i);
}

/* The client calls with no deadline. What its data is was written before. */
static void calls(struct duel *d)
{
	bool received = false;
	struct quire_message m = make_message(d, &d->client);
	for (unsigned i = 0; i < DATA_PAGES && d->len > QUIRE_INLINE; i++)
		CHECK_EQ(store(d->client.space, DATA + LEN(i), i), 0);
	put_message(&d->client, &m);
	d->client_err = endpoint_call(d->ends.out, &d->client.user, MESSAGE, NSEC_NEVER, &received);
	CHECK(received && desc_count(d->client.table) == 0);
}

static err_t receive(struct duel *d, nsec_t deadline)
{
	err_t err = endpoint_receive(d->ends.in, &d->server.user, MESSAGE, deadline);
	if (!err)
		store_release(&d->reply, got_message(&d->server).reply);
	return err;
}

/* Answer with a few bytes. */
static err_t answer(struct duel *d)
{
	struct file *f;
	struct kobject *o;
	int fd = load_relaxed(&d->reply);
	MUST(desc_lookup(d->server.table, fd, &o, NULL));
	f = container_of(o, struct file, object);
	put_message(&d->server, &(struct quire_message){.tag = 77, .len = 2, .bytes = "ok"});
	err_t err = endpoint_reply(f, fd, &d->server.user, MESSAGE);
	file_put(f);
	return err;
}

/* The server cannot have the message: it stays, whole, and is had the next time. */
static void receives_with_failure(struct duel *d)
{
	unsigned before = desc_count(d->server.table);
	put_room(&d->server, DATA, QUIRE_MESSAGE_MAX);
	UNTIL(has_signal(d->ends.in, SIGNAL_READABLE));
	inject_arm(d->nth);
	d->server_err = receive(d, 0);
	d->fired = inject_fired();
	inject_arm(0);
	if (d->server_err) {
		CHECK(d->fired &&
		      (d->server_err == -ENOMEM || (d->server_err == -EFAULT && d->len > QUIRE_INLINE)));
		CHECK_EQ(desc_count(d->server.table), before);
		CHECK(has_signal(d->ends.in, SIGNAL_READABLE) && has_all(&d->client, d->numbers, d->fds));
		CHECK_EQ(receive(d, 0), 0);
	}
	struct quire_message m = got_message(&d->server);
	CHECK(m.tag == d->len && m.len == d->len && m.nfds == d->fds && m.reply >= 0);
	CHECK(has_all(&d->server, m.fds, m.nfds));
	CHECK_EQ(desc_count(d->server.table), before + d->fds + 1);
	if (d->len > QUIRE_INLINE)
		CHECK(holds(d->server.space, DATA, d->len / PAGE_SIZE, 0));
	CHECK_EQ(answer(d), 0);
}

/* full: descriptors that the server has already; chunks of its table have 64. */
static void receiving(uint32_t len, unsigned fds, unsigned full)
{
	struct duel d = {.len = len, .fds = fds, .fired = true};
	unsigned failed = 0;
	fs_env_begin();
	for (d.nth = 1; d.fired && d.nth < TRIES_MAX; d.nth++) {
		duel_open(&d);
		fill_table(d.server.table, full);
		duel_run(&d, calls, receives_with_failure);
		CHECK_EQ(d.client_err, 0);
		failed += d.server_err != 0;
		duel_close(&d);
	}
	CHECK(!d.fired && failed > 0);
	fs_env_end();
}

HOST_TEST(receiving_a_few_bytes)
{
	receiving(10, 0, 0);
}

HOST_TEST(receiving_many_bytes)
{
	receiving(QUIRE_MESSAGE_MAX, 0, 0);
}

HOST_TEST(receiving_descriptors)
{
	receiving(10, THINGS, 0);
}

/* Some of them have a place, the others need a new chunk. */
HOST_TEST(receiving_descriptors_half_of_which_fit)
{
	receiving(10, THINGS, 60);
}

HOST_TEST(receiving_descriptors_without_place_for_the_reply)
{
	receiving(10, THINGS, 64 - THINGS);
}

HOST_TEST(receiving_all_at_once)
{
	receiving(QUIRE_MESSAGE_MAX, THINGS, 60);
}

/* The caller has its table full of what it has, and memory fails before it sends, or when it is answered. */
static void calls_with_failure(struct duel *d)
{
	bool received = false;
	fill_table(d->client.table, 64);
	put_message(&d->client, &(struct quire_message){.data = DATA, .capacity = QUIRE_MESSAGE_MAX});
	inject_arm(d->nth);
	d->client_err = endpoint_call(d->ends.out, &d->client.user, MESSAGE, NSEC_NEVER, &received);
	d->fired = inject_fired();
	inject_arm(0);
	unsigned got = d->client_err ? 0 : d->fds;
	CHECK(may_fail(d->client_err, d->fired));
	CHECK_EQ(desc_count(d->client.table), 64 + got);
	if (got)
		CHECK(has_all(&d->client, got_message(&d->client).fds, got));
	if (!received) /* nobody waits for a message that does not come */
		CHECK_EQ(desc_close(d->ends.table, d->ends.out_fd), 0);
}

static void answers_with_descriptors(struct duel *d)
{
	put_room(&d->server, DATA, QUIRE_MESSAGE_MAX);
	d->server_err = receive(d, NSEC_NEVER);
	if (d->server_err)
		return;
	struct kobject *o;
	int fd = load_relaxed(&d->reply);
	struct quire_message m = make_message(d, &d->server);
	put_message(&d->server, &m);
	MUST(desc_lookup(d->server.table, fd, &o, NULL));
	CHECK_EQ(endpoint_reply(container_of(o, struct file, object), fd, &d->server.user, MESSAGE), 0);
	kobject_put(o);
	CHECK_EQ(desc_count(d->server.table), 0); /* they are the caller's, or gone */
}

HOST_TEST(being_answered)
{
	struct duel d = {.fds = THINGS, .fired = true};
	unsigned before = 0, after = 0;
	fs_env_begin();
	for (d.nth = 1; d.fired; d.nth++) {
		duel_open(&d);
		duel_run(&d, calls_with_failure, answers_with_descriptors);
		before += d.client_err && d.server_err;
		after += d.client_err && !d.server_err;
		duel_close(&d);
	}
	CHECK(before > 0 && after > 0);
	fs_env_end();
}

/* The server needs memory to reach the caller's: who is short of it is the caller, and is told. */
static void answers_with_failure(struct duel *d)
{
	struct kobject *o;
	put_room(&d->server, DATA, QUIRE_MESSAGE_MAX);
	CHECK_EQ(receive(d, NSEC_NEVER), 0);
	int fd = load_relaxed(&d->reply);
	for (unsigned i = 0; i < DATA_PAGES; i++)
		CHECK_EQ(store(d->server.space, DATA + LEN(i), i), 0);
	put_message(&d->server, &(struct quire_message){.len = QUIRE_MESSAGE_MAX, .data = DATA});
	MUST(desc_lookup(d->server.table, fd, &o, NULL));
	inject_arm(d->nth);
	CHECK_EQ(endpoint_reply(container_of(o, struct file, object), fd, &d->server.user, MESSAGE), 0);
	d->fired = inject_fired();
	inject_arm(0);
	kobject_put(o);
	CHECK_EQ(desc_count(d->server.table), 0);
}

static void calls_for_many_bytes(struct duel *d)
{
	bool received;
	put_message(&d->client, &(struct quire_message){.data = DATA, .capacity = QUIRE_MESSAGE_MAX});
	d->client_err = endpoint_call(d->ends.out, &d->client.user, MESSAGE, NSEC_NEVER, &received);
	CHECK(d->client_err || holds(d->client.space, DATA, DATA_PAGES, 0));
}

HOST_TEST(answering_many_bytes)
{
	struct duel d = {.fired = true};
	unsigned failed = 0;
	fs_env_begin();
	for (d.nth = 1; d.fired && d.nth < TRIES_MAX; d.nth++) {
		duel_open(&d);
		duel_run(&d, calls_for_many_bytes, answers_with_failure);
		CHECK(d.client_err == 0 || (d.fired && d.client_err == -EFAULT));
		failed += d.client_err != 0;
		duel_close(&d);
	}
	CHECK(!d.fired && failed > 0);
	fs_env_end();
}

/* --- moments --- */

static struct duel *playing; /* of the file's page */

static err_t moment_read(UNUSED struct vm_object *o, UNUSED pgidx_t at, struct page **pages, unsigned n)
{
	struct duel *d = playing;
	for (unsigned i = 0; i < n; i++)
		memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
	if (!d->moment_came && d->moment)
		d->moment(d);
	d->moment_came = true;
	return 0;
}

static err_t moment_write(
    UNUSED struct vm_object *o, UNUSED pgidx_t at, UNUSED struct page **pages, unsigned n)
{
	(void)n;
	return 0;
}

static const struct vm_file_ops moment_ops = {.read = moment_read, .write = moment_write};

/* The page of the moment, and behind it one that is there, or nothing. */
static void map_moment(struct duel *d, struct side *s)
{
	struct vm_object *o;
	playing = d;
	d->moment_came = false;
	MUST(object_create_file(&moment_ops, NULL, 1, &o));
	MUST(try_map(s->space, SPECIAL, LEN(1), RW, VM_MAP_FIXED, o)); /* private: nothing is written back */
	object_put(o);
	if (!d->hole)
		map_fixed(s->space, SPECIAL + LEN(1), 1, 0, NULL);
}

/* The client wants to give up; it has noticed when it sleeps so that nothing but the end of the copy wakes
 * it. */
static void client_has_given_up(struct duel *d)
{
	struct thread *t = load_acquire(&d->client.thread);
	UNTIL(
	    load_acquire(&t->state) == THREAD_BLOCKED && !__atomic_load_n(&t->wait_flags, __ATOMIC_RELAXED));
}

static void signal_comes(struct duel *d)
{
	fetch_or_acq_rel(&load_acquire(&d->client.thread)->flags, THREAD_SIGNALLED);
	client_has_given_up(d);
}

static void kill_comes(struct duel *d)
{
	fetch_or_acq_rel(&load_acquire(&d->client.thread)->flags, THREAD_KILLED);
	client_has_given_up(d);
}

static void receiving_end_is_closed(struct duel *d)
{
	CHECK_EQ(desc_close(d->ends.table, d->ends.in_fd), 0);
}

static void reply_is_closed(struct duel *d)
{
	CHECK_EQ(desc_close(d->server.table, load_acquire(&d->reply)), 0);
}

static void client_plays(struct duel *d)
{
	bool received;
	nsec_t deadline = d->patience;
	put_message(&d->client,
	    &(struct quire_message){
		.len = d->in_answer ? 0 : 2 * PAGE_SIZE, .data = DATA, .capacity = QUIRE_MESSAGE_MAX});
	if (!deadline) /* it does not wait for a receiver, so one has to sleep */
		UNTIL(has_signal(d->ends.out, SIGNAL_WRITABLE));
	else if (deadline != NSEC_NEVER)
		deadline += clock_now();
	d->client_err = d->calls ? endpoint_call(d->ends.out, &d->client.user, MESSAGE, deadline, &received)
				 : endpoint_send(d->ends.out, &d->client.user, MESSAGE, deadline);
	if (!d->moment_came) /* its deadline has passed before anybody looked */
		CHECK_EQ(desc_close(d->ends.table, d->ends.out_fd), 0);
}

/* The answer is copied from the moment's page. */
static err_t answer_in_a_moment(struct duel *d)
{
	struct kobject *o;
	int fd = load_relaxed(&d->reply);
	map_moment(d, &d->server);
	put_message(&d->server, &(struct quire_message){.len = 2 * PAGE_SIZE, .data = SPECIAL});
	MUST(desc_lookup(d->server.table, fd, &o, NULL));
	err_t err = endpoint_reply(container_of(o, struct file, object), fd, &d->server.user, MESSAGE);
	kobject_put(o);
	return err;
}

static void server_plays(struct duel *d)
{
	if (d->in_answer) {
		put_room(&d->server, DATA, QUIRE_MESSAGE_MAX);
		d->server_err = receive(d, NSEC_NEVER);
		if (!d->server_err)
			d->server_err = answer_in_a_moment(d);
		return;
	}
	put_room(&d->server, SPECIAL, QUIRE_MESSAGE_MAX);
	d->server_err = receive(d, NSEC_NEVER);
	int fd = load_relaxed(&d->reply);
	if (fd >= 0 && d->client_err == 0 && d->moment == receiving_end_is_closed)
		CHECK_EQ(answer(d), 0);
	else if (fd >= 0 && d->calls)
		CHECK_EQ(answer(d), -EPIPE);
}

/* Play it; if the client's deadline has passed too early, with one that is further off. */
static void play_moment(struct duel *d)
{
	bool missed = true;
	while (missed) {
		duel_open(d);
		if (!d->in_answer)
			map_moment(d, &d->server);
		d->client_err = 0;
		d->moment_came = false;
		duel_run(d, client_plays, server_plays);
		missed = !d->moment_came;
		CHECK(!missed || d->client_err == -ETIMEDOUT);
		d->patience = missed ? d->patience * 2 : d->patience;
		duel_close(d);
	}
}

struct row {
	part_fn *moment;
	nsec_t patience;
	bool calls, in_answer, hole;
	err_t client, server;
};
#define SHORT 1000000 /* ns */

static void play_rows(const struct row *rows, unsigned n)
{
	fs_env_begin();
	for (unsigned i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		struct duel d = {.moment = r->moment,
		    .patience = r->patience,
		    .calls = r->calls,
		    .in_answer = r->in_answer,
		    .hole = r->hole};
		play_moment(&d);
		if (d.client_err != r->client || d.server_err != r->server)
			printf("# row %u: client %d, server %d\n", i, d.client_err, d.server_err);
		CHECK_EQ(d.client_err, r->client);
		CHECK_EQ(d.server_err, r->server);
	}
	fs_env_end();
}

/* It sleeps on; if the receiver succeeds so has a send, and a call ends as when it waits. */
HOST_TEST(giving_up_while_the_message_is_copied)
{
	static const struct row rows[] = {
	    {signal_comes, NSEC_NEVER, false, false, false, 0, 0},
	    {signal_comes, NSEC_NEVER, true, false, false, -EINTR, 0},
	    {signal_comes, NSEC_NEVER, false, false, true, -EINTR, -EFAULT},
	    {signal_comes, NSEC_NEVER, true, false, true, -EINTR, -EFAULT},
	    {kill_comes, NSEC_NEVER, false, false, false, 0, 0},
	    {kill_comes, NSEC_NEVER, true, false, true, -EINTR, -EFAULT},
	    {client_has_given_up, SHORT, false, false, false, 0, 0},
	    {client_has_given_up, SHORT, true, false, false, -ETIMEDOUT, 0},
	    {client_has_given_up, SHORT, false, false, true, -ETIMEDOUT, -EFAULT},
	    {client_has_given_up, SHORT, true, false, true, -ETIMEDOUT, -EFAULT},
	};
	play_rows(rows, ARRAY_SIZE(rows));
}

/* Who sends only to somebody who sleeps does not wait for the next. */
HOST_TEST(the_only_receiver_cannot_have_it)
{
	static const struct row rows[] = {
	    {does_nothing, 0, false, false, false, 0, 0},
	    {does_nothing, 0, false, false, true, -ETIMEDOUT, -EFAULT},
	    {does_nothing, 0, true, false, true, -ETIMEDOUT, -EFAULT},
	};
	play_rows(rows, ARRAY_SIZE(rows));
}

HOST_TEST(the_end_goes_while_the_message_is_copied)
{
	static const struct row rows[] = {
	    {receiving_end_is_closed, NSEC_NEVER, false, false, false, 0, 0},
	    {receiving_end_is_closed, NSEC_NEVER, true, false, false, 0, 0}, /* it can be answered */
	    {receiving_end_is_closed, NSEC_NEVER, false, false, true, -EPIPE, -EFAULT},
	    {receiving_end_is_closed, NSEC_NEVER, true, false, true, -EPIPE, -EFAULT},
	};
	play_rows(rows, ARRAY_SIZE(rows));
}

/* An answer that is given counts; if it is not, what has come meanwhile does. */
HOST_TEST(giving_up_while_the_answer_is_copied)
{
	static const struct row rows[] = {
	    {signal_comes, NSEC_NEVER, true, true, false, 0, 0},
	    {signal_comes, NSEC_NEVER, true, true, true, -EINTR, -EFAULT},
	    {kill_comes, NSEC_NEVER, true, true, true, -EINTR, -EFAULT},
	    {client_has_given_up, SHORT, true, true, false, 0, 0},
	    {client_has_given_up, SHORT, true, true, true, -ETIMEDOUT, -EFAULT},
	    {reply_is_closed, NSEC_NEVER, true, true, false, 0, 0},
	    {reply_is_closed, NSEC_NEVER, true, true, true, -EPIPE, -EFAULT},
	    {receiving_end_is_closed, NSEC_NEVER, true, true, false, 0, 0},
	};
	play_rows(rows, ARRAY_SIZE(rows));
}

int main(int argc, char **argv)
{
	endpoint_env_init(16384);
	return host_test_main_started(argc, argv);
}
