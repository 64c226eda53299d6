/*
 * usocket.c - local sockets: streams, datagrams, packets, names, connections, files and ids in messages.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "utap.h"

static char buf[1 << 18];

static short events(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static bool streams_flow(void)
{
	int s[2], n;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s) == 0);
	CHECK(fcntl(s[0], F_GETFD) == FD_CLOEXEC && fcntl(s[0], F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(events(s[0]) == POLLOUT);
	CHECK(write(s[0], "hello", 5) == 5 && send(s[0], " you", 4, 0) == 4);
	CHECK(events(s[1]) == (POLLIN | POLLOUT));
	CHECK(ioctl(s[1], FIONREAD, &n) == 0 && n == 9);
	CHECK(recv(s[1], buf, 3, MSG_PEEK) == 3);
	CHECK(read(s[1], buf, 100) == 9 && !memcmp(buf, "hello you", 9));
	CHECK(FAILS_WITH(read(s[1], buf, 100), EAGAIN));
	CHECK(FAILS_WITH(lseek(s[1], 0, SEEK_SET), ESPIPE));
	CHECK(FAILS_WITH(send(s[0], "x", 1, MSG_OOB), EOPNOTSUPP) || errno == 0);
	close(s[0]);
	close(s[1]);
	return true;
}

static bool streams_end(void)
{
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(write(s[0], "last", 4) == 4);
	CHECK(shutdown(s[0], SHUT_WR) == 0);
	CHECK(FAILS_WITH(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE));
	CHECK(events(s[1]) == (POLLIN | POLLOUT | POLLRDHUP));
	CHECK(read(s[1], buf, 100) == 4 && read(s[1], buf, 100) == 0);
	CHECK(write(s[1], "back", 4) == 4);
	close(s[1]);
	CHECK(events(s[0]) & POLLHUP);
	CHECK(read(s[0], buf, 100) == 4 && read(s[0], buf, 100) == 0);
	close(s[0]);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(write(s[0], "unread", 6) == 6);
	close(s[1]);
	CHECK(FAILS_WITH(read(s[0], buf, 1), ECONNRESET));
	CHECK(FAILS_WITH(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE));
	close(s[0]);
	return true;
}

static bool full_streams_wait(void)
{
	int s[2], status;
	long total = 0, n;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(s[0]);
		for (int i = 0; i < 4; i++)
			if (write(s[1], buf, sizeof(buf)) != (long)sizeof(buf))
				_exit(1);
		_exit(0);
	}
	close(s[1]);
	while ((n = read(s[0], buf, 5000)) > 0)
		total += n;
	CHECK(n == 0 && total == 4 * (long)sizeof(buf));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	close(s[0]);
	return true;
}

static bool packets_keep_their_ends(void)
{
	int s[2];
	struct iovec iov = {buf, 3};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	for (int type = SOCK_DGRAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_DGRAM) {
		CHECK(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s) == 0);
		CHECK(send(s[0], "abcdef", 6, 0) == 6 && send(s[0], "", 0, 0) == 0 &&
		      send(s[0], "gh", 2, 0) == 2);
		CHECK(recv(s[1], buf, 2, MSG_PEEK) == 2);
		CHECK(recvmsg(s[1], &m, 0) == 3 && (m.msg_flags & MSG_TRUNC));
		CHECK(recv(s[1], buf, 10, 0) == 0);
		CHECK(recv(s[1], buf, 10, 0) == 2);
		CHECK(FAILS_WITH(recv(s[1], buf, 10, 0), EAGAIN));
		CHECK(FAILS_WITH(send(s[0], buf, 1 << 18, 0), EMSGSIZE) || errno == 0);
		close(s[0]);
		close(s[1]);
	}
	return true;
}

static socklen_t abstract(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(a->sun_path + 1, name);
	return (socklen_t)(sizeof(a->sun_family) + 1 + strlen(name));
}

static bool connections(void)
{
	struct sockaddr_un a, b;
	socklen_t len = abstract(&a, "usocket-test"), got = sizeof(b);
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), s,
	    v = 7;
	struct ucred cred;
	CHECK(FAILS_WITH(connect(c, (void *)&a, len), ECONNREFUSED));
	CHECK(FAILS_WITH(listen(l, 1), EINVAL));
	CHECK(bind(l, (void *)&a, len) == 0);
	CHECK(FAILS_WITH(bind(c, (void *)&a, len), EADDRINUSE));
	CHECK(FAILS_WITH(bind(l, (void *)&a, len), EINVAL));
	CHECK(FAILS_WITH(connect(c, (void *)&a, len), ECONNREFUSED));
	CHECK(FAILS_WITH(accept(l, NULL, NULL), EINVAL));
	CHECK(listen(l, 5) == 0);
	CHECK(FAILS_WITH(accept(l, NULL, NULL), EAGAIN));
	CHECK(events(c) == (POLLOUT | POLLHUP));
	CHECK(FAILS_WITH(read(c, buf, 1), EINVAL) && FAILS_WITH(send(c, "x", 1, 0), ENOTCONN));
	CHECK(connect(c, (void *)&a, len) == 0);
	CHECK(FAILS_WITH(connect(c, (void *)&a, len), EISCONN));
	CHECK(events(l) == POLLIN);
	CHECK(write(c, "early", 5) == 5);
	s = accept4(l, (void *)&b, &got, SOCK_CLOEXEC);
	CHECK(s >= 0 && fcntl(s, F_GETFD) == FD_CLOEXEC && got == 2 && fcntl(s, F_GETFL) == O_RDWR);
	CHECK(read(s, buf, 10) == 5);
	got = sizeof(b);
	CHECK(getsockname(s, (void *)&b, &got) == 0 && got == len && !memcmp(&a, &b, len));
	got = sizeof(b);
	CHECK(getpeername(c, (void *)&b, &got) == 0 && got == len);
	got = sizeof(cred);
	CHECK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &got) == 0);
	CHECK(cred.pid == getpid() && cred.uid == geteuid());
	got = sizeof(v);
	CHECK(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &got) == 0 && v == 1);
	CHECK(getsockopt(l, SOL_SOCKET, SO_TYPE, &v, &got) == 0 && v == SOCK_STREAM);
	CHECK(FAILS_WITH(getpeername(l, (void *)&b, &got), ENOTCONN));
	close(s);
	close(c);
	close(l);
	return true;
}

static bool datagrams_by_name(void)
{
	struct sockaddr_un a, b;
	socklen_t len = abstract(&a, "usocket-dgram"), got = sizeof(b);
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	sa_family_t family = AF_UNIX;
	CHECK(bind(s, (void *)&a, len) == 0);
	CHECK(bind(c, (void *)&family, 2) == 0);
	CHECK(FAILS_WITH(send(c, "x", 1, 0), ENOTCONN));
	CHECK(sendto(c, "dgram", 5, 0, (void *)&a, len) == 5);
	CHECK(recvfrom(s, buf, 10, 0, (void *)&b, &got) == 5 && got == 8);
	CHECK(sendto(s, "back", 4, 0, (void *)&b, got) == 4);
	CHECK(recv(c, buf, 10, 0) == 4);
	CHECK(connect(c, (void *)&a, len) == 0 && send(c, "x", 1, 0) == 1);
	close(s);
	CHECK(FAILS_WITH(send(c, "x", 1, 0), ECONNREFUSED));
	CHECK(FAILS_WITH(sendto(c, "x", 1, 0, (void *)&a, len), ECONNREFUSED));
	close(c);
	return true;
}

static bool files_travel(void)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr head;
	} control = {.bytes = ""};
	struct iovec iov = {(char[]){'f'}, 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = CMSG_SPACE(sizeof(int))};
	int s[2], p[2], on = 1, fd;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
	CHECK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	control.head = (struct cmsghdr){
	    .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &p[1], sizeof(int));
	CHECK(sendmsg(s[0], &m, 0) == 1);
	close(p[1]);
	memset(&control, 0, sizeof(control));
	m.msg_controllen = sizeof(control);
	CHECK(recvmsg(s[1], &m, MSG_CMSG_CLOEXEC) == 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_type == SCM_CREDENTIALS && ((struct ucred *)CMSG_DATA(c))->pid == getpid());
	c = CMSG_NXTHDR(&m, c);
	CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && write(fd, "x", 1) == 1 && read(p[0], buf, 2) == 1);
	close(fd);
	CHECK(read(p[0], buf, 2) == 0);
	/* A file in a message that nobody reads is closed with the socket. */
	CHECK(pipe(p + 0) == 0);
	memset(&control, 0, sizeof(control));
	m.msg_controllen = CMSG_SPACE(sizeof(int));
	control.head = (struct cmsghdr){
	    .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &p[1], sizeof(int));
	CHECK(sendmsg(s[0], &m, 0) == 1);
	close(p[1]);
	close(s[1]);
	CHECK(read(p[0], buf, 2) == 0);
	close(s[0]);
	close(p[0]);
	return true;
}

static bool arguments_are_checked(void)
{
	int s[2], v = 0;
	struct timeval t = {.tv_usec = 20000};
	CHECK(FAILS_WITH(socket(AF_UNIX, 77, 0), EINVAL));
	CHECK(FAILS_WITH(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT));
	CHECK(FAILS_WITH(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT));
	CHECK(FAILS_WITH(socket(45, SOCK_STREAM, 0), EAFNOSUPPORT));
	CHECK(FAILS_WITH(listen(1, 5), ENOTSOCK) && FAILS_WITH(listen(99, 5), EBADF));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(FAILS_WITH(shutdown(s[0], 3), EINVAL));
	CHECK(FAILS_WITH(bind(s[0], (void *)buf, 1), EINVAL));
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
	CHECK(FAILS_WITH(read(s[0], buf, 1), EAGAIN));
	CHECK(FAILS_WITH(setsockopt(s[0], SOL_SOCKET, 12345, &v, sizeof(v)), ENOPROTOOPT));
	CHECK(FAILS_WITH(sendto(s[0], "x", 1, 0, (void *)&t, 2), EISCONN));
	close(s[0]);
	close(s[1]);
	return true;
}

/* --- sockets that only messages hold --- */

static bool send_files(int through, const struct sockaddr_un *to, const int *fds, unsigned n)
{
	char byte = 'x', control[CMSG_SPACE(4 * sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
	m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	if (to) {
		m.msg_name = (void *)to;
		m.msg_namelen = sizeof(sa_family_t) + 6;
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	return sendmsg(through, &m, 0) == 1;
}

/* Sockets lead to each other in different ways; with them goes the end of a pipe. What they were made with is
 * closed. */
static bool self_in_itself(int end)
{
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(send_files(s[1], NULL, (int[]){s[0], end}, 2) && close(s[1]) == 0 && close(s[0]) == 0);
	return true;
}

static bool two_in_each_other(int end)
{
	int a[2], b[2];
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, a) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, b) == 0);
	CHECK(
	    send_files(a[1], NULL, (int[]){b[0], b[0]}, 2) && send_files(b[1], NULL, (int[]){a[0], end}, 2));
	CHECK(close(a[1]) == 0 && close(b[1]) == 0 && close(a[0]) == 0 && close(b[0]) == 0);
	return true;
}

static bool both_ends_in_each_other(int end)
{
	int s[2];
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	CHECK(send_files(s[1], NULL, (int[]){s[1], end}, 2) && send_files(s[0], NULL, s, 2));
	CHECK(close(s[0]) == 0 && close(s[1]) == 0);
	return true;
}

/* Another one each time: the socket that had the last is let go when the kernel comes to it. */
static struct sockaddr_un cycle_name = {.sun_family = AF_UNIX};
static void name_cycle(void)
{
	static unsigned n;
	char name[6];
	snprintf(name, sizeof(name), "%05x", ((unsigned)getpid() * 16 + n++) & 0xfffff);
	memcpy(cycle_name.sun_path + 1, name, sizeof(name) - 1);
}

static bool datagram_to_itself(int end)
{
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	name_cycle();
	CHECK(bind(s, (const void *)&cycle_name, sizeof(sa_family_t) + 6) == 0);
	CHECK(send_files(s, &cycle_name, (int[]){s, end}, 2) && close(s) == 0);
	return true;
}

static bool listener_in_a_connection(int end)
{
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	name_cycle();
	CHECK(bind(l, (const void *)&cycle_name, sizeof(sa_family_t) + 6) == 0 && listen(l, 3) == 0);
	CHECK(connect(c, (const void *)&cycle_name, sizeof(sa_family_t) + 6) == 0);
	CHECK(send_files(c, NULL, (int[]){l, c, end}, 3) && close(l) == 0 && close(c) == 0);
	return true;
}

/* The end of any socket makes the kernel look for others that can go. */
static bool end_a_socket(void)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	return s >= 0 && close(s) == 0;
}

static bool is_let_go(bool (*make)(int end))
{
	char c;
	int p[2];
	CHECK(pipe(p) == 0 && make(p[1]) && close(p[1]) == 0 && end_a_socket());
	struct pollfd poller = {p[0], POLLIN, 0};
	CHECK(poll(&poller, 1, 10000) == 1 && read(p[0], &c, 1) == 0 && close(p[0]) == 0);
	return true;
}

static bool circles_are_let_go(void)
{
	for (int i = 0; i < 20; i++) {
		CHECK(is_let_go(self_in_itself) && is_let_go(two_in_each_other));
		CHECK(is_let_go(both_ends_in_each_other) && is_let_go(datagram_to_itself));
		CHECK(is_let_go(listener_in_a_connection));
	}
	return true;
}

/* What can be received still is not touched: a chain of sockets, one in the other, that ends in a circle. */
static bool chains_stay(void)
{
	int outer[2], inner[2], p[2], got[2];
	char c, control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = {&c, 1};
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, outer) == 0 &&
	      socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0);
	CHECK(pipe(p) == 0 && send_files(inner[1], NULL, (int[]){inner[0], p[1]}, 2)); /* in its own queue */
	CHECK(send_files(outer[1], NULL, inner, 2));
	CHECK(close(inner[0]) == 0 && close(inner[1]) == 0 && close(p[1]) == 0 && end_a_socket());
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	CHECK(recvmsg(outer[0], &m, 0) == 1);
	memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	CHECK(end_a_socket() && write(got[1], "y", 1) == 1);
	m.msg_controllen = sizeof(control);
	CHECK(recvmsg(got[0], &m, 0) == 1 && c == 'x');
	memcpy(inner, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(inner));
	CHECK(read(inner[0], &c, 1) == 1 && c == 'y' && write(inner[1], "z", 1) == 1);
	CHECK(read(p[0], &c, 1) == 1 && c == 'z');
	close(inner[0]), close(inner[1]), close(got[0]), close(got[1]);
	CHECK(read(p[0], &c, 1) == 0);
	close(p[0]), close(outer[0]), close(outer[1]);
	return true;
}

/* Who has no name is told as nobody at all, not as a family without a name. */
static bool nameless_senders(void)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	char c;
	int fds[2];
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	CHECK(send(fds[0], "ab", 2, 0) == 2 && send(fds[0], "ab", 2, 0) == 2);
	CHECK(recvfrom(fds[1], &c, 1, 0, (struct sockaddr *)&a, &len) == 1 && len == 0);
	struct iovec iov = {&c, 1};
	struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof(a), .msg_iov = &iov, .msg_iovlen = 1};
	CHECK(recvmsg(fds[1], &m, 0) == 1 && m.msg_namelen == 0);
	len = sizeof(a);
	CHECK(getpeername(fds[0], (struct sockaddr *)&a, &len) == 0 && len == sizeof(sa_family_t));
	close(fds[0]);
	close(fds[1]);
	return true;
}

static const struct utest tests[] = {
    {"streams flow", streams_flow},
    {"streams end", streams_end},
    {"full streams wait", full_streams_wait},
    {"packets keep their ends", packets_keep_their_ends},
    {"connections", connections},
    {"datagrams by name", datagrams_by_name},
    {"files and ids travel", files_travel},
    {"arguments", arguments_are_checked},
    {"sockets in each other's queues", circles_are_let_go},
    {"sockets that can be received stay", chains_stay},
    {"senders without a name", nameless_senders},
};

int main(void)
{
	return UTEST_RUN(tests);
}
