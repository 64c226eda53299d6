/*
 * ufault.c - every kind of page fault, taken from user mode. Deadly ones are taken in a child, whose wait
 * status tells what happened.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "utap.h"

enum { PAGE = 4096 };
#define RW (PROT_READ | PROT_WRITE)

static char *map(size_t pages, int prot, int flags)
{
	char *p = mmap(NULL, pages * PAGE, prot, MAP_ANONYMOUS | flags, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}
static bool all_are(const char *p, size_t n, char value)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != value)
			return false;
	return true;
}

static int touch_read(void *p)
{
	return *(volatile char *)p & 0;
}
static int touch_write(void *p)
{
	*(volatile char *)p = 1;
	return 0;
}
static int touch_execute(void *p)
{
	((void (*)(void))p)();
	return 0;
}

/* --- anonymous memory ----------------------------------------------------------------------------------- */

static bool anon_read_is_zero(void)
{
	char *p = map(64, RW, MAP_PRIVATE);
	CHECK(p);
	CHECK(all_are(p, 64 * PAGE, 0));
	CHECK(munmap(p, 64 * PAGE) == 0);
	return true;
}

static bool anon_write(void)
{
	char *p = map(64, RW, MAP_PRIVATE);
	CHECK(p);
	for (int i = 0; i < 64; i += 3)
		p[i * PAGE + i] = (char)(i + 1);
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < PAGE; j++)
			CHECK(p[i * PAGE + j] == (i % 3 == 0 && j == i ? (char)(i + 1) : 0));
	CHECK(munmap(p, 64 * PAGE) == 0);
	return true;
}

static bool write_after_read(void)
{
	char *p = map(8, RW, MAP_PRIVATE);
	CHECK(p);
	CHECK(all_are(p, 8 * PAGE, 0));
	p[3 * PAGE + 5] = 7;
	CHECK(p[3 * PAGE + 5] == 7 && p[3 * PAGE + 4] == 0);
	CHECK(all_are(p, 3 * PAGE, 0) && all_are(p + 4 * PAGE, 4 * PAGE, 0));
	CHECK(munmap(p, 8 * PAGE) == 0);
	return true;
}

static bool big_sparse_mapping(void)
{
	const size_t size = 64UL << 30, step = 1UL << 30;
	char *p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(p != MAP_FAILED);
	for (size_t at = 0; at < size; at += step)
		p[at + at / step] = (char)(at / step + 1);
	for (size_t at = 0; at < size; at += step)
		CHECK(p[at + at / step] == (char)(at / step + 1) && p[at + PAGE] == 0);
	CHECK(p[size - 1] == 0);
	CHECK(munmap(p, size) == 0);
	return true;
}

/* --- the program's own segments ------------------------------------------------------------------------- */

static const int table[5000] = {[0] = 11, [2500] = 22, [4999] = 33};
static int data[5000] = {[0] = 44, [2500] = 55, [4999] = 66};
static char bss[1 << 20];

static bool file_segments(void)
{
	CHECK(table[0] == 11 && table[2500] == 22 && table[4999] == 33 && table[1] == 0);
	CHECK(data[0] == 44 && data[2500] == 55 && data[4999] == 66 && data[1] == 0);
	CHECK(all_are(bss, sizeof(bss), 0));
	for (int i = 0; i < 5000; i += 7)
		data[i] = i;
	bss[0] = bss[sizeof(bss) - 1] = 9;
	CHECK(data[7] == 7 && data[4998] == 4998 && data[2501] == 0 && bss[0] == 9 && bss[1] == 0);
	return true;
}

static int check_data_then_change(void *arg)
{
	(void)arg;
	if (data[4999] != 66 || data[14] != 14 || bss[0] != 9)
		return 1;
	data[4999] = 1;
	bss[0] = 1;
	return data[4999] == 1 && bss[0] == 1 ? 0 : 2;
}

static bool data_is_copied_on_write(void)
{
	CHECK(child_exits(check_data_then_change, NULL, 0));
	CHECK(data[4999] == 66 && bss[0] == 9);
	CHECK(child_exits(check_data_then_change, NULL, 0)); /* the file's page is as it was, too */
	return true;
}

static bool text_and_constants_are_read_only(void)
{
	CHECK(child_dies(touch_write, (void *)(uintptr_t)&table[2500], SIGSEGV));
	CHECK(child_dies(touch_write, (void *)(uintptr_t)touch_write, SIGSEGV));
	CHECK(child_dies(touch_execute, data, SIGSEGV));
	return true;
}

/* --- copy on write -------------------------------------------------------------------------------------- */

static char *cow;          /* 16 pages */
static _Atomic int *stage; /* shared with children */

static void wait_stage(int n)
{
	while (*stage < n)
		sched_yield();
}

static int child_writes_first(void *arg)
{
	(void)arg;
	for (int i = 0; i < 16; i++)
		if (cow[i * PAGE] != (char)i)
			return 1;
	for (int i = 0; i < 16; i += 2)
		cow[i * PAGE] = 100;
	for (int i = 0; i < 16; i++)
		if (cow[i * PAGE] != (i % 2 ? (char)i : 100))
			return 2;
	return 0;
}

static bool child_write_is_not_seen(void)
{
	for (int i = 0; i < 16; i++)
		cow[i * PAGE] = (char)i;
	CHECK(child_exits(child_writes_first, NULL, 0));
	for (int i = 0; i < 16; i++)
		CHECK(cow[i * PAGE] == (char)i);
	return true;
}

static bool parent_write_is_not_seen(void)
{
	int status;
	for (int i = 0; i < 16; i++)
		cow[i * PAGE] = (char)i;
	*stage = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (cow[0] != 0) /* so that one page is mapped before the parent writes */
			_exit(1);
		*stage = 1;
		wait_stage(2);
		for (int i = 0; i < 16; i++)
			if (cow[i * PAGE] != (char)i)
				_exit(2);
		_exit(0);
	}
	wait_stage(1);
	for (int i = 0; i < 16; i++)
		cow[i * PAGE] = 50;
	*stage = 2;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	for (int i = 0; i < 16; i++)
		CHECK(cow[i * PAGE] == 50);
	return true;
}

/* Generation n finds what its parent wrote, writes its own, and after its child is gone finds it untouched.
 */
static int generation(void *arg)
{
	int n = *(int *)arg, next = n + 1;
	for (int i = 0; i < 16; i++)
		if (cow[i * PAGE] != (char)(i % 4 < n ? i + i % 4 + 1 : 0))
			return 10 + n;
	for (int i = n; i < 16; i += 4)
		cow[i * PAGE] = (char)(i + n + 1);
	if (n < 3) {
		int status = child_status(generation, &next);
		if (status)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
	}
	for (int i = 0; i < 16; i++)
		if (cow[i * PAGE] != (char)(i % 4 <= n ? i + i % 4 + 1 : 0))
			return 20 + n;
	return 0;
}

static bool three_generations(void)
{
	int first = 0;
	memset(cow, 0, 16 * PAGE);
	CHECK(child_exits(generation, &first, 0));
	CHECK(all_are(cow, 16 * PAGE, 0));
	return true;
}

static bool write_after_child_is_gone(void)
{
	memset(cow, 3, 16 * PAGE);
	CHECK(child_exits(touch_write, cow, 0));
	CHECK(cow[0] == 3);
	memset(cow, 4, 16 * PAGE);
	CHECK(child_exits(touch_read, cow, 0));
	memset(cow, 5, 16 * PAGE);
	CHECK(all_are(cow, 16 * PAGE, 5));
	return true;
}

static int outlive(void *arg)
{
	(void)arg;
	wait_stage(1); /* the parent has written by now */
	return all_are(cow, 16 * PAGE, 6) ? 0 : 1;
}

static bool fork_storm(void)
{
	enum { CHILDREN = 48 };
	int status, left = 0;
	memset(cow, 6, 16 * PAGE);
	*stage = 0;
	fflush(stdout);
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(outlive(NULL));
		left++;
	}
	memset(cow, 7, 16 * PAGE);
	*stage = 1;
	while (left) {
		CHECK(wait(&status) > 0 && status == 0);
		left--;
	}
	CHECK(FAILS_WITH(wait(&status), ECHILD));
	CHECK(all_are(cow, 16 * PAGE, 7));
	return true;
}

static bool fork_chain(void)
{
	/* Each child forks the next one and dies first: the tree of copies loses its inner nodes one by one.
	 */
	memset(cow, 0, 16 * PAGE);
	*stage = 0;
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < 12; i++) {
			if (cow[(i + 15) % 16 * PAGE] != (char)i)
				_exit(1);
			cow[i * PAGE] = (char)(i + 1);
			if (fork() != 0)
				_exit(0);
		}
		bool ok = true;
		for (int i = 0; i < 12; i++)
			ok &= cow[i * PAGE] == (char)(i + 1);
		*stage = ok ? 1 : 2;
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	wait_stage(1);
	CHECK(*stage == 1);
	CHECK(all_are(cow, 16 * PAGE, 0));
	return true;
}

static int write_shared(void *p)
{
	memset(p, 8, 4 * PAGE);
	return 0;
}

static bool shared_memory_is_shared(void)
{
	char *p = map(8, RW, MAP_SHARED);
	CHECK(p);
	p[5 * PAGE] = 1;
	CHECK(child_exits(write_shared, p, 0));
	CHECK(all_are(p, 4 * PAGE, 8) && p[5 * PAGE] == 1 && p[6 * PAGE] == 0);
	CHECK(munmap(p, 8 * PAGE) == 0);
	return true;
}

/* --- faults that end a process -------------------------------------------------------------------------- */

static bool null_and_low_addresses(void)
{
	CHECK(child_dies(touch_read, NULL, SIGSEGV));
	CHECK(child_dies(touch_write, (void *)8, SIGSEGV));
	CHECK(child_dies(touch_execute, NULL, SIGSEGV));
	return true;
}

static bool no_access(void)
{
	char *p = map(1, PROT_NONE, MAP_PRIVATE);
	CHECK(p);
	CHECK(child_dies(touch_read, p, SIGSEGV));
	CHECK(child_dies(touch_write, p, SIGSEGV));
	CHECK(child_dies(touch_execute, p, SIGSEGV));
	CHECK(munmap(p, PAGE) == 0);
	return true;
}

static bool read_only(void)
{
	char *p = map(2, PROT_READ, MAP_PRIVATE);
	CHECK(p && p[0] == 0); /* one page is mapped, one is not */
	CHECK(child_dies(touch_write, p, SIGSEGV));
	CHECK(child_dies(touch_write, p + PAGE, SIGSEGV));
	CHECK(child_exits(touch_read, p + PAGE, 0));
	CHECK(munmap(p, 2 * PAGE) == 0);
	return true;
}

static bool no_execute(void)
{
	char *p = map(2, RW, MAP_PRIVATE);
	CHECK(p);
	p[0] = (char)0xc3;
	CHECK(child_dies(touch_execute, p, SIGSEGV));
	CHECK(child_dies(touch_execute, p + PAGE, SIGSEGV));
	CHECK(mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0);
	CHECK(child_exits(touch_execute, p, 0));
	touch_execute(p);
	CHECK(munmap(p, 2 * PAGE) == 0);
	return true;
}

static bool unmapped(void)
{
	char *p = map(3, RW, MAP_PRIVATE);
	CHECK(p);
	memset(p, 1, 3 * PAGE);
	CHECK(munmap(p + PAGE, PAGE) == 0);
	CHECK(child_dies(touch_read, p + PAGE, SIGSEGV));
	CHECK(child_dies(touch_write, p + PAGE, SIGSEGV));
	CHECK(all_are(p, PAGE, 1) && all_are(p + 2 * PAGE, PAGE, 1));
	CHECK(munmap(p, 3 * PAGE) == 0);
	CHECK(child_dies(touch_read, p, SIGSEGV));
	return true;
}

static bool kernel_addresses(void)
{
	static const uintptr_t addresses[] = {0xffff800000000000, 0xffffffff80000000, 0xffffffff80100000,
	    0xffffc00000000000, 0xffffd00000000000, 0xfffffffffffff000, 0xffffffffffffffff};
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		CHECK(child_dies(touch_read, (void *)addresses[i], SIGSEGV));
		CHECK(child_dies(touch_write, (void *)addresses[i], SIGSEGV));
		CHECK(child_dies(touch_execute, (void *)addresses[i], SIGSEGV));
	}
	return true;
}

static bool non_canonical_addresses(void)
{
	static const uintptr_t addresses[] = {
	    0x0000800000000000, 0x00007ffffffff000, 0xffff7fffffffffff, 0x8000000000000000};
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		CHECK(child_dies(touch_read, (void *)addresses[i], SIGSEGV));
		CHECK(child_dies(touch_write, (void *)addresses[i], SIGSEGV));
		CHECK(child_dies(touch_execute, (void *)addresses[i], SIGSEGV));
	}
	return true;
}

/* --- the stack ------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) int recurse(int depth)
{
	volatile char frame[PAGE];
	frame[0] = (char)depth;
	frame[PAGE - 1] = (char)depth;
	int below = depth > 0 ? recurse(depth - 1) : 0;
	return below + (frame[0] == (char)depth && frame[PAGE - 1] == (char)depth);
}

static int overflow(void *arg)
{
	return recurse(1 << 20) + *(int *)arg;
}

static bool deep_stack(void)
{
	int zero = 0;
	CHECK(recurse(1500) == 1501); /* 6 MiB of the 8 */
	CHECK(child_dies(overflow, &zero, SIGSEGV));
	return true;
}

/* --- changes of the map --------------------------------------------------------------------------------- */

static bool contents_survive_mprotect(void)
{
	char *p = map(4, RW, MAP_PRIVATE);
	CHECK(p);
	memset(p, 2, 4 * PAGE);
	CHECK(mprotect(p + PAGE, 2 * PAGE, PROT_READ) == 0);
	CHECK(all_are(p, 4 * PAGE, 2));
	CHECK(child_dies(touch_write, p + PAGE, SIGSEGV) && child_exits(touch_write, p + 3 * PAGE, 0));
	CHECK(mprotect(p, 4 * PAGE, PROT_NONE) == 0);
	CHECK(child_dies(touch_read, p, SIGSEGV) && child_dies(touch_read, p + 2 * PAGE, SIGSEGV));
	CHECK(mprotect(p, 4 * PAGE, RW) == 0);
	CHECK(all_are(p, 4 * PAGE, 2));
	memset(p, 3, 4 * PAGE);
	CHECK(all_are(p, 4 * PAGE, 3));
	CHECK(munmap(p, 4 * PAGE) == 0);
	return true;
}

static bool holes(void)
{
	char *p = map(9, RW, MAP_PRIVATE);
	CHECK(p);
	for (int i = 0; i < 9; i++)
		p[i * PAGE] = (char)i;
	for (int i = 1; i < 9; i += 2)
		CHECK(munmap(p + i * PAGE, PAGE) == 0);
	for (int i = 0; i < 9; i++) {
		if (i % 2)
			CHECK(child_dies(touch_read, p + i * PAGE, SIGSEGV));
		else
			CHECK(p[i * PAGE] == (char)i);
	}
	CHECK(munmap(p, 9 * PAGE) == 0); /* holes and all */
	return true;
}

static bool fixed_overlay(void)
{
	char *p = map(8, RW, MAP_PRIVATE);
	CHECK(p);
	memset(p, 4, 8 * PAGE);
	CHECK(
	    mmap(p + 2 * PAGE, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 2 * PAGE);
	CHECK(all_are(p, 2 * PAGE, 4) && all_are(p + 2 * PAGE, 3 * PAGE, 0) &&
	      all_are(p + 5 * PAGE, 3 * PAGE, 4));
	CHECK(mmap(p, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	CHECK(all_are(p, 8 * PAGE, 0) && child_dies(touch_write, p, SIGSEGV));
	CHECK(munmap(p, 8 * PAGE) == 0);
	return true;
}

static bool refault_after_partial_unmap(void)
{
	char *p = map(6, RW, MAP_PRIVATE);
	CHECK(p);
	memset(p, 5, 6 * PAGE);
	for (int round = 0; round < 20; round++) {
		char *q = p + (round % 5) * PAGE;
		CHECK(munmap(q, 2 * PAGE) == 0);
		CHECK(mmap(q, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == q);
		CHECK(all_are(q, 2 * PAGE, 0)); /* never the old bytes */
		memset(q, 5, 2 * PAGE);
	}
	CHECK(all_are(p, 6 * PAGE, 5));
	CHECK(munmap(p, 6 * PAGE) == 0);
	return true;
}

static bool dontneed(void)
{
	char *p = map(6, RW, MAP_PRIVATE);
	CHECK(p);
	memset(p, 6, 6 * PAGE);
	CHECK(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED) == 0);
	CHECK(all_are(p, PAGE, 6) && all_are(p + PAGE, 2 * PAGE, 0) && all_are(p + 3 * PAGE, 3 * PAGE, 6));
	int saved = data[4999];
	data[4999] = 1;
	char *page = (char *)((uintptr_t)&data[4999] & ~(uintptr_t)(PAGE - 1));
	if ((char *)&data[4998] >= page &&
	    page > (char *)&data[2501]) { /* a page of `data` alone: it reads as the file again */
		CHECK(madvise(page, PAGE, MADV_DONTNEED) == 0);
		CHECK(data[4999] == 66);
	}
	data[4999] = saved;
	CHECK(munmap(p, 6 * PAGE) == 0);
	CHECK(FAILS_WITH(madvise(p, PAGE, MADV_DONTNEED), ENOMEM));
	return true;
}

static int check_fork_flags(void *arg)
{
	char *p = arg;
	return all_are(p, PAGE, 7) && all_are(p + PAGE, PAGE, 0) ? 0 : 1;
}

static bool fork_flags(void)
{
	char *p = map(3, RW, MAP_PRIVATE);
	CHECK(p);
	memset(p, 7, 3 * PAGE);
	CHECK(madvise(p + PAGE, PAGE, MADV_WIPEONFORK) == 0);
	CHECK(madvise(p + 2 * PAGE, PAGE, MADV_DONTFORK) == 0);
	CHECK(child_exits(check_fork_flags, p, 0));
	CHECK(child_dies(touch_read, p + 2 * PAGE, SIGSEGV));
	CHECK(madvise(p + PAGE, PAGE, MADV_KEEPONFORK) == 0 && madvise(p + 2 * PAGE, PAGE, MADV_DOFORK) == 0);
	CHECK(child_exits(touch_read, p + 2 * PAGE, 0));
	CHECK(child_exits(check_fork_flags, p, 1));
	CHECK(all_are(p, 3 * PAGE, 7));
	CHECK(munmap(p, 3 * PAGE) == 0);
	return true;
}

static bool heap(void)
{
	char *start = (char *)syscall(SYS_brk, 0);
	CHECK((char *)syscall(SYS_brk, start + 10 * PAGE + 7) == start + 10 * PAGE + 7);
	CHECK(all_are(start, 10 * PAGE + 7, 0));
	memset(start, 9, 10 * PAGE);
	CHECK((char *)syscall(SYS_brk, start + 2 * PAGE) == start + 2 * PAGE);
	CHECK(all_are(start, 2 * PAGE, 9));
	CHECK((char *)syscall(SYS_brk, start + 4 * PAGE) == start + 4 * PAGE);
	CHECK(all_are(start + 3 * PAGE, PAGE, 0));              /* new memory, not the old bytes */
	CHECK((char *)syscall(SYS_brk, 1) == start + 4 * PAGE); /* refused: the break as it is */
	CHECK((char *)syscall(SYS_brk, -1L) == start + 4 * PAGE);
	CHECK((char *)syscall(SYS_brk, start) == start);
	return true;
}

/* --- faults that the kernel takes for the program ------------------------------------------------------- */

static int kernel_writes(void *arg)
{
	struct {
		long sec, nsec;
	} *ts = arg;
	return syscall(SYS_clock_gettime, 1, ts) == 0 && ts->nsec >= 0 ? 0 : 1;
}

static bool kernel_access_faults_pages_in(void)
{
	char *p = map(2, RW, MAP_PRIVATE);
	CHECK(p);
	CHECK(kernel_writes(p + PAGE - 8) == 0); /* untouched, and across a page boundary */
	memset(p, 1, 2 * PAGE);
	CHECK(child_exits(kernel_writes, p + PAGE - 8, 0)); /* the child's write breaks the sharing */
	CHECK(all_are(p, 2 * PAGE, 1));
	CHECK(write(1, p, 0) == 0);
	CHECK(mprotect(p, PAGE, PROT_READ) == 0);
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, 1, p), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_clock_gettime, 1, p + PAGE - 8), EFAULT));
	CHECK(munmap(p, 2 * PAGE) == 0);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"anonymous memory reads as zeros", anon_read_is_zero},
	    {"anonymous memory takes writes", anon_write},
	    {"a write after a read gets a page of its own", write_after_read},
	    {"a big sparse mapping", big_sparse_mapping},
	    {"text, constants, data and bss come from the file", file_segments},
	    {"data is copied on write", data_is_copied_on_write},
	    {"text and constants are read-only, data is not executable", text_and_constants_are_read_only},
	    {"a child's writes are not seen by its parent", child_write_is_not_seen},
	    {"a parent's writes are not seen by its child", parent_write_is_not_seen},
	    {"three generations", three_generations},
	    {"writes after the child is gone", write_after_child_is_gone},
	    {"a storm of forks", fork_storm},
	    {"a chain of forks whose inner links are gone", fork_chain},
	    {"shared memory is shared", shared_memory_is_shared},
	    {"null and low addresses", null_and_low_addresses},
	    {"PROT_NONE", no_access},
	    {"writes to read-only memory", read_only},
	    {"execution of data", no_execute},
	    {"unmapped memory", unmapped},
	    {"kernel addresses", kernel_addresses},
	    {"non-canonical addresses and the last page", non_canonical_addresses},
	    {"a deep stack, and one that is too deep", deep_stack},
	    {"contents survive mprotect", contents_survive_mprotect},
	    {"munmap makes holes", holes},
	    {"MAP_FIXED over existing memory", fixed_overlay},
	    {"unmapped and mapped again: never the old bytes", refault_after_partial_unmap},
	    {"MADV_DONTNEED", dontneed},
	    {"DONTFORK and WIPEONFORK", fork_flags},
	    {"brk", heap},
	    {"system calls fault pages in, and break sharing", kernel_access_faults_pages_in},
	};
	cow = map(16, RW, MAP_PRIVATE);
	stage = (_Atomic int *)map(1, RW, MAP_SHARED);
	if (!cow || !stage)
		return 2;
	return UTEST_RUN(tests);
}
