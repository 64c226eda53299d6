#pragma once
/*
 * demo.h - a demo that may be the only program of a machine: as process 1 it runs itself as a child, tells
 * how that ended, and turns the machine off. tools and scripts look for the line "NAME done". Elsewhere it is
 * an ordinary program.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Time-stamp counter: in the emulator's instruction-count mode, instructions. */
static inline uint64_t ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline _Noreturn void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static inline int demo_main(const char *name, int (*run)(void))
{
	int status = 0;
	if (getpid() != 1)
		return run();
	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		exit(run());
	while (waitpid(pid, &status, 0) != pid)
		;
	if (WIFSIGNALED(status))
		printf("%s: killed by signal %d\n", name, WTERMSIG(status));
	else
		printf("%s: exited with %d\n", name, WEXITSTATUS(status));
	printf("%s done\n", name);
	fflush(stdout);
	return reboot(RB_AUTOBOOT);
}
