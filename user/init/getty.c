/* getty.c - programs on terminals, each the leader of a session of its own, run again when they end. */
#define _GNU_SOURCE
#include "config.h"
#include "init.h"
#include "restart.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_RUN = 127 };

struct getty {
	const struct getty_config *config;
	pid_t pid;        /* 0: it does not run */
	uint64_t started; /* milliseconds */
	uint64_t due;     /* when it is to be started, if it does not run; NEVER: not again */
	unsigned tries;
};

static const struct restart_rule rule = {.first = 100, .most = 30 * 1000, .well = 1000};
static struct getty gettys[CONFIG_GETTYS];
static unsigned count;

/* --- the child --- */

static bool open_terminal(const char *name)
{
	char path[64]; /* names are shorter: config.c */
	int fd;
	setsid();
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return false;
	ioctl(fd, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
	return true;
}

static void run_shell(void)
{
	static const char *const shells[] = {"/bin/bash", "/bin/sh", "/bin/busybox"};
	setenv("HOME", "/root", 1);
	if (chdir("/root") && chdir("/"))
		return;
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		execl(shells[i], i == 2 ? "sh" : "-sh", (char *)NULL);
}

static void run(const struct getty_config *c)
{
	sigset_t none;
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL); /* what has a handler gets its default by exec */
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("TERM", "linux", 0);
	if (!open_terminal(c->terminal))
		_exit(1);
	if (c->arguments[0])
		execv(c->arguments[0], c->arguments);
	else
		run_shell();
	_exit(CANNOT_RUN);
}

/* --- the parent --- */

static const char *program_of(const struct getty *g)
{
	return g->config->arguments[0] ? g->config->arguments[0] : "a shell";
}

static void start(struct getty *g, uint64_t now)
{
	pid_t pid = fork();
	if (pid == 0)
		run(g->config);
	g->started = now;
	g->pid = pid < 0 ? 0 : pid;
	if (pid >= 0)
		return;
	g->due = now + restart_delay(&rule, &g->tries, 0) + 1;
	say(SAY_WARNING, "cannot start %s on %s: %s", program_of(g), g->config->terminal, strerror(errno));
}

void gettys_begin(const struct config *c)
{
	count = c->ngettys;
	for (unsigned i = 0; i < count; i++)
		gettys[i].config = &c->gettys[i];
	gettys_turn(now_ms());
}

void gettys_turn(uint64_t now)
{
	for (struct getty *g = gettys; g < gettys + count; g++)
		if (!g->pid && g->due <= now)
			start(g, now);
}

bool gettys_reaped(pid_t pid, int status, uint64_t now)
{
	for (struct getty *g = gettys; g < gettys + count; g++) {
		if (g->pid != pid)
			continue;
		g->pid = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_RUN) {
			say(SAY_WARNING, "cannot run %s on %s", program_of(g), g->config->terminal);
			g->due = NEVER;
		} else {
			g->due = now + restart_delay(&rule, &g->tries, now - g->started);
		}
		return true;
	}
	return false;
}

uint64_t gettys_due(void)
{
	uint64_t due = NEVER;
	for (struct getty *g = gettys; g < gettys + count; g++)
		if (!g->pid && g->due < due)
			due = g->due;
	return due;
}

bool gettys_live(void)
{
	bool live = false;
	for (struct getty *g = gettys; g < gettys + count; g++)
		live |= g->pid || g->due != NEVER;
	return live;
}

void gettys_hang_up(void)
{
	for (struct getty *g = gettys; g < gettys + count; g++)
		if (g->pid)
			kill(-g->pid, SIGHUP);
}
