/*
 * ulog.c - who reads the kernel's log: syslog(2), which has one position for the whole system, and the
 * service that shows it (user/logview.c). The records themselves, and the other readers: usystem.c.
 */
#include <fcntl.h>
#include <quire/spawn.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include "uroot.h"
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

/* It sleeps in this call, and goes on sleeping while nobody writes to the log: it never runs just to look. */
static bool stays_asleep(pid_t pid, int call)
{
	struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
	int log = open_log();
	bool quiet = false;
	for (unsigned tries = 0; tries < 50 && !quiet; tries++) {
		CHECK(COMES(sleeps_in(pid, call)));
		has_news(log);
		long before = sleeps_of(pid);
		nanosleep(&pause, NULL);
		long after = sleeps_of(pid);
		quiet = !has_news(log); /* else it had a reason */
		CHECK(!quiet || (before > 0 && after == before));
	}
	close(log);
	return quiet;
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

static bool test_syslog_sleeps(void)
{
	drop_all();
	pid_t pid = start_reader("enough");
	CHECK(stays_asleep(pid, SYS_SYSLOG));
	CHECK(quire_diag("this is enough") == 0 && ends_with(pid) == FOUND);
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

/* How a reader ends that gets a signal, and then a record. */
static int signalled(int flags)
{
	int fds[2], how;
	char c;
	if (pipe(fds))
		return -1;
	drop_all();
	fflush(stdout);
	pid_t pid = fork();
	told = fds[1];
	if (pid == 0)
		_exit(reader_with_handler(flags));
	bool ok = COMES(sleeps_in(pid, SYS_SYSLOG)) && kill(pid, SIGUSR1) == 0 && read(fds[0], &c, 1) == 1;
	ok = ok && quire_diag("handled") == 0;
	how = ends_with(pid);
	close(fds[0]);
	close(fds[1]);
	return ok ? how : -1;
}

static bool test_syslog_signals(void)
{
	int status;
	CHECK(
	    COMES(signalled(0) == INTERRUPTED)); /* if the kernel wrote something at that moment: once more */
	CHECK(signalled(SA_RESTART) == FOUND);
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

/* --- logview --- */

enum { LOG_NUMBER = 7, PING_NUMBER = 9, CAN_READ = QUIRE_RIGHT_READ | QUIRE_RIGHT_WAIT };
enum { WELL = 1 };

/* A logview that runs. */
struct view {
	int log;     /* the system object that it reads by */
	int out[2];  /* what it writes goes through here; no pipe: out[1] only */
	int ping[2]; /* received from, sent to */
	unsigned log_rights;
	pid_t pid;
	FILE *lines; /* of out[0] */
};

static bool view_start(struct view *v, const char *option, const char *value)
{
	char *argv[] = {
	    (char *)(uintptr_t) "logview", (char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL};
	char *envp[] = {(char *)(uintptr_t) "QUIRE_SYSTEM=7", (char *)(uintptr_t) "QUIRE_PING=9", NULL};
	const struct quire_gift gifts[] = {{v->log, LOG_NUMBER, v->log_rights},
	    {v->out[1], 1, QUIRE_RIGHT_WRITE | QUIRE_RIGHT_WAIT | QUIRE_RIGHT_MANAGE},
	    {v->ping[0], PING_NUMBER, CAN_READ}};
	int program = open("/service/logview", O_RDONLY | O_CLOEXEC);
	int process = quire_spawn("logview", program, argv, envp, gifts, 3, &v->pid);
	CHECK(process >= 0);
	close(process);
	close(program);
	return true;
}

/* With a log object of its own: from the oldest record on, or behind what there is. */
static bool view_make(struct view *v, bool from_oldest)
{
	const struct quire_scope nothing = {{0, 0}, {0, 0}, {0, 0}};
	*v = (struct view){.log_rights = CAN_READ};
	v->log = from_oldest ? (int)quire_system_carve(root, &nothing) : open_log();
	CHECK(v->log >= 0 && !pipe2(v->out, O_CLOEXEC) && !quire_endpoint_create(v->ping, 0));
	v->lines = fdopen(v->out[0], "r");
	CHECK(v->lines);
	return true;
}

static bool view_begin(struct view *v, const char *option, const char *value)
{
	CHECK(view_make(v, false) && view_start(v, option, value));
	return true;
}

static void view_forget(struct view *v)
{
	if (v->lines)
		fclose(v->lines);
	close(v->out[1]);
	close(v->ping[0]);
	close(v->ping[1]);
	close(v->log);
}

static bool view_end(struct view *v)
{
	int status;
	CHECK(kill(v->pid, SIGKILL) == 0 && waitpid(v->pid, &status, 0) == v->pid && WIFSIGNALED(status));
	view_forget(v);
	return true;
}

static bool is_well(const struct view *v)
{
	struct timespec t;
	struct quire_message m = {.tag = WELL, .reply = QUIRE_NO_REPLY};
	clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t deadline = ((uint64_t)t.tv_sec + PATIENCE) * 1000000000ULL;
	return quire_endpoint_call(v->ping[1], &m, deadline) == 0 && m.len == 0 && m.nfds == 0;
}

/* The next line that has `text`, and how many lines went before it, or were lost: *before (or NULL). */
static const char *line_with(struct view *v, const char *text, uint64_t *before)
{
	static char line[2048];
	unsigned long long lost;
	uint64_t n = 0;
	while (fgets(line, sizeof(line), v->lines) && !strstr(line, text))
		n += sscanf(line, "-- %llu records lost --", &lost) == 1 ? lost : 1;
	if (before)
		*before = n;
	return line;
}

static bool test_view_shows(void)
{
	struct view v;
	unsigned long seconds, us;
	int at = 0;
	CHECK(quire_system_log_write(root, 4, "before it was there") == 0);
	CHECK(view_make(&v, true) && view_start(&v, NULL, NULL));
	CHECK(strstr(line_with(&v, "before it was", NULL), " warning diag: ulog["));
	CHECK(stays_asleep(v.pid, SYS_quire_object_wait));
	int kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	CHECK(dprintf(kmsg, "<5>tab\there, \033[31mred\\") > 0 && close(kmsg) == 0);
	const char *line = line_with(&v, "here", NULL);
	CHECK(sscanf(line, " %lu.%6lu notice user: tab%n", &seconds, &us, &at) == 2 && at > 0);
	CHECK(strstr(line, ": tab\\x09here, \\x1b[31mred\\x5c\n") && is_well(&v));
	CHECK(view_end(&v));
	return true;
}

static bool test_view_options(void)
{
	struct view v;
	CHECK(view_begin(&v, "-l", "err") && quire_system_log_write(root, 4, "mark quiet") == 0);
	CHECK(
	    quire_system_log_write(root, 3, "mark loud") == 0 && strstr(line_with(&v, "mark", NULL), "loud"));
	CHECK(view_end(&v) && view_make(&v, true) && quire_diag("mark before") == 0);
	CHECK(view_start(&v, "-n", NULL) && is_well(&v) && quire_diag("mark after") == 0);
	CHECK(strstr(line_with(&v, "mark", NULL), "after") && view_end(&v));
	CHECK(view_begin(&v, "-l", "8") && ends_with(v.pid) == 2);
	view_forget(&v);
	CHECK(view_make(&v, false));
	v.log_rights = QUIRE_RIGHT_WAIT;
	CHECK(view_start(&v, NULL, NULL) && quire_diag("not for it") == 0 && ends_with(v.pid) == 1);
	view_forget(&v);
	return true;
}

/* What its manager says, or that it is gone, and so its reader. */
static bool test_view_manager(void)
{
	struct quire_message m = {.tag = WELL + 1, .reply = QUIRE_NO_REPLY};
	struct view v;
	CHECK(view_begin(&v, NULL, NULL) && is_well(&v));
	CHECK(FAILS_WITH(quire_endpoint_call(v.ping[1], &m, QUIRE_NEVER), EPIPE) && is_well(&v));
	CHECK(quire_endpoint_notify(v.ping[1], 1) == 0 && is_well(&v));
	close(v.ping[1]);
	CHECK(ends_with(v.pid) == 0);
	view_forget(&v);
	CHECK(view_begin(&v, NULL, NULL) && is_well(&v));
	fclose(v.lines);
	v.lines = NULL;
	CHECK(quire_diag("for nobody") == 0 && ends_with(v.pid) == 0);
	view_forget(&v);
	return true;
}

static uint64_t number_of_last(int log, const char *text)
{
	struct quire_log_record r;
	uint64_t number = 0;
	while (!quire_system_log_read(log, &r))
		number = strstr(r.text, text) ? r.seq : number;
	return number;
}

/* Nobody reads what it writes, so it cannot go on: who writes to the log does not notice, it still answers,
 * and in the end each record was shown or is counted. */
static bool test_view_flood(void)
{
	enum { LINES = 4000 };
	struct view v;
	uint64_t before;
	int log = open_log();
	CHECK(view_begin(&v, NULL, NULL) && quire_diag("flood begins") == 0);
	uint64_t first = number_of_last(log, "flood begins");
	line_with(&v, "flood begins", NULL); /* else it could be among those that are lost */
	for (unsigned i = 0; i < LINES; i++)
		CHECK(quire_system_log_write(root, 7, "drop by drop, as long as nobody reads") == 0);
	CHECK(quire_diag("flood ends") == 0 && is_well(&v));
	uint64_t last = number_of_last(log, "flood ends");
	CHECK(first > 0 && last > first + LINES);
	line_with(&v, "flood ends", &before);
	CHECK(before == last - first - 1 && is_well(&v) && view_end(&v));
	close(log);
	return true;
}

/* The numbered lines until `last` are in order; which are missing were lost, or taken along by who was
 * killed. */
static bool lines_are_whole(struct view *v, unsigned last, unsigned kills)
{
	char line[2048];
	unsigned n, missing = 0, next = 0;
	unsigned long long lost, sum = 0;
	do {
		CHECK(fgets(line, sizeof(line), v->lines) && line[strlen(line) - 1] == '\n');
		sum += sscanf(line, "-- %llu records lost --", &lost) == 1 ? lost : 0;
		const char *at = strstr(line, "numbered ");
		if (!at)
			continue;
		CHECK(sscanf(at, "numbered %u of the lines", &n) == 1 && n >= next);
		missing += n - next;
		next = n + 1;
	} while (next <= last);
	CHECK(missing <= sum + kills);
	return true;
}

/* Killed at any moment and started again with the object that it had, it goes on where it was. */
static bool test_view_killed(void)
{
	enum { KILLS = 100, EACH = 3 /* all of them fit the log */ };
	struct view v;
	char text[64];
	int status;
	CHECK(view_make(&v, false));
	for (unsigned i = 0; i < KILLS * EACH; i++) {
		if (i % EACH == 0)
			CHECK(view_start(&v, NULL, NULL) && (i / EACH % 3 || is_well(&v)));
		snprintf(text, sizeof(text), "numbered %u of the lines", i);
		CHECK(quire_diag(text) == 0 && (i / EACH % 2 == 0 || i % EACH || is_well(&v)));
		if (i % EACH == EACH - 1)
			CHECK(!kill(v.pid, SIGKILL) && waitpid(v.pid, &status, 0) == v.pid);
	}
	CHECK(view_start(&v, NULL, NULL) && is_well(&v));
	snprintf(text, sizeof(text), "numbered %u of the lines", KILLS * EACH);
	CHECK(quire_diag(text) == 0 && lines_are_whole(&v, KILLS * EACH, KILLS) && view_end(&v));
	return true;
}

/* On a terminal there are colours; one that is stopped does not keep it from answering. */
static bool test_view_terminal(void)
{
	struct view v;
	CHECK(view_make(&v, false));
	int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlocked = 0;
	CHECK(master >= 0 && !ioctl(master, TIOCSPTLCK, &unlocked));
	int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(terminal >= 0 && dup3(terminal, v.out[1], O_CLOEXEC) >= 0 &&
	      dup3(master, v.out[0], O_CLOEXEC) >= 0);
	CHECK(view_start(&v, NULL, NULL) && quire_system_log_write(root, 3, "to the terminal") == 0);
	const char *line = line_with(&v, "to the terminal", NULL);
	CHECK(strstr(line, "\033[31m") && strstr(line, "to the terminal\033[0m\r\n") && is_well(&v));
	CHECK(tcflow(terminal, TCOOFF) == 0 && quire_diag("while it is stopped") == 0);
	for (unsigned i = 0; i < 10; i++)
		CHECK(is_well(&v));
	CHECK(tcflow(terminal, TCOON) == 0 && strstr(line_with(&v, "while it is", NULL), "stopped") &&
	      view_end(&v));
	close(terminal);
	close(master);
	return true;
}

static const struct utest tests[] = {
    {"syslog: a reader sleeps", test_syslog_sleeps},
    {"syslog: and is woken", test_syslog_wakes},
    {"syslog: signals", test_syslog_signals},
    {"syslog: readers share the records", test_syslog_shared},
    {"syslog: parts of records", test_syslog_parts},
    {"logview: shows what was and what comes", test_view_shows},
    {"logview: options, rights", test_view_options},
    {"logview: its manager, its reader", test_view_manager},
    {"logview: nobody reads", test_view_flood},
    {"logview: killed a hundred times", test_view_killed},
    {"logview: on a terminal", test_view_terminal},
};

int main(void)
{
	root = system_given();
	if (root <= 0) {
		printf("1..0 # SKIP nobody gave us the system object\n");
		return 0;
	}
	if (!utest_proc() || !utest_mounted("/dev", "devtmpfs", "/dev/null") ||
	    !utest_mounted("/dev/pts", "devpts", "/dev/pts/ptmx")) {
		printf("1..1\nnot ok 1 - nothing is mounted\n");
		return 1;
	}
	fcntl(root, F_SETFD, FD_CLOEXEC);
	return UTEST_RUN(tests);
}
