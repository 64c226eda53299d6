/*
 * uhostile.c - a program that means harm: hostile flags at system-call entry, numbers that nobody has, a
 * system call at the very end of user memory, instructions that are not for programs, pointers that are not
 * its own. The kernel answers with an errno or a signal, and registers come back as the ABI says.
 */
#include <signal.h>
#include <sys/mman.h>
#include "utap.h"

enum { PAGE = 4096 };
#define RW       (PROT_READ | PROT_WRITE)
#define RWX      (RW | PROT_EXEC)
#define ANON     (MAP_PRIVATE | MAP_ANONYMOUS)
#define USER_TOP 0x7ffffffff000UL

enum {
	FLAG_CF = 1,
	FLAG_TF = 1 << 8,
	FLAG_DF = 1 << 10,
	FLAG_OF = 1 << 11,
	FLAG_NT = 1 << 14,
	FLAG_AC = 1 << 18,
	FLAG_ID = 1 << 21
};

/* --- flags ---------------------------------------------------------------------------------------------- */

/* getppid with these flags added; *after gets the flags as they are afterwards. */
static long call_with_flags(unsigned long flags, unsigned long *after)
{
	long result = SYS_getppid;
	unsigned long out;
	__asm__ volatile("pushfq\n\t"
			 "orq %2, (%%rsp)\n\t"
			 "popfq\n\t"
			 "syscall\n\t"
			 "pushfq\n\t"
			 "popq %1\n\t"
			 "pushfq\n\t"
			 "andq %3, (%%rsp)\n\t"
			 "popfq"
			 : "+a"(result), "=&r"(out)
			 : "r"(flags), "r"(~(unsigned long)(FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC))
			 : "rcx", "r11", "memory", "cc");
	*after = out;
	return result;
}

static bool hostile_flags(void)
{
	static const unsigned long flags[] = {
	    FLAG_DF, FLAG_AC, FLAG_NT, FLAG_DF | FLAG_AC | FLAG_NT, FLAG_CF | FLAG_OF, FLAG_ID};
	unsigned long after;
	long parent = getppid();
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		CHECK(call_with_flags(flags[i], &after) == parent);
		CHECK((after & flags[i]) == flags[i]);           /* they are the program's own */
		CHECK((after & 0x3000) == 0 && (after & 0x200)); /* IOPL 0, interrupts on */
	}
	return true;
}

static int single_step(void *arg)
{
	unsigned long after;
	return (int)call_with_flags(*(unsigned long *)arg, &after) & 0;
}

static bool single_stepping_over_a_call(void)
{
	unsigned long tf = FLAG_TF;
	CHECK(
	    child_dies(single_step, &tf, SIGTRAP)); /* nobody handles the trap; the kernel did not take it */
	return true;
}

/* A kernel copy with the direction flag set by the program must still run upwards, and with AC set must not
 * fault on unaligned addresses. */
static bool copies_under_hostile_flags(void)
{
	static char buffer[1024];
	unsigned long flags = FLAG_DF | FLAG_AC | FLAG_NT;
	memset(buffer, 1, sizeof(buffer));
	long result = SYS_uname;
	__asm__ volatile(
	    "pushfq\n\torq %1, (%%rsp)\n\tpopfq\n\tsyscall\n\tpushfq\n\tandq %2, (%%rsp)\n\tpopfq"
	    : "+a"(result)
	    : "r"(flags), "r"(~flags), "D"(buffer + 301)
	    : "rcx", "r11", "memory", "cc");
	CHECK(result == 0);
	CHECK(!strcmp(buffer + 301, "Linux") && buffer[300] == 1 && buffer[301 + 390] == 1);
	return true;
}

/* --- numbers -------------------------------------------------------------------------------------------- */

static long raw_call(unsigned long number)
{
	long result = (long)number;
	__asm__ volatile("syscall" : "+a"(result) : "D"(0), "S"(0), "d"(0) : "rcx", "r11", "memory");
	return result;
}

static bool is_quire(void)
{
	return raw_call(0x1000) == -EFAULT; /* diag(NULL): on Linux there is no such call */
}

static bool numbers_that_nobody_has(void)
{
	static const unsigned long numbers[] = {0x7fffffff, 5000, 0xffff, 0xfff, 451 + 1000, 0x1fff};
	static const unsigned long wide[] = {
	    0xff00ff0000000010, 0x80000000, 1UL << 63, 1UL << 32, (1UL << 32) + SYS_getpid};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		CHECK(raw_call(numbers[i]) == -ENOSYS);
	CHECK(raw_call(-1UL) == -ENOSYS);
	CHECK(raw_call(-2UL) == -ENOSYS);
	for (unsigned bit = 16; bit < 64; bit++)
		if (bit != 30) /* Linux: the x32 ABI's bit */
			CHECK(raw_call((1UL << bit) | 0xfff) == -ENOSYS);
	/* Linux looks at the lower half of the register only. */
	for (size_t i = 0; is_quire() && i < sizeof(wide) / sizeof(wide[0]); i++)
		CHECK(raw_call(wide[i]) == -ENOSYS);
	return true;
}

/* --- registers ------------------------------------------------------------------------------------------ */

/* rbx rbp rdi rsi rdx r8 r9 r10 r12 r13 r14 r15 rsp, and xmm9: before a call and after it. */
unsigned long registers_in[13] = {
    0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777, 0x8888, 0x9999, 0xaaaa, 0xbbbb, 0xcccc, 0};
unsigned long registers_out[13];
unsigned char vector_in[16], vector_out[16];
/* getppid with all of these loaded; returns its result. */
long call_with_registers(void);
__asm__(".text\n"
	"call_with_registers:\n"
	"	pushq %rbx\n	pushq %rbp\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	movdqu vector_in(%rip), %xmm9\n"
	"	leaq registers_in(%rip), %rcx\n"
	"	movq %rsp, 96(%rcx)\n"
	"	movq (%rcx), %rbx\n	movq 8(%rcx), %rbp\n	movq 16(%rcx), %rdi\n	movq 24(%rcx), %rsi\n"
	"	movq 32(%rcx), %rdx\n	movq 40(%rcx), %r8\n	movq 48(%rcx), %r9\n	movq 56(%rcx), %r10\n"
	"	movq 64(%rcx), %r12\n	movq 72(%rcx), %r13\n	movq 80(%rcx), %r14\n	movq 88(%rcx), %r15\n"
	"	movl $110, %eax\n"
	"	syscall\n"
	"	leaq registers_out(%rip), %rcx\n"
	"	movq %rbx, (%rcx)\n	movq %rbp, 8(%rcx)\n	movq %rdi, 16(%rcx)\n	movq %rsi, 24(%rcx)\n"
	"	movq %rdx, 32(%rcx)\n	movq %r8, 40(%rcx)\n	movq %r9, 48(%rcx)\n	movq %r10, 56(%rcx)\n"
	"	movq %r12, 64(%rcx)\n	movq %r13, 72(%rcx)\n	movq %r14, 80(%rcx)\n	movq %r15, 88(%rcx)\n"
	"	movq %rsp, 96(%rcx)\n"
	"	movdqu %xmm9, vector_out(%rip)\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbp\n	popq %rbx\n"
	"	ret\n");

static bool registers_survive(void)
{
	memset(vector_in, 0x5a, sizeof(vector_in));
	CHECK(call_with_registers() == getppid());
	CHECK(!memcmp(registers_in, registers_out, sizeof(registers_in)));
	CHECK(!memcmp(vector_in, vector_out, sizeof(vector_in)));
	return true;
}

static int vectors_in_child(void *arg)
{
	double x = 1.0;
	for (int i = 0; i < 2000; i++) {
		x = x * 1.0000001 + *(int *)arg;
		if (i % 100 == 0)
			syscall(SYS_sched_yield);
	}
	return 0;
}

/* Several processes compute with vector registers and give the CPU away in between. */
static bool vector_registers_are_ones_own(void)
{
	int status, one = 1;
	double x = 1.5;
	fflush(stdout);
	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			_exit(vectors_in_child(&one));
	for (int i = 0; i < 100; i++) {
		x += 0.5;
		syscall(SYS_sched_yield);
	}
	CHECK(x == 51.5);
	for (int i = 0; i < 4; i++)
		CHECK(wait(&status) > 0 && status == 0);
	return true;
}

/* --- the end of user memory ----------------------------------------------------------------------------- */

static int call_at_the_end(void *arg)
{
	/* mov $39, %eax; syscall as the last seven bytes of the last page: the return address is the end of
	 * user memory. */
	static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05};
	unsigned char *page = arg;
	memcpy(page + PAGE - sizeof(code), code, sizeof(code));
	((void (*)(void))(page + PAGE - sizeof(code)))();
	return 1;
}

static bool call_on_the_last_page(void)
{
	CHECK(FAILS_WITH(mmap((void *)USER_TOP, PAGE, RWX, ANON | MAP_FIXED, -1, 0), ENOMEM));
	CHECK(FAILS_WITH(mmap((void *)(USER_TOP - PAGE), 2 * PAGE, RWX, ANON | MAP_FIXED, -1, 0), ENOMEM));
	/* The page below the end: it may be the stack's; a child puts its own in its place and dies returning
	 * to nowhere. */
	void *last = (void *)(USER_TOP - PAGE);
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (mmap(last, PAGE, RWX, ANON | MAP_FIXED, -1, 0) != last)
			_exit(2);
		_exit(call_at_the_end(last));
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	return true;
}

/* --- instructions --------------------------------------------------------------------------------------- */

#define INSTRUCTION(name, text, ...)                                                                         \
	static int name(void *arg)                                                                           \
	{                                                                                                    \
		(void)arg;                                                                                   \
		__asm__ volatile(text : : __VA_ARGS__ : "memory", "rax", "rcx", "rdx");                      \
		return 0;                                                                                    \
	}
static unsigned char scratch[64];
INSTRUCTION(do_cli, "cli", )
INSTRUCTION(do_sti, "sti", )
INSTRUCTION(do_hlt, "hlt", )
INSTRUCTION(do_out, "xorl %%eax, %%eax; movl $0xf4, %%edx; outb %%al, %%dx", )
INSTRUCTION(do_in, "movl $0x3f8, %%edx; inb %%dx, %%al", )
INSTRUCTION(do_rdmsr, "movl $0xc0000080, %%ecx; rdmsr", )
INSTRUCTION(do_wrmsr, "movl $0xc0000082, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx; wrmsr", )
INSTRUCTION(do_read_cr3, "movq %%cr3, %%rax", )
INSTRUCTION(do_write_cr0, "xorl %%eax, %%eax; movq %%rax, %%cr0", )
INSTRUCTION(do_lgdt, "lgdt (%0)", "r"(scratch))
INSTRUCTION(do_lidt, "lidt (%0)", "r"(scratch))
INSTRUCTION(do_swapgs, "swapgs", )
INSTRUCTION(do_sysret, "xorl %%ecx, %%ecx; sysretq", )
INSTRUCTION(do_invlpg, "invlpg (%0)", "r"(scratch))
INSTRUCTION(do_wbinvd, "wbinvd", )
INSTRUCTION(do_clts, "clts", )
INSTRUCTION(do_int80, "movl $1, %%eax; int $0x80", )
INSTRUCTION(do_int_gate, "int $0x0e", )
INSTRUCTION(do_int_apic, "int $0xfd", )
INSTRUCTION(do_kernel_ss, "movl $0x10, %%eax; mov %%eax, %%ss", )
INSTRUCTION(do_kernel_ds, "movl $0x13, %%eax; mov %%eax, %%ds", )
INSTRUCTION(do_call_kernel, "movq $-4096, %%rax; call *%%rax", )

static bool privileged_instructions(void)
{
	static const struct {
		const char *name;
		int (*fn)(void *);
	} all[] = {{"cli", do_cli}, {"sti", do_sti}, {"hlt", do_hlt}, {"out", do_out}, {"in", do_in},
	    {"rdmsr", do_rdmsr}, {"wrmsr", do_wrmsr}, {"mov cr3", do_read_cr3}, {"mov cr0", do_write_cr0},
	    {"lgdt", do_lgdt}, {"lidt", do_lidt}, {"swapgs", do_swapgs}, {"sysret", do_sysret},
	    {"invlpg", do_invlpg}, {"wbinvd", do_wbinvd}, {"clts", do_clts}, {"int 14", do_int_gate},
	    {"int 0xfd", do_int_apic}, {"call", do_call_kernel}};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!child_dies(all[i].fn, NULL, SIGSEGV)) {
			printf("# %s did not end in SIGSEGV\n", all[i].name);
			return false;
		}
	return true;
}

/* --- pointers ------------------------------------------------------------------------------------------- */

static char *edge; /* the last byte of a mapped page before an unmapped one is edge[-1] */

static const uintptr_t bad_addresses[] = {8, 0xfff, USER_TOP - 4, USER_TOP, 0x800000000000 - 1,
    0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xffffc00000000000, 0xffffffff80000000,
    0xffffffff80100000, (uintptr_t)-4096, (uintptr_t)-8, (uintptr_t)-1};

/* Does call(address) fail with EFAULT for every address that is not the program's? */
static bool faults(const char *name, long (*call)(uintptr_t addr))
{
	for (size_t i = 0; i < sizeof(bad_addresses) / sizeof(bad_addresses[0]); i++)
		if (!FAILS_WITH(call(bad_addresses[i]), EFAULT)) {
			printf("# %s accepts bad address %zu, errno %d\n", name, i, errno);
			return false;
		}
	if (!FAILS_WITH(call((uintptr_t)edge - 1), EFAULT) || !FAILS_WITH(call((uintptr_t)edge), EFAULT)) {
		printf("# %s accepts the edge, errno %d\n", name, errno);
		return false;
	}
	return true;
}

#define CALL(name, expression)                                                                               \
	static long name(uintptr_t a)                                                                        \
	{                                                                                                    \
		return (expression);                                                                         \
	}
static char one_byte[1] = "x";
static struct {
	long base, len;
} iov = {0, 8};
static long zero_time[2];
static char *const no_strings[] = {NULL};

CALL(bad_writev, syscall(SYS_writev, 1, a, 2))
CALL(bad_uname, syscall(SYS_uname, a))
CALL(bad_clock, syscall(SYS_clock_gettime, 1, a))
CALL(bad_clock_res, syscall(SYS_clock_getres, 1, a))
CALL(bad_nanosleep, syscall(SYS_nanosleep, a, NULL))
CALL(bad_clock_nanosleep, syscall(SYS_clock_nanosleep, 1, 0, a, NULL))
CALL(bad_get_fs, syscall(SYS_arch_prctl, 0x1003, a))
CALL(bad_argv, syscall(SYS_execve, "/proc/self/exe", a, no_strings))

/* A write whose first bytes can be read is done in part: give an address where none can. */
static uintptr_t wholly_bad(uintptr_t a)
{
	return a == (uintptr_t)edge - 1 ? (uintptr_t)edge : a == USER_TOP - 4 ? USER_TOP : a;
}
CALL(bad_random, syscall(SYS_getrandom, wholly_bad(a), 8, 0))
static long bad_path(uintptr_t a)
{
	edge[-1] = 'x'; /* an earlier call may have left a terminator there */
	return syscall(SYS_execve, a == USER_TOP - 4 ? USER_TOP : a, no_strings, no_strings);
}
static long bad_write(uintptr_t a)
{
	return syscall(SYS_write, 1, wholly_bad(a), 8);
}
static long bad_writev_base(uintptr_t a)
{
	iov.base = (long)wholly_bad(a);
	return syscall(SYS_writev, 1, &iov, 1);
}
static long bad_wait_status(uintptr_t a)
{
	fflush(stdout);
	if (fork() == 0)
		_exit(0);
	return syscall(SYS_wait4, -1, wholly_bad(a), 0, NULL); /* the child is gone either way */
}
static long bad_rusage(uintptr_t a)
{
	fflush(stdout);
	if (fork() == 0)
		_exit(0);
	return syscall(SYS_wait4, -1, NULL, 0, a);
}

static bool bad_pointers(void)
{
	char *p = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED && munmap(p + PAGE, PAGE) == 0);
	edge = p + PAGE;
	memset(p, 'x', PAGE);
	CHECK(faults("write", bad_write));
	CHECK(faults("writev", bad_writev) && faults("writev base", bad_writev_base));
	CHECK(faults("uname", bad_uname));
	CHECK(faults("clock_gettime", bad_clock) && faults("clock_getres", bad_clock_res));
	CHECK(faults("nanosleep", bad_nanosleep) && faults("clock_nanosleep", bad_clock_nanosleep));
	CHECK(faults("getrandom", bad_random));
	CHECK(faults("arch_prctl", bad_get_fs));
	CHECK(faults("execve path", bad_path));
	CHECK(faults("wait4 status", bad_wait_status) && faults("wait4 rusage", bad_rusage));
	CHECK(syscall(SYS_nanosleep, zero_time, 16) == 0); /* not touched unless interrupted */
	/* A write that can be done in part says how much it was; Linux does so on files only. */
	memcpy(edge - 10, "# partial\n", 10);
	CHECK(!is_quire() || write(1, edge - 10, 100) == 10);
	CHECK(write(1, one_byte, 0) == 0);
	/* A range that wraps round or crosses into the kernel is refused as a whole. */
	CHECK(FAILS_WITH(syscall(SYS_getrandom, (uintptr_t)-16, 64, 0), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_write, 1, USER_TOP, 1UL << 40), EFAULT));
	CHECK(munmap(p, PAGE) == 0);
	return true;
}

/* --- in this kernel only: what Linux allows or emulates ------------------------------------------------- */

INSTRUCTION(do_sgdt, "sgdt (%0)", "r"(scratch))
INSTRUCTION(do_sidt, "sidt (%0)", "r"(scratch))
INSTRUCTION(do_smsw, "smsw %%ax", )
INSTRUCTION(do_str, "str %%ax", )
INSTRUCTION(do_sldt, "sldt %%ax", )

/* CPUID leaf 7, ECX bit 2: SGDT and its like may be forbidden in user mode. */
static bool has_umip(void)
{
	uint32_t eax = 7, ebx, ecx = 0, edx;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ecx >> 2 & 1;
}

/* Linux emulates SGDT, SIDT and SMSW for old programs, and offers int 0x80. */
static bool stricter_than_linux(void)
{
	bool umip = has_umip();
	if (!is_quire())
		return true;
	CHECK(!umip || child_dies(do_sgdt, NULL, SIGSEGV));
	CHECK(!umip || child_dies(do_sidt, NULL, SIGSEGV));
	CHECK(!umip || child_dies(do_smsw, NULL, SIGSEGV));
	CHECK(!umip || child_dies(do_str, NULL, SIGSEGV));
	CHECK(!umip || child_dies(do_sldt, NULL, SIGSEGV));
	CHECK(child_dies(do_int80, NULL, SIGSEGV));
	CHECK(FAILS_WITH(mmap((void *)0, PAGE, RW, ANON | MAP_FIXED, -1, 0), EPERM));
	CHECK(FAILS_WITH(bad_argv(16), EFAULT));
	return true;
}

/* Segment registers with null or foreign selectors: loading kernel ones faults; after a null data segment the
 * kernel still works. */
static int load_null_segments(void *arg)
{
	(void)arg;
	__asm__ volatile("xorl %%eax, %%eax; mov %%eax, %%ds; mov %%eax, %%es" : : : "eax", "memory");
	for (int i = 0; i < 3; i++)
		syscall(SYS_sched_yield);
	return getpid() > 0 ? 0 : 1;
}

static bool segments(void)
{
	CHECK(child_exits(load_null_segments, NULL, 0));
	CHECK(child_dies(do_kernel_ds, NULL, SIGSEGV));
	CHECK(child_dies(do_kernel_ss, NULL, SIGSEGV));
	return true;
}

/* A stack pointer that points nowhere: system calls do not use it, a signal or interrupt does not either. */
static bool stack_pointer_to_nowhere(void)
{
	static const unsigned long where[] = {0, 8, 0x800000000000, 0xffff800000000000, (unsigned long)-8};
	long parent = getppid();
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		long result = SYS_getppid;
		__asm__ volatile(
		    "movq %%rsp, %%r12\n\tmovq %1, %%rsp\n\tsyscall\n\tmovq $300000, %%rcx\n1:\tloop 1b\n\tmovq %%r12, %%rsp"
		    : "+a"(result)
		    : "r"(where[i])
		    : "rcx", "r11", "r12", "memory");
		CHECK(result == parent);
	}
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"hostile flags at a system call", hostile_flags},
	    {"single stepping over a system call", single_stepping_over_a_call},
	    {"kernel copies under hostile flags", copies_under_hostile_flags},
	    {"numbers that nobody has", numbers_that_nobody_has},
	    {"registers survive a system call", registers_survive},
	    {"vector registers are one's own", vector_registers_are_ones_own},
	    {"a system call on the last page", call_on_the_last_page},
	    {"privileged instructions", privileged_instructions},
	    {"segment registers", segments},
	    {"a stack pointer to nowhere", stack_pointer_to_nowhere},
	    {"bad pointers", bad_pointers},
	    {"stricter than Linux: UMIP, int 0x80, page 0", stricter_than_linux},
	};
	return UTEST_RUN(tests);
}
