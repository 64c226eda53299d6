/*
 * usigfd.c - signals that are read from files, and many messages with one call.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "utap.h"

static sigset_t set_of(int a, int b, int c)
{
	sigset_t s;
	sigemptyset(&s);
	if (a)
		sigaddset(&s, a);
	if (b)
		sigaddset(&s, b);
	if (c)
		sigaddset(&s, c);
	return s;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static bool signalfd_errors(void)
{
	sigset_t s = set_of(SIGUSR1, 0, 0);
	struct signalfd_siginfo in;
	int p[2];
	CHECK(pipe(p) == 0);
	CHECK(FAILS_WITH(syscall(SYS_signalfd4, -1, &s, 4L, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_signalfd4, -1, 1L, 8L, 0x1000), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_signalfd4, -1, &s, 8L, 0x1000), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_signalfd4, 99, &s, 8L, 0), EBADF));
	CHECK(FAILS_WITH(syscall(SYS_signalfd4, p[0], &s, 8L, 0), EINVAL));
	int fd = signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(FAILS_WITH(read(fd, &in, 127), EINVAL) && FAILS_WITH(read(fd, &in, 128), EAGAIN));
	CHECK(FAILS_WITH(write(fd, &in, 128), EINVAL) && FAILS_WITH(pread(fd, &in, 128, 0), ESPIPE));
	CHECK(syscall(SYS_signalfd, fd, &s, 8L) == fd);
	close(fd);
	close(p[0]);
	close(p[1]);
	return true;
}

static bool signalfd_reads(void)
{
	sigset_t s = set_of(SIGUSR1, SIGRTMIN + 1, SIGUSR2), old, wanted = set_of(SIGUSR1, SIGRTMIN + 1, 0);
	struct signalfd_siginfo in[4];
	sigprocmask(SIG_BLOCK, &s, &old);
	int fd = signalfd(-1, &wanted, SFD_NONBLOCK);
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	CHECK(fd >= 0 && poll(&p, 1, 0) == 0);
	CHECK(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGUSR2) == 0);
	CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 77}) == 0);
	CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 78}) == 0);
	CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
	memset(in, 0xff, sizeof(in));
	CHECK(read(fd, in, 2 * sizeof(in[0]) + 5) == 2 * sizeof(in[0]));
	CHECK(in[0].ssi_signo == SIGUSR1 && in[0].ssi_code == SI_USER && in[0].ssi_pid == (unsigned)getpid());
	CHECK(in[0].ssi_uid == getuid() && in[0].ssi_int == 0 && in[0].ssi_errno == 0);
	CHECK(in[1].ssi_signo == (unsigned)SIGRTMIN + 1 && in[1].ssi_code == SI_QUEUE && in[1].ssi_int == 77);
	CHECK(
	    (int)in[1].ssi_ptr == 77 && in[1].ssi_pid == (unsigned)getpid() && in[2].ssi_signo == 0xffffffff);
	CHECK(read(fd, in, sizeof(in)) == sizeof(in[0]) && in[0].ssi_int == 78);
	CHECK(poll(&p, 1, 0) == 0 && FAILS_WITH(read(fd, in, sizeof(in)), EAGAIN));
	wanted = set_of(SIGUSR2, 0, 0);
	CHECK(signalfd(fd, &wanted, 0) == fd && poll(&p, 1, 0) == 1);
	CHECK(read(fd, in, sizeof(in)) == sizeof(in[0]) && in[0].ssi_signo == SIGUSR2);
	CHECK(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR2) == 0 && poll(&p, 1, 0) == 1);
	CHECK(read(fd, in, sizeof(in)) == sizeof(in[0]) && in[0].ssi_code == SI_TKILL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
	return true;
}

static bool signalfd_tells_of_children(void)
{
	sigset_t s = set_of(SIGCHLD, SIGALRM, 0), old;
	struct signalfd_siginfo in;
	sigprocmask(SIG_BLOCK, &s, &old);
	int fd = signalfd(-1, &s, 0), status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		nap();
		_exit(3);
	}
	CHECK(read(fd, &in, sizeof(in)) == sizeof(in));
	CHECK(in.ssi_signo == SIGCHLD && in.ssi_pid == (unsigned)pid && in.ssi_status == 3);
	CHECK(in.ssi_code == CLD_EXITED && in.ssi_uid == getuid() && waitpid(pid, &status, 0) == pid);
	timer_t t;
	struct sigevent ev = {
	    .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value.sival_int = 5};
	struct itimerspec when = {.it_value.tv_nsec = 20000000};
	CHECK(timer_create(CLOCK_MONOTONIC, &ev, &t) == 0 && timer_settime(t, 0, &when, NULL) == 0);
	struct pollfd p = {fd, POLLIN, 0};
	CHECK(poll(&p, 1, 5000) == 1 && read(fd, &in, sizeof(in)) == sizeof(in));
	CHECK(in.ssi_signo == SIGALRM && in.ssi_code == SI_TIMER && in.ssi_int == 5 && in.ssi_overrun == 0);
	timer_delete(t);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
	return true;
}

static pid_t self;

static void *kill_late(void *arg)
{
	nap();
	kill(self, (int)(intptr_t)arg);
	return NULL;
}

static bool signalfd_wakes(void)
{
	sigset_t s = set_of(SIGUSR1, 0, 0), old;
	struct signalfd_siginfo in;
	struct epoll_event e = {.events = EPOLLIN}, got;
	pthread_t t;
	self = getpid();
	sigprocmask(SIG_BLOCK, &s, &old);
	int fd = signalfd(-1, &s, 0), ep = epoll_create1(0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_wait(ep, &got, 1, 0) == 0);
	for (int i = 0; i < 3; i++) {
		struct pollfd p = {fd, POLLIN, 0}, pe = {ep, POLLIN, 0};
		pthread_create(&t, NULL, kill_late, (void *)(intptr_t)SIGUSR1);
		if (i == 0)
			CHECK(epoll_wait(ep, &got, 1, 5000) == 1 && got.events == EPOLLIN);
		if (i == 1)
			CHECK(poll(&p, 1, 5000) == 1 && poll(&pe, 1, 0) == 1);
		CHECK(read(fd, &in, sizeof(in)) == sizeof(in) && in.ssi_signo == SIGUSR1);
		CHECK(epoll_wait(ep, &got, 1, 0) == 0 && poll(&pe, 1, 0) == 0);
		pthread_join(t, NULL);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
	close(ep);
	return true;
}

/* The file is the same in the child, the signals are the child's. */
static int child_reads(void *arg)
{
	int fd = *(int *)arg;
	struct signalfd_siginfo in;
	struct pollfd p = {fd, POLLIN, 0};
	if (poll(&p, 1, 0) != 0)
		return 1;
	if (kill(getpid(), SIGUSR1) || poll(&p, 1, 0) != 1)
		return 2;
	return read(fd, &in, sizeof(in)) == sizeof(in) && in.ssi_pid == (unsigned)getpid() ? 0 : 3;
}

static bool signalfd_is_the_readers(void)
{
	sigset_t s = set_of(SIGUSR1, 0, 0), old;
	struct signalfd_siginfo in;
	sigprocmask(SIG_BLOCK, &s, &old);
	int fd = signalfd(-1, &s, 0);
	struct pollfd p = {fd, POLLIN, 0};
	kill(getpid(), SIGUSR1);
	CHECK(child_exits(child_reads, &fd, 0));
	CHECK(poll(&p, 1, 0) == 1 && read(fd, &in, sizeof(in)) == sizeof(in) &&
	      in.ssi_pid == (unsigned)getpid());
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fd);
	return true;
}

static void on_signal(int signal)
{
	(void)signal;
}

static bool signalfd_is_interrupted(void)
{
	sigset_t s = set_of(SIGUSR1, 0, 0);
	struct signalfd_siginfo in;
	struct sigaction a = {.sa_handler = on_signal}, old;
	pthread_t t;
	self = getpid();
	sigaction(SIGUSR2, &a, &old);
	int fd = signalfd(-1, &s, 0);
	sigset_t usr2 = set_of(SIGUSR2, 0, 0);
	sigprocmask(SIG_BLOCK, &usr2, NULL); /* so that the main thread takes it */
	pthread_create(&t, NULL, kill_late, (void *)(intptr_t)SIGUSR2);
	sigprocmask(SIG_UNBLOCK, &usr2, NULL);
	CHECK(FAILS_WITH(read(fd, &in, sizeof(in)), EINTR));
	pthread_join(t, NULL);
	sigaction(SIGUSR2, &old, NULL);
	close(fd);
	return true;
}

/* --- many messages --- */

/* The C library's own sends one by one. */
static int send_many(int fd, struct mmsghdr *m, unsigned n, unsigned flags)
{
	return (int)syscall(SYS_sendmmsg, fd, m, n, flags);
}

static bool many_messages(void)
{
	char text[4][8] = {"one", "two22", "three3", ""}, in[4][8];
	struct iovec v[4], w[4];
	struct mmsghdr out[4] = {0}, got[4] = {0};
	struct timespec ts = {.tv_sec = 5};
	int s[2], null = open("/dev/null", O_RDWR);
	CHECK(null >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	for (int i = 0; i < 4; i++) {
		v[i] = (struct iovec){text[i], strlen(text[i])};
		w[i] = (struct iovec){in[i], sizeof(in[i])};
		out[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
		got[i].msg_hdr = (struct msghdr){.msg_iov = &w[i], .msg_iovlen = 1};
	}
	CHECK(send_many(s[0], out, 3, 0) == 3 && out[0].msg_len == 3 && out[1].msg_len == 5 &&
	      out[2].msg_len == 6);
	CHECK(recvmmsg(s[1], got, 2, 0, NULL) == 2 && got[0].msg_len == 3 && got[1].msg_len == 5);
	CHECK(!memcmp(in[0], "one", 3) && !memcmp(in[1], "two22", 5));
	CHECK(recvmmsg(s[1], got, 4, MSG_WAITFORONE, NULL) == 1 && got[0].msg_len == 6);
	CHECK(FAILS_WITH(recvmmsg(s[1], got, 4, MSG_DONTWAIT, NULL), EAGAIN));
	CHECK(send_many(s[0], out, 4, 0) == 4 && recvmmsg(s[1], got, 4, 0, &ts) == 4 && got[3].msg_len == 0);
	CHECK(ts.tv_sec < 5 && ts.tv_sec >= 0);
	ts = (struct timespec){0};
	CHECK(send_many(s[0], out, 4, 0) == 4 && recvmmsg(s[1], got, 4, 0, &ts) == 1 && ts.tv_sec == 0);
	ts.tv_nsec = 1000000000;
	CHECK(FAILS_WITH(recvmmsg(s[1], got, 4, 0, &ts), EINVAL) &&
	      FAILS_WITH(recvmmsg(99, got, 4, 0, NULL), EBADF));
	CHECK(
	    FAILS_WITH(send_many(99, out, 0, 0), EBADF) && FAILS_WITH(send_many(null, out, 1, 0), ENOTSOCK));
	CHECK(send_many(s[0], out, 0, 0) == 0 && recvmmsg(s[1], got, 0, 0, NULL) == 0);
	CHECK(FAILS_WITH(syscall(SYS_sendmmsg, s[0], out, 1, 0x80000000U), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_recvmmsg, s[1], got, 1, 0, 1L), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_sendmmsg, s[0], 8L, 1, 0), EFAULT));
	CHECK(recvmmsg(s[1], got, 4, MSG_DONTWAIT, NULL) == 3);
	close(s[0]);
	close(s[1]);
	close(null);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"signalfd: what is refused", signalfd_errors},
	    {"signals are read", signalfd_reads},
	    {"children and timers", signalfd_tells_of_children},
	    {"who waits is woken", signalfd_wakes},
	    {"whose signals they are", signalfd_is_the_readers},
	    {"a signal with a handler interrupts", signalfd_is_interrupted},
	    {"sendmmsg, recvmmsg", many_messages},
	};
	return UTEST_RUN(tests);
}
