/*
 * uharden.c - the attacks that the rules of docs/guard.md end. Each is tried by this program, run anew under
 * some rules by /bin/harden: without the rule it works, with it the program dies or is refused. Only in the
 * guest, as init=/bin/uharden.
 *
 *	uharden ATTACK      try it: exit status 0 if it works, REFUSED if it was refused
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <quire/guard.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <quire/calls.h>
#include "utap.h"

enum { PAGE = 4096, REFUSED = 42 };

static char heap[16 * PAGE] __attribute__((aligned(PAGE)));

/* --- attacks --- */

/* What a chain of return addresses does first: the stack pointer goes where the attacker can write. Then a
 * call, or a touch of fresh memory. */
static long with_stack(char *top, long number, char *touch)
{
	long result = number;
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %1, %%rsp\n\t"
			 "movb $1, (%2)\n\t"
			 "testq %%rax, %%rax\n\t"
			 "js 1f\n\t"
			 "syscall\n"
			 "1: movq %%rbx, %%rsp"
			 : "+a"(result)
			 : "r"(top), "r"(touch)
			 : "rbx", "rcx", "r11", "memory");
	return result;
}

static int attack_pivot(void)
{
	return with_stack(heap + sizeof(heap), SYS_getppid, heap) != getppid();
}

static int attack_pivot_fault(void)
{
	char *fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)with_stack(heap + sizeof(heap), -1, fresh);
	return *fresh != 1;
}

/* The same on memory that was a stack and is not any more. */
static int attack_old_stack(void)
{
	char *stack =
	    mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (with_stack(stack + 4 * PAGE, SYS_getppid, heap) != getppid()) /* this one is */
		return 1;
	mmap(stack, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return with_stack(stack + 4 * PAGE, SYS_getppid, heap) != getppid();
}

static int thread_main(void *arg)
{
	*(volatile int *)arg = 1;
	return 0;
}

static int run_thread(char *stack)
{
	static volatile int ran;
	int status;
	pid_t pid = clone(thread_main, stack, CLONE_VM | SIGCHLD, (void *)&ran);
	if (pid < 0)
		return 1;
	return waitpid(pid, &status, 0) != pid || !ran;
}

static int attack_thread_stack(void)
{
	return run_thread(heap + sizeof(heap));
}

static int attack_altstack(void)
{
	stack_t s = {.ss_sp = heap, .ss_size = sizeof(heap)};
	return sigaltstack(&s, NULL) != 0;
}

/* mov $39, %eax; syscall; ret: getpid */
static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};

static int run_code(const void *at)
{
	return ((int (*)(void))at)() != getpid();
}

/* Write code, make it executable: what a JIT does, and what runs after a write anywhere. */
static int attack_protect(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, code, sizeof(code));
	return mprotect(p, PAGE, PROT_READ | PROT_EXEC) ? REFUSED : run_code(p);
}

static int attack_map_both(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return REFUSED;
	memcpy(p, code, sizeof(code));
	return run_code(p);
}

/* First not writable, then writable, then executable. */
static int attack_protect_twice(void)
{
	char *p = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mprotect(p, PAGE, PROT_READ | PROT_WRITE))
		return REFUSED;
	memcpy(p, code, sizeof(code));
	if (mprotect(p, PAGE, PROT_READ))
		return REFUSED;
	return mprotect(p, PAGE, PROT_READ | PROT_EXEC) ? REFUSED : run_code(p);
}

static int attack_stack_code(void)
{
	char *page = (char *)((uintptr_t)&page & ~(PAGE - 1UL));
	return mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) ? REFUSED : 0;
}

/* This program's text, where a library's functions would be. */
static char *text_page(void)
{
	return (char *)((uintptr_t)&attack_pivot & ~(PAGE - 1UL));
}

/* Other functions in the place of the ones that are there: a copy, so that it goes on if it works. */
static int attack_map_over(void)
{
	static char copy[PAGE];
	memcpy(copy, text_page(), PAGE);
	int fd = memfd_create("copy", 0);
	if (write(fd, copy, PAGE) != PAGE)
		return 1;
	return mmap(text_page(), PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED
		   ? REFUSED
		   : 0;
}

static int attack_write_text(void)
{
	return mprotect(text_page(), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) ? REFUSED : 0;
}

/* Everything that would take text away is refused with EPERM, and nothing has changed. */
static int attack_text_all(void)
{
	char *t = text_page();
	if (!FAILS_WITH(munmap(t, PAGE), EPERM) || !FAILS_WITH(mprotect(t, PAGE, PROT_READ), EPERM))
		return 1;
	if (mremap(t, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, heap) != MAP_FAILED || errno != EPERM)
		return 2;
	if (mmap(t, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED ||
	    errno != EPERM)
		return 3;
	return REFUSED;
}

/* Code of the attacker's that was not writable when it ran: from a file without a name, shared or not. */
static int attack_memfd_shared(void)
{
	int fd = memfd_create("code", 0);
	if (write(fd, code, sizeof(code)) != sizeof(code))
		return 1;
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? REFUSED : run_code(p);
}

static int attack_anonymous_code(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, code, sizeof(code));
	return run_code(p);
}

/* Text that was written to is text no more. */
static int attack_patched_text(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, PAGE);
	if (p == MAP_FAILED || mprotect(p, PAGE, PROT_READ | PROT_WRITE))
		return REFUSED;
	memcpy(p, code, sizeof(code));
	return mprotect(p, PAGE, PROT_READ | PROT_EXEC) ? REFUSED : run_code(p);
}

static void on_segv(int number)
{
	(void)number;
	_exit(0);
}

/* A handler does not save the attacker. */
static int attack_with_handler(void)
{
	signal(SIGSEGV, on_segv);
	return attack_pivot() ? 1 : 1;
}

/* What is forbidden to nobody: many calls on a deep stack, signals, children, threads on mapped stacks,
 * programs. */
static int deep(unsigned n)
{
	volatile char frame[PAGE] = {0};
	frame[n % PAGE] = 1;
	if (n == 0)
		return getppid() < 0;
	return deep(n - 1) + frame[(n + 1) % PAGE] + (getppid() < 0);
}

static volatile int handled;
static void on_usr1(int number)
{
	handled = number + (getppid() < 0);
}

static int honest(void)
{
	enum { STACK = 16 * PAGE };
	char *stack =
	    mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	stack_t s = {.ss_sp = stack, .ss_size = STACK};
	struct sigaction a = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};
	int status;
	if (deep(200) || sigaltstack(&s, NULL) || sigaction(SIGUSR1, &a, NULL) || raise(SIGUSR1) ||
	    handled != SIGUSR1)
		return 1;
	char *other = mmap(NULL, STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (mprotect(other, STACK, PROT_READ | PROT_WRITE) || run_thread(other + STACK))
		return 2;
	pid_t pid = fork();
	if (pid == 0)
		_exit(deep(20));
	return waitpid(pid, &status, 0) != pid || status != 0 ? 3 : 0;
}

static int passes_on(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/uharden", "uharden", "inherited", NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) != pid || status != 0;
}

/* All rules are there after fork and exec, and cannot be taken away. */
static int inherited(void)
{
	return syscall(SYS_quire_harden, 0) != QUIRE_GUARD_ALL ||
	       syscall(SYS_quire_harden, QUIRE_GUARD_STACK) != QUIRE_GUARD_ALL;
}

/* What a program says of itself is not said of those that it runs. */
static int others_are_free(void)
{
	execl("/bin/uharden", "uharden", "protect", NULL);
	return 1;
}

static const struct attack {
	const char *name;
	int (*fn)(void);
} attacks[] = {
    {"pivot", attack_pivot},
    {"pivot-fault", attack_pivot_fault},
    {"old-stack", attack_old_stack},
    {"thread-stack", attack_thread_stack},
    {"altstack", attack_altstack},
    {"protect", attack_protect},
    {"map-both", attack_map_both},
    {"protect-twice", attack_protect_twice},
    {"stack-code", attack_stack_code},
    {"map-over", attack_map_over},
    {"write-text", attack_write_text},
    {"text-all", attack_text_all},
    {"memfd-shared", attack_memfd_shared},
    {"anonymous-code", attack_anonymous_code},
    {"patched-text", attack_patched_text},
    {"with-handler", attack_with_handler},
    {"honest", honest},
    {"passes-on", passes_on},
    {"inherited", inherited},
    {"others", others_are_free},
};

/* --- tests --- */

static const char MARKED[] = "(marked)";

/* Wait status of an attack under the rules of these letters; "": under none; MARKED: by /bin/uguarded, which
 * is under all of them by itself. */
static int status_of(const char *letters, const char *attack)
{
	char *hardened[] = {"/bin/harden", (char *)letters, "/bin/uharden", (char *)attack, NULL};
	char *marked[] = {"/bin/uguarded", (char *)attack, NULL};
	char **argv = letters == MARKED ? marked : *letters ? hardened : hardened + 2;
	int status = -1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(99);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static bool works(const char *letters, const char *attack)
{
	int status = status_of(letters, attack);
	if (status)
		printf("# harden %s %s: status %#x\n", letters, attack, (unsigned)status);
	return status == 0;
}

static bool dies(const char *letters, const char *attack)
{
	int status = status_of(letters, attack);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
		printf("# harden %s %s: status %#x\n", letters, attack, (unsigned)status);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static bool is_refused(const char *letters, const char *attack)
{
	int status = status_of(letters, attack);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != REFUSED)
		printf("# harden %s %s: status %#x\n", letters, attack, (unsigned)status);
	return WIFEXITED(status) && WEXITSTATUS(status) == REFUSED;
}

static bool off(void)
{
	static const char *const all[] = {"pivot", "pivot-fault", "old-stack", "thread-stack", "altstack",
	    "protect", "map-both", "protect-twice", "stack-code", "map-over", "write-text", "memfd-shared",
	    "anonymous-code", "patched-text"};
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		CHECK(works("", all[i]));
	return true;
}

static bool stacks(void)
{
	CHECK(dies("-s", "pivot") && dies("-s", "pivot-fault") && dies("-s", "old-stack"));
	CHECK(dies("-s", "thread-stack") && dies("-s", "altstack") && dies("-s", "with-handler"));
	CHECK(works("-s", "protect") && works("-s", "map-both"));
	return true;
}

static bool write_or_execute(void)
{
	CHECK(dies("-w", "protect") && dies("-w", "map-both") && dies("-w", "protect-twice") &&
	      dies("-w", "stack-code"));
	CHECK(dies("-w", "write-text") && works("-w", "pivot") && works("-w", "map-over"));
	return true;
}

static bool text(void)
{
	CHECK(is_refused("-t", "map-over") && is_refused("-t", "write-text") && is_refused("-t", "text-all"));
	CHECK(works("-t", "protect") && works("-t", "pivot"));
	return true;
}

static bool calls(void)
{
	CHECK(dies("-c", "anonymous-code") && dies("-c", "protect") && dies("-c", "memfd-shared"));
	CHECK(is_refused("-c", "patched-text") && works("-c", "pivot"));
	return true;
}

static bool all_rules(void)
{
	CHECK(works("-swtc", "honest") && works("-swtc", "passes-on") && works("-swtc", "inherited"));
	CHECK(dies("-swtc", "pivot") && dies("-swtc", "protect") && is_refused("-swtc", "map-over") &&
	      dies("-swtc", "memfd-shared"));
	return true;
}

static bool by_itself(void)
{
	CHECK(works(MARKED, "honest") && works(MARKED, "others"));
	CHECK(dies(MARKED, "pivot") && dies(MARKED, "thread-stack") && dies(MARKED, "protect") &&
	      dies(MARKED, "map-both") && is_refused(MARKED, "map-over") && is_refused(MARKED, "text-all") &&
	      dies(MARKED, "anonymous-code") && dies(MARKED, "memfd-shared"));
	return true;
}

static bool arguments(void)
{
	int status = status_of("-x", "honest");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 125);
	CHECK(FAILS_WITH(syscall(SYS_quire_harden, 16), EINVAL) && syscall(SYS_quire_harden, 0) == 0);
	return true;
}

static bool log_names_it(void)
{
	static char record[1024];
	const char *const wanted = "(uharden) breaks a rule, pc 0x";
	bool seen = false;
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	CHECK(fd >= 0 && lseek(fd, 0, SEEK_END) >= 0);
	CHECK(dies("-s", "pivot"));
	for (ssize_t n; (n = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE;) {
		record[n > 0 ? n : 0] = 0;
		seen |= strstr(record, wanted) && strstr(record, "uharden[") && strstr(record, "thread ") &&
			strstr(record, ", sp 0x");
	}
	CHECK(seen);
	return close(fd) == 0;
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {
	    {"without rules each attack works", off},
	    {"stacks", stacks},
	    {"writable or executable", write_or_execute},
	    {"text stays", text},
	    {"where system calls come from", calls},
	    {"all rules at a time", all_rules},
	    {"a program that is under them by itself", by_itself},
	    {"arguments", arguments},
	    {"the log names who broke a rule", log_names_it},
	};
	for (unsigned i = 0; argc > 1 && i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (!strcmp(argv[1], attacks[i].name))
			return attacks[i].fn();
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
