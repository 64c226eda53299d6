/*
 * ulock.c - locks on files: flock, fcntl by process and by open file; conflicts, waiting, deadlock, what
 * close and exit release.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>

#include "utap.h"

static char name[64];

static int set(int fd, int command, short type, off_t start, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	return fcntl(fd, command, &l);
}

/* The lock that is in the way of a write lock here; its type. */
static int in_the_way(int fd, int command, off_t start, off_t len, struct flock *l)
{
	*l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	return fcntl(fd, command, l) ? -1 : l->l_type;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static int new_file(void)
{
	unlink(name);
	return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static bool flock_by_open_file(void)
{
	int a = new_file(), b = open(name, O_RDONLY), c = dup(a);
	CHECK(a >= 0 && b >= 0);
	CHECK(flock(a, LOCK_SH) == 0 && flock(b, LOCK_SH) == 0);
	CHECK(FAILS_WITH(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK));
	CHECK(flock(b, LOCK_UN) == 0);
	CHECK(flock(a, LOCK_EX | LOCK_NB) == 0);
	CHECK(flock(c, LOCK_EX | LOCK_NB) == 0);
	CHECK(FAILS_WITH(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK));
	close(a);
	CHECK(FAILS_WITH(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK));
	close(c);
	CHECK(flock(b, LOCK_EX | LOCK_NB) == 0);
	CHECK(FAILS_WITH(flock(b, 3), EINVAL));
	CHECK(FAILS_WITH(flock(99, LOCK_EX), EBADF));
	CHECK(FAILS_WITH(flock(99, 0), EINVAL));
	close(b);
	b = open(name, O_PATH);
	CHECK(FAILS_WITH(flock(b, LOCK_EX), EBADF));
	close(b);
	return true;
}

static int hold_flock(void *arg)
{
	int fd = open(name, O_RDWR), *out = arg;
	if (flock(fd, LOCK_EX) || write(out[1], "x", 1) != 1)
		return 1;
	nap();
	return 0;
}

static bool flock_waits(void)
{
	int fd = new_file(), fds[2];
	char byte;
	CHECK(pipe(fds) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(hold_flock(fds));
	CHECK(read(fds[0], &byte, 1) == 1);
	CHECK(flock(fd, LOCK_EX) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	close(fd);
	close(fds[0]);
	close(fds[1]);
	return true;
}

/* In a child: what is in the way at each of the first 8 bytes, as text. */
static int map_of_locks(void *arg)
{
	int fd = open(name, O_RDWR);
	const char *want = arg;
	struct flock l;
	for (int i = 0; i < 8; i++) {
		int type = in_the_way(fd, F_GETLK, i, 1, &l);
		char c = type == F_UNLCK ? '-' : type == F_RDLCK ? 'r' : 'w';
		if (c != want[i] || (type != F_UNLCK && l.l_pid != getppid()))
			return 1;
	}
	return 0;
}

static bool ranges_split_and_join(void)
{
	int fd = new_file();
	CHECK(set(fd, F_SETLK, F_WRLCK, 0, 8) == 0);
	CHECK(child_exits(map_of_locks, "wwwwwwww", 0));
	CHECK(set(fd, F_SETLK, F_UNLCK, 3, 2) == 0);
	CHECK(child_exits(map_of_locks, "www--www", 0));
	CHECK(set(fd, F_SETLK, F_RDLCK, 2, 2) == 0);
	CHECK(child_exits(map_of_locks, "wwrr-www", 0));
	CHECK(set(fd, F_SETLK, F_WRLCK, 1, 4) == 0);
	CHECK(child_exits(map_of_locks, "wwwwwwww", 0));
	CHECK(set(fd, F_SETLK, F_UNLCK, 0, 0) == 0);
	CHECK(child_exits(map_of_locks, "--------", 0));
	CHECK(set(fd, F_SETLK, F_RDLCK, 6, -2) == 0);
	CHECK(child_exits(map_of_locks, "----rr--", 0));
	close(fd);
	CHECK(child_exits(map_of_locks, "--------", 0));
	return true;
}

static int tell_whole(void *arg)
{
	struct flock l;
	int fd = open(name, O_RDWR);
	(void)arg;
	if (in_the_way(fd, F_GETLK, 50, 0, &l) != F_WRLCK)
		return 1;
	return l.l_start == 10 && l.l_len == 0 && l.l_pid == getppid() && l.l_whence == SEEK_SET ? 0 : 2;
}

static bool range_to_the_end(void)
{
	int fd = new_file();
	CHECK(set(fd, F_SETLK, F_WRLCK, 10, 0) == 0);
	CHECK(child_exits(tell_whole, NULL, 0));
	close(fd);
	return true;
}

static bool arguments_are_checked(void)
{
	int fd = new_file(), in = open(name, O_RDONLY), out = open(name, O_WRONLY);
	struct flock l = {.l_type = F_RDLCK, .l_whence = 7};
	CHECK(FAILS_WITH(fcntl(fd, F_SETLK, &l), EINVAL));
	CHECK(FAILS_WITH(fcntl(fd, F_SETLK, (void *)8), EFAULT));
	CHECK(FAILS_WITH(set(fd, F_SETLK, 5, 0, 0), EINVAL));
	CHECK(FAILS_WITH(set(fd, F_SETLK, F_RDLCK, -1, 0), EINVAL));
	CHECK(FAILS_WITH(set(fd, F_SETLK, F_RDLCK, 1, -2), EINVAL));
	CHECK(FAILS_WITH(set(fd, F_SETLK, F_RDLCK, LLONG_MAX, 2), EOVERFLOW));
	CHECK(set(fd, F_SETLK, F_RDLCK, LLONG_MAX, 1) == 0);
	CHECK(FAILS_WITH(set(in, F_SETLK, F_WRLCK, 0, 1), EBADF));
	CHECK(FAILS_WITH(set(out, F_SETLK, F_RDLCK, 0, 1), EBADF));
	CHECK(FAILS_WITH(set(fd, F_GETLK, F_UNLCK, 0, 1), EINVAL));
	l = (struct flock){.l_type = F_RDLCK, .l_pid = 1};
	CHECK(FAILS_WITH(fcntl(fd, F_OFD_SETLK, &l), EINVAL));
	close(fd);
	close(in);
	close(out);
	return true;
}

static int try_lock(void *arg)
{
	int fd = open(name, O_RDWR);
	(void)arg;
	return set(fd, F_SETLK, F_WRLCK, 0, 1) == 0 ? 0 : errno == EAGAIN ? 1 : 2;
}

static bool any_close_releases(void)
{
	int fd = new_file(), other;
	CHECK(set(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
	CHECK(child_exits(try_lock, NULL, 1));
	other = open(name, O_RDONLY);
	close(other);
	CHECK(child_exits(try_lock, NULL, 0));
	CHECK(set(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
	other = open(name, O_PATH);
	close(other);
	CHECK(child_exits(try_lock, NULL, 1));
	CHECK(dup2(1, fd) == fd);
	CHECK(child_exits(try_lock, NULL, 0));
	close(fd);
	return true;
}

static bool of_open_files(void)
{
	int a = new_file(), b = open(name, O_RDWR), c = dup(a);
	struct flock l;
	CHECK(set(a, F_OFD_SETLK, F_WRLCK, 0, 10) == 0);
	CHECK(FAILS_WITH(set(b, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN));
	CHECK(FAILS_WITH(set(b, F_SETLK, F_RDLCK, 5, 1), EAGAIN));
	CHECK(in_the_way(b, F_OFD_GETLK, 0, 0, &l) == F_WRLCK && l.l_pid == -1 && l.l_len == 10);
	CHECK(in_the_way(c, F_OFD_GETLK, 0, 0, &l) == F_UNLCK);
	close(a);
	CHECK(FAILS_WITH(set(b, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN));
	close(c);
	CHECK(set(b, F_OFD_SETLK, F_WRLCK, 5, 1) == 0);
	close(b);
	return true;
}

static int lock_both(void *arg)
{
	int fd = open(name, O_RDWR), *fds = arg;
	char byte;
	if (set(fd, F_SETLK, F_WRLCK, 1, 1) || write(fds[1], "x", 1) != 1)
		return 2;
	alarm(20);
	/* Waits for the parent, which then asks for byte 1 and is refused. */
	if (set(fd, F_SETLKW, F_WRLCK, 0, 1))
		return 3;
	return read(fds[2], &byte, 0) == 0 ? 0 : 4;
}

static bool deadlock_is_refused(void)
{
	int fd = new_file(), fds[4], status;
	char byte;
	CHECK(pipe(fds) == 0 && pipe(fds + 2) == 0);
	CHECK(set(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(lock_both(fds));
	CHECK(read(fds[0], &byte, 1) == 1);
	nap();
	CHECK(FAILS_WITH(set(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK));
	CHECK(set(fd, F_SETLK, F_UNLCK, 0, 1) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(set(fd, F_SETLKW, F_WRLCK, 1, 1) == 0);
	close(fd);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	return true;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static int wait_with_alarm(void *arg)
{
	int fd = open(name, O_RDWR);
	struct sigaction act = {.sa_handler = on_alarm};
	(void)arg;
	sigaction(SIGUSR1, &act, NULL);
	return set(fd, F_SETLKW, F_WRLCK, 0, 1) == -1 && errno == EINTR ? 0 : 1;
}

static bool waiting_ends_by_signal(void)
{
	int fd = new_file(), status;
	CHECK(set(fd, F_SETLK, F_WRLCK, 0, 1) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(wait_with_alarm(NULL));
	nap();
	nap();
	kill(pid, SIGUSR1);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(fd);
	unlink(name);
	return true;
}

static const struct utest tests[] = {
    {"flock belongs to the open file", flock_by_open_file},
    {"flock waits", flock_waits},
    {"ranges split and join", ranges_split_and_join},
    {"a range to the end", range_to_the_end},
    {"arguments", arguments_are_checked},
    {"any close releases", any_close_releases},
    {"locks of open files", of_open_files},
    {"a deadlock is refused", deadlock_is_refused},
    {"waiting ends by a signal", waiting_ends_by_signal},
};

int main(void)
{
	utest_file(name, "locked");
	return UTEST_RUN(tests);
}
