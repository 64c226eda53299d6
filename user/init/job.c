/* job.c - the command: its process, its pipes or its terminal. */
#define _GNU_SOURCE
#include "launcher.h"
#include <quire/calls.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { CANNOT_RUN = 126, NOT_FOUND = 127, NO_JOB = 125 }; /* as env(1) and shells have it */

static const char *failure(const char *what)
{
	static char text[256];
	snprintf(text, sizeof(text), "%s: %s", what, strerror(errno));
	return text;
}

static const char *variable(const struct request *r, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < r->variables.n; i++)
		if (!strncmp(r->variables.list[i], name, n) && r->variables.list[i][n] == '=')
			return r->variables.list[i] + n + 1;
	return NULL;
}

/* In the child: every signal as it is by default, none blocked. */
static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Is `trace` among the words on the kernel's command line that are the kernel's? */
static bool is_trace_wanted(void)
{
	char words[1024];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof(words) - 1);
	close(fd);
	words[n > 0 ? n : 0] = 0;
	for (char *w = strtok(words, " \n"); w && strcmp(w, "--") != 0; w = strtok(NULL, " \n"))
		if (!strcmp(w, "trace"))
			return true;
	return false;
}

static int become_user(const struct request *r)
{
	if (!r->user)
		return 0;
	return setgroups(0, NULL) || setgid(r->user) || setuid(r->user) ? -1 : 0;
}

/* In the child: run the command; returns only if that fails, with errno set. */
static void execute(const struct request *r, const int fds[3])
{
	setsid();
	if (r->terminal && ioctl(fds[0], TIOCSCTTY, 0))
		return;
	for (int i = 0; i < 3; i++) /* all of ours are above 2: see keep_low_free */
		if (dup2(fds[i], i) < 0)
			return;
	reset_signals();
	const char *home = variable(r, "HOME"), *path = variable(r, "PATH");
	if (r->directory ? chdir(r->directory) : chdir(home ? home : "/") && chdir("/"))
		return;
	if (is_trace_wanted()) /* while we still may */
		syscall(SYS_quire_trace, 0, 1);
	if (become_user(r))
		return;
	if (path)
		setenv("PATH", path, 1); /* where execvpe looks */
	execvpe(r->arguments.list[0], r->arguments.list, r->variables.list);
}

/* Fork; the child tells over a pipe that closes at exec why it failed. */
static int spawn(struct job *j, const struct request *r, const int fds[3])
{
	int tell[2], error = 0;
	if (pipe2(tell, O_CLOEXEC))
		return errno;
	j->pid = fork();
	if (j->pid == 0) {
		execute(r, fds);
		error = errno;
		_exit(write(tell[1], &error, sizeof(error)) == sizeof(error) ? NOT_FOUND : NO_JOB);
	}
	if (j->pid < 0)
		error = errno;
	close(tell[1]);
	if (j->pid > 0) {
		ssize_t n;
		do
			n = read(tell[0], &error, sizeof(error));
		while (n < 0 && errno == EINTR);
		if (n == sizeof(error))
			waitpid(j->pid, NULL, 0);
		else
			error = 0;
	}
	close(tell[0]);
	if (error)
		j->pid = 0;
	return error;
}

static void set_nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void close_all(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static bool open_pipes(struct job *j, int child[3])
{
	for (int i = 0; i < 3; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC))
			return false;
		child[i] = ends[i != 0];
		j->fd[i] = ends[i == 0];
		set_nonblock(j->fd[i]);
	}
	return true;
}

static bool open_terminal(struct job *j, const struct request *r, int child[3])
{
	int n, unlocked = 0;
	char name[32];
	struct winsize size = {.ws_row = r->rows, .ws_col = r->columns};
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	j->fd[0] = master;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) || ioctl(master, TIOCGPTN, &n) ||
	    ioctl(master, TIOCSWINSZ, &size))
		return false;
	snprintf(name, sizeof(name), "/dev/pts/%d", n);
	child[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (child[0] < 0 || (r->user && fchown(child[0], r->user, (gid_t)-1)))
		return false;
	child[1] = child[2] = child[0];
	j->fd[1] = fcntl(master, F_DUPFD_CLOEXEC, 3);
	return j->fd[1] >= 0;
}

/* Descriptors 0 to 2 are in use, so that no end of a pipe is one of them. */
static void keep_low_free(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 2);
	if (fd > 2)
		close(fd);
}

int job_start(struct job *j, const struct request *r, const char **why)
{
	int child[3] = {-1, -1, -1};
	*j = (struct job){.fd = {-1, -1, -1}, .terminal = r->terminal};
	keep_low_free();
	if (!(r->terminal ? open_terminal(j, r, child) : open_pipes(j, child))) {
		*why = failure(r->terminal ? "cannot make a terminal" : "cannot make pipes");
		close_all(child, r->terminal ? 1 : 3);
		close_all(j->fd, 3);
		return NO_JOB;
	}
	int error = spawn(j, r, child);
	close_all(child, r->terminal ? 1 : 3);
	if (!error)
		return 0;
	close_all(j->fd, 3);
	errno = error;
	*why = failure(r->arguments.list[0]);
	return error == ENOENT ? NOT_FOUND : CANNOT_RUN;
}

void job_resize(struct job *j, uint16_t rows, uint16_t columns)
{
	struct winsize size = {.ws_row = rows, .ws_col = columns};
	if (j->terminal && j->fd[0] >= 0)
		ioctl(j->fd[0], TIOCSWINSZ, &size);
}

/* What a terminal's keys would send goes to the foreground group, the rest to the command itself. */
void job_signal(struct job *j, int number, bool group)
{
	pid_t foreground;
	if (!j->pid)
		return;
	if (group && j->terminal && ioctl(j->fd[0], TIOCGPGRP, &foreground) == 0 && foreground > 0)
		kill(-foreground, number);
	else
		kill(group ? -j->pid : j->pid, number);
}

bool job_reaped(struct job *j, pid_t pid, int status)
{
	if (!j->pid || pid != j->pid)
		return false;
	j->pid = 0;
	j->exited = true;
	j->status = status;
	return true;
}
