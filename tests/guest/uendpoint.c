/*
 * uendpoint.c - messages between processes: what arrives, and row by row what becomes of each side when the
 * other, or something else, ends (docs/objects.md, "Who is told what").
 *
 * A test never waits for a time: that a sender has queued its message is a signal of the receiving end, that
 * a receiver sleeps is one of the sending end.
 */
#include <fcntl.h>
#include <pthread.h>
#include <quire/calls.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "utap.h"

enum { FULL = 65536, SOON = 10 /* seconds that nothing here takes */ };

static uint64_t in_seconds(unsigned s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec + s) * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static uint64_t soon(void)
{
	return in_seconds(SOON);
}

static bool has_signal(int fd, uint64_t mask)
{
	struct quire_wait w = {.fd = fd, .mask = mask};
	return quire_object_wait(&w, 1, soon()) == 1 && (w.signals & mask);
}

/* The two ends. */
enum { IN, OUT };
static int ends[2];

static bool make_ends(void)
{
	return quire_endpoint_create(ends, 0) == 0;
}

static void close_ends(void)
{
	close(ends[IN]);
	close(ends[OUT]);
}

static struct quire_message message(uint64_t tag, const char *text)
{
	struct quire_message m = {.tag = tag, .len = (uint32_t)strlen(text), .reply = -1};
	memcpy(m.bytes, text, m.len);
	return m;
}

static bool is(const struct quire_message *m, uint64_t tag, const char *text)
{
	return m->tag == tag && m->len == strlen(text) && !memcmp(m->bytes, text, m->len);
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A child that runs fn and exits with what that returns. */
static pid_t start(int (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(2 * SOON);
		_exit(fn());
	}
	return pid;
}

static int end_of(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool went_well(pid_t pid)
{
	int status = end_of(pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What the child's call is to fail with. */
static int expected;

static int child_sends(void)
{
	struct quire_message m = message(1, "hello");
	close(ends[IN]);
	long result = quire_endpoint_send(ends[OUT], &m, soon());
	return expected ? !(result < 0 && errno == expected) : result != 0;
}

static int child_calls(void)
{
	struct quire_message m = message(2, "question");
	close(ends[IN]);
	long result = quire_endpoint_call(ends[OUT], &m, soon());
	if (expected)
		return !(result < 0 && errno == expected);
	return !(result == 0 && is(&m, 3, "answer"));
}

/* A call of the child's has been received. */
static bool child_is_received(pid_t *pid, int error, struct quire_message *m)
{
	expected = error;
	*pid = start(child_calls);
	memset(m, 0, sizeof(*m));
	CHECK(quire_endpoint_receive(ends[IN], m, soon()) == 0);
	CHECK(is(m, 2, "question") && m->reply >= 0);
	return true;
}

/* --- what arrives --- */

static bool test_send(void)
{
	struct quire_message m = {0};
	CHECK(make_ends());
	expected = 0;
	pid_t pid = start(child_sends);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0);
	CHECK(is(&m, 1, "hello") && m.nfds == 0 && m.reply == QUIRE_NO_REPLY);
	CHECK(went_well(pid));
	close_ends();
	return true;
}

static bool test_call(void)
{
	struct quire_message m, answer = message(3, "answer");
	pid_t pid;
	CHECK(make_ends() && child_is_received(&pid, 0, &m));
	CHECK(fcntl(m.reply, F_GETFD) == FD_CLOEXEC);
	CHECK(quire_endpoint_reply(m.reply, &answer) == 0);
	CHECK(went_well(pid));
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, &answer), EBADF));
	close_ends();
	return true;
}

static uint8_t big[2 * FULL] __attribute__((aligned(4096)));
static uint8_t big_answer[2 * FULL] __attribute__((aligned(4096)));

static void fill(uint8_t *at, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

static bool is_filled(const uint8_t *at, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] != (uint8_t)(i * 7 + i / 251 + seed))
			return false;
	return true;
}

static const uint32_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, FULL - 1, FULL};
enum { NSIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* A message of n bytes from an odd place, to be answered with as many. */
static struct quire_message sized(uint32_t n, uint8_t *from, uint8_t *to, unsigned seed)
{
	struct quire_message m = {.tag = n, .len = n, .capacity = FULL, .reply = -1};
	uint8_t *at = n > QUIRE_INLINE ? from + 3 : m.bytes;
	fill(at, n, seed);
	m.data = (uint64_t)(uintptr_t)(n > QUIRE_INLINE ? from + 3 : to);
	return m;
}

static int child_calls_sizes(void)
{
	for (unsigned i = 0; i < NSIZES; i++) {
		struct quire_message m = sized(sizes[i], big, big, i);
		UCHECK(quire_endpoint_call(ends[OUT], &m, soon()) == 0);
		const uint8_t *got = sizes[i] > QUIRE_INLINE ? big + 3 : m.bytes;
		UCHECK(m.len == sizes[i] && is_filled(got, sizes[i], i + 100));
	}
	return 0;
}

static bool test_sizes(void)
{
	CHECK(make_ends());
	pid_t pid = start(child_calls_sizes);
	for (unsigned i = 0; i < NSIZES; i++) {
		struct quire_message m = {.data = (uint64_t)(uintptr_t)(big_answer + 5), .capacity = FULL};
		CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0);
		const uint8_t *got = sizes[i] > QUIRE_INLINE ? big_answer + 5 : m.bytes;
		CHECK(m.tag == sizes[i] && m.len == sizes[i] && is_filled(got, sizes[i], i));
		struct quire_message answer = sized(sizes[i], big_answer, big_answer, i + 100);
		CHECK(quire_endpoint_reply(m.reply, &answer) == 0);
	}
	CHECK(went_well(pid));
	struct quire_message m = {.len = FULL + 1, .data = (uint64_t)(uintptr_t)big};
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, QUIRE_NOW), EMSGSIZE));
	close_ends();
	return true;
}

static int child_sends_pipe(void)
{
	int p[2];
	UCHECK(pipe(p) == 0 && quire_rights_limit(p[0], QUIRE_RIGHT_READ | QUIRE_RIGHT_TRANSFER) == 0);
	struct quire_message m = message(5, "");
	m.nfds = 2;
	m.fds[0] = p[0];
	m.fds[1] = p[1];
	UCHECK(quire_endpoint_send(ends[OUT], &m, soon()) == 0);
	UCHECK(fcntl(p[0], F_GETFD) < 0 && fcntl(p[1], F_GETFD) < 0);
	return 0;
}

static bool test_descriptors(void)
{
	struct quire_message m = {0};
	char c = 0;
	CHECK(make_ends());
	pid_t pid = start(child_sends_pipe);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0 && m.nfds == 2);
	CHECK(went_well(pid));
	CHECK(quire_rights_get(m.fds[0]) == (QUIRE_RIGHT_READ | QUIRE_RIGHT_TRANSFER));
	CHECK(write(m.fds[1], "x", 1) == 1 && read(m.fds[0], &c, 1) == 1 && c == 'x');
	CHECK(close(m.fds[1]) == 0 && read(m.fds[0], &c, 1) == 0);
	close(m.fds[0]);
	m = message(5, "");
	m.nfds = QUIRE_MESSAGE_FDS + 1;
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, QUIRE_NOW), EINVAL));
	m.nfds = 1;
	m.fds[0] = 999;
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, QUIRE_NOW), EBADF));
	int fd = dup(0);
	CHECK(quire_rights_limit(fd, QUIRE_RIGHT_READ) == 0);
	m.fds[0] = fd;
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, QUIRE_NOW), EACCES));
	close(fd);
	close_ends();
	return true;
}

static bool test_notify(void)
{
	struct quire_message m = {0};
	CHECK(make_ends());
	CHECK(quire_endpoint_notify(ends[OUT], 5) == 0 && quire_endpoint_notify(ends[OUT], 1ULL << 63) == 0);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], BAD, QUIRE_NOW), EFAULT));
	CHECK(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW) == 0);
	CHECK(m.tag == (5 | 1ULL << 63) && m.len == 0 && m.reply == QUIRE_NOTIFICATION);
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), ETIMEDOUT));
	close(ends[IN]);
	CHECK(FAILS_WITH(quire_endpoint_notify(ends[OUT], 1), EPIPE));
	close(ends[OUT]);
	return true;
}

static unsigned client;

static int child_asks_often(void)
{
	for (unsigned i = 0; i < 300; i++) {
		struct quire_message m = {.tag = client * 1000 + i};
		UCHECK(quire_endpoint_call(ends[OUT], &m, soon()) == 0);
		UCHECK(m.tag == (client * 1000 + i) * 3);
	}
	return 0;
}

/* Two servers answer four clients, in the order in which nobody asked. */
static int child_serves(void)
{
	struct quire_message m = {0}, last = {.reply = -1};
	close(ends[OUT]);
	while (quire_endpoint_receive(ends[IN], &m, last.reply < 0 ? soon() : in_seconds(0)) == 0 ||
	       errno == ETIMEDOUT) {
		struct quire_message answer = {.tag = last.tag * 3};
		if (last.reply >= 0)
			UCHECK(quire_endpoint_reply(last.reply, &answer) == 0);
		last.reply = -1;
		if (m.reply >= 0)
			last = m;
		m.reply = -1;
	}
	return errno != EPIPE;
}

static bool test_many(void)
{
	pid_t clients[4], servers[2];
	CHECK(make_ends());
	for (unsigned i = 0; i < 2; i++)
		servers[i] = start(child_serves);
	for (client = 0; client < 4; client++)
		clients[client] = start(child_asks_often);
	close_ends();
	for (unsigned i = 0; i < 4; i++)
		CHECK(went_well(clients[i]));
	for (unsigned i = 0; i < 2; i++)
		CHECK(went_well(servers[i]));
	return true;
}

static int child_serves_in_one(void)
{
	struct quire_message m = {0};
	int reply = -1;
	close(ends[OUT]);
	while (quire_endpoint_reply_receive(reply, ends[IN], &m, soon()) == 0) {
		m.tag *= 3;
		reply = m.reply;
	}
	return errno != EPIPE;
}

static bool test_reply_receive(void)
{
	CHECK(make_ends());
	pid_t server = start(child_serves_in_one);
	client = 7;
	pid_t asks = start(child_asks_often);
	close_ends();
	CHECK(went_well(asks) && went_well(server));
	return true;
}

/* --- the sender's message is queued --- */

static bool test_queued_deadline(void)
{
	struct quire_message m = message(1, "late");
	CHECK(make_ends());
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, in_seconds(0)), ETIMEDOUT));
	CHECK(FAILS_WITH(quire_endpoint_call(ends[OUT], &m, QUIRE_NOW), ETIMEDOUT));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), ETIMEDOUT));
	close_ends();
	return true;
}

static void on_signal(int signo)
{
	(void)signo;
}

static int restarting;

static int child_is_signalled(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = restarting ? SA_RESTART : 0};
	sigaction(SIGUSR1, &sa, NULL);
	return child_sends();
}

static bool test_queued_signal(void)
{
	struct quire_message m = {0};
	CHECK(make_ends());
	restarting = 0;
	expected = EINTR;
	pid_t pid = start(child_is_signalled);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	kill(pid, SIGUSR1);
	CHECK(went_well(pid));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), ETIMEDOUT));
	restarting = 1;
	expected = 0;
	pid = start(child_is_signalled);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	kill(pid, SIGUSR1);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0 && is(&m, 1, "hello"));
	CHECK(went_well(pid));
	close_ends();
	return true;
}

static bool test_queued_killed(void)
{
	struct quire_message m = {0};
	CHECK(make_ends());
	pid_t pid = start(child_sends);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	kill(pid, SIGKILL);
	CHECK(WIFSIGNALED(end_of(pid)));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), ETIMEDOUT));
	close_ends();
	return true;
}

static bool test_queued_receiver_closed(void)
{
	CHECK(make_ends());
	expected = EPIPE;
	pid_t pid = start(child_sends);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	close(ends[IN]);
	CHECK(went_well(pid));
	struct quire_message m = message(1, "nobody");
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, QUIRE_NEVER), EPIPE));
	CHECK(has_signal(ends[OUT], QUIRE_SIGNAL_PEER_CLOSED));
	close(ends[OUT]);
	return true;
}

static void *thread_sends(void *arg)
{
	struct quire_message m = message(1, "hello");
	(void)arg;
	long result = quire_endpoint_send(ends[OUT], &m, soon());
	return (void *)(intptr_t)(result ? errno : 0);
}

static bool test_queued_sender_closed(void)
{
	pthread_t t;
	void *error;
	CHECK(make_ends());
	CHECK(!pthread_create(&t, NULL, thread_sends, NULL));
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	close(ends[OUT]);
	CHECK(!pthread_join(t, &error) && (intptr_t)error == ECANCELED);
	close(ends[IN]);
	return true;
}

/* What the receiver cannot have stays the first of the queue, with all that belongs to it. */
static bool test_receiver_cannot(void)
{
	struct quire_message m = {0}, answer = message(3, "answer");
	struct rlimit limit, none;
	CHECK(make_ends());
	expected = 0;
	pid_t pid = start(child_calls);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], BAD, QUIRE_NOW), EFAULT));
	const struct quire_message *readable =
	    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], (void *)(uintptr_t)readable, QUIRE_NOW), EFAULT));
	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	unsigned before = count_fds();
	none.rlim_cur = 0;
	CHECK(!setrlimit(RLIMIT_NOFILE, &none));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), EMFILE));
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	CHECK(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW) == 0 && is(&m, 2, "question"));
	CHECK(count_fds() == before + 1); /* the reply: nothing was left behind */
	CHECK(quire_endpoint_reply(m.reply, &answer) == 0 && went_well(pid));
	close_ends();
	return true;
}

static int child_sends_big(void)
{
	struct quire_message m = {.tag = 9, .len = 5000, .data = (uint64_t)(uintptr_t)big};
	fill(big, 5000, 1);
	return quire_endpoint_send(ends[OUT], &m, soon()) != 0;
}

static bool test_too_short(void)
{
	struct quire_message m = {.data = (uint64_t)(uintptr_t)big_answer, .capacity = 4999};
	CHECK(make_ends());
	pid_t pid = start(child_sends_big);
	CHECK(has_signal(ends[IN], QUIRE_SIGNAL_READABLE));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), EMSGSIZE) && m.len == 5000);
	m.capacity = 5000;
	m.data = 1;
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW), EFAULT));
	m.data = (uint64_t)(uintptr_t)big_answer;
	CHECK(quire_endpoint_receive(ends[IN], &m, QUIRE_NOW) == 0 && is_filled(big_answer, 5000, 1));
	CHECK(went_well(pid));
	close_ends();
	return true;
}

static int child_sends_nothing_readable(void)
{
	struct quire_message m = {.len = 5000, .data = 4096};
	UCHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, soon()), EFAULT));
	m = message(1, "hello");
	return quire_endpoint_send(ends[OUT], &m, soon()) != 0;
}

static bool test_senders_memory_bad(void)
{
	struct quire_message m = {.data = (uint64_t)(uintptr_t)big, .capacity = FULL};
	CHECK(make_ends());
	pid_t pid = start(child_sends_nothing_readable);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0 && is(&m, 1, "hello"));
	CHECK(went_well(pid));
	close_ends();
	return true;
}

/* --- the caller waits for the answer --- */

static int child_calls_briefly(void)
{
	struct quire_message m = message(2, "question");
	return !FAILS_WITH(quire_endpoint_call(ends[OUT], &m, in_seconds(2)), ETIMEDOUT);
}

static bool test_waiting_deadline(void)
{
	struct quire_message m = {0}, answer = message(3, "answer");
	CHECK(make_ends());
	pid_t pid = start(child_calls_briefly);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0);
	CHECK(went_well(pid));
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, &answer), EPIPE));
	CHECK(fcntl(m.reply, F_GETFD) < 0);
	close_ends();
	return true;
}

static int child_calls_and_is_signalled(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &sa, NULL);
	return child_calls();
}

static bool test_waiting_signal(void)
{
	struct quire_message m = {0}, answer = message(3, "answer");
	CHECK(make_ends());
	expected = EINTR; /* SA_RESTART or not: the question has been asked */
	pid_t pid = start(child_calls_and_is_signalled);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0);
	kill(pid, SIGUSR1);
	CHECK(went_well(pid));
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, &answer), EPIPE));
	close_ends();
	return true;
}

static bool test_waiting_killed(void)
{
	struct quire_message m, answer = message(3, "answer");
	pid_t pid;
	CHECK(make_ends() && child_is_received(&pid, 0, &m));
	kill(pid, SIGKILL);
	CHECK(WIFSIGNALED(end_of(pid)));
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, &answer), EPIPE));
	close_ends();
	return true;
}

static bool test_waiting_reply_closed(void)
{
	struct quire_message m;
	pid_t pid;
	CHECK(make_ends() && child_is_received(&pid, EPIPE, &m));
	close(m.reply);
	CHECK(went_well(pid));
	close_ends();
	return true;
}

static int child_receives_and_stays(void)
{
	struct quire_message m;
	if (quire_endpoint_receive(ends[IN], &m, soon()) == 0)
		kill(getpid(), SIGKILL);
	return 1;
}

static bool test_waiting_server_killed(void)
{
	struct quire_message m = message(2, "question");
	CHECK(make_ends());
	pid_t pid = start(child_receives_and_stays);
	CHECK(FAILS_WITH(quire_endpoint_call(ends[OUT], &m, soon()), EPIPE));
	CHECK(WIFSIGNALED(end_of(pid)));
	close_ends();
	return true;
}

static bool test_waiting_receiver_closed(void)
{
	struct quire_message m, answer = message(3, "answer");
	pid_t pid;
	CHECK(make_ends() && child_is_received(&pid, 0, &m));
	close(ends[IN]);
	CHECK(quire_endpoint_reply(m.reply, &answer) == 0 && went_well(pid));
	close(ends[OUT]);
	return true;
}

static int third[2];

static int child_answers_for_another(void)
{
	struct quire_message m = {0}, answer = message(3, "answer");
	UCHECK(quire_endpoint_receive(third[IN], &m, soon()) == 0 && m.nfds == 1);
	return quire_endpoint_reply(m.fds[0], &answer) != 0;
}

static bool test_reply_is_handed_on(void)
{
	struct quire_message m, parcel = message(4, "for you");
	pid_t pid;
	CHECK(make_ends() && quire_endpoint_create(third, 0) == 0);
	pid_t other = start(child_answers_for_another);
	CHECK(child_is_received(&pid, 0, &m));
	parcel.nfds = 1;
	parcel.fds[0] = m.reply;
	CHECK(quire_endpoint_send(third[OUT], &parcel, soon()) == 0);
	CHECK(went_well(pid) && went_well(other));
	close(third[IN]);
	close(third[OUT]);
	close_ends();
	return true;
}

static bool test_answer_cannot(void)
{
	struct quire_message m, answer = message(3, "answer"), big_one = {.len = 100, .data = 4096};
	pid_t pid;
	CHECK(make_ends() && child_is_received(&pid, 0, &m));
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, BAD), EFAULT));
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, &big_one), EMSGSIZE)); /* the caller has no room */
	answer.nfds = 1;
	answer.fds[0] = 999;
	CHECK(FAILS_WITH(quire_endpoint_reply(m.reply, &answer), EBADF));
	CHECK(FAILS_WITH(dup(m.reply), EACCES));
	answer.nfds = 0;
	CHECK(quire_endpoint_reply(m.reply, &answer) == 0 && went_well(pid));
	close_ends();
	return true;
}

static int child_has_no_room(void)
{
	struct quire_message m = message(2, "question");
	m.data = 4096;
	m.capacity = FULL;
	return !FAILS_WITH(quire_endpoint_call(ends[OUT], &m, soon()), EFAULT);
}

static bool test_callers_memory_bad(void)
{
	struct quire_message m = {0}, answer = {.len = 100, .data = (uint64_t)(uintptr_t)big};
	CHECK(make_ends());
	pid_t pid = start(child_has_no_room);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0);
	answer.data = 4096;
	CHECK(
	    FAILS_WITH(quire_endpoint_reply(m.reply, &answer), EFAULT)); /* this side's is looked at first */
	answer.data = (uint64_t)(uintptr_t)big;
	CHECK(quire_endpoint_reply(m.reply, &answer) == 0); /* it is not the answer's fault */
	CHECK(went_well(pid));
	close_ends();
	return true;
}

static int reply_fd;

static int child_has_not(void)
{
	return fcntl(reply_fd, F_GETFD) >= 0;
}

static bool test_reply_is_not_inherited(void)
{
	struct quire_message m;
	pid_t pid;
	CHECK(make_ends() && child_is_received(&pid, EPIPE, &m));
	reply_fd = m.reply;
	CHECK(went_well(start(child_has_not)));
	close(m.reply);
	CHECK(went_well(pid));
	close_ends();
	return true;
}

/* --- the receiver sleeps --- */

static int child_with_a_full_table(void)
{
	struct quire_message m = message(2, "question");
	struct rlimit limit;
	close(ends[IN]);
	int lowest = dup(ends[OUT]);
	UCHECK(close(lowest) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = (rlim_t)lowest;
	UCHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	return !FAILS_WITH(quire_endpoint_call(ends[OUT], &m, soon()), EMFILE);
}

static bool test_callers_table_full(void)
{
	struct quire_message m = {0}, answer = message(3, "answer");
	char c;
	int p[2];
	CHECK(make_ends());
	pid_t pid = start(child_with_a_full_table);
	CHECK(quire_endpoint_receive(ends[IN], &m, soon()) == 0 && pipe(p) == 0);
	answer.nfds = 1;
	answer.fds[0] = p[1];
	CHECK(quire_endpoint_reply(m.reply, &answer) == 0);
	CHECK(went_well(pid));
	CHECK(fcntl(p[1], F_GETFD) < 0 && read(p[0], &c, 1) == 0); /* it has moved, and was closed */
	close(p[0]);
	close_ends();
	return true;
}

static int child_receives(void)
{
	struct quire_message m = {0};
	struct sigaction sa = {.sa_handler = on_signal};
	sigaction(SIGUSR1, &sa, NULL);
	close(ends[OUT]);
	return !FAILS_WITH(quire_endpoint_receive(ends[IN], &m, soon()), expected);
}

static bool test_receiving_deadline(void)
{
	struct quire_message m = {0};
	CHECK(make_ends());
	uint64_t deadline = in_seconds(1);
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[IN], &m, deadline), ETIMEDOUT));
	CHECK(in_seconds(0) >= deadline);
	close_ends();
	return true;
}

static bool test_receiving_signal(void)
{
	CHECK(make_ends());
	expected = EINTR;
	pid_t pid = start(child_receives);
	CHECK(has_signal(ends[OUT], QUIRE_SIGNAL_WRITABLE));
	kill(pid, SIGUSR1);
	CHECK(went_well(pid));
	close_ends();
	return true;
}

static bool test_receiving_killed(void)
{
	struct quire_message m = message(1, "nobody");
	CHECK(make_ends());
	pid_t pid = start(child_receives);
	CHECK(has_signal(ends[OUT], QUIRE_SIGNAL_WRITABLE));
	kill(pid, SIGKILL);
	CHECK(WIFSIGNALED(end_of(pid)));
	CHECK(FAILS_WITH(quire_endpoint_send(ends[OUT], &m, QUIRE_NOW), ETIMEDOUT));
	close_ends();
	return true;
}

static bool test_receiving_senders_gone(void)
{
	CHECK(make_ends());
	expected = EPIPE;
	pid_t pid = start(child_receives);
	CHECK(has_signal(ends[OUT], QUIRE_SIGNAL_WRITABLE));
	close(ends[OUT]);
	CHECK(went_well(pid));
	close(ends[IN]);
	return true;
}

static void *thread_receives(void *arg)
{
	struct quire_message m;
	(void)arg;
	long result = quire_endpoint_receive(ends[IN], &m, soon());
	return (void *)(intptr_t)(result ? errno : 0);
}

static bool test_receiving_closed(void)
{
	pthread_t t;
	void *error;
	CHECK(make_ends());
	CHECK(!pthread_create(&t, NULL, thread_receives, NULL));
	CHECK(has_signal(ends[OUT], QUIRE_SIGNAL_WRITABLE));
	close(ends[IN]);
	CHECK(!pthread_join(t, &error) && (intptr_t)error == ECANCELED);
	close(ends[OUT]);
	return true;
}

/* --- circles --- */

static int chain[3][2];

/* Server i asks server i + 1 before it answers. The last one asks the first, who waits for it. */
static int serve_in_chain(unsigned i, unsigned n)
{
	struct quire_message m = {0};
	for (unsigned j = 0; j < n; j++)
		if (j != i)
			close(chain[j][IN]);
	UCHECK(quire_endpoint_receive(chain[i][IN], &m, soon()) == 0);
	int reply = m.reply;
	struct quire_message ask = {.tag = 1};
	long result = quire_endpoint_call(chain[(i + 1) % n][OUT], &ask, QUIRE_NEVER);
	struct quire_message answer = {.tag = result < 0 ? (uint64_t)errno : ask.tag};
	return quire_endpoint_reply(reply, &answer) != 0;
}

static unsigned chain_length, chain_next;

static int child_in_chain(void)
{
	return serve_in_chain(chain_next, chain_length);
}

static bool test_circle(void)
{
	pid_t pids[3];
	for (chain_length = 1; chain_length <= 3; chain_length++) {
		for (unsigned i = 0; i < chain_length; i++)
			CHECK(quire_endpoint_create(chain[i], 0) == 0);
		for (chain_next = 0; chain_next < chain_length; chain_next++)
			pids[chain_next] = start(child_in_chain);
		for (unsigned i = 0; i < chain_length; i++)
			close(chain[i][IN]);
		struct quire_message m = {.tag = 1};
		CHECK(quire_endpoint_call(chain[0][OUT], &m, soon()) == 0 && m.tag == EDEADLK);
		for (unsigned i = 0; i < chain_length; i++) {
			CHECK(went_well(pids[i]));
			close(chain[i][OUT]);
		}
	}
	return true;
}

static bool test_nothing_is_left(void)
{
	unsigned before = count_fds();
	CHECK(test_descriptors() && test_reply_is_handed_on() && test_receiver_cannot());
	CHECK(count_fds() == before);
	return true;
}

static const struct utest tests[] = {
    {"a message arrives", test_send},
    {"a call is answered, once", test_call},
    {"messages of all sizes, both ways", test_sizes},
    {"descriptors move, with their rights", test_descriptors},
    {"notifications add up", test_notify},
    {"answers find those who asked", test_many},
    {"a server answers and receives in one call", test_reply_receive},
    {"queued: the deadline", test_queued_deadline},
    {"queued: a signal", test_queued_signal},
    {"queued: the sender is killed", test_queued_killed},
    {"queued: the receiving end is closed", test_queued_receiver_closed},
    {"queued: the sending end is closed", test_queued_sender_closed},
    {"what the receiver cannot have stays", test_receiver_cannot},
    {"what is too long for the receiver stays", test_too_short},
    {"the sender's memory is bad", test_senders_memory_bad},
    {"waiting: the deadline", test_waiting_deadline},
    {"waiting: a signal", test_waiting_signal},
    {"waiting: the caller is killed", test_waiting_killed},
    {"waiting: the reply is closed", test_waiting_reply_closed},
    {"waiting: the server is killed", test_waiting_server_killed},
    {"waiting: the receiving end is closed", test_waiting_receiver_closed},
    {"a third one answers", test_reply_is_handed_on},
    {"an answer that cannot be given", test_answer_cannot},
    {"the caller's memory is bad", test_callers_memory_bad},
    {"the caller's table is full", test_callers_table_full},
    {"a reply is not inherited", test_reply_is_not_inherited},
    {"receiving: the deadline", test_receiving_deadline},
    {"receiving: a signal", test_receiving_signal},
    {"receiving: the receiver is killed", test_receiving_killed},
    {"receiving: no sender is left", test_receiving_senders_gone},
    {"receiving: the end is closed", test_receiving_closed},
    {"circles of calls", test_circle},
    {"no descriptor is left behind", test_nothing_is_left},
};

int main(void)
{
	return UTEST_RUN(tests);
}
