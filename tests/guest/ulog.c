/*
 * ulog.c - who reads the kernel's log: syslog(2), which has one position for the whole system, sleeps until
 * there is something. The records themselves, and the other readers: usystem.c.
 */
#include <fcntl.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <time.h>

#include "utap.h"

enum { SYSLOG_READ = 2, SYSLOG_SIZE_UNREAD = 9, LINE = 512, SYS_SYSLOG = SYS_syslog, PATIENCE = 10 };
static int root = -1;

static time_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Does the condition come true, if it is looked at again and again? */
#define COMES(cond)                                                                                          \
	({                                                                                                   \
		time_t end_ = now() + PATIENCE;                                                              \
		bool there_;                                                                                 \
		while (!(there_ = (cond)) && now() < end_)                                                   \
			sched_yield();                                                                       \
		there_;                                                                                      \
	})

/* A system object to read the log by, which has a position of its own: behind all that there is. */
static int open_log(void)
{
	const struct quire_scope nothing = {{0, 0}, {0, 0}, {0, 0}};
	struct quire_log_record r;
	int fd = (int)quire_system_carve(root, &nothing);
	while (fd >= 0 && !quire_system_log_read(fd, &r))
		;
	return fd;
}

static bool has_news(int log)
{
	struct quire_log_record r;
	bool any = false;
	while (!quire_system_log_read(log, &r))
		any = true;
	return any;
}

/* --- other processes, as /proc tells --- */

static void read_proc(pid_t pid, const char *what, char text[static 4096])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, 4095);
	text[n > 0 ? n : 0] = 0;
	close(fd);
}

/* Does it sleep in this system call? */
static bool sleeps_in(pid_t pid, int call)
{
	char text[4096], number[16];
	read_proc(pid, "syscall", text);
	snprintf(number, sizeof(number), "%d ", call);
	return !strncmp(text, number, strlen(number));
}

/* How often it went to sleep. */
static long sleeps_of(pid_t pid)
{
	static const char name[] = "\nvoluntary_ctxt_switches:";
	char text[4096];
	read_proc(pid, "status", text);
	const char *line = strstr(text, name);
	return line ? atol(line + strlen(name)) : -1;
}

/* --- syslog(2) --- */

static void drop_all(void)
{
	char line[LINE];
	while (sc(syslog, SYSLOG_SIZE_UNREAD, NULL, 0) > 0 && sc(syslog, SYSLOG_READ, line, LINE) > 0)
		;
}

enum { FOUND = 10, INTERRUPTED = 11, FAILED = 12 };

/* Read until there is a line with this text, or an error. */
static int read_until(const char *text)
{
	char line[LINE];
	for (;;) {
		long n = sc(syslog, SYSLOG_READ, line, LINE - 1);
		if (n <= 0)
			return n < 0 && errno == EINTR ? INTERRUPTED : FAILED;
		line[n] = 0;
		if (strstr(line, text))
			return FOUND;
	}
}

static int ends_with(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static pid_t start_reader(const char *text)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(read_until(text));
	return pid;
}

/* It sleeps, and goes on sleeping while nobody writes to the log: it never runs just to look. */
static bool test_syslog_sleeps(void)
{
	struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
	int log = open_log();
	bool quiet = false;
	drop_all();
	pid_t pid = start_reader("enough");
	for (unsigned tries = 0; tries < 50 && !quiet; tries++) {
		CHECK(COMES(sleeps_in(pid, SYS_SYSLOG)));
		has_news(log);
		long before = sleeps_of(pid);
		nanosleep(&pause, NULL);
		long after = sleeps_of(pid);
		quiet = !has_news(log); /* else it had a reason */
		CHECK(!quiet || (before > 0 && after == before));
	}
	CHECK(quiet && quire_diag("this is enough") == 0 && ends_with(pid) == FOUND);
	close(log);
	return true;
}

/* However reading, falling asleep and writing meet, it is woken. */
static bool test_syslog_wakes(void)
{
	char text[32];
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "record %d.", i);
		pid_t pid = start_reader(text);
		CHECK(i % 2 == 0 || COMES(sleeps_in(pid, SYS_SYSLOG)));
		CHECK(quire_diag(text) == 0 && ends_with(pid) == FOUND);
	}
	return true;
}

static int told; /* by the handler that it ran */

static void on_signal(int number)
{
	ssize_t n = write(told, "", 1);
	(void)number;
	(void)n;
}

static int reader_with_handler(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
	sigaction(SIGUSR1, &action, NULL);
	return read_until("handled");
}

static bool interrupted(int flags, int expected)
{
	int fds[2];
	char c;
	CHECK(pipe(fds) == 0);
	drop_all();
	fflush(stdout);
	pid_t pid = fork();
	told = fds[1];
	if (pid == 0)
		_exit(reader_with_handler(flags));
	CHECK(COMES(sleeps_in(pid, SYS_SYSLOG)) && kill(pid, SIGUSR1) == 0);
	CHECK(read(fds[0], &c, 1) == 1 && quire_diag("handled") == 0);
	CHECK(ends_with(pid) == expected);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static bool test_syslog_signals(void)
{
	int status;
	CHECK(interrupted(0, INTERRUPTED) && interrupted(SA_RESTART, FOUND));
	drop_all();
	pid_t pid = start_reader("nobody writes this");
	CHECK(COMES(sleeps_in(pid, SYS_SYSLOG)) && kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	return true;
}

enum { SHARED = 200, READERS = 3 };

/* Write the number of each record that it gets to fd. */
static int tell_numbers(int fd)
{
	char line[LINE];
	for (;;) {
		long n = sc(syslog, SYSLOG_READ, line, 320); /* one record, sometimes more */
		if (n <= 0)
			return 1;
		line[n] = 0;
		for (char *at = line; (at = strstr(at, "shared ")); at++) {
			unsigned char number = (unsigned char)atoi(at + strlen("shared "));
			if (write(fd, &number, 1) != 1)
				return 1;
		}
	}
}

/* Several readers: each record goes to one of them, whole. */
static bool test_syslog_shared(void)
{
	pid_t pids[READERS];
	bool seen[SHARED] = {false};
	unsigned char number;
	char text[32];
	int fds[2];
	CHECK(pipe(fds) == 0);
	drop_all();
	fflush(stdout);
	for (unsigned i = 0; i < READERS; i++)
		if ((pids[i] = fork()) == 0)
			_exit(tell_numbers(fds[1]));
	for (unsigned i = 0; i < SHARED; i++) {
		snprintf(text, sizeof(text), "shared %u", i);
		CHECK(quire_diag(text) == 0);
	}
	for (unsigned i = 0; i < SHARED; i++) {
		CHECK(read(fds[0], &number, 1) == 1 && number < SHARED && !seen[number]);
		seen[number] = true;
	}
	for (unsigned i = 0; i < READERS; i++)
		CHECK(COMES(sleeps_in(pids[i], SYS_SYSLOG)) && kill(pids[i], SIGKILL) == 0 &&
		      ends_with(pids[i]) == -1);
	close(fds[0]);
	close(fds[1]);
	return true;
}

/* What does not fit comes in parts; but behind a whole record no part of another. */
static bool test_syslog_parts(void)
{
	char line[LINE], whole[LINE];
	int n = 0;
	for (unsigned tries = 0; tries < 50; tries++) { /* the kernel may have something to say as well */
		drop_all();
		CHECK(quire_diag("in parts") == 0 && quire_diag("the next, which is longer") == 0);
		n = (int)sc(syslog, SYSLOG_READ, line, 10);
		CHECK(n == 10);
		long rest = sc(syslog, SYSLOG_READ, line + n, 60);
		CHECK(rest > 0 && line[n + rest - 1] == '\n');
		line[n + rest] = 0;
		n = (int)sc(syslog, SYSLOG_READ, whole, LINE - 1);
		CHECK(n > 0 && whole[0] == '<' && whole[n - 1] == '\n');
		whole[n] = 0;
		if (strstr(line, ": in parts\n") && strstr(whole, ": the next, which is longer\n"))
			return !strstr(line, "next");
	}
	return false;
}

static const struct utest tests[] = {
    {"syslog: a reader sleeps", test_syslog_sleeps},
    {"syslog: and is woken", test_syslog_wakes},
    {"syslog: signals", test_syslog_signals},
    {"syslog: readers share the records", test_syslog_shared},
    {"syslog: parts of records", test_syslog_parts},
};

int main(void)
{
	const char *given = getenv("QUIRE_SYSTEM");
	root = given ? atoi(given) : (int)getauxval(QUIRE_AT_SYSTEM);
	if (root <= 0 || !utest_proc()) {
		printf("1..0 # SKIP nobody gave us the system object\n");
		return 0;
	}
	fcntl(root, F_SETFD, FD_CLOEXEC);
	return UTEST_RUN(tests);
}
