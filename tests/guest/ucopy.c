/*
 * ucopy.c - bytes from file to file without a buffer: sendfile, copy_file_range, splice, tee, vmsplice.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "utap.h"

static char data[1 << 17], back[1 << 17];
static char dir[64] = "/tmp";

static int new_file(const char *name, int flags, size_t len)
{
	char path[128];
	if (access(dir, W_OK))
		dir[0] = 0;
	snprintf(path, sizeof(path), "%s/ucopy-%s", dir, name);
	unlink(path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, data, len) != (ssize_t)len)
		return -1;
	if (fd >= 0 && flags) {
		close(fd);
		fd = open(path, flags);
	}
	unlink(path);
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
}

static bool same(int fd, off_t at, size_t from, size_t len)
{
	return pread(fd, back, len, at) == (ssize_t)len && !memcmp(back, data + from, len);
}

static int pipes_left(const int *p)
{
	int n = -1;
	char c[4096];
	int flags = fcntl(p[0], F_GETFL);
	fcntl(p[0], F_SETFL, flags | O_NONBLOCK);
	for (n = 0;;) {
		ssize_t got = read(p[0], c, sizeof(c));
		if (got <= 0)
			break;
		n += (int)got;
	}
	fcntl(p[0], F_SETFL, flags);
	return n;
}

/* --- sendfile --- */

static bool sendfile_files(void)
{
	int in = new_file("a", 0, 100000), out = new_file("b", 0, 0);
	off_t at = 10;
	CHECK(in >= 0 && out >= 0);
	CHECK(sendfile(out, in, NULL, 50000) == 50000);
	CHECK(lseek(in, 0, SEEK_CUR) == 50000 && lseek(out, 0, SEEK_CUR) == 50000 && same(out, 0, 0, 50000));
	CHECK(sendfile(out, in, &at, 100) == 100 && at == 110 && lseek(in, 0, SEEK_CUR) == 50000);
	CHECK(same(out, 50000, 10, 100));
	CHECK(sendfile(out, in, NULL, 1 << 30) == 50000 && lseek(in, 0, SEEK_CUR) == 100000);
	CHECK(sendfile(out, in, NULL, 10) == 0);
	at = 200000;
	CHECK(sendfile(out, in, &at, 10) == 0 && at == 200000);
	at = 99990;
	CHECK(sendfile(out, in, &at, 100) == 10 && at == 100000);
	CHECK(sendfile(out, in, &at, 0) == 0);
	close(in);
	close(out);
	return true;
}

static bool sendfile_errors(void)
{
	int in = new_file("a", 0, 1000), out = new_file("b", 0, 0),
	    app = new_file("c", O_WRONLY | O_APPEND, 0);
	int p[2], ev = eventfd(0, 0), rd = new_file("d", O_RDONLY | O_NOFOLLOW, 10), d = open("/", O_RDONLY);
	off_t at = 0, neg = -1;
	CHECK(pipe(p) == 0 && in >= 0 && out >= 0 && app >= 0 && ev >= 0 && rd >= 0 && d >= 0);
	CHECK(FAILS_WITH(sendfile(out, 99, NULL, 1), EBADF) && FAILS_WITH(sendfile(99, in, NULL, 1), EBADF));
	CHECK(FAILS_WITH(sendfile(out, app, NULL, 1), EBADF) && FAILS_WITH(sendfile(rd, in, NULL, 1), EBADF));
	CHECK(
	    FAILS_WITH(sendfile(app, in, NULL, 1), EINVAL) && FAILS_WITH(sendfile(app, in, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(sendfile(out, p[0], NULL, 1), EINVAL) &&
	      FAILS_WITH(sendfile(out, p[0], &at, 1), ESPIPE));
	CHECK(
	    FAILS_WITH(sendfile(ev, in, NULL, 1), EINVAL) && FAILS_WITH(sendfile(out, ev, NULL, 1), EINVAL));
	CHECK(
	    FAILS_WITH(sendfile(out, d, NULL, 1), EINVAL) && FAILS_WITH(sendfile(p[1], d, NULL, 1), EINVAL));
	CHECK(FAILS_WITH(sendfile(out, in, &neg, 1), EINVAL) &&
	      FAILS_WITH(sendfile(out, in, NULL, -1), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_sendfile, out, in, 1L, 1L), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_sendfile, 99, in, 1L, 1L), EFAULT));
	CHECK(FAILS_WITH(sendfile(p[1], p[0], NULL, 1), EINVAL));
	int fds[] = {in, out, app, p[0], p[1], ev, rd, d};
	for (unsigned i = 0; i < 8; i++)
		close(fds[i]);
	return true;
}

static bool sendfile_to_streams(void)
{
	int in = new_file("a", 0, 100000), p[2], s[2];
	off_t at = 100;
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(sendfile(p[1], in, &at, 1000) == 1000 && at == 1100);
	CHECK(read(p[0], back, sizeof(back)) == 1000 && !memcmp(back, data + 100, 1000));
	CHECK(fcntl(p[1], F_SETFL, O_NONBLOCK) == 0);
	at = 0;
	CHECK(sendfile(p[1], in, &at, 100000) == 65536);
	CHECK(FAILS_WITH(sendfile(p[1], in, &at, 1), EAGAIN));
	CHECK(pipes_left(p) == 65536);
	CHECK(sendfile(s[0], in, NULL, 20000) == 20000 && lseek(in, 0, SEEK_CUR) == 20000);
	CHECK(recv(s[1], back, 20000, MSG_WAITALL) == 20000 && !memcmp(back, data, 20000));
	close(s[1]);
	signal(SIGPIPE, SIG_IGN);
	CHECK(FAILS_WITH(sendfile(s[0], in, NULL, 20000), EPIPE) && lseek(in, 0, SEEK_CUR) == 20000);
	close(p[0]);
	CHECK(FAILS_WITH(sendfile(p[1], in, NULL, 1), EPIPE));
	signal(SIGPIPE, SIG_DFL);
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDWR);
	CHECK(zero >= 0 && null >= 0);
	CHECK(sendfile(null, zero, NULL, 1 << 20) == 1 << 20 && sendfile(null, in, NULL, 1 << 20) == 80000);
	CHECK(FAILS_WITH(sendfile(null, null, NULL, 1), EINVAL));
	close(in);
	close(p[1]);
	close(s[0]);
	close(zero);
	close(null);
	return true;
}

/* --- copy_file_range --- */

static bool copy_range_files(void)
{
	int in = new_file("a", 0, 50000), out = new_file("b", 0, 0);
	off_t from = 100, to = 5000;
	CHECK(copy_file_range(in, NULL, out, NULL, 20000, 0) == 20000);
	CHECK(lseek(in, 0, SEEK_CUR) == 20000 && lseek(out, 0, SEEK_CUR) == 20000 && same(out, 0, 0, 20000));
	CHECK(copy_file_range(in, &from, out, &to, 300, 0) == 300 && from == 400 && to == 5300);
	CHECK(lseek(in, 0, SEEK_CUR) == 20000 && same(out, 5000, 100, 300) && same(out, 5300, 5300, 1000));
	CHECK(copy_file_range(in, NULL, out, NULL, 1 << 30, 0) == 30000);
	CHECK(copy_file_range(in, NULL, out, NULL, 10, 0) == 0);
	from = 0, to = 25000; /* in one file, apart */
	CHECK(copy_file_range(in, &from, in, &to, 25000, 0) == 25000 && same(in, 25000, 0, 25000));
	from = 0, to = 100;
	CHECK(FAILS_WITH(copy_file_range(in, &from, in, &to, 101, 0), EINVAL));
	CHECK(copy_file_range(in, &from, in, &to, 100, 0) == 100);
	from = 60000;
	CHECK(copy_file_range(in, &from, out, NULL, 100, 0) == 0 && from == 60000);
	close(in);
	close(out);
	return true;
}

static bool copy_range_errors(void)
{
	int in = new_file("a", 0, 1000), out = new_file("b", 0, 0),
	    app = new_file("c", O_WRONLY | O_APPEND, 0);
	int p[2], d = open("/", O_RDONLY), rd = new_file("d", O_RDONLY | O_NOFOLLOW, 10),
		  null = open("/dev/null", O_RDWR);
	off_t neg = -1, max = INT64_MAX;
	CHECK(pipe(p) == 0);
	CHECK(FAILS_WITH(copy_file_range(99, NULL, out, NULL, 1, 0), EBADF));
	CHECK(FAILS_WITH(copy_file_range(in, NULL, 99, NULL, 1, 1), EBADF));
	CHECK(FAILS_WITH(copy_file_range(in, NULL, out, NULL, 1, 1), EINVAL));
	CHECK(FAILS_WITH(copy_file_range(d, NULL, out, NULL, 1, 0), EISDIR));
	CHECK(FAILS_WITH(copy_file_range(in, NULL, p[1], NULL, 1, 0), EINVAL));
	CHECK(FAILS_WITH(copy_file_range(null, NULL, out, NULL, 1, 0), EINVAL));
	CHECK(FAILS_WITH(copy_file_range(in, NULL, app, NULL, 1, 0), EBADF));
	CHECK(FAILS_WITH(copy_file_range(in, NULL, rd, NULL, 1, 0), EBADF));
	CHECK(FAILS_WITH(copy_file_range(app, NULL, out, NULL, 1, 0), EBADF));
	CHECK(FAILS_WITH(copy_file_range(in, &neg, out, NULL, 1, 0), EOVERFLOW));
	CHECK(FAILS_WITH(copy_file_range(in, &neg, out, NULL, 0, 0), EINVAL));
	CHECK(FAILS_WITH(copy_file_range(in, NULL, out, &max, 10, 0), EFBIG));
	CHECK(FAILS_WITH(syscall(SYS_copy_file_range, in, 1L, out, 0L, 1L, 1L), EFAULT));
	int fds[] = {in, out, app, p[0], p[1], d, rd, null};
	for (unsigned i = 0; i < 8; i++)
		close(fds[i]);
	return true;
}

static bool copy_range_limit(void)
{
	int in = new_file("a", 0, 1000), out = new_file("b", 0, 0);
	struct rlimit old, new;
	getrlimit(RLIMIT_FSIZE, &old);
	new = old;
	new.rlim_cur = 600;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &new);
	ssize_t first = copy_file_range(in, NULL, out, NULL, 1000, 0);
	bool second = FAILS_WITH(copy_file_range(in, NULL, out, NULL, 1000, 0), EFBIG);
	off_t at = 0;
	lseek(out, 500, SEEK_SET);
	ssize_t third = sendfile(out, in, &at, 1000);
	setrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_DFL);
	CHECK(first == 600 && second && third == 100 && at == 100);
	close(in);
	close(out);
	return true;
}

/* --- splice --- */

static bool splice_file_to_pipe(void)
{
	int in = new_file("a", 0, 100000), p[2];
	loff_t at = 100;
	CHECK(pipe(p) == 0);
	CHECK(splice(in, NULL, p[1], NULL, 1000, 0) == 1000 && lseek(in, 0, SEEK_CUR) == 1000);
	CHECK(read(p[0], back, sizeof(back)) == 1000 && !memcmp(back, data, 1000));
	CHECK(splice(in, &at, p[1], NULL, 1 << 20, 0) == 65436 && at == 65536); /* slots end where pages do */
	CHECK(FAILS_WITH(splice(in, &at, p[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN));
	CHECK(pipes_left(p) == 65436);
	CHECK(splice(in, &at, p[1], NULL, 1, 0) == 1 && write(p[1], "x", 1) == 1); /* a slot of its own */
	for (int i = 0; i < 14; i++)
		CHECK(splice(in, &at, p[1], NULL, 1, 0) == 1);
	CHECK(FAILS_WITH(splice(in, &at, p[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN));
	CHECK(pipes_left(p) == 16);
	at = 100000;
	CHECK(splice(in, &at, p[1], NULL, 10, 0) == 0 && at == 100000);
	CHECK(fcntl(p[1], F_SETPIPE_SZ, 1 << 18) == 1 << 18);
	at = 0;
	CHECK(splice(in, &at, p[1], NULL, 1 << 20, 0) == 100000 && pipes_left(p) == 100000);
	close(in);
	close(p[0]);
	close(p[1]);
	return true;
}

static bool splice_pipe_to_file(void)
{
	int out = new_file("b", 0, 0), p[2];
	loff_t at = 5000;
	CHECK(pipe(p) == 0);
	CHECK(write(p[1], data, 50000) == 50000);
	CHECK(splice(p[0], NULL, out, NULL, 10000, 0) == 10000 && lseek(out, 0, SEEK_CUR) == 10000);
	CHECK(splice(p[0], NULL, out, &at, 100, 0) == 100 && at == 5100 && same(out, 5000, 10000, 100));
	CHECK(splice(p[0], NULL, out, NULL, 1 << 20, 0) == 39900 && same(out, 10000, 10100, 39900));
	CHECK(FAILS_WITH(splice(p[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN));
	close(p[1]);
	CHECK(splice(p[0], NULL, out, NULL, 1, 0) == 0 &&
	      splice(p[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK) == 0);
	close(out);
	close(p[0]);
	return true;
}

static bool splice_errors(void)
{
	int f = new_file("a", 0, 1000), app = new_file("c", O_WRONLY | O_APPEND, 0), p[2], ev = eventfd(0, 0),
	    s[2];
	int d = open("/", O_RDONLY), null = open("/dev/null", O_RDWR);
	loff_t at = 0, neg = -1;
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(splice(99, NULL, 99, NULL, 0, 0x1000) == 0);
	CHECK(FAILS_WITH(splice(99, NULL, 99, NULL, 1, 0x1000), EINVAL));
	CHECK(FAILS_WITH(splice(99, NULL, p[1], NULL, 1, 0), EBADF) &&
	      FAILS_WITH(splice(f, NULL, 99, NULL, 1, 0), EBADF));
	CHECK(FAILS_WITH(splice(p[1], NULL, f, NULL, 1, 0), EBADF) &&
	      FAILS_WITH(splice(f, NULL, p[0], NULL, 1, 0), EBADF));
	CHECK(FAILS_WITH(splice(p[0], &at, f, NULL, 1, 0), ESPIPE) &&
	      FAILS_WITH(splice(f, NULL, p[1], &at, 1, 0), ESPIPE));
	CHECK(FAILS_WITH(splice(f, NULL, f, NULL, 1, 0), EINVAL) &&
	      FAILS_WITH(splice(p[0], NULL, p[1], NULL, 1, 0), EINVAL));
	CHECK(write(p[1], "abc", 3) == 3);
	CHECK(FAILS_WITH(splice(p[0], NULL, app, NULL, 1, 0), EINVAL) &&
	      FAILS_WITH(splice(p[0], NULL, ev, NULL, 1, 0), EINVAL));
	CHECK(FAILS_WITH(splice(ev, NULL, p[1], NULL, 1, 0), EINVAL) &&
	      FAILS_WITH(splice(d, NULL, p[1], NULL, 1, 0), EINVAL));
	CHECK(FAILS_WITH(splice(null, NULL, p[1], NULL, 1, 0), EINVAL) &&
	      FAILS_WITH(splice(f, &neg, p[1], NULL, 1, 0), EINVAL));
	CHECK(FAILS_WITH(splice(p[0], NULL, f, &neg, 1, 0), EINVAL) &&
	      FAILS_WITH(splice(p[0], NULL, s[0], &at, 1, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_splice, f, 1L, p[1], 0L, 1L, 0L), EFAULT) && pipes_left(p) == 3);
	int fds[] = {f, app, p[0], p[1], ev, s[0], s[1], d, null};
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
	return true;
}

static bool splice_sockets(void)
{
	int p[2], s[2];
	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(write(p[1], data, 10000) == 10000);
	CHECK(splice(p[0], NULL, s[0], NULL, 10000, 0) == 10000);
	CHECK(splice(s[1], NULL, p[1], NULL, 4000, 0) == 4000);
	CHECK(read(p[0], back, sizeof(back)) == 4000 && !memcmp(back, data, 4000));
	CHECK(recv(s[1], back, sizeof(back), 0) == 6000 && !memcmp(back, data + 4000, 6000));
	CHECK(FAILS_WITH(splice(s[1], NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN));
	close(s[0]);
	CHECK(splice(s[1], NULL, p[1], NULL, 1, 0) == 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(p[1], data, 10) == 10 && FAILS_WITH(splice(p[0], NULL, s[1], NULL, 10, 0), EPIPE));
	signal(SIGPIPE, SIG_DFL);
	CHECK(pipes_left(p) == 10);
	close(s[1]);
	close(p[0]);
	close(p[1]);
	return true;
}

static bool splice_between_pipes(void)
{
	int a[2], b[2];
	CHECK(pipe(a) == 0 && pipe(b) == 0 && write(a[1], data, 10000) == 10000);
	CHECK(splice(a[0], NULL, b[1], NULL, 5000, 0) == 5000);
	CHECK(read(b[0], back, sizeof(back)) == 5000 && !memcmp(back, data, 5000));
	CHECK(splice(a[0], NULL, b[1], NULL, 50000, 0) == 5000);
	CHECK(read(b[0], back, sizeof(back)) == 5000 && !memcmp(back, data + 5000, 5000));
	CHECK(FAILS_WITH(splice(a[0], NULL, b[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN));
	CHECK(fcntl(b[1], F_SETFL, O_NONBLOCK) == 0 &&
	      FAILS_WITH(splice(a[0], NULL, b[1], NULL, 1, 0), EAGAIN));
	CHECK(write(b[1], data, 65536) == 65536 && write(a[1], "x", 1) == 1);
	CHECK(FAILS_WITH(splice(a[0], NULL, b[1], NULL, 1, 0), EAGAIN) && pipes_left(a) == 1);
	close(a[1]);
	CHECK(read(b[0], back, 4096) == 4096 && splice(a[0], NULL, b[1], NULL, 1, 0) == 0);
	close(b[0]);
	signal(SIGPIPE, SIG_IGN);
	CHECK(FAILS_WITH(splice(a[0], NULL, b[1], NULL, 1, 0), EPIPE));
	signal(SIGPIPE, SIG_DFL);
	close(a[0]);
	close(b[1]);
	return true;
}

static bool tee_copies(void)
{
	int a[2], b[2], f = new_file("a", 0, 10);
	CHECK(pipe(a) == 0 && pipe(b) == 0 && write(a[1], data, 30000) == 30000);
	CHECK(tee(a[0], b[1], 10000, 0) == 10000 && pipes_left(b) == 10000);
	CHECK(tee(a[0], b[1], 1 << 20, 0) == 30000 && read(b[0], back, 30000) == 30000 &&
	      !memcmp(back, data, 30000));
	CHECK(read(a[0], back, 30000) == 30000 && !memcmp(back, data, 30000));
	CHECK(FAILS_WITH(tee(a[0], b[1], 1, SPLICE_F_NONBLOCK), EAGAIN));
	CHECK(fcntl(a[1], F_SETPIPE_SZ, 1 << 17) == 1 << 17 && fcntl(b[1], F_SETPIPE_SZ, 1 << 17) == 1 << 17);
	CHECK(write(a[1], data, 1 << 17) == 1 << 17 && tee(a[0], b[1], 1 << 20, 0) == 1 << 17);
	CHECK(
	    pipes_left(a) == 1 << 17 && read(b[0], back, 1 << 17) == 1 << 17 && !memcmp(back, data, 1 << 17));
	CHECK(FAILS_WITH(tee(a[0], a[1], 1, 0), EINVAL) && FAILS_WITH(tee(a[0], f, 1, 0), EINVAL));
	CHECK(FAILS_WITH(tee(a[1], b[1], 1, 0), EBADF) && FAILS_WITH(tee(99, b[1], 1, 0), EBADF));
	CHECK(FAILS_WITH(tee(99, b[1], 0, 0x100), EINVAL) && tee(99, 99, 0, 0) == 0);
	close(a[1]);
	CHECK(tee(a[0], b[1], 1, 0) == 0);
	int fds[] = {a[0], b[0], b[1], f};
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
	return true;
}

static bool vmsplice_both_ways(void)
{
	static char page[1 << 17] __attribute__((aligned(4096)));
	int p[2], f = new_file("a", 0, 10);
	memcpy(page, data, sizeof(page));
	struct iovec v[3] = {{page, 100}, {page + 100, 0}, {page + 4000, 200}}, big = {page + 100, 1 << 16};
	struct iovec to[2] = {{back, 150}, {back + 150, 1000}}, bad = {(void *)16, 10};
	CHECK(pipe(p) == 0);
	CHECK(vmsplice(p[1], v, 3, 0) == 300);
	CHECK(vmsplice(p[0], to, 2, 0) == 300 && !memcmp(back, data, 100) &&
	      !memcmp(back + 100, data + 4000, 200));
	CHECK(FAILS_WITH(vmsplice(p[0], to, 2, SPLICE_F_NONBLOCK), EAGAIN));
	CHECK(vmsplice(p[1], &big, 1, 0) == 65436);
	CHECK(FAILS_WITH(vmsplice(p[1], v, 1, SPLICE_F_NONBLOCK), EAGAIN) && pipes_left(p) == 65436);
	CHECK(
	    FAILS_WITH(vmsplice(p[1], &bad, 1, 0), EFAULT) && FAILS_WITH(vmsplice(p[1], v, 2000, 0), EINVAL));
	CHECK(FAILS_WITH(vmsplice(f, v, 1, 0), EBADF) && FAILS_WITH(vmsplice(99, v, 1, 0), EBADF));
	CHECK(vmsplice(f, v, 0, 0) == 0 && FAILS_WITH(vmsplice(p[1], v, 1, 0x100), EINVAL));
	close(p[1]);
	CHECK(vmsplice(p[0], to, 1, 0) == 0);
	close(p[0]);
	close(f);
	return true;
}

/* --- waiting --- */

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static int late_pipe[2];

static void *write_late(void *arg)
{
	nap();
	return (void *)(intptr_t)write(late_pipe[1], arg, 5);
}

static void *read_late(void *arg)
{
	nap();
	return (void *)(intptr_t)read(late_pipe[0], arg, 65536);
}

static bool splice_waits(void)
{
	int out = new_file("b", 0, 0), in = new_file("a", 0, 1000);
	pthread_t t;
	void *n;
	CHECK(pipe(late_pipe) == 0);
	CHECK(pthread_create(&t, NULL, write_late, data) == 0);
	CHECK(splice(late_pipe[0], NULL, out, NULL, 100, 0) == 5 && same(out, 0, 0, 5));
	pthread_join(t, &n);
	CHECK((intptr_t)n == 5 && write(late_pipe[1], data, 65536) == 65536);
	CHECK(pthread_create(&t, NULL, read_late, back) == 0);
	CHECK(splice(in, NULL, late_pipe[1], NULL, 100, 0) == 100);
	pthread_join(t, &n);
	CHECK((intptr_t)n == 65536);
	close(late_pipe[0]);
	close(late_pipe[1]);
	close(in);
	close(out);
	return true;
}

static void *splice_all(void *arg)
{
	int *fds = arg;
	ssize_t n;
	while ((n = splice(fds[0], NULL, fds[1], NULL, 70000, 0)) > 0)
		;
	close(fds[1]);
	return (void *)(intptr_t)n;
}

/* A chain: file, pipe, pipe, socket, pipe, file; every part by a thread of its own. */
static bool splice_chain(void)
{
	int in = new_file("a", 0, sizeof(data)), out = new_file("b", 0, 0), a[2], b[2], s[2], c[2];
	CHECK(pipe(a) == 0 && pipe(b) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(c) == 0);
	int parts[5][2] = {{in, a[1]}, {a[0], b[1]}, {b[0], s[0]}, {s[1], c[1]}, {c[0], dup(out)}};
	pthread_t t[5];
	for (int i = 0; i < 5; i++)
		CHECK(pthread_create(&t[i], NULL, splice_all, parts[i]) == 0);
	for (int i = 0; i < 5; i++) {
		void *n;
		pthread_join(t[i], &n);
		CHECK((intptr_t)n == 0);
	}
	CHECK(lseek(out, 0, SEEK_END) == sizeof(data) && same(out, 0, 0, sizeof(data)));
	int fds[] = {in, out, a[0], b[0], s[1], c[0]};
	for (unsigned i = 0; i < 6; i++)
		close(fds[i]);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"sendfile between files", sendfile_files},
	    {"sendfile: what is refused", sendfile_errors},
	    {"sendfile to pipes, sockets, devices", sendfile_to_streams},
	    {"copy_file_range between files", copy_range_files},
	    {"copy_file_range: what is refused", copy_range_errors},
	    {"copies end at the size limit", copy_range_limit},
	    {"splice from a file into a pipe", splice_file_to_pipe},
	    {"splice from a pipe into a file", splice_pipe_to_file},
	    {"splice: what is refused", splice_errors},
	    {"splice with sockets", splice_sockets},
	    {"splice between pipes", splice_between_pipes},
	    {"tee copies", tee_copies},
	    {"vmsplice both ways", vmsplice_both_ways},
	    {"splice waits for bytes and room", splice_waits},
	    {"splices in a chain", splice_chain},
	};
	fill();
	return UTEST_RUN(tests);
}
