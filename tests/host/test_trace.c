/* test_trace.c - system calls as text: every type of argument, every result, lines that are too long, and
 * that each call of the tables can be shown with any arguments. */
#include "host_test.h"
#include "lib/printf.h"
#include "proc/trace_format.h"
#include "syscall_trace.inc"

/* The memory of the program whose calls these are: [MEMORY_AT, + its size). What lies beyond cannot be read.
 */
#define MEMORY_AT 0x10000ULL
static uint8_t memory[4096];

static size_t read_memory(void *dst, uaddr_t src, size_t n)
{
	if (src < MEMORY_AT || src >= MEMORY_AT + sizeof(memory))
		return 0;
	n = MIN(n, (size_t)(MEMORY_AT + sizeof(memory) - src));
	memcpy(dst, memory + (src - MEMORY_AT), n);
	return n;
}

static uaddr_t place(size_t at, const void *data, size_t n)
{
	memcpy(memory + at, data, n);
	return MEMORY_AT + at;
}

static const struct trace_call *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(linux_traces); i++)
		if (linux_traces[i].name && !strcmp(linux_traces[i].name, name))
			return &linux_traces[i];
	panic("no call %s", name);
}

#define ARGS(...) ((const uint64_t[TRACE_ARGS]){__VA_ARGS__})

static void shows(const char *name, const uint64_t *args, int64_t result, const char *want)
{
	struct trace_line l;
	trace_format_call(&l, find(name), args, read_memory);
	trace_format_result(&l, find(name), args, result);
	CHECK_EQ(l.len, strlen(l.text));
	CHECK(!strcmp(l.text, want));
	if (strcmp(l.text, want) != 0)
		printf("# got    %s\n# wanted %s\n", l.text, want);
}

HOST_TEST(numbers)
{
	shows("getpid", ARGS(0), 7, "getpid() = 7");
	shows("close", ARGS(0xffffffff00000003), 0, "close(3) = 0");
	shows("lseek", ARGS(3, (uint64_t)-5, 2), 10, "lseek(3, -5, SEEK_END) = 10");
	shows("lseek", ARGS(3, 0, 77), -22, "lseek(3, 0, 77) = -1 EINVAL");
	shows("kill", ARGS((uint64_t)-1, 15), 0, "kill(-1, SIGTERM) = 0");
	shows("kill", ARGS(2, 34), 0, "kill(2, SIGRT_2) = 0");
	shows("kill", ARGS(2, 65), -22, "kill(2, 65) = -1 EINVAL");
	shows("umask", ARGS(022), 077, "umask(022) = 077");
	shows("ioctl", ARGS(1, 0x5413, 0), -25, "ioctl(1, 0x5413, NULL) = -1 ENOTTY");
	shows("brk", ARGS(0), 0x5000, "brk(NULL) = 0x5000");
}

HOST_TEST(words)
{
	shows("mmap", ARGS(0, 4096, 3, 0x22, (uint64_t)-1, 0), 0x7000,
	    "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000");
	shows("mprotect", ARGS(0x1000, 4096, 0), -12, "mprotect(0x1000, 4096, PROT_NONE) = -1 ENOMEM");
	shows("clone", ARGS(0x1200011), 5,
	    "clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, NULL, 0) = 5");
	shows("clone", ARGS(17), 5, "clone(SIGCHLD, NULL, NULL, NULL, 0) = 5");
	shows("clone", ARGS(0), 5, "clone(0, NULL, NULL, NULL, 0) = 5");
	shows("dup3", ARGS(1, 2, 0x80000), 2, "dup3(1, 2, O_CLOEXEC) = 2");
	shows("futex", ARGS(0x10, 0x81, 1), 0,
	    "futex(0x10, FUTEX_WAKE|FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0) = 0");
	shows("socket", ARGS(1, 0x80001, 0), 3, "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3");
	shows("socket", ARGS(99, 9, 0), -97, "socket(99, 0x9, 0) = -1 EAFNOSUPPORT");
	shows("wait4", ARGS((uint64_t)-1, 0, 0x10000001, 0), -10,
	    "wait4(-1, NULL, WNOHANG|0x10000000, NULL) = -1 ECHILD");
}

HOST_TEST(strings)
{
	uaddr_t name = place(0, "/etc/x", 7), end = place(sizeof(memory) - 2, "ab", 2);
	char longest[100];
	shows("open", ARGS(name, 0x80000, 0777), 3, "open(\"/etc/x\", O_RDONLY|O_CLOEXEC) = 3");
	shows("openat", ARGS((uint64_t)-100, name, 0x241, 0644), 3,
	    "openat(AT_FDCWD, \"/etc/x\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 3");
	shows("chdir", ARGS(0), -14, "chdir(NULL) = -1 EFAULT");
	shows("chdir", ARGS(0x99), -14, "chdir(0x99) = -1 EFAULT");
	shows("chdir", ARGS(end), -14,
	    "chdir(0x10ffe) = -1 EFAULT"); /* it does not end where the memory does */
	memset(longest, 'a', sizeof(longest));
	name = place(100, longest, sizeof(longest));
	shows("chdir", ARGS(name), -36,
	    "chdir(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...) = -1 ENAMETOOLONG");
}

HOST_TEST(data)
{
	uaddr_t data = place(0,
	    "a\"\\\n\t\0"
	    "7\1x\377",
	    10);
	shows("write", ARGS(1, data, 10), 10, "write(1, \"a\\\"\\\\\\n\\t\\0007\\1x\\377\", 10) = 10");
	shows("write", ARGS(1, data, 0), 0, "write(1, \"\", 0) = 0");
	shows("write", ARGS(1, 0x99, 10), -14, "write(1, 0x99, 10) = -1 EFAULT");
	shows("read", ARGS(0, data, 100), 1, "read(0, \"a\", 100) = 1");
	shows("read", ARGS(0, data, 100), -512, "read(0, 0x10000, 100) = ? ERESTARTSYS");
	memset(memory, 'b', 64);
	shows("write", ARGS(1, data, 33), 33, "write(1, \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"..., 33) = 33");
}

HOST_TEST(structures)
{
	int fds[2] = {3, 4};
	uint64_t set = 1ULL << 16 | 1 << 1, all = ~(1ULL << 8), time[2] = {1, 500};
	shows("pipe", ARGS(place(0, fds, 8)), 0, "pipe([3, 4]) = 0");
	shows("pipe", ARGS(place(0, fds, 8)), -24, "pipe(0x10000) = -1 EMFILE");
	shows("wait4", ARGS(9, place(0, fds, 4), 0, 0), 9, "wait4(9, [3], 0, NULL) = 9");
	shows("rt_sigprocmask", ARGS(0, place(0, &set, 8), 0, 8), 0,
	    "rt_sigprocmask(SIG_BLOCK, [INT CHLD], NULL, 8) = 0");
	shows("rt_sigprocmask", ARGS(2, place(0, &all, 8), 0, 8), 0,
	    "rt_sigprocmask(SIG_SETMASK, ~[KILL], NULL, 8) = 0");
	shows("nanosleep", ARGS(place(0, time, 16), 0), -516,
	    "nanosleep({1, 500}, NULL) = ? ERESTART_RESTARTBLOCK");
}

HOST_TEST(programs)
{
	uaddr_t argv[] = {place(0, "/bin/ls", 8), place(8, "-l", 3), 0};
	uaddr_t many[20], at = place(64, argv, sizeof(argv));
	shows("execve", ARGS(argv[0], at, at), 0,
	    "execve(\"/bin/ls\", [\"/bin/ls\", \"-l\"], 0x10040 /* 2 vars */) = 0");
	shows("execve", ARGS(argv[0], 0, 0x99), -14,
	    "execve(\"/bin/ls\", NULL, 0x99 /* 0 vars */) = -1 EFAULT");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = argv[1];
	at = place(sizeof(memory) - sizeof(many), many, sizeof(many));
	shows("execve", ARGS(argv[0], at, 0), -14,
	    "execve(\"/bin/ls\", [\"-l\", \"-l\", \"-l\", \"-l\", \"-l\", \"-l\", \"-l\", \"-l\", ...], NULL) = -1 EFAULT");
}

HOST_TEST(results)
{
	struct trace_line l;
	shows("getpid", ARGS(0), -4096, "getpid() = -4096");
	shows("getpid", ARGS(0), -4095, "getpid() = -4095");
	shows("ptrace", ARGS(1, 2, 3), -38, "ptrace(...) = -1 ENOSYS");
	CHECK(trace_call_returns(find("getpid")) && !trace_call_returns(find("exit")) &&
	      !trace_call_returns(find("exit_group")));
	trace_format_call(&l, find("exit"), ARGS(3), read_memory);
	trace_format_no_result(&l);
	CHECK(!strcmp(l.text, "exit(3) = ?"));
	trace_format_signal(&l, 17);
	CHECK(!strcmp(l.text, "--- SIGCHLD ---"));
	trace_format_exit(&l, 3 << 8);
	CHECK(!strcmp(l.text, "+++ exited with 3 +++"));
	trace_format_exit(&l, 11);
	CHECK(!strcmp(l.text, "+++ killed by SIGSEGV +++"));
}

HOST_TEST(long_lines_keep_their_ends)
{
	struct trace_line l;
	memset(memory, 1, sizeof(memory));
	const struct trace_call wide = {"wide", 6, TRACE_RESULT_LONG,
	    {TRACE_STR, TRACE_STR, TRACE_STR, TRACE_STR, TRACE_STR, TRACE_OUTBUF}};
	uint64_t args[TRACE_ARGS];
	for (unsigned i = 0; i < TRACE_ARGS; i++)
		args[i] = MEMORY_AT;
	trace_format_call(&l, &wide, args, read_memory);
	trace_format_result(&l, &wide, args, 1234);
	CHECK(l.full && l.len < TRACE_LINE && l.len == strlen(l.text));
	CHECK(!strcmp(l.text + l.len - strlen("...) = 1234"), "...) = 1234"));
}

static void check_table(const struct trace_call *calls, size_t n, const uint64_t *args)
{
	struct trace_line l;
	char begin[64], end[] = ") = -1 EFAULT";
	for (size_t i = 0; i < n; i++) {
		const struct trace_call *c = &calls[i];
		if (!c->name)
			continue;
		CHECK(c->nargs <= TRACE_ARGS || c->nargs == TRACE_NOT_OFFERED);
		for (unsigned a = 0; c->nargs != TRACE_NOT_OFFERED && a < c->nargs; a++)
			CHECK(c->types[a] < TRACE_TYPES);
		trace_format_call(&l, c, args, read_memory);
		trace_format_result(&l, c, args, -14);
		(void)format(begin, sizeof(begin), "%s(", c->name);
		CHECK(!strncmp(l.text, begin, strlen(begin)));
		CHECK(l.len > strlen(end) && !strcmp(l.text + l.len - strlen(end), end));
		trace_format_call(&l, c, args, read_memory);
		trace_format_result(&l, c, args, 100);
		CHECK(l.len == strlen(l.text));
	}
}

/* Arguments that are nothing, all bits, an address at the end of memory, and noise. */
HOST_TEST(every_call_can_be_shown)
{
	uint64_t args[TRACE_ARGS], seed = 42;
	const uint64_t fixed[] = {0, ~0ULL, MEMORY_AT, MEMORY_AT + sizeof(memory) - 1, 1};
	memset(memory, 'x', sizeof(memory));
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned a = 0; a < TRACE_ARGS; a++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			args[a] = round < ARRAY_SIZE(fixed) ? fixed[round] : seed >> (seed >> 58);
		}
		check_table(linux_traces, ARRAY_SIZE(linux_traces), args);
		check_table(native_traces, ARRAY_SIZE(native_traces), args);
	}
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 4096);
}
