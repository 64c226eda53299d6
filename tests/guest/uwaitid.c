/* uwaitid.c - waitid, and files that stand for processes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "utap.h"

enum { MY_P_PIDFD = 3 };

static int call(int which, pid_t id, siginfo_t *info, int options)
{
	memset(info, 0x55, sizeof(*info));
	return (int)sc(waitid, which, id, info, options, NULL);
}

static pid_t start(int code)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (code < 0)
			for (;;)
				pause();
		_exit(code);
	}
	return pid;
}

static bool is(const siginfo_t *i, pid_t pid, int code, int status)
{
	return i->si_signo == SIGCHLD && i->si_errno == 0 && i->si_code == code && i->si_pid == pid &&
	       i->si_uid == getuid() && i->si_status == status;
}

static bool arguments(void)
{
	siginfo_t i;
	CHECK(FAILS_WITH(call(P_ALL, 0, &i, WEXITED), ECHILD) && i.si_signo == 0);
	CHECK(FAILS_WITH(call(P_ALL, 0, &i, WNOHANG), EINVAL) && FAILS_WITH(call(P_ALL, 0, &i, 0), EINVAL));
	CHECK(FAILS_WITH(call(P_ALL, 0, &i, WEXITED | 0x100), EINVAL));
	CHECK(FAILS_WITH(call(9, 0, &i, WEXITED), EINVAL) && FAILS_WITH(call(P_PID, 0, &i, WEXITED), EINVAL));
	CHECK(FAILS_WITH(call(P_PID, -5, &i, WEXITED), EINVAL) &&
	      FAILS_WITH(call(P_PGID, -5, &i, WEXITED), EINVAL));
	CHECK(FAILS_WITH(call(P_PGID, 1, &i, WEXITED), ECHILD));
	CHECK(FAILS_WITH(call(MY_P_PIDFD, -1, &i, WEXITED), EINVAL));
	CHECK(FAILS_WITH(call(MY_P_PIDFD, 99, &i, WEXITED), EBADF));
	CHECK(FAILS_WITH(call(MY_P_PIDFD, 0, &i, WEXITED), EBADF));
	return true;
}

static bool exits(void)
{
	siginfo_t i;
	struct rusage ru;
	int status;
	pid_t pid = start(300);
	CHECK(call(P_PID, pid, &i, WEXITED | WNOWAIT) == 0 && is(&i, pid, CLD_EXITED, 300 & 0xff));
	CHECK(call(P_PGID, 0, &i, WEXITED | WNOWAIT) == 0 && is(&i, pid, CLD_EXITED, 44));
	CHECK(FAILS_WITH(call(P_PID, pid, &i, WSTOPPED), ECHILD));
	CHECK(sc(waitid, P_ALL, 0, &i, WEXITED | WNOWAIT, &ru) == 0 && ru.ru_utime.tv_sec >= 0);
	CHECK(sc(waitid, P_PID, pid, NULL, WEXITED, NULL) == 0);
	CHECK(FAILS_WITH(waitpid(pid, &status, 0), ECHILD));
	pid = start(-1);
	CHECK(call(P_PID, pid, &i, WEXITED | WNOHANG) == 0 && i.si_signo == 0 && i.si_pid == 0);
	CHECK(kill(pid, SIGTERM) == 0 && call(P_PID, pid, &i, WEXITED) == 0 &&
	      is(&i, pid, CLD_KILLED, SIGTERM));
	pid = start(0);
	CHECK(FAILS_WITH(sc(waitid, P_PID, pid, BAD, WEXITED, NULL), EFAULT));
	CHECK(FAILS_WITH(waitpid(pid, &status, 0), ECHILD));
	return true;
}

static bool stops(void)
{
	siginfo_t i;
	pid_t pid = start(-1);
	CHECK(setpgid(pid, pid) == 0 && kill(pid, SIGSTOP) == 0);
	CHECK(call(P_PGID, pid, &i, WSTOPPED | WNOWAIT) == 0 && is(&i, pid, CLD_STOPPED, SIGSTOP));
	CHECK(call(P_PID, pid, &i, WEXITED | WNOHANG) == 0 && i.si_signo == 0);
	CHECK(call(P_PID, pid, &i, WSTOPPED | WEXITED) == 0 && is(&i, pid, CLD_STOPPED, SIGSTOP));
	CHECK(call(P_PID, pid, &i, WSTOPPED | WNOHANG) == 0 && i.si_signo == 0);
	CHECK(kill(pid, SIGCONT) == 0);
	CHECK(call(P_PID, pid, &i, WCONTINUED) == 0 && is(&i, pid, CLD_CONTINUED, SIGCONT));
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(call(P_PID, pid, &i, WEXITED | WSTOPPED | WCONTINUED) == 0 && is(&i, pid, CLD_KILLED, SIGKILL));
	return true;
}

static bool process_files(void)
{
	siginfo_t i;
	pid_t pid = start(-1);
	CHECK(FAILS_WITH(sc(pidfd_open, 0, 0), EINVAL) && FAILS_WITH(sc(pidfd_open, pid, 1), EINVAL));
	CHECK(FAILS_WITH(sc(pidfd_open, 1 << 22, 0), ESRCH) && FAILS_WITH(sc(pidfd_open, -1, 0), EINVAL));
	int fd = (int)sc(pidfd_open, pid, O_NONBLOCK);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	CHECK(poll(&p, 1, 0) == 0 && FAILS_WITH(read(fd, &p, 1), EINVAL));
	CHECK(FAILS_WITH(call(MY_P_PIDFD, fd, &i, WEXITED), EAGAIN));
	CHECK(call(MY_P_PIDFD, fd, &i, WEXITED | WNOHANG) == 0 && i.si_signo == 0);
	CHECK(FAILS_WITH(sc(pidfd_send_signal, fd, 0, NULL, 0x100), EINVAL));
	CHECK(FAILS_WITH(sc(pidfd_send_signal, fd, 99, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(sc(pidfd_send_signal, 0, 0, NULL, 0), EBADF));
	CHECK(sc(pidfd_send_signal, fd, 0, NULL, 0) == 0);
	i = (siginfo_t){.si_signo = SIGTERM, .si_code = SI_USER};
	CHECK(FAILS_WITH(sc(pidfd_send_signal, fd, SIGTERM, &i, 0), EPERM));
	CHECK(FAILS_WITH(sc(pidfd_send_signal, fd, SIGUSR1, &i, 0), EINVAL));
	int copy = (int)sc(pidfd_getfd, fd, 1, 0);
	CHECK(copy > fd && close(copy) == 0 && FAILS_WITH(sc(pidfd_getfd, fd, 99, 0), EBADF));
	CHECK(sc(pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0);
	CHECK(poll(&p, 1, 10000) == 1 && p.revents == POLLIN);
	CHECK(call(MY_P_PIDFD, fd, &i, WEXITED) == 0 && is(&i, pid, CLD_KILLED, SIGKILL));
	CHECK(FAILS_WITH(sc(pidfd_send_signal, fd, 0, NULL, 0), ESRCH));
	CHECK(FAILS_WITH(call(MY_P_PIDFD, fd, &i, WEXITED), ECHILD));
	return close(fd) == 0;
}

static const struct utest tests[] = {
    {"arguments", arguments},
    {"children that exit", exits},
    {"children that stop and go on", stops},
    {"files that stand for processes", process_files},
};

int main(void)
{
	return UTEST_RUN(tests);
}
