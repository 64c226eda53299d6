/*
 * uregs.c - registers that only a thread switch touches: x87, SSE and AVX state, and the FS and GS bases.
 * Several processes with values of their own run against one another; whatever the kernel does in between
 * (switches, faults, calls, forks), each finds its own again.
 */
#include <cpuid.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "utap.h"

enum { PAGE = 4096, ROUNDS = 150, PROCESSES = 4, WORDS = 64 };

static bool has_avx(void)
{
	unsigned a, b, c, d, lo, hi;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 6) == 6;
}

static void load_vectors(const uint64_t *v, bool avx)
{
	if (avx)
		__asm__ volatile("vmovups (%0), %%ymm0\n\tvmovups 32(%0), %%ymm7\n\tvmovups 64(%0), %%ymm15"
				 :
				 : "r"(v)
				 : "memory");
	else
		__asm__ volatile("movups (%0), %%xmm0\n\tmovups 32(%0), %%xmm7\n\tmovups 64(%0), %%xmm15"
				 :
				 : "r"(v)
				 : "memory");
}

static void store_vectors(uint64_t *v, bool avx)
{
	if (avx)
		__asm__ volatile("vmovups %%ymm0, (%0)\n\tvmovups %%ymm7, 32(%0)\n\tvmovups %%ymm15, 64(%0)"
				 :
				 : "r"(v)
				 : "memory");
	else
		__asm__ volatile("movups %%xmm0, (%0)\n\tmovups %%xmm7, 32(%0)\n\tmovups %%xmm15, 64(%0)"
				 :
				 : "r"(v)
				 : "memory");
}

static bool same_vectors(const uint64_t *a, const uint64_t *b, bool avx)
{
	size_t bytes = avx ? 32 : 16;
	return !memcmp(a, b, bytes) && !memcmp(a + 4, b + 4, bytes) && !memcmp(a + 8, b + 8, bytes);
}

static long call(long number)
{
	long result = number;
	__asm__ volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
	return result;
}

/* Between load and store no library function runs: it might use the registers itself. */
static int keep_fpu(void *arg)
{
	uint64_t in[12], out[12];
	uint32_t seed = *(uint32_t *)arg, mxcsr = 0x1f80 | (seed & 3) << 13, mxcsr_after;
	uint16_t cw = (uint16_t)(0x37f | (seed & 3) << 10), cw_after;
	bool avx = has_avx();
	volatile char *fresh =
	    mmap(NULL, ROUNDS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 12; i++)
		in[i] = (seed + 1) * 0x9e3779b97f4a7c15u + (uint64_t)i;
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(cw));
	for (int n = 0; n < ROUNDS; n++) {
		load_vectors(in, avx);
		fresh[n * PAGE] = 1;
		call(SYS_sched_yield);
		for (volatile int spin = 0; spin < 3000; spin++)
			;
		store_vectors(out, avx);
		__asm__ volatile("stmxcsr %0\n\tfstcw %1" : "=m"(mxcsr_after), "=m"(cw_after));
		if (!same_vectors(in, out, avx) || (mxcsr_after & 0xffc0) != (mxcsr & 0xffc0) ||
		    cw_after != cw)
			return 1;
	}
	return 0;
}

static bool run_processes(int (*fn)(void *arg))
{
	pid_t pids[PROCESSES];
	bool good = true;
	fflush(stdout);
	for (uint32_t i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(fn(&i));
		good = good && pids[i] > 0;
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status = -1;
		good = good && waitpid(pids[i], &status, 0) == pids[i] && status == 0;
	}
	return good;
}

static bool fpu_state_is_private(void)
{
	CHECK(run_processes(keep_fpu));
	return true;
}

/* The child of a fork starts with the parent's vector registers. */
static bool fork_copies_fpu_state(void)
{
	uint64_t in[12], out[12];
	bool avx = has_avx();
	for (int i = 0; i < 12; i++)
		in[i] = 0x1122334455667788u * (uint64_t)(i + 1);
	fflush(stdout);
	load_vectors(in, avx);
	long pid = call(SYS_fork);
	if (pid == 0) {
		store_vectors(out, avx);
		_exit(!same_vectors(in, out, avx));
	}
	store_vectors(out, avx);
	int status = -1;
	CHECK(pid > 0 && waitpid((pid_t)pid, &status, 0) == pid && status == 0);
	CHECK(same_vectors(in, out, avx));
	return true;
}

static bool has_fsgsbase(void)
{
	unsigned a, b, c, d;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1))
		return false;
	return true;
}

static int try_rdgsbase(void *arg)
{
	uint64_t v;
	(void)arg;
	__asm__ volatile("rdgsbase %0" : "=r"(v));
	return 0;
}

/* A GS base that looks like the kernel's confuses nobody, and stays. */
static int keep_gs(void *arg)
{
	static const uint64_t bases[] = {0xffff800000001000, 0xffffffff80000000, 0, 0x7fffffffe000};
	uint64_t base = bases[*(uint32_t *)arg % 4], now, fs_before, fs_after;
	volatile char *fresh =
	    mmap(NULL, ROUNDS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__asm__ volatile("rdfsbase %0" : "=r"(fs_before));
	for (int n = 0; n < ROUNDS; n++) {
		__asm__ volatile("wrgsbase %0" : : "r"(base));
		call(SYS_getppid);
		fresh[n * PAGE] = 1;
		call(SYS_sched_yield);
		for (volatile int spin = 0; spin < 3000; spin++)
			;
		__asm__ volatile("rdgsbase %0" : "=r"(now));
		__asm__ volatile("rdfsbase %0" : "=r"(fs_after));
		if (now != base || fs_before != fs_after)
			return 1;
	}
	return 0;
}

static bool gs_base_is_private(void)
{
	if (!has_fsgsbase() || !child_exits(try_rdgsbase, NULL, 0)) {
		printf("# no FSGSBASE\n");
		return true;
	}
	CHECK(run_processes(keep_gs));
	return true;
}

/* A selector loaded into a segment register, and what becomes of its base, harms the program alone. */
static int load_selectors(void *arg)
{
	(void)arg;
	for (int n = 0; n < 20; n++) {
		__asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%gs" : : "r"(n % 2 ? 0x2b : 0));
		call(SYS_sched_yield);
	}
	return 0;
}

static bool selectors_are_harmless(void)
{
	int status = child_status(load_selectors, NULL);
	/* Which selectors exist is the kernel's affair; loading one that does not is a fault. */
	CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == 11));
	CHECK(run_processes(keep_fpu));
	return true;
}

static const struct utest tests[] = {
    {"vector and x87 registers of four processes", fpu_state_is_private},
    {"fork copies them", fork_copies_fpu_state},
    {"the GS base of four processes", gs_base_is_private},
    {"selectors loaded by a program", selectors_are_harmless},
};

int main(void)
{
	return UTEST_RUN(tests);
}
