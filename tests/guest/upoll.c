/* upoll.c - poll, select and epoll: what they tell, when they wait, what wakes them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "utap.h"

static int pipe_fds[2];

static bool fresh_pipe(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return pipe(pipe_fds) == 0;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static short poll_one(int fd, short events, int timeout)
{
	struct pollfd p = {.fd = fd, .events = events, .revents = -1};
	int n = poll(&p, 1, timeout);
	return n == (p.revents != 0) ? p.revents : -1;
}

/* After a while a child does `what` to the pipe. */
static pid_t later(void (*what)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		usleep(50000);
		what();
		_exit(0);
	}
	return pid;
}

static bool reap(pid_t pid)
{
	int status;
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void write_one(void)
{
	if (write(pipe_fds[1], "x", 1) != 1)
		_exit(1);
}

static bool poll_pipes(void)
{
	char buf[65536];
	CHECK(fresh_pipe());
	CHECK(poll_one(pipe_fds[0], POLLIN | POLLOUT, 0) == 0);
	CHECK(poll_one(pipe_fds[1], POLLIN | POLLOUT | POLLWRNORM, 0) == (POLLOUT | POLLWRNORM));
	CHECK(write(pipe_fds[1], "abc", 3) == 3);
	CHECK(poll_one(pipe_fds[0], POLLIN | POLLRDNORM, -1) == (POLLIN | POLLRDNORM));
	CHECK(poll_one(pipe_fds[0], POLLPRI, 0) == 0);
	memset(buf, 0, sizeof(buf));
	CHECK(fcntl(pipe_fds[1], F_SETFL, O_NONBLOCK) == 0);
	while (write(pipe_fds[1], buf, sizeof(buf)) > 0)
		;
	CHECK(errno == EAGAIN);
	CHECK(poll_one(pipe_fds[1], POLLOUT, 0) == 0);
	close(pipe_fds[1]);
	CHECK(poll_one(pipe_fds[0], POLLIN, 0) == (POLLIN | POLLHUP));
	while (read(pipe_fds[0], buf, sizeof(buf)) > 0)
		;
	CHECK(poll_one(pipe_fds[0], POLLIN, 0) == POLLHUP);
	CHECK(poll_one(pipe_fds[0], 0, 0) == POLLHUP);
	CHECK(pipe(pipe_fds) == 0);
	close(pipe_fds[0]);
	CHECK(poll_one(pipe_fds[1], POLLOUT, 0) == (POLLOUT | POLLERR));
	return true;
}

static bool poll_errors(void)
{
	struct pollfd p[3] = {
	    {.fd = -1, .events = POLLIN, .revents = 5}, {.fd = 777, .events = POLLIN}, {.fd = 0}};
	CHECK(poll(p, 2, -1) == 1);
	CHECK(p[0].revents == 0 && p[1].revents == POLLNVAL);
	CHECK(poll((void *)8, 1, 0) == -1 && errno == EFAULT);
	CHECK(poll(NULL, 0, 1) == 0);
	CHECK(poll(p, 1 << 30, 0) == -1 && errno == EINVAL);
	struct timespec bad = {0, 1000000000};
	CHECK(ppoll(p, 1, &bad, NULL) == -1 && errno == EINVAL);
	return true;
}

static bool poll_times(void)
{
	CHECK(fresh_pipe());
	double t = now();
	CHECK(poll_one(pipe_fds[0], POLLIN, 30) == 0);
	CHECK(now() - t >= 0.029);
	pid_t pid = later(write_one);
	CHECK(poll_one(pipe_fds[0], POLLIN, -1) == POLLIN);
	CHECK(reap(pid));
	struct timespec ts = {10, 0};
	struct pollfd p = {.fd = pipe_fds[0], .events = POLLIN};
	CHECK(ppoll(&p, 1, &ts, NULL) == 1 && p.revents == POLLIN);
	return true;
}

static bool poll_regular(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0);
	CHECK(poll_one(fd, POLLIN | POLLOUT, -1) == (POLLIN | POLLOUT));
	close(fd);
	return true;
}

static volatile sig_atomic_t got;
static void on_signal(int s)
{
	got = s;
}

static bool wait_masks(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
	sigset_t block, none;
	CHECK(fresh_pipe());
	CHECK(sigaction(SIGUSR1, &sa, &old) == 0);
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &block, NULL) == 0);
	CHECK(kill(getpid(), SIGUSR1) == 0 && got == 0);
	struct pollfd p = {.fd = pipe_fds[0], .events = POLLIN};
	CHECK(poll(&p, 1, 1) == 0 && got == 0);
	CHECK(ppoll(&p, 1, NULL, &none) == -1 && errno == EINTR && got == SIGUSR1);
	got = 0;
	CHECK(kill(getpid(), SIGUSR1) == 0 && got == 0);
	fd_set in;
	FD_ZERO(&in);
	FD_SET(pipe_fds[0], &in);
	CHECK(
	    pselect(pipe_fds[0] + 1, &in, NULL, NULL, NULL, &none) == -1 && errno == EINTR && got == SIGUSR1);
	CHECK(FD_ISSET(pipe_fds[0], &in));
	got = 0;
	CHECK(kill(getpid(), SIGUSR1) == 0 && got == 0);
	struct epoll_event e;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll_pwait(ep, &e, 1, -1, &none) == -1 && errno == EINTR && got == SIGUSR1);
	sigset_t now_blocked;
	CHECK(sigprocmask(SIG_UNBLOCK, &block, &now_blocked) == 0 && sigismember(&now_blocked, SIGUSR1));
	close(ep);
	CHECK(sigaction(SIGUSR1, &old, NULL) == 0);
	return true;
}

static bool select_all(void)
{
	fd_set in, out, ex;
	struct timeval tv = {0, 20000};
	CHECK(fresh_pipe());
	int max = (pipe_fds[0] > pipe_fds[1] ? pipe_fds[0] : pipe_fds[1]) + 1;
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&ex);
	FD_SET(pipe_fds[0], &in);
	FD_SET(pipe_fds[1], &out);
	FD_SET(pipe_fds[0], &ex);
	CHECK(select(max, &in, &out, &ex, &tv) == 1);
	CHECK(!FD_ISSET(pipe_fds[0], &in) && FD_ISSET(pipe_fds[1], &out) && !FD_ISSET(pipe_fds[0], &ex));
	write_one();
	FD_SET(pipe_fds[0], &in);
	CHECK(select(max, &in, &out, NULL, NULL) == 2);
	char c;
	CHECK(read(pipe_fds[0], &c, 1) == 1);
	tv = (struct timeval){0, 20000};
	CHECK(syscall(SYS_select, max, &in, NULL, NULL, &tv) == 0 && tv.tv_sec == 0 && tv.tv_usec == 0);
	CHECK(!FD_ISSET(pipe_fds[0], &in));
	int fd = pipe_fds[0];
	close(pipe_fds[1]);
	FD_SET(fd, &in);
	CHECK(select(max, &in, NULL, NULL, NULL) == 1 && FD_ISSET(fd, &in));
	close(fd);
	CHECK(select(max, &in, NULL, NULL, NULL) == -1 && errno == EBADF);
	CHECK(select(-1, NULL, NULL, NULL, NULL) == -1 && errno == EINVAL);
	CHECK(pipe(pipe_fds) == 0);
	fd = dup2(pipe_fds[0], 300);
	CHECK(fd == 300);
	write_one();
	FD_ZERO(&in);
	FD_SET(300, &in);
	CHECK(select(301, &in, NULL, NULL, NULL) == 1 && FD_ISSET(300, &in));
	close(300);
	return true;
}

static int ep_add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = {.events = events, .data.u64 = data};
	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static bool epoll_levels(void)
{
	struct epoll_event e[4];
	int ep = epoll_create1(0), ev = eventfd(0, 0);
	CHECK(fresh_pipe());
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN, 0x123456789abcULL) == 0);
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN, 1) == -1 && errno == EEXIST);
	CHECK(ep_add(ep, ev, EPOLLIN, 2) == 0);
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	write_one();
	for (int i = 0; i < 3; i++)
		CHECK(epoll_wait(ep, e, 4, -1) == 1 && e[0].events == EPOLLIN &&
		      e[0].data.u64 == 0x123456789abcULL);
	CHECK(eventfd_write(ev, 5) == 0);
	CHECK(epoll_wait(ep, e, 1, -1) == 1 && e[0].data.u64 != 2);
	CHECK(epoll_wait(ep, e, 1, -1) == 1 && e[0].data.u64 == 2); /* in turn */
	CHECK(epoll_wait(ep, e, 4, -1) == 2);
	eventfd_t v;
	CHECK(eventfd_read(ev, &v) == 0 && v == 5);
	CHECK(epoll_wait(ep, e, 4, -1) == 1);
	e[0].events = EPOLLOUT;
	e[0].data.u64 = 9;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, ev, &e[0]) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, pipe_fds[0], NULL) == 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, pipe_fds[0], NULL) == -1 && errno == ENOENT);
	CHECK(epoll_wait(ep, e, 4, -1) == 1 && e[0].events == EPOLLOUT && e[0].data.u64 == 9);
	close(ev);
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	close(ep);
	return true;
}

static bool epoll_edges(void)
{
	struct epoll_event e[4];
	int ep = epoll_create1(0);
	char c;
	CHECK(fresh_pipe());
	write_one();
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN | EPOLLET, 1) == 0);
	CHECK(epoll_wait(ep, e, 4, 0) == 1);
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	write_one();
	CHECK(epoll_wait(ep, e, 4, 0) == 1);
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	e[0].events = EPOLLIN | EPOLLONESHOT;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, pipe_fds[0], &e[0]) == 0);
	CHECK(epoll_wait(ep, e, 4, 0) == 1);
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	write_one();
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	e[0].events = EPOLLIN | EPOLLONESHOT;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, pipe_fds[0], &e[0]) == 0);
	CHECK(epoll_wait(ep, e, 4, 0) == 1);
	while (poll_one(pipe_fds[0], POLLIN, 0))
		CHECK(read(pipe_fds[0], &c, 1) == 1);
	e[0].events = EPOLLIN;
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, pipe_fds[0], &e[0]) == 0);
	pid_t pid = later(write_one);
	CHECK(epoll_wait(ep, e, 4, -1) == 1);
	CHECK(reap(pid));
	close(ep);
	return true;
}

static bool epoll_closing(void)
{
	struct epoll_event e[4];
	int ep = epoll_create1(0);
	CHECK(fresh_pipe());
	int copy = dup(pipe_fds[0]);
	write_one();
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN, 1) == 0);
	CHECK(ep_add(ep, copy, EPOLLIN, 2) == 0);
	CHECK(epoll_wait(ep, e, 4, 0) == 2);
	close(copy); /* the file is open still: both stay */
	CHECK(epoll_wait(ep, e, 4, 0) == 2);
	close(pipe_fds[0]);
	CHECK(epoll_wait(ep, e, 4, 0) == 0);
	CHECK(poll_one(pipe_fds[1], POLLOUT, 0) == (POLLOUT | POLLERR)); /* watching kept nothing open */
	CHECK(pipe(pipe_fds) == 0);
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN, 1) == 0);
	close(ep);
	close(pipe_fds[0]);
	CHECK(pipe(pipe_fds) == 0);
	return true;
}

static bool epoll_nests(void)
{
	struct epoll_event e[4];
	int ep[7];
	for (int i = 0; i < 7; i++)
		ep[i] = epoll_create1(0);
	CHECK(fresh_pipe());
	CHECK(ep_add(ep[0], pipe_fds[0], EPOLLIN, 7) == 0);
	CHECK(ep_add(ep[1], ep[0], EPOLLIN, 8) == 0);
	CHECK(epoll_wait(ep[1], e, 4, 0) == 0);
	CHECK(poll_one(ep[1], POLLIN, 0) == 0);
	pid_t pid = later(write_one);
	CHECK(poll_one(ep[1], POLLIN, -1) == POLLIN);
	CHECK(reap(pid));
	CHECK(epoll_wait(ep[1], e, 4, 0) == 1 && e[0].data.u64 == 8);
	CHECK(epoll_wait(ep[0], e, 4, 0) == 1 && e[0].data.u64 == 7);
	char c;
	CHECK(read(pipe_fds[0], &c, 1) == 1);
	CHECK(poll_one(ep[0], POLLIN, 0) == 0);
	CHECK(ep_add(ep[0], ep[1], EPOLLIN, 0) == -1 && errno == ELOOP);
	CHECK(ep_add(ep[0], ep[0], EPOLLIN, 0) == -1 && errno == EINVAL);
	int depth = 2;
	while (depth < 7 && ep_add(ep[depth], ep[depth - 1], EPOLLIN, 0) == 0)
		depth++;
	CHECK(errno == ELOOP && depth == 5);
	for (int i = 0; i < 7; i++)
		close(ep[i]);
	return true;
}

static bool epoll_errors(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(0), dir = open("/", O_RDONLY);
	CHECK(epoll_create1(1) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_epoll_create, 0) == -1 && errno == EINVAL);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, 777, &e) == -1 && errno == EBADF);
	CHECK(epoll_ctl(777, EPOLL_CTL_ADD, ep, &e) == -1 && errno == EBADF);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, dir, &e) == -1 && errno == EPERM);
	CHECK(epoll_ctl(pipe_fds[0], EPOLL_CTL_ADD, pipe_fds[1], &e) == -1 && errno == EINVAL);
	CHECK(epoll_ctl(ep, 77, pipe_fds[0], &e) == -1 && errno == EINVAL);
	CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, pipe_fds[0], &e) == -1 && errno == ENOENT);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, pipe_fds[0], (void *)8) == -1 && errno == EFAULT);
	CHECK(epoll_wait(ep, &e, 0, 0) == -1 && errno == EINVAL);
	CHECK(epoll_wait(dir, &e, 1, 0) == -1 && errno == EINVAL);
	CHECK(epoll_wait(777, &e, 1, 0) == -1 && errno == EBADF);
	write_one();
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN, 3) == 0);
	CHECK(epoll_wait(ep, (void *)8, 1, 0) == -1 && errno == EFAULT);
	CHECK(epoll_wait(ep, &e, 1, 0) == 1 && e.data.u64 == 3);
	close(ep);
	close(dir);
	return true;
}

/* Several processes wait on one epoll, which they got by fork: each event is seen by one that takes it. */
static bool epoll_shared(void)
{
	enum { WAITERS = 4, EVENTS = 200 };
	int ep = epoll_create1(0), done[2];
	pid_t pids[WAITERS];
	CHECK(fresh_pipe());
	CHECK(pipe(done) == 0);
	CHECK(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(ep_add(ep, pipe_fds[0], EPOLLIN | EPOLLRDHUP, 1) == 0);
	for (int i = 0; i < WAITERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct epoll_event e;
			char c;
			ssize_t n;
			close(pipe_fds[1]);
			for (;;) {
				epoll_wait(ep, &e, 1, -1);
				while ((n = read(pipe_fds[0], &c, 1)) == 1)
					if (write(done[1], &c, 1) != 1)
						_exit(1);
				if (n == 0)
					_exit(0);
			}
		}
	}
	for (int i = 0; i < EVENTS; i++)
		write_one();
	char c;
	for (int i = 0; i < EVENTS; i++)
		CHECK(read(done[0], &c, 1) == 1);
	close(pipe_fds[1]);
	for (int i = 0; i < WAITERS; i++)
		CHECK(reap(pids[i]));
	close(done[0]);
	close(done[1]);
	close(ep);
	CHECK(pipe(pipe_fds) == 0);
	return true;
}

static const struct utest tests[] = {{"poll and pipes", poll_pipes}, {"errors of poll", poll_errors},
    {"poll waits", poll_times}, {"directories are always ready", poll_regular},
    {"masks for one call", wait_masks}, {"select", select_all}, {"epoll by level", epoll_levels},
    {"epoll by edge, one-shot", epoll_edges}, {"epoll and closing", epoll_closing},
    {"epolls in epolls", epoll_nests}, {"errors of epoll", epoll_errors},
    {"one epoll, many waiters", epoll_shared}};

int main(void)
{
	if (pipe(pipe_fds))
		return 1;
	return UTEST_RUN(tests);
}
