/*
 * usignal.c - signals: delivery, frames, masks, queues, restarts of calls, job control, and frames that lie.
 * Everything here holds on Linux as well.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* names of the registers */
#endif
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include "utap.h"

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

static volatile sig_atomic_t hits, last, order[64], norder;
static siginfo_t seen;
static sigjmp_buf jump;

/* How many signals were handled in all; shared, so that a sender sees that its signal arrived. */
static volatile int *handled;

static void count(int s)
{
	hits++;
	++*handled;
	last = s;
	if (norder < 64)
		order[norder++] = s;
}
static void keep_info(int s, siginfo_t *info, void *context)
{
	(void)context;
	seen = *info;
	count(s);
	if (norder <= 64)
		order[norder - 1] = info->si_code == SI_QUEUE ? info->si_value.sival_int : s;
}

static void handle(int s, void (*fn)(int), int flags)
{
	struct sigaction a = {.sa_handler = fn, .sa_flags = flags};
	sigaction(s, &a, NULL);
}
static void handle_info(int s, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
	sigaction(s, &a, NULL);
}
static void mask(int how, int s)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, s);
	sigprocmask(how, &set, NULL);
}
static void fresh(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	hits = last = norder = 0;
	memset(&seen, 0, sizeof(seen));
}
static void nap(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* Wait, up to 10 s, for something that another process or a handler makes true. */
#define UNTIL(cond)                                                                                          \
	for (int ms_left = 10000; !(cond) && ms_left > 0; ms_left--)                                         \
	nap(1)

/* waitpid, not to be interrupted. */
static pid_t reap(pid_t pid, int *status, int flags)
{
	pid_t got;
	do
		got = waitpid(pid, status, flags);
	while (got < 0 && errno == EINTR);
	return got;
}

static bool simple_handler(void)
{
	fresh();
	handle_info(SIGUSR1, keep_info, 0);
	CHECK(kill(getpid(), SIGUSR1) == 0 && hits == 1 && last == SIGUSR1);
	CHECK(seen.si_signo == SIGUSR1 && seen.si_code == SI_USER && seen.si_pid == getpid());
	CHECK(raise(SIGUSR1) == 0 && hits == 2 && seen.si_code == SI_TKILL);
	CHECK(FAILS_WITH(kill(getpid(), 65), EINVAL) && FAILS_WITH(kill(getpid(), -1), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_tgkill, getpid(), 0, SIGUSR1), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_tgkill, getpid(), 1 << 21, SIGUSR1), ESRCH));
	CHECK(FAILS_WITH(syscall(SYS_tkill, -1, SIGUSR1), EINVAL) && kill(getpid(), 0) == 0 && hits == 2);
	return true;
}

static bool action_rules(void)
{
	struct sigaction a = {.sa_handler = count, .sa_flags = SA_RESTART}, old;
	fresh();
	sigfillset(&a.sa_mask);
	CHECK(sigaction(SIGUSR2, &a, NULL) == 0 && sigaction(SIGUSR2, NULL, &old) == 0);
	CHECK(old.sa_handler == count && (old.sa_flags & ~SA_RESTORER) == SA_RESTART);
	CHECK(sigismember(&old.sa_mask, SIGTERM) == 1 && sigismember(&old.sa_mask, SIGKILL) == 0);
	CHECK(FAILS_WITH(sigaction(SIGKILL, &a, NULL), EINVAL) &&
	      FAILS_WITH(sigaction(SIGSTOP, &a, NULL), EINVAL));
	CHECK(sigaction(SIGKILL, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(FAILS_WITH(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_rt_sigprocmask, 7, &a.sa_mask, NULL, 8), EINVAL));
	CHECK(syscall(SYS_rt_sigprocmask, 7, NULL, NULL, 8) == 0);
	return true;
}

static bool blocked_and_merged(void)
{
	sigset_t p;
	fresh();
	handle(SIGUSR1, count, 0);
	mask(SIG_BLOCK, SIGUSR1);
	for (int i = 0; i < 5; i++)
		kill(getpid(), SIGUSR1);
	CHECK(hits == 0 && sigpending(&p) == 0 && sigismember(&p, SIGUSR1) == 1 && !sigismember(&p, SIGUSR2));
	mask(SIG_UNBLOCK, SIGUSR1);
	CHECK(hits == 1 && sigpending(&p) == 0 && !sigismember(&p, SIGUSR1));
	mask(SIG_BLOCK, SIGUSR1); /* an ignored signal is dropped, also one that is pending */
	kill(getpid(), SIGUSR1);
	handle(SIGUSR1, SIG_IGN, 0);
	handle(SIGUSR1, count, 0);
	mask(SIG_UNBLOCK, SIGUSR1);
	CHECK(hits == 1);
	return true;
}

static bool realtime_queue(void)
{
	fresh();
	for (int s = 34; s <= 40; s++) {
		handle_info(s, keep_info, 0);
		mask(SIG_BLOCK, s);
	}
	for (int i = 0; i < 6; i++)
		CHECK(sigqueue(getpid(), i & 1 ? 40 : 36, (union sigval){.sival_int = 100 + i}) == 0);
	kill(getpid(), SIGUSR1);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Lowest first, so its handler runs last: each interrupts the one before. All of one signal in the
	 * order sent, from the innermost handler's end on. */
	CHECK(hits >= 6);
	int next[2] = {100, 101};
	for (int i = 0; i < norder; i++)
		if (order[i] >= 100) {
			CHECK(order[i] == next[order[i] & 1]);
			next[order[i] & 1] += 2;
		}
	CHECK(next[0] == 106 && next[1] == 107);
	CHECK(FAILS_WITH(sigqueue(1 << 20, 36, (union sigval){0}), ESRCH));
	siginfo_t forged = {.si_code = SI_USER};
	CHECK(FAILS_WITH(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &forged), EPERM));
	return true;
}

static volatile int depth, deepest, raised;
static void nest(int s)
{
	(void)s;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (raised++ < 7)
		raise(SIGUSR1);
	depth--;
}
static bool nesting(void)
{
	fresh();
	depth = deepest = raised = 0;
	handle(SIGUSR1, nest, SA_NODEFER);
	raise(SIGUSR1);
	CHECK(deepest == 8 && depth == 0);
	deepest = raised = 0;
	handle(SIGUSR1, nest, 0);
	raise(SIGUSR1);
	/* Blocked in its own handler: again only after the return; each return starts the next. */
	CHECK(depth == 0 && raised == 8);
	return deepest == 1;
}

static bool resethand(void)
{
	struct sigaction old;
	fresh();
	handle(SIGUSR1, count, (int)SA_RESETHAND);
	raise(SIGUSR1);
	CHECK(hits == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	return true;
}

static void fault_map(void)
{
	__asm__ volatile("movb $1, 0x1238" ::: "memory");
}
static void jump_out(int s)
{
	siglongjmp(jump, s);
}
static bool longjmp_out(void)
{
	fresh();
	for (int i = 0; i < 100; i++) {
		handle(SIGSEGV, jump_out, 0);
		if (!sigsetjmp(jump, 1))
			fault_map();
	}
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK(!sigismember(&now, SIGSEGV));
	handle(SIGSEGV, SIG_DFL, 0);
	return true;
}

static char alt[65536];
static volatile bool on_alt, told_on_alt;
static void look_at_stack(int s)
{
	char here;
	stack_t st;
	(void)s;
	on_alt = &here >= alt && &here < alt + sizeof(alt);
	sigaltstack(NULL, &st);
	told_on_alt = st.ss_flags == SS_ONSTACK && FAILS_WITH(syscall(SYS_sigaltstack, &st, NULL), EPERM);
}
static bool altstack(void)
{
	stack_t st = {.ss_sp = alt, .ss_size = sizeof(alt)}, old, small = {.ss_sp = alt, .ss_size = 100};
	fresh();
	CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
	CHECK(FAILS_WITH(sigaltstack(&small, NULL), ENOMEM));
	CHECK(sigaltstack(&st, NULL) == 0 && sigaltstack(NULL, &old) == 0 && old.ss_sp == alt &&
	      old.ss_flags == 0);
	handle(SIGUSR1, look_at_stack, SA_ONSTACK);
	raise(SIGUSR1);
	CHECK(on_alt && told_on_alt);
	handle(SIGUSR1, look_at_stack, 0);
	raise(SIGUSR1);
	CHECK(!on_alt);
	st.ss_flags = SS_DISABLE;
	CHECK(sigaltstack(&st, NULL) == 0 && sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
	st.ss_flags = 77;
	CHECK(FAILS_WITH(sigaltstack(&st, NULL), EINVAL));
	return true;
}

static void on_overflow(int s)
{
	(void)s;
	_exit(42);
}
static int overflow_stack(void *arg)
{
	stack_t st = {.ss_sp = alt, .ss_size = sizeof(alt)};
	(void)arg;
	sigaltstack(&st, NULL);
	handle(SIGSEGV, on_overflow, SA_ONSTACK);
	__asm__ volatile("movq $0x10, %%rsp; pushq $1" : : : "memory");
	return 1;
}
static int overflow_without(void *arg)
{
	(void)arg;
	handle(SIGSEGV, on_overflow, 0);
	__asm__ volatile("movq $0x10, %%rsp; pushq $1" : : : "memory");
	return 1;
}
static bool stack_overflow(void)
{
	CHECK(child_exits(overflow_stack, NULL, 42));
	CHECK(child_dies(overflow_without, NULL, SIGSEGV));
	return true;
}

/* Everything that a program can see of its registers is the same after a handler that changes them all. */
static void spoil(int s)
{
	count(s);
	__asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15; fldz; fldz"
			 :
			 :
			 : "xmm0", "xmm7", "xmm15");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" ::
				     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}
unsigned long registers_out[8];
unsigned char vectors_in[48], vectors_out[48];
static bool registers_kept(void)
{
	const unsigned long *out = registers_out;
	long pid = getpid(), result;
	unsigned long redzone;
	fresh();
	handle(SIGUSR1, spoil, 0);
	for (int i = 0; i < 48; i++)
		vectors_in[i] = (unsigned char)(i * 7 + 1);
	/* kill(pid, SIGUSR1), every other register filled; the red zone keeps a word. */
	__asm__ volatile("movdqu vectors_in, %%xmm0; movdqu vectors_in + 16, %%xmm7\n\t"
			 "movdqu vectors_in + 32, %%xmm15\n\t"
			 "movq $0x1234567, %%r10; movq $0x89abcde, %%rbx; movq $0x5a5a5a5a, %%r12\n\t"
			 "movq $0x3c3c3c3c, %%r13; movq $0x77777777, %%r14; movq $0x66666666, %%r15\n\t"
			 "movq $0x7eedface, %%rdx; movq %%rdx, -64(%%rsp)\n\t"
			 "movl $62, %%eax; movl $10, %%esi; syscall\n\t"
			 "movq -64(%%rsp), %%rcx\n\t"
			 "movdqu %%xmm0, vectors_out; movdqu %%xmm7, vectors_out + 16\n\t"
			 "movdqu %%xmm15, vectors_out + 32\n\t"
			 "movq %%r10, registers_out; movq %%rbx, registers_out + 8\n\t"
			 "movq %%r12, registers_out + 16; movq %%r13, registers_out + 24\n\t"
			 "movq %%r14, registers_out + 32; movq %%r15, registers_out + 40\n\t"
			 "movq %%rdx, registers_out + 48; movq %%rsi, registers_out + 56"
			 : "=&a"(result), "=&c"(redzone)
			 : "D"(pid)
			 : "rbx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0",
			 "xmm7", "xmm15", "memory");
	CHECK(result == 0 && hits == 1 && redzone == 0x7eedface);
	CHECK(memcmp(vectors_in, vectors_out, sizeof(vectors_in)) == 0);
	CHECK(out[0] == 0x1234567 && out[1] == 0x89abcde && out[2] == 0x5a5a5a5a && out[3] == 0x3c3c3c3c);
	CHECK(out[4] == 0x77777777 && out[5] == 0x66666666 && out[6] == 0x7eedface && out[7] == 10);
	return true;
}

__attribute__((target("avx"))) static bool avx_survives(void)
{
	unsigned char v[32], w[32];
	long result;
	for (int i = 0; i < 32; i++)
		v[i] = (unsigned char)(i * 5 + 3);
	__asm__ volatile(
	    "vmovdqu (%2), %%ymm9; movl $62, %%eax; movl $10, %%esi; syscall; vmovdqu %%ymm9, (%3)"
	    : "=&a"(result)
	    : "D"((long)getpid()), "r"(v), "r"(w)
	    : "rsi", "rcx", "r11", "xmm9", "memory");
	return result == 0 && memcmp(v, w, 32) == 0;
}
static bool avx_kept(void)
{
	fresh();
	handle(SIGUSR1, spoil, 0);
	return !__builtin_cpu_supports("avx") || (avx_survives() && hits == 1);
}

/* What a handler changes in its context is what the code goes on with. */
static void change_context(int s, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	(void)s;
	(void)info;
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
	sigaddset(&uc->uc_sigmask, SIGUSR2);
	hits = uc->uc_mcontext.fpregs && ((uintptr_t)uc->uc_mcontext.fpregs & 63) == 0 &&
	       ((uintptr_t)__builtin_frame_address(0) & 15) == 0;
}
static bool context_changes(void)
{
	sigset_t now;
	fresh();
	handle_info(SIGUSR1, change_context, 0);
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(62L), "D"((long)getpid()), "S"(10L)
			 : "rcx", "r11", "memory");
	CHECK(result == 4711 && hits);
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
	return true;
}

static void catch_fault(int s, siginfo_t *info, void *context)
{
	(void)context;
	seen = *info;
	siglongjmp(jump, s);
}
static char *readonly;
static void fault_access(void)
{
	*(volatile char *)(readonly + 5) = 1;
}
static void fault_divide(void)
{
	__asm__ volatile("xorl %%ecx, %%ecx; movl $1, %%eax; cltd; idivl %%ecx" ::: "eax", "ecx", "edx");
}
static void fault_invalid(void)
{
	__asm__ volatile("ud2");
}
static void fault_breakpoint(void)
{
	__asm__ volatile("int3");
}
static void fault_general(void)
{
	__asm__ volatile("hlt");
}
static void fault_x87(void)
{
	unsigned short control = 0x37f & ~4; /* division by zero */
	__asm__ volatile("fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(control));
}
static void fault_trace(void)
{
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc");
}
static bool faults(void)
{
	static const struct {
		void (*fn)(void);
		int signal, code;
		const char *name;
	} all[] = {{fault_map, SIGSEGV, SEGV_MAPERR, "nothing mapped"},
	    {fault_access, SIGSEGV, SEGV_ACCERR, "read-only"}, {fault_divide, SIGFPE, FPE_INTDIV, "divide"},
	    {fault_invalid, SIGILL, ILL_ILLOPN, "ud2"}, {fault_breakpoint, SIGTRAP, SI_KERNEL, "int3"},
	    {fault_general, SIGSEGV, SI_KERNEL, "hlt"}, {fault_x87, SIGFPE, FPE_FLTDIV, "x87"},
	    {fault_trace, SIGTRAP, TRAP_TRACE, "trace"}};
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		fresh();
		for (int s = 4; s <= 11; s++)
			if (s != SIGKILL && s != SIGABRT)
				handle_info(s, catch_fault, 0);
		int got = sigsetjmp(jump, 1);
		if (!got)
			all[i].fn();
		if (got != all[i].signal || seen.si_code != all[i].code) {
			printf("# %s: signal %d code %d\n", all[i].name, got, seen.si_code);
			return false;
		}
		if (all[i].fn == fault_map)
			CHECK(seen.si_addr == (void *)0x1238);
		if (all[i].fn == fault_access)
			CHECK(seen.si_addr == readonly + 5);
		if (all[i].fn == fault_divide || all[i].fn == fault_invalid)
			CHECK(seen.si_addr != NULL && (char *)seen.si_addr - (char *)all[i].fn < 64);
		if (all[i].fn == fault_general)
			CHECK(seen.si_addr == NULL);
	}
	for (int s = 4; s <= 11; s++)
		if (s != SIGKILL)
			handle(s, SIG_DFL, 0);
	munmap(readonly, 4096);
	return true;
}

static int fault_while(void *arg)
{
	if (*(int *)arg)
		handle(SIGSEGV, SIG_IGN, 0);
	else
		mask(SIG_BLOCK, SIGSEGV);
	fault_map();
	return 1;
}
static int ignored_default(void *arg)
{
	(void)arg;
	raise(SIGCHLD);
	raise(SIGURG);
	raise(SIGWINCH);
	raise(SIGCONT);
	return 5;
}
static int die_of(void *arg)
{
	fresh();
	handle(*(int *)arg, SIG_DFL, 0);
	raise(*(int *)arg);
	return 1;
}
static bool default_actions(void)
{
	int block = 0, ignore = 1;
	CHECK(child_dies(fault_while, &block, SIGSEGV) && child_dies(fault_while, &ignore, SIGSEGV));
	CHECK(child_exits(ignored_default, NULL, 5));
	static int deadly[] = {SIGHUP, SIGINT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGKILL, 34, 64};
	for (size_t i = 0; i < sizeof(deadly) / sizeof(*deadly); i++)
		CHECK(child_dies(die_of, &deadly[i], deadly[i]));
	return true;
}

/* Does the process sleep, as /proc tells? Without /proc a while has to do. */
static bool sleeps(pid_t pid)
{
	char path[32], text[128];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0) {
		nap(60);
		return true;
	}
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	char *name_end = strrchr(text, ')');
	return name_end && name_end[1] == ' ' && name_end[2] == 'S';
}

/*
 * A child that sends us `s` when we sleep, in the call that the test is about: seen twice, since fork may
 * sleep as well. It exits with 9 once a handler ran; `ms` milliseconds later if none is to.
 */
static pid_t sender(int s, long ms)
{
	pid_t parent = getpid(), pid;
	int before = *handled;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 2; i++) {
			nap(5);
			UNTIL(sleeps(parent));
		}
		kill(parent, s);
		if (ms)
			nap(ms);
		else
			UNTIL(*handled > before);
		_exit(9);
	}
	return pid;
}
static bool interrupted_calls(void)
{
	struct timespec t = {5, 0}, left = {0, 0};
	int status;
	fresh();
	handle(SIGUSR1, count, 0);
	pid_t pid = sender(SIGUSR1, 0);
	CHECK(FAILS_WITH(wait4(pid, &status, 0, NULL), EINTR) && hits == 1);
	CHECK(wait4(pid, &status, 0, NULL) == pid && WEXITSTATUS(status) == 9);
	handle(SIGUSR1, count, SA_RESTART);
	pid = sender(SIGUSR1, 0);
	CHECK(wait4(pid, &status, 0, NULL) == pid && WEXITSTATUS(status) == 9 && hits == 2);
	pid = sender(SIGUSR1, 0);
	CHECK(FAILS_WITH(nanosleep(&t, &left), EINTR) && hits == 3); /* in spite of SA_RESTART */
	CHECK(left.tv_sec == 4 || (left.tv_sec == 5 && left.tv_nsec == 0));
	CHECK(reap(pid, &status, 0) == pid);
	handle(SIGUSR1, SIG_IGN, 0); /* no handler: nothing is interrupted */
	pid = sender(SIGUSR1, 40);
	CHECK(wait4(pid, &status, 0, NULL) == pid);
	CHECK(FAILS_WITH(syscall(SYS_restart_syscall), EINTR));
	return true;
}

static bool suspend_and_pause(void)
{
	sigset_t none, now;
	int status;
	fresh();
	sigemptyset(&none);
	handle(SIGUSR1, count, SA_RESTART);
	mask(SIG_BLOCK, SIGUSR1);
	pid_t pid = sender(SIGUSR1, 0);
	CHECK(FAILS_WITH(sigsuspend(&none), EINTR) && hits == 1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR1) == 1 && reap(pid, &status, 0) == pid);
	kill(getpid(), SIGUSR1); /* pending already */
	CHECK(hits == 1 && FAILS_WITH(sigsuspend(&none), EINTR) && hits == 2);
	fresh();
	pid = sender(SIGUSR1, 0);
	CHECK(FAILS_WITH(pause(), EINTR) && hits == 1 && reap(pid, &status, 0) == pid);
	CHECK(FAILS_WITH(syscall(SYS_rt_sigsuspend, &none, 4), EINVAL));
	return true;
}

static bool timed_wait(void)
{
	struct timespec zero = {0, 0}, some = {0, 20000000}, lot = {20, 0}, bad = {0, 2000000000};
	sigset_t set;
	siginfo_t info;
	int status;
	fresh();
	handle(SIGUSR2, count, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, 35);
	mask(SIG_BLOCK, SIGUSR1);
	mask(SIG_BLOCK, 35);
	CHECK(FAILS_WITH(sigtimedwait(&set, &info, &zero), EAGAIN));
	CHECK(FAILS_WITH(sigtimedwait(&set, &info, &some), EAGAIN));
	CHECK(FAILS_WITH(sigtimedwait(&set, &info, &bad), EINVAL));
	sigqueue(getpid(), 35, (union sigval){.sival_int = 7});
	sigqueue(getpid(), 35, (union sigval){.sival_int = 8});
	CHECK(sigtimedwait(&set, &info, &zero) == 35 && info.si_value.sival_int == 7 &&
	      info.si_code == SI_QUEUE);
	CHECK(sigwaitinfo(&set, &info) == 35 && info.si_value.sival_int == 8 && info.si_pid == getpid());
	pid_t pid = sender(SIGUSR1, 20); /* taken, not handled */
	CHECK(sigtimedwait(&set, &info, &lot) == SIGUSR1 && info.si_pid == pid && info.si_code == SI_USER);
	CHECK(reap(pid, &status, 0) == pid);
	pid = sender(SIGUSR2, 0); /* another one interrupts */
	/* Not through libc, whose sigtimedwait may try again. */
	CHECK(FAILS_WITH(syscall(SYS_rt_sigtimedwait, &set, &info, &lot, 8), EINTR) && hits == 1);
	CHECK(reap(pid, &status, 0) == pid);
	return true;
}

static pid_t sleeper(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}
static bool told(pid_t pid, int code, int status)
{
	UNTIL(seen.si_pid == pid && seen.si_code == code);
	return seen.si_signo == SIGCHLD && seen.si_code == code && seen.si_pid == pid &&
	       seen.si_status == status;
}
static bool stop_and_continue(void)
{
	int status;
	fresh();
	handle_info(SIGCHLD, keep_info, 0);
	pid_t pid = sleeper();
	CHECK(kill(pid, SIGSTOP) == 0 && reap(pid, &status, WUNTRACED) == pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP && told(pid, CLD_STOPPED, SIGSTOP));
	CHECK(waitpid(pid, &status, WNOHANG | WUNTRACED) == 0); /* told once */
	CHECK(kill(pid, SIGCONT) == 0 && reap(pid, &status, WCONTINUED) == pid);
	CHECK(WIFCONTINUED(status) && told(pid, CLD_CONTINUED, SIGCONT));
	CHECK(kill(pid, SIGSTOP) == 0 && reap(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	CHECK(kill(pid, SIGTERM) == 0);
	nap(20);
	CHECK(
	    waitpid(pid, &status, WNOHANG) == 0); /* stopped processes take nothing but SIGKILL and SIGCONT */
	CHECK(kill(pid, SIGCONT) == 0 && reap(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) &&
	      WTERMSIG(status) == SIGTERM); /* its SIGCHLD may be merged with SIGCONT's */
	pid = sleeper();
	CHECK(kill(pid, SIGTERM) == 0 && told(pid, CLD_KILLED, SIGTERM) && reap(pid, &status, 0) == pid);
	handle(SIGCHLD, SIG_DFL, 0);
	return true;
}

static bool kill_stopped(void)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		raise(SIGSTOP);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
	return true;
}

static int exit_three(void *arg)
{
	(void)arg;
	return 3;
}
static bool sigchld(void)
{
	struct sigaction a = {.sa_handler = count, .sa_flags = SA_NOCLDWAIT};
	int status;
	fresh();
	handle_info(SIGCHLD, keep_info, SA_RESTART);
	CHECK(child_exits(exit_three, NULL, 3));
	CHECK(hits == 1 && seen.si_code == CLD_EXITED && seen.si_status == 3);
	handle(SIGCHLD, SIG_IGN, 0);
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			_exit(1);
	CHECK(FAILS_WITH(wait(&status), ECHILD)); /* sleeps until all are gone */
	sigaction(SIGCHLD, &a, NULL);
	fresh();
	if (fork() == 0)
		_exit(1);
	while (wait(&status) == -1 && errno == EINTR)
		;
	CHECK(errno == ECHILD && hits == 1);
	handle(SIGCHLD, SIG_DFL, 0);
	return true;
}

static int check_inherited(void *arg)
{
	sigset_t now, p;
	struct sigaction old;
	(void)arg;
	sigprocmask(SIG_BLOCK, NULL, &now);
	sigpending(&p);
	sigaction(SIGUSR1, NULL, &old);
	return sigismember(&now, SIGUSR1) == 1 && !sigismember(&p, SIGUSR1) && old.sa_handler == count ? 17
												       : 1;
}
static bool fork_inherits(void)
{
	fresh();
	handle(SIGUSR1, count, 0);
	mask(SIG_BLOCK, SIGUSR1);
	kill(getpid(), SIGUSR1);
	CHECK(child_exits(check_inherited, NULL, 17));
	mask(SIG_UNBLOCK, SIGUSR1);
	CHECK(hits == 1);
	return true;
}

static const char *self;
static int exec_self(void *arg)
{
	char *argv[] = {(char *)self, "after-exec", NULL}, *env[] = {NULL};
	stack_t st = {.ss_sp = alt, .ss_size = sizeof(alt)};
	(void)arg;
	fresh();
	sigaltstack(&st, NULL);
	handle(SIGUSR1, count, 0);
	handle(SIGUSR2, SIG_IGN, 0);
	mask(SIG_BLOCK, SIGTERM);
	kill(getpid(), SIGTERM);
	execve(self, argv, env);
	return 1;
}
static int after_exec(void)
{
	struct sigaction one, two;
	sigset_t now, p;
	stack_t st;
	sigaction(SIGUSR1, NULL, &one);
	sigaction(SIGUSR2, NULL, &two);
	sigprocmask(SIG_BLOCK, NULL, &now);
	sigpending(&p);
	sigaltstack(NULL, &st);
	return one.sa_handler == SIG_DFL && two.sa_handler == SIG_IGN && sigismember(&now, SIGTERM) == 1 &&
		       sigismember(&p, SIGTERM) == 1 && st.ss_flags == SS_DISABLE
		   ? 23
		   : 1;
}
static bool exec_resets(void)
{
	return child_exits(exec_self, NULL, 23);
}

static bool groups(void)
{
	int status;
	fresh();
	handle(SIGUSR1, SIG_DFL, 0);
	pid_t a = sleeper();
	CHECK(setpgid(a, a) == 0 && getpgid(a) == a);
	pid_t b = sleeper();
	CHECK(setpgid(b, a) == 0 && getpgid(b) == a && getsid(b) == getsid(0));
	CHECK(FAILS_WITH(setpgid(b, 1 << 20), EPERM) && FAILS_WITH(setpgid(1 << 20, 0), ESRCH));
	CHECK(FAILS_WITH(setpgid(b, -1), EINVAL) && FAILS_WITH(getpgid(1 << 20), ESRCH));
	CHECK(kill(-a, SIGUSR1) == 0);
	CHECK(waitpid(-a, &status, 0) > 0 && WTERMSIG(status) == SIGUSR1);
	CHECK(waitpid(-a, &status, 0) > 0 && WTERMSIG(status) == SIGUSR1);
	CHECK(FAILS_WITH(kill(-a, SIGUSR1), ESRCH));
	pid_t c = fork();
	if (c == 0) {
		bool ok = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();
		_exit(ok && FAILS_WITH(setsid(), EPERM) && FAILS_WITH(setpgid(0, 0), EPERM) ? 6 : 1);
	}
	CHECK(waitpid(c, &status, 0) == c && WEXITSTATUS(status) == 6);
	return true;
}

/* Frames that a program makes up. Whatever they say, the thread ends up in user mode or dead. */
struct lie {
	int what;
};
static void tell_lie(int s, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	static int done;
	(void)info;
	if (s == SIGSEGV)
		_exit(done == 99 ? 1 : 50);
	done = hits;
	switch (hits) {
	case 0:
		uc->uc_mcontext.gregs[REG_RIP] = (long long)0xffffffff80000000ULL;
		break;
	case 1:
		uc->uc_mcontext.gregs[REG_RIP] = 0x800000000000LL;
		break;
	case 2:
		uc->uc_mcontext.fpregs->mxcsr = 0xffffffff;
		break;
	case 3:
		uc->uc_mcontext.fpregs = (void *)0xffff800000000000ULL;
		break;
	case 4:
		memset((char *)uc->uc_mcontext.fpregs + 512, 0xff, 64); /* the state's header */
		break;
	case 5:
		uc->uc_mcontext.gregs[REG_CSGSFS] =
		    0x10; /* the kernel's code segment on Quire, none of the user's anywhere */
		break;
	}
}
static int lie(void *arg)
{
	fresh();
	handle_info(SIGUSR1, tell_lie, 0);
	hits = *(int *)arg;
	raise(SIGUSR1);
	return 60;
}
static int naked_sigreturn(void *arg)
{
	(void)arg;
	__asm__ volatile("movq $0x1000, %%rsp; movl $15, %%eax; syscall" ::: "memory");
	return 1;
}
/* Flags that are not a program's to set come back as they were. */
static void raise_flags(int s, siginfo_t *info, void *context)
{
	(void)s;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= 0x3000;   /* IOPL */
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x200LL; /* IF */
}
static bool hostile_frames(void)
{
	bool xsave = __builtin_cpu_supports("avx");
	for (int i = 0; i < 6; i++)
		if (i != 4 || xsave)
			CHECK(child_dies(lie, &i, SIGSEGV));
	CHECK(child_dies(naked_sigreturn, NULL, SIGSEGV));
	fresh();
	handle_info(SIGUSR1, raise_flags, 0);
	raise(SIGUSR1);
	unsigned long flags;
	__asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
	CHECK((flags & 0x3200) == 0x200);
	return true;
}

/* Two processes send each other signals, a real-time one for each, and count all of them. */
enum { ROUNDS = 1000 };
static bool many(void)
{
	sigset_t set;
	siginfo_t info;
	int status;
	fresh();
	sigemptyset(&set);
	sigaddset(&set, 36);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid_t parent = getpid();
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < ROUNDS; i++)
			if (sigwaitinfo(&set, &info) != 36 || info.si_value.sival_int != i ||
			    sigqueue(parent, 36, (union sigval){.sival_int = -i}))
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(sigqueue(pid, 36, (union sigval){.sival_int = i}) == 0);
		CHECK(sigwaitinfo(&set, &info) == 36 && info.si_value.sival_int == -i && info.si_pid == pid);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return true;
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {{"a handler runs, siginfo, errors of kill", simple_handler},
	    {"rules of sigaction and sigprocmask", action_rules},
	    {"blocked signals are merged, ignored ones dropped", blocked_and_merged},
	    {"real-time signals are queued in order", realtime_queue}, {"nesting and SA_NODEFER", nesting},
	    {"SA_RESETHAND", resethand}, {"longjmp out of a handler", longjmp_out},
	    {"alternate stack", altstack}, {"stack overflow", stack_overflow},
	    {"registers, SSE state and red zone are kept", registers_kept}, {"AVX state is kept", avx_kept},
	    {"changes of the context take effect", context_changes},
	    {"faults: signal, code, address", faults}, {"default actions", default_actions},
	    {"interrupted and restarted calls", interrupted_calls},
	    {"sigsuspend and pause", suspend_and_pause}, {"sigtimedwait", timed_wait},
	    {"stop and continue", stop_and_continue}, {"SIGKILL for the stopped", kill_stopped},
	    {"SIGCHLD and SA_NOCLDWAIT", sigchld}, {"fork inherits", fork_inherits},
	    {"exec resets", exec_resets}, {"process groups and sessions", groups},
	    {"frames that lie", hostile_frames}, {"2,000 signals between two processes", many}};
	self = argv[0];
	handled = mmap(NULL, sizeof(*handled), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (handled == MAP_FAILED)
		return 1;
	if (argc > 1 && strcmp(argv[1], "after-exec") == 0)
		return after_exec();
	return UTEST_RUN(tests);
}
