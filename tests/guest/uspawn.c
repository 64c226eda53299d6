/*
 * uspawn.c - processes that are no copies: made, filled and started by descriptor. Quire's own, so not for
 * Linux. The program runs itself: what child_main does is what such a process finds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <quire/spawn.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "upass.h"
#include "utap.h"
#include "uusage.h"

enum { PAGE = 4096, USER = 1000, TELL = 7 };
#define CODE_AT  ((char *)0x10000000UL)
#define DATA_AT  ((char *)0x20000000UL)
#define TELL_ALL (QUIRE_RIGHT_WRITE | QUIRE_RIGHT_INSPECT)

static char *const no_env[] = {(char *)(uintptr_t) "ONLY=this", NULL};

static int self_fd(void)
{
	return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

/* --- what a spawned process does --- */

static int tell(const char *what)
{
	return write(TELL, what, strlen(what)) == (ssize_t)strlen(what) ? 0 : 99;
}

static int say_what_there_is(int argc, char **argv)
{
	char said[256], exe[64];
	sigset_t blocked;
	struct sigaction chld;
	unsigned fds = 0;
	for (int fd = 0; fd < 64; fd++)
		fds += fcntl(fd, F_GETFD) >= 0;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	sigaction(SIGUSR1, NULL, &chld);
	prctl(PR_GET_NAME, exe);
	snprintf(said, sizeof(said), "%d %s %s %s %u %d %d", argc, argv[2], getenv("ONLY"), exe, fds,
	    sigismember(&blocked, SIGUSR2), chld.sa_handler == SIG_DFL);
	return tell(said);
}

static int child_main(int argc, char **argv)
{
	char said[64];
	if (!strcmp(argv[1], "say"))
		return say_what_there_is(argc, argv);
	if (!strcmp(argv[1], "ids")) {
		snprintf(said, sizeof(said), "%d %d", (int)geteuid(), prctl(PR_GET_DUMPABLE));
		return tell(said);
	}
	if (!strcmp(argv[1], "wait"))
		for (;;)
			pause();
	return atoi(argv[1]);
}

/* --- making them --- */

/* Spawn this program with one argument or two; what it writes to TELL can be read from *from. */
static int spawn_self(const char *what, const char *more, pid_t *pid, int *from)
{
	char *argv[] = {(char *)(uintptr_t) "uspawn", (char *)(uintptr_t)what, (char *)(uintptr_t)more, NULL};
	int ends[2] = {-1, -1}, program = self_fd();
	if (program < 0 || pipe2(ends, O_CLOEXEC))
		return -1;
	struct quire_gift gift = {ends[1], TELL, TELL_ALL};
	int process = quire_spawn("spawned", program, argv, no_env, &gift, 1, pid);
	close(program);
	close(ends[1]);
	if (from && process >= 0)
		*from = ends[0];
	else
		close(ends[0]);
	return process;
}

static bool says(int from, const char *what)
{
	char said[256] = "";
	size_t n = 0;
	ssize_t more;
	while (n < sizeof(said) - 1 && (more = read(from, said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)more;
	close(from);
	if (strcmp(said, what))
		printf("# it said \"%s\"\n", said);
	return !strcmp(said, what);
}

static bool ends_with(pid_t pid, int wanted)
{
	int status = -1;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return false;
	return status == wanted;
}

static volatile sig_atomic_t children_told;

static void on_child(int signal)
{
	(void)signal;
	children_told++;
}

static bool runs_a_program(void)
{
	struct sigaction sa = {.sa_handler = on_child, .sa_flags = SA_RESTART}, old;
	sigset_t usr2, before;
	pid_t pid = 0;
	int from;
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, &before); /* is not inherited, nor is what is ignored */
	signal(SIGUSR1, SIG_IGN);
	sigaction(SIGCHLD, &sa, &old);
	children_told = 0;
	int process = spawn_self("say", "more", &pid, &from);
	CHECK(process >= 0 && pid > 0 && fcntl(process, F_GETFD) == FD_CLOEXEC);
	CHECK(says(from, "3 more this spawned 1 0 1"));
	struct pollfd dead = {.fd = process, .events = POLLIN};
	while (poll(&dead, 1, -1) != 1)
		CHECK(errno == EINTR);
	CHECK(quire_process_status(process) == 0);
	CHECK(ends_with(pid, 0) && children_told == 1);
	sigaction(SIGCHLD, &old, NULL);
	signal(SIGUSR1, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	CHECK(FAILS_WITH(waitpid(pid, NULL, 0), ECHILD) && quire_process_status(process) == 0);
	close(process);
	return true;
}

static bool tells_its_end(void)
{
	siginfo_t info;
	struct quire_wait w;
	pid_t pid;
	int process = spawn_self("42", NULL, &pid, NULL);
	w = (struct quire_wait){.fd = process};
	CHECK(quire_object_wait(&w, 1, QUIRE_NEVER) == 1 && (w.signals & QUIRE_SIGNAL_DEAD));
	CHECK(quire_process_status(process) == 42 << 8);
	CHECK(!waitid((idtype_t)3, (id_t)process, &info, WEXITED) && info.si_status == 42); /* P_PIDFD */
	close(process);
	process = spawn_self("wait", NULL, &pid, NULL);
	CHECK(FAILS_WITH(quire_process_status(process), EAGAIN));
	CHECK(!sc(pidfd_send_signal, process, SIGKILL, NULL, 0));
	w = (struct quire_wait){.fd = process};
	CHECK(quire_object_wait(&w, 1, QUIRE_NEVER) == 1 && quire_process_status(process) == SIGKILL);
	CHECK(ends_with(pid, SIGKILL));
	close(process);
	return true;
}

/* --- before it runs --- */

static unsigned count_processes(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] >= '0' && e->d_name[0] <= '9';
	if (d)
		closedir(d);
	return n;
}

static bool is_nobody_before(void)
{
	struct quire_object_info info;
	siginfo_t si;
	unsigned before = count_processes();
	int process = (int)quire_process_create("a name that is cut off", 0);
	CHECK(process >= 0 && fcntl(process, F_GETFD) == FD_CLOEXEC && count_processes() == before);
	CHECK(quire_object_info(process, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_PROCESS);
	CHECK(info.rights == (QUIRE_RIGHTS_ALL & ~QUIRE_RIGHT_TRANSFER));
	CHECK(FAILS_WITH(quire_process_status(process), EAGAIN));
	CHECK(FAILS_WITH(sc(pidfd_send_signal, process, SIGKILL, NULL, 0), ESRCH));
	CHECK(FAILS_WITH(sc(pidfd_getfd, process, 0, 0), ESRCH));
	CHECK(FAILS_WITH(waitid((idtype_t)3, (id_t)process, &si, WEXITED), ECHILD));
	struct pollfd p = {.fd = process, .events = POLLIN};
	CHECK(poll(&p, 1, 0) == 0);
	close(process);
	CHECK(FAILS_WITH(quire_process_create("x", 1), EINVAL) &&
	      FAILS_WITH(quire_process_create(BAD, 0), EFAULT));
	return true;
}

/* Or it could hold itself. */
static bool is_not_sent(void)
{
	int pair[2], a = (int)quire_process_create("a", 0), b = (int)quire_process_create("b", 0);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	CHECK(FAILS_WITH(send_fd(pair[0], a), EACCES) && FAILS_WITH(quire_process_give(a, a, 3, 0), EACCES));
	CHECK(FAILS_WITH(quire_process_give(b, a, 3, 0), EACCES));
	close(a);
	close(b);
	close(pair[0]);
	close(pair[1]);
	return true;
}

static bool gets_what_it_is_given(void)
{
	char *argv[] = {
	    (char *)(uintptr_t) "uspawn", (char *)(uintptr_t) "say", (char *)(uintptr_t) "x", NULL};
	int ends[2], program = self_fd(), process = (int)quire_process_create("given", 0);
	pid_t pid;
	CHECK(!pipe2(ends, O_CLOEXEC));
	CHECK(FAILS_WITH(quire_process_give(process, 999, TELL, 0), EBADF));
	CHECK(FAILS_WITH(quire_process_give(process, ends[1], -1, 0), EBADF));
	CHECK(FAILS_WITH(quire_process_give(process, ends[1], 1 << 24, 0), EBADF));
	CHECK(FAILS_WITH(quire_process_give(process, ends[1], TELL, QUIRE_RIGHTS_ALL + 1), EINVAL));
	CHECK(FAILS_WITH(quire_process_give(process, ends[1], TELL, QUIRE_RIGHT_READ), EACCES));
	int poor = dup(ends[1]);
	CHECK(!quire_rights_limit(poor, (unsigned)quire_rights_get(poor) & ~(unsigned)QUIRE_RIGHT_TRANSFER));
	CHECK(FAILS_WITH(quire_process_give(process, poor, TELL, TELL_ALL), EACCES));
	close(poor);
	poor = dup(process);
	CHECK(!quire_rights_limit(poor, (unsigned)quire_rights_get(poor) & ~(unsigned)QUIRE_RIGHT_MANAGE));
	CHECK(FAILS_WITH(quire_process_give(poor, ends[1], TELL, TELL_ALL), EACCES));
	CHECK(FAILS_WITH(quire_process_exec(poor, program, argv, no_env), EACCES));
	CHECK(FAILS_WITH(quire_process_start(poor, CODE_AT, DATA_AT, 0, 0), EACCES));
	close(poor);
	/* Nothing has come of all this; what is given twice is there once. */
	CHECK(!quire_process_give(process, ends[0], TELL, 0));
	CHECK(!quire_process_give(process, ends[1], TELL, TELL_ALL));
	CHECK(!quire_process_give(process, program, 30, QUIRE_RIGHT_INSPECT));
	CHECK((pid = (pid_t)quire_process_exec(process, program, argv, no_env)) > 0);
	close(ends[1]);
	CHECK(says(ends[0], "3 x this given 2 0 1") && ends_with(pid, 0));
	CHECK(FAILS_WITH(quire_process_give(process, program, 3, 0), EBUSY));
	CHECK(FAILS_WITH(quire_process_exec(process, program, argv, no_env), EBUSY));
	CHECK(FAILS_WITH(quire_process_start(process, CODE_AT, DATA_AT, 0, 0), EBUSY));
	close(process);
	close(program);
	return true;
}

/* A start that fails changes nothing, and can be tried again. */
static bool can_be_tried_again(void)
{
	char *argv[] = {(char *)(uintptr_t) "uspawn", (char *)(uintptr_t) "5", NULL}, path[64];
	int process = (int)quire_process_create("again", 0), program = self_fd();
	unsigned before = count_processes();
	int words = open(utest_file(path, "text"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	CHECK(write(words, "no program", 10) == 10);
	CHECK(FAILS_WITH(quire_process_exec(process, words, argv, no_env), EACCES));
	CHECK(!fchmod(words, 0755));
	close(words);
	words = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(FAILS_WITH(quire_process_exec(process, words, argv, no_env), ENOEXEC));
	CHECK(FAILS_WITH(quire_process_exec(process, 999, argv, no_env), EBADF));
	CHECK(FAILS_WITH(quire_process_exec(process, program, BAD, no_env), EFAULT));
	CHECK(FAILS_WITH(quire_process_start(process, (void *)0xffff800000000000UL, DATA_AT, 0, 0), EFAULT));
	CHECK(FAILS_WITH(quire_process_start(process, (void *)0x8000000000000000UL, DATA_AT, 0, 0), EFAULT));
	CHECK(count_processes() == before);
	pid_t pid = (pid_t)quire_process_exec(process, program, argv, no_env);
	CHECK(pid > 0 && ends_with(pid, 5 << 8));
	close(words);
	close(process);
	close(program);
	return true;
}

struct race {
	int process, program;
	_Atomic int started, refused;
	_Atomic pid_t pid;
};

static void *start_it(void *arg)
{
	struct race *r = arg;
	char *argv[] = {(char *)(uintptr_t) "uspawn", (char *)(uintptr_t) "3", NULL};
	long pid = quire_process_exec(r->process, r->program, argv, no_env);
	if (pid > 0)
		r->pid = (pid_t)pid;
	atomic_fetch_add(pid > 0 ? &r->started : &r->refused, pid > 0 || errno == EBUSY);
	return NULL;
}

static bool starts_once(void)
{
	for (unsigned round = 0; round < 10; round++) {
		struct race r = {.process = (int)quire_process_create("race", 0), .program = self_fd()};
		pthread_t threads[3];
		for (unsigned i = 0; i < 3; i++)
			CHECK(!pthread_create(&threads[i], NULL, start_it, &r));
		for (unsigned i = 0; i < 3; i++)
			CHECK(!pthread_join(threads[i], NULL));
		CHECK(r.started == 1 && r.refused == 2 && ends_with(r.pid, 3 << 8));
		close(r.process);
		close(r.program);
	}
	return true;
}

/* --- without a program --- */

/* mov %esi, (%rdi); exit_group(42) */
static const unsigned char code[] = {0x89, 0x37, 0xb8, 231, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05};

static bool runs_what_is_mapped(void)
{
	int program = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, PAGE);
	int data = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, PAGE);
	int process = (int)quire_process_create("bare", 0);
	uint32_t value = 0;
	CHECK(write(program, code, sizeof(code)) == sizeof(code));
	CHECK(quire_vma_map(process, program, CODE_AT, 0, PAGE,
		  QUIRE_MAP_READ | QUIRE_MAP_EXEC | QUIRE_MAP_FIXED) == (long)CODE_AT);
	CHECK(quire_vma_map(process, data, DATA_AT, 0, PAGE,
		  QUIRE_MAP_READ | QUIRE_MAP_WRITE | QUIRE_MAP_FIXED) == (long)DATA_AT);
	CHECK(!quire_vma_unmap(process, CODE_AT + PAGE, PAGE));
	pid_t pid =
	    (pid_t)quire_process_start(process, CODE_AT, DATA_AT + PAGE, (uint64_t)DATA_AT, 0x12345678);
	CHECK(pid > 0 && ends_with(pid, 42 << 8));
	CHECK(pread(data, &value, 4, 0) == 4 && value == 0x12345678);
	CHECK(FAILS_WITH(quire_vma_unmap(process, DATA_AT, PAGE), ESRCH));
	close(process);
	process = (int)quire_process_create("empty", 0); /* nothing is at its entry */
	pid = (pid_t)quire_process_start(process, CODE_AT, DATA_AT, 0, 0);
	CHECK(pid > 0 && ends_with(pid, SIGSEGV));
	close(process);
	close(program);
	close(data);
	return true;
}

/* --- whose rights --- */

static int as_user(void *arg)
{
	bool promised = *(bool *)arg;
	char path[64], *argv[] = {(char *)(uintptr_t) "uspawn", (char *)(uintptr_t) "ids", NULL};
	int ends[2], program = open(utest_file(path, "setuid"), O_RDONLY | O_CLOEXEC);
	pid_t pid;
	UCHECK(!setgroups(0, NULL) && !setresgid(USER, USER, USER) && !setresuid(USER, USER, USER));
	UCHECK(!promised || !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	UCHECK(!pipe2(ends, O_CLOEXEC));
	struct quire_gift gift = {ends[1], TELL, TELL_ALL};
	int process = quire_spawn("ids", program, argv, no_env, &gift, 1, &pid);
	UCHECK(process >= 0);
	close(ends[1]);
	UCHECK(says(ends[0], promised ? "1000 1" : "0 0") && ends_with(pid, 0));
	int mine = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, PAGE);
	errno = 0;
	UCHECK(quire_vma_map(process, mine, CODE_AT, 0, PAGE, QUIRE_MAP_READ) == -1 && errno == ESRCH);
	return 0;
}

static bool copy_program(const char *path, mode_t mode)
{
	char buffer[4096];
	ssize_t n;
	int from = self_fd(), to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	bool ok = from >= 0 && to >= 0;
	while (ok && (n = read(from, buffer, sizeof(buffer))) > 0)
		ok = write(to, buffer, (size_t)n) == n;
	ok = ok && !fchmod(to, mode);
	close(from);
	close(to);
	return ok;
}

static bool gains_rights_as_by_exec(void)
{
	char path[64];
	bool promised = false;
	CHECK(copy_program(utest_file(path, "setuid"), 04755));
	CHECK(child_exits(as_user, &promised, 0));
	promised = true;
	CHECK(child_exits(as_user, &promised, 0));
	return true;
}

/* Its maker may not map into a process that has got rights of its own. */
static int maker_may_not_map(void *arg)
{
	(void)arg;
	char path[64], *argv[] = {(char *)(uintptr_t) "uspawn", (char *)(uintptr_t) "wait", NULL};
	int program = open(utest_file(path, "setuid"), O_RDONLY | O_CLOEXEC);
	pid_t pid;
	UCHECK(!setgroups(0, NULL) && !setresgid(USER, USER, USER) && !setresuid(USER, USER, USER));
	int process = quire_spawn("wait", program, argv, no_env, NULL, 0, &pid);
	int mine = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, PAGE);
	UCHECK(process >= 0 && mine >= 0);
	UCHECK(FAILS_WITH(quire_vma_map(process, mine, CODE_AT, 0, PAGE, QUIRE_MAP_READ), EACCES));
	UCHECK(FAILS_WITH(quire_vma_unmap(process, CODE_AT, PAGE), EACCES));
	UCHECK(!sc(pidfd_send_signal, process, SIGKILL, NULL, 0) &&
	       ends_with(pid, SIGKILL)); /* its real user is ours */
	return 0;
}

static bool gives_no_way_in(void)
{
	CHECK(child_exits(maker_may_not_map, NULL, 0));
	return true;
}

/* --- nothing stays --- */

static int dies_with_one(void *arg)
{
	(void)arg;
	int process = (int)quire_process_create("left", 0),
	    data = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, PAGE);
	UCHECK(quire_vma_map(process, data, DATA_AT, 0, PAGE, QUIRE_MAP_READ) > 0);
	UCHECK(!quire_process_give(process, data, 3, QUIRE_RIGHT_READ));
	UCHECK(pwrite(data, "x", 1, 0) == 1);
	return 0;
}

static void close_all(void)
{
	for (int fd = 3; fd < 64; fd++)
		close(fd);
}

static bool leaves_nothing(void)
{
	struct usage before;
	close_all();
	CHECK(usage_take(&before) || true);
	for (unsigned i = 0; i < 20; i++) {
		pid_t pid;
		CHECK(child_exits(dies_with_one, NULL, 0) && dies_with_one(NULL) == 0);
		close_all();
		int process = spawn_self("1", NULL, &pid, NULL);
		CHECK(process >= 0 && ends_with(pid, 1 << 8));
		close(process);
	}
	CHECK(nothing_is_left(&before));
	return true;
}

static const struct utest tests[] = {
    {"a program runs, and has what it was given alone", runs_a_program},
    {"the descriptor tells how it ended", tells_its_end},
    {"nobody sees a process that has not been started", is_nobody_before},
    {"nor is its descriptor sent", is_not_sent},
    {"descriptors are given with number and rights", gets_what_it_is_given},
    {"a start that failed can be tried again", can_be_tried_again},
    {"of many who start it, one does", starts_once},
    {"code that was mapped into it runs", runs_what_is_mapped},
    {"set-user-ID programs are what they are by exec", gains_rights_as_by_exec},
    {"and their makers have no way in", gives_no_way_in},
    {"nothing is left behind", leaves_nothing},
};

int main(int argc, char **argv)
{
	if (argc > 1)
		return child_main(argc, argv);
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
