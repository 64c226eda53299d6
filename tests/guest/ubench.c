/*
 * ubench.c - what faults and system calls cost, seen from user mode, in ticks of the time-stamp counter; the counterpart of kbench.c.
 *
 * The smallest of many samples counts, less the cost of reading the counter: that is the path with tables and tree nodes in place. Pages are touched in an order
 * that no reading ahead can profit from.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 512, STEP = 37, CALLS = 1000 };

static inline uint64_t ticks(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t empty_sample(void)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < 100; i++) {
		uint64_t start = ticks();
		best = least(best, ticks() - start);
	}
	return best;
}

/* Ticks of the cheapest first touch of a page in fresh anonymous memory; 0: no memory. */
static uint64_t fault_cost(int write)
{
	uint64_t best = UINT64_MAX;
	volatile char *m =
	    mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return 0;
	for (unsigned i = 0; i < PAGES; i++) {
		volatile char *p = m + (uint64_t)(i * STEP % PAGES) * PAGE;
		uint64_t start = ticks();
		if (write)
			*p = 1;
		else
			(void)*p;
		best = least(best, ticks() - start);
	}
	munmap((void *)m, 2 * PAGES * PAGE);
	return best;
}

static uint64_t call_cost(void)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < CALLS; i++) {
		long result;
		uint64_t start = ticks();
		__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getppid) : "rcx", "r11", "memory");
		best = least(best, ticks() - start);
	}
	return best;
}

int main(void)
{
	uint64_t entered = ticks(), empty = empty_sample();

	printf("bench: boot to user space = %llu\n", (unsigned long long)entered);
	printf("bench: anonymous write fault with zeroing = %llu\n",
	    (unsigned long long)(fault_cost(1) - empty));
	printf("bench: read fault of the zero page = %llu\n", (unsigned long long)(fault_cost(0) - empty));
	printf("bench: null system call = %llu\n", (unsigned long long)(call_cost() - empty));
	return 0;
}
