/*
 * urun.c - the first program of test runs: starts each program named by its arguments, one after another, and
 * fails if one does. Without arguments: every test program of the initrd (the makefile tells which, in
 * UTESTS). What the programs print is theirs; a program that dies is a failed test point.
 */
#include <fcntl.h>
#include <quire/system.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *const all[] = {UTESTS NULL};

/* These get what we were given, the system object, and are told by a variable where it is. */
static const char *const trusted[] = {
    "/bin/uinit", "/bin/ulog", "/bin/uobject", "/bin/userial", "/bin/usystem"};

static void give_system(const char *path)
{
	char number[12];
	int fd = (int)getauxval(QUIRE_AT_SYSTEM);
	for (size_t i = 0; i < sizeof(trusted) / sizeof(trusted[0]); i++) {
		if (strcmp(path, trusted[i]) != 0 || fd == 0)
			continue;
		fcntl(fd, F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", fd);
		setenv("QUIRE_SYSTEM", number, 1);
	}
}

/* Run one program to its end; true if it exited with 0. */
static int run(const char *path)
{
	char *argv[] = {(char *)path, NULL};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		give_system(path);
		execve(path, argv, environ);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		printf("1..1\nnot ok 1 - %s could not be started\n", path);
	else if (WIFSIGNALED(status))
		printf("1..1\nnot ok 1 - %s was ended by signal %d\n", path, WTERMSIG(status));
	else if (WEXITSTATUS(status) == 127)
		printf("1..1\nnot ok 1 - %s could not be run\n", path);
	fflush(stdout);
	return status == 0;
}

int main(int argc, char **argv)
{
	const char *const *path = argc > 1 ? (const char *const *)argv + 1 : all;
	int failed = 0;

	for (; *path; path++)
		failed += !run(*path);
	return failed != 0;
}
