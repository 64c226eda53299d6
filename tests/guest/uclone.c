/*
 * uclone.c - what a child may share with its maker beyond what threads and fork do: handlers, the parent; a
 * descriptor for it, and an id that it is to have. Runs as root.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include "utap.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
enum { CALL_CLONE3 = 435 };
#define WAIT_PIDFD ((idtype_t)3)

static char *self;

struct args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
	    set_tid_size, cgroup;
};

static long clone3(struct args *a)
{
	return syscall(CALL_CLONE3, a, sizeof(*a));
}

/* The call fails like this; a child, should there be one, ends. */
static bool refused(struct args a, int err)
{
	errno = 0;
	long r = clone3(&a);
	if (r == 0)
		_exit(0);
	return r == -1 && errno == err;
}

static bool ends_well(pid_t pid)
{
	int status;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- a descriptor for the child --- */

static bool is_pidfd_of(int fd, pid_t pid)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	siginfo_t info = {0};
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && poll(&poll_fd, 1, 10000) == 1 && poll_fd.revents == POLLIN);
	CHECK(waitid(WAIT_PIDFD, (id_t)fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == 0);
	return close(fd) == 0;
}

static bool descriptors(void)
{
	int fd = -1, before = dup(0);
	CHECK(before >= 0 && close(before) == 0);
	struct args a = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)&fd, .exit_signal = SIGCHLD};
	long pid = clone3(&a);
	if (pid == 0) /* the word was written before its copy was made, but the descriptor is not for it */
		_exit(fcntl(before, F_GETFD) == -1 && errno == EBADF ? 0 : 1);
	CHECK(pid > 0 && fd == before && is_pidfd_of(fd, (pid_t)pid));
	fd = -1;
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, 0);
	if (pid == 0)
		_exit(0);
	CHECK(pid > 0 && fd == before && is_pidfd_of(fd, (pid_t)pid));
	pid = syscall(SYS_clone, CLONE_PIDFD | CLONE_FILES | SIGCHLD, NULL, &fd, NULL, 0);
	if (pid == 0)
		_exit(fcntl(before, F_GETFD) == FD_CLOEXEC ? 0 : 1); /* one table */
	CHECK(pid > 0 && fd == before && is_pidfd_of(fd, (pid_t)pid));
	return true;
}

static bool descriptor_errors(void)
{
	int fd = -1, before = dup(0);
	CHECK(before >= 0 && close(before) == 0);
	struct args a = {.flags = CLONE_PIDFD, .pidfd = UINT64_MAX - 7, .exit_signal = SIGCHLD};
	CHECK(refused(a, EFAULT));
	a.pidfd = 0;
	CHECK(refused(a, EFAULT));
	a.pidfd = a.parent_tid = (uint64_t)&fd;
	a.flags |= CLONE_PARENT_SETTID;
	CHECK(refused(a, EINVAL) && fd == -1);
	CHECK(FAILS_WITH(
	    syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &fd, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(
	    syscall(SYS_clone, CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, NULL, &fd, NULL, 0), EINVAL));
	int next = dup(0);
	CHECK(next == before && close(next) == 0); /* nothing was left open */
	return FAILS_WITH(waitpid(-1, NULL, 0), ECHILD);
}

/* --- handlers --- */

static volatile sig_atomic_t seen;
static void note(int signal)
{
	seen = signal;
}

static int set_handler(void *arg)
{
	struct sigaction a = {.sa_handler = note};
	(void)arg;
	return sigaction(SIGUSR1, &a, NULL);
}

static char stack[65536] __attribute__((aligned(16)));

static int set_and_exec(void *arg)
{
	char *const argv[] = {(char *)(uintptr_t) "uclone", (char *)(uintptr_t) "handlers", NULL};
	if (set_handler(arg))
		return 2;
	execv(arg, argv);
	return 3;
}

/* In a program that was run: what shared handlers it was started with are not shared any more, and the
 * default. */
static int check_handlers(void)
{
	struct sigaction old, a = {.sa_handler = SIG_IGN};
	if (sigaction(SIGUSR1, NULL, &old) || old.sa_handler != SIG_DFL)
		return 1;
	return sigaction(SIGUSR1, &a, NULL) ? 1 : 0;
}

static bool handlers(void)
{
	struct sigaction dies = {.sa_handler = SIG_DFL}, old;
	CHECK(sigaction(SIGUSR1, &dies, NULL) == 0);
	int pid = clone(set_handler, stack + sizeof(stack), CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
	CHECK(pid > 0 && ends_well(pid));
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == note);
	CHECK(raise(SIGUSR1) == 0 && seen == SIGUSR1 && sigaction(SIGUSR1, &dies, NULL) == 0);
	pid = clone(set_handler, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	CHECK(pid > 0 && ends_well(pid) && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	pid = clone(set_and_exec, stack + sizeof(stack), CLONE_VM | CLONE_SIGHAND | SIGCHLD, self);
	CHECK(pid > 0 && ends_well(pid) && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == note);
	CHECK(sigaction(SIGUSR1, &dies, NULL) == 0);
	struct args a = {.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD};
	CHECK(refused(a, EINVAL));
	a.flags = CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND;
	return refused(a, EINVAL);
}

static bool cleared_handlers(void)
{
	struct sigaction a = {.sa_handler = note}, ignore = {.sa_handler = SIG_IGN}, old;
	CHECK(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR2, &ignore, NULL) == 0);
	struct args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	long pid = clone3(&args);
	if (pid == 0) {
		bool ok = sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL &&
			  sigaction(SIGUSR2, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
		_exit(!ok);
	}
	CHECK(pid > 0 && ends_well((pid_t)pid) && sigaction(SIGUSR1, NULL, &old) == 0 &&
	      old.sa_handler == note);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	return true;
}

/* --- a sibling instead of a child --- */

static int make_sibling(void *arg)
{
	int *ends = arg;
	pid_t parent = getppid();
	struct args a = {.flags = CLONE_PARENT};
	long pid = clone3(&a);
	if (pid == 0)
		_exit(getppid() == parent ? 5 : 6);
	UCHECK(pid > 0 && write(ends[1], &pid, sizeof(pid)) == sizeof(pid));
	UCHECK(FAILS_WITH(waitpid((pid_t)pid, NULL, 0), ECHILD));
	a.exit_signal = SIGCHLD;
	UCHECK(refused(a, EINVAL));
	pid =
	    syscall(SYS_clone, CLONE_PARENT | SIGUSR1, NULL, NULL, NULL, 0); /* its signal is its sibling's */
	if (pid == 0)
		_exit(getppid() == parent ? 7 : 6);
	UCHECK(pid > 0 && write(ends[1], &pid, sizeof(pid)) == sizeof(pid));
	return 0;
}

static int have_siblings(void *arg)
{
	int ends[2], status;
	long pids[2];
	(void)arg;
	UCHECK(pipe(ends) == 0 && child_exits(make_sibling, ends, 0));
	UCHECK(read(ends[0], pids, sizeof(pids)) == sizeof(pids));
	UCHECK(
	    waitpid((pid_t)pids[0], &status, 0) == pids[0] && WIFEXITED(status) && WEXITSTATUS(status) == 5);
	UCHECK(
	    waitpid((pid_t)pids[1], &status, 0) == pids[1] && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return 0;
}

static bool siblings(void)
{
	return child_exits(have_siblings, NULL, 0);
}

/* --- chosen ids --- */

static int do_exit(void *arg)
{
	return *(int *)arg;
}

static int without_right(void *arg)
{
	pid_t wish = 30000;
	struct args a = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)&wish, .set_tid_size = 1};
	(void)arg;
	UCHECK(sc(setresuid, 5, 5, 5) == 0 && refused(a, EPERM));
	wish = 0;
	UCHECK(refused(a, EINVAL)); /* before rights */
	return 0;
}

static bool chosen_ids(void)
{
	pid_t wishes[33] = {0};
	struct args a = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)wishes, .set_tid_size = 1};
	int zero = 0;
	fflush(stdout);
	pid_t free_id = fork();
	if (free_id == 0)
		_exit(do_exit(&zero));
	CHECK(free_id > 0 && ends_well(free_id));
	wishes[0] = free_id;
	long pid = clone3(&a);
	if (pid == 0)
		_exit(getpid() == wishes[0] && syscall(SYS_gettid) == wishes[0] ? 0 : 1);
	CHECK(pid == free_id && ends_well((pid_t)pid));
	wishes[0] = getpid();
	CHECK(refused(a, EEXIST));
	wishes[0] = 0;
	CHECK(refused(a, EINVAL));
	wishes[0] = -1;
	CHECK(refused(a, EINVAL));
	wishes[0] = free_id;
	a.set_tid_size = 33;
	CHECK(refused(a, EINVAL));
	a.set_tid_size = 0;
	CHECK(refused(a, EINVAL));
	a.set_tid_size = 1;
	a.set_tid = 0;
	CHECK(refused(a, EINVAL));
	a.set_tid = UINT64_MAX - 7;
	CHECK(refused(a, EFAULT));
	return child_exits(without_right, NULL, 0);
}

static const struct utest tests[] = {
    {"descriptors for children", descriptors},
    {"refused descriptors", descriptor_errors},
    {"shared handlers", handlers},
    {"cleared handlers", cleared_handlers},
    {"siblings", siblings},
    {"chosen ids", chosen_ids},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "handlers"))
		return check_handlers();
	self = argv[0];
	return UTEST_RUN(tests);
}
