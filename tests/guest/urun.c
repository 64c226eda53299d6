/*
 * urun.c - the first program of test runs: starts each program named by its arguments, one after another, and
 * fails if one does. Without arguments: every test program of the initrd (the makefile tells which, in
 * UTESTS). What the programs print is theirs; a program that dies is a failed test point.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *const all[] = {UTESTS NULL};

/* Run one program to its end; true if it exited with 0. */
static int run(const char *path)
{
	char *argv[] = {(char *)path, NULL};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
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
