/*
 * uobject.c - descriptors as capabilities: rights one by one, signals of objects and waiting for them; and a
 * walk over the table of native calls, each with bad descriptors, objects of other types, missing rights, bad
 * addresses.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>

#include "upass.h"
#include "uroot.h"
#include "utap.h"

static uint64_t in_seconds(unsigned s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec + s) * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static long pidfd_of(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

/* --- rights --- */

static int a_file(void)
{
	char path[64];
	int fd = open(utest_file(path, "file"), O_RDWR | O_CREAT, 0644);
	if (fd < 0 || write(fd, "abcd", 4) != 4 || lseek(fd, 0, SEEK_SET) != 0)
		return -1;
	return fd;
}

/* A descriptor of a new file that has all rights but one. */
static int without(unsigned right)
{
	int fd = a_file();
	return quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~right) == 0 ? fd : -1;
}

static bool test_shrink(void)
{
	int fd = a_file();
	long rights = quire_rights_get(fd);
	CHECK(rights == QUIRE_RIGHTS_ALL);
	CHECK(FAILS_WITH(quire_rights_limit(fd, QUIRE_RIGHTS_ALL + 1), EINVAL));
	CHECK(quire_rights_limit(fd, QUIRE_RIGHT_READ | QUIRE_RIGHT_DUPLICATE) == 0);
	CHECK(FAILS_WITH(quire_rights_limit(fd, QUIRE_RIGHT_READ | QUIRE_RIGHT_WRITE), EACCES));
	CHECK(quire_rights_get(fd) == (QUIRE_RIGHT_READ | QUIRE_RIGHT_DUPLICATE));
	int copies[] = {dup(fd), dup2(fd, 100), fcntl(fd, F_DUPFD, 50)};
	for (unsigned i = 0; i < 3; i++) {
		CHECK(copies[i] >= 0 && quire_rights_get(copies[i]) == quire_rights_get(fd));
		close(copies[i]);
	}
	close(fd);
	CHECK(FAILS_WITH(quire_rights_get(fd), EBADF) && FAILS_WITH(quire_rights_limit(fd, 0), EBADF));
	fd = open("/", O_RDONLY);
	CHECK(quire_rights_get(fd) == (QUIRE_RIGHTS_ALL & ~QUIRE_RIGHT_WRITE));
	close(fd);
	return true;
}

static bool test_without_read(void)
{
	char c;
	int fd = without(QUIRE_RIGHT_READ);
	CHECK(FAILS_WITH(read(fd, &c, 1), EBADF) && FAILS_WITH(pread(fd, &c, 1, 0), EBADF));
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	CHECK(lseek(fd, 0, SEEK_CUR) == 0 && write(fd, "x", 1) == 1);
	close(fd);
	return true;
}

static bool test_without_write(void)
{
	char c;
	struct stat st;
	int fd = without(QUIRE_RIGHT_WRITE);
	CHECK(FAILS_WITH(write(fd, "x", 1), EBADF) && FAILS_WITH(pwrite(fd, "x", 1, 0), EBADF));
	CHECK(FAILS_WITH(ftruncate(fd, 0), EINVAL) && FAILS_WITH(sc(fallocate, fd, 0, 0, 9999), EBADF));
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED && FAILS_WITH(mprotect(at, 4096, PROT_READ | PROT_WRITE), EACCES));
	munmap(at, 4096);
	CHECK(read(fd, &c, 1) == 1 && c == 'a' && fstat(fd, &st) == 0 && st.st_size == 4);
	close(fd);
	return true;
}

static bool test_without_map_or_exec(void)
{
	int fd = without(QUIRE_RIGHT_MAP);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EACCES);
	close(fd);
	fd = without(QUIRE_RIGHT_EXEC);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EACCES);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(at != MAP_FAILED && FAILS_WITH(mprotect(at, 4096, PROT_READ | PROT_EXEC), EACCES));
	munmap(at, 4096);
	close(fd);
	fd = open("/", O_RDONLY);
	CHECK(quire_rights_limit(fd, QUIRE_RIGHTS_ALL & ~(QUIRE_RIGHT_WRITE | QUIRE_RIGHT_EXEC)) == 0);
	CHECK(FAILS_WITH(openat(fd, "tmp", O_RDONLY), EACCES) && FAILS_WITH(fchdir(fd), EACCES));
	close(fd);
	return true;
}

static int lost;

static int child_has_lost(void *arg)
{
	(void)arg;
	return fcntl(lost, F_GETFD) >= 0;
}

static bool test_without_duplicate(void)
{
	char path[64];
	int fd = lost = without(QUIRE_RIGHT_DUPLICATE);
	CHECK(FAILS_WITH(dup(fd), EACCES) && FAILS_WITH(dup2(fd, 100), EACCES));
	CHECK(FAILS_WITH(fcntl(100, F_GETFD), EBADF) && FAILS_WITH(fcntl(fd, F_DUPFD, 0), EACCES));
	int self = (int)pidfd_of(getpid());
	CHECK(FAILS_WITH(syscall(SYS_pidfd_getfd, self, fd, 0), EACCES));
	close(self);
	CHECK(child_exits(child_has_lost, NULL, 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(FAILS_WITH(open(path, O_RDWR), EACCES)); /* it would have all rights again */
	close(fd);
	return true;
}

static bool test_transfer(void)
{
	int pair[2], fd = without(QUIRE_RIGHT_TRANSFER);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHECK(FAILS_WITH(send_fd(pair[0], fd), EACCES));
	close(fd);
	fd = without(QUIRE_RIGHT_WRITE);
	CHECK(send_fd(pair[0], fd) == 1);
	int got = receive_fd(pair[1]);
	CHECK(got >= 0 && quire_rights_get(got) == quire_rights_get(fd));
	CHECK(FAILS_WITH(write(got, "x", 1), EBADF));
	close(got);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	return true;
}

static bool test_without_inspect(void)
{
	struct stat st;
	struct quire_object_info info;
	int fd = without(QUIRE_RIGHT_INSPECT);
	CHECK(FAILS_WITH(fstat(fd, &st), EACCES) && FAILS_WITH(fcntl(fd, F_GETFL), EACCES));
	CHECK(FAILS_WITH(quire_object_info(fd, &info, sizeof(info)), EACCES));
	close(fd);
	return true;
}

static bool test_without_manage(void)
{
	struct stat st;
	int on = 1, fd = without(QUIRE_RIGHT_MANAGE);
	CHECK(FAILS_WITH(fchmod(fd, 0), EACCES) && FAILS_WITH(fchown(fd, 1, 1), EACCES));
	CHECK(
	    FAILS_WITH(fcntl(fd, F_SETFL, O_APPEND), EACCES) && FAILS_WITH(ioctl(fd, FIONBIO, &on), EACCES));
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && !fstat(fd, &st) && (st.st_mode & 07777) == 0644);
	close(fd);
	fd = (int)pidfd_of(getpid());
	CHECK(!quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~(unsigned)QUIRE_RIGHT_MANAGE));
	CHECK(FAILS_WITH(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), EACCES));
	close(fd);
	return true;
}

static bool test_without_wait(void)
{
	int fd = eventfd(1, 0), ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};
	CHECK(!quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~(unsigned)QUIRE_RIGHT_WAIT));
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct quire_wait w = {.fd = fd, .mask = QUIRE_SIGNAL_READABLE};
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLNVAL);
	CHECK(FAILS_WITH(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e), EACCES));
	CHECK(FAILS_WITH(quire_object_wait(&w, 1, QUIRE_NOW), EACCES));
	close(ep);
	close(fd);
	return true;
}

static bool test_info(void)
{
	struct quire_object_info a, b;
	int p[2], again;
	CHECK(pipe(p) == 0 && (again = dup(p[0])) >= 0);
	CHECK(quire_object_info(p[0], &a, sizeof(a)) == sizeof(a));
	CHECK(quire_object_info(again, &b, sizeof(b)) == sizeof(b));
	CHECK(a.koid == b.koid && a.type == QUIRE_CHANNEL && a.descriptors == 2 && a.references >= 2);
	CHECK(a.rights == (unsigned)quire_rights_get(p[0]) && !(a.signals & QUIRE_SIGNAL_READABLE));
	CHECK(quire_object_info(p[1], &b, sizeof(b) + 100) == sizeof(b) && a.koid != b.koid);
	CHECK(FAILS_WITH(quire_object_info(p[1], &b, sizeof(b) - 1), EINVAL));
	close(p[0]);
	close(p[1]);
	close(again);
	CHECK(pipe(p) == 0 && quire_object_info(p[0], &b, sizeof(b)) == sizeof(b));
	CHECK(b.koid > a.koid && b.descriptors == 1); /* never used again */
	close(p[0]);
	close(p[1]);
	int fd = (int)pidfd_of(getpid());
	CHECK(quire_object_info(fd, &a, sizeof(a)) == sizeof(a) && a.type == QUIRE_PROCESS);
	close(fd);
	return true;
}

static bool test_proc(void)
{
	char path[64], text[400] = "";
	int fds[2];
	CHECK(quire_endpoint_create(fds, 0) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	ssize_t n = readlink(path, text, sizeof(text));
	CHECK(n > 0 && !memcmp(text, "anon_inode:[endpoint]", (size_t)n));
	CHECK(!quire_rights_limit(fds[0], QUIRE_RIGHT_READ));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fds[0]);
	int fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0 && strstr(text, "koid:\t") && strstr(text, "rights:\t0x1\n"));
	close(fd);
	close(fds[0]);
	close(fds[1]);
	return true;
}

/* --- signals --- */

#define USER_A (1ULL << 48)
#define USER_B (1ULL << 63)

static bool test_user_signals(void)
{
	int fd = eventfd(0, 0);
	struct quire_wait w = {.fd = fd, .mask = USER_A | USER_B};
	CHECK(FAILS_WITH(quire_object_wait(&w, 1, QUIRE_NOW), ETIMEDOUT) && !(w.signals & w.mask));
	CHECK(FAILS_WITH(quire_object_signal(fd, 1ULL << 47, 0), EINVAL));
	CHECK(FAILS_WITH(quire_object_signal(fd, USER_A, QUIRE_SIGNAL_WRITABLE), EINVAL));
	CHECK(quire_object_signal(fd, USER_B, 0) == 0);
	CHECK(quire_object_wait(&w, 1, QUIRE_NEVER) == 1 && (w.signals & w.mask) == USER_B);
	CHECK(quire_object_wait(&w, 1, QUIRE_NOW) == 1); /* a level */
	CHECK(quire_object_signal(fd, USER_A, USER_B) == 0);
	CHECK(quire_object_wait(&w, 1, QUIRE_NOW) == 1 && (w.signals & w.mask) == USER_A);
	int copy = dup(fd);
	CHECK(quire_object_signal(copy, 0, USER_A) == 0);
	CHECK(FAILS_WITH(quire_object_wait(&w, 1, QUIRE_NOW), ETIMEDOUT));
	CHECK(!quire_rights_limit(copy, QUIRE_RIGHT_WAIT));
	CHECK(FAILS_WITH(quire_object_signal(copy, USER_A, 0), EACCES));
	close(copy);
	close(fd);
	return true;
}

static bool test_any_of(void)
{
	int a[2], b[2];
	CHECK(!pipe(a) && !pipe(b));
	struct quire_wait w[3] = {{.fd = a[0], .mask = QUIRE_SIGNAL_READABLE},
	    {.fd = b[0], .mask = QUIRE_SIGNAL_READABLE}, {.fd = b[0], .mask = QUIRE_SIGNAL_PEER_CLOSED}};
	CHECK(FAILS_WITH(quire_object_wait(w, 3, in_seconds(0)), ETIMEDOUT));
	CHECK(write(b[1], "x", 1) == 1);
	CHECK(quire_object_wait(w, 3, QUIRE_NEVER) == 1 && (w[1].signals & QUIRE_SIGNAL_READABLE));
	CHECK(!(w[0].signals & QUIRE_SIGNAL_READABLE));
	close(b[1]); /* what was written stays */
	CHECK(quire_object_wait(w, 3, QUIRE_NEVER) == 2 && w[2].signals & QUIRE_SIGNAL_PEER_CLOSED);
	char c;
	CHECK(read(b[0], &c, 1) == 1 && read(b[0], &c, 1) == 0);
	CHECK(FAILS_WITH(quire_object_wait(w, 0, QUIRE_NOW), EINVAL));
	CHECK(FAILS_WITH(quire_object_wait(w, QUIRE_WAIT_MAX + 1, QUIRE_NOW), EINVAL));
	w[1].fd = -1;
	CHECK(FAILS_WITH(quire_object_wait(w, 3, QUIRE_NOW), EBADF));
	close(a[0]);
	close(a[1]);
	close(b[0]);
	return true;
}

static int waited[2];
static _Atomic int waiter_runs;

static void *thread_waits(void *arg)
{
	struct quire_wait w[2] = {{.fd = *(int *)arg, .mask = USER_A}, {.fd = waited[1], .mask = USER_B}};
	waiter_runs = 1;
	long result = quire_object_wait(w, 2, in_seconds(10));
	return (void *)(intptr_t)(result < 0 ? errno * 2 + (w[0].error == ECANCELED) : (long)w[1].signals);
}

/* The other thread has slept at least once since it said that it runs: its object has an observer, or will
 * look for a closed descriptor itself. Either order must work, so nothing is waited for. */
static bool test_closed_while_waiting(void)
{
	for (unsigned i = 0; i < 200; i++) {
		pthread_t t;
		void *result;
		waited[0] = eventfd(0, 0);
		waited[1] = eventfd(0, 0);
		int kept = dup(waited[0]); /* the object lives on */
		waiter_runs = 0;
		CHECK(!pthread_create(&t, NULL, thread_waits, &waited[0]));
		while (!waiter_runs)
			sched_yield();
		if (i % 2)
			usleep(500);
		close(waited[0]);
		CHECK(!pthread_join(t, &result));
		/* EBADF: it was closed before the call looked. */
		CHECK((intptr_t)result == ECANCELED * 2 + 1 || (intptr_t)result == EBADF * 2);
		close(kept);
		close(waited[1]);
	}
	return true;
}

static int child_signals(void *arg)
{
	(void)arg;
	return quire_object_signal(waited[1], USER_B, 0) != 0;
}

static bool test_signal_wakes(void)
{
	pthread_t t;
	void *result;
	waited[0] = eventfd(0, 0);
	waited[1] = eventfd(0, 0);
	CHECK(!pthread_create(&t, NULL, thread_waits, &waited[0]));
	CHECK(child_exits(child_signals, NULL, 0));
	CHECK(!pthread_join(t, &result) && ((uint64_t)(intptr_t)result & USER_B));
	close(waited[0]);
	close(waited[1]);
	return true;
}

static bool test_process_dies(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(1);
	}
	int fd = (int)pidfd_of(pid);
	struct quire_wait w = {.fd = fd, .mask = 0};
	CHECK(FAILS_WITH(quire_object_wait(&w, 1, QUIRE_NOW), ETIMEDOUT));
	CHECK(!syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	CHECK(quire_object_wait(&w, 1, in_seconds(10)) == 1 && (w.signals & QUIRE_SIGNAL_DEAD));
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	CHECK(quire_object_wait(&w, 1, QUIRE_NOW) == 1);
	close(fd);
	return true;
}

/* The same states move poll and epoll. */
static bool test_poll_agrees(void)
{
	int fds[2], ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = 7}, got;
	CHECK(quire_endpoint_create(fds, 0) == 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &e));
	struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLOUT}};
	CHECK(poll(p, 2, 0) == 0 && epoll_wait(ep, &got, 1, 0) == 0);
	CHECK(quire_endpoint_notify(fds[1], 1) == 0);
	CHECK(poll(p, 2, 0) == 1 && p[0].revents == POLLIN);
	CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.data.u32 == 7);
	struct quire_message m;
	CHECK(quire_endpoint_receive(fds[0], &m, QUIRE_NOW) == 0);
	CHECK(poll(p, 2, 0) == 0 && epoll_wait(ep, &got, 1, 0) == 0);
	close(fds[0]);
	CHECK(poll(p + 1, 1, 0) == 1 && (p[1].revents & POLLERR || p[1].revents & POLLHUP));
	close(fds[1]);
	close(ep);
	return true;
}

/* --- the walk over the table --- */

struct arg {
	enum { ARG_WORD, ARG_BYTES, ARG_OBJECT } kind;
	unsigned a, b; /* in, out; or type, rights */
	size_t size;
};
#define WORD                                                                                                 \
	{                                                                                                    \
		.kind = ARG_WORD                                                                             \
	}
#define BYTES(in, out, n)                                                                                    \
	{                                                                                                    \
		.kind = ARG_BYTES, .a = (in), .b = (out), .size = (n)                                        \
	}
#define OBJECT(type, need)                                                                                   \
	{                                                                                                    \
		.kind = ARG_OBJECT, .a = (type), .b = (need)                                                 \
	}
#define CALL(nr, name, n, ...) {nr, #name, n, {__VA_ARGS__}},

static const struct native_call {
	long nr;
	const char *name;
	unsigned nargs;
	struct arg args[6];
} calls[] = {
#include "native_checks.inc"
};
enum { NCALLS = sizeof(calls) / sizeof(calls[0]) };

/* An object of this type that has these rights; a reply needs somebody who waits for it. */
struct asker {
	pthread_t thread;
	int ends[2];
};
static struct asker askers[256]; /* by the descriptor of the reply */

static void *thread_asks(void *to)
{
	struct quire_message m = {.tag = 1};
	(void)quire_endpoint_call((int)(intptr_t)to, &m, QUIRE_NEVER);
	return NULL;
}

static int a_reply(void)
{
	struct quire_message m = {.reply = -1};
	struct asker a;
	if (quire_endpoint_create(a.ends, 0) ||
	    pthread_create(&a.thread, NULL, thread_asks, (void *)(intptr_t)a.ends[1]))
		return -1;
	if (quire_endpoint_receive(a.ends[0], &m, in_seconds(10)))
		return -1;
	askers[m.reply] = a;
	return m.reply;
}

static void forget_reply(int fd)
{
	struct asker *a = &askers[fd];
	close(fd);
	pthread_join(a->thread, NULL);
	close(a->ends[0]);
	close(a->ends[1]);
}

/* The highest lines are those that nobody has. */
static int an_irq(void)
{
	long fd = -1;
	for (int line = 23; line >= 0 && fd < 0; line--)
		fd = quire_system_irq(system_given(), (unsigned)line, 0);
	return (int)fd;
}

static int a_ttyport(void)
{
	long fd = -1;
	for (unsigned number = QUIRE_TTYPORT_LAST; number >= QUIRE_TTYPORT_FIRST && fd < 0; number--)
		fd = quire_ttyport_create(system_given(), number);
	return (int)fd;
}

static int an_object(const struct arg *a)
{
	int fds[2];
	if (a->a == QUIRE_REPLY)
		return a_reply();
	if (a->a == QUIRE_SYSTEM)
		return dup(system_given());
	if (a->a == QUIRE_IRQ)
		return an_irq();
	if (a->a == QUIRE_TTYPORT)
		return a_ttyport();
	if (a->a == QUIRE_VMO)
		return (int)quire_vmo_create(QUIRE_VMO_OPEN, 0, 4096);
	if (a->a == QUIRE_PROCESS)
		return (int)pidfd_of(getpid());
	if (a->a == QUIRE_THREAD)
		return (int)quire_thread_open(QUIRE_SELF, getpid());
	if (a->a != QUIRE_ENDPOINT)
		return eventfd(0, 0);
	if (quire_endpoint_create(fds, 0))
		return -1;
	bool receives = a->b & QUIRE_RIGHT_READ;
	int keep = fds[!receives];
	close(fds[receives]);
	return keep;
}

static void forget(const struct arg *a, int fd)
{
	if (a->a == QUIRE_REPLY)
		forget_reply(fd);
	else
		close(fd);
}

static uint8_t scratch[4096] __attribute__((aligned(64)));

/* Arguments with which nothing is wrong. Words are 0: a descriptor, no signal, now. */
static bool good_args(const struct native_call *c, long *args)
{
	memset(scratch, 0, sizeof(scratch));
	for (unsigned i = 0; i < 6; i++) {
		const struct arg *a = &c->args[i];
		args[i] = 0;
		if (i >= c->nargs)
			continue;
		if (a->kind == ARG_BYTES)
			args[i] = (long)(intptr_t)scratch;
		if (a->kind == ARG_OBJECT && (args[i] = an_object(a)) < 0)
			return false;
	}
	return true;
}

static void put_args(const struct native_call *c, const long *args)
{
	for (unsigned i = 0; i < c->nargs; i++)
		if (c->args[i].kind == ARG_OBJECT)
			forget(&c->args[i], (int)args[i]);
}

static long call_with(const struct native_call *c, const long *args, unsigned at, long value)
{
	long a[6];
	memcpy(a, args, sizeof(a));
	a[at] = value;
	errno = 0;
	return syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static bool fails(const struct native_call *c, const long *args, unsigned at, long value, int error)
{
	unsigned before = count_fds();
	long result = call_with(c, args, at, value);
	if (result == -1 && errno == error && count_fds() == before)
		return true;
	printf("# %s: argument %u = %#lx: %ld, errno %d, not %d\n", c->name, at + 1, value, result, errno,
	    error);
	return false;
}

static bool check_object(const struct native_call *c, const long *args, unsigned at)
{
	static const long bad[] = {-2, 255, 1 << 20, INT32_MAX, INT32_MIN};
	const struct arg *a = &c->args[at];
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!fails(c, args, at, bad[i], EBADF))
			return false;
	int path = open("/", O_PATH), other = eventfd(0, 0);
	bool ok = fails(c, args, at, path, EBADF);
	if (a->a != QUIRE_ANY)
		ok = ok && fails(c, args, at, other, EINVAL) && fails(c, args, at, 1, EINVAL);
	close(path);
	close(other);
	for (unsigned right = 1; ok && right <= QUIRE_RIGHT_MANAGE; right <<= 1) {
		if (!(a->b & right))
			continue;
		int fd = an_object(a);
		ok = fd >= 0 && !quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~right);
		ok = ok && fails(c, args, at, fd, EACCES);
		forget(a, fd);
	}
	return ok;
}

static bool check_bytes(const struct native_call *c, const long *args, unsigned at)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct arg *a = &c->args[at];
	munmap(page + 4096, 4096);
	const long bad[] = {0, 1, -1, (long)0xffff800000000000UL, (long)0x7ffffffff000UL,
	    (long)0x1234567800000000L, (long)(intptr_t)(page + 4096),
	    (long)(intptr_t)(page + 4096 - (a->size ? a->size - 1 : 1))};
	bool ok = true;
	if (!a->a) /* what is only filled in: a page that cannot be */
		mprotect(page, 4096, PROT_READ);
	for (unsigned i = 0; ok && i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (a->a && !a->size) /* a string: the page before its end has one */
			page[4095] = 'x';
		ok = fails(c, args, at, bad[i], EFAULT);
	}
	munmap(page, 4096);
	return ok;
}

/* The last descriptor of an object of some type is closed while a thread waits for it, or just before
 * (EBADF). */
static bool is_told_of_close(const struct arg *a)
{
	pthread_t t;
	void *result;
	int fd = an_object(a);
	waited[1] = eventfd(0, 0);
	waiter_runs = 0;
	CHECK(fd >= 0 && !pthread_create(&t, NULL, thread_waits, &fd));
	while (!waiter_runs)
		sched_yield();
	forget(a, fd);
	CHECK(!pthread_join(t, &result));
	CHECK((intptr_t)result == ECANCELED * 2 + 1 || (intptr_t)result == EBADF * 2);
	close(waited[1]);
	return true;
}

static bool test_each_type_closed(void)
{
	static const struct arg types[] = {{.a = QUIRE_VMO}, {.a = QUIRE_PROCESS}, {.a = QUIRE_EVENT},
	    {.a = QUIRE_ENDPOINT, .b = QUIRE_RIGHT_READ}, {.a = QUIRE_ENDPOINT, .b = QUIRE_RIGHT_WRITE},
	    {.a = QUIRE_IRQ}, {.a = QUIRE_SYSTEM}, {.a = QUIRE_REPLY}};
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		for (unsigned n = 0; n < 20; n++)
			CHECK(is_told_of_close(&types[i]));
	return true;
}

/* What the walk cannot know: sizes and counts that a call needs before it looks at addresses. */
static void set_words(const struct native_call *c, long *args)
{
	if (!strcmp(c->name, "object_info"))
		args[2] = sizeof(struct quire_object_info);
	if (!strcmp(c->name, "object_wait"))
		args[1] = 1;
}

static bool test_table(void)
{
	unsigned before = count_fds();
	for (unsigned i = 0; i < NCALLS; i++) {
		const struct native_call *c = &calls[i];
		long args[6];
		CHECK(good_args(c, args));
		set_words(c, args);
		for (unsigned j = 0; j < c->nargs; j++) {
			CHECK(c->args[j].kind != ARG_OBJECT || check_object(c, args, j));
			CHECK(c->args[j].kind != ARG_BYTES || check_bytes(c, args, j));
		}
		put_args(c, args);
		CHECK(count_fds() == before);
	}
	CHECK(NCALLS >= 24);
	return true;
}

static bool test_unknown_numbers(void)
{
	static const long numbers[] = {0x1003, 0x100f, 0x1015, 0x1fff, 0xfff};
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		CHECK(FAILS_WITH(syscall(numbers[i], 0, 0, 0, 0, 0, 0), ENOSYS));
	return true;
}

static const struct utest tests[] = {
    {"rights shrink", test_shrink},
    {"without the right to read", test_without_read},
    {"without the right to write", test_without_write},
    {"without the rights to map, and to execute", test_without_map_or_exec},
    {"without the right to duplicate", test_without_duplicate},
    {"the right to transfer; rights go along", test_transfer},
    {"without the right to inspect", test_without_inspect},
    {"without the right to manage", test_without_manage},
    {"without the right to wait", test_without_wait},
    {"information", test_info},
    {"what /proc shows", test_proc},
    {"user signals", test_user_signals},
    {"waiting for any of many", test_any_of},
    {"a descriptor that is waited for is closed", test_closed_while_waiting},
    {"one of each type is closed", test_each_type_closed},
    {"a signal wakes who waits for it", test_signal_wakes},
    {"the end of a process", test_process_dies},
    {"poll and epoll agree", test_poll_agrees},
    {"every call of the table, with what is wrong", test_table},
    {"numbers that are no calls", test_unknown_numbers},
};

int main(void)
{
	bool mounted = access("/proc/self", F_OK) != 0;
	if (mounted && ((mkdir("/proc", 0555) && errno != EEXIST) || mount("proc", "/proc", "proc", 0, NULL)))
		return 1;
	int failed = UTEST_RUN(tests);
	if (mounted)
		umount("/proc");
	return failed;
}
