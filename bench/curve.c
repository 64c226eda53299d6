/*
 * curve.c - what fork costs a process that has touched 1 MiB, 4 MiB ... 4 GiB, counted in instructions.
 *
 * The only program of an archive that bench/curve.py boots on Quire and on Linux, as compare.c is. Prints
 * lines "curve WHAT MIB = COUNT": "fork" until the first of the two goes on, "whole" until the child, which
 * writes nothing of it, has exited and been waited for. The number of mappings is the same for all sizes.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, ROUNDS = 5 };

static inline uint64_t ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

struct cost {
	uint64_t fork, whole;
};

static void keep_least(uint64_t *least, uint64_t count)
{
	if (count < *least)
		*least = count;
}

/* Without a library's function around it, whose first push after the fork would be a fault. */
static inline long call1(long nr, long a)
{
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a) : "rcx", "r11", "memory");
	return nr;
}

static volatile uint64_t *child_began; /* shared with the child */

static int measure_once(struct cost *c)
{
	usleep(20000); /* else the scheduler prefers the child the sooner the longer the touching took */
	uint64_t begin = ticks();
	long pid = call1(SYS_fork, 0);
	if (pid == 0) {
		*child_began = ticks();
		call1(SYS_exit_group, 0);
	}
	uint64_t forked = ticks();
	if (pid < 0 || waitpid((pid_t)pid, NULL, 0) != pid)
		return -1;
	keep_least(&c->fork, (forked < *child_began ? forked : *child_began) - begin);
	keep_least(&c->whole, ticks() - begin);
	return 0;
}

static int measure(uint64_t mib, struct cost *c)
{
	size_t len = mib << 20;
	char *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	madvise(memory, len, MADV_NOHUGEPAGE); /* so that it is pages that Linux copies */
	for (size_t at = 0; at < len; at += PAGE)
		memory[at] = 1;
	*c = (struct cost){UINT64_MAX, UINT64_MAX};
	int err = 0;
	for (int round = 0; round < ROUNDS && !err; round++)
		err = measure_once(c);
	munmap(memory, len);
	return err;
}

int main(void)
{
	struct cost c;
	child_began = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err = child_began == MAP_FAILED;
	for (uint64_t mib = 1; mib <= 4096 && !err; mib *= 4) {
		err = measure(mib, &c);
		if (!err)
			printf("curve fork %llu = %llu\ncurve whole %llu = %llu\n", (unsigned long long)mib,
			    (unsigned long long)c.fork, (unsigned long long)mib, (unsigned long long)c.whole);
		fflush(stdout);
	}
	puts(err ? "curve failed" : "curve done");
	fflush(stdout);
	sync();
	reboot(RB_AUTOBOOT);
	return 1;
}
