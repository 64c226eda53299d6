/*
 * uthreadfd.c - threads by descriptor: started here and in other processes, ended, waited for. Quire's own,
 * so not for Linux.
 *
 * What such threads run are a few instructions without a C library, which does not know of them. A child that
 * was made by fork has them at the same address, and the words that they write are shared with it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "uself.h"
#include "utap.h"
#include "uusage.h"

enum { USER = 4321, STACK = 16384, SECONDS = 10 };

/* --- what the threads run: (rdi, rsi) are the two arguments --- */

__asm__(".text\n"
	".globl run_store, run_pause, run_spin, run_ids, run_tls, run_write, run_fork, run_end, run_group\n"
	/* *rdi = rsi; exit(7) */
	"run_store: movq %rsi, (%rdi); movl $7, %edi; movl $60, %eax; syscall\n"
	/* *rdi = 1, and sleep until a signal comes, again and again */
	"run_pause: movq $1, (%rdi)\n"
	"1: movl $34, %eax; syscall; jmp 1b\n"
	/* *rdi = 1, and never a call */
	"run_spin: movq $1, (%rdi)\n"
	"1: pause; jmp 1b\n"
	/* rdi[0...3] = getpid, getuid, PR_GET_NO_NEW_PRIVS, gettid; exit(0) */
	"run_ids: movq %rdi, %rbx\n"
	" movl $39, %eax; syscall; movq %rax, (%rbx)\n"
	" movl $102, %eax; syscall; movq %rax, 8(%rbx)\n"
	" movl $39, %edi; xorl %esi, %esi; xorl %edx, %edx; xorl %r10d, %r10d; xorl %r8d, %r8d\n"
	" movl $157, %eax; syscall; movq %rax, 16(%rbx)\n"
	" movl $186, %eax; syscall; movq %rax, 24(%rbx)\n"
	" xorl %edi, %edi; movl $60, %eax; syscall\n"
	/* *rdi = what lies at the base of thread-local storage; rdi[1] = stack pointer; exit(0) */
	"run_tls: movq %fs:0, %rax; movq %rax, (%rdi); movq %rsp, 8(%rdi)\n"
	" xorl %edi, %edi; movl $60, %eax; syscall\n"
	/* write(rsi, rdi, 1), exit(the result) */
	"run_write: xchgq %rdi, %rsi; movl $1, %edx; movl $1, %eax; syscall\n"
	" movl %eax, %edi; movl $60, %eax; syscall\n"
	/* the child: rdi[0] = getppid, exit_group(3); the parent: wait4(any, rdi + 1), exit(0) */
	"run_fork: movq %rdi, %rbx; movl $57, %eax; syscall; testl %eax, %eax; jnz 1f\n"
	" movl $110, %eax; syscall; movq %rax, (%rbx); movl $3, %edi; movl $231, %eax; syscall\n"
	"1: movl $-1, %edi; leaq 8(%rbx), %rsi; xorl %edx, %edx; xorl %r10d, %r10d; movl $61, %eax; syscall\n"
	" xorl %edi, %edi; movl $60, %eax; syscall\n"
	/* thread_kill(QUIRE_SELF), which does not return */
	"run_end: movq $-1, %rdi; movl $0x1077, %eax; syscall; movl $1, %edi; movl $60, %eax; syscall\n"
	/* exit_group(9) */
	"run_group: movl $9, %edi; movl $231, %eax; syscall\n");
void run_store(void), run_pause(void), run_spin(void), run_ids(void), run_tls(void), run_write(void),
    run_fork(void), run_end(void), run_group(void);

static struct shared {
	volatile int64_t words[16];
	char stack[STACK] __attribute__((aligned(64)));
} * shared; /* with all children */

static bool share(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared != MAP_FAILED;
}

static uint64_t in_seconds(unsigned s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec + s) * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int begin(int process, void (*run)(void), uint64_t second)
{
	for (unsigned i = 0; i < 16; i++)
		shared->words[i] = 0;
	return (int)quire_thread_start(process, (void *)(uintptr_t)run, shared->stack + STACK,
	    (uint64_t)(uintptr_t)shared->words, second, NULL);
}

static bool is_dead(int fd)
{
	struct quire_wait w = {.fd = fd};
	while (quire_object_wait(&w, 1, in_seconds(SECONDS)) < 0)
		if (errno != EINTR)
			return false;
	return w.signals & QUIRE_SIGNAL_DEAD;
}

static bool ended_with(int fd, int status)
{
	bool ok = is_dead(fd) && quire_thread_status(fd) == status;
	if (!ok)
		printf("# thread: status %ld\n", quire_thread_status(fd));
	close(fd);
	return ok;
}

/* Until the other side has written the word. */
static bool came(volatile int64_t *word)
{
	for (uint64_t end = in_seconds(SECONDS); !*word; sched_yield())
		if (in_seconds(0) > end)
			return false;
	return true;
}

static bool process_ends_with(pid_t pid, int wanted)
{
	int status = -1;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return false;
	if (status != wanted)
		printf("# process: status %#x\n", (unsigned)status);
	return status == wanted;
}

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* A child that goes when we do, whatever happens. */
static pid_t fork_child(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* One that does nothing; *fd gets a descriptor of it. */
static pid_t idle_child(int *fd)
{
	pid_t pid = fork_child();
	if (pid == 0)
		for (;;)
			pause();
	*fd = pidfd_of(pid);
	return pid;
}

static bool end_child(pid_t pid, int fd)
{
	bool ok = !sc(pidfd_send_signal, fd, SIGKILL, NULL, 0) && process_ends_with(pid, SIGKILL);
	close(fd);
	return ok;
}

static unsigned count_tasks(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* --- in the own process --- */

static bool starts_and_ends(void)
{
	struct quire_object_info info;
	int fd = begin(QUIRE_SELF, run_pause, 0);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && came(&shared->words[0]));
	CHECK(quire_object_info(fd, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_THREAD);
	CHECK(info.rights == QUIRE_RIGHTS_ALL && !(info.signals & QUIRE_SIGNAL_DEAD));
	struct pollfd p = {.fd = fd, .events = POLLIN};
	CHECK(poll(&p, 1, 0) == 0 && FAILS_WITH(quire_thread_status(fd), EAGAIN));
	CHECK(count_tasks(getpid()) == 2 && quire_thread_number(fd) != getpid());
	CHECK(quire_thread_number(QUIRE_SELF) == getpid());
	CHECK(!quire_thread_kill(fd) && is_dead(fd) && poll(&p, 1, 0) == 1 && p.revents == POLLIN);
	CHECK(quire_thread_status(fd) == SIGKILL && !quire_thread_kill(fd)); /* it has ended: nothing */
	CHECK(count_tasks(getpid()) == 1);
	close(fd);
	fd = begin(QUIRE_SELF, run_store, 0x123456789abcdef);
	CHECK(fd >= 0 && ended_with(fd, 7 << 8) && shared->words[0] == 0x123456789abcdef);
	fd = begin(QUIRE_SELF, run_spin, 0); /* ends without having made a call */
	CHECK(came(&shared->words[0]) && !quire_thread_kill(fd) && ended_with(fd, SIGKILL));
	fd = begin(QUIRE_SELF, run_end, 0);
	CHECK(fd >= 0 && ended_with(fd, SIGKILL));
	return true;
}

static bool has_its_registers(void)
{
	static uint64_t storage = 0x5a5a5a5a;
	char *sp = shared->stack + STACK - 24;
	for (unsigned i = 0; i < 2; i++)
		shared->words[i] = 0;
	int fd = (int)quire_thread_start(QUIRE_SELF, (void *)(uintptr_t)run_tls, sp,
	    (uint64_t)(uintptr_t)shared->words, 0, (char *)&storage);
	CHECK(fd >= 0 && ended_with(fd, 0));
	CHECK(shared->words[0] == 0x5a5a5a5a && shared->words[1] == (intptr_t)sp);
	return true;
}

static bool checks_addresses(void)
{
	void *entry = (void *)(uintptr_t)run_group, *stack = shared->stack + STACK;
	void *kernel = (void *)0xffff800000000000UL, *hole = (void *)0x8000000000000000UL;
	CHECK(FAILS_WITH(quire_thread_start(QUIRE_SELF, kernel, stack, 0, 0, NULL), EFAULT));
	CHECK(FAILS_WITH(quire_thread_start(QUIRE_SELF, entry, kernel, 0, 0, NULL), EFAULT));
	CHECK(FAILS_WITH(quire_thread_start(QUIRE_SELF, entry, stack, 0, 0, kernel), EFAULT));
	CHECK(FAILS_WITH(quire_thread_start(QUIRE_SELF, hole, stack, 0, 0, NULL), EFAULT));
	CHECK(FAILS_WITH(quire_thread_start(QUIRE_SELF, entry, hole, 0, 0, NULL), EFAULT));
	CHECK(FAILS_WITH(quire_thread_start(QUIRE_SELF, entry, stack, 0, 0, hole), EFAULT));
	return true;
}

/* No descriptor, no thread. */
static bool needs_a_descriptor(void)
{
	struct rlimit old, few;
	CHECK(!getrlimit(RLIMIT_NOFILE, &old));
	int lowest = dup(0);
	close(lowest);
	few = (struct rlimit){(rlim_t)lowest, old.rlim_max};
	CHECK(!setrlimit(RLIMIT_NOFILE, &few));
	CHECK(FAILS_WITH(begin(QUIRE_SELF, run_group, 0), EMFILE));
	CHECK(FAILS_WITH(quire_thread_open(QUIRE_SELF, getpid()), EMFILE));
	CHECK(!setrlimit(RLIMIT_NOFILE, &old) && count_tasks(getpid()) == 1);
	return true;
}

static bool is_opened_by_number(void)
{
	int fd = begin(QUIRE_SELF, run_pause, 0);
	pid_t number = (pid_t)quire_thread_number(fd);
	int same = (int)quire_thread_open(QUIRE_SELF, number), process;
	int self = (int)quire_thread_open(QUIRE_SELF, getpid());
	CHECK(fd >= 0 && same >= 0 && self >= 0 && quire_thread_number(same) == number);
	CHECK(quire_thread_number(self) == getpid() && FAILS_WITH(quire_thread_status(self), EAGAIN));
	pid_t pid = idle_child(&process);
	CHECK(FAILS_WITH(quire_thread_open(QUIRE_SELF, pid), ESRCH)); /* somebody else's */
	CHECK(FAILS_WITH(quire_thread_open(process, getpid()), ESRCH) && end_child(pid, process));
	CHECK(FAILS_WITH(quire_thread_open(QUIRE_SELF, 0), ESRCH));
	CHECK(FAILS_WITH(quire_thread_open(QUIRE_SELF, -1), ESRCH));
	CHECK(!quire_thread_kill(same) && ended_with(fd, SIGKILL) && ended_with(same, SIGKILL));
	CHECK(FAILS_WITH(quire_thread_open(QUIRE_SELF, number), ESRCH));
	close(self);
	return true;
}

/* --- ends of threads and of processes --- */

static int ends_alone(void *arg)
{
	(void)arg;
	return (int)quire_thread_kill(QUIRE_SELF);
}

static int leaves_another(void)
{
	int other = begin(QUIRE_SELF, run_pause, 0);
	UCHECK(other >= 0 && count_tasks(getpid()) == 2);
	shared->words[1] = quire_thread_number(other);
	return (int)quire_thread_kill(QUIRE_SELF);
}

static bool process_has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

static bool last_one_ends_the_process(void)
{
	CHECK(child_dies(ends_alone, NULL, SIGKILL));
	shared->words[1] = 0;
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(leaves_another());
	int process = pidfd_of(pid);
	CHECK(came(&shared->words[1]));
	int first = (int)quire_thread_open(process, pid);
	CHECK(first < 0 || is_dead(first)); /* it has ended, or is about to */
	close(first);
	int other = (int)quire_thread_open(process, (pid_t)shared->words[1]);
	CHECK(other >= 0 && !process_has_ended(process) && FAILS_WITH(quire_thread_status(other), EAGAIN));
	CHECK(!quire_thread_kill(other) && ended_with(other, SIGKILL) && process_ends_with(pid, SIGKILL));
	CHECK(FAILS_WITH(quire_thread_open(process, pid), ESRCH));
	CHECK(FAILS_WITH(begin(process, run_group, 0), ESRCH));
	close(process);
	return true;
}

static bool ends_with_its_process(void)
{
	int process;
	pid_t pid = idle_child(&process);
	int fd = begin(process, run_pause, 0), first = (int)quire_thread_open(process, pid);
	CHECK(fd >= 0 && first >= 0 && came(&shared->words[0]));
	int last = begin(process, run_group, 0);
	CHECK(last >= 0 && ended_with(last, 9 << 8) && ended_with(fd, SIGKILL) && ended_with(first, SIGKILL));
	CHECK(process_ends_with(pid, 9 << 8));
	close(process);
	return true;
}

/* --- in other processes --- */

static bool is_one_of_the_process(void)
{
	char path[64];
	int process;
	pid_t pid = idle_child(&process);
	int fd = begin(process, run_ids, 0);
	pid_t number = (pid_t)quire_thread_number(fd);
	CHECK(fd >= 0 && ended_with(fd, 0));
	CHECK(shared->words[0] == pid && shared->words[1] == 0 && shared->words[3] == number);
	fd = begin(process, run_pause, 0);
	snprintf(path, sizeof(path), "/proc/%d/task/%ld", (int)pid, quire_thread_number(fd));
	CHECK(came(&shared->words[0]) && !access(path, F_OK) && count_tasks(pid) == 2);
	CHECK(count_tasks(getpid()) == 1);
	CHECK(!quire_thread_kill(fd) && ended_with(fd, SIGKILL) && access(path, F_OK) == -1);
	CHECK(!process_has_ended(process) && end_child(pid, process));
	return true;
}

static int has_a_pipe(int ends[2])
{
	char c = 0;
	UCHECK(!pipe2(ends, O_CLOEXEC));
	shared->words[8] = ends[1] + 1;
	shared->words[9] = 1;
	UCHECK(read(ends[0], &c, 1) == 1);
	return c;
}

/* It writes into a pipe that only the other process has. */
static bool has_its_descriptors(void)
{
	int ends[2];
	shared->words[8] = shared->words[9] = 0;
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(has_a_pipe(ends));
	int process = pidfd_of(pid);
	CHECK(came(&shared->words[9]));
	int there = (int)shared->words[8] - 1;
	shared->words[0] = 42;
	int fd = (int)quire_thread_start(process, (void *)(uintptr_t)run_write, shared->stack + STACK,
	    (uint64_t)(uintptr_t)shared->words, (uint64_t)there, NULL);
	CHECK(fd >= 0 && is_dead(fd) && process_ends_with(pid, 42 << 8));
	/* Either its call returned, or its process has ended meanwhile. */
	CHECK(quire_thread_status(fd) == 1 << 8 || quire_thread_status(fd) == SIGKILL);
	close(fd);
	close(process);
	return true;
}

static bool forks_a_child_of_the_process(void)
{
	int process;
	pid_t pid = idle_child(&process);
	int fd = begin(process, run_fork, 0);
	CHECK(fd >= 0 && ended_with(fd, 0));
	CHECK(shared->words[0] == pid && (int)shared->words[1] == 3 << 8);
	CHECK(end_child(pid, process));
	return true;
}

/* A thread of a stopped process stops before it runs. */
static bool stops_with_the_process(void)
{
	int process, status;
	pid_t pid = idle_child(&process);
	CHECK(!kill(pid, SIGSTOP) && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	int fd = begin(process, run_store, 5);
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%ld/status", (int)pid, quire_thread_number(fd));
	bool stopped = false;
	for (uint64_t end = in_seconds(SECONDS); !stopped && in_seconds(0) < end; sched_yield())
		stopped = slurp(path) && strstr(text, "State:\tT");
	CHECK(stopped && shared->words[0] == 0);
	CHECK(!kill(pid, SIGCONT) && ended_with(fd, 7 << 8) && shared->words[0] == 5);
	CHECK(end_child(pid, process));
	return true;
}

static bool needs_rights(void)
{
	int process, poor;
	pid_t pid = idle_child(&process);
	static const unsigned needed[] = {QUIRE_RIGHT_MAP, QUIRE_RIGHT_MANAGE};
	for (unsigned i = 0; i < 2; i++) {
		CHECK((poor = dup(process)) >= 0 &&
		      !quire_rights_limit(poor, (unsigned)quire_rights_get(poor) & ~needed[i]));
		CHECK(FAILS_WITH(begin(poor, run_group, 0), EACCES));
		CHECK(FAILS_WITH(quire_thread_open(poor, pid), EACCES));
		close(poor);
	}
	int fd = (int)quire_thread_open(process, pid);
	CHECK(!quire_rights_limit(fd, QUIRE_RIGHT_WAIT));
	CHECK(FAILS_WITH(quire_thread_kill(fd), EACCES) && FAILS_WITH(quire_thread_status(fd), EACCES));
	CHECK(FAILS_WITH(quire_thread_number(fd), EACCES));
	close(fd);
	CHECK(!process_has_ended(process) && end_child(pid, process));
	return true;
}

static bool not_before_it_is_started(void)
{
	int process = (int)quire_process_create("embryo", 0);
	CHECK(FAILS_WITH(begin(process, run_group, 0), ESRCH));
	CHECK(FAILS_WITH(quire_thread_open(process, getpid()), ESRCH));
	close(process);
	return true;
}

/* --- whose rights, whose limits --- */

static bool become_user(void)
{
	return !setgroups(0, NULL) && !setresgid(USER, USER, USER) && !setresuid(USER, USER, USER);
}

static int is_the_users(void)
{
	UCHECK(become_user() && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	UCHECK(!prctl(PR_SET_DUMPABLE, 1));
	shared->words[9] = 1;
	for (;;)
		pause();
}

static pid_t users_child(int *fd)
{
	shared->words[9] = 0;
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(is_the_users());
	*fd = pidfd_of(pid);
	return came(&shared->words[9]) ? pid : -1;
}

/* Who starts it gives it nothing of his own. */
static bool has_the_rights_of_the_process(void)
{
	int process;
	pid_t pid = users_child(&process);
	CHECK(pid > 0);
	int fd = begin(process, run_ids, 0);
	CHECK(fd >= 0 && ended_with(fd, 0));
	CHECK(shared->words[0] == pid && shared->words[1] == USER && shared->words[2] == 1);
	CHECK(end_child(pid, process));
	return true;
}

static bool counts_against_its_limit(void)
{
	int process;
	pid_t pid = users_child(&process);
	struct rlimit one = {1, 100}, two = {2, 100};
	CHECK(pid > 0 && !prlimit(pid, RLIMIT_NPROC, &one, NULL));
	CHECK(FAILS_WITH(begin(process, run_group, 0), EAGAIN) && count_tasks(pid) == 1);
	CHECK(!prlimit(pid, RLIMIT_NPROC, &two, NULL));
	for (unsigned i = 0; i < 3; i++) { /* one that has ended counts no more */
		int fd = begin(process, run_pause, 0);
		CHECK(fd >= 0 && came(&shared->words[0]) && FAILS_WITH(begin(process, run_group, 0), EAGAIN));
		CHECK(!quire_thread_kill(fd) && ended_with(fd, SIGKILL));
	}
	CHECK(end_child(pid, process));
	return true;
}

static int user_looks(void *arg)
{
	pid_t other = *(pid_t *)arg;
	int process, own;
	UCHECK(become_user());
	UCHECK((process = pidfd_of(other)) >= 0);
	UCHECK(FAILS_WITH(begin(process, run_group, 0), EACCES));
	UCHECK(FAILS_WITH(quire_thread_open(process, other), EACCES));
	pid_t pid = idle_child(&own);
	/* Who has changed his user hides, and so do his children, until they run a program. */
	UCHECK(own >= 0 && FAILS_WITH(begin(own, run_group, 0), EACCES));
	UCHECK(!kill(pid, SIGKILL) && process_ends_with(pid, SIGKILL));
	UCHECK(!prctl(PR_SET_DUMPABLE, 1));
	pid = idle_child(&own);
	int fd = begin(own, run_store, 1);
	UCHECK(fd >= 0 && ended_with(fd, 7 << 8));
	return !(!kill(pid, SIGKILL) && process_ends_with(pid, SIGKILL));
}

static bool is_for_who_may_look(void)
{
	int process;
	pid_t pid = idle_child(&process);
	CHECK(child_exits(user_looks, &pid, 0));
	CHECK(end_child(pid, process));
	return true;
}

/* --- programs --- */

static int runs_program(const char *path)
{
	shared->words[9] = 1;
	while (shared->words[9] != 2)
		sched_yield();
	execl(path, "uthreadfd", "wait", NULL);
	return 1;
}

/* A child that waits for word 9 to be 2, and then runs a copy of this program. */
static pid_t child_that_runs(const char *path, int *process)
{
	shared->words[9] = 0;
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(runs_program(path));
	*process = pidfd_of(pid);
	return came(&shared->words[9]) ? pid : -1;
}

/* What has run until then has ended; the process can have new threads. */
static bool ends_by_exec(void)
{
	int process;
	pid_t pid = child_that_runs("/proc/self/exe", &process);
	CHECK(pid > 0);
	int first = (int)quire_thread_open(process, pid);
	int other = (int)quire_thread_start(process, (void *)(uintptr_t)run_pause, shared->stack + STACK,
	    (uint64_t)(uintptr_t)&shared->words[10], 0, NULL);
	CHECK(first >= 0 && other >= 0);
	shared->words[9] = 2;
	CHECK(ended_with(other, SIGKILL) && is_dead(first) && quire_thread_status(first) == 0);
	CHECK(!quire_thread_kill(first)); /* the new program lives on */
	close(first);
	first = (int)quire_thread_open(process, pid);
	CHECK(first >= 0 && FAILS_WITH(quire_thread_status(first), EAGAIN));
	CHECK(!quire_thread_kill(first) && ended_with(first, SIGKILL) && process_ends_with(pid, SIGKILL));
	close(process);
	return true;
}

static int user_execs(void *arg)
{
	int process;
	UCHECK(become_user() && !prctl(PR_SET_DUMPABLE, 1));
	pid_t pid = child_that_runs(arg, &process);
	int first = (int)quire_thread_open(process, pid);
	UCHECK(pid > 0 && first >= 0);
	shared->words[9] = 2;
	UCHECK(is_dead(first) && quire_thread_status(first) == 0 && !quire_thread_kill(first));
	UCHECK(FAILS_WITH(begin(process, run_group, 0), EACCES));
	UCHECK(FAILS_WITH(quire_thread_open(process, pid), EACCES));
	UCHECK(!process_has_ended(process));
	return !(!kill(pid, SIGKILL) && process_ends_with(pid, SIGKILL)); /* its real user is ours */
}

static bool gives_no_way_into_programs_with_rights(void)
{
	char path[64];
	CHECK(copy_self(utest_file(path, "setuid"), 04755));
	CHECK(child_exits(user_execs, path, 0));
	return true;
}

static int execs_again(const char *left)
{
	char next[16];
	int n = atoi(left);
	if (!n)
		return 0;
	snprintf(next, sizeof(next), "%d", n - 1);
	execl("/proc/self/exe", "uthreadfd", "again", next, NULL);
	return 1;
}

/* Starting threads in a process that runs one program after the other: it is in the one or in the other, or
 * fails. All of them are like this one, so its instructions are there in each. */
static bool races_with_exec(void)
{
	pid_t pid = fork_child();
	if (pid == 0)
		_exit(execs_again("30"));
	int process = pidfd_of(pid), fd;
	unsigned wrong = 0;
	while (!process_has_ended(process)) {
		/* The code is there, what it is to write is not: it ends by itself at once. */
		fd = (int)quire_thread_start(process, (void *)(uintptr_t)run_end, NULL, 0, 0, NULL);
		wrong += fd < 0 && errno != EINTR && errno != ESRCH && errno != EAGAIN;
		close(fd);
	}
	CHECK(!wrong && process_ends_with(pid, 0));
	close(process);
	return true;
}

/* Many starts and ends at once, of threads and of their process. */
static bool races_with_the_end(void)
{
	for (unsigned round = 0; round < 30; round++) {
		int process, fds[8];
		pid_t pid = idle_child(&process);
		for (unsigned i = 0; i < 8; i++) {
			fds[i] =
			    (int)quire_thread_start(process, (void *)(uintptr_t)(i % 2 ? run_spin : run_end),
				shared->stack + STACK, (uint64_t)(uintptr_t)shared->words, 0, NULL);
			CHECK(fds[i] >= 0 || errno == ESRCH || errno == EINTR);
			if (i == round % 8)
				CHECK(!kill(pid, SIGKILL));
		}
		for (unsigned i = 0; i < 8; i++)
			CHECK(fds[i] < 0 || ended_with(fds[i], SIGKILL));
		CHECK(process_ends_with(pid, SIGKILL));
		close(process);
	}
	return true;
}

/* --- nothing stays --- */

static bool leaves_nothing(void)
{
	struct usage before;
	CHECK(usage_take(&before) || true);
	for (unsigned i = 0; i < 20; i++) {
		int process;
		pid_t pid = idle_child(&process);
		int fd = begin(process, run_pause, 0);
		CHECK(fd >= 0 && FAILS_WITH(quire_thread_open(process, getpid()), ESRCH) &&
		      end_child(pid, process));
		CHECK(ended_with(fd, SIGKILL));
		CHECK(starts_and_ends() && needs_a_descriptor());
	}
	CHECK(nothing_is_left(&before));
	return true;
}

static const struct utest tests[] = {
    {"a thread starts, ends, and tells how", starts_and_ends},
    {"it has stack, arguments and thread-local storage", has_its_registers},
    {"bad addresses", checks_addresses},
    {"without room for its descriptor there is none", needs_a_descriptor},
    {"threads that run are opened by number", is_opened_by_number},
    {"the last one ends the process, the first one does not", last_one_ends_the_process},
    {"threads end with their process", ends_with_its_process},
    {"one in another process is one of its threads", is_one_of_the_process},
    {"and has its descriptors", has_its_descriptors},
    {"its children are the process's", forks_a_child_of_the_process},
    {"it stops with the process", stops_with_the_process},
    {"each right is needed", needs_rights},
    {"a process that is not started has none", not_before_it_is_started},
    {"it has the rights of the process", has_the_rights_of_the_process},
    {"and counts against its limit", counts_against_its_limit},
    {"only who may look into a process starts one there", is_for_who_may_look},
    {"exec ends it for its descriptor", ends_by_exec},
    {"no way into programs with rights of their own", gives_no_way_into_programs_with_rights},
    {"starting while the process runs programs", races_with_exec},
    {"starting while the process ends", races_with_the_end},
    {"nothing is left behind", leaves_nothing},
};

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "again"))
		return execs_again(argv[2]);
	if (argc > 1)
		for (;;)
			pause();
	if (!utest_proc() || !share())
		return 1;
	return UTEST_RUN(tests);
}
